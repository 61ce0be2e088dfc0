"""Landlock: the kernel refuses this process, and all that it starts, what no rule allows. No way back leads out."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable

from modelops.fence.kernel import LINUX, syscall

__all__ = ["restrict", "version"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ = (1 << 0) | (1 << 2) | (1 << 3)
_WRITE = sum(1 << bit for bit in (1, *range(4, 13)))
_REFER, _TRUNCATE, _DEVICE = 1 << 13, 1 << 14, 1 << 15
_ON_FILES = (1 << 0) | (1 << 1) | (1 << 2) | _TRUNCATE | _DEVICE
_BIND, _CONNECT = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1


def version() -> int:
    """Return the version of Landlock that the kernel offers, 0 for none."""
    if not LINUX:
        return 0
    try:
        return syscall("landlock_create_ruleset", _CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def restrict(read: Iterable[str], write: Iterable[str], devices: Iterable[str], *, network: bool) -> int:
    """Restrict this process for good, as far as the kernel's version goes, and return that version; 0 did nothing."""
    offered = version()
    if offered < 1:
        return 0
    files = _READ | _WRITE
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _DEVICE)):
        files |= right if offered >= since else 0
    ports = _BIND if network else _BIND | _CONNECT
    parts = [files, *([ports] if offered >= 4 else []), *([_ABSTRACT_SOCKETS | _SIGNALS] if offered >= 6 else [])]
    attributes = struct.pack(f"{len(parts)}Q", *parts)
    ruleset = syscall("landlock_create_ruleset", _CREATE_RULESET, attributes, len(attributes), 0)
    for path in read:
        _allow(ruleset, path, _READ)
    for path in devices:
        _allow(ruleset, path, files & ((1 << 1) | (1 << 2) | _TRUNCATE))
    for path in write:
        _allow(ruleset, path, files & ~_DEVICE)
    syscall("landlock_restrict_self", _RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return offered


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    # A rule on a file may not name rights that only folders have.
    folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    rule = struct.pack("=Qi", access if folder else access & _ON_FILES, descriptor)
    syscall("landlock_add_rule", _ADD_RULE, ruleset, 1, rule, 0)
    os.close(descriptor)
