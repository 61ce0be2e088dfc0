"""The package: deterministic bytes, and every byte verified on the way back."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from artifacts.makers import NUMBERS, Memory, artifact_files, fitted
from modelops.artifacts import load_predictor, open_artifact, pack, put_artifact
from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return artifact_files(fitted(LogisticRegression(), NUMBERS)[0], NUMBERS)


def test_equal_files_give_equal_bytes(files: dict[str, bytes]) -> None:
    """The order of the mapping does not matter, and nothing else enters."""
    assert pack(files) == pack(dict(reversed(files.items())))


def test_the_layer_is_a_plain_tar_of_an_image(files: dict[str, bytes]) -> None:
    """Any OCI tool and any tar can read it: types, sizes and diff id are the standard's."""
    manifest, config, layer = (pack(files)[0], pack(files)[1], pack(files)[2])
    document = json.loads(manifest)
    assert document["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert document["config"] == {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest_bytes(config),
        "size": len(config),
    }
    assert document["layers"][0]["digest"] == digest_bytes(layer) == json.loads(config)["rootfs"]["diff_ids"][0]
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["models", *sorted(files)]
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}


def test_what_was_put_can_be_opened_and_predicts(files: dict[str, bytes]) -> None:
    """Opening returns the same files; the reported size counts all stored bytes."""
    store = Memory()
    stored = put_artifact(store, files)
    artifact = open_artifact(store, stored.digest)
    assert dict(artifact.files) == files
    assert artifact.size == stored.size == sum(map(len, store.values()))
    assert load_predictor(artifact).engine == "onnx"


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_one_changed_byte_is_refused(files: dict[str, bytes], part: str) -> None:
    """A byte changed in any blob is named by that blob's digest, even if the store does not look."""
    store = Memory()
    digest = put_artifact(store, files).digest
    manifest = json.loads(store[digest])
    target = {"manifest": digest, "config": manifest["config"]["digest"], "layer": manifest["layers"][0]["digest"]}[
        part
    ]
    data = bytearray(store[target])
    data[len(data) // 2] ^= 1
    store[target] = bytes(data)
    with pytest.raises(ModelOpsError, match="digest-mismatch") as caught:
        open_artifact(store, digest)
    assert target in caught.value.problems[0].message


def _tarred(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _info(name: str, **more: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    for key, value in more.items():
        setattr(info, key, value)
    return info


def _forged(files: dict[str, bytes], members: list[tuple[tarfile.TarInfo, bytes]]) -> tuple[Memory, str]:
    """A store whose digests all fit but whose layer is another tar than modelops writes."""
    manifest, config, _ = pack(files)
    layer = _tarred(members)
    new_config = json.loads(config) | {"rootfs": {"type": "layers", "diff_ids": [digest_bytes(layer)]}}
    config = json.dumps(new_config).encode()
    document = json.loads(manifest)
    document["config"] |= {"digest": digest_bytes(config), "size": len(config)}
    document["layers"][0] |= {"digest": digest_bytes(layer), "size": len(layer)}
    store = Memory()
    store.put(layer)
    store.put(config)
    return store, store.put(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ((_info("../outside"), b"x"), "unexpected member '../outside'"),
        ((_info("/etc/passwd"), b"x"), "unexpected member"),
        ((_info("models/extra.bin"), b"x"), "unexpected member 'models/extra.bin'"),
        ((_info("models/model.onnx", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b""), "unexpected member"),
        ((_info("models/smoke.json"), b"{}"), "unexpected member 'models/smoke.json'"),
    ],
)
def test_a_tar_with_other_members_is_refused(
    files: dict[str, bytes], extra: tuple[tarfile.TarInfo, bytes], says: str
) -> None:
    """Escapes, links, duplicates and strangers are refused although every digest fits."""
    kept = [
        (_info(path), data) for path, data in sorted(files.items()) if path != extra[0].name or not extra[0].issym()
    ]
    store, digest = _forged(files, [*kept, extra])
    with pytest.raises(ModelOpsError, match="bad-artifact") as caught:
        open_artifact(store, digest)
    assert says in caught.value.problems[0].message


@pytest.mark.parametrize("change", ["content", "header"])
def test_a_layer_that_differs_from_its_listing_is_refused(files: dict[str, bytes], change: str) -> None:
    """Another content than the config lists, or a tar that is not canonical, is refused."""
    members = [(_info(path, mtime=1 if change == "header" else 0), data) for path, data in sorted(files.items())]
    if change == "content":
        members[-1] = (members[-1][0], b"{}")
    store, digest = _forged(files, members)
    with pytest.raises(ModelOpsError, match="bad-artifact"):
        open_artifact(store, digest)


@pytest.mark.parametrize("broken", [b"not json", b"[]", b'{"mediaType": "x"}', b'{"config": {}, "layers": []}'])
def test_a_manifest_of_another_kind_is_refused(broken: bytes) -> None:
    """Whatever a digest leads to, it must be the manifest of an artifact."""
    store = Memory()
    with pytest.raises(ModelOpsError, match="bad-artifact"):
        open_artifact(store, store.put(broken))


def test_an_artifact_without_its_parts_is_not_packed(files: dict[str, bytes]) -> None:
    """A missing signature or an unknown file is named."""
    with pytest.raises(ModelOpsError, match=r"no models/signature\.json"):
        pack({path: data for path, data in files.items() if path != "models/signature.json"})
    with pytest.raises(ModelOpsError, match=r"an unexpected 'models/notes\.txt'"):
        pack(files | {"models/notes.txt": b""})


def test_an_artifact_carries_rows_to_warm_up_with(files: dict[str, bytes]) -> None:
    """The rows of the recorded predictions can be read by feature, in the features' order."""
    store = Memory()
    samples = open_artifact(store, put_artifact(store, files).digest).samples
    names = [feature["name"] for feature in json.loads(files["models/signature.json"])["features"]]
    assert list(samples) == names
    assert {len(values) for values in samples.values()} == {len(json.loads(files["models/smoke.json"])["scores"])}
    broken = open_artifact(store, put_artifact(store, files | {"models/smoke.json": b"{}"}).digest)
    with pytest.raises(ModelOpsError, match="holds no rows"):
        _ = broken.samples
