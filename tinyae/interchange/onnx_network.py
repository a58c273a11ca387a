"""``from_onnx``: an ONNX model as layers, to be trained on, compiled, or exported as C.

net = ta.from_onnx("m.onnx")    # a Sequential with the file's weights, bit for bit
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from tinyae import files, layers
from tinyae.archive import FileError
from tinyae.interchange.onnx_file import Node, OnnxGraph, read_onnx
from tinyae.interchange.onnx_layers import JOINS, Context, layers_of, scale_layer
from tinyae.interchange.onnx_patterns import find
from tinyae.interchange.onnx_structure import Structure
from tinyae.layers import Layer
from tinyae.program.lower import Lowering
from tinyae.program.program import Shape, Slot
from tinyae.program.shapes import checked_shape

_MAX_DEPTH = 48  # branches within branches
_MAX_STEPS = 20_000  # nodes on all paths together
_MAX_SAMPLE = 2**24  # numbers of a result for one sample
_RESHAPES = (layers.Flatten, layers.Reshape)


def from_onnx(path: str | os.PathLike[str], input_shape: Shape | None = None) -> layers.Sequential:
    """Read a model that is made of operators that tinyae has layers for.

    A chain of nodes becomes a Sequential. Paths that join in an Add or a Concat become Residual,
    Skip or Parallel. Groups of nodes that exporters write for one layer (GELU, SiLU, Mish, LayerNorm,
    MatMul and Add, a computed Reshape) become that layer. Weights are those of the file, bit for bit;
    an Add or Mul with a constant becomes a BatchNorm with running statistics 0 and 1. Dropout is left
    out: a file describes inference.

    input_shape
        the shape of one sample; needed only where the file leaves it open

    Raises
        FileNotFoundError     no such file
        ValueError            the file is damaged, or has what no layer does; the message names the
                              file, the node, and what to do
        ModuleNotFoundError   the package onnx is not installed
    """
    files.check_source("from_onnx", path, "an ONNX file")
    wanted = None if input_shape is None else checked_shape("from_onnx", input_shape)
    try:
        graph = read_onnx(path)
        return _Reader(graph, _input_shape(graph, wanted)).network()
    except (FileError, MemoryError, RecursionError) as error:
        reason = {
            MemoryError: "it needs more memory than there is",
            RecursionError: "it is nested too deeply",
        }.get(type(error), str(error))
        raise ValueError(f"from_onnx: {os.fsdecode(path)}: {reason}") from error


def _input_shape(graph: OnnxGraph, wanted: Shape | None) -> Shape:
    if wanted is not None:
        fits = len(wanted) == len(graph.shape) and all(
            a in (None, b) for a, b in zip(graph.shape, wanted)
        )
        if not fits:
            raise FileError(f"its samples have shape {graph.shape}, input_shape is {wanted}")
        return wanted
    if None in graph.shape:
        shown = ", ".join("?" if n is None else str(n) for n in graph.shape)
        raise FileError(
            f"its samples have shape ({shown}), which it leaves open; pass that of yours, e.g. "
            "input_shape=(1, 28, 28)"
        )
    return tuple(n for n in graph.shape if n is not None)


class _Reader:
    """Builds the layers of a graph, with the shape of a sample at hand."""

    def __init__(self, graph: OnnxGraph, shape: Shape) -> None:
        self.structure, self.shape = Structure(graph), shape
        floats = [a.dtype for a in graph.constants.values() if a.dtype.kind == "f" and a.ndim]
        self.dtype = max(floats, default=np.dtype(np.float32), key=lambda d: d.itemsize)
        self.made: dict[tuple[str, Shape], list[Layer]] = {}  # of each node: shared, if it is
        self.steps = 0

    def network(self) -> layers.Sequential:
        graph = self.structure.graph
        if graph.output not in self.structure.dominator:
            raise FileError("its output does not depend on its input")
        path, _ = self.path(graph.output, graph.input, self.shape, 0)
        return layers.Sequential(*path)

    def path(self, end: str, start: str, shape: Shape, depth: int) -> tuple[list[Layer], Shape]:
        """The layers that lead from a value to a later one, and the shape that they end in."""
        if depth > _MAX_DEPTH:
            raise FileError(f"its branches are nested more than {_MAX_DEPTH} deep")
        chain: list[tuple[Node, Layer | None, str]] = []
        while end != start:
            self.steps += 1
            if self.steps > _MAX_STEPS:
                raise FileError(f"it has more than {_MAX_STEPS:,} nodes on its paths")
            node = self.structure.producer(end)
            if node is None:
                raise FileError(f"{end:.60} does not come from the input alone")
            layer, source = find(self.structure, node) or (None, self.structure.parting(node))
            chain.append((node, layer, source))
            end = source
        path: list[Layer] = []
        for node, layer, source in reversed(chain):
            added = self.node(node, layer, source, shape, depth)
            for part in added:
                _append(path, part)
                shape = self.after(node, part, shape)
        return path, shape

    def node(
        self, node: Node, layer: Layer | None, source: str, shape: Shape, depth: int
    ) -> list[Layer]:
        """The layers for one node, or for a group that a pattern has found."""
        key = node.outputs[0], shape
        if key not in self.made:
            self.made[key] = self._node(node, layer, source, shape, depth)
        return self.made[key]

    def _node(
        self, node: Node, layer: Layer | None, source: str, shape: Shape, depth: int
    ) -> list[Layer]:
        if layer is None and node.op in JOINS and len(node.inputs) > 1:
            inputs = self.structure.data(node)
            if len(inputs) == len(node.inputs):
                return [self.join(node, inputs, source, shape, depth)]
        try:
            if layer is not None:
                for_shape = getattr(layer, "for_shape", None)
                return [layer if for_shape is None else for_shape(shape, self.dtype)]
            data = self.structure.data(node)
            if data != [source]:
                raise FileError(
                    f"it has {len(data)} inputs that depend on x, expected one; only Add and Concat "
                    "join paths"
                )
            return layers_of(Context(self.structure, node, source, shape, self.dtype))
        except (FileError, MemoryError, RecursionError) as error:
            raise type(error)(f"node {node.name:.100}: {error}") from error
        except Exception as error:  # whatever a malformed node leads to
            raise FileError(f"node {node.name:.100} is malformed: {str(error)[:200]}") from error

    def join(self, node: Node, inputs: list[str], source: str, shape: Shape, depth: int) -> Layer:
        """Paths that part at ``source`` and join in a node, as one layer with branches."""
        branches = []
        for name in inputs:
            path, _ = self.path(name, source, shape, depth + 1)
            branches.append(path[0] if len(path) == 1 else layers.Sequential(*path))
        direct = [name == source for name in inputs]
        if node.op == "Concat":
            if node.attributes.get("axis", 1) not in (1, -len(shape)):
                raise FileError(
                    f"node {node.name:.100}: axis is {node.attributes.get('axis')}, expected 1: "
                    "paths are concatenated along the channels"
                )
            if direct == [True, False]:
                return layers.Skip(branches[1])
            return layers.Parallel(*branches)
        if len(inputs) == 2 and any(direct):
            return layers.Residual(branches[1 if direct[0] else 0])
        raise FileError(
            f"node {node.name:.100} adds two paths, {' and '.join(inputs):.100}, that both change x; "
            "tinyae adds a path to x itself (Residual); use a Concat and a linear map"
        )

    def after(self, node: Node, layer: Layer, shape: Shape) -> Shape:
        """The shape of a sample behind a layer."""
        lowering = Lowering(shape, self.dtype)
        try:
            y: Slot = lowering.add(layer, lowering.x)
        except (ValueError, TypeError) as error:
            raise FileError(f"node {node.name:.100}: {str(error)[:300]}") from error
        if math.prod(y.shape) > _MAX_SAMPLE:
            raise FileError(
                f"node {node.name:.100} makes {y.shape} of one sample, expected at most "
                f"{_MAX_SAMPLE:,} numbers"
            )
        return y.shape


def _append(path: list[Layer], layer: Layer) -> None:
    """Append a layer; of two reshapes in a row only the second counts, and two scales are one."""
    last: Any = path[-1] if path else None
    if isinstance(layer, _RESHAPES) and isinstance(last, _RESHAPES):
        path.pop()
    if _is_scale(layer) and _is_scale(last):
        assert isinstance(layer, layers.BatchNorm)
        if (layer.gamma.value == 1).all() and (last.beta.value == 0).all():
            path[-1] = scale_layer(last.gamma.value, layer.beta.value, layer.dtype)
            return
    path.append(layer)


def _is_scale(layer: Any) -> bool:
    return (
        isinstance(layer, layers.BatchNorm)
        and not layer.running_mean.any()
        and bool((layer.running_var == 1).all())
        and layer.eps < np.finfo(np.float32).tiny * 1e9
    )
