"""Where a proposed snapshot may get its bytes from: the base of the change says it, not the change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from git_world import git
from modelops.spec.yaml.edit import append
from reconcile.loop_world import MODEL, World

MODEL_FILE = f"models/{MODEL}/model.yaml"


def test_a_change_cannot_allow_itself_to_read_the_machine(live: Callable[[str], World], tmp_path: Path) -> None:
    """Its build goes by the list of its base and reads nothing; once merged, the list counts."""
    world = live("merged")
    (world.root / "data").rename(tmp_path / "elsewhere")
    snapshot = world.show(f"models/{MODEL}/data/initial.yaml")
    moved = snapshot.replace("name: initial", "name: moved").replace(
        "location: data", f"location: {tmp_path}/elsewhere"
    )
    model = world.show(MODEL_FILE).replace("snapshot: initial", "snapshot: moved")
    files = {f"models/{MODEL}/data/moved.yaml": moved, MODEL_FILE: model + "\n"}
    policy = world.show("policies/project.yaml").encode()
    project = append(policy, "spec.dataLocations", f"{tmp_path}/").decode()
    pull = world.propose({**files, "policies/project.yaml": project + "\n"}, "elsewhere")
    git(world.root, "checkout", "-q", "--detach", pull.head)
    world.ok("validate")
    done = world.run("build", "--since", "origin/main")
    assert (done.code, "[data-location]" in done.err) == (3, True), done.err
    assert f"moved.yaml:{1 + moved.splitlines().index(f'    location: {tmp_path}/elsewhere')}:15" in done.err
    world.merge(pull.number)
    git(world.root, "fetch", "-q")
    git(world.root, "checkout", "-q", "--detach", "origin/main")
    world.ok("build", MODEL)
