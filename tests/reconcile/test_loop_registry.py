"""The whole loop with its artifacts in a registry: the machine keeps none, and another clone has them all."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from git_world import git, identify
from modelops.artifacts import open_artifact
from modelops.stores import open_at
from reconcile.loop_world import ADA, MODEL, START, World
from registry_world import PASSWORD, USER, delete_manifest, locked_registry, needs_registry, registry

Live = Callable[[str], World]
REPOSITORY = "team/models"
pytestmark = needs_registry


def keep_in(world: World, host: str, *more: str) -> None:
    """Let the project of a world keep its artifacts in a registry."""
    params = ", ".join([f'registry: "{host}"', f"repository: {REPOSITORY}", *more])
    project = world.show("policies/project.yaml").replace(
        "spec: {", f"spec: {{store: {{type: oci-registry, params: {{{params}}}}}, "
    )
    world.approved({"policies/project.yaml": project}, "Keep artifacts in a registry")
    git(world.root, "pull", "-q", "--ff-only")


def another_machine(world: World, folder: Path) -> World:
    """Return a clone with this one's key and nothing else of it."""
    other = World(folder)
    folder.mkdir()
    other.at(START)
    git(folder, "clone", "-q", str(world.remote), "checkout")
    identify(other.root, ADA)
    shutil.copytree(world.root / ".modelops" / "keys", other.root / ".modelops" / "keys")
    return other


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registry(tmp_path / "registry") as found:
        yield found


def test_a_release_lives_in_the_registry(live: Live, host: str, tmp_path: Path) -> None:
    """Released, served, audited, reproduced; served by a second clone; rebuilt and tagged when the registry lost it."""
    world = live("merged")
    keep_in(world, host)
    world.ok("release", "--yes")
    world.reconcile("staging")
    assert [status for status, _ in world.ask(3, "staging")] == [200] * 3
    assert not (world.root / ".modelops" / "store").exists()
    assert world.ok("audit", "release", MODEL, "1", "-o", "json").json["artifact"].startswith("sha256:")
    assert world.ok("reproduce", MODEL, "1", "-o", "json").json["identical"] is True
    store = world.workspace().store
    digest = store.resolve(f"{MODEL}-1")
    assert digest is not None
    assert digest in world.show(f"models/{MODEL}/releases/1/release.yaml")
    if shutil.which("skopeo"):
        words = ["skopeo", "inspect", "--tls-verify=false", f"docker://{host}/{REPOSITORY}:{MODEL}-1"]
        assert json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["Digest"] == digest
        card = world.show(f"models/{MODEL}/releases/1/MODEL_CARD.md")
        (line,) = [line for line in card.splitlines() if line.startswith("# skopeo copy")]
        command = line.removeprefix("# ").split(",")[0].replace("REGISTRY/REPOSITORY", f"{host}/{REPOSITORY}")
        words = [*command.split(), "--src-tls-verify=false", "--insecure-policy"]
        subprocess.run(words, capture_output=True, check=True, cwd=tmp_path)
        assert open_artifact(open_at("oci-layout:layout", tmp_path, {}), digest).digest == digest
    world.stop()

    other = another_machine(world, tmp_path / "other")
    try:
        done = other.reconcile("staging")["done"]
        assert not any("restored" in line for line in done)
        assert [status for status, _ in other.ask(3, "staging")] == [200] * 3
        other.stop()
        delete_manifest(host, REPOSITORY, digest)
        assert not other.workspace().store.has(digest)
        done = other.reconcile("staging")["done"]
        assert any(line.startswith(f"restored {MODEL} release 1") for line in done)
        assert other.workspace().store.resolve(f"{MODEL}-1") == digest
        assert not (other.root / ".modelops" / "store").exists()
        # As if whoever released it had been killed before the tag: the next `release` makes up for it.
        manifest = other.workspace().store.get(digest)
        delete_manifest(host, REPOSITORY, digest)  # its tags go with it
        other.workspace().store.put(manifest)
        assert other.workspace().store.resolve(f"{MODEL}-1") is None
        assert "nothing to do" in other.ok("release", "--yes").out
        assert other.workspace().store.resolve(f"{MODEL}-1") == digest
    finally:
        other.stop()


class Keyed(World):
    """A world whose processes have credentials in their environment."""

    password = PASSWORD

    def environ(self) -> dict[str, str]:
        return super().environ() | {"PULL_USER": USER, "PULL_PASSWORD": self.password}


@pytest.mark.slow
def test_a_locked_registry_that_goes_away(live: Live, tmp_path: Path) -> None:
    """The local server has the named credentials, no file and no message has them; what runs outlives the registry."""
    world = Keyed(live("merged").folder)
    with locked_registry(tmp_path / "locked") as host:
        keep_in(world, host, "usernameVariable: PULL_USER", "passwordVariable: PULL_PASSWORD")
        said = world.ok("release", "--yes").err
        world.reconcile("staging")
        assert [status for status, _ in world.ask(3, "staging")] == [200] * 3
        world.password = "mistaken-horse"
        refused = world.run("release", "--yes")
        assert "PULL_USER and PULL_PASSWORD" in refused.err
        world.password = PASSWORD
    before = world.pid("staging")
    assert world.reconcile("staging")["done"] == []
    assert world.pid("staging") == before
    assert [status for status, _ in world.ask(3, "staging")] == [200] * 3
    world.stop()
    assert all("horse" not in text for text in (said, refused.out, refused.err))
    assert not any(PASSWORD.encode() in path.read_bytes() for path in world.folder.rglob("*") if path.is_file())
