"""Exporting in a process of its own: whatever a converter or a runtime does to it, the build goes on and says why."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from modelops.artifacts.onnx_export import Export, first_line
from modelops.fence.closing import bound_memory
from modelops.fence.kernel import parent_death_signal
from modelops.spec.kinds.release import Compared

__all__ = ["EXPORT_SECONDS", "apart"]

EXPORT_SECONDS = 300
"""Time for one conversion and its equality check; a conversion that takes longer is given up."""

_POLL_SECONDS = 0.02


def apart(work: Callable[[], Export], folder: Path, seconds: float, memory_bytes: int) -> Export:
    """Return what ``work`` returns in a child process, or an export without data that says how the child failed.

    Nothing may have been predicted in this process before: threads of libraries do not survive a fork.
    """
    result, error, data = folder / "export.json", folder / "export-error.txt", folder / "export.onnx"
    parent = os.getpid()
    with warnings.catch_warnings():
        # Python warns of any fork beside threads; those here are pools that wait for work and are made anew.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            parent_death_signal(signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            bound_memory(memory_bytes)
            export = work()
            if export.data is not None:
                data.write_bytes(export.data)
            table = [each.model_dump(mode="json") for each in export.equality]
            found = {"difference": export.difference, "reason": export.reason, "equality": table}
            result.write_text(json.dumps(found), encoding="utf-8")
        finally:
            raised = sys.exception()
            if raised is not None:
                error.write_text(f"{type(raised).__name__}: {first_line(raised)}", encoding="utf-8")
            # What the parent has begun is not for the child to end.
            os._exit(0)
    status = _awaited(child, time.monotonic() + seconds)
    if status is None:
        return Export(None, None, f"the exporter was stopped after {seconds:g} seconds")
    if os.WIFSIGNALED(status):
        return Export(None, None, f"the exporter was ended by the signal {signal.Signals(os.WTERMSIG(status)).name}")
    if error.is_file() or not result.is_file():
        said = error.read_text(encoding="utf-8") if error.is_file() else "it left no result"
        if said.startswith("MemoryError"):
            said = f"it needed more than {memory_bytes >> 20} MiB"
        return Export(None, None, f"the exporter failed: {said}")
    left = json.loads(result.read_bytes())
    equality = tuple(Compared.model_validate(each) for each in left["equality"])
    return Export(data.read_bytes() if data.is_file() else None, left["difference"], left["reason"], equality)


def _awaited(child: int, deadline: float) -> int | None:
    """Return the child's wait status, or None after killing it at the deadline."""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(_POLL_SECONDS)
