"""A data source that is the likely cause of what a window shows."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Suspect"]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A source that is the likely cause: its features that changed, and those of them that went missing."""

    name: str
    owner: str
    contact: str
    features: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def silent(self) -> bool:
        """Whether all of its features went missing, rather than changed."""
        return len(self.gone) == len(self.features)
