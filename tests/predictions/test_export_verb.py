"""`modelops audit export`: the log of an environment as Parquet files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from modelops.cli import main
from modelops.predictions import PredictionLog, Row
from modelops.repository import Repository
from modelops.spec.layout import PREDICTIONS

NOON = 1_772_366_400.0
"""2026-03-01 12:00 UTC."""


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["audit", "export", *arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_whole_days_of_an_environment_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verb names the files it wrote, by default all days before today; an environment without a log is exit 2."""
    Repository.create(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELOPS_CLOCK", "2026-03-03T09:00:00Z")
    row = Row("a", NOON, "fraud", 1, "stable", 0, "salt", "c", "{}", 0.5, "1", 200, 1.0)
    with PredictionLog(tmp_path / ".modelops" / "runtime" / "production" / PREDICTIONS) as log:
        log.write([row._replace(id=f"r{day}", time=NOON + day * 86_400) for day in range(3)])
    code, out, err = run(["production", "out", "--until", "2026-03-02", "-o", "json"], capsys)
    assert code == 0, err
    assert json.loads(out) == ["out/model=fraud/day=2026-03-01.parquet"]
    code, out, _ = run(["production", "out"], capsys)
    assert (code, out) == (0, "out/model=fraud/day=2026-03-02.parquet\n")
    assert pq.read_table(tmp_path / out.strip()).column("id").to_pylist() == ["r1"]
    assert run(["production", "out"], capsys)[:2] == (0, "nothing new to write\n")
    code, _, err = run(["staging", "out"], capsys)
    assert code == 2
    assert "[no-prediction-log]" in err
    assert "there are logs of: production" in err
