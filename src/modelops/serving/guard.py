"""Who may call: API keys, their rates and their budgets, checked before a body is looked at."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, Metric

from modelops.errors import ModelOpsError, failure
from modelops.spec.access import ApiKey, Scope

__all__ = ["Caller", "Guard", "guard"]


@dataclass(slots=True)
class Caller:
    """One key and what it has used.

    ``now`` is epoch seconds and counts for budgets, ``tick`` the seconds of a clock that never goes back, for rates.
    """

    key: ApiKey
    models: frozenset[str] | None
    tokens: float = 0.0
    filled: float = 0.0
    rows: int = 0
    window_ends: float = 0.0
    predicted: int = 0
    exceeded: int = 0
    limited: int = 0

    def admit(self, model: str, scope: Scope, now: float, tick: float) -> None:
        """Raise unless the key may do this, to this model, now."""
        key = self.key
        if scope not in key.scopes:
            raise failure("forbidden", f"the key {key.name} has no scope {scope!r}")
        if self.models is not None and model and model not in self.models:
            raise failure("forbidden", f"the key {key.name} may not use the model {model!r}")
        if key.rate is not None:
            self._take(key.rate.requests_per_second, key.rate.burst, tick)
        if key.budget is not None and scope == "infer" and now < self.window_ends and self.rows >= key.budget.rows:
            raise self._exhausted(now)

    def charge(self, rows: int, now: float) -> None:
        """Count predicted rows; the request that goes over the budget is the last one that is answered.

        Those that were let in beside it, and are predicted later, raise budget-exhausted.
        """
        budget = self.key.budget
        if budget is not None and now < self.window_ends and self.rows >= budget.rows:
            raise self._exhausted(now)
        self.predicted += rows
        if budget is None:
            return
        if now >= self.window_ends:
            self.rows, self.window_ends = 0, now + budget.hours * 3600
        before, self.rows = self.rows, self.rows + rows
        if before < budget.rows <= self.rows:
            self.exceeded += 1
            print(
                f"ALERT possible model extraction: the key {self.key.name} has predicted {self.rows} rows within "
                f"{budget.hours:g} hours, its budget is {budget.rows}",
                file=sys.stderr,
                flush=True,
            )

    def retry_seconds(self, now: float) -> float:
        """Return after how long the key may come again, once it was refused for its rate or its budget."""
        if self.key.budget is not None and self.rows >= self.key.budget.rows and now < self.window_ends:
            return self.window_ends - now
        return (1 - self.tokens) / self.key.rate.requests_per_second if self.key.rate is not None else 0.0

    def _take(self, per_second: float, burst: int, tick: float) -> None:
        self.tokens = min(float(burst), self.tokens + max(0.0, tick - self.filled) * per_second)
        self.filled = tick
        if self.tokens < 1:
            self.limited += 1
            wait = (1 - self.tokens) / per_second
            said = f"the key {self.key.name} may make {per_second:g} requests a second"
            raise failure("rate-limited", said, hint=f"try again in {wait:.3g} s", retryable=True)
        self.tokens -= 1

    def _exhausted(self, now: float) -> ModelOpsError:
        budget = self.key.budget
        assert budget is not None
        said = f"the key {self.key.name} has used its budget of {budget.rows} rows in {budget.hours:g} hours"
        return failure(
            "budget-exhausted", said, hint=f"it begins anew in {self.window_ends - now:.0f} s", retryable=True
        )


@dataclass
class Guard:
    """The keys of a routing table; what a caller has used survives a new table as long as its key does."""

    callers: dict[str, Caller] = field(default_factory=dict)

    def admit(self, headers: Mapping[bytes, bytes], model: str, scope: Scope, now: float, tick: float) -> Caller:
        """Return the caller of a request, or raise unauthenticated, forbidden, rate-limited or budget-exhausted."""
        caller = self.identify(headers)
        caller.admit(model, scope, now, tick)
        return caller

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
    return headers.get(b"x-api-key")


def guard(keys: Sequence[ApiKey] | None, before: Guard | None, environ: Mapping[str, str] = os.environ) -> Guard | None:
    """Return the guard of a routing table's keys; None lets everyone in.

    A key whose variable is not set lets nobody in, and is said on stderr.
    """
    if keys is None:
        return None
    known = {caller.key.name: caller for caller in before.callers.values()} if before is not None else {}
    callers: dict[str, Caller] = {}
    for key in keys:
        digest = key.sha256
        if key.variable is not None:
            secret = environ.get(key.variable)
            if not secret:
                print(f"the key {key.name} is off: the variable {key.variable} is not set", file=sys.stderr, flush=True)
                continue
            digest = hashlib.sha256(secret.encode()).hexdigest()
        assert digest is not None
        models = None if "*" in key.models else frozenset(key.models)
        used = known.get(key.name)
        callers[digest] = used if used is not None and used.key == key else _renewed(key, models, used)
    return Guard(callers)


def _renewed(key: ApiKey, models: frozenset[str] | None, used: Caller | None) -> Caller:
    """Return the caller of a new or changed key; a change gives back nothing that was used."""
    caller = Caller(key, models, tokens=float(key.rate.burst) if key.rate is not None else 0.0)
    if used is not None:
        if used.key.rate is not None:
            caller.tokens, caller.filled = min(used.tokens, caller.tokens), used.filled
        caller.rows, caller.window_ends = used.rows, used.window_ends
        caller.predicted, caller.exceeded, caller.limited = used.predicted, used.exceeded, used.limited
    return caller
