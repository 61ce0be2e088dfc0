"""Sample weights: given to the training code, kept with the predictions, and refused where nothing takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from modelops.errors import ModelOpsError
from modelops.metrics import measure
from modelops.training import divided, recheck
from modelops.training.rows import holdout_bytes, holdout_predictions
from modelops.training.weights import not_taken, require_parameter, weights
from training.building_blocks import TRAIN, Workshop, people

WEIGHTED = TRAIN.replace("parameters, seed)", "parameters, seed, sample_weight=None)").replace(
    ".fit(features, target)", ".fit(features, target, gradientboostingclassifier__sample_weight=sample_weight)"
)


@pytest.fixture
def weighing(workshop: Workshop) -> Workshop:
    """A workshop whose rows count for 1 or for 9."""
    weight = np.where(np.arange(workshop.table.num_rows) % 4 == 0, 9.0, 1.0)
    workshop.table = workshop.table.append_column("w", pa.array(weight))
    return workshop


def test_a_weighted_build_trains_and_is_measured_by_weight(weighing: Workshop) -> None:
    """Weights reach the estimator and every metric; the stored predictions hold them, and rechecking finds the same."""
    request = weighing.request(WEIGHTED, data__weight="w")
    record = weighing.build(request)
    rows, stored = holdout_predictions(weighing.store.get(record.holdout), record.task, record.classes)
    assert record.weight == "w"
    assert stored.sample_weight is not None
    assert stored.sample_weight.tolist() == weighing.table["w"].to_numpy()[rows].tolist()
    auc = next(metric for metric in record.metrics if metric.name == "roc-auc")
    assert auc == measure("roc-auc", stored, seed=3)
    assert auc.effective is not None
    parts = divided(request, weighing.table)
    recheck(request, record, parts, weighing.store)
    forged = holdout_bytes(rows, replace(stored, sample_weight=stored.sample_weight + 1))
    changed = record.model_copy(update={"holdout": weighing.store.put(forged)})
    with pytest.raises(ModelOpsError, match="weight of the test rows"):
        recheck(request, changed, parts, weighing.store)
    unweighted = weighing.build(weighing.request(WEIGHTED))
    assert unweighted.artifact.digest != record.artifact.digest
    assert unweighted.weight is None


@pytest.mark.slow
def test_weights_that_are_all_alike_make_the_unweighted_model(weighing: Workshop) -> None:
    """Whatever their unit: same artifact but for its inputs, same metrics, no word of weights in them."""
    weighing.table = weighing.table.append_column("same", pa.array(np.full(weighing.table.num_rows, 50.0)))
    one, other = (
        weighing.build(weighing.request(WEIGHTED)),
        weighing.build(weighing.request(WEIGHTED, data__weight="same")),
    )
    assert (one.metrics, one.baseline, one.artifact.digest) == (other.metrics, other.baseline, other.artifact.digest)


def takes_none(features: object, target: object, parameters: object, seed: int) -> None: ...


def forgets(features: object, target: object, parameters: object, seed: int, sample_weight: object) -> None: ...


def hands_on(features: object, target: object, parameters: object, seed: int, **more: object) -> object:
    return more


def test_training_code_has_to_take_weights_and_use_them() -> None:
    """A parameter that is missing, or never read, is refused with the way to write it."""
    for train, said in ((takes_none, "has no parameter sample_weight"), (forgets, "never uses it")):
        with pytest.raises(ModelOpsError, match=said) as refused:
            require_parameter(train, "train.py")
        assert "STEP__sample_weight" in str(refused.value.first.hint)
    require_parameter(hands_on, "train.py")


def _neighbours() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    KNeighborsClassifier().fit([[0.0], [1.0]], [0, 1], sample_weight=[1, 2])


def _pipeline() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    make_pipeline(StandardScaler(), LogisticRegression()).fit([[0.0], [1.0]], [0, 1], sample_weight=[1, 2])


def _voting() -> None:
    from sklearn.ensemble import VotingClassifier
    from sklearn.neighbors import KNeighborsClassifier

    VotingClassifier([("near", KNeighborsClassifier(1))]).fit([[0.0], [1.0]], [0, 1], sample_weight=[1, 2])


def _threshold() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import TunedThresholdClassifierCV

    rows = [[float(place)] for place in range(20)]
    tuned = TunedThresholdClassifierCV(LogisticRegression(), cv=2)
    tuned.fit(rows, [0, 1] * 10, sample_weight=[1] * 20)


@pytest.mark.parametrize("fit", [_neighbours, _pipeline, _voting, _threshold])
def test_an_estimator_that_refuses_weights_is_told_with_the_way_out(fit: Callable[[], None]) -> None:
    """What scikit-learn says of it becomes one error; any other error stays what it is."""
    try:
        fit()
    except (TypeError, ValueError) as error:
        found = not_taken(error, "train.py")
    assert found is not None
    assert found.first.code == "weight-not-taken"
    assert "choose an estimator" in str(found.first.hint)
    assert not_taken(ValueError("sample_weight has the wrong length"), "train.py") is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, -2.0, 3.0], r"negative in 1 of 3 rows, first in row 2 \(-2\)"),
        ([1.0, None, 3.0], "missing or infinite in 1 of 3 rows, first in row 2"),
        ([1.0, float("inf"), 3.0], "row 2: the value is infinite"),
        ([0.0, 0.0, 0.0], "is 0 in all rows"),
        (["a", "b", "c"], "cannot be read as a number"),
    ],
)
def test_what_is_no_weight_is_refused(values: list[object], said: str) -> None:
    """With the row and the value."""
    with pytest.raises(ModelOpsError, match=said):
        weights(pa.table({"w": values}), "w", np.arange(3))


def test_a_part_whose_rows_count_for_nothing_is_refused(workshop: Workshop) -> None:
    """Neither training nor testing works on rows that all weigh nothing."""
    test = divided(workshop.request(), workshop.table).test
    weight = np.ones(workshop.table.num_rows)
    weight[test] = 0
    table = people().append_column("w", pa.array(weight))
    with pytest.raises(ModelOpsError, match="0 in all 60 rows that test"):
        divided(workshop.request(data__weight="w"), table)


def test_a_class_whose_rows_count_for_nothing_is_refused(workshop: Workshop) -> None:
    """Nobody can learn it, however many rows it has."""
    table = people()
    leaves = np.array(table["left"].to_pylist()) == "yes"
    table = table.append_column("w", pa.array(np.where(leaves, 0.0, 1.0)))
    with pytest.raises(ModelOpsError, match=r"0 in all \d+ rows that train and whose left is 'yes'") as refused:
        divided(workshop.request(data__weight="w"), table)
    assert refused.value.first.code == "bad-weight"
