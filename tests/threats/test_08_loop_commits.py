"""Threat 8: what passes itself off as a commit of the loop, with its name, its evidence or even its key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from assets.kept import MODEL
from git_world import git
from modelops.changes import building
from modelops.clock import clock_from
from modelops.evidence import Signer, generate_key
from modelops.evidence.commits import commit_signature, signed_by
from modelops.governance.judged import judgement
from modelops.project.workspace import MACHINE, Workspace
from modelops.repository import Landing, Repository
from modelops.training import inputs_digest
from world.conftest import Put
from world.hostile import PRODUCTION, Hostile

TRUST = "policies/trust.yaml"
PROMOTIONS = f"models/{MODEL}/promotions"
BACK = ("rollback", MODEL, "-e", "production", "--reason", "it harms", "--yes")


def opened(world: Hostile) -> Workspace:
    environ = world.environ()
    return Workspace(Repository.discover(world.root), environ, clock_from(environ))


def open_now(world: Hostile) -> list[tuple[str, str]]:
    """Return the rules that are broken, each with why."""
    workspace = opened(world)
    workspace.fetch()
    return [(one.code, one.reason) for one in judgement(workspace).open]


def land(world: Hostile, files: Mapping[str, str], signer: Signer | None = None) -> None:
    """Push a commit under the name of the loop, signed by a key or not."""
    workspace = opened(world)
    data = {path: text.encode() for path, text in files.items()}
    sign = None if signer is None else (lambda payload: commit_signature(payload, signer))
    landing = Landing(data, "churn release 3 is stable in production\n")
    assert workspace.repository.land("main", lambda tip: landing, MACHINE, workspace.clock(), sign=sign)


def key_of(world: Hostile) -> Signer:
    return Signer.load(world.root / ".modelops" / "keys" / "local.pem")


def test_what_the_verbs_commit_is_signed_and_counts(put: Put) -> None:
    """A rollback lands as a commit with the project's signature, and nothing of the line that 0.1.0 began is open."""
    world = put()
    world.run(*BACK)
    tip = git(world.origin, "rev-parse", "main")
    data = git(world.origin, "cat-file", "commit", tip) + "\n"
    assert signed_by(data.encode(), [key_of(world).public_pem])
    assert open_now(world) == []
    assert judgement(opened(world)).commits["loop"] >= 1


def test_the_name_of_the_loop_is_worth_nothing(put: Put) -> None:
    """Without the key a commit by modelops is a direct push."""
    world = put()
    land(world, {PRODUCTION: world.text(PRODUCTION).replace("stable: 2", "stable: 3").replace("  candidate: 3\n", "")})
    ((code, _),) = open_now(world)
    assert code == "no-pull-request"


@pytest.mark.parametrize(
    ("path", "old", "new", "why"),
    [
        (f"models/{MODEL}/train.py", "import", "import os\nimport", "which the loop never does"),
        (PRODUCTION, "candidate: 3", "candidate: 1", "signs no record of that"),
        pytest.param(PRODUCTION, "stable: 2\n", "stable: 1\n", "signs no record of that", marks=pytest.mark.slow),
        pytest.param(
            f"models/{MODEL}/releases/1/release.yaml", "seeds:", "seeds: ", "never changed", marks=pytest.mark.slow
        ),
        pytest.param(f"{PROMOTIONS}/production-1.yaml", "spec:", "spec: ", "never changed", marks=pytest.mark.slow),
    ],
)
def test_a_signed_commit_that_does_more_than_the_loop_oversteps(
    put: Put, path: str, old: str, new: str, why: str
) -> None:
    """Whoever has the loop's key may still write only what the loop writes, with the evidence that it would bring."""
    world = put()
    text = world.text(path)
    assert old in text
    land(world, {path: text.replace(old, new, 1)}, key_of(world))
    ((code, reason),) = open_now(world)
    assert (code, why in reason) == ("loop-overstepped", True), reason


def test_a_signed_commit_clears_no_denial(put: Put) -> None:
    """The loop puts releases on the deny list; it takes none off."""
    world = put(on_trial=False)
    land(world, {PRODUCTION: world.text(PRODUCTION).partition("  denied:")[0]}, key_of(world))
    ((code, reason),) = open_now(world)
    assert (code, "clears a release" in reason) == ("loop-overstepped", True), reason
    assert world.planned() == [(2, 1.0)]


def test_a_key_for_something_else_makes_no_commit_of_the_loop(put: Put, tmp_path: Path) -> None:
    """A trusted key that signs snapshots takes no release off trial."""
    world = put()
    generate_key(tmp_path / "snapshots.pem")
    key = Signer.load(tmp_path / "snapshots.pem")
    pem = "".join(f"        {line}\n" for line in key.public_pem.splitlines())
    entry = f"    - name: snapshots\n      publicKey: |\n{pem}      signs: [snapshot]\n"
    world.settle("key", {TRUST: world.text(TRUST).rstrip("\n") + "\n" + entry})
    land(world, {PRODUCTION: world.text(PRODUCTION) + "  paused: true\n"}, key_of(world))
    assert open_now(world) == []
    land(world, {PRODUCTION: world.text(PRODUCTION).replace("  candidate: 3\n", "")}, key)
    assert [code for code, _ in open_now(world)] == ["no-pull-request"]


def test_the_good_end_of_another_trial_does_not_end_this_one(put: Put) -> None:
    """A signed success that is copied to another record makes nothing stable, with or without the candidate's own."""
    world = put()
    evidence = f"{PROMOTIONS}/production-3.intoto.jsonl"
    ended = [line for line in world.text(f"{PROMOTIONS}/production-2.intoto.jsonl").splitlines() if line]
    stable = world.text(PRODUCTION).replace("stable: 2", "stable: 3").replace("  candidate: 3\n", "")
    land(world, {PRODUCTION: stable, evidence: world.text(evidence).rstrip("\n") + "\n" + ended[-1] + "\n"})
    ((code, reason),) = open_now(world)
    assert code == "no-pull-request"
    assert "evidence" in reason or "statement" in reason or "signed before" in reason, reason


@pytest.mark.slow
def test_a_resumption_that_was_signed_once_resumes_nothing_again(put: Put) -> None:
    """An earlier signed resumption, added once more, is no evidence of a new one."""
    world = put()
    world.run("rollout", "pause", MODEL, "production", "--reason", "wait", "--yes")
    world.run("rollout", "resume", MODEL, "production", "--reason", "go", "--yes")
    world.run("rollout", "pause", MODEL, "production", "--reason", "wait", "--yes")
    world.home()
    evidence = f"{PROMOTIONS}/production-3.intoto.jsonl"
    lines = world.text(evidence).splitlines()
    text = world.text(PRODUCTION)
    assert "paused: true" in text
    running = "".join(line + "\n" for line in text.splitlines() if "paused" not in line)
    land(world, {PRODUCTION: running, evidence: "\n".join([*lines, lines[-2]]) + "\n"})
    ((code, reason),) = open_now(world)
    assert (code, "signed before" in reason) == ("no-pull-request", True), reason


INPUTS = {f"models/{MODEL}/train.py", f"models/{MODEL}/model.yaml", "requirements.lock", f"models/{MODEL}/helper.py"}
OTHERS = {f"models/{MODEL}/rollout.yaml", PRODUCTION, "policies/gates/churn.yaml", "README.md", ".github/x.yml"}


def test_one_list_says_what_a_model_is_made_from(put: Put) -> None:
    """What changes the digest of a build's inputs is what approvals and diffs look at, and nothing else is."""
    workspace = opened(put())
    tip = workspace.tip()

    def digest(revision: str) -> str:
        return inputs_digest(building.request(workspace, workspace.graph(revision), MODEL, revision))

    before, there = digest(tip), workspace.repository.paths(tip)
    for path in sorted(INPUTS | OTHERS):
        text = workspace.repository.read(tip, path) if path in there else b""
        edited = text.replace(b"seed: 1", b"seed: 2") if path.endswith("model.yaml") else text + b"# more\n"
        commit = workspace.repository.commit_files(tip, {path: edited}, "Edit\n", MACHINE, workspace.clock())
        listed = building.input_paths(workspace, commit, MODEL)
        covered = any(path == one or path.startswith(f"{one}/") for one in listed)
        assert (digest(commit) != before, covered) == (path in INPUTS, path in INPUTS), path


def test_what_a_machine_remembers_is_believed_with_its_own_signature_alone(put: Put) -> None:
    """A remembered judgement that somebody wrote or altered is judged anew, and what is open stays open."""
    world = put()
    world.git("config", "user.name", "Mallory")
    world.git("config", "user.email", "mallory@example.com")
    world.push("tidy", {"requirements.lock": world.text("requirements.lock") + "# more\n"})
    assert [code for code, _ in open_now(world)] == ["no-pull-request"]
    (memory,) = (world.root / ".modelops" / "cache" / "judged").iterdir()
    line, _, course = memory.read_bytes().partition(b"\n")
    assert b"requirements.lock" in course
    said = json.loads(course) | {"open": [], "held": {}}
    for forged in (line + b"\n" + json.dumps(said).encode(), b"{}\n" + course, b"", b"\xff\n\xff"):
        memory.write_bytes(forged)
        assert [code for code, _ in open_now(world)] == ["no-pull-request"]
