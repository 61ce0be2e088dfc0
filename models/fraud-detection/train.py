"""Gradient boosting over ordinal-encoded categories."""

from __future__ import annotations

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder


def train(features: pd.DataFrame, target: pd.Series, parameters: dict, seed: int) -> Pipeline:
    """Return a fitted pipeline; a category never seen in training has no indicator column."""
    numbers = list(features.select_dtypes("number").columns)
    categories = [name for name in features.columns if name not in numbers]
    columns = ColumnTransformer(
        [("number", "passthrough", numbers), ("category", OneHotEncoder(handle_unknown="ignore"), categories)],
        sparse_threshold=0,
    )
    model = GradientBoostingClassifier(random_state=seed, **parameters)
    return Pipeline([("columns", columns), ("model", model)]).fit(features, target)
