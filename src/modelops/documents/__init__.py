"""Documents about a release, each a function of its evidence and specs; what none of them says is a gap by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modelops.documents.annex_iv import technical_documentation
from modelops.documents.changes import change_record
from modelops.documents.datasheet import datasheet
from modelops.documents.facts import Facts, gather
from modelops.documents.ml_bom import ml_bom
from modelops.documents.paper import Paper, Section, Statement, Table
from modelops.documents.risks import risk_register

__all__ = ["BILL", "PAPERS", "Facts", "Paper", "Section", "Statement", "Table", "gather", "ml_bom"]

PAPERS: Mapping[str, Callable[[Facts], Paper]] = {
    "annex-iv": technical_documentation,
    "change-record": change_record,
    "datasheet": datasheet,
    "risk-register": risk_register,
}
"""The documents for people, by kind."""
BILL = "ml-bom"
"""The kind of the bill of materials, which is for tools."""
