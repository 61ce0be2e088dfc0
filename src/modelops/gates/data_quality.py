"""The data the candidate was trained and tested on: schema, missing values, duplicates and leakage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from modelops.artifacts.frame import unquoted
from modelops.artifacts.pandas_columns import feature_columns, is_missing
from modelops.errors import ModelOpsError
from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.findings import no_data, worst
from modelops.spec.meta import Share, Strict
from modelops.statistics.association import association
from modelops.statistics.determination import determining
from modelops.statistics.repeats import by_chance, keyed, most, repeated
from modelops.statistics.weighted import worth

__all__ = ["NEEDS", "Params", "evaluate", "vacuous"]

NEEDS: tuple[Need, ...] = ("rows",)

Array = np.ndarray[Any, Any]
Columns = dict[str, Array]


class Params(Strict):
    """Limits as shares between 0 and 1.

    ``maximumMissing`` holds for every nullable feature unless ``missing`` names its own limit. ``maximumDuplicates`` is
    the share of rows that repeat an earlier row in every column that the model names, but for the weight.
    ``maximumLeakage`` is the share of test rows whose feature values all occur in one training row; of both as much
    is allowed as columns of few values give by chance. ``minimumRows`` holds for what weights leave of each part,
    too. ``maximumSharedIds`` is the share of test rows whose id does. ``maximumAssociation`` bounds how well any
    single feature ranks the target alone (area under the ROC curve, or absolute rank correlation for regression):
    above it the feature probably contains the answer, and fails unless so few rows say so that 0.95 is not shown;
    what ranks by more than 0.95 is asked about in the verdict. Features that determine the target in every row,
    alone or two or more together, fail whatever the limit is, unless the model says of them why they are known at
    prediction time.
    """

    minimum_rows: Annotated[int, Field(ge=2)] = 50
    maximum_missing: Share = 0.3
    missing: dict[str, Share] = Field(default_factory=dict)
    maximum_duplicates: Share = 0.05
    maximum_leakage: Share = 0.05
    maximum_shared_ids: Share = 0.0
    maximum_association: Share = 0.99
    allow_constant: bool = False


def vacuous(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the shares that no data can exceed; each takes one check out of the gate."""
    checks = (
        ("maximumMissing", params.maximum_missing),
        ("maximumDuplicates", params.maximum_duplicates),
        ("maximumLeakage", params.maximum_leakage),
        ("maximumSharedIds", params.maximum_shared_ids),
        ("maximumAssociation", params.maximum_association),
    )
    for key, share in checks:
        if share >= 1:
            yield key, f"no share is above 1, so {key} checks nothing"
    for name, share in params.missing.items():
        if share >= 1:
            yield "missing", f"no share is above 1, so missing values of {name} are not checked"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Run every check; the worst one is the verdict, and the details have all, those that did not pass first."""
    n = len(subject.train) + len(subject.test)
    if min(len(subject.train), len(subject.test)) < params.minimum_rows:
        reason = (
            f"{len(subject.train)} training and {len(subject.test)} test rows: each part needs {params.minimum_rows}"
        )
        return no_data(reason, n)
    absent = _absent_columns(subject)
    if absent:
        return Verdict("fail", f"declared columns are absent: {', '.join(absent)}", float(len(absent)), limit=0.0, n=n)
    try:
        train = feature_columns(subject.train, subject.model.data.features)
        test = feature_columns(subject.test, subject.model.data.features)
    except ModelOpsError as error:
        return Verdict("fail", "; ".join(map(unquoted, error.problems)), n=n)
    findings = [
        *_missing(params, subject, train, test),
        *_values(params, subject, train),
        _duplicates(params, subject),
        _leakage(params, train, test),
        *_shared_ids(params, subject),
        *_weights(params, subject),
        *_answers(params, subject, train, test),
    ]
    found = worst(findings)
    known = [check.reason for check in findings if check.verdict == "pass" and _KNOWN in check.reason]
    asked = [check.reason.removesuffix(_ASKED) for check in findings if check.reason.endswith(_ASKED)]
    first = sorted(findings, key=lambda check: check.verdict == "pass")
    details = {"checks": [{"verdict": check.verdict, "reason": check.reason, "value": check.value} for check in first]}
    reason = found.reason
    if found.verdict == "pass":
        question = [f"known before the target is? {', '.join(asked[:5])}"] if asked else []
        reason = "; ".join([f"{len(findings)} checks of {n} rows passed", *known[:5], *question])
    return Verdict(found.verdict, reason, found.value, found.lower, found.upper, found.limit, n, details)


def _absent_columns(subject: Subject) -> list[str]:
    declared = set(subject.declared_columns) | {feature.name for feature in subject.model.data.features}
    return sorted(declared - (set(subject.train.columns) & set(subject.test.columns)))


def _at_most(what: str, share: float, limit: float, n: int) -> Verdict:
    if share <= limit:
        return Verdict("pass", f"{what}: {share:.4g}, at most {limit:g}", share, limit=limit, n=n)
    return Verdict("fail", f"{what}: {share:.4g}, above {limit:g}", share, limit=limit, n=n)


def _missing(params: Params, subject: Subject, train: Columns, test: Columns) -> Iterator[Verdict]:
    n = len(subject.train) + len(subject.test)
    for feature in subject.model.data.features:
        count = int(is_missing(train[feature.name]).sum() + is_missing(test[feature.name]).sum())
        limit = params.missing.get(feature.name, params.maximum_missing)
        if count and not feature.nullable:
            reason = f"{feature.name} is not nullable but {count} of {n} values are missing"
            yield Verdict("fail", reason, count / n, limit=0.0, n=n)
        else:
            yield _at_most(f"missing share of {feature.name}", count / n, limit, n)


def _values(params: Params, subject: Subject, train: Columns) -> Iterator[Verdict]:
    import pandas as pd

    n = len(subject.train)
    for feature in subject.model.data.features:
        values = train[feature.name]
        present = values[~is_missing(values)]
        if feature.type in ("integer", "boolean") and len(present):
            bad = (present != np.floor(present)) if feature.type == "integer" else ~np.isin(present, (0.0, 1.0))
            if bad.any():
                reason = f"{feature.name} is declared {feature.type} but {int(bad.sum())} values are not"
                yield Verdict("fail", reason, float(bad.sum()), limit=0.0, n=n)
        if not params.allow_constant and len(pd.unique(values)) < 2:
            yield Verdict("fail", f"{feature.name} has the same value in all {n} training rows", 1.0, limit=0.0, n=n)


def _hashes(train: Mapping[str, Any], test: Mapping[str, Any]) -> list[Array]:
    """Return hashes of the values of all rows, training rows first, column by column; equal ones of equal values."""
    import pandas as pd

    def hashed(values: Any) -> Array:
        return pd.util.hash_pandas_object(pd.Series(values), index=False).to_numpy()

    return [np.concatenate([hashed(train[name]), hashed(test[name])]) for name in train]


def _duplicates(params: Params, subject: Subject) -> Verdict:
    names = [name for name in subject.model.data.told if name in subject.train.columns]
    columns = _hashes(*({name: part[name] for name in names} for part in (subject.train, subject.test)))
    n = len(columns[0])

    def order(place: int) -> Array:
        values = np.concatenate([np.asarray(part[names[place]]) for part in (subject.train, subject.test)])
        return np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)[1]

    what = "share of rows that repeat an earlier row"
    return _beyond_chance(
        what, repeated(columns), repeated(by_chance(columns, order=order)), params.maximum_duplicates, n
    )


def _leakage(params: Params, train: Columns, test: Columns) -> Verdict:
    columns, first = _hashes(train, test), len(next(iter(train.values())))

    def share(values: list[Array]) -> float:
        rows = keyed(values)
        return float(np.isin(rows[first:], rows[:first]).mean())

    what, n = "share of test rows with features of a training row", len(columns[0]) - first
    return _beyond_chance(what, share(columns), share(by_chance(columns)), params.maximum_leakage, n)


def _beyond_chance(what: str, share: float, chance: float, limit: float, n: int) -> Verdict:
    """Hold a share against its limit, or against what columns of few values give by chance where that is more."""
    allowed = most(chance, n)
    if share <= limit or allowed <= limit:
        return _at_most(what, share, limit, n)
    few = f"as their columns have few values, chance gives {chance:.4g}"
    if share <= allowed:
        return Verdict("pass", f"{what}: {share:.4g}, {few}", share, limit=limit, n=n)
    return Verdict("fail", f"{what}: {share:.4g}, above {limit:g}; {few}", share, limit=limit, n=n)


def _weights(params: Params, subject: Subject) -> Iterator[Verdict]:
    """Look at what rows count for: weights that leave the worth of a few rows make every number one of chance."""
    name = subject.model.data.weight
    if name is None:
        return
    for what, part in (("training", subject.train), ("test", subject.test)):
        weight, n = part[name].to_numpy(dtype=np.float64, na_value=np.nan), len(part)
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
            reason = f"the weight {name} is missing, infinite, negative or 0 throughout in the {what} rows"
            yield Verdict("fail", reason, n=n)
            continue
        left = worth(weight)
        said = f"the weights of {n} {what} rows ({name}) leave what {left:.0f} are worth"
        if left < params.minimum_rows:
            yield Verdict("no-data", f"{said}: each part needs {params.minimum_rows}", left, n=n)
        else:
            yield Verdict("pass", said, left, n=n)


def _shared_ids(params: Params, subject: Subject) -> Iterator[Verdict]:
    name = subject.model.data.id
    if name is None or name not in subject.train.columns or name not in subject.test.columns:
        return
    ids = subject.test[name]
    share = float((ids.isin(subject.train[name]) & ids.notna()).mean())
    yield _at_most(
        f"share of test rows whose {name} is in the training rows", share, params.maximum_shared_ids, len(ids)
    )


def _answers(params: Params, subject: Subject, train: Columns, test: Columns) -> Iterator[Verdict]:
    """Look for the target among the features, over all rows of the snapshot: a copy is one whatever rows test."""
    target = _target(subject)
    known = np.isfinite(target)
    if known.sum() < params.minimum_rows or len(np.unique(target[known])) < 2:
        yield no_data("the labels of the rows are not usable, so leakage of the target cannot be seen")
        return
    features = {feature.name: feature for feature in subject.model.data.features}
    columns = {name: np.concatenate([train[name], test[name]])[known] for name in features}
    classes, n = subject.model.task != "regression", int(known.sum())
    copies: set[str] = set()
    for found in determining(columns, target[known], classes=classes):
        copies |= set(found.columns)
        why = [f"{name}: {features[name].known_at_prediction}" for name in found.columns]
        what = f"{found} {subject.model.data.target} {found.where(n)}"
        if all(features[name].known_at_prediction for name in found.columns):
            yield Verdict("pass", f"{what}{_KNOWN} ({'; '.join(why)})", 1.0, n=n)
        else:
            yield Verdict("fail", f"{what}: {_WAY_OUT}", 1.0, limit=params.maximum_association, n=n)
    for name, values in columns.items():
        if name not in copies and not features[name].known_at_prediction:
            yield from _association(params, name, association(values, target[known], classes=classes), n)


_STRONG = 0.95
"""From which association on a feature is asked about, and how much of it has to be shown before it is refused."""
_ASKED = ": is it known before the target is?"
_KNOWN = ", known at prediction time"
_WAY_OUT = (
    "it holds the answer; leave it out of spec.data.features, or say there why it is known before the target is "
    "(knownAtPrediction)"
)


def _association(params: Params, name: str, found: tuple[float, float] | None, n: int) -> Iterator[Verdict]:
    if found is None:
        return
    value, lower = found
    limit = params.maximum_association
    what = f"{name} alone ranks the target by {value:.4g}"
    if value > limit and lower > min(limit, _STRONG):
        yield Verdict("fail", f"{what}, above {limit:g} (maximumAssociation): {_WAY_OUT}", value, lower, None, limit, n)
    elif value > limit:
        reason = f"{what}, but {n} rows do not show that it is above {limit:g}"
        yield Verdict("inconclusive", reason, value, lower, None, limit, n)
    elif value > _STRONG:
        yield Verdict("pass", f"{what}{_ASKED}", value, lower, None, limit, n)


def _target(subject: Subject) -> Array:
    """Return the target of all rows, training rows first: values, or codes of labels; NaN where it is missing."""
    import pandas as pd

    name = subject.model.data.target
    values = pd.concat([subject.train[name], subject.test[name]], ignore_index=True)
    if subject.model.task == "regression":
        numbers: Array = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers
    codes = pd.factorize(values.astype("string").replace("", pd.NA))[0].astype(np.float64)
    return np.where(codes < 0, np.nan, codes)
