"""Files in the formats that people have: known by their bytes, unpacked within limits, named where not read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from data.snapshots import Project, problem_of
from data.workbooks import workbook
from modelops import data
from modelops.data.formats import streams
from modelops.errors import Exit, ModelOpsError

TEXT = "name,x\n" + "".join(f"Zoë {row},{row}.5\n" for row in range(40))
CELLS = [["name", "x"], *([f"Zoë {row}", row + 0.5] for row in range(40))]


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def packed(codec: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(TEXT.encode())
    return bytes(sink.getvalue().to_pybytes())


RECORDS = pd.read_csv(io.StringIO(TEXT))
SAME = {
    "utf-16": TEXT.encode("utf-16"),
    "utf-16 without a mark": TEXT.encode("utf-16-le"),
    "utf-32": TEXT.encode("utf-32"),
    "windows-1252": TEXT.encode("cp1252"),
    "sep line": b"sep=;\r\n" + TEXT.replace(",", ";").encode(),
    "comments": b"# from the crm\n# as of today, all\n" + TEXT.encode() + b"# the end\n",
    "names in a comment": b"# kinds\n#" + TEXT.encode(),
    "gzip": gzip.compress(TEXT.encode()),
    "bzip2": bz2.compress(TEXT.encode()),
    "xz": lzma.compress(TEXT.encode()),
    "zstd": packed("zstd"),
    "lz4": packed("lz4"),
    "zip": zipped({"a.csv": TEXT.encode(), "__MACOSX/a.csv": b"x", "README.md": b"words"}),
    "zip of a folder": zipped({"in/a.csv": TEXT.encode()}),
    "json lines": b"\n".join(json.dumps(row).encode() for row in RECORDS.to_dict("records")) + b"\n\n",
    "json array": RECORDS.to_json(orient="records").encode(),
    "workbook": workbook({"People": CELLS, "Empty": []}),
}


@pytest.mark.parametrize("kind", SAME)
def test_a_file_is_known_by_its_bytes(project: Project, kind: str) -> None:
    """Whatever its name is, the rows are the same."""
    project.write({"d/a.csv": SAME[kind]})
    assert project.rows(project.take()).to_pandas().equals(RECORDS)


NAMED = [
    ("cyrillic", "a,b\n1,привет\n".encode("cp1251"), "data-encoding", "would say 'ïðèâåò'"),
    ("polish", "a,b\n1,Łódź\n".encode("cp1250"), "data-encoding", "--encoding"),
    ("of a DOS machine", "a,b\n1,café\n".encode("cp437"), "data-encoding", "--encoding"),
    ("half a gzip file", gzip.compress(TEXT.encode())[:60], "data-truncated", "not a whole gzip"),
    ("half a zstd file", packed("zstd")[:60], "data-truncated", "not a whole zstd"),
    ("half a zip file", zipped({"a.csv": TEXT.encode()})[:-30], "data-truncated", "not a whole zip"),
    ("an empty archive", zipped({}), "data-empty", "holds no file"),
    ("an archive in an archive", zipped({"a.zip": zipped({"a.csv": b"a"})}), "data-format", "packed twice"),
    ("a database", b"SQLite format 3\0" + b"\0" * 99, "data-format", "a database"),
    (
        "a database in an archive",
        zipped({"a.csv": b"a\n1\n", "b.sqlite": b"x"}),
        "data-format",
        "b.sqlite is a database",
    ),
    ("objects of Python", b"\x80\x04\x95rest", "data-format", "Python objects"),
    ("an archive of the tape", gzip.compress(b"\0" * 257 + b"ustar" + b"\0" * 99), "data-format", "an archive"),
    ("a page", b"<!DOCTYPE html><p>Log in", "data-format", "behind a login"),
    ("blanks between fields", b"a b\n1 2\n3 4\n5 6\n", "delimiter-unknown", "separated by blanks"),
    ("a first row of data", b"5.1,3.5,setosa\n4.9,3.0,setosa\n", "header-missing", "holds the number 5.1"),
    (
        "a title above",
        workbook({"A": [["Report"], *([row, *"abc"] for row in range(3))]}),
        "header-missing",
        "1 of its 4",
    ),
    ("two sheets", workbook({"A": CELLS, "B": CELLS}), "ambiguous-sheet", "--sheet"),
    ("broken json", b'{"a": 1}\n{"a":\n', "data-unreadable", "line 2"),
    ("one json object", b'{\n"a": 1\n}', "data-unreadable", "one object a line"),
]


@pytest.mark.parametrize(("content", "code", "words"), [each[1:] for each in NAMED], ids=[each[0] for each in NAMED])
def test_what_is_not_read_is_named(project: Project, content: bytes, code: str, words: str) -> None:
    """Never skipped, never guessed: an error of exit 3 that says what it is and what to do."""
    project.write({"d/a.csv": content})
    with pytest.raises(ModelOpsError) as caught:
        project.take()
    problem = problem_of(caught.value)
    assert (problem.code, caught.value.exit) == (code, Exit.FILES)
    assert words in f"{problem.message} {problem.hint}"
    assert problem.location is not None


def test_a_person_says_encoding_and_sheet(project: Project) -> None:
    """The answer is in the snapshot, and a later file like it is read the same way; other names are refused."""
    project.write({"d/a.csv": "a,b\n1,Łódź\n".encode("cp1250"), "e/a.csv": "a,b\n2,Żary\n".encode("cp1250")})
    spec = project.take(encoding="windows-1250")
    assert (spec.encodings, project.rows(spec).column("b").to_pylist()) == ({"a.csv": "cp1250"}, ["Łódź"])
    later = project.take(folder="e", previous=spec)
    assert project.rows(later).column("b").to_pylist() == ["Żary"]
    project.write({"f/a.xlsx": workbook({"A": CELLS, "B": [["k"], [1], [2]]})})
    spec = project.take(folder="f", sheet="B")
    assert (spec.sheet, project.rows(spec).to_pydict()) == ("B", {"k": [1, 2]})
    with pytest.raises(ModelOpsError, match=r"'C': .* is no workbook"):
        project.take(folder="d", sheet="C", encoding="cp1250")
    with pytest.raises(ModelOpsError, match="'c' is not a column"):
        project.take(folder="d", missing=("c=none",), encoding="cp1250")
    for wrong in ({"encoding": "klingon"}, {"sheet": "C"}):
        with pytest.raises(ModelOpsError) as caught:
            project.take(folder="f" if "sheet" in wrong else "d", **wrong)
        assert caught.value.exit is Exit.USAGE


@pytest.mark.parametrize("kind", ["gzip", "zip", "workbook"])
def test_a_bomb_is_not_unpacked(project: Project, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """What unpacks to more than tables do ends in an error, whatever an archive says of itself."""
    monkeypatch.setattr(streams, "UNASKED_BYTES", 1 << 20)
    monkeypatch.setattr("modelops.data.formats.sheets.MEMORY_BYTES", 1 << 20)
    content = b"a,b\n" + b"1,2\n" * (1 << 20)
    bombs = {"gzip": gzip.compress(content), "zip": zipped({"a.csv": content}), "workbook": _swollen()}
    project.write({"d/a.csv": bombs[kind]})
    with pytest.raises(ModelOpsError) as caught:
        project.take()
    assert problem_of(caught.value).code == "data-too-large"


def _swollen() -> bytes:
    """Return a workbook with a part that becomes four megabytes and says that it becomes four bytes."""
    file = io.BytesIO(workbook({"A": CELLS}))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/more.xml", b"\0" * (4 << 20))
    content = bytearray(file.getvalue())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (4).to_bytes(4, "little")
    return bytes(content)


def test_a_folder_is_one_table_and_what_else_lies_there_is_named(project: Project) -> None:
    """Files of several encodings, values in the names of folders, notes beside them; a database there is refused."""
    project.write(
        {
            "d/year=2024/a.csv": "a,b\n1,ö\n",
            "d/year=2025/b.csv": "a,b\n2,ü\n".encode("cp1252"),
            "d/notes.md": "words",
        }
    )
    spec = project.take()
    assert project.rows(spec).to_pydict() == {"a": [1, 2], "b": ["ö", "ü"], "year": [2024, 2025]}
    assert (spec.encodings, spec.beside) == ({"year=2025/b.csv": "cp1252"}, ("notes.md",))
    project.write({"d/more.sav": b"$FL2"})
    with pytest.raises(ModelOpsError, match=r"more\.sav is a file of a statistics program, which is not read"):
        project.take()


def test_a_pattern_names_files(project: Project) -> None:
    """Below the folder above its first sign; a file whose own name has such signs is that file."""
    project.write({"d/a-1.csv": "a\n1\n", "d/in/a-2.csv": "a\n2\n", "d/b.csv": "a\n3\n", "d/x[1].csv": "a\n4\n"})
    found = {}
    for pattern in ("d/a-*.csv", "d/**/a-*.csv", "d/x[1].csv", "d/i*"):
        source, paths = data.path_source(project.root / pattern, project.root, owner="t")
        found[pattern] = (source.location, paths)
    assert found == {
        "d/a-*.csv": ("d", ("a-1.csv",)),
        "d/**/a-*.csv": ("d", ("a-1.csv", "in/a-2.csv")),
        "d/x[1].csv": ("d", ("x[1].csv",)),
        "d/i*": ("d", ("in/a-2.csv",)),
    }
    with pytest.raises(ModelOpsError, match=r"no file matches .*nothing\*"):
        data.path_source(Path(project.root / "d/nothing*"), project.root, owner="t")
