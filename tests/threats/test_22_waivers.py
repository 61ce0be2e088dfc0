"""Waiver abuse: an exception counts only as it was approved, for what it names, while it lasts, and hides nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from git_world import git
from reconcile.conftest import configuration, stages  # noqa: F401
from reconcile.loop_world import MODEL, World

PATH = "policies/waivers/pilot.yaml"
GATES = "policies/gates/easy.yaml"
APPROVALS = "policies/approvals.yaml"
STRICT = ("minimum: 0.6", "minimum: 0.999")
Strict = Callable[[], World]


def waiver(**keys: str | None) -> str:
    """Return a waiver of the gate easy/ranks for the model, some of its keys replaced, or left out where None."""
    spec: dict[str, str | None] = {"gate": "{policy: easy, gate: ranks}", "models": f"[{MODEL}]"}
    spec |= {"reason": "The pilot has 400 customers.", "expires": "2026-03-31"} | keys
    lines = "".join(f"  {key}: {value}\n" for key, value in spec.items() if value is not None)
    return f"apiVersion: modelops/v1\nkind: Waiver\nmetadata:\n  name: pilot\nspec:\n{lines}"


@pytest.fixture(scope="module")
def made(stages: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> World:  # noqa: F811
    """Return a world in which the only gate of the model's policy fails what is merged and built."""
    world = stages("merged").copy(tmp_path_factory.mktemp("strict"))
    world.merge(world.propose({GATES: world.show(GATES).replace(*STRICT) + "\n"}, "strict", "Ask for more").number)
    world.change_model([("C: 1.0", "C: 0.5")], "softer")
    git(world.root, "pull", "-q", "--ff-only")
    assert world.run("build", MODEL).code == 1
    return world


@pytest.fixture
def strict(made: World, tmp_path) -> Iterator[Strict]:
    """Return copies of that world; their servers end with the test."""
    worlds: list[World] = []

    def take() -> World:
        worlds.append(made.copy(tmp_path / f"world-{len(worlds)}"))
        return worlds[-1]

    yield take
    for world in worlds:
        world.stop()


def grant(world: World, text: str, *, approve: bool = True, name: str = "waive") -> None:
    """Merge a pull request by ada that brings the waiver; grace approves it, unless nobody does."""
    world.merge(world.propose({PATH: text}, name, "Except the pilot").number, approve=approve)


def refused(world: World) -> str:
    """Return why the model is not released; nothing may have changed on main."""
    before = world.tip()
    done = world.run("release", "--yes")
    assert done.code == 1, done.out + done.err
    assert "gates-not-passed" in done.err
    assert world.tip() == before
    return done.err


def test_an_approved_waiver_lets_a_failed_gate_through_and_every_view_says_so(strict: Strict):
    """What the gate found stays a fail in the signed evidence, with who excepted it, why and until when."""
    world = strict()
    grant(world, waiver())
    git(world.root, "pull", "-q", "--ff-only")
    said = f"pilot: easy/ranks of {MODEL}: in force until 2026-03-31 (30 days left), granted by grace in pull request"
    built = world.ok("build", MODEL).out
    assert built.startswith(f"{MODEL}: passed by waiver\n")
    assert "fail         easy/ranks" in built
    assert "waived until 2026-03-31 by pilot, granted by grace: The pilot has 400 customers." in built
    assert said in world.ok("plan").out
    assert "by waiver: pilot until 2026-03-31" in world.ok("release", "--yes").out
    world.reconcile("staging")
    for words in (["status"], ["status", MODEL], ["plan", "staging"]):
        assert said in world.ok(*words).out, words
    audited = world.ok("audit", "release", MODEL, "1").out
    assert "fail (waived)" in audited
    there = world.ok("audit", "environment", "staging", "--at", "2026-03-02").out
    for text in (audited, there):
        assert "waived: easy/ranks until 2026-03-31 by pilot" in text
        assert "granted by grace, because The pilot has 400 customers." in text
    card = world.show(f"models/{MODEL}/releases/1/MODEL_CARD.md")
    assert "❌ fail, ⚠️ waived until 2026-03-31 by `pilot`" in card
    (verdict,) = world.ok("audit", "release", MODEL, "1", "-o", "json").json["verdicts"]
    assert (verdict["verdict"], verdict["blocking"]) == ("fail", True)
    commit = git(world.remote, "log", "-1", "--first-parent", "--format=%H", "main", "--", PATH)
    assert (verdict["waiver"]["commit"], verdict["waiver"]["grantedBy"]) == (commit, ["grace"])
    record = world.show(f"models/{MODEL}/promotions/staging-1.yaml")
    assert "waivers:" in record
    assert "name: pilot" in record


def test_a_waiver_taken_out_of_the_release_or_put_in_is_noticed(strict: Strict):
    """The exception is part of what is signed: nobody can hide it later, nor claim one that was not granted."""
    world = strict()
    grant(world, waiver())
    world.ok("release", "--yes")
    path = f"models/{MODEL}/releases/1/release.yaml"
    text = world.show(path) + "\n"
    world.push({path: text.replace("The pilot has 400 customers.", "Nothing to see.")}, "Hide why")
    audited = world.run("audit", "release", MODEL, "1")
    assert audited.code == 1
    assert "REFUSED: NOT PROVEN" in audited.out


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"expires": "2026-02-28"}, "it expired on 2026-02-28"),
        ({"begins": "2026-03-02"}, "it begins on 2026-03-02"),
        ({"releases": "[2]"}, ""),
    ],
    ids=["expired", "not begun", "other release"],
)
def test_a_waiver_that_is_not_for_this_release_now_does_nothing(strict: Strict, keys, said: str):
    world = strict()
    grant(world, waiver(**keys))
    assert said in refused(world)


def test_a_waiver_that_nobody_approved_does_nothing_and_says_so(strict: Strict):
    """A direct push, and a merge without approvals, grant nothing; editing an approved one takes the grant away."""
    world = strict()
    world.push({PATH: waiver()}, "Push a waiver")
    assert "does not count: it came without a pull request" in refused(world)
    told = world.ok("status").out
    assert PATH in told
    assert "came without a pull request" in told

    world = strict()
    grant(world, waiver(), approve=False)
    assert "does not count: pull request" in refused(world)

    world = strict()
    grant(world, waiver(expires="2026-02-28"))
    world.push({PATH: waiver()}, "Extend it by hand")
    assert "came without a pull request" in refused(world)
    grant(world, waiver(reason="An honest edit."), name="edit")
    assert "came without a pull request" in refused(world), "the next approved edit must not launder the push"


def test_a_proposed_waiver_does_not_grant_itself(strict: Strict):
    """What a pull request brings counts once it is merged, not while it is judged."""
    world = strict()
    world.propose({PATH: waiver()}, "waive", "Except the pilot")
    git(world.root, "fetch", "-q")
    git(world.root, "checkout", "-q", "-B", "waive", "origin/waive")
    done = world.run("build", MODEL)
    assert done.code == 1
    assert "the waiver pilot of easy/ranks does not count: it is only proposed: main does not have it yet" in done.out


def test_who_may_grant_waivers_is_a_rule_of_its_own(strict: Strict):
    """Without such a rule those grant them who approve policies; with one, these alone."""
    world = strict()
    rule = "    - {change: waiver, approvers: [barbara], minimum: 1}\n"
    text = world.show(APPROVALS) + "\n" + rule
    world.merge(world.propose({APPROVALS: text}, "rule", "Say who grants waivers").number)
    pull = world.propose({PATH: waiver()}, "waive", "Except the pilot")
    seen = world.workspace().forge_as("grace")
    seen.review(pull.number, "approved", head=pull.head)
    told = world.ok("pr", "view", str(pull.number)).out
    assert "waiver: 0 of 1 approval by barbara; ask barbara" in told
    world.workspace().forge_as("barbara").review(pull.number, "approved", head=pull.head)
    world.merge(pull.number, approve=False)
    assert "by waiver: pilot" in world.ok("release", "--yes").out


def test_what_was_released_by_a_waiver_stays_and_goes_no_further_when_it_expires(strict: Strict):
    """The stable release goes on answering; a new promotion is refused until somebody grants an exception again."""
    world = strict()
    grant(world, waiver())
    world.ok("release", "--yes")
    world.reconcile("staging")
    world.at("2026-04-01T00:00:00Z")
    world.reconcile("staging")
    assert world.release_answering("staging") == 1
    assert "stable: 1" in world.show(f"models/{MODEL}/environments/staging.yaml")
    refusal = world.run("promote", MODEL, "--to", "production", "--yes")
    assert refusal.code == 1
    assert "waiver-lapsed" in refusal.err
    assert "it expired on 2026-03-31" in refusal.err
    # Whoever merges the one line by hand gets it no further.
    path = f"models/{MODEL}/environments/production.yaml"
    text = world.show(path).replace("stable: null", "stable: null\n  candidate: 1") + "\n"
    world.merge(world.propose({path: text}, "by-hand", "Try release 1").number)
    found = world.reconcile(code=1)
    assert [one["reason"] for one in found["conditions"]] == ["waiver-lapsed"]
    grant(world, waiver(expires="2026-04-30"), name="again")
    world.reconcile()
    assert world.release_answering() == 1
    record = world.show(f"models/{MODEL}/promotions/production-1.yaml")
    assert 'expires: "2026-04-30"' in record or "expires: 2026-04-30" in record


def test_a_waiver_for_one_environment_opens_no_other(strict: Strict):
    world = strict()
    grant(world, waiver(environments="[production]"))
    world.ok("release", "--yes")
    assert "candidate" not in world.show(f"models/{MODEL}/environments/staging.yaml")
    refusal = world.run("promote", MODEL, "--to", "staging", "--yes")
    assert refusal.code == 1
    assert "the waiver 'pilot' is for production" in refusal.err


@pytest.mark.parametrize(
    ("keys", "code", "where"),
    [
        ({"gate": "{policy: easy, gate: rank}"}, "unknown-gate", ":6:"),
        ({"gate": "{policy: hard, gate: ranks}"}, "unknown-gate", ":6:"),
        ({"gate": None, "rule": "no-such-rule"}, "unknown-rule", ":"),
        ({"gate": None}, "bad-value", ""),
        ({"rule": "owner"}, "bad-value", ""),
        ({"models": "[chum]"}, "unknown-scope", ":7:"),
        ({"models": "[]"}, "", ":7:"),
        ({"environments": "[moon]"}, "unknown-scope", ""),
        ({"reason": '"  "'}, "", ":8:"),
        ({"reason": None}, "missing-key", ""),
        ({"expires": None}, "missing-key", ""),
        ({"expires": "2026-02-30"}, "", ":9:"),
        ({"expires": "31.03.2026"}, "", ":9:"),
        ({"begins": "2026-04-01"}, "", ""),
        ({"approvals": "[ada]"}, "unknown-key", ""),
    ],
)
def test_a_waiver_that_says_no_exception_is_an_error_with_its_line(made: World, keys, code: str, where: str):
    path = made.root / PATH
    path.parent.mkdir(exist_ok=True)
    path.write_text(waiver(**keys))
    try:
        done = made.run("validate")
        assert done.code == 3, done.out
        assert f"{PATH}{where}" in done.err
        assert code in done.err
        found = json.loads(made.run("validate", "-o", "json").out)["problems"]
        assert all(one["path"] == PATH and one["line"] for one in found)
    finally:
        path.unlink()


def test_a_waiver_that_is_over_is_warned_of_with_its_line(made: World):
    """Whoever proposes one that has ended already, or forgot one, is told where; it stops nothing."""
    path = made.root / PATH
    path.parent.mkdir(exist_ok=True)
    try:
        for end, told in (("2020-01-31", True), ("2999-12-31", False)):
            path.write_text(waiver(expires=end))
            done = made.run("validate")
            assert (done.code, "[waiver-expired]" in done.err, f"{PATH}:9:" in done.err) == (0, told, told), done.err
    finally:
        path.unlink()


def test_approvals_trust_and_evidence_cannot_be_waived(made: World):
    """A rule about who may approve has no exceptions: it names a kind of which nothing is waived."""
    rule = made.root / "policies/rules/two-people.yaml"
    rule.parent.mkdir(exist_ok=True)
    path = made.root / PATH
    path.parent.mkdir(exist_ok=True)
    try:
        for kind in ("ApprovalPolicy", "TrustPolicy", "Release", "Promotion", "Waiver", "Rule"):
            rule.write_text(
                "apiVersion: modelops/v1\nkind: Rule\nmetadata:\n  name: two-people\nspec:\n"
                f"  match: {{kind: {kind}}}\n  expression: size(resource.metadata.name) > 0\n  message: Named.\n"
            )
            path.write_text(waiver(gate=None, rule="two-people"))
            done = made.run("validate")
            assert done.code == 3
            assert "not-waivable" in done.err
    finally:
        rule.unlink()
        path.unlink()


def test_a_waiver_may_be_for_a_model_that_is_not_looked_at(made: World, tmp_path):
    """What changed since a revision, or lies below a path, is checked without the models that are named elsewhere."""
    world = made.copy(tmp_path / "world")
    world.propose_beside()
    grant(world, waiver(models=f"[{MODEL}, beside]"))
    git(world.root, "pull", "-q", "--ff-only")
    code = world.root / f"models/{MODEL}/train.py"
    code.write_text(code.read_text() + "# more\n")
    for words in (["validate", "--since", "HEAD"], ["validate", f"models/{MODEL}"], ["validate"]):
        world.ok(*words)
    for path in sorted((world.root / "models/beside").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    done = world.run("validate", "--since", "HEAD")
    assert done.code == 3
    assert "there is no model 'beside'" in done.err


RULE = """apiVersion: modelops/v1
kind: Rule
metadata:
  name: owner
spec:
  match: {kind: Model}
  expression: resource.spec.owner != "growth"
  message: The team is dissolved.
"""


def test_a_waived_rule_lets_its_model_go_on_until_it_expires(strict: Strict):
    """Without the grant the model is stalled; with it it is released, which says so; afterwards it is stalled again."""
    world = strict()
    loose = world.show(GATES).replace(STRICT[1], STRICT[0]) + "\n"
    world.merge(world.propose({"policies/rules/owner.yaml": RULE, GATES: loose}, "rule", "Ask who owns it").number)
    world.change_model([("C: 0.5", "C: 0.7")], "again")
    text = waiver(gate=None, rule="owner")
    world.push({PATH: text}, "Push a waiver")
    stalled = world.run("release", "--yes")
    assert stalled.code == 3
    assert "The team is dissolved." in stalled.err
    world.merge(world.propose({PATH: None}, "remove", "Take the push back").number)
    grant(world, text)
    git(world.root, "pull", "-q", "--ff-only")
    checked = world.ok("validate")
    assert "The team is dissolved.: waived until 2026-03-31 by pilot, once that is granted" in checked.err
    assert "by waiver: pilot until 2026-03-31" in world.ok("release", "--yes").out
    told = world.ok("audit", "release", MODEL, "1").out
    assert "waived: the rule owner until 2026-03-31 by pilot" in told
    assert "evidence verified" in told
    assert "the rule owner" in world.show(f"models/{MODEL}/releases/1/MODEL_CARD.md")
    world.reconcile("staging")
    world.at("2026-04-01T00:00:00Z")
    found = world.reconcile("staging", code=3)
    assert [one["reason"] for one in found["conditions"]] == ["rule-failed"]
    assert world.release_answering("staging") == 1
    assert world.run("promote", MODEL, "--to", "production", "--yes").code == 3
    assert world.run("validate").code == 3
