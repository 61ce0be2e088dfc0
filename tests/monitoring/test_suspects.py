"""Features of one source that change together name it as the cause; what changes everywhere, or by chance, does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelops.monitoring import WindowReport, should_retrain, triage
from modelops.spec.kinds.data_source import DataSourceSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import Retraining
from modelops.spec.meta import Metadata
from modelops.spec.resource import Resource
from monitoring.windows import FEATURES, NOW, inputs, log, model, report

PLACES = {"amount": "ledger", "count": "ledger", "abroad": "geo", "channel": "web"}


def source(name: str, *upstream: str) -> Resource[DataSourceSpec]:
    spec = DataSourceSpec(description="d", owner=f"{name}-team", contact="#oncall", upstream=upstream)
    return Resource("DataSource", name, None, f"{name}.yaml", Metadata(name=name), spec, "", {})


def sourced(places: dict[str, str]) -> ModelSpec:
    features = tuple(each.model_copy(update={"source": places.get(each.name), "nullable": True}) for each in FEATURES)
    return model(features=features)


def looked(places: dict[str, str], *sources: Resource[DataSourceSpec], seed: int = 0, **spoilt: Any) -> WindowReport:
    rng = np.random.default_rng([5, seed])
    columns = inputs(rng, 2000) | {name: values(rng) for name, values in spoilt.items()}
    return report(log(columns), rng, model=sourced(places), sources={each.name: each for each in sources})


def gone(rng: np.random.Generator) -> list[None]:
    return [None] * 2000


def far(rng: np.random.Generator) -> list[float]:
    return rng.normal(9, 1, 2000).tolist()


LEDGER, GEO, WEB = source("ledger"), source("geo"), source("web")


def test_a_source_that_went_silent_is_named_first() -> None:
    """Both of its features are missing and no others: the finding names it, its owner and whom to ask."""
    found = looked(PLACES, LEDGER, GEO, WEB, amount=gone, count=gone)
    assert [(one.name, one.features, one.silent) for one in found.suspects] == [("ledger", ("amount", "count"), True)]
    assert found.findings[0].startswith(
        "All 2 features of the data source ledger went missing together (amount, count)"
    )
    assert "ask ledger-team, #oncall" in found.findings[0]


def test_what_lies_furthest_up_is_named() -> None:
    """Where everything below one source changed, that is the cause, and not each of what is made from it."""
    places = {"amount": "ledger", "count": "geo", "abroad": "web", "channel": "web"}
    bank = source("bank")
    found = looked(places, bank, source("ledger", "bank"), source("geo", "bank"), WEB, amount=gone, count=gone)
    assert [one.name for one in found.suspects] == ["bank"]


@pytest.mark.parametrize(
    ("spoilt", "expected"),
    [
        ({"amount": far}, []),
        ({"amount": gone}, []),
        ({"channel": gone}, ["web"]),
        ({"amount": gone, "count": gone, "channel": gone, "abroad": gone}, []),
        ({"amount": far, "count": lambda rng: [9] * 2000}, ["ledger"]),
    ],
    ids=["one of two drifts", "one of two is gone", "the only one is gone", "everything is gone", "both drift"],
)
def test_a_source_is_named_only_where_all_of_it_changed(spoilt: dict[str, Any], expected: list[str]) -> None:
    """One of several features is no source, and a change of everything has another cause."""
    assert [one.name for one in looked(PLACES, LEDGER, GEO, WEB, **spoilt).suspects] == expected


def test_without_any_change_nobody_is_named() -> None:
    """In windows of the reference's own law no source is ever suspected."""
    assert not [one for seed in range(20) for one in looked(PLACES, LEDGER, GEO, WEB, seed=seed).suspects]


WHEN = "are missing together, all since before the window or at no single time:"


@pytest.mark.parametrize(
    ("spoilt", "sources", "expected"),
    [
        (("amount", "count"), (LEDGER, GEO, WEB), "amount, count {} all come from the data source ledger"),
        (("amount",), (LEDGER, GEO, WEB), "amount alone (gone): comes from the data source ledger"),
        (("amount", "count"), (source("ledger", "bank"), source("bank")), "all come from the data source ledger"),
        (("amount", "abroad"), (LEDGER, GEO, WEB), None),
        (("amount", "count"), (), None),
    ],
    ids=["all of a source", "one of two", "made from another", "of two sources", "no source is declared"],
)
def test_an_incident_names_the_source_that_its_features_come_from(
    spoilt: tuple[str, ...], sources: tuple[Resource[DataSourceSpec], ...], expected: str | None
) -> None:
    """The cause of what is broken says where all of it comes from and whom to ask; no more is guessed."""
    rng = np.random.default_rng(6)
    table = log(inputs(rng, 2000) | dict.fromkeys(spoilt, [None] * 2000))
    known, spec = {each.name: each for each in sources}, sourced(PLACES)
    found = report(table, rng, model=spec, sources=known)
    (signal,) = triage.signals(found, table, spec, sources=known)
    if expected is None:
        assert "data source" not in signal.cause
    else:
        assert (
            expected.format("are missing together, all since before the window or at no single time:") in signal.cause
        )
        assert signal.cause.endswith("(ask ledger-team, #oncall)")


def test_nothing_is_trained_while_a_source_is_silent() -> None:
    """A retraining that is due, or asked for, waits and says for whom; one whose source only changed does not."""
    silent = looked(PLACES, LEDGER, GEO, WEB, amount=gone, count=gone)
    for asked in (False, True):
        held = should_retrain(silent, (), Retraining(), now=NOW, asked=asked)
        assert (held.fire, held.reason) == (
            False, "nothing is trained while the data source ledger is silent: ask ledger-team, #oncall"
        )  # fmt: skip
    changed = looked(PLACES, LEDGER, GEO, WEB, amount=far, count=lambda rng: [9] * 2000)
    assert should_retrain(changed, (), Retraining(), now=NOW, asked=True).fire
