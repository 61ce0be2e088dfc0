"""The three questions: a prediction, a release, an environment at an instant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from modelops.audit.answers import (
    Code,
    Data,
    EnvironmentAnswer,
    ModelThere,
    PredictionAnswer,
    PromotionAnswer,
    ReleaseAnswer,
    ReleaseThere,
    Trust,
)
from modelops.audit.records import Records, approval_in, missing
from modelops.clock import format_instant, parse_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions import DIRECTORY, Logged, find
from modelops.repository import Repository
from modelops.spec.delivery import ReleaseSpec
from modelops.spec.kinds import AnyResource

_RECORDED_WITHIN = timedelta(days=1)


def prediction_logs(root: Path) -> dict[str, Path]:
    """Return the prediction log of each environment that has run on this machine, by environment."""
    return {path.parent.name: path for path in sorted((root / ".modelops" / "runtime").glob(f"*/{DIRECTORY}"))}


def prediction(repository: Repository, id: str, *, logs: Mapping[str, Path], branch: str = "main") -> PredictionAnswer:
    """Return what is known of one prediction: what was asked and answered, by which release, and who let it.

    An id that no log holds is ``unknown-prediction`` and says where it was looked for.
    """
    environment, logged = _find(id, logs)
    row = logged.row
    records = Records(repository, repository.tip(branch))
    at = datetime.fromtimestamp(row.time, UTC)
    made_by, trust = _release_or_reason(records, row.model, row.release)
    return PredictionAnswer(
        id=row.id,
        environment=environment,
        log=str(logs[environment]),
        model=row.model,
        release=row.release,
        arm=row.arm,
        step=row.step,
        time=format_instant(at),
        entity=row.entity,
        features=_features(row.features),
        score=row.score,
        label=row.label,
        status=row.status,
        error=row.error,
        truth=logged.truth,
        truth_time=None if logged.truth_time is None else format_instant(_instant(logged.truth_time)),
        made_by=made_by,
        promotion=_promotion_before(records.promotions(row.model, row.release, environment), at),
        trust=trust,
    )


def release(repository: Repository, model: str, number: int, *, branch: str = "main") -> ReleaseAnswer:
    """Return what is known of a release; a model or number that does not exist is ``unknown-model`` or ``-release``."""
    records = Records(repository, repository.tip(branch))
    path = _release_path(model, number)
    resource = records.load(path)
    if resource is not None:
        return _release_answer(records, resource)
    known = sorted({name for _, name, _ in records.places("Model")})
    looked = f"at {branch} ({records.revision[:12]})"
    if model not in known and not records.releases(model):
        hint = f"there are: {', '.join(known)}" if known else "the branch has no model"
        raise failure("unknown-model", f"there is no model {model!r} {looked}", exit=Exit.USAGE, hint=hint)
    numbers = ", ".join(map(str, records.releases(model)))
    hint = f"it has: {numbers}" if numbers else "it has no release yet"
    raise failure("unknown-release", f"{path} does not exist {looked}", exit=Exit.USAGE, hint=hint)


def environment(repository: Repository, name: str, at: datetime, *, branch: str = "main") -> EnvironmentAnswer:
    """Return what an environment was told to run at an instant, by the history of the branch.

    The instant is compared with the committer's dates on the branch's own line of commits. What proves a release and
    its promotion is read from the branch as it is now. A shallow clone is refused (``shallow-clone``), as is an instant
    before the first commit (``no-commit-then``) and an environment that never was (``unknown-environment``).
    """
    commit = repository.commit_at(branch, at)
    then, now = Records(repository, commit), Records(repository, repository.tip(branch))
    deployments = [(path, model) for path, model, file in then.places("Deployment") if file == name]
    path = f"policies/environments/{name}.yaml"
    if not deployments and path not in then.paths | now.paths:
        known = sorted(
            file.removeprefix("policies/environments/").removesuffix(".yaml")
            for file in now.paths
            if file.startswith("policies/environments/")
        )
        raise failure(
            "unknown-environment",
            f"there is no environment {name!r} at {branch}, now or at {format_instant(at)}",
            exit=Exit.USAGE,
            hint=f"there are: {', '.join(known)}" if known else None,
        )
    then.prefetch(*(path for path, _ in deployments))
    now.prefetch(*(f"models/{model}/releases/" for _, model in deployments))
    models = tuple(_model_there(then.load(path), model, now, name, at) for path, model in deployments)
    committed = format_instant(repository.commit(commit).time)
    return EnvironmentAnswer(name, format_instant(at), commit, committed, models)


def _find(id: str, logs: Mapping[str, Path]) -> tuple[str, Logged]:
    unread: list[ModelOpsError] = []
    for environment, path in logs.items():
        try:
            logged = find(path, id)
        except ModelOpsError as error:
            unread.append(error)
            continue
        if logged is not None:
            return environment, logged
    if unread:
        # A log that cannot be read may hold the answer, so "unknown" would be a guess.
        raise ModelOpsError(*(problem for error in unread for problem in error.problems), exit=Exit.WORLD)
    looked = ", ".join(map(str, logs.values())) or "no prediction log: none is on this machine"
    raise failure(
        "unknown-prediction",
        f"no prediction has the id {id!r}; looked in {looked}",
        exit=Exit.NO,
        hint="run this on the machine that holds the environment's log, .modelops/runtime/<environment>/" + DIRECTORY,
    )


def _features(text: str | bytes) -> dict[str, Any]:
    try:
        features = json.loads(text)
    except ValueError:
        return {}
    return features if isinstance(features, dict) else {}


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _release_path(model: str, number: int) -> str:
    return f"models/{model}/releases/{number}/release.yaml"


def _release_or_reason(records: Records, model: str, number: int) -> tuple[ReleaseAnswer | None, Trust]:
    resource, trust = _load_release(records, model, number)
    if resource is None:
        return None, trust
    answer = _release_answer(records, resource)
    return answer, answer.trust


def _load_release(records: Records, model: str, number: int) -> tuple[AnyResource | None, Trust]:
    """Return the release's file, or why it does not count."""
    path = _release_path(model, number)
    try:
        resource = records.load(path)
    except ModelOpsError as error:
        return None, Trust("refused", problems=tuple(str(problem) for problem in error.problems))
    return resource, missing(f"{path} does not exist at {records.revision[:12]}")


def _release_answer(records: Records, resource: AnyResource) -> ReleaseAnswer:
    spec = resource.spec
    assert isinstance(spec, ReleaseSpec)
    trust, statements = records.judge_release(resource)
    approval = approval_in(statements)
    return ReleaseAnswer(
        model=spec.model,
        release=spec.version,
        revision=records.revision,
        file=resource.path,
        artifact=spec.artifact.digest,
        engine=spec.artifact.engine,
        inputs=spec.inputs,
        build=spec.build,
        spec=spec.spec,
        environment_lock=spec.environment_lock,
        seeds=spec.seeds,
        code=_code(records.repository, spec),
        data=_data(records, spec),
        champion=spec.champion,
        metrics=spec.metrics,
        verdicts=spec.verdicts,
        approval=approval.predicate if approval else None,
        promotions=records.promotions(spec.model, spec.version),
        trust=trust,
    )


def _code(repository: Repository, spec: ReleaseSpec) -> Code:
    """Return the commit; who made it is left open where this clone has not got it."""
    try:
        commit = repository.commit(spec.code.commit)
    except ModelOpsError:
        return Code(spec.code.commit, spec.code.tree)
    return Code(commit.id, spec.code.tree, str(commit.author), commit.subject, format_instant(commit.time))


def _data(records: Records, spec: ReleaseSpec) -> Data:
    """Return the data; whose it is is left open where the snapshot's file is gone or is another one by now."""
    pinned = (spec.data.snapshot, spec.data.root, spec.data.rows)
    try:
        resource = records.load(f"models/{spec.model}/data/{spec.data.snapshot}.yaml")
    except ModelOpsError:
        return Data(*pinned)
    if resource is None or resource.spec.root != spec.data.root:
        return Data(*pinned)
    source, span = resource.spec.source, resource.spec.time_span
    return Data(*pinned, source.owner, source.upstream, span.first if span else None, span.last if span else None)


def _promotion_before(promotions: tuple[PromotionAnswer, ...], at: datetime) -> PromotionAnswer | None:
    """Return the newest promotion not after an instant, else the first of the next day.

    The record of a merge is written by the pass after it; one of a later time does not say why the release ran before.
    """
    before = [one for one in promotions if _not_after(one, at)]
    # One that cannot be read has no time, and may be the one.
    soon = [one for one in promotions if not one.promoted_at or _not_after(one, at + _RECORDED_WITHIN)]
    return before[-1] if before else soon[0] if soon else None


def _not_after(promotion: PromotionAnswer, at: datetime) -> bool:
    try:
        return parse_instant(promotion.promoted_at) <= at
    except ModelOpsError:
        return False


def _model_there(
    deployment: AnyResource | None, model: str, now: Records, environment: str, at: datetime
) -> ModelThere:
    assert deployment is not None, "the path was listed at the same commit"
    spec = deployment.spec

    def there(number: int) -> ReleaseThere:
        resource, trust = _load_release(now, model, number)
        if resource is not None:
            trust, _ = now.judge_release(resource)
        artifact = resource.spec.artifact.digest if resource else None
        return ReleaseThere(number, artifact, trust, _promotion_before(now.promotions(model, number, environment), at))

    return ModelThere(
        model,
        there(spec.stable) if spec.stable is not None else None,
        there(spec.candidate) if spec.candidate is not None else None,
        tuple(one.release for one in spec.denied),
        tuple(map(there, spec.challengers)),
    )
