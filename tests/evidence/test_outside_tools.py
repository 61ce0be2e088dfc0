"""What programs that know nothing of modelops say of its signatures."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelops.evidence import Signer, generate_key, model_bundle, sign, statement
from modelops.evidence.envelope import pae
from modelops.evidence.statements import TRUST_CHANGE
from modelops.spec.layout import TRUST

DIGEST = "sha256:" + "5" * 64


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    generate_key(tmp_path / "local.pem")
    return Signer.load(tmp_path / "local.pem")


def envelopes(signer: Signer) -> list[dict[str, Any]]:
    """Return the envelope of a change of the trust policy, and of a snapshot's signature."""
    change = sign(statement(TRUST_CHANGE, {TRUST.path(): DIGEST}, {"previous": DIGEST, "number": 2}), signer)
    snapshot = model_bundle("churn-initial", {"customers.csv": "6" * 64}, signer, {"snapshot": DIGEST})
    return [json.loads(change), json.loads(snapshot)["dsseEnvelope"]]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_every_envelope_and_refuses_another_payload(tmp_path: Path, signer: Signer) -> None:
    """The signature is plain ECDSA over the bytes that DSSE says, so that no tool of ours is needed."""
    (tmp_path / "key.pub").write_text(signer.public_pem)
    for found in envelopes(signer):
        payload = base64.b64decode(found["payload"])
        (tmp_path / "sig").write_bytes(base64.b64decode(found["signatures"][0]["sig"]))
        command = ["openssl", "dgst", "-sha256", "-verify", "key.pub", "-signature", "sig", "signed"]
        (tmp_path / "signed").write_bytes(pae(found["payloadType"], payload))
        assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0
        (tmp_path / "signed").write_bytes(pae(found["payloadType"], payload.replace(b"5", b"4")))
        assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 1


def test_securesystemslib_verifies_every_envelope(signer: Signer) -> None:
    """The reference implementation of DSSE finds the key by the id that we wrote, and its signature good."""
    dsse = pytest.importorskip("securesystemslib.dsse")
    signers = pytest.importorskip("securesystemslib.signer")
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = signers.SSlibKey.from_crypto(load_pem_public_key(signer.public_pem.encode()))
    assert key.keyid == signer.keyid
    for found in envelopes(signer):
        assert set(dsse.Envelope.from_dict(found).verify([key], 1)) == {signer.keyid}


@pytest.mark.skipif(shutil.which("model_signing") is None, reason="the OpenSSF tool model_signing is not installed")
def test_the_openssf_tool_verifies_the_data_of_a_snapshot(tmp_path: Path, signer: Signer) -> None:
    """The signature beside a snapshot is one over its files that the tool accepts, and one changed row is refused."""
    import hashlib

    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "customers.csv").write_bytes(b"a,b\n1,2\n")
    files = {"customers.csv": hashlib.sha256(b"a,b\n1,2\n").hexdigest()}
    (tmp_path / "initial.sigstore.json").write_bytes(model_bundle("churn-initial", files, signer, {"snapshot": DIGEST}))
    (tmp_path / "key.pub").write_text(signer.public_pem)
    command = ["model_signing", "verify", "key", str(folder), "--public_key", str(tmp_path / "key.pub")]
    command += ["--signature", str(tmp_path / "initial.sigstore.json")]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (folder / "customers.csv").write_bytes(b"a,b\n1,3\n")
    assert subprocess.run(command, capture_output=True).returncode == 1
