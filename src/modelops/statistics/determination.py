"""Columns that hold the target under another name: alone, as a sum or difference, or several of them together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from modelops.statistics import auc

__all__ = ["Determined", "determining"]

Array = np.ndarray[Any, Any]

_BITS = 20.0
"""How much shorter the rule has to be than the labels that it gives: a chance of one in a million, times the looks."""
_MOST_RUNS = 3
"""Runs of values with one label: two have a border, three a middle. With more, a column is strong and no copy."""
_MOST_PAIRED = 40
"""Columns of which pairs are looked at."""
_MOST_VALUES = 50
"""Distinct values up to which a number is looked at as a category beside another one."""
_DIFFERENT = 100
"""Different rows from which on copies of them count for nothing."""
_SCREENED = 4000
"""Rows that a pair or a sum is tried on before all rows are."""
_LEAST_PRESENT = 0.2
"""Share of the rows that have a value from which on a rule for these rows alone is looked for."""
_EXACT = 1e-3
"""The largest residual of a sum that is the target, in its standard deviations: what rounding to cents leaves."""


@dataclass(frozen=True, slots=True)
class Determined:
    """Columns from which every row's target follows, and how: ``alone``, ``sum``, ``difference`` or ``together``.

    ``presence`` tells the target of some rows only: those with a value, or those without, all have one label. ``where
    present`` determines it in the rows with a value, which are ``rows`` and not all. ``order`` is a coarser form of a
    number: it never falls where the target rises, or never rises. ``beginning`` and ``length`` are those of a text that
    is hardly ever the same.
    """

    columns: tuple[str, ...]
    how: str
    rows: int | None = None

    def __str__(self) -> str:
        names = " and ".join(self.columns)
        match self.how:
            case "presence":
                return f"whether {names} has a value tells"
            case "beginning" | "length":
                return f"the {self.how} of {names} alone determines"
            case "alone" | "where present":
                return f"{names} alone determines"
            case "order":
                return f"{names} alone has the order of"
        return f"{names} together determine" if self.how == "together" else f"the {self.how} of {names} determines"

    def where(self, n: int) -> str:
        """Say in which rows it is so.

        Parameters
        ----------
        n : int
            How many rows have a target.

        Returns
        -------
        str

        Examples
        --------
        >>> Determined(("refund",), "where present", 40).where(100)
        'in all 40 rows that have a value'
        """
        match self.how:
            case "presence":
                return "in most rows of a label"
            case "where present" | "order" if self.rows is not None and self.rows < n:
                return f"in all {self.rows} rows that have a value"
        return f"in all {n} rows"


def determining(columns: Mapping[str, Array], target: Array, *, classes: bool) -> tuple[Determined, ...]:
    """Return the columns that determine the target in every row by a rule too short to be chance.

    Parameters
    ----------
    columns : mapping of str to array of shape (n,)
        Converted feature columns: numbers with NaN for missing, or texts as objects. Missing is a value of its own.
    target : array of shape (n,)
        Labels as codes, or finite values.
    classes : bool
        Whether the target is a label.

    Returns
    -------
    tuple of Determined
        First the single columns, then pairs and sums of the columns that are left; each column at most once.

    Notes
    -----
    A rule for labels gives each value one label, or each of at most three runs of neighbouring values (as many as there
    are labels, where these are more), and must hold without exception.
    It counts if writing it down takes 20 bits less than writing down the labels, given how often each occurs, and one
    bit less for each doubling of the rules tried: labels in random order meet one of them with a chance below one in a
    million (the number of rules of a length divided by the number of orders). So it needs some thirty rows, and no
    large sample. Numbers are determined by a column of the same order or of a coarser one, such as their ranges, by one
    whose repeated values always come with the same number, and by an exact sum or product of columns. Where no rule
    holds for a column with missing values, those are tried that hold wherever it has one, if a fifth of the rows has.
    Sums and products may be rounded: no row is off by more than a thousandth of the target's standard deviation.
    A number that follows from the columns of a sum is told with them: the last of a set of indicators is one.

    Rows that are equal in every column are looked at once where a hundred different ones are left: a copy of a row is
    no second witness. In coarse data, of which few rows differ, equal rows are different cases.

    Strong columns of honest data differ from this in single rows. Where one determines the target because it is known
    beforehand, a person has to say so.

    References
    ----------
    J. Rissanen, "Modeling by shortest data description", Automatica 14 (1978).

    Examples
    --------
    >>> y = np.arange(100) % 7 == 0
    >>> amount = np.where(y, 10.0 + np.arange(100), 0.0)
    >>> determining({"refund": amount, "n": np.arange(100.0)}, y * 1.0, classes=True)
    (Determined(columns=('refund',), how='alone', rows=None),)
    """
    if len(target) == 0 or len(np.unique(target)) < 2:
        return ()
    columns, target = _without_copies(columns, target)
    codes = np.unique(target, return_inverse=True)[1] if classes else target
    found: list[Determined] = []
    looks = max(1, len(columns))
    for name, values in columns.items():
        if (one := _single(name, values, codes, classes=classes, looks=looks)) is not None:
            found.append(one)
    left = {name: values for name, values in columns.items() if not any(name in one.columns for one in found)}
    for one in [*(_pairs(left, codes) if classes else ()), *_sums(left, codes, classes=classes)]:
        if not any(name in other.columns for other in found for name in one.columns):
            found.append(_with_its_own(one, left))
    return tuple(found)


def _single(name: str, values: Array, codes: Array, *, classes: bool, looks: int) -> Determined | None:
    """Return how one column determines the target, None where it does not."""
    follow = _labels_follow if classes else _numbers_follow
    if follow(values, codes, looks):
        return Determined((name,), "alone")
    if classes and _tells_by_presence(values, codes, looks):
        return Determined((name,), "presence")
    if classes and (part := _telling_part(values, codes, looks)):
        return Determined((name,), part)
    present = values != "" if values.dtype == object else ~np.isnan(values)
    rows = int(present.sum())
    if rows < max(2, _LEAST_PRESENT * len(values)):
        return None
    if rows < len(values) and follow(values[present], _codes_of(codes[present], classes=classes), looks):
        return Determined((name,), "where present", rows)
    if not classes and _in_its_order(values[present], codes[present]) >= _BITS + math.log2(looks):
        return Determined((name,), "order", rows)
    return None


def _codes_of(target: Array, *, classes: bool) -> Array:
    codes: Array = np.unique(target, return_inverse=True)[1] if classes else target
    return codes


def _in_its_order(values: Array, target: Array) -> float:
    """Return the bits that it says if values never fall, or never rise, where the target rises; 0 if one does.

    Texts are put in the order of their means. Among rows of one target any order of the values is as good.
    """
    if values.dtype == object:
        places = np.unique(values.astype(str), return_inverse=True)[1]
        means = np.bincount(places, weights=target) / np.bincount(places)
        values, ways = np.argsort(np.argsort(means))[places].astype(np.float64), math.lgamma(len(means) + 1)
    else:
        ways = math.log(2)
    order = np.lexsort((values, target))
    ranked, wanted = values[order], target[order]
    firsts = np.flatnonzero(np.r_[True, wanted[1:] != wanted[:-1]])
    lows, highs = np.minimum.reduceat(ranked, firsts), np.maximum.reduceat(ranked, firsts)
    if not ((highs[:-1] <= lows[1:]).all() or (lows[:-1] >= highs[1:]).all()):
        return 0.0
    alike = np.flatnonzero(np.r_[True, (wanted[1:] != wanted[:-1]) | (ranked[1:] != ranked[:-1])])
    free = _factorials(np.diff(np.r_[firsts, len(order)])) - _factorials(np.diff(np.r_[alike, len(order)]))
    return _orders(np.unique(values, return_counts=True)[1]) - free / math.log(2) - ways / math.log(2)


def _factorials(counts: Array) -> float:
    """Return the logarithm of the product of the factorials."""
    kinds = zip(*np.unique(counts, return_counts=True), strict=True)
    return float(sum(times * math.lgamma(count + 1.0) for count, times in kinds))


def _with_its_own(one: Determined, columns: Mapping[str, Array]) -> Determined:
    """Return a finding of several columns with those that are a weighted sum of them and hold as much."""
    made = _numeric(columns)
    parts = {name: made[name] for name in one.columns if name in made}
    if len(parts) < len(one.columns):
        return one
    own = [name for name in made if name not in one.columns and _exact(parts, made[name])]
    return Determined((*one.columns, *own), "together") if own else one


def _numeric(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Return the columns that are numbers throughout, and not one only."""
    return {
        name: values.astype(np.float64)
        for name, values in columns.items()
        if values.dtype != object and np.isfinite(values).all() and np.ptp(values) > 0
    }


def _without_copies(columns: Mapping[str, Array], target: Array) -> tuple[Mapping[str, Array], Array]:
    """Return the different rows, or all of them where few differ."""
    known = np.unique(target, return_inverse=True)[1]
    for values in columns.values():
        places = _places(values)[0]
        # Numbered anew after each column, so that the numbers stay as small as there are rows.
        known = np.unique(known * (int(places.max(initial=0)) + 1) + places, return_inverse=True)[1]
    firsts = np.sort(np.unique(known, return_index=True)[1])
    if len(firsts) == len(target) or len(firsts) < _DIFFERENT:
        return columns, target
    return {name: values[firsts] for name, values in columns.items()}, target[firsts]


def _labels_follow(values: Array, codes: Array, looks: int) -> bool:
    """Tell whether each value, or run of values, has one label, and the rule is short enough."""
    places, ordered = _places(values)
    given = _label_of_each(places, codes)
    if given is None:
        return False
    classes = math.log2(int(codes.max()) + 1)
    rule = len(given) * classes
    runs = 1 + int((given[1:] != given[:-1]).sum())
    if ordered and runs <= max(_MOST_RUNS, int(codes.max()) + 1):
        rule = min(rule, _choices(len(given) - 1, runs - 1) + runs * classes)
    return _orders(np.bincount(codes)) - rule >= _BITS + math.log2(looks)


def _tells_by_presence(values: Array, codes: Array, looks: int) -> bool:
    """Tell whether all rows with a value, or all without, have one label and are most of the rows that have it."""
    missing = values == "" if values.dtype == object else np.isnan(values)
    if not missing.any() or missing.all():
        return False
    counts = np.bincount(codes)
    for rows in (missing, ~missing):
        label = int(codes[np.argmax(rows)])
        n = int(rows.sum())
        if (codes[rows] == label).all() and 2 * n >= counts[label]:
            chance = math.lgamma(counts[label] + 1) - math.lgamma(counts[label] - n + 1)
            chance -= math.lgamma(len(codes) + 1) - math.lgamma(len(codes) - n + 1)
            if -chance / math.log(2) >= _BITS + math.log2(looks):
                return True
    return False


def _telling_part(values: Array, codes: Array, looks: int) -> str:
    """Return which part of an identifier gives every label, "" where none does."""
    if values.dtype != object or 2 * len(np.unique(values.astype(str))) <= len(values):
        return ""
    texts = [str(value) for value in values]
    parts = {
        "beginning": [[text.rstrip("0123456789") for text in texts], [text[:1] for text in texts]],
        "length": [[str(len(text)) for text in texts]],
    }
    for part, ways in parts.items():
        for way in ways:
            if _labels_follow(np.array(way, dtype=object), codes, 3 * looks):
                return part
    return ""


def _places(values: Array) -> tuple[Array, bool]:
    """Return for each row which of the distinct values it has, and whether these have an order."""
    if values.dtype == object:
        return np.unique(values.astype(str), return_inverse=True)[1], False
    # NaN comes last and is one value.
    return np.unique(values, return_inverse=True, equal_nan=True)[1], True


def _label_of_each(places: Array, codes: Array) -> Array | None:
    """Return the label of each distinct value, None where one has two."""
    first = np.zeros(int(places.max()) + 1, dtype=codes.dtype)
    first[places] = codes
    return first if np.array_equal(first[places], codes) else None


def _orders(counts: Array) -> float:
    """Return the bits of one order of labels that occur ``counts`` times."""
    logs = math.lgamma(float(counts.sum()) + 1) - sum(math.lgamma(count + 1.0) for count in counts.tolist())
    return logs / math.log(2)


def _choices(n: int, k: int) -> float:
    """Return the bits of a choice of k of n."""
    return _orders(np.array([k, n - k])) if n > 0 else 0.0


def _numbers_follow(values: Array, target: Array, looks: int) -> bool:
    """Tell whether a column has the target's own order, or repeated values that always come with the same number."""
    places, ordered = _places(values)
    counts = np.unique(target, return_counts=True)[1]
    needed = _BITS + math.log2(looks)
    if ordered and not np.isnan(values).any() and _orders(counts) >= needed:
        ranks, wanted = auc.midranks(values), auc.midranks(target)
        if np.array_equal(ranks, wanted) or np.array_equal(len(ranks) + 1 - ranks, wanted):
            return True
    given = _label_of_each(places, target)
    if given is None:
        return False
    alike = float(((counts / len(target)) ** 2).sum())
    return -(len(target) - len(given)) * math.log2(alike) >= needed


def _pairs(columns: Mapping[str, Array], codes: Array) -> Iterator[Determined]:
    """Yield pairs whose difference, sum or combination gives every label; tried on some rows, then on all."""
    names = list(columns)[:_MOST_PAIRED]
    pairs = list(combinations(names, 2))
    looks = 3 * max(1, len(pairs))
    some = _some(codes)
    tried = {name: columns[name][some] for name in names}
    few = {name for name in names if int(_places(tried[name])[0].max(initial=0)) < _MOST_VALUES}
    for one, other in pairs:
        for how in _ways(tried[one], tried[other], both_few={one, other} <= few):
            if not _labels_follow(_combined(how, tried[one], tried[other]), codes[some], looks):
                continue
            if _labels_follow(_combined(how, columns[one], columns[other]), codes, looks):
                yield Determined((one, other), how)
                break


def _ways(one: Array, other: Array, *, both_few: bool) -> Iterator[str]:
    if one.dtype != object and other.dtype != object:
        yield from ("difference", "sum")
    if both_few:
        yield "together"


def _combined(how: str, one: Array, other: Array) -> Array:
    """Return one column made of two."""
    if how == "together":
        width = int(_places(other)[0].max()) + 1
        joint: Array = (_places(one)[0] * width + _places(other)[0]).astype(str).astype(object)
        return joint
    scale = max(float(np.nanmax(np.abs(part), initial=0.0)) for part in (one, other)) or 1.0
    # Without the noise of the subtraction, so that what is equal is equal.
    return np.round((one - other if how == "difference" else one + other) / scale, 12)


def _some(codes: Array) -> Array:
    """Return rows to try a rule on: of each label as many as of any other, spread over the table."""
    labels = np.unique(codes)
    each = max(1, _SCREENED // len(labels))
    kept = [np.flatnonzero(codes == label) for label in labels]
    return np.sort(
        np.concatenate([rows[np.linspace(0, len(rows) - 1, min(each, len(rows))).astype(int)] for rows in kept])
    )


def _sums(columns: Mapping[str, Array], target: Array, *, classes: bool) -> Iterator[Determined]:
    """Yield the columns whose weighted sum, or product, is the target in every row."""
    numbers = _numeric(columns)
    if len(target) < 3 * (len(numbers) + 2) or len(numbers) < 2:
        return
    if classes:
        # A number is one label against the rest; what tells all but one of them tells that one too.
        wanted = [(target == label).astype(np.float64) for label in np.unique(target)[1:]]
        found = [_exact(numbers, one) for one in wanted] if len(wanted) <= _MOST_VALUES else [()]
        if all(found):
            yield Determined(tuple(dict.fromkeys(name for some in found for name in some)), "together")
        return
    some = _exact(numbers, target)
    if not some and (target > 0).all():
        positive = {name: np.log(values) for name, values in numbers.items() if (values > 0).all()}
        some = _exact({name: one for name, one in positive.items() if np.ptp(one) > 0}, np.log(target), product=True)
    if some:
        yield Determined(some, "together")


def _exact(columns: Mapping[str, Array], target: Array, *, product: bool = False) -> tuple[str, ...]:
    """Return the fewest columns found whose weighted sum with a constant is the target; none where there are none.

    Of a ``product`` columns and target are logarithms.
    """
    rows = np.linspace(0, len(target) - 1, min(_SCREENED, len(target))).astype(int)
    names = list(columns)
    if not names or not _fits(columns, names, target, rows, product=product):
        return ()
    for name in list(names):
        without = [other for other in names if other != name]
        if without and _fits(columns, without, target, rows, product=product):
            names = without
    return tuple(names) if _fits(columns, names, target, np.arange(len(target)), product=product) else ()


def _fits(columns: Mapping[str, Array], names: Sequence[str], target: Array, rows: Array, *, product: bool) -> bool:
    given = np.column_stack([_standard(columns[name])[rows] for name in names] + [np.ones(len(rows))])
    wanted = target[rows] - target.mean()
    made = given @ np.linalg.lstsq(given, wanted, rcond=None)[0]
    with np.errstate(over="ignore", invalid="ignore"):
        scale = target.std()
        if product:
            # Rounding leaves as much of a small product as of a large one.
            made, wanted, scale = np.exp(made), np.exp(wanted), np.exp(target - target.mean()).std()
        # Of numbers whose squares are too large nothing is known.
        return bool(np.isfinite(scale) and np.abs(made - wanted).max() <= _EXACT * (scale or 1.0))


def _standard(values: Array) -> Array:
    scaled: Array = (values - values.mean()) / (values.std() or 1.0)
    return scaled
