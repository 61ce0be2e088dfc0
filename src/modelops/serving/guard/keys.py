"""Who may call: API keys, their rates and their budgets, checked before a body is looked at."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, Metric

from modelops.errors import failure
from modelops.serving.guard.used import Alone, Book, Together, Used
from modelops.serving.guard.visible import Sight
from modelops.spec.kinds.access_policy import DIGESTED, ApiKey, Rate, Scope

__all__ = ["Caller", "Guard", "guard"]


@dataclass(slots=True)
class Caller:
    """One key and what it has used.

    ``now`` is epoch seconds and counts for budgets, ``tick`` the seconds of a clock that never goes back, for rates.
    """

    key: ApiKey
    models: frozenset[str] | None
    book: Book
    predicted: int = 0
    exceeded: int = 0
    limited: int = 0
    sight: Sight = field(init=False)

    def __post_init__(self) -> None:
        self.sight = Sight(self.models, self.key.name)

    def require(self, scope: Scope) -> None:
        """Raise unless the key has a scope; nothing is counted."""
        if scope not in self.key.scopes:
            raise failure("forbidden", f"the key {self.key.name} has no scope {scope!r}")

    def admit(self, scope: Scope, now: float, tick: float) -> None:
        """Raise unless the key may do this now; models that it may not use are not there for it."""
        self.require(scope)
        key = self.key
        counted = key.budget is not None and scope == "infer"
        if key.rate is None and not counted:
            return
        with self.book as used:
            if key.rate is not None:
                self._take(used, key.rate, tick)
            if counted:
                self._spend(used, 0, now)

    def charge(self, rows: int, now: float) -> None:
        """Count rows that will be predicted; the request that goes over the budget is the last one that is answered.

        Those that were let in beside it, and come later, raise budget-exhausted. A negative count gives rows back that
        nobody got.
        """
        if self.key.budget is not None:
            with self.book as used:
                self._spend(used, rows, now)
        self.predicted += rows

    def retry_seconds(self, now: float) -> float:
        """Return after how long the key may come again, once it was refused for its rate or its budget."""
        with self.book as used:
            if self.key.budget is not None and used.rows >= self.key.budget.rows and now < used.window_ends:
                return used.window_ends - now
            return (1 - used.tokens) / self.key.rate.requests_per_second if self.key.rate is not None else 0.0

    def _take(self, used: Used, rate: Rate, tick: float) -> None:
        burst, per_second = float(rate.burst), rate.requests_per_second
        left = used.tokens + max(0.0, tick - used.filled) * per_second if used.filled else burst
        used.tokens, used.filled = min(burst, left), tick
        if used.tokens < 1:
            self.limited += 1
            wait = (1 - used.tokens) / per_second
            said = f"the key {self.key.name} may make {per_second:g} requests a second"
            raise failure("rate-limited", said, hint=f"try again in {wait:.3g} s", retryable=True)
        used.tokens -= 1

    def _spend(self, used: Used, rows: int, now: float) -> None:
        budget, name = self.key.budget, self.key.name
        assert budget is not None
        if rows >= 0 and now < used.window_ends and used.rows >= budget.rows:
            said = f"the key {name} has used its budget of {budget.rows} rows in {budget.hours:g} hours"
            hint = f"it begins anew in {used.window_ends - now:.0f} s"
            raise failure("budget-exhausted", said, hint=hint, retryable=True)
        if rows == 0:
            return
        if now >= used.window_ends:
            used.rows, used.window_ends = 0, now + budget.hours * 3600
        before, used.rows = used.rows, max(0, used.rows + rows)
        if before < budget.rows <= used.rows:
            self.exceeded += 1
            print(
                f"ALERT possible model extraction: the key {name} has predicted {used.rows} rows within "
                f"{budget.hours:g} hours, its budget is {budget.rows}",
                file=sys.stderr,
                flush=True,
            )


@dataclass
class Guard:
    """The keys of a routing table; what a caller has used survives a new table as long as its key does."""

    callers: dict[str, Caller] = field(default_factory=dict)
    off: frozenset[str] = frozenset()

    def identify(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Return who calls, whatever it is that they may do."""
        caller = self.known(headers)
        if caller is not None:
            return caller
        if _bearer(headers) is None:
            raise failure("unauthenticated", "this server needs an API key", hint="send Authorization: Bearer KEY")
        raise failure("unauthenticated", "the API key is not known here")

    def known(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        """Return who calls, None for a key that is missing or not known."""
        presented = _bearer(headers)
        # Only hashes are compared, so the time that a look-up takes says nothing about a key.
        return None if presented is None else self.callers.get(hashlib.sha256(presented).hexdigest())

    def families(self) -> list[Metric]:
        """Return what the keys have used in Prometheus' form."""
        rows = CounterMetricFamily("modelops_key_rows", "Rows predicted for the key.", labels=["key"])
        limited = CounterMetricFamily("modelops_key_limited", "Requests over the key's rate.", labels=["key"])
        alerts = CounterMetricFamily(
            "modelops_key_extraction_alerts", "Windows in which the key used up its budget.", labels=["key"]
        )
        for caller in self.callers.values():
            rows.add_metric([caller.key.name], caller.predicted)
            limited.add_metric([caller.key.name], caller.limited)
            alerts.add_metric([caller.key.name], caller.exceeded)
        return [rows, limited, alerts]


def _bearer(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the key that a request presents, as a bearer token or as X-API-Key."""
    value = headers.get(b"authorization", b"")
    if value[:7].lower() == b"bearer ":
        return value[7:].strip()
    key = headers.get(b"x-api-key")
    return None if key is None else key.strip()


def guard(
    keys: Sequence[ApiKey] | None,
    before: Guard | None,
    environ: Mapping[str, str] = os.environ,
    shared: Path | None = None,
) -> Guard | None:
    """Return the guard of a routing table's keys; None lets everyone in.

    A variable whose name is followed by ``DIGESTED`` holds the SHA-256 of a key that itself is kept elsewhere.
    A key whose variable is not set lets nobody in, and is said on stderr, once. In the folder ``shared`` worker
    processes count together what a key uses.
    """
    if keys is None:
        return None
    known = {caller.key.name: caller for caller in before.callers.values()} if before is not None else {}
    callers: dict[str, Caller] = {}
    off: set[str] = set()
    for key in keys:
        digest = key.sha256
        if key.variable is not None:
            secret, digest = environ.get(key.variable), environ.get(f"{key.variable}{DIGESTED}")
            if not secret and not digest:
                off.add(key.name)
                if before is None or key.name not in before.off:
                    said = f"the key {key.name} is off: the variable {key.variable} is not set"
                    print(said, file=sys.stderr, flush=True)
                continue
            digest = hashlib.sha256(secret.encode()).hexdigest() if secret else digest
        assert digest is not None
        models = None if "*" in key.models else frozenset(key.models)
        used = known.get(key.name)
        callers[digest] = used if used is not None and used.key == key else _renewed(key, models, used, shared)
    return Guard(callers, frozenset(off))


def _renewed(key: ApiKey, models: frozenset[str] | None, used: Caller | None, shared: Path | None) -> Caller:
    """Return the caller of a new or changed key; a change gives back nothing that was used."""
    if used is not None:
        return Caller(key, models, used.book, used.predicted, used.exceeded, used.limited)
    return Caller(key, models, Together(shared / f"{key.name}.used") if shared is not None else Alone())
