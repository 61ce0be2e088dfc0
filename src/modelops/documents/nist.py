"""The map onto the NIST AI Risk Management Framework: what of each subcategory is shown, and what nobody says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelops.documents import told
from modelops.documents.answered import Told, answered
from modelops.documents.facts import Facts
from modelops.documents.instructions import KIND as INSTRUCTIONS
from modelops.documents.paper import Paper, Statement
from modelops.documents.said import approvers, from_people, gates_table, metrics_table

__all__ = ["KIND", "nist_map"]

KIND: Final = "nist-ai-rmf"


def nist_map(facts: Facts) -> Paper:
    """Return a section for each of the 72 subcategories."""
    title = f"{facts.name} and the NIST AI Risk Management Framework"
    return answered(KIND, title, facts, _SAID)


def _tier(facts: Facts) -> Told:
    yield Statement(f"Risk tier: {facts.model.risk}; it says who has to approve", facts.spec_source)


def _policies(facts: Facts) -> Told:
    if facts.policies:
        yield Statement(f"Gate policies, as they were: {', '.join(sorted(facts.policies))}", facts.spec_source)


def _inventory(facts: Facts) -> Told:
    yield Statement(f"It is {facts.name} of the repository, with all its files and records", facts.evidence)


def _roles(facts: Facts) -> Told:
    pull, author, who = approvers(facts.release)
    yield Statement(f"Owner: {facts.model.owner}", facts.spec_source)
    if facts.release.approval is None:
        yield "no signed approval says who let it in"
    else:
        yield Statement(f"Pull request {pull} by {author}, approved by {who}", facts.evidence)


def _oversight(facts: Facts) -> Told:
    said = facts.dossier.answers.get(INSTRUCTIONS, {}).get("d")
    if said is not None:
        yield from_people(said, facts.dossier_source)
    else:
        yield f"the measures of human oversight are not written: spec.answers.{INSTRUCTIONS}.d in the dossier"


def _purpose(facts: Facts) -> Told:
    yield Statement(f"{facts.model.description} Intended use: {facts.model.intended_use}", facts.spec_source)


def _objective(facts: Facts) -> Told:
    objective = facts.model.objective
    if objective is None:
        yield "what it is for in terms of the business is not said: spec.objective of the model"
    else:
        said = f"{objective.question} Known by {objective.kpi}, {objective.better} is better"
        yield Statement(said, facts.spec_source)


def _scope(facts: Facts) -> Told:
    yield from (Statement(f"Not for: {one}", facts.spec_source) for one in facts.model.out_of_scope)
    if not facts.model.out_of_scope:
        yield "what it is not for is not said: spec.outOfScope of the model"


def _task(facts: Facts) -> Told:
    yield Statement(f"{facts.model.task}, answered by {facts.release.engine}", facts.evidence)


def _limits(facts: Facts) -> Told:
    yield from (Statement(f"Limit: {one}", facts.spec_source) for one in facts.model.limitations)
    if not facts.model.limitations:
        yield "the model names no limits: spec.limitations"


def _levels(facts: Facts) -> Told:
    for risk in facts.dossier.risks:
        said = f"{risk.name}: {risk.level.likelihood} and {risk.level.severity}"
        yield Statement(said, facts.dossier_source)
    if not facts.dossier.risks:
        yield "no risk is named: spec.risks of the dossier"


def _measures(facts: Facts) -> Told:
    for risk in facts.dossier.risks:
        said = "; ".join(risk.measures) or "none"
        yield Statement(f"{risk.name}: measures: {said}", facts.dossier_source)
    if not facts.dossier.risks:
        yield "no risk is named: spec.risks of the dossier"


def _residual(facts: Facts) -> Told:
    for risk in facts.dossier.risks:
        if risk.residual is None:
            yield f"what is left of {risk.name} is not said (residual)"
        else:
            by = f", accepted by {risk.accepted_by}" if risk.accepted_by is not None else ""
            said = f"{risk.name}: {risk.residual.likelihood} and {risk.residual.severity} are left{by}"
            yield Statement(said, facts.dossier_source)
    if not facts.dossier.risks:
        yield "no risk is named: spec.risks of the dossier"


def _measured(*types: str) -> Callable[[Facts], Told]:
    """Return what yields the verdicts of some types of gates, or that none of them measured anything."""

    def told_of(facts: Facts) -> Told:
        if any(one.type in types for one in facts.release.verdicts):
            yield gates_table(facts, types)
        else:
            yield f"no gate measured it ({', '.join(types)})"

    return told_of


def _metrics(facts: Facts) -> Told:
    yield metrics_table(facts)


def _tools(facts: Facts) -> Told:
    yield gates_table(facts)
    if facts.release.made is not None:
        yield Statement(f"Measured by modelops {facts.release.made.modelops}", facts.evidence)


def _accountable(facts: Facts) -> Told:
    yield Statement(f"Evidence is signed by {', '.join(facts.release.trust.keys)}, and holds", facts.evidence)
    yield from _roles(facts)


def _energy(facts: Facts) -> Told:
    yield from told.computing(facts)
    yield "energy and emissions are not measured"


def _decided(facts: Facts) -> Told:
    yield from _roles(facts)
    yield gates_table(facts)


def _parts(facts: Facts) -> Told:
    yield from told.software(facts)
    yield Statement("Every package, file of data and hash: modelops document ml-bom", "the document beside this one")


_SAID: dict[str, Callable[[Facts], Told]] = {
    "GOVERN 1.3": _tier,
    "GOVERN 1.4": _policies,
    "GOVERN 1.5": told.watched,
    "GOVERN 1.6": _inventory,
    "GOVERN 2.1": _roles,
    "GOVERN 3.2": _oversight,
    "GOVERN 4.2": _levels,
    "GOVERN 4.3": told.testing,
    "GOVERN 6.1": _parts,
    "MAP 1.1": _purpose,
    "MAP 1.3": _objective,
    "MAP 1.4": _objective,
    "MAP 1.5": _tier,
    "MAP 2.1": _task,
    "MAP 2.2": _limits,
    "MAP 2.3": told.data,
    "MAP 3.2": told.dangers,
    "MAP 3.3": _scope,
    "MAP 3.5": _oversight,
    "MAP 4.1": _parts,
    "MAP 4.2": told.software,
    "MAP 5.1": _levels,
    "MEASURE 1.1": _tools,
    "MEASURE 2.1": _tools,
    "MEASURE 2.3": _metrics,
    "MEASURE 2.4": told.watched,
    "MEASURE 2.5": told.testing,
    "MEASURE 2.6": _residual,
    "MEASURE 2.7": _measured(*told.OF_SECURITY),
    "MEASURE 2.8": _accountable,
    "MEASURE 2.9": told.explained,
    "MEASURE 2.10": _measured("membership"),
    "MEASURE 2.11": told.people_affected,
    "MEASURE 2.12": _energy,
    "MEASURE 3.1": told.risks,
    "MEASURE 4.3": told.limited,
    "MANAGE 1.1": _decided,
    "MANAGE 1.2": _levels,
    "MANAGE 1.3": _measures,
    "MANAGE 1.4": _residual,
    "MANAGE 2.4": told.corrected,
    "MANAGE 3.1": _parts,
    "MANAGE 4.1": told.watched,
    "MANAGE 4.2": told.determined,
}
