"""From a look to an incident, what the team is told of it, what is kept out of training, and what git keeps of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from git_world import git
from modelops.governance.proposals import frozen
from modelops.predictions import PredictionLog, Row
from modelops.spec.layout import Seat
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import local_clock_settles, monitored, weights
from reconcile.test_alerts_told import ALERTING, by_file, events, policy, told
from waiting import PATIENCE

Live = Callable[[str], World]
MONITOR = f"models/{MODEL}/monitor.yaml"
RETRAINING = "{cooldownDays: 14, lookbackDays: 90, minimumRows: 50, runsPerMonth: 1}"


def watched(world: World, **spec: str) -> None:
    """Merge a monitor with these blocks, and an alert policy that writes to a file."""
    head = f"apiVersion: modelops/v1\nkind: Monitor\nmetadata:\n  name: {MODEL}\nspec:\n"
    text = head + "".join(f"  {name}: {block}\n" for name, block in ({"minimumRequests": "50"} | spec).items())
    world.approved({MONITOR: text, ALERTING: policy(by_file())}, "Watch")


def asked(world: World, instant: str, **how: Any) -> list[tuple[int, dict[str, Any]]]:
    world.at(instant)
    local_clock_settles()
    return world.ask(200, **how)


def incidents(found: Any) -> dict[str, dict[str, Any]]:
    """Return the incidents by what they are about."""
    return {one["kind"]: one for one in found["triage"]["incidents"]}


def pulls(world: World, label: str) -> list[Any]:
    return [one for one in world.workspace().forge.find(label=f"{label}:{MODEL}", state="all") if one.author.machine]


def test_broken_data_are_told_kept_out_and_written_down(live: Live) -> None:
    """Told once and over once, trained on never, and left in git as a draft; what is opened shows in the budget."""
    world = live("promoted")
    watched(world, retraining=RETRAINING)
    world.reconcile()
    world.label(asked(world, "2026-03-20T12:00:00Z", strange=True))
    world.at("2026-04-10T12:00:00Z")
    two = [world.process("-m", "modelops", "monitor", "production", "--yes") for _ in range(2)]
    for process in two:
        process.communicate(timeout=PATIENCE)
    code, found = monitored(world)
    broken = incidents(found)["data"]
    assert (code, broken["state"], broken["code"], broken["features"]) == (1, "open", "recoded", ["country"])
    assert "nothing is trained on broken data" in str(found["retraining"])
    assert events(told(world)) == [("inputs", "recoded")]
    assert "country has values in 100.0% of rows that the reference does not have" in told(world)[0]["summary"]
    assert "incident 2026-04-10-production-data-recoded (inputs), open since" in world.ok("status").out

    asked(world, "2026-05-08T12:00:00Z")
    world.at("2026-05-09T12:00:00Z")
    monitored(world)
    assert len(told(world)) == 1
    world.at("2026-05-20T12:00:00Z")
    _, found = monitored(world)
    assert incidents(found)["data"]["closed"] == "2026-05-20T12:00:00Z"
    assert events(told(world))[1:] == [("recovered", "recoded")]
    ((postmortem,), (pull,)) = found["postmortems"], pulls(world, "incident")  # type: ignore[misc]
    assert postmortem["pullRequest"] == pull.number
    assert git(world.remote, "diff", "--name-only", "main", pull.head).splitlines() == [postmortem["path"]]
    text = git(world.remote, "show", f"{pull.head}:{postmortem['path']}")
    for said in (
        "400 requests were answered or refused while it lasted, 0 of them failed",
        "200 of them have a label so far, and",
        "200 came with the fault; the 200 of them that have a label are not trained on",
        "no retraining: nothing is trained on broken data",
        "- [ ] What changed where the data is made or sent",
    ):
        assert said in text, text
    world.merge(pull.number)
    asked(world, "2026-05-21T12:00:00Z", shift=3.0)
    world.label(asked(world, "2026-05-22T12:00:00Z", shift=3.0))
    world.at("2026-06-15T12:00:00Z")
    _, found = monitored(world)
    assert found["postmortems"] == []
    (retraining,) = pulls(world, "retrain")
    assert "200 were served while the data were broken, and are left out" in retraining.body
    assert found["triage"]["retrainings"] == {
        "month": "2026-06", "runs": 1, "limit": 1, "rejected": 0, "waitsUntil": "2026-06-29T12:00:00Z",
    }  # fmt: skip
    assert incidents(found)["drift"]["retraining"] == retraining.number

    # Closed by people it counts as rejected: the pause is twice as long, and the month's budget is spent anyway.
    world.ok("pr", "close", str(retraining.number))
    world.at("2026-06-16T12:00:00Z")
    _, found = monitored(world)
    assert "cooling down until 2026-07-13T12:00:00Z, twice as long for each of 1 rejected" in str(found["retraining"])
    done = world.run("monitor", "production", "--model", MODEL, "--retrain", "--yes")
    assert "the budget of 2026-06 is spent: 1 of 1 retrainings were opened" in done.out
    assert f"{MODEL}: retrainings in 2026-06: 1 of 1, none before 2026-07-13T12:00:00Z" in world.ok("status").out


def test_a_spent_budget_is_told_and_keeps_trials_from_beginning(live: Live) -> None:
    """What is missed of a promise pages once, names its numbers, and freezes promotions where the policy says so."""
    world = live("second")
    place = "policies/environments/production.yaml"
    frozen_by = {place: world.show(place).rstrip() + "\n  freeze: [latency]\n"}
    world.approved(frozen_by, "Freeze")
    watched(
        world,
        objectives="{latency: {target: 0.99, withinMs: 0.0001}, freshness: {target: 0.9, withinDays: 300}}",
        triage="{closeAfter: 1, postmortem: false}",
    )
    world.reconcile()
    asked(world, "2026-03-20T12:00:00Z")
    world.at("2026-03-20T12:04:00Z")
    _, found = monitored(world)
    (kept,) = [one for one in found["triage"]["objectives"] if one["promise"] == "latency"]  # type: ignore[index]
    assert (kept["bad"], kept["all"], kept["severity"], round(kept["spent"])) == (200, 200, "page", 100)
    assert [(one["event"], one["code"], one["tier"]) for one in told(world)] == [("burn", "latency", "page")]
    monitored(world)
    assert len(told(world)) == 1
    assert "objective latency: 0.000% answers within 0.0001 ms in 30 days, 99.000% promised" in world.ok("status").out
    metrics = "".join(path.read_text("utf-8") for path in (world.runtime() / "metrics").glob("monitor-*.prom"))
    rate = re.search(rf'modelops_objective_burn_rate{{model="{MODEL}",objective="latency",window="5m"}} (\S+)', metrics)
    assert rate is not None
    assert float(rate[1]) == pytest.approx(100)
    assert f'modelops_incidents_open{{event="burn",model="{MODEL}"}} 1.0' in metrics

    done = world.run("promote", MODEL, "--to", "production", "--yes")
    assert (done.code, "[budget-spent]" in done.err) == (1, True), done.err
    world.approved({place: world.show(place).replace("  freeze: [latency]", "").rstrip() + "\n"}, "Thaw")
    world.promote()
    world.approved(frozen_by, "Freeze again")
    assert "budget-spent" in json.dumps(world.reconcile(code=1))
    workspace = world.workspace()
    _, graph = workspace.desired()
    # Another month, in which nothing was missed: the look does not count any more.
    seat = Seat(MODEL, "production")
    assert [one.code for one in frozen(workspace, graph, seat, 2, "candidate")] == ["budget-spent"]
    assert frozen(workspace, graph, seat, 1, "stable") == ()
    world.at("2026-05-20T12:00:00Z")
    local_clock_settles()
    world.reconcile()
    assert weights(world) == {1: 0.7, 2: 0.3}


def test_calls_that_halve_are_an_incident_with_its_cause(live: Live) -> None:
    """Seventeen quiet days; then half the calls are gone, when nothing else began: told once, and why it may be so."""
    world = live("promoted")
    # Of so many requests alone drift would be scored: the rows that follow have no features.
    watched(world, anomalies="{cycle: day}", windowDays="0.5", minimumRequests="1000000")
    world.reconcile()
    rng, now = np.random.default_rng(6), datetime(2026, 3, 20, 12, tzinfo=UTC)
    rows = []
    for hour in range(18 * 24, 0, -1):
        begin = now.timestamp() - hour * 3600
        for at in np.sort(rng.uniform(begin, begin + 3600, rng.poisson(20 if hour <= 24 else 80))).tolist():
            rows.append(Row(f"h{len(rows)}", at, MODEL, 1, "stable", 0, "", "", "{}", 0.2, "0", 200, 1.0))
    with PredictionLog(world.runtime() / "predictions", name="another") as log:
        log.write(rows)
    world.at("2026-03-20T12:00:00Z")
    _, found = monitored(world)
    (one,) = [each for each in found["triage"]["incidents"] if each["kind"] == "anomaly"]  # type: ignore[index]
    assert (one["state"], one["cause"]) == ("open", "nothing here began then: who calls it changed")
    assert one["began"] in {f"2026-03-19T{hour}:00:00Z" for hour in (10, 11, 12, 13, 14)}
    assert "requests: " in one["said"]
    monitored(world)
    assert [(each["event"], each["code"]) for each in told(world)] == [("anomaly", "requests")]
