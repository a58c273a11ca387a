"""Each operation of a program as ONNX nodes: one function for each.

A function is given the names of what the operation reads, and the weights as arrays. It appends nodes
to the graph and returns the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.kernels.windows import extent
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.to_onnx.functions import apply
from tinyae.program.to_onnx.graph import Graph, Value


def write(graph: Graph, op: ops.Op, **arguments: Any) -> Value:
    """Append an operation; ``arguments`` are what it reads, by the names of its slots.

    Raises
        TypeError  there are no nodes for this operation
    """
    to_nodes = NODES.get(type(op))
    if to_nodes is None:
        raise TypeError(
            f"export_onnx: the model's program has the operation {type(op).__name__}, which has no "
            "form in ONNX yet; export a part without it, or run the model with model.compile()"
        )
    return to_nodes(graph, op, **arguments)


def _affine(graph: Graph, op: ops.Affine, x: str, scale: Array, shift: Array) -> Value:
    shape = op.x.shape
    if not shape or shape[0] != scale.size:
        shape = (scale.size, op.x.size // scale.size)
    x = graph.reshape(Value(x, op.x.shape), shape)
    zero, one = np.zeros(scale.size), np.ones(scale.size)
    weights = (graph.constant(a) for a in (scale.ravel(), shift.ravel(), zero, one))
    y = graph.node("BatchNormalization", x, *weights, epsilon=0.0)
    return Value(apply(graph, op.f, y), shape)


def _dense(graph: Graph, op: ops.Dense, x: str, W: Array, b: Array) -> Value:
    x = graph.reshape(Value(x, op.x.shape), (op.x.size,))
    y = graph.node("Gemm", x, graph.constant(W), graph.constant(b), transB=1)
    return Value(apply(graph, op.f, y), (len(b),))


def _conv(graph: Graph, op: ops.Conv, x: str, W: Array, b: Array) -> Value:
    reach = extent((W.shape[2], W.shape[3]), op.dilation)
    pads = _pads(op.x.shape[1:], op.y.shape[1:], reach, op.stride, op.corner)
    weights = graph.constant(W), graph.constant(b)
    more = _dilations(op) | ({"group": op.groups} if op.groups > 1 else {})
    y = graph.node(
        "Conv", x, *weights, strides=op.stride, pads=pads, kernel_shape=W.shape[2:], **more
    )
    return Value(apply(graph, op.f, y), op.y.shape)


def _conv_transpose(graph: Graph, op: ops.ConvTranspose, x: str, W: Array, b: Array) -> Value:
    before, after, extra = [], [], []
    reach = extent((W.shape[2], W.shape[3]), op.dilation)
    for n, out, e, s, corner in zip(op.x.shape[1:], op.y.shape[1:], reach, op.stride, op.corner):
        rest = (n - 1) * s + e - corner - out  # of what is stamped, beyond y's end
        before.append(corner)
        after.append(max(rest, 0))
        extra.append(max(-rest, 0))
    y = graph.node(
        "ConvTranspose",
        *(x, graph.constant(W), graph.constant(b)),
        strides=op.stride,
        pads=before + after,
        output_padding=extra,
        kernel_shape=W.shape[2:],
        **_dilations(op),
        **({"group": op.groups} if op.groups > 1 else {}),
    )
    return Value(apply(graph, op.f, y), op.y.shape)


def _pool(name: str) -> Callable[..., Value]:
    def nodes(graph: Graph, op: Any, x: str) -> Value:
        if op.window == op.x.shape[1:] and op.corner == (0, 0) and op.y.shape[1:] == (1, 1):
            return Value(graph.node(f"Global{name}", x), op.y.shape)
        reach = extent(op.window, op.dilation)
        pads = _pads(op.x.shape[1:], op.y.shape[1:], reach, op.stride, op.corner)
        more = _dilations(op)
        y = graph.node(name, x, kernel_shape=op.window, strides=op.stride, pads=pads, **more)
        return Value(y, op.y.shape)

    return nodes


def _dilations(op: Any) -> dict[str, Any]:
    return {} if op.dilation == (1, 1) else {"dilations": op.dilation}


def _pads(size: Any, out: Any, window: Any, stride: Any, corner: Any) -> list[int]:
    """How far the windows reach beyond an image: top, left, bottom, right."""
    after = [
        max((count - 1) * s + k - before - n, 0)
        for n, count, k, s, before in zip(size, out, window, stride, corner)
    ]
    return [*corner, *after]


def _upsample(graph: Graph, op: ops.Upsample, x: str) -> Value:
    scales = graph.constant(np.array([1, 1, *op.factor]))
    y = graph.node(
        "Resize",
        *(x, "", scales),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return Value(y, op.y.shape)


def _interpolate(graph: Graph, op: ops.Interpolate, x: str) -> Value:
    scales = graph.constant(np.array([1, 1, *op.factor]))
    more = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return Value(graph.node("Resize", *(x, "", scales), **more), op.y.shape)


PIXEL_SHUFFLE = (0, 3, 1, 4, 2)  # of c, u, v, i, j: c, i, u, j, v


def _permute(graph: Graph, op: ops.Permute, x: str) -> Value:
    channels, r, r2, height, width = op.view
    if op.axes == PIXEL_SHUFFLE and r == r2:
        x = graph.reshape(Value(x, op.x.shape), (channels * r * r, height, width))
        y = graph.node("DepthToSpace", x, blocksize=r, mode="CRD")
        return Value(y, (channels, height * r, width * r))
    x = graph.reshape(Value(x, op.x.shape), op.view)
    y = graph.node("Transpose", x, perm=[0, *(axis + 1 for axis in op.axes)])
    return Value(y, tuple(op.sizes))


def _pad(graph: Graph, op: ops.Pad, x: str) -> Value:
    (top, left), size, out = op.corner, op.x.shape[1:], op.y.shape[1:]
    bottom, right = out[0] - top - size[0], out[1] - left - size[1]
    pads = graph.constant([0, 0, top, left, 0, 0, bottom, right])
    return Value(
        graph.node("Pad", x, pads, mode="reflect" if op.reflect else "constant"), op.y.shape
    )


def _activation(graph: Graph, op: ops.Activation, x: str) -> Value:
    return Value(apply(graph, op.f, x), op.x.shape)


def _prelu(graph: Graph, op: ops.PReLU, x: str, slope: Array) -> Value:
    column = slope.reshape(-1, *[1] * (len(op.x.shape) - 1))
    return Value(graph.node("PRelu", x, graph.constant(column)), op.x.shape)


def _layer_norm(graph: Graph, op: ops.LayerNorm, x: str, gamma: Array, beta: Array) -> Value:
    shape, ndim = op.x.shape, gamma.ndim
    if shape[len(shape) - ndim :] != gamma.shape:
        shape = (op.x.size // gamma.size, *gamma.shape)
    x = graph.reshape(Value(x, op.x.shape), shape)
    weights = graph.constant(gamma), graph.constant(beta)
    return Value(graph.node("LayerNormalization", x, *weights, axis=-ndim, epsilon=op.eps), shape)


def _normalize(graph: Graph, op: ops.Normalize, x: str) -> Value:
    rows, length, columns = op.view
    if op.centered and columns == 1:
        x = graph.reshape(Value(x, op.x.shape), (rows, length))
        weights = graph.constant(np.ones(rows)), graph.constant(np.zeros(rows))
        y = graph.node("InstanceNormalization", x, *weights, epsilon=op.eps)
        return Value(y, (rows, length))
    view = (length, columns) if rows == 1 else (rows, length, *[columns] * (columns > 1))
    x, axis = graph.reshape(Value(x, op.x.shape), view), graph.constant([1 if rows == 1 else 2])
    if op.centered:
        x = graph.node("Sub", x, graph.node("ReduceMean", x, axis))
    variance = graph.node("ReduceMean", graph.node("Mul", x, x), axis)
    sigma = graph.node("Sqrt", graph.node("Add", variance, graph.constant(op.eps)))
    return Value(graph.node("Div", x, sigma), view)


def _softmax(graph: Graph, op: ops.Softmax, x: str) -> Value:
    return Value(graph.node("Softmax", x, axis=1), op.x.shape)


def _top_k(graph: Graph, op: ops.TopK, x: str) -> Value:
    rows = graph.reshape(Value(x, op.x.shape), (op.x.size,))
    values, places = graph.node_of("TopK", (rows, graph.constant([op.k])), 2, axis=1)
    nothing = graph.node("Mul", rows, graph.constant(0.0))
    return Value(graph.node("ScatterElements", nothing, places, values, axis=1), (op.x.size,))


def _add(graph: Graph, op: ops.Add, x: str, other: str) -> Value:
    other = graph.reshape(Value(other, op.other.shape), op.x.shape)
    return Value(graph.node("Add", x, other), op.x.shape)


def _multiply(graph: Graph, op: ops.Multiply, x: str, other: str) -> Value:
    other = graph.reshape(Value(other, op.other.shape), op.x.shape)
    return Value(graph.node("Mul", x, other), op.x.shape)


def _squared_error(graph: Graph, op: ops.SquaredError, x: str, target: str) -> Value:
    size = math.prod(op.x.shape)
    flat = [graph.reshape(Value(n, s.shape), (size,)) for n, s in ((x, op.x), (target, op.target))]
    error = graph.node("Sub", *flat)
    squared = graph.node("Mul", error, error)
    return Value(graph.node("ReduceMean", squared, graph.constant([1]), keepdims=0), ())


NODES: dict[type[ops.Op], Callable[..., Value]] = {
    ops.Affine: _affine,
    ops.Dense: _dense,
    ops.Conv: _conv,
    ops.ConvTranspose: _conv_transpose,
    ops.MaxPool: _pool("MaxPool"),
    ops.AvgPool: _pool("AveragePool"),
    ops.Upsample: _upsample,
    ops.Interpolate: _interpolate,
    ops.Permute: _permute,
    ops.Pad: _pad,
    ops.Activation: _activation,
    ops.PReLU: _prelu,
    ops.LayerNorm: _layer_norm,
    ops.Normalize: _normalize,
    ops.Softmax: _softmax,
    ops.TopK: _top_k,
    ops.Add: _add,
    ops.Multiply: _multiply,
    ops.Copy: lambda graph, op, x: Value(x, op.x.shape),
    ops.SquaredError: _squared_error,
}
