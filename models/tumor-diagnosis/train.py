"""Logistic regression on standardised measurements: every coefficient can be read by a clinician."""

from __future__ import annotations

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler


def train(features: pd.DataFrame, target: pd.Series, parameters: dict, seed: int) -> Pipeline:
    """Return a fitted pipeline."""
    model = LogisticRegression(random_state=seed, **parameters)
    return Pipeline([("scale", StandardScaler()), ("model", model)]).fit(features, target)
