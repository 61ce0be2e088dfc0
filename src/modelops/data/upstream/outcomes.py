"""What a model's objective came to, as its data source has it, entered into the file that people review."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from pydantic import ValidationError

from modelops.clock import end_of_day
from modelops.data.acquire import Place
from modelops.data.reading import batches
from modelops.data.upstream.contracts import fetch_source
from modelops.errors import Exit, ModelOpsError, failure
from modelops.spec.kinds.data_source import DataSourceSpec
from modelops.spec.kinds.outcomes import Figure, OutcomesSpec, Series
from modelops.spec.layout import OUTCOMES
from modelops.spec.resource import Resource
from modelops.spec.yaml.dump import dump
from modelops.spec.yaml.edit import append

__all__ = ["Entered", "entered", "with_values"]


@dataclass(frozen=True, slots=True)
class Entered:
    """What a source has beyond the values that were entered before: ``new`` ones, and what else is to be said of it.

    ``other`` are values that were entered and that the source has otherwise now, with what it has; they stay as they
    were. ``skipped`` says which of its rows are no value.
    """

    new: tuple[Figure, ...]
    other: tuple[tuple[Figure, Figure], ...]
    skipped: tuple[str, ...]


def entered(
    series: Series, source: Resource[DataSourceSpec], known: Sequence[Figure], place: Place, now: datetime
) -> Entered:
    """Read what a source has of an objective, and hold it against what was entered before.

    Parameters
    ----------
    series : Series
        Which of its columns are the number, its period, interval and n.
    source : Resource
        The source, with ``spec.read``.
    known : sequence of Figure
        What was entered before, the oldest first.
    place : Place
        Where things are; the folder of the model is that of the data sources.
    now : datetime
        A period that is not over by then has no value yet.

    Raises
    ------
    ModelOpsError
        As ``fetch_source`` does; ``outcomes-columns`` where a column is not there, or of another type, and
        ``outcomes-row`` where a row contradicts itself or another, with exit 3.
    """
    folder, taken = fetch_source(source, place)
    types = {column.name: column.type for column in taken.columns}
    wrong = [said for name, column, wanted in _columns(series) if (said := _unlike(name, column, wanted, types))]
    if wrong:
        where = source.where("spec.read")
        said = f"the data source {source.name!r} has no such values: {'; '.join(wrong)}"
        raise failure("outcomes-columns", said, location=where, hint="name its columns in spec.objective.source")
    rows = pa.Table.from_batches(list(batches(folder, taken)))
    found: dict[str, Figure] = {}
    skipped = []
    for index, row in enumerate(rows.to_pylist(), start=1):
        until, value = row[series.until], row[series.value]
        if until is None or value is None or not math.isfinite(value):
            skipped.append(f"row {index} has no {'period' if until is None else 'value'}")
            continue
        figure = _figure(series, row, source, index)
        if end_of_day(figure.until) > now:
            skipped.append(f"row {index}: its period ends on {figure.until} and is not over")
        elif figure.until in found:
            raise _row(source, index, f"a period that ends on {figure.until} is there twice")
        else:
            found[figure.until] = figure
    before = {each.until: each for each in known}
    last = known[-1].until if known else ""
    late = [day for day in found if day < last and day not in before]
    skipped += [f"the period until {day} is older than the last value that was entered, and was not" for day in late]
    return Entered(
        tuple(found[day] for day in sorted(found) if day > last),
        tuple((one, found[day]) for day, one in before.items() if day in found and _differs(one, found[day])),
        tuple(skipped),
    )


def _columns(series: Series) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    number = ("number", "integer")
    yield "value", series.value, number
    yield "until", series.until, ("datetime",)
    for name, column, wanted in (
        ("since", series.since, ("datetime",)),
        ("lower", series.lower, number),
        ("upper", series.upper, number),
        ("n", series.n, ("integer",)),
    ):
        if column is not None:
            yield name, column, wanted


def _unlike(name: str, column: str, wanted: tuple[str, ...], types: Mapping[str, str]) -> str:
    if column not in types:
        return f"it has no column {column!r} ({name})"
    return "" if types[column] in wanted else f"{column!r} ({name}) is {types[column]}, not {wanted[0]}"


def _figure(series: Series, row: dict[str, object], source: Resource[DataSourceSpec], index: int) -> Figure:
    def day(column: str | None) -> str | None:
        moment = row[column] if column is not None else None
        return f"{moment:%Y-%m-%d}" if isinstance(moment, datetime) else None

    def number(column: str | None) -> float | None:
        value = row[column] if column is not None else None
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    many = number(series.n)
    lower, upper = number(series.lower), number(series.upper)
    try:
        return Figure(
            since=day(series.since), until=day(series.until) or "", value=number(series.value) or 0.0, lower=lower,
            upper=upper, level=series.level if lower is not None else None, n=None if many is None else int(many),
        )  # fmt: skip
    except ValidationError as error:
        raise _row(source, index, error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _row(source: Resource[DataSourceSpec], index: int, why: str) -> ModelOpsError:
    said = f"row {index} of the data source {source.name!r} cannot be: {why}"
    return failure("outcomes-row", said, exit=Exit.FILES, location=source.where("spec.read"), hint="mend the source")


def _differs(one: Figure, other: Figure) -> bool:
    return (one.value, one.lower, one.upper, one.n) != (other.value, other.lower, other.upper, other.n)


def with_values(model: str, document: bytes | None, new: Sequence[Figure]) -> bytes:
    """Return the file of a model's outcomes with new values at its end; what was there stays as it is, to the byte."""
    path = OUTCOMES.path(model)
    if document is None:
        return dump("Outcomes", model, OutcomesSpec(values=tuple(new)), path=path)
    for each in new:
        document = append(document, "spec.values", each.model_dump(by_alias=True, exclude_defaults=True), path)
    return document
