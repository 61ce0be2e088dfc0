"""The demonstration tells what happened: it ends well only if everything it claims was measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelops.spec.load import load_resource


def test_a_folder_that_cannot_be_made_is_refused() -> None:
    """It is the caller's to name another one, and no defect."""
    told = subprocess.run(
        [sys.executable, "-m", "modelops", "demo", "--keep", "/proc/demo"], capture_output=True, text=True, check=False
    )
    assert (told.returncode, "[unwritable]" in told.stderr) == (4, True)


@pytest.mark.slow
@pytest.mark.story
def test_the_demonstration(tmp_path: Path) -> None:
    """All seven chapters come true, and git says how they ended: release 2 is stable, release 3 is denied."""
    command = [sys.executable, "-m", "modelops", "demo", "--keep", str(tmp_path / "demo")]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert told.returncode == 0, told.stderr[-3000:]
    for chapter in range(1, 8):
        assert f"\n{chapter}. " in told.stdout
    assert "the rebuild is identical" in told.stdout
    path = "models/fraud-detection/environments/production.yaml"
    (found,) = (tmp_path / "demo").glob(f"*/{path}")
    # A model that falls back to scikit-learn is told, and served many times slower: this one has an exact form in ONNX.
    releases = [
        load_resource(each.read_bytes(), "/".join(each.parts[-5:])).spec
        for each in found.parents[1].glob("releases/*/release.yaml")
    ]
    assert [one.artifact.engine for one in releases] == ["onnx"] * 3
    spec = load_resource(found.read_bytes(), path).spec
    assert (spec.stable, spec.candidate, [denied.release for denied in spec.denied]) == (2, None, [3])
