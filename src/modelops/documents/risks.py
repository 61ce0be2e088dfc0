"""The risk register: what the dossier names, beside what gates measured of it in this release."""

from __future__ import annotations

from collections.abc import Mapping

from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Section, Statement, Table
from modelops.documents.said import about, gates_table, number, unapproved
from modelops.spec.kinds.dossier import Level, Risk
from modelops.spec.kinds.release import VerdictRecord

__all__ = ["risk_gaps", "risk_register"]


def risk_register(facts: Facts) -> Paper:
    """Return every risk with its measures and the verdicts that show them, and what no risk speaks of."""
    verdicts = {f"{one.policy}/{one.gate}": one for one in facts.release.verdicts}
    sections = [_risk(risk, verdicts, facts) for risk in facts.dossier.risks]
    if not sections:
        gap = f"no risk is named: write them under spec.risks of {facts.dossier_source.partition(' ')[0]}"
        sections = [Section("risks", "Risks", gaps=(gap,))]
    extra = unapproved(facts)
    return Paper(
        "risk-register",
        f"Risk register of {facts.name}",
        [*about(facts), ("risk tier", facts.model.risk)],
        [*sections, _unnamed(facts, verdicts), *([extra] if extra else [])],
    )


def risk_gaps(facts: Facts) -> list[str]:
    """Return what is missing of the register, for documents that only refer to it."""
    return [gap for gap in risk_register(facts).gaps if not gap.startswith("approval:")]


def _risk(risk: Risk, verdicts: Mapping[str, VerdictRecord], facts: Facts) -> Section:
    source = facts.dossier_source
    statements = [
        Statement(risk.description, source),
        Statement(f"Harms: {risk.harms}", source),
        Statement(f"Without measures: {_level(risk.level)}", source),
        *(Statement(f"Measure: {one}", source) for one in risk.measures),
        Statement(f"Answers for it: {risk.owner}", source),
    ]
    gaps = []
    if risk.residual is not None:
        statements.append(Statement(f"What is left: {_level(risk.residual)}", source))
    else:
        gaps.append("what is left of it with measures in place is not said (residual)")
    if risk.accepted_by is not None:
        statements.append(Statement(f"What is left is accepted by {risk.accepted_by}", source))
    elif (risk.residual or risk.level).grave:
        gaps.append(f"what is left is {_level(risk.residual or risk.level)}, and nobody accepted it (acceptedBy)")
    if not risk.measures and not risk.gates:
        gaps.append("neither a measure nor a gate keeps it down")
    shown = [verdicts[gate] for gate in risk.gates if gate in verdicts]
    gaps += [f"the gate {gate} did not judge this release" for gate in risk.gates if gate not in verdicts]
    gaps += [_unshown(one) for one in shown if one.verdict != "pass"]
    rows = tuple((f"{one.policy}/{one.gate}", one.verdict, number(one.value), one.reason) for one in shown)
    tables = [Table("Shown by", ("gate", "verdict", "value", "reason"), rows, facts.evidence)] if rows else []
    return Section(risk.name, risk.name.replace("-", " ").capitalize(), "", statements, tables, gaps)


def _unshown(one: VerdictRecord) -> str:
    by = f", let by with the waiver {one.waiver.name}" if one.waiver is not None else ""
    return f"the gate {one.policy}/{one.gate} says {one.verdict}{by}: {one.reason}"


def _level(level: Level) -> str:
    return f"{level.likelihood} and {level.severity}"


def _unnamed(facts: Facts, verdicts: Mapping[str, VerdictRecord]) -> Section:
    """Return what the model's own file and its gates say of dangers that no risk speaks of."""
    named = {gate for risk in facts.dossier.risks for gate in risk.gates}
    open_ones = [one for key, one in verdicts.items() if key not in named and one.verdict != "pass"]
    statements = [Statement(f"Limit: {one}", facts.spec_source) for one in facts.model.limitations]
    statements += [Statement(f"Out of scope: {one}", facts.spec_source) for one in facts.model.out_of_scope]
    gaps = [f"no risk speaks of it: {_unshown(one)}" for one in open_ones]
    return Section("known", "Known beside the risks", statements=statements, tables=[gates_table(facts)], gaps=gaps)
