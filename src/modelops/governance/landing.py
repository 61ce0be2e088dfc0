"""Landing what the loop decides on the branch: by a commit, or by a pull request where the branch takes nothing else.

Whichever way it comes, it is signed, and it counts by that. A pull request of facts waits for somebody to merge it;
nobody has to approve it for modelops, and every later pass finds it and goes on when it is there.
"""

from __future__ import annotations

from collections.abc import Callable

from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import MACHINE as LOGIN
from modelops.forges import Forge, PullRequest
from modelops.governance.judged import oversteps
from modelops.governance.judging.facts import FACTS, still_counts
from modelops.governance.pulls import open_pull
from modelops.project.workspace import MACHINE, Workspace
from modelops.repository import Landing, Person
from modelops.spec.kinds.trust_policy import Purpose

__all__ = ["PROPOSED", "land"]

PROPOSED = "facts-proposed"
"""The code of what waits in a pull request: nothing is wrong, and somebody has to merge it."""


def land(
    workspace: Workspace, change: Callable[[str], Landing | None], purpose: Purpose, person: Person = MACHINE
) -> str | None:
    """Put one signed commit on the project's branch, as ``Repository.land`` does; return its id there.

    Where the branch is protected from this machine, it is asked for by a pull request, which is ``facts-proposed``.
    """
    repository, now = workspace.repository, workspace.clock()
    sign, forge = workspace.commit_signature(purpose), _forge(workspace)
    if forge is None:
        return repository.land(workspace.branch, change, person, now, sign=sign)
    inscribe = workspace.commit_inscription(purpose) if forge.inscribes else None

    def put(tip: str, commit: str) -> str | None:
        reason = oversteps(workspace, tip, commit) if sign is not None else None
        if reason is not None:
            # A defect here must not become a commit that stops everybody.
            raise failure("loop-overstepped", f"what was to be committed is refused: {reason}", exit=Exit.BUG)
        return forge.put(tip, commit)

    signed = sign if inscribe is None else None
    try:
        return repository.land(workspace.branch, change, person, now, sign=signed, inscribe=inscribe, put=put)
    except ModelOpsError as error:
        if error.first.code != "branch-protected" or sign is None:
            raise
    _propose(workspace, change, purpose, person)
    return None


def _forge(workspace: Workspace) -> Forge | None:
    """Return the forge as the loop, None where it cannot be opened: then a push is tried, as without any."""
    try:
        forge = workspace.forge_as(LOGIN)
        _ = forge.inscribes
    except ModelOpsError as error:
        if error.first.code.startswith("app-"):
            # Whoever gave a key meant it to be used: what is wrong with it is not hidden behind a refused push.
            raise
        return None
    return forge


def _propose(workspace: Workspace, change: Callable[[str], Landing | None], purpose: Purpose, person: Person) -> None:
    """Open the pull request that brings what was decided, or find the open one; None where the branch has it now."""
    repository = workspace.repository
    repository.fetch()
    tip = workspace.tip()
    landing = change(tip)
    if landing is None:
        repository.follow(workspace.branch)
        return
    subject = landing.message.split("\n", 1)[0]
    told = "\n".join([subject, *sorted(landing.files)])
    branch = f"{FACTS}-{digest_bytes(told.encode()).partition(':')[2][:12]}"

    def same(head: str) -> bool:
        return still_counts(repository, tip, head) and set(repository.changed_paths(f"{head}^", head)) == set(
            landing.files
        )

    forge = workspace.forge_as(LOGIN)
    closed = next(iter(forge.find(source=branch, state="closed", limit=1)), None)
    if closed is not None and same(closed.head) and not _by_machine(closed):
        raise _refused(closed, subject)
    commit = repository.commit_files(
        tip, landing.files, landing.message, person, workspace.clock(), workspace.commit_signature(purpose)
    )
    opened = open_pull(workspace, branch, commit, subject, _body(workspace, landing), FACTS, LOGIN, same)
    _close_others(workspace, forge, tip, opened.pull, landing)
    raise failure(
        PROPOSED,
        f"{workspace.branch} takes changes by pull requests alone: #{opened.pull.number} brings `{subject}`",
        exit=Exit.OK,
        hint=f"merge #{opened.pull.number}; it counts by its signature, and the next pass goes on from there",
    )


def _by_machine(pull: PullRequest) -> bool:
    return pull.closed_by is not None and pull.closed_by.machine


def _refused(pull: PullRequest, subject: str) -> ModelOpsError:
    who = f" by {pull.closed_by}" if pull.closed_by is not None else ""
    return failure(
        "facts-closed",
        f"pull request #{pull.number} brings `{subject}`, and was closed{who}",
        exit=Exit.NO,
        hint=f"reopen it and merge it: gh pr reopen {pull.number}; or change in git what asks for it",
    )


def _body(workspace: Workspace, landing: Landing) -> str:
    more = landing.message.partition("\n")[2].strip()
    files = "\n".join(f"- `{path}`" for path in sorted(landing.files))
    return "\n\n".join(
        filter(
            None,
            (
                f"modelops decided this and signed it, and {workspace.branch} takes changes by pull requests alone.",
                more,
                f"Merging is all that is left to do, in whichever way; nothing else may be in it.\n\n{files}",
            ),
        )
    )


def _close_others(workspace: Workspace, forge: Forge, tip: str, kept: PullRequest, landing: Landing) -> None:
    """Close the other pull requests of facts that have come too late, or that say something else of the same files."""
    repository = workspace.repository
    for pull in forge.find(label=FACTS):
        if pull.number == kept.number or not pull.source.startswith(f"{FACTS}-"):
            continue
        late = not still_counts(repository, tip, pull.head)
        if late or not landing.files.keys().isdisjoint(repository.changed_paths(f"{pull.head}^", pull.head)):
            forge.close(pull.number)
