"""Bytes to values, strictly: the YAML profile that modelops reads, every node with its place in the file.

The profile is what YAML 1.2 and JSON agree on. Only ``true`` and ``false`` are booleans, ``null``, ``~`` and nothing
are null, numbers are decimal, keys are strings; everything else that is plain is a string, dates and ``no`` included.
Duplicate keys and tags are refused, aliases are few, and size, depth and expansion are limited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]

from modelops.errors import Location, ModelOpsError, Problem, failure

SIZE_LIMIT = 1 << 20
"""Bytes of one file."""
SNAPSHOT_SIZE_LIMIT = 16 << 20
"""Bytes of a DataSnapshot, which lists every file of a data set."""
DEPTH_LIMIT = 32
ALIAS_LIMIT = 32
NODE_LIMIT = 1_000_000

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NUMBER_START = frozenset("-+.0123456789")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SNAPSHOT_PATH = re.compile(r"models/.+/data/[^/]+\.yaml")
Node = Any
"""A node of libyaml's tree; its type stubs know half of its attributes."""

_PLAIN, _QUOTED, _NON_SPECIFIC = "plain", "quoted", "!"


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


def size_limit(path: str) -> int:
    """Return how many bytes the file at a repository path may have."""
    return SNAPSHOT_SIZE_LIMIT if _SNAPSHOT_PATH.fullmatch(path) else SIZE_LIMIT


def too_large(path: str, size: int) -> ModelOpsError:
    """Return the error for a file that is over its limit; asked before the file is read."""
    return failure(
        "file-too-large",
        f"{size:,} bytes is more than the {size_limit(path):,} that a spec may have",
        location=Location(path),
        hint="keep data out of specs: a snapshot records digests, not rows",
    )


def decode(data: bytes, path: str) -> str:
    """Return the text of a file without its byte order mark; refuses oversize, binary and invalid UTF-8."""
    if len(data) > size_limit(path):
        raise too_large(path, len(data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        code = "binary-file" if b"\0" in data[:8192] else "invalid-utf8"
        raise failure(
            code,
            f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8",
            location=_position(before, len(before), path),
            hint="save the file as UTF-8 text",
        ) from None
    found = _FORBIDDEN.search(text)
    if found:
        code = "binary-file" if found.group() == "\0" else "control-character"
        raise failure(
            code,
            f"character U+{ord(found.group()):04X} may not stand in a YAML file",
            location=_position(text, found.start(), path),
            hint="save the file as UTF-8 text; write control characters as escapes in double quotes",
        )
    return text


def _position(text: str, index: int, path: str) -> Location:
    line_start = text.rfind("\n", 0, index) + 1
    return Location(path, text.count("\n", 0, index) + 1, index - line_start + 1)


class _Composer(CParser):
    """libyaml's composer, with our scalar rules instead of YAML 1.1's and a bound on nesting."""

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        self.depth = 0

    def resolve(self, kind: object, value: object, implicit: Any) -> str:
        if isinstance(implicit, tuple):
            return _PLAIN if implicit[0] else _QUOTED
        return _PLAIN if implicit else _NON_SPECIFIC

    def descend_resolver(self, parent: Any, index: Any) -> None:
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            mark = parent.start_mark
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEPTH_LIMIT} levels", problem_mark=mark)

    def ascend_resolver(self) -> None:
        self.depth -= 1


def _syntax_problem(error: yaml.MarkedYAMLError, path: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    location = Location(path, mark.line + 1, mark.column + 1) if mark else Location(path)
    said = error.problem or error.context or "not valid YAML"
    if said.startswith("nested deeper"):
        return Problem("too-deep", said, location, hint="no kind nests that deep")
    if "another document" in said:
        return Problem("multiple-documents", "a file holds one document", location, hint="remove the second `---`")
    hints = {
        "cannot start any token": "indent with spaces, and quote a text that begins with a special character",
        "mapping values are not allowed": "quote a text that holds `: `",
        "undefined alias": "an alias needs an anchor before it",
        "could not find expected ':'": "every key is followed by a colon and a space",
        "did not find expected key": "check the indentation of this line and of the one before it",
    }
    hint = next((hint for part, hint in hints.items() if part in said), "check quotes, brackets and indentation")
    return Problem("yaml-syntax", f"not valid YAML: {said}", location, hint=hint)


def compose(text: str, path: str) -> Node | None:
    """Return the node tree of the one document in a text, or None when it holds nothing."""
    composer = _Composer(text)
    try:
        node: Node | None = composer.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise ModelOpsError(_syntax_problem(error, path)) from None
    except yaml.YAMLError as error:
        raise failure("yaml-syntax", f"not valid YAML: {error}", location=Location(path)) from None
    finally:
        composer.dispose()
    return node


def plain_scalar(text: str) -> Any:
    """Return what a plain scalar means; raises ValueError for a number that no JSON reader would keep."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMBER_START:
        if _INTEGER.fullmatch(text):
            if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
                raise ValueError("integers have 64 bits")
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number in (float("inf"), float("-inf")):
                raise ValueError("numbers are finite")
            return number
    return text


class _Construction:
    """One walk over the nodes: values, marks and every problem on the way."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.marks: dict[str, Location] = {}
        self.keys: dict[str, Location] = {}
        self.problems: list[Problem] = []
        self.seen: set[int] = set()
        self.nodes = 0
        self.aliases = 0

    def where(self, node: Node) -> Location:
        return Location(self.path, node.start_mark.line + 1, node.start_mark.column + 1)

    def problem(self, code: str, message: str, node: Node, dotted: str, hint: str) -> None:
        self.problems.append(Problem(code, message, self.where(node), dotted or None, hint))

    def admit(self, node: Node, dotted: str) -> None:
        """Count a node; stop the walk when aliases multiply."""
        self.nodes += 1
        if id(node) in self.seen:
            self.aliases += 1
        self.seen.add(id(node))
        if self.aliases > ALIAS_LIMIT or self.nodes > NODE_LIMIT:
            self.problem(
                "too-many-aliases", "the aliases of this file expand too far", node, dotted, "write values out"
            )
            raise ModelOpsError(*self.problems)
        if node.tag not in (_PLAIN, _QUOTED) or (node.tag == _QUOTED and node.style is None):
            self.problem("yaml-tag", f"the tag {node.tag!r} is not allowed", node, dotted, "remove the tag")

    def value(self, node: Node, dotted: str, depth: int = 0) -> Any:
        self.admit(node, dotted)
        self.marks[dotted] = self.where(node)
        if depth > DEPTH_LIMIT:
            self.problem(
                "too-deep", f"nested deeper than {DEPTH_LIMIT} levels", node, dotted, "no kind nests that deep"
            )
            raise ModelOpsError(*self.problems)
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, dotted)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(item, f"{dotted}[{index}]", depth + 1) for index, item in enumerate(node.value))
        return self.mapping(node, dotted, depth)

    def scalar(self, node: yaml.ScalarNode, dotted: str) -> Any:
        if node.tag != _PLAIN:
            return node.value
        try:
            return plain_scalar(node.value)
        except ValueError as error:
            hint = "quote it if it is a text"
            self.problem("bad-number", f"{node.value[:40]!r} is not a number here: {error}", node, dotted, hint)
            return None

    def mapping(self, node: Node, dotted: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.value:
                self.problem("bad-key", "a key is a text", key_node, dotted, "write `key: value`")
                continue
            key = key_node.value
            inner = f"{dotted}.{key}" if dotted else key
            self.admit(key_node, inner)
            if key in result:
                first = self.keys[inner].line
                hint = f"the first one is in line {first}; remove one of them"
                self.problem("duplicate-key", f"the key {key!r} is written twice", key_node, inner, hint)
                continue
            self.keys[inner] = self.where(key_node)
            result[key] = self.value(value_node, inner, depth + 1)
        return result


def construct(node: Node | None, path: str) -> Document:
    """Turn a node tree into a Document, raising every problem of the walk at once."""
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        raise failure("empty-file", "the file holds no document", location=Location(path, 1, 1))
    walk = _Construction(path)
    value = walk.value(node, "")
    if not isinstance(value, dict):
        walk.problem("not-a-mapping", "the document is not a mapping", node, "", "begin with `apiVersion: modelops/v1`")
    if walk.problems:
        raise ModelOpsError(*walk.problems)
    return Document(path, value, walk.marks, walk.keys)


def parse(data: bytes, path: str) -> Document:
    """Read a file strictly; raises one error that carries every problem of its YAML."""
    return construct(compose(decode(data, path), path), path)
