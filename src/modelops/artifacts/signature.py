"""What an artifact says about itself: its inputs, its outputs, how it is served and which types it may load."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, ValidationError

from modelops.errors import failure
from modelops.spec.meta import ModelName, OpenShare, Scalar, Strict
from modelops.spec.model import Feature, FeatureType, ModelSpec, Task

__all__ = ["Input", "Signature", "canonical_json"]

Engine = Literal["onnx", "sklearn"]


def canonical_json(value: Any) -> bytes:
    """Return the one spelling of a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class Input(Strict):
    """One input column, in the order in which the estimator sees it."""

    name: str = Field(min_length=1)
    type: FeatureType
    nullable: bool = False


class Signature(Strict):
    """The content of ``models/signature.json``.

    ``classes`` are the original labels: (negative, positive) for a binary task, in the estimator's order for a
    multiclass task, empty for regression. ``trusted_types`` are all types in ``model.skops`` beyond those that skops
    trusts by itself, and nothing else is loaded.
    """

    model: ModelName
    task: Task
    features: tuple[Input, ...] = Field(min_length=1)
    target: str
    positive: Scalar = None
    classes: tuple[Scalar, ...] = ()
    threshold: OpenShare = 0.5
    engine: Engine
    engine_reason: str = ""
    onnx_difference: float | None = None
    trusted_types: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Signature:
        """Read ``signature.json``; anything unexpected in it is an error."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise failure("bad-artifact", f"signature.json: {where}: {first['msg']}") from None

    def dump(self) -> bytes:
        """Return the canonical bytes of ``signature.json``."""
        return canonical_json(self.model_dump(mode="json", by_alias=True))

    @property
    def numeric(self) -> bool:
        """Tell whether every feature is a float64 column."""
        return all(feature.type != "category" for feature in self.features)


def inputs_of(spec: ModelSpec) -> tuple[Input, ...]:
    """Return the input columns that a model spec declares."""
    return tuple(_input(feature) for feature in spec.data.features)


def _input(feature: Feature) -> Input:
    return Input(name=feature.name, type=feature.type, nullable=feature.nullable)
