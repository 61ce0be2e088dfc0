"""How long labels take, learnt from those that have arrived, and which answers are old enough to be judged.

A label that takes longer than an answer is old has not arrived, so short delays are seen too often among recent
answers. The estimator for data that are truncated on the right makes up for it: each delay is compared with the answers
that were old enough to show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.statistics import Array

__all__ = ["Delay", "delay_of", "mature"]

FEWEST = 100
"""With fewer labels no delay is told."""
_AT_RISK = 20
_SEEN = 0.9
"""Delays are told only where so many of the labels came within what enough answers are old enough to show."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The delays of labels: ``places`` in seconds, and the share of labels that came within each.

    ``complete`` is the share of the window's labels that have arrived by now, as far as the delays go; ``early`` counts
    labels with a time before that of their prediction, which say that clocks differ and are taken as no delay.
    """

    places: tuple[float, ...]
    shares: tuple[float, ...]
    complete: float
    labels: int
    early: int = 0

    def within(self, share: float) -> timedelta:
        """Return the time within which this share of the labels comes."""
        at = next((place for place, part in zip(self.places, self.shares, strict=True) if part >= share), None)
        return timedelta(seconds=self.places[-1] if at is None else at)


def delay_of(table: pa.Table, now: datetime) -> Delay | None:
    """Estimate the delays of labels from a window of the log.

    Parameters
    ----------
    table : pa.Table
        With ``time``, ``truth`` and ``truth_time`` (seconds since 1970).
    now : datetime
        When the log was read.

    Returns
    -------
    Delay or None
        None with fewer than 100 labels, where all came at one time, or where most take longer than answers are old:
        how long labels take cannot be told then.

    References
    ----------
    D. Lynden-Bell, Monthly Notices of the Royal Astronomical Society 155 (1971), on the estimator; J. D. Kalbfleisch
    and J. F. Lawless, Journal of the American Statistical Association 84 (1989), on delays of reports.
    """
    if "truth_time" not in table.column_names:
        return None
    answered = table.filter(pc.less(table.column("status"), 500))
    ages = np.maximum(now.timestamp() - answered.column("time").to_numpy().astype(np.float64), 0.0)
    known = np.asarray(
        pc.and_(pc.is_valid(answered.column("truth")), pc.is_valid(answered.column("truth_time"))).to_numpy(),
        dtype=np.bool_,
    )
    if known.sum() < FEWEST:
        return None
    took = (answered.column("truth_time").to_numpy() - answered.column("time").to_numpy())[known].astype(np.float64)
    old = np.maximum(ages[known], took)
    found = _distribution(np.maximum(took, 0.0), old)
    if found is None:
        return None
    places, shares = found
    arrived = np.append(0.0, shares)[np.searchsorted(places, ages, side="right")]
    return Delay(
        tuple(places.tolist()), tuple(shares.tolist()), float(arrived.mean()), len(took), int((took < 0).sum())
    )


def _distribution(took: Array, old: Array) -> tuple[Array, Array] | None:
    """Return the distinct delays and the share of labels within each: a product over the longer ones."""
    places, counts = np.unique(took, return_counts=True)
    at_risk = np.searchsorted(np.sort(took), places, side="right") - np.searchsorted(np.sort(old), places, side="left")
    enough = np.flatnonzero(at_risk >= _AT_RISK)
    if not len(enough):
        return None
    last = int(enough[-1])
    if counts[: last + 1].sum() < _SEEN * len(took):
        return None
    kept = 1 - counts[1 : last + 1] / np.maximum(at_risk[1 : last + 1], counts[1 : last + 1])
    shares = np.append(np.cumprod(kept[::-1])[::-1], 1.0)
    # Where all labels of a time came at once, nothing is known of shorter delays.
    return None if last > 0 and shares[0] <= 0 else (places[: last + 1], shares)


def mature(
    table: pa.Table, delay: Delay | None, share: float, since: datetime, until: datetime, declared: float | None = None
) -> tuple[pa.Table, str]:
    """Return the answers whose labels have come but for ``1 - share`` of them, and say what was left out.

    A window that has lost a hundredth of its length or less to labels on their way is whole. So is one whose newest
    answers have their labels nearly as often as the older ones, ``share`` times: of labels that are sent once a month
    some wait a month, and on the day after it all are there. Where nothing is learnt of delays, labels are taken to
    come within the ``declared`` days.
    """
    if share <= 0 or (delay is None and not declared):
        return table, ""
    wait = delay.within(share) if delay is not None else timedelta(days=declared or 0.0)
    if wait <= (until - since) / 100:
        return table, ""
    old = pc.less_equal(table.column("time"), (until - wait).timestamp())
    kept = table.filter(old)
    if _labelled(table.filter(pc.invert(old))) >= share * _labelled(kept):
        return table, ""
    come = f"{share:.0%} of labels come" if delay is not None else "labels are declared to come"
    said = f"the {table.num_rows - kept.num_rows} newest answers are left out, for {come} within "
    return kept, f"{said}{wait / timedelta(days=1):.2g} days"


def _labelled(table: pa.Table) -> float:
    """Return the share of answers that have a label."""
    answered = table.filter(pc.less(table.column("status"), 500))
    missing: int = answered.column("truth").null_count
    return 1 - missing / max(1, int(answered.num_rows))
