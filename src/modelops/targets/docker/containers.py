"""The containers of an environment, by their names and by what they were made of."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as resources
from typing import Any

from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, failure
from modelops.targets.docker.compose import LOG, serve_words
from modelops.targets.docker.engine import api_errors, gone
from modelops.targets.docker.image import GRPC_PORT, PORT, ROUTES, STATE, STORE
from modelops.targets.docker.inside import KNOCK, ask
from modelops.targets.docker.params import Params

__all__ = [
    "ADMIN_PORT",
    "BACKEND",
    "MADE",
    "NOTICE_SECONDS",
    "STOP_SECONDS",
    "Names",
    "found",
    "front",
    "server",
    "servers",
    "sound",
]

ADMIN_PORT = 8082
BACKEND = "backend"
"""The file that names the server which new connections go to."""
NOTICE_SECONDS = 2
"""How long a server that is to end goes on answering and tells its callers to come back on another connection."""
STOP_SECONDS = 45
"""Longer than a server gives its own requests."""
CUT_SECONDS = 5
LISTENING_SECONDS = 30.0
MADE = "dev.modelops.made"
"""The label that tells a volume from another one that had its name before."""
_SPEC, _ROLE = "dev.modelops.spec", "dev.modelops.role"
_OWNERS = ("dev.modelops.repository", "dev.modelops.environment")
"""The labels that say whose something is: a name alone may be another project's, too."""


@dataclass(frozen=True, slots=True)
class Names:
    """What everything of an environment is called on an engine."""

    prefix: str
    environment: str
    repository: str = ""

    @property
    def stem(self) -> str:
        """The network, and what every other name begins with."""
        return f"{self.prefix}-{self.environment}"

    @property
    def front(self) -> str:
        """The container with the ports."""
        return f"{self.stem}-front"

    @property
    def former(self) -> str:
        """What a front is called whose successor does not run yet."""
        return f"{self.stem}-former"

    @property
    def volumes(self) -> dict[str, str]:
        """The volumes by where they are mounted."""
        return {"/srv/modelops": f"{self.stem}-state", STATE: f"{self.stem}-log"}

    @property
    def owner(self) -> dict[str, str]:
        """The labels of all that is made for the environment."""
        return dict(zip(_OWNERS, (self.repository, self.environment), strict=True))

    def labels(self, role: str, spec: str) -> dict[str, str]:
        """Return how a container is found again."""
        return {**self.owner, _ROLE: role, _SPEC: spec}

    def check(self, kind: str, name: str, labels: Mapping[str, str] | None) -> None:
        """Refuse what has our name and is not ours; a volume or network without such labels was put there for us."""
        said = {key: (labels or {}).get(key) for key in _OWNERS}
        if said == self.owner or (kind != "container" and not any(said.values())):
            return
        repository, environment = said.values()
        whose = (
            f"of {environment} of the project {repository[:12]}" if repository and environment else "of somebody else"
        )
        raise failure(
            "name-taken",
            f"the {kind} {name} on the engine is {whose}, not of {self.environment} of {self.repository[:12]}",
            exit=Exit.WORLD,
            hint="give the target of one of them a prefix of its own: prefix, in its parameters",
        )


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


def found(client: Any, names: Names, name: str) -> Any | None:
    """Return the container of a name, None where there is none; another project's is refused."""
    try:
        known = client.containers.get(name)
    except gone():
        return None
    names.check("container", name, known.labels)
    return known


def sound(client: Any, names: Names) -> None:
    """Make the network and the volumes that are missing."""
    found(client, names, names.front)
    networks = client.networks.list(names=[f"^{names.stem}$"])
    for network in networks:
        names.check("network", names.stem, network.attrs.get("Labels"))
    for volume in names.volumes.values():
        # One that is there stays as it is, with its labels.
        made = client.volumes.create(volume, labels={**names.owner, MADE: secrets.token_hex(8)})
        names.check("volume", volume, made.attrs.get("Labels"))
    if not networks:
        client.networks.create(names.stem, labels=names.owner, check_duplicate=True)


def _made(client: Any, names: Names, name: str, image: str, spec: str, **settings: Any) -> Any:
    """Return the container of a name: the one that is there if it is made of the same, else a new one, not started."""
    known = found(client, names, name)
    if known is not None and known.labels.get(_SPEC) == spec:
        return known
    if known is not None:
        # Only the front keeps its name when it is made of something else. It stays until the new one has the ports.
        known.rename(names.former)
        known.stop(timeout=CUT_SECONDS)
    return client.containers.create(image, name=name, **settings)


def front(client: Any, params: Params, names: Names, image: str) -> Any:
    """Return the running container with the ports; it is left alone while its ports and its program stay the same.

    Where the new one cannot have its ports, the one before goes on, with the ports that it had.
    """
    former = found(client, names, names.former)
    if former is not None and found(client, names, names.front) is not None:
        # Somebody was killed in between: which of the two has been running does not matter by now.
        former.remove(v=False, force=True)
    ports = {f"{PORT}/tcp": (params.host, params.port)}
    if params.grpc_port is not None:
        ports[f"{GRPC_PORT}/tcp"] = (params.host, params.grpc_port)
    program = (resources("modelops.targets.docker") / "relay.py").read_text(encoding="utf-8")
    spec = _spec(program, ports)
    listening = [str(PORT), *([str(GRPC_PORT)] if params.grpc_port is not None else [])]
    made = _made(
        *(client, names, names.front, image, spec),
        entrypoint=["python", "-I", "-c", program, f"{ROUTES}/{BACKEND}", *listening],
        command=[],
        ports=ports,
        network=names.stem,
        volumes=_mounts(names, "rw"),
        labels=names.labels("front", spec),
        **_bounds(params),
    )
    former = found(client, names, names.former)
    try:
        if _start(made, params):
            _listening(made)
    except (ModelOpsError, api_errors()):
        if former is not None:
            with contextlib.suppress(gone()):
                made.remove(v=False, force=True)
            former.rename(names.front)
            former.start()
        raise
    if former is not None:
        former.remove(v=False, force=True)
    return made


def server(client: Any, params: Params, names: Names, image: str, variables: Mapping[str, str]) -> Any:
    """Return the running container that answers, made of an image and these settings; another one is another name."""
    words = [
        *serve_words(params, names.environment, f"oci-layout:{STORE}"),
        *("--admin-port", str(ADMIN_PORT), "--notice", str(NOTICE_SECONDS)),
    ]
    bounds = _bounds(params)
    spec = _spec(str(client.images.get(image).id), words, bounds, dict(variables))
    made = _made(
        *(client, names, f"{names.stem}-{spec}", image, spec),
        command=words,
        environment=dict(variables),
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
    labels = [f"{key}={value}" for key, value in {**names.owner, _ROLE: "server"}.items()]
    listed = client.containers.list(all=True, filters={"label": labels})
    return [each for each in listed if each.name.startswith(f"{names.stem}-")]


def _listening(ahead: Any) -> None:
    """Wait until a front that was just started takes connections: who is told that all is done may call at once."""
    deadline = time.monotonic() + LISTENING_SECONDS
    while ask(ahead, KNOCK, str(PORT)) is None and time.monotonic() < deadline:
        time.sleep(0.1)


def _start(container: Any, params: Params) -> bool:
    """Start a container that does not run, and tell whether that was so."""
    container.reload()
    if container.status == "running":
        return False
    try:
        container.start()
    except api_errors() as error:
        said = str(getattr(error, "explanation", "") or error)
        if "port is already allocated" in said or "address already in use" in said:
            container.remove(force=True)
            raise _taken(params, said) from None
        raise
    container.reload()
    return True


def _taken(params: Params, said: str) -> ModelOpsError:
    port = params.grpc_port if params.grpc_port is not None and f":{params.grpc_port}" in said else params.port
    return failure(
        "port-taken",
        f"port {port} of {params.host} is taken on the engine's machine",
        exit=Exit.WORLD,
        retryable=True,
        hint="stop what listens there, or give the environment another port in its target's parameters",
    )
