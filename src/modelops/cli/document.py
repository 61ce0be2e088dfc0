"""`modelops document`: what regulators, auditors and scanners ask of a release, from its evidence and specs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli.output import as_json, note, report_file, save
from modelops.errors import Exit
from modelops.markup import escaped_in_json, shown

if TYPE_CHECKING:
    from modelops.documents import Facts, Paper

KINDS = (
    "annex-iv",
    "atlas",
    "change-record",
    "datasheet",
    "fria",
    "instructions",
    "lineage",
    "ml-bom",
    "model-card",
    "nist-ai-rmf",
    "post-market-plan",
    "risk-register",
)
_FOR_TOOLS = ("ml-bom",)
"""What nobody asks for as text: without a file it is JSON."""


@click.command("document")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("model")
@click.argument("number", type=click.IntRange(min=1))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=report_file,
    help="A file, by its ending: .html a page to print that needs nothing else, .md or .json.",
)
@click.option("--complete", is_flag=True, help="End with 1 if anything is missing.")
def command(kind: str, model: str, number: int, output: Path | None, complete: bool) -> int:
    """Write the document KIND about release NUMBER of MODEL.

    annex-iv, instructions, post-market-plan, fria: technical documentation, Articles 13, 72 and 27 of the EU AI Act;
    atlas: attacks and the controls that are shown, as JSON a layer of ATLAS Navigator; change-record: who wrote,
    approved and tested each change; datasheet: of the data; lineage: where it comes from, as JSON events of
    OpenLineage; ml-bom: as JSON CycloneDX 1.7; model-card: as Markdown the signed one; nist-ai-rmf: its 72
    subcategories; risk-register: risks with what gates measured of them.

    Nothing is made up: what neither evidence nor people say is listed as a gap. Without a file it goes to standard
    output as Markdown, ml-bom as JSON.
    """
    from modelops import documents
    from modelops.cli._logs import asked_by
    from modelops.project.workspace import open_workspace
    from modelops.views.reports import documents as view

    ending = output.suffix.lower() if output is not None else ".json" if kind in _FOR_TOOLS else ".md"
    workspace = open_workspace()
    asked = asked_by(workspace)
    facts = documents.gather(workspace.repository, model, number, branch=workspace.branch, asked=asked)
    paper = documents.PAPERS[kind](facts)
    text = _text(kind, facts, paper, ending)
    if ending == ".json":
        text = escaped_in_json(text)
    if output is None:
        # The signed card is told byte by byte, but no command of it reaches a terminal.
        click.echo(shown(text) if sys.stdout.isatty() else text, nl=False)
    else:
        save(output, text)
    note(view.gaps_text(paper))
    return Exit.NO if complete and paper.gaps else Exit.OK


def _text(kind: str, facts: Facts, paper: Paper, ending: str) -> str:
    """Return the document in the form that an ending asks for."""
    from modelops import documents
    from modelops.views.reports import documents as view

    own = documents.OWN_FORMS.get((kind, ending))
    if own is not None:
        return own(facts).decode()
    match ending:
        case ".json":
            return as_json(view.data(paper)) + "\n"
        case ".md":
            return view.markdown(paper)
        case _:
            from modelops.dashboard.reports import document

            return document(paper)
