"""`modelops feedback`: files of labels through a real server, with the report and the exit codes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelops.cli import main
from modelops.predictions import find
from registry_world import free_port
from serving.served_models import Running, open_store, pack_model, route, running, tensor

MATRIX = tensor("features", "FP64", [0.5, 1.0], [1, 2])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of a classifier and a regressor."""
    folder = tmp_path_factory.mktemp("served")
    store = open_store(folder / "store")
    values = np.random.default_rng(0).normal(size=(60, 2))
    rows = {"a": values[:, 0].tolist(), "b": values[:, 1].tolist()}
    features = [(name, "number", False) for name in rows]
    signature = {"model": "fraud", "task": "binary-classification", "classes": (0, 1), "positive": 1}
    fraud = pack_model(
        store, LogisticRegression(), rows, (values[:, 0] > 0).astype(int).tolist(), signature | {"features": features}
    )
    price = pack_model(
        store,
        LinearRegression(),
        rows,
        values.sum(axis=1).tolist(),
        {"model": "price", "task": "regression", "features": features},
    )
    models = {
        "fraud": route(("stable", 1, fraud, 1.0), log="acknowledged"),
        "price": route(("stable", 1, price, 1.0), log="acknowledged"),
    }
    with running(folder / "runtime", store, models) as served:
        yield served


def predict(server: Running, model: str, count: int) -> list[str]:
    path = f"/v2/models/{model}/infer"
    return [server.ask(path, {"inputs": [MATRIX]}).json["parameters"]["prediction_id"] for _ in range(count)]


def tell(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["feedback", "production", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def write_labels(folder: Path, kind: str, rows: list[dict[str, object]]) -> Path:
    file = folder / f"labels.{kind}"
    match kind:
        case "csv":
            lines = ["label,note,id", *(f"{row['label']},x,{row['id']}" for row in rows)]
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        case "jsonl":
            file.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
        case _:
            pq.write_table(pa.Table.from_pylist(rows), file)
    return file


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(("model", "first", "second"), [("fraud", 1, 0), ("price", 1.5, 2.5)])
def test_labels_come_from_a_file(
    server: Running,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    model: str,
    first: object,
    second: object,
) -> None:
    """Every label is joined; sending the file again changes nothing; another label replaces and is counted."""
    ids = predict(server, model, 3)
    file = write_labels(tmp_path, kind, [{"id": id, "label": first} for id in ids])
    options = [file, "--model", model, "--url", server.url, "-o", "json"]
    for _ in range(2):
        code, out, err = tell(options, capsys)
        assert (code, err) == (0, "")
        expected = {"labels": 3, "accepted": 3, "replaced": 0, "unknown": 0, "refused": 0, "problems": []}
        assert json.loads(out) == expected
    write_labels(tmp_path, kind, [{"id": ids[0], "label": second}, {"id": ids[1], "label": first}])
    assert json.loads(tell(options, capsys)[1])["replaced"] == 1
    found = [find(server.log, id) for id in ids]
    assert [(each.truth, each.revisions) for each in found if each] == [
        (str(second), 1),
        (str(first), 0),
        (str(first), 0),
    ]


def test_labels_that_were_not_taken_are_listed_and_exit_1(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown predictions and impossible labels are told apart, by line; the others of the file are taken."""
    (id,) = predict(server, "fraud", 1)
    rows = [{"id": id, "label": "maybe"}, {"id": "nobody", "label": 1}, {"id": id, "label": 1}]
    file = write_labels(tmp_path, "csv", rows)
    options = [file, "--model", "fraud", "--url", server.url]
    code, out, _ = tell([*options, "-o", "json"], capsys)
    report = json.loads(out)
    assert code == 1
    assert (report["accepted"], report["unknown"], report["refused"]) == (1, 1, 1)
    assert [(each["line"], each["code"]) for each in report["problems"]] == [
        (2, "bad-label"),
        (3, "unknown-prediction"),
    ]
    code, out, _ = tell(options, capsys)
    assert code == 1
    assert "3 labels: 1 accepted (0 of them replaced another label), 1 of unknown predictions, 1 refused" in out
    assert "not one of 0, 1" in out


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("l.csv", b"id,truth\na,1\n", "labels.csv:1"),
        ("l.csv", b"id,label\na,\n", "labels.csv:2"),
        ("l.csv", b"id,label\n\x81,1\n", "data-encoding"),
        ("l.csv", b"", "data-empty"),
        ("l.jsonl", b'{"id": 3, "label": 1}\n{"id": 7, "label": 1}\n', "labels.jsonl:1"),
        ("l.jsonl", b'{"id": "a", "label": 1}\n{"id": "b", "label": null}\n', "labels.jsonl:2"),
        ("l.jsonl", b'{"id": "a"}\n', "has the columns id"),
        ("l.jsonl", b"{1\n", "not JSON"),
        ("l.parquet", b"PAR1", "not a whole Parquet file"),
    ],
)
def test_a_bad_file_is_named_with_its_line_and_sends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, said: str
) -> None:
    """What is wrong with a file is said before anything is sent, with exit 3."""
    file = tmp_path / f"labels{Path(name).suffix}"
    file.write_bytes(content)
    code, _, err = tell([file, "--model", "fraud", "--url", "http://127.0.0.1:9"], capsys)
    assert code == 3
    assert said in err


FORMS = {
    "semicolons and a mark": lambda rows: ("id;label\r\n" + "".join(f"{i};{v}\r\n" for i, v in rows)).encode("utf-16"),
    "an archive": lambda rows: zipped("l.csv", "id,label\n" + "".join(f"{i},{v}\n" for i, v in rows)),
}


def zipped(name: str, text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, text)
    return file.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_labels_are_read_in_the_formats_of_data(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """What a spreadsheet exports as a table is taken as labels too."""
    ids = predict(server, "fraud", 2)
    file = tmp_path / "labels.csv"
    file.write_bytes(FORMS[form]([(id, " 1 ") for id in ids]))
    code, out, err = tell([file, "--model", "fraud", "--url", server.url, "-o", "json"], capsys)
    assert (code, json.loads(out)["accepted"], err) == (0, 2, "")


def test_wrong_usage_is_exit_2(server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another kind of file, no model where several are served, and no address of a server are the caller's mistakes."""
    file = write_labels(tmp_path, "csv", [{"id": "a", "label": 1}])
    for arguments, said in (
        ([tmp_path / "none.csv", "--url", server.url], "there is no file"),
        ([file, "--url", server.url], "pass --model with one of: fraud, price"),
        ([file, "--url", "nowhere"], "not the address of a server"),
    ):
        code, _, err = tell(arguments, capsys)
        assert code == 2
        assert said in err


def test_no_server_is_exit_4(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: Running) -> None:
    """A server that is not there, or does not know the model, is a failed world."""
    file = write_labels(tmp_path, "csv", [{"id": "a", "label": 1}])
    for url, model in ((f"http://127.0.0.1:{free_port()}", "fraud"), (server.url, "nothing")):
        code, _, err = tell([file, "--model", model, "--url", url], capsys)
        assert code == 4
        assert "[feedback-not-taken]" in err
        assert "labels that were taken do not change" in err
