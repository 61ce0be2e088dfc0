"""Whether a window's rows can be told from the reference's by all features together.

A classifier learns which rows are of the window; the area under its ROC curve on rows that it has not seen is 0.5 where
the two are alike. It sees what no score of single columns can: features that no longer go together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from modelops import summaries
from modelops.drift import Level
from modelops.monitoring.entities import first_rows
from modelops.monitoring.report import DomainReport
from modelops.spec.kinds.monitor import DomainClassifier
from modelops.statistics import Array, auc
from modelops.statistics.clusters import Codes
from modelops.statistics.intervals import normal_quantile

__all__ = ["domain_classifier"]

_FOLDS, _SEED, _LEVEL = 5, 0, 0.95


def domain_classifier(
    params: DomainClassifier, names: Sequence[str], reference: pa.Table, window: pa.Table, entities: Codes | None
) -> DomainReport:
    """Measure how well rows of a window are told from rows of a reference.

    Parameters
    ----------
    params : DomainClassifier
        Limits, and how many rows of each are taken, evenly.
    names : sequence of str
        The features; those that one of the tables has not, or has of another type, are left out.
    reference, window : pa.Table
        Rows of n and of m, in any order.
    entities : array of shape (m,), optional
        Of a window's rows; of each entity the first row alone counts, for rows of one entity hang together. So it has
        to be in the reference: rows of one entity on both sides of a fold are told by heart.

    Returns
    -------
    DomainReport
        The mean area over five folds, its interval (DeLong's of each fold), and what it exceeds without drift with the
        chance ``significance``: on rows that were not learnt from, a fold's area is that of Mann and Whitney's test,
        with the variance (a + b + 1) / (12 a b) for a and b rows.

    References
    ----------
    D. Lopez-Paz and M. Oquab, "Revisiting classifier two-sample tests", ICLR (2017); H. B. Mann and D. R. Whitney,
    Annals of Mathematical Statistics 18 (1947).
    """
    window = first_rows(window, entities)
    n, m = (min(each.num_rows, params.rows) for each in (reference, window))
    if min(n, m) < params.minimum:
        return DomainReport(0.5, 0.5, 0.5, 0.5, "no-data", n, m, f"{min(n, m)} rows, fewer than {params.minimum}")
    columns = summaries.alike(reference, window, names)
    if not columns:
        return DomainReport(0.5, 0.5, 0.5, 0.5, "no-data", n, m, "no feature is in both of one type")
    categories = summaries.frequent(reference, columns)
    rows = np.concatenate(
        [summaries.matrix(_evenly(side, size), columns, categories) for side, size in ((reference, n), (window, m))]
    )
    label = np.repeat([0.0, 1.0], [n, m])
    found = list(_areas(rows, label, [name in categories for name in columns]))
    area = float(np.mean([each[0] for each in found]))
    half = float(np.sqrt(np.mean([((each[2] - each[1]) / 2) ** 2 for each in found]) / len(found)))
    spread = float(np.sqrt(np.mean([each[3] for each in found]) / len(found)))
    critical = 0.5 + normal_quantile(1 - 2 * params.significance) * spread
    level: Level = "none"
    said = f"rows are told from the reference's with an area of {area:.3f} [{max(0.0, area - half):.3f}, "
    said += f"{min(1.0, area + half):.3f}] under the ROC curve"
    if area > max(params.warn, critical):
        level = "alert" if area > params.alert else "warn"
        said += f", above {params.alert if level == 'alert' else params.warn:g} and above chance ({critical:.3f})"
    return DomainReport(area, max(0.0, area - half), min(1.0, area + half), critical, level, n, m, said)


def _evenly(table: pa.Table, size: int) -> pa.Table:
    if size == table.num_rows:
        return table
    return table.take(pa.array(np.linspace(0, table.num_rows - 1, size).round().astype(np.int64)))


def _areas(rows: Array, label: Array, categorical: list[bool]) -> list[tuple[float, float, float, float]]:
    """Return area, bounds and the variance without drift of each fold."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(_SEED)
    folds = np.empty(len(label), dtype=np.int64)
    for side in (0.0, 1.0):
        mine = np.flatnonzero(label == side)
        folds[rng.permutation(mine)] = np.arange(len(mine)) % _FOLDS
    found = []
    for fold in range(_FOLDS):
        out = folds == fold
        learner = HistGradientBoostingClassifier(
            max_iter=40,
            max_leaf_nodes=8,
            min_samples_leaf=20,
            learning_rate=0.1,
            categorical_features=categorical,
            early_stopping=False,
            random_state=_SEED,
        )
        # So few rows gain nothing by threads, which wait for each other where the machine is busy.
        with threadpool_limits(1):
            told = learner.fit(rows[~out], label[~out]).predict_proba(rows[out])[:, 1]
        area, lower, upper, _ = auc.interval(label[out], told, _LEVEL)
        a, b = int((label[out] == 0).sum()), int((label[out] == 1).sum())
        found.append((area, lower, upper, (a + b + 1) / (12 * a * b)))
    return found
