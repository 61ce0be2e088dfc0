"""The strict reading itself: libyaml's node tree, walked to values; what is wrong (a key written twice) has a place."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]

from modelops.errors import Location, ModelOpsError, Problem, failure
from modelops.spec.yaml.scalars import plain_scalar
from modelops.spec.yaml.text import ALIAS_LIMIT, DEPTH_LIMIT, NODE_LIMIT

Node = Any
"""A node of libyaml's tree; its type stubs know half of its attributes."""

_PLAIN, _QUOTED, _NON_SPECIFIC = "plain", "quoted", "!"


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


def members(node: Node | None) -> list[tuple[str, Node]]:
    """Return the keys that are texts, each with its value, as they are written; anything but a mapping: ValueError."""
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("not a mapping")
    return [(key.value, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]


def scalar(node: Node) -> Any:
    """Return what a scalar means, whatever its tag; anything but a scalar: ValueError."""
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("not a scalar")
    return plain_scalar(node.value) if node.tag == _PLAIN else node.value


class _Construction:
    """One walk over the nodes: values, marks and every problem on the way."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
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
        # libyaml drops the tag `!` of a plain scalar; only the text still shows it.
        bare = node.tag == _PLAIN and self.text[node.start_mark.index : node.start_mark.index + 1] == "!"
        if bare or node.tag not in (_PLAIN, _QUOTED):
            tag = _NON_SPECIFIC if bare else node.tag
            self.problem("yaml-tag", f"the tag {tag!r} is not allowed", node, dotted, "remove the tag")

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


def construct(
    node: Node | None, path: str, text: str
) -> tuple[dict[str, Any], dict[str, Location], dict[str, Location]]:
    """Return value, locations of values and locations of keys of a tree; raises every problem of the walk at once."""
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        raise failure("empty-file", "the file holds no document", location=Location(path, 1, 1))
    walk = _Construction(path, text)
    value = walk.value(node, "")
    if not isinstance(value, dict):
        walk.problem("not-a-mapping", "the document is not a mapping", node, "", "begin with `apiVersion: modelops/v1`")
    if walk.problems:
        raise ModelOpsError(*walk.problems)
    return value, walk.marks, walk.keys
