"""What on this machine is nobody else's: keys, credentials, the repository's own state, and how they are protected."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from modelops.errors import ModelOpsError
from modelops.fence import Promise
from modelops.project.settings import settings_on_disk
from modelops.project.state import key_in, state_of
from modelops.repository import Repository

__all__ = ["key_places", "private_places", "required_here"]

_HOME = (".ssh", ".git-credentials", ".netrc", ".gnupg", ".aws", ".docker", ".kube", ".config/gh", ".config/git")


def _here() -> Repository | None:
    try:
        return Repository.discover(Path.cwd())
    except ModelOpsError:
        return None


def private_places() -> tuple[Path, ...]:
    """Return the files and folders that no code of the repository may read, those that are there."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - pathlib raises for a user without an entry
    found = [home, *(home / name for name in _HOME)]
    repository = _here()
    if repository is not None:
        found += [*dict.fromkeys((repository.top, repository.root)), repository.common / "config", state_of(repository)]
        found += sorted(key_in(state_of(repository), "*").parent.glob("*.pem"))
    return tuple(path for path in found if path.exists())


def required_here() -> tuple[Promise, ...]:
    """Return what the Project of the work tree demands of the fence; nothing where there is none that can be read."""
    repository = _here()
    if repository is None:
        return ()
    try:
        return settings_on_disk(repository.root).spec.fence.require
    except ModelOpsError:
        return ()


def key_places(environ: Mapping[str, str] = os.environ) -> tuple[tuple[str, str], ...]:
    """Return where private keys lie, and what protects each; a key's text is never read."""
    repository = _here()
    if repository is None:
        return ()
    found = []
    try:
        variable = settings_on_disk(repository.root).spec.signing.variable
    except ModelOpsError:
        variable = ""
    if environ.get(variable):
        found.append((f"${variable}", "in the environment of this process, which only an administrator can read"))
    for path in sorted(key_in(state_of(repository), "*").parent.glob("*.pem")):
        mode = stat.S_IMODE(path.stat().st_mode)
        how = "only its owner can read it" if not mode & 0o077 else f"mode {mode:o}: others can read it"
        found.append((str(path), how))
    return tuple(found)
