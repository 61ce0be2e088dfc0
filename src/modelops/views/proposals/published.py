"""What a pull request is told of itself: one comment, and what its two checks say.

The report is other people's data: every value of it is escaped, and what does not fit is left out whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modelops.changes.report import BuildReport, EntryReport, MetricReport, ProblemReport, Report, VerdictReport
from modelops.errors import ModelOpsError
from modelops.forges import Annotation, Explanation, PullRequest
from modelops.governance.approvals import ApprovalVerdict, RuleVerdict
from modelops.markup import Markup, code, escape, interval, number, plain, table
from modelops.releases.markdown import WORDS, rows_counted, weight_sentence

__all__ = ["Told", "approvals", "comment", "gates", "headline", "line", "of_commit", "renewed", "signed_gates"]

LIMIT = 60_000
"""Characters of a comment; GitHub takes 65,536."""
_MARK = "<!-- modelops:approvals -->"
_ROWS = 40
_WHO = 20_000
"""Characters about approvals: what was measured needs its room, too."""
_ICONS = {"success": "✅", "failure": "❌", "neutral": "❔", "pending": "⏳"}
_OUTCOMES = {"passed": "✅ passed", "waived": "⚠️ passed by waiver", "undecided": "❔ undecided", "failed": "❌ failed"}
_ENTRIES = {"changes": "➕", "informs": "▫️", "refused": "⛔"}


@dataclass(frozen=True, slots=True)
class Told:
    """What a check concludes, and what it says."""

    conclusion: Literal["success", "failure", "neutral", "pending"]
    said: Explanation


# --- the check of the gates


def gates(
    report: Report | None, why: ModelOpsError | None, measuring: Sequence[str], elsewhere: Sequence[str], url: str
) -> Told:
    """Return what the gates conclude, at the lines that they are about.

    Without a report ``why`` says so. ``measuring`` are the files of the change that decide how it is measured, and
    ``elsewhere`` says why it may be another branch's run: what such a run says of itself is shown, and is no success.
    """
    if report is None:
        title, summary = "nothing is known of this change", _unknown(why)
        return Told("failure", Explanation(title, summary, url=url))
    conclusion, title = report.conclusion, _title(report)
    if (measuring or elsewhere) and conclusion == "success":
        by = "by a run that this change itself defines" if measuring else "by a run that another branch may define"
        conclusion, title = "neutral", f"{title}, {by}"
    notes = tuple(_annotation(report, one) for one in report.problems if one.path)
    doubts = [*_measuring(measuring), *_elsewhere(elsewhere)]
    summary = "\n\n".join([*doubts, *_sections(report, LIMIT - sum(len(text) + 2 for text in doubts))])
    return Told(conclusion, Explanation(plain(title), summary, notes, url))


def signed_gates(url: str) -> Told:
    """Return what the gates conclude of what the loop signed: it was measured before it was signed."""
    said = "The loop signed this from what was measured already: there is nothing to measure here."
    return Told("success", Explanation("signed by the loop, nothing to measure", said, url=url))


def _title(report: Report) -> str:
    failed = [one.model for one in report.builds if not one.passed]
    wrong = sum(one.level == "failure" for one in report.problems)
    if wrong:
        return f"{_plural(wrong, 'problem')} in the files or in what they ask for"
    if failed:
        return f"not to be released: {', '.join(failed)}"
    if report.unmeasured:
        return f"not measured: {', '.join(report.unmeasured)}"
    if not report.builds:
        return "nothing to measure"
    undecided = [one.model for one in report.builds if one.outcome == "undecided"]
    if undecided:
        return f"undecided: {', '.join(undecided)}"
    return f"passed: {', '.join(one.model for one in report.builds)}"


def _annotation(report: Report, one: ProblemReport) -> Annotation:
    path = f"{report.folder}/{one.path}" if report.folder else one.path
    hint = f"\nhint: {plain(one.hint)}" if one.hint else ""
    return Annotation(plain(path), one.line, one.level, f"{plain(one.message)}{hint}", plain(one.code))


def _unknown(why: ModelOpsError | None) -> str:
    said = escape(why.first.message, 600) if why is not None else Markup("the run that measures it left no report")
    return f"Whether its gates pass is not known: {said}. What is not measured is not passed."


def _measuring(paths: Sequence[str]) -> list[str]:
    if not paths:
        return []
    named = ", ".join(code(path, 120) for path in paths[:5]) + (f" and {len(paths) - 5} more" * (len(paths) > 5))
    return [
        f"⚠️ This change edits {named}, which may say how it is measured: what follows is what its own run says of it. "
        "A release is measured again after the merge."
    ]


def _elsewhere(reasons: Sequence[str]) -> list[str]:
    if not reasons:
        return []
    more = f"; and {len(reasons) - 5} more" * (len(reasons) > 5)
    named = "; ".join(escape(one, 300) for one in reasons[:5]) + more
    return [
        f"⚠️ {named}. A forge runs a pull request by the workflows of the branch it is into, so what follows may be "
        "what those say. What is proposed from a branch of its own, to this branch alone, is measured by this one's."
    ]


# --- the check of the approvals


def approvals(verdict: ApprovalVerdict | None, trouble: str | None, url: str) -> Told:
    """Return who has approved and who still must, by which rule; ``trouble`` says why nobody can."""
    if verdict is None or trouble is not None:
        said = escape(trouble or "it is closed", 600)
        return Told("failure", Explanation("cannot be approved as it is", f"{said}", url=url))
    missing = [rule for rule in verdict.rules if not rule.ok]
    if verdict.signed:
        title = "signed by the loop" if verdict.ok else "the loop asks for something else since"
        return Told("success" if verdict.ok else "failure", Explanation(title, _who(verdict), url=url))
    if verdict.ok:
        who = ", ".join(one.login for one in verdict.counted)
        return Told(
            "success", Explanation(plain(f"approved by {who}" if who else "needs nobody"), _who(verdict), url=url)
        )
    title = "; ".join(map(_missing, missing)) or "not approved"
    return Told("pending", Explanation(plain(title)[:250], _who(verdict), url=url))


def of_commit(every: Sequence[Told]) -> Told:
    """Return what a check of a commit says that is the head of several pull requests: that of the least approved."""
    return min(every, key=lambda one: ("failure", "pending", "neutral", "success").index(one.conclusion))


def _missing(rule: RuleVerdict) -> str:
    given = len(rule.counted)
    short = rule.minimum - given
    what = f"{rule.change} in {rule.environment}" if rule.environment else rule.change
    return f"{what}: {_plural(short, 'approval')} missing" if short > 0 else f"{what}: held up"


def _who(verdict: ApprovalVerdict) -> str:
    """Return a row for each rule, and the sentences that say why."""
    rows = [
        (
            Markup("✅" if rule.ok else "⏳"),
            f"{rule.change} in {rule.environment}" if rule.environment else rule.change,
            Markup(f"{len(rule.counted)} of {rule.minimum}"),
            ", ".join(one.login for one in rule.counted) or "nobody yet",
            ", ".join(rule.approvers[:20]) + (f" and {len(rule.approvers) - 20} more" * (len(rule.approvers) > 20)),
        )
        for rule in verdict.rules
    ]
    headers = ("", "Change", "Approvals", "By", "May approve")
    shown = next((count for count in (_ROWS, 10, 3) if len(table(headers, rows, count)) <= _WHO / 2), 1)
    told = [table(headers, rows, shown)] if rows else []
    reasons = _fitting([f"- {escape(reason, 400)}" for reason in verdict.reasons], _WHO // 2)
    return "\n\n".join([*told, *(["\n".join(reasons)] if reasons else [])])


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    """Return as many lines as fit, and how many did not."""
    kept: list[str] = []
    for text in lines[:_ROWS]:
        room -= len(text) + 1
        if room < 0:
            break
        kept.append(text)
    return kept + ([f"- … and {len(lines) - len(kept)} more."] if len(kept) < len(lines) else [])


# --- the comment


def comment(pull: PullRequest, report: Report | None, checked: Told, approved: Told) -> str:
    """Return the comment of a pull request: what was measured, then who has to approve it."""
    last = _approved(approved)
    room = LIMIT - len(last)
    if report is None:
        parts = [f"### {headline(checked)}", checked.said.summary]
    else:
        parts = [f"### {headline(checked)}", *_sections(report, room - 1_000)]
    where = f"Measured of {code(report.head[:12])} on {code(report.base[:12])}." if report else ""
    run = f" [The whole run]({checked.said.url})." if checked.said.url else ""
    return "\n\n".join([*parts, *([f"{where}{run}".strip()] if where or run else []), last])


def headline(told: Told) -> str:
    """Return what a check concludes, in one line of Markdown."""
    return f"{_ICONS[told.conclusion]} {escape(told.said.title, 300)}"


def line(told: Mapping[str, object]) -> str:
    """Return what a pull request was told, in one line."""
    said = ", ".join(f"{key} {told[key]}" for key in ("gates", "approvals") if key in told)
    queue = " in the merge queue" if told["queued"] else ""
    more = f": {told['title']}" if told.get("title") else ""
    return plain(f"#{told['pullRequest']} at {str(told['commit'])[:12]}{queue}: {said}{more}")


def renewed(body: str, approved: Told) -> str | None:
    """Return a comment with its part about approvals as it is now; None for a text without that part."""
    before, mark, _ = body.rpartition(f"\n{_MARK}\n")
    return f"{before}\n{_approved(approved)}" if mark else None


def _approved(approved: Told) -> str:
    return f"{_MARK}\n\n#### Approvals\n\n{headline(approved)}\n\n{approved.said.summary}"


def _sections(report: Report, limit: int) -> list[str]:
    """Return the parts of what was measured, as many as fit; the reader is told how many did not."""
    parts = [
        _problems(report.problems),
        *(part for one in report.builds for part in _build(one)),
        _list("What it is for", report.objectives),
        _list("Not measured", (f"{name} has to be built, and was not" for name in report.unmeasured)),
        _plan(report.plan),
        _forecast(report),
        _list("Waivers", report.waivers),
        _list("Where labels come from", report.labels),
    ]
    told = [part for part in parts if part]
    kept: list[str] = []
    left = limit
    for text in told:
        if len(text) + 2 > left:
            continue
        kept.append(text)
        left -= len(text) + 2
    if len(kept) < len(told):
        kept.append(f"… {_plural(len(told) - len(kept), 'part')} did not fit here: the whole run has everything.")
    return kept


def _problems(found: Sequence[ProblemReport]) -> str:
    order = sorted(found, key=lambda one: one.level)
    rows = [
        (
            Markup("❌" if one.level == "failure" else "⚠️"),
            code(f"{one.path}:{one.line}" if one.line else one.path, 160) if one.path else Markup("–"),
            one.message,
            code(one.code, 80),
        )
        for one in order
    ]
    return f"#### Problems\n\n{table(('', 'Where', 'What', 'Code'), rows, _ROWS)}" if rows else ""


def _build(one: BuildReport) -> list[str]:
    kept = "" if one.passed else ", not to be released"
    against = f" Compared with release {one.stable}." if one.stable is not None else " There is no stable release yet."
    return [
        f"#### {one.model}: {_OUTCOMES[one.outcome]}{kept}",
        f"{_counted(one.verdicts)}.{against}",
        _verdicts(one.verdicts),
        _metrics(one.metrics, one.stable),
        str(escape(weight_sentence(one.weight), 400)) if one.weight and one.metrics else "",
        _data(one),
        "\n".join(f"- {escape(note, 300)}" for note in one.notes[:_ROWS]),
    ]


def _counted(verdicts: Sequence[VerdictReport]) -> str:
    counts = [(sum(one.verdict == word for one in verdicts), WORDS[word]) for word in WORDS]
    return ", ".join(f"{count} {word}" for count, word in counts if count) or "No gate judged it"


def _verdicts(verdicts: Sequence[VerdictReport]) -> Markup:
    if not verdicts:
        return Markup("")
    order = sorted(verdicts, key=lambda one: (not one.blocking, one.verdict == "pass"))
    rows = [
        (
            code(f"{one.policy}/{one.gate}", 80),
            Markup(WORDS[one.verdict] + (" (blocks)" if one.blocking and not one.waived else "")),
            number(one.value),
            interval(one.lower, one.upper),
            number(one.limit),
            Markup("–" if one.n is None else f"{one.n:,}"),
            f"{one.reason}; waived {one.waived}" if one.waived else one.reason,
        )
        for one in order
    ]
    return table(("Gate", "Verdict", "Value", "Interval", "Limit", "n", "Why"), rows, _ROWS)


def _metrics(metrics: Sequence[MetricReport], stable: int | None) -> Markup:
    if not metrics:
        return Markup("")
    headers = ["Metric", f"Candidate ({metrics[0].level:.0%} interval)", "n", "Baseline"]
    headers += [f"Release {stable}"] if stable is not None else []
    rows = [
        [
            code(one.name, 80),
            Markup(f"{number(one.value)} ({interval(one.lower, one.upper)})"),
            Markup(rows_counted(one.n, one.effective)),
            number(one.baseline),
            *([_stable(one)] if stable is not None else []),
        ]
        for one in metrics
    ]
    return table(headers, rows, _ROWS)


def _stable(one: MetricReport) -> Markup:
    if one.stable is None:
        return Markup("–")
    value, lower, upper = one.stable
    return Markup(f"{number(value)} ({interval(lower, upper)})")


def _data(one: BuildReport) -> str:
    data = one.data
    if one.stable is not None and data.before is not None and not data.changes:
        return f"Data: {code(data.snapshot, 80)}, {data.rows:,} rows, the same as stable's."
    before = f", stable's had {data.before:,}" if data.before is not None else ""
    lines = [f"Data: {code(data.snapshot, 80)}, {data.rows:,} rows{before}."]
    lines += [f"- {escape(change, 300)}" for change in data.changes[:_ROWS]]
    more = len(data.changes) - _ROWS
    return "\n".join([*lines, *([f"- … and {more} more changes."] if more > 0 else [])])


def _plan(entries: Sequence[EntryReport]) -> str:
    lines = [f"- {_ENTRIES[one.does]} {escape(one.text, 400)}" for one in entries[:_ROWS]]
    more = len(entries) - _ROWS
    lines += [f"- … and {more} more."] if more > 0 else []
    return "#### What merging leads to\n\n" + "\n".join(lines) if lines else ""


def _forecast(report: Report) -> str:
    rows = [
        (
            one.model,
            Markup(one.step),
            one.what,
            Markup("never" if one.requests is None else f"{one.requests:,}"),
            Markup("–" if one.minutes is None else f"{one.minutes / 60:.1f} h"),
            Markup("yes" if one.sees else "**no**"),
        )
        for one in report.forecasts
    ]
    headers = ("Model", "Step", "To see", "Requests", "Time", "In time")
    lines = "\n".join(f"- {escape(line, 400)}" for line in report.expectations[:_ROWS])
    told = [*([table(headers, rows, _ROWS)] if rows else []), *([lines] if lines else [])]
    return "#### What its rollout needs to see\n\n" + "\n\n".join(told) if told else ""


def _list(title: str, lines: Iterable[str]) -> str:
    told = [f"- {escape(line, 400)}" for line in lines]
    shown = told[:_ROWS] + ([f"- … and {len(told) - _ROWS} more."] if len(told) > _ROWS else [])
    return f"#### {title}\n\n" + "\n".join(shown) if told else ""


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
