"""A new repository's policies, lock, key and schemas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from modelops.project.state import key_in
from modelops.scaffold.files import refuse_existing, write_new
from modelops.scaffold.repository import repository_files, schema_files
from modelops.scaffold.result import Result
from modelops.scaffold.site import Site, identity
from modelops.scaffold.surroundings.git_files import ignore
from modelops.scaffold.surroundings.workflows import Home
from modelops.spec.layout import APPROVALS

_KEPT = (".gitattributes", ".gitignore", "README.md", "requirements.lock")
"""Files that many repositories have already; they stay as they are."""


def add_repository(site: Site, approvers: Sequence[str], result: Result) -> None:
    """Write policies, lock, key and schemas; a file that many repositories have already is kept."""
    from modelops.evidence import generate_key

    logins = tuple(approvers) or (identity(site)[1],)
    # Checked with a stand-in first, so that no key is made for a repository that is refused.
    # What this clone calls its remote is no business of others, who mostly call it origin, as every checkout does.
    home = replace(site.home, remote=Home().remote)
    planned = [path for path in repository_files("", logins, home) if path not in _KEPT]
    refuse_existing(site.root, planned)
    key = key_in(site.state, "local")
    public = generate_key(key)
    site.undo.callback(key.unlink, missing_ok=True)
    _hide(site)
    files = repository_files(public, logins, home)
    for path in _KEPT:
        if (site.root / path).exists():
            result.kept.append(path)
            files.pop(path, None)
    write_new(site.root, files, site.undo)
    ignore(site, result)
    schemas = {path: data for path, data in schema_files().items() if not (site.root / path).exists()}
    write_new(site.root, schemas, site.undo)
    result.files += sorted(files)
    result.warnings += [] if approvers else [f"only {logins[0]} may approve, and nobody approves own changes: {_ADD}"]
    result.key = _shown(site, key)


_ADD = f"name reviewers in {APPROVALS.path()}, or begin with --approver LOGIN"


def _hide(site: Site) -> None:
    """Keep the key out of git in another work tree as well, whose .gitignore may not name the folder yet."""
    file = site.state / ".gitignore"
    if not site.state.is_relative_to(site.root) and not file.exists():
        site.undo.callback(file.unlink, missing_ok=True)
        file.write_text("*\n", encoding="utf-8")


def _shown(site: Site, file: Path) -> str:
    return str(file.relative_to(site.root) if file.is_relative_to(site.root) else file)
