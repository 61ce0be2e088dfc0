"""`modelops init --github`: it finds out what it can, writes what is missing, and says what is left to a person."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from git_world import git, nobodys_configuration
from modelops.cli import cli
from modelops.errors import ModelOpsError
from modelops.locks.wheel import own_wheel
from modelops.scaffold.surroundings.github import code_owners, manifest
from modelops.scaffold.surroundings.hub import Hub, parse
from modelops.scaffold.surroundings.workflows import WORKFLOWS
from modelops.spec.kinds.approval_policy import ApprovalPolicySpec
from modelops.spec.load import load_resource

HUB = Hub("github.com", "acme", "models")
Init = Callable[..., dict[str, Any]]


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run init in a clone of an empty repository on GitHub."""
    monkeypatch.delenv("GH_HOST", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert cli.main(["init", *arguments, "-o", "json"], standalone_mode=False) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    with nobodys_configuration(tmp_path):
        git(Path.cwd(), "init", "-q", "-b", "main")
        git(Path.cwd(), "remote", "add", "origin", "git@github.com:acme/Models.git")
        yield run


def remote(address: str, name: str = "origin") -> None:
    subprocess.run(["git", "remote", "remove", name], check=False, capture_output=True)
    git(Path.cwd(), "remote", "add", name, address)


def everything() -> dict[str, tuple[bytes, int]]:
    """Return every file of the project with its bytes and when it was written."""
    files = (path for path in Path.cwd().rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def refused(init: Init, *arguments: str) -> str:
    before = everything()
    with pytest.raises(ModelOpsError) as caught:
        init("--github", *arguments)
    assert everything() == before
    return caught.value.first.code


@pytest.mark.parametrize(
    ("address", "named", "found"),
    [
        ("https://github.com/acme/models", "", Hub("github.com", "acme", "models")),
        ("https://ada:secret@github.com/acme/models.git", "", Hub("github.com", "acme", "models")),
        ("git@github.com:acme/models.git", "", Hub("github.com", "acme", "models")),
        ("ssh://git@ssh.github.com:443/acme/my.models.git", "", Hub("github.com", "acme", "my.models")),
        ("git://github.com/acme/models/", "", Hub("github.com", "acme", "models")),
        ("https://github.acme.example/team/models.git", "", Hub("github.acme.example", "team", "models")),
        ("git@acme.ghe.com:team/models.git", "", Hub("acme.ghe.com", "team", "models")),
        ("https://git.acme.example:8443/team/models", "git.acme.example", Hub("git.acme.example", "team", "models")),
        ("https://git.acme.example/team/models", "", None),
        ("https://gitlab.com/acme/models.git", "", None),
        ("git@bitbucket.org:acme/models.git", "", None),
        ("https://notgithub.com/acme/models", "", None),
        ("https://github.com/acme/group/models", "", None),
        ("https://github.com/acme", "", None),
        ("../models.git", "", None),
        ("/srv/git/models.git", "", None),
        ("https://github.com/acme/models;rm -rf", "", None),
    ],
)
def test_a_repository_is_known_by_any_spelling_of_its_address(address: str, named: str, found: Hub | None) -> None:
    """HTTPS, SSH and git's short form; github.com, ghe.com, a server called after GitHub or named; nothing else."""
    assert parse(address, named) == found


def test_where_the_api_and_the_registry_are() -> None:
    """They follow from the host."""
    hosts = ("github.com", "acme.ghe.com", "github.acme.example")
    hubs = [Hub(host, "acme", "models") for host in hosts]
    assert [hub.api_url for hub in hubs] == [
        None,
        "https://api.acme.ghe.com",
        "https://github.acme.example/api/v3",
    ]
    assert [hub.registry for hub in hubs] == [
        "ghcr.io",
        "containers.acme.ghe.com",
        "containers.github.acme.example",
    ]


def test_all_is_written_and_a_second_time_nothing(init: Init) -> None:
    """Workflows, action, owners, rules, app; GitHub is forge and store; said again, only what is left is told."""
    found = init("--github", "--approver", "grace", "--approver", "id:7")
    top = Path(".github")
    assert {path.name for path in (top / "workflows").iterdir()} == set(WORKFLOWS)
    project = yaml.safe_load(Path("policies/project.yaml").read_text())["spec"]
    assert project["forge"] == {"type": "github", "params": {"repository": "acme/Models"}}
    assert project["store"]["params"]["registry"] == "ghcr.io"
    assert project["store"]["params"]["repository"] == "acme/models"
    assert "OCI image layout" not in Path("policies/project.yaml").read_text()
    assert "/models/ @grace\n" in (top / "CODEOWNERS").read_text()
    assert "id:7" not in (top / "CODEOWNERS").read_text()
    rules = json.loads((top / "rulesets/modelops.json").read_text())
    assert rules["conditions"]["ref_name"]["include"] == ["refs/heads/main"]
    by_type = {rule["type"]: rule.get("parameters") for rule in rules["rules"]}
    checks = by_type["required_status_checks"]["required_status_checks"]
    assert [one["context"] for one in checks] == ["modelops/gates", "modelops/approvals"]
    assert by_type["pull_request"]["require_last_push_approval"] is True
    wheel = own_wheel()
    line = (top / "actions/modelops/requirements.txt").read_text().splitlines()[-1]
    assert line == f"./.github/actions/modelops/{wheel.name} --hash=sha256:{wheel.sha256}"
    assert (top / "actions/modelops" / wheel.name).read_bytes() == wheel.data
    told = found["next"]
    order = [
        "git push",
        "environments/release",
        "MODELOPS_SIGNING_KEY",
        "settings/apps/new",
        "rulesets",
        "gh pr create",
    ]
    places = [next(n for n, step in enumerate(told) if word in step) for word in order]
    assert places == sorted(places)
    before = everything()
    again = init("--github")
    assert everything() == before
    assert (again["files"], again["warnings"]) == ([], [])
    assert again["next"] == told


def test_the_app_is_written_into_the_rules_where_it_is_known(init: Init) -> None:
    """By its number it alone passes them by and writes the checks; rules from before it was known are brought up."""
    with pytest.raises(click.UsageError):
        init("--app", "4711")
    init("--github", "--approver", "grace")
    rules, before = Path(".github/rulesets/modelops.json"), everything()
    assert _writers(rules.read_text()) == {15368}
    found = init("--github", "--app", "4711")
    assert found["files"] == [str(rules)]
    assert {path for path, one in everything().items() if one != before.get(path)} == {str(Path.cwd() / rules)}
    told = json.loads(rules.read_text())
    assert _writers(rules.read_text()) == {4711}
    assert told["bypass_actors"] == [{"actor_id": 4711, "actor_type": "Integration", "bypass_mode": "always"}]
    assert any("--body 4711" in step for step in found["next"])
    assert not any("APP_ID" in step.replace("MODELOPS_APP_ID", "") for step in found["next"])
    again = init("--github")
    assert (again["files"], again["warnings"], again["next"]) == ([], [], found["next"])
    rules.write_text(rules.read_text().replace('"modelops/gates"', '"ci"'))
    assert any(str(rules) in warning for warning in init("--github", "--app", "4712")["warnings"])


@pytest.mark.skipif(shutil.which("jq") is None, reason="there is no jq")
def test_what_is_typed_names_the_app_in_the_rules(init: Init) -> None:
    """The line that is told makes of the written rules those that would have been written with the App's number."""
    found = init("--github", "--approver", "grace")
    (line,) = (step for step in found["next"] if step.startswith("jq "))
    words = shlex.split(line.partition(" | gh api")[0].replace("APP_ID", "4711"))
    made = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    init("--github", "--app", "4711")
    assert json.loads(made) == json.loads(Path(words[-1]).read_text())


def _writers(rules: str) -> set[int]:
    found = next(one["parameters"] for one in json.loads(rules)["rules"] if one["type"] == "required_status_checks")
    return {one["integration_id"] for one in found["required_status_checks"]}


def test_teams_are_asked_for_reviews_and_the_app_may_read_them(init: Init) -> None:
    """A team that approves is named with its organisation in CODEOWNERS; only then the App asks for `members`."""
    init("--approver", "grace")
    assert "members" not in json.loads(json.dumps(manifest(HUB, _policy())))["default_permissions"]
    path = Path("policies/approvals.yaml")
    path.write_text(path.read_text().replace("grace", '"team:ml-leads"', 1))
    found = init("--github")
    assert "@acme/ml-leads" in next(line for line in _owners() if line.startswith("/models/ "))
    assert json.loads(Path(".github/modelops-app.json").read_text())["default_permissions"]["members"] == "read"
    assert any("members=read" in step for step in found["next"])


def test_the_owner_of_a_model_is_asked_for_it(init: Init) -> None:
    """An owner that GitHub can know is named beside who approves; a model that cannot be read has none."""
    init("--approver", "grace")
    ours = (Path(__file__).parents[2] / "models/fraud-detection/model.yaml").read_text()
    for name, text in (("fraud", ours.replace("payments-risk", "team:risk")), ("eu/churn", ours), ("broken", "a: [")):
        Path("models", name).mkdir(parents=True)
        Path("models", name, "model.yaml").write_text(text.replace("name: fraud-detection", f"name: {name}"))
    init("--github")
    found = _owners()
    assert [line for line in found if line.startswith(("/models/fraud", "/models/eu", "/models/broken"))] == [
        "/models/fraud/ @acme/risk @grace"
    ]
    assert found.index("/models/ @grace") < found.index("/models/fraud/ @acme/risk @grace")
    assert "environments" in found[-1]


@pytest.mark.parametrize(
    ("owner", "shown"),
    [
        ("@ada", "@ada"),
        ("@acme/risk", "@acme/risk"),
        ("risk@acme.example", "risk@acme.example"),
        ("payments risk", None),
        ("@acme/risk @eve", None),
        ("# nobody", None),
        ("@a\n* @eve", None),
        ("!x@acme.example", None),
    ],
)
def test_only_what_github_can_know_is_an_owner(owner: str, shown: str | None, init: Init) -> None:
    """A login, a team or a mail address is written as it is; a name of the house is left to people."""
    init("--approver", "grace")
    found = code_owners(_policy(), "acme", models={"churn": owner})
    assert [line for line in found.splitlines() if "churn" in line] == (
        [f"/models/churn/ {shown} @grace"] if shown else []
    )
    assert "@eve" not in found


def _owners() -> list[str]:
    return Path(".github/CODEOWNERS").read_text().splitlines()


def _policy() -> ApprovalPolicySpec:
    path = "policies/approvals.yaml"
    found: ApprovalPolicySpec = load_resource(Path(path).read_bytes(), path).spec
    return found


def test_a_project_that_was_set_up_before_keeps_what_it_has(init: Init) -> None:
    """What is missing is added; a file of somebody's own stays, and is named; another modelops replaces the old one."""
    init()
    git(Path.cwd(), "add", "-A")
    Path(".github/workflows").mkdir(parents=True)
    Path(".github/workflows/release.yml").write_text("name: mine\n")
    old = Path(".github/actions/modelops/modelops-0.0.1-py3-none-any.whl")
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    found = init("--github")
    assert Path(".github/workflows/release.yml").read_text() == "name: mine\n"
    assert any("release.yml" in warning for warning in found["warnings"])
    assert not old.exists()
    assert Path(".github/workflows/reconcile.yml").is_file()
    assert yaml.safe_load(Path("policies/project.yaml").read_text())["spec"]["forge"]["type"] == "github"


def test_an_enterprise_server_is_named_everywhere(init: Init, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API stands in the project, the host in every command; rules ask for no app's number of github.com."""
    remote("https://git.acme.example/team/models.git")
    assert refused(init) == "not-on-github"
    monkeypatch.setenv("GH_HOST", "git.acme.example")
    found = init("--github", "--approver", "grace")
    spec = yaml.safe_load(Path("policies/project.yaml").read_text())["spec"]
    assert spec["forge"]["params"]["apiUrl"] == "https://git.acme.example/api/v3"
    assert all("--hostname git.acme.example" in step for step in found["next"] if "gh api" in step)
    assert all(
        "git.acme.example/team/models" in step for step in found["next"] if step.startswith(("gh secret", "gh var"))
    )
    assert "integration_id" not in Path(".github/rulesets/modelops.json").read_text()


@pytest.mark.parametrize("address", ["https://gitlab.com/acme/models.git", "/srv/git/models.git", None])
def test_what_is_not_on_github_is_refused(init: Init, address: str | None) -> None:
    """Another forge, a folder, and no remote at all are told; nothing is written."""
    git(Path.cwd(), "remote", "remove", "origin")
    if address is not None:
        remote(address)
    assert refused(init) == "not-on-github"


def test_a_fork_is_refused(init: Init) -> None:
    """A clone that knows another repository of the same GitHub is of a fork; a mirror elsewhere is no such thing."""
    remote("https://gitlab.com/acme/models.git", "mirror")
    remote("https://github.com/other/models.git", "upstream")
    assert refused(init) == "github-fork"
    git(Path.cwd(), "remote", "remove", "upstream")
    assert init("--github")["files"]


def test_a_detached_head_is_refused_unless_the_remote_names_the_branch(init: Init) -> None:
    """Everybody's branch is the remote's own; without either nobody can say what is protected."""
    for key, value in (("name", "Ada"), ("email", "ada@example.com")):
        git(Path.cwd(), "config", f"user.{key}", value)
    git(Path.cwd(), "commit", "-q", "--allow-empty", "-m", "Begin")
    git(Path.cwd(), "branch", "-q", "-m", "topic-1")
    git(Path.cwd(), "checkout", "-q", "--detach")
    assert refused(init) == "detached-head"
    git(Path.cwd(), "update-ref", "refs/remotes/origin/trunk", "HEAD")
    git(Path.cwd(), "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    init("--github")
    assert yaml.safe_load(Path("policies/project.yaml").read_text())["spec"]["branch"] == "trunk"


def test_a_failure_leaves_nothing_behind(init: Init) -> None:
    """A file in the way of the workflows is named, and all that was written before is gone again."""
    Path(".github").mkdir()
    Path(".github/workflows").symlink_to(os.devnull)
    assert refused(init) in ("file-exists", "outside-repository", "cannot-write")
    assert not Path(".modelops/keys").exists()
