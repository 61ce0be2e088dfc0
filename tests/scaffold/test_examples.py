"""The project's own models: their data is what their docstrings and snapshots say."""

from __future__ import annotations

import hashlib
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from modelops import summaries
from modelops.artifacts import frame
from modelops.drift import psi
from modelops.scaffold.files import project_folder, read_tree
from modelops.spec.graph import build_graph
from modelops.spec.load import load_resource

FRAUD = project_folder() / "models" / "fraud-detection"


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(FRAUD / "generate.py"))


@pytest.fixture(scope="module")
def months(generator: dict[str, Any]) -> dict[str, pd.DataFrame]:
    return {
        name: generator["month"](name) for name in ("2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-07")
    }


def test_the_project_s_own_files_are_right() -> None:
    """Models, policies and rules of this repository hold together, without a warning."""
    project = project_folder()
    files = {
        f"{part}/{path}": data
        for part in ("models", "policies")
        for path, data in read_tree(project / part).items()
        if path.endswith(".yaml")
    }
    graph = build_graph(files)
    assert {"diabetes-progression", "fraud-detection", "tumor-diagnosis"} <= set(graph.models)
    assert graph.warnings == ()


def test_the_generated_bytes_are_those_of_the_snapshot(generator: dict[str, Any], tmp_path: Path) -> None:
    """A month is a function of its name and the seed: the same bytes as when the snapshot was taken."""
    model = load_resource((FRAUD / "model.yaml").read_bytes(), "models/fraud-detection/model.yaml").spec
    path = f"models/fraud-detection/data/{model.data.snapshot}.yaml"
    snapshot = load_resource((project_folder() / path).read_bytes(), path).spec
    for file in snapshot.files:
        generator["write"](generator["month"](Path(file.path).stem), tmp_path / file.path)
        assert hashlib.sha256((tmp_path / file.path).read_bytes()).hexdigest() == file.sha256


def test_another_seed_gives_other_transactions_under_other_ids(
    generator: dict[str, Any], months: dict[str, pd.DataFrame]
) -> None:
    """Replayed traffic never repeats a row that a model was trained on."""
    other = generator["month"]("2026-01", seed=1)
    assert not set(other["transaction_id"]) & set(months["2026-01"]["transaction_id"])
    assert (other["amount"].to_numpy() != months["2026-01"]["amount"].to_numpy()).mean() > 0.9


@pytest.mark.parametrize(("name", "regime"), [("2026-02", "before"), ("2026-04", "after")])
def test_the_stated_truth_is_in_the_data(
    generator: dict[str, Any], months: dict[str, pd.DataFrame], name: str, regime: str
) -> None:
    """Fraud rate and the share of international transactions are as stated, within sampling error."""
    truth = generator["truth"]()[regime]
    rows = months[name]
    honest = rows[rows["is_fraud"] == 0]
    assert rows["is_fraud"].mean() == pytest.approx(truth["fraud_rate"], abs=4 * np.sqrt(0.07 * 0.93 / len(rows)))
    assert honest["international"].mean() == pytest.approx(truth["international_share"], abs=4 * np.sqrt(0.25 / 4600))


def test_a_new_channel_appears_when_it_is_said_to(generator: dict[str, Any], months: dict[str, pd.DataFrame]) -> None:
    """No earlier row has the channel that July brings."""
    new = generator["truth"]()["new_channel"]["channel"]
    assert new in set(months["2026-07"]["channel"])
    assert all(new not in set(rows["channel"]) for name, rows in months.items() if name < "2026-07")


def score(reference: pd.DataFrame, window: pd.DataFrame, column: str) -> float:
    kind = "number" if reference[column].dtype.kind in "if" else "category"
    values = [pa.chunked_array([pa.array(rows[column].to_list())]) for rows in (reference, window)]
    if kind == "category":
        values = [chunk.cast(pa.string()) for chunk in values]
    fitted = psi.fit(psi.Params(), summaries.summarise(values[0], kind))
    return psi.score(psi.Params(), fitted, psi.count(fitted, values[1]), 0.01).value


def test_april_drifts_in_the_stated_features_and_march_does_not(
    generator: dict[str, Any], months: dict[str, pd.DataFrame]
) -> None:
    """PSI above 0.25 where the generator says so, below 0.1 before and elsewhere."""
    quarter = pd.concat([months["2026-01"], months["2026-02"], months["2026-03"]], ignore_index=True)
    drifted = generator["truth"]()["drifted_features"]
    assert {name: score(quarter, months["2026-04"], name) > 0.25 for name in drifted} == dict.fromkeys(drifted, True)
    assert all(score(quarter, months["2026-03"], name) < 0.1 for name in drifted)
    assert score(quarter, months["2026-04"], "amount") < 0.25


@pytest.mark.slow
def test_recall_falls_in_april_and_retraining_recovers_it(months: dict[str, pd.DataFrame]) -> None:
    """The new tactic halves recall; a model that has seen April finds May's fraud again."""
    path = "models/fraud-detection/model.yaml"
    spec = load_resource((project_folder() / path).read_bytes(), path).spec
    train = runpy.run_path(str(FRAUD / "train.py"))["train"]

    def fitted(*names: str) -> Any:
        rows = pd.concat([months[name] for name in names], ignore_index=True)
        parameters = dict(spec.training.parameters)
        return train(features(rows), rows["is_fraud"], parameters, spec.training.seed)

    def features(rows: pd.DataFrame) -> pd.DataFrame:
        return frame({name: rows[name].to_list() for name in rows.columns}, spec.data.features)

    def recall(model: Any, name: str) -> float:
        rows = months[name]
        found = model.predict_proba(features(rows))[:, 1] >= spec.serving.threshold
        return float(found[rows["is_fraud"].to_numpy() == 1].mean())

    before = fitted("2026-01", "2026-02")
    assert recall(before, "2026-03") > 0.75
    assert 0.3 < recall(before, "2026-04") < 0.6
    after = fitted("2026-01", "2026-02", "2026-03", "2026-04")
    assert recall(after, "2026-05") > 0.75
