"""The parts of the GitHub for tests that are an App's and git's: tokens, objects, refs, rules, and deployments.

Each function is one call of the API. What a rule forbids is forbidden here, by the API and, with a hook, to a push.
"""

from __future__ import annotations

import base64
import calendar
import json
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import github_issues
from git_world import git

if TYPE_CHECKING:
    from github_world import FakeGitHub

Reply = tuple[int, Any]
ALL = {
    "actions": "read",
    "checks": "write",
    "contents": "write",
    "deployments": "write",
    "issues": "write",
    "metadata": "read",
    "pull_requests": "write",
}
_NEEDED = (
    *github_issues.NEEDED,
    (r"GET /orgs/.*/teams/.*", "members=read"),
    (r"GET .*/(git/.*|activity)", "contents=read"),
    (r"(POST|PATCH|DELETE) .*/git/.*", "contents=write"),
    (r"PUT .*/pulls/\d+/merge", "contents=write"),
    (r"GET .*/(pulls|issues).*", "pull_requests=read"),
    (r"(POST|PATCH|DELETE) .*/(pulls|issues).*", "pull_requests=write"),
    (r"GET .*/check-runs.*", "checks=read"),
    (r"(POST|PATCH) .*/check-runs.*", "checks=write"),
    (r"GET .*/commits/[0-9a-f]+/status", "statuses=read"),
    (r"POST .*/statuses/.*", "statuses=write"),
    (r"GET .*/deployments.*", "deployments=read"),
    (r"POST .*/deployments.*", "deployments=write"),
)
_PGP = "-----BEGIN PGP SIGNATURE-----\n\nwsFcBAABCAAQBQJ\n=abcd\n-----END PGP SIGNATURE-----"
_PUSHED = """#!/bin/sh
case "$1" in
refs/heads/main)
  echo "error: GH013: Repository rule violations found for refs/heads/main." >&2
  echo "- Changes must be made through a pull request." >&2
  exit 1;;
esac
"""


@dataclass
class Installed:
    """A GitHub App on the repository: its key pair, what it may do, and the tokens that it got."""

    key: RSAPrivateKey = field(default_factory=lambda: generate_private_key(65537, 2048))
    permissions: dict[str, str] = field(default_factory=lambda: dict(ALL))
    suspended: bool = False
    tokens: dict[str, dict[str, str]] = field(default_factory=dict)
    ahead: float = 0.0
    """Seconds that GitHub's clock is ahead of this machine's."""

    @property
    def pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()

    def proven(self, proof: str) -> str | None:
        """Return why a proof is not taken, None where it is."""
        try:
            head, claims, signature = proof.split(".")
            told = json.loads(_decoded(claims))
            public: RSAPublicKey = self.key.public_key()
            public.verify(_decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, InvalidSignature):
            return "A JSON web token could not be decoded"
        now = time.time() + self.ahead
        if json.loads(_decoded(head))["alg"] != "RS256" or told["iss"] != "4711":
            return "Integration not found"
        if told["exp"] > now + 600:
            return "'Expiration time' claim ('exp') is too far in the future"
        if told["exp"] < now or told["iat"] > now:
            return "'Expiration time' claim ('exp') must be a numeric value representing the future time"
        return None


@dataclass
class Rules:
    """What the ruleset of main asks of everybody who is not among ``bypass``; checks count from ``writer`` alone."""

    reviews: int = 1
    checks: tuple[str, ...] = ()
    bypass: frozenset[str] = frozenset()
    writer: int | None = None


def protect(fake: FakeGitHub, rules: Rules) -> None:
    """Put rules on main; a push has no account here, so that it is refused to everybody."""
    fake.rules = rules
    hook = Path(fake.remote) / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(_PUSHED, encoding="utf-8")
    hook.chmod(0o755)


def forbidden(fake: FakeGitHub, pull: dict[str, Any], me: str) -> str | None:
    """Return why the rules do not let somebody merge a pull request."""
    rules = fake.rules
    if rules is None or me in rules.bypass:
        return None
    head = pull["head"]["sha"]
    newest = {one["user"]["login"]: one for one in fake.reviews[pull["number"]] if one["state"] != "COMMENTED"}
    given = [
        one
        for login, one in newest.items()
        if one["state"] == "APPROVED" and one["commit_id"] == head and login != pull["user"]["login"]
    ]
    if len(given) < rules.reviews:
        return f"At least {rules.reviews} approving review is required by reviewers with write access."
    counted = [run for run in fake.runs if run["head_sha"] == head and rules.writer in (None, run["app"]["id"])]
    let_through = ("success", "neutral", "skipped")  # as GitHub counts what a rule requires
    newest = {(run["name"], run["app"]["slug"]): run for run in counted}
    passed = {name for (name, _), run in newest.items() if run.get("conclusion") in let_through}
    passed -= {name for (name, _), run in newest.items() if run.get("conclusion") not in let_through}
    missing = [name for name in rules.checks if name not in passed]
    return f'Required status check "{missing[0]}" is expected.' if missing else None


def lacks(fake: FakeGitHub, token: str, method: str, path: str) -> str | None:
    """Return the permission that the token of an installation, or of a job, lacks for a call."""
    given = fake.job if token == "ghs_of_job" else fake.jobs.get(token)
    given = fake.app.tokens.get(token) if given is None and "app" in vars(fake) else given
    if given is None:
        return None
    needed = next((name for pattern, name in _NEEDED if re.fullmatch(pattern, f"{method} {path}")), None)
    if needed is None:
        return None
    name, _, level = needed.partition("=")
    return None if given.get(name) in (level, "write") else needed


# --- the App


def app_call(fake: FakeGitHub, method: str, path: str, body: dict[str, Any], proof: str) -> Reply | None:
    """Answer what only an App as itself may ask; None for everything else."""
    at = re.fullmatch(r"POST /app/installations/7/access_tokens", f"{method} {path}")
    if not at and not re.fullmatch(r"GET /repos/[^/]+/[^/]+/installation", f"{method} {path}"):
        return None
    wrong = fake.app.proven(proof)
    if wrong is not None:
        return 401, {"message": wrong}
    if not at:
        # What comes by the number of a repository that has another name by now is about that one.
        if not fake.moved and path.removeprefix("/repos/").removesuffix("/installation") != fake.name:
            return 404, {"message": "Not Found"}
        suspended = "2026-01-01T00:00:00Z" if fake.app.suspended else None
        return 200, {
            "id": 7,
            "app_id": 4711,
            "app_slug": "modelops",
            "permissions": fake.app.permissions,
            "suspended_at": suspended,
        }
    if fake.app.suspended:
        return 403, {"message": "This installation has been suspended"}
    here = fake.name.partition("/")[2]
    if body.get("repositories", [here]) != [here] or body.get("repository_ids", [1]) != [1]:
        return 422, {"message": "There is at least one repository that does not exist or is not accessible"}
    asked = body.get("permissions", fake.app.permissions)
    if any(fake.app.permissions.get(key) not in (level, "write") for key, level in asked.items()):
        return 422, {"message": "The permissions requested are not granted to this installation."}
    token = f"ghs_minted{len(fake.app.tokens) + 1}"
    fake.app.tokens[token] = dict(asked)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + fake.app.ahead + 3600))
    return 201, {"token": token, "expires_at": until, "permissions": asked}


# --- objects and refs


def add_blob(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> Reply:
    data = base64.b64decode(body["content"]) if body.get("encoding") == "base64" else body["content"].encode()
    return 201, {"sha": _hashed(fake.remote, "blob", data), "url": ""}


def add_tree(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> Reply:
    if set(body) - {"base_tree", "tree"}:
        return 422, {"message": 'Invalid request.\n\nNo subschema in "anyOf" matched.'}
    lines = []
    for one in body["tree"]:
        if set(one) - {"path", "mode", "type", "sha", "content"} or ("sha" in one) == ("content" in one):
            return 422, {"message": "tree.sha or tree.content must be given, and not both"}
        sha = one["sha"] if "sha" in one else _hashed(fake.remote, "blob", one["content"].encode())
        lines.append(f"0 {'0' * 40}\t{one['path']}" if sha is None else f"{one['mode']} {sha}\t{one['path']}")
    index = {"GIT_INDEX_FILE": str(Path(fake.remote) / "index.api"), "PATH": "/usr/bin:/bin"}

    def run(*words: str, input: str | None = None) -> str:
        done = subprocess.run(
            ["git", *words], cwd=fake.remote, env=index, input=input, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    run("read-tree", body["base_tree"])
    run("update-index", "--index-info", input="\n".join([*lines, ""]))
    sha = run("write-tree")
    return 201, {"sha": sha, "url": "", "truncated": False, "tree": []}


def add_commit(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> Reply:
    if set(body) - {"message", "tree", "parents", "author", "committer", "signature"}:
        return 422, {"message": "Invalid request."}
    from github_world import ACCOUNTS

    when = calendar.timegm(time.strptime(fake.instant(), "%Y-%m-%dT%H:%M:%SZ"))
    bot = me.endswith("[bot]")
    author = f"{me} <{ACCOUNTS[me]['id']}+{me}@users.noreply.github.com> {when} +0000"
    committer = f"GitHub <noreply@github.com> {when} +0000" if bot else author
    lines = [f"tree {body['tree']}", *(f"parent {one}" for one in body["parents"])]
    lines += [f"author {author}", f"committer {committer}"]
    if bot and not {"author", "committer", "signature"} & set(body):
        lines.append("gpgsig " + _PGP.replace("\n", "\n "))
    text = "\n".join(lines) + "\n\n" + body["message"]
    sha = _hashed(fake.remote, "commit", text.encode())
    return 201, {
        "sha": sha,
        "tree": {"sha": body["tree"], "url": ""},
        "parents": [{"sha": one, "url": "", "html_url": ""} for one in body["parents"]],
        "message": body["message"],
        "verification": {"verified": bot, "reason": "valid" if bot else "unsigned", "signature": None, "payload": None},
    }


def move_ref(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> Reply:
    ref, sha = f"refs/heads/{match.group(1)}", body["sha"]
    if set(body) - {"sha", "force"}:
        return 422, {"message": "Invalid request."}
    now = fake.branches().get(match.group(1))
    if now is None:
        return 422, {"message": "Reference does not exist"}
    if now == sha:
        return 200, {"ref": ref, "object": {"type": "commit", "sha": sha}}
    inside = subprocess.run(["git", "merge-base", "--is-ancestor", now, sha], cwd=fake.remote, check=False)
    if inside.returncode and not body.get("force"):
        return 422, {"message": "Update is not a fast forward"}
    if fake.rules is not None and match.group(1) == "main" and me not in fake.rules.bypass:
        said = "Repository rule violations found\n\nChanges must be made through a pull request.\n\n"
        return 422, {"message": said}
    git(fake.remote, "update-ref", ref, sha, now)
    return 200, {"ref": ref, "object": {"type": "commit", "sha": sha}}


# --- deployments


def list_deployments(
    fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str
) -> Reply:
    wanted = query.get("environment")
    found = [one for one in fake.deployments if wanted in (None, one["environment"])]
    return 200, [shown(one) for one in found if query.get("sha") in (None, one["sha"])][::-1]


def add_deployment(
    fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str
) -> Reply:
    known = {"ref", "task", "auto_merge", "required_contexts", "payload", "environment", "description"}
    if set(body) - known - {"transient_environment", "production_environment"}:
        return 422, {"message": "Validation Failed"}
    if len(body.get("description") or "") > 140:
        return 422, {"message": "Validation Failed", "errors": [{"field": "description"}]}
    made = {"id": len(fake.deployments) + 1, "sha": body["ref"], "statuses_url": "", **body, "creator": {"login": me}}
    fake.deployments.append(made)
    fake.deployment_statuses[made["id"]] = []
    return 201, shown(made)


def shown(made: dict[str, Any]) -> dict[str, Any]:
    """Return a deployment without what was asked of its making."""
    return {key: value for key, value in made.items() if key not in ("auto_merge", "required_contexts")}


def list_deployment_statuses(
    fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str
) -> Reply:
    return 200, fake.deployment_statuses[int(match.group(1))][::-1]


def add_deployment_status(
    fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str
) -> Reply:
    states = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
    known = {"state", "log_url", "description", "environment", "environment_url", "auto_inactive"}
    if set(body) - known or body["state"] not in states or len(body.get("description") or "") > 140:
        return 422, {"message": "Validation Failed"}
    number = int(match.group(1))
    said = {key: value for key, value in body.items() if key != "auto_inactive"}
    made = {"id": len(fake.deployment_statuses[number]) + 1, "creator": {"login": me}, **said}
    fake.deployment_statuses[number].append(made)
    return 201, made


def _hashed(remote: Path, kind: str, data: bytes) -> str:
    done = subprocess.run(
        ["git", "hash-object", "-t", kind, "-w", "--stdin"], cwd=remote, input=data, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


ROUTES = [
    (r"POST /git/blobs", add_blob),
    (r"POST /git/trees", add_tree),
    (r"POST /git/commits", add_commit),
    (r"PATCH /git/refs/heads/(.+)", move_ref),
    (r"GET /deployments", list_deployments),
    (r"POST /deployments", add_deployment),
    (r"GET /deployments/(\d+)/statuses", list_deployment_statuses),
    (r"POST /deployments/(\d+)/statuses", add_deployment_status),
]


# --- settings, which administrators see

GOOD_RULES = [
    {
        "type": "pull_request",
        "ruleset_id": 5,
        "ruleset_source": "acme/models",
        "ruleset_source_type": "Repository",
        "parameters": {
            "required_approving_review_count": 1,
            "dismiss_stale_reviews_on_push": True,
            "require_code_owner_review": True,
            "require_last_push_approval": True,
            "required_review_thread_resolution": False,
        },
    },
    {
        "type": "required_status_checks",
        "ruleset_id": 5,
        "ruleset_source": "acme/models",
        "ruleset_source_type": "Repository",
        "parameters": {
            "strict_required_status_checks_policy": False,
            "required_status_checks": [
                {"context": "modelops/gates", "integration_id": 4711},
                {"context": "modelops/approvals", "integration_id": 4711},
            ],
        },
    },
    {"type": "non_fast_forward", "ruleset_id": 5, "ruleset_source": "acme/models", "ruleset_source_type": "Repository"},
    {"type": "deletion", "ruleset_id": 5, "ruleset_source": "acme/models", "ruleset_source_type": "Repository"},
]


def good_settings() -> dict[str, Any]:
    """Return the settings of a repository in which everything holds, by path."""
    selected = {"protected_branches": False, "custom_branch_policies": True}
    actor = {"actor_id": 4711, "actor_type": "Integration", "bypass_mode": "always"}
    return {
        "/rules/branches/main": json.loads(json.dumps(GOOD_RULES)),
        "/rulesets/5": {"id": 5, "name": "main", "enforcement": "active", "bypass_actors": [actor]},
        "/actions/secrets": {"total_count": 0, "secrets": []},
        "/actions/organization-secrets": {"total_count": 0, "secrets": []},
        "/environments": {
            "total_count": 1,
            "environments": [{"id": 1, "name": "release", "deployment_branch_policy": selected}],
        },
        "/environments/release/secrets": {"total_count": 1, "secrets": [{"name": "MODELOPS_SIGNING_KEY"}]},
        "/environments/release/deployment-branch-policies": {"total_count": 1, "branch_policies": [{"name": "main"}]},
        "/actions/permissions": {"enabled": True, "allowed_actions": "selected"},
        "/actions/permissions/workflow": {
            "default_workflow_permissions": "read",
            "can_approve_pull_request_reviews": False,
        },
        "/actions/permissions/fork-pr-contributor-approval": {"approval_policy": "all_external_contributors"},
        "/codeowners/errors": {"errors": []},
    }


OPEN = (
    "/rules/branches/main",
    "/environments",
    "/codeowners/errors",
    "/environments/release/deployment-branch-policies",
)
"""What whoever may read the repository may see, too."""


def setting(fake: FakeGitHub, path: str, me: str) -> Reply | None:
    """Answer a question about the settings; who may not see them is refused."""
    if path not in fake.settings and path not in good_settings() and not path.endswith("/protection"):
        return None
    if me not in fake.admins and path not in OPEN:
        return 403, {"message": "Resource not accessible by integration"}
    found = fake.settings.get(path)
    if found is None:
        return 404, {"message": "Not Found"}
    if path.startswith("/rulesets/") and me not in fake.admins:
        found = {key: value for key, value in found.items() if key != "bypass_actors"}
    return 200, found
