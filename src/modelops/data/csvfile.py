"""CSV as raw text columns: delimiter, header, batches, and an exact place for whatever is wrong."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from modelops.errors import Location, ModelOpsError, failure

__all__ = ["DELIMITERS", "MISSING", "Delimiter", "Form", "form_of", "raw_batches"]

Delimiter = Literal[",", ";", "\t", "|"]
DELIMITERS: tuple[Delimiter, ...] = (",", ";", "\t", "|")
MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null", "?"),
)
"""Spellings of a missing value: those of pandas, and the question mark of many public data sets."""

_HEAD = 1 << 18
_BLOCK = 1 << 22
_LARGEST_BLOCK = 1 << 28


@dataclass(frozen=True, slots=True)
class Form:
    """How a CSV file is written: its delimiter and the names in its header."""

    delimiter: Delimiter
    names: tuple[str, ...]


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _head(path: Path, label: str) -> tuple[str, bool]:
    """Return the first characters of a file and whether that is all of it."""
    try:
        with _open(path) as file:
            data = file.read(_HEAD + 1)
    except (gzip.BadGzipFile, EOFError) as error:
        raise failure(
            "data-truncated", f"{label} is not a whole gzip file: {error}", location=Location(label)
        ) from None
    if not data:
        raise failure("data-empty", f"{label} is empty", location=Location(label))
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise failure(
            "data-encoding", f"{label} is UTF-16, not UTF-8", location=Location(label), hint="save it as UTF-8"
        )
    if b"\0" in data:
        raise failure("data-binary", f"{label} is a binary file, not CSV", location=Location(label))
    return data[:_HEAD].decode("utf-8-sig", errors="replace"), len(data) <= _HEAD


def _rows(text: str, delimiter: str, whole: bool) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > 50:
                return rows
    except csv.Error:
        return rows
    return rows if whole else rows[: max(1, len(rows) - 1)]


def form_of(path: Path, label: str, delimiter: Delimiter | None = None) -> Form:
    """Find the delimiter (that which splits most rows like the header, into most columns) and read the header.

    ``label`` is what errors call the file. A header cell without a name is called ``column_<position>``.
    """
    text, whole = _head(path, label)

    def fitness(candidate: Delimiter) -> tuple[float, int]:
        rows = _rows(text, candidate, whole)
        width = len(rows[0]) if rows else 0
        if width < 2:
            return 0.0, 0
        return sum(len(row) == width for row in rows) / len(rows), width

    chosen: Delimiter = delimiter if delimiter is not None else max(DELIMITERS, key=fitness)
    rows = _rows(text, chosen, whole)
    if not rows:
        raise failure("data-empty", f"{label} holds no row", location=Location(label))
    header = [cell.strip() for cell in rows[0]]
    if all(_is_number(cell) for cell in header):
        raise failure(
            "header-missing",
            f"the first row of {label} holds only numbers, so it is no header: {', '.join(header[:5])}",
            location=Location(label, 1, 1),
            hint="add a first row with the names of the columns",
        )
    names = [cell or f"column_{index}" for index, cell in enumerate(header, start=1)]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise failure(
                "duplicate-column",
                f"two columns of {label} are called {name!r} (columns {names.index(name) + 1} and {index + 1})",
                location=Location(label, 1, 1),
                hint="rename one of them",
            )
    return Form(chosen, tuple(names))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def raw_batches(path: Path, label: str, form: Form) -> Iterator[pa.RecordBatch]:
    """Read a file as text columns, surrounding blanks removed and every spelling of missing as null."""
    missing = [before + token + after for token in MISSING for before in ("", " ") for after in ("", " ")]
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(form.names, pa.string()),
        null_values=missing,
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    parse = pa_csv.ParseOptions(delimiter=form.delimiter, newlines_in_values=True)
    size = path.stat().st_size
    block = min(_BLOCK, max(1 << 16, size + 1))
    last: pa.RecordBatch | None = None
    try:
        for batch in _blocks(path, form, parse, convert, block):
            yield _stripped(batch)
            last = batch if batch.num_rows else last
    except pa.ArrowInvalid as error:
        raise _diagnosis(path, label, form, str(error)) from None
    except (OSError, EOFError) as error:
        raise failure("data-unreadable", f"{label} cannot be read: {error}", location=Location(label)) from None
    if last is not None and _ends_inside_quotes(last):
        problem = _scan(path, label, form)
        if problem is not None:
            raise problem


def _blocks(
    path: Path, form: Form, parse: pa_csv.ParseOptions, convert: pa_csv.ConvertOptions, block: int
) -> Iterator[pa.RecordBatch]:
    read = pa_csv.ReadOptions(
        column_names=list(form.names),
        skip_rows_after_names=1,
        block_size=block,
        use_threads=path.stat().st_size > block,
    )
    done = False
    try:
        reader = pa_csv.open_csv(path, read_options=read, parse_options=parse, convert_options=convert)
        for batch in reader:
            done = True
            yield batch
    except pa.ArrowInvalid as error:
        # A row longer than a block: read from the start with larger blocks, unless rows were handed out already.
        if "straddling" not in str(error) or done or block >= _LARGEST_BLOCK:
            raise
        yield from _blocks(path, form, parse, convert, block * 8)


def _stripped(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = []
    for column in batch.columns:
        stripped = pc.ascii_trim_whitespace(column)
        shortest = pc.min(pc.binary_length(stripped)).as_py()
        columns.append(pc.if_else(pc.equal(stripped, ""), None, stripped) if shortest == 0 else stripped)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _ends_inside_quotes(batch: pa.RecordBatch) -> bool:
    return any("\n" in (column[-1].as_py() or "") for column in batch.columns)


def _diagnosis(path: Path, label: str, form: Form, message: str) -> ModelOpsError:
    """Return the error that names the first bad row; the fast reader only says that there is one."""
    found = _bad_encoding(path, label) or _scan(path, label, form)
    return found or failure("data-unreadable", f"{label} is not readable as CSV: {message}", location=Location(label))


def _bad_encoding(path: Path, label: str) -> ModelOpsError | None:
    position, line = 0, 1
    with _open(path) as file:
        for data in file:
            try:
                data.decode()
            except UnicodeDecodeError as error:
                place = position + error.start
                return failure(
                    "data-encoding",
                    f"{label} is not UTF-8: byte 0x{data[error.start]:02X} at position {place} (line {line})",
                    location=Location(label, line, error.start + 1),
                    hint="save it as UTF-8, for example with: iconv -f latin1 -t utf-8",
                )
            position, line = position + len(data), line + 1
    return None


def _scan(path: Path, label: str, form: Form) -> ModelOpsError | None:
    width, number, line = len(form.names), 0, 1
    with io.TextIOWrapper(_open(path), encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=form.delimiter, strict=False)
        try:
            for row in reader:
                if row and len(row) != width:
                    return failure(
                        "ragged-row",
                        f"row {number} of {label} has {len(row)} fields where the header has {width}",
                        location=Location(label, line, 1),
                        hint="quote fields that hold the delimiter or a line break",
                    )
                number += bool(row)
                start, line = line, reader.line_num + 1
        except csv.Error as error:
            return failure("ragged-row", f"row {number} of {label}: {error}", location=Location(label, line, 1))
    return _unclosed(path, label, number - 1, start) if number else None


def _unclosed(path: Path, label: str, number: int, line: int) -> ModelOpsError | None:
    with _open(path) as file:
        odd = sum(data.count(b'"') for data in file) % 2
    if not odd:
        return None
    return failure(
        "unclosed-quote",
        f"row {number} of {label} opens a quote that is never closed",
        location=Location(label, line, 1),
    )
