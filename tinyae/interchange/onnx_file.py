"""Read an ONNX file into plain data: nodes by name, constants as arrays. A file need not be trusted.

An ONNX file is one protobuf message. Parsing it takes memory for its parts, a hundred times as much
as an empty part has bytes. So what is no number of a tensor is limited before anything is parsed, and
a tensor must hold as many bytes as its shape claims. Nothing but the file itself is read: weights that
lie in other files are refused.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyae.archive import FileError
from tinyae.param import Array
from tinyae.program.to_onnx.export import onnx_package

OLDEST = 7  # opset
_LARGEST_FILE = 2**31  # bytes, of a protobuf message
_LARGEST_STRUCTURE = 2**23  # bytes of everything but the numbers of tensors
_MOST_FIELDS = 2**18  # of the model, its graph, nodes and tensors
# Where a model's tensors keep their numbers, by the numbers of the fields in onnx.proto:
# graph (7), initializer (5) or node (1), attribute (5), t (5); raw_data 9, float_data 4.
_TENSOR = {9: None, 4: None}
_NUMBERS = {7: {5: _TENSOR, 1: {5: {5: _TENSOR}}}}


@dataclass(frozen=True)
class Node:
    """An operator, the names of what it reads and writes, and its attributes."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass
class OnnxGraph:
    """The nodes of a file, each after those whose results it reads."""

    opset: int
    input: str
    shape: tuple[int | None, ...]  # of a sample; None: any
    output: str
    nodes: list[Node]
    constants: dict[str, Array]
    producers: dict[str, Node] = field(default_factory=dict)


def read_onnx(path: str | os.PathLike[str]) -> OnnxGraph:
    """The graph in a file.

    Raises
        FileError            it is no ONNX model, is damaged, or asks for too much
        ModuleNotFoundError  the package onnx is not installed
    """
    onnx = onnx_package("from_onnx")
    size = os.path.getsize(path)
    if not 0 < size < _LARGEST_FILE:
        raise FileError(f"it has {size:,} bytes, expected 1 to {_LARGEST_FILE:,}; export it again")
    with open(path, "rb") as file:
        content = file.read()
    try:
        structure = size - _number_bytes(memoryview(content), _NUMBERS, itertools.count())
    except (IndexError, RecursionError):
        raise FileError("it is no ONNX file, or damaged; export it again") from None
    if structure > _LARGEST_STRUCTURE:
        raise FileError(
            f"it has {structure:,} bytes besides the numbers of its tensors, expected at most "
            f"{_LARGEST_STRUCTURE:,}; export it again, with weights as initializers"
        )
    try:
        return _graph(onnx, onnx.ModelProto.FromString(content))
    except (FileError, MemoryError):
        raise
    except Exception as error:  # protobuf's, and what altered names and types lead to
        raise FileError(f"it is no ONNX file, or damaged ({str(error)[:80]})") from error


def _number_bytes(message: memoryview, tree: Any, fields: Iterator[int]) -> int:
    """How many bytes of a message are numbers of tensors; ``tree`` says where they are."""
    total = 0
    for number, value in _fields(message):
        if next(fields) > _MOST_FIELDS:
            raise FileError(f"it has more than {_MOST_FIELDS:,} fields, expected fewer nodes")
        if number not in tree or value is None:
            continue
        inner = tree[number]
        total += len(value) if inner is None else _number_bytes(value, inner, fields)
    return total


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """The fields of a protobuf message by number, with their bytes if they have a length."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        kind, value = key & 7, None
        if kind == 0:
            _, at = _varint(message, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            length, at = _varint(message, at)
            value = message[at : at + length]
            at += length
        else:
            raise IndexError
        if at > end:
            raise IndexError
        yield key >> 3, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise IndexError


def _graph(onnx: Any, model: Any) -> OnnxGraph:
    opsets = {item.domain: item.version for item in model.opset_import}
    opset = opsets.get("", opsets.get("ai.onnx", 0))
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        raise FileError(
            f"it uses opset {opset}, expected {OLDEST} to {newest}; convert it with "
            "onnx.version_converter.convert_version(model, 20)"
        )
    graph = model.graph
    if graph.sparse_initializer or model.functions:
        what = "sparse weights" if graph.sparse_initializer else "functions of its own"
        raise FileError(f"it has {what}; export it with plain weights and operators")
    constants = {t.name: array_of(onnx, t) for t in graph.initializer}
    inputs = [i for i in graph.input if i.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        names = ", ".join(i.name for i in [*inputs, *graph.output])
        raise FileError(
            f"it has {len(inputs)} inputs and {len(graph.output)} outputs ({names:.200}), expected "
            "one of each; cut out a part with onnx.utils.extract_model(path, new, [x], [y])"
        )
    nodes = [_node(onnx, node, k) for k, node in enumerate(graph.node)]
    read = OnnxGraph(
        opset, inputs[0].name, _sample_shape(inputs[0]), graph.output[0].name, nodes, constants
    )
    known = {"", read.input, *constants}
    for node in nodes:
        missing = [name for name in node.inputs if name not in known]
        if missing:
            raise FileError(f"node {node.name:.60} reads {missing[0]:.60}, which is not there yet")
        for name in filter(None, node.outputs):
            if name in known:
                raise FileError(f"{name:.60} is written twice; export the model again")
            known.add(name)
            read.producers[name] = node
    if read.output not in known:
        raise FileError(f"its output {read.output:.60} is written by no node")
    return read


def _sample_shape(value: Any) -> tuple[int | None, ...]:
    axes = value.type.tensor_type.shape.dim
    if not axes:
        raise FileError(
            f"its input {value.name:.60} has no shape; export it with that of a batch, (N, …)"
        )
    return tuple(a.dim_value if a.dim_value > 0 else None for a in axes[1:])


def _node(onnx: Any, node: Any, k: int) -> Node:
    name = f"{node.name or k} ({node.op_type})"
    if node.domain not in ("", "ai.onnx"):
        raise FileError(
            f"node {name:.100} is of the domain {node.domain:.60}, expected ONNX's own operators; "
            "export it without that package's extensions"
        )
    attributes = {a.name: _attribute(onnx, a, name) for a in node.attribute}
    return Node(node.op_type, name, tuple(node.input), tuple(node.output), attributes)


def _attribute(onnx: Any, a: Any, node: str) -> Any:
    kinds = onnx.AttributeProto
    if a.type == kinds.STRING:
        return a.s.decode("utf-8", "replace")
    if a.type in (kinds.FLOAT, kinds.INT):
        return a.f if a.type == kinds.FLOAT else a.i
    if a.type in (kinds.FLOATS, kinds.INTS):
        return list(a.floats if a.type == kinds.FLOATS else a.ints)
    if a.type == kinds.TENSOR:
        return array_of(onnx, a.t)
    return None  # a graph, or strings: no operator that is read has one


def array_of(onnx: Any, tensor: Any) -> Array:
    """A tensor's numbers: float16 and bfloat16 as float32, every int as int64.

    Raises
        FileError  it holds another number of bytes than its shape claims, or no plain numbers
    """
    kinds, name = onnx.TensorProto, tensor.name
    if tensor.data_location == kinds.EXTERNAL:
        raise FileError(
            f"the weights {name:.60} lie in another file; keep all in one: "
            "onnx.save(onnx.load(path), new)"
        )
    typed = {
        kinds.FLOAT: ("<f4", tensor.float_data),
        kinds.DOUBLE: ("<f8", tensor.double_data),
        kinds.INT64: ("<i8", tensor.int64_data),
        kinds.INT32: ("<i4", tensor.int32_data),
        kinds.BOOL: ("|b1", tensor.int32_data),
        kinds.FLOAT16: ("<f2", tensor.int32_data),
        kinds.BFLOAT16: ("<u2", tensor.int32_data),
    }
    if tensor.data_type not in typed:
        kind = kinds.DataType.Name(tensor.data_type) if tensor.data_type in range(24) else "unknown"
        raise FileError(
            f"{name:.60} has numbers of type {kind}, expected float32 or float64; export the model "
            "in float32, before it is quantized"
        )
    dtype, values = typed[tensor.data_type]
    shape = tuple(tensor.dims)
    count = math.prod(shape) if all(n >= 0 for n in shape) else -1
    if tensor.raw_data:
        held = len(tensor.raw_data) // np.dtype(dtype).itemsize
        whole = len(tensor.raw_data) == held * np.dtype(dtype).itemsize
    else:
        held, whole = len(values), True
    if count != held or not whole or len(shape) > 8:
        raise FileError(f"{name:.60} claims shape {str(shape)[:100]}, but has {held:,} numbers")
    if tensor.raw_data:
        flat = np.frombuffer(tensor.raw_data, dtype)
    elif dtype in ("<f2", "<u2"):
        flat = np.array(values, np.int32).astype(np.uint16).view(dtype)
    else:
        flat = np.array(values).astype(dtype)
    if tensor.data_type == kinds.BFLOAT16:  # the upper half of a float32
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    wanted = {"f": flat.dtype.newbyteorder("=") if flat.itemsize > 2 else np.dtype(np.float32)}
    return flat.astype(wanted.get(flat.dtype.kind, np.dtype(np.int64))).reshape(shape)
