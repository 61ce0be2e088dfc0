"""What Article 27 of the EU AI Act asks a deployer about fundamental rights: what is known, and what is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelops.documents import told
from modelops.documents.answered import Told, answered
from modelops.documents.facts import Facts
from modelops.documents.instructions import KIND as INSTRUCTIONS
from modelops.documents.paper import Paper, Statement
from modelops.documents.said import from_people

__all__ = ["KIND", "rights_assessment"]

KIND: Final = "fria"


def rights_assessment(facts: Facts) -> Paper:
    """Return a section for each thing that the assessment has to say; what only the deployer knows is a gap."""
    title = f"Fundamental rights impact assessment for {facts.name} (EU AI Act, Article 27)"
    return answered(KIND, title, facts, _SAID)


def _processes(facts: Facts) -> Told:
    yield Statement(f"Intended use: {facts.model.intended_use}", facts.spec_source)
    yield from (Statement(f"Not for: {one}", facts.spec_source) for one in facts.model.out_of_scope)


def _oversight(facts: Facts) -> Told:
    said = facts.dossier.answers.get(INSTRUCTIONS, {}).get("d")
    if said is not None:
        yield from_people(f"Instructions for use: {said}", facts.dossier_source)


_SAID: dict[str, Callable[[Facts], Told]] = {
    "1a": _processes,
    "1c": told.people_affected,
    "1d": told.dangers,
    "1e": _oversight,
    "1f": told.corrected,
}
