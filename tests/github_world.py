"""A GitHub for tests: the calls that modelops makes, over HTTP, about commits of a real git repository.

Every request and every answer is held against GitHub's own description of its API, where what it does not name is
wrong (`github_description`): the world fails at its end if anything was. What the fake does not know it refuses with
501. Fields that nobody here asks about are filled with the plainest value that the description allows.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import github_git
import github_issues
from git_world import git
from github_description import filled, whole, wrong_answer, wrong_request
from github_git import Installed, Rules

REPOSITORY = "acme/models"
AT = f"/repos/{REPOSITORY}"
NUMBERED = "/repositories/1"
ACCOUNTS = {
    "ada": {"id": 11, "login": "ada", "type": "User"},
    "bob": {"id": 12, "login": "bob", "type": "User"},
    "grace": {"id": 13, "login": "grace", "type": "User"},
    "modelops[bot]": {"id": 99, "login": "modelops[bot]", "type": "Bot"},
    "github-actions[bot]": {"id": 41898282, "login": "github-actions[bot]", "type": "Bot"},
    "github-merge-queue[bot]": {"id": 118344674, "login": "github-merge-queue[bot]", "type": "Bot"},
    "web-flow": {"id": 19864447, "login": "web-flow", "type": "User"},
}
APPS = {"modelops[bot]": 4711, "github-actions[bot]": 15368}
_TEXT = "application/json; charset=utf-8"
_NEEDED = (
    (r"(POST|PATCH) .*/check-runs.*", "checks=write"),
    (r"(POST|PATCH|DELETE) .*/issues/.*comments.*", "pull_requests=write"),
    (r"(POST|PUT|PATCH) .*/pulls.*", "pull_requests=write"),
    (r"POST .*/statuses/.*", "statuses=write"),
)
"""What a token has to be allowed for a request."""
TOKENS = {f"token-of-{name}": name for name in ("ada", "bob", "grace")} | {"token-of-app": "modelops[bot]"}
TOKENS |= {"ghs_of_app": "modelops[bot]", "ghs_of_job": "github-actions[bot]"}

Fault = Callable[[str, str, int], tuple[int, dict[str, str], bytes] | str | None]


@dataclass
class FakeGitHub:
    """One repository; ``fault`` says for the n-th request of a method and path what is answered instead.

    ``lost`` does what was asked and drops the connection, ``drop`` does nothing and drops it. ``lacking`` are the
    permissions that no token has (``checks=write``), ``job`` are those of the job that a job's token is of, ``jobs`` by
    their token those of jobs that have one of their own. ``untrue`` is what the description does not allow, ``sent``
    are the digests of the bytes that were answered. A repository that is ``moved`` has another name by now, and GitHub
    sends whoever asks under the old one on to its number.
    """

    remote: Path
    url: str = ""
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    reviews: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    activity: list[dict[str, Any]] = field(default_factory=list)
    events: list[tuple[int, str, str]] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    by_bots: list[tuple[str, str]] = field(default_factory=list)
    fault: Fault = lambda method, path, number: None
    untrue: list[str] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)
    lacking: set[str] = field(default_factory=set)
    job: dict[str, str] | None = None
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    moment: int = 0
    name: str = REPOSITORY
    moved: bool = False
    rules: Rules | None = None
    teams: dict[str, tuple[str, ...]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    admins: frozenset[str] = frozenset()
    about: dict[str, Any] = field(default_factory=dict)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    deployment_statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    clock: Callable[[], str] = lambda: "2026-03-01T12:00:00Z"
    heads: dict[str, str] = field(default_factory=dict)
    brought: dict[int, list[str]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @cached_property
    def app(self) -> Installed:
        """The App, whose key takes a moment to make."""
        return Installed()

    def instant(self) -> str:
        """Return what time it is for commits that GitHub makes."""
        return self.clock()

    def now(self) -> str:
        """Return a time that is later than every other one."""
        self.moment += 1
        return f"2026-03-01T12:{self.moment // 60:02d}:{self.moment % 60:02d}Z"

    def branches(self) -> dict[str, str]:
        lines = git(self.remote, "for-each-ref", "refs/heads", "--format=%(objectname) %(refname:lstrip=2)")
        return {name: commit for commit, name in (line.split(" ", 1) for line in lines.splitlines())}

    def commit(self, sha: str) -> dict[str, Any]:
        """Return a commit as the list of a pull request has it."""
        form = "%an%x00%ae%x00%cn%x00%ce%x00%P%x00%B"
        name, email, cname, cemail, parents, message = git(self.remote, "show", "-s", f"--format={form}", sha).split(
            "\0"
        )
        return {
            "sha": sha,
            "commit": {
                "author": {"name": name, "email": email, "date": "2026-05-01T12:00:00Z"},
                "committer": {"name": cname, "email": cemail, "date": "2026-05-01T12:00:00Z"},
                "message": message,
            },
            "author": self.by_address(email),
            "committer": self.by_address(cemail),
            "parents": [{"sha": parent} for parent in parents.split()],
        }

    def by_address(self, email: str) -> dict[str, Any] | None:
        if email == "noreply@github.com":
            return ACCOUNTS["web-flow"]
        own = re.fullmatch(r"(?:(\d+)\+)?(.+)@users\.noreply\.(?:github\.com|127\.0\.0\.1)", email)
        if own is not None:
            account = ACCOUNTS.get(own[2])
            return account if account is not None and own[1] in (None, str(account["id"])) else None
        return ACCOUNTS.get(email.partition("@")[0]) if email.endswith("@example.com") else None

    def look(self) -> None:
        """See what was pushed since the last request, as GitHub does."""
        now = self.branches()
        for name, commit in now.items():
            if self.heads.get(name) != commit:
                kind = "push" if name in self.heads else "branch_creation"
                who = self.by_address(self.commit(commit)["commit"]["committer"]["email"])
                told = {"ref": f"refs/heads/{name}", "activity_type": kind, "actor": who, "after": commit}
                self.activity.append({"id": len(self.activity) + 1, "timestamp": self.now(), **told})
        for pull in self.pulls.values():
            source = pull["head"]["ref"]
            if pull["state"] == "open" and source in now:
                pull["head"]["sha"] = now[source]
                git(self.remote, "update-ref", f"refs/pull/{pull['number']}/head", now[source])
        self.heads = now

    def whole(self, pull: dict[str, Any], *, listed: bool = False) -> dict[str, Any]:
        """Return a pull request; in lists GitHub leaves out who merged it, and everywhere who closed it."""
        hidden = ("closed_by", *(("merged_by", "merged", "maintainer_can_modify") if listed else ()))
        return {key: value for key, value in pull.items() if key not in hidden}

    def answer(
        self, method: str, path: str, query: dict[str, str], body: dict[str, Any], me: str | None
    ) -> tuple[int, Any]:
        """Do one request and return status and document."""
        self.look()
        if path == "/graphql" and method == "POST":
            who = ACCOUNTS[me or ""]
            return 200, {"data": {"viewer": {"login": who["login"], "databaseId": who["id"]}}}
        if path == "/user" and method == "GET":
            if me == "modelops[bot]":
                return 403, {"message": "Resource not accessible by integration"}
            return 200, ACCOUNTS[me or ""]
        team = re.fullmatch(r"GET /orgs/acme/teams/([^/]+)/members", f"{method} {path}")
        if team is not None and team[1] in self.teams:
            return 200, [ACCOUNTS[name] for name in self.teams[team[1]]]
        if not path.startswith(AT):
            return 404, {"message": "Not Found"}
        for pattern, handler in ROUTES:
            match = re.fullmatch(pattern, f"{method} {path.removeprefix(AT)}")
            if match:
                return handler(self, match, query, body, me or "")
        asked = github_git.setting(self, path.removeprefix(AT), me or "") if method == "GET" else None
        if asked is not None:
            return asked
        return 501, {"message": f"the fake does not know {method} {path}"}

    # --- one method per call

    def repository(self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> tuple[int, Any]:
        ways = dict.fromkeys(("allow_merge_commit", "allow_squash_merge", "allow_rebase_merge"), True)
        may = {"admin": me in self.admins, "push": True, "pull": True}
        about = {"id": 1, "full_name": self.name, "default_branch": "main", "private": False, "permissions": may}
        about["owner"] = {"login": self.name.partition("/")[0], "type": "Organization"}
        return 200, about | ways | self.about

    def list_pulls(self, match: re.Match[str], query: dict[str, str], *_: Any) -> tuple[int, Any]:
        state, head, base = query.get("state", "open"), query.get("head"), query.get("base")
        found = [
            pull
            for pull in self.pulls.values()
            if state in ("all", pull["state"])
            and (head is None or head == pull["head"]["label"])
            and (base is None or base == pull["base"]["ref"])
        ]
        found.sort(key=lambda pull: pull["number"], reverse=query.get("direction") == "desc")
        return 200, [self.whole(pull, listed=True) for pull in found]

    def open_pull(self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> tuple[int, Any]:
        if set(body) - {"title", "body", "head", "base", "draft", "maintainer_can_modify"}:
            return 422, {"message": "Validation Failed"}
        heads = self.branches()
        if body["head"] not in heads:
            return 422, {"message": "Validation Failed", "errors": [{"field": "head", "code": "invalid"}]}
        if any(p["state"] == "open" and p["head"]["ref"] == body["head"] for p in self.pulls.values()):
            said = f"A pull request already exists for acme:{body['head']}."
            return 422, {"message": "Validation Failed", "errors": [{"message": said}]}
        number, repo = len(self.pulls) + 1, {"id": 1, "full_name": REPOSITORY, "name": "models"}
        self.pulls[number] = {
            "number": number,
            "title": body["title"],
            "body": body.get("body"),
            "user": ACCOUNTS[me],
            "state": "open",
            "head": {"ref": body["head"], "sha": heads[body["head"]], "repo": repo, "label": f"acme:{body['head']}"},
            "base": {"ref": body["base"], "sha": heads[body["base"]], "repo": repo},
            "maintainer_can_modify": False,
            "created_at": self.now(),
            "merged_at": None,
            "merged": False,
            "merged_by": None,
            "merge_commit_sha": None,
            "labels": [],
            "closed_by": None,
        }
        self.reviews[number] = []
        git(self.remote, "update-ref", f"refs/pull/{number}/head", heads[body["head"]])
        return 201, self.whole(self.pulls[number])

    def get_pull(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        pull = self.pulls.get(int(match.group(1)))
        return (200, self.whole(pull)) if pull else (404, {"message": "Not Found"})

    def patch_pull(self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> tuple[int, Any]:
        pull = self.pulls[int(match.group(1))]
        if set(body) - {"title", "body", "state", "base", "maintainer_can_modify"}:
            return 422, {"message": "Validation Failed"}
        if body.get("state") == "closed" and pull["state"] == "open":
            pull |= {"state": "closed", "closed_by": ACCOUNTS[me]}
        elif body.get("state") == "open" and not pull["merged"]:
            pull |= {"state": "open", "closed_by": None}
        pull |= {key: body[key] for key in ("title", "body") if key in body}
        if "base" in body:
            pull["base"] |= {"ref": body["base"], "sha": self.branches()[body["base"]]}
            self.events.append((pull["number"], "base_ref_changed", me))
        return 200, self.whole(pull)

    def get_issue(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        pull = self.pulls[int(match.group(1))]
        return 200, {"number": pull["number"], "closed_by": pull["closed_by"], "labels": pull["labels"]}

    def list_events(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        # The description names no kind for these; one without fields of its own has theirs.
        form = {"$ref": "#/components/schemas/added-to-project-issue-event"}
        told = [
            {"id": id, "event": what, "actor": ACCOUNTS[who], "created_at": "2026-03-01T12:00:00Z"}
            for id, (number, what, who) in enumerate(self.events, 1)
            if number == int(match.group(1))
        ]
        return 200, [filled(form, one) for one in told]

    def label(self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> tuple[int, Any]:
        pull = self.pulls[int(match.group(1))]
        names = {one["name"]: one for one in pull["labels"]} | {name: {"name": name} for name in body["labels"]}
        pull["labels"] = list(names.values())
        return 200, pull["labels"]

    def list_reviews(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        return 200, self.reviews[int(match.group(1))]

    def add_review(self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> tuple[int, Any]:
        number = int(match.group(1))
        if set(body) - {"commit_id", "body", "event", "comments"}:
            return 422, {"message": "Validation Failed"}
        if body["event"] == "APPROVE" and self.pulls[number]["user"]["login"] == me:
            return 422, {"message": "Unprocessable Entity", "errors": ["Can not approve your own pull request"]}
        if body["event"] != "APPROVE" and not body.get("body"):
            return 422, {"message": "Unprocessable Entity", "errors": ["Body can not be blank"]}
        state = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}[body["event"]]
        review = {
            "id": len(self.reviews[number]) + 1,
            "user": ACCOUNTS[me],
            "state": state,
            "body": body.get("body", ""),
        }
        review |= {"commit_id": body["commit_id"], "submitted_at": self.now()}
        self.reviews[number].append(review)
        return 200, review

    def commits(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        pull = self.pulls[int(match.group(1))]
        shas = git(self.remote, "rev-list", "--reverse", f"{pull['base']['sha']}..{pull['head']['sha']}").splitlines()
        return 200, [self.commit(sha) for sha in shas[:250]]

    def merge(self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> tuple[int, Any]:
        pull = self.pulls[int(match.group(1))]
        if set(body) - {"sha", "merge_method", "commit_title", "commit_message"}:
            return 422, {"message": "Validation Failed"}
        if pull["state"] != "open":
            return 405, {"message": "Pull Request is not mergeable"}
        wrong = github_git.forbidden(self, pull, me)
        if wrong is not None:
            return 405, {"message": f"Repository rule violations found\n\n{wrong}\n\n"}
        if body["sha"] != pull["head"]["sha"]:
            return 409, {"message": "Head branch was modified. Review and try the merge again."}
        target, head = self.branches()[pull["base"]["ref"]], pull["head"]["sha"]
        done = subprocess.run(
            ["git", "merge-tree", "--write-tree", target, head],
            cwd=self.remote,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return 405, {"message": "Pull Request has merge conflicts"}
        person = {"GIT_COMMITTER_NAME": "GitHub", "GIT_COMMITTER_EMAIL": "noreply@github.com", "GIT_AUTHOR_NAME": me}
        person |= {"GIT_AUTHOR_EMAIL": f"{me}@example.com", "PATH": "/usr/bin:/bin"}
        person |= dict.fromkeys(("GIT_COMMITTER_DATE", "GIT_AUTHOR_DATE"), self.instant())
        message = f"Merge pull request #{pull['number']} from acme/{pull['head']['ref']}\n\n{pull['title']}"
        tree, way = done.stdout.splitlines()[0], body.get("merge_method", "merge")
        parents = ["-p", target] if way == "squash" else ["-p", target, "-p", head]
        message = f"{pull['title']} (#{pull['number']})" if way == "squash" else message
        message = body.get("commit_title", message)
        if way == "rebase":
            made = self.rebased(pull, target, person)
        else:
            made = subprocess.run(
                ["git", "commit-tree", tree, *parents, "-m", message],
                cwd=self.remote,
                env=person,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
        self.merged(pull, made, me)
        return 200, {"sha": made, "merged": True, "message": "Pull Request successfully merged"}

    def merged(self, pull: dict[str, Any], made: str, me: str) -> None:
        """Move the target to what a pull request was merged as."""
        ref = f"refs/heads/{pull['base']['ref']}"
        self.brought[pull["number"]] = git(self.remote, "rev-list", made, f"^{ref}").splitlines()
        git(self.remote, "update-ref", ref, made)
        pull |= {"state": "closed", "merged": True, "merged_by": ACCOUNTS[me], "merge_commit_sha": made}
        pull |= {"merged_at": self.now(), "closed_by": ACCOUNTS[me]}

    def rebased(self, pull: dict[str, Any], target: str, person: dict[str, str]) -> str:
        """Put the commits of a pull request on the target, one by one; whoever merges is their committer."""
        person = person | {"GIT_COMMITTER_NAME": person["GIT_AUTHOR_NAME"]}
        person |= {"GIT_COMMITTER_EMAIL": person["GIT_AUTHOR_EMAIL"]}
        person = {name: value for name, value in person.items() if not name.startswith("GIT_AUTHOR_")}
        with tempfile.TemporaryDirectory() as folder:
            git(self.remote, "worktree", "add", "-q", "--detach", folder, pull["head"]["sha"])
            subprocess.run(["git", "rebase", "-q", target], cwd=folder, env=person, capture_output=True, check=True)
            made = git(Path(folder), "rev-parse", "HEAD")
            git(self.remote, "worktree", "remove", "--force", folder)
        return made

    def commit_pulls(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        sha = match.group(1)
        if subprocess.run(["git", "cat-file", "-e", sha], cwd=self.remote, capture_output=True, check=False).returncode:
            return 422, {"message": f"No commit found for SHA: {sha}"}
        found = []
        for pull in self.pulls.values():
            brought = self.brought.get(pull["number"], [])
            if pull["state"] == "open":
                brought = git(self.remote, "rev-list", pull["head"]["sha"], f"^{pull['base']['sha']}").splitlines()
            if sha in brought:
                found.append(self.whole(pull, listed=True))
        return 200, found

    def list_runs(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        newest = {(run["app"]["slug"], run["name"]): run for run in self.runs if run["head_sha"] == match.group(1)}
        found = [self.shown(run) for run in list(newest.values())[::-1]]
        return 200, {"total_count": len(found), "check_runs": found}

    def shown(self, run: dict[str, Any]) -> dict[str, Any]:
        """Return a check run as GitHub shows it: its annotations are counted."""
        output = {key: value for key, value in run["output"].items() if key != "annotations"}
        return run | {"output": output | {"annotations_count": len(run["output"].get("annotations", ()))}}

    def written(self, run: dict[str, Any], body: dict[str, Any]) -> tuple[int, Any]:
        """Write to a check run: annotations are added to those that are there, and a conclusion completes it."""
        told = body.get("output", {})
        if len(told.get("annotations", ())) > 50 or len(told.get("summary", "")) > 65_535:
            return 422, {"message": "Invalid request", "errors": ["too much"]}
        before = run["output"]
        added = [*before.get("annotations", ()), *told.get("annotations", ())]
        run |= {key: value for key, value in body.items() if key != "output"}
        run |= {"output": {"title": None, "summary": None, "text": None, **before, **told, "annotations": added}}
        if "conclusion" in body:
            run |= {"status": "completed", "completed_at": self.now()}
        elif body.get("status", "queued") != "completed":
            run |= {"conclusion": None, "completed_at": None}
        return 200, self.shown(run)

    def add_run(self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> tuple[int, Any]:
        if not me.endswith("[bot]"):
            return 403, {"message": "You must authenticate via a GitHub App."}
        run = {"id": len(self.runs) + 1, "status": "queued", "conclusion": None, "output": {}, "details_url": None}
        run |= {"app": {"id": APPS[me], "slug": me.removesuffix("[bot]"), "owner": ACCOUNTS[me]}, "external_id": ""}
        status, told = self.written(run, body)
        if status == 200:
            self.runs.append(run)
        return (201, told) if status == 200 else (status, told)

    def get_run(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        return 200, self.shown(self.runs[int(match.group(1)) - 1])

    def patch_run(self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> tuple[int, Any]:
        if not me.endswith("[bot]"):
            return 403, {"message": "You must authenticate via a GitHub App."}
        run = self.runs[int(match.group(1)) - 1]
        if run["app"]["slug"] != me.removesuffix("[bot]"):
            return 403, {"message": "Invalid app_id"}
        return self.written(run, body)

    def status(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        found = {one["context"]: one for one in self.statuses if one["sha"] == match.group(1)}
        told = [{key: value for key, value in one.items() if key != "sha"} for one in found.values()]
        return 200, {"state": "pending", "statuses": told, "sha": match.group(1), "total_count": len(told)}

    def add_status(self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> tuple[int, Any]:
        empty = {"description": None, "target_url": None, "avatar_url": None}
        self.statuses.append({"sha": match.group(1), "id": len(self.statuses) + 1, **empty, **body})
        return 201, {key: value for key, value in self.statuses[-1].items() if key != "sha"}

    def list_comments(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        return 200, [self.said(one) for one in self.comments if one["issue"] == int(match.group(1))]

    def said(self, one: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in one.items() if key != "issue"}

    def add_comment(
        self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str
    ) -> tuple[int, Any]:
        if len(body["body"]) > 65_536:
            return 422, {"message": "Validation Failed", "errors": [{"message": "body is too long"}]}
        number = max((one["id"] for one in self.comments), default=0) + 1
        one = {"id": number, "issue": int(match.group(1)), "user": ACCOUNTS[me], "body": body["body"]}
        self.comments.append(one)
        return 201, self.said(one)

    def patch_comment(
        self, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str
    ) -> tuple[int, Any]:
        one = next((one for one in self.comments if one["id"] == int(match.group(1))), None)
        if one is None:
            return 404, {"message": "Not Found"}
        if len(body["body"]) > 65_536:
            return 422, {"message": "Validation Failed", "errors": [{"message": "body is too long"}]}
        one["body"] = body["body"]
        return 200, self.said(one)

    def delete_comment(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        there = [one for one in self.comments if one["id"] != int(match.group(1))]
        gone, self.comments = len(there) == len(self.comments), there
        return (404, {"message": "Not Found"}) if gone else (204, None)

    def matching(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        """Return the refs whose names begin so."""
        start = f"refs/{match.group(1)}"
        lines = git(self.remote, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        found = (line.split(" ") for line in lines if line.startswith(start))
        return 200, [{"ref": name, "object": {"type": "commit", "sha": sha}} for name, sha in found]

    def list_activity(self, match: re.Match[str], query: dict[str, str], *_: Any) -> tuple[int, Any]:
        return 200, [one for one in self.activity if one["ref"] == query.get("ref", one["ref"])][::-1]

    def delete_branch(self, match: re.Match[str], *_: Any) -> tuple[int, Any]:
        name = unquote(match.group(1))
        if name not in self.branches():
            return 422, {"message": "Reference does not exist"}
        git(self.remote, "update-ref", "-d", f"refs/heads/{name}")
        return 204, None


ROUTES: list[tuple[str, Callable[..., tuple[int, Any]]]] = [
    (r"GET ", FakeGitHub.repository),
    (r"GET /pulls", FakeGitHub.list_pulls),
    (r"POST /pulls", FakeGitHub.open_pull),
    (r"GET /pulls/(\d+)", FakeGitHub.get_pull),
    (r"PATCH /pulls/(\d+)", FakeGitHub.patch_pull),
    (r"GET /issues/(\d+)", FakeGitHub.get_issue),
    (r"GET /issues/(\d+)/events", FakeGitHub.list_events),
    (r"POST /issues/(\d+)/labels", FakeGitHub.label),
    (r"GET /pulls/(\d+)/reviews", FakeGitHub.list_reviews),
    (r"POST /pulls/(\d+)/reviews", FakeGitHub.add_review),
    (r"GET /pulls/(\d+)/commits", FakeGitHub.commits),
    (r"PUT /pulls/(\d+)/merge", FakeGitHub.merge),
    (r"GET /commits/([0-9a-f]{40})/pulls", FakeGitHub.commit_pulls),
    (r"GET /commits/([0-9a-f]{40})/check-runs", FakeGitHub.list_runs),
    (r"POST /check-runs", FakeGitHub.add_run),
    (r"PATCH /check-runs/(\d+)", FakeGitHub.patch_run),
    (r"GET /check-runs/(\d+)", FakeGitHub.get_run),
    (r"GET /git/matching-refs/(.+)", FakeGitHub.matching),
    (r"GET /commits/([0-9a-f]{40})/status", FakeGitHub.status),
    (r"POST /statuses/([0-9a-f]{40})", FakeGitHub.add_status),
    (r"GET /issues/(\d+)/comments", FakeGitHub.list_comments),
    (r"POST /issues/(\d+)/comments", FakeGitHub.add_comment),
    (r"PATCH /issues/comments/(\d+)", FakeGitHub.patch_comment),
    (r"DELETE /issues/comments/(\d+)", FakeGitHub.delete_comment),
    (r"GET /activity", FakeGitHub.list_activity),
    (r"DELETE /git/refs/heads/(.+)", FakeGitHub.delete_branch),
    *github_git.ROUTES,
    *github_issues.ROUTES,
]


@contextmanager
def github(remote: Path) -> Iterator[FakeGitHub]:
    """Run a GitHub whose one repository is a bare git repository on this machine."""
    state = FakeGitHub(remote)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            return

        def date_time_string(self, timestamp: float | None = None) -> str:
            ahead = state.app.ahead if "app" in vars(state) else 0.0
            return super().date_time_string(time.time() + ahead if timestamp is None else timestamp)

        def handle_one(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            if state.moved and parts.path.startswith(AT):
                at = f"{state.url}{NUMBERED}{self.path.removeprefix(AT)}"
                self.reply(301 if self.command == "GET" else 307, {"Location": at}, b"")
                return
            if parts.path.startswith(NUMBERED):
                parts = parts._replace(path=AT + parts.path.removeprefix(NUMBERED))
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            with state.lock:
                number = state.seen.count((self.command, parts.path))
                state.seen.append((self.command, parts.path))
                fault = state.fault(self.command, parts.path, number)
                if isinstance(fault, tuple):
                    self.reply(*fault)
                    return
                if fault == "drop":
                    self.close_connection = True
                    return
                token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                body = json.loads(data) if data else None
                own = github_git.app_call(state, self.command, parts.path, body or {}, token)
                if own is not None:
                    state.by_bots.append((self.command, parts.path))
                    self.reply(own[0], {}, json.dumps(own[1]).encode())
                    return
                me = "modelops[bot]" if "app" in vars(state) and token in state.app.tokens else TOKENS.get(token)
                me = "github-actions[bot]" if token in state.jobs else me
                if me is not None and me.endswith("[bot]"):
                    state.by_bots.append((self.command, parts.path))
                if me is None:
                    self.reply(401, {}, b'{"message": "Bad credentials"}')
                    return
                lacking = github_git.lacks(state, token, self.command, parts.path)
                if lacking is not None:
                    said = b'{"message": "Resource not accessible by integration"}'
                    self.reply(403, {"X-Accepted-GitHub-Permissions": lacking}, said)
                    return
                needed = next(
                    (name for form, name in _NEEDED if re.fullmatch(form, f"{self.command} {parts.path}")), ""
                )
                if needed in state.lacking:
                    said = b'{"message": "Resource not accessible by integration"}'
                    self.reply(403, {"X-Accepted-GitHub-Permissions": needed}, said)
                    return
                status, document = state.answer(self.command, parts.path, query, body or {}, me)
            if fault == "lost":
                self.close_connection = True
                return
            headers: dict[str, str] = {}
            document = self.paged(parts.path, query, document, headers)
            if parts.path != "/graphql":
                document = self.held(parts.path, query, body, status, document)
            text = b"" if document is None else json.dumps(document).encode()
            tag = f'"{hashlib.sha256(text).hexdigest()}"'
            if self.command == "GET" and status == 200:
                headers["ETag"] = tag
                if self.headers.get("If-None-Match") == tag:
                    status, text = 304, b""
            state.sent.add(f"sha256:{hashlib.sha256(text).hexdigest()}")
            self.reply(status, headers, text)

        def held(self, path: str, query: dict[str, str], body: Any, status: int, document: Any) -> Any:
            """Return a whole answer; what is not as GitHub describes it is written down."""
            wrong = wrong_request(self.command, path, query, body)
            if status < 300:
                document = whole(self.command, path, status, document)
                wrong = wrong or wrong_answer(self.command, path, status, document)
            if wrong:
                state.untrue.append(wrong)
            return document

        def paged(self, path: str, query: dict[str, str], document: Any, headers: dict[str, str]) -> Any:
            inside = document["check_runs"] if isinstance(document, dict) and "check_runs" in document else document
            if not isinstance(inside, list):
                return document
            size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
            if len(inside) > size * page:
                following = urlencode({**query, "page": str(page + 1)})
                headers["Link"] = f'<{state.url}{path}?{following}>; rel="next"'
            part = inside[size * (page - 1) : size * page]
            return part if isinstance(document, list) else {**document, "check_runs": part}

        def reply(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", _TEXT)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
        assert not state.untrue, state.untrue[0]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
