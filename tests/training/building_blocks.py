"""Requests, tables and training code that the tests of builds share."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modelops.artifacts import BuildRecord
from modelops.evidence import Signer, generate_key
from modelops.spec.kinds import Resource
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec, SnapshotFile, Source
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.trust_policy import TrustedKey, TrustPolicySpec
from modelops.spec.meta import Metadata
from modelops.stores import Store, oci_layout
from modelops.training import Build, BuildRequest, build, divided
from modelops.training.building import Divided

FEATURES: tuple[dict[str, Any], ...] = (
    {"name": "amount", "type": "number", "nullable": True},
    {"name": "age", "type": "integer"},
    {"name": "country", "type": "category", "nullable": True},
)

TRAIN = """
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def train(features, target, parameters, seed):
    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median"), ["amount", "age"]),
            ("categories", OneHotEncoder(handle_unknown="ignore"), ["country"]),
        ]
    )
    model = GradientBoostingClassifier(n_estimators=parameters.get("trees", 5), random_state=seed)
    return make_pipeline(columns, model).fit(features, target)
"""

LOGISTIC = """
from sklearn.linear_model import LogisticRegression


def train(features, target, parameters, seed):
    return LogisticRegression().fit(features[["age"]], target)
"""


def people(rows: int = 240, seed: int = 0) -> pa.Table:
    """A small table with a number with gaps, an integer, a category, an id, a time, and three targets."""
    random = np.random.default_rng(seed)
    amount = random.gamma(2.0, 40.0, rows)
    age = random.integers(18, 90, rows)
    country = random.choice(["de", "fr", "it"], rows)
    signal = amount / 40 + (country == "it") * 2 - age / 50 + random.normal(0, 0.5, rows)
    return pa.table(
        {
            "id": [f"p{i}" for i in range(rows)],
            "at": [datetime(2026, 1, 1 + i % 28, i % 24, tzinfo=UTC) for i in range(rows)],
            "amount": pa.array(amount, mask=np.arange(rows) % 11 == 0),
            "age": age,
            "country": pa.array([None if i % 17 == 0 else c for i, c in enumerate(country)]),
            "left": np.where(signal > 1, "yes", "no"),
            "band": np.array(["low", "mid", "top"])[np.digitize(signal, [0, 2])],
            "worth": signal,
        }
    )


def model(**changes: Any) -> Resource[ModelSpec]:
    """A model over the table's features; keyword arguments replace parts of the spec by camelCase path."""
    spec: dict[str, Any] = {
        "description": "Will they leave?",
        "owner": "team-a",
        "risk": "limited",
        "task": "binary-classification",
        "intendedUse": "tests",
        "data": {
            "snapshot": "first",
            "target": "left",
            "positive": "yes",
            "id": "id",
            "time": "at",
            "features": FEATURES,
        },
        "training": {"parameters": {"trees": 5}, "seed": 3, "timeoutSeconds": 60},
        "gates": ["standard"],
    }
    for path, value in changes.items():
        target = spec
        *parents, last = path.split("__")
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    validated = ModelSpec.model_validate(spec, strict=False)
    return Resource(
        "Model", "churn", "churn", "models/churn/model.yaml", Metadata(name="churn"), validated, _hex("m"), {}
    )


def snapshot(table: pa.Table) -> Resource[DataSnapshotSpec]:
    """A snapshot whose root is the digest of the table's bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    root = hashlib.sha256(sink.getvalue().to_pybytes()).hexdigest()
    kinds = {"amount": "number", "age": "integer", "at": "datetime", "worth": "number"}
    spec = DataSnapshotSpec(
        format="parquet",
        source=Source(type="files", location="data", owner="team-a"),
        root=f"sha256:{root}",
        files=(SnapshotFile(path="people.parquet", size=1, sha256=root),),
        rows=table.num_rows,
        columns=tuple(
            Column(name=name, type=kinds.get(name, "category"), missing=0, distinct=1) for name in table.column_names
        ),
    )
    place = "models/churn/data/first.yaml"
    return Resource("DataSnapshot", "first", "churn", place, Metadata(name="first"), spec, _hex("s"), {})


def _hex(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Workshop:
    """A folder with a store and a ledger, and what counts how often the data was read."""

    root: Path
    table: pa.Table = field(default_factory=people)
    reads: int = 0

    @property
    def store(self) -> Store:
        return oci_layout.open(oci_layout.Params(), self.root)

    @property
    def ledger(self) -> Path:
        return self.root / ".modelops" / "runs.sqlite"

    def request(self, code: str = TRAIN, files: Mapping[str, bytes] | None = None, **changes: Any) -> BuildRequest:
        return BuildRequest(
            model(**changes),
            snapshot(self.table),
            {"train.py": code.encode(), **(files or {})},
            "0" * 40,
            b"numpy==2\n",
        )

    def materialise(self) -> Path:
        self.reads += 1
        return self.root

    def read(self, folder: Path) -> pa.Table:
        return self.table

    def divided(self) -> Divided:
        return divided(self.request(), self.table)

    @property
    def signer(self) -> Signer:
        key = self.root / ".modelops" / "keys" / "local.pem"
        if not key.is_file():
            generate_key(key)
        return Signer.load(key)

    @property
    def trust(self) -> TrustPolicySpec:
        return TrustPolicySpec(keys=(TrustedKey(name="local", public_key=self.signer.public_pem, signs=("release",)),))

    def build(self, request: BuildRequest, scratch: str = "scratch", **more: Any) -> BuildRecord:
        return self.made(request, scratch, **more).record

    def made(self, request: BuildRequest, scratch: str = "scratch", **more: Any) -> Build:
        return build(
            request,
            materialise=self.materialise,
            read=self.read,
            store=self.store,
            scratch=self.root / scratch,
            ledger=self.ledger,
            clock=lambda: datetime(2026, 5, 1, tzinfo=UTC),
            **{"trust": self.trust, "signer": lambda: self.signer, **more},
        )


def changed(request: BuildRequest, **changes: Any) -> BuildRequest:
    """A request with some fields replaced."""
    return dataclasses.replace(request, **changes)


Factory = Callable[..., Workshop]
