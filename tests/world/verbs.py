"""Verbs run in this process as their command line does, and what they ended with."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelops.cli import main


@dataclass(frozen=True)
class Answer:
    """What a verb ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """Everything that it said."""
        return self.out + self.err


def run(root: Path, environ: Mapping[str, str], *words: str) -> Answer:
    """Run a verb in a folder and an environment of its own."""
    out, err = io.StringIO(), io.StringIO()
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    code: object = 0
    try:
        with contextlib.chdir(root), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(words)
    except SystemExit as end:
        code = end.code
    finally:
        os.environ.clear()
        os.environ.update(before)
    return Answer(int(code or 0) if isinstance(code, int | None) else 70, out.getvalue(), err.getvalue())
