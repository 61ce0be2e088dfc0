"""Who comes first in the queue of the prediction log, and how long a buffered row waits."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelops.predictions import PredictionLog, Row, count, examine, log
from modelops.predictions.lanes import (
    BEHIND_ROWS,
    CALM_BYTES,
    CALM_ROWS,
    CALM_SECONDS,
    PART_ROWS,
    Entry,
    Lanes,
    parts_of,
)
from waiting import wait_for


def make_row(id: str) -> Row:
    return Row(id, 100.0, "fraud", 1, "stable", 0, "salt", "customer-1", '{"amount":1.5}', 0.25, "0", 200, 1.5)


def test_who_comes_while_a_part_is_written_waits_for_no_other_part() -> None:
    """However single rows and the parts of a large request meet, at most one part goes before a single row."""
    for before in range(3):
        lanes = Lanes(65_536)
        for number in range(before):
            # What was taken while nothing large waited gives nothing large a turn.
            lanes.add(make_row(f"early{number}"), 1)
            assert lanes.take() == [make_row(f"early{number}")]
        rows = [make_row(f"large{at}") for at in range(8 * PART_ROWS)]
        single = Entry([make_row("waited for")], (), lambda *_: None)
        lanes.add(single, 1)
        assert lanes.take() == [single]
        lanes.add_large(parts_of(rows, None, None), len(rows))
        for number in range(4):
            part = lanes.take()
            assert [type(each) for each in part] == [Entry]
            # It comes while that part is written.
            lanes.add(make_row(f"single{number}"), 1)
            assert lanes.take() == [make_row(f"single{number}")]
        lanes.add(make_row("first"), 1)
        # Nor do single rows that keep coming hold up what is large.
        assert [type(each) for each in lanes.take()] == [Entry]
        assert lanes.take() == [make_row("first")]


def test_where_nobody_waits_the_disk_gets_many_rows_at_once() -> None:
    """Parts are short for whoever waits; else a commit for each would be slower than the rows come."""
    lanes, now = Lanes(1 << 20), [100.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modelops.predictions.lanes.time", SimpleNamespace(monotonic=lambda: now[0]))
        for at in range(100):
            lanes.add_large(parts_of([make_row(f"{at}.{row}") for row in range(25)], None, None), 25)
        rows = sum(each.size for each in lanes.take() if isinstance(each, Entry))
        assert CALM_ROWS - 25 < rows <= CALM_ROWS
        # A buffered row is no reason to hurry; one that is waited for is, for as long as more of them are to come.
        lanes.add(make_row("buffered"), 1)
        assert [type(each) for each in lanes.take()] == [Row]
        assert sum(each.size for each in lanes.take() if isinstance(each, Entry)) > CALM_ROWS - 25
        lanes.add(Entry([make_row("waited for")], (), lambda *_: None), 1)
        lanes.take()
        assert sum(each.size for each in lanes.take() if isinstance(each, Entry)) <= PART_ROWS
        # What falls behind all the same would never be written: then even these wait a little.
        many = parts_of([make_row(f"more{at}") for at in range(BEHIND_ROWS + CALM_ROWS)], None, None)
        lanes.add_large(many, BEHIND_ROWS + CALM_ROWS)
        assert sum(each.size for each in lanes.take() if isinstance(each, Entry)) > CALM_ROWS - 25
        now[0] += CALM_SECONDS + 0.1
        assert sum(each.size for each in lanes.take() if isinstance(each, Entry)) > CALM_ROWS - 25


def test_a_transaction_of_large_rows_is_not_long() -> None:
    """It ends with so many bytes of features, so that who comes meanwhile waits no longer than for many small rows."""
    lanes = Lanes(65_536)
    wide = [make_row(f"r{at}")._replace(features="x" * 4096) for at in range(CALM_ROWS)]
    lanes.add_large(parts_of(wide, None, None), len(wide))
    taken = [each for each in lanes.take() if isinstance(each, Entry)]
    assert sum(each.size for each in taken) == CALM_BYTES // 4096


def test_a_disk_that_refuses_a_part_has_those_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a large request is told once, how many of its rows are not there, and nothing is torn."""
    monkeypatch.setattr("modelops.predictions.lanes.CALM_ROWS", PART_ROWS)
    path = tmp_path / "predictions"
    rows = [make_row(f"large{at}") for at in range(2 * PART_ROWS + 10)]
    told: list[Any] = []

    async def scenario() -> None:
        with PredictionLog(path) as opened:
            insert, calls = opened._files.insert, iter(range(100))

            def refusing(*arguments: Any, **settings: Any) -> None:
                if next(calls):
                    raise sqlite3.OperationalError("database or disk is full")
                insert(*arguments, **settings)

            monkeypatch.setattr(opened._files, "insert", refusing)
            opened.submit(rows, lambda *outcome: told.append(outcome))
            while not told:
                await asyncio.sleep(0)
            monkeypatch.setattr(opened._files, "insert", insert)
            await opened.append_acknowledged([make_row("behind")])
            assert opened.depth == 0

    asyncio.run(scenario())
    ((lost, error),) = told
    assert (lost, error.first.code) == (PART_ROWS + 10, "log-unwritable")
    assert count(path) == PART_ROWS + 1
    assert [flaw for one in examine(path, {}) for flaw in one.flaws] == []


def test_a_window_is_over_when_the_commit_before_took_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that came while others were written has waited since, and does not wait for another window."""
    path, now = tmp_path / "predictions", [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], perf_counter=time.perf_counter)
    monkeypatch.setattr(log, "time", clock)
    entered, go_on = threading.Event(), threading.Event()

    async def scenario() -> None:
        with PredictionLog(path, window_seconds=3600) as opened:
            insert = opened._files.insert

            def slow(*arguments: Any, **settings: Any) -> None:
                entered.set()
                go_on.wait()
                insert(*arguments, **settings)

            monkeypatch.setattr(opened._files, "insert", slow)
            acknowledged = opened.append_acknowledged([make_row("a")])
            await asyncio.to_thread(entered.wait)
            opened.append(make_row("b"))
            now[0] = 3600.0
            go_on.set()
            await acknowledged
            await asyncio.to_thread(wait_for, lambda: count(path) == 2)

    asyncio.run(scenario())
