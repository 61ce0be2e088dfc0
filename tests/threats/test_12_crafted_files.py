"""Threat 12: a model file that was made to run code or to read outside of its memory when it is loaded."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from artifacts.makers import NUMBERS, Memory, artifact_files, fitted
from modelops.artifacts import load_predictor, open_artifact, put_artifact
from modelops.artifacts.canonical import dump_canonical
from modelops.artifacts.onnx_session import session
from modelops.errors import ModelOpsError


def refused(files: dict[str, bytes]) -> str:
    """Put an artifact into a store that verifies nothing, load it as a server does, and return its error's code."""
    store = Memory()
    with pytest.raises(ModelOpsError) as error:
        load_predictor(open_artifact(store, put_artifact(store, files).digest))
    return error.value.first.code


def served_by_sklearn(estimator: Any, skops: bytes, types: tuple[str, ...] | None = None) -> dict[str, bytes]:
    """Return the files of an artifact that scikit-learn serves, with another estimator in it."""
    files = artifact_files(estimator, NUMBERS)
    files.pop("models/model.onnx", None)
    signature = json.loads(files["models/signature.json"]) | {"engine": "sklearn"}
    if types is not None:
        signature["trustedTypes"] = list(types)
    return files | {"models/model.skops": skops, "models/signature.json": json.dumps(signature).encode()}


class Opens:
    """What a pickle of somebody who wants to run a command holds."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch /tmp/modelops-was-here",)


def test_a_pickle_is_never_loaded() -> None:
    """In the place of the model, alone or inside of a skops file, it is no model."""
    honest = fitted(LogisticRegression(), NUMBERS)[0]
    assert refused(served_by_sklearn(honest, pickle.dumps(Opens()))) == "bad-model"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("model.pkl", pickle.dumps(Opens()))
    assert refused(served_by_sklearn(honest, data.getvalue())) == "bad-model"


def with_schema(data: bytes, change: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            schema = name == "schema.json"
            archive.writestr(name, json.dumps(change(json.loads(content))).encode() if schema else content)
    return target.getvalue()


@pytest.mark.parametrize("types", [(), ("posix.system",), ("builtins.eval",)])
def test_a_skops_file_that_names_a_function_is_never_loaded(types: tuple[str, ...]) -> None:
    """Whether or not its own list of types allows it: the list is not the file's to make."""
    honest = fitted(LogisticRegression(), NUMBERS)[0]
    data, _ = dump_canonical(honest)
    place = (types or ("posix.system",))[0].rpartition(".")
    crafted = with_schema(data, lambda schema: schema | {"__module__": place[0], "__class__": place[2]})
    assert refused(served_by_sklearn(honest, crafted, types)) == "untrusted-type"


def _forest() -> Any:
    estimator = fitted(RandomForestClassifier(3, max_depth=3, random_state=0), NUMBERS)[0]
    return estimator, estimator.estimators_[1].tree_


def test_a_tree_whose_nodes_point_outside_is_never_walked() -> None:
    """A child beyond the last node, in a file that is otherwise whole, is found when the file is loaded."""
    estimator, tree = _forest()
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"]["left_child"][0] = 1_000_000
    tree.__setstate__(state)
    honest, _ = _forest()
    assert refused(served_by_sklearn(honest, *_dumped(estimator))) == "crafted-tree"


def test_a_histogram_tree_that_reads_another_column_is_never_walked() -> None:
    """A split on a feature that no row has, likewise."""
    make = lambda: fitted(HistGradientBoostingClassifier(max_iter=3), NUMBERS)[0]  # noqa: E731
    estimator = make()
    estimator._predictors[0][0].nodes["feature_idx"][0] = 77
    assert refused(served_by_sklearn(make(), *_dumped(estimator))) == "crafted-tree"


def _dumped(estimator: Any) -> tuple[bytes, tuple[str, ...]]:
    """Return the file of an estimator that modelops itself would refuse to write."""
    import skops.io

    types = dump_canonical(fitted(type(estimator)(), NUMBERS)[0])[1]
    return skops.io.dumps(estimator), types


def ensemble(**changes: Any) -> bytes:
    """Return an ONNX model of one tree of three nodes, with some of its attributes replaced."""
    attributes: dict[str, Any] = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_hitrates": [1.0, 1.0, 1.0],
        "nodes_missing_value_tracks_true": [0, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
        "n_targets": 1,
    }
    node = helper.make_node("TreeEnsembleRegressor", ["features"], ["y"], domain="ai.onnx.ml", **attributes | changes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def test_an_honest_ensemble_is_loaded() -> None:
    """What the crafted ones are changed from answers."""
    (found,) = session(ensemble()).run(None, {"features": np.array([[0.1, 5]], dtype=np.float32)})
    assert found.tolist() == [[1.0]]


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes_truenodeids": [99, 0, 0]},
        {"nodes_truenodeids": [-1, 0, 0]},
        {"nodes_truenodeids": [0, 0, 0]},
        {"nodes_featureids": [-5, 0, 0]},
        {"target_nodeids": [1, 77]},
        {"target_ids": [0, 7]},
        {"target_ids": [0, -3]},
        {"nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"], "nodes_falsenodeids": [2, 2, 0]},
        {"nodes_values": [0.5]},
        {"nodes_modes": ["BRANCH_LEQ", "EXPLODE", "LEAF"]},
    ],
    ids=str,
)
def test_an_onnx_tree_whose_nodes_point_outside_is_never_run(changes: dict[str, Any]) -> None:
    """The runtime checks the nodes, and its refusal is told as ours."""
    with pytest.raises(ModelOpsError, match="bad-model"):
        session(ensemble(**changes))


def test_an_onnx_model_is_standard_and_whole() -> None:
    """Operators of somebody else, and tensors in another file, are refused before the runtime sees them."""
    foreign = onnx.ModelProto.FromString(ensemble())
    foreign.graph.node[0].domain = "com.example"
    outside = onnx.ModelProto.FromString(ensemble())
    tensor = outside.graph.initializer.add(name="t", data_type=1, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    for model in (foreign, outside):
        with pytest.raises(ModelOpsError, match="bad-model"):
            session(model.SerializeToString())
