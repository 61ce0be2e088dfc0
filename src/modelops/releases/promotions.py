"""The record of a promotion: who said yes to which release in which environment, and later how its rollout ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from modelops.evidence import (
    APPROVAL,
    ROLLOUT_OUTCOME,
    Signer,
    digest_bytes,
    promotion_approval,
    rollout_outcome,
    sign,
    statement,
)
from modelops.evidence import check_promotion as verify_promotion
from modelops.evidence.statements import RolloutWord
from modelops.spec.delivery import PromotionSpec
from modelops.spec.dump import dump

__all__ = ["next_promotion", "promotion_files", "rollout_outcome_line", "verify_promotion"]


def next_promotion(environment: str, existing: Iterable[str]) -> int:
    """Return the next number of an environment's promotions, given the names of a model's promotions."""
    prefix = f"{environment}-"
    numbers = (name.removeprefix(prefix) for name in existing if name.startswith(prefix))
    return max((int(number) for number in numbers if number.isdigit()), default=0) + 1


def promotion_files(spec: PromotionSpec, *, number: int, signer: Signer) -> dict[str, bytes]:
    """Return the record and its signed approval by path below the model's folder.

    The approval is about the artifact, the bytes of the record and, for a pull request, the tree that was approved.
    """
    name = f"{spec.environment}-{number}"
    path = f"models/{spec.model}/promotions/{name}.yaml"
    document = dump("Promotion", name, spec, path=path)
    subjects = {f"{spec.model}-{spec.release}": spec.artifact, path: digest_bytes(document)}
    if spec.pull_request:
        subjects["head-tree"] = f"gitTree:{spec.pull_request.head_tree}"
    line = sign(statement(APPROVAL, subjects, promotion_approval(spec)), signer)
    return {f"promotions/{name}.yaml": document, f"promotions/{name}.intoto.jsonl": line}


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
