"""Every strategy on the shelf keeps what the shipped conformance suite asks, and the suite notices who does not."""

from __future__ import annotations

import pytest

from modelops import plugins
from modelops.conformance import strategies
from modelops.conformance.shelf import params_of
from modelops.strategies import Step, Traffic

EXAMPLES: dict[str, dict[str, object]] = {
    "ab-test": {"metric": "outcome", "minimumEffect": 0.05, "minMinutes": 0},
    "bandit": {"epochMinutes": 20, "threshold": 0.7},
    "blue-green": {"minRequests": 50, "baselineRequests": 200, "watchMinutes": 20, "keepWarmMinutes": 30},
    "canary": {"steps": [{"weight": w, "minRequests": 50} for w in (0.05, 0.25, 0.5, 1.0)]},
    "shadow": {"minPairs": 300, "minimumAgreement": 0.9, "differences": {"maximumMean": 0.1}},
}
KEYS = plugins.keys("strategies")


def test_every_strategy_has_an_example():
    """A new strategy file must be added to this suite."""
    assert set(KEYS) == set(EXAMPLES)


@pytest.mark.parametrize("check", strategies.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("key", KEYS)
def test_strategy_keeps(key, check):
    """Each check holds for each strategy, with parameters under which a good rollout ends within ten hours."""
    check(plugins.load("strategies", key), EXAMPLES[key])


class Broken:
    """The canary with any fault."""

    __name__ = "broken"

    def __init__(self, **faults: object) -> None:
        self.canary = plugins.load("strategies", "canary")
        for name in ("ARMS", "Params", "begin", "forecast", "next_step", "objections", "reward"):
            setattr(self, name, faults.get(name, getattr(self.canary, name)))


def once(action):
    """Return a next_step that does one thing whatever it sees."""
    return lambda params, seen: Step(action, seen.step, seen.steps[-1].traffic if seen.steps else ALL, "so it is")


ALL = Traffic({"stable": 1.0, "candidate": 0.0})


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"ARMS": (1, 2)}, "ARMS are"),
        ({"reward": lambda params: "money"}, "reward says 'money'"),
        ({"objections": lambda params, model: ()}, "serving.log off it objects"),
        ({"begin": lambda params, arms: Traffic({"stable": 0.5, "candidate": 0.6})}, "the weights sum to 1.1"),
        ({"next_step": once("rollback")}, "a good candidate is sent back"),
        ({"next_step": once("promote")}, "without data: promote"),
        ({"next_step": once("hold")}, "without data it says 'so it is'"),
    ],
)
def test_the_suite_notices(faults, said):
    """A strategy with a fault does not pass the suite, which says what is not kept."""
    with pytest.raises(AssertionError, match=said):
        strategies.check(Broken(**faults), EXAMPLES["canary"])


def test_only_who_pays_for_answers_has_a_reward():
    """A bandit's traffic follows a reward, which a replay then values; nobody else's does."""
    said = {key: (module := plugins.load("strategies", key)).reward(params_of(module, EXAMPLES[key])) for key in KEYS}
    assert {key: reward for key, reward in said.items() if reward is not None} == {"bandit": "outcome"}
