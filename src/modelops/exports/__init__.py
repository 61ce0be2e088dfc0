"""Exports: each file writes what another tool needs to know about an environment, from git alone.

An export file exposes ``Params`` and the pure ``files(params, view)``, which returns texts by path; equal input gives
equal bytes. Addresses and everything else that git does not say arrive as parameters. Structured files are dumped from
plain values, never put together from text, and names that must be unique elsewhere come from one injective function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from modelops.errors import Location
from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.kinds import AnyResource
from modelops.spec.kinds.model import Task
from modelops.spec.kinds.monitor import Objectives
from modelops.spec.meta import Plugin, Risk, Strict
from modelops.strategies import Stage
from modelops.targets import Deployable

__all__ = ["PROTOCOL", "Export", "ModelView", "Trial", "View", "bind"]


def _nowhere(dotted: str) -> Location | None:
    return None


@dataclass(frozen=True, slots=True)
class Trial:
    """How what is on trial is tried, as git plans it.

    ``params`` are those of the strategy. ``stages`` are its steps where all goes well, none where its traffic follows
    what arms do. ``where`` tells at which place the plan says something, by its dotted path.
    """

    strategy: str
    params: Strict
    stages: tuple[Stage, ...]
    on_failure: Literal["rollback", "hold", "alert"] = "rollback"
    on_success: Literal["commit", "pull-request"] = "commit"
    paused: bool = False
    requests_per_hour: float | None = None
    where: Callable[[str], Location | None] = field(default=_nowhere, compare=False)


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model as an environment is to run it; ``arms`` are release numbers by arm, stable first.

    ``trial`` says how the arms beside stable are tried, None where none is or it takes over at once. ``monitored`` says
    that its traffic is looked at, and ``judged`` that its labels are; ``objectives`` are what is promised of it.
    """

    name: str
    description: str
    owner: str
    risk: Risk
    task: Task
    latency_objective_ms: float
    arms: Mapping[str, int]
    monitored: bool = False
    judged: bool = False
    objectives: Objectives | None = None
    trial: Trial | None = None

    @property
    def promised_ms(self) -> float:
        """In which time an answer has to come, by the monitor's objective or else by the model's own."""
        promised = self.objectives.latency if self.objectives is not None else None
        return (promised.within_ms if promised is not None else None) or self.latency_objective_ms


def _undeployable() -> Deployable:
    raise LookupError("this view was made without what a runtime needs")


@dataclass(frozen=True, slots=True)
class View:
    """What git says about an environment; models without any release there are left out, the others are sorted.

    ``deployable`` is what a runtime of it needs, for exports that make others run it: it fails where something may not
    run there. Its routes have every arm; those of a trial are in its first step, or where modelops runs the
    environment (``reconciled``) in the step that it has come to.
    """

    environment: str
    models: tuple[ModelView, ...]
    deployable: Callable[[], Deployable] = field(default=_undeployable, compare=False)
    reconciled: bool = False


class Export(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def files(self, params: Any, view: View) -> Mapping[str, str]:
        """Return the texts by path, relative to the folder that they are written into."""
        ...


PROTOCOL = Export
"""What every file of this shelf is held against."""


def bind(plugin: Plugin, resource: AnyResource | None = None, dotted: str = "") -> Bound[Export]:
    """Return an export with its validated parameters; what is wrong is told with its place in ``resource``."""
    return parameters.bind("exports", plugin, resource, dotted)
