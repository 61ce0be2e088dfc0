"""Threat 23: a stolen key; it is revoked from a commit on, rotated out, and brings no other key in by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from git_world import git
from modelops.digests import digest_bytes
from modelops.evidence import generate_key
from modelops.spec.kinds.trust_policy import PURPOSES, Revocation, TrustedKey, TrustPolicySpec
from modelops.spec.layout import TRUST
from modelops.spec.load import load_resource
from modelops.spec.yaml.dump import dump
from world.verbs import run


@dataclass
class Team:
    """A clone with a remote, as `modelops init` leaves it, and verbs run in this process."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "clone"

    def verb(self, *words: str, code: int = 0, environ: Mapping[str, str] | None = None) -> str:
        done = run(self.root, {**os.environ, "NO_COLOR": "1", **(environ or {})}, *words)
        assert done.code == code, f"{words}: {done.code}\n{done.out}\n{done.err}"
        return done.out + done.err

    def said(self, *words: str, code: int = 0) -> Any:
        """Return what a verb says as JSON; what it notes beside comes after it."""
        return json.JSONDecoder().raw_decode(self.verb(*words, "-o", "json", code=code))[0]

    def trust(self) -> TrustPolicySpec:
        spec: TrustPolicySpec = load_resource((self.root / TRUST.path()).read_bytes(), TRUST.path()).spec
        return spec

    def propose(self, branch: str, spec: TrustPolicySpec) -> int:
        git(self.root, "checkout", "-q", "-b", branch)
        (self.root / TRUST.path()).write_bytes(dump("TrustPolicy", "trust", spec, path=TRUST.path()))
        git(self.root, "commit", "-q", "-am", branch)
        return int(self.said("pr", "create")["number"])

    def main(self) -> None:
        git(self.root, "checkout", "-q", "main")
        git(self.root, "pull", "-q", "--ff-only")


@pytest.fixture
def team(tmp_path: Path) -> Team:
    made = Team(tmp_path)
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", "remote.git", "clone")
    git(made.root, "checkout", "-q", "-B", "main")
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.com")):
        git(made.root, "config", name, value)
    made.verb("init", "--approver", "ada", "--approver", "grace")
    git(made.root, "add", "--all")
    git(made.root, "commit", "-q", "-m", "Begin")
    git(made.root, "push", "-q", "-u", "origin", "main")
    return made


def second(team: Team) -> TrustedKey:
    public = generate_key(team.root / ".modelops" / "keys" / "second.pem")
    return TrustedKey(name="second", public_key=public, signs=PURPOSES)


def test_a_leaked_key_is_revoked_and_replaced(team: Team) -> None:
    """The way of the how-to: one pull request, signed with the old key, approved by another; then only the new one."""
    good = git(team.root, "rev-parse", "main")
    (old,) = team.trust().keys
    assert team.trust().threshold == 1, "a new repository asks for signatures"
    gone = old.model_copy(update={"revoked": Revocation(at=good, reason="it was on a lost laptop")})
    number = team.propose("rotate", TrustPolicySpec(threshold=1, keys=(gone, second(team))))
    told = team.verb("validate", "--since", "origin/main", code=3)
    assert "the proposed change of policies/trust.yaml does not count" in told
    assert "[trust-not-signed]" in told
    team.verb("pr", "review", str(number), "--approve", "--as", "grace")
    assert "[trust-not-signed]" in team.verb("pr", "merge", str(number), code=1)
    signed = team.said("pr", "endorse", str(number))
    assert (signed["signedBy"], signed["needed"]) == (["local"], 1)
    assert "had signed already" in team.verb("pr", "endorse", str(number))
    # The head is another one now: whoever approved looks again.
    team.verb("pr", "review", str(number), "--approve", "--as", "grace")
    team.verb("pr", "merge", str(number))
    assert "[pull-not-open]" in team.verb("pr", "endorse", str(number), code=1)
    team.main()
    told = team.said("audit", "trust")
    assert [one["how"] for one in told["versions"]] == ["root", "signed"]
    assert git(team.root, "fsck", "--strict") == ""
    # What is signed next with the stolen key, by whoever has it, does not count.
    (team.root / "data.csv").write_text("a,b\n" + "".join(f"{n},{n % 2}\n" for n in range(50)))
    (team.root / "models" / "m").mkdir(parents=True)
    words = ("data", "snapshot", "m", "--name", "one", "--path", "data.csv", "--owner", "ada", "--target", "b")
    assert "is not signed: the key 'local' is revoked" in team.verb(*words)
    key = {"MODELOPS_SIGNING_KEY": (team.root / ".modelops" / "keys" / "second.pem").read_text()}
    assert "signed by second" in team.verb(*words, environ=key)
    assert "signature verified, by second" in team.verb("data", "show", "m", "one")


def test_whoever_may_push_brings_no_key_in(team: Team) -> None:
    """A key that is pushed counts for nothing; status, plan and audit name the commit, and the old one stays."""
    spec = team.trust()
    stranger = second(team)
    (team.root / TRUST.path()).write_bytes(
        dump("TrustPolicy", "trust", TrustPolicySpec(threshold=1, keys=(*spec.keys, stranger)), path=TRUST.path())
    )
    git(team.root, "commit", "-q", "-am", "tidy")
    git(team.root, "push", "-q")
    pushed = git(team.root, "rev-parse", "--short=10", "HEAD")
    for words, code in ((("status",), 0), (("plan", "production"), 0), (("audit", "trust"), 1)):
        told = team.verb(*words, code=code)
        assert "[trust-not-signed]" in told or "[no-pull-request]" in told, told
        assert pushed in told
    keys: list[Any] = team.said("audit", "trust", code=1)["keys"]
    assert [one["name"] for one in keys] == ["local"]
    # A person who was told the digest by its makers may take it for a new root, on this machine alone.
    assert "[not-a-waiting-root]" in team.verb("audit", "trust", "--accept-root", "sha256:" + "0" * 64, "--yes", code=2)
    git(team.root, "checkout", "-q", "main")
    digest = digest_bytes((team.root / TRUST.path()).read_bytes())
    assert "accepted by name on this machine" in team.verb("audit", "trust", "--accept-root", digest, "--yes")
