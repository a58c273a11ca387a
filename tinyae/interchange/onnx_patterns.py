"""Groups of ONNX nodes that are one layer: how exporters write what has no operator in their opset.

Each function looks at the value that the last node of such a group writes, and returns the layer and
the value that goes into the group, or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae import layers
from tinyae.initializers import Initializer
from tinyae.interchange.onnx_file import Node
from tinyae.interchange.onnx_structure import Structure
from tinyae.layers import Layer

Found = tuple[Layer, str]
_CLOSE = 1e-4  # relative, between a constant as exporters round it and what it stands for


def find(structure: Structure, node: Node) -> Found | None:
    """The layer that ends at this node, if it is the last of a known group."""
    for pattern in PATTERNS.get(node.op, ()):
        found = pattern(structure, node)
        if found is not None:
            return found
    return None


def _close(value: float | None, wanted: float) -> bool:
    return value is not None and math.isclose(value, wanted, rel_tol=_CLOSE)


def _scalar(s: Structure, name: str) -> float | None:
    a = s.constant(name)
    return float(a.ravel()[0]) if a is not None and a.size == 1 else None


def _node(s: Structure, name: str, op: str) -> Node | None:
    node = s.producer(name)
    return node if node is not None and node.op == op else None


def _factors(s: Structure, name: str, depth: int = 0) -> tuple[float, list[str]]:
    """A product as a number and the values that are multiplied."""
    node = s.producer(name)
    if node is None or node.op not in ("Mul", "Div") or depth > 4 or len(node.inputs) != 2:
        return 1.0, [name]
    a, b = node.inputs
    scale, values = _factors(s, a, depth + 1)
    number = _scalar(s, b)
    if number is not None:
        return (scale / number if node.op == "Div" and number else scale * number), values
    if node.op == "Div":
        return 1.0, [name]
    number = _scalar(s, a)
    more, others = _factors(s, b, depth + 1)
    if number is not None:
        return number * more, others
    return scale * more, values + others


def _one_plus(s: Structure, name: str) -> str | None:
    """u of 1 + u"""
    node = _node(s, name, "Add")
    if node is not None:
        for a, b in (node.inputs, node.inputs[::-1]):
            if _close(_scalar(s, a), 1.0):
                return b
    return None


def _gated(s: Structure, node: Node) -> Found | None:
    """x g(x): SiLU, Mish, Hardswish, and both forms of GELU"""
    scale, values = _factors(s, node.outputs[0])
    if len(values) != 2:
        return None
    for x, gate in (values, values[::-1]):
        inner = s.producer(gate)
        if inner is None:
            continue
        if _close(scale, 1.0) and inner.inputs[:1] == (x,):
            if inner.op == "Sigmoid":
                return layers.SiLU(), x
            alpha, beta = (inner.attributes.get(k, d) for k, d in (("alpha", 0.2), ("beta", 0.5)))
            if inner.op == "HardSigmoid" and _close(alpha, 1 / 6) and _close(beta, 0.5):
                return layers.Hardswish(), x
        if _close(scale, 1.0) and inner.op == "Tanh":
            softplus = _node(s, inner.inputs[0], "Softplus")
            if softplus is not None and softplus.inputs[0] == x:
                return layers.Mish(), x
        u = _one_plus(s, gate)
        if u is not None and _close(scale, 0.5):
            erf, tanh = _node(s, u, "Erf"), _node(s, u, "Tanh")
            if erf is not None:
                inner_scale, inner_values = _factors(s, erf.inputs[0])
                if inner_values == [x] and _close(inner_scale, math.sqrt(0.5)):
                    return layers.GELU(), x
            if tanh is not None and _is_gelu_argument(s, tanh.inputs[0], x):
                return layers.TanhGELU(), x
    return None


def _is_gelu_argument(s: Structure, name: str, x: str) -> bool:
    """Whether this is √(2/π) (x + 0.044715 x³)"""
    scale, values = _factors(s, name)
    if len(values) != 1 or not _close(scale, math.sqrt(2 / math.pi)):
        return False
    total = _node(s, values[0], "Add")
    if total is None or x not in total.inputs:
        return False
    other = total.inputs[1] if total.inputs[0] == x else total.inputs[0]
    scale, values = _factors(s, other)
    power = _node(s, values[0], "Pow") if len(values) == 1 else None
    cubed = values == [x] * 3 or (
        power is not None and power.inputs[0] == x and _close(_scalar(s, power.inputs[1]), 3.0)
    )
    return cubed and _close(scale, 0.044715)


def _linear(s: Structure, node: Node) -> Found | None:
    """x Wᵀ + b, written as MatMul and Add"""
    for product, bias in (node.inputs, node.inputs[::-1]):
        matmul, b = _node(s, product, "MatMul"), s.constant(bias)
        if matmul is None or b is None:
            continue
        W = s.constant(matmul.inputs[1])
        if W is not None and W.ndim == 2 and b.size in (1, W.shape[1]):
            return dense(W.T, np.broadcast_to(b.ravel(), W.shape[1])), matmul.inputs[0]
    return None


def dense(W: np.ndarray, b: np.ndarray | None) -> layers.Dense:
    """A Dense layer with these weights."""
    out_features, in_features = W.shape
    layer = layers.Dense(in_features, out_features, init=Given(W), dtype=W.dtype)
    if b is not None:
        layer.b.value[...] = b
    return layer


class Given(Initializer):
    """An initialiser that gives an array."""

    def __init__(self, a: np.ndarray) -> None:
        self.a = a

    def __call__(self, shape: tuple[int, ...], *_: Any) -> np.ndarray:
        if self.a.shape != shape:
            raise ValueError(f"weights of shape {self.a.shape}, expected {shape}")
        return self.a.copy()


def _normalized(s: Structure, node: Node) -> Found | None:
    """x / √(mean x² + ε): RMSNorm or PixelNorm; LayerNorm if x is centred first"""
    root = _node(s, node.inputs[1], "Sqrt")
    total = None if root is None else _node(s, root.inputs[0], "Add")
    if total is None:
        return None
    for mean_name, eps_name in (total.inputs, total.inputs[::-1]):
        mean, eps = _node(s, mean_name, "ReduceMean"), _scalar(s, eps_name)
        if mean is None or eps is None:
            continue
        x, axes = node.inputs[0], _axes(s, mean)
        power, product = _node(s, mean.inputs[0], "Pow"), _node(s, mean.inputs[0], "Mul")
        squared = (product is not None and product.inputs == (x, x)) or (
            power is not None and power.inputs[0] == x and _close(_scalar(s, power.inputs[1]), 2.0)
        )
        if not squared or axes is None:
            continue
        centred = _node(s, x, "Sub")
        if centred is not None:
            inner = _node(s, centred.inputs[1], "ReduceMean")
            if inner is None or inner.inputs[0] != centred.inputs[0] or _axes(s, inner) != axes:
                return None
            return _Norm("LayerNorm", axes, eps), centred.inputs[0]
        return _Norm("RMSNorm", axes, eps), x
    return None


class _Norm(Layer):
    """A normalisation whose shape is known only with x's; ``for_shape`` gives the layer."""

    def __init__(self, kind: str, axes: list[int], eps: float) -> None:
        self.kind, self.axes, self.eps = kind, axes, eps

    def for_shape(self, shape: tuple[int, ...], dtype: np.dtype) -> Layer:
        ndim = len(shape) + 1
        axes = sorted(axis % ndim for axis in self.axes)
        if axes == [1] and ndim > 2 and self.kind == "RMSNorm":
            return layers.PixelNorm(self.eps)
        if axes != list(range(ndim - len(axes), ndim)) or 0 in axes:
            raise ValueError(
                f"a normalisation over axes {axes} of {ndim}, expected the trailing ones"
            )
        over = shape[axes[0] - 1 :]
        if self.kind == "LayerNorm":
            return layers.LayerNorm(over, self.eps, dtype=dtype)
        return layers.RMSNorm(over, self.eps, dtype=dtype)


def _axes(s: Structure, node: Node) -> list[int] | None:
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1:
        axes = s.constant(node.inputs[1])
    if axes is None or not node.attributes.get("keepdims", 1):
        return None
    return [int(a) for a in np.ravel(axes)]


def _top_k(s: Structure, node: Node) -> Found | None:
    """All but the k largest set to 0, as :func:`tinyae.program.export_onnx` writes it"""
    if len(node.inputs) != 3 or node.attributes.get("axis", 0) != 1:
        return None
    nothing = _node(s, node.inputs[0], "Mul")
    top = _node(s, node.inputs[1], "TopK")
    if nothing is None or top is None or top.outputs[::-1] != node.inputs[1:]:
        return None
    k = s.constant(top.inputs[1])
    if top.inputs[0] != nothing.inputs[0] or _scalar(s, nothing.inputs[1]) != 0.0 or k is None:
        return None
    return layers.TopK(int(k.ravel()[0])), top.inputs[0]


PATTERNS: dict[str, tuple[Callable[[Structure, Node], Found | None], ...]] = {
    "Mul": (_gated,),
    "Add": (_linear,),
    "Div": (_gated, _normalized),
    "ScatterElements": (_top_k,),
}
