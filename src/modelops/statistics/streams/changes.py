"""Detectors of a change in a stream of errors that people know by name: ADWIN and Page-Hinkley.

Neither has an error rate that holds for ever, however often it is looked at: an interval that is spread over all looks
has. They say early, and of one stream, where its mean may have moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from modelops.statistics import Array

__all__ = ["Change", "adwin", "page_hinkley"]

_MOST = 5
"""Buckets of one size, as in the paper's experiments."""
_CLOCK, _GRACE, _FEWEST = 32, 10, 5
"""ADWIN looks at every so-manieth value, from so many on, at parts of so many values at least."""
_SHORTEST = 30
"""Page-Hinkley says nothing before so many values."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was detected at a position, and the means of what the detector had before it and has since."""

    at: int
    before: float
    after: float


@dataclass(slots=True)
class _Buckets:
    """The window of ADWIN: sums and sums of squares of 1, 2, 4, … values, of each size the oldest first."""

    rows: list[list[tuple[float, float]]] = field(default_factory=lambda: [[]])

    def add(self, value: float) -> None:
        self.rows[0].append((value, value * value))
        for size, row in enumerate(self.rows):
            if len(row) <= _MOST:
                return
            if size + 1 == len(self.rows):
                self.rows.append([])
            (a, aa), (b, bb) = row.pop(0), row.pop(0)
            self.rows[size + 1].append((a + b, aa + bb))

    def oldest_first(self) -> list[tuple[int, float, float]]:
        return [(1 << size, *one) for size in range(len(self.rows) - 1, -1, -1) for one in self.rows[size]]


def adwin(values: Sequence[float] | Array, delta: float = 0.002) -> tuple[Change, ...]:
    r"""Return where ADWIN2 detects that the mean of a stream changed, to either side.

    The window is cut where the means of its two parts differ by more than
    :math:`\varepsilon = \sqrt{2 m \sigma^2 \ln(2 \ln W / \delta)} + \frac{2}{3} m \ln(2 \ln W / \delta)` with
    :math:`m = 1 / n_0 + 1 / n_1`, the means are those of the cut where they differ most. Then it
    begins anew with the next value, as river does: what would be cut next is of the same change.

    Parameters
    ----------
    values : sequence of shape (n,)
        In [0, 1], the oldest first.
    delta : float
        Chance of a false cut at one look, in (0, 1).

    Returns
    -------
    tuple of Change
        In the order of time; looked for at every 32nd value.

    References
    ----------
    A. Bifet and R. Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", SIAM International Conference
    on Data Mining (2007). The least sizes of parts are those of the implementation in river 0.22.

    Examples
    --------
    >>> golden = np.arange(2000) * (5**0.5 - 1) / 2 % 1
    >>> [one.at for one in adwin(golden < np.where(np.arange(2000) < 1000, 0.1, 0.5))]
    [1055]
    """
    window, found = _Buckets(), []
    width = 0
    for at, value in enumerate(np.asarray(values, dtype=np.float64).tolist()):
        window.add(value)
        width += 1
        if width % _CLOCK or width <= _GRACE:
            continue
        means = _cut(window, width, delta)
        if means is not None:
            found.append(Change(at, *means))
            window, width = _Buckets(), 0
    return tuple(found)


def _cut(window: _Buckets, width: int, delta: float) -> tuple[float, float] | None:
    """Return the means of both parts at the cut where they differ most beyond chance, None where they do at none."""
    buckets = window.oldest_first()
    total, squares = sum(one[1] for one in buckets), sum(one[2] for one in buckets)
    variance = max(0.0, squares / width - (total / width) ** 2)
    chance = math.log(2 * math.log(width) / delta)
    old, older, most = 0, 0.0, 1.0
    found: tuple[float, float] | None = None
    for size, part, _ in buckets[:-1]:
        old, older = old + size, older + part
        new = width - old
        if old < _FEWEST or new < _FEWEST:
            continue
        means = older / old, (total - older) / new
        few = 1 / (old - _FEWEST + 1) + 1 / (new - _FEWEST + 1)
        beyond = abs(means[0] - means[1]) / (math.sqrt(2 * few * variance * chance) + 2 / 3 * few * chance)
        if beyond > most:
            most, found = beyond, means
    return found


def page_hinkley(
    values: Sequence[float] | Array, threshold: float = 50.0, delta: float = 0.005, forget: float = 0.0001
) -> tuple[Change, ...]:
    r"""Return where the Page-Hinkley test detects that the mean of a stream changed, to either side.

    :math:`m_t = (1 - f) m_{t-1} + x_t - \bar x_t \mp \delta`; a change is where :math:`m_t` lies more than the
    threshold above its least, or below its greatest, value so far. Then it begins anew.

    Parameters
    ----------
    values : sequence of shape (n,)
        The oldest first.
    threshold : float
        Above 0, in the unit of the values times a number of them.
    delta : float
        The change that is let be, in the unit of the values.
    forget : float
        The share of the sum that is forgotten at each value.

    Returns
    -------
    tuple of Change
        In the order of time.

    References
    ----------
    E. S. Page, Biometrika 41 (1954); D. V. Hinkley, Biometrika 58 (1971). With the forgetting factor of river 0.22.

    Examples
    --------
    >>> golden = np.arange(2000) * (5**0.5 - 1) / 2 % 1
    >>> [one.at for one in page_hinkley(golden < np.where(np.arange(2000) < 1000, 0.1, 0.5))]
    [1135]
    """
    found: list[Change] = []
    numbers = np.asarray(values, dtype=np.float64).tolist()
    start, many, mean = 0, 0, 0.0
    rising = falling = least = greatest = 0.0
    least_at = greatest_at = 0
    for at, value in enumerate(numbers):
        many += 1
        mean += (value - mean) / many
        rising = (1 - forget) * rising + value - mean - delta
        falling = (1 - forget) * falling + value - mean + delta
        if many == 1 or rising < least:
            least, least_at = rising, at
        if many == 1 or falling > greatest:
            greatest, greatest_at = falling, at
        if many < _SHORTEST or (rising - least <= threshold and greatest - falling <= threshold):
            continue
        turned = (least_at if rising - least > threshold else greatest_at) + 1
        earlier, later = numbers[start:turned], numbers[turned : at + 1]
        found.append(Change(at, float(np.mean(earlier)), float(np.mean(later))))
        start, many, mean = at + 1, 0, 0.0
        rising = falling = least = greatest = 0.0
    return tuple(found)
