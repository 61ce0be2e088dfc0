"""The package of an artifact: an OCI image manifest over one uncompressed, deterministic tar.

Equal files give equal bytes. ``open_artifact`` verifies every byte on the way back: the manifest against its digest,
the config and the layer against the manifest, the members of the tar against the list in the config.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from modelops.artifacts.signature import SCIKIT_LEARN, Signature, canonical_json
from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError, failure
from modelops.spec.kinds.release import ReleaseFile

__all__ = [
    "Artifact",
    "BlobStore",
    "Stored",
    "artifact_blobs",
    "open_artifact",
    "pack",
    "put_artifact",
    "verify_artifact",
]

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
FILES_LABEL = "dev.modelops.files"

SKOPS = "models/model.skops"
ONNX = "models/model.onnx"
SIGNATURE = "models/signature.json"
SMOKE = "models/smoke.json"
BACKGROUND = "models/background.json"
REQUIRED = frozenset({SIGNATURE, SMOKE})
PARTS = "models/parts/"
CODE = "models/code/"
_NAMED = frozenset({SKOPS, ONNX, SIGNATURE, SMOKE, BACKGROUND})
_MORE = re.compile(rf"{PARTS}[0-9]{{1,3}}/[a-z0-9][a-z0-9._-]{{0,60}}|{CODE}[^/\0]+(?:/[^/\0]+)*")

MAXIMUM_BYTES = 2 << 30
"""No artifact larger than this is packed or opened."""

_MAXIMUM_DOCUMENT = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class BlobStore(Protocol):
    """What this package needs of a store."""

    def has(self, digest: str) -> bool:
        """Tell whether a blob is there."""
        ...

    def get(self, digest: str) -> bytes:
        """Return the bytes of a blob."""
        ...

    def put(self, data: bytes) -> str:
        """Keep a blob and return its digest."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact in a store: its manifest digest, the bytes of manifest, config and layer together, and its files."""

    digest: str
    size: int
    files: tuple[ReleaseFile, ...]


@dataclass(frozen=True)
class Artifact:
    """The verified files of an artifact by their path in the layer."""

    digest: str
    size: int
    files: Mapping[str, bytes]

    @cached_property
    def signature(self) -> Signature:
        """The parsed ``signature.json``."""
        return Signature.parse(self.files[SIGNATURE])

    @property
    def foreign(self) -> bool:
        """Whether loading what is served means that a library reads files of its own form."""
        return self.signature.engine != "onnx" and bool(self.signature.parts)

    @cached_property
    def samples(self) -> Mapping[str, Sequence[Any]]:
        """A few rows of the test part, by feature: numbers, texts, and None for a missing number."""
        return self._rows(SMOKE)

    @cached_property
    def background(self) -> Mapping[str, np.ndarray[Any, Any]] | None:
        """The rows that stand in for what is not given when a prediction is explained, as columns of the frame.

        None where the artifact was built before they were kept.
        """
        if BACKGROUND not in self.files:
            return None
        kept = self._rows(BACKGROUND)
        texts = {feature.name for feature in self.signature.features if feature.type == "category"}
        try:
            found = {name: frame_column(values, text=name in texts) for name, values in kept.items()}
        except (TypeError, ValueError):
            raise _bad(self.digest, "background.json holds what is no value of its feature") from None
        if len({len(values) for values in found.values()}) != 1 or not len(next(iter(found.values()))):
            raise _bad(self.digest, "background.json has columns of different lengths")
        return found

    def _rows(self, path: str) -> Mapping[str, Sequence[Any]]:
        name = path.rpartition("/")[2]
        columns = _document(self.files[path], name, self.digest).get("columns")
        names = [feature.name for feature in self.signature.features]
        if not isinstance(columns, dict) or not all(isinstance(columns.get(each), list) for each in names):
            raise _bad(self.digest, f"{name} holds no rows")
        return {each: columns[each] for each in names}


def frame_column(values: Sequence[Any], *, text: bool) -> np.ndarray[Any, Any]:
    """Return a column of the frame from its values in JSON, where None is a missing number."""
    if text:
        found = np.empty(len(values), dtype=object)
        found[:] = [str(value) for value in values]
        return found
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def rows_document(columns: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, list[Any]]:
    """Return columns of the frame as JSON has them."""
    return {
        name: [None if isinstance(value, float) and math.isnan(value) else value for value in array.tolist()]
        for name, array in columns.items()
    }


def pack(files: Mapping[str, bytes]) -> tuple[bytes, bytes, bytes]:
    """Return the bytes of manifest, config and layer for the files of an artifact; equal files give equal bytes."""
    _check_names(files, "an artifact")
    layer = _tar(files)
    listing = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())}
    config = canonical_json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {FILES_LABEL: canonical_json(listing).decode()}},
            "rootfs": {"type": "layers", "diff_ids": [digest_bytes(layer)]},
        }
    )
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": digest_bytes(config), "size": len(config)},
            "layers": [{"mediaType": LAYER_TYPE, "digest": digest_bytes(layer), "size": len(layer)}],
        }
    )
    return manifest, config, layer


def put_artifact(store: BlobStore, files: Mapping[str, bytes]) -> Stored:
    """Pack files and store layer, config and manifest, in this order, so that a manifest never lacks its blobs."""
    manifest, config, layer = pack(files)
    for blob in (layer, config):
        store.put(blob)
    listing = tuple(
        ReleaseFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        for path, data in sorted(files.items())
    )
    return Stored(store.put(manifest), len(manifest) + len(config) + len(layer), listing)


def open_artifact(store: BlobStore, digest: str) -> Artifact:
    """Return the files of a stored artifact after verifying every byte of it.

    Bytes that do not match their digest raise ``digest-mismatch``; a manifest, config or tar that modelops would not
    have written raises ``bad-artifact``.
    """
    manifest, config, layer = _blobs(store, digest)
    listing = _listing(_document(config, "config", digest), digest_bytes(layer), digest)
    files = _untar(layer, digest)
    if {path: hashlib.sha256(data).hexdigest() for path, data in files.items()} != listing:
        raise _bad(digest, "the members of the layer are not those that the config lists")
    artifact = Artifact(digest, len(manifest) + len(config) + len(layer), files)
    _check_parts(artifact)
    return artifact


def artifact_blobs(store: BlobStore, digest: str) -> dict[str, bytes]:
    """Return the verified bytes of an artifact by their digests, for whoever keeps them elsewhere: the manifest last.

    Raises what ``verify_artifact`` does.
    """
    manifest, config, layer = _blobs(store, digest)
    return {digest_bytes(layer): layer, digest_bytes(config): config, digest: manifest}


def part_path(place: int, name: str) -> str:
    """Return where a file of a part lies in an artifact."""
    return f"{PARTS}{place}/{name}"


def files_of(artifact: Artifact, place: int) -> dict[str, bytes]:
    """Return the files of a part by their names."""
    return {name: artifact.files[part_path(place, name)] for name in artifact.signature.parts[place].files}


def code_of(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the code that an artifact runs, by its path in the model's folder; most run none."""
    return {path.removeprefix(CODE): data for path, data in files.items() if path.startswith(CODE)}


def _check_parts(artifact: Artifact) -> None:
    """Refuse files that the signature does not name, and a signature that names files that are not there."""
    signature, digest = artifact.signature, artifact.digest
    if (signature.engine == "onnx") != (ONNX in artifact.files):
        raise _bad(digest, f"the signature names engine {signature.engine!r}, the files say otherwise")
    named = {part_path(place, name) for place, part in enumerate(signature.parts) for name in part.files}
    if named != {path for path in artifact.files if path.startswith(PARTS)}:
        raise _bad(digest, "the parts of the model are not those that the signature names")
    if (signature.runtime == SCIKIT_LEARN) != (SKOPS in artifact.files):
        raise _bad(digest, f"the signature names the runtime {signature.runtime!r}, the files say otherwise")


def verify_artifact(store: BlobStore, digest: str) -> None:
    """Raise what ``open_artifact`` does unless a store holds an artifact with the very bytes that its digest names.

    What is in those bytes is not looked at: that was done when it was released, and is done again when it is loaded.
    """
    _blobs(store, digest)


def _blobs(store: BlobStore, digest: str) -> tuple[bytes, bytes, bytes]:
    """Return the verified bytes of an artifact's manifest, config and layer."""
    manifest_bytes = _verified(store, digest, "manifest", _MAXIMUM_DOCUMENT)
    manifest = _document(manifest_bytes, "manifest", digest)
    config_entry = _entry(manifest.get("config"), CONFIG_TYPE, digest)
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) != 1 or manifest.get("mediaType") != MANIFEST_TYPE:
        raise _bad(digest, "the manifest is not an image manifest of exactly one layer")
    layer_entry = _entry(layers[0], LAYER_TYPE, digest)
    config = _verified(store, config_entry[0], "config", _MAXIMUM_DOCUMENT, config_entry[1])
    return manifest_bytes, config, _verified(store, layer_entry[0], "layer", MAXIMUM_BYTES, layer_entry[1])


def _bad(digest: str, what: str) -> ModelOpsError:
    return failure("bad-artifact", f"artifact {digest}: {what}")


def _check_names(files: Mapping[str, bytes], what: str) -> None:
    missing = REQUIRED - files.keys()
    if not any(path == SKOPS or path.startswith(PARTS) for path in files):
        missing |= {SKOPS}
    extra = {path for path in files if not _allowed(path)}
    if missing or extra:
        detail = [f"no {path}" for path in sorted(missing)] + [f"an unexpected {path!r}" for path in sorted(extra)]
        raise failure("bad-artifact", f"{what} holds {' and '.join(detail)}")
    if sum(map(len, files.values())) > MAXIMUM_BYTES:
        raise failure("artifact-too-large", f"{what} is larger than {MAXIMUM_BYTES >> 20} MiB")


def _allowed(path: str) -> bool:
    """Tell whether an artifact may hold a file of this name; none leads out of its folder."""
    within = _MORE.fullmatch(path) is not None and not {".", ".."} & set(path.split("/"))
    return path in _NAMED or (within and len(path.encode()) <= 100)


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        folder = tarfile.TarInfo("models")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        for path, data in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _verified(store: BlobStore, digest: str, what: str, limit: int, size: int | None = None) -> bytes:
    data = store.get(digest)
    if digest_bytes(data) != digest:
        raise failure("digest-mismatch", f"the {what} {digest} has other bytes: {digest_bytes(data)}")
    if len(data) > limit or (size is not None and len(data) != size):
        raise _bad(digest, f"the {what} has {len(data)} bytes, expected {size if size is not None else f'≤ {limit}'}")
    return data


def _document(data: bytes, what: str, digest: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        raise _bad(digest, f"the {what} is not JSON") from None
    if not isinstance(document, dict):
        raise _bad(digest, f"the {what} is not an object")
    return document


def _entry(entry: object, media_type: str, digest: str) -> tuple[str, int]:
    match entry:
        case {"mediaType": str(found), "digest": str(target), "size": int(size)} if (
            found == media_type and _DIGEST.fullmatch(target) and 0 <= size <= MAXIMUM_BYTES
        ):
            return target, size
    raise _bad(digest, f"the manifest has no proper {media_type} entry")


def _listing(config: dict[str, Any], layer: str, digest: str) -> dict[str, str]:
    match config:
        case {"rootfs": {"diff_ids": [str(diff_id)]}, "config": {"Labels": {"dev.modelops.files": str(text)}}}:
            if diff_id != layer:
                raise _bad(digest, "the config describes another layer")
            return {str(path): str(value) for path, value in _document(text.encode(), "file list", digest).items()}
    raise _bad(digest, "the config lists no files")


def _untar(layer: bytes, digest: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(layer), mode="r:") as archive:
            for member in archive:
                if member.isdir() and member.name == "models":
                    continue
                plain = member.type == tarfile.REGTYPE and member.size <= len(layer)
                if not plain or not _allowed(member.name) or member.name in files:
                    raise _bad(digest, f"the layer has an unexpected member {member.name!r}")
                stream = archive.extractfile(member)
                files[member.name] = stream.read() if stream else b""
    except tarfile.TarError as error:
        raise _bad(digest, f"the layer is not a tar archive: {error}") from None
    _check_names(files, f"artifact {digest}")
    if _tar(files) != layer:
        raise _bad(digest, "the layer is not the canonical tar of its files")
    return files
