"""`modelops predict`: files through a release and through a real server, with the same answers and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from modelops.artifacts import load_predictor, open_artifact
from modelops.cli import main
from modelops.errors import ModelOpsError
from modelops.scoring.answers import FromRelease
from modelops.scoring.files import score
from modelops.stores import Store
from serving.served_models import Running

ROWS = [
    {"amount": 3.5, "items": 2, "country": "DE", "abroad": False, "opened": "2026-01-03T00:00:00Z", "key": "a"},
    {"amount": -2.25, "items": 0, "country": "FR", "abroad": True, "opened": "2026-01-09T10:30:00Z", "key": "b, c"},
    {"amount": 0.0, "items": 4, "country": "DE", "abroad": True, "opened": "2026-01-20T00:00:00Z", "key": 'd "e"'},
]
GERMAN = "\n".join(
    (
        "key;amount;items;country;abroad;opened",
        "a;3,5;2; DE;false;03.01.2026 00:00",
        '"b, c";-2,25;0;FR ;true;09.01.2026 10:30',
        '"d ""e""";0,0;4;DE;yes;20.01.2026 00:00',
    )
)


def write(folder: Path, kind: str) -> Path:
    file = folder / f"rows.{kind.rpartition('/')[2]}"
    match kind:
        case "csv":
            pa.csv.write_csv(pa.Table.from_pylist(ROWS), file)
        case "german/csv":
            file.write_text(GERMAN, encoding="utf-8")
        case "json":
            file.write_text(json.dumps(ROWS), encoding="utf-8")
        case "wrapped/json":
            file.write_text(json.dumps({"instances": ROWS}), encoding="utf-8")
        case "jsonl":
            file.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n", encoding="utf-8")
        case _:
            opened = [datetime.fromisoformat(str(row["opened"])).astimezone(UTC) for row in ROWS]
            table = pa.Table.from_pylist([{**row, "opened": at} for row, at in zip(ROWS, opened, strict=True)])
            pq.write_table(table, file)
    return file


def read(file: Path) -> list[dict[str, Any]]:
    match file.suffix:
        case ".csv":
            return pa.csv.read_csv(file).to_pylist()
        case ".parquet":
            return pq.read_table(file).to_pylist()
        case ".jsonl":
            return [json.loads(line) for line in file.read_text().splitlines()]
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def churn(store: Store, digests: dict[str, str]) -> FromRelease:
    return FromRelease(load_predictor(open_artifact(store, digests["churn"])), 3, {})


def verb(arguments: Sequence[object], capfdbinary: pytest.CaptureFixture[bytes]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, arguments)])
    out, err = capfdbinary.readouterr()
    return int(ended.value.code or 0), out.decode(), err.decode()


@pytest.mark.parametrize("kind", ["csv", "german/csv", "json", "wrapped/json", "jsonl", "parquet"])
@pytest.mark.parametrize("out", ["csv", "parquet", "json", "jsonl"])
def test_a_file_comes_back_with_predictions(
    tmp_path: Path, churn: FromRelease, server: Running, kind: str, out: str
) -> None:
    """Whatever the form of either file, each row is there once, in order, with what the server answers to it."""
    found = score(write(tmp_path, kind), tmp_path / f"out.{out}", churn)
    rows = read(tmp_path / f"out.{out}")
    body = [{name: value for name, value in row.items() if name != "key"} for row in ROWS]
    told = server.ask("/v2/models/payments/churn/predict", body).json["predictions"]
    assert (found.rows, dict(found.releases)) == (3, {3: 3})
    assert [row["key"] for row in rows] == [row["key"] for row in ROWS]
    assert [(row["prediction"], row["release"]) for row in rows] == [(each["label"], 3) for each in told]
    assert [row["probability"] for row in rows] == [pytest.approx(each["probability"], abs=1e-12) for each in told]
    assert not list(tmp_path.glob(".*"))


def test_a_server_answers_and_its_ids_take_feedback(
    tmp_path: Path, server: Running, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Through a server each row has its id and its release; more rows than one request takes are asked in several."""
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.parquet"
    file.write_text("\n".join(json.dumps(ROWS[i % 3]) for i in range(1203)))
    code, said, err = verb(["payments/churn", file, out, "--url", server.url, "--output", "json"], capfdbinary)
    assert (code, err) == (0, "")
    assert json.loads(said) == {
        "model": "payments/churn",
        "rows": 1203,
        "releases": {"3": 1203},
        "written": str(out),
    }
    rows = read(out)
    assert len({row["prediction_id"] for row in rows}) == 1203
    assert [row["key"] for row in rows[:3]] == [row["key"] for row in ROWS]
    labels = [{"id": row["prediction_id"], "label": "stays"} for row in (rows[0], rows[-1])]
    assert server.ask("/v2/models/payments/churn/feedback", labels).json["accepted"] == 2


def test_without_a_file_to_write_the_rows_are_printed(
    tmp_path: Path, server: Running, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Data goes to standard output, as CSV or JSON, and what is said about it to standard error."""
    file = write(tmp_path, "csv")
    code, out, err = verb(["payments/churn", file, "--url", server.url, "--only"], capfdbinary)
    assert code == 0
    assert out.splitlines()[0] == '"prediction","probability","release","prediction_id"'
    assert len(out.splitlines()) == 4
    assert err == "3 rows predicted by payments/churn, release 3\n"
    code, out, _ = verb(["payments/churn", file, "--url", server.url, "--output", "json"], capfdbinary)
    assert [row["key"] for row in json.loads(out)] == [row["key"] for row in ROWS]


WRONG: dict[str, tuple[str, str, str, str]] = {
    "missing": ("r.csv", "amount,items,country,abroad\n1,2,DE,true\n", "missing-column", "no column 'opened'"),
    "near": ("r.json", '[{"amont": 1, "items": 1, "country": "DE", "abroad": true, "opened": "2026-01-01"}]',
             "missing-column", "it has 'amont'"),
    "value": ("r.csv", "amount,items,country,abroad,opened\n1,2,DE,true,2026-01-01\nx,2,DE,true,2026-01-01\n",
              "value-type", "'x' in column 'amount', which is no number"),
    "null": ("r.jsonl", '{"amount": null, "items": 1, "country": "DE", "abroad": true, "opened": "2026-01-01"}',
             "not-predicted", "input 'amount', row 0: the value is missing"),
    "unseen": ("r.jsonl", '{"amount": 1, "items": 1, "country": "XX", "abroad": true, "opened": "2026-01-01"}',
               "not-predicted", "input 'country': 'XX' is none of the categories"),
    "not-json": ("r.json", "[{", "data-unreadable", "is not JSON"),
    "nan": ("r.jsonl", '{"amount": 1}\n{"amount": NaN}', "data-unreadable", "r.jsonl:2:1: r.jsonl is not JSON: NaN"),
    "no-records": ("r.json", "[1]", "data-unreadable", "row 0 is not a record"),
    "binary": ("r.jsonl", "\udcff", "data-unreadable", "is not UTF-8"),
    "taken": ("r.csv", "amount,items,country,abroad,opened,release\n1,2,DE,true,2026-01-01,5\n",
              "column-taken", "a column 'release' already"),
    "ragged": ("r.csv", "amount,items,country,abroad,opened\n1,2\n", "ragged-row", "row 1 of r.csv has 2 fields"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_an_error_with_its_place_and_writes_nothing(
    tmp_path: Path, churn: FromRelease, name: str
) -> None:
    """The code and the sentence say what is wrong; no file appears, whole or half."""
    file, text, code, said = WRONG[name]
    (tmp_path / file).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelOpsError) as caught:
        score(tmp_path / file, tmp_path / "out.csv", churn)
    assert caught.value.first.code == code, caught.value
    assert said in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == [file]


def test_the_columns_of_the_file_can_stay_out(tmp_path: Path, churn: FromRelease) -> None:
    """With --only a name that is taken does not matter; a file without rows gives one with the names alone."""
    rows = [{name: value for name, value in row.items() if name != "key"} | {"release": 1} for row in ROWS]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    score(file, tmp_path / "out.json", churn, only=True)
    assert [list(row) for row in read(tmp_path / "out.json")] == [["prediction", "probability", "release"]] * 3
    (tmp_path / "none.csv").write_text("amount,items,country,abroad,opened\n")
    for kind in ("csv", "parquet", "json", "jsonl"):
        assert score(tmp_path / "none.csv", tmp_path / f"none-out.{kind}", churn).rows == 0
        assert read(tmp_path / f"none-out.{kind}") == []


def test_wrong_words_and_a_world_that_fails_have_their_exit_codes(
    tmp_path: Path, server: Running, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """2 for what was asked wrongly, 4 for a server that is not there or refuses; nothing is written then."""
    file, out = write(tmp_path, "csv"), tmp_path / "out.csv"
    asked = ["payments/churn", file, out]
    assert verb([*asked, "--url", server.url, "--release", 1], capfdbinary)[0] == 2
    assert verb(["payments/churn", tmp_path / "none.csv", "--url", server.url], capfdbinary)[0] == 2
    code, _, err = verb(["payments/churn", file, tmp_path / "out.txt", "--url", server.url], capfdbinary)
    assert (code, "[bad-output-file]" in err) == (2, True)
    code, _, err = verb(["payments/churn", file, file, "--url", server.url], capfdbinary)
    assert (code, "is the file that is read" in err) == (2, True)
    code, _, err = verb(["payments/churn", file, tmp_path / "none" / "out.csv", "--url", server.url], capfdbinary)
    assert (code, "[unwritable]" in err) == (4, True)
    code, _, err = verb(["nope", file, out, "--url", server.url], capfdbinary)
    assert (code, "answers 404: there is no model 'nope'" in err) == (4, True)
    code, _, err = verb([*asked, "--url", "http://127.0.0.1:1"], capfdbinary)
    assert (code, "cannot be asked" in err, "[not-predicted]" in err) == (4, True, True)
    assert verb([*asked, "--url", "ftp://x"], capfdbinary)[0] == 2
    assert not out.exists()
