"""Who let the change of a model in, as a release records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from modelops.spec.kinds.promotion import Approval, PullRequestReference


@dataclass(frozen=True, slots=True)
class ModelApproval:
    """Who let the change of the model in: the merged pull request and the approvals that counted.

    ``commit`` is the merge, ``policy`` the digest of the approval policy that was applied. ``line`` is what was met on
    the branch up to the release, None where nobody looked; ``heard`` are the digests of what the forge answered, by
    call.
    """

    path: Literal["pull-request", "automatic", "emergency"]
    commit: str
    policy: str
    pull_request: PullRequestReference | None
    approvals: tuple[Approval, ...]
    reason: str = ""
    line: Mapping[str, Any] | None = None
    heard: Mapping[str, str] = field(default_factory=dict)
