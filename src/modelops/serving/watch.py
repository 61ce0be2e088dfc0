"""Watches the routing table's file and swaps the table in effect, never with a request in between."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from modelops.errors import ModelOpsError, Problem, failure
from modelops.serving.metrics import ServerMetrics
from modelops.serving.table import LoadedTable, Loader, paths_of
from modelops.serving.threads import Threads

__all__ = ["Watcher"]

POLL_SECONDS = 0.05
RETRY_SECONDS = 2.0
"""How long a refused table rests before it is tried again: what it needs may have arrived in the store."""

Stamp = tuple[int, int, int]


class Watcher:
    """Owns the table in effect; ``attempted`` is set when the first one was taken up or refused.

    A new table is loaded, verified and warmed in a thread while the old one answers; then one reference is replaced.
    A table that cannot be loaded whole leaves the old one in effect. Only when there is none yet, what loads is served.
    """

    def __init__(self, path: Path, loader: Loader, metrics: ServerMetrics) -> None:
        self.path = path
        self.table = LoadedTable(paths=paths_of({}), known=False)
        self.problems: tuple[Problem, ...] = ()
        self._loader = loader
        self._metrics = metrics
        self._seen: Stamp | None = None
        self._refused: LoadedTable | None = None
        self._threads = Threads(1, "loader")
        self.attempted = asyncio.Event()

    @property
    def error(self) -> str | None:
        """What is wrong with the newest table, None while that is not known yet."""
        if not self.problems or self._stamp() != self._seen:
            return None
        return "; ".join(problem.message for problem in self.problems)

    @property
    def refused(self) -> LoadedTable | None:
        """The newest table, if it was parsed but not taken up whole."""
        return self._refused if self.error else None

    async def run(self) -> None:
        """Poll until cancelled."""
        loop = asyncio.get_running_loop()
        retry_at = 0.0
        while True:
            stamp = self._stamp()
            if stamp is not None and (stamp != self._seen or (self.problems and loop.time() >= retry_at)):
                await self._take_up(stamp)
                retry_at = loop.time() + RETRY_SECONDS
            await asyncio.sleep(POLL_SECONDS)

    def _stamp(self) -> Stamp | None:
        try:
            found = os.stat(self.path)  # noqa: PTH116 - a twentieth of the cost of Path.stat, many times a second
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    async def _take_up(self, stamp: Stamp) -> None:
        try:
            if self.table.digest is None and not self.table.models:
                # At a cold start stable answers first: what is on trial may take its time.
                self.table, _ = await self._threads.run(self._load, True)
                if self.table.ready:
                    self.attempted.set()
            table, error = await self._threads.run(self._load, False)
        except ModelOpsError as problem:
            self._refuse(problem, None)
        else:
            if error is not None:
                # A key that was withdrawn is withdrawn, whatever is wrong with a release.
                self.table = replace(self.table, guard=table.guard)
            if error is None or self.table.digest is None or self.table.digest == table.digest:
                # Requests that run keep the old table by their own reference.
                self.table = table
                self._loader.keep(table)
            if error is None:
                self.problems, self._refused = (), None
                self._metrics.table(taken=True)
            else:
                self._refuse(error, table)
        self._seen = stamp
        self.attempted.set()

    def _load(self, only_stable: bool) -> tuple[LoadedTable, ModelOpsError | None]:
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise failure("bad-routing-table", f"{self.path}: {error.strerror}") from None
        return self._loader.load(data, only_stable=only_stable)

    def _refuse(self, error: ModelOpsError, table: LoadedTable | None) -> None:
        self.problems, self._refused = error.problems, table
        self._metrics.table(taken=False)
