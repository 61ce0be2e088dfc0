"""Closing the fence around this process, from the inside, step by step; no step can be taken back."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelops.fence import landlock, seccomp
from modelops.fence.bounds import Bounds
from modelops.fence.held import Held
from modelops.fence.kernel import LINUX, drop_capabilities
from modelops.fence.roots import DEVICES, SHARED, Roots, static_proc

__all__ = ["become_stranger", "bound_memory", "close", "free_spare_memory"]

_SPARE_MEMORY = 64 << 20


def become_stranger(user: int, needed: Iterable[str]) -> None:
    """Become a user who owns nothing; an OSError when Python or the own folder are out of reach for such a one."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    for path in needed:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def close(bounds: Bounds, read: Roots, held: Held) -> Held:
    """Limit, restrict and filter this process for good, and return what held; what the kernel lacks is said there."""
    _limit(bounds, held)
    if not bounds.programs:
        _lock_threads_alone()
    if not LINUX:
        return replace(held, plain=True)
    drop_capabilities()
    if bounds.offers("landlock"):
        own = ("/proc",) if held.own_proc else (*static_proc(), f"/proc/{os.getpid()}")
        held = _landlocked(bounds, (*read, *own), held)
    if bounds.offers("seccomp"):
        held = _filtered(bounds, held)
    return held


def _lock_threads_alone() -> None:
    """Make the locks of ``multiprocessing`` such that hold among threads: one process needs no others.

    Its pools of threads, and so every estimator with ``n_jobs``, would ask the system for named semaphores, which lie
    in memory that others see as well.
    """
    import multiprocessing.context
    import multiprocessing.dummy

    for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"):
        of_threads = getattr(multiprocessing.dummy, name)
        setattr(multiprocessing.context.BaseContext, name, _without_context(of_threads))


def _without_context(of_threads: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _, *arguments, **named: of_threads(*arguments, **named)


def _landlocked(bounds: Bounds, read: Sequence[str], held: Held) -> Held:
    # Memory that is shared by name is for programs that work in parallel, and there only where nobody else sees it.
    shared = (SHARED,) if held.namespaces and bounds.programs else ()
    try:
        version = landlock.restrict(read, (bounds.folder, *shared), DEVICES, network=bounds.network)
    except OSError as error:
        return _without(held, "landlock", error)
    if not version:
        return replace(held, why=(*held.why, ("landlock", "the kernel has none")))
    return replace(held, landlock=version)


def _filtered(bounds: Bounds, held: Held) -> Held:
    try:
        seccomp.install(
            programs=bounds.programs,
            network=bounds.network,
            signals=held.signals_inside,
            modes=held.alone_with_files,
        )
    except OSError as error:
        return _without(held, "seccomp", error)
    return replace(held, seccomp=True)


def _without(held: Held, means: str, error: OSError) -> Held:
    return replace(held, why=(*held.why, (means, str(error.strerror or error))))


def _limit(bounds: Bounds, held: Held) -> None:
    """Set what one process may use: memory on top of what it has, files, descriptors, processes, cores."""
    memory = _data_bytes() + bounds.memory
    # In a namespace of users or under an own id only our processes count, else all that the user has.
    processes = bounds.processes + (0 if held.alone_with_files else _processes_of(os.getuid()))
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, bounds.file_size, bounds.file_size),
        (resource.RLIMIT_DATA, memory, memory + _SPARE_MEMORY),
        (resource.RLIMIT_NOFILE, 4096, 4096),
        (resource.RLIMIT_NPROC, processes, processes),
    ):
        _, most = resource.getrlimit(what)
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(what, (soft, hard))
    if bounds.cores and hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))
        first = os.getpid() % len(mine)
        os.sched_setaffinity(0, {mine[(first + step) % len(mine)] for step in range(min(bounds.cores, len(mine)))})


def bound_memory(memory_bytes: int) -> None:
    """Let this process allocate so much on top of what it uses; a little is kept for saying that it was not enough."""
    limit = _data_bytes() + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit + _SPARE_MEMORY))


def free_spare_memory() -> None:
    """Give a process that ran out of memory the little it needs to report that."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _data_bytes() -> int:
    status = Path("/proc/self/status")
    for line in status.read_text(encoding="utf-8", errors="replace").splitlines() if status.exists() else ():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0


def _processes_of(user: int) -> int:
    """Count the threads of a user, as the kernel does; an administrator is not counted."""
    if sys.platform != "linux" or user == 0:
        return 0
    count = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        # Who owns the folder says nothing of a process that hides its memory.
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
            lines = dict(line.split(":", 1) for line in status.read_text(errors="replace").splitlines() if ":" in line)
            if int(lines["Uid"].split()[0]) == user:
                count += int(lines["Threads"])
    return count
