"""The statements modelops makes: in-toto Statement v1 with the predicates of training, gates, approvals and rollouts.

A statement holds no time that is not part of what it states, so equal facts give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from modelops import __version__
from modelops.evidence.digests import descriptor, digest_set
from modelops.evidence.making import FIRST_BUILDER, Making
from modelops.spec.kinds.promotion import Approval, PullRequestReference
from modelops.spec.kinds.release import MetricValue, VerdictRecord, WaiverUse
from modelops.spec.kinds.trust_policy import Purpose
from modelops.spec.layout import GATE_POLICY
from modelops.spec.meta import Scalar

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
GATE_EVIDENCE = "https://modelops.dev/attestations/gate-evidence/v1"
APPROVAL = "https://modelops.dev/attestations/approval/v1"
ROLLOUT_OUTCOME = "https://modelops.dev/attestations/rollout-outcome/v1"
TRUST_CHANGE = "https://modelops.dev/attestations/trust-change/v1"
LOG_SEAL = "https://modelops.dev/attestations/log-seal/v1"

BUILD_TYPE = "https://modelops.dev/build-types/train/v1"


PURPOSES: Mapping[str, Purpose] = {
    PROVENANCE: "release",
    TEST_RESULT: "release",
    GATE_EVIDENCE: "release",
    APPROVAL: "promotion",
    ROLLOUT_OUTCOME: "rollout",
    LOG_SEAL: "rollout",
}
"""What a key must be trusted for to make a statement in a promotion's file, which mixes them."""


def statement(predicate_type: str, subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> dict[str, Any]:
    """Return an in-toto Statement v1 about named subjects, each given as ``<algorithm>:<hex>``."""
    if not subjects:
        raise ValueError("a statement needs at least one subject")
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": digest_set(digest)} for name, digest in sorted(subjects.items())],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def provenance(
    *,
    model: str,
    path: str,
    tree: str,
    data_root: str,
    environment_lock: str,
    spec: str,
    build: str,
    inputs: str,
    parameters: Mapping[str, Scalar],
    seeds: Mapping[str, int],
    ref: str | None = None,
    commit: str | None = None,
    making: Making | None = None,
) -> dict[str, Any]:
    """Return the SLSA v1 predicate of a training run: what was asked for, what it was made from, and what made it.

    ``ref`` is the branch of the request, and ``commit`` that of its code: a build knows neither, a release both.
    ``build`` is the digest of the build record, ``inputs`` that of all inputs. Without ``making`` the predicate is the
    least that a release must have.
    """
    external = {"model": model, "path": path} | ({"ref": ref} if ref is not None else {})
    internal: dict[str, Any] = {"parameters": dict(parameters), "seeds": dict(seeds), "inputs": inputs}
    dependencies = [descriptor("code", f"gitCommit:{commit}")] if commit is not None else []
    dependencies += [
        descriptor("code-tree", f"gitTree:{tree}"),
        descriptor("data", data_root),
        descriptor("environment-lock", environment_lock),
        descriptor("spec", spec),
    ]
    run: dict[str, Any] = {
        "builder": {"id": FIRST_BUILDER, "version": {"modelops": __version__}},
        "metadata": {"invocationId": inputs},
    }
    if making is not None:
        internal |= {"environment": dict(making.environment), "code": dict(making.code)}
        dependencies += making.dependencies()
        run = making.run_details()
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": external,
            "internalParameters": internal,
            "resolvedDependencies": dependencies,
        },
        "runDetails": {**run, "byproducts": [descriptor("build-record", build)]},
    }


def test_result(
    policy: str, verdicts: Sequence[VerdictRecord], configuration: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the test-result v0.1 predicate of one gate policy; no verdict at all is a failure.

    A gate that does not pass and does not block, or is waived, is a warning.
    """
    failed = [verdict.gate for verdict in verdicts if verdict.holds]
    warned = [one.gate for one in verdicts if one.waived or (one.verdict != "pass" and not one.blocking)]
    passed = [verdict.gate for verdict in verdicts if verdict.verdict == "pass" and not verdict.blocking]
    return {
        "result": "FAILED" if failed or not verdicts else "WARNED" if warned else "PASSED",
        "configuration": [descriptor(policy, uri=GATE_POLICY.path(None, policy)), *map(dict, configuration)],
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": failed,
    }


test_result.__test__ = False  # type: ignore[attr-defined]  # the name is in-toto's; it is not a test of pytest


def verdict_data(verdict: VerdictRecord) -> dict[str, Any]:
    """Return a verdict as plain data; what releases did not always say is there only where it says something."""
    found = verdict.model_dump(mode="json", by_alias=True)
    return {key: value for key, value in found.items() if key not in ("waiver", "toothless") or value}


def gate_evidence(
    verdicts: Sequence[VerdictRecord],
    metrics: Sequence[MetricValue],
    *,
    champion: int | None,
    details: Mapping[str, Mapping[str, Any]],
    waivers: Sequence[WaiverUse] = (),
) -> dict[str, Any]:
    """Return our predicate with the numbers behind the verdicts, which test-result has no fields for.

    ``details`` is what each gate measured beyond its one number, by ``policy/gate``: rates by group, scores by feature.
    ``waivers`` are the exceptions from rules that the release relied on.
    """
    return {
        "tool": {"modelops": __version__},
        "champion": champion,
        "verdicts": [verdict_data(verdict) for verdict in verdicts],
        "details": {key: dict(found) for key, found in details.items()},
        "metrics": [metric.model_dump(mode="json", by_alias=True) for metric in metrics],
        **_relied_on(waivers),
    }


def _relied_on(waivers: Sequence[WaiverUse]) -> dict[str, Any]:
    """Return the exceptions that something relied on, named only where there are some."""
    return {"waivers": [one.model_dump(mode="json", by_alias=True) for one in waivers]} if waivers else {}


def approval(
    *,
    change: Literal["promotion", "model"],
    model: str,
    release: int,
    path: Literal["pull-request", "automatic", "emergency"],
    commit: str,
    policy: str,
    pull_request: PullRequestReference | None,
    approvals: Sequence[Approval],
    reason: str,
    environment: str | None = None,
    evidence: str | None = None,
    at: str | None = None,
    line: Mapping[str, Any] | None = None,
    heard: Mapping[str, str] | None = None,
    waivers: Sequence[WaiverUse] = (),
) -> dict[str, Any]:
    """Return our predicate of an approval: who said yes to which exact head, under which policy.

    ``policy`` is the digest of the approval policy that was applied; ``evidence`` that of the release's evidence.
    ``line`` says up to which commit the whole branch was judged, and what was met; without it nothing is said of that.
    ``waivers`` are the exceptions that it relied on, and ``heard`` the digests of the forge's answers by call, both
    named only where there are some: who keeps an answer can show that it is the one.
    """
    return {
        **({"line": dict(line)} if line is not None else {}),
        **({"heard": dict(heard)} if heard else {}),
        "change": change,
        "model": model,
        "release": release,
        "environment": environment,
        "path": path,
        "commit": commit,
        "policy": policy,
        "evidence": evidence,
        "pullRequest": pull_request.model_dump(mode="json", by_alias=True, exclude_none=True) if pull_request else None,
        "approvals": [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in approvals],
        "reason": reason,
        "at": at,
        **_relied_on(waivers),
    }


RolloutWord = Literal["succeeded", "failed", "withdrawn", "aborted", "overridden", "paused", "resumed"]


def rollout_outcome(
    *,
    model: str,
    environment: str,
    candidate: int,
    stable: int | None,
    outcome: RolloutWord,
    reason: str,
    step: int,
    checks: Sequence[Mapping[str, Any]],
    at: str,
    by: str = "modelops",
    through: Literal["commit", "pull-request"] = "commit",
    rollout: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return our predicate of how a rollout ended, or was paused or resumed, with the comparisons that decided it.

    ``candidate`` is the release on trial whose record this belongs to, whichever arm it was. ``overridden`` is a
    success that a person declares. ``by`` is the loop or a login; what comes ``through`` a pull request counts only
    with its approvals. ``rollout`` holds what a replay needs: salt, arms, strategy, steps and every decision.
    """
    return {
        "tool": {"modelops": __version__},
        "model": model,
        "environment": environment,
        "candidate": candidate,
        "stable": stable,
        "outcome": outcome,
        "reason": reason,
        "by": by,
        "through": through,
        "step": step,
        "checks": [dict(check) for check in checks],
        "rollout": dict(rollout) if rollout is not None else None,
        "at": at,
    }
