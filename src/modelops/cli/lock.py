"""`modelops lock`: pin what models are trained and served with, by hash, or say how that differs from what is here."""

from __future__ import annotations

import os
from pathlib import Path

import click

from modelops.cli.output import emit, note, output_option
from modelops.errors import Exit


@click.command("lock")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 where the lock is not what is installed.")
@click.option("--extra", "extras", multiple=True, help="An extra of modelops that models need; may be repeated.")
@click.option("--python", metavar="VERSION", help="The oldest Python it is for, such as 3.12; this one if not said.")
@click.option("--serving", is_flag=True, help="Print the part of the lock that serves releases in ONNX; write nothing.")
@click.option("--upgrade", is_flag=True, help="Take the newest versions instead of those that are installed.")
@output_option
def command(check: bool, extras: tuple[str, ...], python: str | None, serving: bool, upgrade: bool, output: str) -> int:
    """Ask the package index for everything that models are trained and served with, and pin it by hash.

    What modelops needs is in it by itself; what your own code needs besides stands in requirements.in, a line each.
    The lock is an input of every model: a changed one builds them again. It is made by uv where that is installed, for
    every platform; else by pip, for this one.
    """
    import re

    from modelops.files import write_atomically
    from modelops.locks import compare_lock, installed_packages, resolve, serving_part
    from modelops.locks.installed import extras_of
    from modelops.locks.resolving import read_requirements, unlocked
    from modelops.repository import Repository
    from modelops.spec.layout import LOCK, REQUIREMENTS
    from modelops.views import locks as view

    if python is not None and not re.fullmatch(r"3\.[0-9]{1,2}", python):
        raise click.BadParameter(f"{python!r} is not a version such as 3.12", param_hint="--python")
    known = extras_of("modelops")
    for extra in extras:
        if extra not in known:
            raise click.BadParameter(f"modelops has no extra {extra!r}: {', '.join(known)}", param_hint="--extra")
    if (check or serving) and (extras or python or upgrade or (check and serving)):
        raise click.UsageError(f"--{'check' if check else 'serving'} writes nothing, so it takes no other option")
    root = Repository.discover(Path.cwd()).root
    path, asked = root / LOCK, root / REQUIREMENTS
    if serving:
        click.echo(serving_part(path.read_bytes() if path.is_file() else b"").decode(), nl=False)
        return Exit.OK
    installed = installed_packages()
    wanted = read_requirements(asked.read_bytes(), REQUIREMENTS) if asked.is_file() else []
    if not check:
        made = resolve(wanted, installed, extras=frozenset(extras), python=python, upgrade=upgrade, environ=os.environ)
        if path.is_file() and path.read_bytes() == made.text:
            note(f"{LOCK} says exactly this already")
        else:
            write_atomically(path, made.text)
            note(f"wrote {LOCK}, for {made.good_for}")
    lock = path.read_bytes() if path.is_file() else b""
    found, lacks = compare_lock(lock, installed), unlocked(wanted, lock)
    emit(output, view.data(found, lacks), lambda: view.text(found, lacks))
    wrong = found.other or found.absent or found.hashed < found.pins or not found.pins or lacks
    return Exit.NO if check and wrong else Exit.OK
