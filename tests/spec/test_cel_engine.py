"""The compiled engine of CEL is loaded once in a process, whoever asks for it first."""

from __future__ import annotations

import subprocess
import sys

import pytest

OURS = "from modelops.spec.rules import compile_error; assert compile_error('1 + 1') is None"
THEIRS = "import cel; assert cel.evaluate('1 + 1') == 2"


@pytest.mark.parametrize("words", [(OURS, THEIRS), (THEIRS, OURS)], ids=["ours first", "theirs first"])
def test_a_program_that_uses_the_engine_too_can_have_it(words: tuple[str, str]) -> None:
    """A second copy of the engine would end the process that loads it."""
    done = subprocess.run([sys.executable, "-c", "\n".join(words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
