"""Since when an arm stood as it did, and by which commit: read from the branch's own history of a deployment."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from modelops.repository import Repository
from modelops.repository.line import Version
from modelops.spec.layout import MODELS, Seat
from modelops.spec.past import arms_then
from modelops.spec.yaml.text import SIZE_LIMIT

__all__ = ["Moments", "introduced", "read_moments"]

Moments = tuple[tuple[Version, Mapping[str, int]], ...]
"""The versions of a deployment that can be read, newest first, with the releases that they name by arm."""


def read_moments(repository: Repository, commit: str, seats: Collection[Seat]) -> dict[Seat, Moments]:
    """Return what deployments said up to a commit, read at once."""
    line = repository.line(commit, MODELS)
    versions = {seat: line.versions(seat.deployment) for seat in seats}
    blobs = [version.blob for found in versions.values() for version in found if version.blob is not None]
    contents = repository.blobs(blobs, SIZE_LIMIT)
    return {seat: tuple(_legible(found, contents)) for seat, found in versions.items()}


def _legible(
    versions: tuple[Version, ...], contents: Mapping[str, bytes | int]
) -> Iterator[tuple[Version, Mapping[str, int]]]:
    for version in versions:
        data = contents[version.blob] if version.blob is not None else None
        arms = arms_then(data) if isinstance(data, bytes) else None
        if arms is not None:
            yield version, arms


def introduced(moments: Moments, arm: str) -> Version | None:
    """Return the version since which an arm is what it is in the newest one."""
    since: Version | None = None
    for version, arms in moments:
        if arms.get(arm) != moments[0][1].get(arm):
            break
        since = version
    return since
