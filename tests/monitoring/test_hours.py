"""What of the answers was bad, hour by hour: kept by day, and the same as if all rows were read at every look."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from modelops.logs.folder import Folder
from modelops.monitoring.objectives import Hours, count, hours_of
from modelops.monitoring.objectives.hours import COLUMNS, merged
from modelops.monitoring.performance import selection_of
from modelops.predictions import PredictionLog, Row
from modelops.spec.kinds.monitor import LatencyObjective, Objective, Objectives
from modelops.spec.layout import slug
from monitoring.windows import NOW, model

DAYS = 5
SINCE = NOW - timedelta(days=DAYS)
ASKED = Objectives(latency=LatencyObjective(target=0.9, within_ms=20.0), availability=Objective(target=0.99))


class Watched(Folder):
    """A log that writes down of which days rows were asked for."""

    asked: list[str] = []

    def batches(
        self, model: str, since: datetime | None = None, until: datetime | None = None, *,
        columns: object = (), wanted: Callable[[str], bool] | None = None,
    ) -> Iterator[pa.Table]:  # fmt: skip
        assert since is not None
        self.asked.append(f"{since:%m-%d}")
        yield from Folder.batches(self, model, since, until, columns=COLUMNS)


def rows(rng: np.random.Generator, day: int, n: int = 60) -> list[Row]:
    """Return answers of one day, a tenth of which failed; the label follows the score."""
    begin = (SINCE + timedelta(days=day)).timestamp()
    found = []
    for index, at in enumerate(np.sort(rng.uniform(begin, begin + 86_400, n)).tolist()):
        score, bad = rng.random(), rng.random() < 0.1
        answer = (None, None, 503) if bad else (score, "1" if score > 0.5 else "0", 200)
        fields = dict(zip(("score", "label", "status"), answer, strict=True))
        found.append(
            Row(
                f"p{day}-{index}",
                at,
                "churn",
                1,
                "stable",
                0,
                "",
                f"c{index}",
                "{}",
                latency_ms=float(rng.exponential(10)),
                error="down" if bad else None,
                **fields,
            )
        )
    return found


@pytest.fixture
def log(tmp_path: Path) -> Watched:
    """Return a log of five days that nobody writes to any more."""
    rng = np.random.default_rng(4)
    with PredictionLog(tmp_path / "predictions") as writer:
        for day in range(DAYS):
            writer.write(rows(rng, day))
    log = Watched(tmp_path / "predictions")
    log.asked.clear()
    settled(log)
    return log


def settled(log: Watched) -> None:
    """Let the files that were written to be older than the time within which a mark says nothing."""
    for file in log.path.iterdir():
        written = file.stat().st_mtime
        if time.time() - written < 30:
            os.utime(file, (written - 60, written - 60))


def looked(log: Watched, runtime: Path, asked: Objectives = ASKED) -> tuple[Hours, list[str]]:
    log.asked.clear()
    found = hours_of(runtime, "churn", log, asked, model(), SINCE, NOW)
    return found, list(log.asked)


def whole(log: Watched, asked: Objectives = ASKED) -> Hours:
    """Count every row at once."""
    return count(asked, model(), log.window("churn", SINCE, NOW, columns=COLUMNS))


def same(one: Hours, other: Hours) -> bool:
    alike = np.array_equal(one.hours, other.hours) and np.array_equal(one.counts, other.counts)
    alike = alike and np.allclose(one.sums, other.sums)
    return alike and dict(one.kinds) == dict(other.kinds)


def test_a_second_look_reads_no_day_that_is_over(log: Watched, tmp_path: Path) -> None:
    """Five whole days are read once; what is kept says the same as the rows."""
    first, read = looked(log, tmp_path)
    assert (read, same(first, whole(log))) == (["04-26", "04-27", "04-28", "04-29", "04-30"], True)
    again, read = looked(log, tmp_path)
    assert (read, same(again, first)) == ([], True)


def test_a_label_for_an_old_answer_has_its_day_read(log: Watched, tmp_path: Path) -> None:
    """Labels come late; only the days that they are of are counted once more, and each label counts."""
    before, _ = looked(log, tmp_path)
    with PredictionLog(log.path) as writer:
        writer.feedback([(f"p1-{index}", "1", NOW.timestamp(), "churn") for index in range(20)])
    after, read = looked(log, tmp_path)
    assert (set(read), same(after, whole(log))) == ({"04-27"}, True)
    assert after.counts[:, 4].sum() > before.counts[:, 4].sum() == 0
    # It was written to just now: its mark is not believed before it has rested.
    assert looked(log, tmp_path)[1] == ["04-27"]
    settled(log)
    assert looked(log, tmp_path)[1] == ["04-27"]
    assert looked(log, tmp_path)[1] == []


@pytest.mark.parametrize("harm", ["gone", "torn", "other"])
def test_what_is_kept_can_be_lost(log: Watched, tmp_path: Path, harm: str) -> None:
    """Without it, with half of it, and with something else in its place all is counted anew."""
    first, _ = looked(log, tmp_path)
    file = tmp_path / "monitor" / f"{slug('churn')}.hours.json"
    if harm == "gone":
        file.unlink()
    elif harm == "torn":
        file.write_bytes(file.read_bytes()[:-200])
    else:
        file.write_text(file.read_text().replace('"counts":[[', '"counts":[["many",'))
    again, read = looked(log, tmp_path)
    assert (len(read), same(again, first)) == (DAYS, True)


def test_other_bounds_count_anew(log: Watched, tmp_path: Path) -> None:
    """What is slow is said by the monitor; what was counted by another bound is not mixed with it."""
    looked(log, tmp_path)
    other = Objectives(latency=LatencyObjective(target=0.9, within_ms=5.0))
    found, read = looked(log, tmp_path, other)
    assert (len(read), same(found, whole(log, other))) == (DAYS, True)


def test_a_look_that_was_killed_changes_nothing(log: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that breaks off in the middle leaves what was kept as it was, and the next look ends as any other."""
    good = Folder.batches

    def breaks(self: Folder, model: str, since: datetime, until: datetime, **more: object) -> Iterator[pa.Table]:
        if f"{since:%m-%d}" == "04-28":
            raise KeyboardInterrupt
        return good(self, model, since, until, columns=COLUMNS)

    with monkeypatch.context() as broken, suppress(KeyboardInterrupt):
        broken.setattr(Folder, "batches", breaks)
        looked(log, tmp_path)
    assert not (tmp_path / "monitor").exists()
    found, read = looked(log, tmp_path)
    assert (len(read), same(found, whole(log))) == (DAYS, True)


def test_parts_merge_in_any_order(log: Watched) -> None:
    """The hours of parts are those of the whole, however the parts are cut."""
    table = log.window("churn", SINCE, NOW, columns=COLUMNS)
    cuts = [0, 17, 18, 90, table.num_rows]
    parts = [count(ASKED, model(), table.slice(a, b - a)) for a, b in pairwise(cuts)]
    assert same(merged(reversed(parts)), whole(log))
    assert merged([]).counted("failed", ("requests",), 0, 1e12).all == 0


@pytest.mark.parametrize("task", ["binary-classification", "regression"])
@pytest.mark.parametrize("by", ["chance", "score", "label"])
def test_labels_that_depend_on_the_answer_are_seen_from_counts(task: str, by: str) -> None:
    """As rows show it: where only high scores, or one label, bring a label, and not where chance does."""
    rng = np.random.default_rng(7)
    scores = rng.normal(0, 100, 4000) if task == "regression" else rng.beta(0.3, 3, 4000)
    labels = ["1" if score > 0.2 else "0" for score in scores]
    high = scores > np.median(scores)
    chosen = {"chance": rng.random(4000) < 0.3, "score": high & (rng.random(4000) < 0.5)}.get(by)
    chosen = chosen if chosen is not None else np.array([label == "1" for label in labels])
    table = pa.table(
        {
            "time": pa.array(np.linspace(0, 1e5, 4000)), "status": [200] * 4000, "latency_ms": [1.0] * 4000,
            "score": scores, "label": labels, "truth": ["1" if each else None for each in chosen],
        }
    )  # fmt: skip
    found = count(ASKED, model(task=task), table).selected_by(0)
    assert bool(found) == bool(selection_of(model(task=task), table)) == (by != "chance")
