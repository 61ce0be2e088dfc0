"""What every target on the shelf must be: a renderer, and if it talks to a runtime a runner as a whole."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from modelops import logs, plugins
from modelops.conformance import targets
from modelops.conformance.targets import CHECKS, RUNNER_CHECKS, Ground
from modelops.predictions import PredictionLog, Row
from modelops.spec.routing import FILE_NAME, RoutingTable, table_digest, table_text
from modelops.stores import Address
from modelops.targets import Place, Renderer, Runner, Site, docker, kubernetes, local
from targets import afar
from targets.test_render import KUBERNETES, desired

# The checker holds the files of the shelf against their Protocols.
RENDERERS: Mapping[str, Renderer] = {"docker": docker, "kubernetes": kubernetes, "local": local}
RUNNERS: Mapping[str, Runner] = {"docker": docker, "kubernetes": kubernetes, "local": local}

PARAMS: Mapping[str, Mapping[str, object]] = {"kubernetes": KUBERNETES}
RUNNING = ("observe", "apply", "stop", "endpoint", "logs", "durable")
EMPTY = RoutingTable(environment="staging", models={})


def test_every_file_of_the_shelf_is_held_against_its_protocol() -> None:
    """A new target is added to the tables above, and thereby to the type checker's work."""
    assert set(plugins.keys("targets")) == set(RENDERERS)
    assert {key for key, module in RENDERERS.items() if isinstance(module, Runner)} == set(RUNNERS)


@pytest.mark.parametrize("one", CHECKS, ids=lambda one: one.__name__.removeprefix("check_"))
@pytest.mark.parametrize("key", plugins.keys("targets"))
def test_every_target_keeps(one: Callable[[Ground], None], key: str, tmp_path: Path) -> None:
    """Each check that is shipped for the authors of targets holds on each target of ours."""
    one(Ground(RENDERERS[key], PARAMS.get(key, {}), tmp_path))


@pytest.mark.parametrize("one", RUNNER_CHECKS, ids=lambda one: one.__name__.removeprefix("check_"))
@pytest.mark.parametrize("key", ["afar", "local"])
def test_every_runner_keeps(one: Callable[[Ground], None], key: str, tmp_path: Path) -> None:
    """So does each check of runners, on our own and on one that runs elsewhere and shares nothing with it."""
    if key == "afar":
        one(Ground(afar, {"root": str(tmp_path / "machine")}, tmp_path))
    else:
        one(Ground(RUNNERS[key], PARAMS.get(key, {}), tmp_path))


def test_a_runner_that_forgets_its_table_is_noticed(tmp_path: Path) -> None:
    """The check fails on a runtime that cannot say by which table models are to go on."""
    forgetful = ModuleType("forgetful")
    vars(forgetful).update({name: getattr(afar, name) for name in ("Params", "render", *RUNNING)})
    vars(forgetful)["observe"] = lambda params, place: replace(afar.observe(params, place), routes=None)
    with pytest.raises(AssertionError, match="than it was given"):
        targets.check_it_remembers_its_table(Ground(forgetful, {"root": str(tmp_path / "machine")}, tmp_path))  # type: ignore[arg-type]


def test_the_table_has_one_spelling() -> None:
    """What a container mounts has the digest that the reconciler compares, byte for byte as the local server's file."""
    wanted = desired()
    text = table_text(wanted.table)
    assert local.render(local.Params(), wanted)[FILE_NAME] == text
    assert docker.render(docker.Params(), wanted)[f"routes/{FILE_NAME}"] == text
    assert RoutingTable.model_validate_json(text) == wanted.table
    assert table_digest(wanted.table) == table_digest(RoutingTable.model_validate_json(text))


def test_a_table_of_0_1_0_is_read() -> None:
    """What runs was put up by an older version, whose routes said what their shadow copies may cost."""
    data = json.loads(table_text(desired().table))
    for found in data["models"].values():
        found["mirror"] = {"concurrency": 2, "timeoutMs": 1000.0, "queue": 256}
    assert RoutingTable.model_validate_json(json.dumps(data)) == desired().table


def test_a_copied_runtime_directory_is_another_place(tmp_path: Path) -> None:
    """A server answers for the directory that it was started in, not for a copy of it."""
    here = Site("staging", tmp_path / "runtime", Address(f"oci-layout:{tmp_path / 'store'}"))
    elsewhere = Place("staging", tmp_path / "copied")
    params = local.Params()
    try:
        assert local.apply(params, here, EMPTY).running
        elsewhere.runtime.mkdir()
        for file in here.runtime.iterdir():
            if file.is_file():
                (elsewhere.runtime / file.name).write_bytes(file.read_bytes())
        assert not local.observe(params, elsewhere).running
    finally:
        local.stop(params, here)


@pytest.mark.parametrize("place", ["port", "adminPort"])
def test_a_port_that_is_taken_before_the_server_has_it_is_chosen_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Another program may listen there by the time that the server starts: it starts all the same, elsewhere."""
    site = Site("staging", tmp_path / "runtime", Address(f"oci-layout:{tmp_path / 'store'}"))
    choose = local._choose_port
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        chosen = iter([taken] if place == "port" else [choose(local.LOOPBACK, 0, 0), taken])
        monkeypatch.setattr(local, "_choose_port", lambda *given: next(chosen, None) or choose(*given))
        try:
            assert local.apply(local.Params(), site, EMPTY).running
            record = json.loads((site.runtime / "server.json").read_text())
            assert taken not in (record["port"], record["adminPort"])
        finally:
            local.stop(local.Params(), site)


def test_what_the_server_writes_is_found_in_its_log(tmp_path: Path) -> None:
    """The log that the runner names is where the server's writer writes."""
    log = logs.bind(local.logs(local.Params(), Place("staging", tmp_path / "runtime")))
    opened = log.module.open(log.params)
    now = time.time()
    with PredictionLog(Path(opened.place)) as writer:
        writer.write([Row("a", now, "fraud", 1, "stable", 0, "salt", "c", "{}", 0.5, "1", 200, 1.0)])
    found = opened.find("a")
    assert found is not None
    assert found.row.time == now


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, True), ({"RUNNER_ENVIRONMENT": "self-hosted"}, True), ({"RUNNER_ENVIRONMENT": "github-hosted"}, False)],
)
def test_a_server_does_not_outlive_a_hosted_runner(environ: Mapping[str, str], expected: bool) -> None:
    """A machine that is thrown away with its job takes the server along."""
    assert local.durable(local.Params(), environ) is expected


def test_the_page_about_targets_shows_one(tmp_path: Path) -> None:
    """The module on the page is a renderer, and what it renders is what a server reads."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "add-a-target.md").read_text(encoding="utf-8")
    module = ModuleType("systemd")
    exec(page.partition("```python\n")[2].partition("```")[0], module.__dict__)
    assert isinstance(module, Renderer)
    assert not isinstance(module, Runner)
    files = module.render(module.Params(), desired())
    assert "--table /etc/modelops/routes.json" in files["modelops-production.service"]
    assert RoutingTable.model_validate_json(files[FILE_NAME]) == desired().table
