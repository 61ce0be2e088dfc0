"""Pictures say in words what they show, hold every value inside their frame, and escape what they are told."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops.dashboard.pictures import Interval, Node, Point, bars, course, graph, intervals
from modelops.dashboard.pictures.drawing import scale

EVIL = "<script>alert('x')</script>\" onload=\"x"
numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@given(st.lists(numbers, min_size=1, max_size=20))
def test_a_scale_holds_every_value_between_round_ticks(values: list[float]) -> None:
    """All values lie between the ends, which are ticks, in the order of the places; there are not too many ticks."""
    found = scale(values, 10, 110)
    assert found.low <= min(values) + 1e-9 * abs(found.high - found.low)
    assert max(values) <= found.high + 1e-9 * abs(found.high - found.low)
    assert 2 <= len(found.ticks) <= 9
    places = [found.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(10 - 1e-6 <= place <= 110 + 1e-6 for place in places)


@given(st.lists(numbers, max_size=3))
def test_a_scale_of_anything_can_be_drawn(values: list[float]) -> None:
    """No values, equal ones and infinite ones have a scale, too."""
    found = scale([*values, math.inf, math.nan], 0, 1)
    assert all(math.isfinite(tick) for tick in found.ticks)
    assert found.low < found.high


def parts(svg: str, tag: str) -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(svg).iter() if one.tag == tag]


def test_a_course_has_a_dot_and_an_interval_for_each_release() -> None:
    """Each release has its value, its interval and its link; what it says in words has the newest ones."""
    points = [
        Point(str(n), 0.8 + n / 100, 0.7, 0.95, "stable" if n == 3 else "past", f"r/{n}.html") for n in range(1, 5)
    ]
    svg = course("recall", points)
    top = ElementTree.fromstring(svg)
    assert "release 4 0.84" in top.attrib["aria-label"]
    assert len(parts(svg, "circle")) == 4
    assert [one.attrib["href"] for one in parts(svg, "a")] == [point.href for point in points]
    whisker = next(one for one in parts(svg, "line") if one.attrib["class"] == "whisker")
    assert float(whisker.attrib["y1"]) > float(whisker.attrib["y2"])
    assert len(parts(course("x", points * 100), "circle")) == 40


def test_intervals_share_one_scale_with_the_limit() -> None:
    """What is higher lies further right, and a value without an interval has none drawn."""
    svg = intervals("by group", [Interval("a", 0.2, 0.1, 0.3), Interval("b", 0.6)], 0.9)
    circles = [float(one.attrib["cx"]) for one in parts(svg, "circle")]
    limit = next(float(one.attrib["x1"]) for one in parts(svg, "line") if one.attrib["class"] == "limit")
    assert circles[0] < circles[1] < limit
    assert len([one for one in parts(svg, "line") if one.attrib["class"] == "whisker"]) == 1


def test_bars_are_as_wide_as_their_bins() -> None:
    """A bin that is twice as wide and holds as much is half as high: areas compare."""
    svg = bars("scores", [0.0, 0.25, 0.75], [10, 10])
    first, second = parts(svg, "rect")
    assert float(first.attrib["height"]) == pytest.approx(2 * float(second.attrib["height"]), rel=0.02)


def test_a_graph_joins_what_was_made_of_what() -> None:
    """There is a line from each box to what was made of it, and none to what is not there."""
    columns = {
        "data": [Node("d", "snapshot")],
        "releases": [Node("r", "release 1", "x", "r.html", "stable", ("d", "gone"))],
    }
    svg = graph("lineage", columns)
    assert len(parts(svg, "path")) == 1
    assert "snapshot" in ElementTree.fromstring(svg).attrib["aria-label"]


def test_what_pictures_are_told_is_text() -> None:
    """Names with markup in them stay names."""
    drawn = [
        course(EVIL, [Point(EVIL, 1, 0, 2, "past", "javascript.html")]),
        intervals(EVIL, [Interval(EVIL, 1, 0, 2)]),
        bars(EVIL, [0, 1, 2], [1, 2]),
        graph(EVIL, {EVIL: [Node("k", EVIL, EVIL)]}),
    ]
    for svg in drawn:
        assert not parts(svg, "script")
        assert not [name for one in ElementTree.fromstring(svg).iter() for name in one.attrib if name.startswith("on")]
