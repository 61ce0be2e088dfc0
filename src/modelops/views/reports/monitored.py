"""A monitoring report: every model of an environment, what hurts first, as sections of sentences and tables.

One structure for the page and for Markdown, so that both say the same; JSON is that of ``modelops monitor``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from modelops.changes.retraining import Watched
from modelops.clock import format_instant
from modelops.drift import Level, Score
from modelops.markup import escape, number
from modelops.metrics import aims
from modelops.metrics.unlabelled import Expected
from modelops.monitoring import FeatureReport, Past, PerformanceReport, Rate, ranked
from modelops.monitoring.report import Distribution, worst
from modelops.spec.kinds.release import MetricValue
from modelops.views.monitor import LOOKS, decided, window_line
from modelops.views.reports.sections import Section, Table, sections_lines

__all__ = ["Part", "looks", "markdown", "parts"]

_ORDER: Mapping[Level, int] = {"alert": 0, "warn": 1, "no-data": 2, "none": 3}
_MOST = 40
"""Of so many features the distributions are told, in their order; scores are told of all."""
_DRIFTED = ("alert", "warn")


@dataclass(frozen=True, slots=True)
class Part:
    """What is told of one model: the window in one line, what is worst in one sentence, and everything in sections."""

    found: Watched
    window: str
    worst: str
    sections: tuple[Section, ...]

    @property
    def name(self) -> str:
        """The model's name, and the release that was judged."""
        return f"{self.found.seat.model} release {self.found.release}"


def parts(watched: Sequence[Watched]) -> tuple[Part, ...]:
    """Return what is told of every model, what hurts most first, then by name."""
    return tuple(_part(found) for found in sorted(watched, key=_rank))


def markdown(environment: str, watched: Sequence[Watched]) -> str:
    """Return the whole report."""
    told = parts(watched)
    lines = [f"# Monitoring of {escape(environment)}", "", *_first(environment, told)]
    for part in told:
        lines += ["", f"## {escape(part.name)}", "", f"{escape(part.window)}. Level {part.found.report.level}."]
        lines += sections_lines(part.sections)
    return "\n".join(lines) + "\n"


def _first(environment: str, told: Sequence[Part]) -> Iterator[str]:
    if not told:
        yield f"No monitored model is stable in {escape(environment)}."
    for part in told:
        yield f"- **{part.found.report.level}** {escape(part.name)}: {escape(part.worst)}"


def _rank(found: Watched) -> tuple[int, str]:
    return 0 if found.silent else _ORDER[found.report.level], found.seat.model


def _part(found: Watched) -> Part:
    report = found.report
    told = [*([f"Traffic is missing: {found.silent}"] if found.silent else []), *report.findings]
    worst_of = told[0] if told else f"nothing was found in {report.rows} rows"
    sections = (
        Section("findings", "Findings", tuple(told) or ("Nothing was found.",)),
        *([Section("objective", "What it is for", tuple(aims.sentences(found.aim)))] if found.aim is not None else []),
        Section("decision", "What was decided", tuple(decided(found)) or (_UNDECIDED,)),
        _performance(found),
        _slices(found),
        _features(found),
        _distributions(found),
        _answers(found),
        _looks(found),
        _delay(found),
        _selection(found),
    )
    return Part(found, window_line(report), worst_of, sections)


_UNDECIDED = "The monitor has no retraining section, so it proposes none."


def _performance(found: Watched) -> Section:
    """Tell the metric as the release stated it, as it is, and as it is expected to be without labels."""
    performance, expected, held = found.report.performance, found.report.estimated, found.holdout
    lines = []
    if performance is None:
        lines.append("No metric is watched.")
    else:
        lines.append(f"{performance.reason}. {_limits(performance)}".strip())
    if expected is not None:
        lines.append(f"Before labels come: {expected.reason}.")
    rows = []
    if held is not None:
        rows.append((f"holdout of release {found.release}", *_measured(held), ""))
    if performance is not None and performance.value is not None:
        rows.append(("this window", *_measured(performance.value), performance.verdict))
    if expected is not None and expected.value is not None:
        rows.append(("expected without labels, blind to concept drift", *_measured(expected.value), expected.verdict))
    name = performance.metric if performance is not None else held.name if held is not None else "The metric"
    headers = ("measured on", "value", "lower", "upper", "confidence", "rows", "interval by", "verdict")
    tables = (Table(f"{name} with its intervals", headers, tuple(rows)),) if rows else ()
    return Section("performance", "Performance", tuple(lines), tables)


def _measured(value: MetricValue | Expected) -> tuple[str, ...]:
    bounds = (value.value, value.lower, value.upper)
    return (*map(number, bounds), f"{value.level * 100:.6g} %", f"{value.n:,}", value.method)


def _limits(performance: PerformanceReport) -> str:
    """Say what the metric is held against, and that it is one of many looks."""
    known = (("minimum", performance.minimum), ("maximum", performance.maximum))
    limits = " and ".join(f"{word} {number(limit)}" for word, limit in known if limit is not None)
    looks = f"; look {performance.looks} at this release, and all looks keep the confidence together"
    return f"Limit: {limits or 'none'}{looks if performance.value is not None else ''}."


def _slices(found: Watched) -> Section:
    slices = found.report.slices
    if not slices:
        return Section("slices", "Parts of the traffic", ("The monitor declares no slices.",))
    rows = []
    for part in slices:
        cells: tuple[str, ...] = ("–",) * 4
        if part.performance is not None:
            value = part.performance.value
            bounds = ("–",) * 3 if value is None else tuple(map(number, (value.value, value.lower, value.upper)))
            cells = (*bounds, part.performance.verdict)
        labelled = f"{part.performance.labelled:,}" if part.performance is not None else "–"
        rows.append((part.name, f"{part.rows:,}", _percent(part.share), labelled, *cells))
    headers = ("part", "answers", "share", "labels", "value", "lower", "upper", "verdict")
    measured = next((each.performance.metric for each in slices if each.performance is not None), None)
    title = f"{measured} in each part; the parts share the error rate" if measured else "Answers in each part"
    return Section("slices", "Parts of the traffic", (), (Table(title, headers, tuple(rows)),))


def _features(found: Watched) -> Section:
    """Tell every score of every feature beside what chance gives and beside its limit."""
    report = found.report
    lines = [f"Held against {report.against}."] if report.against else []
    if report.like:
        lines.append(f"The inputs are like {report.like}, which they are held against.")
    if report.domain is not None:
        lines.append(f"All features together: {report.domain.reason}.")
    told = ranked(report.features)
    names = {key: score.name for each in told for key, score in each.scores.items()}
    rows = tuple(
        (
            each.name,
            ("–" if each.share is None else f"{each.share:.0%}") + (", carries it" if each.carries else ""),
            each.level,
            *(_scored(each.scores.get(key)) for key in names),
            *map(_rate, (each.missing, each.unseen, each.out_of_range)),
        )
        for each in told
    )
    headers = ("feature", "part of the model", "level", *names.values(), "missing", "unseen", "out of range")
    title = "Scores, each with what chance seldom exceeds and the limit of an alert"
    tables = (Table(title, headers, rows),) if rows else ()
    return Section("drift", "Drift", tuple(lines) or (() if rows else ("No feature was scored.",)), tables)


def _scored(score: Score | None) -> str:
    if score is None:
        return "–"
    if score.level == "no-data":
        return "no-data"
    return f"{score.value:.3f} (chance {score.critical:.3f}, alert {score.alert:.3g}): {score.level}"


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return "–"
    return f"{_percent(rate.value)} (was {_percent(rate.reference)}){', raised' if rate.raised else ''}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _distributions(found: Watched) -> Section:
    """Tell how features are spread: what carries the model first, then what drifted most."""
    counted = [each for each in ranked(found.report.features) if each.distribution is not None]
    counted.sort(key=lambda each: (not each.carries, each.level not in _DRIFTED))
    left = len(counted) - _MOST
    lines = (f"{left} more features are in the JSON alone.",) if left > 0 else ()
    tables = tuple(_bins(_headed(each), each.distribution) for each in counted[:_MOST] if each.distribution is not None)
    if not tables:
        lines = ("No feature was counted.",)
    return Section("distributions", "Features beside the reference", lines, tables)


def _headed(feature: FeatureReport) -> str:
    share = "" if feature.share is None else f", {feature.share:.0%} of the model"
    return f"{feature.name} ({feature.level}{share})"


def _bins(title: str, found: Distribution) -> Table:
    """Return the shares of a column in each bin, with the rows that they are of."""
    before, now = found.rows
    rows = tuple(
        (
            each.name,
            f"{each.reference:,}",
            _percent(each.reference / max(1, before)),
            f"{each.window:,}",
            _percent(each.window / max(1, now)),
        )
        for each in found.bins
    )
    return Table(title, ("values", "reference rows", "reference share", "window rows", "window share"), rows, found)


def _answers(found: Watched) -> Section:
    """Tell what each arm answered, held against the holdout of its own release."""
    report = found.report
    mine = report.answers.rows[1] if report.answers is not None else None
    arms = [(f"release {found.release}, stable", mine, report.scores, report.answers)]
    arms += [(f"release {arm.release}", arm.rows, arm.scores, arm.distribution) for arm in report.arms]
    known = [arm for arm in arms if arm[2] or arm[3] is not None]
    if not known:
        return Section("answers", "Scores of each arm", ("No release here states the scores on its holdout.",))
    names = {key: score.name for _, _, scores, _ in known for key, score in scores.items()}
    rows = tuple(
        (
            name,
            "–" if many is None else f"{many:,}",
            worst(scores.values()),
            *(_scored(scores.get(key)) for key in names),
        )
        for name, many, scores, spread in known
    )
    title = "What each arm answered beside the scores on its own holdout"
    tables = [Table(title, ("arm", "answers", "level", *names.values()), rows)]
    tables += [_bins(name, spread) for name, _, _, spread in known if spread is not None]
    return Section("answers", "Scores of each arm", (), tuple(tables))


def _looks(found: Watched) -> Section:
    """Tell the windows that were scored on this machine, this one last."""
    told = looks(found)
    lines = () if len(told) > 1 else ("No earlier window was scored on this machine.",)
    rows = tuple(
        (
            format_instant(one.until),
            "–" if one.release is None else str(one.release),
            one.level,
            number(one.strength),
            one.verdict,
            *map(number, (one.value, one.lower, one.upper)),
        )
        for one in told
    )
    headers = ("until", "release", "level", "strongest drift in limits", "performance", "value", "lower", "upper")
    return Section("looks", "The last windows", lines, (Table("Windows, the newest last", headers, rows),))


def looks(found: Watched) -> tuple[Past, ...]:
    """Return the last windows, the oldest first, with the present one."""
    return (*found.earlier[-LOOKS:], Past.of(found.report))


def _delay(found: Watched) -> Section:
    delay = found.report.delay
    if delay is None:
        why = "How long labels take cannot be told: fewer than 100 came, or all at one time, or most take longer."
        return Section("delay", "Delay of labels", (why,))
    rows = tuple((f"{share:.0%}", f"{delay.within(share) / timedelta(days=1):.3g}") for share in (0.5, 0.75, 0.9, 0.95))
    lines = [f"{delay.complete:.0%} of the window's labels have come by now, judged by {delay.labels:,} that have."]
    if delay.early:
        lines.append(f"{delay.early} labels are older than their prediction: clocks differ.")
    table = Table("Labels come within", ("share of labels", "days"), rows)
    return Section("delay", "Delay of labels", tuple(lines), (table,))


def _selection(found: Watched) -> Section:
    """Tell whether rows with a label are as the traffic, and what was done where they are not."""
    performance = found.report.performance
    if performance is None:
        said = "Not looked at: no metric is watched."
    elif performance.selection:
        said = f"{performance.selection[:1].upper()}{performance.selection[1:]}."
    elif performance.value is None:
        said = f"Not told: {performance.reason}."
    else:
        said = (
            "Answers with a label were not found to differ from those without; that labels depend on the truth within "
        )
        said += "an answer cannot be seen."
    return Section("selection", "Which answers have a label", (said,))
