"""`modelops validate`: check every file of the repository and report every problem."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click

from modelops.cli.output import emit, in_haste, note, output_option
from modelops.errors import Exit, ModelOpsError, Problem


@click.command("validate")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--since", metavar="REV", help="Only what merging this into REV changes, judged by the rules there too.")
@output_option
def command(paths: tuple[Path, ...], since: str | None, output: str) -> int:
    """Check the files of the work tree, all of them or those below PATHS, and report every problem in one pass."""
    with in_haste():
        from modelops.clock import clock_from
        from modelops.project.checking import check, check_since, find_root
        from modelops.views import findings as view

        root = find_root(Path.cwd())
        wanted = tuple(_inside(root, path) for path in paths)
        today = clock_from(os.environ)().date().isoformat()
        findings = check(root, wanted, today) if since is None else check_since(root, since, today)
    if wanted:
        findings.problems = [problem for problem in findings.problems if _below(problem, wanted)]
        findings.warnings = [problem for problem in findings.warnings if _below(problem, wanted)]
    for warning in findings.warnings if output == "text" else ():
        note(f"warning: {warning}")
    if output == "text" and findings.problems:
        raise ModelOpsError(*findings.problems)
    emit(output, view.data(findings), lambda: view.text(findings))
    return Exit.FILES if findings.problems else Exit.OK


def _inside(root: Path, path: Path) -> str:
    absolute = path.absolute()
    real = Path(os.path.normpath(absolute))
    if not real.is_relative_to(root):
        raise click.BadParameter(f"{path} lies outside of {root}", param_hint="PATHS")
    return real.relative_to(root).as_posix()


def _below(problem: Problem, wanted: Iterable[str]) -> bool:
    path = problem.location.path if problem.location else ""
    return any(path == prefix or prefix == "." or path.startswith(f"{prefix}/") for prefix in wanted)
