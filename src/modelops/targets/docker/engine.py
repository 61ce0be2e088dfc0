"""The engine: how it is reached, and what its errors mean. The SDK is imported nowhere else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from modelops.errors import Exit, ModelOpsError, failure
from modelops.targets.docker.params import Params

__all__ = ["api_errors", "connected", "engine_host", "gone", "refused"]

SECONDS = 60.0
"""How long one answer of the engine is waited for; what takes long says so by itself."""


def _module() -> Any:
    try:
        import docker
    except ImportError:
        raise failure(
            "no-docker-sdk",
            "the target docker speaks to an engine by the Docker SDK for Python, which is not installed",
            exit=Exit.WORLD,
            hint="pip install 'modelops[docker]'",
        ) from None
    return docker


def _settings(params: Params, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return how the engine is reached: by the context that is named, else as the docker command line would."""
    docker = _module()
    if params.context is None:
        found = docker.utils.kwargs_from_env(environment=dict(environ))
        if "base_url" in found:
            return dict(found)
    name = params.context or environ.get("DOCKER_CONTEXT") or None
    context = docker.ContextAPI.get_context(name)
    if context is None:
        raise failure(
            "unknown-context",
            f"the docker command line knows no context {name!r}",
            exit=Exit.WORLD,
            hint="list them: docker context ls",
        )
    settings = {"base_url": context.Host} if context.Host else {}
    return settings | ({"tls": context.TLSConfig} if context.TLSConfig else {})


@contextmanager
def connected(params: Params, environ: Mapping[str, str] = os.environ) -> Iterator[Any]:
    """Yield a client of the engine; whatever it cannot do there is told as an error of ours.

    Raises
    ------
    ModelOpsError
        ``engine-unreachable`` where nobody answers, ``engine-refused`` with the engine's own words; both exit 4.
    """
    docker = _module()
    import requests
    import urllib3

    client = None
    try:
        settings = {**_settings(params, environ), "timeout": SECONDS}
        address = str(settings.get("base_url") or docker.constants.DEFAULT_UNIX_SOCKET)
        _knock(address, _where(params, environ))
        client = docker.DockerClient(version=docker.constants.MINIMUM_DOCKER_API_VERSION, **settings)
        # One that would find the version out by itself stays open where nobody answers.
        newest = client.api.version(api_version=False)["ApiVersion"]
        client.close()
        client = docker.DockerClient(version=newest, **settings)
        yield client
    except docker.errors.APIError as error:
        raise refused(
            str(error.explanation or error.response.reason if error.response is not None else error)
        ) from None
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        # What comes out of a stream comes as it is.
        ConnectionError,
        TimeoutError,
    ) as error:
        raise _unreachable(_where(params, environ), _last(error)) from None
    finally:
        if client is not None:
            client.close()


def _where(params: Params, environ: Mapping[str, str]) -> str:
    return f"the context {params.context}" if params.context else environ.get("DOCKER_HOST") or "the usual socket"


def _unreachable(where: str, why: str) -> ModelOpsError:
    return failure(
        "engine-unreachable",
        f"no Docker engine answers at {_plain(where)}: {why}",
        exit=Exit.WORLD,
        retryable=True,
        hint="start it, or set DOCKER_HOST; what it runs goes on meanwhile",
    )


def _knock(address: str, where: str) -> None:
    """Refuse a socket of this machine at which nobody listens: the SDK would leave its own end open."""
    path = address.removeprefix("http+unix://").removeprefix("unix://")
    if path != address:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(SECONDS)
            try:
                probe.connect("/" + path.lstrip("/"))
            except OSError as error:
                raise _unreachable(where, str(error)) from None


def refused(said: str) -> ModelOpsError:
    """Return the error for what the engine does not do, in its own words."""
    hint = "free disk space on the engine's machine" if "no space left" in said else "the next pass goes on from here"
    return failure(
        "engine-refused",
        f"the Docker engine refuses: {said.strip()[-600:]}",
        exit=Exit.WORLD,
        retryable=True,
        hint=hint,
    )


def _plain(address: str) -> str:
    """Return an address without a name or password in it."""
    parts = urlsplit(address)
    return address if "@" not in parts.netloc else address.replace(parts.netloc, parts.netloc.rpartition("@")[2])


def _last(error: BaseException) -> str:
    """Return what lies at the bottom of an error of the transport."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


def engine_host(params: Params, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the machine that the engine is on, None where it is this one."""
    parts = urlsplit(str(_settings(params, environ).get("base_url") or ""))
    return parts.hostname if parts.scheme in ("tcp", "http", "https", "ssh") else None


def gone() -> type[Exception]:
    """Return what is raised for what does not exist there (any more)."""
    found: type[Exception] = _module().errors.NotFound
    return found


def api_errors() -> type[Exception]:
    """Return what is raised for what the engine refuses."""
    found: type[Exception] = _module().errors.APIError
    return found
