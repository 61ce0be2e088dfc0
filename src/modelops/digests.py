"""Digests as modelops writes them: the algorithm, a colon, and the hexadecimal SHA-256."""

from __future__ import annotations

import hashlib
from io import BufferedReader, BytesIO

__all__ = ["digest_bytes", "digest_file"]

_PREFIX = "sha256:"


def digest_bytes(data: bytes) -> str:
    """Return ``sha256:<hex>`` of some bytes."""
    return _PREFIX + hashlib.sha256(data).hexdigest()


def digest_file(file: BufferedReader | BytesIO) -> str:
    """Return ``sha256:<hex>`` of what is left to read of an open file."""
    return _PREFIX + hashlib.file_digest(file, "sha256").hexdigest()
