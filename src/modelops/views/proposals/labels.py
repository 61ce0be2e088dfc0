"""Where the labels of models come from, whether the models feed themselves, and what has to be reviewed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from modelops.markup import plain
from modelops.monitoring.feedback.declared import Declared, Reviews
from modelops.spec.explain import show


def text(found: Sequence[Declared]) -> str:
    """Return the lines of all models, empty where none declares anything."""
    return "\n".join(["labels:", *(f"  {plain(line)}" for one in found for line in lines(one))]) if found else ""


def lines(one: Declared) -> Iterator[str]:
    """Yield what one model declares, and what follows from it."""
    labels = one.labels
    through = f" through {labels.source}" if labels.source is not None else ""
    after = f", within {labels.delay_days:g} days" if labels.delay_days is not None else ""
    yield f"{one.model}: labelled by {labels.by}{through}{after}"
    if one.loop:
        yield f"{one.model} feeds itself: {one.fed}, and nothing is explored; accepted: {labels.accepted}"
    elif one.fed and labels.exploration is not None:
        yield f"{one.model}: {one.fed}; {labels.exploration.share:.3g} of all answers are drawn for review besides"
    if one.unweighted:
        said = "reviewed rows enter its retraining as if all rows had had their chance of a label"
        yield f"{one.model}: {said}: name a column of weights in data.weight, which then holds one by that chance"
    if one.reviews is not None:
        yield f"{one.model}: {reviewed(one.reviews)}"


def reviewed(found: Reviews) -> str:
    """Say how many reviewed answers a claim needs, and whether there will be as many."""
    window = f"in {found.days:g} days"
    if found.claim is None:
        what = "to find ten positives with 95 % certainty"
    else:
        what = (
            f"to prove a recall above {found.claim.recall:g}, where it is {found.claim.expected:g}, with a chance of "
        )
        what += f"{found.claim.power:.0%}"
    at = f"{what}, at {found.base_rate:.3g} positives"
    if found.needed is None:
        return f"no number of reviewed answers is enough {at}: claim less"
    need = f"{found.needed:,} reviewed answers {window} are needed {at}"
    if found.drawn is None or found.share is None:
        return f"{need}; rollout.yaml says no expect.requestsPerHour, so whether there are as many is not known"
    drawn = f"about {found.drawn:,.0f} of {found.answers:,.0f} are drawn"
    if found.enough:
        return f"{need}, and {drawn}"
    if found.share <= 1:
        return f"UNDERPOWERED: {need}, and {drawn}: draw a share of {found.share:.2g}, or claim less"
    return f"UNDERPOWERED: {need}, which are more than there are answers: watch a longer window, or claim less"


def data(found: Sequence[Declared]) -> list[dict[str, Any]]:
    """Return what models declare, and what follows from it."""
    return [
        {
            "model": one.model,
            "by": one.labels.by,
            "source": one.labels.source,
            "decisions": [show(each) for each in one.labels.decisions],
            "fed": one.fed or None,
            "loop": one.loop,
            "unweighted": one.unweighted,
            "accepted": one.labels.accepted or None,
            "explored": one.labels.exploration.share if one.labels.exploration is not None else None,
            "reviews": None
            if one.reviews is None
            else {
                "needed": one.reviews.needed,
                "drawn": one.reviews.drawn,
                "answers": one.reviews.answers,
                "days": one.reviews.days,
                "baseRate": one.reviews.base_rate,
                "enough": one.reviews.enough,
            },
        }
        for one in found
    ]
