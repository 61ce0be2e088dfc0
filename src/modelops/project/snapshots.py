"""Signatures of data snapshots, in the format of OpenSSF model signing: over every file, and the snapshot's own bytes.

Whoever takes a snapshot signs it if they have a key for that; who has none says so. One without a signature was made
before snapshots were signed, or where no key was, and is as good as what the release says of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from modelops.clock import clock_from
from modelops.digests import digest_bytes
from modelops.errors import Location, ModelOpsError, Problem
from modelops.evidence import Keyring, Signer, model_bundle, verify_model_bundle
from modelops.evidence.keyring import keyring_of
from modelops.project.settings import settings_on_disk
from modelops.project.signing import load_signer, require_clock, require_time
from modelops.project.state import accepted_roots, state_of
from modelops.project.trust import TrustChain, read_trust
from modelops.repository import Repository
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.layout import SNAPSHOT, SNAPSHOT_SIGNATURE, TRUST
from modelops.spec.load import load_resource

__all__ = ["Seal", "check_seals", "keys_here", "read_seal", "seal", "seal_here", "seal_path"]


@dataclass(frozen=True, slots=True)
class Seal:
    """Whether a snapshot is signed: the key that did, what is wrong, or neither where it has no signature."""

    key: str | None = None
    problem: Problem | None = None


def seal_path(model: str | None, name: str) -> str:
    """Return where the signature of a snapshot lies."""
    return SNAPSHOT_SIGNATURE.path(model, name)


def seal(model: str, name: str, spec: DataSnapshotSpec, document: bytes, signer: Signer) -> bytes:
    """Return the signature of a snapshot; ``document`` are the bytes of its file."""
    return model_bundle(f"{model}-{name}", _files(spec), signer, {"snapshot": digest_bytes(document)})


def read_seal(
    data: bytes | None, keys: Keyring, model: str, name: str, spec: DataSnapshotSpec, document: bytes
) -> Seal:
    """Tell whether a signature file is one over exactly this snapshot, by a key that counts."""
    if data is None:
        return Seal()
    about = {"snapshot": digest_bytes(document)}
    path = seal_path(model, name)
    try:
        key = verify_model_bundle(
            data, keys, f"{model}-{name}", _files(spec), path=path, purpose="snapshot", about=about
        )
    except ModelOpsError as error:
        return Seal(problem=error.first)
    return Seal(key)


def _files(spec: DataSnapshotSpec) -> dict[str, str]:
    return {file.path: file.sha256 for file in spec.files}


def _chain(repository: Repository, environ: Mapping[str, str], now: datetime) -> TrustChain | None:
    tip = repository.find("HEAD")
    return read_trust(repository, tip, now, accepted_roots(state_of(repository), environ)) if tip else None


def keys_here(repository: Repository, environ: Mapping[str, str], now: datetime) -> Keyring | None:
    """Return the keys that count in a checkout: by its history where there is one, else by its work tree."""
    chain = _chain(repository, environ, now)
    if chain is not None:
        return chain.keyring
    file = repository.root / TRUST.path()
    return keyring_of(load_resource(file.read_bytes(), TRUST.path()).spec) if file.is_file() else None


def seal_here(repository: Repository, environ: Mapping[str, str], model: str, name: str) -> str:
    """Sign a snapshot of the work tree and write the signature beside it; return the name of the key.

    Raises what keeps this machine from signing: no key, one that is not trusted for it, or a clock that is behind.
    """
    now, path = clock_from(environ)(), SNAPSHOT.path(model, name)
    document = (repository.root / path).read_bytes()
    settings, chain = settings_on_disk(repository.root), _chain(repository, environ, now)
    require_clock(settings, environ, chain)
    signer = load_signer(settings, state_of(repository), environ, "snapshot")
    if chain is not None:
        require_time(chain, now)
    keys = keys_here(repository, environ, now)
    if keys is not None:
        keys.require(signer, "snapshot", now)
    data = seal(model, name, load_resource(document, path).spec, document, signer)
    (repository.root / seal_path(model, name)).write_bytes(data)
    return keys.spans[signer.keyid][-1].key.name if keys is not None else signer.keyid[:16]


def check_seals(root: Path, environ: Mapping[str, str], signatures: Iterable[str]) -> Iterator[Problem]:
    """Yield what is wrong with the signatures of snapshots in a work tree.

    One that was copied with its folder is signed for the model it was copied from: ``snapshot-copied`` says so.
    """
    good: dict[tuple[bytes, bytes], str] = {}
    wrong: list[tuple[tuple[bytes, bytes], str, Problem]] = []
    repository = Repository.discover(root)
    keys = keys_here(repository, environ, clock_from(environ)())
    for path in signatures:
        found = SNAPSHOT_SIGNATURE.parse(path)
        if found is None or keys is None:
            continue
        model, name = str(found[0]), found[1]
        file = root / SNAPSHOT.path(model, name)
        if not file.is_file():
            continue
        try:
            document = file.read_bytes()
            spec = load_resource(document, SNAPSHOT.path(model, name)).spec
        except ModelOpsError:
            # What is wrong with the snapshot itself is told by whoever reads it.
            continue
        both = ((root / path).read_bytes(), document)
        problem = read_seal(both[0], keys, model, name, spec, document).problem
        if problem is None:
            good[both] = model
        else:
            wrong.append((both, path, problem))
    for both, path, problem in wrong:
        yield _copied(path, good[both]) if both in good else problem


def _copied(path: str, model: str) -> Problem:
    said = f"{path} is a copy of the signature for {model} and signs nothing here"
    hint = "take the snapshot for this model: modelops data snapshot; or remove the signature"
    return Problem("snapshot-copied", said, Location(path), hint=hint)
