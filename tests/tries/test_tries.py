"""Variants are tried side by side, every run is kept, none is trained twice, and the best becomes a branch."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from git_world import git
from modelops import training
from modelops.changes import building
from modelops.changes.tries.branching import branch_of
from modelops.changes.tries.comparing import beside, best, chosen_metric, find_runs
from modelops.changes.tries.trying import at_once, with_parameters
from modelops.changes.tries.variants import MOST, grid, require_known, variants
from modelops.errors import Exit, ModelOpsError
from modelops.metrics import paired_difference
from modelops.repository.names import check_branch
from modelops.training.answers import answers_of
from tries.conftest import MODEL, Place
from waiting import wait_for


def test_a_grid_is_every_combination_in_types_of_files() -> None:
    """Values are read as YAML reads them: numbers, words, quoted texts; twice the same is once."""
    found = grid(["depth=3,5", "rate=0.1", 'kind="1",a b,true,null,1,1'])
    assert len(found) == 2 * 5
    assert found[0] == {"depth": 3, "rate": 0.1, "kind": "1"}
    assert [one["kind"] for one in found[:5]] == ["1", "a b", True, None, 1]
    assert grid([]) == ({},)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (["depth"], "bad-setting"),
        (["=3"], "bad-setting"),
        (["depth="], "bad-setting"),
        (["depth=[1]"], "bad-setting"),
        (["depth={a: 1}"], "bad-setting"),
        (["depth=1", "depth=2"], "bad-setting"),
        (["depth=1]"], "bad-setting"),
        ([f"depth={','.join(map(str, range(MOST + 1)))}"], "too-many-variants"),
        ([f"{name}={','.join(map(str, range(9)))}" for name in "abcdefghijklmnop"], "too-many-variants"),
        (["depth=1]\nother: [2"], "bad-setting"),
    ],
)
def test_what_is_no_setting_is_asked_wrongly(settings: list[str], code: str) -> None:
    """Each is refused before anything is trained."""
    with pytest.raises(ModelOpsError) as caught:
        variants(settings, None, {})
    assert (caught.value.first.code, caught.value.exit) == (code, Exit.USAGE)


@pytest.mark.parametrize("name", ["HEAD", "head", "refs/heads/a", "", "../x", "-d", "a..b"])
def test_a_branch_has_a_name_that_git_takes_for_no_other_thing(name: str) -> None:
    """Also those that git would write and could not find again."""
    with pytest.raises(ModelOpsError) as caught:
        check_branch(name)
    assert (caught.value.first.code, caught.value.exit) == ("bad-ref", Exit.USAGE)
    assert check_branch("try-fraud-4") == "try-fraud-4"


def test_the_model_as_it_is_comes_first_and_once(tmp_path: Path) -> None:
    """What sets nothing otherwise is the model as it is; a file and a grid are crossed; 1 is not 1.0."""
    file = tmp_path / "variants.yaml"
    file.write_text("variants:\n  - {depth: 3}\n  - {depth: 5, rate: 0.1}\n")
    found = variants(["rate=0.1,0.2"], file, {"depth": 3, "rate": 0.1})
    assert found == ({}, {"rate": 0.2}, {"depth": 5}, {"depth": 5, "rate": 0.2})
    assert variants(["depth=3.0"], None, {"depth": 3}) == ({}, {"depth": 3.0})


@pytest.mark.parametrize(
    ("text", "line"),
    [("variants: []\n", 1), ("- {depth: 3}\n", 1), ("variants:\n  - {depth: 3}\n  - [4]\n", 3), ("a: {b\n", None)],
)
def test_a_file_without_variants_is_wrong_at_its_line(tmp_path: Path, text: str, line: int | None) -> None:
    """The list that is missing, an entry that is no mapping, and what is no YAML have their place."""
    file = tmp_path / "variants.yaml"
    file.write_text(text)
    with pytest.raises(ModelOpsError) as caught:
        variants([], file, {})
    where = caught.value.first.location
    assert where is not None
    assert where.path == str(file)
    assert line is None or where.line == line


def test_a_parameter_that_nobody_reads_is_refused() -> None:
    """A name that is neither in model.yaml nor in the code would change nothing; code that hands on all knows any."""
    code = {"train.py": b"def train(features, target, parameters, seed):\n    return parameters.get('trees', 5)\n"}
    require_known([{"trees": 3}, {"depth": 1}], {"depth": 3}, code)
    with pytest.raises(ModelOpsError, match="would change nothing") as caught:
        require_known([{"detph": 3}], {"depth": 3}, code)
    assert caught.value.first.hint == "did you mean 'depth'?"
    require_known([{"anything": 3}], {}, {"train.py": b"model = Booster(**parameters)"})


def test_as_many_at_once_as_the_machine_has_room_for() -> None:
    """At least one, never more than processors, never more than fit into memory."""
    assert at_once(1, 1 << 60) == 1
    assert at_once(1_000, 1 << 20) == 1
    assert at_once(1, 1) >= at_once(2, 1) >= 1


def each_variant_is_a_run_held_against_the_model_as_it_is(place: Place) -> None:
    """Builds and failures are in the ledger; differences are those of the pairs on the same test rows."""
    present, weak, broken = place.tried
    assert present.record is not None
    assert weak.record is not None
    assert broken.record is None
    assert broken.problems[0].code == "training-failed"
    runs = find_runs(place.workspace, [one.run for one in place.tried if one.run is not None])
    assert [one.outcome for one in runs] == ["ok", "ok", "failed"]
    assert [one.parameters["C"] for one in runs] == [1.0, 0.0001, -1.0]
    store = place.workspace.store
    found = beside(store, runs)
    (rows, first), (other_rows, second) = (answers_of(store, one) for one in (present.record, weak.record))
    assert np.array_equal(rows, other_rows)
    told = found[1].differences["log-loss"]
    expected = paired_difference("log-loss", second, first)
    assert expected is not None
    assert (told.value, told.lower, told.upper) == (expected.value, expected.lower, expected.upper)
    assert told.lower > 0
    chosen = best(found, "log-loss")
    assert chosen is not None
    assert chosen.run.id == present.run
    assert chosen_metric("binary-classification", None) == "roc-auc"


def nothing_is_trained_twice(place: Place) -> None:
    """The same variants again are taken from the store; a failed one fails again, and is a run again."""
    before = {one.id for one in training.runs(place.workspace.ledger)}
    again = place.attempt({}, {"C": 0.0001})
    assert [one.cached for one in again] == [True, True]
    new = [one for one in training.runs(place.workspace.ledger) if one.id not in before]
    assert {one.outcome for one in new} == {"cached"}


def the_branch_of_a_run_builds_what_was_measured(place: Place) -> None:
    """One commit that changes one line; said twice it is made once, and its build has the run's inputs."""
    workspace = place.workspace
    (run,) = find_runs(workspace, [place.tried[1].run or 0])
    made = branch_of(workspace, run, "weaker")
    again = branch_of(workspace, run, "weaker")
    assert (made.commit, again.made) == (again.commit, False)
    lines = git(place.root, "diff", "--unified=0", "main", "weaker").splitlines()
    assert [one for one in lines if one[:1] in "+-" and not one.startswith(("+++", "---"))] == [
        "-    parameters: {C: 1.0, max_iter: 200}",
        "+    parameters: {C: 0.0001, max_iter: 200}",
    ]
    graph = workspace.graph(made.commit)
    assert training.inputs_digest(building.request(workspace, graph, MODEL, made.commit)) == run.inputs
    assert git(place.root, "branch", "--show-current").strip() == "main"
    assert not git(place.root, "status", "--porcelain")


def a_branch_that_would_build_something_else_is_refused(place: Place) -> None:
    """Of the model as it is, over another branch, and of a run whose code is not that of the commit."""
    workspace = place.workspace
    present, weak = find_runs(workspace, [place.tried[0].run or 0, place.tried[1].run or 0])
    with pytest.raises(ModelOpsError, match="nothing-to-change"):
        branch_of(workspace, present, None)
    with pytest.raises(ModelOpsError, match="branch-exists"):
        branch_of(workspace, weak, "main")
    with pytest.raises(ModelOpsError, match="unknown-run"):
        find_runs(workspace, [10**6])
    with pytest.raises(ModelOpsError, match="other-inputs") as caught:
        branch_of(workspace, replace(weak, inputs=f"sha256:{'0' * 64}"), None)
    assert caught.value.exit is Exit.NO


def parameters_of_a_wrong_type_are_refused(place: Place) -> None:
    """What no file could say is no variant either."""
    head = place.workspace.repository.head()
    wanted = building.request(place.workspace, place.workspace.graph(head), MODEL, head)
    assert with_parameters(wanted, {"C": 2.0}, only=True).model.spec.training.parameters == {"C": 2.0}
    with pytest.raises(ValueError, match="parameters"):
        with_parameters(wanted, {"C": [1]})  # type: ignore[dict-item]


def verbs_tell_what_the_ledger_has(place: Place) -> None:
    """`runs list` and `runs compare` read it; a run that is not there is asked wrongly."""
    listed = json.loads(place.run("runs", "list", MODEL, "--failed", "-o", "json"))
    assert {one["outcome"] for one in listed} == {"failed"}
    first, second = (str(one.run) for one in place.tried[:2])
    told = place.run("runs", "compare", first, second)
    assert f"minus run {first}" in told
    assert "0.0001" in told
    place.run("runs", "compare", "1000000", code=2)
    place.run("runs", "compare", str(first), "--by", "nothing", code=2)


@pytest.mark.slow
def test_variants_are_tried_compared_and_made_a_branch(place: Place) -> None:
    """The whole way of one set of variants; each step is a function above, whose docstring says what holds."""
    each_variant_is_a_run_held_against_the_model_as_it_is(place)
    nothing_is_trained_twice(place)
    the_branch_of_a_run_builds_what_was_measured(place)
    a_branch_that_would_build_something_else_is_refused(place)
    parameters_of_a_wrong_type_are_refused(place)
    verbs_tell_what_the_ledger_has(place)


@pytest.mark.slow
def test_interrupted_it_leaves_nothing_and_goes_on(place: Place) -> None:
    """SIGTERM ends every build of it, no run is recorded as failed, and the same line finishes what was begun."""
    words = [sys.executable, "-m", "modelops", "try", MODEL, "--set", "C=3.0,4.0,5.0,6.0"]
    scratch = place.workspace.state / "scratch"
    with subprocess.Popen(words, cwd=place.root, env=dict(place.environ), stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: list(scratch.glob("build-*/training")))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == Exit.INTERRUPTED, said
    mine = [one for one in training.runs(place.workspace.ledger) if one.parameters.get("C") in (3.0, 4.0, 5.0, 6.0)]
    assert not [one for one in mine if one.outcome == "failed"]
    assert not list(scratch.glob("build-*"))
    again = place.attempt({"C": 3.0}, {"C": 4.0}, {"C": 5.0}, {"C": 6.0})
    assert all(one.record is not None for one in again)
