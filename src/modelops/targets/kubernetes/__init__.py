"""The target `kubernetes`: manifests for others to apply, or objects that modelops applies and looks after."""

from __future__ import annotations

from modelops.targets.kubernetes.lease import reserved
from modelops.targets.kubernetes.memory import recall, remember
from modelops.targets.kubernetes.objects import keeps_log, render
from modelops.targets.kubernetes.params import Params
from modelops.targets.kubernetes.runtime import address, apply, durable, endpoint, logs, observe, runs, stop

__all__ = [
    "Params",
    "address",
    "apply",
    "durable",
    "endpoint",
    "keeps_log",
    "logs",
    "observe",
    "recall",
    "remember",
    "render",
    "reserved",
    "runs",
    "stop",
]
