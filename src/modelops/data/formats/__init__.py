"""The files that tables come in: which format each is, by its bytes, and what a file holds that is read as a table.

Each format is a module with ``schema_of`` and ``batches_of``; texts come out as they stand in the file.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

import pyarrow as pa

from modelops.data.formats.streams import Codec, codec_of, in_memory, members_of, unpacked
from modelops.errors import Location, ModelOpsError, failure

__all__ = ["Format", "Part", "is_data", "parts_of", "require_readable"]

Format = Literal["csv", "parquet", "json", "arrow", "excel"]

_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".lz4", ".zip")
_SUFFIXES = (
    *(".csv", ".tsv", ".txt", ".tab", ".psv", ".parquet", ".pq", ".parq", ".jsonl", ".ndjson", ".json"),
    *(".feather", ".arrow", ".ipc", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"),
)
_OTHERS: dict[str, str] = {
    **dict.fromkeys((".dta", ".sav", ".por", ".sas7bdat", ".xpt"), "a file of a statistics program"),
    **dict.fromkeys((".rds", ".rda", ".rdata"), "a file of R"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".npy", ".npz", ".mat", ".h5", ".hdf", ".hdf5"), "a file of arrays"),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3", ".duckdb", ".mdb", ".accdb"), "a database"),
    **dict.fromkeys((".orc", ".avro"), "an ORC or Avro file"),
    **dict.fromkeys((".tar", ".tgz", ".7z", ".rar"), "an archive"),
    **dict.fromkeys((".xml", ".html", ".htm"), "a page of markup"),
}
"""Files that may hold data which are not read, by the ends of their names."""
_SIGNS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"SQLite format 3\0", "a database"),
    (b"\x89HDF", "a file of arrays"),
    (b"\x93NUMPY", "a file of arrays"),
    (b"ORC", "an ORC or Avro file"),
    (b"Obj\x01", "an ORC or Avro file"),
    (b"$FL2", "a file of a statistics program"),
    (b"<stata_dta>", "a file of a statistics program"),
    (b"RDX", "a file of R"),
    (b"7z\xbc\xaf", "an archive"),
    (b"Rar!", "an archive"),
    (b"%PDF", "a PDF"),
    (b"FEA1", "a Feather file of the first version"),
    *((b"\x80" + bytes([version]), "a file of Python objects") for version in range(2, 6)),
    (b"<!doctype html", "a page of markup"),
    (b"<html", "a page of markup"),
    (b"<?xml", "a page of markup"),
)
_HINTS = {
    "a Git LFS pointer": "its data is elsewhere: run git lfs pull",
    "an archive": "unpack it into a folder",
    "a page of markup": "the data may be behind a login: download it again, or export it as CSV",
}
_TAR = 257
_OLE = b"\xd0\xcf\x11\xe0"
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Part:
    """One table in a file: the file itself, unpacked, or a member of an archive; ``label`` is what errors call it."""

    label: str
    path: Path
    format: Format
    codec: Codec | None = None
    member: str | None = None

    def open(self) -> IO[bytes]:
        """Open its unpacked bytes."""
        return unpacked(self.path, self.label, self.codec, self.member)

    def whole(self) -> pa.NativeFile:
        """Open it for random access."""
        return in_memory(self.path, self.label, self.codec, self.member)


def is_data(name: str) -> bool:
    """Tell whether a file of a folder is taken for data, by its name."""
    lower = name.lower()
    if lower.endswith(".zip"):
        return True
    for suffix in _PACKED:
        lower = lower.removesuffix(suffix)
    return lower.endswith(_SUFFIXES)


def _unreadable(name: str) -> str | None:
    """Return what a file of a folder seems to be that may hold data and is not read, by its name."""
    return next(
        (what for end, what in _OTHERS.items() if name.lower().endswith((end, *(end + p for p in _PACKED)))), None
    )


def parts_of(folder: Path, path: str) -> tuple[list[Part], list[str]]:
    """Return the tables of one file, and what else an archive holds.

    What is no table that can be read is an error that says what it is.
    """
    part = Part(path, folder / path, "csv")
    head = _head(part)
    codec = codec_of(head)
    if codec == "zip" and (found := _workbook(part, head)) is not None:
        return [found], []
    if codec == "zip":
        names = members_of(part.path, path)
        if not names:
            raise failure("data-empty", f"{path} holds no file", location=Location(path))
        tables = [name for name in names if is_data(name)] or names
        require_readable(f"{path}/{name}" for name in names)
        members = [replace(part, label=f"{path}/{name}", codec="zip", member=name) for name in tables]
        return [_settled(each) for each in members], [f"{path}/{name}" for name in names if name not in tables]
    return [_settled(replace(part, codec=codec), head if codec is None else None)], []


def require_readable(names: Iterable[str]) -> None:
    """Refuse files that may hold data which is not read: nothing of a data set is left out without a word."""
    for name in names:
        what = _unreadable(name)
        if what is not None:
            raise failure(
                "data-format",
                f"{name} is {what}, which is not read",
                location=Location(name),
                hint="export its table as CSV or Parquet, or name only the files meant, such as 'folder/*.csv'",
            )


def _head(part: Part) -> bytes:
    try:
        with part.open() as stream:
            return stream.read(_HEAD)
    except OSError as error:
        raise failure(
            "data-unreadable", f"{part.label} cannot be read: {error.strerror}", location=Location(part.label)
        ) from None


def _workbook(part: Part, head: bytes) -> Part | None:
    """Return a zip file that is a workbook of a spreadsheet as one."""
    try:
        names = set(members_of(part.path, part.label))
    except ModelOpsError:
        if part.path.suffix.lower() in (".xlsx", ".xlsm", ".xlsb", ".ods"):
            return replace(part, format="excel")
        raise
    sheets = {"xl/workbook.xml", "xl/workbook.bin"} & names
    ods = {"content.xml", "mimetype"} <= names and b"spreadsheet" in head
    return replace(part, format="excel") if sheets or ods else None


def _settled(part: Part, head: bytes | None = None) -> Part:
    """Return a part in the format that its unpacked bytes say."""
    head = _head(part) if head is None else head
    what = _named(head)
    if what is not None or (part.codec is not None and codec_of(head) is not None):
        what = what or "packed twice"
        raise failure(
            "data-format",
            f"{part.label} is {what}, which is not read",
            location=Location(part.label),
            hint=_HINTS.get(what, "unpack it" if what == "packed twice" else "export its table as CSV or Parquet"),
        )
    if head[:4] == b"PAR1":
        return replace(part, format="parquet")
    if head[:6] == b"ARROW1" or head[:4] == b"\xff\xff\xff\xff":
        return replace(part, format="arrow")
    if head[:4] == _OLE:
        return replace(part, format="excel")
    return replace(part, format="json" if _is_json(head) else "csv")


def _named(head: bytes) -> str | None:
    lower = head[:64].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for sign, what in _SIGNS:
        if head.startswith(sign) or (sign[:1] in b"<v" and lower.startswith(sign)):
            return what
    return "an archive" if head[_TAR : _TAR + 5] == b"ustar" else None


def _is_json(head: bytes) -> bool:
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        head = head.decode("utf-16", "ignore").encode()
    text = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    return text[:1] == b"{" or (text[:1] == b"[" and text[1:].lstrip()[:1] in (b"{", b"]"))
