"""Digests as in-toto writes them (``{"sha256": "<hex>"}``) from those that modelops writes (``sha256:<hex>``)."""

from __future__ import annotations

from typing import Any

ALGORITHMS = frozenset({"sha256", "sha512", "gitCommit", "gitTree", "gitBlob"})


def digest_set(digest: str) -> dict[str, str]:
    """Return the in-toto DigestSet of ``<algorithm>:<hex>``, for example ``gitTree:4b825d…``."""
    algorithm, _, value = digest.partition(":")
    if algorithm not in ALGORITHMS or not value:
        raise ValueError(f"{digest!r} is not <algorithm>:<hex> with an algorithm of in-toto's digest set")
    return {algorithm: value}


def descriptor(name: str, digest: str | None = None, uri: str | None = None) -> dict[str, Any]:
    """Return an in-toto ResourceDescriptor, which needs a digest or a URI beside its name."""
    if digest is None and uri is None:
        raise ValueError(f"the resource {name!r} needs a digest or a URI")
    result: dict[str, Any] = {"name": name}
    if digest is not None:
        result["digest"] = digest_set(digest)
    if uri is not None:
        result["uri"] = uri
    return result
