"""Stores: each file keeps bytes by digest and names by reference; every read verifies the digest.

A store file exposes ``Params`` and ``open(params, root)``, which returns a Store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from modelops.spec.meta import Strict

__all__ = ["Store", "StoreModule"]


class Store(Protocol):
    """Bytes by ``sha256:<hex>``; manifests can be named. A read of changed bytes raises ``digest-mismatch``."""

    def has(self, digest: str) -> bool: ...

    def get(self, digest: str) -> bytes:
        """Return verified bytes; a missing digest raises ``not-in-store``."""
        ...

    def fetch(self, digest: str, destination: Path) -> None:
        """Write verified bytes to a file, streaming, atomically."""
        ...

    def put(self, data: bytes) -> str: ...

    def put_file(self, path: Path) -> str: ...

    def resolve(self, reference: str) -> str | None:
        """Return the manifest digest that a name such as ``build-<hex>`` points to."""
        ...

    def tag(self, reference: str, digest: str) -> None:
        """Point a name at a manifest that is already in the store."""
        ...


class StoreModule(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def open(self, params: Any, root: Path) -> Store: ...
