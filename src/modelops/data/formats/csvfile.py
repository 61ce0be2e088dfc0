"""CSV as raw text columns: encoding, delimiter, header, batches, and an exact place for whatever is wrong."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv

from modelops.data.formats import Part
from modelops.data.formats.encodings import as_utf8, encoding_of
from modelops.data.formats.headers import names_of
from modelops.errors import Location, ModelOpsError, failure

__all__ = ["DELIMITERS", "Delimiter", "Form", "form_of", "raw_batches"]

Delimiter = Literal[",", ";", "\t", "|"]
DELIMITERS: tuple[Delimiter, ...] = (",", ";", "\t", "|")

_HEAD = 1 << 18
_BLOCK = 1 << 22
_LARGEST_BLOCK = 1 << 28
_SEPARATOR = re.compile(r"sep=([,;\t|])\s*", re.IGNORECASE)
_COMMENT = "#"
_FEW = 20
"""Rows below a first one that has too many fields, which show whether the header is what is wrong."""


@dataclass(slots=True)
class Form:
    """How a CSV file is written.

    ``before`` counts the lines above the header: a line ``sep=;`` as Excel writes it, and ``above`` comments.
    ``comments`` counts all lines that begin with ``#`` and are no rows, once the file was read.
    """

    delimiter: Delimiter
    names: tuple[str, ...]
    encoding: str = "utf-8"
    before: int = 0
    above: int = 0
    comments: int = field(default=0, compare=False)


def _bytes(part: Part, encoding: str) -> IO[bytes]:
    return as_utf8(part.open(), encoding)


def _head(part: Part, encoding: str) -> tuple[str, bool]:
    """Return the first characters of a file and whether that is all of it."""
    try:
        with _bytes(part, encoding) as stream:
            data = stream.read(_HEAD + 1)
    except UnicodeError as error:
        raise _not_in(part, encoding, error) from None
    if not data:
        raise failure("data-empty", f"{part.label} is empty", location=Location(part.label))
    if b"\0" in data:
        raise failure(
            "data-binary",
            f"{part.label} is a binary file, not CSV",
            location=Location(part.label),
            hint="export its table as CSV or Parquet",
        )
    return data[:_HEAD].decode("utf-8-sig", errors="replace"), len(data) <= _HEAD


def _not_in(part: Part, encoding: str, error: UnicodeError) -> ModelOpsError:
    return failure(
        "data-encoding",
        f"{part.label} is not in the encoding {encoding}: {error}",
        location=Location(part.label),
        hint="say another one with --encoding",
    )


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


def _lines_before(text: str) -> tuple[int, Delimiter | None, int, str]:
    """Return how many lines stand above the table, the delimiter that they say, how many are comments, and the rest."""
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    count = _blank(lines)
    said = None
    if matched := _SEPARATOR.fullmatch(lines[count].strip("\r\n") if count < len(lines) else ""):
        count, said = count + 1, next(each for each in DELIMITERS if each == matched[1])
    above = list(itertools.takewhile(lambda line: not line.strip() or line.startswith(_COMMENT), lines[count:]))
    comments = sum(line.startswith(_COMMENT) for line in above)
    rest = "".join(lines[count + len(above) :])
    if comments and not rest.strip():
        # Where every line begins so, none is a comment.
        return count, said, 0, "".join(lines[count:])
    return count + len(above), said, comments, rest


def _blank(lines: list[str]) -> int:
    return sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), lines))


def form_of(
    part: Part, delimiter: Delimiter | None = None, encoding: str | None = None, *, at_first: bool = False
) -> Form:
    """Find the encoding, the delimiter (that which splits most rows like the header, into most columns) and the header.

    Names in a line that begins with ``#`` are taken where the first row below has as many fields, and is no header.
    ``at_first`` reads as version 0.1.0 did, which knew no lines above the header.
    """
    encoding = encoding or encoding_of(part.open, part.label)
    text, whole = _head(part, encoding)
    before, said, comments, rest = (0, None, 0, text) if at_first else _lines_before(text)

    def fitness(candidate: Delimiter) -> tuple[float, int]:
        rows = [row for row in _rows(rest, candidate, whole) if not row[0].startswith(_COMMENT)]
        width = len(rows[0]) if rows else 0
        if width < 2:
            return 0.0, 0
        return sum(len(row) == width for row in rows) / len(rows), width

    asked = delimiter or said
    chosen: Delimiter = asked if asked is not None else max(DELIMITERS, key=fitness)
    rows = _rows(rest, chosen, whole)
    if comments and (commented := _names_in_comment(text, before, chosen, rows)) is not None:
        return Form(chosen, names_of(commented, part.label, before), encoding, before - 1, comments - 1)
    _require_columns(part, rows, before)
    if not rows:
        raise failure("data-empty", f"{part.label} holds no row", location=Location(part.label))
    names = names_of(rows[0], part.label, before + 1, at_first=at_first)
    return Form(chosen, names, encoding, before, comments)


def _require_columns(part: Part, rows: list[list[str]], before: int) -> None:
    """Refuse fields that are separated by blanks: how many there are between two is not said by such a file."""
    widths = {len(" ".join(row).split()) for row in rows}
    if len(rows) > 2 and all(len(row) == 1 for row in rows) and len(widths) == 1 and widths != {1}:
        raise failure(
            "delimiter-unknown",
            f"the fields of {part.label} seem to be separated by blanks, which are not read as such",
            location=Location(part.label, before + 1, 1),
            hint="write it with commas, semicolons or tabs between the fields",
        )


def _names_in_comment(text: str, before: int, delimiter: str, rows: list[list[str]]) -> list[str] | None:
    """Return the names in the last comment above a table whose first row has a number in it, and so is no header."""
    line = text.splitlines()[before - 1].lstrip(_COMMENT)
    names = next(csv.reader([line], delimiter=delimiter), [])
    numbers = rows and any(re.fullmatch(r"\s*[+-]?\d+([.,]\d+)?\s*", cell) for cell in rows[0])
    return names if rows and numbers and len(names) == len(rows[0]) > 1 else None


def raw_batches(part: Part, form: Form) -> Iterator[pa.RecordBatch]:
    """Read a file as text columns, as the texts stand there."""
    skipped: list[int] = []

    def outside(row: pa_csv.InvalidRow) -> str:
        if not (row.text or "").startswith(_COMMENT):
            return "error"
        skipped.append(1)
        return "skip"

    convert = pa_csv.ConvertOptions(column_types=dict.fromkeys(form.names, pa.string()), strings_can_be_null=False)
    parse = pa_csv.ParseOptions(delimiter=form.delimiter, newlines_in_values=True, invalid_row_handler=outside)
    size = part.path.stat().st_size if part.codec is None else _BLOCK
    block = min(_BLOCK, max(1 << 16, size + 1))
    last: pa.RecordBatch | None = None
    try:
        for batch in _blocks(part, form, parse, convert, block):
            yield batch
            last = batch if batch.num_rows else last
    except pa.ArrowInvalid as error:
        raise _diagnosis(part, form, str(error)) from None
    except UnicodeError as error:
        raise _not_in(part, form.encoding, error) from None
    except (OSError, EOFError) as error:
        raise failure(
            "data-unreadable", f"{part.label} cannot be read: {error}", location=Location(part.label)
        ) from None
    if last is not None and _ends_inside_quotes(last):
        problem = _scan(part, form)
        if problem is not None:
            raise problem
    form.comments = form.above + len(skipped)


def _blocks(
    part: Part, form: Form, parse: pa_csv.ParseOptions, convert: pa_csv.ConvertOptions, block: int
) -> Iterator[pa.RecordBatch]:
    plain = part.codec is None and form.encoding == "utf-8"
    read = pa_csv.ReadOptions(
        column_names=list(form.names),
        skip_rows=form.before,
        skip_rows_after_names=1,
        block_size=block,
        use_threads=not plain or part.path.stat().st_size > block,
    )
    done = False
    source = str(part.path) if plain else pa.PythonFile(_bytes(part, form.encoding), mode="r")
    try:
        reader = pa_csv.open_csv(source, read_options=read, parse_options=parse, convert_options=convert)
        for batch in reader:
            done = True
            yield batch
    except pa.ArrowInvalid as error:
        # A row longer than a block: read from the start with larger blocks, unless rows were handed out already.
        if "straddling" not in str(error) or done or block >= _LARGEST_BLOCK:
            raise
        yield from _blocks(part, form, parse, convert, block * 8)
    finally:
        if not isinstance(source, str):
            source.close()


def _ends_inside_quotes(batch: pa.RecordBatch) -> bool:
    return any("\n" in (column[-1].as_py() or "") for column in batch.columns)


def _diagnosis(part: Part, form: Form, message: str) -> ModelOpsError:
    """Return the error that names the first bad row; the fast reader only says that there is one."""
    found = _bad_encoding(part, form) or _scan(part, form)
    return found or failure(
        "data-unreadable", f"{part.label} is not readable as CSV: {message}", location=Location(part.label)
    )


def _bad_encoding(part: Part, form: Form) -> ModelOpsError | None:
    position, line = 0, 1
    with _bytes(part, form.encoding) as file:
        for data in file:
            try:
                data.decode()
            except UnicodeDecodeError as error:
                place = position + error.start
                return failure(
                    "data-encoding",
                    f"{part.label} is not UTF-8: byte 0x{data[error.start]:02X} at position {place} (line {line})",
                    location=Location(part.label, line, error.start + 1),
                    hint="say its encoding with --encoding, or save it as UTF-8",
                )
            position, line = position + len(data), line + 1
    return None


def _scan(part: Part, form: Form) -> ModelOpsError | None:
    width, number, line = len(form.names), 0, 1 + form.before
    with io.TextIOWrapper(_bytes(part, form.encoding), encoding="utf-8-sig", newline="") as file:
        for _ in range(form.before):
            file.readline()
        reader = csv.reader(file, delimiter=form.delimiter, strict=False)
        try:
            for row in reader:
                comment = row and row[0].startswith(_COMMENT)
                if row and len(row) != width and not comment:
                    alike = number == 1 and all(len(each) == len(row) for each in itertools.islice(reader, _FEW))
                    return failure(
                        "ragged-row",
                        f"row {number} of {part.label} has {len(row)} fields where the header has {width}",
                        location=Location(part.label, line, 1),
                        hint="put the names of the columns into the first line, which is not that of the rows below"
                        if alike
                        else "quote fields that hold the delimiter or a line break",
                    )
                number += bool(row) and not (comment and len(row) != width)
                start, line = line, reader.line_num + 1 + form.before
        except csv.Error as error:
            said = f"row {number} of {part.label}: {error}"
            return failure("ragged-row", said, location=Location(part.label, line, 1))
    return _unclosed(part, form, number - 1, start) if number else None


def _unclosed(part: Part, form: Form, number: int, line: int) -> ModelOpsError | None:
    with _bytes(part, form.encoding) as file:
        odd = sum(data.count(b'"') for data in file) % 2
    if not odd:
        return None
    return failure(
        "unclosed-quote",
        f"row {number} of {part.label} opens a quote that is never closed",
        location=Location(part.label, line, 1),
    )
