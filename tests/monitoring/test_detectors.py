"""ADWIN and Page-Hinkley over the labelled answers of a window: what they tell, and where they say nothing."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from modelops.errors import ModelOpsError
from modelops.monitoring.detectors import detected, sentence
from modelops.spec.graph import build_graph
from monitoring.windows import SINCE, model
from spec_world import NAME, world


def judged(wrong: np.ndarray, labelled: np.ndarray | None = None) -> pa.Table:
    """Return a window whose answers are wrong where said, spread over thirty days."""
    n = len(wrong)
    rng = np.random.default_rng(1)
    answers = np.where(rng.random(n) < 0.5, "1", "0")
    truth = np.where(wrong, np.where(answers == "1", "0", "1"), answers).tolist()
    known = np.ones(n, dtype=bool) if labelled is None else labelled
    times = SINCE.timestamp() + np.arange(n) * (timedelta(days=30) / timedelta(seconds=1)) / n
    return pa.table(
        {
            "time": times, "status": [200] * n, "score": rng.random(n), "label": answers.tolist(),
            "truth": [text if here else None for text, here in zip(truth, known, strict=True)],
        }
    )  # fmt: skip


GOLDEN = np.arange(2000) * (1 + 5**0.5) / 2 % 1
ROSE = np.where(np.arange(2000) < 1000, 0.1, 0.5) > GOLDEN


def test_a_rise_is_told_with_its_time_and_both_shares() -> None:
    """Half way through the month a tenth of wrong answers becomes a half; each detector says when it saw that."""
    found = detected(("adwin", "page-hinkley"), model(), judged(ROSE))
    assert [(one.detector, one.label) for one in found] == [("adwin", 1056), ("page-hinkley", 1136)]
    for one in found:
        assert timedelta(0) < one.at - (SINCE + timedelta(days=15)) < timedelta(days=3)
        assert (one.before, one.after) == (pytest.approx(0.1, abs=0.03), pytest.approx(0.5, abs=0.1))
        assert "rose from" in sentence(one)
        assert "decides nothing" in sentence(one)
    (fell,) = detected(("adwin",), model(), judged(~ROSE))
    assert "fell from" in sentence(fell)


def test_nothing_is_told_of_what_is_not_known() -> None:
    """Without a detector, without labels, on an even stream, and where labels depend on the answer."""
    assert detected((), model(), judged(ROSE)) == ()
    assert detected(("adwin",), model(), judged(ROSE, np.zeros(2000, dtype=bool))) == ()
    assert detected(("adwin", "page-hinkley"), model(), judged(GOLDEN < 0.2)) == ()
    table = judged(ROSE)
    flagged = np.array([text == "1" for text in table.column("label").to_pylist()])
    assert detected(("adwin", "page-hinkley"), model(), judged(ROSE, flagged)) == ()


def test_a_regression_has_no_detectors() -> None:
    """Errors without a bound are refused with the line, before anything is watched."""
    files = world()
    path = f"models/{NAME}/monitor.yaml"
    head = f"apiVersion: modelops/v1\nkind: Monitor\nmetadata: {{name: {NAME}}}\nspec:\n"
    files[path] = f"{head}  performance: {{metric: rmse, maximum: 1.0, detectors: [adwin]}}\n".encode()
    place = f"models/{NAME}/model.yaml"
    text = files[place].decode().replace("binary-classification", "regression").replace("    positive: 1\n", "")
    files[place] = text.encode()
    with pytest.raises(ModelOpsError) as raised:
        build_graph(files)
    assert [
        (one.code, str(one.location)) for one in raised.value.problems if one.location and one.location.path == path
    ] == [("detector-unbounded", f"{path}:5:56")]
