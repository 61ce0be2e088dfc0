"""Moving refs by compare-and-swap: a push with leases to a remote, a ref transaction where there is none."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelops.errors import Exit, ModelOpsError, failure
from modelops.repository.process import Git, Result, explain
from modelops.repository.reader import Found, Reader

_RACES = re.compile(r"stale info|fetch first|non-fast-forward|lock|incorrect old value|reference already exists|atomic")
_RETRIES = 5
_SLOW_SECONDS = 1.0
_AWAY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Swap:
    """One ref's change: from ``old`` (None: it must not exist) to ``new`` (None: it is deleted)."""

    ref: str
    old: str | None
    new: str | None


_NAMED = re.compile(r"(.*?)((?:[~^]|@\{).*)?", re.DOTALL)
_WHOLE = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SHORT = re.compile(r"[0-9a-fA-F]{4,63}")


def _base(revision: str) -> str:
    """Return the name that a revision begins with."""
    found = _NAMED.fullmatch(revision)
    return found[1] if found else revision


def exact(git: Git, reader: Reader, names: Sequence[str]) -> list[Found | None]:
    """Return what revisions stand for, None also where one begins with the full name of a ref that is not there.

    Git looks for a tag or a branch of that whole name then, such as `refs/tags/refs/heads/main`.
    """
    full = [_base(name) for name in names if name.startswith("refs/")]
    asked = [f"refs/{kind}/{name}" for name in full for kind in ("tags", "heads", "remotes")]
    found = reader.find([*names, *asked])
    stand, others = found[: len(names)], found[len(names) :]
    if not any(others):
        return stand
    gone = {name for name in full if git.run("show-ref", "--verify", "--quiet", "--", name).code}
    return [None if _base(name) in gone else one for name, one in zip(names, stand, strict=True)]


def spelled_out(git: Git, reader: Reader, remote: str | None, revision: str) -> str:
    """Return a revision whose name is that of one ref: git takes a tag before the branch that everybody means.

    Anybody may push a tag `origin/main`. Branches of remotes come first, then those of this clone, then tags. A name
    that is a ref's and begins the id of an object, too, is an error.
    """
    name = _base(revision)
    if name in ("", "@", "HEAD") or name.startswith("refs/") or _WHOLE.fullmatch(name):
        return revision
    forms = [f"refs/remotes/{name}", f"refs/remotes/{name}/HEAD", f"refs/heads/{name}"]
    # A tag that is called as the remote's branch does not stand for it where this clone has none.
    forms += [f"refs/remotes/{remote}/{name}"] if remote else []
    *branches, tag = (one is not None for one in exact(git, reader, [*forms, f"refs/tags/{name}"]))
    named = [form for form, there in zip(forms, branches, strict=True) if there]
    if not tag and not any(branches[:3]):
        return revision
    if _SHORT.fullmatch(name) and git.run("rev-parse", f"--disambiguate={name}").text:
        raise failure(
            "unknown-revision",
            f"{name!r} is the name of a branch or tag, and what the id of an object begins with",
            exit=Exit.USAGE,
            hint=f"write the whole id, or refs/heads/{name}",
        )
    return (named[0] if named else f"refs/tags/{name}") + revision.removeprefix(name)


def local_ref(git: Git, ref: str) -> str | None:
    """Return the commit that a full ref name points to in this repository."""
    return git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").text or None


def remote_refs(git: Git, remote: str, refs: Sequence[str]) -> dict[str, str]:
    """Ask the remote for the ids of full ref names; the missing ones are left out."""
    lines = git.checked("ls-remote", "--", remote, *refs, network=True).text.splitlines()
    found = (line.split("\t", 1) for line in lines)
    return {ref: id for id, ref in found if ref in refs}


@dataclass
class Patience:
    """What was waited for in vain just now, so that one verb waits once, and a loop in most passes not at all."""

    until: float = 0.0
    error: ModelOpsError | None = None

    def ask(self, question: Callable[[], None]) -> None:
        """Ask something of a remote, unless it was slow to fail a moment ago: then it fails in the same way."""
        began = time.monotonic()
        if self.error is not None and began < self.until:
            raise self.error
        try:
            question()
            self.error = None
        except ModelOpsError as error:
            ended = time.monotonic()
            if error.exit is Exit.WORLD and ended - began > _SLOW_SECONDS:
                self.until, self.error = ended + _AWAY_SECONDS, error
            raise


_USUAL = ("main", "master", "trunk", "develop")


def trunk(git: Git, remote: str | None) -> str | None:
    """Return the branch that everybody shares, as far as git can tell: a remote's HEAD, or one that is called so.

    None where nothing tells it: there is one branch at most, or none of the usual names.
    """
    below = f"refs/remotes/{remote}/" if remote else "refs/heads/"
    said = git.run("symbolic-ref", "--quiet", f"{below}HEAD").text if remote else ""
    if said.startswith(below):
        return said.removeprefix(below)
    found = {ref.removeprefix(below) for ref in git.run("for-each-ref", "--format=%(refname)", below).text.splitlines()}
    return next((name for name in _USUAL if name in found), None) if len(found) > 1 else next(iter(found), None)


def fetch(git: Git, remote: str, *specifications: str) -> None:
    """Fetch refs; another process that fetches into the same clone at the same time is waited for."""
    for attempt in range(_RETRIES):
        result = git.run(
            *(
                "fetch",
                "--quiet",
                "--progress",
                "--no-tags",
                "--prune",
                "--no-write-fetch-head",
                "--no-auto-maintenance",
            ),
            *("--no-recurse-submodules", "--", remote, *specifications),
            network=True,
        )
        if not result.code:
            return
        if attempt == _RETRIES - 1 or not re.search(r"cannot lock ref|\.lock'", result.errors):
            raise explain(("fetch",), result, network=True)


def swap_remote(git: Git, remote: str, swaps: Sequence[Swap]) -> bool:
    """Move refs of the remote all at once; False when one of them no longer is where it was expected.

    A ref that already has its new value is left out by git, so the same change made twice succeeds twice.
    """
    result = git.run(
        *("push", "--porcelain", "--quiet", "--no-follow-tags", "--recurse-submodules=no"),
        *(["--atomic"] if len(swaps) > 1 else []),
        *(f"--force-with-lease={swap.ref}:{swap.old or ''}" for swap in swaps),
        *("--", remote, *(f"{swap.new or ''}:{swap.ref}" for swap in swaps)),
        network=True,
    )
    if not result.code:
        return True
    reasons = [line.split("\t")[2] for line in result.text.splitlines() if line.startswith("!\t")]
    if not reasons:
        raise _push_failure(result)
    current = remote_refs(git, remote, [swap.ref for swap in swaps])
    if any(current.get(swap.ref) != swap.old for swap in swaps) or all(_RACES.search(reason) for reason in reasons):
        return False
    raise _rejected(swaps, reasons, result)


def _push_failure(result: Result) -> ModelOpsError:
    error = explain(("push",), result, network=True)
    if "failed to push" not in error.first.message:
        return error
    return failure(
        "push-rejected",
        "a pre-push hook of this clone stopped the push",
        exit=Exit.WORLD,
        hint="run `git push` by hand to see what the hook says",
    )


def _rejected(swaps: Sequence[Swap], reasons: Sequence[str], result: Result) -> ModelOpsError:
    said = [line.removeprefix("remote:").strip() for line in result.errors.splitlines() if line.startswith("remote:")]
    detail = "; ".join([*dict.fromkeys(reasons), *(line for line in said if line)])
    names = ", ".join(swap.ref.removeprefix("refs/heads/") for swap in swaps)
    checked_out = "checked out" in detail
    hint = (
        "the remote is not a bare repository: make it one with `git clone --bare`"
        if checked_out
        else "the remote protects it: let this identity push there, or bring the change by a pull request"
    )
    return failure("push-rejected", f"the remote refused the push to {names}: {detail}", exit=Exit.WORLD, hint=hint)


def swap_local(git: Git, swaps: Sequence[Swap], message: str) -> bool:
    """Move refs of this repository all at once; False when one of them no longer is where it was expected."""
    lines = ["start"]
    for swap in swaps:
        if swap.new is None:
            lines.append(f"delete {swap.ref} {swap.old or ''}".rstrip())
        elif swap.old is None:
            lines.append(f"create {swap.ref} {swap.new}")
        else:
            lines.append(f"update {swap.ref} {swap.new} {swap.old}")
    request = "\n".join([*lines, "prepare", "commit", ""]).encode()
    result = git.run("update-ref", "-m", message, "--create-reflog", "--stdin", input=request)
    if not result.code:
        return True
    if any(local_ref(git, swap.ref) != swap.old for swap in swaps) or "lock" in result.errors:
        return False
    raise explain(("update-ref",), result)


def rejected(said: str, hint: str) -> ModelOpsError:
    """Return the error of a push that others were faster than."""
    return failure("push-rejected", said, exit=Exit.WORLD, hint=hint, retryable=True)
