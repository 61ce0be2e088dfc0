"""`modelops pr`: pull requests on the project's forge, in the words of GitHub's own command line.

On the embedded forge a login is declared, not proven: `--as LOGIN`, or what stands before the @ of git's user.email.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from modelops.cli.output import emit, note, output_option, table

if TYPE_CHECKING:
    from modelops.clock import Clock
    from modelops.forges import Forge, PullRequest
    from modelops.reconcile.approvals import ApprovalVerdict
    from modelops.repository import Repository

as_option = click.option("--as", "login", metavar="LOGIN", help="Who you are on the forge; by default from user.email.")
number_argument = click.argument("number", type=click.IntRange(min=1))


@click.group()
def command() -> None:
    """Pull requests of the project's forge."""


@dataclass(frozen=True)
class Desk:
    """What a reviewer needs of a checkout: only its project file must be sound, so that broken ones can be repaired."""

    repository: Repository
    forge: Forge
    branch: str
    clock: Clock

    def login(self, declared: str | None) -> str:
        """Return who is asking."""
        return declared or self.repository.user().login


def _open() -> Desk:
    """Open the repository around the current folder and the forge that its project file names."""
    from modelops import plugins
    from modelops.clock import clock_from
    from modelops.repository import Repository
    from modelops.spec.load import load_resource
    from modelops.spec.policy import ProjectSpec

    repository = Repository.discover(warn=note)
    path = "policies/project.yaml"
    head = repository.head()
    known = path in repository.paths(head, path)
    project: ProjectSpec = load_resource(repository.read(head, path), path).spec if known else ProjectSpec()
    if project.remote != repository.remote:
        repository = Repository.discover(remote=project.remote, warn=note)
    module = plugins.load("forges", project.forge.type)
    params = module.Params.model_validate(project.forge.params, strict=False)
    return Desk(repository, module.open(params, repository), project.branch, clock_from())


def _data(pull: PullRequest) -> dict[str, Any]:
    return {
        "number": pull.number,
        "title": pull.title,
        "body": pull.body,
        "state": pull.state,
        "author": pull.author,
        "source": pull.source,
        "target": pull.target,
        "head": pull.head,
        "base": pull.base,
        "pushers": list(pull.pushers),
        "labels": list(pull.labels),
        "merge": pull.merge,
        "mergedBy": pull.merged_by,
        "supersededBy": pull.superseded_by,
        "checks": dict(pull.checks),
        "reviews": [
            {
                "login": review.login,
                "state": review.state,
                "commit": review.commit,
                "submittedAt": review.submitted_at,
                "body": review.body,
            }
            for review in pull.reviews
        ],
        "comments": [{"key": one.key, "login": one.login, "body": one.body} for one in pull.comments],
    }


def _line(pull: PullRequest) -> str:
    return f"#{pull.number} {pull.title} ({pull.source} into {pull.target}, {pull.state})"


def _push(desk: Desk, branch: str) -> None:
    """Push a local branch whose commits the remote does not have yet; the forge sees only what is pushed."""
    from modelops.errors import Exit, failure

    repository = desk.repository
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
            hint=f"run `git pull --rebase origin {branch}`, or push it by hand",
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
    """Open a pull request from a branch, pushing it if the remote does not have it yet."""
    desk = _open()
    who = desk.login(login)
    repository = desk.repository
    branch = head or repository.require_branch()
    if branch != desk.branch:
        _push(desk, branch)
    subject = title or repository.commit(repository.tip(branch)).subject
    pull = desk.forge.open(title=subject, body=body, source=branch, as_=who, now=desk.clock(), labels=list(labels))
    emit(output, _data(pull), f"opened {_line(pull)}")
    return 0


@command.command("list")
@click.option(
    "--state", "-s", type=click.Choice(["open", "merged", "closed", "all"]), default="open", show_default=True
)
@output_option
def list_(state: str, output: str) -> int:
    """List pull requests."""
    pulls = _open().forge.list(state)  # type: ignore[arg-type]  # click checked the choice
    rows = [(f"#{pull.number}", pull.state, pull.author, pull.source, pull.head[:12], pull.title) for pull in pulls]
    text = table(("number", "state", "author", "source", "head", "title"), rows) if rows else f"no {state} pull request"
    emit(output, [_data(pull) for pull in pulls], text.replace("no all", "no"))
    return 0


@command.command()
@number_argument
@output_option
def view(number: int, output: str) -> int:
    """Show a pull request: what it changes, who reviewed it, and whether it may be merged."""
    desk = _open()
    pull = desk.forge.get(number)
    verdict = _judge(desk, pull) if pull.state == "open" else None
    data = _data(pull) | {"files": _changed(desk, pull)}
    if verdict is not None:
        data["approved"] = verdict.ok
        data["reasons"] = list(verdict.reasons)
    emit(output, data, lambda: _view(pull, data["files"], verdict))
    return 0


def _view(pull: PullRequest, files: list[str], verdict: ApprovalVerdict | None) -> str:
    lines = [_line(pull), f"author {pull.author}, head {pull.head[:12]}, base {pull.base[:12]}"]
    if pull.merge:
        lines.append(f"merged by {pull.merged_by} as {pull.merge[:12]}")
    if pull.superseded_by:
        lines.append(f"superseded by #{pull.superseded_by}")
    lines += ["", pull.body] if pull.body else []
    lines += ["", "files:", *(f"  {path}" for path in files)]
    lines += ["checks:", *(f"  {name}: {conclusion}" for name, conclusion in pull.checks)] if pull.checks else []
    if pull.reviews:
        lines.append("reviews:")
        lines += [
            f"  {one.login} {one.state} {one.commit[:12]} {one.submitted_at} {one.body}".rstrip()
            for one in pull.reviews
        ]
    if verdict is not None:
        lines += [f"approvals: {'enough' if verdict.ok else 'not enough'}", *(f"  {said}" for said in verdict.reasons)]
    for comment in pull.comments:
        lines += ["", f"{comment.login}:", comment.body]
    return "\n".join(lines)


@command.command()
@number_argument
def diff(number: int) -> int:
    """Print what a pull request changes."""
    desk = _open()
    pull = desk.forge.get(number)
    repository = desk.repository
    click.echo(repository.diff(repository.merge_base(pull.base, pull.head), pull.head), nl=False)
    return 0


@command.command()
@number_argument
@click.option("--approve", "-a", "state", flag_value="approved", help="Say yes to this exact head.")
@click.option("--request-changes", "-r", "state", flag_value="changes-requested", help="Say no until it is changed.")
@click.option("--comment", "-c", "state", flag_value="commented", help="Say something, decide nothing.")
@click.option("--body", "-b", default="", help="What you have to say.")
@as_option
@output_option
def review(number: int, state: str | None, body: str, login: str | None, output: str) -> int:
    """Review a pull request."""
    if state is None:
        raise click.UsageError("say --approve, --request-changes or --comment")
    if state != "approved" and not body:
        raise click.UsageError(f"--{state.replace('changes-requested', 'request-changes')} needs a --body")
    desk = _open()
    who = desk.login(login)
    pull = desk.forge.review(number, state, as_=who, now=desk.clock(), body=body)
    emit(output, _data(pull), f"{who} {state.replace('-', ' ')} #{number} at {pull.head[:12]}")
    return 0


@command.command()
@number_argument
@click.option("--body", "-b", required=True, help="What you have to say.")
@click.option("--key", help="Replace the comment with this key instead of adding one.")
@as_option
@output_option
def comment(number: int, body: str, key: str | None, login: str | None, output: str) -> int:
    """Comment on a pull request."""
    desk = _open()
    who = desk.login(login)
    now = desk.clock()
    unique = hashlib.sha256(f"{now.isoformat()} {body}".encode()).hexdigest()[:12]
    desk.forge.comment(number, key or f"{who}/{unique}", body, as_=who, now=now)
    emit(output, _data(desk.forge.get(number)), f"commented on #{number}")
    return 0


@command.command()
@number_argument
@as_option
@output_option
def merge(number: int, login: str | None, output: str) -> int:
    """Merge a pull request that has the approvals which the policies of its base ask for."""
    from modelops.errors import Exit, ModelOpsError, Problem

    desk = _open()
    who = desk.login(login)
    pull = desk.forge.get(number)
    if pull.state == "open":
        verdict = _judge(desk, pull)
        if not verdict.ok:
            hint = f"ask for a review: modelops pr review {number} --approve --as LOGIN"
            problems = [Problem("not-approved", reason) for reason in verdict.reasons[:-1]]
            problems.append(Problem("not-approved", verdict.reasons[-1], hint=hint))
            raise ModelOpsError(*problems, exit=Exit.NO)
        for reason in verdict.reasons:
            note(reason)
    merged = desk.forge.merge(number, as_=who, now=desk.clock(), head=pull.head)
    emit(output, _data(merged), f"merged {_line(merged)} as {(merged.merge or '')[:12]}")
    return 0


@command.command()
@number_argument
@output_option
def close(number: int, output: str) -> int:
    """Close a pull request without merging it."""
    desk = _open()
    pull = desk.forge.close(number)
    emit(output, _data(pull), f"closed {_line(pull)}")
    return 0


def _changed(desk: Desk, pull: PullRequest) -> list[str]:
    """Return what a pull request changes since it left its target; the target's own changes are not its."""
    repository = desk.repository
    return list(repository.changed_paths(repository.merge_base(pull.base, pull.head), pull.head))


def _judge(desk: Desk, pull: PullRequest) -> ApprovalVerdict:
    from modelops.reconcile.approvals import judge_whole

    return judge_whole(desk.repository, pull, pull.base)[1]
