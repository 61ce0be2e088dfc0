"""Going through the chains of a log: what was changed, removed, added, moved or cut off, and in which file and rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Literal

from modelops.errors import ModelOpsError
from modelops.predictions.chain import (
    CHAINS,
    Chain,
    Mark,
    answer_digest,
    event_digest,
    link,
    origin_of,
    reasons_value,
    route_head,
)
from modelops.predictions.schema import CHAINED, made, unit_of
from modelops.predictions.segments import reading, segments

__all__ = ["Digests", "Examined", "Flaw", "FlawKind", "Prior", "answer_digests", "examine", "examine_file", "grown"]

FlawKind = Literal[
    "changed", "missing", "added", "cut", "rewritten", "replaced", "gone", "unreadable", "feedback", "routes", "tables",
    "seals", "twice",
]  # fmt: skip
"""What is wrong: rows changed; missing inside; not in the chain; missing at the end; other than what was sealed;
another file in this one's place; the file gone; not readable; truths other than the labels lead to; a route that
nobody used; tables that no writer makes; seals that are not to be believed; one id in two files."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong, in a file and, where it is about rows, in those from ``first`` to ``last``."""

    segment: str
    kind: FlawKind
    chain: Chain = "answers"
    first: int | None = None
    last: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Prior:
    """What a file says of the one before it: its name, and the link that it had with so many rows."""

    name: str
    rows: int
    link: bytes


@dataclass(frozen=True, slots=True)
class Examined:
    """What going through a file found; one that is not ``chained`` was written before logs were, and proves nothing."""

    name: str
    chained: bool
    rows: int
    flaws: tuple[Flaw, ...] = ()
    mark: Mark | None = None
    joint: Mapping[int, bytes] = field(default_factory=dict)


Digests = Iterator[tuple[int, bytes, bytes | None]]
"""For each entry of a chain in the order of its numbers: the number, the digest, and the link that is stored."""


def examine_file(file: Path, sealed: Mark | None = None, *, joined: Collection[int] = ()) -> Examined:
    """Go through the chains of a file, against what was sealed of it; ``joined`` are rows whose links are wanted."""
    name = file.name
    try:
        with reading(file, new=True) as connection:
            if connection is None:
                return Examined(name, True, 0, (Flaw(name, "gone"),) if sealed is not None else ())
            connection.execute("BEGIN")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version in CHAINED:
                return _examined(connection, version, name, sealed, joined)
            # One that says that it has no chain must not have the tables of one either.
            masked = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'origin'").fetchone() is not None
            rows = connection.execute("SELECT count(*) FROM answers").fetchone()[0] if version else 0
            flaws = (Flaw(name, "replaced", detail="a file without a chain"),) if sealed is not None or masked else ()
            return Examined(name, not version, rows, flaws)
    except ModelOpsError as error:
        return Examined(name, True, 0, (Flaw(name, "unreadable", detail=error.first.message),))
    except (ValueError, TypeError, OverflowError) as error:
        # A value that no writer stores, where a number or a text should be.
        return Examined(name, True, 0, (Flaw(name, "unreadable", detail=str(error)),))


def _examined(
    connection: sqlite3.Connection, version: int, name: str, sealed: Mark | None, joined: Collection[int]
) -> Examined:
    origin = origin_of(connection)
    flaws: list[Flaw] = []
    if _tables(connection) != _tables_made(version):
        flaws.append(Flaw(name, "tables"))
    if origin.name != name:
        flaws.append(Flaw(name, "replaced", detail=origin.name or "a file without an origin"))
    walks = [
        walk(name, chain, digests, (0, origin.start(chain)), sealed, joined)
        for chain, digests in zip(CHAINS, _digests(connection, (0, 0, 0)), strict=True)
    ]
    flaws += [flaw for found in walks for flaw in found.flaws]
    flaws += _feedback(connection, name)
    flaws += _routes(connection, name)
    mark = _mark(connection, name, walks)
    return Examined(name, True, mark.answers, tuple(flaws), mark, walks[0].joint)


def grown(file: Path, since: Mark | None) -> Examined | None:
    """Go through what a file has more than at a mark, and return a newer mark; None where it has nothing more.

    What lies before the mark is taken as it was then, save for the last link of each chain.
    """
    name = file.name
    with reading(file) as connection:
        if connection is None or connection.execute("PRAGMA user_version").fetchone()[0] not in CHAINED:
            return None
        connection.execute("BEGIN")
        ends = [connection.execute(_COUNT[chain]).fetchone()[0] for chain in CHAINS]
        if since is None:
            return examine_file(file) if any(ends) else None
        if all(end <= since.count(chain) for end, chain in zip(ends, CHAINS, strict=True)):
            return None
        flaws = [
            Flaw(name, "rewritten", chain, 1, since.count(chain))
            for chain in CHAINS
            if since.count(chain) and _link_at(connection, chain, since.count(chain)) != since.link(chain)
        ]
        counts = since.answers, since.labels, since.shadows
        walks = [
            walk(name, chain, digests, (since.count(chain), since.link(chain)), None)
            for chain, digests in zip(CHAINS, _digests(connection, counts), strict=True)
        ]
        found = [*flaws, *(flaw for each in walks for flaw in each.flaws)]
        return Examined(name, True, walks[0].count, tuple(found), _mark(connection, name, walks))


def _mark(connection: sqlite3.Connection, name: str, walks: Sequence[Walk]) -> Mark:
    first, last = connection.execute("SELECT min(time), max(time) FROM answers").fetchone()
    answers, labels, shadows = walks
    links = answers.link.hex(), labels.link.hex(), shadows.link.hex()
    return Mark(name, answers.count, labels.count, shadows.count, links, first, last)


def _link_at(connection: sqlite3.Connection, chain: Chain, number: int) -> object:
    table, key = ("inputs", "seq") if chain == "answers" else (chain, "number")
    found = connection.execute(f"SELECT link FROM {table} WHERE {key} = ?", (number,)).fetchone()  # noqa: S608
    return found[0] if found is not None else None


_COUNT = {
    "answers": "SELECT coalesce(max(seq), 0) FROM inputs",
    "labels": "SELECT coalesce(max(number), 0) FROM labels",
    "shadows": "SELECT coalesce(max(number), 0) FROM shadows",
}
_LABELS = "SELECT number, seq, label, time, link FROM labels WHERE number > ? ORDER BY number"
_SHADOWS = """SELECT number, prediction_id, time, model, release, arm, step, salt, score, label, status, latency_ms,
    error, link FROM shadows WHERE number > ? ORDER BY number"""
_ANSWERS = """SELECT a.seq, a.id, a.time, a.row, a.status, a.latency_ms, a.score, a.entity, a.label, a.error, a.request,
    a.unit, a.route FROM answers a WHERE a.seq > ? ORDER BY a.seq"""
_INPUTS = "SELECT seq, CAST(features AS BLOB), link FROM inputs WHERE seq > ? ORDER BY seq"
_REASONS = "SELECT seq, CAST(reasons AS BLOB) FROM reasons WHERE seq > ? ORDER BY seq"
_ROUTES = "SELECT route, model, release, arm, step, salt, propensity, review, drawn FROM routes"


def _digests(connection: sqlite3.Connection, after: tuple[int, int, int]) -> tuple[Digests, Digests, Digests]:
    answers, labels, shadows = after
    # What lies before the first number is of no number, and is looked at too.
    none = -(2**63)
    return (
        answer_digests(connection, answers or none),
        _events(connection, _LABELS, labels or none),
        _events(connection, _SHADOWS, shadows or none),
    )


def answer_digests(connection: sqlite3.Connection, after: int) -> Digests:
    """Yield what belongs together of the two tables; where one lacks a row, or has two, the digest is of neither."""
    heads = {route: route_head(*rest) for route, *rest in connection.execute(_ROUTES)}
    inputs = iter(connection.execute(_INPUTS, (after,)))
    waiting = next(inputs, None)
    reasons = _Reasons(connection.execute(_REASONS, (after,)))
    for seq, found in groupby(connection.execute(_ANSWERS, (after,)), lambda row: row[0]):
        while waiting is not None and waiting[0] < seq:
            yield waiting[0], b"", waiting[2]
            waiting = next(inputs, None)
        rows = list(found)
        if waiting is None or waiting[0] != seq:
            yield seq, b"", None
            continue
        *hashed, unit, route = rows[0]
        head = heads.get(route)
        whole = head is not None and len(rows) == 1 and isinstance(hashed[7], str) and unit == unit_of(hashed[7])
        why, whole = reasons.of(seq), whole and not reasons.astray
        hashed += reasons_value(why)
        yield seq, answer_digest(head or b"", hashed, waiting[1]) if whole else b"", waiting[2]
        waiting = next(inputs, None)
    while waiting is not None:
        yield waiting[0], b"", waiting[2]
        waiting = next(inputs, None)
    if reasons.rest is not None:
        yield reasons.rest, b"", None


class _Reasons:
    """The reasons of rows, in their order; those of no row are ``astray``, and told with the row behind them."""

    def __init__(self, rows: Iterator[tuple[int, bytes]]) -> None:
        self._rows = rows
        self._waiting = next(rows, None)
        self.astray = False

    def of(self, seq: int) -> bytes | None:
        """Return the reasons of a row."""
        self.astray = False
        while self._waiting is not None and self._waiting[0] < seq:
            self.astray = True
            self._waiting = next(self._rows, None)
        if self._waiting is None or self._waiting[0] != seq:
            return None
        found, self._waiting = self._waiting[1], next(self._rows, None)
        return found

    @property
    def rest(self) -> int | None:
        """The number of reasons behind the last row, None where there are none."""
        return self._waiting[0] if self._waiting is not None else None


def _events(connection: sqlite3.Connection, query: str, after: int) -> Digests:
    for *values, stored in connection.execute(query, (after,)):
        yield values[0], event_digest(values), stored


@dataclass(frozen=True, slots=True)
class Walk:
    """What going along one chain found: how far it goes, its last link, and the links of the rows that were wanted."""

    count: int
    link: bytes
    flaws: tuple[Flaw, ...]
    joint: Mapping[int, bytes]


def walk(
    name: str,
    chain: Chain,
    digests: Digests,
    begin: tuple[int, bytes],
    sealed: Mark | None,
    joined: Collection[int] = (),
) -> Walk:
    """Go along a chain behind a number with its link.

    After something wrong it is taken up again where it goes on, so that each flaw is told once.
    """
    flaws: list[Flaw] = []
    start = begin[1]
    last, expected, wanted = start, begin[0] + 1, sealed.count(chain) if sealed is not None else 0
    whole = True
    joint: dict[int, bytes] = {0: start} if 0 in joined else {}
    if sealed is not None and wanted == 0 and sealed.link(chain) != start:
        flaws.append(Flaw(name, "replaced", chain))
    for number, digest, stored in digests:
        if number > expected:
            flaws.append(Flaw(name, "missing", chain, expected, number - 1))
            whole = False
        if number < expected:
            flaws.append(Flaw(name, "added", chain, number, number))
            continue
        if not digest or (whole and link(last, digest) != stored):
            flaws.append(Flaw(name, "changed", chain, number, number))
        # Behind a gap the link before is unknown, so the first row there is taken as it is.
        whole = isinstance(stored, bytes)
        last, expected = stored if isinstance(stored, bytes) else last, number + 1
        if number in joined:
            joint[number] = last
        if number == wanted and sealed is not None and last != sealed.link(chain):
            flaws.append(Flaw(name, "rewritten", chain, 1, number))
    if expected - 1 < wanted:
        flaws.append(Flaw(name, "cut", chain, expected, wanted))
    return Walk(expected - 1, last, tuple(_together(flaws)), joint)


def _together(flaws: Sequence[Flaw]) -> Iterator[Flaw]:
    """Yield flaws with those of neighbouring rows as one."""
    kept: list[Flaw] = []
    for flaw in flaws:
        before = kept[-1] if kept else None
        alike = before is not None and (before.kind, before.chain) == (flaw.kind, flaw.chain)
        if before is not None and alike and before.last is not None and flaw.first == before.last + 1:
            kept[-1] = replace(before, last=flaw.last)
        else:
            kept.append(flaw)
    yield from kept


def _feedback(connection: sqlite3.Connection, name: str) -> Iterator[Flaw]:
    """Yield the rows whose truth is not what the labels, as they came, lead to."""
    expected: dict[int, tuple[str, float, int]] = {}
    for seq, label, time in connection.execute("SELECT seq, label, time FROM labels ORDER BY number"):
        known = expected.get(seq)
        if known is None:
            expected[seq] = (label, time, 0)
        else:
            newest = (label, time) if time >= known[1] else known[:2]
            expected[seq] = (*newest, known[2] + 1)
    query = "SELECT f.seq, f.label, f.time, f.revisions, a.seq FROM feedback f LEFT JOIN answers a USING (route, seq)"
    wrong = []
    for seq, label, time, revisions, answered in connection.execute(query):
        if expected.pop(seq, None) != (label, time, revisions) or answered is None:
            wrong.append(seq)
    yield from _together([Flaw(name, "feedback", "labels", seq, seq) for seq in sorted({*wrong, *expected})])


def _tables(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Return what a file consists of: readers ask a view, and what it shows is what its definition says."""
    return sorted(connection.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master"))


@cache
def _tables_made(version: int) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in made(version):
            connection.execute(statement)
        return _tables(connection)


def _routes(connection: sqlite3.Connection, name: str) -> Iterator[Flaw]:
    unused = "SELECT r.route FROM routes r WHERE NOT EXISTS (SELECT 1 FROM answers a WHERE a.route = r.route)"
    for (route,) in connection.execute(unused):
        yield Flaw(name, "routes", detail=str(route))


def examine(
    path: Path, sealed: Mapping[str, Mark], excused: Collection[str] = (), only: str | None = None
) -> tuple[Examined, ...]:
    """Go through all files of a log, those that were sealed and are gone among them, or through one.

    ``excused`` are files that were dropped by rule: that they are gone is no flaw, whoever was begun behind them.
    """
    names = [segment.name for segment in segments(path)]
    priors = {name: prior for name in names if (prior := _prior(path / name)) is not None}
    wanted: dict[str, set[int]] = {}
    for prior in priors.values():
        wanted.setdefault(prior.name, set()).add(prior.rows)
    found = {
        name: examine_file(path / name, sealed.get(name), joined=wanted.get(name, ()))
        for name in sorted({*names, *(set(sealed) - set(excused))})
        if only in (None, name)
    }
    for name, prior in priors.items():
        if prior.name in excused or only not in (None, prior.name):
            continue
        flaw = _joint(found.get(prior.name), prior, name)
        if flaw is not None:
            before = found.get(prior.name) or Examined(prior.name, True, 0)
            if not before.flaws:
                found[prior.name] = replace(before, flaws=(flaw,))
    return tuple(found[name] for name in sorted(found))


def _prior(file: Path) -> Prior | None:
    try:
        with reading(file) as connection:
            if connection is None or connection.execute("PRAGMA user_version").fetchone()[0] not in CHAINED:
                return None
            origin = origin_of(connection)
    except ModelOpsError:
        return None
    return Prior(origin.before, origin.rows, origin.link) if origin.before else None


def _joint(before: Examined | None, prior: Prior, behind: str) -> Flaw | None:
    """Return what is wrong with a file by the word of the one that was begun behind it."""
    if before is None:
        return Flaw(prior.name, "gone", first=min(1, prior.rows), last=prior.rows, detail=behind)
    if before.rows < prior.rows:
        return Flaw(prior.name, "cut", "answers", before.rows + 1, prior.rows, behind)
    if not before.chained or before.joint.get(prior.rows) != prior.link:
        return Flaw(prior.name, "rewritten", "answers", 1, prior.rows, behind)
    return None
