"""`modelops document`: what regulators, auditors and scanners ask of a release, from its evidence and specs."""

from __future__ import annotations

from pathlib import Path

import click

from modelops.cli.output import as_json, note, save
from modelops.errors import Exit

KINDS = ("annex-iv", "change-record", "datasheet", "ml-bom", "risk-register")
_ENDINGS = (".md", ".json")


@click.command("document")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("model")
@click.argument("number", type=click.IntRange(min=1))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file that ends in .md or .json."
)
@click.option("--complete", is_flag=True, help="End with 1 if anything is missing.")
def command(kind: str, model: str, number: int, output: Path | None, complete: bool) -> int:
    """Write the document KIND about release NUMBER of MODEL.

    annex-iv: technical documentation of the EU AI Act; change-record: who wrote, approved and tested each change;
    datasheet: of the data; ml-bom: CycloneDX 1.7, always JSON; risk-register: risks with what gates measured of them.

    Nothing is made up: what neither evidence nor people say is listed as a gap. Without a file it goes to standard
    output as Markdown.
    """
    from modelops import documents
    from modelops.cli._logs import asked_by
    from modelops.project.workspace import open_workspace
    from modelops.views.reports import documents as view

    ending = _ending(kind, output)
    workspace = open_workspace()
    asked = asked_by(workspace)
    facts = documents.gather(workspace.repository, model, number, branch=workspace.branch, asked=asked)
    if kind == documents.BILL:
        _write(output, documents.ml_bom(facts).decode())
        return Exit.OK
    paper = documents.PAPERS[kind](facts)
    _write(output, as_json(view.data(paper)) + "\n" if ending == ".json" else view.markdown(paper))
    note(view.gaps_text(paper))
    return Exit.NO if complete and paper.gaps else Exit.OK


def _ending(kind: str, output: Path | None) -> str:
    """Return the form of the document, or refuse one that it does not have, before anything is read."""
    if output is None:
        return ".md"
    ending = output.suffix.lower()
    if ending not in _ENDINGS:
        raise click.BadParameter(f"{output} ends neither in .md nor in .json", param_hint="--output")
    if kind == "ml-bom" and ending != ".json":
        raise click.BadParameter("a bill of materials is JSON: name a file that ends in .json", param_hint="--output")
    return ending


def _write(output: Path | None, text: str) -> None:
    if output is None:
        click.echo(text, nl=False)
    else:
        save(output, text)
