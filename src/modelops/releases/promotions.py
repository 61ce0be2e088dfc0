"""The record of a promotion: who said yes to which release in which environment, and later how its rollout ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from modelops.digests import digest_bytes
from modelops.evidence import (
    APPROVAL,
    ROLLOUT_OUTCOME,
    Signer,
    promotion_approval,
    rollout_outcome,
    sign,
    statement,
)
from modelops.evidence import check_promotion as verify_promotion
from modelops.evidence.statements import RolloutWord
from modelops.spec.kinds.promotion import PromotionSpec
from modelops.spec.layout import PROMOTION, model_folder, promotion_evidence
from modelops.spec.yaml.dump import dump

__all__ = ["next_promotion", "promotion_files", "rollout_outcome_line", "verify_promotion"]


def next_promotion(environment: str, existing: Iterable[str]) -> int:
    """Return the next number of an environment's promotions, given the names of a model's promotions."""
    prefix = f"{environment}-"
    numbers = (name.removeprefix(prefix) for name in existing if name.startswith(prefix))
    return max((int(number) for number in numbers if number.isdigit()), default=0) + 1


def promotion_files(
    spec: PromotionSpec,
    *,
    number: int,
    signer: Signer,
    line: Mapping[str, Any] | None = None,
    heard: Mapping[str, str] | None = None,
) -> dict[str, bytes]:
    """Return the record and its signed approval by path below the model's folder.

    The approval is about the artifact, the bytes of the record and, for a pull request, the trees of head and merge. It
    says what was met on the branch, ``line``, where that was looked at, and which answers of a forge it rests on,
    ``heard``: their digests by call.
    """
    name = f"{spec.environment}-{number}"
    path = PROMOTION.path(spec.model, name)
    document = dump("Promotion", name, spec, path=path)
    subjects = {f"{spec.model}-{spec.release}": spec.artifact, path: digest_bytes(document)}
    if spec.pull_request:
        subjects["head-tree"] = f"gitTree:{spec.pull_request.head_tree}"
        if spec.pull_request.result is not None:
            subjects["result-tree"] = f"gitTree:{spec.pull_request.result}"
    said = promotion_approval(spec) | ({"line": dict(line)} if line is not None else {})
    said |= {"heard": dict(heard)} if heard else {}
    signed = sign(statement(APPROVAL, subjects, said), signer)
    folder = model_folder(spec.model)
    return {path.removeprefix(folder): document, promotion_evidence(path).removeprefix(folder): signed}


def rollout_outcome_line(
    promotion: PromotionSpec,
    *,
    stable: int | None,
    outcome: RolloutWord,
    reason: str,
    step: int,
    checks: Sequence[Mapping[str, Any]],
    at: str,
    signer: Signer,
    by: str = "modelops",
    through: Literal["commit", "pull-request"] = "commit",
    rollout: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the signed line to append to a promotion's evidence when the rollout it started ends or is paused.

    ``stable`` is the release the candidate was compared with, ``at`` the ISO 8601 instant, ``checks`` the comparisons.
    """
    predicate = rollout_outcome(
        model=promotion.model,
        environment=promotion.environment,
        candidate=promotion.release,
        stable=stable,
        outcome=outcome,
        reason=reason,
        step=step,
        checks=checks,
        at=at,
        by=by,
        through=through,
        rollout=rollout,
    )
    subjects = {f"{promotion.model}-{promotion.release}": promotion.artifact}
    return sign(statement(ROLLOUT_OUTCOME, subjects, predicate), signer)
