"""The chain of the log: whatever is changed, removed, added or moved in a file or among files is found and named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelops.logs.exported import whole
from modelops.predictions import PredictionLog, Row, ShadowRow, export, find, read_window
from modelops.predictions.chain import Mark
from modelops.predictions.schema import UNEXPLORED, UNREASONED, VERSION, made
from modelops.predictions.verify import Examined, Flaw, examine, examine_file, grown

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(number: int, day: float = 0, **changes: object) -> Row:
    time = (START + timedelta(days=day)).timestamp() + number
    made = Row(
        f"p{day}-{number}",
        time,
        "fraud",
        1 + number % 2,
        "stable",
        0,
        "s",
        f"c{number}",
        b'{"a":1}',
        0.25,
        "0",
        200,
        1.5,
    )
    return made._replace(**changes)


def shadow(of: Row) -> ShadowRow:
    return ShadowRow(of.id, of.time, of.model, 9, "shadow", 0, "s", 0.5, "1", 200, 1.0)


REASONS = '{"none":"no time"}'


def write(path: Path, days: Sequence[float] = (0,), rows: int = 8) -> None:
    """Log a few rows a day, two with reasons, with labels, one of them contradicted, and shadows."""
    with PredictionLog(path) as log:
        for day in days:
            made = [row(number, day, reasons=REASONS if number < 2 else None) for number in range(rows)]
            log.write(made)
            for one in made[:3]:
                log.append_shadow(shadow(one))
            labels = [(one.id, "1", one.time + 60, "fraud") for one in made[:4]]
            log.feedback([*labels, (made[0].id, "0", made[0].time + 90, "fraud")])


def edit(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def marks(path: Path) -> dict[str, Mark]:
    return {one.name: one.mark for one in examine(path, {}) if one.mark is not None}


def flaws(found: Sequence[Examined]) -> list[Flaw]:
    return [flaw for one in found for flaw in one.flaws]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chain") / "predictions"
    write(path, (0, 1, 2))
    return path


FIRST, SECOND, THIRD = (f"2026-03-0{day}-w0-1.sqlite" for day in (1, 2, 3))


@pytest.fixture
def log(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_a_log_that_nobody_touched_has_no_flaw(written: Path) -> None:
    """Rows, labels, contradicted ones too, and shadows are all in chains, and all files are joined."""
    found = examine(written, marks(written))
    assert flaws(found) == []
    assert [(one.name, one.rows, one.mark and (one.mark.labels, one.mark.shadows)) for one in found] == [
        (name, 8, (5, 3)) for name in (FIRST, SECOND, THIRD)
    ]


CELLS = [
    (table, column)
    for table, columns in {
        "answers": "route seq id time row status latency_ms score unit entity label error request",
        "inputs": "seq features link",
        "reasons": "seq reasons",
        "routes": "route model release arm step salt propensity",
        "feedback": "route seq label time revisions",
        "labels": "number seq label time link",
        "shadows": "number prediction_id time model release arm step salt score label status latency_ms error link",
        "origin": "name before rows link nonce",
    }.items()
    for column in columns.split()
]
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
    st.binary(max_size=33),
)


@settings(deadline=None)
@given(cell=st.sampled_from(CELLS), at=st.integers(0, 7), value=VALUES)
def test_any_single_change_of_any_stored_cell_is_found(
    written: Path, tmp_path_factory: pytest.TempPathFactory, cell: tuple[str, str], at: int, value: object
) -> None:
    """Whatever another value is written into whatever column of whatever row: the file has a flaw."""
    table, column = cell
    file = Path(shutil.copy(written / FIRST, tmp_path_factory.mktemp("cell") / FIRST))
    with closing(sqlite3.connect(file)) as connection:
        everything = f"SELECT * FROM {table} ORDER BY 1, 2"
        before = connection.execute(everything).fetchall()
        keys = [name for _, name, _, _, _, key in connection.execute(f"PRAGMA table_info({table})") if key] or ["rowid"]
        which = connection.execute(f"SELECT {', '.join(keys)} FROM {table} ORDER BY {', '.join(keys)}").fetchall()
        chosen = which[at % len(which)]
        try:
            where = " AND ".join(f"{key} = ?" for key in keys)
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, *chosen))
        except sqlite3.Error:
            return  # SQLite itself refuses it
        connection.commit()
        if connection.execute(everything).fetchall() == before:
            return
    assert examine_file(file).flaws, f"{table}.{column} of {chosen} was set to {value!r}"


@settings(deadline=None)
@given(
    table=st.sampled_from(["answers", "inputs", "reasons", "feedback", "labels", "shadows", "routes"]),
    gone=st.sets(st.integers(0, 7), min_size=1, max_size=8),
)
def test_any_rows_that_are_deleted_are_found(
    written: Path, tmp_path_factory: pytest.TempPathFactory, table: str, gone: set[int]
) -> None:
    """A file that was sealed, or is followed by another, shows that rows of any table are gone, all of them too."""
    folder = tmp_path_factory.mktemp("rows")
    log = Path(shutil.copytree(written, folder / "log"))
    sealed = marks(log)
    with closing(sqlite3.connect(log / FIRST)) as connection:
        key = {"shadows": "number", "labels": "number", "routes": "route"}.get(table, "seq")
        known = [each[0] for each in connection.execute(f"SELECT {key} FROM {table} ORDER BY {key}")]
        for at in {at % len(known) for at in gone}:
            connection.execute(f"DELETE FROM {table} WHERE {key} = ?", (known[at],))
        connection.commit()
    assert flaws(examine(log, sealed))


@settings(deadline=None)
@given(pair=st.sets(st.integers(1, 8), min_size=2, max_size=2), columns=st.booleans())
def test_any_two_rows_that_change_places_are_found(
    written: Path, tmp_path_factory: pytest.TempPathFactory, pair: set[int], columns: bool
) -> None:
    """Two answers with all that belongs to them cannot be told in another order, nor take each other's features."""
    one, other = sorted(pair)
    file = Path(shutil.copy(written / FIRST, tmp_path_factory.mktemp("swap") / FIRST))
    tables = ("inputs",) if columns else ("answers", "inputs", "feedback")
    if columns:
        edit(file, f"UPDATE inputs SET features = '{{}}' WHERE seq = {one}")
    else:
        for table in tables:
            for old, new in ((one, -1), (other, one), (-1, other)):
                edit(file, f"UPDATE {table} SET seq = {new} WHERE seq = {old}")
    assert examine_file(file).flaws


def test_flaws_name_the_rows(log: Path) -> None:
    """What was changed, removed inside, and removed at the end is told by its numbers."""
    sealed = marks(log)
    edit(log / FIRST, "UPDATE answers SET score = 1e-6 WHERE seq IN (2, 3)")
    edit(log / SECOND, *(f"DELETE FROM {table} WHERE seq BETWEEN 4 AND 6" for table in ("answers", "inputs")))
    edit(log / THIRD, *(f"DELETE FROM {table} WHERE seq > 6" for table in ("answers", "inputs")))
    assert flaws(examine(log, sealed)) == [
        Flaw(FIRST, "changed", "answers", 2, 3),
        Flaw(SECOND, "missing", "answers", 4, 6),
        Flaw(SECOND, "feedback", "labels", 4, 4),
        Flaw(THIRD, "cut", "answers", 7, 8),
    ]


def test_a_file_that_is_gone_is_named_by_its_seal_and_by_the_one_behind(log: Path) -> None:
    """Without a seal the next file tells of it; the last one only its seal."""
    sealed = marks(log)
    (log / SECOND).unlink()
    assert flaws(examine(log, {})) == [Flaw(SECOND, "gone", "answers", 1, 8, THIRD)]
    (log / THIRD).unlink()
    assert [(flaw.segment, flaw.kind) for flaw in flaws(examine(log, sealed))] == [(SECOND, "gone"), (THIRD, "gone")]
    assert flaws(examine(log, sealed, excused=[SECOND, THIRD])) == []


def recomputed(log: Path) -> None:
    """Somebody who knows how the chain is made writes the whole file anew under its name."""
    (log / SECOND).unlink()
    with PredictionLog(log) as writer:
        writer.write([row(number, 1, score=0.9) for number in range(8)])


@pytest.mark.parametrize(
    ("attack", "kinds"),
    [
        (lambda log: swap(log / FIRST, log / SECOND), {"replaced", "rewritten"}),
        (recomputed, {"rewritten", "cut"}),
        (lambda log: edit(log / SECOND, "PRAGMA user_version = 2"), {"replaced"}),
        (lambda log: edit(log / SECOND, "PRAGMA user_version = 0"), {"replaced"}),
        (lambda log: edit(log / SECOND, "DELETE FROM origin"), {"replaced", "changed"}),
        (lambda log: (log / SECOND).write_bytes(b"not a database at all, but long enough"), {"unreadable"}),
        (
            lambda log: edit(log / SECOND, "DROP VIEW predictions", "CREATE VIEW predictions AS SELECT * FROM answers"),
            {"tables"},
        ),
        (
            lambda log: edit(log / SECOND, "INSERT INTO answers SELECT route, 99, 'x', time, row, status, latency_ms, "
            "score, unit, entity, label, error, request FROM answers WHERE seq = 1"),
            {"missing", "changed"},
        ),
    ],
)  # fmt: skip
def test_files_cannot_be_exchanged(log: Path, attack: Callable[[Path], Any], kinds: set[str]) -> None:
    """Another file in the place of one, one that was written anew, and one that hides its chain are found."""
    sealed = marks(log)
    attack(log)
    found = flaws(examine(log, sealed))
    assert {flaw.kind for flaw in found} & kinds
    assert {flaw.kind for flaw in found} <= kinds | {"missing", "changed"}


def swap(one: Path, other: Path) -> None:
    data = one.read_bytes(), other.read_bytes()
    one.write_bytes(data[1])
    other.write_bytes(data[0])


def test_an_old_copy_is_found(tmp_path: Path) -> None:
    """A file that was put back to what it once was lacks rows that were sealed since."""
    path, old = tmp_path / "log", tmp_path / "old.sqlite"
    write(path)
    shutil.copy(path / FIRST, old)
    with PredictionLog(path) as log:
        log.write([row(20)])
    sealed = marks(path)
    shutil.copy(old, path / FIRST)
    assert flaws(examine(path, sealed)) == [Flaw(FIRST, "cut", "answers", 9, 9)]


@settings(deadline=None)
@given(
    score=st.none() | st.floats(),
    text=st.text(max_size=5),
    label=st.none() | st.text(max_size=5),
    number=st.integers(-(2**60), 2**60),
)
def test_what_sqlite_stores_is_what_was_hashed(
    tmp_path_factory: pytest.TempPathFactory, score: float | None, text: str, label: str | None, number: int
) -> None:
    """No value that the log takes makes a false alarm: NaN, negative zero, empty and odd texts."""
    path = tmp_path_factory.mktemp("values") / "log"
    odd = row(1, score=score, entity=text, label=label, request=text, row=number, latency_ms=-0.0)
    with PredictionLog(path) as log:
        log.write([odd, row(2)])
        log.append_shadow(shadow(odd)._replace(score=score, label=label))
    assert flaws(examine(path, {})) == []


def test_the_chain_goes_on_behind_a_transaction_that_failed(tmp_path: Path) -> None:
    """A row that the log cannot hold leaves neither a gap nor a link of its own."""
    with PredictionLog(tmp_path / "log") as log:
        log.write([row(1)])
        log.append(row(1))
        log.append(row(2, features="\ud800"))
        log.append(row(3))
        log.write([row(4)])
    (found,) = examine(tmp_path / "log", {})
    assert (found.rows, found.flaws) == (3, ())


def test_several_writers_chain_their_own_files_and_each_others_labels(tmp_path: Path) -> None:
    """Whichever process gets a label, it is chained where its row is, also while the other one goes on."""
    path = tmp_path / "log"
    with PredictionLog(path) as first, PredictionLog(path) as second:
        for number in range(4):
            first.write([row(number)])
            second.write([row(number, 0.1)])
            labels = [(f"p{day}-{number}", "1", START.timestamp(), "fraud") for day in (0, 0.1)]
            (first if number % 2 else second).feedback(labels)
    found = examine(path, {})
    assert flaws(found) == []
    assert [(one.mark.answers, one.mark.labels) for one in found if one.mark is not None] == [(4, 4), (4, 4)]
    assert len(found) == 2


def test_what_grew_since_a_mark_leads_to_the_mark_of_the_whole(written: Path, tmp_path: Path) -> None:
    """Going on from a mark finds what going through everything finds, and an edit of what is new."""
    path = Path(shutil.copytree(written, tmp_path / "log"))
    before = marks(path)
    assert [grown(path / name, before[name]) for name in before] == [None] * 3
    with PredictionLog(path) as log:
        log.write([row(30, 2), row(31, 2)])
        log.feedback([("p2-30", "1", START.timestamp(), "fraud")])
    found = grown(path / THIRD, before[THIRD])
    assert found is not None
    assert (found.flaws, found.mark) == ((), marks(path)[THIRD])
    edit(path / THIRD, "UPDATE answers SET score = 0.9 WHERE seq = 10")
    found = grown(path / THIRD, before[THIRD])
    assert found is not None
    assert found.flaws == (Flaw(THIRD, "changed", "answers", 10, 10),)


BEFORE_REVIEWS = (
    "DROP VIEW predictions",
    "DROP TABLE reasons",
    "ALTER TABLE routes DROP COLUMN review",
    "ALTER TABLE routes DROP COLUMN drawn",
    made(UNEXPLORED)[-1],
    f"PRAGMA user_version = {UNEXPLORED}",
)


BEFORE_REASONS = (
    "DROP VIEW predictions",
    "DROP TABLE reasons",
    made(UNREASONED)[-1],
    f"PRAGMA user_version = {UNREASONED}",
)


def test_a_log_from_before_reasons_is_read_labelled_and_proven(tmp_path: Path) -> None:
    """Its rows are chained as those without reasons are now, labels still reach it, and new rows go behind it."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([row(number) for number in range(8)])
    (file,) = path.glob("*.sqlite")
    edit(file, *BEFORE_REASONS)
    assert flaws(examine(path, {})) == []
    assert {one["reasons"] for one in read_window(path, "fraud").to_pylist()} == {None}
    with PredictionLog(path) as log:
        log.write([row(99, reasons=REASONS)])
        assert [bool(each) for each in log.feedback([(row(7).id, "1", row(7).time + 60, "fraud")])] == [True]
    assert sorted(version(file) for file in path.glob("*.sqlite")) == [UNREASONED, VERSION]
    assert flaws(examine(path, {})) == []
    newest = find(path, row(99).id)
    assert newest is not None
    assert newest.row.reasons == REASONS


def test_reasons_of_no_row_are_found(log: Path) -> None:
    """Reasons that are written beside a row without any, or behind the last row, are told of."""
    edit(log / FIRST, f"INSERT INTO reasons VALUES (5, '{REASONS}')")
    edit(log / SECOND, f"INSERT INTO reasons VALUES (77, '{REASONS}')")
    found = [(flaw.segment, flaw.kind, flaw.first) for flaw in flaws(examine(log, {}))]
    assert found[0] == (FIRST, "changed", 5)
    assert SECOND in {segment for segment, _, _ in found[1:]}


def test_a_log_from_before_reviews_is_read_labelled_and_proven(tmp_path: Path) -> None:
    """Its chain is what it was, nothing in it was drawn, labels still reach it, and new rows go behind it."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([row(number) for number in range(8)])
    (file,) = path.glob("*.sqlite")
    edit(file, *BEFORE_REVIEWS)
    assert flaws(examine(path, {})) == []
    assert {(one["review"], one["drawn"]) for one in read_window(path, "fraud").to_pylist()} == {(0.0, 0)}
    with PredictionLog(path) as log:
        log.write([row(99, review=0.25, drawn=1)])
        assert [bool(each) for each in log.feedback([(row(7).id, "1", row(7).time + 60, "fraud")])] == [True]
    assert sorted(version(file) for file in path.glob("*.sqlite")) == [UNEXPLORED, VERSION]
    assert flaws(examine(path, {})) == []
    newest = find(path, row(99).id)
    assert newest is not None
    assert (newest.row.review, newest.row.drawn) == (0.25, 1)
    export(path, tmp_path / "out", START + timedelta(days=9))
    kept = whole(str(tmp_path / "out"))
    assert [(one["review"], one["drawn"]) for one in kept.window("fraud").to_pylist()][-1] == (0.25, 1)
    assert flaws(kept.examine(marks(path))) == []


def test_that_an_answer_was_drawn_is_chained(tmp_path: Path) -> None:
    """Who says afterwards that another answer was reviewed, or with another chance, is found out."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([row(number, review=0.5, drawn=number % 2) for number in range(6)])
    (file,) = path.glob("*.sqlite")
    edit(file, "UPDATE routes SET drawn = 1 - drawn")
    assert {flaw.kind for flaw in flaws(examine(path, {}))} == {"changed"}


def version(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
