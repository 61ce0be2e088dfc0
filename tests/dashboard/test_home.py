"""Finding one model among many: what hurts first, by what they have in common, page by page, with few bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dashboard.conftest import Site
from modelops.dashboard import links
from modelops.dashboard.rooms.home import PER_PAGE, home
from modelops.dashboard.standing import ORDER, Kind, Row, Standing, _order
from modelops.serving.guard.visible import ALL, Sight
from modelops.spec.layout import Seat

THEN = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Seen:
    """As much of a look as home asks for."""

    environments: tuple[Any, ...] = ()
    violations: tuple[Any, ...] = ()
    retired: dict[str, Any] = field(default_factory=dict)


def row(name: str, kind: Kind, days: int = 0, owner: str = "ada") -> Row:
    seat = Standing(Seat(name, "production"), kind, {"stable": 1}, False, "", "", THEN + timedelta(days=days))
    return Row(name, owner, "limited", f"What {name} is for", {"production": seat})


def many(count: int) -> list[Row]:
    return [row(f"team-{n % 3}/m{n:04}", ORDER[n % 6], n, f"owner-{n % 40}") for n in range(count)]


def test_what_hurts_most_and_longest_is_first() -> None:
    """Stalled comes before down, an alert before what moves, and of two the one that stands so longer."""
    rows = [
        row("b", "ready"),
        row("late", "stalled", 5),
        row("early", "stalled", 1),
        row("a", "ready"),
        row("x", "trial"),
    ]
    assert [one.model for one in sorted(rows, key=_order)] == ["early", "late", "x", "a", "b"]


def test_pages_hold_every_model_once() -> None:
    """However many there are, they are on pages of a hundred, and there is no page after the last."""
    rows, seen, at = many(250), [], 1
    while (found := home(Seen(), rows, ALL, links.facet("", "", at))) is not None:  # type: ignore[arg-type]
        assert len(found.shown["rows"]) <= PER_PAGE
        seen += [one.model for one in found.shown["rows"]]
        at += 1
    assert (seen, at) == ([one.model for one in rows], 4)


def test_a_facet_has_exactly_its_models() -> None:
    """Team, owner, risk, condition and environment lead to the models that have them, and to no others."""
    rows = many(250)
    front = home(Seen(), rows, ALL)  # type: ignore[arg-type]
    assert front is not None
    assert set(front.shown["facets"]) == {"condition", "team", "owner"}
    for kind, choices in front.shown["facets"].items():
        for choice in choices:
            found = home(Seen(), rows, ALL, choice.page)  # type: ignore[arg-type]
            assert found is not None
            assert found.shown["found"] == choice.count, (kind, choice)
    team = home(Seen(), rows, ALL, links.facet("team", "team-1"))  # type: ignore[arg-type]
    assert team is not None
    assert {one.team for one in team.shown["rows"]} == {"team-1"}


def test_odd_names_have_pages_of_their_own() -> None:
    """What is no name of a kind is a page all the same, and no two share one."""
    odd = ["<script>", "a b", "A b", "x" * 300, "..", "שלום", "a/../b", "\udcff"]
    paths = [links.facet("owner", name) for name in odd] + [links.model(name) for name in odd]
    assert len(set(paths)) == len(paths)
    assert all(len(part) < 100 and part not in ("..", ".") for path in paths for part in path.split("/"))
    rows = [row(f"m{n}", "ready", 0, name) for n, name in enumerate(odd)]
    for name in odd:
        found = home(Seen(), rows, ALL, links.facet("owner", name))  # type: ignore[arg-type]
        assert found is not None
        assert [one.owner for one in found.shown["rows"]] == [name]


def test_words_are_found_whatever_their_case() -> None:
    """Every word must be there: in the name, the owner, the risk or what it is for."""
    rows = [row("churn", "ready", owner="Ada"), row("fraud", "ready", owner="grace")]
    for asked, expected in (
        ("ADA", ["churn"]),
        ("for fraud", ["fraud"]),
        ("limited", ["churn", "fraud"]),
        ("ada fraud", []),
    ):
        found = home(Seen(), rows, ALL, asked=asked)  # type: ignore[arg-type]
        assert found is not None
        assert [one.model for one in found.shown["rows"]] == expected


def test_a_thousand_models_weigh_little(site: Site) -> None:
    """The first page of a thousand models stays below 200 KB, whatever they are called."""
    look = site.pages.house.look()
    environments = look.environments
    rows = [
        Row(
            f"team-{n % 30}/{'long-' * 8}{n}",
            "o" * 60,
            "limited",
            "d" * 300,
            {
                one.environment: Standing(
                    Seat(f"m{n}", one.environment), "stalled", {"stable": 1}, False, "x", "y" * 500, THEN
                )
                for one in environments
            },
        )
        for n in range(1000)
    ]
    before, site.pages._rows = site.pages._rows, (look, tuple(rows))
    try:
        assert len(site.get().html.encode()) < 200_000
    finally:
        site.pages._rows = before


def test_nobody_counts_what_a_key_may_not_see() -> None:
    """Counts, facets and pages are those of the models that a key may see."""
    rows = many(30)
    found = home(Seen(), rows, Sight(frozenset({"team-1/m0001", "team-2/m0002"})))  # type: ignore[arg-type]
    assert found is not None
    assert (found.shown["total"], sum(many for _, _, many in found.shown["counts"])) == (2, 2)
    assert {one.name for one in found.shown["facets"]["team"]} == {"team-1", "team-2"}
