"""The command line: one file per verb, imported only when that verb runs."""

from __future__ import annotations

import codecs
import errno
import importlib
import keyword
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from modelops import __version__
from modelops.cli.output import speak_anywhere
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.fence.kernel import hide

VERBS: dict[str, str] = {
    "init": "Scaffold a repository, or a model from your own data.",
    "adopt": "Make a proposed model of a notebook, a script or a kept model, without running it.",
    "validate": "Check every file of the repository and report every problem.",
    "plan": "Show what would be done to make the world match git.",
    "apply": "Carry out a saved plan, if it is still the plan.",
    "build": "Train, evaluate and judge a model by its gates.",
    "try": "Train variants of a model side by side, before any pull request.",
    "runs": "List what was built and tried on this machine, compare runs, make a branch of the best.",
    "release": "Turn models without a release into numbered, signed releases.",
    "deliver": "Release what was merged, make it run where it may, and open the promotion that comes next.",
    "promote": "Open the pull request that sets a release as candidate in an environment.",
    "rollback": "Restore the last stable release of an environment at once.",
    "reconcile": "Make an environment match git.",
    "render": "Write the files that a GitOps tool or a person applies.",
    "package": "Build the image of a release, which needs nothing but an engine to run it.",
    "serve": "Answer the Open Inference Protocol for an environment.",
    "predict": "Send a file through a model: rows in, the same rows with predictions out.",
    "feedback": "Tell a server the truth about what it predicted.",
    "status": "Show conditions of environments, and the runs of a model.",
    "rollout": "Show rollouts and steer them: pause, resume, promote, abort, replay, simulate.",
    "data": "Take, verify, compare and show data snapshots; push and pull their files.",
    "lock": "Pin what models are trained and served with, by hash.",
    "dashboard": "Show every model in every environment as pages, served here or as a static site.",
    "monitor": "Score recent traffic for drift and performance, and act on it.",
    "judge": "Judge predictions or rows of a model that others train and serve; no repository is needed.",
    "audit": "Answer who, what and when about a prediction, a release, an environment, its log or the branch.",
    "document": "Write what regulators, auditors and scanners ask of a release, with every gap.",
    "maturity": "Tell how far the repository and its models are automated, and what is missing.",
    "reproduce": "Rebuild a release from git and compare digests.",
    "pr": "Pull requests of the embedded forge.",
    "schema": "Write a JSON Schema for every kind.",
    "explain": "Explain an error code, a kind, a field, a plugin or a verb, as the reference does.",
    "doctor": "Measure what this machine and the repository on its forge really protect, and say how to mend it.",
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
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = importlib.import_module(f"modelops.cli.{module}").command
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
    from modelops.cli._working import aside
    from modelops.markup import shown

    annotate = os.environ.get("GITHUB_ACTIONS") == "true"
    with aside():
        for problem in problems:
            # Files, forges and training code have their say in these words, but no command to a terminal or a runner.
            click.echo(shown(f"error: {problem}"), err=True)
            if annotate:
                click.echo(_annotation(problem), err=True)


def _annotation(problem: Problem) -> str:
    """Return the command by which a runner shows a problem at its place; nothing in its words is another command."""
    from modelops.markup import shown

    def escaped(text: str, more: str = "") -> str:
        for each in f"%\r\n{more}":
            text = text.replace(each, f"%{ord(each):02X}")
        return shown(text)

    where = problem.location
    place = f" file={escaped(where.path, ':,')},line={where.line or 1},col={where.column or 1}" if where else ""
    return f"::error{place}::{escaped(problem.message)} [{problem.code}]"


def _save_traceback() -> str:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", errors="backslashreplace", prefix="modelops-", suffix=".log", delete=False
    ) as file:
        file.write(f"modelops {__version__}, Python {sys.version}\n")
        traceback.print_exc(file=file)
        return file.name


def _spell_paths_in_utf8() -> None:
    """Start anew in Python's UTF-8 mode where paths would be read in another encoding than git and Arrow write them.

    What is printed keeps the encoding of the terminal, unless that knows no letters.
    """
    encoding = sys.stdout.encoding if sys.stdout is not None else None
    if sys.flags.utf8_mode or codecs.lookup(sys.getfilesystemencoding()).name == "utf-8":
        return
    environ = {**os.environ, "PYTHONUTF8": "1"}
    if encoding is not None and codecs.lookup(encoding).name != "ascii":
        environ.setdefault("PYTHONIOENCODING", encoding)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606 - it is ourselves


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the documented code; the one place that catches everything.

    SIGTERM interrupts as Ctrl-C does, so that processes and files that a verb made go with it; a server drains instead.
    """
    if arguments is None:
        _spell_paths_in_utf8()
        hide()
    speak_anywhere()
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
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            from modelops.files import advice

            message, hint = f"no more files may be open here: {error}", advice(error, "then run the same command again")
            known = failure("too-many-open-files", message, exit=Exit.WORLD, hint=hint, retryable=True)
            show_problems(known.problems)
            sys.exit(known.exit)
        click.echo(f"error: this is a defect of modelops; the traceback is in {_save_traceback()}", err=True)
        sys.exit(Exit.BUG)
