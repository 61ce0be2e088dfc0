"""Impute, encode and boost columns of any kind.

Numbers (dates and booleans among them) get the median where they are missing. Categories of few values become one
indicator column each, of many values one ordinal number; a value never seen in training matches no indicator, or -1.
``sample_weight`` is what each row counts for, None where the model has no column of weights.
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


def train(
    features: pd.DataFrame, target: pd.Series, parameters: dict[str, Any], seed: int, sample_weight: Any = None
) -> Pipeline:
    """Return a fitted pipeline."""
    # By position, not by name: that works whatever a column is called, also where the model is exported to.
    numbers = [place for place, kind in enumerate(features.dtypes) if kind.kind in "biuf"]
    categories = [place for place in range(features.shape[1]) if place not in set(numbers)]
    few = [place for place in categories if features.iloc[:, place].nunique() <= MOST_INDICATORS]
    many = [place for place in categories if place not in set(few)]
    steps = [
        ("number", SimpleImputer(strategy="median", keep_empty_features=True), numbers),
        ("few", OneHotEncoder(handle_unknown="ignore", sparse_output=False), few),
        ("many", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), many),
    ]
    columns = ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0)
    model = GradientBoostingClassifier(random_state=seed, **parameters)
    return Pipeline([("columns", columns), ("model", model)]).fit(features, target, model__sample_weight=sample_weight)
