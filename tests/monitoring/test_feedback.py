"""The audit of labels: a model that is fed by what it flagged is told of at once, and healthy labels never are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelops.monitoring.feedback.audit import audited, collapse, doubted
from modelops.monitoring.feedback.found import Feedback
from modelops.monitoring.performance import performance_of
from modelops.spec.kinds.model import Exploration, Labels, ModelSpec
from modelops.spec.kinds.monitor import Performance
from modelops.spec.kinds.release import MetricValue
from monitoring.windows import NOW, SINCE, log, model, report

N = 8000
FLAGGED = Labels(by="analysts", decisions=(1,), accepted="no way to look at others")
RECALL = Performance(metric="recall", minimum=0.5, minimum_labels=100)
Chosen = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def declared(labels: Labels | None) -> ModelSpec:
    return model(labels=labels)


def explored(share: float) -> Labels:
    return Labels(by="analysts", decisions=(1,), exploration=Exploration(share=share))


def answers(
    seed: int, known: Chosen, *, review: float = 0.0, recall: float = 0.5, n: int = N, implied: bool = False
) -> pa.Table:
    """Return answers with calibrated scores, 4 % of them positive; ``implied`` labels the others as negative."""
    rng = np.random.default_rng([7, seed])
    truth = rng.random(n) < 0.04
    said = np.where(truth, rng.random(n) < recall, rng.random(n) < 0.01)
    # By Bayes' rule each score is the share of positives among the answers that have it, within a little noise.
    of_flagged = 0.04 * recall / (0.04 * recall + 0.96 * 0.01)
    of_others = 0.04 * (1 - recall) / (0.04 * (1 - recall) + 0.96 * 0.99)
    score = np.where(said, of_flagged, of_others) * rng.uniform(0.8, 1.2, n)
    drawn = rng.random(n) < review
    has = known(rng, truth, said) | drawn
    told: list[str | None] = [
        "1" if t and h else "0" if h or implied else None for t, h in zip(truth, has, strict=True)
    ]
    extra: dict[str, Any] = {"review": [review] * n, "drawn": [int(each) for each in drawn]}
    table = log({"amount": [0.0] * n}, truth=told, label=["1" if each else "0" for each in said], score=score.tolist())
    for name, values in extra.items():
        table = table.append_column(name, pa.array(values, pa.float64() if name == "review" else pa.int64()))
    return table


def only_flagged(rng: np.random.Generator, truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    return said


def at_random(share: float) -> Chosen:
    return lambda rng, truth, said: rng.random(len(truth)) < share


def fired(found: Feedback | None) -> set[str]:
    assert found is not None
    return {name for name, _ in found.fired}


@pytest.mark.parametrize("labels", [None, FLAGGED], ids=["undeclared", "declared"])
@pytest.mark.parametrize("seed", range(3))
def test_labels_of_what_was_flagged_are_told_in_the_first_window(labels: Labels | None, seed: int) -> None:
    """Scores choose the labels, and most of the traffic never gets one: both detectors say so."""
    found = audited(declared(labels), answers(seed, only_flagged))
    assert fired(found) >= {"D1", "D2"}
    assert found is not None
    assert found.loop
    assert found.seen == 1.0


def stated(value: float, lower: float, upper: float) -> MetricValue:
    return MetricValue(name="recall", value=value, lower=lower, upper=upper, level=0.95, n=200, method="wilson")


@pytest.mark.parametrize("labels", [None, FLAGGED], ids=["undeclared", "declared"])
def test_what_nobody_looked_at_is_not_negative(labels: Labels | None) -> None:
    """Labels for every answer, none of them positive where none was flagged: the release itself misses half of them."""
    table = answers(1, only_flagged, implied=True)
    found = audited(declared(labels), table, stated(0.5, 0.43, 0.57))
    assert "D6" in fired(found)
    told = doubted(performance_of(RECALL, declared(labels), table), found)
    assert (told.verdict, told.value) == ("no-data", None)
    assert "not to be looked at is taken for negative" in told.reason


@pytest.mark.parametrize(
    "known",
    [None, stated(1.0, 0.98, 1.0), stated(0.97, 0.95, 0.985)],
    ids=["nothing stated", "a perfect release", "a good one"],
)
def test_a_model_that_finds_everything_is_no_loop(known: MetricValue | None) -> None:
    """All of its few positives are found, with labels everywhere: as good as it is, that is luck or truth."""
    assert fired(audited(declared(None), answers(1, at_random(1.0), recall=1.0, n=4000), known)) == set()


@pytest.mark.parametrize("share", [1.0, 0.9, 0.05, 0.01])
@pytest.mark.parametrize("seed", range(8))
def test_labels_that_come_by_chance_are_no_loop(share: float, seed: int) -> None:
    """Few or many, nothing is ever said of them."""
    assert fired(audited(declared(None), answers(seed, at_random(share)))) == set()


def test_reviews_tell_what_was_missed() -> None:
    """Of all answers recall is 0.5, which a look at labels alone would call 0.9: the interval holds the truth."""
    covered, values = 0, []
    for seed in range(20):
        table = answers(seed, only_flagged, review=0.05)
        found = audited(declared(explored(0.05)), table)
        assert fired(found) == set()
        told = performance_of(RECALL, declared(explored(0.05)), table)
        assert told.value is not None
        covered += told.value.lower <= 0.5 <= told.value.upper
        values.append(told.value.value)
        assert found is not None
        assert found.seen is not None
        assert found.seen > 0.8
        assert any("the labels alone would show" in said for said in found.told)
    assert covered >= 18
    assert abs(np.mean(values) - 0.5) < 0.06


def test_few_reviews_are_called_underpowered() -> None:
    """With less than ten positives among them it is said how many would be enough, and nothing is called good."""
    table = answers(3, only_flagged, review=0.01)
    found = audited(declared(explored(0.01)), table)
    assert found is not None
    assert any(said.startswith("underpowered: ") for said in found.told)
    told = performance_of(RECALL.model_copy(update={"minimum": 0.45}), declared(explored(0.01)), table)
    assert told.verdict in ("inconclusive", "no-data")
    assert "underpowered" in told.reason or told.verdict == "no-data"


def test_complaints_do_not_change_what_reviews_say() -> None:
    """Labels of missed ones that come by themselves are of unknown chance: they are left out."""
    plain = answers(5, only_flagged, review=0.05)
    loud = answers(5, lambda rng, truth, said: said | truth, review=0.05)
    spec = declared(explored(0.05))
    told = [performance_of(RECALL, spec, table).value for table in (plain, loud)]
    assert told[0] is not None
    assert told[1] is not None
    assert (told[0].value, told[0].lower) == (told[1].value, told[1].lower)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda table: put(table, "drawn", [1] * (N // 2) + [0] * (N // 2)), "by what was logged"),
        (lambda table: put(table, "review", [0.0] * (N // 2) + [0.05] * (N // 2)), "had no chance of a label"),
    ],
)
def test_reviews_that_are_not_as_declared_are_told(spoil: Callable[[pa.Table], pa.Table], said: str) -> None:
    """Chances that nobody drew by, and answers that were not drawn from, make the estimate worthless."""
    found = audited(declared(explored(0.05)), spoil(answers(2, only_flagged, review=0.05)))
    assert found is not None
    assert "D3" in fired(found)
    assert any(said in reason for _, reason in found.fired)


def put(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    at = table.column_names.index(name)
    return table.set_column(at, name, pa.array(values, table.schema.field(name).type))


def test_the_numbers_of_the_audit() -> None:
    """Labels per tenth of 100 answers each, 0 in eight of them, then 12 and 88; entropy and its kin by hand."""
    counts = [0] * 8 + [12, 88]
    scores = np.repeat(np.arange(10) / 10, 100)
    known = np.concatenate([np.arange(100) < count for count in counts])
    table = log(
        {"amount": [0.0] * 1000},
        truth=["0" if each else None for each in known],
        score=(scores + 0.01).tolist(),
        label=["0"] * 1000,
    )
    found = audited(declared(None), table)
    assert found is not None
    assert [bucket.labels for bucket in found.buckets] == counts
    assert found.area == pytest.approx(0.986667, abs=1e-6)
    assert collapse([0.7, 0.1, 0.1, 0.05, 0.05]) == pytest.approx((2.744950, 1.941748), abs=1e-6)


def test_a_window_says_the_loop_first() -> None:
    """The finding leads the report, whose level is raised, and no metric passes."""
    table = answers(1, only_flagged)
    found = report(table, np.random.default_rng(0), performance=RECALL, model=declared(FLAGGED))
    assert found.findings[0].startswith("The model is fed by its own decisions")
    assert found.level in ("warn", "alert")
    assert found.performance is not None
    assert found.performance.verdict == "no-data"


@pytest.mark.parametrize(("days", "left"), [(None, 0), (10.0, 10), (45.0, 30)])
def test_answers_younger_than_the_declared_delay_are_not_judged(days: float | None, left: int) -> None:
    """Where labels are too few to learn how long they take, what is declared counts, though it be a whole window."""
    n = 300
    times = np.linspace(SINCE.timestamp(), NOW.timestamp(), n, endpoint=False)
    old = times < NOW.timestamp() - (days or 0) * 86_400
    truth = ["1" if index % 7 == 0 else "0" if index % 3 == 0 else None for index in range(n)]
    table = log({"amount": [0.0] * n}, time=times, truth=[t if o else None for t, o in zip(truth, old, strict=True)])
    labels = Labels(by="analysts", delay_days=days)
    found = report(table, np.random.default_rng(0), performance=RECALL, model=declared(labels)).performance
    assert found is not None
    assert abs(found.predictions - (n - n * left // 30)) <= 1
    assert ("labels are declared to come within" in found.reason) is (left > 0)


@pytest.mark.parametrize("n", [0, 50])
def test_too_few_answers_say_nothing(n: int) -> None:
    """Neither a loop nor that there is none."""
    assert audited(declared(None), answers(1, at_random(0.5), n=n or 1).slice(0, n)) is None
