"""Rules over resources: each rule of ``policies/rules`` held against every document that it matches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal

from modelops.errors import ModelOpsError, Problem
from modelops.spec.explain import nearest, show
from modelops.spec.kinds import KINDS, AnyResource, Resource
from modelops.spec.meta import API_VERSION
from modelops.spec.policy import RuleSpec
from modelops.spec.references import at
from modelops.spec.rules import compile_error, evaluate

Severity = Literal["error", "warning"]


def effective(resource: AnyResource) -> dict[str, Any]:
    """Return the document that a rule sees: as written, with the defaults of its kind filled in."""
    return {
        "apiVersion": API_VERSION,
        "kind": resource.kind,
        "metadata": {"name": resource.metadata.name, "annotations": dict(resource.metadata.annotations)},
        "spec": resource.spec.model_dump(by_alias=True),
    }


class Judge:
    """The usable rules of a repository; ``used`` are the names of those that matched something so far."""

    def __init__(self, rules: Iterable[Resource[RuleSpec]]) -> None:
        self.problems: list[Problem] = []
        self.used: set[str] = set()
        self._rules = list(rules)
        self._by_kind: dict[str, list[Resource[RuleSpec]]] = {}
        for rule in self._rules:
            problem = _unusable(rule)
            if problem is None:
                self._by_kind.setdefault(rule.spec.match.kind, []).append(rule)
            else:
                self.problems.append(problem)
                self.used.add(rule.name)

    def judge(self, resources: Iterable[AnyResource], risks: Mapping[str, str]) -> Iterator[tuple[Severity, Problem]]:
        """Yield (severity, problem) of every rule that does not hold; ``risks`` are the tiers of models by name."""
        for resource in resources:
            rules = self._by_kind.get(resource.kind)
            if not rules:
                continue
            document: dict[str, Any] | None = None
            for rule in rules:
                risk = rule.spec.match.risk
                if risk and (resource.model is None or risks.get(resource.model) not in risk):
                    continue
                self.used.add(rule.name)
                document = document or effective(resource)
                problem = _verdict(rule, resource, document)
                if problem is not None:
                    yield rule.spec.severity if problem.code == "rule-failed" else "error", problem

    def assume(self, kinds: Collection[str]) -> None:
        """Take rules for used that may match a file which is not valid: one of these kinds, or of a model's risk."""
        for rule in self._rules:
            if rule.spec.match.kind in kinds or ("Model" in kinds and rule.spec.match.risk):
                self.used.add(rule.name)

    def unused(self) -> Iterator[Problem]:
        """Yield a warning for each rule that matched nothing."""
        for rule in self._rules:
            if rule.name not in self.used:
                said = f"the rule {rule.name!r} matched nothing"
                yield at(rule, "spec.match", "unused-rule", said, "a rule that sees nothing protects nothing")


def _unusable(rule: Resource[RuleSpec]) -> Problem | None:
    kind = rule.spec.match.kind
    if kind not in KINDS:
        return at(rule, "spec.match.kind", "unknown-kind", f"there is no kind {show(kind)}", nearest(kind, KINDS))
    said = compile_error(rule.spec.expression)
    hint = "see the language at https://cel.dev"
    return at(rule, "spec.expression", "bad-expression", f"not valid CEL: {said}", hint) if said else None


def _verdict(rule: Resource[RuleSpec], resource: AnyResource, document: dict[str, Any]) -> Problem | None:
    try:
        holds = evaluate(rule.spec.expression, document)
    except ModelOpsError as error:
        told = error.problems[0]
        return at(rule, "spec.expression", told.code, f"{told.message}; seen in {resource.path}", told.hint)
    if holds:
        return None
    hint = f"the rule is {rule.path}: {' '.join(rule.spec.expression.split())}"
    return at(resource, "spec", "rule-failed", rule.spec.message, hint)
