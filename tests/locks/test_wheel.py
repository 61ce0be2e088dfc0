"""The wheel of the modelops that runs: it installs by its hash without the checkout, and gives the same wheel again."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelops.locks.wheel import own_wheel

ASK = """
import json, sys
from modelops.errors import ModelOpsError
from modelops.locks.wheel import own_wheel
try:
    one = own_wheel()
    print(json.dumps([one.sha256, one.origin, one.url, one.requirement("there"), one.data is not None]))
except ModelOpsError as error:
    print(json.dumps([error.first.code, error.first.message]))
"""


class Machine:
    """A Python with every package that is installed here but modelops."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.packages = next(folder.glob("lib/python*/site-packages"))
        (self.packages / "others.pth").write_text("".join(f"{path}\n" for path in site.getsitepackages()))

    def run(self, *arguments: str, where: Path | None = None) -> str:
        words = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MODELOPS"))}
        words |= {"PIP_NO_INDEX": "1", "PATH": f"{self.folder / 'bin'}:{words['PATH']}"}
        done = subprocess.run(
            [str(self.folder / "bin/python"), *arguments],
            cwd=where or self.folder,
            env=words,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, requirement: str, where: Path) -> None:
        (where / "requirements.txt").write_text(requirement + "\n")
        words = ["--force-reinstall", "--no-deps", "--require-hashes", "--requirement", "requirements.txt"]
        self.run("-m", "pip", "install", "-q", "--disable-pip-version-check", *words, where=where)

    def ask(self) -> list[Any]:
        found: list[Any] = json.loads(self.run("-c", ASK))
        return found


def test_a_checkout_is_built_as_it_lies_there_and_twice_the_same() -> None:
    """The name, the hash and the line that installs it say one thing; nothing of this machine is in them."""
    one, two = own_wheel(), own_wheel()
    assert (one.sha256, one.data) == (two.sha256, two.data)
    assert one.requirement("there") == f"./there/{one.name} --hash=sha256:{one.sha256}"
    assert one.origin == "a checkout, as it lay there"


@pytest.mark.slow
def test_an_installed_modelops_works_without_its_source_and_hands_itself_on(tmp_path: Path) -> None:
    """From a wheel by hash: it scaffolds and hands itself on; its origin is told; what was altered is refused."""
    made = own_wheel()
    assert made.data is not None
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / made.name).write_bytes(made.data)
    machine = Machine(tmp_path / "first")
    machine.install(made.requirement("there"), tmp_path)
    first = machine.ask()
    assert first == machine.ask()
    sha256, origin, url, line, packed = first
    assert (origin, url, packed) == ("a file of the machine where it was set up", None, True)
    (tmp_path / "work").mkdir()
    machine.run("-m", "modelops", "init", "--approver", "grace", where=tmp_path / "work")
    machine.run("-m", "modelops", "init", "--example", "fraud-detection", where=tmp_path / "work")
    machine.run("-m", "modelops", "validate", where=tmp_path / "work")
    assert "the answer is no" in machine.run("-m", "modelops", "explain", "approval-missing", where=tmp_path / "work")
    write = "from modelops.locks.wheel import own_wheel as o; w = o(); open('again/' + w.name, 'wb').write(w.data)"
    (tmp_path / "again").mkdir()
    machine.run("-c", write, where=tmp_path)
    other = Machine(tmp_path / "second")
    other.install(line.replace("./there/", "./again/"), tmp_path)
    assert other.ask()[0] == sha256

    direct = next(machine.packages.glob("modelops-*.dist-info")) / "direct_url.json"
    wheel = "https://example.com/modelops-9-py3-none-any.whl"
    direct.write_text(json.dumps({"url": wheel, "archive_info": {"hashes": {"sha256": "ab" * 32}}}))
    assert machine.ask()[1:] == [wheel, wheel, f"modelops @ {wheel} --hash=sha256:{'ab' * 32}", False]
    git = {"url": "https://example.com/modelops.git", "vcs_info": {"vcs": "git", "commit_id": "c" * 40}}
    direct.write_text(json.dumps(git))
    assert machine.ask()[1] == f"git+https://example.com/modelops.git@{'c' * 40}"
    direct.unlink()
    assert machine.ask()[1] == "a package index"
    altered = machine.packages / "modelops/clock.py"
    altered.write_text(altered.read_text() + "\n# changed\n")
    code, said = machine.ask()
    assert (code, "modelops/clock.py" in said) == ("no-own-wheel", True)
