"""What a model declares of its labels is judged before any data: one that feeds itself must explore, or say why not."""

from __future__ import annotations

import pytest

from modelops.monitoring.feedback.declared import declared_labels
from modelops.spec.graph import build_graph
from modelops.spec.sweep import sweep
from modelops.statistics.selection import positives_expected_in, reviews_needed
from modelops.views.proposals import labels as view
from spec_world import NAME, world

MODEL = f"models/{NAME}/model.yaml"
ROLLOUT = f"models/{NAME}/rollout.yaml"
SOURCES = "policies/sources/"
EXPLORED = "exploration: {share: 0.02, claim: {recall: 0.6, expected: 0.8}}"


def source(name: str, more: str = "") -> tuple[str, bytes]:
    text = f"apiVersion: modelops/v1\nkind: DataSource\nmetadata: {{name: {name}}}\nspec:\n  description: d\n"
    return f"{SOURCES}{name}.yaml", f'{text}  owner: payments\n  contact: "#payments"\n{more}'.encode()


def declaring(labels: str, *sources: tuple[str, bytes], features: str = "") -> dict[str, bytes]:
    """Return a repository whose model says this of its labels."""
    files = world() | dict(sources)
    text = files[MODEL].decode().replace("    features:\n", f"    labels: {{by: analysts, {labels}}}\n    features:\n")
    text = text.replace("{name: country, type: category", "{name: country, type: category" + features)
    return files | {MODEL: text.encode()}


def told(files: dict[str, bytes]) -> list[tuple[str, str | None]]:
    found = sweep([path for path in files if path.endswith(".yaml")], files.__getitem__, every_path=frozenset(files))
    return [(problem.code, problem.dotted) for problem in found.problems]


DECISIONS = "spec.data.labels.decisions"
THROUGH = "spec.data.labels.source"
CHARGEBACKS = source("chargebacks", "  upstream: [cases]\n")
CASES = source("cases", f"  models: [{NAME}]\n")


@pytest.mark.parametrize(
    ("labels", "sources", "expected"),
    [
        ("decisions: [1]", (), [("feedback-loop", DECISIONS)]),
        (f"decisions: [1], {EXPLORED}", (), []),
        ("decisions: [1], accepted: the regulator forbids to let a flagged payment pass", (), []),
        ('decisions: [1], accepted: " "', (), [("feedback-loop", DECISIONS)]),
        ("delayDays: 45.0", (), []),
        ("source: cases", (source("cases"),), []),
        ("source: cases", (CASES,), [("feedback-loop", THROUGH)]),
        ("source: chargebacks", (CHARGEBACKS, CASES), [("feedback-loop", THROUGH)]),
        (f"source: chargebacks, {EXPLORED}", (CHARGEBACKS, CASES), []),
        ("source: nothing", (), [("unknown-source", THROUGH)]),
        (
            "decisions: [1], exploration: {share: 0.1, claim: {recall: 0.8, expected: 0.7}}",
            (),
            [("bad-labels", "spec.data.labels.exploration.claim")],
        ),
    ],
)
def test_a_loop_is_told_from_the_declaration_alone(
    labels: str, sources: tuple[tuple[str, bytes], ...], expected: list[tuple[str, str]]
) -> None:
    """The label source is followed up to decisions of a model; exploring breaks the loop, and a reason accepts it."""
    assert told(declaring(labels, *sources)) == expected


def test_what_nothing_logs_cannot_be_explored() -> None:
    """Which answers were drawn is known from the log alone."""
    files = declaring(f"decisions: [1], {EXPLORED}")
    files[MODEL] = files[MODEL].replace(b"log: buffered", b'log: "off"')
    assert ("bad-labels", "spec.data.labels.exploration") in told(files)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ((source("a", "  upstream: [a]\n"),), [("source-cycle", "spec.upstream[0]")]),
        (
            (source("a", "  upstream: [b]\n"), source("b", "  upstream: [a]\n")),
            [("source-cycle", "spec.upstream[0]")] * 2,
        ),
        ((source("a", "  upstream: [bb]\n"),), [("unknown-source", "spec.upstream[0]")]),
        ((source("a", "  models: [none]\n"),), [("unknown-scope", "spec.models[0]")]),
        (
            (source("a", "  read: {location: /elsewhere}\n"),),
            [("data-location", "spec.read.location")],
        ),
        (
            (source("a", "  contract: {columns: [{name: x, type: category, minimum: 1.0}]}\n"),),
            [("bad-contract", "spec.contract.columns[0]")],
        ),
        (
            (source("a", "  contract: {columns: [{name: x, type: number, minimum: 2.0, maximum: 1.0}]}\n"),),
            [("bad-contract", "spec.contract.columns[0].minimum")],
        ),
        (
            (source("a", "  contract: {columns: [{name: x, type: number}, {name: x, type: number}]}\n"),),
            [("bad-contract", "spec.contract.columns[1].name")],
        ),
        (
            (
                source(
                    "a",
                    "  freshness: {column: x, hours: 1.0}\n  contract: {columns: [{name: x, type: number}]}\n",
                ),
            ),
            [("bad-contract", "spec.freshness.column")],
        ),
    ],
)
def test_sources_are_held_against_each_other(
    sources: tuple[tuple[str, bytes], ...], expected: list[tuple[str, str]]
) -> None:
    """Names lead somewhere, data do not come from themselves, and a contract can be kept."""
    assert told(world() | dict(sources)) == expected


def test_a_feature_names_its_source() -> None:
    """It is one that there is."""
    assert told(declaring("delayDays: 1.0", source("cases"), features=", source: cases")) == []
    expected = [("unknown-source", "spec.data.features[1].source")]
    assert told(declaring("delayDays: 1.0", source("cases"), features=", source: casess")) == expected


@pytest.mark.parametrize(
    ("hourly", "said", "enough"),
    [(None, "is not known", None), (1.0, "more than there are answers", False), (10_000.0, "drawn", True)],
)
def test_a_plan_says_how_many_reviews_a_claim_needs(hourly: float | None, said: str, enough: bool | None) -> None:
    """The number follows from the claim and the base rate; the traffic that is planned for says if it is reached."""
    files = declaring(f"decisions: [1], {EXPLORED[:-2]}, baseRate: 0.01}}}}")
    if hourly is not None:
        text = files[ROLLOUT].decode().replace("  onFailure", f"  expect: {{requestsPerHour: {hourly}}}\n  onFailure")
        files[ROLLOUT] = text.encode()
    graph = build_graph(files, paths=files.keys())
    (found,) = declared_labels(graph, [NAME])
    assert found.reviews is not None
    assert (found.loop, found.reviews.needed, found.reviews.enough) == (False, 2952, enough)
    assert said in view.text([found])


def test_without_a_claim_ten_positives_are_looked_for() -> None:
    """Research's own numbers: 7,850 rows at 0.2 %, and so on; fewer tell nothing of what is missed."""
    assert [positives_expected_in(rate) for rate in (0.002, 0.01, 0.05)] == [7850, 1568, 311]


@pytest.mark.parametrize("case", [(0.01, 0.8, 0.6, 0.8), (0.003, 0.75, 0.5, 0.9), (0.05, 0.9, 0.7, 0.8)])
def test_so_many_reviews_prove_a_true_claim(case: tuple[float, float, float, float]) -> None:
    """Drawn again and again, the claim is proven at least as often as asked, and by half as many reviews less often."""
    import numpy as np
    import scipy

    rate, expected, limit, power = case
    needed = reviews_needed(rate, expected, limit, power, 0.95)
    assert needed is not None

    def proven(n: int) -> float:
        missed = np.random.default_rng(1).binomial(n, rate * (1 - expected), 20_000)
        upper = scipy.stats.beta.ppf(0.975, missed + 1, n - missed)
        return float((upper <= rate * expected * (1 - limit) / limit).mean())

    assert proven(needed) >= power - 0.01
    assert proven(needed // 2) < power
