"""The statistics extension of the protocol, as Triton answers it: requests, rows and nanoseconds per release."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["model_stats"]


def model_stats(
    counts: Sequence[Mapping[str, Any]], versions: Iterable[tuple[str, str]]
) -> dict[str, list[dict[str, Any]]]:
    """Return the statistics of the named versions, added up over arms and worker processes.

    ``counts`` are those of ``ServerMetrics.statistics``. Reading and checking a request counts as input, everything
    after the prediction (encoding, the log's disk) as output; there is no queue of its own.
    """
    return {
        "model_stats": [
            _stats(name, version, [each for each in counts if each["model"] == name and each["release"] == version])
            for name, version in versions
        ]
    }


def _stats(name: str, version: str, counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    total = {key: sum(each[key] for each in counts) for key in _KEYS}
    answered = total["count"] - total["errors"]
    rest = total["seconds"] - total["input_seconds"] - total["infer_seconds"]
    return {
        "name": name,
        "version": version,
        "last_inference": int(max((each["last"] for each in counts), default=0.0) * 1000),
        "inference_count": total["rows"],
        "execution_count": answered,
        "inference_stats": {
            "success": _duration(answered, total["seconds"] - total["error_seconds"]),
            "fail": _duration(total["errors"], total["error_seconds"]),
            "queue": _duration(total["count"], 0.0),
            "compute_input": _duration(total["count"], total["input_seconds"]),
            "compute_infer": _duration(total["count"], total["infer_seconds"]),
            "compute_output": _duration(total["count"], rest),
        },
        "batch_stats": [],
    }


_KEYS = ("count", "errors", "rows", "seconds", "error_seconds", "input_seconds", "infer_seconds")


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": int(seconds * 1e9)}
