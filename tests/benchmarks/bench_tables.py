"""Tables that packages bring along, each through init, validate and build, in the kinds of files that people have.

Without arguments: every CSV file of scikit-learn and statsmodels, whose target is the column named here or else the
last one, and variants of some of them (decimal commas, UTF-16, Windows-1252, workbooks, archives, Parquet, JSON lines,
Feather, patterns, folders, copies of rows, planted answers). More folders of CSV files are named with --folder. The
table that is printed says what became of each; the exit code is 1 where something ended otherwise than in a model or in
an error of exit 2 or 3 that says what is wrong, or where a planted answer came through or an honest table was refused
for one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.workbooks import workbook
from git_world import git
from modelops.cli import cli
from modelops.errors import ModelOpsError

TARGETS = {
    "anes96": "vote", "ccard": "OWNRENT", "fair": "rate_marriage", "randhie": "mdvis", "star98": "MATHTOT",
    "statecrime": "murder", "grunfeld": "invest", "macrodata": "unemp", "modechoice": "choice", "copper": "COPPERPRICE",
    "cpunish": "EXECUTIONS", "committee": "BILLS104", "fair_pt": "naffairs", "longley": "TOTEMP", "heart": "censors",
}  # fmt: skip
"""Targets of the files by their names without the ending; of the others it is the last column."""
LEAKS = {"copy", "reversed", "part", "two"}
HONEST = {"iris", "wine", "breast", "digits", "segments", "passengers"}


@dataclass
class Case:
    """One data set: what is given to init, and what was made of it."""

    name: str
    data: str
    target: str
    options: tuple[str, ...] = ()


def frames() -> dict[str, pd.DataFrame]:
    """Return honest tables, the last column of which is the target."""
    found = {
        name: load(as_frame=True).frame.assign(target=lambda d: d["target"].map("kind {}".format))
        for name, load in (
            ("iris", datasets.load_iris),
            ("wine", datasets.load_wine),
            ("breast", datasets.load_breast_cancer),
        )
    }
    found["digits"] = datasets.load_digits(as_frame=True).frame.assign(
        target=lambda d: d["target"].map("kind {}".format)
    )
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 7, 2310)
    # One column tells one kind from the rest, as green tells grass; none tells all seven.
    shades = {f"shade{n}": np.where(kind == n, 9.0, 0.0) + rng.normal(size=2310) for n in range(3)}
    noise = {f"noise{n}": rng.normal(size=2310) + kind * 0.3 for n in range(5)}
    found["segments"] = pd.DataFrame(shades | noise).round(3).assign(target=[f"kind {n}" for n in kind])
    sex, age, rank = (
        rng.choice(["m", "f"], 2201),
        rng.choice(["adult", "child"], 2201, p=[0.95, 0.05]),
        rng.integers(1, 5, 2201),
    )
    chance = 0.2 + 0.5 * (sex == "f") - 0.04 * rank
    alive = np.where(rng.random(2201) < chance, "yes", "no")
    found["passengers"] = pd.DataFrame({"class": rank, "age": age, "sex": sex, "target": alive})
    return found


def leaks() -> dict[str, pd.DataFrame]:
    """Return tables in which columns hold the answer: under another name, reversed, as a part, or two together."""
    rng = np.random.default_rng(4)
    rows = 1500
    base = pd.DataFrame(rng.normal(size=(rows, 3)).round(3), columns=["a", "b", "c"])
    y = rng.random(rows) < 1 / (1 + np.exp(-(base["a"] - 2.2)))
    left, right = rng.normal(size=rows).round(3), rng.normal(size=rows).round(3)
    label = np.where(y, "yes", "no")
    return {
        "copy": base.assign(leak=np.where(y, "booked", "open"), target=label),
        "reversed": base.assign(leak=1 - y.astype(int), target=label),
        "part": base.assign(leak=np.where(y, rng.uniform(9, 90, rows).round(2), 0.0), target=label),
        "two": base.assign(leak=left, other=right, target=(left + right).round(3)),
    }


def variants(folder: Path) -> Iterator[Case]:
    """Write one table in many kinds of files."""
    rng = np.random.default_rng(1)
    rows = 400
    table = pd.DataFrame(
        {
            "Ort": rng.choice(["Köln", "Genève", "NA"], rows),
            "kg": rng.integers(200, 9000, rows),
            "Preis": rng.uniform(1, 90, rows).round(2),
            "neu": rng.choice(["ja", "nein"], rows),
            "seit": pd.date_range("2015-01-01", periods=rows, freq="W").strftime("%d.%m.%Y"),
        }
    )
    table["teuer"] = np.where(table["kg"] + rng.normal(0, 2000, rows) > 4500, "Ja", "Nein")
    german = table.assign(kg=table["kg"].map("{:,}".format).str.replace(",", "."))
    plain = table.to_csv(index=False)
    texts = {
        "german": german.to_csv(index=False, sep=";", decimal=",").encode("utf-8-sig"),
        "utf16": plain.encode("utf-16"),
        "cp1252": plain.encode("cp1252"),
        "sep": b"sep=;\r\n" + plain.replace(",", ";").encode(),
        "comments": b"# exported\n# on a Monday\n" + plain.encode(),
        "archive": _zipped(plain),
        "jsonl": table.to_json(orient="records", lines=True).encode(),
        "sheet": workbook(
            {"Daten": [list(table.columns), *(list(map(_cell, row)) for row in table.itertuples(index=False))]}
        ),
    }
    for name, data in texts.items():
        (folder / f"{name}.dat").write_bytes(data)
        yield Case(f"as {name}", f"{folder}/{name}.dat", "teuer")
    table.to_parquet(folder / "a.parquet")
    table.to_feather(folder / "a.feather")
    yield Case("as parquet", f"{folder}/a.parquet", "teuer")
    yield Case("as feather", f"{folder}/a.feather", "teuer")
    (folder / "parts" / "inner").mkdir(parents=True)
    table.head(200).to_csv(folder / "parts/a.csv", index=False)
    table.tail(200).to_csv(folder / "parts/inner/b.csv.gz", index=False)
    (folder / "parts" / "README.md").write_text("what this is")
    yield Case("as folder", f"{folder}/parts", "teuer")
    yield Case("as pattern", f"{folder}/parts/**/*.csv*", "teuer")
    table.to_parquet(folder / "hive", partition_cols=["Ort"])
    yield Case("as partitions", f"{folder}/hive", "teuer")
    pd.concat([table] * 3).to_csv(folder / "copies.csv", index=False)
    yield Case("as copies of rows", f"{folder}/copies.csv", "teuer", ("--exclude", "seit"))


def _zipped(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", text)
    return file.getvalue()


def _cell(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def cases(folder: Path, more: list[Path]) -> Iterator[Case]:
    """Yield every data set; nothing of a package is run, its files are read where they are."""
    yield from variants(folder)
    for name, frame in (*frames().items(), *leaks().items()):
        frame.to_csv(folder / f"{name}.csv", index=False)
        yield Case(name, f"{folder}/{name}.csv", "target")
    packages = [find_spec(name) for name in ("sklearn", "statsmodels")]
    places = [Path(each.origin).parent / "datasets" for each in packages if each is not None and each.origin]
    for place in (*places, *more):
        for path in sorted(place.rglob("*.csv*")):
            stem = path.name.partition(".")[0]
            yield Case(str(path.relative_to(place)), str(path), TARGETS.get(stem, _last(path)))


def _last(path: Path) -> str:
    """Return the last name of the header, as a person would copy it."""
    with contextlib.suppress(UnicodeDecodeError, OSError):
        line = path.open(encoding="utf-8-sig").readline().rstrip("\r\n")
        mark = max(",;\t", key=line.count)
        return line.split(mark)[-1].strip().strip('"')
    return "target"


def run(*words: str) -> tuple[int, str]:
    """Run one command in this process; return its exit code and what it printed, or what was wrong."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            code = cli.main([*words], standalone_mode=False)
        except ModelOpsError as error:
            return int(error.exit), str(error)
    return int(code or 0), out.getvalue()


def through(case: Case, number: int, *, build: bool) -> tuple[str, bool]:
    """Take a data set to a build; return what became of it and whether that is as it should be."""
    model = f"m{number}"
    code, said = run("init", "--model", model, "--data", case.data, "--target", case.target, *case.options)
    if code:
        return f"init {code}: {said.strip().splitlines()[0][:110]}", code in (2, 3) and case.name not in HONEST
    leaked = case.name in LEAKS and not any("left out leak" in line for line in said.splitlines())
    drafted = said
    code, said = run("validate", f"models/{model}")
    if code:
        return f"validate {code}: {said.strip()[:110]}", False
    if not build:
        left = sum("left out" in line for line in drafted.splitlines())
        return f"a model, {left} columns left out" + (", LEAK" if leaked else ""), not leaked
    git(Path.cwd(), "add", "-A")
    git(Path.cwd(), "commit", "-q", "-m", model)
    code, said = run("build", model, "-o", "json")
    if code not in (0, 1):
        return f"build {code}: {said.strip()[:110]}", False
    answer = "holds the answer" in json.dumps(json.loads(said))
    words = "answer found by the gate" if answer else "built" if code == 0 else "stopped by a gate"
    right = not leaked and not (answer and case.name in HONEST) and code in (0, 1)
    return f"{words} (build {code})" + (", LEAK" if leaked else ""), right


def main() -> int:
    """Print what becomes of every table, or of those whose names hold a word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only data sets whose names hold one of these")
    parser.add_argument("--folder", type=Path, action="append", default=[], help="a folder of more CSV files")
    parser.add_argument("--no-build", action="store_true", help="only init and validate")
    given = parser.parse_args()
    wrong, count = 0, 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder, root = Path(name) / "data", Path(name) / "repository"
        folder.mkdir()
        root.mkdir()
        git(root, "init", "-q", "-b", "main")
        git(root, "config", "user.name", "Ada")
        git(root, "config", "user.email", "ada@example.com")
        os.chdir(root)
        run("init", "--approver", "ada", "--approver", "grace")
        for number, case in enumerate(cases(folder, given.folder)):
            if given.words and not any(word in case.name for word in given.words):
                continue
            began = time.monotonic()
            what, right = through(case, number, build=not given.no_build)
            wrong, count = wrong + (not right), count + 1
            print(f"{case.name:44} {time.monotonic() - began:6.1f} s  {'' if right else 'WRONG '}{what}", flush=True)
        os.chdir("/")
    print(f"{count} tables, {wrong} otherwise than they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
