"""Convolution and its two gradients.

A batch of images is stored as (C, H, W, N), and returned as an (N, C, H, W) view. Then the numbers
of a pixel, and of neighbouring pixels, are contiguous, and a convolution is a sum of shifted rows:
a matrix product whose second matrix need not be built (``conv_loop``). If the samples of a pixel
fill a tile, x is read as it is (``conv_tables.direct``); smaller batches go through frames.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tinyae.kernels import reference
from tinyae.kernels.jitted.conv_loop import (
    by_outputs,
    convolve,
    convolve_in_frames,
    pack_weights,
    packed_outputs,
    weight_grad,
    weight_grad_in_frames,
)
from tinyae.kernels.jitted.conv_tables import Geometry, direct, framed
from tinyae.kernels.jitted.elementwise import relu_backward
from tinyae.kernels.jitted.layout import batch_last
from tinyae.kernels.jitted.operands import same_float
from tinyae.kernels.jitted.simd_tile import DOTS, NO_EPILOGUE, RELU, RELU_MASK, VECTORS, lanes
from tinyae.kernels.jitted.threads import (
    claim_threads,
    jit,
    parallel_jit,
    run_parallel,
    split_points,
    thread_ids,
)
from tinyae.kernels.reference import Pad, Pair
from tinyae.kernels.windows import extent
from tinyae.memory import empty
from tinyae.param import Array

Shape = tuple[int, ...]

_MOST = 1 << 31  # numbers in x or y: taps keep offsets in 32 bits, and frames have a border
_MIN_PARALLEL_WORK = 1 << 19  # multiply-adds; below that, a second thread does not pay off
_MIN_PARALLEL_COPY = 1 << 15  # the same for summed elements


@parallel_jit
def _convolve_parallel(
    x: Array,
    taps: Array,
    rectangles: Array,
    n: int,
    W: Array,
    b: Array,
    y: Array,
    epilogue: int,
    relu_mask: Array,
    groups: int,
    parts: Array,
) -> None:
    for t in numba.prange(len(parts)):
        convolve(
            *(x, taps, rectangles, n, W, b, y, epilogue, relu_mask, groups),
            *(parts[t], len(parts)),
        )


@parallel_jit
def _convolve_in_frames_parallel(
    x: Array,
    taps: Array,
    frames: Array,
    n: int,
    W: Array,
    b: Array,
    y: Array,
    epilogue: int,
    groups: int,
    parts: Array,
) -> None:
    for t in numba.prange(len(parts)):
        convolve_in_frames(
            *(x, taps, frames, n, W, b, y, epilogue, groups),
            *(parts[t], len(parts)),
        )


@parallel_jit
def _weight_grad_parallel(
    x: Array,
    taps: Array,
    rectangles: Array,
    n: int,
    dy: Array,
    dW: Array,
    groups: int,
    parts: Array,
) -> None:
    for t in numba.prange(len(parts)):
        weight_grad(x, taps, rectangles, n, dy, dW, groups, parts[t])


@parallel_jit
def _weight_grad_in_frames_parallel(
    x: Array, taps: Array, frames: Array, n: int, dy: Array, dW: Array, groups: int, parts: Array
) -> None:
    for t in numba.prange(len(parts)):
        weight_grad_in_frames(x, taps, frames, n, dy, dW, groups, parts[t])


def _fills_a_tile(x: Array) -> bool:
    """Whether a pixel's samples do"""
    return len(x) >= VECTORS * lanes(x.itemsize)


def _run(
    x: Array,
    W: Array,
    b: Array | None,
    y: Array,
    geometry: Geometry,
    transposed: bool,
    relu: bool,
    relu_mask: Array | None,
    groups: int,
) -> Array:
    """Compute y (O, H, W, N), a convolution of x or a transposed one; returns (N, O, H, W)."""
    if relu and relu_mask is not None:
        y = _run(x, W, b, y, geometry, transposed, True, None, groups)
        return relu_backward(y, relu_mask)
    n, channels = len(x), x.shape[1] // groups
    bias = np.zeros(len(y), y.dtype) if b is None else np.ascontiguousarray(b)
    shared = (x if transposed else y).size * (W.size // len(W)) >= _MIN_PARALLEL_WORK
    flat_x, flat_y, W = batch_last(x).reshape(-1), y.reshape(-1), _packed(W, groups, transposed)
    if _fills_a_tile(x):
        rectangles, taps = direct(geometry, channels, transposed, n)
        epilogue = RELU if relu else NO_EPILOGUE if relu_mask is None else RELU_MASK
        mask = flat_y if relu_mask is None else batch_last(relu_mask).reshape(-1)
        sums = flat_x, taps, rectangles, n, W, bias, flat_y, epilogue, mask, groups
        _share(convolve, _convolve_parallel, sums, shared)
        return y.transpose(3, 0, 1, 2)
    threads = int(numba.config.NUMBA_NUM_THREADS) if shared else 1
    frames, taps = framed(geometry, channels, len(y) // groups, transposed, n, x.itemsize, threads)
    epilogue = RELU if relu else NO_EPILOGUE
    framed_sums = flat_x, taps, frames, n, W, bias, flat_y, epilogue, groups
    _share(convolve_in_frames, _convolve_in_frames_parallel, framed_sums, shared)
    result = y.transpose(3, 0, 1, 2)
    return result if relu_mask is None else relu_backward(result, relu_mask)


def _share(
    loop: Callable[..., None], parallel: Callable[..., None], arguments: Any, shared: bool
) -> None:
    """Run a loop in parts, one for each thread, if that pays off; else whole."""
    threads = claim_threads() if shared else 1
    if threads > 1:
        run_parallel(parallel, *arguments, thread_ids(threads))
    else:
        loop(*arguments, 0, 1)


@jit
def _pack_groups(W: Array, packed: Array) -> None:
    for g in range(len(W)):
        pack_weights(W[g], packed[g])


def _packed(W: Array, groups: int, transposed: bool) -> Array:
    """The weights of each group, packed"""
    outputs, channels, kh, kw = W.shape
    of_group, area = outputs // groups, kh * kw
    shape = (of_group, channels, area) if transposed else (1, of_group, channels * area)
    packed = np.empty((groups, shape[0] * packed_outputs(shape[1]) * shape[2]), W.dtype)
    _pack_groups(np.ascontiguousarray(W).reshape(groups, *shape), packed)
    return packed.reshape(-1)


@functools.lru_cache(maxsize=256)
def _geometry(
    x: Shape, W: Shape, stride: Pair, pad: Pad, dilation: Pair, groups: int
) -> Geometry | None:
    """Of a convolution of x by W, by their shapes; None if they do not belong together, if a number
    is not one of a convolution, or if x or y has more numbers than a tap can reach."""
    if len(x) != 4 or len(W) != 4 or min(*stride, *dilation, groups) < 1 or min(pad) < 0:
        return None
    if x[1] != W[1] * groups or W[0] % groups or 0 in W:
        return None
    size, kernel, (top, bottom, left, right) = (x[2], x[3]), (W[2], W[3]), pad
    reach = extent(kernel, dilation)
    down = (size[0] + top + bottom - reach[0]) // stride[0] + 1
    across = (size[1] + left + right - reach[1]) // stride[1] + 1
    if min(down, across, *size) < 1 or max(math.prod(x), x[0] * W[0] * down * across) >= _MOST:
        return None
    return Geometry(size, (down, across), kernel, stride, pad, dilation)


def _fit(b: Array | None, relu_mask: Array | None, shape: Shape, x: Array) -> bool:
    """Whether a bias and a mask suit a result of that shape."""
    return (b is None or (b.shape == shape[1:2] and same_float(b, x))) and (
        relu_mask is None or (relu_mask.shape == shape and same_float(relu_mask, x))
    )


def conv2d(
    x: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    b: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    return conv2d_relu(x, W, stride, pad, b, False, None, dilation, groups)


def conv2d_relu(
    x: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    b: Array | None = None,
    relu: bool = False,
    relu_mask: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    g = _geometry(x.shape, W.shape, stride, pad, dilation, groups)
    if not (g and same_float(x, W) and _fit(b, relu_mask, (len(x), len(W), *g.out), x)):
        return reference.conv2d_relu(x, W, stride, pad, b, relu, relu_mask, dilation, groups)
    y = empty((len(W), *g.out, len(x)), x.dtype)
    return _run(x, W, b, y, g, False, relu, relu_mask, groups)


def conv2d_input_grad(
    dy: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    size: Pair,
    b: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    return conv2d_input_grad_relu(dy, W, stride, pad, size, b, False, None, dilation, groups)


def conv2d_input_grad_relu(
    dy: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    size: Pair,
    b: Array | None = None,
    relu: bool = False,
    relu_mask: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    shape = (len(dy), W.shape[1] * groups if W.ndim > 1 else 0, *size)
    g = _geometry(shape, W.shape, stride, pad, dilation, groups)
    if not (
        g
        and dy.shape == (len(dy), len(W), *g.out)
        and same_float(dy, W)
        and _fit(b, relu_mask, shape, dy)
    ):
        return reference.conv2d_input_grad_relu(
            dy, W, stride, pad, size, b, relu, relu_mask, dilation, groups
        )
    dx = empty((shape[1], *g.size, len(dy)), dy.dtype)
    return _run(dy, W, b, dx, g, True, relu, relu_mask, groups)


def conv2d_weight_grad(
    x: Array,
    dy: Array,
    stride: Pair,
    pad: Pad,
    kernel: Pair,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    n, outputs, channels = len(x), *dy.shape[1:2], *(c // max(groups, 1) for c in x.shape[1:2])
    g = _geometry(x.shape, (outputs, channels, *kernel), stride, pad, dilation, groups)
    if not (g and dy.shape == (n, outputs, *g.out) and same_float(x, dy)):
        return reference.conv2d_weight_grad(x, dy, stride, pad, kernel, dilation, groups)
    dW = np.empty((outputs, channels * kernel[0] * kernel[1]), x.dtype)
    many = by_outputs(outputs // groups, dW.shape[1], dW)  # then a vector of samples is enough
    if _fills_a_tile(x) or (many and n >= lanes(x.itemsize)):
        table, loop, parallel = direct(g, channels, False, n), weight_grad, _weight_grad_parallel
    else:  # in blocks whatever the number of threads, so that each sum has one order
        table = framed(g, channels, outputs // groups, False, n, x.itemsize)
        loop, parallel = weight_grad_in_frames, _weight_grad_in_frames_parallel
    flat_x, flat_dy = batch_last(x).reshape(-1), batch_last(dy).reshape(-1)
    arguments = flat_x, table[1], table[0], n, flat_dy, dW, groups
    threads = claim_threads() if dy.size * dW.shape[1] >= _MIN_PARALLEL_WORK else 1
    parts = _weight_parts(outputs // groups, dW.shape[1], threads)
    if threads > 1:
        run_parallel(parallel, *arguments, parts)
    else:
        loop(*arguments, parts[0])
    return dW.reshape(outputs, channels, *kernel)


@functools.lru_cache(maxsize=256)
def _weight_parts(outputs: int, taps: int, threads: int) -> Array:
    """Divide dW among the threads along its longer side, at multiples of DOTS."""
    size, axis = (outputs, 0) if outputs > taps else (taps, 2)
    blocks = -(-size // DOTS)
    bounds = np.minimum(split_points(blocks, threads) * DOTS, size)
    parts = np.tile([0, outputs, 0, taps], (threads, 1))
    parts[:, axis], parts[:, axis + 1] = bounds[:-1], bounds[1:]
    return parts


@jit
def _bias_grad(dy: Array, db: Array, first: int, last: int) -> None:
    """db[o] += Σ_t dy[o, t] for first ≤ o < last."""
    for o in range(first, last):
        s = db.dtype.type(0)
        for t in range(dy.shape[1]):
            s += dy[o, t]
        db[o] += s


@parallel_jit
def _bias_grad_parallel(dy: Array, db: Array, bounds: Array) -> None:
    for t in numba.prange(len(bounds) - 1):
        _bias_grad(dy, db, bounds[t], bounds[t + 1])


def bias_grad(dy: Array, db: Array) -> None:
    fits = dy.ndim == 4 and db.shape == dy.shape[1:2] and same_float(dy, db)
    if not (fits and db.flags.writeable):
        reference.bias_grad(dy, db)
        return
    batch_innermost = dy.transpose(1, 2, 3, 0)
    if not batch_innermost.flags.c_contiguous or not db.flags.c_contiguous:
        db += dy.sum(axis=(0, 2, 3))
        return
    flat = batch_innermost.reshape(len(db), -1)
    threads = claim_threads() if dy.size >= _MIN_PARALLEL_COPY and len(db) > 1 else 1
    if threads > 1:
        run_parallel(_bias_grad_parallel, flat, db, split_points(len(db), threads))
    else:
        _bias_grad(flat, db, 0, len(db))
