"""The model card of a release: the signed file as it is, and the same facts laid out as the other documents are."""

from __future__ import annotations

import json
from typing import Any

from modelops.documents import told
from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Section, Statement, Table
from modelops.documents.said import about, gates_table, metrics_table, unapproved
from modelops.spec.layout import ReleaseFiles

__all__ = ["card_paper", "signed_card"]


def signed_card(facts: Facts) -> bytes:
    """Return the card that was signed with the release, byte for byte: Hugging Face metadata and Markdown."""
    return facts.card


def card_paper(facts: Facts) -> Paper:
    """Return the card with its metadata, in the order of Hugging Face's template."""
    model, release = facts.model, facts.release
    file = f"{ReleaseFiles(release.model, release.release).card}, signed"
    rows = tuple((name, _text(value)) for name, value in _metadata(facts.card).items())
    uses = [Statement(f"Intended use: {model.intended_use}", facts.spec_source)]
    uses += [Statement(f"Out of scope: {one}", facts.spec_source) for one in model.out_of_scope]
    limits = [Statement(f"Limit: {one}", facts.spec_source) for one in model.limitations]
    parts = [
        Section("details", "Model details", statements=[Statement(model.description, facts.spec_source)]),
        Section("uses", "Uses", statements=uses),
        Section(
            "limits",
            "Bias, risks and limitations",
            statements=limits,
            gaps=() if limits else ("the model names no limits: spec.limitations",),
        ),
        _section("training", "Training", [*told.development(facts), *told.design(facts)]),
        _section("data", "Data", list(told.data(facts))),
        _section("evaluation", "Evaluation", [metrics_table(facts), gates_table(facts)]),
        _section("groups", "Groups", list(told.people_affected(facts))),
        Section(
            "metadata",
            "Metadata",
            tables=[Table("Hugging Face metadata", ("field", "value"), rows, file)] if rows else [],
            gaps=() if rows else ("the card has no metadata",),
        ),
    ]
    extra = unapproved(facts)
    title = f"Model card of {facts.name}"
    return Paper("model-card", title, about(facts), [*parts, *([extra] if extra else [])])


def _section(id: str, title: str, found: list[Statement | Table | str]) -> Section:
    statements = [one for one in found if isinstance(one, Statement)]
    tables = [one for one in found if isinstance(one, Table)]
    return Section(id, title, "", statements, tables, [one for one in found if isinstance(one, str)])


def _metadata(card: bytes) -> dict[str, Any]:
    """Return the front matter of a card, nothing where it has none."""
    import yaml

    head, found, rest = card.decode("utf-8", "replace").partition("---\n")
    text, ended, _ = rest.partition("\n---\n")
    loaded = yaml.safe_load(text) if not head and found and ended else None
    return loaded if isinstance(loaded, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
