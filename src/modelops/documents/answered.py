"""A document that a law or a framework lays out: a section for each item, answered by evidence, specs and people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Section, Statement, Table
from modelops.documents.said import about, from_people, unapproved
from modelops.spec.law import ANNEX_IV, Item, law

__all__ = ["Told", "answered"]

Told = Iterator[Statement | Table | str]
"""What evidence and specs say of an item, and as texts what they should say and do not."""


def answered(kind: str, title: str, facts: Facts, said: Mapping[str, Callable[[Facts], Told]]) -> Paper:
    """Return a section for each item of a law; what it asks for and neither evidence nor people say is a gap.

    ``said`` has what evidence and specs say by item; what people answered is in the dossier.
    """
    asked, dossier = law(kind), facts.dossier
    if kind == ANNEX_IV:
        people, at = dossier.annex_iv, "spec.annexIv"
    else:
        people = next((given for asking, given in dossier.answers.items() if asking == kind), {})
        at = f"spec.answers.{kind}"
    sections: Sequence[Section] = [_section(item, facts, said, people, at) for item in asked.items]
    extra = unapproved(facts)
    head = [*about(facts), ("asked by", asked.name)]
    if asked.dates:
        head.append(("applies", "; ".join(f"{date}: {what}" for date, what in asked.dates)))
    head.append(("dates from" if asked.dates else "items from", f"{asked.source}, {asked.checked}"))
    return Paper(kind, title, head, [*sections, *([extra] if extra else [])])


def _section(
    item: Item, facts: Facts, said: Mapping[str, Callable[[Facts], Told]], people: Mapping[str, str], at: str
) -> Section:
    statements: list[Statement] = []
    tables: list[Table] = []
    gaps: list[str] = []
    for one in said[item.id](facts) if item.id in said else ():
        match one:
            case Statement():
                statements.append(one)
            case Table():
                tables.append(one)
            case str():
                gaps.append(one)
    file = facts.dossier_source.partition(" ")[0]
    if item.id in people:
        statements.append(from_people(people[item.id], facts.dossier_source))
    elif item.people == "required":
        gaps.insert(0, f"nobody answered it: write {at}.{item.id} in {file}")
    elif not statements and not tables and not gaps:
        gaps.append(f"nothing in evidence or specs answers it: write {at}.{item.id} in {file}")
    return Section(item.id, item.title, item.asks, statements, tables, gaps)
