"""The target `docker`: a Dockerfile and a compose file to build and run; rendering only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import yaml
from jinja2 import Environment, StrictUndefined
from pydantic import Field

from modelops.digests import digest_bytes
from modelops.locks.wheel import Wheel
from modelops.spec.meta import Origin, Strict
from modelops.spec.routing import FILE_NAME, table_text
from modelops.targets import Deployable

PORT, GRPC_PORT = 8080, 8081
USER = 10001
_STORE = "/srv/store"


class Params(Strict):
    """What the image is built from and where its server listens on this machine.

    ``base`` is a Python image pinned by digest; ``store`` the folder with the artifacts, relative to the compose file,
    where the project's store is a folder. Any other store is reached by its address. Where ``grpcPort`` is given and
    the lock has grpcio, the protocol is answered over gRPC there. Pages of ``corsOrigins`` may ask from a browser.
    """

    base: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*@sha256:[0-9a-f]{64}$")] = (
        "python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254"
    )
    port: Annotated[int, Field(ge=1, le=65535)] = PORT
    grpc_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    cors_origins: tuple[Origin, ...] = ()
    store: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]+$")] = "./store"
    memory: Annotated[str, Field(pattern=r"^[0-9]+[kmg]$")] = "512m"


_DOCKERFILE = """\
FROM {{ base }}
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp/build
COPY requirements.lock ./
RUN python -m pip install --no-cache-dir --no-compile --require-hashes --requirement requirements.lock
# modelops itself by its hash, never by its name: on a package index a name is whoever's took it first.
COPY modelops.txt ./
{%- if carried %}
COPY wheels/ wheels/
{%- endif %}
RUN python -m pip install --no-cache-dir --no-compile --no-deps --require-hashes --requirement modelops.txt
RUN useradd --system --uid {{ user }} --home-dir /var/lib/modelops --create-home modelops
USER {{ user }}
WORKDIR /var/lib/modelops
EXPOSE {{ ports }}
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \\
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:{{ port }}/v2/health/ready')"]
ENTRYPOINT ["modelops"]
CMD {{ command }}
"""


def _command(params: Params, desired: Deployable) -> list[str]:
    store = desired.store.text if desired.store.folder is None else desired.store.mounted(_STORE)
    return [
        *("serve", desired.table.environment),
        *("--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104 - inside its own container
        *("--table", f"/etc/modelops/{FILE_NAME}", "--runtime", "/var/lib/modelops", "--store", store),
        *(("--grpc-port", str(GRPC_PORT)) if params.grpc_port is not None else ()),
        *(each for origin in params.cors_origins for each in ("--cors", origin)),
    ]


def _labels(desired: Deployable) -> dict[str, str]:
    labels = {"dev.modelops.environment": desired.table.environment}
    for model, route in sorted(desired.table.models.items()):
        labels[f"dev.modelops.owner.{model}"] = desired.models[model].owner
        for arm in route.arms:
            labels[f"dev.modelops.{arm.name}.{model}"] = f"{arm.release}@{arm.digest}"
    return labels


def _tag(desired: Deployable, wheel: Wheel) -> str:
    """Return a tag that is another one when the image is: compose keeps an image whose name it has."""
    return digest_bytes(f"{desired.lock}{wheel.sha256}".encode()).removeprefix("sha256:")[:12]


def _compose(params: Params, desired: Deployable, wheel: Wheel) -> str:
    environment, folder = desired.table.environment, desired.store.folder is not None
    service: dict[str, Any] = {
        "build": {"context": "."},
        "image": f"modelops-{environment}:{_tag(desired, wheel)}",
        "labels": _labels(desired),
        "ports": [f"127.0.0.1:{params.port}:{PORT}"]
        + ([f"127.0.0.1:{params.grpc_port}:{GRPC_PORT}"] if params.grpc_port is not None else []),
        "volumes": [
            # The folder, not the file: a replaced file would stay the old one inside the container.
            {"type": "bind", "source": "./routes", "target": "/etc/modelops", "read_only": True},
            *([{"type": "bind", "source": params.store, "target": _STORE, "read_only": True}] if folder else []),
            {"type": "volume", "source": "log", "target": "/var/lib/modelops"},
        ],
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - inside the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": params.memory,
        "restart": "unless-stopped",
        "stop_grace_period": "40s",
    }
    variables = [key.variable for key in desired.table.keys or () if key.variable is not None]
    variables += desired.store.variables
    if variables:
        # Without a value: compose takes them from where it runs, so that no secret is in a file.
        service["environment"] = variables
    document = {"name": f"modelops-{environment}", "services": {"server": service}, "volumes": {"log": {}}}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def render(params: Params, desired: Deployable) -> Mapping[str, str | bytes]:
    """Return the Dockerfile, the compose file, and what both read."""
    wheel = desired.wheel()
    template = Environment(autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    dockerfile = template.from_string(_DOCKERFILE).render(
        base=params.base,
        carried=wheel.data is not None,
        user=USER,
        port=PORT,
        ports=PORT if params.grpc_port is None else f"{PORT} {GRPC_PORT}",
        command=json.dumps(_command(params, desired)),
    )
    carried = {} if wheel.data is None else {f"wheels/{wheel.name}": wheel.data}
    return {
        "Dockerfile": dockerfile,
        "compose.yaml": _compose(params, desired, wheel),
        "requirements.lock": desired.lock,
        f"routes/{FILE_NAME}": table_text(desired.table),
        "modelops.txt": wheel.requirement("wheels") + "\n",
        ".dockerignore": "store\nroutes\n",
        **carried,
    }
