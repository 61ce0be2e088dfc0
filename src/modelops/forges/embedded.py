"""The embedded forge: pull requests without a server, kept in git itself.

A ref of the remote (of the repository, when it has no remote) points to a commit whose tree holds one JSON file per
pull request. Every change is a commit on it that moves the ref by compare-and-swap, so two machines never lose each
other's changes, and the ref's log is the history of every pull request.

Who one is here is declared, not proven: whoever may push to the repository may say any login.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Literal, get_args

from pydantic import Field, ValidationError

from modelops.clock import format_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import Comment, PullRequest, Review
from modelops.repository import Person, Repository, Swap
from modelops.spec.load import load_resource
from modelops.spec.meta import Strict
from modelops.spec.policy import ProjectSpec

REF = "refs/modelops/pulls"
_PROJECT = "policies/project.yaml"
_ATTEMPTS = 16
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}(\[bot\])?")

ReviewState = Literal["approved", "changes-requested", "commented"]


class Params(Strict):
    """Settings of the embedded forge: the branch that pull requests are merged into, the project's by default."""

    branch: str | None = None


class _Review(Strict):
    login: str
    state: ReviewState
    commit: str
    submitted_at: str
    body: str = ""


class _Comment(Strict):
    key: str
    login: str
    body: str
    updated_at: str


class _Check(Strict):
    conclusion: str
    commit: str


class _Pull(Strict):
    """One pull request as its JSON file holds it."""

    number: int
    title: str
    body: str
    author: str
    source: str
    target: str
    head: str
    base: str
    state: Literal["open", "merged", "closed"]
    opened_at: str
    pushers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    reviews: tuple[_Review, ...] = ()
    comments: tuple[_Comment, ...] = ()
    checks: dict[str, _Check] = Field(default_factory=dict)
    merge: str | None = None
    merged_by: str | None = None
    merged_at: str | None = None
    superseded_by: int | None = None


_Pulls = dict[int, _Pull]


def _file(pull: _Pull) -> dict[str, bytes | None]:
    data = pull.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {f"{pull.number}.json": (json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()}


def _parse(path: str, data: bytes) -> _Pull:
    try:
        pull = _Pull.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise failure(
            "pulls-corrupt",
            f"{REF}:{path} is not a pull request: {place}: {first['msg']}",
            hint=f"look at `git log {REF}` and set the ref back to the last good commit",
        ) from None
    if path != f"{pull.number}.json":
        raise failure("pulls-corrupt", f"{REF}:{path} holds pull request {pull.number}")
    return pull


def _not_open(pull: _Pull) -> ModelOpsError:
    return failure("pull-not-open", f"pull request #{pull.number} is {pull.state}", exit=Exit.NO)


def _checked_login(login: str) -> str:
    if not _LOGIN.fullmatch(login):
        raise failure("bad-login", f"{login!r} is not a login", exit=Exit.USAGE, hint="use letters and digits")
    return login


def _checked_title(title: str) -> str:
    title = title.strip()
    if not title or not title.isprintable():
        raise failure("bad-title", f"{title!r} is not a title", exit=Exit.USAGE, hint="write one line of text")
    return title


class Embedded:
    """Pull requests of one repository, in git."""

    def __init__(self, repository: Repository, params: Params) -> None:
        self.repository = repository
        self.params = params

    @cached_property
    def branch(self) -> str:
        """The branch that pull requests are merged into."""
        if self.params.branch is not None:
            return self.params.branch
        head = self.repository.head()
        if _PROJECT not in self.repository.paths(head, _PROJECT):
            return ProjectSpec().branch
        branch: str = load_resource(self.repository.read(head, _PROJECT), _PROJECT).spec.branch
        return branch

    # --- reading

    def get(self, number: int) -> PullRequest:
        """Return one pull request with its head as it is now."""
        self.repository.fetch()
        return self._live(self._find(self._load(self._tip()), number))

    def list(self, state: Literal["open", "merged", "closed", "all"] = "open") -> tuple[PullRequest, ...]:
        """Return the pull requests in a state, by number."""
        self.repository.fetch()
        pulls = self._load(self._tip())
        return tuple(self._live(pull) for _, pull in sorted(pulls.items()) if state in ("all", pull.state))

    def merged_with(self, commit: str) -> PullRequest | None:
        """Return the pull request whose merge brought a commit to the branch; None if it came in another way."""
        self.repository.fetch()
        merge = self.repository.brought_by(commit, self.repository.tip(self.branch))
        pulls = self._load(self._tip()) if merge else {}
        return next((self._live(pull) for pull in pulls.values() if pull.merge == merge), None)

    def _tip(self) -> str | None:
        return self.repository.find_ref(REF)

    def _load(self, tip: str | None) -> _Pulls:
        if tip is None:
            return {}
        files = self.repository.read_many(tip, self.repository.paths(tip))
        pulls = (_parse(path, data) for path, data in files.items())
        return {pull.number: pull for pull in pulls}

    def _find(self, pulls: _Pulls, number: int) -> _Pull:
        if number not in pulls:
            raise failure(
                "no-such-pull", f"there is no pull request #{number}", exit=Exit.USAGE, hint="run `modelops pr list`"
            )
        return pulls[number]

    def _observed(self, pull: _Pull) -> _Pull:
        """Return an open pull request with the head, base and pushers that its branches show now.

        Whoever was seen to push stays in the list, even if a forced push takes their commits away.
        """
        head = self.repository.find_tip(pull.source)
        base = self.repository.tip(pull.target)
        if pull.state != "open" or head is None or (head == pull.head and base == pull.base):
            return pull
        commits = self.repository.log(revision=head, excluding=[base])
        people = {person.login for commit in commits for person in commit.people}
        update = {"head": head, "base": base, "pushers": tuple(sorted({*pull.pushers, *people}))}
        return pull.model_copy(update=update)

    def _live(self, pull: _Pull) -> PullRequest:
        now = self._observed(pull)
        return PullRequest(
            number=now.number,
            title=now.title,
            body=now.body,
            author=now.author,
            source=now.source,
            target=now.target,
            head=now.head,
            base=now.base,
            state=now.state,
            pushers=now.pushers,
            merge=now.merge,
            merged_by=now.merged_by,
            labels=now.labels,
            reviews=tuple(Review(**review.model_dump()) for review in now.reviews),
            comments=tuple(Comment(comment.key, comment.login, comment.body) for comment in now.comments),
            # A check says something about one commit only.
            checks=tuple(
                (name, check.conclusion) for name, check in sorted(now.checks.items()) if check.commit == now.head
            ),
            superseded_by=now.superseded_by,
        )

    # --- changing

    def _person(self, login: str) -> Person:
        user = self.repository.find_user()
        return user if user and user.login == login.lower() else Person(login, f"{login}@modelops.invalid")

    def _change(
        self,
        change: Callable[[_Pulls], _Pull],
        message: str,
        *,
        as_: str,
        now: datetime | None = None,
        together: Callable[[_Pull], Sequence[Swap]] = lambda pull: (),
    ) -> PullRequest:
        """Change one pull request, and other refs together with it; whoever loses a race starts over."""
        person = self._person(_checked_login(as_))
        for attempt in range(_ATTEMPTS):
            self.repository.fetch()
            tip = self._tip()
            pulls = self._load(tip)
            pull = change(pulls)
            if pulls.get(pull.number) == pull:
                return self._live(pull)
            # A verb that is given no time is dated like the change before it.
            when = now or self.repository.commit(tip or self.branch).time
            line = message.format(number=pull.number)
            commit = self.repository.commit_files(tip, _file(pull), f"{line}\n", person, when)
            if self.repository.swap(Swap(REF, tip, commit), *together(pull), message=line):
                return self._live(pull)
            time.sleep(0.02 * (attempt + 1) * (1 + os.getpid() % 4))
        raise failure(
            "push-rejected",
            f"the pull requests changed {_ATTEMPTS} times while this change was being made",
            exit=Exit.WORLD,
            hint="run the command again",
            retryable=True,
        )

    def open(
        self, *, title: str, body: str, source: str, as_: str, now: datetime, labels: Sequence[str] = ()
    ) -> PullRequest:
        """Open a pull request from an already pushed branch; one branch has one open pull request at a time."""
        if source == self.branch:
            raise failure(
                "source-is-target",
                f"a pull request from {source!r} into itself changes nothing",
                exit=Exit.USAGE,
                hint="run `git switch -c my-change`, commit there and push that branch",
            )
        title = _checked_title(title)

        def change(pulls: _Pulls) -> _Pull:
            for pull in pulls.values():
                if pull.state == "open" and pull.source == source:
                    raise failure(
                        "pull-exists",
                        f"pull request #{pull.number} is already open for {source!r}",
                        exit=Exit.USAGE,
                        hint="push to that branch to update it, or close it first",
                    )
            head, base = self.repository.tip(source), self.repository.tip(self.branch)
            self._refuse_empty(head, base, source)
            pull = _Pull(
                number=max(pulls, default=0) + 1,
                title=title,
                body=body,
                author=as_,
                source=source,
                target=self.branch,
                head="",
                base=base,
                state="open",
                opened_at=format_instant(now),
                pushers=(as_.lower(),),
                labels=tuple(labels),
            )
            return self._observed(pull)

        return self._change(change, "Open #{number}", as_=as_, now=now)

    def _refuse_empty(self, head: str, base: str, source: str) -> None:
        if self.repository.is_ancestor(head, base):
            raise failure(
                "nothing-to-merge",
                f"everything in {source!r} is already in {self.branch!r}",
                exit=Exit.NO,
                hint="commit a change and push it first",
            )

    def _edit(
        self,
        number: int,
        edit: Callable[[_Pull], dict[str, object]],
        message: str,
        *,
        as_: str = "modelops",
        now: datetime | None = None,
        open_only: bool = True,
        together: Callable[[_Pull], Sequence[Swap]] = lambda pull: (),
    ) -> PullRequest:
        def change(pulls: _Pulls) -> _Pull:
            pull = self._find(pulls, number)
            if open_only and pull.state != "open":
                raise _not_open(pull)
            pull = self._observed(pull)
            return _Pull.model_validate({**pull.model_dump(), **edit(pull)}, strict=False)

        return self._change(change, message, as_=as_, now=now, together=together)

    def sync(self) -> tuple[PullRequest, ...]:
        """Write down the heads and pushers that the branches of the open pull requests show now."""
        return tuple(self._edit(pull.number, lambda pull: {}, "Observe #{number}") for pull in self.list("open"))

    def comment(self, number: int, key: str, body: str, *, as_: str, now: datetime) -> None:
        """Write a comment; the one with the same key is replaced where it stands."""

        def edit(pull: _Pull) -> dict[str, object]:
            if any(comment.key == key and (comment.login, comment.body) == (as_, body) for comment in pull.comments):
                return {}
            new = _Comment(key=key, login=as_, body=body, updated_at=format_instant(now))
            if any(comment.key == key for comment in pull.comments):
                return {"comments": [new if comment.key == key else comment for comment in pull.comments]}
            return {"comments": [*pull.comments, new]}

        self._edit(number, edit, "Comment on #{number}", as_=as_, now=now, open_only=False)

    def review(
        self, number: int, state: str, *, as_: str, now: datetime, body: str = "", head: str | None = None
    ) -> PullRequest:
        """Review the head; with ``head``, only if that is still the head, so that nothing unseen is approved."""
        if state not in get_args(ReviewState):
            raise failure(
                "bad-review", f"{state!r} is not a review", exit=Exit.USAGE, hint=f"one of {get_args(ReviewState)}"
            )

        def edit(pull: _Pull) -> dict[str, object]:
            self._same_head(pull, head)
            if state != "commented" and pull.author.lower() == as_.lower():
                raise failure(
                    "self-review",
                    f"{as_} opened #{number} and cannot review it",
                    exit=Exit.NO,
                    hint="ask someone else, or leave a comment",
                )
            review = {
                "login": as_,
                "state": state,
                "commit": pull.head,
                "submitted_at": format_instant(now),
                "body": body,
            }
            return {"reviews": [*pull.reviews, review]}

        return self._edit(number, edit, f"Review #{{number}}: {state}", as_=as_, now=now)

    def check(self, number: int, name: str, conclusion: str) -> None:
        """Set the conclusion of a named check for the head."""

        def edit(pull: _Pull) -> dict[str, object]:
            return {"checks": {**pull.checks, name: _Check(conclusion=conclusion, commit=pull.head)}}

        self._edit(number, edit, "Check #{number}")

    def merge(self, number: int, *, as_: str, now: datetime, head: str | None = None) -> PullRequest:
        """Merge with a merge commit and delete the source branch; with ``head``, only if that is still the head.

        The branch and the pull request move in one transaction: a merge that is not recorded cannot be left behind.
        """

        def edit(pull: _Pull) -> dict[str, object]:
            self._same_head(pull, head)
            if self.repository.find_tip(pull.source) is None:
                raise failure(
                    "no-such-branch",
                    f"branch {pull.source!r} of #{number} is gone",
                    hint=f"push it again: git push origin {pull.head}:refs/heads/{pull.source}",
                )
            self._refuse_empty(pull.head, pull.base, pull.source)
            message = f"Merge pull request #{number} from {pull.source}\n\n{pull.title}\n"
            commit = self.repository.merge_commits(pull.base, pull.head, message, self._person(as_), now)
            return {"state": "merged", "merge": commit, "merged_by": as_, "merged_at": format_instant(now)}

        pull = self._edit(
            number,
            edit,
            "Merge #{number}",
            as_=as_,
            now=now,
            together=lambda pull: [Swap(f"refs/heads/{pull.target}", pull.base, pull.merge)],
        )
        self._delete(pull.source, pull.head)
        return pull

    def _same_head(self, pull: _Pull, head: str | None) -> None:
        if head is not None and pull.head != head:
            raise failure(
                "head-moved",
                f"#{pull.number} was pushed to: its head is {pull.head[:12]}, no longer {head[:12]}",
                exit=Exit.NO,
                hint=f"look at it again: modelops pr view {pull.number}",
                retryable=True,
            )

    def _delete(self, source: str, head: str) -> None:
        """Delete a merged branch; one that moved, is protected or is checked out stays, which harms no one."""
        try:
            self.repository.delete_branch(source, expected=head)
        except ModelOpsError as error:
            self.repository.warn(f"branch {source!r} stays: {error.problems[0].message}")

    def close(self, number: int, *, superseded_by: int | None = None) -> PullRequest:
        """Close without merging; closing what is closed changes nothing."""

        def edit(pull: _Pull) -> dict[str, object]:
            if pull.state == "merged":
                raise _not_open(pull)
            return {} if pull.state == "closed" else {"state": "closed", "superseded_by": superseded_by}

        return self._edit(number, edit, "Close #{number}", open_only=False)


def open(params: Params, repository: Repository) -> Embedded:
    """Open the forge of a repository."""
    return Embedded(repository, params)
