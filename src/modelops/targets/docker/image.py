"""The image of a server: what it is built from, as files for any builder that reads a Dockerfile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files as resources

from jinja2 import Environment, StrictUndefined

from modelops.digests import digest_bytes
from modelops.errors import Exit, failure
from modelops.locks import pins_of, serving_part
from modelops.locks.wheel import Wheel

__all__ = ["BASES", "ROUTES", "STATE", "STORE", "Image", "base_of", "python_of"]

BASES: Mapping[str, str] = {
    "3.11": "python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b",
    "3.12": "python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254",
    "3.13": "python:3.13-slim-bookworm@sha256:01f42367a0a94ad4bc17111776fd66e3500c1d87c15bbd6055b7371d39c124fb",
    "3.14": "python:3.14-slim-bookworm@sha256:9ab8d9c8514b44f90cf0029dd42fdd7e9e211e639c8b995304cc04568dee900f",
}
"""The image of each version of Python of the Docker Official Images, by the digest of its index of platforms."""
USUAL = "3.12"
"""The Python of a lock that does not say what it is for."""
PORT, GRPC_PORT = 8080, 8081
USER = 10001
STATE, STORE, ROUTES = "/var/lib/modelops", "/srv/modelops/store", "/srv/modelops/routes"
"""Where a server writes, and where it finds its artifacts and its routing table."""

_SAID = re.compile(r"on Python (3\.[0-9]+)\b")

_DOCKERFILE = (resources(__package__) / "Dockerfile.jinja").read_text(encoding="utf-8")


def python_of(lock: str) -> str:
    """Return the version of Python that a lock says it is for."""
    found = _SAID.search(lock.partition("\n")[0])
    return found[1] if found else USUAL


def base_of(lock: str, base: str | None, python: str | None) -> str:
    """Return the base image: the one that is named, or that of the Python that is named or that a lock is for.

    Raises
    ------
    ModelOpsError
        ``no-base`` where neither is one of ``BASES``: packages locked for another Python would not be those that were
        checked.
    """
    version = python or python_of(lock)
    if base is None and version not in BASES:
        raise failure(
            "no-base",
            f"the lock is for Python {version}, for which no base image is known",
            exit=Exit.USAGE,
            hint="name one by its digest, as the parameter base (modelops package: --base IMAGE@sha256:...), "
            f"or lock for one of {', '.join(sorted(BASES))}",
        )
    return base or BASES[version]


@dataclass(frozen=True)
class Image:
    """What a server's image is built from; equal parts give equal files.

    ``lock`` has what the releases need, whole; where all of them are served by ONNX Runtime, only its serving part is
    installed and the image has no distribution around it. ``content`` are files by their path below /srv/modelops.
    """

    base: str
    lock: str
    engines: frozenset[str]
    wheel: Wheel
    command: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    content: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def minimal(self) -> bool:
        """Whether ONNX Runtime serves all that is to run in it."""
        return self.engines == {"onnx"}

    @property
    def packages(self) -> str:
        """The pins that are installed."""
        # A repository without a lock is told so where its image is built: it can be looked at before.
        whole = not self.minimal or not pins_of(self.lock.encode())
        return self.lock if whole else serving_part(self.lock.encode(), self.engines).decode()

    @property
    def tag(self) -> str:
        """Twelve digits that are others whenever a file is."""
        parts = [
            [path, digest_bytes(content if isinstance(content, bytes) else content.encode())]
            for path, content in sorted(self.files().items())
        ]
        return digest_bytes(json.dumps(parts).encode()).removeprefix("sha256:")[:12]

    def files(self) -> dict[str, str | bytes]:
        """Return the build context."""
        template = Environment(autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701
        dockerfile = template.from_string(_DOCKERFILE).render(
            base=self.base,
            carried=self.wheel.data is not None,
            minimal=self.minimal,
            folders=sorted({path.partition("/")[0] for path in self.content}),
            user=USER,
            port=PORT,
            grpc=GRPC_PORT,
            labels=[(_quoted(key), _quoted(value)) for key, value in sorted(self.labels.items())],
            command=json.dumps(self.command) if self.command else "",
        )
        carried = {} if self.wheel.data is None else {f"wheels/{self.wheel.name}": self.wheel.data}
        return {
            "Dockerfile": dockerfile,
            ".dockerignore": "*\n" + "".join(f"!{path}\n" for path in _kept(self.content, carried)),
            "requirements.lock": self.packages,
            "modelops.txt": self.wheel.requirement("wheels") + "\n",
            "collect.py": (resources("modelops.targets.docker") / "collect.py").read_text(encoding="utf-8"),
            **carried,
            **self.content,
        }


def _kept(content: Mapping[str, bytes], carried: Mapping[str, bytes]) -> Iterable[str]:
    """Yield what belongs to the build, so that nothing else in its folder is sent to the builder."""
    yield from ("requirements.lock", "modelops.txt", "collect.py")
    yield from sorted({path.partition("/")[0] for path in (*content, *carried)})


def _quoted(text: str) -> str:
    """Return a text as one word of a Dockerfile, in which nothing is expanded."""
    flat = " ".join(text.split())
    escaped = flat.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
