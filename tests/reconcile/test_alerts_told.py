"""The loop and the monitor tell people: once for each cause, of its end, and never at the cost of a pass."""

from __future__ import annotations

import fcntl
import json
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from alerts.receivers import TAKEN, hang, raw, receiver
from modelops.reconcile.loop import reconcile
from modelops.spec.layout import SAID
from modelops.views.pull_requests import LOOP
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import local_clock_settles
from waiting import PATIENCE, wait_for

Live = Callable[[str], World]
ALERTING = "policies/alerting.yaml"
PRODUCTION = f"models/{MODEL}/environments/production.yaml"


def policy(*routes: dict[str, Any], rest: str = "") -> str:
    """Return an AlertPolicy with these routes."""
    head = f"apiVersion: modelops/v1\nkind: AlertPolicy\nmetadata:\n  name: alerting\nspec:\n{rest}  routes:\n"
    return head + "".join(f"    - {json.dumps(route)}\n" for route in routes)


def by_file(**route: Any) -> dict[str, Any]:
    return {**route, "send": {"type": "file"}}


def by_webhook(url: str, seconds: float = 30) -> dict[str, Any]:
    return {"send": {"type": "webhook", "params": {"url": url, "timeoutSeconds": seconds, "tries": 1}}}


def told(world: World) -> list[dict[str, Any]]:
    """Return what the file was told."""
    path = world.root / ".modelops" / "alerts.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def events(found: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["event"], one["code"]) for one in found]


def spoil(world: World) -> None:
    """Let production's file have a key that there is not."""
    world.push({PRODUCTION: world.show(PRODUCTION).rstrip() + "\n  ownr: nobody\n"}, "Misspell")


def repair(world: World) -> None:
    """Take the misspelt key out again."""
    world.push({PRODUCTION: world.show(PRODUCTION).replace("  ownr: nobody", "").rstrip() + "\n"}, "Spell")


def test_a_stalled_seat_is_told_once_and_its_recovery(live: Live) -> None:
    """One alert for one cause, however many passes see it; one word when it is over; a new one when it comes back."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file())}, "Tell us")
    world.reconcile()
    assert told(world) == []
    spoil(world)
    world.at("2026-03-01T12:10:00Z")
    world.reconcile(code=3)
    world.at("2026-03-01T12:20:00Z")
    world.reconcile(code=3)
    (one,) = told(world)
    assert (one["event"], one["model"], one["environment"]) == ("stalled", MODEL, "production")
    assert (one["code"], one["owner"], one["risk"]) == ("unknown-key", "growth", "limited")
    assert (one["since"], one["revision"]) == ("2026-03-01T12:10:00Z", world.tip())
    assert "'ownr' is not a key here" in one["summary"]
    assert one["next"]
    repair(world)
    world.at("2026-03-01T12:30:00Z")
    world.reconcile()
    world.reconcile()
    assert events(told(world)) == [("stalled", "unknown-key"), ("recovered", "unknown-key")]
    assert told(world)[1]["since"] == "2026-03-01T12:30:00Z"
    spoil(world)
    world.reconcile(code=3)
    assert [event for event, _ in events(told(world))] == ["stalled", "recovered", "stalled"]
    assert len({one["id"] for one in told(world)}) == 3


def test_what_lasts_is_told_again_as_often_as_the_policy_says(live: Live) -> None:
    """``atMostEvery`` counts from the last alert that was taken; a receiver that forgets repeats hears each."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file(atMostEvery=60))}, "Tell us hourly")
    spoil(world)
    for instant, count in (("12:00", 1), ("12:59", 1), ("13:00", 2), ("13:30", 2), ("14:05", 3)):
        world.at(f"2026-03-01T{instant}:00Z")
        world.reconcile(code=3)
        assert len(told(world)) == count, instant
    assert [one["reminds"] for one in told(world)] == [None, "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"]
    assert (len({one["id"] for one in told(world)}), len({one["key"] for one in told(world)})) == (3, 1)


@pytest.mark.parametrize(
    ("route", "count"),
    [
        ({"environments": ["staging"]}, 0),
        ({"environments": ["production"]}, 1),
        ({"risk": ["high", "minimal"]}, 0),
        ({"events": ["recovered", "drift"]}, 0),
        ({"events": ["stalled"]}, 1),
    ],
)
def test_routes_choose(live: Live, route: dict[str, Any], count: int) -> None:
    """Environment, risk and event decide; who was not told of a cause does not hear of its end."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file(**route))}, "Tell us")
    spoil(world)
    world.reconcile(code=3)
    assert len(told(world)) == count
    repair(world)
    world.reconcile()
    assert len(told(world)) == count + (count and "recovered" in route.get("events", ["recovered"]))


def test_without_a_policy_nothing_is_sent_or_kept(live: Live) -> None:
    """A repository without the file has no trace of alerts."""
    world = live("promoted")
    spoil(world)
    world.reconcile(code=3)
    assert not (world.runtime() / "alerts").exists()


def test_a_failing_way_fails_nobody_and_is_tried_again(live: Live) -> None:
    """A webhook that is down is a problem on stderr; the pass ends as without it, other ways are told, and later it."""
    world = live("promoted")
    with receiver((500, {}), (500, {}), TAKEN) as other:
        world.approved({ALERTING: policy(by_webhook(other.url), by_file())}, "Tell us twice")
        world.reconcile()
        spoil(world)
        done = world.run("reconcile", "production", "--yes", "-o", "json")
        assert (done.code, "[alert-unreachable]" in done.err, f"{ALERTING}:7:" in done.err) == (3, True, True), done.err
        assert done.json["conditions"][0]["reason"] == "unknown-key"
        assert (len(told(world)), other.received) == (1, [])
        repair(world)
        done = world.run("reconcile", "production", "--yes")
        assert (done.code, events(told(world))[-1][0]) == (0, "recovered"), done.err
        # Who never heard of it hears nothing of its end.
        assert other.received == []
        # Twice in a row it failed: it is left alone for half a minute, and each pass says so.
        spoil(world)
        world.reconcile(code=3)
        done = world.run("reconcile", "production", "--yes")
        assert ("it failed 2 times" in done.err, len(other.requests)) == (True, 2), done.err
        said = world.run("status").out
        assert "route 1 (webhook) failed 2 times since 2026-03-01T12:00:00Z" in said, said
        assert "tried again from 2026-03-01T12:00:30Z, 1 wait for it" in said, said
        world.at("2026-03-01T12:00:30Z")
        world.reconcile(code=3)
        assert events(other.received) == [("stalled", "unknown-key")]
        assert "failed" not in world.run("status").out


@pytest.mark.slow
def test_a_hanging_way_is_asked_once_in_a_pass(live: Live) -> None:
    """Of two seats that stall, one alert waits for each way that hangs, and the other is left for the next pass."""
    world = live("promoted")
    world.propose_beside()
    world.run("release", "--yes")
    with raw(hang) as url:
        ways = (by_webhook(url, 0.5), by_webhook(f"{url}2", 0.5))
        world.approved({ALERTING: policy(*ways, rest="  timeoutSeconds: 300\n")}, "Tell us twice")
        for model in ("beside", MODEL):
            path = f"models/{model}/environments/staging.yaml"
            world.push({path: world.show(path).rstrip() + "\n  ownr: nobody\n"}, "Misspell")
        done = world.run("reconcile", "staging", "--yes")
    assert (done.code, done.err.count("took no alert: it took too long")) == (3, 2), done.err


def test_a_way_that_takes_all_the_time_starves_no_other(live: Live) -> None:
    """What hangs comes last in the pass after, though its route is the first."""
    world = live("promoted")
    with raw(hang) as url:
        world.approved({ALERTING: policy(by_webhook(url), by_file(), rest="  timeoutSeconds: 0.5\n")}, "Tell us twice")
        spoil(world)
        for _ in range(2):
            world.reconcile(code=3)
    assert events(told(world)) == [("stalled", "unknown-key")]


def test_killed_between_sending_and_remembering_it_is_told_once_more(live: Live) -> None:
    """What was taken and not put down is sent again with the same id, and then never again."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file())}, "Tell us")
    world.reconcile()
    spoil(world)
    code = (
        "import os, signal\n"
        "from modelops.alerts import file\n"
        "send = file.send\n"
        "def killed(*given):\n"
        "    send(*given)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "file.send = killed\n"
        "from modelops.cli import main\n"
        "main(['reconcile', 'production', '--yes'])\n"
    )
    process = world.process("-c", code)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    assert len(told(world)) == 1
    world.at("2026-03-01T13:00:00Z")
    world.reconcile(code=3)
    world.reconcile(code=3)
    first, again = told(world)
    assert first["id"] == again["id"]


def test_a_wrong_policy_stalls_no_model_and_is_said(live: Live) -> None:
    """A typo in the alert policy is told by passes; what was right before is still used, and models go on."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file())}, "Tell us")
    world.approved({ALERTING: policy(by_file(evnts=["stalled"]))}, "Misspell")
    done = world.run("reconcile", "production", "--yes")
    assert (done.code, "'evnts' is not a key here" in done.err, ALERTING in done.err) == (0, True, True), done.err
    spoil(world)
    world.reconcile(code=3)
    assert len(told(world)) == 1


@pytest.mark.parametrize("there", ["", "{", '{"began": 1, "told": [1], "known": []}', '{"told": []}'])
def test_a_lost_memory_tells_once_more(live: Live, there: str) -> None:
    """A memory that cannot be read is an empty one; nothing breaks."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file())}, "Tell us")
    spoil(world)
    world.reconcile(code=3)
    memory = world.runtime() / "alerts" / "reconcile.json"
    memory.write_text(there)
    world.reconcile(code=3)
    world.reconcile(code=3)
    assert len(told(world)) == 2


def test_a_memory_that_cannot_be_kept_is_a_problem_of_its_own(live: Live) -> None:
    """A folder in the way of the memory is said, and changes nothing for the pass."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file())}, "Tell us")
    world.runtime().mkdir(parents=True, exist_ok=True)
    (world.runtime() / "alerts").write_text("in the way")
    done = world.run("reconcile", "production", "--yes")
    assert (done.code, "[runtime-unwritable]" in done.err) == (0, True), done.err


def test_two_processes_do_not_tell_the_same(live: Live) -> None:
    """While another process tells, this one adds nothing; what the other has left is told by the next pass."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file())}, "Tell us")
    world.reconcile()
    spoil(world)
    with (world.runtime() / "alerts" / "reconcile.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        world.reconcile(code=3)
        assert told(world) == []
    world.reconcile(code=3)
    assert events(told(world)) == [("stalled", "unknown-key")]


@pytest.mark.slow
def test_a_withdrawn_release_is_told_once(live: Live) -> None:
    """A rollout that fails is told with the release and why, also by the process after the one that died of it.

    What a person denies is no news.
    """
    world = live("third")
    world.approved({ALERTING: policy(by_file(events=["rolled-back"]))}, "Tell us")
    world.promote("--release", "3")
    world.reconcile()
    assert told(world) == []
    for _ in range(8):
        world.ask(40, strange=True)
        # As a process does that is killed before it tells.
        reconcile(world.workspace(), "production", LOOP)
        if "denied" in world.show(PRODUCTION):
            break
    assert told(world) == []
    world.reconcile()
    world.push({PRODUCTION: world.show(PRODUCTION) + "\n    - {release: 2, reason: we say so}\n"}, "Deny another")
    world.reconcile()
    assert [one["release"] for one in world.deployment()["denied"]] == [3, 2]
    (one,) = told(world)
    assert (one["event"], one["release"], one["code"]) == ("rolled-back", 3, "rollout-failed")
    assert "release 3 of churn in production was withdrawn" in one["summary"]
    assert "rollout replay churn production" in one["next"]


def test_a_loop_that_watches_tells(live: Live) -> None:
    """``reconcile --watch`` tells in the pass that sees it, once."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file())}, "Tell us")
    spoil(world)
    process = world.process("-m", "modelops", "reconcile", "production", "--watch", "--interval", "0.1", "--yes")
    try:
        wait_for(lambda: told(world))
        # Some passes more.
        time.sleep(1)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert events(told(world)) == [("stalled", "unknown-key")]


def test_drift_and_its_end_are_told(live: Live) -> None:
    """The monitor tells once that the input has drifted, and once that it no longer does."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file())}, "Tell us")
    world.reconcile()
    world.at("2026-03-20T12:00:00Z")
    local_clock_settles()
    world.ask(200, shift=3.0)
    for instant in ("2026-03-21", "2026-03-22"):
        world.at(f"{instant}T12:00:00Z")
        assert world.run("monitor", "production", "--yes").code == 1
    (one,) = told(world)
    assert (one["event"], one["code"], one["release"], one["tier"]) == ("drift", "drift", 1, "ticket")
    assert "amount" in one["summary"]
    # What the pass and the look found lies where the server looks for what it tells Prometheus.
    metrics = "".join(path.read_text("utf-8") for path in (world.runtime() / SAID).glob("*.prom"))
    assert f'modelops_monitor_level{{level="alert",model="{MODEL}"}} 1.0' in metrics, metrics
    assert f'modelops_reconcile_stalled{{model="{MODEL}"}} 0.0' in metrics
    assert "modelops_reconcile_last_pass_timestamp_seconds" in metrics
    # No traffic is told as that, and says nothing of drift; the first ordinary traffic says that it came, and the
    # second look at it that the drift is over.
    world.at("2026-05-01T12:00:00Z")
    assert world.run("monitor", "production", "--yes").code == 1
    assert [(one["event"], one["tier"]) for one in told(world)[1:]] == [("silent", "page")]
    local_clock_settles()
    world.ask(200)
    world.at("2026-05-02T12:00:00Z")
    world.run("monitor", "production", "--yes")
    assert events(told(world))[2:] == [("recovered", "silent")]
    world.at("2026-05-08T12:00:00Z")
    world.run("monitor", "production", "--yes")
    assert events(told(world))[3:] == [("recovered", "drift")]
    assert len({one["key"] for one in told(world)}) == 2


SILENCE = "policies/silences/moving.yaml"


def silence(reason: str = "we move the data", expires: str = "2026-03-01T14:00:00Z") -> str:
    head = "apiVersion: modelops/v1\nkind: Silence\nmetadata:\n  name: moving\nspec:\n"
    return f"{head}  models: [{MODEL}]\n  reason: {json.dumps(reason)}\n  expires: {json.dumps(expires)}\n"


def test_a_silence_is_seen_in_status_and_ends_by_itself(live: Live) -> None:
    """While it counts nothing is sent and ``status`` says why; when it has expired what still lasts is told."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file()), SILENCE: silence()}, "Tell us later")
    spoil(world)
    world.reconcile(code=3)
    assert told(world) == []
    said = world.run("status").out
    assert "untold: stalled of churn in production (unknown-key) since 2026-03-01T12:00:00Z: the silence moving" in said
    assert "silence moving: in force until 2026-03-01T14:00:00Z: we move the data" in said
    world.at("2026-03-01T14:00:00Z")
    world.reconcile(code=3)
    assert events(told(world)) == [("stalled", "unknown-key")]
    assert "silence moving" not in world.run("status").out


def test_a_silence_that_is_wrong_silences_nothing(live: Live) -> None:
    """Without a reason it is refused with its line; merged all the same it counts for nothing, and passes say so."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file())}, "Tell us")
    world.approved({SILENCE: silence(reason=" ")}, "Say nothing")
    spoil(world)
    done = world.run("reconcile", "production", "--yes")
    assert f"{SILENCE}:7:" in done.err, done.err
    assert events(told(world)) == [("stalled", "unknown-key")]


@pytest.mark.slow
def test_pages_beyond_the_number_come_in_one_digest(live: Live) -> None:
    """The number is of an owner, over all environments of the machine; the digest names the rest."""
    world = live("promoted")
    world.propose_beside()
    world.run("release", "--yes")
    paging = policy(by_file(pagesPerDay=1), rest="  tiers: {stalled: page}\n")
    world.approved({ALERTING: paging}, "Page us once a day")
    spoil(world)
    world.reconcile(code=3)
    for model in ("beside", MODEL):
        path = f"models/{model}/environments/staging.yaml"
        world.push({path: world.show(path).rstrip() + "\n  ownr: nobody\n"}, "Misspell")
    for _ in range(2):
        world.run("reconcile", "staging", "--yes")
    assert [(one["event"], one["environment"]) for one in told(world)] == [
        ("stalled", "production"), ("digest", "staging"),
    ]  # fmt: skip
    assert [" ".join(one.split()[:4]) for one in told(world)[1]["held"]] == [
        "beside in staging is", "churn in staging is",
    ]  # fmt: skip


@pytest.mark.slow
def test_two_monitors_at_once_tell_once(live: Live) -> None:
    """Two monitors of one environment that run at the same time open one incident, and tell it once."""
    world = live("promoted")
    world.approved({ALERTING: policy(by_file())}, "Tell us")
    world.reconcile()
    world.at("2026-03-20T12:00:00Z")
    local_clock_settles()
    world.ask(200, shift=3.0)
    world.at("2026-03-21T12:00:00Z")
    two = [world.process("-m", "modelops", "monitor", "production", "--yes") for _ in range(2)]
    for process in two:
        process.communicate(timeout=PATIENCE)
    assert world.run("monitor", "production", "--yes").code == 1
    assert events(told(world)) == [("drift", "drift")]
