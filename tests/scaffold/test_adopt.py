"""`modelops adopt`: notebooks, scripts and kept models become proposals that do what they did, and nothing is run."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from git_world import commit, git
from modelops.artifacts.frame import frame
from modelops.cli import cli
from modelops.data import materialise, read
from modelops.errors import Exit, ModelOpsError
from modelops.repository import Repository
from modelops.spec.graph import build_graph
from modelops.spec.kinds.model import ModelSpec
from modelops.training.split import divide

Adopt = Callable[..., dict[str, Any]]
ROWS = 400


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that init has made once, beside the data that notebooks read."""
    folder = tmp_path_factory.mktemp("begun")
    assert cli.main(["init", str(folder / "work"), "--approver", "grace"], standalone_mode=False) == 0
    customers().to_csv(folder / "customers.csv", index=False)
    return folder


@pytest.fixture
def adopt(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Adopt:
    """Write code beside the data, adopt it in the repository, and return what JSON output says."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "work")

    def run(code: str | list[str], *arguments: str, name: str = "notebook.ipynb") -> dict[str, Any]:
        if isinstance(code, list):
            cells: list[dict[str, Any]] = [{"cell_type": "markdown", "source": "# Customers"}]
            cells += [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in code]
            code = json.dumps({"nbformat": 4, "metadata": {}, "cells": cells})
        (tmp_path / name).write_text(code)
        capsys.readouterr()
        assert cli.main(["adopt", f"../{name}", "--model", "m", *arguments, "-o", "json"], standalone_mode=False) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


def customers() -> pd.DataFrame:
    """Rows with numbers, texts and missing values of both; one column is a label of two, one of three, one a number."""
    random = np.random.default_rng(3)
    age = random.integers(18, 80, ROWS).astype(float)
    fee = random.normal(40, 12, ROWS).round(2)
    plan = random.choice(["basic", "business", "family"], ROWS)
    region = random.choice(list("NESW"), ROWS).astype(object)
    score = 0.06 * (fee - 40) + (plan == "basic") - 0.03 * (age - 50) + random.normal(0, 0.7, ROWS)
    table = pd.DataFrame({
        "customer": [f"c{number:05d}" for number in range(ROWS)],
        "age": age, "fee": fee, "calls": random.poisson(2, ROWS), "plan": plan, "region": region,
        "paperless": random.choice(["yes", "no"], ROWS),
        "churned": np.where(score > 0, "yes", "no"),
        "segment": np.select([score < -0.5, score < 0.5], ["calm", "middling"], "restless"),
        "spend": (fee * 3 + age + random.normal(0, 5, ROWS)).round(2),
    })  # fmt: skip
    table.loc[random.random(ROWS) < 0.05, "age"] = np.nan
    table.loc[random.random(ROWS) < 0.05, "region"] = np.nan
    return table


COLUMN_TRANSFORMER = [
    "%matplotlib inline\nimport pandas as pd\nimport numpy as np\n!pip list",
    'df = pd.read_csv("customers.csv")\ndf.head()\ndf.shape?',
    """
from sklearn.model_selection import train_test_split
X = df.drop(["churned", "customer", "segment", "spend"], axis=1)
y = df["churned"]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42, stratify=y)
""",
    """
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
numeric = X.select_dtypes(include=np.number).columns
categorical = [c for c in X.columns if X[c].dtype == "object"]
pre = ColumnTransformer([
    ("num", Pipeline([("i", SimpleImputer(strategy="median")), ("s", StandardScaler())]), numeric),
    ("cat", Pipeline([("i", SimpleImputer(strategy="most_frequent")), ("o", OneHotEncoder(handle_unknown="ignore"))]),
     categorical),
])
clf = Pipeline(steps=[("pre", pre), ("clf", LogisticRegression(C=0.5, max_iter=500, class_weight={"no": 1, "yes": 2}))])
""",
    """
%%time
clf.fit(X_train, y_train)
from sklearn.metrics import roc_auc_score
answers = clf.predict_proba(X_test)[:, 1]
print(f"AUC {roc_auc_score(y_test, answers):.3f}")
""",
]

PANDAS = """
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, MinMaxScaler

df = pd.read_csv("customers.csv", index_col=0)
del df["segment"]
df.drop(columns=["spend"], inplace=True)
df["age"] = df["age"].fillna(-1)
df["region"] = df["region"].fillna("none")
df["paperless"] = df["paperless"].map({"no": 0, "yes": 1}).astype(int)
encoder = LabelEncoder()
for name in ["region"]:
    df[name] = encoder.fit_transform(df[name])
df["loyal"] = (df["plan"] == "family").astype(int)
df["churned"] = df["churned"].map({"no": 0, "yes": 1})
df = pd.get_dummies(df, columns=["plan"], drop_first=True)
X, y = df.drop("churned", axis=1), df.churned
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=1 / 4, random_state=7)
scaler = MinMaxScaler()
X_train = scaler.fit_transform(X_train)
X_test = scaler.transform(X_test)
model = LogisticRegression(C=2.0)
model.fit(X_train, y_train)
answers = model.predict_proba(X_test)[:, 1]
"""

SEARCH = """
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline

FEATURES = ["fee", "age"] + ["calls"]
df = pd.read_csv("customers.csv")
X_train, X_test, y_train, y_test = train_test_split(df[FEATURES], df["churned"] == "yes", random_state=0)
pipe = make_pipeline(SimpleImputer(), RandomForestClassifier(n_estimators=8, random_state=0))
grid = {"randomforestclassifier__max_depth": [2, 4], "randomforestclassifier__min_samples_leaf": [1, 10]}
search = GridSearchCV(pipe, grid, cv=3, scoring="roc_auc", n_jobs=1)
search.fit(X_train, y_train)
best = search.best_estimator_
answers = best.predict_proba(X_test)[:, 1]
"""

SCRIPT = '''
"""Train what customers spend."""
import os
from pathlib import Path

import pandas as pd
import sklearn.ensemble as ensemble
from sklearn import metrics
from sklearn.compose import make_column_selector as selector
from sklearn.compose import make_column_transformer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

FOLDER = Path(".")
PARAMS = {"n_estimators": 10, "max_depth": 6}


def load(name: str = "customers") -> pd.DataFrame:
    df = pd.read_csv(os.path.join(FOLDER, f"{name}.csv"))
    return df.drop(columns=["customer", "churned", "segment"])


def build(**unused):
    raise NotImplementedError


def model_of(seed):
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((encode, selector(dtype_include=object)), remainder="passthrough")
    return make_pipeline(columns, ensemble.ExtraTreesRegressor(**PARAMS, random_state=seed))


def main() -> None:
    global answers
    df = load()
    y = df.pop("spend")
    X_train, X_test, y_train, y_test = train_test_split(df, y, test_size=0.3, random_state=1)
    model = model_of(seed=11)
    model.fit(X_train, y_train)
    answers = model.predict(X_test)
    print(metrics.r2_score(y_test, answers))


if __name__ == "__main__":
    main()
'''

PLACES = """
import pandas as pd
from sklearn.preprocessing import LabelEncoder, StandardScaler
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

dataset = pd.read_csv("customers.csv")
X = dataset.iloc[:, 2:4].values
y = LabelEncoder().fit_transform(dataset.loc[:, "segment"])
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25)
sc = StandardScaler()
X_train = sc.fit_transform(X_train)
X_test = sc.transform(X_test)
knn = KNeighborsClassifier(n_neighbors=9, weights="distance").fit(X_train, y_train)
answers = knn.predict_proba(X_test)
"""

APART = """
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import train_test_split, cross_val_score
from sklearn.preprocessing import OneHotEncoder
from sklearn.ensemble import GradientBoostingClassifier

df = pd.read_csv("customers.csv").rename(columns={"fee": "monthly"})
target = "churned"
features = list(df.columns)
features.remove(target)
for name in ("customer", "segment", "spend", "age", "region"):
    features = [f for f in features if f != name]
X_train, X_test, y_train, y_test = train_test_split(df[features], df[target], test_size=0.25, stratify=df[target])
pre = ColumnTransformer([("cat", OneHotEncoder(), ["plan", "paperless"])], remainder="passthrough")
A_train = pre.fit_transform(X_train)
A_test = pre.transform(X_test)
gb = GradientBoostingClassifier(n_estimators=20, random_state=3)
print(cross_val_score(gb, A_train, y_train, scoring="accuracy"))
gb.fit(A_train, y_train)
answers = gb.predict_proba(A_test)[:, 1]
"""

STYLES: Mapping[str, tuple[str | list[str], str]] = {
    "column-transformer": (COLUMN_TRANSFORMER, "notebook.ipynb"),
    "pandas": (PANDAS, "pandas.py"),
    "search": (SEARCH, "search.py"),
    "script": (SCRIPT, "script.py"),
    "places": (PLACES, "places.py"),
    "apart": (APART, "apart.py"),
}


def spec_here() -> ModelSpec:
    repository = Repository.discover(Path.cwd())
    graph = build_graph(repository.work_tree_files(("models", "policies")))
    spec: ModelSpec = graph.models["m"].model.spec
    return spec


def rows_here() -> Any:
    repository = Repository.discover(Path.cwd())
    graph = build_graph(repository.work_tree_files(("models", "policies")))
    snapshot = graph.models["m"].snapshots["initial"].spec
    options = {"repository_root": Path.cwd(), "model_folder": Path.cwd(), "cache": Path.cwd() / ".modelops/cache"}
    return read(materialise(snapshot, **options, locations=(f"{Path.cwd().parent}/",)), snapshot)


def sides(spec: ModelSpec, table: Any) -> tuple[Any, Any]:
    """Return the places of the rows that a build trains and tests on."""
    labels = table[spec.data.target].to_pandas()
    strata = None if spec.task == "regression" else np.unique(labels.astype(str), return_inverse=True)[1]
    return divide(spec.training.split, spec.data, table, np.arange(table.num_rows), strata, spec.training.seed)


def own_answers(code: str | list[str], train: Any, test: Any) -> Any:
    """Run the code as its author would, on rows divided as here, and return what it answers to those that test."""
    text = "\n".join(code) if isinstance(code, list) else code
    text = "\n".join(line for line in text.splitlines() if not line.startswith(("%", "!")) and not line.endswith("?"))
    space: dict[str, Any] = {"__name__": "__main__"}

    def divided(*tables: Any, **_: Any) -> list[Any]:
        picked = ((each[p] if isinstance(each, np.ndarray) else each.iloc[p]) for each in tables for p in (train, test))
        return list(picked)

    text = text.replace("import train_test_split", "import KFold as _k")
    text = text.replace("GridSearchCV, train_test_split", "GridSearchCV").replace("train_test_split, cross", "cross")
    space["train_test_split"] = divided
    with redirect_stdout(io.StringIO()):
        exec(compile(text, "notebook", "exec"), space)
    return np.asarray(space["answers"])


@pytest.mark.parametrize("style", STYLES)
def test_the_written_model_answers_as_the_code_does(style: str, adopt: Adopt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained on the same rows, the adopted training code answers what the code's own estimator answers."""
    code, name = STYLES[style]
    adopt(code, name=name)
    spec, table = spec_here(), rows_here()
    train, test = sides(spec, table)
    answers = answers_here(spec, table, train, test)
    monkeypatch.chdir(Path.cwd().parent)
    expected = own_answers(code, train, test)
    found = answers[:, 1] if expected.ndim < answers.ndim else answers
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def answers_here(spec: ModelSpec, table: Any, train: Any, test: Any) -> Any:
    """Train as a build does, and return what the model answers to the rows that test."""
    space: dict[str, Any] = {}
    exec(compile(Path("models/m/train.py").read_text(), "train.py", "exec"), space)
    features = frame(table, spec.data.features)
    target = table[spec.data.target].to_pandas()
    if spec.task == "binary-classification":
        target = (target.astype(str) == str(spec.data.positive)).astype(int)
    model = space["train"](features.iloc[train], target.iloc[train], dict(spec.training.parameters), spec.training.seed)
    asked = features.iloc[test]
    return model.predict(asked) if spec.task == "regression" else model.predict_proba(asked)


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_the_written_model_builds(style: str, adopt: Adopt, capsys: pytest.CaptureFixture[str]) -> None:
    """A build of what was written measures what the adopted training code answers to the rows that test."""
    code, name = STYLES[style]
    adopt(code, name=name)
    git(Path.cwd(), "add", "--all")
    commit(Path.cwd(), {"note": "adopted"}, "Adopt")
    capsys.readouterr()
    assert cli.main(["build", "m", "-o", "json"], standalone_mode=False) in (0, 1)
    built = json.loads(capsys.readouterr().out)
    spec, table = spec_here(), rows_here()
    train, test = sides(spec, table)
    answers = answers_here(spec, table, train, test)
    truth = table[spec.data.target].to_pandas().iloc[test]
    metrics = {each["name"]: each for each in built[0]["metrics"]}
    if spec.task == "regression":
        expected = {"mae": float(np.abs(answers - truth.to_numpy()).mean())}
    elif spec.task == "binary-classification":
        expected = {
            "accuracy": float(((answers[:, 1] >= 0.5) == (truth.astype(str) == str(spec.data.positive))).mean())
        }
    else:
        labels = np.unique(truth.astype(str))
        expected = {"accuracy": float((labels[answers.argmax(axis=1)] == truth.astype(str)).mean())}
    assert {key: metrics[key]["value"] for key in expected} == pytest.approx(expected)


def test_what_was_read_and_what_not_is_told_with_its_place(adopt: Adopt) -> None:
    """Estimator, data, test part and metric have the place that they come from; so has each step left behind."""
    cells = [
        "import pandas as pd\nfrom sklearn.model_selection import train_test_split",
        'df = pd.read_csv("customers.csv")\ndf = df.dropna()\ndf["fee_per_call"] = df["fee"] / (df["calls"] + 1)',
        'X = df[["fee", "age", "calls", "fee_per_call"]]\ny = df["churned"]\n'
        "X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=5, stratify=y)",
        "from sklearn.linear_model import LogisticRegression\nfrom sklearn.metrics import accuracy_score\n"
        "clf = LogisticRegression(C=0.1, random_state=5)\nclf.fit(X_train, y_train)\n"
        "accuracy_score(y_test, clf.predict(X_test))",
    ]
    found = adopt(cells)
    spec = spec_here()
    assert found["inferred"]["estimator"] == "LogisticRegression (cell 4, line 4), with 1 parameter in model.yaml"
    assert found["inferred"]["test part"] == "20% of the rows (cell 3, line 3)"
    assert found["inferred"]["measured"] == "accuracy_score (cell 4, line 5); the gate judges by accuracy"
    assert [feature.name for feature in spec.data.features] == ["fee", "age", "calls"]
    assert (spec.training.parameters, spec.training.seed, spec.training.split.test) == ({"C": 0.1}, 5, 0.2)
    told = "\n".join(found["cannot"])
    assert "cell 2, line 2: `df = df.dropna()`: rows with missing values are dropped before training" in told
    assert 'cell 2, line 3: `df["fee_per_call"] = df["fee"] / (df["calls"] + 1)`: left out fee_per_call' in told
    assert "age misses" in told
    code = Path("models/m/train.py").read_text()
    assert "cell 2, line 2" in code
    assert "SimpleImputer(strategy='median')" in code


FITTED = """
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
df = pd.read_csv("customers.csv")
{more}
model = RandomForestClassifier(max_depth=3)
model.fit({features}, {label})
"""


def fitted(features: str = 'df[["fee", "calls"]]', label: str = 'df["churned"]', more: str = "") -> str:
    """Return a script that fits some columns."""
    return FITTED.format(features=features, label=label, more=more)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (fitted(more="df = df[df.fee > 10]"), "line 5: `df = df[df.fee > 10]`: only some of the rows train there"),
        (fitted(more="df = df.drop_duplicates()"), "repeated rows are dropped"),
        (fitted(more="for name in df.dtypes:\n    df[name] = 1"), "columns that it changes are taken as they are"),
        (fitted(more='df["fee"] = df["fee"].apply(lambda fee: fee * 2)'), "left out fee"),
        (fitted(more='df["calls"] = df.groupby("plan")["calls"].transform("mean")'), "left out calls"),
        (fitted(more='df["fee"] = df["fee"].fillna(df["fee"].median())'), "the median is that of the rows that train"),
        (
            fitted(
                more='df["region"] = df["region"].map({"N": 0, "S": 1, "E": 2, "W": 3})\ndf = df.dropna()',
                features="df[['region']]",
            )
            .replace("ensemble", "linear_model")
            .replace("RandomForestClassifier(max_depth=3)", "LogisticRegression()")
            .replace("RandomForestClassifier", "LogisticRegression"),
            "region misses",
        ),
        (fitted(features='df[["fee", "churned"]]'), "left out churned: it is the label"),
        (fitted(label="(df.churned == 'yes').astype(int)"), "no train_test_split was read"),
    ],
)
def test_what_cannot_be_carried_is_named(code: str, said: str, adopt: Adopt) -> None:
    """Each step that no transformer does the same as is told, and the model that is left is a valid one."""
    found = adopt(code, name="script.py")
    assert said in "\n".join(found["cannot"])
    assert spec_here().data.target == "churned"
    compile(Path("models/m/train.py").read_text(), "train.py", "exec")


@pytest.mark.parametrize(
    ("code", "options", "code_of_error"),
    [
        ("import pandas as pd\nprint(1)", (), "no-estimator"),
        (fitted(more="while True:\n    df.fit(1)").replace("model.fit", "other"), (), "no-estimator"),
        (fitted(more="import argparse").replace("max_depth=3", "max_depth=argparse.depth"), (), "no-estimator"),
        (fitted(features="make(df)"), (), "features-unread"),
        (fitted(label="make(df)"), (), "label-unread"),
        (fitted().replace("customers.csv", "absent.csv"), (), "features-unread"),
        (fitted().replace("read_csv", "read_pickle"), (), "features-unread"),
        (fitted().replace("max_depth=3", "max_depth=len(df)"), (), "no-estimator"),
        (fitted() + "import sklearn.tree as t\nt.ExtraTreeClassifier().fit(df, df.calls)", (), "several-estimators"),
        (fitted(), ("--estimator", "other"), "no-estimator"),
        (fitted(), ("--label", "none"), "unknown-column"),
        ("def f(:", (), "unreadable-code"),
        (fitted(more="a = [0]\n" + "a = [a, a]\n" * 60).replace("max_depth=3", "class_weight=a"), (), "no-estimator"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_leaves_nothing(
    code: str, options: tuple[str, ...], code_of_error: str, adopt: Adopt
) -> None:
    """Where no estimator, label or features can be read, nothing is guessed: the error says why, no file is left."""
    with pytest.raises(ModelOpsError) as caught:
        adopt(code, *options, name="script.py")
    assert caught.value.first.code == code_of_error
    assert caught.value.first.hint or code_of_error == "unreadable-code"
    assert not Path("models/m").exists()


def test_of_several_estimators_the_one_that_was_asked_for_is_adopted(adopt: Adopt) -> None:
    """A comparison in a loop fits several: they are listed by name, and --estimator takes one."""
    code = fitted(more="from sklearn.tree import DecisionTreeClassifier").replace(
        "model = RandomForestClassifier(max_depth=3)\nmodel.fit",
        'for name, each in {"tree": DecisionTreeClassifier(max_depth=2), "forest": RandomForestClassifier()}.items():\n'
        "    each.fit",
    )
    with pytest.raises(ModelOpsError) as caught:
        adopt(code, name="script.py")
    assert "tree (line 7), forest (line 7)" in caught.value.first.message
    adopt(code, "--estimator", "tree", name="script.py")
    assert "DecisionTreeClassifier" in Path("models/m/train.py").read_text()
    assert spec_here().training.parameters == {"max_depth": 2}


@pytest.mark.parametrize(
    ("labels", "positive"), [((False, True), True), ((1, 2), 2), ((9, 10), 10), ((0.0, 1.0), 1), (("b", "B"), "b")]
)
def test_of_two_labels_the_greater_one_is_positive(labels: Any, positive: Any, adopt: Adopt) -> None:
    """As scikit-learn orders them, whatever they are; init would look for what they are called."""
    table = pd.DataFrame({"fee": range(60), "left": [labels[number % 3 == 0] for number in range(60)]})
    table.to_csv("../customers.csv", index=False)
    adopt(fitted(features='df[["fee"]]', label='df["left"]'), name="script.py")
    assert spec_here().data.positive == positive


def test_nothing_of_a_notebook_is_run(adopt: Adopt, tmp_path: Path) -> None:
    """Neither statements nor defaults, decorators, conditions or magics of a hostile notebook have any effect."""
    touch = f"open({str(tmp_path / 'ran')!r}, 'w')"
    hostile = [
        f"{touch}\n!touch {tmp_path / 'ran'}\n@{touch}\ndef f(x={touch}):\n    {touch}\nf()",
        f"%%bash\ntouch {tmp_path / 'ran'}",
        f"[x for x in [1] if {touch}]\n(lambda: {touch})()\nclass A:\n    {touch}\n",
        fitted(more=f'df["a"] = {touch}').replace("max_depth=3", "max_depth=3, n_jobs=2"),
    ]
    found = adopt(hostile)
    assert found["model"] == "m"
    assert not (tmp_path / "ran").exists()
    assert "open(" not in Path("models/m/train.py").read_text().partition("def train")[2]


def test_words_of_the_code_end_no_text_of_the_training_code(adopt: Adopt) -> None:
    """A line of the notebook that is quoted in train.py is a comment there, whatever it holds."""
    line = 'df["fee"] = df["fee"].apply(len)  # \\ """ and \'\'\' \\'
    adopt(fitted(more=line), name="script.py")
    module = compile(Path("models/m/train.py").read_text(), "train.py", "exec")
    assert "os" not in module.co_names


def test_a_pickle_is_never_opened(adopt: Adopt, tmp_path: Path) -> None:
    """Who comes with a pickle is told the way out; its bytes are not read."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Trap()))
    for name in ("model.pkl", "absent.joblib"):
        with pytest.raises(ModelOpsError) as caught:
            cli.main(["adopt", str(tmp_path / name)], standalone_mode=False)
        assert (caught.value.first.code, caught.value.exit) == ("pickled-model", Exit.FILES)
        assert "skops.io.dump" in str(caught.value.first.hint)
    assert not (tmp_path / "ran").exists()


def test_a_model_kept_by_skops_is_adopted_by_its_construction(adopt: Adopt, tmp_path: Path) -> None:
    """Class, parameters, columns and their order are those of the file; data and label are said."""
    table = customers()
    forest = RandomForestClassifier(n_estimators=7, max_depth=4, random_state=9)
    pipeline = make_pipeline(StandardScaler(with_mean=False), forest).fit(table[["calls", "fee"]], table["churned"])
    skops.io.dump(pipeline, tmp_path / "kept.skops")
    arguments = ["adopt", "../kept.skops", "--model", "m", "--data", "../customers.csv", "--label", "churned"]
    assert cli.main(arguments, standalone_mode=False) == 0
    spec = spec_here()
    assert [feature.name for feature in spec.data.features] == ["calls", "fee"]
    assert (spec.training.parameters, spec.training.seed) == ({"max_depth": 4, "n_estimators": 7}, 9)
    assert "StandardScaler(with_mean=False)" in Path("models/m/train.py").read_text()
    with pytest.raises(ModelOpsError) as caught:
        cli.main(arguments[:-2], standalone_mode=False)
    assert caught.value.first.code == "file-exists"


class Own(RandomForestClassifier):
    """A class that only the author has."""


def test_a_kept_model_with_types_of_others_is_refused(adopt: Adopt, tmp_path: Path) -> None:
    """What skops does not trust is named and not read; a file that is none is told apart."""
    table = customers()
    skops.io.dump(Own(n_estimators=2).fit(table[["fee"]], table["churned"]), tmp_path / "own.skops")
    (tmp_path / "none.skops").write_bytes(b"PK")
    for name, code in (("own.skops", "untrusted-types"), ("none.skops", "unreadable-model")):
        with pytest.raises(ModelOpsError) as caught:
            cli.main(
                ["adopt", f"../{name}", "--model", "m", "--data", "../customers.csv", "--label", "churned"],
                standalone_mode=False,
            )
        assert caught.value.first.code == code
    assert not Path("models/m").exists()
