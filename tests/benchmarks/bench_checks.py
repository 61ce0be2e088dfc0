"""Checks with no other simulator: the value of untried splits, the split of entities, copies of the answer and of rows.

Run as ``python tests/benchmarks/bench_checks.py [--runs N] [--seed S] [off-policy] [split] [copies] [repeats]``. Each
row has what is stated, the count, and the share with Wilson's 95 % interval. A row is a fault if the chance of such a
count is below 1 in 1,000 where the stated share holds. Exit status 1 where one is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from modelops.statistics.determination import determining
from modelops.statistics.intervals import wilson
from modelops.statistics.off_policy import Log, doubly_robust, ips, snips
from modelops.statistics.repeats import by_chance
from modelops.statistics.sequential import log_split_evalue

Generator = np.random.Generator


@dataclass(frozen=True)
class Row:
    """What is counted, how often it may happen (None: for scale) or, ``least``, has to, and how often it did."""

    what: str
    nominal: float | None
    count: int
    runs: int
    least: bool = False

    @property
    def wrong(self) -> bool:
        if self.nominal is None:
            return False
        if self.least:
            return bool(stats.binom.cdf(self.count, self.runs, self.nominal) < 1e-3)
        return bool(stats.binom.sf(self.count - 1, self.runs, self.nominal) < 1e-3)


def off_policy(runs: int, seed: int) -> Iterator[Row]:
    """How often the interval of an untried split misses its value, by fixed and by adaptive propensities.

    Two arms, of which that in question answers with a chance of 2 to 50 %. Adaptive: epochs of 80 answers, of which
    the arm that looks better gets all but 5 %; the answers of an epoch depend on those before, and no theory of
    independent answers holds.
    """
    ways: dict[str, Callable[[Log, np.ndarray, np.ndarray], tuple[float, float]]] = {
        "IPS": lambda log, policy, _: ends(ips(log, policy)),
        "SNIPS": lambda log, policy, _: ends(snips(log, policy)),
        "doubly robust": lambda log, policy, predicted: ends(doubly_robust(log, policy, predicted)),
    }
    for n, law, chance in (
        (2000, "20 % earn 1", 0.1), (300, "20 % earn 1", 0.1), (100, "20 % earn 1", 0.1), (2000, "2 % earn 1", 0.1),
        (300, "2 % earn 1", 0.1), (2000, "20 % earn 1", 0.02), (200, "20 % earn 1", 0.5), (2000, "log-normal 1", 0.1),
        (300, "log-normal 1", 0.1), (480, "adaptive", 0.0), (2000, "adaptive", 0.0),
    ):  # fmt: skip
        missed, drawn = dict.fromkeys(ways, 0), 0
        for run in range(runs):
            generator = np.random.default_rng([seed, 1, run, n])
            log, policy, means = logged(generator, n, law, chance)
            # An arm that never answered has no value that could be estimated.
            if not policy[log.arms].any():
                continue
            drawn += 1
            for name, way in ways.items():
                lower, upper = way(log, policy, 0.8 * means)
                missed[name] += not lower <= float(policy @ means) <= upper
        for name, count in missed.items():
            said = (
                "propensities that follow the answers (stated: not kept)"
                if law == "adaptive"
                else f"{chance:.0%}, {law}"
            )
            yield Row(f"{name}, {n} answers, {said}: missed", None if law == "adaptive" else 0.05, count, drawn)


def logged(generator: Generator, n: int, law: str, chance: float) -> tuple[Log, np.ndarray, np.ndarray]:
    """Return a log of two arms, the policy that is asked for, and what each arm earns on average."""
    if law == "adaptive":
        return adaptively(generator, np.array([0.1, 0.2]), n), np.array([0.5, 0.5]), np.array([0.1, 0.2])
    arms = (generator.random(n) < chance).astype(np.intp)
    if law == "log-normal 1":
        means = np.array([1.0, 1.2]) * np.exp(0.5)
        rewards = generator.lognormal(0, 1, n) * np.array([1.0, 1.2])[arms]
    else:
        means = np.array([0.5, 1.0]) * float(law.partition(" ")[0]) / 100
        rewards = (generator.random(n) < means[arms]).astype(float)
    return Log(arms, np.array([1 - chance, chance])[arms], rewards), np.array([0.0, 1.0]), means


def ends(found: object) -> tuple[float, float]:
    return found.lower, found.upper  # type: ignore[attr-defined]


def adaptively(generator: Generator, truths: np.ndarray, n: int) -> Log:
    arms, propensities, rewards = np.empty(0, np.intp), np.empty(0), np.empty(0)
    while len(arms) < n:
        means = [rewards[arms == arm].mean() if (arms == arm).any() else 0.5 for arm in (0, 1)]
        chances = np.full(2, 0.5) if means[0] == means[1] else np.where(np.arange(2) == np.argmax(means), 0.95, 0.05)
        drawn = (generator.random(80) < chances[1]).astype(np.intp)
        arms, propensities = np.append(arms, drawn), np.append(propensities, chances[drawn])
        rewards = np.append(rewards, (generator.random(80) < truths[drawn]).astype(float))
    return Log(arms, propensities, rewards)


def split(runs: int, seed: int) -> Iterator[Row]:
    """How often an honest split of the entities is called uneven at one of 100 looks, and how often a lost tenth is."""
    limit = np.log(1000)
    for weight, lost, nominal in ((0.5, 0.0, 0.001), (0.1, 0.0, 0.001), (0.5, 0.1, None)):
        generator, count = np.random.default_rng([seed, 2, int(100 * weight), int(100 * lost)]), 0
        for _ in range(runs):
            one = generator.binomial(100, weight, 100)
            other = 100 - one
            kept = generator.binomial(one, 1 - lost)
            sums = np.cumsum([other, kept], axis=1).T
            count += any(log_split_evalue(pair.tolist(), [1 - weight, weight]) >= limit for pair in sums)
        what = f"split {1 - weight:.0%}/{weight:.0%}, 100 looks over 10,000 entities"
        yield Row(f"{what}, {'a tenth of one arm lost: seen' if lost else 'ever called uneven'}", nominal, count, runs)


def labels_of(generator: Generator, n: int, share: float) -> np.ndarray:
    return generator.permutation((np.arange(n) < n * share).astype(float))


def flipped(generator: Generator, y: np.ndarray) -> np.ndarray:
    rows = generator.choice(len(y), max(2, len(y) // 50), replace=False)
    return np.where(np.isin(np.arange(len(y)), rows), 1 - y, y)


COPIES: dict[str, Callable[[Generator, np.ndarray], np.ndarray]] = {
    "the label": lambda g, y: y,
    "1 - the label": lambda g, y: 1 - y,
    "the label in words": lambda g, y: np.where(y == 1, "paid", "open").astype(object),
    "an amount where the label is 1": lambda g, y: np.where(y == 1, g.uniform(10, 90, len(y)), 0.0),
}
HONEST: dict[str, Callable[[Generator, np.ndarray], np.ndarray]] = {
    "noise": lambda g, y: g.normal(size=len(y)),
    "a strong number, AUC 0.98": lambda g, y: g.normal(size=len(y)) + 2.9 * y,
    "an id": lambda g, y: g.permutation(len(y)).astype(float),
    "the label but for 2 % of the rows, 2 at least": lambda g, y: flipped(g, y).astype(int).astype(str).astype(object),
    "a category of 200 values": lambda g, y: np.array([f"c{k}" for k in g.integers(0, 200, len(y))], object),
}  # fmt: skip


def copies(runs: int, seed: int) -> Iterator[Row]:
    """How often a copy of the answer is found, and an honest column called one, among ten columns of noise."""
    for found, laws in ((True, COPIES), (False, HONEST)):
        for name, law in laws.items():
            for n, share in ((60, 0.5), (200, 0.5), (500, 0.12), (2000, 0.03)):
                count = 0
                for run in range(runs):
                    generator = np.random.default_rng([seed, 3, run, n])
                    y = labels_of(generator, n, share)
                    columns = {f"x{k}": generator.normal(size=n) for k in range(10)} | {"column": law(generator, y)}
                    named = {column for each in determining(columns, y, classes=True) for column in each.columns}
                    count += ("column" in named) if found else bool(named)
                what = f"{name}, {n} rows, {share:.0%} positive: {'found' if found else 'called a copy'}"
                # What separates the labels of a sample without an exception determines them there, by whatever law.
                stated = None if "AUC" in name else 1.0 if found else 1e-3
                yield Row(what, stated, count, runs, least=found)


def repeats(runs: int, seed: int) -> Iterator[Row]:
    """How often rows of a table are called copies: where none is, and where some were put in again."""
    for name, n, again in product(SHAPES, (100, 1000), (0.0, 0.05, 0.1, 0.3)):
        count = 0
        for run in range(runs):
            generator = np.random.default_rng([seed, 4, run, n])
            table = [np.unique(values, return_inverse=True)[1] for values in SHAPES[name](generator, n)]
            rows = np.append(np.arange(n), generator.choice(n, round(n * again), replace=False))
            columns = [values[rows] for values in table]
            hashes = [values.astype(np.uint64) for values in columns]
            found = by_chance(hashes, order=lambda place, columns=columns: columns[place])
            count += not all(np.array_equal(one, other) for one, other in zip(hashes, found, strict=True))
        what = f"{name}, {n} rows, {again:.0%} of them again" if again else f"{name}, {n} rows, none a copy"
        yield Row(f"{what}: called copies", None, count, runs)


def prices(generator: Generator, n: int) -> tuple[np.ndarray, ...]:
    net = generator.integers(100, 100 + 5 * n, n)
    return net, np.rint(0.19 * net), net + np.rint(0.19 * net), net > 100 + 2 * n


def lookups(generator: Generator, n: int) -> tuple[np.ndarray, ...]:
    # A name goes with its code, in no order.
    code, names = generator.integers(0, 5 * n, n), generator.permutation(5 * n)
    return code, names[code], generator.integers(0, 3, n)


SHAPES: dict[str, Callable[[Generator, int], tuple[np.ndarray, ...]]] = {
    "two numbers": lambda g, n: (g.normal(size=n), g.normal(size=n), g.integers(0, 2, n)),
    "one number, two categories": lambda g, n: (g.normal(size=n), g.integers(0, 4, n), g.integers(0, 2, n)),
    "one number in cents, a label": lambda g, n: (g.integers(0, 5 * n, n), g.integers(0, 2, n)),
    "net, tax, gross, and a label they decide": prices,
    "the same and a number beside": lambda g, n: (*prices(g, n), g.normal(size=n)),
    "a code, its name, a label": lookups,
    "five categories": lambda g, n: tuple(g.integers(0, k, n) for k in (3, 4, 5, 6, 2)),
    "ages with groups, a label": lambda g, n: (lambda age: (age, age // 10, age > 40, g.integers(0, 2, n)))(
        g.integers(18, 80, n)
    ),
}


PARTS: dict[str, Callable[[int, int], Iterator[Row]]] = {
    "off-policy": off_policy,
    "split": split,
    "copies": copies,
    "repeats": repeats,
}


def main() -> None:
    """Print the parts asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20262)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    asked = parser.parse_args()
    faults = 0
    for part in asked.parts or PARTS:
        for row in PARTS[part](asked.runs, asked.seed):
            low, high = wilson(row.count, row.runs, 0.95)
            faults += row.wrong
            stated = "" if row.nominal is None else f"{'>=' if row.least else '<='} {row.nominal:.1%}"
            share = f"{row.count}/{row.runs} = {row.count / row.runs:.2%} [{low:.2%}, {high:.2%}]"
            print(f"{row.what:78} {stated:10} {share}{'  FAULT' if row.wrong else ''}", flush=True)
    print("every row within what it says" if not faults else f"{faults} rows BEYOND what they say")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
