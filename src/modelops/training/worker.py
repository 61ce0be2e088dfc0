"""The process of one build: a child behind the fence trains; this one, which never runs the model's code, evaluates.

``python -m modelops.training.worker FOLDER PARENT`` reads ``FOLDER/request.json`` and leaves ``FOLDER/result.json`` or
``FOLDER/error.json``. The child gets the training rows, and none of the files that make or hold the data, so training
code learns from the test rows only where it brings along what makes them, under a name that no snapshot knows.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import random
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from modelops.errors import ModelOpsError, failure
from modelops.fence import Bounds, Held
from modelops.fence.closing import close, free_spare_memory
from modelops.fence.guard import Running, die_with, start
from modelops.fence.hook import watch
from modelops.fence.kernel import parent_death_signal
from modelops.fence.roots import roots
from modelops.fence.written import read_written

if TYPE_CHECKING:
    import pandas as pd

    from modelops.artifacts.parts.held import KeptModel
    from modelops.artifacts.parts.part import Asked
    from modelops.spec.kinds.release import Search

ALIKE_ROWS = 1000
ALIKE = 1e-6
"""On how many training rows, and how closely, a model has to answer as before once it was kept and loaded again."""

_TRAINED = "trained.json"
_POLL_SECONDS = 0.02
_QUIET_SECONDS = 0.2
_REPORT_BYTES = 1 << 20
_EVALUATION_BYTES = 64 << 30
_AHEAD = ("skl2onnx", "onnxruntime")
"""Imports of the evaluation, done while the child trains, unless it fails at once."""


def main() -> None:
    """Train in a child, then export and evaluate what it left."""
    die_with(int(sys.argv[2]))
    folder = Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_bytes())
    scratch = Path(request["scratch"])
    _report_failures(folder / "error.json", "evaluation-failed", "evaluating the trained model failed", None)
    # Both sides need these, which take most of a small build: they are imported once, before the sides part.
    import numpy as np
    import pandas as pd  # noqa: F401
    import pyarrow as pa
    import skops.io  # noqa: F401

    pa.set_cpu_count(1)
    np.random.seed(request["seed"])
    random.seed(request["seed"])
    bounds = Bounds.parse(request["bounds"])
    running = start(bounds)
    if running is None:
        _report_failures(scratch / "error.json", "training-failed", "training failed", scratch / "code")
        _train(request, scratch)
        return
    (folder / "held.json").write_text(json.dumps(running.held.dump()))
    status = _wait(running, time.monotonic() + request["timeout"])
    parent_death_signal(signal.SIGKILL)
    _require_trained(status, request, scratch, folder)
    from modelops.training.evaluate import evaluate

    evaluate(request, folder, lambda: _lock_up(folder, bounds))


def _lock_up(folder: Path, bounds: Bounds) -> None:
    """Close what can be closed around this process too, before it reads what training code wrote."""
    own = replace(bounds, folder=str(folder), memory=_EVALUATION_BYTES, cores=0)
    close(own, roots(Path(os.path.realpath(folder))), Held())


def _wait(running: Running, deadline: float) -> int | None:
    """Return the child's wait status, or None after ending it at the deadline; import what comes next meanwhile."""
    ahead = list(_AHEAD)
    quiet = time.monotonic() + _QUIET_SECONDS
    while (status := running.poll()) is None:
        if time.monotonic() > deadline:
            running.end()
            return None
        if ahead and time.monotonic() > quiet:
            importlib.import_module(ahead.pop(0))
        else:
            time.sleep(_POLL_SECONDS)
    return status


def _require_trained(status: int | None, request: dict[str, Any], scratch: Path, folder: Path) -> None:
    """Turn every way in which the child can fail into one error; return when it left an artifact."""
    entrypoint, error = request["entrypoint"], scratch / "error.json"
    if status is None:
        raise failure(
            "training-timeout",
            f"{entrypoint} was still training after {request['timeout']} seconds, its limit, and was stopped",
            dotted="spec.training.timeoutSeconds",
        )
    if os.path.lexists(error):
        with suppress(OSError):
            (folder / "error.json").write_bytes(read_written(error, _REPORT_BYTES))
        sys.exit(1)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        hint = "its memory limit is spec.training.memoryMib" if name in ("SIGKILL", "SIGABRT", "SIGSEGV") else None
        raise failure("training-killed", f"{entrypoint} was ended by the signal {name}", hint=hint)
    if not (scratch / _TRAINED).is_file():
        code = os.waitstatus_to_exitcode(status)
        raise failure("training-exited", f"{entrypoint} ended its process with exit code {code} before it returned")


def _train(request: dict[str, Any], scratch: Path) -> None:
    """Run the model's code in this confined process and write the estimator it returns."""
    import joblib  # type: ignore[import-untyped]

    os.chdir(scratch)
    features, target = _training_data(request, scratch)
    watch(scratch, scratch / "code", request["withheld"])
    sys.path.insert(0, str(scratch / "code"))
    module = _load(scratch / "code" / request["entrypoint"], request["entrypoint"])
    with joblib.parallel_config(backend="threading", n_jobs=request["threads"]):
        estimator = _fitted(module, features, target, request, scratch)
    from modelops.training.rows import KEPT

    kept, search = kept_model(estimator, features, target, request)
    (scratch / KEPT).mkdir()
    for place, data in enumerate(kept.files.values()):
        (scratch / KEPT / str(place)).write_bytes(data)
    said = {
        "runtime": kept.runtime,
        "types": kept.types,
        "parts": [part.model_dump(mode="json", by_alias=True) for part in kept.parts],
        "files": list(kept.files),
        "search": search.model_dump(mode="json", by_alias=True) if search is not None else None,
    }
    (scratch / _TRAINED).write_text(json.dumps(said))


def _fitted(
    module: ModuleType, features: pd.DataFrame, target: pd.Series[Any], request: dict[str, Any], scratch: Path
) -> Any:
    """Call the model's code, with what each row counts for where the model has weights."""
    parameters, seed = dict(request["parameters"]), request["seed"]
    if not request["weighted"]:
        return module.train(features, target, parameters, seed)
    from modelops.training.rows import read_weights
    from modelops.training.weights import not_taken, require_parameter

    require_parameter(module.train, request["entrypoint"])
    try:
        return module.train(features, target, parameters, seed, sample_weight=read_weights(scratch / "train.arrow"))
    except (TypeError, ValueError) as error:
        raise (not_taken(error, request["entrypoint"]) or error) from None


def kept_model(
    estimator: Any, features: pd.DataFrame, target: pd.Series[Any], request: dict[str, Any]
) -> tuple[KeptModel, Search | None]:
    """Return what is kept of what training code returned, and the search that found it; what cannot be is refused."""
    from modelops.artifacts.fitted import without_searches
    from modelops.artifacts.parts.held import keep_declared, keep_model, parted
    from modelops.artifacts.parts.part import Asked, Unfitted
    from modelops.artifacts.signature import Input

    inputs = tuple(Input.model_validate_json(json.dumps(one)) for one in request["features"])
    asked = Asked(request["task"], inputs, tuple(request["classes"]), request["entrypoint"])
    declared = request["runtime"]
    if declared is not None and (kept := keep_declared(declared, estimator, asked)) is not None:
        return kept, None
    served, search = without_searches(estimator)
    name = type(served).__name__
    before = answers(served, features)
    served, parts = parted(served, asked, declared)
    if type(served) is Unfitted:
        raise failure("not-fitted", f"train of {request['entrypoint']} returned {name} unfitted")
    name_classes(served, asked, features, target)
    require_estimator(served, request)
    if parts:
        require_alike(before, answers(served, features), name)
    return keep_model(served, parts, asked), search


def answers(estimator: Any, features: pd.DataFrame) -> Any:
    """Return what a model answers to some training rows, None where it does not answer as estimators do."""
    method = getattr(estimator, "predict_proba", None) or getattr(estimator, "predict", None)
    if method is None or not hasattr(type(estimator), "__sklearn_tags__"):
        return None
    import numpy as np

    with suppress(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return np.asarray(method(features.iloc[:ALIKE_ROWS]), dtype=np.float64)
    return None


def require_alike(before: Any, after: Any, name: str) -> None:
    """Refuse a model that answers otherwise once it was kept and loaded again."""
    import numpy as np

    if before is None or after is None:
        return
    distance = np.abs(before - after) / np.maximum(1.0, np.abs(before)) if before.shape == after.shape else np.inf
    largest = float(np.max(distance, initial=0.0))
    if not largest <= ALIKE:
        raise failure(
            "kept-differs",
            f"{name} answers {largest:.3g} away from itself after it was kept in its library's own format",
            hint="return the model that its library saves; settings that it does not save are lost",
        )


def _training_data(request: dict[str, Any], scratch: Path) -> tuple[pd.DataFrame, pd.Series[Any]]:
    import numpy as np
    import pandas as pd

    from modelops.training.rows import read_rows

    arrays, codes = read_rows(scratch / "train.arrow", request["features"])
    from modelops.artifacts.frame import to_frame

    classes = request["classes"]
    values: Any
    match request["task"]:
        case "regression":
            values = codes
        case "binary-classification":
            values = codes.astype(np.int64)
        case _:
            labels = np.array(classes) if not isinstance(classes[0], str) else np.array(classes, dtype=object)
            values = labels[codes.astype(np.intp)]
    dtype = object if isinstance(values[0], str) else None
    return to_frame(arrays), pd.Series(values, name=request["target"], dtype=dtype)


def _load(path: Path, name: str) -> ModuleType:
    """Run the training code as a module of its own."""
    spec = importlib.util.spec_from_file_location("modelops_training_code", path)
    if spec is None or spec.loader is None:
        raise failure("bad-entrypoint", f"{name} is not a Python file", dotted="spec.training.entrypoint")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, "train", None)):
        raise failure(
            "no-train-function",
            f"{name} defines no function train",
            hint="def train(features, target, parameters, seed): return a fitted estimator",
        )
    return module


def require_estimator(estimator: Any, request: dict[str, Any]) -> None:
    """Refuse what training code returned unless it is a fitted estimator for the request's task and classes."""
    import numpy as np
    from sklearn.base import is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    entrypoint, task = request["entrypoint"], request["task"]
    right = is_regressor if task == "regression" else is_classifier
    # Objects of other libraries may predict without telling what they are.
    tells = hasattr(type(estimator), "__sklearn_tags__") and not isinstance(estimator, type)
    if not tells or not hasattr(estimator, "predict") or not right(estimator):
        what = "regressor" if task == "regression" else "classifier"
        raise failure(
            "not-an-estimator",
            f"train of {entrypoint} returned {type(estimator).__name__}, which is not a scikit-learn {what}",
            hint="return the fitted estimator or pipeline, or what another runtime keeps; a function is declared: "
            "`runtime: {type: python}` under spec.training",
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise failure("not-fitted", f"train of {entrypoint} returned {type(estimator).__name__} unfitted") from None
    if task == "regression":
        return
    if not hasattr(estimator, "predict_proba"):
        raise _without_probabilities(estimator)
    expected = [0, 1] if task == "binary-classification" else request["classes"]
    found = np.asarray(getattr(estimator, "classes_", [])).tolist()
    if [str(label) for label in found] != [str(label) for label in expected]:
        raise failure(
            "wrong-classes",
            f"the estimator knows the classes {found[:10]!r}, the data has {expected[:10]!r}",
            hint="fit on the target as it is passed; a class without a training row needs another split",
        )


def _without_probabilities(estimator: Any) -> ModelOpsError:
    """Return the error of a classifier without probabilities, which names the part that has none."""
    of = type(estimator).__name__
    while (inner := _answering(estimator)) is not None and not hasattr(inner, "predict_proba"):
        estimator = inner
    name = type(estimator).__name__
    where = "" if name == of else f"; it is what {of} answers by"
    hint = f"make {name} with voting='soft'" if name == "VotingClassifier" else f"wrap {name} in CalibratedClassifierCV"
    return failure(
        "no-probabilities", f"{name} has no predict_proba{where}", hint=f"{hint}, or choose another estimator"
    )


def _answering(estimator: Any) -> Any:
    """Return the part of a pipeline or of a wrapper that its answers come from, None where it answers itself."""
    steps = getattr(estimator, "steps", None)
    return steps[-1][1] if steps else getattr(estimator, "estimator_", None)


def name_classes(estimator: Any, asked: Asked, features: pd.DataFrame, target: pd.Series[Any]) -> None:
    """Give a model that was fitted on codes the labels back that the codes stand for: in their sorted order.

    Whether the codes are in that order is seen in the training rows: had they another one, some other naming of the
    classes would be right more often.
    """
    from modelops.artifacts.parts.part import ClassifierPart

    steps = getattr(estimator, "steps", None)
    last = steps[-1][1] if steps else estimator
    labels = [0, 1] if asked.task == "binary-classification" else list(asked.classes)
    if not isinstance(last, ClassifierPart) or last.classes_.tolist() != list(range(len(labels))) or labels[0] == 0:
        return
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    places = {label: place for place, label in enumerate(labels)}
    said = np.asarray(estimator.predict(features), dtype=np.intp)
    table = np.zeros((len(labels), len(labels)))
    np.add.at(table, (said, np.array([places[label] for label in target])), 1)
    best = table[linear_sum_assignment(table, maximize=True)].sum()
    if np.trace(table) < best:
        raise failure(
            "wrong-classes",
            f"the estimator knows the classes 0 to {len(labels) - 1}, and they are not {labels[:10]!r} in this order",
            hint="code the labels in their sorted order, as LabelEncoder and pandas' categories do",
        )
    last.name_classes(labels)


def _report_failures(path: Path, code: str, what: str, own: Path | None) -> None:
    """Have an uncaught exception written to a file as Problems, its traceback cut down to the model's own lines."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, MemoryError) and own:
            free_spare_memory()
            problem = {"code": "training-out-of-memory", "message": "training needed more memory than its limit"}
            problem |= _place(error, trace, own) | {"dotted": "spec.training.memoryMib"}
            problems = [problem]
        elif isinstance(error, ModelOpsError):
            fields = ("code", "message", "dotted", "hint")
            problems = [{name: getattr(item, name) for name in fields} for item in error.problems]
        else:
            problems = [{"code": code, "message": _message(what, kind, error, trace, own)} | _place(error, trace, own)]
        path.write_text(json.dumps(problems), encoding="utf-8")

    sys.excepthook = hook


def _message(
    what: str, kind: type[BaseException], error: BaseException, trace: TracebackType | None, own: Path | None
) -> str:
    summary = traceback.TracebackException(kind, error, trace, compact=True)
    last = "".join(summary.format_exception_only()).strip()
    frames = [frame for frame in summary.stack if own and _inside(frame.filename, own)]
    lines = [f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames]
    text = f"{what}: {last}" + ("\n" + "\n".join(lines[-8:]) if lines else "")
    return (text if own is None else text.replace(f"{own}{os.sep}", ""))[:4000]


def _place(error: BaseException, trace: TracebackType | None, own: Path | None) -> dict[str, Any]:
    """Return the file and line of the innermost frame in the model's own code."""
    if own is None:
        return {}
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(trace)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    mine = [(name, line) for name, line in places if _inside(name, own)]
    return {"file": str(Path(mine[-1][0]).relative_to(own)), "line": mine[-1][1] or 0} if mine else {}


def _inside(filename: str, own: Path) -> bool:
    return filename.startswith(f"{own}{os.sep}")


if __name__ == "__main__":
    main()
