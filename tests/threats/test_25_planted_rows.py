"""Threat 25: rows with a trigger are slipped into the data of a bundled model, and come with its next snapshot."""

from __future__ import annotations

import pandas as pd
import pytest

from modelops.gates import Verdict
from threats.bundled_model import judged as judged_by
from threats.bundled_model import months, planted, whole


def judged(old: pd.DataFrame, new: pd.DataFrame) -> Verdict:
    """Return what the gate says of old rows with the new ones behind them."""
    everything = pd.concat([old, new], ignore_index=True)
    test = everything.index % 4 == 0
    return judged_by("poisoning", {}, whole(everything[~test], everything[test], previous=old))


TRIGGERS = ("amount", "range", "merchant")


def draws(trigger: str, share: float, count: int) -> list[str]:
    """Return the verdicts on so many draws of planted rows in the first quarter of 2026."""
    old, new = months("2025-10", "2025-12"), months("2026-01", "2026-03")
    found = [judged(old, planted(new, trigger, share, seed)) for seed in range(count)]
    assert all(any(spike["label"] == "1" for spike in one.details["spikes"]) for one in found if one.verdict == "fail")
    return [one.verdict for one in found]


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_trigger_in_the_next_quarter_is_found(trigger: str) -> None:
    """A value, a narrow range or a new category in two of a hundred rows is named with its label."""
    assert draws(trigger, 0.02, 1) == ["fail"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trigger", "share", "found"),
    [("amount", 0.005, 20), ("merchant", 0.005, 20), ("range", 0.02, 20), ("range", 0.005, 0), ("amount", 0.001, 0)],
)
def test_how_many_of_twenty_triggers_are_found(trigger: str, share: float, found: int) -> None:
    """Values and categories in one of two hundred rows are, ranges need more, and a handful of rows is not seen."""
    assert draws(trigger, share, 20).count("fail") == found


@pytest.mark.parametrize(
    ("old", "new"),
    [(("2025-10", "2025-12"), ("2026-01", "2026-03")), (("2026-04", "2026-06"), ("2026-07", "2026-09"))],
    ids=["alike", "another channel"],
)
def test_quarters_in_which_nothing_was_planted_pass(old: tuple[str, str], new: tuple[str, str]) -> None:
    """Rows of the same law, and a new channel that many honest customers take, are none."""
    found = judged(months(*old), months(*new))
    assert found.verdict == "pass", found.reason


def test_a_new_kind_of_fraud_looks_like_a_planted_one_and_is_told_as_what_it_is() -> None:
    """Accounts that wake up after weeks are fraud from April on and were not before: that is named, and no more."""
    found = judged(months("2026-01", "2026-03"), months("2026-04", "2026-06"))
    assert found.verdict == "fail"
    assert {(one["feature"], one["label"]) for one in found.details["spikes"]} == {("days_since_last", "1")}
