"""Where an ONNX graph branches and joins, and values that only describe shapes.

A layer maps one array to one array. A chain of nodes is a Sequential; where paths join again, the node
at which they parted is found (:func:`Structure.parting`), and what lies between is one layer with
branches.
"""

from __future__ import annotations

import numpy as np

from tinyae.interchange.onnx_file import Node, OnnxGraph
from tinyae.param import Array

BATCH = None  # in a shape: the number of samples


class Structure:
    """Constants, and the dominators of a graph's values."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.constants = dict(graph.constants)
        # Each value's immediate dominator: the last value that every path from x to it visits.
        self.dominator: dict[str, str] = {graph.input: graph.input}
        self.depth = {graph.input: 0}
        for node in graph.nodes:
            if node.op == "Constant":
                value = node.attributes.get("value", node.attributes.get("value_float"))
                value = node.attributes.get("value_ints", value)
                value = node.attributes.get("value_int", value)
                if value is not None:
                    self.constants[node.outputs[0]] = np.asarray(value)
                continue
            sources = [name for name in node.inputs if name in self.dominator]
            if not sources:
                continue
            common = sources[0]
            for name in sources[1:]:
                common = self._common(common, name)
            for name in filter(None, node.outputs):
                self.dominator[name], self.depth[name] = common, self.depth[common] + 1

    def _common(self, a: str, b: str) -> str:
        while a != b:
            if self.depth[a] >= self.depth[b]:
                a = self.dominator[a]
            else:
                b = self.dominator[b]
        return a

    def parting(self, node: Node) -> str:
        """The last value that every path to this node has in common."""
        return self.dominator[node.outputs[0]]

    def producer(self, name: str) -> Node | None:
        return self.graph.producers.get(name)

    def constant(self, name: str) -> Array | None:
        """A constant by name; also one that an Identity or a Cast passes on."""
        for _ in range(8):
            if name in self.constants:
                return self.constants[name]
            node = self.producer(name)
            if node is None or node.op not in ("Identity", "Cast"):
                return None
            name = node.inputs[0]
        return None

    def data(self, node: Node) -> list[str]:
        """The inputs of a node that depend on x."""
        inputs = node.inputs[:1] if node.op == "Reshape" else node.inputs  # its shape is no data
        return [n for n in inputs if n and self.constant(n) is None and n in self.dominator]

    def sizes(self, name: str, depth: int = 0) -> list[int | None] | None:
        """The ints of a value that describes a shape, such as [BATCH, 784]; None if it is another.

        Exporters compute shapes at run time: Shape → Gather → Concat → Reshape.
        """
        known = self.constant(name)
        if known is not None:
            return [int(n) for n in np.ravel(known)] if known.size <= 16 else None
        node = self.producer(name)
        if node is None or depth > 16:
            return None
        if node.op == "Shape":
            return [BATCH]  # what else it holds is not needed: only [0] is read of it
        parts = [self.sizes(n, depth + 1) for n in node.inputs]
        if node.op == "Concat":
            return None if any(p is None for p in parts) else [n for p in parts for n in p or []]
        if node.op in ("Unsqueeze", "Squeeze", "Cast", "Identity") and parts:
            return parts[0]
        if node.op in ("Gather", "Slice") and len(parts) > 1 and parts[1] == [0]:
            return [BATCH] if parts[0] == [BATCH] else None
        return None
