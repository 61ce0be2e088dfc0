"""Runs of the ledger: as a list, beside each other, and as a branch that was made of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from modelops.changes.tries.branching import Branched
from modelops.changes.tries.comparing import Beside
from modelops.changes.tries.trying import Tried
from modelops.markup import plain
from modelops.training import Run
from modelops.views.terminal import table

__all__ = [
    "branched_data",
    "branched_text",
    "compared_data",
    "compared_text",
    "data",
    "differing",
    "first_line",
    "text",
    "tried_line",
]

_METRICS = 3


def text(runs: Sequence[Run]) -> str:
    """Return runs as a table, the newest first, failed ones with what was wrong."""
    if not runs:
        return "no run on this machine: `modelops build` and `modelops try` make them"
    rows = [
        (
            one.id,
            plain(one.model),
            one.started,
            one.outcome,
            f"{one.seconds:.1f} s",
            plain(", ".join(f"{name} {value}" for name, value in one.parameters.items())) or "-",
            _measured(one.metrics) if one.outcome != "failed" else plain(first_line(one.message or one.problem or "")),
        )
        for one in runs
    ]
    return table(("run", "model", "began", "outcome", "took", "parameters", "measured"), rows)


def first_line(message: str) -> str:
    """Return what was wrong with a run in one line; the lines below it lead through the code."""
    return message.strip().split("\n", 1)[0]


def _measured(metrics: Mapping[str, float]) -> str:
    return plain(", ".join(f"{name} {value:.4g}" for name, value in list(metrics.items())[:_METRICS]))


def data(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return runs as plain data."""
    return [asdict(one) for one in runs]


def differing(found: Sequence[Beside]) -> tuple[str, ...]:
    """Return the parameters that are not the same in all runs, in the order in which they first appear."""
    names = dict.fromkeys(name for one in found for name in one.run.parameters)
    return tuple(name for name in names if len({_said(one, name) for one in found}) > 1)


def _said(one: Beside, name: str) -> str:
    return plain(repr(one.run.parameters[name])) if name in one.run.parameters else "-"


def tried_text(found: Sequence[Beside], metric: str, looks: int = 0, best: int | None = None) -> str:
    """Return what was tried, a line for each, by one metric and its difference from the first.

    ``looks`` is how many builds were measured on rows of the snapshot; ``best`` is the number of the best run.
    """
    axes, first = differing(found), found[0].run.id
    headers = ["run", "outcome", *map(plain, axes), plain(metric), f"minus run {first}"]
    rows = [
        [
            f"{one.run.id}{' best' if one.run.id == best else ''}",
            one.run.outcome,
            *(_said(one, name) for name in axes),
            _value(one, metric),
            _difference(one, metric),
        ]
        for one in found
    ]
    lines = [table(headers, rows), *_notes(found)]
    chosen = next((one for one in found if one.run.id == best and one is not found[0]), None)
    difference = chosen.differences.get(metric) if chosen is not None else None
    if difference is not None and difference.lower <= 0 <= difference.upper:
        lines.append(f"run {best} is not shown to be better than run {first}: the interval of their difference holds 0")
    if looks > 1:
        lines.append(
            f"{looks} builds were measured on rows of this snapshot, as far as this machine knows: the best of them "
            "looks better than it is; gates count them"
        )
    return "\n".join(lines)


def compared_text(found: Sequence[Beside], metric: str | None = None) -> str:
    """Return runs beside each other, a column for each: what differs, and metrics with their differences."""
    first, names = found[0].run.id, dict.fromkeys(name for one in found for name in one.metrics)
    rows = [["outcome", *(one.run.outcome for one in found)]]
    rows += [[plain(name), *(_said(one, name) for one in found)] for name in differing(found)]
    for name in [metric] if metric is not None else names:
        rows.append([plain(name), *(_value(one, name) for one in found)])
        if any(name in one.differences for one in found):
            rows.append([f"  minus run {first}", *(_difference(one, name) for one in found)])
    return "\n".join([table(["run", *(str(one.run.id) for one in found)], rows), *_notes(found)])


def _notes(found: Sequence[Beside]) -> list[str]:
    lines = [_failed(one) for one in found if one.run.outcome == "failed"]
    if len({one.run.data for one in found}) > 1:
        lines.append("the runs are of other data, so their metrics are not of the same rows")
    return lines


def _value(one: Beside, name: str) -> str:
    found = one.metrics.get(name)
    if found is None:
        known = one.run.metrics.get(name)
        return "-" if known is None else f"{known:.4g}"
    return f"{found.value:.4g} [{found.lower:.4g}, {found.upper:.4g}]"


def _difference(one: Beside, name: str) -> str:
    found = one.differences.get(name)
    return "" if found is None else f"{found.value:+.3g} [{found.lower:+.3g}, {found.upper:+.3g}]"


def _failed(one: Beside) -> str:
    return f"run {one.run.id} failed: {plain(one.run.message or '')} [{one.run.problem}]"


def compared_data(
    found: Sequence[Beside], metric: str | None = None, looks: int = 0, best: int | None = None
) -> dict[str, Any]:
    """Return runs beside each other as plain data."""
    return {
        "runs": [
            {
                **asdict(one.run),
                "intervals": [measured.model_dump(by_alias=True) for measured in one.metrics.values()],
                "differences": {name: asdict(each) for name, each in one.differences.items()},
            }
            for one in found
        ],
        "differing": list(differing(found)),
        "metric": metric,
        "looks": looks,
        "best": best,
    }


def tried_line(one: Tried, metric: str) -> str:
    """Return one line about a variant that ended just now."""
    what = ", ".join(f"{name} {value}" for name, value in one.variant.items()) or "as it is"
    if one.record is None:
        return plain(f"{what}: failed: {one.problems[0].message} [{one.problems[0].code}]")
    found = next((each for each in one.record.metrics if each.name == metric), None)
    measured = "not measured" if found is None else f"{metric} {found.value:.4g} [{found.lower:.4g}, {found.upper:.4g}]"
    return plain(f"{what}: {measured}{', built before' if one.cached else ''}")


def branched_text(found: Branched) -> str:
    """Return what a branch changes, and what to type next."""
    told = ", ".join(f"{name} {before} -> {now}" for name, (before, now) in found.changed.items())
    done = "made" if found.made else "there already:"
    lines = [f"{done} {found.branch}, one commit: {told}", f"next: git switch {found.branch}, then modelops pr create"]
    return "\n".join(map(plain, lines))


def branched_data(found: Branched) -> dict[str, Any]:
    """Return a branch that was made of a run."""
    told = asdict(found)
    return told | {"changed": {name: {"before": old, "now": new} for name, (old, new) in found.changed.items()}}
