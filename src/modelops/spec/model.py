"""kind: Model — what a model is for, who owns it, its risk, data, training, gates and serving."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelops.spec.meta import Name, OpenShare, Risk, Scalar, Strict

Task = Literal["binary-classification", "multiclass-classification", "regression"]
FeatureType = Literal["number", "integer", "boolean", "category", "datetime"]


class Feature(Strict):
    """One input column of the model, in the order in which the estimator sees it."""

    name: str = Field(min_length=1)
    type: FeatureType
    nullable: bool = False
    description: str = ""


class ModelData(Strict):
    """Which snapshot the model is trained on and what its columns mean.

    ``positive`` is the label counted as positive in a binary task. ``id`` names the row identity (used by the hash
    split and the leakage check), ``time`` the event time (used by the time split), ``sensitive`` the columns that only
    fairness gates may read; a sensitive column is a feature only if it is listed under ``features`` too.
    """

    snapshot: Name
    target: str = Field(min_length=1)
    positive: Scalar = None
    id: str | None = None
    time: str | None = None
    sensitive: tuple[str, ...] = ()
    features: tuple[Feature, ...] = Field(min_length=1)


class Split(Strict):
    """How rows are divided: by hash of ``data.id``, by ``data.time`` (the last rows are the test), or seeded random."""

    type: Literal["hash", "time", "random"] = "random"
    test: OpenShare = 0.25


class Training(Strict):
    """The training code and the limits it runs under.

    ``entrypoint`` is a file of the model's folder with ``train(features, target, parameters, seed) -> estimator``.
    """

    entrypoint: str = "train.py"
    parameters: dict[str, Scalar] = {}
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    split: Split = Split()
    timeout_seconds: Annotated[int, Field(ge=1)] = 900
    memory_mib: Annotated[int, Field(ge=256)] = 4096


class Serving(Strict):
    """How predictions are answered and logged.

    ``log``: ``acknowledged`` answers after the row is on disk, ``buffered`` within a bounded window, ``off`` never.
    ``log_full``: when the log takes no more, ``refuse`` the request or ``drop`` the row and count it.
    ``side_effects`` says that a prediction does something in the world, so that no copy of a request may be sent.
    ``entity`` names the feature or request parameter whose value is assigned to an arm and sticks to it.
    """

    log: Literal["acknowledged", "buffered", "off"] = "buffered"
    log_full: Literal["refuse", "drop"] = "refuse"
    entity: str | None = None
    threshold: OpenShare = 0.5
    latency_objective_ms: Annotated[float, Field(gt=0)] = 50.0
    side_effects: bool = False


class ModelSpec(Strict):
    """The spec of a Model."""

    description: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    risk: Risk
    task: Task
    intended_use: str = Field(min_length=1)
    out_of_scope: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    data: ModelData
    training: Training = Training()
    gates: tuple[Name, ...] = Field(min_length=1, description="names of gate policies")
    serving: Serving = Serving()
