"""Models drafted from tables nobody has seen: valid, explained, and better than chance."""

from __future__ import annotations

import datetime as dt
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from modelops import strategies
from modelops.artifacts import columns, frame
from modelops.artifacts.fitted import own_threshold
from modelops.artifacts.onnx_export import export_onnx
from modelops.artifacts.signature import Signature, inputs_of
from modelops.errors import ModelOpsError
from modelops.scaffold.model import Draft, Wish, draft_model
from modelops.spec.load import load_resource


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Train as a build does: with one thread, however many processors there are."""
    with threadpool_limits(1):
        yield


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
        {f"x{number}": values[:, number] for number in range(600)}
        | {"churned": (values[:, 3] + 0.1 * rng.normal(size=4000) > 0).astype(np.int64)}
    )
    found = draft(table)
    assert len(found.spec.data.features) == 600
    assert b"HistGradientBoostingClassifier(" in found.files["models/churn/train.py"]


def shops(rows: int, task: str, seed: int = 0) -> pa.Table:
    """Return a table with a rare class, many categories of few rows each, and gaps."""
    rng = np.random.default_rng(seed)
    town = rng.integers(0, 150, rows)
    effect, size = rng.normal(size=150)[town], rng.normal(size=rows).round(2)
    value = effect + size + 0.3 * rng.normal(size=rows)
    targets = {
        "regression": value.round(3),
        "binary-classification": np.where(value > 2.2, "yes", "no"),
        "multiclass-classification": np.where(np.arange(rows) < 3, "odd", np.where(value > 0, "high", "low")),
    }
    return pa.table(
        {
            "town": [f"t{each:03d}" if each else None for each in town],
            "kind": rng.choice(["a", "b", "c"], rows),
            "size": pa.array(size, mask=rng.random(rows) < 0.1),
            "churned": targets[task],
        }
    )


@pytest.mark.parametrize("task", ["regression", "binary-classification", "multiclass-classification"])
def test_what_is_drafted_for_many_rows_is_served_from_onnx(task: str, tmp_path: Path) -> None:
    """Categories as such, gaps, values that nobody has seen, and a class of three rows: trained, and exact in ONNX."""
    table = shops(900, task)
    found = draft(table)
    spec = found.spec
    assert (spec.task, spec.training.parameters["early_stopping"]) == (task, True)
    (tmp_path / "train.py").write_bytes(found.files["models/churn/train.py"])
    train = runpy.run_path(str(tmp_path / "train.py"))["train"]
    codes = table["churned"].to_pylist()
    target = [label == "yes" for label in codes] if task == "binary-classification" else codes
    parameters = dict(spec.training.parameters) | {"max_iter": 30}
    estimator = train(frame(table, spec.data.features), pd.Series(target), parameters, spec.training.seed)
    classes = () if task == "regression" else tuple(sorted(set(codes)))
    signature = Signature(
        model="churn", task=spec.task, features=inputs_of(spec), target="churned", positive=spec.data.positive,
        classes=classes, threshold=0.5, engine="sklearn",
    )  # fmt: skip
    export = export_onnx(estimator, signature, columns(table.slice(600), inputs_of(spec)))
    assert (bool(export.data), export.reason) == (True, "")


def test_training_chooses_the_threshold_where_positives_are_rare(tmp_path: Path) -> None:
    """By the best F1 on rows held back: on rows that nobody has seen it is nearly the best that any would reach."""
    table = shops(2000, "binary-classification")
    found = draft(table)
    spec = found.spec
    assert (spec.training.parameters["tune_threshold"], spec.serving.threshold) == ("f1", 0.5)
    assert b"`build` shows what it answers" in found.files["models/churn/model.yaml"]
    (tmp_path / "train.py").write_bytes(found.files["models/churn/train.py"])
    train = runpy.run_path(str(tmp_path / "train.py"))["train"]
    features = frame(table, spec.data.features)
    truth = pd.Series(np.array(table["churned"].to_pylist()) == "yes").astype(int)
    parameters = dict(spec.training.parameters) | {"max_iter": 30}
    model = train(features[:1400], truth[:1400], parameters, spec.training.seed)
    threshold = own_threshold(model)
    assert threshold is not None
    scores = model.predict_proba(features[1400:])[:, 1]
    reached = [f1_score(truth[1400:], scores >= at) for at in (threshold, *np.linspace(0.02, 0.98, 49))]
    assert reached[0] >= 0.85 * max(reached)
    assert "tune_threshold" not in draft(customers(1200)).spec.training.parameters


def test_a_class_too_rare_to_be_measured_is_judged_by_the_share_of_right_answers() -> None:
    """More than who always names the most frequent class, with all test rows behind it."""
    found = draft(shops(900, "multiclass-classification"))
    policy = load_resource(found.files["policies/gates/churn.yaml"], "policies/gates/churn.yaml").spec
    assert policy.gates[0].params["metric"] == "accuracy"
    assert policy.gates[0].params["minimum"] == pytest.approx(found.target.majority, abs=1e-4)
    assert "no-data" in policy.gates[0].block
    monitor = load_resource(found.files["models/churn/monitor.yaml"], "models/churn/monitor.yaml").spec
    assert monitor.performance is not None
    assert monitor.performance.metric == "accuracy"


def test_the_rollout_plan_says_what_it_can_see() -> None:
    """The smallest rise in errors that its first step sees, and how seldom a doubling; what is assumed is called so."""
    path = "models/churn/rollout.yaml"
    assumed = draft(customers()).files[path]
    expect = load_resource(assumed, path).spec.expect
    assert (expect.requests_per_hour, expect.on_too_short) == (100, "warn")
    assert b"assumed: nobody knows it yet" in assumed
    plan = load_resource(assumed, path).spec
    bound = strategies.bind(plan.strategy)
    first = bound.module.forecast(bound.params, plan.expect)[0]
    assert first.chance >= expect.power
    assert f"sees {expect.effect:g} times as many with a chance of {first.chance:.0%}".encode() in assumed
    instants = pa.array([60_000_000 * row for row in range(600)], pa.timestamp("us", "UTC"))
    told = draft(customers().append_column("seen", instants), time="seen").files[path]
    assert load_resource(told, path).spec.expect.requests_per_hour == 60
    assert b"as the rows of the data came" in told


def test_few_rows_do_not_block_on_an_inconclusive_verdict() -> None:
    """With 40 rows nothing is settled: only a clear failure and no data block; with 2,000 an inconclusive verdict."""
    small, large = draft(customers(40)), draft(customers(2000))
    path = "policies/gates/churn.yaml"
    assert load_resource(small.files[path], path).spec.gates[0].block == ("fail", "no-data")
    assert "inconclusive" in load_resource(large.files[path], path).spec.gates[0].block


def test_the_quality_gate_allows_what_the_data_is_like() -> None:
    """Coarse data repeats rows and features, and gaps are as large as they are: the limits say so, with the reason."""
    table = pa.table(
        {
            "colour": ["red", "blue"] * 100,
            "gap": [None, None, None, 1.0, 2.0] * 40,
            "churned": [0, 1, 1, 0, 1, 1, 0, 0, 1, 0] * 20,
        }
    )
    path = "policies/gates/churn.yaml"
    data = draft(table).files[path]
    params = next(gate.params for gate in load_resource(data, path).spec.gates if gate.type == "data-quality")
    assert params["missing"] == {"gap": 0.7}
    assert params["maximumDuplicates"] == 1.0
    assert params["maximumLeakage"] == 1.0
    assert b"Wider than the defaults, because" in data


def quality(found: Draft) -> dict[str, object]:
    path = "policies/gates/churn.yaml"
    return next(g.params for g in load_resource(found.files[path], path).spec.gates if g.name == "data-quality")


@pytest.mark.parametrize("times", [2, 8])
def test_no_limit_is_fitted_to_copies_of_rows(times: int) -> None:
    """Rows that repeat beyond what coarse values account for are said, and the limits for them stay as they are."""
    rng = np.random.default_rng(9)
    rows = np.tile(np.column_stack([rng.normal(size=(150, 3)).round(1), rng.integers(0, 2, 150)]), (times, 1))
    columns = {name: rows[:, place] for place, name in enumerate("abc")}
    found = draft(pa.table({**columns, "churned": rows[:, 3].astype(np.int64)}))
    assert quality(found).get("maximumLeakage", 0.05) <= 0.1
    policy = load_resource(found.files["policies/gates/churn.yaml"], "policies/gates/churn.yaml").spec
    assert "maximumDuplicates" not in quality(found)
    assert "fail" in next(gate.block for gate in policy.gates if gate.name == "data-quality")
    assert f"{1 - 1 / times:.0%} of the rows repeat another" in found.warnings[0]


def test_rows_of_few_possible_values_repeat_without_being_copies() -> None:
    """What columns shuffled by themselves repeat as well is the nature of the table; nothing is said of it."""
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "class": rng.choice(["1st", "2nd", "3rd"], 1300),
            "age": rng.choice(["adult", "child"], 1300),
            "churned": rng.integers(0, 2, 1300),
        }
    )
    found = draft(table)
    assert found.warnings == ()
    assert quality(found)["maximumDuplicates"] == 1.0
    assert b"by the few values that columns have" in found.files["policies/gates/churn.yaml"]


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


def test_groups_whose_rows_are_like_those_of_others_leave_equal_rows_together() -> None:
    """A split by groups would test rows that training has seen of another group, and fail the gate that init writes."""
    places = np.arange(1200)
    table = pa.table(
        {
            "student_id": places // 12 + 1000,
            "lecturer": places * 7 % 29,
            "dept": places * 5 % 6,
            "rating": np.where(places * 11 % 17 > 8, "good", "bad"),
        }
    )
    found = draft(table, target="rating")
    split = found.spec.training.split
    assert (split.type, split.equal_rows, found.spec.data.id) == ("random", "together", None)
    assert any("--id student_id keeps all rows of one" in hint for hint in found.roles.hints)
    asked = draft(table, target="rating", id="student_id")
    assert (asked.spec.training.split.type, asked.spec.data.id) == ("hash", "student_id")


def test_a_table_sorted_by_its_one_measure_learns_from_it() -> None:
    """Doses from 0 to 59, each with who lived and who died: the dose is a feature, whatever the order of rows."""
    table = pa.table({"dose": [k // 2 for k in range(120)], "churned": ["yes", "no"] * 60})
    found = draft(table)
    assert [feature.name for feature in found.spec.data.features] == ["dose"]
    assert b"if it numbers what they are about, say --id dose" in found.files["models/churn/model.yaml"]
    assert found.spec.data.id is None


@pytest.mark.parametrize(
    ("wishes", "named", "way"),
    [
        ({}, "number: identifies a row", "--feature number"),
        ({"id": "number"}, "number: identifies a row", "a model learns"),
        ({"weight": "number"}, "number: what each row counts for", "a model learns"),
    ],
)
def test_a_table_without_features_says_what_its_columns_are(wishes: dict[str, str], named: str, way: str) -> None:
    """The error names the column that became something else, and how it is kept where nobody asked for that."""
    table = pa.table({"number": [3 + (7 * k) % 211 for k in range(120)], "churned": ["yes", "no"] * 60})
    with pytest.raises(ModelOpsError) as caught:
        draft(table, **wishes)
    assert caught.value.first.code == "no-features"
    assert named in caught.value.first.message
    assert way in (caught.value.first.hint or "")
    assert "there is no other" not in caught.value.first.message


def test_a_time_alone_is_called_the_time_and_no_way_is_promised_that_is_none() -> None:
    """Nothing was left out, so no option keeps it."""
    days = pa.array([dt.datetime(2024, 1, 1) + dt.timedelta(days=n) for n in range(120)], pa.timestamp("us"))
    with pytest.raises(ModelOpsError) as caught:
        draft(pa.table({"day": days, "churned": ["yes", "no"] * 60}), time="day")
    assert "day: the time of the rows" in caught.value.first.message
    assert "--feature" not in (caught.value.first.hint or "")


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
