"""The command line: one file per verb, imported only when that verb runs."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from modelops import __version__
from modelops.errors import Exit, ModelOpsError, Problem

VERBS: dict[str, str] = {
    "init": "Scaffold a repository, or a model from your own data.",
    "validate": "Check every file of the repository and report every problem.",
    "plan": "Show what would be done to make the world match git.",
    "apply": "Carry out a saved plan, if it is still the plan.",
    "build": "Train, evaluate and judge a model by its gates.",
    "release": "Turn models without a release into numbered, signed releases.",
    "promote": "Open the pull request that sets a release as candidate in an environment.",
    "rollback": "Restore the last stable release of an environment at once.",
    "reconcile": "Make an environment match git.",
    "render": "Write the files that a GitOps tool or a person applies.",
    "serve": "Answer the Open Inference Protocol for an environment.",
    "feedback": "Tell a server the truth about what it predicted.",
    "status": "Show conditions of environments, and the runs of a model.",
    "rollout": "Show rollouts and steer them: pause, resume, promote, abort, replay, simulate.",
    "data": "Take, verify, compare and show data snapshots.",
    "monitor": "Score recent traffic for drift and performance, and act on it.",
    "audit": "Answer who, what and when about a prediction, a release or an environment.",
    "reproduce": "Rebuild a release from git and compare digests.",
    "pr": "Pull requests of the embedded forge.",
    "schema": "Write a JSON Schema for every kind.",
    "demo": "Tell the whole story on this machine, offline.",
}


class Verbs(click.Group):
    """A group whose commands live in modules of the same name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of their use."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"modelops.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or name the nearest one."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see modelops --help"
            raise click.UsageError(f"there is no verb {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modelops")
@click.option(
    "-C", "--directory", type=click.Path(file_okay=False, path_type=Path), help="Run as if started in this folder."
)
@click.pass_context
def cli(ctx: click.Context, directory: Path | None) -> None:
    """GitOps for machine-learning models: git says what should run, modelops makes it so."""
    if directory is not None:
        if not directory.is_dir():
            raise click.BadParameter(f"{directory} is not a folder", param_hint="-C")
        os.chdir(directory)


def show_problems(problems: Sequence[Problem]) -> None:
    """Print problems on standard error; as workflow annotations too when a GitHub runner reads them."""
    annotate = os.environ.get("GITHUB_ACTIONS") == "true"
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
        if annotate:
            location = problem.location
            place = f" file={location.path},line={location.line or 1},col={location.column or 1}" if location else ""
            text = problem.message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
            click.echo(f"::error{place}::{text} [{problem.code}]", err=True)


def _save_traceback() -> str:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", errors="backslashreplace", prefix="modelops-", suffix=".log", delete=False
    ) as file:
        file.write(f"modelops {__version__}, Python {sys.version}\n")
        traceback.print_exc(file=file)
        return file.name


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the documented code; the one place that catches everything.

    SIGTERM interrupts as Ctrl-C does, so that processes and files that a verb made go with it; a server drains instead.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = cli.main(args=arguments, prog_name="modelops", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(int(code) if isinstance(code, int) else 0)
    except ModelOpsError as error:
        show_problems(error.problems)
        sys.exit(error.exit)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(Exit.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output left; that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(Exit.OK)
    except Exception:
        click.echo(f"error: this is a defect of modelops; the traceback is in {_save_traceback()}", err=True)
        sys.exit(Exit.BUG)
