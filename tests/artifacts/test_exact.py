"""The exact form in ONNX: scikit-learn's own numbers, on rows at which two implementations tend to part."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    GammaRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from artifacts.makers import signature
from modelops.artifacts import Input
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_export import Export, export_onnx
from modelops.artifacts.onnx_session import onnx_score
from modelops.artifacts.onnx_trees import float64_thresholds
from modelops.artifacts.predictor import Predictor, difference, sklearn_score
from modelops.artifacts.probe import probes
from modelops.errors import ModelOpsError

Array = np.ndarray[Any, Any]
B, M, R = "binary-classification", "multiclass-classification", "regression"
LIMIT = 1e-12

NUMBERS = (
    Input(name="amount", type="number"),
    Input(name="when", type="datetime"),
    Input(name="id", type="integer"),
    Input(name="age", type="integer"),
)
GAPS = (Input(name="amount", type="number", nullable=True), *NUMBERS[1:])
MIXED = (
    Input(name="country", type="category"),
    *GAPS[:2],
    Input(name="channel", type="category", nullable=True),
    *GAPS[2:],
)
NAMES = [feature.name for feature in NUMBERS]
TEXTS = ["country", "channel"]


def rows(features: tuple[Input, ...], count: int = 300, seed: int = 1) -> dict[str, Array]:
    """Rows whose instants and identifiers are beyond the precision of float32; some values are missing."""
    random = np.random.default_rng(seed)
    made: dict[str, Array] = {
        "amount": np.round(random.lognormal(3, 1, count), 2),
        "when": 1.7e9 + random.integers(0, 10**6, count).astype(float),
        "id": 5e7 + random.integers(0, 4000, count).astype(float),
        "age": random.integers(18, 90, count).astype(float),
        "country": random.choice(["de", "fr", "it", "größe"], count, p=[0.5, 0.3, 0.19, 0.01]).astype(object),
        "channel": random.choice(["web", "shop", "de", ""], count).astype(object),
    }
    for feature in features:
        if feature.nullable and feature.type != "category":
            made[feature.name][::7] = np.nan
    return {feature.name: made[feature.name] for feature in features}


def truth(columns: dict[str, Array], task: str) -> Array:
    """A target that depends on numbers and categories; positive, so that every loss takes it."""
    random = np.random.default_rng(2)
    signal = np.nan_to_num(columns["amount"], nan=20.0) + columns["age"] + (columns["id"] - 5e7) / 100
    if "country" in columns:
        signal = signal + 30 * (columns["country"] == "fr") + 20 * (columns["channel"] == "web")
    signal = signal + random.normal(0, 10, len(signal))
    if task == R:
        return np.exp((signal - signal.min()) / 60)
    if task == M:
        return np.array(["low", "mid", "top"])[np.digitize(signal, np.quantile(signal, [0.4, 0.8]))]
    return (signal > np.median(signal)).astype(int)


def exported(estimator: Any, features: tuple[Input, ...], task: str) -> tuple[Any, Export]:
    """The fitted estimator and its export, checked on rows that are not those of the fit."""
    columns = rows(features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = estimator.fit(to_frame(columns), truth(columns, task))
    return fitted, export_onnx(fitted, signature(features, task), rows(features, seed=5))


def farthest(estimator: Any, export: Export, features: tuple[Input, ...], task: str) -> float:
    """The largest difference from scikit-learn on rows of every kind, of which no label may differ."""
    assert export.data is not None, export.reason
    made = signature(features, task)
    predictor, expected = Predictor(made, onnx_score(export.data, made)), sklearn_score(estimator, made)
    largest = 0.0
    kinds = [*probes(estimator, features, rows(features)), *probes(estimator, features, rows(features, seed=77))]
    for probe in kinds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                truths = expected(probe.columns)
            except ValueError:
                continue
        if np.isfinite(truths).all():
            outputs = predictor.predict_columns(probe.columns)
            largest = max(largest, difference(outputs.scores, truths))
            assert (predictor.labels(truths) == outputs.labels).all() or task == R, probe.kind
    return largest


def by_column(numbers: Any, categories: Any, **more: Any) -> ColumnTransformer:
    return ColumnTransformer([("n", numbers, NAMES), ("c", categories, TEXTS)], **more)


def simple(categories: Any = None, numbers: Any = None) -> ColumnTransformer:
    return by_column(
        numbers or make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
        categories or OneHotEncoder(handle_unknown="ignore"),
        sparse_threshold=0,
    )


GB, GBR = partial(GradientBoostingClassifier, n_estimators=8), partial(GradientBoostingRegressor, n_estimators=8)
HGB, HGBR = partial(HistGradientBoostingClassifier, max_iter=8), partial(HistGradientBoostingRegressor, max_iter=8)
LOGISTIC = partial(LogisticRegression, max_iter=1000)

TREES: dict[str, tuple[Any, tuple[Input, ...], str]] = {
    "boosting": (GB(), NUMBERS, B),
    "boosting, exponential": (GB(loss="exponential"), NUMBERS, B),
    "boosting, three classes": (GB(), NUMBERS, M),
    "boosting from zero": (GB(init="zero"), NUMBERS, B),
    "boosting from a forest": (GB(init=RandomForestClassifier(5, max_depth=3, random_state=0)), NUMBERS, B),
    "boosting from a tree, three classes": (GB(init=DecisionTreeClassifier(max_depth=3)), NUMBERS, M),
    "boosting from a tree, exponential": (GB(init=DecisionTreeClassifier(max_depth=3), loss="exponential"), NUMBERS, B),
    "boosted values from a tree": (GBR(init=DecisionTreeRegressor(max_depth=2)), NUMBERS, R),
    **{f"boosted values, {loss}": (GBR(loss=loss), NUMBERS, R) for loss in ("squared_error", "huber", "quantile")},
    "boosted values, absolute error": (GBR(loss="absolute_error"), NUMBERS, R),
    "histogram with gaps": (HGB(), GAPS, B),
    "histogram, three classes": (HGB(), GAPS, M),
    "histogram, categories": (HGB(categorical_features=TEXTS), MIXED, B),
    "histogram, categories, three classes": (HGB(categorical_features=TEXTS), MIXED, M),
    "histogram, a number as category": (HGB(categorical_features=["age"]), GAPS, B),
    **{
        f"histogram values, {loss}": (HGBR(loss=loss), GAPS, R)
        for loss in ("squared_error", "absolute_error", "poisson", "gamma")
    },
    "histogram values, quantile": (HGBR(loss="quantile", quantile=0.8), GAPS, R),
    "histogram values, categories": (HGBR(categorical_features=TEXTS), MIXED, R),
    "forest with gaps": (RandomForestClassifier(8, random_state=0), GAPS, B),
    "forest, three classes": (RandomForestClassifier(8, random_state=0), GAPS, M),
    "forest of ties": (RandomForestClassifier(4, max_depth=2, min_samples_leaf=40, random_state=0), NUMBERS, M),
    "forest values": (RandomForestRegressor(8, random_state=0), GAPS, R),
    "extra trees": (ExtraTreesClassifier(8, random_state=0), GAPS, B),
    "extra trees, three classes": (ExtraTreesClassifier(8, random_state=0), NUMBERS, M),
    "extra values": (ExtraTreesRegressor(8, random_state=0), NUMBERS, R),
    "tree": (DecisionTreeClassifier(max_depth=6), GAPS, B),
    "tree, three classes": (DecisionTreeClassifier(max_depth=6), NUMBERS, M),
    "tree values": (DecisionTreeRegressor(), NUMBERS, R),
    "extra tree": (ExtraTreeClassifier(random_state=0), NUMBERS, B),
    "extra tree values": (ExtraTreeRegressor(random_state=0), NUMBERS, R),
    "tree of one leaf": (GB(min_samples_split=10_000), NUMBERS, B),
    "boosting behind a scaler": (make_pipeline(simple(), GB()), MIXED, B),
    "histogram behind a scaler": (make_pipeline(simple(), HGB()), MIXED, B),
    "forest behind an imputer": (make_pipeline(SimpleImputer(), RandomForestRegressor(5, random_state=0)), GAPS, R),
}

LINEAR: dict[str, tuple[Any, tuple[Input, ...], str]] = {
    "logistic": (make_pipeline(StandardScaler(), LOGISTIC()), NUMBERS, B),
    "logistic, three classes": (make_pipeline(StandardScaler(), LOGISTIC()), NUMBERS, M),
    "descent": (make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)), NUMBERS, B),
    "descent, three classes": (
        make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)),
        NUMBERS,
        M,
    ),
    "descent, huber": (
        make_pipeline(StandardScaler(), SGDClassifier(loss="modified_huber", random_state=0)),
        NUMBERS,
        M,
    ),
    "least squares": (make_pipeline(StandardScaler(), LinearRegression()), NUMBERS, R),
    "ridge": (make_pipeline(StandardScaler(), Ridge()), NUMBERS, R),
    "lasso": (make_pipeline(StandardScaler(), Lasso(0.1)), NUMBERS, R),
    "elastic net": (make_pipeline(StandardScaler(), ElasticNet(0.1)), NUMBERS, R),
    "without intercept": (make_pipeline(StandardScaler(), Ridge(fit_intercept=False)), NUMBERS, R),
    "poisson": (make_pipeline(MinMaxScaler(clip=True), PoissonRegressor()), NUMBERS, R),
    "gamma": (make_pipeline(MinMaxScaler(clip=True), GammaRegressor()), NUMBERS, R),
    "network": (make_pipeline(StandardScaler(), MLPClassifier(5, max_iter=20, random_state=0)), NUMBERS, M),
    "network values": (
        make_pipeline(
            StandardScaler(), MLPRegressor(hidden_layer_sizes=5, activation="tanh", max_iter=20, random_state=0)
        ),
        NUMBERS,
        R,
    ),
    "target by logarithm": (
        TransformedTargetRegressor(
            make_pipeline(MinMaxScaler(clip=True), Ridge()), func=np.log1p, inverse_func=np.expm1
        ),
        NUMBERS,
        R,
    ),
    "gaussian": (make_pipeline(StandardScaler(), GaussianNB()), NUMBERS, B),
    "gaussian, three classes": (make_pipeline(StandardScaler(), GaussianNB()), NUMBERS, M),
    "discriminant": (make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()), NUMBERS, M),
    "target scaled": (TransformedTargetRegressor(DecisionTreeRegressor(), transformer=StandardScaler()), NUMBERS, R),
    "voting": (VotingClassifier([("t", DecisionTreeClassifier()), ("b", GB())], voting="soft"), NUMBERS, M),
    "voting by weight": (
        VotingClassifier([("t", DecisionTreeClassifier()), ("b", GB())], voting="soft", weights=[1, 3]),
        NUMBERS,
        B,
    ),
    "voting values": (VotingRegressor([("t", DecisionTreeRegressor()), ("b", GBR())]), NUMBERS, R),
    "bagging": (BaggingClassifier(DecisionTreeClassifier(), 5, max_features=3, random_state=0), NUMBERS, B),
    "stacking": (
        StackingClassifier([("t", DecisionTreeClassifier(max_depth=3)), ("b", GB())], LogisticRegression(), cv=3),
        NUMBERS,
        M,
    ),
    "calibrated": (CalibratedClassifierCV(GB(), cv=3), NUMBERS, B),
    "calibrated, three classes": (CalibratedClassifierCV(RandomForestClassifier(5, random_state=0), cv=3), NUMBERS, M),
    "calibrated by steps": (CalibratedClassifierCV(HGB(), cv=3, method="isotonic"), GAPS, B),
    "calibrated margins": (CalibratedClassifierCV(make_pipeline(StandardScaler(), LinearSVC()), cv=3), NUMBERS, B),
    "calibrated ridge": (CalibratedClassifierCV(make_pipeline(StandardScaler(), RidgeClassifier()), cv=3), NUMBERS, M),
}


def prepared(
    preparation: Any, features: tuple[Input, ...] = MIXED, task: str = B
) -> tuple[Any, tuple[Input, ...], str]:
    return make_pipeline(preparation, HGB()), features, task


def coded(encoder: Any) -> tuple[Any, tuple[Input, ...], str]:
    return prepared(simple(encoder))


def scaled(step: Any, features: tuple[Input, ...] = NUMBERS) -> tuple[Any, tuple[Input, ...], str]:
    return prepared(step, features)


def unknown(value: Any, **more: Any) -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=value, **more)


PREPARATION: dict[str, tuple[Any, tuple[Input, ...], str]] = {
    **{f"imputed by {how}": scaled(SimpleImputer(strategy=how), GAPS) for how in ("mean", "most_frequent", "constant")},
    "imputed, marked": scaled(SimpleImputer(add_indicator=True), GAPS),
    "imputed, another value": scaled(SimpleImputer(missing_values=44, strategy="median")),
    "marks": scaled(make_union(MissingIndicator(), SimpleImputer()), GAPS),
    "categories imputed": coded(make_pipeline(SimpleImputer(missing_values="", strategy="most_frequent"), unknown(-1))),
    "categories imputed, marked": coded(
        make_pipeline(
            ColumnTransformer(
                [("c", SimpleImputer(missing_values="", strategy="constant", fill_value="none"), [0, 1])]
            ),
            OneHotEncoder(handle_unknown="ignore"),
        )
    ),
    "standard": scaled(StandardScaler()),
    "centred": scaled(StandardScaler(with_std=False)),
    "robust": scaled(RobustScaler(), GAPS),
    "ranges": scaled(MinMaxScaler((-1, 3)), GAPS),
    "ranges, clipped": scaled(MinMaxScaler(clip=True)),
    "shares of the largest": scaled(MaxAbsScaler()),
    "one-hot": coded(OneHotEncoder(handle_unknown="ignore")),
    "one-hot, refusing": coded(OneHotEncoder()),
    "one-hot, refusing one": prepared(
        ColumnTransformer(
            [
                ("n", SimpleImputer(), NAMES),
                ("c", OneHotEncoder(), ["country"]),
                ("d", OneHotEncoder(handle_unknown="ignore"), ["channel"]),
            ]
        )
    ),
    "one-hot, infrequent": coded(OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20)),
    "one-hot, most": coded(OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=3)),
    "one-hot, first dropped": coded(OneHotEncoder(handle_unknown="ignore", drop="first")),
    "one-hot, dense": coded(OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)),
    "one-hot of numbers": prepared(
        ColumnTransformer(
            [("a", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["age"])], remainder="passthrough"
        ),
        GAPS,
    ),
    "one-hot of numbers, gaps": prepared(
        ColumnTransformer(
            [("a", make_pipeline(Binarizer(threshold=50), OneHotEncoder()), ["age"])], remainder=SimpleImputer()
        ),
        GAPS,
    ),
    "ordinal": coded(unknown(-1)),
    "ordinal, unknown is missing": coded(unknown(np.nan)),
    "ordinal, infrequent": coded(unknown(-1, min_frequency=20)),
    "ordinal, refusing": coded(OrdinalEncoder()),
    "ordinal of numbers with gaps": prepared(
        ColumnTransformer([("a", unknown(-1, encoded_missing_value=-2), ["amount", "age"])], remainder="passthrough"),
        GAPS,
    ),
    "by target": coded(TargetEncoder()),
    "by target, three classes": (make_pipeline(simple(TargetEncoder()), HGB()), MIXED, M),
    "bins": scaled(KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf")),
    "bins, one-hot": scaled(KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf")),
    "roots": scaled(FunctionTransformer(np.sqrt)),
    "powers": scaled(make_pipeline(MaxAbsScaler(), PolynomialFeatures(3))),
    "powers without bias": scaled(make_pipeline(MaxAbsScaler(), PolynomialFeatures(include_bias=False))),
    "best columns": scaled(make_pipeline(StandardScaler(), SelectKBest(k=2))),
    "nested": prepared(
        ColumnTransformer(
            [
                ("left", "drop", ["id"]),
                ("inner", Pipeline([("both", make_union(StandardScaler(), "passthrough"))]), ["amount", "when"]),
                ("c", unknown(-1), ["channel"]),
                ("kept", "passthrough", ["age"]),
            ],
            transformer_weights={"inner": 2.0},
        )
    ),
}


@pytest.mark.parametrize("name", [*TREES, *LINEAR, *PREPARATION])
def test_the_exact_form_gives_the_numbers_of_scikit_learn(name: str) -> None:
    """At most 1e-12 apart: on ordinary rows, at and one step beside thresholds, at gaps, unseen and extreme values."""
    estimator, features, task = (TREES | LINEAR | PREPARATION)[name]
    fitted, export = exported(estimator, features, task)
    assert farthest(fitted, export, features, task) <= LIMIT
    assert {put.name for put in onnx.load_from_string(export.data).graph.input} <= {"features", "categories"}
    onnx.checker.check_model(onnx.load_from_string(export.data), full_check=True)


@pytest.mark.parametrize(
    ("estimator", "task", "limit"),
    [
        (LinearRegression(), R, 1e-9),
        (make_pipeline(StandardScaler(), PCA(2), LOGISTIC()), B, 1e-9),
        (make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), LOGISTIC()), B, 1e-9),
        (KNeighborsClassifier(3, algorithm="brute"), B, 1e-6),
    ],
)
def test_other_sums_and_the_general_converter_are_close(estimator: Any, task: str, limit: float) -> None:
    """Large terms that cancel, logarithms and what only the general converter knows stay within the gate."""
    fitted, export = exported(estimator, NUMBERS, task)
    assert farthest(fitted, export, NUMBERS, task) <= limit


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()])
def test_unknown_categories_are_refused_where_scikit_learn_refuses_them(encoder: Any) -> None:
    """The graph itself refuses a row with a category that the encoder would refuse, and names the columns."""
    fitted, export = exported(make_pipeline(simple(encoder), HGB()), MIXED, B)
    assert export.data is not None, export.reason
    made = signature(MIXED)
    predictor = Predictor(made, onnx_score(export.data, made))
    for name, value in (("country", "atlantis"), ("country", "web"), ("channel", "it")):
        columns = rows(MIXED, count=3, seed=8)
        predictor.predict_columns(columns)
        columns[name][1] = value
        with pytest.raises(ModelOpsError, match="one is not among the known values of 'country' or 'channel'"):
            predictor.predict_columns(columns)
        with pytest.raises(ValueError, match="unknown categories"):
            fitted.predict_proba(to_frame(columns))


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        (make_pipeline(PowerTransformer(), HGB()), "PowerTransformer has no exact form in ONNX"),
        (make_pipeline(FunctionTransformer(np.cbrt), HGB()), "the function cbrt has no exact form in ONNX"),
    ],
)
def test_the_reason_names_what_has_no_exact_form(estimator: Any, says: str) -> None:
    """What scikit-learn must serve itself says why, in words of the estimator."""
    _, export = exported(estimator, NUMBERS, B)
    assert export.data is None
    assert says in export.reason


@given(
    st.floats(-(2.0**127), 2.0**127).filter(lambda value: value == 0 or abs(value) > 1e-30),
    st.floats(-3, 3),
)
def test_thresholds_for_float64_decide_as_float32_does(threshold: float, steps: float) -> None:
    """X <= t' holds exactly where float32(x) <= t does, beside t and beside t'."""
    moved = float64_thresholds(np.array([threshold]))[0]
    single = float(np.float32(threshold))
    for value in (threshold, moved, single, threshold + steps * float(np.spacing(np.float32(threshold)))):
        for near in (value, np.nextafter(value, np.inf), np.nextafter(value, -np.inf)):
            assert (near <= moved) == (float(np.float32(near)) <= threshold)
