"""Which source some features come from that changed for one cause."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from modelops.monitoring.upstream.suspect import Suspect
from modelops.spec.kinds.data_source import DataSourceSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.resource import Resource

__all__ = ["origin"]


def origin(
    names: Collection[str],
    model: ModelSpec,
    sources: Mapping[str, Resource[DataSourceSpec]],
    suspects: Sequence[Suspect],
) -> str:
    """Name the source that some features all come from, and whom to ask; "" where that is no single known one.

    A source that is the likely cause, as all of its features changed, goes before the one that the features name: it
    may lie further up.
    """
    for one in suspects:
        if set(names) <= set(one.features):
            return _said(one.name, one.owner, one.contact)
    named = {each.source for each in model.data.features if each.name in names}
    only = next(iter(named)) if len(named) == 1 else None
    if only is None or only not in sources:
        return ""
    spec = sources[only].spec
    return _said(only, spec.owner, spec.contact)


def _said(name: str, owner: str, contact: str) -> str:
    return f"the data source {name} (ask {owner}, {contact})"
