"""Progress of a rollout, made up or drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from modelops.strategies import ArmData, Progress, Segment, Traffic

START = datetime(2026, 5, 1, tzinfo=UTC)
NONE = np.empty(0)


def arm(requests: int = 0, errors: int = 0, slow: int = 0, scores=NONE, losses=NONE) -> ArmData:
    return ArmData(requests, errors, slow, np.asarray(scores, dtype=float), np.asarray(losses, dtype=float))


def segment(step: int, weight: float, candidate: ArmData, stable: ArmData) -> Segment:
    traffic = Traffic({"stable": round(1 - weight, 9), "candidate": weight})
    return Segment(step, traffic, {"stable": stable, "candidate": candidate})


def progress(segments: Sequence[Segment] = (), step: int | None = None, minutes: float = 60.0) -> Progress:
    at = step if step is not None else segments[-1].step if segments else 0
    return Progress(at, START, START + timedelta(minutes=minutes), tuple(segments))


def drawn(
    generator: np.random.Generator,
    step: int,
    weight: float,
    total: int,
    *,
    errors: tuple[float, float] = (0.01, 0.01),
    slow: tuple[float, float] = (0.02, 0.02),
    shift: float = 0.0,
    losses: tuple[float, float] = (0.1, 0.1),
    labelled: float = 0.0,
) -> Segment:
    """Draw a segment of ``total`` requests; pairs are (stable, candidate)."""
    of_candidate = int(generator.binomial(total, weight))
    arms = []
    for place, n in enumerate((total - of_candidate, of_candidate)):
        scores = generator.beta(2, 5, n) + shift * place
        lost = generator.binomial(1, losses[place], int(n * labelled))
        arms.append(
            arm(n, int(generator.binomial(n, errors[place])), int(generator.binomial(n, slow[place])), scores, lost)
        )
    return segment(step, weight, arms[1], arms[0])
