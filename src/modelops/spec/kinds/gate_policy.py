"""kind: GatePolicy — a named set of measured requirements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.meta import Name, Shelf, Strict, VerdictWord
from modelops.spec.resource import Resource, at

PLACE = layout.GATE_POLICY


class Gate(Strict):
    """One measured requirement and the verdicts of it that block.

    One that blocks on none is warned of, unless ``advice`` says that it is meant to inform only.
    """

    name: Name
    type: Name
    params: dict[str, object] = {}
    block: tuple[VerdictWord, ...] = ("fail", "inconclusive", "no-data")
    advice: bool = False


class GatePolicySpec(Strict):
    """The spec of a GatePolicy: a named set of gates."""

    description: str = ""
    gates: Annotated[tuple[Gate, ...], Shelf("gates")] = Field(min_length=1)


Role = Literal["column", "feature"]
COLUMNS: Mapping[str, Mapping[str, Role]] = {
    "evasion": {"immutable": "feature"},
    "fairness": {"column": "column", "columns": "column"},
    "monotonicity": {"directions": "feature"},
    "permutation-importance": {"features": "column", "proxiesOf": "column"},
    "robustness": {"columns": "feature"},
    "shap": {"features": "column", "proxiesOf": "column"},
    "slices": {"columns": "column"},
}
"""Which parameters of which gates name columns of a model's rows, or its features: a text, a list, or the keys of one.

Those whose gates judge what there is of what is named, ``data-quality`` and ``drift``, may be of other models.
A table here, as gates are slow to import, and every model of a repository is held against its policies.
"""


def named(gate: Gate) -> Iterator[tuple[str, Role, str]]:
    """Yield the columns and features that a gate's parameters name, each with its dotted place below the gate."""
    for key, role in COLUMNS.get(gate.type, {}).items():
        given = gate.params.get(key)
        if isinstance(given, str):
            yield f"params.{key}", role, given
        elif isinstance(given, Mapping):
            yield from ((f"params.{key}.{name}", role, name) for name in given if isinstance(name, str))
        elif isinstance(given, list | tuple):
            yield from ((f"params.{key}[{at}]", role, name) for at, name in enumerate(given) if isinstance(name, str))


def problems(policy: Resource[GatePolicySpec], around: Around) -> Iterator[Problem]:
    """Yield the gates that are named twice, and advice that blocks."""
    for index, gate in enumerate(policy.spec.gates):
        if gate.advice and gate.block:
            said = f"the gate {gate.name!r} is advice and blocks on {', '.join(gate.block)}"
            yield at(policy, f"spec.gates[{index}].advice", "advice-blocks", said, "write `block: []`, or no advice")
    names = [gate.name for gate in policy.spec.gates]
    for index, name in enumerate(names):
        if name in names[:index]:
            said = f"two gates are named {name!r}"
            yield at(policy, f"spec.gates[{index}].name", "duplicate-name", said, "give each gate its own name")
