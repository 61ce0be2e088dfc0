"""kind: DataSnapshot — an immutable, hashed description of a data set at a point in time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelops.spec.meta import Digest, Scalar, Strict
from modelops.spec.model import FeatureType

Count = Annotated[int, Field(ge=0)]


class SnapshotFile(Strict):
    """One pinned file; ``path`` is POSIX and relative to where the source puts it."""

    path: str
    size: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Source(Strict):
    """Where the bytes come from and who answers for them.

    ``files``: ``location`` is a folder below the repository, an absolute folder, or a URL prefix to which each file's
    path is appended. ``command``: an argument list run in the model's folder, ``{output}`` replaced by the folder to
    fill. ``store``: the files are blobs of the project's store, addressed by their own sha256.
    """

    type: Literal["files", "command", "store"]
    location: str | None = None
    command: tuple[str, ...] = ()
    owner: str = Field(min_length=1)
    upstream: tuple[str, ...] = ()


class Column(Strict):
    """What was measured of one column.

    ``distinct`` counts up to 100,000. ``top`` counts the most frequent values of a category, at most 50, and none of a
    column whose values occur in few rows each, like an identifier. ``format`` is how CSV text is read where that is not
    the usual way: a strptime format for dates that are not ISO 8601, a comma for numbers with a decimal comma.
    """

    name: str
    type: FeatureType
    format: str | None = None
    missing: Count
    distinct: Count
    minimum: Scalar = None
    maximum: Scalar = None
    mean: float | None = None
    top: dict[str, Count] = {}


class TimeSpan(Strict):
    """First and last event time of the rows."""

    first: str
    last: str


class Answer(Strict):
    """One datasheet question; ``measured`` answers come from the data, the others from people."""

    question: str
    answer: str
    measured: bool = False


class Sketch(Strict):
    """Mergeable counts of one column for drift scores: inner bin ``edges`` for numbers, ``categories`` otherwise."""

    kind: Literal["number", "category"]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[Count, ...]
    other: Count = 0
    missing: Count = 0


class DataSnapshotSpec(Strict):
    """The spec of a DataSnapshot; ``root`` is the SHA-256 over the sorted (path, size, sha256) manifest."""

    format: Literal["csv", "parquet"]
    delimiter: Literal[",", ";", "\t", "|"] = Field(default=",", description="what separates the fields of CSV files")
    source: Source
    root: Digest
    files: tuple[SnapshotFile, ...] = Field(min_length=1)
    rows: Count
    columns: tuple[Column, ...] = Field(min_length=1)
    target: str | None = None
    balance: dict[str, Count] = {}
    time_span: TimeSpan | None = None
    reason: str = ""
    datasheet: dict[str, tuple[Answer, ...]] = {}
    profile: dict[str, Sketch] = {}
