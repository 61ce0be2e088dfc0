"""Labels of flagged answers alone say nothing of what was missed, and looking again makes no metric luckier."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from modelops.monitoring import Past
from modelops.monitoring.performance import Look, looked, performance_of
from modelops.monitoring.report import PerformanceReport
from modelops.spec.kinds.monitor import Performance, Retraining
from monitoring.windows import NOW, RECALL, log, model, report

N = 3000


def answered(
    recall: float, known: Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray], seed: int = 1
) -> pa.Table:
    """Return answers of a model that finds a part of ten percent positives, with labels for some."""
    rng = np.random.default_rng(seed)
    truth = rng.random(N) < 0.1
    said = np.where(truth, rng.random(N) < recall, rng.random(N) < 0.03)
    has = known(rng, truth, said)
    labels = [("1" if t else "0") if h else None for t, h in zip(truth, has, strict=True)]
    score = np.where(said, 0.6, 0.1) + rng.random(N) * 0.3
    return log({"amount": [0.0] * N}, truth=labels, label=["1" if s else "0" for s in said], score=score.tolist())


def flagged(extra: float = 0.0) -> Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]:
    return lambda rng, truth, said: said | (rng.random(N) < extra)


def recall_of(table: pa.Table, metric: str = "recall") -> PerformanceReport:
    return performance_of(RECALL.model_copy(update={"metric": metric}), model(), table)


@pytest.mark.parametrize("recall", [0.8, 0.5, 0.2])
def test_labels_of_flagged_answers_alone_are_no_recall(recall: float) -> None:
    """Where truth arrives only for what the model flagged, recall would be 1 whatever it is: it is withheld."""
    found = recall_of(answered(recall, flagged()))
    assert (found.verdict, found.value) == ("no-data", None)
    assert "recall is withheld: 0 of" in found.reason
    assert "labels depend on the answer" in found.selection


def test_labels_of_some_of_the_others_are_weighted() -> None:
    """With a fifth of the rest labelled the metric is that of all answers, and a low one is found."""
    low = recall_of(answered(0.2, flagged(0.2)))
    assert low.value is not None
    assert (low.verdict, abs(low.value.value - 0.2) < 0.06, low.value.lower < 0.2 < low.value.upper) == (
        "fail",
        True,
        True,
    )
    good = recall_of(answered(0.95, flagged(0.2)))
    assert good.value is not None
    assert good.verdict == "pass"
    assert good.value.lower < 0.95 < good.value.upper


def test_good_by_few_labels_is_not_good() -> None:
    """Two percent of the rest hold a handful of missed ones, or none: nothing is called good by them."""
    for seed in range(5):
        assert recall_of(answered(0.5, flagged(0.02), seed)).verdict != "pass"


def test_precision_needs_no_labels_of_the_others() -> None:
    """It is a share of the flagged answers alone."""
    found = recall_of(answered(0.8, flagged()), "precision")
    assert found.value is not None
    assert found.verdict == "pass"


def test_labels_that_depend_on_the_truth_are_withheld() -> None:
    """Complaints come for missed ones only: weights would take all others for missed ones, too."""
    found = recall_of(answered(0.8, lambda rng, truth, said: said | (truth & (rng.random(N) < 0.5))))
    assert found.verdict == "no-data"
    assert "labels depend on the truth" in found.reason


def test_labels_by_chance_are_taken_as_they_are() -> None:
    """A part of all answers, whatever they were, is no selection."""
    found = recall_of(answered(0.8, lambda rng, truth, said: rng.random(N) < 0.3))
    assert found.value is not None
    assert (found.selection, found.verdict) == ("", "pass")


@pytest.mark.parametrize("metric", ["roc-auc", "average-precision"])
def test_ranks_are_withheld(metric: str) -> None:
    """No weights are known for them."""
    assert "weights for" in recall_of(answered(0.8, flagged(0.2)), metric).reason


def test_the_error_of_a_regression_is_weighted_by_height() -> None:
    """Truth that arrives for high predictions first is not taken for that of all."""
    rng = np.random.default_rng(2)
    score = rng.random(N)
    error = np.where(score > 0.5, 2.0, 0.2)
    has = rng.random(N) < np.where(score > 0.5, 0.9, 0.1)
    truth = [str(s + e) if h else None for s, e, h in zip(score, error, has, strict=True)]
    table = log({"amount": [0.0] * N}, truth=truth, label=[None] * N, score=score.tolist())
    found = performance_of(Performance(metric="mae", maximum=1.5), model(task="regression", positive=None), table)
    assert found.value is not None
    assert found.verdict == "pass"
    assert abs(found.value.value - 1.1) < 0.05


def test_rows_that_are_trained_on_again_are_said_to_be_selected() -> None:
    """The reviewer of a retraining learns that its new rows are of flagged answers alone, whatever is watched."""
    rng = np.random.default_rng(1)
    found = report(answered(0.8, flagged()), rng, monitor={"retraining": Retraining()})
    (sentence,) = [each for each in found.findings if each.startswith("Labels depend on the answer")]
    assert "0 of" in sentence
    calm = report(
        answered(0.8, lambda rng, truth, said: rng.random(N) < 0.3), rng, monitor={"retraining": Retraining()}
    )
    assert not any(each.startswith("Labels depend") for each in calm.findings)


def past(days: float, looks: int, verdict: str = "pass", release: int = 1) -> Past:
    until = NOW - timedelta(days=days)
    return Past(until - timedelta(days=30), until, "none", release, verdict, looks)


def test_each_look_at_a_release_has_a_part_of_the_error_rate() -> None:
    """The parts of all looks add up to the stated rate; another release begins anew."""
    month = timedelta(days=30)
    assert looked([], 1, month, NOW) == Look(1, True)
    assert looked([past(7, 4)], 1, month, NOW) == Look(5, True)
    assert looked([past(7, 4)], 2, month, NOW) == Look(1, True)
    spent = sum(1 - Look(k).level(0.95) for k in range(1, 2000))
    assert 0.0499 < spent < 0.05


def test_looks_that_see_the_same_rows_say_nothing_new() -> None:
    """A monitor that runs each hour spends nothing between, and neither finds nor forgets a fall then."""
    month = timedelta(days=30)
    again = looked([past(1, 4, "pass"), past(0.5, 4, "inconclusive")], 1, month, NOW)
    assert again == Look(4, False, "pass")
    fallen = answered(0.4, lambda rng, truth, said: rng.random(N) < 0.5)
    assert performance_of(RECALL, model(), fallen, before=again).verdict == "inconclusive"
    assert performance_of(RECALL, model(), fallen, before=Look(4, False, "fail")).verdict == "fail"
    assert performance_of(RECALL, model(), fallen, before=Look(5)).verdict == "fail"


def test_one_customers_errors_are_not_many() -> None:
    """The interval is that of customers where each of them is found always or never."""
    rng = np.random.default_rng(3)
    who = rng.integers(0, 40, N)
    truth, found = np.arange(40) % 2 == 0, np.arange(40) % 10 != 0
    labels = ["1" if each else "0" for each in truth[who]]
    said = ["1" if t and f else "0" for t, f in zip(truth[who], found[who], strict=True)]
    table = log({"amount": [0.0] * N}, truth=labels, label=said, entity=[f"c{each}" for each in who])
    few = recall_of(table).value
    alone = recall_of(table.set_column(4, "entity", pa.array([f"e{index}" for index in range(N)]))).value
    assert few is not None
    assert alone is not None
    assert few.upper - few.lower > 3 * (alone.upper - alone.lower)
