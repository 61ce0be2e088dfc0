"""The seals of a log: signed statements of how far its chains were, each with the hash of the one before it.

A seal is no copy of the log. It says what the last links were, so whoever writes the log cannot make it another one
afterwards; and which parts were dropped by rule, so that this is told apart from parts that somebody removed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from modelops.audit.answers import Dropped, Trust
from modelops.errors import Location, ModelOpsError, Problem, failure
from modelops.evidence import LOG_SEAL, PURPOSES, Keyring, Signer, sign, statement, verify_lines
from modelops.predictions import Mark
from modelops.repository import Repository
from modelops.spec.kinds.trust_policy import TrustPolicySpec

__all__ = ["NO_SEALS", "Remembered", "Seals", "read_seals", "remembered", "sealed_line", "seals_ref"]


@dataclass(frozen=True)
class Seals:
    """What the seals of a log say, newest last: marks and sealing times by part, and what was dropped.

    ``digests`` has the hash of each seal; ``log`` names the log whose seals these are. ``trust`` says whether the
    newest one, which vouches for all before it, is signed by a key that counts.
    """

    trust: Trust
    log: str = ""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    sealed_at: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, Dropped] = field(default_factory=dict)
    digests: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """How many seals there are."""
        return len(self.digests)


@dataclass(frozen=True, slots=True)
class Remembered:
    """How many seals of a log the repository knows of, and the hash of the last of them."""

    number: int
    digest: str

    def contradicts(self, seals: Seals) -> bool:
        """Tell whether a file of seals lacks what is remembered, or says something else."""
        return seals.number < self.number or seals.digests[self.number - 1] != self.digest


def seals_ref(environment: str) -> str:
    """Return the ref, shared with the remote, under which the last seals of an environment's logs are remembered."""
    return f"refs/modelops/seals/{environment}"


def remembered(repository: Repository, environment: str, log: str) -> Remembered | None:
    """Return what the repository knows of the seals of a log, as last fetched; None where it knows nothing."""
    commit, path = repository.find_ref(seals_ref(environment)), f"{log}.json"
    if commit is None or path not in repository.paths(commit):
        return None
    try:
        found = json.loads(repository.read(commit, path))
        return Remembered(int(found["number"]), str(found["digest"]))
    except (ValueError, KeyError, TypeError):
        return None


NO_SEALS = Seals(Trust("missing", problems=("nothing was sealed",)))


def read_seals(data: bytes | None, trust: TrustPolicySpec | Keyring | tuple[Problem, ...], path: str) -> Seals:
    """Return what a file of seals says; one that is not whole, or not signed by a key that counts, says nothing."""
    if data is None:
        return NO_SEALS
    if isinstance(trust, tuple):
        return Seals(Trust("refused", problems=tuple(str(problem) for problem in trust)))
    try:
        return _read(data, trust, path)
    except ModelOpsError as error:
        return Seals(Trust("refused", problems=tuple(str(problem) for problem in error.problems)))


def _read(data: bytes, trust: TrustPolicySpec | Keyring, path: str) -> Seals:
    lines = data.splitlines(keepends=True)
    # The newest signature stands for all: each seal holds the hash of the one before.
    (newest,) = verify_lines(lines[-1] if lines else b"", trust, PURPOSES, path=path)
    if newest.predicate_type != LOG_SEAL:
        raise failure("seals-broken", f"{path} holds a statement of type {newest.predicate_type}")
    found, before = Seals(Trust("verified", (newest.key,))), ""
    for number, line in enumerate(lines, 1):
        where = Location(path, number, 1)
        try:
            payload = base64.b64decode(json.loads(line)["payload"], validate=True)
            seal = json.loads(payload)["predicate"]
            if (seal["number"], seal["before"]) != (number, before):
                raise failure("seals-broken", f"seal {number} does not follow the one before it", location=where)
            found = _with(found, seal)
        except (ValueError, KeyError, TypeError):
            raise failure("seals-broken", f"seal {number} cannot be read", location=where) from None
        before = hashlib.sha256(payload).hexdigest()
        found = replace(found, digests=(*found.digests, before))
    return found


def _with(seals: Seals, seal: Mapping[str, Any]) -> Seals:
    marks = {each["name"]: Mark(**each | {"links": tuple(each["links"])}) for each in seal["parts"]}
    dropped = {each["name"]: Dropped(**each) for each in seal["dropped"]}
    return replace(
        seals,
        log=seals.log or seal["log"],
        marks={**seals.marks, **marks},
        sealed_at={**seals.sealed_at, **dict.fromkeys(marks, seal["sealedAt"])},
        dropped={**seals.dropped, **dropped},
    )


def sealed_line(
    seals: Seals, log: str, environment: str, parts: Sequence[Mark], dropped: Sequence[Dropped], at: str, signer: Signer
) -> tuple[bytes, str]:
    """Return the next line of a file of seals, and the hash of what it says."""
    seal: dict[str, Any] = {
        "log": seals.log or log,
        "environment": environment,
        "number": seals.number + 1,
        "before": seals.digests[-1] if seals.digests else "",
        "sealedAt": at,
        "parts": [asdict(mark) for mark in parts],
        "dropped": [asdict(one) for one in dropped],
    }
    links = [*((mark.name, mark.links[0]) for mark in parts), *((one.name, one.link) for one in dropped if one.link)]
    # Parts that were written before logs were chained have nothing that could be told of them but their names.
    links = links or [(environment, hashlib.sha256(seal["log"].encode()).hexdigest())]
    subjects = {name: f"sha256:{link}" for name, link in links}
    line = sign(statement(LOG_SEAL, subjects, seal), signer)
    return line, hashlib.sha256(base64.b64decode(json.loads(line)["payload"])).hexdigest()
