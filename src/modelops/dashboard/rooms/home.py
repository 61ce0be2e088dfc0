"""Home: every model in every environment, what hurts first, with the ways to find one among many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelops.dashboard import links
from modelops.dashboard.look import Look
from modelops.dashboard.rooms import Room
from modelops.dashboard.standing import HURTING, ORDER, WORDS, Row, Standing
from modelops.reconcile.status import EnvironmentStatus
from modelops.serving.guard.visible import Sight

__all__ = ["FACETS", "PER_PAGE", "home"]

PER_PAGE = 100
_ATTENTION = 8
_CHOICES = 12
_PATH = re.compile(r"(?P<where>index|by/(?P<kind>[a-z]+)/[a-z0-9./-]+?)(\.(?P<page>[1-9][0-9]{0,4}))?\.html")

FACETS: Mapping[str, Callable[[Row], Iterable[str]]] = {
    "condition": lambda row: {one.kind for one in row.seats.values()} or {"none"},
    "environment": lambda row: [name for name, one in row.seats.items() if one.arms],
    "team": lambda row: [row.team] if row.team else [],
    "owner": lambda row: [row.owner] if row.owner else [],
    "risk": lambda row: [row.risk] if row.risk else [],
}
"""By what models are told apart, and what of it each has."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a facet: what it is called, how many models have it, and where they are."""

    name: str
    count: int
    page: str
    chosen: bool


def home(look: Look, rows: Sequence[Row], sight: Sight, here: str = links.HOME, asked: str = "") -> Room | None:
    """Return a page of models, of all or of those that have one thing in common; None where there is no such page."""
    path = _PATH.fullmatch(here)
    if path is None or path["kind"] not in (None, *FACETS):
        return None
    kind, page = path["kind"] or "", int(path["page"] or 1)
    seen = [row for row in rows if sight.has(row.model)]
    named = {links.facet(kind, each): each for row in seen for each in FACETS[kind](row)} if kind else {}
    value = named.get(f"{path['where']}.html", "")
    if kind and not value:
        return None
    chosen = [row for row in seen if value in FACETS[kind](row)] if kind else seen
    found = [row for row in chosen if _matches(row, asked)] if asked else chosen
    pages = max(1, -(-len(found) // PER_PAGE))
    if not 1 <= page <= pages:
        return None
    hurting = (
        [] if kind or asked or page > 1 else [one for row in found for one in row.seats.values() if one.rank < HURTING]
    )
    title = f"{_words(kind, value)}" if kind else "Models"
    return Room(
        "home.html",
        title,
        {
            "rows": found[(page - 1) * PER_PAGE : page * PER_PAGE],
            "environments": look.environments,
            "counts": [(each, WORDS[each], _count(seen, each)) for each in ORDER],
            "facets": _facets(seen, kind, value),
            "facet": (kind, value),
            "facet_title": title,
            "attention": sorted(hurting, key=lambda one: one.rank)[:_ATTENTION],
            "more": max(0, len(hurting) - _ATTENTION),
            "moving": [] if kind or asked or page > 1 else _moving(found),
            "used": {name for row in seen for name in FACETS["environment"](row)},
            "waivers": {one.environment: _waivers(one, sight) for one in look.environments},
            "violations": look.violations if sight.models is None else (),
            "found": len(found),
            "total": len(seen),
            "page": page,
            "pages": pages,
            "asked": asked,
            "retired": [name for name in look.retired if sight.has(name)] if page == pages and not kind else [],
        },
    )


def _waivers(environment: EnvironmentStatus, sight: Sight) -> int:
    """Return how many waivers of an environment are for some model that a key may see."""
    return sum(sight.models is None or any(map(sight.has, one.spec.models)) for one in environment.waivers)


def _words(kind: str, value: str) -> str:
    return f"{kind.capitalize()}: {WORDS.get(value, value) if kind == 'condition' else value}"  # type: ignore[call-overload]


def _count(rows: Sequence[Row], kind: str) -> int:
    return sum(row.kind == kind for row in rows)


def _moving(rows: Sequence[Row]) -> list[Standing]:
    return [one for row in rows for one in row.seats.values() if one.kind == "trial"][:_ATTENTION]


def _matches(row: Row, asked: str) -> bool:
    text = f"{row.model} {row.owner} {row.risk} {row.description}".casefold()
    return all(word in text for word in asked.casefold().split())


def _facets(rows: Sequence[Row], kind: str, value: str) -> dict[str, list[Choice]]:
    found = {}
    for name, values in FACETS.items():
        counts = Counter(each for row in rows for each in values(row))
        by_count = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_CHOICES]
        chosen = [(value, counts[value])] if kind == name and (value, counts[value]) not in by_count else []
        found[name] = [
            Choice(each, count, links.facet(name, each), (name, each) == (kind, value))
            for each, count in [*by_count, *chosen]
        ]
    return {name: choices for name, choices in found.items() if len(choices) > 1 or name == kind}
