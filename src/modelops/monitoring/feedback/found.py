"""What an audit of labels found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Bucket", "Detector", "Feedback"]

Detector = Literal["D1", "D2", "D3", "D6"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A tenth of the answers by score, with its verified labels; ``upper`` bounds the share of them, surely."""

    low: float
    high: float
    answers: int
    labels: int
    upper: float


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the labels of a window say of where they come from.

    ``buckets`` are by height of score, ``area`` is how well scores tell which answers have a verified label (0.5 is
    ideal), with the lower end of its interval. ``positivity`` is the share of answers with a known chance of a label,
    ``least`` the least of these chances, ``effective`` how many equally weighted labels theirs are worth and
    ``mean_weight`` is near 1 where answers were drawn as was logged; None where nothing is declared. ``positives`` is
    how many were found among ``reviewed`` of ``drawn`` answers. ``recall`` is of all answers, ``seen`` of the labels
    alone. ``unverified`` is the share of negative labels that nobody looked at, ``own`` the share of positive ones that
    the model chose; None without any. ``kinds`` is how many answers there are in effect, exp of their entropy (D7).
    ``fired`` are the detectors that found something, with what they say; ``told`` says how far the labels can be
    trusted: whether enough was reviewed (D4), and what they alone would show (D5).
    """

    answers: int
    labels: int
    buckets: tuple[Bucket, ...]
    area: float | None
    area_lower: float | None
    positivity: float | None
    least: float | None
    effective: float | None
    mean_weight: float | None
    drawn: int
    reviewed: int
    positives: int
    recall: tuple[float, float, float] | None
    seen: float | None
    unverified: float | None
    own: float | None
    kinds: float | None
    fired: tuple[tuple[Detector, str], ...]
    told: tuple[str, ...]

    @property
    def loop(self) -> bool:
        """Whether the model is shown to be fed by its own decisions."""
        return any(name in ("D1", "D2", "D6") for name, _ in self.fired)
