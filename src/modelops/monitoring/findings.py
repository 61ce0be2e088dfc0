"""The level of a window, and what people are told of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from modelops import summaries
from modelops.drift import Drift, Kind, Score
from modelops.monitoring.feedback.found import Feedback
from modelops.monitoring.importance import ranked
from modelops.monitoring.report import (
    ArmReport,
    Detected,
    DomainReport,
    EstimatedReport,
    FeatureReport,
    Level,
    PerformanceReport,
    SliceReport,
    worst,
)
from modelops.monitoring.upstream.suspect import Suspect
from modelops.plugins import Bound
from modelops.spec.kinds.data_snapshot import Summary
from modelops.spec.kinds.model import Feature, ModelSpec
from modelops.spec.kinds.monitor import MonitorSpec

__all__ = ["Found", "compared_as", "findings", "level_of", "reasons", "unknown"]

_PLURALS: Mapping[Kind, str] = {"number": "numbers", "category": "categories"}


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured in a window.

    ``like`` is the stretch that the features were held against, "" for all rows, and ``apart`` how they differ from the
    whole.
    """

    features: tuple[FeatureReport, ...] = ()
    scores: Mapping[str, Score] = field(default_factory=dict)
    like: str = ""
    apart: str = ""
    performance: PerformanceReport | None = None
    estimated: EstimatedReport | None = None
    slices: tuple[SliceReport, ...] = ()
    arms: tuple[ArmReport, ...] = ()
    domain: DomainReport | None = None
    feedback: Feedback | None = None
    suspects: tuple[Suspect, ...] = ()
    detected: tuple[Detected, ...] = ()


def compared_as(feature: Feature, profile: Mapping[str, Summary]) -> Kind | None:
    """Return as what a feature is scored: None where the profile has nothing to compare it with."""
    kind = summaries.kind_of(feature.type)
    return kind if feature.name in profile and profile[feature.name].kind == kind else None


def level_of(found: Found) -> Level:
    """Return the gravest of what was found; what is only expected or true of a part warns and does no more."""
    features = found.features
    drifted = worst([*found.scores.values(), *(score for each in features for score in each.scores.values())])
    joint = found.domain.level if found.domain is not None else "none"
    rates = [rate for each in features for rate in (each.missing, each.unseen, each.out_of_range)]
    verdict = found.performance.verdict if found.performance is not None else "no-data"
    parts = [each.performance.verdict for each in found.slices if each.performance is not None]
    expected = found.estimated.verdict if found.estimated is not None else "no-data"
    if "alert" in (drifted, joint) or verdict == "fail":
        return "alert"
    if (
        "warn" in (drifted, joint)
        or verdict == "inconclusive"
        or any(rate is not None and rate.raised for rate in rates)
    ):
        return "warn"
    if found.feedback is not None and found.feedback.fired:
        return "warn"
    if "fail" in (*parts, expected) or any(worst(arm.scores.values()) in ("warn", "alert") for arm in found.arms):
        return "warn"
    return "no-data" if drifted == "no-data" and verdict == "no-data" else "none"


def findings(found: Found) -> list[str]:
    """Say what was found: a fallen metric first, then drift, what carries the model first, then input quality."""
    features, scores, performance = found.features, found.scores, found.performance
    said = [*map(_cause, found.suspects), *_fed(found.feedback)]
    if performance is not None and performance.verdict == "fail":
        said.append(f"Performance fell: {performance.reason}.")
    for part in found.slices:
        if part.performance is not None and part.performance.verdict == "fail":
            said.append(f"Performance fell where {part.name}: {part.performance.reason}.")
    if found.estimated is not None and found.estimated.verdict == "fail":
        said.append(f"Performance is expected to have fallen: {found.estimated.reason}.")
    for level in ("alert", "warn"):
        for feature in ranked([each for each in features if each.level == level]):
            share = f", {feature.share:.0%} of the model" if feature.carries and feature.share is not None else ""
            said.append(
                f"{feature.name} drifted ({level}{share}): {reasons(feature.scores, level)}{_way(feature.scores)}."
            )
        if worst(scores.values()) == level:
            said.append(f"The model's score drifted ({level}): {reasons(scores, level)}{_way(scores)}.")
    if found.domain is not None and found.domain.level in ("warn", "alert"):
        said.append(f"All features together drifted ({found.domain.level}): {found.domain.reason}.")
    for arm in found.arms:
        level = worst(arm.scores.values())
        if level in ("warn", "alert"):
            what = f"The score of release {arm.release}, which answered {arm.rows} rows,"
            said.append(f"{what} is unlike that of its holdout: {reasons(arm.scores, level)}{_way(arm.scores)}.")
    if found.like:
        said.append(f"The inputs are like {found.like}, unlike those as a whole: {found.apart}.")
    if performance is not None and performance.verdict == "inconclusive":
        said.append(f"Performance may have fallen: {performance.reason}.")
    for feature in features:
        for rate, what in (
            (feature.missing, "is missing"),
            (feature.unseen, "has values outside the profile's categories"),
            (feature.out_of_range, "is outside the range of the training data"),
        ):
            if rate is not None and rate.raised:
                said.append(f"{feature.name} {what} in {rate.value:.1%} of rows; it was {rate.reference:.1%}.")
    return said


def _cause(suspect: Suspect) -> str:
    """Name the source that changed features come from, and whom to ask."""
    many, names = len(suspect.features), ", ".join(suspect.features)
    what = "went missing" if suspect.silent else "changed"
    all_of = f"All {many} features" if many > 1 else "The only feature"
    of = f"{all_of} of the data source {suspect.name} {what} together ({names})"
    likely = "it is silent" if suspect.silent else "it changed"
    return f"{of}, so likely {likely}, and neither the world nor the model: ask {suspect.owner}, {suspect.contact}."


def _fed(feedback: Feedback | None) -> Iterator[str]:
    """Say that a model is fed by its own decisions, and by what that is seen; then how far to trust its labels."""
    if feedback is None:
        return
    loop = "The model is fed by its own decisions, so what its labels show of it is no measure"
    if feedback.loop:
        yield f"{loop}: {'; '.join(said for name, said in feedback.fired if name != 'D3')}."
    yield from (f"Reviews are not as declared: {said}." for name, said in feedback.fired if name == "D3")
    yield from (f"{said[:1].upper()}{said[1:]}." for said in feedback.told)


def reasons(scores: Mapping[str, Score], level: Level) -> str:
    """Return why scores have a level."""
    return "; ".join(score.reason for score in scores.values() if score.level == level)


def _way(scores: Mapping[str, Score]) -> str:
    """Say which way the values went, by the strongest score that says it."""
    said = max((score for score in scores.values() if score.direction), key=lambda each: each.strength, default=None)
    return f"; {said.direction}" if said is not None else ""


def unknown(
    monitor: MonitorSpec,
    bound: Sequence[Bound[Drift]],
    model: ModelSpec,
    profile: Mapping[str, Summary],
    rows: int,
    told: Found,
) -> list[str]:
    """Say what is not known: too few rows, too few labels, features that cannot be scored."""
    found = []
    if rows < monitor.minimum_requests:
        found.append(f"Drift is not scored: {rows} rows, {monitor.minimum_requests} are needed.")
    performance = told.performance
    if performance is not None and performance.verdict == "no-data":
        found.append(f"{performance.reason[:1].upper()}{performance.reason[1:]}.")
    if told.estimated is not None and told.estimated.verdict == "no-data":
        found.append(f"{told.estimated.reason[:1].upper()}{told.estimated.reason[1:]}.")
    if told.domain is not None and told.domain.level == "no-data":
        found.append(f"All features together are not compared: {told.domain.reason}.")
    features = model.data.features
    unscored = [feature.name for feature in features if feature.name not in profile]
    if unscored:
        found.append(f"Not in the snapshot's profile, so not scored: {', '.join(unscored)}.")
    untold: dict[str, list[str]] = {}
    for feature in told.features:
        for score in feature.scores.values():
            if score.level == "no-data" and score.window_n:
                untold.setdefault(score.reason, []).append(feature.name)
    found += [f"Drift is not told of {', '.join(dict.fromkeys(names))}: {why}." for why, names in untold.items()]
    retyped = [each.name for each in features if each.name in profile and compared_as(each, profile) is None]
    if retyped:
        found.append(f"Of another type in the snapshot's profile, so not scored: {', '.join(retyped)}.")
    for name, kinds in ((each.module.NAME, each.module.KINDS) for each in bound):
        left = [
            each.name for each in features if (kind := compared_as(each, profile)) is not None and kind not in kinds
        ]
        if left:
            able = " and ".join(_PLURALS[kind] for kind in kinds)
            found.append(f"{name} scores {able} only, so not {', '.join(left)}.")
    return found
