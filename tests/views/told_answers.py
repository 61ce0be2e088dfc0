"""An image, how telling stands, a document, a verified branch; values try to be markup or to steer a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from modelops.changes.packaging import Package
from modelops.changes.postmortems import Filed, Impact, Postmortem, Turn
from modelops.changes.verifying import Verification
from modelops.documents import Paper, Section, Statement, Table
from modelops.errors import Location, Problem
from modelops.monitoring.anomalies import Anomaly
from modelops.monitoring.objectives import Budget
from modelops.monitoring.telling import Standing
from modelops.monitoring.telling.memory import Trouble
from modelops.monitoring.telling.standing import Failing, Open, Silenced
from modelops.monitoring.triage import Incident, Kept, Spent
from modelops.monitoring.triage.incidents import Entry, Rows
from modelops.spec.kinds.silence import SilenceSpec
from modelops.spec.layout import Seat
from modelops.targets import Built, Packed
from views.loop_answers import HOSTILE, JUDGEMENT

__all__ = ["BUILT", "FILED", "FOLDER", "KEPT", "PACKAGE", "PAPER", "POSTMORTEM", "STANDING", "VERIFIED"]

PACKED = Packed(
    name=f"churn:1-{HOSTILE}",
    base=f"python:3.12@sha256:{'b' * 64}",
    packages="numpy==2.0.0",
    labels={"org.opencontainers.image.title": "churn", "owner": HOSTILE},
    files={},
)
PACKAGE = Package("churn", 1, f"sha256:{'a' * 64}", PACKED, b"{}")
BUILT = Built(f"sha256:{'c' * 64}", 171_000_000, f"registry.example/churn@sha256:{'d' * 64}")
FOLDER = Path("out") / HOSTILE

_SILENCE = SilenceSpec(models=("churn",), reason=f"moving {HOSTILE}", begins="2026-01-01", expires="2026-01-09")
STANDING = Standing(
    open=(
        Open("drift", Seat("fraud", "production"), f"amount {HOSTILE}", "2026-01-02T00:00:00Z", None, ""),
        Open("stalled", Seat("churn", "production"), "no-evidence", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", ""),
    ),
    failing=(
        Failing(1, "webhook", Trouble("2026-01-02T00:00:00Z", 3, "2026-01-02T01:00:00Z", "refused", HOSTILE, None, 2)),
    ),
    silences=(Silenced("moving", _SILENCE, counts=True), Silenced("later", _SILENCE, counts=False)),
    unheard=(f"risk {HOSTILE}",),
)

_DAY = "2026-01-02T00:00:00Z"
_GONE = Incident(
    id="2026-01-02-production-data-gone",
    kind="data",
    kinds=("data", "performance"),
    event="performance",
    events=("inputs", "performance"),
    code="recall",
    said=f"the performance fell: {HOSTILE}",
    cause=f"amount, count went missing together {HOSTILE}",
    evidence=(f"amount is missing {HOSTILE}", "count is missing in 100.0% of rows"),
    features=("amount", "count"),
    release=2,
    began="2026-01-01T18:00:00Z",
    window="2025-12-03T00:00:00Z",
    first=_DAY,
    seen=_DAY,
    opened=_DAY,
    bad=2,
    counted=_DAY,
    rows=(Rows(since="2026-01-01T18:00:00Z", until=None),),
    timeline=(
        Entry(at=_DAY, said=f"amount is missing {HOSTILE}"),
        Entry(at=_DAY, said="opened as inputs"),
        Entry(at=_DAY, said=f"no retraining: nothing is trained on broken data: {HOSTILE}"),
    ),
)
_OVER = _GONE.model_copy(
    update={
        "id": "2026-01-02-production-drift",
        "kind": "drift",
        "closed": "2026-01-09T00:00:00Z",
        "rows": (Rows(since="2026-01-01T18:00:00Z", until="2026-01-04T00:00:00Z"),),
        "postmortem": 7,
    }
)
_SUSPECTED = _GONE.model_copy(update={"id": "", "opened": None, "kind": "drift", "event": "drift", "bad": 1})
KEPT = Kept(
    at="2026-01-09T00:00:00Z",
    incidents=(_OVER, _GONE, _SUSPECTED),
    spent=Spent(month="2026-01", runs=1, limit=2, rejected=1, waits_until="2026-02-01T00:00:00Z"),
    budgets=(
        Budget(
            promise="latency", said="answers within 50 ms", target=0.99, period_days=30, bad=15, all=1000, spent=1.5,
            rates={"5m": 14.5, "1h": 14.5, "6h": 6.0, "1d": 2.0, "3d": 1.5}, severity="page", until=_DAY,
            since=_DAY, whose="100% of it is release 2, which answered 10% of the requests",
        ),
        Budget(promise="quality", said="right answers", target=0.9, period_days=30, until=_DAY, lacking=HOSTILE),
    ),
    anomalies=(
        Anomaly(series="requests", began=_DAY, until=None, hours=5, value=120.0, usual=610.4),
        Anomaly(series="errors", began=_DAY, until=_DAY, hours=5, value=0.12, usual=0.01),
        Anomaly(series="mean score", began=_DAY, until=None, hours=5, value=0.123456, usual=0.2),
    ),
    unjudged=f"3 days of answers are known {HOSTILE}",
)  # fmt: skip
FILED = (
    Filed("2026-01-02-production-drift", "models/fraud/incidents/2026-01-02-production-drift.md", 7),
    Filed("2026-01-03-production-drift", "models/fraud/incidents/2026-01-03-production-drift.md", None, HOSTILE),
)
POSTMORTEM = Postmortem(
    Seat("fraud", "production"),
    _OVER,
    f"risk {HOSTILE}",
    Impact(1200, 3, 400, 90, 700, 250, whole=False),
    (Turn(datetime(2026, 1, 1, 17, 58, tzinfo=UTC), (("stable", 2),), "c" * 40),),
)
PAPER = Paper(
    "annex-iv",
    f"Technical documentation of churn {HOSTILE}",
    (("release", "churn 1"), ("owner", HOSTILE)),
    (
        Section(
            "1a",
            "Purpose",
            "The intended purpose.",
            (Statement(f"It finds {HOSTILE}", "models/churn/model.yaml at 0123456789ab"),),
            (Table("Gates", ("gate", "reason"), (("standard/ranks", HOSTILE), ("a|b", "-")), "signed evidence"),),
            (f"nobody says {HOSTILE}",),
        ),
        Section("1b", "Other systems"),
    ),
)
VERIFIED = Verification(
    JUDGEMENT,
    None,
    {"commits": 23, "releases": 2},
    (
        Problem(
            "immutable-file", f"commit 0123 ({HOSTILE}) changed it", Location("models/churn/data/q.yaml"), hint="see"
        ),
        Problem("trust-missing", "there is no trust policy"),
    ),
    (f"churn/{HOSTILE}",),
)
