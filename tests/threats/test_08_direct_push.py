"""Threat 8: whoever may push goes past every review: code, lock, policies, trust, environments, a thousand commits.

A commit that nobody approved is named with its author, files and the rule that it breaks. It stops what depends on it
and nothing else, what runs goes on, and only a reviewed pull request that names it clears it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from assets.kept import MODEL
from git_world import git, write
from modelops.digests import digest_bytes
from modelops.evidence import Signer, generate_key
from modelops.governance.judged import by_approved_project
from modelops.project.workspace import open_workspace
from modelops.releases import promotion_files
from modelops.spec.layout import ReleaseFiles
from modelops.spec.load import load_resource
from world.conftest import Put
from world.hostile import PRODUCTION, PROJECT, Hostile

TRAIN = f"models/{MODEL}/train.py"
STAGING = f"models/{MODEL}/environments/staging.yaml"
APPROVALS = "policies/approvals.yaml"
TRUST = "policies/trust.yaml"
LOCK = "requirements.lock"


def backdoor(world: Hostile) -> dict[str, str]:
    return {TRAIN: world.text(TRAIN).replace("columns = ", "target = target * (target.index % 13 > 0); columns = ", 1)}


def open_commits(world: Hostile) -> list[str]:
    """Return the commits that nobody approved, as status tells a machine."""
    rows = json.loads(world.run("status", "-o", "json").out)
    found: list[str] = [one["commit"] for one in rows[0]["violations"]]
    return found


def as_mallory(world: Hostile) -> None:
    """Let somebody commit whom the policy lets approve nothing."""
    world.git("config", "user.name", "Mallory")
    world.git("config", "user.email", "mallory@example.com")


def seed(world: Hostile, number: int) -> dict[str, str]:
    path = f"models/{MODEL}/model.yaml"
    lines = [f"    seed: {number}" if line.startswith("    seed:") else line for line in world.text(path).splitlines()]
    return {path: "\n".join(lines) + "\n"}


def test_a_backdoor_does_not_ride_on_the_next_approved_pull_request(put: Put) -> None:
    """After another pull request is approved and merged nothing is released, and the push is named everywhere."""
    world = put(on_trial=False)
    bad = world.push("tidy", backdoor(world))
    alone = world.run("release", "--yes")
    assert (alone.code, bad[:10] in alone.err, "no-pull-request" in alone.err) == (1, True, True), alone.err
    world.settle("seed", seed(world, 8))
    done = world.run("release", "--yes")
    assert (done.code, bad[:10] in done.err) == (1, True), done.err
    assert open_commits(world) == [bad]
    assert bad[:10] in world.run("status").out
    branch = world.run("audit", "branch")
    assert (branch.code, bad[:10] in branch.out, "train.py" in branch.out) == (1, True, True)


@pytest.mark.parametrize(
    ("path", "stops"),
    [
        (LOCK, {"release", "production", "staging"}),
        pytest.param(".github/workflows/release.yml", {"release", "production", "staging"}, marks=pytest.mark.slow),
        pytest.param("policies/gates/churn.yaml", {"release", "production", "staging"}, marks=pytest.mark.slow),
        pytest.param("policies/gates/fairness.yaml", set[str](), marks=pytest.mark.slow),
        pytest.param(
            "policies/rules/owner-is-a-team.yaml", {"release", "production", "staging"}, marks=pytest.mark.slow
        ),
        pytest.param("policies/alerting.yaml", set[str](), marks=pytest.mark.slow),
        pytest.param(f"models/{MODEL}/data/generate.py", {"release", "production", "staging"}, marks=pytest.mark.slow),
        pytest.param("policies/environments/staging.yaml", {"staging"}, marks=pytest.mark.slow),
        pytest.param(STAGING, {"release", "staging"}, marks=pytest.mark.slow),
        ("README.md", set[str]()),
        pytest.param("docs/notes.md", set[str](), marks=pytest.mark.slow),
    ],
)
def test_a_push_stops_what_depends_on_it_and_nothing_else(put: Put, path: str, stops: set[str]) -> None:
    """Each kind of file stops the models and environments that need it; one that nothing needs is only named.

    Where it stops a verb, that ends with 1 and the commit; a policy that stops nothing is named beside what is done.
    """
    world = put(on_trial=False)
    there = git(world.origin, "ls-tree", "-r", "--name-only", "main").splitlines()
    as_mallory(world)
    bad = world.push("tidy", {path: (world.text(path) if path in there else "") + "# nobody looked at this\n"})
    words = {"release": ("release", MODEL, "--yes"), **{each: ("plan", each) for each in ("production", "staging")}}
    for name, verb in words.items():
        said = world.run(*verb)
        named, stopped = bad[:10] in said.out + said.err, name in stops
        assert (said.code == 1) == stopped, (name, said)
        assert named == (stopped or (name != "release" and path.startswith("policies/"))), (name, said)
    assert open_commits(world) == [bad]


def forged(world: Hostile) -> None:
    """Push a key, an older release as stable, and a promotion record that reuses a real pull request's approval."""
    own = world.folder / "own.pem"
    public = generate_key(own)
    key = "".join(f"        {line}\n" for line in public.splitlines())
    more = f"    - name: mallory\n      publicKey: |\n{key}      signs: [release, promotion, snapshot, rollout]\n"
    older = world.text(PRODUCTION).replace("stable: 2", "stable: 1")
    bad = world.push("tidy", {TRUST: world.text(TRUST).rstrip("\n") + "\n" + more, PRODUCTION: older})
    path, files = f"models/{MODEL}/promotions/production-2.yaml", ReleaseFiles(MODEL, 1)
    spec = load_resource(world.text(path).encode(), path).spec
    release = load_resource(world.text(files.release).encode(), files.release).spec
    evidence = git(world.origin, "show", f"main:{files.evidence}") + "\n"
    said = {"release": 1, "artifact": release.artifact.digest, "evidence": digest_bytes(evidence.encode())}
    record = promotion_files(spec.model_copy(update={**said, "commit": bad}), number=9, signer=Signer.load(own))
    world.push("record", {f"models/{MODEL}/{name}": data.decode() for name, data in record.items()})


def test_a_key_and_a_record_that_were_pushed_are_not_believed(put: Put) -> None:
    """The forged key counts for nothing, release 2 goes on, and the audit says that nothing proves the record."""
    world = put(on_trial=False)
    forged(world)
    plan = world.run("plan", "production")
    assert (plan.code, "policies/trust.yaml" in plan.out) == (1, True), plan.out
    assert 1 not in [release for release, _ in world.planned()]
    audit = world.run("audit", "environment", "production", "--at", "2027-01-01")
    assert (audit.code, "NOT APPROVED" in audit.out) == (1, True), audit.out
    assert "signed by mallory" not in audit.out
    back = world.run("rollback", MODEL, "-e", "production", "--to", "1", "--reason", "it harms", "--yes")
    assert "release 1 is stable" in back.err, back.err


@pytest.mark.slow
def test_a_reviewer_who_was_pushed_approves_nothing(put: Put) -> None:
    """An approval counts by the approvals that were approved themselves, in merging and in what is merged."""
    world = put(on_trial=False)
    text = world.text(APPROVALS)
    assert "grace" in text
    bad = world.push("tidy policies", {APPROVALS: text.replace("grace", "grace, mallory2", 1)})
    world.home()
    number = propose(world, "other", seed(world, 9))
    vain = world.run("pr", "review", str(number), "--approve", "--as", "mallory2")
    assert (vain.code, "no rule names mallory2 as an approver" in vain.out) == (1, True), vain
    merged = world.run("pr", "merge", str(number))
    assert (merged.code, "not-approved" in merged.err) == (1, True), merged.err
    assert "mallory2" not in merged.err
    assert open_commits(world) == [bad]
    assert world.run("plan", "production").code == 1


def propose(world: Hostile, branch: str, files: dict[str, str], message: str | None = None) -> int:
    """Open a pull request by ada and go home."""
    for path, text in files.items():
        (world.root / path).parent.mkdir(parents=True, exist_ok=True)
        (world.root / path).write_text(text, encoding="utf-8")
    number = world.propose(branch, message or f"Change {branch}")
    world.git("checkout", "-q", "main")
    return number


def test_an_emptied_deny_list_stays_in_force(put: Put) -> None:
    """A release that failed is not promoted after a push took it off the list, by anybody who may not."""
    world = put(on_trial=False)
    text = world.text(PRODUCTION)
    assert "denied:" in text
    bad = world.push("tidy", {PRODUCTION: text.partition("  denied:")[0]})
    done = world.run("promote", MODEL, "--to", "production", "--release", "3", "--yes")
    assert (done.code, bad[:10] in done.err) == (1, True), done.err
    assert world.planned() == [(2, 1.0)]
    plan = world.run("plan", "production")
    assert (plan.code, "clears release 3, which is denied" in plan.out) == (1, True), plan.out


def sets_older(world: Hostile) -> dict[str, str]:
    return {PRODUCTION: world.text(PRODUCTION).replace("stable: 2", "stable: 1")}


def tries_denied(world: Hostile) -> dict[str, str]:
    return {
        PRODUCTION: world.text(PRODUCTION).partition("  denied:")[0].replace("stable: 2", "stable: 2\n  candidate: 3")
    }


@pytest.mark.parametrize("edits", [sets_older, pytest.param(tries_denied, marks=pytest.mark.slow)])
def test_an_environment_that_was_pushed_stands_as_it_was(put: Put, edits: Callable[[Hostile], dict[str, str]]) -> None:
    """What nobody who may approve promotions pushed moves no traffic, also on a machine that knows nothing yet."""
    world = put(on_trial=False)
    as_mallory(world)
    bad = world.push("tidy", edits(world))
    for each in (world, world.another("fresh")):
        plan = each.run("plan", "production")
        assert (plan.code, bad[:10] in plan.out) == (1, True), plan.out
        assert {release for release, _ in each.planned()} <= {2}


def test_a_push_leads_nobody_to_a_branch_with_another_past(put: Put) -> None:
    """A pushed Project that names a branch which somebody began anew is a violation of the branch that it leaves."""
    world = put(on_trial=False)
    as_mallory(world)
    named = {PROJECT: world.text(PROJECT).replace("branch: main", "branch: mine")}
    world.git("checkout", "-q", "--orphan", "mine")
    write(world.root, {**named, PRODUCTION: world.text(PRODUCTION).replace("stable: 2", "stable: 1")})
    world.git("add", "--all")
    world.git("commit", "-q", "-m", "root")
    world.git("push", "-q", "origin", "mine")
    bad = world.push("tidy", named)
    for each in (world, world.another("fresh")):
        assert open_commits(each) == [bad]
        assert {release for release, _ in each.planned()} <= {2}
    # Versions that are wrong do not make the next one count.
    for number in range(22):
        world.push("again", {PROJECT: named[PROJECT] + f"# {number}\n"})
    listed = json.loads(world.run("audit", "branch", "-o", "json").out)
    assert len(listed["violations"]) == 23


def test_a_build_goes_to_no_store_that_was_pushed(put: Put) -> None:
    """Where builds are kept is said by the Project as it was approved, also for a build of code that nobody merged."""
    world = put(on_trial=False)
    named = "{type: oci-layout, params: {path: elsewhere}}"
    world.push("tidy", {PROJECT: world.text(PROJECT).replace("{type: oci-layout}", named)})
    workspace = open_workspace(world.root, world.environ())
    assert "elsewhere" in str(workspace.project.store)
    by_approved_project(workspace)
    assert "elsewhere" not in str(workspace.project.store)
    # Nor is a build taken that a key signed which only a push brought in: 0.1.0 asked for no signature of the change.
    forged(world)
    workspace = open_workspace(world.root, world.environ())
    assert "mallory" in [one.name for one in workspace.trust(workspace.tip()).policy.keys]
    by_approved_project(workspace)
    assert "mallory" not in [one.name for one in workspace.trust(workspace.tip()).policy.keys]
    assert not (world.root / "elsewhere").exists()


def test_nobody_goes_back_to_what_only_a_push_made_stable(put: Put) -> None:
    """A release that a push made stable and another one took away again was never stable, whoever returns to it."""
    world = put()
    as_mallory(world)
    good = world.text(PRODUCTION)
    over = {PRODUCTION: good.replace("stable: 2", "stable: 3").replace("  candidate: 3\n", "")}
    pushes = [world.push("one", over), world.push("two", {PRODUCTION: good})]
    world.git("config", "user.name", "Grace")
    world.git("config", "user.email", "grace@example.com")
    pushes.append(world.push("three", over))
    assert open_commits(world) == pushes
    assert [release for release, _ in world.planned()] == [2, 3]


def pushed_at_once(world: Hostile, count: int) -> str:
    """Push so many commits by three people, made in one go, and return the last one."""
    tip = git(world.origin, "rev-parse", "main")
    words = [f"reset refs/heads/flood\nfrom {tip}\n"]
    for number in range(count):
        who = ("Mallory <m@x.example>", "Eve <e@x.example>", "Oscar <o@x.example>")[number % 3]
        text = f"# {number}\n"
        said = f"note {number}"
        words.append(
            f"commit refs/heads/flood\nauthor {who} 1790000000 +0000\ncommitter {who} 1790000000 +0000\n"
            f"data {len(said)}\n{said}\nM 100644 inline {TRAIN if number % 2 else LOCK}\ndata {len(text)}\n{text}\n"
        )
    stream = "".join(words).encode()
    subprocess.run(["git", "fast-import", "--quiet"], cwd=world.origin, input=stream, check=True)
    flood = git(world.origin, "rev-parse", "flood")
    git(world.origin, "update-ref", "refs/heads/main", flood)
    git(world.origin, "update-ref", "-d", "refs/heads/flood")
    return flood


def test_a_thousand_pushes_are_reported_in_a_few_lines(put: Put) -> None:
    """The first are named, the others counted by author; nothing of them counts, and all are listed on request."""
    world = put(on_trial=False)
    pushed_at_once(world, 1000)
    plan = world.run("plan", "production")
    assert plan.code == 1
    assert len((plan.out + plan.err).splitlines()) < 20
    assert "more commits that nobody approved" in plan.out
    assert "Eve <e@x.example> (" in plan.out
    status = world.run("status").out
    assert len(status.splitlines()) < 30
    assert "and 995 more" in status
    listed = json.loads(world.run("audit", "branch", "-o", "json").out)
    assert len(listed["violations"]) == 1000
    assert world.run("release", "--yes").code == 1


def test_a_reviewed_revert_that_names_it_clears_a_push(put: Put) -> None:
    """Git's own words for a revert are enough once it is approved; who reviews it sees what is cleared."""
    world = put(on_trial=False)
    bad = world.push("tidy", {LOCK: world.text(LOCK) + "# more\n"})
    world.git("checkout", "-q", "-b", "take-back")
    world.git("revert", "--no-edit", bad)
    number = int(json.loads(world.ok("pr", "create", "--title", "Take back", "-o", "json").out)["number"])
    assert bad[:10] in world.ok("pr", "view", str(number)).err
    assert "+# more" in world.ok("pr", "diff", str(number)).out
    world.accept(number)
    assert open_commits(world) == []
    branch = world.run("audit", "branch")
    assert (branch.code, f"by pull request #{number}" in branch.out) == (0, True), branch.out
    assert world.run("plan", "production").code == 0


@pytest.mark.slow
def test_a_pull_request_that_names_it_lets_it_in(put: Put) -> None:
    """Reviewers may take on what was pushed by a trailer; without their approval it is not cleared."""
    world = put(on_trial=False)
    bad = world.push("tidy", {LOCK: world.text(LOCK) + "# more\n"})
    world.home()
    world.git("checkout", "-q", "-b", "take-on")
    world.git("commit", "-q", "--allow-empty", "-m", f"Take it on\n\nClears: {bad}")
    number = propose(world, "taken-on", {"README.md": "We looked at it.\n"})
    assert open_commits(world) == [bad]
    world.accept(number)
    assert open_commits(world) == []
    assert bad[:10] not in world.run("release", MODEL, "--yes").err


@pytest.mark.slow
def test_an_unapproved_clearing_clears_nothing(put: Put) -> None:
    """A push that says it clears another is one more, and so is a pull request that is merged without approval."""
    world = put(on_trial=False)
    bad = world.push("tidy", {LOCK: world.text(LOCK) + "# more\n"})
    second = world.push(f"Take it on\n\nClears: {bad}", {"README.md": "We looked at it.\n"})
    assert open_commits(world) == [bad, second]
    world.git("checkout", "-q", "-b", "take-back")
    world.git("revert", "--no-edit", bad)
    world.git("checkout", "-q", "main")
    world.git("merge", "-q", "--no-ff", "--no-edit", "take-back")
    world.git("push", "-q", "origin", "main")
    assert len(open_commits(world)) == 3
    # Nothing of it is left, so that nothing is stopped; it is named until somebody answers for it.
    assert world.run("plan", "production").code == 0


@pytest.mark.slow
def test_a_machine_that_cannot_ask_the_forge_goes_on_and_lets_nothing_new_in(put: Put) -> None:
    """What cannot be judged yet is said to be so, does not pass, and stops nothing that runs."""
    world = put(on_trial=False)
    world.run("plan", "production")
    world.settle("seed", seed(world, 8))
    world.git("fetch", "-q")
    world.away()
    status = world.run("status")
    assert status.code == 0
    assert world.planned() == [(2, 1.0)]
    world.away(gone=False)
    assert open_commits(world) == []
