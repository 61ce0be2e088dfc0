"""What regulations and frameworks ask for, as data: items with their numbers, and dates with where they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["ANNEX_IV", "ASKED", "Item", "Law", "Technique", "annex_iv", "asked_of_people", "atlas", "law"]

ANNEX_IV = "annex-iv"
ASKED = ("fria", "instructions", "nist-ai-rmf", "post-market-plan")
"""The documents besides Annex IV whose items people can answer, by their kinds."""
_OF_NO_PEOPLE = "more"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a document has to say.

    ``people`` says whether somebody has to write it: ``required`` where nothing that is measured answers it, ``more``
    where words may be added to what is.
    """

    id: str
    title: str
    asks: str
    people: str = _OF_NO_PEOPLE


@dataclass(frozen=True, slots=True)
class Law:
    """A list of items, the text that it is from, since when what applies, and who says so and when it was read."""

    name: str
    source: str
    checked: str
    dates: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Technique:
    """An attack of MITRE ATLAS, and the controls of modelops that meet it, by their names."""

    id: str
    name: str
    controls: tuple[str, ...]


@cache
def law(kind: str) -> Law:
    """Return what a document of some kind has to say: ``annex-iv``, or one of ``ASKED``."""
    found = _read(kind)
    # The dates of a regulation stand in one file, whichever of its articles asks.
    of = {**_read(found["of"]), **found} if "of" in found else found
    return Law(
        of["name"],
        of["source"],
        str(of["checked"]),
        tuple((str(one["date"]), one["what"]) for one in of.get("dates", ())),
        tuple(Item(**one) for one in of["items"]),
    )


def annex_iv() -> Law:
    """Return the technical documentation that Annex IV of the EU AI Act asks of high-risk systems."""
    return law(ANNEX_IV)


def asked_of_people(kind: str) -> tuple[str, ...]:
    """Return the items of a document that people may answer, by their numbers."""
    return tuple(item.id for item in law(kind).items)


@cache
def atlas() -> tuple[str, tuple[Technique, ...]]:
    """Return the version of MITRE ATLAS that is known here, and its techniques against models and their supply."""
    found = _read("atlas")
    listed = (Technique(one["id"], one["name"], tuple(one["controls"])) for one in found["techniques"])
    return str(found["version"]), tuple(listed)


def _read(kind: str) -> Mapping[str, Any]:
    # Validating files needs none of it, and is quick without.
    import yaml

    found: Mapping[str, Any] = yaml.safe_load(
        files(__name__).joinpath(f"{kind.replace('-', '_')}.yaml").read_text("utf-8")
    )
    return found
