"""Telling people: what a pass saw is compared with what was told before, and what is new goes the ways of the policy.

What was told is remembered in the runtime directory, before the first try and after each that was taken: a cause that
lasts is told once, also when the process dies in between, save for the one alert that was under way.
"""

from modelops.monitoring.telling.memory import Cause, Memory, Seen
from modelops.monitoring.telling.sending import tell
from modelops.monitoring.telling.standing import Standing, standing

__all__ = ["Cause", "Memory", "Seen", "Standing", "standing", "tell"]
