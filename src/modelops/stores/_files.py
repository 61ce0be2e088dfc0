"""Files that appear whole or not at all, for every store that writes some."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from modelops import files
from modelops.errors import Exit, Location, ModelOpsError, failure

__all__ = ["copy", "destination_unwritable", "file_unreadable", "writing"]

_CHUNK = 1 << 20


def destination_unwritable(error: OSError) -> ModelOpsError:
    """Return the error for a file that a store was to write elsewhere."""
    return failure(
        "file-unwritable",
        f"{error.filename or 'the file'} cannot be written: {error.strerror}",
        exit=Exit.WORLD,
        retryable=True,
    )


def copy(source: BinaryIO, target: BinaryIO) -> str:
    """Copy a stream and return the digest of what was copied."""
    hasher = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        hasher.update(chunk)
        target.write(chunk)
    return "sha256:" + hasher.hexdigest()


@contextmanager
def writing(
    beside: Path, refusal: Callable[[OSError], ModelOpsError]
) -> Iterator[tuple[BinaryIO, Callable[[Path], None]]]:
    """Yield a temporary file in the folder of ``beside`` and the function that makes it a durable file in one step."""
    try:
        with files.replacing(beside.parent, "incoming") as writing:
            yield writing
    except OSError as error:
        raise refusal(error) from None


def file_unreadable(path: Path, error: OSError) -> ModelOpsError:
    """Return the error for a file that is to be put into a store."""
    return failure("file-unreadable", f"{path} cannot be read: {error.strerror}", location=Location(str(path)))
