"""Delayed labels: the truth of a prediction, by its id."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

import msgspec
import orjson

from modelops.artifacts.frame import truth_of
from modelops.clock import Clock
from modelops.errors import ModelOpsError, failure
from modelops.predictions import PredictionLog, Reception, label_text
from modelops.serving.http import Answer
from modelops.serving.metrics import ServerMetrics
from modelops.serving.outputs import Encoder
from modelops.serving.protocol import refusal, shown
from modelops.serving.table import LoadedModel
from modelops.spec.meta import FeatureType

__all__ = ["take_feedback"]


class Feedback(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """One label."""

    id: str
    label: str | int | float | bool


MOST_LABELS = 10_000
"""Labels of one request: they are checked between predictions, and each is looked for in the log."""
_DECODER = msgspec.json.Decoder(Feedback | list[Feedback])


async def take_feedback(
    model: LoadedModel, body: bytes, log: PredictionLog, metrics: ServerMetrics, clock: Clock
) -> Answer:
    """Record one label or a list of them; the answer comes when they are on disk.

    A single label that cannot be taken is an error; in a list each item says whether it was. Another label for the same
    prediction replaces the first, which the answer says as ``replaced``; the same one again changes nothing.
    """
    try:
        decoded = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refusal(f"the feedback is not valid: {error}") from None
    items = decoded if isinstance(decoded, list) else [decoded]
    if len(items) > MOST_LABELS:
        raise failure("body-too-large", f"the request has {len(items)} labels, at most {MOST_LABELS} are taken at once")
    now = clock().timestamp()
    accepted: list[tuple[int, str]] = []
    errors: list[ModelOpsError | None] = [None] * len(items)
    replaced: set[int] = set()
    for position, item in enumerate(items):
        try:
            accepted.append((position, _label(model, item)))
        except ModelOpsError as error:
            errors[position] = error
    metrics.feedback(model.name, "refused", len(items) - len(accepted))
    if accepted:
        rows = [(items[position].id, text, now, model.name) for position, text in accepted]
        for (position, _), outcome in zip(accepted, await log.feedback_acknowledged(rows), strict=True):
            if outcome is Reception.UNKNOWN:
                id = items[position].id[:80]
                errors[position] = failure("unknown-prediction", f"{model.name} logged no prediction {id!r}")
            elif outcome is Reception.CHANGED:
                replaced.add(position)
            metrics.feedback(model.name, "accepted" if outcome else "unknown")
    if not isinstance(decoded, list):
        if errors[0] is not None:
            raise errors[0]
        return Answer(200, orjson.dumps(_said(decoded, None, 0 in replaced)))
    listed = [_said(*each, position in replaced) for position, each in enumerate(zip(items, errors, strict=True))]
    return Answer(200, orjson.dumps({"accepted": sum(error is None for error in errors), "items": listed}))


def _said(item: Feedback, error: ModelOpsError | None, replaced: bool) -> dict[str, object]:
    if error is not None:
        problem = error.first
        return {"id": item.id, "accepted": False, "code": problem.code, "error": problem.message}
    return {"id": item.id, "accepted": True} | ({"replaced": True} if replaced else {})


def _label(model: LoadedModel, item: Feedback) -> str:
    """Return the logged spelling of a label, if it is one that the model can have."""
    main = model.main
    if main is None:
        raise failure("not-ready", f"no release of {model.name} could be loaded")
    encoder = main.encoder
    label = _as_trained(encoder, item.label)
    if encoder.task == "regression":
        number = _number(label)
        if number is None:
            raise failure("bad-label", f"the label {shown(item.label)} of {item.id[:80]!r} is not a number")
        return label_text(number)
    allowed = [label_text(known) for arm in model.arms for known in arm.encoder.classes]
    text = label_text(label)
    if text not in allowed and isinstance(label, str):
        text = _read(label, allowed)
    if encoder.label_type == "INT64" and isinstance(label, bool):
        text = str(int(label))
    if encoder.label_type == "BOOL" and label in (0, 1):
        text = label_text(bool(label))
    if text not in allowed:
        known = ", ".join(dict.fromkeys(allowed))
        raise failure("bad-label", f"the label {text[:80]!r} of {item.id[:80]!r} is not one of {known[:200]}")
    return text


def _as_trained(encoder: Encoder, label: str | int | float | bool) -> str | int | float | bool:
    """Return a label that comes as text read as those were that the model was trained on."""
    if encoder.text is None or not isinstance(label, str):
        return label
    kind: FeatureType = "number" if encoder.task == "regression" else _KINDS.get(encoder.label_type, "category")
    value = encoder.text.value(encoder.target, kind, label)
    # What has no value in this reading is told as it came, with what the model knows.
    return value if isinstance(value, str | int | float) else label


_KINDS: Mapping[str, FeatureType] = {"INT64": "integer", "FP64": "number", "BOOL": "boolean"}


def _read(label: str, allowed: Collection[str]) -> str:
    """Return the label that a text of a file means: without the blanks around it, and yes or no in any spelling."""
    text = label.strip()
    if set(allowed) == {"true", "false"}:
        found = truth_of(text)
        return label_text(found) if found is not None else text
    whole = re.fullmatch(r"([+-]?\d+)\.0+", text)
    return whole[1] if whole and text not in allowed else text


def _number(label: str | int | float | bool) -> float | None:
    """Return a label as a finite number, also when it comes as text, as from a CSV file; None if it is none."""
    try:
        number = None if isinstance(label, bool) else float(label)
    except (ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None
