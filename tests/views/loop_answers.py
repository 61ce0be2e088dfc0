"""Answers about plans, rollouts and pull requests, with values that try to be markup or to steer a terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from modelops.artifacts import BuildRecord
from modelops.changes.building import Judged
from modelops.changes.proposal import Built
from modelops.changes.reproduction import Comparison
from modelops.changes.restoring import RestorationCase
from modelops.changes.retraining import RetrainingCase, Watched
from modelops.data.travelling import Pushed, Whereabouts
from modelops.drift import Score
from modelops.errors import Exit, Location, ModelOpsError, Problem
from modelops.fence import Held
from modelops.fence.trial import Found
from modelops.forges import Account, Check, Comment, Opened, Point, PullRequest, Review
from modelops.governance.endings import Asked, Conclude, Ending, EndingCase
from modelops.governance.endorsing import Endorsed
from modelops.governance.judged import Judgement
from modelops.governance.judging.course import Cleared, Violation
from modelops.governance.pending import RolledBack
from modelops.governance.proposals import PromotionCase, Proposal
from modelops.governance.pulls import Discussion
from modelops.governance.steering import Steered
from modelops.governance.waivers import Granted, Standing
from modelops.locks import LockDifferences
from modelops.maturity import Criterion, Maturity, Report
from modelops.metrics.unlabelled import Expected
from modelops.monitoring import Decision as Due
from modelops.monitoring import NewRows, Past
from modelops.monitoring.delay import Delay
from modelops.monitoring.report import (
    ArmReport,
    Distribution,
    DomainReport,
    EstimatedReport,
    FeatureReport,
    PerformanceReport,
    Rate,
    SliceReport,
    WindowReport,
)
from modelops.project.trust import Change
from modelops.reconcile.actions import Blocked, Rendered, Restore, SetStep, Wait
from modelops.reconcile.loop import Condition, Result
from modelops.reconcile.plan import Plan
from modelops.reconcile.rollout_status import ArmStatus, RolloutStatus
from modelops.reconcile.status import EnvironmentStatus, ModelStatus, ReleaseStatus, SeatStatus
from modelops.releases.verdicts import Finding
from modelops.rollouts.forecasts import ASSUMED, Planned
from modelops.rollouts.recorded import Recorded
from modelops.rollouts.rehearsal import Features, Known, Outcome, Rehearsal, Share, Shift
from modelops.rollouts.rehearsing import Rehearsed
from modelops.rollouts.replay import Look, Replay, Replayed
from modelops.rollouts.state import Decision, RolloutState, StepState
from modelops.rollouts.values import ArmValue
from modelops.scoring.files import Scored
from modelops.spec.kinds.data_snapshot import Source, Summary
from modelops.spec.kinds.release import CodeReference, DataReference, MetricValue, ReleaseArtifact, ReleaseSpec
from modelops.spec.kinds.rollout_plan import Expectation
from modelops.spec.kinds.waiver import WaivedGate, WaiverSpec
from modelops.spec.layout import Seat
from modelops.spec.meta import Plugin
from modelops.spec.sweep import Findings
from modelops.statistics.off_policy import Estimate
from modelops.strategies import Check as Guard
from modelops.strategies import Forecast, Smoke, Traffic
from modelops.targets import ObservedArm
from modelops.training import Run
from modelops.views.data.travelling import Found as Whereof
from modelops.views.data.travelling import Pulled, Sent
from releases.release_facts import model_resource, snapshot_resource, snapshot_spec, verdict

HOSTILE = "x\x1b[2Jy\u202e|*z* <img src=x> [l](http://e) `c`\n# h"
COMMIT, DIGEST = "0123456789abcdef" * 2 + "01234567", f"sha256:{'ab' * 32}"
AT = "2026-05-01T00:00:00Z"
WHERE = Location("models/fraud/environments/production.yaml", 7)
ARMS = {"stable": 1, "candidate": 2}
TENTH = Traffic({"stable": 0.9, "candidate": 0.1}, {"candidate": 0.5})
HALF = Traffic({"stable": 0.5, "candidate": 0.5})
GUARD = Guard("errors", "fail", f"errors: 11 of 12 {HOSTILE}", 40.0, 20.0, 0.05, {"candidateEvents": 11})
CHECKS = ({"name": "errors", "arm": "candidate", "verdict": "fail", "reason": f"11 of 12 {HOSTILE}", "alpha": 0.05},)

PLANNED = (
    Planned(
        "fraud",
        "canary",
        Expectation(requests_per_hour=600.0),
        True,
        (
            Forecast(1, "errors from 0.01 to 0.02 at 5%", 45544, 4554.4, None, True, "steps[0]", 26306, 0.05, 0.05),
            Forecast(2, f"errors {HOSTILE}", None, None, 1440.0, False, "steps[1]"),
        ),
    ),
    Planned("churn", "canary", ASSUMED, False, (Forecast(1, "errors", 9000, None, None, True, so_far=0.1),)),
)
ENTRIES = (
    Restore(Seat("fraud", "production"), 1, DIGEST, WHERE),
    SetStep(Seat("fraud", "production"), ARMS, 2, HALF, f"step 1 of 2: {HOSTILE}", (GUARD,), WHERE),
    Conclude(Seat("churn", "production"), ARMS, 2, "promote", f"it won {HOSTILE}", WHERE, (), True),
    Wait(Seat("fraud", "production"), f"12 of 200 requests {HOSTILE}", (GUARD,)),
    Blocked(
        Seat("fraud", "production"), "denied", f"release 2 is denied: {HOSTILE}", "promote another", WHERE, Exit.NO
    ),
    Rendered(Seat("fraud", "production"), "kubernetes", ARMS, WHERE),
)
PLAN = Plan("production", ENTRIES)
NOTHING = Plan("production", ())
RENDERS_NOTHING = Plan("box", (), "docker")

CONDITIONS = (
    Condition("churn", "Ready", "in-sync", "release 3 answers", COMMIT, AT),
    Condition("fraud", "Stalled", "denied", f"release 2 is denied: {HOSTILE}", COMMIT, AT),
)
RESULT = Result(PLAN, (f"restored fraud release 1 {HOSTILE}",), CONDITIONS, (), Exit.NO)
ENVIRONMENTS = (
    EnvironmentStatus(
        "production", "local", True, "http://127.0.0.1:8080", "", False,
        arms=(ObservedArm("fraud", "stable", 1, DIGEST, False, f"no memory {HOSTILE}"),),
        conditions=CONDITIONS, problems=(f"the remote is away {HOSTILE}",),
    ),
    EnvironmentStatus("staging", "local", True, "http://127.0.0.1:8081", "", True),
    EnvironmentStatus(
        "box", "kubernetes", None, None, f"rendered by kubernetes {HOSTILE}", None, rendered=ENTRIES[-1:],
    ),
)  # fmt: skip
RUN = Run(7, "fraud", AT, 3.25, "failed", "train-failed", f"it fell {HOSTILE}", DIGEST, None, None, {"depth": 3}, {})
WAIVER = Standing(
    "pilot", "policies/waivers/pilot.yaml", DIGEST,
    WaiverSpec(
        gate=WaivedGate(policy="standard", gate="parity"), models=("fraud",), releases=(2,), expires="2026-05-31",
        reason=f"a pilot {HOSTILE}", environments=("production", HOSTILE),
    ),
    "in force", 30, Granted(COMMIT, ("ana", HOSTILE), 7),
)  # fmt: skip
WAIVERS = (WAIVER, replace(WAIVER, name="late", state="expired", days_left=-1, why=f"it expired {HOSTILE}"))
MODEL = ModelStatus(
    "fraud",
    (SeatStatus("production", 1, 2, (3,), True), SeatStatus("staging", None, None, (), False)),
    (ReleaseStatus(1, DIGEST, f"q1 {HOSTILE}", {"roc-auc": 0.91234, f"m {HOSTILE}": 0.5}),),
    (RUN, replace(RUN, id=8, outcome="succeeded", problem=None, message=None, metrics={"roc-auc": 0.9})),
    (f"models/fraud/model.yaml:3: {HOSTILE}",),
)
STATE = RolloutState(
    ARMS,
    "77141a5eff36a38a",
    (StepState(TENTH, AT, Smoke(50, 0, 0, 1, 1)), StepState(HALF, "2026-05-01T01:00:00Z")),
    decisions=(
        Decision("begin", 0, AT, AT, "the rollout begins", (), DIGEST, "0.1.0"),
        Decision("advance", 1, AT, "2026-05-01T01:00:00Z", f"enough {HOSTILE}", CHECKS, DIGEST, "0.1.0"),
    ),
)
ROLLOUT = RolloutStatus(
    Seat("fraud", "production"), "canary", "rollback", "pull-request", True,
    arms=(
        ArmStatus("stable", 1, 0.5, requests=100),
        ArmStatus("candidate", 2, 0.5, 0.1, requests=99, errors=3, slow=2, labels=1),
    ),
    state=STATE, asked=Asked(12, "open", stale=True), checks=CHECKS, entries=ENTRIES[3:5], forecast=PLANNED[0].steps,
)  # fmt: skip
NO_ROLLOUT = replace(ROLLOUT, state=None, asked=None, checks=(), paused=False, arms=(), entries=(), forecast=())
STEERED = Steered(Seat("fraud", "production"), "paused", COMMIT)

CANARY = Plugin(type="canary", params={"steps": [{"weight": 0.1, "minRequests": 10}]})
LOOK = Look("hold", "2026-05-01T00:40:00Z", 300, f"waits {HOSTILE}", CHECKS)
REPLAY = Replay(
    Seat("fraud", "production"),
    Recorded("the runtime", ARMS, STATE.salt, CANARY, False, STATE.steps, STATE.decisions, None, "", None),
    Plugin(type="canary", params={"steps": [{"weight": 0.1, "minRequests": 900}]}),
    (
        Replayed(
            1, TENTH.weights, AT, "2026-05-01T01:00:00Z", 400, "advance", f"enough {HOSTILE}", LOOK, same=False,
        ),
    ),
    (ArmValue("stable", *(Estimate(0.1, 0.05, 0.2, 90, 45.5),) * 3),),
    f"the log begins later {HOSTILE}",
)  # fmt: skip

METRIC = MetricValue(name="roc-auc", value=0.91234, lower=0.9, upper=0.92, level=0.95, n=480, method="delong")
VERDICTS = (verdict("recall"), verdict("parity", "fail", reason=f"the gap is 0.4 {HOSTILE}"))
RECORD = BuildRecord.model_construct(
    model="fraud-detection", inputs=DIGEST, spec=DIGEST, environment_lock=DIGEST, code_tree=COMMIT, snapshot="q1",
    data_root=DIGEST, rows_train=750, rows_test=250, metrics=(METRIC,), seeds={"training": 7},
    parameters={"criterion": HOSTILE},
    artifact=ReleaseArtifact(digest=DIGEST, size=12345, files=(), engine="sklearn", engine_reason=f"flips {HOSTILE}"),
)  # fmt: skip
BUILT = Built(
    Judged(
        model_resource(),
        snapshot_resource(reason=f"fresher {HOSTILE}"),
        RECORD,
        (
            Finding(VERDICTS[0], {"positives": 40}),
            Finding(VERDICTS[1], {"groups": [{"group": HOSTILE, "n": 120, "rate": 0.21}]}),
        ),
        None,
    ),
    COMMIT,
    snapshot_spec(root=f"sha256:{'cd' * 32}", rows=800, balance={HOSTILE: 3}),
)
WAIVED = replace(
    BUILT,
    judged=replace(
        BUILT.judged,
        findings=(
            replace(BUILT.judged.findings[0], record=VERDICTS[0].model_copy(update={"toothless": f"no {HOSTILE}"})),
            replace(BUILT.judged.findings[1], record=VERDICTS[1].model_copy(update={"waiver": WAIVER.use})),
        ),
        waivers=WAIVERS,
    ),
)
UNDECIDED = replace(
    BUILT,
    judged=replace(BUILT.judged, findings=(Finding(verdict("ranks", "no-data", reason=f"2 rows {HOSTILE}"), {}),)),
)
RELEASE = ReleaseSpec.model_construct(
    version=2, metrics=(METRIC, METRIC.model_copy(update={"name": HOSTILE})), verdicts=VERDICTS,
    artifact=RECORD.artifact, data=DataReference.model_construct(snapshot=f"q1 {HOSTILE}", rows=1000),
    code=CodeReference.model_construct(commit=COMMIT),
)  # fmt: skip
BEGAN = datetime(2026, 5, 1, tzinfo=UTC)
REHEARSAL = Rehearsal(
    stable=1, logged=2400, rows=2000, entities=300, others=12, pinned=3,
    features=Features((f"income {HOSTILE}",), ("tenure",)),
    failures=((f"age {HOSTILE} is missing, and has to be there", 20),),
    errors=Share(18, 1990, 0.009, 0.005, 0.016), stable_failed=10, rescued=8,
    changed=Share(60, 1972, 0.0304, 0.02, 0.045), changes=((f"0 {HOSTILE}", "1", 40), ("1", "0", 20)),
    shift=Shift(1972, 0.012, 0.01, 0.014, 0.004, 0.08, 0.4, 0.031),
    known=Known(512, 100, (Outcome("wrong answers", 512, 0.041, 0.039, -0.002, -0.005, 0.001),), f"labels {HOSTILE}"),
    examples=("019c", f"x{HOSTILE}"),
)  # fmt: skip
REHEARSED = Rehearsed("fraud", 2, "production", BEGAN, BEGAN, 7.0, 2000, REHEARSAL, f"/log {HOSTILE}", "", BEGAN)
UNREHEARSED = Rehearsed("fraud", 2, "", BEGAN, BEGAN, 7.0, 2000, None, why=f"nothing {HOSTILE}")
PROMOTION = PromotionCase(Seat("fraud", "production"), "candidate", RELEASE, None)
CHALLENGE = replace(
    PROMOTION,
    role="challenger-2",
    stable=RELEASE.model_copy(update={"version": 1, "metrics": (METRIC,)}),
    rehearsed=REHEARSED,
)
ENDING = EndingCase(Ending(Seat("fraud", "production"), 2, (), {}), STATE, f"it won {HOSTILE}")
RESTORATION = RestorationCase(Seat("fraud", "production"), 2, HOSTILE, 1, COMMIT, ("models/fraud/train.py", HOSTILE))
COMPARISON = Comparison(
    "fraud",
    2,
    (("inputs", DIGEST, DIGEST), ("metric roc-auc", "0.91", f"0.92 {HOSTILE}")),
    {"bytes": False, "parameters": None, "predictions": True, "metrics": False},
    ("Python 3.13 instead of 3.11", f"the code ({HOSTILE})"),
    (),
    2e-7,
    f"there is no {HOSTILE}",
)

SCORE = Score("PSI", 0.4, 0.01, 0.05, 0.1, 0.25, "alert", 1000, 900, "PSI 0.4, above chance (0.05)")
WINDOW = WindowReport(
    "fraud",
    datetime(2026, 4, 1, tzinfo=UTC),
    datetime(2026, 5, 1, tzinfo=UTC),
    900,
    3,
    "alert",
    (
        FeatureReport("age", {}, Rate(0.0, 0.0, False)),
        FeatureReport(HOSTILE, {"psi": SCORE}, Rate(0.051, 0.0, True), unseen=Rate(0.2, 0.0, True)),
    ),
    {"psi": replace(SCORE, value=0.01, level="none")},
    PerformanceReport("recall", "pass", METRIC, 0.8, None, 480, 900, f"recall 0.91 is at least 0.8 {HOSTILE}"),
    (f"{HOSTILE} drifted (alert): PSI 0.4", "age is as it was"),
)
ANA = Account("1", f"ana{HOSTILE}")
PULL = PullRequest(
    7, f"Promote {HOSTILE}", f"Because.\n\n{HOSTILE}", ANA, "modelops/promote/fraud/2", "main", COMMIT, COMMIT,
    "merged", AT, ("promote:fraud",), merge=COMMIT, merged_by=ANA,
)  # fmt: skip
WATCHED = (
    Watched(Seat("fraud", "production"), 2, WINDOW, Due(True, f"due {HOSTILE}"), PULL),
    Watched(Seat("churn", "production"), 1, replace(WINDOW, features=(), scores={}, performance=None), None, None),
    Watched(
        Seat("fraud", "staging"),
        2,
        WINDOW,
        Due(True, "drift"),
        None,
        lacks="would retrain, but 0 of 500 labelled rows of the last 90 days",
    ),
)
COUNTED = Summary(kind="category", categories=("web", HOSTILE), counts=(70, 20), other=10, missing=0)
BINNED = Summary(kind="number", edges=(1.5, 20.0), counts=(30, 40, 30), missing=2)
SPREAD = Distribution(COUNTED, COUNTED.model_copy(update={"counts": (10, 200), "missing": 3}))
SPREAD_SCORES = Distribution(BINNED, BINNED.model_copy(update={"counts": (400, 300, 200), "missing": 0}))
RECALLED = METRIC.model_copy(update={"name": "recall", "value": 0.7, "lower": 0.6, "upper": 0.79})
FELL = PerformanceReport(
    "recall", "fail", RECALLED, 0.8, None, 480, 900, f"recall is below {HOSTILE}", 3, f"labels depend {HOSTILE}"
)
EARLIER = tuple(
    Past(
        datetime(2026, 3, day, tzinfo=UTC),
        datetime(2026, 4, day, tzinfo=UTC),
        level,
        2,
        "pass",
        1,
        day / 4,
        0.9,
        0.8,
        1.0,
    )
    for day, level in ((1, "none"), (2, "alert"))
)
EXPECTED = EstimatedReport(
    "recall", "fail", Expected(0.75, 0.7, 0.78, 0.95, 880, "calibrated", 0.01), "recall is expected; it is blind"
)
WHOLE = replace(
    WINDOW,
    features=(
        replace(WINDOW.features[0], scores={"psi": replace(SCORE, level="warn")}, distribution=SPREAD_SCORES),
        replace(WINDOW.features[1], share=0.6, carries=True, distribution=SPREAD),
    ),
    performance=FELL,
    estimated=EXPECTED,
    release=2,
    like=f"rows of March {HOSTILE}",
    against=f"the holdout {HOSTILE}",
    arms=(ArmReport(3, 90, {"psi": SCORE}, SPREAD_SCORES),),
    slices=(
        SliceReport(f"channel {HOSTILE}", 300, 1 / 3, FELL),
        SliceReport("channel app", 600, 2 / 3, replace(FELL, value=None, verdict="no-data")),
    ),
    delay=Delay((3600.0, 86_400.0, 5 * 86_400.0), (0.4, 0.8, 1.0), 0.93, 480, 2),
    domain=DomainReport(0.7, 0.66, 0.74, 0.53, "alert", 5000, 900, f"the area is 0.7 {HOSTILE}"),
    answers=SPREAD_SCORES,
)
REPORTED = (
    Watched(
        Seat("churn", "production"),
        1,
        replace(WINDOW, level="none", features=(), scores={}, performance=None, findings=()),
        None,
        None,
    ),
    Watched(
        Seat("quiet", "production"),
        4,
        replace(WINDOW, level="no-data", rows=0, failed=0, features=(), scores={}, findings=(), performance=None),
        None,
        None,
        silent=f"no request {HOSTILE}",
    ),
    Watched(
        Seat(f"fraud {HOSTILE}", "production"),
        2,
        WHOLE,
        Due(True, f"due {HOSTILE}"),
        PULL,
        earlier=EARLIER,
        holdout=METRIC,
    ),
)
RETRAINING = RetrainingCase(f"drift {HOSTILE}", WINDOW, NewRows(pa.table({"n": range(1234)}), 400, 234, 6, 160, 2))
PROPOSAL = Proposal(PULL, 2, (5, 6), already=True)
OPENED = Opened(PULL, already=False)
DISCUSSION = Discussion(
    PULL,
    (Check("modelops/gates", HOSTILE),),
    (Review(ANA, "approved", COMMIT, AT, HOSTILE),),
    (Comment("k", ANA, f"first line\n{HOSTILE}"),),
)
ROLLED_BACK = RolledBack((2, 3), 1, COMMIT)
UNREACHED = {"early": ModelOpsError(Problem("not-durable", f"no way {HOSTILE}"))}
KEPT = RolledBack((2,), 1, None, waits=ModelOpsError(Problem("push-rejected", f"no way {HOSTILE}")))

PROBLEM = Problem("bad", f"it is {HOSTILE}", Location("a.yaml", 3, 5), "spec.seed", "mend it")
FINDINGS = Findings(files=1200, models=2, problems=[PROBLEM], warnings=[])
SNAPSHOT = snapshot_spec(balance={HOSTILE: 3, "b": 1}, source=Source(type="files", location=HOSTILE, owner=HOSTILE))

ENDORSED = Endorsed(
    branch=f"keys{HOSTILE}",
    commit="8" * 40,
    key=f"local{HOSTILE}",
    change=Change("8" * 40, "sha256:" + "9" * 64, 2, ("local",), None),
)
PUSHED = Violation(
    commit="2e816fe3a77cf00dfeed2e816fe3a77cf00dfeed",
    parent="1" * 40,
    author=f"Mallory{HOSTILE} <mallory@example.com>",
    time="2026-03-01T12:00:00Z",
    subject=f"tidy{HOSTILE}",
    code="no-pull-request",
    reason="it came without a pull request",
    files={"requirements.lock": ("100644", "5" * 40)},
    touched=("models/churn/data/rows.csv", "models/churn/train.py", "requirements.lock"),
    count=5,
)
TAKEN_BACK = replace(PUSHED, commit="3" * 40, subject="Revert tidy", files={})
JUDGEMENT = Judgement(
    since=None,
    to="4" * 40,
    proven="1" * 40,
    commits={"root": 1, "pull": 6, "loop": 14, "violation": 2},
    open=(PUSHED, TAKEN_BACK),
    in_force=frozenset({PUSHED.commit}),
    cleared=(Cleared("6" * 40, 12, "7" * 40),),
    way_out="git switch -c take-back origin/main && git revert 2e816fe3a77c",
)
FENCE = (
    Held(landlock=2, why=(("namespaces", f"Operation not permitted {HOSTILE}"), ("seccomp", "not known for riscv64"))),
    (
        Found("files", False, "", (f"reading /home/{HOSTILE}",)),
        Found("secrets", True, "Landlock", ()),
        Found("network", False, "", ("a datagram",)),
    ),
    ("files",),
    ((f"/keys/{HOSTILE}.pem", "only its owner can read it"),),
)

SENT = (Sent("fraud", "q1", Pushed(2, 1_234_567, 1)), Sent(f"fraud {HOSTILE}", "q0", Pushed(0, 0, 3)))
PULLED = (Pulled("fraud", "q1", 3, (f"raw/{HOSTILE}.csv",), (Problem("data-changed", HOSTILE, WHERE),)),)
FOUND = (
    Whereof("fraud", "q1", True, Whereabouts(3, 2_500, "there", True, True, 0)),
    Whereof("fraud", f"q0 {HOSTILE}", False, Whereabouts(2, 12_000_000, "missing", False, False, 1)),
    Whereof("churn", "q1", True, Whereabouts(1, 7, "unasked", False, True, None, f"no store {HOSTILE}")),
)
LOCK = LockDifferences(9, 8, ((f"numpy{HOSTILE}", "1.0", "2.0"),), ("torch",), ("pip",))
SCORED = Scored(1_200, Counter({3: 1_100, 2: 100}), Path(f"out/{HOSTILE}.csv"))


POINTS = (
    Point("reviews", "holds", "one review, and one of the owners of the code"),
    Point("bypass", "fails", f"{HOSTILE} may push past the rules", "gh api --method DELETE rules/1"),
    Point("secrets", "unseen", "cannot see the secrets (needs secrets: read)", None),
)
MATURITY = Report(
    "a" * 40,
    Maturity("the repository", (Criterion(1, "git", "Models are in git", True, "two models"),)),
    (
        Maturity(
            "crm/churn",
            (
                Criterion(1, "released", "A release is recorded", True, "release 1"),
                Criterion(2, "monitored", f"It is watched {HOSTILE}", False, "no monitor", "modelops init --monitor"),
                Criterion(3, "used", "Its answers are used", None, "nobody can tell"),
            ),
        ),
        Maturity("idle", (Criterion(1, "released", "A release is recorded", False, "none", "modelops release --yes"),)),
    ),
    frozenset({"crm/churn"}),
)
