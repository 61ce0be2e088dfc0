"""Building blocks of the snapshot tests: a folder that stands for a repository, and shorthands over the public API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from modelops import data
from modelops.errors import ModelOpsError, Problem
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec, Source


@dataclass(frozen=True)
class Project:
    root: Path
    locations: tuple[str, ...] = ()

    @property
    def places(self) -> dict[str, Any]:
        return {
            "repository_root": self.root,
            "model_folder": self.root / "models" / "m",
            "cache": self.root / ".modelops" / "cache",
            "locations": self.locations,
        }

    def write(self, files: Mapping[str, bytes | str]) -> None:
        for path, content in files.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)

    def take(
        self, *paths: str, folder: str = "d", previous: DataSnapshotSpec | None = None, **wanted: Any
    ) -> DataSnapshotSpec:
        source = Source(type="files", location=folder, owner="team")
        return data.take(source, **self.places, paths=paths, wanted=data.Wanted(**wanted), previous=previous)

    def rows(self, spec: DataSnapshotSpec, **more: Any) -> pa.Table:
        return data.read(data.materialise(spec, **self.places, **more), spec)


def column(spec: DataSnapshotSpec, name: str) -> Column:
    return next(each for each in spec.columns if each.name == name)


def problem_of(error: ModelOpsError) -> Problem:
    (problem,) = error.problems
    return problem


def csv_of(header: str, rows: Sequence[str]) -> str:
    return "\n".join([header, *rows]) + "\n"
