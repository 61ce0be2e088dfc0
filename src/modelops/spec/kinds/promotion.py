"""kind: Promotion — who approved that an environment runs a release, and on what grounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.kinds.release import WaiverUse
from modelops.spec.meta import Digest, GitId, ModelName, Name, ReleaseNumber, Strict
from modelops.spec.resource import Resource, at

PLACE = layout.PROMOTION
IMMUTABLE = True


class PullRequestReference(Strict):
    """The merged pull request behind a promotion."""

    number: int
    author: str
    author_id: str | None = Field(default=None, description="what the forge knows the author by, if not the login")
    head: GitId
    head_tree: GitId
    base: GitId
    merge: GitId
    result: GitId | None = Field(default=None, description="tree of the merge, which is what was judged")


class Approval(Strict):
    """One counted approval: who, when, of which exact head."""

    login: str
    id: str | None = Field(default=None, description="what the forge knows the person by, if not the login")
    commit: GitId
    base: GitId | None = Field(default=None, description="what the target had when it was given, where that is known")
    submitted_at: str


class PromotionSpec(Strict):
    """The spec of a Promotion: why an environment came to run a release, and who said so."""

    model: ModelName
    environment: Name
    release: ReleaseNumber
    artifact: Digest
    evidence: Digest
    path: Literal["pull-request", "automatic", "emergency"]
    commit: GitId = Field(description="the commit that made the change")
    pull_request: PullRequestReference | None = None
    approvals: tuple[Approval, ...] = ()
    policy: Digest = Field(description="SHA-256 of the approval policy that was applied, from the base commit")
    reason: str
    promoted_at: str
    waivers: tuple[WaiverUse, ...] = Field(default=(), description="the exceptions that it relied on, as they stood")


def problems(promotion: Resource[PromotionSpec], around: Around) -> Iterator[Problem]:
    """Yield what a record says about its environment and release that does not hold."""
    spec, folder = promotion.spec, around.folder
    # Numbered per environment, as one release can come back: production-3 may be the second promotion of release 1.
    environment, _, number = promotion.name.rpartition("-")
    if environment != spec.environment or not number.isdigit():
        said = f"the record is about {spec.environment}, so its name is {spec.environment}-<number>"
        yield at(promotion, "metadata.name", "name-mismatch", said, "promotions are written by modelops")
    if spec.model != folder.name:
        hint = f"records stay under the name they were made under: leave {spec.model}'s behind, and say "
        hint += f"`formerly: [{spec.model}]` in model.yaml, so that they go on being proven"
        yield at(promotion, "spec.model", "name-mismatch", f"{spec.model!r} is another model", hint)
    if not around.known.has("Environment", None, spec.environment):
        said = f"there is no environment {spec.environment!r}"
        hint = nearest(spec.environment, around.known.all("Environment"), "environments")
        yield at(promotion, "spec.environment", "unknown-environment", said, hint)
    release = folder.of("Release").get(str(spec.release))
    if release is not None and release.spec.artifact.digest != spec.artifact:
        said = f"release {spec.release} has another artifact than the one that was promoted"
        yield at(promotion, "spec.artifact", "digest-mismatch", said, "releases are immutable: restore it from git")
    elif release is None and not around.known.has("Release", folder.name, str(spec.release)):
        said = f"there is no release {spec.release}"
        yield at(promotion, "spec.release", "unknown-release", said, around.release_hint())
