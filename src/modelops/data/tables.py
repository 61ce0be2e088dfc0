"""The files of a snapshot as one table: agreement between files, raw batches, and typed batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from modelops.data.columns import ColumnForm, Guess, arrow_feature_type, converted, first_unfit
from modelops.data.csvfile import Delimiter, Form, form_of, raw_batches
from modelops.errors import Location, ModelOpsError, failure
from modelops.spec.model import FeatureType

__all__ = ["Chunk", "RawTable", "format_of", "open_table", "typed"]

Format = Literal["csv", "parquet"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".parq": "parquet",
}
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


@dataclass
class RawTable:
    """Files that agree on their columns; iterating reads them, again each time unless they are small enough to keep."""

    folder: Path
    format: Format
    paths: tuple[str, ...]
    names: tuple[str, ...]
    forms: Mapping[str, Form]
    declared: Mapping[str, FeatureType]
    size: int
    _kept: list[Chunk] | None = field(default=None, repr=False)

    @property
    def delimiter(self) -> Delimiter:
        """The field delimiter of the CSV files."""
        return self.forms[self.paths[0]].delimiter if self.forms else ","

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        """Yield the rows of all files in order, in chunks of about 65,536."""
        if self._kept is None and self.size <= IN_MEMORY_BYTES and columns is None:
            self._kept = list(_coalesced(self._parts(None), self.names))
        if self._kept is not None:
            yield from self._kept
            return
        yield from _coalesced(self._parts(columns), tuple(columns) if columns is not None else self.names)

    def _parts(self, columns: Sequence[str] | None) -> Iterator[tuple[str, pa.RecordBatch]]:
        for path in self.paths:
            if self.format == "csv":
                batches = raw_batches(self.folder / path, path, self.forms[path])
            else:
                batches = _parquet_batches(self.folder / path, path, columns)
            for batch in batches:
                yield path, batch

    def release(self) -> None:
        """Forget rows that were kept in memory."""
        self._kept = None


def format_of(path: str) -> Format | None:
    """Return the format that a file's name says, None when it says nothing."""
    name = path.lower().removesuffix(".gz")
    found = SUFFIXES.get(name[name.rfind(".") :])
    return None if found == "parquet" and path.lower().endswith(".gz") else found


def _sniffed(path: Path) -> Format:
    with path.open("rb") as file:
        return "parquet" if file.read(4) == b"PAR1" else "csv"


def open_table(folder: Path, files: Iterable[tuple[str, int]], delimiter: Delimiter | None = None) -> RawTable:
    """Open (path, size) files as one table; a file that disagrees with the others is named."""
    listed = tuple(files)
    if not listed:
        raise failure("data-missing", f"{folder} holds no CSV or Parquet file")
    formats = {path: format_of(path) or _sniffed(folder / path) for path, _ in listed}
    if len(set(formats.values())) > 1:
        common, _ = Counter(formats.values()).most_common(1)[0]
        odd = next(path for path, format in formats.items() if format != common)
        raise failure(
            "schema-mismatch", f"{odd} is {formats[odd]}, the other files are {common}", location=Location(odd)
        )
    paths, format = tuple(path for path, _ in listed), formats[listed[0][0]]
    size = sum(size for _, size in listed)
    if format == "parquet":
        schemas = {path: parquet_schema(folder / path, path) for path in paths}
        names = _agreed({path: tuple(schema.names) for path, schema in schemas.items()})
        return RawTable(folder, format, paths, names, {}, _declared(names, schemas), size)
    forms = {}
    for path in paths:
        forms[path] = form_of(folder / path, path, delimiter)
        delimiter = delimiter or forms[path].delimiter
    names = _agreed({path: form.names for path, form in forms.items()})
    return RawTable(folder, format, paths, names, forms, {}, size)


def _agreed(names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the columns that most files have; a file with other columns is an error, another order is not."""
    common, _ = Counter(names.values()).most_common(1)[0]
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


def parquet_schema(path: Path, label: str) -> pa.Schema:
    """Return the schema of a whole Parquet file whose columns have different names."""
    try:
        schema: pa.Schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        empty = path.stat().st_size == 0
        what = "is empty" if empty else f"is not a whole Parquet file: {str(error).splitlines()[0]}"
        raise failure(
            "data-empty" if empty else "data-unreadable", f"{label} {what}", location=Location(label)
        ) from None
    for name, times in Counter(schema.names).items():
        if times > 1:
            said = f"{times} columns of {label} are called {name!r}"
            raise failure("duplicate-column", said, location=Location(label), hint="rename one of them")
    return schema


def _declared(names: Sequence[str], schemas: Mapping[str, pa.Schema]) -> dict[str, FeatureType]:
    """Return the feature type of each Parquet column; integers in some files and numbers in others are numbers."""
    result: dict[str, FeatureType] = {}
    for name in names:
        types = {path: arrow_feature_type(schema.field(name).type) for path, schema in schemas.items()}
        empty = {path for path, schema in schemas.items() if pa.types.is_null(schema.field(name).type)}
        found = {kind for path, kind in types.items() if path not in empty} or {"category"}
        if None in found:
            path = next(path for path, kind in types.items() if kind is None)
            raise failure(
                "column-type",
                f"column {name!r} of {path} has type {schemas[path].field(name).type}, which no feature type can hold",
                location=Location(path),
                hint="flatten it into plain columns, or leave it out",
            )
        if "number" in found and "integer" in found:
            types = {path: "number" if kind == "integer" else kind for path, kind in types.items()}
            found -= {"integer"}
        if len(found) > 1:
            common, _ = Counter(types.values()).most_common(1)[0]
            path = next(path for path, kind in types.items() if kind != common and path not in empty)
            raise failure(
                "schema-mismatch",
                f"column {name!r} is {types[path]} in {path} and {common} in the other files",
                location=Location(path),
            )
        (kind,) = found
        assert kind is not None, "a None was refused above"
        result[name] = kind
    return result


def _parquet_batches(path: Path, label: str, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    try:
        # Without buffering ahead, which would hold all row groups of a large file.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=CHUNK_ROWS, columns=list(columns) if columns is not None else None)
    except (pa.ArrowInvalid, OSError) as error:
        first = str(error).splitlines()[0]
        raise failure("data-unreadable", f"{label} cannot be read: {first}", location=Location(label)) from None


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


def infer(table: RawTable, wanted: Mapping[str, FeatureType], target: str | None) -> dict[str, ColumnForm]:
    """Return the form of each column: the type that is asked for, else the file's own, else the narrowest that fits."""
    forms = {name: ColumnForm(kind) for name, kind in table.declared.items()}
    comma = table.delimiter != ","
    guesses = {name: Guess(label=name == target, decimal_comma=comma) for name in table.names if name not in forms}
    if guesses:
        for chunk in table.chunks():
            for name, guess in guesses.items():
                guess.see(chunk.batch.column(name))
    for name, guess in guesses.items():
        forms[name] = guess.result()
    for name, kind in wanted.items():
        if name in forms and forms[name].type != kind:
            forms[name] = ColumnForm(kind)
    return forms


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
