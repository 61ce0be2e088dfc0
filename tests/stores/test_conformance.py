"""What every store on the shelf must do."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from modelops import plugins
from modelops.errors import ModelOpsError
from modelops.stores import Store

ABSENT = "sha256:" + "0" * 64


@pytest.fixture(params=plugins.keys("stores"))
def key(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def store(key: str, tmp_path: Path) -> Store:
    module = plugins.load("stores", key)
    return module.open(module.Params(), tmp_path)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("data", [b"", b"x", b"\x00\xff" * 700_000], ids=["empty", "small", "larger-than-a-chunk"])
def test_put_returns_the_digest_and_get_the_same_bytes(store: Store, data: bytes) -> None:
    """Bytes come back unchanged under the sha256 of their content."""
    digest = store.put(data)
    assert digest == digest_of(data)
    assert store.has(digest)
    assert store.get(digest) == data


def test_put_file_equals_put(store: Store, tmp_path: Path) -> None:
    """A file and its bytes have one digest and are one blob."""
    path = tmp_path / "input.bin"
    path.write_bytes(b"rows" * 100_000)
    assert store.put_file(path) == store.put(path.read_bytes())
    assert store.get(digest_of(path.read_bytes())) == path.read_bytes()


def test_put_file_names_a_file_that_is_not_there(store: Store, tmp_path: Path) -> None:
    """A missing input is the user's file, not the store's fault."""
    with pytest.raises(ModelOpsError, match=r"absent\.bin") as error:
        store.put_file(tmp_path / "absent.bin")
    assert error.value.problems[0].code == "file-unreadable"


def test_fetch_writes_verified_bytes(store: Store, tmp_path: Path) -> None:
    """A fetched file holds the blob and nothing is left beside it."""
    digest = store.put(b"artifact")
    folder = tmp_path / "out"
    folder.mkdir()
    store.fetch(digest, folder / "artifact.bin")
    assert [path.name for path in folder.iterdir()] == ["artifact.bin"]
    assert (folder / "artifact.bin").read_bytes() == b"artifact"


def test_fetch_into_a_missing_folder_is_refused(store: Store, tmp_path: Path) -> None:
    """A destination that cannot be written is an error of its own."""
    with pytest.raises(ModelOpsError) as error:
        store.fetch(store.put(b"artifact"), tmp_path / "no" / "artifact.bin")
    assert error.value.problems[0].code == "file-unwritable"
    assert error.value.exit == 4


@pytest.mark.parametrize("verb", ["get", "fetch", "tag"])
def test_a_missing_digest_is_named(store: Store, tmp_path: Path, verb: str) -> None:
    """Reading what is not there says which digest, and exits 4 because it may arrive."""
    calls = {
        "get": lambda: store.get(ABSENT),
        "fetch": lambda: store.fetch(ABSENT, tmp_path / "out"),
        "tag": lambda: store.tag("name", ABSENT),
    }
    assert not store.has(ABSENT)
    with pytest.raises(ModelOpsError, match=ABSENT) as error:
        calls[verb]()
    assert error.value.problems[0].code == "not-in-store"
    assert error.value.exit == 4
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 32, "sha256:" + "A" * 64])
def test_only_sha256_digests_are_accepted(store: Store, digest: str) -> None:
    """A malformed digest never becomes a path."""
    with pytest.raises(ModelOpsError) as error:
        store.get(digest)
    assert error.value.problems[0].code == "bad-digest"


def test_a_name_points_to_a_manifest_and_moves(store: Store) -> None:
    """A name resolves to the manifest tagged last; unknown names resolve to None."""
    first = store.put(json.dumps({"schemaVersion": 2, "number": 1}).encode())
    second = store.put(json.dumps({"schemaVersion": 2, "number": 2}).encode())
    assert store.resolve("fraud/detection-1") is None
    store.tag("fraud/detection-1", first)
    store.tag("build-abc", first)
    assert store.resolve("fraud/detection-1") == first
    store.tag("fraud/detection-1", second)
    store.tag("fraud/detection-1", second)
    assert store.resolve("fraud/detection-1") == second
    assert store.resolve("build-abc") == first


@pytest.mark.parametrize("name", ["", "a b", "-a", "a//b", "../a", "a\n"])
def test_a_name_outside_the_grammar_is_refused(store: Store, name: str) -> None:
    """Names follow the grammar of org.opencontainers.image.ref.name."""
    digest = store.put(b"{}")
    with pytest.raises(ModelOpsError) as error:
        store.tag(name, digest)
    assert error.value.problems[0].code == "bad-reference"


def test_only_a_manifest_can_be_named(store: Store) -> None:
    """A blob that is no JSON object gets no name."""
    digest = store.put(b"not a manifest")
    with pytest.raises(ModelOpsError) as error:
        store.tag("name", digest)
    assert error.value.problems[0].code == "not-a-manifest"
    assert store.resolve("name") is None


WRITER = """
import json, sys
from pathlib import Path
from modelops import plugins
module = plugins.load("stores", sys.argv[1])
store = module.open(module.Params(), Path(sys.argv[2]))
for number in range(25):
    store.put(b"shared" * 1000 + bytes([number]))
    store.tag(f"{sys.argv[3]}-{number}", store.put(json.dumps({"by": sys.argv[3], "number": number}).encode()))
"""


def test_two_processes_write_at_once_and_nothing_is_lost(key: str, store: Store, tmp_path: Path) -> None:
    """Every name that any writer gave is there afterwards, and every shared blob is whole."""
    commands = [[sys.executable, "-c", WRITER, key, str(tmp_path), name] for name in ("left", "right")]
    writers = [subprocess.Popen(command) for command in commands]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    for name in ("left", "right"):
        for number in range(25):
            digest = store.resolve(f"{name}-{number}")
            assert digest is not None
            assert json.loads(store.get(digest)) == {"by": name, "number": number}
            assert store.has(digest_of(b"shared" * 1000 + bytes([number])))
