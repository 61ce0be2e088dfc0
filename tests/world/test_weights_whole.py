"""A model whose rows count for what a column says, from `init` to a window of production, by the command line."""

from __future__ import annotations

import csv
import http.client
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from assets.kept import Kept
from git_world import git
from kill.ends import end_processes
from modelops.project.workspace import open_workspace
from modelops.training.rows import holdout_predictions
from waiting import PATIENCE
from world.shop import GITCONFIG, START

BOOSTED = '''"""Encode the category, boost trees."""

from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder


def train(features, target, parameters, seed, sample_weight=None):
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("age", encoder, ["age"])], remainder="passthrough", sparse_threshold=0)
    model = LGBMClassifier(
        n_estimators=40, num_leaves=7, random_state=seed, n_jobs=1, verbose=-1, deterministic=True
    )
    return Pipeline([("columns", columns), ("model", model)]).fit(
        features, target, model__sample_weight=sample_weight
    )
'''
SAID = "weighted by survey_weight"


def people(count: int, seed: int) -> list[dict[str, Any]]:
    """Return people of whom the old were asked too seldom, and leave more often."""
    chance = np.random.default_rng(seed)
    made = []
    for number in range(count):
        old, calls, fee = chance.random() < 0.5, int(chance.poisson(2)), round(float(chance.normal(40, 12)), 2)
        leaves = 0.8 * calls + 0.03 * (fee - 40) + (1.5 if old else -1.5) - 1.5 + 0.7 * chance.logistic() > 0
        weight = round((4.0 if old else 1.0) * float(chance.uniform(0.5, 1.5)), 3)
        row = {"customer": f"c{seed}-{number:05d}", "age": "old" if old else "young", "calls": calls, "fee": fee}
        made.append(row | {"survey_weight": weight, "churned": "yes" if leaves else "no"})
    return made


def ask(shop: Kept, rows: Sequence[Mapping[str, Any]], **more: Any) -> list[tuple[int, dict[str, Any]]]:
    """Send rows to production and return status and body of each answer."""
    states = json.loads(shop.ok("status", "-o", "json").out)
    url = next(state["url"] for state in states if state["environment"] == "production")
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    kinds = {"age": "BYTES", "calls": "INT64", "fee": "FP64", **dict.fromkeys(more, "FP64")}
    answers = []
    for row in rows:
        inputs = [
            {"name": name, "shape": [1], "datatype": kind, "data": [{**row, **more}[name]]}
            for name, kind in kinds.items()
        ]
        body = {"inputs": inputs, "parameters": {"entity_id": row["customer"]}}
        connection.request("POST", "/v2/models/churn/infer", json.dumps(body))
        response = connection.getresponse()
        answers.append((response.status, json.loads(response.read())))
    told = [
        {"id": answer["parameters"]["prediction_id"], "label": row["churned"]}
        for row, (status, answer) in zip(rows, answers, strict=True)
        if status == 200
    ]
    if told:
        connection.request("POST", "/v2/models/churn/feedback", json.dumps(told))
        assert connection.getresponse().read()
    connection.close()
    return answers


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Kept]:
    """A remote, and a clone of it with a table of people and a model whose rows are weighted."""
    made = Kept(tmp_path)
    (tmp_path / "gitconfig").write_text(GITCONFIG, encoding="utf-8")
    (tmp_path / "clock").write_text(START, encoding="utf-8")
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "origin.git")
    git(tmp_path, "init", "-q", "-b", "main", "shop")
    made.git("remote", "add", "origin", "../origin.git")
    (made.root / "data").mkdir()
    rows = people(600, 1)
    with (made.root / "data" / "people.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    who = ("--approver", "ada", "--approver", "grace")
    asked = ("--data", "data/people.csv", "--target", "churned", "--weight", "survey_weight")
    made.ok("init", "--model", "churn", *asked, *who)
    made.edit("policies/project.yaml", ("    key: local\n", "    key: local\n    simulatedClock: true\n"))
    made.git("add", "--", ".", ":!models")
    made.git("commit", "-q", "-m", "Begin with modelops")
    made.git("push", "-q", "-u", "origin", "main")
    yield made
    end_processes(tmp_path)


def released(shop: Kept, branch: str) -> str:
    """Propose what lies there, build, approve and release it; return what the plan, the build and the report said."""
    number = shop.propose(branch, f"Propose {branch}")
    said = [shop.ok("plan", "--since", "origin/main").out]
    said.append(shop.ok("build", "--since", "origin/main", "--pull-request", str(number)).out)
    summary = shop.folder / f"{branch}.md"
    shop.ok("pr", "report", "--since", "origin/main", "--out", str(shop.folder / "r.json"), "--summary", str(summary))
    said.append(summary.read_text(encoding="utf-8"))
    for one in said:
        assert SAID in one, one
    shop.accept(number)
    shop.release()
    return said[1]


def spec_of(shop: Kept, number: int) -> dict[str, Any]:
    text = git(shop.origin, "show", f"main:models/churn/releases/{number}/release.yaml")
    found: dict[str, Any] = yaml.safe_load(text)["spec"]
    return found


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("lightgbm") is None, reason="this machine has no LightGBM")
def test_a_weighted_model_goes_all_the_way(shop: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two releases by two libraries, each weighted and said to be, held against each other, rebuilt, served, watched.

    The recorded value is that of scikit-learn on the test rows with their weights. Requests bring none, and the monitor
    says that it counts each label once.
    """
    released(shop, "first")
    spec = spec_of(shop, 1)
    (auc,) = (one for one in spec["metrics"] if one["name"] == "roc-auc")
    assert (spec["weight"], auc["effective"] < auc["n"]) == ("survey_weight", True)
    monkeypatch.chdir(shop.root)
    with (shop.root / "data" / "people.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    workspace = open_workspace()
    record = json.loads(workspace.store.get(spec["build"]))
    record = record.get("record", record)
    rows, stored = holdout_predictions(workspace.store.get(record["holdout"]), "binary-classification", ("no", "yes"))
    truth = [table[row]["churned"] == "yes" for row in rows.tolist()]
    weight = [float(table[row]["survey_weight"]) for row in rows.tolist()]
    assert auc["value"] == pytest.approx(roc_auc_score(truth, stored.y_score, sample_weight=weight), rel=1e-9)
    assert f"= weight of a row: {SAID}" in shop.ok("reproduce", "churn", "1").out
    shop.reconcile("staging")
    assert SAID in git(shop.origin, "show", "main:models/churn/releases/1/MODEL_CARD.md")
    assert SAID in shop.ok("audit", "release", "churn", "1").out
    assert SAID in shop.ok("status", "churn").out

    (shop.root / "models" / "churn" / "train.py").write_text(BOOSTED, encoding="utf-8")
    text = (shop.root / "models" / "churn" / "model.yaml").read_text(encoding="utf-8")
    before, _, after = text.partition("    parameters: {")
    spec_text = before + "    parameters: {}" + after.partition("}")[2]
    (shop.root / "models" / "churn" / "model.yaml").write_text(spec_text, encoding="utf-8")
    judged = released(shop, "second")
    (compared,) = (line for line in judged.splitlines() if "improvement of roc-auc over release 1" in line)
    assert SAID in compared

    number = json.loads(shop.ok("promote", "churn", "--release", "1", "--to", "production", "--yes", "-o", "json").out)
    pull = next(
        one for one in json.loads(shop.ok("pr", "list", "-o", "json").out) if one["number"] == number["pullRequest"]
    )
    assert "weighted by `survey_weight`" in pull["body"]
    shop.accept(number["pullRequest"])
    shop.reconcile()
    ((status, refused),) = ask(shop, people(1, 5), survey_weight=2.0)
    assert (status, "'survey_weight' is not an input of this model" in refused["error"]) == (400, True)
    answers = ask(shop, people(250, 7))
    assert {status for status, _ in answers} == {200}
    shop.at("2026-03-05T12:00:00Z")
    watched = shop.ok("monitor", "production", "--yes", codes=(0, 1)).out
    assert "250 of 250 predictions have a label, each counted once: labels bring no survey_weight" in watched
