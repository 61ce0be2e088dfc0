"""What models declare of their labels (D0), and how many answers have to be reviewed to prove what they claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from modelops.spec.graph import Graph
from modelops.spec.kinds.data_snapshot import RARER
from modelops.spec.kinds.model import Claim, Labels, ModelSpec, fed_by
from modelops.spec.tree import ModelEntry
from modelops.statistics.selection import positives_expected_in, reviews_needed

__all__ = ["Declared", "Reviews", "declared_labels"]

_WINDOW_DAYS = 30.0


@dataclass(frozen=True, slots=True)
class Reviews:
    """How many answers have to be reviewed in a window of ``days``, and are at the declared share.

    ``needed`` is None where no number would be enough, ``drawn`` where `rollout.yaml` says no traffic.
    ``claim`` is None where nothing is claimed; then ``needed`` holds ten positives. ``base_rate`` is the share of
    positives.
    """

    claim: Claim | None
    base_rate: float
    days: float
    needed: int | None
    answers: float | None
    drawn: float | None

    @property
    def enough(self) -> bool | None:
        """Whether the declared share is enough, None where that is not known."""
        if self.needed is None:
            return False
        return None if self.drawn is None else self.drawn >= self.needed

    @property
    def share(self) -> float | None:
        """The share of the answers that would be enough; above 1 where there are too few answers."""
        return None if self.needed is None or not self.answers else self.needed / self.answers


@dataclass(frozen=True, slots=True)
class Declared:
    """Where the labels of a model come from; ``fed`` says how decisions choose them, "" where they do not.

    ``unweighted`` says that it is retrained on reviewed rows as if they were not chosen by chance.
    """

    model: str
    labels: Labels
    fed: str
    reviews: Reviews | None
    unweighted: bool = False

    @property
    def loop(self) -> bool:
        """Whether the model is fed by decisions, and nothing is explored: what it misses is never seen."""
        return bool(self.fed) and self.labels.exploration is None


def declared_labels(graph: Graph, models: Iterable[str]) -> tuple[Declared, ...]:
    """Return what those models declare of their labels that declare something."""
    sources = graph.policies.get("DataSource", {})
    found = []
    for name in sorted(set(models)):
        entry = graph.models.get(name)
        labels = entry.model.spec.data.labels if entry is not None else None
        if entry is not None and labels is not None:
            fed, explored = fed_by(entry.model, sources), labels.exploration is not None
            retrained = entry.monitor is not None and entry.monitor.spec.retraining is not None
            unweighted = bool(fed) and explored and retrained and entry.model.spec.data.weight is None
            found.append(Declared(name, labels, fed, _reviews(entry, labels), unweighted))
    return tuple(found)


def _reviews(entry: ModelEntry, labels: Labels) -> Reviews | None:
    """Return what the exploration needs; of models with other answers than yes and no that is not known."""
    spec: ModelSpec = entry.model.spec
    explored = labels.exploration
    if explored is None or spec.task != "binary-classification":
        return None
    claim = explored.claim
    rate = claim.base_rate if claim is not None and claim.base_rate is not None else _positives(entry)
    if rate is None or not 0 < rate < 1:
        return None
    days = entry.monitor.spec.window_days if entry.monitor is not None else _WINDOW_DAYS
    if claim is None:
        needed: int | None = positives_expected_in(rate)
    else:
        needed = reviews_needed(rate, claim.expected, claim.recall, claim.power, claim.level)
    expect = entry.rollout.spec.expect if entry.rollout is not None else None
    hours = timedelta(days=days) / timedelta(hours=1)
    answers = expect.requests_per_hour * hours if expect is not None else None
    return Reviews(claim, rate, days, needed, answers, None if answers is None else answers * explored.share)


def _positives(entry: ModelEntry) -> float | None:
    """Return the share of positives in the snapshot, None where it does not say."""
    data = entry.model.spec.data
    snapshot = entry.snapshots.get(data.snapshot)
    balance: Mapping[str, int] = snapshot.spec.balance if snapshot is not None else {}
    spelt = {"true", "1"} if data.positive is None else {str(data.positive).lower()}
    spelt |= {"true", "1"} if spelt & {"true", "1"} else set()
    counts = [count for label, count in balance.items() if label.lower() in spelt]
    return counts[0] / sum(balance.values()) if counts and RARER not in balance else None
