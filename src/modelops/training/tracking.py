"""Builds as MLflow runs, when mlflow is installed and the environment names a tracking server."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from modelops.artifacts import BuildRecord
from modelops.errors import Exit, failure

__all__ = ["VARIABLE", "configured", "track"]

VARIABLE = "MLFLOW_TRACKING_URI"


def configured(environment: Mapping[str, str]) -> bool:
    """Tell whether builds are tracked: a tracking URI is set and mlflow can be imported."""
    return bool(environment.get(VARIABLE)) and importlib.util.find_spec("mlflow") is not None


def track(record: BuildRecord, build: str, environment: Mapping[str, str]) -> str:
    """Log a build to MLflow, one experiment per model, and return the run's id.

    A server that cannot be used raises ``tracking-failed``; the build itself is stored by then.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return _logged(mlflow.MlflowClient(tracking_uri=environment[VARIABLE]), record, build)
    except (MlflowException, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise failure(
            "tracking-failed", f"the build is stored, but MLflow does not take it: {reason}", exit=Exit.WORLD
        ) from None


def _logged(client: Any, record: BuildRecord, build: str) -> str:
    experiment = client.get_experiment_by_name(record.model)
    number = experiment.experiment_id if experiment else client.create_experiment(record.model)
    run = client.create_run(number, run_name=build.removeprefix("sha256:")[:12])
    tags = {
        "modelops.artifact": record.artifact.digest,
        "modelops.build": build,
        "modelops.code": record.code_tree,
        "modelops.data": record.data_root,
        "modelops.engine": record.artifact.engine,
        "modelops.inputs": record.inputs,
    }
    identity: str = run.info.run_id
    for name, tag in tags.items():
        client.set_tag(identity, name, tag)
    for name, value in (record.parameters | record.seeds).items():
        client.log_param(identity, name, value)
    for metric in record.metrics:
        for suffix, number_ in (("", metric.value), (".lower", metric.lower), (".upper", metric.upper)):
            client.log_metric(identity, f"{metric.name}{suffix}", number_)
    client.set_terminated(identity)
    return identity
