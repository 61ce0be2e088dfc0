"""The whole repository as one value: every reference resolved, every rule evaluated, every problem in one pass."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from modelops.errors import Location, ModelOpsError, Problem
from modelops.spec.around import Around, Collection, Folder, Known, Metrics, collect
from modelops.spec.judging import Judge
from modelops.spec.kinds import IMMUTABLE_KINDS, KINDS, PLACES, AnyResource, place, problems_of
from modelops.spec.kinds.gate_policy import Gate
from modelops.spec.layout import release_of
from modelops.spec.load import Draft, load_all
from modelops.spec.meta import Plugin, Shelf, Strict
from modelops.spec.parameters import bind, policy_warnings
from modelops.spec.partial import Unknown
from modelops.spec.references import folder_problems
from modelops.spec.rollouts import PLAN_CODES, Severity, plan_problems, plan_questions
from modelops.spec.tree import Graph, ModelEntry

__all__ = ["Examined", "Graph", "ModelEntry", "build_graph", "check_immutable", "examine"]

_REQUIRED = {"Project": "project", "ApprovalPolicy": "approvals", "TrustPolicy": "trust"}


@dataclass(frozen=True, slots=True)
class Examined:
    """What files hold, what is wrong with them, and what of it only warns."""

    collection: Collection
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    judge: Judge

    @property
    def hard(self) -> tuple[Problem, ...]:
        """The problems that no part of the loop refuses later by itself."""
        return tuple(problem for problem in self.problems if not _refused_later(problem))

    def graph(self, stalled: Mapping[str, tuple[Problem, ...]]) -> Graph:
        """Return the graph of files without hard problems."""
        collection = self.collection
        entries = {
            name: ModelEntry(name, folder.parts)
            for name, folder in collection.folders.items()
            if folder.only("Model") is not None
        }
        return Graph(
            collection.of("Project")["project"],
            collection.of("ApprovalPolicy")["approvals"],
            collection.of("TrustPolicy")["trust"],
            collection.of("Environment"),
            collection.of("GatePolicy"),
            collection.of("Rule"),
            dict(sorted(entries.items())),
            collection.of("AccessPolicy"),
            self.warnings,
            self.problems,
            collection.policies,
            stalled,
        )


def examine(
    files: Mapping[str, bytes],
    metrics: Metrics | None = None,
    paths: Names[str] | None = None,
    *,
    rules_used: Names[str] = (),
    models: Names[str] = (),
) -> Examined:
    """Hold every file against the others.

    ``rules_used`` are rules that have seen a file which is not among these, ``models`` those there are beside them.
    """
    loaded = load_all(files)
    problems = loaded.problems
    collection = collect(loaded.resources.values())
    every = None if paths is None else frozenset(paths)
    names = identities(files)
    known = Known(names, metrics, every, data_locations(collection), models_in(names) | frozenset(models))
    for folder in collection.folders.values():
        problems += folder_problems(folder, collection, known)
    for draft in loaded.drafts:
        problems += draft_problems(draft, collection, known)
    problems += policy_problems(collection, known)
    for shelf, plugin, resource, dotted in plugins_named(collection):
        problems += parameter_problems(shelf, plugin, resource, dotted)
    judge = Judge(collection.of("Rule").values())
    problems += judge.problems
    warnings: list[Problem] = []
    for severity, problem in judge.judge(loaded.resources.values(), collection.risks()):
        (problems if severity == "error" else warnings).append(problem)
    judge.assume(loaded.broken)
    judge.used |= set(rules_used)
    warnings += [*judge.constant(), *judge.unused()]
    for policy in collection.of("GatePolicy").values():
        warnings += policy_warnings(policy)
    for folder in collection.folders.values():
        for severity, problem in folder_plan_problems(folder):
            (problems if severity == "error" else warnings).append(problem)
    return Examined(collection, tuple(sorted(problems, key=in_order)), tuple(warnings), judge)


def build_graph(
    files: Mapping[str, bytes],
    metrics: Metrics | None = None,
    *,
    paths: Names[str] | None = None,
) -> Graph:
    """Return the graph of a repository's files, or raise one error that carries every problem.

    ``metrics`` are those that a monitor may watch (unchecked when None). ``paths`` are all paths of the
    repository, where known, so that files which are only named (training code, evidence) can be missed.
    """
    examined = examine(files, metrics, paths)
    if examined.hard:
        raise ModelOpsError(*examined.problems)
    return examined.graph({})


def folder_plan_problems(folder: Folder) -> Iterator[tuple[Severity, Problem]]:
    """Yield (severity, problem) of what strategies say about the rollout plan and the arms of one model."""
    files = {resource.path: resource for some in folder.parts.values() for resource in some.values()}
    for shelf, strategy, data, path, _ in plan_questions(folder):
        yield from plan_problems(shelf, strategy, data, files[path])


def draft_problems(draft: Draft, collection: Collection, known: Known) -> Iterator[Problem]:
    """Yield what is wrong with the references and plugins of a file that is not valid either."""
    resource = draft.resource
    if resource.model is not None:
        folder = collection.folders.get(resource.model) or Folder(resource.model)
        yield from draft.others(problems_of(resource, Around(folder, collection, known)))
        for shelf, plugin, _, dotted in plugins_named(collect([resource])):
            if isinstance(plugin, Plugin) and not any(isinstance(v, Unknown) for v in (plugin.type, plugin.params)):
                yield from draft.others(parameter_problems(shelf, plugin, resource, dotted))


def _refused_later(problem: Problem) -> bool:
    """Tell whether the loop itself refuses what is wrong, so that it stops one model and not every model."""
    return problem.code in ("data-location", "denied-release", "unknown-key-name") or problem.code in PLAN_CODES


def data_locations(collection: Collection) -> tuple[str, ...] | None:
    """Return where the Project lets data lie outside of the repository, None when it is not valid."""
    project = collection.of("Project").get("project")
    return None if project is None else tuple(project.spec.data_locations)


def in_order(problem: Problem) -> tuple[Location, str]:
    """Return the key by which problems are shown: file, line, column."""
    return problem.location or Location(""), problem.code


def identities(paths: Iterable[str]) -> frozenset[tuple[str, str | None, str]]:
    """Return (kind, model, name) of every path at which a kind lives."""
    return frozenset(found for path in paths if path.endswith(".yaml") and (found := place(path)) is not None)


def models_in(names: Iterable[tuple[str, str | None, str]]) -> frozenset[str]:
    """Return the models among some identities."""
    return frozenset(name for kind, _, name in names if kind == "Model")


def policy_problems(collection: Collection, known: Known) -> Iterator[Problem]:
    """Yield what is wrong between the policies."""
    for kind, name in _REQUIRED.items():
        if not known.has(kind, None, name):
            path = PLACES[kind].path(None, name)
            said = f"{path} is missing"
            yield Problem("missing-policy", said, Location(path), None, "scaffold it: modelops init")
    around = Around(Folder(""), collection, known)
    for resources in collection.policies.values():
        for resource in resources.values():
            yield from problems_of(resource, around)


def plugins_named(collection: Collection) -> Iterator[tuple[str, Plugin | Gate, AnyResource, str]]:
    """Yield (shelf, plugin, resource, dotted path) for every plugin that is named."""
    for resources in (collection.policies, *(folder.parts for folder in collection.folders.values())):
        for kind, named in resources.items():
            if names_plugins(KINDS[kind]):
                for resource in named.values():
                    # Of a draft without a spec nothing is known.
                    found = _named_in(resource.spec, "spec") if isinstance(resource.spec, Strict) else ()
                    yield from ((shelf, plugin, resource, dotted) for shelf, plugin, dotted in found)


def _named_in(record: Strict, dotted: str) -> Iterator[tuple[str, Plugin | Gate, str]]:
    """Yield (shelf, plugin, dotted path) for what a record and the records in it name."""
    for field, alias, shelf in shelves_of(type(record)):
        for one, where in _items(getattr(record, field), f"{dotted}.{alias}"):
            yield shelf, one, where
    for field, alias, _ in records_of(type(record)):
        for one, where in _items(getattr(record, field), f"{dotted}.{alias}"):
            if isinstance(one, Strict):
                yield from _named_in(one, where)


def _items(value: Any, dotted: str) -> Iterator[tuple[Any, str]]:
    """Yield the values of a list or a mapping, or the only one, with their places."""
    if isinstance(value, tuple):
        yield from ((one, f"{dotted}[{at}]") for at, one in enumerate(value))
    elif isinstance(value, dict):
        yield from ((one, f"{dotted}.{key}") for key, one in value.items())
    elif value is not None:
        yield value, dotted


@cache
def shelves_of(spec: type[Strict]) -> tuple[tuple[str, str, str], ...]:
    """Return (field, key in YAML, shelf) of every field of a record that names plugins."""
    found = ((name, info.alias or name, info.metadata) for name, info in spec.model_fields.items())
    return tuple((name, alias, one.name) for name, alias, some in found for one in some if isinstance(one, Shelf))


@cache
def records_of(spec: type[Strict]) -> tuple[tuple[str, str, type[Strict]], ...]:
    """Return (field, key in YAML, record) of every field that holds records, in whatever form, that name plugins."""
    found = ((name, info.alias or name, info.annotation) for name, info in spec.model_fields.items())
    return tuple(
        (name, alias, inner) for name, alias, kind in found for inner in _records_in(kind) if names_plugins(inner)
    )


def _records_in(annotation: Any) -> Iterator[type[Strict]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        yield annotation
    for inner in get_args(annotation):
        yield from _records_in(inner)


def names_plugins(spec: type[Strict]) -> bool:
    """Tell whether a record, or a record in it, names plugins."""
    return bool(shelves_of(spec) or records_of(spec))


def parameter_problems(shelf: str, plugin: Plugin | Gate, resource: AnyResource, dotted: str) -> tuple[Problem, ...]:
    """Return what is wrong with the parameters of one plugin."""
    try:
        bind(shelf, plugin, resource, dotted)
    except ModelOpsError as error:
        return error.problems
    return ()


def _immutable(path: str) -> bool:
    found, release = place(path), release_of(path)
    if found is not None:
        return found[0] in IMMUTABLE_KINDS
    return release is not None and path in (release.evidence, release.card)


def check_immutable(base: Mapping[str, bytes], head: Mapping[str, bytes]) -> list[Problem]:
    """Return a Problem for each release, promotion or snapshot file of ``base`` that ``head`` changed or lacks."""
    problems = []
    for path in sorted(filter(_immutable, base)):
        if path not in head:
            said, hint = "an immutable file was removed", f"restore it: git checkout <base> -- {path}"
        elif head[path] != base[path]:
            said, hint = "an immutable file was changed", "restore it, and make a new one instead"
        else:
            continue
        problems.append(Problem("immutable-file", said, Location(path), None, hint))
    return problems
