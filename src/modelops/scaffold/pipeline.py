"""Impute, encode and boost columns of any kind.

Numbers (dates and booleans among them) get the median where they are missing. Categories of few values become one
indicator column each, of many values one ordinal number; a value never seen in training matches no indicator, or -1.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

MOST_INDICATORS = 20


def train(features: pd.DataFrame, target: pd.Series, parameters: dict[str, Any], seed: int) -> Pipeline:
    """Return a fitted pipeline."""
    numbers = list(features.select_dtypes("number").columns)
    categories = [name for name in features.columns if name not in set(numbers)]
    few = [name for name in categories if features[name].nunique() <= MOST_INDICATORS]
    many = [name for name in categories if name not in set(few)]
    steps = [
        ("number", SimpleImputer(strategy="median", keep_empty_features=True), numbers),
        ("few", OneHotEncoder(handle_unknown="ignore", sparse_output=False), few),
        ("many", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), many),
    ]
    columns = ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0)
    model = GradientBoostingClassifier(random_state=seed, **parameters)
    return Pipeline([("columns", columns), ("model", model)]).fit(features, target)
