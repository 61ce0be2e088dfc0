"""What is applied to a cluster: found by its labels, listed in an inventory, changed object by object, and pruned.

Each step can be done again: whoever is killed between two of them leaves what the next pass goes on from.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from modelops.spec.routing import FILE_NAME, Route, RoutingTable, table_text
from modelops.targets.kubernetes.cluster import Cluster
from modelops.targets.kubernetes.fields import differences, holders, is_as_applied, lost, marked
from modelops.targets.kubernetes.lease import Term
from modelops.targets.kubernetes.names import TERM, Owner, name_of
from modelops.targets.kubernetes.objects import Object, routes_name

__all__ = ["WORKLOADS", "State", "apply_objects", "changes", "prepared", "read_state"]

WORKLOADS = ("Deployment", "StatefulSet")
_KINDS = (*("ConfigMap", "NetworkPolicy", "Service", *WORKLOADS, "PodDisruptionBudget", "HorizontalPodAutoscaler"),)
"""All that is ever applied, in the order in which that is done."""
_FRAME, _MODELS, _OBJECTS, _STOPPED = "frame.json", "models.json", "objects.json", "stopped"
Key = tuple[str, str]
"""The kind and the name of an object; all are of one namespace."""


@dataclass(frozen=True)
class State:
    """What of an environment is there: the inventory, None where nothing was ever applied, and the objects by key."""

    owner: Owner
    inventory: Object | None
    live: Mapping[Key, Object]

    @property
    def listed(self) -> set[Key]:
        """The objects that were applied here at some time, as the inventory has them."""
        try:
            return {(str(kind), str(name)) for kind, name in json.loads(self._said(_OBJECTS) or "[]")}
        except (ValueError, TypeError):
            return set()

    @property
    def stopped(self) -> bool:
        """Whether it was ended on purpose."""
        return bool(self._said(_STOPPED))

    def _said(self, name: str) -> str:
        return str(((self.inventory or {}).get("data") or {}).get(name) or "")

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it was last given."""
        try:
            return tuple(str(model) for model in json.loads(self._said(_MODELS) or "[]"))
        except (ValueError, TypeError):
            return ()

    @property
    def routes(self) -> RoutingTable | None:
        """The table that it was last given: each model's as its ConfigMap has it, where that is there."""
        try:
            frame = RoutingTable.model_validate_json(self._said(_FRAME))
        except ValidationError:
            return None
        found: dict[str, Route] = {}
        for model in self.models:
            held = self.live.get(("ConfigMap", routes_name(name_of(self.owner.environment, model)))) or {}
            with contextlib.suppress(ValidationError, KeyError):
                table = RoutingTable.model_validate_json((held.get("data") or {}).get(FILE_NAME) or "")
                found[model] = table.models[model]
        return frame.model_copy(update={"models": found})


def read_state(cluster: Cluster, owner: Owner) -> State:
    """Look for all that is an environment's; what has its names and is another's is refused."""
    inventory = cluster.get("ConfigMap", owner.inventory)
    if inventory is None:
        return State(owner, None, {})
    owner.require(inventory)
    found = {(each["kind"], each["metadata"]["name"]): each for kind in _KINDS for each in _ours(cluster, owner, kind)}
    return State(owner, inventory, found)


def _ours(cluster: Cluster, owner: Owner, kind: str) -> list[Object]:
    return cluster.listed(kind, owner.selects)


def prepared(cluster: Cluster, owner: Owner, objects: Iterable[Object]) -> list[Object]:
    """Return objects as they are applied here: with the labels of their owner, in the API server's own versions."""
    made = []
    for each in objects:
        metadata = {**each["metadata"], "labels": {**each["metadata"].get("labels", {}), **owner.labels}}
        made.append(marked(cluster.fitted({**each, "metadata": metadata})))
    return sorted(made, key=lambda each: _order(_key(each)))


def _is_route(wanted: Mapping[str, Any]) -> bool:
    """Tell whether an object is of those that nobody but us ever writes."""
    return bool(wanted["kind"] == "ConfigMap")


def changes(cluster: Cluster, state: State, wanted: Sequence[Object]) -> list[str]:
    """Return what applying objects would change of those that are there, as sentences; empty right after it was done.

    What the API server itself would make of them is compared, so that its defaults are no difference.
    """
    told = []
    for each in wanted:
        live = state.live.get(_key(each))
        what = f"{each['kind']} {each['metadata']['name']}"
        if live is None:
            told.append(f"{what} is not there")
        elif not is_as_applied(each, live):
            taken = lost(each, live)
            who = holders(live, taken)
            by = f" (changed by {', '.join(who)})" if who else ""
            then = cluster.apply(each, force=True, dry=True)
            differ = differences(live, then)
            # Of what nobody has changed, only the digest of an older rendering is another one.
            told += [f"{what}{by}: {one}" for one in differ or [f"{one} is held by others" for one in taken]]
    known = {_key(each) for each in wanted} | {("ConfigMap", state.owner.inventory)}
    told += [f"{kind} {name} is to go" for kind, name in sorted((state.listed - known) & set(state.live))]
    return told


def _key(each: Mapping[str, Any]) -> Key:
    return each["kind"], each["metadata"]["name"]


def apply_objects(
    cluster: Cluster,
    state: State,
    table: RoutingTable,
    wanted: Sequence[Object],
    *,
    overwrite: bool,
    term: Term | None,
    stopped: bool = False,
    keeps: Iterable[Key] = (),
) -> None:
    """Make the objects of an environment what is wanted, and remove what else the inventory has but for ``keeps``.

    All of it is tried first with nothing written, so that a conflict, a missing right or a wrong field leaves
    everything as it is.
    """
    todo = [each for each in wanted if not _stands(state, each)]
    for each in todo:
        if _key(each) not in state.live:
            other = cluster.get(*_key(each))
            if other is not None:
                state.owner.require(other)
        cluster.apply(each, force=overwrite or _is_route(each), dry=True)
    new = {_key(each) for each in wanted} | set(keeps)
    old = state.listed
    # What is listed and has lost our labels was taken over by somebody: it is theirs now.
    gone = [state.live[key] for key in sorted(old - new, key=_order, reverse=True) if key in state.live]
    for each in gone:
        cluster.delete(each, dry=True)
    inventory = state.inventory
    if old | new != old or inventory is None:
        inventory = _list(cluster, state, inventory, table, old | new, stopped, term)
    for each in todo:
        if term is not None:
            term.check()
        live = state.live.get(_key(each))
        asked = each
        if _is_route(each):
            asked = _fenced(each, live, term)
        cluster.apply(asked, force=overwrite or _is_route(each))
    for each in gone:
        if term is not None:
            term.check()
        cluster.delete(each)
    _list(cluster, state, inventory, table, new, stopped, term)


def _order(key: Key) -> int:
    return _KINDS.index(key[0]) if key[0] in _KINDS else 0


def _stands(state: State, wanted: Object) -> bool:
    live = state.live.get(_key(wanted))
    return live is not None and is_as_applied(wanted, live)


def _fenced(wanted: Object, live: Object | None, term: Term | None) -> Object:
    """Return an object that is applied in place of the state that was read, and of no other."""
    metadata = dict(wanted["metadata"])
    if term is not None:
        metadata["annotations"] = {**metadata["annotations"], TERM: str(term.number)}
    if live is not None:
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
    return {**wanted, "metadata": metadata}


def _list(
    cluster: Cluster,
    state: State,
    before: Object | None,
    table: RoutingTable,
    objects: set[Key],
    stopped: bool,
    term: Term | None,
) -> Object:
    """Write down what is applied, and the table without what each model's own ConfigMap has of it."""
    data = {
        # The routes are said in one place alone: the ConfigMap of each model.
        _FRAME: table_text(table.model_copy(update={"models": {}})),
        _MODELS: json.dumps(sorted(table.models), separators=(",", ":")),
        _OBJECTS: json.dumps(sorted(map(list, objects)), separators=(",", ":")),
        **({_STOPPED: "true"} if stopped else {}),
    }
    owner = state.owner
    metadata: dict[str, Any] = {
        "name": owner.inventory,
        "namespace": cluster.namespace,
        "labels": owner.labels,
        "annotations": {TERM: str(term.number)} if term is not None else {},
    }
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    if before is not None and before.get("data") == data:
        return before
    if term is not None:
        term.check()
    if before is not None:
        metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
    return cluster.apply(made, force=True)
