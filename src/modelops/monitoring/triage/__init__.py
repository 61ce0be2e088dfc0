"""Triage: what a look found becomes incidents, one for each cause, which open and close by stated rules."""

from modelops.monitoring.triage.incidents import Incident, Look, broken, noted, quarantined, step
from modelops.monitoring.triage.memory import (
    NOTHING,
    Kept,
    Spent,
    held,
    peeked,
    read_kept,
    unusual_elsewhere,
    write_kept,
)
from modelops.monitoring.triage.signals import Change, Kind, Signal, burning, signals, well

__all__ = [
    "NOTHING",
    "Change",
    "Incident",
    "Kept",
    "Kind",
    "Look",
    "Signal",
    "Spent",
    "broken",
    "burning",
    "held",
    "noted",
    "peeked",
    "quarantined",
    "read_kept",
    "signals",
    "step",
    "unusual_elsewhere",
    "well",
    "write_kept",
]
