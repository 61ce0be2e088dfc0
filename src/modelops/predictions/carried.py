"""The chains of what was exported: the digest of every row, day by day, so that copies can be held to the seals.

A Parquet file has the rows of one model, and a chain those of all. What a chain needs of a row is its digest, so the
digests of all of them go along, and the rows of a model are held against theirs. Labels are not carried.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelops.predictions.chain import Mark, answer_digest, link, number_of, origin_of, reasons_value, route_head
from modelops.predictions.schema import CHAINED
from modelops.predictions.segments import reading
from modelops.predictions.verify import Examined, Flaw, answer_digests

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CHAINS_FOLDER", "HASHED", "chains_of", "hold_rows", "hold_to_seals", "seals_beside"]

CHAINS_FOLDER = "_chains"
"""Where the chains of an export lie; readers of a data set pass over what begins with an underscore."""
STARTS_KEY = b"modelops.predictions.starts"
HASHED = (
    *("segment", "seq", "id", "time", "row", "status", "latency_ms", "score", "entity", "label", "error", "request"),
    *("model", "release", "arm", "step", "salt", "propensity", "review", "drawn", "features", "reasons"),
)
"""The columns of an export that a row's digest is made of, and where the row lay."""


def seals_beside(directory: Path) -> Path:
    """Return the file of the seals that were exported with a log."""
    return directory / CHAINS_FOLDER / "seals.jsonl"


def chains_of(files: Sequence[Path]) -> pa.Table:
    """Return the digests of all rows of some files, with the model of each, and with the starts of the chains."""
    import pyarrow as pa

    starts: dict[str, str | None] = {}
    columns: dict[str, list[Any]] = {"segment": [], "seq": [], "digest": [], "model": []}
    for file in files:
        with reading(file) as connection:
            if connection is None:
                continue
            connection.execute("BEGIN")
            if connection.execute("PRAGMA user_version").fetchone()[0] not in CHAINED:
                starts[file.name] = None
                continue
            starts[file.name] = origin_of(connection).start("answers").hex()
            models = dict(connection.execute("SELECT seq, model FROM answers JOIN routes USING (route)"))
            for seq, digest, _ in answer_digests(connection, 0):
                columns["segment"].append(file.name)
                columns["seq"].append(seq)
                columns["digest"].append(digest)
                columns["model"].append(models.get(seq, ""))
    types = {"segment": pa.string(), "seq": pa.int64(), "digest": pa.binary(), "model": pa.string()}
    table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
    return table.replace_schema_metadata({STARTS_KEY: json.dumps(starts, sort_keys=True).encode()})


def hold_to_seals(table: pa.Table, sealed: Mapping[str, Mark]) -> Iterator[Examined]:
    """Yield what the chains of a day say of each of its files, against what was sealed of those."""
    starts: dict[str, str | None] = json.loads((table.schema.metadata or {}).get(STARTS_KEY, b"{}"))
    rows = zip(*(table.column(name).to_pylist() for name in ("segment", "seq", "digest")), strict=True)
    chains = {name: list(found) for name, found in groupby(sorted(rows), lambda row: row[0])}
    for name in sorted({*starts, *chains, *sealed}):
        start, mark = starts.get(name), sealed.get(name)
        if name not in starts and name not in chains:
            yield Examined(name, True, 0, (Flaw(name, "gone"),))
        elif start is None:
            replaced = (Flaw(name, "replaced", detail="a file without a chain"),) if mark or name in chains else ()
            yield Examined(name, False, 0, replaced)
        else:
            yield _along(name, bytes.fromhex(start), chains.get(name, []), mark)


def _along(name: str, start: bytes, rows: Sequence[tuple[str, int, bytes]], mark: Mark | None) -> Examined:
    flaws = []
    last, expected = start, 1
    for _, seq, digest in rows:
        if seq != expected:
            flaws.append(Flaw(name, "missing", first=min(seq, expected), last=max(seq, expected) - 1))
        last, expected = link(last, digest), seq + 1
        if mark is not None and seq == mark.answers and last != mark.link("answers"):
            flaws.append(Flaw(name, "rewritten", first=1, last=seq))
    if mark is not None and expected - 1 < mark.answers:
        flaws.append(Flaw(name, "cut", first=expected, last=mark.answers))
    return Examined(name, True, expected - 1, tuple(flaws))


def hold_rows(rows: pa.Table, chains: pa.Table, model: str) -> Iterator[Flaw]:
    """Yield the rows of a model's file that are not those of the chains of its day, and those that it lacks."""
    starts: dict[str, str | None] = json.loads((chains.schema.metadata or {}).get(STARTS_KEY, b"{}"))
    digests: dict[tuple[str, int], bytes] = {}
    wanted: set[tuple[str, int]] = set()
    for segment, seq, digest, of in zip(*(chains.column(n).to_pylist() for n in chains.column_names), strict=True):
        digests[segment, seq] = digest
        if of == model:
            wanted.add((segment, seq))
    for row in rows.select(HASHED).to_pylist():
        key = (row["segment"], row["seq"])
        if starts.get(key[0], "") is None:
            continue
        wanted.discard(key)
        if key not in digests:
            yield Flaw(key[0], "added", first=key[1], last=key[1])
        elif _digest(row) != digests[key] or row["model"] != model:
            yield Flaw(key[0], "changed", first=key[1], last=key[1])
    yield from (Flaw(segment, "missing", first=seq, last=seq) for segment, seq in sorted(wanted))


def _digest(row: Mapping[str, Any]) -> bytes:
    route = ("model", "release", "arm", "step", "salt", "propensity", "review", "drawn")
    head = route_head(*(row[name] for name in route))
    hashed = (
        *(row["seq"], row["id"], number_of(row["time"]), row["row"], row["status"], number_of(row["latency_ms"])),
        *(number_of(row["score"]), row["entity"], row["label"], row["error"], row["request"]),
        *reasons_value(row["reasons"]),
    )
    return answer_digest(head, hashed, row["features"])
