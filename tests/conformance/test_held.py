"""The type checker holds every file of every shelf against its Protocol: ``held.py`` says so, and names them all.

After adding a plugin, ``python tests/conformance/test_held.py`` writes the file again.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from modelops import plugins
from modelops.targets import Runner

HELD = Path(__file__).with_name("held.py")
ROOT = HELD.parents[2]


def text() -> str:
    """Return what ``held.py`` must say of the files that lie on the shelves."""
    imports, held, loose = [], [], []
    for shelf in sorted(plugins.SHELVES):
        protocol = importlib.import_module(f"modelops.{shelf}").PROTOCOL.__name__
        more = ", Runner" if shelf == "targets" else ""
        imports += [f"from modelops.{shelf} import {protocol}{more}"]
        held += ["", f"# {shelf}"]
        for key in sorted(plugins.built_in(shelf)):
            module = key.replace("-", "_")
            loose.append(f"import modelops.{shelf}.{module}")
            held.append(f"{shelf}_{module}: {protocol} = modelops.{shelf}.{module}")
            if isinstance(plugins.load(shelf, key), Runner):
                held.append(f"{shelf}_{module}_runs: Runner = modelops.{shelf}.{module}")
    head = '"""Every file of every shelf, held against its Protocol by the type checker; see ``test_held.py``."""'
    return "\n".join([head, "", "from __future__ import annotations", "", *loose, *imports, *held, ""])


def test_every_plugin_is_held_by_type() -> None:
    """A new file on a shelf is named here too: python tests/conformance/test_held.py."""
    assert HELD.read_text(encoding="utf-8") == text()


def test_the_type_checker_reads_it() -> None:
    """What mypy is asked to check names the file, so that ``make lint`` holds the plugins."""
    assert f'"{HELD.relative_to(ROOT).as_posix()}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_type_checker_notices(tmp_path: Path) -> None:
    """A gate whose verdict is a text, or that lacks NEEDS, is told by mypy; so is a wrong use of what is bound."""
    (tmp_path / "wrong.py").write_text(
        "from modelops import gates\n"
        "from modelops.gates import Subject\n"
        "from modelops.spec.meta import Strict\n"
        "class Params(Strict): ...\n"
        "def evaluate(params: Params, subject: Subject) -> str:\n    return 'pass'\n"
        "NEEDS: tuple[gates.Need, ...] = ()\n",
        encoding="utf-8",
    )
    (tmp_path / "held.py").write_text(
        "import wrong\n"
        "from modelops import strategies, targets\n"
        "from modelops.gates import Gate\n"
        "from modelops.spec.meta import Plugin\n"
        "held: Gate = wrong\n"
        "strategies.bind(Plugin(type='canary')).module.stop()\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(tmp_path / "held.py")]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"MYPYPATH": f"src:{tmp_path}"})
    assert 'variable has type "Gate"' in found.stdout, found.stdout
    assert '"Strategy" has no attribute "stop"' in found.stdout


if __name__ == "__main__":
    HELD.write_text(text(), encoding="utf-8")
