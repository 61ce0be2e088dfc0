"""The bill of materials of a model, CycloneDX 1.7 in JSON: model card, data and packages, each by its hashes.

The specification is at cyclonedx.org (ECMA-424). There is no time in it but that of the evidence, and the serial number
is made of what it says, so equal releases have equal bills.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Section, Table
from modelops.documents.said import about, unapproved
from modelops.locks.pins import HASH, pins_of
from modelops.spec.kinds.dossier import Risk
from modelops.spec.kinds.release import VerdictRecord

__all__ = ["bill_paper", "ml_bom"]

SPEC_VERSION = "1.7"
_MODEL, _DATA = "model", "data"


def ml_bom(facts: Facts) -> bytes:
    """Return the bill: the model with its card, the snapshot with its files, and the packages of the lock."""
    packages = [_package(one.name, one.version, HASH.findall(one.text)) for one in pins_of(facts.lock) if one.counts]
    known = {one["bom-ref"] for one in packages}
    installed = facts.release.made.packages if facts.release.made is not None else {}
    extra = [_package(name, version, []) for name, version in sorted(installed.items())]
    packages += [one for one in extra if one["bom-ref"] not in known]
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": _metadata(facts),
        "components": [_data(facts), *packages],
        "dependencies": [{"ref": _MODEL, "dependsOn": [_DATA, *(one["bom-ref"] for one in packages)]}],
    }
    made = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    whole = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        **document,
        "serialNumber": f"urn:uuid:{made}",
    }
    return json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def bill_paper(facts: Facts) -> Paper:
    """Return what the bill says for people: the model, its metrics, its data and its packages, each with its hashes."""
    bill = json.loads(ml_bom(facts))
    model, (data, *packages) = bill["metadata"]["component"], bill["components"]
    card = model["modelCard"]
    metrics = tuple(
        (one["type"], one.get("slice", "-"), one["value"], *_interval(one))
        for one in card["quantitativeAnalysis"]["performanceMetrics"]
    )
    files = tuple((one["name"], _hashes(one)) for one in data.get("components", ()))
    rows = tuple((one["name"], one["version"], _hashes(one)) for one in packages)
    bare = [row[0] for row in rows if row[2] == "-"]
    sections = [
        Section(
            "model", "Model", tables=[_table("Model", ("name", "version", "sha-256"), ((*_named(model),),), facts)]
        ),
        Section(
            "metrics",
            "Metrics",
            tables=[_table("Metrics", ("metric", "slice", "value", "lower", "upper"), metrics, facts)],
        ),
        Section(
            "data",
            "Data",
            tables=[_table(f"Files of {data['name']}", ("file", "sha-256"), files, facts)] if files else [],
            gaps=() if files else ("the snapshot that the evidence binds is not in the repository",),
        ),
        Section(
            "packages",
            "Packages",
            tables=[_table("Packages", ("package", "version", "sha-256"), rows, facts)] if rows else [],
            gaps=(f"{len(bare)} of {len(rows)} packages have no hash, {bare[0]} among them",) if bare else (),
        ),
    ]
    extra = unapproved(facts)
    head = [*about(facts), ("serial number", bill["serialNumber"]), ("format", f"CycloneDX {bill['specVersion']}")]
    return Paper("ml-bom", f"Bill of materials of {facts.name}", head, [*sections, *([extra] if extra else [])])


def _table(title: str, headers: tuple[str, ...], rows: tuple[tuple[str, ...], ...], facts: Facts) -> Table:
    return Table(title, headers, rows, facts.evidence)


def _named(one: Mapping[str, Any]) -> tuple[str, str, str]:
    return one["name"], one["version"], _hashes(one)


def _hashes(one: Mapping[str, Any]) -> str:
    found = [each["content"] for each in one.get("hashes", ())]
    return found[0] if len(found) == 1 else f"{len(found)} files, each by its hash" if found else "-"


def _interval(one: Mapping[str, Any]) -> tuple[str, str]:
    found = one.get("confidenceInterval", {})
    return found.get("lowerBound", "-"), found.get("upperBound", "-")


def _metadata(facts: Facts) -> dict[str, Any]:
    found: dict[str, Any] = {"component": _model(facts)}
    if facts.release.made is not None:
        found["timestamp"] = facts.release.made.finished
        found["tools"] = {
            "components": [{"type": "application", "name": "modelops", "version": facts.release.made.modelops}]
        }
    if facts.dossier.provider is not None:
        found["manufacturer"] = {"name": facts.dossier.provider}
    return found


def _model(facts: Facts) -> dict[str, Any]:
    release, model = facts.release, facts.model
    found: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": release.model,
        "version": str(release.release),
        "description": model.description,
        "hashes": [_hash(release.artifact)],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": model.task,
                "datasets": [{"ref": _DATA}],
                "inputs": [{"format": f"{one.name}: {one.type}"} for one in model.data.features],
                "outputs": [{"format": _output(facts)}],
            },
            "quantitativeAnalysis": {"performanceMetrics": _performance(facts)},
            "considerations": _considerations(facts),
            "properties": _properties(facts),
        },
    }
    if facts.license:
        found["licenses"] = [{"license": {"name": facts.license}}]
    return found


def _output(facts: Facts) -> str:
    kinds = {"regression": "number", "binary-classification": "probability of the positive class"}
    return kinds.get(facts.model.task, "probability of each class")


def _performance(facts: Facts) -> list[dict[str, Any]]:
    """Return every metric with its interval, and that of every slice and group that the evidence holds."""
    found = [_measured(one.name, one.value, one.lower, one.upper) for one in facts.release.metrics]
    for one in facts.release.verdicts:
        details = facts.release.details.get(f"{one.policy}/{one.gate}", {})
        rows = details.get("slices") if one.type == "slices" else None
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, Mapping) and isinstance(row.get("value"), float):
                told = _measured(f"{one.policy}/{one.gate}", row["value"], row.get("lower"), row.get("upper"))
                found.append(told | {"slice": str(row.get("slice"))})
    return found


def _measured(name: str, value: float, lower: float | None, upper: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {"type": name, "value": repr(value)}
    if lower is not None and upper is not None:
        found["confidenceInterval"] = {"lowerBound": repr(lower), "upperBound": repr(upper)}
    return found


def _considerations(facts: Facts) -> dict[str, Any]:
    model = facts.model
    found: dict[str, Any] = {"useCases": [model.intended_use]}
    limits = [*model.limitations, *(f"Out of scope: {one}" for one in model.out_of_scope)]
    if limits:
        found["technicalLimitations"] = limits
    if facts.dossier.risks:
        found["ethicalConsiderations"] = [_risk(risk) for risk in facts.dossier.risks]
    return found


def _risk(risk: Risk) -> dict[str, str]:
    found = {"name": f"{risk.name}: {' '.join(risk.description.split())}"}
    return found | ({"mitigationStrategy": "; ".join(risk.measures)} if risk.measures else {})


def _properties(facts: Facts) -> list[dict[str, str]]:
    release = facts.release
    pairs = [
        ("modelops:commit", release.code.commit),
        ("modelops:engine", release.engine),
        ("modelops:inputs", release.inputs),
        ("modelops:risk", facts.model.risk),
        *(("modelops:signed-by", key) for key in release.trust.keys),
        *((f"modelops:verdict:{one.policy}/{one.gate}", _verdict(one)) for one in release.verdicts),
        *(("modelops:waiver", one.name) for one in release.waivers),
    ]
    return [{"name": name, "value": value} for name, value in pairs]


def _verdict(one: VerdictRecord) -> str:
    waived = f" (waived by {one.waiver.name})" if one.waiver is not None else ""
    return f"{one.verdict}{waived}: {one.reason}"


def _data(facts: Facts) -> dict[str, Any]:
    data, snapshot = facts.release.data, facts.snapshot
    dataset: dict[str, Any] = {
        "type": "dataset",
        "name": data.snapshot,
        "contents": {"properties": [{"name": "modelops:rows", "value": str(data.rows)}]},
    }
    if data.owner is not None:
        dataset["governance"] = {"owners": [{"organization": {"name": data.owner}}]}
    if facts.model.data.sensitive:
        dataset["sensitiveData"] = list(facts.model.data.sensitive)
    found: dict[str, Any] = {
        "type": "data",
        "bom-ref": _DATA,
        "name": f"{facts.release.model}/{data.snapshot}",
        "version": data.root,
        "data": [dataset],
        "properties": [{"name": "modelops:root", "value": data.root}],
    }
    if snapshot is not None:
        found["components"] = [
            {
                "type": "file",
                "bom-ref": f"file:{one.path}",
                "name": one.path,
                "hashes": [{"alg": "SHA-256", "content": one.sha256}],
            }
            for one in snapshot.files
        ]
    return found


def _package(name: str, version: str, hashes: list[str]) -> dict[str, Any]:
    purl = f"pkg:pypi/{quote(name)}@{quote(version)}"
    found: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    return found | ({"hashes": [{"alg": "SHA-256", "content": each} for each in hashes]} if hashes else {})


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}
