"""Joining bins: the same rows in fewer of them, as scores compare them and people read them."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise

from modelops.spec.kinds.data_snapshot import Summary

__all__ = ["coarser"]


def coarser(summary: Summary, bins: int, categories: int) -> Summary:
    """Return a summary with fewer bins: about ``bins`` of equal frequency, or the most frequent ``categories``.

    The edges are chosen among those of the summary, by the rule that placed them: a value that alone fills more than
    one of the wider bins keeps a bin of its own. Means and extremes are not kept.
    """
    if summary.kind == "category":
        return summary.model_copy(
            update={
                "categories": summary.categories[:categories],
                "counts": summary.counts[:categories],
                "other": summary.other + sum(summary.counts[categories:]),
            }
        )
    below = [0, *accumulate(summary.counts)]
    n = below[-1]
    chosen: set[int] = set()
    for rank in (round(k * n / bins) for k in range(1, bins)) if n else ():
        place = bisect_right(below, min(rank, n - 1)) - 1
        start, end = below[place], below[place + 1]
        if (end - start) * bins > n:
            chosen |= {place, place + 1}
        else:
            chosen.add(place if rank - start <= end - rank and start > 0 else place + 1)
    inner = sorted(chosen - {0, len(summary.counts)})
    marks = [0, *inner, len(summary.counts)]
    counts = tuple(below[b] - below[a] for a, b in pairwise(marks))
    return summary.model_copy(
        update={
            "edges": tuple(summary.edges[index - 1] for index in inner),
            "counts": counts,
            "means": (),
            "minimum": None,
            "maximum": None,
        }
    )
