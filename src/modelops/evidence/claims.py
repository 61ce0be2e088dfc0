"""What the evidence of a release and of a promotion must say: the same as the file that it speaks for, and no less."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelops.digests import digest_bytes
from modelops.errors import Location, ModelOpsError, failure
from modelops.evidence.bundle import verify_model_bundle
from modelops.evidence.envelope import Statement, require_predicate, require_subject, verify_lines
from modelops.evidence.keyring import Keyring
from modelops.evidence.making import BUILDERS, PACKAGE, Making
from modelops.evidence.statements import (
    APPROVAL,
    GATE_EVIDENCE,
    PROVENANCE,
    PURPOSES,
    ROLLOUT_OUTCOME,
    TEST_RESULT,
    approval,
    gate_evidence,
    provenance,
    test_result,
)
from modelops.spec.kinds import Resource
from modelops.spec.kinds.promotion import PromotionSpec
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.kinds.trust_policy import TrustPolicySpec
from modelops.spec.layout import CARD_FILE, EVIDENCE_FILE, MODEL, RELEASE_FILE, SIGNATURE_FILE, promotion_evidence

ARTIFACT_FOLDER = "models/"
_INTERNAL = frozenset({"parameters", "seeds", "inputs", "environment", "code"})
_SHA256 = re.compile(r"[0-9a-f]{64}")


def release_evidence_path(release_path: str) -> str:
    """Return where the evidence of a release lies, given the path of its ``release.yaml``."""
    return release_path.removesuffix(RELEASE_FILE) + EVIDENCE_FILE


def promotion_evidence_path(promotion_path: str) -> str:
    """Return where the evidence of a promotion lies, given the path of its file."""
    return promotion_evidence(promotion_path)


def release_provenance(spec: ReleaseSpec, ref: str, making: Making | None = None) -> dict[str, Any]:
    """Return the provenance predicate that a release must have; ``ref`` is the branch it was made on.

    With ``making`` it also says what made it, when and on what: releases of 0.1.0 do not.
    """
    return provenance(
        making=making,
        model=spec.model,
        path=MODEL.path(spec.model),
        ref=ref,
        commit=spec.code.commit,
        tree=spec.code.tree,
        data_root=spec.data.root,
        environment_lock=spec.environment_lock,
        spec=spec.spec,
        build=spec.build,
        inputs=spec.inputs,
        parameters=spec.parameters,
        seeds=spec.seeds,
    )


def release_test_results(spec: ReleaseSpec) -> dict[str, dict[str, Any]]:
    """Return the test-result predicate of each gate policy that judged a release."""
    policies = dict.fromkeys(verdict.policy for verdict in spec.verdicts)
    data = [{"name": "data", "digest": {"sha256": spec.data.root.removeprefix("sha256:")}}]
    return {
        policy: test_result(policy, [verdict for verdict in spec.verdicts if verdict.policy == policy], data)
        for policy in policies
    }


def promotion_approval(spec: PromotionSpec) -> dict[str, Any]:
    """Return the approval predicate that a promotion must have."""
    return approval(
        change="promotion",
        model=spec.model,
        release=spec.release,
        environment=spec.environment,
        path=spec.path,
        commit=spec.commit,
        policy=spec.policy,
        evidence=spec.evidence,
        pull_request=spec.pull_request,
        approvals=spec.approvals,
        reason=spec.reason,
        at=spec.promoted_at,
        waivers=spec.waivers,
    )


def check_release(
    release: Resource[ReleaseSpec], evidence: bytes | None, trust: TrustPolicySpec | Keyring
) -> tuple[Statement, ...]:
    """Return the statements of a release if they are trusted, about it, and say what ``release.yaml`` says.

    Beside the codes of verify_lines: ``predicate-missing``, ``subject-mismatch``, ``evidence-mismatch``.
    """
    spec, path = release.spec, release_evidence_path(release.path)
    _require_place(release, f"{spec.model}/{spec.version}", f"{release.model}/{release.name}")
    statements = verify_lines(evidence, trust, "release", path=path)
    for one in statements:
        require_subject(one, "the artifact", spec.artifact.digest)
        require_subject(one, release.path, release.digest)
    made = _only(require_predicate(statements, PROVENANCE, path))
    _check_provenance(made, spec)
    numbers = _only(require_predicate(statements, GATE_EVIDENCE, path))
    expected = gate_evidence(spec.verdicts, spec.metrics, champion=spec.champion, details={}, waivers=spec.waivers)
    _require_equal(numbers, expected, ("champion", "verdicts", "metrics", *(["waivers"] if spec.waivers else [])))
    if "waivers" in numbers.predicate and not spec.waivers:
        raise _mismatch(numbers, "waivers")
    _check_details(numbers, spec)
    _check_results(require_predicate(statements, TEST_RESULT, path), spec)
    for one in statements:
        if one.predicate_type == APPROVAL:
            said = {"change": "model", "model": spec.model, "release": spec.version}
            _require_equal(one, said, tuple(said))
    return statements


def check_release_files(
    release: Resource[ReleaseSpec],
    statements: Sequence[Statement],
    trust: TrustPolicySpec | Keyring,
    *,
    card: bytes | None,
    signature: bytes | None,
) -> None:
    """Raise unless the model card is the one that was signed and the signature file is over the artifact's files.

    Codes: ``missing-file``, ``card-unsigned``, ``subject-mismatch`` and those of verify_model_bundle.
    """
    spec, folder = release.spec, release.path.removesuffix(RELEASE_FILE)
    path = folder + CARD_FILE
    if card is None:
        raise failure("missing-file", f"there is no model card at {path}", location=Location(path))
    if all(name != path for one in statements for name, _ in one.subjects):
        raise failure(
            "card-unsigned",
            f"{path} was never signed: the release was made before model cards were, and nothing proves its words",
            location=Location(path),
            hint="the release itself is proven; make a new release to have a card that is",
        )
    for one in statements:
        require_subject(one, path, digest_bytes(card))
    contents = {file.path.removeprefix(ARTIFACT_FOLDER): file.sha256 for file in spec.artifact.files}
    name = f"{spec.model}-{spec.version}"
    verify_model_bundle(signature, trust, name, contents, path=folder + SIGNATURE_FILE)


def check_promotion(
    promotion: Resource[PromotionSpec],
    evidence: bytes | None,
    trust: TrustPolicySpec | Keyring,
    *,
    release_evidence: bytes | None = None,
) -> tuple[Statement, ...]:
    """Return the statements of a promotion if they are trusted, about it, and say what its file says.

    The approval must be signed for ``promotion``, outcomes of rollouts for ``rollout``. ``release_evidence`` are the
    bytes of the release's evidence now; the promotion must be about exactly those. Beside the codes of verify_lines:
    ``predicate-missing``, ``subject-mismatch``, ``evidence-mismatch``, ``approval-invalid``.
    """
    spec, path = promotion.spec, promotion_evidence_path(promotion.path)
    environment = promotion.name.rpartition("-")[0]
    _require_place(promotion, f"{spec.model}/{spec.environment}", f"{promotion.model}/{environment}")
    statements = verify_lines(evidence, trust, PURPOSES, path=path)
    said = _only(require_predicate(statements, APPROVAL, path))
    for one in statements:
        require_subject(one, "the artifact", spec.artifact)
    require_subject(said, promotion.path, promotion.digest)
    if spec.pull_request:
        require_subject(said, "the tree that was approved", f"gitTree:{spec.pull_request.head_tree}")
        if spec.pull_request.result is not None:
            require_subject(said, "the tree of the merge", f"gitTree:{spec.pull_request.result}")
    expected = promotion_approval(spec)
    _require_equal(said, expected, tuple(expected))
    if "waivers" in said.predicate and not spec.waivers:
        raise _mismatch(said, "waivers")
    for one in statements:
        if one.predicate_type == ROLLOUT_OUTCOME:
            wanted = {"model": spec.model, "environment": spec.environment, "candidate": spec.release}
            _require_equal(one, wanted, tuple(wanted))
    _check_approvals(promotion)
    if release_evidence is not None and digest_bytes(release_evidence) != spec.evidence:
        raise failure(
            "subject-mismatch",
            f"{spec.evidence}, the evidence that was approved, is not the release's evidence now",
            location=promotion.where("spec.evidence"),
        )
    return statements


def _require_place(resource: Resource[Any], said: str, place: str) -> None:
    """Refuse a record that was moved to where it would speak for something else."""
    if said != place:
        what = f"{resource.path} is about {said}, its place says {place}"
        raise failure("evidence-mismatch", what, location=resource.where("spec"))


def _check_approvals(promotion: Resource[PromotionSpec]) -> None:
    """Refuse approvals that no policy may count: of another head, or by the author."""
    spec = promotion.spec
    if spec.path == "pull-request" and spec.pull_request is None:
        raise _approval_invalid(promotion, "it names no pull request")
    pull = spec.pull_request
    for one in spec.approvals:
        if pull is None or one.commit != pull.head:
            raise _approval_invalid(promotion, f"{one.login} approved {one.commit[:12]}, which is not the merged head")
        if (one.id or one.login.lower()) == (pull.author_id or pull.author.lower()):
            raise _approval_invalid(promotion, f"{one.login} approved their own change")


def _approval_invalid(promotion: Resource[PromotionSpec], why: str) -> ModelOpsError:
    where = promotion.where("spec.approvals")
    return failure("approval-invalid", f"the promotion {promotion.name} is not approved: {why}", location=where)


def _only(found: Sequence[Statement]) -> Statement:
    """Return the one statement of a type; two that could differ leave open which one counts."""
    if len(found) > 1:
        what = found[1].predicate_type
        raise failure("evidence-mismatch", f"there are {len(found)} statements of {what}", location=found[1].where)
    return found[0]


def _mismatch(statement: Statement, what: str) -> ModelOpsError:
    return failure(
        "evidence-mismatch",
        f"{what} in the statement of type {statement.predicate_type} is not what the file says",
        location=statement.where,
        hint="the file and its evidence were not made together",
    )


def _require_equal(statement: Statement, expected: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in keys:
        if key not in statement.predicate or statement.predicate[key] != expected[key]:
            raise _mismatch(statement, key)


def _check_provenance(made: Statement, spec: ReleaseSpec) -> None:
    ref = _inside(made.predicate, "buildDefinition", "externalParameters", "ref")
    if not isinstance(ref, str):
        raise _mismatch(made, "externalParameters.ref")
    expected = release_provenance(spec, ref)
    for place in (
        ("buildDefinition", "buildType"),
        ("buildDefinition", "externalParameters"),
        *(("buildDefinition", "internalParameters", key) for key in ("parameters", "seeds", "inputs")),
        ("runDetails", "byproducts"),
    ):
        if _inside(made.predicate, *place) != _inside(expected, *place):
            raise _mismatch(made, ".".join(place))
    if _inside(made.predicate, "runDetails", "builder", "id") not in BUILDERS:
        raise _mismatch(made, "runDetails.builder.id")
    internal = _inside(made.predicate, "buildDefinition", "internalParameters")
    if isinstance(internal, Mapping) and not internal.keys() <= _INTERNAL:
        raise _mismatch(made, "buildDefinition.internalParameters")
    _check_dependencies(made, _inside(expected, "buildDefinition", "resolvedDependencies"))
    _check_code(made)


def _check_dependencies(made: Statement, expected: object) -> None:
    """Require what every release is made from, each once; whatever else it names are the packages it found."""
    said = _inside(made.predicate, "buildDefinition", "resolvedDependencies")
    entries = said if isinstance(said, list) else []
    own = [one for one in entries if not str(_inside(one, "name")).startswith(PACKAGE)]
    if own != expected:
        raise _mismatch(made, "buildDefinition.resolvedDependencies")


def _check_code(made: Statement) -> None:
    """Refuse digests of code files that are none; releases of 0.1.0 bind their code by git's ids alone."""
    said = _inside(made.predicate, "buildDefinition", "internalParameters", "code")
    if said is not None and not (
        isinstance(said, Mapping) and all(isinstance(one, str) and _SHA256.fullmatch(one) for one in said.values())
    ):
        raise _mismatch(made, "buildDefinition.internalParameters.code")


def _inside(document: object, *keys: str) -> object:
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def _check_details(numbers: Statement, spec: ReleaseSpec) -> None:
    """Refuse details of a gate that did not judge; releases from before details were recorded have none."""
    details = numbers.predicate.get("details", {})
    gates = {f"{verdict.policy}/{verdict.gate}" for verdict in spec.verdicts}
    if not isinstance(details, Mapping) or not details.keys() <= gates:
        raise _mismatch(numbers, "details")
    if not all(isinstance(found, Mapping) for found in details.values()):
        raise _mismatch(numbers, "details")


def gate_details(statements: Sequence[Statement]) -> dict[str, Mapping[str, Any]]:
    """Return the numbers behind a release's verdicts by ``policy/gate``, from the statements of ``check_release``."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in statements:
        if one.predicate_type == GATE_EVIDENCE:
            found |= one.predicate.get("details", {})
    return found


def _check_results(results: Sequence[Statement], spec: ReleaseSpec) -> None:
    """Require one test-result per gate policy, each with the outcome that the verdicts give."""
    expected = release_test_results(spec)
    where = Location(results[0].where.path)
    if len(results) != len(expected):
        said = f"there are {len(results)} test results for {len(expected)} gate policies"
        raise failure("evidence-mismatch", said, location=where)
    keys = ("result", "passedTests", "warnedTests", "failedTests", "configuration")
    said_of = [tuple(one.predicate.get(key) for key in keys) for one in results]
    for policy, predicate in expected.items():
        if tuple(predicate[key] for key in keys) not in said_of:
            said = f"no test result says what release.yaml says of the gate policy {policy!r}"
            raise failure("evidence-mismatch", said, location=where)
