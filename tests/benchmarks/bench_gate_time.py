"""How long every gate takes on a table of 100,000 rows and 30 columns, with what it needs computed for it.

A boosted model is built as any other, behind the fence; each gate has its own time, and ``needs`` is what reading rows
and answering them took before. The stable release is the same model, so that champion, drift, poisoning and agreement
have something to compare with. What is counted is the time of the processor, which others who use it do not change; a
training in a child is not in it.

Run as ``python tests/benchmarks/bench_gate_time.py [--rows N] [--columns K] [--seeds S]``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from modelops import gates, plugins, training
from modelops.artifacts import columns
from modelops.gates import Need
from modelops.spec.kinds.data_snapshot import Summary
from modelops.spec.kinds.gate_policy import Gate
from modelops.spec.kinds.release import (
    CodeReference,
    DataReference,
    ReleaseSpec,
    VerdictRecord,
)
from modelops.summaries import summarise
from training.building_blocks import Workshop

CATEGORIES = 6
TRAIN = """
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def train(features, target, parameters, seed):
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_include=object)),
        remainder="passthrough",
    )
    model = HistGradientBoostingClassifier(max_iter=40, max_features=0.5, random_state=seed)
    return make_pipeline(columns, model).fit(features, target)
"""


def table(rows: int, count: int) -> pa.Table:
    """Return rows whose label follows from some of their columns; the last six are categories."""
    generator = np.random.default_rng(0)
    numbers = {f"x{at:02}": generator.normal(size=rows) for at in range(count - CATEGORIES)}
    words = {f"c{at:02}": generator.choice(list("abcde"), rows) for at in range(CATEGORIES)}
    signal = numbers["x00"] + 0.5 * numbers["x01"] - 0.5 * (words["c00"] == "a") + generator.normal(size=rows)
    return pa.table(
        {"id": [f"r{at}" for at in range(rows)], **numbers, **words, "left": np.where(signal > 0.5, "yes", "no")}
    )


def release(record: Any) -> ReleaseSpec:
    verdict = VerdictRecord(policy="p", gate="g", type="metric", verdict="pass", blocking=True, reason="ok")
    return ReleaseSpec(
        model=record.model,
        version=1,
        inputs=record.inputs,
        spec=record.spec,
        environment_lock=record.environment_lock,
        code=CodeReference(commit="0" * 40, tree="0" * 40),
        data=DataReference(snapshot=record.snapshot, root=record.data_root, rows=record.rows_train + record.rows_test),
        artifact=record.artifact,
        build=training.record_digest(record),
        seeds=record.seeds,
        metrics=record.metrics,
        verdicts=(verdict,),
    )


def asked(seeds: int) -> dict[str, dict[str, object]]:
    """Return every gate of the shelf with parameters that this model has something for."""
    found: dict[str, dict[str, object]] = {
        "calibration": {"maximum": 0.1},
        "champion": {"metric": "roc-auc", "margin": 0.02},
        "data-quality": {},
        "drift": {},
        "evasion": {"minimum": 0.01},
        "fairness": {"metric": "equalized-odds", "column": "c01", "maximum": 0.1},
        "latency": {"p99Ms": 50.0},
        "membership": {},
        "metric": {"metric": "roc-auc", "minimum": 0.5},
        "monotonicity": {"directions": {"x00": "increasing"}, "maximum": 0.2},
        "permutation-importance": {"features": ["x05"], "proxiesOf": ["c01"], "maximum": 0.05},
        "poisoning": {},
        "robustness": {"maximum": 0.2},
        "shap": {"features": ["x05"], "maximum": 0.05, "agreement": 0.5},
        "slices": {"metric": "accuracy", "minimum": 0.5, "columns": ["c00", "c01"]},
    }
    return found | ({"stability": {"maximum": 0.2, "seeds": seeds, "seconds": 3600}} if seeds else {})


def main() -> None:
    """Print the seconds of the build, of every need and of every gate, and their sum."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        judged(Path(folder), given.rows, given.columns, given.seeds)


def judged(folder: Path, rows: int, count: int, seeds: int) -> None:
    workshop = Workshop(folder, table(rows, count))
    names = [name for name in workshop.table.column_names if name not in ("id", "left")]
    features = [{"name": name, "type": "number" if name.startswith("x") else "category"} for name in names]
    request = workshop.request(
        TRAIN, data__features=features, data__time=None, data__sensitive=["c01"], training__timeoutSeconds=3000
    )
    began = time.perf_counter()
    record = workshop.build(request)
    print(f"{'build':24} {time.perf_counter() - began:8.2f} s of the clock", flush=True)

    @cache
    def divided() -> Any:
        return training.divided(request, workshop.table)

    spec = request.model.spec
    arrays = columns(workshop.table, spec.data.features)
    profile: dict[str, Summary] = {
        one.name: summarise(pa.chunked_array([pa.array(arrays[one.name])]), one.type) for one in spec.data.features
    }
    snapshot = request.snapshot
    request = replace(request, snapshot=replace(snapshot, spec=snapshot.spec.model_copy(update={"profile": profile})))
    subject_of = training.subject(
        request,
        record,
        rows=divided,
        store=workshop.store,
        champion=release(record),
        champion_profile=profile,
        retrain=partial(training.retrained, request, scratch=folder / "scratch"),
    )
    needs: set[Need] = set()
    total = 0.0
    for key, params in asked(seeds).items():
        bound = gates.bind(Gate(name=key, type=key, params=json.loads(json.dumps(params))))
        fresh = set(bound.module.NEEDS) - needs
        began = time.process_time()
        subject = subject_of(bound.module.NEEDS)
        needed = time.process_time() - began
        needs |= fresh
        began = time.process_time()
        found = bound.module.evaluate(bound.params, subject)
        spent = time.process_time() - began
        total += needed + spent
        said = f"needs {needed:6.2f} s, gate {spent:6.2f} s  {found.verdict}: {found.reason[:90]}"
        print(f"{key:24} {needed + spent:8.2f} s  {said}", flush=True)
    left = sorted(set(plugins.keys("gates")) - set(asked(seeds)))
    print(f"{'all':24} {total:8.2f} s  without {', '.join(left) or 'none'}")


if __name__ == "__main__":
    main()
