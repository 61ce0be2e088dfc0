"""Landing what the loop decides on the branch: by a commit, or by a pull request where the branch takes nothing else.

Whichever way it comes, it is signed, and it counts by that. A pull request of facts waits for somebody to merge it;
nobody has to approve it for modelops, and every later pass finds it and goes on when it is there. A branch that holds
anything else than what the loop signed is left to whoever made it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import MACHINE as LOGIN
from modelops.forges import Explanation, Forge, PullRequest
from modelops.governance.judged import oversteps, signed_by_loop, signed_fact
from modelops.governance.judging.facts import FACTS, still_counts
from modelops.governance.publishing import APPROVALS_CHECK, GATES_CHECK
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
    repository, now = workspace.repository, workspace.clock()
    repository.fetch()
    tip = workspace.tip()
    landing = change(tip)
    if landing is None:
        repository.follow(workspace.branch)
        return
    subject = landing.message.split("\n", 1)[0]
    told = "\n".join([subject, *sorted(landing.files)])

    def alike(head: str) -> bool:
        return still_counts(repository, tip, head, None) and set(repository.changed_paths(f"{head}^", head)) == set(
            landing.files
        )

    def same(head: str) -> bool:
        # Whoever may push may have pushed it: that it is called so says nothing of what it holds.
        return (
            alike(head) and still_counts(repository, tip, head, now) and signed_fact(workspace, tip, head) is not None
        )

    branch, foreign = _branch(workspace, tip, f"{FACTS}-{digest_bytes(told.encode()).partition(':')[2][:12]}")
    forge = workspace.forge_as(LOGIN)
    closed = next(iter(forge.find(source=branch, state="closed", limit=1)), None)
    refused = closed is not None and alike(closed.head) and signed_by_loop(workspace, tip, closed.head)
    if closed is not None and refused and not _by_machine(closed):
        raise _refused(closed, subject)
    commit = repository.commit_files(
        tip, landing.files, landing.message, person, now, workspace.commit_signature(purpose)
    )
    opened = open_pull(workspace, branch, commit, subject, _body(workspace, landing), FACTS, LOGIN, same)
    silent: str | None = f"#{opened.pull.number} has another head meanwhile"
    if signed_fact(workspace, tip, opened.pull.head) is not None:
        silent = _check(forge, opened.pull, "success", "signed by the loop", GATES_CHECK, APPROVALS_CHECK)
    silent = _close_others(workspace, forge, tip, opened.pull, landing) or silent
    left = f"; {', '.join(foreign)} holds what the loop did not sign, and is left" if foreign else ""
    untold = f"; its checks cannot be written: {silent}" if silent else ""
    raise failure(
        PROPOSED,
        f"{workspace.branch} takes changes by pull requests alone: #{opened.pull.number} brings `{subject}`"
        f"{left}{untold}",
        exit=Exit.OK,
        hint=f"merge #{opened.pull.number}; it counts by its signature, and the next pass goes on from there",
    )


def _branch(workspace: Workspace, tip: str, name: str) -> tuple[str, list[str]]:
    """Return the first branch of a name that is free or the loop's own, and those that hold something else."""
    foreign: list[str] = []
    for number in count(1):
        branch = name if number == 1 else f"{name}-{number}"
        head = workspace.repository.find_tip(branch)
        if head is None or signed_by_loop(workspace, tip, head):
            return branch, foreign
        foreign.append(branch)
    raise AssertionError("numbers do not end")


def _check(forge: Forge, pull: PullRequest, conclusion: str, title: str, *names: str) -> str | None:
    """Conclude checks of a pull request of facts: no workflow starts for it; return why it cannot be done."""
    said = Explanation(title, "What the loop signed counts by that, as long as nothing else is asked for since.")
    try:
        for name in names:
            forge.check(pull.number, name, conclusion, commit=pull.head, said=said)
    except ModelOpsError as error:
        if error.retryable:
            raise
        return f"{error.first.message}; close it and open it again, so that `publish.yml` writes them"
    return None


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


def _close_others(workspace: Workspace, forge: Forge, tip: str, kept: PullRequest, landing: Landing) -> str | None:
    """Close the other pull requests of facts that have come too late, or that say something else of the same files.

    The checks of a commit stay with it, so that they are taken back first: who opens it again cannot merge it by them.
    """
    repository, now = workspace.repository, workspace.clock()
    silent = None
    for pull in forge.find(label=FACTS):
        if pull.number == kept.number or not pull.source.startswith(f"{FACTS}-"):
            continue
        late = not still_counts(repository, tip, pull.head, now)
        if late or not landing.files.keys().isdisjoint(repository.changed_paths(f"{pull.head}^", pull.head)):
            if pull.head != kept.head:
                title = "it comes too late" if late else f"#{kept.number} is asked for in its place"
                silent = _check(forge, pull, "failure", title, APPROVALS_CHECK) or silent
            forge.close(pull.number)
    return silent
