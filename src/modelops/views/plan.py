"""What would be done, entry by entry, and what the rollouts behind it need to see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from modelops.governance.waivers import Standing
from modelops.markup import plain
from modelops.metrics.aims import Aim
from modelops.monitoring.feedback.declared import Declared
from modelops.reconcile.actions import Entry, describe, runnable
from modelops.reconcile.plan import Plan
from modelops.rollouts.forecasts import Planned
from modelops.views import forecasts
from modelops.views.proofs import waivers
from modelops.views.proposals import aims, labels


def text(
    plan: Plan,
    planned: Sequence[Planned] = (),
    excepted: Sequence[Standing] = (),
    declared: Sequence[Declared] = (),
    meant: Sequence[Aim] = (),
) -> str:
    """Return a plan, a line for each entry; below it forecasts, waivers, labels, and what models are for.

    A model without an objective is warned of by policy, and said in reports; a plan is about what changes.
    """
    below = [forecasts.text(planned) if planned else "", waivers.text(excepted), labels.text(declared)]
    below.append(aims.text([aim for aim in meant if aim.objective is not None]))
    return "\n\n".join([entries_text(plan.entries) or _nothing(plan), *filter(None, below)])


def _nothing(plan: Plan) -> str:
    if plan.rendered_by is not None:
        return f"{plan.environment}: nothing is rendered for {plan.rendered_by}"
    return f"{plan.environment}: nothing to do, the world matches git"


def entries_text(entries: Iterable[Entry]) -> str:
    """Return entries, those that change something with a plus, those that only inform with a dash."""
    return "\n".join(f"{'+' if runnable(entry) else '-'} {plain(describe(entry))}" for entry in entries)


def saved(plan: Plan) -> dict[str, Any]:
    """Return a plan as `apply` takes it."""
    return {"digest": plan.digest, **plan.to_dict()}


def data(
    plan: Plan,
    planned: Sequence[Planned] = (),
    excepted: Sequence[Standing] = (),
    declared: Sequence[Declared] = (),
    meant: Sequence[Aim] = (),
) -> dict[str, Any]:
    """Return a plan with forecasts of its rollouts, waivers, where labels come from, and what its models are for."""
    return saved(plan) | {
        "forecasts": forecasts.data(planned),
        "waivers": [waivers.row(one) for one in excepted],
        "labels": labels.data(declared),
        "objectives": aims.data(meant),
    }
