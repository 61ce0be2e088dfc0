"""What a pull request changes, file by file and line by line, with nothing in it that its reader does not see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelops.governance.results import SHOWN_BYTES, Comparison, Difference, Shown, Side
from modelops.markup import plain, visible

_WORDS = {"binary": "binary", "large": f"larger than {SHOWN_BYTES >> 10} KiB"}
_KINDS = {
    "120000": "a symbolic link",
    "160000": "a submodule",
    "100755": "an executable file",
    "000000": "nothing",
}


def text(found: Comparison) -> str:
    """Return every file that differs in a line, then the text of all that is text.

    What is left out is named first, so that no amount of other text can hide it.
    """
    lines = [_line(one, found) for one in found.shown] or ["no file differs"]
    left_out = [line for one in found.shown for line in _left_out(one)]
    return "\n".join([*lines, *left_out, "", *_patch(found)]).rstrip("\n")


def _line(one: Shown, found: Comparison) -> str:
    said = [f"{one.difference.what} {plain(one.difference.path)}", *_notes(one.difference)]
    new = found.renames.get(one.difference.path)
    old = next((old for old, new in found.renames.items() if new == one.difference.path), None)
    said += [f"renamed to {plain(new)}"] if new is not None else []
    said += [f"renamed from {plain(old)}"] if old is not None else []
    said += ["NOT SHOWN below"] if one.hidden is not None else []
    return ", ".join(said)


def _notes(difference: Difference) -> list[str]:
    """Return what a patch shows by a number only."""
    kinds = [_kind(mode) for mode in (difference.old_mode, difference.mode)]
    if kinds[0] == kinds[1] or difference.what != "changed":
        return [kind for kind in kinds if kind not in ("nothing", "a file")][:1]
    return [f"{kinds[0]} becomes {kinds[1]}"]


def _kind(mode: str) -> str:
    return _KINDS.get(mode, "a file")


def _left_out(one: Shown) -> Iterator[str]:
    if one.hidden is None:
        return
    words = [one.difference.what] if len(one.sides) == 1 else ["before", "after"]
    yield f"not shown: {plain(one.difference.path)} ({_WORDS[one.hidden]})"
    for word, side in zip(words, one.sides, strict=True):
        yield f"  {word}: {_side(side)}"


def _side(side: Side) -> str:
    return f"{side.size:,} bytes, {side.digest}"


def _patch(found: Comparison) -> Iterator[str]:
    for patch in found.texts:
        # Only a line feed ends a line here: what else could break one is told by its name.
        for line in patch.decode("utf-8", "surrogateescape").split("\n"):
            yield visible(line)


def data(found: Comparison) -> dict[str, Any]:
    """Return every file that differs, and the text of all that is text as ``text`` shows it."""
    return {"files": [_file(one, found) for one in found.shown], "patch": "\n".join(_patch(found))}


def _file(one: Shown, found: Comparison) -> dict[str, Any]:
    difference = one.difference
    return {
        "path": difference.path,
        "change": difference.what,
        "oldMode": difference.old_mode,
        "mode": difference.mode,
        "oldId": difference.old_id,
        "id": difference.id,
        "renamedTo": found.renames.get(difference.path),
        "hidden": one.hidden,
        "sides": [{"bytes": side.size, "digest": side.digest} for side in one.sides],
    }
