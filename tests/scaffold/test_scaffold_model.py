"""Models drafted from tables nobody has seen: valid, explained, and better than chance."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from modelops.artifacts import frame
from modelops.errors import ModelOpsError
from modelops.scaffold.model import Draft, Wish, draft_model
from modelops.spec.load import load_resource
from modelops.training.split import seeded

WISH = Wish(name="churn", target="churned", snapshot="initial", owner="growth", source="customers.csv")


def customers(rows: int = 600, seed: int = 3) -> pa.Table:
    """Return a table with every kind of column that a customer export has."""
    rng = np.random.default_rng(seed)
    spend = rng.gamma(2.0, 40.0, rows).round(2)
    plan = rng.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1])
    logit = -2.0 + 0.02 * spend + 1.2 * (plan == "basic")
    churned = rng.random(rows) < 1 / (1 + np.exp(-logit))
    table = {
        "Customer ID": [f"u-{number:05d}" for number in range(rows)],
        "monthly spend €": [None if rng.random() < 0.1 else float(value) for value in spend],
        "plan": plan.tolist(),
        "auto renew": rng.choice(["Yes", "No"], rows).tolist(),
        "visits": rng.integers(0, 90, rows).tolist(),
        "city": [f"city {number}" for number in rng.integers(0, 60, rows)],
        "signed_up": [f"2023-{1 + day % 12:02d}-{1 + day % 28:02d}" for day in range(rows)],
        "gender": rng.choice(["f", "m"], rows).tolist(),
        "leer": [None] * rows,
        "version": ["v1"] * rows,
        "churned": np.where(churned, "yes", "no").tolist(),
    }
    return pa.table({name: pa.array(values) for name, values in table.items()})


def draft(table: pa.Table, **wishes: object) -> Draft:
    return draft_model(table, Wish(**{**vars_of(WISH), **wishes}), ("staging", "production"))  # type: ignore[arg-type]


def vars_of(wish: Wish) -> dict[str, object]:
    return {name: getattr(wish, name) for name in Wish.__dataclass_fields__}


def trained_score(found: Draft, table: pa.Table, folder: Path) -> float:
    """Train the drafted train.py on three quarters of the rows; return accuracy, or R², on the others."""
    script = folder / "train.py"
    script.write_bytes(found.files[f"models/{WISH.name}/train.py"])
    train = runpy.run_path(str(script))["train"]
    spec = found.spec
    table = table.filter(table[spec.data.target].is_valid())
    features = frame(table, spec.data.features)
    target = pd.Series(table[spec.data.target].to_pylist())
    cut = len(target) * 3 // 4
    model = train(features[:cut], target[:cut], dict(spec.training.parameters), spec.training.seed)
    return float(model.score(features[cut:], target[cut:]))


def test_the_spec_says_what_was_inferred_and_why() -> None:
    """Every decision stands in model.yaml, next to what it is about."""
    found = draft(customers())
    text = found.files["models/churn/model.yaml"].decode()
    spec = load_resource(text.encode(), "models/churn/model.yaml").spec
    types = {feature.name: feature.type for feature in spec.data.features}
    assert types == {
        "monthly spend €": "number",
        "plan": "category",
        "auto renew": "boolean",
        "visits": "integer",
        "city": "category",
        "gender": "category",
    }
    assert (spec.task, spec.data.positive, spec.data.id) == ("binary-classification", "yes", "Customer ID")
    assert spec.training.split.type == "hash"
    assert [feature.nullable for feature in spec.data.features][:2] == [True, False]
    for remark in (
        '"leer": every value is missing',
        "version: it has one value only",
        "signed_up: a date",
        "data.sensitive",
    ):
        assert remark.replace('"leer"', "leer") in text.replace('"', "")


def test_the_drafted_pipeline_learns(tmp_path: Path) -> None:
    """Training on the drafted features beats the majority label, unknown categories and gaps included."""
    table = customers(1200)
    majority = max(table["churned"].value_counts().field("counts").to_pylist()) / table.num_rows
    assert trained_score(draft(table), table, tmp_path) > majority + 0.02


def test_the_drafted_regression_learns(tmp_path: Path) -> None:
    """A numeric target of thousands of values is regressed on."""
    rng = np.random.default_rng(0)
    size, rooms = rng.uniform(20, 200, 800), rng.integers(1, 7, 800)
    price = (3000 * size + 20000 * rooms + rng.normal(0, 20000, 800)).round()
    table = pa.table({"size": size, "rooms": rooms, "churned": price.astype(np.int64)})
    found = draft(table)
    assert found.spec.task == "regression"
    assert trained_score(found, table, tmp_path) > 0.8


def test_wide_data_is_drafted_and_trained(tmp_path: Path) -> None:
    """600 columns take the histogram booster and still learn."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4000, 600))
    table = pa.table(
        {f"x{number}": values[:, number] for number in range(600)} | {"churned": (values[:, 3] > 0).astype(np.int64)}
    )
    found = draft(table)
    assert len(found.spec.data.features) == 600
    assert b"HistGradientBoostingClassifier(" in found.files["models/churn/train.py"]


def test_few_rows_do_not_block_on_an_inconclusive_verdict() -> None:
    """With 40 rows nothing is settled, so only a clear failure blocks; with 2,000 an inconclusive verdict does."""
    small, large = draft(customers(40)), draft(customers(2000))
    path = "policies/gates/churn.yaml"
    assert load_resource(small.files[path], path).spec.gates[0].block == ("fail",)
    assert "inconclusive" in load_resource(large.files[path], path).spec.gates[0].block


def test_the_quality_gate_allows_what_the_data_is_like() -> None:
    """Coarse data repeats rows and features, and gaps are as large as they are: the limits say so, with the reason."""
    table = pa.table(
        {
            "colour": ["red", "blue"] * 100,
            "gap": [None, None, None, 1.0, 2.0] * 40,
            "churned": [0, 1, 1, 0, 1] * 40,
        }
    )
    path = "policies/gates/churn.yaml"
    data = draft(table).files[path]
    params = next(gate.params for gate in load_resource(data, path).spec.gates if gate.type == "data-quality")
    assert params["missing"] == {"gap": 0.7}
    assert params["maximumDuplicates"] == 1.0
    assert params["maximumLeakage"] == 1.0
    assert b"Wider than the defaults, because" in data


@pytest.mark.parametrize(("rows", "repeated"), [(20, 4), (24, 2), (40, 10), (120, 6)])
def test_the_leakage_limit_leaves_room_for_chance_in_a_small_test_part(rows: int, repeated: int) -> None:
    """However a small file is divided, repeated rows alone do not fail the gate; without any the default stands."""
    shapes = np.arange(rows)
    shapes[rows - repeated // 2 :] = shapes[: repeated // 2]
    rng = np.random.default_rng(0)
    table = pa.table(
        {"x": shapes * 1.5, "group": [f"g{shape % 3}" for shape in shapes], "churned": [0, 1] * (rows // 2)}
    )
    path = "policies/gates/churn.yaml"
    found = draft(table)
    params = next(g.params for g in load_resource(found.files[path], path).spec.gates if g.type == "data-quality")
    limit = params.get("maximumLeakage", 0.05)
    share = found.spec.training.split.test
    for seed in range(300):
        test = seeded(np.array([0, 1] * (rows // 2)), share, seed)
        assert np.isin(shapes[test], shapes[~test]).mean() <= limit
    assert limit < 1
    plain = draft(table.set_column(0, "x", pa.array(rng.normal(size=rows))))
    params = next(g.params for g in load_resource(plain.files[path], path).spec.gates if g.type == "data-quality")
    assert "maximumLeakage" not in params


def test_a_rare_label_lowers_the_threshold() -> None:
    """At one half a model of a 2 % label would never say yes."""
    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.normal(size=1000), "churned": [1] * 20 + [0] * 980})
    spec = draft(table).spec
    assert (spec.data.positive, spec.serving.threshold) == (1, 0.02)


def test_a_high_risk_model_gets_what_the_rules_ask_for() -> None:
    """Its gate policy is called so, inconclusive blocks, predictions are acknowledged, nothing retrains by itself."""
    found = draft(customers(60), risk="high")
    assert found.spec.gates == ("churn-high-risk",)
    assert found.spec.serving.log == "acknowledged"
    policy = load_resource(found.files["policies/gates/churn-high-risk.yaml"], "policies/gates/churn-high-risk.yaml")
    assert "inconclusive" in policy.spec.gates[0].block
    monitor = load_resource(found.files["models/churn/monitor.yaml"], "models/churn/monitor.yaml")
    assert monitor.spec.retraining is None


def test_the_named_time_and_id_are_used_and_are_no_features() -> None:
    """--time makes a time split, --id is taken as it is."""
    found = draft(customers(), time="signed_up", id="city")
    assert (found.spec.training.split.type, found.spec.data.id, found.spec.data.time) == ("time", "city", "signed_up")
    assert not {"city", "signed_up"} & {feature.name for feature in found.spec.data.features}


@pytest.mark.parametrize(
    ("table", "wishes", "code"),
    [
        (pa.Table.from_arrays([pa.array([1] * 20), pa.array([2] * 20)], names=["a", "a"]), {}, "duplicate-column"),
        (pa.table({"a": [1, 2] * 10}), {}, "unknown-column"),
        (pa.table({"a": [1, 2] * 10, "churned": [0, 1] * 10}), {"id": "b"}, "unknown-column"),
        (pa.table({"a": [1, 2], "churned": [0, 1]}), {}, "no-rows"),
        (pa.table({"a": [1] * 20, "churned": [0, 1] * 10}), {}, "no-features"),
        (pa.table({"churned": [0, 1] * 10}), {}, "no-features"),
        (pa.table({"a": [1, 2] * 10, "churned": [1] * 20}), {}, "target-constant"),
    ],
)
def test_a_table_that_makes_no_model_is_refused(table: pa.Table, wishes: dict[str, object], code: str) -> None:
    """Each reason has its code."""
    with pytest.raises(ModelOpsError) as caught:
        draft(table, **wishes)
    assert caught.value.problems[0].code == code


def test_hostile_names_stay_data() -> None:
    """Column names and labels with quotes, colons, hashes and line separators neither break nor extend the YAML."""
    names = ["a: b", "# c", "d'e\"f", "{g}", "- h", "yes", "1e3", "i\u2028j", "ключ", "🙂", "null"]
    rng = np.random.default_rng(0)
    table = pa.table({name: rng.normal(size=100) for name in names} | {"churned": ["x: y", "#z"] * 50})
    found = draft(table)
    spec = load_resource(found.files["models/churn/model.yaml"], "models/churn/model.yaml").spec
    assert [feature.name for feature in spec.data.features] == [name for name in names if "\u2028" not in name]
    assert spec.data.positive in ("x: y", "#z")
