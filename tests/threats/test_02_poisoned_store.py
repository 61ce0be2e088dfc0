"""Threat 2: whoever may write to the store or to a restored cache puts another build where an honest one was.

A store can slow a release down, for a build that no trusted key signed is trained again; it cannot say anything.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from git_world import git
from modelops.artifacts import BuildRecord
from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError
from modelops.evidence import Signer, generate_key
from modelops.project.workspace import trusted
from modelops.spec.load import load_resource
from modelops.training import find, recheck, reference
from modelops.training.building import expected_record
from modelops.training.rows import holdout_predictions
from modelops.training.stored import keep
from reconcile.loop_world import MODEL, begin
from threats.forged_builds import HOLDOUT, RECORD, SEAL, forged, part, perfect, poison, replace, rewrite, shifted
from training.building_blocks import Workshop

Built = tuple[Workshop, BuildRecord]


@pytest.fixture
def shop(built: Built, tmp_path: Path) -> Built:
    """Return an own copy of a store with one honest, signed build."""
    workshop, record = built
    shutil.copytree(workshop.root / ".modelops", tmp_path / ".modelops")
    return Workshop(tmp_path), record


def stranger(folder: Path) -> Signer:
    generate_key(folder / "stranger.pem")
    return Signer.load(folder / "stranger.pem")


def _perfect_and_unsigned(shop: Workshop, record: BuildRecord) -> None:
    poison(shop.store, record.inputs, forged(record, shop.store), None)


def _perfect_under_the_old_seal(shop: Workshop, record: BuildRecord) -> None:
    poison(shop.store, record.inputs, forged(record, shop.store), part(shop.store, record.inputs, SEAL))


def _perfect_signed_by_a_stranger(shop: Workshop, record: BuildRecord) -> None:
    made, false = shop.made(shop.request()).making, forged(record, shop.store)
    keep(shop.store, false, shop.store.get(false.holdout), made, stranger(shop.root))


def _other_holdout_only(shop: Workshop, record: BuildRecord) -> None:
    replace(shop.store, record.inputs, {HOLDOUT: perfect(shop.store.get(record.holdout), record)})


def _build_of_other_inputs(shop: Workshop, record: BuildRecord) -> None:
    """Another build of ours, honestly signed, under the name of this one."""
    false = record.model_copy(update={"inputs": "sha256:" + "a" * 64})
    keep(shop.store, false, shop.store.get(false.holdout), shop.made(shop.request()).making, shop.signer)
    other = shop.store.resolve(reference(false.inputs))
    assert other is not None
    shop.store.tag(reference(record.inputs), other)


def _no_seal(shop: Workshop, record: BuildRecord) -> None:
    replace(shop.store, record.inputs, {SEAL: None})


def _no_holdout(shop: Workshop, record: BuildRecord) -> None:
    replace(shop.store, record.inputs, {HOLDOUT: None})


def _an_extra_layer(shop: Workshop, record: BuildRecord) -> None:
    rewrite(shop.store, record.inputs, lambda manifest: manifest["layers"].append({**manifest["layers"][1]}))


def _an_unknown_layer(shop: Workshop, record: BuildRecord) -> None:
    extra = {"mediaType": "text/x-shellscript", "digest": "sha256:" + "b" * 64, "size": 1}
    rewrite(shop.store, record.inputs, lambda manifest: manifest["layers"].append(extra))


def _layers_that_are_none(shop: Workshop, record: BuildRecord) -> None:
    rewrite(shop.store, record.inputs, lambda manifest: manifest.update(layers=[None, 7]))


def _a_layer_outside(shop: Workshop, record: BuildRecord) -> None:
    def outside(manifest: dict[str, Any]) -> None:
        manifest["layers"][0]["digest"] = "sha256:../../../../etc/passwd"

    rewrite(shop.store, record.inputs, outside)


def _the_tag_of_an_artifact(shop: Workshop, record: BuildRecord) -> None:
    shop.store.tag(reference(record.inputs), record.artifact.digest)


def _a_truncated_record(shop: Workshop, record: BuildRecord) -> None:
    replace(shop.store, record.inputs, {RECORD: record.dump()[:-40]})


def _a_record_that_is_gone(shop: Workshop, record: BuildRecord) -> None:
    blobs = shop.root / ".modelops" / "store" / "blobs" / "sha256"
    (blobs / digest_bytes(record.dump()).removeprefix("sha256:")).unlink()


def _a_seal_that_says_something_else(shop: Workshop, record: BuildRecord) -> None:
    replace(shop.store, record.inputs, {SEAL: b"{}\n"})


POISONS: dict[str, tuple[Callable[[Workshop, BuildRecord], None], str]] = {
    "perfect numbers, unsigned": (_perfect_and_unsigned, "build-unsigned"),
    "perfect numbers under the honest seal": (_perfect_under_the_old_seal, "subject-mismatch"),
    "perfect numbers signed by a stranger": (_perfect_signed_by_a_stranger, "signature-untrusted"),
    "another holdout": (_other_holdout_only, "bad-build-record"),
    "a signed build of other inputs": (_build_of_other_inputs, "bad-build-record"),
    "no seal": (_no_seal, "build-unsigned"),
    "no holdout": (_no_holdout, "bad-build-record"),
    "a layer twice": (_an_extra_layer, "bad-build-record"),
    "a layer more": (_an_unknown_layer, "bad-build-record"),
    "layers that are none": (_layers_that_are_none, "bad-build-record"),
    "a layer outside of the store": (_a_layer_outside, "bad-digest"),
    "the tag of an artifact": (_the_tag_of_an_artifact, "bad-build-record"),
    "a truncated record": (_a_truncated_record, "subject-mismatch"),
    "a record that is gone": (_a_record_that_is_gone, "not-in-store"),
    "a seal that says something else": (_a_seal_that_says_something_else, "evidence-unparsed"),
}


@pytest.mark.parametrize("name", POISONS)
def test_a_poisoned_build_is_refused_by_name(shop: Built, name: str) -> None:
    """Whatever was changed, the build is not taken, and the reason has a code of its own."""
    workshop, record = shop
    assert find(workshop.store, record.inputs, workshop.trust) is not None
    attack, code = POISONS[name]
    attack(workshop, record)
    with pytest.raises(ModelOpsError) as refused:
        find(workshop.store, record.inputs, workshop.trust)
    assert refused.value.first.code == code


def test_a_poisoned_build_is_trained_again_and_replaced(shop: Built) -> None:
    """The build is honest again, the reason is told and kept in the ledger, and from then on the store is right."""
    workshop, record = shop
    _perfect_under_the_old_seal(workshop, record)
    again = workshop.made(workshop.request())
    assert again.record == record
    assert again.refused is not None
    assert again.refused.first.code == "subject-mismatch"
    assert workshop.made(workshop.request()).key == "local"


def _metrics(record: BuildRecord, name: str, **changes: float) -> dict[str, Any]:
    changed = (one.model_copy(update=changes) if one.name == name else one for one in record.metrics)
    return {"metrics": tuple(changed)}


LIES: dict[str, tuple[Callable[[BuildRecord], dict[str, Any]], str]] = {
    "a metric": (lambda record: _metrics(record, "roc-auc", value=0.95, upper=1.0), "metrics.roc-auc.value"),
    "a bound": (lambda record: _metrics(record, "log-loss", lower=0.0), "metrics.log-loss.lower"),
    "a metric less": (lambda record: {"metrics": record.metrics[1:]}, "the length of metrics"),
    "a count": (lambda record: {"rows_train": 181}, "rows_train"),
    "rows without a target": (lambda record: {"rows_without_target": 3}, "rows_without_target"),
    "the profile of the scores": (lambda record: {"score_profile": None}, "score_profile"),
    "the code": (lambda record: {"code_tree": "1" * 40}, "code_tree"),
    "the lock": (lambda record: {"environment_lock": "sha256:" + "1" * 64}, "environment_lock"),
    "the data": (lambda record: {"data_root": "sha256:" + "1" * 64}, "data_root"),
    "the spec": (lambda record: {"spec": "sha256:" + "1" * 64}, "spec"),
    "the parameters": (lambda record: {"parameters": {"trees": 500}}, "parameters.trees"),
    "the seed": (lambda record: {"seeds": {"split": 9, "training": 9}}, "seeds.split"),
    "the positive class": (lambda record: {"positive": "no"}, "positive"),
    "a file of the artifact": (
        lambda record: {"artifact": record.artifact.model_copy(update={"files": record.artifact.files[1:]})},
        "the length of artifact.files",
    ),
    "the size of the artifact": (
        lambda record: {"artifact": record.artifact.model_copy(update={"size": 1})},
        "artifact.size",
    ),
    "what serves": (
        lambda record: {"artifact": record.artifact.model_copy(update={"engine": "sklearn"})},
        "artifact.engine",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_number_that_is_not_what_is_computed_again_is_named(built: Built, name: str) -> None:
    """Even a record that a trusted key had signed is asked for its proof before a release: each number says itself."""
    workshop, record = built
    recheck(workshop.request(), record, workshop.divided(), workshop.store)
    change, said = LIES[name]
    false = record.model_copy(update=change(record))
    with pytest.raises(ModelOpsError) as refused:
        recheck(workshop.request(), false, workshop.divided(), workshop.store)
    assert any(one.code == "build-contradicted" and said in one.message for one in refused.value.problems)


def test_predictions_that_the_artifact_does_not_give_are_named(built: Built) -> None:
    """Perfect scores are, and scores that are moved by less than machines differ, so that ties are well ordered.

    In a record that says of those what is true of them the ranks are not those that the artifact gives.
    """
    workshop, record = built
    honest = workshop.store.get(record.holdout)
    for data, said in (
        (perfect(honest, record), "the predictions of the test rows"),
        (shifted(honest, record, 1e-3), "the predictions of the test rows"),
        (shifted(honest, record, 5e-7), r"metrics\.roc-auc\.value"),
    ):
        _, predictions = holdout_predictions(data, record.task, record.classes)
        request, parts = workshop.request(), workshop.divided()
        holdout = workshop.store.put(data)
        false = expected_record(request, record.inputs, parts, record.artifact, predictions, holdout)
        with pytest.raises(ModelOpsError, match=said):
            recheck(workshop.request(), false, workshop.divided(), workshop.store)


def test_targets_of_the_holdout_are_those_of_the_snapshot(built: Built) -> None:
    """A model that answers the opposite is perfect on labels that were turned round."""
    workshop, record = built
    other = workshop.divided()
    turned = other.target.values.copy()
    turned[:] = 1 - turned
    object.__setattr__(other.target, "values", turned)
    with pytest.raises(ModelOpsError, match="the target of the test rows"):
        recheck(workshop.request(), record, other, workshop.store)


def test_a_release_never_signs_what_the_store_says(tmp_path: Path) -> None:
    """The forged record of perfect numbers is told and trained again; what is signed are honest numbers."""
    world = begin(tmp_path / "world")
    git(world.root, "pull", "-q", "--ff-only")
    world.ok("build", MODEL)
    workspace = world.workspace()
    workspace.desired()
    (name,) = (one for one in workspace.store.references() if one.startswith("build-"))
    inputs = "sha256:" + name.removeprefix("build-")
    honest = find(workspace.store, inputs, trusted(workspace, workspace.tip()))
    assert honest is not None
    poison(workspace.store, inputs, forged(honest.record, workspace.store), None)
    done = world.ok("release", "--yes")
    assert "what the store had was not taken" in done.out
    path = f"models/{MODEL}/releases/1/release.yaml"
    release = load_resource(world.show(path).encode(), path).spec
    assert release.metrics == honest.record.metrics
    assert release.artifact == honest.record.artifact
    assert json.loads(world.ok("audit", "release", MODEL, "1", "-o", "json").out)
