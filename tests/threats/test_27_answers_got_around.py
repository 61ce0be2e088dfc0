"""Threat 27: somebody changes a payment a little until a bundled model answers otherwise."""

from __future__ import annotations

from threats.bundled_model import by_heart, drawn, judged, trained, whole

LIMIT: dict[str, object] = {"minimum": 0.5}


def test_the_bundled_kind_of_model_is_hard_to_get_around() -> None:
    """Half of the attacked payments have to be moved by more than half a standard deviation, by the lower bound."""
    train, test = drawn(5000, 1)
    found = judged("evasion", LIMIT, whole(train, test, trained(train)))
    assert found.verdict == "pass", found.reason
    assert found.lower is not None
    assert found.lower > 0.5


def test_a_model_full_of_holes_is_refused() -> None:
    """A tree that learnt wrong labels by heart has another answer next to almost every row."""
    train, test = drawn(5000, 1)
    noisy, predict = by_heart(train, 1)
    found = judged("evasion", LIMIT, whole(noisy, test, predict))
    assert found.verdict == "fail", found.reason
    assert found.upper is not None
    assert found.upper < 0.4
