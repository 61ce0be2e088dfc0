"""`modelops adopt mlflow:…`: what MLflow has of a model becomes a proposal, by its data alone; no pickle is opened."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sklearn
import skops.io
import yaml
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from modelops.cli import cli
from modelops.errors import Exit, ModelOpsError
from modelops.repository import Repository
from modelops.scaffold.adopting.logged import construction
from modelops.scaffold.adopting.tracked import Tracked, _logged
from modelops.spec.graph import build_graph
from modelops.spec.kinds.model import ModelSpec
from scaffold.test_adopt import customers


def logged(estimator: BaseEstimator) -> tuple[str, dict[str, str]]:
    """Return what MLflow's autologging writes of an estimator: its class, and texts of all its parameters."""
    kind = type(estimator)
    return f"{kind.__module__}.{kind.__qualname__}", {k: str(v) for k, v in estimator.get_params(deep=True).items()}


def read_back(node: ast.expr) -> Any:
    names: dict[str, Any] = {"sklearn": sklearn, "numpy": np}
    return eval(ast.unparse(ast.fix_missing_locations(node)), names)


ESTIMATORS = {
    "plain": LogisticRegression(C=0.5, class_weight={0: 1.0, 1: 4.5}, random_state=3),
    "words": KMeans(init="k-means++", n_init="auto", n_clusters=3),
    "forest": RandomForestClassifier(n_estimators=7, max_features="log2", class_weight="balanced", max_samples=0.5),
    "none": GradientBoostingRegressor(init=None, loss="huber", alpha=0.8, max_leaf_nodes=5),
    "pipeline": Pipeline([
        ("columns", ColumnTransformer([
            ("number", Pipeline([("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())]), ["a", "b"]),
            ("word", OneHotEncoder(handle_unknown="ignore"), ["it's"]),
        ])),
        ("model", LogisticRegression(C=1e-05)),
    ]),
    "search": GridSearchCV(LogisticRegression(random_state=1), {"C": [2, 0.5]}, cv=StratifiedKFold(n_splits=3)),
    "missing": SimpleImputer(missing_values=np.nan, strategy="constant", fill_value=-1),
}  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_was_logged_is_the_construction(name: str) -> None:
    """Printed class and parameters give the estimator back, options that are the default are not said."""
    made = read_back(construction(*logged(ESTIMATORS[name])))
    assert type(made) is type(ESTIMATORS[name])
    assert str(made.get_params(deep=True)) == str(ESTIMATORS[name].get_params(deep=True))
    told = ast.unparse(construction(*logged(ESTIMATORS[name])))
    assert "verbose" not in told


LONG = Pipeline([
    ("columns", ColumnTransformer([("all", StandardScaler(), [f"a_long_name_of_column_{n}" for n in range(80)])])),
    ("model", LogisticRegression()),
])  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("mine.Own", {}, "no public class"),
        ("os.system", {}, "no public class"),
        ("sklearn.utils._testing.assert_raises", {}, "no public"),
        ("sklearn.datasets._base.load_files", {}, "no public estimator"),
        (*logged(LONG), "was cut"),
        ("sklearn.pipeline.Pipeline", {"steps": "[('a', ...)]"}, "leaves out parts"),
        (*logged(FunctionTransformer(lambda one: one)), "the print of something"),
        (*logged(FunctionTransformer(np.log1p)), "the print of something"),
        (*logged(GaussianProcessRegressor(kernel=RBF() + WhiteKernel())), "the print of something"),
        (*logged(GaussianProcessRegressor(kernel=RBF(length_scale=1 / 3))), "numbers of RBF are rounded"),
        ("sklearn.linear_model.RidgeCV", {"alphas": "array([0.33333333, 1.0])"}, "numbers of array are rounded"),
        ("sklearn.pipeline.Pipeline", {"steps": "[('a', __import__('os').system('id'))]"}, "cannot be read"),
        ("sklearn.pipeline.Pipeline", {"steps": "[('a', Mine(open='x'))]"}, "Mine is no public class"),
        ("sklearn.pipeline.Pipeline", {"steps": "[('a', (lambda: 1)())]"}, "cannot be read"),
        ("sklearn.pipeline.Pipeline", {"steps": "[(x for x in y)]"}, "cannot be read"),
    ],
)
def test_what_is_no_construction_is_refused(kind: str, parameters: Mapping[str, str], said: str) -> None:
    """Cut prints, functions, classes of others and code are named, and nothing of them is called."""
    with pytest.raises(ModelOpsError) as caught:
        construction(kind, parameters)
    assert caught.value.first.code == "estimator-unread"
    assert said in caught.value.first.message


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new repository to be in, beside the data."""
    assert cli.main(["init", str(tmp_path / "work"), "--approver", "grace"], standalone_mode=False) == 0
    customers()[["calls", "fee", "churned"]].to_csv(tmp_path / "customers.csv", index=False)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def described(folder: Path, file: str, kept: str, flavor: str = "sklearn", columns: tuple[str, ...] = ()) -> None:
    """Write the description of a model as MLflow does."""
    folder.mkdir(exist_ok=True)
    told: dict[str, Any] = {"flavors": {flavor: {"pickled_model": file, "serialization_format": kept}}}
    if columns:
        told["signature"] = {"inputs": json.dumps([{"name": each, "type": "double"} for each in columns])}
    (folder / "MLmodel").write_text(yaml.safe_dump(told))


def adopted(*words: str) -> ModelSpec:
    assert cli.main(["adopt", *words, "--model", "m"], standalone_mode=False) == 0
    files = Repository.discover(Path.cwd()).work_tree_files(("models", "policies"))
    spec: ModelSpec = build_graph(files).models["m"].model.spec
    return spec


def refused(*words: str) -> tuple[str, int, str]:
    with pytest.raises(ModelOpsError) as caught:
        cli.main(["adopt", *words, "--model", "m"], standalone_mode=False)
    assert not Path("models/m").exists()
    return caught.value.first.code, caught.value.exit, f"{caught.value.first.message} {caught.value.first.hint}"


def test_the_folder_of_a_model_is_adopted(begun: Path) -> None:
    """What skops kept is opened, and the one column that does not go in is the label."""
    table = customers()
    forest = RandomForestClassifier(n_estimators=7, random_state=9).fit(table[["calls", "fee"]], table["churned"])
    described(begun / "kept", "model.skops", "skops", columns=("calls", "fee"))
    skops.io.dump(forest, begun / "kept" / "model.skops")
    spec = adopted("../kept", "--data", "../customers.csv")
    assert (spec.data.target, spec.data.positive) == ("churned", "yes")
    assert [feature.name for feature in spec.data.features] == ["calls", "fee"]
    assert (spec.training.parameters, spec.training.seed) == ({"n_estimators": 7}, 9)
    assert "Fit what kept fits." in Path("models/m/train.py").read_text()


def test_what_cannot_be_had_is_refused_by_name(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickles, other flavors, files elsewhere, names of nothing, no MLflow: each with a way out."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(begun / "ran"), "w"))

    described(begun / "pickled", "model.pkl", "cloudpickle", columns=("calls", "fee"))
    (begun / "pickled" / "model.pkl").write_bytes(pickle.dumps(Trap()))
    described(begun / "torch", "model.pth", "pickle", "pytorch")
    described(begun / "away", "../customers.csv", "skops")
    (begun / "odd").mkdir()
    (begun / "odd" / "MLmodel").write_text("flavors: [")
    data = ("--data", "../customers.csv")
    code, exit, told = refused("../pickled", *data)
    assert (code, exit) == ("pickled-model", Exit.FILES)
    assert "serialization_format='skops'" in told
    assert not (begun / "ran").exists()
    code, exit, told = refused("../torch", *data)
    assert (code, exit) == ("not-adoptable", Exit.USAGE)
    assert "pytorch" in told
    assert refused("../away", *data, "--label", "churned")[:2] == ("unreadable-model", Exit.FILES)
    assert refused("../odd", *data)[:2] == ("unreadable-model", Exit.FILES)
    assert refused("mlflow:churn", *data)[:2] == ("bad-mlflow-source", Exit.USAGE)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    code, exit, told = refused("mlflow:runs/0123", *data)
    assert (code, exit) == ("extra-missing", Exit.WORLD)
    assert "modelops[mlflow]" in told


@pytest.mark.parametrize("line", ["utc_time_created: 2024-13-45", "x: !!float a", "x: " + "9" * 5000])
def test_values_that_are_none_are_told_as_unreadable(begun: Path, line: str) -> None:
    """A description with a date that does not exist, or a number that is none, is nobody's crash."""
    (begun / "odd").mkdir()
    (begun / "odd" / "MLmodel").write_text(f"{line}\nflavors: {{sklearn: {{}}}}\n")
    assert refused("../odd", "--data", "../customers.csv")[:2] == ("unreadable-model", Exit.FILES)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a%2fb", "a?b", "x" * 300])
def test_what_a_description_names_is_a_file_of_its_folder(begun: Path, name: str) -> None:
    """A name that means something else in a folder, or in an address, is not fetched."""
    described(begun / "away", name, "skops")
    code, exit, _ = refused("../away", "--data", "../customers.csv", "--label", "churned")
    assert (code, exit) == ("unreadable-model", Exit.FILES)


def test_a_run_names_data_of_this_repository_alone(tmp_path: Path) -> None:
    """Who writes to a run does not choose which file elsewhere on this machine becomes the data of a model."""
    inside, outside = tmp_path / "here", tmp_path / "payroll.csv"
    inside.mkdir()
    for path in (outside, inside / "rows.csv"):
        path.write_text("a\n1\n")
    (inside / "link.csv").symlink_to(outside)
    elsewhere = (outside.as_uri(), str(outside), str(inside / "link.csv"), "http://[x", "s3://b/rows.csv", "x" * 5000)
    assert Tracked("m", data=elsewhere).file(inside) is None
    assert Tracked("m", data=(*elsewhere, str(inside / "rows.csv"))).file(inside) == inside / "rows.csv"


@pytest.mark.parametrize("tag", [None, "x", "{}", "[{}]", "[1]", '[{"artifact_path": 1}]'])
def test_tags_that_are_not_of_mlflow_say_nothing(tag: str | None) -> None:
    """Anybody may write a tag of any name."""
    tags = {} if tag is None else {"mlflow.log-model.history": tag}
    entity = SimpleNamespace(data=SimpleNamespace(tags=tags), outputs=None)
    assert list(_logged(SimpleNamespace(get_run=lambda run: entity), "r")) == []


LOGS = """
import sys
import mlflow
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

path = sys.argv[1]
table = pd.read_csv(path)
mlflow.sklearn.autolog()
with mlflow.start_run() as run:
    mlflow.log_input(mlflow.data.from_pandas(table, source=path, targets="churned"), context="training")
    train, test = train_test_split(table, random_state=0)
    scale = make_column_transformer((StandardScaler(with_mean=False), ["calls", "fee"]))
    model = make_pipeline(scale, LogisticRegression(C=0.25, random_state=5))
    model.fit(train[["calls", "fee"]], train["churned"])
    mlflow.log_metric("test_roc_auc", 0.8)
version = mlflow.register_model(f"runs:/{run.info.run_id}/model", "churn")
mlflow.MlflowClient().set_registered_model_alias("churn", "champion", version.version)
with mlflow.start_run() as by_hand:
    mlflow.sklearn.autolog(disable=True)
    example = train[["calls", "fee"]][:2]
    mlflow.sklearn.log_model(model, name="kept", serialization_format="skops", input_example=example)
print(run.info.run_id, by_hand.info.run_id)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mlflow") is None, reason="there is no MLflow (pip install mlflow)")
def test_runs_and_registered_models_of_a_real_mlflow_are_adopted(begun: Path) -> None:
    """A run that was autologged, a registered model by version and by alias, one kept by skops: all are the same."""
    environ = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{begun}/mlflow.db", "PYTHONWARNINGS": "ignore"}

    def ended(*words: str) -> str:
        done = subprocess.run(words, cwd=begun / "work", env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    rows = shutil.copy(begun / "customers.csv", begun / "work" / "customers.csv")
    said = ended(sys.executable, "-c", LOGS, str(rows))
    run, by_hand = said.splitlines()[-1].split()
    program = (sys.executable, "-m", "modelops", "adopt")
    for number, source in enumerate(
        [f"mlflow:runs/{run}", f"mlflow:runs/{run}/model", "mlflow:models/churn/1", "mlflow:models/churn@champion"]
    ):
        name = f"m{number}"
        told = json.loads(ended(*program, source, "--model", name, "--output", "json"))
        code = Path(f"models/{name}/train.py").read_text()
        assert "StandardScaler(with_mean=False)" in code
        assert "LogisticRegression(" in code
        assert told["adopted"] == source
        files = Repository.discover(Path.cwd()).work_tree_files(("models", "policies"))
        spec: ModelSpec = build_graph(files).models[name].model.spec
        assert (spec.data.target, spec.training.parameters, spec.training.seed) == ("churned", {"C": 0.25}, 5)
        assert "roc-auc" in told["inferred"]["measured"]
    ended(*program, f"mlflow:runs/{by_hand}", "--model", "kept", "--data", "../customers.csv", "--label", "churned")
    assert "StandardScaler(with_mean=False)" in Path("models/kept/train.py").read_text()
