"""kind: DataSource — a system that data comes from: whose it is, what it promises, and how it is reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.locations import refusal
from modelops.spec.meta import LONGEST_DAYS, FeatureType, ModelName, Name, Scalar, Share, Strict
from modelops.spec.resource import AnyResource, Resource, at

PLACE = layout.SOURCE
STALLS = False


class Reading(Strict):
    """How today's data of a source are got, to hold them against the contract.

    ``files``: ``location`` is a folder below the repository, one that the Project lists, or a URL prefix to which each
    of ``files`` is appended. ``command``: an argument list, run behind the fence in a copy of what it names of the
    folder of data sources, ``{output}`` replaced by the folder to fill; it reaches the network where ``network`` says.
    """

    type: Literal["files", "command"] = "files"
    location: str | None = None
    files: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    network: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.type == "files" and (self.location is None or self.command or self.network):
            raise ValueError("data that lie in files have a location, and neither command nor network")
        if self.type == "command" and (not self.command or self.location is not None):
            raise ValueError("data that a command writes have a command, and no location")
        return self


class Promised(Strict):
    """What is promised of a column: its type, the share that may be missing, and the values that there may be."""

    name: str = Field(min_length=1)
    type: FeatureType
    missing: Share = 0.0
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[Scalar, ...] = ()


class Contract(Strict):
    """What the data of a source look like; columns beyond those that are promised are no breach.

    ``rows`` is the least number of rows there always are.
    """

    rows: Annotated[int, Field(ge=1)] = 1
    columns: tuple[Promised, ...] = Field(min_length=1)


class Freshness(Strict):
    """How old the newest row may be, by the column that holds its time; ``hours`` is the objective."""

    column: str = Field(min_length=1)
    hours: Annotated[float, Field(gt=0, le=24 * LONGEST_DAYS)]


class DataSourceSpec(Strict):
    """The spec of a DataSource.

    ``owner`` answers for it, and ``contact`` says how a person reaches them. ``upstream`` are the data sources that it
    is made from, ``models`` those whose answers decide what gets into it: a list of cases that were investigated
    because a model flagged them. Models name it as the source of their features and labels, snapshots among the systems
    their data come from.
    """

    description: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    contact: str = Field(min_length=1)
    upstream: tuple[Name, ...] = ()
    models: tuple[ModelName, ...] = ()
    freshness: Freshness | None = None
    contract: Contract | None = None
    read: Reading | None = None


def problems(source: Resource[DataSourceSpec], around: Around) -> Iterator[Problem]:
    """Yield what a source names and is not there, and promises that contradict each other."""
    spec, known = source.spec, around.known
    names = known.all("DataSource")
    for index, name in enumerate(spec.upstream):
        where = f"spec.upstream[{index}]"
        if name not in names:
            yield at(source, where, "unknown-source", f"there is no data source {name!r}", nearest(name, names))
        elif name == source.name or source.name in above(name, around.policies.of("DataSource")):
            said = f"{source.name} is made from {name}, which is made from {source.name}"
            yield at(source, where, "source-cycle", said, "data do not come from themselves: remove one of them")
    for index, name in enumerate(spec.models):
        if name not in known.models:
            hint = nearest(name, known.models, "models")
            yield at(source, f"spec.models[{index}]", "unknown-scope", f"there is no model {name!r}", hint)
    refused = None
    if spec.read is not None and spec.read.location is not None and known.locations is not None:
        refused = refusal(spec.read.location, known.locations)
    if refused is not None:
        yield at(source, "spec.read.location", "data-location", *refused)
    yield from _contract(source)


def _contract(source: Resource[DataSourceSpec]) -> Iterator[Problem]:
    contract, fresh = source.spec.contract, source.spec.freshness
    types = {each.name: each.type for each in contract.columns} if contract is not None else {}
    if fresh is not None and types.get(fresh.column, "datetime") != "datetime":
        said = f"{fresh.column!r} is promised to be {types[fresh.column]}, which tells no time"
        yield at(source, "spec.freshness.column", "bad-contract", said, "name a column of type datetime")
    for index, each in enumerate(contract.columns if contract is not None else ()):
        where, bounded = f"spec.contract.columns[{index}]", each.minimum is not None or each.maximum is not None
        if each.name in [one.name for one in (contract.columns if contract is not None else ())[:index]]:
            yield at(source, f"{where}.name", "bad-contract", f"{each.name!r} is promised twice", "promise it once")
        if bounded and each.type not in ("number", "integer"):
            said = f"{each.name!r} is {each.type}, which has neither minimum nor maximum"
            yield at(source, where, "bad-contract", said, "remove them, or promise a number")
        elif each.minimum is not None and each.maximum is not None and each.minimum > each.maximum:
            said = f"the minimum of {each.name!r} is above its maximum"
            yield at(source, f"{where}.minimum", "bad-contract", said, "exchange them")
        if each.values and each.type not in ("category", "boolean", "integer"):
            said = f"{each.name!r} is {each.type}, whose values are not listed"
            yield at(source, f"{where}.values", "bad-contract", said, "remove values, or promise a category")


def above(name: str, sources: Mapping[str, AnyResource]) -> tuple[str, ...]:
    """Return the sources that one is made from, the nearest first; a cycle ends where it closes."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        source = sources.get(waiting.pop(0))
        for each in source.spec.upstream if source is not None else ():
            if each not in found:
                found[each] = None
                waiting.append(each)
    return tuple(found)


def deciding(name: str, sources: Mapping[str, AnyResource]) -> tuple[str, ...] | None:
    """Return the sources from one up to the first that answers of a model feed, and that model; None without one."""
    waiting: list[tuple[str, ...]] = [(name,)]
    seen: set[str] = set()
    while waiting:
        chain = waiting.pop(0)
        source = sources.get(chain[-1])
        if source is None or chain[-1] in seen:
            continue
        seen.add(chain[-1])
        if source.spec.models:
            return (*chain, source.spec.models[0])
        waiting += [(*chain, each) for each in source.spec.upstream]
    return None
