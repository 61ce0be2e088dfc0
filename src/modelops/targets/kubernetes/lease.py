"""The Lease of an environment in the cluster: one reconciler at a time, wherever it runs, and a fence behind it.

Whoever holds it writes ConfigMaps only in place of the state that was read under the Lease. When another one takes it
over, that one first marks every ConfigMap with its own term, so that nothing the former one read fits any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.files import write_atomically
from modelops.targets import Place
from modelops.targets.kubernetes.cluster import Cluster, connected, is_gone, is_late
from modelops.targets.kubernetes.names import TERM, Owner
from modelops.targets.kubernetes.params import Params

__all__ = ["Term", "reserved", "term_of"]

SECONDS = 60
"""How long a Lease that is not renewed is another's."""
RENEW_SECONDS = 15.0
_terms: dict[tuple[str, str, str], Term] = {}
"""The Leases that this process holds."""


@dataclass
class Term:
    """A Lease that is held; ``number`` counts how often it has changed hands, ``until`` is by this machine's clock."""

    holder: str
    number: int
    until: float
    lost: str = ""
    ending: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Refuse to write once the Lease may be another's."""
        if self.lost or time.monotonic() > self.until:
            raise failure(
                "lease-lost",
                f"the Lease of {self.holder} was not renewed: {self.lost or 'the API server did not answer in time'}",
                exit=Exit.WORLD,
                retryable=True,
                hint="another reconciler may work by now; the next pass asks for the Lease again",
            )


def _key(params: Params, environment: str) -> tuple[str, str, str]:
    return params.context or "", params.namespace, environment


def term_of(params: Params, environment: str) -> Term | None:
    """Return the Lease that this process holds of an environment, None where it works without one."""
    return _terms.get(_key(params, environment))


@contextlib.contextmanager
def reserved(params: Params, place: Place) -> Iterator[str | None]:
    """Hold the Lease of an environment for one pass; yields who has it where that is somebody else."""
    owner = Owner(place.environment, place.repository())
    me = f"{os.environ.get('HOSTNAME') or socket.gethostname()}-{os.getpid()}-{time.time_ns() % 10**9}"
    with connected(params) as cluster:
        began = time.monotonic()
        taken = _taken(cluster, owner, me, place.runtime / "cluster-lease.json")
        if not isinstance(taken, str):
            lease, moved = taken
            number = int(lease["spec"].get("leaseTransitions") or 0)
            if moved:
                _fence(cluster, owner, number)
    if isinstance(taken, str):
        yield taken
        return
    term = Term(me, number, began + SECONDS / 2)
    key = _key(params, place.environment)
    _terms[key] = term
    thread = threading.Thread(target=_renew, args=(params, owner, term), daemon=True)
    thread.start()
    try:
        yield None
    finally:
        term.ending.set()
        thread.join()
        _terms.pop(key, None)
        # One that cannot be given back is over when it is not renewed.
        with contextlib.suppress(ModelOpsError), connected(params) as cluster:
            _release(cluster, owner, me)


def _taken(cluster: Cluster, owner: Owner, me: str, memory: Path) -> str | tuple[dict[str, Any], bool]:
    """Take the Lease, and tell whether it was another's; return who has it where it cannot be had."""
    live = cluster.get("Lease", owner.lease)
    if live is None:
        try:
            made = cluster.create(
                {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": owner.lease, "namespace": cluster.namespace, "labels": owner.labels},
                    "spec": {**_held(me), "acquireTime": _now(), "leaseTransitions": 1},
                }
            )
        except ModelOpsError as error:
            if not is_late(error):
                raise
            return "another reconciler, which came first"
        return made, True
    owner.require(live)
    holder = str(live["spec"].get("holderIdentity") or "")
    if holder and not _is_over(live, memory):
        return f"{holder} in the cluster (renewed {live['spec'].get('renewTime')})"
    number = int(live["spec"].get("leaseTransitions") or 0) + 1
    wanted = {**live, "spec": {**live["spec"], **_held(me), "acquireTime": _now(), "leaseTransitions": number}}
    try:
        return cluster.replace(wanted), bool(holder)
    except ModelOpsError as error:
        if not is_late(error):
            raise
        return "another reconciler, which came first"


def _is_over(live: dict[str, Any], memory: Path) -> bool:
    """Tell whether a Lease has not been renewed for as long as it lasts, by this machine's clock alone.

    What its holder's clock said is compared with nothing: only that it says the same for so long.
    """
    version = str(live["metadata"]["resourceVersion"])
    lasts = float(live["spec"].get("leaseDurationSeconds") or SECONDS)
    now = time.time()
    try:
        seen = json.loads(memory.read_bytes())
        if seen["version"] == version and seen["time"] <= now:
            return bool(now - seen["time"] > lasts)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    write_atomically(memory, json.dumps({"version": version, "time": now}).encode())
    return False


def _held(me: str) -> dict[str, Any]:
    return {"holderIdentity": me, "leaseDurationSeconds": SECONDS, "renewTime": _now()}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _fence(cluster: Cluster, owner: Owner, number: int) -> None:
    """Mark what the former holder may have read, so that it is no longer in place of anything."""
    for each in cluster.listed("ConfigMap", owner.selects):
        try:
            cluster.annotate("ConfigMap", each["metadata"]["name"], {TERM: str(number)})
        except ModelOpsError as error:
            if not is_gone(error):
                raise


def _renew(params: Params, owner: Owner, term: Term) -> None:
    """Renew the Lease until the pass ends; one that another has taken is lost."""
    while not term.ending.wait(RENEW_SECONDS):
        began = time.monotonic()
        try:
            with connected(params) as cluster:
                live = cluster.get("Lease", owner.lease)
                if live is None or live["spec"].get("holderIdentity") != term.holder:
                    who = live["spec"].get("holderIdentity") if live is not None else "nobody"
                    term.lost = f"it is {who}'s now"
                    return
                cluster.replace({**live, "spec": {**live["spec"], "renewTime": _now()}})
        except ModelOpsError as error:
            term_trouble = error.first.message
            if time.monotonic() > term.until:
                term.lost = term_trouble
                return
        else:
            term.until = began + SECONDS / 2


def _release(cluster: Cluster, owner: Owner, me: str) -> None:
    live = cluster.get("Lease", owner.lease)
    if live is not None and live["spec"].get("holderIdentity") == me:
        spec = {**live["spec"], "holderIdentity": "", "renewTime": _now()}
        cluster.replace({**live, "spec": spec})
