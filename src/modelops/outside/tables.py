"""A file of rows as the snapshot of it would be: read by the one reader, with what was decided about its columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from modelops import data as snapshots
from modelops.data import Wanted
from modelops.errors import Exit, failure
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec

__all__ = ["Rows", "reading"]


@dataclass(frozen=True)
class Rows:
    """The rows of a file, typed, and what was measured of them; ``file`` is what it is called."""

    file: str
    spec: DataSnapshotSpec
    table: pa.Table

    @property
    def digest(self) -> str:
        """The SHA-256 of the file's bytes."""
        return f"sha256:{self.spec.files[0].sha256}"


class Reader:
    """Reads files; what it has to keep meanwhile is gone afterwards."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def rows(self, path: Path, wanted: Wanted = Wanted(), previous: DataSnapshotSpec | None = None) -> Rows:
        """Return the rows of a file; ``previous`` says how an earlier one of its kind was read."""
        if not path.is_file():
            raise failure("unreadable", f"there is no file {path}", exit=Exit.USAGE, hint="name a CSV or Parquet file")
        path = path.resolve()
        source, paths = snapshots.path_source(path, path.parent, owner="nobody")
        there, cache = path.parent, self._cache
        spec = snapshots.take(
            source,
            repository_root=there,
            model_folder=there,
            cache=cache,
            paths=paths,
            wanted=wanted,
            previous=previous,
        )
        folder = snapshots.materialise(spec, repository_root=there, model_folder=there, cache=cache)
        return Rows(path.name, spec, snapshots.read(folder, spec))


@contextmanager
def reading() -> Iterator[Reader]:
    """Give a reader of files."""
    with TemporaryDirectory(prefix="modelops-") as folder:
        yield Reader(Path(folder))
