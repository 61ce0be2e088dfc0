"""Which places a snapshot's source may name: the repository, https, and what the Project lists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from modelops.spec.layout import STATE

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
PRIVATE = (".git", STATE)
"""Folders of the repository that hold no data: history, and keys."""


def refusal(location: str, allowed: Iterable[str]) -> tuple[str, str] | None:
    """Return why a source may not be at ``location`` and a hint; None where it may.

    ``allowed`` are the prefixes that the Project lists as ``dataLocations``. Links are not followed here.
    """
    found = _SCHEME.fullmatch(location)
    scheme = found[1].lower() if found else ""
    if scheme == "https":
        return None
    parts = (unquote(location) if scheme else location).split("/")
    if ".." in parts:
        return f"the location {location!r} leads out of its folder", "name the folder itself, without `..`"
    if not scheme and not location.startswith("/"):
        first = next((part for part in parts if part not in ("", ".")), "")
        if first.lower() not in PRIVATE:
            return None
        return f"the location {location!r} is not for data", "keep data in another folder of the repository"
    place = folder(location)
    if any(place.startswith(folder(prefix)) for prefix in allowed):
        return None
    said = f"the data lie at {location}, outside of the repository"
    return said, f"allow it in policies/project.yaml, below `spec:`, as `dataLocations: [{place}]`"


def folder(location: str) -> str:
    """Return a location in the one spelling that prefixes are compared in: a file URL as its path, with a slash."""
    found = _SCHEME.fullmatch(location)
    if found is None or found[1].lower() == "file":
        path = location if found is None else "/" + unquote(found[2]).partition("/")[2]
        return "/" + "".join(f"{part}/" for part in path.split("/") if part not in ("", "."))
    return f"{found[1].lower()}://{found[2].rstrip('/')}/"
