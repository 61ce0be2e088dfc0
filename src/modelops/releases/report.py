"""What a reviewer reads on the pull request: the answer first, then the numbers behind it."""

from __future__ import annotations

from collections.abc import Sequence

from modelops.artifacts import BuildRecord
from modelops.errors import Exit, failure
from modelops.releases import markdown
from modelops.releases.markdown import Markup, code, metric_cell, table
from modelops.spec.data import DataSnapshotSpec
from modelops.spec.delivery import MetricValue, ReleaseSpec, VerdictRecord
from modelops.spec.kinds import Resource
from modelops.spec.model import ModelSpec

LIMIT = 60_000
"""Bytes that a report never exceeds; GitHub refuses comments above 65,536 characters."""

_ROWS = 60


def report_key(model: str) -> str:
    """Return the key under which the report of a model is kept up to date on a pull request."""
    return f"modelops-report:{model}"


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
) -> str:
    """Return the report of a build in Markdown, below 60 kB of UTF-8.

    ``champion`` is the release it was compared with; ``champion_metrics`` its metrics on the same rows, without which
    the ones recorded when it was released are shown, and said to be on other rows. ``changes`` are sentences about the
    data, as comparing two snapshots gives them.
    """
    sections = [
        _headline(record, verdicts, champion),
        f"#### Metrics\n\n{_metrics(record, champion, champion_metrics)}",
        f"#### Gates\n\n{_gates(verdicts)}",
        f"#### Data\n\n{_data(record, snapshot, champion_snapshot, changes)}",
        f"#### Served by\n\n{_engine(record)}",
        f"#### Inputs\n\n{_inputs(record, commit)}",
        f"Build it yourself: `modelops build {model.name}`",
    ]
    return _fit(sections)


def _headline(record: BuildRecord, verdicts: Sequence[VerdictRecord], champion: ReleaseSpec | None) -> str:
    if not verdicts:
        raise failure("nothing-measured", f"no gate judged the build of {record.model}", exit=Exit.NO)
    blocking = [verdict for verdict in verdicts if verdict.blocking]
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
    rest = len(verdicts) - passing
    without = f"; {_plural(rest, 'gate')} did not pass and may by policy" if rest else ""
    verb = "passes" if len(verdicts) == 1 else "pass"
    answer = f"### ✅ {record.model}: {passing} of {_plural(len(verdicts), 'gate')} {verb}"
    return f"{answer}\n\nMerging releases it{without}.{compared}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _metrics(record: BuildRecord, champion: ReleaseSpec | None, same_rows: Sequence[MetricValue]) -> str:
    before = {metric.name: metric for metric in same_rows or (champion.metrics if champion else ())}
    level = f"{record.metrics[0].level:.0%}" if record.metrics else ""
    headers = ["Metric", f"Candidate ({level} interval)", "n"]
    headers += [f"Release {champion.version}"] if champion else []
    rows = []
    for metric in record.metrics:
        row = [code(metric.name), metric_cell(metric), Markup(f"{metric.n:,}")]
        rows.append([*row, metric_cell(before.get(metric.name))] if champion else row)
    text = table(headers, rows, _ROWS)
    if champion and not same_rows:
        text = Markup(f"{text}\n\nRelease {champion.version} was measured on its own test rows, when it was released.")
    return text


def _gates(verdicts: Sequence[VerdictRecord]) -> str:
    order = sorted(verdicts, key=lambda one: (not one.blocking, one.verdict == "pass"))
    return markdown.gates_table(order, _ROWS)


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
        text += f"\n\nWhy it was taken: {markdown.escape(now.reason, 1000)}"
    lines = [*_column_changes(now, before), *changes]
    text += "\n\n" * bool(lines) + "\n".join(f"- {markdown.escape(line, 300)}" for line in lines[:_ROWS])
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
            f", at most {largest:.2g} from scikit-learn on the rows of the equality check"
            if largest is not None
            else ""
        )
        return f"ONNX{most}; {size}."
    reason = f": {markdown.escape(artifact.engine_reason, 300)}" if artifact.engine_reason else ""
    return f"scikit-learn, {size}{reason}"


def _inputs(record: BuildRecord, commit: str) -> str:
    seeds = ", ".join(f"{name} {seed}" for name, seed in record.seeds.items())
    parameters = ", ".join(f"{name} {value}" for name, value in record.parameters.items())
    rows: list[tuple[object, object]] = [
        ("All inputs", code(record.inputs)),
        ("Spec", code(record.spec)),
        ("Data", code(record.data_root)),
        ("Code", Markup(f"commit {code(commit)}, tree {code(record.code_tree)}")),
        ("Environment lock", code(record.environment_lock)),
        ("Artifact", code(record.artifact.digest)),
        ("Seeds", seeds or "–"),
        ("Parameters", markdown.escape(parameters or "–", 1000)),
    ]
    return table(("", ""), rows)


def _fit(sections: Sequence[str]) -> str:
    """Join sections; the largest go where they do not fit, headline and gates last, and the reader is told."""
    kept = list(sections)
    note = ""
    while len(text := "\n\n".join([*kept, *([note] if note else [])]) + "\n") and len(text.encode()) > LIMIT:
        if len(kept) == 1:
            return text.encode()[: LIMIT - 200].decode(errors="ignore") + "\n\n… cut to fit.\n"
        rest = [section for section in kept[1:] if not section.startswith("#### Gates")] or kept[1:]
        kept.remove(max(rest, key=lambda section: len(section.encode())))
        note = "Sections that did not fit into a comment were left out; `modelops build` prints everything."
    return text
