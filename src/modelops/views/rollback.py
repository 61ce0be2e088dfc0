"""What a way back came to: what left, what takes the traffic, and where that is written."""

from __future__ import annotations

from typing import Any

from modelops.governance.pending import RolledBack
from modelops.markup import plain
from modelops.reconcile.loop import Result


def text(done: RolledBack) -> str:
    """Return a sentence about what was done, or who had done it before."""
    if done.already is not None:
        return plain(done.already)
    gone = f"release {' and '.join(map(str, done.withdrawn))} is withdrawn, " if done.withdrawn else ""
    if done.paused:
        gone = "the rollout is paused, "
    stable = f"release {done.stable} is stable" if done.stable is not None else "no release is stable"
    if done.waits is not None:
        why = plain(done.waits.first.message)
        return f"{gone}{stable}: kept on this machine, the next pass pushes it ({why})"
    return f"{gone}{stable}: commit {(done.commit or '')[:10]}"


def data(done: RolledBack, result: Result | None) -> dict[str, Any]:
    """Return what was done, and what the runtime did then; None where nothing runs here."""
    return {
        "withdrawn": list(done.withdrawn),
        "stable": done.stable,
        "paused": done.paused,
        "commit": done.commit,
        "already": done.already,
        "waits": done.waits.first.message if done.waits is not None else None,
        "done": list(result.done) if result is not None else [],
    }
