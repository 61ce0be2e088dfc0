"""From a path to a page: the same pages for a browser and for a folder, every value escaped on its way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from modelops import __version__
from modelops.dashboard import links
from modelops.dashboard.laying import laying, static
from modelops.dashboard.live import PATH
from modelops.dashboard.look import House, Look
from modelops.dashboard.rooms import Room
from modelops.dashboard.rooms.audit import is_asked, questions
from modelops.dashboard.rooms.commit import commit
from modelops.dashboard.rooms.home import home
from modelops.dashboard.rooms.maturity import maturity
from modelops.dashboard.rooms.model import model
from modelops.dashboard.rooms.release import release
from modelops.dashboard.rooms.runs import runs
from modelops.dashboard.rooms.seat import seat
from modelops.dashboard.standing import Row, standings_of
from modelops.dashboard.telling import HIDDEN, about_all, hiding
from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError, Problem
from modelops.serving.guard.visible import ALL, Sight

__all__ = ["LIVE", "STATIC", "Page", "Pages", "static"]

STATIC: Mapping[str, str] = {
    "static/style.css": "text/css; charset=utf-8",
    "static/search.js": "text/javascript; charset=utf-8",
    "static/icon.svg": "image/svg+xml",
}
"""What pages load, by its type; there is nothing else that they do."""
LIVE: Mapping[str, str] = {"static/live.js": "text/javascript; charset=utf-8"}
"""What pages load besides where they are served: a folder has nothing that changes."""
_MARK = '<body data-seen="">'
_LAST = re.compile(r"<footer.*?</footer>", re.DOTALL)
_PAGE = re.compile(r"(?P<room>model|release|seat|commit)/(?P<rest>[a-z0-9./-]+)\.html")


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it is sent: what to answer with, the text, and the pages of this site that it leads to.

    ``seen`` is a digest of what it shows, without when that was looked at.
    """

    status: int
    html: str
    leads: frozenset[str] = frozenset()
    seen: str = ""


def _ago(now: datetime) -> Callable[[datetime | None], str]:
    def told(value: datetime | None) -> str:
        if value is None:
            return ""
        seconds = (now - value).total_seconds()
        for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
            many = int(seconds // length)
            if many >= 1:
                return f"{many} {unit}{'s' * (many > 1)}"
        return "just now" if seconds >= 0 else ""

    return told


class Pages:
    """Every page of one repository, for whoever may see it; ``static`` ones answer no questions."""

    def __init__(self, house: House, *, static: bool = False) -> None:
        self.house = house
        self.static = static
        self.elsewhere = links.elsewhere(house.workspace)
        self._rows: tuple[Look, tuple[Row, ...]] | None = None

    def page(self, path: str, query: Mapping[str, str] | None = None, sight: Sight = ALL) -> Page:
        """Return a page, one that says what is wrong where nothing can be seen; the path has no leading slash."""
        try:
            look = self.house.look()
            if self._is_home(path):
                # The page that most people look at waits for nobody who asks for something long.
                room = self._home(look, path, query or {}, sight)
                return self._laid_out(room or _nothing(path), path, look, sight)
            with self.house.lock:
                room = self._room(look, path, query or {}, sight)
                return self._laid_out(room or _nothing(path), path, look, sight)
        except ModelOpsError as error:
            return self.trouble(path, about_all(error.problems, sight), 503, sight)

    def trouble(self, path: str, problems: tuple[Problem, ...], status: int, sight: Sight = ALL) -> Page:
        """Return a page that says what is wrong, and what to do."""
        room = Room("trouble.html", "Nothing to show", {"problems": problems}, status)
        return self._laid_out(room, path, None, sight)

    def follows(self, path: str, query: Mapping[str, str]) -> bool:
        """Tell whether a page is of what is seen; the answer to a question is given once."""
        return not self.static and not (path == "audit.html" and is_asked(query))

    def rows(self, look: Look) -> tuple[Row, ...]:
        """Return how every model stands, made once for a look, with everything that home asks git for."""
        known = self._rows
        if known is not None and known[0] is look:
            return known[1]
        with self.house.lock:
            if self._rows is None or self._rows[0] is not look:
                _ = look.retired
                self._rows = (look, standings_of(look))
            return self._rows[1]

    def _is_home(self, path: str) -> bool:
        return path == links.HOME or path.startswith(("by/", "index."))

    def _home(self, look: Look, path: str, query: Mapping[str, str], sight: Sight) -> Room | None:
        return home(look, self.rows(look), sight, path, "" if self.static else query.get("q", "").strip()[:200])

    def _room(self, look: Look, path: str, query: Mapping[str, str], sight: Sight) -> Room | None:
        if path == "audit.html":
            return questions(look, sight, {} if self.static else query)
        if path == "maturity.html":
            return maturity(look, sight)
        if path == "runs.html":
            return runs(look, sight, {} if self.static else query)
        found = _PAGE.fullmatch(path)
        if found is None:
            return None
        if found["room"] == "commit":
            return commit(look, found["rest"]) if sight.models is None else None
        return self._of_model(look, found["room"], path, sight)

    def _of_model(self, look: Look, kind: str, path: str, sight: Sight) -> Room | None:
        """Return the page of a model, or of something that it has; names are found, not taken from the path."""
        parts = path.removesuffix(".html").split("/")
        last = parts[-1]
        for name in look.names:
            if not sight.has(name):
                continue
            if kind == "model" and path == links.model(name):
                return model(look, name, path)
            if kind == "release" and last.isdigit() and len(last) < 10 and path == links.release(name, int(last)):
                return release(look, name, int(last))
            if kind == "seat" and path == links.seat(name, last):
                return seat(look, name, last, path)
        return None

    def _laid_out(self, room: Room, path: str, look: Look | None, sight: Sight) -> Page:
        leads: set[str] = set()

        def to(there: str) -> str:
            if there not in STATIC and there not in LIVE and there != PATH:
                leads.add(there)
            return links.relative(path, there)

        shown = {
            **room.shown,
            "title": room.title,
            "to": to,
            "links": links,
            "here": path,
            "look": look,
            "static": self.static,
            # What is not there, or cannot be seen, is no page to follow, and neither is the answer to a question.
            "follows": (follows := not self.static and look is not None and room.status == 200 and room.follows),
            "sight": sight,
            "elsewhere": self.elsewhere,
            "ago": _ago(look.now) if look is not None else lambda value: "",
            "trouble": about_all(self.house.trouble, sight),
            "kept_back": HIDDEN,
            "version": __version__,
        }
        names = {**look.names, **look.retired} if look is not None and sight.models is not None else ()
        with hiding(sight, names):
            html = laying().get_template(room.template).render(shown)
        seen = digest_bytes(_LAST.sub("", html).encode("utf-8", "surrogatepass"))
        html = html.replace(_MARK, f'<body data-seen="{seen}">' if follows else "<body>", 1)
        return Page(room.status, html, frozenset(leads), seen)


def _nothing(path: str) -> Room:
    return Room("nothing.html", "There is no such page", {"asked_for": path}, 404)
