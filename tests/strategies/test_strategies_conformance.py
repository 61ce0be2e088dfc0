"""What every strategy on the shelf keeps, whoever wrote it."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from pydantic import ValidationError

from modelops import plugins
from modelops.strategies import Progress, Step
from strategies.progress import START, arm, drawn, progress, segment

EXAMPLES: dict[str, dict[str, object]] = {
    "canary": {"steps": [{"weight": w, "minRequests": 50} for w in (0.05, 0.25, 0.5, 1.0)]},
}
KEYS = plugins.keys("strategies")


def strategy(key: str):
    module = plugins.load("strategies", key)
    return module, module.Params.model_validate_json(json.dumps(EXAMPLES[key]))


def share(found: Step) -> float:
    return found.traffic.weights["candidate"]


def weights(key: str) -> list[float]:
    return [step["weight"] for step in EXAMPLES[key]["steps"]]


def test_every_strategy_has_an_example():
    """A new strategy file must be added to this suite."""
    assert set(KEYS) == set(EXAMPLES)


@pytest.mark.parametrize("key", KEYS)
def test_unknown_parameters_are_refused(key):
    """A misspelt parameter is an error, not a default."""
    module, _ = strategy(key)
    with pytest.raises(ValidationError, match="alhpa"):
        module.Params.model_validate_json(json.dumps(EXAMPLES[key] | {"alhpa": 0.1}))


@pytest.mark.parametrize("key", KEYS)
def test_pure_and_deterministic(key):
    """Equal progress gives equal steps, twice, and is left as it was."""
    module, params = strategy(key)
    seen = progress([drawn(np.random.default_rng(1), 0, weights(key)[0], 2000, labelled=0.5)])
    before = copy.deepcopy(seen)
    first = module.next_step(params, seen)
    assert first == module.next_step(params, seen) == module.next_step(params, before)
    np.testing.assert_array_equal(seen.segments[0].arm("stable").scores, before.segments[0].arm("stable").scores)


@pytest.mark.parametrize("key", KEYS)
def test_without_data_nothing_moves(key):
    """At every step, however long it waits, no traffic means hold at the step's weight."""
    module, params = strategy(key)
    for at, weight in enumerate(weights(key)):
        for segments in ([], [segment(at, weight, arm(), arm())], [segment(at, weight, arm(), arm(1000))]):
            found = module.next_step(params, progress(segments, step=at, minutes=1e6))
            assert (found.action, found.step, share(found)) == ("hold", at, weight)
            assert "no data" in found.reason


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("total", [10, 300, 5000, 200_000])
def test_no_step_is_skipped(key, total):
    """From each step a good candidate gets one step further at most, and is promoted only from the last."""
    module, params = strategy(key)
    generator, segments, planned = np.random.default_rng(2), [], weights(key)
    assert module.begin(params, ("stable", "candidate")).weights["candidate"] == planned[0]
    for at, weight in enumerate(planned):
        segments.append(drawn(generator, at, weight, total))
        found = module.next_step(params, progress(segments))
        if found.action == "advance":
            assert (found.step, share(found)) == (at + 1, planned[at + 1])
        elif found.action == "promote":
            assert at == len(planned) - 1
            assert share(found) == 1.0
        else:
            assert (found.action, found.step, share(found)) == ("hold", at, weight)


@pytest.mark.parametrize("key", KEYS)
def test_rollback_takes_all_traffic_away_and_stays(key):
    """A candidate that fails every request is sent back at once, and more of the same or time changes nothing."""
    module, params = strategy(key)
    weight = weights(key)[0]
    for n in (20, 200, 20_000):
        for minutes in (0.0, 1e6):
            seen = progress([segment(0, weight, arm(n, n), arm(19 * n))], minutes=minutes)
            found = module.next_step(params, seen)
            assert (found.action, share(found)) == ("rollback", 0.0)
            assert any(check.verdict == "fail" for check in found.checks)


@pytest.mark.parametrize("key", KEYS)
def test_a_step_the_plan_does_not_have_holds(key):
    """A plan that was shortened under a running rollout never promotes."""
    module, params = strategy(key)
    seen = Progress(99, START, START, (segment(99, 1.0, arm(10_000), arm()),))
    assert module.next_step(params, seen).action == "hold"
