"""What a long benchmark has done already: a line of JSON for each run, so that it can be stopped and go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import modelops

SOURCES = Path(modelops.__file__).parent
HERE = Path(__file__).parent


def code_of(*places: str, beside: tuple[str, ...] = ()) -> str:
    """Return a digest of parts of modelops and of files beside this one: runs of another code are not counted."""
    files = [file for place in places for file in sorted((SOURCES / place).rglob("*.py"))]
    found = hashlib.sha256()
    for file in (*files, *(HERE / name for name in beside)):
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


class Ledger:
    """Runs by the key of each; without a file they are kept in memory only."""

    def __init__(self, file: Path | None, code: str) -> None:
        self.file, self.code = file, code
        self.runs: dict[str, dict[str, Any]] = {}
        if file is None or not file.exists():
            return
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                run = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was ended while it wrote
            if run["code"] == code:
                self.runs[run["key"]] = run

    def add(self, key: str, **values: Any) -> None:
        """Write a run down at once."""
        self.runs[key] = {"key": key, "code": self.code, **values}
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.runs[key]) + "\n")

    def of(self, start: str) -> Iterator[dict[str, Any]]:
        """Yield the runs whose keys begin so."""
        yield from (run for key, run in self.runs.items() if key.startswith(start))
