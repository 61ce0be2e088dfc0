"""What a registry store does in a world that fails: real registry processes, and a proxy that misbehaves."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from modelops.errors import ModelOpsError
from modelops.stores import Part, keep, open_at, release_tag
from modelops.stores.oci_registry import OciRegistry, Params
from registry_world import (
    PASSWORD,
    USER,
    Proxy,
    digest_of,
    free_port,
    locked_registry,
    needs_registry,
    needs_skopeo,
    proxy,
    registry,
    token_registry,
)
from waiting import PATIENCE

pytestmark = needs_registry
BLOB = b"layer" * 100_000
NAMED = {"username_variable": "WHO", "password_variable": "SECRET"}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("open")) as found:
        yield found


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with locked_registry(tmp_path_factory.mktemp("locked")) as found:
        yield found


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with token_registry(tmp_path_factory.mktemp("tokens")) as found:
        yield found


@pytest.fixture
def before(host: str) -> Iterator[Proxy]:
    with proxy(host) as found:
        yield found


class Waits(list[float]):
    """Remembers how long a store would have slept."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def at(host: str, request: pytest.FixtureRequest, **more: object) -> Params:
    return Params(registry=host, repository=f"tests/{request.node.name.lower().split('[')[0]}", **more)  # type: ignore[arg-type]


def code(call: Callable[[], object]) -> tuple[str, int, bool]:
    with pytest.raises(ModelOpsError) as error:
        call()
    assert PASSWORD not in str(error.value)
    assert "horse" not in str(error.value)
    return error.value.problems[0].code, int(error.value.exit), error.value.retryable


def manifest(store: OciRegistry, layer: bytes) -> bytes:
    parts = [{"mediaType": "application/x", "digest": store.put(data), "size": len(data)} for data in (b"{}", layer)]
    kind = "application/vnd.oci.image.manifest.v1+json"
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": parts[0], "layers": parts[1:]}).encode()


def test_what_is_there_is_not_sent_again(before: Proxy, request: pytest.FixtureRequest) -> None:
    """A second push of a blob, a manifest and a tag asks, and sends nothing."""
    store = OciRegistry(at(before.host, request), {})
    digest = store.put(manifest(store, BLOB))
    store.tag("name-1", digest)
    sent = sum(method in ("POST", "PUT") for method, _, _ in before.seen)
    again = OciRegistry(at(before.host, request), {})
    again.tag("name-1", again.put(manifest(again, BLOB)))
    assert sum(method in ("POST", "PUT") for method, _, _ in before.seen) == sent == 6


@pytest.mark.parametrize("fault", ["503", "429", "reset"])
def test_passing_faults_are_waited_for(before: Proxy, request: pytest.FixtureRequest, fault: str) -> None:
    """Each request fails twice and then passes; what the registry asks to wait is waited."""
    before.fault = lambda method, path, number: fault if number < 2 else None
    waits = Waits()
    store = OciRegistry(at(before.host, request), {}, waits)
    digest = store.put(manifest(store, BLOB + fault.encode()))
    store.tag("name", digest)
    assert store.resolve("name") == digest
    assert store.get(digest_of(BLOB + fault.encode())) == BLOB + fault.encode()
    assert all(wait >= 1.0 for wait in waits) if fault != "reset" else waits


def test_a_registry_that_stays_away_costs_its_patience_once(before: Proxy, request: pytest.FixtureRequest) -> None:
    """A few tries and one error that may be retried; then nothing is asked for a while; then it has one try."""
    waits, now = Waits(), [0.0]
    store = OciRegistry(at(before.host, request), {}, waits, lambda: now[0])
    before.fault = lambda method, path, number: "503"
    assert code(lambda: store.has(digest_of(b"x"))) == ("registry-unreachable", 4, True)
    asked = len(before.seen)
    assert asked == len(waits) + 1 == 6
    assert code(lambda: store.put(b"x")) == ("registry-unreachable", 4, True)
    assert len(before.seen) == asked
    now[0] = 11.0
    assert code(lambda: store.put(b"x"))[0] == "registry-unreachable"
    assert len(before.seen) == asked + 1
    now[0] = 22.0
    before.fault = lambda method, path, number: None
    assert store.has(store.put(b"x"))
    before.fault = lambda method, path, number: "reset" if len(before.seen) % 2 else None
    assert store.has(digest_of(b"x")), "its patience is back"
    closed = OciRegistry(at(f"127.0.0.1:{free_port()}", request), {}, waits)
    assert code(lambda: closed.has(digest_of(b"x"))) == ("registry-unreachable", 4, True)


def test_a_download_goes_on_where_it_broke_off(before: Proxy, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The rest of a blob is asked for by its range, and the whole has the digest."""
    store = OciRegistry(at(before.host, request), {}, Waits())
    digest = store.put(BLOB)
    before.fault = lambda method, path, number: "cut" if method == "GET" and number < 2 else None
    store.fetch(digest, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == BLOB
    ranges = [headers.get("Range") for method, _, headers in before.seen if method == "GET"]
    assert ranges == [None, f"bytes={len(BLOB) // 2}-", f"bytes={len(BLOB) * 3 // 4}-"]


def test_bytes_that_are_not_what_the_digest_names_are_refused(
    before: Proxy, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """One changed byte is an error, and no file is left."""
    store = OciRegistry(at(before.host, request), {}, Waits())
    blob, named = store.put(BLOB), store.put(manifest(store, BLOB))
    store.tag("name", named)
    before.fault = lambda method, path, number: "flip" if method == "GET" else None
    for digest in (blob, named):
        assert code(lambda digest=digest: store.get(digest))[:2] == ("digest-mismatch", 3)
        assert code(lambda digest=digest: store.fetch(digest, tmp_path / "x"))[0] == "digest-mismatch"
    assert list(tmp_path.iterdir()) == []
    assert store.resolve("name") != named, "a tag's manifest is what its bytes are, not what a header says"


@pytest.mark.parametrize("folder", [False, True])
def test_credentials_open_a_locked_registry(
    locked: str, request: pytest.FixtureRequest, tmp_path: Path, folder: bool
) -> None:
    """By variables that the parameters name, or by docker's configuration."""
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {locked: {"auth": auth}}}))
    environ = {"DOCKER_CONFIG": str(tmp_path)} if folder else {"WHO": USER, "SECRET": PASSWORD}
    store = OciRegistry(at(locked, request, **NAMED), environ)
    digest = store.put(BLOB)
    assert store.get(digest) == BLOB
    assert PASSWORD not in store.address.text
    assert open_at(store.address.text, tmp_path, environ).has(digest)


@pytest.mark.parametrize("kind", ["locked", "tokens"])
@pytest.mark.parametrize("environ", [{}, {"WHO": USER, "SECRET": "mistaken-horse"}], ids=["none", "wrong"])
def test_wrong_credentials_are_named_and_not_shown(
    kind: str, environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """The error says where they were looked for; trying again would not help, so it is not done."""
    waits = Waits()
    store = OciRegistry(at(request.getfixturevalue(kind), request, **NAMED), environ, waits)
    assert code(lambda: store.put(b"x")) == ("registry-unauthorized", 4, False)
    with pytest.raises(ModelOpsError, match="WHO and SECRET"):
        store.put(b"x")
    assert waits == []


def test_tokens_are_fetched_for_what_is_done(tokens: str, request: pytest.FixtureRequest) -> None:
    """Whoever may push gets a token for it; nobody's token is good for reading."""
    writer = OciRegistry(at(tokens, request, **NAMED), {"WHO": USER, "SECRET": PASSWORD})
    assert not writer.has(digest_of(BLOB))
    digest = writer.put(manifest(writer, BLOB))
    writer.tag("name", digest)
    reader = OciRegistry(at(tokens, request), {})
    assert (reader.resolve("name"), reader.get(digest_of(BLOB))) == (digest, BLOB)
    assert code(lambda: reader.put(b"new"))[0] == "registry-unauthorized"


def test_credentials_do_not_follow_a_redirect(locked: str, request: pytest.FixtureRequest) -> None:
    """A blob that lies on another host is fetched from there, without the registry's credentials."""
    environ = {"WHO": USER, "SECRET": PASSWORD}
    digest = OciRegistry(at(locked, request, **NAMED), environ).put(BLOB)
    with proxy(locked) as front, proxy(locked) as elsewhere:
        front.fault = lambda method, path, number: (
            f"away:http://{elsewhere.host}{path}" if method == "GET" and number else None
        )
        store = OciRegistry(at(front.host, request, **NAMED), environ, Waits())
        # The other host is as locked as this one, so that only credentials that followed would open it.
        assert code(lambda: store.get(digest))[0] == "registry-unauthorized"
        assert all("Authorization" not in headers for _, _, headers in elsewhere.seen)
        assert elsewhere.seen
        assert any("Authorization" in headers for _, _, headers in front.seen)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[", "https://127.0.0.1:1/x"])
def test_a_registry_cannot_send_us_anywhere(before: Proxy, request: pytest.FixtureRequest, place: str) -> None:
    """Files of this machine, other protocols and nonsense are refused, or not found to answer."""
    store = OciRegistry(at(before.host, request), {}, Waits())
    digest = store.put(BLOB)
    before.fault = lambda method, path, number: f"away:{place}" if method == "GET" else None
    expected = "registry-unreachable" if place.startswith("https:") else "registry-refused"
    assert code(lambda: store.get(digest))[:2] == (expected, 4)


def test_a_redirect_in_a_circle_ends(before: Proxy, request: pytest.FixtureRequest) -> None:
    """A registry that sends its reader round and round is refused."""
    store = OciRegistry(at(before.host, request), {}, Waits())
    digest = store.put(BLOB)
    before.fault = lambda method, path, number: f"away:http://{before.host}{path}" if method == "GET" else None
    assert code(lambda: store.get(digest))[0] == "registry-refused"


def test_a_repository_that_is_not_there_is_an_empty_store(host: str, request: pytest.FixtureRequest) -> None:
    """Reading finds nothing; the first push creates it."""
    store = OciRegistry(at(host, request), {})
    assert (store.resolve("a-1"), set(store.references()), store.has(digest_of(b"x"))) == (None, set(), False)
    assert code(lambda: store.get(digest_of(b"x")))[0] == "not-in-store"
    store.tag("a-1", store.put(manifest(store, b"x")))
    assert set(store.references()) == {"a-1"}


def test_every_tag_is_listed_over_pages(before: Proxy, request: pytest.FixtureRequest) -> None:
    """Names that do not fit on one page are asked for page by page."""
    store = OciRegistry(at(before.host, request), {})
    digest = store.put(manifest(store, b"x"))
    for number in range(5):
        store.tag(f"a-{number}", digest)
    before.fault = lambda method, path, number: "pages" if "/tags/list" in path else None
    assert store.references() == {f"a-{number}" for number in range(5)}
    assert sum("/tags/list" in path for _, path, _ in before.seen) == 3
    before.fault = lambda method, path, number: "again" if "/tags/list" in path else None
    assert store.references() == {f"a-{number}" for number in range(5)}


def test_bytes_that_only_look_like_a_manifest_are_kept_as_bytes(host: str, request: pytest.FixtureRequest) -> None:
    """A manifest of another registry, whose parts are not here, is data like any other."""
    store = OciRegistry(at(host, request), {})
    part = {"mediaType": "application/x", "digest": digest_of(b"not here"), "size": 8}
    kind = "application/vnd.oci.image.manifest.v1+json"
    data = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": part, "layers": [part]}).encode()
    digest = store.put(data)
    assert (store.has(digest), store.get(digest)) == (True, data)


PUSH = """
import os, sys
from pathlib import Path
from modelops.stores import open_at
store = open_at(sys.argv[1], Path.cwd(), os.environ)
print(store.put_file(Path(sys.argv[2])))
"""


def test_a_push_that_was_killed_is_done_again(
    before: Proxy, host: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A process that dies while it uploads leaves nothing that stands in the way of the next one."""
    (tmp_path / "blob").write_bytes(os.urandom(6_000_000))
    arrived, gate = threading.Event(), threading.Event()

    def hold(method: str, path: str, number: int) -> str | None:
        if method != "PUT":
            return None
        arrived.set()
        gate.wait(PATIENCE)
        return "reset"

    before.fault = hold
    address = OciRegistry(at(before.host, request), {}).address.text
    words = [sys.executable, "-c", PUSH, address, str(tmp_path / "blob")]
    killed = subprocess.Popen(words)
    assert arrived.wait(PATIENCE)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(PATIENCE) == -signal.SIGKILL
    gate.set()
    store = OciRegistry(at(host, request), {})
    digest = digest_of((tmp_path / "blob").read_bytes())
    assert not store.has(digest)
    before.fault = lambda method, path, number: None
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest
    assert store.get(digest) == (tmp_path / "blob").read_bytes()


def test_many_push_the_same_blob_at_once(host: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Processes that upload equal bytes together all succeed, and the blob is whole."""
    (tmp_path / "blob").write_bytes(os.urandom(2_000_000))
    address = OciRegistry(at(host, request), {}).address.text
    words = [sys.executable, "-c", PUSH, address, str(tmp_path / "blob")]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    digest = digest_of((tmp_path / "blob").read_bytes())
    assert {process.communicate(timeout=PATIENCE)[0].strip() for process in running} == {digest}
    assert open_at(address, tmp_path, {}).get(digest) == (tmp_path / "blob").read_bytes()


def test_a_file_that_changes_while_it_is_pushed_is_refused(
    before: Proxy, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The registry holds what the digest names, or nothing."""
    path = tmp_path / "blob"
    path.write_bytes(b"a" * 5_000_000)
    first = digest_of(path.read_bytes())

    def change(method: str, _: str, number: int) -> None:
        if method == "POST":
            path.write_bytes(b"b" * 5_000_000)

    before.fault = change
    store = OciRegistry(at(before.host, request), {}, Waits())
    assert code(lambda: store.put_file(path))[0] == "registry-refused"
    assert not store.has(first)


@needs_skopeo
def test_skopeo_finds_releases_by_tag(host: str, request: pytest.FixtureRequest) -> None:
    """Another tool lists and reads what we pushed, for every shape of a model's name."""
    store = OciRegistry(at(host, request), {})
    digest = store.put(manifest(store, BLOB))
    names = ["churn", "payments/fraud", "payments--fraud", "a---b", "/".join(["x" * 63] * 4)]
    tags = sorted(release_tag(name, 7) for name in names)
    for tag in tags:
        store.tag(tag, digest)
    image = f"docker://{host}/{at(host, request).repository}"
    listed = subprocess.run(
        ["skopeo", "list-tags", "--tls-verify=false", image], capture_output=True, text=True, check=True
    )
    assert sorted(json.loads(listed.stdout)["Tags"]) == tags
    for tag in tags:
        words = ["skopeo", "inspect", "--tls-verify=false", "--raw", f"{image}:{tag}"]
        assert digest_of(subprocess.run(words, capture_output=True, check=True).stdout) == digest


def test_tls_is_spoken_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    """Only loopback is plain by itself; elsewhere `insecure` must be written down."""
    assert OciRegistry(Params(registry="ghcr.io", repository="a/b")).address.ports == (443,)
    assert OciRegistry(Params(registry="10.0.0.7:5000", repository="a/b")).address.ports == (443, 5000)
    insecure = OciRegistry(Params(registry="10.0.0.7:5000", repository="a/b", insecure=True)).address
    assert insecure.ports == (5000,)
    assert open_at(insecure.text, tmp_path, {}).address == insecure
    assert [Params(registry=host, repository="a").plain for host in ("localhost:5000", "[::1]:5000", "127.1.2.3")] == [
        True
    ] * 3
    assert not Params(registry="localhost.example.com", repository="a").plain


def test_a_registry_without_tls_says_what_to_write(host: str) -> None:
    """Where TLS was expected and none is spoken, the error names the setting, at once."""
    waits = Waits()
    port = host.rpartition(":")[2]
    name = os.uname().nodename
    store = OciRegistry(Params(registry=f"{name}:{port}", repository="a"), {}, waits)
    store._session.base = f"https://{host}/v2/a"
    with pytest.raises(ModelOpsError, match="insecure: true"):
        store.has(digest_of(b"x"))
    assert waits == []


@pytest.mark.parametrize(
    "given",
    [
        {"registry": "https://ghcr.io", "repository": "a"},
        {"registry": "me:pw@ghcr.io", "repository": "a"},
        {"registry": "ghcr.io/a", "repository": "b"},
        {"registry": "ghcr.io", "repository": "A/b"},
        {"registry": "ghcr.io", "repository": "a//b"},
        {"registry": "ghcr.io", "repository": "a/../b"},
        {"registry": "ghcr.io", "repository": "a", "usernameVariable": "X"},
        {"registry": "ghcr.io", "repository": "a", "password": "x"},
        {"registry": "ghcr.io\n", "repository": "a"},
        {"registry": "ghcr.io:65536", "repository": "a"},
        {"registry": "ghcr.io:0", "repository": "a"},
        {"registry": "ghcr.io", "repository": "a:latest"},
    ],
)
def test_wrong_parameters_are_refused(given: dict[str, object]) -> None:
    """A URL, credentials in the host, and names that no registry has do not validate."""
    with pytest.raises(ValidationError):
        Params.model_validate(given)


def test_a_token_is_renewed_when_it_has_run_out(tokens: str, request: pytest.FixtureRequest) -> None:
    """A token that is no longer good is answered by the next challenge."""
    store = OciRegistry(at(tokens, request, **NAMED), {"WHO": USER, "SECRET": PASSWORD})
    digest = store.put(BLOB)
    store._session._authorization = "Bearer " + "e30.e30.e30"
    assert store.get(digest) == BLOB


@needs_skopeo
def test_a_layout_is_copied_into_a_registry(host: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The command of the page moves releases and data, by tag, with the digests that git knows."""
    layout = open_at("oci-layout:.modelops/store", tmp_path, {})
    layout.tag("churn-1", layout.put(manifest(layout, BLOB)))  # type: ignore[arg-type]
    keep(layout, "data-1", "application/x", [Part("rows.csv", layout.put(b"rows"), 4)])
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "keep-artifacts-in-a-registry.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith("skopeo copy")]
    store = OciRegistry(at(host, request), {})
    for tag in ("churn-1", "data-1"):
        command = line.replace("churn-1", tag).replace(
            "ghcr.io/acme/models", str(store).removeprefix("oci-registry://")
        )
        words = [*command.split(), "--dest-tls-verify=false", "--insecure-policy"]
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
        assert store.resolve(tag) == layout.resolve(tag)
    assert store.get(digest_of(b"rows")) == b"rows"
