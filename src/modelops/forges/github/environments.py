"""Who may use an environment of a repository, and what its jobs wait for."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from modelops.forges.github.living import Living, Unseen

__all__ = ["NO_WAIT", "branches_of", "held_by", "restrict", "told"]

NO_WAIT = json.dumps(
    {
        "wait_timer": 0,
        "reviewers": None,
        "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True},
    }
)
"""What takes reviewers and timer away; what is left out of it GitHub would take away as well."""
EVERY_PROTECTED = "every protected branch"
_WAITS = {"required_reviewers": "a reviewer", "wait_timer": "a timer"}


def branches_of(living: Living, environment: str) -> frozenset[str] | Unseen | None:
    """Return the branches that may use an environment; None is every one."""
    assert not isinstance(living.environments, Unseen), "it is one of them"
    policy = living.environments[environment].get("deployment_branch_policy")
    if not policy:
        return None
    if policy.get("custom_branch_policies"):
        return living.branch_policies.get(environment, Unseen("actions: read"))
    return frozenset({EVERY_PROTECTED})


def told(reach: Collection[str] | None) -> str:
    """Return branches in words."""
    return ", ".join(sorted(reach)) if reach else "every branch"


def restrict(repository: str, branch: str, environment: str, reach: Collection[str] | None = None) -> str:
    """Return the commands that keep an environment to one branch, where ``reach`` can use it now."""
    at = f"repos/{repository}/environments/{environment}"
    policies = f"{at}/deployment-branch-policies"
    words = [
        f"gh api -X PUT {at} -F 'deployment_branch_policy[protected_branches]=false' "
        "-F 'deployment_branch_policy[custom_branch_policies]=true'"
    ]
    chosen = reach is not None and reach != {EVERY_PROTECTED}
    if chosen:
        others = f'.branch_policies[] | select(.name != "{branch}" or .type == "tag") | .id'
        words = [f"gh api {policies} --jq '{others}' | xargs -I ID gh api -X DELETE {policies}/ID"]
    if not chosen or branch not in (reach or ()):
        words.append(f"gh api -X POST {policies} -f name={branch}")
    return " && ".join(words)


def held_by(environment: Mapping[str, Any]) -> str:
    """Return what each job of an environment waits for, in words; empty where it begins at once."""
    kinds = [str(one.get("type")) for one in environment.get("protection_rules") or ()]
    waits = [_WAITS.get(kind, f"the rule {kind}") for kind in kinds if kind != "branch_policy"]
    return " and ".join(dict.fromkeys(waits))
