"""Logs: each file reads logged predictions of one kind of place.

A log file exposes ``Params`` and ``open(params)``, which returns a Log; that of a runtime is a RuntimeLog. Which log an
environment has is the answer of its target's ``logs``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.meta import Plugin, Strict
from modelops.spec.resource import AnyResource

if TYPE_CHECKING:
    # Who only asks where a log is must not pay for what reads and writes one.
    import pyarrow as pa

    from modelops.predictions import ArmRows, Examined, Logged, Mark, ShadowPairs

__all__ = ["PROTOCOL", "Key", "Log", "LogModule", "RuntimeLog", "bind"]

Key = tuple[int, str]
"""A step of a rollout, as it is logged, and an arm."""


@runtime_checkable
class Log(Protocol):
    """Sealed and growing parts of predictions, wherever they lie; reading needs no word from who writes."""

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        ...

    def begins(self) -> datetime | None:
        """Return the instant from which it is whole, None for a log that holds nothing."""
        ...

    def find(self, id: str) -> Logged | None:
        """Return the prediction with this id."""
        ...

    def places(self, id: str) -> Sequence[tuple[str, int]]:
        """Return the parts that hold a prediction with this id, each with the number of its row there."""
        ...

    def draw(self, many: int, seed: int) -> Sequence[Logged]:
        """Return so many predictions drawn evenly, or all where there are no more; the same ones for the same seed."""
        ...

    def examine(
        self, sealed: Mapping[str, Mark], excused: Collection[str] = (), only: str | None = None
    ) -> Sequence[Examined]:
        """Go through every part, or ``only`` one, against what was sealed; ``excused`` are those dropped by rule."""
        ...

    def window(
        self,
        model: str,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        arms: Sequence[str] = (),
        labelled: bool = False,
        succeeded: bool = False,
        columns: Sequence[str] = (),
    ) -> pa.Table:
        """Return a model's rows with ``since <= time < until``, oldest first, with these columns, or with all."""
        ...

    def batches(
        self,
        model: str,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        columns: Sequence[str],
        wanted: Callable[[str], bool] | None = None,
    ) -> Iterator[pa.Table]:
        """Yield a window's rows in parts that fit into memory, however many there are; in no order.

        ``wanted`` says by its id whether a row is, so that of others nothing more need be read.
        """
        ...

    def arms(self, model: str, salt: str, *, objective_ms: float) -> Mapping[Key, ArmRows]:
        """Return what every arm of a rollout did in every step."""
        ...

    def shadows(self, model: str, salt: str, until: datetime | None = None) -> Mapping[Key, ShadowPairs]:
        """Return what shadows said beside what the caller was told."""
        ...


@runtime_checkable
class RuntimeLog(Log, Protocol):
    """The log that a runtime writes here: it can be sealed, thinned out, and written elsewhere."""

    def marks(self, since: datetime, until: datetime) -> Mapping[str, str]:
        """Return the days of a window that have rows, YYYY-MM-DD in UTC, each with what changes when its rows do.

        What is "" says that the day is being written to: two looks at it may find the same mark and other rows.
        """
        ...

    def grown(self, sealed: Mapping[str, Mark]) -> Sequence[Examined]:
        """Go through what there is more than was sealed, and return a newer mark of each part that has more."""
        ...

    def expired(self, now: datetime, *, days: float, needed_days: float = 0.0) -> tuple[str, ...]:
        """Return the names of the parts older than both numbers of days."""
        ...

    def retain(self, now: datetime, *, days: float, needed_days: float = 0.0) -> tuple[str, ...]:
        """Drop the parts that are expired; return their names."""
        ...

    def export(self, directory: Path, until: datetime) -> tuple[Path, ...]:
        """Write the whole days before an instant as Parquet files; return those that were written."""
        ...


class LogModule(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def open(self, params: Any) -> Log:
        """Return the log that the parameters name."""
        ...


PROTOCOL = LogModule
"""What every file of this shelf is held against."""


def bind(plugin: Plugin, resource: AnyResource | None = None, dotted: str = "") -> Bound[LogModule]:
    """Return a log with its validated parameters; what is wrong is told with its place in ``resource``."""
    return parameters.bind("logs", plugin, resource, dotted)
