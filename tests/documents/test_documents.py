"""Documents about a release say what is proven and what people wrote, and name everything that is missing."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import pkgutil
import shutil
import subprocess
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dashboard.reading import for_everybody, read
from modelops import documents
from modelops.audit import Asked
from modelops.cli import main
from modelops.cli.document import KINDS
from modelops.clock import parse_instant
from modelops.data.datasheet import QUESTIONS
from modelops.digests import digest_bytes
from modelops.documents import Facts, Paper
from modelops.documents.annex_iv import technical_documentation
from modelops.documents.atlas import navigator_layer
from modelops.documents.card import signed_card
from modelops.documents.changes import change_record
from modelops.documents.datasheet import datasheet
from modelops.documents.lineage import lineage_paper, open_lineage
from modelops.documents.ml_bom import ml_bom
from modelops.documents.risks import risk_register
from modelops.errors import ModelOpsError
from modelops.evidence import Making
from modelops.repository import Repository
from modelops.repository.history import Person
from modelops.spec.kinds.access_policy import AccessPolicySpec, ApiKey, Budget
from modelops.spec.kinds.data_snapshot import Answer
from modelops.spec.kinds.dossier import DossierSpec, Level, Risk
from modelops.spec.kinds.environment import EnvironmentSpec
from modelops.spec.kinds.gate_policy import Gate, GatePolicySpec
from modelops.spec.kinds.monitor import MonitorSpec, Performance
from modelops.spec.law import annex_iv, law
from modelops.spec.load import load_resource
from modelops.spec.meta import Plugin
from modelops.spec.yaml.dump import dump
from modelops.stores.oci_layout import OciLayout
from modelops.training.request import spec_digest
from modelops.views.reports import documents as view
from releases.release_facts import (
    MODEL,
    build,
    make_signer,
    model_spec,
    promotion,
    release,
    snapshot_resource,
    snapshot_spec,
    trust_in,
    verdict,
)

HOME = f"models/{MODEL}"
BOT = Person("modelops", "modelops@example.com")
LOCK = b"numpy==2.3.5 --hash=sha256:" + b"a" * 64 + b"\nscipy==1.16.3\n"
CODE = b"def train(): ...\n"
NOW = parse_instant("2026-06-01T00:00:00Z")
SHEET = {"motivation": (Answer(question="Who funded it?", answer="The bank."),)}
VERDICTS = (
    verdict("recall"),
    verdict("parity", type="fairness", value=0.03, lower=0.0, upper=0.08, limit=0.1, reason="small gap by sex"),
    verdict("segments", type="slices", value=0.8, limit=0.7, reason="the worst of 2 is sex f"),
    verdict("noise", "inconclusive", type="robustness", reason="few rows"),
)
DETAILS = {
    "quality/parity": {"groups": [{"group": "f", "n": 120, "selectionRate": 0.25}]},
    "quality/segments": {"slices": [{"slice": "sex f", "n": 120, "value": 0.8, "lower": 0.75, "upper": 0.85}]},
}
MAKING = Making(
    builder="https://modelops.dev/builders/local/v1",
    invocation="one",
    started="2026-01-01T10:00:00Z",
    finished="2026-01-01T10:05:00Z",
    modelops="0.2.0",
    environment={"python": "3.11.9", "platform": "linux"},
    packages={"numpy": "2.3.5", "pandas": "2.3.3"},
    code={"train.py": hashlib.sha256(CODE).hexdigest()},
)
RISK = Risk(
    name="wrong-hold",
    description="An honest payment is held.",
    harms="The customer cannot pay.",
    level=Level(likelihood="likely", severity="serious"),
    measures=("An analyst looks within an hour.",),
    gates=("quality/recall", "quality/noise"),
    residual=Level(likelihood="possible", severity="minor"),
    owner="payments-risk",
)


class World:
    """A repository with one release of a model, promoted, and what people wrote about it."""

    def __init__(self, root: Path, signer: Any, store: OciLayout) -> None:
        self.root, self.signer = root, signer
        self.repository = Repository.create(root)
        self.record = build(store, spec=spec_digest(model_spec()), environment_lock=digest_bytes(LOCK))

    def commit(self, when: str, files: Mapping[str, bytes | None]) -> str:
        base = self.repository.find_tip("main")
        commit = self.repository.commit_files(base, files, f"Change at {when}", BOT, parse_instant(when))
        subprocess.run(["git", "update-ref", "refs/heads/main", commit], cwd=self.root, check=True)
        return commit

    def write(self, dossier: DossierSpec) -> None:
        self.commit("2026-05-01T00:00:00Z", {f"{HOME}/dossier.yaml": dump("Dossier", MODEL, dossier)})


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Release 1 with details of its gates, made on a known machine, approved and promoted."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "project").mkdir()
    world = World(folder / "project", make_signer(folder), OciLayout(folder / "store"))
    policy = GatePolicySpec(description="Holds payments.", gates=(Gate(name="recall", type="metric"),))
    made = world.commit(
        "2026-01-01T00:00:00Z",
        {
            f"{HOME}/train.py": CODE,
            f"{HOME}/model.yaml": dump("Model", MODEL, model_spec()),
            f"{HOME}/data/q1.yaml": dump("DataSnapshot", "q1", snapshot_spec(datasheet=SHEET)),
            "policies/trust.yaml": dump("TrustPolicy", "trust", trust_in(world.signer)),
            "policies/gates/quality.yaml": dump("GatePolicy", "quality", policy),
            "policies/environments/production.yaml": b"apiVersion: modelops/v1\nkind: Environment\n",
            "requirements.lock": LOCK,
        },
    )
    files = release(
        1,
        world.record,
        world.signer,
        commit=made,
        snapshot=snapshot_resource(datasheet=SHEET),
        verdicts=VERDICTS,
        details=DETAILS,
        making=MAKING,
    )
    world.commit("2026-01-02T00:00:00Z", files)
    evidence = files[f"{HOME}/releases/1/evidence.intoto.jsonl"]
    world.commit("2026-01-05T12:00:00Z", promotion(world.record, evidence, world.signer, commit=made))
    return folder


@pytest.fixture
def world(history: Path, tmp_path: Path) -> World:
    shutil.copytree(history, tmp_path / "copy")
    found = World.__new__(World)
    found.root = tmp_path / "copy" / "project"
    found.repository = Repository.discover(found.root)
    return found


def facts(world: World) -> Facts:
    return documents.gather(world.repository, MODEL, 1, branch="main", asked=Asked(NOW))


def section(paper: Paper, id: str):
    return next(one for one in paper.sections if one.id == id)


def said(paper: Paper, id: str) -> str:
    return " | ".join(one.text for one in section(paper, id).statements)


def test_annex_iv_has_every_item_and_every_gap_by_name(world: World) -> None:
    """Twenty-three items in their order, each with its sources; those that need people and have nobody are gaps."""
    paper = technical_documentation(facts(world))
    assert [one.id for one in paper.sections] == [item.id for item in annex_iv().items]
    assert len(paper.sections) == 23
    needed = {item.id for item in annex_iv().items if item.people == "required"}
    assert {gap.partition(":")[0] for gap in paper.gaps if "nobody answered it" in gap} == needed
    assert "Hold suspicious payments for an analyst." in said(paper, "1a")
    assert "2 packages are pinned, 1 of them by hash" in said(paper, "1c")
    assert "Pull request #7 by ana, approved by ben (2026-01-05T10:00:00Z)" in said(paper, "2g")
    groups = {one.title: one.rows for one in section(paper, "3").tables}
    assert groups["quality/segments"] == (("sex f", "0.75", "120", "0.85", "0.8"),)
    assert "9: nothing watches it: there is no models/fraud-detection/monitor.yaml" in paper.gaps
    assert "2d: the snapshot has no signature" in paper.gaps
    assert dict(paper.about)["dates from"].endswith("2026-08")
    assert all(one.source for part in paper.sections for one in part.statements)


def test_what_people_answer_closes_its_gap_and_no_other(world: World) -> None:
    """An answer stands in its item with its file and commit; whitespace is laid even, nothing else is changed."""
    before = technical_documentation(facts(world)).gaps
    world.write(DossierSpec(provider="Bank, Street 1", annex_iv={"1b": "It reads\n  the ledger.", "7": "None."}))
    paper = technical_documentation(facts(world))
    closed = {gap.partition(":")[0] for gap in set(before) - set(paper.gaps)}
    assert closed == {"1a", "1b", "7"}
    assert said(paper, "1b") == "It reads the ledger."
    assert section(paper, "1b").statements[0].source.startswith(f"{HOME}/dossier.yaml at ")
    assert "the provider is not named" not in " ".join(paper.gaps)


def test_the_register_holds_risks_beside_what_gates_measured(world: World) -> None:
    """A risk shows the verdicts that keep it down; one that is not shown, not accepted or not named is a gap."""
    empty = risk_register(facts(world))
    assert "risks: no risk is named: write them under spec.risks of models/fraud-detection/dossier.yaml" in empty.gaps
    assert any(gap.startswith("known: no risk speaks of it: the gate quality/noise") for gap in empty.gaps)
    grave = RISK.model_copy(update={"name": "grave", "residual": None, "gates": ("quality/gone",), "measures": ()})
    world.write(DossierSpec(risks=(RISK, grave)))
    paper = risk_register(facts(world))
    rows = section(paper, "wrong-hold").tables[0].rows
    assert [(row[0], row[1]) for row in rows] == [("quality/recall", "pass"), ("quality/noise", "inconclusive")]
    assert set(paper.gaps) == {
        "wrong-hold: the gate quality/noise says inconclusive: few rows",
        "grave: what is left of it with measures in place is not said (residual)",
        "grave: what is left is likely and serious, and nobody accepted it (acceptedBy)",
        "grave: the gate quality/gone did not judge this release",
    }


def test_the_datasheet_tells_measured_answers_from_others(world: World) -> None:
    """Every question of every section is answered or a gap; columns are told as they were measured."""
    paper = datasheet(facts(world))
    assert said(paper, "motivation") == "Who funded it? The bank."
    assert "motivation: Who created it, and on behalf of whom?" in paper.gaps
    asked = sum(len(questions) for questions in QUESTIONS.values())
    assert len(paper.gaps) == asked - 1
    assert section(paper, "columns").tables[0].rows[0] == ("amount", "number", "0", "900", "0.5", "900", "42.12")


def test_the_record_of_changes_is_the_whole_population(world: World) -> None:
    """Each release and each promotion is a row with author, approvers, tests and whether it is proven."""
    paper = change_record(facts(world))
    (row,) = section(paper, "releases").tables[0].rows
    assert row[0] == "1"
    assert row[2:] == (
        "2026-01-01T10:05:00Z",
        "#7",
        "ana",
        "ben (2026-01-05T10:00:00Z)",
        "1 inconclusive, 3 pass",
        "-",
        "yes",
    )
    (promoted,) = section(paper, "promotions").tables[0].rows
    assert promoted[:3] == ("production-1", "1", "production")
    assert promoted[-1] == "yes"
    path = f"{HOME}/promotions/production-1.yaml"
    world.commit("2026-05-02T00:00:00Z", {path: world.repository.read("main", path).replace(b"ben", b"eve")})
    broken = change_record(facts(world))
    assert section(broken, "promotions").tables[0].rows[0][-1] == "NO"
    assert any(gap.startswith("promotions: production-1 is not proven") for gap in broken.gaps)


def test_the_bill_is_what_cyclonedx_calls_one(world: World) -> None:
    """It is valid by the schema that the specification's own library ships, strictly, whatever people wrote."""
    validation = pytest.importorskip("cyclonedx.validation.json", reason="needs cyclonedx-python-lib")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_7)
    world.write(DossierSpec(provider="Bänk & Co.", risks=(RISK,)))
    bill = ml_bom(facts(world)).decode()
    assert validator.validate_str(bill) is None
    wrong = json.loads(bill)
    wrong["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["value"] = 0.9
    assert validator.validate_str(json.dumps(wrong)) is not None


def test_the_bill_has_model_data_and_packages_by_hash(world: World) -> None:
    """Metrics with intervals, slices, files of the data, pinned and installed packages; equal facts, equal bytes."""
    found = json.loads(ml_bom(facts(world)))
    assert ml_bom(facts(world)) == ml_bom(facts(world))
    assert (found["specVersion"], found["metadata"]["timestamp"]) == ("1.7", "2026-01-01T10:05:00Z")
    component = found["metadata"]["component"]
    metrics = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    interval = {"lowerBound": "0.9", "upperBound": "0.93"}
    assert metrics[0] == {"type": "roc-auc", "value": "0.91234567", "confidenceInterval": interval}
    assert metrics[-1]["slice"] == "sex f"
    data, *packages = found["components"]
    assert data["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    hashed = {one["name"]: len(one.get("hashes", [])) for one in packages}
    assert hashed == {"numpy": 1, "scipy": 0, "pandas": 0}
    depends = found["dependencies"][0]["dependsOn"]
    assert set(depends) == {one["bom-ref"] for one in found["components"]}


def taken(kind: Any, value: Any) -> Any:
    """Build a class of OpenLineage's client from JSON, with all that lies in it; what it does not know is an error."""
    if isinstance(kind, types.UnionType):
        (kind,) = [one for one in kind.__args__ if one is not type(None)]
    if typing.get_origin(kind) is list:
        assert isinstance(value, list)
        return [taken(kind.__args__[0], one) for one in value]
    if not hasattr(kind, "_get_schema"):
        if kind in (str, int, float, bool):
            assert isinstance(value, kind), (kind, value)
        return value
    hints = typing.get_type_hints(kind)
    fields = {name: one for name, one in value.items() if not name.startswith("_")}
    assert set(fields) <= set(hints)
    return kind(**{name: taken(hints[name], one) for name, one in fields.items()})


KEYS = {
    "run": {
        "processing_engine": "ProcessingEngineRunFacet",
        "executionParameters": "ExecutionParametersRunFacet",
        "test": "TestRunFacet",
    },
    "job": {"documentation": "DocumentationJobFacet", "jobType": "JobTypeJobFacet", "ownership": "OwnershipJobFacet"},
    "dataset": {
        "schema": "SchemaDatasetFacet",
        "version": "DatasetVersionDatasetFacet",
        "ownership": "OwnershipDatasetFacet",
    },
    "input": {"inputStatistics": "InputStatisticsInputDatasetFacet"},
}
"""The keys that the facets' schemas demand, by place."""


def test_the_lineage_is_what_openlineage_calls_one(world: World) -> None:
    """Its own client takes every event and facet, by the versions and keys of their schemas, and knows no other."""
    v2 = pytest.importorskip("openlineage.client.event_v2", reason="needs openlineage-python")
    generated = importlib.import_module("openlineage.client.generated")
    known = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for one in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(one, type) and hasattr(one, "_get_schema"):
                known[one._get_schema()] = one
    seen = set()

    def facets(place: str, found: Mapping[str, Any]) -> dict[str, Any]:
        for key, facet in found.items():
            seen.add(key)
            assert facet["_schemaURL"].endswith(f"/{KEYS[place][key]}")
            assert taken(known[facet["_schemaURL"]], facet)._schemaURL == facet["_schemaURL"]
        return dict(found)

    for event in json.loads(open_lineage(facts(world))):
        job = v2.Job(event["job"]["namespace"], event["job"]["name"], facets("job", event["job"]["facets"]))
        told = {"eventTime": event["eventTime"], "producer": event["producer"], "job": job}
        told["inputs"] = [
            v2.InputDataset(
                one["namespace"],
                one["name"],
                facets=facets("dataset", one.get("facets", {})),
                inputFacets=facets("input", one.get("inputFacets", {})),
            )
            for one in event["inputs"]
        ]
        told["outputs"] = [
            v2.OutputDataset(one["namespace"], one["name"], facets=facets("dataset", one.get("facets", {})))
            for one in event["outputs"]
        ]
        if event["schemaURL"].endswith("/JobEvent"):
            made = v2.JobEvent(**told)
        else:
            run = v2.Run(event["run"]["runId"], facets("run", event["run"].get("facets", {})))
            made = v2.RunEvent(eventType=v2.RunState(event["eventType"]), run=run, **told)
        assert made.schemaURL == event["schemaURL"]
    assert seen == set().union(*KEYS.values())


def test_the_lineage_joins_systems_data_release_and_environments(world: World) -> None:
    """What comes out of a step goes into the next under the same name; times are those of the evidence."""
    one, again = open_lineage(facts(world)), open_lineage(facts(world))
    assert one == again
    events = json.loads(one)
    told = [
        (
            event["job"]["name"].removeprefix(MODEL),
            event.get("eventType"),
            event["eventTime"],
            [each["name"] for each in event["inputs"]],
            [each["name"] for each in event["outputs"]],
        )
        for event in events
    ]
    data, artifact, served = (f"{MODEL}/{name}" for name in ("data/q1", "releases/1", "environments/production"))
    upstream = list(snapshot_spec().source.upstream)
    begun, ended, promoted = MAKING.started, MAKING.finished, facts(world).promotions[0].promoted_at
    assert told == [
        (".data", None, begun, upstream, [data]),
        (".train", "START", begun, [data], []),
        (".train", "COMPLETE", ended, [data], [artifact]),
        (".promote.production", "START", promoted, [artifact], []),
        (".promote.production", "COMPLETE", promoted, [artifact], [served]),
    ]
    assert len({event["run"]["runId"] for event in events[1:]}) == 2
    root = world.repository.log(revision="main")[-1].id
    placed = [each for event in events for each in (event["job"], *event["inputs"], *event["outputs"])]
    assert {each["namespace"] for each in placed if each["name"] not in upstream} == {f"modelops:{root}"}
    assert {each["namespace"] for each in placed if each["name"] in upstream} == {"modelops-source"}
    tests = {each["name"]: each["status"] for each in events[2]["run"]["facets"]["test"]["tests"]}
    assert tests == {
        "quality/recall": "pass",
        "quality/parity": "pass",
        "quality/segments": "pass",
        "quality/noise": "skip",
    }


@pytest.mark.parametrize(
    ("outcomes", "on_trial", "types"),
    [
        ((), False, ["START", "COMPLETE"]),
        ((), True, ["START"]),
        (("paused",), True, ["START"]),
        (("paused", "resumed", "succeeded"), False, ["START", "COMPLETE"]),
        (("overridden",), False, ["START", "COMPLETE"]),
        (("failed",), False, ["START", "FAIL"]),
        (("withdrawn",), False, ["START", "ABORT"]),
    ],
)
def test_a_promotion_ends_as_its_rollout_did(world: World, outcomes: tuple[str, ...], on_trial: bool, types) -> None:
    """What failed on trial was never in service; two environments at one time are two runs."""
    found = facts(world)
    (one,) = found.release.promotions
    said = tuple({"outcome": word, "at": "2026-01-07T00:00:00Z"} for word in outcomes)
    tried = dataclasses.replace(one, outcomes=said)
    other = dataclasses.replace(
        one, name="staging-1", environment="staging", file=one.file.replace("production", "staging")
    )
    both = dataclasses.replace(
        found,
        release=dataclasses.replace(found.release, promotions=(tried, other)),
        on_trial=frozenset({"production"} if on_trial else ()),
    )
    events = [event for event in json.loads(open_lineage(both)) if ".promote." in event["job"]["name"]]
    runs = {event["job"]["name"].rpartition(".")[2]: event["run"]["runId"] for event in events}
    assert len(set(runs.values())) == 2
    mine = [event for event in events if event["run"]["runId"] == runs["production"]]
    assert [event["eventType"] for event in mine] == types
    assert [bool(event["outputs"]) for event in mine] == [kind == "COMPLETE" for kind in types]
    if outcomes and types[1:]:
        assert mine[-1]["eventTime"] == "2026-01-07T00:00:00Z"
    rows = section(lineage_paper(both), "steps").tables[0].rows
    assert rows[2][-1].startswith("on trial" if on_trial else outcomes[-1] if outcomes else "at once")


def test_a_gate_that_stops_nothing_is_a_warning(world: World) -> None:
    """The severity says what a failure does to the run, and the description why it does not do more."""
    found = facts(world)
    first = found.release.verdicts[0]
    toothless = first.model_copy(update={"gate": "t", "blocking": True, "toothless": "it blocks nothing"})
    blocking = first.model_copy(update={"gate": "b", "blocking": True, "toothless": ""})
    both = dataclasses.replace(found, release=dataclasses.replace(found.release, verdicts=(toothless, blocking)))
    tests = json.loads(open_lineage(both))[2]["run"]["facets"]["test"]["tests"]
    assert [one["severity"] for one in tests] == ["warn", "error"]
    assert tests[0]["description"].endswith("holds nothing up: it blocks nothing")


def test_what_the_evidence_does_not_say_is_in_no_event(world: World) -> None:
    """A release of an older version does not say when it was made: the promotions are told, the gap is named."""
    found = facts(world)
    older = dataclasses.replace(found, release=dataclasses.replace(found.release, made=None))
    assert {event["job"]["name"] for event in json.loads(open_lineage(older))} == {f"{MODEL}.promote.production"}
    assert any("when it was trained is not in its evidence" in gap for gap in lineage_paper(older).gaps)
    nowhere = dataclasses.replace(found, snapshot=None)
    assert "not in the repository" in " ".join(lineage_paper(nowhere).gaps)
    assert json.loads(open_lineage(nowhere))[0]["job"]["name"] == f"{MODEL}.train"
    path = f"{HOME}/promotions/production-1.yaml"
    world.commit("2026-05-02T00:00:00Z", {path: world.repository.read("main", path).replace(b"ben", b"eve")})
    broken = facts(world)
    assert json.loads(open_lineage(broken))[-1]["job"]["name"] == f"{MODEL}.train"
    assert any("production-1 is not proven" in gap for gap in lineage_paper(broken).gaps)


def test_a_release_that_is_not_proven_has_no_documents(world: World) -> None:
    """A changed card, or a spec that is not what the evidence binds, is told instead of written down."""
    card = f"{HOME}/releases/1/MODEL_CARD.md"
    world.commit("2026-05-02T00:00:00Z", {card: world.repository.read("main", card) + b"better\n"})
    with pytest.raises(ModelOpsError, match="is not proven, so no document says anything about it"):
        facts(world)


def run(*arguments: str) -> int:
    """Return the exit code of a command line."""
    try:
        return main(list(arguments)) or 0
    except SystemExit as end:
        return int(end.code or 0)


RISKS = "risks: [{{name: a, description: b, harms: c, level: {{likelihood: {}, severity: minor}}, owner: d{}}}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('annexIv: {"1z": "It does."}', "Annex IV has no item '1z'"),
        ('annexIv: {"1b": " "}', "it says nothing"),
        (RISKS.format("likely", ", gates: [x]"), "gates"),
        (RISKS.format("likely", ", gates: [speed/latency]"), "not judged by a gate policy 'speed'"),
        (RISKS.format("often", ""), "likelihood"),
    ],
)
def test_a_dossier_that_answers_nothing_is_refused_with_its_line(world: World, monkeypatch, capsys, text, said) -> None:
    """Items that do not exist, empty answers, gates that the model does not have and unknown levels are errors."""
    head = f"apiVersion: modelops/v1\nkind: Dossier\nmetadata: {{name: {MODEL}}}\nspec:\n  "
    subprocess.run(["git", "reset", "-q", "--hard", "main"], cwd=world.root, check=True)
    (world.root / HOME / "dossier.yaml").write_text(head + text + "\n")
    monkeypatch.chdir(world.root)
    assert run("validate") == 3
    (line,) = [one for one in "".join(capsys.readouterr()).splitlines() if "dossier.yaml:" in one]
    assert "dossier.yaml:5:" in line
    assert said in line


def test_the_verb_writes_what_was_asked_or_nothing(world: World, monkeypatch, capsys, tmp_path) -> None:
    """Markdown or JSON by the file's ending; gaps end with 1 where all was to be said; bad endings write nothing."""
    monkeypatch.chdir(world.root)
    target = tmp_path / "annex.json"
    assert run("document", "annex-iv", MODEL, "1", "-o", str(target)) == 0
    written = json.loads(target.read_text())
    assert (written["kind"], written["complete"]) == ("annex-iv", False)
    assert written == json.loads(json.dumps(view.data(technical_documentation(facts(world)))))
    assert f"{len(written['gaps'])} gaps" in capsys.readouterr().err
    assert run("document", "datasheet", MODEL, "1", "--complete") == 1
    out = capsys.readouterr().out
    assert out.startswith("# Datasheet of q1")
    assert "**Missing:**" in out
    assert run("document", "annex-iv", MODEL, "1", "-o", str(tmp_path / "x.pdf")) == 2
    capsys.readouterr()
    assert run("document", "annex-iv", MODEL, "9") == 2
    assert f"{MODEL} has no release 9 at main" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["annex.json"]
    assert set(KINDS) == set(documents.PAPERS)
    assert load_resource(dump("Dossier", MODEL, DossierSpec()), f"{HOME}/dossier.yaml").spec == DossierSpec()


def test_markdown_says_nothing_as_markup(world: World) -> None:
    """What people wrote is text, whatever characters are in it."""
    world.write(DossierSpec(annex_iv={"1b": "<img src=x> | [a](http://b) @ana"}))
    text = view.markdown(technical_documentation(facts(world)))
    assert "<img" not in text
    assert "[a](" not in text
    assert "@ana" not in text


def of(world: World, kind: str) -> Paper:
    return documents.PAPERS[kind](facts(world))


@pytest.mark.parametrize(
    ("kind", "items", "closes"),
    [
        ("instructions", 12, "b-vii"),
        ("post-market-plan", 8, "73"),
        ("fria", 8, "1b"),
        ("nist-ai-rmf", 72, "GOVERN 2.3"),
    ],
)
def test_items_of_laws_are_answered_or_open(world: World, kind: str, items: int, closes: str) -> None:
    """Each item is there, in order, with statements that have sources or a gap; an answer closes its own gap alone."""
    before = of(world, kind)
    assert [one.id for one in before.sections] == [item.id for item in law(kind).items]
    assert len(before.sections) == items
    assert all(one.statements or one.tables or one.gaps for one in before.sections)
    assert all(one.source for part in before.sections for one in [*part.statements, *part.tables])
    needed = {item.id for item in law(kind).items if item.people == "required"}
    assert {gap.partition(":")[0] for gap in before.gaps if "nobody answered it" in gap} == needed
    world.write(DossierSpec(answers={kind: {closes: "It is\n  so."}}))
    after = of(world, kind)
    assert {gap.partition(":")[0] for gap in set(before.gaps) - set(after.gaps)} == {closes}
    assert set(after.gaps) < set(before.gaps)
    assert said(after, closes).endswith("It is so.")


def test_what_is_measured_stands_in_the_documents_that_ask_for_it(world: World) -> None:
    """Accuracy and groups in the instructions, limits of logs in the plan, the same oversight wherever it is asked."""
    monitored = MonitorSpec(performance=Performance(metric="recall", minimum=0.7))
    world.commit(
        "2026-05-01T00:00:00Z",
        {
            f"{HOME}/monitor.yaml": dump("Monitor", MODEL, monitored),
            "policies/environments/production.yaml": dump(
                "Environment", "production", EnvironmentSpec(target=Plugin(type="local"), log_days=30)
            ),
        },
    )
    world.write(DossierSpec(answers={"instructions": {"d": "An analyst may undo every hold."}}))
    use = of(world, "instructions")
    assert section(use, "b-ii").tables[0].rows[0][:2] == ("roc-auc", "0.9123")
    assert [one.title for one in section(use, "b-v").tables] == ["Groups", "quality/parity", "quality/segments"]
    plan = of(world, "post-market-plan")
    assert "recall has the minimum 0.7" in said(plan, "72.2-compliance")
    assert "12: logs of production are kept for 30 days, and Article 19 asks for six months" in plan.gaps
    for kind, item in (("fria", "1e"), ("nist-ai-rmf", "MAP 3.5")):
        assert "An analyst may undo every hold." in said(of(world, kind), item)


def test_controls_count_where_they_are_shown(world: World) -> None:
    """A technique has a score by its controls; a gate that was not there or did not pass, a bare package, is none."""
    paper = of(world, "atlas")
    layer = json.loads(navigator_layer(facts(world)))
    scores = {one["techniqueID"]: one["score"] for one in layer["techniques"]}
    assert set(scores) == {one.id for one in paper.sections}
    assert (layer["domain"], layer["versions"]["layer"]) == ("atlas-atlas", "4.3")
    assert scores["AML.T0024.000"] == 0
    assert any("AML.T0024.000: no control is shown: no gate membership judged it" in gap for gap in paper.gaps)
    assert scores["AML.T0058"] == 100
    assert "the gate quality/noise says inconclusive" in section(paper, "AML.T0015").gaps[0]
    assert "1 of 2 packages are pinned without a hash, scipy among them" in section(paper, "AML.T0010.001").asks
    budget = AccessPolicySpec(
        keys=(
            ApiKey(name="shop", sha256="a" * 64, budget=Budget(rows=1000)),
            ApiKey(name="look", sha256="b" * 64, scopes=("admin",)),
        )
    )
    environment = EnvironmentSpec(target=Plugin(type="local"), access="callers")
    world.commit(
        "2026-05-01T00:00:00Z",
        {
            "policies/environments/production.yaml": dump("Environment", "production", environment),
            "policies/access/callers.yaml": dump("AccessPolicy", "callers", budget),
        },
    )
    limited = {one["techniqueID"]: one["score"] for one in json.loads(navigator_layer(facts(world)))["techniques"]}
    assert (scores["AML.T0024.002"], limited["AML.T0024.002"]) == (0, 100)


def test_a_gate_that_passed_counts_where_its_policy_blocks_what_fails(world: World) -> None:
    """A verdict that passed blocks nothing itself; the gate does, unless its policy lets every fault by."""
    found = facts(world)
    record = found.release.verdicts[0]
    passed = record.model_copy(
        update={"policy": "behaviour", "gate": "members", "type": "membership", "verdict": "pass", "blocking": False}
    )
    release = dataclasses.replace(found.release, verdicts=(passed,))
    for block, score in ((("fail", "no-data"), True), ((), False)):
        gate = Gate(name="members", type="membership", block=block)
        policies = {"behaviour": GatePolicySpec(gates=(gate,))}
        layer = json.loads(navigator_layer(dataclasses.replace(found, release=release, policies=policies)))
        scores = {one["techniqueID"]: one["score"] for one in layer["techniques"]}
        assert (scores["AML.T0024.000"] == 100) is score


def test_the_card_is_the_signed_one(world: World) -> None:
    """As Markdown it is the file of the release, byte for byte; as a document it has its metadata and metrics."""
    card = world.repository.read("main", f"{HOME}/releases/1/MODEL_CARD.md")
    assert signed_card(facts(world)) == card
    paper = of(world, "model-card")
    fields = dict(section(paper, "metadata").tables[0].rows)
    assert fields["pipeline_tag"] == "tabular-classification"
    assert json.loads(fields["model-index"])[0]["name"] == f"{MODEL}-1"


@pytest.mark.parametrize("kind", KINDS)
def test_every_document_has_three_forms_that_say_the_same_gaps(world: World, kind: str, monkeypatch, tmp_path) -> None:
    """Markdown, JSON and a page that loads nothing and runs nothing, whatever people wrote: no markup of theirs."""
    evil = "<script>alert(1)</script>"
    world.write(
        DossierSpec(
            provider=evil,
            annex_iv={"1b": evil},
            answers={"fria": {"1b": evil}, "instructions": {"d": evil}, "nist-ai-rmf": {"GOVERN 2.3": evil}},
            risks=(RISK.model_copy(update={"description": evil, "measures": (evil,)}),),
        )
    )
    monkeypatch.chdir(world.root)
    for ending in ("html", "md", "json"):
        assert run("document", kind, MODEL, "1", "-o", str(tmp_path / f"one.{ending}")) == 0
    page = (tmp_path / "one.html").read_text()
    assert "<script" not in page
    assert "src=" not in page
    found = read(page)
    for_everybody(found)
    text = " ".join(found.text.split())
    for gap in of(world, kind).gaps[:5]:
        assert " ".join(gap.split())[:40] in text
    assert evil not in (tmp_path / "one.md").read_text()
    json.loads((tmp_path / "one.json").read_text())
