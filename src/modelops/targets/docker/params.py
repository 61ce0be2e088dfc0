"""The parameters of the target `docker`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelops.spec.meta import Name, Origin, Strict
from modelops.targets.docker.image import PORT

__all__ = ["Params"]


class Params(Strict):
    """What the image is built from, where the server listens on the engine's machine, and what it may use.

    ``base`` is an image with Python pinned by digest; without it that of the ``python`` that is named, or of the one
    that the lock is for. ``context`` names a context of the docker command line; without it DOCKER_HOST counts, with
    DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, then DOCKER_CONTEXT and the context in use. ``prefix`` begins the names of
    what is made there, to tell projects apart that share an engine. ``image`` is run in place of one that is built
    here: a reference by digest, or the id of an image that the engine has.

    ``store`` is for rendered files alone: the folder with the artifacts, relative to the compose file, where the
    project's store is a folder.
    """

    base: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*@sha256:[0-9a-f]{64}$")] | None = None
    python: Literal["3.11", "3.12", "3.13", "3.14"] | None = None
    image: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._/:-]*@)?sha256:[0-9a-f]{64}$")] | None = None
    host: Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+$")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = PORT
    grpc_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    cors_origins: tuple[Origin, ...] = ()
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    memory: Annotated[str, Field(pattern=r"^[0-9]+[kmg]$")] = "512m"
    cpus: Annotated[float, Field(gt=0, le=1024)] | None = None
    pids: Annotated[int, Field(ge=32, le=32768)] = 512
    context: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    prefix: Name = "modelops"
    store: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]+$")] = "./store"
