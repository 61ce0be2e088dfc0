"""What MLflow keeps of a model: the run that logged it and the description of its files, read and never loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from modelops.errors import Exit, failure
from modelops.scaffold.adopting.cells import Place
from modelops.scaffold.adopting.found import Measured

__all__ = ["PREFIX", "Tracked", "is_tracked", "name_of", "tracked"]

PREFIX = "mlflow:"
_SOURCE = re.compile(
    r"mlflow:/*(?:runs/+(?P<run>[A-Za-z0-9_-]+)(?:/+(?P<path>.+?))?|models/+(?P<name>[^/@]+)(?:/+(?P<version>\d+)|@(?P<alias>[^/]+)))/*"
)
_DESCRIPTION = "MLmodel"
_FILE = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
"""A name of a file that is the same in a folder and in an address."""
_MOST_BYTES = 1 << 20
_PARTS = re.compile(r"^(test|val|valid|validation|eval|evaluation|holdout)_")


@dataclass(frozen=True)
class Tracked:
    """A model as MLflow has it: how it was kept, what goes in, and what its run said of it.

    ``kept`` is its file where that is one of skops, ``inputs`` are the names of its signature, ``data`` are the places
    that its run names as what it was trained on, ``script`` is what logged it.
    """

    name: str
    kept: Path | None = None
    inputs: tuple[str, ...] = ()
    kind: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    measured: tuple[Measured, ...] = ()
    data: tuple[str, ...] = ()
    script: str | None = None

    def file(self, within: Path) -> Path | None:
        """Return the first of the files that it says it was trained on which is there, ``within`` a folder.

        Whoever may write to a run chooses what it names, and does not choose a file elsewhere on this machine.
        """
        inside, found = within.resolve(), map(_local, self.data)
        return next((path for path in found if path is not None and path.is_relative_to(inside)), None)


def is_tracked(source: Path) -> bool:
    """Tell whether a source is MLflow's: a run or a registered model by its name, or the folder of a model."""
    return str(source).startswith(PREFIX) or (source / _DESCRIPTION).is_file()


def name_of(source: Path) -> str:
    """Return what a source of MLflow is called, for a model that nobody named."""
    found = _SOURCE.fullmatch(str(source))
    if found is None:
        return source.resolve().name
    return found["name"] or (found["path"] or "model").rpartition("/")[2]


@contextmanager
def tracked(source: Path) -> Iterator[Tracked]:
    """Fetch what MLflow has of a source, its description and at most a file of skops; both are gone at the end.

    Errors: ``bad-mlflow-source``, ``extra-missing``, ``mlflow-unreachable``, ``not-adoptable``, ``unreadable-model``.
    """
    if not str(source).startswith(PREFIX):
        described = _described(source / _DESCRIPTION)
        yield _of(source.resolve().name, described, _kept_in(source, described), None)
        return
    found = _SOURCE.fullmatch(str(source))
    if found is None:
        raise failure(
            "bad-mlflow-source", f"{source} names nothing of MLflow", exit=Exit.USAGE,
            hint="write mlflow:runs/RUN, mlflow:runs/RUN/MODEL, mlflow:models/NAME/VERSION or mlflow:models/NAME@ALIAS",
        )  # fmt: skip
    with TemporaryDirectory(prefix="modelops-mlflow-") as folder:
        yield _fetched(found, str(source), Path(folder))


def _fetched(asked: re.Match[str], source: str, folder: Path) -> Tracked:
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError:
        raise failure(
            "extra-missing", "MLflow is asked by its own library, which is not installed", exit=Exit.WORLD,
            hint="pip install 'modelops[mlflow]', or download the model's folder and adopt that: it has a file MLmodel",
        ) from None  # fmt: skip
    try:
        client = mlflow.MlflowClient()
        address, number = _address(client, asked)
        run = client.get_run(number) if number else None
        fetch = mlflow.artifacts.download_artifacts
        described: Mapping[str, Any] = {}
        kept = None
        if address is not None:
            described = _described(Path(fetch(artifact_uri=f"{address}/{_DESCRIPTION}", dst_path=str(folder))))
            file = _skops(described)
            kept = Path(fetch(artifact_uri=f"{address}/{file}", dst_path=str(folder))) if file is not None else None
    except (MlflowException, OSError, ImportError, ValueError, *_of_databases()) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise failure(
            "mlflow-unreachable", f"MLflow does not give {source}: {reason}", exit=Exit.WORLD,
            hint="MLFLOW_TRACKING_URI says where it is; `mlflow runs list` and `mlflow models` show what it has",
        ) from None  # fmt: skip
    return _of(source, described, kept, run)


def _of_databases() -> tuple[type[Exception], ...]:
    """Return what MLflow lets through of a database that it cannot use, where it has the library for one."""
    try:
        from sqlalchemy.exc import SQLAlchemyError
    except ModuleNotFoundError:
        return ()
    return (SQLAlchemyError,)


def _address(client: Any, asked: re.Match[str]) -> tuple[str | None, str | None]:
    """Return where the files of a model lie, None for a run that logged none, and the run that made them."""
    if asked["name"]:
        name, alias = asked["name"], asked["alias"]
        by_alias, by_version = client.get_model_version_by_alias, client.get_model_version
        found = by_alias(name, alias) if alias else by_version(name, asked["version"])
        by_id = re.fullmatch(r"models:/+(m-[0-9a-f]+)", found.source or "")
        if by_id is not None:
            return client.get_logged_model(by_id[1]).artifact_location, found.run_id
        return f"models:/{name}/{found.version}", found.run_id
    run, path = asked["run"], asked["path"]
    told = dict(_logged(client, run))
    if path in told or (path is None and len(told) < 2):
        return (told[path] if path else next(iter(told.values()), None)), run
    if path is not None:
        return f"runs:/{run}/{path}", run
    raise failure(
        "bad-mlflow-source", f"the run {run} logged {len(told)} models: {', '.join(told)}", exit=Exit.USAGE,
        hint=f"name one of them: {PREFIX}runs/{run}/{next(iter(told))}",
    )  # fmt: skip


def _logged(client: Any, run: str) -> Iterator[tuple[str, str]]:
    """Yield the models that a run logged, by name, and where each lies; since MLflow 3 they are no files of the run."""
    entity = client.get_run(run)
    outputs = getattr(entity, "outputs", None)
    for one in outputs.model_outputs if outputs is not None else ():
        model = client.get_logged_model(one.model_id)
        yield model.name, model.artifact_location
    for one in _listed(entity.data.tags.get("mlflow.log-model.history")):
        path = one.get("artifact_path") if isinstance(one, dict) else None
        if isinstance(path, str):
            yield path, f"runs:/{run}/{path}"


def _listed(text: str | None) -> list[Any]:
    """Return the list that a text is in JSON; anybody may write a tag, and what is none of MLflow's says nothing."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _described(path: Path) -> Mapping[str, Any]:
    """Return what the description of a model says."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise failure("unreadable-model", f"{path.name} has more than {_MOST_BYTES:,} bytes")
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        # Dates and numbers that are none are a ValueError of their own.
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise failure("unreadable-model", f"{path.name} cannot be read: {said}") from None
    flavors = found.get("flavors") if isinstance(found, dict) else None
    if not isinstance(flavors, dict) or not isinstance(flavors.get("sklearn"), dict):
        known = ", ".join(sorted(map(str, flavors))) if isinstance(flavors, dict) else "nothing"
        raise failure(
            "not-adoptable", f"the model was logged as {known}, not as one of scikit-learn", exit=Exit.USAGE,
            hint="adopt the code that made it; its predictions can be judged as they are: modelops judge predictions",
        )  # fmt: skip
    told: Mapping[str, Any] = found
    return told


def _skops(described: Mapping[str, Any]) -> str | None:
    """Return the file of a model that was kept by skops; any other one is a pickle, which nobody opens."""
    flavor = described["flavors"]["sklearn"]
    file = flavor.get("pickled_model")
    if flavor.get("serialization_format") != "skops" or not isinstance(file, str):
        return None
    if not _FILE.fullmatch(file):
        raise failure("unreadable-model", f"{_DESCRIPTION} names what is no file of its folder: {file!r}")
    return file


def _kept_in(folder: Path, described: Mapping[str, Any]) -> Path | None:
    file = _skops(described)
    if file is not None and not (folder / file).is_file():
        raise failure("unreadable-model", f"{folder} has no file {file}, which its {_DESCRIPTION} names")
    return folder / file if file is not None else None


def _of(name: str, described: Mapping[str, Any], kept: Path | None, run: Any) -> Tracked:
    """Return what is known of a model from its description and its run."""
    inputs = tuple(_inputs(described))
    if run is None:
        return Tracked(name, kept, inputs)
    tags = run.data.tags
    sources = run.inputs.dataset_inputs if getattr(run, "inputs", None) is not None else []
    measured = [Measured(_PARTS.sub("", each), Place(None, 0)) for each in run.data.metrics if _counts(each)]
    return Tracked(
        name,
        kept,
        inputs,
        tags.get("estimator_class"),
        dict(run.data.params),
        tuple(measured),
        tuple(_sources(sources)),
        tags.get("mlflow.source.name"),
    )


def _counts(metric: str) -> bool:
    """Tell whether a metric is one of rows that did not train."""
    return not metric.startswith("training_")


def _inputs(described: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the columns that go in, as far as the signature has names."""
    signature = described.get("signature")
    told = signature.get("inputs") if isinstance(signature, dict) else None
    try:
        columns = json.loads(told) if isinstance(told, str) else []
    except ValueError:
        columns = []
    for one in columns if isinstance(columns, list) else []:
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            yield one["name"]


def _sources(inputs: Sequence[Any]) -> Iterator[str]:
    """Yield the places of the data that a run was given, what it was trained on first."""
    ranked = sorted(inputs, key=lambda one: not any(tag.value == "training" for tag in one.tags))
    for one in ranked:
        try:
            said = json.loads(one.dataset.source)
        except (TypeError, ValueError):
            continue
        if isinstance(said, dict):
            yield from (said[key] for key in ("uri", "url", "path") if isinstance(said.get(key), str))


def _local(place: str) -> Path | None:
    """Return the file of this machine that a place names, if there is one."""
    try:
        parts = urlsplit(place)
        path = Path(unquote(parts.path) if parts.scheme == "file" else place)
        return path.resolve() if parts.scheme in ("", "file") and path.is_file() else None
    except (OSError, ValueError):
        return None
