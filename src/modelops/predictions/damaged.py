"""Files of the log that cannot be read: how they are known, and how they are put aside."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

from modelops.predictions.segments import DAMAGED

_NOT_A_LOG = "it is a database, but no prediction log"
OVERWRITTEN = "it was overwritten"
MAGIC = b"SQLite format 3\0"
_OURS = {"routes", "answers", "inputs", "feedback"}


def is_damage(error: sqlite3.Error, file: Path) -> bool:
    """Tell whether an error is of a file that no waiting will make readable."""
    codes = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in codes or error.args in ((_NOT_A_LOG,), (OVERWRITTEN,)) or file.is_dir()


def begins(file: Path) -> bytes | None:
    """Return how a file begins, None where there is none."""
    try:
        with file.open("rb", buffering=0) as opened:
            return opened.read(len(MAGIC))
    except FileNotFoundError:
        return None


def set_aside(file: Path, reason: object) -> None:
    """Rename a file that is no log, with what SQLite keeps beside it, and say so; nothing of it is thrown away."""
    target, count = file.with_name(file.name + DAMAGED), 1
    while target.exists():
        count += 1
        target = file.with_name(f"{file.name}{DAMAGED}-{count}")
    file.rename(target)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            file.with_name(file.name + suffix).rename(target.with_name(target.name + suffix))
    said = f"the file {file.name} of the prediction log cannot be read ({reason}): it is now {target.name}"
    print(f"{said}, and what was in it is missing from the log", file=sys.stderr, flush=True)


def refuse_foreign(connection: sqlite3.Connection, file: Path) -> None:
    """Raise for a database that others made; a log of another version is refused by ``version_of``."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    empty = not tables and not connection.execute("PRAGMA user_version").fetchone()[0]
    if not empty and not tables >= _OURS:
        raise sqlite3.DatabaseError(_NOT_A_LOG)
