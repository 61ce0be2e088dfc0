"""The rows of a file as records of a model's inputs, read as the rows were that the model was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from modelops.artifacts import Input
from modelops.data.columns import ColumnForm, converted
from modelops.data.numbers import Decimal
from modelops.data.tables import Asked, Opening, RawTable, infer, open_table, typed
from modelops.data.texts import USUAL
from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.serving.offers.records import records_of
from modelops.spec.texts.reading import TextReading

__all__ = ["Inputs", "Part", "Said", "parts"]

Record = dict[str, Any]


@dataclass(frozen=True)
class Inputs:
    """What a model takes: its inputs in order, how texts are read, and how dates are written where that is known."""

    features: tuple[Input, ...]
    text: TextReading | None = None
    formats: Mapping[str, str | None] | None = None


@dataclass(frozen=True)
class Part:
    """Some consecutive rows of a file: the model's inputs as records, and the whole rows as they were read."""

    first: int
    records: Sequence[Record]
    rows: pa.RecordBatch | Sequence[Record]


@dataclass(frozen=True)
class Said:
    """What a person says of a file: its decimal mark, the encoding of its text, and the sheet of a workbook."""

    decimal: Decimal | None = None
    encoding: str | None = None
    sheet: str | None = None


def parts(file: Path, inputs: Inputs, said: Said = Said()) -> Iterator[Part]:
    """Yield the rows of a CSV, Parquet or JSON file in order; the kind of file is told by its name.

    A column that the model takes and the file has not is an error, and so is a value that its type cannot hold.
    """
    if file.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        yield from _json_parts(file, inputs)
        return
    text = inputs.text or USUAL
    opening = Opening(text, encoding=said.encoding, sheet=said.sheet)
    table = open_table(file.parent, [(file.name, file.stat().st_size)], opening)
    if said.sheet is not None and not table.sheets:
        what = f"--sheet {said.sheet!r}: {file.name} is no workbook"
        raise failure("unknown-sheet", what, exit=Exit.USAGE, location=Location(str(file)), hint="leave it out")
    _require(file, inputs, table.names)
    forms = _forms(table, inputs, said.decimal)
    first = 1
    for chunk in table.chunks():
        arrays = typed(chunk, forms)
        columns = {name: _plain(array) for name, array in zip(forms, arrays, strict=True)}
        records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        yield Part(first, records, chunk.batch)
        first += len(records)


def _forms(table: RawTable, inputs: Inputs, decimal: Decimal | None) -> dict[str, ColumnForm]:
    """Return the form of each input: the type that the model takes, written as its snapshot had it where that fits."""
    types = {feature.name: feature.type for feature in inputs.features}
    formats = inputs.formats or {}
    guessed = infer(table, Asked(types=types, decimal=decimal, formats=formats))
    forms = {}
    for name, kind in types.items():
        known = ColumnForm(kind, formats.get(name))
        fits = known.format is not None and all(
            converted(chunk.batch.column(name), known) is not None for chunk in table.chunks()
        )
        forms[name] = known if fits and decimal is None else guessed[name]
    return forms


def _plain(array: pa.Array) -> list[Any]:
    """Return values as JSON has them; dates as ISO 8601."""
    values: list[Any] = array.to_pylist()
    return [value.isoformat() if isinstance(value, datetime) else value for value in values]


def _json_parts(file: Path, inputs: Inputs) -> Iterator[Part]:
    rows = _json_rows(file)
    names = dict.fromkeys(name for row in rows for name in row)
    if rows:
        _require(file, inputs, list(names))
    wanted = {feature.name for feature in inputs.features}
    yield Part(1, [{name: value for name, value in row.items() if name in wanted} for row in rows], rows)


def _json_rows(file: Path) -> list[Record]:
    line = 1
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".json":
            return records_of(json.loads(text, parse_constant=_no_number))
        rows = []
        for number, each in enumerate(text.split("\n"), 1):
            line = number
            if each.strip():
                rows += records_of(json.loads(each, parse_constant=_no_number))
        return rows
    except UnicodeDecodeError:
        raise _unreadable(file, 0, "is not UTF-8") from None
    except OSError as error:
        raise _unreadable(file, 0, f"cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        at = error.lineno if file.suffix.lower() == ".json" else line
        raise _unreadable(file, at, f"is not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise _unreadable(file, line, f"is not JSON: {error}") from None
    except ModelOpsError as error:
        raise _unreadable(file, line, f"holds no records: {error.first.message}") from None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no value of JSON; a missing value is null")


def _unreadable(file: Path, line: int, what: str) -> ModelOpsError:
    return failure("data-unreadable", f"{file.name} {what}", location=Location(str(file), line, 1 if line else 0))


def _require(file: Path, inputs: Inputs, names: Sequence[str]) -> None:
    """See that a file has every input of the model."""
    for feature in inputs.features:
        if feature.name in names:
            continue
        near = get_close_matches(feature.name, names, n=1)
        raise failure(
            "missing-column",
            f"{file.name} has no column {feature.name!r}, which the model takes",
            exit=Exit.FILES,
            location=Location(str(file)),
            hint=f"it has {near[0]!r}" if near else f"its columns are {', '.join(names[:12])}",
        )
