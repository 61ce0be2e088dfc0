"""A wrong parameter of any plugin is told with its file, line and column, by every verb that opens the plugin."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from git_world import commit, git, nobodys_configuration
from modelops import gates, plugins
from modelops.cli import main
from modelops.errors import ModelOpsError
from modelops.plugins import Bound
from modelops.spec.kinds.gate_policy import Gate
from modelops.spec.load import load_resource
from modelops.spec.meta import Plugin
from spec_world import NAME, world

PROJECT = "policies/project.yaml"
ENVIRONMENT = "policies/environments/local.yaml"
POLICY = "policies/gates/standard.yaml"
ROLLOUT = f"models/{NAME}/rollout.yaml"
MONITOR = f"models/{NAME}/monitor.yaml"

# file, what is written there, what is written instead, and what is said of it
FAULTS = {
    "forges": (PROJECT, "{type: embedded}", "{type: embedded, params: {branch: 5}}", "5 is not a text"),
    "forges-key": (PROJECT, "{type: embedded}", "{type: embedded, params: {brunch: x}}", "'brunch' is not a key here"),
    "stores": (PROJECT, "{type: oci-layout}", "{type: oci-layout, params: {path: 5}}", "5 is not a text"),
    "stores-type": (PROJECT, "{type: oci-layout}", "{type: oci-leyout}", "'oci-leyout' is not one of the stores"),
    "targets": (
        ENVIRONMENT,
        "{type: local}",
        "{type: local, params: {port: eighty}}",
        "'eighty' is not a whole number",
    ),
    "gates": (POLICY, "minimum: 0.85", 'minimum: "0.85"', "'0.85' is not a number"),
    "strategies": (ROLLOUT, "minRequests: 200}", "min_requests: 200}", "'min_requests' is not a key here"),
    "drift": (MONITOR, "{type: psi}", "{type: psi, params: {warn: loud}}", "'loud' is not a number"),
}
MODEL = (
    ("validate",),
    ("plan",),
    ("plan", "local"),
    ("status",),
    ("build", NAME, "--dirty"),
    ("build", NAME),
    ("release", NAME, "--yes"),
    ("promote", NAME, "--to", "local", "--yes"),
    ("rollback", NAME, "-e", "local", "--reason", "x", "--yes"),
    ("reconcile", "local", "--yes"),
    ("reconcile", "local", "--stop", "--yes"),
    ("render", "local", "--target", "kubernetes", "-o", "out"),
    ("monitor", "local", "--yes"),
    ("rollout", "simulate", NAME, "--traffic", "600/h", "--runs", "1"),
    ("rollout", "status", NAME, "local"),
    ("data", "show", NAME),
    ("audit", "environment", "local", "--at", "2026-03-01"),
)
PULLS = (("pr", "list"), ("pr", "view", "1"), ("pr", "merge", "1"))
VERBS = (*MODEL, *PULLS)
OPENS = {
    "forges": {"validate", "build --dirty", "pr"},
    "forges-key": {"validate", "build --dirty", "pr"},
    "stores": {"validate", "build", "build --dirty"},
    "stores-type": {"validate", "build", "build --dirty"},
    "targets": {"validate", "build --dirty"},
    "gates": {"validate", "build --dirty"},
    "strategies": {"validate", "build --dirty", "rollout simulate"},
    "drift": {"validate", "build --dirty"},
}
"""Verbs that cannot do without the plugin; of a commit, one wrong file stalls what needs it and the rest goes on."""


@pytest.fixture(scope="module", autouse=True)
def _configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with nobodys_configuration(tmp_path_factory.mktemp("git")):
        yield


def faulty(folder: Path, fault: str) -> tuple[str, str]:
    """Write a repository with one wrong parameter, committed; return where it is and what must be said."""
    path, good, bad, said = FAULTS[fault]
    files = {name: data.decode() for name, data in world(1).items()}
    assert good in files[path]
    files[path] = files[path].replace(good, bad, 1)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.com")
    commit(folder, files, "Begin")
    lines = files[path].splitlines()
    line = next(number for number, text in enumerate(lines, 1) if bad.splitlines()[0] in text)
    return f"{path}:{line}:", said


@pytest.mark.parametrize("fault", FAULTS)
def test_every_verb_tells_where_it_is(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verbs that need the plugin say the line and exit with 3; the others do their work, and none breaks."""
    where, said = faulty(tmp_path, fault)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("MODELOPS_CLOCK", "2026-03-01T12:00:00Z")
    told = {}
    for arguments in VERBS:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said_of = capsys.readouterr()
        told[" ".join(arguments)] = (ended.value.code, said_of.err + said_of.out)
    for verb, (code, text) in told.items():
        assert code in (0, 1, 2, 3, 4), f"{verb} -> {code}: {text}"
        assert "Usage:" not in text, f"{verb}: {text}"
        must = bool({verb.split()[0], " ".join(verb.split()[:2]), verb.replace(f" {NAME}", "")} & OPENS[fault])
        if must:
            assert code == 3, f"{verb} -> {code}: {text}"
            assert re.search(rf"{re.escape(where)}\d+", text), f"{verb}: {text}"
            assert said in text, f"{verb}: {text}"


def bind(shelf: str, key: str, params: dict[str, object]) -> Bound[Any]:
    """Bind a plugin by what its shelf offers; every shelf offers that."""
    named = Gate(name="x", type=key, params=params) if shelf == "gates" else Plugin(type=key, params=params)
    return importlib.import_module(f"modelops.{shelf}").bind(named)


@pytest.mark.parametrize(("shelf", "key"), [(shelf, key) for shelf in plugins.SHELVES for key in plugins.keys(shelf)])
def test_a_key_that_does_not_exist_is_refused_by_every_plugin(shelf: str, key: str) -> None:
    """Each plugin of each shelf refuses a key that it does not have, without a file and without a traceback."""
    with pytest.raises(ModelOpsError) as caught:
        bind(shelf, key, {"notAParameter": [1]})
    problem = next(one for one in caught.value.problems if one.code == "unknown-key")
    assert (problem.dotted, problem.location) == ("params.notAParameter", None)


def test_parameters_are_validated_once_and_carried() -> None:
    """Equal parameters are one record, whoever binds them: the graph that checks them, and what then judges by them."""
    files: Mapping[str, bytes] = world(1)
    policy = load_resource(files[POLICY], POLICY)
    gate = policy.spec.gates[0]
    first = gates.bind(gate, policy, "spec.gates[0]")
    again = gates.bind(Gate(name="other", type=gate.type, params=json.loads(json.dumps(gate.params))))
    assert first.params is again.params
    assert first.key == "metric"
