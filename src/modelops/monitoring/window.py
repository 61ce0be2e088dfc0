"""Scoring a window of the prediction log against the snapshot that the release was trained on.

Many features are looked at in every window, by one or more scores, so a level needs a large effect (a score above its
limits, a share that rose by five points) and a result beyond chance. The significance of each score is divided by the
number of scores (the shares count as one more) and by the columns that it scores (Bonferroni): without drift, the
chance of any level in a window is at most the largest significance, however many features there are. Rows of one entity
hang together, so what chance gives is that of the independent rows that they are worth.

A snapshot is the mixture of all states that its rows are of. A window that is like some stretch of them, one season or
the days after a shift, is in a state that the release was trained for, and is held against that stretch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy

from modelops import drift, summaries
from modelops.drift import Drift, Kind, Score
from modelops.monitoring.entities import Worth, cells, declared_entities, entities_of, lighter, thinned, worth_of
from modelops.monitoring.performance import looked, performance_of, selection_of
from modelops.monitoring.report import FeatureReport, Level, PerformanceReport, Rate, WindowReport, worst
from modelops.monitoring.retraining import Past
from modelops.plugins import Bound
from modelops.predictions import feature_columns
from modelops.spec.kinds.data_snapshot import Column, Summary
from modelops.spec.kinds.model import Feature, ModelSpec
from modelops.spec.kinds.monitor import MonitorSpec
from modelops.spec.texts.reading import TextReading
from modelops.statistics.clusters import Codes

__all__ = ["Reference", "score_window"]

RISE = 0.05
"""A share of missing, unseen or out-of-range values is a finding only when it rose by more than this."""
_FEWEST = 5.0
"""Rows worth fewer entities than this say nothing of chance."""
RATES = 2
"""How many shares of a feature are compared: missing values, and unseen or out-of-range ones."""


Flags = np.ndarray[Any, np.dtype[np.bool_]]
_PLURALS: Mapping[Kind, str] = {"number": "numbers", "category": "categories"}


@dataclass(frozen=True, slots=True)
class Reference:
    """What a window is held against: the rows of a snapshot, or a stretch of them.

    ``columns`` know the extremes that a profile of version 0.1.0 does not. ``entities`` are how many the rows have,
    None where that is not known. ``name`` says which rows, "" for all; ``score_profile`` is of what the release
    answered to rows it was not trained on.
    """

    profile: Mapping[str, Summary]
    score_profile: Summary | None = None
    columns: Sequence[Column] = ()
    entities: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Scorer:
    """One of the monitor's scores, with the significance that each of its comparisons has."""

    bound: Bound[Drift]
    significance: float

    def score(self, reference: Summary, values: pa.ChunkedArray, worth: Worth) -> Score:
        """Score some values; a level is only for what is beyond chance, as that is for what the rows are worth."""
        found = self._plain(reference, values)
        if not math.isfinite(worth.window) or worth.window < _FEWEST:
            if found.level == "no-data":
                return found
            said = f"the rows are worth {max(1.0, worth.window):.0f} entities: what chance gives cannot be told"
            return replace(found, level="no-data", reason=said)
        if worth.window > len(values) - 1 and worth.reference > summaries.rows(reference) - 1:
            return found
        light = self._plain(lighter(reference, worth.reference), thinned(values, reference.kind, worth.window))
        said = found.reason.replace(f"({found.critical:.3f})", f"({light.critical:.3f})")
        found = replace(found, expected=light.expected, critical=light.critical, reason=said)
        if found.level in ("none", "no-data") or light.value > light.critical:
            return found
        said = f"{found.name} {found.value:.3f} is within what chance gives ({light.critical:.3f})"
        many = f"as {len(values)} rows of few entities are worth {worth.window:.0f}"
        return replace(found, level="none", reason=f"{said}, {many}")

    def _plain(self, reference: Summary, values: pa.ChunkedArray) -> Score:
        module, params = self.bound.module, self.bound.params
        sketch = module.fit(params, reference)
        return module.score(params, sketch, module.count(sketch, values), self.significance)


def score_window(
    monitor: MonitorSpec,
    model: ModelSpec,
    profile: Mapping[str, Summary],
    score_profile: Summary | None,
    table: pa.Table,
    *,
    since: datetime,
    until: datetime,
    columns: Sequence[Column] = (),
    name: str = "",
    release: int | None = None,
    reading: TextReading | None = None,
    earlier: Sequence[Past] = (),
    stretches: Callable[[], Iterable[Reference]] = tuple,
) -> WindowReport:
    """Score the rows that ``modelops.predictions.read_window`` returned.

    Parameters
    ----------
    monitor, model : MonitorSpec, ModelSpec
        What is watched, and what the features and labels mean.
    profile : mapping of feature name to Summary
        What the features look like in the snapshot that the release was trained on.
    score_profile : Summary, optional
        What the release's scores on its holdout look like.
    table : pa.Table
        All logged rows of the window. Inputs are scored on every row; scores and performance on the rows that
        ``release`` answered, or the stable arm where that is not given.
    since, until : datetime
        The window, for the report.
    columns : sequence of Column, optional
        The snapshot's columns; they know the extremes that a profile of version 0.1.0 does not.
    name : str
        The model's name, for the report.
    release : int, optional
        The stable release: what another one answered says nothing of it.
    reading : TextReading, optional
        How the snapshot's texts became values.
    earlier : sequence of Past
        The windows that were scored before: the metric is judged over all of them.
    stretches : callable
        Returns stretches of the snapshot's rows, asked only where the inputs drifted: a window that is like one of
        them is one that the release was trained for.

    Returns
    -------
    WindowReport
        ``level`` is alert when a feature or the score alerts or the metric is beyond its limit.
    """
    failed = int(pc.sum(pc.greater_equal(table.column("status"), 500)).as_py() or 0)
    stable = _stable(table, release)
    bound = [drift.bind(plugin, dotted=f"spec.drift[{index}]") for index, plugin in enumerate(monitor.drift)]
    whole = Reference(profile, score_profile, columns, declared_entities(model, columns))
    drifted = _Drifted()
    if table.num_rows >= monitor.minimum_requests:
        drifted = _judged(bound, model, whole, stretches, table, stable, reading)
    performance = None
    if monitor.performance is not None:
        before = looked(earlier, release, until - since, until)
        performance = performance_of(monitor.performance, model, stable, before=before)
    chosen = selection_of(model, stable) if monitor.retraining is not None else ""
    said = [f"Labels depend on the answer, so rows with a label are not as the traffic: {chosen}."] if chosen else []
    unknown = _unknown(monitor, bound, model, profile, table.num_rows, drifted, performance)
    return WindowReport(
        model=name,
        since=since,
        until=until,
        rows=table.num_rows,
        failed=failed,
        level=_level(drifted.features, drifted.scores, performance),
        features=drifted.features,
        scores=drifted.scores,
        performance=performance,
        findings=(*_findings(drifted, performance), *said, *unknown),
        release=release,
        like=drifted.like,
    )


def _stable(table: pa.Table, release: int | None) -> pa.Table:
    """Return what the stable release answered, on trial too, or else what the stable arm did."""
    if release is not None:
        return table.filter(pc.equal(table.column("release"), release))
    return table.filter(pc.invert(pc.match_substring_regex(table.column("arm"), "^(candidate|challenger-)")))


@dataclass(frozen=True, slots=True)
class _Drifted:
    """The features and the score of a window; ``like`` is the stretch that they were held against, "" for all rows."""

    features: tuple[FeatureReport, ...] = ()
    scores: Mapping[str, Score] = field(default_factory=dict)
    like: str = ""
    apart: str = ""


def _judged(
    bound: Sequence[Bound[Drift]],
    model: ModelSpec,
    whole: Reference,
    stretches: Callable[[], Iterable[Reference]],
    table: pa.Table,
    stable: pa.Table,
    reading: TextReading | None,
) -> _Drifted:
    """Hold a window against all rows of the snapshot and, where it drifted, against stretches of them."""
    inputs = feature_columns(table, model.data.features, reading)
    entities = entities_of(table, model)
    known = _completed(whole.profile, whole.columns)
    scorers, chance = _scorers(bound, model, known, whole.score_profile)
    scored = {each.name: (each, kind) for each in model.data.features if (kind := _kind(each, known)) is not None}

    def held(reference: Reference, names: Iterable[str]) -> Iterator[_Held]:
        for feature, kind in (scored[name] for name in names if name in reference.profile):
            summary, values = reference.profile[feature.name], inputs.column(feature.name)
            found = _scored(scorers, kind, summary, values, entities, reference.entities)
            rate = partial(_rate, summaries.rows(summary), chance, entities, reference.entities)
            yield _Held(found, partial(_reported, feature, kind, summary, values, found, rate))

    answering = entities if stable.num_rows == table.num_rows else entities_of(stable, model)
    features = tuple(each.report() for each in held(replace(whole, profile=known), scored))
    scores = _answers(scorers, whole, stable, answering)
    if _drift(features) not in ("warn", "alert"):
        return _Drifted(features, scores)
    drifted = sorted((each for each in features if each.level in ("warn", "alert")), key=lambda each: -each.strength)
    # What drifted most from the whole comes first: a stretch that the window is unlike is unlike it in most of that.
    names = list(dict.fromkeys([*(each.name for each in drifted), *scored]))
    like = _likeliest(held, stretches(), names)
    if like is None or (_drift(features), _drift(like[1])) == ("warn", "warn"):
        return _Drifted(features, scores)
    name, found = like
    places = {each: place for place, each in enumerate(scored)}
    found = tuple(sorted(found, key=lambda each: places[each.name]))
    apart = ", ".join(f"{each.name} ({_reasons(each.scores, each.level)})" for each in drifted[:3])
    return _Drifted(found, {key: _calmed(score, name) for key, score in scores.items()}, name, apart)


@dataclass(frozen=True, slots=True)
class _Held:
    """A feature of a window held against a reference: its scores, and the report with its shares, once it is asked."""

    scores: Mapping[str, Score]
    report: Callable[[], FeatureReport]


def _likeliest(
    held: Callable[[Reference, Iterable[str]], Iterator[_Held]], stretches: Iterable[Reference], names: Sequence[str]
) -> tuple[str, tuple[FeatureReport, ...]] | None:
    """Return the first stretch that the inputs do not differ from, or else one whose scores are all below their alert.

    Chance is no excuse here: a stretch of few rows must not explain what the whole snapshot does not. A stretch is left
    at the first of its features that the window is unlike.
    """
    best = None
    for stretch in stretches:
        found: list[_Held] = []
        for feature in held(stretch, names):
            if any(score.value > score.alert for score in feature.scores.values()):
                break
            found.append(feature)
        else:
            level = worst(score for each in found for score in each.scores.values())
            if level == "none":
                return stretch.name, tuple(each.report() for each in found)
            best = best or (stretch.name, found)
    return None if best is None else (best[0], tuple(each.report() for each in best[1]))


def _drift(features: Sequence[FeatureReport]) -> Level:
    return worst(score for feature in features for score in feature.scores.values())


def _calmed(score: Score, stretch: str) -> Score:
    """Return the score of the answers without an alert: the holdout it is held against is of other rows."""
    if score.level != "alert":
        return score
    return replace(score, level="warn", reason=f"{score.reason}; the inputs are like {stretch}")


def _completed(profile: Mapping[str, Summary], columns: Sequence[Column]) -> dict[str, Summary]:
    ends = {column.name: (column.minimum, column.maximum) for column in columns}
    return {name: summaries.completed(summary, *ends.get(name, (None, None))) for name, summary in profile.items()}


def _kind(feature: Feature, profile: Mapping[str, Summary]) -> Kind | None:
    """Return as what a feature is scored: None where the profile has nothing to compare it with."""
    kind = summaries.kind_of(feature.type)
    return kind if feature.name in profile and profile[feature.name].kind == kind else None


def _scorers(
    bound: Sequence[Bound[Drift]], model: ModelSpec, profile: Mapping[str, Summary], score_profile: Summary | None
) -> tuple[list[_Scorer], float]:
    """Divide the significance of each score; return it for the shares as well."""
    kinds = [kind for feature in model.data.features if (kind := _kind(feature, profile)) is not None]
    asked = [each.module.significance(each.params) / (len(bound) + 1) for each in bound]
    scored = kinds if score_profile is None else [*kinds, score_profile.kind]
    counts = [sum(kind in each.module.KINDS for kind in scored) for each in bound]
    scorers = [_Scorer(each, own / max(1, n)) for each, own, n in zip(bound, asked, counts, strict=True)]
    return scorers, min(asked) / max(1, RATES * len(kinds))


def _reported(
    feature: Feature,
    kind: Kind,
    reference: Summary,
    values: pa.ChunkedArray,
    scores: Mapping[str, Score],
    rate: Callable[[Flags, int], Rate],
) -> FeatureReport:
    return FeatureReport(
        name=feature.name,
        scores=scores,
        missing=rate(_missing(values, kind), reference.missing),
        unseen=rate(_unseen(values, reference), reference.other) if kind == "category" else None,
        out_of_range=_out_of_range(feature, values, reference, rate),
    )


def _answers(
    scorers: Sequence[_Scorer], reference: Reference, stable: pa.Table, entities: Codes | None
) -> dict[str, Score]:
    """Score what the stable arm answered against what the release answered to its holdout."""
    if reference.score_profile is None:
        return {}
    answered = pc.is_valid(stable.column("score"))
    values = stable.column("score").filter(answered)
    if entities is not None:
        entities = entities[np.asarray(answered.to_numpy(), dtype=np.bool_)]
    profile = reference.score_profile
    return _scored(scorers, profile.kind, profile, values, entities, reference.entities)


def _scored(
    scorers: Sequence[_Scorer],
    kind: Kind,
    reference: Summary,
    values: pa.ChunkedArray,
    entities: Codes | None,
    known: int | None,
) -> dict[str, Score]:
    able = [scorer for scorer in scorers if kind in scorer.bound.module.KINDS]
    if not able or not len(values):
        return {scorer.bound.key: scorer.score(reference, values, Worth(math.inf, math.inf)) for scorer in able}
    if entities is None:
        worth = Worth(math.inf if known is None else float(known), float(len(values)))
    else:
        least = min(scorer.significance for scorer in able)
        given = (*cells(values, reference), entities, summaries.rows(reference), known, least)
        worth = worth_of(*given)
        found = [scorer.score(reference, values, worth) for scorer in able]
        if all(score.level in ("none", "no-data") for score in found):
            return {scorer.bound.key: score for scorer, score in zip(able, found, strict=True)}
        worth = worth_of(*given, drawn=True)
    return {scorer.bound.key: scorer.score(reference, values, worth) for scorer in able}


def _rate(
    n: int, significance: float, entities: Codes | None, known: int | None, found: Flags, reference_hits: int
) -> Rate:
    """Compare two shares by the one-sided two-sample z test with pooled variance, of what the rows are worth."""
    m = len(found)
    value, reference = (np.count_nonzero(found) / m if m else 0.0), (reference_hits / n if n else 0.0)
    if value - reference <= RISE:
        return Rate(value, reference, False)
    worth = Worth(n, m)
    if entities is not None or known is not None:
        shares = np.array([1 - reference, reference])
        worth = worth_of(found.astype(np.int64), shares, entities, n, known, significance, drawn=True)
    if worth.window < _FEWEST:
        return Rate(value, reference, False)
    of_window, of_reference = max(1.0, worth.window), max(1.0, worth.reference)
    pooled = (value * of_window + reference * of_reference) / (of_window + of_reference)
    error = (pooled * (1 - pooled) * (1 / of_window + 1 / of_reference)) ** 0.5
    return Rate(value, reference, value - reference > -float(scipy.special.ndtri(significance)) * error)


def _flags(found: pa.ChunkedArray) -> Flags:
    return np.asarray(pc.fill_null(found, False).to_numpy(), dtype=np.bool_)


def _numbers(values: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.concatenate([np.empty(0), *summaries.numbers(values)])


def _missing(values: pa.ChunkedArray, kind: Kind) -> Flags:
    if kind == "category":
        return _flags(pc.or_(pc.is_null(values), pc.fill_null(pc.equal(values.cast(pa.string()), ""), False)))
    absent: Flags = np.isnan(_numbers(values))
    return absent


def _unseen(values: pa.ChunkedArray, reference: Summary) -> Flags:
    listed = pc.is_in(values.cast(pa.string()), value_set=pa.array(reference.categories, pa.string()))
    found: Flags = ~_flags(listed) & ~_missing(values, "category")
    return found


def _out_of_range(
    feature: Feature, values: pa.ChunkedArray, reference: Summary, rate: Callable[[Flags, int], Rate]
) -> Rate | None:
    if feature.type not in ("number", "integer") or reference.minimum is None or reference.maximum is None:
        return None
    low, high = summaries.edge_below(reference.minimum), summaries.edge_above(reference.maximum)
    found = _numbers(values)
    return rate((found < low) | (found >= high), 0)


def _level(
    features: Sequence[FeatureReport], scores: Mapping[str, Score], performance: PerformanceReport | None
) -> Level:
    drifted = worst([*scores.values(), *(score for feature in features for score in feature.scores.values())])
    rates = [rate for feature in features for rate in (feature.missing, feature.unseen, feature.out_of_range)]
    verdict = performance.verdict if performance is not None else "no-data"
    if drifted == "alert" or verdict == "fail":
        return "alert"
    if drifted == "warn" or verdict == "inconclusive" or any(rate is not None and rate.raised for rate in rates):
        return "warn"
    return "no-data" if drifted == "no-data" and verdict == "no-data" else "none"


def _findings(drifted: _Drifted, performance: PerformanceReport | None) -> list[str]:
    """Say what was found: a fallen metric first, then drift by strength, then input quality."""
    features, scores = drifted.features, drifted.scores
    found: list[str] = []
    if performance is not None and performance.verdict == "fail":
        found.append(f"Performance fell: {performance.reason}.")
    for level in ("alert", "warn"):
        chosen = [feature for feature in features if feature.level == level]
        for feature in sorted(chosen, key=lambda each: -each.strength):
            found.append(f"{feature.name} drifted ({level}): {_reasons(feature.scores, level)}.")
        if worst(scores.values()) == level:
            found.append(f"The model's score drifted ({level}): {_reasons(scores, level)}.")
    if drifted.like:
        found.append(f"The inputs are like {drifted.like}, unlike those as a whole: {drifted.apart}.")
    if performance is not None and performance.verdict == "inconclusive":
        found.append(f"Performance may have fallen: {performance.reason}.")
    for feature in features:
        for rate, what in (
            (feature.missing, "is missing"),
            (feature.unseen, "has values outside the profile's categories"),
            (feature.out_of_range, "is outside the range of the training data"),
        ):
            if rate is not None and rate.raised:
                found.append(f"{feature.name} {what} in {rate.value:.1%} of rows; it was {rate.reference:.1%}.")
    return found


def _reasons(scores: Mapping[str, Score], level: Level) -> str:
    return "; ".join(score.reason for score in scores.values() if score.level == level)


def _unknown(
    monitor: MonitorSpec,
    bound: Sequence[Bound[Drift]],
    model: ModelSpec,
    profile: Mapping[str, Summary],
    rows: int,
    drifted: _Drifted,
    performance: PerformanceReport | None,
) -> list[str]:
    """Say what is not known: too few rows, too few labels, features that cannot be scored."""
    found = []
    if rows < monitor.minimum_requests:
        found.append(f"Drift is not scored: {rows} rows, {monitor.minimum_requests} are needed.")
    if performance is not None and performance.verdict == "no-data":
        found.append(f"{performance.reason[:1].upper()}{performance.reason[1:]}.")
    features = model.data.features
    unscored = [feature.name for feature in features if feature.name not in profile]
    if unscored:
        found.append(f"Not in the snapshot's profile, so not scored: {', '.join(unscored)}.")
    untold: dict[str, list[str]] = {}
    for feature in drifted.features:
        for score in feature.scores.values():
            if score.level == "no-data" and score.window_n:
                untold.setdefault(score.reason, []).append(feature.name)
    found += [f"Drift is not told of {', '.join(dict.fromkeys(names))}: {why}." for why, names in untold.items()]
    retyped = [each.name for each in features if each.name in profile and _kind(each, profile) is None]
    if retyped:
        found.append(f"Of another type in the snapshot's profile, so not scored: {', '.join(retyped)}.")
    for name, kinds in ((each.module.NAME, each.module.KINDS) for each in bound):
        left = [each.name for each in features if (kind := _kind(each, profile)) is not None and kind not in kinds]
        if left:
            able = " and ".join(_PLURALS[kind] for kind in kinds)
            found.append(f"{name} scores {able} only, so not {', '.join(left)}.")
    return found
