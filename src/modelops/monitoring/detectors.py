"""Detectors of concept drift by the names that people know, run over the answers of a window that have a label.

They tell where the share of wrong answers may have moved within the window. The watched metric, whose interval holds
for all looks together, decides; these do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from modelops.clock import format_instant
from modelops.monitoring.performance import labelled_predictions, selection_of
from modelops.monitoring.report import Detected
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import Detector
from modelops.statistics import Array
from modelops.statistics.streams.changes import Change, adwin, page_hinkley

__all__ = ["detected", "sentence"]

_OF: Mapping[Detector, Callable[[Array], Sequence[Change]]] = {"adwin": adwin, "page-hinkley": page_hinkley}
_NAMES: Mapping[Detector, str] = {"adwin": "ADWIN", "page-hinkley": "Page-Hinkley"}


def detected(detectors: Sequence[Detector], model: ModelSpec, judged: pa.Table) -> tuple[Detected, ...]:
    """Return where each detector sees the share of wrong answers change, in the order of the answers' times.

    Parameters
    ----------
    detectors : sequence of str
        By name.
    model : ModelSpec
        A classifier: errors of a regression have no bound that the detectors know.
    judged : pa.Table
        The answers that are old enough to have their labels, oldest first. Where labels depend on the answer, wrong
        answers are seen as often as labels are sent, and nothing is said.
    """
    if not detectors or selection_of(model, judged):
        return ()
    predictions, known = labelled_predictions(model, judged)
    wrong = (predictions.y_true != predictions.y_pred).astype(np.float64)
    times = judged.column("time").to_numpy().astype(np.float64)[known]
    return tuple(
        Detected(
            detector=name,
            at=datetime.fromtimestamp(float(times[change.at]), UTC),
            label=change.at + 1,
            labels=len(wrong),
            before=change.before,
            after=change.after,
        )
        for name in detectors
        for change in _OF[name](wrong)
    )


def sentence(one: Detected) -> str:
    """Say what a detector saw."""
    way = "rose" if one.after > one.before else "fell"
    seen = f"{_NAMES[one.detector]} saw at {format_instant(one.at)}, label {one.label:,} of {one.labels:,}"
    moved = f"that the share of wrong answers {way} from {one.before:.1%} to {one.after:.1%}"
    return f"{seen}, {moved}; that has no error rate for all looks together, and decides nothing."
