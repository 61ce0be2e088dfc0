"""Questions about many releases at once, and a prediction with its reasons; values try to steer a terminal."""

from __future__ import annotations

from dataclasses import replace

from modelops.audit import Answered, Reexplained
from modelops.audit.listings import (
    Approvals,
    Approved,
    Dependent,
    Dependents,
    Unpassed,
    Unproven,
    Verdicts,
    Waived,
    WaiverUses,
)
from modelops.spec.kinds.release import WaiverUse
from views.answers import COMMIT, DIGEST, HOSTILE, PREDICTION, PROVEN, REFUSED, VERDICT

__all__ = ["APPROVED", "DEPENDENTS", "ENTITY", "EXPLAINED", "UNEXPLAINED", "UNPASSED", "WAIVED"]

_USE = WaiverUse(
    name="pilot",
    of="high-risk/ranks",
    digest=DIGEST,
    commit=COMMIT,
    expires="2026-12-31",
    granted_by=("grace", "ada"),
    reason=f"a pilot {HOSTILE}",
)
_UNPROVEN = (
    Unproven("models/fraud/releases/3/release.yaml", "unread", (f"this is no YAML {HOSTILE}\n  hint: none",)),
    Unproven("models/fraud/releases/1/release.yaml", "unproven", ("its signature is not right", "nor is its card")),
    Unproven(f"models/old/{HOSTILE}.yaml", "gone", ("it was taken away",)),
)
DEPENDENTS = Dependents(
    of=f"numpy <2.1 {HOSTILE}",
    revision=COMMIT,
    releases=3,
    found=(Dependent("fraud", 2, "2.0.2", ("production (stable)",), PROVEN),),
    unknown=(Dependent("fraud", 1, None, (), REFUSED),),
    unproven=_UNPROVEN[:1],
)
APPROVED = Approvals(
    since="2026-05-01T00:00:00+00:00",
    until=None,
    revision=COMMIT,
    found=(
        Approved("grace", "2026-05-01T09:00:00Z", "fraud", 2, None, None, COMMIT, PROVEN),
        Approved(HOSTILE, "2026-05-02T09:58:00Z", "fraud", 2, "production", 7, COMMIT, REFUSED),
    ),
    unproven=_UNPROVEN,
)
UNPASSED = Verdicts(
    revision=COMMIT,
    releases=2,
    judged=9,
    found=(
        Unpassed(
            "fraud", 1, VERDICT.model_copy(update={"verdict": "fail", "waiver": _USE}), ("production (stable)",), PROVEN
        ),
        Unpassed("fraud", 2, VERDICT.model_copy(update={"verdict": "no-data", "blocking": False}), (), REFUSED),
    ),
)
WAIVED = WaiverUses(
    COMMIT,
    (
        Waived(_USE, "fraud", 1, "release", None, PROVEN),
        Waived(_USE, "fraud", 1, "promotion", "production", REFUSED),
    ),
    _UNPROVEN[1:],
)
ENTITY = [
    Answered("01a1", "production", "fraud", 2, "stable", "2026-05-03T11:00:00Z", HOSTILE, 0.73, 200, None),
    Answered("01a0", "production", "fraud", 1, "stable", "2026-05-02T11:00:00Z", None, None, 500, "1"),
]
_LOGGED = {
    "method": "sampled",
    "scale": "probability",
    "label": "1",
    "background": 64,
    "baseline": 0.31,
    "value": 0.73,
    "rounds": 8,
    "contributions": {"channel": 0.02, "amount": 0.4},
    "errors": {"channel": 0.001, "amount": 0.004},
}
assert PREDICTION.proof is not None
EXPLAINED = replace(
    PREDICTION, proof=replace(PREDICTION.proof, reexplained=Reexplained("equal", _LOGGED, largest=2e-9))
)
UNEXPLAINED = replace(
    PREDICTION,
    proof=replace(
        PREDICTION.proof, reexplained=Reexplained("none", {"none": HOSTILE}, f"the 250 ms were over {HOSTILE}")
    ),
)
