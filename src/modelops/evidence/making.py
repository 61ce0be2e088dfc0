"""How a build was made: by what, when, on which machine, from which packages; as SLSA provenance v1 states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["BUILDERS", "FIRST_BUILDER", "GITHUB_BUILDER", "LOCAL_BUILDER", "PACKAGE", "Making", "making_of"]

FIRST_BUILDER = "https://modelops.dev/builders/modelops/v1"
"""What releases name as their builder that were made before it was said where they were built."""
LOCAL_BUILDER = "https://modelops.dev/builders/local/v1"
GITHUB_BUILDER = "https://modelops.dev/builders/github-actions/v1"
BUILDERS = frozenset({FIRST_BUILDER, LOCAL_BUILDER, GITHUB_BUILDER})

PACKAGE = "package:"
"""How the names of packages begin among the dependencies of a build."""
_INDEX = "pkg:pypi/"


@dataclass(frozen=True, slots=True)
class Making:
    """The circumstances of a build, none of which may change its result.

    ``environment`` is what the machine was: Python, platform, processor, threads, how modelops is installed, how the
    packages compare with the lock, and the parts of the inputs that are not files. ``packages`` are all that were
    installed, by version. ``code`` maps the model's code files to their SHA-256. Times are RFC 3339.
    """

    builder: str
    invocation: str
    started: str
    finished: str
    modelops: str
    environment: Mapping[str, Any]
    packages: Mapping[str, str]
    code: Mapping[str, str]

    def dependencies(self) -> list[dict[str, Any]]:
        """Return the packages as in-toto ResourceDescriptors."""
        return [
            {"name": PACKAGE + name, "uri": f"{_INDEX}{name}@{version}"}
            for name, version in sorted(self.packages.items())
        ]

    def run_details(self) -> dict[str, Any]:
        """Return the builder and the metadata of ``runDetails``."""
        return {
            "builder": {"id": self.builder, "version": {"modelops": self.modelops}},
            "metadata": {
                "invocationId": self.invocation,
                "startedOn": self.started,
                "finishedOn": self.finished,
            },
        }


def making_of(predicate: Mapping[str, Any]) -> Making | None:
    """Return the circumstances that a provenance states, None where it has none: it is older than they are."""
    match predicate:
        case {
            "buildDefinition": {
                "internalParameters": {"environment": dict() as environment, "code": dict() as code},
                "resolvedDependencies": list() as dependencies,
            },
            "runDetails": {
                "builder": {"id": str() as builder, "version": {"modelops": str() as version}},
                "metadata": {
                    "invocationId": str() as invocation,
                    "startedOn": str() as started,
                    "finishedOn": str() as finished,
                },
            },
        } if builder in BUILDERS:
            return Making(builder, invocation, started, finished, version, environment, _packages(dependencies), code)
    return None


def _packages(dependencies: list[Any]) -> dict[str, str]:
    found = {}
    for one in dependencies:
        uri = one.get("uri") if isinstance(one, dict) else None
        if isinstance(uri, str) and uri.startswith(_INDEX):
            name, _, version = uri.removeprefix(_INDEX).partition("@")
            found[name] = version
    return found
