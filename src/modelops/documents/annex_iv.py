"""The technical documentation of Annex IV of the EU AI Act: each item from evidence and specs, and what is missing."""

from __future__ import annotations

from collections.abc import Callable

from modelops.documents import told
from modelops.documents.answered import Told, answered
from modelops.documents.atlas import threats
from modelops.documents.facts import Facts
from modelops.documents.instructions import instructions
from modelops.documents.paper import Paper, Statement
from modelops.documents.post_market import post_market_plan
from modelops.spec.law import ANNEX_IV
from modelops.spec.layout import ReleaseFiles

__all__ = ["technical_documentation"]


def technical_documentation(facts: Facts) -> Paper:
    """Return a section for each item; what it asks for and neither evidence nor people say is a gap."""
    title = f"Technical documentation of {facts.name} (EU AI Act, Annex IV)"
    return answered(ANNEX_IV, title, facts, _SAID)


def _instructions(facts: Facts) -> Told:
    card = ReleaseFiles(facts.release.model, facts.release.release).card
    yield Statement(f"{card}: what it is for and what not, how it is called and how good it is", facts.evidence)
    yield Statement("Article 13: modelops document instructions", "the document beside this one")
    yield from _open(instructions(facts), "what Article 13 asks for")


def _security(facts: Facts) -> Told:
    yield from told.security(facts)
    met, known = threats(facts)
    said = f"{met} of {known} techniques of MITRE ATLAS are met by a control that is shown: modelops document atlas"
    yield Statement(said, "the document beside this one")


def _after(facts: Facts) -> Told:
    yield from told.after(facts)
    yield Statement("Article 72: modelops document post-market-plan", "the document beside this one")
    yield from _open(post_market_plan(facts), "what Article 72 asks for")


def _open(paper: Paper, called: str) -> Told:
    if paper.gaps:
        yield f"{called} has gaps: modelops document {paper.kind}"


_SAID: dict[str, Callable[[Facts], Told]] = {
    "1a": told.purpose,
    "1c": told.software,
    "1d": told.forms,
    "1h": _instructions,
    "2a": told.development,
    "2b": told.design,
    "2c": told.computing,
    "2d": told.data,
    "2f": told.determined,
    "2g": told.testing,
    "2h": _security,
    "3": told.limits,
    "4": told.metrics,
    "5": told.risks,
    "6": told.changes,
    "9": _after,
}
