"""How numbers are written in a file: which mark is the decimal one and which groups thousands.

The marks are a property of the file, and one value can have two readings: 1.778 is less than two in one file and more
than seventeen hundred in another. What other columns settle is taken; what nothing settles is not read as a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast, get_args

import pyarrow as pa
import pyarrow.compute as pc

from modelops.errors import Exit, Location, failure
from modelops.spec.texts.reading import ALIKE, SPACES, UNITS, Decimal, Written, written_as

__all__ = [
    "Decimal",
    "Dress",
    "Shape",
    "Written",
    "as_typed",
    "decimal_mark",
    "numbers_among",
    "plain",
    "require_agreed",
    "said",
]

_OTHER: dict[str, Decimal] = {".": ",", ",": "."}
_GROUPED = r"^[+-]?[1-9]\d{0,2}"


def as_typed(values: pa.Array) -> pa.Array:
    """Return texts with the apostrophe and the minus that a keyboard has, as ``spec.texts.reading`` does one."""
    if pc.all(pc.string_is_ascii(values)).as_py() in (True, None):
        return values
    for mark, others in ALIKE.items():
        values = pc.replace_substring_regex(values, f"[{others}]", mark)
    return values


def plain(values: pa.Array, format: str | None) -> pa.Array:
    """Return texts with a decimal point and ungrouped; those that are not written in the format stay no numbers."""
    written = written_as(format)
    if written is None:
        return pc.binary_join_element_wise("?", values, "")
    values = as_typed(values)
    if written.unit is not None or written.brackets:
        values = undressed(values, written)
    if written.thousands is not None:
        grouped = pc.match_substring_regex(values, written.grouped)
        # What has the other mark and is not grouped by it is not written in this way: it stays no number.
        whole = pc.match_substring_regex(values, written.whole)
        values = pc.if_else(grouped, pc.replace_substring_regex(values, written.mark, ""), values)
        values = pc.if_else(pc.or_(grouped, whole), values, pc.binary_join_element_wise("?", values, ""))
    if written.decimal == ",":
        values = pc.replace_substring(values, ",", ".", max_replacements=1)
    return values


def undressed(values: pa.Array, written: Written) -> pa.Array:
    """Return numbers without what is written around them; those that are not written that way stay no numbers."""
    bare = pc.if_else(pc.is_null(values), None, "?")
    for pattern, left in written.dressed:
        fits = pc.match_substring_regex(values, pattern)
        bare = pc.if_else(fits, pc.replace_substring_regex(values, pattern, left), bare)
    return bare


class Dress:
    """What the texts of one column show around their numbers: one unit in every row, brackets for negative ones."""

    def __init__(self) -> None:
        self.inner = Shape()
        self.units: set[str] = set()
        self.odd = ""
        self._alive = True
        self._bare = False
        self._brackets = False

    @property
    def written(self) -> Written | None:
        """How the numbers are dressed, their marks left open; None where they are not, or not all in one way."""
        if not self._alive or len(self.units) > 1 or (self.units and self._bare) or not (self.units or self._brackets):
            return None
        return Written(unit=next(iter(self.units), None), brackets=self._brackets)

    @property
    def mixed(self) -> str:
        """Why numbers with something around them are not read, empty where they are, or are none."""
        if not self._alive or not self.units or not (len(self.units) > 1 or self._bare):
            return ""
        named = " and ".join(sorted(self.units)[:3])
        return f"numbers of {named}" + (
            ", and some of neither"
            if self._bare and len(self.units) > 1
            else ", and some without"
            if self._bare
            else ""
        )

    def see(self, values: pa.Array) -> None:
        """Look at texts without missing ones."""
        if not self._alive or not len(values):
            return
        every = pc.unique(as_typed(values))
        for part in (every.slice(0, 30), every) if len(every) > 30 else (every,):
            if not pc.all(pc.match_substring_regex(part, _DRESSED)).as_py():
                self._alive = False
                return
        brackets = pc.match_substring_regex(every, r"\(")
        self._brackets |= bool(pc.any(brackets).as_py())
        left = every
        for unit in UNITS:
            if not len(left):
                break
            if not pc.any(pc.match_substring(left, unit)).as_py():
                continue  # most columns have no unit, and patterns are dear
            ways = [Written(unit=unit, brackets=flag) for flag in (False, True)]
            fits = pc.not_equal(undressed(left, ways[1]), "?")
            if pc.any(fits).as_py():
                self.units.add(unit)
                self.inner.see(undressed(left.filter(fits), ways[1]))
                left = left.filter(pc.invert(fits))
        if not len(left):
            return
        plain_ones = undressed(left, Written(brackets=True))
        if pc.any(pc.equal(plain_ones, "?")).as_py():
            self._alive = False
            return
        self._bare = True
        self.inner.see(plain_ones)


_ANY = "|".join(re.escape(unit) for unit in UNITS)
_SIGNED = rf"[+-]?[{SPACES}]*(?:{_ANY})?[{SPACES}]*[+-]?[{SPACES}]*"
_DRESSED = rf"^(?:{_ANY})?[{SPACES}]*[(]?{_SIGNED}[\d.,'{SPACES}]+(?:{_ANY})?[{SPACES}]*[)]?$"
"""Numbers with anything around them that may be a unit or brackets; most texts are none."""


def numbers_among(words: Sequence[str]) -> list[str]:
    """Return which of some texts are numbers with marks, or with one unit around them; none where they are of several.

    >>> numbers_among(["12,50 €", "-", "\u22127,00 €", "x"])
    ['12,50 €', '\u22127,00 €']
    """
    texts = pa.array([word.strip() for word in words], pa.string())
    fits = pc.match_substring_regex(as_typed(texts), _DRESSED).to_pylist()
    found = [word for word, fit in zip(words, fits, strict=True) if fit and any(map(str.isdigit, word))]
    if not found:
        return []
    dress, shape = Dress(), Shape()
    for each in (dress, shape):
        each.see(pa.array([word.strip() for word in found], pa.string()))
    return found if (shape.numeric if dress.written is None else dress.inner.numeric) else []


def said(written: Written) -> str:
    """Return the marks in words."""
    names = {".": "a point", ",": "a comma", " ": "a space", "'": "an apostrophe"}
    grouped = f", {names[written.thousands]} groups thousands" if written.thousands else ""
    unit = f"without the {written.unit} that each is written with, " if written.unit else ""
    brackets = ", brackets are a minus" if written.brackets else ""
    return f"{unit}{names[written.decimal]} is the decimal mark{grouped}{brackets}"


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
        values = as_typed(values)
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

    def written(self, decimal: Decimal | None, *, told: bool = False) -> Written | None:
        """Return how the column is written, given the file's decimal mark if it is known; None where two ways fit.

        What the column shows by itself counts more than what its neighbours do, but 1778 beside 1.778 shows little: in
        a file of decimal commas some rows may be grouped and others not. If a person has ``told`` the mark, they are.
        """
        readings = [way for way in self._readings(decimal, told=told) if decimal in (None, way.decimal)]
        if not readings and (decimal is None or self.fractions or _OTHER[decimal] not in self.either):
            readings = list(self._readings(None, told=False))
        return readings[0] if len(readings) == 1 else None

    def _readings(self, known: Decimal | None, *, told: bool) -> Iterable[Written]:
        for decimal in get_args(Decimal):
            other = _OTHER[decimal]
            groups = self.groups | ({other} & self.either)
            if self.fractions - {decimal} or decimal in groups or len(groups) > 1:
                continue
            if self._long and other in groups and not told:
                continue  # who groups 1.778 writes no 1778
            if not self.fractions and not self.either and not groups & {".", ","} and decimal == "," != known:
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


def require_agreed(chunks: Callable[[], Iterable[Any]], decimal: Decimal, shapes: Mapping[str, Shape]) -> None:
    """Refuse a decimal mark that no number of the file has, where some of them show that it is the other one."""
    numeric = {name: shape for name, shape in shapes.items() if shape.numeric}
    if any(decimal in shape.fractions for shape in numeric.values()):
        return
    for name, shape in numeric.items():
        for chunk in chunks() if _OTHER[decimal] in shape.fractions or decimal in shape.groups else ():
            texts = chunk.batch.column(name).to_pylist()
            index = _first_against(texts, decimal)
            if index is not None:
                path, row = chunk.where(index)
                said = f"--decimal {decimal}: row {row} of {path} has {texts[index]!r} in column {name!r}"
                hint = f"{_OTHER[decimal]!r} is the decimal mark there: leave --decimal out, or say that one"
                raise failure("bad-decimal", said, exit=Exit.USAGE, location=Location(path), hint=hint)


def _first_against(texts: Iterable[str | None], decimal: Decimal) -> int | None:
    """Return the place of the first text that shows another decimal mark by itself, None where none does."""
    for place, text in enumerate(texts):
        dress, bare = Dress(), Shape()
        for each in (dress, bare):
            each.see(pa.array([text], pa.string()).drop_null())
        shape = bare if dress.written is None else dress.inner
        if _OTHER[decimal] in shape.fractions or decimal in shape.groups:
            return place
    return None
