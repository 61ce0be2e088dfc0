"""Columns: which of the five feature types a column has, and the conversion of raw values into that type.

Taking a snapshot and reading it for training use the same conversions, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modelops.data.dates import dated, epoch_form, fitting_forms
from modelops.data.numbers import Dress, Shape, as_typed, plain
from modelops.spec.kinds.data_snapshot import Column
from modelops.spec.meta import FeatureType
from modelops.spec.texts.reading import EPOCHS, TextReading, numbers_of
from modelops.spec.texts.words import NO, PAIRS, YES

__all__ = [
    "ARROW",
    "ColumnForm",
    "Guess",
    "arrow_feature_type",
    "as_asked",
    "converted",
    "first_unfit",
    "forms_of",
    "with_missing",
]

ARROW: dict[FeatureType, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "datetime": pa.timestamp("us", "UTC"),
}
_DIGITS = r"^-?\d+$"
_EXACT = 1 << 53
"""Up to here a float holds every integer."""
_OFFSET = r":\d\d.*(Z|[+-]\d\d(:?\d\d)?)$"


@dataclass(frozen=True, slots=True)
class ColumnForm:
    """A column's type and how its text is written where that is not the usual way.

    ``format`` is a form of ``spec.texts.reading`` for dates that are not ISO 8601, and one of its ``FORMATS`` for
    numbers that are written with other marks than a decimal point. ``true`` and ``false`` are the words of a boolean,
    those of every language without any. ``missing`` are numbers that stand for a missing value. ``lenient`` reads dates
    as version 0.1.0 did.
    """

    type: FeatureType
    format: str | None = None
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    missing: tuple[float, ...] = ()
    lenient: bool = False


def forms_of(columns: tuple[Column, ...], text: TextReading) -> dict[str, ColumnForm]:
    """Return the forms that a snapshot's columns are read in."""
    return {
        each.name: ColumnForm(each.type, each.format, each.true, each.false, _numbers(each.type, text, each.name))
        for each in columns
    }


def _numbers(kind: FeatureType, text: TextReading, name: str) -> tuple[float, ...]:
    return numbers_of(text.missing_in(name)) if kind in ("number", "integer") else ()


def as_asked(kind: FeatureType, found: ColumnForm) -> ColumnForm:
    """Return the form of a column that has to be of another type than it looks like."""
    if {found.type, kind} <= {"number", "integer"}:
        return ColumnForm(kind, found.format)
    return ColumnForm(kind)


def with_missing(form: ColumnForm, words: tuple[str, ...]) -> ColumnForm:
    """Return a form that knows which numbers stand for a missing value."""
    return replace(form, missing=numbers_of(words)) if form.type in ("number", "integer") else form


def converted(values: pa.Array, form: ColumnForm) -> pa.Array | None:
    """Convert raw values into the Arrow type of their feature type; None when a value does not fit.

    Text is parsed; empty text, NaN and infinite numbers become null.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.dictionary_decode(), values.type.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        values = values.cast(pa.string())
    try:
        read = _from_text(values, form) if pa.types.is_string(values.type) else _from_typed(values, form)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return _without(read, form.missing) if read is not None and form.missing else read


def _without(values: pa.Array, missing: tuple[float, ...]) -> pa.Array:
    """Return numbers with null for those that stand for a missing value."""
    if not pa.types.is_integer(values.type) and not pa.types.is_floating(values.type):
        return values
    whole = pa.types.is_integer(values.type)
    known = [int(each) if whole else each for each in missing if not whole or each.is_integer()]
    return pc.if_else(pc.is_in(values, value_set=pa.array(known, values.type)), None, values) if known else values


def first_unfit(values: pa.Array, form: ColumnForm) -> int:
    """Return the index of the first value that does not fit, by bisection; -1 when all do."""
    if converted(values, form) is not None:
        return -1
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        if converted(values.slice(low, middle - low), form) is None:
            high = middle
        else:
            low = middle
    return low


def _from_text(values: pa.Array, form: ColumnForm) -> pa.Array | None:
    match form.type:
        case "category":
            return pc.if_else(pc.equal(values, ""), None, values) if pc.any(pc.equal(values, "")).as_py() else values
        case "boolean":
            return _booleans(values, form)
        case "integer":
            return _integers(plain(values, form.format))
        case "number":
            return _finite(_floats(plain(values, form.format)))
        case "datetime":
            return _instants(values, form)


def _from_typed(values: pa.Array, form: ColumnForm) -> pa.Array | None:
    kind = values.type
    if pa.types.is_floating(kind):
        values = _finite(values)
    match form.type:
        case "category":
            return None if pa.types.is_nested(kind) or pa.types.is_binary(kind) else values.cast(pa.string())
        case "boolean":
            outside = pc.invert(pc.is_in(values.cast(pa.float64()), value_set=pa.array([0.0, 1.0, None])))
            return None if pc.any(outside).as_py() else values.cast(pa.bool_())
        case "integer":
            return None if pa.types.is_temporal(kind) else values.cast(pa.int64())
        case "number":
            return (values.cast(pa.int64()) if pa.types.is_duration(kind) else values).cast(pa.float64(), safe=False)
        case "datetime" if form.format is not None and pa.types.is_integer(kind):
            return dated(values.cast(pa.string()), form.format)
        case "datetime":
            return _to_instants(values)


def _to_instants(values: pa.Array) -> pa.Array | None:
    kind = values.type
    if pa.types.is_date(kind):
        values = values.cast(pa.timestamp("s"))
    elif not pa.types.is_timestamp(kind):
        return None
    # A timestamp without a zone is taken as UTC; nanoseconds are cut to microseconds.
    return values.cast(pa.timestamp(values.type.unit, "UTC")).cast(ARROW["datetime"], safe=False)


def _booleans(values: pa.Array, form: ColumnForm) -> pa.Array | None:
    lower = pc.utf8_lower(values)
    # Made here, since pa.array loads pandas, which a mere check of files need not wait for.
    yes, no = (form.true, form.false) if form.true or form.false else (sorted(YES), sorted(NO))
    true, false = (
        pc.is_in(lower, value_set=pa.array(yes, pa.string())),
        pc.is_in(lower, value_set=pa.array(no, pa.string())),
    )
    known = pc.or_(true, false)
    if int(pc.sum(known).as_py() or 0) + values.null_count < len(values):
        return None
    return pc.if_else(known, true, None)


def _integers(values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:
        # pandas writes integers with missing values as 5.0. Digits are never read as floats, which hold 53 bits.
        digits = _without_point(values)
        plain = pc.match_substring_regex(digits, _DIGITS)
        exact = pc.if_else(plain, digits, None).cast(pa.int64())
        return pc.coalesce(exact, _floats(pc.if_else(plain, None, values)).cast(pa.int64()))


def _without_point(values: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(values, r"^([+-]?\d+)\.0*$", r"\1")


def _floats(values: pa.Array) -> pa.Array:
    return values.cast(pa.float64())


def _finite(values: pa.Array) -> pa.Array:
    finite = pc.is_finite(values)
    return values if pc.all(finite).as_py() in (True, None) else pc.if_else(finite, values, None)


def _instants(values: pa.Array, form: ColumnForm) -> pa.Array | None:
    if form.format is not None:
        return dated(values, form.format, lenient=form.lenient)
    try:
        return values.cast(pa.timestamp("us")).cast(ARROW["datetime"])
    except pa.ArrowInvalid:
        zoned = pc.match_substring_regex(values, _OFFSET)
        with_zone = pc.if_else(zoned, values, None).cast(ARROW["datetime"])
        without = pc.if_else(zoned, None, values).cast(pa.timestamp("us")).cast(ARROW["datetime"])
        return pc.coalesce(with_zone, without)


def arrow_feature_type(kind: pa.DataType) -> FeatureType | None:
    """Return the feature type of an Arrow type, None for nested and binary ones."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "number" if kind == pa.uint64() else "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_duration(kind):
        return "number"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "datetime"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "category"
    return "category" if pa.types.is_null(kind) or pa.types.is_time(kind) else None


class Guess:
    """The narrowest type that fits every value of a text column seen so far.

    Codes stay text: leading zeros (00501), hexadecimal, and integers too long to be numbers. 0/1 is boolean only when
    both occur; for the label column 0/1 stays integer and yes/no stays text, so that labels keep their spelling.
    Integers of which some are written as 5.0 are numbers, unless one is too long for a float to hold it.
    How numbers with other marks are written is for the whole file to say: ``shape`` is what this column shows.
    Dates whose order of day and month no value settles stay text: modelops does not guess. Whole numbers are dates if
    ten different ones are all days written 20240131, or, in a column that is called like a time, seconds or
    milliseconds since 1970.
    """

    def __init__(self, *, label: bool = False, timely: bool = False) -> None:
        self.shape = Shape()
        self.dress = Dress()
        self._label = label
        self._timely = timely
        self._words: set[str] | None = set()
        self._forms = [ColumnForm("integer"), ColumnForm("number"), ColumnForm("datetime")]
        self._dates: list[str] | None = None
        self._some: set[int] = set()
        self._empty = True
        self._pointed = False
        self._long = False

    def see(self, values: pa.Array) -> None:
        """Drop the types that do not fit these values."""
        values = values.drop_null()
        if not len(values):
            return
        self._empty = False
        if self._words is not None:
            self._see_words(values)
        self._dates = fitting_forms(values, self._dates)
        self.dress.see(values)
        if not self._forms and not self.shape.numeric:
            return
        if any(form.type != "datetime" for form in self._forms) and _is_code(values):
            self._forms = [form for form in self._forms if form.type == "datetime"]
            self.shape.numeric = False
        self.shape.see(values)
        self._keep_fitting(values.slice(0, 30))  # most types fail on the first few values, at little cost
        self._keep_fitting(values)

    def _keep_fitting(self, trial: pa.Array) -> None:
        alive: list[ColumnForm] = []
        for form in self._forms:
            if form == ColumnForm("integer"):
                alive += [form] if self._see_integers(as_typed(trial)) else []
            elif form == ColumnForm("number") and alive:
                alive.append(form)  # every integer is a number
            elif converted(trial, form) is not None:
                alive.append(form)
        self._forms = alive

    def _see_integers(self, trial: pa.Array) -> bool:
        """Return whether all are integers, 5.0 counted as one; remember how long and how they are written."""
        try:
            found, pointed = trial.cast(pa.int64()), False
        except pa.ArrowInvalid:
            digits = _without_point(trial)
            try:
                found, pointed = digits.cast(pa.int64()), True
            except pa.ArrowInvalid:
                return False
        ends = pc.min_max(found).as_py()
        self._pointed |= pointed
        self._long |= ends["min"] < -_EXACT or ends["max"] > _EXACT
        if len(self._some) < _DAYS:
            self._some |= set(pc.unique(found.slice(0, 1000)).to_pylist())
        return True

    def _see_words(self, values: pa.Array) -> None:
        assert self._words is not None
        self._words |= set(pc.unique(pc.utf8_lower(pc.unique(values.slice(0, 1000)))).to_pylist())
        if not any(self._words <= pair for pair in PAIRS):
            self._words = None
            return
        everything = set(pc.unique(pc.utf8_lower(values)).to_pylist())
        self._words = self._words | everything if any(everything <= pair for pair in PAIRS) else None
        if self._words is not None and not any(self._words <= pair for pair in PAIRS):
            self._words = None

    def result(self) -> ColumnForm:
        """Return the type of the column."""
        if self._empty:
            return ColumnForm("category")
        if self._words is not None and self._is_boolean(self._words):
            own = sorted(self._words - _PLAIN)
            return ColumnForm(
                "boolean", None, tuple(word for word in own if word in YES), tuple(word for word in own if word in NO)
            )
        whole = ColumnForm("integer") in self._forms
        dates = [form for form in self._dates or [] if form not in EPOCHS]
        if whole and not self._label and len(self._some) >= _DAYS and (dates or (self._dates and self._timely)):
            found = dates[0] if dates else epoch_form(self._some, self._dates or [])
            if found is not None:
                return ColumnForm("datetime", found)
        for form in self._forms:
            if form.type == "integer" and self._pointed and not self._long:
                continue
            return form  # ISO 8601 is not ambiguous
        return ColumnForm("datetime", dates[0]) if len(dates) == 1 else ColumnForm("category")

    @property
    def dates(self) -> tuple[str, ...]:
        """The forms of dates that every value fits; two of them are for a person to tell apart."""
        return tuple(form for form in self._dates or () if form not in EPOCHS)

    def _is_boolean(self, words: set[str]) -> bool:
        if self._label:
            return words <= {"true", "false"}
        return len(words) == 2 or words <= {"true", "false"} or words <= {"yes", "no"}


_PLAIN = frozenset(("true", "false", "1", "0"))
"""Words of booleans that need not be written down, since every side knows them."""
_DAYS = 10
"""Distinct whole numbers from which on they can be taken for days: by chance all are with less than one in 10^12."""


def _is_code(values: pa.Array) -> bool:
    zeros: Any = values.filter(pc.starts_with(values, "0"))
    if pc.any(pc.match_substring_regex(zeros, r"^0[0-9xX]")).as_py():
        return True
    if pc.max(pc.binary_length(values)).as_py() < 18:
        return False
    return bool(pc.any(pc.match_substring_regex(values, r"^[0-9]{18,}$")).as_py())
