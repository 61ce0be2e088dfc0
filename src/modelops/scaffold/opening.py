"""The user's data as a snapshot source, and the names of its columns where they are at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelops.spec.kinds.data_snapshot import Source


@dataclass(frozen=True)
class Opened:
    """The data as a snapshot source, and its columns if it is one file of this machine."""

    source: Source
    paths: tuple[str, ...]
    label: str
    names: tuple[str, ...] | None = None


def open_data(root: Path, data: str, owner: str, encoding: str | None = None, sheet: str | None = None) -> Opened:
    """Open a path, a pattern of paths or a URL."""
    from modelops import data as snapshots
    from modelops.data.tables import Opening, open_table

    if "://" in data:
        source, paths = snapshots.url_source(data, owner=owner)
        return Opened(source, paths, paths[0])
    path = Path(data)
    source, paths = snapshots.path_source(path, root, owner=owner)
    if not path.is_file():
        return Opened(source, paths, path.name)
    opening = Opening(encoding=encoding, sheet=sheet)
    table = open_table(path.parent, ((path.name, path.stat().st_size),), opening)
    return Opened(source, paths, path.name, (*table.names, *table.unread))
