"""Entities, not rows, carry chance: customers who come again are no drift, and a shift of all of them is one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from monitoring.windows import inputs, log, model, report, score_profile


def returning(rng: np.random.Generator, customers: int, rows: int, shift: float = 0.0) -> pa.Table:
    """Return a window in which each customer sends the same row again and again."""
    who = rng.integers(0, customers, rows)
    columns = {name: [values[each] for each in who] for name, values in inputs(rng, customers, shift=shift).items()}
    return log(columns, entity=[f"c{each}" for each in who], score=rng.random(customers)[who].tolist())


def test_customers_who_come_again_are_no_drift() -> None:
    """Fifty customers with a thousand rows alert in half of all windows if rows are counted."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        assert report(returning(rng, 50, 1000), rng, score_profile=score_profile(rng)).level != "alert"


def test_chance_is_that_of_what_the_rows_are_worth() -> None:
    """The limit of a thousand rows of fifty customers is that of fifty rows or so, and a real shift is beyond it."""
    rng = np.random.default_rng(3)
    alone = report(log(inputs(rng, 1000, shift=2)), rng).features[0].scores["psi"]
    few = report(returning(rng, 50, 1000, shift=2), rng).features[0].scores["psi"]
    assert few.critical > 10 * alone.critical
    assert (alone.level, few.level) == ("alert", "alert")


def test_rows_that_have_nothing_to_do_with_their_customer_count_as_rows() -> None:
    """A few tenants who send independent rows hide no shift."""
    rng = np.random.default_rng(4)
    tenants = [f"t{index % 12}" for index in range(1000)]
    found = report(log(inputs(rng, 1000, shift=1), entity=tenants), rng)
    assert found.features[0].level == "alert"


def test_one_entity_says_nothing_of_chance() -> None:
    """All rows of one customer are no evidence, and that is said."""
    rng = np.random.default_rng(5)
    found = report(log(inputs(rng, 1000, shift=3), entity=["c1"] * 1000), rng)
    score = found.features[0].scores["psi"]
    assert (found.level, score.level) == ("no-data", "no-data")
    assert "cannot be told" in score.reason
    assert any(each.startswith("Drift is not told of amount, count, ") for each in found.findings)


@pytest.mark.parametrize("declared", [True, False])
def test_rows_of_one_request_are_no_entity(declared: bool) -> None:
    """Without an entity the server logs the request's id: a batch in one request is not one customer."""
    rng = np.random.default_rng(6)
    batch = log(inputs(rng, 1000, shift=2), entity=["b1"] * 1000, id=[f"b1.{index}" for index in range(1000)])
    spec = model()
    if not declared:
        spec = spec.model_copy(update={"serving": spec.serving.model_copy(update={"entity": None})})
    assert report(batch, rng, model=spec).level == "alert"


def test_a_share_that_one_customer_raised_is_no_finding() -> None:
    """Missing values of a customer who sends every fifth row have not become frequent."""
    rng = np.random.default_rng(7)
    columns = inputs(rng, 1000)
    columns["count"][::5] = [None] * 200
    entity = ["c0" if index % 5 == 0 else f"e{index}" for index in range(1000)]
    one = {each.name: each for each in report(log(columns, entity=entity), rng).features}["count"].missing
    all_of_them = {each.name: each for each in report(log(columns), rng).features}["count"].missing
    assert (one.value, one.raised, all_of_them.raised) == (0.2, False, True)
