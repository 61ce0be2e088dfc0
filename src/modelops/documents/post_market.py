"""The plan of Article 72 of the EU AI Act for the time on the market: what is watched, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelops.documents import told
from modelops.documents.answered import Told, answered
from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Statement

__all__ = ["KIND", "post_market_plan"]

KIND: Final = "post-market-plan"


def post_market_plan(facts: Facts) -> Paper:
    """Return a section for each thing that the plan has to say."""
    title = f"Post-market monitoring plan of {facts.name} (EU AI Act, Article 72)"
    return answered(KIND, title, facts, _SAID)


def _system(facts: Facts) -> Told:
    yield Statement(f"Owner: {facts.model.owner}; risk tier: {facts.model.risk}", facts.spec_source)
    places = ", ".join(facts.environments)
    if places:
        yield Statement(f"Was put into service in {places}", "signed promotion records")


def _place(facts: Facts) -> Told:
    yield Statement("Item 9 of Annex IV: modelops document annex-iv", "the document beside this one")


_SAID: dict[str, Callable[[Facts], Told]] = {
    "72.1": _system,
    "72.2-data": told.watched,
    "72.2-compliance": told.limited,
    "72.3": _place,
    "20": told.corrected,
    "12": told.logged,
}
