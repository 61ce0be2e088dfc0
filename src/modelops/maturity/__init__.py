"""How far a repository and each of its models are automated, level 0 to 4, by facts in git and evidence alone.

The levels are those of Microsoft's maturity model for machine-learning operations. ``repository`` and ``model`` hold
the criteria, ``workflows`` reads what the forge runs. What git cannot know is neither held nor missing: it is said.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LEVELS", "Criterion", "Maturity", "Report"]

LEVELS = (
    "nothing is automated",
    "the change is checked",
    "the training is automated",
    "the release and the deployment are automated and traceable",
    "the model is kept good by itself",
)
"""What each level means, from 0."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One fact that a level asks for: whether it ``holds``, None where git cannot know; what was found, what gets it.

    ``how`` is a command or what to write where, "" where it holds.
    """

    level: int
    key: str
    what: str
    holds: bool | None
    found: str
    how: str = ""


@dataclass(frozen=True, slots=True)
class Maturity:
    """The criteria of the repository, "" for its name, or of one model."""

    subject: str
    criteria: tuple[Criterion, ...]

    @property
    def level(self) -> int:
        """The highest level of which, and of all below, nothing observable is missing and something is shown."""
        reached = 0
        for level in range(1, len(LEVELS)):
            mine = [one.holds for one in self.criteria if one.level == level]
            if False in mine or True not in mine:
                break
            reached = level
        return reached

    @property
    def missing(self) -> tuple[Criterion, ...]:
        """What is missing for the next level."""
        return tuple(one for one in self.criteria if one.holds is False and one.level == self.level + 1)


@dataclass(frozen=True, slots=True)
class Report:
    """The repository and its models; the level is the lowest of the repository's own and of the models that run."""

    commit: str
    repository: Maturity
    models: tuple[Maturity, ...]
    running: frozenset[str]

    @property
    def level(self) -> int:
        """The level of all of it together."""
        return min([self.repository.level, *(one.level for one in self.models if one.subject in self.running)])
