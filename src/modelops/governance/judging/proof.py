"""From where a branch is judged: what this machine signed of it last, or what the signed records on it say.

Nothing unsigned testifies. A machine believes its own signature, and the signatures that were trusted when the state
they speak of was proven. A project that an older version looked after begins at the last record which that one signed.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError
from modelops.evidence import APPROVAL, Keyring, Signer, Statement, check_promotion, check_release, sign, statement
from modelops.evidence.envelope import verify_lines
from modelops.files import write_atomically
from modelops.governance.judging.course import Course
from modelops.project.trust import TrustChain, read_trust
from modelops.project.workspace import Workspace
from modelops.repository import Repository
from modelops.repository.line import Line
from modelops.spec.kinds.trust_policy import TrustedKey, TrustPolicySpec
from modelops.spec.layout import (
    APPROVALS,
    MODELS,
    POLICIES,
    PROMOTION,
    PROMOTION_EVIDENCE,
    promoted,
    release_of,
    slug,
)
from modelops.spec.load import load_resource

__all__ = ["begin", "recall", "remember"]

_COURSE = "https://modelops.dev/attestations/judged-branch/v1"


def _file(workspace: Workspace) -> Path:
    return workspace.cache / "judged" / f"{slug(workspace.branch)}.json"


def _signer(workspace: Workspace) -> Signer | None:
    try:
        return workspace.signer
    except ModelOpsError:
        # Whoever has no key here judges anew each time.
        return None


def recall(workspace: Workspace) -> Course | None:
    """Return the course that this machine signed last, if its branch still has what it is about."""
    try:
        data = _file(workspace).read_bytes()
    except OSError:
        return None
    signer = _signer(workspace)
    if signer is None:
        return None
    own = TrustPolicySpec(keys=(TrustedKey(name="own", public_key=signer.public_pem, signs=("release",)),))
    line, _, course = data.partition(b"\n")
    try:
        (said,) = verify_lines(line + b"\n", own, "release")
        signed = said.predicate_type == _COURSE and said.is_about(digest_bytes(course))
        return Course.read(json.loads(course)) if signed else None
    except (ModelOpsError, ValueError, KeyError, TypeError):
        return None


def remember(workspace: Workspace, course: Course) -> None:
    """Sign a course and keep it on this machine; where that cannot be done it is found again next time."""
    signer = _signer(workspace)
    if signer is None or course.tip is None:
        return
    data = json.dumps(course.data(), separators=(",", ":")).encode()
    line = sign(statement(_COURSE, {"course": digest_bytes(data)}, {"tip": course.tip}), signer)
    with contextlib.suppress(ModelOpsError, OSError):
        write_atomically(_file(workspace), line + data)


def begin(repository: Repository, tip: str, now: datetime) -> Course:
    """Return the course at the newest state of a branch that signed records prove; else before its first commit."""
    models, policies = repository.line(tip, MODELS), repository.line(tip, POLICIES)
    course = Course()
    first = policies.versions(APPROVALS.path())
    if not first:
        return course
    trusted = read_trust(repository, first[-1].commit, now)
    while True:
        found = next(_proven(repository, models, trusted, course.tip), None)
        if found is None:
            return course
        course = Course(found, found, begun=True)
        fresh = read_trust(repository, found, now)
        if fresh is None or (trusted is not None and fresh.policy.keys == trusted.policy.keys):
            return course
        # Keys that were let in up to here may prove a newer state.
        trusted = fresh


def _proven(
    repository: Repository,
    models: Line,
    trusted: TrustChain | None,
    after: str | None,
) -> Iterator[str]:
    """Yield the states after one that a trusted record proves, the newest first."""
    places = models.places
    floor = places[after] if after is not None else -1
    records = sorted(_records(models), key=lambda one: places[one[0]], reverse=True)
    speaks = (places[commit] for commit, path, blob in reversed(records) if _said_line(repository, blob))
    oldest = next(speaks, None)
    for commit, path, blob in records:
        if trusted is None or places[commit] <= floor:
            return
        said = _believed(repository, commit, path, blob, trusted.keyring)
        if said is None:
            continue
        line = next((one.predicate["line"] for one in said if isinstance(one.predicate.get("line"), Mapping)), None)
        if line is None and oldest is not None and places[commit] > oldest:
            # Since the branch is judged as a whole, a record that does not speak of it proves no state of it.
            continue
        state = str(line.get("proven")) if line is not None else commit
        if floor < places.get(state, -1) <= places[commit]:
            yield state


def _records(line: Line) -> Iterator[tuple[str, str, str]]:
    """Yield (commit, path, blob) of the evidence of releases and promotions, as it was when it first came."""
    for path in line.files:
        files = release_of(path)
        if promoted(path) is None and (files is None or path != files.evidence):
            continue
        found = line.versions(path)
        if found and found[-1].blob is not None:
            yield found[-1].commit, path, found[-1].blob


def _said_line(repository: Repository, blob: str) -> bool:
    """Tell whether the approval in a file of evidence speaks of the line, whoever signed it."""
    data = repository.blob(blob)
    if data is None:
        return False
    for text in data.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            payload: Any = json.loads(base64.b64decode(json.loads(text)["payload"]))
            if payload["predicateType"] == APPROVAL and "line" in payload["predicate"]:
                return True
    return False


def _believed(
    repository: Repository, commit: str, path: str, blob: str, trust: Keyring
) -> tuple[Statement, ...] | None:
    """Return the statements of evidence that hold as they first came, None where they do not."""
    files, found = release_of(path), PROMOTION_EVIDENCE.parse(path)
    of = PROMOTION.path(*found) if found is not None else files.release if files is not None else ""
    evidence, document = repository.blob(blob), repository.blob(repository.blob_id(commit, of))
    if evidence is None or document is None:
        return None
    try:
        resource = load_resource(document, of)
        check = check_promotion if found is not None else check_release
        return check(resource, evidence, trust)
    except ModelOpsError:
        return None
