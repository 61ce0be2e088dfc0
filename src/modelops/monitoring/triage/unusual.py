"""What unusual hours are likely to come from: what git, the data sources and the other models here show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from modelops.clock import format_instant, parse_instant
from modelops.monitoring.anomalies import Anomaly, Unusual
from modelops.monitoring.triage.signals import Change, Signal
from modelops.monitoring.upstream.suspect import Suspect

__all__ = ["signal_of"]

_NEAR = timedelta(hours=2)
"""What began so near to each other may have one cause: hours are whole, and an alarm's beginning is an estimate."""


def signal_of(
    unusual: Unusual,
    changes: Sequence[Change],
    suspects: Sequence[Suspect],
    others: Mapping[str, str],
) -> Signal | None:
    """Return all that is unusual now as one signal, the likeliest cause first; None where nothing is.

    Parameters
    ----------
    unusual : Unusual
        What the hours showed. What began together is told together, whatever series it is in.
    changes : sequence of Change
        The releases that began to answer, and when: a deployment is the likeliest cause of what began with it.
    suspects : sequence of Suspect
        Data sources from which features went missing.
    others : mapping of str to str
        The other models of the environment that have unusual hours, and since when: they share host and callers.
    """
    going = unusual.going
    if not going:
        return None
    began = min(parse_instant(one.began) for one in going)
    causes = list(_causes(going, changes, suspects, others))
    said = "; ".join(one.said for one in going)
    evidence = [one.said for one in going]
    evidence += [
        f"release {one.release} is {one.arm} since {format_instant(one.at)}"
        for one in changes
        if abs(one.at - began) <= _NEAR
    ]
    evidence += [f"{name} has unusual hours since {since}" for name, since in _alike(began, others)]
    code = going[0].series.replace(" ", "-") if len(going) == 1 else "hours"
    return Signal(
        "anomaly", "anomaly", code, f"these hours are unusual: {said}", "; ".join(causes), tuple(evidence), (), began
    )


def _causes(
    going: Sequence[Anomaly],
    changes: Sequence[Change],
    suspects: Sequence[Suspect],
    others: Mapping[str, str],
) -> Iterator[str]:
    began = min(parse_instant(one.began) for one in going)
    near = [one for one in changes if abs(one.at - began) <= _NEAR]
    yield from (f"release {one.release} began to answer as {one.arm} then" for one in near)
    for one in suspects:
        what = "went silent" if one.silent else "brings other values"
        yield f"the data source {one.name} {what}: {', '.join(one.features)}"
    alike = _alike(began, others)
    if alike:
        names = ", ".join(name for name, _ in alike)
        yield f"{names} became unusual at the same time: what they share is the host, or who calls them"
    elif not near and not suspects:
        series = {one.series for one in going}
        if series == {"requests"}:
            yield "nothing here began then: who calls it changed"
        elif series <= {"errors", "slow answers"}:
            yield "nothing in git began then: the host, or what the server waits for"
        else:
            yield "nothing in git began then"


def _alike(began: datetime, others: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the other models whose hours became unusual at the same time, and when that was."""
    return [(name, at) for name, at in sorted(others.items()) if abs(parse_instant(at) - began) <= _NEAR]
