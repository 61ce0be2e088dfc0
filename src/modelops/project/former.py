"""A change held against the rules that were there before it, so that it cannot loosen what judges it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from modelops.errors import Problem
from modelops.repository import Repository
from modelops.spec.judging import Severity, judge_by_former
from modelops.spec.kinds import place
from modelops.spec.layout import MODEL, RULE

__all__ = ["broken_rules"]

_FEW = 8
_RULES = RULE.path(None, "x").rpartition("/")[0] + "/"


def broken_rules(
    repository: Repository,
    base: str,
    touched: Collection[str],
    read: Callable[[Collection[str]], Mapping[str, bytes]],
) -> Iterator[tuple[Severity, Problem]]:
    """Yield what the touched files break of the rules of ``base``; ``read`` returns those of some files that are there.

    Where neither a rule nor a model's own file is touched, the rules of the change are those of the base.
    """
    if not any(path.startswith(_RULES) or MODEL.parse(path) is not None for path in touched):
        return
    models = {MODEL.path(found[1]) for path in touched if (found := place(path)) and found[1]}
    wanted = {path for path in touched if place(path) is not None}
    rules = repository.paths(base, _RULES)
    # The listing of everything is spared where a few are asked for.
    before = {path for path in models if path in repository.paths(base, path if len(models) <= _FEW else "")}
    held = repository.read_many(base, {*rules, *before})
    then = {path: held[path] for path in before}
    yield from judge_by_former({path: held[path] for path in rules}, read(wanted | models), then, wanted)
