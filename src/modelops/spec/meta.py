"""What all kinds share: the strict base model, names, digests and the envelope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

API_VERSION = "modelops/v1"


class Strict(BaseModel):
    """A frozen record with camelCase keys that refuses unknown keys and never converts one type into another."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )


Name = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="kebab-case, 1 to 63 characters")
]
ModelName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,3}$",
        description="path below models/, kebab-case segments",
    ),
]
Origin = Annotated[
    str,
    Field(
        pattern=r"^(\*|https?://[a-z0-9.\[\]:-]*[a-z0-9\]])$",
        description="an origin as browsers spell it, such as https://app.example, or * for all",
    ),
]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="sha256: and 64 hexadecimal digits")]
GitId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$", description="full git object id")]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Scalar = str | int | float | bool | None
FeatureType = Literal["number", "integer", "boolean", "category", "datetime"]
Risk = Literal["minimal", "limited", "high"]
ReleaseNumber = Annotated[int, Field(ge=1)]
LONGEST_DAYS = 36_525
"""A hundred years: a longer time is no date any more when it is counted from today."""
MOST_ARMS = 8
"""How many releases may take part in a rollout, the stable one among them."""
VerdictWord = Literal["pass", "fail", "inconclusive", "no-data"]


class Metadata(Strict):
    """The envelope's metadata; ``name`` equals the file's place in the tree."""

    name: str = Field(min_length=1, max_length=253)
    annotations: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Shelf:
    """Marks a field of a kind that names plugins of a shelf."""

    name: str


class Plugin(Strict):
    """A reference to one file of a shelf: ``type`` is the file name, ``params`` what its Params accepts."""

    type: Name
    params: dict[str, object] = {}
