"""The draft of a postmortem: what the evidence says of an incident, and what only people can answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelops.changes.postmortems import Impact, Postmortem
from modelops.clock import format_instant, parse_instant
from modelops.markup import escape, table

__all__ = ["markdown"]

_ASKED: Mapping[str, tuple[str, ...]] = {
    "data": (
        "What changed where the data is made or sent, and who is to be told before it changes again?",
        "Could a check of the source have held it back before it was served?",
    ),
    "drift": (
        "What happened in the world, and does it stay?",
        "Does the model still answer the question that it was made for?",
    ),
    "performance": (
        "What do the answers that were wrong have in common?",
        "Was it to be seen before the labels came?",
    ),
    "silent": ("Who was to call the model, and what did they get instead?",),
    "anomaly": ("What began at that time that git does not know of?",),
}
_OF_ALL = (
    "Who was affected, and do they have to be told?",
    "Was it noticed as soon as it could be, by this or by somebody?",
    "What is to be changed so that it does not come again, by whom and until when?",
)
_OF_OBJECTIVES = ("Is the objective what those who call the model need?", "What used the budget?")


def markdown(case: Postmortem) -> str:
    """Return the file of an incident."""
    one = case.incident
    head = [
        ("model", escape(case.seat.model)),
        ("environment", escape(case.seat.environment)),
        ("release", str(one.release)),
        ("owner", escape(case.owner)),
        ("events", ", ".join(one.events)),
        ("began", f"{one.began} (by the rows)" if one.began else "not known from the rows"),
        ("found", one.first),
        ("opened", str(one.opened)),
        ("closed", str(one.closed)),
        ("lasted", ("" if one.began else "at least ") + _lasted(one.since, str(one.closed))),
    ]
    cause = one.cause or "the evidence names none"
    course = sorted(_timeline(case), key=lambda row: row[0])
    asked = [*_ASKED.get(one.kind, _OF_OBJECTIVES), *_OF_ALL]
    parts = [
        f"# {escape(one.id)}",
        str(table(["", ""], head)),
        f"## What happened\n\n{escape(_sentence(one.said))}",
        f"## Likely cause\n\n{escape(cause)}.\n\n{_list(one.evidence)}".rstrip(),
        f"## Impact\n\n{_list(_impact(case.impact))}",
        f"## Timeline\n\n{table(['when', 'what'], course)}",
        f"## What the loop did\n\n{_list(_done(case))}",
        f"## Open questions\n\n{_list(asked, box=True)}",
    ]
    return "\n\n".join(parts) + "\n"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def _list(lines: Iterator[str] | tuple[str, ...] | list[str], *, box: bool = False) -> str:
    return "\n".join(f"- {'[ ] ' if box else ''}{escape(line)}" for line in lines)


def _lasted(since: str, until: str) -> str:
    hours = (parse_instant(until) - parse_instant(since)).total_seconds() / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


def _impact(impact: Impact) -> Iterator[str]:
    rest = "" if impact.whole else "; the log no longer has all of that time"
    yield f"{impact.requests} requests were answered or refused while it lasted, {impact.failed} of them failed{rest}"
    wrong = "" if impact.wrong is None else f", and {impact.wrong} of these answers were wrong"
    yield f"{impact.labelled} of them have a label so far{wrong}"
    if impact.broken:
        yield f"{impact.broken} came with the fault; the {impact.kept_out} of them that have a label are not trained on"


def _timeline(case: Postmortem) -> Iterator[tuple[str, str]]:
    one = case.incident
    if one.began is not None:
        yield one.began, "the rows begin to show it"
    for entry in one.timeline:
        yield entry.at, escape(entry.said, 1000)
    for turn in case.turns:
        arms = ", ".join(f"release {release} is {arm}" for arm, release in turn.arms) or "no release answers"
        yield format_instant(turn.at), f"{arms} (commit {turn.commit[:10]})"


def _done(case: Postmortem) -> list[str]:
    one = case.incident
    acted = [entry.said for entry in one.timeline if "retraining" in entry.said]
    kept_out = ["rows with the fault were kept out of training"] if one.rows else []
    closed = [entry.said for entry in one.timeline if entry.said.startswith("closed")]
    return [*acted, *kept_out, *closed]
