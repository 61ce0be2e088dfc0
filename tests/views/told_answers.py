"""An image, how telling stands, a document, a verified branch; values try to be markup or to steer a terminal."""

from __future__ import annotations

from pathlib import Path

from modelops.changes.packaging import Package
from modelops.changes.verifying import Verification
from modelops.documents import Paper, Section, Statement, Table
from modelops.errors import Location, Problem
from modelops.monitoring.telling import Standing
from modelops.monitoring.telling.memory import Trouble
from modelops.monitoring.telling.standing import Failing, Open, Silenced
from modelops.spec.kinds.silence import SilenceSpec
from modelops.spec.layout import Seat
from modelops.targets import Built, Packed
from views.loop_answers import HOSTILE, JUDGEMENT

__all__ = ["BUILT", "FOLDER", "PACKAGE", "PAPER", "STANDING", "VERIFIED"]

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
