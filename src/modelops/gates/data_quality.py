"""The data the candidate was trained and tested on: schema, missing values, duplicates and leakage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from modelops.errors import ModelOpsError
from modelops.gates import Subject, Verdict
from modelops.gates._findings import no_data, worst
from modelops.gates._leakage import association
from modelops.gates._rows import feature_columns, is_missing
from modelops.spec.meta import Share, Strict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Params", "evaluate"]

Array = np.ndarray[Any, Any]
Columns = dict[str, Array]


class Params(Strict):
    """Limits as shares between 0 and 1.

    ``maximumMissing`` holds for every nullable feature unless ``missing`` names its own limit. ``maximumDuplicates``
    is the share of rows that repeat an earlier row in every column. ``maximumLeakage`` is the share of test rows whose
    feature values all occur in one training row; ``maximumSharedIds`` the share of test rows whose id does.
    ``maximumAssociation`` bounds how well any single feature ranks the target alone (area under the ROC curve, or
    absolute rank correlation for regression): above it the feature probably contains the answer.
    """

    minimum_rows: Annotated[int, Field(ge=2)] = 50
    maximum_missing: Share = 0.3
    missing: dict[str, Share] = Field(default_factory=dict)
    maximum_duplicates: Share = 0.05
    maximum_leakage: Share = 0.05
    maximum_shared_ids: Share = 0.0
    maximum_association: Share = 0.99
    allow_constant: bool = False


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Run every check; the worst one is the verdict and all of them are in the details."""
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
        return Verdict("fail", "; ".join(problem.message for problem in error.problems), n=n)
    findings = [
        *_missing(params, subject, train, test),
        *_values(params, subject, train),
        _duplicates(params, subject),
        _leakage(params, train, test),
        *_shared_ids(params, subject),
        *_associations(params, subject, test),
    ]
    found = worst(findings)
    details = {
        "checks": [{"verdict": check.verdict, "reason": check.reason, "value": check.value} for check in findings]
    }
    reason = f"{len(findings)} checks of {n} rows passed" if found.verdict == "pass" else found.reason
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
                reason = f"{feature.name} is declared {feature.type} but {int(bad.sum())} values are not, such as"
                yield Verdict("fail", f"{reason} {present[bad][0]:g}", float(bad.sum()), limit=0.0, n=n)
        if not params.allow_constant and len(pd.unique(values)) < 2:
            yield Verdict("fail", f"{feature.name} has the same value in all {n} training rows", 1.0, limit=0.0, n=n)


def _row_hashes(rows: pd.DataFrame) -> Array:
    import pandas as pd

    return pd.util.hash_pandas_object(rows, index=False).to_numpy()


def _duplicates(params: Params, subject: Subject) -> Verdict:
    shared = [name for name in subject.train.columns if name in subject.test.columns]
    hashes = np.concatenate([_row_hashes(part[shared]) for part in (subject.train, subject.test)])
    share = 1 - len(np.unique(hashes)) / len(hashes)
    return _at_most("share of rows that repeat an earlier row", share, params.maximum_duplicates, len(hashes))


def _leakage(params: Params, train: Columns, test: Columns) -> Verdict:
    import pandas as pd

    known, asked = (_row_hashes(pd.DataFrame(part)) for part in (train, test))
    share = float(np.isin(asked, known).mean())
    return _at_most("share of test rows with features of a training row", share, params.maximum_leakage, len(asked))


def _shared_ids(params: Params, subject: Subject) -> Iterator[Verdict]:
    name = subject.model.data.id
    if name is None or name not in subject.train.columns or name not in subject.test.columns:
        return
    ids = subject.test[name]
    share = float((ids.isin(subject.train[name]) & ids.notna()).mean())
    yield _at_most(
        f"share of test rows whose {name} is in the training rows", share, params.maximum_shared_ids, len(ids)
    )


def _associations(params: Params, subject: Subject, test: Columns) -> Iterator[Verdict]:
    holdout = subject.holdout
    if len(holdout) != len(subject.test) or not np.isfinite(holdout.y_true).all():
        yield no_data("the labels of the test rows are not usable, so leakage of the target cannot be seen")
        return
    for feature in subject.model.data.features:
        found = association(holdout.task, test[feature.name], holdout.y_true)
        if found is None:
            continue
        value, lower = found
        limit, n = params.maximum_association, len(holdout)
        what = f"{feature.name} alone ranks the target by"
        if lower > limit:
            yield Verdict(
                "fail", f"{what} {value:.4g}, above {limit:g}: it may hold the answer", value, lower, None, limit, n
            )
        elif value > limit:
            reason = f"{what} {value:.4g}, but {n} rows do not show that it is above {limit:g}"
            yield Verdict("inconclusive", reason, value, lower, None, limit, n)
