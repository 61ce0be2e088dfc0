"""What the columns of unknown tables are taken for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from modelops.scaffold.columns import Finding, examine
from modelops.scaffold.personal import personal

N = 100


def finding(values: list[object] | pa.Array, name: str = "column") -> Finding:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    return examine(name, pa.chunked_array([array]))


def repeat(*values: object) -> list[object]:
    return (list(values) * N)[:N]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (repeat(1.5, 2.5, 3.5), "number"),
        (repeat(1, 2, 3), "integer"),
        (repeat(0, 1), "boolean"),
        (repeat(True, False), "boolean"),
        (repeat("Yes", "no", "YES"), "boolean"),
        (repeat("Y", "N", None), "boolean"),
        (repeat("true", "false"), "boolean"),
        (repeat("on", "off", ""), "boolean"),
        (repeat("a", "b", "c"), "category"),
        (repeat("Yes", "No", "No internet service"), "category"),
        (repeat(Decimal("1.25"), Decimal("3.50")), "number"),
        (pa.array(repeat("a", "b", "c")).dictionary_encode(), "category"),
        (pa.array(repeat("x", "y"), pa.large_string()), "category"),
        ([f"{number % 15:05d}" for number in range(N)], "category"),
    ],
)
def test_a_column_gets_the_type_that_its_values_show(values: list[object], expected: str) -> None:
    """Types follow from Arrow's type and all values, text included."""
    assert finding(values).type == expected


@pytest.mark.parametrize("values", [repeat("EU", None), repeat("x", ""), repeat(True, None)])
def test_whether_a_text_is_there_tells_rows_apart(values: list[object]) -> None:
    """A mark in some rows, and a category beside a word that means missing, are features that may be missing."""
    found = finding(values)
    assert (found.type, found.nullable) == ("category", True)
    assert "whether it has one is what a model sees" in found.said


@pytest.mark.parametrize(
    ("values", "name", "remark"),
    [
        ([None] * N, "c", "every value is missing"),
        ([float("nan")] * N, "c", "every value is missing"),
        ([""] * N, "c", "every value is missing"),
        (repeat("same"), "c", "one value only"),
        (repeat(7, None), "c", "one value only, and none in"),
        (["mark"] * 2 + [None] * N, "c", "one value only, and none in 100 rows"),
        (repeat(7), "c", "one value only"),
        ([[1], [2]] * (N // 2), "c", "not flat"),
        ([{"a": 1}, {"a": 2}] * (N // 2), "c", "not flat"),
        (pa.array([b"\x00", b"\x01"] * (N // 2)), "c", "not flat"),
        ([datetime(2024, 1, 1 + day % 28, tzinfo=UTC) for day in range(N)], "c", "date"),
        ([date(2024, 1, 1 + day % 28) for day in range(N)], "c", "date"),
        ([f"2024-01-{1 + day % 28:02d}" for day in range(N)], "c", "date"),
        ([f"{1 + day % 28}/3/2024" for day in range(N)], "c", "ISO 8601"),
        ([f"{number} Elm Street, {number}" for number in range(N)], "c", "100 % distinct"),
        ([f"comment {number % 130}" for number in range(200)], "c", "too many for a category"),
        (repeat(1.0, float("inf")), "c", "infinite"),
        (list(range(1000, 1000 + N)), "row", "numbers the rows"),
        ([number * 3 for number in range(N)], "anything", "comes twice"),
        ([10_000_019 + number * 7919 for number in range(N)], "anything", "numbers of 8 digits"),
        ([str(10 ** (17 + number % 5) + number) for number in range(N)], "amount", "too long to be exact"),
        ([number * 7919 % 100003 for number in range(N)], "customer_id", "identifier"),
        ([number % 80 for number in range(N)], "store_id", "named like an identifier"),
        ([*[f"{number}.5" for number in range(N)], "n.b."], "c", "no numbers, such as 'x.x.'"),
        (repeat(1, 2), "", "name is empty"),
        (repeat(1, 2), "a\nb", "control characters"),
    ],
)
def test_a_column_that_cannot_be_used_is_left_out_with_the_reason(values: list[object], name: str, remark: str) -> None:
    """What is no feature says why, in words a reviewer can check."""
    found = finding(values, name)
    assert found.type is None
    assert remark in found.remark


def test_missing_values_make_a_feature_nullable() -> None:
    """Null, NaN and empty text all count as missing."""
    assert finding(repeat(1.5, None, 2.5)).nullable
    assert finding(repeat(1.5, float("nan"), 2.5)).nullable
    assert finding(repeat("a", "b", "")).nullable
    assert not finding(repeat("a", "b")).nullable


def test_a_unique_identifier_can_serve_as_row_identity() -> None:
    """Only complete and unique columns identify rows."""
    assert finding([f"user-{number}" for number in range(N)], "user").identifies
    assert not finding([*[f"user-{number}" for number in range(N - 1)], None], "user").identifies
    assert not finding([number % 80 for number in range(N)], "store_id").identifies


def test_codes_named_like_an_identifier_become_a_category() -> None:
    """A few repeated numbers in plan_id are codes, not quantities."""
    assert finding([number % 4 for number in range(N)], "plan_id").type == "category"


@pytest.mark.parametrize("name", ["sex", "Gender", "marital_status", "customer age", "date_of_birth"])
def test_a_protected_attribute_is_remarked_on(name: str) -> None:
    """The reviewer is told which columns may need a fairness gate."""
    assert "data.sensitive" in finding(repeat(31, 47, 52), name).remark


def test_ordinary_names_are_not_taken_for_protected_ones() -> None:
    """`page` and `usage` contain age and are not."""
    assert finding(repeat(1, 2, 3), "page").remark == ""
    assert finding(repeat(1, 2, 3), "usage").remark == ""


@pytest.mark.parametrize("form", ["{:,.2f}", "${:,.2f}", "{:.1f} %", "-{:,.0f}.00 €"])
def test_amounts_written_for_people_are_no_identifiers(form: str) -> None:
    """Numbers with thousands separators, percent or currency signs are left out with the way to write them."""
    found = examine("amount", pa.chunked_array([[form.format(1000 + 37.25 * row) for row in range(100)]]))
    assert (found.type, found.identifies) == (None, False)
    assert "1234.5" in found.remark


@pytest.mark.parametrize(
    ("values", "name", "asked"),
    [
        ([10_056 + 37 * k + k % 5 for k in range(300)], "pidnum", True),
        ([2_000 + 97 * k + k % 13 for k in range(600)], "area", True),  # a table that is sorted by a measure
        ([1 + k // 4 for k in range(400)], "individual", True),
        ([k // 2 for k in range(200)], "age", True),  # a life table: each age for women and for men
        ([18 + k // 5 for k in range(400)], "age", False),
        ([(7 * k) % 90 for k in range(400)], "individual", False),  # not in order
        ([k // 20 for k in range(400)], "dose", False),  # few levels
        ([90_000 - 290 * k for k in range(300)], "sales", False),
        ([1950 + k // 4 for k in range(400)], "year", False),
    ],
)
def test_order_alone_makes_no_identity(values: list[object], name: str, asked: bool) -> None:
    """Numbers that grow through the file may be a measure that it is sorted by: they stay, and a person is asked."""
    found = finding(values, name)
    assert (found.type, found.identifies, found.groups) == ("integer", False, False)
    assert (f"--id {name}" in found.said) is asked
    assert found.said in found.remark


def test_a_row_number_with_gaps_is_no_feature() -> None:
    """Rows were numbered from 1 and some dropped: hardly a number is left out, and none comes twice."""
    found = finding([k for k in range(1, 400) if k % 17], "lauf")
    assert (found.type, found.identifies) == (None, True)


def test_a_flag_is_no_data_about_persons() -> None:
    """Whether an address is in the link is no address; the same name with many values is one."""
    table = pa.table({"ip_in_url": repeat(0, 1), "has_phone": repeat(True, False), "phone": list(range(N))})
    assert set(personal(table)) == {"phone"}


def test_whole_numbers_called_a_date_are_no_feature() -> None:
    """A date keeps growing however it is written; one that cannot be read is left out, and may be asked for."""
    found = finding(repeat(111597, 121897, 10398), "date")
    assert (found.type, found.keeps) == (None, "integer")
    assert finding(repeat(3, 5, 8), "time").type == "integer", "a duration is a measure"


def test_a_code_among_codes_is_not_remarked_on_as_a_missing_value() -> None:
    """ND among the states is North Dakota; n.d. among words may mean that there is nothing."""
    assert finding(repeat("ND", "NY", "CA", "TX"), "state").said == ""
    assert "--missing" in finding(repeat("n.d.", "red", "green", "blue"), "colour").said


@pytest.mark.parametrize("unit", [" €", " %", ""])
@pytest.mark.parametrize("mark", ["-", "\u2013", "n.d."])
def test_a_mark_among_amounts_is_asked_about(unit: str, mark: str) -> None:
    """Numbers with a unit and a comma are numbers, also where some rows have a dash instead."""
    found = finding([mark if k % 9 == 0 else f"{k * 7 % 311},{k % 90 + 10}{unit}" for k in range(400)], "betrag")
    assert (found.type, found.identifies) == (None, False)
    assert found.remark.startswith(f"numbers, but for {mark!r} (45 rows)")
    assert f"--missing betrag={mark}" in found.remark


@pytest.mark.parametrize("form", ["{:.2f} ‰", "{:,.2f} Rs", "{:.2f}-", "S$ {:,.2f}"])
def test_amounts_in_units_that_nobody_knows_are_no_identifiers(form: str) -> None:
    """All are different and none is a number: the column is left out, and does not divide the rows."""
    found = finding([form.format(1000 + 37.25 * row) for row in range(100)], "amount")
    assert (found.type, found.identifies) == (None, False)
    assert "1234.5" in found.remark
