"""Who can write the checks that a merge has to have: the App alone, Actions for whoever may push, or anybody."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from modelops.forges import Point
from modelops.forges.github.living import Living, Unseen, required_contexts, ruled_contexts

__all__ = ["writers"]

_NAME = "check-writers"
_OPEN = (
    "if that is the one of Actions, a workflow of any branch that somebody may push can write them: they guard "
    "GitHub's button, and modelops goes by the reviews; an App of your own closes that"
)


def writers(living: Living, names: Sequence[str], apps: Collection[str], at: str, branch: str, create: str) -> Point:
    """Say from whom the required checks ``names`` count.

    ``apps`` are the numbers of the App, none where there is no App; ``create`` is the command that makes the rules.
    """
    contexts = required_contexts(living)
    free = [name for name in names if contexts[name] is None]
    if apps:
        others = [name for name in names if str(contexts[name]) not in apps]
        if not others:
            return Point(_NAME, "holds", "they count from the App alone, whose key only jobs of the branch have")
        known = [f"{name} counts from {_who(contexts[name])}" for name in others]
        said = f"{', '.join(known)}, so a workflow of any branch that somebody may push can write it"
        return Point(_NAME, "fails", said, _pinned(living, others, min(apps), at, branch))
    if free:
        said = "anybody who may write can write {}, by a token of their own or a workflow of their branch"
        mend = f"{create} (integration_id: gh api apps/github-actions --jq .id)"
        return Point(_NAME, "fails", said.format(" and ".join(free)), mend)
    return Point(_NAME, "holds", f"they count from {_who(contexts[names[0]])}; {_OPEN}")


def _who(app: object) -> str:
    return "anybody" if app is None else f"app {app}"


def _pinned(living: Living, names: Sequence[str], app: str, at: str, branch: str) -> str:
    """Return the command that lets checks count from one app alone, and changes nothing else."""
    ruled = ruled_contexts(living)
    if not all(name in ruled for name in names):
        required = {**required_contexts(living), **dict.fromkeys(names, int(app))}
        body = {"checks": [{"context": name, **_app(one)} for name, one in required.items()]}
        place = f"{at}/branches/{branch}/protection/required_status_checks"
        return f"gh api -X PATCH {place} --input - <<< '{json.dumps(body)}'"
    rule = _rule_of(living, names[0])
    path = f"{at}/rulesets/{rule.get('ruleset_id')}"
    if rule.get("ruleset_source_type") == "Organization":
        path = f"orgs/{rule.get('ruleset_source')}/rulesets/{rule.get('ruleset_id')}"
    chosen = " or ".join(f'.context == "{name}"' for name in names)
    change = (
        "{name, target, enforcement, bypass_actors, conditions, rules} | "
        f"(.rules[].parameters.required_status_checks[]? | select({chosen})).integration_id = {app}"
    )
    return f"gh api {path} | jq '{change}' | gh api -X PUT {path} --input -"


def _app(number: object) -> dict[str, object]:
    return {} if number is None else {"app_id": number}


def _rule_of(living: Living, name: str) -> Mapping[str, Any]:
    rules = living.rules if not isinstance(living.rules, Unseen) else ()
    for rule in rules:
        required = (rule.get("parameters") or {}).get("required_status_checks") or ()
        if rule.get("type") == "required_status_checks" and name in {str(one.get("context")) for one in required}:
            return rule
    return {}
