"""Threat 14: evidence that is genuine, and of other data, other code, another release or another build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelops.artifacts import BuildRecord
from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError
from modelops.evidence import Signer, check_release, verify_model_bundle
from modelops.spec.load import load_resource
from modelops.stores.oci_layout import OciLayout
from modelops.training import find, inputs_digest
from modelops.training.stored import keep
from releases.release_facts import METRICS, MODEL, build, make_signer, release, trust_in
from threats.forged_builds import SEAL, part, replace
from training.building_blocks import TRAIN, Workshop, changed, people, snapshot

Files = dict[str, bytes]
Built = tuple[Workshop, BuildRecord]


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_signer(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> OciLayout:
    return OciLayout(tmp_path / "store")


def place(number: int, name: str) -> str:
    return f"models/{MODEL}/releases/{number}/{name}"


def refusal(files: Files, number: int, evidence: bytes, signer: Signer) -> str:
    """Return the code with which a release is refused that has this evidence beside it."""
    path = place(number, "release.yaml")
    with pytest.raises(ModelOpsError) as error:
        check_release(load_resource(files[path], path), evidence, trust_in(signer))
    return error.value.first.code


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 2},
        {"seed": 1, "code_tree": "8" * 40},
        {"seed": 1, "environment_lock": digest_bytes(b"other")},
        {"seed": 1, "parameters": {"depth": 4}},
        {"seed": 1, "metrics": METRICS[:1]},
    ],
    ids=["artifact", "code", "lock", "parameters", "metrics"],
)
def test_evidence_of_another_release_proves_nothing(store: OciLayout, signer: Signer, changes: dict[str, Any]) -> None:
    """However little the other release differs, its evidence is not about the bytes of this one's file."""
    first = release(1, build(store), signer)
    second = release(2, build(store, **changes), signer)
    check_release(
        load_resource(first[place(1, "release.yaml")], place(1, "release.yaml")),
        first[place(1, "evidence.intoto.jsonl")],
        trust_in(signer),
    )
    assert refusal(first, 1, second[place(2, "evidence.intoto.jsonl")], signer) == "subject-mismatch"


def test_a_release_that_was_copied_to_another_number_proves_nothing(store: OciLayout, signer: Signer) -> None:
    """The whole folder, genuine in each file, under a number that it does not speak of."""
    files = release(1, build(store), signer)
    moved = {path.replace("/releases/1/", "/releases/4/"): data for path, data in files.items()}
    assert refusal(moved, 4, moved[place(4, "evidence.intoto.jsonl")], signer) == "name-mismatch"


def test_the_signature_of_another_release_covers_no_file_of_this_one(store: OciLayout, signer: Signer) -> None:
    """The OpenSSF signature over the files of one artifact, beside another."""
    ours, theirs = (release(number, build(store, number), signer) for number in (1, 2))
    listed = {
        file.path.removeprefix("models/"): file.sha256
        for file in load_resource(ours[place(1, "release.yaml")], place(1, "release.yaml")).spec.artifact.files
    }
    path = place(1, "model.sigstore.json")
    verify_model_bundle(ours[path], trust_in(signer), f"{MODEL}-1", listed, path=path)
    with pytest.raises(ModelOpsError, match="subject-mismatch"):
        verify_model_bundle(theirs[place(2, "model.sigstore.json")], trust_in(signer), f"{MODEL}-1", listed, path=path)


def test_what_a_builder_signed_of_other_data_is_not_of_this_build(built: Built) -> None:
    """A genuine seal of a build of other rows, put on this one, and the other way round."""
    workshop, record = built
    other = changed(workshop.request(), snapshot=snapshot(people(seed=5)))
    second = record.model_copy(update={"inputs": inputs_digest(other), "data_root": other.snapshot.spec.root})
    honest = find(workshop.store, record.inputs, workshop.trust)
    assert honest is not None
    keep(workshop.store, second, workshop.store.get(record.holdout), honest.making, workshop.signer)
    seals = {one.inputs: part(workshop.store, one.inputs, SEAL) for one in (record, second)}
    try:
        for one, wrong in ((record, second), (second, record)):
            replace(workshop.store, one.inputs, {SEAL: seals[wrong.inputs]})
            with pytest.raises(ModelOpsError, match="subject-mismatch"):
                find(workshop.store, one.inputs, workshop.trust)
    finally:
        for inputs, seal in seals.items():
            replace(workshop.store, inputs, {SEAL: seal})


def test_the_evidence_of_a_release_is_no_seal_of_a_build(built: Built, signer: Signer) -> None:
    """It is public, signed by the right key and about the very artifact, but not about the build's record."""
    workshop, record = built
    honest = part(workshop.store, record.inputs, SEAL)
    files = release(1, build(OciLayout(workshop.root / "other")), workshop.signer)
    line = files[place(1, "evidence.intoto.jsonl")].splitlines(keepends=True)[0]
    replace(workshop.store, record.inputs, {SEAL: line})
    try:
        with pytest.raises(ModelOpsError, match="subject-mismatch"):
            find(workshop.store, record.inputs, workshop.trust)
    finally:
        replace(workshop.store, record.inputs, {SEAL: honest})


def test_code_of_other_bytes_has_other_inputs(tmp_path: Path) -> None:
    """The same spec and data with one other byte of code is another build, whatever git calls the tree."""
    shop = Workshop(tmp_path)
    one, other = shop.request(), shop.request(TRAIN + "\n")
    assert one.code_tree == other.code_tree
    assert inputs_digest(one) != inputs_digest(other)
