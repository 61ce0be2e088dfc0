"""Running an environment on a cluster: objects, and pods that are asked what they answer with."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.spec.layout import PREDICTIONS
from modelops.spec.meta import Plugin
from modelops.spec.routing import RoutingTable, table_digest
from modelops.targets import Deployable, ObservedArm, Place, Running, Site
from modelops.targets.docker.inside import STATUS, read_status
from modelops.targets.kubernetes.applied import WORKLOADS, State, apply_objects, changes, prepared, read_state
from modelops.targets.kubernetes.cluster import Cluster, connected, is_gone
from modelops.targets.kubernetes.inside import ask
from modelops.targets.kubernetes.lease import term_of
from modelops.targets.kubernetes.names import MANAGED, PART, Owner, name_of
from modelops.targets.kubernetes.objects import ADMIN_PORT, LOG, Object, objects_of, routes_name, table_of
from modelops.targets.kubernetes.params import Params
from modelops.targets.kubernetes.workloads import Trouble, is_ready, rolling, trouble_of

__all__ = ["address", "apply", "durable", "endpoint", "logs", "observe", "runs", "stop"]

CARRIED = "carried"
"""The folder of the copy of the log that is kept here."""
AT_ONCE = 8
"""So many pods are asked at once."""
TROUBLE_SECONDS = 20.0
"""How long trouble of a pod is watched before it is told: an image that is pulled again may come."""


def runs(params: Params) -> bool:
    """Tell whether modelops runs the environment, or renders it for others."""
    return params.apply is not None


def _owner(place: Place) -> Owner:
    return Owner(place.environment, place.repository())


@dataclass(frozen=True)
class _View:
    """What of an environment is there, and what its pods say: by model each pod that takes requests.

    Of models that no pod takes requests for, ``silent`` is what one that runs says of it.
    """

    state: State
    routes: RoutingTable | None
    pods: Mapping[str, Sequence[Object]]
    said: Mapping[str, Sequence[tuple[str, Running | None]]]
    silent: Mapping[str, str]

    def workload(self, model: str) -> Object | None:
        """Return what makes the pods of a model."""
        name = name_of(self.state.owner.environment, model)
        return next((found for kind in WORKLOADS if (found := self.state.live.get((kind, name))) is not None), None)

    def trouble(self, model: str) -> Trouble | None:
        """Return what keeps the pods of a model from running."""
        workload = self.workload(model)
        return trouble_of(workload, self.pods.get(model, ())) if workload is not None else None

    def lags(self, model: str) -> str:
        """Return why a model is not answered by its routes yet; empty where all pods that take requests do so."""
        assert self.routes is not None, "there are routes where there are models"
        name = name_of(self.state.owner.environment, model)
        workload = self.workload(model)
        if model not in self.routes.models:
            return f"ConfigMap {routes_name(name)} is gone, or cannot be read"
        if workload is None:
            return f"the workload {name} is not there"
        said = self.said.get(model, ())
        if not said:
            found = self.trouble(model)
            why = f": {self.silent[model]}" if self.silent.get(model) else ""
            return found.message if found is not None else f"{workload['kind']} {name} has no pod that is ready{why}"
        wanted = table_digest(table_of(self.routes, model))
        late = [(pod, one) for pod, one in said if one is None or one.table != wanted]
        if not late:
            return ""
        pod, one = late[0]
        why = "does not say" if one is None else one.message or "has the routes of before"
        return f"{len(said) - len(late)} of {len(said)} pods of {name} have taken up their routes: {pod} {why}"


def _view(cluster: Cluster, place: Place, state: State | None = None) -> _View:
    state = state if state is not None else read_state(cluster, _owner(place))
    routes = state.routes
    if routes is None or state.stopped or not state.models:
        return _View(state, routes, {}, {}, {})
    labels = {**MANAGED, PART: place.environment}
    every = cluster.listed("Pod", ",".join(f"{key}={value}" for key, value in sorted(labels.items())))
    pods: dict[str, list[Object]] = {}
    by_name = {name_of(place.environment, model): model for model in state.models}
    for pod in every:
        model = by_name.get(pod["metadata"]["labels"].get("app.kubernetes.io/instance", ""))
        if model is not None:
            pods.setdefault(model, []).append(pod)
    asked = [
        (model, pod["metadata"]["name"]) for model, found in sorted(pods.items()) for pod in found if is_ready(pod)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda one: read_status(ask(cluster, one[1], STATUS, str(ADMIN_PORT))), asked))
    said: dict[str, list[tuple[str, Running | None]]] = {}
    for (model, pod), answer in zip(asked, answers, strict=True):
        said.setdefault(model, []).append((pod, answer))
    silent = {model: _silent(cluster, found) for model, found in pods.items() if model not in said}
    return _View(state, routes, pods, said, silent)


def _silent(cluster: Cluster, pods: Sequence[Object]) -> str:
    """Return why a server that runs takes no requests, in its own words; empty where none says anything."""
    for pod in pods:
        name = pod["metadata"]["name"]
        if (pod.get("status") or {}).get("phase") == "Running":
            answer = read_status(ask(cluster, name, STATUS, str(ADMIN_PORT)))
            why = answer.message if answer is not None else ""
            return f"Pod {name} says {why}" if why else ""
    return ""


def _running(view: _View) -> Running:
    state = view.state
    if state.inventory is None:
        return Running(False, None, (), "nothing was applied to the cluster yet")
    if state.stopped:
        return Running(False, None, (), "it was stopped", view.routes)
    if view.routes is None:
        return Running(False, None, (), f"ConfigMap {state.owner.inventory} cannot be read")
    lags = [why for model in state.models if (why := view.lags(model))]
    answering = not state.models or any(one is not None for said in view.said.values() for _, one in said)
    table = table_digest(view.routes) if not lags else None
    message = lags[0] if lags else ""
    return Running(answering, table, tuple(_arms(view)), message, view.routes)


def _arms(view: _View) -> list[ObservedArm]:
    """Return each arm once: as the pod says of it that has it least ready."""
    found: dict[tuple[str, str, int], ObservedArm] = {}
    for said in view.said.values():
        for arm in (arm for _, one in said if one is not None for arm in one.arms):
            known = found.get((arm.model, arm.arm, arm.release))
            if known is None or (known.ready and not arm.ready):
                found[arm.model, arm.arm, arm.release] = arm
    return [found[key] for key in sorted(found)]


def _changed(cluster: Cluster, params: Params, place: Place, view: _View) -> tuple[str, ...]:
    """Return what differs between the cluster and git, beside the routes, and what a change still waits for."""
    if view.routes is None or view.state.stopped or place.deployable is None:
        return ()
    try:
        objects = _objects(params, place.deployable(view.routes))
    except ModelOpsError as error:
        # What git asks for cannot be made: that is to be mended there, and what runs can be looked at all the same.
        return (error.first.message,)
    told = changes(cluster, view.state, prepared(cluster, view.state.owner, objects))
    for model in view.state.models:
        workload, trouble = view.workload(model), view.trouble(model)
        left = trouble.message if trouble is not None else rolling(workload) if workload is not None else ""
        told += [left] if left else []
    return tuple(told)


def _objects(params: Params, desired: Deployable) -> list[Object]:
    return [each for model in sorted(desired.table.models) for each in objects_of(params, desired, model).values()]


def observe(params: Params, place: Place) -> Running:
    """Ask every pod that takes requests what it answers with, and hold the objects against what git makes of them."""
    with connected(params) as cluster:
        view = _view(cluster, place)
        found = _running(view)
        changed = _changed(cluster, params, place, view)
    return Running(found.running, found.table, found.arms, found.message, found.routes, changed)


def apply(params: Params, site: Site, table: RoutingTable) -> Running:
    """Apply the objects of a table, then wait until every pod that takes requests answers with it.

    Where only the routes are others, nothing is started anew: the servers read them from a ConfigMap.
    """
    desired = site.deployable(table) if site.deployable is not None else _bare(site, table)
    objects = _objects(params, desired)
    owner = _owner(site)
    with connected(params) as cluster:
        state = read_state(cluster, owner)
        apply_objects(
            *(cluster, state, table, prepared(cluster, owner, objects)),
            overwrite=params.conflicts == "overwrite",
            term=term_of(params, site.environment),
        )
        return _settled(cluster, params, site, table_digest(table))


def _bare(site: Site, table: RoutingTable) -> Deployable:
    """Return what is known of a table where nobody says what git knows of it."""

    def unknown() -> Any:
        raise failure("no-image", "nobody says what the releases are", exit=Exit.USAGE)

    return Deployable(table=table, models={}, releases={}, lock=unknown, store=site.store, wheel=unknown)


def _settled(cluster: Cluster, params: Params, site: Site, wanted: str) -> Running:
    """Wait until every pod answers with the table; what keeps a pod from it is told once it has stood for a while."""
    began = time.monotonic()
    since: dict[str, float] = {}
    while True:
        view = _view(cluster, site)
        found = _running(view)
        workloads = [one for model in view.state.models if (one := view.workload(model)) is not None]
        left = [why for one in workloads if (why := rolling(one))]
        if found.running and found.table == wanted and not left:
            return found
        now = time.monotonic()
        troubles = {each.message: each for model in view.state.models if (each := view.trouble(model)) is not None}
        since = {message: since.get(message, now) for message in troubles}
        for message, begun in since.items():
            if now - begun > min(TROUBLE_SECONDS, params.patience_seconds / 2):
                each = troubles[message]
                raise failure(each.code, each.message, exit=Exit.WORLD, retryable=True, hint=each.hint)
        refusing = next((one.message for said in view.said.values() for _, one in said if one and one.message), "")
        if refusing:
            raise failure(
                "table-refused",
                f"a server of {site.environment} keeps its old routes: {refusing}",
                exit=Exit.WORLD,
                hint="what it refuses is named above; traffic goes on with the old routes",
            )
        if now - began > params.patience_seconds:
            raise failure(
                "pods-late",
                f"{site.environment} is not there after {params.patience_seconds} s: "
                f"{found.message or '; '.join(left) or 'it answers with other routes'}",
                exit=Exit.WORLD,
                retryable=True,
                hint=f"kubectl get pods --namespace {params.namespace}; the next pass goes on from here",
            )
        _hasten(cluster, view)
        time.sleep(1.0)


def _hasten(cluster: Cluster, view: _View) -> None:
    """Mark the pods that have not seen their routes yet: a changed pod has its volumes brought up to date at once."""
    if view.routes is None:
        return
    for model, said in view.said.items():
        if model not in view.routes.models:
            continue
        digest = table_digest(table_of(view.routes, model))
        marks = {pod["metadata"]["name"]: pod["metadata"].get("annotations") or {} for pod in view.pods[model]}
        for pod, one in said:
            mark = digest.removeprefix("sha256:")[:32]
            if one is not None and one.table != digest and marks[pod].get(_SEEN) != mark:
                try:
                    cluster.annotate("Pod", pod, {_SEEN: mark})
                except ModelOpsError as error:
                    if not is_gone(error):
                        raise


_SEEN = "modelops.dev/routes"


def stop(params: Params, place: Place) -> None:
    """End the pods, letting them drain; routes, addresses and claims stay, with the table and the log."""
    with connected(params) as cluster:
        state = read_state(cluster, _owner(place))
        routes = state.routes
        if routes is None or state.stopped:
            return
        keeps = {key for key in state.listed if key[0] in ("ConfigMap", "Service", "NetworkPolicy")}
        term = term_of(params, place.environment)
        apply_objects(cluster, state, routes, [], overwrite=False, term=term, stopped=True, keeps=keeps)


def endpoint(params: Params, place: Place) -> str | None:
    """Return where the models are called: what a gateway has for them, or the Service of the first of them."""
    with connected(params) as cluster:
        state = read_state(cluster, _owner(place))
    if state.inventory is None:
        return None
    if params.url is not None:
        return params.url
    names = [name_of(place.environment, model) for model in state.models]
    return f"http://{names[0] if names else state.owner.stem}.{params.namespace}.svc"


def address(params: Params, place: Place, model: str) -> str:
    """Return the URL at which one model is called: each has a Service of its own."""
    return params.url or f"http://{name_of(place.environment, model)}.{params.namespace}.svc"


def logs(params: Params, place: Place) -> Plugin:
    """Return the logs of the pods, of which a copy is kept here."""
    said = {
        "environment": place.environment,
        "repository": place.repository(),
        "namespace": params.namespace,
        "context": params.context,
        "path": str(place.runtime / CARRIED),
        "folder": f"{LOG}/{PREDICTIONS}",
    }
    return Plugin(type="kubernetes", params={key: value for key, value in said.items() if value is not None})


def durable(params: Params, environ: Mapping[str, str]) -> bool:
    """Tell that pods outlive whoever applies them."""
    return True
