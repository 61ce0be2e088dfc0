"""What the reviewer of a retraining reads: why it is due, what the window said, and what it trains on."""

from __future__ import annotations

from modelops.changes.retraining import RetrainingCase
from modelops.markup import escape
from modelops.monitoring import NewRows
from modelops.views.monitor import report_markdown


def markdown(case: RetrainingCase) -> str:
    """Return the body of a retraining's pull request."""
    return f"{escape(case.reason)}\n\n{report_markdown(case.report)}\n\n{_rows(case.rows)}\n"


def _rows(rows: NewRows) -> str:
    """Say where the rows of the new snapshot come from."""
    said = [f"The new snapshot has {rows.table.num_rows} rows, {rows.fresh} of them new."]
    if rows.known:
        said.append(f"{rows.known} labelled rows of the log were in the old one already and are not added again.")
    if rows.repeated:
        said.append(f"{rows.repeated} were delivered more than once and count once.")
    if rows.quarantined:
        said.append(f"{rows.quarantined} were served while the data were broken, and are left out.")
    if rows.corrected:
        said.append(f"{rows.corrected} have another truth now than in the old snapshot.")
    return " ".join(said)
