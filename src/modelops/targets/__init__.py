"""Targets: each file makes one kind of runtime run what an environment's routing table says.

A *renderer* exposes ``Params`` and the pure ``render(params, desired)``: another tool applies what it writes. A
*runner* is a renderer that also talks to its runtime: ``observe``, ``apply``, ``stop``, ``endpoint``, ``logs`` and
``durable``. Either may tell by ``keeps_log(params)`` whether what a model logs there outlives who writes it; where it
does not, `validate` refuses models with `log: acknowledged`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from modelops.locks.wheel import Wheel
from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.address import Address
from modelops.spec.kinds import AnyResource
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.meta import Plugin, Strict
from modelops.spec.routing import RoutingTable

__all__ = [
    "PROTOCOL",
    "Addressed",
    "Built",
    "Choosing",
    "Deployable",
    "ObservedArm",
    "Packager",
    "Packed",
    "Place",
    "Renderer",
    "Rollouts",
    "Runner",
    "Running",
    "Shared",
    "Site",
    "bind",
]


def _nobody() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an environment lives on this machine: its runtime directory.

    ``repository`` says whose it is, the same for every clone of a project; what is elsewhere is marked by it.
    ``deployable`` is what git says of the releases of a table, None where nobody asked git; only who makes more of a
    table than a file asks for that: an image, or objects of a cluster.
    """

    environment: str
    runtime: Path
    repository: Callable[[], str] = field(default=_nobody, kw_only=True, compare=False)
    deployable: Callable[[RoutingTable], Deployable] | None = field(default=None, kw_only=True, compare=False)


class Rollouts(Protocol):
    """What keeps how far rollouts came, where that is not the runtime directory of one machine."""

    def recall(self, model: str) -> bytes | None:
        """Return what is remembered of a model's rollout, None where nothing is."""
        ...

    def remember(self, model: str, data: bytes | None) -> None:
        """Remember a model's rollout, or forget it with None."""
        ...


@dataclass(frozen=True, slots=True)
class Site(Place):
    """The place of an environment, the address of the project's store, and what keeps its rollouts elsewhere."""

    store: Address
    rollouts: Rollouts | None = field(default=None, kw_only=True, compare=False)


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
class Running:
    """What runs: ``table`` is the digest of the routing table in effect, None when nothing answers.

    ``routes`` is the table that the runtime was last given, also while nothing answers; None only where it never got
    one. What must go on as it runs goes on by it, so the runtime keeps it: no second place can say something else.
    ``changed`` are sentences about what differs from git beside the routes: applying the same table mends it.
    """

    running: bool
    table: str | None
    arms: tuple[ObservedArm, ...]
    message: str = ""
    routes: RoutingTable | None = None
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployable:
    """Everything a target may use; ``lock`` finds that of the releases, which ``releases`` has by (model, number).

    ``store`` is where the artifacts are: a folder must be mounted, anything else is reached by its address. ``wheel``
    makes the wheel of modelops itself, for who installs it.
    """

    table: RoutingTable
    models: Mapping[str, ModelSpec]
    releases: Mapping[tuple[str, int], ReleaseSpec]
    lock: Callable[[], str]
    store: Address
    wheel: Callable[[], Wheel]


@runtime_checkable
class Renderer(Protocol):
    """What every module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def render(self, params: Any, desired: Deployable) -> Mapping[str, str | bytes]:
        """Return the files that make the runtime match, by path; equal input gives equal files."""
        ...


@runtime_checkable
class Runner(Renderer, Protocol):
    """What a module exposes whose runtime modelops starts, observes and stops."""

    def observe(self, params: Any, place: Place) -> Running:
        """Return what runs, changing nothing; a runtime that may run and cannot be asked is an error to retry."""
        ...

    def apply(self, params: Any, site: Site, table: RoutingTable) -> Running:
        """Make the runtime answer with a routing table, and return what is observed then."""
        ...

    def stop(self, params: Any, place: Place) -> None:
        """End the runtime after what it is answering; what does not run is left alone."""
        ...

    def endpoint(self, params: Any, place: Place) -> str | None:
        """Return the URL at which the models are called, None as long as there was never one."""
        ...

    def logs(self, params: Any, place: Place) -> Plugin:
        """Return which member of the shelf ``logs`` reads what the runtime predicted, and its parameters."""
        ...

    def durable(self, params: Any, environ: Mapping[str, str]) -> bool:
        """Tell whether the runtime outlives the process that starts it: what ends with its observer proves nothing."""
        ...


@runtime_checkable
class Choosing(Protocol):
    """A runner by its parameters alone: without them it is a renderer, for others to apply."""

    def runs(self, params: Any) -> bool:
        """Tell whether modelops runs the environment."""
        ...


@runtime_checkable
class Shared(Protocol):
    """A runner of a runtime that reconcilers on several machines look after: what they share is kept there."""

    def reserved(self, params: Any, place: Place) -> AbstractContextManager[str | None]:
        """Hold an environment for one pass; yields who has it where that is somebody else."""
        ...

    def recall(self, params: Any, place: Place, model: str) -> bytes | None:
        """Return what is remembered of a model's rollout, None where nothing is."""
        ...

    def remember(self, params: Any, place: Place, model: str, data: bytes | None) -> None:
        """Remember a model's rollout, or forget it with None; in place of what was recalled, and of nothing else."""
        ...


@runtime_checkable
class Addressed(Protocol):
    """A runner whose models have an address each."""

    def address(self, params: Any, place: Place, model: str) -> str:
        """Return the URL at which one model is called."""
        ...


@dataclass(frozen=True, slots=True)
class Packed:
    """What an image of one release is built from.

    ``name`` is what it is called, ``base`` what it is on, ``packages`` the pins that are installed in it.
    """

    name: str
    base: str
    packages: str
    labels: Mapping[str, str]
    files: Mapping[str, str | bytes]


@dataclass(frozen=True, slots=True)
class Built:
    """An image: its id and size in bytes, and once it is pushed the reference by digest that others pull."""

    image: str
    size: int
    pushed: str | None = None


@runtime_checkable
class Packager(Renderer, Protocol):
    """What a module exposes that makes self-contained images."""

    def pack(self, params: Any, desired: Deployable, content: Mapping[str, bytes], labels: Mapping[str, str]) -> Packed:
        """Return what an image is built from that answers with the table of ``desired`` out of its own store."""
        ...

    def build(self, params: Any, packed: Packed, push: str | None, say: Callable[[str], None]) -> Built:
        """Build the image, and push it to a repository where one is named."""
        ...


PROTOCOL = Renderer
"""What every file of this shelf is held against; one that runs deployments is a Runner, too."""


def bind(plugin: Plugin, resource: AnyResource | None = None, dotted: str = "") -> Bound[Renderer]:
    """Return a target with its validated parameters; what is wrong is told with its place in ``resource``."""
    return parameters.bind("targets", plugin, resource, dotted)
