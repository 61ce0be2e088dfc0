"""What was measured of a change, as the file that another job reads, and in a line for each thing."""

from __future__ import annotations

import math
from collections.abc import Iterable

from modelops import __version__
from modelops.changes.building import Judged
from modelops.changes.proposal import Built
from modelops.changes.report import (
    BuildReport,
    DataReport,
    EntryReport,
    MetricReport,
    ProblemReport,
    Report,
    RuleReport,
    StepReport,
    VerdictReport,
)
from modelops.data.comparison import compare
from modelops.errors import Problem
from modelops.markup import plain
from modelops.reconcile.actions import Blocked, Entry, describe, runnable
from modelops.reconcile.measured import Measured
from modelops.releases.markdown import baseline_sentence, weighted_otherwise
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.release import VerdictRecord
from modelops.views import forecasts, locks, release
from modelops.views.data import comparison
from modelops.views.proofs import waivers
from modelops.views.proposals import aims, labels

_LINE = 1_900


def text(found: Report) -> str:
    """Return in a few lines what a report says; whoever wants all of it reads the file."""
    lines = [f"{one.model}: {one.outcome}{'' if one.passed else ', not to be released'}" for one in found.builds]
    lines += [f"{name}: not measured" for name in found.unmeasured]
    lines += [f"- {one.text}" for one in found.plan]
    return "\n".join(map(plain, lines)) or "nothing to measure"


def report(found: Measured) -> Report:
    """Return a change as its report."""
    refused = [one for one in found.plan.entries if isinstance(one, Blocked)] if found.plan else []
    return Report(
        modelops=__version__,
        head=found.head,
        base=found.base,
        result=found.result,
        folder=found.folder,
        plan=tuple(map(_entry, found.plan.entries)) if found.plan else (),
        builds=tuple(map(_build, found.built)),
        unmeasured=found.unmeasured,
        forecasts=tuple(
            StepReport(
                model=planned.model,
                step=step.step,
                what=_cut(step.what),
                requests=step.requests,
                minutes=_finite(step.minutes),
                sees=step.sees,
            )
            for planned in found.forecasts
            for step in planned.steps
        ),
        expectations=_lines(line for planned in found.forecasts for line in forecasts.sees(planned)),
        waivers=_lines(map(waivers.line, found.waivers)),
        objectives=_lines(line for one in found.aims for line in aims.lines(one)),
        labels=_lines(line for one in found.labels for line in labels.lines(one)),
        rules=tuple(
            RuleReport(change=one.change, environment=one.environment, minimum=one.minimum, approvers=one.approvers)
            for one in found.rules
        ),
        problems=(
            *(_problem(one, "failure") for one in found.problems),
            *(_problem(Problem(one.code, one.reason, one.where, None, one.hint), "failure") for one in refused),
            *(one for built in found.built for one in _fails(built.judged)),
            *(_problem(one, "warning") for one in found.warnings),
        ),
    )


def _entry(entry: Entry) -> EntryReport:
    refused = isinstance(entry, Blocked)
    return EntryReport(
        text=_cut(describe(entry)), does="refused" if refused else "changes" if runnable(entry) else "informs"
    )


def _problem(one: Problem, level: str) -> ProblemReport:
    where = one.location
    return ProblemReport(
        level="failure" if level == "failure" else "warning",
        code=one.code,
        message=_cut(one.message),
        hint=_cut(one.hint or ""),
        path=where.path[:1_000] if where else "",
        line=where.line if where else 0,
    )


def _fails(judged: Judged) -> Iterable[ProblemReport]:
    """Yield what gates found against a build, at the line that names them."""
    where = judged.model.where("spec.gates")
    for one in judged.verdicts:
        if one.verdict != "pass" and not one.waived:
            said = f"{judged.model.name}: {one.policy}/{one.gate} {one.verdict}: {one.reason}"
            # What holds a release up is no problem of a file; that it fails is said by the build itself.
            yield _problem(Problem("gate-failed" if one.holds else "gate-let-by", said, where), "warning")


def _build(built: Built) -> BuildReport:
    judged = built.judged
    record, champion = judged.record, judged.champion.spec if judged.champion is not None else None
    known = record.baseline.metrics if record.baseline is not None else {}
    before = {one.name: (one.value, one.lower, one.upper) for one in champion.metrics} if champion else {}
    return BuildReport(
        model=judged.model.name,
        outcome=judged.outcome,
        passed=judged.passed,
        stable=champion.version if champion else None,
        weight=record.weight or "",
        metrics=tuple(
            MetricReport(
                name=one.name,
                value=one.value,
                lower=one.lower,
                upper=one.upper,
                level=one.level,
                n=one.n,
                effective=one.effective,
                baseline=known.get(one.name),
                stable=before.get(one.name),
            )
            for one in record.metrics
        ),
        verdicts=tuple(map(_verdict, judged.verdicts)),
        data=_data(judged.snapshot.name, judged.snapshot.spec, built.champion_snapshot),
        notes=_lines(_notes(judged)),
    )


def _verdict(one: VerdictRecord) -> VerdictReport:
    by = f"until {one.waiver.expires} by {one.waiver.name}: {one.waiver.reason}" if one.waiver else ""
    return VerdictReport(
        policy=one.policy,
        gate=one.gate,
        verdict=one.verdict,
        blocking=one.blocking,
        value=one.value,
        lower=one.lower,
        upper=one.upper,
        limit=one.limit,
        n=one.n,
        reason=_cut(f"{one.reason}. {one.toothless}" if one.toothless else one.reason),
        waived=_cut(by),
    )


def _data(name: str, now: DataSnapshotSpec, before: DataSnapshotSpec | None) -> DataReport:
    said = comparison.text(compare(before, now)).splitlines() if before is not None and before.root != now.root else []
    rows = before.rows if before is not None else None
    return DataReport(snapshot=name, root=now.root, rows=now.rows, before=rows, changes=_lines(said))


def _notes(judged: Judged) -> Iterable[str]:
    """Yield what else a reviewer should know of a build."""
    record = judged.record
    if asked := release.question(record.metrics):
        yield asked
    yield from map(waivers.unheard, judged.unheard)
    if judged.champion is not None:
        stable = judged.champion.spec
        if apart := weighted_otherwise(stable.version, stable.weight, record.weight):
            yield apart
    if record.baseline is not None:
        yield baseline_sentence(record.baseline, record.task)
    yield from release.left_to_chance(judged.chance)
    if other := locks.difference(judged.making):
        yield other


def _lines(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(_cut(line) for line in lines)[:1_900]


def _cut(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[:_LINE]}…"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
