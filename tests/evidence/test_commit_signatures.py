"""Signed commits: what git itself verifies, what is not a signature of ours, and what nobody can alter or move."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from git_world import ADA, NOON, git, lonely
from modelops.evidence import Signer, generate_key
from modelops.evidence.commits import commit_signature, signed_by
from modelops.repository import Landing, Repository


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    generate_key(tmp_path / "key.pem")
    return Signer.load(tmp_path / "key.pem")


def landed(repository: Repository, signer: Signer, text: str = "1") -> str:
    """Put a signed commit on the branch and return it."""
    commit = repository.land(
        *("main", lambda tip: Landing({"said": text.encode()}, f"Say {text}: ä\n\nAnd more.\n"), ADA, NOON),
        sign=lambda payload: commit_signature(payload, signer),
    )
    assert commit is not None
    return commit


def raw(repository: Repository, commit: str) -> bytes:
    data = repository.blobs([commit], 1 << 20)[commit]
    assert isinstance(data, bytes)
    return data


def test_our_own_key_is_found_and_no_other(tmp_path: Path, signer: Signer) -> None:
    """A signature counts for the key that made it, among others, and for nothing that was altered."""
    repository = lonely(tmp_path / "r")
    data = raw(repository, landed(repository, signer))
    other = generate_key(tmp_path / "other.pem")
    assert signed_by(data, [other, signer.public_pem]) == signer.public_pem
    assert signed_by(data, [other]) is None
    assert signed_by(data, []) is None
    unsigned = repository.resolve("HEAD~1")
    assert signed_by(raw(repository, unsigned), [signer.public_pem]) is None
    head, _, body = data.partition(b"\n\n")
    lines = head.split(b"\n")
    for at, line in enumerate(lines):
        for changed in (lines[:at] + lines[at + 1 :], [*lines[:at], line[:-1] + b"0", *lines[at + 1 :]]):
            assert line.endswith(b"0") or signed_by(b"\n".join(changed) + b"\n\n" + body, [signer.public_pem]) is None
    assert signed_by(data + b"x", [signer.public_pem]) is None
    assert signed_by(head + b"\ngpgsig again\n\n" + body, [signer.public_pem]) is None
    assert signed_by(head.replace(b"gpgsig", b"gpgsig-sha256") + b"\n\n" + body, [signer.public_pem]) is None


@pytest.mark.parametrize("many", range(12))
def test_every_length_of_the_numbers_is_written_right(tmp_path: Path, signer: Signer, many: int) -> None:
    """A signature's two numbers have leading zeros or a high first bit by chance; each form is read back."""
    payload = b"tree %040d\n\nmessage\n" % many
    armour = commit_signature(payload, signer).replace("\n", "\n ").encode()
    head, _, body = payload.partition(b"\n\n")
    assert signed_by(head + b"\ngpgsig " + armour + b"\n\n" + body, [signer.public_pem]) == signer.public_pem


def allowed_signer(folder: Path, pem: str) -> str:
    """Return the line of an allowed-signers file as the how-to makes it from a key of the trust policy."""
    (folder / "key.pub.pem").write_text(pem)
    words = ["ssh-keygen", "-i", "-m", "PKCS8", "-f", str(folder / "key.pub.pem")]
    return "modelops " + subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="git verifies such signatures by ssh-keygen")
def test_git_verifies_what_is_signed(tmp_path: Path, signer: Signer) -> None:
    """`git verify-commit` says good with our key among the allowed signers, and no with another; fsck finds nothing."""
    repository = lonely(tmp_path / "r")
    commits = [landed(repository, signer, str(number)) for number in range(3)]
    allowed = tmp_path / "allowed"
    allowed.write_text(allowed_signer(tmp_path, signer.public_pem))
    known = ("-c", f"gpg.ssh.allowedSignersFile={allowed}")
    for commit in commits:
        done = subprocess.run(
            ["git", *known, "verify-commit", commit], cwd=repository.root, capture_output=True, text=True, check=False
        )
        assert (done.returncode, 'Good "git" signature for modelops' in done.stderr) == (0, True), done.stderr
    allowed.write_text(allowed_signer(tmp_path, generate_key(tmp_path / "other.pem")))
    refused = subprocess.run(
        ["git", *known, "verify-commit", commits[0]], cwd=repository.root, capture_output=True, check=False
    )
    assert refused.returncode != 0
    git(repository.root, "fsck", "--strict", "--full")
