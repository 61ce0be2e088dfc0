"""The runtime `python`: a function of the model's own code, run behind the fence; only where model.yaml names it.

What it takes: whatever `train` returns that is plain data: numbers, texts, truth values, lists, dictionaries with texts
as keys, and arrays of numpy. That is the state. The code itself comes from git, at the revision of the build: the same
file also has `predict(state, features)`, which is given the state and a frame of pandas, and returns values, the
probability of the positive class, or a column of probabilities for each label in their sorted order. Nothing is
pickled. The function runs in a process of its own without network, secrets or files of others; one that takes longer
than `seconds` for a call is ended and begun again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from modelops.artifacts.package import CODE
from modelops.artifacts.parts.part import Asked, ClassifierPart, Kept, Part
from modelops.artifacts.signature import Held
from modelops.runtimes._checks import Array, bad, loading
from modelops.runtimes._function import Function
from modelops.runtimes._state import FILE, dump_state, state_of
from modelops.spec.meta import Strict

DECLARED = True


class Params(Strict):
    """`predict` names the function, `seconds` is how long one call may take, `memoryMib` what it may allocate."""

    predict: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "predict"
    seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    memory_mib: Annotated[int, Field(ge=64)] = 2048


def owns(found: Any) -> bool:
    """Tell that nothing is a model of this runtime by itself."""
    return False


def keep(params: Params, found: Any, asked: Asked) -> Kept:
    """Return the state as JSON."""
    facts = {
        "entrypoint": asked.entrypoint,
        "predict": params.predict,
        "seconds": params.seconds,
        "memory": params.memory_mib,
        "classes": 0 if asked.task == "regression" else max(2, len(asked.classes)),
    }
    return Kept({FILE: dump_state(found)}, facts)


def load(held: Held, files: Mapping[str, bytes]) -> Part:
    """Start the function behind the fence."""
    with loading("the state of a function"):
        state_of(files[FILE])
        classes = int(held.facts["classes"])
    code = {path.removeprefix(CODE): data for path, data in files.items() if path.startswith(CODE)}
    own = {name: data for name, data in files.items() if not name.startswith(CODE)}
    if held.facts["entrypoint"] not in code:
        raise bad(f"it has no code {held.facts['entrypoint']!r}")
    function = Function(code, files[FILE], held.facts)

    def scores(rows: Any) -> Array:
        found = function({str(name): rows[name].to_numpy() for name in rows.columns}, len(rows))
        if found.shape not in (
            {(len(rows),), (len(rows), 1), (len(rows), 2)} if classes <= 2 else {(len(rows), classes)}
        ):
            raise bad(f"{held.facts['predict']} answers an array of shape {found.shape} for {len(rows)} rows")
        return found if classes > 2 else found.reshape(len(rows), -1)[:, -1]

    if not classes:
        return Part(held, own, scores, apart=True)
    return ClassifierPart(held, own, scores, apart=True, classes=list(range(classes)))
