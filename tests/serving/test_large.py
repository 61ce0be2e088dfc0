"""Large requests are read by a process of their own, and mean what small ones mean."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelops.errors import ModelOpsError
from modelops.serving.asking.apart import APART_BYTES, BEHIND, Reader
from modelops.serving.forms import TENSORS, Form, Takes
from modelops.serving.http import Request
from modelops.serving.offers.records import INVOCATIONS, RECORDS
from modelops.serving.protocol import InferRequest
from serving.served_models import Running, tensor
from waiting import wait_for


class Model:
    """What forms ask of a model."""

    declared = {"x": "FP64", "y": "INT64", "name": "BYTES"}
    known = ("x", "y", "name")


def children() -> set[int]:
    if sys.platform != "linux":
        pytest.skip("what a process has started is told by Linux alone")
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def rows(count: int) -> list[dict[str, Any]]:
    drawn = random.Random(0)
    values = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 3, 2**60, None]
    return [
        {"x": drawn.choice(values), "y": drawn.randrange(-(2**63), 2**63), "name": f"ä {row} \u2028 {drawn.random()}"}
        for row in range(count)
    ]


def as_tensors(records: list[dict[str, Any]]) -> dict[str, Any]:
    types = Model.declared
    inputs = [tensor(name, types[name], [record[name] for record in records]) for name in types]
    inputs[0] |= {"shape": [len(records), 1], "data": [[record["x"]] for record in records]}
    inputs[1]["parameters"] = {"a": True, "b": 1.5, "c": None}
    outputs = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probability"}]
    return {"id": "an id", "parameters": {"entity_id": "e"}, "inputs": inputs, "outputs": outputs}


BODIES: dict[str, tuple[Form, Any]] = {
    "tensors": (TENSORS, as_tensors(rows(9000))),
    "records": (RECORDS, {"records": rows(9000), "id": "an id"}),
    "invocations": (INVOCATIONS, {"dataframe_split": {"columns": ["y", "x"], "data": [[1, 0.5]] * 90_000}}),
}


def read_here(reader: Reader, form: Form, request: Request) -> list[Request]:
    """Return what of a request this process reads."""
    here = []

    def read(request: Request, model: Takes) -> InferRequest:
        here.append(request)
        return form.read(request, model)

    reader.read(form._replace(read=read), request, Model())
    return here


def await_process(reader: Reader) -> None:
    request = Request(b"POST", b"/", {}, json.dumps(BODIES["records"][1]).encode())
    wait_for(lambda: not read_here(reader, RECORDS, request))


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """Its process can read already."""
    reader = Reader()
    await_process(reader)
    yield reader
    reader.close()


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", BODIES)
def test_another_process_reads_what_this_one_reads(reader: Reader, kind: str, compressed: bool) -> None:
    """Every value, its type, the missing ones, parameters and outputs come back as they are read here."""
    form, content = BODIES[kind]
    body = json.dumps(content).encode()
    assert len(body) > APART_BYTES
    headers = {b"content-encoding": b"gzip"} if compressed else {}
    request = Request(b"POST", b"/", headers, gzip.compress(body) if compressed else body)
    assert repr(reader.read(form, request, Model())) == repr(form.read(request, Model()))
    assert not read_here(reader, form, request)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (TENSORS, '{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [%s]}]}'),
        (TENSORS, '{"inputs": [], "more": [%s]}'),
        (TENSORS, '{"inputs": 1, "more": [%s]'),
        (RECORDS, '{"records": [{"x": 1, "x": 2}], "more": [%s]}'),
        (RECORDS, "[%s, {}]"),
        (TENSORS, '{"inputs": [], "parameters": {"a": 1%s}, "x": [%%s]}' % ("0" * 30)),
        (TENSORS, '{"inputs": [], "outputs": [{"name": "x", "parameters": {"a": -9223372036854775809}}], "x": [%s]}'),
        (RECORDS, '{"records": [{"x": 1}], "parameters": {"a": 1%s}, "x": [%%s]}' % ("0" * 30)),
        (RECORDS, '{"records": [{"x": 1}, {"x": %s}], "y": [%%s]}' % ("[" * 300 + "]" * 300)),
        (RECORDS, '{"records": [{"x": 1}, %s], "y": [%%s]}' % ("[" * 300 + "]" * 300)),
        (RECORDS, '{"records": [{"x": 1}], "id": %s, "y": [%%s]}' % ("[" * 300 + "]" * 300)),
    ],
)
def test_another_process_refuses_in_the_same_words(reader: Reader, form: Form, text: str) -> None:
    """Code, sentence and hint are those of this process."""
    request = Request(b"POST", b"/", {}, (text % ", ".join(["0.5"] * 90_000)).encode())
    with pytest.raises(ModelOpsError) as here:
        form.read(request, Model())
    with pytest.raises(ModelOpsError) as there:
        reader.read(form, request, Model())
    assert there.value.problems == here.value.problems


def test_what_nobody_thought_of_ends_its_request_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """The request is answered as one on which the server failed, whose log says why; the next is read by the same."""
    form, content = BODIES["tensors"]
    request = Request(b"POST", b"/", {}, json.dumps(content).encode())
    own = Reader()
    try:
        await_process(own)
        expected = repr(own.read(form, request, Model()))
        before = children()
        with pytest.raises(ModelOpsError) as refused:
            own.read(form._replace(apart="tensors of another kind"), request, Model())
        assert refused.value.first.code == "server-defect"
        assert "KeyError" in capfd.readouterr().err
        assert repr(own.read(form, request, Model())) == expected
        assert children() == before
    finally:
        own.close()


def test_what_reads_may_be_killed() -> None:
    """A request is read all the same, and later ones by another process; the end of the reader leaves none."""
    form, content = BODIES["records"]
    request = Request(b"POST", b"/", {}, json.dumps(content).encode())
    before = children()
    own = Reader()
    expected = repr(form.read(request, Model()))
    await_process(own)
    (pid,) = children() - before
    os.kill(pid, signal.SIGKILL)
    assert repr(own.read(form, request, Model())) == expected
    await_process(own)
    assert repr(own.read(form, request, Model())) == expected
    (other,) = children() - before
    assert other != pid
    own.close()
    assert children() == before


def test_what_reads_comes_after_the_server() -> None:
    """It is nicer from its start on and never preempts, in the session of the server, beside which that counts."""
    before = children()
    own = Reader()
    form, content = BODIES["records"]
    try:
        own.read(form, Request(b"POST", b"/", {}, json.dumps(content).encode()), Model())
        (pid,) = children() - before
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + BEHIND)
        assert os.sched_getscheduler(pid) == os.SCHED_BATCH
        assert (os.getsid(pid), os.getpgid(pid)) == (os.getsid(0), pid)
    finally:
        own.close()


def test_nobody_waits_for_the_process_that_reads_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it says that it can read, requests are read here; it is begun once, and ended with the reader."""
    program = tmp_path / "never-ready"
    program.write_text("#!/bin/sh\nexec sleep 3600\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    form, content = BODIES["records"]
    request = Request(b"POST", b"/", {}, json.dumps(content).encode())
    before = children()
    own = Reader()
    for _ in range(3):
        assert repr(own.read(form, request, Model())) == repr(form.read(request, Model()))
    assert len(children() - before) == 1
    own.close()
    assert children() == before


def test_a_server_answers_large_requests_as_small_ones(server: Running) -> None:
    """Tensors and records of thousands of rows get the answers of their rows."""
    drawn = random.Random(1)
    records = [{"x": drawn.random(), "y": drawn.random()} for _ in range(8000)]
    few = server.ask("/v2/models/fraud/predict", records[:3]).json["predictions"]
    many = server.ask("/v2/models/fraud/predict", records)
    assert many.status == 200
    assert [row["label"] for row in many.json["predictions"][:3]] == [row["label"] for row in few]
    inputs = [tensor(name, "FP64", [row[name] for row in records]) for name in ("x", "y")]
    answer = server.ask("/v2/models/fraud/infer", {"inputs": inputs})
    assert answer.status == 200
    assert [row["probability"] for row in many.json["predictions"]] == answer.json["outputs"][0]["data"]
    wrong = server.ask("/v2/models/fraud/predict", [*records, {"x": "text", "y": 1.0}])
    assert (wrong.status, "'x'" in wrong.json["error"]) == (400, True)
