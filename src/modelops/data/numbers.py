"""How numbers are written in a file: which mark is the decimal one and which groups thousands.

The marks are a property of the file, and one value can have two readings: 1.778 is less than two in one file and more
than seventeen hundred in another. What other columns settle is taken; what nothing settles is not read as a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast, get_args

import pyarrow as pa
import pyarrow.compute as pc

from modelops.spec.texts.reading import FORMATS, SPACES, Decimal, Written

__all__ = ["FORMATS", "Decimal", "Shape", "Written", "decimal_mark", "plain", "said"]

_OTHER: dict[str, Decimal] = {".": ",", ",": "."}
_GROUPED = r"^[+-]?[1-9]\d{0,2}"


def plain(values: pa.Array, format: str | None) -> pa.Array:
    """Return texts with a decimal point and ungrouped; those that are not written in the format stay no numbers."""
    written = FORMATS[format]
    if written.thousands is not None:
        grouped = pc.match_substring_regex(values, written.grouped)
        # What has the other mark and is not grouped by it is not written in this way: it stays no number.
        whole = pc.match_substring_regex(values, written.whole)
        values = pc.if_else(grouped, pc.replace_substring_regex(values, written.mark, ""), values)
        values = pc.if_else(pc.or_(grouped, whole), values, pc.binary_join_element_wise("?", values, ""))
    if written.decimal == ",":
        values = pc.replace_substring(values, ",", ".", max_replacements=1)
    return values


def said(written: Written) -> str:
    """Return the marks in words."""
    names = {".": "a point", ",": "a comma", " ": "a space", "'": "an apostrophe"}
    grouped = f", {names[written.thousands]} groups thousands" if written.thousands else ""
    return f"{names[written.decimal]} is the decimal mark{grouped}"


class Shape:
    """What the texts of one column show about the marks in its numbers, from all values seen."""

    def __init__(self) -> None:
        self.numeric = True
        self.fractions: set[Decimal] = set()
        self.groups: set[str] = set()
        self.either: set[Decimal] = set()
        self._long = False
        self.example = ""

    @property
    def marked(self) -> bool:
        """Whether all are numbers and some have a mark that needs thought."""
        return self.numeric and bool(self.groups or self.either or "," in self.fractions)

    def see(self, values: pa.Array) -> None:
        """Look at texts without missing ones."""
        if not self.numeric or not len(values):
            return
        if not pc.any(pc.match_substring_regex(values, r"[^0-9+-]")).as_py():
            self._long |= bool(pc.any(pc.match_substring_regex(values, r"^[+-]?\d{4,}$")).as_py())
            return
        left = pc.unique(values)
        for text, pattern in _PATTERNS:
            found = pc.match_substring_regex(left, pattern)
            if pc.any(found).as_py():
                self._note(text, left.filter(found)[0].as_py())
                left = left.filter(pc.invert(found))
            if not len(left):
                return
        self.numeric = False

    def _note(self, what: str, example: str) -> None:
        kind, _, marks = what.partition(" ")
        if kind == "whole":
            self._long |= marks == "long"
        elif kind == "fraction":
            self.fractions.add(cast("Decimal", marks))
        elif kind == "either":
            self.either.add(cast("Decimal", marks))
            self.example = self.example or example
        else:
            self.groups.add(marks[0])
            if len(marks) > 1:
                self.fractions.add(cast("Decimal", marks[1]))

    def written(self, decimal: Decimal | None) -> Written | None:
        """Return how the column is written, given the file's decimal mark if it is known; None where two ways fit."""
        readings = [way for way in self._readings() if decimal in (None, way.decimal)]
        if not readings:
            # What the column shows by itself counts more than what its neighbours do.
            readings = list(self._readings())
        return readings[0] if len(readings) == 1 else None

    def _readings(self) -> Iterable[Written]:
        for decimal in get_args(Decimal):
            other = _OTHER[decimal]
            groups = self.groups | ({other} & self.either)
            if self.fractions - {decimal} or decimal in groups or len(groups) > 1:
                continue
            if self._long and other in groups:
                continue  # who groups 1.778 writes no 1778
            if not self.fractions and not self.either and not groups & {".", ","} and decimal == ",":
                continue  # nothing speaks of a fraction
            yield Written(decimal, next(iter(groups), None))

    @property
    def integers(self) -> bool:
        """Whether no value can have a fraction once the marks are known to group thousands."""
        return not self.fractions


def _patterns() -> Iterable[tuple[str, str]]:
    yield "whole", r"^[+-]?\d{1,3}$"
    yield "whole long", r"^[+-]?\d{4,}$"
    yield "fraction .", r"(?i)^[+-]?(\d+\.?\d*|\.\d+)e[+-]?\d+$"
    yield "fraction .", r"(?i)^[+-]?(inf|infinity)$"
    for mark in (".", ","):
        escaped, other = re.escape(mark), _OTHER[mark]
        yield f"either {mark}", rf"{_GROUPED}{escaped}\d{{3}}$"
        yield f"groups {mark}", rf"{_GROUPED}({escaped}\d{{3}}){{2,}}$"
        yield f"groups {mark}{other}", rf"{_GROUPED}({escaped}\d{{3}})+{re.escape(other)}\d*$"
        yield f"fraction {mark}", rf"^[+-]?(\d+{escaped}\d*|{escaped}\d+)$"
    for mark, found in ((" ", f"[{SPACES}]"), ("'", "'")):
        yield f"groups {mark}", rf"{_GROUPED}({found}\d{{3}})+$"
        yield f"groups {mark}.", rf"{_GROUPED}({found}\d{{3}})+\.\d*$"
        yield f"groups {mark},", rf"{_GROUPED}({found}\d{{3}})+,\d*$"


_PATTERNS = tuple(_patterns())


def decimal_mark(shapes: Iterable[Shape], *, separates: bool) -> Decimal | None:
    """Return the one decimal mark that the columns of a file prove, None for none or two.

    Where the comma ``separates`` the fields and no column proves another, the point is the decimal mark.
    """
    proven = {mark for shape in shapes if shape.numeric for mark in shape.fractions}
    if not proven and separates:
        return "."
    return next(iter(proven)) if len(proven) == 1 else None
