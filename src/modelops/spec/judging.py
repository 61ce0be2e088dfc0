"""Rules over resources: each rule of ``policies/rules`` held against every document that it matches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from modelops.errors import ModelOpsError, Problem
from modelops.spec.around import collect
from modelops.spec.explain import nearest, show
from modelops.spec.kinds import KINDS, PLACES, AnyResource, Resource
from modelops.spec.kinds.rule import RuleSpec
from modelops.spec.layout import RULE
from modelops.spec.load import load_all
from modelops.spec.meta import API_VERSION
from modelops.spec.resource import at
from modelops.spec.rules import always_true, compile_error, evaluate

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
            document: dict[str, Any] | None = None
            for rule in self._rules_for(resource, risks):
                self.used.add(rule.name)
                document = document or effective(resource)
                problem = _verdict(rule, resource, document)
                if problem is not None:
                    yield rule.spec.severity if problem.code == "rule-failed" else "error", problem

    def matching(self, resources: Iterable[AnyResource], risks: Mapping[str, str]) -> frozenset[str]:
        """Return the names of the rules that see some of the resources."""
        return frozenset(rule.name for resource in resources for rule in self._rules_for(resource, risks))

    def _rules_for(self, resource: AnyResource, risks: Mapping[str, str]) -> Iterator[Resource[RuleSpec]]:
        for rule in self._by_kind.get(resource.kind, ()):
            risk = rule.spec.match.risk
            if not risk or (resource.model is not None and risks.get(resource.model) in risk):
                yield rule

    def assume(self, kinds: Collection[str]) -> None:
        """Take rules for used that may match a file which is not valid: one of these kinds, or of a model's risk."""
        for rule in self._rules:
            if rule.spec.match.kind in kinds or ("Model" in kinds and rule.spec.match.risk):
                self.used.add(rule.name)

    def constant(self) -> Iterator[Problem]:
        """Yield a warning for each rule that holds whatever it sees."""
        for rules in self._by_kind.values():
            for rule in rules:
                if always_true(rule.spec.expression):
                    said = f"the rule {rule.name!r} is true whatever it sees, so it protects nothing"
                    yield at(rule, "spec.expression", "vacuous-rule", said, "say what must hold of `resource`")

    def unused(self) -> Iterator[Problem]:
        """Yield a warning for each rule that can match nothing; to wait for a first file or model is no fault."""
        for rule in self._rules:
            kind = rule.spec.match.kind
            if rule.name not in self.used and rule.spec.match.risk and "{model}" not in PLACES[kind].template:
                said = f"the rule {rule.name!r} can match nothing: only files of models have a risk, and {kind} is none"
                hint = "leave out `risk`: a rule that sees nothing protects nothing"
                yield at(rule, "spec.match", "unused-rule", said, hint)


def rule_of(problem: Problem) -> str | None:
    """Return the rule that a problem says does not hold, None where it is about something else."""
    path = (problem.hint or "").removeprefix(_NAMED).partition(":")[0] if problem.code == "rule-failed" else ""
    found = RULE.parse(path)
    return found[1] if found is not None else None


_NAMED = "the rule is "


def judge_by_former(
    rules: Mapping[str, bytes], now: Mapping[str, bytes], then: Mapping[str, bytes], touched: Collection[str]
) -> Iterator[tuple[Severity, Problem]]:
    """Yield what the files of a change break of the rules that were there before it.

    ``rules`` are the files of those rules. ``now`` holds the touched files and the models they belong to, ``then``
    these models before: a change can neither drop or loosen a rule that it breaks, nor lower the risk that the rule
    asks for. A rule that could not be judged by before judges nothing.
    """
    judge = Judge(rule for rule in load_all(rules).resources.values() if rule.kind == "Rule")
    after, before = (collect(load_all(files).resources.values()) for files in (now, then))
    resources = [one for path, one in load_all(now).resources.items() if path in touched]
    told: set[Problem] = set()
    for risks in (after.risks(), after.risks() | before.risks()):
        for severity, problem in judge.judge(resources, risks):
            if problem.code == "rule-failed" and problem not in told:
                told.add(problem)
                yield severity, replace(problem, hint=f"{problem.hint}, which judges this change as it was before it")


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
        told = error.first
        return at(rule, "spec.expression", told.code, f"{told.message}; seen in {resource.path}", told.hint)
    if holds:
        return None
    hint = f"{_NAMED}{rule.path}: {' '.join(rule.spec.expression.split())}"
    return at(resource, "spec", "rule-failed", rule.spec.message, hint)
