"""What evidence and specs say of a release by themselves, for every document that asks for it."""

from __future__ import annotations

from collections.abc import Mapping

from modelops.documents.answered import Told
from modelops.documents.changes import change_record
from modelops.documents.datasheet import datasheet
from modelops.documents.facts import Facts
from modelops.documents.paper import Statement, Table
from modelops.documents.risks import risk_gaps
from modelops.documents.said import approvers, gates_table, metrics_table, number, unwatched
from modelops.locks.pins import pins_of
from modelops.spec.layout import ENVIRONMENT, GATE_POLICY, LOCK, MONITOR, ROLLOUT

_FEW = 30
OF_GROUPS = ("fairness", "slices")
OF_SECURITY = ("evasion", "membership", "poisoning", "robustness")
OF_REASONS = ("permutation-importance", "shap")
_SIX_MONTHS = 183
"""Days."""
_NAMES = ("group", "slice")


def purpose(facts: Facts) -> Told:
    """Yield what it is for and not for, who answers for it, and which version it is."""
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


def software(facts: Facts) -> Told:
    """Yield what it was trained with, and which packages are pinned."""
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


def forms(facts: Facts) -> Told:
    """Yield in which form it is served, and where it was put into service."""
    yield Statement(f"An artifact {facts.release.artifact}, answered by {facts.release.engine}", facts.evidence)
    serving = facts.model.serving
    yield Statement(f"Served over the Open Inference Protocol, log {serving.log}", facts.spec_source)
    environments = sorted({one.environment for one in facts.release.promotions if one.trust.ok})
    if environments:
        yield Statement(f"Put into service in {', '.join(environments)}", "signed promotion records")


def development(facts: Facts) -> Told:
    """Yield what trained it, with which seeds and code."""
    release = facts.release
    yield Statement(f"Trained by {facts.model.training.entrypoint} at {release.code.commit}", facts.evidence)
    seeds = ", ".join(f"{name} {seed}" for name, seed in sorted(release.seeds.items()))
    yield Statement(f"Seeds: {seeds or 'none'}", facts.evidence)
    made = release.made
    if made is not None:
        yield Statement(f"Code files bound by SHA-256: {', '.join(sorted(made.code))}", facts.evidence)


def design(facts: Facts) -> Told:
    """Yield its parameters, its task and its inputs."""
    training = facts.model.training
    parameters = ", ".join(f"{name} {value}" for name, value in training.parameters.items())
    yield Statement(f"Parameters: {parameters or 'those of the library'}", facts.spec_source)
    split = f"{training.split.type} split, {training.split.test:.0%} of the rows test"
    yield Statement(f"Task: {facts.model.task}; {split}", facts.spec_source)
    yield inputs_table(facts)


def inputs_table(facts: Facts) -> Table:
    """Return what each input has to be."""
    rows = tuple(
        (one.name, one.type, "may be missing" if one.nullable else "has to be there", one.description or "-")
        for one in facts.model.data.features
    )
    return Table("Inputs", ("feature", "type", "missing", "description"), rows, facts.spec_source)


def computing(facts: Facts) -> Told:
    """Yield what it was made with, and within which limits."""
    made = facts.release.made
    if made is None:
        yield "the computing used is not in its evidence"
        return
    yield Statement(f"Made from {made.started} to {made.finished} by {made.builder}", facts.evidence)
    limits = facts.model.training
    said = f"Limits: {limits.timeout_seconds} s, {limits.memory_mib} MiB, {limits.threads} threads"
    yield Statement(said, facts.spec_source)


def data(facts: Facts) -> Told:
    """Yield what its data are, who owns and signed them, and what was measured of them."""
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


def determined(facts: Facts) -> Told:
    """Yield which changes happen by themselves, and by which plan."""
    release = facts.release
    if facts.rollout is not None:
        source = f"{ROLLOUT.path(release.model)} at {release.revision[:12]}"
        yield Statement(f"A release is tried by {facts.rollout.strategy.type} before it is stable", source)
        yield Statement(f"At its end: {facts.rollout.on_success}; when it fails: {facts.rollout.on_failure}", source)
    if facts.monitor is not None and facts.monitor.retraining is not None:
        yield Statement("What is watched may open a pull request with a retraining", monitor_source(facts))


def monitor_source(facts: Facts) -> str:
    """Return the source of what the monitor is told to watch."""
    return f"{MONITOR.path(facts.release.model)} at {facts.release.revision[:12]}"


def testing(facts: Facts) -> Told:
    """Yield every metric and gate, and who answers for them."""
    yield metrics_table(facts)
    yield gates_table(facts)
    pull, author, who = approvers(facts.release)
    if facts.release.approval is None:
        yield "no signed approval says who answers for the tests"
    else:
        yield Statement(f"Pull request {pull} by {author}, approved by {who}", facts.evidence)
    if facts.release.made is not None:
        yield Statement(f"Measured on {facts.release.made.finished}", facts.evidence)
    if not any(one.type in OF_GROUPS for one in facts.release.verdicts):
        yield "no gate looked at groups (fairness, slices), so nothing is said of discrimination"
    if not any(one.type == "robustness" for one in facts.release.verdicts):
        yield "no gate measured robustness"


def security(facts: Facts) -> Told:
    """Yield whose signatures hold, and which attacks and faults were measured."""
    keys = ", ".join(facts.release.trust.keys)
    yield Statement(f"Artifact, evidence and card are signed by {keys}, and the signatures hold", facts.evidence)
    data = facts.release.data.signature
    if data is not None and data.ok:
        yield Statement(f"The snapshot is signed by {', '.join(data.keys)}", "signature of the snapshot")
    if any(one.type in OF_SECURITY for one in facts.release.verdicts):
        yield gates_table(facts, OF_SECURITY, "Attacks and faults that were measured")
    else:
        yield "no gate measured poisoning, membership or robustness (Article 15)"


def limits(facts: Facts) -> Told:
    """Yield what it cannot do, and how well it does for groups."""
    yield from (Statement(f"Limit: {one}", facts.spec_source) for one in facts.model.limitations)
    if not facts.model.limitations:
        yield "the model names no limits: spec.limitations"
    if any(one.type in OF_GROUPS for one in facts.release.verdicts):
        yield gates_table(facts, OF_GROUPS, "Groups")
        yield from groups(facts)
    else:
        yield "accuracy for groups was not measured (fairness, slices)"


def groups(facts: Facts) -> Told:
    """Yield the numbers of every group and slice that the evidence holds."""
    for one in facts.release.verdicts:
        found = facts.release.details.get(f"{one.policy}/{one.gate}", {}) if one.type in OF_GROUPS else {}
        rows = found.get("groups") or found.get("slices")
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            every = dict.fromkeys(key for row in rows for key in row)
            # Signed JSON has its keys sorted; a row begins with what it is about.
            keys = tuple(sorted(every, key=lambda key: (key not in _NAMES, key)))
            cells = tuple(tuple(_cell(row.get(key)) for key in keys) for row in rows)
            yield Table(f"{one.policy}/{one.gate}", keys, cells, facts.evidence)


def _cell(value: object) -> str:
    return number(value) if isinstance(value, float) else "-" if value is None else str(value)


def metrics(facts: Facts) -> Told:
    """Yield why its gates are what they are."""
    for name, policy in facts.policies.items():
        if policy.description:
            source = f"{GATE_POLICY.path(None, name)} at {facts.release.code.commit[:12]}"
            yield Statement(f"Policy {name}: {policy.description}", source)


def risks(facts: Facts) -> Told:
    """Yield how many risks are kept, and what is missing of them."""
    count = len(facts.dossier.risks)
    if count:
        yield Statement(f"{count} risks are kept: modelops document risk-register", facts.dossier_source)
    yield from risk_gaps(facts)


def changes(facts: Facts) -> Told:
    """Yield every release and promotion before."""
    paper = change_record(facts)
    for section in paper.sections:
        yield from section.tables
        yield from section.gaps


def after(facts: Facts) -> Told:
    """Yield how it is watched."""
    monitor = facts.monitor
    if monitor is None:
        yield unwatched(facts)
        return
    scores = ", ".join(sorted({one.type for one in monitor.drift}))
    yield Statement(f"Drift scores: {scores or 'none'}", monitor_source(facts))
    performance = monitor.performance
    if performance is not None:
        yield Statement(f"{performance.metric} is watched as labels arrive", monitor_source(facts))
    else:
        yield "no metric is watched on labels that arrive (performance)"


def watched(facts: Facts) -> Told:
    """Yield what is collected of its answers, their labels and their numbers after it is in service."""
    monitor, source = facts.monitor, monitor_source(facts)
    if monitor is None:
        yield unwatched(facts)
        return
    least = f"{monitor.minimum_requests} requests at least"
    yield Statement(f"Each look takes the last {monitor.window_days:g} days of logged answers, {least}", source)
    scores = ", ".join(sorted({one.type for one in monitor.drift}))
    yield Statement(f"Drift of every feature and of the scores: {scores}", source)
    if monitor.slices:
        yield Statement(f"By itself each part of: {', '.join(one.feature for one in monitor.slices)}", source)
    if monitor.performance is not None:
        yield Statement(f"{monitor.performance.metric}, as labels arrive", source)
    else:
        yield "no metric is watched on labels that arrive (performance)"
    labels = facts.model.data.labels
    if labels is not None:
        yield Statement(f"Labels come from {labels.by}", facts.spec_source)
    else:
        yield "where labels of answers come from is not said: spec.data.labels of the model"


def limited(facts: Facts) -> Told:
    """Yield which limits its time in service has, and what happens beyond them."""
    monitor, source = facts.monitor, monitor_source(facts)
    if monitor is None:
        yield unwatched(facts)
        return
    performance = monitor.performance
    if performance is not None:
        for side, limit in (("minimum", performance.minimum), ("maximum", performance.maximum)):
            if limit is not None:
                yield Statement(f"{performance.metric} has the {side} {limit:g}", source)
    promised = monitor.objectives
    for name in ("availability", "latency", "freshness", "quality") if promised is not None else ():
        objective = getattr(promised, name)
        if objective is not None:
            yield Statement(f"Objective of {name}: {objective.target:.4g}", source)
    if promised is None:
        yield "nothing is promised of it in service (objectives)"
    if monitor.retraining is not None:
        on = sorted(name for name, value in monitor.retraining.triggers if value)
        yield Statement(f"A retraining is proposed on: {', '.join(on).replace('_', ' ')}", source)


def corrected(facts: Facts) -> Told:
    """Yield how what fails is taken back."""
    if facts.rollout is not None:
        source = f"{ROLLOUT.path(facts.release.model)} at {facts.release.revision[:12]}"
        yield Statement(f"A release that fails on trial: {facts.rollout.on_failure}", source)
    else:
        yield f"no plan says what happens to a release that fails: {ROLLOUT.path(facts.release.model)}"
    back = "A release that was stable before can be made so again: modelops rollback; it is recorded and signed"
    yield Statement(back, "modelops")


def logged(facts: Facts) -> Told:
    """Yield what is logged of its answers, and how long that is kept."""
    mode = facts.model.serving.log
    yield Statement(f"Answers are logged: {mode}", facts.spec_source)
    if mode == "off":
        yield "no answer is logged (serving.log), so none can be traced (Article 12)"
    yield Statement("One answer with all it rests on: modelops audit prediction ID", "modelops")
    for name, environment in facts.environments.items():
        source = f"{ENVIRONMENT.path(None, name)} at {facts.release.revision[:12]}"
        if environment.log_days is None:
            yield Statement(f"Logs of {name} are kept for ever", source)
        elif environment.log_days < _SIX_MONTHS:
            yield f"logs of {name} are kept for {environment.log_days} days, and Article 19 asks for six months"
        else:
            yield Statement(f"Logs of {name} are kept for {environment.log_days} days", source)


def explained(facts: Facts) -> Told:
    """Yield what it tells of why an answer is what it is, and what was measured of that."""
    limit = facts.model.serving.reasons_limit_ms
    if limit > 0:
        said = f"What each feature contributes to an answer is told on request, within {limit:g} ms, and logged with it"
        yield Statement(said, facts.spec_source)
    else:
        yield "no reasons are given for an answer (serving.reasonsLimitMs is 0)"
    if any(one.type in OF_REASONS for one in facts.release.verdicts):
        yield gates_table(facts, OF_REASONS, "What answers rest on")
    else:
        yield "no gate measured what answers rest on (shap, permutation-importance)"


def speed(facts: Facts) -> Told:
    """Yield how large it is and how fast it answers."""
    yield Statement(f"Answered by {facts.release.engine}", facts.evidence)
    if any(one.type == "latency" for one in facts.release.verdicts):
        yield gates_table(facts, ("latency",), "Time and size")
    else:
        yield "no gate measured how fast it answers and how large it is (latency)"


def people_affected(facts: Facts) -> Told:
    """Yield which columns are about groups of persons, and how well it does for these."""
    if facts.model.data.sensitive:
        yield Statement(f"Sensitive columns: {', '.join(facts.model.data.sensitive)}", facts.spec_source)
    if any(one.type in OF_GROUPS for one in facts.release.verdicts):
        yield gates_table(facts, OF_GROUPS, "Groups")
        yield from groups(facts)
    else:
        yield "accuracy for groups was not measured (fairness, slices)"


def dangers(facts: Facts) -> Told:
    """Yield the risks that are named, with what is left of them, and what is missing of the register."""
    source = facts.dossier_source
    for risk in facts.dossier.risks:
        left = risk.residual or risk.level
        said = f"{risk.name}: {risk.description} Harms: {risk.harms} Left: {left.likelihood}, {left.severity}"
        yield Statement(said, source)
    yield from (Statement(f"Not for: {one}", facts.spec_source) for one in facts.model.out_of_scope)
    yield from risk_gaps(facts)
