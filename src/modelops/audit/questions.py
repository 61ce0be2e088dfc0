"""The four questions: a prediction, a release, an environment at an instant, a log."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from modelops.audit.answers import (
    Code,
    Contradicted,
    Data,
    EnvironmentAnswer,
    LogAnswer,
    ModelThere,
    PredictionAnswer,
    PromotionAnswer,
    ReleaseAnswer,
    ReleaseThere,
    Retirement,
    Trust,
    Unapproved,
    Unrecorded,
)
from modelops.audit.logged import KnownLog, examine_log, prove_row, rescore_sample
from modelops.audit.making import changed_code, made_of
from modelops.audit.moments import Moments, introduced, read_moments
from modelops.audit.records import Asked, Records, approval_in, given_clock, missing
from modelops.audit.rescoring import Rescorer
from modelops.clock import format_instant, wall_clock
from modelops.errors import Exit, ModelOpsError, failure
from modelops.evidence import gate_details
from modelops.predictions import Logged
from modelops.project.retired import lineage, retired_models, successor
from modelops.repository import Repository
from modelops.spec.kinds import AnyResource
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.layout import (
    ENVIRONMENT,
    MODEL,
    MODELS,
    PROMOTION,
    PROMOTION_EVIDENCE,
    RELEASE,
    SNAPSHOT,
    ReleaseFiles,
    Seat,
    promotion_evidence,
    promotions_folder,
    promotions_in,
)

Logs = Sequence[KnownLog]
"""Where predictions are looked for."""


def prediction(
    repository: Repository,
    id: str,
    *,
    logs: Logs,
    branch: str = "main",
    rescorer: Rescorer | None = None,
    asked: Asked | None = None,
) -> PredictionAnswer:
    """Return what is known of one prediction: what was asked and answered, by which release, and who let it.

    The release answers it once more by the ``rescorer``. An id that no log holds is ``unknown-prediction`` and says
    where it was looked for, and whether the logs there are whole.
    """
    records = Records(repository, repository.tip(branch), asked or Asked(wall_clock()))
    return prediction_in(records, id, logs=logs, rescorer=rescorer)


def prediction_in(records: Records, id: str, *, logs: Logs, rescorer: Rescorer | None = None) -> PredictionAnswer:
    """Return what ``prediction`` does by the records of one commit, for whoever tells more of that commit."""
    known, logged = _find(id, logs)
    environment, log, row = known.environment, known.log, logged.row
    at = datetime.fromtimestamp(row.time, UTC)
    made_by, trust = _release_or_reason(records, row.model, row.release)
    return PredictionAnswer(
        id=row.id,
        environment=environment,
        log=log.place,
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
        promotion=records.promotion_before(row.model, row.release, environment, at),
        trust=trust,
        proof=prove_row(known, logged, made_by.artifact if made_by is not None and trust.ok else None, rescorer),
    )


def log(
    repository: Repository,
    known: KnownLog,
    *,
    branch: str = "main",
    sample: int = 0,
    seed: int = 0,
    rescorer: Rescorer | None = None,
    asked: Asked | None = None,
) -> LogAnswer:
    """Return whether a log is what was written, and whether a ``sample`` of its rows would be answered so again."""
    answer = examine_log(known)
    if not sample or rescorer is None:
        return answer
    records = Records(repository, repository.tip(branch), asked or Asked(wall_clock()))
    found: dict[tuple[str, int], str | None] = {}

    def artifact(model: str, number: int) -> str | None:
        if (model, number) not in found:
            made_by, trust = _release_or_reason(records, model, number)
            found[model, number] = made_by.artifact if made_by is not None and trust.ok else None
        return found[model, number]

    rows = [logged.row for logged in known.log.draw(sample, seed)]
    return rescore_sample(answer, rows, artifact, rescorer, seed)


def release(
    repository: Repository,
    model: str,
    number: int,
    *,
    branch: str = "main",
    asked: Asked | None = None,
) -> ReleaseAnswer:
    """Return what is known of a release; a model or number that does not exist is ``unknown-model`` or ``-release``."""
    records = Records(repository, repository.tip(branch), asked or Asked(wall_clock()))
    path = _release_path(model, number)
    resource = records.load(path)
    if resource is not None:
        return _release_answer(records, resource)
    names = lineage(repository, records.revision, model)
    for name in names[1:]:
        resource = records.load(_release_path(name, number))
        if resource is not None:
            return _release_answer(records, resource)
    known = sorted({name for _, name, _ in records.places("Model")})
    looked = f"at {branch} ({records.revision[:12]})"
    numbered = sorted(number for name in names for number in records.releases(name))
    if model not in known and not numbered:
        hint = f"there are: {', '.join(known)}" if known else "the branch has no model"
        raise failure("unknown-model", f"there is no model {model!r} {looked}", exit=Exit.USAGE, hint=hint)
    numbers = ", ".join(map(str, numbered))
    hint = f"it has: {numbers}" if numbers else "it has no release yet"
    raise failure("unknown-release", f"{model} has no release {number} {looked}", exit=Exit.USAGE, hint=hint)


def environment(
    repository: Repository,
    name: str,
    at: datetime,
    *,
    branch: str = "main",
    asked: Asked | None = None,
) -> EnvironmentAnswer:
    """Return what an environment was told to run at an instant, by the history of the branch.

    The order of the branch's own line of commits decides: the committer's dates count as far as they do not contradict
    it, and where the answer depends on one that does, it says so. What proves a release and its promotion is read from
    the branch as it is now. A shallow clone is refused (``shallow-clone``), as is an instant before the first commit
    (``no-commit-then``) and an environment that never was (``unknown-environment``).
    """
    now = Records(repository, repository.tip(branch), asked or Asked(wall_clock()))
    commit = now.dates.at(at)
    if commit is None:
        message = f"{branch} had no commit yet at {at.isoformat()}"
        raise failure("no-commit-then", message, exit=Exit.USAGE, hint="ask for a later date")
    then = Records(repository, commit, now.asked)
    deployments = [(path, model) for path, model, file in then.places("Deployment") if file == name]
    path = ENVIRONMENT.path(None, name)
    if not deployments and path not in then.paths | now.paths:
        known = sorted(found[1] for file in now.paths if (found := ENVIRONMENT.parse(file)) is not None)
        raise failure(
            "unknown-environment",
            f"there is no environment {name!r} at {branch}, now or at {format_instant(at)}",
            exit=Exit.USAGE,
            hint=f"there are: {', '.join(known)}" if known else None,
        )
    then.prefetch(path for path, _ in deployments)
    said = [(then.standing(path), model) for path, model in deployments]
    now.prefetch(path for (deployment, _), model in said for path in _told_by(now, deployment, model, name))
    moments = read_moments(repository, commit, [Seat(model, name) for _, model in said])
    models = tuple(
        dataclasses.replace(
            _model_there(deployment, unread, Seat(model, name), now, moments[Seat(model, name)], at),
            unapproved=_said_by(then, Seat(model, name)),
        )
        for (deployment, unread), model in said
    )
    dated = [one for one in now.dates.contradictions if one.touches(at)]
    contradictions = tuple(Contradicted(one.commit, format_instant(one.date), one.others) for one in dated)
    committed = format_instant(now.dates.of(now.dates.commits.index(commit)))
    return EnvironmentAnswer(name, format_instant(at), commit, committed, models, contradictions)


def _unapproved(records: Records, spec: ReleaseSpec, promotions: Sequence[PromotionAnswer]) -> tuple[Unapproved, ...]:
    """Return the unapproved commits that changed the files of a release or of its promotions."""
    folder = ReleaseFiles(spec.model, spec.version).folder + "/"
    files = {path for one in promotions for path in (one.file, promotion_evidence(one.file))}

    def concerns(path: str) -> bool:
        return path.startswith(folder) or path in files

    found = []
    for one in records.asked.unapproved:
        parents = records.repository.commit(one.commit).parents if one.files > len(one.paths) else ()
        paths = records.repository.changed_paths(parents[0], one.commit) if parents else one.paths
        found += [one] if any(map(concerns, paths)) else []
    return tuple(found)


def _said_by(then: Records, seat: Seat) -> Unapproved | None:
    """Return the commit that made a deployment say what it said then, if that is an unapproved one."""
    unapproved = {one.commit: one for one in then.asked.unapproved}
    if not unapproved:
        return None
    newest = next(iter(then.repository.line(then.revision, MODELS).versions(seat.deployment)), None)
    return unapproved.get(newest.commit) if newest is not None else None


def _find(id: str, logs: Logs) -> tuple[KnownLog, Logged]:
    unread: list[ModelOpsError] = []
    for known in logs:
        try:
            logged = known.log.find(id)
        except ModelOpsError as error:
            unread.append(error)
            continue
        if logged is not None:
            return known, logged
    if unread:
        # A log that cannot be read may hold the answer, so "unknown" would be a guess.
        raise ModelOpsError(*(problem for error in unread for problem in error.problems), exit=Exit.WORLD)
    looked = "; ".join(map(_whole, logs)) or "no prediction log: none is on this machine"
    raise failure(
        "unknown-prediction",
        f"no prediction has the id {id!r}; looked in {looked}",
        exit=Exit.NO,
        hint="run this on the machine that runs the environment, or name what it has exported: --log ENV=DIRECTORY",
    )


def _whole(known: KnownLog) -> str:
    """Return where it was looked, and whether what is not there could be gone."""
    found = examine_log(known)
    parts = [part.name for part in found.parts]
    between = f"{parts[0]} to {parts[-1]}" if len(parts) > 1 else parts[0] if parts else "no file"
    if not found.ok:
        wrong = sorted({flaw.segment or "its seals" for flaw in found.flaws})
        state = f"INCOMPLETE, see modelops audit log {known.environment}: {', '.join(wrong)}"
    elif found.parts and all(part.chained and part.sealed_rows == part.rows for part in found.parts):
        state = "whole and sealed"
    else:
        loose = "not chained" if any(not part.chained for part in found.parts) else "not sealed to the end"
        state = f"without a gap, {loose}" if found.parts else "empty"
    gone = f", {len(found.dropped)} dropped by rule" if found.dropped else ""
    return f"{found.log} ({between}: {state}{gone})"


def _features(text: str | bytes) -> dict[str, Any]:
    try:
        features = json.loads(text)
    except ValueError:
        return {}
    return features if isinstance(features, dict) else {}


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _release_path(model: str, number: int) -> str:
    return RELEASE.path(model, number)


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
    changed = changed_code(spec, records.repository, statements)
    if changed is not None:
        trust = Trust("refused", problems=(str(changed),))
    approval = approval_in(statements)
    promotions = records.promotions(spec.model, spec.version)
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
        weight=spec.weight,
        verdicts=spec.verdicts,
        details=gate_details(statements),
        approval=approval.predicate if approval else None,
        promotions=promotions,
        trust=trust,
        waivers=spec.waivers,
        retired=_retirement(records, spec.model),
        names=lineage(records.repository, records.revision, spec.model)[1:],
        made=made_of(statements),
        clock_given=given_clock(statements),
        unapproved=_unapproved(records, spec, promotions),
    )


def _retirement(records: Records, model: str) -> Retirement | None:
    """Return how a model left the branch, None while it is there."""
    if MODEL.path(model) in records.paths:
        return None
    found = retired_models(records.repository, records.revision).get(model)
    if found is None:
        return None
    commit = records.repository.commit(found.commit)
    later = successor(records.repository, records.revision, model)
    return Retirement(found.commit, str(commit.author), found.subject, format_instant(found.time), later)


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
        resource = records.load(SNAPSHOT.path(spec.model, spec.data.snapshot))
    except ModelOpsError:
        return Data(*pinned)
    if resource is None or resource.spec.root != spec.data.root:
        return Data(*pinned)
    source, span = resource.spec.source, resource.spec.time_span
    first, last = (span.first, span.last) if span else (None, None)
    return Data(*pinned, source.owner, source.upstream, first, last, records.judge_snapshot(resource))


def _told_by(now: Records, deployment: AnyResource | None, model: str, environment: str) -> Iterator[str]:
    """Yield the files that tell of the releases that a deployment names, and of how they came to be there."""
    if deployment is not None:
        spec = deployment.spec
        for number in filter(None, (spec.stable, spec.candidate, *spec.challengers)):
            files = ReleaseFiles(model, number)
            yield from (files.release, files.evidence, files.card, files.signature)
    records = [found[1] for path in now.below(promotions_folder(model)) if (found := PROMOTION.parse(path)) is not None]
    yield from (PROMOTION.path(model, each) for each in records)
    yield from (PROMOTION_EVIDENCE.path(model, each) for each in promotions_in(records, environment)[-1:])


def _model_there(
    deployment: AnyResource | None, unread: str | None, seat: Seat, now: Records, moments: Moments, at: datetime
) -> ModelThere:
    model = seat.model
    if deployment is None:
        return ModelThere(model, None, None, (), unread=unread)
    spec = deployment.spec

    def there(arm: str, number: int) -> ReleaseThere:
        resource, trust = _load_release(now, model, number)
        if resource is not None:
            trust, _ = now.judge_release(resource)
        artifact = resource.spec.artifact.digest if resource else None
        promotion = now.promotion_before(model, number, seat.environment, at)
        since = introduced(moments, arm)
        unrecorded = since is not None and not now.covers(seat, arm, number, since)
        said = _unrecorded(now, since.commit) if since is not None and unrecorded else None
        waived = tuple(one for one in resource.spec.verdicts if one.waived) if resource else ()
        return ReleaseThere(number, artifact, trust, promotion, said, waived)

    return ModelThere(
        model,
        there("stable", spec.stable) if spec.stable is not None else None,
        there("candidate", spec.candidate) if spec.candidate is not None else None,
        tuple(one.release for one in spec.denied),
        tuple(there(f"challenger-{number}", number) for number in spec.challengers),
        unread,
        retired=_retirement(now, model),
    )


def _unrecorded(now: Records, id: str) -> Unrecorded:
    commit = now.repository.commit(id)
    return Unrecorded(commit.id, str(commit.author), format_instant(commit.time), commit.subject)
