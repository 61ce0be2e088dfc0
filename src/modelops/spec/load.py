"""Files to resources: what a file is follows from its place, what it may hold from its kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from modelops.digests import digest_bytes
from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.spec.explain import explain, nearest, show
from modelops.spec.kinds import KINDS, PLACES, AnyResource, Resource, place
from modelops.spec.layout import MODELS, POLICIES
from modelops.spec.meta import API_VERSION, Metadata
from modelops.spec.partial import partial
from modelops.spec.yaml import quick
from modelops.spec.yaml.document import Document, parse, size_limit

_ENVELOPE = ("apiVersion", "kind", "metadata", "spec")
_SEGMENT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAMES = "names are kebab-case: a-z, 0-9 and -, 1 to 63 characters"
_LOOKS_OURS = re.compile(rb"^apiVersion:\s*['\"]?modelops/", re.MULTILINE)


class Marks(Mapping[str, Location]):
    """Locations by dotted path, worked out from the file's bytes when someone asks for the first one."""

    __slots__ = ("_data", "_found", "_path")

    def __init__(self, data: bytes, path: str) -> None:
        self._data = data
        self._path = path
        self._found: dict[str, Location] | None = None

    def _table(self) -> dict[str, Location]:
        if self._found is None:
            self._found = parse(self._data, self._path).marks
        return self._found

    def __getitem__(self, dotted: str) -> Location:
        return self._table()[dotted]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table())

    def __len__(self) -> int:
        return len(self._table())


def _validate(model: type[BaseModel], value: Any, document: Document, prefix: str) -> tuple[Any, list[Problem]]:
    try:
        return model.model_validate(value, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, explain(error, model, value, document, prefix)


def _envelope_problems(document: Document, kind: str) -> list[Problem]:
    """Check apiVersion, kind and the set of top-level keys."""
    value, problems = document.value, []
    for key in value:
        if key not in _ENVELOPE:
            where = document.keys.get(key)
            problems.append(Problem("unknown-key", f"{key!r} is not a key here", where, key, nearest(key, _ENVELOPE)))
    for key in _ENVELOPE:
        if key not in value:
            where = Location(document.path, 1, 1)
            problems.append(Problem("missing-key", f"the key {key!r} is missing", where, None, f"add `{key}:`"))
    version = value.get("apiVersion", API_VERSION)
    if version != API_VERSION:
        where = document.marks.get("apiVersion")
        said = f"{show(version)} is not a version that modelops reads"
        problems.append(Problem("unknown-api-version", said, where, "apiVersion", f"write {API_VERSION}"))
    written = value.get("kind", kind)
    if written != kind:
        where = document.marks.get("kind")
        said = f"{show(written)} does not belong at this path"
        hint = f"a file at this path is a {kind}" if str(written) in KINDS else nearest(str(written), KINDS)
        problems.append(Problem("kind-mismatch", said, where, "kind", hint))
    return problems


def _bad_segments(model: str | None, name: str) -> Iterator[str]:
    """Yield the parts of a resource's identity that are no names."""
    for segment in (model or "").split("/") if model else ():
        if not _SEGMENT.fullmatch(segment):
            yield segment
    if name != model and not _SEGMENT.fullmatch(name):
        yield name


def require_names(model: str, name: str | None = None) -> None:
    """Refuse what somebody typed as the name of a model, or of something of it, if no file may have it."""
    for segment in _bad_segments(model, model if name is None else name):
        raise failure("bad-name", f"{segment!r} is not a name", exit=Exit.USAGE, hint=_NAMES)


def _name_problems(document: Document, metadata: Metadata, model: str | None, name: str) -> list[Problem]:
    problems = []
    where = document.marks.get("metadata.name")
    if metadata.name != name:
        said = f"{metadata.name!r} does not match the file's place, which says {name!r}"
        hint = f'write `name: "{name}"`' if name.isdigit() else f"write `name: {name}`, or move the file"
        problems.append(Problem("name-mismatch", said, where, "metadata.name", hint))
    for segment in _bad_segments(model, name):
        said = f"{segment!r} in the path is not a name"
        problems.append(Problem("bad-name", said, Location(document.path), None, _NAMES))
    return problems


def _misplaced(path: str, data: bytes) -> Problem | None:
    """Return the problem of a YAML file that lies where no kind does, or None for a model's own file."""
    stem, _, extension = path.rpartition(".")
    if extension not in ("yaml", "yml") or not path.startswith((MODELS, POLICIES)):
        return None
    if extension == "yml" and place(stem + ".yaml"):
        return Problem("unknown-file", "specs end in .yaml", Location(path), None, f"rename it to {stem}.yaml")
    if path.startswith(MODELS) and not _LOOKS_OURS.search(data[:4096]):
        return None
    top = POLICIES if path.startswith(POLICIES) else MODELS
    places = [place.path("<model>", "<name>") for place in PLACES.values() if place.template.startswith(top)]
    hint = f"what has a place: {', '.join(sorted(places))}"
    return Problem("unknown-file", "no kind lives at this path", Location(path), None, hint)


def load_resource(data: bytes, path: str) -> AnyResource:
    """Return the resource that a file holds; raises one error with every problem of the file."""
    found = place(path)
    if found is None:
        problem = _misplaced(path, data) or Problem("unknown-file", "no kind lives at this path", Location(path))
        raise ModelOpsError(problem)
    return _quickly(data, path, *found) or _carefully(data, path, *found)


def _quickly(data: bytes, path: str, kind: str, model: str | None, name: str) -> AnyResource | None:
    """Return the resource of a file that is plain and right; None means that someone has to look closely."""
    value = quick.read(data) if len(data) <= size_limit(path) else None
    if value is None or tuple(value) != _ENVELOPE or value["apiVersion"] != API_VERSION or value["kind"] != kind:
        return None
    try:
        metadata = Metadata.model_validate(value["metadata"], by_alias=True, by_name=False)
        spec = KINDS[kind].model_validate(value["spec"], by_alias=True, by_name=False)
    except ValidationError:
        return None
    if metadata.name != name or any(_bad_segments(model, name)):
        return None
    digest = digest_bytes(data)
    return Resource(kind, name, model, path, metadata, spec, digest, Marks(data, path))


def _carefully(data: bytes, path: str, kind: str, model: str | None, name: str) -> AnyResource:
    """Return the resource of a file, or raise everything that is wrong with it."""
    document = parse(data, path)
    problems = _envelope_problems(document, kind)
    metadata: Metadata | None = None
    spec: Any = None
    if "metadata" in document.value:
        metadata, told = _validate(Metadata, document.value["metadata"], document, "metadata")
        problems += told
    if metadata is not None:
        problems += _name_problems(document, metadata, model, name)
    # A file of another kind than its place says would only add noise, key by key.
    if "spec" in document.value and not any(problem.code == "kind-mismatch" for problem in problems):
        spec, told = _validate(KINDS[kind], document.value["spec"], document, "spec")
        problems += told
    if problems or metadata is None:
        raise ModelOpsError(*sorted(problems, key=lambda problem: problem.location or Location(path)))
    digest = digest_bytes(data)
    return Resource(kind, name, model, path, metadata, spec, digest, document.marks)


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that is YAML but not valid: the resource as far as it can be read, and what is wrong with it."""

    resource: AnyResource
    problems: tuple[Problem, ...]

    def others(self, found: Iterable[Problem]) -> Iterator[Problem]:
        """Yield what was found of the resource, without what follows from values that are not valid anyway."""
        wrong = [problem.dotted for problem in self.problems if problem.dotted]
        for problem in found:
            dotted = problem.dotted or ""
            if not any(_within(dotted, bad) or _within(bad, dotted) for bad in wrong):
                yield problem


def _within(dotted: str, above: str) -> bool:
    return bool(above) and (dotted == above or dotted.startswith((f"{above}.", f"{above}[")))


def load_draft(data: bytes, path: str, problems: tuple[Problem, ...]) -> Draft | None:
    """Return what can be read of a file with problems, None where that is not even YAML or of another kind."""
    found = place(path)
    if found is None or any(problem.code == "kind-mismatch" for problem in problems):
        return None
    kind, model, name = found
    try:
        document = parse(data, path)
    except ModelOpsError:
        return None
    spec = partial(KINDS[kind], document.value.get("spec"))
    metadata = Metadata.model_construct(name=name)
    return Draft(Resource(kind, name, model, path, metadata, spec, "", document.marks), problems)


@dataclass(slots=True)
class Loaded:
    """Valid resources by path, drafts of the others, every problem, and the kinds of all files that are not valid."""

    resources: dict[str, AnyResource] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)


def load_all(files: Mapping[str, bytes]) -> Loaded:
    """Read all files that hold a resource, and every problem of those that do not.

    Files that are not ours (training code, evidence, a model's own YAML) are passed over.
    """
    loaded = Loaded()
    for path in sorted(files):
        found = place(path)
        if found is None:
            problem = _misplaced(path, files[path])
            loaded.problems += [problem] if problem else []
            continue
        try:
            loaded.resources[path] = load_resource(files[path], path)
        except ModelOpsError as error:
            loaded.problems += error.problems
            loaded.broken.add(found[0])
            draft = load_draft(files[path], path, error.problems)
            loaded.drafts += [draft] if draft else []
    return loaded
