"""Running git: one clean environment, no prompts, and failures turned into sentences without secrets."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelops.errors import Exit, ModelOpsError, failure

NETWORK_SECONDS = 300.0

# What says how to reach a remote and where the user's configuration lies; every other GIT_* variable could redirect
# the repository, its index or its identity (git sets several of them for hooks) and is dropped.
_KEPT = re.compile(
    r"GIT_(SSH|SSH_COMMAND|SSH_VARIANT|ASKPASS|SSL_\w+|HTTP_\w+|PROXY_\w+|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM))"
)
_SETTINGS = ("core.quotePath=false", "i18n.logOutputEncoding=UTF-8", "gc.auto=0", "maintenance.auto=false")
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


@dataclass(frozen=True, slots=True)
class Git:
    """git in one folder."""

    root: Path

    def run(
        self,
        *arguments: str,
        input: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        network: bool = False,
    ) -> Result:
        """Run git and return what it answered, whatever its exit code."""
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        try:
            done = subprocess.run(
                ["git", *settings, *arguments],
                cwd=self.root,
                env=clean_environment(environment),
                input=b"" if input is None else input,
                capture_output=True,
                timeout=NETWORK_SECONDS if network else None,
                check=False,
                # Without a terminal of its own, ssh cannot stop to ask for a passphrase.
                start_new_session=network,
            )
        except subprocess.TimeoutExpired:
            raise failure(
                "remote-unreachable",
                f"git {arguments[0]} got no answer from the remote within {NETWORK_SECONDS:.0f} s",
                exit=Exit.WORLD,
                hint="check the network and run the command again",
                retryable=True,
            ) from None
        except FileNotFoundError:
            missing = "git is not installed" if self.root.is_dir() else f"{self.root} is not a folder"
            raise failure("git-missing", missing, exit=Exit.WORLD, hint="install git 2.38 or newer") from None
        return Result(done.returncode, done.stdout, redacted(done.stderr.decode("utf-8", "replace")))

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
