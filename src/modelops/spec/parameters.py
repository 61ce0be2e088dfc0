"""Parameters of plugins: checked by the plugin's own ``Params``, complained about at their lines, warned of if idle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from modelops import plugins
from modelops.errors import Exit, ModelOpsError, Problem
from modelops.plugins import Bound
from modelops.spec.explain import explain
from modelops.spec.kinds import AnyResource
from modelops.spec.kinds.gate_policy import Gate
from modelops.spec.meta import Plugin, Strict
from modelops.spec.resource import at
from modelops.spec.yaml.document import Document

__all__ = ["Vacuous", "bind", "loses_log", "policy_warnings", "usage", "vacuous", "validate"]


def bind(shelf: str, plugin: Plugin | Gate, resource: AnyResource | None = None, dotted: str = "") -> Bound[Any]:
    """Return a plugin of a shelf with its parameters, validated the one way that there is.

    ``resource`` is the file that names it at ``dotted``. An unknown type and every wrong parameter raise one error
    with the location of each; without a file they have none. Callers use the ``bind`` of the shelf, which is typed.
    """
    try:
        module = plugins.load(shelf, plugin.type)
    except ModelOpsError as error:
        path = f"{_as_written(resource, dotted)}.type".lstrip(".")
        where = resource.where(path) if resource is not None else None
        raise ModelOpsError(
            *(Problem(told.code, told.message, where, path, told.hint) for told in error.problems)
        ) from None
    try:
        return _bound(shelf, plugin.type, json.dumps(plugin.params))
    except ValidationError as error:
        raise _explained(error, module.Params, plugin.params, resource, _as_written(resource, dotted)) from None


def _as_written(resource: AnyResource | None, dotted: str) -> str:
    """Return where the only one of a list stands: in the place of the list, where a file may leave the list out."""
    alone = dotted.removesuffix("[0]")
    return dotted if resource is None or dotted in resource.marks else alone


def validate(params: type[Strict], given: Mapping[str, object]) -> Any:
    """Return parameters of a plugin that no file names, validated as those of one that is named."""
    try:
        return _read(params, json.dumps(given))
    except ValidationError as error:
        raise _explained(error, params, given, None, "") from None


def _read(params: type[Strict], text: str) -> Any:
    # As JSON, so that a list in YAML may be a tuple or a list in Params, and an integer is still no text.
    return params.model_validate_json(text, by_alias=True, by_name=False)


@lru_cache(maxsize=4096)
def _bound(shelf: str, key: str, params: str) -> Bound[Any]:
    """Validate a set of parameters once: most models share a handful of them, and who judges uses what was checked."""
    module = plugins.load(shelf, key)
    return Bound(key, module, _read(module.Params, params))


def _explained(
    error: ValidationError,
    params: type[Strict],
    given: Mapping[str, object],
    resource: AnyResource | None,
    dotted: str,
) -> ModelOpsError:
    """Return what is wrong with parameters, each at its line in the file that names the plugin."""
    prefix = f"{dotted}.params".lstrip(".")
    if resource is None:
        told = explain(error, params, given, Document("", {}, {}, {}), prefix)
        return ModelOpsError(*(replace(problem, location=None) for problem in told))
    marks = {path: resource.where(path) for path in resource.marks if path.startswith(dotted)}
    marks.setdefault(prefix, resource.where(prefix))
    document = Document(resource.path, {}, marks, dict(resource.marks))
    return ModelOpsError(*explain(error, params, given, document, prefix))


def usage(error: ModelOpsError, code: str, hint: str) -> ModelOpsError:
    """Return what is wrong with parameters that were given as options, not in a file."""
    told = (
        replace(problem, code=code, message=f"{path}: {problem.message}", dotted=None, hint=problem.hint or hint)
        for problem in error.problems
        for path in ((problem.dotted or "").removeprefix("params").lstrip(".") or "params",)
    )
    return ModelOpsError(*told, exit=Exit.USAGE)


@dataclass(frozen=True, slots=True)
class Vacuous:
    """Why a gate holds nothing up: ``dotted`` is the key below the gate, ``why`` a clause about it."""

    dotted: str
    why: str
    hint: str


def vacuous(gate: Gate, bound: Bound[Any]) -> Iterator[Vacuous]:
    """Yield why a gate holds nothing up; a gate's file may tell by ``vacuous(params)`` of limits that never decide.

    That yields (key of a parameter, clause) for each limit that every value meets, or none.
    """
    if not gate.block:
        yield Vacuous("block", "it informs only: no verdict of it blocks", _SPEAKS)
    elif "fail" not in gate.block:
        yield Vacuous(
            "block", f"it blocks on {' and '.join(gate.block)} and lets a fail through", "add fail to `block`"
        )
    tell = getattr(bound.module, "vacuous", None)
    for key, why in tell(bound.params) if tell is not None else ():
        yield Vacuous(f"params.{key}" if key else "params", why, f"set another {key or 'limit'}, or remove the gate")


_SPEAKS = "name the verdicts that block, say `advice: true` where it is meant to inform, or remove the gate"


def loses_log(target: Plugin) -> bool:
    """Tell whether the log of a target goes with who writes it; a target's file may tell by ``keeps_log(params)``."""
    try:
        bound = bind("targets", target)
    except ModelOpsError:
        # What is wrong with its parameters is told in the file of the environment.
        return False
    tell = getattr(bound.module, "keeps_log", None)
    return tell is not None and not tell(bound.params)


def policy_warnings(policy: AnyResource) -> Iterator[Problem]:
    """Yield a warning for each gate of a policy that holds nothing up, and one where none of them does."""
    gates = policy.spec.gates
    for index, gate in enumerate(gates):
        where = f"spec.gates[{index}]"
        try:
            bound = bind("gates", gate, policy, where)
        except ModelOpsError:
            # What is wrong with its parameters is told as an error.
            continue
        for one in vacuous(gate, bound):
            if gate.advice and not gate.block:
                continue
            said = f"the gate {gate.name!r} protects nothing: {one.why}"
            yield at(policy, f"{where}.{one.dotted}", "vacuous-gate", said, one.hint)
    if not any(gate.block for gate in gates):
        said = f"no gate of the policy {policy.name!r} blocks anything, so it lets every model through"
        hint = "name the verdicts of some gate that block, or take the policy out of the models that name it"
        yield at(policy, "spec.gates", "vacuous-policy", said, hint)
