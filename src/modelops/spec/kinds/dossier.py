"""kind: Dossier — what documents about a model have to say and no measurement can: answers of people, and its risks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.law import ANNEX_IV, asked_of_people
from modelops.spec.meta import Name, Strict
from modelops.spec.resource import Resource, at

PLACE = layout.DOSSIER
STALLS = False

LIKELIHOODS = ("rare", "unlikely", "possible", "likely", "frequent")
SEVERITIES = ("negligible", "minor", "serious", "critical")


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("it says nothing: leave it out, and it is listed as a gap")
    return text


Text = Annotated[str, AfterValidator(_said), Field(min_length=1)]
Document = Literal["fria", "instructions", "nist-ai-rmf", "post-market-plan"]
Likelihood = Literal["rare", "unlikely", "possible", "likely", "frequent"]
Severity = Literal["negligible", "minor", "serious", "critical"]


class Level(Strict):
    """How likely a harm is, and how grave."""

    likelihood: Likelihood
    severity: Severity

    @property
    def grave(self) -> bool:
        """Whether it is one that somebody has to accept: likelihood and severity are high together."""
        return LIKELIHOODS.index(self.likelihood) + SEVERITIES.index(self.severity) >= 4


class Risk(Strict):
    """One risk of the model: what may happen to whom, what is done about it, and what is left.

    ``gates`` are those whose verdicts show that it is kept down, as POLICY/GATE. ``residual`` is what is left with
    measures in place; where likelihood and severity are high together, ``acceptedBy`` names who accepts that.
    """

    name: Name
    description: Text
    harms: Text
    level: Level
    measures: tuple[Text, ...] = ()
    gates: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")], ...] = ()
    residual: Level | None = None
    owner: Text
    accepted_by: Text | None = None


class DossierSpec(Strict):
    """The spec of a Dossier: it changes no model, so nothing is trained again for it.

    ``annexIv`` are answers to the items of Annex IV of the EU AI Act by their numbers, such as ``1b``; ``answers`` are
    those to the items of other documents, by document and item. An item that does not apply is answered with why it
    does not. An item that nobody answered is a gap, which documents list.
    """

    provider: Text | None = Field(default=None, description="who places the system on the market, with an address")
    annex_iv: dict[str, Text] = {}
    answers: dict[Document, dict[str, Text]] = {}
    risks: tuple[Risk, ...] = ()


def problems(dossier: Resource[DossierSpec], around: Around) -> Iterator[Problem]:
    """Yield answers that nothing asks for, risks that are named twice, and gates that the model does not have."""
    asked_for = {(ANNEX_IV, "Annex IV", "spec.annexIv"): dossier.spec.annex_iv}
    asked_for |= {(kind, kind, f"spec.answers.{kind}"): given for kind, given in dossier.spec.answers.items()}
    for (kind, called, where), given in asked_for.items():
        items = asked_of_people(kind) if given else ()
        for name in given:
            if name not in items:
                hint = nearest(name, items, "items")
                yield at(dossier, f"{where}.{name}", "unknown-item", f"{called} has no item {name!r}", hint)
    names = [risk.name for risk in dossier.spec.risks]
    asked = around.folder.of("Model").get(around.folder.name)
    for index, risk in enumerate(dossier.spec.risks):
        where = f"spec.risks[{index}]"
        if risk.name in names[:index]:
            said = f"two risks are named {risk.name!r}"
            yield at(dossier, f"{where}.name", "duplicate-name", said, "give each its own name")
        for position, gate in enumerate(risk.gates):
            # Of a text that was not valid nothing is known, nor has it a first part.
            for policy in gate.split("/")[:1]:
                if asked is None or policy in asked.spec.gates:
                    continue
                hint = nearest(policy, asked.spec.gates, "policies of the model")
                said = f"{around.folder.name} is not judged by a gate policy {policy!r}"
                yield at(dossier, f"{where}.gates[{position}]", "unknown-gate-policy", said, hint)
