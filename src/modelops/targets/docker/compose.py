"""The files for who runs the containers without modelops: a build and a compose file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from modelops.spec.routing import FILE_NAME, table_text
from modelops.targets import Deployable
from modelops.targets.docker.image import GRPC_PORT, PORT, ROUTES, STATE, STORE, Image, base_of
from modelops.targets.docker.params import Params

__all__ = ["image_of", "limits", "render", "serve_words"]

VERSION = "2.4"
"""What Compose of both generations reads; the newer one passes it over, the older one refuses a file without it."""
LOG = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


def serve_words(params: Params, environment: str, store: str) -> list[str]:
    """Return the words after `modelops` that answer for an environment inside of a container."""
    return [
        *("serve", environment),
        *("--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104 - inside its own container
        *("--table", f"{ROUTES}/{FILE_NAME}", "--runtime", STATE, "--store", store),
        *(("--workers", str(params.workers)) if params.workers > 1 else ()),
        *(("--grpc-port", str(GRPC_PORT)) if params.grpc_port is not None else ()),
        *(each for origin in params.cors_origins for each in ("--cors", origin)),
    ]


def image_of(params: Params, desired: Deployable) -> Image:
    """Return the image that releases run in: the same for all environments that have the same lock."""
    engines = frozenset(release.artifact.engine for release in desired.releases.values())
    lock = desired.lock()
    return Image(base_of(lock, params.base, params.python), lock, engines, desired.wheel())


def labels(desired: Deployable) -> dict[str, str]:
    """Return what an operator filters by: owners, releases and digests."""
    found = {"dev.modelops.environment": desired.table.environment}
    for model, route in sorted(desired.table.models.items()):
        if model in desired.models:
            found[f"dev.modelops.owner.{model}"] = desired.models[model].owner
        for arm in route.arms:
            found[f"dev.modelops.{arm.name}.{model}"] = f"{arm.release}@{arm.digest}"
    return found


def limits(params: Params) -> dict[str, Any]:
    """Return what bounds a container, in the words of a compose file."""
    return {
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - inside the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "init": True,
        "mem_limit": params.memory,
        **({"cpus": params.cpus} if params.cpus is not None else {}),
        "pids_limit": params.pids,
        "logging": LOG,
    }


def _literal(value: Any) -> Any:
    """Return words or labels in which Compose replaces no variable: an owner may have a dollar in the name."""
    if isinstance(value, dict):
        return {_literal(key): _literal(each) for key, each in value.items()}
    return [_literal(each) for each in value] if isinstance(value, list) else value.replace("$", "$$")


def _compose(params: Params, desired: Deployable, image: Image) -> str:
    environment, folder = desired.table.environment, desired.store.folder is not None
    store = desired.store.text if not folder else desired.store.mounted(STORE)
    host = f"[{params.host}]" if ":" in params.host else params.host
    service: dict[str, Any] = {
        "build": {"context": "."},
        "image": f"modelops-{environment}:{image.tag}",
        "command": serve_words(params, environment, store),
        "labels": labels(desired),
        "ports": [f"{host}:{params.port}:{PORT}"]
        + ([f"{host}:{params.grpc_port}:{GRPC_PORT}"] if params.grpc_port is not None else []),
        "volumes": [
            # The folder, not the file: a replaced file would stay the old one inside the container.
            {"type": "bind", "source": "./routes", "target": ROUTES, "read_only": True},
            *([{"type": "bind", "source": params.store, "target": STORE, "read_only": True}] if folder else []),
            {"type": "volume", "source": "log", "target": STATE},
        ],
        **limits(params),
        "restart": "unless-stopped",
        "stop_grace_period": "40s",
    }
    variables = [key.variable for key in desired.table.keys or () if key.variable is not None]
    variables += desired.store.variables
    if variables:
        # Without a value: compose takes them from where it runs, so that no secret is in a file.
        service["environment"] = variables
    service = {**service, "command": _literal(service["command"]), "labels": _literal(service["labels"])}
    document = {"version": VERSION, "services": {"server": service}, "volumes": {"log": {}}}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def render(params: Params, desired: Deployable) -> Mapping[str, str | bytes]:
    """Return the build of the image, the compose file, and the routing table that it mounts."""
    image = image_of(params, desired)
    return {
        **image.files(),
        "compose.yaml": _compose(params, desired, image),
        ".env": f"COMPOSE_PROJECT_NAME={params.prefix}-{desired.table.environment}\n",
        f"routes/{FILE_NAME}": table_text(desired.table),
    }
