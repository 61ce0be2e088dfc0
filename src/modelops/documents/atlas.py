"""Attacks of MITRE ATLAS, and which controls that meet them are shown for a release; a layer for ATLAS Navigator too.

A control counts where evidence or a file of the branch shows it, never because modelops has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Section, Statement
from modelops.documents.said import about, unapproved, unwatched
from modelops.documents.told import monitor_source
from modelops.locks.pins import pins_of
from modelops.spec.kinds.access_policy import ApiKey
from modelops.spec.law import Technique, atlas
from modelops.spec.layout import ACCESS, LOCK

__all__ = ["atlas_map", "navigator_layer", "threats"]

Shown = Statement | str
"""A control that is shown, or why it is not."""
_LAYER = {"layer": "4.3", "navigator": "4.6.4"}
_COLOURS = ("#f4b6b6", "#f6e3a1", "#b7dfb9")
"""No control is shown, some are, all are."""


def atlas_map(facts: Facts) -> Paper:
    """Return a section for each technique with the controls that are shown; one that none meets is a gap."""
    version, techniques = atlas()
    sections = [_section(one, facts) for one in techniques]
    extra = unapproved(facts)
    head = [*about(facts), ("MITRE ATLAS", version)]
    return Paper("atlas", f"Attacks on {facts.name} (MITRE ATLAS)", head, [*sections, *([extra] if extra else [])])


def threats(facts: Facts) -> tuple[int, int]:
    """Return how many techniques are met by a control that is shown, and how many are known."""
    _, techniques = atlas()
    shown = _controls(facts)
    met = sum(any(isinstance(shown[name], Statement) for name in one.controls) for one in techniques)
    return met, len(techniques)


def navigator_layer(facts: Facts) -> bytes:
    """Return the map as a layer of ATLAS Navigator: the score is the share of a technique's controls that are shown."""
    version, techniques = atlas()
    shown, read_at = _controls(facts), facts.release.revision
    metadata = [("atlas_data_version", version), *about(facts)]
    layer: dict[str, Any] = {
        "name": facts.name,
        "versions": _LAYER,
        "domain": "atlas-atlas",
        "description": f"Controls in force for {facts.name}, from signed evidence and files at {read_at}",
        "metadata": [{"name": name, "value": value} for name, value in metadata],
        "gradient": {"colors": list(_COLOURS), "minValue": 0, "maxValue": 100},
        "techniques": [_technique(one, shown) for one in techniques],
        "legendItems": [
            {"label": label, "color": colour}
            for label, colour in zip(("no control is shown", "some are", "all are"), _COLOURS, strict=True)
        ],
    }
    return json.dumps(layer, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _technique(one: Technique, shown: Mapping[str, Shown]) -> dict[str, Any]:
    found = {name: shown[name] for name in one.controls}
    score = round(100 * sum(isinstance(told, Statement) for told in found.values()) / len(found))
    said = [
        f"{name}: {told.text}" if isinstance(told, Statement) else f"{name}: not shown, {told}"
        for name, told in found.items()
    ]
    return {"techniqueID": one.id, "score": score, "comment": "; ".join(said), "enabled": True}


def _section(one: Technique, facts: Facts) -> Section:
    shown = _controls(facts)
    found = [shown[name] for name in one.controls]
    statements = [told for told in found if isinstance(told, Statement)]
    absent = [told for told in found if isinstance(told, str)]
    gaps = [f"no control is shown: {'; '.join(absent)}"] if not statements else []
    asks = f"Controls: {', '.join(one.controls)}."
    if statements and absent:
        asks += f" Not shown: {'; '.join(absent)}."
    return Section(one.id, one.name, asks, statements, (), gaps)


def _controls(facts: Facts) -> dict[str, Shown]:
    found: dict[str, Shown] = {name: _gate(name, facts) for name in _GATES}
    return found | {name: control(facts) for name, control in _CONTROLS.items()}


_GATES = ("champion", "data-quality", "drift", "evasion", "membership", "monotonicity", "poisoning", "robustness")


def _gate(kind: str, facts: Facts) -> Shown:
    """A gate is in force where it passed and its policy blocks what fails it: what it found is in the evidence."""
    found = [one for one in facts.release.verdicts if one.type == kind]
    if not found:
        return f"no gate {kind} judged it"
    blocks = {
        (name, gate.name) for name, policy in facts.policies.items() for gate in policy.gates if "fail" in gate.block
    }
    held = [one for one in found if one.verdict == "pass" and (one.policy, one.gate) in blocks and not one.toothless]
    if not held:
        return f"the gate {found[0].policy}/{found[0].gate} says {found[0].verdict}, or does not block"
    return Statement(f"gate {held[0].policy}/{held[0].gate}: {held[0].reason}", facts.evidence)


def _signed_data(facts: Facts) -> Shown:
    signature = facts.release.data.signature
    if signature is None or not signature.ok:
        return "the snapshot has no signature that holds"
    return Statement(f"the snapshot is signed by {', '.join(signature.keys)}", "signature of the snapshot")


def _bound_data(facts: Facts) -> Shown:
    return Statement(f"the data are bound by their digest {facts.release.data.root}", facts.evidence)


def _hashed_lock(facts: Facts) -> Shown:
    pins = [one for one in pins_of(facts.lock) if one.counts]
    bare = [one.name for one in pins if not one.hashed]
    if not pins:
        return "no lock pins the packages"
    if bare:
        return f"{len(bare)} of {len(pins)} packages are pinned without a hash, {bare[0]} among them"
    return Statement(f"{len(pins)} packages are pinned by hash", f"{LOCK} at {facts.release.code.commit[:12]}")


def _recorded_making(facts: Facts) -> Shown:
    made = facts.release.made
    if made is None:
        return "how it was made is not in its evidence"
    return Statement(f"made by {made.builder} from {len(made.code)} code files bound by SHA-256", facts.evidence)


def _signed_release(facts: Facts) -> Shown:
    return Statement(f"artifact and evidence are signed by {', '.join(facts.release.trust.keys)}", facts.evidence)


def _approved(facts: Facts) -> Shown:
    approval = facts.release.approval or {}
    given = [one for one in approval.get("approvals") or [] if isinstance(one, dict)]
    if not given or facts.release.unapproved:
        return "nobody approved it, or commits that nobody approved changed it since"
    return Statement(f"approved by {', '.join(str(one.get('login')) for one in given)}", facts.evidence)


def _data_formats(facts: Facts) -> Shown:
    if facts.release.engine == "python":
        return "the artifact runs code of the repository when it answers"
    return Statement(f"the artifact is answered by {facts.release.engine}, which reads it as data", facts.evidence)


def _keyed(facts: Facts, has: Callable[[ApiKey], bool], what: str) -> Shown:
    """Return whether in every environment each key that may ask the model has something."""
    if not facts.environments:
        return "it was put into service nowhere"
    for name in facts.environments:
        policy = facts.access.get(name)
        if policy is None:
            return f"everybody who reaches {name} may call it"
        asking = [key for key in policy.keys if "infer" in key.scopes and {"*", facts.release.model} & {*key.models}]
        without = [key.name for key in asking if not has(key)]
        if without:
            return f"the key {without[0]} of {name} has no {what}"
    places = ", ".join(facts.environments)
    source = f"{ACCESS.path(None, '*')} at {facts.release.revision[:12]}"
    return Statement(f"every key that may ask it in {places} has {what}", source)


def _keys(facts: Facts) -> Shown:
    return _keyed(facts, lambda key: True, "a name of its own")


def _rates(facts: Facts) -> Shown:
    return _keyed(facts, lambda key: key.rate is not None, "a rate")


def _budgets(facts: Facts) -> Shown:
    return _keyed(facts, lambda key: key.budget is not None, "a budget of rows")


def _monitored(facts: Facts) -> Shown:
    if facts.monitor is None:
        return unwatched(facts)
    scores = ", ".join(sorted({one.type for one in facts.monitor.drift}))
    return Statement(f"its answers are watched by {scores}", monitor_source(facts))


_CONTROLS: Mapping[str, Callable[[Facts], Shown]] = {
    "approved": _approved,
    "bound-data": _bound_data,
    "budgets": _budgets,
    "data-formats": _data_formats,
    "hashed-lock": _hashed_lock,
    "keys": _keys,
    "monitored": _monitored,
    "rates": _rates,
    "recorded-making": _recorded_making,
    "signed-data": _signed_data,
    "signed-release": _signed_release,
}
