"""The judged builds of a change: what a reviewer reads on the pull request, the answer first, then the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from modelops.artifacts import BuildRecord
from modelops.changes.building import Judged
from modelops.changes.proposal import Built
from modelops.errors import Exit, failure
from modelops.evidence import verdict_data
from modelops.markup import Markup, code, escape, number, plain, table
from modelops.metrics.questions import too_good
from modelops.releases.chance import Chance
from modelops.releases.details import details_lines, details_markdown
from modelops.releases.markdown import (
    baseline_sentence,
    confusion_rows,
    confusion_title,
    equality_table,
    gates_table,
    library,
    metric_cell,
    rows_counted,
    search_sentence,
    served_by,
    weight_sentence,
    weighted_otherwise,
)
from modelops.releases.verdicts import Outcome, let_through, outcome, passed
from modelops.spec.kinds import Resource
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.release import MetricValue, ReleaseSpec, VerdictRecord
from modelops.views import locks, terminal
from modelops.views.proofs import waivers

LIMIT = 60_000
"""Bytes that a report never exceeds; GitHub refuses comments above 65,536 characters."""

_ROWS = 60


_CLASSES = 12
"""Classes up to which a terminal shows which was taken for which."""
_DETAILS = 5
"""Rows of each table behind a verdict that a terminal is shown; the report has more, the evidence all."""


def text(built: Sequence[Built]) -> str:
    """Return builds with their metrics and verdicts."""
    lines = []
    for found in built:
        judged = found.judged
        lines.append(f"{judged.model.name}: {_WORDS[judged.outcome]}{_although(judged)}")
        lines += [f"  {line}" for line in _measured(judged.record)]
        artifact = judged.record.artifact
        if artifact.engine != "onnx":
            why = artifact.engine_reason
            lines.append(f"  served by {served_by(artifact)}, which is slower{plain(f': {why}') if why else ''}")
        if artifact.labels:
            lines.append(f"  {plain(artifact.labels)}")
        if other := locks.difference(judged.making):
            lines.append(f"  {other}")
        if asked := question(judged.record.metrics):
            lines.append(f"  {asked}")
        for finding in judged.findings:
            record = finding.record
            lines.append(f"  {record.verdict:12} {plain(f'{finding.key}: {record.reason}')}")
            lines += [f"  {'':12} {plain(line)}" for line in _about(record)]
            lines += [f"  {'':12}   {line}" for line in details_lines(finding.details, _DETAILS)]
        lines += [f"  {plain(waivers.unheard(one))}" for one in judged.unheard]
        lines += [f"  {line}" for line in left_to_chance(judged.chance)]
    return "\n".join(lines) or "nothing to build: every model has a release for its inputs"


def left_to_chance(chance: Chance) -> list[str]:
    """Return what the gates of a build leave to chance, a sentence each: by one look, and by all of them."""
    told = []
    if chance.strict:
        told.append(
            f"chance: of releases that miss the limit of a gate at most {chance.passes:.3g} pass it "
            f"({_plural(chance.strict, 'gate')}); of those that meet all limits at most {chance.fails:.3g} fail one"
        )
    if chance.lenient:
        blocks = "blocks" if chance.lenient == 1 else "block"
        told.append(f"{_plural(chance.lenient, 'gate')} with an interval {blocks} a shown failure alone")
    if chance.looks > 1:
        best = (
            f"that the best of them passes falsely has a chance of at most {chance.best:.3g}"
            if chance.strict
            else "the best of them looks better than it is"
        )
        told.append(
            f"{chance.looks} builds were measured on rows of this snapshot, as far as its releases and this machine "
            f"know: {best}"
        )
    return told


def _measured(record: BuildRecord) -> list[str]:
    """Return the metrics, each beside what knowing nothing scores, and which class was taken for which."""
    known = record.baseline.metrics if record.baseline is not None else {}
    lines = []
    for one in record.metrics:
        beside = f", baseline {known[one.name]:.4g}" if one.name in known else ""
        worth = f" worth {one.rests_on}" if one.effective is not None else ""
        interval = f"[{one.lower:.4g}, {one.upper:.4g}] at {one.level:.0%}, n={one.n}{worth}"
        lines.append(f"{plain(one.name)} {one.value:.4g} {interval}{beside}")
    if record.weight is not None:
        lines.append(plain(weight_sentence(record.weight)))
    if record.baseline is not None:
        lines.append(plain(baseline_sentence(record.baseline, record.task)))
    if record.confusion is not None and len(record.classes) <= _CLASSES:
        header, rows = confusion_rows(record.confusion, record.classes)
        lines.append(f"{confusion_title(record.confusion)}:")
        told = terminal.table([plain(each) for each in header], [[plain(each) for each in row] for row in rows])
        lines += [f"  {line}" for line in told.splitlines()]
    return lines


def question(metrics: Sequence[MetricValue]) -> str | None:
    """Return what to ask about metrics that are too good to be true, in one sentence; None when none is."""
    found = too_good(metrics)
    if found is None:
        return None
    return (
        f"too good to be true? {plain(found.name)} {found.value:.4g} [{found.lower:.4g}, {found.upper:.4g}]: look for "
        "a column that is known only afterwards, or for test rows in training"
    )


_WORDS: dict[Outcome, str] = {
    "passed": "passed",
    "waived": "passed by waiver",
    "undecided": "undecided",
    "failed": "NOT passed",
}


def _although(judged: Judged) -> str:
    """Return what an undecided build means for its release, and what a policy lets by that is no pass."""
    if judged.outcome in ("passed", "waived"):
        rest = let_through(judged.verdicts)
        counts = [(sum(one.verdict == word for one in rest), word) for word in ("fail", "no-data", "inconclusive")]
        told = ", ".join(f"{count} {word}" for count, word in counts if count)
        return f", although its policies let by {told}" if told else ""
    if judged.outcome != "undecided":
        return ""
    may = "and may be released, as its policies hold nothing up for that" if judged.passed else "and is not released"
    return f": no gate could tell how good it is, {may}"


def _about(record: VerdictRecord) -> list[str]:
    """Return what else is to be said of a verdict: who excepted it until when, and why it means little."""
    told = [f"but {record.toothless}"] if record.toothless else []
    used = record.waiver
    if used is None:
        return told
    by = ", ".join(used.granted_by)
    return [f"waived until {used.expires} by {used.name}, granted by {by}: {used.reason}", *told]


def data(built: Sequence[Built]) -> list[dict[str, Any]]:
    """Return builds with everything that their gates measured."""
    return [_data_of(found) for found in built]


def _data_of(found: Built) -> dict[str, Any]:
    judged = found.judged
    return {
        "model": judged.model.name,
        "passed": judged.passed,
        "outcome": judged.outcome,
        "inputs": judged.record.inputs,
        "artifact": judged.record.artifact.digest,
        "question": question(judged.record.metrics),
        "chance": {**asdict(judged.chance), "best": judged.chance.best},
        "metrics": _metrics_data(judged.record),
        "weight": judged.record.weight,
        "baseline": judged.record.baseline.answer if judged.record.baseline is not None else None,
        "confusion": _confusion_data(judged.record),
        "verdicts": [{**verdict_data(one.record), "details": dict(one.details)} for one in judged.findings],
        "waivers": [waivers.row(one) for one in judged.waivers],
    }


def _metrics_data(record: BuildRecord) -> list[dict[str, Any]]:
    known = record.baseline.metrics if record.baseline is not None else {}
    return [{**one.model_dump(by_alias=True), "baseline": known.get(one.name)} for one in record.metrics]


def _confusion_data(record: BuildRecord) -> dict[str, Any] | None:
    if record.confusion is None:
        return None
    return {"classes": list(record.classes), **record.confusion.model_dump(by_alias=True)}


def comment(built: Sequence[Built]) -> str:
    """Return the reports of a change's builds as one comment, each with its part of what a comment may hold."""
    return "\n\n".join(markdown(found, LIMIT // len(built) - 2) for found in built)


def markdown(found: Built, limit: int = LIMIT) -> str:
    """Return the report of one build, in at most so many bytes of UTF-8."""
    judged = found.judged
    return report(
        judged.record,
        judged.verdicts,
        model=judged.model,
        snapshot=judged.snapshot,
        commit=found.commit,
        champion=judged.champion.spec if judged.champion is not None else None,
        champion_snapshot=found.champion_snapshot,
        details=judged.details,
        unheard=[waivers.unheard(one) for one in judged.unheard],
        chance=judged.chance,
        limit=limit,
    )


def report(
    record: BuildRecord,
    verdicts: Sequence[VerdictRecord],
    *,
    model: Resource[ModelSpec],
    snapshot: Resource[DataSnapshotSpec],
    commit: str,
    champion: ReleaseSpec | None = None,
    champion_metrics: Sequence[MetricValue] = (),
    champion_snapshot: DataSnapshotSpec | None = None,
    changes: Sequence[str] = (),
    details: Mapping[str, Mapping[str, object]] | None = None,
    unheard: Sequence[str] = (),
    chance: Chance | None = None,
    limit: int = LIMIT,
) -> str:
    """Return the report of a build in Markdown, in at most ``limit`` bytes of UTF-8.

    ``champion`` is the release it was compared with; ``champion_metrics`` its metrics on the same rows, without which
    the ones recorded when it was released are shown, and said to be on other rows. ``changes`` are sentences about the
    data, as comparing two snapshots gives them, ``unheard`` about waivers that do not count; ``details`` what the gates
    measured, by ``policy/gate``, ``chance`` what they leave to chance.
    """
    left = [escape(line, 300) for line in left_to_chance(chance)] if chance is not None else []
    sections = [
        _headline(record, verdicts, champion),
        *_asked(record.metrics),
        f"#### Metrics\n\n{_metrics(record, champion, champion_metrics)}",
        "\n\n".join([f"#### Gates\n\n{_gates(verdicts)}", *(f"⚠️ {escape(line, 300)}" for line in unheard), *left]),
        *_behind(verdicts, details or {}),
        f"#### Data\n\n{_data(record, snapshot, champion_snapshot, changes)}",
        f"#### Served by\n\n{_engine(record)}",
        f"#### Inputs\n\n{_inputs(record, commit)}",
        f"Build it yourself: `modelops build {model.name}`",
    ]
    return _fit(sections, limit)


def _asked(metrics: Sequence[MetricValue]) -> list[str]:
    asked = question(metrics)
    return [f"⚠️ {escape(asked)}"] if asked else []


def _headline(record: BuildRecord, verdicts: Sequence[VerdictRecord], champion: ReleaseSpec | None) -> str:
    if not verdicts:
        raise failure("nothing-measured", f"no gate judged the build of {record.model}", exit=Exit.NO)
    blocking = [verdict for verdict in verdicts if verdict.holds]
    waived = [verdict for verdict in verdicts if verdict.waived]
    passing = sum(verdict.verdict == "pass" for verdict in verdicts)
    compared = (
        f" Compared with release {champion.version}." if champion else " There is no release to compare with yet."
    )
    if blocking:
        names = ", ".join(code(f"{one.policy}/{one.gate}", 80) for one in blocking[:10])
        more = f" and {len(blocking) - 10} more" if len(blocking) > 10 else ""
        verb = "blocks" if len(blocking) == 1 else "block"
        answer = f"### ❌ {record.model}: {len(blocking)} of {_plural(len(verdicts), 'gate')} {verb}"
        return f"{answer}\n\nIt cannot be released: {names}{more}.{compared}"
    rest = len(verdicts) - passing - len([one for one in waived if one.verdict != "pass"])
    without = f"; {_plural(rest, 'gate')} did not pass and may by policy" if rest else ""
    verb = "passes" if len(verdicts) == 1 else "pass"
    word = outcome(verdicts)
    if word == "undecided":
        answer = f"### ❔ {record.model}: undecided, no gate could tell how good it is"
        may = "Merging releases it" if passed(verdicts) else "It cannot be released"
        return f"{answer}\n\n{may}: {passing} of {_plural(len(verdicts), 'gate')} {verb}{without}.{compared}"
    if waived:
        names = ", ".join(code(f"{one.policy}/{one.gate}", 80) for one in waived[:10])
        answer = f"### ⚠️ {record.model}: {passing} of {_plural(len(verdicts), 'gate')} {verb}, {len(waived)} waived"
        return f"{answer}\n\nMerging releases it by waiver of {names}{without}.{compared}"
    answer = f"### ✅ {record.model}: {passing} of {_plural(len(verdicts), 'gate')} {verb}"
    return f"{answer}\n\nMerging releases it{without}.{compared}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _metrics(record: BuildRecord, champion: ReleaseSpec | None, same_rows: Sequence[MetricValue]) -> str:
    before = {metric.name: metric for metric in same_rows or (champion.metrics if champion else ())}
    level = f"{record.metrics[0].level:.0%}" if record.metrics else ""
    known = record.baseline.metrics if record.baseline is not None else None
    headers = ["Metric", f"Candidate ({level} interval)", "n", *([] if known is None else ["Baseline"])]
    headers += [f"Release {champion.version}"] if champion else []
    rows = []
    for metric in record.metrics:
        row = [code(metric.name), metric_cell(metric), Markup(rows_counted(metric.n, metric.effective))]
        row += [] if known is None else [number(known.get(metric.name))]
        rows.append([*row, metric_cell(before.get(metric.name))] if champion else row)
    text = table(headers, rows, _ROWS)
    if record.weight is not None:
        text = Markup(f"{text}\n\n{escape(weight_sentence(record.weight))}")
    if record.baseline is not None:
        text = Markup(f"{text}\n\n{escape(baseline_sentence(record.baseline, record.task))}")
    if record.confusion is not None:
        header, cells = confusion_rows(record.confusion, record.classes)
        told = table([escape(name, 80) for name in header], cells, _ROWS)
        text = Markup(f"{text}\n\nThe {confusion_title(record.confusion)}:\n\n{told}")
    if champion and not same_rows:
        text = Markup(f"{text}\n\nRelease {champion.version} was measured on its own test rows, when it was released.")
        if apart := weighted_otherwise(champion.version, champion.weight, record.weight):
            text = Markup(f"{text} {escape(apart[0].upper() + apart[1:])}.")
    return text


def _gates(verdicts: Sequence[VerdictRecord]) -> str:
    order = sorted(verdicts, key=lambda one: (not one.blocking, one.verdict == "pass"))
    return gates_table(order, _ROWS)


def _behind(verdicts: Sequence[VerdictRecord], details: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return the section with the numbers behind the verdicts, folded, where gates gave any."""
    told = details_markdown(details, [f"{one.policy}/{one.gate}" for one in verdicts][:_ROWS])
    folded = f"<details><summary>What the gates saw</summary>\n\n{told}\n\n</details>"
    return [f"#### Behind the verdicts\n\n{folded}"] if told else []


def _data(
    record: BuildRecord,
    snapshot: Resource[DataSnapshotSpec],
    before: DataSnapshotSpec | None,
    changes: Sequence[str],
) -> str:
    now = snapshot.spec
    if before is not None and before.root == now.root:
        return f"The same as the champion's: {code(now.root)}, {now.rows:,} rows."
    facts = _data_facts(now)
    old = _data_facts(before) if before is not None else {}
    headers = ("", f"Snapshot {code(snapshot.name)}", *(("Champion's",) if before else ()))
    rows = [(name, value, *((old[name],) if before else ())) for name, value in facts.items()]
    rows.insert(
        2, ("Rows to train / to test", f"{record.rows_train:,} / {record.rows_test:,}", *(("",) if before else ()))
    )
    text = str(table(headers, rows))
    if now.reason:
        text += f"\n\nWhy it was taken: {escape(now.reason, 1000)}"
    lines = [*_column_changes(now, before), *changes]
    text += "\n\n" * bool(lines) + "\n".join(f"- {escape(line, 300)}" for line in lines[:_ROWS])
    return text + (f"\n- … and {len(lines) - _ROWS} more changes." if len(lines) > _ROWS else "")


def _data_facts(data: DataSnapshotSpec) -> dict[str, object]:
    balance = sorted(data.balance.items(), key=lambda item: -item[1])[:5]
    labelled = sum(data.balance.values())
    span = data.time_span
    return {
        "Root": code(data.root),
        "Rows": f"{data.rows:,}",
        "Columns": len(data.columns),
        "Time span": f"{span.first} to {span.last}" if span else "–",
        "Balance": ", ".join(f"{label} {count / labelled:.2%}" for label, count in balance) if labelled else "–",
        "Owner": data.source.owner,
        "Upstream": ", ".join(data.source.upstream) or "–",
    }


def _column_changes(now: DataSnapshotSpec, before: DataSnapshotSpec | None) -> list[str]:
    if before is None:
        return []
    new, old = ({column.name: column.type for column in data.columns} for data in (now, before))
    lines = [f"new column: {name} ({new[name]})" for name in new if name not in old]
    lines += [f"column is gone: {name} ({old[name]})" for name in old if name not in new]
    changed = (name for name in new if name in old and new[name] != old[name])
    return lines + [f"column changed its type: {name}, {old[name]} to {new[name]}" for name in changed]


def _engine(record: BuildRecord) -> str:
    artifact = record.artifact
    size = f"{artifact.size:,} bytes in {_plural(len(artifact.files), 'file')}"
    if artifact.engine == "onnx":
        largest = artifact.onnx_difference
        most = (
            f", at most {largest:.2g} from {library(artifact)} on the rows of the equality check"
            if largest is not None
            else ""
        )
        served = f"ONNX{most}; {size}."
    else:
        reason = f": {escape(artifact.engine_reason, 300)}" if artifact.engine_reason else ""
        served = f"{served_by(artifact)}, {size}{reason}"
    labels = [f"⚠️ {escape(artifact.labels, 300)}."] if artifact.labels else []
    table = [equality_table(artifact)] if artifact.equality else []
    return "\n\n".join([served, *labels, *table])


def _inputs(record: BuildRecord, commit: str) -> str:
    seeds = ", ".join(f"{name} {seed}" for name, seed in record.seeds.items())
    parameters = ", ".join(f"{name} {value}" for name, value in record.parameters.items())
    search = [("Search", escape(search_sentence(record.search), 1000))] if record.search is not None else []
    rows: list[tuple[object, object]] = [
        ("All inputs", code(record.inputs)),
        ("Spec", code(record.spec)),
        ("Data", code(record.data_root)),
        ("Code", Markup(f"commit {code(commit)}, tree {code(record.code_tree)}")),
        ("Environment lock", code(record.environment_lock)),
        ("Artifact", code(record.artifact.digest)),
        ("Seeds", seeds or "–"),
        ("Parameters", escape(parameters or "–", 1000)),
        *search,
    ]
    return table(("", ""), rows)


def _fit(sections: Sequence[str], limit: int) -> str:
    """Join sections; the largest go where they do not fit, headline and gates last, and the reader is told."""
    kept = list(sections)
    note = ""
    while len(text := "\n\n".join([*kept, *([note] if note else [])]) + "\n") and len(text.encode()) > limit:
        if len(kept) == 1:
            return text.encode()[: max(0, limit - 20)].decode(errors="ignore") + "\n\n… cut to fit.\n"
        rest = [section for section in kept[1:] if not section.startswith("#### Gates")] or kept[1:]
        kept.remove(max(rest, key=lambda section: len(section.encode())))
        note = "Sections that did not fit into a comment were left out; `modelops build` prints everything."
    return text
