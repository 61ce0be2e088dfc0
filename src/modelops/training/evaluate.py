"""From a trained estimator to the files of an artifact, and its predictions on the rows it has never seen."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelops import plugins
from modelops.artifacts import package
from modelops.artifacts.fitted import decides_at_least, last_of, own_threshold
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_export import Export, export_onnx
from modelops.artifacts.onnx_session import onnx_score
from modelops.artifacts.package import Artifact
from modelops.artifacts.predictor import (
    Predictor,
    Score,
    background_document,
    class_indices,
    load_estimator,
    sklearn_score,
    smoke_document,
)
from modelops.artifacts.probe import Probe, probes, scored
from modelops.artifacts.signature import SCIKIT_LEARN, Signature
from modelops.errors import failure
from modelops.fence.written import read_written
from modelops.training.exporting import EXPORT_SECONDS, apart
from modelops.training.importance import importance
from modelops.training.rows import KEPT, read_rows

__all__ = ["evaluate", "with_labels"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class _Trained:
    """A model as it was loaded from what training left, and all that belongs to it."""

    estimator: Any
    signature: Signature
    rows: Mapping[str, Array]
    truth: Array
    files: Mapping[str, bytes]
    search: dict[str, Any] | None


SMOKE_ROWS = 8
DEFAULT_THRESHOLD = 0.5
_MODEL_BYTES = 4 << 30
_ROUNDING = 1e-3
"""How far shares may be from what shares can be."""


def evaluate(request: dict[str, Any], folder: Path, lock: Callable[[], None]) -> None:
    """Load what training wrote, as data; export it, predict the test rows, and write the artifact's files.

    Leaves ``artifact/…``, ``scores.npy`` and ``result.json`` in ``folder``. ``lock`` closes a process to what it does
    not need for that; each that reads what training code wrote is locked before.
    """

    def exported() -> Export:
        lock()
        found = _trained(request, folder)
        return export_onnx(found.estimator, found.signature, found.rows)

    # A locked process starts no other, so the one that exports is started first, or the one that runs a function.
    runs = _runs_code(request)
    export = _NO_FORM if runs else apart(exported, folder, EXPORT_SECONDS, request["bounds"]["memory"])
    trained = _trained(request, folder) if runs else None
    lock()
    trained = trained or _trained(request, folder)
    estimator, signature, rows = trained.estimator, trained.signature, trained.rows
    _require_probabilities(_scored(sklearn_score(estimator, signature), rows), signature)
    signature = _with_engine(signature, export)
    score = onnx_score(export.data, signature) if export.data else sklearn_score(estimator, signature)
    scores = _scored(score, rows)
    files = {**trained.files, package.SIGNATURE: signature.dump()}
    if export.data:
        files[package.ONNX] = export.data
    files[package.SMOKE] = smoke_document(Predictor(signature, score), rows, _smoke_rows(len(scores)))
    files[package.BACKGROUND] = background_document(rows, scores)
    for path, content in files.items():
        target = folder / "artifact" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    np.save(folder / "scores.npy", scores, allow_pickle=False)
    # A function is run for each row in a process of its own: asking it once for every feature may take hours.
    carried = None if runs else importance(score, signature.task, rows, trained.truth, request["seed"])
    said = {
        "files": sorted(files),
        "threads": _thread_pools(),
        "search": trained.search,
        "importance": carried.model_dump(mode="json") if carried is not None else None,
    }
    (folder / "result.json").write_text(json.dumps(said))


_NO_FORM = Export(None, None, "a function has no form in ONNX")


def _runs_code(request: dict[str, Any]) -> bool:
    declared = request["runtime"]
    return declared is not None and bool(plugins.load("runtimes", declared["type"]).DECLARED)


def _read_model(request: dict[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what training says of the model, and its files; code is that of the revision, and only where declared."""
    scratch = Path(request["scratch"])
    try:
        said = json.loads(read_written(scratch / "trained.json", _MODEL_BYTES))
        files = {
            str(path): read_written(scratch / KEPT / str(place), _MODEL_BYTES)
            for place, path in enumerate(said["files"])
        }
    except OSError as error:
        raise failure("training-exited", f"training left no model that can be read: {error.strerror}") from None
    strange = [path for path in files if path != package.SKOPS and not path.startswith(package.PARTS)]
    allowed = request["runtime"]["type"] if _runs_code(request) else None
    named = {str(part["runtime"]) for part in said["parts"]}
    running = [key for key in named if key != allowed and plugins.load("runtimes", key).DECLARED]
    if strange or running:
        raise failure(
            "training-exited", f"training left a model with {(strange or running)[0]!r} in it, which may not be"
        )
    code = folder / "code"
    files |= {
        package.CODE + path.relative_to(code).as_posix(): path.read_bytes()
        for path in sorted(code.rglob("*") if allowed else ())
        if path.is_file()
    }
    return said, files


def _trained(request: dict[str, Any], folder: Path) -> _Trained:
    """Return the model that training left, its signature, the test rows, and what was kept of it."""
    said, files = _read_model(request, folder)
    own = "sklearn" if said["runtime"] == SCIKIT_LEARN else said["runtime"]
    named = {"trustedTypes": said["types"], "runtime": said["runtime"], "parts": said["parts"], "engine": own}
    signature = Signature.model_validate_json(json.dumps(request["signature"] | named))
    estimator = load_estimator(Artifact("", 0, {**files, package.SIGNATURE: signature.dump()}))
    rows, truth = read_rows(folder / "test.arrow", request["features"])
    own = own_threshold(estimator)
    asked = signature.threshold != DEFAULT_THRESHOLD and own is None
    signature = _with_threshold(signature, own)
    # Where the spec says from which share on, that is what it gets.
    least = signature.model_copy(update={"ties": "positive"})
    signature = least if asked else with_labels(signature, estimator, rows)
    return _Trained(estimator, signature, rows, truth, files, said.get("search"))


def _thread_pools() -> list[dict[str, Any]]:
    """Return the arithmetic libraries of this process with the threads that they use, not where they lie."""
    from threadpoolctl import threadpool_info

    return [
        {key: value for key, value in sorted(pool.items()) if key != "filepath" and value is not None}
        for pool in threadpool_info()
    ]


def _with_threshold(signature: Signature, own: float | None) -> Signature:
    """Take over the threshold that an estimator tuned, unless the spec asks for another one."""
    if own is None or own == signature.threshold:
        return signature
    if signature.threshold != DEFAULT_THRESHOLD:
        raise failure(
            "bad-threshold",
            f"the estimator's own threshold is {own:.6g}, the spec's is {signature.threshold:g}",
            dotted="spec.serving.threshold",
            hint="leave the spec's out to take the estimator's, or return the estimator without one",
        )
    return signature.model_copy(update={"threshold": own})


def with_labels(signature: Signature, estimator: Any, rows: Mapping[str, Array]) -> Signature:
    """Give scores the labels that the estimator's own ``predict`` gives them, and say where that cannot be.

    A score that is exactly the threshold is what estimators do not agree on: the test rows say it, else what most do,
    the first class of equal ones.
    """
    if signature.task == "regression":
        return signature
    # Most rows are those at thresholds, which part engines, not labels from their own scores.
    every = probes(estimator, signature.features, rows)
    asked = tuple(probe for probe in every if not probe.kind.startswith("split"))
    # A function may refuse what is far out, and each refusal costs its process time.
    asked = asked[:1] if getattr(estimator, "apart", False) else asked
    expected = list(scored(sklearn_score(estimator, signature), asked))
    own = dict(_labels_of(estimator, signature, asked))
    usual = "positive" if decides_at_least(estimator) else "negative"
    ways = [signature.model_copy(update={"ties": ties}) for ties in (usual, "positive", "negative")]
    ways = ways if signature.task == "binary-classification" else [signature]
    others = [_other_labels(way, expected, own) for way in ways]
    totals = [sum(count for count, _ in each.values()) for each in others]
    best = int(np.argmin(totals))
    if not totals[best]:
        return ways[best]
    where = " and ".join(f"{count} of {rows} {what}" for what, (count, rows) in others[best].items() if count)
    name = type(last_of(estimator)).__name__
    why = "which does not follow its own probabilities there"
    return ways[best].model_copy(update={"labels": f"{where} get another label than predict of {name} gives, {why}"})


def _labels_of(estimator: Any, signature: Signature, asked: tuple[Probe, ...]) -> Iterator[tuple[str, Array | None]]:
    """Yield the labels of ``predict`` for each probe, None where it refuses the rows."""
    for probe, labels in scored(lambda columns: _own_labels(estimator, signature, columns), asked):
        yield probe.kind, labels


def _other_labels(
    signature: Signature, expected: list[tuple[Probe, Array | None]], own: Mapping[str, Array | None]
) -> dict[str, tuple[int, int]]:
    """Return how many rows of each kind get another label than ``predict`` gives, and of how many."""
    found: dict[str, tuple[int, int]] = {}
    for probe, scores in expected:
        labels = own[probe.kind]
        if scores is not None and labels is not None:
            count, rows = found.get(probe.what, (0, 0))
            others = int((class_indices(signature, scores) != labels).sum())
            found[probe.what] = count + others, rows + len(labels)
    return found


def _own_labels(estimator: Any, signature: Signature, rows: Mapping[str, Array]) -> Array:
    """Return the labels of ``predict`` as indices into the classes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.asarray(estimator.predict(to_frame(rows)))
    if signature.task == "binary-classification":
        return np.asarray(found == 1, dtype=np.intp)
    # The signature has the classes in the estimator's order; one that was fitted on codes knows them by those.
    places = {str(label): place for place, label in enumerate(np.asarray(estimator.classes_).tolist())}
    return np.array([places.get(str(label), -1) for label in found.tolist()], dtype=np.intp)


def _with_engine(signature: Signature, export: Export) -> Signature:
    changes = {
        "engine": "onnx" if export.data else signature.engine,
        "engine_reason": export.reason,
        "onnx_difference": export.difference,
        "equality": export.equality,
    }
    return signature.model_copy(update=changes)


_OF_COLUMNS = ("feature names", "features, but", "could not convert string", "non-numeric")
_OTHER_COLUMNS = (
    "what train does to the columns before it fits is no part of the model: make it a step of a pipeline, as a "
    "ColumnTransformer, and fit that on the features as they are passed"
)
_OTHER_VALUES = "serving would meet such rows too; impute missing values and allow unknown categories"


def _scored(score: Score, rows: Mapping[str, Array]) -> Array:
    """Return the scores of the test rows; an estimator that refuses a row or answers no number fails the build."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scores = score(rows)
        except (ValueError, TypeError) as error:
            text = str(error).strip().splitlines()
            raise failure(
                "prediction-failed",
                f"the estimator refuses the test rows: {text[0] if text else type(error).__name__}",
                hint=_OTHER_COLUMNS if any(word in str(error) for word in _OF_COLUMNS) else _OTHER_VALUES,
            ) from None
    bad = ~np.isfinite(scores).reshape(len(scores), -1).all(axis=1)
    if bad.any():
        raise failure(
            "prediction-not-finite",
            f"the estimator predicts no finite number for {int(bad.sum())} of {len(scores)} test rows",
        )
    return scores


def _require_probabilities(scores: Array, signature: Signature) -> None:
    """Refuse what is no probability: a score that is neither in order nor bounded has no threshold and no interval."""
    if signature.task == "regression":
        return
    beyond = (scores < -_ROUNDING) | (scores > 1 + _ROUNDING)
    sums = scores.sum(axis=1) if scores.ndim == 2 else None
    if not beyond.any() and (sums is None or (np.abs(sums - 1) < _ROUNDING).all()):
        return
    said = f"{float(scores[beyond][0]):.4g}" if beyond.any() else "shares whose sum is not 1"
    raise failure(
        "not-probabilities",
        f"the model answers {said}, which is no probability",
        hint="let it end with a sigmoid, for two labels, or a softmax",
    )


def _smoke_rows(count: int) -> list[int]:
    return sorted({int(row) for row in np.linspace(0, count - 1, min(count, SMOKE_ROWS))})
