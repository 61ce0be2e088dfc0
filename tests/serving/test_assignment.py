"""The assignment of entities to arms is a pure, uniform, sticky and monotone function."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from modelops.serving import assignment


@given(st.text(), st.text())
def test_an_assignment_is_a_number_in_the_unit_interval(salt: str, entity: str) -> None:
    """Any salt and entity have a place in [0, 1), always the same."""
    try:
        (salt + entity).encode()
    except UnicodeEncodeError:
        return
    place = assignment(salt, entity)
    assert 0.0 <= place < 1.0
    assert assignment(salt, entity) == place


def test_an_assignment_is_the_documented_hash() -> None:
    """Other programs can compute it: 53 bits of SHA-256 of salt and entity."""
    digest = int(hashlib.sha256(b"salt-1customer-1").hexdigest()[:16], 16)
    assert assignment("salt-1", "customer-1") == (digest >> 11) / 2**53


def test_arms_grow_monotonically_and_a_new_salt_shuffles() -> None:
    """With a larger weight nobody leaves the candidate; the shares are right; another salt is independent."""
    people = [f"customer-{i}" for i in range(20_000)]
    small = {p for p in people if assignment("a", p) < 0.05}
    large = {p for p in people if assignment("a", p) < 0.25}
    other = {p for p in people if assignment("b", p) < 0.05}
    assert small < large
    assert abs(len(small) / len(people) - 0.05) < 0.006
    assert abs(len(large) / len(people) - 0.25) < 0.012
    assert len(small & other) / len(small) < 0.1
