"""kind: GatePolicy — a named set of measured requirements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

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
