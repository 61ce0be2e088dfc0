"""What a client sends as it stands in the file is read as the file was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.snapshots import Project
from modelops.artifacts import Signature
from modelops.artifacts.signature import Input
from modelops.errors import ModelOpsError
from modelops.serving.inputs import Binder
from modelops.serving.protocol import InferRequest, Tensor
from modelops.spec.texts.reading import ColumnReading, TextReading

ROWS = [
    {"kg": "1.234,5", "n": "1.778", "neu": "JA", "seit": "3. März 2024", "region": " NA ", "alter": "-999"},
    {"kg": "7,25", "n": "647", "neu": "nein", "seit": "12. Dez. 2023", "region": "NA", "alter": "31"},
    {"kg": "", "n": "12.100", "neu": "k.A.", "seit": "1. Mai 2022", "region": "EU", "alter": "44"},
]
NAMES = list(ROWS[0])
READING = ("region=", "alter=-999", "neu=k.A.")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "models" / "m").mkdir(parents=True)
    (tmp_path / "d").mkdir()
    return Project(tmp_path)


def bind(signature: Signature, row: dict[str, tuple[str, Any]]) -> Any:
    tensors = [Tensor(name, [1], kind, data=[value]) for name, (kind, value) in row.items()]
    return Binder(signature, takes_matrix=False).bind(InferRequest(inputs=tensors), frozenset(row))


def test_a_request_in_the_words_of_the_file_is_the_row_of_the_file(project: Project) -> None:
    """Numbers with marks, words for yes, dates in a language, stand-ins: the same values, typed or as text."""
    lines = ["|".join(NAMES), *("|".join(row.values()) for row in ROWS)]
    project.write({"d/a.csv": "\n".join(lines) + "\n"})
    spec = project.take(missing=READING, decimal=",")
    rows = project.rows(spec).to_pylist()
    features = tuple(Input(name=each.name, type=each.type, nullable=True) for each in spec.columns)
    reading = spec.reading()
    signature = Signature(
        model="m", task="regression", features=features, target="y", engine="sklearn", text=reading
    )  # fmt: skip
    assert Signature.parse(signature.dump()) == signature
    for row, known in zip(ROWS, rows, strict=True):
        logged = bind(signature, {name: ("BYTES", value or None) for name, value in row.items()}).logged[0]
        instant = datetime.fromisoformat(logged[NAMES.index("seit")])
        assert [*logged[:3], instant, *logged[4:]] == list(known.values())
    assert rows[0] == {
        "kg": 1234.5, "n": 1778, "neu": True, "seit": datetime(2024, 3, 3, tzinfo=UTC), "region": "NA", "alter": None,
    }  # fmt: skip


def test_a_number_that_stands_for_a_missing_value_does_so_in_every_request() -> None:
    """Alone, among many and in a matrix; a number written where a date is has the date's meaning."""
    features = tuple(Input(name=name, type=kind, nullable=True) for name, kind in (("a", "number"), ("b", "integer")))
    text = TextReading(missing=("-999",))
    signature = Signature(model="m", task="regression", features=features, target="y", engine="sklearn", text=text)
    bound = bind(signature, {"a": ("FP64", -999.0), "b": ("INT64", -999)})
    assert [np.isnan(bound.columns[name][0]) for name in ("a", "b")] == [True, True]
    matrix = InferRequest(inputs=[Tensor("features", [2, 2], "FP64", data=[-999.0, 1.0, 2.0, -999.0])])
    found = Binder(signature, takes_matrix=True).bind(matrix, frozenset()).matrix
    assert found is not None
    assert np.isnan(found).tolist() == [[True, False], [False, True]]
    day = (Input(name="d", type="datetime"),)
    dated = TextReading(columns={"d": ColumnReading(format="%Y%m%d")})
    signature = signature.model_copy(update={"features": day, "text": dated})
    for sent in (("INT64", 20240131), ("BYTES", "20240131")):
        assert bind(signature, {"d": sent}).columns["d"][0] == datetime(2024, 1, 31, tzinfo=UTC).timestamp()


def test_a_text_that_has_no_value_is_refused_by_name() -> None:
    """The input, the row and the text are said."""
    text = TextReading(columns={"n": ColumnReading(format="1.234,5")})
    features = (Input(name="n", type="integer"),)
    signature = Signature(model="m", task="regression", features=features, target="y", engine="sklearn", text=text)
    with pytest.raises(ModelOpsError, match=r"input 'n', row 0: '1,234\.5' is not of type integer"):
        bind(signature, {"n": ("BYTES", "1,234.5")})


@pytest.mark.parametrize("rows", [1, 2])
def test_an_integer_that_the_log_cannot_hold_is_refused(rows: int) -> None:
    """Written as a text, as a float or unsigned, with more digits than Python reads; the ends of the range are held."""
    features = (Input(name="a", type="integer"),)
    signature = Signature(
        model="m", task="regression", features=features, target="y", engine="sklearn", text=TextReading()
    )  # fmt: skip
    binder = Binder(signature, takes_matrix=False)

    def given(kind: str, value: Any) -> Any:
        request = InferRequest(inputs=[Tensor("a", [rows], kind, data=[value] * rows)])
        return binder.feature_json(binder.bind(request, {"a"}).logged[0])

    texts = ("9" * 23, "-9223372036854775809", "9" * 400, "9" * 5000)
    for kind, value in (*(("BYTES", text) for text in texts), ("FP64", 1e23), ("UINT64", 1 << 63)):
        with pytest.raises(ModelOpsError, match="out of range of INT64"):
            given(kind, value)
    for value in (-(1 << 63), (1 << 63) - 1):
        assert given("BYTES", str(value)) == given("INT64", value) == b'{"a":%d}' % value
