"""Questions about everything at once: packages, sources, approvals, verdicts, waivers and entities."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from audit.test_audit import HOME, MODEL, Project, log_rows, row
from modelops.audit import Asked
from modelops.audit.listings import (
    Approvals,
    Dependents,
    Verdicts,
    WaiverUses,
    approvals_between,
    dependents_of_package,
    dependents_of_source,
    unpassed,
    uses_of_waivers,
)
from modelops.audit.records import Records
from modelops.cli import main
from modelops.clock import parse_instant, wall_clock
from modelops.errors import ModelOpsError
from modelops.evidence import Making
from modelops.repository import Repository
from modelops.spec.kinds.promotion import Approval
from modelops.spec.kinds.release import WaiverUse
from modelops.spec.yaml.dump import dump
from releases.release_facts import model_spec, promotion, release, snapshot_spec, trust_in, verdict

WAIVER = WaiverUse(
    name="small-sample",
    of="speed/latency",
    digest="sha256:" + "5" * 64,
    commit="6" * 40,
    expires="2026-12-31",
    granted_by=("cleo",),
    reason="the timer of the runner is coarse",
)


def making(**packages: str) -> Making:
    builder = "https://modelops.dev/builders/local/v1"
    return Making(builder, "one", "2026-01-01T10:00:00Z", "2026-01-01T10:05:00Z", "0.2.0", {}, packages, {})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Release 1 says nothing of packages and is stable; 2 has an old one and is on trial; 3 runs nowhere."""
    project = Project(tmp_path_factory.mktemp("listings"))
    made = project.commit(
        "2026-01-01T00:00:00Z",
        {
            f"{HOME}/model.yaml": dump("Model", MODEL, model_spec()),
            f"{HOME}/data/q1.yaml": dump("DataSnapshot", "q1", snapshot_spec()),
            "policies/trust.yaml": dump("TrustPolicy", "trust", trust_in(project.signer)),
            "policies/environments/production.yaml": b"apiVersion: modelops/v1\nkind: Environment\n",
        },
    )
    one = release(1, project.records[1], project.signer, commit=made)
    waived = verdict("latency", "fail", policy="speed", type="latency", waiver=WAIVER)
    two = release(
        2, project.records[2], project.signer, commit=made, champion=1, making=making(Py_YAML="6.0.1", numpy="2.0.2"),
        verdicts=(verdict("recall"), waived),
    )  # fmt: skip
    three = release(
        3, project.records[1], project.signer, commit=made, making=making(numpy="2.1.0"), verdicts=(verdict("recall"),)
    )
    project.commit("2026-01-02T00:00:00Z", one | two | three)
    merged = project.commit("2026-02-01T00:00:00Z", project.deployment(stable=1, candidate=2))
    late = (Approval(login="dan", commit="1" * 40, submitted_at="2026-02-01T09:00:00Z"),)
    trial = promotion(
        project.records[2],
        two[f"{HOME}/releases/2/evidence.intoto.jsonl"],
        project.signer,
        number=2,
        release=2,
        approvals=late,
        promoted_at="2026-02-01T10:00:00Z",
        commit=merged,
        waivers=(WAIVER,),
    )
    project.commit("2026-02-01T10:00:00Z", trial)
    later = parse_instant("2026-04-11T12:00:00Z").timestamp()
    log_rows(project.log, row("p-april"), row("p-later", time=later), row("p-other", entity="card-8", time=later))
    return project


@pytest.fixture
def copy(world: Project, tmp_path: Path) -> Project:
    """Return a project of one's own with the same branch."""
    shutil.copytree(world.root.parent, tmp_path / "copy")
    return Project(tmp_path / "copy")


@pytest.fixture(scope="module")
def records(world: Project) -> Records:
    return Records(world.repository, "main", Asked(wall_clock()))


@pytest.mark.parametrize(
    ("name", "versions", "found"),
    [
        ("numpy", "", [(2, "2.0.2"), (3, "2.1.0")]),
        ("numpy", "<2.1", [(2, "2.0.2")]),
        ("pyyaml", "", []),
        ("py-yaml", "==6.0.1", [(2, "6.0.1")]),
        ("numpy", ">=3", []),
    ],
)
def test_an_advisory_names_the_releases_and_where_they_run(
    records: Records, name: str, versions: str, found: list[tuple[int, str]]
) -> None:
    """By any spelling of the package and by versions; a release that does not say what it has is told apart."""
    answer = dependents_of_package(records, name, versions)
    assert [(one.release, one.has) for one in answer.found] == found
    assert [one.runs for one in answer.found if one.release == 2] == [("production (candidate)",)] * (
        2 in [number for number, _ in found]
    )
    assert [(one.release, one.runs) for one in answer.unknown] == [(1, ("production (stable)",))]
    assert (answer.releases, answer.ok) == (3, False)
    assert all(one.trust.ok for one in answer.found)


def test_versions_that_are_none_are_refused(records: Records) -> None:
    """A specifier that cannot be read must not pass for one that names nothing."""
    with pytest.raises(ModelOpsError, match="names no versions"):
        dependents_of_package(records, "numpy", "2.1 or so")


def test_a_source_names_what_was_trained_on_it(records: Records) -> None:
    """All three releases are of a snapshot with that upstream, and of no other."""
    answer = dependents_of_source(records, "core-banking")
    assert [(one.release, one.has) for one in answer.found] == [(1, "q1"), (2, "q1"), (3, "q1")]
    none = dependents_of_source(records, "elsewhere")
    assert (none.found, none.unknown, none.ok) == ((), (), True)


def test_approvals_of_a_period_have_their_head_and_what_they_let_in(records: Records) -> None:
    """The start counts, the end does not; those of releases and of promotions are both there, the oldest first."""
    everything = approvals_between(records, None, None)
    assert [(one.login, one.release, one.environment) for one in everything.found] == [
        *(("ben", number, None) for number in (1, 2, 3)),
        ("dan", 2, "production"),
    ]
    assert (everything.ok, everything.found[0].pull_request, everything.found[0].commit) == (True, 7, "1" * 40)
    dan = parse_instant("2026-02-01T09:00:00Z")
    assert [one.login for one in approvals_between(records, dan, None).found] == ["dan"]
    assert "dan" not in {one.login for one in approvals_between(records, None, dan).found}
    assert len(approvals_between(records, None, None, "ben").found) == 3


def test_every_verdict_that_is_no_pass_is_told(records: Records) -> None:
    """With the waiver that let it through, and where the release runs; by word, if asked."""
    answer = unpassed(records)
    assert [(one.release, one.verdict.gate, one.verdict.verdict, one.verdict.waived) for one in answer.found] == [
        (1, "latency", "inconclusive", False),
        (2, "latency", "fail", True),
    ]
    assert (answer.judged, answer.releases, answer.ok) == (6, 3, False)
    assert [one.release for one in unpassed(records, ("fail",)).found] == [2]


def test_what_a_waiver_let_through_is_told(records: Records) -> None:
    """The release and the promotion that relied on it, though no file of the waiver is left."""
    used = uses_of_waivers(records).found
    assert [(one.use.name, one.release, one.by, one.environment) for one in used][-1] == (
        "small-sample", 2, "promotion", "production",
    )  # fmt: skip
    assert {one.trust.ok for one in used} == {True}


def test_the_verbs_answer_in_text_and_json(
    world: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each question has a verb; the exit code is 1 where what it asks about runs, or is not proven."""
    monkeypatch.chdir(Path(world.root))
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*words: str) -> tuple[Any, str]:
        with pytest.raises(SystemExit) as end:
            main(["audit", *words])
        return end.value.code, capsys.readouterr().out

    code, said = call("package", "numpy", "<2.1")
    assert (code, "production (candidate)" in said) == (1, True)
    assert "1 of 3 releases depend on numpy <2.1; 1 of them run" in said
    assert "of 1 more it is not known" in said
    assert call("package", "numpy", "very old")[0] == 2
    assert call("source", "elsewhere")[0] == 0
    code, said = call("approvals", "--since", "2026-02-01", "--until", "2026-02-02", "-o", "json")
    assert (code, [one["login"] for one in json.loads(said)["found"]]) == (0, ["dan"])
    code, said = call("gates", "--verdict", "fail")
    assert (code, "waived by small-sample" in said) == (1, True)
    code, said = call("waivers")
    assert (code, "NOT KNOWN how waivers stand now" in said) == (1, True), "this branch has no policies"
    assert "the timer of the runner is coarse" in said
    code, said = call("entity", "card-7", "--on", "2026-04-11")
    assert (code, "p-later" in said, "p-april" in said) == (0, True, False)
    assert len(json.loads(call("entity", "card-7", "-o", "json")[1])["predictions"]) == 2
    assert call("entity", "card-9")[0] == 1


def everything(project: Project, **asked: Any) -> tuple[Dependents, Approvals, Verdicts, WaiverUses]:
    records = Records(project.repository, "main", Asked(wall_clock(), **asked))
    return (
        dependents_of_package(records, "numpy", "<2"),
        approvals_between(records, None, None),
        unpassed(records, ("no-data",)),
        uses_of_waivers(records),
    )


RELEASE_2, RELEASE_3 = f"{HOME}/releases/2/release.yaml", f"{HOME}/releases/3/release.yaml"
EVIDENCE_3 = f"{HOME}/releases/3/evidence.intoto.jsonl"
DEPLOYED, PROMOTED = f"{HOME}/environments/production.yaml", f"{HOME}/promotions/production-2.yaml"


@pytest.mark.parametrize(
    ("path", "data", "named", "status", "by"),
    [
        pytest.param(RELEASE_2, b"spec: [", RELEASE_2, "unread", "pagw", id="release"),
        pytest.param(RELEASE_3, b"spec: [", RELEASE_3, "unread", "pagw", id="release-that-runs-nowhere"),
        pytest.param(RELEASE_2, None, RELEASE_2, "gone", "pagw", id="release-taken-away-that-runs"),
        pytest.param(RELEASE_3, None, RELEASE_3, "gone", "aw", id="release-taken-away"),
        pytest.param(EVIDENCE_3, b"{}\n", RELEASE_3, "unproven", "pagw", id="evidence"),
        pytest.param(EVIDENCE_3, None, RELEASE_3, "unproven", "pagw", id="evidence-taken-away"),
        pytest.param(PROMOTED, b"spec: [", PROMOTED, "unread", "aw", id="promotion"),
        pytest.param(PROMOTED, None, PROMOTED, "gone", "aw", id="promotion-taken-away"),
        pytest.param(DEPLOYED, b"spec: [", DEPLOYED, "unread", "pg", id="deployment"),
        pytest.param(f"{HOME}/releases/007/release.yaml", b"x", f"{HOME}/releases/007/release.yaml", "unread", "pagw"),
    ],
)
def test_a_record_that_says_nothing_is_named(
    copy: Project, path: str, data: bytes | None, named: str, status: str, by: str
) -> None:
    """Where a release, a promotion or a deployment is unread, unproven or gone, no answer that needs it is ok."""
    copy.change(path, data)
    for letter, answer in zip("pagw", everything(copy), strict=True):
        found = [(one.path, one.status) for one in answer.unproven]
        assert found == ([(named, status)] if letter in by else []), letter
        assert all(one.problems and all(one.problems) for one in answer.unproven)
        assert not (answer.unproven and answer.ok)


def test_a_release_that_runs_without_a_record_is_not_known(copy: Project) -> None:
    """An advisory tells where it runs, by what the environment was told before its file was broken, too."""
    copy.change(RELEASE_2, b"spec: [")
    copy.change(DEPLOYED, b"spec: [")
    unknown = [(one.release, one.runs, one.trust.ok) for one in everything(copy)[0].unknown]
    assert unknown == [(1, ("production (stable)",), True), (2, ("production (candidate)",), False)]


def test_what_a_release_without_proof_says_of_its_data_does_not_clear_it(copy: Project) -> None:
    """It may have been trained on the source, so it is among the unknown; the others are of other data."""
    copy.change(EVIDENCE_3, None)
    answer = dependents_of_source(Records(copy.repository, "main", Asked(wall_clock())), "elsewhere")
    assert ([one.release for one in answer.unknown], answer.found, answer.ok) == ([3], (), False)


def test_a_model_that_is_gone_is_told_of(copy: Project) -> None:
    """Its approvals, verdicts and waivers are those of before; it runs on where nobody approved that it went."""
    before = everything(copy)
    gone = dict.fromkeys(copy.repository.paths("main", f"{HOME}/"))
    commit = copy.commit("2026-06-01T00:00:00Z", gone)
    package, approvals, verdicts, waivers = everything(copy)
    assert approvals.found == before[1].found != ()
    assert waivers.found == before[3].found != ()
    assert (approvals.ok, waivers.ok, verdicts.judged) == (True, True, before[2].judged)
    assert ([(one.release, one.runs) for one in package.unknown], package.ok) == ([(1, ())], True)
    pushed = everything(copy, distrusted=frozenset({commit}))[0]
    assert ([(one.release, one.runs) for one in pushed.unknown], pushed.ok) == ([(1, ("production (stable)",))], False)


def test_a_clone_without_the_past_does_not_call_its_approvals_all(copy: Project, tmp_path: Path) -> None:
    """What was removed is not seen there, and that is said."""
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{copy.root}", tmp_path / "shallow"], check=True)
    records = Records(Repository.discover(tmp_path / "shallow"), "main", Asked(wall_clock()))
    for answer in (approvals_between(records, None, None), uses_of_waivers(records)):
        assert "git fetch --unshallow" in str([one.problems for one in answer.unproven])
        assert not answer.ok


@pytest.mark.parametrize("verb", ["approvals", "gates", "waivers", "package"])
def test_the_verbs_name_what_is_not_proven(
    copy: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """In text and JSON, with the code for an answer of no."""
    copy.change(RELEASE_3, b"spec: [")
    copy.change(DEPLOYED, copy.deployment()[DEPLOYED])
    monkeypatch.chdir(copy.root)
    monkeypatch.setenv("NO_COLOR", "1")
    words = ["audit", verb, *(["keras"] if verb == "package" else [])]
    for form in ("text", "json"):
        with pytest.raises(SystemExit) as end:
            main([*words, "-o", form])
        said = capsys.readouterr().out
        assert end.value.code == 1
        assert RELEASE_3 in said
        assert form == "json" or f"{RELEASE_3} cannot be read: {RELEASE_3}:2:1: not valid YAML" in said
    assert [one["status"] for one in json.loads(said)["unproven"]] == ["unread"]


def test_waivers_stand_at_the_commit_that_they_were_used_by(copy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch that moves while the question is answered does not mix two commits."""
    begun, judged = copy.repository.tip("main"), []

    def moving(records: Records) -> WaiverUses:
        copy.change("README.md", b"later")
        return uses_of_waivers(records)

    def standing(workspace: Any, graph: Any, tip: str) -> tuple[()]:
        judged.append(tip)
        return ()

    monkeypatch.chdir(copy.root)
    monkeypatch.setattr("modelops.audit.listings.uses_of_waivers", moving)
    monkeypatch.setattr("modelops.governance.waivers.standings", standing)
    monkeypatch.setattr("modelops.project.workspace.Workspace.graph", lambda workspace, tip: judged.append(tip))
    with pytest.raises(SystemExit):
        main(["audit", "waivers"])
    assert judged == [begun, begun]
