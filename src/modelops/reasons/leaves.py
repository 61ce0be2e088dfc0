"""The leaves of an ensemble of trees, and what each leaf gives to the Shapley values of a row.

A leaf is reached by a row that is put together of x and of a background row b exactly when every feature on its path
comes from where it passes. With p features that must come from x and q that must come from b, the leaf adds
w / (p C(p+q, p)) to each of the p and takes w / (q C(p+q, q)) from each of the q: the Shapley value of that game, exact
(interventional TreeSHAP, Lundberg et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import comb
from typing import Any

import numpy as np

__all__ = ["Forest", "Game", "Leaves"]

Array = np.ndarray[Any, Any]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]

DEEPEST = 64
"""So many features may be on one path: each is a bit of a word."""
_BLOCK = 1 << 18
"""So many pairs of a leaf and a background row are looked at in one step of numpy's, which lets nobody in meanwhile."""


@dataclass(frozen=True)
class Forest:
    """The split nodes of all trees as arrays, and their leaves; a node goes to ``true`` where its test holds.

    ``members`` are the values of a node that tests for membership. ``true_leaf`` and ``false_leaf`` say whether what
    is gone to is a leaf.
    """

    roots: Array
    column: Array
    split: FloatArray
    missing: Array
    true: Array
    true_leaf: Array
    false: Array
    false_leaf: Array
    target: Array
    weight: FloatArray
    members: Mapping[int, Array]

    def holds(self, encoded: FloatArray) -> Array:
        """Return for each node whether its test holds for a row of the encoded columns, shape (width,)."""
        values = encoded[self.column]
        absent = np.isnan(values)
        with np.errstate(invalid="ignore"):
            found: Array = values <= self.split
        for node, known in self.members.items():
            found[node] = bool((known == values[node]).any())
        return np.where(absent, self.missing, found)

    def paths(self) -> Iterator[tuple[Array, Array, Array]]:
        """Yield groups of leaves of equal depth: leaf (m,), nodes on the way (m, d), and which way was taken (m, d)."""
        nodes, path, way = self.roots, np.empty((len(self.roots), 0), int), np.empty((len(self.roots), 0), bool)
        while len(nodes):
            path = np.column_stack([path, nodes])
            level: list[tuple[Array, Array, Array]] = []
            leaves: list[tuple[Array, Array, Array]] = []
            for taken, child, is_leaf in ((True, self.true, self.true_leaf), (False, self.false, self.false_leaf)):
                ways = np.column_stack([way, np.full(len(nodes), taken)])
                ends, below = is_leaf[nodes].astype(bool), child[nodes]
                leaves.append((below[ends], path[ends], ways[ends]))
                level.append((below[~ends], path[~ends], ways[~ends]))
            if sum(len(each[0]) for each in leaves):
                yield tuple(np.concatenate(each) for each in zip(*leaves, strict=True))  # type: ignore[misc]
            nodes, path, way = (np.concatenate(each) for each in zip(*level, strict=True))


@dataclass
class Leaves:
    """Leaves of one depth, with a bit for each feature on the path of each; ``feature`` is (m, s), ``slot`` (m, d)."""

    leaf: Array
    nodes: Array
    way: Array
    slot: Array
    feature: Array
    full: Array
    behind: Array = field(default_factory=lambda: np.empty((0, 0), np.uint64))

    @classmethod
    def of(cls, leaf: Array, nodes: Array, way: Array, owner: Array) -> Leaves | None:
        """Number the features on each path; None where there are too many for a word."""
        features = owner[nodes]
        order = np.argsort(features, axis=1, kind="stable")
        sorted_ = np.take_along_axis(features, order, axis=1)
        fresh = np.column_stack([np.zeros(len(leaf), int), (sorted_[:, 1:] != sorted_[:, :-1]).astype(int)])
        numbers = fresh.cumsum(axis=1)
        most = int(numbers.max(initial=0)) + 1
        if most > DEEPEST:
            return None
        slot = np.empty_like(numbers)
        np.put_along_axis(slot, order, numbers, axis=1)
        feature = np.full((len(leaf), most), -1)
        np.put_along_axis(feature, numbers, sorted_, axis=1)
        count = numbers[:, -1] + 1
        full = np.where(
            count == DEEPEST, ~np.uint64(0), (np.uint64(1) << (count % 64).astype(np.uint64)) - np.uint64(1)
        )
        return cls(leaf, nodes, way, slot.astype(np.uint64), feature, full)

    def passed(self, holds: Array) -> Array:
        """Return for each leaf the features whose tests a row passes, as bits, shape (m,)."""
        failed = np.where(holds[self.nodes] == self.way, np.uint64(0), np.uint64(1) << self.slot)
        missed: Array = np.bitwise_or.reduce(failed, axis=1)
        return self.full & ~missed


class Game:
    """The leaves of a forest against some background rows; ``owner`` is the feature of each encoded column.

    ``holds`` are the tests of the background rows, shape (rows, nodes). Columns of no feature are alike in all rows
    that are compared, so that it does not matter whose they are.
    """

    def __init__(self, forest: Forest, owner: Array, features: int, holds: Array, check: Callable[[], None]) -> None:
        self.rows = len(holds)
        self._forest = forest
        self._features = features
        self._groups: list[Leaves] = []
        self.possible = True
        owned = np.where(owner < 0, features, owner)
        for leaf, nodes, way in forest.paths():
            check()
            group = Leaves.of(leaf, nodes, way, owned[forest.column])
            if group is None:
                self.possible = False
                return
            behind = []
            for row in holds:
                check()
                behind.append(group.passed(row))
            group.behind = np.array(behind)
            self._groups.append(group)

    def sums(self, holds: Array, targets: int) -> FloatArray:
        """Return what the trees add up to for a row, shape (targets,)."""
        found = np.zeros(targets)
        for group in self._groups:
            reached = group.leaf[group.passed(holds) == group.full]
            found += np.bincount(self._forest.target[reached], self._forest.weight[reached], targets)[:targets]
        return found

    def values(self, holds: Array, share: FloatArray, check: Callable[[], None]) -> FloatArray:
        """Return the contributions of the features, shape (k,), to sums that count each target by its ``share``."""
        found = np.zeros(self._features + 1)
        for group in self._groups:
            own = group.passed(holds)
            weights = self._forest.weight[group.leaf] * share[self._forest.target[group.leaf]]
            step = max(1, _BLOCK // len(own))
            for begin in range(0, self.rows, step):
                check()
                found += self._block(group, own, group.behind[begin : begin + step], weights)
        return found[: self._features] / self.rows

    def _block(self, group: Leaves, own: Array, behind: Array, weights: FloatArray) -> FloatArray:
        alive = ((own | behind) == group.full) & (own != behind)
        which, leaf = np.nonzero(alive)
        mine = own[leaf] & ~behind[which, leaf]
        theirs = behind[which, leaf] & ~own[leaf]
        p, q = np.bitwise_count(mine), np.bitwise_count(theirs)
        gain, loss = weights[leaf] * _WEIGHTS[p, q], weights[leaf] * _WEIGHTS[q, p]
        found = np.zeros(self._features + 1)
        for slot in range(group.feature.shape[1]):
            bit = np.uint64(1) << np.uint64(slot)
            change = np.where(mine & bit, gain, 0.0) - np.where(theirs & bit, loss, 0.0)
            moved = np.flatnonzero(change)
            found += np.bincount(group.feature[leaf[moved], slot], change[moved], len(found))
        return found


def _weight(p: int, q: int) -> float:
    """Return what one of p features gets that all have to be there while q must not: (p-1)! q! / (p+q)!."""
    return 1.0 / (p * comb(p + q, p)) if p else 0.0


_WEIGHTS = np.array([[_weight(p, q) for q in range(DEEPEST + 1)] for p in range(DEEPEST + 1)])
