"""Exports: each file writes what another tool needs to know about an environment, from git alone.

An export file exposes ``Params`` and the pure ``files(params, view)``, which returns texts by path; equal input gives
equal bytes. Addresses and everything else that git does not say arrive as parameters. Structured files are dumped from
plain values, never put together from text, and names that must be unique elsewhere come from one injective function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.kinds import AnyResource
from modelops.spec.kinds.model import Task
from modelops.spec.kinds.monitor import Objectives
from modelops.spec.meta import Plugin, Risk, Strict

__all__ = ["PROTOCOL", "Export", "ModelView", "View", "bind"]


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model as an environment is to run it; ``arms`` are release numbers by arm, stable first.

    ``monitored`` says that its traffic is looked at, and ``judged`` that its labels are; ``objectives`` are what is
    promised of it.
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

    @property
    def promised_ms(self) -> float:
        """In which time an answer has to come, by the monitor's objective or else by the model's own."""
        promised = self.objectives.latency if self.objectives is not None else None
        return (promised.within_ms if promised is not None else None) or self.latency_objective_ms


@dataclass(frozen=True, slots=True)
class View:
    """What git says about an environment; models without any release there are left out, the others are sorted."""

    environment: str
    models: tuple[ModelView, ...]


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
