"""What a pull request asks for counts only if the loop wrote it, or if its commits do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from git_world import ADA, NOON, lonely
from modelops.forges import Account, PullRequest
from modelops.governance.asks import (
    Ask,
    ConclusionAsk,
    PromotionAsk,
    RestorationAsk,
    RetrainingAsk,
    asks_for,
    content_of,
    overtaken,
    retrains,
    stable_at,
    with_ask,
)
from modelops.governance.endings import concludes
from modelops.governance.proposals import _supersedes
from modelops.project.workspace import Workspace
from modelops.repository import Repository
from modelops.spec.layout import Seat

PATH = "models/a/environments/production.yaml"
RECORD = "models/a/promotions/production-2.intoto.jsonl"
FOLDER = "modelops/retrain/a/"


def deployment(text: str) -> bytes:
    head = "apiVersion: modelops/v1\nkind: Deployment\nmetadata:\n  name: production\nspec:\n"
    return (head + "".join(f"  {line}\n" for line in text.split("; "))).encode()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return lonely(tmp_path / "r", {PATH: deployment("stable: 1").decode(), RECORD: "{}\n"})


def on(repository: Repository, files: Mapping[str, bytes | None]) -> str:
    return repository.commit_files(repository.head(), files, "Change\n", ADA, NOON)


CANDIDATE = PromotionAsk(model="a", environment="production", release=2, role="candidate")
CHALLENGER = PromotionAsk(model="a", environment="production", release=3, role="challenger-3")
CONCLUSION = ConclusionAsk(model="a", environment="production", release=2, salt="s")


@pytest.mark.parametrize(
    ("ask", "files", "does"),
    [
        (CANDIDATE, {PATH: deployment("stable: 1; candidate: 2")}, True),
        (CANDIDATE, {PATH: deployment("stable: 1; candidate: 3")}, False),
        (CANDIDATE, {PATH: deployment("stable: 1; candidate: 2"), "other": b"1"}, False),
        (CANDIDATE, {PATH: b"stable: ["}, False),
        (CANDIDATE, {PATH: None}, False),
        (CANDIDATE, {"other": b"1"}, False),
        (CHALLENGER, {PATH: deployment("stable: 1; candidate: 2; challengers: [3]")}, True),
        (CHALLENGER, {PATH: deployment("stable: 1; candidate: 3")}, False),
        (CONCLUSION, {PATH: deployment("stable: 2"), RECORD: b"{}\n{}\n"}, True),
        (CONCLUSION, {PATH: deployment("stable: 2")}, False),
        (CONCLUSION, {PATH: deployment("stable: 2; candidate: 3"), RECORD: b"{}\n{}\n"}, False),
        (CONCLUSION, {PATH: deployment("stable: 2"), RECORD: b"{}\n{}\n", "policies/x": b""}, False),
        (CONCLUSION, {RECORD: b"{}\n{}\n"}, False),
    ],
)
def test_the_commits_say_what_is_asked(
    repository: Repository, ask: Ask, files: Mapping[str, bytes | None], does: bool
) -> None:
    """One file for a promotion, the file and signed records for an end; more, less or broken is something else."""
    head = on(repository, files)
    assert asks_for(repository, repository.head(), head, ask) is does


def test_commits_that_are_not_here_do_nothing(repository: Repository) -> None:
    """A head that was never fetched, or was collected, is no reason to fail."""
    for ask in (CANDIDATE, CONCLUSION, RetrainingAsk(model="a", environment="p", snapshot="p-0", root=ROOT)):
        assert not asks_for(repository, repository.head(), "d" * 40, ask)
    assert stable_at(repository, "d" * 40, Seat("a", "production")) is None


def test_what_the_branch_changed_too_is_overtaken(repository: Repository) -> None:
    """Only files that both changed matter."""
    head = on(repository, {PATH: deployment("stable: 1; candidate: 2")})
    assert not overtaken(repository, on(repository, {"elsewhere": b"1"}), head)
    assert overtaken(repository, on(repository, {PATH: deployment("stable: 1; paused: true")}), head)


ROOT = "sha256:" + "0" * 64
MACHINE, PERSON = Account("modelops", "modelops", True), Account("ada", "ada")


def pull_of(head: str, author: Account, source: str, body: str = "") -> PullRequest:
    return PullRequest(4, "T", body, author, source, "main", head, head, "open", "2026-03-01T12:00:00Z")


def test_only_the_machine_or_the_rows_make_a_retraining(repository: Repository) -> None:
    """A label, a branch, a copied or an edited block make none; the loop's own of the first version is one."""
    head = on(repository, {"x": b"1"})
    ask = RetrainingAsk(model="a", environment="production", snapshot="production-0", root=ROOT)
    body = with_ask("Because.", ask)

    def counts(pull: PullRequest) -> bool:
        return retrains(repository, repository.head(), pull, "a", FOLDER)

    assert counts(pull_of(head, MACHINE, f"{FOLDER}production-0", body))
    assert not counts(pull_of(head, PERSON, f"{FOLDER}production-0", body))
    assert not counts(pull_of(head, PERSON, "mine", body))
    assert not counts(pull_of(head, PERSON, f"{FOLDER}20260410T123818"))
    assert not counts(pull_of(head, MACHINE, "mine", with_ask("", ask.model_copy(update={"model": "b"}))))
    assert not counts(pull_of(head, MACHINE, "mine", body.replace("production-0", "production -0")))
    assert counts(pull_of(head, MACHINE, f"{FOLDER}20260410T123818", "The inputs drifted."))
    assert not counts(pull_of(head, MACHINE, "modelops/conclude/a/production/s", "It ended well."))


def test_only_promotions_to_the_same_place_are_superseded(repository: Repository) -> None:
    """A foreign pull request stays open whatever it calls itself; one of the first version is known by its branch."""
    tip = repository.head()
    folder = "modelops/promote/a/production/"
    promotes, other = on(repository, {PATH: deployment("stable: 1; candidate: 2")}), on(repository, {"x": b"1"})
    newer = CANDIDATE.model_copy(update={"release": 3})

    def closed(pull: PullRequest) -> bool:
        return _supersedes(repository, tip, newer, pull, folder)

    mine = pull_of(promotes, PERSON, f"{folder}2", with_ask("", CANDIDATE))
    assert closed(mine)
    assert closed(replace(mine, body="Written by 0.1.0"))
    assert not closed(replace(mine, body="Written by 0.1.0", source="mine"))
    assert not closed(replace(mine, body="Written by 0.1.0", source=f"{folder}soon"))
    assert not closed(replace(mine, head=other))
    assert not closed(replace(mine, body=with_ask("", CANDIDATE.model_copy(update={"environment": "staging"}))))
    assert not closed(replace(mine, body=with_ask("", CHALLENGER)))


def test_an_end_counts_by_who_wrote_it_or_by_what_it_does(repository: Repository) -> None:
    """The loop's own with its salt; a person's that does end it; neither a foreign branch nor a copied block."""
    workspace = Workspace(repository, {}, lambda: NOON)
    ends = on(repository, {PATH: deployment("stable: 2"), RECORD: b"{}\n{}\n"})
    other = on(repository, {"x": b"1"})
    said = with_ask("It ended well.", CONCLUSION)

    def counts(pull: PullRequest, **more: object) -> bool:
        return concludes(workspace, pull, Seat("a", "production"), **more)  # type: ignore[arg-type]

    branch = "modelops/conclude/a/production/s"
    assert counts(pull_of(other, MACHINE, branch, said), salt="s")
    assert not counts(pull_of(other, MACHINE, branch, said), salt="another")
    assert not counts(pull_of(other, PERSON, branch, said), salt="s")
    assert not counts(pull_of(other, PERSON, branch))
    assert counts(pull_of(ends, PERSON, branch, "Written by 0.1.0"), salt="s", on_trial=[2, 3])
    assert not counts(pull_of(ends, PERSON, branch, said), salt="s", on_trial=[3])
    assert counts(replace(pull_of(ends, PERSON, branch), state="merged", base=repository.head()), on_trial=[2])
    assert not counts(pull_of("d" * 40, PERSON, branch, said), salt="s")


def test_a_restoration_is_told_by_every_file_it_changes(repository: Repository) -> None:
    """Other content, a file more, or one that is gone instead is another change."""
    files = {"models/a/train.py": b"1\n", PATH: None}
    content = content_of(files)
    ask = RestorationAsk(model="a", environment="production", failed=2, stable=1, content=content)
    for change, does in ((files, True), ({**files, "x": b""}, False), ({**files, "models/a/train.py": b"2\n"}, False)):
        assert asks_for(repository, repository.head(), on(repository, change), ask) is does
