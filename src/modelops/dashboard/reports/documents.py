"""A document about a release as one page, for the screen and for paper."""

from __future__ import annotations

from modelops.dashboard.reports.sheet import page
from modelops.documents import Paper

__all__ = ["document"]


def document(paper: Paper) -> str:
    """Return the page of a document; equal documents give equal bytes, and every value in it is text."""
    return page("document.html", paper=paper)
