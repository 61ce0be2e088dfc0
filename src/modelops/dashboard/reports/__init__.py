"""Reports as pages that need nothing else: no network, no script, their style in themselves.

They are laid out with the templates, styles and pictures of the dashboard, and say what the views of the reports say.
"""

from modelops.dashboard.reports.auditing import audited
from modelops.dashboard.reports.building import built
from modelops.dashboard.reports.documents import document
from modelops.dashboard.reports.monitoring import monitored
from modelops.dashboard.reports.simulating import simulated

__all__ = ["audited", "built", "document", "monitored", "simulated"]
