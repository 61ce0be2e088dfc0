"""A small repository in which the whole loop runs: a bare remote, a checkout, one model, two environments."""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from git_world import git, identify, write
from modelops.cli import main
from modelops.clock import clock_from
from modelops.data import take, wanted_by
from modelops.evidence import generate_key
from modelops.forges import PullRequest
from modelops.project.workspace import Workspace
from modelops.repository import Person, Repository
from modelops.scaffold.repository import trust_policy
from modelops.spec.address import Address
from modelops.spec.kinds.data_snapshot import Source
from modelops.spec.load import load_resource
from modelops.spec.yaml.dump import dump
from modelops.targets import Site, local
from waiting import PATIENCE

ADA = Person("Ada", "ada@example.com")
MODEL = "churn"
START = "2026-03-01T12:00:00Z"
ENVIRONMENTS = ("staging", "production")

TRAIN = '''"""Logistic regression over one-hot categories."""

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder


def train(features: pd.DataFrame, target: pd.Series, parameters: dict, seed: int) -> Pipeline:
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer(
        [("number", "passthrough", ["amount"]), ("category", categories, ["country"])], sparse_threshold=0
    )
    return Pipeline([("columns", columns), ("model", LogisticRegression(**parameters))]).fit(features, target)
'''
STRICT = ('handle_unknown="ignore"', 'handle_unknown="error"')
"""What makes a release that passes its gates and fails in traffic."""

MODEL_YAML = """apiVersion: modelops/v1
kind: Model
metadata:
  name: churn
spec:
  description: Who leaves.
  owner: growth
  risk: limited
  task: binary-classification
  intendedUse: Calls.
  data:
    snapshot: initial
    target: churned
    features:
      - {name: amount, type: number}
      - {name: country, type: category}
  training:
    parameters: {C: 1.0}
    seed: 1
  gates: [easy]
  serving: {log: acknowledged, entity: customer, latencyObjectiveMs: 5000.0}
"""

FILES = {
    ".gitignore": ".modelops/\n__pycache__/\n",
    "models/churn/model.yaml": MODEL_YAML,
    "models/churn/train.py": TRAIN,
    "models/churn/rollout.yaml": """apiVersion: modelops/v1
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
""",
    "models/churn/monitor.yaml": """apiVersion: modelops/v1
kind: Monitor
metadata:
  name: churn
spec:
  windowDays: 30.0
  minimumRequests: 50
  retraining: {cooldownDays: 14, lookbackDays: 30, minimumRows: 50}
""",
    "policies/project.yaml": """apiVersion: modelops/v1
kind: Project
metadata:
  name: project
spec: {signing: {simulatedClock: true}}
""",
    "policies/approvals.yaml": """apiVersion: modelops/v1
kind: ApprovalPolicy
metadata:
  name: approvals
spec:
  groups:
    reviewers: [ada, grace]
  rules:
    - {change: model, approvers: ["group:reviewers"], minimum: 1}
    - {change: policy, approvers: ["group:reviewers"], minimum: 1}
    - {change: promotion, approvers: ["group:reviewers"], minimum: 1}
""",
    "policies/gates/easy.yaml": """apiVersion: modelops/v1
kind: GatePolicy
metadata:
  name: easy
spec:
  gates:
    - {name: ranks, type: metric, params: {metric: roc-auc, minimum: 0.6}}
""",
    "policies/environments/staging.yaml": """apiVersion: modelops/v1
kind: Environment
metadata:
  name: staging
spec:
  order: 1
  promotion: automatic
  rollout: direct
  target: {type: local, params: {port: 0}}
""",
    "policies/environments/production.yaml": """apiVersion: modelops/v1
kind: Environment
metadata:
  name: production
spec:
  order: 2
  target: {type: local, params: {port: 0}}
""",
    **{
        f"models/churn/environments/{name}.yaml": f"""apiVersion: modelops/v1
kind: Deployment
metadata:
  name: {name}
spec:
  stable: null
"""
        for name in ENVIRONMENTS
    },
}


def rows(count: int, seed: int = 0, *, shift: float = 0.0) -> list[dict[str, Any]]:
    """Return customers whose amount and country say much about whether they leave."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        amount, country = round(chance.gauss(0, 1), 3), chance.choice(["DE", "FR", "US"])
        leaves = 2.5 * amount + (1.0 if country == "US" else 0.0) + chance.gauss(0, 1) > 0.3
        made.append({"amount": amount + shift, "country": country, "churned": int(leaves)})
    return made


@dataclass(frozen=True)
class Answer:
    """What a verb ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class World:
    """One remote and one checkout of it, with a clock in a file that every process of this world reads."""

    folder: Path

    @property
    def remote(self) -> Path:
        return self.folder / "remote.git"

    @property
    def root(self) -> Path:
        return self.folder / "checkout"

    def runtime(self, environment: str = "production") -> Path:
        return self.root / ".modelops" / "runtime" / environment

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODELOPS", "RUNNER_"))}
        return kept | {"MODELOPS_CLOCK": str(self.folder / "clock"), "NO_COLOR": "1"}

    def at(self, instant: str) -> None:
        """Set the logical time."""
        # Servers read it at any moment, and never half.
        (self.folder / "clock.new").write_text(instant, encoding="utf-8")
        (self.folder / "clock.new").replace(self.folder / "clock")

    def workspace(self, root: Path | None = None) -> Workspace:
        """Open the checkout as a new process would."""
        environ = self.environ()
        return Workspace(Repository.discover(root or self.root), environ, clock_from(environ))

    def run(self, *words: str, root: Path | None = None) -> Answer:
        """Run a verb in this process as its command line does."""
        out, err = io.StringIO(), io.StringIO()
        before, inside = dict(os.environ), self.environ()
        os.environ.clear()
        os.environ.update(inside)
        code: object = 0
        try:
            with contextlib.chdir(root or self.root), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main(words)
        except SystemExit as end:
            code = end.code
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Answer(int(code or 0) if isinstance(code, int | None) else 70, out.getvalue(), err.getvalue())

    def ok(self, *words: str) -> Answer:
        """Run a verb that must succeed."""
        done = self.run(*words)
        assert done.code == 0, f"{words}: {done.out}\n{done.err}"
        return done

    def reconcile(self, environment: str = "production", *, code: int = 0) -> dict[str, Any]:
        """Reconcile and return what the verb said."""
        done = self.run("reconcile", environment, "--yes", "-o", "json")
        assert done.code == code, f"{done.code}: {done.out}\n{done.err}"
        found: dict[str, Any] = done.json
        return found

    def process(self, *words: str, root: Path | None = None) -> subprocess.Popen[str]:
        """Start a Python process in the checkout that runs a piece of code or a verb."""
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=root or self.root,
            env=self.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def clone(self, name: str) -> Path:
        """Return another checkout of the remote, with this one's key and store."""
        folder = self.folder / name
        git(self.folder, "clone", "-q", str(self.remote), name)
        identify(folder, ADA)
        for part in ("keys", "store"):
            if (self.root / ".modelops" / part).is_dir():
                shutil.copytree(self.root / ".modelops" / part, folder / ".modelops" / part)
        return folder

    # --- git

    def tip(self, branch: str = "main") -> str:
        return git(self.remote, "rev-parse", f"refs/heads/{branch}")

    def show(self, path: str, branch: str = "main") -> str:
        return git(self.remote, "show", f"{branch}:{path}")

    def deployment(self, environment: str = "production") -> Mapping[str, Any]:
        """Return what main says about an environment."""
        path = f"models/{MODEL}/environments/{environment}.yaml"
        spec: Mapping[str, Any] = load_resource(self.show(path).encode(), path).spec.model_dump()
        return spec

    def push(self, files: Mapping[str, str | None], message: str = "Change", branch: str = "main") -> str:
        """Commit files on the tip of a branch (off main, if it is new) and push, as a person with their own clone."""
        repository = Repository.discover(self.root)
        repository.fetch()
        old = repository.find_tip(branch)
        data = {path: text.encode() if text is not None else None for path, text in files.items()}
        commit = repository.commit_files(
            old or repository.tip("main"), data, message, ADA, clock_from(self.environ())()
        )
        repository.push_branch(branch, commit, expected=old)
        return commit

    def propose(self, files: Mapping[str, str | None], branch: str, title: str = "Change") -> PullRequest:
        """Open a pull request by ada."""
        self.push(files, title, branch)
        workspace = self.workspace()
        return workspace.forge_as("ada").open(title=title, body="", source=branch).pull

    def merge(self, number: int, *, approve: bool = True) -> PullRequest:
        """Let grace approve, and merge."""
        forge = self.workspace().forge_as("grace")
        head = forge.get(number).head
        if approve:
            forge.review(number, "approved", head=head)
        return forge.merge(number, head=head)

    def approved(self, files: Mapping[str, str | None], message: str = "Change") -> PullRequest:
        """Change files by a pull request of ada's that grace approves."""
        return self.merge(self.propose(files, f"approved-{os.urandom(4).hex()}", message).number)

    def promote(self, *words: str, environment: str = "production") -> PullRequest:
        """Promote, approve and merge."""
        found = self.ok("promote", MODEL, "--to", environment, "--yes", "-o", "json", *words)
        return self.merge(int(found.json["pullRequest"]))

    def change_model(self, edits: Sequence[tuple[str, str]], name: str) -> PullRequest:
        """Propose, approve and merge an edit of the model's spec or code."""
        files: dict[str, str | None] = {}
        for path in ("models/churn/model.yaml", "models/churn/train.py"):
            text = before = self.show(path)
            for old, new in edits:
                text = text.replace(old, new)
            if text != before:
                files[path] = text + "\n"
        return self.merge(self.propose(files, name, f"Change {name}").number)

    def propose_beside(self) -> PullRequest:
        """Propose, approve and merge a second model, a copy of the first one for staging, called beside."""
        names = ("model.yaml", "train.py", "rollout.yaml", "data/initial.yaml")
        files = {f"models/beside/{name}": self.show(f"models/{MODEL}/{name}") + "\n" for name in names}
        files["models/beside/environments/staging.yaml"] = FILES[f"models/{MODEL}/environments/staging.yaml"]
        for name in ("model.yaml", "rollout.yaml"):
            path = f"models/beside/{name}"
            files[path] = files[path].replace(f"name: {MODEL}", "name: beside")
        return self.merge(self.propose(dict(files), "beside", "Propose beside").number)

    # --- the server

    def url(self, environment: str = "production") -> str:
        record = json.loads((self.runtime(environment) / "server.json").read_text())
        return f"http://127.0.0.1:{record['port']}"

    def pid(self, environment: str = "production") -> int:
        return int(json.loads((self.runtime(environment) / "server.json").read_text())["pid"])

    def kill(self, environment: str = "production") -> None:
        """Kill the server of an environment and wait until it is gone."""
        os.kill(self.pid(environment), signal.SIGKILL)
        while local.servers(
            Site(environment, self.runtime(environment), Address(f"oci-layout:{self.root}/.modelops/store"))
        ):
            time.sleep(0.005)

    def ask(
        self, count: int = 1, environment: str = "production", *, strange: bool = False, shift: float = 0.0
    ) -> list[tuple[int, dict[str, Any]]]:
        """Send single-row requests of as many customers; strange ones come from a country never seen."""
        connection = http.client.HTTPConnection(urlsplit(self.url(environment)).netloc, timeout=PATIENCE)
        answers = []
        for number, row in enumerate(rows(count, 1, shift=shift)):
            inputs = [
                {"name": "amount", "shape": [1], "datatype": "FP64", "data": [row["amount"]]},
                {"name": "country", "shape": [1], "datatype": "BYTES", "data": ["XX" if strange else row["country"]]},
            ]
            body = {"inputs": inputs, "parameters": {"entity_id": f"c{number}"}}
            connection.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(body))
            response = connection.getresponse()
            answers.append((response.status, json.loads(response.read())))
        connection.close()
        return answers

    def label(self, answers: Sequence[tuple[int, dict[str, Any]]]) -> None:
        """Report a truth for every answer."""
        connection = http.client.HTTPConnection(urlsplit(self.url()).netloc, timeout=PATIENCE)
        items = [
            {"id": body["parameters"]["prediction_id"], "label": number % 2} for number, (_, body) in enumerate(answers)
        ]
        connection.request("POST", f"/v2/models/{MODEL}/feedback", json.dumps(items))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
        connection.close()

    def release_answering(self, environment: str = "production") -> int:
        """Return which release answers one request."""
        ((status, body),) = self.ask(1, environment)
        assert status == 200, body
        return int(body["parameters"]["release"])

    def routes(self, environment: str = "production") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.runtime(environment) / "routes.json").read_text())
        return found

    def stop(self) -> None:
        """End every server of this world."""
        for name in ENVIRONMENTS:
            if self.runtime(name).is_dir():
                store = Address(f"oci-layout:{self.root}/.modelops/store")
                local.stop(local.Params(), Site(name, self.runtime(name), store))

    def copy(self, folder: Path) -> World:
        """Return an own copy of this world, which must be at rest."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        made = World(folder)
        git(made.root, "remote", "set-url", "origin", str(made.remote))
        for name in ENVIRONMENTS:
            # Another copy may have the port by now.
            (made.runtime(name) / "server.json").unlink(missing_ok=True)
        return made


def begin(folder: Path, world: World | None = None, project: str = FILES["policies/project.yaml"]) -> World:
    """Make a world whose main has policies and the model without a release, proposed and merged by pull request."""
    world = world or World(folder)
    folder.mkdir(parents=True, exist_ok=True)
    world.at(START)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(world.remote)], check=True)
    subprocess.run(["git", "clone", "-q", str(world.remote), str(world.root)], check=True, capture_output=True)
    identify(world.root, ADA)
    write(world.root, {path: text for path, text in FILES.items() if not path.startswith("models/")})
    write(world.root, {"policies/project.yaml": project})
    key = generate_key(world.root / ".modelops" / "keys" / "local.pem")
    (world.root / "policies" / "trust.yaml").write_bytes(trust_policy(key))
    (world.root / "data").mkdir()
    with (world.root / "data" / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["amount", "country", "churned"])
        writer.writeheader()
        writer.writerows(rows(400))
    git(world.root, "checkout", "-q", "-B", "main")
    git(world.root, "add", "-A")
    git(world.root, "commit", "-q", "-m", "Begin")
    git(world.root, "push", "-q", "-u", "origin", "main")
    model = load_resource(MODEL_YAML.encode(), "models/churn/model.yaml").spec
    spec = take(
        Source(type="files", location="data", owner="growth"),
        repository_root=world.root,
        model_folder=world.root / "models" / MODEL,
        cache=world.root / ".modelops" / "cache",
        wanted=wanted_by(model),
    )
    path = f"models/{MODEL}/data/initial.yaml"
    files = {name: text for name, text in FILES.items() if name.startswith("models/")}
    files[path] = dump("DataSnapshot", "initial", spec, None, path).decode()
    world.merge(world.propose(dict(files), "add-churn", "Propose churn").number)
    return world
