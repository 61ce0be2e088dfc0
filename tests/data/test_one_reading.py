"""A text has one value: in a file, read column by column, and in a request or label, read by itself."""

from __future__ import annotations

import io
from collections import Counter
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.snapshots import Project, column
from data.workbooks import workbook
from modelops import data, plugins
from modelops.data.columns import ColumnForm, Guess, converted
from modelops.data.texts import USUAL, read_texts
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec
from modelops.spec.meta import FeatureType
from modelops.spec.texts.reading import DATE_FORMATS, EPOCHS, FORMATS, UNFIT, ColumnReading, TextReading, numbers_of
from modelops.spec.texts.words import MONTH_NAMES, PAIRS, WEEKDAY_NAMES

MONTHS = st.sampled_from([name for names in MONTH_NAMES for name in sorted(names)])
PIECES = st.one_of(
    st.sampled_from(
        ["1", "12", "2024", "98", "-", "+", ".", ",", "'", " ", "e5", "inf", "NA", "nan", "0", "00", ":", "/"]
    ),
    st.sampled_from(["AM", "pm", "T", "de", "31", "29", "02", "-999", "\u00a0", "x", "1.234", "1,5"]),
    st.sampled_from(["€", "%", "kr", "(", ")", "$", "1.234,50", "\u2212", "\u2019"]),
    MONTHS,
)
TEXTS = st.lists(PIECES, max_size=7).map("".join)


def dates(form: str) -> st.SearchStrategy[str]:
    """Texts of a form, most of which are dates: of every length that their parts may have."""
    parts = {"%Y": st.integers(1, 9999).map("{:04d}".format), "%y": st.integers(0, 99).map("{:02d}".format)}
    few = st.integers(0, 32).flatmap(lambda n: st.sampled_from([str(n), f"{n:02d}"]))
    parts |= {"%b": st.builds(lambda name, dot: name + dot, MONTHS, st.sampled_from(["", "."]))}
    days = st.sampled_from([name for names in WEEKDAY_NAMES for name in sorted(names)])
    parts |= {"%a": st.builds(lambda name, end: name + end, days, st.sampled_from(["", ".", ","]))}
    parts |= {"%p": st.sampled_from(["AM", "pm", "Pm"]), "%M": few, "%S": few}
    wanted = [form[at : at + 2] for at in range(len(form)) if form[at] == "%"]
    return st.tuples(*(parts.get(part, few) for part in wanted)).map(lambda values: _filled(form, wanted, values))


def _filled(form: str, wanted: list[str], values: tuple[str, ...]) -> str:
    for part, value in zip(wanted, values, strict=True):
        form = form.replace(part, value.replace("%", ""), 1)
    return form


DRESSED = ("1234,5 %", "1.234,5 €", "1 234,5 kr", "(1,234.5)", "(1,234.5 $)")
FORMS = st.one_of(
    st.sampled_from(["number", "integer"]).flatmap(
        lambda kind: st.tuples(st.just(kind), st.sampled_from([*FORMATS, *DRESSED]), TEXTS)
    ),
    st.tuples(st.just("boolean"), st.none(), st.one_of(TEXTS, st.sampled_from([w for p in PAIRS for w in sorted(p)]))),
    st.tuples(st.just("category"), st.none(), TEXTS),
    st.sampled_from(DATE_FORMATS).flatmap(lambda form: st.tuples(st.just("datetime"), st.just(form), dates(form))),
    st.tuples(st.just("datetime"), st.sampled_from(sorted(EPOCHS)), st.integers(-(10**12), 10**13).map(str)),
)


@settings(max_examples=120, deadline=None)
@given(FORMS, st.sampled_from([(), ("-999", "NA"), ("x",)]))
def test_a_text_alone_and_in_a_column_has_the_same_value(
    form: tuple[FeatureType, str | None, str], missing: tuple[str, ...]
) -> None:
    """Whatever the type and the way to write it: the same value, missing on both sides, or none on both."""
    kind, format, text = form
    reading = TextReading(missing=missing, columns={"x": ColumnReading(format=format)})
    one = reading.value("x", kind, text)
    batch = pa.RecordBatch.from_pydict({"x": pa.array([text], pa.string())})
    values = read_texts(batch, reading, {"x": Counter()}).column("x")
    numbers = numbers_of(missing) if kind in ("number", "integer") else ()
    many = converted(values, ColumnForm(kind, format, missing=numbers))
    if many is None:
        assert one is UNFIT
        return
    value = many[0].as_py()
    if kind == "datetime" and isinstance(one, str):
        one = datetime.fromisoformat(one)
    assert one == value, (form, one, value)


GUESSED = [
    (["Jun 12 1998", "Aug 07 1998"], "%b %d %Y"),
    (["12-Jun-98", "07-Aug-98"], "%d-%b-%y"),
    (["1. März 2020", "12. Dez. 2021"], "%d. %b %Y"),
    (["1 février 2020", "12 août 2021"], "%d %b %Y"),
    (["12 de enero de 2020", "1 de agosto de 2021"], "%d de %b de %Y"),
    (["3 października 2020", "1 lis 2021"], "%d %b %Y"),
    (["01/13/2020 1:30 PM", "01/02/2020 2:30 AM"], "%m/%d/%Y %I:%M %p"),
    (["12.06.98", "30.01.99"], "%d.%m.%y"),
    ([f"202401{day:02d}" for day in range(1, 32)], "%Y%m%d"),
    (["Mo, 03.02.2025", "Di, 04.02.2025"], "%a %d.%m.%Y"),
    (["Monday 3 February 2025", "Tuesday 4 February 2025"], "%a %d %b %Y"),
    (["lun. 3 févr. 2025", "mar. 4 févr. 2025"], "%a %d %b %Y"),
    (["lunes, 3 de febrero de 2025", "martes, 4 de febrero de 2025"], "%a %d de %b de %Y"),
    (["So 02.02.2025", "sob. 08.02.2025"], "%a %d.%m.%Y"),
    (["Mon, 03 Feb 2025 10:00:00 GMT", "Tue, 04 Feb 2025 11:00:00 GMT"], "%a %d %b %Y %H:%M:%S GMT"),
    (["Mon 02/03/2025", "Wed 03/05/2025", "Thu 02/13/2025"], "%a %m/%d/%Y"),
    (["Mo, 04.02.2025", "Di, 04.02.2025"], None),
    (["01/02/98", "03/04/98"], None),
    (["30. Feb 2020", "1. Jan 2020"], None),
    (["20240131", "20240132", *(f"202401{day:02d}" for day in range(1, 30))], None),
]


@pytest.mark.parametrize(("texts", "form"), GUESSED, ids=[each[0][0] for each in GUESSED])
def test_dates_are_known_in_the_forms_that_people_write(texts: list[str], form: str | None) -> None:
    """Names of months in twelve languages, years of two digits, noon and midnight; what two forms fit is none."""
    guess = Guess()
    guess.see(pa.array(texts))
    assert guess.result().format == form


AMOUNTS = [
    (["12,5 %", "0,25 %", "-3,1%"], "1234,5 %", [12.5, 0.25, -3.1]),
    (["€ 1.234,50", "€ 3,20", "-€ 5,00"], "1.234,5 €", [1234.5, 3.2, -5.0]),
    (["1 234,50 kr", "12,00 kr", "3\u00a0000 kr"], "1 234,5 kr", [1234.5, 12.0, 3000.0]),
    (["(1,234.50)", "3.25", "1,000.00"], "(1,234.5)", [-1234.5, 3.25, 1000.0]),
    (["$-5", "$10", "-$3.5", "$1,234.00"], "1,234.5 $", [-5.0, 10.0, -3.5, 1234.0]),
    (["($5.00)", "$10.00", "$(3.50)"], "(1234.5 $)", [-5.0, 10.0, -3.5]),
    (["CHF 1'234.50", "CHF 12.00"], "1'234.5 CHF", [1234.5, 12.0]),
    (["Fr. 1\u2019234.50", "Fr. 12.00"], "1'234.5 Fr.", [1234.5, 12.0]),
    (["\u221212,50 €", "7,25 €", "\u20133,00 €"], "1234,5 €", [-12.5, 7.25, -3.0]),
    (["\u221212,5", "7,25"], ",", [-12.5, 7.25]),
    (["\u22121.5", "2.5", "-3.5"], None, [-1.5, 2.5, -3.5]),
    (["1\u2019234", "12"], "1'234.5", [1234, 12]),
    (["€ 1.234", "€ 5.678"], None, None),
    (["$5", "€6", "$7"], None, None),
    (["5 %", "6", "7 %"], None, None),
]


@pytest.mark.parametrize(("texts", "format", "values"), AMOUNTS, ids=[each[0][0] for each in AMOUNTS])
def test_percent_and_money_are_numbers_on_every_side(
    project: Project, texts: list[str], format: str | None, values: list[float] | None
) -> None:
    """One unit in every row, brackets for a minus; two units, none in some rows, and two readings leave a text."""
    rows = "".join(f'"{text}";{place % 2}\n' for place, text in enumerate(texts))
    project.write({"d/a.csv": f"x;y\n{rows}".encode()})
    spec = project.take(target="y")
    found = column(spec, "x")
    kind = "integer" if values and all(isinstance(value, int) for value in values) else "number"
    assert (found.type, found.format) == ((kind, format) if values else ("category", None))
    reading = spec.reading() or TextReading()
    assert [reading.value("x", found.type, text) for text in texts] == (values or texts)


@pytest.mark.parametrize(
    "pair", [("ja", "nein"), ("OUI", "Non"), ("Sí", "no"), ("J", "N"), ("tak", "nie"), ("да", "нет")]
)
def test_yes_and_no_are_known_in_other_languages(pair: tuple[str, str]) -> None:
    """And the snapshot says which word is which."""
    guess = Guess()
    guess.see(pa.array([pair[0], pair[1], pair[0].lower()]))
    assert guess.result() == ColumnForm("boolean", None, (pair[0].lower(),), (pair[1].lower(),))


def test_seconds_since_1970_are_instants_in_a_column_called_like_a_time() -> None:
    """In any other column they are numbers: nothing in them says what they are."""
    seconds = pa.array([str(1_577_836_800 + 61 * row) for row in range(30)])
    found = []
    for timely in (True, False):
        guess = Guess(timely=timely)
        guess.see(seconds)
        found.append(guess.result())
    assert found == [ColumnForm("datetime", "epoch"), ColumnForm("integer")]


def frame() -> pd.DataFrame:
    rows = 60
    return pd.DataFrame(
        {
            "whole": range(rows),
            "half": [None if row % 7 == 0 else row / 2 for row in range(rows)],
            "region": ["NA", "EU", "", "a b "] * 15,
            "flag": [True, False, True] * 20,
            "says": ["ja", "nein", "Ja", None] * 15,
            "day": [f"{1 + row % 28:02d}.{1 + row % 12:02d}.2024" for row in range(rows)],
            "at": pd.date_range("2024-01-05 10:30", periods=rows, freq="h"),
            "code": [f"{row % 9:03d}" for row in range(rows)],
            "label": ["yes", "no"] * 30,
        }
    )


def as_csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode()


def as_parquet(table: pd.DataFrame) -> bytes:
    return _in_memory(lambda file: pq.write_table(pa.Table.from_pandas(table, preserve_index=False), file))


def as_json(table: pd.DataFrame) -> bytes:
    return table.to_json(orient="records", lines=True, date_format="iso").encode()


def as_feather(table: pd.DataFrame) -> bytes:
    return _in_memory(table.to_feather)


def as_workbook(table: pd.DataFrame) -> bytes:
    cells = [[None if pd.isna(cell) else cell for cell in row] for row in table.astype(object).itertuples(index=False)]
    plain = [[cell.to_pydatetime() if isinstance(cell, pd.Timestamp) else cell for cell in row] for row in cells]
    return workbook({"Data": [list(table.columns), *plain]})


def _in_memory(write: Any) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def test_a_table_is_the_same_in_every_format(project: Project) -> None:
    """Columns, types, gaps and values do not depend on whether it came as CSV, Parquet, JSON, Feather or a workbook."""
    writers = {"csv": as_csv, "parquet": as_parquet, "jsonl": as_json, "feather": as_feather, "xlsx": as_workbook}
    project.write({f"{end}/a.{end}": write(frame()) for end, write in writers.items()})
    specs = {end: project.take(folder=end, target="label") for end in writers}
    first = project.rows(specs["csv"])
    assert column(specs["csv"], "says").true == ("ja",)
    assert column(specs["csv"], "region").missing_as == {"NA": 15}
    for end, spec in specs.items():
        assert spec.columns == specs["csv"].columns, end
        assert project.rows(spec).equals(first), end


def test_words_for_missing_may_be_those_of_one_column(project: Project) -> None:
    """`NA` is a region and a gap elsewhere; -999 is a gap among numbers, in text and in typed files alike."""
    project.write({"d/a.csv": "region,age,x\nNA,-999,NA\nEU,3,1\n,4,-999\n"})
    file = io.BytesIO()
    pd.DataFrame({"region": ["NA", "EU", ""], "age": [-999, 3, 4], "x": [None, 1, -999]}).to_parquet(file)
    project.write({"e/a.parquet": file.getvalue()})
    for folder in ("d", "e"):
        spec = project.take(folder=folder, missing=("region=", "age=-999"))
        rows = project.rows(spec).to_pydict()
        assert rows == {"region": ["NA", "EU", None], "age": [None, 3, 4], "x": [None, 1, -999]}
        later = project.take(folder=folder, previous=spec)
        assert (later.columns, later.text) == (spec.columns, spec.text)
        assert column(spec, "age").missing_as == {"-999": 1}
    assert spec.reading(["region"]) == USUAL.model_copy(update={"columns": {"region": ColumnReading(missing=())}})


def test_a_new_snapshot_of_typed_rows_keeps_how_texts_are_read(project: Project) -> None:
    """Rows of the log have types; what is asked of a model that is trained on them is written as in the first file."""
    project.write({"d/a.csv": "kg;neu;seit;y\n1.234,5;ja;3. Mai 2024;1,5\n7,25;nein;4. Mai 2024;2,5\n"})
    old = project.take(target="y", missing=("kg=-1",))
    features = tuple(Feature(name=name, type=column(old, name).type) for name in ("kg", "neu", "seit"))
    model = ModelSpec(
        description="d",
        owner="o",
        risk="minimal",
        task="regression",
        intended_use="u",
        data=ModelData(snapshot="a", target="y", features=features),
        gates=("g",),
    )
    module = plugins.load("stores", "oci-layout")
    store = module.open(module.Params(), project.root)
    rows = as_parquet(pd.DataFrame(project.rows(old).to_pydict() | {"kg": [3.5, -1.0]}))
    new = data.take_rows(rows, "new.parquet", old, model, store=store, reason="drift")
    assert new.reading() == old.reading()
    assert project.rows(new, store=store).column("kg").to_pylist() == [3.5, None]
