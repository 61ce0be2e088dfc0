"""Changes of the trust policy: signed on their branch by keys of before, and not merged without those signatures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelops.clock import format_instant
from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.evidence import Signer
from modelops.forges import PullRequest
from modelops.project.signing import require_time
from modelops.project.trust import Change, TrustChain, change_at, endorsement
from modelops.project.workspace import MACHINE, Workspace
from modelops.repository import Landing, Repository
from modelops.spec.layout import TRUST, TRUST_SIGNATURES

__all__ = ["Endorsed", "endorse", "require_signed"]


@dataclass(frozen=True, slots=True)
class Endorsed:
    """A branch whose trust policy a key signed; ``commit`` is None where that key had signed it already."""

    branch: str
    commit: str | None
    key: str
    change: Change

    @property
    def missing(self) -> int:
        """How many more keys must sign."""
        return max(0, self.change.needed - len(self.change.signed_by))


def endorse(workspace: Workspace, branch: str, login: str, key: Path | None = None) -> Endorsed:
    """Sign the trust policy of a branch with this machine's key, or that of a file, and commit the signature on it."""
    repository = workspace.repository
    workspace.fetch()
    chain = workspace.trust(workspace.tip())
    signer = Signer.load(key) if key is not None else workspace.signer_of("trust")
    require_time(chain, workspace.clock())
    seen: list[Change] = []

    def change(head: str) -> Landing | None:
        data, before = _proposed(repository, chain, head)
        line = endorsement(chain, data, signer, login, format_instant(workspace.clock()))
        signatures = before + line
        present, signed = change_at(chain, data, before), change_at(chain, data, signatures)
        assert present is not None, "what is in force is not proposed"
        assert signed is not None, "what is in force is not proposed"
        if signed.problem is not None and signed.problem.code != "trust-not-signed":
            raise ModelOpsError(signed.problem)
        seen[:] = [signed]
        if present.signed_by == signed.signed_by:
            return None
        return Landing({TRUST_SIGNATURES: signatures}, f"Sign the trust policy with {chain.name_of(signer)}")

    # A signature is no part of what was proposed: whoever gives it may still approve.
    commit = repository.land(branch, change, MACHINE, workspace.clock())
    return Endorsed(branch, commit, chain.name_of(signer), seen[0])


def _proposed(repository: Repository, chain: TrustChain, head: str) -> tuple[bytes, bytes]:
    """Return the trust policy and the signatures of a branch that changes the one in force."""
    path = TRUST.path()
    files, merged = repository.paths(head), repository.merged(chain.tip, head)
    data = repository.read(merged, path) if path in repository.paths(merged) else None
    if data is None or change_at(chain, data, None) is None:
        raise failure(
            "nothing-to-sign",
            f"{head[:10]} proposes no other {path} than the one in force",
            exit=Exit.USAGE,
            location=Location(path),
            hint="commit the change of the trust policy on a branch, push it, and sign it there",
        )
    return data, repository.read(head, TRUST_SIGNATURES) if TRUST_SIGNATURES in files else b""


def require_signed(workspace: Workspace, pull: PullRequest) -> None:
    """Refuse to merge a change of the trust policy that would not count: too few keys of before have signed it."""
    repository, tip, path = workspace.repository, workspace.tip(), TRUST.path()
    merged = repository.merged(tip, pull.head)
    if path not in repository.changed_paths(tip, merged):
        return
    chain, files = workspace.chain(tip), repository.paths(merged)
    if chain is None:
        # The first trust policy is the root: there are no keys of before.
        return
    data = repository.read(merged, path) if path in files else b""
    signatures = repository.read(merged, TRUST_SIGNATURES) if TRUST_SIGNATURES in files else None
    change = change_at(chain, data, signatures)
    if change is not None and change.problem is not None:
        raise ModelOpsError(change.problem, exit=Exit.NO)
