"""Personal rows: no value of a single person gets into git, and data that would is warned of before it does."""

from __future__ import annotations

import contextlib
import csv
import io
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_world import git, nobodys_configuration
from modelops import drift, summaries
from modelops.artifacts.frame import unquoted
from modelops.cli import main
from modelops.errors import Problem
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.load import load_resource
from modelops.spec.meta import Plugin

PLANS = ("basic", "family", "business")


def people(path: Path, count: int, seed: int = 7) -> list[dict[str, str]]:
    """Write a table of customers as a shop has them; one of them earns what nobody else does."""
    chance = random.Random(seed)
    rows = []
    for n in range(count):
        income = round(chance.lognormvariate(10, 0.4), 2) if n else 1_234_567.89
        first, last = f"Vorname{n:03d}", f"Nachname{chance.randrange(10**6):06d}"
        born = f"{chance.randrange(1, 28)}/{chance.randrange(1, 12)}/{chance.randrange(1940, 2005)}"
        row = {
            "full_name": f"{first} {last}",
            "email": f"{first.lower()}.{last.lower()}@example.org",
            "iban": f"DE{chance.randrange(10**20):020d}",
            "phone": f"+49 30 {chance.randrange(10**7):07d}",
            "born": born,
            "insurance": str(chance.randrange(10**9)),
            "diagnosis": f"note {chance.randrange(10**5):05d}" if n % 17 == 0 else "healthy",
            "income": str(income),
            "plan": chance.choice(PLANS) if n % 50 else f"special{n}",
            "left": "yes" if chance.gauss(0, 1) + income / 50_000 > 0.6 else "no",
        }
        rows.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a new repository that one works in."""
    root = tmp_path / "shop"
    root.mkdir()
    with nobodys_configuration(tmp_path):
        git(root, "init", "-q", "-b", "main")
        git(root, "config", "user.name", "Ada")
        git(root, "config", "user.email", "ada@example.com")
        monkeypatch.chdir(root)
        yield root


def init(*words: str) -> str:
    """Scaffold the model m from a file that predicts who leaves, and return what the verb said."""
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(out):
        main(["init", "--model", "m", "--data", *words, "--target", "left", "--approver", "grace"])
    assert ended.value.code in (0, None), out.getvalue()
    return out.getvalue()


@pytest.mark.parametrize("count", [40, 400])
def test_nothing_that_init_writes_quotes_a_person(shop: Path, tmp_path: Path, count: int):
    """Names, addresses, accounts, dates and incomes are in no file of the repository, however few rows there are."""
    rows = people(tmp_path / "elsewhere/people.csv", count)
    init(str(tmp_path / "elsewhere/people.csv"))
    git(shop, "add", "-A")
    files = git(shop, "ls-files").splitlines()
    written = "\n".join((shop / path).read_text() for path in files if path.startswith("models/"))
    shared = {value for name in rows[0] for value, n in Counter(row[name] for row in rows).items() if n >= 10}
    for row in rows:
        for name, value in row.items():
            if value in shared or name == "left":
                continue
            assert not re.search(rf"(?<![\w.]){re.escape(value)}(?![\w.])", written), f"{name}: {value}"
            if name == "income":
                assert not re.search(rf"(?<![\w.]){re.escape(value.removesuffix('.0'))}(?![\w.])", written)
    assert ("basic" in written) == ("basic" in shared)


def test_init_warns_of_columns_about_persons_and_of_data_on_its_way_into_git(shop: Path):
    """The warning names the columns, and the line that keeps the file out from now on; ignored data needs none."""
    people(shop / "data/people.csv", 60)
    said = init("data/people.csv")
    for words in ("full_name (names)", "email (e-mail addresses)", "iban (bank accounts)", "phone (phone numbers)"):
        assert words in said
    assert "data/people.csv holds data about persons, so `/data/people.csv` was added to .gitignore" in said
    assert (shop / ".gitignore").read_text().splitlines()[-1] == "/data/people.csv"


def test_data_that_git_ignores_is_not_warned_of(shop: Path):
    people(shop / "data/people.csv", 60)
    (shop / ".gitignore").write_text("/data/\n")
    assert "was added to .gitignore" not in init("data/people.csv")
    assert (shop / ".gitignore").read_text().splitlines()[0] == "/data/"


def test_a_large_file_is_warned_of_whatever_it_holds(shop: Path):
    lines = [f"{n % 97},{(n * 7) % 89},{'yes' if n % 3 else 'no'}" for n in range(150_000)]
    (shop / "big.csv").write_text("\n".join(["a,b,left", *lines]))
    said = init("big.csv")
    assert "big.csv has 1." in said
    assert "`/big.csv` was added to .gitignore" in said
    assert "about persons" not in said


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9, width=32), min_size=1, max_size=300))
def test_no_bin_that_is_written_holds_fewer_rows_than_it_may(values: list[float]):
    """Rows are neither lost nor made; every bin that is not empty has enough of them, unless all together have not."""
    column = pa.chunked_array([pa.array(values)])
    low, high = min(values), max(values)
    ends = summaries.outward(low, high, values.count(low), values.count(high)) or (None, None)
    found = summaries.shareable(summaries.summarise(column, "number"), *ends)
    assert sum(found.counts) == len(values)
    assert len(found.counts) == len(found.edges) + 1 == len(found.means)
    assert list(found.edges) == sorted(set(found.edges))
    assert all(n == 0 or n >= summaries.SHARED for n in found.counts) or len(found.counts) == 1
    assert summaries.count(found, column).counts == found.counts
    for end, exact in ((ends[0], low), (ends[1], high)):
        assert end is None or end == exact or abs(end - exact) <= (high - low) or end in (np.inf, -np.inf)
    if None not in ends:
        assert ends[0] <= low
        assert ends[1] >= high


@pytest.mark.parametrize("seed", range(3))
def test_drift_is_still_seen_in_what_is_written(seed: int):
    """The same distribution scores low and a shifted one high, also from few rows with rare categories."""
    rng = np.random.default_rng(seed)
    numbers = pa.chunked_array([pa.array(rng.lognormal(3, 0.5, 400))])
    rare = [*map(str, range(30))]
    shares = [0.4, 0.3, 0.2, *[0.1 / 30] * 30]
    words = pa.chunked_array([pa.array(rng.choice(["a", "b", "c", *rare], 400, p=shares))])
    low, high = 0.0, 1000.0
    references = (
        summaries.shareable(summaries.summarise(numbers, "number"), low, high),
        summaries.shareable(summaries.summarise(words, "category"), None, None),
    )
    assert references[1].categories == ("a", "b", "c")
    windows = (
        (
            pa.chunked_array([pa.array(rng.lognormal(3, 0.5, 400))]),
            pa.chunked_array([pa.array(rng.lognormal(4, 0.5, 400))]),
        ),
        (
            pa.chunked_array([pa.array(rng.choice(["a", "b", "c", "7"], 400, p=[0.4, 0.3, 0.2, 0.1]))]),
            pa.chunked_array([pa.array(rng.choice(["a", "b", "new"], 400, p=[0.1, 0.3, 0.6]))]),
        ),
    )
    bound = drift.bind(Plugin(type="psi"))
    for reference, (same, other) in zip(references, windows, strict=True):
        sketch = bound.module.fit(bound.params, reference)
        near, far = (
            bound.module.score(bound.params, sketch, bound.module.count(sketch, each), 0.01) for each in (same, other)
        )
        assert near.level == "none"
        assert far.level == "alert"


def test_a_signed_reason_does_not_quote_the_value_of_a_row():
    """What a gate could not read is told by column and row; people are not."""
    told = unquoted(Problem("bad-value", "column 'age', row 17: 'Grace Hopper' is not a number"))
    assert told == "column 'age', row 17: its value cannot be read"


def spec_of(path: Path) -> DataSnapshotSpec:
    return load_resource(path.read_bytes(), "models/m/data/initial.yaml").spec


def test_columns_that_the_model_does_not_use_are_counted_and_not_quoted(shop: Path, tmp_path: Path):
    """Neither range nor mean nor frequent values of what is left out are written."""
    people(tmp_path / "elsewhere/people.csv", 400)
    init(str(tmp_path / "elsewhere/people.csv"))
    spec = spec_of(shop / "models/m/data/initial.yaml")
    features = {
        feature.name
        for feature in load_resource(
            (shop / "models/m/model.yaml").read_bytes(), "models/m/model.yaml"
        ).spec.data.features
    }
    for column in spec.columns:
        if column.name not in features and column.name != "left":
            assert (column.minimum, column.maximum, column.mean, column.top) == (None, None, None, {}), column.name
    (income,) = (column for column in spec.columns if column.name == "income")
    assert income.maximum == 2_000_000.0
    assert set(spec.profile["plan"].categories) == set(PLANS)
    assert spec.profile["plan"].other == 8
