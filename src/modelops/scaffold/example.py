"""An example model, put into a repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from modelops.scaffold.files import write_new
from modelops.scaffold.repository import example_files, repository_files
from modelops.scaffold.result import Result
from modelops.scaffold.site import Site
from modelops.spec.kinds import place
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.layout import GATE_POLICY, MODEL
from modelops.spec.load import load_resource
from modelops.spec.yaml.dump import dump


def add_example(site: Site, name: str, result: Result, note: Callable[[str], None]) -> None:
    """Write an example model, and take its snapshot again: here and now is what the model will be trained on."""
    from modelops import data as snapshots

    files = example_files(name)
    taken = {path: data for path, data in files.items() if (found := place(path)) and found[0] == "DataSnapshot"}
    policies = _missing_policies(site, files)
    write_new(site.root, {path: data for path, data in files.items() if path not in taken} | policies, site.undo)
    model: ModelSpec = load_resource(files[MODEL.path(name)], MODEL.path(name)).spec
    for path, data in taken.items():
        old: DataSnapshotSpec = load_resource(data, path).spec
        note(f"generating the data of {path}")
        spec = snapshots.take(
            old.source,
            repository_root=site.root,
            model_folder=site.root / "models" / name,
            cache=site.cache,
            wanted=snapshots.wanted_by(model),
            previous=old,
            reason=old.reason,
        )
        write_new(
            site.root,
            {path: data if spec.root == old.root else dump("DataSnapshot", Path(path).stem, spec, None, path)},
            site.undo,
        )
    result.model = name
    result.files += sorted([*files, *policies])


def _missing_policies(site: Site, files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the gate policies that an example names and this repository lacks."""
    model: ModelSpec = next(
        load_resource(data, path).spec for path, data in files.items() if path.endswith("/model.yaml")
    )
    packaged = repository_files("", ())
    paths = [GATE_POLICY.path(None, gate) for gate in model.gates]
    return {path: packaged[path] for path in paths if not (site.root / path).exists()}
