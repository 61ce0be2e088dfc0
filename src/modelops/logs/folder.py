"""The log `folder`: the files that a server writes on this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from modelops import predictions
from modelops.logs import Key
from modelops.predictions import ArmRows, Examined, Logged, Mark, ShadowPairs
from modelops.predictions.read import COLUMNS, read_batches
from modelops.predictions.segments import day_start, segments
from modelops.spec.meta import Strict

if TYPE_CHECKING:
    import pyarrow as pa


class Params(Strict):
    """Where the folder is."""

    path: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of files, one for each day, writer and size."""

    path: Path

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.path)

    def begins(self) -> datetime | None:
        """Return when the oldest day begins."""
        days = [segment.day for segment in segments(self.path)]
        return day_start(min(days)) if days else None

    def find(self, id: str) -> Logged | None:
        """Return the prediction with this id."""
        return predictions.find(self.path, id)

    def places(self, id: str) -> Sequence[tuple[str, int]]:
        """Return the files that hold a prediction with this id, each with the number of its row there."""
        return predictions.places(self.path, id)

    def draw(self, many: int, seed: int) -> Sequence[Logged]:
        """Return predictions drawn evenly from all files."""
        return predictions.draw(self.path, many, seed)

    def examine(
        self, sealed: Mapping[str, Mark], excused: Collection[str] = (), only: str | None = None
    ) -> Sequence[Examined]:
        """Go through all files, and those that were sealed and are gone, or through one."""
        return predictions.examine(self.path, sealed, excused, only)

    def marks(self, since: datetime, until: datetime) -> Mapping[str, str]:
        """Return the days that have files, marked by the sizes and times of those."""
        return predictions.marks(self.path, since, until)

    def grown(self, sealed: Mapping[str, Mark]) -> Sequence[Examined]:
        """Go through what the files have more than was sealed."""
        names = [segment.name for segment in segments(self.path)]
        found = (predictions.grown(self.path / name, sealed.get(name)) for name in names)
        return [each for each in found if each is not None]

    def expired(self, now: datetime, *, days: float, needed_days: float = 0.0) -> tuple[str, ...]:
        """Return the files of days older than both numbers."""
        return predictions.expired(self.path, now, days=days, needed_days=needed_days)

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
        """Return a model's rows of a window, oldest first."""
        return predictions.read_window(
            self.path,
            model,
            since,
            until,
            arms=arms,
            labelled=labelled,
            succeeded=succeeded,
            columns=columns or COLUMNS,
        )

    def batches(
        self,
        model: str,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        columns: Sequence[str],
        wanted: Callable[[str], bool] | None = None,
    ) -> Iterator[pa.Table]:
        """Yield a model's rows of a window, part by part."""
        return read_batches(self.path, model, since, until, columns=columns, wanted=wanted)

    def arms(self, model: str, salt: str, *, objective_ms: float) -> Mapping[Key, ArmRows]:
        """Return what every arm of a rollout did in every step."""
        return predictions.arm_rows(self.path, model, salt, objective_ms=objective_ms)

    def shadows(self, model: str, salt: str, until: datetime | None = None) -> Mapping[Key, ShadowPairs]:
        """Return what shadows said beside what the caller was told."""
        return predictions.shadow_pairs(self.path, model, salt, until=until)

    def retain(self, now: datetime, *, days: float, needed_days: float = 0.0) -> tuple[str, ...]:
        """Drop the files of days older than both numbers."""
        return predictions.retain(self.path, now, days=days, needed_days=needed_days)

    def export(self, directory: Path, until: datetime) -> tuple[Path, ...]:
        """Write the whole days before an instant as Parquet files by model and day."""
        return predictions.export(self.path, directory, until)


def open(params: Params) -> Folder:
    """Return the log of a folder; one that does not exist yet holds nothing."""
    return Folder(Path(params.path))
