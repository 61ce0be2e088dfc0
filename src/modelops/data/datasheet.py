"""The datasheet of a snapshot: the questions of Gebru et al., answered by measurement where data can answer.

References
----------
Gebru, T. et al. (2021). Datasheets for datasets. Communications of the ACM 64(12), 86-92.
"""

from __future__ import annotations

from collections.abc import Mapping

from modelops.spec.kinds.data_snapshot import Answer, Column, DataSnapshotSpec

__all__ = ["NOT_ANSWERED", "QUESTIONS", "datasheet", "unanswered"]

NOT_ANSWERED = "not answered"

QUESTIONS: dict[str, tuple[str, ...]] = {
    "motivation": (
        "For what purpose was the data set created?",
        "Who created it, and on behalf of whom?",
        "Who funded it?",
    ),
    "composition": (
        "What does one row represent?",
        "How many rows are there?",
        "Is it all rows, or a sample of a larger set?",
        "What does each row consist of?",
        "Is there a label or target?",
        "Is information missing from rows?",
        "Are relations between rows made explicit?",
        "Are there recommended splits?",
        "Are there errors, noise or duplicates?",
        "Is it self-contained, or does it rely on external resources?",
        "Does it hold confidential data?",
        "Does it hold data that might offend or cause anxiety?",
        "Does it identify sub-populations, by age or gender for example?",
        "Can persons be identified, directly or indirectly?",
        "Does it hold sensitive data?",
    ),
    "collection": (
        "How was the data of each row acquired?",
        "What mechanisms or procedures collected it?",
        "If it is a sample, what was the sampling strategy?",
        "Who collected it, and how were they paid?",
        "Over what time was it collected?",
        "Was there an ethical review?",
        "Was it collected from the persons concerned, or from third parties?",
        "Were the persons notified?",
        "Did the persons consent?",
        "Can consent be revoked?",
        "Was the impact on the persons analysed?",
    ),
    "preprocessing": (
        "Was the data preprocessed, cleaned or labelled?",
        "Is the raw data kept?",
        "Is the software for this available?",
    ),
    "uses": (
        "Has it been used for tasks already?",
        "Where are papers or systems that use it listed?",
        "What other tasks could it be used for?",
        "Does its composition or collection limit future uses?",
        "For which tasks must it not be used?",
    ),
    "distribution": (
        "Is it given to third parties?",
        "How is it distributed?",
        "Since when is it distributed?",
        "Under which licence or terms?",
        "Do third parties restrict it?",
        "Do export controls apply?",
    ),
    "maintenance": (
        "Who maintains it?",
        "How can its owner be reached?",
        "Is there an erratum?",
        "Will it be updated, by whom and how often?",
        "Are there limits on how long data of persons is kept?",
        "Will older versions be kept?",
        "How can others contribute?",
    ),
}


def datasheet(
    snapshot: DataSnapshotSpec,
    *,
    duplicates: int | None,
    infinite: Mapping[str, int],
    previous: Mapping[str, tuple[Answer, ...]],
) -> dict[str, tuple[Answer, ...]]:
    """Answer what was measured, keep what people answered before, and leave the rest as an explicit gap."""
    measured = _measured(snapshot, duplicates, infinite)
    human = {
        (section, answer.question): answer
        for section, answers in previous.items()
        for answer in answers
        if not answer.measured and answer.answer != NOT_ANSWERED
    }
    sheet: dict[str, tuple[Answer, ...]] = {}
    for section, questions in QUESTIONS.items():
        own = [question for kept, question in human if kept == section and question not in questions]
        answers = []
        for question in (*questions, *own):
            if (section, question) in human:
                answers.append(human[section, question])
            elif question in measured:
                answers.append(Answer(question=question, answer=measured[question], measured=True))
            else:
                answers.append(Answer(question=question, answer=NOT_ANSWERED))
        sheet[section] = tuple(answers)
    return sheet


def unanswered(sheet: Mapping[str, tuple[Answer, ...]]) -> dict[str, int]:
    """Return how many questions of each section no one has answered."""
    return {section: sum(each.answer == NOT_ANSWERED for each in answers) for section, answers in sheet.items()}


def _measured(snapshot: DataSnapshotSpec, duplicates: int | None, infinite: Mapping[str, int]) -> dict[str, str]:
    kinds = ", ".join(
        f"{sum(column.type == kind for column in snapshot.columns)} {kind}"
        for kind in ("number", "integer", "boolean", "category", "datetime")
        if any(column.type == kind for column in snapshot.columns)
    )
    upstream = ", ".join(snapshot.source.upstream)
    answers = {
        "How many rows are there?": f"{snapshot.rows} rows in {len(snapshot.files)} files.",
        "What does each row consist of?": f"{len(snapshot.columns)} columns: {kinds}.",
        "Is there a label or target?": _label(snapshot),
        "Is information missing from rows?": _missing(snapshot.columns, snapshot.rows),
        "Are there errors, noise or duplicates?": _errors(duplicates, infinite),
        "Who maintains it?": f"{snapshot.source.owner}.",
        "Will older versions be kept?": "Every snapshot stays in git with the digest of its files.",
    }
    if upstream:
        answers["What mechanisms or procedures collected it?"] = f"It comes from {upstream}."
    if snapshot.time_span is not None:
        span = snapshot.time_span
        answers["Over what time was it collected?"] = f"Rows are from {span.first} to {span.last}."
    return answers


def _label(snapshot: DataSnapshotSpec) -> str:
    if snapshot.target is None:
        return "No target is declared."
    if not snapshot.balance:
        return f"Yes: {snapshot.target}."
    total = sum(snapshot.balance.values())
    ranked = sorted(snapshot.balance.items(), key=lambda item: (-item[1], item[0]))
    shares = ", ".join(f"{label}: {count} ({count / total:.1%})" for label, count in ranked[:20])
    return f"Yes: {snapshot.target} ({shares})."


def _missing(columns: tuple[Column, ...], rows: int) -> str:
    worst = sorted((column for column in columns if column.missing), key=lambda column: (-column.missing, column.name))
    if not worst:
        return "No value is missing."
    listed = ", ".join(f"{column.name} {column.missing / rows:.1%}" for column in worst[:20])
    more = f", and {len(worst) - 20} more columns" if len(worst) > 20 else ""
    return f"Missing values: {listed}{more}."


def _errors(duplicates: int | None, infinite: Mapping[str, int]) -> str:
    said = "Duplicate rows were not counted." if duplicates is None else f"{duplicates} rows repeat another row."
    if infinite:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(infinite.items()))
        said += f" Infinite numbers are read as missing: {listed}."
    return said
