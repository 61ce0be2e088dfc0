"""The files of a snapshot as one table: agreement between files, raw batches, and typed batches."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from modelops.data.columns import (
    ColumnForm,
    Guess,
    arrow_feature_type,
    as_asked,
    converted,
    first_unfit,
    with_missing,
)
from modelops.data.dates import may_be_dates, timely
from modelops.data.formats import Format, Part, columnar, csvfile, jsonrows, parts_of, sheets
from modelops.data.formats.csvfile import Delimiter, Form
from modelops.data.formats.encodings import encoding_of, known_encoding
from modelops.data.formats.folders import held_by, with_columns
from modelops.data.numbers import Decimal, Dress, Shape, decimal_mark, require_agreed
from modelops.data.texts import USUAL, is_text, read_texts
from modelops.errors import Location, ModelOpsError, failure
from modelops.spec.meta import FeatureType
from modelops.spec.texts.reading import TextReading, written_as

__all__ = ["Asked", "Chunk", "Opening", "RawTable", "infer", "open_table", "typed"]

CHUNK_ROWS = 1 << 16
IN_MEMORY_BYTES = 128 << 20


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows, as read, and which rows of which file they are: (file, first row from 1, rows)."""

    batch: pa.RecordBatch
    parts: tuple[tuple[str, int, int], ...]

    def where(self, index: int) -> tuple[str, int]:
        """Return the file and its row (from 1, the header not counted) of a row of this chunk."""
        for path, first, rows in self.parts:
            if index < rows:
                return path, first + index
            index -= rows
        return self.parts[-1][0], self.parts[-1][1] + self.parts[-1][2]


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known of files before they are opened: by a person, or by the snapshot that pins them.

    ``encodings`` are those of a snapshot, by file, in which the others are UTF-8; ``encoding_before`` is that of an
    earlier snapshot, which counts where the bytes do not tell. ``at_first`` reads as version 0.1.0 did.
    """

    text: TextReading = USUAL
    delimiter: Delimiter | None = None
    encodings: Mapping[str, str] | None = None
    encoding: str | None = None
    encoding_before: str | None = None
    sheet: str | None = None
    at_first: bool = False


@dataclass
class RawTable:
    """Files that agree on their columns; iterating reads them, again each time unless they are small enough to keep.

    ``missing_as`` counts by column the words that the last reading of all columns took for missing. ``unread`` are
    columns of values that no feature type can hold, with the reason; they are not among the ``names``. ``others`` are
    members of archives that are no tables. ``folders`` are the values that are in the names of folders, by table.
    """

    folder: Path
    format: Format
    parts: tuple[Part, ...]
    names: tuple[str, ...]
    forms: Mapping[str, Form]
    declared: Mapping[str, FeatureType]
    size: int
    text: TextReading
    sheets: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    folders: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    missing_as: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter), repr=False)
    _kept: list[Chunk] | None = field(default=None, repr=False)

    @property
    def paths(self) -> tuple[str, ...]:
        """What errors call the tables."""
        return tuple(part.label for part in self.parts)

    @property
    def delimiter(self) -> Delimiter:
        """The field delimiter of the CSV files."""
        return self.forms[self.paths[0]].delimiter if self.forms else ","

    @property
    def encodings(self) -> dict[str, str]:
        """The encodings of the CSV files that are not UTF-8."""
        return {label: form.encoding for label, form in self.forms.items() if form.encoding != "utf-8"}

    @property
    def comments(self) -> int:
        """Lines of the CSV files that are comments and no rows, as far as the files were read."""
        return sum(form.comments for form in self.forms.values())

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        """Yield the rows of all files in order, in chunks of about 65,536."""
        if self._kept is None and self.size <= IN_MEMORY_BYTES and columns is None:
            self._kept = list(_coalesced(self._parts(None), self.names))
        if self._kept is not None:
            yield from self._kept
            return
        yield from _coalesced(self._parts(columns), tuple(columns) if columns is not None else self.names)

    def _parts(self, columns: Sequence[str] | None) -> Iterator[tuple[str, pa.RecordBatch]]:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        if columns is None:
            self.missing_as = counts
        for part in self.parts:
            for batch in self._batches(part, self.names if columns is None else columns):
                yield part.label, read_texts(batch, self.text, counts)

    def _batches(self, part: Part, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        held = self.folders.get(part.label, {})
        for batch in self._read(part, [name for name in columns if name not in held]):
            yield with_columns(batch, {name: held[name] for name in columns if name in held})

    def _read(self, part: Part, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        match self.format:
            case "csv":
                return csvfile.raw_batches(part, self.forms[part.label])
            case "json":
                return jsonrows.batches_of(part, columns)
            case "excel":
                return sheets.batches_of(part, self.sheets[part.label], columns)
            case _:
                return columnar.batches_of(part, columns)

    def release(self) -> None:
        """Forget rows that were kept in memory."""
        self._kept = None


def open_table(folder: Path, files: Iterable[tuple[str, int]], opening: Opening = Opening()) -> RawTable:
    """Open (path, size) files as one table; a file that disagrees with the others is named.

    Folders called ``year=2024`` hold a column in their names.
    """
    table = _opened(folder, files, opening)
    held = {part.label: held_by(part.label) for part in table.parts} if not opening.at_first else {}
    names = [name for values in held.values() for name in values]
    if not names:
        return table
    twice = next((name for name in names if name in (*table.names, *table.unread)), None)
    if twice is not None or len({tuple(values) for values in held.values()}) > 1:
        odd = next((label for label, values in held.items() if tuple(values) != tuple(dict.fromkeys(names))), "")
        what = f"{twice!r} is a column and in the names of folders" if twice else "not all files lie in such folders"
        where = odd or table.paths[0]
        raise failure("schema-mismatch", f"{where}: {what}", location=Location(where), hint="write it into the files")
    table.names, table.folders = (*table.names, *dict.fromkeys(names)), held
    return table


def _opened(folder: Path, files: Iterable[tuple[str, int]], opening: Opening) -> RawTable:
    listed = tuple(files)
    if not listed:
        raise failure("data-missing", f"{folder} holds no file of data")
    found = [parts_of(folder, path) for path, _ in listed]
    parts, others = tuple(part for some, _ in found for part in some), tuple(name for _, some in found for name in some)
    formats = Counter(part.format for part in parts)
    if len(formats) > 1:
        common, _ = formats.most_common(1)[0]
        odd = next(part for part in parts if part.format != common)
        raise failure(
            "schema-mismatch",
            f"{odd.label} is {odd.format}, the other files are {common}",
            location=Location(odd.label),
        )
    format, size = parts[0].format, sum(size for _, size in listed)
    if any(part.codec is not None for part in parts):
        size = IN_MEMORY_BYTES + 1 if size * 10 > IN_MEMORY_BYTES else size
    if format == "csv":
        forms = _forms(parts, opening)
        names = _agreed({label: form.names for label, form in forms.items()})
        return RawTable(folder, format, parts, names, forms, {}, size, opening.text, others=others)
    chosen = {part.label: sheets.sheet_of(part, opening.sheet) for part in parts} if format == "excel" else {}
    schemas = {part.label: _schema(part, chosen.get(part.label)) for part in parts}
    names = _agreed({label: tuple(schema.names) for label, schema in schemas.items()}, lacking=format == "json")
    schemas = {label: _completed(schema, names) for label, schema in schemas.items()}
    unread = _unread(names, schemas)
    names = tuple(name for name in names if name not in unread)
    if not names:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(unread.items())[:5])
        raise failure("column-type", f"no column of {parts[0].label} can be read: {reasons}")
    declared = _declared(names, schemas)
    return RawTable(folder, format, parts, names, {}, declared, size, opening.text, chosen, unread, others)


def _forms(parts: Iterable[Part], opening: Opening) -> dict[str, Form]:
    forms, delimiter = {}, opening.delimiter
    for part in parts:
        encoding = known_encoding(opening.encoding) if opening.encoding is not None else None
        if encoding is None and opening.encodings is not None:
            encoding = opening.encodings.get(part.label, "utf-8")
        if encoding is None and opening.encoding_before is not None:
            encoding = _as_before(part, opening.encoding_before)
        forms[part.label] = csvfile.form_of(part, delimiter, encoding, at_first=opening.at_first)
        delimiter = delimiter or forms[part.label].delimiter
    return forms


def _as_before(part: Part, before: str) -> str:
    """Return the encoding of a text: what its bytes say for sure, else that of the files before."""
    try:
        found = encoding_of(part.open, part.label)
    except ModelOpsError as error:
        if error.first.code != "data-encoding":
            raise
        return before
    return before if found == "cp1252" else found


def _schema(part: Part, sheet: str | None) -> pa.Schema:
    if part.format == "json":
        return jsonrows.schema_of(part)
    return columnar.schema_of(part) if sheet is None else sheets.schema_of(part, sheet)


def _completed(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Return a schema with the columns that only other files have, which are missing in it."""
    for name in names:
        if name not in schema.names:
            schema = schema.append(pa.field(name, pa.null()))
    return schema


def _agreed(names: Mapping[str, tuple[str, ...]], *, lacking: bool = False) -> tuple[str, ...]:
    """Return the columns that most files have; a file with other columns is an error, another order is not.

    Where values may be ``lacking``, as in JSON, the columns are those of all files.
    """
    common, _ = Counter(names.values()).most_common(1)[0]
    if lacking:
        return tuple(dict.fromkeys([*common, *(name for found in names.values() for name in found)]))
    for path, found in names.items():
        if set(found) == set(common):
            continue
        lacks, adds = sorted(set(common) - set(found)), sorted(set(found) - set(common))
        said = [f"lacks {', '.join(lacks[:5])}"] if lacks else []
        said += [f"adds {', '.join(adds[:5])}"] if adds else []
        raise failure(
            "schema-mismatch",
            f"{path} differs from the other files: it {' and '.join(said)}",
            location=Location(path, 1, 1),
        )
    return common


def _unread(names: Sequence[str], schemas: Mapping[str, pa.Schema]) -> dict[str, str]:
    """Return the columns that hold what no feature type can, each with the reason."""
    found = {}
    for name in names:
        kinds = [schema.field(name).type for schema in schemas.values()]
        odd = next((kind for kind in kinds if arrow_feature_type(kind) is None), None)
        if odd is not None:
            shown = "objects or lists" if odd == pa.struct([]) else f"type {str(odd)[:80]}"
            found[name] = f"values of {shown} are not flat"
    return found


def _declared(names: Sequence[str], schemas: Mapping[str, pa.Schema]) -> dict[str, FeatureType]:
    """Return the feature type of each column that has one of its own; texts have none.

    Integers in some files and numbers in others are numbers.
    """
    result: dict[str, FeatureType] = {}
    for name in names:
        kinds = {path: schema.field(name).type for path, schema in schemas.items()}
        filled = {path: kind for path, kind in kinds.items() if not pa.types.is_null(kind)}
        types = {path: arrow_feature_type(kind) for path, kind in filled.items()}
        if {"number", "integer"} <= set(types.values()):
            types = {path: "number" if kind == "integer" else kind for path, kind in types.items()}
        if len(set(types.values())) > 1:
            common, _ = Counter(types.values()).most_common(1)[0]
            raise _disagree(name, next(path for path, kind in types.items() if kind != common), types, str(common))
        if not filled or any(is_text(kind) for kind in filled.values()):
            continue
        kind = next(iter(types.values()))
        assert kind is not None, "a type that nothing can hold is among the unread"
        result[name] = kind
    return result


def _disagree(name: str, path: str, types: Mapping[str, FeatureType | None], common: str) -> ModelOpsError:
    return failure(
        "schema-mismatch",
        f"column {name!r} is {types[path]} in {path} and {common} in the other files",
        location=Location(path),
    )


def _coalesced(parts: Iterable[tuple[str, pa.RecordBatch]], names: Sequence[str]) -> Iterator[Chunk]:
    """Join the batches of small files: the cost of a kernel call is per batch."""
    waiting: list[tuple[str, int, pa.RecordBatch]] = []
    rows_of: Counter[str] = Counter()
    rows = 0
    for path, batch in parts:
        if not batch.num_rows:
            continue
        waiting.append((path, rows_of[path] + 1, batch.select(list(names))))
        rows_of[path] += batch.num_rows
        rows += batch.num_rows
        if rows >= CHUNK_ROWS:
            yield from _joined(waiting)
            waiting, rows = [], 0
    if waiting:
        yield from _joined(waiting)


def _joined(waiting: Sequence[tuple[str, int, pa.RecordBatch]]) -> Iterator[Chunk]:
    groups: list[list[tuple[str, int, pa.RecordBatch]]] = []
    for item in waiting:
        if groups and groups[-1][0][2].schema.equals(item[2].schema):
            groups[-1].append(item)
        else:
            groups.append([item])
    for group in groups:
        batches = [batch for _, _, batch in group]
        batch = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
        yield Chunk(batch, tuple((path, first, part.num_rows) for path, first, part in group))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of the columns beforehand: types, label, time, decimal mark, formats of an earlier snapshot."""

    types: Mapping[str, FeatureType] = field(default_factory=dict)
    target: str | None = None
    decimal: Decimal | None = None
    formats: Mapping[str, str | None] = field(default_factory=dict)
    time: str | None = None


def infer(table: RawTable, asked: Asked) -> dict[str, ColumnForm]:
    """Return the form of each column: the type that is asked for, else the file's own, else the narrowest that fits.

    Numbers are read by the decimal mark that the whole file shows. A column of which two readings fit is text, and an
    error (``ambiguous-numbers``) where it has to be a number.
    """
    forms = {name: ColumnForm(kind) for name, kind in table.declared.items()}
    guesses = {
        name: Guess(label=name == asked.target, timely=name == asked.time or timely(name))
        for name in table.names
        if forms.get(name, ColumnForm("integer")).type == "integer" and (name not in forms or name != asked.target)
    }
    if guesses:
        for chunk in table.chunks():
            for name in [name for name in guesses if name in table.declared]:
                if not may_be_dates(chunk.batch.column(name)):
                    del guesses[name]
            for name, guess in guesses.items():
                guess.see(_as_text(chunk.batch.column(name)))
    forms |= {name: ColumnForm("integer") for name in _whole(table, forms)}
    shapes = {
        name: guess.shape if guess.dress.written is None else guess.dress.inner
        for name, guess in guesses.items()
        if name not in table.declared
    }
    if asked.decimal is not None:
        require_agreed(table.chunks, asked.decimal, shapes)
    decimal = asked.decimal or decimal_mark(shapes.values(), separates=table.format != "csv" or table.delimiter == ",")
    for name, guess in guesses.items():
        found = guess.result()
        if name in table.declared:
            forms[name] = found if found.type == "datetime" else forms[name]
            continue
        if asked.formats.get(name) in guess.dates and found.type == "category":
            found = ColumnForm("datetime", asked.formats[name])  # as the snapshot before read it
        forms[name] = found
        if guess.dress.written is not None and forms[name].type == "category":
            forms[name] = _dressed(table, asked, name, guess.dress, decimal)
        elif guess.shape.marked and forms[name].type in ("number", "category"):
            forms[name] = _numbers(table, asked, name, guess.shape, decimal, forms[name])
    for name, kind in asked.types.items():
        if name in forms and forms[name].type != kind:
            forms[name] = as_asked(kind, forms[name])
    return {name: with_missing(forms[name], table.text.missing_in(name)) for name in table.names}


def _whole(table: RawTable, forms: Mapping[str, ColumnForm]) -> list[str]:
    """Return the columns of whole numbers in a type that can hold longer ones, where none of them is longer."""
    names = [name for name, form in forms.items() if form.type == "number" and name in table.declared]
    for chunk in table.chunks() if names else ():
        names = [name for name in names if _is_whole(chunk.batch.column(name))]
        if not names:
            break
    return names


def _is_whole(values: pa.Array) -> bool:
    kind = values.type
    if pa.types.is_null(kind):
        return True
    if not pa.types.is_uint64(kind) and not (pa.types.is_decimal(kind) and kind.scale <= 0):
        return False
    return converted(values, ColumnForm("integer")) is not None


def _as_text(values: pa.Array) -> pa.Array:
    """Return whole numbers as the texts that a CSV file has of them."""
    return values if pa.types.is_string(values.type) or not len(values) else values.cast(pa.string())


def _numbers(
    table: RawTable, asked: Asked, name: str, shape: Shape, decimal: Decimal | None, otherwise: ColumnForm
) -> ColumnForm:
    """Return the form of a column of numbers with marks."""
    wanted = asked.types.get(name)
    written = shape.written(decimal, told=asked.decimal is not None)
    if written is None:
        if wanted not in ("number", "integer"):
            return ColumnForm("category")
        if written_as(asked.formats.get(name, "")) is None:
            raise _ambiguous(table, name, shape)
        # As the snapshot before read it, whose values the model knows.
        return ColumnForm(wanted, asked.formats[name])
    form = ColumnForm(
        "integer" if shape.integers and not shape.either & {written.decimal} else "number", written.format
    )
    if form.format is None:
        return otherwise
    fits = all(converted(chunk.batch.column(name), form) is not None for chunk in table.chunks())
    return form if fits else otherwise


def _dressed(table: RawTable, asked: Asked, name: str, dress: Dress, decimal: Decimal | None) -> ColumnForm:
    """Return the form of a column of numbers with a unit or brackets around; they are numbers, whole or not."""
    around, inner = dress.written, dress.inner.written(decimal, told=asked.decimal is not None)
    assert around is not None
    before = written_as(asked.formats.get(name, ""))
    if inner is None and before is not None and (before.unit, before.brackets) == (around.unit, around.brackets):
        inner = before  # as the snapshot before read it, whose values the model knows
    if inner is None:
        if asked.types.get(name) in ("number", "integer"):
            raise _ambiguous(table, name, dress.inner)
        return ColumnForm("category")
    return ColumnForm("number", replace(around, decimal=inner.decimal, thousands=inner.thousands).format)


def _ambiguous(table: RawTable, name: str, shape: Shape) -> ModelOpsError:
    return failure(
        "ambiguous-numbers",
        f"column {name!r} of {table.paths[0]} can be read in two ways: {shape.example!r} is "
        f"{shape.example.replace(',', '.')} or {re.sub('[.,]', '', shape.example)}",
        location=Location(table.paths[0]),
        hint="say which mark is the decimal one: --decimal . or --decimal ,",
    )


def typed(chunk: Chunk, forms: Mapping[str, ColumnForm]) -> list[pa.Array]:
    """Convert a chunk into the declared types; a value that does not fit is named with file, row and column."""
    arrays = []
    for name, form in forms.items():
        array = converted(chunk.batch.column(name), form)
        if array is None:
            raise _unfit(chunk, name, form)
        arrays.append(array)
    return arrays


def _unfit(chunk: Chunk, name: str, form: ColumnForm) -> ModelOpsError:
    values = chunk.batch.column(name)
    index = first_unfit(values, form)
    path, row = chunk.where(index)
    return failure(
        "value-type",
        f"row {row} of {path} has {str(values[index].as_py())[:100]!r} in column {name!r}, which is no {form.type}",
        location=Location(path),
        hint=f"correct the value, or declare another type for {name!r}",
    )
