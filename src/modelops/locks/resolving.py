"""Making a lock by a resolver: uv where it is installed, else pip; versions stay those that are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from modelops.errors import Exit, Location, failure
from modelops.locks.installed import needs
from modelops.locks.pins import normal_name, pins_of

__all__ = ["Resolved", "read_requirements", "resolve", "unlocked"]

_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Resolved:
    """A lock with the words for what it is good for."""

    text: bytes
    good_for: str


def read_requirements(data: bytes, path: str) -> list[str]:
    """Return the requirements of a file, one a line; anything but names and versions is refused with its line."""
    found = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if not text:
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            requirement = None
        if requirement is None or requirement.url is not None:
            raise failure(
                "bad-requirement",
                f"{text!r} is not a requirement of a package by name",
                location=Location(path, number, 1),
                hint="name packages and versions, such as lightgbm>=4.6; options, paths and URLs are not taken",
            )
        found.append(text)
    return found


def unlocked(wanted: Sequence[str], lock: bytes) -> tuple[str, ...]:
    """Return the requirements that no pin of a lock meets, each with why: what they ask for came after the lock.

    What holds for other Pythons or machines only is not asked for here.
    """
    pins = {pin.name: pin.version for pin in pins_of(lock) if pin.counts}
    found = []
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        pinned = pins.get(normal_name(requirement.name))
        if pinned is None:
            found.append(f"{text} (no pin)")
        elif not requirement.specifier.contains(pinned, prereleases=True):
            found.append(f"{text} (the pin is {pinned})")
    return tuple(found)


def resolve(
    wanted: Sequence[str],
    installed: Mapping[str, str],
    *,
    extras: frozenset[str] = frozenset(),
    python: str | None = None,
    upgrade: bool = False,
    package: str = "modelops",
    environ: Mapping[str, str] = os.environ,
) -> Resolved:
    """Ask the package index for everything that a package and ``wanted`` need, with the hash of every file.

    Parameters
    ----------
    wanted : sequence of str
        Requirements of the models' own code.
    installed : mapping of str to str
        Versions by name, which the lock keeps unless ``upgrade``.
    extras : frozenset of str
        Extras of ``package`` that the models need, such as ``xgboost``.
    python : str, optional
        The oldest Python, such as ``3.12``, that the lock is for; this one if not said.
    upgrade : bool
        Take the newest versions.
    package : str
        What the models are trained and served by.
    environ : mapping of str to str
        What the resolver finds its index and its proxy in.

    Raises
    ------
    ModelOpsError
        ``resolver-failed``, exit 4, with what the resolver said: no solution, or an index that does not answer.
    """
    asked = [str(each) for each in needs(package, extras)] + list(wanted)
    version = python or "{}.{}".format(*sys.version_info[:2])
    constraints = (
        [] if upgrade else [f"{name}=={found}" for name, found in installed.items() if name != normal_name(package)]
    )
    with tempfile.TemporaryDirectory(prefix="modelops-") as folder:
        inputs, bounds = Path(folder, "requirements.in"), Path(folder, "constraints.txt")
        inputs.write_text("\n".join(asked) + "\n", encoding="utf-8")
        bounds.write_text("\n".join(constraints) + "\n", encoding="utf-8")
        uv = _uv()
        if uv is not None:
            return _by_uv(uv, inputs, bounds, version, environ)
        return _by_pip(inputs, bounds, version, environ)


def _uv() -> list[str] | None:
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    found = shutil.which("uv")
    return [found] if found else None


def _by_uv(uv: list[str], inputs: Path, bounds: Path, version: str, environ: Mapping[str, str]) -> Resolved:
    command = [*uv, "pip", "compile", str(inputs), "--constraints", str(bounds), "--universal", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-build", "--quiet", "--python-version", version]
    text = _run(command, environ, inputs.parent)
    head = f"# What models are trained and served with, on Python {version} and newer."
    return Resolved(f"{head}\n{text}".encode(), f"Python {version} and newer, on every platform")


def _by_pip(inputs: Path, bounds: Path, version: str, environ: Mapping[str, str]) -> Resolved:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command += ["--requirement", str(inputs), "--constraint", str(bounds), "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input"]
    here = "{}.{}".format(*sys.version_info[:2])
    if version != here:
        command += ["--python-version", version, "--target", str(inputs.parent / "target")]
    report = json.loads(_run(command, environ, inputs.parent))
    lines = []
    for one in sorted(report["install"], key=lambda one: normal_name(one["metadata"]["name"])):
        hashes = one["download_info"].get("archive_info", {}).get("hashes", {})
        name, pinned = normal_name(one["metadata"]["name"]), one["metadata"]["version"]
        lines.append(f"{name}=={pinned} \\\n    --hash=sha256:{hashes['sha256']}")
    head = f"# What models are trained and served with, on Python {version} of this platform."
    return Resolved("\n".join([head, *lines, ""]).encode(), f"Python {version} on this platform alone, as pip says it")


def _run(command: list[str], environ: Mapping[str, str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, env=dict(environ), cwd=folder, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise failure(
            "resolver-failed", f"{Path(command[0]).name} did not end: {type(error).__name__}", exit=Exit.WORLD
        ) from None
    if done.returncode != 0:
        # An index may be named with a user and a password in it.
        said = re.sub(r"//[^/@\s]*@", "//", done.stderr.strip())[-2000:]
        raise failure(
            "resolver-failed",
            f"the packages of the lock cannot be resolved:\n{said}",
            exit=Exit.WORLD,
            retryable=True,
            hint="what is installed here stays in the lock unless --upgrade lets it go",
        )
    return done.stdout
