"""What was decided when a table was read, a line each, so that nothing is decided in silence."""

from __future__ import annotations

from modelops.data.numbers import Written, said
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec
from modelops.spec.texts.reading import EPOCHS, written_as

__all__ = ["of_column", "of_table"]

_MOST = 8
"""Words or files that a line names."""


def of_table(spec: DataSnapshotSpec) -> dict[str, str]:
    """Return by file, or by what it is about, how the files were read where that is not the plain way."""
    found = {
        path: f"text in {encoding} (--encoding says another)" for path, encoding in list(spec.encodings.items())[:_MOST]
    }
    if len(spec.encodings) > _MOST:
        found["encoding"] = f"{len(spec.encodings) - _MOST} more files are not in UTF-8"
    if spec.comment is not None:
        found[f"lines that begin with {spec.comment}"] = "comments, passed over"
    if spec.sheet is not None:
        found["sheet"] = f"{spec.sheet!r} (--sheet names another)"
    if spec.beside:
        listed = ", ".join(spec.beside[:_MOST]) + (
            f" and {len(spec.beside) - _MOST} more" if len(spec.beside) > _MOST else ""
        )
        found["not read"] = f"{listed}: no tables by their names"
    return found


def of_column(column: Column, rows: int) -> str:
    """Return how a column was read where that is not the plain way, with counts; empty where it is."""
    parts = [_written(column, rows)] if column.format or column.true or column.false else []
    if column.missing_as:
        words = ", ".join(f"{word!r} ({count:,} rows)" for word, count in list(column.missing_as.items())[:_MOST])
        way_out = f"; --missing {column.name}=WORD says which words are" if column.type == "category" else ""
        parts.append(f"missing where it says {words}{way_out}")
    if column.missing_words is not None:
        known = ", ".join(map(repr, column.missing_words)) or "none but the empty text"
        parts.append(f"its own words for missing: {known}")
    return "; ".join(parts)


def _written(column: Column, rows: int) -> str:
    filled = rows - column.missing
    if column.type == "boolean":
        yes, no = (" or ".join(words) or "nothing" for words in (column.true, column.false))
        return f"true where it says {yes}, false where it says {no} ({filled:,} rows)"
    if column.type == "datetime":
        form = column.format or ""
        since = {"epoch": "seconds since 1970", "epoch-ms": "milliseconds since 1970"}.get(form)
        years = "; years of two digits are 1969 to 2068" if "%y" in form else ""
        months = "; %b is the name of a month" if "%b" in form else ""
        days = "; %a is the day of the week, and has to be that of the date" if "%a" in form else ""
        return f"{since if form in EPOCHS else f'dates written as {form}'} ({filled:,} rows){years}{months}{days}"
    largest = f"; the largest is {column.maximum}" if column.maximum is not None else ""
    return f"{column.type}, {said(written_as(column.format) or Written())} ({filled:,} rows){largest}"
