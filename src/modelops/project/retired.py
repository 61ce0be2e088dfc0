"""What main had and has no more: models that were retired or renamed, read from the branch's own line of commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from modelops.errors import ModelOpsError
from modelops.repository import Repository
from modelops.spec.kinds import place
from modelops.spec.layout import DEPLOYMENT, MODEL, MODELS, PROMOTION, RELEASE, model_folder, promoted, release_of
from modelops.spec.load import load_resource
from modelops.spec.past import arms_then
from modelops.spec.yaml.text import SIZE_LIMIT

__all__ = [
    "Retired",
    "arms_at",
    "former_names",
    "gone_files",
    "lineage",
    "next_release",
    "numbers_at",
    "records_ever",
    "retired_models",
    "successor",
]


@dataclass(frozen=True, slots=True)
class Retired:
    """A model that main had: the commit that took it away, and the commit before, which has its whole past."""

    model: str
    commit: str
    time: datetime
    subject: str
    last: str


def retired_models(repository: Repository, tip: str) -> dict[str, Retired]:
    """Return the models that a tip has no file of any kind of, and that its line had; by name, sorted."""
    here = {kind[1] for path in repository.paths(tip, MODELS) if (kind := place(path)) is not None}
    found: dict[str, Retired] = {}
    line = repository.line(tip, MODELS)
    for path in line.files:
        named = MODEL.parse(path)
        if named is None or named[1] in here:
            continue
        newest = next(iter(line.versions(path)), None)
        if newest is not None and newest.blob is None and newest.parent is not None:
            found[named[1]] = Retired(named[1], newest.commit, newest.time, newest.subject, newest.parent)
    return dict(sorted(found.items()))


def gone_files(repository: Repository, tip: str) -> dict[str, str]:
    """Return the files that went with their whole model, each with the commit that had it last.

    A file that was taken away alone is none of them: a release that lacks its evidence is not proven by the past.
    """
    line = repository.line(tip, MODELS)
    ends = {
        (named[1], version.commit)
        for path in line.files
        if (named := MODEL.parse(path)) is not None
        for version in line.versions(path)
        if version.blob is None
    }
    found: dict[str, str] = {}
    for path in line.files:
        newest = next(iter(line.versions(path)), None)
        if newest is None or newest.blob is not None or newest.parent is None:
            continue
        if any((owner, newest.commit) in ends for owner in _owners(path)):
            found[path] = newest.parent
    return found


def _owners(path: str) -> Iterator[str]:
    """Yield the models whose folder may hold a file."""
    kind, release, promotion = place(path), release_of(path), promoted(path)
    if kind is not None and kind[1] is not None:
        yield kind[1]
    if release is not None:
        yield release.model
    if promotion is not None:
        yield promotion[0]


def arms_at(repository: Repository, commit: str, model: str | None = None) -> dict[tuple[str, str], Mapping[str, int]]:
    """Return what every deployment of a commit names, by (model, environment); none of today's rules is asked."""
    paths = {path: found for path in repository.paths(commit, MODELS) if (found := DEPLOYMENT.parse(path)) is not None}
    mine = {path: found for path, found in paths.items() if model in (None, found[0])}
    ids = repository.ids(commit, mine)
    blobs = repository.blobs(ids.values(), SIZE_LIMIT)
    said = {mine[path]: blobs[blob] for path, blob in ids.items()}
    arms = {(str(key[0]), key[1]): arms_then(data) if isinstance(data, bytes) else None for key, data in said.items()}
    return {key: found for key, found in sorted(arms.items()) if found}


def numbers_at(repository: Repository, commit: str, model: str) -> tuple[int, ...]:
    """Return the numbers of the releases that a model has at a commit."""
    found = (RELEASE.parse(path) for path in repository.paths(commit, model_folder(model)))
    mine = (name for owner, name in filter(None, found) if owner == model and name.isdigit())
    return tuple(sorted(map(int, mine)))


def former_names(repository: Repository, commit: str, model: str) -> tuple[str, ...]:
    """Return what a model of a commit says it was called before."""
    path = MODEL.path(model)
    if path not in repository.paths(commit):
        return ()
    with suppress(ModelOpsError):
        return _formerly(repository.read(commit, path), path)
    return ()


def _formerly(data: bytes, path: str) -> tuple[str, ...]:
    with suppress(ModelOpsError):
        return tuple(load_resource(data, path).spec.formerly)
    return ()


def successor(repository: Repository, tip: str, model: str) -> str | None:
    """Return the model of a tip that says it was called so before, if there is one."""
    named = {path: found[1] for path in repository.paths(tip, MODELS) if (found := MODEL.parse(path)) is not None}
    ids = repository.ids(tip, named)
    contents = repository.blobs(ids.values(), SIZE_LIMIT)
    texts = {path: data for path, id in ids.items() if isinstance(data := contents[id], bytes)}
    # Of many models hardly any has another name, and only a file that has the word, or can escape it, says one.
    telling = (path for path, data in texts.items() if b"formerly" in data or b"\\" in data)
    return min((named[path] for path in telling if model in _formerly(texts[path], path)), default=None)


def lineage(repository: Repository, tip: str, model: str) -> tuple[str, ...]:
    """Return every name that a model has or had, itself first; then its earlier ones, the newest first, then later."""
    known = [model]
    for name in known:
        # A clone without history knows what is there.
        here = MODEL.path(name) in repository.paths(tip)
        past = None if here else retired_models(repository, tip).get(name)
        commit = past.last if past is not None else tip
        known += [each for each in former_names(repository, commit, name) if each not in known]
    later = successor(repository, tip, model)
    while later is not None and later not in known:
        known.append(later)
        later = successor(repository, tip, later)
    return tuple(known)


def next_release(repository: Repository, tip: str, model: str) -> int:
    """Return the number of a model's next release: none that it ever had is used again, under whatever name."""
    line = repository.line(tip, MODELS)
    names = set(lineage(repository, tip, model))
    found = (RELEASE.parse(path) for path in line.files if line.versions(path))
    numbers = (int(name) for owner, name in filter(None, found) if owner in names and name.isdigit())
    return max(numbers, default=0) + 1


def records_ever(repository: Repository, tip: str, model: str) -> tuple[str, ...]:
    """Return the names of all promotion records that a model ever had, so that none is used again."""
    line = repository.line(tip, MODELS)
    found = (PROMOTION.parse(path) for path in line.files if line.versions(path))
    return tuple(sorted(name for owner, name in filter(None, found) if owner == model))
