"""Data snapshots: take, verify, place, read and compare immutable, hashed descriptions of data."""

from modelops.data.acquire import Limits, Place
from modelops.data.comparison import Comparison, compare
from modelops.data.datasheet import datasheet, unanswered
from modelops.data.manifest import manifest_bytes, root_of
from modelops.data.measuring import unquoted
from modelops.data.placing import materialise, verify
from modelops.data.reading import batches, read, schema_of
from modelops.data.snapshot import Wanted, pin, take, take_rows, wanted_by
from modelops.data.sources import path_source, url_source
from modelops.data.texts import reading_of

__all__ = [
    "Comparison",
    "Limits",
    "Place",
    "Wanted",
    "batches",
    "compare",
    "datasheet",
    "manifest_bytes",
    "materialise",
    "path_source",
    "pin",
    "read",
    "reading_of",
    "root_of",
    "schema_of",
    "take",
    "take_rows",
    "unanswered",
    "unquoted",
    "url_source",
    "verify",
    "wanted_by",
]
