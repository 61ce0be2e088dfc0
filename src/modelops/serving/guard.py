"""Who may call: API keys, their rates and their budgets, checked before a body is looked at."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelops.errors import ModelOpsError, failure
from modelops.spec.access import ApiKey, Scope

__all__ = ["Caller", "Guard", "guard"]


@dataclass(slots=True)
class Caller:
    """One key and what it has used; times are seconds of the clock that is passed in."""

    key: ApiKey
    models: frozenset[str] | None
    tokens: float = 0.0
    filled: float = 0.0
    rows: int = 0
    window_ends: float = 0.0
    exceeded: int = 0
    limited: int = 0

    def admit(self, model: str, scope: Scope, now: float) -> None:
        """Raise unless the key may do this, to this model, now."""
        key = self.key
        if scope not in key.scopes:
            raise failure("forbidden", f"the key {key.name} has no scope {scope!r}")
        if self.models is not None and model and model not in self.models:
            raise failure("forbidden", f"the key {key.name} may not use the model {model!r}")
        if key.rate is not None:
            self._take(key.rate.requests_per_second, key.rate.burst, now)
        if key.budget is not None and scope == "infer" and now < self.window_ends and self.rows >= key.budget.rows:
            raise self._exhausted(now)

    def charge(self, rows: int, now: float) -> None:
        """Count predicted rows; the request that goes over the budget is the last one that is answered."""
        budget = self.key.budget
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

    def _take(self, per_second: float, burst: int, now: float) -> None:
        # A clock that goes backwards gives nothing and takes nothing away.
        self.tokens = min(float(burst), self.tokens + max(0.0, now - self.filled) * per_second)
        self.filled = now
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

    def admit(self, headers: Mapping[bytes, bytes], model: str, scope: Scope, now: float) -> Caller:
        """Return the caller of a request, or raise unauthenticated, forbidden, rate-limited or budget-exhausted."""
        presented = _bearer(headers)
        if presented is None:
            raise failure("unauthenticated", "this server needs an API key", hint="send Authorization: Bearer KEY")
        # Only hashes are compared, so the time that a look-up takes says nothing about a key.
        caller = self.callers.get(hashlib.sha256(presented).hexdigest())
        if caller is None:
            raise failure("unauthenticated", "the API key is not known here")
        caller.admit(model, scope, now)
        return caller


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
        burst = float(key.rate.burst) if key.rate is not None else 0.0
        caller = Caller(key, models, tokens=burst)
        if used is not None:
            caller.tokens, caller.filled = min(used.tokens, burst) if used.key.rate else burst, used.filled
            caller.rows, caller.window_ends, caller.exceeded = used.rows, used.window_ends, used.exceeded
            caller.limited = used.limited
        callers[digest] = caller
    return Guard(callers)
