"""All features together: what single columns do not show, and how often it is chance."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from modelops.monitoring.domain_classifier import domain_classifier
from modelops.spec.kinds.monitor import DomainClassifier
from modelops.views.monitor import report_data
from monitoring.windows import inputs, log, report

SMALL = DomainClassifier(rows=600)
NAMES = ("a", "b", "c")


def rows(rng: np.random.Generator, n: int, together: float = 0.9) -> pa.Table:
    """Return two numbers that go together and a category, with gaps; the margins are always the same."""
    a = rng.normal(size=n)
    b = together * a + (1 - together**2) ** 0.5 * rng.normal(size=n)
    c = rng.choice(["x", "y", None], n, p=[0.5, 0.4, 0.1])
    return pa.table({"a": a, "b": np.where(rng.random(n) < 0.05, np.nan, b), "c": pa.array(c.tolist(), pa.string())})


def test_features_that_no_longer_go_together_are_seen() -> None:
    """No margin changes, and the rows are told apart by more than a large shift of one column would give."""
    rng = np.random.default_rng(1)
    found = domain_classifier(SMALL, NAMES, rows(rng, 2000), rows(rng, 2000, together=-0.9), None)
    assert (found.level, found.reference_n, found.window_n) == ("alert", 600, 600)
    assert found.area > 0.8
    assert found.lower < found.area < found.upper


def test_equal_rows_have_equal_answers_in_any_order() -> None:
    """Nothing is drawn that is not drawn the same way again."""
    rng = np.random.default_rng(2)
    reference, window = rows(rng, 600), rows(rng, 600)
    assert domain_classifier(SMALL, NAMES, reference, window, None) == domain_classifier(
        SMALL, NAMES, reference, window, None
    )


def test_chance_is_exceeded_no_more_often_than_stated() -> None:
    """Of 25 windows without drift at most five exceed a limit of 5 %; one in 400 runs has more by chance."""
    rng = np.random.default_rng(3)
    params = DomainClassifier(rows=300, significance=0.05)
    found = [domain_classifier(params, NAMES, rows(rng, 300), rows(rng, 300), None) for _ in range(25)]
    assert sum(each.area > each.critical for each in found) <= 5
    assert abs(np.mean([each.area for each in found]) - 0.5) < 0.02
    assert {each.level for each in found} <= {"none", "warn"}


def test_one_row_of_each_entity_counts_and_few_are_no_data() -> None:
    """A hundred customers who send the same row ten times each are a hundred rows."""
    rng = np.random.default_rng(4)
    window = rows(rng, 100).take(pa.array(np.repeat(np.arange(100), 10)))
    found = domain_classifier(SMALL, NAMES, rows(rng, 1000), window, np.repeat(np.arange(100), 10))
    assert (found.level, found.window_n, found.reason) == ("no-data", 100, "100 rows, fewer than 200")


@pytest.mark.parametrize("named", [True, False])
def test_customers_that_the_reference_has_many_rows_of_are_not_learnt_by_heart(named: bool) -> None:
    """Of 250 customers of twenty rows each, and others in the window: no drift, where a column names them."""
    rng = np.random.default_rng(7)
    reference = pa.table(inputs(rng, 250)).take(pa.array(np.repeat(np.arange(250), 20)))
    if named:
        names = np.repeat([f"c{index}" for index in range(250)], 20)
        reference = reference.append_column("customer", pa.array(names.tolist()))
    found = report(log(inputs(rng, 1000)), rng, monitor={"domain_classifier": DomainClassifier()}, rows=reference)
    assert found.domain is not None
    assert (found.domain.level, found.domain.reference_n) == (("none", 250) if named else ("alert", 5000))


def test_a_window_says_it_beside_its_scores() -> None:
    """Declared in the monitor it has a finding and a place in the report; undeclared, nothing is asked."""
    rng = np.random.default_rng(5)
    reference = pa.table(inputs(rng, 1000))
    found = report(log(inputs(rng, 1000, shift=1)), rng, monitor={"domain_classifier": SMALL}, rows=reference)
    assert found.domain is not None
    assert found.domain.level == "alert"
    assert any(line.startswith("All features together drifted (alert): rows are told") for line in found.findings)
    assert report_data(found)["domain"]["windowRows"] == 600
    assert report(log(inputs(rng, 1000)), rng, rows=reference).domain is None


def test_a_feature_of_another_type_is_left_out() -> None:
    """A category that the snapshot has as a number tells nothing and breaks nothing."""
    rng = np.random.default_rng(6)
    reference, window = rows(rng, 600), rows(rng, 600)
    coded = reference.set_column(2, "c", pa.array([1.0] * 600))
    assert domain_classifier(SMALL, NAMES, coded, window, None).level == "none"
    assert domain_classifier(SMALL, ("c",), coded, window, None).level == "no-data"
