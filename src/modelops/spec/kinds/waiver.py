"""kind: Waiver — an expiring exception from a gate or a rule, with its reason; merging it with approvals grants it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.meta import ModelName, Name, ReleaseNumber, Strict
from modelops.spec.resource import Resource, at

PLACE = layout.WAIVER
STALLS = False

RULED = ("Model", "DataSnapshot", "RolloutPlan", "Monitor", "Deployment")
"""What rules may be waived about: what a model says. Approvals, trust, evidence and policies have no exceptions."""


def _day(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not a date: write it as 2026-04-30")


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("it says nothing: write why the exception is needed")
    return text


Day = Annotated[str, AfterValidator(_day), Field(json_schema_extra={"format": "date"})]


class WaivedGate(Strict):
    """One gate of a gate policy."""

    policy: Name
    gate: Name


class WaiverSpec(Strict):
    """The spec of a Waiver: exactly one of ``gate`` and ``rule``, for the models that are named and no other.

    It counts from the start of ``begins`` to the end of ``expires``, in UTC, once a pull request that brought it was
    merged with the approvals that the approval policy asks of a `waiver`. ``releases`` and ``environments`` narrow it:
    of a gate, to what is promoted where; of a rule, to the files of these environments.
    """

    gate: WaivedGate | None = None
    rule: Name | None = None
    models: tuple[ModelName, ...] = Field(min_length=1, description="the models that it is for")
    releases: tuple[ReleaseNumber, ...] = Field(default=(), description="only these releases; empty for every one")
    environments: tuple[str, ...] = Field(default=("*",), min_length=1, description="names, or * for all")
    reason: Annotated[str, AfterValidator(_said)] = Field(min_length=1, description="why the exception is needed")
    begins: Day | None = Field(default=None, description="the first day on which it counts")
    expires: Day = Field(description="the last day on which it counts")

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.gate is None) == (self.rule is None):
            raise ValueError("give exactly one of gate and rule: a waiver is an exception from one thing")
        if self.rule is not None and self.releases:
            raise ValueError("a rule is about what files say, not about releases: leave `releases` out")
        if self.begins is not None and self.begins > self.expires:
            raise ValueError(f"it begins on {self.begins}, after it expires on {self.expires}")
        return self

    @property
    def of(self) -> str:
        """What it is an exception from, in the words of verdicts."""
        return f"{self.gate.policy}/{self.gate.gate}" if self.gate is not None else f"the rule {self.rule}"


def problems(waiver: Resource[WaiverSpec], around: Around) -> Iterator[Problem]:
    """Yield the gates, rules, models and environments that are named and do not exist."""
    spec, known = waiver.spec, around.known
    if spec.gate is not None:
        yield from _gate_problems(waiver, spec.gate, around)
    elif spec.rule is not None:
        yield from _rule_problems(waiver, spec.rule, around)
    for index, model in enumerate(spec.models):
        if model not in known.models:
            hint = f"{nearest(model, known.models, 'models')}; a waiver of a model that is gone goes with it"
            yield at(waiver, f"spec.models[{index}]", "unknown-scope", f"there is no model {model!r}", hint)
    for index, name in enumerate(spec.environments):
        if name != "*" and not known.has("Environment", None, name):
            hint = nearest(name, [*known.all("Environment"), "*"], "environments")
            said = f"there is no environment {name!r}"
            yield at(waiver, f"spec.environments[{index}]", "unknown-scope", said, hint)


def _gate_problems(waiver: Resource[WaiverSpec], gate: WaivedGate, around: Around) -> Iterator[Problem]:
    policy = around.policies.of("GatePolicy").get(gate.policy)
    if policy is None:
        if not around.known.has("GatePolicy", None, gate.policy):
            hint = nearest(gate.policy, around.known.all("GatePolicy"), "gate policies")
            said = f"there is no gate policy {gate.policy!r}"
            yield at(waiver, "spec.gate.policy", "unknown-gate", said, hint)
        return
    names = [each.name for each in policy.spec.gates]
    if gate.gate not in names:
        said = f"the gate policy {gate.policy!r} has no gate {gate.gate!r}"
        yield at(waiver, "spec.gate.gate", "unknown-gate", said, nearest(gate.gate, names, "gates"))


def _rule_problems(waiver: Resource[WaiverSpec], name: str, around: Around) -> Iterator[Problem]:
    rule = around.policies.of("Rule").get(name)
    if rule is None:
        if not around.known.has("Rule", None, name):
            hint = nearest(name, around.known.all("Rule"), "rules")
            yield at(waiver, "spec.rule", "unknown-rule", f"there is no rule {name!r}", hint)
    elif rule.spec.match.kind not in RULED:
        said = f"the rule {name!r} is about {rule.spec.match.kind}, of which nothing is waived"
        yield at(waiver, "spec.rule", "not-waivable", said, f"waivers are for rules about {', '.join(RULED)}")
