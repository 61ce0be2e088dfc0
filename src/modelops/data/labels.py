"""Files of labels, in every format that data come in: which prediction a row is about, and what is true."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelops.data.tables import Opening, open_table
from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.spec.texts.reading import TextReading

__all__ = ["label_rows"]

_AS_THEY_STAND = TextReading(trim=False)
"""What a label means is for the server to say, which knows how the model's own were read."""


def label_rows(file: Path) -> Iterator[tuple[int, str, str | int | float | bool]]:
    """Yield line, id and label of each row; one that is no label is an error that names its line."""
    table = open_table(file.parent, ((file.name, file.stat().st_size),), Opening(_AS_THEY_STAND))
    if not {"id", "label"} <= set(table.names):
        raise _bad(file, 1, f"has the columns {', '.join(table.names[:20])}")
    above = 1 + (table.forms[table.paths[0]].before if table.forms else 0) if table.format == "csv" else 0
    for chunk in table.chunks(["id", "label"]):
        for index, row in enumerate(chunk.batch.select(["id", "label"]).to_pylist()):
            yield _checked(file, chunk.where(index)[1] + above, row["id"], row["label"])


def _checked(file: Path, line: int, id: object, label: Any) -> tuple[int, str, str | int | float | bool]:
    if not isinstance(id, str) or not id.strip():
        raise _bad(file, line, f"has the id {id!r}, which is not the text of a prediction id")
    if not isinstance(label, (str, int, float)) or label == "" or (isinstance(label, float) and math.isnan(label)):
        raise _bad(file, line, f"has the label {label!r}, which is neither a text nor a number")
    return line, id.strip(), label


def _bad(file: Path, line: int, what: str) -> ModelOpsError:
    where = Location(str(file), line, 1)
    hint = "each row has the columns id and label; nothing was sent"
    return failure("bad-feedback-file", f"{file.name} {what}", exit=Exit.FILES, location=where, hint=hint)
