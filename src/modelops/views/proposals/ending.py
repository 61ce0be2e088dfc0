"""What the reviewer of a rollout's end reads: every step with its decision, and the comparisons that decided it."""

from __future__ import annotations

from modelops.governance.endings import EndingCase
from modelops.markup import Markup, escape, table


def markdown(case: EndingCase) -> str:
    """Return the body of the pull request that ends a rollout well."""
    ending, state, seat = case.ending, case.state, case.ending.seat
    head = f"Makes release {ending.stable} of {seat.model} stable in {seat.environment}: {escape(case.reason)}."
    if state is None:
        return f"{head}\n\nThe runtime of this machine remembers nothing of the rollout."
    rows = []
    for number, step in enumerate(state.steps, start=1):
        weights = ", ".join(f"{arm} {weight:.0%}" for arm, weight in step.traffic.weights.items())
        decided = "; ".join(each.reason for each in state.decisions if each.step == number)
        rows.append((Markup(number), step.started, weights, escape(decided)))
    checks = ["- " + escape("{verdict}: {arm}: {name}: {reason}".format_map(check)) for check in state.checks]
    return "\n".join([head, "", table(("step", "began", "weights", "decision"), rows), "", *checks])
