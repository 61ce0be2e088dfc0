"""Files of a runtime directory: replaced whole or not at all, with one error for a disk that refuses."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from modelops.errors import Exit, ModelOpsError, failure


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file's content so that a reader sees the old or the new one, also after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> ModelOpsError:
    """Return the error for a file of the runtime directory that could not be written."""
    return failure(
        "runtime-unwritable",
        f"cannot write {path}: {error.strerror}",
        exit=Exit.WORLD,
        retryable=True,
        hint="free disk space or repair the permissions; the next pass goes on from here",
    )
