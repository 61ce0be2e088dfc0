"""The datasheet of the data that a release was trained on: measured answers, those of people, and open questions.

References
----------
T. Gebru et al., "Datasheets for datasets", Communications of the ACM 64 (2021).
"""

from __future__ import annotations

from typing import TypeGuard

from modelops.data.datasheet import NOT_ANSWERED, QUESTIONS
from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Section, Statement, Table
from modelops.documents.said import about, number, unapproved
from modelops.spec.kinds.data_snapshot import Answer, DataSnapshotSpec
from modelops.spec.layout import SNAPSHOT

__all__ = ["datasheet"]


def datasheet(facts: Facts) -> Paper:
    """Return every question of the datasheet with its answer, or as a gap."""
    snapshot, release = facts.snapshot, facts.release
    title = f"Datasheet of {release.data.snapshot}, which {facts.name} was trained on"
    extra = unapproved(facts)
    if snapshot is None:
        path = SNAPSHOT.path(release.model, release.data.snapshot)
        gap = f"{path} is not at {release.code.commit[:12]} as the evidence binds it"
        return Paper("datasheet", title, about(facts), [Section("snapshot", "The snapshot", gaps=(gap,))])
    source = f"{SNAPSHOT.path(release.model, release.data.snapshot)} at {release.code.commit[:12]}"
    sections = [_section(name, snapshot, source) for name in QUESTIONS]
    return Paper("datasheet", title, about(facts), [*sections, _columns(snapshot, source), *([extra] if extra else [])])


def _section(name: str, snapshot: DataSnapshotSpec, source: str) -> Section:
    answers = {one.question: one for one in snapshot.datasheet.get(name, ())}
    questions = (*QUESTIONS[name], *(one for one in answers if one not in QUESTIONS[name]))
    told = {question: answers.get(question) for question in questions}
    statements = [
        Statement(f"{one.question} {one.answer}", _of(one, source)) for one in told.values() if _answered(one)
    ]
    gaps = [question for question, one in told.items() if not _answered(one)]
    return Section(name, name.capitalize(), statements=statements, gaps=gaps)


def _answered(one: Answer | None) -> TypeGuard[Answer]:
    return one is not None and one.answer != NOT_ANSWERED


def _of(one: Answer, source: str) -> str:
    return f"measured, {source}" if one.measured else source


def _columns(snapshot: DataSnapshotSpec, source: str) -> Section:
    rows = tuple(
        (
            one.name,
            one.type,
            str(one.missing),
            str(one.distinct),
            _text(one.minimum),
            _text(one.maximum),
            number(one.mean),
        )
        for one in snapshot.columns
    )
    headers = ("column", "type", "missing", "distinct", "minimum", "maximum", "mean")
    return Section("columns", "Columns", tables=[Table("Columns", headers, rows, f"measured, {source}")])


def _text(value: object) -> str:
    return "-" if value is None else number(value) if isinstance(value, float) else str(value)
