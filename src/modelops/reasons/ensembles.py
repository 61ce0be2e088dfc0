"""A served ONNX model whose answer is, but for its link, the sum of one ensemble of trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelops.artifacts.onnx_described import parse_model
from modelops.artifacts.onnx_session import feeder, session
from modelops.artifacts.signature import Signature
from modelops.reasons.asking import CHUNK, Budget, Columns, Mixer
from modelops.reasons.leaves import Forest, Game
from modelops.reasons.scales import PLAIN, SCALES, plain
from modelops.spec.kinds.model import Task

__all__ = ["Trees", "find_trees"]

Array = np.ndarray[Any, Any]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]

MOST_TESTS = 1 << 25
"""So many tests on the ways to leaves are made for the background; of larger ensembles fewer of its rows are taken."""
LEAST_ROWS = 16
"""Fewer rows of the background are no average of anything."""
TOLERANCE = 1e-6
"""How far the sum of the trees may be from the score, relative above 1; sums in float32 are off by ten times more."""
_AT_MOST, _MEMBER = 0, 6
_MIDDLE = 1e-4


@dataclass(frozen=True)
class _Link:
    """How scores come of the sums of the trees: on a scale they are ``slope`` times the sum and ``offset``."""

    scale: str
    slope: float
    offset: float


class Trees:
    """Explains rows leaf by leaf; not to be used by two threads at a time."""

    def __init__(self, forest: Forest, encode: Callable[[Columns], FloatArray], tolerance: float) -> None:
        self._forest = forest
        self._encode = encode
        self._tolerance = tolerance
        self.link = _Link("", 1.0, 0.0)
        self.rows = 0

    def prepare(self, mixer: Mixer, task: Task, scores: FloatArray, budget: Budget) -> bool:
        """Learn of which feature each encoded column is, and the link; False where the trees cannot be explained so."""
        encoded = self._encode(mixer.background)
        owner = np.full(encoded.shape[1], -1)
        if not self._learn(owner, mixer, mixer.background, encoded[0], encoded):
            return False
        self._base, self._owner, self._classes = encoded[0], owner, 1 if scores.ndim == 1 else scores.shape[1]
        tests = sum(nodes.size for _, nodes, _ in self._forest.paths())
        self.rows = min(mixer.rows, MOST_TESTS // max(tests, 1))
        if self.rows < min(LEAST_ROWS, mixer.rows):
            return False
        self._holds = np.array([self._forest.holds(row) for row in encoded[: self.rows]])
        self._game = Game(self._forest, owner, len(mixer.names), self._holds, budget.require)
        if not self._game.possible:
            return False
        sums = np.array([self._game.sums(holds, self._classes) for holds in self._holds])
        found = _link_of(sums, plain(scores)[: self.rows], task, self._tolerance)
        if found is None:
            return False
        self.link, self._sums = found, sums
        return True

    def __call__(
        self, mixer: Mixer, row: Columns, scored: FloatArray, target: int, budget: Budget
    ) -> tuple[float, FloatArray, float] | None:
        """Return baseline, contributions (k,) and value, or None where a row is encoded or answered otherwise."""
        encoded, owner = self._encode(row), self._owner.copy()
        if not self._learn(owner, mixer, row, self._base, encoded):
            return None
        if (owner >= 0).sum() > (self._owner >= 0).sum():
            game = Game(self._forest, owner, len(mixer.names), self._holds, budget.require)
            if not game.possible:
                return None
            # Both or none: where the time ends before, the next row learns it again.
            self._owner, self._game = owner, game
        holds = self._forest.holds(encoded[0])
        sums, link = self._game.sums(holds, self._classes), self.link
        share = np.eye(self._classes)[target]
        if link.scale == "centred log-probability":
            share = share - 1.0 / self._classes
        if not _answers(link, sums[None], plain(scored), self._tolerance):
            return None
        found = self._game.values(holds, share, budget.require) * link.slope
        baseline = float((self._sums @ share).mean()) * link.slope + link.offset
        return baseline, found, float(sums @ share) * link.slope + link.offset

    def _learn(self, owner: Array, mixer: Mixer, rows: Columns, base: FloatArray, encoded: FloatArray) -> bool:
        """Note which columns each feature changes; False unless every column follows from one feature alone."""
        count, width = len(encoded), len(mixer.names)
        swapped = np.concatenate(
            [
                self._encode(mixer.swap(rows, np.arange(begin, min(begin + CHUNK, count * width))))
                for begin in range(0, count * width, CHUNK)
            ]
        ).reshape(width, count, -1)
        changed = ~_same(swapped, base).all(axis=1)
        if (changed.sum(axis=0) > 1).any():
            return False
        feature = np.where(changed.any(axis=0), changed.argmax(axis=0), -1)
        if ((owner >= 0) & (feature >= 0) & (owner != feature)).any():
            return False
        np.copyto(owner, feature, where=feature >= 0)
        columns = np.arange(encoded.shape[1])
        put_together = swapped[np.maximum(owner, 0), :, columns].T
        return bool(_same(encoded, np.where(owner >= 0, put_together, base)).all())


def _same(one: FloatArray, other: FloatArray) -> Array:
    found: Array = (one == other) | (np.isnan(one) & np.isnan(other))
    return found


def _link_of(sums: FloatArray, scores: FloatArray, task: Task, tolerance: float) -> _Link | None:
    """Return how scores follow from sums, both of shape (n, c), by the rows of the background."""
    if task == "multiclass-classification":
        one = sums.sum(axis=1, keepdims=True)
        scaled = sums / one if (one > 0).all() else sums
        candidates = [_Link("centred log-probability", 1.0, 0.0)]
        if np.allclose(scaled, scores, atol=tolerance, rtol=0):
            candidates = [_Link("probability", float(1.0 / one.mean()), 0.0)]
    else:
        candidates = [
            found for scale in SCALES[task] if (found := _fitted(scale, sums[:, 0], scores, task)) is not None
        ]
    return next((each for each in candidates if _answers(each, sums, scores, tolerance)), None)


def _fitted(scale: str, sums: FloatArray, scores: FloatArray, task: Task) -> _Link | None:
    on_scale = SCALES[task][scale](scores)[:, 0]
    use = np.isfinite(on_scale)
    if task == "binary-classification" and scale != PLAIN[task]:
        use &= (scores[:, 0] > _MIDDLE) & (scores[:, 0] < 1 - _MIDDLE)
    if use.sum() < 2 or np.ptp(sums[use]) == 0:
        return None
    slope, offset = np.polyfit(sums[use], on_scale[use], 1)
    # What the link is made of are whole numbers and shares of trees; the fit is off by its rounding.
    for exact in (1.0, 2.0):
        if abs(slope - exact) < _MIDDLE and abs(offset) < _MIDDLE:
            return _Link(scale, exact, 0.0)
    return _Link(scale, float(slope), float(offset))


def _answers(link: _Link, sums: FloatArray, scores: FloatArray, tolerance: float) -> bool:
    """Tell whether scores are those that sums lead to."""
    value = sums * link.slope + link.offset
    with np.errstate(over="ignore"):
        match link.scale:
            case "log-odds":
                value = 1.0 / (1.0 + np.exp(-value))
            case "log of the prediction":
                value = np.exp(value)
            case "centred log-probability":
                powers = np.exp(value - value.max(axis=1, keepdims=True))
                value = powers / powers.sum(axis=1, keepdims=True)
    return bool((np.abs(value - scores) <= tolerance * np.maximum(1.0, np.abs(scores))).all())


def find_trees(data: bytes, signature: Signature) -> Trees | None:
    """Return the trees of an ONNX model, None where it is not built on exactly one ensemble of the operator."""
    model = parse_model(data)
    nodes = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    if len(nodes) != 1 or (nodes[0].domain, nodes[0].op_type) != ("ai.onnx.ml", "TreeEnsemble"):
        return None
    named = {attribute.name: attribute for attribute in nodes[0].attribute}
    if named["aggregate_function"].i != 1 if "aggregate_function" in named else False:
        return None
    splits = _numbers(named["nodes_splits"].t)
    modes = np.asarray(_numbers(named["nodes_modes"].t)).astype(int)
    if not set(modes.tolist()) <= {_AT_MOST, _MEMBER}:
        return None
    forest = Forest(
        roots=_whole(named, "tree_roots"),
        column=_whole(named, "nodes_featureids"),
        split=splits.astype(np.float64),
        missing=_whole(named, "nodes_missing_value_tracks_true").astype(bool)
        if "nodes_missing_value_tracks_true" in named
        else np.zeros(len(splits), bool),
        true=_whole(named, "nodes_truenodeids"),
        true_leaf=_whole(named, "nodes_trueleafs"),
        false=_whole(named, "nodes_falsenodeids"),
        false_leaf=_whole(named, "nodes_falseleafs"),
        target=_whole(named, "leaf_targetids"),
        weight=_numbers(named["leaf_weights"].t).astype(np.float64),
        members=_members(named, modes),
    )
    encoded = nodes[0].input[0]
    if any(encoded in node.output for node in model.graph.node):
        del model.graph.output[:]
        model.graph.output.add(name=encoded)
    loaded = session(model.SerializeToString())
    feed = feeder(loaded, signature)

    def encode(columns: Columns) -> FloatArray:
        given = feed(columns)
        if encoded in given:
            return np.asarray(given[encoded], dtype=np.float64)
        return np.asarray(loaded.run([encoded], given)[0], dtype=np.float64)

    return Trees(forest, encode, TOLERANCE * (10 if splits.dtype == np.float32 else 1))


def _whole(named: Mapping[str, Any], name: str) -> Array:
    return np.array(named[name].ints, dtype=np.intp)


_KINDS = {1: ("float_data", np.float32), 2: ("int32_data", np.uint8), 11: ("double_data", np.float64)}


def _numbers(tensor: Any) -> Array:
    """Return the values of a tensor of floats, doubles or bytes, however they are kept."""
    field, dtype = _KINDS[tensor.data_type]
    return np.frombuffer(tensor.raw_data, dtype) if tensor.raw_data else np.array(getattr(tensor, field), dtype)


def _members(named: Mapping[str, Any], modes: Array) -> dict[int, Array]:
    """Return what each node tests for membership in: the values of all of them in one list, with NaN behind each."""
    testing = np.flatnonzero(modes == _MEMBER)
    if not len(testing):
        return {}
    values = _numbers(named["membership_values"].t).astype(np.float64)
    parts = np.split(values, np.flatnonzero(np.isnan(values)) + 1)
    return {int(node): part[:-1] for node, part in zip(testing, parts, strict=False)}
