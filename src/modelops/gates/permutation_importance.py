"""How much of a model features carry that may not: those that are named, and those that tell a sensitive column."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.findings import bounds_of, no_data, none_above
from modelops.gates._parts.proxies import proxies_of
from modelops.spec.kinds.release import Importance
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics.parts.shares import share_of_sum
from modelops.statistics.parts.worst import Part, part, shared_level

__all__ = ["NEEDS", "Params", "evaluate"]

NEEDS: tuple[Need, ...] = ("rows", "importance")

Array = np.ndarray[Any, Any]


class Params(Strict):
    """The largest share of the model's permutation importance that a forbidden feature or a proxy may have.

    The importance is what the build measured on the served form: how much the loss of a test row rises when the values
    of one feature change places; all together are the whole. ``features`` are forbidden by name; a column that the
    model is not given carries nothing. ``proxiesOf`` names sensitive columns: each feature that tells one of them by
    ``association`` or more (area under the ROC curve, or absolute rank correlation for a number of more than 10 values)
    is a proxy and judged too. The bound of the worst feature decides; ``level`` is that of its two-sided interval.

    Features that say the same share what they are worth, so two proxies of one column may each stay below a limit that
    they exceed together: keep ``maximum`` low, or leave one out of the model.
    """

    maximum: OpenShare
    features: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    proxies_of: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    association: Annotated[float, Field(gt=0.5, lt=1)] = 0.75
    level: OpenShare = 0.95

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.features and not self.proxies_of:
            raise ValueError("name features, or sensitive columns under proxiesOf")
        return self


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Judge the share of every forbidden feature and every proxy in what all features carry."""
    importance = subject.importance
    if importance is None or not importance.features:
        return no_data("the build could not measure how much each feature carries", 0 if importance is None else None)
    proxies = proxies_of(params.proxies_of, subject)
    if isinstance(proxies, str):
        return no_data(proxies, importance.rows)
    given = {feature.name for feature in subject.model.data.features}
    unknown = [name for name in params.features if name not in given | set(subject.train.columns)]
    if unknown:
        return no_data(f"neither the model nor its rows have {', '.join(unknown)}", importance.rows)
    telling = {name for found in proxies.values() for name, value in found.items() if value >= params.association}
    judged = sorted({name for name in params.features if name in given} | telling)
    details: dict[str, object] = {"loss": importance.loss, "rows": importance.rows}
    details["notGiven"] = [name for name in params.features if name not in given]
    details["tells"] = [
        {"feature": name, "of": column, "association": value, "proxy": value >= params.association}
        for column, found in proxies.items()
        for name, value in sorted(found.items(), key=lambda each: -each[1])
    ]
    if not judged:
        reason = "the model is given no forbidden feature" if params.features else ""
        strongest = max((value for found in proxies.values() for value in found.values()), default=0.0)
        most = f"no feature tells {' or '.join(params.proxies_of)} by more than {strongest:.4g}"
        reason = "; ".join([one for one in (reason, most if params.proxies_of else "") if one])
        return Verdict("pass", reason, 0.0, 0.0, 0.0, params.maximum, importance.rows, details)
    return _judged(params, importance, judged, telling, details)


def _judged(
    params: Params, importance: Importance, judged: list[str], proxies: set[str], details: dict[str, object]
) -> Verdict:
    places = {one.name: place for place, one in enumerate(importance.features)}
    alike = [name for name in judged if name not in places]
    parts = [_part(params, importance, name, places[name], len(judged)) for name in judged if name in places]
    details |= {"level": params.level, "sharedLevel": shared_level(params.level, len(judged))}
    details["judged"] = [
        {"feature": one.name, "proxy": one.name in proxies, **bounds_of(one)}
        for one in sorted(parts, key=lambda one: -one.value)
    ]
    said = f"{', '.join(alike)} has one value in the test rows, so nothing is known of what it carries"
    if not parts:
        return Verdict("no-data", said, n=importance.rows, details=details)
    if any(math.isnan(one.value) or math.isinf(one.own[1]) for one in parts):
        return Verdict("no-data", "no feature is shown to carry the model", n=importance.rows, details=details)
    found = none_above("share of the importance", parts, params.maximum, importance.rows)
    word, reason = found.verdict, found.reason
    if alike and word == "pass":
        word, reason = "inconclusive", f"{said}; {reason}"
    return Verdict(word, reason, found.value, found.lower, found.upper, params.maximum, importance.rows, details)


def _part(params: Params, importance: Importance, name: str, place: int, count: int) -> Part:
    values = np.array([one.value for one in importance.features])
    errors = np.array([one.error for one in importance.features])
    share = share_of_sum(values, errors, place, params.level)[0]

    def bounds(level: float) -> tuple[float, float]:
        low, high = share_of_sum(values, errors, place, level)[1]
        return max(0.0, low), max(0.0, high)

    return part(name, importance.rows, max(0.0, share), partial(bounds), params.level, count)
