"""Rows of one entity hang together: how many independent rows a window, and what it is held against, are worth.

Chance is told by entities, not by rows. What a column's rows are worth is measured by how much its values hang
together within entities: one value for each customer is worth as many rows as there are customers, values that have
nothing to do with the customer are worth their rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelops import summaries
from modelops.drift import Kind
from modelops.spec.kinds.data_snapshot import Column, Summary
from modelops.spec.kinds.model import ModelSpec
from modelops.statistics import Array
from modelops.statistics.clusters import Codes, alike, chance_factor, drawn_factor, effective_clusters

__all__ = [
    "Worth",
    "apart",
    "cells",
    "declared_entities",
    "entities_of",
    "first_rows",
    "lighter",
    "thinned",
    "worth_of",
]

_BINS = 10
_LISTED = 30
_MANY = 1000.0
"""So many entities follow the normal law, however uneven they are."""


@dataclass(frozen=True, slots=True)
class Worth:
    """How many independent rows those of the reference and those of the window are worth."""

    reference: float
    window: float


def entities_of(table: pa.Table, model: ModelSpec) -> Codes | None:
    """Return the entity of each logged row as a number, None where every row has one of its own.

    Only the entities that the model declares are told apart: without a declaration, or where a caller sent none, the
    server logs the id of the request, which says nothing of rows that hang together.
    """
    if model.serving.entity is None or "entity" not in table.column_names or not table.num_rows:
        return None
    entity = pc.fill_null(table.column("entity"), "")
    ids = pc.fill_null(table.column("id"), "")
    own = pc.or_(pc.equal(entity, ""), pc.or_(pc.equal(ids, entity), pc.equal(_whole(ids), entity)))
    if "request" in table.column_names:
        own = pc.or_(own, pc.equal(pc.fill_null(table.column("request"), ""), entity))
    alone = np.asarray(own.to_numpy(), dtype=np.bool_)
    codes = np.asarray(pd.factorize(entity.to_pandas())[0], dtype=np.int64)
    codes[alone] = len(codes) + np.flatnonzero(alone)
    return None if len(np.unique(codes)) == len(codes) else codes


def _whole(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the id of the answer to a whole request: its rows are logged as ``<id>.0``, ``<id>.1`` and so on."""
    return pc.replace_substring_regex(ids, r"\.\d+$", "")


def cells(values: pa.ChunkedArray, reference: Summary) -> tuple[Codes, Array]:
    """Return a coarse cell for each value, and the shares of these cells in the reference.

    Tenths of the reference's numbers, or its most frequent categories; other and missing values are the last two.
    """
    if reference.kind == "number":
        below = np.cumsum(reference.counts)[:-1]
        wanted = np.searchsorted(below, np.arange(1, _BINS) * sum(reference.counts) / _BINS)
        places = np.unique(wanted[wanted < len(below)])
        edges = np.asarray(reference.edges, dtype=np.float64)[places]
        found = np.concatenate([np.empty(0), *summaries.numbers(values)])
        codes = np.where(np.isnan(found), len(edges) + 2, np.searchsorted(edges, found, side="right")).astype(np.int64)
        counts = np.diff(np.concatenate([[0], below[places], [sum(reference.counts)]]))
    else:
        listed = reference.categories[:_LISTED]
        texts = values.cast(pa.string())
        place = pc.fill_null(pc.index_in(texts, value_set=pa.array(listed, pa.string())), len(listed))
        empty = pc.fill_null(pc.equal(texts, ""), True)
        codes = np.asarray(pc.if_else(empty, len(listed) + 1, place).to_numpy(), dtype=np.int64)
        counts = np.array(reference.counts[:_LISTED], dtype=np.float64)
    rest = sum(reference.counts) - counts.sum() + reference.other
    shares = np.array([*counts, rest, reference.missing], dtype=np.float64)
    return codes, shares / max(1.0, shares.sum())


def worth_of(
    found: Codes,
    shares: Array,
    entities: Codes | None,
    rows: int,
    reference_entities: int | None,
    significance: float,
    *,
    drawn: bool = False,
) -> Worth:
    """Return what the cells of a window's rows and ``rows`` of the reference are worth; ``shares`` are the latter's.

    How much values hang together is measured in the window; of the reference only the number of its entities is known,
    and that they are as uneven as the window's. Where no entity of the window has two rows, nothing can be measured,
    and those of the reference are taken to say the same each time. ``drawn`` is exact for few and uneven entities.
    """
    m = len(found)
    factor, agreement, uneven = 1.0, 1.0, 1.0
    if entities is not None:
        worth = effective_clusters(entities)
        uneven = len(np.unique(entities)) / worth
        agreement = alike(found, entities, shares)
        factor = chance_factor(found, entities, significance)
        if drawn and worth < _MANY and math.isfinite(factor):
            factor = max(factor, drawn_factor(shares, entities, agreement, significance))
    if reference_entities is None:
        return Worth(rows / factor if math.isfinite(factor) else 1.0, m / factor)
    size = max(1.0, rows / max(1, reference_entities) * uneven)
    return Worth(rows / (1 + agreement * (size - 1)), m / factor)


def declared_entities(model: ModelSpec, columns: Sequence[Column]) -> int | None:
    """Return how many entities the rows of a snapshot have, None where no column says it."""
    return next((each.distinct for each in columns if each.name == model.serving.entity and each.distinct), None)


def first_rows(rows: pa.Table, entities: Codes | None) -> pa.Table:
    """Return the first row of each entity, in the order of the rows."""
    return rows if entities is None else rows.take(pa.array(np.sort(np.unique(entities, return_index=True)[1])))


def apart(rows: pa.Table, model: ModelSpec) -> pa.Table:
    """Return the first of a snapshot's rows of each entity where a column names it; rows that name none stay."""
    if model.serving.entity not in rows.column_names:
        return rows
    codes = np.asarray(pd.factorize(rows.column(model.serving.entity).to_pandas())[0], dtype=np.int64)
    codes[codes < 0] = len(codes) + np.flatnonzero(codes < 0)
    return first_rows(rows, codes)


def thinned(values: pa.ChunkedArray, kind: Kind, rows: float) -> pa.ChunkedArray:
    """Return so many of the values, evenly from the smallest to the largest: as the whole, but for its size."""
    wanted = max(1, round(rows))
    if wanted >= len(values):
        return values
    flat = values.cast(pa.string()) if kind == "category" else values
    order = pc.sort_indices(flat)
    picked = ((np.arange(wanted) + 0.5) * (len(values) / wanted)).astype(np.int64)
    return values.take(order.take(pa.array(picked)))


def lighter(summary: Summary, rows: float) -> Summary:
    """Return a summary with the same shares of so many rows."""
    part = rows / max(1, summaries.rows(summary))
    if part >= 1:
        return summary
    every = [*summary.counts, summary.other, summary.missing]
    cut: list[Any] = np.diff(np.rint(np.cumsum([0, *every]) * part)).astype(int).tolist()
    return summary.model_copy(update={"counts": tuple(cut[:-2]), "other": cut[-2], "missing": cut[-1]})
