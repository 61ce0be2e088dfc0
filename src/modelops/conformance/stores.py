"""What every store keeps: verified bytes by digest, names of manifests, and whole writes by several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from modelops.conformance.shelf import check_module, params_of
from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError
from modelops.stores import Part, Store, StoreModule, keep, open_at

__all__ = ["CHECKS", "Ground", "check"]

_ABSENT = "sha256:" + "0" * 64
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_NO_DIGESTS = ("", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 32, "sha256:" + "A" * 64)
_NO_NAMES = ("", "a b", "-a", "a/b", "../a", "a\n", "a---b", "a" * 129)


@dataclass(frozen=True)
class Ground:
    """A store with the parameters of an empty place, and an empty folder: paths in the parameters are relative to it.

    ``key`` is what the store is called on the shelf: other processes open it by its address, as a server does.
    """

    key: str
    module: StoreModule
    params: Mapping[str, object]
    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def store(self) -> Store:
        """The store, opened once."""
        return self.module.open(params_of(self.module, self.params), self.folder, self.environ)

    def new(self, name: str) -> Path:
        """Return a new folder beside the store."""
        made = self.folder / name
        made.mkdir()
        return made

    def run(self, code: str, *words: str) -> subprocess.Popen[str]:
        """Start a Python process that knows the store's address."""
        command = [sys.executable, "-c", code, self.store.address.text, *words]
        return subprocess.Popen(command, env={**os.environ, **self.environ}, stdout=subprocess.PIPE, text=True)


def check(ground: Ground) -> None:
    """Run every check on one store, one after the other."""
    for one in CHECKS:
        one(ground)


def _refused(call: Callable[[], object], code: str, exit: int | None = None) -> ModelOpsError:
    found = None
    try:
        call()
    except ModelOpsError as error:
        found = error
    assert found is not None, f"it is not refused with {code!r}"
    assert found.problems[0].code == code, f"it is refused with {found.problems[0].code!r} instead of {code!r}: {found}"
    assert exit is None or found.exit == exit, f"{code} exits with {found.exit!r}"
    return found


def _manifest(store: Store, number: int, by: str = "tests") -> bytes:
    config = json.dumps({"number": number, "by": by}).encode()
    part = {"mediaType": "application/json", "digest": store.put(config), "size": len(config)}
    return json.dumps({"schemaVersion": 2, "mediaType": _MANIFEST, "config": part, "layers": []}).encode()


def check_shelf(ground: Ground) -> None:
    """It exposes what the Protocol names and refuses unknown parameters."""
    check_module("stores", ground.module, ground.params)


def check_bytes_come_back(ground: Ground) -> None:
    """Bytes come back unchanged under the sha256 of their content: none, one, and more than a chunk."""
    for data in (b"", b"x", b"\x00\xff" * 700_000):
        digest = ground.store.put(data)
        assert digest == digest_bytes(data), f"{digest} is not the digest of the bytes"
        assert ground.store.has(digest), f"{digest} was put and is not there"
        assert ground.store.get(digest) == data, f"{digest} comes back with other bytes"


def check_a_file_is_its_bytes(ground: Ground) -> None:
    """A file and its bytes have one digest and are one blob; a file that is not there is named."""
    path = ground.new("input") / "input.bin"
    path.write_bytes(b"rows" * 100_000)
    assert ground.store.put_file(path) == ground.store.put(path.read_bytes()), "a file is not its bytes"
    assert ground.store.get(digest_bytes(path.read_bytes())) == path.read_bytes(), "a file comes back with other bytes"
    error = _refused(lambda: ground.store.put_file(path.with_name("absent.bin")), "file-unreadable")
    assert "absent.bin" in str(error), "the file that is not there is not named"


def check_fetching(ground: Ground) -> None:
    """A fetched file holds the blob and nothing is left beside it; a folder that is not there is no fault of ours."""
    digest, folder = ground.store.put(b"artifact"), ground.new("fetched")
    ground.store.fetch(digest, folder / "artifact.bin")
    assert [path.name for path in folder.iterdir()] == ["artifact.bin"], "something is left beside the file"
    assert (folder / "artifact.bin").read_bytes() == b"artifact", "other bytes are fetched"
    _refused(lambda: ground.store.fetch(digest, folder / "no" / "artifact.bin"), "file-unwritable", 4)


def check_a_missing_digest_is_named(ground: Ground) -> None:
    """Reading what is not there says which digest, and exits 4 because it may arrive."""
    store, out = ground.store, ground.folder / "out"
    assert not store.has(_ABSENT), "it has what nobody put"
    for call in (
        lambda: store.get(_ABSENT),
        lambda: store.fetch(_ABSENT, out),
        lambda: store.tag("name", _ABSENT),
    ):
        assert _ABSENT in str(_refused(call, "not-in-store", 4)), "the missing digest is not named"
    assert not out.exists(), "a file is written of what is not there"


def check_only_digests_are_read(ground: Ground) -> None:
    """A malformed digest never becomes a path."""
    for digest in _NO_DIGESTS:
        _refused(lambda digest=digest: ground.store.get(digest), "bad-digest")  # type: ignore[misc]


def check_names(ground: Ground) -> None:
    """A name resolves to the manifest tagged last; unknown names resolve to None; all names are listed."""
    store = ground.store
    before = set(store.references())
    first, second = store.put(_manifest(store, 1)), store.put(_manifest(store, 2))
    assert store.resolve("fraud.detection-1") is None, "a name that nobody gave is resolved"
    store.tag("fraud.detection-1", first)
    store.tag("build-abc", first)
    assert store.resolve("fraud.detection-1") == first, "a name is not resolved"
    store.tag("fraud.detection-1", second)
    store.tag("fraud.detection-1", second)
    assert store.resolve("fraud.detection-1") == second, "a name has not moved"
    assert store.resolve("build-abc") == first, "another name has moved along"
    assert set(store.references()) - before == {"fraud.detection-1", "build-abc"}, "not all names are listed"
    assert store.get(first) == _manifest(store, 1), "a manifest that lost a name has changed"


def check_what_cannot_be_named(ground: Ground) -> None:
    """Names are those that a registry's tags and an image layout's references have in common, and only of manifests."""
    store = ground.store
    for name in _NO_NAMES:
        _refused(lambda name=name: store.tag(name, store.put(b"{}")), "bad-reference")  # type: ignore[misc]
    _refused(lambda: store.tag("blob", store.put(b"not a manifest")), "not-a-manifest")
    for name in ("blob", "a/b", "@", ""):
        assert store.resolve(name) is None, f"{name!r} is resolved, and no manifest can have it"


def check_blobs_are_kept(ground: Ground) -> None:
    """Files that only git names get a manifest, so that no cleaning of a registry takes them; many get several."""
    store = ground.store
    parts = [Part("rows.csv", store.put(b"a,b\n1,2\n"), 8)]
    before = set(store.references())
    keep(store, "data-1", "application/x", parts)
    keep(store, "data-1", "application/x", parts)
    digest = store.resolve("data-1")
    assert digest is not None, "what is kept has no name"
    (layer,) = json.loads(store.get(digest))["layers"]
    assert (layer["digest"], layer["size"]) == (parts[0].digest, 8), "the manifest names another file"
    keep(store, "data-2", "application/x", parts * 5001)
    assert set(store.references()) - before == {"data-1", "data-2", "data-2-1"}, "many files are not kept by several"


def check_its_address(ground: Ground) -> None:
    """What a store says of itself opens it again, from another folder, and begins with the store's key."""
    store, digest = ground.store, ground.store.put(b"artifact")
    assert store.address.text.startswith(f"{ground.key}:"), f"{store.address.text} does not begin with the key"
    again = open_at(store.address.text, ground.new("elsewhere"), ground.environ)
    assert again.get(digest) == b"artifact", "its address opens another store"
    assert again.address == store.address, "opened by its address, it has another one"


def check_a_folder_can_be_mounted(ground: Ground) -> None:
    """A store that is a folder can be carried elsewhere and is opened there; others are reached by ports."""
    address, digest = ground.store.address, ground.store.put(b"artifact")
    if address.folder is None:
        assert address.ports, "it is no folder, and says no port by which it is reached"
        return
    moved = ground.folder / "mounted"
    address.folder.rename(moved)
    try:
        found = open_at(address.mounted(str(moved)), Path("/"), ground.environ).get(digest)
    finally:
        moved.rename(address.folder)
    assert found == b"artifact", "mounted elsewhere it is another store"


_FULL = """
import os, resource, signal, sys
from pathlib import Path
from modelops.errors import ModelOpsError
from modelops.stores import open_at
store = open_at(sys.argv[1], Path.cwd(), os.environ)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    store.fetch(sys.argv[2], Path(sys.argv[3]))
except ModelOpsError as error:
    print(error.problems[0].code, int(error.exit))
"""


def check_a_full_disk(ground: Ground) -> None:
    """A full disk is the disk's error, not the store's, and no half file is left."""
    digest, folder = ground.store.put(b"artifact" * 100_000), ground.new("full")
    said, _ = ground.run(_FULL, digest, str(folder / "artifact")).communicate(timeout=60)
    assert said.split() == ["file-unwritable", "4"], f"a full disk is told as {said!r}"
    assert list(folder.iterdir()) == [], "half a file is left"


_WRITER = """
import os, sys
from pathlib import Path
from modelops.conformance.stores import _manifest
from modelops.stores import open_at
store = open_at(sys.argv[1], Path.cwd(), os.environ)
for number in range(12):
    store.put(b"shared" * 1000 + bytes([number]))
    store.tag(f"{sys.argv[2]}-{number}", store.put(_manifest(store, number, sys.argv[2])))
"""


def check_two_writers_at_once(ground: Ground) -> None:
    """Every name that any of two processes gave is there afterwards, and every shared blob is whole."""
    store = ground.store
    writers = [ground.run(_WRITER, name) for name in ("left", "right")]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0, "a writer has failed beside another one"
    for name in ("left", "right"):
        for number in range(12):
            digest = store.resolve(f"{name}-{number}")
            assert digest is not None, f"the name {name}-{number} is lost"
            assert store.get(digest) == _manifest(store, number, name), f"{name}-{number} is another manifest"
            assert store.has(digest_bytes(b"shared" * 1000 + bytes([number]))), "a shared blob is lost"


CHECKS: tuple[Callable[[Ground], None], ...] = (
    check_shelf,
    check_bytes_come_back,
    check_a_file_is_its_bytes,
    check_fetching,
    check_a_missing_digest_is_named,
    check_only_digests_are_read,
    check_names,
    check_what_cannot_be_named,
    check_blobs_are_kept,
    check_its_address,
    check_a_folder_can_be_mounted,
    check_a_full_disk,
    check_two_writers_at_once,
)
