"""Edits by span: one value, one line of diff; comments, quotes, order, indentation and line endings stay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.spec.yaml import dump
from modelops.spec.yaml.document import decode, parse
from modelops.spec.yaml.strict import Node, compose, construct

_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


@dataclass(frozen=True, slots=True)
class _Text:
    """A file being edited: its text without byte order mark, its node tree, and how its lines end."""

    path: str
    text: str
    root: Node
    newline: str
    mark: bytes

    def bytes(self, start: int, end: int, text: str) -> bytes:
        """Return the file with one span replaced."""
        return self.mark + (self.text[:start] + text.replace("\n", self.newline) + self.text[end:]).encode()


def _open(data: bytes, path: str) -> _Text:
    text = decode(data, path)
    root = compose(text, path)
    construct(root, path, text)
    assert root is not None
    newline = "\r\n" if "\r\n" in text else "\n"
    return _Text(path, text, root, newline, b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b"")


def _parts(dotted: str) -> list[str | int]:
    return [int(index) if index else key for index, key in _PART.findall(dotted)]


def _refuse(file: _Text, node: Node, dotted: str, why: str) -> ModelOpsError:
    where = Location(file.path, node.start_mark.line + 1, node.start_mark.column + 1)
    return failure("edit-refused", why, location=where, dotted=dotted, hint="edit this value by hand")


def _entry(node: Node, key: str) -> int | None:
    """Return the index of a mapping's entry."""
    return next((index for index, (name, _) in enumerate(node.value) if name.value == key), None)


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(node, yaml.MappingNode) and isinstance(part, str):
        index = _entry(node, part)
        return None if index is None else node.value[index][1]
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        return node.value[part] if part < len(node.value) else None
    return None


def _end(node: Node) -> int:
    """Return where a node's own text ends; a block collection's mark lies beyond its comments."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    if isinstance(last, tuple):
        key, value = last
        return max(_end(value), int(key.end_mark.index) + 1)
    return _end(last)


def _line_end(text: str, index: int) -> int:
    """Return the index just before the line break at or after an index."""
    found = text.find("\n", index)
    if found < 0:
        return len(text)
    return found - 1 if found > index and text[found - 1] == "\r" else found


def _after_line(text: str, index: int) -> int:
    """Return the start of the next line."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _is_block_scalar(node: Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")


def _tail(file: _Text, node: Node, key: Node | None = None) -> int:
    """Return where the last line of an entry ends, its trailing comment included, its line break not."""
    end = max(_end(node), key.end_mark.index if key is not None else 0)
    deepest = node
    while not isinstance(deepest, yaml.ScalarNode) and not deepest.flow_style and deepest.value:
        last = deepest.value[-1]
        deepest = last[1] if isinstance(last, tuple) else last
    if _is_block_scalar(deepest):
        # The end mark of a block scalar lies after its line breaks, blank lines and comments below it included.
        end = len(file.text[:end].rstrip(" \t\r\n"))
    return _line_end(file.text, end)


def _written(value: Any, old: Node | None = None) -> str:
    """Return a value on one line, in the quotes of the scalar that it replaces."""
    if isinstance(value, str) and isinstance(old, yaml.ScalarNode) and "\n" not in value:
        if old.style == "'" and dump.quoted(value) == f'"{value}"':
            return "'" + value.replace("'", "''") + "'"
        if old.style in ("'", '"'):
            return dump.quoted(value)
    return dump.flow(value)


def _changed(value: Any, parts: list[str | int], change: Any) -> Any:
    """Return a copy of a plain value with one place changed; ``change`` maps the old value to the new or to a gap."""
    if not parts:
        return change(value)
    head, rest = parts[0], parts[1:]
    if isinstance(head, int):
        items = list(value)
        new = _changed(items[head], rest, change)
        items[head : head + 1] = [] if new is _GAP else [new]
        return tuple(items)
    result = dict(value or {})
    new = _changed(result.get(head), rest, change)
    if new is _GAP:
        result.pop(head, None)
    else:
        result[head] = new
    return result


_GAP = object()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _checked(old: bytes, new: bytes, path: str, parts: list[str | int], change: Any) -> bytes:
    """Return the edited bytes after reading them back; an edit that did anything else is our mistake."""
    expected = _changed(parse(old, path).value, parts, change)
    if parse(new, path).value != expected:
        raise failure(
            "edit-failed", "the edit would have changed something else", exit=Exit.BUG, location=Location(path)
        )
    return new


def set_value(data: bytes, dotted: str, value: Any, path: str = "document") -> bytes:
    """Return the file with one value set; a key that is not there yet is inserted after its last sibling."""
    file, parts, value = _open(data, path), _parts(dotted), _plain(value)
    node, depth = _deepest(file, parts)
    if depth == len(parts):
        new = _replace(file, node, dotted, value)
    else:
        missing = parts[depth:]
        if any(isinstance(part, int) for part in missing):
            raise _refuse(file, node, dotted, "there is no such list item")
        for part in reversed(missing[1:]):
            value = {part: value}
        new = _insert(file, node, parts[:depth], dotted, str(missing[0]), value)
        value = parse(new, path).value
        for part in parts:
            value = value[part]
    return _checked(data, new, path, parts, lambda _: value)


def _deepest(file: _Text, parts: list[str | int]) -> tuple[Node, int]:
    """Return the node of the longest part of a path that was written, and how many parts that is."""
    node, depth = file.root, 0
    for part in parts:
        inner = _child(node, part)
        if inner is None:
            break
        node, depth = inner, depth + 1
    return node, depth


def _key_of(file: _Text, node: Node) -> Node | None:
    """Return the key node whose value is a node."""
    stack = [file.root]
    while stack:
        here = stack.pop()
        if isinstance(here, yaml.MappingNode):
            for key, value in here.value:
                if value is node:
                    return key
                stack.append(value)
        elif isinstance(here, yaml.SequenceNode):
            stack += here.value
    return None


def _guard(file: _Text, node: Node, dotted: str) -> None:
    """Refuse a node whose text is shared through an anchor."""
    key = _key_of(file, node)
    start = file.text.find(":", key.end_mark.index) + 1 if key is not None else node.start_mark.index
    before = file.text[min(start, node.start_mark.index) : node.start_mark.index + 1].strip()
    if before[:1] in ("&", "*") or (key is not None and node.start_mark.index < key.start_mark.index):
        raise _refuse(file, node, dotted, "the value is shared through an anchor")


def _replace(file: _Text, node: Node, dotted: str, value: Any) -> bytes:
    _guard(file, node, dotted)
    start, end = node.start_mark.index, _end(node)
    if isinstance(node, yaml.ScalarNode) and start == end:
        key = _key_of(file, node)
        if key is None:
            raise _refuse(file, node, dotted, "an empty list item cannot be replaced")
        colon = file.text.index(":", key.end_mark.index) + 1
        return file.bytes(colon, colon, f" {_written(value)}")
    if _is_block_scalar(node):
        end = len(file.text[:end].rstrip("\r\n"))
    return file.bytes(start, end, _written(value, node))


def _insert(file: _Text, node: Node, parents: list[str | int], dotted: str, key: str, value: Any) -> bytes:
    """Insert an entry into the mapping (or null) ``node``."""
    _guard(file, node, dotted)
    if isinstance(node, yaml.ScalarNode):
        return _insert_below_null(file, node, dotted, key, value)
    if not isinstance(node, yaml.MappingNode):
        raise _refuse(file, node, dotted, "the parent is not a mapping")
    if node.flow_style:
        close = node.end_mark.index - 1
        body = file.text[:close].rstrip()
        comma = "" if not node.value or body.endswith(",") else ", "
        start = len(body) if node.value else close
        return file.bytes(start, close, f"{comma}{dump.scalar(key)}: {_written(value)}")
    indent = node.value[0][0].start_mark.column
    last_key, last = node.value[-1]
    return _add_entry(file, _tail(file, last, last_key), key, value, indent)


def _insert_below_null(file: _Text, node: Node, dotted: str, key: str, value: Any) -> bytes:
    if node.tag != "plain" or node.value not in ("", "null", "~"):
        raise _refuse(file, node, dotted, "the parent is not a mapping")
    if node.value:
        return file.bytes(node.start_mark.index, node.end_mark.index, dump.flow({key: value}))
    owner = _key_of(file, node)
    if owner is None:
        raise _refuse(file, node, dotted, "the parent is an empty list item")
    line = _line_end(file.text, owner.end_mark.index)
    return _add_entry(file, line, key, value, owner.start_mark.column + 2)


def _add_entry(file: _Text, index: int, key: str, value: Any, indent: int) -> bytes:
    """Add a key and its value as lines; where the file ends without a line break, a text keeps its own in quotes."""
    if index == len(file.text):
        return _add_lines(file, index, [f"{' ' * indent}{dump.scalar(key)}: {dump.flow(value)}"])
    return _add_lines(file, index, dump.block({key: value}, indent))


def _add_lines(file: _Text, index: int, lines: list[str]) -> bytes:
    return file.bytes(index, index, "\n" + "\n".join(lines))


def append(data: bytes, dotted: str, item: Any, path: str = "document") -> bytes:
    """Return the file with an item added to the end of a list; a list that is missing or empty is made."""
    file, parts, item = _open(data, path), _parts(dotted), _plain(item)
    node, depth = _deepest(file, parts)
    empty = isinstance(node, yaml.ScalarNode) and node.value in ("", "null", "~")
    if depth < len(parts) or (empty and node.tag == "plain"):
        return set_value(data, dotted, (item,), path) if depth == len(parts) else _append_new(data, dotted, item, path)
    _guard(file, node, dotted)
    if not isinstance(node, yaml.SequenceNode):
        raise _refuse(file, node, dotted, "it is not a list")
    if node.flow_style or not node.value:
        close = node.end_mark.index - 1
        body = file.text[:close].rstrip()
        comma = "" if not node.value or body.endswith(",") else ", "
        new = file.bytes(len(body) if node.value else close, close, f"{comma}{dump.flow(item)}")
    else:
        dash = file.text.rfind("-", 0, node.value[0].start_mark.index)
        indent = dash - (file.text.rfind("\n", 0, dash) + 1)
        new = _add_lines(file, _tail(file, node), dump.block([item], indent))
    return _checked(data, new, path, parts, lambda old: (*old, item))


def _append_new(data: bytes, dotted: str, item: Any, path: str) -> bytes:
    return set_value(data, dotted, (item,), path)


def remove(data: bytes, dotted: str, path: str = "document") -> bytes:
    """Return the file without one key or list item; what becomes empty is written as ``{}`` or ``[]``."""
    file, parts = _open(data, path), _parts(dotted)
    parent, depth = _deepest(file, parts[:-1])
    node = _child(parent, parts[-1])
    if depth < len(parts) - 1 or node is None:
        raise failure("edit-refused", f"{dotted} is not there", location=Location(path), dotted=dotted)
    if isinstance(parts[-1], int):
        index, starts = parts[-1], [item.start_mark.index for item in parent.value]
        keys: list[Node | None] = [None] * len(starts)
    else:
        index = _entry(parent, parts[-1]) or 0
        keys = [key for key, _ in parent.value]
        starts = [key.start_mark.index for key, _ in parent.value]
    if len(parent.value) == 1:
        new = _remove_last(file, parent, dotted, keys[0])
    elif parent.flow_style:
        new = _remove_in_flow(file, node, starts, index)
    else:
        new = _remove_lines(file, node, keys[index], starts, index, dotted)
    return _checked(data, new, path, parts, lambda _: _GAP)


def _remove_last(file: _Text, parent: Node, dotted: str, key: Node | None) -> bytes:
    text = "[]" if isinstance(parent, yaml.SequenceNode) else "{}"
    owner = _key_of(file, parent)
    if parent.flow_style or owner is None:
        return file.bytes(parent.start_mark.index, _end(parent), text)
    colon = file.text.index(":", owner.end_mark.index) + 1
    value = parent.value[0][1] if key is not None else parent.value[0]
    first = _line_end(file.text, colon)
    kept = file.text[colon:first]
    return file.bytes(colon, _tail(file, value, key), f" {text}{kept}")


def _remove_in_flow(file: _Text, node: Node, starts: list[int], index: int) -> bytes:
    if index + 1 < len(starts):
        return file.bytes(starts[index], starts[index + 1], "")
    comma = file.text.rfind(",", 0, starts[index])
    return file.bytes(comma, max(_end(node), starts[index]), "")


def _remove_lines(file: _Text, node: Node, key: Node | None, starts: list[int], index: int, dotted: str) -> bytes:
    start = starts[index]
    line = file.text.rfind("\n", 0, start) + 1
    before = file.text[line:start]
    if (key is None and before.strip() == "-") or not before.strip():
        end = _tail(file, node, key)
        following = _after_line(file.text, end)
        if following == len(file.text) and not file.text.endswith("\n"):
            return file.bytes(_line_end(file.text, max(line - 2, 0)), following, "")
        return file.bytes(line, following, "")
    # The first key beside a dash: the next one takes its place.
    if index + 1 == len(starts) or "#" in file.text[_end(node) : starts[index + 1]]:
        raise _refuse(file, node, dotted, "it shares its line with something else")
    return file.bytes(start, starts[index + 1], "")
