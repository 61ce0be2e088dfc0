"""Speaking on pull requests about what was measured elsewhere: which they are, and what counts of who approved them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import Explanation, Forge, PullRequest
from modelops.governance.approvals import ApprovalVerdict
from modelops.governance.pulls import judge_open, look
from modelops.governance.results import Result
from modelops.project.workspace import Workspace
from modelops.spec.layout import MODELS, POLICIES

__all__ = [
    "APPROVALS_CHECK",
    "COMMENT",
    "GATES_CHECK",
    "Place",
    "Stand",
    "elsewhere",
    "measuring",
    "off_base",
    "places",
    "renewed",
    "speak",
    "stand",
]

COMMENT = "modelops/report"
_QUEUE = "gh-readonly-queue/"
GATES_CHECK, APPROVALS_CHECK = "modelops/gates", "modelops/approvals"


@dataclass(frozen=True, slots=True)
class Place:
    """A pull request and the commit that checks are of: its head, or what a merge queue tries on ``base``."""

    pull: PullRequest
    commit: str
    base: str | None = None


@dataclass(frozen=True, slots=True)
class Stand:
    """How the approvals of a place stand; without a verdict ``trouble`` says why there can be none."""

    verdict: ApprovalVerdict | None
    result: Result | None
    trouble: str | None


def places(forge: Forge, commit: str | None, number: int | None) -> tuple[Place, ...]:
    """Return the open pull requests that a commit is the head of, else the one that a merge queue tries as it.

    With a number that one has to be among them; without a commit it is that one's head. Checks are of a commit, so that
    all of them are asked about.
    """
    if commit is None:
        if number is None:
            raise failure("report-stale", "neither a pull request nor a commit is named", exit=Exit.USAGE)
        commit = forge.get(number).head
    # A head that moved on while it was looked for is not judged here and spoken of there.
    found = tuple(Place(pull, commit) for pull in forge.find(head=commit) if pull.head == commit)
    queued = forge.queued(commit) if not found else None
    if queued is not None:
        found = (Place(queued[0], commit, queued[1]),)
    if number not in (None, *(one.pull.number for one in found)):
        raise _stale(f"it is not the head of #{number}, or that is not open", commit)
    if not found:
        raise _stale("it is the head of no open pull request, and in no merge queue", commit)
    return found


def _stale(why: str, commit: str) -> ModelOpsError:
    hint = "the run of the newer head speaks of it; nothing was written"
    return failure("report-stale", f"nothing is said of {commit[:12]}: {why}", exit=Exit.NO, hint=hint)


def off_base(workspace: Workspace, found: Sequence[Place], base: str) -> ModelOpsError | None:
    """Return why what was measured against a base says nothing of these places, None if it does.

    The base is a commit of the project's own branch, of a queue also what the queue tries it on.
    """
    line = workspace.repository.line(workspace.tip(), POLICIES)
    on_line = base in line.places
    for place in found:
        if not on_line and base != place.base:
            said = f"it was measured against {base[:12]}, which is no commit of {workspace.branch}"
            hint = f"modelops pr report --since refs/remotes/origin/{workspace.branch} --out FILE; then run it again"
            return failure("report-invalid", said, hint=hint)
    return None


def stand(workspace: Workspace, place: Place) -> Stand:
    """Ask who has reviewed, and judge by the policies of the base: of the target, or of what a queue tries it on."""
    repository, forge = workspace.repository, workspace.forge
    if place.base is None:
        seen = look(workspace, forge, place.pull)
        return Stand(seen.verdict, seen.result, seen.result.trouble)
    verdict = judge_open(workspace, forge, place.pull, place.base)
    result = verdict.result
    trouble = result.trouble if result is not None else None
    if trouble is None and result is not None and result.tree != repository.tree_id(place.commit, ""):
        trouble = f"the queue tries {place.commit[:12]}, which is not what merging it into {place.base[:12]} makes"
    return Stand(verdict, result, trouble)


def measuring(found: Stand) -> tuple[str, ...]:
    """Return the files of a change that may say how it is measured.

    The workflows do, what they install and the lock by which they do it, and whatever else a program finds where it is
    started. What modelops reads as data or runs behind the fence does not, nor does what people read.
    """
    paths = found.result.paths if found.result is not None else ()
    return tuple(path for path in paths if ".github" in path.split("/") or not _is_content(path))


def _is_content(path: str) -> bool:
    return path.startswith((MODELS, POLICIES, "data/")) or path.endswith(".md")


def elsewhere(forge: Forge, found: Sequence[Place], branch: str | None) -> tuple[str, ...]:
    """Return why a run on a commit may not be of the workflows of the project's branch, a sentence for each reason.

    A forge runs a pull request by what the branch has that it is into, and tells which commit and branch it ran on, not
    for which pull request. ``branch`` is the one it ran on, as `PullRequest.source` names it; None where nobody said.
    """
    told: dict[str, None] = {}
    if branch is not None and not any(_is_of(branch, place) for place in found):
        told[f"the run was on the branch {branch}, and none of these pull requests is from there"] = None
    for place in found:
        for other in forge.other_targets(place.pull, place.commit):
            told[f"what #{place.pull.number} proposes was also to be merged into {other}"] = None
    return tuple(told)


def _is_of(branch: str, place: Place) -> bool:
    queue = f"{_QUEUE}{place.pull.target}/pr-{place.pull.number}-"
    return branch.startswith(queue) if place.base is not None else branch == place.pull.source


def renewed(forge: Forge, place: Place, change: Callable[[str], str | None]) -> str | None:
    """Return what the comment of a pull request is to say after a change; None where there is nothing to change."""
    if place.base is not None:
        return None
    me = forge.whoami().id
    own = [one for one in forge.comments(place.pull.number) if one.key == COMMENT and one.by.id == me]
    return change(own[0].body) if own else None


def speak(
    forge: Forge,
    place: Place,
    checks: Sequence[tuple[str, str, Explanation]],
    body: str | None,
) -> None:
    """Write checks and, unless it is None, the comment; what may not be written keeps nothing else from being."""
    problems: list[ModelOpsError] = []
    for name, conclusion, said in checks:
        try:
            forge.check(place.pull.number, name, conclusion, commit=place.commit, said=said)
        except ModelOpsError as error:
            problems.append(error)
    if body is not None and place.base is None:
        try:
            forge.comment(place.pull.number, COMMENT, body)
        except ModelOpsError as error:
            problems.append(error)
    if problems:
        told = dict.fromkeys(problem for error in problems for problem in error.problems)
        retryable = any(error.retryable for error in problems)
        raise ModelOpsError(*told, exit=max(error.exit for error in problems), retryable=retryable)
