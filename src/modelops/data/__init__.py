"""Data snapshots: take, verify, place, read and compare immutable, hashed descriptions of data."""

from modelops.data.acquire import Limits, Place
from modelops.data.comparison import Comparison, compare, comparison_json, comparison_text
from modelops.data.datasheet import datasheet, unanswered
from modelops.data.manifest import manifest_bytes, root_of
from modelops.data.placing import materialise, verify
from modelops.data.reading import batches, read, schema_of
from modelops.data.snapshot import Wanted, path_source, pin, take, take_rows, url_source, wanted_by

__all__ = [
    "Comparison",
    "Limits",
    "Place",
    "Wanted",
    "batches",
    "compare",
    "comparison_json",
    "comparison_text",
    "datasheet",
    "manifest_bytes",
    "materialise",
    "path_source",
    "pin",
    "read",
    "root_of",
    "schema_of",
    "take",
    "take_rows",
    "unanswered",
    "url_source",
    "verify",
    "wanted_by",
]
