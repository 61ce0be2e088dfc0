"""How pages are laid out: one set of templates and styles, every value escaped and told on one line on its way."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modelops.clock import format_instant
from modelops.dashboard.telling import clean, typed
from modelops.markup import plain, shown
from modelops.serving.guard.visible import without_paths

__all__ = ["laying", "static"]


@cache
def static(path: str) -> bytes:
    """Return a file that pages load."""
    return files("modelops.dashboard").joinpath(path).read_bytes()


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _instant(value: datetime | str | None, day: bool = False) -> Markup:
    """Return an instant that people and machines read."""
    if value is None or value == "":
        return Markup("–")
    text = value if isinstance(value, str) else format_instant(value)
    said = text[:10] if day else text.replace("T", " ").removesuffix("Z")[:16] + " UTC"
    return Markup('<time datetime="{}">{}</time>').format(plain(text), plain(said))


def _lines(value: str) -> Markup:
    """Return a text with its line breaks."""
    return Markup.escape(without_paths(shown(value)))


@cache
def laying() -> Environment:
    """Return the templates with their filters."""
    environment = Environment(
        loader=PackageLoader("modelops.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "instant": _instant, "lines": _lines, "typed": typed}
    return environment
