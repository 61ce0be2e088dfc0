"""What the reference says of a name, for a terminal and for programs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import Any

from modelops.handbook.pages import plain_text
from modelops.handbook.topics import Topic
from modelops.views.terminal import table

__all__ = ["data", "overview", "text"]

_FIELDS = 6
"""Fields of one name that are told in full; of more only where they are."""

_WIDTH = 100


def overview(contents: Mapping[str, tuple[str, ...]]) -> str:
    """Return what may be asked for, in a few lines."""
    told = {name: ", ".join(names) for name, names in contents.items() if name != "codes"}
    lines = [
        *(_wrapped(f"{name}: {names}", "") for name, names in told.items()),
        f"{len(contents['codes'])} error codes, such as approval-missing; exit codes, such as 3",
        "fields by their path, such as Model.spec.training.seed, or by the end of it: training.seed",
        "verbs, such as rollout simulate",
    ]
    return "\n".join(lines)


def text(topics: Iterable[Topic]) -> str:
    """Return topics for a terminal; of a field that many kinds have, where it is."""
    found = tuple(topics)
    if len(found) > _FIELDS:
        rows = [(one.name, plain_text(one.prose)) for one in found]
        return f"{len(found)} fields go by that name; ask for one of them:\n" + table(("field", "meaning"), rows)
    return "\n\n".join(map(_told, found))


def _told(topic: Topic) -> str:
    lines = [f"{topic.name} ({topic.sort}, docs/reference/{topic.page})"]
    lines += [_wrapped(f"{name}: {plain_text(value)}", "  ") for name, value in topic.facts.items()]
    if topic.prose:
        told = plain_text(topic.prose).split("\n\n")
        lines += ["", "\n\n".join(_as_it_is(part) if "\n  " in part else _wrapped(part, "  ") for part in told)]
    if topic.fields:
        lines += ["", *map(_row, topic.fields)]
    return "\n".join(lines)


def _row(row: Mapping[str, str]) -> str:
    """Return a field or an option as a dictionary has its words: what fits every width."""
    (_, name), *rest = row.items()
    short = [
        f"{key} {value}" if key == "default" else value for key, value in rest if key != "meaning" and value != "–"
    ]
    head = f"{plain_text(name)}: {plain_text('; '.join(short))}" if short else plain_text(name)
    return f"{_wrapped(head, '  ')}\n{_wrapped(plain_text(row.get('meaning', '')), '      ')}"


def _wrapped(told: str, indent: str) -> str:
    # A file or a pipe has no width of its own: what is written there is the same everywhere.
    width = min(shutil.get_terminal_size().columns, 120) if sys.stdout.isatty() else _WIDTH
    return fill(" ".join(told.split()), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _as_it_is(told: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in told.splitlines())


def data(topics: Iterable[Topic]) -> list[dict[str, Any]]:
    """Return topics as plain data; texts are Markdown."""
    return [
        {
            "sort": one.sort,
            "name": one.name,
            "page": f"docs/reference/{one.page}",
            "facts": dict(one.facts),
            "text": one.prose,
            "fields": [dict(row) for row in one.fields],
        }
        for one in topics
    ]
