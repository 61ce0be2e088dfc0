"""Models of other libraries inside of scikit-learn's estimators, and what of them is refused."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from artifacts.makers import Memory
from modelops import plugins
from modelops.artifacts import (
    Artifact,
    Input,
    Predictor,
    Signature,
    load_predictor,
    open_artifact,
    package,
    put_artifact,
)
from modelops.artifacts.fitted import own_threshold, without_searches
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_export import export_onnx
from modelops.artifacts.onnx_session import onnx_score
from modelops.artifacts.parts.held import keep_model, parted
from modelops.artifacts.parts.part import Asked
from modelops.artifacts.predictor import load_estimator, sklearn_score, smoke_document
from modelops.conformance.runtimes import kept
from modelops.errors import ModelOpsError
from modelops.runtimes import lightgbm, xgboost
from modelops.serving.trial import TrialLimits, try_load
from runtimes.examples import EXAMPLES, FEATURES, columns, target

MIXED = (*FEATURES, Input(name="country", type="category", nullable=True))
BINARY = Asked("binary-classification", MIXED, ("no", "yes"))


def mixed(rows: int = 200, seed: int = 0) -> dict[str, Any]:
    found = columns(rows, seed)
    found["country"] = np.random.default_rng(seed).choice(["de", "fr", "it", ""], rows).astype(object)
    return found


def prepared() -> ColumnTransformer:
    """Most of its output is zeros, so that it is a sparse matrix."""
    texts = ("texts", OneHotEncoder(handle_unknown="ignore"), ["country"])
    return ColumnTransformer([("numbers", "passthrough", ["amount", "age"]), texts], sparse_threshold=0.9)


def boosted() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=8, max_depth=2, n_jobs=1)


def leafy() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=8, num_leaves=5, n_jobs=1, verbose=-1)


FORMS: dict[str, Callable[[], Any]] = {
    "last of a pipeline": boosted,
    "in a search": lambda: GridSearchCV(boosted(), {"max_depth": [1, 2]}, cv=2),
    "with a threshold": lambda: FixedThresholdClassifier(boosted(), threshold=0.3),
    "calibrated": lambda: CalibratedClassifierCV(leafy(), cv=2),
    "voting": lambda: VotingClassifier([("a", boosted()), ("b", leafy())], voting="soft"),
    "stacked": lambda: StackingClassifier(
        [("a", leafy()), ("b", boosted())], final_estimator=LogisticRegression(), cv=2
    ),
}


def files_of(estimator: Any, asked: Asked, rows: dict[str, Any]) -> dict[str, bytes]:
    """Return the files of an artifact, served by ONNX where that is equal."""
    model, parts = parted(without_searches(estimator)[0], asked)
    found = keep_model(model, parts, asked)
    own = "sklearn" if found.runtime == "scikit-learn" else found.runtime
    signature = Signature(
        model="m", task=asked.task, features=asked.features, target="t", classes=asked.classes, engine=own,
        positive=asked.classes[-1], trusted_types=found.types, runtime=found.runtime, parts=found.parts,
    )  # fmt: skip
    loaded = load_estimator(Artifact("", 0, {**found.files, package.SIGNATURE: signature.dump()}))
    export = export_onnx(loaded, signature, rows)
    score = onnx_score(export.data, signature) if export.data else sklearn_score(loaded, signature)
    signature = signature.model_copy(update={"engine": "onnx" if export.data else own})
    smoke = smoke_document(Predictor(signature, score), rows, [0, 1, 2])
    more = {package.ONNX: export.data} if export.data else {}
    return {**found.files, **more, package.SIGNATURE: signature.dump(), package.SMOKE: smoke}


@pytest.mark.parametrize("form", FORMS)
def test_a_part_may_stand_anywhere(form: str) -> None:
    """The kept tree holds no object of another library, answers as before, and ONNX serves the whole of it."""
    rows, fresh = mixed(), mixed(80, seed=5)
    estimator = make_pipeline(prepared(), FORMS[form]()).fit(to_frame(rows), target(rows, "binary-classification"))
    expected = estimator.predict_proba(to_frame(fresh))[:, 1]
    files = files_of(estimator, BINARY, rows)
    assert b"xgboost" not in files[package.SKOPS]
    assert b"lightgbm" not in files[package.SKOPS]
    artifact = open_artifact(store := Memory(), put_artifact(store, files).digest)
    np.testing.assert_allclose(load_predictor(artifact).predict_columns(fresh).scores, expected, atol=1e-6)
    np.testing.assert_allclose(load_estimator(artifact).predict_proba(to_frame(fresh))[:, 1], expected, atol=1e-6)
    assert artifact.signature.engine == "onnx"
    if form == "with a threshold":
        assert own_threshold(load_estimator(artifact)) == 0.3


def test_categories_that_a_library_reads_itself_are_served_by_it() -> None:
    """Columns of pandas' categories and CatBoost's own are answered by the library, unseen ones too."""
    from catboost import CatBoostClassifier
    from lightgbm import LGBMClassifier

    rows = mixed()
    truth = target(rows, "binary-classification")
    settings = {"iterations": 8, "thread_count": 1, "verbose": 0, "allow_writing_files": False}
    for made, frame in (
        (LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1), to_frame(rows).astype({"country": "category"})),
        (CatBoostClassifier(cat_features=["country"], **settings), to_frame(rows)),
    ):
        estimator = made.fit(frame, truth)
        files = files_of(estimator, BINARY, rows)
        predictor = load_predictor(open_artifact(store := Memory(), put_artifact(store, files).digest))
        assert predictor.engine in ("lightgbm", "catboost")
        np.testing.assert_allclose(
            predictor.predict_columns(rows).scores, estimator.predict_proba(frame)[:, 1], atol=1e-9
        )
        rows["country"] = np.full(200, "never seen", dtype=object)
        assert np.isfinite(predictor.predict_columns(rows).scores).all()
        rows = mixed()


BRANCHES = {
    "xgboost": lambda model: model["learner"]["gradient_booster"]["model"]["trees"][0],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_children", 9_999),
        ("left_children", 0),
        ("right_children", -7),
        ("split_indices", 40),
        ("default_left", None),
        ("parents", 3),
        ("parents", None),
        ("base_weights", None),
        ("split_type", 1),
        ("split_type", 2),
    ],
)
def test_crafted_trees_of_xgboost_are_refused(field: str, value: Any) -> None:
    """A node or a column that does not exist is found before the library follows it."""
    example = EXAMPLES["xgboost"]("binary-classification")
    module = plugins.load("runtimes", "xgboost")
    found = kept(module, {}, example)
    model = json.loads(found.files["model.json"])
    tree = BRANCHES["xgboost"](model)
    if value is None:
        tree[field].pop()
    else:
        tree[field][0] = value
    assert "refused" in refusal("xgboost", found, {"model.json": json.dumps(model).encode()})


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("left_child=", "left_child=99 "),
        ("right_child=", "right_child=0 "),
        ("split_feature=", "split_feature=-3 "),
        ("leaf_value=", "leaf_value=1 "),
        ("num_leaves=", "num_leaves=9"),
        ("tree_sizes=", "tree_sizes=1"),
        ("objective=binary sigmoid:1", "objective="),
        ("max_feature_idx=", "max_feature_idx=2\nmax_feature_idx="),
    ],
)
def test_crafted_trees_of_lightgbm_are_refused(line: str, change: str) -> None:
    """LightGBM itself would end the process, or read outside of its memory."""
    example = EXAMPLES["lightgbm"]("binary-classification")
    found = kept(plugins.load("runtimes", "lightgbm"), {}, example)
    text = found.files["model.txt"].decode()
    assert "refused" in refusal("lightgbm", found, {"model.txt": text.replace(line, change, 1).encode()})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("split_feature=", "split_feature=0 0 0\nsplit_feature="),
        ("shrinkage=", "\nshrinkage="),
        ("shrinkage=", "surplus\nshrinkage="),
        ("shrinkage=", "shrinkage=1\r\nnum_cat=7\rx="),
        ("leaf_const=", "leaf_const=1 "),
        ("leaf_features=", "leaf_features=99 "),
        ("leaf_coeff=", "leaf_coeff=1 "),
        ("num_features=", "num_features=-1 "),
        ("is_linear=1", "is_linear=2"),
        ("leaf_features=0", "leaf_features=3"),
        ("leaf_features=0", "leaf_features=-1"),
    ],
)
def test_crafted_linear_trees_of_lightgbm_are_refused(name: str, change: str) -> None:
    """So are lines that the library would read otherwise: twice, cut, or not of a tree; the tree itself is taken."""
    from lightgbm import LGBMRegressor

    x = np.random.default_rng(0).random((200, 3))
    made = LGBMRegressor(n_estimators=2, num_leaves=4, linear_tree=True, verbose=-1, n_jobs=1).fit(x, 2 * x[:, 0])
    found = plugins.load("runtimes", "lightgbm").keep(None, made, Asked("regression", FEATURES))
    text = found.files["model.txt"].decode()
    assert lightgbm._parsed(text).width == 3
    before, second, after = text.partition("Tree=1\n")
    assert name in after
    crafted = after.replace(name, change, 1)
    size = len((second + after.partition("end of trees")[0]).encode())
    grown = size + len(crafted.encode()) - len(after.encode())
    sized = before.replace(f" {size}\n", f" {grown}\n", 1) + second + crafted
    said = refusal("lightgbm", found, {"model.txt": sized.encode()})
    assert "refused" in said
    assert "sizes" not in said


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("tree/categories_segments", [-1]),
        ("tree/categories_segments", [9]),
        ("tree/categories_sizes", [1 << 40]),
        ("tree/categories_sizes", []),
        ("tree/categories_nodes", [77]),
        ("tree/categories_nodes", []),
        ("tree/categories", [1 << 30]),
        ("tree/tree_param/size_leaf_vector", "7"),
        ("learner_model_param/num_class", "1000000000"),
        ("learner_model_param/num_class", "2"),
        ("learner_model_param/num_target", "1000000000"),
    ],
)
def test_crafted_categories_of_xgboost_are_refused(path: str, value: Any) -> None:
    """Lists of categories and numbers of classes are those of the trees; the model itself is taken."""
    data = json.loads(categorical())
    xgboost._checked(data)
    learner = data["learner"]
    *steps, last = path.split("/")
    place = learner["gradient_booster"]["model"]["trees"][0] if steps[0] == "tree" else learner[steps[0]]
    for step in steps[1:]:
        place = place[step]
    # A list keeps its length, unless it is emptied.
    place[last] = value + place[last][len(value) :] if value and isinstance(value, list) else value
    with pytest.raises(ModelOpsError, match="bad-model"):
        xgboost._checked(data)


@functools.cache
def categorical() -> bytes:
    """Return a booster of three classes that splits on categories."""
    import pandas as pd
    from xgboost import XGBClassifier

    random = np.random.default_rng(0)
    x = pd.DataFrame({"a": random.random(300), "c": pd.Categorical(random.choice(list("abcdefgh"), 300))})
    made = XGBClassifier(n_estimators=1, max_depth=3, enable_categorical=True, max_cat_to_onehot=1, n_jobs=1)
    made.fit(x, (x["c"].cat.codes % 2) + (x.a > 0.5))
    return bytes(made.get_booster().save_raw("json"))


def test_trees_with_a_vector_in_each_leaf_are_taken() -> None:
    """One that names values which are not there is not."""
    from xgboost import XGBRegressor

    x = np.random.default_rng(0).random((60, 3))
    made = XGBRegressor(n_estimators=2, max_depth=2, multi_strategy="multi_output_tree", tree_method="hist", n_jobs=1)
    data = json.loads(bytes(made.fit(x, x[:, :2]).get_booster().save_raw("json")))
    xgboost._checked(data)
    tree = data["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["right_children"][-1] = 99
    with pytest.raises(ModelOpsError, match="not there"):
        xgboost._checked(data)


def refusal(key: str, found: Any, files: dict[str, bytes]) -> str:
    from modelops.artifacts.signature import Held

    held = Held(runtime=key, files=tuple(files), facts=dict(found.facts))
    with pytest.raises(ModelOpsError, match="bad-model") as caught:
        plugins.load("runtimes", key).load(held, files)
    return caught.value.first.message


@pytest.mark.slow
@pytest.mark.parametrize("key", ["catboost", "lightgbm", "xgboost"])
def test_no_changed_byte_takes_a_server_down(key: str) -> None:
    """Whatever a changed file does to its library, it does it to the process of the trial."""
    example = EXAMPLES[key]("binary-classification")
    files = files_of(example.found, example.asked, dict(example.columns))
    signature = Signature.parse(files[package.SIGNATURE]).model_copy(update={"engine": key})
    del files[package.ONNX]
    files[package.SIGNATURE] = signature.dump()
    (path,) = [path for path in files if path.startswith(package.PARTS)]
    random, ended = np.random.default_rng(0), {"loaded": 0, "refused": 0}
    for _ in range(12):
        data = bytearray(files[path])
        for place in random.integers(0, len(data), 3):
            data[place] = int(random.integers(0, 256))
        try:
            try_load(Artifact("sha256:" + "0" * 64, 0, {**files, path: bytes(data)}), TrialLimits(60, 30, 4 << 30))
            ended["loaded"] += 1
        except ModelOpsError:
            ended["refused"] += 1
    assert sum(ended.values()) == 12
    assert ended["refused"] > 0


def test_a_part_that_the_signature_does_not_name_is_refused() -> None:
    """So is one that it names and that is not there, and code where none was declared."""
    rows = mixed()
    estimator = make_pipeline(prepared(), boosted()).fit(to_frame(rows), target(rows, "binary-classification"))
    files = files_of(estimator, BINARY, rows)
    part = package.part_path(0, "model.json")
    for changed in (
        {**files, package.part_path(1, "model.json"): b"{}"},
        {path: data for path, data in files.items() if path != part},
        {**files, "models/parts/0/../../x": b""},
        {path: data for path, data in files.items() if path != package.SKOPS},
    ):
        with pytest.raises(ModelOpsError, match="bad-artifact"):
            open_artifact(store := Memory(), put_artifact(store, changed).digest)


def test_serving_onnx_imports_no_library_of_the_model() -> None:
    """A pipeline that ends in XGBoost is served by a process that imports neither it nor scikit-learn nor pandas."""
    rows = mixed()
    estimator = make_pipeline(prepared(), boosted()).fit(to_frame(rows), target(rows, "binary-classification"))
    files = files_of(estimator, BINARY, rows)
    program = (
        "import sys\n"
        "from modelops.artifacts import Artifact, load_predictor\n"
        "files = {name: bytes.fromhex(text) for name, text in (line.split() for line in sys.stdin)}\n"
        "load_predictor(Artifact('d', 0, files))\n"
        "print(sorted({'xgboost', 'sklearn', 'pandas', 'pyarrow', 'skops', 'scipy'} & set(sys.modules)))\n"
    )
    given = "\n".join(f"{name} {data.hex()}" for name, data in files.items())
    done = subprocess.run([sys.executable, "-c", program], input=given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
