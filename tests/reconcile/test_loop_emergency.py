"""Ways back under bad conditions: nothing that is slow, held, frozen or far away keeps a release that does harm."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from git_world import git
from modelops.changes.restoring import aftermath
from modelops.errors import Exit, ModelOpsError
from modelops.reconcile import lease, loop
from modelops.repository import process
from modelops.spec.address import Address
from modelops.spec.layout import Seat
from modelops.targets import Site
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import on_trial
from reconcile.test_emergency import BACK, shares, stable_second

Live = Callable[[str], World]


def test_a_rollback_works_while_main_is_rewritten(live: Live) -> None:
    """The runtime follows at once although nothing else moves, and bringing the lost commits back keeps it."""
    world = stable_second(live)
    world.push({"README": "x"}, "To be lost")
    world.reconcile()
    git(world.remote, "update-ref", "refs/heads/main", "main~1")
    done = world.run(*BACK)
    assert "release 2 is withdrawn, release 1 is stable" in done.err
    assert (shares(world), world.release_answering()) == ({1: 1.0}, 1)
    hint = done.err.partition("bring them back: ")[2].partition(";")[0]
    for command in hint.split(" && "):
        git(world.root, *command.split()[1:])
    assert world.show("README") == "x"
    assert world.reconcile()["conditions"][0]["type"] == "Ready"
    assert (world.deployment()["stable"], shares(world)) == (1, {1: 1.0})


def test_a_rollback_waits_for_no_other_holder(live: Live) -> None:
    """Whoever works on the model, and however long: a denied release loses its traffic at once."""
    world = on_trial(live, "second", 2)
    with lease.leases(world.workspace().site("production"), [MODEL]):
        done = world.run(*BACK)
        assert (done.code, "release 2 is withdrawn, release 1 is stable" in done.err) == (0, True)
        assert shares(world) == {1: 1.0}


def test_a_remote_that_says_nothing_costs_one_wait(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback asks it once, for as long as is set, and moves the traffic by what it knows."""
    world = on_trial(live, "second", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        git(world.root, "remote", "set-url", "origin", f"git://127.0.0.1:{silent.getsockname()[1]}/x.git")
        monkeypatch.setenv("MODELOPS_REMOTE_SECONDS", "1.5")
        workspace = world.workspace()
        first, second = workspace.reach(), workspace.reach()
        assert first is not None
        assert (first.first.code, "said nothing for 1.5 s" in first.first.message) == ("remote-unreachable", True)
        assert second is first
        with pytest.raises(ModelOpsError, match="said nothing"):
            workspace.repository.land("main", lambda tip: None, workspace.person, workspace.clock())
        silent.setblocking(False)
        with silent.accept()[0], pytest.raises(BlockingIOError):
            silent.accept()
        monkeypatch.setattr(process, "LOOK_SECONDS", 1.0)
        done = world.run(*BACK)
        assert (done.code, shares(world)) == (0, {1: 1.0})


def test_what_does_not_come_to_rest_is_told_all_the_same(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """How each model stands is written down before a pass ends for having done too much."""
    world = live("released")
    world.promote()
    monkeypatch.setattr(loop, "most_actions", lambda models: 1)
    done = world.run("reconcile", "production", "--yes")
    assert (done.code, "[no-rest]" in done.err) == (70, True)
    said = json.loads((world.runtime() / loop.STATUS_FILE).read_text())["conditions"]
    assert [(one["model"], one["type"]) for one in said] == [(MODEL, "Reconciling")]


def test_more_models_may_take_more_actions() -> None:
    """An environment of a thousand models comes to rest in one pass, too."""
    assert loop.most_actions(1000) >= 10 * 1000


def test_an_aftermath_that_cannot_be_told_stalls_nothing(live: Live) -> None:
    """What should be proposed about a failed release is no part of how the model is answered: it is only said."""
    world = on_trial(live, "third", 3)
    world.ask(80, strange=True)
    world.reconcile()
    workspace = world.workspace()
    tip, graph = workspace.known()
    entry = graph.models[MODEL]
    spec = entry.releases[1].spec
    lost = spec.model_copy(update={"code": spec.code.model_copy(update={"commit": "0" * 40})})
    releases = {**entry.parts["Release"], "1": replace(entry.releases[1], spec=lost)}
    entry = replace(entry, parts={**entry.parts, "Release": releases})
    seat, models = Seat(MODEL, "production"), {**graph.models, MODEL: entry}
    found = aftermath(workspace, replace(graph, models=models), tip, seat)
    assert found is not None
    assert ("cannot be told" in found.told, found.due) == (True, False)


def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody goes on as if a lease were held."""
    # The kernel takes no lock before the beginning of a file.
    monkeypatch.setattr(lease, "_SPAN", -(1 << 62))
    site = Site("production", tmp_path, Address("oci-layout:/nowhere"))
    with pytest.raises(ModelOpsError, match="cannot be locked") as caught, lease.leases(site, [MODEL]):
        pass
    assert (caught.value.first.code, caught.value.exit) == ("lease-unsupported", Exit.WORLD)
