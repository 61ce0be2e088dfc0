"""What regulations ask for, as data: items with their numbers, and dates with where they were read and when."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["Item", "Law", "annex_iv"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a document has to say.

    ``people`` says whether somebody has to write it: ``required`` where nothing that is measured answers it, ``more``
    where words may be added to what is.
    """

    id: str
    title: str
    asks: str
    people: str


@dataclass(frozen=True, slots=True)
class Law:
    """A list of items, the regulation that it is from, since when what applies, and who says so."""

    name: str
    source: str
    checked: str
    dates: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]


@cache
def annex_iv() -> Law:
    """Return the technical documentation that Annex IV of the EU AI Act asks of high-risk systems."""
    # Validating files needs none of it, and is quick without.
    import yaml

    found = yaml.safe_load(files(__name__).joinpath("annex_iv.yaml").read_text("utf-8"))
    return Law(
        found["name"],
        found["source"],
        str(found["checked"]),
        tuple((str(one["date"]), one["what"]) for one in found["dates"]),
        tuple(Item(**one) for one in found["items"]),
    )
