"""Threat 17: whoever commits writes the dates; made-up ones rewrite no answer and sign nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit.test_audit import EVIDENCE, Project, history, project
from modelops import audit
from modelops.audit import Asked
from modelops.errors import Exit, ModelOpsError
from modelops.project.workspace import Workspace
from modelops.repository import Repository
from modelops.spec.layout import TRUST
from modelops.spec.yaml.dump import dump
from project.test_trust import NOW, Branch, key, policy, signer
from releases.release_facts import promotion, trust_in

__all__ = ["history", "project"]

JUNE = datetime(2026, 6, 15, tzinfo=UTC)


def asked(project: Project, at: str, now: datetime = JUNE) -> audit.EnvironmentAnswer:
    instant = datetime.fromisoformat(at)
    return audit.environment(project.repository, "production", instant, asked=Asked(now))


def stable(answer: audit.EnvironmentAnswer) -> int | None:
    (model,) = answer.models
    return model.stable.release if model.stable else None


def test_a_back_dated_push_rewrites_no_answer(project: Project) -> None:
    """What ran in April stays what it was, and while both dates stand, the answer is not called proven."""
    assert asked(project, "2026-04-01T00:00:00Z").ok
    pushed = project.commit("2026-03-01T00:00:00Z", project.deployment(stable=2))
    answer = asked(project, "2026-04-01T00:00:00Z")
    assert (stable(answer), answer.ok) == (1, False)
    (found,) = answer.contradictions
    assert found.others == (pushed,)
    assert asked(project, "2026-02-01T00:00:00Z").ok, "what ran before either date does not depend on them"


def test_a_push_without_a_pull_request_is_named_as_one(project: Project) -> None:
    """The change that is in force is in the answer, with its author, and proves nothing."""
    pushed = project.commit("2026-06-01T00:00:00Z", project.deployment(stable=2))
    answer = asked(project, "2026-06-02T00:00:00Z")
    assert (stable(answer), answer.ok) == (2, False)
    (model,) = answer.models
    assert model.stable is not None
    assert model.stable.unrecorded is not None
    assert model.stable.unrecorded.commit == pushed


def test_a_push_from_the_future_hides_from_no_answer(project: Project) -> None:
    """A commit dated 2036 is in force from when it is there: the answer for tomorrow has it, and is not proven."""
    pushed = project.commit("2036-03-01T00:00:00Z", project.deployment(stable=2))
    answer = asked(project, (JUNE + timedelta(days=1)).isoformat())
    assert (stable(answer), answer.ok) == (2, False)
    assert [one.commit for one in answer.contradictions] == [pushed]
    assert asked(project, "2026-04-01T00:00:00Z").ok


@pytest.mark.parametrize(
    ("said", "code"), [("2026-01-15T00:00:00Z", "time-runs-backwards"), ("2036-01-01T00:00:00Z", "from-the-future")]
)
def test_a_record_of_another_time_proves_nothing(project: Project, said: str, code: str) -> None:
    """A record that is signed, and older than the commit that it builds on or newer than today, is refused."""
    trust = trust_in(project.signer).model_copy(update={"threshold": 1})
    project.commit("2026-05-10T00:00:00Z", {TRUST.path(): dump("TrustPolicy", "trust", trust)})
    merged = project.commit("2026-06-01T00:00:00Z", project.deployment(stable=1))
    record = promotion(
        project.records[1], project.file(EVIDENCE), project.signer, number=3, promoted_at=said, commit=merged
    )
    project.commit("2026-06-01T00:00:00Z", record)
    records = audit.release(project.repository, "fraud-detection", 1, asked=Asked(JUNE)).promotions
    (found,) = [one for one in records if one.name == "production-3"]
    assert found.trust.status == "refused"
    assert f"[{code}]" in found.trust.problems[0]
    assert [one.trust.ok for one in records if one.name == "production-1"] == [True], "the past is left alone"


PROJECT = b"apiVersion: modelops/v1\nkind: Project\nmetadata:\n  name: project\nspec: {%s}\n"


def workspace(branch: Branch, folder: Path, clock: str, given: bool = True) -> Workspace:
    file = folder / "one.pem"
    file.write_bytes(private(branch))
    environ = {"MODELOPS_SIGNING_KEY": file.read_text()} | ({"MODELOPS_CLOCK": clock} if given else {})
    return Workspace(Repository.discover(branch.folder), environ, lambda: datetime.fromisoformat(clock))


def private(branch: Branch) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return signer("one")._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def refused(branch: Branch, folder: Path, clock: str, given: bool = True) -> tuple[str, Exit]:
    with pytest.raises(ModelOpsError) as error:
        workspace(branch, folder, clock, given).signer_for("promotion", "main")
    return error.value.first.code, error.value.exit


def test_a_clock_that_is_given_signs_only_where_a_reviewed_file_says_so(tmp_path: Path) -> None:
    """A variable of the environment says no signature's time; in a repository for tests what it says is marked."""
    branch = Branch(tmp_path / "repository")
    branch.commit({TRUST.path(): policy(key("one")), "policies/project.yaml": PROJECT % b""})
    assert refused(branch, tmp_path, NOW.isoformat()) == ("clock-given", Exit.NO)
    assert not workspace(branch, tmp_path, NOW.isoformat(), given=False).signer_for("release", "main").clock_given
    branch.commit({"policies/project.yaml": PROJECT % b"signing: {simulatedClock: true}"})
    assert workspace(branch, tmp_path, NOW.isoformat()).signer_for("release", "main").clock_given
    assert refused(branch, tmp_path, "2025-01-01T00:00:00+00:00") == ("clock-behind", Exit.WORLD)


def test_a_machine_whose_clock_is_behind_signs_nothing(tmp_path: Path) -> None:
    """Work that was back-dated on top does not help: the newest evidence of the branch counts, too."""
    branch = Branch(tmp_path / "repository")
    branch.commit({TRUST.path(): policy(key("one")), "policies/project.yaml": PROJECT % b""})
    branch.evidence(1, "one", datetime(2026, 5, 1, tzinfo=UTC))
    branch.commit({"work": b"1"}, datetime(2026, 1, 15, tzinfo=UTC))
    assert refused(branch, tmp_path, "2026-01-15T00:00:00+00:00", given=False) == ("clock-behind", Exit.WORLD)
    assert workspace(branch, tmp_path, "2026-05-02T00:00:00+00:00", given=False).signer_for("release", "main")
