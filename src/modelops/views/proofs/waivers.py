"""Exceptions from gates and rules: which there are, how they stand, and which did not count where one was needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelops.governance.waivers import Standing
from modelops.markup import plain


def text(found: Sequence[Standing]) -> str:
    """Return a line for each waiver, empty where there is none."""
    return "\n".join(["waivers:", *(f"  {plain(line(one))}" for one in found)]) if found else ""


def line(one: Standing) -> str:
    """Return a waiver: from what, for whom, how long still, by whom."""
    where = "" if "*" in one.spec.environments else f" in {', '.join(one.spec.environments)}"
    which = f" release {', '.join(map(str, one.spec.releases))}" if one.spec.releases else ""
    about = f"{one.name}: {one.spec.of} of {', '.join(one.spec.models)}{which}{where}"
    if not one.counts:
        return f"{about}: does not count, {one.why}"
    pull = f" in pull request {one.granted.pull}" if one.granted.pull is not None else ""
    left = "until today" if one.days_left == 0 else f"{one.days_left} day{'' if one.days_left == 1 else 's'} left"
    return f"{about}: in force until {one.spec.expires} ({left}), granted by {', '.join(one.granted.by)}{pull}"


def unheard(one: Standing) -> str:
    """Return why a waiver does not let a verdict through that it is about."""
    return f"the waiver {one.name} of {one.spec.of} does not count: {one.why}"


def row(one: Standing) -> dict[str, Any]:
    """Return a waiver and how it stands."""
    return {
        "name": one.name,
        "path": one.path,
        "digest": one.digest,
        **one.spec.model_dump(mode="json", by_alias=True),
        "state": one.state,
        "why": one.why,
        "daysLeft": one.days_left,
        "grantedBy": list(one.granted.by),
        "commit": one.granted.commit,
        "pullRequest": one.granted.pull,
    }
