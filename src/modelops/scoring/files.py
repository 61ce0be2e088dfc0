"""A file through a model: read in parts, answered, and written as a file of the same rows with their predictions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from modelops.errors import Exit, Location, failure
from modelops.files import replacing
from modelops.scoring.answers import Answering, Kind
from modelops.scoring.rows import Part, Record, Said, parts

__all__ = ["SUFFIXES", "Scored", "score", "score_into"]

Write = Callable[[Part, Sequence[Record]], None]
SUFFIXES = (".csv", ".parquet", ".json", ".jsonl", ".ndjson")
"""Forms in which answers are written."""
_ARROW: Mapping[Kind, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
}


@dataclass
class Scored:
    """What came of a file: rows, and how many of them each release answered."""

    rows: int = 0
    releases: Counter[int] = field(default_factory=Counter)
    written: Path | None = None


def score(file: Path, out: Path, answering: Answering, *, only: bool = False, said: Said = Said()) -> Scored:
    """Write the answers to a file; it is there whole or not at all."""
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        hint = f"end its name in one of {', '.join(SUFFIXES)}"
        raise failure("bad-output-file", f"{out} is of no form that is written", exit=Exit.USAGE, hint=hint)
    if out.exists() and out.samefile(file):
        what = f"{out} is the file that is read"
        raise failure("bad-output-file", what, exit=Exit.USAGE, hint="write to another one")
    try:
        with replacing(out.parent, out.name) as (opened, commit):
            found = score_into(file, opened, suffix, answering, only=only, said=said)
            commit(out)
    except OSError as error:
        message = f"{out} cannot be written: {error.strerror}"
        raise failure("unwritable", message, exit=Exit.WORLD, hint="choose another path") from None
    found.written = out
    return found


def score_into(
    file: Path,
    opened: BinaryIO | IO[bytes],
    suffix: str,
    answering: Answering,
    *,
    only: bool = False,
    said: Said = Said(),
) -> Scored:
    """Write the answers to an open file in the form of a suffix; with ``only`` without the columns of the file."""
    scored = Scored()
    with _writing(opened, suffix, answering.fields, file, only=only) as write:
        for part in parts(file, answering.inputs, said):
            answers = answering.answer(part)
            write(part, answers)
            scored.rows += len(answers)
            scored.releases.update(answer["release"] for answer in answers)
    return scored


@contextmanager
def _writing(
    opened: BinaryIO | IO[bytes], suffix: str, fields: Mapping[str, Kind], file: Path, *, only: bool
) -> Iterator[Write]:
    if suffix in (".csv", ".parquet"):
        yield from _as_table(opened, suffix, fields, file, only=only)
    else:
        yield from _as_json(opened, suffix, fields, file, only=only)


def _clash(fields: Mapping[str, Kind], names: Sequence[str], file: Path) -> None:
    taken = next((name for name in names if name in fields), None)
    if taken is not None:
        raise failure(
            "column-taken",
            f"{file.name} has a column {taken!r} already, which is the name of an answer",
            location=Location(str(file)),
            hint="rename it, or pass --only for the answers alone",
        )


def _as_table(
    opened: BinaryIO | IO[bytes], suffix: str, fields: Mapping[str, Kind], file: Path, *, only: bool
) -> Iterator[Write]:
    told = [pa.field(name, _ARROW[kind]) for name, kind in fields.items()]
    writer: Any = None

    def write(part: Part, answers: Sequence[Record]) -> None:
        nonlocal writer
        batch = _batch(part, file) if not only else None
        if batch is not None:
            _clash(fields, batch.schema.names, file)
        arrays = [*(batch.columns if batch is not None else ())]
        arrays += [pa.array([answer[each.name] for answer in answers], each.type) for each in told]
        schema = pa.schema([*(batch.schema if batch is not None else ()), *told])
        if writer is None:
            made = pc.CSVWriter if suffix == ".csv" else pq.ParquetWriter
            writer = made(opened, schema)
        table = pa.Table.from_arrays(arrays, schema=schema)
        writer.write_table(table.cast(writer.schema) if suffix == ".parquet" else table)

    yield write
    if writer is None:
        # A file without rows has at least the names.
        writer = (pc.CSVWriter if suffix == ".csv" else pq.ParquetWriter)(opened, pa.schema(told))
    writer.close()


def _batch(part: Part, file: Path) -> pa.RecordBatch:
    """Return the whole rows of a part as columns that a table can be written of."""
    if isinstance(part.rows, pa.RecordBatch):
        rows = part.rows
    else:
        names = dict.fromkeys(name for row in part.rows for name in row)
        try:
            arrays = [pa.array([row.get(name) for row in part.rows]) for name in names]
        except (pa.ArrowException, OverflowError) as error:
            said = f"{file.name} has values that no column holds: {str(error).splitlines()[0]}"
            raise failure("value-type", said, hint="pass --only, or write the answers as JSON") from None
        rows = pa.RecordBatch.from_arrays(arrays, names=list(names))
    columns = [column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in rows.columns]
    return pa.RecordBatch.from_arrays(columns, names=rows.schema.names)


def _as_json(
    opened: BinaryIO | IO[bytes], suffix: str, fields: Mapping[str, Kind], file: Path, *, only: bool
) -> Iterator[Write]:
    listed = suffix == ".json"
    begun = False

    def write(part: Part, answers: Sequence[Record]) -> None:
        nonlocal begun
        rows = part.rows.to_pylist() if isinstance(part.rows, pa.RecordBatch) else part.rows
        if not only and rows:
            _clash(fields, list(dict.fromkeys(name for row in rows for name in row)), file)
        for row, answer in zip(rows, answers, strict=True):
            text = json.dumps(answer if only else {**row, **answer}, ensure_ascii=False, default=_shown)
            before = (",\n" if begun else "[\n") if listed else ""
            opened.write(f"{before}{text}{'' if listed else chr(10)}".encode())
            begun = True

    yield write
    if listed:
        opened.write(b"\n]\n" if begun else b"[]\n")


def _shown(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
