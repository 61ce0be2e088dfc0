"""Explaining the rows of one release, by the way that fits it best, within a stated time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelops.artifacts import Artifact, Predictor
from modelops.artifacts.package import ONNX
from modelops.artifacts.predictor import MODEL_ERRORS
from modelops.errors import ModelOpsError
from modelops.predictions import label_text
from modelops.reasons.additive import TOLERANCE, find_additive
from modelops.reasons.asking import Budget, Columns, Mixer, not_explained
from modelops.reasons.coalitions import enumerable, enumerated, sampled
from modelops.reasons.ensembles import Trees, find_trees
from modelops.reasons.explanation import Explanation
from modelops.reasons.scales import PLAIN, plain

__all__ = ["PREPARE_SECONDS", "Explainer", "explainer_of", "prepared"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

PREPARE_SECONDS = 5.0
"""How long it may take to find out how a release is explained, once in its life in a process."""
PREPARATIONS = 3
"""So often that is tried before what there was time for is what there is: a busy machine says nothing of a release."""


def explainer_of(artifact: Artifact, predictor: Predictor) -> Explainer | str:
    """Return what explains a release, or why nothing does: that is no reason not to serve it."""
    try:
        background = artifact.background
    except ModelOpsError as error:
        return error.first.message
    if background is None:
        return "the release keeps no background rows, as those built before reasons were given: build it again"
    return Explainer(predictor, background, artifact.files.get(ONNX))


def prepared(explainer: Explainer | str) -> str:
    """Return in words how a release is explained."""
    return explainer if isinstance(explainer, str) else explainer.way


class Explainer:
    """Explains rows of one release; not to be used by two threads at a time.

    ``background`` are the rows that stand in for what is not given, one array of shape (n,) per feature. ``onnx`` is
    the model that is served, None where that is not ONNX.
    """

    def __init__(self, predictor: Predictor, background: Columns, onnx: bytes | None) -> None:
        self._predictor = predictor
        self._onnx = onnx
        self._mixer = Mixer(lambda columns: predictor.predict_columns(columns).scores, background)
        self._scores: FloatArray | None = None
        self._additive: Any = None
        self._trees: Trees | None = None
        self._refusal: str | None = None
        self._late = 0

    @property
    def way(self) -> str:
        """How rows are explained, once one was."""
        if self._scores is None:
            return "not asked yet"
        if self._additive is not None:
            return "additive"
        return "trees" if self._trees is not None else "enumerated" if enumerable(self._mixer) else "sampled"

    def explain(
        self, row: Columns, served: FloatArray, seconds: float | None, like: Explanation | None = None
    ) -> Explanation:
        """Return why a row, one value per feature, has the score that was served, of shape (1,) or (1, classes).

        What cannot be explained within so many seconds, or not at all, raises ``not-explained``. Where there is time
        for less than all coalitions, orders are sampled, as many as there is time for; ``like`` asks for as many as
        another explanation took.
        """
        if self._scores is None:
            self._prepare(None if seconds is None else PREPARE_SECONDS)
        if self._refusal is not None:
            raise not_explained(self._refusal)
        try:
            found = self._explained(row, served, Budget(seconds), like)
        except ModelOpsError:
            raise
        except MODEL_ERRORS as error:
            raise not_explained(f"the release failed on what was asked to explain it: {type(error).__name__}") from None
        if not np.isfinite(found.contributions).all() or found.gap > 10 * TOLERANCE:
            raise not_explained(f"what the features contribute is {found.gap:.2g} away from adding up to the score")
        return found

    def _prepare(self, seconds: float | None) -> None:
        """Find out how the release is explained; where the time is over before, the next row tries it again."""
        budget, task = Budget(seconds), self._predictor.signature.task
        mixer, scores = self._mixer, None
        additive: Any = None
        trees: Trees | None = None
        try:
            scores = mixer.ask(
                lambda at: {name: values[at] for name, values in mixer.background.items()}, mixer.rows, budget
            )
            additive = find_additive(mixer, task, scores, budget)
            if additive is None and self._onnx is not None:
                trees = self._trees_of(self._onnx, scores, budget)
        except ModelOpsError as error:
            if error.first.code != "not-explained":
                raise
            self._late += 1
            if not budget.allows() and self._late < PREPARATIONS:
                raise
            if scores is None:
                scores, self._refusal = np.empty(0), error.first.message
        self._scores, self._additive, self._trees = scores, additive, trees

    def _trees_of(self, data: bytes, scores: FloatArray, budget: Budget) -> Trees | None:
        """Return the trees that the release is made of, None for a graph of another make than those we know."""
        signature = self._predictor.signature
        try:
            trees = find_trees(data, signature)
            return trees if trees is not None and trees.prepare(self._mixer, signature.task, scores, budget) else None
        except ModelOpsError as error:
            if error.first.code == "not-explained":
                raise
            return None
        except MODEL_ERRORS:
            return None

    def _explained(self, row: Columns, served: FloatArray, budget: Budget, like: Explanation | None) -> Explanation:
        mixer, signature = self._mixer, self._predictor.signature
        assert self._scores is not None
        again = self._predictor.predict_columns(row).scores
        if np.abs(again - served).max() > TOLERANCE * max(1.0, float(np.abs(served).max())):
            raise not_explained("the release answers the same row differently when it is asked again")
        target, label = self._subject(served)
        way = like.method if like is not None else None
        if self._additive is not None and way in (None, "additive"):
            sums = self._additive(mixer, row, served, budget)
            if sums is not None:
                baseline, terms, value = (each[..., target] for each in sums)
                scale = self._additive.scale
                return self._told("additive", scale, label, mixer.rows, float(baseline), float(value), terms)
        if self._trees is not None and way in (None, "trees"):
            found = self._trees(mixer, row, served, target, budget)
            if found is not None:
                baseline, terms, value = found
                return self._told("trees", self._trees.link.scale, label, self._trees.rows, baseline, value, terms)
        if way in ("additive", "trees"):
            raise not_explained(f"the release is not explained in the way called {way}")
        value = float(plain(served)[0, target])
        scale = PLAIN[signature.task]
        every = enumerable(mixer) and (
            way == "enumerated" or (way is None and budget.allows(mixer.seconds * (mixer.rows << len(mixer.names))))
        )
        if every:
            baseline, terms = enumerated(mixer, row, target, budget)
            return self._told("enumerated", scale, label, mixer.rows, baseline, value, terms)
        if way == "enumerated":
            raise not_explained("the release has too many features for all coalitions of them")
        ends = plain(self._scores)[:, target], value
        terms, errors, many = sampled(mixer, row, ends, target, budget, like.rounds if like is not None else None)
        found_ = self._told("sampled", scale, label, mixer.rows, float(ends[0].mean()), value, terms, errors, many)
        return found_

    def _told(
        self,
        method: Any,
        scale: str,
        label: str | None,
        background: int,
        baseline: float,
        value: float,
        terms: FloatArray,
        errors: FloatArray | None = None,
        rounds: int = 0,
    ) -> Explanation:
        return Explanation(method, scale, label, self._mixer.names, background, baseline, value, terms, errors, rounds)

    def _subject(self, served: FloatArray) -> tuple[int, str | None]:
        """Return which column of the scores is explained, and its class: of several that of the answer."""
        signature = self._predictor.signature
        if signature.task == "regression":
            return 0, None
        if signature.task == "binary-classification":
            return 0, label_text(signature.classes[1])
        best = int(np.argmax(served[0]))
        return best, label_text(signature.classes[best])


def one_row(columns: Mapping[str, Any], at: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return one row of columns, as arrays of one value."""
    return {name: values[at : at + 1] for name, values in columns.items()}
