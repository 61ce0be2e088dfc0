"""ADWIN and Page-Hinkley against river 0.22 on streams that anybody can make, of fractions of the golden ratio."""

from __future__ import annotations

import numpy as np
import pytest

from modelops.statistics import Array
from modelops.statistics.streams.changes import adwin, page_hinkley


def u(n: int) -> Array:
    return np.arange(n) * (1 + 5**0.5) / 2 % 1


def at(n: int) -> Array:
    return np.arange(n, dtype=np.float64)


STREAMS = {
    "S1": u(2000) < np.where(at(2000) < 1000, 0.1, 0.5),
    "S2": u(3000) < np.where(at(3000) < 1000, 0.1, 0.1 + 0.3 * np.minimum(1, (at(3000) - 1000) / 1000)),
    "S3": u(10_000) < 0.2,
    "S4": u(2000) + np.where(at(2000) < 1000, 0, 0.5),
    "S5": u(10_000),
    "S6": u(2000) < np.where(at(2000) < 1000, 0.3, 0.1),
}
SUMS = {"S1": 600, "S2": 751, "S3": 2001, "S4": 1499.94351104, "S5": 4999.267550996, "S6": 400}


def test_the_streams_are_those_of_the_reference() -> None:
    """The values below are of these sums."""
    assert {name: float(stream.sum()) for name, stream in STREAMS.items()} == pytest.approx(SUMS)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("S1", [1055]), ("S2", [1567]), ("S3", []), ("S4", [1055]), ("S5", []), ("S6", [1183])],
)
def test_adwin_detects_where_river_does(name: str, changes: list[int]) -> None:
    """The same values, to either side; the means say to which."""
    found = adwin(STREAMS[name])
    assert [one.at for one in found] == changes
    for one in found:
        assert (one.after > one.before) == (name != "S6")


@pytest.mark.parametrize(
    ("name", "threshold", "changes"),
    [
        ("S1", 50, [1135]), ("S2", 50, [1636]), ("S3", 50, []), ("S4", 50, [1105]), ("S5", 50, []), ("S6", 50, [1292]),
        ("S1", 20, [1052]), ("S2", 20, [1390, 1926]), ("S3", 20, []), ("S4", 20, [1040]), ("S6", 20, [1100]),
    ],
)  # fmt: skip
def test_page_hinkley_detects_where_river_does(name: str, threshold: float, changes: list[int]) -> None:
    """The same values, to either side, with both thresholds; the means are of before and after the sum turned."""
    found = page_hinkley(STREAMS[name], threshold)
    assert [one.at for one in found] == changes
    for one in found:
        assert (one.after > one.before) == (name != "S6")
    if name == "S1" and threshold == 50:
        assert (found[0].before, found[0].after) == (pytest.approx(0.1, abs=0.01), pytest.approx(0.5, abs=0.1))


def test_an_empty_stream_and_one_value_change_nothing() -> None:
    """Neither raises, and neither sees anything."""
    for stream in ([], [1.0]):
        assert (adwin(stream), page_hinkley(stream)) == ((), ())
