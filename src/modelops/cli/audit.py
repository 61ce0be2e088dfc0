"""modelops audit: who, what and when about a prediction, a release or an environment, offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelops.cli.output import colored, emit, output_option, table

if TYPE_CHECKING:
    from modelops.audit import (
        EnvironmentAnswer,
        PredictionAnswer,
        PromotionAnswer,
        ReleaseAnswer,
        ReleaseThere,
        Trust,
    )
    from modelops.repository import Repository


@click.group(help="Answer who, what and when about a prediction, a release or an environment.")
def command() -> None:
    """Group the three questions; the answers come from git and the local prediction logs alone."""


@command.command("prediction")
@click.argument("id")
@output_option
def prediction_command(id: str, output: str) -> int:
    """Tell which release answered ID, what made that release and who approved it."""
    from modelops import audit

    repository, branch = _open()
    answer = audit.prediction(repository, id, logs=audit.prediction_logs(repository.root), branch=branch)
    emit(output, audit.to_dict(answer), lambda: _prediction_text(answer))
    return 0 if answer.ok else 1


@command.command("release")
@click.argument("model")
@click.argument("number", type=click.IntRange(min=1))
@output_option
def release_command(model: str, number: int, output: str) -> int:
    """Tell what release NUMBER of MODEL was made of, what was measured and who let it in."""
    from modelops import audit

    repository, branch = _open()
    answer = audit.release(repository, model, number, branch=branch)
    emit(output, audit.to_dict(answer), lambda: _release_text(answer))
    return 0 if answer.ok else 1


@command.command("environment")
@click.argument("name")
@click.option(
    "--at", "at", required=True, metavar="DATE", help="ISO 8601 date or instant; without an offset it is UTC."
)
@output_option
def environment_command(name: str, at: str, output: str) -> int:
    """Tell which release of each model the environment NAME ran at a date, and who approved it."""
    from modelops import audit
    from modelops.clock import parse_instant

    repository, branch = _open()
    answer = audit.environment(repository, name, parse_instant(at), branch=branch)
    emit(output, audit.to_dict(answer), lambda: _environment_text(answer))
    return 0 if answer.ok else 1


@command.command("export")
@click.argument("name")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--until", metavar="DATE", help="Days before this one; by default before today.")
@output_option
def export_command(name: str, directory: Path, until: str | None, output: str) -> int:
    """Write what environment NAME has predicted into DIRECTORY: one Parquet file per model and whole day.

    Files are named model=<model>/day=<day>.parquet. A day is written again when its log has changed: labels come late.
    """
    from modelops import audit
    from modelops.clock import clock_from, parse_instant
    from modelops.errors import Exit, failure
    from modelops.predictions import export
    from modelops.repository import Repository

    logs = audit.prediction_logs(Repository.discover(".").root)
    if name not in logs:
        known = ", ".join(logs) or "none"
        message = f"there is no prediction log of {name!r} on this machine"
        raise failure("no-prediction-log", message, exit=Exit.USAGE, hint=f"there are logs of: {known}")
    written = export(logs[name], directory, clock_from()() if until is None else parse_instant(until))
    emit(output, [str(path) for path in written], lambda: "\n".join(map(str, written)) or "nothing new to write")
    return 0


def _open() -> tuple[Repository, str]:
    from modelops.audit import project_of
    from modelops.repository import Repository

    repository = Repository.discover(".")
    project = project_of(repository)
    return Repository.discover(".", remote=project.remote), project.branch


def _facts(rows: list[tuple[str, object]]) -> str:
    return table(("", ""), [(name, _plain(value)) for name, value in rows]).split("\n", 1)[1]


def _plain(value: object) -> str:
    """Return a text without control characters: callers of the server choose entity and features, not the terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", str(value))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _trust_text(trust: Trust) -> str:
    if trust.ok:
        return colored("verified", "green") + f", signed by {', '.join(trust.keys)}"
    word = "REFUSED: NOT PROVEN" if trust.status == "refused" else "MISSING: NOT PROVEN"
    return colored(word, "red", bold=True) + "".join(f"\n    {problem}" for problem in trust.problems)


def _approvals_text(approvals: tuple[Any, ...] | list[Any]) -> str:
    said = [one if isinstance(one, dict) else one.model_dump(by_alias=True) for one in approvals]
    return ", ".join(f"{one['login']} ({one['submittedAt']})" for one in said) or "nobody"


def _promotion_text(promotion: PromotionAnswer | None) -> str:
    if promotion is None:
        return colored("MISSING", "red", bold=True) + ": no promotion record says why this environment ran it"
    pull = promotion.pull_request
    how = f"pull request #{pull.number} by {pull.author}, head {pull.head[:12]}" if pull else promotion.path
    lines = [
        f"{promotion.name}: {how}, {promotion.promoted_at}",
        f"  approved by {_approvals_text(promotion.approvals)}",
    ]
    lines += [f"  because {_plain(promotion.reason)}"] if promotion.reason else []
    lines += [_plain(f"  rollout {one.get('outcome')}: {one.get('reason')}") for one in promotion.outcomes]
    return "\n".join([*lines, f"  record {_trust_text(promotion.trust)}"])


def _model_approval_text(answer: ReleaseAnswer) -> str:
    if answer.approval is None:
        return "not in the release's evidence"
    pull = answer.approval.get("pullRequest")
    how = f"pull request #{pull['number']} by {pull['author']}" if pull else str(answer.approval.get("path"))
    return f"{how}, approved by {_approvals_text(answer.approval.get('approvals') or [])}"


def _release_text(answer: ReleaseAnswer, *, promotions: bool = True) -> str:
    code, data = answer.code, answer.data
    span = f", {data.first} to {data.last}" if data.first else ""
    rows: list[tuple[str, object]] = [
        ("release", f"{answer.model} {answer.release}"),
        ("artifact", f"{answer.artifact} ({answer.engine})"),
        ("code", f"commit {code.commit}, tree {code.tree}"),
        ("", f"{code.subject}, by {code.author}, {code.time}" if code.author else "this commit is not in this clone"),
        ("data", f"{data.snapshot}, {data.rows:,} rows{span}"),
        ("", data.root),
        ("owner", f"{data.owner}; upstream: {', '.join(data.upstream) or '-'}" if data.owner else "missing"),
        ("environment", answer.environment_lock),
        ("change", _model_approval_text(answer)),
    ]
    metrics = table(
        ("METRIC", "VALUE", "LOWER", "UPPER", "N", "METHOD"),
        [(m.name, _number(m.value), _number(m.lower), _number(m.upper), m.n, m.method) for m in answer.metrics],
    )
    gates = table(
        ("GATE", "VERDICT", "VALUE", "LOWER", "UPPER", "LIMIT", "N"),
        [
            (
                *(f"{v.policy}/{v.gate}", v.verdict + (" (blocks)" if v.blocking else "")),
                *(_number(v.value), _number(v.lower), _number(v.upper), _number(v.limit)),
                "-" if v.n is None else v.n,
            )
            for v in answer.verdicts
        ],
    )
    parts = [_facts(rows), metrics, gates]
    if promotions:
        told = "\n".join(_promotion_text(one) for one in answer.promotions) or "promoted nowhere"
        parts.append(f"promotions\n{told}")
    return "\n\n".join([*parts, f"evidence {_trust_text(answer.trust)}"])


def _prediction_text(answer: PredictionAnswer) -> str:
    features = ", ".join(f"{name}={value}" for name, value in answer.features.items())
    truth = f"{answer.truth} (arrived {answer.truth_time})" if answer.truth is not None else "has not arrived"
    result = f"failed with status {answer.status}: {answer.error}" if answer.status >= 500 else str(answer.label)
    rows: list[tuple[str, object]] = [
        ("prediction", answer.id),
        ("asked", f"{answer.time} in {answer.environment}" + (f", entity {answer.entity}" if answer.entity else "")),
        ("features", features or "-"),
        ("answer", f"{result}, score {_number(answer.score)}"),
        ("truth", truth),
        ("by", f"{answer.model} release {answer.release}, {answer.arm}, step {answer.step}"),
        ("log", answer.log),
    ]
    made_by = answer.made_by
    about = _release_text(made_by, promotions=False) if made_by else f"release {_trust_text(answer.trust)}"
    return "\n\n".join([_facts(rows), f"promotion\n{_promotion_text(answer.promotion)}", about])


def _environment_text(answer: EnvironmentAnswer) -> str:
    head = f"{answer.environment} at {answer.at}, by commit {answer.commit[:12]} of {answer.committed}"
    if not answer.models:
        return f"{head}\n\nno model was deployed"
    parts = [head]
    for model in answer.models:
        lines = [model.model, *(f"  {name}: {_there_text(arm)}" for name, arm in model.arms.items())]
        lines += [f"  denied: {', '.join(map(str, model.denied))}"] if model.denied else []
        parts.append("\n".join(lines if len(lines) > 1 else [*lines, "  nothing ran"]))
    return "\n\n".join(parts)


def _there_text(arm: ReleaseThere) -> str:
    promotion = _promotion_text(arm.promotion).replace("\n", "\n    ")
    head = f"release {arm.release}, artifact {arm.artifact or 'missing'}"
    return f"{head}\n    {promotion}\n    evidence {_trust_text(arm.trust)}"
