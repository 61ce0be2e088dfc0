"""Stores: each file keeps bytes by digest and names by reference; every read verifies the digest.

A store file exposes ``Params``, ``open(params, root, environ)``, which returns a Store, and ``parse(text)``, which
returns the parameters that a store's own address stands for. Where a store is, and how, only its file knows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from modelops import plugins
from modelops.errors import Exit, failure
from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.address import Address
from modelops.spec.kinds import AnyResource
from modelops.spec.meta import Plugin, Strict
from modelops.stores._manifests import Part, keep
from modelops.stores._names import check_reference, release_tag

__all__ = [
    "PROTOCOL",
    "Address",
    "Part",
    "Store",
    "StoreModule",
    "bind",
    "check_reference",
    "keep",
    "open_at",
    "release_tag",
]


class Store(Protocol):
    """Bytes by ``sha256:<hex>``; manifests can be named. A read of changed bytes raises ``digest-mismatch``."""

    @property
    def address(self) -> Address:
        """Where this store is, for `modelops serve --store` and for whoever starts it."""
        ...

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

    def references(self) -> Collection[str]:
        """Return every name that a manifest of this store has."""
        ...

    def tag(self, reference: str, digest: str) -> None:
        """Point a name at a manifest that is already in the store; names follow ``check_reference``."""
        ...


class StoreModule(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def open(self, params: Any, root: Path, environ: Mapping[str, str]) -> Store: ...

    def parse(self, text: str) -> Any:
        """Return the parameters for what follows the key and the colon in an address; ``bad-store-address`` if none."""
        ...


PROTOCOL = StoreModule
"""What every file of this shelf is held against."""


def bind(plugin: Plugin, resource: AnyResource | None = None, dotted: str = "") -> Bound[StoreModule]:
    """Return a store with its validated parameters; what is wrong is told with its place in ``resource``."""
    return parameters.bind("stores", plugin, resource, dotted)


def open_at(address: str, root: Path, environ: Mapping[str, str]) -> Store:
    """Open the store that an address names; a plain path is the folder of an OCI layout."""
    key, colon, text = address.partition(":")
    if not colon or "/" in key:
        key, text = "oci-layout", address
    if key not in plugins.keys("stores"):
        message = f"{address!r} is not the address of a store: there is no store {key!r}"
        raise failure(
            "bad-store-address", message, exit=Exit.USAGE, hint=f"one of: {', '.join(plugins.keys('stores'))}"
        )
    module = plugins.load("stores", key)
    opened: Store = module.open(module.parse(text), root, environ)
    return opened
