"""`modelops data impact`, `check` and `outcomes`: what lies below a data source, how it stands, and what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelops.cli._names import models
from modelops.cli.output import emit, output_option, tell_fence
from modelops.errors import Exit

if TYPE_CHECKING:
    from modelops.project.workspace import Workspace
    from modelops.spec.graph import Graph


@click.command("impact")
@click.argument("source")
@output_option
def impact(source: str, output: str) -> None:
    """Say which models, environments and features lie below the data source SOURCE, and when each would notice.

    Read from the files of the work tree.
    """
    from modelops.monitoring.upstream.impact import impact_of
    from modelops.project.workspace import open_workspace
    from modelops.views.data import upstream as view

    workspace = open_workspace(dirty=True)
    found = impact_of(workspace.graph(None), source)
    emit(output, view.impact_data(found), lambda: view.impact_text(found))


@click.command("check")
@click.argument("sources", nargs=-1)
@click.option("--model", help="All data sources that this model's features and labels come from.")
@output_option
def check(sources: tuple[str, ...], model: str | None, output: str) -> int:
    """Hold today's data of SOURCES against their contracts, before anything is trained on them.

    Without SOURCES, all that say how they are read. Exits with 1 and names each breach when one is not as promised, and
    with 4 when one cannot be reached; the others are looked at all the same.
    """
    from modelops.cli import show_problems
    from modelops.data.acquire import Place
    from modelops.data.upstream.contracts import check_source
    from modelops.errors import ModelOpsError
    from modelops.project.workspace import open_workspace
    from modelops.spec.layout import SOURCE
    from modelops.views.data import upstream as view

    if sources and model is not None:
        raise click.UsageError("name data sources, or --model one whose sources are meant")
    workspace = open_workspace(dirty=True, heard=tell_fence())
    graph = workspace.graph(None)
    found, worst = [], Exit.OK
    wanted = _wanted(workspace, graph, sources, model)
    for name in wanted:
        place = Place(
            workspace.root, workspace.root / SOURCE.parts()[0], workspace.cache,
            locations=graph.project.spec.data_locations, terms=workspace.terms(graph),
        )  # fmt: skip
        try:
            found.append(check_source(graph.policies["DataSource"][name], place, workspace.clock()))
        except ModelOpsError as error:
            show_problems(error.problems)
            worst = max(worst, error.exit)
    # Of those that failed everything is said already.
    if found or not wanted or output != "text":
        emit(output, view.checks_data(found), lambda: view.checks_text(found))
    return max(worst, Exit.OK if all(one.kept for one in found) else Exit.NO)


def _wanted(workspace: Workspace, graph: Graph, sources: tuple[str, ...], model: str | None) -> list[str]:
    """Return the names of the sources that are meant."""
    from modelops.errors import failure
    from modelops.project.workspace import model_entry
    from modelops.spec.explain import nearest
    from modelops.spec.kinds.data_source import above

    known = graph.policies.get("DataSource", {})
    for name in sources:
        if name not in known:
            said = f"there is no data source {name!r}"
            raise failure("unknown-source", said, exit=Exit.USAGE, hint=nearest(name, known, "data sources"))
    if sources:
        return list(dict.fromkeys(sources))
    readable = [name for name in sorted(known) if known[name].spec.read is not None]
    if model is None:
        return readable
    data = model_entry(graph, model).model.spec.data
    named = {each.source for each in data.features if each.source is not None}
    named |= {data.labels.source} if data.labels is not None and data.labels.source is not None else set()
    named |= {each for name in set(named) for each in above(name, known)}
    return [name for name in readable if name in named]


@click.command("outcomes")
@click.argument("model", shell_complete=models)
@output_option
def outcomes(model: str, output: str) -> int:
    """Read what MODEL's objective came to from its data source, and enter what is new into its outcomes.yaml.

    The file lies in the work tree and goes in by pull request. What was entered before stays; where the source has
    another value now, both are named and the exit code is 1.
    """
    from modelops.data.acquire import Place
    from modelops.data.upstream.outcomes import entered, with_values
    from modelops.errors import failure
    from modelops.files import write_atomically
    from modelops.project.workspace import model_entry, open_workspace
    from modelops.spec.layout import OUTCOMES, SOURCE
    from modelops.views.data import outcomes as view

    workspace = open_workspace(dirty=True, heard=tell_fence())
    graph = workspace.graph(None)
    entry = model_entry(graph, model)
    objective = entry.model.spec.objective
    if objective is None or objective.source is None:
        what = "no objective" if objective is None else "no source of what its objective comes to"
        said, hint = f"{model} names {what}", f"add spec.objective to {entry.model.path}"
        if objective is not None:
            hint = f"add spec.objective.source to {entry.model.path}, or write the values into {OUTCOMES.path(model)}"
        raise failure("no-outcomes", said, exit=Exit.USAGE, hint=hint)
    place = Place(
        workspace.root, workspace.root / SOURCE.parts()[0], workspace.cache,
        locations=graph.project.spec.data_locations, terms=workspace.terms(graph),
    )  # fmt: skip
    source = graph.policies["DataSource"][objective.source.name]
    found = entered(objective.source, source, entry.outcomes, place, workspace.clock())
    file = workspace.root / OUTCOMES.path(model)
    if found.new:
        before = file.read_bytes() if file.is_file() else None
        write_atomically(file, with_values(model, before, found.new))
    emit(output, view.data(model, found), lambda: view.text(model, objective, found))
    return Exit.NO if found.other else Exit.OK
