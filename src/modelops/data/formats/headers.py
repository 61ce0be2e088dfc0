"""The first row of a table: the names of its columns, or a row that is none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from modelops.errors import Location, failure

__all__ = ["names_of"]

_FRACTION = re.compile(r"[+-]?\d*[.,]\d+([eE][+-]?\d+)?")


def names_of(cells: Sequence[str], label: str, line: int = 1, *, at_first: bool = False) -> tuple[str, ...]:
    """Return the names of columns; one without a name is called ``column_<position>``.

    A row of which every cell is a number, or some cell a fraction, is a row of data (``header-missing``); version 0.1.0
    knew only the former.
    """
    header = [cell.strip() for cell in cells]
    where = Location(label, line, 1)
    fractions = [cell for cell in header if _FRACTION.fullmatch(cell)] if not at_first else []
    if fractions or all(_is_number(cell) for cell in header):
        shown = ", ".join(header[:5])
        what = f"holds the number {fractions[0]}" if fractions else "holds only numbers"
        raise failure(
            "header-missing",
            f"the first row of {label} {what}, so it is no header: {shown}",
            location=where,
            hint="add a first row with the names of the columns",
        )
    if not at_first and len(header) > 2 and sum(map(bool, header)) * 2 < len(header):
        raise failure(
            "header-missing",
            f"the first row of {label} names {sum(map(bool, header))} of its {len(header)} columns, so it is no header",
            location=where,
            hint="remove what stands above the names of the columns",
        )
    names = [cell or f"column_{index}" for index, cell in enumerate(header, start=1)]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise failure(
                "duplicate-column",
                f"two columns of {label} are called {name!r} (columns {names.index(name) + 1} and {index + 1})",
                location=where,
                hint="rename one of them",
            )
    return tuple(names)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
