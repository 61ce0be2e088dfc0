"""From a run to a branch: one commit on what is checked out that sets the run's parameters in model.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from modelops import training
from modelops.changes import building
from modelops.changes.tries.trying import with_parameters
from modelops.errors import Exit, failure
from modelops.project.workspace import Workspace, model_entry
from modelops.repository.names import check_branch
from modelops.spec.layout import MODEL
from modelops.spec.yaml.edit import remove, set_value

__all__ = ["Branched", "branch_of"]


@dataclass(frozen=True, slots=True)
class Branched:
    """A branch that sets what a run was trained with: ``changed`` are parameters, before and now."""

    branch: str
    commit: str
    model: str
    run: int
    changed: dict[str, tuple[object, object]]
    made: bool


def branch_of(workspace: Workspace, run: training.Run, branch: str | None) -> Branched:
    """Make the branch of a run on the commit that is checked out; said twice it is made once.

    Nothing is checked out. A run that was made of other data, code or libraries than that commit has is refused: what
    the branch would build is not what was measured.
    """
    repository, base = workspace.repository, workspace.repository.head()
    graph = workspace.graph(base)
    model_entry(graph, run.model)
    wanted = building.request(workspace, graph, run.model, base)
    before = wanted.model.spec.training.parameters
    if training.inputs_digest(with_parameters(wanted, run.parameters, only=True)) != run.inputs:
        raise failure(
            "other-inputs",
            f"run {run.id} was made of another spec, data, code or libraries than {base[:10]} has",
            exit=Exit.NO,
            hint=f"run it again as it is now: modelops try {run.model}",
        )
    path = MODEL.path(run.model)
    data = old = repository.read(base, path)
    changed: dict[str, tuple[object, object]] = {}
    for name in dict.fromkeys([*before, *run.parameters]):
        if "." in name:
            said = f"the parameter {name!r} has a dot in its name, so it is set by hand"
            raise failure("dotted-parameter", said, exit=Exit.USAGE, hint=f"edit {path}")
        one, other = before.get(name), run.parameters.get(name)
        if name not in run.parameters:
            data = remove(data, f"spec.training.parameters.{name}", path)
        elif name not in before or type(one) is not type(other) or one != other:
            data = set_value(data, f"spec.training.parameters.{name}", other, path)
        else:
            continue
        changed[name] = (one, other)
    if data == old:
        raise failure(
            "nothing-to-change",
            f"run {run.id} is the model as {base[:10]} has it",
            exit=Exit.NO,
            hint="try other parameters",
        )
    name = branch if branch is not None else f"try-{run.model.replace('/', '-')}-{run.id}"
    check_branch(name)
    there = repository.find_local(name)
    if there is not None:
        if repository.read(there, path) != data:
            said = f"there is a branch {name!r} already, with something else"
            raise failure("branch-exists", said, exit=Exit.NO, hint="choose another name: --branch NAME")
        return Branched(name, there, run.model, run.id, changed, made=False)
    told = ", ".join(f"{key} {now}" if key in run.parameters else f"no {key}" for key, (_, now) in changed.items())
    message = f"Train {run.model} with {told}"[:200]
    commit = repository.commit_files(base, {path: data}, message, workspace.person, workspace.clock())
    repository.set_local(f"refs/heads/{name}", commit)
    return Branched(name, commit, run.model, run.id, changed, made=True)
