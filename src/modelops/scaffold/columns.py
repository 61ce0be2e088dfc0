"""What each column of an unknown table is: a feature and of which type, or left out and why."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from modelops.artifacts.frame import column as convert
from modelops.errors import ModelOpsError
from modelops.spec.model import FeatureType

MOST_CATEGORIES = 1000
"""Distinct values above which a text is not taken for a category."""

_IDENTIFIER = re.compile(r"(^|[_\s.-])([iI][dD]|uuid|UUID|guid|GUID)$|[a-z]I[dD]$")
_NUMBERED = re.compile(r"(^|[_\s.-])(key|number|no|nr|code|ref|index|row)$", re.IGNORECASE)
_PROTECTED = re.compile(
    r"(^|[_\s.-])(sex|gender|race|ethnicity|ethnic|religion|nationality|marital|disability|disabled|age|birth|pregnan\w*)",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"[-+]?[€$£¥]? ?[-+]?\d{1,3}(?:[,.' \u00a0]?\d{3})*(?:[.,]\d+)? ?[%€$£¥]?")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?")
_OTHER_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T]\d{1,2}:\d{2}.*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
MOST_CODES = 50
"""Distinct whole numbers up to which a column named like an identifier is taken for a category."""
_BOOLEANS = tuple(map(frozenset, (("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n"), ("on", "off"), ("1", "0"))))


@dataclass(frozen=True, slots=True)
class Finding:
    """One column: its feature type (None: left out), whether values are missing, and a remark for the reviewer."""

    name: str
    type: FeatureType | None
    nullable: bool
    remark: str = ""
    identifies: bool = False


def looks_boolean(words: Iterable[str]) -> bool:
    """Return whether distinct texts are the two words of one pair such as yes and no, in any case."""
    found = {word.strip().lower() for word in words}
    return len(found) == 2 and found in _BOOLEANS


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
        return out("it has one value only")
    share = distinct / present
    if _is_text(values.type):
        finding = _text(name, values, nullable, distinct, share)
    elif pa.types.is_temporal(values.type):
        finding = out("a date keeps growing, so a model that splits on it meets only unseen values")
    elif pa.types.is_boolean(values.type):
        finding = Finding(name, "boolean", nullable)
    else:
        finding = _numeric(name, values, nullable, distinct, share)
    return _proven(finding, values)


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
    if whole and share == 1 and not nullable and (named or _NUMBERED.search(name) or _counts(values, distinct)):
        return Finding(name, None, nullable, "100 % distinct: looks like an identifier", identifies=True)
    if whole and named and distinct > MOST_CODES:
        return Finding(name, None, nullable, f"named like an identifier, of {distinct} values")
    if whole and named:
        return Finding(name, "category", nullable, "named like an identifier, so its numbers are taken for codes")
    if distinct == 2 and whole and set(pc.unique(values).drop_null().to_pylist()) == {0, 1}:
        return Finding(name, "boolean", nullable)
    return Finding(name, "integer" if whole else "number", nullable, _protected(name))


def _finite(values: pa.ChunkedArray) -> bool:
    return not bool(pc.any(pc.is_inf(values.cast(pa.float64()))).as_py())


def _counts(values: pa.ChunkedArray, distinct: int) -> bool:
    """Return whether whole numbers count the rows: all distinct, without gaps, in order, and enough of them to tell."""
    low, high = pc.min_max(values).as_py().values()
    return distinct >= 20 and high - low == distinct - 1 and values.to_pylist() == list(range(low, high + 1))


def _text(name: str, values: pa.ChunkedArray, nullable: bool, distinct: int, share: float) -> Finding:
    words = [word for word in pc.unique(values).to_pylist() if word]

    def out(remark: str, *, identifies: bool = False) -> Finding:
        return Finding(name, None, nullable, remark, identifies)

    if not words or len(words) == 1:
        return out("it has one value only" if words else "every value is missing")
    if looks_boolean(words):
        return Finding(name, "boolean", nullable, f"written as {' and '.join(sorted(map(_show, words))[:2])}")
    if all(_ISO_DATE.fullmatch(word.strip()) for word in words):
        return out("a date keeps growing, so a model that splits on it meets only unseen values")
    if all(_OTHER_DATE.fullmatch(word.strip()) for word in words):
        return out(f"dates that are not in ISO 8601, such as {_show(words[0])}")
    numbers = sum(map(_is_number, words))
    if 0.8 * len(words) <= numbers < len(words) and distinct > 20:
        stray = next(word for word in words if not _is_number(word))
        return out(
            f"{len(words) - numbers} of its {len(words)} values are no numbers, such as {_show(stray)}; clean them"
        )
    if all(_AMOUNT.fullmatch(word.strip()) for word in words) and not all(map(str.isdigit, words)):
        return out("numbers with separators, percent or currency signs are texts: write them as 1234.5")
    if share >= 0.9 and distinct >= 20:
        unique = distinct == len(values) and not nullable
        return out(f"{math.floor(share * 100)} % distinct: looks like an identifier", identifies=unique)
    if distinct > MOST_CATEGORIES or (share > 0.5 and distinct >= 20):
        return out(f"{distinct} different texts in {len(values)} rows: too many for a category")
    return Finding(name, "category", nullable, _protected(name))


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


def _proven(finding: Finding, values: pa.ChunkedArray) -> Finding:
    """Convert every value as serving will; a column that does not convert becomes a category, or is left out."""
    if finding.type is None:
        return finding
    try:
        convert(values, finding.type, finding.name)
    except ModelOpsError as error:
        return Finding(
            finding.name, None, finding.nullable, error.problems[0].message.partition(": ")[2] or "does not convert"
        )
    return finding
