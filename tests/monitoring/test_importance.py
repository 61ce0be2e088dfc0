"""What features are worth to the model: who speaks first, and who cannot raise an alarm alone."""

from __future__ import annotations

import numpy as np
import pytest

from modelops.monitoring.importance import weights
from modelops.spec.kinds.release import FeatureImportance, Importance
from modelops.views.monitor import report_data, report_text
from monitoring.windows import inputs, log, report


def measured(**values: tuple[float, float]) -> Importance:
    features = tuple(FeatureImportance(name=name, value=value, error=error) for name, (value, error) in values.items())
    return Importance(loss="log-loss", rows=2000, features=features)


CARRIED = measured(channel=(0.5, 0.01), count=(0.3, 0.01), abroad=(0.2, 0.01), amount=(0.0001, 0.0001))


def test_the_first_features_that_are_worth_four_fifths_carry_the_model() -> None:
    """At least three, at most five; what is not beyond two standard errors never does."""
    found = weights(measured(a=(0.5, 0.01), b=(0.4, 0.01), c=(0.06, 0.01), d=(0.04, 0.01), e=(0.00001, 0.000001)))
    assert [name for name, each in found.items() if each.carries] == ["a", "b", "c"]
    assert [name for name, each in found.items() if each.idle] == ["e"]
    assert found["a"].share == pytest.approx(0.5, abs=0.001)
    even = weights(measured(**{f"f{index}": (0.1, 0.001) for index in range(10)}))
    assert sum(each.carries for each in even.values()) == 5
    noisy = weights(measured(a=(0.5, 0.01), b=(0.001, 0.01)))
    assert (noisy["b"].carries, noisy["b"].idle) == (False, False)


def test_where_nothing_is_worth_anything_nothing_is_weighed() -> None:
    """A release that measured nothing, and one whose features are worth nothing, leave all levels as they are."""
    assert weights(None) == weights(measured(a=(-0.1, 0.01))) == weights(measured()) == {}


def test_an_idle_feature_warns_and_the_carriers_speak_first() -> None:
    """A large shift of what the model does not use is a warning, below a smaller one of what carries it."""
    rng = np.random.default_rng(11)
    table = log(inputs(rng, 2000, shift=2, abroad=0.4))
    plain = report(table, rng)
    assert plain.drifted == ("amount", "abroad")
    found = report(table, rng, importance=CARRIED)
    assert (found.level, found.drifted) == ("alert", ("abroad",))
    assert found.findings[0].startswith("abroad drifted (alert, 20% of the model): PSI ")
    assert found.findings[1].startswith("amount drifted (warn): PSI ")
    assert "it carries less than 1% of the model" in found.findings[1]
    rows = [line.split()[0] for line in report_text(found).splitlines()[-4:]]
    assert rows == ["abroad", "count", "channel", "amount"] or rows[-1] == "amount"
    shown = {each["name"]: each for each in report_data(found)["features"]}
    assert (shown["abroad"]["carries"], shown["amount"]["carries"]) == (True, False)
    assert shown["amount"]["importance"] == pytest.approx(0.0001, abs=1e-5)


def test_a_shift_of_idle_features_alone_is_no_alert() -> None:
    """The window warns, so nothing is retrained for it."""
    rng = np.random.default_rng(12)
    found = report(log(inputs(rng, 2000, shift=2)), rng, importance=CARRIED)
    assert (found.level, found.drifted) == ("warn", ())
