"""Bytes to values, strictly: the YAML profile that modelops reads, every node with its place in the file.

The profile is what YAML 1.2 and JSON agree on. Only ``true`` and ``false`` are booleans, ``null``, ``~`` and nothing
are null, numbers are decimal, keys are strings; everything else that is plain is a string, dates and ``no`` included.
Duplicate keys and tags are refused, aliases are few, and size, depth and expansion are limited.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modelops.errors import Location
from modelops.spec.yaml.text import SIZE_LIMIT, SNAPSHOT_SIZE_LIMIT, decode, size_limit, too_large

__all__ = ["SIZE_LIMIT", "SNAPSHOT_SIZE_LIMIT", "Document", "decode", "parse", "size_limit", "too_large"]


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: plain values (mappings as dict, sequences as tuple) and where each of them was written.

    ``marks`` maps a dotted path such as ``spec.gates[0].params`` to the location of its value, ``keys`` to the location
    of its key.
    """

    path: str
    value: dict[str, Any]
    marks: dict[str, Location] = field(repr=False)
    keys: dict[str, Location] = field(repr=False)


def parse(data: bytes, path: str) -> Document:
    """Read a file strictly; raises one error that carries every problem of its YAML."""
    # Most files never come here, see ``quick``; so most runs need not load the YAML library.
    from modelops.spec.yaml.strict import compose, construct

    text = decode(data, path)
    value, marks, keys = construct(compose(text, path), path, text)
    return Document(path, value, marks, keys)
