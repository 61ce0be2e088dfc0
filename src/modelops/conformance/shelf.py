"""What plugins of all shelves keep: the names that their Protocol asks for, and strict parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelops import plugins
from modelops.errors import ModelOpsError
from modelops.spec import parameters
from modelops.spec.meta import Strict

__all__ = ["check_module", "params_of", "refuses"]


def check_module(shelf: str, module: Any, params: Mapping[str, object]) -> None:
    """A plugin has what its shelf's Protocol names, and its parameters are documented and strict."""
    absent = plugins.missing(shelf, module)
    assert not absent, f"{module.__name__} lacks {', '.join(absent)}"
    assert issubclass(module.Params, Strict), f"{module.__name__}.Params is not a Strict record (modelops.spec.meta)"
    assert module.Params.__doc__, f"{module.__name__}.Params says in no docstring what the parameters are"
    assert module.Params.model_json_schema()["additionalProperties"] is False, "Params take keys that they do not have"
    assert params_of(module, params) == params_of(module, params), "equal parameters are not equal"
    for key in ("maximun", "alhpa"):
        assert refuses(module, {**params, key: 1}), f"{module.__name__} takes the misspelt parameter {key!r}"


def params_of(module: Any, params: Mapping[str, object]) -> Any:
    """Return parameters validated as those in a file are."""
    return parameters.validate(module.Params, dict(params))


def refuses(module: Any, params: Mapping[str, object]) -> bool:
    """Tell whether parameters are refused."""
    try:
        params_of(module, params)
    except ModelOpsError:
        return True
    return False
