"""The names that manifests have in every store: tags of a registry that are reference names of an image layout too."""

from __future__ import annotations

import hashlib
import re

from modelops.errors import Exit, failure

__all__ = ["LONGEST", "check_reference", "release_tag"]

LONGEST = 128
"""Characters of a registry's tag."""

# The grammar of tags, [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}, cut down to that of org.opencontainers.image.ref.name.
_REFERENCE = re.compile(r"[A-Za-z0-9]+(?:(?:[-._]|--)[A-Za-z0-9]+)*")
_START = 40


def check_reference(reference: str) -> str:
    """Return a name that every store can give a manifest, or raise ``bad-reference``."""
    if len(reference) > LONGEST or not _REFERENCE.fullmatch(reference):
        raise failure(
            "bad-reference",
            f"{reference!r} is not a tag that registries and image layouts both take",
            exit=Exit.USAGE,
            hint=f"letters and digits, joined by one of . _ - or by --; at most {LONGEST} characters",
        )
    return reference


def release_tag(model: str, number: int) -> str:
    """Return the tag of a release: ``payments/fraud-detection`` 3 has the tag ``payments.fraud-detection-3``.

    No two releases have the same tag. A model's name has no dot and no underscore, so a dot can only be its slash; a
    name that is too long, or has three hyphens in a row, is spelt by its start, an underscore and its SHA-256.
    """
    readable = f"{model.replace('/', '.')}-{number}"
    if len(readable) <= LONGEST and _REFERENCE.fullmatch(readable):
        return readable
    start = re.sub(r"[^a-z0-9]+", "-", model[:_START]).rstrip("-")
    return f"{start}_{hashlib.sha256(model.encode()).hexdigest()}-{number}"
