"""What git held before: read without a schema, so that no old version of a file can block the present."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from modelops.errors import ModelOpsError
from modelops.spec.yaml import quick
from modelops.spec.yaml.text import SIZE_LIMIT, decode

_PLACE = ""
_KEYS = ("stable", "candidate", "challengers")


@lru_cache(maxsize=1 << 14)
def arms_then(data: bytes) -> Mapping[str, int] | None:
    """Return the releases that an old version of a Deployment named, by the arm that each was; stable first.

    Only the keys that name releases are looked at, and none of today's rules is asked. None when it cannot be told what
    they say, which claims nothing. Never raises: size and depth have the limits of any spec, aliases are not expanded.
    """
    if len(data) > SIZE_LIMIT:
        return None
    try:
        known = quick.read(data)
        spec = known.get("spec") if known is not None else _spec(decode(data, _PLACE))
        return _arms(spec) if isinstance(spec, Mapping) else None
    except (ModelOpsError, ValueError):
        return None


def _arms(spec: Mapping[str, Any]) -> Mapping[str, int]:
    stable, candidate, challengers = (spec.get(key) for key in _KEYS)
    if not isinstance(challengers, Sequence | None) or isinstance(challengers, str):
        raise ValueError("not a list")
    named = {"stable": stable, "candidate": candidate}
    named |= {f"challenger-{release}": release for release in sorted(map(_release, challengers or ()))}
    return {arm: _release(release) for arm, release in named.items() if release is not None}


def _release(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("not the number of a release")
    return value


def _spec(text: str) -> dict[str, Any]:
    """Return what the keys of ``spec`` that name releases hold, by the full reader; a key written twice is an error."""
    from modelops.spec.yaml.strict import compose, members, scalar

    found: dict[str, Any] = {}
    (spec,) = (node for key, node in members(compose(text, _PLACE)) if key == "spec")
    for key, node in members(spec):
        if key in found:
            raise ValueError(f"{key} is written twice")
        if key in _KEYS:
            found[key] = [scalar(item) for item in node.value] if isinstance(node.value, list) else scalar(node)
    return found
