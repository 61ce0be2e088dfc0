"""Tracking with MLflow, where it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelops.artifacts import BuildRecord
from modelops.training.tracking import VARIABLE, configured, track
from training.building_blocks import Workshop


def test_nothing_is_tracked_without_a_tracking_server() -> None:
    """An environment without the variable never imports mlflow."""
    assert not configured({})


def test_a_build_becomes_an_mlflow_run(built: tuple[Workshop, BuildRecord], tmp_path: Path) -> None:
    """Parameters, metrics with their bounds and digests are in the run of the model's experiment."""
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    environment = {VARIABLE: f"sqlite:///{tmp_path}/mlflow.db"}
    assert configured(environment)
    _, record = built
    identity = track(record, "sha256:" + "0" * 64, environment)
    run = mlflow.MlflowClient(tracking_uri=environment[VARIABLE]).get_run(identity)
    assert run.data.tags["modelops.artifact"] == record.artifact.digest
    assert run.data.params["trees"] == "5"
    assert run.data.metrics["roc-auc.lower"] == record.metrics[0].lower
