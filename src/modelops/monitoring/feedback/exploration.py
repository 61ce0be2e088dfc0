"""Metrics of all answers from labels that came by design: those of decisions, and of answers drawn for review.

What a decision brings is labelled for certain, and of the others those that were drawn, with a chance that was logged
with each. Labels that came in another way, such as complaints about what was missed, are left out: nobody knows with
which chance they came. Each group of answers with one label and one chance then counts by its answers, which is Horvitz
and Thompson's estimator with the number of answers, which is known, in place of its expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from modelops.monitoring.selection import Parts
from modelops.predictions import positive_spellings, spellings
from modelops.spec.kinds.model import ModelSpec
from modelops.statistics.selection import FOUND

__all__ = ["Design", "decided", "designed", "drawn_of", "weights_of"]

NEGLIGIBLE = 0.01
"""So large a share of the answers may have had no chance of a label; they are taken to be like the others."""

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Design:
    """The labels that came by design: their parts, which of the labelled rows they are, and what was reviewed.

    Of ``drawn`` answers ``reviewed`` have a label, ``positives`` of them a positive one. ``unreachable`` answers had no
    chance of a label.
    """

    parts: Parts
    kept: Mask
    drawn: int
    reviewed: int
    positives: int
    unreachable: int

    @property
    def holes(self) -> str:
        """Say that too many answers had no chance of a label, nothing where few or none had."""
        answers = int(self.parts.answers.sum())
        if self.unreachable <= NEGLIGIBLE * answers:
            return ""
        return f"{self.unreachable} of {answers} answers had no chance of a label"

    @property
    def underpowered(self) -> str:
        """Say that too few positives were reviewed to tell what was missed, nothing where there are enough."""
        if self.positives >= FOUND:
            return ""
        found = f"{self.positives} positives among {self.reviewed} reviewed answers"
        if not self.positives:
            return f"underpowered: {found}, and {FOUND} tell what is missed"
        more = round(self.reviewed * FOUND / self.positives)
        return f"underpowered: {found}; about {more} reviewed answers would have the {FOUND} that tell what is missed"


def decided(model: ModelSpec, rows: pa.Table) -> Mask | None:
    """Tell which answers bring a label by themselves, None where that is not declared."""
    labels = model.data.labels
    if labels is None or not labels.decisions:
        return None
    known = {text for each in labels.decisions for text in spellings(each)}
    return np.array([label in known for label in rows.column("label").to_pylist()], dtype=np.bool_)


def drawn_of(rows: pa.Table) -> tuple[np.ndarray[Any, np.dtype[np.float64]], Mask]:
    """Return with which chance each answer was drawn for review, and whether it was."""
    if "review" not in rows.column_names:
        return np.zeros(rows.num_rows), np.zeros(rows.num_rows, dtype=np.bool_)
    chances = rows.column("review").to_numpy(zero_copy_only=False).astype(np.float64)
    return chances, rows.column("drawn").to_numpy(zero_copy_only=False).astype(np.bool_)


def weights_of(model: ModelSpec, rows: pa.Table) -> list[float | None]:
    """Return what each labelled row counts for in training: one by the chance of its label; None where nobody knows it.

    Rows that a decision brought count once, those that were drawn for review for all that were not, and rows that got
    a label in another way for nothing that is known.
    """
    certain = decided(model, rows)
    if certain is None or model.review == 0:
        return [None] * rows.num_rows
    chances, drawn = drawn_of(rows)
    told = zip(certain.tolist(), drawn.tolist(), chances.tolist(), strict=True)
    return [1.0 if sure else 1 / chance if was and chance > 0 else None for sure, was, chance in told]


def designed(model: ModelSpec, rows: pa.Table, known: Mask) -> Design | None:
    """Sort the labels that came by design; None where none was drawn, or decisions are not declared.

    ``known`` marks the rows that have a label.
    """
    certain = decided(model, rows)
    chances, drawn = drawn_of(rows)
    if certain is None or not drawn.any():
        return None
    chances = np.where(certain, 1.0, chances)
    labels = rows.column("label").to_pylist()
    reachable = chances > 0
    names: dict[tuple[str, float], int] = {}
    code = np.array(
        [
            names.setdefault((str(label), float(chance)), len(names))
            for label, chance in zip(labels, chances, strict=True)
        ]
    )
    _into_neighbours(code, reachable, labels)
    by_design = known & (certain | drawn)
    used = np.unique(code)
    place = np.zeros(max(len(names), 1), dtype=np.int64)
    place[used] = np.arange(len(used))
    code = place[code]
    told = {at: key for key, at in names.items()}
    parts = Parts(
        tuple(_named(*told[int(at)]) for at in used),
        np.bincount(code, minlength=len(used)).astype(np.int64),
        np.bincount(code[by_design], minlength=len(used)).astype(np.int64),
        code[by_design],
    )
    positive = _positive(model, rows)
    reviewed = known & drawn
    found = int((positive & reviewed).sum())
    return Design(parts, by_design[known], int(drawn.sum()), int(reviewed.sum()), found, int((~reachable).sum()))


def _into_neighbours(code: np.ndarray[Any, Any], reachable: Mask, labels: list[Any]) -> None:
    """Count answers without any chance with the most of those of the same label that had one."""
    said = np.array([str(label) for label in labels])
    for label in np.unique(said[~reachable]):
        mine = said == label
        others = code[mine & reachable]
        if len(others):
            code[mine & ~reachable] = np.bincount(others).argmax()


def _named(label: str, chance: float) -> str:
    return repr(label) if chance == 1 else f"{label!r} (reviewed by {chance:.3g})"


def _positive(model: ModelSpec, rows: pa.Table) -> Mask:
    spelt = positive_spellings(model.data.positive)
    if model.task == "regression":
        return np.zeros(rows.num_rows, dtype=np.bool_)
    if model.task != "binary-classification":
        return np.array([truth is not None for truth in rows.column("truth").to_pylist()], dtype=np.bool_)
    return np.array([truth in spelt for truth in rows.column("truth").to_pylist()], dtype=np.bool_)
