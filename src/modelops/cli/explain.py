"""`modelops explain`: what the reference says about a code, a kind or a field."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from modelops.cli.output import emit, output_option


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from modelops.handbook.topics import known

    return [CompletionItem(name) for name in known() if name.startswith(incomplete)]


@click.command("explain")
@click.argument("name", metavar="[CODE|KIND|FIELD]", nargs=-1, shell_complete=_names)
@output_option
def command(name: tuple[str, ...], output: str) -> int:
    """Explain an error code, an exit code, a kind, a field, a plugin or a verb, as the reference does.

    Fields are named by their path or the end of it: Model.spec.training.seed, training.seed; parameters of a plugin as
    fairness.minimumRows. Without a name it says what there is.
    """
    from modelops.handbook.topics import contents, find, unknown
    from modelops.views.handbook import topics as view

    asked = " ".join(name)
    if not asked:
        there = contents()
        emit(output, {name: list(names) for name, names in there.items()}, lambda: view.overview(there))
        return 0
    found = find(asked)
    if not found:
        raise unknown(asked)
    emit(output, view.data(found), lambda: view.text(found))
    return 0
