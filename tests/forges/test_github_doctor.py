"""What the doctor says of a repository on GitHub: what holds, what does not with its command, and what is hidden."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from forges.forge_world import github_forge
from git_world import NOON, World
from github_git import Installed, good_settings
from github_world import REPOSITORY, FakeGitHub, github
from modelops.forges import Job, Jobs, Opening, Point
from modelops.forges.github import Params, open, session
from modelops.repository import Repository

KEY = "MODELOPS_SIGNING_KEY"
APP = frozenset({"MODELOPS_APP_ID", "MODELOPS_APP_PRIVATE_KEY"})
JOBS: Jobs = {
    "publish.yml: publish": Job({}, APP, commits=False, tells=True),
    "release.yml: release": Job(dict.fromkeys(("checks", "contents", "packages", "pull-requests"), "write")),
}


@dataclass
class Scene:
    served: FakeGitHub
    clone: Repository

    def points(self, token: str = "token-of-grace", jobs: Jobs = JOBS) -> dict[str, Point]:
        return {one.name: one for one in github_forge(self.served, self.clone, token).examine([KEY], jobs)}

    def as_app(self) -> dict[str, Point]:
        environ = {"MODELOPS_APP_ID": "4711", "MODELOPS_APP_PRIVATE_KEY": self.served.app.pem}
        params = Params(repository=REPOSITORY, api_url=self.served.url)
        forge = open(params, Opening(self.clone, "main", lambda: NOON, environ))
        return {one.name: one for one in forge.examine([KEY], JOBS)}


@pytest.fixture
def scene(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(session, "_PAUSES", (0.01, 0.01, 0.01))
    with github(world.remote) as served:
        served.settings, served.admins = good_settings(), frozenset({"grace"})
        yield Scene(served, world.clone("ada"))


def test_a_repository_that_is_set_up_holds_everywhere(scene: Scene) -> None:
    """Every point holds for somebody who may see everything, with an App and, if jobs may open pulls, without."""
    points = scene.points()
    assert [one for one in points.values() if one.state != "holds"] == []
    assert "as the App" in points["commits"].said
    scene.served.settings["/rulesets/5"]["bypass_actors"] = []
    assert scene.points()["job-opens-pulls"].state == "fails"
    scene.served.settings["/actions/permissions/workflow"]["can_approve_pull_request_reviews"] = True
    points = scene.points()
    assert [one for one in points.values() if one.state != "holds"] == []
    assert {
        "reviews",
        "required-checks",
        "bypass",
        "secret",
        "environments",
        "job-token",
        "codeowners",
    } <= points.keys()
    assert "facts" in points["commits"].said


def _rule(settings: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in settings["/rules/branches/main"] if one["type"] == kind)
    return found


def _parameter(kind: str, name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda settings: _rule(settings, kind)["parameters"].update({name: value})


def _without(kind: str) -> Callable[[dict[str, Any]], None]:
    return lambda settings: settings["/rules/branches/main"].remove(_rule(settings, kind))


def _of(path: str, **changed: Any) -> Callable[[dict[str, Any]], None]:
    return lambda settings: settings[path].update(changed)


def _waiting(*kinds: str) -> Callable[[dict[str, Any]], None]:
    """Let the environment have rules of protection of these kinds."""

    def spoil(settings: dict[str, Any]) -> None:
        (release,) = settings["/environments"]["environments"]
        release["protection_rules"] = [{"id": 7, "node_id": "R_7", "type": kind} for kind in kinds]

    return spoil


WRONG: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("reviews", _without("pull_request"), "without a review"),
    ("reviews", _parameter("pull_request", "required_approving_review_count", 0), "none is needed"),
    ("stale-reviews", _parameter("pull_request", "dismiss_stale_reviews_on_push", False), "an approval stays"),
    (
        "code-owners",
        lambda settings: (
            _parameter("pull_request", "require_code_owner_review", False)(settings),
            _without("required_status_checks")(settings),
        ),
        "neither",
    ),
    (
        "required-checks",
        _parameter("required_status_checks", "required_status_checks", [{"context": "modelops/gates"}]),
        "modelops/approvals need not",
    ),
    (
        "check-writers",
        _parameter(
            "required_status_checks",
            "required_status_checks",
            [{"context": "modelops/gates", "integration_id": 15368}, {"context": "modelops/approvals"}],
        ),
        "modelops/gates counts from app 15368, modelops/approvals counts from anybody",
    ),
    (
        "check-writers",
        lambda settings: (
            _of("/rulesets/5", bypass_actors=[])(settings),
            _parameter(
                "required_status_checks",
                "required_status_checks",
                [{"context": "modelops/gates", "integration_id": 15368}, {"context": "modelops/approvals"}],
            )(settings),
        ),
        "can write modelops/approvals, by",
    ),
    ("required-checks", _without("required_status_checks"), "modelops/gates and modelops/approvals"),
    ("force-push", _without("non_fast_forward"), "rewritten"),
    ("deletion", _without("deletion"), "deleted"),
    (
        "bypass",
        _of("/rulesets/5", bypass_actors=[{"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}]),
        "RepositoryRole 5",
    ),
    ("repository-secrets", _of("/actions/secrets", secrets=[{"name": KEY}]), "every workflow on every branch"),
    ("secret", _of("/environments/release/secrets", secrets=[]), "no environment has"),
    (
        "secret",
        _of("/environments/release/deployment-branch-policies", branch_policies=[{"name": "main"}, {"name": "*"}]),
        "can use",
    ),
    (
        "environments",
        _of(
            "/environments/release/deployment-branch-policies",
            branch_policies=[{"name": "main", "type": "branch"}, {"name": "main", "type": "tag"}],
        ),
        "main, the tag main",
    ),
    ("environment-waits", _waiting("required_reviewers"), "a reviewer: each report"),
    ("environment-waits", _waiting("branch_policy", "wait_timer", "required_reviewers"), "a timer and a reviewer"),
    ("environment-waits", _waiting("made_up"), "the rule made_up"),
    (
        "environments",
        _of("/environments", environments=[{"id": 1, "name": "release", "deployment_branch_policy": None}]),
        "every branch",
    ),
    ("environments", _of("/environments", environments=[]), "no environment 'release'"),
    ("job-token", _of("/actions/permissions/workflow", default_workflow_permissions="write"), "may write"),
    ("job-opens-pulls", _of("/actions/permissions/workflow", can_approve_pull_request_reviews=True), "may approve"),
    (
        "organization-secrets",
        _of("/actions/organization-secrets", secrets=[{"name": KEY}]),
        "secret of the whole organisation: every workflow on every branch",
    ),
    ("repository-secrets", _of("/actions/secrets", secrets=[{"name": "MODELOPS_APP_PRIVATE_KEY"}]), "_APP_PRIVATE_KEY"),
    ("allowed-actions", _of("/actions/permissions", allowed_actions="all"), "anybody's"),
    ("actions", _of("/actions/permissions", enabled=False), "switched off"),
    (
        "forks",
        _of(
            "/actions/permissions/fork-pr-contributor-approval",
            approval_policy="first_time_contributors_new_to_github",
        ),
        "newcomers",
    ),
    (
        "codeowners",
        _of("/codeowners/errors", errors=[{"path": "CODEOWNERS", "line": 3, "column": 9, "kind": "Unknown owner"}]),
        "CODEOWNERS:3:9: Unknown owner",
    ),
]


@pytest.mark.parametrize(("name", "spoil", "said"), WRONG, ids=lambda one: one if isinstance(one, str) else "")
def test_what_does_not_hold_is_said_with_what_mends_it(
    scene: Scene, name: str, spoil: Callable[[dict[str, Any]], None], said: str
) -> None:
    """One thing is wrong, and it is said of that, with a command or a place."""
    spoil(scene.served.settings)
    point = scene.points()[name]
    assert (point.state, said in point.said) == ("fails", True), point
    assert point.mend


@pytest.mark.parametrize(
    ("rules", "added"), [(({"name": "main"}, {"name": "*"}), False), (({"name": "main", "type": "tag"},), True)]
)
def test_who_else_may_use_the_environment_is_taken_off(scene: Scene, rules: Any, added: bool) -> None:
    """Another rule beside the branch's stays where one is only added; a tag of its name is another rule."""
    scene.served.settings["/environments/release/deployment-branch-policies"]["branch_policies"] = list(rules)
    mend = str(scene.points()["environments"].mend)
    assert "-X DELETE" in mend
    assert ("-f name=main" in mend, "-X PUT" in mend) == (added, False)


def test_the_rule_of_branches_lets_no_job_wait(scene: Scene) -> None:
    """GitHub lists it among the rules of protection, too."""
    _waiting("branch_policy")(scene.served.settings)
    assert scene.points()["environment-waits"].state == "holds"


def test_a_persons_repository_has_no_organisation_to_ask(scene: Scene) -> None:
    """GitHub is not asked for what an organisation shares where a person owns the repository."""
    scene.served.about = {"owner": {"login": "ada", "type": "User"}}
    scene.served.settings["/actions/organization-secrets"]["secrets"] = [{"name": KEY}]
    assert scene.points()["organization-secrets"].state == "holds"


def test_what_a_token_may_not_see_is_never_fine(scene: Scene) -> None:
    """A job's token sees the rules and no settings: each of those is named with the permission that it takes."""
    points = scene.points("ghs_of_job")
    hidden = {name for name, one in points.items() if one.state == "unseen"}
    assert {"bypass", "repository-secrets", "secret", "job-token", "actions", "forks"} <= hidden
    assert all("needs " in points[name].said for name in hidden)
    assert points["reviews"].state == "holds"
    scene.served.settings["/rules/branches/main"] = []
    assert scene.points("ghs_of_job")["reviews"].state == "unseen"


def test_a_renamed_repository_and_branch_are_told(scene: Scene) -> None:
    """GitHub follows the old name; the project has to name the new one, and the branch that is the default now."""
    scene.served.about = {"full_name": "acme/models-two", "default_branch": "trunk"}
    points = scene.points()
    assert (points["repository"].state, points["default-branch"].state) == ("fails", "fails")
    assert "acme/models-two" in str(points["repository"].mend)
    assert "default_branch=main" in str(points["default-branch"].mend)


def test_classic_protection_counts_as_well(scene: Scene) -> None:
    """A branch that is protected the old way asks for reviews and checks, too."""
    scene.served.settings["/rules/branches/main"] = []
    scene.served.settings["/branches/main/protection"] = {
        "required_pull_request_reviews": {
            "required_approving_review_count": 2,
            "dismiss_stale_reviews": True,
            "require_code_owner_reviews": True,
        },
        "required_status_checks": {"contexts": ["modelops/gates", "modelops/approvals"]},
        "allow_force_pushes": {"enabled": False},
        "allow_deletions": {"enabled": True},
        "enforce_admins": {"enabled": True},
    }
    points = scene.points()
    assert points["reviews"].state == points["required-checks"].state == points["force-push"].state == "holds"
    assert points["deletion"].state == points["check-writers"].state == "fails"
    assert points["bypass"].state == points["admins"].state == "holds"


def test_who_passes_classic_protection_by_is_told(scene: Scene) -> None:
    """Administrators whom it does not hold, people and Apps on its list, and checks that anybody may write."""
    scene.served.settings["/rules/branches/main"] = []
    reviews: dict[str, Any] = {"required_approving_review_count": 1}
    checks = [{"context": "modelops/gates", "app_id": 15368}, {"context": "modelops/approvals", "app_id": -1}]
    scene.served.settings["/branches/main/protection"] = {
        "required_pull_request_reviews": reviews,
        "required_status_checks": {"contexts": [one["context"] for one in checks], "checks": checks},
        "enforce_admins": {"enabled": False},
    }
    points = scene.points()
    assert (points["admins"].state, "enforce_admins" in str(points["admins"].mend)) == ("fails", True)
    assert "can write modelops/approvals, by" in points["check-writers"].said
    people = {"users": [{"login": "mallory"}], "teams": [{"slug": "friends"}], "apps": []}
    reviews["bypass_pull_request_allowances"] = people
    assert "user mallory, team friends may bypass" in scene.points()["bypass"].said
    reviews["bypass_pull_request_allowances"] = {"users": [], "teams": [], "apps": [{"id": 4711, "slug": "modelops"}]}
    checks[1]["app_id"] = 15368
    points = scene.points()
    assert (points["bypass"].state, points["check-writers"].state) == ("holds", "fails")
    assert "as the App" in points["commits"].said
    told = str(points["check-writers"].mend)
    wanted = {"checks": [{"context": one["context"], "app_id": 4711} for one in checks]}
    assert json.loads(told.split("<<< ")[1].strip("'")) == wanted
    for one in checks:
        one["app_id"] = 4711
    points = scene.points()
    assert (points["check-writers"].state, "the App alone" in points["check-writers"].said) == ("holds", True)


def test_the_checks_count_from_the_app_alone(scene: Scene) -> None:
    """Where an App acts, rules that take its checks from others do not hold; the command mends those rules alone."""
    required = _rule(scene.served.settings, "required_status_checks")["parameters"]["required_status_checks"]
    required[0]["integration_id"] = 15368
    required.append({"context": "ci", "integration_id": 99})
    point = scene.points()["check-writers"]
    assert (point.state, "modelops/gates counts from app 15368" in point.said) == ("fails", True)
    command = str(point.mend)
    assert command.startswith("gh api repos/acme/models/rulesets/5 | jq '")
    assert command.endswith("' | gh api -X PUT repos/acme/models/rulesets/5 --input -")
    answered = {"id": 5, "node_id": "x", "name": "main", "enforcement": "active", "target": "branch"}
    answered |= {"bypass_actors": [], "conditions": {}, "rules": scene.served.settings["/rules/branches/main"]}
    mended = json.loads(_jq(command.split("'")[1], answered))
    assert set(mended) == {"name", "target", "enforcement", "bypass_actors", "conditions", "rules"}
    required[0]["integration_id"] = 4711
    assert mended["rules"] == scene.served.settings["/rules/branches/main"]
    assert scene.points()["check-writers"].state == "holds"


def test_an_organisations_ruleset_is_mended_where_it_is(scene: Scene) -> None:
    """The rules of a branch may be the organisation's own; the command is for those."""
    rule = _rule(scene.served.settings, "required_status_checks")
    rule |= {"ruleset_source": "acme", "ruleset_source_type": "Organization"}
    rule["parameters"]["required_status_checks"][1]["integration_id"] = 15368
    assert str(scene.points()["check-writers"].mend).startswith("gh api orgs/acme/rulesets/5 | ")


def test_without_an_app_it_is_said_what_is_open(scene: Scene) -> None:
    """Checks of Actions are all that there can be; who can write them, and what holds all the same, is said."""
    scene.served.settings["/rulesets/5"]["bypass_actors"] = []
    for one in _rule(scene.served.settings, "required_status_checks")["parameters"]["required_status_checks"]:
        one["integration_id"] = 15368
    point = scene.points()["check-writers"]
    assert point.state == "holds"
    assert "a workflow of any branch that somebody may push can write them" in point.said
    assert "modelops goes by the reviews; an App of your own closes that" in point.said


def test_a_job_that_writes_checks_must_do_so_as_the_app(scene: Scene) -> None:
    """Rules that take the App's alone and a job without its key: nothing could be merged, which is said."""
    jobs = {**JOBS, "publish.yml: publish": Job({}, frozenset({"GH_TOKEN"}), commits=False, tells=True)}
    point = scene.points(jobs=jobs)["check-jobs"]
    assert (point.state, "publish.yml: publish has no MODELOPS_APP_PRIVATE_KEY" in point.said) == ("fails", True)
    assert scene.points()["check-jobs"].state == "holds"
    scene.served.settings["/rulesets/5"]["bypass_actors"] = []
    assert "check-jobs" not in scene.points(jobs=jobs)


def _jq(program: str, document: Any) -> str:
    if shutil.which("jq") is None:
        pytest.skip("there is no jq")
    done = subprocess.run(["jq", program], input=json.dumps(document), capture_output=True, text=True, check=True)
    return done.stdout


def test_without_an_app_the_jobs_must_be_able_to_ask(scene: Scene) -> None:
    """What commits has to open pull requests and write their checks; a job that asks for less brings nothing."""
    scene.served.settings["/rulesets/5"]["bypass_actors"] = []
    scene.served.settings["/actions/permissions/workflow"]["can_approve_pull_request_reviews"] = True
    assert scene.points()["commits"].state == "holds"
    for given in ({"contents": "write", "pull-requests": "read"}, None):
        points = scene.points(jobs={"release.yml: release": Job(given)})
        assert (points["job-permissions"].state, points["commits"].state) == ("fails", "fails")
        assert "checks: write" in points["job-permissions"].said
        assert points["commits"].mend == "see `job-permissions`"
    scene.served.settings["/actions/permissions/workflow"]["default_workflow_permissions"] = "write"
    assert scene.points(jobs={"release.yml: release": Job(None)})["job-permissions"].state == "holds"


def test_the_app_says_with_what_it_is_installed(scene: Scene) -> None:
    """Exactly what it needs holds; more, less, suspended or elsewhere does not, and says what to do."""
    scene.served.__dict__["app"] = installed = Installed()
    points = scene.as_app()
    assert (points["app"].state, "issues: write" in points["app"].said) == ("fails", True)
    assert points["reviews"].state == "holds"
    del installed.permissions["issues"]
    points = scene.as_app()
    assert (points["app"].state, "as the App" in points["commits"].said) == ("holds", True)
    installed.suspended = True
    assert [(one.name, one.state) for one in scene.as_app().values()] == [("app", "fails")]
    assert "Unsuspend" in str(scene.as_app()["app"].mend)
    assert replace(scene.as_app()["app"], mend=None).said.endswith("is suspended")


def test_the_app_must_be_the_one_that_bypasses(scene: Scene) -> None:
    """Another App on the list is somebody who writes without a review; ours not being there is the facts mode."""
    scene.served.__dict__["app"] = installed = Installed()
    del installed.permissions["issues"]
    scene.served.admins = frozenset({"modelops[bot]"})
    other = {"actor_id": 99, "actor_type": "Integration", "bypass_mode": "always"}
    scene.served.settings["/rulesets/5"]["bypass_actors"] = [other]
    points = scene.as_app()
    assert (points["bypass"].state, points["app-bypass"].state) == ("fails", "fails")
