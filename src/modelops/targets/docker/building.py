"""Building and pushing an image through the engine."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from modelops.errors import Exit, failure
from modelops.targets import Built, Deployable, Packed
from modelops.targets.docker.compose import image_of, serve_words
from modelops.targets.docker.engine import connected, gone
from modelops.targets.docker.image import STORE, Image
from modelops.targets.docker.params import Params

__all__ = ["build", "ensure", "pack", "tarred"]

BUILD_SECONDS = 1800.0


def tarred(files: Mapping[str, str | bytes], mode: int = 0o644) -> bytes:
    """Return files as a tar archive, which has the same bytes whenever they have."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in sorted(files.items()):
            data = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def pack(params: Params, desired: Deployable, content: Mapping[str, bytes], labels: Mapping[str, str]) -> Packed:
    """Return what the image of one release is built from; the store and the table are in ``content``."""
    plain = image_of(params, desired)
    words = serve_words(params, desired.table.environment, f"oci-layout:{STORE}")
    base, _, digest = plain.base.partition("@")
    said = {**labels, "org.opencontainers.image.base.name": base, "org.opencontainers.image.base.digest": digest}
    image = Image(plain.base, plain.lock, plain.engines, plain.wheel, tuple(words), said, content)
    (model,) = desired.table.models
    (release,) = (arm.release for arm in desired.table.models[model].arms)
    name = f"{params.prefix}/{model.replace('/', '-')}:{release}-{image.tag}"
    return Packed(name, image.base, image.packages, said, image.files())


def build(params: Params, packed: Packed, push: str | None, say: Callable[[str], None]) -> Built:
    """Build an image; pushed, it is in ``push`` by the same tag, and named by its digest there."""
    with connected(params) as client:
        ensure(client, packed.name, packed.files, say)
        image = client.images.get(packed.name)
        found = Built(str(image.id), int(image.attrs["Size"]))
        return found if push is None else Built(found.image, found.size, _pushed(client, image, packed.name, push))


def ensure(client: Any, name: str, files: Mapping[str, str | bytes], say: Callable[[str], None]) -> None:
    """Build an image unless the engine has it: the name has the digest of what it is built from."""
    try:
        client.images.get(name)
        return
    except gone():
        say(f"building {name}")
    told = client.api.build(
        fileobj=io.BytesIO(tarred(files)), custom_context=True, tag=name, rm=True, forcerm=True, decode=True,
        timeout=BUILD_SECONDS,
    )  # fmt: skip
    _, words = _heard(told, say)
    if words:
        said = f"the image {name} cannot be built: {' / '.join(words)[-1500:]}"
        raise failure("image-not-built", said, exit=Exit.WORLD, retryable=True, hint=_hint(words))


def _pushed(client: Any, image: Any, name: str, repository: str) -> str:
    tag = name.rpartition(":")[2]
    image.tag(repository, tag)
    found, words = _heard(client.api.push(repository, tag=tag, stream=True, decode=True), lambda said: None)
    digest = next((one["Digest"] for one in found if "Digest" in one), None)
    if words or digest is None:
        said = f"{repository}:{tag} cannot be pushed: {' / '.join(words)[-1500:] or 'no digest is named'}"
        raise failure("image-not-pushed", said, exit=Exit.WORLD, retryable=True, hint=_hint(words))
    return f"{repository}@{digest}"


def _heard(told: Iterable[dict[str, Any]], say: Callable[[str], None]) -> tuple[list[dict[str, Any]], list[str]]:
    """Go through what the engine tells of its work; return its facts, and its last words where it came to an error."""
    lines: list[str] = []
    facts = []
    for one in told:
        if isinstance(one.get("aux"), dict):
            facts.append(one["aux"])
        lines += [line for line in str(one.get("stream") or "").splitlines() if line.strip()]
        if "error" in one:
            return facts, [*lines[-8:], str(one["error"])]
        if str(one.get("stream") or "").startswith("Step "):
            say(one["stream"].strip())
    return facts, []


def _hint(words: list[str]) -> str:
    said = " ".join(words).lower()
    if "no space left" in said:
        return "free disk space on the engine's machine: docker system df"
    if "unauthorized" in said or "denied" in said or "no basic auth" in said:
        return "docker login, on the machine that asks the engine, and run this again"
    if "hash" in said:
        return "`modelops lock` pins every package with its hashes"
    if "manifest" in said or "not found" in said or "no such host" in said or "pull" in said:
        return "the base image has to be in reach of the engine: docker pull it, or name another one with --base"
    return f"run this again; DOCKER_HOST is {'set' if 'DOCKER_HOST' in os.environ else 'not set'}"
