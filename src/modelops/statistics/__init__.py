"""Statistics: sequential tests, intervals, planning, off-policy estimates, losses, distances; arrays in, numbers out.

Nothing here knows models, files or rollouts. Every public function says what it takes and returns, in which shapes and
units, where it comes from, and shows one example that the tests run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]
Units = np.ndarray[Any, np.dtype[np.uint64]]
"""Hashes of entities: what was assigned to an arm, and so what is independent."""

Bounds = tuple[float, float]
"""A lower and an upper bound, in the unit of what is bounded."""
