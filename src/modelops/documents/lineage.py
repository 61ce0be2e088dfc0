"""What a release comes from and where it went: for people, and as events of OpenLineage for tools that draw it.

The specification is at openlineage.io. Every event is a function of signed evidence and files, and of the version that
writes it: its time is that of what it tells, and the ids of runs are made of what they say, so that to send them twice
changes nothing.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from modelops import __version__
from modelops.audit import PromotionAnswer
from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Section, Table
from modelops.documents.said import about, unapproved
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.release import VerdictRecord

__all__ = ["lineage_paper", "open_lineage"]

_SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"
_FACETS = "https://openlineage.io/spec/facets/{}/{}.json#/$defs/{}"
_VERSIONS = {
    "DatasetVersionDatasetFacet": "1-0-1",
    "DocumentationJobFacet": "1-1-0",
    "ExecutionParametersRunFacet": "1-0-0",
    "InputStatisticsInputDatasetFacet": "1-0-0",
    "JobTypeJobFacet": "2-0-4",
    "OwnershipDatasetFacet": "1-0-1",
    "OwnershipJobFacet": "1-0-1",
    "ProcessingEngineRunFacet": "1-1-1",
    "SchemaDatasetFacet": "1-2-0",
    "TestRunFacet": "1-0-1",
}
"""Versions of the facets' schemas; each may change by itself."""
_SYSTEMS = "modelops-source"
"""The namespace of the systems that data come from, as people call them: no name of theirs is one of a release."""
_STATUS = {"pass": "pass", "fail": "fail"}
"""What the verdicts of gates are called there; of one that said neither there is no result, as if it was skipped."""
_AT_ONCE, _ON_TRIAL = "at once", "on trial"
_ENDS = {
    _AT_ONCE: "COMPLETE",
    "succeeded": "COMPLETE",
    "overridden": "COMPLETE",
    "failed": "FAIL",
    "aborted": "ABORT",
    "withdrawn": "ABORT",
}
"""What the ends of promotions are called there."""

Json = dict[str, Any]


def open_lineage(facts: Facts) -> bytes:
    """Return the events as one JSON array: how the data came, the training with its gates, and every promotion.

    Where the evidence does not say when it was made, there is no event of its data and its training.
    """
    events = [*_data(facts), *_training(facts), *_promotions(facts)]
    return json.dumps(events, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def lineage_paper(facts: Facts) -> Paper:
    """Return the same for people: each step with what went in and what came out."""
    release, snapshot = facts.release, facts.snapshot
    sources = snapshot.source.upstream if snapshot is not None else ()
    kept = f"data {release.data.snapshot}"
    steps = [
        ("taken", ", ".join(sources) or "-", kept, "-", "-"),
        ("trained", f"{kept}, code {release.code.commit[:12]}", f"release {release.release}", _when(facts), "released"),
        *(
            (
                "promoted",
                f"release {one.release}",
                f"{release.model} in {one.environment}",
                one.promoted_at,
                _told(*_ended(facts, one)),
            )
            for one in release.promotions
            if one.trust.ok
        ),
    ]
    gaps = []
    if snapshot is None:
        gaps.append("the snapshot that the evidence binds is not in the repository")
    elif not sources:
        gaps.append(f"the snapshot {release.data.snapshot} names nothing that its data come from (source.upstream)")
    if release.made is None:
        gaps.append("when it was trained is not in its evidence, so no event tells of its data and training")
    gaps += [f"{one.name} is not proven, and left out" for one in release.promotions if not one.trust.ok]
    table = Table("Steps", ("step", "from", "to", "when", "how it ended"), tuple(steps), facts.evidence)
    extra = unapproved(facts)
    head = [*about(facts), ("namespace", _namespace(facts)), ("format", "OpenLineage 2-0-2")]
    sections = [Section("steps", "Steps", tables=[table], gaps=gaps), *([extra] if extra else [])]
    return Paper("lineage", f"Lineage of {facts.name}", head, sections)


def _when(facts: Facts) -> str:
    return facts.release.made.finished if facts.release.made is not None else "-"


def _namespace(facts: Facts) -> str:
    """Return what tells this project from every other, wherever it is hosted: the first commit, and its folder."""
    return f"modelops:{facts.root}"


def _data(facts: Facts) -> Iterable[Json]:
    """Yield which systems the data come from; nobody knows of a run, so it is told of the job."""
    if facts.snapshot is None or facts.release.made is None:
        return
    name = _data_name(facts)
    yield {
        **_event("JobEvent", facts.release.made.started),
        "job": _job(facts, f"{facts.release.model}.data", f"Takes the snapshot {facts.release.data.snapshot}.", "DATA"),
        "inputs": [{"namespace": _SYSTEMS, "name": source} for source in facts.snapshot.source.upstream],
        "outputs": [_dataset(facts, name, facets=_data_facets(facts, facts.snapshot))],
    }


def _training(facts: Facts) -> Iterable[Json]:
    release, made = facts.release, facts.release.made
    if made is None:
        return
    snapshot = facts.snapshot
    job = _job(facts, f"{release.model}.train", facts.model.description, "TRAINING")
    parameters = sorted(facts.model.training.parameters.items())
    told = [{"key": key, "value": _text(value)} for key, value in parameters]
    run = _run_id(facts, "train", release.inputs, made.invocation, made.started)
    data = _dataset(facts, _data_name(facts), facets=_data_facets(facts, snapshot) if snapshot is not None else {})
    statistics: Json = {"rowCount": release.data.rows}
    if snapshot is not None:
        statistics |= {"size": sum(one.size for one in snapshot.files), "fileCount": len(snapshot.files)}
    data["inputFacets"] = {"inputStatistics": _facet("InputStatisticsInputDatasetFacet", **statistics)}
    artifact = _dataset(facts, _artifact_name(facts), facets=_artifact_facets(facts))
    facets = {
        "processing_engine": _facet("ProcessingEngineRunFacet", name="modelops", version=made.modelops),
        "executionParameters": _facet("ExecutionParametersRunFacet", parameters=told),
    }
    begun = {"run": {"runId": run, "facets": facets}, "job": job, "inputs": [data], "outputs": []}
    yield {**_event("RunEvent", made.started), "eventType": "START", **begun}
    judged = facets | {"test": _facet("TestRunFacet", tests=[_test(one) for one in release.verdicts])}
    ended = {"run": {"runId": run, "facets": judged}, "job": job, "inputs": [data], "outputs": [artifact]}
    yield {**_event("RunEvent", made.finished), "eventType": "COMPLETE", **ended}


def _promotions(facts: Facts) -> Iterable[Json]:
    """Yield a run for each proven promotion; the environment holds the release where it did not fail on trial."""
    release = facts.release
    for one in release.promotions:
        if not one.trust.ok:
            continue
        called = f"Puts a release of {release.model} into service in {one.environment}."
        told = {
            "run": {"runId": _run_id(facts, "promote", one.file)},
            "job": _job(facts, f"{release.model}.promote.{one.environment}", called, "PROMOTION"),
            "inputs": [_dataset(facts, _artifact_name(facts), facets=_artifact_facets(facts))],
        }
        word, at = _ended(facts, one)
        yield {**_event("RunEvent", one.promoted_at), "eventType": "START", **told, "outputs": []}
        if word in _ENDS:
            served = _dataset(facts, f"{release.model}/environments/{one.environment}", facets=_artifact_facets(facts))
            outputs = [served] if _ENDS[word] == "COMPLETE" else []
            yield {**_event("RunEvent", at), "eventType": _ENDS[word], **told, "outputs": outputs}


def _ended(facts: Facts, one: PromotionAnswer) -> tuple[str, str]:
    """Return how a promotion ended and when: at once, where it began no trial."""
    for outcome in reversed(one.outcomes):
        if outcome.get("outcome") in _ENDS:
            return str(outcome["outcome"]), str(outcome.get("at") or one.promoted_at)
    return _ON_TRIAL if one.environment in facts.on_trial else _AT_ONCE, one.promoted_at


def _told(word: str, at: str) -> str:
    return word if word in (_AT_ONCE, _ON_TRIAL) else f"{word} at {at}"


def _event(kind: str, time: str) -> Json:
    return {"eventTime": time, "producer": _producer(), "schemaURL": _SPEC + kind}


def _producer() -> str:
    return f"https://modelops.dev/v{__version__}"


def _facet(kind: str, **fields: Any) -> Json:
    return {"_producer": _producer(), "_schemaURL": _FACETS.format(_VERSIONS[kind], kind, kind), **fields}


def _run_id(facts: Facts, *parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([_namespace(facts), facts.name, *parts])))


def _job(facts: Facts, name: str, description: str, kind: str) -> Json:
    facets = {
        "documentation": _facet("DocumentationJobFacet", description=description, contentType="text/plain"),
        "jobType": _facet("JobTypeJobFacet", processingType="BATCH", integration="MODELOPS", jobType=kind),
        "ownership": _facet("OwnershipJobFacet", owners=[{"name": f"team:{facts.model.owner}", "type": "OWNER"}]),
    }
    return {"namespace": _namespace(facts), "name": name, "facets": facets}


def _dataset(facts: Facts, name: str, facets: Mapping[str, Any] | None = None) -> Json:
    found: Json = {"namespace": _namespace(facts), "name": name}
    return found | ({"facets": dict(facets)} if facets else {})


def _data_name(facts: Facts) -> str:
    return f"{facts.release.model}/data/{facts.release.data.snapshot}"


def _artifact_name(facts: Facts) -> str:
    return f"{facts.release.model}/releases/{facts.release.release}"


def _data_facets(facts: Facts, snapshot: DataSnapshotSpec) -> Json:
    fields = [{"name": one.name, "type": one.type} for one in snapshot.columns]
    owner = [{"name": f"team:{snapshot.source.owner}", "type": "OWNER"}]
    return {
        "schema": _facet("SchemaDatasetFacet", fields=fields),
        "version": _facet("DatasetVersionDatasetFacet", datasetVersion=facts.release.data.root),
        "ownership": _facet("OwnershipDatasetFacet", owners=owner),
    }


def _artifact_facets(facts: Facts) -> Json:
    return {"version": _facet("DatasetVersionDatasetFacet", datasetVersion=facts.release.artifact)}


def _test(one: VerdictRecord) -> Json:
    said = [one.reason]
    if one.waived and one.waiver is not None:
        said.append(f"waived by {one.waiver.name}")
    if one.toothless:
        said.append(f"holds nothing up: {one.toothless}")
    found: Json = {
        "name": f"{one.policy}/{one.gate}",
        "status": _STATUS.get(one.verdict, "skip"),
        # There an error is what stops the run, and a warning lets it go on.
        "severity": "error" if one.holds and not one.toothless else "warn",
        "type": one.type,
        "description": "; ".join(said),
    }
    if one.limit is not None:
        found["expected"] = _text(one.limit)
    if one.value is not None:
        found["actual"] = _text(one.value)
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
