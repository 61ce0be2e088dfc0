"""Every classifier, regressor and transformer of scikit-learn as somebody would make it, and what becomes of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

from modelops.artifacts import Input, Signature
from modelops.artifacts.canonical import dump_canonical, load_canonical
from modelops.artifacts.fitted import own_threshold, without_searches
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_export import export_onnx
from modelops.errors import ModelOpsError
from modelops.training.worker import require_estimator

FEATURES = tuple(Input(name=name, type="number") for name in ("a", "b", "c"))

SEVERAL_TARGETS = frozenset(
    {
        "CCA",
        "ClassifierChain",
        "MultiOutputClassifier",
        "MultiOutputRegressor",
        "MultiTaskElasticNet",
        "MultiTaskElasticNetCV",
        "MultiTaskLasso",
        "MultiTaskLassoCV",
        "PLSCanonical",
        "PLSSVD",
        "RegressorChain",
    }
)
"""They want more than one target, a model of ours has one."""

NO_COLUMNS = frozenset(
    {
        "DictVectorizer",
        "FeatureHasher",
        "HashingVectorizer",
        "IsotonicRegression",
        "KernelCenterer",
        "LabelBinarizer",
        "LabelEncoder",
        "MultiLabelBinarizer",
        "PatchExtractor",
        "SparseCoder",
        "TSNE",
    }
)
"""They take no table of columns: texts, dictionaries, images, targets, kernels; TSNE has no way to transform."""

COMPOSED = frozenset({"ColumnTransformer", "FeatureUnion", "MissingIndicator", "Pipeline"})
"""What they do is what their parts do."""


class Case(NamedTuple):
    """An estimator, by the name that it has in the table."""

    name: str
    kind: str
    make: Callable[[], Any]


class Outcome(NamedTuple):
    """``word`` is ONNX, scikit-learn or refused; ``reason`` says why it is not ONNX."""

    word: str
    reason: str


def cases() -> Iterator[Case]:
    """Yield every estimator that takes a table; classifiers without probabilities are calibrated as well."""
    for kind in ("classifier", "regressor", "transformer"):
        for name, made in all_estimators(type_filter=kind):
            if name in SEVERAL_TARGETS | NO_COLUMNS | COMPOSED:
                continue
            if kind == "transformer" and issubclass(made, _predicting()):
                continue
            yield Case(name, kind, lambda made=made, name=name, kind=kind: _made(name, made, kind))
            if name in UNCALIBRATED:
                yield Case(
                    f"CalibratedClassifierCV({name})",
                    kind,
                    lambda made=made, name=name, kind=kind: CalibratedClassifierCV(_made(name, made, kind), cv=3),
                )
    for name in ("FrozenEstimator", *SEARCHES):
        for kind, of in (("classifier", "LogisticRegression"), ("regressor", "Ridge")):
            yield Case(
                f"{name}({of})", kind, lambda name=name, kind=kind: _made(name, dict(all_estimators())[name], kind)
            )


SEARCHES = ("GridSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "RandomizedSearchCV")
UNCALIBRATED = (
    "LinearSVC", "NuSVC", "OneVsOneClassifier", "PassiveAggressiveClassifier", "Perceptron", "RidgeClassifier",
    "RidgeClassifierCV", "SGDClassifier", "SVC",
)  # fmt: skip


@cache
def _predicting() -> tuple[type, ...]:
    return tuple({made for kind in ("classifier", "regressor") for _, made in all_estimators(type_filter=kind)})


def _made(name: str, made: Any, kind: str) -> Any:
    single, tree, key = (
        (Ridge(), DecisionTreeRegressor(max_depth=2), "alpha")
        if kind == "regressor"
        else (LogisticRegression(), DecisionTreeClassifier(max_depth=2), "C")
    )
    match name:
        case "GridSearchCV" | "RandomizedSearchCV" | "HalvingGridSearchCV" | "HalvingRandomSearchCV":
            more = {"n_iter": 2} if name == "RandomizedSearchCV" else {}
            estimator = made(single, {key: [0.1, 1.0]}, cv=2, **more)
        case "VotingClassifier":
            estimator = made([("a", single), ("b", tree)], voting="soft")
        case "VotingRegressor" | "StackingClassifier" | "StackingRegressor":
            estimator = made([("a", single), ("b", tree)])
        case "FrozenEstimator":
            estimator = made(single.fit(to_frame(columns()), target(kind)))
        case "GaussianRandomProjection" | "SparseRandomProjection":
            estimator = made(n_components=2)
        case "SelfTrainingClassifier" | "OneVsRestClassifier" | "OneVsOneClassifier" | "OutputCodeClassifier":
            estimator = made(single)
        case "FixedThresholdClassifier" | "TunedThresholdClassifierCV" | "RFE" | "RFECV" | "SelectFromModel":
            estimator = made(single)
        case "SequentialFeatureSelector":
            estimator = made(single)
        case _:
            estimator = made()
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    return make_pipeline(estimator, LogisticRegression()) if kind == "transformer" else estimator


def columns() -> dict[str, Any]:
    """Return three positive columns, which every estimator takes."""
    random = np.random.default_rng(0)
    return {feature.name: random.gamma(2, 1, size=150) for feature in FEATURES}


def target(kind: str) -> Any:
    """Return what depends on the columns: a number, or whether it is large."""
    values = columns()
    number = values["a"] + values["b"] * values["c"] + 0.1
    return number if kind == "regressor" else (number > 5).astype(int)


def outcome(case: Case) -> Outcome:
    """Do what a build does with an estimator: fit, keep, load, export; every refusal has a hint."""
    regression = case.kind == "regressor"
    task: Any = "regression" if regression else "binary-classification"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = case.make().fit(to_frame(columns()), target(case.kind))
        try:
            kept, _ = without_searches(estimator)
            require_estimator(kept, {"entrypoint": "train.py", "task": task, "classes": [0, 1]})
            data, types = dump_canonical(kept)
        except ModelOpsError as error:
            return Outcome("refused" if error.first.hint else "no hint", error.first.message)
        loaded = load_canonical(data, types)
        own_threshold(loaded)
        made = Signature(
            model="m",
            task=task,
            features=FEATURES,
            target="t",
            positive=None if regression else "yes",
            classes=() if regression else ("no", "yes"),
            engine="sklearn",
            trusted_types=types,
        )
        export = export_onnx(loaded, made, columns())
    return Outcome("ONNX", "") if export.data else Outcome("scikit-learn", export.reason)
