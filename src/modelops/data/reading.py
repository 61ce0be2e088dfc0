"""Reading the rows of a placed snapshot, in the types that the snapshot says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from modelops.data.columns import ARROW, ColumnForm, forms_of
from modelops.data.tables import Opening, open_table, typed
from modelops.data.texts import reading_of
from modelops.errors import failure
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec

__all__ = ["batches", "read", "schema_of"]


def schema_of(spec: DataSnapshotSpec) -> pa.Schema:
    """Return the Arrow schema of a snapshot's rows.

    number is float64, integer int64, boolean bool, category string, datetime timestamp[us, UTC]; missing is null.
    """
    return pa.schema([pa.field(column.name, ARROW[column.type]) for column in spec.columns])


def batches(folder: Path, spec: DataSnapshotSpec) -> Iterator[pa.RecordBatch]:
    """Yield the rows in order, file by file, about 65,536 at a time."""
    delimiter, text = spec.delimiter if spec.format == "csv" else None, reading_of(spec)
    at_first = spec.text is None
    opening = Opening(text, delimiter, spec.encodings, sheet=spec.sheet, at_first=at_first)
    table = open_table(folder, tuple((file.path, file.size) for file in spec.files), opening)
    forms = forms_of(spec.columns, text)
    if at_first:
        forms = {name: ColumnForm(form.type, form.format, lenient=True) for name, form in forms.items()}
    if set(forms) != set(table.names):
        odd = sorted(set(forms) ^ set(table.names))
        raise failure("schema-mismatch", f"the files and the snapshot disagree on the columns {', '.join(odd[:5])}")
    schema = schema_of(spec)
    for chunk in table.chunks():
        yield pa.RecordBatch.from_arrays(typed(chunk, forms), schema=schema)


def read(folder: Path, spec: DataSnapshotSpec) -> pa.Table:
    """Return all rows of a placed snapshot as one table; see ``schema_of`` for the types."""
    table = pa.Table.from_batches(batches(folder, spec), schema=schema_of(spec))
    if table.num_rows != spec.rows:
        raise failure("snapshot-rows", f"the files hold {table.num_rows} rows, the snapshot says {spec.rows}")
    return table
