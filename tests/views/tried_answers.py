"""What was tried, judged and simulated, with values that nobody should believe."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from modelops.changes.tries.branching import Branched
from modelops.changes.tries.comparing import Beside
from modelops.data.comparison import Comparison
from modelops.drift import Score
from modelops.metrics import Predictions
from modelops.metrics.curves import curves
from modelops.metrics.measuring import Difference
from modelops.outside.drifting import Drifted
from modelops.outside.judging import Judgement
from modelops.outside.sealing import Proven
from modelops.outside.tables import Rows
from modelops.releases.verdicts import Finding
from modelops.rollouts.simulation import Run as Rollout
from modelops.rollouts.simulation import Simulation, World
from modelops.rollouts.worlds import Truth
from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
from modelops.training import Run
from modelops.views.reports.simulated import Simulated
from views import loop_answers as said

BUILD = f"sha256:{'b' * 64}"
RUNS = (
    Run(3, "fraud", "2026-05-01T10:00:00Z", 2.5, "ok", None, None, said.DIGEST, said.DIGEST, BUILD,
        {"depth": 5, "criterion": said.HOSTILE}, {"roc-auc": 0.91, "recall": 0.7}, "q1"),
    Run(2, "fraud", "2026-05-01T09:00:00Z", 0.5, "failed", "training-failed", f"no {said.HOSTILE}\nline 2", said.DIGEST,
        None, None, {"depth": -1}, {}, "q1"),
)  # fmt: skip
BESIDE = (
    Beside(RUNS[1], None, {}),
    Beside(RUNS[0], said.RECORD, {"roc-auc": Difference(0.01, -0.002, 0.022, 480, "delong, paired")}),
)
BRANCHED = Branched(
    "try-fraud-3", said.COMMIT, "fraud", 3, {"depth": (3, 5), "criterion": (None, said.HOSTILE)}, made=True
)
_TRUE = np.tile([0.0, 1.0], 60)
_PREDICTIONS = Predictions("binary-classification", _TRUE, _TRUE, np.where(_TRUE == 1, 0.8, 0.3), ("no", "yes"))
_TABLE = pa.table({"truth": ["no", "yes"] * 61})
ROWS = Rows(f"p{said.HOSTILE}.csv", said.SNAPSHOT, _TABLE)
JUDGEMENT = Judgement(
    ROWS,
    "binary-classification",
    f"yes {said.HOSTILE}",
    ("no", f"yes {said.HOSTILE}"),
    (said.METRIC,),
    (Finding(said.VERDICTS[0], {"positives": 40}), Finding(said.VERDICTS[1], {})),
    curves(_PREDICTIONS, 0.5),
    2,
)
DRIFTED = Drifted(
    ROWS,
    ROWS,
    Comparison(
        same_bytes=False,
        rows=(122, 122),
        added=(),
        removed=(said.HOSTILE,),
        retyped={},
        missing={},
        balance={},
        drift={"age": Score("PSI", 0.4, 0.01, 0.05, 0.1, 0.25, "alert", 122, 122, f"PSI 0.4 {said.HOSTILE}")},
        exact=True,
    ),
)
PROVEN = Proven(
    "p.csv",
    said.DIGEST,
    "f" * 64,
    "FAILED",
    ({"policy": "limits", "gate": "ranks", "verdict": "fail", "reason": f"0.4 {said.HOSTILE}"},),
    ({"name": "roc-auc", "value": 0.4, "lower": 0.3, "upper": 0.5},),
)
_PLAN = RolloutPlanSpec.model_validate({"strategy": {"type": "canary", "params": {}}}, strict=False)
_WORLD = World(requests_per_hour=600.0, arms={"stable": Truth(), "candidate": Truth()}, every=20.0, until=10080.0)
_ENDS = ("promote", "promote", "promote", "rollback")
_ROLLOUTS = tuple(Rollout(_ENDS[n % 4], "candidate", 60.0 * n, 600 * n, n, 0.0, ((0.0, 0.1),)) for n in range(1, 21))  # type: ignore[arg-type]
SIMULATED = Simulated(
    f"fraud {said.HOSTILE}", _PLAN, _WORLD, 3, [(f"no effect {said.HOSTILE}", Simulation(_WORLD, _ROLLOUTS))]
)
