"""The few calls of the operating system that Python has no name for; a refusal is an OSError that names the call."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from contextlib import suppress
from functools import cache
from typing import Any

__all__ = ["LINUX", "call", "drop_capabilities", "hide", "parent_death_signal", "prctl", "syscall"]

LINUX = sys.platform == "linux"

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION = 0x20080522
_LAST_CAPABILITY = 63


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def call(name: str, *arguments: Any) -> int:
    """Call a function of the C library."""
    return _checked(name, int(getattr(_libc(), name)(*arguments)))


def syscall(name: str, number: int, *arguments: Any) -> int:
    """Make a system call by its number; integers are passed as wide as a register is."""
    wide = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    return _checked(name, int(_libc().syscall(ctypes.c_long(number), *wide)))


def prctl(option: int, value: int, *more: Any) -> int:
    """Say something about this process to the kernel."""
    rest = (*more, 0, 0, 0)[:3]
    wide = (ctypes.c_ulong(one) if isinstance(one, int) else one for one in rest)
    return _checked(f"prctl {option}", int(_libc().prctl(option, ctypes.c_ulong(value), *wide)))


def parent_death_signal(signal: int) -> None:
    """Ask for a signal when the process that started this one ends; a change of user takes it back."""
    if LINUX:
        prctl(PR_SET_PDEATHSIG, signal)


def hide() -> None:
    """Let no other process of the same user read this one's environment, memory or open files."""
    if LINUX:
        with suppress(OSError):
            prctl(PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up every right of an administrator for good, whatever is executed later."""
    for number in range(_LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError:
            # Without the right to drop there is none to lose by executing; past the last capability there is nothing.
            break
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if platform.machine() in _CAPSET:
        syscall("capset", _CAPSET[platform.machine()], ctypes.byref(header), ctypes.byref(nothing))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
