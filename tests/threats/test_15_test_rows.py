"""Threat 15: picking what the test rows like. Training gets neither the test rows nor what makes or holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelops.changes.building import request
from modelops.data.making import withheld
from modelops.errors import ModelOpsError
from modelops.metrics.questions import too_good
from modelops.project.workspace import open_workspace
from modelops.releases.chance import Chance
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec, SnapshotFile, Source
from modelops.spec.kinds.release import MetricValue
from modelops.training import Run, looks
from modelops.training.ledger import append
from modelops.views.release import left_to_chance, question
from training.building_blocks import LOGISTIC, Workshop, changed

ROOT = Path(__file__).resolve().parents[2]
ROWS = b"x,y\n1,2\n"


def snapshot(path: str = "rows.csv", rows: bytes = b"elsewhere", **source: Any) -> DataSnapshotSpec:
    digest = hashlib.sha256(rows).hexdigest()
    return DataSnapshotSpec(
        format="csv",
        source=Source(owner="o", **source),
        root=f"sha256:{digest}",
        files=(SnapshotFile(path=path, size=len(rows), sha256=digest),),
        rows=1,
        columns=(Column(name="x", type="number", missing=0, distinct=1),),
    )


CODE: Mapping[str, bytes] = {
    "train.py": b"import features\n",
    "features.py": b"",
    "generate.py": b"import synth\nfrom tools import clock\nopen('seeds.txt')\n",
    "synth.py": b"from deep import *\n",
    "deep/__init__.py": b"from . import inner\n",
    "deep/inner.py": b"",
    "tools/__init__.py": b"",
    "tools/clock.py": b"",
    "seeds.txt": b"1",
    "make.sh": b'#!/bin/sh\npython ./synth.py > "$1"/rows.csv\n',
    "notes.md": b"",
    "copy-of-rows.csv": ROWS,
}


SYNTH = {"synth.py", "deep/__init__.py", "deep/inner.py"}
TOOLS = {"tools/__init__.py", "tools/clock.py"}


@pytest.mark.parametrize(
    ("command", "files", "kept_out"),
    [
        (("python", "generate.py", "{output}"), (),
         {"generate.py", "seeds.txt", *SYNTH, *TOOLS}),
        (("python", "./synth.py", "{output}"), (), SYNTH),
        (("python", "-m", "deep.inner", "{output}"), (), {"deep/__init__.py", "deep/inner.py"}),
        (("sh", "make.sh", "{output}"), (), {"make.sh", *SYNTH}),
        (("sh", "-c", "python synth.py > {output}/rows.csv"), ("deep",), SYNTH),
        (("python", "generate.py", "{output}"), ("seeds.txt", "tools/"),
         {"generate.py", "seeds.txt", *TOOLS}),
        (("python", "-c", "print()", "{output}"), (), set()),
    ],
)  # fmt: skip
def test_the_files_of_a_command_are_found(command: tuple[str, ...], files: tuple[str, ...], kept_out: set[str]) -> None:
    """By name, as a module, through imports and names in them; with a list, what is named and listed."""
    spec = snapshot(type="command", command=command, files=files)
    assert set(withheld("m", "train.py", {"s": spec}, CODE)) == kept_out


def test_rows_in_the_folder_are_kept_out() -> None:
    """Files that a snapshot pins in the model's folder, under their own name or as a copy, and of any snapshot."""
    inside = snapshot("notes.md", type="files", location="models/m")
    copied = snapshot(rows=ROWS, type="store")
    found = withheld("m", "train.py", {"a": inside, "b": copied}, CODE)
    assert found == {"notes.md": "holds rows of the snapshot a", "copy-of-rows.csv": "holds rows of the snapshot b"}


def test_the_repositories_that_modelops_writes_keep_their_generator_out() -> None:
    """In the model that `modelops init` copies, training does not get generate.py, whose imports are all of Python."""
    workspace = open_workspace(ROOT, dirty=True)
    found = request(workspace, workspace.graph(None), "fraud-detection", None)
    assert list(found.withheld) == ["generate.py"]
    assert "generate.py" in found.code


TRIES = """
said = []
for way in ("import generate", "from deep.inner import rows", "open('code/generate.py')", "open('code/rows.csv')"):
    try:
        exec(way)
        said.append("GOT " + way)
    except (ImportError, PermissionError) as error:
        said.append(str(error))
print(said)
import generate
"""


def test_training_is_told_why_a_file_is_not_there(workshop: Workshop) -> None:
    """Whoever imports or opens a file that makes or holds the data reads that in the error, with the line of it."""
    names = ("generate.py", "deep/inner.py", "rows.csv")
    code = TRIES + LOGISTIC
    asked = workshop.request(code, dict.fromkeys(names, b"rows = 1\n"))
    asked = changed(asked, withheld=dict.fromkeys(names, "makes the data of the snapshot s"))
    with pytest.raises(ModelOpsError) as caught:
        workshop.build(asked)
    log = next((workshop.root / ".modelops" / "runs").glob("*.log")).read_text()
    assert "GOT" not in log
    assert all(f"{name} makes the data" in log for name in names)
    assert (caught.value.first.code, str(caught.value.first.location)) == (
        "training-failed",
        "models/churn/train.py:10:1",
    )
    assert "generate.py makes the data of the snapshot s, so training cannot read it" in caught.value.first.message


def test_the_training_code_cannot_be_what_makes_the_data(workshop: Workshop) -> None:
    """A command that names the entrypoint would train on all rows: the build is refused before anything runs."""
    asked = changed(workshop.request(LOGISTIC), withheld={"train.py": "makes the data of the snapshot s"})
    with pytest.raises(ModelOpsError) as caught:
        workshop.build(asked)
    assert caught.value.first.code == "training-makes-data"
    assert workshop.reads == 0


def metric(name: str, value: float, lower: float, upper: float = 1.0) -> MetricValue:
    return MetricValue(name=name, value=value, lower=lower, upper=upper, level=0.95, n=500, method="m")


@pytest.mark.parametrize(
    ("metrics", "asked"),
    [
        ([metric("roc-auc", 1.0, 0.9946)], "roc-auc"),
        ([metric("roc-auc", 0.9991, 0.9978)], "roc-auc"),
        ([metric("roc-auc", 1.0, 0.91)], None),
        ([metric("roc-auc", 0.93, 0.91), metric("accuracy", 0.999, 0.998)], None),
        ([metric("roc-auc", 0.93, 0.91), metric("balanced-accuracy", 0.999, 0.998)], "balanced-accuracy"),
        ([metric("accuracy", 0.999, 0.997)], "accuracy"),
        ([metric("r2", 0.99999, 0.9995)], "r2"),
        ([metric("r2", 0.7, 0.6), metric("mae", 0.0001, 0.00005)], None),
        ([], None),
    ],
)
def test_scores_that_are_too_good_are_questioned(metrics: list[MetricValue], asked: str | None) -> None:
    """By the interval, so that a few rows that came out right raise no question; a question, and no refusal."""
    found = too_good(metrics)
    assert (found.name if found else None) == asked
    assert (question(metrics) is None) == (asked is None)


def test_looks_at_a_holdout_are_counted(tmp_path: Path) -> None:
    """Every build on rows of one snapshot is one look, whatever its seed; a reader is told what k of them do."""
    ledger = tmp_path / "runs.sqlite"
    run = Run(0, "churn", "2026-05-01T00:00:00Z", 1.5, "ok", None, None, "i", "a", "first", {}, {}, "root")
    for build in ("first", "other-seed", "first"):
        append(ledger, replace(run, build=build))
    found = looks(ledger, "churn", "root")
    assert len(found) == 2
    told = left_to_chance(Chance(1, 0, 0.025, 0.025, len(found)))
    assert "2 builds were measured on rows of this snapshot" in told[-1]
    assert "a chance of at most 0.05" in told[-1]
