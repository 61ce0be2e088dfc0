"""A model drafted from the user's own data: a snapshot is taken, read, and described."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast, get_args

from modelops.errors import Exit, ModelOpsError, failure
from modelops.project.snapshots import seal_here, seal_path
from modelops.repository import Repository
from modelops.scaffold.decisions import decisions
from modelops.scaffold.files import write_new
from modelops.scaffold.opening import Opened, open_data
from modelops.scaffold.result import Result
from modelops.scaffold.site import Site, environments, identity
from modelops.spec import layout
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, Source
from modelops.spec.kinds.model import Task
from modelops.spec.layout import PROJECT
from modelops.spec.load import load_resource
from modelops.spec.locations import folder, refusal
from modelops.spec.meta import FeatureType, Risk
from modelops.spec.texts.words import PAIRS
from modelops.spec.yaml.dump import dump
from modelops.spec.yaml.edit import append

if TYPE_CHECKING:
    import pyarrow as pa

    from modelops.data import Wanted
    from modelops.data.numbers import Decimal
    from modelops.scaffold.model import Draft, Written

SNAPSHOT = "initial"
_PROJECT = PROJECT.path()


@dataclass(frozen=True)
class Order:
    """What the command line said about a model to be."""

    model: str
    data: str
    target: str
    time: str | None
    id: str | None
    task: str | None
    positive: str | None
    risk: str
    owner: str | None
    decimal: str | None = None
    missing: tuple[str, ...] | None = None
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    encoding: str | None = None
    sheet: str | None = None
    weight: str | None = None
    written: Written | None = None


def add_model(site: Site, order: Order, result: Result) -> None:
    """Take a snapshot of the user's data, draft a model from it, and write both."""
    from modelops import data as snapshots
    from modelops.scaffold.columns import Finding
    from modelops.scaffold.model import Wish, draft_model
    from modelops.scaffold.personal import about_git, about_persons, personal
    from modelops.scaffold.target import require_column

    owner = order.owner or re.sub(r"[^a-z0-9]+", "-", identity(site)[0].lower()).strip("-") or "unknown"
    opened = open_data(site.root, order.data, owner, order.encoding, order.sheet)
    if opened.names is not None:
        require_column(order.target, opened.names, "--target")
    _allow(site, opened.source, result)
    asked = snapshots.Wanted(
        order.target, order.time, decimal=cast("Decimal | None", order.decimal), missing=order.missing,
        encoding=order.encoding, sheet=order.sheet,
    )  # fmt: skip
    first = _take(site, opened, asked)
    result.warnings += _unmet(order.missing or (), first)
    if order.missing is None:
        _require_labels(order.target, first)
    table = _read(site, first)
    wish = Wish(
        name=order.model, target=order.target, snapshot=SNAPSHOT, owner=owner, source=opened.label,
        risk=cast("Risk", order.risk), id=order.id, time=order.time, task=cast("Task | None", order.task),
        positive=order.positive, features=_features(order.features, table.column_names), exclude=order.exclude,
        weight=order.weight, written=order.written,
    )  # fmt: skip
    unread = [Finding(name, None, nullable=True, remark=why) for name, why in first.unread.items()]
    draft = draft_model(table, wish, environments(site), unread)
    wanted = snapshots.wanted_by(draft.spec)
    wanted = replace(asked, time=wanted.time, features=wanted.features, types=wanted.types)
    same = None if wanted.time != order.time else _for_the_features(first, draft)
    spec = same or _take(site, opened, wanted, first)
    path = layout.SNAPSHOT.path(order.model, SNAPSHOT)
    files = {**draft.files, path: dump("DataSnapshot", SNAPSHOT, spec, None, path)}
    write_new(site.root, files, site.undo)
    _report(order, draft, spec, files, result)
    persons = personal(table)
    result.warnings += [*draft.roles.hints, *_odd_names(table.column_names)]
    result.warnings += [*about_persons(persons, result.features), *draft.warnings]
    about_git(site, spec, persons, result)
    result.files += _sign(site, order.model, result)


def _unmet(words: Sequence[str], spec: DataSnapshotSpec) -> list[str]:
    """Return what is to be said of words for a missing value that no row has; of one column they are an error."""
    unmet = []
    met = {column.name: column.missing_as for column in spec.columns}
    for given in words:
        name = max((name for name in met if given.startswith(f"{name}=")), key=len, default=None)
        word = given if name is None else given[len(name) + 1 :]
        spellings = {word, f"{float(word):.15g}"} if re.fullmatch(r"-?\d+(\.\d+)?", word) else {word}
        if not word or any(spellings & set(met[each]) for each in ([name] if name is not None else met)):
            continue
        if name is None:
            unmet.append(f"--missing {given!r}: none of the {spec.rows:,} rows says that")
            continue
        said = f"--missing {given!r}: none of the {spec.rows:,} rows of column {name!r} says {word!r}"
        hint = "leave it out, or write it as the data does"
        raise failure("bad-missing", said, exit=Exit.USAGE, hint=hint)
    return unmet


def _require_labels(target: str, spec: DataSnapshotSpec) -> None:
    """Refuse words among labels that mean missing elsewhere, and are half as frequent as a label: they may be one."""
    column = next(column for column in spec.columns if column.name == target)
    labels = {word.lower() for word in spec.balance}
    if column.type != "category" or not labels or any(labels <= pair for pair in PAIRS):
        return
    words = {word: count for word, count in column.missing_as.items() if 2 * count >= min(spec.balance.values())}
    if words:
        shown = " and ".join(f"{word!r} in {count:,} rows" for word, count in list(words.items())[:3])
        told = " ".join(f"--missing {shlex.quote(f'{target}={word}')}" for word in column.missing_as)
        raise failure(
            "target-unusable",
            f"target {target!r} says {shown}: it may be a label, or mean that there is none",
            exit=Exit.USAGE,
            hint=f"say --missing {shlex.quote(target + '=')} for a label, {told} for none",
        )


def _sign(site: Site, model: str, result: Result) -> list[str]:
    """Sign the new snapshot and return the path of the signature; who cannot is told why."""
    path = seal_path(model, SNAPSHOT)
    try:
        seal_here(Repository.discover(site.root), os.environ, model, SNAPSHOT)
    except ModelOpsError as error:
        result.next.append(f"the snapshot is not signed: {error.first.message}")
        return []
    site.undo.callback((site.root / path).unlink, missing_ok=True)
    return [path]


def _for_the_features(snapshot: DataSnapshotSpec, draft: Draft) -> DataSnapshotSpec | None:
    """Return the snapshot with a profile of the features only, or None where a feature was read in another type."""
    from modelops.data import unquoted

    read = {column.name: column.type for column in snapshot.columns}
    features = draft.spec.data.features
    weight = draft.spec.data.weight
    if any(read[feature.name] != feature.type for feature in features) or (weight and read[weight] != "number"):
        return None
    profile = {feature.name: snapshot.profile[feature.name] for feature in features if feature.name in snapshot.profile}
    data = draft.spec.data
    used = {*profile, *data.sensitive, data.target, data.time}
    columns = tuple(each if each.name in used else unquoted(each) for each in snapshot.columns)
    return snapshot.model_copy(update={"profile": profile, "columns": columns})


def _report(order: Order, draft: Draft, spec: DataSnapshotSpec, files: dict[str, bytes], result: Result) -> None:
    result.model, result.task = order.model, draft.spec.task
    result.files += sorted(files)
    result.features = {feature.name: feature.type for feature in draft.spec.data.features}
    result.read = decisions(draft, spec)
    result.left_out = {finding.name: finding.remark for finding in draft.left_out}


def _allow(site: Site, source: Source, result: Result) -> None:
    """List the place of the user's data in the Project's ``dataLocations``, where it lies outside of the repository."""
    if source.location is None or refusal(source.location, site.settings.spec.data_locations) is None:
        return
    before = (site.root / _PROJECT).read_bytes()
    added = folder(source.location)
    after = append(before, "spec.dataLocations", added, _PROJECT)
    if refusal(source.location, load_resource(after, _PROJECT).spec.data_locations) is None:
        site.undo.callback((site.root / _PROJECT).write_bytes, before)
        (site.root / _PROJECT).write_bytes(after)
        result.next.append(f"{added} is now among the dataLocations of {_PROJECT}: other machines need the data there")


def _features(asked: tuple[str, ...], names: Sequence[str]) -> dict[str, FeatureType | None]:
    """Return the columns that a person wants as features, with the type where it is said, as in ``zip:category``."""
    found: dict[str, FeatureType | None] = {}
    for given in asked:
        name, _, kind = given.rpartition(":")
        if given in names or not name:
            found[given] = None
        elif kind in get_args(FeatureType):
            found[name] = cast("FeatureType", kind)
        else:
            raise failure(
                "bad-feature",
                f"--feature {given!r}: {kind!r} is no type",
                exit=Exit.USAGE,
                hint=f"types: {', '.join(get_args(FeatureType))}",
            )
    return found


def _odd_names(names: Sequence[str]) -> list[str]:
    """Return what is to be said of names that look like values: the first row may be one of data."""
    odd = [name for name in names if name.isdigit()]
    if not odd or len(odd) == len(names) or all(len(name) == 4 for name in odd):
        return []
    return [
        f"columns are called {', '.join(odd[:5])}: if the first row of the file holds values, put the names above it"
    ]


def _take(site: Site, opened: Opened, wanted: Wanted, previous: DataSnapshotSpec | None = None) -> DataSnapshotSpec:
    from modelops import data as snapshots

    return snapshots.take(
        opened.source,
        repository_root=site.root,
        model_folder=site.root,
        cache=site.cache,
        paths=opened.paths,
        wanted=wanted,
        previous=previous,
        reason="The data that the model was scaffolded from.",
        locations=site.settings.spec.data_locations,
    )


def _read(site: Site, spec: DataSnapshotSpec) -> pa.Table:
    from modelops import data as snapshots

    folder = snapshots.materialise(
        spec,
        repository_root=site.root,
        model_folder=site.root,
        cache=site.cache,
        locations=site.settings.spec.data_locations,
    )
    return snapshots.read(folder, spec)
