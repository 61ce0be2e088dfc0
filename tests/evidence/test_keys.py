"""Keys: where they come from, who may read them, and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from modelops.errors import ModelOpsError
from modelops.evidence import Signer, generate_key
from modelops.evidence.keys import read_public_key

# Computed by securesystemslib 1.6 (SSlibKey.from_crypto) for this key.
KNOWN_PEM = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkZcpPBzHGUeWXOaK24J5cTQiaUIM
UQTwJTba/VwWvZW3pg5oQgBl4sZfp7Eki9jI7sY5K/NRAg8iLvNp1v1qrg==
-----END PUBLIC KEY-----
"""
KNOWN_ID = "22eb10f10d5aea30fe58ddab2e4be6df00f48a54d1cdad9b38f14e2bfdf751da"


def pem(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, password: bytes = b""
) -> bytes:
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


def test_a_new_key_is_private_and_loads(tmp_path: Path) -> None:
    """Only the owner can read a new key; its public part is that of the signer that loads it."""
    path = tmp_path / ".modelops" / "keys" / "local.pem"
    public = generate_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    signer = Signer.load(path)
    assert signer.public_pem == public
    assert signer.keyid == read_public_key(public)[1]
    assert path.read_text() not in repr(signer)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """Generating over a key is refused and leaves the key."""
    path = tmp_path / "local.pem"
    generate_key(path)
    before = path.read_bytes()
    with pytest.raises(ModelOpsError) as error:
        generate_key(path)
    assert error.value.problems[0].code == "key-exists"
    assert path.read_bytes() == before


def test_the_variable_goes_before_the_file(tmp_path: Path) -> None:
    """The PEM text of a variable is used even when a file is there; an empty variable is no variable."""
    path, other = tmp_path / "local.pem", tmp_path / "other.pem"
    public, other_public = generate_key(path), generate_key(other)
    assert Signer.load(path, other.read_text()).public_pem == other_public
    assert Signer.load(path, "").public_pem == public


def test_the_key_id_is_that_of_securesystemslib() -> None:
    """The id is the one that securesystemslib computes, so that its verifier finds the key."""
    assert read_public_key(KNOWN_PEM)[1] == KNOWN_ID


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Permissions beyond the owner are refused with the command that repairs them."""
    path = tmp_path / "local.pem"
    generate_key(path)
    path.chmod(mode)
    with pytest.raises(ModelOpsError, match="chmod 600") as error:
        Signer.load(path)
    assert error.value.problems[0].code == "key-permissions"


def test_a_missing_key_says_how_to_get_one(tmp_path: Path) -> None:
    """Without a key there is no signature, and the hint says what to do."""
    with pytest.raises(ModelOpsError, match="modelops init") as error:
        Signer.load(tmp_path / "absent.pem")
    assert error.value.problems[0].code == "key-missing"


def test_a_folder_that_cannot_hold_a_key_is_named(tmp_path: Path) -> None:
    """A key cannot be written below a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelOpsError) as error:
        generate_key(tmp_path / "file" / "local.pem")
    assert error.value.problems[0].code == "key-unwritable"
    assert error.value.exit == 4


@pytest.mark.parametrize(
    "text",
    [
        b"not a key",
        pem(rsa.generate_private_key(65537, 2048)),
        pem(ed25519.Ed25519PrivateKey.generate()),
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ec.generate_private_key(ec.SECP256R1()), b"password"),
    ],
    ids=["garbage", "rsa", "ed25519", "p384", "encrypted"],
)
def test_only_unencrypted_p256_keys_are_accepted(tmp_path: Path, text: bytes) -> None:
    """Other keys are refused, and no part of the text enters the error."""
    path = tmp_path / "local.pem"
    path.write_bytes(text)
    path.chmod(0o600)
    for load in (lambda: Signer.load(path), lambda: Signer.load(tmp_path / "absent", text.decode())):
        with pytest.raises(ModelOpsError) as error:
            load()
        assert error.value.problems[0].code == "key-unsupported"
        assert not any(line in str(error.value) for line in text.decode().splitlines())


@pytest.mark.parametrize("text", ["", "garbage", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_public_key_that_is_none_is_refused(text: str) -> None:
    """A public key must be PEM of a P-256 key."""
    with pytest.raises(ModelOpsError) as error:
        read_public_key(text)
    assert error.value.problems[0].code == "key-unsupported"
