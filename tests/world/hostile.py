"""Troubles that real repositories have, each put into a copy of a calm world by one function.

The calm world is what version 0.1.0 left in the middle of a rollout (release 2 stable, release 3 on trial) or at its
end (release 2 stable, release 3 denied), so nothing has to be trained. Verbs run in this process.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from assets.kept import ASSETS, MODEL, Kept, revive
from git_world import git, write
from kill.ends import processes

PRODUCTION = f"models/{MODEL}/environments/production.yaml"
PROJECT = "policies/project.yaml"
NEIGHBOUR = """apiVersion: modelops/v1
kind: Model
metadata:
  name: payments
spec:
  description: Which payments are fraud.
  ownr: payments
"""
NEIGHBOURS_DEPLOYMENT = """apiVersion: modelops/v1
kind: Deployment
metadata:
  name: production
spec:
  stable: first
"""
NEIGHBOURS_GATES = """apiVersion: modelops/v1
kind: GatePolicy
metadata:
  name: payments
spec:
  gates:
    - {name: ranks, type: no-such-gate}
"""
RENDERED = f"""apiVersion: modelops/v1
kind: Environment
metadata:
  name: box
spec:
  target: {{type: kubernetes, params: {{image: 'registry.example/modelops@sha256:{"a" * 64}', storeClaim: store}}}}
"""
DEPLOYED_IN_BOX = """apiVersion: modelops/v1
kind: Deployment
metadata:
  name: box
spec:
  stable: null
"""
PROTECTION = """#!/bin/sh
test -e "$GIT_DIR/protected" || exit 0
while read -r old new ref; do
    if test "$ref" = refs/heads/main || test "$ref" = refs/heads/trunk; then
        echo "protected branch: changes come by pull request" >&2
        exit 1
    fi
done
"""
Trouble = Callable[["Hostile"], None]


class Hostile(Kept):
    """A clone in which things go wrong, and what its people do about it."""

    def push(self, message: str, files: Mapping[str, str | bytes | None]) -> str:
        """Commit files on the tip of the branch and push, without asking anybody; None removes a file."""
        self.home()
        write(self.root, {path: text for path, text in files.items() if isinstance(text, str)})
        for path, data in files.items():
            if isinstance(data, bytes):
                (self.root / path).write_bytes(data)
            elif data is None:
                (self.root / path).unlink()
        self.git("add", "--all")
        self.git("commit", "-q", "-m", message)
        self.git("push", "-q", self.remote, self.branch)
        return self.git("rev-parse", "HEAD")

    def settle(self, branch: str, files: Mapping[str, str]) -> None:
        """Propose files by a pull request that grace approves and that is merged."""
        self.home()
        write(self.root, files)
        self.accept(self.propose(branch, f"Change {branch}"))

    def text(self, path: str) -> str:
        """Return a file as the remote's branch has it."""
        return git(self.origin, "show", f"{self.branch}:{path}") + "\n"

    def protect(self, *, on: bool = True) -> None:
        """Let the remote refuse pushes to its branch, or take them again."""
        flag = self.origin / "protected"
        flag.touch() if on else flag.unlink()

    def away(self, *, gone: bool = True) -> None:
        """Make the remote unreachable, or bring it back."""
        hidden = self.origin.with_name("away.git")
        self.origin.rename(hidden) if gone else hidden.rename(self.origin)

    def another(self, clone: str = "other") -> Hostile:
        """Return a second clone of the same remote, with this one's keys, store and prediction log."""
        made = replace(self, clone=clone)
        git(self.folder, "clone", "-q", "-o", self.remote, str(self.origin), clone)
        ignored = shutil.ignore_patterns("server.*", "leases", "scratch")
        shutil.copytree(self.root / ".modelops", made.root / ".modelops", ignore=ignored)
        return made

    def arms(self, environment: str = "production") -> list[tuple[int, float]]:
        """Return what the routing table of an environment sends its traffic to."""
        table = json.loads((self.runtime(environment) / "routes.json").read_text(encoding="utf-8"))
        return [(arm["release"], arm["weight"]) for arm in table["models"][MODEL]["arms"]]

    def planned(self, environment: str = "production") -> list[tuple[int, float]]:
        """Return what a plan would have an environment serve of our model, whatever else it says."""
        entries = json.loads(self.run("plan", environment, "-o", "json").out or '{"entries": []}')["entries"]
        tables = [entry["table"]["models"][MODEL] for entry in entries if entry["action"] == "Serve"]
        return [(arm["release"], arm["weight"]) for table in tables for arm in table["arms"]]

    def pulls(self, label: str = "", state: str = "open") -> list[int]:
        """Return the numbers of pull requests, of those with a label where one is given."""
        listed = json.loads(self.ok("pr", "list", "--state", state, "-o", "json").out)
        return [pull["number"] for pull in listed if not label or label in pull["labels"]]

    def servers(self) -> list[int]:
        """Return the processes that serve anything from this clone."""
        words = f"--runtime {self.root}/"
        return [pid for pid, line in processes(self.folder) if " modelops serve " in line and words in line]


def calm(world: Hostile) -> None:
    """Nothing is wrong."""


def neighbours_model(world: Hostile) -> None:
    """Another team pushed a model that is not valid."""
    world.push("Add payments", {"models/payments/model.yaml": NEIGHBOUR})


def neighbours_deployment(world: Hostile) -> None:
    """Another team's model is to run beside ours, and its deployment is not valid."""
    world.push("Deploy payments", {"models/payments/environments/production.yaml": NEIGHBOURS_DEPLOYMENT})


def neighbours_gates(world: Hostile) -> None:
    """Another team pushed a gate policy that names a gate which does not exist."""
    world.push("Judge payments", {"policies/gates/payments.yaml": NEIGHBOURS_GATES})


def once_invalid(world: Hostile) -> None:
    """Our own deployment was not valid in one commit, and is repaired."""
    good = world.text(PRODUCTION)
    world.push("Slip", {PRODUCTION: good.replace("name: production", "name: prodction")})
    world.push("Repair", {PRODUCTION: good})


def called_upstream(world: Hostile) -> None:
    """The remote is called upstream."""
    world.settle("say-upstream", {PROJECT: world.text(PROJECT).replace("remote: origin", "remote: upstream")})
    world.git("remote", "rename", "origin", "upstream")
    world.remote = "upstream"


def called_trunk(world: Hostile) -> None:
    """The branch that everything is merged into was renamed to trunk."""
    world.settle("say-trunk", {PROJECT: world.text(PROJECT).replace("branch: main", "branch: trunk")})
    git(world.origin, "branch", "-m", "main", "trunk")
    world.git("branch", "-m", "main", "trunk")
    world.git("fetch", "-q", "--prune", world.remote)
    world.git("branch", "-q", "-u", f"{world.remote}/trunk")
    world.git("remote", "set-head", world.remote, "trunk")
    world.branch = "trunk"


def in_a_box(world: Hostile) -> None:
    """One environment is run by Docker from rendered files."""
    files = {"policies/environments/box.yaml": RENDERED, f"models/{MODEL}/environments/box.yaml": DEPLOYED_IN_BOX}
    world.settle("box", files)


def foreign_label(world: Hostile) -> None:
    """A person put the monitor's label on a pull request of their own, from a branch called mine."""
    world.home()
    world.git("checkout", "-q", "-b", "mine")
    world.edit(f"models/{MODEL}/model.yaml", ("C: 1.0", "C: 0.9"))
    world.git("commit", "-q", "-a", "-m", "Mine")
    world.ok("pr", "create", "--title", "Mine", "--label", f"retrain:{MODEL}", "--label", f"promote:{MODEL}")
    world.home()


def clock_jumps(world: Hostile) -> None:
    """The machine's clock went ten years ahead for one look and came back."""
    now = world.now()
    world.at("2036-05-06T12:00:00Z")
    world.run("status")
    world.run("plan", "production")
    world.at(now)


def unmerged_settings(world: Hostile) -> None:
    """The clone is on a branch whose commit, which nobody merged, moves the store."""
    world.home()
    world.git("checkout", "-q", "-b", "elsewhere")
    world.edit(PROJECT, ("store: {type: oci-layout}", "store: {type: oci-layout, params: {path: elsewhere}}"))
    world.git("commit", "-q", "-a", "-m", "Move the store")


def protected(world: Hostile) -> None:
    """The remote takes changes of its branch by pull request only."""
    world.protect()


def unreachable(world: Hostile) -> None:
    """The remote cannot be reached."""
    world.away()


TROUBLES: tuple[Trouble, ...] = (
    calm,
    neighbours_model,
    neighbours_deployment,
    neighbours_gates,
    once_invalid,
    called_upstream,
    called_trunk,
    in_a_box,
    foreign_label,
    clock_jumps,
    unmerged_settings,
    protected,
    unreachable,
)


def hostile(folder: Path, *, on_trial: bool = True) -> Hostile:
    """Return a calm world of its own, its remote with a hook that can protect its branch."""
    world = revive(ASSETS[0], folder, on_trial=on_trial, kind=Hostile)
    hook = world.origin / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(PROTECTION, encoding="utf-8")
    hook.chmod(0o755)
    return world
