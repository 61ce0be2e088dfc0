"""When to retrain, and on which rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from modelops.clock import format_instant
from modelops.errors import failure
from modelops.monitoring.performance import spellings
from modelops.monitoring.report import WindowReport
from modelops.predictions import feature_columns
from modelops.spec.data import DataSnapshotSpec
from modelops.spec.delivery import Retraining
from modelops.spec.model import Feature, FeatureType, ModelSpec

__all__ = ["Decision", "labelled_rows", "should_retrain"]

_ARROW: dict[FeatureType, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "datetime": pa.timestamp("us", "UTC"),
}
_DIGIT = {"true": "1", "false": "0"}
"""A label of 0 and 1 may be sent as a boolean."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a retraining pull request is due, and why."""

    fire: bool
    reason: str


def should_retrain(
    report: WindowReport,
    earlier: Sequence[str | WindowReport],
    retraining: Retraining,
    *,
    last_opened: datetime | None,
    open_pull_request: bool,
    now: datetime,
) -> Decision:
    """Decide on the present window and the levels of earlier ones, oldest first.

    A metric whose whole interval lies beyond its limit fires at once; drift when it alerted in ``sustained`` windows
    in a row, windows without enough data not counted. Nothing fires while a pull request is open or within the
    cooldown after the last one.
    """
    fell = report.performance is not None and report.performance.verdict == "fail"
    if report.level != "alert":
        return Decision(False, f"nothing to act on: the window's level is {report.level}")
    levels = [each.level if isinstance(each, WindowReport) else each for each in earlier]
    known = [level for level in [*levels, report.level] if level != "no-data"]
    streak = next((index for index, level in enumerate(reversed(known)) if level != "alert"), len(known))
    if not fell and streak < retraining.sustained:
        return Decision(False, f"drift in {streak} window(s) in a row; {retraining.sustained} are required")
    if open_pull_request:
        return Decision(False, "a retraining pull request is already open")
    if last_opened is not None and now < last_opened + timedelta(days=retraining.cooldown_days):
        since, until = (
            format_instant(last_opened),
            format_instant(last_opened + timedelta(days=retraining.cooldown_days)),
        )
        return Decision(False, f"the last retraining pull request was opened {since}; cooling down until {until}")
    return Decision(True, _reason(report, fell))


def _reason(report: WindowReport, fell: bool) -> str:
    said = []
    if fell and report.performance is not None:
        said.append(report.performance.reason)
    drifted = sorted(
        (feature for feature in report.features if feature.drift.level == "alert"), key=lambda each: -each.drift.value
    )
    if drifted:
        listed = ", ".join(f"{feature.name} (PSI {feature.drift.value:.2f})" for feature in drifted[:5])
        more = f" and {len(drifted) - 5} more" if len(drifted) > 5 else ""
        said.append(f"the inputs drifted: {listed}{more}")
    if report.score is not None and report.score.level == "alert":
        said.append(f"the model's score drifted (PSI {report.score.value:.2f})")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def labelled_rows(
    table: pa.Table, model: ModelSpec, old: DataSnapshotSpec, previous: pa.Table | None = None
) -> pa.Table:
    """Return training rows from the answered rows whose truth has arrived, after the rows of ``previous`` if given.

    Columns and types are those of the old snapshot. Features come from the log, the target from feedback, the event
    time from the time of the prediction, the column that traffic is assigned by from the logged entity, and a row's id
    that is not that column from the prediction's id; other columns are null unless the caller sent them. A truth that
    is no value of the target's type is left out.
    """
    target = model.data.target
    kinds = {column.name: column.type for column in old.columns}
    if target not in kinds:
        raise failure("target-absent", f"the snapshot has no column {target!r}, so new rows cannot join it")
    rows = table.filter(pc.and_(pc.is_valid(table.column("truth")), pc.less(table.column("status"), 500)))
    truth = pa.array([_truth(text, kinds[target]) for text in rows.column("truth").to_pylist()], _ARROW[kinds[target]])
    known = pc.is_valid(truth)
    rows, truth = rows.filter(known), truth.filter(known)
    logged = feature_columns(rows, [Feature(name=name, type=kind) for name, kind in kinds.items() if name != target])
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name, kind in kinds.items():
        columns[name] = truth if name == target else _filled(logged.column(name), name, kind, model, rows)
    schema = pa.schema([pa.field(name, _ARROW[kind]) for name, kind in kinds.items()])
    fresh = pa.table(columns).cast(schema)
    if previous is None:
        return fresh
    return pa.concat_tables([previous.select(schema.names).cast(schema), fresh])


def _filled(
    values: pa.ChunkedArray, name: str, kind: FeatureType, model: ModelSpec, rows: pa.Table
) -> pa.ChunkedArray | pa.Array:
    """Fill what the caller did not send from what the log knows."""
    if name == model.data.time and kind == "datetime":
        micros = [round(seconds * 1_000_000) for seconds in rows.column("time").to_pylist()]
        return pc.coalesce(values, pa.array(micros, pa.timestamp("us", "UTC")))
    # The entity first: where it is the row's id as well, a prediction's own id would put one customer's rows on both
    # sides of a split by hash.
    if name == model.serving.entity and kind in ("category", "integer"):
        entities = rows.column("entity").to_pylist()
        known = entities if kind == "category" else [_integer(text) for text in entities]
        return pc.coalesce(values, pa.array(known, _ARROW[kind]))
    if kind == "category" and name == model.data.id:
        return pc.coalesce(values, rows.column("id"))
    return values


def _truth(text: str, kind: FeatureType) -> object:
    """Return a logged truth in the target's type, None when it is no such value."""
    match kind:
        case "category":
            return text
        case "boolean":
            return True if text in spellings(True) else False if text in ("false", "0") else None
        case "integer":
            return _integer(_DIGIT.get(text, text))
        case _:
            return _finite(_DIGIT.get(text, text))


def _integer(text: str) -> int | None:
    number = _finite(text)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**63 else None


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) != float("inf") and number == number else None
