"""The trust policy along a branch: who may change it, and what counts for evidence that came in where."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelops.digests import digest_bytes
from modelops.errors import Exit, Location, ModelOpsError
from modelops.evidence import APPROVAL, Signer, generate_key, sign, statement, verify_lines
from modelops.evidence.statements import TRUST_CHANGE
from modelops.project.signing import require_time
from modelops.project.trust import TrustChain, change_at, endorsement, read_trust
from modelops.repository import Person, Repository
from modelops.spec.kinds.trust_policy import Purpose, Revocation, TrustedKey, TrustPolicySpec, WrongDate
from modelops.spec.layout import PROMOTION_EVIDENCE, TRUST, TRUST_SIGNATURES
from modelops.spec.yaml.dump import dump

ADA = Person("Ada", "ada@example.com")
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
EVERYTHING: tuple[Purpose, ...] = ("release", "promotion", "snapshot", "rollout", "trust")


@cache
def signer(name: str) -> Signer:
    folder = Path(mkdtemp())
    generate_key(folder / f"{name}.pem")
    return Signer.load(folder / f"{name}.pem")


def key(name: str, **more: Any) -> TrustedKey:
    fields: dict[str, Any] = {"name": name, "public_key": signer(name).public_pem, "signs": EVERYTHING} | more
    return TrustedKey(**fields)


def policy(*keys: TrustedKey, threshold: int | None = 1, **more: Any) -> bytes:
    spec = TrustPolicySpec(threshold=threshold, keys=keys, **more)
    return dump("TrustPolicy", "trust", spec, path=TRUST.path())


class Branch:
    """A repository whose line is written commit by commit, a day after each other unless said otherwise."""

    def __init__(self, folder: Path) -> None:
        self.repository = Repository.create(folder)
        self.folder = folder
        self.days = 0

    def commit(self, files: Mapping[str, bytes | None], when: datetime | None = None) -> str:
        self.days += 1
        date = when or START + timedelta(days=self.days)
        base = self.repository.find_tip("main")
        commit = self.repository.commit_files(base, files, f"Day {self.days}", ADA, date)
        if commit == base:
            # Every day has its commit, also one on which nothing changes.
            commit = self.repository.commit_files(base, {"day": str(self.days).encode()}, "Day", ADA, date)
        subprocess.run(["git", "update-ref", "refs/heads/main", commit], cwd=self.folder, check=True)
        return commit

    def chain(self, now: datetime = NOW, accepted: Sequence[str] = ()) -> TrustChain:
        found = read_trust(self.repository, self.repository.tip("main"), now, accepted)
        assert found is not None
        return found

    def read(self, path: str) -> bytes:
        tip = self.repository.tip("main")
        return self.repository.read(tip, path) if path in self.repository.paths(tip) else b""

    def change(self, data: bytes, *by: str, when: datetime | None = None) -> str:
        """Change the trust policy with signatures of some keys."""
        chain = self.chain()
        lines = [endorsement(chain, data, signer(name), name, "2026-01-01T00:00:00Z") for name in by]
        signatures = self.read(TRUST_SIGNATURES) + b"".join(lines)
        return self.commit({TRUST.path(): data, **({TRUST_SIGNATURES: signatures} if lines else {})}, when)

    def evidence(self, number: int, by: str, when: datetime | None = None, more: bytes = b"") -> str:
        """Commit a statement that a key signed."""
        path = PROMOTION_EVIDENCE.path("churn", f"production-{number}")
        said = sign(statement(APPROVAL, {"what": "sha256:" + "0" * 64}, {"number": number, "by": by}), signer(by))
        return self.commit({path: self.read(path) + said}, when)

    def code(self, number: int, **more: Any) -> str | None:
        """Return what is wrong with the statements of a number, None where they count."""
        path = PROMOTION_EVIDENCE.path("churn", f"production-{number}")
        try:
            verify_lines(self.read(path), self.chain(**more).keyring, "promotion", path=path)
        except ModelOpsError as error:
            return error.first.code
        return None

    @property
    def in_force(self) -> list[str]:
        return [one.name for one in self.chain().policy.keys]


@pytest.fixture
def branch(tmp_path: Path) -> Branch:
    made = Branch(tmp_path / "repository")
    made.commit({TRUST.path(): policy(key("one"))})
    return made


def test_the_first_version_is_the_root_and_counts_at_once(branch: Branch) -> None:
    """Evidence may come with the root itself; the root is named."""
    branch.evidence(1, "one")
    chain = branch.chain()
    assert [step.how for step in chain.steps] == ["root"]
    assert (branch.code(1), chain.problems) == (None, ())


def test_a_key_that_no_old_key_signed_counts_for_nothing(branch: Branch) -> None:
    """The policy before stays in force, the commit and the file are named, and what the new key signed is refused."""
    pushed = branch.change(policy(key("one"), key("two")))
    branch.evidence(1, "two")
    (problem,) = branch.chain().problems
    assert (problem.code, problem.location) == ("trust-not-signed", Location(TRUST.path()))
    assert pushed[:10] in problem.message
    assert (branch.in_force, branch.code(1)) == (["one"], "signature-untrusted")


def test_a_key_counts_from_the_commit_after_the_one_that_brought_it(branch: Branch) -> None:
    """Evidence of the commit that brings the key, and of any before, is not made good by it."""
    branch.evidence(1, "two")
    data = policy(key("one"), key("two"))
    line = endorsement(branch.chain(), data, signer("one"), "ada", "2026-01-02T00:00:00Z")
    path = PROMOTION_EVIDENCE.path("churn", "production-2")
    said = sign(statement(APPROVAL, {"what": "sha256:" + "0" * 64}, {}), signer("two"))
    branch.commit({TRUST.path(): data, TRUST_SIGNATURES: line, path: said})
    branch.evidence(3, "two")
    assert [branch.code(number) for number in (1, 2, 3)] == ["key-not-in-force", "key-not-in-force", None]
    assert [step.how for step in branch.chain().steps] == ["root", "signed"]


def test_a_rotated_key_leaves_proven_what_it_signed(branch: Branch) -> None:
    """Of a key that is gone the old evidence counts for ever, and nothing that comes in later."""
    branch.evidence(1, "one")
    branch.change(policy(key("two")), "one")
    branch.evidence(2, "two")
    branch.evidence(3, "one")
    assert [branch.code(number) for number in (1, 2, 3)] == [None, None, "key-not-in-force"]
    with pytest.raises(ModelOpsError) as refused:
        branch.chain().keyring.require(signer("one"), "release", NOW)
    assert (refused.value.first.code, refused.value.exit) == ("key-not-in-force", Exit.NO)


def test_statements_of_one_file_are_judged_each_by_its_own_commit(branch: Branch) -> None:
    """A record that an old key began and a new one went on with is whole; a later line of the old key is not."""
    branch.evidence(1, "one")
    branch.change(policy(key("two")), "one")
    branch.evidence(1, "two")
    assert branch.code(1) is None
    branch.evidence(1, "one")
    assert branch.code(1) == "key-not-in-force"


def test_as_many_keys_sign_as_the_version_before_asks_for(tmp_path: Path) -> None:
    """One of two is not enough, the same key twice is one, and the second signature may come by a later commit."""
    branch = Branch(tmp_path / "r")
    branch.commit({TRUST.path(): policy(key("one"), key("two"), threshold=2)})
    wanted = policy(key("two"), key("three"), threshold=2)
    branch.change(wanted, "one", "one")
    assert branch.in_force == ["one", "two"]
    chain = branch.chain()
    assert chain.waiting is not None
    assert (chain.waiting.needed, chain.waiting.signed_by) == (2, ("one",))
    line = endorsement(chain, wanted, signer("two"), "bob", "2026-01-03T00:00:00Z")
    branch.commit({TRUST_SIGNATURES: branch.read(TRUST_SIGNATURES) + line})
    assert branch.in_force == ["two", "three"]
    assert branch.chain().steps[-1].signed_by == ("one", "two")


def test_signatures_cannot_be_played_again(branch: Branch) -> None:
    """An old version with its old signatures does not come back once another is in force."""
    branch.change(policy(key("one"), key("two")), "one")
    old, signatures = branch.read(TRUST.path()), branch.read(TRUST_SIGNATURES)
    branch.change(policy(key("two")), "one")
    branch.change(policy(key("two"), key("three")), "two")
    branch.commit({TRUST.path(): old, TRUST_SIGNATURES: signatures})
    assert branch.in_force == ["two", "three"]
    assert branch.chain().problems[0].code == "trust-not-signed"


@pytest.mark.parametrize("removed", [True, False], ids=["removed", "revoked"])
def test_taking_a_key_out_is_a_change_like_any_other(branch: Branch, removed: bool) -> None:
    """Nobody takes a key's trust away by a push alone either: that would be a way to stop every release."""
    branch.change(policy(key("one"), key("two")), "one")
    gone = Revocation(at="2026-01-02T00:00:00Z", reason="stolen")
    wanted = policy(key("one")) if removed else policy(key("one"), key("two", revoked=gone))
    branch.change(wanted)
    assert branch.in_force == ["one", "two"]
    branch.evidence(1, "two")
    assert branch.code(1) is None
    branch.change(wanted, "one")
    assert branch.code(1) == (None if removed else "key-revoked")


def test_a_removed_policy_or_one_that_is_wrong_changes_nothing(branch: Branch) -> None:
    """Deleting the file, or breaking it, does not begin a new root."""
    data = branch.read(TRUST.path())
    for broken in (None, b"spec: [\n", data.replace(b"threshold: 1", b"threshold: 2")):
        branch.commit({TRUST.path(): broken})
        assert branch.in_force == ["one"]
        (problem,) = branch.chain().problems
        assert "stays in force" in problem.message
    branch.commit({TRUST.path(): policy(key("thief"))})
    assert branch.in_force == ["one"]
    branch.commit({TRUST.path(): data})
    assert branch.chain().problems == ()


def test_a_revoked_key_is_trusted_until_the_commit_that_is_named(branch: Branch) -> None:
    """What came in up to that commit stays proven, what came later does not, and it never signs again."""
    branch.evidence(1, "one")
    good = branch.repository.tip("main")
    branch.evidence(2, "one")
    revoked = key("one", revoked=Revocation(at=good, reason="the laptop was stolen"))
    branch.change(policy(revoked, key("two")), "one")
    branch.evidence(3, "one")
    assert [branch.code(number) for number in (1, 2, 3)] == [None, "key-revoked", "key-revoked"]
    with pytest.raises(ModelOpsError) as refused:
        branch.chain().keyring.require(signer("one"), "release", NOW)
    assert refused.value.first.code == "key-revoked"
    assert "the laptop was stolen" in refused.value.first.message


def test_a_revocation_stays_when_the_key_is_taken_out_or_named_again(branch: Branch) -> None:
    """Whatever later versions say of the key, what it signed after the end does not count."""
    branch.evidence(1, "one")
    end = (START + timedelta(days=branch.days, hours=12)).isoformat()
    branch.evidence(2, "one")
    branch.change(policy(key("one", revoked=Revocation(at=end, reason="leaked")), key("two")), "one")
    branch.change(policy(key("two")), "two")
    assert [branch.code(number) for number in (1, 2)] == [None, "key-revoked"]
    branch.change(policy(key("one"), key("two")), "two")
    assert [branch.code(number) for number in (1, 2)] == [None, "key-revoked"]


def test_a_key_revoked_at_a_commit_that_is_not_there_counts_for_nothing(branch: Branch) -> None:
    """The safe side is taken, and it is said."""
    branch.evidence(1, "one")
    branch.change(policy(key("one", revoked=Revocation(at="a" * 40, reason="gone")), key("two")), "one")
    assert branch.code(1) == "key-revoked"
    assert [problem.code for problem in branch.chain().problems] == ["revoked-nowhere"]


def test_a_key_counts_within_its_window(tmp_path: Path) -> None:
    """What came in before or after is refused, what came within stays proven when the window is over."""
    branch = Branch(tmp_path / "r")
    window = {"valid_from": "2026-01-10T00:00:00Z", "valid_until": "2026-01-20T00:00:00Z"}
    branch.commit({TRUST.path(): policy(key("one", **window), key("two"))})
    for number, day in enumerate((9, 15, 25), start=1):
        branch.evidence(number, "one", datetime(2026, 1, day, tzinfo=UTC))
    assert [branch.code(number) for number in (1, 2, 3)] == ["key-expired", None, "key-expired"]
    with pytest.raises(ModelOpsError) as refused:
        branch.chain().keyring.require(signer("one"), "release", datetime(2026, 1, 21, tzinfo=UTC))
    assert refused.value.first.code == "key-expired"
    branch.chain().keyring.require(signer("one"), "release", datetime(2026, 1, 15, tzinfo=UTC))


def test_a_back_dated_commit_does_not_bring_an_expired_key_back(tmp_path: Path) -> None:
    """The date of a commit counts as the latest of the line up to it, so that a made-up one wins nothing."""
    branch = Branch(tmp_path / "r")
    branch.commit({TRUST.path(): policy(key("one", valid_until="2026-01-20T00:00:00Z"), key("two"))})
    branch.evidence(1, "two", datetime(2026, 2, 1, tzinfo=UTC))
    branch.evidence(2, "one", datetime(2026, 1, 15, tzinfo=UTC))
    assert branch.code(2) == "key-expired"
    (found,) = branch.chain().dates.contradictions
    assert found.others == (branch.repository.tip("main"),)


def test_an_expired_key_signs_no_change_of_the_policy(tmp_path: Path) -> None:
    """Whoever keeps an old key cannot bring a new one in with it, whatever date the commit has."""
    branch = Branch(tmp_path / "r")
    branch.commit({TRUST.path(): policy(key("one", valid_until="2026-01-20T00:00:00Z"), key("two"))})
    branch.commit({"work": b"1"}, datetime(2026, 2, 1, tzinfo=UTC))
    data, last = policy(key("three")), branch.chain().steps[-1]
    predicate = {"previous": last.digest, "number": 2, "by": "thief", "at": "2026-01-10T00:00:00Z"}
    line = sign(statement(TRUST_CHANGE, {TRUST.path(): digest_bytes(data)}, predicate), signer("one"))
    branch.commit({TRUST.path(): data, TRUST_SIGNATURES: line}, datetime(2026, 1, 10, tzinfo=UTC))
    assert branch.in_force == ["one", "two"]
    with pytest.raises(ModelOpsError) as refused:
        endorsement(branch.chain(), data, signer("one"), "ada", "2026-02-02T00:00:00Z")
    assert refused.value.first.code == "key-expired"


def test_a_key_that_is_for_something_else_changes_nothing(tmp_path: Path) -> None:
    """Where keys are named for `trust`, only they sign changes; and a key signs only what it is for."""
    branch = Branch(tmp_path / "r")
    keys = (key("one", signs=("trust",)), key("two", signs=("release", "promotion")))
    branch.commit({TRUST.path(): policy(*keys)})
    with pytest.raises(ModelOpsError) as refused:
        endorsement(branch.chain(), policy(key("three")), signer("two"), "bob", "2026-01-03T00:00:00Z")
    assert refused.value.first.code == "key-not-in-force"
    branch.evidence(1, "one")
    branch.evidence(2, "two")
    assert [branch.code(number) for number in (1, 2)] == ["signature-untrusted", None]


def test_where_no_key_is_left_a_new_root_is_accepted_by_its_name(branch: Branch) -> None:
    """A machine that was told the digest goes on by it, others do not, and what was proven stays so."""
    branch.evidence(1, "one")
    branch.change(policy(key("two")))
    waiting = branch.chain().waiting
    assert waiting is not None
    branch.evidence(2, "two")
    chain = branch.chain(accepted=[waiting.digest])
    assert [step.how for step in chain.steps] == ["root", "accepted"]
    assert [branch.code(number, accepted=[waiting.digest]) for number in (1, 2)] == [None, None]
    assert branch.code(2) == "signature-untrusted"
    branch.change(policy(key("thief")))
    assert [one.name for one in branch.chain(accepted=[waiting.digest]).policy.keys] == ["two"]


def test_what_0_1_0_wrote_changes_by_approval_and_blocks_nothing(tmp_path: Path) -> None:
    """Without a threshold keys come and go unsigned, and what they signed counts; a threshold ends that."""
    branch = Branch(tmp_path / "r")
    branch.commit({TRUST.path(): policy(key("one"), threshold=None)})
    branch.evidence(1, "one")
    branch.evidence(2, "two")
    branch.commit({TRUST.path(): policy(key("two"), threshold=None)})
    assert [branch.code(number) for number in (1, 2)] == [None, None]
    branch.commit({TRUST.path(): policy(key("two"))})
    branch.commit({TRUST.path(): policy(key("two"), key("thief"), threshold=None)})
    assert [step.how for step in branch.chain().steps] == ["root", "approved", "approved"]
    assert branch.in_force == ["two"]


def test_a_clock_that_is_behind_signs_nothing(branch: Branch) -> None:
    """Neither before the tip nor before the newest evidence, beyond what clocks differ by; both times are named."""
    brought = branch.evidence(1, "one", NOW)
    require_time(branch.chain(), NOW - timedelta(minutes=4))
    with pytest.raises(ModelOpsError) as refused:
        require_time(branch.chain(), NOW - timedelta(hours=1))
    problem = refused.value.first
    assert (problem.code, refused.value.exit) == ("clock-behind", Exit.WORLD)
    assert all(text in problem.message for text in ("2026-05-31T23:00:00Z", "2026-06-01T00:00:00Z", brought[:12]))
    # Work of a machine with a wrong clock on top of it hides nothing.
    branch.commit({"work": b"1"}, START)
    with pytest.raises(ModelOpsError):
        require_time(branch.chain(), START + timedelta(days=1))


def test_a_date_that_people_call_wrong_counts_for_nothing(branch: Branch) -> None:
    """A commit from the year 2036 stops signing until the trust policy, signed, says that its date is wrong."""
    liar = branch.evidence(1, "one", datetime(2036, 3, 1, tzinfo=UTC))
    with pytest.raises(ModelOpsError):
        require_time(branch.chain(), NOW)
    wrong = WrongDate(commit=liar, reason="the clock of a runner")
    branch.change(policy(key("one"), wrong_dates=(wrong,)), "one")
    require_time(branch.chain(), NOW)
    assert branch.chain().dates.contradictions == ()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sets(st.sampled_from("abc"))), max_size=4))
def test_without_an_old_key_nothing_ever_changes(steps: list[tuple[str, set[str]]]) -> None:
    """Whatever a thief without a trusted key pushes, with whatever signatures of their own, the root stays in force."""
    branch = Branch(Path(mkdtemp()) / "r")
    root = policy(key("one"))
    branch.commit({TRUST.path(): root})
    chain = branch.chain()
    for name, by in steps:
        data = policy(key(name), *(key(other) for other in sorted(by - {name})))
        predicate = {"previous": chain.steps[-1].digest, "number": 2}
        said = statement(TRUST_CHANGE, {TRUST.path(): digest_bytes(data)}, predicate)
        branch.commit({TRUST.path(): data, TRUST_SIGNATURES: b"".join(sign(said, signer(one)) for one in by) or None})
    assert branch.in_force == ["one"]


def test_a_version_is_judged_before_it_is_merged_as_it_is_after(branch: Branch) -> None:
    """What would keep a change out is known on its branch: too few signatures, and what is wrong with it."""
    chain, data = branch.chain(), policy(key("one"), key("two"))
    change = change_at(chain, data, None)
    assert change is not None
    assert change.problem is not None
    assert change.problem.code == "trust-not-signed"
    signed = change_at(chain, data, endorsement(chain, data, signer("one"), "ada", "2026-01-02T00:00:00Z"))
    assert signed is not None
    assert (signed.problem, signed.signed_by) == (None, ("one",))
    assert change_at(chain, branch.read(TRUST.path()), None) is None
