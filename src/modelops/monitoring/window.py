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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops import drift, summaries
from modelops.drift import Drift, Kind, Score
from modelops.monitoring.delay import Delay, delay_of, mature
from modelops.monitoring.detectors import detected, sentence
from modelops.monitoring.distributions import distribution
from modelops.monitoring.domain_classifier import domain_classifier
from modelops.monitoring.entities import (
    Worth,
    apart,
    cells,
    declared_entities,
    entities_of,
    lighter,
    thinned,
    worth_of,
)
from modelops.monitoring.estimated import Holdout, estimated
from modelops.monitoring.feedback.audit import audited, doubted
from modelops.monitoring.findings import Found, compared_as, findings, level_of, reasons, unknown
from modelops.monitoring.importance import Weight, ranked, weighed, weights
from modelops.monitoring.performance import looked, performance_of, selection_of
from modelops.monitoring.report import ArmReport, FeatureReport, Level, Rate, WindowReport, worst
from modelops.monitoring.retraining import Past
from modelops.monitoring.shares import FEWEST, RATES, Flags, missing, out_of_range, rate_of, unseen
from modelops.monitoring.slices import slices_of
from modelops.monitoring.upstream.silent import suspects
from modelops.plugins import Bound
from modelops.predictions import feature_columns
from modelops.spec.kinds.data_snapshot import Column, Summary
from modelops.spec.kinds.data_source import DataSourceSpec
from modelops.spec.kinds.model import Feature, ModelSpec
from modelops.spec.kinds.monitor import MonitorSpec
from modelops.spec.kinds.release import Importance, MetricValue
from modelops.spec.resource import Resource
from modelops.spec.texts.reading import TextReading
from modelops.statistics.clusters import Codes

__all__ = ["Beside", "Reference", "score_window"]


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
class Beside:
    """What is known beside a window, its model and its reference.

    ``importance`` is what the release measured of its features: those that carry it come first, and idle ones only
    warn. With ``holdout``, the rows that tested it, the metric is estimated without labels. ``others`` are what the
    scores of other releases on their holdouts look like, by number. ``rows`` are those of the reference, for the domain
    classifier; ``against`` names it where it is not the training rows, and ``lacking`` says why it cannot be had.
    ``sources`` are the data sources by name, one of which may be the cause of what is found. ``recall`` is what the
    release states of the rows that tested it.
    """

    importance: Importance | None = None
    holdout: Holdout | None = None
    others: Mapping[int, Summary] = field(default_factory=dict)
    rows: pa.Table | None = None
    against: str = ""
    lacking: str = ""
    sources: Mapping[str, Resource[DataSourceSpec]] = field(default_factory=dict)
    recall: MetricValue | None = None


@dataclass(frozen=True, slots=True)
class _Scorer:
    """One of the monitor's scores, with the significance that each of its comparisons has."""

    bound: Bound[Drift]
    significance: float

    def score(self, reference: Summary, values: pa.ChunkedArray, worth: Worth) -> Score:
        """Score some values; a level is only for what is beyond chance, as that is for what the rows are worth."""
        found = self._plain(reference, values)
        if not math.isfinite(worth.window) or worth.window < FEWEST:
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
    beside: Beside = Beside(),
) -> WindowReport:
    """Score the rows that ``modelops.predictions.read_window`` returned.

    Parameters
    ----------
    monitor, model : MonitorSpec, ModelSpec
        What is watched, and what the features and labels mean.
    profile, score_profile : mapping of feature name to Summary, Summary or None
        What the features look like in the snapshot that the release was trained on, and its scores on its holdout.
    table : pa.Table
        All logged rows. Inputs are scored on every row; scores and performance on those of ``release``.
    since, until, name : datetime, datetime, str
        The window and the model's name, for the report.
    columns : sequence of Column, optional
        The snapshot's columns; they know the extremes that a profile of version 0.1.0 does not.
    release, reading : int, TextReading, optional
        The stable release, as what another one answered says nothing of it; how the snapshot's texts became values.
    earlier : sequence of Past
        The windows that were scored before: the metric is judged over all of them.
    stretches : callable
        Returns stretches of the snapshot's rows; a window that is like one is one that the release was trained for.
    beside : Beside
        What else is known of the release and of the reference.

    Returns
    -------
    WindowReport
        ``level`` is alert when a feature or the score alerts or the metric is beyond its limit.
    """
    stable = _stable(table, release)
    bound = [drift.bind(plugin, dotted=f"spec.drift[{index}]") for index, plugin in enumerate(monitor.drift)]
    whole = Reference(profile, score_profile, columns, declared_entities(model, columns))
    found = Found()
    if table.num_rows >= monitor.minimum_requests and not beside.lacking:
        found = _judged(bound, model, whole, stretches, table, stable, reading, weights(beside.importance))
        found = _together(found, bound, monitor, model, table, release, reading, beside)
    delay = delay_of(stable, until)
    found = _labelled(found, monitor, model, stable, delay, (since, until), earlier, release, reading, beside)
    told = [*_told(monitor, model, table, stable, delay, beside.lacking), *_besides(model, found)]
    return WindowReport(
        model=name,
        since=since,
        until=until,
        rows=table.num_rows,
        failed=int(pc.sum(pc.greater_equal(table.column("status"), 500)).as_py() or 0),
        level=level_of(found),
        features=found.features,
        scores=found.scores,
        performance=found.performance,
        findings=(*findings(found), *told, *unknown(monitor, bound, model, profile, table.num_rows, found)),
        release=release,
        like=found.like,
        against=beside.against,
        arms=found.arms,
        estimated=found.estimated,
        slices=found.slices,
        delay=delay,
        domain=found.domain,
        feedback=found.feedback,
        suspects=found.suspects,
        detected=found.detected,
        answers=None if score_profile is None else distribution(score_profile, stable.column("score").drop_null()),
    )


def _told(
    monitor: MonitorSpec, model: ModelSpec, table: pa.Table, stable: pa.Table, delay: Delay | None, lacking: str
) -> list[str]:
    """Say what is odd about labels, and why there is no reference."""
    weighed = model.review > 0 and model.data.weight is not None
    chosen = selection_of(model, stable) if monitor.retraining is not None and not weighed else ""
    told = [f"Labels depend on the answer, so rows with a label are not as the traffic: {chosen}."] if chosen else []
    if delay is not None and delay.early:
        told.append(f"{delay.early} of {delay.labels} labels are older than their prediction: clocks differ.")
    if lacking and table.num_rows >= monitor.minimum_requests:
        told.append(f"Drift is not scored: {lacking}.")
    return told


def _besides(model: ModelSpec, found: Found) -> list[str]:
    """Say what detectors saw, and beside any drift of a model that weights its rows that the reference does not."""
    told = [sentence(one) for one in found.detected]
    levels = [*(each.level for each in found.features), worst(found.scores.values())]
    if model.data.weight is None or not any(level in ("warn", "alert") for level in levels):
        return told
    return [
        *told,
        f"The reference counts each row of the snapshot once, and the model weights them by {model.data.weight}: where "
        "weights make up for how rows were chosen, traffic differs from it without any drift.",
    ]


def _together(
    found: Found,
    bound: Sequence[Bound[Drift]],
    monitor: MonitorSpec,
    model: ModelSpec,
    table: pa.Table,
    release: int | None,
    reading: TextReading | None,
    beside: Beside,
) -> Found:
    """Name what all changed features come from, compare them together, if asked for, and what other releases said."""
    found = replace(found, suspects=suspects(model, beside.sources, found.features))
    if monitor.domain_classifier is not None and beside.rows is not None:
        names = [feature.name for feature in model.data.features]
        logged = feature_columns(table, model.data.features, reading)
        rows = apart(beside.rows, model)
        joint = domain_classifier(monitor.domain_classifier, names, rows, logged, entities_of(table, model))
        found = replace(found, domain=joint)
    if beside.others and release is not None:
        found = replace(found, arms=_arms(bound, model, beside.others, table, release))
    return found


def _labelled(
    found: Found,
    monitor: MonitorSpec,
    model: ModelSpec,
    stable: pa.Table,
    delay: Delay | None,
    window: tuple[datetime, datetime],
    earlier: Sequence[Past],
    release: int | None,
    reading: TextReading | None,
    beside: Beside,
) -> Found:
    """Measure the metric on the answers that are old enough to have their labels, by parts, and without labels."""
    watched = monitor.performance
    before = looked(earlier, release, window[1] - window[0], window[1])
    labels = model.data.labels
    declared = labels.delay_days if labels is not None else None
    judged, left = mature(stable, delay, watched.mature if watched is not None else 0.0, *window, declared)
    fed = audited(model, judged, beside.recall)
    found = replace(found, feedback=fed)
    if watched is not None:
        performance = performance_of(watched, model, judged, before=before)
        performance = doubted(performance, fed)
        if left:
            performance = replace(performance, reason=f"{performance.reason}; {left}")
        found = replace(found, performance=performance, detected=detected(watched.detectors, model, judged))
        if beside.holdout is not None and watched.estimate:
            found = replace(found, estimated=estimated(watched, model, beside.holdout, stable, reading))
    if not monitor.slices:
        return found
    return replace(found, slices=slices_of(monitor.slices, watched, model, stable, judged, reading, before))


def _arms(
    bound: Sequence[Bound[Drift]], model: ModelSpec, others: Mapping[int, Summary], table: pa.Table, release: int
) -> tuple[ArmReport, ...]:
    """Hold what other releases answered against their own holdouts; the significance is shared among them."""
    found = []
    for number, profile in sorted(others.items()):
        rows = table.filter(pc.equal(table.column("release"), number))
        if number != release and rows.num_rows:
            scorers = [
                _Scorer(each, each.module.significance(each.params) / (len(bound) * len(others)))
                for each in bound
                if profile.kind in each.module.KINDS
            ]
            scores = _answers(scorers, Reference({}, profile), rows, entities_of(rows, model))
            found.append(
                ArmReport(number, rows.num_rows, scores, distribution(profile, rows.column("score").drop_null()))
            )
    return tuple(found)


def _stable(table: pa.Table, release: int | None) -> pa.Table:
    """Return what the stable release answered, on trial too, or else what the stable arm did."""
    if release is not None:
        return table.filter(pc.equal(table.column("release"), release))
    return table.filter(pc.invert(pc.match_substring_regex(table.column("arm"), "^(candidate|challenger-)")))


def _judged(
    bound: Sequence[Bound[Drift]],
    model: ModelSpec,
    whole: Reference,
    stretches: Callable[[], Iterable[Reference]],
    table: pa.Table,
    stable: pa.Table,
    reading: TextReading | None,
    known: Mapping[str, Weight],
) -> Found:
    """Hold a window against all rows of the snapshot and, where it drifted, against stretches of them."""
    inputs = feature_columns(table, model.data.features, reading)
    entities = entities_of(table, model)
    profile = _completed(whole.profile, whole.columns)
    scorers, chance = _scorers(bound, model, profile, whole.score_profile)
    scored = {each.name: (each, kind) for each in model.data.features if (kind := compared_as(each, profile))}

    def held(reference: Reference, names: Iterable[str]) -> Iterator[_Held]:
        for feature, kind in (scored[name] for name in names if name in reference.profile):
            summary, values = reference.profile[feature.name], inputs.column(feature.name)
            found = _scored(scorers, kind, summary, values, entities, reference.entities)
            rate = partial(rate_of, summaries.rows(summary), chance, entities, reference.entities)
            yield _Held(found, partial(_reported, feature, kind, known.get(feature.name), summary, values, found, rate))

    answering = entities if stable.num_rows == table.num_rows else entities_of(stable, model)
    features = tuple(each.report() for each in held(replace(whole, profile=profile), scored))
    scores = _answers(scorers, whole, stable, answering)
    if _drift(features) not in ("warn", "alert"):
        return Found(features, scores)
    drifted = ranked([each for each in features if each.level in ("warn", "alert")])
    # What drifted most from the whole comes first: a stretch that the window is unlike is unlike it in most of that.
    names = list(dict.fromkeys([*(each.name for each in drifted), *scored]))
    like = _likeliest(held, stretches(), names)
    if like is None or (_drift(features), _drift(like[1])) == ("warn", "warn"):
        return Found(features, scores)
    name, found = like
    places = {each: place for place, each in enumerate(scored)}
    found = tuple(sorted(found, key=lambda each: places[each.name]))
    apart = ", ".join(f"{each.name} ({reasons(each.scores, each.level)})" for each in drifted[:3])
    return Found(found, {key: _calmed(score, name) for key, score in scores.items()}, name, apart)


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


def _scorers(
    bound: Sequence[Bound[Drift]], model: ModelSpec, profile: Mapping[str, Summary], score_profile: Summary | None
) -> tuple[list[_Scorer], float]:
    """Divide the significance of each score; return it for the shares as well."""
    kinds = [kind for feature in model.data.features if (kind := compared_as(feature, profile)) is not None]
    asked = [each.module.significance(each.params) / (len(bound) + 1) for each in bound]
    scored = kinds if score_profile is None else [*kinds, score_profile.kind]
    counts = [sum(kind in each.module.KINDS for kind in scored) for each in bound]
    scorers = [_Scorer(each, own / max(1, n)) for each, own, n in zip(bound, asked, counts, strict=True)]
    return scorers, min(asked) / max(1, RATES * len(kinds))


def _reported(
    feature: Feature,
    kind: Kind,
    weight: Weight | None,
    reference: Summary,
    values: pa.ChunkedArray,
    scores: Mapping[str, Score],
    rate: Callable[[Flags, int], Rate],
) -> FeatureReport:
    found = FeatureReport(
        name=feature.name,
        scores=scores,
        missing=rate(missing(values, kind), reference.missing),
        unseen=rate(unseen(values, reference), reference.other) if kind == "category" else None,
        out_of_range=out_of_range(feature, values, reference, rate),
        distribution=distribution(reference, values),
    )
    return weighed(found, weight)


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
