"""Encode and boost columns of any kind, for rows enough to learn from.

Numbers (dates and booleans among them) are taken as they are: histograms have a place for missing ones. Categories are
split by what they are worth, those of many values by their order too, as rare ones are too few for the former. A value
never seen in training counts as missing.
``sample_weight`` is what each row counts for, None where the model has no column of weights.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

MANY = 20
MOST_CATEGORIES = 200


def train(
    features: pd.DataFrame, target: pd.Series, parameters: dict[str, Any], seed: int, sample_weight: Any = None
) -> Pipeline:
    """Return a fitted pipeline."""
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
    model = HistGradientBoostingRegressor(
        categorical_features=list(range(len(categories))), random_state=seed, **parameters
    )
    return Pipeline([("columns", columns), ("model", model)]).fit(features, target, model__sample_weight=sample_weight)
