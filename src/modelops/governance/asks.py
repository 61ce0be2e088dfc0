"""What a pull request asks for, in a form that machines read: the block of its body, held against what git shows.

Labels and branches are names for people and for finding. Anybody may give a pull request any of them, and whoever may
edit a body may edit its block: a block counts if the loop's own account wrote the pull request, or if the commits
behind it do what it says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from modelops.errors import ModelOpsError
from modelops.forges import PullRequest, read_block, write_block
from modelops.repository import Repository
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.layout import DEPLOYMENT, SNAPSHOT, Seat, promotions_folder
from modelops.spec.load import load_resource
from modelops.spec.meta import Digest, ModelName, Name, Strict

__all__ = [
    "Ask",
    "ConclusionAsk",
    "PromotionAsk",
    "RestorationAsk",
    "RetrainingAsk",
    "ask_in",
    "asks_for",
    "content_of",
    "overtaken",
    "retrains",
    "stable_at",
    "with_ask",
]


class PromotionAsk(Strict):
    """Put a release on trial: as the candidate, or as a challenger."""

    kind: Literal["promotion"] = "promotion"
    model: ModelName
    environment: Name
    release: int
    role: str


class ConclusionAsk(Strict):
    """Make the winner of one rollout stable; ``salt`` says of which."""

    kind: Literal["conclusion"] = "conclusion"
    model: ModelName
    environment: Name
    release: int
    salt: str


class RetrainingAsk(Strict):
    """Train on a snapshot of what an environment was asked lately; ``root`` is that of the snapshot."""

    kind: Literal["retraining"] = "retraining"
    model: ModelName
    environment: Name
    snapshot: Name
    root: Digest


class RestorationAsk(Strict):
    """Take a model's inputs back to those of the stable release; ``content`` says which files are changed to what."""

    kind: Literal["restoration"] = "restoration"
    model: ModelName
    environment: Name
    failed: int
    stable: int
    content: Digest


Ask = PromotionAsk | ConclusionAsk | RetrainingAsk | RestorationAsk
_ASK: TypeAdapter[Ask] = TypeAdapter(Annotated[Ask, Field(discriminator="kind")])


def with_ask(body: str, ask: Ask) -> str:
    """Return a body that says for machines too what is asked."""
    return write_block(body, ask.model_dump(mode="json", by_alias=True))


def ask_in(pull: PullRequest) -> Ask | None:
    """Return what the block of a pull request says; None without one that can be read. It proves nothing yet."""
    facts = read_block(pull.body)
    if facts is None:
        return None
    try:
        return _ASK.validate_python(facts)
    except ValidationError:
        return None


def asks_for(repository: Repository, tip: str, head: str, ask: Ask) -> bool:
    """Tell whether the commits up to ``head`` do what is said to be asked, whatever a body and labels say.

    ``tip`` is the branch that they would be merged into; commits that are not here do nothing.
    """
    try:
        # What it asks for is what it was written for, also where it conflicts by now. From every fork, where histories
        # cross: a change that one of them hides is none the less made.
        changed = _changed(repository, tip, head)
        match ask:
            case PromotionAsk():
                return _promotes(repository, head, ask, changed)
            case ConclusionAsk():
                return _concludes(repository, head, ask, changed)
            case RetrainingAsk():
                return _trains_on(repository, head, ask)
            case RestorationAsk():
                there = repository.read_many(head, sorted(changed & repository.paths(head).keys()))
                return content_of({path: there.get(path) for path in changed}) == ask.content
    except ModelOpsError:
        return False


def content_of(files: Mapping[str, bytes | None]) -> str:
    """Return the digest of a change: its paths and what each holds then; None is a file that is gone."""
    digest = hashlib.sha256()
    for path, data in sorted(files.items()):
        digest.update(f"{path}\0{'-' if data is None else hashlib.sha256(data).hexdigest()}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def overtaken(repository: Repository, tip: str, head: str) -> bool:
    """Tell whether the branch changed what the commits up to ``head`` change too, since they left it."""
    return not _changed(repository, tip, head).isdisjoint(_changed(repository, head, tip))


def _changed(repository: Repository, other: str, commit: str) -> set[str]:
    """Return what a commit changed since its history and another's went apart."""
    forks = repository.merge_bases(other, commit)
    return {path for fork in forks for path in repository.changed_paths(fork, commit)}


def retrains(repository: Repository, tip: str, pull: PullRequest, model: str, folder: str) -> bool:
    """Tell whether a pull request is a retraining of a model that the loop, or its commits, speak for.

    Those of 0.1.0 have no block: the loop opened them from branches below ``folder``.
    """
    ask = ask_in(pull)
    if isinstance(ask, RetrainingAsk) and ask.model == model:
        return pull.author.machine or asks_for(repository, tip, pull.head, ask)
    return pull.author.machine and read_block(pull.body) is None and pull.source.startswith(folder)


def stable_at(repository: Repository, head: str, seat: Seat) -> int | None:
    """Return the release that is stable in an environment as of a commit; None if it does not say, or is not here."""
    try:
        deployment = _deployment(repository, head, seat.deployment)
    except ModelOpsError:
        return None
    return deployment.stable if deployment is not None else None


def _trains_on(repository: Repository, head: str, ask: RetrainingAsk) -> bool:
    path = SNAPSHOT.path(ask.model, ask.snapshot)
    if path not in repository.paths(head, path):
        return False
    root: str = load_resource(repository.read(head, path), path).spec.root
    return root == ask.root


def _deployment(repository: Repository, head: str, path: str) -> DeploymentSpec | None:
    if path not in repository.paths(head, path):
        return None
    spec: DeploymentSpec = load_resource(repository.read(head, path), path).spec
    return spec


def _promotes(repository: Repository, head: str, ask: PromotionAsk, changed: set[str]) -> bool:
    path = DEPLOYMENT.path(ask.model, ask.environment)
    if changed != {path}:
        return False
    deployment = _deployment(repository, head, path)
    if deployment is None:
        return False
    return ask.release in ((deployment.candidate,) if ask.role == "candidate" else deployment.challengers)


def _concludes(repository: Repository, head: str, ask: ConclusionAsk, changed: set[str]) -> bool:
    """Ending a rollout well changes the environment's file and signs the outcome, and nothing else."""
    path, records = DEPLOYMENT.path(ask.model, ask.environment), promotions_folder(ask.model)
    others = changed - {path}
    if path not in changed or not others or not all(other.startswith(records) for other in others):
        return False
    deployment = _deployment(repository, head, path)
    return deployment is not None and deployment.stable == ask.release and deployment.candidate is None
