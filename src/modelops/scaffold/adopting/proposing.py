"""A proposed model from code or a kept model: what could be read goes into the spec, what could not is named."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelops.errors import Exit, failure
from modelops.scaffold.adopting.assembling import Assembled, assembled, chosen, label_of, task_of
from modelops.scaffold.adopting.cells import Code, Gap, read_code
from modelops.scaffold.adopting.following import follow
from modelops.scaffold.adopting.found import Fit, Followed
from modelops.scaffold.adopting.kept import fitted, read_kept
from modelops.scaffold.adopting.logged import construction
from modelops.scaffold.adopting.opening import open_as_read, reader_of
from modelops.scaffold.adopting.tables import frame_of
from modelops.scaffold.adopting.tracked import PREFIX, Tracked, is_tracked, name_of, tracked
from modelops.scaffold.adopting.values import NOTHING, Data, Expression, Table, Unknown, Value
from modelops.scaffold.adopting.writing import gap_line, training_code
from modelops.scaffold.model import Written
from modelops.scaffold.own import Order, add_model
from modelops.scaffold.result import Result
from modelops.scaffold.site import Site
from modelops.spec.kinds.model import Task

__all__ = ["Asked", "adopt", "name_from", "require_readable"]

_PICKLES = (".pkl", ".pickle", ".joblib", ".sav", ".p", ".dill", ".cloudpickle")
_CODE = (".py", ".ipynb")
_METRICS = {
    "roc_auc_score": "roc-auc", "roc_auc": "roc-auc", "accuracy_score": "accuracy", "accuracy": "accuracy",
    "balanced_accuracy_score": "balanced-accuracy", "balanced_accuracy": "balanced-accuracy",
    "r2_score": "r2", "r2": "r2",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What the command line said about what is adopted."""

    source: Path
    model: str
    data: Path | None = None
    label: str | None = None
    estimator: str | None = None
    time: str | None = None
    id: str | None = None
    risk: str = "limited"
    owner: str | None = None

    @property
    def called(self) -> str:
        """What the source is called where it is spoken of."""
        return str(self.source) if str(self.source).startswith(PREFIX) else self.source.resolve().name


def name_from(source: Path) -> str:
    """Return a model's name from the name of a file, or from what MLflow calls it."""
    called = name_of(source) if is_tracked(source) else source.stem
    return re.sub(r"[^a-z0-9]+", "-", called.lower()).strip("-")[:63].strip("-") or "model"


def require_readable(source: Path) -> None:
    """Refuse what is never opened, and what nothing is known of, with the way out.

    Errors: ``pickled-model``, ``not-adoptable``, ``no-such-file``.
    """
    if is_tracked(source):
        return
    ending = source.suffix.lower()
    if ending in _PICKLES:
        raise failure(
            "pickled-model", f"{source} is a pickle: reading one runs whatever is in it, so it is never opened",
            hint="adopt the notebook or script that made it; or load it where you trust it, and keep it as data: "
            "skops.io.dump(model, 'model.skops')",
        )  # fmt: skip
    if not source.is_file():
        raise failure("no-such-file", f"there is no file {source}", exit=Exit.USAGE)
    if ending not in (*_CODE, ".skops"):
        raise failure(
            "not-adoptable", f"{source} is neither a notebook, a script nor a skops file", exit=Exit.USAGE,
            hint="adopt a .ipynb, .py or .skops file, or what MLflow has, as mlflow:runs/RUN; a table: "
            "modelops init --model NAME --data FILE --target COLUMN",
        )  # fmt: skip


def adopt(site: Site, asked: Asked, result: Result) -> None:
    """Propose a model from what a file says, or MLflow; nothing in it is run."""
    try:
        with _tracked(asked.source) as kept:
            order = _proposed(site, asked, result, kept)
    except RecursionError:
        raise failure(
            "unreadable-code", f"{asked.source} nests estimators or literals too deeply to be read",
            hint="make the estimator of fewer parts within each other",
        ) from None  # fmt: skip
    add_model(site, order, result)


@contextmanager
def _tracked(source: Path) -> Iterator[Tracked | None]:
    """Fetch what MLflow has of a source, None for one that is a file."""
    if not is_tracked(source):
        yield None
        return
    with tracked(source) as found:
        yield found


def _from_tracked(kept: Tracked, asked: Asked, opener: _Opener) -> Fit:
    """Return the fit of a model that MLflow has: from its file of skops, else from what its run logged of it."""
    data = opener.given()
    label = asked.label
    if label is None:
        left = [name for name in data.kinds if name not in kept.inputs]
        if not kept.inputs or len(left) != 1:
            why = "it has no signature"
            if kept.inputs:
                why = f"of {data.path} does not go in: {', '.join(left) or 'nothing'}"
            raise failure(
                "label-unread", f"{kept.name} does not say which column it predicts: {why}", exit=Exit.USAGE,
                hint="say --label NAME",
            )  # fmt: skip
        (label,) = left
    if kept.kept is not None:
        return read_kept(kept.kept, data, label, kept.name)
    if kept.kind is None:
        script = f"; it was logged by {kept.script}" if kept.script else ""
        raise failure(
            "pickled-model",
            f"{kept.name} is kept as a pickle, which is never opened, and its run has no estimator_class{script}",
            hint="adopt the notebook or script that made it; or log it where you trust it with mlflow.autolog(), or "
            "by mlflow.sklearn.log_model(…, serialization_format='skops')",
        )  # fmt: skip
    return fitted(kept.name, construction(kept.kind, kept.parameters), data, kept.inputs, label)


def _proposed(site: Site, asked: Asked, result: Result, kept: Tracked | None) -> Order:
    """Return what is written of a file, and tell what was found in it."""
    if kept is not None and asked.data is None:
        asked = replace(asked, data=kept.file(site.root))
    opener = _Opener(asked, kept)
    if kept is not None:
        code = Code(kept.name)
        fit = _from_tracked(kept, asked, opener)
        found = Followed(fits=[fit], measured=list(kept.measured))
    elif asked.source.suffix.lower() == ".skops":
        code = Code(asked.source.name)
        fit = read_kept(asked.source, opener.given(), asked.label)
        found = Followed(fits=[fit])
    else:
        code = read_code(asked.source)
        found = follow(code, opener.open)
        fit = chosen(found, code, asked.estimator)
    table, more = _table(fit, asked, opener)
    label, positive, column = label_of(fit, asked.label)
    task = _task(fit, table.data, label)
    if positive is NOTHING and task == "binary-classification":
        # What scikit-learn counts as positive: the greater of two labels.
        positive = table.data.labels[label][-1]
    made = assembled(fit, table, label, positive, task)
    left = list(column.made.steps) if column is not None and task == "regression" else []
    if left and column is not None:
        what = f"{label} is predicted as the data has it; there it is {left[-1].text.partition('(')[0]} of it"
        more = (*more, Gap(fit.place, "", what))
    made = replace(made, gaps=(*more, *made.gaps, *found.gaps, *_of_the_split(found, code)))
    metric = _metric(found, task)
    order = _order(asked, table.data, made, label, positive, task, found, metric, site)
    _tell(asked, fit, table.data, made, found, metric, result)
    return order


def _tell(
    asked: Asked, fit: Fit, data: Data, made: Assembled, found: Followed, metric: str | None, result: Result
) -> None:
    where = f" ({fit.place})" if fit.place.line else ""
    told = {"estimator": f"{made.estimator}{where}, with {_many(len(made.parameters))} in model.yaml"}
    told["data"] = f"{data.path}, {data.rows:,} rows"
    if found.parted:
        told["test part"] = f"{_share(found):.0%} of the rows ({found.parted[-1].place})"
    if found.measured:
        names = ", ".join(dict.fromkeys(each.name for each in found.measured))
        judged = f"; the gate judges by {metric}" if metric else "; every build measures the usual metrics of the task"
        last = found.measured[-1].place
        told["measured"] = f"{names}{f' ({last})' if last.line else ''}{judged}"
    result.adopted = asked.called
    result.inferred = told
    result.cannot = [*made.remarks, *map(gap_line, made.gaps)]


def _many(parameters: int) -> str:
    return f"{parameters} parameter{'' if parameters == 1 else 's'}"


def _order(
    asked: Asked, data: Data, made: Assembled, label: str, positive: Any, task: Task, found: Followed,
    metric: str | None, site: Site,
) -> Order:  # fmt: skip
    reading = data.reading
    missing = reading.get("na_values")
    words = (
        tuple(map(str, missing)) if isinstance(missing, (list, tuple, set)) else (str(missing),) if missing else None
    )
    decimal, sheet = reading.get("decimal"), reading.get("sheet_name")
    written = Written(
        training_code(asked.called, made),
        made.parameters,
        made.seed,
        _share(found) if found.parted else None,
        metric,
    )
    source = Path(data.path)
    return Order(
        model=asked.model, data=str(source), target=label, time=asked.time, id=asked.id, task=task,
        positive=str(positive) if task == "binary-classification" else None, risk=asked.risk, owner=asked.owner,
        decimal=decimal if decimal in (".", ",") else None, missing=words,
        features=tuple(f"{name}:{kind}" for name, kind in made.features.items()),
        encoding=reading.get("encoding"), sheet=sheet if isinstance(sheet, str) else None,
        written=written,
    )  # fmt: skip


def _share(found: Followed) -> float:
    """Return the share of rows that test, by the last division of rows."""
    options = found.parted[-1].options
    test, train = options.get("test_size"), options.get("train_size")
    if isinstance(test, float) and 0 < test < 1:
        return test
    if test is None and isinstance(train, float) and 0 < train < 1:
        return round(1 - train, 6)
    return 0.25


def _of_the_split(found: Followed, code: Code) -> tuple[Gap, ...]:
    """Return what is otherwise about the test part."""
    if not found.parted:
        what = "no train_test_split was read: a quarter of the rows tests, which training does not see"
        return (Gap(None, code.name, what),) if code.body else ()
    part = found.parted[-1]
    gaps = []
    if part.options.get("shuffle") is False:
        what = "rows are divided in their order there: say --time COLUMN, and the newest test here too"
        gaps.append(Gap(part.place, "", what))
    for name in ("test_size", "train_size"):
        if type(part.options.get(name)) is int:
            gaps.append(Gap(part.place, "", f"{name} counts rows there; here a quarter of the rows tests"))
    return tuple(gaps)


def _metric(found: Followed, task: Task) -> str | None:
    """Return the metric that the code measures last of those that a gate can judge a first release by."""
    fits = {
        "binary-classification": ("roc-auc", "accuracy", "balanced-accuracy"),
        "multiclass-classification": ("accuracy", "balanced-accuracy"),
        "regression": ("r2",),
    }[task]
    named = [_METRICS[each.name] for each in found.measured if each.name in _METRICS]
    return next((each for each in reversed(named) if each in fits), None)


def _task(fit: Fit, data: Data, label: str) -> Task:
    if label not in data.kinds:
        raise failure(
            "unknown-column", f"the label {label!r} is not a column of {data.path}",
            hint=f"columns: {', '.join(list(data.kinds)[:20])}",
        )  # fmt: skip
    if task_of(fit.estimator.node) == "regressor":
        return "regression"
    return "binary-classification" if data.distinct[label] == 2 else "multiclass-classification"


def _table(fit: Fit, asked: Asked, opener: _Opener) -> tuple[Table, tuple[Gap, ...]]:
    """Return what a model is fitted on; where that cannot be read, all columns but the label of data that was named."""
    if isinstance(fit.features, Table):
        return fit.features, ()
    why = fit.features.why if isinstance(fit.features, Unknown) else "it is no table"
    if asked.data is None or asked.label is None:
        raise failure(
            "features-unread", f"what {fit.name} is fitted on ({fit.place}) cannot be read: {why}",
            hint="write the rows as they are trained on to a file, and say --data FILE --label NAME",
        )  # fmt: skip
    data = opener.given()
    what = f"what it is fitted on cannot be read ({why}): all columns of {asked.data} but {asked.label} are features"
    whole = frame_of(data)
    return whole.copy(columns={n: made for n, made in whole.columns.items() if n != asked.label}), (
        Gap(fit.place, "", what),
    )


class _Opener:
    """Opens the data that code reads: where it says, seen from its own folder, or where the command line says."""

    def __init__(self, asked: Asked, kept: Tracked | None = None) -> None:
        self.asked = asked
        self.kept = kept
        self.opened: dict[tuple[str, str], Data | Unknown] = {}

    def given(self) -> Data:
        """Return the data that the command line named, read plainly."""
        if self.asked.data is None:
            places = ", ".join(self.kept.data) if self.kept is not None else ""
            named = f": {places} is no file of this repository" if places else ""
            raise failure(
                "no-data", f"{self.asked.source} does not say what it was trained on{named}", exit=Exit.USAGE,
                hint="say --data FILE --label NAME",
            )  # fmt: skip
        found = self._read(self.asked.data, reader_of(self.asked.data), {})
        if isinstance(found, Unknown):
            raise failure(
                "unreadable-data", f"--data {self.asked.data}: {found.why}", exit=Exit.FILES,
                hint="give a table with one value in each cell and the names of its columns above: CSV or Parquet",
            )  # fmt: skip
        return found

    def open(self, reader: str, path: str | None, options: Mapping[str, Value]) -> Data | Unknown:
        """Return the data of one reading call."""
        if "pickle" in reader:
            return Unknown("the data is a pickle, which is never opened: write it to Parquet, and give it as --data")
        there = None
        if path is not None and "://" not in path:
            there = self.asked.source.parent / Path(path).expanduser()
            there = there if there.is_file() else Path(path) if Path(path).is_file() else None
        if self.asked.data is not None and (there is None or there.name == self.asked.data.name):
            plain = {k: v for k, v in options.items() if k in ("index_col",)}
            same = path is not None and Path(path).suffix == self.asked.data.suffix
            return self._read(
                self.asked.data, reader if same else reader_of(self.asked.data), options if same else plain
            )
        if there is None:
            named = f"{path} is not there" if path is not None else "which file is read is not known"
            return Unknown(f"{named}: give the file as --data")
        return self._read(there, reader, options)

    def _read(self, path: Path, reader: str, options: Mapping[str, Value]) -> Data | Unknown:
        key = (str(path), repr(sorted((k, v.text if isinstance(v, Expression) else "") for k, v in options.items())))
        if key not in self.opened:
            self.opened[key] = open_as_read(Path(os.path.relpath(path)), reader, options)
        return self.opened[key]
