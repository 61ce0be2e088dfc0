"""What scaffolding did, and what is to be done next."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Result:
    """What was done: files by path, what was found, and what to do next.

    ``adopted`` is the file that a model was read from, ``inferred`` what it said and where, ``cannot`` what is
    otherwise in the proposed model.
    """

    root: str
    files: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    model: str | None = None
    task: str | None = None
    features: dict[str, str] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    key: str | None = None
    next: list[str] = field(default_factory=list)
    adopted: str | None = None
    inferred: dict[str, str] = field(default_factory=dict)
    cannot: list[str] = field(default_factory=list)
