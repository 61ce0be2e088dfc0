"""ONNX export: exact where it is taken, refused with a reason where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from artifacts.makers import GAPS, MIXED, NUMBERS, fitted, rows, signature
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_export import export_onnx
from modelops.artifacts.onnx_session import check_model, onnx_score
from modelops.artifacts.probe import OUTSIDE, WITHIN, probes
from modelops.errors import ModelOpsError

B, M, R = "binary-classification", "multiclass-classification", "regression"


def columns_of(numbers: Any, categories: Any) -> ColumnTransformer:
    return ColumnTransformer([("n", numbers, ["amount", "when", "age"]), ("c", categories, ["country"])])


def scaled() -> Any:
    return columns_of(
        make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), OneHotEncoder(handle_unknown="ignore")
    )


EXACT = {
    "linear": (make_pipeline(StandardScaler(), LogisticRegression()), NUMBERS, B),
    "boosting": (GradientBoostingClassifier(n_estimators=10), NUMBERS, B),
    "boosting, exponential loss": (GradientBoostingClassifier(n_estimators=5, loss="exponential"), NUMBERS, B),
    "boosting of scaled columns": (make_pipeline(scaled(), GradientBoostingClassifier(n_estimators=10)), MIXED, B),
    "boosting, three classes": (GradientBoostingClassifier(n_estimators=4), NUMBERS, M),
    "histogram with gaps": (HistGradientBoostingClassifier(max_iter=10), GAPS, B),
    "histogram, three classes": (HistGradientBoostingClassifier(max_iter=4), GAPS, M),
    "forest with gaps": (RandomForestClassifier(8, random_state=0), GAPS, B),
    "forest, three classes": (RandomForestClassifier(4, random_state=0), NUMBERS, M),
    "single tree": (DecisionTreeClassifier(max_depth=4), NUMBERS, B),
    "tree of one leaf": (GradientBoostingClassifier(n_estimators=2, min_samples_split=10_000), NUMBERS, B),
    "indicator columns": (
        make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), LogisticRegression()),
        GAPS,
        B,
    ),
    "linear with categories": (make_pipeline(scaled(), LogisticRegression()), MIXED, B),
    "ridge": (Ridge(), NUMBERS, R),
    "boosted values": (GradientBoostingRegressor(n_estimators=8), NUMBERS, R),
    "histogram values": (HistGradientBoostingRegressor(max_iter=8), GAPS, R),
    "forest values": (ExtraTreesRegressor(5, random_state=0), NUMBERS, R),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_export_predicts_what_scikit_learn_predicts(name: str) -> None:
    """On fresh rows the ONNX model is within 1e-7 of scikit-learn, with values that float32 cannot hold."""
    estimator, features, task = EXACT[name]
    estimator, columns = fitted(estimator, features, task)
    made = signature(features, task)
    export = export_onnx(estimator, made, columns)
    assert export.data is not None, export.reason
    fresh = rows(features, seed=77)
    found = onnx_score(export.data, made)(fresh)
    expected = estimator.predict(to_frame(fresh)) if task == R else estimator.predict_proba(to_frame(fresh))
    np.testing.assert_allclose(found, expected[:, 1] if task == B else expected, rtol=1e-7, atol=1e-7)


def test_an_export_is_the_same_bytes_every_time() -> None:
    """Converting twice gives the same bytes, with one output and only standard operators."""
    estimator, columns = fitted(make_pipeline(scaled(), GradientBoostingClassifier(n_estimators=3)), MIXED)
    first, second = (export_onnx(estimator, signature(MIXED), columns).data for _ in range(2))
    assert first is not None
    assert first == second
    model = onnx.load_from_string(first)
    onnx.checker.check_model(model, full_check=True)
    assert [output.name for output in model.graph.output] == ["probability"]


@pytest.mark.parametrize(
    ("estimator", "features", "task", "says"),
    [
        (
            OneVsRestClassifier(HistGradientBoostingClassifier(max_iter=3)),
            NUMBERS,
            M,
            "that of the general converter differs by",
        ),
        (make_pipeline(PowerTransformer(), Ridge()), NUMBERS, R, "PowerTransformer has no exact form in ONNX"),
    ],
)
def test_what_cannot_be_exact_stays_with_scikit_learn(estimator: Any, features: Any, task: str, says: str) -> None:
    """A conversion that parts from scikit-learn on any probed row is not used, and the reason names where."""
    estimator, columns = fitted(estimator, features, task)
    export = export_onnx(estimator, signature(features, task), columns)
    assert export.data is None
    assert says in export.reason


def test_gaps_that_scikit_learn_refuses_are_not_answered() -> None:
    """A model that was fitted without gaps, though its signature allows them, stays with scikit-learn."""
    estimator, columns = fitted(make_pipeline(StandardScaler(), LogisticRegression()), NUMBERS)
    export = export_onnx(estimator, signature(GAPS), columns)
    assert export.data is None
    assert export.reason == "scikit-learn refuses missing 'amount', which ONNX would answer"


def test_probes_lie_on_and_beside_thresholds_behind_a_scaler() -> None:
    """Split thresholds of scaled columns are found in the units of the feature, with their neighbours."""
    estimator, columns = fitted(make_pipeline(scaled(), DecisionTreeClassifier(max_depth=3)), MIXED)
    kinds = {probe.kind: probe for probe in probes(estimator, MIXED, columns)}
    probe = kinds["split thresholds of 'amount'"]
    values = np.unique(probe.columns["amount"])
    assert np.any(np.nextafter(values[:-1], np.inf) == values[1:])
    labels = estimator.predict_proba(to_frame(probe.columns))[:, 1]
    assert len(np.unique(labels)) > 1
    assert {"missing 'country'", "an unseen category of 'country'", "all missing", "'amount' = 3e+38"} <= set(kinds)


def test_probes_hold_rows_that_nobody_has_seen() -> None:
    """Made rows lie in range and out of it, keep types and gaps, and are the same each time."""
    estimator, columns = fitted(make_pipeline(scaled(), DecisionTreeClassifier(max_depth=3)), MIXED)
    kinds, again = ({probe.kind: probe for probe in probes(estimator, MIXED, columns)} for _ in range(2))
    within, outside = kinds[WITHIN].columns, kinds[OUTSIDE].columns
    low, high = np.nanmin(columns["amount"]), np.nanmax(columns["amount"])
    slack = 1e-6 * max(abs(low), abs(high))
    assert np.nanmin(within["amount"]) >= low - slack
    assert np.nanmax(within["amount"]) <= high + slack
    assert np.nanmin(outside["amount"]) < 2 * low
    assert np.nanmax(outside["amount"]) > 2 * high
    assert 0 < np.isnan(within["amount"]).mean() < 0.5
    assert not np.isnan(within["when"]).any()
    new = ~np.isin(within["amount"], columns["amount"])
    assert 0.2 < new.mean() < 0.8
    for made in (within, outside):
        assert (made["age"] == np.round(made["age"])).all()
        assert set(made["country"]) == set(columns["country"])
    for kind in (WITHIN, OUTSIDE):
        for name, values in kinds[kind].columns.items():
            np.testing.assert_array_equal(values, again[kind].columns[name])


def test_what_the_general_converter_made_has_a_margin() -> None:
    """The weights of a Gaussian process cancel out: what is off by part of 1e-6 here is off by more elsewhere."""
    random = np.random.default_rng(3)
    features = NUMBERS[:1]
    columns = {"amount": random.normal(size=90)}
    target = np.sin(columns["amount"]) + 0.02 * random.normal(size=90)
    estimator = GaussianProcessRegressor(optimizer=None).fit(to_frame(columns), target)
    export = export_onnx(estimator, signature(features, R), columns)
    assert export.data is None
    assert "that of the general converter differs by" in export.reason


def _model(domain: str = "", tensor: Any = None) -> bytes:
    node = helper.make_node("Identity", ["features"], ["y"], domain=domain)
    value = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, 3]) for name in ("features", "y")]
    graph = helper.make_graph([node], "g", value[:1], value[1:], initializer=[tensor] if tensor is not None else [])
    opsets = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def _external() -> Any:
    tensor = helper.make_tensor("w", TensorProto.DOUBLE, [1], [1.0])
    tensor.ClearField("double_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return tensor


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (_model("com.microsoft"), "com.microsoft"),
        (_model("", _external()), "in another file"),
        (b"\xff\xff not protobuf", "not an ONNX model"),
    ],
)
def test_a_model_outside_the_standard_is_refused(data: bytes, says: str) -> None:
    """Foreign operators, external data and garbage never reach the runtime."""
    with pytest.raises(ModelOpsError, match="bad-model") as caught:
        onnx_score(data, signature(NUMBERS))
    assert says in caught.value.problems[0].message


def test_a_model_whose_inputs_are_not_the_features_is_refused() -> None:
    """The inputs of the graph must be the features by name, or one matrix."""
    data = _model().replace(b"features", b"featureX")
    check_model(data)
    with pytest.raises(ModelOpsError, match="are not the features"):
        onnx_score(data, signature(NUMBERS))


@pytest.mark.parametrize("final", [GaussianNB(), KNeighborsClassifier(3, algorithm="brute")])
def test_columns_may_be_called_anything(final: Any) -> None:
    """Names with spaces, umlauts and dashes export, be it exactly or by the general converter."""
    renamed = {"amount": "größe in m", "when": "last-seen", "age": "age", "country": "is active?"}
    features = tuple(each.model_copy(update={"name": renamed[each.name]}) for each in (NUMBERS[0], MIXED[-1]))
    columns = {renamed[name]: rows(NUMBERS + MIXED[-1:])[name] for name in ("amount", "country")}
    encoder = ColumnTransformer(
        [("n", StandardScaler(), [0]), ("c", OneHotEncoder(handle_unknown="ignore"), [1])], sparse_threshold=0
    )
    target = (columns["größe in m"] > 0).astype(int)
    estimator = make_pipeline(encoder, final).fit(to_frame(columns), target)
    export = export_onnx(estimator, signature(features), columns)
    assert export.data is not None, export.reason
    found = onnx_score(export.data, signature(features))(columns)
    np.testing.assert_allclose(found, estimator.predict_proba(to_frame(columns))[:, 1], atol=1e-6)
