"""The folder of a clone that is never in git: one for all the work trees of the clone, and what lies where in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from modelops.files import write_atomically
from modelops.repository import Repository
from modelops.spec.layout import STATE

__all__ = ["accept_root", "accepted_roots", "cache_in", "key_in", "pages_in", "runtime_in", "seals_in", "state_of"]

ROOT_VARIABLE = "MODELOPS_TRUST_ROOT"
"""Names accepted roots where a machine keeps nothing between its jobs."""


def state_of(repository: Repository) -> Path:
    """Return the folder that is never in git; the linked work trees of a clone share that of the first one."""
    common = repository.common
    return (common.parent / repository.folder if common.name == ".git" else repository.root) / STATE


def cache_in(state: Path) -> Path:
    """Return the folder of what can be deleted at any time."""
    return state / "cache"


def key_in(state: Path, name: str) -> Path:
    """Return the file of a private key."""
    return state / "keys" / f"{name}.pem"


def runtime_in(state: Path, environment: str) -> Path:
    """Return the folder in which an environment runs on this machine."""
    return state / "runtime" / environment


def pages_in(state: Path) -> Path:
    """Return the file that counts the pages that people got from this machine."""
    return state / "alerts" / "pages.json"


def seals_in(state: Path, environment: str) -> Path:
    """Return the file of the seals of an environment's log: not where its server writes."""
    return state / "seals" / f"{environment}.jsonl"


def _roots(state: Path) -> list[dict[str, str]]:
    try:
        found = json.loads((state / "trust-roots.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def accepted_roots(state: Path, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the digests of the trust policies that this machine was told to take for a new root."""
    here = {str(one.get("digest")) for one in _roots(state)}
    return frozenset(here | set(environ.get(ROOT_VARIABLE, "").split()))


def accept_root(state: Path, digest: str, by: str, at: str) -> None:
    """Remember that somebody took a trust policy for a new root on this machine."""
    roots = [one for one in _roots(state) if one.get("digest") != digest]
    roots.append({"digest": digest, "by": by, "at": at})
    write_atomically(state / "trust-roots.json", (json.dumps(roots, indent=1) + "\n").encode())
