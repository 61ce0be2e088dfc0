"""Tables of others are judged without a repository: gates, drift and signed evidence, by the exit code too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import log_loss, mean_absolute_error, roc_auc_score

from modelops.cli import cli
from modelops.errors import ModelOpsError
from modelops.evidence import generate_key

POLICY = """apiVersion: modelops/v1
kind: GatePolicy
metadata:
  name: outside
spec:
  gates:
    - {name: better, type: champion, params: {metric: roc-auc, margin: 0.0}}
    - {name: fair, type: fairness, params: {metric: demographic-parity, column: region, maximum: 0.2}}
"""


def frame(n: int = 800) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    true = rng.random(n) < 0.3
    new, old = (1 / (1 + np.exp(-(rng.normal(size=n) + pull * true - 1))) for pull in (2.5, 1.0))
    words = {"churned": np.where(true, "yes", "no"), "new": new, "old": old, "age": rng.normal(40, 10, n).round()}
    return pd.DataFrame(words | {"region": rng.choice(["north", "south"], n)})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    frame().to_parquet(tmp_path / "p.parquet")
    return tmp_path / "p.parquet"


def judge(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["judge", *map(str, words)], standalone_mode=False)


def told(*words: str | Path) -> Any:
    found = judge(*words, "-o", "json")
    assert found.exception is None, found.exception
    return json.loads(found.stdout)


def test_metrics_are_scikit_learn_s(file: Path) -> None:
    """Of the file's own columns, whatever the labels are called; a limit decides by the bound of the interval."""
    table = frame()
    found = told(
        "predictions", file, "--truth", "churned", "--score", "new", "--positive", "yes", "--minimum", "roc-auc=0.8"
    )
    values = {one["name"]: one["value"] for one in found["metrics"]}
    assert values["roc-auc"] == pytest.approx(roc_auc_score(table["churned"] == "yes", table["new"]))
    assert values["log-loss"] == pytest.approx(log_loss(table["churned"] == "yes", table["new"]))
    assert found["passed"]
    (verdict,) = found["verdicts"]
    assert verdict["lower"] >= 0.8
    low = ("--minimum", f"roc-auc={values['roc-auc']}")
    assert (
        judge("predictions", file, "--truth", "churned", "--score", "new", "--positive", "yes", *low).return_value == 1
    )


def test_a_csv_says_the_same_as_parquet(file: Path, tmp_path: Path) -> None:
    """Both are read by the one reader."""
    frame().to_csv(tmp_path / "p.csv", index=False)
    words = ("--truth", "churned", "--score", "new", "--positive", "yes", "--maximum", "brier=0.5")
    one, other = (told("predictions", path, *words) for path in (file, tmp_path / "p.csv"))
    assert one["metrics"] == other["metrics"]


def test_a_policy_may_ask_for_groups_and_the_served_model(file: Path, tmp_path: Path) -> None:
    """Groups of any column, and the served model's scores on the same rows; the worse of the two does not pass."""
    policy = tmp_path / "outside.yaml"
    policy.write_text(POLICY)
    words = ("--truth", "churned", "--positive", "yes", "--policy", policy)
    found = told("predictions", file, *words, "--score", "new", "--stable-score", "old")
    assert {one["gate"]: one["verdict"] for one in found["verdicts"]} == {"better": "pass", "fair": "pass"}
    worse = judge("predictions", file, *words, "--score", "old", "--stable-score", "new")
    assert worse.return_value == 1
    assert "NOT passed" in worse.stdout


def test_values_and_several_classes(tmp_path: Path) -> None:
    """A regression by a score that is a value, three classes by a column of scores each."""
    rng = np.random.default_rng(6)
    true = rng.normal(size=300) * 10
    words = {"y": true, "said": true + rng.normal(size=300), "kind": rng.choice(["a", "b", "c"], 300)}
    table = pd.DataFrame(words)
    for name in "abc":
        table[f"p_{name}"] = np.where(table["kind"] == name, 0.8, 0.1)
    table.to_csv(tmp_path / "p.csv", index=False)
    found = told("predictions", tmp_path / "p.csv", "--truth", "y", "--score", "said", "--maximum", "mae=2")
    values = {one["name"]: one["value"] for one in found["metrics"]}
    assert (found["task"], values["mae"]) == ("regression", pytest.approx(mean_absolute_error(true, table["said"])))
    scores = [word for name in "abc" for word in ("--score", f"{name}=p_{name}")]
    found = told("predictions", tmp_path / "p.csv", "--truth", "kind", *scores, "--minimum", "accuracy=0.9")
    assert (found["task"], found["classes"], found["passed"]) == ("multiclass-classification", ["a", "b", "c"], True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--truth", "churnd", "--score", "new"), "target-absent"),
        (("--truth", "churned", "--score", "nwe"), "unknown-column"),
        (("--truth", "churned", "--score", "age", "--positive", "yes"), "bad-score"),
        (("--truth", "churned", "--positive", "yes"), "bad-score"),
        (("--truth", "churned", "--score", "new", "--positive", "maybe"), "bad-target"),
        (("--truth", "churned", "--score", "yes=new", "--score", "n=old"), "bad-score"),
    ],
)
def test_what_cannot_be_judged_says_why(file: Path, words: tuple[str, ...], code: str) -> None:
    """Columns that are not there, scores that are none, labels that never occur."""
    found = judge("predictions", file, *words, "--minimum", "accuracy=0.5")
    assert isinstance(found.exception, ModelOpsError)
    assert found.exception.first.code == code


def test_a_value_that_is_none_is_told_with_its_file(tmp_path: Path) -> None:
    """A word among the scores is named by file, column and row."""
    (tmp_path / "p.csv").write_text("y,p\n1,0.3\n0,abc\n1,0.9\n0,0.1\n")
    found = judge("predictions", tmp_path / "p.csv", "--truth", "y", "--score", "p", "--minimum", "accuracy=0.5")
    assert isinstance(found.exception, ModelOpsError)
    told = found.exception.first
    assert str(told).startswith("p.csv: column 'p', row 2: 'abc' is not a number")
    assert told.code == "bad-value"


@pytest.mark.parametrize("gate", ["latency", "robustness", "data-quality", "drift"])
def test_gates_about_the_model_are_refused_by_name(file: Path, tmp_path: Path, gate: str) -> None:
    """A table has no model: what asks about it is refused at its line, before anything is measured."""
    params = {"latency": "{p99Ms: 5.0}", "robustness": "{maximum: 0.1}"}.get(gate, "{}")
    policy = tmp_path / "model.yaml"
    head = POLICY.split("    - ")[0].replace("outside", "model")
    policy.write_text(f"{head}    - {{name: asked, type: {gate}, params: {params}}}\n")
    found = judge("predictions", file, "--truth", "churned", "--score", "new", "--policy", policy)
    assert isinstance(found.exception, ModelOpsError)
    assert found.exception.first.code == "gate-needs-model", found.exception
    assert found.exception.first.location is not None
    assert found.exception.first.location.line == 7


def test_drift_is_found_where_it_is(tmp_path: Path) -> None:
    """The shifted column alone alerts and the exit is 1; the same rows are not drifted."""
    first, second = frame().iloc[:400], frame().iloc[400:]
    moved = second.assign(age=second["age"] + 15)
    for name, table in (("first", first), ("second", second), ("moved", moved)):
        table.to_parquet(tmp_path / f"{name}.parquet")
    found = told("drift", tmp_path / "first.parquet", tmp_path / "moved.parquet")
    assert [name for name, score in found["drift"].items() if score["level"] == "alert"] == ["age"]
    assert judge("drift", tmp_path / "first.parquet", tmp_path / "moved.parquet").return_value == 1
    assert judge("drift", tmp_path / "first.parquet", tmp_path / "second.parquet").return_value == 0
    only = told(
        "drift", tmp_path / "first.parquet", tmp_path / "moved.parquet", "--column", "region", "--score", "chi-squared"
    )
    assert list(only["drift"]) == ["region"]
    pd.read_parquet(tmp_path / "second.parquet").head(2).to_parquet(tmp_path / "two.parquet")
    few = judge("drift", tmp_path / "first.parquet", tmp_path / "two.parquet", "-o", "json")
    assert (few.return_value, json.loads(few.stdout)["passed"], "age" in json.loads(few.stdout)["undecided"]) == (
        1,
        False,
        True,
    )
    wrong = judge("drift", tmp_path / "first.parquet", tmp_path / "moved.parquet", "--score", "pis")
    assert isinstance(wrong.exception, ModelOpsError)
    assert wrong.exception.first.hint == "did you mean 'psi'?"


def test_what_was_found_can_be_proven_later(file: Path, tmp_path: Path) -> None:
    """Signed about the very bytes: another file, another key and a changed number are each refused."""
    key, public = tmp_path / "judge.pem", tmp_path / "judge.pub"
    public.write_text(generate_key(key))
    other = tmp_path / "other.pub"
    other.write_text(generate_key(tmp_path / "other.pem"))
    evidence = tmp_path / "found.intoto.jsonl"
    words = ("--truth", "churned", "--score", "new", "--positive", "yes", "--minimum", "roc-auc=0.8")
    found = told("predictions", file, *words)
    judge("predictions", file, *words, "--evidence", evidence, "--key", key)
    proven = told("verify", file, evidence, "--key", public)
    assert (proven["result"], proven["digest"]) == ("PASSED", found["digest"])
    assert proven["metrics"] == found["metrics"]
    refused = judge("verify", file, evidence, "--key", other)
    assert isinstance(refused.exception, ModelOpsError)
    assert refused.exception.first.code == "signature-untrusted"
    evidence.write_text(evidence.read_text().replace('"payload":"ey', '"payload":"eY', 1))
    assert judge("verify", file, evidence, "--key", public).exception is not None
    judge("predictions", file, *words, "--evidence", evidence, "--key", key)
    frame(700).to_parquet(file)
    changed = judge("verify", file, evidence, "--key", public)
    assert isinstance(changed.exception, ModelOpsError)
    assert changed.exception.first.code == "subject-mismatch"


def test_an_answer_that_no_row_really_has_is_wrong(tmp_path: Path) -> None:
    """A third class is answered for half of the rows and true of none: these are wrong, though rounding is no error."""
    true = np.array(["a", "b"] * 100)
    table = pd.DataFrame({"kind": true, "p_a": np.where(true == "a", 0.8, 0.1), "p_b": 0.2})
    table["p_c"] = 1 - table["p_a"] - table["p_b"]
    table.to_csv(tmp_path / "p.csv", index=False)
    scores = [word for name in "abc" for word in ("--score", f"{name}=p_{name}")]
    found = told("predictions", tmp_path / "p.csv", "--truth", "kind", *scores, "--minimum", "accuracy=0.9")
    values = {one["name"]: one["value"] for one in found["metrics"]}
    assert (values["accuracy"], found["passed"], found["classes"]) == (0.5, False, ["a", "b", "c"])
    assert values["log-loss"] == pytest.approx(
        log_loss(true, table[["p_a", "p_b", "p_c"]].clip(0, 1), labels=["a", "b", "c"])
    )


def test_labels_count_as_they_are_spelt(file: Path) -> None:
    """Predicted labels are those of the truth, of two or several classes; another word or none at all is refused."""
    table = frame()
    table["said"] = np.where(table["new"] > 0.7, "yes", "no")
    table["coded"] = (table["new"] > 0.7).astype(int)
    table["some"] = table["said"].where(table.index != 7)
    table.to_parquet(file)
    words = ("predictions", file, "--truth", "churned", "--positive", "yes", "--minimum", "accuracy=0.1")
    right = (table["said"] == table["churned"]).mean()
    for scores in (("--score", "new"), ("--score", "no=old", "--score", "yes=new")):
        values = {one["name"]: one["value"] for one in told(*words, *scores, "--label", "said")["metrics"]}
        assert values["accuracy"] == pytest.approx(right)
    for column, said in (
        ("coded", "'coded' of p.parquet says '"),
        ("some", "'some' of p.parquet says no label in row 8"),
    ):
        found = judge(*words, "--score", "new", "--label", column)
        assert isinstance(found.exception, ModelOpsError)
        assert (found.exception.first.code, said in found.exception.first.message) == ("bad-label", True)


@pytest.mark.parametrize(
    "words",
    [("--score", "churned"), ("--score", "new", "--label", "churned"), ("--score", "new", "--weight", "new")],
    ids=["score is the truth", "label is the truth", "weight is the score"],
)
def test_a_column_says_one_thing(file: Path, words: tuple[str, ...]) -> None:
    """What is the truth cannot be the prediction of it."""
    found = judge("predictions", file, "--truth", "churned", "--positive", "yes", "--minimum", "accuracy=0.1", *words)
    assert isinstance(found.exception, ModelOpsError)
    assert found.exception.first.code == "column-twice"


def test_evidence_overwrites_nothing_that_was_read(file: Path) -> None:
    """The judged file named as the one to write is refused, and stays as it was."""
    before = file.read_bytes()
    words = ("--truth", "churned", "--positive", "yes", "--score", "new", "--minimum", "roc-auc=0.1")
    found = judge("predictions", file, *words, "--evidence", file.parent / "." / file.name)
    assert "would overwrite" in str(found.exception)
    assert file.read_bytes() == before


def test_a_key_that_is_none_is_told_by_its_own_name(file: Path) -> None:
    """Not as one of a trust policy, which nobody has here."""
    found = judge("verify", file, file, "--key", file)
    assert isinstance(found.exception, ModelOpsError)
    assert found.exception.first.message == f"{file} holds no public ECDSA P-256 key in PEM"


def test_tables_without_a_column_in_common_are_not_alike(file: Path, tmp_path: Path) -> None:
    """Nothing was compared, which is no absence of drift."""
    (tmp_path / "w.csv").write_text("a,b\n1,2\n3,4\n")
    found = judge("drift", file, tmp_path / "w.csv")
    assert isinstance(found.exception, ModelOpsError)
    assert found.exception.first.code == "nothing-to-compare"


@pytest.mark.parametrize(
    ("true", "said"),
    [(("True", "False"), ("TRUE", "false")), (("1", "0"), ("1.0", "0.0")), (("1.0", "0.0"), ("1", "0"))],
    ids=["words", "numbers with a fraction", "numbers without"],
)
def test_one_label_in_two_spellings_is_one(tmp_path: Path, true: tuple[str, str], said: tuple[str, str]) -> None:
    """What programs write differently, a boolean or a whole number, is the label that it is."""
    rows = [f"{true[one]},{0.9 - 0.8 * one},{said[one]}" for one in (0, 1)] * 30
    (tmp_path / "p.csv").write_text("\n".join(["y,s,l", *rows]))
    words = ("--truth", "y", "--score", "s", "--label", "l", "--minimum", "accuracy=0.9")
    values = {one["name"]: one["value"] for one in told("predictions", tmp_path / "p.csv", *words)["metrics"]}
    assert values["accuracy"] == 1
