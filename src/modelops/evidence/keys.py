"""Signing keys: ECDSA over P-256 with SHA-256, the one method that every verifier we meet understands."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from modelops.errors import Exit, Location, ModelOpsError, failure

_METHOD = ec.ECDSA(hashes.SHA256())


def _public_pem(key: ec.EllipticCurvePublicKey) -> str:
    encoded = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode("ascii")


def _key_id(pem: str) -> str:
    canonical = f'{{"keytype":"ecdsa","keyval":{{"public":"{pem}"}},"scheme":"ecdsa-sha2-nistp256"}}'
    return hashlib.sha256(canonical.encode()).hexdigest()


@lru_cache(maxsize=64)
def read_public_key(pem: str) -> tuple[ec.EllipticCurvePublicKey, str]:
    """Return the P-256 key of a PEM text and its key id; anything else is ``key-unsupported``."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise failure("key-unsupported", "the public key is not a PEM SubjectPublicKeyInfo") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise failure("key-unsupported", "the public key is not an ECDSA key over P-256")
    return key, _key_id(_public_pem(key))


def signature_holds(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> bool:
    """Return whether a DER signature over data was made with the private part of a key."""
    try:
        key.verify(signature, data, _METHOD)
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True)
class Signer:
    """A private key that signs; its text never appears in a representation or an error."""

    public_pem: str
    keyid: str
    _private: ec.EllipticCurvePrivateKey = field(repr=False)
    clock_given: bool = False
    """Whether the environment says what time it is; what is signed then is marked."""

    @classmethod
    def load(cls, key_file: Path, value: str | None = None) -> Signer:
        """Return the signer for the PEM text of a variable, or if that is empty for a key file only its owner can read.

        Errors: ``key-missing``, ``key-permissions``, ``key-unsupported``.
        """
        if value:
            return cls._from_pem(value.encode(), "the signing variable")
        return cls._from_pem(_read_private(key_file), str(key_file))

    @classmethod
    def _from_pem(cls, pem: bytes, origin: str) -> Signer:
        hint = "write one with `modelops init`, or give an unencrypted PKCS#8 PEM of an ECDSA P-256 key"
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise failure("key-unsupported", f"{origin} holds no private key that can be read", hint=hint) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise failure("key-unsupported", f"{origin} is not an ECDSA key over P-256", hint=hint)
        public = _public_pem(key.public_key())
        return cls(public, _key_id(public), key)

    def sign_bytes(self, data: bytes) -> bytes:
        """Return the DER signature over bytes."""
        return self._private.sign(data, _METHOD)


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise failure(
                    "key-permissions",
                    f"other users of this machine can read the private key {path}",
                    location=Location(str(path)),
                    hint=f"chmod 600 {path}, and replace the key if others use this machine",
                )
            return file.read()
    except OSError as error:
        raise _missing(path, error) from None


def _missing(path: Path, error: OSError) -> ModelOpsError:
    return failure(
        "key-missing",
        f"the private key {path} cannot be read: {error.strerror}",
        location=Location(str(path)),
        hint="set the variable named in policies/project.yaml under spec.signing, or run `modelops init` for a new key",
    )


def _unwritable(path: Path, error: OSError) -> ModelOpsError:
    return failure("key-unwritable", f"{path} cannot be written: {error.strerror}", exit=Exit.WORLD)


def generate_key(path: Path) -> str:
    """Write a new private key that only its owner can read, and return the public PEM; a key is never overwritten."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(private)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise failure("key-exists", f"{path} already holds a key", exit=Exit.NO, location=Location(str(path))) from None
    except OSError as error:
        raise _unwritable(path, error) from None
    return _public_pem(key.public_key())
