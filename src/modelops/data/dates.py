"""Dates as people write them: which forms a column fits, and its instants, by the patterns that every side reads by."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from modelops.spec.texts.reading import DATE_FORMATS, EPOCHS, YEARS, date_pattern, is_written
from modelops.spec.texts.words import MONTH_NAMES, WEEKDAY_NAMES

__all__ = ["dated", "epoch_form", "fitting_forms", "may_be_dates", "timely"]

_INSTANT = pa.timestamp("us", "UTC")
_LENIENT = frozenset(
    day + clock
    for day in ("%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
    for clock in ("", " %H:%M", " %H:%M:%S")
)
"""The forms that version 0.1.0 read, in which it took years of two digits for those of antiquity."""
_SPAN = (946_684_800, 2_208_988_800)
"""Seconds since 1970 of the years from 2000 to 2039: what is called like a time and lies there is one."""
_WRITTEN = (17_000_101, 22_000_101)
"""Days as whole numbers, of years that data are about."""
_TIMELY = re.compile(
    r"(^|[_\s.-])(time|timestamp|ts|date|datetime|epoch|unix|created|updated|modified|at|when|datum|zeit|fecha|fechas|heure|hora|"
    r"ora|dato|tid|tijd)($|[_\s.-])|[a-z](Time|Date|At|Timestamp)$|(time|date)$",
    re.IGNORECASE,
)


def may_be_dates(numbers: pa.Array) -> bool:
    """Tell whether whole numbers lie where days written 20240131 or times since 1970 do."""
    ends = pc.min_max(numbers).as_py()
    low, high = ends["min"], ends["max"]
    if low is None:
        return True
    return any(start <= low and high < end for start, end in (_WRITTEN, _SPAN, tuple(1000 * each for each in _SPAN)))


def timely(name: str) -> bool:
    """Tell whether a column is called like a time."""
    return _TIMELY.search(name) is not None


def fitting_forms(values: pa.Array, before: list[str] | None) -> list[str]:
    """Return those of the forms fitting so far (None: of all) that these values, none missing, fit too."""
    if before is None:
        before = _like(values[0].as_py())
    if not before:
        return []
    some = values.slice(0, 30)
    left = [form for form in before if dated(some, form) is not None]
    values = pc.unique(values) if left and len(values) > len(some) else some
    return [form for form in left if dated(values, form) is not None]


def _like(text: str) -> list[str]:
    """Return the forms that one text is written in, as far as its length and signs say."""
    if not 6 <= len(text) <= 40 or not any(each.isdigit() for each in text):
        return []
    if text.lstrip("-").isdigit():
        return ["%Y%m%d", *EPOCHS] if len(text) == 8 and "17" <= text[:2] < "22" else list(EPOCHS)
    return [form for form in DATE_FORMATS if is_written(text, form)]


def epoch_form(numbers: Iterable[int], forms: Iterable[str]) -> str | None:
    """Return the form in which whole numbers since 1970 lie in our time, None where none of them does."""
    some = list(numbers)
    for form in forms:
        scale = EPOCHS.get(form, 0) and 1_000_000 // EPOCHS[form]
        if scale and all(_SPAN[0] * scale <= each < _SPAN[1] * scale for each in some):
            return form
    return None


def dated(texts: pa.Array, form: str, *, lenient: bool = False) -> pa.Array | None:
    """Return the instants that texts in a form are; None where one is no date of it."""
    try:
        found = _since_1970(texts, form) if form in EPOCHS else _composed(texts, form)
    except (pa.ArrowInvalid, OverflowError):
        found = None
    if found is not None or not lenient or form not in _LENIENT:
        return found
    parsed = pc.strptime(texts, format=form, unit="us", error_is_null=True)
    return parsed.cast(_INSTANT) if parsed.null_count == texts.null_count else None


def _since_1970(texts: pa.Array, form: str) -> pa.Array | None:
    if not pc.all(pc.match_substring_regex(texts, r"^-?\d{1,16}$")).as_py() and texts.null_count < len(texts):
        return None
    ends = pc.min_max(texts.cast(pa.int64())).as_py()
    first, last = (edge * (1_000_000 // EPOCHS[form]) for edge in YEARS)
    if ends["min"] is not None and (ends["min"] < first or ends["max"] >= last):
        return None
    micros = pc.multiply_checked(texts.cast(pa.int64()), pa.scalar(EPOCHS[form], pa.int64()))
    return micros.cast(pa.timestamp("us")).cast(_INSTANT)


def _composed(texts: pa.Array, form: str) -> pa.Array | None:
    """Write the parts of each text as ISO 8601, which Arrow reads whatever the language of the machine is."""
    parts = pc.extract_regex(texts, date_pattern(form))
    if parts.null_count > texts.null_count:
        return None
    names = [field.name for field in parts.type]
    part = {name: pc.struct_field(parts, name) for name in names}
    if texts.null_count:
        missing = pc.is_null(texts)
        part = {name: pc.if_else(missing, None, values) for name, values in part.items()}
    month = _months(part["b"]) if "b" in part else _two(part["m"])
    if month is None:
        return None
    hour = _hours(part)
    if hour is None:
        return None
    zero = "00"
    iso = pc.binary_join_element_wise(
        pc.binary_join_element_wise(_years(part), month, _two(part["d"]), "-"),
        pc.binary_join_element_wise(hour, part.get("M", zero), part.get("S", zero), ":"),
        "T",
    )
    found = iso.cast(pa.timestamp("us"))
    if "a" in part and not _on_their_days(part["a"], found):
        return None
    return found.cast(_INSTANT)


def _on_their_days(words: pa.Array, instants: pa.Array) -> bool:
    """Tell whether each date is on the day of the week that its word names."""
    names, days = pc.utf8_lower(pc.utf8_rtrim(words, ".,")), pc.day_of_week(instants)
    right = pa.array([False] * len(words))
    for day, known in enumerate(WEEKDAY_NAMES):
        named = pc.is_in(names, value_set=pa.array(sorted(known), pa.string()))
        right = pc.or_(right, pc.and_(named, pc.fill_null(pc.equal(days, day), False)))
    return bool(pc.all(pc.or_(right, pc.is_null(words))).as_py() in (True, None))


def _two(texts: pa.Array) -> pa.Array:
    return pc.utf8_lpad(texts, 2, "0")


def _years(part: dict[str, pa.Array]) -> pa.Array:
    if "Y" in part:
        return part["Y"]
    late = pc.greater_equal(part["y"], "69")
    return pc.binary_join_element_wise(pc.if_else(late, "19", "20"), part["y"], "")


def _hours(part: dict[str, pa.Array]) -> pa.Array | str | None:
    if "H" in part:
        return _two(part["H"])
    if "I" not in part:
        return "00"
    hours = part["I"].cast(pa.int64())
    if pc.any(pc.or_(pc.less(hours, 1), pc.greater(hours, 12))).as_py():
        return None
    late = pc.equal(pc.utf8_lower(part["p"]), "pm")
    hours = pc.add(pc.if_else(pc.equal(hours, 12), 0, hours), pc.if_else(late, 12, 0))
    return _two(hours.cast(pa.string()))


def _months(words: pa.Array) -> pa.Array | None:
    """Return the numbers of months in two digits; None where a word names none."""
    known = {name: f"{number:02d}" for number, names in enumerate(MONTH_NAMES, start=1) for name in names}
    lower = pc.utf8_lower(pc.utf8_rtrim(words, "."))
    places = pc.index_in(lower, value_set=pa.array(list(known), pa.string()))
    if places.null_count > words.null_count:
        return None
    return pc.take(pa.array(list(known.values()), pa.string()), places)
