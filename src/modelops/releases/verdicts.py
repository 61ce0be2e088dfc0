"""Run a gate policy over a candidate and say whether it lets the candidate through."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelops import gates
from modelops.errors import ModelOpsError, Problem
from modelops.gates import Gate, Need, Subject, Verdict
from modelops.plugins import Bound
from modelops.spec.kinds import Resource
from modelops.spec.kinds.gate_policy import Gate as GateSpec
from modelops.spec.kinds.gate_policy import GatePolicySpec
from modelops.spec.kinds.release import MetricValue, VerdictRecord
from modelops.spec.parameters import vacuous

SubjectOf = Callable[[Collection[Need]], Subject]
"""Gives the subject with the parts that some needs name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict as ``release.yaml`` has it, and the numbers behind it, which only the signed evidence has."""

    record: VerdictRecord
    details: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The policy and the gate, which no second finding of a model has."""
        return f"{self.record.policy}/{self.record.gate}"


@dataclass(frozen=True, slots=True)
class Policy:
    """A gate policy whose gates are bound: what it asks can be asked."""

    name: str
    gates: tuple[tuple[GateSpec, Bound[Gate]], ...]


def bind_policy(policy: Resource[GatePolicySpec]) -> Policy:
    """Bind every gate of a policy, or raise every problem of their types and parameters with its line."""
    bound: list[tuple[GateSpec, Bound[Gate]]] = []
    problems: list[Problem] = []
    for index, gate in enumerate(policy.spec.gates):
        try:
            bound.append((gate, gates.bind(gate, policy, f"spec.gates[{index}]")))
        except ModelOpsError as error:
            problems += error.problems
    if problems:
        raise ModelOpsError(*problems)
    return Policy(policy.name, tuple(bound))


def judge(policy: Policy, subject_of: SubjectOf) -> tuple[Finding, ...]:
    """Evaluate every gate of a policy, in order, also after one has failed.

    Each gate must pass on its own, so the chance that a candidate that violates some requirement gets through all of
    them is at most the level of that one gate: demanding all needs no correction for their number. (It is the chance
    to hold back a good candidate that grows with it.)

    What the gates need is computed before they run: if that fails, nothing is judged. A gate that cannot say anything
    of a sound subject is recorded as ``no-data`` with the reason and always blocks, whatever its ``block`` says.
    """
    return tuple(_finding(policy.name, gate, bound, subject_of(bound.module.NEEDS)) for gate, bound in policy.gates)


def disagreements(policy: Policy, found: Iterable[Finding], metrics: Iterable[MetricValue]) -> tuple[str, ...]:
    """Return where a gate of a policy measured another value of a metric than the build reports for the same labels."""
    measured = {metric.name: metric for metric in metrics}
    asked = {gate.name: bound.params for gate, bound in policy.gates if gate.type == "metric"}
    said = []
    for one in (finding.record for finding in found if finding.record.policy == policy.name):
        params = asked.get(one.gate)
        metric = measured.get(getattr(params, "metric", ""))
        if metric is None or one.value is None or getattr(params, "threshold", None) is not None:
            continue
        if one.n != metric.n or not math.isclose(one.value, metric.value, rel_tol=1e-9, abs_tol=1e-9):
            own = f"{metric.name} is {metric.value:.9g} of {metric.n} rows"
            said.append(f"{own}, and for the gate {one.gate} {one.value:.9g} of {one.n}")
    return tuple(said)


def passed(records: Iterable[VerdictRecord]) -> bool:
    """Say whether the verdicts let a candidate through: none holds it up, every policy has a pass, one was measured.

    No records at all, or a policy in which nothing could be measured, is a no. A comparison with a stable release that
    does not exist yet passes without a measurement; where all passes are of that sort, nothing speaks for a release.
    A waived verdict counts for its policy as a pass would: people have answered for it.
    """
    found = tuple(records)
    passes = [record for record in found if record.verdict == "pass" or record.waived]
    return (
        any(record.n or record.value is not None or record.waived for record in passes)
        and {record.policy for record in passes} == {record.policy for record in found}
        and not any(record.holds for record in found)
    )


def let_through(records: Iterable[VerdictRecord]) -> tuple[VerdictRecord, ...]:
    """Return the verdicts that are no pass and hold nothing up, although nobody granted an exception: by policy."""
    return tuple(one for one in records if one.verdict != "pass" and not one.blocking)


Outcome = Literal["passed", "waived", "undecided", "failed"]
_BESIDE = frozenset(
    {
        "data-quality", "drift", "evasion", "fairness", "latency", "membership", "monotonicity",
        "permutation-importance", "poisoning", "robustness", "shap", "stability",
    }
)  # fmt: skip
"""Gates that ask something else than how good a model is."""


def decided(records: Iterable[VerdictRecord]) -> bool:
    """Say whether some gate about the model's quality came to a yes or a no that rests on a measurement.

    One that every model passes, or that holds nothing up when it fails, decides nothing.
    """
    return any(
        record.type not in _BESIDE
        and (record.verdict == "pass" or (record.verdict == "fail" and record.blocking))
        and (record.n or record.value is not None)
        and not record.toothless
        for record in records
    )


def outcome(records: Iterable[VerdictRecord]) -> Outcome:
    """Return the one word for a set of verdicts.

    ``undecided``: nothing was found against it, and no gate about quality could decide. ``waived``: it may be released
    because of an exception. ``undecided`` may or may not be released, which ``passed`` says.
    """
    found = tuple(records)
    if any(record.holds and record.verdict == "fail" for record in found):
        return "failed"
    if not decided(found) and not any(record.waived for record in found):
        return "undecided"
    if not passed(found):
        return "failed"
    return "waived" if any(record.waived for record in found) else "passed"


def _finding(policy: str, gate: GateSpec, bound: Bound[Gate], subject: Subject) -> Finding:
    # Who only asks what passed must not pay for arrays.
    from modelops.artifacts.frame import unquoted
    from modelops.evidence.details import recorded

    try:
        found = bound.module.evaluate(bound.params, subject)
        details, blocking = recorded(found.details), found.verdict in gate.block
    except ModelOpsError as error:
        reason = "could not run: " + "; ".join(map(unquoted, error.problems))
        found, details, blocking = Verdict("no-data", reason), {}, True
    record = VerdictRecord(
        policy=policy,
        gate=gate.name,
        type=gate.type,
        verdict=found.verdict,
        blocking=blocking,
        value=_finite(found.value),
        lower=_finite(found.lower),
        upper=_finite(found.upper),
        limit=_finite(found.limit),
        n=found.n,
        reason=found.reason,
        toothless="; ".join(one.why for one in vacuous(gate, bound)),
    )
    return Finding(record, details)


def _finite(number: float | None) -> float | None:
    return float(number) if number is not None and math.isfinite(number) else None
