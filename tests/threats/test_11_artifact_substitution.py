"""Threat 11: other bytes are put where the approved artifact was, or another artifact under its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from git_world import git
from modelops.artifacts import BuildRecord, open_artifact, put_artifact
from modelops.artifacts.package import Stored
from modelops.errors import ModelOpsError
from modelops.spec.load import load_resource
from modelops.training import find, recheck
from modelops.training.stored import keep
from training.building_blocks import TRAIN, Workshop
from world.conftest import Put

Built = tuple[Workshop, BuildRecord]


@pytest.fixture
def shop(built: Built, tmp_path: Path) -> Built:
    """Return an own copy of a store with one honest, signed build."""
    workshop, record = built
    shutil.copytree(workshop.root / ".modelops", tmp_path / ".modelops")
    return Workshop(tmp_path), record


def with_artifact(record: BuildRecord, stored: Stored) -> BuildRecord:
    changes = {"digest": stored.digest, "size": stored.size, "files": stored.files}
    return record.model_copy(update={"artifact": record.artifact.model_copy(update=changes)})


@pytest.mark.parametrize("kind", ["manifest", "layer"])
def test_a_flipped_byte_of_an_artifact_is_found_before_it_counts(shop: Built, kind: str) -> None:
    """A byte of the manifest or of the layer: the build is not taken, and the artifact is not opened."""
    workshop, record = shop
    blobs = workshop.root / ".modelops" / "store" / "blobs" / "sha256"
    manifest = blobs / record.artifact.digest.removeprefix("sha256:")
    victim = manifest if kind == "manifest" else max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    with pytest.raises(ModelOpsError, match="digest-mismatch"):
        find(workshop.store, record.inputs, workshop.trust)
    with pytest.raises(ModelOpsError, match="digest-mismatch"):
        open_artifact(workshop.store, record.artifact.digest)


def test_the_artifact_of_another_model_is_named(shop: Built) -> None:
    """An artifact that is whole and good, and made for another model: its own signature says so."""
    workshop, record = shop
    files = dict(open_artifact(workshop.store, record.artifact.digest).files)
    signature = files["models/signature.json"]
    files["models/signature.json"] = signature.replace(b'"model":"churn"', b'"model":"fraud"')
    assert files["models/signature.json"] != signature
    other = with_artifact(record, put_artifact(workshop.store, files))
    with pytest.raises(ModelOpsError, match="the artifact's model is fraud"):
        recheck(workshop.request(), other, workshop.divided(), workshop.store)


def test_an_artifact_with_another_threshold_is_named(shop: Built) -> None:
    """The same estimator that says yes to everybody: its scores are right, its labels are not those of the spec."""
    workshop, record = shop
    files = dict(open_artifact(workshop.store, record.artifact.digest).files)
    files["models/signature.json"] = files["models/signature.json"].replace(b'"threshold":0.5', b'"threshold":0.01')
    files["models/smoke.json"] = files["models/smoke.json"].replace(b'"no"', b'"yes"')
    other = with_artifact(record, put_artifact(workshop.store, files))
    with pytest.raises(ModelOpsError, match=r"the artifact's threshold is 0\.01"):
        recheck(workshop.request(), other, workshop.divided(), workshop.store)


@pytest.mark.slow
def test_an_artifact_of_other_code_is_not_taken_for_this_one(shop: Built) -> None:
    """A build of other code under the right name, whose scores and metrics are all true of itself.

    No recomputation can see that. It is not taken because nobody trusted says that it was made from these inputs.
    """
    workshop, record = shop
    other = workshop.made(workshop.request(TRAIN.replace("random_state=seed", "random_state=seed, max_depth=1")))
    assert other.record.artifact.digest != record.artifact.digest
    false = record.model_copy(
        update={name: getattr(other.record, name) for name in ("artifact", "metrics", "score_profile", "holdout")}
    )
    recheck(workshop.request(), false, workshop.divided(), workshop.store)
    keep(workshop.store, false, workshop.store.get(false.holdout), other.making, None)
    again = workshop.made(workshop.request())
    assert again.record == record
    assert again.refused is not None
    assert again.refused.first.code == "build-unsigned"


def test_an_environment_is_not_given_the_artifact_of_another_release(put: Put) -> None:
    """The manifest of release 1 lies where that of release 2 was, which is stable: it is named, not served."""
    world = put(on_trial=False)
    paths = [f"models/churn/releases/{number}/release.yaml" for number in (1, 2)]
    first, second = (
        load_resource(git(world.root, "show", f"main:{path}").encode() + b"\n", path).spec.artifact.digest
        for path in paths
    )
    blobs = world.root / ".modelops" / "store" / "blobs" / "sha256"
    victim = blobs / second.removeprefix("sha256:")
    victim.chmod(0o644)
    victim.write_bytes((blobs / first.removeprefix("sha256:")).read_bytes())
    ended = world.run("plan", "production")
    assert "digest-mismatch" in ended.out + ended.err
