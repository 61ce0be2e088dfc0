"""Taking snapshots: what is measured, where the bytes come from, and what stays the same."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.snapshots import Project, column, problem_of
from modelops import data, plugins
from modelops.data.measuring import SAMPLE_ROWS
from modelops.errors import Exit, ModelOpsError
from modelops.spec.kinds.data_snapshot import Source
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec
from modelops.spec.load import load_resource
from modelops.spec.yaml.dump import dump
from modelops.views.data import comparison


def write_parquet(project: Project, name: str, table: pa.Table) -> None:
    pq.write_table(table, project.root / "d" / name)


def test_parquet_types_map_to_the_five_feature_types(project: Project) -> None:
    """Every plain Parquet type has a feature type; dates without a zone are UTC; empty text is missing."""
    write_parquet(
        project,
        "a.parquet",
        pa.table(
            {
                "integer": pa.array([1, None, 3], pa.int8()),
                "number": pa.array([1.5, float("nan"), float("inf")], pa.float32()),
                "decimal": pa.array([Decimal("1.5"), None, Decimal("2.5")]),
                "boolean": pa.array([True, None, False]),
                "text": pa.array(["a", "", None], pa.large_string()),
                "coded": pa.array(["a", "b", "a"]).dictionary_encode(),
                "day": pa.array([date(2024, 1, 31), None, date(2024, 2, 1)]),
                "instant": pa.array([datetime(2024, 1, 31, 10), None, None], pa.timestamp("ns")),
                "nothing": pa.nulls(3),
            }
        ),
    )
    spec = project.take()
    found = {each.name: (each.type, each.missing) for each in spec.columns}
    assert found == {
        "integer": ("integer", 1),
        "number": ("number", 2),
        "decimal": ("number", 1),
        "boolean": ("boolean", 1),
        "text": ("category", 2),
        "coded": ("category", 0),
        "day": ("datetime", 1),
        "instant": ("datetime", 2),
        "nothing": ("category", 3),
    }
    rows = project.rows(spec)
    assert rows.schema == data.schema_of(spec)
    assert rows.column("instant")[0].as_py() == datetime(2024, 1, 31, 10, tzinfo=UTC)


def test_parquet_files_must_agree_on_types(project: Project) -> None:
    """Integers beside numbers are numbers; text beside numbers names the odd file; nested columns are named."""
    for name, values in (("a", [1, 2]), ("b", [3, 4]), ("c", [0.5, 1.5])):
        write_parquet(project, f"{name}.parquet", pa.table({"x": values}))
    assert column(project.take(), "x").type == "number"
    write_parquet(project, "z.parquet", pa.table({"x": ["one"]}))
    with pytest.raises(ModelOpsError, match=r"'x' is category in z\.parquet and number in the other files"):
        project.take()
    write_parquet(project, "z.parquet", pa.table({"x": [[1]]}))
    with pytest.raises(ModelOpsError, match=r"no column of a\.parquet can be read: x: values of type list") as caught:
        project.take()
    assert problem_of(caught.value).code == "column-type"
    write_parquet(project, "z.parquet", pa.table({"x": [[1]], "y": [1]}))
    assert project.take("z.parquet").unread == {"x": "values of type list<element: int64> are not flat"}


@pytest.mark.parametrize(("content", "code"), [(b"", "data-empty"), (b"PAR1xxxx", "data-unreadable")])
def test_a_broken_parquet_file_is_named(project: Project, content: bytes, code: str) -> None:
    """An empty or cut Parquet file is an error that names it."""
    project.write({"d/a.parquet": content})
    with pytest.raises(ModelOpsError, match=r"a\.parquet") as caught:
        project.take()
    assert problem_of(caught.value).code == code


def test_everything_measured_is_written_and_read_back(project: Project) -> None:
    """Ranges, labels and time span are what the rows hold, round where few have an end; the file round-trips."""
    project.write(
        {"d/a.csv": "when,amount,plan,late\n2024-03-01,10,a,yes\n2024-01-15,20.5,b,no\n,,a,no\n2024-02-01,20.5,a,no\n"}
    )
    spec = project.take(target="late", time="when", features=("amount", "plan"))
    amount = column(spec, "amount")
    assert (amount.minimum, amount.maximum, amount.mean, amount.distinct, amount.missing) == (10.0, 30.0, 17.0, 2, 1)
    assert column(spec, "plan").top == {}
    assert spec.time_span is not None
    assert (spec.time_span.first, spec.time_span.last) == ("2024-01-15T00:00:00Z", "2024-03-01T00:00:00Z")
    assert set(spec.profile) == {"amount", "plan"}
    path = "models/m/data/a.yaml"
    assert load_resource(dump("DataSnapshot", "a", spec, path=path), path).spec == spec


def test_identifiers_stay_out_of_git(project: Project) -> None:
    """A text that differs in nearly every row is counted, but its values are neither listed nor profiled."""
    project.write({"d/a.csv": "email,x\n" + "".join(f"p{n}@example.com,{n % 7}\n" for n in range(500))})
    spec = project.take()
    assert (column(spec, "email").distinct, column(spec, "email").top) == (500, {})
    assert set(spec.profile) == {"x"}
    assert b"example.com" not in dump("DataSnapshot", "a", spec)


def test_the_datasheet_measures_what_it_can_and_keeps_what_people_said(project: Project) -> None:
    """Human answers of the previous snapshot stay, measured ones are renewed, gaps are explicit."""
    project.write({"d/a.csv": "x,y\n1,0\n1,0\n2,1\n"})
    first = project.take(target="y")
    assert list(first.datasheet) == [
        "motivation", "composition", "collection", "preprocessing", "uses", "distribution", "maintenance"
    ]  # fmt: skip
    answers = {each.question: each for each in first.datasheet["composition"]}
    assert answers["How many rows are there?"].answer == "3 rows in 1 files."
    assert answers["Are there errors, noise or duplicates?"].answer == "1 rows repeat another row."
    assert data.unanswered(first.datasheet)["motivation"] == 3
    sheet = dict(first.datasheet)
    question = sheet["motivation"][0]
    sheet["motivation"] = (question.model_copy(update={"answer": "To predict y."}), *sheet["motivation"][1:])
    edited = first.model_copy(update={"datasheet": sheet})
    project.write({"d/a.csv": "x,y\n1,0\n2,1\n"})
    second = data.take(
        first.source, **project.places, paths=("a.csv",), wanted=data.Wanted(target="y"), previous=edited
    )
    assert second.datasheet["motivation"][0].answer == "To predict y."
    assert {each.question: each.answer for each in second.datasheet["composition"]}["How many rows are there?"] == (
        "2 rows in 1 files."
    )


def test_a_snapshot_is_a_function_of_the_bytes(project: Project, tmp_path: Path) -> None:
    """Two takes in two places are equal, and the root covers names, sizes and content."""
    project.write({"d/a.csv": "x\n1\n2\n", "d/sub/b.csv": "x\n3\n", "d/_SUCCESS.csv": "", "d/.hidden.csv": ""})
    other = Project(tmp_path / "other")
    other.write({"d/sub/b.csv": "x\n3\n", "d/a.csv": "x\n1\n2\n", "models/m/train.py": ""})
    assert project.take() == other.take()
    assert [file.path for file in project.take().files] == ["a.csv", "sub/b.csv"]
    renamed = Project(tmp_path / "renamed")
    renamed.write({"d/a.csv": "x\n1\n2\n", "d/sub/c.csv": "x\n3\n"})
    assert renamed.take().root != project.take().root


def test_many_rows_are_profiled_exactly_from_sampled_edges(project: Project) -> None:
    """Above the sample's size the bins come from a sample, but every row is counted, missing ones too."""
    rng = np.random.default_rng(0)
    n = SAMPLE_ROWS + 50_000
    numbers = pa.array(rng.normal(size=n), mask=rng.random(n) < 0.1)
    write_parquet(project, "a.parquet", pa.table({"x": numbers, "c": pa.array(rng.choice(["a", "b", "c"], n))}))
    spec = project.take()
    summary = spec.profile["x"]
    assert sum(summary.counts) == n - numbers.null_count
    assert summary.missing == numbers.null_count == column(spec, "x").missing
    assert (len(summary.counts), len(summary.means)) == (112, 112)
    assert max(summary.counts) < 1.2 * sorted(summary.counts)[14]
    assert (summary.minimum, summary.maximum) == (column(spec, "x").minimum, column(spec, "x").maximum)
    assert sum(spec.profile["c"].counts) == n


def test_a_command_makes_the_files_in_a_clean_environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command runs in the model's folder without secrets; what it wrote is placed by its root."""
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    program = (
        "import os, sys, pathlib; assert pathlib.Path('make.txt').exists(); "
        "pathlib.Path(sys.argv[1], 'a.csv').write_text('name\\n' + '\\n'.join(sorted(os.environ)))"
    )
    project.write({"models/m/make.txt": ""})
    source = Source(type="command", command=("python", "-c", program, "{output}"), owner="team")
    spec = data.take(source, **project.places)
    names = set(project.rows(spec).column("name").to_pylist())
    assert "PATH" in names
    assert "DATABASE_PASSWORD" not in names
    assert data.verify(spec, **project.places) == ()


COMMANDS = [
    ("fails", ("python", "-c", "import sys; sys.exit('no such table')", "{output}"), "ended with 1:\nno such table"),
    ("hangs", ("python", "-c", "import time; time.sleep(60)", "{output}"), "ran longer than 0.5 s"),
    ("is absent", ("no-such-program", "{output}"), "cannot be started"),
    ("writes nowhere", ("python", "-V"), "has no {output}"),
    ("writes nothing", ("python", "-c", "", "{output}"), "holds no file of data"),
]


@pytest.mark.parametrize(("command", "words"), [case[1:] for case in COMMANDS], ids=[case[0] for case in COMMANDS])
def test_a_command_that_does_not_make_files_is_an_error(project: Project, command: tuple[str, ...], words: str) -> None:
    """A command that fails, hangs or writes nothing is reported with its own last words."""
    source = Source(type="command", command=command, owner="team")
    with pytest.raises(ModelOpsError) as caught:
        data.take(source, **project.places, limits=data.Limits(command_seconds=0.5 if "sleep" in str(command) else 60))
    assert words in problem_of(caught.value).message
    assert not [path for path in (project.root / ".modelops").rglob("*") if path.is_file() and path.suffix != ".lock"]


class Files(http.server.BaseHTTPRequestHandler):
    content = b"x,y\n1,2\n3,4\n"

    def do_GET(self) -> None:
        if self.path == "/gone.csv":
            self.send_error(404)
            return
        if self.path == "/busy.csv":
            self.send_error(503)
            return
        self.send_response(200)
        extra = 10 if self.path == "/cut.csv" else 0
        length = "plenty" if self.path == "/odd.csv" else str(len(self.content) + extra)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


def test_a_url_is_fetched_pinned_and_verified(project: Project, server: str) -> None:
    """The file behind a URL is placed when it is taken, and a changed one is noticed later."""
    project = replace(project, locations=(server, "http://127.0.0.1:9/"))
    source, paths = data.url_source(f"{server}/a.csv", owner="team")
    spec = data.take(source, **project.places, paths=paths)
    assert project.rows(spec).to_pydict() == {"x": [1, 3], "y": [2, 4]}
    assert data.verify(spec, **project.places) == ()
    Files.content, kept = b"x,y\n1,2\n3,5\n", Files.content
    try:
        assert [each.code for each in data.verify(spec, **project.places)] == ["data-changed"]
        assert project.rows(spec).num_rows == 2, "what was placed stays"
    finally:
        Files.content = kept


def test_a_length_that_is_no_number_is_not_a_length(project: Project, server: str) -> None:
    """A server that announces nonsense still gives its file."""
    project = replace(project, locations=(server, "http://127.0.0.1:9/"))
    source, paths = data.url_source(f"{server}/odd.csv", owner="team")
    assert data.take(source, **project.places, paths=paths).rows == 2


@pytest.mark.parametrize(
    ("name", "code", "exit"),
    [
        ("gone.csv", "data-missing", Exit.FILES),
        ("busy.csv", "data-unreachable", Exit.WORLD),
        ("cut.csv", "data-truncated", Exit.WORLD),
    ],
)
def test_a_url_that_does_not_give_the_file_is_an_error(
    project: Project, server: str, name: str, code: str, exit: Exit
) -> None:
    """Absent is the user's problem; busy and cut short may be retried."""
    project = replace(project, locations=(server, "http://127.0.0.1:9/"))
    source, paths = data.url_source(f"{server}/{name}", owner="team")
    with pytest.raises(ModelOpsError) as caught:
        data.take(source, **project.places, paths=paths)
    assert (problem_of(caught.value).code, caught.value.exit) == (code, exit)


def test_a_download_has_limits_and_an_address_no_secrets(project: Project, server: str) -> None:
    """Too many bytes, a server that is not there, other schemes and credentials are refused."""
    project = replace(project, locations=(server, "http://127.0.0.1:9/"))
    source, paths = data.url_source(f"{server}/a.csv", owner="team")
    with pytest.raises(ModelOpsError, match="more than 5 bytes"):
        data.take(source, **project.places, paths=paths, limits=data.Limits(download_bytes=5))
    silent, paths = data.url_source("http://127.0.0.1:9/a.csv", owner="team")
    with pytest.raises(ModelOpsError) as caught:
        data.take(silent, **project.places, paths=paths)
    assert caught.value.retryable
    for url in ("ftp://h/a.csv", "https://me:hunter2@h/a.csv", "https://h/a.csv?token=hunter2"):
        with pytest.raises(ModelOpsError) as caught:
            data.url_source(url, owner="team")
        assert problem_of(caught.value).code == "bad-url"
        assert "hunter2" not in str(caught.value)


def test_a_file_url_is_a_local_file(project: Project) -> None:
    """file:// is read in place, as the folder it names."""
    project.write({"d/a.csv": "x\n1\n2\n"})
    project = replace(project, locations=(f"{project.root}/",))
    source, paths = data.url_source((project.root / "d" / "a.csv").as_uri(), owner="team")
    assert data.take(source, **project.places, paths=paths).rows == 2


def test_new_rows_go_into_the_store_and_come_back(project: Project) -> None:
    """A snapshot of rows from the log lives in the store; its owner and datasheet are those of the old one."""
    module = plugins.load("stores", "oci-layout")
    store = module.open(module.Params(), project.root)
    project.write({"d/a.csv": "x,y\n1,0\n2,1\n"})
    old = project.take(target="y")
    model = ModelSpec(
        description="d",
        owner="o",
        risk="minimal",
        task="binary-classification",
        intended_use="u",
        data=ModelData(snapshot="a", target="y", features=(Feature(name="x", type="integer"),)),
        gates=("g",),
    )
    rows = pa.table({"x": [5, 6, 7], "y": [1, 0, 1]})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    spec = data.take_rows(sink.getvalue().to_pybytes(), "new.parquet", old, model, store=store, reason="drift")
    assert (spec.source.type, spec.source.owner, spec.source.upstream) == ("store", "team", ("prediction log",))
    assert project.rows(spec, store=store).to_pydict() == rows.to_pydict()
    assert f"data-{spec.root.removeprefix('sha256:')}" in store.references()
    assert data.verify(spec, **project.places, store=store) == ()
    with pytest.raises(ModelOpsError) as caught:
        data.verify(spec, **project.places)
    assert problem_of(caught.value).code == "store-needed"


def test_a_diff_says_what_changed_in_schema_and_distribution(project: Project) -> None:
    """Columns, types, missing values and labels are compared; drift is exact with rows and close without them."""
    rng = np.random.default_rng(1)
    n = 4000

    def table(shift: float, wire: float) -> pa.Table:
        kinds = rng.choice(["card", "wire"], n, p=[1 - wire, wire])
        return pa.table({"x": rng.normal(shift, 1, n), "kind": kinds, "y": rng.integers(0, 2, n)})

    write_parquet(project, "a.parquet", table(0, 0.1).append_column("old", pa.array([1] * n)))
    write_parquet(project, "b.parquet", table(1, 0.5).append_column("new", pa.array([1] * n)))
    before, after = project.take("a.parquet", target="y"), project.take("b.parquet", target="y")
    exact = data.compare(before, after, project.rows(after))
    assert (exact.added, exact.removed) == (("new",), ("old",))
    assert set(exact.drifted) == {"x", "kind"}
    estimated = data.compare(before, after)
    assert set(estimated.drifted) == {"x", "kind"}
    assert estimated.drift["x"].value == pytest.approx(exact.drift["x"].value, rel=0.1)
    assert estimated.drift["kind"].value == pytest.approx(exact.drift["kind"].value)
    assert "column added: new" in comparison.text(exact)
    assert comparison.data(exact)["drifted"] == list(exact.drifted)
    same = data.compare(before, before)
    assert same.same_bytes
    assert same.drifted == ()
