"""The report of simulated rollouts as one page."""

from __future__ import annotations

from markupsafe import Markup

from modelops.dashboard.reports.sheet import page
from modelops.views.reports.simulated import Simulated
from modelops.views.trials.picture import picture

__all__ = ["simulated"]


def simulated(found: Simulated) -> str:
    """Return the page of how simulated rollouts ended."""
    pictures = {
        section.key: Markup(picture(f"{found.model}: {name}", [(name, one)]))  # noqa: S704 - it has escaped every value
        for section, (name, one) in zip(found.sections, found.found, strict=False)
    }
    return page("simulated.html", found=found, pictures=pictures)
