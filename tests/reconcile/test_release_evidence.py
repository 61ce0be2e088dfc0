"""What a release says about its own making, where other tools find it, and what it is not signed without."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess

import pytest

from git_world import git
from modelops.changes.building import making_of_release
from modelops.project.workspace import model_entry
from reconcile.conftest import Live
from reconcile.loop_world import MODEL


def test_a_release_says_who_built_it_when_and_on_what(live: Live) -> None:
    """The SLSA provenance holds builder, times, Python and packages, and the audit answers with them."""
    world = live("released")
    workspace = world.workspace()
    tip, graph = workspace.desired()
    making = making_of_release(workspace, graph, tip, model_entry(graph, MODEL).releases[1])
    assert making is not None
    assert making.started <= making.finished
    assert set(making.code) == {"train.py"}
    said = json.loads(world.ok("audit", "release", MODEL, "1", "-o", "json").out)
    assert said["made"]["environment"]["python"]["version"] == platform.python_version()
    assert "packages, the lock pins 0" in world.ok("audit", "release", MODEL, "1").out


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_skopeo_finds_releases_by_their_tag(live: Live) -> None:
    """The released image is in the layout's index under the model's name and number."""
    world = live("released")
    place = f"oci:{world.root}/.modelops/store:{MODEL}-1"
    done = subprocess.run(["skopeo", "inspect", place], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["Layers"]) == 1


def test_a_plan_names_the_inputs_that_differ(live: Live) -> None:
    """A changed parameter and changed code are told by name, beside the release that had others."""
    world = live("released")
    world.change_model([("C: 1.0", "C: 0.9"), ("import", "import  ")], "other")
    git(world.root, "pull", "-q", "--ff-only")
    done = world.run("plan")
    assert "its inputs differ from those of release 1: the spec, the code (train.py)" in done.out


@pytest.mark.slow
def test_a_build_with_other_packages_than_the_lock_is_not_signed(live: Live) -> None:
    """The lock pins another numpy than is installed: it is named with both versions, and nothing is released."""
    world = live("released")
    world.merge(world.propose({"requirements.lock": "numpy==1.0.0\n"}, "lock", "Pin numpy").number)
    done = world.run("release", "--yes")
    assert done.code == 1, done.out + done.err
    assert "[lock-differs]" in done.err
    assert "requirements.lock pins 1.0.0" in done.err
    assert "releases/2/" not in world.workspace().repository.paths(world.tip())
