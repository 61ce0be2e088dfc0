"""What a model's gates leave to chance, all of them and all looks at the same rows together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modelops.releases.verdicts import Policy
from modelops.spec.kinds.gate_policy import Gate

__all__ = ["NO_CHANCE", "Chance", "chance"]

_BOTH_SIDES = frozenset({"fairness", "f1", "macro-f1", "balanced-accuracy"})
"""Gates and metrics whose level is that of both bounds together; of others each bound has half of the error."""


@dataclass(frozen=True, slots=True)
class Chance:
    """Error rates of a set of gates that measure with an interval.

    Of releases that miss a limit at most the share ``passes`` is let by: it has to pass the gate that it misses, so
    that is the largest of the ``strict`` gates, which block what is not shown. A gate that blocks a shown failure alone
    (``lenient``) bounds nothing of the sort. Of releases that meet every limit at most ``fails`` is called a failure by
    some gate: the sum over all. Both hold for one look at the test rows. ``looks`` is how many builds were measured on
    rows of the same snapshot, as far as is known: of so many that miss a limit one is let by with at most ``best``.
    """

    strict: int
    lenient: int
    passes: float
    fails: float
    looks: int = 1

    @property
    def best(self) -> float:
        """The bound on a false pass of any of the looks (Bonferroni)."""
        return min(1.0, self.passes * self.looks)


NO_CHANCE = Chance(0, 0, 0.0, 0.0)
"""That of no gate."""


def chance(policies: Iterable[Policy], looks: int = 1) -> Chance:
    """Return what policies leave to chance; a gate that never blocks on a failure decides nothing, and is not counted.

    Gates of one policy and of all count alike: a release has to pass each.
    """
    passes, fails, strict, lenient = 0.0, 0.0, 0, 0
    for gate, params in ((gate, bound.params) for policy in policies for gate, bound in policy.gates):
        level, significance = getattr(params, "level", None), getattr(params, "significance", None)
        if "fail" not in gate.block or (level is None and significance is None):
            continue
        both = gate.type in _BOTH_SIDES or getattr(params, "metric", "") in _BOTH_SIDES
        side = significance if level is None else (1 - level) / (1 if both else 2)
        assert side is not None
        fails += side
        if level is not None and _shows(gate):
            strict, passes = strict + 1, max(passes, side)
        else:
            lenient += 1
    return Chance(strict, lenient, passes, min(1.0, fails), max(1, looks))


def _shows(gate: Gate) -> bool:
    return {"fail", "inconclusive", "no-data"} <= set(gate.block)
