"""One value, one reading: how a text of a column becomes a value, wherever the text comes from.

What is decided about a column when a snapshot is taken is written down there and goes with every model that is trained
on it; files are read by the same rules in columns of Arrow (``data.columns``), requests and labels one value at a time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal, cast, get_args

from pydantic import Field

from modelops.spec.meta import FeatureType, Strict
from modelops.spec.texts.words import CURRENCIES, NO, YES, month_of, weekdays_of

__all__ = [
    "ALIKE",
    "DATE_FORMATS",
    "EPOCHS",
    "FORMATS",
    "SPACES",
    "UNFIT",
    "UNITS",
    "YEARS",
    "ColumnReading",
    "Decimal",
    "TextReading",
    "Written",
    "as_typed",
    "date_pattern",
    "is_written",
    "numbers_of",
    "plain_number",
    "truth",
    "written_as",
]

Decimal = Literal[".", ","]
SPACES = " \u00a0\u202f"
"""Spaces that group the digits of numbers."""
ALIKE: dict[str, str] = {"'": "\u2019\u02bc\u2018", "-": "\u2212\u2010\u2011\u2012\u2013\ufe63\uff0d"}
"""Marks in numbers as a keyboard has them, and what typesetting makes of them: apostrophes, and the signs of minus."""
UNFIT = object()
"""What a text is read as that has no value of its column's type."""
EPOCHS: dict[str, int] = {"epoch": 1_000_000, "epoch-ms": 1_000}
"""Formats of instants that are numbers since 1970, with the microseconds of one."""
YEARS = (-62_135_596_800, 253_402_300_800)
"""Seconds since 1970 at the beginning of year 1 and at the end of year 9999."""
_BLANKS = " \t\n\v\f\r"


@dataclass(frozen=True, slots=True)
class Written:
    """How the numbers of one column are written; without ``thousands`` nothing groups digits."""

    decimal: Decimal = "."
    thousands: str | None = None
    unit: str | None = None
    brackets: bool = False

    @property
    def format(self) -> str | None:
        """What a snapshot says of it: a number written that way; None for the usual way."""
        if self.unit is not None or self.brackets:
            number = f"1{self.thousands or ''}234{self.decimal}5{f' {self.unit}' if self.unit else ''}"
            return f"({number})" if self.brackets else number
        if self.thousands is None:
            return None if self.decimal == "." else ","
        return f"1{self.thousands}234{self.decimal}5"

    @property
    def dressed(self) -> tuple[tuple[str, str], ...]:
        """The patterns of numbers with all that is written around them, each with what leaves the number alone.

        Whatever fits none of them is no number of the column.
        """
        blank = f"[{SPACES}]*"
        number = rf"([+-]?){blank}(\d(?:[\d.,'{SPACES}]*\d)?[.,]?|[.,]\d+)"
        bare = [(f"^{number}$", r"\1\2")]
        if self.unit is not None:
            unit = re.escape(self.unit)
            bare = [
                (f"^([+-]?){blank}{unit}{blank}{number}$", r"\1\2\3"),
                (f"^{number}{blank}{unit}$", r"\1\2"),
            ]
        if not self.brackets:
            return tuple(bare)
        inside = [(rf"^\({blank}{pattern[1:-1]}{blank}\)$", "-" + left) for pattern, left in bare]
        outside = [
            (rf"^{re.escape(self.unit)}{blank}\({blank}{number}{blank}\)$", r"-\1\2") for _ in bare[:1] if self.unit
        ]
        return (*bare, *inside, *outside)

    @property
    def grouped(self) -> str:
        """The pattern of a number whose digits are grouped."""
        mark = f"[{SPACES}]" if self.thousands == " " else re.escape(self.thousands or "")
        return rf"^[+-]?[1-9]\d{{0,2}}({mark}\d{{3}})+({re.escape(self.decimal)}\d*)?$"

    @property
    def whole(self) -> str:
        """The pattern of a number of which no digits are grouped; what is neither is not written in this way."""
        return rf"^[+-]?\d+({re.escape(self.decimal)}\d*)?$"

    @property
    def mark(self) -> str:
        """The pattern of what groups digits."""
        return f"[{SPACES}]" if self.thousands == " " else re.escape(self.thousands or "")


FORMATS: dict[str | None, Written] = {
    written.format: written
    for decimal in get_args(Decimal)
    for thousands in (None, ".", ",", " ", "'")
    if thousands != decimal
    for written in [Written(decimal, thousands)]
}
"""Every way to write plain numbers that is read, by what a snapshot says of it."""
UNITS: tuple[str, ...] = ("%", *CURRENCIES)
"""What may be written before or after the numbers of a column, in every row the same."""


@cache
def written_as(format: str | None) -> Written | None:
    """Return how numbers of a format are written, None for what is no format of numbers.

    >>> written_as("(1.234,5 €)"), written_as("1234.5 %").unit, written_as("%d.%m.%Y")
    (Written(decimal=',', thousands='.', unit='€', brackets=True), '%', None)
    """
    if format in FORMATS:
        return FORMATS[format]
    brackets = format is not None and format.startswith("(") and format.endswith(")")
    matched = re.fullmatch(r"1([.,' ]?)234([.,])5(?: (\S+))?", (format or "")[1:-1] if brackets else format or "")
    if matched is None or matched[1] == matched[2] or (matched[3] is not None and matched[3] not in UNITS):
        return None
    found = Written(cast("Decimal", matched[2]), matched[1] or None, matched[3], brackets)
    return found if found.format == format else None


_DAYS = (
    *("%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %m %Y", "%Y%m%d"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y"),
    *("%d %b %Y", "%d. %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d.%b.%Y", "%d %b, %Y", "%d de %b de %Y", "%d%b%Y"),
    *("%d %b %y", "%d-%b-%y", "%d/%b/%y", "%d.%b.%y"),
    *("%b %d %Y", "%b %d, %Y", "%b-%d-%Y", "%Y %b %d", "%Y-%b-%d", "%Y/%b/%d", "%Y, %b %d"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", ", %H:%M", ", %I:%M %p")
_AFTER_WEEKDAY = (*_CLOCKS, " %H:%M:%S GMT", " %H:%M:%S +0000")
DATE_FORMATS: tuple[str, ...] = (
    *(day + clock for day in _DAYS for clock in _CLOCKS),
    *(f"%a {day}{clock}" for day in ("%Y-%m-%d", *_DAYS) for clock in _AFTER_WEEKDAY),
)
"""Forms of dates that are read beside ISO 8601.

``%b`` is the name of a month and ``%a`` that of a day of the week, in a language of ``spec.texts.words``; the day has
to be that of the date.
"""

_PARTS = {
    "%Y": r"(?P<Y>\d{4})",
    "%y": r"(?P<y>\d{2})",
    "%m": r"(?P<m>\d{1,2})",
    "%d": r"(?P<d>\d{1,2})",
    "%b": r"(?P<b>\p{L}+\.?)",
    "%a": r"(?P<a>\p{L}+(?:-\p{L}+)?\.?,?)",
    "%H": r"(?P<H>\d{1,2})",
    "%I": r"(?P<I>\d{1,2})",
    "%M": r"(?P<M>\d{2})",
    "%S": r"(?P<S>\d{2})",
    "%p": r"(?P<p>[AaPp][Mm])",
}


@cache
def date_pattern(format: str) -> str:
    """Return the pattern of a date form, with a group for each of its parts; that of ``%b`` is any word of letters."""
    compact = format.startswith("%Y%m%d")
    parts = [part if part.startswith("%") else re.escape(part) for part in re.findall(r"%.|[^%]+", format)]
    found = "".join(_PARTS.get(part, part) for part in parts)
    return "^" + (found.replace(r"\d{1,2}", r"\d{2}") if compact else found) + "$"


@cache
def _python_pattern(format: str) -> re.Pattern[str]:
    return re.compile(
        date_pattern(format).replace(r"\p{L}", r"[^\W\d_]"), 0 if "%b" in format or "%a" in format else re.ASCII
    )


def is_written(text: str, format: str) -> bool:
    """Tell whether a text looks like a date of a form; it may still be none, such as the 30th of February."""
    return _python_pattern(format).match(text) is not None


def year_of(two_digits: int) -> int:
    """Return the year of two digits as POSIX reads it: from 1969 to 2068."""
    return two_digits + (1900 if two_digits >= 69 else 2000)


def _instant(text: str, format: str | None) -> datetime | None:
    """Return an instant that is written in a form; None for a text that is not."""
    if format in EPOCHS:
        first, last = (edge * (1_000_000 // EPOCHS[format]) for edge in YEARS)
        if not re.fullmatch(r"-?\d{1,16}", text, re.ASCII) or not first <= int(text) < last:
            return None
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(text) * EPOCHS[format])
    if format is None:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    matched = _python_pattern(format).match(text)
    if matched is None:
        return None
    part = matched.groupdict()
    month = month_of(part["b"]) if "b" in part else int(part["m"])
    hour = int(part.get("H") or part.get("I") or 0)
    if "I" in part:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if part["p"].lower() == "pm" else 0)
    year = int(part["Y"]) if "Y" in part else year_of(int(part["y"]))
    found = datetime(
        year, month or 0, int(part["d"]), hour, int(part.get("M") or 0), int(part.get("S") or 0), tzinfo=UTC
    )
    return found if "a" not in part or found.weekday() in weekdays_of(part["a"]) else None


_TYPED = str.maketrans({other: mark for mark, others in ALIKE.items() for other in others})


def as_typed(text: str) -> str:
    """Return a number with the marks that a keyboard has.

    >>> as_typed("\u221212\u2019345,50 €")
    "-12'345,50 €"
    """
    return text if text.isascii() else text.translate(_TYPED)


def plain_number(text: str, format: str | None) -> float | None:
    """Return a number that is written in a format; None for a text that is not, NaN for an infinite one."""
    written = written_as(format)
    if written is None:
        return None
    text = as_typed(text)
    if written.unit is not None or written.brackets:
        bare = next(
            (re.sub(each, left, text) for each, left in written.dressed if re.match(each, text, re.ASCII)), None
        )
        if bare is None:
            return None
        text = bare
    if written.thousands is not None:
        if re.match(written.grouped, text, re.ASCII):
            text = re.sub(written.mark, "", text)
        elif not re.match(written.whole, text, re.ASCII):
            return None
    if written.decimal == ",":
        text = text.replace(",", ".", 1)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
        found = float(text)
        return found if math.isfinite(found) else math.nan
    return math.nan if re.fullmatch(r"(?i)[+-]?(inf|infinity|nan)", text) else None


def truth(text: str, yes: tuple[str, ...] = (), no: tuple[str, ...] = ()) -> bool | None:
    """Return what a word means, in any case: by the words of its column if it has its own, else of any language.

    >>> truth("OUI"), truth("nein"), truth("maybe"), truth("p", ("p",), ("q",))
    (True, False, None, True)
    """
    word = text.strip(_BLANKS).lower()
    if word in yes or word in no:
        return word in yes
    return True if word in YES else False if word in NO else None


def numbers_of(words: tuple[str, ...]) -> tuple[float, ...]:
    """Return the words for a missing value that are numbers, such as -999: numbers stand for it too."""
    read = (plain_number(word, None) for word in words)
    return tuple(number for number in read if number is not None and math.isfinite(number))


class ColumnReading(Strict):
    """How the texts of one column become values, where that is not the usual way.

    ``format`` is one of ``FORMATS`` for numbers, or one with a unit or brackets around (``written_as``), of
    ``DATE_FORMATS`` or ``EPOCHS`` for instants. ``true`` and ``false``
    are the words of a boolean, in small letters. ``missing`` are its own words for a missing value, instead of those of
    the table.
    """

    format: str | None = None
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    missing: tuple[str, ...] | None = None


class TextReading(Strict):
    """How a text becomes a value: the same in files, requests, labels and windows.

    ``trim`` drops blanks around it; ``missing`` are the words that stand for a missing value, the empty text always
    does. Words that are numbers, such as -999, stand for it among numbers too. ``columns`` are those that are read in
    a way of their own.
    """

    trim: bool = True
    missing: tuple[str, ...] = ()
    columns: dict[str, ColumnReading] = Field(default_factory=dict)

    def missing_in(self, name: str) -> tuple[str, ...]:
        """Return the words for a missing value of one column."""
        own = self.columns[name].missing if name in self.columns else None
        return self.missing if own is None else own

    def read(self, text: str, name: str = "") -> str:
        """Return a text as a category or label; the empty text is a missing value."""
        value = text.strip(_BLANKS) if self.trim else text
        return "" if value in self.missing_in(name) else value

    def value(self, name: str, kind: FeatureType, text: str) -> object:
        """Return the value of a text in a column of a type: None for a missing one, ``UNFIT`` for none of that type.

        Instants come as ISO 8601 texts.
        """
        read = self.read(text, name)
        if not read:
            return None
        own = self.columns.get(name, _USUAL)
        match kind:
            case "category":
                return read
            case "boolean":
                found = truth(read, own.true, own.false)
                return UNFIT if found is None else found
            case "datetime":
                try:
                    instant = _instant(read, own.format)
                except (ValueError, OverflowError):
                    return UNFIT
                return UNFIT if instant is None else instant.isoformat().replace("+00:00", "Z")
            case _:
                return self._number(name, own, kind, read)

    def _number(self, name: str, own: ColumnReading, kind: FeatureType, text: str) -> object:
        text = as_typed(text)
        if kind == "integer" and own.format is None and re.fullmatch(r"[+-]?\d+", text, re.ASCII):
            number: float | None = int(text)
        else:
            number = plain_number(text, own.format)
        if number is None or (kind == "integer" and not math.isnan(number) and number != int(number)):
            return UNFIT
        if math.isnan(number) or number in numbers_of(self.missing_in(name)):
            return None
        return int(number) if kind == "integer" else float(number)

    def holds_for(self, names: Iterator[str] | tuple[str, ...]) -> TextReading:
        """Return the reading as far as it is of some columns."""
        kept = {name: self.columns[name] for name in names if name in self.columns}
        return self.model_copy(update={"columns": kept})


_USUAL = ColumnReading()
