"""Random models of every library through what a build does, served beside what they answer by themselves.

Run as ``python tests/benchmarks/bench_runtimes.py [COUNT 200] [START 0] [LIBRARY ...]``. Each seed is a table of
numbers of many kinds and categories, with gaps, ties and instants; preprocessing of scikit-learn or none; and a model
with random settings, alone or inside of another estimator. Rows to compare are moved by a step of float64, rounded to
float32, put between two values, replaced by tiny and huge numbers, unseen categories and gaps. A line for each library
says how many models ended in ONNX or in their own library, on how many rows they were compared, how many are more than
1e-6 off, how many have another label than the served engine's counterpart, and how many another than ``predict``.
"""

from __future__ import annotations

import collections
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, QuantileTransformer, StandardScaler

from modelops.artifacts import Input, Predictor, Signature, package
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_export import export_onnx
from modelops.artifacts.onnx_session import onnx_score
from modelops.artifacts.package import Artifact
from modelops.artifacts.parts.held import keep_model, parted
from modelops.artifacts.parts.part import Asked
from modelops.artifacts.predictor import load_estimator, sklearn_score
from modelops.errors import ModelOpsError
from modelops.training.evaluate import with_labels
from modelops.training.worker import name_classes

Array = np.ndarray[Any, Any]
Random = np.random.Generator

TASKS = ("binary-classification", "multiclass-classification", "regression")
CLASSES = {TASKS[0]: ("no", "yes"), TASKS[1]: ("low", "mid", "top"), TASKS[2]: ()}
FRESH = 600
COUNTED = ("rows", "over", "flips", "unlike_predict", "refused", "answered_alone")
EXTREMES = (0.0, -0.0, 5e-324, 1e-310, 3.4028235e38, -3.5e38, 1e300, -1e300, 16777217.0, 2.0**53 + 1, 1e22)
KINDS: dict[str, Callable[[Random, int], Array]] = {
    "number": lambda r, n: r.normal(size=n),
    "integer": lambda r, n: r.integers(-5, 90, n).astype(float),
    "boolean": lambda r, n: r.integers(0, 2, n).astype(float),
    "datetime": lambda r, n: 1.7e9 + r.integers(0, 10**7, n),
    "tiny": lambda r, n: r.normal(size=n) * 1e-9,
    "large": lambda r, n: r.normal(size=n) * 1e12,
    "ties": lambda r, n: r.choice([0.1, 0.2, 0.3, 0.30000000000000004], n),
    "skewed": lambda r, n: np.exp(r.normal(size=n) * 3),
    "zeros": lambda r, n: r.choice([-0.0, 0.0, 1.0, -1.0], n),
}


def table(r: Random) -> tuple[tuple[Input, ...], dict[str, Array]]:
    """Return random features and their rows."""
    n = int(r.integers(80, 220))
    features, columns = [], {}
    for place in range(int(r.integers(1, 6))):
        kind = str(r.choice(list(KINDS)))
        values = KINDS[kind](r, n)
        nullable = bool(r.random() < 0.4) and kind != "boolean"
        if nullable:
            values[r.random(n) < 0.15] = np.nan
        name = f"x{place}"
        known: Any = kind if kind in ("integer", "boolean", "datetime") else "number"
        features.append(Input(name=name, type=known, nullable=nullable))
        columns[name] = values
    for place in range(int(r.integers(0, 3))):
        pool = [["a", "b", "c"], [f"k{i}" for i in range(30)], ["1", "2", "3.5"], ["ä", "日本", "a b"]][
            int(r.integers(4))
        ]
        values = r.choice(np.array(pool, dtype=object), n).astype(object)
        nullable = bool(r.random() < 0.5)
        if nullable:
            values[r.random(n) < 0.1] = ""
        features.append(Input(name=f"c{place}", type="category", nullable=nullable))
        columns[f"c{place}"] = values
    return tuple(features), columns


def target(r: Random, features: tuple[Input, ...], columns: dict[str, Array], task: str) -> Array:
    """Return what depends on the rows."""
    signal = r.normal(size=len(next(iter(columns.values())))) * 0.3
    for feature in features:
        values = columns[feature.name]
        if feature.type == "category":
            signal += np.array([sum(map(ord, value)) % 5 / 2 for value in values])
        else:
            filled = np.nan_to_num(values)
            signal += (filled - filled.mean()) / (filled.std() or 1)
    if task == "regression":
        return np.abs(signal) * r.choice([0.01, 1.0, 5000.0]) + 0.1
    if task == "binary-classification":
        return (signal > np.median(signal)).astype(int)
    return np.array(CLASSES[task], dtype=object)[np.digitize(signal, np.quantile(signal, [0.4, 0.75]))]


def prepared(r: Random, features: tuple[Input, ...]) -> Any:
    """Return preprocessing, or None where a library takes the rows as they are."""
    texts = [feature.name for feature in features if feature.type == "category"]
    numbers = [feature.name for feature in features if feature.type != "category"]
    if not texts and r.random() < 0.5:
        return None
    steps: list[Any] = []
    if r.random() < 0.4:
        steps.append(SimpleImputer(add_indicator=bool(r.random() < 0.3)))
    if r.random() < 0.5:
        steps.append(r.choice([StandardScaler(), MinMaxScaler(), QuantileTransformer(n_quantiles=20)]))
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=bool(r.random() < 0.6))
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    parts = [("numbers", make_pipeline(*steps) if steps else "passthrough", numbers)]
    if texts:
        parts.append(("texts", one_hot if r.random() < 0.6 else ordinal, texts))
    return ColumnTransformer(parts, sparse_threshold=float(r.choice([0.0, 0.3, 0.9])))


def xgboost(r: Random, task: str) -> Any:
    from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier, XGBRFRegressor

    more = {
        "n_estimators": int(r.integers(1, 60)), "max_depth": int(r.integers(0, 6)), "n_jobs": 1,
        "booster": str(r.choice(["gbtree", "gbtree", "gbtree", "dart"])), "subsample": float(r.choice([0.7, 1.0])),
        "grow_policy": str(r.choice(["depthwise", "lossguide"])), "random_state": 0,
        "tree_method": str(r.choice(["hist", "exact", "approx"])),
    }  # fmt: skip
    if more["tree_method"] == "exact":
        more |= {"grow_policy": "depthwise", "max_depth": max(1, more["max_depth"])}
    if task == "regression":
        objectives = ["reg:squarederror", "reg:absoluteerror", "count:poisson", "reg:gamma", "reg:tweedie"]
        made = XGBRFRegressor if r.random() < 0.1 else XGBRegressor
        return made(**more, objective=str(r.choice(objectives)))
    return (XGBRFClassifier if r.random() < 0.1 else XGBClassifier)(**more)


def lightgbm(r: Random, task: str) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    boosting = str(r.choice(["gbdt", "gbdt", "dart", "rf"]))
    more = {
        "n_estimators": int(r.integers(1, 60)), "num_leaves": int(r.integers(2, 40)), "n_jobs": 1, "verbose": -1,
        "boosting_type": boosting, "min_child_samples": int(r.choice([1, 5, 20])), "random_state": 0,
        "extra_trees": bool(r.random() < 0.2), "subsample": 0.7 if boosting == "rf" else 1.0,
        "subsample_freq": 1 if boosting == "rf" else 0,
    }  # fmt: skip
    if task == "regression":
        return LGBMRegressor(
            **more, objective=str(r.choice(["regression", "regression_l1", "poisson", "huber", "gamma"]))
        )
    return LGBMClassifier(**more)


def catboost(r: Random, task: str) -> Any:
    from catboost import CatBoostClassifier, CatBoostRegressor

    policy = str(r.choice(["SymmetricTree", "SymmetricTree", "Depthwise", "Lossguide"]))
    more = {
        "iterations": int(r.integers(1, 40)), "depth": int(r.integers(1, 6)), "thread_count": 1, "verbose": 0,
        "allow_writing_files": False, "grow_policy": policy, "random_seed": 0,
        "nan_mode": str(r.choice(["Min", "Max"])),
    }  # fmt: skip
    if task == "regression":
        return CatBoostRegressor(**more, loss_function=str(r.choice(["RMSE", "MAE", "Poisson", "Quantile"])))
    return CatBoostClassifier(**more)


LIBRARIES: dict[str, Callable[[Random, str], Any]] = {"xgboost": xgboost, "lightgbm": lightgbm, "catboost": catboost}


def wrapped(r: Random, made: Any, task: str) -> Any:
    """Return a model alone, or inside of another estimator."""
    if r.random() < 0.7:
        return made
    if task == "regression":
        kinds = [VotingRegressor, StackingRegressor]
        return kinds[int(r.integers(2))]([("a", made), ("b", make_pipeline(SimpleImputer(), Ridge()))])
    other = ("b", make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()))
    return [
        lambda: VotingClassifier([("a", made), other], voting="soft"),
        lambda: StackingClassifier([("a", made), other], cv=2),
        lambda: CalibratedClassifierCV(made, cv=2, method=str(r.choice(["sigmoid", "isotonic"]))),
    ][int(r.integers(3))]()


def fresh(r: Random, features: tuple[Input, ...], columns: dict[str, Array]) -> dict[str, Array]:
    """Return rows that a signature takes, moved to where implementations part."""
    count = len(next(iter(columns.values())))
    places = r.integers(0, count, FRESH)
    rows = {}
    for feature in features:
        values, draw = columns[feature.name][places].copy(), r.random(FRESH)
        if feature.type == "category":
            for place in np.flatnonzero(draw < 0.2):
                values[place] = str(r.choice(["zzz", "A", "nan", "x" * 200, "ä"]))
            if feature.nullable:
                values[(draw >= 0.2) & (draw < 0.3)] = ""
        elif feature.type == "boolean":
            values = r.integers(0, 2, FRESH).astype(float)
        else:
            known = columns[feature.name][~np.isnan(columns[feature.name])]
            values = np.where(draw < 0.12, np.nextafter(values, np.inf), values)
            values = np.where((draw >= 0.12) & (draw < 0.25), values.astype(np.float32).astype(float), values)
            middle = (r.choice(known, FRESH) + r.choice(known, FRESH)) / 2
            values = np.where((draw >= 0.25) & (draw < 0.4), middle, values)
            values = np.where((draw >= 0.5) & (draw < 0.53), r.choice(EXTREMES, FRESH), values)
            values = np.round(values) if feature.type == "integer" else values
            gaps = np.isnan(values)
            values[gaps] = values[gaps] if feature.nullable else r.choice(known, int(gaps.sum()))
            if feature.nullable:
                values[(draw >= 0.53) & (draw < 0.63)] = np.nan
        rows[feature.name] = values
    return rows


def outcome(seed: int, library: str) -> dict[str, Any]:
    """Return what became of one random model."""
    r = np.random.default_rng(seed)
    features, columns = table(r)
    task = str(r.choice(TASKS, p=[0.45, 0.2, 0.35]))
    truth, steps = target(r, features, columns, task), prepared(r, features)
    coded = library == "xgboost" and task == TASKS[1]
    made = LIBRARIES[library](r, task)
    made = made if coded else wrapped(r, made, task)
    estimator = made if steps is None else make_pipeline(steps, made)
    labels = np.searchsorted(np.array(CLASSES[task]), truth.astype(str)) if coded else truth
    frame = to_frame(columns)
    try:
        estimator.fit(frame, labels)
    except Exception as error:
        # Whatever a library says of settings that it does not take together.
        return {"ended": "not fitted", "why": str(error)[:80]}
    rows = fresh(r, features, columns)
    own, said = answers(estimator, rows, task)
    asked = Asked(task, features, CLASSES[task])  # type: ignore[arg-type]
    try:
        model, parts = parted(estimator, asked)
        name_classes(model, asked, frame, truth)  # type: ignore[arg-type]
        kept = keep_model(model, parts, asked)
    except ModelOpsError as error:
        return {"ended": "refused", "why": error.first.message[:120]}
    own_engine = "sklearn" if kept.runtime == "scikit-learn" else kept.runtime
    signature = Signature(
        model="m", task=task, features=features, target="t", classes=CLASSES[task], engine=own_engine,  # type: ignore[arg-type]
        positive="yes" if task == TASKS[0] else None, trusted_types=kept.types, runtime=kept.runtime, parts=kept.parts,
    )  # fmt: skip
    loaded = load_estimator(Artifact("", 0, {**kept.files, package.SIGNATURE: signature.dump()}))
    held = {name: values[::4] for name, values in columns.items()}
    signature = with_labels(signature, loaded, held)
    export = export_onnx(loaded, signature, held)
    score = onnx_score(export.data, signature) if export.data else sklearn_score(loaded, signature)
    served = Predictor(signature, score)
    return {"ended": "ONNX" if export.data else "own", "why": export.reason} | compared(served, rows, own, said, task)


def answers(estimator: Any, rows: dict[str, Array], task: str) -> tuple[Array | None, Array | None]:
    """Return what a model answers by itself, and its labels; None for rows that it refuses."""
    try:
        labels = np.asarray(estimator.predict(to_frame(rows)))
        if task == "regression":
            return labels.astype(float).reshape(-1), None
        scores = np.asarray(estimator.predict_proba(to_frame(rows)), dtype=np.float64)
    except (ValueError, TypeError):
        return None, None
    return (scores[:, 1] if task == TASKS[0] else scores), labels.reshape(-1)


def compared(
    served: Predictor, rows: dict[str, Array], own: Array | None, said: Array | None, task: str
) -> dict[str, Any]:
    """Return how far what is served is from what the model answers by itself."""
    try:
        found = served.predict_columns(rows)
    except ModelOpsError as error:
        return {"refused": FRESH, "own_refused": own is None, "example": error.first.message[:100]}
    if own is None:
        return {"answered_alone": FRESH}
    both = np.isfinite(own.reshape(FRESH, -1)).all(axis=1) & np.isfinite(found.scores.reshape(FRESH, -1)).all(axis=1)
    distance = (np.abs(found.scores - own) / np.maximum(1, np.abs(own))).reshape(FRESH, -1).max(axis=1)[both]
    result = {"rows": int(both.sum()), "over": int((distance > 1e-6).sum()), "largest": float(distance.max(initial=0))}
    if task == "regression" or said is None:
        return result
    own_labels = np.argmax(own, axis=1) if own.ndim == 2 else (own >= served.signature.cut).astype(int)
    names = np.array(CLASSES[task], dtype=object)
    wanted = names[said.astype(int)] if said.dtype.kind in "iu" else said.astype(object)
    flips = int((served.indices(found.scores)[both] != own_labels[both]).sum())
    return result | {"flips": flips, "unlike_predict": int((found.labels[both] != wanted[both]).sum())}


def main() -> None:
    words = sys.argv[1:]
    count, start = int(words[0]) if words else 200, int(words[1]) if len(words) > 1 else 0
    for library in words[2:] or LIBRARIES:
        found, reasons = collections.Counter[str](), collections.Counter[str]()
        largest = 0.0
        for seed in range(start, start + count):
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                one = outcome(seed, library)
            found[one["ended"]] += 1
            found.update({key: one[key] for key in COUNTED if key in one})
            largest = max(largest, one.get("largest", 0.0))
            if one.get("over") or one.get("flips") or one.get("unlike_predict"):
                print(f"  {library} seed {seed}: {one}")
            if one["ended"] != "ONNX":
                reasons[f"{one['ended']}: {one['why'][:110]}"] += 1
        print(f"{library}: {dict(found)}, largest difference {largest:.2g}")
        for reason, times in reasons.most_common(8):
            print(f"  {times} {reason}")


if __name__ == "__main__":
    main()
