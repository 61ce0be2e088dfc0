"""Data sources: what lies below one, how today's data stand to what is promised, and the exit codes of both verbs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelops.cli import main
from modelops.monitoring.upstream.impact import impact_of
from modelops.project.workspace import open_workspace
from modelops.repository import Repository
from spec_world import NAME, world

NOW = "2026-05-02T12:00:00Z"
CONTRACT = """\
  freshness: {column: booked_at, hours: 24.0}
  contract:
    rows: 20
    columns:
      - {name: booked_at, type: datetime}
      - {name: amount, type: number, minimum: 0.0, maximum: 100.0}
      - {name: channel, type: category, values: [web, app]}
      - {name: paid, type: boolean, missing: 0.1}
  read: {location: upstream, files: [payments.csv]}
"""


def source(name: str, more: str = "") -> dict[str, bytes]:
    head = f"apiVersion: modelops/v1\nkind: DataSource\nmetadata: {{name: {name}}}\nspec:\n  description: d\n"
    return {f"policies/sources/{name}.yaml": f'{head}  owner: platform\n  contact: "#oncall"\n{more}'.encode()}


def rows(n: int = 60, *, hours: float = 2, **columns: Sequence[object]) -> str:
    newest = datetime(2026, 5, 2, 12, tzinfo=UTC) - timedelta(hours=hours)
    full: dict[str, Sequence[object]] = {
        "booked_at": [(newest - timedelta(minutes=index)).strftime("%Y-%m-%dT%H:%M:%SZ") for index in range(n)],
        "amount": [f"{index % 50 + 0.25}" for index in range(n)],
        "channel": [("web", "app")[index % 2] for index in range(n)],
        "paid": [("true", "false")[index % 2] for index in range(n)],
    } | columns
    full = {name: values for name, values in full.items() if values}
    lines = [",".join(full), *(",".join(map(str, line)) for line in zip(*full.values(), strict=True))]
    return "\n".join(lines) + "\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Repository.create(tmp_path)
    files = world() | source("core") | source("payments", f"  upstream: [core]\n{CONTRACT}") | source("geo")
    model = files[f"models/{NAME}/model.yaml"].decode()
    model = model.replace("{name: amount, type: number", "{name: amount, source: payments, type: number")
    model = model.replace("{name: hour, type: integer", "{name: hour, source: payments, type: integer")
    model = model.replace("{name: country, type", "{name: country, source: geo, type")
    model = model.replace("    features:\n", "    labels: {by: analysts, source: payments}\n    features:\n")
    files[f"models/{NAME}/model.yaml"] = model.encode()
    files |= {"upstream/payments.csv": rows().encode()}
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELOPS_CLOCK", NOW)
    return tmp_path


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["data", *arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def checked(capsys: pytest.CaptureFixture[str], *names: str) -> tuple[int, Any]:
    code, out, err = run(["check", *names, "-o", "json"], capsys)
    assert out, err
    return code, json.loads(out)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (rows(10), "10 rows, and at least 20"),
        (rows(hours=30), "30.0 hours old, and at most 24 are promised"),
        (rows(hours=-30), "30.0 hours ahead: clocks differ"),
        (rows(amount=[]), "no column 'amount'"),
        (rows(amount=["many"] * 60), "'amount' is category, and number is promised"),
        (rows(amount=["-0.5", *["1.5"] * 59]), "goes down to -0.5"),
        (rows(amount=["100.5", *["1.5"] * 59]), "goes up to 100.5"),
        (rows(amount=["100.0000001", *["1.5"] * 59]), "goes up to 100.0000001, and nothing above 100 is promised"),
        (rows(amount=["", *["1.5"] * 59]), "'amount' is missing in 1.67% of its rows"),
        (rows(channel=["fax", *["web"] * 59]), "values that are not promised: 'fax'"),
        (rows(booked_at=[]), "how old it is cannot be told"),
        ("booked_at,amount,channel,paid\n", "it has no row"),
    ],
)
def test_a_breach_is_named(project: Path, capsys: pytest.CaptureFixture[str], data: str, said: str) -> None:
    """Each has its sentence, its owner, and exit 1; one row is enough, as nothing is rounded."""
    (project / "upstream/payments.csv").write_text(data)
    code, (found,) = checked(capsys, "payments")
    assert code == 1
    assert any(said in breach for breach in found["breaches"]), found
    assert (found["kept"], found["owner"], found["contact"]) == (False, "platform", "#oncall")


def test_a_source_that_keeps_its_promise_is_exit_0(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More columns than promised, a share of missing values within bounds, and 0 and 1 for a boolean are no breach."""
    paid = ["", *[index % 2 for index in range(59)]]
    (project / "upstream/payments.csv").write_text(rows(paid=paid, more=["x"] * 60))
    code, found = checked(capsys)
    assert (code, [(one["source"], one["breaches"]) for one in found]) == (0, [("payments", [])])
    assert checked(capsys, "--model", NAME) == (code, found)
    code, out, _ = run(["check"], capsys)
    assert (code, out) == (
        0,
        "payments: as promised (60 rows, the newest of 2026-05-02T10:00:00Z, 4 promised columns)\n",
    )


def test_what_cannot_be_looked_at_is_no_breach(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An absent file is the world's fault, an unknown name and one that is not read the asker's."""
    (project / "upstream/payments.csv").unlink()
    code, _, err = run(["check"], capsys)
    assert code == 4
    assert "[source-unreachable]" in err
    assert "ask platform: #oncall" in err
    for name, problem in (("paymentz", "unknown-source"), ("geo", "source-unread")):
        code, _, err = run(["check", name], capsys)
        assert (code, f"[{problem}]" in err) == (2, True), err


def test_what_lies_below_a_source_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Through the sources made from it: features, labels, environments, and when each would notice."""
    code, out, err = run(["impact", "core", "-o", "json"], capsys)
    assert code == 0, err
    found = json.loads(out)
    assert (found["below"], [one["model"] for one in found["models"]]) == (["payments"], [NAME])
    (model,) = found["models"]
    assert [each["name"] for each in model["features"]] == ["amount", "hour"]
    assert (model["labels"], model["beforeTraining"]) == ("payments", "modelops data check payments")
    assert [each["environment"] for each in model["environments"]] == ["local", "production", "staging"]
    assert {tuple(each["noticed"]) for each in model["environments"]} == {()}
    code, out, _ = run(["impact", "geo"], capsys)
    assert code == 0
    assert "features: country" in out
    code, _, err = run(["impact", "cor"], capsys)
    assert (code, "did you mean 'core'?" in err) == (2, True)


def test_it_is_told_when_an_environment_would_notice(project: Path) -> None:
    """Where a release answers: a value that must be there at once, another once it shows in a window, labels last."""
    graph = open_workspace(project, dirty=True).graph(None)
    entry = graph.models[NAME]
    running = entry.deployments["production"]
    running = replace(running, spec=running.spec.model_copy(update={"stable": 1}))
    found = impact_of(replace(graph, models={NAME: entry.deployed(running)}), "core")
    placed = {each.environment: each for each in found.models[0].environments}
    assert placed["production"].releases == (("stable", 1),)
    said = " | ".join(placed["production"].noticed)
    assert "at once: requests without amount are refused" in said
    assert "1.5 days after hour went missing (5% of a window of 30 days)" in said
    assert "labels that stop show as no data of recall" in said
    assert placed["staging"].noticed == ()


def test_what_failed_says_of_which_source_it_was(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the line of its file, as several are looked at in one go; what is left says nothing that is not so."""
    path = project / "policies/sources/payments.yaml"
    path.write_bytes(path.read_bytes().replace(b"payments.csv", b"../secret.csv"))
    code, out, err = run(["check"], capsys)
    assert (code, out) == (3, "")
    assert err.startswith("error: policies/sources/payments.yaml:17:9: ")
    path.write_bytes(path.read_bytes().replace(b"../secret.csv", b"gone.csv"))
    code, _, err = run(["check"], capsys)
    assert (code, err.startswith("error: policies/sources/payments.yaml:17:9: ")) == (4, True)
    path.write_bytes(source("payments", "  upstream: [core]\n")["policies/sources/payments.yaml"])
    code, out, _ = run(["check"], capsys)
    assert (code, out.strip()) == (0, "no data source says how it is read")
