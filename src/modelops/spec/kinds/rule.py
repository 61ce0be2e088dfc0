"""kind: Rule — an expression in CEL that specs must satisfy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelops.spec import layout
from modelops.spec.meta import Risk, Strict

PLACE = layout.RULE


class RuleMatch(Strict):
    """Which resources a rule looks at."""

    kind: str
    risk: tuple[Risk, ...] = ()


class RuleSpec(Strict):
    """The spec of a Rule: a CEL expression over ``resource`` (the whole document) that must be true."""

    match: RuleMatch
    expression: str = Field(min_length=1, max_length=4096)
    message: str = Field(min_length=1)
    severity: Literal["error", "warning"] = "error"
