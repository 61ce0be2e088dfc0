"""The target `docker`: containers of an image that is built for the releases, and files for who runs them otherwise."""

from __future__ import annotations

from modelops.targets.docker.building import build, pack
from modelops.targets.docker.compose import render
from modelops.targets.docker.params import Params
from modelops.targets.docker.runtime import apply, durable, endpoint, logs, observe, stop

__all__ = ["Params", "apply", "build", "durable", "endpoint", "logs", "observe", "pack", "render", "stop"]
