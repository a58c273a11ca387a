"""One ONNX node as a layer: a function for each operator.

A function is given the node, its constants by position, and the shape of a sample of x. It returns the
layers that do the same, in order. What no layer does is a FileError that says what to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae import layers
from tinyae.archive import FileError
from tinyae.interchange.onnx_file import Node
from tinyae.interchange.onnx_patterns import Given, dense
from tinyae.interchange.onnx_structure import BATCH, Structure
from tinyae.layers import Layer
from tinyae.layers.convolution import SAME
from tinyae.layers.norm import positive_eps
from tinyae.param import Array
from tinyae.program.program import Shape

_NO_EPS = 1e-30  # in place of ε = 0: added to a variance of 1 it changes nothing


class Context:
    """A node, and what is known where it is read."""

    def __init__(
        self, structure: Structure, node: Node, data: str, shape: Shape, dtype: np.dtype[Any]
    ) -> None:
        self.structure, self.node, self.data = structure, node, data
        self.shape, self.dtype = shape, dtype
        self.opset = structure.graph.opset

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.node.attributes.get(name, default)

    def given(self, k: int) -> bool:
        return k < len(self.node.inputs) and bool(self.node.inputs[k])

    def weight(self, k: int) -> Array:
        """Input k, a constant, in the model's dtype if it is a float."""
        a = self.structure.constant(self.node.inputs[k]) if self.given(k) else None
        if a is None:
            raise FileError(f"input {k} is computed or missing, expected a constant")
        return a.astype(self.dtype, copy=False) if a.dtype.kind == "f" else a

    def ints(self, name: str, k: int, default: list[int] | None = None) -> list[int] | None:
        """Ints that are an attribute in old opsets and input k in new ones."""
        value = self.get(name)
        if value is None and self.given(k):
            value = [int(n) for n in np.ravel(self.weight(k))]
        return default if value is None else value

    def expect(self, name: str, *allowed: Any) -> None:
        """Raise unless an attribute is absent or has one of these values."""
        value = self.get(name, allowed[0])
        if value not in allowed:
            shown = " or ".join(map(str, allowed))
            raise FileError(f"{name} is {value!s:.60}, expected {shown}")


def layers_of(context: Context) -> list[Layer]:
    """The layers for a node.

    Raises
        FileError  there are none
    """
    make = OPERATORS.get(context.node.op)
    if make is None:
        if context.node.op in JOINS:
            raise FileError("it joins x with a constant, which no layer does; join paths of x")
        raise FileError(
            f"tinyae has no layer for the operator {context.node.op}; cut the model before it with "
            f"onnx.utils.extract_model, or write it with {', '.join(sorted({*OPERATORS, *JOINS}))}"
        )
    made = make(context)
    return [made] if isinstance(made, Layer) else made


# --- linear maps --------------------------------------------------------------------------------


def _gemm(c: Context) -> Layer:
    c.expect("transA", 0)
    W = c.weight(1)
    W = W if c.get("transB", 0) else W.T
    alpha, beta = c.get("alpha", 1.0), c.get("beta", 1.0)
    b = c.weight(2) if c.given(2) else None
    if b is not None and b.size not in (1, len(W)):
        raise FileError(f"its bias has shape {b.shape}, expected one number for each output")
    return dense(W * c.dtype.type(alpha), None if b is None else b.ravel() * c.dtype.type(beta))


def _matmul(c: Context) -> Layer:
    W = c.weight(1)
    if W.ndim != 2 or len(c.shape) != 1:
        raise FileError("a MatMul of other than rows with a matrix; use a Gemm of (N, I)")
    return dense(np.ascontiguousarray(W.T), None)


def _conv(c: Context) -> list[Layer]:
    W = c.weight(1)
    k, stride, dilation, groups = _windows(c, W.shape[2:])
    cls = {1: layers.Conv1d, 2: layers.Conv2d}[len(k)]
    more = _dilation_and_groups(cls, dilation, groups)
    size = c.shape[1:]
    before, after = _padding(c, size, k, stride, dilation)
    extent = [(n - 1) * d + 1 for n, d in zip(k, dilation)]
    count = [(n + p + q - e) // s + 1 for n, p, q, e, s in zip(size, before, after, extent, stride)]
    for padding in (tuple(before), *SAME):
        if _places(size, extent, stride, padding) == (count, before):
            break
    else:
        padding = (0,) * len(k)
    b = c.weight(2) if c.given(2) else None
    layer = _convolution(cls, W, b, (W.shape[1] * groups, W.shape[0]), k, stride, padding, more)
    if padding == (0,) * len(k) and any(before + after):
        return [*_border(c, before, after), layer]
    return [layer]


def _conv_transpose(c: Context) -> Layer:
    W = c.weight(1)
    k, stride, dilation, groups = _windows(c, W.shape[2:])
    cls = {1: layers.ConvTranspose1d, 2: layers.ConvTranspose2d}[len(k)]
    more = _dilation_and_groups(cls, dilation, groups)
    size = c.shape[1:]
    extent = [(n - 1) * d + 1 for n, d in zip(k, dilation)]
    stamped = [(n - 1) * s + e for n, s, e in zip(size, stride, extent)]
    extra = c.get("output_padding", [0] * len(k))
    auto, wanted = c.get("auto_pad", "NOTSET"), c.get("output_shape")
    if wanted is not None or auto.startswith("SAME"):
        out = wanted or [n * s for n, s in zip(size, stride)]
        total = [max(n + x - o, 0) for n, x, o in zip(stamped, extra, out)]
        lower = auto != "SAME_UPPER" if wanted is not None else auto == "SAME_LOWER"
        before = [t - t // 2 if lower else t // 2 for t in total]
    else:
        pads = c.get("pads", [0] * 2 * len(k))
        before = pads[: len(k)]
        out = [n - p - q + x for n, p, q, x in zip(stamped, before, pads[len(k) :], extra)]
    same = [way for way in SAME if _places(out, extent, stride, way) == (list(size), before)]
    if same and out == [n * s for n, s in zip(size, stride)] and len(set(before)) <= len(k):
        padding: Any = same[0]
        rest = [0] * len(k)
    else:
        padding = tuple(before)
        rest = [o - (n - 2 * p) for o, n, p in zip(out, stamped, before)]
        if any(not 0 <= r < s for r, s in zip(rest, stride)):
            raise FileError(
                f"pads cut {before} before and {[p - r for p, r in zip(before, rest)]} after, which "
                "a ConvTranspose with equal padding cannot; make them equal"
            )
    b = c.weight(2) if c.given(2) else None
    channels = W.shape[0], W.shape[1] * groups
    if any(rest):
        more = {**more, "output_padding": _one_or_all(cls, rest)}
    return _convolution(cls, W, b, channels, k, stride, padding, more)


def _convolution(
    cls: Any, W: Array, b: Any, channels: Any, k: Any, stride: Any, padding: Any, more: Any
) -> Layer:
    k, stride = _one_or_all(cls, k), _one_or_all(cls, stride)
    padding = padding if isinstance(padding, str) else _one_or_all(cls, padding)
    layer = cls(*channels, k, stride, padding, init=Given(W), dtype=W.dtype, **more)
    if b is not None:
        layer.b.value[...] = b
    return layer


def _one_or_all(cls: Any, values: Any) -> Any:
    """The argument of a layer for sequences (an int) or for images (a pair)."""
    return int(values[0]) if cls.__name__.endswith("1d") else tuple(int(v) for v in values)


def _dilation_and_groups(cls: Any, dilation: list[int], groups: int) -> dict[str, Any]:
    more: dict[str, Any] = {} if groups == 1 else {"groups": groups}
    return more if set(dilation) == {1} else {**more, "dilation": _one_or_all(cls, dilation)}


def _windows(c: Context, kernel: Any) -> tuple[list[int], list[int], list[int], int]:
    k = list(c.get("kernel_shape", kernel))
    if len(k) not in (1, 2) or len(c.shape) != len(k) + 1:
        raise FileError(
            f"a window of {len(k)} dimensions over samples of shape {c.shape}, expected sequences "
            "(C, L) or images (C, H, W)"
        )
    ones = [1] * len(k)
    return k, c.get("strides", ones), c.get("dilations", ones), c.get("group", 1)


def _padding(
    c: Context, size: Any, k: list[int], stride: list[int], dilation: list[int]
) -> tuple[list[int], list[int]]:
    """How far the windows reach before and after the image, as the node says."""
    auto = c.get("auto_pad", "NOTSET")
    if not auto.startswith("SAME"):
        pads = c.get("pads", [0] * 2 * len(k)) if auto == "NOTSET" else [0] * 2 * len(k)
        if len(pads) != 2 * len(k) or min(pads) < 0:
            raise FileError(f"pads are {pads}, expected {2 * len(k)} ints ≥ 0")
        return pads[: len(k)], pads[len(k) :]
    before, after = [], []
    for n, w, s, d in zip(size, k, stride, dilation):
        total = max((-(-n // s) - 1) * s + (w - 1) * d + 1 - n, 0)
        less = total // 2
        before.append(total - less if auto == "SAME_LOWER" else less)
        after.append(total - before[-1])
    return before, after


def _places(size: Any, extent: Any, stride: Any, padding: Any) -> tuple[list[int], list[int]]:
    """How many windows a layer with this padding has, and how far the first ones reach out."""
    count, before = [], []
    for axis, (n, e, s) in enumerate(zip(size, extent, stride)):
        if padding in SAME:
            count.append(-(-n // s))
            total = max((count[-1] - 1) * s + e - n, 0)
            before.append(total // 2 if padding == "same" else total - total // 2)
        else:
            count.append((n + 2 * padding[axis] - e) // s + 1)
            before.append(padding[axis])
    return count, before


def _border(c: Context, before: list[int], after: list[int]) -> list[Layer]:
    """Zeros around x, as layers."""
    if len(before) == 2:
        return [layers.Pad2d((before[0], after[0], before[1], after[1]))]
    channels, length = c.shape
    padded = length + before[0] + after[0]
    border = layers.Pad2d((0, 0, before[0], after[0]))
    return [layers.Reshape(channels, 1, length), border, layers.Reshape(channels, padded)]


# --- pools and sizes ----------------------------------------------------------------------------


def _pool(name: str) -> Callable[[Context], list[Layer]]:
    def make(c: Context) -> list[Layer]:
        k, stride, dilation, _ = _windows(c, None)
        c.expect("storage_order", 0)
        if len([n for n in c.node.outputs if n]) > 1:
            raise FileError("its indices are an output too, which no layer gives; leave them out")
        size, ceil = c.shape[1:], bool(c.get("ceil_mode", 0))
        before, after = _padding(c, size, k, stride, dilation)
        cls = getattr(layers, f"{name}{len(k)}d")
        if name == "AvgPool" and c.get("count_include_pad", 0) and any(before + after):
            if ceil:
                raise FileError("count_include_pad with ceil_mode, which no layer does")
            gaps = _dilation_and_groups(cls, dilation, 1)
            pool = cls(_one_or_all(cls, k), _one_or_all(cls, stride), **gaps)
            return [*_border(c, before, after), pool]
        extent = [(w - 1) * d + 1 for w, d in zip(k, dilation)]
        count = []
        for n, p, q, e, s in zip(size, before, after, extent, stride):
            room = n + p + q - e
            more = ceil and room % s and (room // s + 1) * s < n + p
            count.append(room // s + 1 + bool(more))
        ways = (tuple(before), False), (tuple(before), True), *((same, False) for same in SAME)
        for padding, mode in ways:
            wanted = size, count, before
            layer = _pool_that_fits(cls, k, stride, dilation, padding, mode, *wanted)
            if layer is not None:
                return [layer]
        raise FileError(
            f"pads are {[*before, *after]}, which no layer reproduces for images of {size}; use "
            "equal padding on both sides, or auto_pad SAME_UPPER"
        )

    return make


def _pool_that_fits(
    cls: Any,
    k: Any,
    stride: Any,
    dilation: Any,
    padding: Any,
    ceil: bool,
    size: Any,
    count: Any,
    before: Any,
) -> Layer | None:
    given = padding if isinstance(padding, str) else _one_or_all(cls, padding)
    extent = [(w - 1) * d + 1 for w, d in zip(k, dilation)]
    if given not in SAME and any(n + 2 * p < e for n, p, e in zip(size, padding, extent)):
        return None  # no window fits
    gaps = _dilation_and_groups(cls, dilation, 1)
    try:
        layer = cls(_one_or_all(cls, k), _one_or_all(cls, stride), given, ceil, **gaps)
    except ValueError:  # more padding than the window
        return None
    pool, whole = (layer, tuple(size)) if len(size) == 2 else (layer.pool, (1, *size))
    top, _, left, _ = pool.pad(whole)
    windows = list(pool.output_size(whole))[2 - len(size) :]
    return layer if (windows, [top, left][2 - len(size) :]) == (count, before) else None


def _global_pool(cls: type[Layer]) -> Callable[[Context], list[Layer]]:
    def make(c: Context) -> list[Layer]:
        channels, *size = c.shape
        if len(size) == 1:
            return [layers.Reshape(channels, 1, *size), cls(), layers.Reshape(channels, 1)]
        return [cls(), layers.Reshape(channels, *[1] * len(size))]

    return make


def _resize(c: Context) -> Layer:
    c.expect("mode", "nearest", "linear")
    smooth = c.get("mode", "nearest") == "linear"
    c.expect("antialias", 0)
    c.expect("keep_aspect_ratio_policy", "stretch")
    position = 1 if c.node.op == "Upsample" or c.opset < 11 else 2
    scales: Any = c.get("scales")
    if scales is None and c.given(position) and c.weight(position).size:
        scales = c.weight(position).ravel().tolist()
    ndim = len(c.shape) + 1
    axes = [a % ndim for a in c.get("axes") or range(ndim)]
    if scales is None:  # sizes are given instead
        sizes = c.weight(3).ravel().tolist()
        scales = [1.0 if a == 0 else n / c.shape[a - 1] for a, n in zip(axes, sizes)]
    by_axis = dict(zip(axes, scales))
    scales = [by_axis.get(a, 1.0) for a in range(ndim)]
    factors = [round(s) for s in scales]
    coordinates = c.get("coordinate_transformation_mode", "half_pixel")
    rounding = c.get("nearest_mode", "round_prefer_floor")
    regular = (coordinates, rounding) in (
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("half_pixel", "round_prefer_ceil"),
        ("half_pixel_symmetric", "round_prefer_floor"),
        ("half_pixel_symmetric", "round_prefer_ceil"),
    )
    whole = all(s == f and f >= 1 for s, f in zip(scales, factors))
    legacy = c.node.op == "Upsample" or c.opset < 11
    if smooth:
        regular = coordinates in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
        legacy = False
    if not whole or factors[:2] != [1, 1] or not (regular or legacy):
        raise FileError(
            f"scales {scales}, {coordinates}, {rounding}: tinyae enlarges by whole factors; use whole "
            "scales, with asymmetric and floor, or linear with half_pixel"
        )
    if len(factors) == 3:
        return layers.Upsample1d(factors[2], "linear" if smooth else "nearest")
    if len(factors) != 4:
        raise FileError(f"it resizes {len(factors) - 2} axes, expected 1 or 2")
    return layers.Upsample2d((factors[2], factors[3]), "bilinear" if smooth else "nearest")


def _pad(c: Context) -> list[Layer]:
    pads = c.ints("pads", 1) or []
    mode, value = c.get("mode", "constant"), c.get("value", 0.0)
    if c.given(2):
        value = float(c.weight(2).ravel()[0])
    ndim = len(c.shape) + 1
    if c.given(3):
        axes = [int(a) % ndim for a in np.ravel(c.weight(3))]
        both = dict(zip(axes, zip(pads[: len(axes)], pads[len(axes) :])))
        pads = [both.get(a, (0, 0))[side] for side in (0, 1) for a in range(ndim)]
    if mode not in ("constant", "reflect") or (mode == "constant" and value != 0.0):
        raise FileError(f"mode {mode} with {value}, expected zeros or reflect")
    if len(pads) != 2 * ndim or min(pads) < 0 or ndim not in (3, 4):
        raise FileError(f"pads are {pads}, expected ints ≥ 0 for sequences or images")
    before, after = pads[:ndim], pads[ndim:]
    if any(before[:2] + after[:2]):
        raise FileError(f"pads are {pads}: they add samples or channels, expected borders only")
    if mode == "constant":
        return _border(c, before[2:], after[2:])
    if ndim == 3:
        raise FileError("it mirrors sequences, for which tinyae has no layer; use images")
    return [layers.Pad2d((before[2], after[2], before[3], after[3]), mode)]


def _depth_to_space(c: Context) -> Layer:
    r = c.get("blocksize", 1)
    if c.get("mode", "DCR") != "CRD" and c.shape[0] != r * r:
        raise FileError("mode is DCR with several channels; export it with mode CRD")
    return layers.PixelShuffle(r)


def _flatten(c: Context) -> Layer:
    ndim = len(c.shape) + 1
    if c.get("axis", 1) % (ndim or 1) != 1 and not (ndim == 2 and c.get("axis", 1) in (1, -1)):
        raise FileError(f"axis is {c.get('axis')}, expected 1: a sample must stay a row")
    return layers.Flatten()


def _reshape(c: Context) -> Layer:
    sizes = c.get("shape") or c.structure.sizes(c.node.inputs[1])
    total = math.prod(c.shape)
    if not sizes or c.get("allowzero", 0):
        raise FileError("its shape is computed, expected constants behind the batch's axis")
    first: Any
    rest: Any
    first, *rest = sizes
    rest = [c.shape[k] if n == 0 and k < len(c.shape) else n for k, n in enumerate(rest)]
    if rest.count(-1) == 1 and first in (0, BATCH, 1):
        known = math.prod(n for n in rest if n != -1 and n is not None)
        rest = [total // known if n == -1 and known else n for n in rest]
    if None in rest or -1 in rest or first not in (0, BATCH, -1, 1) or math.prod(rest) != total:
        raise FileError(f"it makes {sizes} of samples of shape {c.shape}: a sample must stay whole")
    return layers.Flatten() if len(rest) == 1 else layers.Reshape(*map(int, rest))


def _squeeze(c: Context) -> Layer:
    axes, ndim = c.ints("axes", 1) or [], len(c.shape) + 1
    added = len(axes) if c.node.op == "Unsqueeze" else 0
    places = {a % (ndim + added) for a in axes}
    left = iter(c.shape)
    if added:
        shape = [1 if a in places else next(left, 1) for a in range(1, ndim + added)]
    else:
        shape = [n for a, n in enumerate(c.shape, 1) if a not in places]
    if not places or 0 in places or not shape:
        raise FileError(f"axes are {axes}: the batch's axis must stay the first of several")
    return layers.Reshape(*shape)


# --- activations --------------------------------------------------------------------------------


def _softmax(c: Context) -> Layer:
    axis = c.get("axis", 1 if c.opset < 13 else -1) % (len(c.shape) + 1)
    if axis != 1 or (c.opset < 13 and len(c.shape) > 1):
        raise FileError(f"axis is {axis} of samples of shape {c.shape}, expected the channels, 1")
    return layers.Softmax()


def _leaky(c: Context) -> Layer:
    alpha = c.get("alpha", 0.01)
    return layers.LeakyReLU(alpha) if alpha else layers.ReLU()


def _selu(c: Context) -> Layer:
    pair = c.get("alpha", 1.67326), c.get("gamma", 1.0507)
    if not np.allclose(pair, (layers.SELU.ALPHA, layers.SELU.SCALE), rtol=1e-4):
        raise FileError(f"alpha and gamma are {pair}, expected SELU's own, 1.6733 and 1.0507")
    return layers.SELU()


def _hard_sigmoid(c: Context) -> Layer:
    c.expect("beta", 0.5)
    return layers.HardSigmoid(c.get("alpha", 0.2))


def _gelu(c: Context) -> Layer:
    return layers.TanhGELU() if c.get("approximate", "none") == "tanh" else layers.GELU()


def _swish(c: Context) -> Layer:
    c.expect("alpha", 1.0)
    return layers.SiLU()


def _clip(c: Context) -> Layer:
    low = c.get("min", float(c.weight(1).ravel()[0]) if c.given(1) else -math.inf)
    high = c.get("max", float(c.weight(2).ravel()[0]) if c.given(2) else math.inf)
    if low != 0 or high < np.finfo(np.float32).max:
        raise FileError(f"it clips to {low:g} … {high:g}, expected 0 … ∞; tinyae has no other clip")
    return layers.ReLU()


def _prelu(c: Context) -> Layer:
    slope = c.weight(1)
    per_channel = slope.reshape(-1) if slope.size in (1, c.shape[0]) else None
    if per_channel is None or (slope.size > 1 and slope.shape[-len(c.shape)] != c.shape[0]):
        raise FileError(f"its slope has shape {slope.shape}, expected one for each channel")
    layer = layers.PReLU(c.shape[0], dtype=c.dtype)
    layer.a.value[...] = per_channel
    return layer


# --- norms, and scales --------------------------------------------------------------------------


def _eps(c: Context) -> float:
    return positive_eps("epsilon", c.get("epsilon", 1e-5) or _NO_EPS)


def _fill(layer: Any, gamma: Array, beta: Array | None) -> Any:
    layer.gamma.value[...] = gamma.reshape(layer.gamma.value.shape)
    if beta is not None:
        layer.beta.value[...] = beta.reshape(layer.beta.value.shape)
    return layer


def _batch_norm(c: Context) -> Layer:
    if c.get("training_mode", 0):
        raise FileError("training_mode is 1, expected a model for inference; export it with eval()")
    gamma, beta, mean, var = (c.weight(k) for k in (1, 2, 3, 4))
    momentum = 1 - c.get("momentum", 0.9)
    layer = layers.BatchNorm(gamma.size, _eps(c), min(max(momentum, 0.0), 1.0), dtype=c.dtype)
    layer.running_mean[...], layer.running_var[...] = mean, var
    return _fill(layer, gamma, beta)


def _instance_norm(c: Context) -> Layer:
    gamma = c.weight(1)
    return _fill(layers.InstanceNorm(gamma.size, _eps(c), dtype=c.dtype), gamma, c.weight(2))


def _group_norm(c: Context) -> Layer:
    groups, gamma, beta = c.get("num_groups", 1), c.weight(1), c.weight(2)
    channels = c.shape[0]
    if c.opset < 21:  # one of each for a group
        gamma, beta = (np.repeat(a, channels // groups) for a in (gamma, beta))
    return _fill(layers.GroupNorm(groups, channels, _eps(c), dtype=c.dtype), gamma, beta)


def _trailing_norm(cls: Any) -> Callable[[Context], Layer]:
    def make(c: Context) -> Layer:
        axis = c.get("axis", -1) % (len(c.shape) + 1)
        if axis == 0:
            raise FileError("axis is 0: it normalises over the batch, expected a sample's axes")
        shape = c.shape[axis - 1 :]
        gamma = np.broadcast_to(c.weight(1), shape)
        beta = np.broadcast_to(c.weight(2), shape) if c.given(2) else None
        return _fill(cls(shape, _eps(c), dtype=c.dtype), gamma, beta)

    return make


def _scale(c: Context) -> list[Layer]:
    """x with a constant: an affine map of each channel, or of each entry"""
    op, first = c.node.op, c.node.inputs[0] == c.data
    if op == "Neg":
        return _affine(c, np.full(1, -1.0), np.zeros(1))
    a = c.weight(1 if first else 0).astype(np.float64)
    zero, one = np.zeros(1), np.ones(1)
    if op in ("Mul", "Div"):
        if op == "Div" and not first:
            raise FileError("it divides by x, which no layer does")
        return _affine(c, a if op == "Mul" else 1 / a, zero)
    if op == "Add" or first:
        return _affine(c, one, a if op == "Add" else -a)
    return _affine(c, -one, a)


def _affine(c: Context, scale: Array, shift: Array) -> list[Layer]:
    if not c.shape:
        raise FileError("a sample of x is a single number, expected (N, C) or more axes")
    ndim, channels = len(c.shape), c.shape[0]
    shapes = [a.shape[-ndim:] for a in (scale, shift) if a.size > 1]
    if any(s[0] != 1 for s in (a.shape[:-ndim] for a in (scale, shift)) if s):
        raise FileError("its constant has a batch's axis, expected one for all samples")
    by_channel = all(
        len(s) == ndim and s[0] == channels and math.prod(s) == channels for s in shapes
    )
    if by_channel:
        gamma, beta = (np.broadcast_to(a.ravel(), channels) for a in (scale, shift))
        return [scale_layer(gamma, beta, c.dtype)]
    wide = [np.broadcast_to(a.reshape(a.shape[-ndim:]), c.shape).ravel() for a in (scale, shift)]
    return [layers.Flatten(), scale_layer(wide[0], wide[1], c.dtype), layers.Reshape(*c.shape)]


def scale_layer(scale: Array, shift: Array, dtype: np.dtype[Any]) -> layers.BatchNorm:
    """y = scale ∘ x + shift, as a BatchNorm whose running statistics are 0 and 1."""
    layer = layers.BatchNorm(len(scale), _NO_EPS, dtype=dtype)
    return _fill(layer, scale, shift)


def _plain(cls: type[Layer]) -> Callable[[Context], Layer]:
    return lambda c: cls()


def _nothing(c: Context) -> list[Layer]:
    return []


def _dropout(c: Context) -> list[Layer]:
    if c.given(2) and c.weight(2).any():
        raise FileError("training_mode is true, expected a model for inference")
    return []


JOINS = ("Add", "Concat", "Sum")


OPERATORS: dict[str, Callable[[Context], Layer | list[Layer]]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool("MaxPool"),
    "AveragePool": _pool("AvgPool"),
    "GlobalMaxPool": _global_pool(layers.GlobalMaxPool2d),
    "GlobalAveragePool": _global_pool(layers.GlobalAvgPool2d),
    "Resize": _resize,
    "Upsample": _resize,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _squeeze,
    "Identity": _nothing,
    "Dropout": _dropout,
    "Relu": _plain(layers.ReLU),
    "LeakyRelu": _leaky,
    "Elu": lambda c: layers.ELU(c.get("alpha", 1.0)),
    "Selu": _selu,
    "Sigmoid": _plain(layers.Sigmoid),
    "HardSigmoid": _hard_sigmoid,
    "Tanh": _plain(layers.Tanh),
    "Softplus": _plain(layers.Softplus),
    "Gelu": _gelu,
    "Mish": _plain(layers.Mish),
    "HardSwish": _plain(layers.Hardswish),
    "Swish": _swish,
    "Clip": _clip,
    "PRelu": _prelu,
    "Softmax": _softmax,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _trailing_norm(layers.LayerNorm),
    "RMSNormalization": _trailing_norm(layers.RMSNorm),
    "Mul": _scale,
    "Div": _scale,
    "Add": _scale,
    "Sub": _scale,
    "Neg": _scale,
}
