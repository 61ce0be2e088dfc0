"""A small valid repository as files, and many models of it, for tests and benchmarks of the specs."""

from __future__ import annotations

from collections.abc import Mapping

from modelops.spec.kinds.data_snapshot import Answer, Column, DataSnapshotSpec, SnapshotFile, Source, Summary, TimeSpan
from modelops.spec.yaml.dump import dump

NAME = "model-0000"
HEX = "0123456789abcdef" * 4

MODEL = f"""\
# yaml-language-server: $schema=../../.modelops/schema/Model.json
apiVersion: modelops/v1
kind: Model
metadata:
  name: {NAME}
spec:
  description: Probability that a payment is fraudulent.
  owner: payments-risk
  risk: limited
  task: binary-classification
  intendedUse: Score each payment before it is booked; what scores high is held for an analyst.
  outOfScope:
    - Refusing a payment without an analyst's decision.
  data:
    snapshot: 2026-q1
    target: is_fraud
    positive: 1
    id: transaction_id
    time: occurred_at
    sensitive: [age_group]
    features:
      - {{name: amount, type: number, description: Amount in euros.}}
      - {{name: country, type: category}}
      - {{name: international, type: boolean}}
      - {{name: hour, type: integer, nullable: true}}
  training:
    entrypoint: train.py
    parameters:
      n_estimators: 60
      learning_rate: 0.2
    seed: 7
    split: {{type: hash, test: 0.25}}
  gates: [standard]
  serving:
    log: buffered
    entity: customer_id
    threshold: 0.3
"""
ROLLOUT = f"""\
apiVersion: modelops/v1
kind: RolloutPlan
metadata:
  name: {NAME}
spec:
  strategy:
    type: canary
    params:
      steps:
        - {{weight: 0.05, minRequests: 200}}
        - {{weight: 0.5, minRequests: 200}}
        - {{weight: 1.0, minRequests: 200}}
  onFailure: rollback
"""
MONITOR = f"""\
apiVersion: modelops/v1
kind: Monitor
metadata:
  name: {NAME}
spec:
  windowDays: 30.0
  drift: [{{type: psi}}]
  performance: {{metric: recall, minimum: 0.6}}
  retraining: {{cooldownDays: 14, lookbackDays: 90}}
"""
POLICIES = {
    "policies/project.yaml": """\
apiVersion: modelops/v1
kind: Project
metadata:
  name: project
spec:
  store: {type: oci-layout}
  forge: {type: embedded}
  signing: {key: local}
""",
    "policies/approvals.yaml": """\
apiVersion: modelops/v1
kind: ApprovalPolicy
metadata:
  name: approvals
spec:
  groups:
    reviewers: [ada, bob]
  rules:
    - {change: model, approvers: ["group:reviewers"], minimum: 1}
    - {change: promotion, environments: [production], approvers: ["group:reviewers"], minimum: 2}
    - {change: policy, approvers: [ada], minimum: 1}
""",
    "policies/trust.yaml": """\
apiVersion: modelops/v1
kind: TrustPolicy
metadata:
  name: trust
spec:
  keys:
    - name: local
      publicKey: |
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEak4Ic/tm103lcezFjAcqNl1xgmCK
        bfLC3U9pL+GlFBhTqEPwTf0iBTRzyyQl7ZxmoPb+EHBUYN2YaHHOwvoypg==
        -----END PUBLIC KEY-----
      signs: [release, promotion]
""",
    "policies/gates/standard.yaml": """\
apiVersion: modelops/v1
kind: GatePolicy
metadata:
  name: standard
spec:
  description: What every model must show.
  gates:
    - {name: ranks, type: metric, params: {metric: roc-auc, minimum: 0.85}}
""",
    "policies/rules/owner.yaml": """\
apiVersion: modelops/v1
kind: Rule
metadata:
  name: owner
spec:
  match: {kind: Model}
  expression: resource.spec.owner != "nobody"
  message: A model has an owner.
""",
}
DEPLOYMENT = """\
apiVersion: modelops/v1
kind: Deployment
metadata:
  name: {environment}
spec:
  denied: []
"""
ENVIRONMENT = """\
apiVersion: modelops/v1
kind: Environment
metadata:
  name: {environment}
spec:
  target: {{type: local}}
  order: {order}
"""
ENVIRONMENTS = ("local", "staging", "production")
QUESTIONS = (
    "For what purpose was it created?",
    "Who created it, and on behalf of whom?",
    "What does a row stand for?",
    "Is anything missing from rows?",
    "Over what time was it collected?",
    "Were the persons notified?",
    "Was the data preprocessed, cleaned or labelled?",
    "For which tasks must it not be used?",
    "Under which licence or terms?",
    "Will it be updated, by whom and how often?",
)


def snapshot(seed: int = 0) -> bytes:
    """Return the file of a snapshot with seven columns, a datasheet and a reference profile."""
    names = {"amount": "number", "country": "category", "international": "boolean", "hour": "integer"}
    others = {"is_fraud": "boolean", "transaction_id": "category", "occurred_at": "datetime", "age_group": "category"}
    columns = tuple(
        Column(name=name, type=kind, missing=0, distinct=12 + seed % 9)  # type: ignore[arg-type]
        for name, kind in {**names, **others}.items()
    )
    edges = tuple(round(10.5 + 7.25 * step + seed * 0.01, 3) for step in range(9))
    profile = {
        "amount": Summary(kind="number", edges=edges, counts=tuple(1500 + seed % 7 + step for step in range(10))),
        "country": Summary(kind="category", categories=("DE", "AT", "FR"), counts=(13000 + seed, 1500, 500)),
        "international": Summary(kind="number", edges=(0.5,), counts=(13722, 1278 + seed)),
        "hour": Summary(kind="number", edges=edges, counts=tuple(1400 + seed % 5 + step for step in range(10))),
    }
    digest = f"{seed:08x}{HEX[8:]}"
    return dump(
        "DataSnapshot",
        "2026-q1",
        DataSnapshotSpec(
            format="csv",
            source=Source(type="command", command=("python", "generate.py", "{output}"), owner="payments-risk"),
            root=f"sha256:{digest}",
            files=tuple(
                SnapshotFile(path=f"2026-0{month}.csv", size=484_713 + seed, sha256=digest) for month in (1, 2, 3)
            ),
            rows=15_000 + seed,
            columns=columns,
            target="is_fraud",
            balance={"0": 14_000, "1": 1000 + seed},
            time_span=TimeSpan(first="2026-01-01T00:19:09Z", last="2026-03-31T23:22:10Z"),
            reason="first snapshot",
            datasheet={
                part: tuple(Answer(question=text, answer="not answered") for text in QUESTIONS)
                for part in ("motivation", "composition")
            },
            profile=profile,
        ),
    )


def policies() -> dict[str, str]:
    """Return the files of the policies."""
    files = dict(POLICIES)
    for order, environment in enumerate(ENVIRONMENTS):
        files[f"policies/environments/{environment}.yaml"] = ENVIRONMENT.format(environment=environment, order=order)
    return files


def model(name: str = NAME, seed: int = 0) -> dict[str, str]:
    """Return the files of one model."""
    folder = f"models/{name}"
    files = {
        f"{folder}/model.yaml": MODEL.replace(NAME, name),
        f"{folder}/rollout.yaml": ROLLOUT.replace(NAME, name),
        f"{folder}/monitor.yaml": MONITOR.replace(NAME, name),
        f"{folder}/data/2026-q1.yaml": snapshot(seed).decode(),
        f"{folder}/train.py": "def train(features, target, parameters, seed): ...\n",
    }
    for environment in ENVIRONMENTS:
        files[f"{folder}/environments/{environment}.yaml"] = DEPLOYMENT.format(environment=environment)
    return files


def world(models: int = 1, changes: Mapping[str, str | None] | None = None) -> dict[str, bytes]:
    """Return a valid repository of so many models; ``changes`` replaces, adds or (None) removes files."""
    files: dict[str, str | None] = dict(policies())
    for number in range(models):
        files |= model(f"model-{number:04d}", number)
    files |= dict(changes or {})
    return {path: text.encode() for path, text in files.items() if text is not None}
