"""In which encoding a text file is written: said by its first bytes, proven by all of them, or asked for."""

from __future__ import annotations

import codecs
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from modelops.errors import Exit, Location, failure
from modelops.spec.kinds.data_snapshot import ENCODINGS

__all__ = ["as_utf8", "encoding_of", "known_encoding"]

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLOCK = 1 << 20
_WORDS = 2000
"""Words with letters beyond ASCII that are looked at."""
_PLAUSIBLE = 0.9
_BAD = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
"""Bytes that are no characters of Windows-1252."""


def known_encoding(name: str) -> str:
    """Return the one spelling of an encoding that a person names."""
    known = {codecs.lookup(each).name: each for each in ENCODINGS}
    try:
        found = known.get(codecs.lookup(name).name)
    except LookupError:
        found = None
    if found is None:
        said = f"{name!r} is no encoding that is read"
        raise failure("unknown-encoding", said, exit=Exit.USAGE, hint=f"encodings: {', '.join(ENCODINGS)}")
    return found


def encoding_of(open_bytes: Callable[[], IO[bytes]], label: str) -> str:
    """Return the encoding of a text: UTF by its mark or by its bytes, else Windows-1252 if it reads as a text.

    Latin-1 is Windows-1252 without some signs. What could as well be another encoding is asked for
    (``data-encoding``).
    """
    with open_bytes() as stream:
        head = stream.read(4096)
        for mark, name in _MARKS:
            if head.startswith(mark):
                return name
        wide = _wide(head)
        if wide is not None:
            return wide
        found = _first_beyond(stream, head)
    if found is None:
        return "utf-8"
    with open_bytes() as stream:
        _require_western(stream, label, found)
    return "cp1252"


def _wide(head: bytes) -> str | None:
    """Tell UTF-16 without a mark by the zero bytes beside its ASCII characters."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if half >= 4 and odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if half >= 4 and even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the first byte is that UTF-8 does not have."""

    byte: int
    position: int
    line: int
    column: int
    others: bool

    def failure(self, label: str, why: str, hint: str) -> Exception:
        return failure(
            "data-encoding",
            f"{label} is not UTF-8: byte 0x{self.byte:02X} at position {self.position} (line {self.line}){why}",
            location=Location(label, self.line, self.column),
            hint=hint,
        )


def _first_beyond(stream: IO[bytes], head: bytes) -> _Place | None:
    """Return where a stream stops being UTF-8, and whether characters of UTF-8 come before; None where it is all."""
    position, line, column, others, rest = 0, 1, 1, False, b""
    block = head
    while block or rest:
        data, following = rest + block, stream.read(_BLOCK)
        try:
            used = codecs.utf_8_decode(data, "strict", not following)[1]
        except UnicodeDecodeError as error:
            before, wrong = data[: error.start], data[error.start]
            line, column = _after(before, line, column)
            cut = error.reason == "unexpected end of data"  # half a character of UTF-8, as a cut file ends in
            return _Place(wrong, position + error.start, line, column, cut or others or not before.isascii())
        whole, rest = data[:used], data[used:]
        others = others or not whole.isascii()
        line, column = _after(whole, line, column)
        position, block = position + used, following
    return None


def _after(data: bytes, line: int, column: int) -> tuple[int, int]:
    """Return the line and column, both from 1, behind some bytes."""
    breaks = data.count(b"\n")
    return (line + breaks, len(data) - data.rfind(b"\n")) if breaks else (line, column + len(data))


def _require_western(stream: IO[bytes], label: str, place: _Place) -> None:
    """Raise where the bytes are damaged UTF-8, or read as Windows-1252 are no text of a language of it."""
    ask = f"say which it is with --encoding ({', '.join(ENCODINGS[2:9])} …), or save it as UTF-8"
    if place.others:
        why = ", though others of its characters are UTF-8"
        raise place.failure(label, why, "it is damaged, or two texts of different encodings were put together")
    words: Counter[str] = Counter()
    for line in stream:
        if line.isascii():
            continue
        if _BAD.search(line):
            raise place.failure(label, ", and not Windows-1252 either", ask)
        text = line.decode("cp1252")
        words.update(word for word in re.findall(r"[^\s,;|\t\"]+", text) if not word.isascii())
        if len(words) > _WORDS:
            break
    signs = [sign for word in words for sign in _signs(word)]
    letters = {each for word in words for each in word.lower()}
    if signs and (sum(signs) < _PLAUSIBLE * len(signs) or (letters & _ICELANDIC and not letters & _BESIDE)):
        shown = max(words, key=lambda word: (sum(not each for each in _signs(word)), -len(word)))
        raise place.failure(label, f", and as Windows-1252 it would say {shown[:20]!r}", ask)


_ICELANDIC, _BESIDE = frozenset("þð"), frozenset("áéíóúæ")
"""Letters of Icelandic alone, which other encodings have others for, and letters that Icelandic has beside them."""
_BEFORE = frozenset("¿¡«»„“”‚‘’‹›§€£¥©®°–—…•·")
"""Signs that may stand right before a letter."""
_AFTER = frozenset("«»“”‘’‹›´²³¹ªº°™®©€£¥–—…•·")
"""Signs that may stand right after a letter."""


def _signs(word: str) -> list[bool]:
    """Tell of each character beyond ASCII in a word whether it may stand there in a language of Western Europe."""
    found = []
    for index, each in enumerate(word):
        if each.isascii():
            continue
        before, after = word[max(index - 1, 0) : index], word[index + 1 : index + 2]
        if each in "ªº" or not each.isalpha():
            found.append(_may_stand(each, before, after))
        else:
            crowd = before.isalpha() and not before.isascii() and after.isalpha() and not after.isascii()
            shouted = each.isupper() and before.islower()
            found.append(not crowd and not shouted)
    return found


def _may_stand(sign: str, before: str, after: str) -> bool:
    """Tell whether a sign may stand between two characters: in other encodings it is a letter of a word."""
    if before.isalpha() and after.isalpha():
        return sign in "’‘´–—·"
    if (before.isalpha() and sign not in _AFTER) or (after.isalpha() and sign not in _BEFORE):
        return False
    return all(each.isascii() or each.isalpha() or each in _BEFORE | _AFTER for each in (before, after))


class _Transcoded(io.RawIOBase):
    """A text in another encoding as bytes of UTF-8."""

    def __init__(self, inner: IO[bytes], encoding: str) -> None:
        self._inner = inner
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._waiting = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        while not self._waiting:
            data = self._inner.read(_BLOCK)
            self._waiting = self._decoder.decode(data, final=not data).encode("utf-8", "strict")
            if not data:
                break
        data, self._waiting = self._waiting[: len(view)], self._waiting[len(view) :]
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()


def as_utf8(stream: IO[bytes], encoding: str) -> IO[bytes]:
    """Return a stream of the same text in UTF-8; raises ``UnicodeError`` where it is not in its encoding."""
    if encoding == "utf-8":
        return stream
    return io.BufferedReader(_Transcoded(stream, encoding), _BLOCK)
