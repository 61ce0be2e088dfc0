"""The page about attacks on models: how often each is seen, from the counts that its benchmark wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from modelops.statistics.intervals import exact_proportion

DOCS = Path(__file__).resolve().parent
TESTS = {
    "poisoning": "test_25_planted_rows.py",
    "evasion": "test_27_answers_got_around.py",
    "extraction": "test_28_model_copied.py",
    "membership": "test_26_rows_given_away.py",
    "inversion": "test_29_features_guessed.py",
    "supply-chain": "test_12_crafted_files.py",
}
INTRODUCTION = """# Attacks on models

Each attack is planted on the bundled `fraud-detection` model, trained by its own code on rows of its own generator,
many times over; the gate or guard that is to see it judges each. The other rows are the same model without an attack. A
share has the 95 % interval of Clopper and Pearson. These are rates of these attacks, at this strength, on this model:
another attack may go unseen. An alarm is a verdict `fail`; what is undecided blocks too, unless a policy lets it by.

`python tests/benchmarks/bench_attacks.py --write` draws, trains and counts everything anew.

| attack | judged by | planted, or not | alarms | share | undecided |
| --- | --- | --- | --- | --- | --- |
"""


def attacks_page() -> str:
    """Return the page; an attack without counts, or without a test, is an error."""
    found: dict[str, Any] = yaml.safe_load((DOCS / "attacks.yaml").read_text(encoding="utf-8"))
    if found.keys() != TESTS.keys():
        raise SystemExit(f"docs/attacks.yaml has {', '.join(found)}, and there are tests of {', '.join(TESTS)}")
    lines = [_row(name, told["by"], one) for name, told in found.items() for one in told["rows"]]
    tests = [f"- {name}: `tests/threats/{file}`" for name, file in TESTS.items() if _is_there(file)]
    shown = "## Shown by\n\nOne attack of each is a test, and [threats](threats.md) says what remains of it:\n\n"
    return INTRODUCTION + "\n".join(lines) + "\n\n" + shown + "\n".join(tests) + "\n"


def _is_there(file: str) -> bool:
    if not (DOCS.parent / "tests" / "threats" / file).is_file():
        raise SystemExit(f"docs/attacks.py names tests/threats/{file}, which does not exist")
    return True


def _row(name: str, by: str, one: dict[str, Any]) -> str:
    low, high = exact_proportion(one["alarms"], one["runs"], 0.95)
    kind = "planted: " if one["planted"] else "not: "
    share = f"{one['alarms'] / one['runs']:.1%} [{low:.1%}, {high:.1%}]".replace("%", " %")
    return f"| {name} | {by} | {kind}{one['what']} | {one['alarms']} of {one['runs']} | {share} | {one['undecided']} |"
