"""Who may call, and what of the server a caller may know of."""

from modelops.serving.guard.keys import Caller, Guard, guard
from modelops.serving.guard.visible import ALL, Sight, view_for, without_paths

__all__ = ["ALL", "Caller", "Guard", "Sight", "guard", "view_for", "without_paths"]
