"""Code followed statement by statement, without running any of it, to the estimators that it fits."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from modelops.scaffold.adopting import calling
from modelops.scaffold.adopting.cells import Code, Gap
from modelops.scaffold.adopting.changing import Scopes, jumps
from modelops.scaffold.adopting.computing import arithmetic
from modelops.scaffold.adopting.found import Followed
from modelops.scaffold.adopting.tables import column_method, names_of, of_kinds, put, table_method
from modelops.scaffold.adopting.values import (
    LARGEST,
    Column,
    Expression,
    Function,
    Imported,
    Names,
    Opener,
    Table,
    Typed,
    Unknown,
    Value,
    Values,
    composed,
    constant,
    part_of,
)

__all__ = ["follow"]

_STEPS = 50_000
_DEEPEST = 12
_UNROLLED = 200


class Follower(Scopes):
    """The state of following: what names stand for, and what was found."""

    def __init__(self, code: Code, opener: Opener) -> None:
        super().__init__(code)
        self.opener = opener
        self.jump: ast.stmt | None = None
        self.steps = 0
        self.loops = 0
        self.unpacked: str | None = None

    def note(self, node: ast.AST) -> Callable[[str], Gap]:
        """Return what makes a gap of a sentence, at a node."""
        return lambda what: self.code.gap(node, what)

    def name_of(self, value: Expression) -> str:
        """Return the name that stands for an estimator, its class where none does."""
        named = [name for name, each in {**self.scopes[1], **self.scopes[-1]}.items() if each is value]
        return self.unpacked or (named[-1] if named else (value.calls or "estimator").rpartition(".")[2])

    # Statements

    def run(self, body: Sequence[ast.stmt]) -> Value | None:
        """Follow statements; return what ``return`` gives."""
        for statement in body:
            self.steps += 1
            if self.steps > _STEPS:
                return Unknown("the code is too long to be followed")
            if (returned := self.statement(statement)) is not None:
                return returned
            if self.jump is not None:
                return None
        return None

    def statement(self, node: ast.stmt) -> Value | None:
        """Follow one statement."""
        match node:
            case ast.Import():
                for each in node.names:
                    name = each.name if each.asname else each.name.partition(".")[0]
                    self.name(each.asname or name, Imported(name))
            case ast.ImportFrom():
                for each in node.names:
                    whole = f"{node.module}.{each.name}" if node.module and not node.level else f".{each.name}"
                    self.name(each.asname or each.name, Imported(whole))
            case ast.Assign():
                value = self.value(node.value)
                for target in node.targets:
                    self.bind(target, value)
            case ast.AnnAssign() if node.value is not None:
                self.bind(node.target, self.value(node.value))
            case ast.AugAssign():
                before = self.value(_loaded(node.target))
                value = self.value(ast.copy_location(ast.BinOp(_loaded(node.target), node.op, node.value), node))
                if isinstance(before, Expression) and isinstance(before.node, (ast.List, ast.Dict, ast.Set)):
                    self.rename(before, value)
                self.bind(node.target, value)
            case ast.Expr():
                self.value(node.value)
            case ast.Return():
                return self.value(node.value) if node.value is not None else constant(None)
            case ast.FunctionDef():
                around = self.scopes[-1] if len(self.scopes) > 2 else {}
                closed = any(isinstance(each, ast.Name) and each.id in around for each in ast.walk(node))
                why = f"{node.name} reads names of the function around it"
                self.name(node.name, Unknown(why) if closed else Function(node))
            case ast.ClassDef():
                self.name(node.name, Unknown(f"{node.name} is a class of the code itself, which no artifact keeps"))
            case ast.With():
                for item in node.items:
                    entered = self.value(item.context_expr)
                    if item.optional_vars is not None:
                        why = entered.why if isinstance(entered, Unknown) else "what with gives is not known"
                        self.bind(item.optional_vars, Unknown(why))
                return self.run(node.body)
            case ast.Try():
                return self.run([*node.body, *node.orelse, *node.finalbody])
            case ast.Global():
                if len(self.scopes) > 2:
                    self.public |= set(node.names)
            case ast.Break() | ast.Continue():
                self.jump = node
            case ast.Pass():
                pass
            case ast.If():
                return self.branch(node)
            case ast.For():
                return self.loop(node)
            case ast.Delete():
                self.delete(node)
            case _:
                self.forget(node, "what happens in a loop like this one cannot be followed")
        return None

    def branch(self, node: ast.If) -> Value | None:
        """Follow what runs when the file is run; of other conditions neither side is known to run."""
        test = ast.unparse(node.test)
        if test in ("__name__ == '__main__'", "'__main__' == __name__"):
            return self.run(node.body)
        known = self.value(node.test) if isinstance(node.test, (ast.Constant, ast.Name)) else None
        if isinstance(known, Expression) and isinstance(known.value, bool):
            return self.run(node.body if known.value else node.orelse)
        self.forget(node, f"whether {test[:60]} holds is not known")
        return None

    def loop(self, node: ast.For) -> Value | None:
        """Follow a loop over literals or named estimators, each turn of it; forget what another one changes."""
        items = self.turns(node.iter)
        if items is None or len(items) > _UNROLLED:
            self.forget(node, "what a loop over values that are not known does cannot be followed")
            return None
        if jumps(node):
            self.forget(node, "which turns of a loop run to their end is not known")
            return None
        self.loops += 1
        returned: Value | None = None
        for item in items:
            self.unpacked = None
            if isinstance(item, Values) and isinstance(named := item.items[0], Expression) and named.known:
                self.unpacked = str(named.value)
            self.bind(node.target, item)
            returned = self.run(node.body)
            ended, self.jump = isinstance(self.jump, ast.Break), None
            if returned is not None or ended:
                break
        else:
            returned = self.run(node.orelse)
        self.unpacked = None
        self.loops -= 1
        return returned

    def turns(self, node: ast.expr) -> Sequence[Value] | None:
        """Return what a loop goes through, one after the other."""
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("items", "values")
        ):
            held = self.value(node.func.value)
            if isinstance(held, Expression) and isinstance(held.node, ast.Dict):
                keys = [part_of(key) for key in held.node.keys]
                values = [part_of(value) for value in held.node.values]
                if node.func.attr == "values":
                    return values
                return [Values((key, value)) for key, value in zip(keys, values, strict=True)]
        held = self.value(node)
        if isinstance(held, Values):
            return held.items
        if isinstance(held, Expression) and isinstance(held.node, (ast.List, ast.Tuple)):
            return [part_of(each) for each in held.node.elts]
        return None

    def delete(self, node: ast.Delete) -> None:
        """Take columns out of a frame."""
        for target in node.targets:
            if isinstance(target, ast.Subscript) and isinstance(held := self.value(target.value), Table):
                names = names_of(self.value(target.slice))
                if names is None:
                    self.spoil(target, target)
                for name in names or ():
                    held.columns.pop(name, None)
            else:
                self.forget(target, "this is deleted before")

    def bind(self, target: ast.expr, value: Value) -> None:
        """Let a target stand for a value, or change what it is a part of."""
        match target:
            case ast.Name():
                self.name(target.id, value)
            case ast.Tuple() | ast.List():
                parts = _parts(value, len(target.elts))
                for each, part in zip(target.elts, parts, strict=True):
                    self.bind(each.value if isinstance(each, ast.Starred) else each, part)
            case ast.Subscript():
                self.set_item(target, value)
            case ast.Attribute() if target.attr == "columns" and isinstance(held := self.value(target.value), Table):
                renamed = table_method(held, "set_axis", [value], {}, self.note(target))
                if isinstance(renamed, Table):
                    held.become(renamed)
                else:
                    self.found.gaps.append(self.code.gap(target, "the new names of the columns are not known"))
            case ast.Attribute():
                held = self.value(target.value)
                if isinstance(held, Table) and target.attr in held.columns:
                    put(held, target.attr, value, self.note(target))
                elif not isinstance(held, (Table, Column)):
                    self.spoil(target, target)
            case _:
                self.spoil(target, target)

    def set_item(self, target: ast.Subscript, value: Value) -> None:
        """Assign to columns of a frame."""
        held, key = self.value(target.value), self.value(target.slice)
        if isinstance(held, Names):
            key = key.items[-1] if isinstance(key, Values) else key
            held = held.table
        if isinstance(held, Column) and not isinstance(target.value, ast.Name):
            self.spoil_column(held, target)
            return
        if not isinstance(held, Table):
            self.spoil(target, target)
            return
        note = self.note(target)
        names = names_of(key)
        if names is None:
            held.gaps = (*held.gaps, note("which columns this changes is not known: they are taken as they are"))
            return
        for name in names:
            one = value
            if isinstance(value, Table) and name in value.columns:
                one = value.only([name])
                if isinstance(one, Table):
                    one = one.copy(whole=value.whole)
            put(held, name, one, note)

    # Expressions

    def value(self, node: ast.expr) -> Value:
        """Return what an expression stands for."""
        self.steps += 1
        if self.steps > _STEPS:
            return Unknown("the code is too long to be followed")
        match node:
            case ast.Constant():
                return Unknown("bytes") if isinstance(node.value, (bytes, complex)) else constant(node.value)
            case ast.Name():
                return self.lookup(node.id)
            case ast.Attribute():
                return calling.attribute(self.value(node.value), node.attr)
            case ast.Subscript():
                return calling.item(self, node)
            case ast.List() | ast.Tuple() | ast.Set():
                return self.collected(node)
            case ast.Dict():
                return self.mapped(node)
            case ast.Call():
                return calling.called(self, node)
            case ast.BinOp():
                return self.computed(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                inner = self.value(node.operand)
                if isinstance(inner, Expression) and isinstance(inner.value, (int, float)):
                    return constant(-inner.value if isinstance(node.op, ast.USub) else inner.value)
                return _touched(self, node, [inner])
            case ast.Compare():
                return self.compared(node)
            case ast.ListComp():
                return self.listed(node)
            case ast.JoinedStr():
                return self.joined(node)
            case ast.Slice():
                return Unknown("a slice")
            case ast.NamedExpr():
                value = self.value(node.value)
                self.bind(node.target, value)
                return value
            case _:
                self.forget(node, f"{type(node).__name__} cannot be followed")
                return Unknown(f"{type(node).__name__} cannot be followed")

    def collected(self, node: ast.List | ast.Tuple | ast.Set) -> Value:
        """Return a list, tuple or set."""
        parts: list[Value] = []
        for each in node.elts:
            part = self.value(each.value if isinstance(each, ast.Starred) else each)
            if isinstance(each, ast.Starred):
                if not isinstance(part, Expression) or not isinstance(part.value, (list, tuple)):
                    return Unknown("what is unpacked here is not known")
                parts += [constant(one) for one in part.value]
            else:
                parts.append(part)
        whole = [calling.as_expression(part) for part in parts]
        if all(isinstance(part, Expression) for part in whole):
            made = [part for part in whole if isinstance(part, Expression)]
            inner = [part.node for part in made]
            if isinstance(node, ast.Set):
                return composed(ast.Set(elts=inner), made)
            kind = ast.List if isinstance(node, ast.List) else ast.Tuple
            return composed(kind(elts=inner, ctx=ast.Load()), made)
        return Values(tuple(parts))

    def mapped(self, node: ast.Dict) -> Value:
        """Return a dict."""
        keys = [None if key is None else calling.as_expression(self.value(key)) for key in node.keys]
        values = [calling.as_expression(self.value(value)) for value in node.values]
        made = [part for part in (*keys, *values) if isinstance(part, Expression)]
        if len(made) < 2 * len(values):
            return Unknown("what this dict holds is not known")
        half = len(values)
        return composed(
            ast.Dict(keys=[each.node for each in made[:half]], values=[each.node for each in made[half:]]), made
        )

    def computed(self, node: ast.BinOp) -> Value:
        """Return what arithmetic on literals gives; of columns it gives what no transformer is known for."""
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(left, Expression) and isinstance(right, Expression) and left.known and right.known:
            return arithmetic(node.op, left.value, right.value)
        return _touched(self, node, [left, right])

    def compared(self, node: ast.Compare) -> Value:
        """Return what a comparison gives: of a column with a label, whether each row has it."""
        left = self.value(node.left)
        right = self.value(node.comparators[0])
        for each in node.comparators[1:]:
            self.value(each)
        if isinstance(left, Column) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
            return column_method(left, "eq", [right], {}, self.note(node))
        return _touched(self, node, [left, right])

    def listed(self, node: ast.ListComp) -> Value:
        """Return a list of names that a condition on names or their types chooses."""
        loop = node.generators[0]
        if any(isinstance(each, ast.NamedExpr) for each in ast.walk(node)):
            self.forget(node, "what this list holds is not known")
            return Unknown("what this list holds is not known")
        items = self.turns(loop.iter)
        if len(node.generators) != 1 or items is None or len(items) > 10_000 or not isinstance(loop.target, ast.Name):
            self.forget(node, "what this list holds is not known")
            return Unknown("what this list holds is not known")
        kept: list[Expression] = []
        self.scopes.append({**self.scopes[-1]})
        try:
            for item in items:
                self.scopes[-1][loop.target.id] = item
                holds = [self.holds(test) for test in loop.ifs]
                if None in holds:
                    self.forget(node, "which names this list holds is not known")
                    return Unknown("which names this list holds is not known")
                if all(holds):
                    value = calling.as_expression(self.value(node.elt))
                    if not isinstance(value, Expression):
                        return Unknown("what this list holds is not known")
                    kept.append(value)
        finally:
            self.scopes.pop()
        return composed(ast.List(elts=[each.node for each in kept], ctx=ast.Load()), kept)

    def holds(self, test: ast.expr) -> bool | None:
        """Return whether a condition on names holds, None where that is not known."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self.holds(test.operand)
            return None if inner is None else not inner
        if isinstance(test, ast.BoolOp):
            each = [self.holds(part) for part in test.values]
            if None in each:
                return None
            return all(each) if isinstance(test.op, ast.And) else any(each)
        if not isinstance(test, ast.Compare) or len(test.ops) != 1:
            return None
        left, right = self.value(test.left), self.value(test.comparators[0])
        equal: bool | None = None
        if isinstance(left, Typed):
            alone = left.column.table.copy(columns={left.column.name: left.column.made})
            chosen = of_kinds(alone, right, None)
            equal = None if chosen is None else bool(chosen)
        elif isinstance(left, Expression) and isinstance(right, Expression) and left.known and right.known:
            match test.ops[0]:
                case ast.In() | ast.NotIn() if isinstance(right.value, (list, tuple, set, dict, str)):
                    return (left.value in right.value) == isinstance(test.ops[0], ast.In)
                case ast.Eq() | ast.NotEq():
                    equal = bool(left.value == right.value)
                case _:
                    return None
        if equal is None or not isinstance(test.ops[0], ast.Eq | ast.NotEq | ast.Is | ast.IsNot | ast.In | ast.NotIn):
            return None
        return equal == isinstance(test.ops[0], ast.Eq | ast.Is | ast.In)

    def joined(self, node: ast.JoinedStr) -> Value:
        """Return a text with literals in it."""
        found = [self.value(each.value if isinstance(each, ast.FormattedValue) else each) for each in node.values]
        known = [part for part in found if isinstance(part, Expression) and part.known]
        if len(known) < len(found):
            return Unknown("a text with values in it that are not known")
        if any(isinstance(each, ast.FormattedValue) and (each.format_spec or each.conversion > 0)
               for each in node.values):  # fmt: skip
            return Unknown("a text in which values are laid out")
        texts = [str(part.value) if part.size <= LARGEST else "" for part in known]
        if sum(map(len, texts)) > LARGEST:
            return Unknown("a text too long to follow")
        return constant("".join(texts))

    def apply(self, function: Function, arguments: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
        """Follow the body of a function of the code itself, with what it is called with."""
        spec = function.node.args
        names = [each.arg for each in (*spec.posonlyargs, *spec.args)]
        if spec.vararg or spec.kwarg or len(self.scopes) > _DEEPEST or len(arguments) > len(names):
            self.forget_public(function.node, "what a function that is not followed does is not known")
            return Unknown(f"what {function.node.name} gives cannot be followed")
        scope: dict[str, Value] = {}
        for name, default in zip(names[len(names) - len(spec.defaults) :], spec.defaults, strict=True):
            scope[name] = self.value(default)
        for each, standard in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
            if standard is not None:
                scope[each.arg] = self.value(standard)
        scope |= dict(zip(names, arguments, strict=False)) | dict(keywords)
        outside = self.public, self.left
        self.scopes.append(scope)
        self.public, self.left = set(), []
        try:
            returned = self.run(function.node.body)
            if self.left:
                returned = Unknown(f"what {function.node.name} returns is not known: {self.left[0]}")
        finally:
            self.scopes.pop()
            self.public, self.left = outside
        return returned if returned is not None else constant(None)


def _loaded(target: ast.expr) -> ast.expr:
    found: ast.expr = ast.parse(ast.unparse(target), mode="eval").body
    return ast.copy_location(found, target)


def _parts(value: Value, count: int) -> Sequence[Value]:
    """Return the parts of a value that several names are bound to."""
    if isinstance(value, Values) and len(value.items) == count:
        return value.items
    if isinstance(value, Expression) and isinstance(value.node, (ast.List, ast.Tuple)):
        parts = [part_of(each) for each in value.node.elts]
        if len(parts) == count:
            return parts
    return [value if isinstance(value, Unknown) else Unknown("what is unpacked here is not known")] * count


def _touched(follower: Follower, node: ast.expr, parts: Sequence[Value]) -> Value:
    """Return what an operation gives in which columns have a part."""
    column = next((part for part in parts if isinstance(part, Column)), None)
    if column is None:
        return Unknown("what this computes is not known")
    what = "this column is computed by pandas, which no request does: put the step into the pipeline, or into the data"
    return replace(column, made=replace(column.made, lost=follower.code.gap(node, what)))


def follow(code: Code, opener: Opener) -> Followed:
    """Follow code from its first statement to its last, and return what was found."""
    follower = Follower(code, opener)
    try:
        follower.run(code.body)
    except RecursionError:
        follower.found.gaps.append(Gap(None, code.name, "the code is nested too deeply to be followed to its end"))
    return follower.found
