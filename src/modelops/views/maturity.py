"""How mature a repository and its models are, what is missing for the next level, and the command that gets it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelops.markup import plain
from modelops.maturity import LEVELS, Criterion, Maturity, Report

_COLOURS = ("#b3261e", "#a85800", "#7a6a00", "#1f6feb", "#1a7f37")
_LABEL = "MLOps maturity"


def text(found: Report) -> str:
    """Return the levels, and for each what is missing for the next one; what git cannot know is listed last."""
    lines = [f"level {found.level} of 4: {LEVELS[found.level]}", *_lines(found.repository, "the repository")]
    for one in found.models:
        lines += _lines(one, one.subject if one.subject in found.running else f"{one.subject} (runs nowhere)")
    unseen = _unseen(found)
    return "\n".join([*lines, *([f"not observable in git: {'; '.join(unseen)}"] if unseen else [])])


def _lines(one: Maturity, name: str) -> list[str]:
    lines = [f"{plain(name)}: level {one.level}"]
    for each in one.missing:
        lines.append(f"  for level {each.level} is missing: {plain(_lower(each.what))} ({plain(each.found)})")
        lines += [f"    {plain(each.how)}"] if each.how else []
    if not one.missing and one.level < len(LEVELS) - 1:
        lines.append(f"  for level {one.level + 1} nothing can be shown yet")
    return lines


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _unseen(found: Report) -> list[str]:
    every = [found.repository, *found.models]
    return list(dict.fromkeys(plain(_lower(each.what)) for one in every for each in one.criteria if each.holds is None))


def data(found: Report) -> dict[str, Any]:
    """Return the levels with every criterion; ``holds`` is null where git cannot know."""
    return {
        "commit": found.commit,
        "level": found.level,
        "repository": _data(found.repository),
        "models": [{"model": one.subject, "runs": one.subject in found.running, **_data(one)} for one in found.models],
    }


def _data(one: Maturity) -> dict[str, Any]:
    return {"level": one.level, "criteria": [_criterion(each) for each in one.criteria]}


def _criterion(each: Criterion) -> dict[str, Any]:
    return {
        "level": each.level,
        "key": each.key,
        "what": each.what,
        "holds": each.holds,
        "found": each.found,
        "how": each.how if each.holds is False else None,
    }


def badge_json(found: Report) -> str:
    """Return the level in the form that badge services read from an address."""
    said = {"schemaVersion": 1, "label": _LABEL, "message": f"level {found.level}", "color": _COLOURS[found.level]}
    return json.dumps(said, indent=1) + "\n"


def badge_svg(found: Report) -> str:
    """Return the level as a picture for a README."""
    said, colour = f"level {found.level}", _COLOURS[found.level]
    parts: Sequence[str] = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="152" height="20" role="img" aria-label="{_LABEL}: {said}">',
        f"<title>{_LABEL}: {said}</title>",
        '<clipPath id="r"><rect width="152" height="20" rx="3"/></clipPath>',
        '<g clip-path="url(#r)"><path fill="#444c56" d="M0 0h104v20H0z"/>',
        f'<path fill="{colour}" d="M104 0h48v20h-48z"/></g>',
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">',
        f'<text x="52" y="14">{_LABEL}</text><text x="128" y="14">{said}</text></g></svg>',
    )
    return "\n".join(parts) + "\n"
