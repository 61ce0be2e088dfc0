"""The technical documentation of Annex IV of the EU AI Act: each item from evidence and specs, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from modelops.documents.changes import change_record
from modelops.documents.datasheet import datasheet
from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Section, Statement, Table
from modelops.documents.risks import risk_gaps
from modelops.documents.said import about, approvers, from_people, gates_table, metrics_table, number, unapproved
from modelops.locks.pins import pins_of
from modelops.spec.law import Item, annex_iv
from modelops.spec.layout import GATE_POLICY, LOCK, MONITOR, ROLLOUT, ReleaseFiles

__all__ = ["technical_documentation"]

_FEW = 30
_OF_GROUPS = ("fairness", "slices")
_NAMES = ("group", "slice")
_OF_SECURITY = ("membership", "poisoning", "robustness")


def technical_documentation(facts: Facts) -> Paper:
    """Return a section for each item; what it asks for and neither evidence nor people say is a gap."""
    law = annex_iv()
    sections = [_section(item, facts) for item in law.items]
    extra = unapproved(facts)
    head = [
        *about(facts),
        ("asked by", law.name),
        ("applies", "; ".join(f"{date}: {what}" for date, what in law.dates)),
        ("dates from", f"{law.source}, {law.checked}"),
    ]
    title = f"Technical documentation of {facts.name} (EU AI Act, Annex IV)"
    return Paper("annex-iv", title, head, [*sections, *([extra] if extra else [])])


def _section(item: Item, facts: Facts) -> Section:
    statements: list[Statement] = []
    tables: list[Table] = []
    gaps: list[str] = []
    for one in _ANSWERS.get(item.id, _nothing)(facts):
        match one:
            case Statement():
                statements.append(one)
            case Table():
                tables.append(one)
            case str():
                gaps.append(one)
    answer = facts.dossier.annex_iv.get(item.id)
    if answer is not None:
        statements.append(from_people(answer, facts.dossier_source))
    elif item.people == "required":
        gaps.insert(0, f"nobody answered it: write spec.annexIv.{item.id} in {facts.dossier_source.partition(' ')[0]}")
    elif not statements and not tables and not gaps:
        gaps.append("nothing in evidence or specs answers it")
    return Section(item.id, item.title, item.asks, statements, tables, gaps)


Told = Iterator[Statement | Table | str]
"""What evidence and specs say of an item, and as texts what they should say and do not."""


def _nothing(facts: Facts) -> Told:
    yield from ()


def _purpose(facts: Facts) -> Told:
    model, source = facts.model, facts.spec_source
    yield Statement(f"{model.description} Intended use: {model.intended_use}", source)
    yield from (Statement(f"Not for: {one}", source) for one in model.out_of_scope)
    yield Statement(f"Owner: {model.owner}; risk tier: {model.risk}", source)
    if facts.dossier.provider is not None:
        yield Statement(f"Provider: {facts.dossier.provider}", facts.dossier_source)
    else:
        yield "the provider is not named: write spec.provider in the dossier"
    before = [str(one.release) for one in facts.earlier]
    relation = f"after releases {', '.join(before)}" if before else "the first one"
    yield Statement(f"Version: release {facts.release.release}, {relation}", facts.evidence)
    if facts.release.champion is not None:
        yield Statement(f"It was compared with release {facts.release.champion} on the same rows", facts.evidence)


def _software(facts: Facts) -> Told:
    made, pins = facts.release.made, [one for one in pins_of(facts.lock) if one.counts]
    if made is not None:
        yield Statement(f"Trained with modelops {made.modelops} and {len(made.packages)} packages", facts.evidence)
        yield from (Statement(f"{key}: {value}", facts.evidence) for key, value in _plain(made.environment))
    else:
        yield "the software that it was trained with is not in its evidence"
    if pins:
        hashed = sum(one.hashed for one in pins)
        source = f"{LOCK} at {facts.release.code.commit[:12]}"
        yield Statement(f"{len(pins)} packages are pinned, {hashed} of them by hash; all are in the ML-BOM", source)
        rows = tuple((one.name, one.version) for one in pins[:_FEW])
        more = f" (the first {_FEW} of {len(pins)})" if len(pins) > _FEW else ""
        yield Table(f"Pinned packages{more}", ("package", "version"), rows, source)
    else:
        yield "no lock pins the packages that it runs with"


def _plain(environment: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in sorted(environment.items()) if isinstance(value, str | int | float)]


def _forms(facts: Facts) -> Told:
    yield Statement(f"An artifact {facts.release.artifact}, answered by {facts.release.engine}", facts.evidence)
    serving = facts.model.serving
    yield Statement(f"Served over the Open Inference Protocol, log {serving.log}", facts.spec_source)
    environments = sorted({one.environment for one in facts.release.promotions if one.trust.ok})
    if environments:
        yield Statement(f"Put into service in {', '.join(environments)}", "signed promotion records")


def _instructions(facts: Facts) -> Told:
    card = ReleaseFiles(facts.release.model, facts.release.release).card
    yield Statement(f"{card}: what it is for and what not, how it is called and how good it is", facts.evidence)


def _development(facts: Facts) -> Told:
    release = facts.release
    yield Statement(f"Trained by {facts.model.training.entrypoint} at {release.code.commit}", facts.evidence)
    seeds = ", ".join(f"{name} {seed}" for name, seed in sorted(release.seeds.items()))
    yield Statement(f"Seeds: {seeds or 'none'}", facts.evidence)
    made = release.made
    if made is not None:
        yield Statement(f"Code files bound by SHA-256: {', '.join(sorted(made.code))}", facts.evidence)


def _design(facts: Facts) -> Told:
    training = facts.model.training
    parameters = ", ".join(f"{name} {value}" for name, value in training.parameters.items())
    yield Statement(f"Parameters: {parameters or 'those of the library'}", facts.spec_source)
    split = f"{training.split.type} split, {training.split.test:.0%} of the rows test"
    yield Statement(f"Task: {facts.model.task}; {split}", facts.spec_source)
    rows = tuple((one.name, one.type, one.description or "-") for one in facts.model.data.features)
    yield Table("Inputs", ("feature", "type", "description"), rows, facts.spec_source)


def _computing(facts: Facts) -> Told:
    made = facts.release.made
    if made is None:
        yield "the computing used is not in its evidence"
        return
    yield Statement(f"Made from {made.started} to {made.finished} by {made.builder}", facts.evidence)
    limits = facts.model.training
    said = f"Limits: {limits.timeout_seconds} s, {limits.memory_mib} MiB, {limits.threads} threads"
    yield Statement(said, facts.spec_source)


def _data(facts: Facts) -> Told:
    data, sheet = facts.release.data, datasheet(facts)
    yield Statement(f"Snapshot {data.snapshot}: {data.rows} rows, root {data.root}", facts.evidence)
    if data.owner is not None:
        upstream = f", from {', '.join(data.upstream)}" if data.upstream else ""
        yield Statement(f"Owner of the data: {data.owner}{upstream}", "data snapshot")
    if data.first is not None:
        yield Statement(f"Rows from {data.first} to {data.last}", "data snapshot")
    if facts.model.data.sensitive:
        yield Statement(f"Sensitive columns: {', '.join(facts.model.data.sensitive)}", facts.spec_source)
    if data.signature is None:
        yield "the snapshot has no signature"
    elif not data.signature.ok:
        yield f"the signature of the snapshot does not hold: {'; '.join(data.signature.problems)}"
    checked = [one for one in facts.release.verdicts if one.type in ("data-quality", "drift", "poisoning")]
    if checked:
        yield gates_table(facts, ("data-quality", "drift", "poisoning"), "What was measured of the data")
    if sheet.gaps:
        yield f"{len(sheet.gaps)} questions of the datasheet are open: modelops document datasheet"


def _determined(facts: Facts) -> Told:
    release = facts.release
    if facts.rollout is not None:
        source = f"{ROLLOUT.path(release.model)} at {release.revision[:12]}"
        yield Statement(f"A release is tried by {facts.rollout.strategy.type} before it is stable", source)
        yield Statement(f"At its end: {facts.rollout.on_success}; when it fails: {facts.rollout.on_failure}", source)
    if facts.monitor is not None and facts.monitor.retraining is not None:
        yield Statement("What is watched may open a pull request with a retraining", _monitor(facts))


def _monitor(facts: Facts) -> str:
    return f"{MONITOR.path(facts.release.model)} at {facts.release.revision[:12]}"


def _testing(facts: Facts) -> Told:
    yield metrics_table(facts)
    yield gates_table(facts)
    pull, author, who = approvers(facts.release)
    if facts.release.approval is None:
        yield "no signed approval says who answers for the tests"
    else:
        yield Statement(f"Pull request {pull} by {author}, approved by {who}", facts.evidence)
    if facts.release.made is not None:
        yield Statement(f"Measured on {facts.release.made.finished}", facts.evidence)
    if not any(one.type in _OF_GROUPS for one in facts.release.verdicts):
        yield "no gate looked at groups (fairness, slices), so nothing is said of discrimination"
    if not any(one.type == "robustness" for one in facts.release.verdicts):
        yield "no gate measured robustness"


def _security(facts: Facts) -> Told:
    keys = ", ".join(facts.release.trust.keys)
    yield Statement(f"Artifact, evidence and card are signed by {keys}, and the signatures hold", facts.evidence)
    data = facts.release.data.signature
    if data is not None and data.ok:
        yield Statement(f"The snapshot is signed by {', '.join(data.keys)}", "signature of the snapshot")
    if any(one.type in _OF_SECURITY for one in facts.release.verdicts):
        yield gates_table(facts, _OF_SECURITY, "Attacks and faults that were measured")
    else:
        yield "no gate measured poisoning, membership or robustness (Article 15)"


def _limits(facts: Facts) -> Told:
    yield from (Statement(f"Limit: {one}", facts.spec_source) for one in facts.model.limitations)
    if not facts.model.limitations:
        yield "the model names no limits: spec.limitations"
    if any(one.type in _OF_GROUPS for one in facts.release.verdicts):
        yield gates_table(facts, _OF_GROUPS, "Groups")
        yield from _groups(facts)
    else:
        yield "accuracy for groups was not measured (fairness, slices)"


def _groups(facts: Facts) -> Told:
    """Yield the numbers of every group and slice that the evidence holds."""
    for one in facts.release.verdicts:
        found = facts.release.details.get(f"{one.policy}/{one.gate}", {}) if one.type in _OF_GROUPS else {}
        rows = found.get("groups") or found.get("slices")
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            every = dict.fromkeys(key for row in rows for key in row)
            # Signed JSON has its keys sorted; a row begins with what it is about.
            keys = tuple(sorted(every, key=lambda key: (key not in _NAMES, key)))
            cells = tuple(tuple(_cell(row.get(key)) for key in keys) for row in rows)
            yield Table(f"{one.policy}/{one.gate}", keys, cells, facts.evidence)


def _cell(value: object) -> str:
    return number(value) if isinstance(value, float) else "-" if value is None else str(value)


def _metrics(facts: Facts) -> Told:
    for name, policy in facts.policies.items():
        if policy.description:
            source = f"{GATE_POLICY.path(None, name)} at {facts.release.code.commit[:12]}"
            yield Statement(f"Policy {name}: {policy.description}", source)


def _risks(facts: Facts) -> Told:
    count = len(facts.dossier.risks)
    if count:
        yield Statement(f"{count} risks are kept: modelops document risk-register", facts.dossier_source)
    yield from risk_gaps(facts)


def _changes(facts: Facts) -> Told:
    paper = change_record(facts)
    for section in paper.sections:
        yield from section.tables
        yield from section.gaps


def _after(facts: Facts) -> Told:
    monitor = facts.monitor
    if monitor is None:
        yield f"nothing watches it: there is no {MONITOR.path(facts.release.model)}"
        return
    scores = ", ".join(sorted({one.type for one in monitor.drift}))
    yield Statement(f"Drift scores: {scores or 'none'}", _monitor(facts))
    performance = monitor.performance
    if performance is not None:
        yield Statement(f"{performance.metric} is watched as labels arrive", _monitor(facts))
    else:
        yield "no metric is watched on labels that arrive (performance)"


_ANSWERS: dict[str, Callable[[Facts], Told]] = {
    "1a": _purpose,
    "1c": _software,
    "1d": _forms,
    "1h": _instructions,
    "2a": _development,
    "2b": _design,
    "2c": _computing,
    "2d": _data,
    "2f": _determined,
    "2g": _testing,
    "2h": _security,
    "3": _limits,
    "4": _metrics,
    "5": _risks,
    "6": _changes,
    "9": _after,
}
