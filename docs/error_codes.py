"""Every error code in the source, found by reading it: what it says, where it is raised, and how it exits."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelops.errors import Exit

SOURCE = Path(__file__).resolve().parent.parent / "src" / "modelops"

_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DEFAULT = "FILES"


@dataclass
class Found:
    """What the source says about one error code."""

    exits: set[str] = field(default_factory=set)
    messages: dict[str, None] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Maker:
    """A function or class that takes a code: the positions of code and message, and the exit it always has."""

    code: int
    message: int | None
    exit: str | None = None


class Reader(ast.NodeVisitor):
    """Collects the error codes of one module."""

    def __init__(self, module: str, makers: Mapping[str, Maker], found: dict[str, Found]) -> None:
        self.module, self.makers, self.found = module, makers, found
        self.outer_exit: list[str | None] = []
        self.assigned: dict[str, list[ast.expr]] = {}
        self.tables = False

    def read(self, tree: ast.Module) -> None:
        """Read a module; rows of problems are looked for where a code is taken from a variable."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) in ("failure", "Problem"):
                code = argument(node, 0, "code")
                self.tables = self.tables or (code is not None and not constants(code))
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Remember what a function's variables may be, for messages that are made first and used then."""
        before = self.assigned
        self.assigned = {}
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Name):
                self.assigned.setdefault(inner.targets[0].id, []).append(inner.value)
        self.generic_visit(node)
        self.assigned = before

    def values_of(self, node: ast.expr | None) -> list[ast.expr]:
        """Return what an expression may be: itself, or what was assigned to it."""
        if isinstance(node, ast.Name):
            return self.assigned.get(node.id, [])
        return [] if node is None else [node]

    def add(self, code: str, message: ast.expr | None, exit: str | None) -> None:
        """Note one use of a code."""
        entry = self.found.setdefault(code, Found())
        entry.modules.add(self.module)
        if exit is not None:
            entry.exits.add(exit)
        if (text := template(message)) is not None:
            entry.messages[text] = None

    def visit_Call(self, node: ast.Call) -> None:
        """Look at a call that may make a problem."""
        name = called(node)
        maker = self.makers.get(name)
        own = exit_of(node)
        if maker is not None:
            code = argument(node, maker.code, "code")
            message = argument(node, maker.message, "message") if maker.message is not None else None
            exit = own or maker.exit or (_DEFAULT if name == "failure" else None)
            if exit is None and self.outer_exit:
                exit = self.outer_exit[-1]
            for text in (text for value in self.values_of(code) for text in constants(value)):
                self.add(text, None, exit)
                for value in self.values_of(message):
                    self.add(text, value, exit)
        self.outer_exit.append(own if name == "ModelOpsError" else self.outer_exit[-1] if self.outer_exit else None)
        self.generic_visit(node)
        self.outer_exit.pop()

    def visit_Tuple(self, node: ast.Tuple) -> None:
        """Look at a row of a table of problems: a code followed by its sentence."""
        if not self.tables:
            self.generic_visit(node)
            return
        for first, second in zip(node.elts, node.elts[1:], strict=False):
            codes = constants(first)
            # One word in a tuple may be anything; codes of one word are found where they are raised.
            if len(codes) == 1 and "-" in codes[0] and is_sentence(second):
                exit = next(
                    (e.attr for e in node.elts if isinstance(e, ast.Attribute) and e.attr in Exit.__members__), None
                )
                self.add(codes[0], second, exit)
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        """Look at a problem written as plain data."""
        values = {
            key.value: value for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant)
        }
        if "code" in values and "message" in values:
            for text in constants(values["code"]):
                self.add(text, values["message"], None)
        self.generic_visit(node)


def called(node: ast.Call) -> str:
    """Return the bare name of what is called."""
    return (
        node.func.id
        if isinstance(node.func, ast.Name)
        else node.func.attr
        if isinstance(node.func, ast.Attribute)
        else ""
    )


def argument(node: ast.Call, position: int, name: str) -> ast.expr | None:
    """Return an argument by position or keyword."""
    if position < len(node.args):
        return node.args[position]
    return next((keyword.value for keyword in node.keywords if keyword.arg == name), None)


def exit_of(node: ast.Call) -> str | None:
    """Return the name of the exit that a call states."""
    value = next((keyword.value for keyword in node.keywords if keyword.arg == "exit"), None)
    return value.attr if isinstance(value, ast.Attribute) and value.attr in Exit.__members__ else None


def constants(node: ast.expr | None) -> list[str]:
    """Return the codes that an expression may be."""
    if isinstance(node, ast.IfExp):
        return [*constants(node.body), *constants(node.orelse)]
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in constants(value)]
    plain = isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value)
    return [str(node.value)] if plain and isinstance(node, ast.Constant) else []


def is_sentence(node: ast.expr) -> bool:
    """Tell whether an expression is a message for people."""
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    )


def template(node: ast.expr | None) -> str | None:
    """Return a message with what is filled in shown as an ellipsis."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        return text if re.search(r"[a-z]{2}", text) else None
    if isinstance(node, ast.IfExp):
        return template(node.body) or template(node.orelse)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = template(node.left), template(node.right)
        return f"{left}{right or '…'}" if left else None
    return None


def makers_in(trees: Mapping[str, ast.Module]) -> dict[str, Maker]:
    """Return every function that hands a code on, found by repeating until no more are."""
    makers = {"failure": Maker(0, 1), "Problem": Maker(0, 1)}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names = [
                    item.target.id
                    for item in node.body
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                ]
                if "code" in names and ("reason" in names or "message" in names):
                    message = names.index("reason" if "reason" in names else "message")
                    makers.setdefault(node.name, Maker(names.index("code"), message))
    functions = [
        (node, [call for call in ast.walk(node) if isinstance(call, ast.Call)])
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]
    while True:
        before = len(makers)
        for function, calls in functions:
            if function.name not in makers and (maker := _hands_on(function, calls, makers)):
                makers[function.name] = maker
        if len(makers) == before:
            return makers


def _hands_on(function: ast.FunctionDef, calls: Sequence[ast.Call], makers: Mapping[str, Maker]) -> Maker | None:
    names = [one.arg for one in function.args.args if one.arg != "self"]
    for node in calls:
        if (maker := makers.get(called(node))) is not None:
            code = argument(node, maker.code, "code")
            if isinstance(code, ast.Name) and code.id in names:
                message = argument(node, maker.message, "message") if maker.message is not None else None
                at = names.index(message.id) if isinstance(message, ast.Name) and message.id in names else None
                stated = exit_of(node) or maker.exit or (_DEFAULT if called(node) == "failure" else None)
                return Maker(names.index(code.id), at, stated)
    return None


def error_codes() -> dict[str, Found]:
    """Return every error code in the source, sorted."""
    paths = sorted(SOURCE.rglob("*.py"))
    trees = {
        path.relative_to(SOURCE.parent).with_suffix("").as_posix().replace("/", "."): ast.parse(path.read_bytes())
        for path in paths
    }
    found: dict[str, Found] = {}
    makers = makers_in(trees)
    for module, tree in trees.items():
        Reader(module.removesuffix(".__init__"), makers, found).read(tree)
    return dict(sorted(found.items()))
