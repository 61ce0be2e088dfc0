"""`modelops doctor`: what this machine keeps, measured."""

from __future__ import annotations

import click

from modelops.cli.output import emit, output_option
from modelops.errors import Exit


@click.command("doctor")
@output_option
def command(output: str) -> int:
    """Measure how far this machine fences code of the repository, and say where keys lie.

    A program behind the fence really tries the ways out. Exits with 1 when one of them leads out.
    """
    from modelops.fence.trial import measure
    from modelops.project.protection import key_places, private_places, required_here
    from modelops.views.proofs import fence as view

    held, found = measure(private_places())
    required, keys = required_here(), key_places()
    emit(output, view.data(held, found, required, keys), lambda: view.text(held, found, required, keys))
    return Exit.OK if all(one.holds for one in found) else Exit.NO
