"""The worst of several quantities, each measured with bounds: honest bounds of whichever is truly the worst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelops.statistics import Bounds

__all__ = ["Part", "Worst", "largest", "part", "shared_level", "smallest"]


@dataclass(frozen=True, slots=True)
class Part:
    """One of several quantities: ``own`` bounds hold for it alone, ``shared`` ones for all of them together."""

    name: str
    n: int
    value: float
    own: Bounds
    shared: Bounds


@dataclass(frozen=True, slots=True)
class Worst:
    """The part that was measured as the worst, and the bounds of the quantity of the part that truly is."""

    part: Part
    lower: float
    upper: float


def shared_level(level: float, parts: int) -> float:
    """Return at which level each of several intervals has to be for all of them to hold together.

    Parameters
    ----------
    level : float
        Of all together, in (0, 1).
    parts : int
        How many there are, at least 1.

    Returns
    -------
    float
        In (0, 1).

    References
    ----------
    O. J. Dunn, "Multiple comparisons among means", JASA 56 (1961), for Bonferroni's inequality.

    Examples
    --------
    >>> shared_level(0.95, 1), round(shared_level(0.95, 10), 4)
    (0.95, 0.995)
    """
    return 1 - (1 - level) / parts


def part(name: str, n: int, value: float, bounds: Callable[[float], Bounds], level: float, parts: int) -> Part:
    """Measure one of several quantities at its own level and at the one that all share.

    Parameters
    ----------
    name : str
        What it is called.
    n : int
        The rows that it was measured on.
    value : float
        In any unit.
    bounds : callable
        From a two-sided level to the bounds of the quantity, in its unit.
    level : float
        In (0, 1).
    parts : int
        How many quantities are looked at, at least 1.

    Returns
    -------
    Part
        Its bounds hold the value.

    References
    ----------
    As for ``shared_level``.

    Examples
    --------
    >>> from modelops.statistics.intervals import wilson
    >>> found = part("north", 50, 0.1, lambda level: wilson(5, 50, level), 0.95, 20)
    >>> [round(bound, 3) for bound in (*found.own, *found.shared)]
    [0.043, 0.214, 0.028, 0.3]
    """
    (low, high), (least, most) = bounds(level), bounds(shared_level(level, parts))
    return Part(name, n, value, (min(low, value), max(high, value)), (min(least, value), max(most, value)))


def largest(parts: Sequence[Part]) -> Worst:
    r"""Bound the largest of several quantities.

    The largest observed one overstates the largest true one. Its upper bound needs no correction all the same: with k
    the part whose true quantity :math:`q_k` is the largest, :math:`\max_i u_i < q_k` only if :math:`u_k < q_k`, so it
    is wrong as seldom as a single bound. A lower bound above the truth can come from any part, so there each has the
    level that all share.

    Parameters
    ----------
    parts : sequence of Part
        At least one.

    Returns
    -------
    Worst
        Each bound is wrong with at most (1 - level) / 2, however the parts depend on each other.

    References
    ----------
    R. L. Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24 (1982), for the upper
    bound; Dunn (1961), as for ``shared_level``, for the lower one.

    Examples
    --------
    >>> found = largest([Part("a", 50, 0.1, (0.04, 0.2), (0.03, 0.3)), Part("b", 9, 0.05, (0.0, 0.4), (0.0, 0.5))])
    >>> found.part.name, found.lower, found.upper
    ('a', 0.03, 0.4)
    """
    found = max(parts, key=lambda one: one.value)
    return Worst(found, max(one.shared[0] for one in parts), max(one.own[1] for one in parts))


def smallest(parts: Sequence[Part]) -> Worst:
    """Bound the smallest of several quantities, as ``largest`` does the largest.

    Parameters
    ----------
    parts : sequence of Part
        At least one.

    Returns
    -------
    Worst
        Each bound is wrong with at most (1 - level) / 2, however the parts depend on each other.

    References
    ----------
    As for ``largest``.

    Examples
    --------
    >>> found = smallest([Part("a", 50, 0.9, (0.8, 0.96), (0.7, 0.97)), Part("b", 9, 0.95, (0.6, 1.0), (0.5, 1.0))])
    >>> found.part.name, found.lower, found.upper
    ('a', 0.6, 0.97)
    """
    found = min(parts, key=lambda one: one.value)
    return Worst(found, min(one.own[0] for one in parts), min(one.shared[1] for one in parts))
