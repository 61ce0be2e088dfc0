"""Setting a project up on GitHub: what runs there, who is asked, what protects the branch, and what is left to do."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from modelops.errors import Exit, ModelOpsError, failure
from modelops.files import write_atomically
from modelops.forges.github.permissions import FOR_TEAMS, NEEDED
from modelops.locks.pins import pins_of
from modelops.locks.wheel import own_wheel
from modelops.project.state import key_in
from modelops.scaffold.files import refuse_existing, write_new
from modelops.scaffold.result import Result
from modelops.scaffold.site import Site, environments
from modelops.scaffold.surroundings.first_hour import EXAMPLE, OTHERWISE, Hour
from modelops.scaffold.surroundings.hub import PUBLIC, Hub
from modelops.scaffold.surroundings.workflows import action_files, workflow_files
from modelops.spec.kinds.approval_policy import TEAM, ApprovalPolicySpec, ApprovalRule
from modelops.spec.layout import APPROVALS, LOCK, MODEL, MODELS, PROJECT, RELEASE_FILE, WORKFLOWS, action
from modelops.spec.load import load_resource
from modelops.spec.yaml.edit import set_value

__all__ = ["RULES", "add_github", "app_link", "code_owners", "remaining", "ruleset"]

RULES = f"{WORKFLOWS}rulesets/modelops.json"
OWNERS = f"{WORKFLOWS}CODEOWNERS"
TEMPLATE = f"{WORKFLOWS}pull_request_template.md"
APP = f"{WORKFLOWS}modelops-app.json"
_ACTIONS = 15368
"""The number of GitHub's own app that runs Actions, on github.com; without an app of its own, its checks alone count.

A workflow of any branch that somebody may push can write those: they guard GitHub's button, and what is released is
judged by the reviews themselves. An Enterprise Server has another number, which nobody knows here.
"""
_CHECKS = ("modelops/gates", "modelops/approvals")
_WITH_APP = (
    '.bypass_actors = [{actor_id: APP_ID, actor_type: "Integration", bypass_mode: "always"}] | '
    "(.rules[].parameters.required_status_checks[]?).integration_id = APP_ID"
)
"""What names the app in rules that know none yet; said of those that do, it changes nothing."""
_TOLD = (
    (b"# An OCI image layout in .modelops/store.", b"# GitHub's container registry; a job's token opens it."),
    (b"# Pull requests are kept beside the code, in the repository itself.", b"# Reviews on GitHub approve."),
)
"""What the comments of a new project say of its store and forge, and what they say once both are GitHub's."""
_MENTION = re.compile(r"@[A-Za-z0-9-]+(/[A-Za-z0-9._-]+)?|[^\s@#\\\[\]!]+@[A-Za-z0-9.-]+\.[A-Za-z]+")
"""A login, a team with its organisation, or a mail address, with nothing in it that means something else there."""
_ASKED = """\
<!-- The checks modelops/gates and modelops/approvals tell what this would do, and who has yet to approve. -->
What changes, and why:

What happens if it is wrong, and how one would see it:
"""


def add_github(site: Site, hub: Hub, result: Result, app: int | None = None) -> int | None:
    """Write what is not there yet; said again it writes nothing, and tells what differs from what it would write.

    An action that installs another version of modelops is replaced: that is how a project is brought to a newer one.
    So are rules that knew no app yet, where ``app`` is its number. Returns the number that the rules have.
    """
    home, top = site.home, site.repository.top
    _require_branch(site)
    approvals = _approvals(site)
    rules = top / RULES
    app = app or _app_of(rules)
    files = workflow_files(home, environments(site), hosted=hub.hosted) | {
        OWNERS: code_owners(approvals, hub.owner, home.folder, _model_owners(site.root)).encode(),
        TEMPLATE: _ASKED.encode(),
        RULES: _json(ruleset(home.branch, approvals, hub, app)),
        APP: _json(manifest(hub, approvals)),
    }
    missing = {path: data for path, data in files.items() if not (top / path).exists()}
    refuse_existing(top, missing)
    installing = _replaced(site, action_files(home, own_wheel()), result)
    _name_forge(site, hub, result)
    write_new(top, missing, site.undo)
    shown = "../" * len(Path(home.folder).parts)
    result.files += [shown + path for path in sorted([*missing, *installing])]
    without = _json(ruleset(home.branch, approvals, hub))
    if RULES not in missing and rules.read_bytes() == without != files[RULES]:
        site.undo.callback(write_atomically, rules, without)
        write_atomically(rules, files[RULES])
        result.files.append(shown + RULES)
    for path in sorted(files.keys() - missing.keys()):
        if (top / path).read_bytes() != files[path]:
            result.warnings.append(f"{shown}{path} is not what this version would write; it is left as it is")
    return app


def _app_of(rules: Path) -> int | None:
    """Return the app that alone may pass the rules by which lie here already."""
    try:
        actors = json.loads(rules.read_bytes())["bypass_actors"]
        found = [one["actor_id"] for one in actors if one["actor_type"] == "Integration"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found[0] if len(found) == 1 and isinstance(found[0], int) else None


def _require_branch(site: Site) -> None:
    if site.repository.branch is None and not site.repository.find(
        f"refs/remotes/{site.home.remote}/{site.home.branch}"
    ):
        raise failure(
            "detached-head",
            "no branch is checked out, and the remote does not say which one is everybody's",
            exit=Exit.NO,
            hint="git switch main, or: git remote set-head origin --auto",
        )


def _replaced(site: Site, wanted: Mapping[str, bytes], result: Result) -> list[str]:
    """Write the action where it is another one, and drop the wheels of other versions beside it."""
    top, folder = site.repository.top, site.repository.top / action(site.home.folder)
    old = [path for path in sorted(folder.glob("*.whl")) if f"{action(site.home.folder)}/{path.name}" not in wanted]
    changed = {p: data for p, data in wanted.items() if not (top / p).exists() or (top / p).read_bytes() != data}
    fresh = {path: data for path, data in changed.items() if not (top / path).exists()}
    write_new(top, fresh, site.undo)
    for path in changed.keys() - fresh.keys():
        site.undo.callback(write_atomically, top / path, (top / path).read_bytes())
        write_atomically(top / path, changed[path])
    for file in old:
        site.undo.callback(write_atomically, file, file.read_bytes())
        file.unlink()
        result.warnings.append(f"removed {file.relative_to(top)}: another modelops is installed now")
    return list(changed)


def _name_forge(site: Site, hub: Hub, result: Result) -> None:
    """Name GitHub as the forge, and its registry as the store of a project that has kept nothing elsewhere yet."""
    path = site.root / PROJECT.path()
    data = before = path.read_bytes()
    spec = site.settings.spec
    params = {"repository": hub.repository} | ({"apiUrl": hub.api_url} if hub.api_url is not None else {})
    if spec.forge.type == "embedded":
        data = set_value(data, "spec.forge", {"type": "github", "params": params}, PROJECT.path())
    elif spec.forge.type != "github" or spec.forge.params.get("repository") != hub.repository:
        named = spec.forge.params.get("repository", spec.forge.type)
        result.warnings.append(f"{PROJECT.path()} names {named} as its forge, and the remote is {hub.repository}")
    released = any((site.root / MODELS).rglob(RELEASE_FILE))
    if spec.store.type == "oci-layout" and not released:
        store = {
            "registry": hub.registry,
            "repository": hub.repository.lower(),
            "usernameVariable": "GITHUB_ACTOR",
            "passwordVariable": "GITHUB_TOKEN",
        }
        data = set_value(data, "spec.store", {"type": "oci-registry", "params": store}, PROJECT.path())
    elif spec.store.type == "oci-layout":
        result.warnings.append(
            "releases lie in a folder of one machine: move them to a registry before a runner needs them"
        )
    for was, becomes in _TOLD:
        data = data.replace(was, becomes) if data != before else data
    if data != before:
        site.undo.callback(write_atomically, path, before)
        write_atomically(path, data)
        if PROJECT.path() not in result.files:
            result.files.append(PROJECT.path())


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()


def _named(policy: ApprovalPolicySpec, rule: ApprovalRule) -> dict[str, None]:
    """Return whom a rule names, directly or by its groups."""
    found: dict[str, None] = {}
    for one in rule.approvers:
        group = one.removeprefix("group:")
        found |= dict.fromkeys(policy.groups.get(group, ()) if group != one else (one,))
    return found


def _logins(policy: ApprovalPolicySpec, change: str, owner: str, environment: str | None = None) -> list[str]:
    """Return whom the policy lets approve a change, as GitHub calls them; who is named by a number is left out."""
    found: dict[str, None] = {}
    for rule in policy.rules:
        if rule.change != change or (environment and not {"*", environment} & set(rule.environments)):
            continue
        found |= _named(policy, rule)
    shown = (f"{owner}/{one.removeprefix(TEAM)}" if one.startswith(TEAM) else one for one in found)
    return [f"@{login}" for login in shown if not login.startswith("id:") and not login.endswith("[bot]")]


def _model_owners(root: Path) -> dict[str, str]:
    """Return who owns each model of a work tree; a model that cannot be read has no owner yet."""
    found = {}
    for file in sorted((root / MODELS).rglob("model.yaml")):
        with contextlib.suppress(ModelOpsError):
            name = file.parent.relative_to(root / MODELS).as_posix()
            found[name] = load_resource(file.read_bytes(), MODEL.path(name)).spec.owner
    return found


def _mentioned(who: str, owner: str) -> str | None:
    """Return how GitHub is told of the owner of a model, if a name is one that it can know."""
    if who.startswith(TEAM):
        return f"@{owner}/{who.removeprefix(TEAM)}"
    return who if _MENTION.fullmatch(who) else None


def code_owners(
    policy: ApprovalPolicySpec, owner: str, folder: str = "", models: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return who is asked for a review of what; the last line that fits.

    That is whom the approval policy lets approve it, and for a model its owner too, where that is a login, a team or a
    mail address. ``owner`` is the organisation that teams are of; ``models`` are the owners of models by their names.
    """
    at = f"/{folder}/" if folder else "/"
    rows = [
        (at if folder else "*", _logins(policy, "policy", owner)),
        (f"{at}models/", _logins(policy, "model", owner)),
    ]
    for model, who in sorted(models.items()):
        if mention := _mentioned(who, owner):
            rows.append((f"{at}models/{model}/", list(dict.fromkeys([mention, *rows[1][1]]))))
    named = dict.fromkeys(name for rule in policy.rules if rule.change == "promotion" for name in rule.environments)
    everywhere = _logins(policy, "promotion", owner)
    rows.append((f"{at}models/**/environments/", everywhere))
    for name in named:
        if name != "*" and (some := _logins(policy, "promotion", owner, name)) != everywhere:
            rows.append((f"{at}models/**/environments/{name}.yaml", some))
    head = "# Whom policies/approvals.yaml lets approve, so that GitHub asks them; what counts is that file.\n"
    return head + "".join(f"{pattern} {' '.join(people)}\n" for pattern, people in rows if people)


def ruleset(branch: str, policy: ApprovalPolicySpec, hub: Hub, app: int | None = None) -> dict[str, Any]:
    """Return the rules of the branch, as GitHub's API takes them.

    The app alone may pass them by, and the required checks count from it alone; who it is may be added later.
    """
    most = max((rule.minimum for rule in policy.rules if rule.change == "model"), default=1)
    writer = app or (_ACTIONS if hub.host == PUBLIC else None)
    pinned = {} if writer is None else {"integration_id": writer}
    return {
        "name": "modelops",
        "target": "branch",
        "enforcement": "active",
        "conditions": {"ref_name": {"include": [f"refs/heads/{branch}"], "exclude": []}},
        "bypass_actors": [{"actor_id": app, "actor_type": "Integration", "bypass_mode": "always"}] if app else [],
        "rules": [
            {"type": "deletion"},
            {"type": "non_fast_forward"},
            {
                "type": "pull_request",
                "parameters": {
                    "required_approving_review_count": min(most, 1),
                    "dismiss_stale_reviews_on_push": True,
                    "require_code_owner_review": False,
                    "require_last_push_approval": most > 0,
                    "required_review_thread_resolution": False,
                },
            },
            {
                "type": "required_status_checks",
                "parameters": {
                    "strict_required_status_checks_policy": False,
                    "required_status_checks": [{"context": name, **pinned} for name in _CHECKS],
                },
            },
        ],
    }


def _permissions(policy: ApprovalPolicySpec) -> dict[str, str]:
    teams = any(name.startswith(TEAM) for rule in policy.rules for name in _named(policy, rule))
    return {**NEEDED, **(FOR_TEAMS if teams else {})}


def manifest(hub: Hub, policy: ApprovalPolicySpec) -> dict[str, Any]:
    """Return the manifest of the app, as GitHub takes it; it hears of nothing, as the workflows do that."""
    return {
        "name": f"modelops {hub.owner}",
        "url": hub.address,
        "public": False,
        "hook_attributes": {"url": hub.address, "active": False},
        "default_events": [],
        "default_permissions": _permissions(policy),
    }


def app_link(hub: Hub, policy: ApprovalPolicySpec) -> str:
    """Return the page that registers the app with all of it filled in; an organisation's begins in its own settings."""
    words = {"name": f"modelops {hub.owner}", "url": hub.address, "public": "false", "webhook_active": "false"}
    return (
        f"https://{hub.host}/organizations/{hub.owner}/settings/apps/new?{urlencode({**words, **_permissions(policy)})}"
    )


def remaining(site: Site, hub: Hub, hour: Hour, result: Result, app: int | None = None) -> list[str]:
    """Return what is left to a person, in order, in the words of a shell: what is no command is a comment."""
    number = str(app or "APP_ID")
    at, branch = f"repos/{hub.repository}", site.home.branch
    api = "gh api" if hub.host == PUBLIC else f"gh api --hostname {hub.host}"
    there = f"--repo {hub.repository}" if hub.host == PUBLIC else f"--repo {hub.host}/{hub.repository}"
    top = "../" * len(Path(site.home.folder).parts)
    bare = [pin.name for pin in pins_of((site.root / LOCK).read_bytes()) if pin.counts and not pin.hashed]
    key = key_in(site.state, "local")
    key = key.relative_to(site.root) if key.is_relative_to(site.root) else key
    return [
        *([f"cd {shlex.quote(hour.folder)}"] if hour.folder else []),
        *(
            [f"# {len(bare)} packages of {LOCK} have no hash, and no job installs such a one", "modelops lock"]
            if bare
            else []
        ),
        *hour.rules(),
        "# the key that signs, where only jobs of the branch come to it",
        f"{api} --method PUT {at}/environments/release"
        " -F 'deployment_branch_policy[protected_branches]=false'"
        " -F 'deployment_branch_policy[custom_branch_policies]=true'",
        f"{api} --method POST {at}/environments/release/deployment-branch-policies -f name={branch}",
        f"gh secret set MODELOPS_SIGNING_KEY {there} --env release < {shlex.quote(str(key))}",
        *_registering(hub, app, _approvals(site)),
        f"gh variable set MODELOPS_APP_ID {there} --body {number}",
        f"gh secret set MODELOPS_APP_PRIVATE_KEY {there} --env release < ../APP.private-key.pem",
        f"# protect {branch}: the app alone passes its rules by and writes the checks that they ask for",
        f"jq '{_WITH_APP.replace('APP_ID', number)}' {top}{RULES} | {api} --method POST {at}/rulesets --input -",
        "# where what runs has to outlive a job, as with the target local: a runner of your own, by its label",
        f"gh variable set MODELOPS_RUNNER {there} --body self-hosted",
        *_proposal(hour, result.model),
    ]


def _approvals(site: Site) -> ApprovalPolicySpec:
    found: ApprovalPolicySpec = load_resource((site.root / APPROVALS.path()).read_bytes(), APPROVALS.path()).spec
    return found


def _registering(hub: Hub, app: int | None, policy: ApprovalPolicySpec) -> list[str]:
    if app is not None:
        return [f"# install the app {app} in {hub.name}, and make a private key of it on its page"]
    return [
        f"# register the app that commits for the loop, make a private key of it, and install it in {hub.name}:",
        f"#   {app_link(hub, policy)}",
        "# its page then says its App ID; where you have one already: modelops init --github --app APP_ID",
    ]


def _proposal(hour: Hour, model: str | None) -> list[str]:
    """Return what proposes a model; all that follows is done by the workflows, and by who reviews."""
    name = model or EXAMPLE
    branch = f"propose-{name.replace('/', '-')}"
    return [
        *([] if model else [f"modelops init --example {EXAMPLE}", OTHERWISE]),
        f"git switch --create {branch}",
        "git add --all",
        f'git commit --message "Propose {name}"',
        f"git push --set-upstream {hour.remote or 'origin'} {branch}",
        "gh pr create --fill",
    ]
