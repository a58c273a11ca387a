"""An ONNX graph under construction.

In a program, results are ranges of memory that are written again and again; in ONNX each result is a
value of its own, with a name. :class:`Memory` says which values lie in a range.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinyae.param import Array
from tinyae.program.program import Shape, Slot


class Value(NamedTuple):
    """A named result, an array (N, *shape)."""

    name: str
    shape: Shape

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Graph:
    """Nodes in the order of execution, and the constants that they read."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[tuple[bytes, Shape, str], Any] = {}
        # What was made of values already: read twice, it is one value that paths part from.
        self.reshaped: dict[tuple[str, Shape], str] = {}
        self.joined: dict[tuple[str, ...], str] = {}

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; returns the name of its first result."""
        return self.node_of(op, inputs, 1, **attributes)[0]

    def node_of(
        self, op: str, inputs: tuple[str, ...], outputs: int, **attributes: Any
    ) -> list[str]:
        k = len(self.nodes)
        names = [f"{op}_{k}" if i == 0 else f"{op}_{k}_{i}" for i in range(outputs)]
        node = self.onnx.helper.make_node(op, inputs, names, name=f"{op}_{k}", **attributes)
        self.nodes.append(node)
        return names

    def constant(self, a: Array | list[int] | float) -> str:
        """The name of a constant: a list of ints in int64, everything else in float32."""
        array = np.array(a, np.int64 if isinstance(a, list) else np.float32)
        key = array.tobytes(), array.shape, array.dtype.str
        if key not in self.constants:
            name = f"{'list' if isinstance(a, list) else 'weight'}_{len(self.constants)}"
            self.constants[key] = self.onnx.numpy_helper.from_array(array, name)
        return self.constants[key].name

    def reshape(self, value: Value, shape: Shape) -> str:
        """The name of the value as an array (N, *shape)."""
        if value.shape == shape:
            return value.name
        key = value.name, shape
        if key not in self.reshaped:
            if len(shape) == 1:
                self.reshaped[key] = self.node("Flatten", value.name, axis=1)
            else:  # 0: as it is
                self.reshaped[key] = self.node("Reshape", value.name, self.constant([0, *shape]))
        return self.reshaped[key]

    def concatenate(self, *names: str) -> str:
        """The name of arrays joined along axis 1."""
        if names not in self.joined:
            self.joined[names] = self.node("Concat", *names, axis=1)
        return self.joined[names]

    def rename(self, old: str, new: str) -> None:
        """Call a result by another name."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    if name == old:
                        names[i] = new


class Memory:
    """Which values lie in the input, the output and the arena of a program."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[str, dict[int, Value]] = {}  # of each space, by their offsets

    def write(self, slot: Slot, value: Value) -> None:
        space = self.values.setdefault(slot.space, {})
        end = slot.offset + slot.size
        for offset, old in list(space.items()):
            if offset < end and slot.offset < offset + old.size:
                del space[offset]  # what is partly overwritten is not read again
        space[slot.offset] = value

    def read(self, slot: Slot) -> str:
        """The name of what lies in a slot, as an array (N, *slot.shape).

        Several values next to each other are concatenated. A slot may be a part of a value.
        """
        end = slot.offset + slot.size
        parts = []
        for offset, value in sorted(self.values[slot.space].items()):
            start, stop = max(offset, slot.offset), min(offset + value.size, end)
            if start < stop:
                parts.append(self._part(value, start - offset, stop - offset))
        if len(parts) == 1:
            return self.graph.reshape(parts[0], slot.shape)
        alike = len({part.shape[1:] for part in parts}) == 1
        rest = parts[0].shape[1:] if alike else slot.shape[1:]
        length = math.prod(rest)
        if any(part.size % length for part in parts):
            rest, length = (), 1
        names = [self.graph.reshape(part, (part.size // length, *rest)) for part in parts]
        whole = self.graph.concatenate(*names)
        return self.graph.reshape(Value(whole, (slot.size // length, *rest)), slot.shape)

    def _part(self, value: Value, start: int, stop: int) -> Value:
        """The numbers from ``start`` to ``stop`` of a sample."""
        if (start, stop) == (0, value.size):
            return value
        flat = self.graph.reshape(value, (value.size,))
        bounds = (self.graph.constant([n]) for n in (start, stop, 1))
        return Value(self.graph.node("Slice", flat, *bounds), (stop - start,))
