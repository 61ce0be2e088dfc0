"""A packaged release as a real image: how large it is, how it runs, and that it answers as the server here does.

A base image has Python and pip, and a build asks pip's index: so this runs where somebody names such a base.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from engine_world import Engine, needs_engine
from reconcile.conftest import *  # noqa: F403 - the stages of a small repository, with their fixtures
from reconcile.docker_world import AtEngine
from reconcile.loop_world import MODEL, World
from registry_world import free_port
from targets.test_package import LOCK
from waiting import wait_for

BASE = os.environ.get("MODELOPS_TEST_BASE", "")
pytestmark = [
    needs_engine,
    pytest.mark.skipif(
        not BASE or not os.environ.get("DOCKER_HOST"),
        reason="no base image: set MODELOPS_TEST_BASE to one with Python, by digest, and DOCKER_HOST to who has it",
    ),
    pytest.mark.slow,
]


@dataclass
class Inside(World):
    """A world whose production is asked in another place."""

    port: int

    def url(self, environment: str = "production") -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Image:
    """A packaged release: the world that it is of, its image, and how long it took."""

    world: World
    engine: Engine
    name: str
    size: int
    seconds: float


@pytest.fixture(scope="module")
def image(stages: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    world = stages("merged").copy(tmp_path_factory.mktemp("built"))
    world.approved({"requirements.lock": LOCK}, "Pin")
    world.ok("release", "--yes")
    world.reconcile("staging")
    engine, began = Engine(os.environ["DOCKER_HOST"]), time.monotonic()
    words = ("--base", BASE, "--to", str(world.folder / "build"), "-o", "json")
    said = AtEngine(world.folder, engine.host).ok("package", MODEL, "1", *words).json
    yield Image(world, engine, said["name"], said["bytes"], time.monotonic() - began)
    world.stop()
    with engine.client() as client:
        client.images.remove(said["name"], force=True)


def test_an_image_for_onnx_is_small(image: Image) -> None:
    """Base and all, an image that ONNX Runtime serves has less than 250 MB, and no shell."""
    print(f"{image.size / 1e6:.0f} MB in {image.seconds:.0f} s")
    assert image.size < 250e6
    with image.engine.client() as client:
        made = client.containers.create(image.name, entrypoint=["/bin/sh", "-c", "true"])
        try:
            with pytest.raises(Exception, match="no such file or directory"):
                made.start()
        finally:
            made.remove(force=True)


def test_an_image_answers_as_the_server_here(image: Image) -> None:
    """Read-only, without root and capabilities it gets healthy, and answers bit for bit as the server here does."""
    port = free_port()
    with image.engine.client() as client:
        made = client.containers.run(
            image.name, detach=True, read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges:true"],
            ports={"8080/tcp": ("127.0.0.1", port)}, tmpfs={"/tmp": "size=64m,mode=1777"},
        )  # fmt: skip
        try:

            def health() -> str:
                made.reload()
                return str(made.attrs["State"]["Health"]["Status"])

            wait_for(lambda: health() == "healthy")
            there = Inside(image.world.folder, port).ask(50)
            here = image.world.ask(50, "staging")
            assert [scores(answer) for answer in there] == [scores(answer) for answer in here]
            assert made.exec_run(["python", "-c", "import os; print(os.getuid())"]).output.strip() == b"10001"
            made.stop(timeout=45)
            made.reload()
            assert made.attrs["State"]["ExitCode"] == 0
        finally:
            made.remove(v=True, force=True)


def scores(answer: tuple[int, dict[str, Any]]) -> tuple[int, Any]:
    """Return what an answer says of its row, and not when or by whom it was given."""
    status, body = answer
    return status, [(each["name"], each["data"]) for each in body["outputs"]]
