"""Parameters of plugins: checked by the plugin's own ``Params``, complained about at their own lines."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from modelops import plugins
from modelops.errors import ModelOpsError, Problem
from modelops.spec.document import Document
from modelops.spec.explain import explain
from modelops.spec.kinds import AnyResource
from modelops.spec.meta import Plugin, Strict
from modelops.spec.policy import Gate


def plugin_params(shelf: str, plugin: Plugin | Gate, resource: AnyResource, dotted: str) -> Any:
    """Return the validated ``Params`` of the plugin that ``resource`` names at ``dotted``.

    An unknown type and every wrong parameter raise one error with the location of each.
    """
    try:
        module = plugins.load(shelf, plugin.type)
    except ModelOpsError as error:
        where = resource.where(f"{dotted}.type")
        raise ModelOpsError(
            *(Problem(told.code, told.message, where, f"{dotted}.type", told.hint) for told in error.problems)
        ) from None
    params: type[Strict] = module.Params
    try:
        # As JSON, so that a list in YAML may be a tuple or a list in Params.
        return params.model_validate_json(json.dumps(plugin.params), by_alias=True, by_name=False)
    except ValidationError as error:
        prefix = f"{dotted}.params"
        marks = {path: resource.where(path) for path in resource.marks if path.startswith(dotted)}
        marks.setdefault(prefix, resource.where(prefix))
        document = Document(resource.path, {}, marks, dict(resource.marks))
        raise ModelOpsError(*explain(error, params, plugin.params, document, prefix)) from None
