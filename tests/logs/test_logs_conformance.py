"""What every log on the shelf must answer: the same as the files that a server wrote, wherever they lie by now."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops import plugins
from modelops.conformance.logs import CHECKS, LATER, MODEL, Ground, check_window, rows, write
from modelops.errors import ModelOpsError
from modelops.logs import Log, RuntimeLog, exported
from modelops.logs.exported import Exported
from modelops.logs.folder import Folder
from modelops.predictions import PredictionLog

# The checker holds the files of the shelf against their Protocols.
FOLDER: Log = Folder(Path())
RUNTIME: RuntimeLog = Folder(Path())
EXPORTED: Log = Exported(Path())


ON_AN_ENGINE = pytest.mark.skip(
    reason="rows lie on an engine: tests/targets/test_docker_runner.py holds this log there"
)
IN_PODS = pytest.mark.skip(reason="rows lie in pods: tests/logs/test_carried.py holds what is copied of them")
ELSEWHERE = {"docker": [ON_AN_ENGINE], "kubernetes": [IN_PODS]}
KEYS = [pytest.param(key, marks=ELSEWHERE.get(key, [])) for key in plugins.keys("logs")]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Write the rows once, and export them; return where each member of the shelf finds them."""
    top = tmp_path_factory.mktemp("logs")
    write(top / "folder")
    Folder(top / "folder").export(top / "exported", LATER)
    return {name: top / name for name in ("folder", "exported")}


def ground_of(key: str, places: Mapping[str, Path], empty: Path) -> Ground:
    return Ground(plugins.load("logs", key), {"path": str(places[key])}, {"path": str(empty)}, places["folder"])


@pytest.mark.parametrize("one", CHECKS, ids=lambda one: one.__name__.removeprefix("check_"))
@pytest.mark.parametrize("key", KEYS)
def test_every_log_keeps(one: Callable[[Ground], None], key: str, places: Mapping[str, Path], tmp_path: Path) -> None:
    """Each check that is shipped for the authors of logs holds on each log of ours."""
    one(ground_of(key, places, tmp_path))


@pytest.fixture(scope="module", params=KEYS)
def log(request: pytest.FixtureRequest, places: Mapping[str, Path]) -> Log:
    return ground_of(request.param, places, Path()).log


HOURS = st.none() | st.integers(-30, 80)


@given(
    model=st.sampled_from([MODEL, "other", "unknown"]),
    since=HOURS,
    until=HOURS,
    arms=st.lists(st.sampled_from(["stable", "candidate", "challenger-3", "pinned"]), max_size=2),
    labelled=st.booleans(),
    succeeded=st.booleans(),
    columns=st.sampled_from([(), ("id",), ("truth", "time"), ("score", "label", "status", "revisions")]),
)
def test_a_window_holds_what_was_logged(
    log: Log,
    model: str,
    since: int | None,
    until: int | None,
    arms: list[str],
    labelled: bool,
    succeeded: bool,
    columns: tuple[str, ...],
) -> None:
    """Since is inside, until is not, rows come by time, and every wish is met at once."""
    check_window(log, model, since, until, arms=arms, labelled=labelled, succeeded=succeeded, columns=columns)


def test_exports_that_are_not_there_were_misspelt(tmp_path: Path) -> None:
    """A directory of exports that does not exist is told, and is no empty log."""
    with pytest.raises(ModelOpsError, match="no directory") as caught:
        exported.open(exported.Params(path=str(tmp_path / "none")))
    assert caught.value.problems[0].code == "no-export"


@pytest.mark.parametrize("damage", ["foreign", "cut", "name"])
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, damage: str) -> None:
    """Another Parquet file, half a file and a file of no day are told, and are no part of an answer."""
    path = (
        tmp_path
        / f"model={MODEL.replace('/', '%2F')}"
        / ("day=x.parquet" if damage == "name" else "day=2026-05-01.parquet")
    )
    path.parent.mkdir()
    pq.write_table(pa.table({"id": ["a"]}), path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:40])
    for ask in (lambda log: log.find("a"), lambda log: log.window(MODEL)):
        with pytest.raises(ModelOpsError) as caught:
            ask(Exported(tmp_path))
        assert caught.value.problems[0].code == "log-unreadable"
        assert str(path) in caught.value.problems[0].message


def test_a_runtime_log_forgets_and_exports(tmp_path: Path) -> None:
    """What is old and not needed is dropped by whole days; what was exported before is found after."""
    with PredictionLog(tmp_path / "folder") as writer:
        writer.write(rows())
    log = runtime_log(tmp_path / "folder")
    assert len(log.export(tmp_path / "exported", LATER)) == 6
    sealed = {one.name: one.mark for one in log.grown({}) if one.mark is not None}
    assert len(sealed) == len(log.expired(LATER, days=1)) == 3
    assert list(log.grown(sealed)) == []
    assert log.retain(LATER, days=1, needed_days=30) == ()
    assert len(log.retain(LATER, days=1)) == 3
    assert log.find(rows()[0].id) is None
    kept = Exported(tmp_path / "exported").find(rows()[0].id)
    assert kept is not None
    assert kept.row == rows()[0]


def runtime_log(path: Path) -> RuntimeLog:
    return Folder(path)


def test_an_export_from_before_there_were_reviews_says_that_nothing_was_drawn(
    places: Mapping[str, Path], tmp_path: Path
) -> None:
    """Files of a former version are read like those of now, whole, row by row and part by part."""
    old = tmp_path / "exported"
    shutil.copytree(places["exported"], old)
    for file in old.glob("model=*/*.parquet"):
        table = pq.read_table(file, partitioning=None).drop_columns(["review", "drawn"])
        pq.write_table(table.replace_schema_metadata({exported.SCHEMA_KEY: b"3"}), file)
    log, asked = Exported(old), ("drawn", "id", "review")
    whole = log.window(MODEL, columns=asked)
    parts = pa.concat_tables(log.batches(MODEL, columns=asked)).sort_by("id")
    assert parts.equals(whole.sort_by("id"))
    assert whole.num_rows == Exported(places["exported"]).window(MODEL).num_rows > 0
    assert {*whole.column("drawn").to_pylist(), *whole.column("review").to_pylist()} == {0}
    found = log.find(rows()[1].id)
    assert found is not None
    assert (found.row.review, found.row.drawn) == (0.0, 0)
    assert [flaw for one in log.examine({}) for flaw in one.flaws] == []
