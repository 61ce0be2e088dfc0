"""Rows that came since the stable release's snapshot with one value and one label, as a planted trigger does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from modelops.artifacts.frame import unquoted
from modelops.artifacts.pandas_columns import feature_columns, is_missing
from modelops.errors import ModelOpsError
from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.findings import no_data
from modelops.gates._parts.groups import ranges
from modelops.gates._parts.labels import coded
from modelops.gates._parts.new_rows import new_rows
from modelops.metrics import Predictions
from modelops.spec.kinds.model import Feature
from modelops.spec.meta import OpenShare, Share, Strict
from modelops.statistics.parts.spikes import Counts, Spike, smallest_seen, spikes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NEEDS", "Params", "evaluate"]

NEEDS: tuple[Need, ...] = ("rows", "predictions", "previous")

Array = np.ndarray[Any, Any]
_BINS = 200  # of a number, by its quantiles in the old rows
_AROUND = 200  # old rows whose labels a cell is compared with where it had few itself
_FEW = 30
_TARGET_BINS = 5
_SHOWN = 20


class Params(Strict):
    """How many of the new rows may lie in a spike: rows that share a value, or a narrow range, and a label.

    New rows are those of the candidate's snapshot that the stable release's did not have. Of every feature each value
    that ``minimumCount`` of them have is looked at, and 200 ranges of a number, which hold the old rows equally: a
    spike is one that came twice as often as in the old rows or more, whose additional rows have one label by ``purity``
    or more, a label that was rarer by 0.25 or more among rows of that value, or those around it, before.
    ``significance`` is the chance, over all values and labels together (Bonferroni), to find one where the new rows are
    drawn like the old ones. ``maximum`` is the share of the new rows that a spike may hold; of a smaller one it is only
    told.

    A trigger of several features together, one with a label that most rows have anyway, labels that were changed
    without one, and rows that were there before are not seen. ``whenAbsent`` is the verdict where no release is stable
    yet: then nothing is known to compare with.
    """

    maximum: Share = 0.0
    purity: Annotated[float, Field(gt=0.5, le=1)] = 0.9
    significance: OpenShare = 0.01
    minimum_count: Annotated[int, Field(ge=10)] = 20
    minimum_rows: Annotated[int, Field(ge=20)] = 100
    when_absent: Literal["pass", "no-data"] = "pass"


@dataclass(frozen=True)
class _Side:
    """The features of some rows, converted, and the label of each as a code, shape (n,)."""

    features: dict[str, Array]
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Compare the rows that came with those that were there, value by value."""
    n = len(subject.train) + len(subject.test)
    if n == 0:
        return no_data("there are no rows", 0)
    if subject.previous is None and subject.unreadable:
        return no_data(f"the rows of release {subject.champion_release} cannot be read: {subject.unreadable}", 0)
    if subject.previous is None:
        return Verdict(params.when_absent, "there is no stable release whose rows could be compared")
    sides = _sides(subject, subject.previous)
    if isinstance(sides, str):
        return no_data(sides, n)
    new, old, labels = sides
    if len(new) == 0:
        return Verdict("pass", f"no row is new: all {n} were there before", 0.0, limit=params.maximum, n=n)
    for what, side in (("new", new), ("old", old)):
        if len(side) < params.minimum_rows:
            return no_data(f"{len(side)} {what} rows are fewer than {params.minimum_rows}", len(side))
    found: list[tuple[str, str, Spike]] = []
    tests = 0
    for feature in subject.model.data.features:
        if feature.name not in new.features:
            continue
        for names, counts in _cells(params, feature, new, old, len(labels)):
            tests += counts.new.size
            found += [(feature.name, names[one.cell], one) for one in spikes(counts, len(new), len(old), params.purity)]
    limit = params.significance / max(1, tests)
    sure = [one for one in found if one[2].p_value < limit]
    return _verdict(params, sure, labels, new, old, limit)


def _sides(subject: Subject, previous: pd.DataFrame) -> tuple[_Side, _Side, tuple[str, ...]] | str:
    """Return the new rows, the old ones and what labels are called, or why they cannot be compared."""
    import pandas as pd

    data = subject.model.data
    if data.target not in previous.columns:
        return f"the old rows have no column {data.target!r}"
    now = pd.concat([subject.train, subject.test], ignore_index=True)
    shared = [feature for feature in data.features if feature.name in previous.columns]
    if not shared:
        return "no feature was there before"
    fresh = now[new_rows(now, previous, [name for name in data.told if name in previous.columns])]
    holdout = subject.holdout
    targets = [coded(rows[data.target], subject.model.task, holdout.classes) for rows in (fresh, previous)]
    kept = [np.isfinite(target) for target in targets]
    try:
        sides = [
            _Side(feature_columns(rows[known], shared), target[known])
            for rows, known, target in zip((fresh, previous), kept, targets, strict=True)
        ]
    except ModelOpsError as error:
        return "; ".join(map(unquoted, error.problems))
    labels = _called(holdout, sides[1].labels)
    if subject.model.task == "regression" and len(sides[1]):
        edges = np.unique(np.quantile(sides[1].labels, np.linspace(0, 1, _TARGET_BINS + 1)[1:-1]))
        sides = [_Side(side.features, np.searchsorted(edges, side.labels, side="right") * 1.0) for side in sides]
        labels = tuple(f"{data.target} in fifth {place + 1}" for place in range(len(edges) + 1))
    return sides[0], sides[1], labels


def _called(holdout: Predictions, values: Array) -> tuple[str, ...]:
    return tuple(map(str, holdout.classes)) or ("",) * len(values[:1])


def _cells(params: Params, feature: Feature, new: _Side, old: _Side, labels: int) -> list[tuple[list[str], Counts]]:
    """Return the cells of a feature with what they are called: single values, and of a number ranges too."""
    now, before = new.features[feature.name], old.features[feature.name]
    present, had = ~is_missing(now), ~is_missing(before)
    values, counts = np.unique(now[present], return_counts=True)
    often = values[counts >= params.minimum_count]
    found = []
    if len(often):
        codes = [_place(often, one) for one in (now, before)]
        around = _around(often, before[had], old.labels[had], labels) if now.dtype != object else None
        names = [f"{value:g}" if now.dtype != object else str(value) for value in often]
        found.append((names, _counted(codes, new, old, len(often), labels, around)))
    if now.dtype != object and had.sum() >= _BINS:
        edges = np.unique(np.quantile(before[had], np.linspace(0, 1, _BINS + 1)))
        codes = [np.where(np.isnan(one), -1, np.searchsorted(edges, one, side="right")) for one in (now, before)]
        names = ranges(edges)
        middles = np.array([edges[0], *((edges[1:] + edges[:-1]) / 2), edges[-1]])
        around = _around(middles, before[had], old.labels[had], labels)
        found.append((names, _counted(codes, new, old, len(names), labels, around)))
    return found


def _place(values: Array, column: Array) -> Array:
    """Return the place of each value of a column among some sorted ones, shape (n,), -1 where it is none of them."""
    place = np.minimum(np.searchsorted(values, column), len(values) - 1)
    return np.where(values[place] == column, place, -1)


def _counted(
    codes: list[Array], new: _Side, old: _Side, cells: int, labels: int, around: tuple[Array, Array] | None
) -> Counts:
    """Count rows by cell and label; where a cell had few rows its labels are expected like those around it."""
    both = []
    for place, side in zip(codes, (new, old), strict=True):
        inside = place >= 0
        at = place[inside].astype(np.intp) * labels + side.labels[inside].astype(np.intp)
        both.append(np.bincount(at, minlength=cells * labels).reshape(cells, labels).astype(np.float64))
    before = both[1].sum(axis=1)
    if around is None:
        shares = np.bincount(old.labels.astype(np.intp), minlength=labels) / len(old)
        around = np.tile(shares, (cells, 1)), np.full(cells, float(len(old)))
    own = before >= _FEW
    expected = np.where(own[:, None], both[1] / np.maximum(before, 1)[:, None], around[0])
    return Counts(both[0], both[1], expected, np.where(own, before, around[1]))


def _around(values: Array, column: Array, target: Array, labels: int) -> tuple[Array, Array]:
    """Return the shares of labels of the old rows nearest to each value, and how many rows that are."""
    order = np.argsort(column, kind="stable")
    ordered, width = column[order], min(_AROUND, len(column))
    told = np.zeros((len(column) + 1, labels))
    told[np.arange(1, len(column) + 1), target[order].astype(np.intp)] = 1.0
    sums = np.cumsum(told, axis=0)
    start = np.clip(np.searchsorted(ordered, values) - width // 2, 0, len(column) - width)
    return (sums[start + width] - sums[start]) / max(1, width), np.full(len(values), float(width))


def _verdict(
    params: Params, sure: list[tuple[str, str, Spike]], labels: tuple[str, ...], new: _Side, old: _Side, limit: float
) -> Verdict:
    shares = np.bincount(old.labels.astype(np.intp), minlength=len(labels)) / len(old)
    seen = {
        label: max(params.minimum_count, smallest_seen(float(share), len(new), len(old), limit))
        for label, share in zip(labels, shares, strict=True)
        if share > 0
    }
    ordered = sorted(sure, key=lambda each: (-each[2].additional, each[0], each[1]))
    details: dict[str, object] = {
        "newRows": len(new),
        "oldRows": len(old),
        "significance": params.significance,
        "smallestSeen": seen,
        "spikes": [
            {
                "feature": feature,
                "value": value,
                "label": labels[one.label],
                "rows": one.rows,
                "additional": round(one.additional),
                "purity": one.purity,
                "expected": one.expected,
            }
            for feature, value, one in ordered[:_SHOWN]
        ],
        "spikesLeftOut": max(0, len(ordered) - _SHOWN),
    }
    share = max((one.additional / len(new) for _, _, one in ordered), default=0.0)
    beyond = [each for each in ordered if each[2].additional / len(new) > params.maximum]
    if beyond:
        told = "; ".join(
            f"{feature} {value}: {one.rows} rows, {one.purity:.0%} of what came is {labels[one.label]}, "
            f"expected {one.expected:.0%}"
            for feature, value, one in beyond[:3]
        )
        more = f"; and {len(beyond) - 3} more" if len(beyond) > 3 else ""
        reason = f"of {len(new)} new rows some share a value and a label: {told}{more}"
        return Verdict("fail", reason, share, limit=params.maximum, n=len(new), details=details)
    below = f"; {len(ordered)} below the maximum" if ordered else ""
    least = " or ".join(f"{rows} {label}" for label, rows in list(seen.items())[:4])
    reason = f"no value came with one label in {len(new)} new rows, of which {least} would be seen{below}"
    return Verdict("pass", reason, share, limit=params.maximum, n=len(new), details=details)
