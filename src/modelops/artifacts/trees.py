"""Trees and sparse matrices from a file: every index is checked before scikit-learn follows it without checking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelops.artifacts.parts.part import Part
from modelops.errors import ModelOpsError, failure

__all__ = ["check_trees", "split_thresholds"]

Array = np.ndarray[Any, Any]


def check_trees(root: Any) -> None:
    """Check all trees and sparse matrices below an estimator; an index that points nowhere raises ``crafted-tree``.

    Children have larger indices than their parent and lie within the tree, so every walk ends; split features lie
    within the number of features of the estimator that feeds the tree.
    """
    from scipy.sparse import issparse
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
    from sklearn.neighbors import BallTree, KDTree
    from sklearn.tree._tree import Tree

    for item, widths in _walk(root):
        if isinstance(item, Tree):
            _check_tree(item, widths)
        elif isinstance(item, TreePredictor):
            _check_predictor(item, widths)
        elif isinstance(item, (KDTree, BallTree)):
            _check_neighbours(item, bounds=2 if isinstance(item, KDTree) else 1)
        elif issparse(item):
            _check_sparse(item)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an object sits: the feature count of its estimator, and of an ensemble that feeds its trees unchecked."""

    widths: tuple[int, ...] = ()
    ensemble: int | None = None


def _walk(root: Any) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Yield each object below ``root`` with the feature counts that its data must have."""
    stack: list[tuple[Any, _Place]] = [(root, _Place())]
    seen: set[int] = set()
    while stack:
        item, place = stack.pop()
        if id(item) in seen or isinstance(item, (str, bytes, int, float, bool, type(None))):
            continue
        seen.add(id(item))
        yield item, place.widths
        if isinstance(item, dict):
            stack.extend((value, place) for value in item.values())
        elif isinstance(item, (list, tuple, set)):
            stack.extend((value, place) for value in item)
        elif isinstance(item, np.ndarray):
            stack.extend((value, place) for value in item.flat if item.dtype == object)
        else:
            inside = _inside(item, place)
            stack.extend((value, inside) for value in getattr(item, "__dict__", {}).values())


def _inside(item: Any, place: _Place) -> _Place:
    from sklearn.ensemble._forest import BaseForest
    from sklearn.ensemble._gb import BaseGradientBoosting
    from sklearn.tree import BaseDecisionTree

    state = getattr(item, "__dict__", {})
    width = state.get("n_features_in_")
    for columns, member in zip(state.get("estimators_features_", ()), state.get("estimators_", ()), strict=False):
        if len(columns) != getattr(member, "n_features_in_", len(columns)):
            raise _crafted("it is given other columns than it was grown on")
    if not isinstance(width, (int, np.integer)):
        return _Place(place.widths)
    if isinstance(item, BaseDecisionTree):
        return _Place((int(width),) if place.ensemble is None else (int(width), place.ensemble))
    feeds = isinstance(item, (BaseForest, BaseGradientBoosting))
    return _Place((int(width),), int(width) if feeds else None)


def _check_tree(tree: Any, widths: tuple[int, ...]) -> None:
    nodes = tree.__getstate__()["nodes"]
    left, right, feature = nodes["left_child"], nodes["right_child"], nodes["feature"]
    if len(nodes) != tree.node_count or not len(nodes) or any(tree.n_features != width for width in widths):
        raise _crafted("its size or number of features contradicts its estimator")
    inner = left != -1
    _check_children(left[inner], right[inner], np.flatnonzero(inner), len(nodes))
    _check_range(feature[inner], tree.n_features)


def _check_predictor(predictor: Any, widths: tuple[int, ...]) -> None:
    nodes = predictor.nodes
    if not len(nodes):
        raise _crafted("it has no node")
    inner = nodes["is_leaf"] == 0
    left, right = nodes["left"][inner].astype(np.int64), nodes["right"][inner].astype(np.int64)
    _check_children(left, right, np.flatnonzero(inner), len(nodes))
    if not widths:
        raise _crafted("no estimator says how many features it has")
    _check_range(nodes["feature_idx"][inner], min(widths))
    categorical = inner & (nodes["is_categorical"] != 0)
    bitsets = min(len(predictor.raw_left_cat_bitsets), len(predictor.binned_left_cat_bitsets))
    _check_range(nodes["bitset_idx"][categorical], bitsets)


def _check_neighbours(tree: Any, bounds: int) -> None:
    """The points of neighbours: node i has the children 2 i + 1 and 2 i + 2, and a share of the list of all points."""
    data, order, nodes, limits, *numbers = tree.__getstate__()[:7]
    count, (rows, width) = len(nodes), data.shape
    levels, named = numbers[1], numbers[2]
    if not rows or not count or named != count or count != 2**levels - 1 or len(order) != rows:
        raise _crafted("its nodes contradict their number")
    if limits.shape != (bounds, count, width):
        raise _crafted("its bounds are those of another tree")
    start, end = nodes["idx_start"], nodes["idx_end"]
    if (start < 0).any() or (end > rows).any() or (start > end).any() or (order < 0).any() or (order >= rows).any():
        raise _crafted("a node names a point that does not exist")
    if (nodes["is_leaf"][count // 2 :] == 0).any():
        raise _crafted("a node points outside the tree")


def _check_sparse(matrix: Any) -> None:
    if matrix.format not in ("csr", "csc"):
        raise _crafted(f"it holds a sparse matrix in the form {matrix.format}")
    try:
        matrix.check_format(full_check=True)
    except ValueError:
        raise _crafted("a sparse matrix has a value outside its shape") from None


def _check_children(left: Array, right: Array, parents: Array, count: int) -> None:
    for children in (left, right):
        if (children <= parents).any() or (children >= count).any():
            raise _crafted("a node points outside the tree or back to its ancestors")


def _check_range(values: Array, limit: int) -> None:
    numbers = values.astype(np.int64)
    if (numbers < 0).any() or (numbers >= limit).any():
        raise _crafted("a node splits on a feature that does not exist")


def _crafted(what: str) -> ModelOpsError:
    return failure("crafted-tree", f"a tree or matrix of the model is refused: {what}")


def split_thresholds(root: Any) -> dict[int, Array]:
    """Return the thresholds of all trees below an estimator by the feature they split on."""
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
    from sklearn.tree._tree import Tree

    features: list[Array] = []
    thresholds: list[Array] = []
    for item, _ in _walk(root):
        if isinstance(item, Tree):
            inner = item.children_left != -1
            features.append(item.feature[inner])
            thresholds.append(item.threshold[inner])
        elif isinstance(item, TreePredictor):
            inner = (item.nodes["is_leaf"] == 0) & (item.nodes["is_categorical"] == 0)
            features.append(item.nodes["feature_idx"][inner].astype(np.int64))
            thresholds.append(item.nodes["num_threshold"][inner])
        elif isinstance(item, Part):
            for column, values in item.thresholds().items():
                features.append(np.full(len(values), column, dtype=np.int64))
                thresholds.append(np.asarray(values, dtype=np.float64))
    if not features:
        return {}
    feature, threshold = np.concatenate(features), np.concatenate(thresholds)
    return {int(index): threshold[feature == index] for index in np.unique(feature)}
