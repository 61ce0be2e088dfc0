"""git on the same objects with nobody's settings: what it says of two trees is the same on every machine.

Attributes of the work tree, of the clone and of the user choose merge drivers, text conversion and what counts as
binary; settings choose external programs, renames and colours. A folder of its own as git's folder has none of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from modelops.repository.process import Git

T = TypeVar("T")
_PROMISOR = r"^remote\..*\.(url|promisor|partialclonefilter)$"


def _lazily(git: Git, common: Path) -> str:
    """Return the settings by which a clone that lacks objects gets them, in the form of a configuration file."""
    if not any((common / "objects" / "pack").glob("*.promisor")):
        return ""
    lines = []
    for word in git.run("config", "-z", "--get-regexp", _PROMISOR).words():
        key, _, value = word.partition("\n")
        name, _, field = key.removeprefix("remote.").rpartition(".")
        quoted, said = ((each.replace("\\", "\\\\").replace('"', '\\"')) for each in (name, value))
        lines.append(f'[remote "{quoted}"]\n\t{field} = "{said}"\n')
    return "".join(lines)


@dataclass(frozen=True, slots=True)
class Secluded:
    """A clone whose objects are asked about without anybody's settings; ``algorithm`` is what names them."""

    git: Git
    common: Path
    algorithm: str

    def ask(self, what: Callable[..., T], *arguments: Any) -> T:
        """Return what a question answers that is given a git without settings, and what else it asks about."""
        with tempfile.TemporaryDirectory(prefix="modelops-") as folder:
            room = Path(folder)
            (room / "refs").mkdir()
            (room / "HEAD").write_text("ref: refs/heads/none\n")
            (room / "config").write_text(self._settings())
            variables = {
                "GIT_DIR": folder,
                "GIT_OBJECT_DIRECTORY": str(self.common / "objects"),
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_ATTR_NOSYSTEM": "1",
            }
            if (self.common / "shallow").exists():
                variables["GIT_SHALLOW_FILE"] = str(self.common / "shallow")
            return what(Git(room, variables), *arguments)

    def _settings(self) -> str:
        core = f"[core]\n\trepositoryFormatVersion = 1\n\tbare = true\n\tattributesFile = {os.devnull}\n"
        extension = f"[extensions]\n\tobjectFormat = {self.algorithm}\n" if self.algorithm != "sha1" else ""
        return core + extension + _lazily(self.git, self.common)
