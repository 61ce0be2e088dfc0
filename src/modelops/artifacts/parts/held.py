"""Models of other libraries inside of scikit-learn's estimators: taken out before those are kept, put back when loaded.

What is kept of each is what its runtime keeps. In the tree of estimators stands a dictionary with its number instead,
so that the tree is scikit-learn's alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from modelops import plugins
from modelops.artifacts import package
from modelops.artifacts.package import Artifact
from modelops.artifacts.parts.part import Asked, Kept, Part, Unfitted
from modelops.artifacts.signature import SCIKIT_LEARN, Held
from modelops.errors import failure

__all__ = ["KeptModel", "Model", "keep_model", "load_estimator", "load_model", "parted"]

Model = Any
"""What a runtime loads: an estimator of scikit-learn, or a part."""

_PLACE, _KIND = "modelops part", "modelops template"
_DEEPEST = 40
SHELF = "runtimes"


def keeper(found: Any) -> tuple[str, ModuleType] | None:
    """Return the runtime that keeps an object, with its key; None where no runtime knows it."""
    for key in plugins.keys(SHELF):
        module = plugins.load(SHELF, key)
        if module.owns(found):
            return key, module
    return None


def _walked(
    item: Any, change: Callable[[Any], tuple[bool, Any]], depth: int = 0, seen: dict[int, Any] | None = None
) -> Any:
    """Return an object in which ``change`` replaced what it wants to; it says whether it did, and by what.

    Containers are made anew, estimators keep being themselves.
    """
    seen = {} if seen is None else seen
    if depth > _DEEPEST or isinstance(item, (str, bytes, int, float, type(None))):
        return item
    done, other = change(item)
    if done:
        return other
    if isinstance(item, (list, tuple)) and type(item) in (list, tuple):
        return type(item)([_walked(each, change, depth + 1, seen) for each in item])
    if type(item) is dict:
        return {key: _walked(each, change, depth + 1, seen) for key, each in item.items()}
    if isinstance(item, np.ndarray) and item.dtype == object and item.flags.writeable:
        for place in np.ndindex(item.shape):
            item[place] = _walked(item[place], change, depth + 1, seen)
        return item
    if _holds(item) and id(item) not in seen:
        seen[id(item)] = item
        fields = item if isinstance(item, dict) else vars(item)
        for name, value in list(fields.items()):
            fields[name] = _walked(value, change, depth + 1, seen)
    return item


def _holds(item: Any) -> bool:
    """Tell whether other estimators may be among the attributes of an object."""
    from sklearn.base import BaseEstimator

    return isinstance(item, BaseEstimator) or type(item).__name__ in ("_CalibratedClassifier", "Bunch")


@dataclass(frozen=True, slots=True)
class KeptModel:
    """What is kept of a model: the runtime at its root, its parts, the types of its tree, and files by their path."""

    runtime: str
    types: tuple[str, ...] = ()
    parts: tuple[Held, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


def part_of(key: str, kept: Kept) -> Part:
    """Return the part that is loaded again from what was kept."""
    held = Held(runtime=kept.runtime or key, files=tuple(sorted(kept.files)), facts=dict(kept.facts))
    part: Part = plugins.load(SHELF, held.runtime).load(held, kept.files)
    return part


def keep_declared(declared: Mapping[str, Any], found: Any, asked: Asked) -> KeptModel | None:
    """Return what the runtime of model.yaml keeps where that runs code; None for one whose models are data.

    A model that the runtime does not keep raises ``wrong-runtime``.
    """
    module = plugins.load(SHELF, declared["type"])
    if module.DECLARED:
        kept = module.keep(params_of(module, declared), found, asked)
        held = Held(runtime=declared["type"], files=tuple(sorted(kept.files)), facts=dict(kept.facts))
        return KeptModel(declared["type"], (), (held,), {package.part_path(0, n): d for n, d in kept.files.items()})
    if not module.owns(found):
        raise failure(
            "wrong-runtime",
            f"train returned {type(found).__name__}, which the runtime {declared['type']} does not keep",
            dotted="spec.training.runtime.type",
            hint="leave spec.training.runtime out: it follows from what train returns",
        )
    return None


def params_of(module: ModuleType, declared: Mapping[str, Any]) -> Any:
    """Return the parameters of the runtime that model.yaml names; they were checked with the file."""
    return module.Params.model_validate_json(json.dumps(declared["params"]), by_alias=True, by_name=False)


def parted(estimator: Any, asked: Asked, declared: Mapping[str, Any] | None = None) -> tuple[Model, list[Part]]:
    """Return a model in which every model of another library is the part that will be loaded again, and the parts."""
    parts: list[Part] = []
    # An estimator that stands in two places is one part; what is replaced is kept alive, so that no id is given twice.
    known: dict[int, tuple[Any, Any]] = {}

    def change(item: Any) -> tuple[bool, Any]:
        if id(item) in known:
            return True, known[id(item)][1]
        found = keeper(item)
        if found is None or found[0] == SCIKIT_LEARN:
            return False, item
        key, module = found
        own = declared is not None and declared["type"] == key
        kept = module.keep(params_of(module, declared) if own and declared else module.Params(), item, asked)
        made = Unfitted(_kind(item)) if kept is None else part_of(key, kept)
        if isinstance(made, Part):
            parts.append(made)
        known[id(item)] = item, made
        return True, made

    return _walked(estimator, change), parts


def _kind(item: Any) -> str:
    from sklearn.base import is_classifier

    return "classifier" if hasattr(type(item), "__sklearn_tags__") and is_classifier(item) else "regressor"


def keep_model(model: Model, parts: Sequence[Part], asked: Asked) -> KeptModel:
    """Return what is kept of a model with its parts; it is taken apart for that, and of no use afterwards."""
    held = tuple(part.held for part in parts)
    files = {
        package.part_path(place, name): data for place, part in enumerate(parts) for name, data in part.files.items()
    }
    if isinstance(model, Part):
        return KeptModel(model.held.runtime, (), held, files)
    module = plugins.load(SHELF, SCIKIT_LEARN)
    tree = _without_parts(model, parts) if parts else model
    kept = module.keep(module.Params(), tree, asked)
    return KeptModel(SCIKIT_LEARN, tuple(kept.facts["types"]), held, {package.SKOPS: _only(kept), **files})


def _only(kept: Kept) -> bytes:
    (data,) = kept.files.values()
    return data


def _without_parts(estimator: Any, parts: Sequence[Any]) -> Any:
    """Return a tree of estimators whose parts are replaced by their numbers."""
    places = {id(part): place for place, part in enumerate(parts)}

    def change(item: Any) -> tuple[bool, Any]:
        if id(item) in places:
            return True, {_PLACE: places[id(item)]}
        return isinstance(item, Unfitted), {_KIND: getattr(item, "kind", "")}

    return _walked(estimator, change)


def _restored(estimator: Any, parts: Sequence[Any]) -> Any:
    """Return a tree of estimators with its parts where their numbers stood."""

    def change(item: Any) -> tuple[bool, Any]:
        if type(item) is not dict or len(item) != 1:
            return False, item
        if _KIND in item:
            return True, Unfitted(str(item[_KIND]))
        place = item.get(_PLACE)
        if place is None:
            return False, item
        if not isinstance(place, int) or not 0 <= place < len(parts):
            raise failure("bad-artifact", f"the model names a part {place!r} that is not there")
        return True, parts[place]

    return _walked(estimator, change)


def load_model(
    held: Sequence[Held], files: Callable[[int], Mapping[str, bytes]], skops: bytes | None, types: Sequence[str]
) -> Model:
    """Load a model from what was kept of it: its parts by their runtimes, and the tree of estimators around them."""
    parts = [plugins.load(SHELF, one.runtime).load(one, files(place)) for place, one in enumerate(held)]
    if skops is None:
        if len(parts) != 1:
            raise failure("bad-artifact", f"the model consists of {len(parts)} parts, and nothing holds them together")
        return parts[0]
    tree = Held(runtime=SCIKIT_LEARN, files=("model.skops",), facts={"types": list(types)})
    estimator = plugins.load(SHELF, SCIKIT_LEARN).load(tree, {"model.skops": skops})
    return _restored(estimator, parts) if parts else estimator


def load_estimator(artifact: Artifact) -> Model:
    """Load the model of an artifact with the exact types and runtimes that its signature names."""
    signature = artifact.signature
    tree = artifact.files[package.SKOPS] if signature.runtime == SCIKIT_LEARN else None
    code = package.code_of(artifact.files)

    def files(place: int) -> dict[str, bytes]:
        found = package.files_of(artifact, place)
        return found | {package.CODE + path: data for path, data in code.items()} if code else found

    return load_model(signature.parts, files, tree, signature.trusted_types)
