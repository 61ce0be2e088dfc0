"""What each column of an unknown table is: a feature and of which type, or left out and why."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.artifacts.frame import column as convert
from modelops.artifacts.frame import unquoted
from modelops.data.dates import fitting_forms, timely
from modelops.data.numbers import Dress, Shape, numbers_among
from modelops.errors import ModelOpsError
from modelops.spec.meta import FeatureType
from modelops.spec.texts.reading import DATE_FORMATS, is_written
from modelops.spec.texts.words import PAIRS
from modelops.summaries import SHARED

MOST_CATEGORIES = 1000
"""Distinct values above which a text is not taken for a category."""

_IDENTIFIER = re.compile(
    r"(^|[_\s.-])([iI][dD]|uuid|UUID|guid|GUID)$|[a-z]I[dD]$|^([iI][dD])[_\s.-]|(nummer|numero|número|numéro)$"
)
_NUMBERED = re.compile(r"(^|[_\s.-])(key|number|no|nr|code|ref|index|row)$", re.IGNORECASE)
_INDEX = re.compile(
    r"(column_1|unnamed.*|index|row|rows?[ _.]?(names?|no|nr|num|number|index)|rownames|obs|#|lfd.*)", re.I
)
_DATE = re.compile(r"(^|[_\s.-])(date|datum|fecha)$|[a-z]Date$", re.IGNORECASE)
_YEAR = re.compile(r"(^|[_\s.-])(year|yr|jahr|année|annee|año|anno|ano|jaar|år|rok)$|[a-z]Year$", re.IGNORECASE)
_PERSONAL_DIGITS = 7
"""Digits from which on whole numbers that all have as many are numbers of persons or things, not amounts."""
_BY_CHANCE = 5.0
"""Repeats that values drawn at random from the range would have: that none has is then no chance (below 1 %)."""
_SOME = 50
_WITH_WEEKDAY = tuple(form for form in DATE_FORMATS if form.startswith("%a "))
_SEEN = 20
"""Texts that are looked at for what they are like, where none of them is a value of any type."""
_PROTECTED = re.compile(
    r"(^|[_\s.-])(sex|gender|races?|ethnicity|ethnic|religion|nationality|marital|disability|disabled|ages?|birth|pregnan\w*)"
    r"($|[_\s.-]|\d)",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"[-+]?[€$£¥]? ?[-+]?\d{1,3}(?:[,.' \u00a0]?\d{3})*(?:[.,]\d+)? ?[%€$£¥]?")
_AMOUNTS = re.compile(
    r"\D{0,6}\d{1,3}(?:[,.'\u2019 \u00a0\u202f]?\d{3})*[.,](?:\d{1,2}\D{0,6}|[-\u2013\u2014]{1,2}|\d+[eE][+-]?\d+)"
)
"""Fractions with anything around them: they are measures, however they are written, and name no row."""
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?")
_OTHER_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T]\d{1,2}:\d{2}.*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
MOST_CODES = 50
"""Distinct whole numbers up to which a column named like an identifier is taken for a category."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One column: its feature type (None: left out), whether values are missing, and a remark for the reviewer.

    ``identifies`` tells that it names each row, ``groups`` that it names what several rows are about. ``said`` is what
    the person is told at once, ``keeps`` the type of a column that is left out and can be a feature all the same.
    """

    name: str
    type: FeatureType | None
    nullable: bool
    remark: str = ""
    identifies: bool = False
    groups: bool = False
    said: str = ""
    keeps: FeatureType | None = None


def looks_boolean(words: Iterable[str]) -> bool:
    """Return whether distinct texts are the two words of one pair such as yes and no, in any case."""
    found = {word.strip().lower() for word in words}
    return len(found) == 2 and found in PAIRS


def examine(name: str, values: pa.ChunkedArray) -> Finding:
    """Return what one column is, from its Arrow type and every one of its values."""
    missing = _missing(values)
    nullable = missing > 0

    def out(remark: str, *, identifies: bool = False) -> Finding:
        return Finding(name, None, nullable, remark, identifies)

    if not name.strip() or _CONTROL.search(name):
        return out("its name is empty or holds control characters")
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not _flat(values.type):
        return out(f"values of type {values.type} are not flat")
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    present = len(values) - missing
    if present == 0:
        return out("every value is missing")
    distinct = pc.count_distinct(values, mode="only_valid").as_py()
    if distinct == 1:
        return _one_value(name, values, missing)
    finding = _of_values(name, values, nullable, distinct, distinct / present)
    return _proven(finding if finding.type is not None else replace(finding, keeps=_natural(values)), values)


def _one_value(name: str, values: pa.ChunkedArray, missing: int) -> Finding:
    """Return what a column of one value is: whether a text is there at all tells rows apart, as a word would."""
    if missing == 0:
        return Finding(name, None, False, "it has one value only")
    few = min(missing, len(values) - missing)
    if not (_is_text(values.type) or pa.types.is_boolean(values.type)) or few < max(SHARED, 0.01 * len(values)):
        return Finding(name, None, True, f"it has one value only, and none in {missing:,} rows", keeps=_natural(values))
    said = f"one value, or none in {missing:,} rows: whether it has one is what a model sees"
    return Finding(name, "category", True, said, said=said)


def _of_values(name: str, values: pa.ChunkedArray, nullable: bool, distinct: int, share: float) -> Finding:
    if _is_text(values.type):
        return _text(name, values, nullable, distinct, share)
    if pa.types.is_temporal(values.type):
        return Finding(
            name, None, nullable, "a date keeps growing, so a model that splits on it meets only unseen values"
        )
    if pa.types.is_boolean(values.type):
        return Finding(name, "boolean", nullable)
    return _numeric(name, values, nullable, distinct, share)


def _natural(values: pa.ChunkedArray) -> FeatureType | None:
    """Return the type of a column that somebody wants for a feature; None where its values cannot be one."""
    if _is_text(values.type):
        return "category"
    if pa.types.is_temporal(values.type):
        return "datetime"
    if pa.types.is_integer(values.type):
        return "integer"
    return "number" if _finite(values) else None


def is_year(name: str) -> bool:
    """Tell whether a column is called like a year."""
    return _YEAR.search(name) is not None


def _missing(values: pa.ChunkedArray) -> int:
    """Count what the feature frame takes for missing: null, NaN and the empty text."""
    missing = int(values.null_count)
    if pa.types.is_floating(values.type):
        missing += int(pc.sum(pc.is_nan(values)).as_py() or 0)
    elif _is_text(values.type):
        missing += int(pc.sum(pc.equal(values, "")).as_py() or 0)
    return missing


def _flat(type_: pa.DataType) -> bool:
    return bool(
        _is_text(type_)
        or pa.types.is_boolean(type_)
        or pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_date(type_)
        or pa.types.is_timestamp(type_)
        or pa.types.is_null(type_)
    )


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


def _numeric(name: str, values: pa.ChunkedArray, nullable: bool, distinct: int, share: float) -> Finding:
    whole = pa.types.is_integer(values.type)
    if not whole and not pa.types.is_decimal(values.type) and not _finite(values):
        return Finding(name, None, nullable, "some of its values are infinite")
    named = _IDENTIFIER.search(name) is not None
    if whole and share == 1 and (found := _distinct_numbers(name, values, nullable, distinct, named=named)) is not None:
        return found
    if whole and named and distinct > MOST_CODES:
        return _grouping(name, nullable, distinct, share)
    if whole and named:
        return Finding(name, "category", nullable, "named like an identifier, so its numbers are taken for codes")
    if whole and distinct > 2 and _DATE.search(name):
        said = "called a date, which keeps growing, and its whole numbers are read as none; --feature keeps it"
        return Finding(name, None, nullable, said)
    if distinct == 2 and whole and set(pc.unique(values).drop_null().to_pylist()) == {0, 1}:
        return Finding(name, "boolean", nullable)
    said = sentinels(name, values)
    if whole and not nullable and not said:
        said = _in_order(name, values, distinct, share)
    remark = "; ".join(part for part in (_protected(name), said) if part)
    return Finding(name, "integer" if whole else "number", nullable, remark, said=said)


def _grouping(name: str, nullable: bool, distinct: int, share: float) -> Finding:
    """Return a column that is called like an identifier and repeats: its rows are about the same things."""
    return Finding(name, None, nullable, f"named like an identifier, of {distinct:,} values", groups=share <= 1 / 1.5)


def _distinct_numbers(
    name: str, values: pa.ChunkedArray, nullable: bool, distinct: int, *, named: bool
) -> Finding | None:
    """Return what whole numbers are of which none comes twice: an index, an identifier, or None for a measure."""
    if not nullable and _YEAR.search(name) and _counts(values, distinct):
        return None
    index = _INDEX.fullmatch(name) is not None
    if not nullable and not named and (index or _counts(values, distinct)):
        return Finding(name, None, nullable, "it numbers the rows, and says nothing of them")
    if named or _NUMBERED.search(name):
        return Finding(name, None, nullable, "100 % distinct: looks like an identifier", identifies=not nullable)
    why = _no_measure(values, distinct)
    if why is None:
        return None
    remark = f"{why}: looks like an identifier; --feature keeps it"
    return Finding(name, None, nullable, remark, identifies=not nullable)


def _no_measure(values: pa.ChunkedArray, distinct: int) -> str | None:
    """Return why whole numbers that are all distinct are no measure, by their values; None where they may be one."""
    low, high = pc.min_max(values).as_py().values()
    if distinct < _SOME or low < 0:
        return None
    if distinct * (distinct - 1) / 2 / (high - low + 1) >= _BY_CHANCE:
        return f"none of {distinct:,} numbers from {low} to {high} comes twice"
    if len(str(low)) == len(str(high)) >= _PERSONAL_DIGITS and distinct >= 2 * _SOME:
        return f"all {distinct:,} are different numbers of {len(str(low))} digits"
    return None


def sentinels(name: str, values: pa.ChunkedArray) -> str:
    """Return what is to be said of a number that may stand for a missing value, such as -999; empty for none."""
    numbers = np.asarray(values.drop_null().cast(pa.float64(), safe=False), dtype=np.float64)
    for value in _STAND_INS:
        found = numbers == value
        count = int(found.sum())
        if 2 <= count < len(numbers):
            others = numbers[~found]
            if _stands_apart(value, float(others.min()), float(others.max())):
                missing = f"if it means missing, say --missing {name}={value}"
                return f"{value} is in {count:,} rows, far from the others: {missing}"
    return ""


_STAND_INS = (*(sign * int("9" * n) for n in (2, 3, 4, 5, 6) for sign in (-1, 1)), -1, -9, -8888, 8888, -32768)
"""Numbers that people write where a value is missing."""


def _stands_apart(value: int, low: float, high: float) -> bool:
    if low < value < high:
        return False
    if value in (-1, -9):
        return low >= 0 and high - low >= 10
    gap = low - value if value < low else value - high
    return gap > max(high - low, abs(high), abs(low)) / (1 if abs(value) < 1000 else 2)


def _finite(values: pa.ChunkedArray) -> bool:
    return not bool(pc.any(pc.is_inf(values.cast(pa.float64()))).as_py())


def _counts(values: pa.ChunkedArray, distinct: int) -> bool:
    """Return whether whole numbers count the rows: all distinct, without gaps, in order, and enough of them to tell."""
    low, high = pc.min_max(values).as_py().values()
    return distinct >= 20 and high - low == distinct - 1 and values.to_pylist() == list(range(low, high + 1))


def _in_order(name: str, values: pa.ChunkedArray, distinct: int, share: float) -> str:
    """Return what is to be said of whole numbers in whose order the rows stand, empty for others.

    They may name rows or groups of them, or be a measure that the table is sorted by. Order shows neither, so a person
    is asked, and the column stays what it is by its values.
    """
    if distinct < _SOME or timely(name) or is_year(name):
        return ""
    steps = np.diff(np.asarray(values.cast(pa.int64(), safe=False), dtype=np.int64))
    if not (steps >= 0).all():
        return ""
    if share == 1:
        return f"the rows stand in its order: if it only names or numbers them, say --id {name}"
    low, high = pc.min_max(values).as_py().values()
    if low in (0, 1) and high - low == distinct - 1 and share <= 1 / 1.5:
        return f"the rows stand in its order: if it numbers what they are about, say --id {name}"
    return ""


def _text(name: str, values: pa.ChunkedArray, nullable: bool, distinct: int, share: float) -> Finding:
    words = [word for word in pc.unique(values).to_pylist() if word]

    def out(remark: str, *, identifies: bool = False) -> Finding:
        return Finding(name, None, nullable, remark, identifies)

    if not words or len(words) == 1:
        return _one_value(name, values, _missing(values)) if words else out("every value is missing")
    if looks_boolean(words):
        return Finding(name, "boolean", nullable, f"written as {' and '.join(sorted(map(_show, words))[:2])}")
    if all(_ISO_DATE.fullmatch(word.strip()) for word in words):
        return out("a date keeps growing, so a model that splits on it meets only unseen values")
    if all(_OTHER_DATE.fullmatch(word.strip()) for word in words):
        ways = " or ".join(fitting_forms(pa.array([word.strip() for word in words]), None))
        two = f"two readings fit: {ways}; write them in ISO 8601" if " or " in ways else "that are not in ISO 8601"
        return out(f"dates {two}, such as {_example(words[0], values)}")
    if all(any(is_written(word.strip(), form) for form in _WITH_WEEKDAY) for word in words[:_SEEN]):
        return out(f"dates whose day of the week is another one than theirs, such as {_example(words[0], values)}")
    read = {*filter(_is_number, words), *numbers_among(words)}
    numbers = len(read)
    marks = [word for word in words if word.lower() in _MARKS and not _one_of_them(word, words)]
    if marks and numbers >= 2 and numbers + len(marks) == len(words):
        shown = ", ".join(f"{mark!r} ({_rows_of(values, mark):,} rows)" for mark in marks[:5])
        ways = " ".join(f"--missing {name}={mark}" for mark in marks[:5])
        return out(f"numbers, but for {shown}: if these mean missing, say {ways}")
    if 0.8 * len(words) <= numbers < len(words) and distinct > 20:
        stray = next(word for word in words if word not in read)
        few = f"{len(words) - numbers} of its {len(words)} values are no numbers"
        return out(f"{few}, such as {_example(stray, values)}; clean them, or say --missing {name}=WORD")
    dress, shape = Dress(), Shape()
    dress.see(pa.array(words))
    if dress.mixed:
        return out(f"{dress.mixed}: one column of numbers has one unit; convert them, or write it in every row")
    if dress.written is not None:
        shape = dress.inner
    else:
        shape.see(pa.array(words))
    if shape.marked and shape.example:
        shown = re.sub(r"\d", "9", shape.example)
        ways = f"{shown.replace(',', '.')} or {re.sub('[.,]', '', shown)}"
        return out(f"two readings fit: {_show(shown)} is {ways}; say the decimal mark with --decimal")
    if all(_AMOUNT.fullmatch(word.strip()) for word in words) and not all(map(str.isdigit, words)):
        return out("numbers with separators, percent or currency signs are texts: write them as 1234.5")
    if all(map(str.isdigit, words)) and len({len(word) for word in words}) > 2 and distinct >= 20:
        return out(
            f"whole numbers of up to {max(map(len, words))} digits: too long to be exact; --feature {name}:number"
        )
    if _INDEX.fullmatch(name) and share == 1 and distinct >= 20:
        return out("it names the rows, and says nothing of them")
    if _IDENTIFIER.search(name) and distinct > MOST_CODES and share < 0.9:
        return _grouping(name, nullable, distinct, share)
    if distinct >= 20 and 0.8 * len(words) <= sum(_AMOUNTS.fullmatch(word.strip()) is not None for word in words):
        such = _example(words[0], values)
        return out(f"numbers with something around them that is not known, such as {such}: write them as 1234.5")
    if share >= 0.9 and distinct >= 20:
        unique = distinct == len(values) and not nullable
        return out(f"{math.floor(share * 100)} % distinct: looks like an identifier", identifies=unique)
    if distinct > MOST_CATEGORIES or (share > 0.5 and distinct >= 20):
        return out(f"{distinct} different texts in {len(values)} rows: too many for a category")
    said = "".join(
        f"{mark!r} is a category of {_rows_of(values, mark):,} rows: if it means missing, say --missing {name}={mark}"
        for mark in marks[:1]
    )
    return Finding(name, "category", nullable, "; ".join(part for part in (_protected(name), said) if part), said=said)


def _one_of_them(word: str, words: list[str]) -> bool:
    """Return whether a word is spelt like all the others, as the state ND is among the states."""
    return len(words) > 2 and len({(len(each), each.isupper(), each.isalpha()) for each in words}) == 1


_MARKS = frozenset(
    (
        *(
            "-",
            "--",
            "---",
            "\u2013",
            "\u2014",
            "\u2212",
            ".",
            "..",
            "*",
            "x",
            "nil",
            "n.a.",
            "n.a",
            "na.",
            "k.a.",
            "k. a.",
            "s.o.",
            "s.d.",
            "n.d.",
            "nd",
        ),
        *("b.d.", "missing", "unknown", "unk", "not available", "not applicable"),
        *("unbekannt", "inconnu", "desconocido", "sconosciuto"),
    )
)
"""What people write where a value is missing, and what may be one: it is remarked on, not taken."""


def _rows_of(values: pa.ChunkedArray, word: str) -> int:
    return int(pc.sum(pc.equal(values, word)).as_py() or 0)


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word)) and "_" not in word
    except ValueError:
        return False


def _protected(name: str) -> str:
    return (
        "may be a protected attribute; name it under data.sensitive to measure fairness"
        if _PROTECTED.search(name)
        else ""
    )


def _show(word: str) -> str:
    return repr(word if len(word) <= 30 else word[:29] + "…")


def _example(word: str, values: pa.ChunkedArray) -> str:
    """Return a value as an example for the file of a model: its shape, unless so many rows have it that it is nobody's.

    Git keeps it for ever, and it may be the birthday of somebody.
    """
    if _rows_of(values, word) >= SHARED:
        return _show(word)
    return _show("".join("9" if each.isdigit() else "x" if each.isalpha() else each for each in word))


def _proven(finding: Finding, values: pa.ChunkedArray) -> Finding:
    """Convert every value as serving will; a column that does not convert becomes a category, or is left out."""
    if finding.type is None:
        return finding
    try:
        convert(values, finding.type, finding.name)
    except ModelOpsError as error:
        return Finding(
            finding.name, None, finding.nullable, unquoted(error.first).partition(": ")[2] or "does not convert"
        )
    return finding
