"""`modelops render --export`: what git says, for other tools, held together by the same check as rendered targets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from modelops.reconcile.exporting import view_of
from modelops.reconcile.render import deployable_of
from reconcile.loop_world import MODEL, World

Live = Callable[[str], World]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-an-export.md"
TARGETS = 'targets=["localhost:8080"]'


def test_an_export_is_written_checked_and_tidied(live: Live, tmp_path: Path) -> None:
    """Files are written once; a change by hand, a missing and a left-over file are told of; parameters are checked."""
    world = live("released")
    words = ("render", "staging", "--export", "prometheus", "--to", str(tmp_path / "out"), "--param", TARGETS)
    written = world.ok(*words).out.splitlines()
    assert {Path(path).name for path in written} == {"scrape-staging.yaml", "rules-staging.yaml"}
    assert world.ok(*words).out == ""
    assert world.run(*words, "--check").code == 0
    (tmp_path / "out" / "rules-staging.yaml").write_text("groups: []\n")
    assert world.run(*words, "--check").code == 1
    world.ok(*words)
    rules = yaml.safe_load((tmp_path / "out" / "rules-staging.yaml").read_text())
    assert f"modelops-staging/{MODEL}" in {group["name"] for group in rules["groups"]}
    world.ok("render", "staging", "--export", "grafana", "--to", str(tmp_path / "out"))
    assert not (tmp_path / "out" / "rules-staging.yaml").exists()
    for wrong, said in (
        (("--export", "prometeus"), "not one of the exports"),
        (("--export", "prometheus"), "targets"),
        (("--export", "prometheus", "--target", "docker"), "exclude each other"),
        (("--export", "prometheus", "--param", TARGETS, "--param", "intervall=1s"), "intervall"),
    ):
        done = world.run("render", "staging", "--to", str(tmp_path / "other"), *wrong)
        assert (done.code, said in done.err) == (2, True), done.err
    assert not (tmp_path / "other").exists()
    assert world.run("render", "stagging", "--export", "grafana", "--to", str(tmp_path / "other")).code == 2


def test_a_view_holds_what_git_names_and_nothing_else(live: Live) -> None:
    """Models without a release in an environment are left out of its view; neither store nor runtime is read."""
    world = live("released")
    for path in (world.root / ".modelops" / "store", world.root / ".modelops" / "runtime"):
        path.rename(path.with_name(f"{path.name}-away"))
    workspace = world.workspace()
    _, graph = workspace.desired()
    (model,) = view_of(graph, "staging").models
    assert (model.name, dict(model.arms)) == (MODEL, {"stable": 1})
    assert model.owner == graph.models[MODEL].model.spec.owner
    assert view_of(graph, "production").models == ()


def test_the_export_of_the_how_to_page(live: Live, tmp_path: Path) -> None:
    """The page's module, installed by an entry point as the page says, writes and checks its file."""
    world = live("released")
    text = PAGE.read_text(encoding="utf-8")
    (code, *_), (toml,) = (re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S) for kind in ("python", "toml"))
    group, entry = re.findall(r'entry-points\."(.*?)"\]\n(.*)\n', toml)[0]
    site = tmp_path / "site"
    (site / "team_exports").mkdir(parents=True)
    (site / "team_exports" / "__init__.py").write_text("")
    (site / "team_exports" / "owners.py").write_text(code)
    metadata = site / "team_exports-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: team-exports\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    for command in re.findall(r"^\$ modelops (.*)$", text, re.M):
        words = command.replace("production", "staging").split()
        done = subprocess.run(
            [sys.executable, "-m", "modelops", *words],
            cwd=world.root,
            env=world.environ() | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    page = (world.root / "deploy" / "owners" / "owners-staging.md").read_text()
    assert page.startswith("# Owners\n\n| Model | Owner | Risk | Release |")
    assert f"| {MODEL} |" in page


def test_tools_that_deploy_are_told_of_what_may_run_and_of_nothing_else(live: Live, tmp_path: Path) -> None:
    """Of what is only rendered a trial has every arm and its first step; what cannot be is told with its line."""
    world = live("second")
    path = "policies/environments/production.yaml"
    image = f"registry.example/modelops@sha256:{'a' * 64}"
    target = f"target: {{type: kubernetes, params: {{image: '{image}', storeClaim: artifacts, logStorage: 1Gi}}}}"
    world.approved({path: re.sub(r"target: .*", target, world.show(path)) + "\n"})
    world.promote()
    workspace = world.workspace()
    shares = {
        trials: {
            arm.name: arm.weight
            for arm in deployable_of(workspace, "production", trials=trials).table.models[MODEL].arms
        }
        for trials in (False, True)
    }
    assert shares == {False: {"stable": 1.0}, True: {"stable": 0.7, "candidate": 0.3}}
    gateway = (
        "render",
        "production",
        "--export",
        "gateway-api",
        "--to",
        str(tmp_path / "out"),
        "--param",
        "gateway=public",
    )
    world.ok(*gateway)
    (route,) = (yaml.safe_load(each.read_text()) for each in (tmp_path / "out").rglob("httproute.yaml"))
    assert [rule["backendRefs"][0]["weight"] for rule in route["spec"]["rules"]] == [1]
    backends = json.dumps({MODEL: {"1": "one:80", "2": "two:80"}})
    done = world.run(*gateway, "--param", "arms=apart", "--param", f"backends={backends}")
    assert (done.code, f"models/{MODEL}/rollout.yaml:7:11: " in done.err) == (3, True), done.err
    assert "keeps each customer with one arm" in done.err
    done = world.run(
        "render", "production", "--export", "kserve", "--to", str(tmp_path / "k"), "--param", f"image={image}"
    )
    assert (done.code, "log: acknowledged" in done.err) == (2, True), done.err
    assert not (tmp_path / "k").exists()
