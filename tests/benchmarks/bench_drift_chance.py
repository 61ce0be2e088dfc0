"""How often each drift score exceeds its critical value without any drift, at the significances that monitors use.

Each score is fitted on a reference and scores windows of the same distribution: smooth, skewed, heavy-tailed, whole
numbers, zeros with a tail, and categories of equal, power-law and rare frequency. A rate above its limit is a fault of
the critical value: three times the significance, or what chance alone seldom gives with so few windows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from scipy import stats

from modelops import plugins, summaries
from modelops.drift import bind
from modelops.spec.meta import Plugin

Draw = Callable[[np.random.Generator, int], np.ndarray]
LEVELS = (0.05, 0.01, 0.001, 0.0002)
SIZES = ((5000, 200), (5000, 500), (1000, 1000), (50_000, 2000))
NAMES = np.array([f"c{index}" for index in range(30)])


def weighted(weights: np.ndarray) -> Draw:
    return lambda rng, n: NAMES[: len(weights)][rng.choice(len(weights), n, p=weights / weights.sum())]


LAWS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "log-normal": lambda rng, n: rng.lognormal(size=n),
    "student 3": lambda rng, n: rng.standard_t(3, size=n),
    "hours": lambda rng, n: rng.integers(0, 24, n).astype(np.float64),
    "half zeros": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, rng.exponential(size=n)),
    "ten missing": lambda rng, n: np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
    "equal words": weighted(np.ones(12)),
    "power-law words": weighted(np.arange(1, 31) ** -1.2),
    "rare word": weighted(np.array([0.995, 0.005])),
}


def rates(key: str, law: str, n: int, m: int, windows: int) -> tuple[list[float], float] | None:
    """Return how often each level is exceeded, and the mean score in units of the stated one."""
    module, rng = bind(Plugin(type=key)).module, np.random.default_rng(1)
    params = module.Params()
    kind = "category" if "word" in law else "number"
    if kind not in module.KINDS:
        return None
    exceeded, ratio = np.zeros(len(LEVELS)), []
    for index in range(windows):
        if index % 10 == 0:
            sketch = module.fit(params, summaries.summarise(pa.chunked_array([pa.array(LAWS[law](rng, n))]), kind))
        window = module.count(sketch, pa.chunked_array([pa.array(LAWS[law](rng, m))]))
        found = [module.score(params, sketch, window, level) for level in LEVELS]
        exceeded += [each.value > each.critical for each in found]
        ratio.append(found[0].value / found[0].expected)
    return (exceeded / windows).tolist(), float(np.mean(ratio))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--score", action="append")
    options = parser.parse_args()
    faults = 0
    print(f"share of {options.windows} windows without drift above the limit; mean is in units of the stated mean")
    print(f"{'score':20}{'law':17}{'rows':>13}" + "".join(f"{level:>9g}" for level in LEVELS) + f"{'mean':>8}")
    for key in options.score or plugins.keys("drift"):
        for law in LAWS:
            for n, m in SIZES:
                found = rates(key, law, n, m, options.windows)
                if found is None:
                    continue
                bounds = [stats.binom.ppf(1 - 1e-4, options.windows, 3 * level) for level in LEVELS[1:]]
                bounds.insert(0, stats.binom.ppf(1 - 1e-4, options.windows, 1.3 * LEVELS[0]))
                above = [rate * options.windows > bound for rate, bound in zip(found[0], bounds, strict=True)]
                faults += any(above)
                cells = "".join(f"{rate:>8.4f}{'!' if bad else ' '}" for rate, bad in zip(found[0], above, strict=True))
                print(f"{key:20}{law:17}{n:>7}/{m:<5}{cells}{found[1]:>8.2f}", flush=True)
    print("within the limits" if not faults else f"{faults} rows OUTSIDE the limits")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
