"""`modelops reproduce`: rebuild a release and compare."""

from __future__ import annotations

import click

from modelops.cli.output import emit, output_option
from modelops.errors import Exit


@click.command("reproduce")
@click.argument("model")
@click.argument("number", type=click.IntRange(min=1))
@output_option
def command(model: str, number: int, output: str) -> int:
    """Rebuild release NUMBER of MODEL from git in a clean process and compare digests."""
    from modelops.reconcile.reproduction import reproduce
    from modelops.reconcile.workspace import open_workspace

    found = reproduce(open_workspace(), model, number)
    emit(output, found.to_dict(), found.explain)
    return Exit.OK if found.identical else Exit.NO
