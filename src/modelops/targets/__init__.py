"""Targets: each file makes one kind of runtime run what an environment's routing table says.

A target file exposes ``Params``, ``observe(params, site)``, ``apply(params, site, table)`` and the pure
``render(params, desired)``. A target that can only render raises ``render-only`` from ``observe`` and ``apply``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from modelops.spec.delivery import ReleaseSpec
from modelops.spec.meta import Strict
from modelops.spec.model import ModelSpec
from modelops.spec.routing import RoutingTable

__all__ = ["Desired", "Observed", "ObservedArm", "Site", "Target"]


@dataclass(frozen=True, slots=True)
class Site:
    """Where an environment lives on this machine: its runtime directory and the project's store."""

    environment: str
    runtime: Path
    store: Path


@dataclass(frozen=True, slots=True)
class ObservedArm:
    """What a runtime says about one loaded arm."""

    model: str
    arm: str
    release: int
    digest: str
    ready: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What runs: ``table`` is the SHA-256 of the routing table in effect, None when nothing answers."""

    running: bool
    url: str | None
    table: str | None
    arms: tuple[ObservedArm, ...]
    message: str = ""


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything a renderer may use; ``lock`` is the requirements lock, ``releases`` by (model, number)."""

    table: RoutingTable
    models: Mapping[str, ModelSpec]
    releases: Mapping[tuple[str, int], ReleaseSpec]
    lock: str


class Target(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def observe(self, params: Any, site: Site) -> Observed: ...

    def apply(self, params: Any, site: Site, table: RoutingTable) -> Observed: ...

    def render(self, params: Any, desired: Desired) -> Mapping[str, str]: ...
