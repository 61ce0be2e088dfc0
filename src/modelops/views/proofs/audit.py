"""What an auditor is told about a prediction, a release or an environment."""

from __future__ import annotations

from typing import Any

from modelops.audit.answers import (
    Contradicted,
    EnvironmentAnswer,
    PredictionAnswer,
    PromotionAnswer,
    ReleaseAnswer,
    ReleaseThere,
    Retirement,
    Trust,
    to_dict,
)
from modelops.evidence import Making
from modelops.markup import plain
from modelops.releases.details import details_lines
from modelops.releases.markdown import rows_counted, weight_sentence
from modelops.spec.kinds.release import WaiverUse
from modelops.views.proofs.branch import met, unapproved_line
from modelops.views.proofs.prediction_log import proof_rows, reasons_rows
from modelops.views.proofs.trust import contradiction_text
from modelops.views.terminal import colored, table, uncolored


def text(answer: PredictionAnswer | ReleaseAnswer | EnvironmentAnswer) -> str:
    """Return an answer for a terminal, the proofs last."""
    if isinstance(answer, PredictionAnswer):
        return _of_prediction(answer)
    return _of_release(answer) if isinstance(answer, ReleaseAnswer) else _of_environment(answer)


def data(answer: PredictionAnswer | ReleaseAnswer | EnvironmentAnswer) -> Any:
    """Return an answer as plain values."""
    return to_dict(answer)


GIVEN = "time given by the environment: signed for a test or a demonstration"


def _facts(rows: list[tuple[str, object]]) -> str:
    return table(("", ""), [(name, plain(value)) for name, value in rows]).split("\n", 1)[1]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _trust_text(trust: Trust) -> str:
    if trust.ok:
        return colored("verified", "green") + f", signed by {plain(', '.join(trust.keys))}"
    word = "REFUSED: NOT PROVEN" if trust.status == "refused" else "MISSING: NOT PROVEN"
    return colored(word, "red", bold=True) + "".join(f"\n    {plain(problem)}" for problem in trust.problems)


def _approvals_text(approvals: tuple[Any, ...] | list[Any]) -> str:
    said = [one if isinstance(one, dict) else one.model_dump(by_alias=True) for one in approvals]
    return plain(", ".join(f"{one['login']} ({one['submittedAt']})" for one in said)) or "nobody"


def promotion_lines(promotion: PromotionAnswer) -> list[str]:
    """Return who let a release into an environment, and how the trials that it began have ended."""
    pull = promotion.pull_request
    how = f"pull request #{pull.number} by {pull.author}, head {pull.head[:12]}" if pull else promotion.path
    lines = [
        plain(f"{promotion.name}: {how}, {promotion.promoted_at}"),
        f"approved by {_approvals_text(promotion.approvals)}",
    ]
    lines += [f"because {plain(promotion.reason)}"] if promotion.reason else []
    lines += [GIVEN] if promotion.clock_given else []
    lines += [waiver_text(one) for one in promotion.waivers]
    return lines + [f"rollout {plain(one.get('outcome'))}: {plain(one.get('reason'))}" for one in promotion.outcomes]


UNPROMOTED = "no promotion record says why this environment ran it"


def _promotion_text(promotion: PromotionAnswer | None) -> str:
    if promotion is None:
        return colored("MISSING", "red", bold=True) + f": {UNPROMOTED}"
    lines = [*promotion_lines(promotion), f"record {_trust_text(promotion.trust)}"]
    return "\n  ".join(lines)


def retired_text(retired: Retirement) -> str:
    """Return how a model left main, and as what it goes on."""
    then = f"; it goes on as {retired.successor}" if retired.successor else ""
    return f"{retired.time} by {retired.author} in {retired.commit[:12]} ({retired.subject}){then}"


def waiver_text(waiver: WaiverUse) -> str:
    """Return an exception: from what, until when, by whom, and why."""
    by = ", ".join(waiver.granted_by)
    said = f"waived: {waiver.of} until {waiver.expires} by {waiver.name} of {waiver.commit[:12]}, granted by {by}"
    return plain(f"{said}, because {waiver.reason}")


def _model_approval_text(answer: ReleaseAnswer) -> str:
    if answer.approval is None:
        return "not in the release's evidence"
    pull = answer.approval.get("pullRequest")
    how = f"pull request #{pull['number']} by {pull['author']}" if pull else str(answer.approval.get("path"))
    return f"{how}, approved by {_approvals_text(answer.approval.get('approvals') or [])}"


def _made(made: Making | None) -> list[tuple[str, object]]:
    """Return who built a release, when, on what machine and with how much of the lock."""
    if made is None:
        return []
    found = (made.environment.get(key) for key in ("python", "platform", "lock"))
    python, place, lock = (one if isinstance(one, dict) else {} for one in found)
    machine = f"{python.get('implementation')} {python.get('version')} on {place.get('system')} {place.get('machine')}"
    pins = f"the lock pins {lock.get('pins', 0)}, {lock.get('hashed', 0)} by hash"
    return [
        ("built", f"{made.started} to {made.finished} by {made.builder}, modelops {made.modelops}"),
        ("", f"{machine}; {len(made.packages)} packages, {pins}"),
    ]


def release_facts(answer: ReleaseAnswer) -> list[tuple[str, object]]:
    """Return what a release was made of and who let it in, as names and values; a name goes on where it is empty."""
    code, data = answer.code, answer.data
    span = f", {data.first} to {data.last}" if data.first else ""
    return [
        ("release", f"{answer.model} {answer.release}"),
        ("artifact", f"{answer.artifact} ({answer.engine})"),
        ("code", f"commit {code.commit}, tree {code.tree}"),
        ("", f"{code.subject}, by {code.author}, {code.time}" if code.author else "this commit is not in this clone"),
        ("data", f"{data.snapshot}, {data.rows:,} rows{span}"),
        ("", data.root),
        ("owner", f"{data.owner}; upstream: {', '.join(data.upstream) or '-'}" if data.owner else "missing"),
        ("", f"signature {uncolored(_trust_text(data.signature))}" if data.signature else "unsigned"),
        ("environment", answer.environment_lock),
        *_made(answer.made),
        ("change", _model_approval_text(answer)),
        ("branch", met(answer.approval.get("line")) if answer.approval is not None else "not in the evidence"),
        *([("retired", retired_text(answer.retired))] if answer.retired is not None else []),
        *([("also called", ", ".join(answer.names))] if answer.names else []),
    ]


def metric_rows(answer: ReleaseAnswer) -> list[tuple[object, ...]]:
    """Return a row for each metric: its value, the bounds of its interval, on how many rows and by which method."""
    return [
        (
            *(m.name, _number(m.value), _number(m.lower), _number(m.upper)),
            *(m.n if m.effective is None else rows_counted(m.n, m.effective), m.method),
        )
        for m in answer.metrics
    ]


def gate_rows(answer: ReleaseAnswer) -> list[tuple[object, ...]]:
    """Return a row for each gate: its verdict, the value with its bounds, the limit and on how many rows."""
    return [
        (
            *(f"{v.policy}/{v.gate}", v.verdict + (" (waived)" if v.waived else " (blocks)" if v.blocking else "")),
            *(_number(v.value), _number(v.lower), _number(v.upper), _number(v.limit)),
            "-" if v.n is None else v.n,
        )
        for v in answer.verdicts
    ]


def gate_lines(answer: ReleaseAnswer) -> list[str]:
    """Return what was let through, by which exception, and which gates protect nothing."""
    waived = [waiver_text(v.waiver) for v in answer.verdicts if v.waiver is not None]
    waived += map(waiver_text, answer.waivers)
    return waived + [
        plain(f"protects nothing: {v.policy}/{v.gate}, {v.toothless}") for v in answer.verdicts if v.toothless
    ]


def behind_lines(answer: ReleaseAnswer) -> list[str]:
    """Return the numbers behind the verdicts."""
    return [f"{key}: {line}" for key, found in answer.details.items() for line in details_lines(found)]


def _of_release(answer: ReleaseAnswer, *, promotions: bool = True) -> str:
    metrics = table(("METRIC", "VALUE", "LOWER", "UPPER", "N", "METHOD"), metric_rows(answer))
    gates = table(("GATE", "VERDICT", "VALUE", "LOWER", "UPPER", "LIMIT", "N"), gate_rows(answer))
    waived, behind = gate_lines(answer), behind_lines(answer)
    gates += "\n\n" + "\n".join(waived) if waived else ""
    if answer.weight is not None:
        metrics += f"\n{plain(weight_sentence(answer.weight))}"
    parts = [_facts(release_facts(answer)), metrics, gates]
    parts += ["\n".join(["behind the verdicts", *behind])] if behind else []
    if promotions:
        told = "\n".join(_promotion_text(one) for one in answer.promotions) or "promoted nowhere"
        parts.append(f"promotions\n{told}")
    given = [GIVEN] if answer.clock_given else []
    parts += ["\n".join(map(unapproved_line, answer.unapproved))] if answer.unapproved else []
    of = "evidence" if promotions else f"evidence of release {answer.release}"
    return "\n\n".join([*parts, *given, f"{of} {_trust_text(answer.trust)}"])


def prediction_facts(answer: PredictionAnswer) -> list[tuple[str, object]]:
    """Return what was asked and answered, but for the features, as names and values."""
    truth = f"{answer.truth} (arrived {answer.truth_time})" if answer.truth is not None else "has not arrived"
    result = f"failed with status {answer.status}: {answer.error}" if answer.status >= 500 else str(answer.label)
    return [
        ("prediction", answer.id),
        ("asked", f"{answer.time} in {answer.environment}" + (f", entity {answer.entity}" if answer.entity else "")),
        ("answer", f"{result}, score {_number(answer.score)}"),
        ("truth", truth),
        ("by", f"{answer.model} release {answer.release}, {answer.arm}, step {answer.step}"),
        ("log", answer.log),
    ]


def _of_prediction(answer: PredictionAnswer) -> str:
    features = ", ".join(f"{name}={value}" for name, value in answer.features.items())
    rows = prediction_facts(answer)
    rows.insert(2, ("features", features or "-"))
    if answer.proof is not None and answer.proof.reexplained is not None:
        rows += reasons_rows(answer.proof.reexplained)
    made_by = answer.made_by
    about = [_of_release(made_by, promotions=False)] if made_by else []
    parts = [_facts(rows), f"promotion\n{_promotion_text(answer.promotion)}", *about]
    return "\n\n".join([*parts, f"what the evidence covers\n{_facts(covered(answer))}"])


def covered(answer: PredictionAnswer) -> list[tuple[str, object]]:
    """Return which parts of an answer are signed, which are chained, and which were recomputed."""
    promotion = answer.promotion.trust if answer.promotion is not None else None
    rows: list[tuple[str, object]] = [
        ("release", f"signed, with its approval: {word(answer.trust)}"),
        ("promotion", f"signed: {word(promotion)}" if promotion is not None else "MISSING"),
    ]
    rows += [("", plain(problem)) for problem in answer.trust.problems] if answer.made_by is None else []
    unproven = ("row", "the evidence does not cover the logged answer")
    return [*rows, *(proof_rows(answer.proof) if answer.proof is not None else [unproven])]


def word(trust: Trust) -> str:
    """Return whether a record is proven, and by whose keys."""
    return f"verified, by {', '.join(trust.keys)}" if trust.ok else f"NOT PROVEN ({trust.status})"


def _of_environment(answer: EnvironmentAnswer) -> str:
    head = f"{answer.environment} at {answer.at}, by commit {answer.commit[:12]} of {answer.committed}"
    if not answer.models:
        return f"{head}\n\nno model was deployed"
    parts = [head]
    for model in answer.models:
        lines = [model.model, *(f"  {name}: {_there_text(arm)}" for name, arm in model.arms.items())]
        lines += [f"  retired later: {plain(retired_text(model.retired))}"] if model.retired else []
        lines += [f"  denied: {', '.join(map(str, model.denied))}"] if model.denied else []
        lines += [f"  as it was before its file could not be read: {plain(model.unread)}"] if model.unread else []
        lines += [f"  {unapproved_line(model.unapproved)}"] if model.unapproved is not None else []
        parts.append("\n".join(lines if len(lines) > 1 else [*lines, "  nothing ran"]))
    wrong = [colored("NOT PROVEN", "red", bold=True) + f": {_contradiction(one)}" for one in answer.contradictions]
    parts += ["\n".join([*wrong, "what ran then depends on which of these dates are true"])] if wrong else []
    return "\n\n".join(parts)


def _contradiction(one: Contradicted) -> str:
    return contradiction_text(one.commit, one.date, one.others)


def _there_text(arm: ReleaseThere) -> str:
    promotion = _promotion_text(arm.promotion).replace("\n", "\n    ")
    head = f"release {arm.release}, artifact {arm.artifact or 'missing'}"
    head += "".join(f"\n    {waiver_text(v.waiver)}" for v in arm.waived if v.waiver)
    told = f"{head}\n    {promotion}\n    evidence {_trust_text(arm.trust)}"
    set_by = arm.unrecorded
    if set_by is None:
        return told
    which = plain(f"{set_by.commit[:12]} ({set_by.subject}) by {set_by.author}, {set_by.time}")
    said = f"{which} came without a pull request: no record covers it"
    return f"{told}\n    {colored('NOT PROVEN', 'red', bold=True)}: {said}"
