"""The page on how to add a store: its code is a store, found as an entry point and held to what all stores must do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from modelops.conformance.stores import CHECKS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "add-a-store.md").read_text(encoding="utf-8")


def block(language: str, number: int = 0) -> str:
    found: str = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.M | re.S)[number]
    return found


def test_the_example_of_the_page_passes_the_conformance_suite(tmp_path: Path) -> None:
    """A package with the page's code and entry point is on the shelf, and the page holds it to what all stores keep."""
    (tmp_path / "team_stores").mkdir()
    (tmp_path / "team_stores" / "__init__.py").touch()
    (tmp_path / "team_stores" / "sqlite_file.py").write_text(block("python"))
    ((group, entries),) = tomllib.loads(block("toml"))["project"]["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    information = tmp_path / "team_stores-1.dist-info"
    information.mkdir()
    (information / "entry_points.txt").write_text("\n".join(lines))
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: team-stores\nVersion: 1\n")
    (tmp_path / "test_sqlite_file.py").write_text(block("python", -1))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_sqlite_file.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CHECKS)} passed" in done.stdout
