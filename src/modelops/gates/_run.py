"""Run a gate policy over a subject and say whether it lets the candidate through."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import cast

from pydantic import ValidationError

from modelops import plugins
from modelops.errors import ModelOpsError, failure
from modelops.gates import Gate, Subject, Verdict
from modelops.spec.delivery import VerdictRecord
from modelops.spec.policy import Gate as GateSpec
from modelops.spec.policy import GatePolicySpec


def judge(policy_name: str, policy: GatePolicySpec, subject: Subject) -> tuple[VerdictRecord, ...]:
    """Evaluate every gate of a policy, in order, also after one has failed.

    Each gate must pass on its own, so the chance that a candidate that violates some requirement gets through all of
    them is at most the level of that one gate: demanding all needs no correction for their number. (It is the chance
    to hold back a good candidate that grows with it.)

    A gate that cannot run, because its parameters or its subject are not usable, is recorded as ``no-data`` with the
    reason and always blocks, whatever its ``block`` says.
    """
    return tuple(_record(policy_name, gate, subject) for gate in policy.gates)


def passed(records: Iterable[VerdictRecord]) -> bool:
    """Say whether the verdicts let a candidate through: none blocks, every policy has a pass, and one was measured.

    No records at all, or a policy in which nothing could be measured, is a no. A comparison with a stable release that
    does not exist yet passes without a measurement; where all passes are of that sort, nothing speaks for a release.
    """
    found = tuple(records)
    passes = [record for record in found if record.verdict == "pass"]
    return (
        any(record.n or record.value is not None for record in passes)
        and {record.policy for record in passes} == {record.policy for record in found}
        and not any(record.blocking for record in found)
    )


def _record(policy_name: str, gate: GateSpec, subject: Subject) -> VerdictRecord:
    try:
        found = _evaluate(gate, subject)
        blocking = found.verdict in gate.block
    except ModelOpsError as error:
        reason = "could not run: " + "; ".join(problem.message for problem in error.problems)
        found, blocking = Verdict("no-data", reason), True
    return VerdictRecord(
        policy=policy_name,
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
    )


def _evaluate(gate: GateSpec, subject: Subject) -> Verdict:
    module = cast(Gate, plugins.load("gates", gate.type))
    try:
        # Through JSON, as a YAML file has only its types: a list is then a tuple, and an integer still no text.
        params = module.Params.model_validate_json(json.dumps(gate.params))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "params"
        raise failure("bad-gate-params", f"gate {gate.name!r}: {where}: {first['msg']}") from None
    return module.evaluate(params, subject)


def _finite(number: float | None) -> float | None:
    return float(number) if number is not None and math.isfinite(number) else None
