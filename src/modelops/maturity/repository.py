"""What the levels ask of the repository itself: its workflows, its lock, its policies and its branch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from modelops.governance.judged import unapproved
from modelops.locks import pins_of
from modelops.maturity import Criterion, Maturity
from modelops.maturity.workflows import running, workflows_at
from modelops.project.standing import UNAPPROVED
from modelops.project.workspace import Workspace
from modelops.spec.graph import Graph
from modelops.spec.layout import APPROVALS, LOCK, PROJECT

__all__ = ["of_repository"]

_BINARY = re.compile(
    r"\.(pkl|pickle|joblib|onnx|h5|hdf5|keras|pt|pth|safetensors|skops|cbm|ubj|gguf|tflite|pb|rds)$", re.IGNORECASE
)
_OWNERS = ("CODEOWNERS", ".github/CODEOWNERS", "docs/CODEOWNERS")
_SCAFFOLD = "modelops init writes it, into a folder of its own where there is one already"


def of_repository(workspace: Workspace, graph: Graph, tip: str) -> Maturity:
    """Return the criteria of the repository at a commit."""
    paths = workspace.repository.paths(tip)
    found = [
        *_checked(workspace, graph, tip, paths),
        *_trained(workspace, tip),
        *_released(workspace, graph, tip),
        *_kept_good(workspace, graph, tip),
        *_people(graph, frozenset(paths)),
    ]
    return Maturity("", tuple(sorted(found, key=lambda one: one.level)))


def _checked(workspace: Workspace, graph: Graph, tip: str, paths: Iterable[str]) -> Iterator[Criterion]:
    workflows = workflows_at(workspace.repository, tip)
    check = running(workflows, {"validate", "plan", "build"}, "pull_request")
    said = check.path if check is not None else "no workflow checks pull requests with modelops"
    yield Criterion(1, "checked-changes", "Every pull request is checked", check is not None, said, _SCAFFOLD)
    wrong = sorted(path for path, found in graph.stalled.items() if any(one.code not in UNAPPROVED for one in found))
    said = (
        f"{wrong[0]} and {len(wrong) - 1} more are wrong" if len(wrong) > 1 else f"{wrong[0]} is wrong" if wrong else ""
    )
    yield Criterion(1, "sound-files", "Every file is sound", not wrong, said or "all are", "modelops validate")
    binaries = [path for path in paths if _BINARY.search(path)]
    said = f"{binaries[0]}{f' and {len(binaries) - 1} more' if len(binaries) > 1 else ''}" if binaries else "none"
    how = f"git rm --cached {binaries[0]}: releases keep artifacts in the store" if binaries else ""
    yield Criterion(1, "no-binaries", "No model lies in git as a binary file", not binaries, said, how)
    yield Criterion(1, "checks-passed", "The checks of merged changes had passed", None, "git does not know")


def _trained(workspace: Workspace, tip: str) -> Iterator[Criterion]:
    pins = pins_of(workspace.lock(tip))
    loose = [pin.name for pin in pins if not pin.hashed]
    said = f"{len(pins)} pins in {LOCK}" if pins else f"{LOCK} pins nothing"
    said += f", {len(loose)} without a hash, such as {loose[0]}" if loose else ", all with hashes" if pins else ""
    yield Criterion(
        2, "locked", "What models are trained with is pinned by hash", bool(pins) and not loose, said, "modelops lock"
    )
    release = running(workflows_at(workspace.repository, tip), {"release"})
    said = release.path if release is not None else "no workflow runs modelops release"
    yield Criterion(2, "trains-by-itself", "A workflow trains and releases", release is not None, said, _SCAFFOLD)


def _released(workspace: Workspace, graph: Graph, tip: str) -> Iterator[Criterion]:
    workflow = running(workflows_at(workspace.repository, tip), {"reconcile", "render"})
    said = workflow.path if workflow is not None else "no workflow runs modelops reconcile"
    yield Criterion(
        3, "deploys-by-itself", "A workflow makes environments match git", workflow is not None, said, _SCAFFOLD
    )
    rules = [rule for rule in graph.approvals.spec.rules if rule.change == "promotion" and rule.minimum > 0]
    said = (
        f"{len(rules)} {'rule' if len(rules) == 1 else 'rules'} in {APPROVALS.path()}" if rules else "none asks for one"
    )
    how = f"say who approves promotions in {APPROVALS.path()}"
    yield Criterion(3, "approved", "Somebody other than the author approves a promotion", bool(rules), said, how)
    if workspace.repository.is_shallow:
        said = "this clone lacks a part of history: git fetch --unshallow"
        yield Criterion(3, "clean-branch", "Nothing is on the branch that nobody approved", None, said)
        return
    open_ones = unapproved(workspace)
    said = f"{len(open_ones)} such commits, the first is {open_ones[0].commit[:10]}" if open_ones else "nothing is"
    what = "Nothing is on the branch that nobody approved"
    yield Criterion(3, "clean-branch", what, not open_ones, said, "modelops audit branch says how each is cleared")


def _kept_good(workspace: Workspace, graph: Graph, tip: str) -> Iterator[Criterion]:
    monitor = running(workflows_at(workspace.repository, tip), {"monitor"}, "schedule")
    said = monitor.path if monitor is not None else "no workflow runs modelops monitor by the clock"
    yield Criterion(
        4, "watched-by-itself", "A workflow watches models by the clock", monitor is not None, said, _SCAFFOLD
    )
    told = graph.policies.get("AlertPolicy", {})
    said = "an AlertPolicy says who hears of what" if told else "there is no AlertPolicy: nobody is told"
    how = "write policies/alerting.yaml (docs/how-to/be-told.md)"
    yield Criterion(4, "told", "Somebody is told when something goes wrong", bool(told), said, how)


def _people(graph: Graph, paths: frozenset[str]) -> Iterator[Criterion]:
    owners = next((path for path in _OWNERS if path in paths), None)
    said = owners or f"none of {', '.join(_OWNERS)}"
    how = f"write CODEOWNERS that names a team for every model, or keep approvers in {APPROVALS.path()}"
    by_policy = bool(graph.approvals.spec.rules)
    said = said if owners else f"{said}; {APPROVALS.path()} names the approvers instead" if by_policy else said
    yield Criterion(3, "reviewers", "Reviewers are named for every change", owners is not None or by_policy, said, how)
    said = f"git knows who commits, not who is on call ({PROJECT.path()} names none)"
    yield Criterion(4, "on-call", "Somebody is on call", None, said)
