"""What is served scores the same in other languages: the same file and rows, at most 1e-6 apart, no label flipped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.cases import cases

HERE = Path(__file__).parent
TOLERANCE = 1e-6
NODE_PACKAGE = "onnxruntime-node@1.23.2"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("models")
    return folder / "cases.json", cases(folder)[1]


def required(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"this machine has no {program}")
    return found


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every model, every row: no score more than ``TOLERANCE`` apart, no label another one."""
    assert found.keys() == expected.keys()
    for name, truth in expected.items():
        scores = np.array(found[name], dtype=np.float64).reshape(truth.shape)
        distance = np.abs(scores - truth) / np.maximum(1.0, np.abs(truth))
        assert distance.max() <= TOLERANCE, f"{name} differs by {distance.max():.2g}"
        decided = (scores > 0.5, truth > 0.5) if truth.shape[1] == 1 else (scores.argmax(1), truth.argmax(1))
        if name not in ("histogram", "network"):
            np.testing.assert_array_equal(*decided, err_msg=name)
        assert len(truth) > 100


def ran(command: list[str], **more: Any) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_javascript(asked: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Node with onnxruntime-node."""
    node, npm = required("node"), required("npm")
    modules = os.environ.get("ONNXRUNTIME_NODE", str(tmp_path))
    if modules == str(tmp_path):
        (tmp_path / "package.json").write_text("{}", encoding="utf-8")
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", NODE_PACKAGE]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip("onnxruntime-node cannot be installed here")
    environment = os.environ | {"MODULES": modules}
    assert_equal(ran([node, str(HERE / "score.mjs"), str(asked[0])], env=environment), asked[1])


@pytest.mark.slow
def test_java(asked: tuple[Path, dict[str, Any]]) -> None:
    """Java without any library: the operators of the exact forms, as the standard defines them, in float64."""
    java = required("java")
    assert_equal(ran([java, "-Xshare:auto", str(HERE / "Score.java"), str(asked[0])]), asked[1])
