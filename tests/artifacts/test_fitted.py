"""What is kept of searches and tuned thresholds: what they found, which predicts as they did, and nothing else."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.feature_selection
import sklearn.gaussian_process.kernels as kernels
import sklearn.model_selection as selection
from scipy.sparse import csr_matrix
from scipy.stats import uniform
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer, precision_score
from sklearn.metrics import pairwise as distances
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from artifacts.makers import GAPS, NUMBERS, fitted, rows, signature
from modelops.artifacts.allowed import ALLOWED_TYPES
from modelops.artifacts.canonical import dump_canonical, load_canonical
from modelops.artifacts.fitted import own_threshold, without_searches
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_export import export_onnx
from modelops.artifacts.trees import check_trees
from modelops.errors import ModelOpsError

GRID = {"C": [0.01, 1.0]}
Search = Callable[[], Any]


def grid(**more: Any) -> GridSearchCV:
    return GridSearchCV(LogisticRegression(), GRID, cv=2, **more)


FORMS: dict[str, Search] = {
    "grid": grid,
    "scored": partial(grid, scoring=make_scorer(precision_score, zero_division=0.0)),
    "several scores": partial(grid, scoring=["roc_auc", "accuracy"], refit="roc_auc"),
    "random": lambda: RandomizedSearchCV(
        LogisticRegression(), {"C": uniform(0.1, 3)}, n_iter=3, cv=StratifiedKFold(2), scoring="roc_auc", random_state=0
    ),
    "halving": lambda: HalvingGridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2, 3]}, cv=2, random_state=0),
    "over a pipeline": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1.0]}, cv=2
    ),
    "over estimators": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"standardscaler": [StandardScaler(), SimpleImputer()]}
    ),
    "last of a pipeline": lambda: make_pipeline(StandardScaler(), grid()),
    "frozen": lambda: make_pipeline(StandardScaler(), FrozenEstimator(grid().fit(np.eye(4)[:, :3], [0, 1, 0, 1]))),
    "calibrated": lambda: CalibratedClassifierCV(GridSearchCV(LinearSVC(), GRID, cv=2), cv=StratifiedKFold(2)),
    "voting": lambda: VotingClassifier([("a", grid()), ("b", DecisionTreeClassifier(max_depth=2))], voting="soft"),
    "stacked": lambda: StackingClassifier([("a", grid()), ("b", DecisionTreeClassifier(max_depth=2))], cv=2),
    "against the rest": lambda: OneVsRestClassifier(grid()),
    "within a threshold": lambda: FixedThresholdClassifier(grid(), threshold=0.3),
    "around a threshold": lambda: GridSearchCV(
        FixedThresholdClassifier(LogisticRegression()), {"threshold": [0.2, 0.4]}, cv=2
    ),
    "in a search": lambda: GridSearchCV(GridSearchCV(LogisticRegression(), GRID, cv=2), {"cv": [2, 3]}, cv=2),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_search_is_kept_as_what_it_found(form: str) -> None:
    """Wherever a search sits: the kept estimator predicts the same, holds no search, and ONNX serves it."""
    estimator, columns = fitted(FORMS[form](), NUMBERS)
    frame = to_frame(columns)
    labels, scores = estimator.predict(frame), estimator.predict_proba(frame)
    kept, search = without_searches(estimator)
    assert search is not None
    assert search.candidates >= 2
    data, types = dump_canonical(kept)
    assert b"SearchCV" not in data
    loaded = load_canonical(data, types)
    np.testing.assert_array_equal(loaded.predict(frame), labels)
    np.testing.assert_array_equal(loaded.predict_proba(frame), scores)
    export = export_onnx(loaded, signature(NUMBERS, trusted_types=types), columns)
    assert export.data is not None, export.reason


def test_what_a_search_found_is_told() -> None:
    """Class, candidates, splits and score, the best parameters, and how much better they are than the worst."""
    estimator, _ = fitted(FORMS["over a pipeline"](), NUMBERS)
    best = estimator.best_score_
    kept, search = without_searches(make_pipeline(StandardScaler(), estimator))
    assert search is not None
    assert (search.by, search.candidates, search.splits) == ("GridSearchCV", 2, 2)
    assert search.best == estimator.best_params_
    assert search.mean == best >= (search.worst or 0) > 0
    assert kept.steps[-1][1] is estimator.best_estimator_
    told = without_searches(fitted(FORMS["scored"](), NUMBERS)[0])[1]
    assert told is not None
    assert told.scoring == "precision_score"
    assert without_searches(LogisticRegression())[1] is None


def test_parameters_that_are_no_values_are_told_by_their_text() -> None:
    """An estimator among the parameters, infinities and numpy's numbers fit into a release."""
    _, search = without_searches(fitted(FORMS["over estimators"](), NUMBERS)[0])
    assert search is not None
    assert search.best in ({"standardscaler": "StandardScaler()"}, {"standardscaler": "SimpleImputer()"})
    infinite = GridSearchCV(LogisticRegression(), {"C": [np.inf], "max_iter": [np.int64(80)]}, cv=2)
    _, search = without_searches(fitted(infinite, NUMBERS)[0])
    assert search is not None
    assert search.best == {"C": "inf", "max_iter": 80}


def test_regressors_and_their_targets() -> None:
    """A search behind a transformed target is found too."""
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=selection.KFold(2))
    made = TransformedTargetRegressor(search, func=np.arcsinh, inverse_func=np.sinh)
    estimator, columns = fitted(made, NUMBERS, "regression")
    expected = estimator.predict(to_frame(columns))
    kept, told = without_searches(estimator)
    assert told is not None
    np.testing.assert_array_equal(load_canonical(*dump_canonical(kept)).predict(to_frame(columns)), expected)


def test_a_search_without_a_best_estimator_is_refused() -> None:
    """There is nothing to serve when it was told not to fit again; one that was not fitted is left to be refused."""
    with pytest.raises(ModelOpsError) as caught:
        without_searches(fitted(grid(refit=False), NUMBERS)[0])
    assert (caught.value.first.code, caught.value.first.hint) == ("not-fitted", "make the GridSearchCV with refit=True")
    assert isinstance(without_searches(grid())[0], GridSearchCV)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_tuned_threshold_is_taken_over(wrapped: bool) -> None:
    """Labels served with the estimator's own threshold are those of its predict."""
    tuned = TunedThresholdClassifierCV(LogisticRegression(), cv=2, scoring="recall")
    estimator, columns = fitted(make_pipeline(StandardScaler(), tuned) if wrapped else tuned, NUMBERS)
    threshold = own_threshold(load_canonical(*dump_canonical(estimator)))
    assert threshold is not None
    assert threshold != 0.5
    labels = estimator.predict(to_frame(columns))
    np.testing.assert_array_equal(estimator.predict_proba(to_frame(columns))[:, 1] >= threshold, labels == 1)
    assert (labels != (estimator.predict_proba(to_frame(columns))[:, 1] >= 0.5)).any()


def test_thresholds_of_something_else_are_refused() -> None:
    """Of a decision function, of the other class, or such that every row gets one label; without one there is none."""
    assert own_threshold(fitted(LogisticRegression(), NUMBERS)[0]) is None
    assert own_threshold(fitted(FixedThresholdClassifier(LogisticRegression()), NUMBERS)[0]) == 0.5
    fixed = partial(FixedThresholdClassifier, LogisticRegression())
    for made, words in (
        (fixed(threshold=0.2, response_method="decision_function"), "decision_function"),
        (fixed(threshold=0.2, pos_label=0), "class 0"),
        (fixed(threshold=1.5), "1.5"),
    ):
        with pytest.raises(ModelOpsError, match="bad-threshold") as caught:
            own_threshold(fitted(made, NUMBERS)[0])
        assert words in caught.value.first.message
        assert caught.value.first.hint


def qualified(item: Any) -> str:
    return f"{item.__module__}.{item.__qualname__}"


def test_what_scikit_learn_has_of_plain_parts_may_be_kept() -> None:
    """Every splitter, scorer, kernel, distance and score of columns is allowed by name, not as somebody needed it."""
    splitters = {
        qualified(each) for _, each in inspect.getmembers(selection, inspect.isclass) if hasattr(each, "split")
    }
    abstract = {"BaseCrossValidator", "BaseShuffleSplit"}
    scorers = {qualified(get_scorer(name)._score_func) for name in get_scorer_names()}
    parts = {
        qualified(each)
        for _, each in inspect.getmembers(kernels, inspect.isclass)
        if issubclass(each, kernels.Kernel) and each not in (kernels.Kernel, kernels.KernelOperator)
    }
    pairs = {*distances.PAIRWISE_KERNEL_FUNCTIONS.values(), *distances.PAIRWISE_DISTANCE_FUNCTIONS.values()}
    columns = {qualified(each) for _, each in inspect.getmembers(sklearn.feature_selection, inspect.isfunction)}
    wanted = splitters | scorers | parts | columns | {qualified(each) for each in pairs if inspect.isfunction(each)}
    assert {name for name in wanted - ALLOWED_TYPES if name.rpartition(".")[2] not in abstract} == set()


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(
            ColumnTransformer([("n", SimpleImputer(), make_column_selector(dtype_include=np.number))]),
            LogisticRegression(),
        ),
        make_pipeline(
            ColumnTransformer([("n", SimpleImputer(), make_column_selector(dtype_exclude=object))]),
            LogisticRegression(),
        ),
        make_pipeline(IterativeImputer(), LogisticRegression()),
        make_pipeline(SimpleImputer(), KNeighborsClassifier()),
        make_pipeline(SimpleImputer(), KNeighborsClassifier(algorithm="ball_tree", p=1)),
        make_pipeline(SimpleImputer(), StandardScaler(), RadiusNeighborsClassifier(radius=9)),
        make_pipeline(SimpleImputer(), CalibratedClassifierCV(LinearSVC(), cv=StratifiedKFold(2))),
    ],
)
def test_estimators_with_common_parts_can_be_kept(estimator: Any) -> None:
    """Selectors by type, imputers that iterate, trees of neighbours and splitters are loaded again as they were."""
    made, columns = fitted(estimator, GAPS)
    expected = made.predict_proba(to_frame(columns))
    np.testing.assert_array_equal(load_canonical(*dump_canonical(made)).predict_proba(to_frame(columns)), expected)


ENABLED_LATE = """
import sys
from pathlib import Path
import skops.io
from sklearn.experimental import enable_iterative_imputer
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from artifacts.makers import GAPS, fitted
from modelops.artifacts.canonical import dump_canonical
data, types = dump_canonical(fitted(make_pipeline(IterativeImputer(random_state=0), LogisticRegression()), GAPS)[0])
Path(sys.argv[1]).write_bytes(data)
print(*types)
"""


def test_when_an_experiment_was_enabled_does_not_matter(tmp_path: Path) -> None:
    """Training code enables it after everything was imported, a server never does: the same types, and it loads."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", ENABLED_LATE, str(tmp_path / "model.skops")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    here, types = dump_canonical(fitted(make_pipeline(IterativeImputer(random_state=0), LogisticRegression()), GAPS)[0])
    assert done.stdout.split() == list(types)
    assert (tmp_path / "model.skops").read_bytes() == here
    assert load_canonical(here, types).steps[0][0] == "iterativeimputer"


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (1, lambda order: order.__setitem__(0, len(order))),
        (1, lambda order: order.__setitem__(0, -1)),
        (2, lambda nodes: nodes["idx_end"].__setitem__(0, 10_000)),
        (2, lambda nodes: nodes["idx_start"].__setitem__(0, -5)),
        (2, lambda nodes: nodes["is_leaf"].__setitem__(-1, 0)),
    ],
)
def test_crafted_trees_of_neighbours_are_refused(place: int, change: Callable[[Any], None]) -> None:
    """A point or node that does not exist is found before a query follows it."""
    estimator, _ = fitted(KNeighborsClassifier(), NUMBERS)
    check_trees(estimator)
    state = [part.copy() if isinstance(part, np.ndarray) else part for part in estimator._tree.__getstate__()]
    change(state[place])
    estimator._tree.__setstate__(tuple(state))
    with pytest.raises(ModelOpsError, match="crafted-tree"):
        check_trees(estimator)


@pytest.mark.parametrize("change", [{6: 7}, {3: np.zeros((2, 1, 3))}, {1: np.zeros(3, dtype=np.int64)}])
def test_trees_of_neighbours_that_contradict_themselves_are_refused(change: dict[int, Any]) -> None:
    """The number of nodes, the bounds and the list of points belong together."""
    estimator, _ = fitted(KNeighborsClassifier(), NUMBERS)
    state = list(estimator._tree.__getstate__())
    for place, value in change.items():
        state[place] = value
    estimator._tree.__setstate__(tuple(state))
    with pytest.raises(ModelOpsError, match="crafted-tree"):
        check_trees(estimator)


def test_crafted_sparse_matrices_are_refused() -> None:
    """An index beyond the shape is found before a product reads there."""
    values = rows(NUMBERS)
    table = csr_matrix(np.stack([values["age"], values["amount"]], axis=1))
    estimator = KNeighborsClassifier(algorithm="brute").fit(table, values["age"] > 40)
    loaded = load_canonical(*dump_canonical(estimator))
    np.testing.assert_array_equal(loaded.predict(table), estimator.predict(table))
    estimator._fit_X.indices[3] = 70_000
    with pytest.raises(ModelOpsError, match="crafted-tree"):
        load_canonical(*dump_canonical(estimator))
