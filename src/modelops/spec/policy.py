"""Kinds of the policies: Project, Environment, GatePolicy, Rule, ApprovalPolicy, TrustPolicy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelops.spec.delivery import VerdictWord
from modelops.spec.meta import Name, Plugin, Risk, Strict


class Signing(Strict):
    """Which key of the trust policy signs, and the variable that may hold its private part instead of a local file."""

    key: Name = "local"
    variable: str = "MODELOPS_SIGNING_KEY"


class ProjectSpec(Strict):
    """The spec of the Project: where bytes, pull requests and keys live."""

    store: Plugin = Plugin(type="oci-layout")
    forge: Plugin = Plugin(type="embedded")
    signing: Signing = Signing()
    branch: str = "main"
    remote: str = "origin"
    data_locations: tuple[Annotated[str, Field(pattern=r"^(/|[A-Za-z][A-Za-z0-9+.-]*://)")], ...] = ()


class EnvironmentSpec(Strict):
    """The spec of an Environment.

    ``order`` places it in the chain of promotion: a release enters only after it was stable in the environment of the
    next lower order. Without an order it stands outside the chain. ``promotion: automatic`` sets every new release as
    candidate in the commit that makes the release. ``rollout: direct`` lets a candidate that loads and answers its
    smoke rows become stable without traffic to judge it by, for environments that have none. ``access`` names the
    access policy that says who may call its server. ``logDays`` is how long its predictions are kept, by whole days
    and never shorter than a monitor or a running rollout looks back; without it they are kept for ever.
    """

    target: Plugin
    order: Annotated[int, Field(ge=0)] | None = None
    promotion: Literal["automatic", "pull-request"] = "pull-request"
    rollout: Literal["plan", "direct"] = "plan"
    access: Name | None = None
    log_days: Annotated[int, Field(ge=1)] | None = None


class Gate(Strict):
    """One measured requirement and the verdicts of it that block."""

    name: Name
    type: Name
    params: dict[str, object] = {}
    block: tuple[VerdictWord, ...] = ("fail", "inconclusive", "no-data")


class GatePolicySpec(Strict):
    """The spec of a GatePolicy: a named set of gates."""

    description: str = ""
    gates: tuple[Gate, ...] = Field(min_length=1)


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


class ApprovalRule(Strict):
    """Who may approve which change, and how many must."""

    change: Literal["promotion", "model", "policy"]
    environments: tuple[str, ...] = Field(default=("*",), description="names, or * for all; only for promotions")
    risk: tuple[Risk, ...] = ("minimal", "limited", "high")
    approvers: tuple[str, ...] = Field(min_length=1, description="logins, or group:<name>")
    minimum: Annotated[int, Field(ge=0)] = 1


class ApprovalPolicySpec(Strict):
    """The spec of the ApprovalPolicy; every rule that matches a change must be met, and no match means no."""

    groups: dict[str, tuple[str, ...]] = {}
    rules: tuple[ApprovalRule, ...] = Field(min_length=1)


class TrustedKey(Strict):
    """A public key (PEM, ECDSA P-256) and what its signatures count for."""

    name: Name
    public_key: str
    signs: tuple[Literal["release", "promotion", "snapshot", "rollout"], ...] = Field(min_length=1)


class TrustPolicySpec(Strict):
    """The spec of the TrustPolicy."""

    keys: tuple[TrustedKey, ...] = Field(min_length=1)
