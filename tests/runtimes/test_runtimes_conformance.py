"""Every runtime keeps what the conformance suite asks, for one small model of each task."""

from __future__ import annotations

import pytest

from modelops import plugins
from modelops.conformance.runtimes import CHECKS, check
from runtimes.examples import EXAMPLES

KEYS = plugins.keys("runtimes")


def test_every_runtime_has_an_example() -> None:
    """PyTorch's is beside, as its library may not be installed."""
    assert set(KEYS) == {*EXAMPLES, "pytorch"}


@pytest.mark.parametrize("key", sorted(EXAMPLES))
def test_it_keeps_what_every_runtime_keeps(key: str) -> None:
    """A classifier of two labels: data, equal answers, an equal form in ONNX, and refused files."""
    check(plugins.load("runtimes", key), {}, EXAMPLES[key]("binary-classification"))


@pytest.mark.parametrize("task", ["regression", "multiclass-classification"])
@pytest.mark.parametrize("key", sorted(set(EXAMPLES) - {"python"}))
def test_other_tasks_answer_alike(key: str, task: str) -> None:
    """Values, and the probabilities of three labels."""
    example = EXAMPLES[key](task)
    for one in CHECKS[3:5]:
        one(plugins.load("runtimes", key), {}, example)
