"""What people read is compared whole, and no value that callers or files bring becomes markup or a control."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelops.views
from conftest import Golden
from modelops.audit import LogAnswer, Reexplained
from modelops.data.comparison import Comparison
from modelops.drift import Score
from modelops.errors import Location, Problem
from modelops.markup import escape, plain
from modelops.rollouts.simulation import Run, Simulation, World
from modelops.rollouts.worlds import Truth
from modelops.scaffold.result import Result
from modelops.serving.client.labels import Label
from modelops.serving.client.telling import Report
from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
from modelops.spec.sweep import Findings
from modelops.views import feedback, findings, scaffolding
from modelops.views.data import comparison
from modelops.views.proofs import audit, prediction_log
from modelops.views.trials import simulation
from views import answers

FOLDER = Path(modelops.views.__path__[0])
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
ANSWERS = {
    "audit-prediction": answers.PREDICTION,
    "audit-release": answers.RELEASE,
    "audit-environment": answers.ENVIRONMENT,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_auditor_is_told_everything_in_plain_text(name: str, golden: Golden) -> None:
    """Each answer reads as its golden file; what a caller sent to the server cannot steer the auditor's terminal."""
    text = audit.text(ANSWERS[name])
    assert not UNSEEN.search(text)
    golden(f"{name}.txt", text + "\n")
    golden(f"{name}.json", dumped(audit.data(ANSWERS[name])))


@pytest.mark.parametrize(
    ("name", "answer"), [("prediction-log", answers.LOG), ("prediction-log-flawed", answers.FLAWED)]
)
def test_a_log_is_told_with_all_that_is_wrong_with_it(name: str, answer: LogAnswer, golden: Golden) -> None:
    """What is sealed, dropped by rule, not chained, and each kind of flaw has its sentence."""
    text = prediction_log.text(answer)
    assert not UNSEEN.search(text)
    golden(f"{name}.txt", text + "\n")
    golden(f"{name}.json", dumped(prediction_log.data(answer)))


def dumped(data: Any) -> str:
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def test_two_snapshots_side_by_side(golden: Golden) -> None:
    """Columns, labels and distributions that changed are listed, the most drifted first; the rest is counted."""
    scores = {
        name: Score("PSI", value, 0.01, 0.05, 0.1, 0.25, level, 1000, 900, f"PSI {value:g}, above chance (0.05)")  # type: ignore[arg-type]
        for name, value, level in (("amount", 0.12, "warn"), ("country", 0.4, "alert"), ("age", 0.01, "none"))
    }
    found = Comparison(
        same_bytes=False,
        rows=(1000, 900),
        added=(f"channel {answers.HOSTILE}",),
        removed=(),
        retyped={"age": ("integer", "number")},
        missing={"amount": (0.0, 0.051)},
        balance={"1": (0.1, 0.12)},
        drift=scores,
        exact=False,
    )
    assert not UNSEEN.search(comparison.text(found))
    golden("comparison.txt", comparison.text(found) + "\n")
    assert set(comparison.data(found)) >= {"sameBytes", "drifted", "retyped"}
    assert comparison.data(found)["drifted"] == ["country", "amount"]


def test_labels_that_were_not_taken_are_listed_without_their_controls(golden: Golden) -> None:
    """Counts come first, then at most twenty problems; ids come from a file, and are shown as plain text."""
    report = Report(Counter())
    labels = [Label(line, f"p{line}{answers.HOSTILE}", 1) for line in range(1, 31)]
    said = [
        {"accepted": line > 25, "replaced": line == 30, "code": "unknown-prediction", "error": f"no such {line}"}
        for line in range(1, 31)
    ]
    report.take(labels, said)
    text = feedback.text(report)
    assert not UNSEEN.search(text)
    golden("feedback.txt", text + "\n")
    assert feedback.data(report)["unknown"] == 25
    assert len(feedback.data(report)["problems"]) == 25


def test_findings_of_validate() -> None:
    """What is right is counted in a line; what is wrong carries its place, its code and its hint."""
    found = Findings(files=1, models=2)
    assert findings.text(found) == "1 file, 2 models: ok"
    found.problems.append(Problem("bad", "it is wrong", Location("a.yaml", 3, 5), "spec.seed", "mend it"))
    (problem,) = findings.data(found)["problems"]
    assert problem == {
        "code": "bad", "message": "it is wrong", "path": "a.yaml", "line": 3, "column": 5, "dotted": "spec.seed",
        "hint": "mend it",
    }  # fmt: skip


def test_what_was_scaffolded(golden: Golden) -> None:
    """Files, the columns that were left out with their reasons, and the next steps."""
    result = Result(
        root="/r", files=["models/churn/model.yaml"], kept=["README.md"], model="churn", task="regression",
        features={"age": "integer"}, left_out={f"c{n}": f"constant {answers.HOSTILE}" for n in range(22)},
        next=["modelops build churn"],
    )  # fmt: skip
    text = scaffolding.text(result)
    assert not UNSEEN.search(text)
    golden("scaffolding.txt", text + "\n")
    result.adopted, result.inferred = "churn.ipynb", {"estimator": f"Ridge (cell 2, line 1) {answers.HOSTILE}"}
    result.cannot = [f"cell 1, line 3: `{answers.HOSTILE}`: rows are dropped"]
    text = scaffolding.text(result)
    assert not UNSEEN.search(text)
    golden("scaffolding-adopted.txt", text + "\n")


def test_simulated_rollouts(golden: Golden) -> None:
    """Every end has its share with an interval, and the times of the runs that came to it."""
    plan = RolloutPlanSpec.model_validate({"strategy": {"type": "canary", "params": {}}}, strict=False)
    world = World(requests_per_hour=600.0, arms={"stable": Truth(), "candidate": Truth()}, every=20.0, until=10080.0)
    ends = ("promote", "promote", "promote", "rollback")
    runs = tuple(Run(ends[n % 4], "candidate", 60.0 * n, 600 * n, n, 0.0, ()) for n in range(1, 21))
    found = [("no effect", Simulation(world, runs))]
    golden("simulation.txt", simulation.text("fraud", plan, world, found) + "\n")
    assert simulation.data("fraud", plan, world, 3, found)["seed"] == 3


@given(st.text())
def test_plain_text_is_one_line_without_controls(text: str) -> None:
    """Whatever a value says, a terminal gets one line of it."""
    shown = plain(text)
    assert not UNSEEN.search(shown)
    assert "\n" not in shown


@given(st.text())
def test_escaped_text_opens_no_cell_tag_or_code(text: str) -> None:
    """In Markdown a value opens no cell, no tag, no code, no emphasis and no link."""
    shown = str(escape(text))
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[`|*\[\]]", shown)
    assert "<" not in shown
    assert ">" not in shown


def test_views_open_nothing() -> None:
    """A view takes typed answers: it imports neither the repository, the loop, nor anything that opens a file."""
    for path in FOLDER.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        assert not {name for name in imported if name.startswith(("modelops.repository", "modelops.cli"))}
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in {"open", "print"}]


def test_only_one_module_escapes_markup() -> None:
    """Markdown has one escaper, on the floor; no other module puts a backslash before a bar or a star."""
    source = FOLDER.parent
    found = [
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"replace", "sub", "translate"}
        and any(isinstance(one, ast.Constant) and one.value in ("\\|", "\\*", r"\\\g<0>") for one in node.args)
    ]
    assert set(found) == {"markup.py"}


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (5, "a +0.4"),
        ([1, 2], "a +0.4"),
        ("a", "a +0.4"),
        ({"a": "wide"}, "a +0.4"),
        ({"a": float("nan")}, "a +0.4"),
        ({"a": True}, "a +0.4"),
        ({"a": 10**400}, "a +0.4"),
        ({"a": 0.004}, "a +0.4 (± 0.004)"),
        (None, "a +0.4"),
    ],
)
def test_reasons_of_an_edited_log_are_told(errors: object, said: str) -> None:
    """Errors count only where they are finite numbers by name; contributions that are none come last, as they are."""
    parts = {"b": "much", "a": 0.4, "c": [1], "d": 10**400}
    logged = {"contributions": parts, "errors": errors, "baseline": [0.3], "value": None}
    rows = [text for _, text in prediction_log.reasons_rows(Reexplained("different", logged, "it is edited"))]
    assert rows[1:] == [said, "b much", "c [1]", f"d {10**400}"]
