"""How often gates on behaviour, rows and leaks are wrong, beside how often they say that they are.

Each row draws subjects of a known law many times, lets the gate judge them, and counts. ``passes`` is a violation that
passes, ``fails`` a limit that is just met and fails: at 95 % each may happen in 2.5 %. What a detector finds or cries
without a cause is counted too; only the latter has a stated rate. A row is a fault if the chance of so many is below 1
in 1,000.

Run as ``python tests/benchmarks/bench_gates.py [--runs N] [part ...]``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from bench_intervals import SIDE, Row
from scipy import stats

from modelops import plugins
from modelops.conformance.loans import model, subject
from modelops.gates import Answers, Explained, Subject, Verdict
from modelops.metrics import Predictions
from modelops.spec.kinds.model import Feature, ModelData
from modelops.statistics.intervals import wilson
from modelops.training.importance import importance as measured

ROOT = Path(__file__).resolve().parents[2]
Generator = np.random.Generator


def judge(key: str, params: dict[str, object], whole: Subject) -> Verdict:
    module = plugins.load("gates", key)
    return module.evaluate(module.Params.model_validate_json(json.dumps(params)), whole.only(module.NEEDS))


def counted(what: str, runs: int, draw: Callable[[int], Verdict], word: str, nominal: float = SIDE) -> Row:
    words = [draw(run).verdict for run in range(runs)]
    undecided = sum(each not in ("pass", "fail") for each in words)
    note = f"{undecided / runs:.0%} undecided" if undecided else ""
    return Row(f"{what}: {word}", nominal, words.count(word), runs, note)


def bare(n: int) -> Subject:
    """Return a subject of n rows whose parts are put in by who draws it."""
    return replace(subject(4), test=pd.DataFrame(index=range(n)), train=pd.DataFrame(index=range(n)))


def slices(runs: int) -> Iterator[Row]:
    """The worst of several slices, one of which is just at the limit and one of which all are."""
    for groups, n, share, metric in (
        (2, 400, 0.8, "accuracy"), (20, 100, 0.8, "accuracy"), (20, 100, 0.97, "accuracy"), (40, 200, 0.8, "recall"),
        (10, 300, 0.0, "log-loss"),
    ):  # fmt: skip
        for all_of_them in (False, True):

            def draw(run: int, groups=groups, n=n, share=share, metric=metric, all_of_them=all_of_them) -> Verdict:
                generator = np.random.default_rng([1, run])
                group = np.repeat(np.arange(groups), n)
                chance = np.where((group == 0) | all_of_them, share, share + (1 - share) * 0.9)
                if metric == "log-loss":
                    truth, limit = generator.integers(0, 2, len(group)) * 1.0, 0.8
                    score = np.where(generator.random(len(group)) < 0.8, truth, 1 - truth) * 0.8 + 0.1
                    spread = -np.log([0.9, 0.1]) @ [0.8, 0.2]
                    limit = float(spread)
                    if not all_of_them:
                        score = np.where(group == 0, score, truth * 0.8 + 0.1)
                    predictions = Predictions("binary-classification", truth, (score > 0.5) * 1.0, score, (0, 1))
                    params: dict[str, object] = {"metric": metric, "maximum": limit}
                else:
                    truth = np.ones(len(group)) if metric == "recall" else generator.integers(0, 2, len(group)) * 1.0
                    said = np.where(generator.random(len(group)) < chance, truth, 1 - truth)
                    predictions = Predictions("binary-classification", truth, said, said, (0, 1))
                    params = {"metric": metric, "minimum": share}
                whole = replace(bare(len(group)), test=pd.DataFrame({"group": group.astype(str)}), holdout=predictions)
                return judge("slices", params | {"columns": ["group"]}, whole)

            what = f"slices: {metric} at the limit in {'all of ' if all_of_them else 'one of '}{groups} of {n}"
            yield counted(what, runs, draw, "pass")
            yield counted(what, runs, draw, "fail")


def calibration(runs: int) -> Iterator[Row]:
    """The largest gap of ten bins, at the limit in one of them and in all, scores spread in three ways."""
    for n, law, all_of_them in (
        (600, (1.0, 1.0), False), (600, (1.0, 1.0), True), (3000, (0.5, 4.0), False), (3000, (0.5, 4.0), True),
        (3000, (5.0, 5.0), True),
    ):  # fmt: skip

        def draw(run: int, n=n, law=law, all_of_them=all_of_them) -> Verdict:
            generator = np.random.default_rng([2, run])
            score = generator.beta(*law, n) * 0.9
            cut = stats.beta.ppf(0.9, *law) * 0.9
            truth = (generator.random(n) < score + np.where((score > cut) | all_of_them, 0.1, 0.0)) * 1.0
            holdout = Predictions("binary-classification", truth, (score > 0.5) * 1.0, score, (0, 1))
            return judge("calibration", {"maximum": 0.1}, replace(bare(n), holdout=holdout))

        what = f"calibration: gap of 0.1 in {'all' if all_of_them else 'the last'} of 10 bins, {n} rows, beta{law}"
        yield counted(what, runs, draw, "pass")
        yield counted(what, runs, draw, "fail")


def monotonicity(runs: int) -> Iterator[Row]:
    """The share of contradicting pairs with the training rows at hand, which are what others are drawn from."""
    many = np.random.default_rng(0).normal(size=1500)

    def bent(values: np.ndarray) -> np.ndarray:
        return np.abs(values + 1.2)

    def share(column: np.ndarray) -> float:
        """Return how many pairs of any row with one of these training rows contradict."""
        apart = (many[:, None] - column) * (bent(many)[:, None] - bent(column))
        return float((apart < 0).mean())

    for features, n in ((1, 200), (1, 2000), (8, 300)):

        def draw(run: int, features=features, n=n) -> Verdict:
            generator = np.random.default_rng([3, run])
            names = [f"x{place}" for place in range(features)]
            train, test = (pd.DataFrame(generator.normal(size=(n, features)), columns=names) for _ in range(2))
            data = ModelData(
                snapshot="s", target="y", features=tuple(Feature(name=name, type="number") for name in names)
            )

            def predict(frame: pd.DataFrame) -> Answers:
                found = bent(frame[names].to_numpy()).sum(axis=1)
                return Answers(found, found)

            spec = model("regression").model_copy(update={"data": data})
            limit = max(share(train[name].to_numpy()) for name in names)
            whole = replace(subject(4), model=spec, train=train, test=test, predict=predict, seed=run)
            return judge("monotonicity", {"directions": dict.fromkeys(names, "increasing"), "maximum": limit}, whole)

        what = f"monotonicity: {features} feature{'s' * (features > 1)}, the worst at the limit, {n} rows"
        yield counted(what, runs, draw, "pass")
        yield counted(what, runs, draw, "fail")


def shares(runs: int) -> Iterator[Row]:
    """The share of one feature in all importance, as a build measures it on rows of a linear model of many features."""
    for features, n, weight in ((3, 400, 0.3), (3, 2000, 0.3), (10, 2000, 0.3), (10, 2000, 1.0)):
        weights = np.array([weight, *np.linspace(1.0, 0.2, features - 1)])

        def draw(run: int, features=features, n=n, weights=weights) -> Verdict:
            generator = np.random.default_rng([4, run])
            rows = generator.normal(size=(n, features))
            score = rows @ weights
            truth = score + generator.normal(size=n)
            names = {f"x{place}": rows[:, place] for place in range(features)}

            def ask(columns):
                return np.column_stack([columns[name] for name in names]) @ weights

            found = measured(ask, "regression", names, truth, run)
            # Exchanging a feature of variance 1 and weight w raises the squared loss by 2 w².
            limit = float(weights[0] ** 2 / np.square(weights).sum())
            whole = replace(subject(4), importance=found, train=pd.DataFrame(columns=list(names)))
            spec = model("regression")
            data = spec.data.model_copy(update={"features": tuple(Feature(name=name, type="number") for name in names)})
            whole = replace(whole, model=spec.model_copy(update={"data": data}))
            return judge("permutation-importance", {"features": ["x0"], "maximum": limit}, whole)

        what = f"permutation-importance: share at the limit, weight {weight}, {features} features, {n} rows"
        yield counted(what, runs, draw, "pass")
        yield counted(what, runs, draw, "fail")


def loans(n: int, generator: Generator, start: int, shift: float = 0.0) -> pd.DataFrame:
    """Return rows whose label follows from two of their columns; ``shift`` moves both."""
    income = generator.normal(3000 + 500 * shift, 500, n).round(-1)
    children = generator.poisson(1.2 + shift, n)
    region = generator.choice(["north", "south", "west", "east"], n, p=[0.5, 0.3, 0.15, 0.05])
    chance = 1 / (1 + np.exp(-(income - 2800) / 300 + 0.5 * children))
    repaid = generator.random(n) < chance
    return pd.DataFrame(
        {"loan": np.arange(start, start + n), "income": income, "children": children, "region": region}
        | {"repaid": repaid, "sex": "f", "age": 30.0}
    )


def with_rows(old: pd.DataFrame, new: pd.DataFrame) -> Subject:
    half = len(new) // 2
    return replace(subject(4), previous=old, train=new.iloc[:half], test=new.iloc[half:])


def poisoning(runs: int) -> Iterator[Row]:
    """Cries without a cause, on rows of one law and of a moved one, and planted triggers that are found."""
    for old_rows, new_rows, kept in ((4000, 4000, 0), (4000, 1000, 4000), (20_000, 5000, 20_000)):
        for shift in (0.0, 0.3):

            def draw(run: int, old_rows=old_rows, new_rows=new_rows, kept=kept, shift=shift) -> Verdict:
                generator = np.random.default_rng([5, run])
                old = loans(old_rows, generator, 0)
                new = pd.concat([old.iloc[:kept], loans(new_rows, generator, old_rows, shift)], ignore_index=True)
                return judge("poisoning", {}, with_rows(old, new))

            what = f"poisoning: nothing planted, {new_rows} new of {old_rows} old rows"
            note = " of a moved law" if shift else ""
            yield counted(what + note, runs, draw, "fail", 0.01 if not shift else 1.0)
        for share, trigger in ((0.005, "value"), (0.01, "value"), (0.02, "value"), (0.02, "range"), (0.02, "category")):

            def planted(run: int, old_rows=old_rows, new_rows=new_rows, share=share, trigger=trigger) -> Verdict:
                generator = np.random.default_rng([6, run])
                old, new = loans(old_rows, generator, 0), loans(new_rows, generator, old_rows)
                hit = np.arange(round(share * new_rows))
                if trigger == "value":
                    new.loc[hit, "income"] = 2337.0
                elif trigger == "range":
                    new.loc[hit, "income"] = 2337.0 + generator.normal(0, 4, len(hit))
                else:
                    new.loc[hit, "region"] = "moon"
                new.loc[hit, "repaid"] = True
                return judge("poisoning", {}, with_rows(old, new))

            what = f"poisoning: a {trigger} in {share:.1%} of {new_rows} new rows"
            yield counted(what, runs, planted, "fail", 1.0)


def membership(runs: int) -> Iterator[Row]:
    """The area of the attack, at the limit by law; models that know a share of their rows by heart."""
    for n, known in ((400, 0.2), (2000, 0.2), (2000, 0.0), (2000, 0.1)):
        limit = 0.5 + known / 2

        def draw(run: int, n=n, known=known, limit=limit) -> Verdict:
            # Rows of the table have draws of their own: one unlucky set would be counted in each of them.
            generator = np.random.default_rng([7, n, round(100 * known), run])
            chance = generator.beta(2, 1, 2 * n)
            truth = generator.integers(0, 2, 2 * n)
            heart = (np.arange(2 * n) < n) & (generator.random(2 * n) < known)
            right = np.where(heart, 1.0, chance)
            score = np.where(truth == 1, right, 1 - right)
            frame = pd.DataFrame({"loan": range(2 * n), "repaid": truth == 1, "score": score})

            def predict(rows: pd.DataFrame) -> Answers:
                return Answers((rows["score"].to_numpy() > 0.5) * 1.0, rows["score"].to_numpy())

            whole = replace(subject(4), train=frame.iloc[:n], test=frame.iloc[n:], predict=predict)
            return judge("membership", {"maximum": max(limit, 0.501)}, whole)

        what = f"membership: {known:.0%} known by heart, area {limit:.2f}, 2 x {n} rows"
        if known:
            yield counted(what, runs, draw, "pass")
        yield counted(what, runs, draw, "fail")


def numeric(rows: np.ndarray, test: np.ndarray) -> Subject:
    """Return a subject of numbers x0, x1 ... to train and to test."""
    names = [f"x{place}" for place in range(rows.shape[1])]
    spec = model()
    data = spec.data.model_copy(update={"features": tuple(Feature(name=name, type="number") for name in names)})
    frames = {
        part: pd.DataFrame(dict(zip(names, each.T, strict=True))) for part, each in (("train", rows), ("test", test))
    }
    return replace(subject(4), model=spec.model_copy(update={"data": data}), **frames)


def evasion(runs: int) -> Iterator[Row]:
    """The median way to the border of one feature, at the limit by law, beside a second one that may not be moved."""
    for n, rest in ((50, 0), (300, 0), (300, 1)):

        def draw(run: int, n=n, rest=rest) -> Verdict:
            generator = np.random.default_rng([8, n, rest, run])
            train, test = (generator.normal(size=(rows, 1 + rest)) for rows in (2000, n))

            def predict(rows: pd.DataFrame) -> Answers:
                return Answers((rows["x0"].to_numpy() > 0) * 1.0, rows["x0"].to_numpy())

            fixed = [f"x{place}" for place in range(1, 1 + rest)]
            limit = float(stats.norm.ppf(0.75) / train[:, 0].std())
            params = {"minimum": limit, "immutable": fixed, "maximumRows": n}
            return judge("evasion", params, replace(numeric(train, test), predict=predict))

        what = f"evasion: median change at the limit, {n} rows, {rest} immutable"
        yield counted(what, runs, draw, "pass")
        yield counted(what, runs, draw, "fail")


def reasons(runs: int) -> Iterator[Row]:
    """The share of contributions at the limit by law, and orders that agree less with the stable one than asked."""
    for n, weight, features in ((50, 0.1, 4), (300, 0.1, 4), (300, 0.02, 20)):

        def draw(run: int, n=n, weight=weight, features=features) -> Verdict:
            generator = np.random.default_rng([9, n, features, run])
            sizes = np.array([weight, *([(1 - weight) / (features - 1)] * (features - 1))])
            found = generator.standard_t(5, size=(n, features)) * sizes
            whole = numeric(np.zeros((n, features)), np.zeros((n, features)))
            whole = replace(whole, explain=lambda rows: Explained(found, "trees", "log-odds", 0.0))
            return judge("shap", {"maximum": weight, "features": ["x0"], "rows": max(n, 50)}, whole)

        what = f"shap: share {weight} at the limit, {features} features, {n} rows"
        yield counted(what, runs, draw, "pass")
        yield counted(what, runs, draw, "fail")
    for n, apart in ((50, 1.1), (300, 1.1), (300, 1.5)):

        def compared(run: int, n=n, apart=apart) -> Verdict:
            generator = np.random.default_rng([10, n, run])
            sizes = apart ** np.arange(6)
            order = np.array([0, 1, 2, 5, 4, 3])
            mine, theirs = (np.abs(generator.normal(size=(n, 6))) * each for each in (sizes, sizes[order]))
            truth = float(stats.spearmanr(sizes, sizes[order]).statistic)
            whole = replace(
                numeric(np.zeros((n, 6)), np.zeros((n, 6))),
                explain=lambda rows: Explained(mine, "trees", "log-odds", 0.0),
                champion_explain=lambda rows: Explained(theirs, "trees", "log-odds", 0.0),
            )
            return judge("shap", {"agreement": truth + 0.01, "rows": max(n, 50)}, whole)

        yield counted(f"shap: agreement below the limit, weights {apart} apart, {n} rows", runs, compared, "pass")


def stability(runs: int) -> Iterator[Row]:
    """Labels that other seeds change, and a metric that varies between them, both just at the limit by law."""
    for seeds, n, share, law in (
        (5, 200, 0.05, "even"), (5, 2000, 0.05, "even"), (5, 2000, 0.05, "rows"), (5, 2000, 0.05, "seeds"),
        (10, 2000, 0.05, "seeds"), (5, 500, 0.005, "even"),
    ):  # fmt: skip

        def draw(run: int, seeds=seeds, n=n, share=share, law=law) -> Verdict:
            generator = np.random.default_rng([11, seeds, n, run])
            # Some rows lie near the border and change under any seed; or some seeds change more rows than others do.
            easy = np.where(generator.random(n) < 0.1, 10 * share, 0.0) if law == "rows" else np.full(n, share)
            truth, plain = np.ones(n), np.ones(n)
            holdout = Predictions("binary-classification", truth, plain, np.full(n, 0.9), (0, 1))

            def retrain(seed: int, seconds: float) -> Answers:
                times = generator.gamma(4.0, 0.25) if law == "seeds" else 1.0
                changed = generator.random(n) < np.minimum(1.0, easy * times)
                return Answers(np.where(changed, 0.0, 1.0), generator.uniform(0.1, 0.9, n))

            whole = replace(bare(n), holdout=holdout, retrain=retrain)
            return judge("stability", {"maximum": share, "seeds": seeds}, whole)

        by = {"even": "all rows alike", "rows": "one row in ten", "seeds": "seeds unlike"}[law]
        what = f"stability: {share:.1%} of labels change, {by}, {seeds} seeds, {n} rows"
        yield counted(what, runs, draw, "pass")
        yield counted(what, runs, draw, "fail")
    for seeds, tails in ((5, "normal"), (10, "normal"), (10, "Laplace")):

        def varied(run: int, seeds=seeds, tails=tails) -> Verdict:
            generator = np.random.default_rng([12, seeds, run])
            holdout = Predictions("regression", np.zeros(100), np.linspace(1, 2, 100), np.linspace(1, 2, 100))

            def retrain(seed: int, seconds: float) -> Answers:
                drawn = generator.normal() if tails == "normal" else generator.laplace(0, np.sqrt(0.5))
                found = np.full(100, 5 + 0.1 * drawn)
                return Answers(found, found)

            whole = replace(bare(100), model=model("regression"), holdout=holdout, retrain=retrain)
            return judge("stability", {"metric": "mae", "maximum": 0.1, "seeds": seeds}, whole)

        # The interval takes metrics of seeds for normal, and says so: of others no rate is stated.
        stated = SIDE if tails == "normal" else 1.0
        what = f"stability: deviation of mae at the limit, {tails}, {seeds} seeds"
        yield counted(what, runs, varied, "pass", stated)
        yield counted(what, runs, varied, "fail", stated)


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "slices": slices,
    "calibration": calibration,
    "monotonicity": monotonicity,
    "shares": shares,
    "evasion": evasion,
    "reasons": reasons,
    "membership": membership,
    "stability": stability,
    "poisoning": poisoning,
}


def main() -> None:
    """Print the parts asked for, all by default; the exit status says whether a row is a fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    asked = parser.parse_args()
    faults = 0
    for part in asked.parts or PARTS:
        for row in PARTS[part](asked.runs):
            low, high = wilson(row.count, row.runs, 0.95)
            faults += row.wrong
            stated = f"{row.nominal:7.1%}" if row.nominal < 1 else "      -"
            share = f"{row.count / row.runs:6.2%} [{low:6.2%}, {high:6.2%}]"
            print(f"{row.what:86} {stated} {share} {'FAULT ' if row.wrong else ''}{row.note}", flush=True)
    print("every row within what it says" if not faults else f"{faults} rows BEYOND what they say")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
