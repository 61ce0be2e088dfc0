"""The bytes of a file, unpacked: compressed files and members of archives, within limits that no bomb passes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import IO, Literal, cast

import pyarrow as pa

from modelops.errors import Location, failure

__all__ = ["Codec", "codec_of", "in_memory", "members_of", "unpacked"]

Codec = Literal["gzip", "bz2", "xz", "zstd", "lz4", "zip"]

_SIGNS: tuple[tuple[bytes, Codec], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)
UNASKED_BYTES = 1 << 30
"""Bytes that a file may unpack to whatever its size is."""
MOST_TIMES = 250
"""Beyond that, how many times its own size; tables are packed to a fifth or a twentieth."""
MEMORY_BYTES = 1 << 30
"""Bytes of a packed file that can only be read as a whole."""
MOST_MEMBERS = 10_000


def codec_of(head: bytes) -> Codec | None:
    """Return how a file is packed, by its first bytes; what its name says does not count."""
    return next((codec for sign, codec in _SIGNS if head.startswith(sign)), None)


class _Bounded(io.RawIOBase):
    """A stream of unpacked bytes that ends in an error where they are too many, or end too early."""

    def __init__(self, inner: IO[bytes], label: str, codec: str, size: int) -> None:
        self._inner, self._label, self._codec = inner, label, codec
        self._limit = max(UNASKED_BYTES, MOST_TIMES * size)
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            data = self._inner.read(len(view))
        except (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, pa.ArrowException) as error:
            raise failure(
                "data-truncated",
                f"{self._label} is not a whole {self._codec} file: {error}",
                location=Location(self._label),
            ) from None
        except RuntimeError as error:  # how zipfile says that a member is encrypted
            raise failure(
                "data-unreadable",
                f"{self._label} cannot be unpacked: {error}",
                location=Location(self._label),
                hint="unpack it yourself",
            ) from None
        self._seen += len(data)
        if self._seen > self._limit:
            raise failure(
                "data-too-large",
                f"{self._label} unpacks to more than {self._limit:,} bytes",
                location=Location(self._label),
                hint=f"that is more than {MOST_TIMES} times its size: unpack it yourself if it is what you expect",
            )
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()


def unpacked(path: Path, label: str, codec: Codec | None, member: str | None = None) -> IO[bytes]:
    """Open a file for reading its unpacked bytes."""
    if codec is None:
        return path.open("rb")
    size = path.stat().st_size
    inner: IO[bytes]
    match codec:
        case "gzip":
            inner = cast("IO[bytes]", gzip.open(path, "rb"))  # noqa: SIM115 - closed by its reader
        case "bz2":
            inner = bz2.open(path, "rb")  # noqa: SIM115
        case "xz":
            inner = lzma.open(path, "rb")  # noqa: SIM115
        case "zip":
            archive = _archive(path, label)
            info = archive.getinfo(member or "")
            size = info.compress_size
            try:
                inner = archive.open(info)
            except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
                raise failure(
                    "data-unreadable",
                    f"{label} cannot be unpacked: {error}",
                    location=Location(label),
                    hint="unpack it yourself",
                ) from None
        case _:
            inner = cast("IO[bytes]", pa.CompressedInputStream(pa.OSFile(str(path), "rb"), codec))
    return io.BufferedReader(_Bounded(inner, label, codec, size), 1 << 20)


def in_memory(path: Path, label: str, codec: Codec | None, member: str | None) -> pa.NativeFile:
    """Return a file for random access: itself, or its unpacked bytes in memory."""
    if codec is None:
        return pa.memory_map(str(path))
    with unpacked(path, label, codec, member) as stream:
        data = stream.read(MEMORY_BYTES + 1)
    if len(data) > MEMORY_BYTES:
        raise failure(
            "data-too-large",
            f"{label} is packed, and unpacks to more than {MEMORY_BYTES:,} bytes",
            location=Location(label),
            hint="unpack it: what it holds packs its columns itself",
        )
    return pa.BufferReader(data)


def _archive(path: Path, label: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise failure("data-truncated", f"{label} is not a whole zip file: {error}", location=Location(label)) from None


def members_of(path: Path, label: str) -> list[str]:
    """Return the names of the files in an archive, without what systems leave there; they are never written."""
    with _archive(path, label) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
    names = [name for name in names if not name.startswith("__MACOSX/") and not _hidden(name)]
    if len(names) > MOST_MEMBERS:
        raise failure(
            "data-too-large",
            f"{label} holds {len(names):,} files, at most {MOST_MEMBERS:,} are read",
            location=Location(label),
            hint="unpack it into a folder",
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise failure("data-unreadable", f"{label} holds two files called {twice!r}", location=Location(label))
    return sorted(names)


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/"))
