"""Which source the findings of a window come from, where all features of one source changed together.

A window without any change has a level in at most its significance, however many features there are, so a source is
named in vain no more often than that. Where features changed, a source is named if each of its features did, and fewer
than half of the others: what changes everywhere has a cause of another kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelops.monitoring.report import FeatureReport
from modelops.monitoring.upstream.suspect import Suspect
from modelops.spec.kinds.data_source import DataSourceSpec, above
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.resource import Resource

__all__ = ["suspects"]

TOGETHER = 2
"""So many features of a source have to change together, or one that is missing in most rows."""
MOSTLY = 0.5


def suspects(
    model: ModelSpec, sources: Mapping[str, Resource[DataSourceSpec]], features: Sequence[FeatureReport]
) -> tuple[Suspect, ...]:
    """Return the sources that explain what was found, those that explain most first; none explains what another does.

    A source has the features that name it and those of the sources that are made from it, so that what lies furthest
    up is named where everything below it changed.
    """
    own = {each.name: each.source for each in model.data.features if each.source in sources}
    found = {each.name: each for each in features}
    changed = {name for name, each in found.items() if _changed(each)}
    candidates: list[tuple[int, int, str, frozenset[str]]] = []
    for name in sources:
        mine = frozenset(
            feature for feature, source in own.items() if source == name or name in above(str(source), sources)
        )
        others = set(found) - mine
        if not mine or not mine <= changed or 2 * len(others & changed) >= max(1, len(others)):
            continue
        if len(mine) >= TOGETHER or all(found[each].missing.value > MOSTLY for each in mine):
            # Of two sources with the same features the one is named that the features name themselves.
            candidates.append((-len(mine), len(above(name, sources)) * -1, name, mine))
    named: list[Suspect] = []
    explained: set[str] = set()
    for _, _, name, mine in sorted(candidates):
        if not mine <= explained:
            explained |= mine
            spec = sources[name].spec
            listed = tuple(each.name for each in features if each.name in mine)
            gone = tuple(each for each in listed if found[each].missing.raised)
            named.append(Suspect(name, spec.owner, spec.contact, listed, gone))
    return tuple(named)


def _changed(feature: FeatureReport) -> bool:
    rates = (feature.missing, feature.unseen, feature.out_of_range)
    return feature.level in ("warn", "alert") or any(rate is not None and rate.raised for rate in rates)
