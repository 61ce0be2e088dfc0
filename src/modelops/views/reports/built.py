"""The report of judged builds: the answer first, then every number, as sections of sentences and tables.

One structure for the page and for Markdown, so that both say the same; JSON is that of ``modelops build`` with the
points of the curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelops.changes.proposal import Built
from modelops.data.comparison import compare
from modelops.markup import number
from modelops.metrics.curves import Curve, Curves, Point
from modelops.releases.markdown import baseline_sentence, rows_counted, weight_sentence
from modelops.spec.kinds.release import Importance
from modelops.views import release as view
from modelops.views.data import comparison
from modelops.views.proofs import waivers
from modelops.views.reports.groups import Compared, compared
from modelops.views.reports.sections import Section, Table, sections_lines

__all__ = ["Part", "answered", "carried", "data", "markdown", "parts", "tables_of"]

Drawn = Mapping[str, Curves | str]
"""By model: the curves of its answers, or why there are none."""
_THRESHOLDS = 12
"""Points of a curve that a table tells; the picture has all, the JSON too."""
_FEATURES = 30


@dataclass(frozen=True, slots=True)
class Part:
    """What is told of one build: the answer in one line, everything in sections, and what its pictures show."""

    found: Built
    answer: str
    sections: tuple[Section, ...]
    curves: Curves | None
    groups: Mapping[str, tuple[Compared, ...]]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.found.judged.model.name


def parts(built: Sequence[Built], drawn: Drawn) -> tuple[Part, ...]:
    """Return what is told of every build, those first that may not be released, then by name."""
    told = (_part(found, drawn.get(found.judged.model.name, _NONE)) for found in built)
    return tuple(sorted(told, key=lambda part: (part.found.judged.passed, part.name)))


def markdown(built: Sequence[Built], drawn: Drawn) -> str:
    """Return the report of builds: what a reviewer reads on the pull request, then the numbers of its pictures."""
    lines: list[str] = []
    for part in parts(built, drawn):
        lines += [view.markdown(part.found).rstrip(), ""]
        answers = [section for section in part.sections if section.key in ("answers", "importance", "groups")]
        lines += [*sections_lines(answers, "####"), ""]
    return "\n".join(lines)


def data(built: Sequence[Built], drawn: Drawn) -> list[dict[str, Any]]:
    """Return builds as ``modelops build`` prints them, each with the curves of its answers or null."""
    told = []
    for found, plain in zip(built, view.data(built), strict=True):
        curves = drawn.get(found.judged.model.name, _NONE)
        told.append(
            plain | {"commit": found.commit, "curves": None if isinstance(curves, str) else _camel(asdict(curves))}
        )
    return told


_NONE = "the predictions of its test rows are not in the store"


def _camel(value: Any) -> Any:
    """Return plain data with keys as files have them; names of classes stay as they are."""
    if isinstance(value, list | tuple):
        return [_camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    by_class = {"roc", "precision_recall"}
    return {
        _key(name): {each: _camel(one) for each, one in inner.items()} if name in by_class else _camel(inner)
        for name, inner in value.items()
    }


def _key(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _part(found: Built, curves: Curves | str) -> Part:
    judged = found.judged
    groups = {key: told for key, each in judged.details.items() if (told := compared(each, judged.model.spec.task))}
    known = None if isinstance(curves, str) else curves
    sections = (
        _metrics(found),
        _gates(found),
        answered(curves),
        _importance(judged.record.importance),
        _groups(groups),
        _data(found),
        _inputs(found),
    )
    answer = {"passed": "passes its gates", "waived": "passes by waiver", "undecided": "is undecided"}
    word = answer.get(judged.outcome, "does not pass its gates")
    may = "merging releases it" if judged.passed else "it cannot be released"
    return Part(found, f"{judged.model.name} {word}: {may}", sections, known, groups)


def _numbers(*values: float | None) -> tuple[str, ...]:
    return tuple(str(number(value)) for value in values)


def _metrics(found: Built) -> Section:
    record, champion = found.judged.record, found.judged.champion
    known = record.baseline.metrics if record.baseline is not None else {}
    before = {one.name: one for one in champion.spec.metrics} if champion is not None else {}
    headers = ["metric", "value", "lower", "upper", "confidence", "rows", "interval by", "knowing nothing"]
    headers += [f"release {champion.spec.version}"] if champion is not None else []
    rows = []
    for one in record.metrics:
        row = [one.name, *_numbers(one.value, one.lower, one.upper), f"{one.level * 100:.6g} %"]
        row += [rows_counted(one.n, one.effective), one.method, str(number(known.get(one.name)))]
        old = before.get(one.name)
        said = "–" if old is None else f"{number(old.value)} [{number(old.lower)}, {number(old.upper)}]"
        rows.append(tuple([*row, said] if champion is not None else row))
    lines = [one for one in (view.question(record.metrics),) if one]
    lines += [weight_sentence(record.weight)] if record.weight is not None else []
    lines += [baseline_sentence(record.baseline, record.task)] if record.baseline is not None else []
    if champion is not None:
        lines.append(f"release {champion.spec.version} was measured on its own test rows, when it was released")
    return Section(
        "metrics", "Metrics", tuple(lines), (Table("Metrics with their intervals", tuple(headers), tuple(rows)),)
    )


def _gates(found: Built) -> Section:
    judged = found.judged
    rows = tuple(
        (
            f"{one.policy}/{one.gate}",
            f"{one.verdict}{', waived' if one.waived else ', blocks' if one.holds else ''}",
            *_numbers(one.value, one.lower, one.upper, one.limit),
            "–" if one.n is None else f"{one.n:,}",
            f"{one.reason}. {one.toothless}" if one.toothless else one.reason,
        )
        for one in sorted(judged.verdicts, key=lambda one: (not one.holds, one.verdict == "pass"))
    )
    headers = ("gate", "verdict", "value", "lower", "upper", "limit", "rows", "why")
    lines = [*view.left_to_chance(judged.chance), *(waivers.unheard(one) for one in judged.unheard)]
    return Section("gates", "Gates", tuple(lines), (Table("What every gate found", headers, rows),))


def answered(curves: Curves | str) -> Section:
    """Return how a model answers, in tables that say what its pictures show."""
    if isinstance(curves, str):
        return Section("answers", "How it answers", (f"No curves: {curves}.",))
    lines = [f"Counted on {curves.rows:,} test rows, taken as independent; every interval holds with 95 % by itself."]
    if curves.left:
        lines.append(f"No curves of their own: {', '.join(curves.left)}.")
    return Section("answers", "How it answers", tuple(lines), tuple(tables_of(curves)))


def tables_of(curves: Curves) -> Iterator[Table]:
    """Yield the numbers of every picture."""
    for name, curve in curves.roc.items():
        rows_of = f"{curve.positives:,} positive and {curve.negatives:,} negative rows"
        title = f"ROC{_of(name)}: area {number(curve.area)}, {rows_of}"
        yield _points(title, ("false positives", "true positives"), curve)
    for name, curve in curves.precision_recall.items():
        worth = f"average precision {number(curve.area)}, knowing nothing {number(curve.chance)}"
        yield _points(f"Precision and recall{_of(name)}: {worth}", ("recall", "precision"), curve)
    if curves.calibration:
        title = "Calibration: groups of similar scores"
        yield _grouped(title, ("mean score", "share that is true"), curves.calibration)
    if curves.agreement:
        title = "Prediction and truth: groups of similar predictions"
        yield _grouped(title, ("mean prediction", "mean truth"), curves.agreement)
    if curves.residuals:
        rows = tuple(
            (*_numbers(one.said, one.low, one.median, *one.median_bounds, one.high), f"{one.n:,}")
            for one in curves.residuals
        )
        headers = ("mean prediction", "10th percentile", "median", "lower", "upper", "90th percentile", "rows")
        yield Table("Residuals, truth minus prediction, of groups of similar predictions", headers, rows)


def _of(name: str) -> str:
    return f" of {name}" if name else ""


def _points(title: str, axes: tuple[str, str], curve: Curve) -> Table:
    """Return some points of a curve, evenly through it, with the one that is served."""
    known = [point for point in curve.points if point.threshold is not None]
    step = max(1, -(-len(known) // _THRESHOLDS))
    chosen = known[step // 2 :: step]
    if curve.at is not None and curve.at.threshold is not None:
        chosen = sorted({*chosen, curve.at}, key=lambda point: -(point.threshold or 0.0))
    rows = tuple(_point(point, "served" if point is curve.at else "") for point in chosen)
    x, y = axes
    return Table(title, ("threshold", x, f"{x}, interval", y, f"{y}, interval", ""), rows)


def _point(point: Point, note: str) -> tuple[str, ...]:
    def bounds(found: tuple[float, float]) -> str:
        return f"{number(found[0])} to {number(found[1])}"

    where = str(number(point.threshold))
    return where, str(number(point.x)), bounds(point.x_bounds), str(number(point.y)), bounds(point.y_bounds), note


def _grouped(title: str, axes: tuple[str, str], groups: Sequence[Any]) -> Table:
    rows = tuple((*_numbers(one.said, one.found, one.lower, one.upper), f"{one.n:,}") for one in groups)
    return Table(title, (*axes, "lower", "upper", "rows"), rows)


def carried(importance: Importance) -> list[tuple[str, float, float, float]]:
    """Return the features that carry a model, the largest first, each with its value and the bounds at 95 %."""
    return [
        (each.name, each.value, each.value - 1.96 * each.error, each.value + 1.96 * each.error)
        for each in importance.features[:_FEATURES]
    ]


def _importance(importance: Importance | None) -> Section:
    if importance is None:
        return Section("importance", "What carries it", ("Not measured.",))
    rows = tuple((name, *_numbers(*each)) for name, *each in carried(importance))
    left = len(importance.features) - len(rows)
    loss, many = importance.loss, f"{importance.rows:,}"
    lines = [f"How much the {loss} of a row rises when a feature's values change places, on {many} test rows."]
    lines += [f"{left} more features are in the JSON alone."] if left > 0 else []
    table = Table("Permutation importance with 95 % intervals", ("feature", "rise", "lower", "upper"), rows)
    return Section("importance", "What carries it", tuple(lines), (table,) if rows else ())


def _groups(groups: Mapping[str, tuple[Compared, ...]]) -> Section:
    headers = ("group", "value", "lower", "upper", "rows")
    tables = [
        Table(
            f"{key}: {one.quantity} by group",
            headers,
            tuple((each.name, *_numbers(each.value, each.lower, each.upper), f"{each.n:,}") for each in one.rates),
        )
        for key, told in groups.items()
        for one in told
    ]
    return Section("groups", "Groups", () if tables else ("No gate judged groups.",), tuple(tables))


def _data(found: Built) -> Section:
    snapshot, before = found.judged.snapshot, found.champion_snapshot
    record = found.judged.record
    lines = [
        f"{snapshot.name}: {snapshot.spec.rows:,} rows, {record.rows_train:,} to train and {record.rows_test:,} to test"
    ]
    if before is not None:
        lines += comparison.text(compare(before, snapshot.spec)).splitlines()
    return Section("data", "Data", tuple(lines))


def _inputs(found: Built) -> Section:
    record = found.judged.record
    rows = [("commit", found.commit), ("all inputs", record.inputs), ("artifact", record.artifact.digest)]
    rows += [("served by", record.artifact.engine), ("environment lock", record.environment_lock)]
    rows += [(f"parameter {name}", str(value)) for name, value in record.parameters.items()]
    rows += [(f"seed {name}", str(value)) for name, value in record.seeds.items()]
    return Section("inputs", "Inputs", (), (Table("What it was made from", ("what", "value"), tuple(rows)),))
