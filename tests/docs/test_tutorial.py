"""The first hour is told once and can be typed: the tutorial, the README, what `init` prints, the README it writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from git_world import git, nobodys_configuration
from modelops.cli import cli
from waiting import PATIENCE

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
README = TUTORIAL.parents[1] / "README.md"
MARK = "--- end of command ---"


@dataclass
class Step:
    """A command with the output that the page shows, or a file to write."""

    line: int
    text: str
    shown: list[str] = field(default_factory=list)
    file: str | None = None


def steps(page: Path = TUTORIAL) -> Iterator[Step]:
    """Yield a page's commands and files in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
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
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MODELOPS_", "RUNNER_"))}
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
        process.wait(timeout=PATIENCE)
    for name in ("staging", "production"):
        words = ["modelops", "-C", str(tmp_path / "shop"), "reconcile", name, "--stop", "--yes"]
        subprocess.run(words, env=environment, capture_output=True, timeout=PATIENCE)


@pytest.mark.slow
@pytest.mark.story
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


def prepared(folder: Path) -> Path:
    """Return a clone of an empty bare repository with the tutorial's customers in it."""
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(folder, "clone", "--quiet", "origin.git", "shop")
    git(folder / "shop", "config", "user.name", "Ada Lovelace")
    git(folder / "shop", "config", "user.email", "ada@example.com")
    (folder / "shop" / "data").mkdir()
    program = next(step.text for step in steps() if step.file == "customers.py")
    words = [sys.executable, "-c", program, "data/customers.csv", "1", "2000", "0"]
    subprocess.run(words, cwd=folder / "shop", check=True)
    return folder / "shop"


def in_order(wanted: list[str], given: list[str]) -> str | None:
    """Return the first line that another list does not have, in order."""
    rest = iter(given)
    return next((line for line in wanted if line not in rest), None)


def test_the_first_hour_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What init prints next stands in the README that it writes, in the tutorial and in the README of the project."""
    with nobodys_configuration(tmp_path):
        monkeypatch.chdir(prepared(tmp_path))
        words = next(step.text for step in steps() if step.text.startswith("modelops init")).split()[1:]
        assert cli.main([*words, "-o", "json"], standalone_mode=False) == 0
    said = [line for line in json.loads(capsys.readouterr().out)["next"] if not line.startswith("#")]
    written = Path("README.md").read_text().split("```\n")[1].splitlines()
    assert written == said
    for page in (TUTORIAL, README):
        assert in_order(said, [step.text for step in steps(page)]) is None, page


@pytest.mark.slow
@pytest.mark.story
def test_a_reader_who_types_the_readme_gets_what_it_shows(shell: Shell, tmp_path: Path) -> None:
    """From the file to an answer in staging, but for the numbers, which are those of other machines."""
    with nobodys_configuration(tmp_path):
        prepared(tmp_path)
    shell.run("cd shop")
    for step in steps(README):
        if step.text.startswith("modelops audit"):
            break
        code, output = shell.run(step.text)
        where = f"README.md:{step.line}: {step.text}\n{output}"
        assert code == 0, where
        missing = unmet([re.sub(r"\d+(\.\d+)?", "...", line) for line in step.shown], output)
        assert missing is None, f"not printed: {missing!r}\n{where}"


@pytest.mark.slow
@pytest.mark.story
@pytest.mark.parametrize("folder", ["", "ml/churn"])
def test_what_init_prints_can_be_typed_anywhere(shell: Shell, tmp_path: Path, folder: str) -> None:
    """On a branch of another name, without a word about the remote, and in a folder of a repository of others.

    There the rest of the way works too, whatever others push beside it, and what is pushed past the review stops.
    """
    with nobodys_configuration(tmp_path):
        shop = prepared(tmp_path)
        git(shop, "switch", "--quiet", "--orphan", "trunk")
        (shop / "app.py").write_text("print(1)\n")
        git(shop, "add", "app.py")
        git(shop, "commit", "--quiet", "-m", "Begin")
        git(shop, "push", "--quiet", "origin", "trunk")
    place = shop / folder
    (place / "here").mkdir(parents=True)
    shutil.move(shop / "data" / "customers.csv", place / "here" / "customers.csv")
    shell.run(f"cd {place}")
    init = "modelops init --model churn --data here/customers.csv --target churned --approver grace --output json"
    code, output = shell.run(init)
    assert code == 0, output
    commands = json.loads(output[output.index("{") :])["next"]
    production = ["promote churn --to production --yes", "pr review 2 --approve --as grace", "pr merge 2"]
    more = [*(f"modelops {verb}" for verb in (*production, "reconcile production --yes")), "git pull"]
    for command in [*(line for line in commands if not line.startswith("#")), *more]:
        code, output = shell.run(command)
        assert code == 0, f"{command}\n{output}"
    if folder:
        shell.run("echo 'print(2)' > ../../app.py && git commit --all --message Others && git push")
    for verb in ("reconcile production --yes", "validate", "audit branch", "reproduce churn 1", "data verify churn"):
        code, output = shell.run(f"modelops {verb}")
        assert code == 0, f"{verb}\n{output}"
    shell.run("echo '# more' >> models/churn/train.py && git commit --all --message Past && git push")
    code, output = shell.run("modelops reconcile production --yes")
    assert (code, "no-pull-request" in output) == (1, True), output
    for name in ("staging", "production"):
        shell.run(f"modelops reconcile {name} --stop --yes")


def test_the_tutorial_shows_every_part_of_the_way() -> None:
    """Nobody can drop a verb from the path of a new user without noticing."""
    typed = " ".join(step.text for step in steps() if step.file is None)
    used = set(re.findall(r"modelops ([a-z]+)", typed))
    assert used >= {
        "init", "validate", "plan", "build", "pr", "deliver", "reconcile", "status", "monitor", "rollback",
        "audit", "reproduce",
    }  # fmt: skip
