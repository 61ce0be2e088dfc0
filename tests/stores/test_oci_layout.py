"""The OCI image layout on disk, and what happens when the disk does not play along."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelops.errors import ModelOpsError
from modelops.files import replacing
from modelops.stores.oci_layout import REFERENCE_KEY, OciLayout, Params
from modelops.stores.oci_layout import open as open_store

MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}


@pytest.fixture
def store(tmp_path: Path) -> OciLayout:
    return open_store(Params(path="store"), tmp_path)


def blob(store: OciLayout, digest: str) -> Path:
    return store.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".incoming*"))


def test_the_folder_is_an_image_layout(store: OciLayout) -> None:
    """oci-layout, index.json and blobs have the names and shapes of the image-layout specification."""
    data = json.dumps(MANIFEST).encode()
    digest = store.put(data)
    store.tag("fraud-detection-1", digest)
    assert json.loads((store.folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((store.folder / "index.json").read_bytes()) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": MANIFEST["mediaType"],
                "digest": digest,
                "size": len(data),
                "annotations": {"org.opencontainers.image.ref.name": "fraud-detection-1"},
            }
        ],
    }
    assert blob(store, digest).read_bytes() == data
    assert store.references() == {"fraud-detection-1": digest}
    assert leftovers(store.folder) == []


def test_looking_writes_nothing(store: OciLayout) -> None:
    """A store that was only asked has no folder."""
    assert store.resolve("anything") is None
    assert not store.has("sha256:" + "0" * 64)
    assert not store.folder.exists()


@pytest.mark.parametrize("change", ["flip", "truncate", "append"])
def test_changed_bytes_are_refused_and_put_heals_them(store: OciLayout, tmp_path: Path, change: str) -> None:
    """One changed byte is refused by get, fetch and tag, naming the digest; a new put repairs the blob."""
    data = json.dumps(MANIFEST).encode()
    digest = store.put(data)
    changed = {"flip": bytes([data[0] ^ 1]) + data[1:], "truncate": data[:-1], "append": data + b" "}[change]
    blob(store, digest).write_bytes(changed)
    for read in (
        lambda: store.get(digest),
        lambda: store.fetch(digest, tmp_path / "out.json"),
        lambda: store.tag("name", digest),
    ):
        with pytest.raises(ModelOpsError, match=digest) as error:
            read()
        assert error.value.problems[0].code == "digest-mismatch"
        assert error.value.exit == 3
    assert not (tmp_path / "out.json").exists()
    assert leftovers(tmp_path) == []
    assert store.put(data) == digest
    assert store.get(digest) == data


@pytest.mark.parametrize("text", ["", "[]", "{", '{"manifests": [1]}', '{"manifests": {}}'])
def test_a_broken_index_is_named(store: OciLayout, text: str) -> None:
    """An index that is not an OCI index is an error, never an empty store."""
    digest = store.put(b"{}")
    (store.folder / "index.json").write_text(text)
    for call in (lambda: store.resolve("name"), lambda: store.tag("name", digest)):
        with pytest.raises(ModelOpsError, match=r"index\.json") as error:
            call()
        assert error.value.problems[0].code == "store-index-invalid"
    assert (store.folder / "index.json").read_text() == text


def test_entries_of_other_tools_are_kept(store: OciLayout) -> None:
    """An entry without a name, as other tools write, survives a new name."""
    digest = store.put(b"{}")
    foreign = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "1" * 64, "size": 2}
    (store.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [foreign]}))
    store.tag("name", digest)
    assert foreign in json.loads((store.folder / "index.json").read_bytes())["manifests"]
    assert store.resolve("name") == digest


def test_leftovers_of_killed_writers_are_swept(store: OciLayout) -> None:
    """What a killed writer left goes with the next write, whichever version it was; what is being written stays."""
    store.put(b"{}")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    for name in (f".incoming-{process.pid}-{'0' * 16}", f".incoming.{process.pid}-{'0' * 16}"):
        (store.folder / name).write_bytes(b"half")
    with replacing(store.folder, "incoming") as (file, _):
        store.put(b"{} ")
        assert leftovers(store.folder) == [Path(file.name).name]
    assert leftovers(store.folder) == []


def test_a_folder_that_vanishes_is_created_again(store: OciLayout) -> None:
    """A long-lived process survives the removal of its store."""
    store.put(b"first")
    shutil.rmtree(store.folder)
    assert store.get(store.put(b"second")) == b"second"


def test_a_file_in_the_place_of_the_store_is_refused(store: OciLayout) -> None:
    """A path that cannot become a folder is unwritable, and retryable."""
    store.folder.write_text("in the way")
    with pytest.raises(ModelOpsError, match=str(store.folder)) as error:
        store.put(b"data")
    assert error.value.problems[0].code == "store-unwritable"
    assert error.value.exit == 4
    assert error.value.retryable


FULL = """
import resource, signal, sys
from pathlib import Path
from modelops.errors import ModelOpsError
from modelops.files import replacing
from modelops.stores.oci_layout import OciLayout
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = OciLayout(Path(sys.argv[1]))
for call in (lambda: store.put(b"x" * 3_000_000), lambda: store.put_file(Path(sys.argv[2]))):
    try:
        call()
    except ModelOpsError as error:
        print(error.problems[0].code, int(error.exit), error.retryable)
"""


def test_a_full_disk_leaves_no_half_file(store: OciLayout, tmp_path: Path) -> None:
    """A write that the system cuts short is reported as retryable; what was there stays readable."""
    kept = store.put(b"kept")
    large = tmp_path / "large.bin"
    large.write_bytes(b"y" * 3_000_000)
    command = [sys.executable, "-c", FULL, str(store.folder), str(large)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["store-unwritable 4 True"] * 2, result.stderr
    assert leftovers(store.folder) == []
    assert [path.name for path in (store.folder / "blobs" / "sha256").iterdir()] == [kept.removeprefix("sha256:")]
    assert store.get(kept) == b"kept"


@pytest.fixture
def world_readable() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=True)
    shutil.rmtree(folder)


READ_ONLY = """
import os, sys
from pathlib import Path
from modelops.errors import ModelOpsError
from modelops.files import replacing
from modelops.stores.oci_layout import OciLayout
if os.geteuid() == 0:
    os.setuid(65534)
store = OciLayout(Path(sys.argv[1]))
print(store.get(sys.argv[2]).decode(), store.resolve("name") == sys.argv[2])
for call in (lambda: store.put(b"new"), lambda: store.tag("other", sys.argv[2])):
    try:
        call()
    except ModelOpsError as error:
        print(error.problems[0].code, int(error.exit), error.retryable)
print(store.put(b"{}") == sys.argv[2])
"""


def test_a_read_only_store_reads_and_refuses_to_write(world_readable: Path) -> None:
    """Reading needs no write access; writing is refused as retryable; what is there already needs no write."""
    store = OciLayout(world_readable / "store")
    digest = store.put(b"{}")
    store.tag("name", digest)
    subprocess.run(["chmod", "-R", "a+rX,a-w", str(store.folder)], check=True)
    command = [sys.executable, "-c", READ_ONLY, str(store.folder), digest]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["{} True", *["store-unwritable 4 True"] * 2, "True"], result.stderr


@pytest.mark.parametrize("name", ["build-" + "a" * 64, "fraud/detection-1", "a+b@c:d"])
def test_names_that_were_given_before_are_still_read(store: OciLayout, name: str) -> None:
    """A layout of an older version, or of another tool, keeps its names, also when new ones come."""
    digest = store.put(b'{"schemaVersion":2}')
    index = {"schemaVersion": 2, "manifests": [{"digest": digest, "annotations": {REFERENCE_KEY: name}}]}
    (store.folder / "index.json").write_text(json.dumps(index))
    assert store.resolve(name) == digest
    store.tag("fraud.detection-2", digest)
    assert set(store.references()) == {name, "fraud.detection-2"}
    assert OciLayout(store.folder).resolve(name) == digest
