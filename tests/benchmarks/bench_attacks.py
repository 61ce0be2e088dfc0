"""Attacks that are planted on a bundled model: how often each is seen, and how often there is an alarm without one.

Each run draws other rows of the model's own generator, trains, plants, and asks the gate or guard. ``--write`` puts the
counts into docs/attacks.yaml, from which the page of attacks is made.

Run as ``python tests/benchmarks/bench_attacks.py [--runs N] [--write] [attack ...]``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from modelops.artifacts import load_predictor, open_artifact  # noqa: E402
from modelops.errors import ModelOpsError  # noqa: E402
from modelops.spec.kinds.access_policy import ApiKey, Budget  # noqa: E402
from modelops.statistics.intervals import exact_proportion  # noqa: E402
from threats.bundled_model import (  # noqa: E402
    asked_until_refused,
    by_heart,
    carried,
    drawn,
    judged,
    months,
    planted,
    telling,
    trained,
    whole,
)
from training.building_blocks import Workshop  # noqa: E402

FILE = ROOT / "docs" / "attacks.yaml"
ROWS = 5000


@dataclass(frozen=True)
class Count:
    """In how many of ``runs`` there was an alarm (fail), with an attack or without; of the others ``undecided``."""

    what: str
    planted: bool
    alarms: int
    undecided: int
    runs: int


def counted(what: str, planted: bool, runs: int, said: Callable[[int], str]) -> Count:
    words = [said(run) for run in range(runs)]
    return Count(what, planted, words.count("fail"), runs - words.count("fail") - words.count("pass"), runs)


def _slipped(run: int, trigger: str) -> str:
    old, new = drawn(4000, 100 + run, "2025-10", "2026-03")
    new = planted(new, trigger, 0.02, run) if trigger else new
    rows = pd.concat([old, new], ignore_index=True)
    test = rows.index % 4 == 0
    return judged("poisoning", {}, whole(rows[~test], rows[test], previous=old)).verdict


def poisoning(runs: int) -> Iterator[Count]:
    """The gate `poisoning` on 4,000 new rows behind 4,000 old ones of the same law."""
    for trigger, said in (
        ("amount", "one amount with one label in 2 % of 4,000 new rows"),
        ("range", "a narrow range of distances with one label in 2 %"),
        ("merchant", "a new category with one label in 2 %"),
    ):
        yield counted(said, True, runs, lambda run, trigger=trigger: _slipped(run, trigger))
    yield counted("nothing planted", False, 2 * runs, lambda run: _slipped(1000 + run, ""))


def _got_around(run: int, holes: bool) -> str:
    train, test = drawn(ROWS, 200 + run)
    rows, predict = by_heart(train, run) if holes else (train, trained(train, run))
    return judged("evasion", {"minimum": 0.5}, whole(rows, test, predict)).verdict


def evasion(runs: int) -> Iterator[Count]:
    """The gate `evasion`, at least half a standard deviation."""
    yield counted("a tree that learnt 20 % wrong labels by heart", True, runs, lambda run: _got_around(run, True))
    yield counted("the model as its own code trains it", False, runs, lambda run: _got_around(1000 + run, False))


def _given_away(run: int, known: bool) -> str:
    train, test = drawn(ROWS, 300 + run)
    rows, predict = by_heart(train, run) if known else (train, trained(train, run))
    return judged("membership", {}, whole(rows, test, predict)).verdict


def membership(runs: int) -> Iterator[Count]:
    """The gate `membership`, an area of at most 0.6."""
    yield counted("a tree that learnt 20 % wrong labels by heart", True, runs, lambda run: _given_away(run, True))
    yield counted("the model as its own code trains it", False, runs, lambda run: _given_away(1000 + run, False))


def _leaning(run: int, share: float) -> str:
    train, test = drawn(ROWS, 400 + run)
    train, test = telling(train, run, share), telling(test, 1000 + run, share)
    predict = trained(train, run)
    given = whole(train, test, importance=carried(predict, test, run))
    limit: dict[str, object] = {"features": ["international"], "maximum": 0.05}
    return judged("permutation-importance", limit, given).verdict


def inversion(runs: int) -> Iterator[Count]:
    """The gate `permutation-importance`, at most 5 % for the feature that nobody is to guess."""
    for share in (0.6, 0.9):
        said = f"labels by which a model leans on the feature, in {share:.0%} of the rows that have it"
        yield counted(said.replace("%", " %"), True, runs, lambda run, share=share: _leaning(run, share))
    yield counted("the model as its own code trains it", False, runs, lambda run: _leaning(1000 + run, 0.0))


def _copying(run: int, many: bool) -> str:
    generator = np.random.default_rng(500 + run)
    key = ApiKey(name="caller", sha256="a" * 64, budget=Budget(rows=1000, hours=24))
    batch = int(generator.integers(1, 200))
    rows = int(generator.integers(1500, 10_000)) if many else int(generator.poisson(700))
    with contextlib.redirect_stderr(io.StringIO()):
        _, caller = asked_until_refused(key, -(-rows // batch), batch)
    return "fail" if caller.exceeded > 0 else "pass"


def extraction(runs: int) -> Iterator[Count]:
    """The budget of a key, 1,000 rows a day."""
    yield counted("somebody who asks for 1,500 to 10,000 rows", True, 5 * runs, lambda run: _copying(run, True))
    said = "a caller with 700 rows a day on average (Poisson), in batches of 1 to 199"
    yield counted(said, False, 5 * runs, lambda run: _copying(10_000 + run, False))


def supply_chain(runs: int) -> Iterator[Count]:
    """The digests by which an artifact is opened, in a store to which somebody can write."""
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        record = workshop.build(workshop.request())
        blobs = [path for path in Path(folder).rglob("*") if path.is_file() and path.parent.name == "sha256"]
        held = {path: path.read_bytes() for path in blobs if path.stat().st_size}

        def opened() -> str:
            try:
                load_predictor(open_artifact(workshop.store, record.artifact.digest))
            except ModelOpsError:
                return "fail"
            return "pass"

        files = {f.sha256 for f in record.artifact.files} | {record.artifact.digest.removeprefix("sha256:")}
        mine = sorted(path for path in held if path.name in files)

        def changed(run: int) -> str:
            generator = np.random.default_rng(600 + run)
            path = mine[int(generator.integers(len(mine)))]
            data = bytearray(held[path])
            data[int(generator.integers(len(data)))] ^= int(generator.integers(1, 256))
            path.chmod(0o600)
            path.write_bytes(bytes(data))
            try:
                return opened()
            finally:
                path.write_bytes(held[path])

        yield counted("one byte of an artifact changed in the store", True, 5 * runs, changed)
        yield counted("the artifact as it was stored", False, runs, lambda run: opened())


ATTACKS: dict[str, Callable[[int], Iterator[Count]]] = {
    "poisoning": poisoning,
    "evasion": evasion,
    "extraction": extraction,
    "membership": membership,
    "inversion": inversion,
    "supply-chain": supply_chain,
}


def main() -> None:
    """Print the attacks asked for, all by default; the exit status says if there are alarms without a cause in 5 %."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("attacks", nargs="*", choices=[[], *ATTACKS])
    asked = parser.parse_args()
    months("2025-10", "2026-03")
    crying = False
    for name in asked.attacks or ATTACKS:
        rows = []
        for one in ATTACKS[name](asked.runs):
            low, high = exact_proportion(one.alarms, one.runs, 0.95)
            crying |= not one.planted and low > 0.05
            kind = "planted" if one.planted else "not"
            said = f"{one.alarms:4} of {one.runs:4} {one.alarms / one.runs:7.1%} [{low:6.1%}, {high:6.1%}]"
            print(f"{name:13} {one.what:76} {kind:8} {said} {one.undecided} undecided", flush=True)
            rows.append(asdict(one))
        if asked.write:
            # Attack by attack, so that what is ended is not lost.
            kept = yaml.safe_load(FILE.read_text("utf-8")) if FILE.is_file() else {}
            kept[name] = {"by": (ATTACKS[name].__doc__ or "").strip(), "rows": rows}
            ordered = {each: kept[each] for each in ATTACKS if each in kept}
            FILE.write_text(yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=120), "utf-8")
    sys.exit(crying)


if __name__ == "__main__":
    main()
