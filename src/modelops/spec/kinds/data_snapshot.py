"""kind: DataSnapshot — an immutable, hashed description of a data set at a point in time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, get_args

from pydantic import Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.locations import refusal
from modelops.spec.meta import Digest, FeatureType, Scalar, Strict
from modelops.spec.resource import Resource, at
from modelops.spec.texts.reading import ColumnReading, TextReading

PLACE = layout.SNAPSHOT
IMMUTABLE = True


Encoding = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1", "cp1250", "cp1251", "cp1253", "cp1254",
    "cp1257", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "iso8859-15", "koi8-r", "mac-roman", "cp437", "cp850",
    "cp852", "cp866", "cp932", "shift_jis", "euc-jp", "gb18030", "big5", "euc-kr", "cp949",
]  # fmt: skip
ENCODINGS: tuple[str, ...] = get_args(Encoding)
"""Encodings of text files that are read; UTF and Windows-1252 are found out, the others are asked for."""

RARER = "(rarer)"
"""Stands for the labels that few rows have each; they are counted together."""

INFINITE = "(infinite)"
"""Stands for infinite numbers among what was read as missing."""

Count = Annotated[int, Field(ge=0)]


class SnapshotFile(Strict):
    """One pinned file; ``path`` is POSIX and relative to where the source puts it."""

    path: str
    size: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Source(Strict):
    """Where the bytes come from and who answers for them.

    ``files``: ``location`` is a folder below the repository, an absolute folder, or a URL prefix to which each file's
    path is appended. ``command``: an argument list run in a copy of the model's folder, ``{output}`` replaced by the
    folder to fill. ``store``: the files are blobs of the project's store, addressed by their own sha256.

    A command runs behind the fence: it reaches the network only where ``network`` says so. With ``files``, paths and
    folders below the model's folder, its copy holds these and what the command names, and nothing else; training gets
    none of them.
    """

    type: Literal["files", "command", "store"]
    location: str | None = None
    command: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    network: bool = False
    owner: str = Field(min_length=1)
    upstream: tuple[str, ...] = ()


class Column(Strict):
    """What was measured of one column.

    ``distinct`` counts up to 100,000. ``top`` counts the most frequent values of a category, at most 50, each of at
    least 10 rows. ``minimum`` and ``maximum`` are exact where 10 rows have them, otherwise round numbers beyond them;
    of event times they are days. Of a column that is no feature, target or event time no value is quoted. ``format``
    is how text is read where that is not the usual way: a form such as %d.%m.%Y for dates that are not ISO 8601 (%b is
    the name of a month), ``epoch`` or ``epoch-ms`` for numbers since 1970, a comma for numbers with a decimal comma,
    or, where a mark groups thousands, a number written that way, such as 1.234,5. ``true`` and ``false`` are the words
    of a boolean. ``missingAs`` counts the words that were read as missing; ``missingWords`` are the column's own,
    instead of those of the whole table.
    """

    name: str
    type: FeatureType
    format: str | None = None
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    missing: Count
    missing_as: dict[str, Count] = {}
    missing_words: tuple[str, ...] | None = None
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


class Summary(Strict):
    """What a column looks like, in mergeable counts that every drift score can be made from.

    For numbers ``edges`` are the inner edges of the bins, ``means`` where each bin's values lie, ``minimum`` and
    ``maximum`` the extremes; files that version 0.1.0 wrote have fewer bins and none of the last three. ``categories``
    are the most frequent ones, the rest is counted as ``other``. Bins and categories of fewer than 10 rows are joined.
    """

    kind: Literal["number", "category"]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[Count, ...]
    means: tuple[float, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    other: Count = 0
    missing: Count = 0


class DataSnapshotSpec(Strict):
    """The spec of a DataSnapshot; ``root`` is the SHA-256 over the sorted (path, size, sha256) manifest.

    ``text`` says how texts of its rows become values, those that are served to a model trained on them included. A
    snapshot of version 0.1.0 has none: of CSV files blanks and the usual words for missing were read away, of Parquet
    nothing. ``encodings`` are those of files that are not UTF-8, by path. ``comment`` begins lines that are no rows,
    ``sheet`` is the one that was read of a workbook, ``unread`` are columns that hold no single values, and why;
    ``beside`` are files of the folder or archive that are no tables, at most 100.
    """

    format: Literal["csv", "parquet", "json", "arrow", "excel"]
    delimiter: Literal[",", ";", "\t", "|"] = Field(default=",", description="what separates the fields of CSV files")
    text: TextReading | None = None
    encodings: dict[str, Encoding] = {}
    comment: str | None = None
    sheet: str | None = None
    unread: dict[str, str] = {}
    beside: tuple[str, ...] = ()
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
    profile: dict[str, Summary] = {}

    def reading(self, names: Iterable[str] | None = None) -> TextReading | None:
        """Return how texts become values in all columns, or in some; None for a snapshot that version 0.1.0 took."""
        if self.text is None:
            return None
        wanted = None if names is None else set(names)
        found = {
            each.name: own
            for each in self.columns
            if (wanted is None or each.name in wanted) and (own := _own(each)) != ColumnReading()
        }
        return self.text.model_copy(update={"columns": found})


def _own(column: Column) -> ColumnReading:
    return ColumnReading(format=column.format, true=column.true, false=column.false, missing=column.missing_words)


def problems(snapshot: Resource[DataSnapshotSpec], around: Around) -> Iterator[Problem]:
    """Yield why the bytes may not come from where they do."""
    problem = location_problem(snapshot, around.known.locations) if around.known.locations is not None else None
    if problem is not None:
        yield problem


def location_problem(snapshot: Resource[DataSnapshotSpec], allowed: tuple[str, ...]) -> Problem | None:
    """Return the Problem of a snapshot whose bytes come from where they may not; ``allowed`` as the Project lists."""
    source = snapshot.spec.source
    refused = refusal(source.location, allowed) if source.type == "files" and source.location else None
    return at(snapshot, "spec.source.location", "data-location", *refused) if refused else None
