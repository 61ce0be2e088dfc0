"""Real files on the way from `init` to answers, held against pandas and scikit-learn.

Each table of ``public_tables.py`` goes through `init`, a build with its gates, and `modelops predict`'s own function.
Held against an independent reading by pandas are the values of every feature, and against scikit-learn's own answers
of the trained model those that are served. A table is

- a *model*: of the right task, no forbidden column is a feature, all values and answers agree;
- *refused* with the right reason, and a hint;
- *stopped* by a gate, which is printed with its reason for a person to judge;
- *wrong*: anything else.

Run as ``python tests/benchmarks/bench_public_files.py PACKAGES [NAME...] [--ledger FILE]``; ``--init`` leaves out
building. With a ledger it goes on where it stopped; ``--again WORD`` takes those again that came to this. The module
``public_tables`` says how PACKAGES is filled. What is not there is named. Exit status 1 where a table is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import itertools
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import skops.io
from ledger import Ledger
from public_tables import TABLES, R, Table, file_of

from modelops.artifacts import load_predictor, open_artifact
from modelops.artifacts.package import SKOPS
from modelops.changes import building
from modelops.cli import cli
from modelops.errors import ModelOpsError
from modelops.project.workspace import Workspace, open_workspace
from modelops.scoring.answers import FromRelease
from modelops.scoring.files import score
from modelops.spec.graph import Graph
from modelops.spec.kinds.model import Feature, ModelSpec

ROWS = 2000
"""So many rows of a file are asked about."""
AGREE = 1e-6
"""As far apart as an exported model may be from the trained one, relative where values are large."""
YES = {"true", "t", "yes", "y", "1", "1.0"}
Said = tuple[str, str]
"""What became of a table, and what is to be said of it."""


def scaffolded(table: Table, file: Path) -> str | None:
    """Let init make a model in the repository of the current folder; return what is wrong with what it made."""
    words = ["init", "--model", table.name, "--data", str(file), "--target", table.target, "--approver", "grace"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        cli.main([*words, *table.options], standalone_mode=False)
    if table.task is None:
        return "init made a model of it"
    spec = spec_of(*opened(), table.name)
    if spec.task != table.task:
        return f"init took it for {spec.task}"
    taken = [feature.name for feature in spec.data.features if feature.name in table.never]
    return f"features that may not be: {', '.join(taken)}" if taken else None


def opened() -> tuple[Workspace, Graph]:
    workspace = open_workspace(Path.cwd(), os.environ, dirty=True)
    return workspace, workspace.graph(None)


def spec_of(workspace: Workspace, graph: Graph, name: str) -> ModelSpec:
    return building.request(workspace, graph, name, None).model.spec


def by_pandas(table: Table, file: Path, spec: ModelSpec) -> pd.DataFrame:
    """Return the table as pandas reads it."""
    if file.suffix == ".json":
        frame = pd.read_json(file, convert_dates=False)
    elif file.suffix in (".parquet", ".feather"):
        frame = (pd.read_parquet if file.suffix == ".parquet" else pd.read_feather)(file)
    else:
        texts = {f.name: str for f in spec.data.features if f.type in ("category", "boolean")}
        given: dict[str, Any] = {"sep": ",", "na_values": ["?"], "low_memory": False, "dtype": texts}
        given |= {"float_precision": "round_trip"} | dict(table.read)
        if given["sep"] is None:
            given |= {"engine": "python"}
            del given["low_memory"], given["float_precision"]
        files = sorted(file.glob("*.csv")) if file.is_dir() else [file]
        frame = pd.concat([pd.read_csv(each, **given) for each in files], ignore_index=True)
    frame.columns = pd.Index([
        f"column_{place}" if str(name).startswith("Unnamed: ") else str(name).strip()
        for place, name in enumerate(frame.columns, start=1)
    ])  # fmt: skip
    return frame


def as_fed(values: pd.Series[Any], feature: Feature) -> np.ndarray:
    """Return the values of a feature as scikit-learn gets them: texts, "" for missing, or floats, NaN for missing."""
    if feature.type == "category":
        kept = values.astype(object).where(values.notna(), "")
        return np.array([str(value).strip() for value in kept], dtype=object)
    if feature.type == "boolean":
        texts = values.astype(str).str.strip().str.lower()
        return np.where(values.isna(), np.nan, texts.isin(YES).astype(float))
    return pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan)


def differing(read: pa.Table, frame: pd.DataFrame, features: Sequence[Feature]) -> str | None:
    """Say which feature modelops reads otherwise than pandas."""
    for feature in features:
        mine, theirs = (as_fed(each[feature.name], feature) for each in (read.to_pandas(), frame))
        if len(mine) != len(theirs):
            return f"{len(mine)} rows are read where pandas reads {len(theirs)}"
        if feature.type == "category":
            apart = np.flatnonzero(mine != theirs)
        else:
            apart = np.flatnonzero(~np.isclose(mine, theirs, rtol=1e-12, atol=0, equal_nan=True))
        if len(apart):
            row = int(apart[0])
            return f"{feature.name}, row {row}: {mine[row]!r} is read where pandas reads {theirs[row]!r}"
    return None


def first_rows(file: Path, scratch: Path) -> Path:
    """Return a file of the first rows; CSV only, others are taken whole."""
    if file.is_dir():
        file = sorted(file.glob("*.csv"))[0]
    if ".csv" not in file.suffixes or file.stat().st_size < 1 << 21:
        return file
    short = scratch / f"first-{file.name.removesuffix('.gz')}"
    with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as source:
        short.write_bytes(b"".join(itertools.islice(source, ROWS)))
    return short


def answered(table: Table, file: Path, scratch: Path, built: building.Judged) -> str | None:
    """Say how the answers to a file differ from scikit-learn's."""
    workspace, _ = opened()
    artifact = open_artifact(workspace.store, built.record.artifact.digest)
    formats = {column.name: column.format for column in built.snapshot.spec.columns}
    asked, out = first_rows(file, scratch), scratch / f"answers-{table.name}.parquet"
    score(asked, out, FromRelease(load_predictor(artifact), 1, formats), only=True)
    answers = pd.read_parquet(out)
    data = artifact.files[SKOPS]
    estimator = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    spec = built.model.spec
    frame = by_pandas(table, asked, spec)
    if len(frame) != len(answers):
        return f"{len(answers)} answers to {len(frame)} rows"
    fed = pd.DataFrame({feature.name: as_fed(frame[feature.name], feature) for feature in spec.data.features})
    if spec.task == R:
        theirs = np.asarray(estimator.predict(fed)).reshape(-1, 1)
        mine = answers[["prediction"]].to_numpy(float)
    else:
        theirs = np.asarray(estimator.predict_proba(fed))
        mine = answers[[name for name in answers if name.startswith("probability")]].to_numpy(float)
        theirs = theirs[:, list(estimator.classes_).index(1)][:, None] if mine.shape[1] == 1 else theirs
    apart = float(np.max(np.abs(mine - theirs) / np.maximum(1, np.abs(theirs))))
    return None if apart <= AGREE else f"an answer is {apart:.2g} away from scikit-learn's"


def outcome(table: Table, file: Path, scratch: Path, *, build: bool) -> Said:
    """Take a table all the way and say what became of it."""
    try:
        fault = scaffolded(table, file)
    except ModelOpsError as error:
        problem = error.first
        right = table.task is None and problem.code == table.refused and problem.hint
        return "refused" if right else "wrong", f"init: {problem}; hint: {problem.hint}"
    if fault is not None or not build:
        return ("wrong", fault) if fault else ("model", "not built")
    workspace, graph = opened()
    built = building.judged_build(workspace, graph, table.name, None, graph)
    snapshot = building.request(workspace, graph, table.name, None).snapshot
    place = building.materialiser(workspace, graph, table.name, snapshot, None)()
    spec = built.model.spec
    fault = differing(building.reader(snapshot)(place), by_pandas(table, file, spec), spec.data.features)
    fault = fault or answered(table, file, scratch, built)
    if fault:
        return "wrong", fault
    metric = built.record.metrics[0]
    said = f"{metric.name} {metric.value:.3f} [{metric.lower:.3f}, {metric.upper:.3f}]"
    held = [f"{verdict.gate} {verdict.verdict}: {verdict.reason}" for verdict in built.verdicts if verdict.holds]
    return ("stopped", f"{said}; {'; '.join(held)}") if held else ("model", said)


def one(table: Table, packages: Path, scratch: Path, *, build: bool) -> Said:
    """Take one table, whatever comes of it."""
    try:
        return outcome(table, file_of(packages, table.place, scratch), scratch, build=build)
    except (OSError, StopIteration) as error:
        return "absent", str(error)
    except ModelOpsError as error:
        return "wrong", f"{error.first}; hint: {error.first.hint}"
    except Exception as error:  # a crash is a finding, and the others go on
        return "wrong", f"{type(error).__name__}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--init", action="store_true", help="init alone")
    parser.add_argument("--ledger", type=Path, help="a file of what was done, which is not done again")
    parser.add_argument("--again", action="append", default=[], metavar="WORD", help="wrong, stopped, ... once more")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no table after so many")
    given = parser.parse_args()
    until = time.monotonic() + given.minutes * 60
    packages, counts = given.packages.absolute(), Counter[str]()
    ledger = Ledger(given.ledger and given.ledger.absolute(), "init" if given.init else "full")
    with tempfile.TemporaryDirectory(prefix="public-") as folder, contextlib.chdir(folder):
        scratch = Path(folder)
        (scratch / "here").mkdir()
        os.chdir("here")  # init makes a repository here, beside the files that are made
        for table in TABLES:
            if given.names and table.name not in given.names:
                continue
            known = ledger.runs.get(table.name)
            if (known is None or known["word"] in given.again) and time.monotonic() < until:
                begun = time.process_time()
                word, said = one(table, packages, scratch, build=not given.init)
                ledger.add(table.name, word=word, said=said[:600], seconds=time.process_time() - begun)
            known = ledger.runs.get(table.name, {"word": "not run", "said": "", "seconds": 0.0})
            counts[known["word"]] += 1
            print(f"{table.name:16} {known['word']:8} {known['said'][:400]}  {known['seconds']:.1f} s", flush=True)
    print(", ".join(f"{count} {word}" for word, count in counts.most_common()))
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
