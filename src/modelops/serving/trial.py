"""A trial in a process of its own: an artifact that crashes what loads it must not take the server down."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys

import msgspec

from modelops.artifacts import Artifact, load_predictor
from modelops.errors import Exit, ModelOpsError, failure

__all__ = ["TrialLimits", "main", "try_load"]

_REFUSED = 3


class TrialLimits(msgspec.Struct, frozen=True):
    """What the process may use: seconds by the clock, seconds of processor time, bytes of address space."""

    seconds: float = 120.0
    processor_seconds: int = 60
    memory_bytes: int = 4 << 30


class _Parcel(msgspec.Struct):
    """What the process gets on its standard input."""

    digest: str
    files: dict[str, bytes]
    limits: TrialLimits


def try_load(artifact: Artifact, limits: TrialLimits) -> None:
    """Load an artifact and predict its recorded rows in a process with limits.

    A process that crashes, hangs or takes too much memory raises ``trial-failed``; an artifact that it refuses, the
    error with which it does.
    """
    command = [sys.executable, "-P", "-c", "from modelops.serving.trial import main; main()"]
    parcel = msgspec.msgpack.encode(_Parcel(artifact.digest, dict(artifact.files), limits))
    try:
        done = subprocess.run(command, input=parcel, capture_output=True, timeout=limits.seconds, check=False)
    except subprocess.TimeoutExpired:
        raise _failed(artifact, f"did not load within {limits.seconds:g} seconds") from None
    if done.returncode == _REFUSED:
        code, _, message = done.stdout.decode().partition("\n")
        raise failure(code, message, exit=Exit.WORLD)
    if done.returncode < 0:
        name = str(-done.returncode)
        with contextlib.suppress(ValueError):
            name = signal.Signals(-done.returncode).name
        raise _failed(artifact, f"ended the process that loaded it with {name}")
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise _failed(artifact, f"ended the process that loaded it: {last[:200]}")


def main() -> None:
    """Load the artifact on standard input and say on standard output why it is refused, if it is."""
    parcel = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Parcel)
    _limit(parcel.limits)
    try:
        load_predictor(Artifact(parcel.digest, 0, parcel.files))
    except ModelOpsError as error:
        problem = error.first
        sys.stdout.write(f"{problem.code}\n{problem.message}")
        sys.exit(_REFUSED)


def _limit(limits: TrialLimits) -> None:
    if sys.platform == "win32":
        return
    import resource

    values = {"RLIMIT_CORE": 0, "RLIMIT_CPU": limits.processor_seconds, "RLIMIT_AS": limits.memory_bytes}
    for name, value in values.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, hard))


def _failed(artifact: Artifact, what: str) -> ModelOpsError:
    return failure("trial-failed", f"artifact {artifact.digest} {what}", exit=Exit.WORLD)
