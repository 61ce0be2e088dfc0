"""The log `exported`: the Parquet files that `modelops audit export` wrote, on any machine and after any time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from modelops.errors import Exit, failure
from modelops.logs import Key
from modelops.predictions import ArmRows, Examined, Logged, Mark, Row, ShadowPairs, arm_rows_of
from modelops.predictions.carried import CHAINS_FOLDER, HASHED, hold_rows, hold_to_seals
from modelops.predictions.keeping import SCHEMA_KEY
from modelops.predictions.read import COLUMNS, drawn, empty_window
from modelops.predictions.schema import CHAINED, UNCHAINED
from modelops.predictions.segments import day_of, day_start, day_text, id_day, parse_day, unreadable
from modelops.spec.meta import Strict

if TYPE_CHECKING:
    import pyarrow as pa

_ARM_COLUMNS = (
    *("salt", "arm", "step", "release", "propensity", "time", "row", "status", "latency_ms", "score", "label"),
    *("entity", "truth"),
)

_SINCE: Mapping[str, object] = {"review": 0.0, "drawn": 0, "reasons": None}
"""What exports of former versions lack, and what it is there."""
_BATCH = 20_000


class Params(Strict):
    """Which directory was given to `modelops audit export`."""

    path: str


@dataclass(frozen=True, slots=True)
class Exported:
    """A directory of ``model=<model>/day=<day>.parquet``; a part of it, copied elsewhere, is one as well."""

    path: Path

    @property
    def place(self) -> str:
        """The directory."""
        return str(self.path)

    def begins(self) -> datetime | None:
        """Return when the oldest day begins."""
        days = [day for _, day in self._files("*")]
        return day_start(min(days)) if days else None

    def find(self, id: str) -> Logged | None:
        """Return the prediction with this id; only the day that its id names is looked through."""
        wanted = id_day(id)
        for file, day in sorted(self._files("*"), key=lambda found: -found[1]):
            if wanted in (None, day):
                for row in self._read(file, COLUMNS, [("id", "=", id)]).to_pylist():
                    return _logged(row)
        return None

    def places(self, id: str) -> Sequence[tuple[str, int]]:
        """Return where the predictions with this id lay in the log that was exported."""
        wanted = id_day(id)
        found: list[tuple[str, int]] = []
        for file, day in self._files("*"):
            if wanted in (None, day):
                columns = ("segment", "seq") if self._carries_chains(file) else ("id",)
                for row in self._read(file, columns, [("id", "=", id)]).to_pylist():
                    found.append((row.get("segment") or file.name, row.get("seq") or 0))
        return tuple(found)

    def draw(self, many: int, seed: int) -> Sequence[Logged]:
        """Return predictions drawn evenly from all files."""
        import pyarrow as pa

        files = sorted(file for file, _ in self._files("*"))
        tables = [self._read(file, COLUMNS, None) for file in files]
        rows = pa.concat_tables([empty_window(), *tables])
        chosen = rows.take(drawn(rows.num_rows, many, seed)).to_pylist()
        return [_logged(row) for row in chosen]

    def examine(
        self, sealed: Mapping[str, Mark], excused: Collection[str] = (), only: str | None = None
    ) -> Sequence[Examined]:
        """Hold the exported rows to their chains, and those to what was sealed; truths are not chained here."""
        found: dict[str, Examined] = {}
        for day, files in sorted(self._by_day().items()):
            if only is not None and not _is_of(only, day):
                continue
            chains = self._chains(day)
            if chains is None:
                found |= {str(file): Examined(f"{file.parent.name}/{file.name}", False, 0) for file in files}
                continue
            models = {unquote(file.parent.name.removeprefix("model=")): file for file in files}
            for one in hold_to_seals(chains, {name: mark for name, mark in sealed.items() if _is_of(name, day)}):
                found[one.name] = one
            for model, file in models.items():
                for flaw in hold_rows(self._read(file, HASHED, None), chains, model):
                    known = found.get(flaw.segment, Examined(flaw.segment, True, 0))
                    found[flaw.segment] = replace(known, flaws=(*known.flaws, flaw))
        return [found[name] for name in sorted(found) if only in (None, name)]

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
        import pyarrow as pa
        import pyarrow.compute as pc

        columns = columns or COLUMNS
        wishes = (
            (since, pc.field("time") >= (since.timestamp() if since else 0.0)),
            (until, pc.field("time") < (until.timestamp() if until else 0.0)),
            (arms, pc.field("arm").isin(list(arms))),
            (labelled, pc.field("truth").is_valid()),
            (succeeded, pc.field("status") < 500),
        )
        kept = [condition for wish, condition in wishes if wish]
        condition = reduce(and_, kept) if kept else None
        # Each file is in the order of time, and days do not overlap.
        return pa.concat_tables(
            [
                empty_window(columns),
                *(self._read(file, columns, condition) for file in self._of_window(model, since, until)),
            ]
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
        import pyarrow as pa
        import pyarrow.parquet as pq

        needed = ("time", "id") if wanted is not None else ("time",)
        lacking = [name for name in needed if name not in columns]
        begin, end = (moment.timestamp() if moment else None for moment in (since, until))
        for file in self._of_window(model, since, until):
            self._require_version(file)
            try:
                parquet = pq.ParquetFile(file)
                there = _there([*columns, *lacking], parquet.schema_arrow.names)
                for batch in parquet.iter_batches(_BATCH, columns=there):
                    rows = _filled(_between(pa.Table.from_batches([batch]), begin, end), columns)
                    if wanted is not None:
                        rows = rows.filter(pa.array([wanted(id) for id in rows.column("id").to_pylist()], pa.bool_()))
                    yield rows.select(list(columns))
            except (OSError, pa.ArrowException) as error:
                raise unreadable(file, str(error).splitlines()[0]) from None

    def _of_window(self, model: str, since: datetime | None, until: datetime | None) -> list[Path]:
        """Return the files that can hold rows of a window, oldest day first."""
        first, last = (None if moment is None else day_of(moment.timestamp()) for moment in (since, until))
        days = sorted(
            (day, file)
            for file, day in self._files(quote(model, safe=""))
            if (first is None or day >= first) and (last is None or day <= last)
        )
        return [file for _, file in days]

    def arms(self, model: str, salt: str, *, objective_ms: float) -> Mapping[Key, ArmRows]:
        """Return what every arm of a rollout did in every step."""
        import pyarrow.compute as pc

        table = self.window(model, columns=_ARM_COLUMNS)
        mine = pc.and_(pc.equal(table.column("salt"), salt), pc.not_equal(table.column("arm"), "pinned"))
        return arm_rows_of(table.filter(mine), objective_ms=objective_ms)

    def shadows(self, model: str, salt: str, until: datetime | None = None) -> Mapping[Key, ShadowPairs]:
        """Refuse: what shadows said is not exported, and nothing is not what they said."""
        raise failure(
            "shadows-not-exported",
            f"{self.path} holds what callers were told, and not what shadows of {model} said",
            exit=Exit.NO,
            hint="read the environment's own log, where it is kept",
        )

    def _by_day(self) -> dict[int, list[Path]]:
        days: dict[int, list[Path]] = {}
        for file, day in self._files("*"):
            days.setdefault(day, []).append(file)
        return days

    def _carries_chains(self, file: Path) -> bool:
        import pyarrow.parquet as pq

        return "segment" in pq.read_schema(file).names

    def _chains(self, day: int) -> pa.Table | None:
        """Return the chains of a day, None where it was exported before logs were chained."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self.path / CHAINS_FOLDER / f"day={day_text(day)}.parquet"
        try:
            return pq.read_table(file, partitioning=None) if file.exists() else None
        except (OSError, pa.ArrowException) as error:
            raise unreadable(file, str(error).splitlines()[0]) from None

    def _files(self, model: str) -> Iterator[tuple[Path, int]]:
        for file in self.path.glob(f"model={model}/day=*.parquet"):
            try:
                yield file, parse_day(file.stem.removeprefix("day="))
            except ValueError:
                raise unreadable(file, "its name has no day") from None

    def _require_version(self, file: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            version = (pq.read_schema(file).metadata or {}).get(SCHEMA_KEY)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(file, str(error).splitlines()[0]) from None
        known = sorted((UNCHAINED, *CHAINED))
        if version not in [str(each).encode() for each in known]:
            raise unreadable(file, f"it is no export of version {' or '.join(map(str, known))} of the log")

    def _read(self, file: Path, columns: Sequence[str], condition: object) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._require_version(file)
            there = _there(columns, pq.read_schema(file).names)
            table = pq.read_table(file, columns=there, filters=condition, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(file, str(error).splitlines()[0]) from None
        table = _filled(table, columns)
        return table.select(list(columns)).replace_schema_metadata(None)


def _there(columns: Sequence[str], held: Collection[str]) -> list[str]:
    """Return the columns that a file is asked for: those that former versions lack are asked of no file of theirs."""
    return [name for name in columns if name in held or name not in _SINCE]


def _filled(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Return rows with what exports of former versions lack."""
    import pyarrow as pa

    for name in columns:
        if name in _SINCE and name not in table.column_names:
            value, rows = _SINCE[name], table.num_rows
            table = table.append_column(name, pa.nulls(rows, pa.string()) if value is None else pa.repeat(value, rows))
    return table


def whole(path: str) -> Exported:
    """Return the log of a directory that was exported into; another folder, of whatever files, is refused."""
    log = open(Params(path=path))
    file = next((file for file, _ in log._files("*")), None)
    if file is None or not _is_export(file):
        odd = f": {file} has not the columns of the log" if file is not None else ""
        raise failure(
            "no-export",
            f"{log.path} holds no predictions that were exported{odd}",
            exit=Exit.USAGE,
            hint="name a folder that was given to `modelops audit export ENVIRONMENT`",
        )
    return log


def _is_export(file: Path) -> bool:
    """Return whether a file has the mark and the columns of an export; one that cannot be read is told when it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
    except (OSError, pa.ArrowException):
        return True
    return SCHEMA_KEY in (schema.metadata or {}) and set(COLUMNS) - set(_SINCE) <= set(schema.names)


def _between(table: pa.Table, begin: float | None, end: float | None) -> pa.Table:
    import pyarrow.compute as pc

    time = table.column("time")
    if begin is not None:
        table, time = table.filter(pc.greater_equal(time, begin)), time.filter(pc.greater_equal(time, begin))
    return table if end is None else table.filter(pc.less(time, end))


def _logged(row: Mapping[str, Any]) -> Logged:
    values = [row[name] for name in COLUMNS]
    return Logged(Row._make(values[:-3]), *values[-3:])


def _is_of(name: str, day: int) -> bool:
    return name.startswith(f"{day_text(day)}-")


def open(params: Params) -> Exported:
    """Return the log of a directory; one that does not exist was misspelt."""
    path = Path(params.path)
    if not path.is_dir():
        raise failure(
            "no-export", f"there is no directory {path}", exit=Exit.USAGE, hint="modelops audit export makes one"
        )
    return Exported(path)
