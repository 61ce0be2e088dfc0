"""Values to canonical YAML, for the files that modelops writes whole."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from modelops.errors import Exit, failure
from modelops.spec.layout import SCHEMAS
from modelops.spec.meta import API_VERSION, Strict
from modelops.spec.yaml.scalars import plain_scalar

WIDTH = 160
_PLAIN = re.compile(r"[A-Za-z_/](?:[A-Za-z0-9_./@+-]|:(?=[A-Za-z0-9/]))*(?: [A-Za-z0-9_./@+(][A-Za-z0-9_./@+()-]*)*")
# Words that some YAML reader takes for something other than a text.
_TAKEN = re.compile(r"(?:y|n|yes|no|on|off|true|false|null|none|~)", re.IGNORECASE)
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def schema_comment(path: str, kind: str) -> str:
    """Return the comment by which editors find the JSON Schema of the file at a repository path."""
    up = "../" * (len(PurePosixPath(path).parts) - 1)
    return f"# yaml-language-server: $schema={up}{SCHEMAS}/{kind}.json"


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise failure("bad-number", f"{value} cannot be written to YAML", exit=Exit.BUG)
    text = repr(value)
    # YAML 1.1 readers take a number with an exponent for a text unless it has a point.
    return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text


def quoted(text: str) -> str:
    """Return a text in double quotes, on one line, readable by every YAML reader."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", json.dumps(text, ensure_ascii=False))


def scalar(value: Any) -> str:
    """Return a scalar on one line, quoted only where some reader might take it for something else."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    text = str(value)
    safe = _PLAIN.fullmatch(text) and not _TAKEN.fullmatch(text) and isinstance(plain_scalar(text), str)
    return text if safe else quoted(text)


def flow(value: Any) -> str:
    """Return a value on one line, in braces and brackets."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(str(key))}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def _leaf(value: Any) -> bool:
    return not isinstance(value, Mapping | list | tuple)


def _one_line(value: Any, indent: int, in_list: bool) -> str | None:
    """Return the one-line form of a value where it is the more readable one."""
    if isinstance(value, str) and "\n" in value and _literal(value):
        return None
    if _leaf(value):
        return scalar(value)
    items = list(value.values()) if isinstance(value, Mapping) else list(value)
    numbers = all(isinstance(item, int | float) for item in items)
    if not items:
        return flow(value)
    if isinstance(value, Mapping) and not in_list and not numbers:
        return None
    if not all(map(_leaf, items)) or any(isinstance(item, str) and "\n" in item for item in items):
        return None
    text = flow(value)
    return text if len(text) + indent <= (4000 if numbers and not isinstance(value, Mapping) else WIDTH) else None


def _literal(text: str) -> bool:
    """Tell whether a text can stand as a literal block: no odd spaces, one newline at the end."""
    lines = text.split("\n")
    printable = not _ESCAPED.search(text) and not re.search(r"[\x00-\x09\x0b-\x1f]", text)
    return printable and lines[-1] == "" and all(line == line.rstrip() != "" for line in lines[:-1]) and text[0] != " "


def block(value: Any, indent: int = 0) -> list[str]:
    """Return a mapping or list as lines of block style."""
    pad = " " * indent
    lines: list[str] = []
    if isinstance(value, Mapping):
        for key, item in value.items():
            name = scalar(str(key))
            line = _one_line(item, indent + len(name) + 2, in_list=False)
            if line is not None:
                lines.append(f"{pad}{name}: {line}")
            elif isinstance(item, str):
                lines.append(f"{pad}{name}: |")
                lines += [f"{pad}  {text}" for text in item.split("\n")[:-1]]
            else:
                lines += [f"{pad}{name}:", *block(item, indent + 2)]
        return lines
    for item in value:
        line = _one_line(item, indent + 2, in_list=True)
        if line is not None:
            lines.append(f"{pad}- {line}")
        elif isinstance(item, str):
            lines.append(f"{pad}- {quoted(item)}")
        else:
            inner = block(item, indent + 2)
            lines += [f"{pad}- {inner[0][indent + 2 :]}", *inner[1:]]
    return lines


def dump(kind: str, name: str, spec: Strict, comment: str | None = None, path: str | None = None) -> bytes:
    """Return the canonical file of a resource: keys as declared, defaults left out, one line where that reads well.

    ``path`` adds the schema comment for editors, ``comment`` one or more lines below it.
    """
    head = [schema_comment(path, kind)] if path else []
    head += [f"# {line}".rstrip() for line in comment.splitlines()] if comment else []
    body = spec.model_dump(by_alias=True, exclude_defaults=True)
    document = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": body}
    return ("\n".join([*head, *block(document)]) + "\n").encode()
