"""The candidate's training data against the data the stable release was trained on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from modelops.gates import Subject, Verdict
from modelops.gates._findings import no_data
from modelops.gates._rows import feature_columns, is_missing
from modelops.metrics.distribution import population_stability
from modelops.spec.data import Sketch
from modelops.spec.meta import OpenShare, Strict
from modelops.spec.model import Feature

__all__ = ["Params", "evaluate"]


class Params(Strict):
    """The largest PSI a feature may have; ``columns`` limits the features, empty means all.

    ``significance`` is the chance, over all features together, to fail when nothing changed.
    """

    maximum: Annotated[float, Field(gt=0)] = 0.25
    columns: tuple[str, ...] = ()
    significance: OpenShare = 0.05
    minimum_rows: Annotated[int, Field(ge=1)] = 100
    when_absent: Literal["pass", "no-data"] = "pass"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Count the candidate's training rows in the bins of the stable release's profile and judge the largest PSI.

    Counting in the same bins is what makes the two comparable; the candidate's own profile has other bins. A PSI above
    the maximum that chance alone can give at these sizes is inconclusive.
    """
    profile = subject.champion_profile
    if profile is None:
        return Verdict(params.when_absent, "there is no stable release whose data could be compared")
    wanted = [f for f in subject.model.data.features if not params.columns or f.name in params.columns]
    shared = [feature for feature in wanted if feature.name in profile]
    n = len(subject.train)
    if not shared:
        return no_data("no feature occurs in the profile of the stable release", n)
    if n < params.minimum_rows:
        return no_data(f"{n} training rows are fewer than {params.minimum_rows}", n)
    arrays = feature_columns(subject.train, shared)
    scores: list[tuple[float, float, str]] = []
    skipped = sorted(feature.name for feature in wanted if feature.name not in profile)
    for feature in shared:
        sketch = profile[feature.name]
        if not _comparable(feature, sketch):
            skipped.append(feature.name)
            continue
        reference = (*sketch.counts, sketch.other, sketch.missing)
        score = population_stability(reference, _count(sketch, arrays[feature.name]), params.significance / len(shared))
        scores.append((score.value, score.critical, feature.name))
    return _judge(params, scores, skipped, n)


def _comparable(feature: Feature, sketch: Sketch) -> bool:
    same_kind = (feature.type == "category") == (sketch.kind == "category")
    return same_kind and sum(sketch.counts) + sketch.other + sketch.missing > 0


def _count(sketch: Sketch, values: np.ndarray[Any, Any]) -> tuple[int, ...]:
    missing = is_missing(values)
    present = values[~missing]
    if sketch.kind == "number":
        place = np.searchsorted(np.asarray(sketch.edges), present.astype(np.float64), side="right")
        inner = np.bincount(place, minlength=len(sketch.edges) + 1)
        return (*inner.tolist(), 0, int(missing.sum()))
    names, totals = np.unique(present.astype(str), return_counts=True)
    by_name = dict(zip(names.tolist(), totals.tolist(), strict=True))
    listed = [by_name.get(name, 0) for name in sketch.categories]
    return (*listed, len(present) - sum(listed), int(missing.sum()))


def _judge(params: Params, scores: list[tuple[float, float, str]], skipped: list[str], n: int) -> Verdict:
    details: dict[str, object] = {
        "features": [{"feature": name, "psi": psi, "critical": critical} for psi, critical, name in scores],
        "notComparable": skipped,
    }
    if not scores:
        return no_data(f"no feature can be compared: {', '.join(skipped)} changed type or had no rows", n)
    above = sorted((score for score in scores if score[0] > params.maximum), reverse=True)
    beyond_chance = [score for score in above if score[0] > score[1]]
    psi, _, name = (beyond_chance or above or [max(scores)])[0]
    if beyond_chance:
        names = ", ".join(f"{item[2]} {item[0]:.3f}" for item in beyond_chance[:5])
        return Verdict(
            "fail", f"PSI above {params.maximum:g}: {names}", psi, limit=params.maximum, n=n, details=details
        )
    if above:
        reason = f"PSI of {name} is {psi:.3f}, but chance alone can give that with {n} rows"
        return Verdict("inconclusive", reason, psi, limit=params.maximum, n=n, details=details)
    if skipped:
        details["note"] = "features without counterpart in the stable release's profile were not compared"
    reason = f"the largest PSI is {psi:.3f} ({name}), not above {params.maximum:g}"
    return Verdict("pass", reason, psi, limit=params.maximum, n=n, details=details)
