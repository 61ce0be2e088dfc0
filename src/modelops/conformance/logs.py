"""What every log answers: the same as what was logged, wherever it lies by now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from modelops.conformance.shelf import check_module, params_of
from modelops.errors import ModelOpsError
from modelops.logs import Log, LogModule, RuntimeLog
from modelops.logs.folder import Folder
from modelops.predictions import PredictionLog, Row, ShadowRow
from modelops.predictions.read import COLUMNS

__all__ = ["CHECKS", "LATER", "MODEL", "Ground", "at", "check", "check_window", "rows", "write"]

START = datetime(2026, 5, 1, 22, tzinfo=UTC)
MODEL = "payments/fraud"
LATER = START + timedelta(days=9)


def at(hours: float) -> datetime:
    """Return an instant so many hours after the first prediction."""
    return START + timedelta(hours=hours)


def rows() -> list[Row]:
    """Return three days of two models and of a rollout with failures, labels, batches and pinned callers."""
    made = []
    for number in range(200):
        time = at(number / 4).timestamp()
        arm = ("stable", "stable", "candidate", "challenger-3", "pinned")[number % 5]
        failed = number % 17 == 3
        made.append(
            Row(
                id=f"{int(time * 1000):012x}{number:020x}" if number % 3 else f"own-{number}",
                time=time,
                model="other" if number % 11 == 0 else MODEL,
                release=1 + number % 3,
                arm=arm,
                step=number // 100,
                salt="salt" if number % 7 else "before",
                entity=f"c{number % 9}",
                features='{"amount": 1.5, "land": "ü"}',
                score=None if failed else number / 200,
                label=None if failed else str(number % 2),
                status=500 if failed else 200,
                latency_ms=float(number % 60),
                error="ValueError" if failed else None,
                request="batch" if number % 2 else "",
                row=number % 2,
                propensity=0.25 + number % 3 / 4,
            )
        )
    return made


def write(folder: Path) -> None:
    """Let a server's writer log the rows, their labels and one shadow in a folder: what every log is compared with."""
    with PredictionLog(folder) as log:
        log.write(rows())
        log.feedback([(row.id, str(n % 3 % 2), at(90).timestamp(), row.model) for n, row in enumerate(rows()) if n % 2])
        log.feedback([(rows()[1].id, "7", at(91).timestamp(), rows()[1].model)])
        shadow = rows()[5]
        log.append_shadow(
            ShadowRow(shadow.id, shadow.time, shadow.model, 9, "candidate", 0, "salt", 0.5, "1", 200, 1.0)
        )


@dataclass(frozen=True)
class Ground:
    """A log with the parameters of a place that holds what ``write`` wrote into ``folder``, and of an empty place."""

    module: LogModule
    params: Mapping[str, object]
    empty: Mapping[str, object]
    folder: Path

    @property
    def log(self) -> Log:
        """The log that holds the rows."""
        return self.module.open(params_of(self.module, self.params))


def check(ground: Ground) -> None:
    """Run every check."""
    for one in CHECKS:
        one(ground)


def check_shelf(ground: Ground) -> None:
    """It exposes what the Protocol names and refuses unknown parameters; what it opens is a log that has a place."""
    check_module("logs", ground.module, ground.params)
    assert isinstance(ground.log, Log), "what it opens lacks what a log can do"
    assert ground.log.place, "it does not say where it lies"


def check_its_beginning(ground: Ground) -> None:
    """A log is whole from the beginning of its oldest day."""
    assert ground.log.begins() == datetime(2026, 5, 1, tzinfo=UTC), f"it begins at {ground.log.begins()}"


def check_every_prediction_is_found(ground: Ground) -> None:
    """What was logged comes back whole, with the last truth and how often it changed; whoever made the id."""
    log = ground.log
    for number, row in enumerate(rows()):
        found = log.find(row.id)
        assert found is not None, f"{row.id} is not found"
        assert found.row == row, f"{row.id} has changed: {found.row}"
        truth = "7" if number == 1 else str(number % 3 % 2) if number % 2 else None
        assert (found.truth, found.revisions) == (truth, int(number == 1)), f"{row.id} has the truth {found.truth}"
    for id in ("nobody", "0" * 32):
        assert log.find(id) is None, f"{id} was never logged"


def check_windows(ground: Ground) -> None:
    """Since is inside, until is not, rows come by time, and every wish is met at once."""
    log = ground.log
    for model, (since, until), arms in product(
        (MODEL, "other", "unknown"), ((None, None), (10, 30), (-5, 12), (30, 10)), ((), ("stable", "pinned"))
    ):
        for labelled, succeeded, columns in ((False, False, ()), (True, False, ("id",)), (True, True, ("time", "id"))):
            wishes = {"arms": arms, "labelled": labelled, "succeeded": succeeded, "columns": columns}
            check_window(log, model, since, until, **wishes)


def check_window(log: Log, model: str, since: float | None, until: float | None, **wishes: Any) -> None:
    """Compare one window, its ends in hours after the first prediction, with the rows that were logged."""
    begin, end = (None if hours is None else at(hours) for hours in (since, until))
    kept = [
        row
        for number, row in enumerate(rows())
        if row.model == model
        and (begin is None or row.time >= begin.timestamp())
        and (end is None or row.time < end.timestamp())
        and (not wishes["arms"] or row.arm in wishes["arms"])
        and (not wishes["labelled"] or number % 2)
        and (not wishes["succeeded"] or row.status < 500)
    ]
    table = log.window(model, begin, end, **wishes)
    assert table.column_names == list(wishes["columns"] or COLUMNS), f"other columns: {table.column_names}"
    assert table.num_rows == len(kept), f"{table.num_rows} rows instead of {len(kept)}"
    for name in set(table.column_names) & set(Row._fields):
        assert table.column(name).to_pylist() == [getattr(row, name) for row in kept], f"other values of {name}"


def check_the_arms_of_a_rollout(ground: Ground) -> None:
    """Counts, scores, labels, shares and entities are the same in every form of the log."""
    expected = Folder(ground.folder).arms(MODEL, "salt", objective_ms=30.0)
    found = ground.log.arms(MODEL, "salt", objective_ms=30.0)
    known = {(step, arm) for step in (0, 1) for arm in ("stable", "candidate", "challenger-3")}
    assert set(found) == set(expected) == known, f"other arms: {sorted(found)}"
    for key, arm in expected.items():
        for field in fields(arm):
            one, other = getattr(found[key], field.name), getattr(arm, field.name)
            same = np.array_equal(one, other, equal_nan=True) if isinstance(one, np.ndarray) else one == other
            assert same, f"{key} has other {field.name}: {one}"
    assert ground.log.arms(MODEL, "nobody's", objective_ms=30.0) == {}, "nobody's rollout has arms"


def check_shadows_are_told_or_refused(ground: Ground) -> None:
    """A log that does not hold what shadows said does not pretend that they said nothing."""
    try:
        found = ground.log.shadows(MODEL, "salt")
    except ModelOpsError:
        assert not isinstance(ground.log, RuntimeLog), "the log of a runtime holds what shadows said"
        return
    assert set(found) == {(0, "candidate")}, f"other shadows: {sorted(found)}"
    assert len(found[0, "candidate"]) == 1, "not the one pair that was logged"


def check_chains(ground: Ground) -> None:
    """Every row lies in one place, and what was logged has no flaw, also against what was sealed of it."""
    log = ground.log
    sealed = {one.name: one.mark for one in Folder(ground.folder).examine({}) if one.mark is not None}
    found = log.examine(sealed)
    assert [flaw for one in found for flaw in one.flaws] == [], "what nobody touched has flaws"
    assert sum(one.rows for one in found) == len(rows()), "not all rows are in a chain"
    assert {one.name for one in found} == set(sealed), "other parts than those that were sealed"
    for row in rows():
        assert len(log.places(row.id)) == 1, f"{row.id} lies in {log.places(row.id)}"
    assert log.places("nobody") == (), "what was never logged lies somewhere"
    cut = {name: replace(mark, answers=mark.answers + 1) for name, mark in sealed.items()}
    assert all(one.flaws for one in log.examine(cut)), "rows that were sealed and are not there are not missed"
    (name, _), *_ = log.places(rows()[0].id)
    assert [one.name for one in log.examine(sealed, only=name)] == [name], "more than one part was gone through"


def check_drawing(ground: Ground) -> None:
    """Drawn rows are as many as were asked for, all different, and the same for the same seed."""
    first, again, other = (ground.log.draw(40, seed) for seed in (1, 1, 2))
    ids = [logged.row.id for logged in first]
    assert (len(ids), len(set(ids))) == (40, 40), f"{len(set(ids))} different rows instead of 40"
    assert sorted(ids) == sorted(logged.row.id for logged in again), "one seed draws different rows"
    assert sorted(ids) != sorted(logged.row.id for logged in other), "every seed draws the same rows"
    assert len(ground.log.draw(1000, 1)) == len(rows()), "a small log is not drawn whole"


def check_an_empty_log_holds_nothing(ground: Ground) -> None:
    """Nothing that was logged is no error."""
    log = ground.module.open(params_of(ground.module, ground.empty))
    assert (log.begins(), log.find("x")) == (None, None), "it holds something"
    assert (len(log.examine({})), len(log.draw(5, 1))) == (0, 0), "it has parts or rows"
    assert log.window(MODEL).num_rows == 0, "it holds rows"
    assert log.window(MODEL).schema == ground.log.window(MODEL).schema, "its windows have other columns"
    assert log.arms(MODEL, "salt", objective_ms=1.0) == {}, "it holds arms"


CHECKS: tuple[Callable[[Ground], None], ...] = (
    check_shelf,
    check_its_beginning,
    check_every_prediction_is_found,
    check_windows,
    check_the_arms_of_a_rollout,
    check_shadows_are_told_or_refused,
    check_chains,
    check_drawing,
    check_an_empty_log_holds_nothing,
)
