"""Putting one commit on a shared branch by compare-and-swap, made again on the new tip by whoever loses the race."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from modelops.repository.checkout import Warn
from modelops.repository.commits import Inscribe, Sign
from modelops.repository.history import Person
from modelops.repository.names import check_ref
from modelops.repository.refs import Swap, rejected

if TYPE_CHECKING:
    from modelops.repository.repository import Repository

__all__ = ["Landing", "Put", "Ways", "land"]

_HEADS = "refs/heads/"

Put = Callable[[str, str], str | None]
"""Puts a commit, its second argument, on the branch if that is still at its parent, the first one.

Returns the id that the commit has there, None where the branch has moved.
"""


@dataclass(frozen=True, slots=True)
class Landing:
    """What a commit that lands on a branch writes (bytes) and removes (None), and its message."""

    files: Mapping[str, bytes | None]
    message: str


@dataclass(frozen=True, slots=True)
class Ways:
    """How a commit is made and put there: tries, who hears of files that stay, what signs it, and what pushes it."""

    attempts: int
    warn: Warn | None
    sign: Sign | None
    inscribe: Inscribe | None
    put: Put | None


def land(
    repository: Repository,
    branch: str,
    change: Callable[[str], Landing | None],
    person: Person,
    when: datetime,
    ways: Ways,
) -> str | None:
    """Put one commit on a branch and return its id there; see the method of the same name of Repository."""
    for attempt in range(ways.attempts):
        repository.fetch()
        tip = repository.tip(branch)
        landing = change(tip)
        if landing is None:
            # Whoever was here before may have been stopped between the push and its own files.
            repository.follow(branch, ways.warn)
            return None
        commit = repository.commit_files(tip, landing.files, landing.message, person, when, ways.sign, ways.inscribe)
        if commit == tip:
            return None
        if ways.put is None:
            subject = landing.message.split("\n", 1)[0]
            there = repository.swap(Swap(_HEADS + check_ref(branch), tip, commit), message=subject, warn=ways.warn)
            landed = commit if there else None
        else:
            landed = ways.put(tip, commit)
            if landed is not None:
                repository.follow(branch, ways.warn)
        if landed is not None:
            return landed
        time.sleep(0.02 * (attempt + 1) * (1 + os.getpid() % 4))
    said = f"{branch} moved {ways.attempts} times while this commit was being made"
    raise rejected(said, "others push at the same time; run the command again")
