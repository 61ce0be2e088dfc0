"""Answers as the layers below give them, with values that try to be markup or to steer a terminal."""

from __future__ import annotations

from dataclasses import replace

from modelops.audit.answers import (
    Code,
    Data,
    Dropped,
    EnvironmentAnswer,
    LogAnswer,
    ModelThere,
    Part,
    PredictionAnswer,
    PromotionAnswer,
    ReleaseAnswer,
    ReleaseThere,
    Rescored,
    RowProof,
    Sample,
    Trust,
)
from modelops.evidence import Making
from modelops.predictions import Flaw
from modelops.spec.kinds.promotion import Approval, PullRequestReference
from modelops.spec.kinds.release import MetricValue, VerdictRecord

HOSTILE = "x\x1b[2Jy\u202e|*z*"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = f"sha256:{'ab' * 32}"
PROVEN = Trust("verified", ("SHA256:key",))
REFUSED = Trust("refused", (), ("the signature of 1 of 2 statements is by a key that was revoked",))

PROMOTION = PromotionAnswer(
    name="production-2",
    environment="production",
    release=2,
    path="pull-request",
    reason=f"fresher data {HOSTILE}",
    promoted_at="2026-05-02T10:00:00Z",
    pull_request=PullRequestReference(number=7, author="ada", head=COMMIT, head_tree=COMMIT, base=COMMIT, merge=COMMIT),
    approvals=(Approval(login="grace", commit=COMMIT, submitted_at="2026-05-02T09:58:00Z"),),
    outcomes=({"outcome": "promote", "reason": f"all steps passed {HOSTILE}"},),
    trust=PROVEN,
    file="models/fraud/promotions/production-2.yaml",
)
METRIC = MetricValue(name="roc-auc", value=0.91234, lower=0.9, upper=0.92, level=0.95, n=480, method="delong")
VERDICT = VerdictRecord(
    policy="high-risk",
    gate="ranks",
    type="metric",
    verdict="pass",
    blocking=True,
    value=0.91234,
    lower=0.9,
    upper=0.92,
    limit=0.85,
    n=480,
    reason="roc-auc 0.912 is at least 0.85",
)
RELEASE = ReleaseAnswer(
    model="fraud",
    release=2,
    revision=COMMIT,
    file="models/fraud/releases/2/release.yaml",
    artifact=DIGEST,
    engine="onnx",
    inputs=DIGEST,
    build=DIGEST,
    spec=DIGEST,
    environment_lock=DIGEST,
    seeds={"training": 7},
    code=Code(COMMIT, COMMIT, "Ada Lovelace", "Propose fraud detection", "2026-05-01T09:00:00Z"),
    data=Data("2026-q2", DIGEST, 12000, "payments", ("ledger",), "2026-04-01", "2026-06-30"),
    champion=1,
    metrics=(METRIC,),
    verdicts=(VERDICT,),
    details={"high-risk/ranks": {"level": 0.95, "checkedLeftOut": 3, "checked": [{"by": HOSTILE, "value": 0.91234}]}},
    approval={"pullRequest": {"number": 6, "author": "ada"}, "approvals": []},
    promotions=(PROMOTION,),
    trust=PROVEN,
    made=Making(
        "https://modelops.dev/builders/local/v1",
        DIGEST,
        "2026-05-01T09:00:00Z",
        "2026-05-01T09:01:30Z",
        "0.2.0",
        {
            "python": {"implementation": "cpython", "version": "3.11.7"},
            "platform": {"system": "Linux", "machine": HOSTILE},
            "lock": {"pins": 2, "hashed": 1},
        },
        {"numpy": "2.1.0", "scipy": "1.14.0", "pip": "25.0"},
        {"train.py": "ab" * 32},
    ),
)
PREDICTION = PredictionAnswer(
    id="20260503-1-abc",
    environment="production",
    log="predictions-20260503.sqlite",
    model="fraud",
    release=2,
    arm="stable",
    step=0,
    time="2026-05-03T11:00:00Z",
    entity=HOSTILE,
    features={"channel": HOSTILE, "amount": 12.5},
    score=0.73,
    label="1",
    status=200,
    error=None,
    truth=None,
    truth_time=None,
    made_by=RELEASE,
    promotion=PROMOTION,
    trust=PROVEN,
    proof=RowProof(
        part="2026-05-03-w0-1.sqlite",
        row=17,
        status="sealed",
        truth=None,
        sealed_at="2026-05-03T12:00:00Z",
        keys=("SHA256:key",),
        flaws=(),
        rescored=Rescored("equal", score=0.73, label="1"),
    ),
)
LOG = LogAnswer(
    environment="production",
    log=f"/srv/predictions {HOSTILE}",
    parts=(
        Part("2026-05-01-w0-1.sqlite", False, 40, 0, 0, 0, None, ()),
        Part("2026-05-02-w0-1.sqlite", True, 900, 900, 12, 12, "2026-05-03T00:30:00Z", ()),
        Part("2026-05-03-w0-1.sqlite", True, 1300, 1200, 3, 0, "2026-05-03T12:00:00Z", ()),
    ),
    flaws=(),
    dropped=(
        Dropped("2026-02-01-w0-1.sqlite", 800, "ab" * 32, 1769904000.0, 1769990000.5, 90.0, "2026-05-03T00:30:00Z"),
        Dropped("2026-01-31-w0-1.sqlite", 7, "", None, None, 90.0, "2026-05-02T00:30:00Z"),
    ),
    seals=31,
    remembered=31,
    trust=PROVEN,
    sample=Sample(20, 17, 2, (), (("a", f"the artifact cannot be had here {HOSTILE}"),), 5),
)
FLAWED = replace(
    LOG,
    flaws=(
        Flaw("2026-05-02-w0-1.sqlite", "changed", "answers", 3, 9),
        Flaw("2026-05-02-w0-1.sqlite", "missing", "labels", 4, 4),
        Flaw("2026-05-02-w0-1.sqlite", "added", "shadows", -1, -1),
        Flaw("2026-05-02-w0-1.sqlite", "cut", "answers", 880, 900),
        Flaw("2026-05-02-w0-1.sqlite", "cut", "answers", 880, 900, "2026-05-03-w0-1.sqlite"),
        Flaw("2026-05-02-w0-1.sqlite", "rewritten", "answers", 1, 900),
        Flaw("2026-05-02-w0-1.sqlite", "replaced", detail=HOSTILE),
        Flaw("2026-05-02-w1-1.sqlite", "gone"),
        Flaw("2026-05-02-w1-2.sqlite", "gone", first=1, last=8, detail="2026-05-02-w1-3.sqlite"),
        Flaw("2026-05-03-w0-1.sqlite", "unreadable", detail=f"malformed {HOSTILE}"),
        Flaw("2026-05-03-w0-1.sqlite", "feedback", "labels", 5, 5),
        Flaw("2026-05-03-w0-1.sqlite", "routes", detail="4"),
        Flaw("2026-05-03-w0-1.sqlite", "tables"),
        Flaw("2026-05-03-w0-1.sqlite", "twice", first=7, last=7, detail="2026-05-03-w9-1.sqlite"),
        Flaw("", "seals", detail="31 seals are remembered, and the 30 here are not those"),
    ),
    sample=replace(LOG.sample, different=(("b", "the score is another"),)) if LOG.sample else None,
)
ENVIRONMENT = EnvironmentAnswer(
    environment="production",
    at="2026-05-03T00:00:00Z",
    commit=COMMIT,
    committed="2026-05-02T10:01:00Z",
    models=(
        ModelThere(
            "fraud",
            ReleaseThere(2, DIGEST, PROVEN, PROMOTION),
            ReleaseThere(3, None, REFUSED, None),
            (1,),
        ),
        ModelThere("churn", None, None, ()),
    ),
)
