"""What a look found that may be an incident, with its likeliest cause and what speaks for it.

Features that changed at one time changed for one reason. So they are told together, with the time, and with the
release that began to answer then, if one did. Nothing is guessed beyond that: a cause is what the rows and git show.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa

from modelops.clock import format_instant, parse_instant
from modelops.monitoring.entities import cells, entities_of
from modelops.monitoring.episodes import episode
from modelops.monitoring.findings import reasons
from modelops.monitoring.objectives import Budget, sentence
from modelops.monitoring.report import FeatureReport, WindowReport, worst
from modelops.monitoring.rows import Span
from modelops.monitoring.triage.faults import Fault, fault_of
from modelops.monitoring.upstream.origin import origin
from modelops.predictions import feature_columns
from modelops.spec.kinds.alert_policy import Happening
from modelops.spec.kinds.data_source import DataSourceSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.resource import Resource
from modelops.spec.texts.reading import TextReading

__all__ = ["Change", "Kind", "Signal", "burning", "signals", "well"]

Kind = Literal["data", "drift", "performance", "silent", "anomaly", "availability", "latency", "freshness", "quality"]
"""What an incident is about; the last four are objectives."""
_TOGETHER = 1 / 100
"""Changes within this share of the window are at one time."""
_GAPS = 20
"""Nor are changes told apart that lie so many rows from each other, at the mean rate of the window."""
_NAMED = 5
"""So many features are called by name."""
_AT_ONCE = timedelta(minutes=30)
"""A release that began to answer so near to when requests began to fail is a likely cause."""


@dataclass(frozen=True, slots=True)
class Change:
    """What git says that began in an environment: a release with the arm that it is from then on."""

    at: datetime
    release: int
    arm: str


@dataclass(frozen=True, slots=True)
class Signal:
    """What was found: in how many words a person reads it, why it may be so, and what shows that.

    It is told as ``event``. ``began`` is the earliest time at which rows are unlike the reference, None where that lies
    before the window or is not known. ``spans`` are the rows of features with a fault, which nothing is trained on.
    """

    kind: Kind
    event: Happening
    code: str
    said: str
    cause: str = ""
    evidence: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    began: datetime | None = None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A feature that is not as in the reference, since when as far as its rows show, and its fault, if it has one."""

    report: FeatureReport
    fault: Fault | None
    span: Span
    since: float = field(default=0.0)


def signals(
    report: WindowReport,
    table: pa.Table,
    model: ModelSpec,
    reading: TextReading | None = None,
    *,
    changes: Sequence[Change] = (),
    silent: str = "",
    below: Collection[str] = (),
    sources: Mapping[str, Resource[DataSourceSpec]] = {},
) -> tuple[Signal, ...]:
    """Return what a look found, faults of the data first.

    Parameters
    ----------
    report, table : WindowReport, pa.Table
        The window as it was judged, and its rows, oldest first.
    model, reading : ModelSpec, TextReading or None
        What its features are, and how texts become values.
    changes : sequence of Change
        What began to answer, and when.
    silent : str
        Why nothing is known of a release that takes the traffic, "" where something is.
    below : collection of str
        Features that are known to have changed with those that are broken, for as long as any is.
    sources : mapping of str to Resource
        The data sources, by name: one that all features of a cause come from is named with it.
    """
    together = _tolerance(report, table)

    def because(group: Sequence[_Seen]) -> str:
        names = [one.report.name for one in group]
        return _cause(group, _beside(group, changes, together), origin(names, model, sources, report.suspects))

    seen = _seen(report, table, model, reading)
    faulty = [one for one in seen if one.fault is not None]
    found: list[Signal] = []
    groups = _grouped(faulty, together)
    rest = [one for one in seen if one.fault is None]
    with_faults = [one for one in rest if faulty and (one.report.name in below or _with_fault(one, groups, together))]
    if faulty:
        found.append(_of_faults(groups, with_faults, changes, together, because))
    drift = _drift(report, [one for one in rest if one not in with_faults], bool(faulty), changes, together, because)
    found += [drift] if drift is not None else []
    performance = report.performance
    if performance is not None and performance.verdict == "fail":
        cause = _why_worse(found)
        found.append(
            Signal(
                "performance", "performance", performance.metric, f"the performance fell: {performance.reason}", cause
            )
        )
    if silent:
        found.append(Signal("silent", "silent", "silent", f"there is no traffic: {silent}"))
    return tuple(found)


def burning(budgets: Sequence[Budget], changes: Sequence[Change]) -> tuple[Signal, ...]:
    """Return the budgets that burn, each a signal by itself."""
    found = []
    for one in budgets:
        if one.severity is None:
            continue
        began = parse_instant(one.since) if one.since is not None else None
        near = [each for each in changes if began is not None and abs(each.at - began) <= _AT_ONCE]
        causes = [f"release {each.release} began to answer as {each.arm}" for each in near]
        causes += [one.whose] if one.whose else []
        evidence = [sentence(one), *([f"most of it since {one.since}"] if one.since else [])]
        evidence += [f"release {each.release} is {each.arm} since {format_instant(each.at)}" for each in near]
        fast = one.severity == "page"
        said = f"the error budget of {one.promise} burns {'fast' if fast else 'slowly'}: {sentence(one)}"
        event: Happening = "burn" if fast else "slow-burn"
        found.append(Signal(one.promise, event, one.promise, said, "; ".join(causes), tuple(evidence), (), began))
    return tuple(found)


def well(report: WindowReport, silent: str, budgets: Sequence[Budget] = ()) -> frozenset[Kind]:
    """Return of what a look knows that it is well where it gave no signal: too few rows or labels say nothing."""
    found: set[Kind] = set()
    scores = (score for feature in report.features for score in feature.scores.values())
    level = worst([*report.scores.values(), *scores])
    if level != "no-data":
        found.add("data")
    # Drift that a fault explains is neither there by itself nor known to be gone.
    if level in ("none", "warn"):
        found.add("drift")
    if report.performance is not None and report.performance.verdict == "pass":
        found.add("performance")
    if not silent:
        found.add("silent")
    found |= {one.promise for one in budgets if one.severity is None and not one.lacking}
    return frozenset(found)


def _seen(report: WindowReport, table: pa.Table, model: ModelSpec, reading: TextReading | None) -> list[_Seen]:
    """Return the features that alert or have a fault, each with the stretch of rows that shows it."""
    suspect = {each.name: each for each in report.features if each.level == "alert" or _raised(each)}
    specs = [each for each in model.data.features if each.name in suspect]
    if not specs:
        return []
    columns, times = feature_columns(table, specs, reading), table.column("time").to_numpy()
    codes = entities_of(table, model)
    entities = table.num_rows if codes is None else len(np.unique(codes))
    found = []
    for spec in specs:
        one = suspect[spec.name]
        fault = fault_of(one, columns.column(spec.name), entities)
        if fault is not None or one.level == "alert":
            span = _span(one, columns.column(spec.name), times)
            since = span.since.timestamp() if span.since is not None else report.since.timestamp()
            found.append(_Seen(one, fault, span, since))
    return found


def _raised(report: FeatureReport) -> bool:
    return any(rate is not None and rate.raised for rate in (report.missing, report.unseen))


def _span(report: FeatureReport, values: pa.ChunkedArray, times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Span:
    """Return the time of the rows in which a feature is unlike its reference."""
    if report.distribution is None:
        return Span(None, None)
    found = episode(*cells(values, report.distribution.reference))
    if found is None:
        return Span(None, None)
    since = None if found.whole else datetime.fromtimestamp(float(times[found.start]), UTC)
    until = None if found.lasts else datetime.fromtimestamp(float(times[found.stop - 1]) + 1e-6, UTC)
    return Span(since, until)


def _tolerance(report: WindowReport, table: pa.Table) -> float:
    """Return within how many seconds changes are at one time."""
    length = float((report.until - report.since).total_seconds())
    return max(length * _TOGETHER, length / max(1, int(table.num_rows)) * _GAPS)


def _grouped(seen: Iterable[_Seen], together: float) -> list[list[_Seen]]:
    """Return features by the time at which they changed, the earliest first; those from before the window are one."""
    groups: list[list[_Seen]] = []
    for one in sorted(seen, key=lambda each: (each.span.since is not None, each.since)):
        last = groups[-1] if groups else None
        alike = last is not None and (last[0].span.since is None) == (one.span.since is None)
        if last is not None and alike and one.since - last[-1].since <= together:
            last.append(one)
        else:
            groups.append([one])
    return groups


def _of_faults(
    groups: Sequence[Sequence[_Seen]],
    below: Sequence[_Seen],
    changes: Sequence[Change],
    together: float,
    because: Callable[[Sequence[_Seen]], str],
) -> Signal:
    """Return one signal of all faults, each told with its time, and of what drifted ``below`` them."""
    groups = sorted(groups, key=lambda group: -len(group))
    every = [one for group in groups for one in group]
    faults = [one.fault for one in every if one.fault is not None]
    whats = {fault.what for fault in faults}
    code = next(iter(whats)) if len(whats) == 1 else "inputs"
    causes = [because(group) for group in groups[:_NAMED]]
    evidence = [f"{fault.feature} {fault.said}" for fault in faults]
    evidence += [line for group in groups for line in _when(group, changes, together)]
    evidence += [f"{one.report.name} drifted at the same time" for one in below]
    bad = tuple(one.span for one in every if one.fault is not None and one.fault.quarantines)
    names = [one.report.name for one in every]
    said = f"the data that is sent is broken: {'; '.join(f'{one.feature} {one.said}' for one in faults[:_NAMED])}"
    if not any(fault.quarantines for fault in faults):
        said = f"the data that is sent is not like that of training: {named(names)}"
    more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED and bad else ""
    began = _earliest(every)
    names += [one.report.name for one in below]
    return Signal("data", "inputs", code, said + more, "; ".join(causes), tuple(evidence), tuple(names), began, bad)


def _cause(group: Sequence[_Seen], begun: Change | None, source: str) -> str:
    """Say in a few words why a group of features changed: beside what else began, and which source they come from."""
    names = [one.report.name for one in group]
    gone = all(one.fault is not None and one.fault.what in ("gone", "missing") for one in group)
    with_it = f", when release {begun.release} began to answer as {begun.arm}" if begun is not None else ""
    comes = "comes" if len(names) == 1 else "all come"
    whence = f"{' and' if with_it else ':'} {comes} from {source}" if source else ""
    if len(names) == 1:
        one = group[0]
        what = one.fault.what if one.fault is not None else "drift"
        return f"{names[0]} alone ({what}){with_it}{whence}" + ("" if with_it or whence else ": what makes or sends it")
    if group[0].span.since is None:
        how = "are missing together" if gone else "are each so"
        return f"{named(names)} {how}, all since before the window or at no single time{whence}"
    how = "went missing together" if gone else "changed together"
    common = "" if with_it or whence else ": what they have in common upstream"
    return f"{named(names)} {how}{with_it}{whence}{common}"


def _when(group: Sequence[_Seen], changes: Sequence[Change], together: float) -> list[str]:
    """Say when a group of features changed, and what else did."""
    names, first = named([one.report.name for one in group]), group[0].span.since
    if first is None:
        said = f"{names} changed before the window began, or no single time shows" + ("" if len(group) == 1 else " it")
        return [said]
    last = group[-1].span.since or first
    apart = f", within {_length(last - first)} of each other" if len(group) > 1 else ""
    lines = [f"{names} changed at about {format_instant(first)}{apart}"]
    begun = _beside(group, changes, together)
    if begun is not None:
        lines.append(f"release {begun.release} is {begun.arm} since {format_instant(begun.at)}")
    return lines


def _length(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _beside(group: Sequence[_Seen], changes: Sequence[Change], together: float) -> Change | None:
    """Return what began to answer when a group of features changed."""
    first = group[0].span.since
    if first is None:
        return None
    near = [one for one in changes if abs((one.at - first).total_seconds()) <= together]
    return min(near, key=lambda one: abs((one.at - first).total_seconds()), default=None)


def _drift(
    report: WindowReport,
    own: Sequence[_Seen],
    faulty: bool,
    changes: Sequence[Change],
    together: float,
    because: Callable[[Sequence[_Seen]], str],
) -> Signal | None:
    """Return the drift that no fault explains: of features by themselves, or of the answers where data are whole."""
    score, joint = worst(report.scores.values()), report.domain.level if report.domain is not None else "none"
    if not own and (faulty or "alert" not in (score, joint)):
        return None
    if not own:
        said = reasons(report.scores, "alert") if score == "alert" else report.domain.reason if report.domain else ""
        what = "the answers have drifted" if score == "alert" else "all features together have drifted"
        return Signal("drift", "drift", "drift", f"{what}: {said}", "no feature by itself has drifted")
    strong = sorted(own, key=lambda one: -one.report.strength)
    groups = sorted(_grouped(own, together), key=lambda group: -len(group))
    causes = tuple(because(group) for group in groups[:_NAMED])
    evidence = [f"{one.report.name}: {reasons(one.report.scores, 'alert')}" for one in strong[:_NAMED]]
    evidence += [line for group in groups for line in _when(group, changes, together)]
    began = _earliest(own)
    names = [one.report.name for one in strong]
    said = f"the input has drifted: {named(names)}"
    return Signal("drift", "drift", "drift", said, "; ".join(causes), tuple(evidence), tuple(names), began)


def _earliest(seen: Sequence[_Seen]) -> datetime | None:
    """Return when the first of some features changed, None where that is not known of one of them."""
    begun = [one.span.since for one in seen]
    return min((each for each in begun if each is not None), default=None) if None not in begun else None


def _with_fault(one: _Seen, faults: Sequence[Sequence[_Seen]], together: float) -> bool:
    """Tell whether a feature changed when others broke, as one does that is made from them."""
    if one.span.since is None:
        return False
    return any(
        fault.span.since is not None and abs(one.since - fault.since) <= together for group in faults for fault in group
    )


def _why_worse(found: Sequence[Signal]) -> str:
    """Say what a fallen metric is likely to come from, by what else the look found."""
    data = next((one for one in found if one.kind == "data"), None)
    if data is not None:
        return f"the data that is sent is broken ({data.cause})"
    if any(one.kind == "drift" for one in found):
        return "the inputs have drifted"
    return "the inputs are as in the reference: what they mean may have changed, or the labels have"


def named(names: Sequence[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
