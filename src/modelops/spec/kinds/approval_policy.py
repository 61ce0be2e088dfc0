"""kind: ApprovalPolicy — who may approve what, and how many must."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.meta import LONGEST_DAYS, Risk, Strict
from modelops.spec.resource import Resource, at

PLACE = layout.APPROVALS
TEAM = "team:"
"""What a team of the forge begins with; its members are the forge's to say."""
_TEAM_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


class ApprovalRule(Strict):
    """Who may approve which change, and how many must; waivers, where no rule names them, as policies."""

    change: Literal["promotion", "model", "policy", "waiver"]
    environments: tuple[str, ...] = Field(default=("*",), description="names, or * for all; only for promotions")
    risk: tuple[Risk, ...] = ("minimal", "limited", "high")
    approvers: tuple[str, ...] = Field(
        min_length=1, description="logins, id:<id> for one who may be renamed, team:<name> on a forge, or group:<name>"
    )
    minimum: Annotated[int, Field(ge=0)] = 1
    expires_days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] | None = Field(
        default=None, description="after so many days an approval counts no more; else as the policy says"
    )


class ApprovalPolicySpec(Strict):
    """The spec of the ApprovalPolicy; every rule that matches a change must be met, and no match means no."""

    groups: dict[str, tuple[str, ...]] = {}
    expires_days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] | None = Field(
        default=None, description="for rules that do not say it themselves; without it approvals do not expire"
    )
    rules: tuple[ApprovalRule, ...] = Field(min_length=1)


def problems(approvals: Resource[ApprovalPolicySpec], around: Around) -> Iterator[Problem]:
    """Yield what is wrong with the people, groups and environments that the rules name."""
    groups = approvals.spec.groups
    for index, rule in enumerate(approvals.spec.rules):
        where = f"spec.rules[{index}]"
        people: set[str] = set()
        for position, approver in enumerate(rule.approvers):
            group = approver.removeprefix("group:")
            named = (approver,) if group == approver else groups.get(group)
            if named is not None:
                people.update(named)
                for name in named:
                    yield from _team(approvals, f"{where}.approvers[{position}]", name)
                    # How many are in it only the forge can say.
                    people.update(str(number) for number in range(rule.minimum) if name.startswith(TEAM))
            else:
                said = f"there is no group {group!r}"
                hint = nearest(group, groups, "groups")
                yield at(approvals, f"{where}.approvers[{position}]", "unknown-group", said, hint)
                people.update(str(number) for number in range(rule.minimum))
        if len(people) < rule.minimum:
            said = f"{rule.minimum} approvals are asked of {len(people)} people"
            yield at(approvals, where, "unmeetable-rule", said, "name more approvers, or ask for fewer")
        for position, name in enumerate(rule.environments):
            if name != "*" and not around.known.has("Environment", None, name):
                said = f"there is no environment {name!r}"
                hint = nearest(name, [*around.known.all("Environment"), "*"], "environments")
                yield at(approvals, f"{where}.environments[{position}]", "unknown-environment", said, hint)


def _team(approvals: Resource[ApprovalPolicySpec], where: str, name: str) -> Iterator[Problem]:
    """Yield why a name cannot be a team's: the forge is asked for it by its name in addresses."""
    if name.startswith(TEAM) and not _TEAM_NAME.fullmatch(name.removeprefix(TEAM)):
        hint = "the name that its address on the forge ends with, as in team:ml-leads, without the organisation"
        yield at(approvals, where, "bad-team", f"{name!r} names no team", hint)
