"""One clone: what the rest of modelops asks git, and the only way it changes a branch."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from modelops.errors import Exit, failure
from modelops.repository import checkout, commits, history, objects, refs
from modelops.repository.checkout import Warn
from modelops.repository.history import CommitInfo, Person
from modelops.repository.names import check_ref, check_revision
from modelops.repository.objects import Entry
from modelops.repository.process import Git, explain, redacted
from modelops.repository.refs import Swap

__all__ = ["Landing", "Repository"]

HEADS = "refs/heads/"
OWN = "refs/modelops/"
"""Refs below this are shared by all clones, as branches are."""
_LISTED = 200_000
"""How many paths the kept listings of trees may hold together."""
_YAML = (".yaml", ".yml")


def _silent(message: str) -> None:
    del message


@dataclass(frozen=True, slots=True)
class Landing:
    """What a commit that lands on a branch writes (bytes) and removes (None), and its message."""

    files: Mapping[str, bytes | None]
    message: str


class Repository:
    """A git repository and the remote (``origin`` by default) that it shares with others.

    Where there is a remote, its branches are the truth; without one, the local branches are.
    """

    def __init__(self, root: Path, common: Path, remote: str | None = None, warn: Warn = _silent) -> None:
        self.root = root
        self.common = common
        self.remote = remote
        self.warn = warn
        self._git = Git(root)
        self._known: set[str] = set()
        self._listings: OrderedDict[tuple[str, str], dict[str, Entry]] = OrderedDict()

    @classmethod
    def discover(cls, path: Path | str = ".", *, remote: str = "origin", warn: Warn = _silent) -> Repository:
        """Open the repository that a folder lies in.

        ``warn`` hears, where a call is given no other, that a checked-out branch stays behind because of local work.
        """
        place = Path(path).absolute()
        if not place.is_dir():
            raise failure("not-a-repository", f"{place} is not a folder", hint="change to the repository first")
        questions = ("--git-common-dir", "--is-bare-repository", "--show-toplevel")
        result = Git(place).run("rev-parse", "--path-format=absolute", *questions)
        common, bare, root, *_ = [*result.text.splitlines(), "", "", ""]
        if bare == "true":
            raise failure(
                "not-a-repository",
                f"{place} is a bare repository, which has no files to work on",
                hint=f"clone it first: git clone {place}",
            )
        if result.code:
            raise explain(("rev-parse",), result)
        repository = cls(Path(root), Path(common), warn=warn)
        repository.remote = remote if remote in repository._git.run("remote").text.splitlines() else None
        return repository

    @classmethod
    def create(cls, path: Path, *, branch: str = "main") -> Repository:
        """Make a new, empty repository in a folder."""
        from modelops.repository import porcelain

        porcelain.create(path, check_ref(branch))
        return cls.discover(path)

    @classmethod
    def clone(cls, source: str, path: Path) -> Repository:
        """Clone a repository into a new folder."""
        from modelops.repository import porcelain

        porcelain.clone(source, path)
        return cls.discover(path)

    # --- where we are

    def head(self) -> str:
        """Return the commit that is checked out."""
        commit = refs.local_ref(self._git, "HEAD")
        if commit is None:
            raise failure(
                "no-commits", "the repository has no commit yet", hint="run `git add -A && git commit -m 'Begin'`"
            )
        return commit

    def resolve(self, revision: str) -> str:
        """Return the full id of the commit that a revision names."""
        commit = refs.local_ref(self._git, check_revision(revision))
        if commit is None:
            shallow = self.is_shallow
            raise failure(
                "shallow-clone" if shallow else "unknown-revision",
                f"{revision!r} names no commit in this clone" + (", which is shallow" if shallow else ""),
                exit=Exit.FILES if shallow else Exit.USAGE,
                hint="run `git fetch --unshallow`" if shallow else "run `git fetch`, or check the spelling",
            )
        return commit

    @property
    def branch(self) -> str | None:
        """The branch that is checked out; None when HEAD is detached."""
        return self._git.run("symbolic-ref", "--quiet", "--short", "HEAD").text or None

    def require_branch(self) -> str:
        """Return the branch that is checked out; a detached HEAD is an error."""
        branch = self.branch
        if branch is None:
            raise failure(
                "detached-head",
                f"HEAD is detached at {self.head()[:12]}, so there is no branch to work on",
                hint="run `git switch -c my-change` to start one here, or `git switch main`",
            )
        return branch

    @property
    def has_remote(self) -> bool:
        """Whether there is a remote to share branches with."""
        return self.remote is not None

    def remote_url(self) -> str:
        """Return the address of the remote; having none is an error."""
        return self._git.checked("remote", "get-url", self._remote()).text

    def _remote(self) -> str:
        if self.remote is None:
            raise failure(
                "no-remote",
                "this repository has no remote to push to or fetch from",
                hint="run `git remote add origin ADDRESS && git push -u origin main`",
            )
        return self.remote

    @property
    def is_shallow(self) -> bool:
        """Whether the clone lacks a part of history."""
        return self._git.checked("rev-parse", "--is-shallow-repository").text == "true"

    def require_history(self) -> None:
        """Refuse to answer questions about history from a clone that lacks a part of it."""
        if self.is_shallow:
            raise failure(
                "shallow-clone",
                "this clone is shallow, so history cannot be answered from it",
                hint="run `git fetch --unshallow`; in a workflow, give actions/checkout fetch-depth: 0",
            )

    def dirty_paths(self, paths: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the files with changes that are not committed, untracked ones included, sorted."""
        from modelops.repository import porcelain

        return porcelain.dirty_paths(self.root, paths)

    def is_dirty(self, paths: Sequence[str] = ()) -> bool:
        """Tell whether any of the paths (all, if none are given) has changes that are not committed."""
        return bool(self.dirty_paths(paths))

    def require_clean(self, paths: Sequence[str] = ()) -> None:
        """Refuse to go on while files have changes that are not committed."""
        dirty = self.dirty_paths(paths)
        if dirty:
            more = f" and {len(dirty) - 3} more" if len(dirty) > 3 else ""
            raise failure(
                "dirty-work-tree",
                f"changes that are not committed: {', '.join(dirty[:3])}{more}",
                hint="run `git commit` or `git stash` first",
            )

    def user(self) -> Person:
        """Return the person that git's configuration names; having none is an error."""
        found = self._configured()
        if not all(found.values()):
            missing = " and ".join(f"user.{key}" for key, value in found.items() if not value)
            raise failure(
                "no-identity",
                f"git does not know who you are: {missing} is not set",
                hint="run `git config --global user.name 'Ada Example'` and "
                "`git config --global user.email ada@example.com`",
            )
        return Person(found["name"], found["email"])

    def find_user(self) -> Person | None:
        """Return the person that git's configuration names, or None when it is not complete."""
        found = self._configured()
        return Person(found["name"], found["email"]) if all(found.values()) else None

    def _configured(self) -> dict[str, str]:
        # One "user.name\nvalue" per field, the one that counts last.
        fields = self._git.run("config", "-z", "--get-regexp", r"^user\.(name|email)$").words()
        found = dict(field.partition("\n")[::2] for field in fields)
        return {key: found.get(f"user.{key}", "").strip() for key in ("name", "email")}

    # --- the remote

    def fetch(self) -> None:
        """Bring the remote's branches and modelops' own refs here; without a remote there is nothing to do."""
        if self.remote:
            refs.fetch(self._git, self.remote, *(f"+{ref}:{self._here(ref)}" for ref in ("refs/heads/*", f"{OWN}*")))

    def _here(self, ref: str) -> str:
        """Return the name under which a shared ref is kept in this clone."""
        if self.remote is None:
            return ref
        if ref.startswith(OWN):
            return f"refs/modelops-remotes/{self.remote}/{ref.removeprefix(OWN)}"
        return f"refs/remotes/{self.remote}/{ref.removeprefix(HEADS)}"

    def tip(self, branch: str) -> str:
        """Return the newest known commit of a branch: the remote's as last fetched, else the local one."""
        commit = self.find_tip(branch)
        if commit is None:
            where = f"on the remote {self.remote!r}" if self.remote else "in this repository"
            push = f"run `git push -u {self.remote} {branch}`" if self.remote else f"run `git branch {branch}`"
            raise failure(
                "no-such-branch", f"there is no branch {branch!r} {where}", hint=f"{push}, or name another branch"
            )
        return commit

    def find_tip(self, branch: str) -> str | None:
        """Return what ``tip`` returns, or None when there is no such branch."""
        return self.find_ref(HEADS + check_ref(branch))

    def find_ref(self, ref: str) -> str | None:
        """Return the commit that a branch (refs/heads/…) or one of modelops' own refs had when last fetched."""
        return refs.local_ref(self._git, self._here(check_ref(ref)))

    def find_local(self, branch: str) -> str | None:
        """Return the commit of this clone's own branch, or None when it has no such branch."""
        return refs.local_ref(self._git, HEADS + check_ref(branch))

    def swap(self, *swaps: Swap, message: str = "modelops", warn: Warn | None = None) -> bool:
        """Move refs, all or none, if each still is where it is expected to be; False when one is not.

        With a remote its refs move; without one those of this repository, and the files of a checked-out branch follow.
        """
        for swap in swaps:
            check_ref(swap.ref)
        if self.remote is None:
            return checkout.swap_with_work_tree(self._git, self.common, swaps, message, warn or self.warn)
        if not refs.swap_remote(self._git, self.remote, swaps):
            return False
        for swap in swaps:
            self._mirror(swap, warn or self.warn)
        return True

    def _mirror(self, swap: Swap, warn: Warn) -> None:
        """Let what this clone knows of the remote, and the checked-out branch, follow a push."""
        here = self._here(swap.ref)
        # Another process may have fetched something newer meanwhile: then its value stays.
        if swap.new is None:
            self._git.run("update-ref", "-d", here, *([swap.old] if swap.old else []))
        else:
            self._git.run("update-ref", here, swap.new, swap.old or "")
        if swap.new and swap.ref.startswith(HEADS):
            checkout.follow_remote(self._git, swap.ref.removeprefix(HEADS), swap.new, warn)

    def push_branch(self, branch: str, commit: str, *, expected: str | None = None, warn: Warn | None = None) -> None:
        """Set a shared branch to a commit if it is still at ``expected`` (None: if it does not exist yet)."""
        if not self.swap(Swap(HEADS + check_ref(branch), expected, commit), message=f"push {branch}", warn=warn):
            raise failure(
                "push-rejected",
                f"branch {branch!r} " + ("exists already" if expected is None else f"is no longer at {expected[:12]}"),
                exit=Exit.WORLD,
                hint="fetch, look at what changed there, and run the command again",
                retryable=True,
            )

    def delete_branch(self, branch: str, *, expected: str | None = None) -> None:
        """Delete a shared branch if it is still at ``expected`` (None: wherever it is)."""
        ref = HEADS + check_ref(branch)
        if expected is None:
            self.fetch()
        old = expected or self.find_ref(ref)
        if old is not None and not self.swap(Swap(ref, old, None)):
            raise failure(
                "push-rejected", f"branch {branch!r} moved and was not deleted", exit=Exit.WORLD, retryable=True
            )

    # --- bytes at a revision

    def _commit(self, revision: str) -> str:
        """Return the id of a commit that is here; a full id is looked up once."""
        if revision in self._known:
            return revision
        commit = self.resolve(revision)
        self._known.add(commit)
        return commit

    def _listing(self, revision: str, prefix: str) -> dict[str, Entry]:
        """List a tree; a commit never changes, so the last few listings are kept."""
        key = (self._commit(revision), prefix)
        if key not in self._listings:
            self._listings[key] = objects.list_tree(self._git, *key)
            while len(self._listings) > 1 and sum(map(len, self._listings.values())) + len(self._listings) > _LISTED:
                self._listings.popitem(last=False)
        self._listings.move_to_end(key)
        return self._listings[key]

    def paths(self, revision: str, prefix: str = "") -> dict[str, str]:
        """Return the files below a folder of a revision (or the one file of that name), with their blob ids."""
        return {path: entry.id for path, entry in self._listing(revision, prefix).items()}

    def read(self, revision: str, path: str) -> bytes:
        """Return the bytes of one file at a revision."""
        return self.read_many(revision, [path])[path]

    def read_many(self, revision: str, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of many files at a revision, by path."""
        wanted = list(paths)
        commit = self._commit(revision)
        if (commit, "") in self._listings or len(wanted) > 1:
            return objects.read_files(self._git, wanted, self._listing(commit, ""))
        tree = {path: entry for one in wanted for path, entry in objects.list_tree(self._git, commit, one).items()}
        if any(entry.mode == "120000" for entry in tree.values()):
            tree = self._listing(commit, "")
        return objects.read_files(self._git, wanted, tree)

    def read_versions(self, commits: Iterable[str], path: str) -> dict[str, bytes | None]:
        """Return the bytes that one file has in many commits (full ids), None where it is not there."""
        return objects.read_versions(self._git, commits, path)

    def tree_id(self, revision: str, path: str) -> str | None:
        """Return the id of a folder's tree at a revision, or None when there is no such folder."""
        return objects.tree_id(self._git, self._commit(revision), path)

    def work_tree_files(
        self, prefixes: Sequence[str] = ("models", "policies"), *, suffixes: Sequence[str] | None = _YAML
    ) -> dict[str, bytes]:
        """Return the files of the work tree below some folders, by path; only YAML unless ``suffixes`` says otherwise.

        Symbolic links that lead out of the repository or to a folder, pipes and devices, and files over 8 MiB are
        refused before a byte of them is read.
        """
        return checkout.read_work_tree(self.root, prefixes, suffixes)

    # --- history

    def merge_base(self, one: str, other: str) -> str:
        """Return the best common ancestor of two commits."""
        base = history.merge_base(self._git, self._commit(one), self._commit(other))
        if base is None:
            self.require_history()
            raise failure(
                "no-common-history",
                f"{one[:12]} and {other[:12]} have no commit in common",
                hint="start the branch from the project's branch",
            )
        return base

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Tell whether one commit is reachable from another, or is it."""
        return history.is_ancestor(self._git, self._commit(ancestor), self._commit(descendant))

    def changed_paths(self, base: str, head: str) -> tuple[str, ...]:
        """Return the paths whose bytes differ between two commits, sorted."""
        return history.changed_paths(self._git, self._commit(base), self._commit(head))

    def diff(self, base: str, head: str) -> str:
        """Return the unified diff between two commits."""
        return history.diff(self._git, self._commit(base), self._commit(head))

    def log(
        self,
        path: str | Sequence[str] | None = None,
        revision: str = "HEAD",
        *,
        excluding: Sequence[str] = (),
        first_parent: bool = False,
        limit: int | None = None,
    ) -> tuple[CommitInfo, ...]:
        """Return the commits (that touch a path) reachable from a revision, newest first; ``base..head`` is a range."""
        paths = () if path is None else (path,) if isinstance(path, str) else tuple(path)
        if paths or limit != 1:
            self.require_history()
        base, _, head = revision.rpartition("..")
        without = [self._commit(commit) for commit in (*excluding, *([base] if base else []))]
        start = self._commit(head)
        return history.log(self._git, start, paths=paths, excluding=without, first_parent=first_parent, limit=limit)

    def commit(self, revision: str) -> CommitInfo:
        """Return one commit."""
        return history.log(self._git, self._commit(revision), limit=1)[0]

    def commit_at(self, branch: str, instant: datetime) -> str:
        """Return the commit that a branch had at an instant, by the dates on its first-parent line."""
        self.require_history()
        commit = history.commit_at(self._git, self.tip(branch), instant)
        if commit is None:
            raise failure(
                "no-commit-then",
                f"{branch} had no commit yet at {instant.isoformat()}",
                exit=Exit.USAGE,
                hint="ask for a later date",
            )
        return commit

    def brought_by(self, commit: str, tip: str) -> str | None:
        """Return the commit on the first-parent line of ``tip`` that brought ``commit`` there; None if none did."""
        self.require_history()
        return history.brought_by(self._git, self._commit(commit), self._commit(tip))

    # --- writing

    def commit_files(
        self, base: str | None, files: Mapping[str, bytes | None], message: str, person: Person, when: datetime
    ) -> str:
        """Store a commit on ``base`` (None: a first commit) and return its id; no branch and no file moves.

        A change that leaves everything as it is returns ``base``.
        """
        return commits.commit_files(self._git, self._commit(base) if base else None, files, message, person, when)

    def write_tree(self, files: Mapping[str, bytes]) -> str:
        """Store the tree that holds exactly these files and return its id."""
        return commits.write_tree(self._git, None, files)

    def merge_commits(self, ours: str, theirs: str, message: str, person: Person, when: datetime) -> str:
        """Store the merge of two commits and return its id; a conflict is an error that names the files."""
        parents = [self._commit(ours), self._commit(theirs)]
        tree = commits.merge_trees(self._git, *parents)
        return commits.write_commit(self._git, tree, parents, message, person, when)

    def land(
        self,
        branch: str,
        change: Callable[[str], Landing | None],
        person: Person,
        when: datetime,
        *,
        attempts: int = 8,
        warn: Warn | None = None,
    ) -> str | None:
        """Put one commit on a shared branch by compare-and-swap and return its id.

        ``change`` gets the branch's tip and returns what to commit on it, or None when there is nothing to do (then so
        does this). Whoever loses the race against another writer fetches and asks ``change`` again, on the new tip.
        ``warn`` hears when a checked-out branch could not follow because of local work, which is never touched.
        """
        for attempt in range(attempts):
            self.fetch()
            tip = self.tip(branch)
            landing = change(tip)
            if landing is None:
                return None
            commit = self.commit_files(tip, landing.files, landing.message, person, when)
            if commit == tip:
                return None
            subject = landing.message.split("\n", 1)[0]
            if self.swap(Swap(HEADS + check_ref(branch), tip, commit), message=subject, warn=warn):
                return commit
            time.sleep(0.02 * (attempt + 1) * (1 + os.getpid() % 4))
        raise failure(
            "push-rejected",
            f"{branch} moved {attempts} times while this commit was being made",
            exit=Exit.WORLD,
            hint="others push at the same time; run the command again",
            retryable=True,
        )

    def commit_work_tree(self, paths: Sequence[str], message: str, person: Person, when: datetime) -> str:
        """Stage files of the work tree and commit them on the checked-out branch, as a person would."""
        from modelops.repository import porcelain

        return porcelain.commit_work_tree(self.root, paths, message, person, when)

    def __repr__(self) -> str:
        return f"Repository({str(self.root)!r}, remote={redacted(self.remote or 'none')!r})"
