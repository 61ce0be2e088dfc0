"""What the reviewer of a restoration reads: what failed, what main still holds, and which files go back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelops.markup import code, escape

if TYPE_CHECKING:
    # Most passes build nothing and take nothing back.
    from modelops.changes.restoring import RestorationCase


def markdown(case: RestorationCase) -> str:
    """Return the body of the pull request that takes a model's inputs back."""
    listed = "\n".join(f"- {code(path)}" for path in case.files)
    return (
        f"Release {case.failed} of {case.seat.model} failed in {case.seat.environment}: {escape(case.reason)}\n\n"
        f"Main still holds what it was made from. This takes the model's spec and code back to commit "
        f"{code(case.commit)}, from which the stable release {case.stable} was made:\n\n{listed}\n\n"
        "Close it to keep what is there, and it is not asked again."
    )
