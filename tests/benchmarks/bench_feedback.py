"""Feedback loops: twelve rounds of a fraud model that is retrained on its labels, by five ways to get labels.

Each round 20,000 transactions are scored, the highest 2 % are flagged, labels come as the arm says, the product looks
at it, and the model is trained anew on the labels of the last three rounds. From round 4 to 6 fraud changes: the
known pattern fades and another one comes. A loop has to be told in the first round in every run, and in the arms
without one nothing ever.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pyarrow as pa
from monitor_worlds import interval
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from modelops.monitoring.feedback.audit import audited, doubted
from modelops.monitoring.performance import performance_of
from modelops.spec.kinds.model import Exploration, Feature, Labels, ModelData, ModelSpec
from modelops.spec.kinds.monitor import Performance
from modelops.spec.kinds.release import MetricValue

ROUNDS, ROWS, FEATURES, CAPACITY, KEPT = 12, 20_000, 8, 0.02, 3
RECALL = Performance(metric="recall", minimum=0.5, minimum_labels=100)
HELD = 3
"""Of four rows the one with this place tests, and does not train."""
SEED = 20264
"""The first number of all seeds; another one is another sample."""
Array = np.ndarray


def traffic(rng: np.random.Generator, at: int) -> tuple[Array, Array]:
    """Return features and truth of a round; ``at`` 0 is before the first."""
    new = float(np.clip((at - 3) / 3, 0, 0.85))
    features = rng.normal(size=(ROWS, FEATURES))
    fraud = rng.random(ROWS) < rng.uniform(0.002, 0.004)
    other = fraud & (rng.random(ROWS) < new)
    features[fraud & ~other, :2] += 2.3
    features[other, 2:4] -= 2.3
    return features, fraud


@dataclass
class Arm:
    """A way to get labels: what is declared, the chance of a review, and what a round's labels are.

    ``loop`` says that the model is fed by its own decisions and nothing else, ``sure`` that its labels show that.
    """

    loop: bool
    declared: bool = False
    review: float = 0.0
    negatives: bool = False
    everywhere: float = 0.0
    sure: bool = True
    runs: list[list[dict[str, float]]] = field(default_factory=list)

    def spec(self) -> ModelSpec:
        """Return a model that declares of its labels what this arm has."""
        labels = None
        if self.declared:
            explored = Exploration(share=self.review) if self.review else None
            labels = Labels(by="analysts", decisions=(1,), exploration=explored, accepted="" if explored else "no way")
        features = tuple(Feature(name=f"x{k}", type="number") for k in range(FEATURES))
        data = ModelData(snapshot="s", target="y", positive=1, features=features, labels=labels)
        return ModelSpec(
            description="d", owner="o", risk="limited", task="binary-classification", intended_use="u",
            data=data, gates=("g",),
        )  # fmt: skip

    def labelled(self, rng: np.random.Generator, fraud: Array, flagged: Array) -> tuple[Array, Array, Array, Array]:
        """Return labels (-1 for none), the weight of each in training, and which answers were drawn for review."""
        drawn = rng.random(ROWS) < self.review
        known = flagged | drawn
        if self.everywhere:
            known = rng.random(ROWS) < self.everywhere
        labels = np.where(known, fraud.astype(int), 0 if self.negatives else -1)
        weights = np.where(flagged | (self.review == 0), 1.0, 1 / max(self.review, 1e-9))
        return labels, weights, drawn, known


ARMS: dict[str, Callable[[], Arm]] = {
    "unreviewed counted as legitimate": lambda: Arm(True, negatives=True, sure=False),
    "the same, decisions declared": lambda: Arm(True, declared=True, negatives=True),
    "only flagged rows kept": lambda: Arm(True),
    "the same, decisions declared ": lambda: Arm(True, declared=True),
    "1 % random review, weighted": lambda: Arm(False, declared=True, review=0.01),
    "5 % random review, weighted": lambda: Arm(False, declared=True, review=0.05),
    "all labelled, 10 % missing at random": lambda: Arm(False, everywhere=0.9),
    "2 % labelled at random": lambda: Arm(False, everywhere=0.02),
}


def window(scores: Array, flagged: Array, labels: Array, review: float, drawn: Array) -> pa.Table:
    """Return what the log says of a round."""
    n = len(scores)
    texts = np.array(["0", "1", None], dtype=object)
    return pa.table(
        {
            "id": [f"p{k}" for k in range(n)],
            "time": np.arange(n, dtype=float),
            "entity": [f"c{k}" for k in range(n)],
            "score": scores,
            "label": pa.array(np.where(flagged, "1", "0").tolist(), pa.string()),
            "status": np.full(n, 200),
            "truth": pa.array(texts[labels].tolist(), pa.string()),
            "review": np.full(n, review),
            "drawn": drawn.astype(np.int64),
        }
    )


def fitted(parts: list[tuple[Array, Array, Array]], seed: int) -> HistGradientBoostingClassifier:
    """Train on the labels of some rounds; of many negatives one in five stands for all, which costs less time."""
    features, labels, weights = (np.concatenate(some) for some in zip(*parts, strict=True))
    kept = (labels >= 0) & (np.arange(len(labels)) % 4 != HELD)
    if kept.sum() > ROWS:
        stands = (labels == 1) | (np.arange(len(labels)) % 5 == 0)
        weights = np.where(labels == 1, weights, 5 * weights)
        kept &= stands
    model = HistGradientBoostingClassifier(
        max_iter=30, max_depth=3, max_bins=64, learning_rate=0.1, early_stopping=False, random_state=seed
    )
    return model.fit(features[kept], labels[kept], sample_weight=weights[kept])


def tested(model: HistGradientBoostingClassifier, parts: list[tuple[Array, Array, Array]]) -> MetricValue | None:
    """Return recall on the rows of the parts that were held out, as a release states it; their labels are the arm's."""
    features, labels, _ = (np.concatenate(some)[HELD::4] for some in zip(*parts, strict=True))
    scores = model.predict_proba(features)[:, 1]
    flagged = scores >= np.quantile(scores, 1 - CAPACITY)
    found, n = int((flagged & (labels == 1)).sum()), int((labels == 1).sum())
    if n == 0:
        return None
    low, high = interval(found, n)
    return MetricValue(name="recall", value=found / n, lower=low, upper=high, level=0.95, n=n, method="wilson")


def run(arm: Arm, seed: int) -> list[dict[str, float]]:
    """Return what each round of one run was, and what the product said of it."""
    rng = np.random.default_rng([SEED, seed])
    before = [traffic(rng, 0) for _ in range(KEPT)]
    parts = [(features, fraud.astype(int), np.ones(ROWS)) for features, fraud in before]
    spec, rounds = arm.spec(), []
    for at in range(1, ROUNDS + 1):
        model = fitted(parts[-KEPT:], seed)
        features, fraud = traffic(rng, at)
        scores = model.predict_proba(features)[:, 1]
        flagged = np.zeros(ROWS, dtype=bool)
        flagged[np.argsort(-scores, kind="stable")[: int(CAPACITY * ROWS)]] = True
        labels, weights, drawn, known = arm.labelled(rng, fraud, flagged)
        table = window(scores, flagged, labels, arm.review, drawn)
        found = audited(spec, table, tested(model, parts[-KEPT:]))
        told = doubted(performance_of(RECALL, spec, table), found)
        seen = known & fraud
        both = known & (np.bincount(fraud[known], minlength=2).min() > 0)
        value = told.value
        rounds.append(
            {
                "true": float((flagged & fraud).sum() / fraud.sum()),
                "dashboard": float((flagged & seen).sum() / max(1, seen.sum())),
                "auc": float(roc_auc_score(fraud[both], scores[both])) if both.any() else np.nan,
                "loop": float(found is not None and found.loop),
                **{name: float(found is not None and name in dict(found.fired)) for name in ("D1", "D2", "D3", "D6")},
                "area": np.nan if found is None or found.area is None else found.area,
                "positivity": np.nan if found is None or found.positivity is None else found.positivity,
                "told": np.nan if value is None else value.value,
                "covered": np.nan
                if value is None
                else float(value.lower <= (flagged & fraud).sum() / fraud.sum() <= value.upper),
                "passed": float(told.verdict == "pass"),
                "failed": float(told.verdict == "fail"),
                "positives": 0.0 if found is None else float(found.positives),
            }
        )
        parts.append((features, labels, weights))
    return rounds


def answers(rng: np.random.Generator, n: int, recall: float, share: float, review: float) -> pa.Table:
    """Return answers of which 4 % are positive; a share of all is labelled by chance, or the flagged and the drawn."""
    truth = rng.random(n) < 0.04
    flagged = np.where(truth, rng.random(n) < recall, rng.random(n) < 0.01)
    scores = np.clip(np.where(flagged, 0.6, 0.1) + rng.normal(0, 0.1, n), 0, 1)
    drawn = rng.random(n) < review
    known = flagged | drawn if review else rng.random(n) < share
    return window(scores, flagged, np.where(known, truth.astype(int), -1), review, drawn)


def chances(runs: int) -> list[str]:
    """Print how often healthy labels raise anything, and how often the interval of recall holds it; return faults."""
    wrong = []
    healthy = Arm(False).spec()
    for n in (500, 5000):
        for share in (1.0, 0.9, 0.1, 0.02):
            tables = (answers(np.random.default_rng([SEED, 1, n, k]), n, 0.6, share, 0.0) for k in range(runs))
            count = sum(found is not None and bool(found.fired) for found in (audited(healthy, one) for one in tables))
            low, high = interval(count, runs)
            print(f"{n} answers, {share:.0%} labelled by chance: fired in {count} of {runs} [{low:.4f}, {high:.4f}]")
            wrong += [f"{share:.0%} of {n} labelled: fired in {count} of {runs}"] if low > 4 * 0.001 else []
    for review, recall in product((0.02, 0.1, 0.3), (0.3, 0.6, 0.9)):
        spec = Arm(False, declared=True, review=review).spec()
        fired = told = covered = 0
        for k in range(runs):
            table = answers(np.random.default_rng([SEED, 2, k]), 8000, recall, 0.0, review)
            found, measured = audited(spec, table), performance_of(RECALL, spec, table).value
            fired += found is not None and bool(found.fired)
            told += measured is not None
            covered += measured is not None and measured.lower <= recall <= measured.upper
        low, high = interval(covered, max(told, 1))
        print(
            f"8000 answers, {review:.0%} reviewed, recall {recall}: fired in {fired} of {runs}; the interval of 95 % ",
            end="",
        )
        print(f"holds it in {covered} of {told} [{low:.3f}, {high:.3f}]")
        wrong += [f"{review:.0%} reviewed, recall {recall}: held in {covered} of {told}"] if high < 0.95 else []
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--chance", type=int, metavar="RUNS", help="count errors of healthy labels in so many runs")
    parser.add_argument("--arm", action="append", help="only arms whose name holds this")
    asked = parser.parse_args()
    began = time.perf_counter()
    wrong = chances(asked.chance) if asked.chance else []
    for name, make in ARMS.items():
        if asked.chance or (asked.arm and not any(part in name for part in asked.arm)):
            continue
        arm = make()
        runs = [run(arm, seed) for seed in range(asked.seeds)]

        def of(key: str, at: slice = slice(None), runs: list[list[dict[str, float]]] = runs) -> Array:
            return np.array([[one[key] for one in rounds[at]] for rounds in runs])

        looks = asked.seeds * ROUNDS
        fired = int(of("loop").sum())
        low, high = interval(fired, looks)
        first = int(of("loop", slice(0, 1)).sum())
        true = ", ".join(f"r{at} {np.median(of('true')[:, at - 1]):.2f}" for at in (1, 5, 7, 12))
        print(f"{name.strip()}: {asked.seeds} runs of {ROUNDS} rounds")
        print(f"  true recall {true}; round 12: dashboard {np.median(of('dashboard')[:, -1]):.3f}, ", end="")
        print(f"AUC {np.nanmedian(of('auc')[:, -1]):.3f}")
        print(
            f"  a loop is told in {fired} of {looks} rounds [{low:.3f}, {high:.3f}], in round 1 in {first} runs; ",
            end="",
        )
        print(", ".join(f"{key} {of(key).mean():.0%}" for key in ("D1", "D2", "D3", "D6")))
        known = {key: values[np.isfinite(values)] for key in ("area", "positivity") for values in [of(key)]}
        said = {key: f"{np.median(values):.3f}" if len(values) else "-" for key, values in known.items()}
        print(f"  selection AUC {said['area']}, positivity {said['positivity']}")
        told = of("told")
        measured = int(np.isfinite(told).sum())
        if measured:
            covered, away = int(np.nansum(of("covered"))), np.nanmean(told - of("true"))
            print(f"  recall is told in {measured} rounds, {away:+.3f} away from the truth on average; ", end="")
            print(
                f"its interval holds it in {covered} ({covered / measured:.1%}); {int(of('failed').sum())} fail, ",
                end="",
            )
            below = int(((of("true") < RECALL.minimum) & (of("passed") > 0)).sum())
            print(
                f"{int(of('passed').sum())} pass, {below} of these wrongly; "
                f"reviewed positives {of('positives').mean():.1f}"
            )
        if arm.loop and arm.sure and first < asked.seeds:
            wrong.append(f"{name.strip()}: the loop is not told in round 1 of {asked.seeds - first} runs")
        if not arm.loop and fired:
            wrong.append(f"{name.strip()}: a loop is told {fired} times where there is none")
    print(f"{time.perf_counter() - began:.0f} s")
    print("\n".join(f"FAULT {line}" for line in wrong) or "no fault")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
