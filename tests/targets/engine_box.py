"""An environment of its own on a real engine, with a store, two releases and callers."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from dataclasses import dataclass, field
from typing import Any

from engine_world import Engine
from modelops import logs
from modelops.spec.kinds.access_policy import ApiKey
from modelops.spec.routing import Route, RouteArm, RoutingTable, table_digest
from modelops.targets import Site, docker
from modelops.targets.docker.params import Params
from waiting import PATIENCE, wait_for

BODY = json.dumps(
    {"inputs": [{"name": each, "shape": [1], "datatype": "FP64", "data": [0.5]} for each in ("x", "y")]}
).encode()


@dataclass
class Box:
    """An environment of its own on the engine."""

    engine: Engine
    site: Site
    prefix: str
    port: int
    digests: list[str]
    more: dict[str, Any] = field(default_factory=dict)

    def params(self, **more: Any) -> Params:
        said = {"image": self.engine.image, "port": self.port, "prefix": self.prefix, **self.more, **more}
        return Params.model_validate_json(json.dumps(said))

    def table(self, candidate: float = 0.0, release: int = 1, keys: tuple[ApiKey, ...] | None = None) -> RoutingTable:
        arms = [RouteArm(name="stable", release=release, digest=self.digests[release - 1], weight=1.0 - candidate)]
        if candidate:
            arms.append(RouteArm(name="candidate", release=2, digest=self.digests[1], weight=candidate))
        routes = {"fraud": Route(arms=tuple(arms), salt="abc", log="acknowledged")}
        return RoutingTable(environment="staging", models=routes, keys=keys)

    def apply(self, table: RoutingTable, **more: Any) -> None:
        found = docker.apply(self.params(**more), self.site, table)
        assert (found.running, found.table, found.routes) == (True, table_digest(table), table)

    def ids(self) -> dict[str, str]:
        """Return the running containers with when they were started."""
        with self.engine.client() as client:
            mine = [each for each in client.containers.list() if each.name.startswith(self.prefix)]
            return {each.name: each.attrs["State"]["StartedAt"] for each in mine}

    def ask(self, port: int = 0, key: str = "", status: int = 200) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE)
        headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
        with contextlib.closing(connection):
            connection.request("POST", "/v2/models/fraud/infer", BODY, headers)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == status, body
            found: dict[str, Any] = json.loads(body)
            return found

    def logged(self, id: str, params: Params | None = None, site: Site | None = None) -> bool:
        """Tell whether the log, brought up to date, has a prediction."""
        reference = logs.bind(docker.logs(params or self.params(), site or self.site))
        return reference.module.open(reference.params).find(id) is not None

    def inside(self, name: str, program: str) -> None:
        """Run a program with the Python of a container."""
        with self.engine.client() as client:
            done = client.containers.get(name).exec_run(["python", "-I", "-c", program])
            assert done.exit_code == 0, done.output


@dataclass
class Callers:
    """Threads that ask on connections that they keep, and count what is not answered."""

    host: str
    port: int
    path: str = "/v2/models/fraud/infer"
    body: bytes = BODY
    many: int = 4
    answered: int = 0
    lost: list[str] = field(default_factory=list)

    def __enter__(self) -> Callers:
        self._ending = threading.Event()
        self._counting = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(self.many)]
        for thread in self._threads:
            thread.start()
        self.more()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def more(self) -> None:
        """Wait until some more are answered."""
        before = self.answered
        wait_for(lambda: self.answered > before + 20 or self.lost)

    def _call(self) -> None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        while not self._ending.is_set():
            try:
                connection.request("POST", self.path, self.body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
                continue
            if answer.status == 200:
                with self._counting:
                    self.answered += 1
            else:
                self.lost.append(f"{answer.status} {body[:80]!r}")
        connection.close()


def answers(box: Box) -> bool:
    try:
        box.ask()
    except (OSError, http.client.HTTPException, AssertionError):
        return False
    return True
