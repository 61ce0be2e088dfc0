"""The report of an audit as one page."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from modelops.audit import PredictionAnswer, ReleaseAnswer
from modelops.dashboard.answers import grouped, pictures
from modelops.dashboard.pictures import Interval, Node, graph, intervals
from modelops.dashboard.reports.sheet import page
from modelops.metrics.curves import Curves
from modelops.spec.kinds.model import Task
from modelops.views.reports.audited import Answer, Asked, contributions, report
from modelops.views.reports.groups import compared

__all__ = ["audited"]

_REASONS = 30
Captioned = tuple[str, Markup]


def audited(answer: Answer, asked: Asked, curves: Curves | str | None = None, task: Task | None = None) -> str:
    """Return the page of an answer; the same answer gives the same bytes.

    Of a release, ``curves`` are those of its stored answers, or why there are none, and ``task`` is its model's,
    without which groups have no picture.
    """
    release = answer.made_by if isinstance(answer, PredictionAnswer) else answer
    drawn: dict[str, tuple[Captioned, ...]] = {}
    if isinstance(answer, PredictionAnswer):
        drawn["reasons"] = tuple(_reasons(answer))
    if isinstance(release, ReleaseAnswer):
        drawn["gates"] = (*_verdicts(release), *(_groups(release, task) if task is not None else ()))
    if isinstance(curves, Curves):
        drawn["answers"] = tuple(pictures(curves))
    banded = isinstance(curves, Curves) and bool(curves.roc)
    told = report(answer, asked, curves)
    return page("audited.html", found=told, pictures=drawn, banded=banded, chain=_chain(answer))


def _verdicts(answer: ReleaseAnswer) -> Iterator[Captioned]:
    """Draw the interval of each gate that has one beside the limit that it was held against."""
    for one in answer.verdicts:
        if one.value is not None and one.limit is not None:
            name = f"{one.policy}/{one.gate}"
            rows = [Interval(f"release {answer.release}", one.value, one.lower, one.upper)]
            yield f"{name}: {one.verdict}, the limit as a dashed line", intervals(name, rows, one.limit)


def _groups(answer: ReleaseAnswer, task: Task) -> Iterator[Captioned]:
    for key, found in answer.details.items():
        yield from grouped(key, compared(found, task))


def _reasons(answer: PredictionAnswer) -> Iterator[Captioned]:
    """Draw what each feature contributed, with 95 % of the error of sampling, the largest first."""
    rows = [
        Interval(name, value, *((None, None) if error is None else (value - 1.96 * error, value + 1.96 * error)))
        for name, value, error in contributions(answer)[:_REASONS]
    ]
    if rows:
        yield "Contributions to this score, 0 as a dashed line", intervals("Contributions", rows, 0.0)


def _chain(answer: Answer) -> Markup | None:
    """Draw where an answer comes from: the data, the release, who let it in, and the answer itself."""
    release = answer.made_by if isinstance(answer, PredictionAnswer) else answer
    if not isinstance(release, ReleaseAnswer):
        return None
    data = release.data
    sources = [Node(f"s:{name}", name, "source") for name in data.upstream or ((data.owner,) if data.owner else ())]
    snapshot = Node("data", data.snapshot, f"{data.rows:,} rows", comes_from=tuple(one.key for one in sources))
    author = f"by {release.code.author}" if release.code.author else "not in this clone"
    code = Node("code", f"commit {release.code.commit[:10]}", author)
    kind = "stable" if release.trust.ok else ""
    made = Node("release", f"release {release.release}", release.artifact[7:19], "", kind, ("data", "code"))
    promotions = [answer.promotion] if isinstance(answer, PredictionAnswer) else release.promotions
    let_in = [
        Node(f"p:{at}", one.name, f"in {one.environment}", "", "stable" if one.trust.ok else "", ("release",))
        for at, one in enumerate(promotions)
        if one is not None
    ]
    columns = {"Sources": sources, "Data and code": [snapshot, code], "Release": [made], "Promotion": let_in}
    if isinstance(answer, PredictionAnswer):
        before = tuple(one.key for one in let_in) or ("release",)
        columns["Answer"] = [Node("answer", str(answer.label), answer.time, "", "stable" if answer.ok else "", before)]
    return graph("Where it comes from; what is proven has a green frame", columns)
