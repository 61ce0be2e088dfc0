"""Running git: one clean environment, no prompts, and failures turned into sentences without secrets."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelops.errors import Exit, ModelOpsError, failure

PUSH_SECONDS = 300.0
LOOK_SECONDS = 15.0
VARIABLE = "MODELOPS_REMOTE_SECONDS"
"""How long a remote may say nothing to somebody who only looks; without it, ``LOOK_SECONDS``."""

# What says how to reach a remote and where the user's configuration lies; every other GIT_* variable could redirect
# the repository, its index or its identity (git sets several of them for hooks) and is dropped.
_KEPT = re.compile(
    r"GIT_(SSH|SSH_COMMAND|SSH_VARIANT|ASKPASS|SSL_\w+|HTTP_\w+|PROXY_\w+|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM))"
)
_SETTINGS = tuple(
    part
    for setting in (
        *("core.quotePath=false", "i18n.logOutputEncoding=UTF-8", "log.showRoot=true"),
        *("gc.auto=0", "maintenance.auto=false"),
    )
    for part in ("-c", setting)
)
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


def redacted(text: str) -> str:
    """Return a text without the credentials that a URL may hold."""
    return _CREDENTIALS.sub("***@", text)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment that git runs in."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("GIT_") or _KEPT.fullmatch(key)
    }
    environment.pop("LANGUAGE", None)
    # git signs nothing of ours: a process that holds no key can leak none.
    for name in [name for name, value in environment.items() if "PRIVATE KEY-----" in value]:
        del environment[name]
    environment |= {
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GCM_INTERACTIVE": "never",
        "LC_ALL": "C",
    }
    return environment | dict(extra or {})


@dataclass(frozen=True, slots=True)
class Result:
    """What a git process answered."""

    code: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """Standard output as text, without the final newline."""
        return os.fsdecode(self.output).rstrip("\n")

    def words(self) -> list[str]:
        """Return the NUL-separated fields of the output."""
        return [field for field in os.fsdecode(self.output).split("\0") if field]


def _look_seconds() -> float:
    """Return how long a look waits for a remote that says nothing."""
    with contextlib.suppress(ValueError):
        said = float(os.environ.get(VARIABLE, ""))
        return said if 0 < said < PUSH_SECONDS else PUSH_SECONDS
    return LOOK_SECONDS


def _answer(process: subprocess.Popen[bytes], input: bytes, silence: float | None) -> tuple[bytes, bytes]:
    """Return what a process wrote; one that stays silent for too long ends with all that it started.

    A transfer may take its time, as it tells how far it is.
    """
    heard, rest = b"", input or None
    try:
        while True:
            try:
                return process.communicate(rest, timeout=silence)
            except subprocess.TimeoutExpired as waited:
                if (waited.stderr or b"") == heard:
                    raise
                heard, rest = waited.stderr or b"", None
    finally:
        if process.returncode is None:
            # It was not waited for to its end: its time is up, or somebody interrupted.
            if silence is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()


@dataclass(frozen=True, slots=True)
class Git:
    """git in one folder; ``variables`` go to every run of it."""

    root: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        *arguments: str,
        input: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        network: bool = False,
    ) -> Result:
        """Run git and return what it answered, whatever its exit code."""
        silence = None if not network else PUSH_SECONDS if arguments[0] == "push" else _look_seconds()
        try:
            with subprocess.Popen(
                ["git", *_SETTINGS, *arguments],
                cwd=self.root,
                env=clean_environment({**self.variables, **(environment or {})}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Without a terminal of its own, ssh cannot stop to ask for a passphrase.
                start_new_session=network,
            ) as process:
                output, errors = _answer(process, input or b"", silence)
        except subprocess.TimeoutExpired:
            raise failure(
                "remote-unreachable",
                f"git {arguments[0]} got no answer: the remote said nothing for {silence:g} s",
                exit=Exit.WORLD,
                hint=f"check the network and run the command again; {VARIABLE} says how long to wait",
                retryable=True,
            ) from None
        except FileNotFoundError:
            raise self._missing() from None
        return Result(process.returncode, output, redacted(errors.decode("utf-8", "replace")))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a git that is talked to by its standard input and output; it ends when its input does."""
        try:
            return subprocess.Popen(
                ["git", *_SETTINGS, *arguments],
                cwd=self.root,
                env=clean_environment(self.variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Nobody reads along, and a full pipe would stop it.
                stderr=subprocess.DEVNULL,
                # An interrupt from the terminal is for whoever asks; and ssh, for a partial clone, cannot stop to ask.
                start_new_session=True,
            )
        except FileNotFoundError:
            raise self._missing() from None

    def _missing(self) -> ModelOpsError:
        missing = "git is not installed" if self.root.is_dir() else f"{self.root} is not a folder"
        return failure("git-missing", missing, exit=Exit.WORLD, hint="install git 2.38 or newer")

    def checked(
        self,
        *arguments: str,
        input: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        network: bool = False,
    ) -> Result:
        """Run git and return what it answered; any other exit code than 0 is an error that says what to do."""
        result = self.run(*arguments, input=input, environment=environment, network=network)
        if result.code:
            raise explain(arguments, result, network=network)
        return result


_KNOWN: tuple[tuple[str, str, str, str, Exit], ...] = (
    (
        "not a git repository",
        "not-a-repository",
        "this folder is not in a git repository",
        "run `modelops init` or `git init`, or change to the repository (modelops -C FOLDER)",
        Exit.FILES,
    ),
    (
        "must be run in a work tree",
        "not-a-repository",
        "this folder is a part of git's own data, not of the files in it",
        "change to the folder that holds .git",
        Exit.FILES,
    ),
    (
        "dubious ownership",
        "unsafe-repository",
        "the repository belongs to another user and git refuses to read it",
        'run `git config --global --add safe.directory "$PWD"` if you trust it',
        Exit.FILES,
    ),
    ("No space left", "disk-full", "the disk is full", "free some space and run the command again", Exit.WORLD),
    (
        "Read-only file system",
        "repository-unwritable",
        "the repository lies on a read-only file system",
        "make it writable",
        Exit.WORLD,
    ),
    (
        "ermission denied",
        "repository-unwritable",
        "git may not read or write a file of the repository or of its remote",
        "check the permissions and the access rights",
        Exit.WORLD,
    ),
)


def explain(arguments: Sequence[str], result: Result, *, network: bool = False) -> ModelOpsError:
    """Return the error for a git command that failed."""
    for needle, code, message, hint, exit in _KNOWN:
        if needle in result.errors:
            return failure(code, message, exit=exit, hint=hint, retryable=exit is Exit.WORLD)
    lines = [line for line in result.errors.strip().splitlines() if line.strip()] or [f"exit code {result.code}"]
    detail = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
    if network:
        return failure(
            "remote-unreachable",
            f"git {arguments[0]} failed: {detail}",
            exit=Exit.WORLD,
            hint="check the address (`git remote -v`), the network and your access, then run the command again",
            retryable=True,
        )
    return failure("git-failed", f"git {arguments[0]} failed: {detail}", exit=Exit.WORLD)
