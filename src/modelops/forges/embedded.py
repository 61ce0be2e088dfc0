"""The embedded forge: pull requests without a server, kept in git itself.

A ref of the remote (of the repository, when it has no remote) points to a commit whose tree holds one JSON file per
pull request. Every change is a commit on it that moves the ref by compare-and-swap, so two machines never lose each
other's changes, and the ref's log is the history of every pull request.

Who one is here is declared, not proven: whoever may push to the repository may say any login.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Literal, get_args

from modelops.clock import format_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import (
    MACHINE,
    Account,
    Check,
    Comment,
    Decision,
    Explanation,
    Heard,
    Opened,
    Opening,
    PullRequest,
    Review,
    State,
)  # fmt: skip
from modelops.forges._stored import (
    REF,
    Pulls,
    StoredCheck,
    StoredComment,
    StoredPull,
    StoredReview,
    checked_login,
    checked_title,
    file_of,
    heard_of,
    not_open,
    parse,
    require_base,
    require_head,
)
from modelops.repository import Person, Swap
from modelops.spec.meta import Strict

_ATTEMPTS = 16


class Params(Strict):
    """Settings of the embedded forge: the branch that pull requests are merged into, the project's by default."""

    branch: str | None = None


def _account(login: str) -> Account:
    """Return the account of a login: here the login is what one is known by, in whichever case it is written."""
    return Account(login.lower(), login, login.lower() == MACHINE or login.lower().endswith("[bot]"))


def _known(login: str | None) -> Account | None:
    return None if login is None else _account(login)


class Embedded:
    """Pull requests of one repository, in git."""

    def __init__(self, opening: Opening, params: Params) -> None:
        self.repository = opening.repository
        self.branch = params.branch if params.branch is not None else opening.branch
        self.clock = opening.clock
        self.acting = opening.acting
        self._read: tuple[str | None, Pulls] = (None, {})

    def whoami(self) -> Account:
        """Return who one says one is: by default what stands before the @ of git's user.email."""
        return _account(checked_login(self.acting or self.repository.user().login))

    # --- reading

    def get(self, number: int) -> PullRequest:
        """Return one pull request with its head as it is now."""
        return self._live(self._stored(number))

    def find(
        self,
        *,
        label: str | None = None,
        source: str | None = None,
        head: str | None = None,
        state: State | Literal["all"] = "open",
        limit: int | None = None,
    ) -> tuple[PullRequest, ...]:
        """Return the pull requests with a label, from a branch, with a head and in a state, the newest first."""
        self.repository.fetch()
        pulls = [
            pull
            for _, pull in sorted(self._load(self._tip()).items(), reverse=True)
            if state in ("all", pull.state)
            and source in (None, pull.source)
            and (label is None or label in pull.labels)
        ]
        live = (self._live(pull) for pull in pulls)
        return tuple(islice((pull for pull in live if head in (None, pull.head)), limit))

    def queued(self, commit: str) -> tuple[PullRequest, str] | None:
        """Return None: here nothing waits, what is merged is merged at once."""
        return None

    def other_targets(self, pull: PullRequest, commit: str) -> tuple[str, ...]:
        """Return nothing: every pull request is into the project's branch."""
        return ()

    def merged_with(self, commit: str) -> PullRequest | None:
        """Return the pull request whose merge brought a commit to the branch; None if it came in another way."""
        self.repository.fetch()
        merge = self.repository.brought_by(commit, self.repository.tip(self.branch))
        pulls = self._load(self._tip()) if merge else {}
        return next((self._live(pull) for pull in pulls.values() if pull.merge == merge), None)

    def reviews(self, number: int) -> tuple[Review, ...]:
        """Return the reviews, the oldest first."""
        pull = self._stored(number)
        return tuple(_review(review, pull) for review in pull.reviews)

    def comments(self, number: int) -> tuple[Comment, ...]:
        """Return the comments, the oldest first."""
        pull = self._stored(number)
        said = tuple(Comment(comment.key, _account(comment.login), comment.body) for comment in pull.comments)
        if pull.superseded_by is None:
            return said
        return (*said, Comment("modelops/superseded", _account(MACHINE), f"Superseded by #{pull.superseded_by}."))

    def checks(self, number: int) -> tuple[Check, ...]:
        """Return the checks of the present head: a check says something about one commit only."""
        pull = self._observed(self._stored(number))
        return tuple(
            Check(name, check.conclusion) for name, check in sorted(pull.checks.items()) if check.commit == pull.head
        )

    def involved(self, pull: PullRequest, base: str) -> tuple[Account, ...]:
        """Return who opened it, and who wrote or committed what git shows or was ever seen on its branch."""
        known = self._load(self._tip()).get(pull.number)
        # What is known here is at least as new as a pull request that was asked for here: nothing is fetched.
        stored = self._observed(known or self._stored(pull.number))
        commits = self.repository.log(revision=pull.head, excluding=[base])
        people = {person.login for commit in commits for person in commit.people}
        return tuple(_account(login) for login in sorted({stored.author.lower(), *stored.pushers, *people}))

    def heard(self, pull: PullRequest) -> tuple[Heard, ...]:
        """Return the digest of the file that holds the pull request."""
        return heard_of(self._load(self._tip()).get(pull.number))

    def _tip(self) -> str | None:
        return self.repository.find_ref(REF)

    def _stored(self, number: int) -> StoredPull:
        self.repository.fetch()
        return self._find(self._load(self._tip()), number)

    def _load(self, tip: str | None) -> Pulls:
        if tip is None:
            return {}
        if self._read[0] != tip:
            self._read = (tip, self._pulls(tip))
        return dict(self._read[1])

    def _pulls(self, tip: str) -> Pulls:
        files = self.repository.read_many(tip, self.repository.paths(tip))
        pulls = (parse(path, data) for path, data in files.items())
        return {pull.number: pull for pull in pulls}

    def _find(self, pulls: Pulls, number: int) -> StoredPull:
        if number not in pulls:
            raise failure(
                "no-such-pull", f"there is no pull request #{number}", exit=Exit.USAGE, hint="run `modelops pr list`"
            )
        return pulls[number]

    def _observed(self, pull: StoredPull) -> StoredPull:
        """Return an open pull request with the head, base and pushers that its branches show now.

        Whoever was seen to push stays in the list, even if a forced push takes their commits away.
        """
        if pull.state != "open":
            return pull
        # A branch that was renamed takes its open pull requests along.
        target = pull.target if self.repository.find_tip(pull.target) is not None else self.branch
        head, base = self.repository.find_tip(pull.source), self.repository.tip(target)
        if head is None or (head == pull.head and base == pull.base and target == pull.target):
            return pull
        commits = self.repository.log(revision=head, excluding=[base])
        people = {person.login for commit in commits for person in commit.people}
        update = {
            "target": target,
            "head": head,
            "base": base,
            "pushers": tuple(sorted({*pull.pushers, *people})),
        }
        return pull.model_copy(update=update)

    def _live(self, pull: StoredPull) -> PullRequest:
        now = self._observed(pull)
        return PullRequest(
            number=now.number,
            title=now.title,
            body=now.body,
            author=_account(now.author),
            source=now.source,
            target=now.target,
            head=now.head,
            base=now.base,
            state=now.state,
            opened_at=now.opened_at,
            labels=now.labels,
            merge=now.merge,
            merged_by=_known(now.merged_by),
            closed_by=_known(now.closed_by),
        )

    # --- changing

    def _person(self, login: str) -> Person:
        user = self.repository.find_user()
        return user if user and user.login == login.lower() else Person(login, f"{login}@modelops.invalid")

    def _change(
        self,
        change: Callable[[Pulls], StoredPull],
        message: str,
        *,
        together: Callable[[StoredPull], Sequence[Swap]] = lambda pull: (),
    ) -> tuple[StoredPull, bool]:
        """Change one pull request, and other refs together with it; whoever loses a race starts over.

        Returns it as it is recorded then, and whether that is this change's doing.
        """
        person = self._person(self.whoami().login)
        for attempt in range(_ATTEMPTS):
            self.repository.fetch()
            tip = self._tip()
            pulls = self._load(tip)
            pull = change(pulls)
            if pulls.get(pull.number) == pull:
                return pull, False
            line = message.format(number=pull.number)
            commit = self.repository.commit_files(tip, file_of(pull), f"{line}\n", person, self.clock())
            if self.repository.swap(Swap(REF, tip, commit), *together(pull), message=line):
                return pull, True
            time.sleep(0.02 * (attempt + 1) * (1 + os.getpid() % 4))
        raise failure(
            "push-rejected",
            f"the pull requests changed {_ATTEMPTS} times while this change was being made",
            exit=Exit.WORLD,
            hint="run the command again",
            retryable=True,
        )

    def open(
        self,
        *,
        title: str,
        body: str,
        source: str,
        labels: Sequence[str] = (),
        unless: Callable[[PullRequest], bool] | None = None,
    ) -> Opened:
        """Open a pull request from an already pushed branch, or return the one that asks for the same already.

        Looking and opening are one step: whoever loses the race looks again.
        """
        if source == self.branch:
            raise failure(
                "source-is-target",
                f"a pull request from {source!r} into itself changes nothing",
                exit=Exit.USAGE,
                hint="run `git switch -c my-change`, commit there and push that branch",
            )
        title, me = checked_title(title), self.whoami()

        def change(pulls: Pulls) -> StoredPull:
            same = self._asking(pulls, source, unless)
            if same is not None:
                return same
            head, base = self.repository.tip(source), self.repository.tip(self.branch)
            self._refuse_empty(head, base, source)
            pull = StoredPull(
                number=max(pulls, default=0) + 1,
                title=title,
                body=body,
                author=me.login,
                source=source,
                target=self.branch,
                head="",
                base=base,
                state="open",
                opened_at=format_instant(self.clock()),
                pushers=(me.id,),
                labels=tuple(labels),
            )
            return self._observed(pull)

        pull, opened = self._change(change, "Open #{number}")
        return Opened(self._live(pull), not opened)

    def _asking(self, pulls: Pulls, source: str, unless: Callable[[PullRequest], bool] | None) -> StoredPull | None:
        """Return the open pull request of a branch, or one that asks for the same by the caller's word."""
        found = [pull for _, pull in sorted(pulls.items()) if pull.state == "open"]
        own = next((pull for pull in found if pull.source == source), None)
        if own is not None or unless is None:
            return own
        return next((pull for pull in found if unless(self._live(pull))), None)

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
        edit: Callable[[StoredPull], dict[str, object]],
        message: str,
        *,
        together: Callable[[StoredPull], Sequence[Swap]] = lambda pull: (),
    ) -> tuple[StoredPull, bool]:
        def change(pulls: Pulls) -> StoredPull:
            stored = self._find(pulls, number)
            pull = self._observed(stored)
            edited = edit(pull)
            # What changes nothing does not write down what the branches show meanwhile either.
            return StoredPull.model_validate({**pull.model_dump(), **edited}, strict=False) if edited else stored

        return self._change(change, message, together=together)

    def comment(self, number: int, key: str, body: str) -> None:
        """Write a comment; one's own with the same key is replaced where it stands."""
        me = self.whoami()

        def edit(pull: StoredPull) -> dict[str, object]:
            own = [one.key == key and one.login.lower() == me.id for one in pull.comments]
            if any(mine and one.body == body for mine, one in zip(own, pull.comments, strict=True)):
                return {}
            new = StoredComment(key=key, login=me.login, body=body, updated_at=format_instant(self.clock()))
            if any(own):
                return {"comments": [new if mine else one for mine, one in zip(own, pull.comments, strict=True)]}
            return {"comments": [*pull.comments, new]}

        self._edit(number, edit, "Comment on #{number}: " + key.replace("{", "{{").replace("}", "}}"))

    def review(self, number: int, state: Decision, *, head: str, body: str = "") -> Review:
        """Review the exact head; who has decided the same of it before adds nothing."""
        if state not in get_args(Decision):
            known = ", ".join(get_args(Decision))
            raise failure("bad-review", f"{state!r} is not a review", exit=Exit.USAGE, hint=f"one of: {known}")
        me = self.whoami()
        new = StoredReview(
            login=me.login, state=state, commit=head, submitted_at=format_instant(self.clock()), body=body
        )

        def edit(pull: StoredPull) -> dict[str, object]:
            if pull.state == "open":
                require_head(pull, head)
            if _standing(pull, new) is not None:
                return {}
            if pull.state != "open":
                raise not_open(pull)
            if state != "commented" and me.id == pull.author.lower():
                raise failure("self-review", f"{me} opened #{number} and cannot review it", exit=Exit.NO)
            return {"reviews": [*pull.reviews, new.model_copy(update={"base": pull.base})]}

        pull, _ = self._edit(number, edit, f"Review #{{number}}: {state}")
        return _review(_standing(pull, new) or new, pull)

    def check(
        self, number: int, name: str, conclusion: str, *, commit: str | None = None, said: Explanation | None = None
    ) -> None:
        """Set the conclusion of a named check for the head; what else it says is not kept."""

        def edit(pull: StoredPull) -> dict[str, object]:
            if commit is not None:
                require_head(pull, commit)
            new = StoredCheck(conclusion=conclusion, commit=pull.head)
            if pull.checks.get(name) == new:
                return {}
            if pull.state != "open":
                raise not_open(pull)
            return {"checks": {**pull.checks, name: new}}

        self._edit(number, edit, "Check #{number}")

    def merge(self, number: int, *, head: str, base: str | None = None) -> PullRequest:
        """Merge the exact head, into the exact base if one is given, and delete the source branch.

        The branch and the pull request move in one transaction: a merge that is not recorded cannot be left behind. One
        that is merged already only has its branch deleted, which a merge that was killed has not done.
        """
        me = self.whoami()

        def edit(pull: StoredPull) -> dict[str, object]:
            if pull.state == "closed":
                raise not_open(pull)
            require_head(pull, head)
            if pull.state == "merged":
                return {}
            require_base(pull, base)
            return self._merged(pull, me.login)

        pull, now = self._edit(
            number,
            edit,
            "Merge #{number}",
            together=lambda pull: [Swap(f"refs/heads/{pull.target}", pull.base, pull.merge)],
        )
        if not now:
            # Moving the branch to where it is lets the checked-out one follow, as the merge would have.
            there = self.repository.find_tip(pull.target)
            if there is not None:
                self.repository.swap(Swap(f"refs/heads/{pull.target}", there, there))
        if self.repository.find_tip(pull.source) == pull.head:
            self._delete(pull.source, pull.head)
        return self._live(pull)

    def _merged(self, pull: StoredPull, login: str) -> dict[str, object]:
        if self.repository.find_tip(pull.source) is None:
            raise failure(
                "no-such-branch",
                f"branch {pull.source!r} of #{pull.number} is gone",
                hint=f"push it again: git push origin {pull.head}:refs/heads/{pull.source}",
            )
        self._refuse_empty(pull.head, pull.base, pull.source)
        message = f"Merge pull request #{pull.number} from {pull.source}\n\n{pull.title}\n"
        now = self.clock()
        commit = self.repository.merge_commits(pull.base, pull.head, message, self._person(login), now)
        return {"state": "merged", "merge": commit, "merged_by": login, "merged_at": format_instant(now)}

    def _delete(self, source: str, head: str) -> None:
        """Delete a merged branch; one that moved, is protected or is checked out stays, which harms no one."""
        try:
            self.repository.delete_branch(source, expected=head)
        except ModelOpsError as error:
            self.repository.warn(f"branch {source!r} stays: {error.first.message}")

    def close(self, number: int) -> PullRequest:
        """Close without merging; closing what is closed changes nothing."""
        me = self.whoami()

        def edit(pull: StoredPull) -> dict[str, object]:
            if pull.state == "merged":
                raise not_open(pull)
            return {} if pull.state == "closed" else {"state": "closed", "closed_by": me.login}

        pull, _ = self._edit(number, edit, "Close #{number}")
        return self._live(pull)

    @property
    def inscribes(self) -> bool:
        """Tell that a commit is kept as it is."""
        return False

    def put(self, tip: str, commit: str) -> str | None:
        """Push a commit to the branch, if that is still where it was."""
        return commit if self.repository.swap(Swap(f"refs/heads/{self.branch}", tip, commit), message="push") else None


def _review(review: StoredReview, pull: StoredPull) -> Review:
    # What 0.1.0 wrote counted for whatever the target had when it was merged.
    base = review.base or pull.base
    return Review(_account(review.login), review.state, review.commit, review.submitted_at, review.body, base)


def _standing(pull: StoredPull, new: StoredReview) -> StoredReview | None:
    """Return the review that says already what a new one would: the same person's newest of its kind, word for word.

    A decision about an open one is about what it makes of its target, so it is another once that has moved.
    """
    decides = new.state != "commented"
    own = [one for one in pull.reviews if one.login.lower() == new.login.lower()]
    last = next((one for one in reversed(own) if (one.state != "commented") == decides), None)
    if last is None or (last.state, last.commit) != (new.state, new.commit):
        return None
    if decides and pull.state == "open" and (last.base or pull.base) != pull.base:
        return None
    return last if last.body == new.body or (decides and not new.body) else None


def open(params: Params, opening: Opening) -> Embedded:
    """Open the forge of a repository."""
    return Embedded(opening, params)
