"""Workbooks of spreadsheets: one sheet is a table whose first row has the names."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

import pyarrow as pa

from modelops.data.formats import Part
from modelops.data.formats.headers import names_of
from modelops.data.formats.streams import MEMORY_BYTES
from modelops.errors import Exit, Location, failure

__all__ = ["batches_of", "schema_of", "sheet_of"]

_ROWS = 1 << 16
Cells = list[list[Any]]


def sheet_of(part: Part, asked: str | None) -> str:
    """Return the name of the sheet that is read: the one that is asked for, else the only one with cells."""
    import python_calamine as calamine

    workbook = _workbook(part)
    if asked is not None:
        if asked in workbook.sheet_names:
            return asked
        shown = ", ".join(map(repr, workbook.sheet_names))
        said = f"{part.label} has no sheet {asked!r}"
        raise failure("unknown-sheet", said, exit=Exit.USAGE, location=Location(part.label), hint=f"it has {shown}")
    tables = [each for each in workbook.sheets_metadata if each.typ == calamine.SheetTypeEnum.WorkSheet]
    filled = [each.name for each in tables if workbook.get_sheet_by_name(each.name).total_height > 0]
    if not filled:
        raise failure("data-empty", f"{part.label} holds no cell", location=Location(part.label))
    if len(filled) > 1:
        raise failure(
            "ambiguous-sheet",
            f"{part.label} has {len(filled)} sheets with cells: {', '.join(map(repr, filled[:10]))}",
            location=Location(part.label),
            hint="say which one with --sheet",
        )
    return str(filled[0])


def _workbook(part: Part) -> Any:
    """Open a workbook whose unpacked size is within what memory is meant for."""
    import python_calamine as calamine

    try:
        with part.whole() as file:
            data = file.read()
        if zipfile.is_zipfile(io.BytesIO(data)):
            _require_small(part, data)
        return calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    except calamine.PasswordError:
        said = f"{part.label} is protected by a password"
        raise failure("data-unreadable", said, location=Location(part.label), hint="save it without one") from None
    except (calamine.CalamineError, zipfile.BadZipFile, OSError, struct.error, zlib.error) as error:
        said = f"{part.label} is not a whole workbook: {error}"
        raise failure("data-unreadable", said, location=Location(part.label)) from None


def _require_small(part: Part, data: bytes) -> None:
    """Refuse what unpacks to more than memory is meant for; counted, as an archive may say less."""
    total = 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            total += max(info.file_size, _unpacks_to(data, info, MEMORY_BYTES - total))
            if total > MEMORY_BYTES:
                raise failure(
                    "data-too-large",
                    f"{part.label} unpacks to more than {MEMORY_BYTES:,} bytes",
                    location=Location(part.label),
                    hint="export the sheet as CSV or Parquet",
                )


def _unpacks_to(data: bytes, info: zipfile.ZipInfo, limit: int) -> int:
    """Return how many bytes a member becomes, or some number above the limit."""
    if info.compress_type != zipfile.ZIP_DEFLATED:
        return info.file_size
    names, extra = struct.unpack("<HH", data[info.header_offset + 26 : info.header_offset + 30])
    start = info.header_offset + 30 + names + extra
    packed, unpack, total = data[start : start + info.compress_size], zlib.decompressobj(-15), 0
    while packed and total <= limit and not unpack.eof:
        total += len(unpack.decompress(packed, 1 << 20))
        packed = unpack.unconsumed_tail
    return total


@lru_cache(maxsize=1)
def _cells(part: Part, sheet: str, stamp: tuple[int, int]) -> Cells:
    rows: Cells = _workbook(part).get_sheet_by_name(sheet).to_python(skip_empty_area=True)
    return [row for row in rows if any(cell != "" for cell in row)]


def _table(part: Part, sheet: str) -> pa.Table:
    stat = part.path.stat()
    rows = _cells(part, sheet, (stat.st_mtime_ns, stat.st_size))
    if not rows:
        raise failure("data-empty", f"the sheet {sheet!r} of {part.label} holds no cell", location=Location(part.label))
    names = names_of([_spelt(cell) for cell in rows[0]], f"{part.label} ({sheet})")
    columns = [_column([row[index] for row in rows[1:]]) for index in range(len(names))]
    return pa.table(columns, names=list(names)) if rows[1:] else pa.table({name: pa.nulls(0) for name in names})


def schema_of(part: Part, sheet: str) -> pa.Schema:
    """Return the columns of a sheet; what holds cells of several types is text."""
    return _table(part, sheet).schema


def batches_of(part: Part, sheet: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some columns."""
    yield from _table(part, sheet).select(list(columns)).to_batches(max_chunksize=_ROWS)


def _column(cells: list[Any]) -> pa.Array:
    values = [None if cell == "" else cell for cell in cells]
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.nulls(len(values))
    if kinds <= {int, float}:
        whole = all(value is None or (float(value).is_integer() and abs(value) < 1 << 53) for value in values)
        return pa.array([None if v is None else int(v) if whole else float(v) for v in values])
    if kinds == {bool}:
        return pa.array(values)
    if kinds <= {date, datetime}:
        return pa.array([_midnight(value) for value in values], pa.timestamp("us"))
    return pa.array([None if value is None else _spelt(value) for value in values], pa.string())


def _midnight(value: date | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day)


def _spelt(cell: Any) -> str:
    """Return what an export of the sheet as CSV would say."""
    match cell:
        case bool():
            return "TRUE" if cell else "FALSE"
        case float() if cell.is_integer() and abs(cell) < 1 << 53:
            return str(int(cell))
        case datetime() | date() | time():
            return cell.isoformat()
        case timedelta():
            return str(cell)
        case _:
            return str(cell)
