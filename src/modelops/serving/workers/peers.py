"""One view of several worker processes: any of them answers for all, by asking the others over local sockets."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.core import Metric

__all__ = ["Peers", "View", "merged_families", "merged_status", "packed"]

SECONDS = 2.0
"""How long a worker waits for another one's view; one that does not answer is left out."""

View = dict[str, Any]


class Peers:
    """The sockets of all workers, one file each in a directory that only this user may enter."""

    def __init__(self, folder: Path, worker: int) -> None:
        self.worker = worker
        self.folder = folder
        self._own = folder / f"{worker}.sock"

    async def listen(self, view: Callable[[], View]) -> asyncio.Server:
        """Tell this worker's view to whoever connects."""
        self._own.unlink(missing_ok=True)

        def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(orjson.dumps(view()))
            writer.close()

        return await asyncio.start_unix_server(tell, self._own)

    def clear_away(self) -> None:
        """Leave no socket, and as the last worker no folder: who made it was killed."""
        self._own.unlink(missing_ok=True)
        if not any(self.folder.glob("*.sock")):
            shutil.rmtree(self.folder, ignore_errors=True)

    async def others(self) -> list[View]:
        """Return the views of the other workers that answer."""
        paths = sorted(path for path in self.folder.glob("*.sock") if path != self._own)
        found = await asyncio.gather(*(_ask(path) for path in paths))
        return [view for view in found if view is not None]


async def _ask(path: Path) -> View | None:
    with contextlib.suppress(OSError, TimeoutError, orjson.JSONDecodeError):
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                view: View = orjson.loads(await reader.read(-1))
                return view
            finally:
                writer.close()
    return None


def packed(families: Iterable[Metric]) -> list[Any]:
    """Return metrics as plain data."""
    return [
        [each.name, each.documentation, each.type, [[s.name, s.labels, s.value] for s in each.samples]]
        for each in families
    ]


def merged_families(views: Sequence[View], *, labelled: bool = True) -> list[Metric]:
    """Return the metrics of all workers, each series with the worker as a label where there are several.

    A worker that starts again resets its own series only, which is what a query by ``rate`` expects.
    """
    merged: dict[str, Metric] = {}
    for view in views:
        for name, documentation, kind, samples in view["families"]:
            family = merged.setdefault(name, Metric(name, documentation, kind))
            for sample, labels, value in samples:
                of = {"worker": str(view["worker"])} if labelled else {}
                family.add_sample(sample, {**labels, **of}, value)
    return list(merged.values())


def merged_status(views: Sequence[View]) -> View:
    """Return one status for all workers; the table is only named when it is in effect in every one."""
    first: View = views[0]["status"]
    statuses = [view["status"] for view in views]
    tables = {status["table"] for status in statuses}
    arms: dict[tuple[object, ...], View] = {}
    for arm in (arm for status in statuses for arm in status["arms"]):
        known = arms.setdefault((arm["model"], arm["arm"], arm["release"], arm["digest"]), arm)
        if not arm["ready"]:
            known.update(ready=False, error=arm["error"])
    return {
        **first,
        "table": first["table"] if len(tables) == 1 else None,
        "error": next((status["error"] for status in statuses if status["error"]), None),
        "arms": list(arms.values()),
        "log": _sum([status["log"] for status in statuses]),
        "workers": [
            {"worker": view["worker"], "pid": view["pid"], "table": view["status"]["table"]}
            for view in sorted(views, key=lambda view: int(view["worker"]))
        ],
    }


def _sum(logs: Sequence[Mapping[str, Any]]) -> View:
    """Add up what are numbers, but for the slowest; of anything else take the first that says something."""
    result: View = {}
    for name in logs[0]:
        values = [log[name] for log in logs]
        numbers = all(isinstance(value, (int, float)) for value in values)
        together = max if name.startswith("slowest") else sum
        result[name] = together(values) if numbers else next((value for value in values if value is not None), None)
    return result
