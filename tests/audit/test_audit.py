"""Audit answers from a real repository with real keys and a real prediction log, and from damaged ones."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from modelops import audit
from modelops.artifacts import BuildRecord
from modelops.cli import main
from modelops.clock import parse_instant
from modelops.errors import ModelOpsError
from modelops.evidence import Signer
from modelops.evidence.envelope import sign
from modelops.logs.folder import Folder
from modelops.predictions import PredictionLog, Row, find
from modelops.project.target import all_remembered
from modelops.project.workspace import open_workspace
from modelops.releases import rollout_outcome_line
from modelops.repository import Repository
from modelops.repository.history import Person
from modelops.spec.kinds.deployment import Denied, DeploymentSpec
from modelops.spec.yaml.dump import dump
from modelops.stores.oci_layout import OciLayout
from releases.release_facts import (
    MODEL,
    build,
    flip,
    make_signer,
    model_spec,
    promotion,
    promotion_spec,
    release,
    snapshot_spec,
    trust_in,
)

HOME = f"models/{MODEL}"
EVIDENCE = f"{HOME}/releases/1/evidence.intoto.jsonl"
PROMOTED = f"{HOME}/promotions/production-1.yaml"
PROMOTION_EVIDENCE = f"{HOME}/promotions/production-1.intoto.jsonl"
BEHIND = {"quality/parity": {"groups": [{"group": "f", "n": 120, "selectionRate": 0.25}], "note": "a\x1b[2Jb"}}
BOT = Person("modelops", "modelops@example.com")


class Project:
    """A repository whose history is written commit by commit, and the log of its production environment."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        if self.root.exists():
            self.repository = Repository.discover(self.root)
            self.signer = Signer.load(folder / "local.pem")
        else:
            self.root.mkdir(parents=True)
            self.repository = Repository.create(self.root)
            self.signer = make_signer(folder)
        self.records: dict[int, BuildRecord] = {
            seed: build(OciLayout(folder / "store"), seed=seed, code_tree="7" * 40) for seed in (1, 2)
        }
        self.log = self.root / ".modelops" / "runtime" / "production" / "predictions"

    def commit(self, when: str, files: Mapping[str, bytes | None]) -> str:
        base = self.repository.find_tip("main")
        commit = self.repository.commit_files(base, files, f"Change at {when}", BOT, parse_instant(when))
        # A plain update-ref, so that the test decides what the branch says.
        subprocess.run(["git", "update-ref", "refs/heads/main", commit], cwd=self.root, check=True)
        return commit

    def change(self, path: str, data: bytes | None) -> None:
        self.commit("2026-06-01T00:00:00Z", {path: data})

    def file(self, path: str) -> bytes:
        return self.repository.read("main", path)

    def deployment(self, **spec: Any) -> dict[str, bytes]:
        path = f"{HOME}/environments/production.yaml"
        return {path: dump("Deployment", "production", DeploymentSpec(**spec), path=path)}

    def answer(self, id: str) -> audit.PredictionAnswer:
        targets = all_remembered(open_workspace(self.root))
        logs = [audit.KnownLog(target.place.environment, target.log()) for target in targets]
        return audit.prediction(self.repository, id, logs=logs)

    def there(self, at: str, name: str = "production") -> audit.EnvironmentAnswer:
        return audit.environment(self.repository, name, parse_instant(at))


def log_rows(path: Path, *rows: Row) -> None:
    log = PredictionLog(path)
    log.write(list(rows))
    log.feedback([("p-april", "true", parse_instant("2026-05-01").timestamp(), MODEL)])
    log.close()


def row(id: str, **changes: Any) -> Row:
    fields: dict[str, Any] = {
        "id": id,
        "time": parse_instant("2026-04-10T12:00:00Z").timestamp(),
        "model": MODEL,
        "release": 1,
        "arm": "stable",
        "step": 0,
        "salt": "s",
        "entity": "card-7",
        "features": '{"amount":12.5,"country":"DE"}',
        "score": 0.25,
        "label": "false",
        "status": 200,
        "latency_ms": 1.5,
    }
    return Row(**(fields | changes))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Release 1 is stable since January; release 2 was on trial in May, failed, and is denied."""
    project = Project(tmp_path_factory.mktemp("audit") / "history")
    made = project.commit(
        "2026-01-01T00:00:00Z",
        {
            f"{HOME}/model.yaml": dump("Model", MODEL, model_spec()),
            f"{HOME}/data/q1.yaml": dump("DataSnapshot", "q1", snapshot_spec()),
            "policies/trust.yaml": dump("TrustPolicy", "trust", trust_in(project.signer)),
            "policies/environments/production.yaml": b"apiVersion: modelops/v1\nkind: Environment\n",
        },
    )
    first, second = project.records[1], project.records[2]
    one = release(1, first, project.signer, commit=made)
    project.commit("2026-01-02T00:00:00Z", one)
    merged = project.commit("2026-01-05T12:00:00Z", project.deployment(stable=1))
    project.commit("2026-01-05T12:00:00Z", promotion(first, one[EVIDENCE], project.signer, commit=merged))
    two = release(2, second, project.signer, commit=made, champion=1, details=BEHIND)
    merged = project.commit("2026-05-01T00:00:00Z", two | project.deployment(stable=1, candidate=2))
    trial = promotion(
        second,
        two[f"{HOME}/releases/2/evidence.intoto.jsonl"],
        project.signer,
        number=2,
        release=2,
        promoted_at="2026-05-01T00:00:00Z",
        commit=merged,
    )
    project.commit("2026-05-01T00:00:00Z", trial)
    outcome = rollout_outcome_line(
        promotion_spec(second, b"", release=2),
        stable=1,
        outcome="failed",
        reason="it errors on transfers",
        step=1,
        checks=[],
        at="2026-05-02T00:00:00Z",
        signer=project.signer,
    )
    path = f"{HOME}/promotions/production-2.intoto.jsonl"
    denied = project.deployment(stable=1, denied=(Denied(release=2, reason="it errors on transfers"),))
    project.commit("2026-05-02T00:00:00Z", denied | {path: project.file(path) + outcome})
    log_rows(project.log, row("p-april"), row("p-trial", release=2, arm="candidate", step=1))
    return project.root.parent


@pytest.fixture
def project(history: Path, tmp_path: Path) -> Project:
    shutil.copytree(history, tmp_path / "copy")
    return Project(tmp_path / "copy")


def test_a_prediction_is_answered_whole(project: Project) -> None:
    """One id gives what was asked, the release, its data, code, metrics, gates and the human who approved it."""
    answer = project.answer("p-april")
    assert answer.ok
    assert (answer.environment, answer.model, answer.release, answer.arm) == ("production", MODEL, 1, "stable")
    assert (answer.time, answer.features["amount"], answer.score) == ("2026-04-10T12:00:00Z", 12.5, 0.25)
    assert (answer.truth, answer.truth_time) == ("true", "2026-05-01T00:00:00Z")
    made_by, promoted = answer.made_by, answer.promotion
    assert made_by is not None
    assert promoted is not None
    assert made_by.artifact == project.records[1].artifact.digest
    assert (made_by.data.root, made_by.data.owner) == (project.records[1].data_root, "data-platform")
    assert made_by.code.author == str(BOT)
    assert made_by.metrics[0].value == 0.91234567
    assert made_by.approval is not None
    assert made_by.approval["approvals"][0]["login"] == "ben"
    assert (promoted.name, promoted.approvals[0].login, promoted.trust.keys) == ("production-1", "ben", ("local",))
    assert promoted.pull_request is not None
    assert promoted.pull_request.number == 7


def test_the_promotion_is_the_one_in_force_at_the_time(project: Project) -> None:
    """When a release was promoted twice, the newest promotion before the prediction counts."""
    again = promotion(
        project.records[1], project.file(EVIDENCE), project.signer, number=3, promoted_at="2026-04-01T00:00:00Z"
    )
    late = promotion(
        project.records[1], project.file(EVIDENCE), project.signer, number=4, promoted_at="2026-05-01T00:00:00Z"
    )
    project.commit("2026-05-03T00:00:00Z", again | late)
    promoted = project.answer("p-april").promotion
    assert promoted is not None
    assert promoted.name == "production-3"


def test_a_later_promotion_does_not_excuse_an_earlier_answer(project: Project) -> None:
    """A release that ran months before anyone promoted it ran without a record, whatever was approved since."""
    changed = project.log.with_name("early")
    with PredictionLog(changed) as log:
        log.write([find(project.log, "p-april").row._replace(time=parse_instant("2025-06-01").timestamp())])
    answer = audit.prediction(project.repository, "p-april", logs=[audit.KnownLog("production", Folder(changed))])
    assert answer.promotion is None
    assert not answer.ok


def test_an_unknown_id_says_where_it_was_looked_for(project: Project) -> None:
    """An id that nobody logged is a no, with the logs by path."""
    with pytest.raises(ModelOpsError, match=str(project.log)) as error:
        project.answer("nobody")
    assert error.value.problems[0].code == "unknown-prediction"
    assert error.value.exit == 1
    with pytest.raises(ModelOpsError, match="none is on this machine"):
        audit.prediction(project.repository, "p-april", logs=[])


def test_an_unreadable_log_is_not_a_no(project: Project) -> None:
    """Where one log cannot be read, an id that the others lack is not called unknown."""
    broken = project.root / ".modelops" / "runtime" / "broken" / "predictions"
    broken.parent.mkdir()
    broken.write_bytes(b"this is not a database, but long enough to be looked at" * 20)
    assert project.answer("p-april").environment == "production"
    with pytest.raises(ModelOpsError) as error:
        project.answer("nobody")
    assert error.value.problems[0].code == "log-unreadable"
    assert error.value.exit == 4


def test_a_release_is_answered_with_its_promotions_and_their_outcome(project: Project) -> None:
    """A release that failed on trial tells where it was promoted to and how that ended."""
    answer = audit.release(project.repository, MODEL, 2)
    assert answer.ok
    (promoted,) = answer.promotions
    assert (promoted.environment, promoted.outcomes[0]["outcome"]) == ("production", "failed")
    assert (answer.champion, answer.seeds["training"]) == (1, 2)


def test_a_release_is_answered_with_what_its_gates_measured(project: Project, run: Callable[..., Run]) -> None:
    """The signed numbers behind the verdicts are read back; of evidence that is refused none is told."""
    assert audit.release(project.repository, MODEL, 1).details == {}
    assert audit.release(project.repository, MODEL, 2).details == BEHIND
    text = run("release", MODEL, "2").out
    assert "quality/parity: groups: group f, n 120, selection rate 0.25" in text
    assert "\x1b" not in text
    data = json.loads(run("release", MODEL, "2", "-o", "json").out)
    assert data["details"] == BEHIND
    path = EVIDENCE.replace("/1/", "/2/")
    project.change(path, flip(project.file(path), 200))
    assert audit.release(project.repository, MODEL, 2).details == {}


@pytest.mark.parametrize(
    ("model", "number", "code", "hint"),
    [(MODEL, 9, "unknown-release", "1, 2"), ("churn", 1, "unknown-model", MODEL)],
)
def test_what_does_not_exist_is_a_no(project: Project, model: str, number: int, code: str, hint: str) -> None:
    """An unknown model or number exits 1 and names what there is."""
    with pytest.raises(ModelOpsError, match=hint) as error:
        audit.release(project.repository, model, number)
    assert error.value.problems[0].code == code
    assert error.value.exit == 2


@pytest.mark.parametrize(
    ("at", "stable", "candidate", "denied"),
    [
        ("2026-01-03T00:00:00Z", None, None, ()),
        ("2026-01-05T12:00:00Z", 1, None, ()),
        ("2026-05-01T10:00:00Z", 1, 2, ()),
        ("2027-01-01T00:00:00Z", 1, None, (2,)),
    ],
)
def test_an_environment_is_answered_for_any_date(
    project: Project, at: str, stable: int | None, candidate: int | None, denied: tuple[int, ...]
) -> None:
    """What was stable, on trial and denied follows the branch's history, to the second."""
    answer = project.there(at)
    assert answer.ok
    if stable is None:
        assert answer.models == ()
        return
    (there,) = answer.models
    found = [arm.release if arm else None for arm in (there.stable, there.candidate)]
    assert (found, there.denied) == ([stable, candidate], denied)
    assert there.stable is not None
    assert there.stable.promotion is not None
    assert there.stable.promotion.approvals[0].login == "ben"


def test_a_date_before_the_first_commit_and_an_unknown_environment_are_refused(project: Project) -> None:
    """There is no answer where there is no history, and none for an environment that never was."""
    with pytest.raises(ModelOpsError) as error:
        project.there("2025-12-31T00:00:00Z")
    assert error.value.problems[0].code == "no-commit-then"
    with pytest.raises(ModelOpsError, match="production") as error:
        project.there("2026-05-01", "moon")
    assert error.value.problems[0].code == "unknown-environment"
    assert error.value.exit == 2


def test_a_shallow_clone_cannot_answer_for_a_date(tmp_path: Path, project: Project) -> None:
    """History that is not there is said to be missing, with the command that brings it."""
    clone = tmp_path / "clone"
    command = ["git", "clone", "-q", "--depth", "1", f"file://{project.root}", str(clone)]
    subprocess.run(command, check=True)
    with pytest.raises(ModelOpsError, match="unshallow") as error:
        audit.environment(Repository.discover(clone), "production", datetime(2026, 5, 1, tzinfo=UTC))
    assert error.value.problems[0].code == "shallow-clone"
    answer = audit.release(Repository.discover(clone), MODEL, 1)
    # Whose keys count is told by the whole line of the branch.
    assert (answer.ok, answer.trust.status) == (False, "refused")
    assert "[shallow-clone]" in answer.trust.problems[0]
    assert answer.code.author is None


def test_a_changed_byte_of_the_evidence_is_told(project: Project) -> None:
    """Damaged evidence is answered with what is wrong, never with silence or an exception."""
    project.change(EVIDENCE, flip(project.file(EVIDENCE), 200))
    answer = project.answer("p-april")
    assert not answer.ok
    assert answer.trust.status == "refused"
    assert "signature-invalid" in answer.trust.problems[0]
    assert answer.made_by is not None
    assert answer.promotion is not None
    assert "subject-mismatch" in answer.promotion.trust.problems[0]


@pytest.mark.parametrize("name", ["MODEL_CARD.md", "model.sigstore.json"])
def test_a_changed_file_beside_the_release_is_told(project: Project, name: str) -> None:
    """A model card that was edited, and a signature file of something else, prove nothing."""
    path = f"{HOME}/releases/1/{name}"
    project.change(path, flip(project.file(path), 200))
    answer = audit.release(project.repository, MODEL, 1)
    assert not answer.ok
    assert answer.trust.status == "refused"
    expected = "subject-mismatch" if name.endswith(".md") else "model.sigstore.json"
    assert expected in answer.trust.problems[0]


def test_a_card_from_before_cards_were_signed_is_told_apart_from_a_changed_one(project: Project) -> None:
    """Evidence that names no card says nothing about it: the answer says that, and what to do."""
    card, lines = f"{HOME}/releases/1/MODEL_CARD.md", []
    for line in project.file(EVIDENCE).splitlines():
        document = json.loads(base64.b64decode(json.loads(line)["payload"]))
        document["subject"] = [subject for subject in document["subject"] if subject["name"] != card]
        lines.append(sign(document, project.signer))
    project.change(EVIDENCE, b"".join(lines))
    answer = audit.release(project.repository, MODEL, 1)
    assert not answer.ok
    (told,) = answer.trust.problems
    assert "card-unsigned" in told
    assert "was never signed" in told
    assert "mismatch" not in told


def test_a_changed_release_is_told(project: Project) -> None:
    """A better number in release.yaml is refused."""
    path = f"{HOME}/releases/1/release.yaml"
    project.change(path, project.file(path).replace(b"value: 0.7,", b"value: 0.9,"))
    answer = audit.release(project.repository, MODEL, 1)
    assert not answer.ok
    assert answer.trust.status == "refused"
    assert "subject-mismatch" in answer.trust.problems[0]


def test_a_changed_promotion_is_told(project: Project) -> None:
    """Another approver's name in the record is refused."""
    project.change(PROMOTED, project.file(PROMOTED).replace(b"login: ben", b"login: eve"))
    (there,) = project.there("2027-01-01").models
    assert there.stable is not None
    assert there.stable.promotion is not None
    assert there.stable.promotion.trust.status == "refused"
    assert not project.there("2027-01-01").ok


@pytest.mark.parametrize(
    ("path", "where"),
    [
        (EVIDENCE, "release"),
        (PROMOTION_EVIDENCE, "promotion"),
        (PROMOTED, "no-promotion"),
        (f"{HOME}/releases/1/release.yaml", "no-release"),
    ],
)
def test_what_is_missing_is_called_missing(project: Project, path: str, where: str) -> None:
    """Every file that is not there is named as missing, the rest is still answered, and the answer is not ok."""
    project.change(path, None)
    answer = project.answer("p-april")
    assert not answer.ok
    assert answer.score == 0.25
    if where in ("release", "no-release"):
        assert answer.trust.status == "missing"
        assert (answer.made_by is None) == (where == "no-release")
    elif where == "promotion":
        assert answer.promotion is not None
        assert answer.promotion.trust.status == "missing"
    else:
        assert answer.promotion is None


def test_a_record_that_cannot_be_read_is_told(project: Project) -> None:
    """A promotion or release whose YAML is broken is refused, not skipped."""
    project.change(PROMOTED, b"spec: [")
    answer = project.answer("p-april")
    assert answer.promotion is not None
    assert answer.promotion.trust.status == "refused"
    project.change(f"{HOME}/releases/1/release.yaml", b"spec: [")
    answer = project.answer("p-april")
    assert answer.made_by is None
    assert answer.trust.status == "refused"


def test_a_snapshot_that_is_gone_leaves_its_owner_open(project: Project) -> None:
    """The pinned root stays known; who owns the data does not."""
    project.change(f"{HOME}/data/q1.yaml", None)
    answer = audit.release(project.repository, MODEL, 1)
    assert answer.ok
    assert (answer.data.root, answer.data.owner) == (project.records[1].data_root, None)


class Run(NamedTuple):
    code: object
    out: str
    err: str


@pytest.fixture
def run(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Run the command line in this process, in the project's folder."""
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*arguments: str) -> Run:
        with pytest.raises(SystemExit) as end:
            main(["audit", *arguments])
        captured = capsys.readouterr()
        return Run(end.value.code, captured.out, captured.err)

    return call


def test_the_command_answers_in_text_and_json(run: Callable[..., Run]) -> None:
    """The three questions work from the command line; the exit code says whether everything is proven."""
    text = run("prediction", "p-april")
    assert text.code == 0, text.err
    for said in ("fraud-detection release 1, stable", "approved by ben", "verified, signed by local", "amount=12.5"):
        assert said in text.out
    data = json.loads(run("environment", "production", "--at", "2026-05-01T10:00:00Z", "-o", "json").out)
    assert data["models"][0]["candidate"]["release"] == 2
    assert data["ok"] is True
    release_text = run("release", MODEL, "2")
    assert "rollout failed: it errors on transfers" in release_text.out


def test_the_command_is_loud_about_a_broken_signature(project: Project, run: Callable[..., Run]) -> None:
    """Broken evidence is printed in capitals and exits 1; an unknown id exits 1 as well."""
    project.change(EVIDENCE, flip(project.file(EVIDENCE), 200))
    answer = run("release", MODEL, "1")
    assert answer.code == 1
    assert "REFUSED: NOT PROVEN" in answer.out
    assert "signature-invalid" in answer.out
    unknown = run("prediction", "nobody")
    assert (unknown.code, unknown.out) == (1, "")
    assert "unknown-prediction" in unknown.err


def test_what_callers_sent_cannot_drive_the_terminal(project: Project, run: Callable[..., Run]) -> None:
    """Control characters in a logged entity are not printed."""
    log_rows(project.log, row("p-evil", entity="\x1b[2Jgone", features='{"a":"\\u001b]0;x\\u0007"}'))
    text = run("prediction", "p-evil")
    assert text.code == 0, text.err
    assert "\x1b" not in text.out
    assert "gone" in text.out


def test_the_installed_command_answers(project: Project) -> None:
    """The verb works as a process of its own, from another folder."""
    command = [sys.executable, "-m", "modelops", "-C", str(project.root), "audit", "release", MODEL, "1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "pull request #7 by ana, approved by ben" in result.stdout


def test_an_exported_prediction_is_audited_without_its_log(project: Project, run: Callable[..., Run]) -> None:
    """What was exported answers long after the log has dropped it, with the same facts."""
    before = json.loads(run("prediction", "p-april", "-o", "json").out)
    exported = project.root.parent / "exported"
    assert run("export", "production", str(exported)).code == 0
    shutil.rmtree(project.log)
    assert run("prediction", "p-april").code == 1
    after = json.loads(run("prediction", "p-april", "--log", f"production={exported}", "-o", "json").out)
    # Labels are not carried with their chain.
    assert (before["proof"]["truth"], after["proof"]["truth"]) == ("chained", "unchained")
    assert after == before | {"log": str(exported), "proof": before["proof"] | {"truth": "unchained"}}
    wrong = run("prediction", "p-april", "--log", str(exported))
    assert (wrong.code, "ENV=DIRECTORY" in wrong.err) == (2, True)
    assert "no-export" in run("prediction", "p-april", "--log", "production=nowhere").err
    # A folder that holds no export is misspelt as well: nothing in it is no whole log.
    missed = run("log", "production", "--log", f"production={project.root}")
    assert (missed.code, "no-export" in missed.err) == (2, True)
