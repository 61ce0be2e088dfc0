"""Which features carry a model: what permutation says of one whose coefficients are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from modelops.training.importance import importance

Array = np.ndarray[Any, Any]


def world(n: int = 4000) -> tuple[dict[str, Array], Array]:
    rng = np.random.default_rng(3)
    rows: dict[str, Array] = {name: rng.normal(size=n) for name in ("strong", "weak", "idle", "constant")}
    rows["constant"] = np.ones(n)
    return rows, 3 * rows["strong"] + rows["weak"] + rng.normal(size=n)


def linear(rows: Mapping[str, Array]) -> Array:
    return 3 * rows["strong"] + rows["weak"]


def test_a_linear_model_loses_twice_the_variance_that_a_feature_explains() -> None:
    """Shuffling x in b x adds 2 b^2 var(x) to the squared error: 18 and 2; what is not used adds nothing."""
    rows, truth = world()
    found = importance(linear, "regression", rows, truth, seed=1)
    assert found is not None
    assert (found.loss, found.rows) == ("squared-loss", 2000)
    values = {each.name: each for each in found.features}
    assert list(values) == ["strong", "weak", "idle"]
    for name, wanted in (("strong", 18.0), ("weak", 2.0), ("idle", 0.0)):
        assert abs(values[name].value - wanted) <= 4 * values[name].error + 1e-12
    assert (values["idle"].value, values["idle"].error) == (0.0, 0.0)


def test_equal_inputs_give_equal_numbers_and_another_seed_others() -> None:
    """The exchange is drawn from the seed alone."""
    rows, truth = world()
    first, same, other = (importance(linear, "regression", rows, truth, seed=seed) for seed in (1, 1, 2))
    assert first == same
    assert first != other


@pytest.mark.parametrize("classes", [2, 3])
def test_classifiers_are_measured_by_log_loss(classes: int) -> None:
    """The feature that decides the class carries the model; categories are shuffled too."""
    rng = np.random.default_rng(5)
    code = rng.integers(0, classes, 600)
    rows: dict[str, Array] = {"kind": np.array([f"k{one}" for one in code], dtype=object), "idle": rng.normal(size=600)}

    def score(columns: Mapping[str, Array]) -> Array:
        told = np.array([int(name[1:]) for name in columns["kind"]])
        shares = np.full((len(told), classes), 0.1 / (classes - 1))
        shares[np.arange(len(told)), told] = 0.9
        return shares[:, 1] if classes == 2 else shares

    task = "binary-classification" if classes == 2 else "multiclass-classification"
    found = importance(score, task, rows, code.astype(np.float64), seed=0)  # type: ignore[arg-type]
    assert found is not None
    assert (found.loss, found.features[0].name, found.features[1].value) == ("log-loss", "kind", 0.0)
    assert found.features[0].value > 10 * found.features[0].error


def test_few_rows_and_a_model_that_refuses_have_none() -> None:
    """Below thirty rows nothing is said, nor of a model that refuses a row which it was not meant to see."""
    rows, truth = world(29)
    assert importance(linear, "regression", rows, truth, seed=1) is None

    def refuses(columns: Mapping[str, Array]) -> Array:
        raise ValueError("no such pair")

    rows, truth = world()
    assert importance(refuses, "regression", rows, truth, seed=1) is None
