"""One clone: what the rest of modelops asks git, and the only way it changes a branch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from modelops.errors import Exit, failure
from modelops.repository import checkout, commits, history, merging, refs
from modelops.repository.checkout import Warn
from modelops.repository.differences import Comparison, Difference, compare, differences
from modelops.repository.history import CommitInfo, Person
from modelops.repository.inside import Inside, around, folder_of
from modelops.repository.known import Known
from modelops.repository.landing import Landing, Put
from modelops.repository.line import Line
from modelops.repository.names import check_ref, check_revision
from modelops.repository.objects import MAXIMUM_BYTES, Objects, tree_of
from modelops.repository.process import Git, redacted
from modelops.repository.reader import Reader
from modelops.repository.refs import Swap
from modelops.repository.seclusion import Secluded
from modelops.repository.steps import Step, messages, read_steps

__all__ = ["Landing", "Repository"]

T = TypeVar("T")
HEADS = "refs/heads/"
OWN = "refs/modelops/"
"""Refs below this are shared by all clones, as branches are."""
_YAML = (".yaml", ".yml")


def _silent(message: str) -> None:
    del message


class Repository:
    """A git repository and the remote (``origin`` by default) that it shares with others.

    Where there is a remote, its branches are the truth; without one, the local branches are.
    """

    def __init__(
        self, top: Path, common: Path, remote: str | None = None, warn: Warn = _silent, algorithm: str = "sha1",
        folder: str = "",
    ) -> None:  # fmt: skip
        # The project may be a folder of git's work tree: every path here is named from there.
        self.top, self.folder, self.root = top, folder, top / folder if folder else top
        self.common = common
        self.remote = remote
        self.warn = warn
        self._algorithm = algorithm
        self._inside = Inside(folder)
        self._git = Git(top)
        self._patience = refs.Patience()
        self._reader = Reader(self._git)
        self._objects = Objects(self._git, self._reader, self._inside)
        self._known: set[str] = set()
        self._past = Known(self._git, self._inside)
        self._alone = Secluded(self._git, common, algorithm)

    def close(self) -> None:
        """End the git that reads objects; a later question begins another one."""
        self._reader.close()

    @classmethod
    def discover(
        cls, path: Path | str = ".", *, remote: str = "origin", warn: Warn = _silent, folder: str | None = None
    ) -> Repository:
        """Open the repository that a folder lies in, for the project around that folder, or for that of ``folder``.

        ``warn`` hears, where a call is given no other, that a checked-out branch stays behind because of local work.
        """
        top, common, algorithm, below = around(Path(path).absolute())
        repository = cls(top, common, None, warn, algorithm, folder_of(top, below) if folder is None else folder)
        repository.remote = remote if remote in repository.remotes else None
        return repository

    @classmethod
    def create(cls, path: Path, *, branch: str = "main") -> Repository:
        """Make a new, empty repository in a folder."""
        from modelops.repository import porcelain

        porcelain.create(path, check_ref(branch))
        return cls.discover(path, folder="")

    @classmethod
    def clone(cls, source: str, path: Path) -> Repository:
        """Clone a repository into a new folder."""
        from modelops.repository import porcelain

        porcelain.clone(source, path)
        return cls.discover(path)

    # --- where we are

    def _commit_of(self, name: str) -> str | None:
        """Return the commit that a name stands for now."""
        (found,) = refs.exact(self._git, self._reader, [f"{name}^{{commit}}"])
        return found.id if found is not None else None

    def head(self) -> str:
        """Return the commit that is checked out."""
        commit = self._commit_of("HEAD")
        if commit is None:
            hint = "run `git add -A && git commit -m 'Begin'`"
            raise failure("no-commits", "the repository has no commit yet", hint=hint)
        return commit

    def resolve(self, revision: str) -> str:
        """Return the full id of the commit that a revision names."""
        commit = self.find(revision)
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
        return self._git.run("symbolic-ref", "--quiet", "HEAD").text.removeprefix(HEADS) or None

    def find(self, revision: str) -> str | None:
        """Return the full id of the commit that a revision names, or None when it names none here."""
        named = refs.spelled_out(self._git, self._reader, self.remote, check_revision(revision))
        return self._commit_of(self._inside.ref(named))

    def set_local(self, ref: str, commit: str | None) -> None:
        """Set a ref that is this clone's own business, or remove it."""
        if commit is None:
            self._git.run("update-ref", "-d", self._inside.ref(check_ref(ref)))
        elif self.find(ref) != commit:
            self._git.checked("update-ref", self._inside.ref(check_ref(ref)), commit)

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

    @cached_property
    def remotes(self) -> tuple[str, ...]:
        """The names of the remotes that this clone has, sorted."""
        return tuple(sorted(self._git.run("remote").text.splitlines()))

    @property
    def has_remote(self) -> bool:
        """Whether there is a remote to share branches with."""
        return self.remote is not None

    @property
    def is_shallow(self) -> bool:
        """Whether the clone lacks a part of history."""
        return (self.common / "shallow").exists()

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

        wanted = [self._inside.down(path).rstrip("/") for path in paths or ([""] if self.folder else [])]
        return self._inside.all(porcelain.dirty_paths(self.top, wanted))

    def user(self) -> Person:
        """Return the person that git's configuration names; having none is an error."""
        return commits.user(self._git)

    def find_user(self) -> Person | None:
        """Return the person that git's configuration names, or None when it is not complete."""
        found = commits.configured(self._git)
        return Person(found["name"], found["email"]) if all(found.values()) else None

    # --- the remote

    def fetch(self) -> None:
        """Bring the remote's branches and modelops' own refs here; without a remote there is nothing to do."""
        if self.remote:
            wanted = [f"+{self._inside.ref(ref)}:{self._here(ref)}" for ref in ("refs/heads/*", f"{OWN}*")]
            self._patience.ask(partial(refs.fetch, self._git, self.remote, *wanted))

    def bring(self, ref: str, commit: str, keep: str) -> bool:
        """Fetch what a ref of the remote points to, unless a commit is here; tell whether the commit is here then.

        It is kept from git's cleaning by a ref of this clone's own, ``keep``.
        """
        if self.find(commit) is None and self.remote:
            self._patience.ask(partial(refs.fetch, self._git, self.remote, f"+{check_ref(ref)}:{check_ref(keep)}"))
        return self.find(commit) is not None

    def _here(self, ref: str) -> str:
        """Return the name under which a shared ref is kept in this clone."""
        ref = self._inside.ref(ref)
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
        return self._commit_of(self._here(check_ref(ref)))

    def find_local(self, branch: str) -> str | None:
        """Return the commit of this clone's own branch, or None when it has no such branch."""
        return self._commit_of(HEADS + check_ref(branch))

    def swap(self, *swaps: Swap, message: str = "modelops", warn: Warn | None = None) -> bool:
        """Move refs, all or none, if each still is where it is expected to be; False when one is not.

        With a remote its refs move; without one those of this repository, and the files of a checked-out branch follow.
        """
        for swap in swaps:
            check_ref(swap.ref)
        named = [replace(swap, ref=self._inside.ref(swap.ref)) for swap in swaps]
        if self.remote is None:
            return checkout.swap_with_work_tree(self._git, self.common, named, message, warn or self.warn)
        if not refs.swap_remote(self._git, self.remote, named):
            return False
        for swap, real in zip(swaps, named, strict=True):
            checkout.mirror(self._git, self._here(swap.ref), real, warn or self.warn)
        return True

    def follow(self, branch: str, warn: Warn | None = None) -> None:
        """Let a checked-out branch, with its files, come up to what its remote was last known to have."""
        if self.remote is not None:
            checkout.follow_remote(self._git, branch, self.tip(branch), warn or self.warn)

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
            said = f"branch {branch!r} moved and was not deleted"
            raise failure("push-rejected", said, exit=Exit.WORLD, retryable=True)

    # --- bytes at a revision

    def _commit(self, revision: str) -> str:
        """Return the id of a commit that is here; a full id is looked up once."""
        if revision in self._known:
            return revision
        commit = self.resolve(revision)
        self._known.add(commit)
        return commit

    def paths(self, revision: str, prefix: str = "") -> Mapping[str, str]:
        """Return the files below a folder of a revision (or the one file of that name), with their blob ids."""
        return self._objects.paths(self._commit(revision), prefix)

    def read(self, revision: str, path: str) -> bytes:
        """Return the bytes of one file at a revision."""
        return self.read_many(revision, [path])[path]

    def read_many(self, revision: str, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of many files at a revision, by path."""
        return self._objects.read(self._commit(revision), paths)

    def ids(self, revision: str, paths: Iterable[str]) -> dict[str, str]:
        """Return the blobs that hold the bytes of many files at a revision, by path."""
        return self._objects.ids(self._commit(revision), paths)

    def blobs(self, ids: Iterable[str], limit: int) -> dict[str, bytes | int]:
        """Return the bytes of blobs (and commits) by id, of those over a limit only how many bytes they have."""
        return self._objects.blobs_within(ids, limit)

    def blob(self, id: str | None) -> bytes | None:
        """Return the bytes of a blob; None where there is none, and of one over the limit of a file."""
        found = self.blobs([id], MAXIMUM_BYTES)[id] if id else None
        return found if isinstance(found, bytes) else None

    def older(self, revision: str, path: str) -> Iterator[bytes | None]:
        """Yield what a file held before its present version, newest first; None where it was not there or too large."""
        top, below, _ = path.partition("/")
        for version in self.line(revision, top + below).versions(path)[1:]:
            yield self.blob(version.blob)

    def tree_id(self, revision: str, path: str) -> str | None:
        """Return the id of a folder's tree at a revision, or None when there is no such folder."""
        return self._objects.tree_id(self._commit(revision), path)

    def blob_id(self, revision: str, path: str) -> str | None:
        """Return the blob that is at a path of a revision, None where there is none; nothing else of it is listed."""
        return self._objects.blob_id(self._commit(revision), path)

    def work_tree_files(
        self, prefixes: Sequence[str] = ("models", "policies"), *, suffixes: Sequence[str] | None = _YAML
    ) -> dict[str, bytes]:
        """Return the files of the work tree below some folders, by path; only YAML unless ``suffixes`` says otherwise.

        Symbolic links that lead out of the repository or to a folder, pipes and devices, and files over 8 MiB are
        refused before a byte of them is read.
        """
        return checkout.read_work_tree(self.root, prefixes, suffixes)

    # --- history

    def line(self, tip: str, folder: str) -> Line:
        """Return the commits from a tip along first parents, and what each file of a folder became by them.

        It is read once; of a branch that has grown since, only what is new.
        """
        self.require_history()
        return self._past.line(self._commit(tip), folder)

    def _once(self, question: str, one: str, other: str, answer: Callable[[Git, str, str], T]) -> T:
        pair = (self._commit(one), self._commit(other))
        # A clone that lacks a part of history may get it later, and then answer otherwise.
        return answer(self._git, *pair) if self.is_shallow else self._past.once(question, *pair, answer)

    def merge_bases(self, one: str, other: str) -> tuple[str, ...]:
        """Return the best common ancestors of two commits: one as a rule, several where their histories cross."""
        bases = self._once("bases", one, other, history.merge_bases)
        if not bases:
            self.require_history()
            raise merging.unrelated(one, other)
        return bases

    def merged(self, base: str, head: str) -> str:
        """Return a commit with what merging makes, the same on every machine; a conflict is an error with its files."""
        if self.is_shallow:
            self.merge_bases(base, head)
        return self._once("merged", base, head, lambda git, *pair: merging.merged(self._alone, *pair))

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Tell whether one commit is reachable from another, or is it."""
        return self._once("within", ancestor, descendant, history.is_ancestor)

    def steps(self, tip: str, since: str | None) -> tuple[Step, ...]:
        """Return the commits of a tip's own line after another one, the oldest first, with all that they changed."""
        self.require_history()
        return read_steps(self._git, self._commit(tip), since, self._inside)

    def messages(self, base: str, head: str) -> tuple[str, ...]:
        """Return the whole messages of the commits that are in ``head`` and not in ``base``, the newest first."""
        return self._once("messages", base, head, messages)

    def changed_paths(self, base: str, head: str) -> tuple[str, ...]:
        """Return the paths whose bytes differ between two commits, sorted."""
        return self._inside.all(self._once("changed", base, head, history.changed_paths))

    def differences(self, base: str, head: str) -> tuple[Difference, ...]:
        """Return what ``changed_paths`` names, with mode and object before and after."""
        return tuple(self._inside.named(one) for one in self._once("differences", base, head, differences))

    def compare(self, base: str, head: str) -> Comparison:
        """Return what differs between two commits with its text, which nothing but the two decides."""
        return self._alone.ask(compare, self.blobs, self._commit(base), self._commit(head))

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
        paths = [self._inside.down(one) for one in ((path,) if isinstance(path, str) else path or ())]
        if paths or limit != 1:
            self.require_history()
        base, _, head = revision.rpartition("..")
        without = [self._commit(commit) for commit in (*excluding, *([base] if base else []))]
        start = self._commit(head)
        return history.log(self._git, start, paths=paths, excluding=without, first_parent=first_parent, limit=limit)

    def commit(self, revision: str) -> CommitInfo:
        """Return one commit."""
        return history.log(self._git, self._commit(revision), limit=1)[0]

    def brought_by(self, commit: str, tip: str) -> str | None:
        """Return the commit on the first-parent line of ``tip`` that brought ``commit`` there; None if none did."""
        self.require_history()
        return self._once("brought", commit, tip, history.brought_by)

    # --- writing

    def commit_files(
        self, base: str | None, files: Mapping[str, bytes | None], message: str, person: Person, when: datetime,
        sign: commits.Sign | None = None, inscribe: commits.Inscribe | None = None,
    ) -> str:  # fmt: skip
        """Store a commit on ``base`` (None: a first commit) and return its id; no branch and no file moves.

        A change that leaves everything as it is returns ``base``.
        """
        named, start = self._inside.files(files), self._commit(base) if base else None
        return commits.commit_files(self._git, start, named, message, person, when, sign, inscribe)

    def tree_of(self, files: Mapping[str, bytes]) -> str:
        """Return the id of the tree that holds exactly these files; nothing is stored."""
        return tree_of(files, self._algorithm)

    def merge_commits(self, ours: str, theirs: str, message: str, person: Person, when: datetime) -> str:
        """Store the merge of two commits and return its id; a conflict is an error that names the files."""
        parents = [self._commit(ours), self._commit(theirs)]
        tree = self._alone.ask(merging.merge_trees, *parents)
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
        sign: commits.Sign | None = None,
        inscribe: commits.Inscribe | None = None,
        put: Put | None = None,
    ) -> str | None:
        """Put one commit, signed if there is what signs it, on a shared branch by compare-and-swap; return its id.

        ``change`` gets the branch's tip and returns what to commit on it, or None when there is nothing to do (then so
        does this). Whoever loses the race against another writer fetches and asks ``change`` again, on the new tip.
        ``warn`` hears when a checked-out branch could not follow because of local work, which is never touched.
        ``inscribe`` signs within the message; ``put`` stands in for the push.
        """
        for attempt in range(attempts):
            self.fetch()
            tip = self.tip(branch)
            found = change(tip)
            if found is None:
                # Whoever was here before may have been stopped between the push and its own files.
                self.follow(branch, warn)
                return None
            commit = self.commit_files(tip, found.files, found.message, person, when, sign, inscribe)
            if commit == tip:
                return None
            if put is not None and (landed := put(tip, commit)) is not None:
                self.follow(branch, warn)
                return landed
            swap, subject = Swap(HEADS + check_ref(branch), tip, commit), found.message.split("\n", 1)[0]
            if put is None and self.swap(swap, message=subject, warn=warn):
                return commit
            time.sleep(0.02 * (attempt + 1) * (1 + os.getpid() % 4))
        said = f"{branch} moved {attempts} times while this commit was being made"
        raise refs.rejected(said, "others push at the same time; run the command again")

    def commit_work_tree(self, paths: Sequence[str], message: str, person: Person, when: datetime) -> str:
        """Stage files of the work tree and commit them on the checked-out branch, as a person would."""
        from modelops.repository import porcelain

        return porcelain.commit_work_tree(self.top, [*map(self._inside.down, paths)], message, person, when)

    def __repr__(self) -> str:
        return f"Repository({str(self.root)!r}, remote={redacted(self.remote or 'none')!r})"
