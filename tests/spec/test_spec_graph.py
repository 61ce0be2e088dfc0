from __future__ import annotations

import pytest

from modelops.errors import Exit, ModelOpsError, Problem
from modelops.spec.around import Metrics
from modelops.spec.graph import Graph, build_graph, check_immutable
from modelops.spec.kinds.data_snapshot import Source
from modelops.spec.load import load_resource
from modelops.spec.sweep import sweep
from modelops.spec.yaml.dump import dump
from spec_world import HEX, MODEL, NAME, POLICIES, snapshot, world

FOLDER = f"models/{NAME}"
GATES = "policies/gates/standard.yaml"
DEPLOYMENT = "apiVersion: modelops/v1\nkind: Deployment\nmetadata:\n  name: staging\nspec:\n"


_BINARY = ("binary-classification",)
METRICS = {"recall": _BINARY, "roc-auc": _BINARY, "rmse": ("regression",)}


def told(files: dict[str, bytes], metrics: Metrics | None = None) -> list[tuple[str, str, str | None]]:
    """Return (code, place, dotted) of every problem; the sweep over folders must find the same."""
    try:
        problems = build_graph(files, metrics, paths=files.keys()).refused
    except ModelOpsError as error:
        problems = error.problems if error.exit is Exit.FILES else ()
    assert problems
    specs = [path for path in files if path.endswith((".yaml", ".yml"))]
    swept = sweep(specs, files.__getitem__, every_path=frozenset(files), metrics=metrics and (lambda: metrics))
    assert sorted(map(str, swept.problems)) == sorted(map(str, problems))
    assert all(problem.message for problem in problems)
    return [(problem.code, str(problem.location), problem.dotted) for problem in problems]


def changed(path: str, old: str, new: str) -> dict[str, bytes]:
    files = world()
    text = files[path].decode()
    assert old in text
    files[path] = text.replace(old, new, 1).encode()
    return files


def test_a_valid_repository_becomes_a_graph() -> None:
    """Everything of a model is found by name under its entry."""
    graph = build_graph(world(2))
    assert isinstance(graph, Graph)
    assert list(graph.models) == ["model-0000", "model-0001"]
    entry = graph.models[NAME]
    assert (entry.folder, entry.snapshot.name, sorted(entry.deployments)) == (
        FOLDER,
        "2026-q1",
        ["local", "production", "staging"],
    )
    assert entry.model.spec.serving.threshold == 0.3
    assert graph.environments["staging"].spec.order == 1
    assert graph.warnings == ()


GATE_COLUMNS = [
    ("slices", "metric: accuracy, minimum: 0.8, columns: [country, chanel]", "unknown-column", "'chanel'"),
    ("fairness", "metric: demographic-parity, column: sex, maximum: 0.1", "unknown-column", "'sex'"),
    ("monotonicity", "directions: {amonut: increasing}, maximum: 0.01", "unknown-feature", "'amonut'"),
    ("robustness", "maximum: 0.1, columns: [age_group]", "unknown-feature", "'age_group'"),
    ("evasion", "minimum: 0.1, immutable: [hours]", "unknown-feature", "'hours'"),
    ("drift", "columns: [amount, of-another-model]", None, ""),
    ("data-quality", "missing: {of-another-model: 0.5}", None, ""),
    ("shap", "features: [sex], maximum: 0.1", "unknown-column", "'sex'"),
    ("permutation-importance", "proxiesOf: [sex], maximum: 0.1", "unknown-column", "'sex'"),
    ("slices", "metric: accuracy, minimum: 0.8, columns: [country, age_group]", None, ""),
    ("permutation-importance", "features: [age_group], maximum: 0.1", None, ""),
]


@pytest.mark.parametrize(("gate", "params", "code", "named"), GATE_COLUMNS)
def test_columns_that_gates_name_are_held_against_the_models_data(gate, params, code, named) -> None:
    """What neither features nor snapshot have is told with the gate and its line, unless the gate lets no data by."""

    def swept(block: str = "") -> list[Problem]:
        gate_line = f"    - {{name: asked, type: {gate}, params: {{{params}}}{block}}}\n"
        head = "apiVersion: modelops/v1\nkind: GatePolicy\nmetadata:\n  name: standard\nspec:\n  gates:\n"
        files = {**world(), GATES: (head + gate_line).encode()}
        specs = [path for path in files if path.endswith((".yaml", ".yml"))]
        return sweep(specs, files.__getitem__, every_path=frozenset(files)).problems

    if code is None:
        assert swept() == []
        return
    (problem,) = swept()
    assert (problem.code, problem.dotted) == (code, "spec.gates[0]")
    assert named in problem.message
    assert f"the gate 'asked' names ({GATES}:7)" in problem.message
    assert swept(", block: [fail]") == []


@pytest.mark.parametrize("name", ["monitor.yaml", "rollout.yaml"])
def test_a_file_without_its_spec_is_told_as_that(name: str) -> None:
    """What would name plugins, and holds nothing, lacks a key."""
    path = f"{FOLDER}/{name}"
    codes = [code for code, _, _ in told(changed(path, "spec:", "spek:"))]
    assert sorted(codes) == ["missing-key", "unknown-key"]


MODEL_CASES = [
    ("owner: payments-risk", "ower: payments-risk", "missing-key", "6:1", "spec"),
    ("owner: payments-risk", "owner: payments-risk\n  colour: red", "unknown-key", "9:3", "spec.colour"),
    ("intendedUse: Score", "intended_use: Score", "unknown-key", "11:3", "spec.intended_use"),
    ("risk: limited", "risk: medium", "unknown-value", "9:9", "spec.risk"),
    ("owner: payments-risk", "owner: 12", "wrong-type", "8:10", "spec.owner"),
    ("nullable: true", "nullable: yes", "wrong-type", "25:47", "spec.data.features[3].nullable"),
    ("seed: 7", "seed: 7.5", "wrong-type", "31:11", "spec.training.seed"),
    ("seed: 7", "seed: -1", "out-of-range", "31:11", "spec.training.seed"),
    ("gates: [standard]", "gates: []", "bad-value", "33:10", "spec.gates"),
    ("gates: [standard]", "gates: standard", "wrong-type", "33:10", "spec.gates"),
    ("gates: [standard]", "gates: [Standard!]", "bad-value", "33:11", "spec.gates[0]"),
    ("learning_rate: 0.2", "learning_rate: [0.2]", "wrong-type", "30:22", "spec.training.parameters.learning_rate"),
    ("kind: Model", "kind: Modle", "kind-mismatch", "3:7", "kind"),
    ("modelops/v1", "modelops/v2", "unknown-api-version", "2:13", "apiVersion"),
    ("name: model-0000", "name: other", "name-mismatch", "5:9", "metadata.name"),
    ("metadata:", "extra: 1\nmetadata:", "unknown-key", "4:1", "extra"),
    ("gates: [standard]", "gates: [standrad]", "unknown-gate-policy", "33:11", "spec.gates[0]"),
    ("snapshot: 2026-q1", "snapshot: 2026-q2", "unknown-snapshot", "15:15", "spec.data.snapshot"),
    ("target: is_fraud", "target: is_frod", "unknown-column", "16:13", "spec.data.target"),
    ("id: transaction_id", "id: transfer", "unknown-column", "18:9", "spec.data.id"),
    ("sensitive: [age_group]", "sensitive: [sex]", "unknown-column", "20:17", "spec.data.sensitive[0]"),
    ("name: amount", "name: amuont", "unknown-column", "22:16", "spec.data.features[0].name"),
    (
        "name: amount, type: number",
        "name: amount, type: datetime",
        "column-type",
        "22:30",
        "spec.data.features[0].type",
    ),
    ("name: amount", "name: is_fraud", "target-leak", "22:16", "spec.data.features[0].name"),
    ("name: country", "name: amount", "duplicate-name", "23:16", "spec.data.features[1].name"),
    ("positive: 1", "positive: maybe", "bad-positive", "17:15", "spec.data.positive"),
    ("    id: transaction_id\n", "", "split-needs-id", "31:19", "spec.training.split.type"),
    ("entrypoint: train.py", "entrypoint: tain.py", "unknown-entrypoint", "27:17", "spec.training.entrypoint"),
    ("entrypoint: train.py", "entrypoint: ../x.py", "unknown-entrypoint", "27:17", "spec.training.entrypoint"),
]


@pytest.mark.parametrize(("old", "new", "code", "place", "dotted"), MODEL_CASES)
def test_each_mistake_in_a_model_has_its_line(old: str, new: str, code: str, place: str, dotted: str) -> None:
    """A mistake in model.yaml is named by code, line, column and dotted path."""
    found = told(changed(f"{FOLDER}/model.yaml", old, new))
    assert (code, f"{FOLDER}/model.yaml:{place}", dotted) in found


OTHER_CASES = [
    (f"{FOLDER}/rollout.yaml", "type: canary", "type: canari", "unknown-plugin", "7:11", "spec.strategy.type"),
    (
        f"{FOLDER}/rollout.yaml",
        "weight: 0.5,",
        "weight: half,",
        "wrong-type",
        "11:20",
        "spec.strategy.params.steps[1].weight",
    ),
    (f"{FOLDER}/monitor.yaml", "type: psi", "type: psy", "unknown-plugin", "7:18", "spec.drift[0].type"),
    (f"{FOLDER}/monitor.yaml", "recall", "recal", "unknown-metric", "8:25", "spec.performance.metric"),
    (f"{FOLDER}/monitor.yaml", "recall", "rmse", "metric-not-for-task", "8:25", "spec.performance.metric"),
    (f"{FOLDER}/monitor.yaml", ", minimum: 0.6", "", "missing-limit", "8:16", "spec.performance"),
    (GATES, "type: metric", "type: metrik", "unknown-plugin", "8:27", "spec.gates[0].type"),
    (GATES, "minimum: 0.85", "minimun: 0.85", "unknown-key", "8:70", "spec.gates[0].params.minimun"),
    ("policies/project.yaml", "key: local", "key: lokal", "unknown-key-name", "8:18", "spec.signing.key"),
    ("policies/project.yaml", "type: embedded", "type: gitlab", "unknown-plugin", "7:17", "spec.forge.type"),
    ("policies/environments/staging.yaml", "order: 1", "order: 0", "duplicate-order", "7:10", "spec.order"),
    ("policies/environments/staging.yaml", "type: local", "type: moon", "unknown-plugin", "6:18", "spec.target.type"),
    (
        "policies/approvals.yaml",
        "group:reviewers",
        "group:nobody",
        "unknown-group",
        "9:35",
        "spec.rules[0].approvers[0]",
    ),
    (
        "policies/approvals.yaml",
        "[production]",
        "[prod]",
        "unknown-environment",
        "10:42",
        "spec.rules[1].environments[0]",
    ),
    ("policies/approvals.yaml", "minimum: 2", "minimum: 3", "unmeetable-rule", "10:7", "spec.rules[1]"),
    ("policies/approvals.yaml", "[ada]", '["team:a/b"]', "bad-team", "11:36", "spec.rules[2].approvers[0]"),
    ("policies/trust.yaml", "PUBLIC KEY", "PRIVATE KEY", "private-key-in-git", "8:18", "spec.keys[0].publicKey"),
    ("policies/trust.yaml", "MFkwEwYHKoZIzj0C", "MFkwEwYHKoZI*j0C", "bad-key", "8:18", "spec.keys[0].publicKey"),
    ("policies/trust.yaml", "ak4Ic/tm103l", "ak4Ic/tm103m", "bad-key", "8:18", "spec.keys[0].publicKey"),
    (
        "policies/trust.yaml",
        "-----BEGIN PUBLIC KEY",
        "----BEGIN PUBLIC KEY",
        "bad-key",
        "8:18",
        "spec.keys[0].publicKey",
    ),
    ("policies/trust.yaml", "-----BEGIN", "BEGIN", "bad-key", "8:18", "spec.keys[0].publicKey"),
    ("policies/rules/owner.yaml", "{kind: Model}", "{kind: Modell}", "unknown-kind", "6:17", "spec.match.kind"),
    ("policies/rules/owner.yaml", '!= "nobody"', '!= "nobody', "bad-expression", "7:15", "spec.expression"),
    ("policies/rules/owner.yaml", "spec.owner", "spec.boss", "rule-error", "7:15", "spec.expression"),
    (
        "policies/rules/owner.yaml",
        'resource.spec.owner != "nobody"',
        "resource.spec.owner",
        "rule-not-boolean",
        "7:15",
        "spec.expression",
    ),
    ("policies/rules/owner.yaml", '!= "nobody"', '!= "payments-risk"', "rule-failed", "7:3", "spec"),
]


@pytest.mark.parametrize(("path", "old", "new", "code", "place", "dotted"), OTHER_CASES)
def test_each_mistake_elsewhere_has_its_line(path: str, old: str, new: str, code: str, place: str, dotted: str) -> None:
    """A mistake in any other file, plugin parameters and rules included, is reported at its own line."""
    where = f"{FOLDER}/model.yaml" if code == "rule-failed" else path
    assert (code, f"{where}:{place}", dotted) in told(changed(path, old, new), METRICS)


DEPLOYMENTS = [
    ("  stable: 3\n", "unknown-release", "6:11", "spec.stable"),
    ("  candidate: 1\n", "unknown-release", "6:14", "spec.candidate"),
    ("  denied:\n    - {release: 4, reason: errors}\n", "unknown-release", "7:17", "spec.denied[0].release"),
    ('  stable: "3"\n', "wrong-type", "6:11", "spec.stable"),
    ("  stable: 0\n", "out-of-range", "6:11", "spec.stable"),
]


@pytest.mark.parametrize(("spec", "code", "place", "dotted"), DEPLOYMENTS)
def test_a_deployment_names_releases_that_exist(spec: str, code: str, place: str, dotted: str) -> None:
    """A deployment that names a release which does not exist is an error at that number."""
    path = f"{FOLDER}/environments/staging.yaml"
    found = told(world(changes={path: DEPLOYMENT + spec}))
    assert (code, f"{path}:{place}", dotted) in found


def test_an_unknown_environment_and_a_missing_rollout_are_errors() -> None:
    """A deployment needs its environment, and a candidate its rollout plan."""
    files = world(changes={"policies/environments/staging.yaml": None, f"{FOLDER}/rollout.yaml": None})
    path = f"{FOLDER}/environments/staging.yaml"
    files[path] = (DEPLOYMENT + "  candidate: 1\n").encode()
    codes = [code for code, _, _ in told(files)]
    assert codes == ["unknown-environment", "missing-rollout", "unknown-release"]


def test_every_problem_of_every_file_comes_in_one_pass() -> None:
    """Broken YAML in one file hides nothing of the others, and what it defines still counts as there."""
    files = changed(f"{FOLDER}/model.yaml", "risk: limited", "risk: medium\n  risk: high")
    files[f"{FOLDER}/rollout.yaml"] = files[f"{FOLDER}/rollout.yaml"].replace(b": rollback", b": rolback")
    files[f"{FOLDER}/data/2026-q1.yaml"] = b"a: [\n"
    files[GATES] = POLICIES[GATES].replace("roc-auc", "roc").encode()
    files["policies/gates/extra.yml"] = b"a: 1\n"
    codes = {code for code, _, _ in told(files)}
    assert codes >= {"duplicate-key", "yaml-syntax", "unknown-value", "unknown-file"}
    assert not codes & {"unknown-snapshot", "unknown-gate-policy"}


def _broken() -> dict[str, bytes]:
    """A world in which each file of the model has a wrong value, and elsewhere a reference that leads nowhere."""
    files = changed(f"{FOLDER}/model.yaml", "risk: limited", "risk: medium")
    text = files[f"{FOLDER}/model.yaml"].replace(b"gates: [standard]", b"gates: [standrd]")
    text = text.replace(b"name: amount, type: number", b"name: amount, type: nmber")
    text = text.replace(b"name: country", b"name: contry").replace(b"entrypoint: train.py", b"entrypoint: ../train.py")
    files[f"{FOLDER}/model.yaml"] = text.replace(b"snapshot: 2026-q1", b"snapshot: 2026-q2")
    monitor = files[f"{FOLDER}/monitor.yaml"].replace(b"{metric: recall, minimum: 0.6}", b"{metric: recal, minimum: x}")
    files[f"{FOLDER}/monitor.yaml"] = monitor.replace(b"type: psi", b"type: psy")
    files[f"{FOLDER}/environments/staging.yaml"] = (DEPLOYMENT + "  stable: 7\n  candidate: x\n").encode()
    return files


def test_references_of_a_file_are_checked_although_it_is_not_valid() -> None:
    """Wrong values and wrong references of one file come in one pass; what follows from a wrong value is not said."""
    found = [(code, dotted) for code, _, dotted in told(_broken(), METRICS)]
    for expected in [
        ("unknown-value", "spec.risk"),
        ("unknown-value", "spec.data.features[0].type"),
        ("unknown-gate-policy", "spec.gates[0]"),
        ("unknown-entrypoint", "spec.training.entrypoint"),
        ("unknown-snapshot", "spec.data.snapshot"),
        ("unknown-metric", "spec.performance.metric"),
        ("unknown-plugin", "spec.drift[0].type"),
        ("unknown-release", "spec.stable"),
    ]:
        assert expected in found
    assert [code for code, dotted in found if dotted == "spec.candidate"] == ["wrong-type"]
    assert len(found) == len(set(found))


def test_the_columns_of_a_file_that_is_not_valid_are_checked() -> None:
    """A feature that the snapshot lacks is named beside the value that is wrong."""
    files = changed(f"{FOLDER}/model.yaml", "risk: limited", "risk: medium")
    files[f"{FOLDER}/model.yaml"] = files[f"{FOLDER}/model.yaml"].replace(b"name: country", b"name: contry")
    found = [(code, dotted) for code, _, dotted in told(files)]
    assert found == [("unknown-value", "spec.risk"), ("unknown-column", "spec.data.features[1].name")]


@pytest.mark.parametrize("text", ["a: [\n", "kind: Model\n", "kind: {a: 1}\n", "", MODEL.replace("owner:", "ownr:")])
def test_no_rule_is_called_unused_because_a_file_is_broken(text: str) -> None:
    """A rule whose files cannot be read may well match them."""
    files = world(changes={f"{FOLDER}/model.yaml": text})
    paths = [path for path in files if path.endswith(".yaml")]
    findings = sweep(paths, files.__getitem__, every_path=frozenset(files))
    assert findings.problems
    assert findings.warnings == []


def test_policies_must_be_there() -> None:
    """Project, approvals and trust are never assumed."""
    names = ("project", "approvals", "trust")
    files = world(changes={f"policies/{name}.yaml": None for name in names})
    assert [code for code, _, _ in told(files)].count("missing-policy") == 3


def test_a_folder_without_its_model_is_an_error() -> None:
    """Files of a model without model.yaml belong to nothing."""
    assert "missing-model" in [code for code, _, _ in told(world(changes={f"{FOLDER}/model.yaml": None}))]


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        (f"{FOLDER}/model.yml", "a: 1\n", "unknown-file"),
        (f"{FOLDER}/config/other.yaml", "apiVersion: modelops/v1\nkind: Model\n", "unknown-file"),
        ("policies/notes.yaml", "a: 1\n", "unknown-file"),
        (f"{FOLDER}/environments/Staging.yaml", DEPLOYMENT + "  denied: []\n", "name-mismatch"),
    ],
)
def test_a_spec_in_the_wrong_place_is_an_error(path: str, content: str, code: str) -> None:
    """A file that looks like ours where no kind lives is named; it would be silently ignored otherwise."""
    assert (code, path) in [(its, where.partition(":")[0]) for its, where, _ in told(world(changes={path: content}))]


def test_a_models_own_yaml_is_left_alone() -> None:
    """YAML that belongs to the training code is none of our business."""
    graph = build_graph(world(changes={f"{FOLDER}/config/params.yaml": "yes: [no\n", f"{FOLDER}/notes.yml": "- 1\n"}))
    assert list(graph.models) == [NAME]


def test_missing_values_need_a_nullable_feature() -> None:
    """A column with missing rows is an error unless the feature says that it may be null."""
    text = (
        snapshot()
        .decode()
        .replace("{name: amount, type: number, missing: 0", "{name: amount, type: number, missing: 9")
    )
    found = told(world(changes={f"{FOLDER}/data/2026-q1.yaml": text}))
    assert [(code, dotted) for code, _, dotted in found] == [("not-nullable", "spec.data.features[0]")]


def test_a_rule_with_severity_warning_warns_and_one_that_can_match_nothing_too() -> None:
    """Warnings are kept with the graph and break nothing; a rule that waits for a model of its risk is no fault."""
    rule = POLICIES["policies/rules/owner.yaml"]
    soft = rule.replace("name: owner", "name: soft").replace('"nobody"', '"payments-risk"') + "  severity: warning\n"
    idle = rule.replace("name: owner", "name: idle").replace("kind: Model}", "kind: Environment, risk: [high]}")
    waits = rule.replace("name: owner", "name: waits").replace("kind: Model}", "kind: Model, risk: [high]}")
    rules = {"soft": soft, "idle": idle, "waits": waits}
    graph = build_graph(world(changes={f"policies/rules/{name}.yaml": text for name, text in rules.items()}))
    assert sorted(problem.code for problem in graph.warnings) == ["rule-failed", "unused-rule"]


def test_a_rule_sees_defaults() -> None:
    """A rule reads what is in effect, written or not."""
    rule = POLICIES["policies/rules/owner.yaml"].replace("resource.spec.owner", "resource.spec.training.timeoutSeconds")
    graph = build_graph(world(changes={"policies/rules/owner.yaml": rule.replace('!= "nobody"', "== 900")}))
    assert graph.warnings == ()


def test_several_processes_find_what_one_finds() -> None:
    """The sweep gives the same findings, however it is shared out."""
    files = world(260)
    for number in (3, 150, 259):
        path = f"models/model-{number:04d}/model.yaml"
        files[path] = files[path].replace(b"risk: limited", b"risk: none")
        path = f"models/model-{number:04d}/monitor.yaml"
        files[path] = files[path].replace(b"type: psi", b"type: psi, params: {bin: 3}")
    specs = [path for path in files if path.endswith(".yaml")]
    one, three = (sweep(specs, files.__getitem__, every_path=frozenset(files), processes=count) for count in (1, 3))
    assert [problem.code for problem in one.problems] == ["unknown-value", "unknown-key"] * 3
    assert (one.problems, one.warnings, one.files, one.models) == (
        three.problems,
        three.warnings,
        three.files,
        three.models,
    )


def test_immutable_files_may_not_change_or_go() -> None:
    """Releases with their evidence, promotions and snapshots stay as they were; new ones are welcome."""
    release, card = f"{FOLDER}/releases/1/release.yaml", f"{FOLDER}/releases/1/MODEL_CARD.md"
    evidence, promotion = f"{FOLDER}/releases/1/evidence.intoto.jsonl", f"{FOLDER}/promotions/staging-1.yaml"
    base = {release: b"1", card: b"1", evidence: b"1", promotion: b"1", f"{FOLDER}/model.yaml": b"1", "README.md": b"1"}
    assert check_immutable(base, {**base, f"{FOLDER}/data/new.yaml": b"1", f"{FOLDER}/model.yaml": b"2"}) == []
    found = check_immutable(base, {release: b"2", promotion: b"1"})
    assert [(problem.code, str(problem.location)) for problem in found] == [
        ("immutable-file", card),
        ("immutable-file", evidence),
        ("immutable-file", release),
    ]


def test_hints_name_the_nearest_word() -> None:
    """A misspelt key or value is answered with the one that was meant."""
    data = MODEL.replace("owner:", "ownr:").replace("risk: limited", "risk: limitd").encode()
    with pytest.raises(ModelOpsError) as caught:
        load_resource(data, f"{FOLDER}/model.yaml")
    hints = {problem.code: problem.hint for problem in caught.value.problems}
    assert hints["unknown-key"] == "did you mean 'owner'?"
    assert hints["unknown-value"] == "did you mean 'limited'?"
    assert hints["missing-key"] == "add `owner:`"


def test_a_resource_remembers_where_it_was_written() -> None:
    """Marks of a plain file are found when they are asked for, ancestors included."""
    resource = load_resource(MODEL.encode(), f"{FOLDER}/model.yaml")
    assert str(resource.where("spec.training.seed")) == f"{FOLDER}/model.yaml:31:11"
    assert resource.where("spec.training.memoryMib") == resource.where("spec.training")
    assert len(resource.digest.removeprefix("sha256:")) == len(HEX)


def test_data_outside_of_the_repository_need_the_projects_consent() -> None:
    """The place is named with the line to add, and a graph that the loop reads goes on with its other models."""
    path = f"{FOLDER}/data/2026-q1.yaml"
    files = world(2)
    taken = load_resource(files[path], path).spec
    moved = taken.model_copy(update={"source": Source(type="files", location="/etc", owner="payments-risk")})
    files[path] = dump("DataSnapshot", "2026-q1", moved, None, path)
    specs = [name for name in files if name.endswith(".yaml")]
    (problem,) = sweep(specs, files.__getitem__, every_path=frozenset(files)).problems
    line = 1 + files[path].decode().splitlines().index("    location: /etc")
    assert (problem.code, str(problem.location)) == ("data-location", f"{path}:{line}:15")
    assert problem.hint is not None
    assert "`dataLocations: [/etc/]`" in problem.hint
    graph = build_graph(files)
    assert list(graph.models) == [NAME, "model-0001"]
    assert [problem.code for problem in graph.refused] == ["data-location"]
    files["policies/project.yaml"] = files["policies/project.yaml"] + b"  dataLocations: [/etc/]\n"
    assert sweep(specs, files.__getitem__, every_path=frozenset(files)).problems == []


def test_a_monitor_names_one_score_or_several() -> None:
    """The score that version 0.1.0 wrote without a list is a list of one; naming one twice is an error at its line."""
    path, listed = f"{FOLDER}/monitor.yaml", b"drift: [{type: psi}]"
    files = world()
    for text in (b"drift: {type: psi, params: {bins: 5}}", b"drift: [{type: psi}, {type: wasserstein}]"):
        assert build_graph(changed := files | {path: files[path].replace(listed, text)}, paths=changed).refused == ()
    for text, expected in (
        (b"drift: {type: psi, params: {bin: 5}}", ("unknown-key", "spec.drift.params.bin")),
        (b"drift: {type: psi, bins: 5}", ("unknown-key", "spec.drift.bins")),
        (b"drift: {type: jensen_shannon}", ("bad-value", "spec.drift.type")),
        (b"drift: {type: psi, params: {warn: 0.3}}", ("bad-value", "spec.drift.params")),
        (b"drift: {type: wasserstein, params: {alert: 0.4, warn: 0.5}}", ("bad-value", "spec.drift.params")),
        (b"drift: {}", ("missing-key", "spec.drift")),
        (b"drift: psi", ("wrong-type", "spec.drift")),
        (b"drift: [psi]", ("wrong-type", "spec.drift[0]")),
        (b"drift: []", ("bad-value", "spec.drift")),
        (b"drift: [{type: psi}, {type: psi}]", ("score-twice", "spec.drift[1]")),
        (b"reference: {of: traffic}", ("reference-time", "spec.reference")),
        (b"reference: {of: holdout, cycleDays: 7}", ("reference-time", "spec.reference")),
        (b"reference: {of: traffic, cycleDays: 7}", ("reference-overlaps", "spec.reference.cycleDays")),
        (b"objectives: {periodDays: 28}", ("no-objective", "spec.objectives")),
        (
            b"objectives: {quality: {target: 0.9, within: 1.5}}",
            ("quality-bound", "spec.objectives.quality.within"),
        ),
        (b"reference: {of: traffic, cycleDays: soon}", ("wrong-type", "spec.reference.cycleDays")),
        (b"reference: {of: trafic, cycleDays: 7}", ("unknown-value", "spec.reference.of")),
        (b"slices: [{feature: amount, edges: [a, 2]}]", ("wrong-type", "spec.slices[0].edges[0]")),
        (b"slices: [{feature: amount, edges: 3}]", ("wrong-type", "spec.slices[0].edges")),
        (b"slices: [{feature: nothing}]", ("unknown-feature", "spec.slices[0].feature")),
    ):
        found = told(files | {path: files[path].replace(listed, text)}, None)
        assert [(code, dotted) for code, _, dotted in found] == [expected]
        assert found[0][1].startswith(f"{path}:7:")


@pytest.mark.parametrize(
    ("triggers", "expected"),
    [
        ("drift: false, performance: false, manual: false", ("no-trigger", "")),
        ("estimatedPerformance: true", ("trigger-unmeasured", ".estimatedPerformance")),
        ("everyDays: soon", ("wrong-type", ".everyDays")),
        ("newLabels: 0", ("out-of-range", ".newLabels")),
    ],
)
def test_a_retraining_needs_what_makes_it_due(triggers: str, expected: tuple[str, str]) -> None:
    """Nothing that triggers, and a trigger that nothing measures, are errors at their place."""
    path, files = f"{FOLDER}/monitor.yaml", world()
    kept = files[path].split(b"  retraining:")[0].replace(b"estimate: true", b"estimate: false")
    found = told(files | {path: kept + f"  retraining: {{triggers: {{{triggers}}}}}\n".encode()}, None)
    assert [(code, dotted) for code, _, dotted in found] == [(expected[0], f"spec.retraining.triggers{expected[1]}")]


def test_a_model_that_weights_its_rows_has_no_retraining() -> None:
    """Neither requests nor labels bring a weight, so no retraining could ever have a row: that is said beforehand."""
    path, model = f"{FOLDER}/monitor.yaml", f"{FOLDER}/model.yaml"
    files = world()
    files[model] = files[model].replace(b"  data:\n", b"  data:\n    weight: amount\n")
    without = files[path].split(b"  retraining:")[0]
    with_it = without + b"  retraining: {minimumRows: 500}\n"
    codes = [code for code, _, dotted in told(files | {path: with_it}, None) if dotted == "spec.retraining"]
    assert codes == ["retraining-unweighted"]
    assert not [1 for _, _, dotted in told(files | {path: without}, None) if dotted == "spec.retraining"]


IN_PODS = f"{{type: kubernetes, params: {{image: r.example/m@sha256:{HEX}"


@pytest.mark.parametrize(
    ("target", "log", "stable", "told"),
    [
        (IN_PODS + "}}", "acknowledged", True, True),
        (IN_PODS + ", logStorage: 1Gi}}", "acknowledged", True, False),
        (IN_PODS + ", logClaim: shared}}", "acknowledged", True, False),
        (IN_PODS + "}}", "buffered", True, False),
        (IN_PODS + "}}", "acknowledged", False, False),
        ("{type: docker}", "acknowledged", True, False),
        ("{type: local}", "acknowledged", True, False),
    ],
)
def test_a_log_on_disk_before_the_answer_is_on_one_that_stays(target: str, log: str, stable: bool, told: bool) -> None:
    """Where a model runs and its log goes with its pod, its file says so before anything is rendered or applied."""
    files = changed("policies/environments/staging.yaml", "{type: local}", target)
    files[f"{FOLDER}/model.yaml"] = MODEL.replace("log: buffered", f"log: {log}").encode()
    deployment = DEPLOYMENT + ("  stable: 1\n" if stable else "  denied: []\n")
    files[f"{FOLDER}/environments/staging.yaml"] = deployment.encode()
    specs = [path for path in files if path.endswith(".yaml")]
    found = sweep(specs, files.__getitem__, every_path=frozenset(files)).problems
    kept = [problem for problem in found if problem.code == "log-not-kept"]
    assert [(str(problem.location), problem.dotted) for problem in kept] == (
        [(f"{FOLDER}/model.yaml:35:10", "spec.serving.log")] if told else []
    )
    assert all("in staging" in problem.message for problem in kept)
    assert {problem.code for problem in found} <= {"log-not-kept", "unknown-release"}
