"""Levels by facts of git: each criterion turns with its own fact, and what git cannot know is neither yes nor no."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from assets.kept import MODEL
from dashboard.conftest import Put
from modelops.maturity import Criterion, Maturity, Report
from modelops.maturity.model import _in_order, _way_back
from modelops.maturity.workflows import _workflow
from modelops.spec.layout import Seat
from modelops.views import maturity as view
from world.hostile import Hostile
from world.verbs import run


def told(world: Hostile, *words: str) -> dict[str, Any]:
    answer = run(world.root, world.environ(), "maturity", *words, "-o", "json")
    assert answer.code == 0, answer.err
    found: dict[str, Any] = answer.json
    return found


def held(found: dict[str, Any], key: str) -> Any:
    every = [*found["repository"]["criteria"], *(one for model in found["models"] for one in model["criteria"])]
    (mine,) = [one for one in every if one["key"] == key]
    return mine["holds"]


def test_a_team_that_does_everything_is_told_what_is_missing(on_trial: Hostile) -> None:
    """The levels of the kept story, and for what is missing a command that this program has."""
    found = told(on_trial)
    assert found["models"][0]["model"] == MODEL
    for key in ("spec", "code", "data", "release", "gates", "rollout", "promoted", "traced", "retrains"):
        assert held(found, key) is True, key
    assert held(found, "watched") is False
    assert held(found, "tests") is None
    assert held(found, "on-call") is None
    assert found["level"] == min(found["repository"]["level"], found["models"][0]["level"])
    text = run(on_trial.root, on_trial.environ(), "maturity").out
    assert text.startswith(f"level {found['level']} of 4")
    assert "not observable in git" in text
    verbs = run(on_trial.root, on_trial.environ(), "--help").out
    every = [*found["repository"]["criteria"], *found["models"][0]["criteria"]]
    commands = [one["how"].split()[1] for one in every if one["how"] and one["how"].startswith("modelops ")]
    assert commands
    assert all(f"\n  {verb} " in verbs for verb in commands)


def test_each_fact_turns_its_own_criterion(put: Put) -> None:
    """A binary file, a workflow that is gone, an unapproved commit, a broken file: each takes its criterion away."""
    world = put()
    before = told(world)
    workflows = [
        path
        for path in world.git("ls-tree", "-r", "--name-only", "origin/main").split()
        if ".github/workflows/" in path
    ]
    checks = next(path for path in workflows if "pull-request" in path)
    for key in ("no-binaries", "checked-changes", "clean-branch", "sound-files"):
        assert held(before, key) is True, key
    world.push("Add a pickle", {f"models/{MODEL}/old.pkl": b"\x80\x04"})
    world.push("Take checks away", {checks: None})
    after = told(world)
    assert [held(after, key) for key in ("no-binaries", "checked-changes", "clean-branch")] == [False, False, False]
    assert held(after, "sound-files") is True
    assert (after["repository"]["level"], after["level"]) == (0, 0)
    world.push("Slip", {f"models/{MODEL}/model.yaml": "kind: [\n"})
    broken = told(world)
    assert held(broken, "sound-files") is False
    assert broken["models"][0]["level"] == 0


def test_a_model_that_runs_nowhere_drags_nobody_down(put: Put) -> None:
    """The level of the whole is that of the models that run; one in the making has its own."""
    world = put()
    before = told(world)["level"]
    world.push("Begin another", {"models/payments/model.yaml": "apiVersion: modelops/v1\nkind: Model\n"})
    found = told(world)
    mine = next(one for one in found["models"] if one["model"] == "payments")
    assert (mine["runs"], mine["level"]) == (False, 0)
    assert min(found["repository"]["level"], before) == found["level"]


def test_a_badge_says_the_level(on_trial: Hostile, tmp_path: Path) -> None:
    """As a picture and for a badge service; another ending is refused before anything is looked at."""
    level = told(on_trial, "--badge", str(tmp_path / "m.svg"), "--badge", str(tmp_path / "m.json"))["level"]
    svg = ElementTree.fromstring((tmp_path / "m.svg").read_text())
    assert svg.attrib["aria-label"] == f"MLOps maturity: level {level}"
    said = json.loads((tmp_path / "m.json").read_text())
    assert (said["schemaVersion"], said["message"]) == (1, f"level {level}")
    answer = run(on_trial.root, on_trial.environ(), "maturity", "--badge", "level.png")
    assert (answer.code, "neither .svg nor .json" in answer.err) == (2, True)
    answer = run(on_trial.root, on_trial.environ(), "maturity", "nobody")
    assert (answer.code, "unknown-model" in answer.err) == (2, True)


def criterion(level: int, holds: bool | None) -> Criterion:
    return Criterion(level, f"{level}-{holds}", "What", holds, "found")


@pytest.mark.parametrize(
    ("criteria", "level"),
    [
        ((), 0),
        (((1, True),), 1),
        (((1, True), (1, None)), 1),
        (((1, None),), 0),
        (((1, True), (2, None), (3, True)), 1),
        (((1, True), (2, False), (3, True), (4, True)), 1),
        (((1, True), (2, True), (3, True), (4, True)), 4),
    ],
)
def test_a_level_needs_something_shown_and_nothing_missing(criteria: Any, level: int) -> None:
    """Levels are cumulative, and silence is no pass: a level of which git can show nothing is not reached."""
    found = Maturity("m", tuple(criterion(*one) for one in criteria))
    assert found.level == level
    assert all(one.level == level + 1 for one in found.missing)
    report = Report("c", found, (), frozenset())
    assert f"level {level}" in view.text(report)


COMMENTED = """on: {schedule: [{cron: 1}]}
jobs:
  a:
    steps:
      - run: |
          # modelops release
          modelops monitor x
"""
OTHERS = """on: push
jobs: {a: {steps: [{uses: modelops/release}, {run: echo not-modelops release}, 5]}}
"""


@pytest.mark.parametrize(
    ("text", "events", "verbs"),
    [
        ("on: pull_request\njobs: {a: {steps: [{run: modelops plan --since x}]}}", {"pull_request"}, {"plan"}),
        ("on: [push]\njobs: {a: {steps: [{run: 'x && modelops -C dir release --yes'}]}}", {"push"}, {"release"}),
        (COMMENTED, {"schedule"}, {"monitor"}),
        (OTHERS, {"push"}, set()),
        ("on: push\njobs: [1]", {"push"}, set()),
    ],
)
def test_a_workflow_is_read_as_the_forge_reads_it(text: str, events: set[str], verbs: set[str]) -> None:
    """Events in every spelling; verbs that steps run, none in comments, other programs or names of actions."""
    found = _workflow("x.yml", text.encode())
    assert found is not None
    assert (found.events, found.verbs) == (events, verbs)


@pytest.mark.parametrize(
    "data", [b"\x00", b"[", b"- 1", b"a: *b", b"x" * (2 << 20), b"on: !!python/object:os.system {}"]
)
def test_what_is_no_workflow_is_none(data: bytes) -> None:
    """Files that cannot be read as a workflow count for nothing, and no file is run or grows while it is read."""
    assert _workflow("x.yml", data) is None


def test_a_drill_is_where_it_harms_the_least() -> None:
    """Of the environments that have a release to go back to, the first in the order of promotion is named whole."""
    seats = [Seat("m", name) for name in ("production", "staging", "dev")]
    orders = {"production": 3, "staging": 2, "dev": 1}
    graph: Any = SimpleNamespace(
        environments={name: SimpleNamespace(spec=SimpleNamespace(order=order)) for name, order in orders.items()}
    )
    version: Any = SimpleNamespace(time=datetime(2020, 1, 1, tzinfo=UTC))
    twice, once = ((version, {"stable": 2}), (version, {"stable": 1})), ((version, {"stable": 1}),)
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def how(**moments: Any) -> str:
        known = {Seat("m", name): found for name, found in moments.items()}
        (found,) = _way_back(_in_order(graph, seats), known, now, shallow=False)
        assert found.holds is False
        return found.how

    assert how(production=twice, staging=twice, dev=once) == "modelops rollback m --environment staging --reason drill"
    assert how(production=twice, staging=twice, dev=twice).split()[4] == "dev"
    assert "modelops" not in how(production=once, dev=once)
    assert "modelops" not in how()
