"""Parquet, Feather and Arrow files: columns that have types of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modelops.data.formats import Part
from modelops.errors import Location, failure

__all__ = ["batches_of", "require_names", "schema_of"]

_ROWS = 1 << 16


@contextmanager
def _readable(part: Part) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        empty = part.path.stat().st_size == 0
        what = "is empty" if empty else f"is not a whole {part.format.capitalize()} file: {str(error).splitlines()[0]}"
        code = "data-empty" if empty else "data-unreadable"
        raise failure(code, f"{part.label} {what}", location=Location(part.label)) from None


def schema_of(part: Part) -> pa.Schema:
    """Return the schema of a whole file whose columns have different names."""
    with _readable(part), part.whole() as file:
        schema: pa.Schema = pq.read_schema(file) if part.format == "parquet" else _arrow(file).schema
    require_names(part, schema.names)
    return schema


def require_names(part: Part, names: Sequence[str]) -> None:
    """Refuse two columns of one name."""
    for name, times in Counter(names).items():
        if times > 1:
            said = f"{times} columns of {part.label} are called {name!r}"
            raise failure("duplicate-column", said, location=Location(part.label), hint="rename one of them")


def batches_of(part: Part, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some columns."""
    try:
        if part.format == "parquet" and part.codec is None:
            # Without buffering ahead, which would hold all row groups of a large file.
            with pq.ParquetFile(part.path, pre_buffer=False) as file:
                yield from file.iter_batches(batch_size=_ROWS, columns=list(columns))
        elif part.format == "parquet":
            with part.whole() as packed, pq.ParquetFile(packed) as file:
                yield from file.iter_batches(batch_size=_ROWS, columns=list(columns))
        else:
            with part.whole() as opened:
                for batch in _batches(_arrow(opened)):
                    yield batch.select(list(columns))
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise failure(
            "data-unreadable", f"{part.label} cannot be read: {first}", location=Location(part.label)
        ) from None


def _arrow(file: pa.NativeFile) -> Any:
    """Open an Arrow file, which Feather is too, or an Arrow stream."""
    head = file.read(4)
    file.seek(0)
    return pa.ipc.open_stream(file) if head == b"\xff\xff\xff\xff" else pa.ipc.open_file(file)


def _batches(opened: Any) -> Iterator[pa.RecordBatch]:
    if isinstance(opened, pa.ipc.RecordBatchFileReader):
        for index in range(opened.num_record_batches):
            yield opened.get_batch(index)
    else:
        yield from opened
