"""An explanation: the contributions of one row's features, as they are told, logged and compared."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

__all__ = ["MOST_ROUNDS", "Explanation", "Method", "parse_reasons"]

Method = Literal["additive", "trees", "enumerated", "sampled"]
"""How contributions were found; all but ``sampled`` are exact for the background that they are about.

``additive``: the score is a sum of one term a feature, on its scale. ``trees``: leaf by leaf. ``enumerated``: all
coalitions of features. ``sampled``: orders of features drawn at random, so that there is a standard error.
"""

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

MOST_ROUNDS = 8
"""Passes over the background, each with one order and its reverse per row, after which sampling ends."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions that add up: ``baseline`` and all of them are ``value``.

    ``scale`` is what is added: ``log-odds``, ``centred log-probability``, ``probability``, ``prediction`` or
    ``log of the prediction``; ``label`` is the class that it is about, None for a regression. ``contributions`` has
    shape (k,), in the order of ``features``; ``errors`` are their standard errors where they were sampled, in so many
    ``rounds`` over the ``background`` rows.
    """

    method: Method
    scale: str
    label: str | None
    features: tuple[str, ...]
    background: int
    baseline: float
    value: float
    contributions: FloatArray
    errors: FloatArray | None = None
    rounds: int = 0

    @property
    def gap(self) -> float:
        """How far the parts are from adding up, relative to the value above 1."""
        total = self.baseline + float(self.contributions.sum())
        return abs(total - self.value) / max(1.0, abs(self.value))

    def head(self) -> dict[str, Any]:
        """Return everything but the contributions as JSON has it."""
        found: dict[str, Any] = {"method": self.method, "scale": self.scale}
        if self.label is not None:
            found["label"] = self.label
        found |= {"background": self.background, "baseline": self.baseline, "value": self.value}
        return found | ({"rounds": self.rounds} if self.rounds else {})

    def told(self, values: Mapping[str, Any], most: int) -> dict[str, Any]:
        """Return what a caller is told: the ``most`` largest contributions, and the sum of the rest."""
        order = sorted(range(len(self.features)), key=lambda at: (-abs(self.contributions[at]), at))
        shown = []
        for at in order[:most]:
            name = self.features[at]
            part = {"feature": name, "value": values.get(name), "contribution": float(self.contributions[at])}
            shown.append(part | ({"error": float(self.errors[at])} if self.errors is not None else {}))
        rest = math.fsum(self.contributions[at] for at in order[most:])
        return self.head() | {"contributions": shown, "rest": rest}

    def logged(self) -> str:
        """Return all of it as the log keeps it."""
        found = self.head()
        found["contributions"] = dict(zip(self.features, self.contributions.tolist(), strict=True))
        if self.errors is not None:
            found["errors"] = dict(zip(self.features, self.errors.tolist(), strict=True))
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def parse_reasons(text: str, features: Sequence[str]) -> Explanation | str:
    """Return an explanation from the log, or the logged reason for which there was none.

    What is neither raises ``ValueError``: a log is what somebody wrote, so numbers that are none, ways that are not
    known and more rounds than are ever taken are refused.
    """
    try:
        given = json.loads(text)
    except RecursionError:
        raise ValueError("the logged reasons are nested too deep") from None
    if not isinstance(given, dict):
        raise ValueError("the logged reasons are no object")
    if "none" in given:
        return str(given["none"])
    try:
        parts, errors = given["contributions"], given.get("errors")
        if list(parts) != list(features) or (errors is not None and list(errors) != list(features)):
            raise ValueError("the logged reasons are about other features than those of the release")
        found = Explanation(
            given["method"],
            str(given["scale"]),
            given.get("label"),
            tuple(features),
            int(given["background"]),
            float(given["baseline"]),
            float(given["value"]),
            np.array([float(parts[name]) for name in features]),
            None if errors is None else np.array([float(errors[name]) for name in features]),
            int(given.get("rounds", 0)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the logged reasons lack {error}") from None
    except OverflowError:
        raise ValueError("the logged reasons hold a number that is none") from None
    if found.method not in get_args(Method):
        raise ValueError("the logged reasons were found in no way that is known")
    numbers = [found.baseline, found.value, *found.contributions.tolist()]
    numbers += found.errors.tolist() if found.errors is not None else []
    if not all(map(math.isfinite, numbers)):
        raise ValueError("the logged reasons hold a number that is not finite")
    drawn = found.method == "sampled"
    if drawn != (found.errors is not None) or not (1 <= found.rounds <= MOST_ROUNDS if drawn else found.rounds == 0):
        raise ValueError("the logged reasons say otherwise than their way how they were drawn")
    return found
