"""What was found about tables of others: gates over predictions, drift between two tables, and what was signed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from modelops.evidence import verdict_data
from modelops.markup import plain
from modelops.outside.drifting import Drifted
from modelops.outside.judging import Judgement
from modelops.outside.sealing import Proven
from modelops.releases.details import details_lines
from modelops.views.data import comparison

__all__ = ["data", "drift_data", "drift_text", "proven_data", "proven_text", "text"]

_DETAILS = 8


def text(found: Judgement) -> str:
    """Return the answer first, then metrics with their intervals and what every gate found."""
    rows = found.rows
    lines = [f"{plain(rows.file)}: {'passed' if found.passed else 'NOT passed'}"]
    counted = len(rows.table) - found.without_truth
    about = f", positive is {plain(found.positive)}" if found.positive is not None else ""
    lines.append(f"  {found.task} of {counted:,} rows{about}")
    if found.without_truth:
        lines.append(f"  {found.without_truth:,} rows have no truth and do not count")
    for one in found.metrics:
        worth = f" worth {one.rests_on}" if one.effective is not None else ""
        interval = f"[{one.lower:.4g}, {one.upper:.4g}] at {one.level:.0%}, n={one.n}{worth}"
        lines.append(f"  {plain(one.name)} {one.value:.4g} {interval}")
    for finding in found.findings:
        record = finding.record
        lines.append(f"  {record.verdict:12} {plain(f'{finding.key}: {record.reason}')}")
        lines += [f"  {'':12} {plain(f'but {record.toothless}')}"] if record.toothless else []
        lines += [f"  {'':12}   {line}" for line in details_lines(finding.details, _DETAILS)]
    return "\n".join(lines)


def data(found: Judgement) -> dict[str, Any]:
    """Return what was found as plain data."""
    return {
        "file": found.rows.file,
        "digest": found.rows.digest,
        "passed": found.passed,
        "task": found.task,
        "positive": found.positive,
        "classes": list(found.classes),
        "rows": len(found.rows.table) - found.without_truth,
        "withoutTruth": found.without_truth,
        "metrics": [one.model_dump(by_alias=True) for one in found.metrics],
        "verdicts": [{**verdict_data(one.record), "details": dict(one.details)} for one in found.findings],
    }


def drift_text(found: Drifted) -> str:
    """Return how the window compares with the reference."""
    untold = f"undecided, as too few rows say nothing of {plain(', '.join(found.untold) or 'any column')}"
    word = "drifted" if found.alert else "no drift beyond the limits" if found.passed else untold
    head = f"{plain(found.window.file)} against {plain(found.reference.file)}: {word}"
    return "\n".join([head, *(f"  {line}" for line in comparison.text(found.found).splitlines())])


def drift_data(found: Drifted) -> dict[str, Any]:
    """Return how the window compares with the reference, as plain data."""
    files = {"reference": found.reference, "window": found.window}
    return {
        **{name: {"file": one.file, "digest": one.digest} for name, one in files.items()},
        "alert": found.alert,
        "passed": found.passed,
        "undecided": list(found.untold),
        **comparison.data(found.found),
    }


def proven_text(found: Proven) -> str:
    """Return what is signed about predictions."""
    lines = [f"{plain(found.file)}: {found.result}, signed by {found.keyid[:16]} about {found.digest}"]
    lines += [f"  {one['name']} {one['value']:.4g} [{one['lower']:.4g}, {one['upper']:.4g}]" for one in found.metrics]
    lines += [f"  {one['verdict']:12} {one['policy']}/{one['gate']}: {one['reason']}" for one in found.verdicts]
    return "\n".join([lines[0], *(f"  {plain(line.strip())}" for line in lines[1:])])


def proven_data(found: Proven) -> dict[str, Any]:
    """Return what is signed about predictions as plain data."""
    return asdict(found)
