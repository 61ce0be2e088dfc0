"""A team's repository moved by the command line alone: a bare remote, a clone of it, one model, logical time.

Nothing here imports modelops, so the same story can be told by every version of it: the program is an argument.
"""

from __future__ import annotations

import csv
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from waiting import PATIENCE

MODEL = "churn"
ENVIRONMENTS = ("staging", "production")
START = "2026-03-01T12:00:00Z"
CLOCK_SETTLES = 0.1
"""Seconds after which every process has seen a new logical time."""
GITCONFIG = """[init]
\tdefaultBranch = main
[advice]
\tdetachedHead = false
[user]
\tname = Ada
\temail = ada@example.com
"""
TRAIN = '''"""Impute numbers, encode categories, logistic regression."""

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder


def train(features: pd.DataFrame, target: pd.Series, parameters: dict, seed: int) -> Pipeline:
    numbers = [name for name in features.columns if features[name].dtype.kind in "biuf"]
    categories = [name for name in features.columns if name not in numbers]
    columns = ColumnTransformer(
        [
            ("number", SimpleImputer(strategy="median", keep_empty_features=True), numbers),
            ("category", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
        ],
        sparse_threshold=0,
    )
    return Pipeline([("columns", columns), ("model", LogisticRegression(**parameters))]).fit(features, target)
'''
STRICT = ('handle_unknown="ignore"', 'handle_unknown="error"')
"""What makes a release that passes its gates and fails on a plan that no customer had in training."""
ROLLOUT = """apiVersion: modelops/v1
kind: RolloutPlan
metadata:
  name: churn
spec:
  strategy:
    type: canary
    params:
      slow: null
      steps:
        - {weight: 0.3, minRequests: 20}
        - {weight: 0.6, minRequests: 20}
"""
MONITOR = """apiVersion: modelops/v1
kind: Monitor
metadata:
  name: churn
spec:
  windowDays: 30.0
  minimumRequests: 50
  retraining: {cooldownDays: 14, lookbackDays: 30, minimumRows: 50}
"""
DATATYPES = {"plan": "BYTES", "monthly_fee": "FP64", "calls_to_support": "INT64", "paperless": "BOOL"}


def customers(count: int, seed: int, *, fee: float = 40.0) -> list[dict[str, Any]]:
    """Return invented customers of a telephone company; what they pay and how often they call says who leaves."""
    chance = random.Random(seed)
    plans = {"basic": 0.0, "family": -0.6, "business": -1.0}
    made = []
    for number in range(count):
        plan, calls = chance.choice(sorted(plans)), chance.choice([0, 0, 0, 1, 1, 2, 3, 5])
        pays = round(chance.gauss(fee, 12), 2)
        leaves = plans[plan] + 0.04 * (pays - fee) + 0.7 * calls - 1.2 + chance.gauss(0, 0.5) > 0
        words = {"customer": f"c{seed}-{number:05d}", "plan": plan, "monthly_fee": pays, "calls_to_support": calls}
        made.append(words | {"paperless": chance.random() < 0.5, "churned": "yes" if leaves else "no"})
    return made


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write customers as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "paperless": "yes" if row["paperless"] else "no"} for row in rows)


class VerbFailed(Exception):
    """A step of the story that had to work did not."""


@dataclass
class Ended:
    """What a verb ended with; the code is negative where a signal ended it."""

    code: int
    out: str
    err: str


@dataclass
class Shop:
    """A folder with ``origin.git``, ``shop`` (the clone) and ``clock``, the logical time of everything in it."""

    folder: Path
    program: Sequence[str] = (sys.executable, "-m", "modelops")
    remote: str = "origin"
    branch: str = "main"
    clone: str = "shop"

    @property
    def root(self) -> Path:
        return self.folder / self.clone

    @property
    def origin(self) -> Path:
        return self.folder / "origin.git"

    def runtime(self, environment: str = "production") -> Path:
        return self.root / ".modelops" / "runtime" / environment

    # --- programs

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what every program of this shop is started with."""
        dropped = ("MODELOPS", "GIT_", "PYTHONPATH", "COVERAGE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        git = {"GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig"), "GIT_CONFIG_NOSYSTEM": "1"}
        dated = {"GIT_AUTHOR_DATE": self.now(), "GIT_COMMITTER_DATE": self.now()}
        return {**kept, **git, **dated, "MODELOPS_CLOCK": str(self.folder / "clock"), "NO_COLOR": "1", **(more or {})}

    def git(self, *words: str, at: Path | None = None) -> str:
        """Run git as a person would and return what it printed."""
        done = subprocess.run(
            ["git", *words], cwd=at or self.root, env=self.environ(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise VerbFailed(f"git {' '.join(words)}: {done.stderr}")
        return done.stdout.strip()

    def run(self, *words: str, more: Mapping[str, str] | None = None) -> Ended:
        """Run a verb to its end."""
        done = subprocess.run(
            [*self.program, *words],
            cwd=self.root,
            env=self.environ(more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, codes: Sequence[int] = (0,)) -> Ended:
        """Run a verb that must end with one of the codes."""
        ended = self.run(*words)
        if ended.code not in codes:
            raise VerbFailed(f"modelops {' '.join(words)} ended with {ended.code}:\n{ended.out}\n{ended.err}")
        return ended

    # --- time

    def now(self) -> str:
        return (self.folder / "clock").read_text(encoding="utf-8")

    def at(self, instant: str) -> None:
        """Set the logical time."""
        # Servers read it at any moment, and never half.
        (self.folder / "clock.new").write_text(instant, encoding="utf-8")
        (self.folder / "clock.new").replace(self.folder / "clock")
        time.sleep(CLOCK_SETTLES)

    # --- the steps of the story

    def edit(self, path: str, *edits: tuple[str, str]) -> None:
        """Replace words of a file in the clone; each must be there."""
        text = (self.root / path).read_text(encoding="utf-8")
        for old, new in edits:
            if old not in text:
                raise VerbFailed(f"{path} does not say {old!r}")
            text = text.replace(old, new)
        (self.root / path).write_text(text, encoding="utf-8")

    def home(self) -> None:
        """Check out the tip of the branch that everything is merged into."""
        self.git("checkout", "-q", self.branch)
        self.git("pull", "-q", "--ff-only")

    def propose(self, branch: str, title: str, *words: str) -> int:
        """Commit everything on a branch of its own, open a pull request and return its number."""
        self.git("checkout", "-q", "-b", branch)
        self.git("add", "--all")
        self.git("commit", "-q", "-m", title)
        return int(json.loads(self.ok("pr", "create", "--title", title, "-o", "json", *words).out)["number"])

    def newest_pull(self) -> int:
        return max(int(pull["number"]) for pull in json.loads(self.ok("pr", "list", "-o", "json").out))

    def build(self, number: int) -> None:
        """Build what the checked out branch proposes and comment on its pull request."""
        self.ok("build", "--since", f"{self.remote}/{self.branch}", "--pull-request", str(number))

    def approve(self, number: int) -> None:
        self.ok("pr", "review", str(number), "--approve", "--as", "grace")

    def accept(self, number: int) -> None:
        """Let grace approve, merge, and go home."""
        self.approve(number)
        self.ok("pr", "merge", str(number))
        self.home()

    def release(self) -> None:
        self.ok("release", "--yes")
        self.home()

    def reconcile(self, environment: str = "production", *, codes: Sequence[int] = (0,)) -> None:
        self.ok("reconcile", environment, "--yes", codes=codes)
        self.home()

    def promote(self, *words: str) -> int:
        """Open the pull request that sets a release as candidate in production, and return its number."""
        found = json.loads(self.ok("promote", MODEL, "--to", "production", "--yes", "-o", "json", *words).out)
        return int(found["pullRequest"])

    def change(self, branch: str, *edits: tuple[str, str], path: str = f"models/{MODEL}/model.yaml") -> None:
        """Propose, build, accept and release an edit of the model; it is stable in staging afterwards."""
        self.edit(path, *edits)
        number = self.propose(branch, f"Change {MODEL}: {branch}")
        self.build(number)
        self.accept(number)
        self.release()
        self.reconcile("staging")

    def deployment(self, environment: str = "production") -> str:
        """Return what the remote's branch says about an environment."""
        return self.git("show", f"{self.branch}:models/{MODEL}/environments/{environment}.yaml", at=self.origin)

    def stop(self) -> None:
        """End every server of this shop."""
        for environment in ENVIRONMENTS:
            if self.runtime(environment).is_dir():
                self.run("reconcile", environment, "--stop", "--yes")

    # --- traffic

    def _connection(self, environment: str) -> http.client.HTTPConnection:
        states = json.loads(self.ok("status", "-o", "json").out)
        url = next(state["url"] for state in states if environment in (state.get("environment"), state.get("name")))
        return http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)

    def ask(
        self, rows: Sequence[Mapping[str, Any]], *, strange: bool = False, labels: bool = False
    ) -> list[dict[str, Any]]:
        """Send customers to production one by one and return the answers; strange ones have a plan never seen."""
        connection = self._connection("production")
        answers = []
        for row in rows:
            words = {**row, "plan": "strange"} if strange else row
            inputs = [
                {"name": name, "shape": [1], "datatype": kind, "data": [words[name]]}
                for name, kind in DATATYPES.items()
            ]
            body = {"inputs": inputs, "parameters": {"entity_id": row["customer"]}}
            connection.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(body))
            answers.append(json.loads(connection.getresponse().read()))
        if labels:
            items = [
                {"id": answer["parameters"]["prediction_id"], "label": row["churned"]}
                for row, answer in zip(rows, answers, strict=True)
                if "parameters" in answer
            ]
            connection.request("POST", f"/v2/models/{MODEL}/feedback", json.dumps(items))
            response = connection.getresponse()
            if response.status != 200:
                raise VerbFailed(f"feedback: {response.read()!r}")
        connection.close()
        return answers

    # --- copies

    def copy(self, folder: Path) -> Self:
        """Return an own copy of this shop, which must be at rest."""
        shutil.copytree(self.folder, folder, symlinks=True)
        made = replace(self, folder=folder)
        for environment in ENVIRONMENTS:
            # Another copy may have the port by now.
            (made.runtime(environment) / "server.json").unlink(missing_ok=True)
        return made


def begin(folder: Path, program: Sequence[str] = Shop.program) -> Shop:
    """Make a shop whose main has the policies and whose clone has a model, not committed yet, on a branch."""
    shop = Shop(folder, program)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gitconfig").write_text(GITCONFIG, encoding="utf-8")
    (folder / "clock").write_text(START, encoding="utf-8")
    shop.git("init", "-q", "--bare", "-b", "main", str(shop.origin), at=folder)
    shop.git("init", "-q", "-b", "main", str(shop.root), at=folder)
    shop.git("remote", "add", "origin", "../origin.git")
    write_rows(shop.root / "data" / "customers.csv", customers(400, 1))
    people = ("--approver", "ada", "--approver", "grace")
    shop.ok("init", "--model", MODEL, "--data", "data/customers.csv", "--target", "churned", *people)
    shop.edit("policies/project.yaml", ("    key: local\n", "    key: local\n    simulatedClock: true\n"))
    model = shop.root / "models" / MODEL
    (model / "train.py").write_text(TRAIN, encoding="utf-8")
    (model / "rollout.yaml").write_text(ROLLOUT, encoding="utf-8")
    (model / "monitor.yaml").write_text(MONITOR, encoding="utf-8")
    text = (model / "model.yaml").read_text(encoding="utf-8")
    before, _, after = text.partition("    parameters: {")
    spec = before + "    parameters: {C: 1.0}" + after.partition("}")[2]
    (model / "model.yaml").write_text(spec.replace("  serving:\n", "  serving:\n    log: acknowledged\n"), "utf-8")
    shop.git("add", "--", ".", ":!models")
    shop.git("commit", "-q", "-m", "Begin with modelops")
    shop.git("push", "-q", "-u", "origin", "main")
    return shop
