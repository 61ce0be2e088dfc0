"""The page about other libraries: every train.py on it is built as it is written, and served."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelops.artifacts import columns, load_predictor, open_artifact
from training.building_blocks import FEATURES, Workshop

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-another-library.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M))
NUMBERS = [feature for feature in FEATURES if feature["type"] != "category"]


def code(title: str) -> str:
    return "".join(re.findall(r"```python\n(.*?)```", SECTIONS[title], re.S))


def declared(title: str) -> dict[str, Any]:
    found = re.search(r"```yaml\n(.*?)```", SECTIONS[title], re.S)
    assert found is not None
    runtime: dict[str, Any] = yaml.safe_load(found[1])["training"]["runtime"]
    return runtime


def built(workshop: Workshop, title: str, engine: str, **more: Any) -> None:
    """Build a section's code, check what serves it, and ask it about the rows."""
    record = workshop.build(workshop.request(code(title), **more))
    artifact = open_artifact(workshop.store, record.artifact.digest)
    assert record.artifact.engine == engine, record.artifact.engine_reason
    predictor = load_predictor(artifact)
    scores = predictor.predict_columns(columns(workshop.table, predictor.signature.features)).scores
    assert ((scores >= 0) & (scores <= 1)).all()
    assert next(metric.value for metric in record.metrics if metric.name == "roc-auc") > 0.65
    assert bool(record.artifact.equality) == (engine == "onnx")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.mark.slow
def test_xgboost(workshop: Workshop) -> None:
    """A pipeline that ends in it is served by ONNX."""
    built(workshop, "XGBoost", "onnx")


@pytest.mark.slow
def test_lightgbm(workshop: Workshop) -> None:
    """A search over it is served by ONNX."""
    built(workshop, "LightGBM", "onnx", data__features=NUMBERS)


@pytest.mark.slow
def test_catboost(workshop: Workshop) -> None:
    """With categories of its own it serves itself."""
    built(workshop, "CatBoost", "catboost")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="this machine has no PyTorch")
def test_pytorch(workshop: Workshop) -> None:
    """A network is served by ONNX."""
    built(workshop, "A network of PyTorch", "onnx", data__features=NUMBERS)


@pytest.mark.slow
def test_onnx(workshop: Workshop) -> None:
    """A file that was made elsewhere, in float32 and with labels, is served as it is; the yaml names its output."""
    import numpy as np
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    random = np.random.default_rng(0)
    rows = np.column_stack([random.gamma(2.0, 40.0, 200), random.integers(18, 90, 200)]).astype(np.float32)
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(rows, rows[:, 0] / 40 - rows[:, 1] / 50 > 1)
    kinds = [("X", FloatTensorType([None, 2]))]
    data = to_onnx(model, initial_types=kinds, options={"zipmap": False}).SerializeToString()
    more = {"data__features": NUMBERS, "training__runtime": declared("A model that comes as ONNX")}
    request = workshop.request(code("A model that comes as ONNX"), {"model.onnx": data}, **more)
    record = workshop.build(request)
    assert record.artifact.engine == "onnx"
    assert record.artifact.runtimes == ("onnx",)
    assert next(metric.value for metric in record.metrics if metric.name == "roc-auc") > 0.65


@pytest.mark.slow
def test_a_function_of_statsmodels(workshop: Workshop) -> None:
    """A declared function is served in a process of its own."""
    title = "statsmodels, or a function of your own"
    built(workshop, title, "python", training__runtime=declared(title))
