"""What looks found, kept as incidents: one for each cause, opened once, and closed by itself when it is over.

``step`` is a pure function of what was known and one look. A look that is gone through twice changes nothing more than
once, so a monitor that was killed, or two that run at once, end in the same state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelops.clock import format_instant, parse_instant
from modelops.monitoring.rows import Span
from modelops.monitoring.triage.signals import Kind, Signal
from modelops.spec.kinds.alert_policy import TIERS, Happening
from modelops.spec.kinds.monitor import Triage
from modelops.spec.meta import Strict

__all__ = ["Entry", "Incident", "Look", "broken", "noted", "quarantined", "step"]

_PARTS = 1 / 7
"""A look counts when the window has moved on by this share of its length."""
_JOINS: Mapping[Kind, tuple[Kind, ...]] = {
    "drift": ("drift", "performance"),
    "performance": ("data", "drift", "performance"),
    "anomaly": ("data", "silent", "availability", "latency", "anomaly"),
}
"""To which incidents that are known already a signal belongs, the likeliest cause first; all others to their own."""
_TIERS = ("page", "ticket", "record")
_LINES = 200
"""So many lines of a timeline are kept: the first half of them and the last."""
_KEPT = 200
"""So many closed incidents of a model are remembered here."""


class Entry(Strict):
    """A line of a timeline: when the look was, or the thing happened, and what it said."""

    at: str
    said: str


class Rows(Strict):
    """Rows between two instants that have a fault; None is an end that is not known."""

    since: str | None
    until: str | None


class Incident(Strict):
    """What is wrong with a seat for one cause, from the look that first found it to the one that closed it.

    ``id`` is its day and a word for the cause, "" while it waits for more looks. ``kind`` is that of the cause, and
    ``kinds`` are those of all that was found of it. ``event`` is as what it is told, the most urgent of ``events``, as
    which it was told so far. ``began`` is since when the rows show it, where they do, and ``window`` when that began in
    which it was found ``first``; ``seen`` is the last look that found it. ``bad`` and ``well`` count the looks in a row
    that found it and that did not, and ``counted`` is the last one that counted.
    """

    id: str = ""
    kind: Kind
    kinds: tuple[Kind, ...]
    event: Happening
    events: tuple[Happening, ...]
    code: str
    said: str
    cause: str
    evidence: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    release: int
    began: str | None = None
    window: str
    first: str
    seen: str
    opened: str | None = None
    closed: str | None = None
    bad: int = 0
    well: int = 0
    counted: str
    rows: tuple[Rows, ...] = ()
    timeline: tuple[Entry, ...] = ()
    retraining: int | None = None
    postmortem: int | None = None

    @property
    def open(self) -> bool:
        """Whether it goes on, and is no mere suspicion."""
        return self.opened is not None and self.closed is None

    @property
    def since(self) -> str:
        """Since when it goes on as far as is known: of what a window showed from its beginning, since that at least."""
        whole = self.kind in ("data", "drift", "performance")
        return self.began or (self.window if whole else self.first)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a seat: what it found, what it knows to be well, and of which window of which release."""

    environment: str
    release: int
    since: datetime
    until: datetime
    signals: tuple[Signal, ...]
    well: Collection[Kind]


def step(known: Sequence[Incident], look: Look, triage: Triage) -> tuple[Incident, ...]:
    """Return the incidents after a look: those that were open or suspected, and the closed ones that are remembered.

    Parameters
    ----------
    known : sequence of Incident
        What was known before, the oldest first.
    look : Look
        What was found. One whose window ends where one ended before changes no count.
    triage : Triage
        After how many looks an incident opens, and closes.
    """
    going = [one for one in known if one.closed is None]
    placed: dict[int, list[Signal]] = {}
    for signal in look.signals:
        at = _place(going, signal)
        if at is None:
            going.append(_suspected(signal, look))
            at = len(going) - 1
        placed.setdefault(at, []).append(signal)
    after = [_looked(one, placed.get(at, []), look, triage) for at, one in enumerate(going)]
    ids = {one.id for one in known}
    left: list[Incident] = []
    for one in after:
        if one is None:
            continue
        if one.opened is not None and not one.id:
            one = one.model_copy(update={"id": _id(one, look, ids)})
            ids.add(one.id)
        left.append(one)
    return (*[one for one in known if one.closed is not None][-_KEPT:], *left)


def _place(going: Sequence[Incident], signal: Signal) -> int | None:
    """Return the incident that a signal is part of, the likeliest cause first."""
    for kind in _JOINS.get(signal.kind, (signal.kind,)):
        for at, one in enumerate(going):
            if one.kind == kind:
                return at
    return None


def _suspected(signal: Signal, look: Look) -> Incident:
    stamp = format_instant(look.until)
    return Incident(
        kind=signal.kind,
        kinds=(),
        event=signal.event,
        events=(),
        code=signal.code,
        said=signal.said,
        cause=signal.cause,
        release=look.release,
        window=format_instant(look.since),
        first=stamp,
        seen=stamp,
        counted=format_instant(look.since),
    )


def _looked(one: Incident, found: Sequence[Signal], look: Look, triage: Triage) -> Incident | None:
    """Return an incident after a look; None for a suspicion that did not come true."""
    if found:
        return _found(one, found, look, triage)
    if not all(kind in look.well for kind in one.kinds):
        return one
    if one.opened is None:
        return None
    counts = one.well == 0 or _counts(one, look)
    well = one.well + 1 if counts else one.well
    needed = 1 if one.kind == "silent" else triage.close_after
    stamp = format_instant(look.until)
    # What lasted until the last look that found it was over at the latest when this window began.
    over = max(one.seen, format_instant(look.since))
    rows = tuple(each if each.until is not None else each.model_copy(update={"until": over}) for each in one.rows)
    update: dict[str, object] = {"bad": 0, "well": well, "rows": rows}
    if counts:
        update["counted"] = stamp
    if well >= needed:
        said = f"closed: not found in {well} look{'' if well == 1 else 's'} in a row"
        return _told(one.model_copy(update=update | {"closed": stamp}), stamp, said)
    noted_now = one.model_copy(update=update)
    return (
        _told(noted_now, stamp, f"not found; it closes when {needed} looks in a row do not find it")
        if counts
        else noted_now
    )


def _found(one: Incident, found: Sequence[Signal], look: Look, triage: Triage) -> Incident:
    stamp, fresh = format_instant(look.until), not one.kinds
    again = one.well > 0
    counts = fresh or again or _counts(one, look)
    kinds = tuple(dict.fromkeys([*one.kinds, *(signal.kind for signal in found)]))
    features = tuple(dict.fromkeys([*one.features, *(name for signal in found for name in signal.features)]))
    gravest = min([one.event, *(signal.event for signal in found)], key=lambda event: _TIERS.index(TIERS[event]))
    bad = (1 if again else one.bad + 1) if counts else one.bad
    lead = next((signal for signal in found if signal.event == gravest), found[0])
    own = next((signal for signal in found if signal.kind == one.kind), lead)
    update: dict[str, object] = {
        "kinds": kinds,
        "features": features,
        "event": gravest,
        "events": tuple(dict.fromkeys([*one.events, gravest])),
        "code": one.code if gravest == one.event else lead.code,
        "said": lead.said if gravest == lead.event else one.said,
        "cause": own.cause or one.cause,
        "evidence": tuple(dict.fromkeys(line for signal in found for line in signal.evidence)) or one.evidence,
        "rows": _rows(one.rows, [span for signal in found for span in signal.spans], look),
        "bad": bad,
        "well": 0,
        "seen": stamp,
    }
    begun = [signal.began for signal in found if signal.began is not None]
    if one.began is None and begun and fresh:
        update["began"] = format_instant(min(begun))
    if counts:
        update["counted"] = stamp
    opens = one.opened is None and bad >= triage.open_after
    if opens:
        update["opened"] = stamp
    after = one.model_copy(update=update)
    for said in _news(one, after, found, again, opens):
        after = _told(after, stamp, said)
    return after


def _news(before: Incident, after: Incident, found: Sequence[Signal], again: bool, opens: bool) -> Iterator[str]:
    """Yield what a look says that was not known of an incident."""
    for signal in found:
        new = [name for name in signal.features if name not in before.features]
        if signal.kind not in before.kinds or new or again:
            yield signal.said
    if opens:
        yield f"opened as {after.event}"
    elif before.opened is not None and after.event != before.event:
        yield f"more urgent than before: {after.event}"


def _counts(one: Incident, look: Look) -> bool:
    """Tell whether the window has moved on since the last look that counted, also where a clock was moved back."""
    moved = abs(look.until - parse_instant(one.counted))
    # A schedule is never kept to the second.
    return moved >= (look.until - look.since) * _PARTS - min(timedelta(minutes=1), (look.until - look.since) * 0.01)


def _rows(before: Sequence[Rows], spans: Sequence[Span], look: Look) -> tuple[Rows, ...]:
    """Return the rows that have a fault: what was known of them, with what a newer look says of their ends.

    The beginning of what began before the window is known from earlier looks, or not at all.
    """
    found = list(before)
    for span in spans:
        begins, ends = span.since or look.since, span.until
        until = format_instant(ends + timedelta(seconds=1)) if ends is not None else None
        at = next((at for at, one in enumerate(found) if _meet(one, begins, ends)), None)
        if at is None:
            found.append(Rows(since=format_instant(begins) if span.since is not None else None, until=until))
            continue
        known = found[at]
        since = known.since
        if since is not None and span.since is not None:
            since = min(since, format_instant(span.since))
        if known.until is not None and until is not None:
            until = max(known.until, until)
        found[at] = Rows(since=since, until=until)
    return tuple(dict.fromkeys(found))


def _meet(known: Rows, begins: datetime, ends: datetime | None) -> bool:
    before = ends is not None and known.since is not None and parse_instant(known.since) > ends
    return not before and (known.until is None or parse_instant(known.until) >= begins)


def _told(one: Incident, stamp: str, said: str) -> Incident:
    lines = (*one.timeline, Entry(at=stamp, said=said))
    if len(lines) > _LINES:
        lines = (*lines[: _LINES // 2], *lines[-_LINES // 2 :])
    return one.model_copy(update={"timeline": lines})


def noted(one: Incident, now: datetime, said: str) -> Incident:
    """Return an incident with one more line, unless it is there already."""
    stamp = format_instant(now)
    return one if any(entry.said == said for entry in one.timeline) else _told(one, stamp, said)


def _id(one: Incident, look: Look, taken: Collection[str]) -> str:
    """Return what an incident is called: its day, where it is and its cause, and a number where that is not enough."""
    word = one.kind if one.code in (one.kind, one.event) else f"{one.kind}-{one.code}"
    base = f"{format_instant(look.until)[:10]}-{look.environment}-{word}"
    names = (base if number == 1 else f"{base}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def broken(known: Sequence[Incident]) -> Incident | None:
    """Return the open incident of data that are broken, as long as it has one fault that keeps rows out."""
    return next((one for one in known if one.kind == "data" and one.closed is None and one.rows), None)


def quarantined(known: Sequence[Incident]) -> tuple[Span, ...]:
    """Return the rows that nothing is trained on: those with a fault, of incidents that are open and closed."""
    return tuple(
        Span(
            parse_instant(rows.since) if rows.since is not None else None,
            parse_instant(rows.until) if rows.until is not None else None,
        )
        for one in known
        for rows in one.rows
    )
