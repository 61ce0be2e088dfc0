"""Where in git the rendered manifests lie, for the tools that fetch them there."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

__all__ = ["Folder", "Revision"]


def _inside(path: str) -> str:
    if ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} leads out of the repository")
    return path


Folder = Annotated[
    str,
    Field(pattern=r"^[^/\s](.*\S)?$", description="a folder below the root of the repository"),
    AfterValidator(_inside),
]
Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9]\S*$", description="without spaces")]
