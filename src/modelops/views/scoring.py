"""What came of a file that went through a model."""

from __future__ import annotations

from typing import Any

from modelops.markup import plain
from modelops.scoring.files import Scored


def data(found: Scored, model: str) -> dict[str, Any]:
    """Return rows, the releases that answered them, and where they are."""
    return {
        "model": model,
        "rows": found.rows,
        "releases": {str(release): rows for release, rows in sorted(found.releases.items())},
        "written": str(found.written) if found.written is not None else None,
    }


def text(found: Scored, model: str) -> str:
    """Return one line."""
    said = f"{found.rows} row{'s' if found.rows != 1 else ''} predicted by {plain(model)}"
    many = len(found.releases) > 1
    for release, rows in sorted(found.releases.items()):
        said += f", release {release}{f' ({rows} rows)' if many else ''}"
    return said + (f", written to {plain(found.written)}" if found.written is not None else "")
