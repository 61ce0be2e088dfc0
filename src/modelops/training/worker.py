"""The process of one build: a confined child trains; this process, which never runs the model's code, evaluates.

``python -m modelops.training.worker FOLDER PARENT`` reads ``FOLDER/request.json`` and leaves ``FOLDER/result.json`` or
``FOLDER/error.json``. The child sees the training rows only, so no training code can have learnt from the test rows.
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
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from modelops.errors import ModelOpsError, failure
from modelops.training.sandbox import confine, die_with_parent, free_spare_memory

if TYPE_CHECKING:
    import pandas as pd

_TRAINED = "trained.json"
_POLL_SECONDS = 0.02
_QUIET_SECONDS = 0.2
_AHEAD = ("skl2onnx", "onnxruntime")
"""Imports of the evaluation, done while the child trains, unless it fails at once."""


def main() -> None:
    """Train in a child, then export and evaluate what it left."""
    die_with_parent(int(sys.argv[2]))
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
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        die_with_parent(parent)
        _report_failures(scratch / "error.json", "training-failed", "training failed", scratch / "code")
        _train(request, scratch)
        return
    status = _wait(child, time.monotonic() + request["timeout"])
    _require_trained(status, request, scratch, folder)
    from modelops.training.evaluate import evaluate

    evaluate(request, folder)


def _wait(child: int, deadline: float) -> int | None:
    """Return the child's wait status, or None after killing it at the deadline; import what comes next meanwhile."""
    ahead = list(_AHEAD)
    quiet = time.monotonic() + _QUIET_SECONDS
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        if ahead and time.monotonic() > quiet:
            importlib.import_module(ahead.pop(0))
        else:
            time.sleep(_POLL_SECONDS)


def _require_trained(status: int | None, request: dict[str, Any], scratch: Path, folder: Path) -> None:
    """Turn every way in which the child can fail into one error; return when it left an artifact."""
    entrypoint, error = request["entrypoint"], scratch / "error.json"
    if status is None:
        raise failure(
            "training-timeout",
            f"{entrypoint} was still training after {request['timeout']} seconds, its limit, and was stopped",
            dotted="spec.training.timeoutSeconds",
        )
    if error.is_file() and not error.is_symlink():
        (folder / "error.json").write_bytes(error.read_bytes())
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
    confine(scratch, request["memoryBytes"])
    sys.path.insert(0, str(scratch / "code"))
    module = _load(scratch / "code" / request["entrypoint"], request["entrypoint"])
    with joblib.parallel_config(backend="threading", n_jobs=request["threads"]):
        estimator = module.train(features, target, dict(request["parameters"]), request["seed"])
    require_estimator(estimator, request)
    from modelops.artifacts.canonical import dump_canonical

    data, types = dump_canonical(estimator)
    (scratch / "model.skops").write_bytes(data)
    (scratch / _TRAINED).write_text(json.dumps({"types": types}))


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
    if not hasattr(estimator, "predict") or isinstance(estimator, type) or not right(estimator):
        what = "regressor" if task == "regression" else "classifier"
        raise failure(
            "not-an-estimator",
            f"train of {entrypoint} returned {type(estimator).__name__}, which is not a scikit-learn {what}",
            hint="return the fitted estimator or pipeline",
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise failure("not-fitted", f"train of {entrypoint} returned {type(estimator).__name__} unfitted") from None
    if task == "regression":
        return
    if not hasattr(estimator, "predict_proba"):
        raise failure(
            "no-probabilities",
            f"{type(estimator).__name__} has no predict_proba",
            hint="wrap it in CalibratedClassifierCV or choose another estimator",
        )
    expected = [0, 1] if task == "binary-classification" else request["classes"]
    found = np.asarray(getattr(estimator, "classes_", [])).tolist()
    if [str(label) for label in found] != [str(label) for label in expected]:
        raise failure(
            "wrong-classes",
            f"the estimator knows the classes {found[:10]!r}, the data has {expected[:10]!r}",
            hint="fit on the target as it is passed; a class without a training row needs another split",
        )


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
