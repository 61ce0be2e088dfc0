"""The OpenSSF signature file, by our own verifier and by the real tool where it is installed."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelops.errors import ModelOpsError
from modelops.evidence import Signer, generate_key, model_bundle, verify_model_bundle
from modelops.evidence.envelope import pae
from modelops.spec.kinds.trust_policy import TrustedKey, TrustPolicySpec

CONTENT = {"model.skops": b"weights", "nested/signature.json": b"{}", "model.onnx": b"graph"}
FILES = {path: hashlib.sha256(data).hexdigest() for path, data in CONTENT.items()}
NAME = "fraud-detection-3"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    generate_key(tmp_path / "local.pem")
    return Signer.load(tmp_path / "local.pem")


@pytest.fixture
def trust(signer: Signer) -> TrustPolicySpec:
    return TrustPolicySpec(keys=(TrustedKey(name="local", public_key=signer.public_pem, signs=("release",)),))


def code(data: bytes | None, trust: TrustPolicySpec, **changes: Any) -> str:
    arguments: dict[str, Any] = {"name": NAME, "files": FILES, "path": "model.sigstore.json"} | changes
    with pytest.raises(ModelOpsError) as error:
        verify_model_bundle(data, trust, **arguments)
    return error.value.problems[0].code


def test_a_bundle_verifies_for_its_files(signer: Signer, trust: TrustPolicySpec) -> None:
    """The files, the name and the key fit: nothing is raised, whatever order the files come in."""
    data = model_bundle(NAME, FILES, signer)
    verify_model_bundle(data, trust, NAME, dict(reversed(FILES.items())), path="model.sigstore.json")
    bundle = json.loads(data)
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"]["publicKey"]["hint"] == hashlib.sha256(signer.public_pem.encode()).hexdigest()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other-3"},
        {"files": FILES | {"extra.txt": "0" * 64}},
        {"files": {"model.skops": FILES["model.skops"]}},
        {"files": FILES | {"model.skops": "0" * 64}},
        {"files": {path.replace("onnx", "renamed"): digest for path, digest in FILES.items()}},
    ],
    ids=["name", "extra", "fewer", "changed", "renamed"],
)
def test_other_files_or_another_name_are_refused(
    signer: Signer, trust: TrustPolicySpec, changes: dict[str, Any]
) -> None:
    """A file more, less, changed or renamed, or another release's name, does not pass."""
    assert code(model_bundle(NAME, FILES, signer), trust, **changes) == "subject-mismatch"


def test_ignored_paths_are_refused(signer: Signer, trust: TrustPolicySpec) -> None:
    """A signature that leaves files out, which the tool would honour, is not a signature of the release."""
    bundle = json.loads(model_bundle(NAME, FILES, signer))
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload["predicate"]["serialization"]["ignore_paths"] = ["backdoor.py"]
    raw = json.dumps(payload).encode()
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(raw).decode()
    signature = signer.sign_bytes(pae("application/vnd.in-toto+json", raw))
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    assert code(json.dumps(bundle).encode(), trust) == "subject-mismatch"


def test_what_is_no_bundle_is_refused(tmp_path: Path, signer: Signer, trust: TrustPolicySpec) -> None:
    """Missing, unreadable, foreign and untrusted bundles have codes of their own."""
    generate_key(tmp_path / "stranger.pem")
    stranger = Signer.load(tmp_path / "stranger.pem")
    assert code(None, trust) == "evidence-missing"
    assert code(b"{", trust) == "evidence-unparsed"
    assert code(b'{"mediaType":"other"}', trust) == "evidence-unparsed"
    assert code(model_bundle(NAME, FILES, stranger), trust) == "signature-untrusted"
    assert code(model_bundle(NAME, FILES, signer), trust, purpose="snapshot") == "signature-untrusted"


@pytest.mark.skipif(shutil.which("model_signing") is None, reason="the OpenSSF tool model_signing is not installed")
def test_the_openssf_tool_accepts_the_bundle_and_refuses_a_change(tmp_path: Path, signer: Signer) -> None:
    """model_signing verifies the files with our signature file, and refuses one changed byte."""
    folder = tmp_path / "model"
    for path, data in CONTENT.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (tmp_path / "model.sigstore.json").write_bytes(model_bundle(NAME, FILES, signer))
    (tmp_path / "key.pub").write_text(signer.public_pem)
    command = ["model_signing", "verify", "key", str(folder), "--public_key", str(tmp_path / "key.pub")]
    command += ["--signature", str(tmp_path / "model.sigstore.json")]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (folder / "model.onnx").write_bytes(b"Graph")
    assert subprocess.run(command, capture_output=True).returncode == 1
