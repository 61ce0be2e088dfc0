"""What a how-to page tells to write, as a package that an installer has put beside modelops."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, package: str, files: Mapping[str, str], group: str, entry: str) -> None:
    """Write a package below ``src`` with its entry point, such as ``even = team.even``, and what else the page has."""
    information = f"src/{package}-1.0.dist-info"
    written = {
        f"src/{package}/__init__.py": "",
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1.0\n",
        f"{information}/entry_points.txt": f"[{group}]\n{entry}\n",
        **files,
    }
    for name, body in written.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body, encoding="utf-8")


def run(folder: Path, *words: str) -> str:
    """Return what Python prints with the package beside modelops; it must end well."""
    environ = {"PYTHONPATH": "src", "PATH": "/usr/bin:/bin", "MYPYPATH": "src"}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
