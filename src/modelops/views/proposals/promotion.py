"""Asking for a promotion: what the person who asks is told, and what the reviewer reads."""

from __future__ import annotations

from typing import Any

from modelops.governance.proposals import PromotionCase, Proposal
from modelops.markup import code, escape, plain, table
from modelops.releases.markdown import weighted_otherwise
from modelops.spec.kinds.release import MetricValue, ReleaseSpec
from modelops.views.trials import rehearsal


def text(proposal: Proposal) -> str:
    """Return which pull request asks, and which ones it supersedes."""
    asks = " asks for it already" if proposal.already else ""
    lines = [f"pull request {proposal.pull.number}{asks}: {plain(proposal.pull.title)}"]
    return "\n".join([*lines, *(f"closed pull request {old}: superseded" for old in proposal.superseded)])


def data(proposal: Proposal) -> dict[str, Any]:
    """Return which pull request asks, and which ones it supersedes."""
    return {
        "pullRequest": proposal.pull.number,
        "branch": proposal.pull.source,
        "release": proposal.release,
        "superseded": list(proposal.superseded),
        "already": proposal.already,
    }


def markdown(case: PromotionCase) -> str:
    """Return the body of a promotion's pull request: metrics beside stable's, verdicts, and the rehearsal."""
    release, stable = case.release, case.stable
    headers = ["metric", f"release {release.version}", *([f"stable release {stable.version}"] if stable else [])]
    before = {metric.name: metric for metric in stable.metrics} if stable is not None else {}
    rows = [
        [metric.name, _interval(metric), *([_interval(before.get(metric.name))] if stable is not None else [])]
        for metric in release.metrics
    ]
    verdicts = [f"- {v.verdict}: {escape(f'{v.policy}/{v.gate}: {v.reason}')}" for v in release.verdicts]
    weighed = [
        *([f"Its training and metrics are weighted by {code(release.weight)}."] if release.weight is not None else []),
        *([f"{escape(apart[0].upper() + apart[1:])}."] if (apart := _apart(release, stable)) else []),
    ]
    made = (
        f"Artifact {code(release.artifact.digest)}, trained on {code(release.data.snapshot)} "
        f"({release.data.rows} rows), code {code(release.code.commit)}."
    )
    head = f"Makes release {release.version} of {case.seat.model} {_becomes(case)}"
    notes = [line for note in weighed for line in (note, "")]
    parts = [head, "", table(headers, rows), "", *notes, *verdicts, "", made, "", rehearsal.markdown(case.rehearsed)]
    return "\n".join(parts)


def _apart(release: ReleaseSpec, stable: ReleaseSpec | None) -> str:
    return "" if stable is None else weighted_otherwise(stable.version, stable.weight, release.weight)


def _becomes(case: PromotionCase) -> str:
    if case.role == "candidate":
        return f"the candidate of {case.seat.environment}; the rollout decides if it becomes stable."
    return f"a challenger in {case.seat.environment}; the rollout there begins again with one arm more."


def _interval(metric: MetricValue | None) -> str:
    return f"{metric.value:.4g} [{metric.lower:.4g}, {metric.upper:.4g}]" if metric is not None else "not measured"
