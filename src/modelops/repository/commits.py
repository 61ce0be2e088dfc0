"""Writing commits with plumbing and a temporary index: the work tree and the user's index are never touched."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from modelops.errors import failure
from modelops.repository import history
from modelops.repository.history import Person
from modelops.repository.names import check_path
from modelops.repository.process import Git

_CHUNK = 500

Sign = Callable[[bytes], str]
"""Returns the signature of a commit object, in the armour that its header takes."""
Inscribe = Callable[[str, Sequence[str], str], str]
"""Returns a message with the signature of a tree, its parents and the message itself in it."""


def identity(person: Person, when: datetime) -> dict[str, str]:
    """Return the variables that make one person author and committer at one instant."""
    if when.tzinfo is None:
        raise ValueError("the date of a commit needs a time zone")
    date = f"{int(when.timestamp())} +0000"
    return {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", person.name), ("EMAIL", person.email), ("DATE", date))
    }


def configured(git: Git) -> dict[str, str]:
    """Return name and email of the person that git's configuration names, each empty when it is not set."""
    # One "user.name\nvalue" per field, the one that counts last.
    fields = git.run("config", "-z", "--get-regexp", r"^user\.(name|email)$").words()
    found = dict(field.partition("\n")[::2] for field in fields)
    return {key: found.get(f"user.{key}", "").strip() for key in ("name", "email")}


def user(git: Git) -> Person:
    """Return the person that git's configuration names; having none is an error."""
    found = configured(git)
    if not all(found.values()):
        missing = " and ".join(f"user.{key}" for key, value in found.items() if not value)
        raise failure(
            "no-identity",
            f"git does not know who you are: {missing} is not set",
            hint="run `git config --global user.name 'Ada Example'` and "
            "`git config --global user.email ada@example.com`",
        )
    return Person(found["name"], found["email"])


def write_commit(
    git: Git,
    tree: str,
    parents: Sequence[str],
    message: str,
    person: Person,
    when: datetime,
    sign: Sign | None = None,
) -> str:
    """Store a commit object, signed if there is what signs it, and return its id; no ref moves."""
    options = [part for parent in parents for part in ("-p", parent)]
    # Whoever lets git sign by default signs with a key of their own, which says nothing here.
    made = git.checked(
        *("commit-tree", "--no-gpg-sign", tree, *options, "-F", "-"),
        input=message.encode(),
        environment=identity(person, when),
    ).text
    if sign is None:
        return made
    plain = git.checked("cat-file", "commit", made).output
    head, _, body = plain.partition(b"\n\n")
    header = b"gpgsig " + sign(plain).replace("\n", "\n ").encode()
    signed = head + b"\n" + header + b"\n\n" + body
    return git.checked("hash-object", "-t", "commit", "-w", "--stdin", input=signed).text


def _store_blobs(git: Git, contents: Sequence[bytes], scratch: Path) -> list[str]:
    names = []
    for number, content in enumerate(contents):
        (scratch / f"blob-{number}").write_bytes(content)
        names.append(str(scratch / f"blob-{number}"))
    if not names:
        return []
    return git.checked(
        "hash-object", "-w", "--no-filters", "--stdin-paths", input="\n".join([*names, ""]).encode()
    ).text.splitlines()


def _executables(git: Git, commit: str, paths: Sequence[str]) -> set[str]:
    """Return which of the paths carry the executable bit, which a change of their bytes must keep."""
    found = set()
    for at in range(0, len(paths), _CHUNK):
        lines = git.checked("ls-tree", "-z", "--full-tree", commit, *paths[at : at + _CHUNK]).words()
        found |= {line.split("\t", 1)[1] for line in lines if line.startswith("100755 ")}
    return found


def write_tree(git: Git, base: str | None, files: Mapping[str, bytes | None]) -> str:
    """Return the tree of ``base`` with some files written (bytes) or removed (None)."""
    paths = [check_path(path) for path in files]
    with tempfile.TemporaryDirectory(prefix="modelops-") as folder:
        scratch = Path(folder)
        environment = {"GIT_INDEX_FILE": str(scratch / "index")}
        git.checked("read-tree", *([base] if base else ["--empty"]), environment=environment)
        executable = _executables(git, base, paths) if base else set()
        written = [path for path in paths if files[path] is not None]
        ids = dict(zip(written, _store_blobs(git, [files[path] or b"" for path in written], scratch), strict=True))
        lines = [
            f"{'100755' if path in executable else '100644'} {ids[path]}\t{path}"
            if path in ids
            else f"0 {'0' * 40}\t{path}"
            # Removals first, so that a folder may take the place of a file.
            for path in sorted(paths, key=lambda path: (path in ids, path))
        ]
        request = "\0".join([*lines, ""]).encode()
        git.checked("update-index", "-z", "--index-info", input=request, environment=environment)
        tree = git.checked("write-tree", environment=environment).text
    return tree


def _refuse_side_effects(lost: set[str]) -> None:
    """Refuse to lose more than was asked for: in git's index, a file a/b silently takes the place of a file a."""
    if lost:
        raise failure(
            "path-conflict",
            f"{', '.join(sorted(lost))} would be lost: a file and a folder cannot have one name",
            hint="remove the one in the same change, or choose another name",
        )


def commit_files(
    git: Git,
    base: str | None,
    files: Mapping[str, bytes | None],
    message: str,
    person: Person,
    when: datetime,
    sign: Sign | None = None,
    inscribe: Inscribe | None = None,
) -> str:
    """Store a commit on ``base`` that writes and removes files; nothing to change returns ``base`` itself."""
    tree = write_tree(git, base, files)
    if base:
        changed = set(history.changed_paths(git, base, tree))
        _refuse_side_effects(changed - files.keys())
        if not changed:
            return base
    parents = [base] if base else []
    told = inscribe(tree, parents, message) if inscribe is not None else message
    return write_commit(git, tree, parents, told, person, when, sign)
