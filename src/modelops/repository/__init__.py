"""git: bytes at a revision, history, and commits that land by compare-and-swap."""

from modelops.repository.history import CommitInfo, Person
from modelops.repository.refs import Swap
from modelops.repository.repository import Landing, Repository

__all__ = ["CommitInfo", "Landing", "Person", "Repository", "Swap"]
