"""Where pages lie, and how one leads to another: relative, so that a page works served, in a folder and in Pages."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass

from modelops import forges
from modelops.errors import ModelOpsError
from modelops.project.workspace import Workspace

__all__ = ["HOME", "Elsewhere", "commit", "elsewhere", "facet", "model", "relative", "release", "seat"]

HOME = "index.html"
_NAME = re.compile(r"[a-z0-9-]{1,63}(/[a-z0-9-]{1,63}){0,3}")


def _words(name: str) -> str:
    """Return a name as part of a path; one that no kind allows, and that a wrong file has, by its digest."""
    return name if _NAME.fullmatch(name) else "x." + hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def model(name: str) -> str:
    """Return the page of a model."""
    return f"model/{_words(name)}.html"


def release(name: str, number: int) -> str:
    """Return the page of a release."""
    return f"release/{_words(name)}/{number}.html"


def seat(name: str, environment: str) -> str:
    """Return the page of a model in an environment: its timeline."""
    return f"seat/{_words(name)}/{_words(environment)}.html"


def commit(id: str) -> str:
    """Return the page of a commit."""
    return f"commit/{id}.html"


def facet(kind: str, value: str, page: int = 1) -> str:
    """Return a page of the models that have one thing in common; without a kind, of all of them."""
    where = f"by/{kind}/{_words(value)}" if kind else "index"
    return f"{where}.html" if page == 1 else f"{where}.{page}.html"


def relative(here: str, there: str) -> str:
    """Return the link from one page to another."""
    return posixpath.relpath(there, posixpath.dirname(here) or ".")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where the forge shows commits and pull requests to people; None where it shows none, as the embedded one."""

    root: str | None = None

    def commit(self, id: str) -> str | None:
        """Return the forge's page of a commit."""
        return f"{self.root}/commit/{id}" if self.root else None

    def pull(self, number: int) -> str | None:
        """Return the forge's page of a pull request."""
        return f"{self.root}/pull/{number}" if self.root else None


def elsewhere(workspace: Workspace) -> Elsewhere:
    """Return where the project's forge has pages, if it has any."""
    try:
        bound = forges.bind(workspace.project.forge, workspace.settings.resource, "spec.forge")
    except ModelOpsError:
        return Elsewhere()
    pages = getattr(bound.module, "pages", None)
    return Elsewhere(pages(bound.params) if pages is not None else None)
