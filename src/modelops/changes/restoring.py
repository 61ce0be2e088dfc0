"""After a failed trial: main still holds the inputs that failed, until a pull request takes them back to stable's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelops import training
from modelops.changes import building
from modelops.errors import ModelOpsError
from modelops.evidence import ROLLOUT_OUTCOME, check_promotion
from modelops.forges import PullRequest
from modelops.governance.asks import RestorationAsk, ask_in, asks_for, content_of, overtaken, with_ask
from modelops.governance.judged import known
from modelops.governance.promotions import covering_promotion, promotion_evidence
from modelops.governance.pulls import open_pull
from modelops.project.workspace import MACHINE, Workspace, model_entry, trusted
from modelops.spec.graph import Graph
from modelops.spec.kinds.deployment import Denied
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.layout import LOCK, MODEL, Seat, in_model, slug

__all__ = ["Aftermath", "RestorationCase", "aftermath", "propose_restoration"]


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What is left on main of a release that failed its trial; ``due`` says that a pull request is to be opened."""

    release: int
    stable: int
    told: str
    due: bool = False


@dataclass(frozen=True, slots=True)
class RestorationCase:
    """What the reviewer of a restoration is told: what failed and why, and which files go back to which commit."""

    seat: Seat
    failed: int
    reason: str
    stable: int
    commit: str
    files: tuple[str, ...]


def aftermath(workspace: Workspace, graph: Graph, tip: str, seat: Seat) -> Aftermath | None:
    """Return what is to be done about the inputs of a release that the loop withdrew, None where main has moved on."""
    entry = model_entry(graph, seat.model)
    deployment = entry.deployments[seat.environment].spec
    newest = max(entry.releases, default=0)
    stable = deployment.stable
    denied = {one.release for one in deployment.denied}
    if stable is None or stable == newest or newest not in denied or deployment.candidate is not None:
        return None
    try:
        return _left(workspace, graph, tip, seat, newest, stable)
    except ModelOpsError as error:
        # It is about the next pull request, and nothing that answers now may stand still for it.
        said = f"what main still has of release {newest}, which was withdrawn, cannot be told: {error.first.message}"
        return Aftermath(newest, stable, said)


def _left(workspace: Workspace, graph: Graph, tip: str, seat: Seat, newest: int, stable: int) -> Aftermath | None:
    entry = model_entry(graph, seat.model)
    if not _failed(workspace, graph, tip, seat, newest):
        return None
    failed: ReleaseSpec = entry.releases[newest].spec
    if training.inputs_digest(building.request(workspace, graph, seat.model, tip)) != failed.inputs:
        return None
    said = f"main still has the inputs of release {newest}, which failed here"
    if entry.rollout is not None and entry.rollout.spec.restore_inputs == "never":
        return Aftermath(newest, stable, f"{said}: its rollout plan says that they stay")
    files = _files(workspace, tip, seat.model, entry.releases[stable].spec)
    if not files:
        why = f"they differ from those of release {stable} in {LOCK} or elsewhere outside of the model's folder"
        return Aftermath(newest, stable, f"{said}: {why}, which is not the model's to take back")
    try:
        pull = _asking(workspace, tip, _ask(seat, newest, stable, files))
    except ModelOpsError as error:
        return Aftermath(newest, stable, f"{said}, and the forge cannot be asked: {error.first.message}")
    if pull is None:
        return Aftermath(newest, stable, said, due=True)
    word = {"open": "takes them back", "closed": "would have taken them back, and was closed"}.get(pull.state, "took")
    return Aftermath(newest, stable, f"{said}: pull request {pull.number} {word}")


def _failed(workspace: Workspace, graph: Graph, tip: str, seat: Seat, release: int) -> bool:
    """Tell whether the loop itself, by signed evidence, ended the trial of a release because it failed."""
    record = covering_promotion(graph, seat, release)
    if record is None:
        return False
    try:
        said = check_promotion(
            record, promotion_evidence(workspace, tip, seat.model, record.name), trusted(workspace, tip)
        )
    except ModelOpsError:
        return False
    return any(
        one.predicate_type == ROLLOUT_OUTCOME
        and one.predicate.get("outcome") == "failed"
        and one.predicate.get("by", MACHINE.name) == MACHINE.name
        for one in said
    )


def _ask(seat: Seat, failed: int, stable: int, files: Mapping[str, bytes | None]) -> RestorationAsk:
    content = content_of(files)
    return RestorationAsk(model=seat.model, environment=seat.environment, failed=failed, stable=stable, content=content)


def _asking(workspace: Workspace, tip: str, ask: RestorationAsk) -> PullRequest | None:
    """Return the newest pull request that takes back these inputs: the loop says so in it, or its commits do it."""
    for pull in workspace.forge.find(source=_branch(ask.model, ask.failed, ask.stable), state="all"):
        said = ask_in(pull)
        there = (ask.model, ask.failed, ask.stable)
        mine = isinstance(said, RestorationAsk) and (said.model, said.failed, said.stable) == there
        base = pull.base if pull.state == "merged" else tip
        if (mine and pull.author.machine) or asks_for(workspace.repository, base, pull.head, ask):
            return pull
    return None


def _branch(model: str, failed: int, stable: int) -> str:
    return f"modelops/restore/{slug(model)}/{failed}-to-{stable}"


def _files(workspace: Workspace, tip: str, model: str, stable: ReleaseSpec) -> dict[str, bytes | None]:
    """Return the model's spec and code as the stable release was made from them, where main has others."""
    commit, repository = stable.code.commit, workspace.repository
    then: dict[str, bytes | None] = {
        in_model(model, path): data for path, data in workspace.code(commit, model).items()
    }
    now: dict[str, bytes | None] = {in_model(model, path): data for path, data in workspace.code(tip, model).items()}
    spec = MODEL.path(model)
    then[spec], now[spec] = repository.read(commit, spec), repository.read(tip, spec)
    return {path: then.get(path) for path in sorted({*then, *now}) if then.get(path) != now.get(path)}


def propose_restoration(
    workspace: Workspace, seat: Seat, failed: int, body: Callable[[RestorationCase], str]
) -> PullRequest | None:
    """Open the pull request that takes a model's inputs back to those of the stable release; None if it is not due."""
    tip, graph = known(workspace)
    found = aftermath(workspace, graph, tip, seat)
    if found is None or not found.due or found.release != failed:
        return None
    release = model_entry(graph, seat.model).releases[found.stable].spec
    files = _files(workspace, tip, seat.model, release)
    title = f"Take {seat.model} back to the inputs of release {found.stable}"
    reason = next(one.reason for one in _denied(graph, seat) if one.release == failed)
    commit = workspace.repository.commit_files(
        tip, files, f"{title}\n\n{reason}\n", workspace.machine, workspace.clock()
    )
    case = RestorationCase(seat, failed, reason, found.stable, release.code.commit, tuple(files))
    branch, repository = _branch(seat.model, failed, found.stable), workspace.repository
    ask = _ask(seat, failed, found.stable, files)

    def same(head: str) -> bool:
        return asks_for(repository, tip, head, ask) and not overtaken(repository, tip, head)

    label = f"restore:{seat.model}"
    pull = open_pull(workspace, branch, commit, title, with_ask(body(case), ask), label, MACHINE.name, same).pull
    _close_older(workspace, label, pull, ask)
    return pull


def _close_older(workspace: Workspace, label: str, pull: PullRequest, ask: RestorationAsk) -> None:
    """Close what the loop asked for before stable became another release: one way back is asked for at a time."""
    for old in workspace.forge.find(label=label):
        said = ask_in(old)
        if old.number == pull.number or not old.author.machine or not isinstance(said, RestorationAsk):
            continue
        if (said.model, said.failed) == (ask.model, ask.failed):
            workspace.forge.comment(old.number, "modelops/superseded", f"Superseded by #{pull.number}.")
            workspace.forge.close(old.number)


def _denied(graph: Graph, seat: Seat) -> tuple[Denied, ...]:
    denied: tuple[Denied, ...] = model_entry(graph, seat.model).deployments[seat.environment].spec.denied
    return denied
