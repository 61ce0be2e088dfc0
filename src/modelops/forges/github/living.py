"""How a repository on GitHub is set up, as far as somebody may see it: what a refusal hides is never taken for fine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from modelops.errors import ModelOpsError
from modelops.forges.github.session import Session

__all__ = ["Living", "Unseen", "look", "protection_of", "required_contexts", "ruled_contexts"]

_HIDDEN = ("forge-forbidden", "forge-absent")


@dataclass(frozen=True, slots=True)
class Unseen:
    """What the token may not see, and the permission that it takes."""

    needs: str


@dataclass(frozen=True)
class Living:
    """The settings of one repository; each is what GitHub answers, or why that cannot be seen."""

    repository: Mapping[str, Any]
    rules: tuple[Mapping[str, Any], ...] | Unseen
    rulesets: tuple[Mapping[str, Any] | Unseen, ...]
    protection: Mapping[str, Any] | Unseen
    secrets: frozenset[str] | Unseen
    shared_secrets: frozenset[str] | Unseen
    environments: Mapping[str, Mapping[str, Any]] | Unseen
    environment_secrets: Mapping[str, frozenset[str] | Unseen]
    branch_policies: Mapping[str, frozenset[str] | Unseen]
    actions: Mapping[str, Any] | Unseen
    tokens: Mapping[str, Any] | Unseen
    forks: Mapping[str, Any] | Unseen
    codeowners: tuple[Mapping[str, Any], ...] | Unseen

    @property
    def admin(self) -> bool:
        """Tell whether whoever asks may administer the repository: then nothing is hidden from them."""
        return bool((self.repository.get("permissions") or {}).get("admin"))


def look(api: Session, at: str, branch: str) -> Living:
    """Look at every setting that the loop relies on; some fifteen requests."""
    repository = api.get(at).document
    admin = bool((repository.get("permissions") or {}).get("admin"))
    see = _Eyes(api, at, admin)
    rules = see.listed(f"/rules/branches/{quote(branch)}", "metadata: read")
    numbers = {int(one["ruleset_id"]) for one in rules if "ruleset_id" in one} if isinstance(rules, tuple) else set()
    environments = see.inside("/environments", "actions: read", "environments")
    named = {str(one["name"]): one for one in environments} if isinstance(environments, tuple) else None
    return Living(
        repository=repository,
        rules=rules,
        rulesets=tuple(see.one(f"/rulesets/{number}", "administration: write") for number in sorted(numbers)),
        protection=see.one(f"/branches/{quote(branch)}/protection", "administration: read"),
        secrets=_names(see.inside("/actions/secrets", "secrets: read", "secrets")),
        # Of a person's repository there is no organisation to ask.
        shared_secrets=_names(see.inside("/actions/organization-secrets", "secrets: read", "secrets"))
        if (repository.get("owner") or {}).get("type") == "Organization"
        else frozenset(),
        environments=named if named is not None else Unseen("actions: read"),
        environment_secrets={
            name: _names(see.inside(f"/environments/{quote(name, '')}/secrets", "environments: read", "secrets"))
            for name in named or ()
        },
        branch_policies={
            name: _policies(
                see.inside(
                    f"/environments/{quote(name, '')}/deployment-branch-policies", "actions: read", "branch_policies"
                )
            )
            for name, one in (named or {}).items()
            if (one.get("deployment_branch_policy") or {}).get("custom_branch_policies")
        },
        actions=see.one("/actions/permissions", "administration: read"),
        tokens=see.one("/actions/permissions/workflow", "administration: read"),
        forks=see.one("/actions/permissions/fork-pr-contributor-approval", "administration: read"),
        codeowners=_errors(see.one(f"/codeowners/errors?ref={quote(branch)}", "contents: read")),
    )


@dataclass(frozen=True)
class _Eyes:
    api: Session
    at: str
    admin: bool

    def one(self, path: str, needs: str) -> Mapping[str, Any] | Unseen:
        """Return a document; to an administrator what is not there is empty."""
        try:
            document = self.api.get(self.at + path).document
        except ModelOpsError as error:
            if error.first.code not in _HIDDEN:
                raise
            return {} if self.admin and error.first.code == "forge-absent" else Unseen(needs)
        return document if isinstance(document, dict) else {}

    def listed(self, path: str, needs: str) -> tuple[Mapping[str, Any], ...] | Unseen:
        """Return every entry of a list."""
        try:
            return tuple(self.api.pages(self.at + path))
        except ModelOpsError as error:
            if error.first.code not in _HIDDEN:
                raise
            return Unseen(needs)

    def inside(self, path: str, needs: str, key: str) -> tuple[Mapping[str, Any], ...] | Unseen:
        """Return every entry of the list within a document; one that does not fit on a page is read on."""
        found: list[Mapping[str, Any]] = []
        following: str | None = self.at + path
        while following is not None:
            try:
                answer = self.api.get(following, {"per_page": 100} if following.startswith("/") else None)
            except ModelOpsError as error:
                if error.first.code not in _HIDDEN:
                    raise
                return () if self.admin and error.first.code == "forge-absent" else Unseen(needs)
            found += (answer.document or {}).get(key) or []
            following = answer.following
        return tuple(found)


def _errors(found: Mapping[str, Any] | Unseen) -> tuple[Mapping[str, Any], ...] | Unseen:
    return found if isinstance(found, Unseen) else tuple(found.get("errors") or ())


def _names(found: tuple[Mapping[str, Any], ...] | Unseen) -> frozenset[str] | Unseen:
    return found if isinstance(found, Unseen) else frozenset(str(one["name"]) for one in found)


def _policies(found: tuple[Mapping[str, Any], ...] | Unseen) -> frozenset[str] | Unseen:
    """Return patterns of branches, and of tags as what they are: whoever may write may push a tag of any name."""
    if isinstance(found, Unseen):
        return found
    return frozenset(f"the tag {one['name']}" if one.get("type") == "tag" else str(one["name"]) for one in found)


def protection_of(living: Living) -> Mapping[str, Any]:
    """Return the classic protection of the branch, empty where there is none or it cannot be seen."""
    return living.protection if not isinstance(living.protection, Unseen) else {}


def ruled_contexts(living: Living) -> dict[str, Any]:
    """Return the checks that the rulesets require, each with the app that has to write it, None for any."""
    rules = living.rules if not isinstance(living.rules, Unseen) else ()
    found: dict[str, Any] = {}
    for rule in rules:
        if rule.get("type") == "required_status_checks":
            for one in (rule.get("parameters") or {}).get("required_status_checks") or ():
                name = str(one.get("context"))
                found[name] = found.get(name) or one.get("integration_id")
    return found


def required_contexts(living: Living) -> dict[str, Any]:
    """Return the checks that have to pass before a merge, each with the app that has to write it, None for any."""
    found = ruled_contexts(living)
    protected = protection_of(living).get("required_status_checks") or {}
    for name in protected.get("contexts") or ():
        found.setdefault(str(name), None)
    for one in protected.get("checks") or ():
        app, name = one.get("app_id"), str(one.get("context"))
        # A number below zero is how any app is written.
        found[name] = found.get(name) or (app if app is not None and app > 0 else None)
    return found
