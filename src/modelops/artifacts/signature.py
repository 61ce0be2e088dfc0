"""What an artifact says about itself: its inputs, its outputs, how it is served and which types it may load."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from modelops.errors import failure
from modelops.spec.kinds.model import Feature, ModelSpec, Task
from modelops.spec.kinds.release import Compared, Engine
from modelops.spec.meta import FeatureType, ModelName, Name, OpenShare, Scalar, Strict
from modelops.spec.texts.reading import TextReading

__all__ = ["SCIKIT_LEARN", "Held", "Input", "Signature", "canonical_json"]


SCIKIT_LEARN = "scikit-learn"
"""The runtime of every artifact that names none."""

_NEWER = ("text", "runtime", "parts", "labels", "equality")
"""What version 0.1.0 did not write; it is left out where it says nothing."""


def canonical_json(value: Any) -> bytes:
    """Return the one spelling of a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class Input(Strict):
    """One input column, in the order in which the estimator sees it."""

    name: str = Field(min_length=1)
    type: FeatureType
    nullable: bool = False


class Held(Strict):
    """What is kept of one model of a library: the runtime that loads it, its files, and what they do not say."""

    runtime: Name
    files: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")], ...] = ()
    facts: dict[str, Any] = {}


class Signature(Strict):
    """The content of ``models/signature.json``.

    ``classes`` are the original labels: (negative, positive) for a binary task, in the estimator's order for a
    multiclass task, empty for regression. ``trusted_types`` are all types in ``model.skops`` beyond those that skops
    trusts by itself, and nothing else is loaded. ``text`` is how the texts were read that it was trained on; those that
    it is asked about are read the same way. An artifact of version 0.1.0 has none, and takes texts as they come.

    ``runtime`` keeps and loads the model; ``parts`` are the models of other libraries inside of scikit-learn's, or the
    only one where the runtime is not scikit-learn. ``ties`` says which label a binary row gets whose score is exactly
    the threshold, ``labels`` where labels differ from those of the estimator's own ``predict`` and why, ``equality``
    on how many rows of which kind the served form was compared, and how far it was off at most.
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
    text: TextReading | None = None
    runtime: Name = SCIKIT_LEARN
    parts: tuple[Held, ...] = ()
    ties: Literal["positive", "negative"] = "negative"
    labels: str = ""
    equality: tuple[Compared, ...] = ()

    @model_validator(mode="after")
    def _engine_is_of_the_model(self) -> Self:
        own = "sklearn" if self.runtime == SCIKIT_LEARN else self.runtime
        if self.engine not in ("onnx", own):
            raise ValueError(f"the engine is {self.engine!r}, and a model of {self.runtime} is served by {own} or onnx")
        return self

    @classmethod
    def parse(cls, data: bytes) -> Signature:
        """Read ``signature.json``; anything unexpected in it is an error."""
        try:
            found = cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise failure("bad-artifact", f"signature.json: {where}: {first['msg']}") from None
        # Version 0.1.0 wrote nothing of ties, and a score of exactly the threshold was positive.
        return found if "ties" in found.model_fields_set else found.model_copy(update={"ties": "positive"})

    def dump(self) -> bytes:
        """Return the canonical bytes of ``signature.json``; without what is newer they are those of version 0.1.0."""
        return canonical_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """Return the signature as plain values."""
        unsaid = {name for name in _NEWER if getattr(self, name) == type(self).model_fields[name].default}
        unsaid |= {"ties"} if self.ties == "positive" else set()
        return self.model_dump(mode="json", by_alias=True, exclude=unsaid)

    @property
    def cut(self) -> float:
        """The least score of the positive class that makes a binary label positive."""
        return self.threshold if self.ties == "positive" else math.nextafter(self.threshold, 2.0)

    @property
    def numeric(self) -> bool:
        """Tell whether every feature is a float64 column."""
        return all(feature.type != "category" for feature in self.features)


def inputs_of(spec: ModelSpec) -> tuple[Input, ...]:
    """Return the input columns that a model spec declares."""
    return tuple(_input(feature) for feature in spec.data.features)


def _input(feature: Feature) -> Input:
    return Input(name=feature.name, type=feature.type, nullable=feature.nullable)


def runtimes_of(signature: Signature) -> tuple[str, ...]:
    """Return the runtimes beyond scikit-learn that loading the model needs."""
    return tuple(sorted({part.runtime for part in signature.parts} | {signature.runtime} - {SCIKIT_LEARN}))
