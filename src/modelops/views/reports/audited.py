"""The report of an audit: whether everything in the answer is proven, then all of it, as sections.

One structure for the page and for Markdown, so that both say the same; JSON is that of the question with when it was
asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import singledispatch
from typing import Any

from modelops.audit import EnvironmentAnswer, LogAnswer, ModelThere, PredictionAnswer, ReleaseAnswer, Trust
from modelops.changes.verifying import Verification
from modelops.governance.judged import Judgement
from modelops.markup import escape, plain
from modelops.metrics.curves import Curves
from modelops.releases.markdown import weight_sentence
from modelops.views.proofs import audit, branch, prediction_log
from modelops.views.proofs.trust import contradiction_text
from modelops.views.reports.built import answered
from modelops.views.reports.sections import Section, Table, sections_lines
from modelops.views.terminal import uncolored

__all__ = ["Answer", "Asked", "Report", "contributions", "data", "markdown", "report"]

Answer = PredictionAnswer | ReleaseAnswer | EnvironmentAnswer | LogAnswer | Judgement | Verification
_MORE = ("metric", "value", "lower", "upper", "rows", "interval by")
_GATES = ("gate", "verdict", "value", "lower", "upper", "limit", "rows")


@dataclass(frozen=True, slots=True)
class Asked:
    """When something was asked (ISO 8601), of which commit of which branch, and how it is asked again."""

    at: str
    commit: str
    branch: str
    command: str


@dataclass(frozen=True, slots=True)
class Report:
    """What is told of an answer: whether it is proven, in one sentence, and everything else in sections."""

    title: str
    ok: bool
    verdict: str
    asked: Asked
    sections: tuple[Section, ...]


def report(answer: Answer, asked: Asked, curves: Curves | str | None = None) -> Report:
    """Return what is told; ``curves`` are those of a release, or why there are none."""
    title, ok, verdict, sections = _told(answer)
    told = [*sections, *([answered(curves)] if curves is not None else [])]
    return Report(title, ok, verdict, asked, tuple(one for one in told if one.lines or one.tables))


def markdown(found: Report) -> str:
    """Return the whole report."""
    asked = f"Asked {found.asked.at} of commit {found.asked.commit} of {found.asked.branch}: {found.asked.command}"
    lines = [f"# {escape(found.title)}", "", f"**{escape(found.verdict)}**", "", escape(asked)]
    return "\n".join([*lines, *sections_lines(found.sections, "##")]) + "\n"


def data(answer: Any, asked: Asked) -> Any:
    """Return what the question prints as JSON, with when and of what it was asked."""
    return {**answer, "asked": asdict(asked)}


_Told = tuple[str, bool, str, Sequence[Section]]


@singledispatch
def _told(answer: Answer) -> _Told:
    raise NotImplementedError(type(answer))


@_told.register
def _prediction(answer: PredictionAnswer) -> _Told:
    verdict = "Release and promotion are proven, and nothing contradicts the logged row."
    sections = [
        Section("answer", "The answer", (), (_facts("What was asked and answered", audit.prediction_facts(answer)),)),
        Section("features", "What it was asked about", (), tuple(_features(answer))),
        _reasons(answer),
        Section("proof", "What the evidence covers", (), (_facts("Proven, and not", audit.covered(answer)),)),
        Section("promotion", "Who put the release there", tuple(_promotion(answer))),
    ]
    if answer.made_by is not None:
        sections += _of_release(answer.made_by)
    return f"Audit of prediction {answer.id}", answer.ok, _verdict(answer.ok, verdict), sections


@_told.register
def _release(answer: ReleaseAnswer) -> _Told:
    signed = "and so is the signature of its data" if answer.data.signature else "its data are not signed"
    verdict = f"The release and its promotions are proven; {signed}."
    sections = [
        Section("proof", "What proves it", (f"evidence: {_trust(answer.trust)}", *answer.trust.problems)),
        *_of_release(answer),
        Section("promotions", "Where it was promoted to", tuple(_promotions(answer)) or ("Promoted nowhere.",)),
    ]
    title = f"Audit of {answer.model} release {answer.release}"
    return title, answer.ok, _verdict(answer.ok, verdict), sections


@_told.register
def _environment(answer: EnvironmentAnswer) -> _Told:
    verdict = "Everything that ran is proven and approved." if answer.models else "No model was deployed."
    said = [f"by commit {answer.commit} of {answer.committed}"]
    said += [f"NOT PROVEN: {contradiction_text(one.commit, one.date, one.others)}" for one in answer.contradictions]
    rows = [
        (one.model, arm, str(there.release), there.artifact or "missing", "proven" if there.ok else "NOT PROVEN")
        for one in answer.models
        for arm, there in one.arms.items()
    ]
    table = Table("What ran", ("model", "arm", "release", "artifact", "record"), tuple(rows))
    sections = [
        Section("then", "What ran then", tuple(said), (table,) if rows else ()),
        *(Section(f"model-{at}", one.model, tuple(_there(one))) for at, one in enumerate(answer.models, start=1)),
    ]
    return f"Audit of {answer.environment} at {answer.at}", answer.ok, _verdict(answer.ok, verdict), sections


@_told.register
def _log(answer: LogAnswer) -> _Told:
    first, *rest = map(uncolored, prediction_log.verdict_lines(answer)) if answer.parts else ["the log holds nothing"]
    rows = tuple(tuple(map(str, row)) for row in prediction_log.part_rows(answer))
    table = Table("Its files", ("file", "rows", "sealed", "labels", "sealed at"), rows)
    sample = prediction_log.sample_lines(answer.sample, None) if answer.sample is not None else ()
    sections = [
        Section("proof", "How far it is proven", (f"log: {answer.log}", *rest)),
        Section("flaws", "What is wrong", tuple(map(prediction_log.flaw_text, answer.flaws))),
        Section("parts", "What it holds", (), (table,) if rows else ()),
        Section("dropped", "What was dropped by rule", tuple(map(prediction_log.dropped_text, answer.dropped))),
        Section("sample", "Answered once more", tuple(map(uncolored, sample))),
    ]
    return f"Audit of the prediction log of {answer.environment}", answer.ok, _sentence(first), sections


@_told.register
def _branch(answer: Judgement) -> _Told:
    wrong = len(answer.open)
    verdict = "Everything on the branch is approved." if not wrong else f"NOT APPROVED: {_many(wrong, 'commit')}."
    return "Audit of the branch", not wrong, verdict, list(_line(answer))


@_told.register
def _whole(answer: Verification) -> _Told:
    counted = tuple((what, f"{count:,}") for what, count in answer.counted.items())
    wrong = len(answer.problems) + len(answer.judgement.open)
    rows = tuple(
        (one.code, one.location.path if one.location else "the branch", one.message, one.hint or "–")
        for one in answer.problems
    )
    headers = ("code", "file", "what does not hold", "what to do")
    sections = [
        Section(
            "problems",
            "What does not hold",
            (),
            (Table("Contradictions, each told once", headers, rows),) if rows else (),
        ),
        *_line(answer.judgement),
        Section(
            "checked",
            "What was checked",
            (),
            (Table("Checked from the first commit on", ("what", "how many"), counted),),
        ),
        Section("unsigned", "Without a signature", answer.unsigned),
    ]
    verdict = "Everything that the branch claims holds."
    if wrong:
        verdict = f"NOT PROVEN: {_many(wrong, 'thing')} {'does' if wrong == 1 else 'do'} not hold."
    return "Audit of everything that the branch claims", answer.ok, verdict, sections


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _verdict(ok: bool, said: str) -> str:
    return said if ok else "NOT PROVEN: something in this answer is not proven or not approved; it is named below."


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _trust(found: Trust) -> str:
    return audit.word(found)


def _facts(title: str, rows: Iterable[tuple[str, object]]) -> Table:
    """Return names and values as a table; what goes on under a name stands beside what it goes on from."""
    told: dict[str, str] = {}
    last = ""
    for name, value in rows:
        said = plain(value)
        last = name or last
        told[last] = f"{told[last]}; {said}" if last in told else said
    return Table(title, ("what", "value"), tuple(told.items()))


def _features(answer: PredictionAnswer) -> Iterator[Table]:
    if answer.features:
        rows = tuple((name, "missing" if value is None else str(value)) for name, value in answer.features.items())
        yield Table("The logged features", ("feature", "value"), rows)


def contributions(answer: PredictionAnswer) -> list[tuple[str, float, float | None]]:
    """Return what each feature contributed to a score, in its unit, with the standard error where it was sampled.

    The largest come first; without logged reasons there is nothing.
    """
    found = answer.proof.reexplained if answer.proof is not None else None
    if found is None:
        return []
    parts = prediction_log.numbers(found.logged.get("contributions"))
    errors = prediction_log.numbers(found.logged.get("errors"))
    return [(name, parts[name], errors.get(name)) for name in sorted(parts, key=lambda name: -abs(parts[name]))]


def _reasons(answer: PredictionAnswer) -> Section:
    found = answer.proof.reexplained if answer.proof is not None else None
    if found is None:
        return Section("reasons", "Reasons that were given")
    (_, head), *_ = prediction_log.reasons_rows(found)
    rows = tuple(
        (name, f"{value:+.4g}", "–" if error is None else f"{error:.4g}")
        for name, value, error in contributions(answer)
    )
    table = Table("What each feature contributed", ("feature", "contribution", "standard error"), rows)
    return Section("reasons", "Reasons that were given", (str(head),), (table,) if rows else ())


def _promotion(answer: PredictionAnswer) -> Iterator[str]:
    if answer.promotion is None:
        yield f"MISSING: {audit.UNPROMOTED}"
        return
    yield from audit.promotion_lines(answer.promotion)
    yield f"record: {_trust(answer.promotion.trust)}"
    yield from answer.promotion.trust.problems


def _promotions(answer: ReleaseAnswer) -> Iterator[str]:
    for one in answer.promotions:
        said = "; ".join([*audit.promotion_lines(one), f"record: {_trust(one.trust)}", *one.trust.problems])
        yield f"{one.environment}: {said}"


def _of_release(answer: ReleaseAnswer) -> Iterator[Section]:
    """Yield what a release was made of and how it was judged."""
    unapproved = tuple(uncolored(branch.unapproved_line(one)) for one in answer.unapproved)
    yield Section("unapproved", "Changed by commits that nobody approved", unapproved)
    made = _facts("What it was made of", audit.release_facts(answer))
    yield Section("release", f"The release: {answer.model} {answer.release}", tuple(_given(answer)), (made,))
    metrics = tuple(tuple(map(str, row)) for row in audit.metric_rows(answer))
    weighted = (weight_sentence(answer.weight),) if answer.weight is not None else ()
    yield Section("metrics", "What was measured", weighted, (Table("Metrics of its test rows", _MORE, metrics),))
    gates = tuple(tuple(map(str, row)) for row in audit.gate_rows(answer))
    told = (*audit.gate_lines(answer), *audit.behind_lines(answer))
    yield Section("gates", "How it was judged", told, (Table("Every verdict", _GATES, gates),) if gates else ())


def _given(answer: ReleaseAnswer) -> Iterator[str]:
    if answer.clock_given:
        yield audit.GIVEN


def _there(one: ModelThere) -> Iterator[str]:
    """Yield what is to say of a model in an environment: each arm with who put it there, and what is wrong."""
    if one.unapproved is not None:
        yield uncolored(branch.unapproved_line(one.unapproved))
    if one.unread is not None:
        yield f"as it was before its file could not be read: {one.unread}"
    if one.retired is not None:
        yield f"retired later: {audit.retired_text(one.retired)}"
    if not one.arms:
        yield "nothing ran"
    for arm, there in one.arms.items():
        yield f"{arm}: release {there.release}, evidence: {'; '.join([_trust(there.trust), *there.trust.problems])}"
        if there.promotion is None:
            yield f"MISSING: {audit.UNPROMOTED}"
        else:
            record = [f"record: {_trust(there.promotion.trust)}", *there.promotion.trust.problems]
            yield "; ".join([*audit.promotion_lines(there.promotion), *record])
        yield from (audit.waiver_text(each.waiver) for each in there.waived if each.waiver)
        if there.unrecorded is not None:
            set_by = f"{there.unrecorded.commit[:12]} ({there.unrecorded.subject}) by {there.unrecorded.author}"
            yield f"NOT PROVEN: {set_by}, {there.unrecorded.time}, came without a pull request: no record covers it"
    if one.denied:
        yield f"denied: {', '.join(map(str, one.denied))}"


def _line(found: Judgement) -> Iterator[Section]:
    """Yield what the branch is made of, and every commit of it that nobody approved."""
    start = found.since if found.since is not None else "the first commit"
    lines = [f"judged from {start} to {found.to}: {branch.made_of(found.commits, len(found.open))}"]
    lines += [f"cleared: {one.commit}, by pull request #{one.pull}" for one in found.cleared]
    yield Section("branch", "What the branch is made of", tuple(lines))
    rows = tuple(
        (
            one.commit[:12],
            f"{one.author}, {one.time}",
            one.paths,
            f"{one.reason} [{one.code}]",
            _state(found, one.commit),
        )
        for one in found.open
    )
    table = Table("Commits that nobody approved", ("commit", "by", "files", "why it does not count", "state"), rows)
    way = (f"to clear one: {found.way_out}",) if rows and found.way_out else ()
    yield Section("open", "What nobody approved", way, (table,) if rows else ())


def _state(found: Judgement, commit: str) -> str:
    return "in force" if commit in found.in_force else "nothing of it is left"
