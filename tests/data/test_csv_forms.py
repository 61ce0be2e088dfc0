"""CSV files as people write them, and the exact place of what is wrong with them."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.snapshots import Project, column, csv_of, problem_of
from modelops.data.columns import ColumnForm, Guess, converted
from modelops.errors import Exit, ModelOpsError

TYPES = [
    ("integers", ["1", "2", "-3", ""], "integer"),
    ("numbers", ["1", "2.5", "NA", "1e3"], "number"),
    ("integers that pandas wrote beside missing ones", ["1.0", "2.0", "", "3.0"], "number"),
    ("infinite numbers", ["1.5", "inf", "-inf", "2"], "number"),
    ("true and false", ["True", "FALSE", "true", ""], "boolean"),
    ("yes and no", ["yes", "no", "No", "YES"], "boolean"),
    ("t and f", ["t", "f", "t", "f"], "boolean"),
    ("y and n", ["Y", "N", "y", "n"], "boolean"),
    ("zero and one", ["0", "1", "1", "0"], "boolean"),
    ("only zeros", ["0", "0", "0", "0"], "integer"),
    ("only one of two letters", ["f", "f", "f", "f"], "category"),
    ("a word and its opposite of another pair", ["yes", "false", "no", "true"], "category"),
    ("dates", ["2024-01-31", "2024-02-01", "", "2023-12-31"], "datetime"),
    ("instants with and without zone", ["2024-01-31T10:00:00Z", "2024-01-31 11:00", "", "2024-01-31"], "datetime"),
    ("days that settle the order", ["31/12/2024", "01/02/2024", "", "03/04/2024"], "datetime"),
    ("days that do not", ["01/02/2024", "03/04/2024", "05/06/2024", "07/08/2024"], "category"),
    ("codes with leading zeros", ["00501", "10001", "94103", ""], "category"),
    ("hexadecimal", ["0x1F", "0x2A", "0x00", "0x11"], "category"),
    ("long digits", ["123456789012345678901", "2", "3", "4"], "category"),
    ("numbers and words", ["1", "2", "three", "4"], "category"),
    ("nothing", ["", "NA", "null", "?"], "category"),
]


def test_integers_too_long_for_a_float_keep_every_digit() -> None:
    """One 5.0 among long ids, in the same or a later batch, rounds none of them."""
    ids = ["9007199254740993", "-9007199254740995", "7"]
    for batches in ([[*ids, "5.0", None]], [ids, ["5.0", None]], [["5.0", None], ids]):
        guess = Guess()
        for batch in batches:
            guess.see(pa.array(batch))
        form = guess.result()
        assert form == ColumnForm("integer")
        read = [value for batch in batches for value in converted(pa.array(batch), form).to_pylist()]
        assert {9007199254740993, -9007199254740995, 7, 5, None} == set(read)
    read = converted(pa.array(["9007199254740993", "1e3"]), ColumnForm("integer"))
    assert read.to_pylist() == [9007199254740993, 1000]


@pytest.mark.parametrize(("values", "expected"), [case[1:] for case in TYPES], ids=[case[0] for case in TYPES])
def test_a_column_gets_the_narrowest_type_that_fits_every_value(
    project: Project, values: list[str], expected: str
) -> None:
    """Types are inferred over all rows, and reading gives exactly as many nulls as were measured."""
    project.write({"d/a.csv": csv_of("k,x", [f"{index},{value}" for index, value in enumerate(values)])})
    spec = project.take()
    assert column(spec, "x").type == expected
    assert project.rows(spec).column("x").null_count == column(spec, "x").missing


def test_infinite_numbers_are_missing_and_said_to_be(project: Project) -> None:
    """An infinite number cannot be averaged or trained on; the datasheet says how many there were."""
    project.write({"d/a.csv": "k,x\n1,1.5\n2,inf\n3,-inf\n4,2.5\n5,1e400\n"})
    spec = project.take()
    assert (column(spec, "x").missing, column(spec, "x").maximum, column(spec, "x").mean) == (3, 3.0, 2.0)
    answers = {answer.question: answer.answer for answer in spec.datasheet["composition"]}
    assert "read as missing: x 3" in answers["Are there errors, noise or duplicates?"]


@pytest.mark.parametrize(
    ("labels", "expected", "balance"),
    [
        (["yes", "no", "no"], "category", {"no": 2, "yes": 1}),
        (["0", "1", "1"], "integer", {"0": 1, "1": 2}),
        (["true", "false", "false"], "boolean", {"false": 2, "true": 1}),
        (["a"] * 10 + ["b"] * 10 + ["c"], "category", {"a": 10, "b": 10, "(rarer)": 1}),
        (["0.0", "1.0", "1.0"], "number", {"0": 1, "1": 2}),
    ],
)
def test_labels_keep_their_spelling(
    project: Project, labels: list[str], expected: str, balance: dict[str, int]
) -> None:
    """The label column is not turned into a boolean unless it says true and false."""
    project.write({"d/a.csv": csv_of("x,y", [f"{index},{label}" for index, label in enumerate(labels)])})
    spec = project.take(target="y")
    assert (column(spec, "y").type, spec.balance) == (expected, balance)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_and_recorded(project: Project, delimiter: str) -> None:
    """Comma, semicolon, tab and bar separate fields; quoted fields may hold delimiters and line breaks."""
    lines = [
        "a|b|c".replace("|", delimiter),
        f'1{delimiter}"x{delimiter}y\nz"{delimiter}2',
        f"2{delimiter}q{delimiter}3",
    ]
    project.write({"d/a.csv": "\r\n".join(lines) + "\r\n"})
    spec = project.take()
    assert spec.delimiter == delimiter
    assert project.rows(spec).to_pylist() == [{"a": 1, "b": f"x{delimiter}y\nz", "c": 2}, {"a": 2, "b": "q", "c": 3}]


def test_decimal_commas_are_numbers_where_commas_do_not_separate(project: Project) -> None:
    """A semicolon file with 3,14 holds numbers; the form is recorded and read again."""
    project.write({"d/a.csv": "k;x\n1;3,5\n2;4\n3;\n"})
    spec = project.take()
    assert (column(spec, "x").type, column(spec, "x").format) == ("number", ",")
    assert project.rows(spec).column("x").to_pylist() == [3.5, 4.0, None]


MARKS = [
    ("a decimal comma beside it", ";", {"x": ["3.835", "647", "1.778"], "y": ["39,00", "6,25"]}, [3835, 647, 1778]),
    ("a decimal point beside it", ";", {"x": ["3,835", "647", "1,778"], "y": ["39.00", "6.25"]}, [3835, 647, 1778]),
    ("commas that separate", ",", {"x": ['"3,835"', "647"]}, [3835, 647]),
    ("a point where commas separate", ",", {"x": ["3.835", "6.471"]}, [3.835, 6.471]),
    ("a fraction of its own", ";", {"x": ["3.835", "0.647"]}, [3.835, 0.647]),
    ("a long number of its own", ";", {"x": ["3.835", "1778"]}, [3.835, 1778.0]),
    ("grouped in some rows", ";", {"x": ["3.835", "1778"], "y": ["39,00", "6,25"]}, None),
    ("grouped in some rows, commas that separate", ",", {"x": ['"3,835"', "1778"]}, None),
    ("a fraction unlike its neighbours'", ";", {"x": ["3.835", "177.5"], "y": ["39,00", "6,25"]}, [3.835, 177.5]),
    ("two groups", ";", {"x": ["3.835.000", "1.778"]}, [3835000, 1778]),
    ("a group and a fraction", "\t", {"x": ["-1.778,25", "647"]}, [-1778.25, 647.0]),
    ("groups by spaces", ";", {"x": ["1 778", "12\u00a0647"], "y": ["1,5", "2"]}, [1778, 12647]),
    ("groups by spaces only", ";", {"x": ["1 778", "647"], "y": ["1,5", "2"]}, [1778, 647]),
    ("groups by apostrophes", ";", {"x": ["1'778.5", "647"]}, [1778.5, 647.0]),
    ("nothing", ";", {"x": ["3.835", "647"]}, None),
    ("two files in one", ";", {"x": ["3.835", "647"], "y": ["1,5", "2"], "z": ["1.5", "2"]}, None),
    ("its own two ways", ";", {"x": ["3.5", "647,25"]}, None),
]


@pytest.mark.parametrize(("delimiter", "columns", "expected"), [case[1:] for case in MARKS], ids=[c[0] for c in MARKS])
def test_the_marks_of_numbers_are_those_of_the_file(
    project: Project, delimiter: str, columns: dict[str, list[str]], expected: list[float] | None
) -> None:
    """What other columns prove is taken for one that has two readings; what nothing settles stays text."""
    rows = max(len(values) for values in columns.values())
    lines = [
        delimiter.join([str(row), *(values[row] if row < len(values) else "" for values in columns.values())])
        for row in range(rows)
    ]
    project.write({"d/a.csv": "\n".join([delimiter.join(["k", *columns]), *lines]) + "\n"})
    spec = project.take()
    found = project.rows(spec).column("x").to_pylist()
    if expected is None:
        assert column(spec, "x").type == "category"
        return
    assert found[: len(expected)] == expected
    assert [type(value) for value in found[: len(expected)]] == [type(value) for value in expected]


def test_a_person_says_which_mark_is_the_decimal_one(project: Project) -> None:
    """Where two readings fit, what is said counts; where a number is needed and nothing is said, it is an error."""
    project.write({"d/a.csv": "k;x\n1;3.835\n2;647\n"})
    assert project.rows(project.take(decimal=",")).column("x").to_pylist() == [3835, 647]
    assert project.rows(project.take(decimal=".")).column("x").to_pylist() == [3.835, 647.0]
    project.write({"e/a.csv": "k;x\n1;3.835\n2;1778\n"})
    assert project.rows(project.take(folder="e", decimal=",")).column("x").to_pylist() == [3835, 1778]
    with pytest.raises(ModelOpsError) as caught:
        project.take(types={"x": "number"})
    assert caught.value.first.code == "ambiguous-numbers"
    assert "'3.835' is 3.835 or 3835" in caught.value.first.message


def test_a_later_file_is_read_as_the_one_before(project: Project) -> None:
    """Values that two readings fit are read as the earlier snapshot read them, so that no model meets others."""
    project.write({"d/a.csv": "k;x;y\n1;3.835;1,5\n2;647;2,5\n", "e/a.csv": "k;x;y\n1;4.835;1\n2;648;2\n"})
    first = project.take()
    types = {"x": "integer", "y": "number"}
    later = project.take(folder="e", types=types, previous=first)
    assert project.rows(later).column("x").to_pylist() == [4835, 648]


def test_a_byte_order_mark_blanks_and_unnamed_columns_are_read_away(project: Project) -> None:
    """A BOM is no part of the first name, blanks around fields are dropped, a nameless column gets a name."""
    project.write({"d/a.csv": b"\xef\xbb\xbfid, age ,\n1, 20 ,x\n\n2, ? ,y\n"})
    spec = project.take()
    assert [each.name for each in spec.columns] == ["id", "age", "column_3"]
    assert project.rows(spec).to_pydict() == {"id": [1, 2], "age": [20, None], "column_3": ["x", "y"]}


def test_gzip_and_one_column_files_are_read(project: Project) -> None:
    """A compressed file is pinned as it is and read through; a file may have a single column."""
    project.write({"d/a.csv.gz": gzip.compress(b"x\n1\n2\n", mtime=0)})
    spec = project.take()
    assert project.rows(spec).column("x").to_pylist() == [1, 2]


MIXED = csv_of("a,b", [*[f"{n},ö" for n in range(3000)], "1,caf"]).encode()[:-1] + b"\xe9\n"
BAD = [
    ("empty file", b"", "data-empty", "d/a.csv is empty"),
    ("header only", b"a,b\n", "data-empty", "no row"),
    ("ragged row", b'a,b\n1,"x\ny"\n2\n', "ragged-row", "row 2 of a.csv has 1 fields where the header has 2"),
    ("long row", b"a,b\n1,2\n1,2,3\n", "ragged-row", "row 2 of a.csv has 3 fields"),
    ("two columns of one name", b"a,b, a\n1,2,3\n", "duplicate-column", "'a' (columns 1 and 3)"),
    ("no header", b"1,85,66\n2,90,70\n", "header-missing", "1, 85, 66"),
    ("two encodings", MIXED, "data-encoding", f"byte 0xE9 at position {len(MIXED) - 2} (line 3002)"),
    ("cyrillic", "a,b\n1,привет\n".encode("cp1251"), "data-encoding", "as Windows-1252 it would say"),
    ("a page", b"<!DOCTYPE html><p>Log in", "data-format", "a page of markup"),
    ("a pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "data-format", "Git LFS"),
    ("binary", b"a,b\n\0\0\0", "data-binary", "binary"),
    ("open quote", b'a,b\n1,2\n2,"x\n3,4\n', "unclosed-quote", "row 2 of a.csv"),
    ("half a gzip file", gzip.compress(b"a\n1\n" * 99)[:20], "data-truncated", "gzip"),
]


@pytest.mark.parametrize(("content", "code", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_is_wrong_with_a_file_is_named_with_its_place(
    project: Project, content: bytes, code: str, words: str
) -> None:
    """Every bad file is an error of exit 3 with the file, and the row where one is to blame."""
    name = "a.csv.gz" if code == "data-truncated" else "a.csv"
    project.write({f"d/{name}": content})
    with pytest.raises(ModelOpsError) as caught:
        project.take(name)
    problem = problem_of(caught.value)
    assert (problem.code, caught.value.exit) == (code, Exit.FILES)
    assert words.removeprefix("d/") in problem.message
    assert problem.location is not None
    assert problem.location.path == name


def test_a_first_line_that_is_no_header_is_what_the_hint_is_about(project: Project) -> None:
    """Where all rows agree with each other and not with the first line, quoting would mend nothing."""
    project.write({"d/a.csv": b"3,2,no,yes\n" + b"1,2,3,4,5,6\n" * 3})
    with pytest.raises(ModelOpsError) as caught:
        project.take()
    assert "names of the columns into the first line" in (problem_of(caught.value).hint or "")


def test_a_ragged_row_deep_in_a_large_file_is_named_by_row_and_line(project: Project) -> None:
    """The row is found wherever the fast reader gave up, also behind quoted line breaks."""
    lines = [f"{n},{n * 2}" for n in range(200_000)]
    lines[150_000] = "1,2,3"
    lines[10] = '"1","2\n"'
    project.write({"d/a.csv": csv_of("a,b", lines)})
    with pytest.raises(ModelOpsError) as caught:
        project.take()
    problem = problem_of(caught.value)
    assert "row 150001" in problem.message
    assert problem.location is not None
    assert problem.location.line == 150_003


def test_a_row_longer_than_a_block_is_read(project: Project) -> None:
    """One field of six megabytes does not stop the reader."""
    project.write({"d/a.csv": f"a,b\n1,{'x' * 6_000_000}\n2,y\n"})
    assert project.take().rows == 2


def test_a_value_that_is_not_of_the_declared_type_is_named(project: Project) -> None:
    """What model.yaml declares wins over inference, and a value against it has file, row and column."""
    project.write({"d/a.csv": "id,age\n1,20\n2,old\n", "d/b.csv": "id,age\n3,30\n"})
    with pytest.raises(ModelOpsError) as caught:
        project.take(types={"age": "integer"})
    problem = problem_of(caught.value)
    assert problem.code == "value-type"
    assert "row 2 of a.csv has 'old' in column 'age'" in problem.message
    spec = project.take(types={"id": "category"})
    assert project.rows(spec).column("id").to_pylist() == ["1", "2", "3"]


TARGETS = [
    ("absent", "a,b\n1,2\n", "target-absent", "a.csv has no target 'y'"),
    ("constant", "a,y\n1,no\n2,no\n", "target-constant", "'no' in every row of a.csv"),
    (
        "constant but for none",
        "a,y\n1,x\n2,NA\n",
        "target-constant",
        "in 1 rows of a.csv and missing in the other 1",
    ),
    ("all missing", "a,y\n1,\n2,NA\n", "target-missing", "all 2 rows of a.csv miss the target 'y'"),
]


@pytest.mark.parametrize(("text", "code", "words"), [case[1:] for case in TARGETS], ids=[case[0] for case in TARGETS])
def test_a_target_nothing_can_be_learned_from_is_refused(project: Project, text: str, code: str, words: str) -> None:
    """A target that is absent, constant or missing everywhere is an error with file and column."""
    project.write({"d/a.csv": text})
    with pytest.raises(ModelOpsError) as caught:
        project.take(target="y")
    assert problem_of(caught.value).code == code
    assert words in problem_of(caught.value).message


def test_a_feature_the_file_lacks_is_named(project: Project) -> None:
    """A feature or time column that the model declares must be in the file."""
    project.write({"d/a.csv": "a,y\n1,2\n2,3\n"})
    with pytest.raises(ModelOpsError, match=r"a\.csv has no column 'when'"):
        project.take(target="y", time="when")


def test_files_that_disagree_are_named(project: Project) -> None:
    """The odd file among several is named with what it lacks and adds; another order of columns is fine."""
    project.write({"d/a.csv": "x,y\n1,2\n", "d/b.csv": "y,x\n4,3\n"})
    assert project.rows(project.take()).to_pydict() == {"x": [1, 3], "y": [2, 4]}
    project.write({"d/c.csv": "x,z\n1,2\n"})
    with pytest.raises(ModelOpsError, match=r"c\.csv differs from the other files: it lacks y and adds z") as caught:
        project.take()
    assert problem_of(caught.value).code == "schema-mismatch"
    project.write({"d/c.csv": "x,y\n1,2\n"})
    pq.write_table(pa.table({"x": [1], "y": [2]}), project.root / "d/e.parquet")
    with pytest.raises(ModelOpsError, match=r"e\.parquet is parquet, the other files are csv"):
        project.take()
