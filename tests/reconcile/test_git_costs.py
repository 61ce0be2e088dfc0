"""What a pass costs in git processes, and that history is read to the same end as file by file."""

from __future__ import annotations

from collections.abc import Callable
from cProfile import Profile
from itertools import pairwise

import pytest

from git_world import counting_git
from modelops.evidence.keys import signature_holds
from modelops.governance.history import Moment, arms_of, deployment_history, ever_stable, introduced, times_named
from modelops.reconcile import loop
from modelops.repository import Landing
from modelops.spec.layout import MONITOR, Seat
from modelops.spec.load import load_resource
from modelops.views.pull_requests import LOOP
from reconcile.loop_world import ADA, MODEL, World
from reconcile.many_models import many_models

Live = Callable[[str], World]

GARBAGE = (b"\xff\xfe", b"spec: {stable: x}\n", b"apiVersion: modelops/v9\nspec: [1]\n", b"", b"x" * (2 << 20))


def costs(world: World, name: str) -> dict[str, int]:
    """Return how many git processes each verb that looks takes, when nothing is left to do."""
    found: dict[str, int] = {}
    with counting_git(world.folder / name) as calls:
        for words in ("plan production", "plan staging", "plan", "status", "reconcile production --yes"):
            before = len(calls())
            done = world.ok(*words.split())
            found[words] = len(calls()) - before
            assert "nothing to do" in done.out + done.err or words == "status", done
    return found


@pytest.mark.slow
def test_nothing_to_do_costs_the_same_for_any_number_of_models(live: Live) -> None:
    """Looking at twelve models starts as many git processes as looking at three, and those are few."""
    counted = []
    for count in (3, 12):
        world = live("merged")
        assert len(many_models(world, count)) == count
        for name in ("staging", "production"):
            world.reconcile(name)
        (world.folder / "count").mkdir()
        counted.append(costs(world, "count"))
        assert "in sync" in world.ok("status").out
    few, many = counted
    assert few == many
    assert max(many.values()) <= 10, many


def test_a_pass_at_an_unchanged_tip_starts_git_once(live: Live) -> None:
    """A loop that watches asks the remote, and reads nothing again that cannot have changed."""
    world = live("promoted")
    world.reconcile()
    workspace = world.workspace()
    seen: list[int] = []
    with counting_git(world.folder) as calls:
        loop.watch(workspace, "production", LOOP, 0, lambda _: seen.append(len(calls())), passes=4)
        assert [after - before for before, after in pairwise(seen[1:])] == [1, 1]
        assert " fetch " in calls()[-1]


def read_by(world: World, folder: str, call: Callable[[], object]) -> dict[str, int]:
    """Return how many specs were parsed, signatures verified and git processes started while something ran."""
    (world.folder / folder).mkdir()
    with counting_git(world.folder / folder) as calls:
        profile = Profile()
        profile.runcall(call)
        counted = {entry.code: entry.callcount for entry in profile.getstats()}  # type: ignore[attr-defined]
        costly = {"specs": load_resource, "signatures": signature_holds}
        return {name: counted.get(one.__code__, 0) for name, one in costly.items()} | {"git": len(calls())}


def test_a_pass_at_an_unchanged_tip_reads_and_verifies_nothing(live: Live) -> None:
    """What only git decides is found once for a tip; when the tip moves, only what moved is parsed again."""
    world = live("merged")
    names = many_models(world, 4)
    world.reconcile("staging")
    workspace = world.workspace()
    first = read_by(world, "first", lambda: loop.reconcile(workspace, "staging", LOOP))
    again = read_by(world, "again", lambda: loop.reconcile(workspace, "staging", LOOP))
    assert first["specs"] >= 4 * len(names)
    assert first["signatures"] >= 3 * len(names)
    assert again == {"specs": 0, "signatures": 0, "git": 1}
    path = MONITOR.path(names[-1])
    land(world, path, (world.show(path) + "\n# for long\n").encode())
    moved = read_by(world, "moved", lambda: loop.reconcile(workspace, "staging", LOOP))
    assert moved["signatures"] <= first["signatures"] / 2
    assert moved["specs"] < first["specs"] + len(names)


@pytest.mark.slow
def test_two_environments_verify_a_release_once(live: Live) -> None:
    """The evidence of a release is the same wherever it runs; that of its promotions is not."""
    world = live("merged")
    names = many_models(world, 3)
    workspace = world.workspace()
    one = read_by(world, "one", lambda: loop.plan_now(workspace, "staging"))
    two = read_by(world, "two", lambda: loop.plan_now(workspace, "production"))
    assert two["signatures"] == len(names) < one["signatures"]


def slowly(world: World, seat: Seat) -> tuple[Moment, ...]:
    """Return the moments of a valid deployment as one log and the strict reader tell them."""
    workspace = world.workspace()
    repository, tip = workspace.repository, workspace.desired()[0]
    moments = []
    for commit in repository.log(seat.deployment, tip, first_parent=True):
        if seat.deployment in repository.paths(commit.id):
            spec = load_resource(repository.read(commit.id, seat.deployment), seat.deployment).spec
            parent = commit.parents[0] if commit.parents else None
            moments.append(Moment(commit.id, parent, commit.time, commit.subject, arms_of(spec)))
    return tuple(moments)


def moments_of(world: World, seat: Seat) -> tuple[Moment, ...]:
    workspace = world.workspace()
    return deployment_history(workspace.repository, workspace.desired()[0], seat)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_history_is_what_one_log_per_file_says(live: Live, environment: str) -> None:
    """Of a real history every moment, and so every rollout's salt, is the one that git and the schema give."""
    world, seat = live("second"), Seat(MODEL, environment)
    moments = moments_of(world, seat)
    assert moments == slowly(world, seat)
    assert len(moments) >= 3


def land(world: World, path: str, data: bytes | None) -> None:
    """Let somebody push a file straight to main, whatever is in it."""
    workspace = world.workspace()
    workspace.repository.land("main", lambda tip: Landing({path: data}, "Break or mend\n"), ADA, workspace.clock())


def test_no_bytes_of_the_past_block_the_present(live: Live) -> None:
    """Files that were garbage once, or gone, and are right again, change nothing about what runs and why."""
    world = live("promoted")
    world.reconcile()
    seats = [Seat(MODEL, "production"), Seat(MODEL, "staging")]
    good = {seat.deployment: (world.show(seat.deployment) + "\n").encode() for seat in seats}
    before = {seat: moments_of(world, seat) for seat in seats}
    for garbage in (*GARBAGE, None):
        for path in good:
            land(world, path, garbage)
    for path, data in good.items():
        land(world, path, data)
    for seat in seats:
        after = moments_of(world, seat)
        assert introduced(after, "stable") == introduced(before[seat], "stable")
        assert ever_stable(after) == ever_stable(before[seat])
        assert times_named(after) == times_named(before[seat])
        assert [moment.legible for moment in after[: len(GARBAGE) + 2]] == [True, *[False] * len(GARBAGE), True]
    for words in (["plan", "production"], ["status"], ["reconcile", "production", "--yes"]):
        world.ok(*words)
    assert world.ok("plan", "production").out.endswith("nothing to do, the world matches git\n")
