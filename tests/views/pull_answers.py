"""Answers about what a pull request makes of its base, with values that try to be markup or to steer a terminal."""

from __future__ import annotations

from modelops.errors import Exit, Location, Problem
from modelops.governance.approvals import ApprovalVerdict, Change, RuleVerdict
from modelops.governance.pulls import Look
from modelops.governance.results import Comparison, Difference, Result, Shown, Side
from modelops.reconcile.measured import Measured
from modelops.spec.kinds.promotion import Approval
from views.loop_answers import AT, BUILT, COMMIT, HOSTILE, PLAN, PLANNED, WAIVED, WAIVERS

RESULT = Result(COMMIT, COMMIT, COMMIT, ("models/fraud/environments/production.yaml", HOSTILE), f"not so {HOSTILE}")
RULE = RuleVerdict(
    *("promotion", "production", 2, ("ana", "ben", HOSTILE), False),
    (Approval(login=HOSTILE, commit=COMMIT, submitted_at=AT),),
    ((HOSTILE, AT),),
)
LOOK = Look(
    RESULT,
    ApprovalVerdict(
        *(False, (), (f"needs one more {HOSTILE}",), (RULE,)),
        (Change("promotion", HOSTILE, "production"),),
        ((HOSTILE, "high"),),
        RESULT,
    ),
    "sha256:" + "0" * 64,
    moved=True,
)
COMPARED = Comparison(
    (
        Shown(Difference(HOSTILE, "100644", "120000", COMMIT, COMMIT)),
        Shown(Difference("new.bin", "000000", "100755", "0" * 40, COMMIT), "binary", (Side(12, "sha256:ab"),)),
        Shown(Difference("big.csv", "100644", "100644", COMMIT, COMMIT), "large", (Side(9, "git:a"), Side(8, "git:b"))),
        Shown(Difference("lib", "160000", "160000", COMMIT, "1" * 40)),
    ),
    {"big.csv": HOSTILE},
    (
        f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-{HOSTILE}\n+a\u00a0=\u2028b\r\n ::add-mask::x ##[group]\n".encode()
        + b"+\xff\n",
    ),
)

MEASURED = Measured(
    *(COMMIT, "1" * 40, COMMIT, "", PLAN, PLANNED, WAIVERS, (BUILT, WAIVED), ("other",), (RULE,)),
    problems=(Problem("unknown-key", f"no key {HOSTILE}", Location("models/fraud/model.yaml", 3, 5), None, HOSTILE),),
    warnings=(Problem("removed", f"{HOSTILE} is gone", Location(f"models/{HOSTILE}")),),
    exit=Exit.FILES,
)
