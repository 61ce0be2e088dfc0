"""What the model's answers rest on, by the Shapley values of its rows: who may carry them, and whether that stays."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.stats import rankdata

from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.asking import some_rows
from modelops.gates._parts.findings import at_least, bounds_of, no_data, none_above, worst
from modelops.gates._parts.proxies import proxies_of
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics.intervals import ratio_interval
from modelops.statistics.parts.worst import Part, part, shared_level

__all__ = ["NEEDS", "Params", "evaluate"]

NEEDS: tuple[Need, ...] = ("rows", "reasons")

Array = np.ndarray[Any, np.dtype[np.float64]]
_RESAMPLES = 1000
_ADDITIVE = 1e-5


class Params(Strict):
    """What Shapley values of ``rows`` test rows, drawn at random, have to show of the served artifact.

    The weight of a feature is the mean absolute contribution to the answers, as a share of that of all features; see
    `modelops.reasons` for what a contribution is. ``maximum`` bounds the weight of each forbidden feature: those that
    ``features`` names, and the proxies of the sensitive columns that ``proxiesOf`` names (what tells one of them by
    ``association`` or more, see ``permutation-importance``). The upper bound of the worst one decides.

    ``steady`` is the least rank correlation (Spearman) of the features' weights between two halves of the rows: what
    explains the model must not hang on which rows were asked. The quantiles over 1,000 divisions decide; they say how
    the halves of these rows differ, and are no interval of a quantity of all rows. ``agreement`` is the least one
    between the candidate and the stable release on the same rows; its lower bound, by 1,000 bootstraps, decides, and
    without a stable release there is nothing to agree with, which passes. Contributions that do not add up to the
    answers within 1e-5 fail in any case. ``level`` is that of two-sided intervals; ``minimumRows`` is the least that
    anything rests on.
    """

    maximum: OpenShare | None = None
    features: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    proxies_of: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    association: Annotated[float, Field(gt=0.5, lt=1)] = 0.75
    steady: Annotated[float, Field(gt=-1, lt=1)] | None = None
    agreement: Annotated[float, Field(gt=-1, lt=1)] | None = None
    level: OpenShare = 0.95
    rows: Annotated[int, Field(ge=30, le=5000)] = 300
    minimum_rows: Annotated[int, Field(ge=30)] = 50

    @model_validator(mode="after")
    def _something(self) -> Self:
        named = bool(self.features or self.proxies_of)
        if named != (self.maximum is not None):
            raise ValueError("maximum bounds the features, or the proxies of columns, that are named: give both")
        if not named and self.steady is None and self.agreement is None:
            raise ValueError("give features or proxiesOf with a maximum, steady, or agreement")
        return self


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Explain some test rows by the served artifact, and judge everything that is asked; the worst decides."""
    rows = some_rows(subject.test, params.rows, subject.seed)
    n = len(rows)
    if n < params.minimum_rows:
        return no_data(f"{n} test rows are fewer than {params.minimum_rows}", n)
    found = subject.explain(rows)
    if isinstance(found, str):
        return no_data(f"the model cannot be explained: {found}", n)
    size = np.abs(found.contributions)
    names = [feature.name for feature in subject.model.data.features]
    details: dict[str, object] = {"method": found.method, "scale": found.scale, "rows": n, "gap": found.gap}
    if not np.isfinite(size).all():
        return Verdict("no-data", "some contributions are not finite numbers", n=n, details=details)
    if not found.gap <= _ADDITIVE:
        said = f"contributions are up to {found.gap:.3g} away from adding up to the answer"
        return Verdict("fail", said, found.gap, None, None, _ADDITIVE, n, details)
    if not size.sum() > 0:
        return Verdict("no-data", "no feature contributes anything to any answer", n=n, details=details)
    shares = size.mean(axis=0) / size.mean(axis=0).sum()
    order = np.argsort(-shares, kind="stable")
    details["weights"] = [{"feature": names[at], "share": float(shares[at])} for at in order]
    findings = []
    if params.maximum is not None:
        findings.append(_forbidden(params, params.maximum, subject, size, names, details))
    if params.steady is not None:
        findings.append(_steady(params, params.steady, subject, size, details))
    if params.agreement is not None:
        findings.append(_agreement(params, params.agreement, subject, size, details))
    decides = worst(findings)
    reason = "; ".join(each.reason for each in findings) if decides.verdict == "pass" else decides.reason
    return Verdict(decides.verdict, reason, decides.value, decides.lower, decides.upper, decides.limit, n, details)


def _forbidden(
    params: Params, maximum: float, subject: Subject, size: Array, names: list[str], details: dict[str, object]
) -> Verdict:
    n, proxies = len(size), proxies_of(params.proxies_of, subject)
    if isinstance(proxies, str):
        return no_data(proxies, n)
    unknown = [name for name in params.features if name not in names and name not in subject.train.columns]
    if unknown:
        return no_data(f"neither the model nor its rows have {', '.join(unknown)}", n)
    telling = {name for found in proxies.values() for name, value in found.items() if value >= params.association}
    judged = sorted(({*params.features} & {*names}) | telling)
    if not judged:
        return Verdict("pass", "the model is given no forbidden feature and no proxy", 0.0, 0.0, 0.0, maximum, n)
    parts = [_share(params, size, names, name, len(judged)) for name in judged]
    details["sharedLevel"] = shared_level(params.level, len(judged))
    details["judged"] = [{"feature": one.name, "proxy": one.name in telling, **bounds_of(one)} for one in parts]
    return none_above("share of the contributions", parts, maximum, n)


def _share(params: Params, size: Array, names: list[str], name: str, count: int) -> Part:
    own, whole = size[:, names.index(name)], size.sum(axis=1)

    def bounds(level: float) -> tuple[float, float]:
        low, high = ratio_interval(own, whole, level)
        return max(0.0, low), min(1.0, high)

    return part(name, len(size), float(own.sum() / whole.sum()), partial(bounds), params.level, count)


def _steady(params: Params, limit: float, subject: Subject, size: Array, details: dict[str, object]) -> Verdict:
    if size.shape[1] < 2:
        return no_data("the order of a single feature cannot change", len(size))
    # Two halves of the rows are independent, as a bootstrap sample and its source are not.
    values = []
    generator = np.random.default_rng([subject.seed, 1])
    for _ in range(_RESAMPLES):
        order = generator.permutation(len(size))
        half = len(size) // 2
        values.append(_correlation(size[order[:half]].mean(axis=0), size[order[half:]].mean(axis=0)))
    value, (lower, upper) = float(np.median(values)), _quantiles(np.array(values), params.level)
    details["steady"] = {"value": value, "lower": lower, "upper": upper}
    return at_least("rank correlation of the weights between halves of the rows", value, lower, upper, limit, len(size))


def _agreement(params: Params, limit: float, subject: Subject, size: Array, details: dict[str, object]) -> Verdict:
    n = len(size)
    if subject.champion_explain is None:
        return Verdict("pass", "there is no stable release to agree with", n=n, limit=limit)
    if size.shape[1] < 2:
        return no_data("the order of a single feature cannot change", n)
    other = subject.champion_explain(some_rows(subject.test, params.rows, subject.seed))
    if isinstance(other, str):
        return no_data(f"the stable release cannot be explained: {other}", n)
    theirs = np.abs(other.contributions)
    generator = np.random.default_rng([subject.seed, 2])
    drawn = [generator.integers(0, n, n) for _ in range(_RESAMPLES)]
    values = [_correlation(size[at].mean(axis=0), theirs[at].mean(axis=0)) for at in drawn]
    value = _correlation(size.mean(axis=0), theirs.mean(axis=0))
    lower, upper = _quantiles(np.array(values), params.level)
    details["agreement"] = {"value": value, "lower": lower, "upper": upper, "release": subject.champion_release}
    return at_least("rank correlation of the weights with the stable release", value, lower, upper, limit, n)


def _correlation(one: Array, other: Array) -> float:
    """Return Spearman's rank correlation; of orders without any difference it is that of equal orders, 1."""
    ranks = np.column_stack([rankdata(one), rankdata(other)])
    spread = ranks.std(axis=0)
    if not spread.all():
        return 1.0 if not spread.any() else 0.0
    return float(np.corrcoef(ranks, rowvar=False)[0, 1])


def _quantiles(values: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
