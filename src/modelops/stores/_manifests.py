"""Manifests over blobs that nothing else names: a registry may clean away what no manifest needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["INDEX_TYPE", "MANIFEST_TYPES", "MAXIMUM_MANIFEST", "Part", "keep", "manifest_type"]

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"

_EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_TYPES = (_MANIFEST_TYPE, INDEX_TYPE)
MAXIMUM_MANIFEST = 4 << 20
_PARTS = 5000
"""Blobs of one manifest: registries take manifests of 4 MiB."""


@dataclass(frozen=True, slots=True)
class Part:
    """One blob that a store holds, with the name of the file that it is."""

    name: str
    digest: str
    size: int


class _Naming(Protocol):
    def put(self, data: bytes) -> str: ...

    def tag(self, reference: str, digest: str) -> None: ...


def keep(store: _Naming, reference: str, artifact_type: str, parts: Sequence[Part]) -> None:
    """Name blobs of a store by manifests, ``reference`` and, if one does not hold them all, ``reference-1`` and on."""
    config = {"mediaType": _EMPTY_TYPE, "digest": store.put(_EMPTY), "size": len(_EMPTY)}
    for number, start in enumerate(range(0, len(parts), _PARTS)):
        layers = [
            {
                "mediaType": "application/octet-stream",
                "digest": part.digest,
                "size": part.size,
                "annotations": {"org.opencontainers.image.title": part.name},
            }
            for part in parts[start : start + _PARTS]
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "artifactType": artifact_type,
            "config": config,
            "layers": layers,
        }
        digest = store.put(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())
        store.tag(f"{reference}-{number}" if number else reference, digest)


def manifest_type(data: bytes) -> str | None:
    """Return the media type of bytes that say they are an OCI manifest."""
    if len(data) > MAXIMUM_MANIFEST or data.lstrip()[:1] != b"{":
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    media_type = document.get("mediaType")
    parts = "manifests" if media_type == INDEX_TYPE else "layers"
    if document.get("schemaVersion") == 2 and media_type in MANIFEST_TYPES and isinstance(document.get(parts), list):
        return str(media_type)
    return None
