"""What the forge for GitHub does when the network, the limits, the people and the history are as they really are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from forges.forge_world import github_forge
from git_world import ADA, NOON, World, git
from github_world import ACCOUNTS, REPOSITORY, FakeGitHub, github
from modelops.errors import Exit, ModelOpsError
from modelops.forges import Account, Opening, PullRequest
from modelops.forges.github import GitHub, Params, open, session
from modelops.repository import Person, Repository


@dataclass
class Scene:
    """A served repository with a clone, and the forge as Ada, who proposes, as Bob, who reviews, and as the app."""

    served: FakeGitHub
    world: World
    clone: Repository
    ada: GitHub
    bob: GitHub
    app: GitHub

    def push(self, source: str = "change", message: str = "Propose", person: Person = ADA) -> str:
        """Push one more commit to a branch."""
        self.clone.fetch()
        tip = self.clone.find_tip(source)
        start = tip or self.clone.tip("main")
        files = {f"{source}.txt": message.encode() + str(time.monotonic_ns()).encode()}
        head = self.clone.commit_files(start, files, message, person, NOON)
        self.clone.push_branch(source, head, expected=tip)
        return head

    def propose(self, source: str = "change", message: str = "Propose", person: Person = ADA) -> PullRequest:
        """Open a pull request as Ada."""
        self.push(source, message, person)
        return self.ada.open(title=f"Add {source}", body="Because.", source=source).pull

    def asked(self, method: str) -> list[str]:
        """Return the paths of the requests of a method so far."""
        return [path for each, path in self.served.seen if each == method]


@pytest.fixture
def scene(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(session, "_PAUSES", (0.01, 0.01, 0.01))
    with github(world.remote) as served:
        clone = world.clone("ada")
        yield Scene(
            served, world, clone, *(github_forge(served, clone, f"token-of-{who}") for who in ("ada", "bob", "app"))
        )


def refused(action: object, code: str) -> ModelOpsError:
    with pytest.raises(ModelOpsError) as error:
        action()  # type: ignore[operator]
    assert error.value.first.code == code, str(error.value)
    return error.value


# --- what is asked twice ends once


@pytest.mark.parametrize("fault", ["lost", "drop"])
def test_a_lost_answer_opens_no_second_pull_request(scene: Scene, fault: str) -> None:
    """Whether GitHub did it or not before the connection broke, one is open afterwards."""
    scene.push()
    scene.served.fault = lambda method, path, n: (
        fault if (method, n) == ("POST", 0) and path.endswith("/pulls") else None
    )
    opened = scene.ada.open(title="T", body="", source="change", labels=["model"])
    assert len(scene.served.pulls) == 1
    assert opened.pull.labels == ("model",)


@pytest.mark.parametrize("fault", ["lost", "drop"])
def test_a_lost_answer_reviews_comments_and_checks_once(scene: Scene, fault: str) -> None:
    """A review, a comment and a check run are there once."""
    pull = scene.propose()
    ends = ("/reviews", "/comments", "/check-runs")
    scene.served.fault = lambda method, path, n: fault if method == "POST" and path.endswith(ends) and n == 0 else None
    scene.bob.review(pull.number, "approved", head=pull.head)
    scene.app.comment(pull.number, "plan", "text")
    scene.app.check(pull.number, "gates", "success")
    assert [len(found) for found in (scene.served.reviews[1], scene.served.comments, scene.served.runs)] == [1, 1, 1]


@pytest.mark.parametrize("fault", ["lost", "drop"])
def test_a_lost_merge_is_one_merge(scene: Scene, fault: str) -> None:
    """The merge that the first try made is found by the second, and the branch is deleted."""
    pull = scene.propose()
    scene.served.fault = lambda method, path, n: fault if (method, n) == ("PUT", 0) else None
    merged = scene.bob.merge(pull.number, head=pull.head)
    assert (merged.state, scene.world.tip()) == ("merged", merged.merge)
    assert "change" not in scene.served.branches()


def test_two_that_open_the_same_at_once_leave_the_older_one(scene: Scene) -> None:
    """Whoever finds an older one that asks for the same, after opening, closes its own."""
    scene.push("one")
    scene.push("two")
    first = scene.ada.open(title="same", body="", source="one").pull
    looks = iter([False, True, True])  # what Bob saw first, before Ada's was there
    told = scene.bob.open(title="same", body="", source="two", unless=lambda pull: next(looks, True))
    assert (told.already, told.pull.number) == (True, first.number)
    assert [pull["state"] for pull in scene.served.pulls.values()] == ["open", "closed"]


# --- limits and faults of the API


def test_a_fault_that_passes_is_waited_for(scene: Scene) -> None:
    """A server error and a broken connection are tried again."""
    pull = scene.propose()
    answers = iter([(502, {}, b"<html>"), "drop"])
    scene.served.fault = lambda method, path, n: next(answers, None)
    assert scene.bob.get(pull.number) == pull


def test_a_limit_is_waited_for_if_it_is_short_and_told_if_it_is_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry-After and the reset of the limit are kept; an hour is not waited for, and nothing is lost."""
    pull = scene.propose()
    waited: list[float] = []
    monkeypatch.setattr(scene.bob._api, "_sleep", waited.append)
    soon = str(int(time.time()) + 5)
    answers = iter(
        [
            (403, {"Retry-After": "7"}, b'{"message": "You have exceeded a secondary rate limit"}'),
            (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": soon}, b'{"message": "API rate limit exceeded"}'),
        ]
    )
    scene.served.fault = lambda method, path, n: next(answers, None)
    assert scene.bob.get(pull.number) == pull
    assert waited[0] == 7.0
    assert 1.0 <= waited[1] <= 6.0
    late = str(int(time.time()) + 3600)
    secondary = {"Retry-After": "3600"}
    for headers in ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": late}, secondary):
        scene.served.seen.clear()
        scene.served.fault = lambda *_, headers=headers: (429, headers, b"{}")
        error = refused(lambda: scene.bob.get(pull.number), "forge-limited")
        assert (error.retryable, len(waited), len(scene.served.seen)) == (True, 2, 1)
        assert time.strftime("%H:", time.gmtime(time.time() + 3600)) in str(error)


def test_what_has_not_changed_is_not_sent_again(scene: Scene) -> None:
    """The second look at a document is conditional."""
    pull = scene.propose()
    replies: list[int] = []
    original = scene.bob._api._client.stream

    def counting(*args: object, **kwargs: object) -> object:
        found = original(*args, **kwargs)  # type: ignore[arg-type]
        replies.append(1)
        return found

    scene.bob._api._client.stream = counting  # type: ignore[method-assign,assignment]
    scene.bob.get(pull.number)
    known = len(scene.bob._api._known)
    scene.bob.get(pull.number)
    assert len(scene.bob._api._known) == known
    assert len(replies) == 2


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        ((401, {}, b'{"message": "Bad credentials"}'), "forge-unauthorized", "GH_TOKEN"),
        (
            (403, {"X-Accepted-GitHub-Permissions": "pull_requests=write"}, b'{"message": "Resource not accessible"}'),
            "forge-forbidden",
            "it needs pull_requests=write",
        ),
        (
            (403, {"X-GitHub-SSO": "required; url=https://x"}, b'{"message": "protected by SAML"}'),
            "forge-forbidden",
            "Configure SSO",
        ),
        ((403, {}, b'{"message": "Resource not accessible"}'), "forge-forbidden", "it needs pull_requests=read"),
        ((404, {}, b'{"message": "Not Found"}'), "forge-absent", "it takes metadata=read"),
        ((418, {}, b"not json"), "forge-refused", "418"),
        ((200, {}, b"<html>Log in</html>"), "forge-refused", "not by GitHub's API"),
        ((301, {"Location": "https://elsewhere.example/x"}, b""), "forge-refused", "not its API"),
    ],
)
def test_a_refusal_says_what_is_missing_and_no_token(
    scene: Scene, reply: tuple[int, dict[str, str], bytes], code: str, words: str
) -> None:
    """The variable, the permission or the status stand in the error; the token never does, and goes nowhere else."""
    scene.served.fault = lambda *_: reply
    error = refused(lambda: scene.bob.get(1), code)
    told = f"{error} {error.first.hint}"
    assert words in told
    assert "token-of-bob" not in told
    assert error.exit in (Exit.WORLD, Exit.NO)


def test_a_renamed_repository_is_followed(scene: Scene) -> None:
    """GitHub sends to where the repository is now; the request keeps its method."""
    pull = scene.propose()
    moved = {"Location": f"{scene.served.url}/repos/{REPOSITORY}/issues/1/comments"}

    def fault(method: str, path: str, n: int) -> tuple[int, dict[str, str], bytes] | None:
        return (307, moved, b"") if path.endswith("/comments") and method == "POST" and n == 0 else None

    scene.served.fault = fault
    scene.app.comment(pull.number, "plan", "text")
    assert [one["body"].split("\n")[0] for one in scene.served.comments] == ["text"]


def test_without_a_token_it_says_which_variables_are_read(world: World) -> None:
    """Nothing is asked without one."""
    forge = open(Params(repository=REPOSITORY), Opening(world.clone("x"), "main", lambda: NOON, {}))
    assert "GH_TOKEN" in str(refused(forge.whoami, "forge-unauthorized"))


def test_a_repository_that_cannot_be_seen_is_not_a_missing_pull_request(scene: Scene) -> None:
    """The hint says that a private repository looks the same."""
    scene.served.fault = lambda *_: (404, {}, b'{"message": "Not Found"}')
    assert "private" in str(refused(lambda: scene.bob.get(1), "forge-absent"))


# --- people


def test_a_job_knows_the_account_that_it_acts_as(scene: Scene) -> None:
    """The token of an app is a machine's; saying to be somebody else changes nothing."""
    assert scene.app.whoami() == Account("99", "modelops[bot]", machine=True)
    loop = github_forge(scene.served, scene.clone, "token-of-app", acting="modelops")
    assert loop.whoami() == scene.app.whoami()
    other = github_forge(scene.served, scene.clone, "token-of-bob", acting="ada")
    assert other.whoami().login == "bob"


def test_a_renamed_person_is_the_same_and_a_deleted_one_nobody(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new login keeps its number; a review of a deleted account has no id, whatever it said."""
    pull = scene.propose()
    scene.bob.review(pull.number, "approved", head=pull.head)
    scene.served.reviews[1][0]["user"] = {**ACCOUNTS["bob"], "login": "robert"}
    assert [(one.by.id, one.by.login) for one in scene.ada.reviews(1)] == [("12", "robert")]
    scene.served.reviews[1][0]["user"] = None
    assert [one.by for one in scene.ada.reviews(1)] == [Account("", "ghost")]


def test_a_dismissed_review_is_no_approval_and_a_pending_one_is_none(scene: Scene) -> None:
    """Dismissal takes the decision back; what is not yet sent is not there."""
    pull = scene.propose()
    scene.bob.review(pull.number, "approved", head=pull.head)
    scene.served.reviews[1][0]["state"] = "DISMISSED"
    scene.served.reviews[1].append({**scene.served.reviews[1][0], "state": "PENDING"})
    del scene.served.reviews[1][1]["submitted_at"]
    assert [one.state for one in scene.ada.reviews(1)] == ["dismissed"]


def test_who_pushed_and_who_is_named_as_author_had_a_hand_in_it(scene: Scene) -> None:
    """Pushers come from the activity, co-authors from the message; GitHub's own pages are nobody."""
    named = ("Bob <12+bob@users.noreply.127.0.0.1>", "Eve <13+eve@users.noreply.evil>")
    bob_too = "Propose\n\n" + "\n".join(f"Co-authored-by: {each}" for each in named)
    pull = scene.propose(message=bob_too, person=Person("GitHub", "noreply@github.com"))
    base = scene.clone.tip("main")
    found = {(one.id, one.login) for one in scene.ada.involved(pull, base)}
    assert found == {("11", "ada"), ("12", "bob"), ("", "Eve <13+eve@users.noreply.evil>"), ("19864447", "web-flow")}


def test_a_commit_with_the_address_of_an_account_is_that_accounts(scene: Scene) -> None:
    """What a loop proposes is written by whom it proposes as, so that nobody is left who could be the approver."""
    me = scene.ada.whoami()
    pull = scene.propose(person=Person(me.login, scene.ada.address(me)))
    assert {one.id for one in scene.ada.involved(pull, scene.clone.tip("main"))} == {"11"}


def test_an_author_whom_github_does_not_know_is_somebody(scene: Scene) -> None:
    """A commit with an address of nobody's account counts as somebody who cannot be told."""
    pull = scene.propose(person=Person("Eve", "eve@evil.example"))
    found = scene.ada.involved(pull, scene.clone.tip("main"))
    assert Account("", "eve@evil.example") in found


def test_more_commits_than_github_lists_leave_somebody_unknown(scene: Scene) -> None:
    """Of 251 commits 250 are listed, so who wrote the last is not known."""
    scene.push()
    tip = scene.clone.find_tip("change")
    head = tip
    for number in range(250):
        head = git(scene.clone.root, "commit-tree", f"{head}^{{tree}}", "-p", str(head), "-m", f"c{number}")
    scene.clone.push_branch("change", str(head), expected=tip)
    pull = scene.ada.open(title="T", body="", source="change").pull
    found = scene.ada.involved(pull, scene.clone.tip("main"))
    assert [one.login for one in found if not one.id] == ["whoever wrote more than 250 commits"]


# --- what is there


def test_long_lists_are_read_to_their_end(scene: Scene) -> None:
    """A hundred and twenty comments are two pages."""
    pull = scene.propose()
    for number in range(120):
        scene.served.comments.append({"id": number + 1, "issue": 1, "user": ACCOUNTS["ada"], "body": f"c{number}"})
    found = scene.ada.comments(pull.number)
    assert [one.body for one in found] == [f"c{number}" for number in range(120)]
    assert {one.key for one in found} == {""}


def test_a_comment_that_is_too_long_is_cut(scene: Scene) -> None:
    """It keeps its key, so that the next one replaces it."""
    pull = scene.propose()
    scene.app.comment(pull.number, "plan", "x" * 70_000)
    scene.app.comment(pull.number, "plan", "y" * 70_000)
    (one,) = scene.app.comments(pull.number)
    assert one.key == "plan"
    assert one.body.startswith("yyy")
    assert "does not fit" in one.body


def test_a_marker_in_the_comment_of_another_is_never_edited(scene: Scene) -> None:
    """Whoever writes the loop's marker by hand keeps the comment."""
    pull = scene.propose()
    scene.served.comments.append(
        {"id": 1, "issue": 1, "user": ACCOUNTS["bob"], "body": "mine\n\n<!-- modelops-comment plan -->"}
    )
    scene.app.comment(pull.number, "plan", "the plan")
    assert [one["body"].split("\n")[0] for one in scene.served.comments] == ["mine", "the plan"]


def test_a_check_by_a_person_is_a_status(scene: Scene) -> None:
    """Only apps write check runs; a person's token sets a commit status of the same name."""
    pull = scene.propose()
    scene.ada.check(pull.number, "gates", "failure")
    assert scene.served.runs == []
    assert [(one.name, one.conclusion) for one in scene.bob.checks(pull.number)] == [("gates", "failure")]


def test_a_conflict_is_said_and_merges_nothing(scene: Scene) -> None:
    """What GitHub refuses to merge stays open."""
    pull = scene.propose()
    scene.served.fault = lambda method, path, n: (
        (405, {}, b'{"message": "Pull Request is not mergeable"}') if method == "PUT" else None
    )
    error = refused(lambda: scene.bob.merge(pull.number, head=pull.head), "merge-refused")
    assert "not mergeable" in str(error)
    assert scene.bob.get(pull.number).state == "open"


def test_the_head_is_what_git_has_when_github_is_behind(scene: Scene) -> None:
    """A push that the API does not know yet is the head already."""
    pull = scene.propose()
    newer = scene.push()
    scene.served.heads = scene.served.branches()
    scene.served.look = lambda: None  # type: ignore[method-assign]
    assert scene.bob.get(pull.number).head == newer != pull.head
    refused(lambda: scene.bob.review(pull.number, "approved", head=pull.head), "head-moved")


def test_the_head_of_a_fork_is_fetched(scene: Scene, tmp_path: Path) -> None:
    """A branch of another repository is named with its owner, and its commits come by the pull request's own ref."""
    pull = scene.propose()
    stored = scene.served.pulls[1]
    head = git(scene.clone.root, "commit-tree", f"{pull.head}^{{tree}}", "-p", pull.head, "-m", "from afar")
    git(scene.clone.root, "push", "-q", "origin", f"{head}:refs/pull/1/head")
    git(scene.clone.root, "gc", "-q", "--prune=now")
    assert scene.clone.find(head) is None
    git(scene.world.remote, "update-ref", "-d", "refs/heads/change")
    stored["head"] |= {"sha": head, "repo": {"id": 7}, "label": "eve:change"}
    stored["maintainer_can_modify"] = True
    found = scene.bob.get(1)
    assert (found.head, found.source) == (head, "eve:change")
    assert scene.clone.find(head) == head
    base = scene.clone.tip("main")
    assert "whoever pushed to eve:change" in {one.login for one in scene.ada.involved(found, base)}
    stored["maintainer_can_modify"] = False
    assert {one.id for one in scene.ada.involved(found, base)} == {"11"}
    refused(lambda: scene.bob.get(77), "no-such-pull")
