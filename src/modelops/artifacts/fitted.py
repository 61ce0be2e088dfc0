"""What of a fitted estimator is served: its searches replaced by what they found, and the threshold that it tuned."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelops.errors import failure
from modelops.spec.kinds.release import Search
from modelops.spec.meta import Scalar

__all__ = ["decides_at_least", "last_of", "own_threshold", "without_searches"]

_DEEPEST = 40


def without_searches(estimator: Any) -> tuple[Any, Search | None]:
    """Return the estimator with every fitted search in it replaced by the best estimator, and the outermost search.

    A search predicts by its best estimator alone; its splitters, scorers and distributions are of no use afterwards.
    """
    seen: dict[int, Any] = {}
    found: list[Any] = []
    replaced = _replaced(estimator, seen, found, 0)
    return replaced, _summary(found[0]) if found else None


def _replaced(item: Any, seen: dict[int, Any], found: list[Any], depth: int) -> Any:
    """Return an object without searches: containers are made anew, estimators keep being themselves."""
    from sklearn.base import BaseEstimator
    from sklearn.model_selection._search import BaseSearchCV

    if depth > _DEEPEST:
        return item
    if isinstance(item, BaseSearchCV):
        best = getattr(item, "best_estimator_", None)
        if best is None and not depth and not hasattr(item, "cv_results_"):
            return item
        if best is None and hasattr(item, "cv_results_"):
            name = type(item).__name__
            raise failure("not-fitted", f"{name} kept no best estimator", hint=f"make the {name} with refit=True")
        if best is not None:
            found.append(item)
        return _replaced(item.estimator if best is None else best, seen, found, depth + 1)
    if isinstance(item, (list, tuple)) and type(item) in (list, tuple):
        return type(item)([_replaced(each, seen, found, depth + 1) for each in item])
    if type(item) is dict:
        return {key: _replaced(each, seen, found, depth + 1) for key, each in item.items()}
    if isinstance(item, np.ndarray) and item.dtype == object and item.flags.writeable:
        for place in np.ndindex(item.shape):
            item[place] = _replaced(item[place], seen, found, depth + 1)
        return item
    holds = isinstance(item, BaseEstimator) or type(item).__name__ in ("_CalibratedClassifier", "Bunch")
    if holds and id(item) not in seen:
        seen[id(item)] = item
        fields = item if isinstance(item, dict) else vars(item)
        for name, value in list(fields.items()):
            fields[name] = _replaced(value, seen, found, depth + 1)
    return item


def _summary(search: Any) -> Search:
    """Return what a reader asks of a search: how much was tried, what was best, and by how much."""
    results = search.cv_results_
    score = search.refit if isinstance(search.refit, str) else "score"
    means = np.asarray(results.get(f"mean_test_{score}", ()), dtype=np.float64)
    spreads = np.asarray(results.get(f"std_test_{score}", ()), dtype=np.float64)
    finite = np.isfinite(means)
    best = int(search.best_index_)
    return Search(
        by=type(search).__name__,
        candidates=len(results["params"]),
        splits=int(search.n_splits_),
        scoring=_named(search.scoring) if score == "score" else score,
        best={str(name): _scalar(value) for name, value in sorted(search.best_params_.items())},
        mean=float(means[best]) if len(means) and finite[best] else None,
        deviation=float(spreads[best]) if len(spreads) and np.isfinite(spreads[best]) else None,
        worst=float(means[finite].min()) if finite.any() else None,
    )


def _named(scoring: Any) -> str:
    if scoring is None:
        return "the estimator's own score"
    return scoring if isinstance(scoring, str) else str(getattr(scoring, "_score_func", scoring).__name__)[:80]


def _scalar(value: Any) -> Scalar:
    """Return a parameter as a release can hold it: what is no number, word or truth value by its text."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and not np.isfinite(plain):
        return str(plain)
    return plain if isinstance(plain, (bool, int, float, str)) else str(plain)[:200]


def own_threshold(estimator: Any) -> float | None:
    """Return the share of positives from which an estimator itself says yes, None where it has no threshold.

    A threshold on something else than the probability of the positive class raises ``bad-threshold``.
    """
    from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

    estimator = last_of(estimator)
    if not isinstance(estimator, (FixedThresholdClassifier, TunedThresholdClassifierCV)):
        return None
    name = type(estimator).__name__
    tuned = isinstance(estimator, TunedThresholdClassifierCV)
    value = estimator.best_threshold_ if tuned else estimator.threshold
    inner = estimator.estimator_
    response = estimator.response_method
    by_probability = response == "predict_proba" or (response == "auto" and hasattr(inner, "predict_proba"))
    if not by_probability:
        raise failure(
            "bad-threshold",
            f"the threshold of {name} is one of decision_function, what is served are probabilities",
            hint=f"make the {name} with response_method='predict_proba'",
        )
    if getattr(estimator, "pos_label", None) not in (None, 1):
        raise failure(
            "bad-threshold",
            f"the threshold of {name} is one of the class {estimator.pos_label!r}",
            hint="leave pos_label out: the positive class of the spec is 1 while training",
        )
    value = 0.5 if value == "auto" else float(value)
    if not 0 < value < 1:
        raise failure(
            "bad-threshold",
            f"the threshold of {name} is {value:g}, so every row gets the same label",
            hint="tune it on more rows, or set spec.serving.threshold and return the estimator without it",
        )
    return value


def decides_at_least(estimator: Any) -> bool:
    """Tell whether ``predict`` says yes where the share of positives is exactly the threshold; most say no there."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

    yes = (FixedThresholdClassifier, GradientBoostingClassifier, TunedThresholdClassifierCV)
    return isinstance(last_of(estimator), yes)


def last_of(estimator: Any) -> Any:
    """Return the estimator that answers for a pipeline."""
    from sklearn.frozen import FrozenEstimator
    from sklearn.pipeline import Pipeline

    while isinstance(estimator, (Pipeline, FrozenEstimator)):
        estimator = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator.estimator
    return estimator
