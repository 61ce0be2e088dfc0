"""What `modelops adopt` makes of code that means harm, or that changes things in ways that are not followed."""

from __future__ import annotations

import ast
import gzip
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from modelops.cli import cli
from modelops.errors import Exit, ModelOpsError
from modelops.scaffold.adopting.allowed import loaded, require_plain
from modelops.scaffold.adopting.assembling import assembled, label_of
from modelops.scaffold.adopting.cells import _without_magic, read_code
from modelops.scaffold.adopting.following import follow
from modelops.scaffold.adopting.found import Followed
from modelops.scaffold.adopting.opening import open_as_read
from modelops.scaffold.adopting.values import Table, constant
from modelops.scaffold.adopting.writing import training_code

HEAD = """
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
df = pd.read_csv("rows.csv")
X, y = df[["a", "b"]], df["y"]
p = {"C": 5}
m = LogisticRegression(C=5)
"""


def followed(code: str, tmp_path: Path) -> Followed:
    """Follow code that stands beside a file of rows."""
    pd.DataFrame({"a": range(40), "b": [n % 7 for n in range(40)], "y": [n % 2 for n in range(40)]}).to_csv(
        tmp_path / "rows.csv", index=False
    )
    (tmp_path / "code.py").write_text(HEAD + code)
    return follow(
        read_code(tmp_path / "code.py"), lambda reader, _, given: open_as_read(tmp_path / "rows.csv", reader, given)
    )


def written(found: Followed) -> str:
    """Return the training code of the last fit."""
    fit = found.fits[-1]
    assert isinstance(fit.features, Table)
    label, positive, _ = label_of(fit, None)
    return training_code("code.py", assembled(fit, fit.features, label, positive, "binary-classification")).decode()


HOSTILE = "copy=__import__('os').system('touch ran'), with_mean"


@pytest.mark.parametrize(
    "made",
    [
        f'make_pipeline(StandardScaler(**{{"{HOSTILE}": True}}), m)',
        f'LogisticRegression(**{{"{HOSTILE}": True}})',
        f'LogisticRegression(**dict(**{{"{HOSTILE}": True}}))',
        'LogisticRegression(**{"lambda": 1})',
        'LogisticRegression(**{1: 1})',
        'LogisticRegression(**{"C": 1}, **{"C": 2})',
        'LogisticRegression(class_weight=check_output(["sh", "-c", "id"]))',
        "LogisticRegression(class_weight=check_output)",
        "LogisticRegression(class_weight=testing.check_output(['id']))",
        "LogisticRegression(class_weight=sklearn.utils.os.system('id'))",
        "LogisticRegression(class_weight=sklearn.metrics.warnings.warn('x'))",
        "LogisticRegression(class_weight=sklearn.datasets.load_files('/'))",
        "LogisticRegression(class_weight=load_svmlight_file)",
        "LogisticRegression(class_weight=sklearn.externals.joblib.load('x'))",
        "LogisticRegression(class_weight=sklearn.linear_model.LogisticRegression.fit)",
        "LogisticRegression(class_weight=sklearn)",
        "LogisticRegression(class_weight=str.format)",
        "LogisticRegression(class_weight=print)",
        "LogisticRegression(class_weight=np.load('x'))",
        "LogisticRegression(class_weight=xgboost.sklearn.os.system('id'))",
    ],
)  # fmt: skip
def test_no_code_of_others_gets_into_a_construction(made: str, tmp_path: Path) -> None:
    """Options that are no names, private and borrowed functions, and builtins make an estimator unknown."""
    more = (
        "import sklearn.utils, sklearn.metrics, sklearn.datasets, sklearn.linear_model, xgboost.sklearn\n"
        "import numpy as np\nimport sklearn.utils._testing as testing\n"
        "from sklearn.utils._testing import check_output\nfrom sklearn.datasets import load_svmlight_file\n"
    )
    found = followed(f"{more}clf = {made}\nclf.fit(X, y)\n", tmp_path)
    assert found.fits == []
    assert len(found.unread) >= 1


@pytest.mark.parametrize(
    ("made", "part"),
    [
        ('make_pipeline(StandardScaler(**{"with_mean": False}), m)', "StandardScaler(with_mean=False)"),
        ("GridSearchCV(m, {'C': [1, 2]}, cv=KFold(3), scoring=make_scorer(f1_score))", "scoring=make_scorer(f1_score)"),
        ("make_pipeline(SelectKBest(f_classif, k=1), m)", "SelectKBest(f_classif, k=1)"),
        ("make_pipeline(FunctionTransformer(np.log1p), m)", "FunctionTransformer(np.log1p)"),
        ("make_pipeline(StandardScaler(), GaussianProcessClassifier(kernel=RBF(2.0)))", "kernel=RBF(2.0)"),
        ("LogisticRegression(C=1e999)", "C=np.inf"),
        ("LogisticRegression(C=-1e999)", "C=-np.inf"),
        ("LogisticRegression(C=-(1e999 - 1e999))", "C=np.nan"),
        ("LogisticRegression(C=float('inf'))", "C=float('inf')"),
        ("LogisticRegression(class_weight={0: 1, 1: 1e999})", "class_weight={0: 1, 1: np.inf}"),
    ],
)
def test_what_estimators_are_made_of_is_written(made: str, part: str, tmp_path: Path) -> None:
    """Estimators, scores, splitters, kernels and numbers without end are code that has the names it needs."""
    more = (
        "import numpy as np\nfrom sklearn.feature_selection import SelectKBest, f_classif\n"
        "from sklearn.metrics import f1_score, make_scorer\nfrom sklearn.model_selection import GridSearchCV, KFold\n"
        "from sklearn.preprocessing import FunctionTransformer\nfrom sklearn.gaussian_process.kernels import RBF\n"
        "from sklearn.gaussian_process import GaussianProcessClassifier\n"
    )
    text = written(followed(f"{more}clf = {made}\nclf.fit(X, y)\n", tmp_path))
    assert part in text
    space: dict[str, Any] = {}
    exec(compile(text, "train.py", "exec"), space)
    assert {"np"} <= set(space) or "np." not in text


@pytest.mark.parametrize(
    "node",
    [
        ast.Call(ast.Name(id="sklearn.svm.SVC"), [], [ast.keyword("C=print(), gamma", ast.Constant(1))]),
        ast.Call(ast.Name(id="sklearn.svm.SVC"), [], [ast.keyword("if", ast.Constant(1))]),
        ast.Call(ast.Name(id="print()"), [], []),
        ast.Lambda(ast.arguments([], [], None, [], [], None, []), ast.Constant(1)),
    ],
)
def test_only_plain_constructions_are_written(node: ast.expr) -> None:
    """Whatever comes so far, names that are none and other expressions are never printed."""
    with pytest.raises(ModelOpsError) as caught:
        require_plain(node)
    assert caught.value.first.code == "code-in-model"


@pytest.mark.parametrize(
    "changes",
    [
        "m.set_params(C=100)", "m.C = 77", "m.C += 1", "n = m\nn.set_params(C=100)", "setting = {'m': m}\n"
        "setting['m'].set_params(C=100)", "[q.set_params(C=9) for q in [m]] and m.set_params(C=9)",
        "_ = m.set_params(C=9) if flag else None", "print(f'{flag} {m.set_params(C=9)}')", "if flag:\n    m.C = 9",
        "if flag:\n    m.set_params(C=9)", "while flag:\n    m = LogisticRegression(C=9)",
        "if flag:\n    def m():\n        pass", "if flag:\n    from sklearn.svm import SVC as m",
        "try:\n    pass\nfinally:\n    m.C = 9", "with open('x') as m:\n    pass", "del m",
        "def f(n):\n    n.C = 9\nf(m)", "def f():\n    global m\n    m = flag\nf()",
        "def f(*a):\n    global m\n    m = flag\nf()", "def f():\n    global m\n    m = 1\nif flag:\n    f()",
        "m = make_pipeline(StandardScaler(), m)\nm.named_steps['logisticregression'].set_params(C=9)",
        "m = make_pipeline(StandardScaler(), m)\nm.steps[1] = flag",
        "setattr(m, 'C', 9)", "vars(m).update(C=9)", "LogisticRegression.set_params(m, C=9)",
        "f = m.set_params\nf(C=9)",
        "if flag:\n    setattr(m, 'C', 9)",
        "def outer():\n    C0 = 9\n    def g():\n        return LogisticRegression(C=C0)\n    return g()\n"
        "C0 = 1\nm = outer()",
        *(
            f"{each}\nm = LogisticRegression(**p)"
            for each in (
                'p["C"] = 50', "p.update(C=50)", 'p.pop("C")', 'p.setdefault("C", 1)', 'del p["C"]', 'p |= {"C": 50}',
                'q = p\nq["C"] = 50', 'if flag:\n    p["C"] = 50', 'if flag:\n    p.update(C=50)',
                'if flag:\n    del p["C"]', 'def f(d):\n    d["C"] = 50\nf(p)', "p.clear()",
            )
        ),
        *(
            f"C0 = 1\n{each}\nm = LogisticRegression(C=C0)"
            for each in (
                "for C0 in flag:\n    pass", "if (C0 := flag) > 3:\n    pass", "x = flag or (C0 := 9)",
                "for c in [1, 2, 3]:\n    if flag:\n        break\n    C0 = c",
                "for c in [1, 2, 3]:\n    if flag:\n        continue\n    C0 = c",
                "def f(n):\n    if n > flag:\n        return 1\n    return 2\nC0 = f(3)",
                "def f(n):\n    for c in [1, 2]:\n        if n > flag:\n            return c\n    return 2\nC0 = f(3)",
                "def f(n):\n    while n:\n        return 1\n    return 2\nC0 = f(3)",
            )
        ),
    ],
)  # fmt: skip
def test_what_a_change_that_is_not_followed_touches_is_not_carried(changes: str, tmp_path: Path) -> None:
    """An estimator, its parameters or their dict, changed in any such way, is not adopted as it was before."""
    found = followed(f"flag = input()\n{changes}\nm.fit(X, y)\n", tmp_path)
    assert found.fits == []


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ("C0 = 1\ndef f():\n    global C0\n    C0 = 9\nf()", 9), ("C0 = 1\nprint(C0 := 9)", 9),
        ("C0 = 1\nif True:\n    C0 = 9", 9), ("for C0 in [9, 2, 3]:\n    break", 9),
        ("for C0 in [9, 2]:\n    pass\nelse:\n    C0 = 4", 4),
        ("for c in [9, 2]:\n    C0 = 3\n    continue\n    C0 = 4", 3),
        ("def f():\n    for each in [9, 2]:\n        return each\nC0 = f()", 9), ("C0 = p.get\nC0 = p['C']", 5),
        ("C0 = 3\nm.predict(X)\np.items()", 3), ("def f(n):\n    return n\nC0 = f(7)", 7),
    ],
)  # fmt: skip
def test_changes_that_are_followed_are_carried(changes: str, value: int, tmp_path: Path) -> None:
    """Declared and bound in passing, in a branch that always runs or in a loop that ends early: the last value."""
    found = followed(f"{changes}\nm = LogisticRegression(C=C0)\nm.fit(X, y)\n", tmp_path)
    assert [fit.estimator.text for fit in found.fits] == [f"sklearn.linear_model.LogisticRegression(C={value})"]


@pytest.mark.parametrize(
    "changes",
    [
        'if flag:\n    X.drop(columns="a", inplace=True)', 'X.drop(columns="a", inplace=flag)', "X.a = X.a * 2",
        "X['a'].clip(1, 2, inplace=True)", "X.insert(0, 'c', 1)", "if flag:\n    X['a'] = 1", "if flag:\n    X.a = 1",
        "if flag:\n    del X['a']", "del X[flag]", "X['a'][X.a > 3] = 0", "if flag:\n    X.a.fillna(0, inplace=True)",
    ],
)  # fmt: skip
def test_a_change_of_features_that_is_not_followed_is_a_gap(changes: str, tmp_path: Path) -> None:
    """Frames changed in place, whole or a column of them, by what is not followed, name the place."""
    found = followed(f"flag = input()\n{changes}\nm.fit(X, y)\n", tmp_path)
    (fit,) = found.fits
    assert isinstance(fit.features, Table)
    lost = [made.lost for made in fit.features.columns.values() if made.lost is not None]
    assert [gap for gap in (*fit.features.gaps, *lost, *found.gaps) if gap.place is not None]


@pytest.mark.parametrize("changes", ["y.replace({1: 0, 0: 1}, inplace=True)", "y = y.replace({1: 0, 0: 1})"])
def test_a_label_turned_round_in_place_is_turned_round(changes: str, tmp_path: Path) -> None:
    """What is positive is what became 1."""
    found = followed(f"{changes}\nm.fit(X, y)\n", tmp_path)
    assert label_of(found.fits[-1], None)[:2] == ("y", 0)


@pytest.mark.parametrize(
    "changes", ["y[y == 1] = 0", "y.update(flag)", "if flag:\n    y.replace({1: 0}, inplace=True)"]
)
def test_a_label_changed_otherwise_is_not_read(changes: str, tmp_path: Path) -> None:
    """Which label is predicted is not guessed then."""
    found = followed(f"flag = input()\n{changes}\nm.fit(X, y)\n", tmp_path)
    with pytest.raises(ModelOpsError) as caught:
        label_of(found.fits[-1], None)
    assert caught.value.first.code == "label-unread"


@pytest.mark.parametrize("line", ['x = f"{x}{x}"', "x = x + x", "x = os.path.join(x, x)", "x = x / x", "x = x * x"])
@pytest.mark.parametrize("first", ["'ab'", "3"])
def test_nothing_grows_without_end(line: str, first: str, tmp_path: Path) -> None:
    """Texts and numbers that double with each line are unknown at last: sixty lines would fill the memory."""
    found = followed(f"import os\nx = {first}\n" + f"{line}\n" * 60 + "LogisticRegression(C=x).fit(X, y)\n", tmp_path)
    assert all(len(fit.estimator.text) < 10_000 for fit in found.fits)


@pytest.mark.parametrize(
    "made",
    ["make_pipeline(StandardScaler(), m, memory='cache')", "Pipeline([('m', Pipeline([('m', m)], memory='cache'))])"],
)
def test_where_fitted_steps_are_kept_is_left_out(made: str, tmp_path: Path) -> None:
    """What lies in such a folder is unpickled by whoever builds; without it the model is the same."""
    code = written(
        followed(
            f"from sklearn.pipeline import Pipeline\nm = LogisticRegression(C=3)\nclf = {made}\nclf.fit(X, y)\n",
            tmp_path,
        )
    )
    assert ("memory" in code, "cache" in code, "LogisticRegression(" in code) == (False, False, True)


def test_literals_without_end_are_literals() -> None:
    """In lists too, of either sign."""
    assert ast.literal_eval(constant([float("inf"), {"a": -float("inf")}]).node) == [float("inf"), {"a": -float("inf")}]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that init has made, for what is refused: nothing is written to it."""
    folder = tmp_path_factory.mktemp("begun")
    assert cli.main(["init", str(folder), "--approver", "grace"], standalone_mode=False) == 0
    return folder


NESTED = HEAD + "m = make_pipeline(m)\n" * 400 + "m.fit(X, y)\n"
FITS = HEAD + "m.fit(X, y)\n"


def damaged(path: Path, data: bytes) -> bytes:
    """Return a zip of bytes of which the middle is spoilt."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", data)
    whole = bytearray(path.read_bytes())
    for place in range(50, 60):
        whole[place] ^= 0xFF
    return bytes(whole)


@pytest.mark.parametrize(
    ("name", "content", "options", "code"),
    [
        ("nested.py", NESTED, ("--data", "rows.csv"), "unreadable-code"),
        ("odd.ipynb", '{"cells": 5}', (), "unreadable-notebook"),
        ("odd.ipynb", '{"worksheets": [{"cells": {"a": 1}}]}', (), "unreadable-notebook"),
        ("damaged.skops", b"", ("--data", "rows.csv", "--label", "y"), "unreadable-model"),
        ("fits.py", FITS.replace('rows.csv"', 'rows.csv", index_col=7'), (), "features-unread"),
        ("fits.py", FITS, ("--data", "lists.jsonl", "--label", "y"), "unreadable-data"),
        ("fits.py", FITS, ("--data", "cut.csv.gz", "--label", "y"), "unreadable-data"),
        ("fits.py", FITS, ("--data", "cut.zip", "--label", "y"), "unreadable-data"),
        ("fits.py", FITS, ("--data", "cut.csv.xz", "--label", "y"), "unreadable-data"),
        ("fits.py", FITS, ("--data", "cut.xlsx", "--label", "y"), "unreadable-data"),
        ("fits.py", FITS, ("--data", "broken.xlsx", "--label", "y"), "unreadable-data"),
    ],
)
def test_what_is_damaged_is_refused_by_name(
    name: str, content: str | bytes, options: tuple[str, ...], code: str, begun: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Files that are cut, spoilt, of other shape or nested without end are errors that say so, and no traceback."""
    monkeypatch.chdir(begun)
    spoilt = damaged(tmp_path / "whole.zip", b"a,b,y\n" + b"1,2,3\n" * 400)
    rows = "a,b,y\n" + "".join(f"{n},{n % 7},{n % 2}\n" for n in range(400))
    packed = lzma.compress(rows.encode())
    files: dict[str, bytes] = {
        "rows.csv": rows.encode(), "lists.jsonl": b'{"a": [1], "b": 2, "y": 1}\n{"a": [2], "b": 3, "y": 0}\n',
        "cut.csv.gz": gzip.compress(rows.encode())[:-40], "cut.zip": spoilt, "broken.xlsx": spoilt,
        "cut.csv.xz": packed[:60] + b"\xff" * 20 + packed[80:], "cut.xlsx": b"PK\x03\x04",
        name: content.encode() if isinstance(content, str) else spoilt,
    }  # fmt: skip
    if options and "rows.csv" not in options:
        del files["rows.csv"]
    for each, data in files.items():
        (tmp_path / each).write_bytes(data)
    given = [str(tmp_path / each) if (tmp_path / each).is_file() else each for each in options]
    with pytest.raises(ModelOpsError) as caught:
        cli.main(["adopt", str(tmp_path / name), "--model", "m", *given], standalone_mode=False)
    assert caught.value.first.code == code
    assert caught.value.exit == Exit.FILES
    assert not (begun / "models/m").exists()


@pytest.mark.parametrize("error", [OSError("libgomp.so.1: no such file"), ImportError("no numpy"), ValueError("own")])
def test_a_library_that_cannot_be_loaded_is_named(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed and fails on import is no library that is absent."""

    def fails(name: str) -> None:
        raise error

    monkeypatch.setattr("importlib.import_module", fails)
    loaded.cache_clear()
    with pytest.raises(ModelOpsError) as caught:
        loaded("xgboost.XGBRanker")
    assert (caught.value.first.code, caught.value.exit) == ("library-not-loaded", Exit.WORLD)
    assert "xgboost is installed and cannot be loaded" in caught.value.first.message


@pytest.mark.parametrize(
    ("line", "expected"),
    [("a, b = !ls", "a, b = None"), ("x=%time f()", "x=None"), ("  out = !ls", "  out = None"), ("x == 1", "x == 1")],
)
def test_what_a_magic_gives_is_none(line: str, expected: str) -> None:
    """Lines that take what a command gives; a long line without one takes no time that grows with its square."""
    assert _without_magic(line) == expected
    assert _without_magic(" " * 200_000 + "x" * 200_000) == " " * 200_000 + "x" * 200_000
