"""The tutorial is run as it is written: every command, in order, in one shell, in an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
MARK = "--- end of command ---"


@dataclass
class Step:
    """A command with the output that the page shows, or a file to write."""

    line: int
    text: str
    shown: list[str] = field(default_factory=list)
    file: str | None = None


def steps() -> Iterator[Step]:
    """Yield the page's commands and files in order."""
    lines = TUTORIAL.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        fence = re.fullmatch(r"```(console|python title=(\S+))", lines[number])
        number += 1
        if fence is None:
            continue
        end = lines.index("```", number)
        block = lines[number:end]
        if fence[2]:
            yield Step(number, "\n".join(block) + "\n", file=fence[2])
        else:
            yield from _commands(block, number)
        number = end + 1


def _commands(block: list[str], first: int) -> Iterator[Step]:
    step: Step | None = None
    for offset, line in enumerate(block):
        if line.startswith("$ "):
            if step is not None:
                yield step
            step = Step(first + offset + 1, line[2:])
        elif step is not None and line.startswith("> "):
            step.text += "\n" + line[2:]
        elif step is not None:
            step.shown.append(line)
    if step is not None:
        yield step


def unmet(shown: list[str], output: str) -> str | None:
    """Return the first shown line that the output does not have, in order; dots stand for anything."""
    said = iter(output.splitlines())
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in line.split("..."))
        if line.strip() in ("", "..."):
            continue
        if not any(re.fullmatch(pattern, candidate.rstrip()) for candidate in said):
            return line
    return None


@dataclass
class Shell:
    """One bash that keeps its folder and variables from command to command."""

    process: subprocess.Popen[str]

    def run(self, text: str) -> tuple[int, str]:
        """Run a command and return its exit code and what it printed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        # `echo $?` of the page shows the code of the command before it, so the code is put back.
        self.process.stdin.write(
            f'(exit "${{CODE:-0}}"); {{ {text}\n}} </dev/null; CODE=$?; echo; echo "{MARK} $CODE"\n'
        )
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.startswith(MARK):
                return int(line.split()[-1]), "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell ended: {''.join(lines)}")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder, with modelops on its path and no settings of the user; its servers end with it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MODELOPS_"))}
    environment = kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    process = subprocess.Popen(
        ["bash", "--norc"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield Shell(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=30)
    for name in ("staging", "production"):
        words = ["modelops", "-C", str(tmp_path / "shop"), "reconcile", name, "--stop", "--yes"]
        subprocess.run(words, env=environment, capture_output=True, timeout=60)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="the tutorial needs bash and curl")
def test_a_reader_who_types_the_tutorial_gets_what_it_shows(shell: Shell, tmp_path: Path) -> None:
    """Every command ends with 0 unless the next one is `echo $?`, and prints the lines that the page shows."""
    told = list(steps())
    for step, following in zip(told, [*told[1:], None], strict=True):
        if step.file is not None:
            (tmp_path / "shop" / step.file).write_text(step.text, encoding="utf-8")
            continue
        code, output = shell.run(step.text)
        where = f"docs/tutorial.md:{step.line}: {step.text}\n{output}"
        expected = int(following.shown[0]) if following is not None and following.text == "echo $?" else 0
        if step.text != "echo $?":
            assert code == expected, f"exit code {code} instead of {expected}\n{where}"
        missing = unmet(step.shown, output)
        assert missing is None, f"not printed: {missing!r}\n{where}"


def test_the_tutorial_shows_every_part_of_the_way() -> None:
    """Nobody can drop a verb from the path of a new user without noticing."""
    typed = " ".join(step.text for step in steps() if step.file is None)
    used = set(re.findall(r"modelops ([a-z]+)", typed))
    assert used >= {
        "init", "validate", "plan", "build", "pr", "release", "reconcile", "promote", "status", "monitor", "rollback",
        "audit", "reproduce",
    }  # fmt: skip
