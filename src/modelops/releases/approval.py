"""Who let the change of a model in, as a release records it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelops.spec.delivery import Approval, PullRequestReference


@dataclass(frozen=True, slots=True)
class ModelApproval:
    """Who let the change of the model in: the merged pull request and the approvals that counted.

    ``commit`` is the merge, ``policy`` the digest of the approval policy that was applied.
    """

    path: Literal["pull-request", "automatic", "emergency"]
    commit: str
    policy: str
    pull_request: PullRequestReference | None
    approvals: tuple[Approval, ...]
    reason: str = ""
