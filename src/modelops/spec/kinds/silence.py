"""kind: Silence — what nobody is told of for a while, and why; merging it is the agreement to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from modelops.clock import end_of_day, format_instant, parse_instant
from modelops.errors import ModelOpsError, Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.kinds.alert_policy import TIERS, Happening, owners_of, unknown_owners
from modelops.spec.meta import Strict
from modelops.spec.resource import Resource, at

PLACE = layout.SILENCE
STALLS = False


def _moment(text: str) -> str:
    try:
        if "T" in text:
            if format_instant(parse_instant(text)) == text:
                return text
        elif date.fromisoformat(text).isoformat() == text:
            return text
    except (ValueError, ModelOpsError):
        pass
    raise ValueError(f"{text!r} is neither a day nor an instant: write 2026-04-30 or 2026-04-30T18:00:00Z")


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("it says nothing: write why nobody has to be told")
    return text


Moment = Annotated[str, AfterValidator(_moment)]


class SilenceSpec(Strict):
    """The spec of a Silence: what fits all of ``models``, ``environments``, ``owners`` and ``events`` is not sent.

    One of these has to be said, so that nobody silences everything by saying nothing. It counts from ``begins`` to the
    end of ``expires``, in UTC. What lasts longer is told then. What was told before is not repeated meanwhile, and its
    end is told. Nothing else changes: the cause stands in ``status``.
    """

    models: tuple[str, ...] = Field(default=("*",), min_length=1, description="models by name, or * for all")
    environments: tuple[str, ...] = Field(default=("*",), min_length=1, description="names, or * for all")
    owners: tuple[str, ...] = Field(default=("*",), min_length=1, description="`spec.owner` of models, or * for all")
    events: tuple[Happening, ...] = Field(default=tuple(TIERS), min_length=1, description="what is not told")
    reason: Annotated[str, AfterValidator(_said)] = Field(min_length=1, description="why nobody has to be told")
    begins: Moment | None = Field(default=None, description="a day or an instant, at which it begins to count")
    expires: Moment = Field(description="the last day on which it counts, or the instant at which it ends")

    @model_validator(mode="after")
    def _about_something(self) -> Self:
        if not self.model_fields_set & {"models", "environments", "owners", "events"}:
            raise ValueError('it is about everything: name models, environments, owners or events, or `models: ["*"]`')
        return self

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.begins is not None and self.starts >= self.ends:
            raise ValueError(f"it begins at {self.begins}, not before it expires at {self.expires}")
        return self

    @property
    def starts(self) -> datetime:
        """When it begins to count."""
        return parse_instant(self.begins or "0001-01-01")

    @property
    def ends(self) -> datetime:
        """When it ceases to count; of a day, with its end."""
        return parse_instant(self.expires) if "T" in self.expires else end_of_day(self.expires)

    def counts(self, now: datetime) -> bool:
        """Tell whether it is in force."""
        return self.starts <= now < self.ends

    def covers(self, event: Happening, model: str, environment: str, owner: str) -> bool:
        """Tell whether it is about something, whether or not it is in force."""
        asked = ((self.models, model), (self.environments, environment), (self.owners, owner))
        return event in self.events and all("*" in names or name in names for names, name in asked)


def problems(silence: Resource[SilenceSpec], around: Around) -> Iterator[Problem]:
    """Yield the models, environments and owners that are named and do not exist."""
    spec, known = silence.spec, around.known
    for field, given, there, what in (
        ("models", spec.models, known.models, "model"),
        ("environments", spec.environments, known.all("Environment"), "environment"),
    ):
        for index, name in enumerate(given):
            if name != "*" and name not in there:
                hint = f"{nearest(name, [*there, '*'], what + 's')}; a silence of what is gone goes with it"
                where = f"spec.{field}[{index}]"
                yield at(silence, where, "unknown-scope", f"there is no {what} {name!r}", hint)
    yield from unknown_owners(silence, owners_of(around))
