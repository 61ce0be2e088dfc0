"""Threat 26: who may ask a bundled model finds out which rows it was trained on."""

from __future__ import annotations

from threats.bundled_model import by_heart, drawn, judged, trained, whole


def test_the_bundled_kind_of_model_gives_nothing_away() -> None:
    """As its own code trains it, it treats training rows like others, by the upper bound."""
    train, test = drawn(5000, 1)
    found = judged("membership", {}, whole(train, test, trained(train)))
    assert found.verdict == "pass", found.reason
    assert found.upper is not None
    assert found.upper < 0.55


def test_a_model_that_learns_noise_by_heart_is_refused() -> None:
    """A tree without a limit knows each wrong label of its rows, which tells them from those that it never saw."""
    train, test = drawn(5000, 1)
    noisy, predict = by_heart(train, 1)
    found = judged("membership", {}, whole(noisy, test, predict))
    assert found.verdict == "fail", found.reason
    assert found.lower is not None
    assert found.lower > 0.6
