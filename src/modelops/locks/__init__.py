"""Environment locks: what they pin, how that fits what is installed, and how one is made."""

from modelops.locks.installed import environment_lock, installed_packages
from modelops.locks.pins import LockDifferences, Pin, compare_lock, normal_name, pins_of
from modelops.locks.resolving import Resolved, resolve
from modelops.locks.serving import serving_part

__all__ = [
    "LockDifferences",
    "Pin",
    "Resolved",
    "compare_lock",
    "environment_lock",
    "installed_packages",
    "normal_name",
    "pins_of",
    "resolve",
    "serving_part",
]
