"""Pull requests on GitHub, or on a GitHub Enterprise Server: who reviewed and who merged is GitHub's word.

People are known by the number that GitHub gives an account, which neither a new name nor a deletion changes. Everything
that is asked twice ends once: what is there already is found before anything is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import (
    Account,
    Check,
    Comment,
    Decision,
    Deployed,
    Explanation,
    Heard,
    Jobs,
    Opened,
    Opening,
    Point,
    PullRequest,
    Review,
    State,
)
from modelops.forges.github import commits, deployments, examination
from modelops.forges.github.credentials import App, credentials_of
from modelops.forges.github.records import (
    STATES,
    account_of,
    by_address,
    comment_of,
    cut,
    moved,
    not_open,
    review_of,
    trailers,
)
from modelops.forges.github.session import Session
from modelops.forges.github.settings import API, Params, noreply
from modelops.forges.github.speaking import Speaker, runs_of
from modelops.forges.github.targets import other_targets

__all__ = ["GitHub"]

_COMMITS = 250
"""Commits that GitHub lists of a pull request."""
_WEB = "web-flow"
"""The account that GitHub itself commits as, for whoever uses its pages."""
_EVENTS = {"approved": "APPROVE", "changes-requested": "REQUEST_CHANGES", "commented": "COMMENT"}
_TEAM = re.compile(r"[A-Za-z0-9_-]{1,100}")
_QUEUED = re.compile(r"/pr-(\d{1,9})-([0-9a-f]{40})\Z")


class GitHub:
    """The pull requests of one repository on GitHub, read and changed as whoever the token stands for."""

    def __init__(self, params: Params, opening: Opening) -> None:
        self.repository, self.branch = opening.repository, opening.branch
        self._owner = params.repository.partition("/")[0]
        self._at = f"/repos/{params.repository}"
        self._environ, self._params = opening.environ, params
        self._opened: Session | None = None
        self._me: Account | None = None
        self._teams: dict[str, tuple[Account, ...]] = {}

    @property
    def _api(self) -> Session:
        if self._opened is None:
            base = self._params.api_url or self._environ.get("GITHUB_API_URL") or API
            self._opened = Session(base, credentials_of(self._params, self._environ))
        return self._opened

    # --- reading

    def whoami(self) -> Account:
        """Return whose token it is: a person, or the app that a job acts as."""
        if self._me is None:
            self._me = self._viewer()
        return self._me

    def address(self, account: Account) -> str:
        """Return the address that GitHub gives an account, by which it knows whose a commit is."""
        return f"{account.id}+{account.login}@{noreply(self._environ, self._params.api_url)}"

    def _viewer(self) -> Account:
        try:
            return account_of(self._api.get("/user").document)
        except ModelOpsError as error:
            if error.first.code != "forge-forbidden":
                raise
        # The token of a job or of an app is no user's; GraphQL alone says whose it is.
        query = {"query": "query { viewer { login databaseId } }"}
        answer = self._api.change("POST", self._graphql(), query).document
        viewer = (answer or {}).get("data", {}).get("viewer") or {}
        return account_of({"id": viewer.get("databaseId"), "login": viewer.get("login", ""), "type": "Bot"})

    def _graphql(self) -> str:
        # GitHub's own API has it beside the rest, an Enterprise Server one folder up.
        base = self._api.base
        return f"{base.removesuffix('/v3')}/graphql"

    def get(self, number: int) -> PullRequest:
        """Return one pull request as it is now."""
        return self._pull(self._document(number))

    def _document(self, number: int) -> dict[str, Any]:
        found = self._api.find(f"{self._at}/pulls/{number}") if 0 < number < 1 << 31 else None
        if found is None:
            self._api.get(self._at)  # a repository that cannot be seen is another error than a number that is not there
            said = f"there is no pull request #{number}"
            raise failure("no-such-pull", said, exit=Exit.USAGE, hint="modelops pr list --state all")
        return dict(found.document)

    def _pull(self, document: Mapping[str, Any]) -> PullRequest:
        """Return what a document says, with the commits that it speaks of in the clone."""
        number, merged = int(document["number"]), bool(document.get("merged_at"))
        state: State = "merged" if merged else document["state"]
        source, head = document["head"]["ref"], document["head"]["sha"]
        self.repository.fetch()
        tip = self.repository.find_tip(source) if self._own(document) and state == "open" else None
        if tip is not None:
            head = tip  # GitHub follows a push some seconds later
        if not self.repository.bring(f"refs/pull/{number}/head", head, f"refs/modelops-pulls/{number}"):
            raise failure(
                "forge-behind",
                f"the commit {head[:12]} of #{number} cannot be fetched yet",
                exit=Exit.WORLD,
                retryable=True,
            )
        return PullRequest(
            number=number,
            title=document["title"],
            body=(document.get("body") or "").replace("\r\n", "\n"),
            author=account_of(document.get("user")),
            source=source if self._own(document) else document["head"].get("label") or source,
            target=document["base"]["ref"],
            head=head,
            base=document["base"]["sha"],
            state=state,
            opened_at=document["created_at"],
            labels=tuple(label["name"] for label in document.get("labels", ())),
            merge=document.get("merge_commit_sha") if merged else None,
            merged_by=account_of(document.get("merged_by")) if merged else None,
            closed_by=self._closer(number) if state == "closed" else None,
        )

    def _own(self, document: Mapping[str, Any]) -> bool:
        """Tell whether the branch lies in this repository, not in a fork or in one that is gone."""
        head = document["head"].get("repo") or {}
        return bool(head) and head.get("id") == document["base"]["repo"].get("id")

    def _closer(self, number: int) -> Account:
        return account_of(self._api.get(f"{self._at}/issues/{number}").document.get("closed_by"))

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
        wanted = {"merged": "closed"}.get(state, state)
        asked = {"state": wanted, "base": self.branch, "sort": "created", "direction": "desc"}
        if source is not None:
            asked["head"] = f"{self._owner}:{source}"
        found: list[PullRequest] = []
        for document in self._api.pages(f"{self._at}/pulls", asked):
            if limit is not None and len(found) >= limit:
                break
            merged = bool(document.get("merged_at"))
            if state in ("merged", "closed") and merged != (state == "merged"):
                continue
            if label is not None and label not in {one["name"] for one in document.get("labels", ())}:
                continue
            if source is not None and document["head"]["ref"] != source:
                continue
            if head is not None and document["head"]["sha"] != head:
                continue
            # Who merged it stands only in the whole document.
            pull = self._pull(self._document(document["number"]) if merged else document)
            if head in (None, pull.head):
                found.append(pull)  # where git is ahead of GitHub, it may have another head already
        return tuple(found)

    def queued(self, commit: str) -> tuple[PullRequest, str] | None:
        """Return what the merge queue tries as a commit: GitHub names a branch after the number and what is below."""
        heads = f"heads/gh-readonly-queue/{self.branch}/"
        for one in self._api.get(f"{self._at}/git/matching-refs/{heads}").document:
            found = _QUEUED.search(one["ref"])
            if one["object"]["sha"] != commit or found is None:
                continue
            number, below = int(found.group(1)), found.group(2)
            if not self.repository.bring(one["ref"], commit, f"refs/modelops-queue/{commit}"):
                continue
            return self.get(number), below if self.repository.find(below) else self.repository.tip(self.branch)
        return None

    def other_targets(self, pull: PullRequest, commit: str) -> tuple[str, ...]:
        """Return the branches beside its target that a commit, or what else its branch had, was to be merged into."""
        label = pull.source if ":" in pull.source else f"{self._owner}:{pull.source}"
        return other_targets(self._api, self._at, pull.number, label, pull.target, commit)

    def merged_with(self, commit: str) -> PullRequest | None:
        """Return the pull request whose merge brought a commit to the branch; None if it came in another way."""
        self.repository.fetch()
        try:
            documents = list(self._api.pages(f"{self._at}/commits/{commit}/pulls"))
        except ModelOpsError as error:
            if error.first.code not in ("forge-absent", "forge-refused"):
                raise
            return None  # GitHub does not know the commit
        tip = self.repository.tip(self.branch)
        for document in documents:
            merge = document.get("merge_commit_sha")
            if not document.get("merged_at") or document["base"]["ref"] != self.branch or not merge:
                continue
            if self.repository.find(merge) is not None and self.repository.is_ancestor(merge, tip):
                return self.get(document["number"])
        return None

    def reviews(self, number: int) -> tuple[Review, ...]:
        """Return the reviews, the oldest first; what was said after the merge is no review of it."""
        document = self._document(number)
        ended = document.get("merged_at") or "9999"
        found = self._api.pages(f"{self._at}/pulls/{number}/reviews")
        return tuple(review_of(one) for one in found if one["state"] in STATES and one["submitted_at"] <= ended)

    def comments(self, number: int) -> tuple[Comment, ...]:
        """Return the comments, the oldest first; one without a key was written by hand."""
        return tuple(comment_of(one) for one in self._api.pages(f"{self._at}/issues/{number}/comments"))

    def checks(self, number: int) -> tuple[Check, ...]:
        """Return the check runs and statuses of the present head, by name."""
        head = self.get(number).head
        found = {one["context"]: one["state"] for one in self._statuses(head)}
        for run in sorted(runs_of(self._api, self._at, head), key=lambda run: int(run["id"])):
            found[run["name"]] = run.get("conclusion") or run["status"]
        return tuple(Check(name, conclusion) for name, conclusion in sorted(found.items()))

    def _statuses(self, head: str) -> list[Any]:
        found = self._api.get(f"{self._at}/commits/{head}/status", {"per_page": 100}).document
        return list(found["statuses"])

    def involved(self, pull: PullRequest, base: str) -> tuple[Account, ...]:
        """Return who opened it, wrote, committed or pushed it; whom GitHub does not know has an empty id."""
        found = {pull.author}
        commits = list(self._api.pages(f"{self._at}/pulls/{pull.number}/commits"))
        if len(commits) >= _COMMITS:
            found.add(Account("", f"whoever wrote more than {_COMMITS} commits"))
        known: dict[str, Account] = {}
        for one in commits:
            for role in ("author", "committer"):
                named, account = one["commit"].get(role) or {}, one.get(role)
                if account is not None and account.get("login") == _WEB and role == "committer":
                    continue
                person = account_of(account, named.get("email") or "ghost")
                found.add(person)
                known[named.get("email", "").lower()] = person
        host = noreply(self._environ, self._params.api_url)
        for one in commits:
            for name, address in trailers(one["commit"].get("message") or ""):
                found.add(known.get(address.lower()) or by_address(name, address, host))
        found |= set(self._pushers(pull))
        return tuple(sorted(found, key=lambda one: (one.login.lower(), one.id)))

    def team(self, name: str) -> tuple[Account, ...]:
        """Return who is in a team of the organisation that has the repository, or in a team below it."""
        if not _TEAM.fullmatch(name):
            raise failure("no-such-team", f"{name!r} is the name of no team", hint="as its address on GitHub ends")
        if name not in self._teams:
            found = self._api.pages(f"{self._team_at}/{name}/members")
            self._teams[name] = tuple(account_of(one) for one in found)
        return self._teams[name]

    @property
    def _team_at(self) -> str:
        return f"/orgs/{self._owner}/teams"

    def heard(self, pull: PullRequest) -> tuple[Heard, ...]:
        """Return the digests of what GitHub answered about a pull request, its reviews, commits, pushes and teams."""
        told = self._api.heard(f"{self._at}/pulls/{pull.number}")
        told += self._api.heard(f"{self._at}/activity", {"ref": f"refs/heads/{pull.source}"})
        told += self._api.heard(self._team_at)
        return tuple(Heard(call, digest) for call, digest in sorted(told))

    def _pushers(self, pull: PullRequest) -> Iterator[Account]:
        if ":" in pull.source:
            # The activity of a fork is its owner's to see. Where maintainers may push to it, anybody here may have.
            if self._document(pull.number).get("maintainer_can_modify") is not False:
                yield Account("", f"whoever pushed to {pull.source}")
            return
        asked = {"ref": f"refs/heads/{pull.source}"}
        for one in self._api.pages(f"{self._at}/activity", asked):
            if one.get("activity_type") in ("push", "force_push", "branch_creation", "pr_merge", "merge_queue_merge"):
                yield account_of(one.get("actor"))

    # --- changing

    def open(
        self,
        *,
        title: str,
        body: str,
        source: str,
        labels: Sequence[str] = (),
        unless: Callable[[PullRequest], bool] | None = None,
    ) -> Opened:
        """Open a pull request; one that asks for the same, or is from the same branch, is returned instead."""
        if source == self.branch:
            raise failure(
                "source-is-target",
                f"{source!r} is the branch that pull requests are merged into",
                exit=Exit.USAGE,
                hint="push the change as a branch of its own",
            )
        self.repository.fetch()
        head = self.repository.find_tip(source)
        if head is None:
            raise failure("no-such-branch", f"there is no branch {source!r}", hint=f"push it: git push origin {source}")
        if self.repository.is_ancestor(head, self.repository.tip(self.branch)):
            raise failure("nothing-to-merge", f"{source!r} has nothing that {self.branch} does not have", exit=Exit.NO)
        there = self._same(source, unless)
        if there is not None:
            return Opened(self._labelled(there, labels) if there.source == source else there, True)
        asked = {"title": title, "body": cut(body), "head": source, "base": self.branch}
        made = self._api.create(f"{self._at}/pulls", asked, lambda: self._same(source, None))
        pull = made if isinstance(made, PullRequest) else self._pull(made.document)
        pull = self._labelled(pull, labels)
        older = None
        if unless is not None:
            others = (one for one in self.find() if one.number < pull.number and unless(one))
            older = min(others, key=lambda one: one.number, default=None)
        if older is None:
            return Opened(pull, False)
        self.close(pull.number)
        return Opened(older, True)

    def _same(self, source: str, unless: Callable[[PullRequest], bool] | None) -> PullRequest | None:
        found = self.find(source=source)
        if found:
            return found[0]
        asking = [pull for pull in self.find() if unless(pull)] if unless is not None else []
        return min(asking, key=lambda pull: pull.number, default=None)

    def _labelled(self, pull: PullRequest, labels: Sequence[str]) -> PullRequest:
        if set(labels) <= set(pull.labels):
            return pull
        self._api.change("POST", f"{self._at}/issues/{pull.number}/labels", {"labels": list(labels)})
        return self.get(pull.number)

    def review(self, number: int, state: Decision, *, head: str, body: str = "") -> Review:
        """Review the exact head; who has decided the same of it before adds nothing."""
        me, pull = self.whoami(), self.get(number)
        if pull.state != "open":
            raise not_open(pull)
        if pull.head != head:
            raise moved(pull, head)
        if state != "commented" and pull.author.id == me.id:
            raise failure("self-review", f"#{number} is your own, so the decision is somebody else's", exit=Exit.NO)
        there = self._standing(number, me, state, head, body)
        if there is not None:
            return there
        said = body or {"approved": "", "changes-requested": "Changes requested.", "commented": "Seen."}[state]
        asked = {"commit_id": head, "event": _EVENTS[state], "body": said}
        made = self._api.create(
            f"{self._at}/pulls/{number}/reviews", asked, lambda: self._standing(number, me, state, head, body)
        )
        if isinstance(made, Review):
            return made
        return review_of(made.document)

    def _standing(self, number: int, me: Account, state: Decision, head: str, body: str) -> Review | None:
        """Return one's own newest review of the kind if it says the same already."""
        decides = state != "commented"
        own = [one for one in self.reviews(number) if one.by.id == me.id]
        last = next((one for one in reversed(own) if (one.state != "commented") == decides), None)
        if last is None or (last.state, last.commit) != (state, head):
            return None
        return last if last.body == body or (decides and not body) else None

    @property
    def _speaker(self) -> Speaker:
        return Speaker(self._api, self._at, self.whoami())

    def comment(self, number: int, key: str, body: str) -> None:
        """Write a comment; the account's own one with the same key is replaced where it stands."""
        self._speaker.comment(number, key, body)

    def check(
        self, number: int, name: str, conclusion: str, *, commit: str | None = None, said: Explanation | None = None
    ) -> None:
        """Conclude a named check of the head: a check run, or a status where the token is a person's."""
        self._speaker.check(commit or self.get(number).head, name, conclusion, said)

    def merge(self, number: int, *, head: str, base: str | None = None) -> PullRequest:
        """Merge the exact head with a merge commit and delete its branch; GitHub's rules for the branch hold.

        GitHub cannot be asked to merge into one exact commit, so the target is looked at right before.
        """
        document = self._document(number)
        pull = self._pull(document)
        if pull.state == "closed":
            raise not_open(pull)
        if pull.head != head:
            raise moved(pull, head)
        if pull.state == "open":
            if base is not None and self.repository.tip(pull.target) != base:
                raise failure("base-moved", f"{pull.target} has moved since #{number} was judged", exit=Exit.NO)
            self._merge(pull, head)
        if self._own(document) and self.repository.find_tip(pull.source) == head:
            self._delete(pull.source)
        merged = self.get(number)
        self.repository.follow(pull.target)
        return merged

    def _merge(self, pull: PullRequest, head: str) -> None:
        path = f"{self._at}/pulls/{pull.number}/merge"
        try:
            self._api.change("PUT", path, {"sha": head, "merge_method": "merge"})
        except ModelOpsError as error:
            now = self._document(pull.number)
            if now.get("merged_at") and now["head"]["sha"] == head:
                return  # the answer to an earlier try was lost
            if error.first.code != "forge-refused":
                raise
            if now["head"]["sha"] != head:
                raise moved(self._pull(now), head) from None
            raise failure(
                "merge-refused",
                error.first.message,
                exit=Exit.NO,
                hint="the branch's rules, a merge queue or a conflict keep it from being merged: its page says which",
            ) from None

    def _delete(self, source: str) -> None:
        try:
            self._api.change("DELETE", f"{self._at}/git/refs/heads/{source}")
        except ModelOpsError as error:
            if error.retryable:
                raise
            # GitHub may have deleted it by itself, or protect it, which harms no one.
            if error.first.code not in ("forge-absent", "forge-refused", "forge-forbidden"):
                raise
        self.repository.fetch()

    def close(self, number: int) -> PullRequest:
        """Close without merging; closing what is closed changes nothing."""
        pull = self.get(number)
        if pull.state == "merged":
            raise not_open(pull)
        if pull.state == "open":
            self._api.change("PATCH", f"{self._at}/pulls/{number}", {"state": "closed"})
        return self.get(number)

    @property
    def inscribes(self) -> bool:
        """Tell whether GitHub makes the commits of the loop: it does for an App, and signs them."""
        return self._api.credentials.of_app

    def put(self, tip: str, commit: str) -> str | None:
        """Put a commit on the branch as an App by the API, as anybody else by a push."""
        if not self.inscribes:
            return commits.push(self.repository, self.branch, tip, commit)
        try:
            return commits.put(self._api, self._at, self.repository, self.branch, tip, commit)
        except ModelOpsError as error:
            if error.first.code != "forge-forbidden" or isinstance(self._api.credentials, App):
                raise
        # The token of a job that only reads, and git may have another way to write.
        return commits.push(self.repository, self.branch, tip, commit)

    def deployed(
        self, environment: str, model: str, commit: str, arms: Sequence[Deployed], failed: Collection[int]
    ) -> int:
        """Let GitHub show what of a model is deployed."""
        return deployments.show(self._api, self._at, environment, model, commit, arms, failed)

    def examine(self, secrets: Sequence[str], jobs: Jobs) -> tuple[Point, ...]:
        """Return how the repository is set up on GitHub, as far as the token may see it."""
        return examination.examine(self._api, self._params.repository, self.branch, secrets, jobs)
