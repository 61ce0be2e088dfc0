"""How often the bounds that gates decide by lie beyond the truth, beside how often they say that they do.

Each row draws data of a known law many times, measures them with the product's own functions, and counts the samples in
which a bound lies on the wrong side of the truth: ``below`` is a lower bound above it, with which a gate with a minimum
passes falsely, ``above`` an upper one below it, ``beyond`` either. Samples that are too small for a verdict
(``unsettled``) count among all and decide nothing. At 95 % each side has 2.5 %. A row is a fault if the chance of so
many is below 1 in 1,000.

Run as ``python tests/benchmarks/bench_intervals.py [--runs N] [part ...]``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import stats

from modelops.metrics import Difference, Predictions, measure, paired_difference, unsettled
from modelops.statistics.disparity import GroupRate, largest_gap, mean, proportion
from modelops.statistics.intervals import exact_proportion, quantile_interval, wilson
from modelops.statistics.weighted import trials, worth
from modelops.training.split import seeded

SIDE = 0.025
CELLS = ("f1", "macro-f1", "balanced-accuracy")
Drawn = tuple[Predictions, Predictions | None]
Generator = np.random.Generator


@dataclass(frozen=True)
class Row:
    """A claim: what is counted, in which share of the runs it may happen, and in how many it did."""

    what: str
    nominal: float
    count: int
    runs: int
    note: str = ""

    @property
    def wrong(self) -> bool:
        return bool(stats.binom.sf(self.count - 1, self.runs, self.nominal) < 1e-3)


def binary(truth: np.ndarray, scores: np.ndarray) -> Predictions:
    return Predictions("binary-classification", truth.astype(float), (scores > 0.5).astype(float), scores, (0, 1))


def judged(what: str, name: str, truth: float, draw: Callable[[Generator], Drawn], runs: int) -> Iterator[Row]:
    """Yield how often each bound of a metric, or of a difference of two, lies beyond the truth."""
    below = above = kept = 0
    for run in range(runs):
        first, second = draw(np.random.default_rng([2, run]))
        if second is not None:
            found = paired_difference(name, first, second, seed=run)
        else:
            found = measure(name, first, seed=run)
        if found is None or unsettled(name, first, second) is not None:
            continue
        kept += 1
        below += found.lower > truth
        above += found.upper < truth
    note = f"{kept / runs:.0%} large enough" if kept < runs else ""
    if name in CELLS:
        yield Row(f"{what}: beyond", 2 * SIDE, int(below + above), runs, note)
        return
    yield Row(f"{what}: below", SIDE, int(below), runs, note)
    yield Row(f"{what}: above", SIDE, int(above), runs, note)


def normal_scores(positives: int, negatives: int, distance: float) -> Callable[[Generator], Drawn]:
    truth = np.repeat([1.0, 0.0], (positives, negatives))

    def draw(generator: Generator) -> Drawn:
        return binary(truth, generator.normal(size=len(truth)) + distance * truth), None

    return draw


def areas(runs: int) -> Iterator[Row]:
    """ROC areas, from few positives and near the top."""
    for positives, negatives, distance in (
        (5, 100, 1.81), (10, 200, 1.81), (20, 200, 1.81), (20, 380, 3.3), (20, 20, 3.0), (20, 380, 0.5),
        (100, 1000, 1.81), (100, 1000, 3.3), (400, 4000, 3.3),
    ):  # fmt: skip
        truth = float(stats.norm.cdf(distance / 2**0.5))
        what = f"roc-auc {truth:.3f}, {positives} positives of {positives + negatives}"
        yield from judged(what, "roc-auc", truth, normal_scores(positives, negatives, distance), runs)


def precisions(runs: int) -> Iterator[Row]:
    """Average precision, from few positives and near the top."""
    grid = np.linspace(-8, 12, 40001)
    for (positives, negatives), distance in product(((5, 95), (10, 190), (20, 380), (100, 900)), (0.0, 1.0, 3.0, 4.5)):
        share = positives / (positives + negatives)
        sure, wrong = stats.norm.sf(grid - distance), stats.norm.sf(grid)
        density = share * sure / (share * sure + (1 - share) * wrong + 1e-300) * stats.norm.pdf(grid - distance)
        truth = float(np.trapezoid(density, grid))
        what = f"average-precision {truth:.3f}, {positives} positives of {positives + negatives}"
        yield from judged(what, "average-precision", truth, normal_scores(positives, negatives, distance), runs)


def pairs(runs: int) -> Iterator[Row]:
    """Differences of two ROC areas on the same rows."""
    for positives, negatives, one, other, together in (
        (5, 95, 2.0, 1.7, 0.9), (20, 380, 2.0, 1.7, 0.9), (20, 380, 3.0, 2.7, 0.7), (20, 380, 3.5, 3.2, 0.95),
        (20, 380, 3.5, 3.2, 0.5), (30, 30, 3.3, 2.9, 0.7), (100, 900, 3.5, 3.2, 0.9), (400, 4000, 3.3, 3.1, 0.9),
        (250, 750, 1.2, 1.2, 0.95),
    ):  # fmt: skip
        truth = float(stats.norm.cdf(one / 2**0.5) - stats.norm.cdf(other / 2**0.5))
        labels = np.repeat([1.0, 0.0], (positives, negatives))

        def draw(generator: Generator, labels=labels, one=one, other=other, together=together) -> Drawn:
            shared = generator.normal(size=len(labels)) * together**0.5
            own = generator.normal(size=(2, len(labels))) * (1 - together) ** 0.5
            return binary(labels, shared + own[0] + one * labels), binary(labels, shared + own[1] + other * labels)

        areas_of = f"{stats.norm.cdf(one / 2**0.5):.3f} and {stats.norm.cdf(other / 2**0.5):.3f}"
        what = f"difference of roc-auc {areas_of}, {positives} positives of {positives + negatives}"
        yield from judged(what, "roc-auc", truth, draw, runs)
        if positives == 100:
            # There is no closed form: the mean over many samples of that size, in which its bias is small.
            far = [paired_truth(draw(np.random.default_rng([3, run]))) for run in range(2000)]
            what = what.replace("roc-auc", "average-precision, areas")
            yield from judged(what, "average-precision", float(np.mean(far)), draw, runs)


def paired_truth(pair: Drawn) -> float:
    first, second = pair
    assert second is not None
    found = paired_difference("average-precision", first, second)
    assert found is not None
    return found.value


def log_losses(runs: int) -> Iterator[Row]:
    """Log-loss of few events, and what a candidate loses that says 0.3 times the true probability."""

    def scores(generator: Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        said = np.clip(generator.beta(0.1, 1.9, n), 1e-5, 1 - 1e-5)
        return said, (generator.random(n) < said).astype(float)

    def losses(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
        return -np.log(np.where(truth == 1, said, 1 - said))

    said, truth = scores(np.random.default_rng(1), 4_000_000)
    own = float(losses(said, truth).mean())
    lost = float(losses(np.clip(said * 0.3, 1e-5, 1), truth).mean()) - own
    for n in (30, 50, 100, 200, 400, 1000, 4000):

        def single(generator: Generator, n=n) -> Drawn:
            said, truth = scores(generator, n)
            return binary(truth, said), None

        def both(generator: Generator, n=n) -> Drawn:
            said, truth = scores(generator, n)
            return binary(truth, np.clip(said * 0.3, 1e-5, 1)), binary(truth, said)

        yield from judged(f"log-loss, 5 % positive, n {n}", "log-loss", own, single, runs)
        yield from judged(f"difference of log-loss, candidate under-predicts, n {n}", "log-loss", lost, both, runs)


ERRORS: dict[str, Callable[[Generator, int], np.ndarray]] = {
    "normal": lambda g, n: g.normal(size=n),
    "Laplace": lambda g, n: g.laplace(size=n),
    "Student 5": lambda g, n: g.standard_t(5, n),
    "log-normal 1": lambda g, n: g.lognormal(0, 1, n) * g.choice([-1, 1], n),
    "of one row in five": lambda g, n: g.normal(size=n) * (g.random(n) < 0.2),
}


def errors(runs: int) -> Iterator[Row]:
    """mae, rmse and r2, of one model and of two, under errors of several laws."""
    for law, noise in product(ERRORS, (0.3, 0.02)):
        if noise == 0.02 and law != "normal":
            continue

        def draw(generator: Generator, n: int, law=law, noise=noise) -> tuple[Predictions, Predictions]:
            truth = generator.normal(size=n)
            off = noise * ERRORS[law](generator, n)
            other = 0.8 * off + 0.3 * noise * generator.normal(size=n)
            return tuple(Predictions("regression", truth, truth + each, truth + each) for each in (off, other))  # type: ignore[return-value]

        far, near = draw(np.random.default_rng(4), 4_000_000)
        for n, name in product((20, 30, 50, 200, 1000), ("mae", "rmse", "r2")):
            truth, other = value_of(name, far), value_of(name, near)
            what = f"{name} {truth:.3g}, errors {law}, n {n}"
            yield from judged(what, name, truth, lambda g, n=n, draw=draw: (draw(g, n)[0], None), runs)
            if noise == 0.3:
                yield from judged(
                    f"difference of {what}", name, truth - other, lambda g, n=n, draw=draw: draw(g, n), runs
                )


def value_of(name: str, rows: Predictions) -> float:
    off = rows.y_pred - rows.y_true
    squared = float(np.square(off).mean())
    return {"mae": float(np.abs(off).mean()), "rmse": squared**0.5, "r2": 1 - squared / float(rows.y_true.var())}[name]


def perfect(runs: int) -> Iterator[Row]:
    """Models that made no error in the sample: the lower bound must leave room for those that they make."""
    for n, wrong in product((50, 200, 1000), (0.002, 0.01)):

        def draw(generator: Generator, n=n, wrong=wrong) -> Drawn:
            truth = generator.normal(size=n)
            said = np.where(generator.random(n) < wrong, 0.0, truth)
            return Predictions("regression", truth, said, said), None

        def seldom(generator: Generator, n=n, wrong=wrong) -> Drawn:
            truth = (generator.random(n) < 0.3).astype(float)
            return binary(truth, np.where(generator.random(n) < wrong, 1 - truth, truth)), None

        for name, truth in (("r2", 1 - wrong), ("rmse", wrong**0.5)):
            below = above = 0
            for run in range(runs):
                found = measure(name, draw(np.random.default_rng([5, run]))[0])
                if found is None or found.method != "clopper-pearson, no error seen":
                    continue
                below, above = below + (found.lower > truth), above + (found.upper < truth)
            yield Row(f"{name}, {wrong:.1%} of {n} rows off, none seen: beyond", SIDE, below + above, runs)
        yield from judged(f"accuracy, {wrong:.1%} of {n} rows off", "accuracy", 1 - wrong, seldom, runs)


def shares(runs: int) -> Iterator[Row]:
    """Shares and metrics of the confusion matrix, of one model and of two."""
    for n, share in product((10, 30, 100, 1000), (0.01, 0.2, 0.5, 0.99)):
        mass = stats.binom.pmf(np.arange(n + 1), n, share)
        bounds = np.array([exact_proportion(k, n, 0.95) for k in range(n + 1)])
        for side, beyond in (("below", bounds[:, 0] > share), ("above", bounds[:, 1] < share)):
            yield Row(f"share {share}, n {n}, exact: {side}", SIDE, round(float(mass[beyond].sum()) * 10**6), 10**6)
    for n, prevalence, recall, alarms in (
        (30, 0.3, 0.8, 0.1), (50, 0.2, 0.9, 0.05), (100, 0.1, 0.8, 0.05), (300, 0.05, 0.6, 0.02),
        (300, 0.5, 0.95, 0.05),
    ):  # fmt: skip
        cells = [
            prevalence * recall,
            prevalence * (1 - recall),
            (1 - prevalence) * alarms,
            (1 - prevalence) * (1 - alarms),
        ]
        truths = {
            "f1": 2 * cells[0] / (2 * cells[0] + cells[1] + cells[2]),
            "balanced-accuracy": (recall + 1 - alarms) / 2,
            "precision": cells[0] / (cells[0] + cells[2]),
            "recall": recall,
            "accuracy": cells[0] + cells[3],
        }

        def draw(generator: Generator, n=n, cells=cells) -> Drawn:
            counts = generator.multinomial(n, cells)
            return binary(np.repeat([1.0, 1, 0, 0], counts), np.repeat([1.0, 0, 1, 0], counts)), None

        def both(generator: Generator, n=n, cells=cells) -> Drawn:
            first, _ = draw(generator, n, cells)
            swap = generator.random(n) < 0.05
            return first, binary(first.y_true, np.where(swap, 1 - first.y_pred, first.y_pred))

        changed = [c * 0.95 for c in cells]
        changed = [
            changed[0] + cells[1] * 0.05,
            changed[1] + cells[0] * 0.05,
            changed[2] + cells[3] * 0.05,
            changed[3] + cells[2] * 0.05,
        ]
        others = {
            "f1": 2 * changed[0] / (2 * changed[0] + changed[1] + changed[2]),
            "balanced-accuracy": (changed[0] / prevalence + changed[3] / (1 - prevalence)) / 2,
            "precision": changed[0] / (changed[0] + changed[2]),
            "recall": changed[0] / prevalence,
            "accuracy": changed[0] + changed[3],
        }
        for name, truth in truths.items():
            what = f"{name} {truth:.2f}, n {n}, {prevalence:.0%} positive"
            yield from judged(what, name, truth, draw, runs)
            yield from judged(f"difference of {what}", name, truth - others[name], both, runs)


def fairness(runs: int) -> Iterator[Row]:
    """The largest gap between groups: the lower bound above the truth fails falsely, the upper one below it passes."""
    for groups, n, gap in product((2, 8), (30, 100), (0.0, 0.2)):
        below = above = 0
        rates = np.full(groups, 0.5)
        rates[0] += gap
        for run in range(runs):
            generator = np.random.default_rng([6, run])
            found = largest_gap(
                [[proportion(str(i), int(generator.binomial(n, p)), n, generator) for i, p in enumerate(rates)]], 0.95
            )
            below, above = below + (found.lower > gap), above + (found.upper < gap)
        yield Row(f"gap {gap} of {groups} groups of {n}: beyond", 2 * SIDE, below + above, runs)


def latency(runs: int) -> Iterator[Row]:
    """The 50th and 99th percentile of independent timings."""
    for quantile in (0.5, 0.99):
        truth, below, above = float(np.exp(stats.norm.ppf(quantile))), 0, 0
        for run in range(runs):
            values = np.sort(np.random.default_rng([7, run]).lognormal(size=500))
            _, lower, upper = quantile_interval(values, quantile, 0.95)
            below, above = below + (lower > truth), above + (upper < truth)
        yield Row(f"quantile {quantile} of 500: below", SIDE, below, runs)
        yield Row(f"quantile {quantile} of 500: above", SIDE, above, runs)


def champion(runs: int) -> Iterator[Row]:
    """A better candidate, retrained on the rows before and half as many fresh ones, that the gate calls worse.

    The stable model knows the rows by heart that trained it. Those are left out; with them all would be refused.
    """
    from sklearn.ensemble import RandomForestClassifier

    refused, before, idle, gains = 0, 0, 0, []
    for run in range(runs):
        generator = np.random.default_rng([9, run])
        features = generator.normal(size=(9800, 8))
        chance = 1 / (1 + np.exp(-(1.2 * features[:, 0] + 0.8 * features[:, 1] * features[:, 2] - 1)))
        truth = (generator.random(9800) < chance).astype(float)
        trained, test = ~seeded(truth[:1200], 0.25, 1), np.flatnonzero(seeded(truth[:1800], 0.25, 1))
        forests = [RandomForestClassifier(20, random_state=run, n_jobs=1) for _ in range(2)]
        rest = np.setdiff1d(np.arange(1800), test)
        stable = forests[0].fit(features[:1200][trained], truth[:1200][trained])
        candidate = forests[1].fit(features[rest], truth[rest])
        unseen = test[(test >= 1200) | ~np.isin(test, np.flatnonzero(trained))]

        def gain(rows: np.ndarray, candidate=candidate, stable=stable, features=features, truth=truth) -> Difference:
            scores = [model.predict_proba(features[rows])[:, 1] for model in (candidate, stable)]
            found = paired_difference("roc-auc", *(binary(truth[rows], each) for each in scores))
            assert found is not None
            return found

        gains.append(gain(np.arange(1800, 9800)).value)
        refused += gain(unseen).upper < -0.03
        before += gain(test).upper < -0.03
        # Trained on as many other rows of the same law: nothing to gain, and sometimes a little by luck.
        again = RandomForestClassifier(20, random_state=run, n_jobs=1).fit(features[1800:2700], truth[1800:2700])
        idle += gain(np.arange(2700, 3300), again).lower > 0 >= gain(np.arange(3300, 9800), again).value
    note = f"true gain {np.mean(gains):+.3f}; compared on all test rows {before} of {runs} would be refused"
    yield Row("champion, random split, margin 0.03: a better candidate is refused", SIDE, refused, runs, note)
    yield Row("champion, margin 0: a retraining that gains nothing is called an improvement", SIDE, idle, runs)


WEIGHTS: dict[str, Callable[[Generator, np.ndarray], np.ndarray]] = {
    "log-normal 1, of the rows' own": lambda g, x: np.exp(x),
    "one row in fifty 100": lambda g, x: np.where(g.random(len(x)) < 0.02, 100.0, 1.0),
    "of two strata, 1 and 10": lambda g, x: np.where(x < -0.7, 10.0, 1.0),
    "log-normal 1, of nothing": lambda g, x: g.lognormal(0, 1, len(x)),
    "uniform": lambda g, x: g.uniform(0.2, 1.8, len(x)),
}
"""What rows count for; ``x`` is what their errors depend on too."""


def weights(runs: int) -> Iterator[Row]:
    """Metrics of weighted rows, of one model and of two: the law of the rows is that of the sample times the weight."""

    def classes(generator: Generator, n: int, law: str) -> tuple[Predictions, Predictions]:
        x = generator.normal(size=n)
        truth = (generator.random(n) < 1 / (1 + np.exp(1.5 - 0.7 * x))).astype(float)
        weight = WEIGHTS[law](generator, x)
        shared = 0.8 * generator.normal(size=n)
        found = []
        for pull in (1.6, 1.3):
            logit = shared + 0.6 * generator.normal(size=n) * (1 + 0.5 * (x > 0)) + pull * (2 * truth - 1) - 0.3
            scores = 1 / (1 + np.exp(-1.3 * logit))
            found.append(replace(binary(truth, scores), sample_weight=weight))
        return found[0], found[1]

    def numbers(generator: Generator, n: int, law: str) -> tuple[Predictions, Predictions]:
        x = generator.normal(size=n)
        truth, weight = x + generator.normal(size=n), WEIGHTS[law](generator, x)
        shared = generator.normal(size=n) * (0.3 + 0.2 * (x > 0))
        return tuple(  # type: ignore[return-value]
            Predictions("regression", truth, truth + off, truth + off, sample_weight=weight)
            for off in (shared + 0.05 * x, 0.9 * shared + 0.1 * generator.normal(size=n))
        )

    for law, (draw, names) in product(WEIGHTS, ((classes, OF_CLASSES), (numbers, OF_NUMBERS))):
        far, near = (one.take(np.arange(1_000_000)) for one in draw(np.random.default_rng(8), 1_000_000, law))
        for name in names:
            ends = measure(name, far), measure(name, near)
            assert ends[0] is not None
            assert ends[1] is not None
            one, other = ends[0].value, ends[1].value
            for n in (60, 300):
                what = f"{name} {one:.3g}, weights {law}, n {n}"
                yield from judged(what, name, one, lambda g, n=n, draw=draw, law=law: (draw(g, n, law)[0], None), runs)
                yield from judged(
                    f"difference of {what}", name, one - other, lambda g, n=n, draw=draw, law=law: draw(g, n, law), runs
                )


def weighted_fairness(runs: int) -> Iterator[Row]:
    """The largest gap between groups of weighted rows: shares of hits and means, which weights go with."""

    def rows(generator: Generator, n: int, law: str, shift: float, share: bool) -> tuple[np.ndarray, np.ndarray]:
        x = generator.normal(size=n)
        if share:
            value = (generator.random(n) < 1 / (1 + np.exp(-shift - 0.7 * x))).astype(float)
        else:
            value = shift + x + generator.normal(size=n)
        return value, WEIGHTS[law](generator, x)

    def rate(name: str, values: np.ndarray, weight: np.ndarray, share: bool, generator: Generator) -> GroupRate:
        if not share:
            return mean(name, values, generator, weight)
        of, size = trials(values, weight)
        return proportion(name, of * size, size, generator)

    for share, law, (groups, n), shift in product((True, False), WEIGHTS, ((2, 100), (2, 400), (8, 150)), (0.0, 0.8)):
        truths = [
            float(np.average(found[0], weights=found[1]))
            for found in (rows(np.random.default_rng(10), 1_000_000, law, each, share) for each in (shift, 0.0))
        ]
        gap, below, above, kept = abs(truths[0] - truths[1]), 0, 0, 0
        for run in range(runs):
            generator = np.random.default_rng([11, run])
            drawn = [rows(generator, n, law, shift * (place == 0), share) for place in range(groups)]
            if min(worth(weight) for _, weight in drawn) < 30:
                continue
            rates = [rate(str(place), *each, share, generator) for place, each in enumerate(drawn)]
            found = largest_gap([rates], 0.95)
            kept, below, above = kept + 1, below + (found.lower > gap), above + (found.upper < gap)
        note = f"{kept / runs:.0%} large enough" if kept < runs else ""
        what = f"gap {gap:.2f} of {'shares' if share else 'means'}, {groups} groups of {n}, {law}: beyond"
        yield Row(what, 2 * SIDE, below + above, runs, note)


OF_CLASSES = (
    "accuracy", "recall", "precision", "f1", "balanced-accuracy", "roc-auc", "average-precision", "log-loss", "brier",
)  # fmt: skip
OF_NUMBERS = ("mae", "rmse", "r2", "bias")


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "areas": areas,
    "precisions": precisions,
    "pairs": pairs,
    "log-losses": log_losses,
    "errors": errors,
    "perfect": perfect,
    "shares": shares,
    "fairness": fairness,
    "latency": latency,
    "champion": champion,
    "weights": weights,
    "weighted-fairness": weighted_fairness,
}


def main() -> None:
    """Print the parts asked for, all by default; the exit status says whether a row is a fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    asked = parser.parse_args()
    faults = 0
    print(f"{'':78} nominal  measured, with its 95 % interval")
    for part in asked.parts or PARTS:
        for row in PARTS[part](asked.runs):
            low, high = wilson(row.count, row.runs, 0.95)
            faults += row.wrong
            share = f"{row.count / row.runs:6.2%} [{low:6.2%}, {high:6.2%}]"
            print(f"{row.what:78} {row.nominal:7.1%} {share} {'FAULT ' if row.wrong else ''}{row.note}", flush=True)
    print("every row within what it says" if not faults else f"{faults} rows BEYOND what they say")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
