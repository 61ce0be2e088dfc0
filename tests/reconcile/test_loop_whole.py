"""The loop from a merged model to a release that answers in production, and what it does when it is asked again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from git_world import counting_git, git
from modelops.evidence import ROLLOUT_OUTCOME, check_promotion
from modelops.governance.history import deployment_history
from modelops.governance.promotions import covering_promotion, promotion_evidence
from modelops.project.workspace import trusted
from modelops.reconcile import loop
from modelops.spec.layout import Seat
from modelops.views.pull_requests import LOOP
from reconcile.loop_world import MODEL, World

Live = Callable[[str], World]


def test_from_a_merge_to_production(live: Live) -> None:
    """Release, staging, promotion, approval, merge, production: HTTP, git and the signed record agree."""
    world = live("promoted")
    found = world.reconcile()
    assert [condition["type"] for condition in found["conditions"]] == ["Ready"]
    assert world.release_answering() == 1
    assert world.deployment("staging")["stable"] == world.deployment("production")["stable"] == 1
    assert world.deployment("production")["candidate"] is None

    workspace = world.workspace()
    tip, graph = workspace.desired()
    record = covering_promotion(graph, Seat(MODEL, "production"), 1)
    assert record is not None
    assert [approval.login for approval in record.spec.approvals] == ["grace"]
    assert record.spec.path == "pull-request"
    evidence = promotion_evidence(workspace, tip, MODEL, record.name)
    said = check_promotion(record, evidence, trusted(workspace, tip))
    assert [one.predicate["outcome"] for one in said if one.predicate_type == ROLLOUT_OUTCOME] == ["succeeded"]
    # The change that people approved is one line.
    diff = git(world.remote, "diff", "--numstat", f"{record.spec.pull_request.merge}^1", record.spec.commit)  # type: ignore[union-attr]
    assert diff == f"1\t0\tmodels/{MODEL}/environments/production.yaml"


def test_a_world_at_rest_stays_at_rest(live: Live) -> None:
    """A second reconciliation does nothing, plans are empty, and main does not move."""
    world = live("promoted")
    world.reconcile()
    before = world.tip(), world.pid(), world.routes()
    found = world.reconcile()
    assert found["done"] == []
    assert found["plan"]["entries"] == []
    assert world.run("plan", "production", "--exit-code").code == 0
    assert (world.tip(), world.pid(), world.routes()) == before


def test_equal_facts_give_equal_plans(live: Live) -> None:
    """Two checkouts of one commit plan the same bytes; a later clock changes nothing."""
    world = live("promoted")
    world.ok("release", "--yes")
    one = loop.plan_now(world.workspace(), "production").plan
    world.at("2026-03-02T12:00:00Z")
    other = loop.plan_now(world.workspace(), "production").plan
    assert one.to_dict() == other.to_dict()
    assert one.digest == other.digest
    assert one.actions


def test_status_tells_every_environment(live: Live) -> None:
    """Status says what answers where, and sees a change of git before it is reconciled."""
    world = live("second")
    world.reconcile()
    production = next(row for row in world.ok("status", "-o", "json").json if row["environment"] == "production")
    assert (production["synced"], production["running"]) == (True, True)
    assert production["conditions"][0]["message"] == "release 1 takes the traffic"
    world.promote()
    production = next(row for row in world.ok("status", "-o", "json").json if row["environment"] == "production")
    assert production["synced"] is False
    assert production["conditions"][0]["type"] == "Reconciling"
    assert "record churn release 2" in production["conditions"][0]["message"]


def test_one_pass_fetches_once(live: Live) -> None:
    """A pass over a world at rest asks the remote once, however many models and revisions it looks at."""
    world = live("promoted")
    world.reconcile()
    workspace = world.workspace()
    with counting_git(world.folder) as calls:
        assert loop.reconcile(workspace, "production", LOOP).done == ()
        assert sum(" fetch " in call for call in calls()) == 1


def test_watch_survives_what_fails(live: Live) -> None:
    """A pass that fails is reported with its problem, and the next one goes on."""
    world = live("promoted")
    workspace = world.workspace()
    seen: list[str] = []
    away = world.folder / "away.git"

    def report(found: object) -> None:
        problems = getattr(found, "problems", ())
        seen.append(problems[0].code if problems else "result")
        if len(seen) == 1:
            world.remote.rename(away)
        elif len(seen) == 2:
            away.rename(world.remote)

    loop.watch(workspace, "production", LOOP, 0.01, report, passes=3)
    assert seen == ["result", "remote-unreachable", "result"]
    assert world.release_answering() == 1


def test_history_is_read_in_few_processes(live: Live) -> None:
    """A deployment that changed often is read in as many processes as one that changed once."""
    world = live("promoted")
    path = f"models/{MODEL}/environments/staging.yaml"
    text = world.show(path)
    for number in range(12):
        world.push({path: f"{text}\n# {number}\n"}, f"Note {number}")
    workspace = world.workspace()
    tip, _ = workspace.desired()
    with counting_git(world.folder) as calls:
        moments = deployment_history(workspace.repository, tip, Seat(MODEL, "staging"))
        assert len(calls()) <= 5
    assert len(moments) >= 14
    assert all(one.parent == two.commit for one, two in pairwise(moments[:12]))
