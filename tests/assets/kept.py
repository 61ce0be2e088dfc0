"""What released versions wrote, brought back to life in a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from git_world import git
from world.shop import GITCONFIG, Ended, Shop
from world.verbs import run

HERE = Path(__file__).resolve().parent
ASSETS = sorted(path for path in HERE.glob("v*") if path.is_dir())
MODEL = "churn"
NOW = "2026-05-06T12:00:00Z"
"""A day after the story's end."""


@dataclass
class Kept(Shop):
    """A clone of what a version left, with its store, runtime and key; its verbs are today's, in this process."""

    def run(self, *words: str, more: object = None) -> Ended:
        answer = run(self.root, self.environ(), *words)
        return Ended(answer.code, answer.out, answer.err)


World = TypeVar("World", bound=Kept)
Revive = Callable[..., Kept]
"""Makes copies for one test; takes ``on_trial``."""


def revive(asset: Path, folder: Path, *, on_trial: bool = False, kind: type[World] = Kept) -> World:
    """Return the end of the story, or the time when release 3 was on trial."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gitconfig").write_text(GITCONFIG, encoding="utf-8")
    (folder / "clock").write_text(NOW, encoding="utf-8")
    kept = kind(folder)
    git(folder, "clone", "-q", "--mirror", str(asset / "origin.bundle"), "origin.git")
    if on_trial:
        git(kept.origin, "update-ref", "refs/heads/main", (asset / "on-trial" / "commit").read_text().strip())
    git(folder, "clone", "-q", str(kept.origin), "shop")
    state = kept.root / ".modelops"
    shutil.copytree(asset / "modelops", state)
    (state / "keys" / "local.pem").chmod(0o600)
    if on_trial:
        shutil.rmtree(state / "runtime")
        shutil.copytree(asset / "on-trial" / "runtime", state / "runtime")
    return kept


def prediction_ids(asset: Path) -> list[str]:
    """Return ids of answered requests, the oldest first."""
    return (asset / "predictions.txt").read_text(encoding="utf-8").split()
