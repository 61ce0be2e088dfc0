"""Running an environment on an engine: a container with the ports, one that answers, and two volumes.

Each step is one that can be done again: whoever is killed between two of them leaves what the next pass goes on from.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from modelops.artifacts.package import artifact_blobs
from modelops.errors import Exit, ModelOpsError, failure
from modelops.files import unwritable
from modelops.spec.kinds.access_policy import DIGESTED
from modelops.spec.layout import PREDICTIONS
from modelops.spec.meta import Plugin
from modelops.spec.routing import FILE_NAME, RoutingTable, table_digest, table_text
from modelops.stores import open_at
from modelops.targets import Place, Running, Site
from modelops.targets.docker.building import ensure
from modelops.targets.docker.compose import image_of
from modelops.targets.docker.containers import (
    ADMIN_PORT,
    BACKEND,
    STOP_SECONDS,
    Names,
    found,
    front,
    server,
    servers,
    sound,
)
from modelops.targets.docker.engine import api_errors, connected, engine_host, gone
from modelops.targets.docker.image import ROUTES, STATE
from modelops.targets.docker.inside import (
    COMMIT,
    EMPTY,
    HELD,
    STATUS,
    TAKE_BACK,
    ask,
    carried_in,
    copied_in,
    files_in,
    read_status,
)
from modelops.targets.docker.params import Params

__all__ = ["apply", "durable", "endpoint", "logs", "observe", "stop"]

STARTUP_SECONDS = 60.0
CARRIED = "carried"
"""The folder of the copy of the log that is kept here."""
REPOSITORY = "modelops-serve"
"""What the images of servers are called, whose tags say what they are built from."""


def _names(params: Params, place: Place) -> Names:
    return Names(params.prefix, place.environment, place.repository())


@contextlib.contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Let one process of this machine at a time change an environment; the engine keeps others from making it twice."""
    try:
        place.runtime.mkdir(parents=True, exist_ok=True)
        lock = (place.runtime / "engine.lock").open("ab")
    except OSError as error:
        raise unwritable(place.runtime / "engine.lock", error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def observe(params: Params, place: Place) -> Running:
    """Ask the server that new connections go to what it serves."""
    with connected(params) as client:
        return _observed(client, _names(params, place))


def _observed(client: Any, names: Names) -> Running:
    ahead = found(client, names, names.front)
    if ahead is None:
        return Running(False, None, (), f"there is no container {names.front}")
    files = files_in(ahead, ROUTES)
    routes = _table(files.get(FILE_NAME, b""))
    answering = files.get(BACKEND, b"").decode("utf-8", "replace").strip()
    if not answering:
        return Running(False, None, (), "no server has answered yet", routes)
    behind = found(client, names, answering)
    if behind is None:
        return Running(False, None, (), f"the container {answering} is gone", routes)
    for one in (ahead, behind):
        if one.status != "running":
            return Running(False, None, (), _ended(one), routes)
    said = _status(behind)
    return replace(said, routes=routes) if said is not None else Running(False, None, (), _silent(behind), routes)


def _table(data: bytes) -> RoutingTable | None:
    try:
        return RoutingTable.model_validate_json(data)
    except ValidationError:
        return None


def _ended(container: Any) -> str:
    state = container.attrs["State"]
    why = "was killed, as it had no memory left" if state.get("OOMKilled") else f"ended with {state.get('ExitCode')}"
    word = "does not run" if container.status == "created" else why
    return f"the container {container.name} {word}{_last_words(container)}"


def _silent(container: Any) -> str:
    return f"the container {container.name} does not answer{_last_words(container)}"


def _last_words(container: Any) -> str:
    try:
        lines = container.logs(tail=3).decode("utf-8", "replace").strip().splitlines()
    except api_errors():
        return ""
    return ": " + " / ".join(lines) if lines else ""


def _status(container: Any) -> Running | None:
    """Return what a server says of itself, None where it says nothing."""
    try:
        told = ask(container, STATUS, str(ADMIN_PORT))
    except api_errors():
        # It ended between two questions.
        return None
    return read_status(told)


def apply(params: Params, site: Site, table: RoutingTable) -> Running:
    """Make the environment answer with a table: image, volumes, artifacts, table, and then who answers.

    Where only the table is another one, nothing is started anew. A server of another image or with other settings is
    started beside the old one, new connections go to it once it has loaded the table, and the old one ends when it has
    answered what it was asked.
    """
    wanted = table_digest(table)
    keys = _keys(site, table)
    with _alone(site), connected(params) as client:
        names = _names(params, site)
        found(client, names, names.front)
        image = _image(client, params, site, table)
        sound(client, names)
        ahead = front(client, params, names, image)
        before = _observed(client, names)
        if not before.running:
            _take_back(ahead, site)
        _carry(ahead, site, table, before.routes)
        behind = server(client, params, names, image, keys)
        try:
            _wait(behind, site, wanted)
        except ModelOpsError:
            if before.running and before.routes is not None:
                # One that has to start again is to find what can be answered.
                said = {FILE_NAME: table_text(before.routes).encode()}
                carried_in(ahead, said, COMMIT, needs=[], places=[FILE_NAME], keeps=[])
            raise
        carried_in(ahead, {BACKEND: behind.name.encode()}, COMMIT, needs=[], places=[BACKEND], keeps=[])
        for other in servers(client, names):
            if other.name != behind.name:
                _removed(other)
        after = _observed(client, names)
    if not after.running or after.table != wanted:
        raise _refused(site, after.message or "it serves another table")
    return after


def _image(client: Any, params: Params, site: Site, table: RoutingTable) -> str:
    """Return the image that the releases of a table run in, built or pulled where the engine lacks it."""
    if params.image is not None:
        try:
            client.images.get(params.image)
        except gone():
            _pull(client, params.image)
        return params.image
    if site.deployable is None:
        raise failure(
            "no-image", "nobody says which releases an image is for: name one in params.image", exit=Exit.USAGE
        )
    image = image_of(params, site.deployable(table))
    name = f"{REPOSITORY}:{image.tag}"
    ensure(client, name, image.files(), lambda said: None)
    return name


def _pull(client: Any, reference: str) -> None:
    try:
        client.images.pull(reference)
    except api_errors() as error:
        raise failure(
            "image-missing",
            f"the engine has no image {reference} and cannot pull it: {getattr(error, 'explanation', '') or error}",
            exit=Exit.WORLD,
            retryable=True,
            hint="docker pull it on the engine's machine; what runs goes on meanwhile",
        ) from None


def _keys(site: Site, table: RoutingTable) -> dict[str, str]:
    """Return the SHA-256 of the API keys that a policy names by variable: the keys themselves stay on this machine."""
    named = sorted(key.variable for key in table.keys or () if key.variable is not None)
    if missing := [name for name in named if not os.environ.get(name)]:
        raise failure(
            "key-not-set",
            f"the variable {missing[0]} is not set, which has an API key of {site.environment}",
            exit=Exit.WORLD,
            hint=f"set {' and '.join(missing)} where this is run; what runs goes on with the keys that it has",
        )
    return {f"{name}{DIGESTED}": hashlib.sha256(os.environ[name].encode()).hexdigest() for name in named}


def _digests(table: RoutingTable | None) -> set[str]:
    return {arm.digest for route in table.models.values() for arm in route.arms} if table is not None else set()


def _carry(ahead: Any, site: Site, table: RoutingTable, before: RoutingTable | None) -> None:
    """Copy what the volume lacks of the artifacts, then the table; what neither it nor the last one names goes."""
    manifests = sorted(digest.removeprefix("sha256:") for digest in _digests(table))
    held: dict[str, list[str]] = json.loads(ask(ahead, HELD, json.dumps(manifests)) or "{}")
    if len(held) == len(manifests) and before == table:
        return
    files: dict[str, bytes] = {}
    for manifest in (one for one in manifests if one not in held):
        store = open_at(site.store.text, site.runtime, os.environ)
        blobs = artifact_blobs(store, f"sha256:{manifest}")
        held[manifest] = [digest.removeprefix("sha256:") for digest in blobs]
        for digest, data in zip(held[manifest], blobs.values(), strict=True):
            files[f"{'manifest' if digest == manifest else 'blob'}-{digest}"] = data
    needed = sorted({blob for blobs in held.values() for blob in blobs})
    # What the last table names is in memory, but a server that starts just now may be reading it.
    keeps = needed if before is not None and _digests(before) <= _digests(table) else []
    files[FILE_NAME] = table_text(table).encode()
    said = carried_in(ahead, files, COMMIT, needs=needed, places=[FILE_NAME], keeps=keeps)
    if said["lacks"]:
        raise failure(
            "engine-refused",
            f"{len(said['lacks'])} blobs did not arrive whole on the engine's machine",
            exit=Exit.WORLD,
            retryable=True,
            hint="the next pass copies them again; traffic goes on with the old routes",
        )


def _take_back(ahead: Any, site: Site) -> None:
    """Put the copy of the log that is here into a volume that has none: one that was lost, and is made anew."""
    copy, log = site.runtime / CARRIED, f"{STATE}/{PREDICTIONS}"
    files = [path for path in sorted(copy.glob("*.sqlite*")) if not path.name.endswith("-shm")] if copy.is_dir() else []
    if files and ask(ahead, EMPTY, log) is not None:
        copied_in(ahead, STATE, "taken-back", {path.name: path for path in files})
        ask(ahead, TAKE_BACK, log, f"{STATE}/taken-back")
        # By now these are files of the new volume.
        (copy / "known.json").unlink(missing_ok=True)


def _wait(behind: Any, site: Site, wanted: str) -> None:
    """Wait until a server has loaded a table; one that hangs is started anew, once."""
    deadline = time.monotonic() + STARTUP_SECONDS
    restarted = False
    while True:
        said = _status(behind)
        if said is not None and said.table == wanted:
            return
        if said is not None and said.message:
            raise _refused(site, said.message)
        if time.monotonic() > deadline:
            # One that answers may be what callers are answered by: it is left alone, however long it loads.
            if restarted or said is not None:
                behind.reload()
                slow = f"the container {behind.name} did not take up its routes within {STARTUP_SECONDS:.0f} s"
                silent = _ended(behind) if behind.status != "running" else _silent(behind)
                raise failure(
                    "server-silent",
                    slow if said is not None else silent,
                    exit=Exit.WORLD,
                    retryable=True,
                    hint=f"docker logs {behind.name}",
                )
            behind.restart(timeout=5)
            restarted, deadline = True, time.monotonic() + STARTUP_SECONDS
        time.sleep(0.1)


def _refused(site: Site, why: str) -> Exception:
    return failure(
        "table-refused",
        f"the server of {site.environment} keeps its old routes: {why}",
        exit=Exit.WORLD,
        hint="what it refuses is named above; traffic goes on with the old routes",
    )


def _removed(container: Any) -> None:
    """End a server once it has answered; somebody else may have done so."""
    with contextlib.suppress(gone()):
        container.stop(timeout=STOP_SECONDS)
        container.remove(v=False, force=True)


def stop(params: Params, place: Place) -> None:
    """End the servers, letting them drain, and free the ports; volumes stay, with the table and the log."""
    with _alone(place), connected(params) as client:
        names = _names(params, place)
        ahead = found(client, names, names.front)
        for one in servers(client, names):
            _removed(one)
        if ahead is not None:
            ahead.stop(timeout=STOP_SECONDS)


def endpoint(params: Params, place: Place) -> str | None:
    """Return the address at which the environment is called, None where it was never run."""
    with connected(params) as client:
        names = _names(params, place)
        if found(client, names, names.front) is None:
            return None
    host = engine_host(params) if params.host in ("127.0.0.1", "0.0.0.0", "::") else params.host  # noqa: S104
    host = host or "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{params.port}"


def logs(params: Params, place: Place) -> Plugin:
    """Return the log of the volume, of which a copy is kept here."""
    said = {
        "prefix": params.prefix,
        "environment": place.environment,
        "repository": place.repository(),
        "context": params.context,
        "path": str(place.runtime / CARRIED),
    }
    return Plugin(type="docker", params={key: value for key, value in said.items() if value is not None})


def durable(params: Params, environ: Mapping[str, str]) -> bool:
    """Tell that containers stay, but for an engine of this very machine where that is thrown away with its job."""
    if environ.get("RUNNER_ENVIRONMENT") != "github-hosted":
        return True
    return params.context is None and environ.get("DOCKER_HOST", "").startswith(("tcp://", "ssh://", "https://"))
