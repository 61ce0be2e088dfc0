"""The files of a release: deterministic, complete, and refused when anything in them was changed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelops.artifacts import BuildRecord, open_artifact
from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError
from modelops.evidence import Signer, check_release, gate_details, gate_evidence, sign, statement, verify_model_bundle
from modelops.spec.load import load_resource
from modelops.stores.oci_layout import OciLayout
from releases.release_facts import (
    COMMIT,
    METRICS,
    MODEL,
    VERDICTS,
    build,
    flip,
    make_signer,
    release,
    snapshot_resource,
    trust_in,
    verdict,
)

FOLDER = f"models/{MODEL}/releases/1"
RELEASE = f"{FOLDER}/release.yaml"
EVIDENCE = f"{FOLDER}/evidence.intoto.jsonl"
SIGNATURE = f"{FOLDER}/model.sigstore.json"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_signer(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> OciLayout:
    return OciLayout(tmp_path / "store")


@pytest.fixture
def record(store: OciLayout) -> BuildRecord:
    return build(store)


@pytest.fixture
def files(record: BuildRecord, signer: Signer) -> dict[str, bytes]:
    return release(1, record, signer)


def verify(files: dict[str, bytes], trust: Any, evidence: bytes | None = None) -> Any:
    return check_release(load_resource(files[RELEASE], RELEASE), evidence or files.get(EVIDENCE), trust)


def refusal(files: dict[str, bytes], trust: Any, evidence: bytes | None = None) -> str:
    with pytest.raises(ModelOpsError) as error:
        verify(files, trust, evidence)
    assert error.value.exit in (3, 4)
    return error.value.problems[0].code


def payloads(evidence: bytes) -> list[dict[str, Any]]:
    return [json.loads(base64.b64decode(json.loads(line)["payload"])) for line in evidence.splitlines()]


def test_a_release_verifies(files: dict[str, bytes], signer: Signer) -> None:
    """What was just made is believed, and the statements say who signed."""
    statements = verify(files, trust_in(signer))
    assert [one.predicate_type.split("/")[-2] for one in statements] == [
        "provenance",
        "test-result",
        "test-result",
        "gate-evidence",
        "approval",
    ]
    assert {one.key for one in statements} == {"local"}


def test_equal_builds_give_equal_files(record: BuildRecord, files: dict[str, bytes], signer: Signer) -> None:
    """Two machines write the same release.yaml, card and statements; only signatures differ."""
    again = release(1, record, signer)
    for path in (RELEASE, f"{FOLDER}/MODEL_CARD.md"):
        assert again[path] == files[path]
    assert payloads(again[EVIDENCE]) == payloads(files[EVIDENCE])


def test_the_release_records_what_it_was_made_of(files: dict[str, bytes], record: BuildRecord) -> None:
    """release.yaml holds version, digests of everything, seeds, metrics and verdicts."""
    spec = load_resource(files[RELEASE], RELEASE).spec
    assert (spec.version, spec.code.commit, spec.code.tree) == (1, COMMIT, record.code_tree)
    assert (spec.data.root, spec.data.rows, spec.build) == (record.data_root, 1000, digest_bytes(record.dump()))
    assert (spec.metrics, spec.verdicts, spec.seeds) == (METRICS, VERDICTS, record.seeds)


def test_the_evidence_is_about_the_artifact_and_the_file(files: dict[str, bytes], record: BuildRecord) -> None:
    """Every statement has the artifact, the bytes of release.yaml and those of the model card as subjects."""
    card = files[RELEASE.replace("release.yaml", "MODEL_CARD.md")]
    digests = (record.artifact.digest, digest_bytes(files[RELEASE]), digest_bytes(card))
    wanted = {digest.removeprefix("sha256:") for digest in digests}
    for payload in payloads(files[EVIDENCE]):
        assert {subject["digest"]["sha256"] for subject in payload["subject"]} == wanted


def test_provenance_and_test_results_have_the_field_s_form(files: dict[str, bytes]) -> None:
    """SLSA provenance names request and inputs; each gate policy has one test result."""
    made, *results, _, approved = payloads(files[EVIDENCE])
    definition = made["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"model": MODEL, "path": f"models/{MODEL}/model.yaml", "ref": "main"}
    assert {one["name"]: next(iter(one["digest"])) for one in definition["resolvedDependencies"]} == {
        "code": "gitCommit",
        "code-tree": "gitTree",
        "data": "sha256",
        "environment-lock": "sha256",
        "spec": "sha256",
    }
    found = {one["predicate"]["configuration"][0]["name"]: one["predicate"]["result"] for one in results}
    assert found == {"quality": "PASSED", "speed": "WARNED"}
    assert approved["predicate"]["approvals"][0]["login"] == "ben"


def test_a_failed_gate_is_a_failed_test_result(record: BuildRecord, signer: Signer) -> None:
    """A blocking verdict is recorded as FAILED, by its gate's name."""
    evidence = release(1, record, signer, verdicts=(*VERDICTS, verdict("champion", "fail")))[EVIDENCE]
    quality = payloads(evidence)[1]["predicate"]
    assert (quality["result"], quality["failedTests"]) == ("FAILED", ["champion"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"verdicts": ()}, "nothing-measured"),
        ({"snapshot": snapshot_resource(root=digest_bytes(b"other"))}, "inputs-mismatch"),
    ],
    ids=["no-verdict", "other-data"],
)
def test_a_release_needs_verdicts_and_its_own_snapshot(
    record: BuildRecord, signer: Signer, changes: dict[str, Any], code: str
) -> None:
    """A build that nothing judged, or a snapshot it was not made from, gives no release."""
    with pytest.raises(ModelOpsError) as error:
        release(1, record, signer, **changes)
    assert error.value.problems[0].code == code


def test_a_release_needs_metrics(store: OciLayout, signer: Signer) -> None:
    """A build without metrics gives no release."""
    with pytest.raises(ModelOpsError, match="no metric") as error:
        release(1, build(store, metrics=()), signer)
    assert error.value.problems[0].code == "nothing-measured"


def test_an_untrusted_key_or_another_purpose_is_refused(
    tmp_path: Path, files: dict[str, bytes], signer: Signer
) -> None:
    """Only keys that the trust policy names for releases count."""
    assert refusal(files, trust_in(make_signer(tmp_path, "stranger"))) == "signature-untrusted"
    assert refusal(files, trust_in(signer, "promotion", "rollout")) == "signature-untrusted"


def test_missing_evidence_is_refused(files: dict[str, bytes], signer: Signer) -> None:
    """No evidence is no release."""
    del files[EVIDENCE]
    assert refusal(files, trust_in(signer)) == "evidence-missing"


@pytest.mark.parametrize("kept", [(1, 2, 3, 4), (0, 3, 4), (0, 1, 2, 4)], ids=["provenance", "tests", "gates"])
def test_each_kind_of_statement_is_required(files: dict[str, bytes], signer: Signer, kept: tuple[int, ...]) -> None:
    """Evidence that lacks provenance, test results or gate numbers is refused."""
    lines = files[EVIDENCE].splitlines(keepends=True)
    evidence = b"".join(lines[at] for at in kept)
    assert refusal(files, trust_in(signer), evidence) == "predicate-missing"


def test_a_policy_without_its_test_result_is_refused(files: dict[str, bytes], signer: Signer) -> None:
    """Each gate policy needs its own result, and none may be there twice."""
    lines = files[EVIDENCE].splitlines(keepends=True)
    for kept in ((0, 1, 3), (0, 1, 1, 3), (0, 1, 2, 2, 3), (0, 0, 1, 2, 3)):
        evidence = b"".join(lines[at] for at in kept)
        assert refusal(files, trust_in(signer), evidence) == "evidence-mismatch"


def test_evidence_of_another_release_is_refused(signer: Signer, store: OciLayout, files: dict[str, bytes]) -> None:
    """Genuine evidence of one release does not count for another."""
    other = release(1, build(store, seed=2), signer)
    assert refusal(files, trust_in(signer), other[EVIDENCE]) == "subject-mismatch"


def test_one_changed_byte_of_the_release_is_refused(files: dict[str, bytes], signer: Signer) -> None:
    """A better number in release.yaml no longer fits the evidence; so does a changed comment."""
    for old, new in ((b"0.88 is above", b"0.89 is above"), (b"value: 0.7,", b"value: 0.9,"), (b"# yaml", b"# Yaml")):
        assert old in files[RELEASE]
        changed = files | {RELEASE: files[RELEASE].replace(old, new, 1)}
        assert refusal(changed, trust_in(signer)) == "subject-mismatch"


def test_one_changed_byte_of_the_evidence_is_refused(files: dict[str, bytes], signer: Signer) -> None:
    """Any changed byte of the evidence file is refused."""
    trust = trust_in(signer)
    data = files[EVIDENCE]
    for position in range(0, len(data), 97):
        assert refusal(files, trust, flip(data, position)) in {
            "evidence-unparsed",
            "signature-invalid",
            "signature-untrusted",
        }


def test_numbers_that_differ_from_the_file_are_refused(
    files: dict[str, bytes], signer: Signer, record: BuildRecord
) -> None:
    """A genuinely signed statement about the right subjects must also say the same as release.yaml."""
    subjects = {"artifact": record.artifact.digest, RELEASE: digest_bytes(files[RELEASE])}
    better = gate_evidence((verdict("recall", value=0.99), *VERDICTS[1:]), METRICS, champion=None, details={})
    lines = files[EVIDENCE].splitlines(keepends=True)
    lines[3] = sign(statement("https://modelops.dev/attestations/gate-evidence/v1", subjects, better), signer)
    assert refusal(files, trust_in(signer), b"".join(lines)) == "evidence-mismatch"


@pytest.mark.parametrize("key", ["externalParameters", "resolvedDependencies", "internalParameters", "buildType"])
def test_provenance_that_differs_from_the_file_is_refused(files: dict[str, bytes], signer: Signer, key: str) -> None:
    """Provenance with another request, input or build type, even well signed, is refused."""
    lines = files[EVIDENCE].splitlines(keepends=True)
    made = payloads(files[EVIDENCE])[0]
    value = made["predicate"]["buildDefinition"][key]
    changed = value | {"extra": "x"} if isinstance(value, dict) else value[:-1]
    made["predicate"]["buildDefinition"][key] = changed
    lines[0] = sign(made, signer)
    assert refusal(files, trust_in(signer), b"".join(lines)) == "evidence-mismatch"


def test_the_openssf_signature_covers_the_files_of_the_artifact(
    files: dict[str, bytes], signer: Signer, record: BuildRecord
) -> None:
    """model.sigstore.json signs the artifact's files under the release's name."""
    listed = {file.path.removeprefix("models/"): file.sha256 for file in record.artifact.files}
    path = f"{FOLDER}/model.sigstore.json"
    verify_model_bundle(files[path], trust_in(signer), f"{MODEL}-1", listed, path=path)


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("model_signing", "jq", "tar")),
    reason="the commands of the model card need the tools model_signing, jq and tar",
)
def test_the_commands_of_the_card_verify_the_artifact(
    tmp_path: Path, files: dict[str, bytes], signer: Signer, store: OciLayout
) -> None:
    """What the card says to type works with the OpenSSF tool on a checkout."""
    store.folder.rename(tmp_path / "moved")
    (tmp_path / ".modelops").mkdir()
    (tmp_path / "moved").rename(tmp_path / ".modelops" / "store")
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "trusted.pem").write_text(signer.public_pem)
    card = files[f"{FOLDER}/MODEL_CARD.md"].decode()
    commands = card.split("```sh\n")[-1].split("```")[0].replace("verify key models ", "verify key out/models ")
    script = commands.replace("tar -xf", "mkdir out\ntar -C out -xf")
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True, capture_output=True)


def test_the_artifact_opens_from_the_release(files: dict[str, bytes], store: OciLayout) -> None:
    """The digest in release.yaml leads to the files."""
    spec = load_resource(files[RELEASE], RELEASE).spec
    assert set(open_artifact(store, spec.artifact.digest).files) == {file.path for file in spec.artifact.files}


DETAILS = {
    "quality/parity": {"groups": [{"group": "f", "n": 120, "selectionRate": 0.21}, {"group": "m", "n": 130}]},
    "speed/latency": {"p99Ms": 4.125, "samples": 500},
}


def test_what_gates_measured_is_signed_and_read_back(record: BuildRecord, signer: Signer) -> None:
    """The numbers behind the verdicts are in the signed evidence, the same bytes each time, and not in release.yaml."""
    files = release(1, record, signer, details=DETAILS)
    again = release(1, record, signer, details=dict(reversed(DETAILS.items())))
    assert payloads(files[EVIDENCE]) == payloads(again[EVIDENCE])
    assert {**files, EVIDENCE: b"", SIGNATURE: b""} == {**again, EVIDENCE: b"", SIGNATURE: b""}
    assert files[RELEASE] == release(1, record, signer)[RELEASE]
    assert gate_details(verify(files, trust_in(signer))) == DETAILS
    assert b"selectionRate" not in files[RELEASE]


def test_one_changed_number_behind_a_verdict_is_refused(record: BuildRecord, signer: Signer) -> None:
    """A rate of a group cannot be changed after the release was signed."""
    files = release(1, record, signer, details=DETAILS)
    lines = files[EVIDENCE].splitlines(keepends=True)
    envelope = json.loads(lines[3])
    payload = base64.b64decode(envelope["payload"]).replace(b"0.21", b"0.11")
    lines[3] = json.dumps(envelope | {"payload": base64.b64encode(payload).decode()}).encode() + b"\n"
    assert refusal(files, trust_in(signer), b"".join(lines)) == "signature-invalid"


@pytest.mark.parametrize("details", [{"quality/other": {"n": 1}}, {"quality/parity": [1]}, [1], "x"])
def test_details_of_a_gate_that_did_not_judge_are_refused(record: BuildRecord, signer: Signer, details: Any) -> None:
    """Details belong to verdicts of the file, each a mapping, however well they are signed."""
    files = release(1, record, signer, details=DETAILS)
    lines = files[EVIDENCE].splitlines(keepends=True)
    numbers = payloads(files[EVIDENCE])[3]
    numbers["predicate"]["details"] = details
    lines[3] = sign(numbers, signer)
    assert refusal(files, trust_in(signer), b"".join(lines)) == "evidence-mismatch"


def test_evidence_from_before_details_were_recorded_counts(files: dict[str, bytes], signer: Signer) -> None:
    """A release of version 0.1.0 says nothing about what is behind its verdicts, and is believed all the same."""
    lines = files[EVIDENCE].splitlines(keepends=True)
    numbers = payloads(files[EVIDENCE])[3]
    del numbers["predicate"]["details"]
    lines[3] = sign(numbers, signer)
    assert gate_details(verify(files, trust_in(signer), b"".join(lines))) == {}
