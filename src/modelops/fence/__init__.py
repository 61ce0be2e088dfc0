"""The fence: the one way in which code of the repository runs, be it training or the command that makes data.

``guard.start`` is called in a process of ours that holds no secret; it forks and closes around the fork whatever the
machine offers. ``run_program`` starts such a process for a program of the repository and waits for its end.
"""

from modelops.fence.bounds import MEANS, Bounds, Terms
from modelops.fence.held import Held, missing, promises
from modelops.fence.promises import PROMISES, Promise

__all__ = ["MEANS", "PROMISES", "Bounds", "Held", "Promise", "Terms", "missing", "promises"]
