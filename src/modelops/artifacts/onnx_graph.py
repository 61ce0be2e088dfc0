"""Building an ONNX graph: nodes, constants, and tables whose columns are columns of its tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelops.errors import ModelOpsError, failure

__all__ = ["Answer", "Column", "Graph", "Table", "not_exportable"]

Array = np.ndarray[Any, Any]

OPSET = 18
ML_OPSET = 5
"""Version of the ai.onnx.ml operators in which TreeEnsemble was introduced."""
IR_VERSION = 10

_ML = frozenset({"LabelEncoder", "TreeEnsemble"})


def not_exportable(what: str) -> ModelOpsError:
    """Return the error that says what of an estimator has no exact form in ONNX."""
    return failure("not-exportable", what)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a tensor of shape (n, width)."""

    tensor: str
    position: int


@dataclass(frozen=True, slots=True)
class Table:
    """Columns as an estimator sees them; nothing is copied in the graph before somebody needs them in one tensor.

    ``names`` are the features' names as long as the columns are those of the request. ``sparse`` says that the
    estimator is given a sparse matrix: there are libraries for which what is not stored in one is missing.
    """

    columns: tuple[Column, ...]
    names: tuple[str, ...] = ()
    sparse: bool = False

    def __add__(self, other: Table) -> Table:
        return Table(self.columns + other.columns)

    def take(self, positions: Any) -> Table:
        """Return some of the columns."""
        chosen = [int(position) for position in positions]
        return Table(
            tuple(self.columns[position] for position in chosen),
            tuple(self.names[position] for position in chosen) if self.names else (),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """Names of what an estimator answers: probabilities and decisions of a classifier, values of a regressor.

    All are float64 of shape (n, k), with one column for two classes, which is that of the second class.
    """

    probability: str = ""
    decision: str = ""
    value: str = ""


@dataclass
class Graph:
    """A graph under construction; tensors are named by the order in which they are made."""

    nodes: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    constants: dict[tuple[str, tuple[int, ...], bytes], Any] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    merged: dict[tuple[Column, ...], str] = field(default_factory=dict)

    def input(self, name: str, width: int, *, text: bool) -> None:
        """Declare an input of shape (n, width)."""
        from onnx import TensorProto, helper

        kind = TensorProto.STRING if text else TensorProto.DOUBLE
        self.inputs.append(helper.make_tensor_value_info(name, kind, ["n", width]))
        self.widths[name] = width
        if text:
            self.texts.add(name)

    def node(self, kind: str, *inputs: str, label: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        from onnx import helper

        name = f"{kind.lower()}_{len(self.nodes)}"
        domain = "ai.onnx.ml" if kind in _ML else ""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=label or name, domain=domain, **attributes))
        return name

    def constant(self, values: Any) -> str:
        """Return the name of a constant: float64, int64, bool or text."""
        from onnx import TensorProto, helper, numpy_helper

        array = np.asarray(values)
        text = array.dtype.kind in "OU"
        flat: Any = [str(value).encode() for value in array.reshape(-1)] if text else []
        key = ("text" if text else array.dtype.str, array.shape, b"\0".join(flat) if text else array.tobytes())
        if key not in self.constants:
            name = f"constant_{len(self.constants)}"
            made = helper.make_tensor(name, TensorProto.STRING, array.shape, flat) if text else None
            self.constants[key] = made or numpy_helper.from_array(np.ascontiguousarray(array), name)
        return str(self.constants[key].name)

    def numbers(self, values: Any) -> str:
        """Return the name of a float64 constant."""
        return self.constant(np.asarray(values, dtype=np.float64))

    def row(self, values: Any) -> str:
        """Return the name of a float64 constant of shape (1, k)."""
        return self.numbers(np.asarray(values, dtype=np.float64).reshape(1, -1))

    def pick(self, tensor: str, positions: Any) -> str:
        """Return the tensor of some columns of a tensor."""
        return self.node("Gather", tensor, self.constant(np.asarray(positions, dtype=np.int64)), axis=1)

    def cast(self, tensor: str, kind: str = "DOUBLE") -> str:
        """Convert a tensor to another element type."""
        from onnx import TensorProto

        return self.node("Cast", tensor, to=getattr(TensorProto, kind))

    def table(self, tensor: str, width: int, *, text: bool = False) -> Table:
        """Return all columns of a tensor."""
        self.widths[tensor] = width
        if text:
            self.texts.add(tensor)
        return Table(tuple(Column(tensor, position) for position in range(width)))

    def is_text(self, table: Table) -> bool:
        """Tell whether all columns are text; a mixture of text and numbers is not exportable."""
        kinds = {column.tensor in self.texts for column in table.columns}
        if len(kinds) > 1:
            raise not_exportable("a step that takes numbers and categories together has no exact form in ONNX")
        return kinds == {True}

    def tensor(self, table: Table) -> str:
        """Return one tensor of shape (n, k) that holds the columns of a table."""
        self.is_text(table)
        if not table.columns:
            raise not_exportable("a step without any column has no exact form in ONNX")
        if table.columns not in self.merged:
            runs: list[tuple[str, list[int]]] = []
            for column in table.columns:
                if not runs or runs[-1][0] != column.tensor:
                    runs.append((column.tensor, []))
                runs[-1][1].append(column.position)
            parts = [
                name if positions == list(range(self.widths[name])) else self.pick(name, positions)
                for name, positions in runs
            ]
            self.merged[table.columns] = parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)
        return self.merged[table.columns]

    def matrix(self, table: Table) -> str:
        """Return one float64 tensor of shape (n, k) that holds the columns of a table."""
        if self.is_text(table):
            raise not_exportable("an estimator that reads categories as numbers has no exact form in ONNX")
        return self.tensor(table)

    def finish(self, tensor: str, output: str, width: int, name: str) -> bytes:
        """Return the bytes of the model that answers one tensor, of shape (n, width), under the name ``output``.

        Nodes that it does not need are left out.
        """
        from onnx import TensorProto, helper

        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [output if each == tensor else each for each in names]
        needed, nodes = {output}, []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                nodes.append(node)
                needed |= set(node.input)
        initializers = [constant for constant in self.constants.values() if constant.name in needed]
        answer = helper.make_tensor_value_info(output, TensorProto.DOUBLE, ["n", width])
        graph = helper.make_graph(nodes[::-1], name, self.inputs, [answer], initializers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        data: bytes = model.SerializeToString(deterministic=True)
        return data
