"""Encode and boost columns of any kind, for rows enough to learn from.

Numbers (dates and booleans among them) are taken as they are: histograms have a place for missing ones. Categories are
split by what they are worth, those of many values by their order too, as rare ones are too few for the former. A value
never seen in training counts as missing. With ``tune_threshold``, the score from which the positive class is answered
is that which does best by this measure on rows held back, over all of the training rows in turn while they are few.
``sample_weight`` is what each row counts for, None where the model has no column of weights.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

MANY = 20
MOST_CATEGORIES = 200
HELD_BACK = 10
FEW_ROWS = 20_000


def train(
    features: pd.DataFrame, target: pd.Series, parameters: dict[str, Any], seed: int, sample_weight: Any = None
) -> Any:
    """Return a fitted pipeline, or one with the threshold that it answers by."""
    parameters = dict(parameters)
    measure = parameters.pop("tune_threshold", None)
    # By position, not by name: that works whatever a column is called, also where the model is exported to.
    numbers = [place for place, kind in enumerate(features.dtypes) if kind.kind in "biuf"]
    categories = [place for place in range(features.shape[1]) if place not in set(numbers)]
    many = [place for place in categories if features.iloc[:, place].nunique() > MANY]
    unseen: dict[str, Any] = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    steps = [
        ("category", OrdinalEncoder(max_categories=MOST_CATEGORIES, **unseen), categories),
        ("number", "passthrough", numbers),
        ("order", OrdinalEncoder(**unseen), many),
    ]
    columns = ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0)
    if target.value_counts().min() < HELD_BACK:
        # Early stopping holds a tenth of the rows back, of every class some: a class of fewer rows has none to give.
        parameters |= {"early_stopping": False, "max_iter": min(60, parameters.get("max_iter", 60))}
    model = HistGradientBoostingClassifier(
        categorical_features=list(range(len(categories))), random_state=seed, **parameters
    )
    pipeline = Pipeline([("columns", columns), ("model", model)])
    if measure is None:
        return pipeline.fit(features, target, model__sample_weight=sample_weight)
    if sample_weight is not None:
        raise ValueError("tune_threshold counts every row held back once, whatever its weight: take it out")
    held_back = 5 if len(features) < FEW_ROWS else 0.8
    tuned = TunedThresholdClassifierCV(
        pipeline, scoring=measure, cv=held_back, thresholds=50, response_method="predict_proba", random_state=seed
    )
    return tuned.fit(features, target.to_numpy())
