"""What has to hold of a repository on GitHub for approvals to mean something: each point with what mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from modelops.forges import Jobs, Point
from modelops.forges.github.environments import NO_WAIT, branches_of, held_by, restrict, told
from modelops.forges.github.living import Living, Unseen, protection_of, required_contexts, ruled_contexts
from modelops.forges.github.settings import APP, APP_KEY
from modelops.forges.github.writers import writers

__all__ = ["FACTS", "GATES", "Expected", "Mode", "check"]

GATES = ("modelops/gates", "modelops/approvals")
FACTS = ("job-opens-pulls", "job-permissions")
"""The points without which nothing comes to the branch by pull requests of facts."""
_ASKS = ("checks", "contents", "pull-requests")
"""What a job writes that asks by pull requests."""
Mode = Literal["app", "facts", "push"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the project says: its branch and place, the secrets that sign, and the App's id where there is one.

    ``app`` is the App's number, or its client id where nobody knows that. ``jobs`` are those that commit what the loop
    decides, and those that write the checks.
    """

    repository: str
    branch: str
    secrets: tuple[str, ...]
    keeper: str = "release"
    app: str | None = None
    jobs: Jobs = field(default_factory=dict)


def check(living: Living, expected: Expected) -> tuple[Point, ...]:
    """Return every point, in the order in which a person would mend them."""
    return tuple(
        point
        for part in (
            *(_repository, _branch, _bypass, _classic_bypass, _merging, _secrets),
            *(_environment, _actions, _committing, _telling, _codeowners),
        )
        for point in part(living, expected)
    )


def mode(living: Living, expected: Expected) -> Mode | None:
    """Return how the loop's commits come to the branch; None where that cannot be seen."""
    if expected.app is not None:
        return "app"
    if isinstance(living.rules, Unseen):
        return None
    if _rule(living, "pull_request") is None and not protection_of(living):
        return "push"
    actors = [one.get("bypass_actors") if not isinstance(one, Unseen) else None for one in living.rulesets]
    if any(actor.get("actor_type") == "Integration" for some in actors for actor in some or ()):
        return "app"
    if _rule(living, "pull_request") is None and _allowances(living).get("apps"):
        return "app"
    return None if any(some is None for some in actors) else "facts"


def _holds(name: str, said: str) -> Point:
    return Point(name, "holds", said)


def _fails(name: str, said: str, mend: str) -> Point:
    return Point(name, "fails", said, mend)


def _hidden(name: str, what: str, unseen: Unseen) -> Point:
    mend = "run it as somebody who administers the repository: GH_TOKEN=$(gh auth token) modelops doctor"
    return Point(name, "unseen", f"cannot see {what} (needs {unseen.needs})", mend)


def _one(name: str, good: bool, yes: str, no: str, mend: str) -> Point:
    return _holds(name, yes) if good else _fails(name, no, mend)


# --- the repository and its branch


def _repository(living: Living, expected: Expected) -> Iterator[Point]:
    full, default = str(living.repository.get("full_name")), str(living.repository.get("default_branch"))
    yield _one(
        "repository",
        full.lower() == expected.repository.lower(),
        f"it is {full}",
        f"{expected.repository} is called {full} now, and GitHub follows the old name only as long as nobody takes it",
        f"change it in policies/project.yaml by a pull request: params: {{repository: {full}}}",
    )
    yield _one(
        "default-branch",
        default == expected.branch,
        f"it is {default}",
        f"GitHub's default branch is {default}, the project's is {expected.branch}: schedules and forks go by GitHub's",
        f"gh api -X PATCH repos/{full} -f default_branch={expected.branch}; or name it in policies/project.yaml",
    )
    if living.repository.get("archived"):
        yield _fails("archived", "it is archived, so nothing can be written", f"gh repo unarchive {full}")


def _rule(living: Living, kind: str) -> Mapping[str, Any] | None:
    if isinstance(living.rules, Unseen):
        return None
    found = [one for one in living.rules if one.get("type") == kind]
    return (found[0].get("parameters") or {}) if found else None


def _branch(living: Living, expected: Expected) -> Iterator[Point]:
    if isinstance(living.rules, Unseen):
        yield _hidden("rules", f"the rules of {expected.branch}", living.rules)
        return
    at = f"repos/{expected.repository}"
    mend = f"gh api -X POST {at}/rulesets --input .github/rulesets/modelops.json"
    reviews = _rule(living, "pull_request")
    classic = protection_of(living).get("required_pull_request_reviews")
    if reviews is None and classic:
        reviews = {
            "required_approving_review_count": classic.get("required_approving_review_count", 0),
            "dismiss_stale_reviews_on_push": classic.get("dismiss_stale_reviews", False),
            "require_code_owner_review": classic.get("require_code_owner_reviews", False),
        }
    if reviews is None:
        if isinstance(living.protection, Unseen) and not living.rules:
            yield _hidden("reviews", "whether a classic protection asks for reviews", living.protection)
        else:
            yield _fails("reviews", f"anybody who may write can push to {expected.branch} without a review", mend)
    else:
        count = int(reviews.get("required_approving_review_count") or 0)
        yield _one(
            "reviews", count > 0, f"{count} approving review{'s' if count > 1 else ''} needed", "none is needed", mend
        )
        yield _one(
            "stale-reviews",
            bool(reviews.get("dismiss_stale_reviews_on_push")),
            "a push takes approvals back",
            "an approval stays when something else is pushed; modelops counts it no more, GitHub's button does",
            f"{mend} (dismiss_stale_reviews_on_push)",
        )
        asked = bool(reviews.get("require_code_owner_review"))
        counted = GATES[1] in required_contexts(living)
        yield _one(
            "code-owners",
            asked or counted,
            "code owners have to review what is theirs" if asked else f"{GATES[1]} counts those of approvals.yaml",
            f"neither code owners nor those of approvals.yaml ({GATES[1]}) are needed for a merge",
            f"{mend} (require_code_owner_review)",
        )
    yield from _required_checks(living, expected, mend)
    for kind, name, no in (
        ("non_fast_forward", "force-push", "the branch can be rewritten by a push"),
        ("deletion", "deletion", "the branch can be deleted"),
    ):
        there = _rule(living, kind) is not None or _forbids(protection_of(living), kind)
        yield _one(name, there, "forbidden", no, f"{mend} ({kind})")


def _forbids(classic: Mapping[str, Any], kind: str) -> bool:
    key = "allow_force_pushes" if kind == "non_fast_forward" else "allow_deletions"
    return bool(classic) and not (classic.get(key) or {}).get("enabled", False)


def _required_checks(living: Living, expected: Expected, mend: str) -> Iterator[Point]:
    contexts = required_contexts(living)
    missing = [name for name in GATES if name not in contexts]
    yield _one(
        "required-checks",
        not missing,
        f"{' and '.join(GATES)} have to pass",
        f"{' and '.join(missing)} need not pass before a merge",
        f"{mend} (required_status_checks)",
    )
    if not missing:
        apps = _apps(living, expected) if mode(living, expected) == "app" else ()
        yield writers(living, GATES, apps, f"repos/{expected.repository}", expected.branch, mend)


def _apps(living: Living, expected: Expected) -> tuple[str, ...]:
    """Return the numbers of the App that acts here, or of those that may."""
    if expected.app is not None and expected.app.isdecimal():
        return (expected.app,)
    seen = [one.get("bypass_actors") or () for one in living.rulesets if not isinstance(one, Unseen)]
    actors = [actor for some in seen for actor in some if actor.get("actor_type") == "Integration"]
    numbers = [actor.get("actor_id") for actor in actors]
    numbers += [one.get("id") for one in _allowances(living).get("apps") or ()]
    return tuple(dict.fromkeys(str(number) for number in numbers))


def _bypass(living: Living, expected: Expected) -> Iterator[Point]:
    for one in living.rulesets:
        if isinstance(one, Unseen):
            yield _hidden("bypass", "who bypasses the rules", one)
            continue
        actors = one.get("bypass_actors")
        if actors is None:
            yield _hidden("bypass", f"who bypasses {one.get('name')!r}", Unseen("administration: write"))
            continue
        others = [a for a in actors if not _is_app(a, expected)]
        names = ", ".join(f"{a.get('actor_type')} {a.get('actor_id')}" for a in others)
        only = "only the App may" if actors else "nobody may"
        yield _one(
            "bypass",
            not others,
            f"{only} bypass {one.get('name')!r}",
            f"{names} may bypass {one.get('name')!r}, and then nobody reviews",
            f"remove them: gh api -X PUT repos/{expected.repository}/rulesets/{one.get('id')} --input "
            ".github/rulesets/modelops.json",
        )
        if expected.app is not None and len(others) == len(actors):
            yield _fails(
                "app-bypass",
                f"the App may not bypass {one.get('name')!r}, so the loop asks by pull requests",
                f"add it: Settings, Rules, {one.get('name')}, Bypass list",
            )


def _classic_bypass(living: Living, expected: Expected) -> Iterator[Point]:
    """Say who is not held to a classic protection, where reviews or checks are asked for by that alone."""
    classic = protection_of(living)
    if not classic or (_rule(living, "pull_request") is not None and set(GATES) <= ruled_contexts(living).keys()):
        return
    at = f"repos/{expected.repository}/branches/{expected.branch}/protection"
    yield _one(
        "admins",
        bool((classic.get("enforce_admins") or {}).get("enabled")),
        "administrators are held to the protection of the branch",
        "administrators are not held to the protection of the branch, and merge what nobody reviewed",
        f"gh api -X POST {at}/enforce_admins",
    )
    allowed = _allowances(living)
    apps = [one for one in allowed.get("apps") or () if not _is_app(_integration(one), expected)]
    names = [
        *(f"user {one.get('login')}" for one in allowed.get("users") or ()),
        *(f"team {one.get('slug')}" for one in allowed.get("teams") or ()),
        *(f"app {one.get('slug')}" for one in apps),
    ]
    yield _one(
        "bypass",
        not names,
        "nobody but the App bypasses the reviews" if allowed.get("apps") else "nobody bypasses the reviews",
        f"{', '.join(names)} may bypass the reviews of {expected.branch}",
        f"gh api -X PATCH {at}/required_pull_request_reviews --input - <<< "
        '\'{"bypass_pull_request_allowances": {"users": [], "teams": []}}\'',
    )


def _allowances(living: Living) -> Mapping[str, Any]:
    """Return who bypasses the reviews of a classic protection."""
    reviews = protection_of(living).get("required_pull_request_reviews") or {}
    found: Mapping[str, Any] = reviews.get("bypass_pull_request_allowances") or {}
    return found


def _integration(app: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"actor_type": "Integration", "actor_id": app.get("id")}


def _is_app(actor: Mapping[str, Any], expected: Expected) -> bool:
    known = expected.app is None or not expected.app.isdecimal() or str(actor.get("actor_id")) == expected.app
    return actor.get("actor_type") == "Integration" and known


def _merging(living: Living, expected: Expected) -> Iterator[Point]:
    ways = [
        word
        for word, key in (
            ("merge", "allow_merge_commit"),
            ("squash", "allow_squash_merge"),
            ("rebase", "allow_rebase_merge"),
        )
        if living.repository.get(key)
    ]
    if not any(key in living.repository for key in ("allow_merge_commit", "allow_squash_merge")):
        yield _hidden("merge-methods", "how pull requests are merged", Unseen("contents: write"))
        return
    yield _one(
        "merge-methods",
        "merge" in ways,
        f"{', '.join(ways)}: each is judged by what it brings",
        f"only {', '.join(ways) or 'nothing'}: `modelops pr merge` makes merge commits",
        f"gh api -X PATCH repos/{expected.repository} -F allow_merge_commit=true",
    )


# --- secrets and Actions


def _secrets(living: Living, expected: Expected) -> Iterator[Point]:
    repository, organization = expected.repository, expected.repository.partition("/")[0]
    drop = f"gh secret delete -R {repository}"
    yield from _everywhere("repository-secrets", "the repository", drop, living.secrets, expected)
    drop = f"gh secret delete --org {organization}"
    yield from _everywhere("organization-secrets", "the organisation", drop, living.shared_secrets, expected)
    if isinstance(living.environments, Unseen):
        return
    for name in (*expected.secrets, APP_KEY):
        held = [
            each
            for each, found in living.environment_secrets.items()
            if not isinstance(found, Unseen) and name in found
        ]
        blind = [each for each, found in living.environment_secrets.items() if isinstance(found, Unseen)]
        if held:
            for each in held:
                yield _reach(living, expected, name, each)
        elif blind:
            yield _hidden("secret", f"whether {name} is in {', '.join(blind)}", Unseen("environments: read"))
        elif name in expected.secrets:
            yield _fails(
                "secret",
                f"no environment has {name}",
                f"gh secret set {name} --env {expected.keeper} -R {expected.repository} < FILE",
            )


def _everywhere(
    code: str, whose: str, drop: str, found: frozenset[str] | Unseen, expected: Expected
) -> Iterator[Point]:
    """Say which keys every workflow of the repository can read."""
    if isinstance(found, Unseen):
        yield _hidden(code, f"the secrets of {whose}", found)
        return
    open_ = [name for name in (*expected.secrets, APP_KEY) if name in found]
    for name in open_:
        yield _fails(
            code,
            f"{name} is a secret of the whole {whose.removeprefix('the ')}: every workflow on every branch can read it",
            f"gh secret set {name} --env {expected.keeper} -R {expected.repository}; {drop} {name}",
        )
    if not open_:
        yield _holds(code, f"no key is a secret of the whole {whose.removeprefix('the ')}")


def _reach(living: Living, expected: Expected, secret: str, environment: str) -> Point:
    """Say from which branches a secret can be read."""
    reach = branches_of(living, environment)
    if isinstance(reach, Unseen):
        return _hidden("secret", f"from where {secret} of {environment} can be read", reach)
    return _one(
        "secret",
        reach == frozenset({expected.branch}),
        f"{secret} is in {environment}, for {expected.branch} alone",
        f"{secret} is in {environment}, which {told(reach)} can use: whoever may push there can read it",
        restrict(expected.repository, expected.branch, environment, reach),
    )


def _environment(living: Living, expected: Expected) -> Iterator[Point]:
    name = expected.keeper
    if isinstance(living.environments, Unseen):
        yield _hidden("environments", "the environments", living.environments)
        return
    if name not in living.environments:
        yield _fails(
            "environments",
            f"there is no environment {name!r} to keep keys in",
            restrict(expected.repository, expected.branch, name),
        )
        return
    reach = branches_of(living, name)
    if isinstance(reach, Unseen):
        yield _hidden("environments", f"which branches may use {name}", reach)
    else:
        yield _one(
            "environments",
            reach == frozenset({expected.branch}),
            f"{name} is for {expected.branch} alone",
            f"{name} can be used by {told(reach)}",
            restrict(expected.repository, expected.branch, name, reach),
        )
    held = held_by(living.environments[name])
    yield _one(
        "environment-waits",
        not held,
        f"no job of {name} waits for anybody",
        f"every job of {name} waits for {held}: each report, each review and the run of the day, too",
        f"gh api -X PUT repos/{expected.repository}/environments/{name} --input - <<< '{NO_WAIT}'",
    )


def _actions(living: Living, expected: Expected) -> Iterator[Point]:
    at = f"repos/{expected.repository}/actions/permissions"
    if isinstance(living.tokens, Unseen):
        yield _hidden("job-token", "what the token of a job may do", living.tokens)
    else:
        yield _one(
            "job-token",
            living.tokens.get("default_workflow_permissions") == "read",
            "a job's token reads, unless its workflow asks for more",
            "the token of every job may write",
            f"gh api -X PUT {at}/workflow -f default_workflow_permissions=read",
        )
        opens = bool(living.tokens.get("can_approve_pull_request_reviews"))
        if mode(living, expected) == "facts":
            yield _one(
                "job-opens-pulls",
                opens,
                "jobs may open pull requests, which the facts need without an App",
                "jobs may not open pull requests, so releases and records cannot be asked for",
                f"gh api -X PUT {at}/workflow -F can_approve_pull_request_reviews=true",
            )
        elif mode(living, expected) == "app":
            yield _one(
                "job-opens-pulls",
                not opens,
                "jobs may not approve pull requests",
                "the token of a job may approve pull requests, and the App makes that unnecessary",
                f"gh api -X PUT {at}/workflow -F can_approve_pull_request_reviews=false",
            )
    if isinstance(living.actions, Unseen):
        yield _hidden("actions", "which actions may run", living.actions)
    else:
        enabled, allowed = living.actions.get("enabled"), living.actions.get("allowed_actions")
        yield _one(
            "actions", bool(enabled), "they run", "Actions are switched off", f"gh api -X PUT {at} -F enabled=true"
        )
        yield _one(
            "allowed-actions",
            allowed in ("selected", "local_only"),
            f"{allowed}",
            "an action of anybody's may run; the workflows need those of GitHub alone",
            f"gh api -X PUT {at} -F enabled=true -f allowed_actions=selected && "
            f"gh api -X PUT {at}/selected-actions -F github_owned_allowed=true -F verified_allowed=false",
        )
    if isinstance(living.forks, Unseen):
        if not living.repository.get("private"):
            yield _hidden("forks", "whose pull requests from forks run without being asked", living.forks)
    elif living.forks:
        policy = str(living.forks.get("approval_policy"))
        yield _one(
            "forks",
            policy != "first_time_contributors_new_to_github",
            f"{policy.replace('_', ' ')} wait for an approval to run",
            "only newcomers to GitHub wait for an approval before their pull request runs workflows",
            f"gh api -X PUT {at}/fork-pr-contributor-approval -f approval_policy=all_external_contributors",
        )


def _committing(living: Living, expected: Expected) -> Iterator[Point]:
    """Say of each job that commits whether its token may ask for that by a pull request, where it has to."""
    if mode(living, expected) != "facts":
        return
    for name, job in sorted(expected.jobs.items()):
        given = job.permissions
        if not job.commits:
            continue
        if given is None and isinstance(living.tokens, Unseen):
            yield _hidden("job-permissions", f"what the token of {name} may do", living.tokens)
            continue
        if given is None:
            all_of_them = not isinstance(living.tokens, Unseen) and living.tokens.get("default_workflow_permissions")
            given = dict.fromkeys(_ASKS, str(all_of_them))
        lacking = [f"{key}: write" for key in _ASKS if given.get(key) != "write"]
        yield _one(
            "job-permissions",
            not lacking,
            f"{name} may ask by pull requests",
            f"{name} has no `{', '.join(lacking)}`: without an App it cannot ask for what it decides",
            "put it into the permissions of the job; `modelops init --github` writes workflows that have it",
        )


def _telling(living: Living, expected: Expected) -> Iterator[Point]:
    """Say of each job that writes the checks whether it does so as the App, where the rules take them from it alone."""
    apps = _apps(living, expected) if mode(living, expected) == "app" else ()
    required = required_contexts(living)
    if not apps or not any(str(required.get(name)) in apps for name in GATES):
        return
    for name, job in sorted(expected.jobs.items()):
        if job.tells:
            yield _one(
                "check-jobs",
                APP_KEY in job.variables,
                f"{name} writes them as the App",
                f"{name} has no {APP_KEY}, so what it writes does not count and nothing can be merged",
                f"set it and {APP} in its step, as the workflow of `modelops init --github` does",
            )


def _codeowners(living: Living, expected: Expected) -> Iterator[Point]:
    if isinstance(living.codeowners, Unseen):
        yield _hidden("codeowners", "whether CODEOWNERS is right", living.codeowners)
        return
    for one in living.codeowners:
        where = f"{one.get('path')}:{one.get('line')}:{one.get('column')}"
        mend = str(one.get("suggestion") or "name a person or a team who may write here")
        yield _fails("codeowners", f"{where}: {one.get('kind')}: {str(one.get('source')).strip()}", mend)
    if not living.codeowners:
        yield _holds("codeowners", "no line of it is wrong")
