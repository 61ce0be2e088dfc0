"""`modelops pr`: pull requests on the project's forge, in the words of GitHub's own command line.

On the embedded forge a login is declared, not proven: `--as LOGIN`, or what stands before the @ of git's user.email.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli import _pr_report
from modelops.cli.output import emit, note, output_option

if TYPE_CHECKING:
    from modelops.forges import Decision, Forge, PullRequest
    from modelops.governance.judging.course import Violation
    from modelops.project.workspace import Workspace
    from modelops.repository import Repository

as_option = click.option("--as", "login", metavar="LOGIN", help="Who you are on the forge; by default from user.email.")
head_option = click.option(
    "--match-head-commit", "seen", metavar="SHA", help="Only if this still is the head; at least 7 digits of it."
)
result_option = click.option(
    "--match-result", "result", metavar="TREE", help="Only if merging still makes this tree; at least 7 digits of it."
)
number_argument = click.argument("number", type=click.IntRange(min=1))


_ATTEMPTS = 5
_MEND = "merge the target branch into yours, resolve the conflict, commit and push"


@click.group()
def command() -> None:
    """Pull requests of the project's forge."""


for _verb in (_pr_report.report, _pr_report.publish, _pr_report.approvals):
    command.add_command(_verb)


def _open() -> Workspace:
    """Open the repository around the current folder: only its project file must be sound, so that others can be mended.

    The answer is the same as for every other verb.
    """
    from modelops.governance.judged import by_approved_project
    from modelops.project.workspace import open_workspace

    workspace = open_workspace(warn=note)
    # Whom to ask, and with which secret, is not for a push that nobody approved to say.
    by_approved_project(workspace)
    return workspace


def _forge(workspace: Workspace, login: str | None) -> Forge:
    """Return the forge as who is asking; where one proves who one is, nobody can say that they are somebody else."""
    from modelops.errors import Exit, failure

    forge = workspace.forge_as(login)
    me = forge.whoami()
    if login is not None and me.login.lower() != login.lower():
        raise failure("not-you", f"you are {me} on this forge, not {login}", exit=Exit.USAGE, hint="leave out --as")
    return forge


def _emit(output: str, forge: Forge, pull: PullRequest, text: str) -> None:
    """Print what was done; what else the forge knows is asked for only where it is printed."""
    from modelops.governance.pulls import discussion
    from modelops.views import pull_requests as views

    emit(output, views.data(discussion(forge, pull)) if output == "json" else None, text)


def _push(repository: Repository, branch: str) -> None:
    """Push a local branch whose commits the remote does not have yet; the forge sees only what is pushed."""
    from modelops.errors import Exit, failure

    repository.fetch()
    shared = repository.find_tip(branch)
    local = repository.find_local(branch)
    if local is None or local == shared:
        return
    if shared is not None and repository.is_ancestor(local, shared):
        return
    if shared is not None and not repository.is_ancestor(shared, local):
        raise failure(
            "push-rejected",
            f"{branch!r} and the remote's {branch!r} have different commits",
            exit=Exit.FILES,
            hint=f"run `git pull --rebase {repository.remote} {branch}`, or push it by hand",
        )
    repository.push_branch(branch, local, expected=shared)
    note(f"pushed {branch} at {local[:12]}")


@command.command()
@click.option("--title", "-t", help="One line; by default the subject of the newest commit.")
@click.option("--body", "-b", default="", help="What the change is for.")
@click.option("--head", "-H", help="The branch to merge; by default the one that is checked out.")
@click.option("--label", "-l", "labels", multiple=True, help="A label; may be given several times.")
@as_option
@output_option
def create(
    title: str | None, body: str, head: str | None, labels: tuple[str, ...], login: str | None, output: str
) -> int:
    """Open a pull request from a branch, pushing it if the remote does not have it yet; one that is open is kept."""
    from modelops.views import pull_requests as views

    workspace = _open()
    forge, repository = _forge(workspace, login), workspace.repository
    branch = head or repository.require_branch()
    if branch != workspace.branch:
        _push(repository, branch)
    subject = title or repository.commit(repository.tip(branch)).subject
    opened = forge.open(title=subject, body=body, source=branch, labels=list(labels))
    if opened.already:
        _require_same(opened.pull, title, body, labels)
    said = "is open already:" if opened.already else "opened"
    _emit(output, forge, opened.pull, f"{said} {views.line(opened.pull)}")
    return 0


def _require_same(pull: PullRequest, title: str | None, body: str, labels: tuple[str, ...]) -> None:
    """Refuse to pass off an open pull request as what was asked for when it says something else."""
    from modelops.errors import Exit, failure

    differs = [f"the title is {pull.title!r}"] if title is not None and title.strip() != pull.title else []
    differs += ["the body is another"] if body and body != pull.body else []
    missing = [label for label in labels if label not in pull.labels]
    differs += [f"it has no label {', '.join(missing)}"] if missing else []
    if differs:
        raise failure(
            "pull-exists",
            f"pull request #{pull.number} is already open for {pull.source!r}, and not as asked: {'; '.join(differs)}",
            exit=Exit.USAGE,
            hint=f"leave that out, or close it first: modelops pr close {pull.number}",
        )


@command.command("list")
@click.option(
    "--state", "-s", type=click.Choice(["open", "merged", "closed", "all"]), default="open", show_default=True
)
@click.option("--label", "-l", help="Only those with this label.")
@click.option("--head", "-H", help="Only those from this branch.")
@output_option
def list_(state: str, label: str | None, head: str | None, output: str) -> int:
    """List pull requests."""
    from modelops.views import pull_requests as views

    found = _open().forge.find(label=label, source=head, state=state)  # type: ignore[arg-type]  # click checked it
    pulls = found[::-1]
    emit(output, views.list_data(pulls), lambda: views.list_text(pulls, state))
    return 0


@command.command()
@number_argument
@output_option
def view(number: int, output: str) -> int:
    """Show a pull request: what it changes, who reviewed it, and whether it may be merged."""
    from modelops.governance.pulls import discussion, look
    from modelops.reconcile.proposed import removals_of
    from modelops.views import pull_requests as views
    from modelops.views.proofs import branch

    workspace = _open()
    pull = workspace.forge.get(number)
    shown = look(workspace, workspace.forge, pull)
    said, gone = discussion(workspace.forge, pull), removals_of(workspace.repository, pull)
    emit(output, views.data(said, shown, gone), lambda: views.text(said, shown, gone))
    for one in _clears(workspace, pull):
        note(branch.clears_line(one))
    return 0


@command.command()
@number_argument
@output_option
def diff(number: int, output: str) -> int:
    """Print what merging a pull request changes, or did: nothing in the repository or in a setting hides any of it.

    Characters that are not seen are told by their names, as <U+202E>.
    """
    from modelops.errors import Exit, failure
    from modelops.governance.results import base_of, result_of
    from modelops.views import differences as view
    from modelops.views.proofs import branch

    workspace = _open()
    pull, repository = workspace.forge.get(number), workspace.repository
    result = result_of(repository, pull, base_of(repository, pull))
    if result.commit is None:
        raise failure("no-result", f"pull request #{number}: {result.trouble}", exit=Exit.NO, hint=_MEND)
    if result.trouble is not None:
        note(f"warning: pull request #{number}: {result.trouble}")
    found = repository.compare(result.base, result.commit)
    emit(output, view.data(found) if output == "json" else None, lambda: view.text(found))
    for one in _clears(workspace, pull):
        cleared = repository.compare(one.parent, one.commit)
        said = branch.clears_line(one)
        note(said) if output == "json" else click.echo(f"\n{said}\n{view.text(cleared)}")
    return 0


@command.command()
@number_argument
@click.option("--approve", "-a", "state", flag_value="approved", help="Say yes to this exact head.")
@click.option("--request-changes", "-r", "state", flag_value="changes-requested", help="Say no until it is changed.")
@click.option("--comment", "-c", "state", flag_value="commented", help="Say something, decide nothing.")
@click.option("--body", "-b", default="", help="What you have to say.")
@head_option
@result_option
@as_option
@output_option
def review(
    number: int, state: str | None, body: str, seen: str | None, result: str | None, login: str | None, output: str
) -> int:
    """Review what a pull request makes of its target; who has said the same of it before adds nothing.

    An approval by somebody who may not give it is kept and counts for nothing: the exit code is then 1.
    """
    from modelops.errors import Exit
    from modelops.governance.pulls import look, void
    from modelops.views import pull_requests as views

    if state is None:
        raise click.UsageError("say --approve, --request-changes or --comment")
    if state != "approved" and not body:
        raise click.UsageError(f"--{state.replace('changes-requested', 'request-changes')} needs a --body")
    workspace = _open()
    forge = _forge(workspace, login)
    pull = forge.get(number)
    _require_result(workspace.repository, pull, result)
    before = forge.reviews(number)
    given = forge.review(number, _decision(state), head=_seen(pull, seen), body=body)
    why = void(look(workspace, forge, pull), given)
    _emit(output, forge, pull, views.review_text(number, given, why, already=given in before))
    if why is not None and output == "json":
        note(views.review_text(number, given, why))
    return Exit.OK if why is None else Exit.NO


def _decision(state: str) -> Decision:
    return state  # type: ignore[return-value]  # click knows no other


def _seen(pull: PullRequest, seen: str | None) -> str:
    """Return the whole id of the head that a person says they saw; any other one is left to the forge to refuse."""
    return pull.head if seen is None or (len(seen) >= 7 and pull.head.startswith(seen.lower())) else seen


@command.command()
@number_argument
@click.option("--body", "-b", required=True, help="What you have to say.")
@click.option("--key", help="Replace your comment with this key instead of adding one.")
@as_option
@output_option
def comment(number: int, body: str, key: str | None, login: str | None, output: str) -> int:
    """Comment on a pull request."""
    workspace = _open()
    forge = _forge(workspace, login)
    unique = hashlib.sha256(f"{workspace.clock().isoformat()} {body}".encode()).hexdigest()[:12]
    forge.comment(number, key or f"{forge.whoami()}/{unique}", body)
    _emit(output, forge, forge.get(number), f"commented on #{number}")
    return 0


@command.command()
@number_argument
@head_option
@result_option
@as_option
@output_option
def merge(number: int, seen: str | None, result: str | None, login: str | None, output: str) -> int:
    """Merge a pull request that has the approvals which the policies of its base ask for.

    One that is merged already is left as it is; a merge that was interrupted is finished.
    """
    from modelops.errors import ModelOpsError
    from modelops.governance.judged import known
    from modelops.views import pull_requests as views

    workspace = _open()
    forge = _forge(workspace, login)
    for attempt in range(_ATTEMPTS):
        pull = forge.get(number)
        _require_result(workspace.repository, pull, result)
        base = _require_approved(workspace, pull) if pull.state == "open" else None
        try:
            merged = forge.merge(number, head=_seen(pull, seen), base=base)
            break
        except ModelOpsError as error:
            # Somebody else merged meanwhile: what this one makes now is judged anew.
            if error.first.code != "base-moved" or attempt + 1 == _ATTEMPTS:
                raise
    _emit(output, forge, merged, views.merged_text(pull, merged))
    with suppress(ModelOpsError):
        # What was judged just now is remembered, so that the next verb need not judge it.
        known(workspace)
    return 0


def _require_approved(workspace: Workspace, pull: PullRequest) -> str:
    """Return the commit of the target that a pull request may be merged into as it is, or say what is missing."""
    from modelops.errors import Exit, ModelOpsError, Problem
    from modelops.governance.endorsing import require_signed
    from modelops.governance.pulls import judge_open

    repository = workspace.repository
    # What the target has now counts, whichever of its commits the forge compares with.
    base = repository.tip(pull.target)
    verdict = judge_open(workspace, workspace.forge, pull, base)
    if not verdict.ok:
        troubled = verdict.result is not None and verdict.result.trouble is not None
        hint = f"ask for a review: modelops pr review {pull.number} --approve --as LOGIN"
        hint = _MEND if troubled else f"modelops pr close {pull.number}" if verdict.signed else hint
        problems = [Problem("not-approved", reason) for reason in verdict.reasons[:-1]]
        problems.append(Problem("not-approved", verdict.reasons[-1], hint=hint))
        raise ModelOpsError(*problems, exit=Exit.NO)
    require_signed(workspace, pull)
    for reason in verdict.reasons:
        note(reason)
    return base


def _require_result(repository: Repository, pull: PullRequest, seen: str | None) -> None:
    """Refuse to speak of anything else than what a person says they saw: the tree that merging makes."""
    from modelops.errors import Exit, failure
    from modelops.governance.results import base_of, result_of

    if seen is None:
        return
    tree = result_of(repository, pull, base_of(repository, pull)).tree or "nothing"
    if len(seen) < 7 or not tree.startswith(seen.lower()):
        raise failure(
            "result-moved",
            f"#{pull.number} makes {tree[:12]} of {pull.target}, not {seen[:12]}",
            exit=Exit.NO,
            hint=f"look at it again: modelops pr view {pull.number}",
            retryable=True,
        )


@command.command()
@click.argument("number", required=False, type=click.IntRange(min=1))
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sign with the private key of this file; by default with the one that the project names.",
)
@as_option
@output_option
def endorse(number: int | None, key: Path | None, login: str | None, output: str) -> int:
    """Sign the trust policy that a pull request, or the checked-out branch, proposes, with a key that is trusted now.

    A change of policies/trust.yaml counts only with as many such signatures as the policy before it asks for. The
    signature is committed on the branch; it is no approval.
    """
    from modelops.errors import Exit, failure
    from modelops.governance.endorsing import endorse as sign
    from modelops.views.proofs import trust as view

    workspace = _open()
    forge = _forge(workspace, login)
    pull = forge.get(number) if number is not None else None
    if pull is not None and pull.state != "open":
        raise failure("pull-not-open", f"pull request #{pull.number} is {pull.state}", exit=Exit.NO)
    branch = pull.source if pull is not None else workspace.repository.require_branch()
    if pull is None and branch != workspace.branch:
        _push(workspace.repository, branch)
    found = sign(workspace, branch, str(forge.whoami()), key)
    emit(output, view.endorsed_data(found), lambda: view.endorsed_text(found))
    return 0


@command.command()
@number_argument
@as_option
@output_option
def close(number: int, login: str | None, output: str) -> int:
    """Close a pull request without merging it."""
    from modelops.views import pull_requests as views

    forge = _forge(_open(), login)
    before = forge.get(number)
    pull = forge.close(number)
    _emit(output, forge, pull, views.closed_text(before, pull))
    return 0


def _clears(workspace: Workspace, pull: PullRequest) -> tuple[Violation, ...]:
    """Return the commits that nobody approved and that merging an open pull request clears."""
    from modelops.governance.judged import cleared_by

    return cleared_by(workspace, pull) if pull.state == "open" else ()


@command.command()
@click.option("--since", metavar="REV", required=True, help="What the checked-out commit would be merged into.")
@click.option("--to", "address", metavar="STORE", required=True, help="A folder, or the address of a store.")
@output_option
def fetch(since: str, address: str, output: str) -> int:
    """Copy what the builds of a change read and are compared with from the project's store to another one.

    That is rows that no clone has, and the stable release.

    A machine that runs proposed code builds with MODELOPS_STORE set to that one, and needs no way to the project's.
    """
    from dataclasses import asdict

    from modelops.changes.fetching import fetch_compared
    from modelops.governance.judged import by_approved_project
    from modelops.project.workspace import open_workspace
    from modelops.stores import open_at

    workspace = open_workspace(warn=note)
    by_approved_project(workspace)
    found = fetch_compared(workspace, open_at(address, Path.cwd(), workspace.environ), since, note)
    for one in found:
        if one.missing is not None:
            what = (
                f"the data {one.snapshot} of {one.model} are not here"
                if one.snapshot is not None
                else (f"{one.model} will not be compared with release {one.release}")
            )
            note(f"warning: {what}: {one.missing}")
    Path(address).mkdir(parents=True, exist_ok=True) if ":" not in address else None
    emit(output, [asdict(one) for one in found], f"{sum(one.missing is None for one in found)} of {len(found)} fetched")
    return 0
