"""From texts to values: blanks around them and words for missing are read away by one rule, whatever the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableMapping

import pyarrow as pa
import pyarrow.compute as pc

from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.texts.reading import TextReading

__all__ = ["MISSING", "USUAL", "is_text", "read_texts", "reading_of"]

MISSING = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null", "?", "NaT", "\\N", "(null)"),
    *("#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "#NULL!"),
)
"""Words for a missing value: those of pandas, databases and spreadsheets, and the question mark of many data sets."""
USUAL = TextReading(trim=True, missing=MISSING)
AT_FIRST = TextReading(
    trim=True,
    missing=(
        *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
        *("NULL", "NaN", "None", "n/a", "nan", "null", "?"),
    ),
)
"""How version 0.1.0 read CSV files."""


def reading_of(spec: DataSnapshotSpec) -> TextReading:
    """Return how the texts of a snapshot are read, also of one that version 0.1.0 took and that does not say it."""
    found = spec.reading()
    if found is not None:
        return found
    return AT_FIRST if spec.format == "csv" else TextReading(trim=False)


def read_texts(
    batch: pa.RecordBatch, reading: TextReading, missing: MutableMapping[str, Counter[str]]
) -> pa.RecordBatch:
    """Return a batch whose text columns hold values; which words were read as missing is counted by column."""
    return pa.RecordBatch.from_arrays(
        [
            _values(_decoded(values), reading.trim, reading.missing_in(name), missing[name])
            if is_text(values.type)
            else values
            for name, values in zip(batch.schema.names, batch.columns, strict=True)
        ],
        names=batch.schema.names,
    )


def _decoded(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column of a type holds texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _values(texts: pa.Array, trim: bool, words_for_missing: tuple[str, ...], missing: Counter[str]) -> pa.Array:
    if not pa.types.is_string(texts.type):
        texts = texts.cast(pa.string())
    values = pc.ascii_trim_whitespace(texts) if trim else texts
    words = pc.is_in(values, value_set=pa.array(["", *words_for_missing], pa.string()))
    if not pc.any(words).as_py():
        return values
    found = pc.value_counts(values.filter(words).drop_null())
    counted = zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)
    missing.update({word: count for word, count in counted if word})
    return pc.if_else(words, pa.scalar(None, pa.string()), values)
