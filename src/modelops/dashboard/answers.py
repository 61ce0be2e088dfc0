"""How a model answers, as pictures: curves with bands, calibration, residuals, what carries it, groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from modelops.dashboard.pictures import Interval, Mark, Plane, bars, intervals, plane
from modelops.dashboard.pictures.drawing import short
from modelops.metrics.curves import Curve, Curves, Point, band
from modelops.spec.kinds.release import Importance
from modelops.views.reports.built import carried
from modelops.views.reports.groups import Compared

__all__ = ["grouped", "importance", "pictures"]

Captioned = tuple[str, Markup]


def pictures(found: Curves) -> Iterator[Captioned]:
    """Yield every picture of some answers with its caption."""
    for name, curve in found.roc.items():
        yield f"ROC{_of(name)}", _roc(name, curve)
    for name, curve in found.precision_recall.items():
        yield f"Precision and recall{_of(name)}", _precision_recall(name, curve)
    if found.calibration:
        marks = [
            Mark(
                one.said,
                one.found,
                one.lower,
                one.upper,
                f"mean score {short(one.said)}: true of {short(one.found)} [{short(one.lower)}, {short(one.upper)}], "
                f"{one.n:,} rows",
            )
            for one in found.calibration
        ]
        told = f"{len(marks)} groups of similar scores, {_off(marks)} of them off the diagonal beyond their interval"
        yield (
            "Calibration",
            plane(Plane("Calibration", told, "mean score", "share that is true", marks=marks, diagonal=True)),
        )
    yield from _of_values(found)


def _of(name: str) -> str:
    return f" of {name}" if name else ""


def _off(marks: Sequence[Mark]) -> int:
    return sum(
        mark.lower is not None and mark.upper is not None and not mark.lower <= mark.x <= mark.upper for mark in marks
    )


def _roc(name: str, curve: Curve) -> Markup:
    served = _served(curve.at, "false positives", "true positives")
    told = f"area {short(curve.area)}{f'; {served.said}' if served is not None else ''}"
    return plane(
        Plane(
            f"ROC{_of(name)}",
            told,
            "false positive rate",
            "true positive rate",
            [(point.x, point.y) for point in curve.points],
            band(curve.points, rising=True),
            served=served,
            diagonal=True,
        )
    )


def _precision_recall(name: str, curve: Curve) -> Markup:
    served = _served(curve.at, "recall", "precision")
    told = f"average precision {short(curve.area)}, knowing nothing {short(curve.chance or 0.0)}"
    told += f"; {served.said}" if served is not None else ""
    return plane(
        Plane(
            f"Precision and recall{_of(name)}",
            told,
            "recall",
            "precision",
            [(point.x, point.y) for point in curve.points],
            band(curve.points, rising=False),
            served=served,
            level=curve.chance,
        )
    )


def _served(at: Point | None, across: str, up: str) -> Mark | None:
    if at is None or at.threshold is None:
        return None
    said = f"at threshold {short(at.threshold)}: {across} {short(at.x)}, {up} {short(at.y)}"
    return Mark(at.x, at.y, said=said)


def _of_values(found: Curves) -> Iterator[Captioned]:
    """Yield the pictures of a regression."""
    if found.agreement:
        title, across = "Prediction and truth", "mean prediction"
        marks = [
            Mark(
                one.said,
                one.found,
                one.lower,
                one.upper,
                f"{short(one.said)} predicted, {short(one.found)} true, {one.n:,} rows",
            )
            for one in found.agreement
        ]
        told = f"{len(marks)} groups of rows, {_off(marks)} of them off the diagonal beyond their interval"
        yield title, plane(Plane(title, told, across, "mean truth", marks=marks, diagonal=True, unit=False))
    if found.residuals:
        marks = [
            Mark(
                one.said,
                one.median,
                one.low,
                one.high,
                f"predicted {short(one.said)}: 80 % of residuals from {short(one.low)} to {short(one.high)}, median "
                f"{short(one.median)}, {one.n:,} rows",
            )
            for one in found.residuals
        ]
        title, across = "Residuals", "mean prediction"
        told = "median and the middle 80 % of truth minus prediction, by groups of similar predictions"
        yield title, plane(Plane(title, told, across, "residual", marks=marks, level=0.0, unit=False))
    if found.spread is not None:
        yield "How large residuals are", bars("Residuals, truth minus prediction", *found.spread)


def importance(found: Importance | None) -> Iterator[Captioned]:
    """Yield the features that carry a model, where that was measured."""
    if found is not None and found.features:
        rows = [Interval(name, value, lower, upper) for name, value, lower, upper in carried(found)]
        caption = f"Rise of the {found.loss} when a feature's values change places, 95 % intervals"
        yield caption, intervals("Permutation importance", rows, 0.0)


def grouped(gate: str, found: Sequence[Compared]) -> Iterator[Captioned]:
    """Yield what a gate judged of groups, a picture for each quantity."""
    for one in found:
        rows = [Interval(each.label, each.value, each.lower, each.upper) for each in one.rates]
        yield f"{gate}: {one.quantity} by group", intervals(f"{one.quantity} by group", rows)
