"""The image of a release, as it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelops.changes.packaging import SBOM, Package
from modelops.markup import plain
from modelops.targets import Built

__all__ = ["data", "text"]


def text(package: Package, built: Built | None, folder: Path) -> str:
    """Return what was made and where it is."""
    lines = [f"{package.model} release {package.release}, artifact {package.digest[:19]}"]
    if built is not None:
        lines.append(f"image: {package.packed.name} ({built.size / 1e6:.0f} MB)")
    if built is not None and built.pushed is not None:
        lines.append(f"pushed: {built.pushed}")
    lines += [f"base: {package.packed.base}", f"built from: {folder}", f"bill of materials: {folder / SBOM}"]
    return "\n".join(map(plain, lines))


def data(package: Package, built: Built | None, folder: Path) -> dict[str, Any]:
    """Return it as plain data; sizes are in bytes."""
    return {
        "model": package.model,
        "release": package.release,
        "artifact": package.digest,
        "name": package.packed.name,
        "base": package.packed.base,
        "labels": dict(package.packed.labels),
        "files": str(folder),
        "sbom": str(folder / SBOM),
        "image": built.image if built is not None else None,
        "bytes": built.size if built is not None else None,
        "pushed": built.pushed if built is not None else None,
    }
