"""A repository whose production runs on a Docker engine."""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import dataclass
from typing import Any

from engine_world import Engine
from git_world import git
from modelops.project.target import site_of
from modelops.spec.routing import table_text
from modelops.targets import docker
from modelops.targets.docker.params import Params
from reconcile.loop_world import World
from registry_world import free_port


@dataclass
class AtEngine(World):
    """A world whose verbs find an engine at an address."""

    host: str

    def environ(self) -> dict[str, str]:
        """Return the variables of a verb."""
        return super().environ() | {"DOCKER_HOST": self.host}


@dataclass
class OnDocker(World):
    """A world whose production is on an engine; what containers log has the time of their machine, not the world's."""

    engine: Engine
    port: int
    prefix: str

    @property
    def params(self) -> Params:
        """The parameters of its production."""
        return Params(image=self.engine.image, port=self.port, prefix=self.prefix)

    def url(self, environment: str = "production") -> str:
        """Return where its production is called."""
        return f"http://127.0.0.1:{self.port}"

    def environ(self) -> dict[str, str]:
        """Return the variables of a verb, by which the engine is found."""
        return super().environ() | {"DOCKER_HOST": self.engine.host}

    def containers(self) -> dict[str, str]:
        """Return the running containers with when they were started."""
        with self.engine.client() as client:
            mine = [each for each in client.containers.list() if each.name.startswith(self.prefix)]
            return {each.name: each.attrs["State"]["StartedAt"] for each in mine}

    def routes(self, environment: str = "production") -> dict[str, Any]:
        """Return the table that the engine's volume has."""
        found = docker.observe(self.params, site_of(self.workspace(), environment)).routes
        assert found is not None, "it has no routes"
        said: dict[str, Any] = json.loads(table_text(found))
        return said

    def kill(self, environment: str = "production") -> None:
        """Remove the containers at once; what is in the volumes stays."""
        with self.engine.client() as client:
            for name in self.containers():
                client.containers.get(name).remove(force=True)

    def lose(self) -> None:
        """Lose all that is on the engine, and the runtime directory of this machine."""
        self.engine.clear(self.prefix)
        shutil.rmtree(self.runtime())


def on_docker(engine: Engine, plain: World) -> OnDocker:
    """Let the production of a world be on an engine, by an approved change; it ran on this machine before."""
    made = OnDocker(plain.folder, engine, free_port(), f"l{secrets.token_hex(4)}")
    said = json.dumps({"type": "docker", "params": made.params.model_dump(exclude_defaults=True, by_alias=True)})
    path = "policies/environments/production.yaml"
    made.approved({path: made.show(path).replace("{type: local, params: {port: 0}}", said) + "\n"}, "Use the engine")
    git(made.root, "pull", "-q", "--ff-only")
    return made
