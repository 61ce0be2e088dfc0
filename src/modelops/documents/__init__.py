"""Documents about a release, each a function of its evidence and specs; what none of them says is a gap by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modelops.documents.annex_iv import technical_documentation
from modelops.documents.atlas import atlas_map, navigator_layer
from modelops.documents.card import card_paper, signed_card
from modelops.documents.changes import change_record
from modelops.documents.datasheet import datasheet
from modelops.documents.facts import Facts, gather
from modelops.documents.fria import rights_assessment
from modelops.documents.instructions import instructions
from modelops.documents.lineage import lineage_paper, open_lineage
from modelops.documents.ml_bom import bill_paper, ml_bom
from modelops.documents.nist import nist_map
from modelops.documents.paper import Paper, Section, Statement, Table
from modelops.documents.post_market import post_market_plan
from modelops.documents.risks import risk_register

__all__ = ["OWN_FORMS", "PAPERS", "Facts", "Paper", "Section", "Statement", "Table", "gather"]

PAPERS: Mapping[str, Callable[[Facts], Paper]] = {
    "annex-iv": technical_documentation,
    "atlas": atlas_map,
    "change-record": change_record,
    "datasheet": datasheet,
    "fria": rights_assessment,
    "instructions": instructions,
    "lineage": lineage_paper,
    "ml-bom": bill_paper,
    "model-card": card_paper,
    "nist-ai-rmf": nist_map,
    "post-market-plan": post_market_plan,
    "risk-register": risk_register,
}
"""The documents by kind, as people read them."""
OWN_FORMS: Mapping[tuple[str, str], Callable[[Facts], bytes]] = {
    ("atlas", ".json"): navigator_layer,
    ("lineage", ".json"): open_lineage,
    ("ml-bom", ".json"): ml_bom,
    ("model-card", ".md"): signed_card,
}
"""Documents that have a format of their own in some form, by kind and ending: what tools of others read, as it is."""
