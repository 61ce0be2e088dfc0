"""The assignment of entities to arms is pure, sticky, true to the weights, and moves as few as must move."""

from __future__ import annotations

import hashlib
import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from modelops.serving import assign
from modelops.serving.assignment import place

PEOPLE = [f"customer-{i}" for i in range(20_000)]
NAMES = ("stable", "candidate", "challenger-5", "challenger-6")


def arms(salt: str, *weights: float) -> dict[str, str | None]:
    named = list(zip(NAMES, weights, strict=False))
    return {person: assign(salt, named, person) for person in PEOPLE}


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_draw_lies_inside_the_unit_interval(salt: str, entity: str) -> None:
    """Any salt and entity have a draw in (0, 1), always the same."""
    assert 0.0 < place(salt, "stable", entity) < 1.0
    assert place(salt, "stable", entity) == place(salt, "stable", entity)


def test_the_assignment_is_the_documented_hash() -> None:
    """Other programs can compute it: 53 bits of SHA-256 of salt, arm and entity; the smallest -ln(u)/weight wins."""

    def cost(arm: str, weight: float) -> float:
        digest = int(hashlib.sha256(f"salt-1\0{arm}\0customer-1".encode()).hexdigest()[:16], 16)
        return -math.log((digest >> 11) / 2**53) / weight

    costs = {arm: cost(arm, weight) for arm, weight in (("stable", 0.5), ("candidate", 0.5))}
    found = assign("salt-1", [("stable", 0.5), ("candidate", 0.5)], "customer-1")
    assert found == min(costs, key=lambda arm: costs[arm])


def test_shares_are_the_weights_for_any_number_of_arms() -> None:
    """Four arms get their weights; an arm without weight gets nobody; without any weight there is no arm."""
    counts = Counter(arms("a", 0.55, 0.25, 0.15, 0.05).values())
    for name, weight in zip(NAMES, (0.55, 0.25, 0.15, 0.05), strict=True):
        assert abs(counts[name] / len(PEOPLE) - weight) < 0.012
    assert set(arms("a", 0.5, 0.0, 0.5).values()) == {"stable", "challenger-5"}
    assert assign("a", [("stable", 0.0)], "c") is None


def test_entities_move_only_towards_arms_that_grew_more() -> None:
    """When weights change, who moves goes to an arm that grew by a larger factor; with two arms as few as possible."""
    weights, changed = (0.6, 0.2, 0.2), (0.4, 0.4, 0.2)
    growth = {name: new / old for name, old, new in zip(NAMES, weights, changed, strict=False)}
    before, after = arms("a", *weights), arms("a", *changed)
    moved = [(str(before[p]), str(after[p])) for p in PEOPLE if before[p] != after[p]]
    assert all(growth[new] > growth[old] for old, new in moved)
    assert 0.19 < len(moved) / len(PEOPLE) < 0.26
    small, large = arms("a", 0.95, 0.05), arms("a", 0.75, 0.25)
    assert all(large[p] == "candidate" for p in PEOPLE if small[p] == "candidate")


def test_a_new_salt_assigns_anew() -> None:
    """The candidates of two salts have no more in common than chance."""
    one, other = arms("a", 0.95, 0.05), arms("b", 0.95, 0.05)
    first = {p for p in PEOPLE if one[p] == "candidate"}
    both = {p for p in first if other[p] == "candidate"}
    assert len(both) / len(first) < 0.1
