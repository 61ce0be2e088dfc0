"""The chain of a file of the log: a hash for every row that also stands for all rows before it.

A row's digest is SHA-256 over the route it was given by, over its own values, and over the features as they are stored;
its link is SHA-256 over the link before it and the digest. Values are MessagePack in its shortest form: an array for
the route, an array for the row, and behind them the bytes of the features. A row that has reasons has their SHA-256 as
one more value. A chain begins with what the file is called
and with the link that the file before it had by then, so that files cannot take each other's places.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import msgspec

__all__ = [
    "CHAINS", "Chain", "Mark", "Origin", "answer_digest", "answer_link", "event_digest", "link", "number_of",
    "origin_of", "packed", "reasons_value", "route_head",
]  # fmt: skip

Chain = Literal["answers", "labels", "shadows"]
CHAINS: tuple[Chain, ...] = ("answers", "labels", "shadows")
"""What a file chains: answers as they were given, labels as they came, and what shadows said."""


def _plain(value: object) -> object:
    """Return what SQLite stores for a value whose class only derives from a plain one, such as numpy's."""
    for kind in (str, float, int):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"{type(value).__name__} is no value of a log")


packed = msgspec.msgpack.Encoder(enc_hook=_plain).encode
"""Values as they are hashed."""


def number_of(value: float | None) -> float | None:
    """Return a number as SQLite gives it back: NaN is nothing and there is one zero."""
    if type(value) is float and value == value:
        return value + 0.0
    return None if value is None or value != value else float(value) + 0.0


def route_head(
    model: str, release: int, arm: str, step: int, salt: str, propensity: float, review: float = 0.0, drawn: int = 0
) -> bytes:
    """Return what a route adds to the digest of each of its rows; without reviews it is what it was before them."""
    route = (model, release, arm, step, salt, number_of(propensity))
    return packed((*route, number_of(review), int(drawn)) if review or drawn else route)


def answer_digest(head: bytes, values: Sequence[Any], features: str | bytes) -> bytes:
    """Return the digest of an answer: seq, id, time, row, status, latency, score, entity, label, error, request."""
    stored = features if isinstance(features, bytes) else features.encode()
    return sha256(b"%b%b%b" % (head, packed(values), stored)).digest()


def reasons_value(reasons: str | bytes | None) -> tuple[bytes, ...]:
    """Return what the reasons of a row add to its values: nothing where it has none, as before there were any."""
    if reasons is None:
        return ()
    return (sha256(reasons if isinstance(reasons, bytes) else reasons.encode()).digest(),)


def event_digest(values: Sequence[Any]) -> bytes:
    """Return the digest of a label or of what a shadow said."""
    return sha256(packed(values)).digest()


def link(before: bytes, digest: bytes) -> bytes:
    """Return the hash that stands for a digest and all before it."""
    return sha256(before + digest).digest()


def answer_link(before: bytes, head: bytes, values: Sequence[Any], features: str | bytes) -> bytes:
    """Return ``link(before, answer_digest(head, values, features))``: the writer asks for it once a row."""
    stored = features if isinstance(features, bytes) else features.encode()
    return sha256(before + sha256(b"%b%b%b" % (head, packed(values), stored)).digest()).digest()


@dataclass(frozen=True, slots=True)
class Origin:
    """How a file began: its name, the file of the same writer before it, and how far the chain of that one was."""

    name: str
    before: str
    rows: int
    link: bytes
    nonce: bytes

    def start(self, chain: Chain) -> bytes:
        """Return the hash with which one of the file's chains begins."""
        fields = ("modelops prediction log 3", chain, self.name, self.before, self.rows, self.link, self.nonce)
        return sha256(packed(fields)).digest()


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the chains of a file were at some time: how many there were of each, and the last link of each."""

    name: str
    answers: int
    labels: int
    shadows: int
    links: tuple[str, str, str]
    first: float | None = None
    last: float | None = None

    def count(self, chain: Chain) -> int:
        """Return how many of one chain are covered."""
        return (self.answers, self.labels, self.shadows)[CHAINS.index(chain)]

    def link(self, chain: Chain) -> bytes:
        """Return the last link of one chain that is covered."""
        return bytes.fromhex(self.links[CHAINS.index(chain)])


def origin_of(connection: sqlite3.Connection) -> Origin:
    """Return how a file began; one from which that was removed began as nothing does."""
    found = connection.execute("SELECT name, before, rows, link, nonce FROM origin").fetchall()
    return Origin(*found[0]) if len(found) == 1 else Origin("", "", 0, b"", b"")
