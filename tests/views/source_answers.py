"""Where labels and data come from, with values that try to be markup or to steer a terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from modelops.data.upstream.contracts import Checked
from modelops.data.upstream.outcomes import Entered
from modelops.metrics.aims import aim_of
from modelops.monitoring.feedback.declared import Declared, Reviews
from modelops.monitoring.feedback.found import Bucket, Feedback
from modelops.monitoring.upstream.impact import Affected, Impact, Placed
from modelops.monitoring.upstream.suspect import Suspect
from modelops.spec.kinds.data_source import DataSourceSpec
from modelops.spec.kinds.model import Claim, Exploration, Labels
from modelops.spec.kinds.outcomes import BusinessObjective, Figure, Target
from views.loop_answers import HOSTILE, WATCHED

__all__ = ["AIMED", "AIMS", "CHECKED", "DECLARED", "ENTERED", "FED", "IMPACT", "NOTHING_BELOW"]

CLAIM = Claim(recall=0.6, expected=0.75)
REVIEWS = Reviews(CLAIM, 0.003, 30.0, 9840, 72_000.0, 1440.0)
LABELS = Labels(by=f"analysts {HOSTILE}", source="cases", decisions=(HOSTILE, 1), delay_days=30.0)
EXPLORED = LABELS.model_copy(update={"exploration": Exploration(share=0.02, claim=CLAIM)})
AIMS = (
    aim_of(
        f"fraud {HOSTILE}",
        BusinessObjective(
            question=f"Which payments are fraud? {HOSTILE}",
            kpi=f"losses {HOSTILE}",
            unit="EUR",
            better="lower",
            baseline=Figure(since="2026-01-01", until="2026-03-31", value=400.0, note=f"by rules {HOSTILE}"),
            target=Target(change=-0.3, by="2026-06-30"),
        ),
        (Figure(since="2026-04-01", until="2026-04-30", value=310.0, lower=270.0, upper=350.0, level=0.95, n=812),),
        datetime(2026, 7, 5, tzinfo=UTC),
    ),
    aim_of("churn", None, (), None),
)
AIMED = tuple(replace(one, aim=aim) for one, aim in zip(WATCHED, AIMS, strict=False))
ENTERED = Entered(
    (Figure(until="2026-05-31", value=1e9, n=3),),
    ((Figure(until="2026-04-30", value=1.0), Figure(until="2026-04-30", value=2.0)),),
    (f"row 2 has no value {HOSTILE}",),
)
LOOP = f"labels come only where it answered 1 {HOSTILE}"
DECLARED = (
    Declared("churn", LABELS.model_copy(update={"accepted": f"no way {HOSTILE}"}), LOOP, None),
    Declared("fraud", EXPLORED, LOOP, REVIEWS, unweighted=True),
    Declared("scores", EXPLORED, LOOP, replace(REVIEWS, needed=None)),
    Declared(
        "plain",
        Labels(by="the world", exploration=Exploration(share=0.5)),
        "",
        replace(REVIEWS, answers=9e6, drawn=4e6),
    ),
    Declared("few", EXPLORED, LOOP, replace(REVIEWS, claim=None, needed=9000, answers=500.0, drawn=10.0)),
    Declared("quiet", EXPLORED, LOOP, replace(REVIEWS, answers=None, drawn=None)),
)
SOURCE = DataSourceSpec(description=f"Bookings {HOSTILE}", owner=f"core {HOSTILE}", contact=f"#oncall {HOSTILE}")
IMPACT = Impact(
    "core",
    SOURCE,
    ("payments",),
    (
        Affected(
            "fraud",
            f"risk {HOSTILE}",
            ((f"amount {HOSTILE}", "payments"),),
            "payments",
            ("q1",),
            "modelops data check payments",
            (
                Placed("production", (("stable", 2),), (f"at once: requests without {HOSTILE} are refused", "later")),
                Placed("staging", (), ()),
            ),
        ),
    ),
)
NOTHING_BELOW = replace(IMPACT, below=(), models=())
CHECKED = (
    Checked("payments", "core", "#oncall", 60, 3, datetime(2026, 5, 2, 10, tzinfo=UTC), ()),
    Checked("geo", f"geo {HOSTILE}", f"#geo {HOSTILE}", 10, 2, None, (f"it has no column {HOSTILE}", "too few rows")),
)
FEEDBACK = Feedback(
    answers=8000,
    labels=400,
    buckets=(Bucket(0.0, 0.1, 7600, 0, 0.001), Bucket(0.1, 1.0, 400, 400, 1.0)),
    area=0.999,
    area_lower=0.99,
    positivity=0.05,
    least=0.02,
    effective=380.5,
    mean_weight=0.9,
    drawn=160,
    reviewed=150,
    positives=3,
    recall=(0.4, 0.2, 0.7),
    seen=1.0,
    unverified=0.9,
    own=1.0,
    kinds=1.2,
    fired=(("D1", f"no label {HOSTILE}"), ("D3", "not drawn from")),
    told=(f"underpowered {HOSTILE}",),
)
SUSPECT = Suspect("core", f"core {HOSTILE}", "#oncall", (f"amount {HOSTILE}", "hour"), (f"amount {HOSTILE}",))
FED = tuple(replace(one, report=replace(one.report, feedback=FEEDBACK, suspects=(SUSPECT,))) for one in WATCHED[:1])
