"""Threat 19: two files of one SHA-1. Git's ids name the code; its SHA-256, file by file, is what is signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from git_world import World, commit, git
from modelops.artifacts import BuildRecord
from modelops.audit import making as audit_making
from modelops.errors import ModelOpsError
from modelops.evidence import PROVENANCE, Making, Statement, making_of, release_provenance, verify_lines
from modelops.spec.kinds.release import CodeReference, DataReference, ReleaseSpec, VerdictRecord
from modelops.training import differing_inputs, find, inputs_digest, record_digest
from threats.forged_builds import SEAL, part
from training.building_blocks import TRAIN, Workshop

Built = tuple[Workshop, BuildRecord]


def of_release(record: BuildRecord, commit: str = "0" * 40, model: str = "churn") -> ReleaseSpec:
    verdict = VerdictRecord(policy="p", gate="g", type="metric", verdict="pass", blocking=True, reason="ok")
    return ReleaseSpec(
        model=model,
        version=1,
        inputs=record.inputs,
        spec=record.spec,
        environment_lock=record.environment_lock,
        code=CodeReference(commit=commit, tree=record.code_tree),
        data=DataReference(snapshot=record.snapshot, root=record.data_root, rows=240),
        artifact=record.artifact,
        build=record_digest(record),
        seeds=record.seeds,
        metrics=record.metrics,
        verdicts=(verdict,),
    )


def sealed(workshop: Workshop, record: BuildRecord) -> tuple[Making, Statement]:
    """Return how a build was made, as its builder signed it."""
    (said,) = verify_lines(part(workshop.store, record.inputs, SEAL), workshop.trust, "release")
    making = making_of(said.predicate)
    assert making is not None
    return making, said


def test_code_with_the_same_git_tree_and_other_bytes_is_told_apart(built: Built) -> None:
    """What a collision would be: the tree's id is equal, the bytes are not. It is another input, and named."""
    workshop, record = built
    collided = workshop.request(TRAIN + "# the same id\n")
    assert collided.code_tree == record.code_tree
    assert inputs_digest(collided) != record.inputs
    making, _ = sealed(workshop, record)
    assert differing_inputs(of_release(record), making, collided) == ("the code (train.py)",)
    assert differing_inputs(of_release(record), making, workshop.request()) == ()
    assert find(workshop.store, inputs_digest(collided), workshop.trust) is None


def test_the_seal_binds_every_code_file_by_sha256(built: Built) -> None:
    """Beside git's ids, in the statement that the builder signs and in the one of the release."""
    workshop, record = built
    making, said = sealed(workshop, record)
    assert set(making.code) == {"train.py"}
    release = release_provenance(of_release(record), "main", making)
    for predicate in (said.predicate, release):
        code = predicate["buildDefinition"]["internalParameters"]["code"]
        assert {len(digest) for digest in code.values()} == {64}


def test_an_audit_reads_the_code_again(built: Built, tmp_path: Path) -> None:
    """A file at the commit that is not the one that was signed is named; a commit that is not here says nothing."""
    workshop, record = built
    making, _ = sealed(workshop, record)
    clone = World(tmp_path).clone("ada")
    honest = commit(clone.root, {"models/churn/train.py": TRAIN})
    other = commit(clone.root, {"models/churn/train.py": TRAIN + "# the same id\n"})
    git(clone.root, "push", "-q", "origin", "HEAD:main")

    def found(at: str) -> Any:
        spec = of_release(record, at)
        statement = Statement(PROVENANCE, (), release_provenance(spec, "main", making), "local", "", None)  # type: ignore[arg-type]
        return audit_making.changed_code(spec, clone, (statement,))

    assert found(honest) is None
    assert (found(other).code, found(other).location.path) == ("code-changed", "models/churn/train.py")
    assert found("1" * 40) is None


def test_a_digest_that_is_none_binds_nothing(built: Built) -> None:
    """A release whose evidence names code by anything but SHA-256 is refused."""
    from modelops.evidence.claims import _check_code

    workshop, record = built
    _, said = sealed(workshop, record)
    predicate = {**said.predicate}
    predicate["buildDefinition"] = {
        **predicate["buildDefinition"],
        "internalParameters": {"code": {"train.py": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}},
    }
    with pytest.raises(ModelOpsError, match="evidence-mismatch"):
        _check_code(Statement(PROVENANCE, (), predicate, said.key, said.keyid, said.where))
