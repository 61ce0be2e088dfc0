"""Scoring a window of the prediction log against the snapshot that the release was trained on.

Many features are looked at in every window, so a level needs a large effect (PSI above 0.1 or 0.25, a share that rose
by five points) and a result beyond chance at a significance that is divided by the number of comparisons (Bonferroni):
without drift, the chance of any level in a window is at most the significance, however many features there are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import scipy
from pydantic import ValidationError

from modelops import plugins
from modelops.drift import Drift, Score
from modelops.errors import failure
from modelops.monitoring.performance import performance_of
from modelops.monitoring.report import FeatureReport, Level, PerformanceReport, Rate, WindowReport
from modelops.predictions import feature_columns
from modelops.spec.data import Column, Sketch
from modelops.spec.delivery import MonitorSpec
from modelops.spec.meta import Plugin
from modelops.spec.model import Feature, ModelSpec

__all__ = ["score_window"]

SIGNIFICANCE = 0.01
RISE = 0.05
"""A share of missing, unseen or out-of-range values is a finding only when it rose by more than this."""


def score_window(
    monitor: MonitorSpec,
    model: ModelSpec,
    profile: Mapping[str, Sketch],
    score_profile: Sketch | None,
    table: pa.Table,
    *,
    since: datetime,
    until: datetime,
    columns: Sequence[Column] = (),
    name: str = "",
) -> WindowReport:
    """Score the rows that ``modelops.predictions.read_window`` returned.

    Parameters
    ----------
    monitor, model : MonitorSpec, ModelSpec
        What is watched, and what the features and labels mean.
    profile : mapping of feature name to Sketch
        The reference counts of the snapshot that the release was trained on.
    score_profile : Sketch, optional
        The reference counts of the release's scores on its holdout.
    table : pa.Table
        All logged rows of the window. Inputs are scored on every row; scores and performance on the rows that the
        stable arm answered.
    since, until : datetime
        The window, for the report.
    columns : sequence of Column, optional
        The snapshot's columns; with them values outside the reference's range are counted.
    name : str
        The model's name, for the report.

    Returns
    -------
    WindowReport
        ``level`` is alert when a feature or the score alerts or the metric's whole interval lies beyond its limit.
    """
    failed = int(pc.sum(pc.greater_equal(table.column("status"), 500)).as_py() or 0)
    stable = table.filter(pc.invert(pc.match_substring_regex(table.column("arm"), "^(candidate|challenger-)")))
    features: tuple[FeatureReport, ...] = ()
    score: Score | None = None
    if table.num_rows >= monitor.minimum_requests:
        features, score = _drift(monitor, model, profile, score_profile, table, stable, {c.name: c for c in columns})
    performance = performance_of(monitor.performance, model, stable) if monitor.performance is not None else None
    unscored = [feature.name for feature in model.data.features if feature.name not in profile]
    found = _findings(monitor, table.num_rows, features, score, performance, unscored)
    return WindowReport(
        model=name,
        since=since,
        until=until,
        rows=table.num_rows,
        failed=failed,
        level=_level(features, score, performance),
        features=features,
        score=score,
        performance=performance,
        findings=found,
    )


def _drift(
    monitor: MonitorSpec,
    model: ModelSpec,
    profile: Mapping[str, Sketch],
    score_profile: Sketch | None,
    table: pa.Table,
    stable: pa.Table,
    columns: Mapping[str, Column],
) -> tuple[tuple[FeatureReport, ...], Score | None]:
    module: Drift = plugins.load("drift", monitor.drift.type)
    scored = [feature for feature in model.data.features if feature.name in profile]
    params, significance = _params(module, monitor.drift, len(scored) + (score_profile is not None))
    inputs = feature_columns(table, scored)
    reports = []
    for feature in scored:
        values = inputs.column(feature.name)
        reference = profile[feature.name]
        window = module.count(reference, values)
        reports.append(
            FeatureReport(
                name=feature.name,
                drift=module.score(params, reference, window),
                missing=_rate(window.missing, _rows(window), reference.missing, _rows(reference), significance),
                unseen=_unseen(window, reference, significance),
                out_of_range=_out_of_range(feature, values, columns.get(feature.name), reference, significance),
            )
        )
    if score_profile is None:
        return tuple(reports), None
    answered = stable.column("score").filter(pc.is_valid(stable.column("score")))
    return tuple(reports), module.score(params, score_profile, module.count(score_profile, answered))


def _params(module: Drift, plugin: Plugin, comparisons: int) -> tuple[Any, float]:
    """Return the plugin's parameters with the significance of one of several comparisons, and that significance."""
    try:
        params = module.Params.model_validate_json(json.dumps(plugin.params), by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors()[0]
        dotted = ".".join(str(part) for part in first["loc"])
        raise failure(
            "drift-params", f"{plugin.type}: {dotted}: {first['msg']}", dotted=f"spec.drift.params.{dotted}"
        ) from None
    own = getattr(params, "significance", SIGNIFICANCE) / max(1, comparisons)
    if "significance" in module.Params.model_fields:
        params = params.model_copy(update={"significance": own})
    return params, own


def _rows(sketch: Sketch) -> int:
    return sum(sketch.counts) + sketch.other + sketch.missing


def _rate(hits: int, m: int, reference_hits: int, n: int, significance: float) -> Rate:
    """Compare two shares by the one-sided two-sample z test with pooled variance."""
    value, reference = (hits / m if m else 0.0), (reference_hits / n if n else 0.0)
    pooled = (hits + reference_hits) / max(1, m + n)
    error = (pooled * (1 - pooled) * (1 / max(1, m) + 1 / max(1, n))) ** 0.5
    raised = value - reference > RISE and value - reference > -float(scipy.special.ndtri(significance)) * error
    return Rate(value, reference, raised)


def _unseen(window: Sketch, reference: Sketch, significance: float) -> Rate | None:
    if reference.kind != "category":
        return None
    return _rate(window.other, _rows(window), reference.other, _rows(reference), significance)


def _out_of_range(
    feature: Feature, values: pa.ChunkedArray, column: Column | None, reference: Sketch, significance: float
) -> Rate | None:
    if column is None or feature.type not in ("number", "integer"):
        return None
    if not isinstance(column.minimum, int | float) or not isinstance(column.maximum, int | float):
        return None
    outside = pc.or_(pc.less(values, column.minimum), pc.greater(values, column.maximum))
    return _rate(int(pc.sum(outside).as_py() or 0), len(values), 0, _rows(reference), significance)


def _level(features: Sequence[FeatureReport], score: Score | None, performance: PerformanceReport | None) -> Level:
    levels = {feature.drift.level for feature in features} | ({score.level} if score is not None else set())
    rates = [rate for feature in features for rate in (feature.missing, feature.unseen, feature.out_of_range)]
    verdict = performance.verdict if performance is not None else "no-data"
    if "alert" in levels or verdict == "fail":
        return "alert"
    if "warn" in levels or verdict == "inconclusive" or any(rate is not None and rate.raised for rate in rates):
        return "warn"
    return "no-data" if levels <= {"no-data"} and verdict == "no-data" else "none"


def _findings(
    monitor: MonitorSpec,
    rows: int,
    features: Sequence[FeatureReport],
    score: Score | None,
    performance: PerformanceReport | None,
    unscored: Sequence[str],
) -> tuple[str, ...]:
    """Say what was found: a fallen metric first, then drift by strength, then input quality, then what is not known."""
    found: list[str] = []
    if performance is not None and performance.verdict == "fail":
        found.append(f"Performance fell: {performance.reason}.")
    for level in ("alert", "warn"):
        chosen = [feature for feature in features if feature.drift.level == level]
        for feature in sorted(chosen, key=lambda each: -each.drift.value):
            found.append(f"{feature.name} drifted ({level}): {feature.drift.reason}.")
        if score is not None and score.level == level:
            found.append(f"The model's score drifted ({level}): {score.reason}.")
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
    if rows < monitor.minimum_requests:
        found.append(f"Drift is not scored: {rows} rows, {monitor.minimum_requests} are needed.")
    if performance is not None and performance.verdict == "no-data":
        found.append(f"{performance.reason[:1].upper()}{performance.reason[1:]}.")
    if unscored:
        found.append(f"Not in the snapshot's profile, so not scored: {', '.join(unscored)}.")
    return tuple(found)
