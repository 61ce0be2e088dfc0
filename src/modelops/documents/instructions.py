"""The instructions for use of Article 13 of the EU AI Act, for whoever deploys a release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelops.documents import told
from modelops.documents.answered import Told, answered
from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Statement
from modelops.documents.said import gates_table, metrics_table

__all__ = ["KIND", "instructions"]

KIND: Final = "instructions"


def instructions(facts: Facts) -> Paper:
    """Return a section for each thing that instructions for use have to say."""
    title = f"Instructions for use of {facts.name} (EU AI Act, Article 13)"
    return answered(KIND, title, facts, _SAID)


def _provider(facts: Facts) -> Told:
    if facts.dossier.provider is not None:
        yield Statement(f"Provider: {facts.dossier.provider}", facts.dossier_source)
    else:
        yield "the provider is not named: write spec.provider in the dossier"
    yield Statement(f"Owner of the model: {facts.model.owner}", facts.spec_source)


def _purpose(facts: Facts) -> Told:
    yield Statement(f"{facts.model.description} Intended use: {facts.model.intended_use}", facts.spec_source)
    yield from (Statement(f"Not for: {one}", facts.spec_source) for one in facts.model.out_of_scope)


def _accuracy(facts: Facts) -> Told:
    yield metrics_table(facts)
    yield gates_table(facts)
    yield from (Statement(f"Limit: {one}", facts.spec_source) for one in facts.model.limitations)
    if not facts.model.limitations:
        yield "the model names no limits: spec.limitations"
    yield from told.security(facts)


def _inputs(facts: Facts) -> Told:
    yield told.inputs_table(facts)
    yield Statement(
        f"Trained and tested on {facts.release.data.rows} rows of {facts.release.data.snapshot}", facts.evidence
    )


def _outputs(facts: Facts) -> Told:
    model = facts.model
    kinds = {
        "regression": f"a value of {model.data.target}",
        "binary-classification": f"the probability that {model.data.target} is {model.data.positive}; from "
        f"{model.serving.threshold:g} on that is the label, unless the artifact has its own threshold",
        "multiclass-classification": f"a probability of each class of {model.data.target}, and the likeliest one",
    }
    yield Statement(f"It answers {kinds[model.task]}", facts.spec_source)


_SAID: dict[str, Callable[[Facts], Told]] = {
    "a": _provider,
    "b-i": _purpose,
    "b-ii": _accuracy,
    "b-iii": told.dangers,
    "b-iv": told.explained,
    "b-v": told.people_affected,
    "b-vi": _inputs,
    "b-vii": _outputs,
    "c": told.determined,
    "e": told.speed,
    "f": told.logged,
}
