"""What a model's objective came to: read from its data source, entered where people review it, never overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelops.cli import main
from modelops.project.workspace import open_workspace
from modelops.repository import Repository
from spec_world import NAME, world

NOW = "2026-08-15T12:00:00Z"
SOURCE = b"""\
apiVersion: modelops/v1
kind: DataSource
metadata: {name: ledger}
spec:
  description: Losses of a month, a row each.
  owner: finance
  contact: "#finance"
  read: {location: upstream, files: [losses.csv]}
"""
OBJECTIVE = """\
  objective:
    question: Which payments are fraud?
    kpi: fraud losses of a month
    unit: EUR
    better: lower
    baseline: {since: "2026-04-01", until: "2026-04-30", value: 1000.0}
    target: {change: -0.3, by: "2026-12-31"}
    source: {name: ledger, since: first, until: last, value: eur, lower: low, upper: high, n: cases, level: 0.9}
  outOfScope:
"""
HEADER = "first,last,eur,low,high,cases\n"
MAY = "2026-05-01,2026-05-31,900.5,880,930,41\n"
JUNE = "2026-06-01,2026-06-30,800,,,\n"
JULY = "2026-07-01,2026-07-31,690,650.25,720,38\n"
AUGUST = "2026-08-01,2026-08-31,10,,,3\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Repository.create(tmp_path)
    files = world() | {"policies/sources/ledger.yaml": SOURCE}
    model = files[f"models/{NAME}/model.yaml"].decode().replace("  outOfScope:\n", OBJECTIVE)
    files |= {f"models/{NAME}/model.yaml": model.encode(), "upstream/losses.csv": (HEADER + MAY + JUNE).encode()}
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELOPS_CLOCK", NOW)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["data", "outcomes", NAME, *more])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def entered(capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    code, out, err = run(capsys, "-o", "json")
    assert out, err
    return code, json.loads(out)


def test_what_is_new_is_entered_once_and_the_rest_stays(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Values come in with interval and n where the source has them; a comment in the file outlives the next ones."""
    code, found = entered(capsys)
    assert (code, [one["value"] for one in found["entered"]]) == (0, [900.5, 800.0])
    file = project / f"models/{NAME}/outcomes.yaml"
    file.write_bytes(file.read_bytes() + b"# checked with finance\n")
    before = file.read_bytes()
    assert entered(capsys) == (0, found | {"entered": []})
    assert file.read_bytes() == before
    (project / "upstream/losses.csv").write_text(HEADER + MAY + JUNE + JULY + AUGUST)
    code, found = entered(capsys)
    assert (code, found["skipped"]) == (0, ["row 4: its period ends on 2026-08-31 and is not over"])
    assert b"# checked with finance" in file.read_bytes()
    values = open_workspace(dirty=True).graph(None).models[NAME].outcomes
    assert [(one.until, one.value, one.lower, one.upper, one.level, one.n) for one in values] == [
        ("2026-05-31", 900.5, 880.0, 930.0, 0.9, 41),
        ("2026-06-30", 800.0, None, None, None, None),
        ("2026-07-31", 690.0, 650.25, 720.0, 0.9, 38),
    ]


def test_another_value_now_is_named_and_overwrites_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What people reviewed stays until people change it; that is a no."""
    entered(capsys)
    before = (project / f"models/{NAME}/outcomes.yaml").read_bytes()
    (project / "upstream/losses.csv").write_text(HEADER + MAY.replace("900.5", "910") + JUNE)
    code, out, _ = run(capsys)
    assert code == 1
    assert "DIFFERS: 900.5 EUR (2026-05-01 to 2026-05-31; n = 41" in out
    assert (project / f"models/{NAME}/outcomes.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("rows", "code", "said"),
    [
        ("first,last,losses,low,high,cases\n" + MAY, 3, "no column 'eur' (value)"),
        (HEADER + MAY.replace("900.5", "many") + JUNE.replace("800", "few"), 3, "'eur' (value) is category"),
        (HEADER + MAY + MAY, 3, "row 2 of the data source 'ledger' cannot be: a period that ends on 2026-05-31"),
        (HEADER + MAY.replace("930", "890"), 3, "row 1 of the data source 'ledger' cannot be: the value 900.5 is not"),
        (HEADER, 3, "no row"),
    ],
)
def test_a_source_without_such_values_is_an_error(
    project: Path, capsys: pytest.CaptureFixture[str], rows: str, code: int, said: str
) -> None:
    """Each says what is wrong with which row or column, and nothing is written."""
    (project / "upstream/losses.csv").write_text(rows)
    found, _, err = run(capsys)
    assert (found, said in err) == (code, True), err
    assert not (project / f"models/{NAME}/outcomes.yaml").exists()


def test_rows_without_a_value_are_passed_over_aloud(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A month that nobody measured is no zero."""
    (project / "upstream/losses.csv").write_text(HEADER + MAY + JUNE.replace("800", "") + JULY)
    code, found = entered(capsys)
    assert (code, found["skipped"]) == (0, ["row 2 has no value"])
    assert [one["until"] for one in found["entered"]] == ["2026-05-31", "2026-07-31"]


def test_a_model_that_names_no_source_is_asked_wrongly(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Values may still be written by hand, and that is the hint."""
    file = project / f"models/{NAME}/model.yaml"
    text = file.read_text()
    file.write_text("".join(line for line in text.splitlines(keepends=True) if "name: ledger" not in line))
    code, _, err = run(capsys)
    assert (code, f"models/{NAME}/outcomes.yaml" in err) == (2, True)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ('{until: "2026-05-31", value: 1.0}, {until: "2026-05-31", value: 2.0}', "outcomes-order"),
        ('{until: "2026-05-31", value: 1.0}, {since: "2026-05-31", until: "2026-06-30", value: 2.0}', "outcomes-order"),
        ('{since: "2026-06-01", until: "2026-05-31", value: 1.0}', "bad-value"),
        ('{until: "yesterday", value: 1.0}', "bad-value"),
    ],
)
def test_values_by_hand_are_checked(project: Path, capsys: pytest.CaptureFixture[str], values: str, code: str) -> None:
    """Periods follow one another, and a day belongs to one; the line is named."""
    head = f"apiVersion: modelops/v1\nkind: Outcomes\nmetadata: {{name: {NAME}}}\nspec:\n  values: [{values}]\n"
    (project / f"models/{NAME}/outcomes.yaml").write_text(head)
    with pytest.raises(SystemExit) as ended:
        main(["validate", "-o", "json"])
    (found,) = json.loads(capsys.readouterr().out)["problems"]
    assert (ended.value.code, found["code"], found["path"]) == (3, code, f"models/{NAME}/outcomes.yaml")
