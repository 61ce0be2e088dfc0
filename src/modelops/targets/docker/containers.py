"""The containers of an environment, by their names and by what they were made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as resources
from typing import Any

from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, failure
from modelops.targets.docker.compose import LOG, serve_words
from modelops.targets.docker.engine import api_errors, gone
from modelops.targets.docker.image import GRPC_PORT, PORT, ROUTES, STATE, STORE
from modelops.targets.docker.params import Params

__all__ = ["ADMIN_PORT", "BACKEND", "NOTICE_SECONDS", "STOP_SECONDS", "Names", "front", "server", "servers", "sound"]

ADMIN_PORT = 8082
BACKEND = "backend"
"""The file that names the server which new connections go to."""
NOTICE_SECONDS = 2
"""How long a server that is to end goes on answering and tells its callers to come back on another connection."""
STOP_SECONDS = 45
"""Longer than a server gives its own requests."""
CUT_SECONDS = 5
_SPEC, _ENVIRONMENT, _ROLE = "dev.modelops.spec", "dev.modelops.environment", "dev.modelops.role"


@dataclass(frozen=True, slots=True)
class Names:
    """What everything of an environment is called on an engine."""

    prefix: str
    environment: str

    @property
    def stem(self) -> str:
        """The network, and what every other name begins with."""
        return f"{self.prefix}-{self.environment}"

    @property
    def front(self) -> str:
        """The container with the ports."""
        return f"{self.stem}-front"

    @property
    def volumes(self) -> dict[str, str]:
        """The volumes by where they are mounted."""
        return {"/srv/modelops": f"{self.stem}-state", STATE: f"{self.stem}-log"}

    def labels(self, role: str, spec: str) -> dict[str, str]:
        """Return how a container is found again."""
        return {_ENVIRONMENT: self.stem, _ROLE: role, _SPEC: spec}


def _spec(*parts: object) -> str:
    return digest_bytes(json.dumps(parts, sort_keys=True, default=str).encode()).removeprefix("sha256:")[:12]


def _bounds(params: Params) -> dict[str, Any]:
    """Return what bounds a container, in the words of the SDK."""
    return {
        "read_only": True,
        "tmpfs": {"/tmp": "size=64m,mode=1777"},  # noqa: S108 - inside the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "init": True,
        "mem_limit": params.memory,
        "nano_cpus": int(params.cpus * 1e9) if params.cpus is not None else None,
        "pids_limit": params.pids,
        "log_config": {"type": LOG["driver"], "config": LOG["options"]},
        "restart_policy": {"Name": "unless-stopped"},
    }


def _mounts(names: Names, state: str) -> dict[str, dict[str, str]]:
    top, log = "/srv/modelops", STATE
    return {
        names.volumes[top]: {"bind": top, "mode": state},
        names.volumes[log]: {"bind": log, "mode": "rw"},
    }


def _found(client: Any, name: str) -> Any | None:
    try:
        return client.containers.get(name)
    except gone():
        return None


def sound(client: Any, names: Names) -> None:
    """Make the network and the volumes that are missing."""
    labels = {_ENVIRONMENT: names.stem}
    if not client.networks.list(names=[f"^{names.stem}$"]):
        client.networks.create(names.stem, labels=labels, check_duplicate=True)
    for volume in names.volumes.values():
        client.volumes.create(volume, labels=labels)  # one that is there stays as it is


def _made(client: Any, name: str, image: str, spec: str, **settings: Any) -> Any:
    """Return the container of a name: the one that is there if it is made of the same, else a new one, not started."""
    known = _found(client, name)
    if known is not None and known.labels.get(_SPEC) == spec:
        return known
    if known is not None:
        # Only the front keeps its name when it is made of something else; what is open there is cut after a moment.
        known.stop(timeout=CUT_SECONDS)
        known.remove(v=False, force=True)
    return client.containers.create(image, name=name, **settings)


def front(client: Any, params: Params, names: Names, image: str) -> Any:
    """Return the running container with the ports; it is left alone while its ports and its program stay the same."""
    ports = {f"{PORT}/tcp": (params.host, params.port)}
    if params.grpc_port is not None:
        ports[f"{GRPC_PORT}/tcp"] = (params.host, params.grpc_port)
    program = (resources("modelops.targets.docker") / "relay.py").read_text(encoding="utf-8")
    spec = _spec(program, ports)
    listening = [str(PORT), *([str(GRPC_PORT)] if params.grpc_port is not None else [])]
    made = _made(
        *(client, names.front, image, spec),
        entrypoint=["python", "-I", "-c", program, f"{ROUTES}/{BACKEND}", *listening],
        command=[],
        ports=ports,
        network=names.stem,
        volumes=_mounts(names, "rw"),
        labels=names.labels("front", spec),
        **_bounds(params),
    )
    _start(made, params)
    return made


def server(client: Any, params: Params, names: Names, image: str, environment: str, secrets: Mapping[str, str]) -> Any:
    """Return the running container that answers, made of an image and these settings; another one is another name."""
    words = [
        *serve_words(params, environment, f"oci-layout:{STORE}"),
        *("--admin-port", str(ADMIN_PORT), "--notice", str(NOTICE_SECONDS)),
    ]
    bounds = _bounds(params)
    spec = _spec(str(client.images.get(image).id), words, bounds, dict(secrets))
    made = _made(
        *(client, f"{names.stem}-{spec}", image, spec),
        command=words,
        environment=dict(secrets),
        network=names.stem,
        volumes=_mounts(names, "ro"),
        labels=names.labels("server", spec),
        stop_signal="SIGTERM",
        **bounds,
    )
    _start(made, params)
    return made


def servers(client: Any, names: Names) -> list[Any]:
    """Return all servers of an environment, running or not."""
    labels = [f"{_ENVIRONMENT}={names.stem}", f"{_ROLE}=server"]
    found: list[Any] = client.containers.list(all=True, filters={"label": labels})
    return found


def _start(container: Any, params: Params) -> None:
    container.reload()
    if container.status == "running":
        return
    try:
        container.start()
    except api_errors() as error:
        said = str(getattr(error, "explanation", "") or error)
        if "port is already allocated" in said or "address already in use" in said:
            container.remove(force=True)
            raise _taken(params, said) from None
        raise
    container.reload()


def _taken(params: Params, said: str) -> ModelOpsError:
    port = params.grpc_port if params.grpc_port is not None and f":{params.grpc_port}" in said else params.port
    return failure(
        "port-taken",
        f"port {port} of {params.host} is taken on the engine's machine",
        exit=Exit.WORLD,
        retryable=True,
        hint="stop what listens there, or give the environment another port in its target's parameters",
    )
