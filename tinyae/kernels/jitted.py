"""The kernels of :mod:`tinyae.kernels.reference` again, as loops that Numba compiles.

Each public function has the name, the signature and the meaning of its twin there; read that
one for the definition. It brings its arrays into one layout (so that few variants need to be
compiled), allocates the result and calls a loop nest, whose name begins with an underscore.

Compiled code is cached on disk beside this file. ``fastmath`` may reorder sums and contract
a·b + c, but keeps NaN and infinity, so a training that has failed is seen to have failed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tinyae.kernels import reference
from tinyae.kernels.reference import Pad, Pair
from tinyae.param import Array

jit: Callable[..., Any] = numba.njit(
    cache=True,
    nogil=True,
    error_model="numpy",  # a division by zero gives inf; testing for it would bar vectorising
    fastmath={"contract", "reassoc", "arcp", "nsz"},
)


def _flat(*arrays: Array) -> tuple[Array, ...]:
    """1-D views of arrays of one shape, all in the same element order; copies where need be.

    An array like ``np.empty_like(arrays[0])`` may be among them: if all have the same strides
    the order is that of the memory, so a transposed view costs no copy.
    """
    if all(a.flags.c_contiguous for a in arrays):
        return tuple(a.reshape(-1) for a in arrays)
    if all(a.strides == arrays[0].strides for a in arrays):
        views = tuple(a.ravel(order="K") for a in arrays)
        if all(np.may_share_memory(v, a) or a.size == 0 for v, a in zip(views, arrays)):
            return views
    return tuple(np.ascontiguousarray(a).reshape(-1) for a in arrays)


# --- matrix products ------------------------------------------------------------------------

_SMALL = 1 << 14  # multiply-adds; up to here the loops beat the overhead of a BLAS call


@jit
def _product_nt(a: Array, b: Array, out: Array) -> None:
    """out[i, j] = Σ_k a[i, k] b[j, k], in blocks of 4 × 4 sums that stay in registers."""
    rows, columns, depth = a.shape[0], b.shape[0], a.shape[1]
    for i in range(0, rows - 3, 4):
        for j in range(0, columns - 3, 4):
            s00 = s01 = s02 = s03 = a.dtype.type(0)
            s10 = s11 = s12 = s13 = a.dtype.type(0)
            s20 = s21 = s22 = s23 = a.dtype.type(0)
            s30 = s31 = s32 = s33 = a.dtype.type(0)
            for k in range(depth):
                a0, a1, a2, a3 = a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
                b0, b1, b2, b3 = b[j, k], b[j + 1, k], b[j + 2, k], b[j + 3, k]
                s00 += a0 * b0
                s01 += a0 * b1
                s02 += a0 * b2
                s03 += a0 * b3
                s10 += a1 * b0
                s11 += a1 * b1
                s12 += a1 * b2
                s13 += a1 * b3
                s20 += a2 * b0
                s21 += a2 * b1
                s22 += a2 * b2
                s23 += a2 * b3
                s30 += a3 * b0
                s31 += a3 * b1
                s32 += a3 * b2
                s33 += a3 * b3
            out[i, j], out[i, j + 1], out[i, j + 2], out[i, j + 3] = s00, s01, s02, s03
            out[i + 1, j], out[i + 1, j + 1] = s10, s11
            out[i + 1, j + 2], out[i + 1, j + 3] = s12, s13
            out[i + 2, j], out[i + 2, j + 1] = s20, s21
            out[i + 2, j + 2], out[i + 2, j + 3] = s22, s23
            out[i + 3, j], out[i + 3, j + 1] = s30, s31
            out[i + 3, j + 2], out[i + 3, j + 3] = s32, s33
    last_row, last_column = rows - rows % 4, columns - columns % 4
    for i in range(rows):
        for j in range(last_column if i < last_row else 0, columns):
            s = a.dtype.type(0)
            for k in range(depth):
                s += a[i, k] * b[j, k]
            out[i, j] = s


@jit
def _product_nn(a: Array, b: Array, out: Array) -> None:
    """out[i, :] = Σ_k a[i, k] b[k, :]: each row of b is read once for four rows of out."""
    rows, depth, columns = a.shape[0], a.shape[1], b.shape[1]
    out[:] = 0
    for i in range(0, rows - 3, 4):
        for k in range(depth):
            a0, a1, a2, a3 = a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
            for j in range(columns):
                bkj = b[k, j]
                out[i, j] += a0 * bkj
                out[i + 1, j] += a1 * bkj
                out[i + 2, j] += a2 * bkj
                out[i + 3, j] += a3 * bkj
    for i in range(rows - rows % 4, rows):
        for k in range(depth):
            for j in range(columns):
                out[i, j] += a[i, k] * b[k, j]


@jit
def _product_tn(a: Array, b: Array, out: Array) -> None:
    """out[i, :] = Σ_k a[k, i] b[k, :]: a sum of outer products, four rows of b at a time."""
    depth, rows, columns = a.shape[0], a.shape[1], b.shape[1]
    out[:] = 0
    for k in range(0, depth - 3, 4):
        for i in range(rows):
            a0, a1, a2, a3 = a[k, i], a[k + 1, i], a[k + 2, i], a[k + 3, i]
            for j in range(columns):
                out[i, j] += a0 * b[k, j] + a1 * b[k + 1, j] + a2 * b[k + 2, j] + a3 * b[k + 3, j]
    for k in range(depth - depth % 4, depth):
        for i in range(rows):
            for j in range(columns):
                out[i, j] += a[k, i] * b[k, j]


@jit
def _add_row(out: Array, b: Array) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += b[j]


def _product(
    loops: Callable[[Array, Array, Array], None], a: Array, b: Array, shape: Pair
) -> Array:
    out = np.empty(shape, a.dtype)
    loops(np.ascontiguousarray(a), np.ascontiguousarray(b), out)
    return out


def matmul(a: Array, b: Array) -> Array:
    if a.size * b.shape[1] > _SMALL:
        return a @ b
    return _product(_product_nn, a, b, (a.shape[0], b.shape[1]))


def matmul_nt(a: Array, b: Array) -> Array:
    if a.size * b.shape[0] > _SMALL:
        return a @ b.T
    return _product(_product_nt, a, b, (a.shape[0], b.shape[0]))


def matmul_tn(a: Array, b: Array) -> Array:
    if a.size * b.shape[1] > _SMALL:
        return a.T @ b
    return _product(_product_tn, a, b, (a.shape[1], b.shape[1]))


def affine(x: Array, W: Array, b: Array) -> Array:
    y = matmul_nt(x, W)
    _add_row(y, b)
    return y


# --- convolution: sums of shifted rows, the batch innermost in memory -------------------------
#
# In memory an image batch is kept as (C, H, W, N), and handed on as an (N, C, H, W) view. A row
# of the output, S pixels of N samples, is then one run of S·N numbers, and
#
#     y[o, i, :] = Σ_{c,u,v} W[o, c, u, v] · x[c, i + u, v : v + S]
#
# is a sum of such runs at fixed offsets into x, one a tap (c, u, v). With a stride s the padded
# image is first split into its s × s phases, x[a::s, b::s]: from one phase a tap reads a run
# again. So the same two loops serve every stride, the gradient of the input too.

_RUN = 1024  # floats of a run at a time: what is summed stays in the first-level cache


@jit
def _add_four_twice(
    y: Array, z: Array, x0: Array, x1: Array, x2: Array, x3: Array, a: Array, b: Array
) -> None:
    """y += a₀x₀ + a₁x₁ + a₂x₂ + a₃x₃,   z += b₀x₀ + b₁x₁ + b₂x₂ + b₃x₃"""
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
    for t in range(y.size):
        y[t] += a0 * x0[t] + a1 * x1[t] + a2 * x2[t] + a3 * x3[t]
        z[t] += b0 * x0[t] + b1 * x1[t] + b2 * x2[t] + b3 * x3[t]


@jit
def _add_four(y: Array, x0: Array, x1: Array, x2: Array, x3: Array, a: Array) -> None:
    """y += a₀x₀ + a₁x₁ + a₂x₂ + a₃x₃"""
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    for t in range(y.size):
        y[t] += a0 * x0[t] + a1 * x1[t] + a2 * x2[t] + a3 * x3[t]


@jit
def _add_one(y: Array, x: Array, a: float) -> None:
    for t in range(y.size):
        y[t] += a * x[t]


@jit
def _correlate(x: Array, offsets: Array, pitch: int, W: Array, y: Array) -> None:
    """y[o, i, t] = Σ_k W[o, k] · x[offsets[k] + i·pitch + t]:   x (P,)   W (O, K)   y (O, R, L)

    Two outputs and four taps at a time.
    """
    outputs, rows, length = y.shape
    taps = offsets.size
    y[:] = 0
    for start in range(0, length, _RUN):
        size = min(_RUN, length - start)
        for i in range(rows):
            here = i * pitch + start
            for o in range(0, outputs, 2):
                r = y[o, i, start : start + size]
                for k in range(0, taps - 3, 4):
                    k0, k1 = here + offsets[k], here + offsets[k + 1]
                    k2, k3 = here + offsets[k + 2], here + offsets[k + 3]
                    x0, x1 = x[k0 : k0 + size], x[k1 : k1 + size]
                    x2, x3 = x[k2 : k2 + size], x[k3 : k3 + size]
                    a = W[o, k : k + 4]
                    if o + 1 < outputs:
                        s = y[o + 1, i, start : start + size]
                        _add_four_twice(r, s, x0, x1, x2, x3, a, W[o + 1, k : k + 4])
                    else:
                        _add_four(r, x0, x1, x2, x3, a)
                for k in range(taps - taps % 4, taps):
                    k0 = here + offsets[k]
                    for one in range(o, min(o + 2, outputs)):
                        run = y[one, i, start : start + size]
                        _add_one(run, x[k0 : k0 + size], W[one, k])


@jit
def _dot_four(y: Array, x0: Array, x1: Array, x2: Array, x3: Array, dW: Array) -> None:
    """dW[k] += Σ_t y[t] · xₖ[t]"""
    s0 = s1 = s2 = s3 = y.dtype.type(0)
    for t in range(y.size):
        s0 += y[t] * x0[t]
        s1 += y[t] * x1[t]
        s2 += y[t] * x2[t]
        s3 += y[t] * x3[t]
    dW[0] += s0
    dW[1] += s1
    dW[2] += s2
    dW[3] += s3


@jit
def _dot_one(y: Array, x: Array) -> float:
    s = y.dtype.type(0)
    for t in range(y.size):
        s += y[t] * x[t]
    return s


@jit
def _correlate_weights(x: Array, offsets: Array, pitch: int, dy: Array, dW: Array) -> None:
    """dW[o, k] = Σ_{i,t} dy[o, i, t] · x[offsets[k] + i·pitch + t]: the adjoint in W."""
    outputs, rows, length = dy.shape
    taps = offsets.size
    dW[:] = 0
    for start in range(0, length, _RUN):
        size = min(_RUN, length - start)
        for i in range(rows):
            here = i * pitch + start
            for o in range(outputs):
                r = dy[o, i, start : start + size]
                for k in range(0, taps - 3, 4):
                    k0, k1 = here + offsets[k], here + offsets[k + 1]
                    k2, k3 = here + offsets[k + 2], here + offsets[k + 3]
                    x0, x1 = x[k0 : k0 + size], x[k1 : k1 + size]
                    x2, x3 = x[k2 : k2 + size], x[k3 : k3 + size]
                    _dot_four(r, x0, x1, x2, x3, dW[o, k : k + 4])
                for k in range(taps - taps % 4, taps):
                    k0 = here + offsets[k]
                    dW[o, k] += _dot_one(r, x[k0 : k0 + size])


def _batch_last(x: Array) -> Array:
    """(N, C, H, W) as (C, H, W, N), a view."""
    return x.transpose(1, 2, 3, 0)


def _inside(phase: int, stride: int, before: int, size: int) -> Pair:
    """The m for which padded pixel phase + m·stride lies in the image: first, one past the last."""
    return -((phase - before) // stride) if before > phase else 0, max(
        -((phase - before - size) // stride), 0
    )


def _phases(x: Array, kernel: Pair, stride: Pair, pad: Pad, size: Pair) -> tuple[Array, Array, int]:
    """The padded image by its phases, flat; each tap's offset into it; the distance of its rows.

    ``size`` is that of the output; more of the image than its taps reach is not copied.
    """
    x = _batch_last(x)
    channels, height, width, n = x.shape
    (kh, kw), (sh, sw) = kernel, stride
    rows, columns = size[0] + (kh - 1) // sh, size[1] + (kw - 1) // sw
    split = np.zeros((sh, sw, channels, rows, columns, n), x.dtype)
    for a in range(sh):
        m0, _ = _inside(a, sh, pad[0], height)
        for b in range(sw):
            n0, _ = _inside(b, sw, pad[2], width)
            y, z = a + m0 * sh - pad[0], b + n0 * sw - pad[2]
            part = x[:, y::sh, z::sw][:, : rows - m0, : columns - n0]
            split[a, b, :, m0 : m0 + part.shape[1], n0 : n0 + part.shape[2]] = part
    offsets = _tap_offsets(kernel, stride, channels, rows, columns, n)
    return split.reshape(-1), offsets, columns * n


@functools.lru_cache(maxsize=256)
def _tap_offsets(
    kernel: Pair, stride: Pair, channels: int, rows: int, columns: int, n: int
) -> Array:
    """Where the run of each tap (c, u, v) begins in :func:`_phases`."""
    c, u, v = np.ogrid[:channels, : kernel[0], : kernel[1]]
    phase = u % stride[0] * stride[1] + v % stride[1]
    at = ((phase * channels + c) * rows + u // stride[0]) * columns + v // stride[1]
    return (at * n).reshape(-1)


def _output_size(x: Array, kernel: Pair, stride: Pair, pad: Pad) -> Pair:
    (top, bottom, left, right), (kh, kw) = pad, kernel
    return (
        (x.shape[2] + top + bottom - kh) // stride[0] + 1,
        (x.shape[3] + left + right - kw) // stride[1] + 1,
    )


def conv2d(x: Array, W: Array, stride: Pair, pad: Pad) -> Array:
    kernel = (W.shape[2], W.shape[3])
    size = _output_size(x, kernel, stride, pad)
    n = len(x)
    y = np.empty((len(W), size[0], size[1] * n), x.dtype)
    _correlate(
        *_phases(x, kernel, stride, pad, size), np.ascontiguousarray(W).reshape(len(W), -1), y
    )
    return y.reshape(len(W), *size, n).transpose(3, 0, 1, 2)


def conv2d_input_grad(dy: Array, W: Array, stride: Pair, pad: Pad, size: Pair) -> Array:
    """By phases of dx: dx[a + m·s] = Σ_q W[a + q·s] · dy[m − q], a correlation without stride."""
    n, outputs = dy.shape[:2]
    channels, (kh, kw), (sh, sw) = W.shape[1], W.shape[2:], stride
    above, left = (kh - 1) // sh, (kw - 1) // sw  # zeros before dy, for m − q < 0
    height = max(_inside(0, sh, pad[0], size[0])[1], 0) + above
    width = max(_inside(0, sw, pad[2], size[1])[1], 0) + left
    padded = np.zeros((outputs, height, width, n), dy.dtype)
    part = _batch_last(dy)[:, : height - above, : width - left]
    padded[:, above : above + part.shape[1], left : left + part.shape[2]] = part
    dx = np.zeros((channels, *size, n), dy.dtype)
    for a in range(min(sh, kh)):
        m0, m1 = _inside(a, sh, pad[0], size[0])
        for b in range(min(sw, kw)):
            n0, n1 = _inside(b, sw, pad[2], size[1])
            if m1 <= m0 or n1 <= n0:
                continue
            taps = W[:, :, a::sh, b::sw].transpose(1, 0, 2, 3)  # (C, O, q, r)
            first = (above + m0) * width + left + n0
            offsets = _mirrored_offsets(outputs, taps.shape[2], taps.shape[3], first, height, width)
            part = np.empty((channels, m1 - m0, (n1 - n0) * n), dy.dtype)
            W_phase = np.ascontiguousarray(taps).reshape(channels, -1)
            _correlate(padded.reshape(-1), offsets * n, width * n, W_phase, part)
            y, z = a + m0 * sh - pad[0], b + n0 * sw - pad[2]
            dx[:, y::sh, z::sw] = part.reshape(channels, m1 - m0, n1 - n0, n)
    return dx.transpose(3, 0, 1, 2)


@functools.lru_cache(maxsize=256)
def _mirrored_offsets(outputs: int, kh: int, kw: int, first: int, height: int, width: int) -> Array:
    """Where the run of each tap (o, q, r) begins: the further the tap, the earlier in dy."""
    o, q, r = np.ogrid[:outputs, :kh, :kw]
    return (first + (o * height - q) * width - r).reshape(-1)


def conv2d_weight_grad(x: Array, dy: Array, stride: Pair, pad: Pad, kernel: Pair) -> Array:
    n, outputs, rows, columns = dy.shape
    dW = np.empty((outputs, x.shape[1] * kernel[0] * kernel[1]), x.dtype)
    flat = np.ascontiguousarray(_batch_last(dy)).reshape(outputs, rows, columns * n)
    _correlate_weights(*_phases(x, kernel, stride, pad, (rows, columns)), flat, dW)
    return dW.reshape(outputs, x.shape[1], *kernel)


# --- pooling --------------------------------------------------------------------------------


@jit
def _max_pool(x: Array, y: Array, index: Array, kh: int, kw: int, sh: int, sw: int) -> None:
    n_samples, channels, rows, columns = y.shape
    for n in range(n_samples):
        for c in range(channels):
            for i in range(rows):
                for j in range(columns):
                    best, where = x[n, c, i * sh, j * sw], 0
                    for u in range(kh):
                        for v in range(kw):
                            value = x[n, c, i * sh + u, j * sw + v]
                            # the second half lets a NaN win, as in the twin
                            if value > best or (value != value and best == best):
                                best, where = value, u * kw + v
                    y[n, c, i, j] = best
                    index[n, c, i, j] = where


@jit
def _max_pool_backward(dy: Array, index: Array, dx: Array, kw: int, sh: int, sw: int) -> None:
    n_samples, channels, rows, columns = dy.shape
    for n in range(n_samples):
        for c in range(channels):
            for i in range(rows):
                for j in range(columns):
                    where = index[n, c, i, j]
                    dx[n, c, i * sh + where // kw, j * sw + where % kw] += dy[n, c, i, j]


def max_pool2d(x: Array, kernel: Pair, stride: Pair) -> tuple[Array, Array]:
    y = np.empty((*x.shape[:2], *_output_size(x, kernel, stride, (0, 0, 0, 0))), x.dtype)
    index = np.empty(y.shape, np.int64)
    _max_pool(np.ascontiguousarray(x), y, index, *kernel, *stride)
    return y, index


def max_pool2d_backward(dy: Array, index: Array, kernel: Pair, stride: Pair, size: Pair) -> Array:
    dx = np.zeros((*dy.shape[:2], *size), dy.dtype)
    dy, index = np.ascontiguousarray(dy), np.ascontiguousarray(index)
    _max_pool_backward(dy, index, dx, kernel[1], *stride)
    return dx


# --- activations ----------------------------------------------------------------------------


@jit
def _relu(x: Array, y: Array) -> None:
    for i in range(x.size):
        y[i] = 0 if x[i] <= 0 else x[i]  # this way round, NaN stays NaN


@jit
def _relu_backward(dy: Array, y: Array, dx: Array) -> None:
    for i in range(y.size):
        dx[i] = dy[i] * (y[i] > 0)


@jit
def _elu(x: Array, t: Array, alpha: float, y: Array) -> None:
    # eˣ − 1 = 2t / (1 − t) with t = tanh(x/2): as exact as expm1, and NumPy's tanh is vectorised
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else alpha * 2 * t[i] / (1 - t[i])


@jit
def _elu_backward(dy: Array, y: Array, alpha: float, dx: Array) -> None:
    for i in range(y.size):
        dx[i] = dy[i] if y[i] > 0 else dy[i] * (y[i] + alpha)


@jit
def _sigmoid_backward(dy: Array, y: Array, dx: Array) -> None:
    for i in range(y.size):
        dx[i] = dy[i] * y[i] * (1 - y[i])


@jit
def _tanh_backward(dy: Array, y: Array, dx: Array) -> None:
    for i in range(y.size):
        dx[i] = dy[i] * (1 - y[i] * y[i])


@jit
def _erf(x: Array, y: Array) -> None:
    for i in range(x.size):
        y[i] = math.erf(x[i])


def _elementwise(loop: Callable[..., None], *arrays: Array) -> Array:
    out = np.empty_like(arrays[-1])
    flat = _flat(*arrays, out)
    loop(*flat)
    return out if np.may_share_memory(flat[-1], out) else flat[-1].reshape(out.shape)


def relu(x: Array) -> Array:
    return _elementwise(_relu, x)


def relu_backward(dy: Array, y: Array) -> Array:
    return _elementwise(_relu_backward, dy, y)


def elu(x: Array, alpha: float) -> Array:
    y, t = np.empty_like(x), np.tanh(x * x.dtype.type(0.5))
    flat = _flat(x, t, y)
    np.minimum(flat[1], 0, out=flat[1])  # of x > 0 t is not used, but must not divide by 0
    _elu(*flat[:2], x.dtype.type(alpha), flat[2])
    return y if np.may_share_memory(flat[2], y) else flat[2].reshape(y.shape)


def elu_backward(dy: Array, y: Array, alpha: float) -> Array:
    dx = np.empty_like(y)
    flat = _flat(dy, y, dx)
    _elu_backward(*flat[:2], y.dtype.type(alpha), flat[2])
    return dx if np.may_share_memory(flat[2], dx) else flat[2].reshape(dx.shape)


sigmoid = reference.sigmoid  # NumPy's exp and tanh are vectorised already


def sigmoid_backward(dy: Array, y: Array) -> Array:
    return _elementwise(_sigmoid_backward, dy, y)


tanh = reference.tanh


def tanh_backward(dy: Array, y: Array) -> Array:
    return _elementwise(_tanh_backward, dy, y)


def erf(x: Array) -> Array:
    return _elementwise(_erf, x)


# --- losses ---------------------------------------------------------------------------------


@jit
def _mse(y: Array, target: Array, dy: Array) -> float:
    # Two loops: one that also wrote would be vectorised or not, and so sum in another order,
    # by how far apart the arrays happen to lie.
    total, scale = 0.0, y.dtype.type(2 / y.size)
    for i in range(y.size):
        d = y[i] - target[i]
        total += d * d
    for i in range(y.size):
        dy[i] = scale * (y[i] - target[i])
    return total / y.size


@jit
def _l1(y: Array, target: Array, dy: Array) -> float:
    total, scale = 0.0, y.dtype.type(1 / y.size)
    for i in range(y.size):
        total += abs(y[i] - target[i])
    for i in range(y.size):
        dy[i] = scale * np.sign(y[i] - target[i])
    return total / y.size


def _loss(loop: Callable[..., float], y: Array, target: Array) -> tuple[float, Array]:
    dy = np.empty_like(y)
    flat = _flat(y, target, dy)
    L = loop(*flat)
    return L, dy if np.may_share_memory(flat[-1], dy) else flat[-1].reshape(dy.shape)


def mse(y: Array, target: Array) -> tuple[float, Array]:
    return _loss(_mse, y, target)


def l1(y: Array, target: Array) -> tuple[float, Array]:
    return _loss(_l1, y, target)


bce = reference.bce  # as with sigmoid: NumPy's exp and log are vectorised already


@jit
def _bce_with_logits(y: Array, target: Array, t: Array, dy: Array) -> float:
    """t is e^−|y|. Returns Σ [max(y, 0) − y · target]; ln(1 + t) is left to NumPy."""
    total, scale, one = 0.0, y.dtype.type(1 / y.size), y.dtype.type(1)
    for i in range(y.size):
        total += (y[i] if y[i] > 0 else 0) - y[i] * target[i]
    for i in range(y.size):
        dy[i] = scale * ((one if y[i] >= 0 else t[i]) / (one + t[i]) - target[i])
    return total


def bce_with_logits(y: Array, target: Array) -> tuple[float, Array]:
    t = np.abs(y)
    np.negative(t, out=t)
    np.exp(t, out=t)
    dy = np.empty_like(y)
    flat = _flat(y, target, t, dy)
    total = _bce_with_logits(*flat)
    np.log1p(t, out=t)
    L = (total + float(t.sum(dtype=np.float64))) / y.size
    return L, dy if np.may_share_memory(flat[-1], dy) else flat[-1].reshape(dy.shape)


# --- optimizer steps: one pass over memory, the gradient cleared on the way ------------------


@jit
def _sgd(value: Array, grad: Array, learning_rate: float) -> None:
    rate = value.dtype.type(learning_rate)
    for i in range(value.size):
        value[i] -= rate * grad[i]
        grad[i] = 0


@jit
def _momentum(value: Array, grad: Array, v: Array, learning_rate: float, mu: float) -> None:
    rate, keep = value.dtype.type(learning_rate), value.dtype.type(mu)
    for i in range(value.size):
        v[i] = keep * v[i] + grad[i]
        value[i] -= rate * v[i]
        grad[i] = 0


@jit
def _nesterov(value: Array, grad: Array, v: Array, learning_rate: float, mu: float) -> None:
    rate, keep = value.dtype.type(learning_rate), value.dtype.type(mu)
    for i in range(value.size):
        v[i] = keep * v[i] + grad[i]
        value[i] -= rate * (grad[i] + keep * v[i])
        grad[i] = 0


@jit
def _rmsprop(
    value: Array, grad: Array, s: Array, learning_rate: float, rho: float, eps: float
) -> None:
    number = value.dtype.type
    rate, keep, new, tiny = number(learning_rate), number(rho), number(1 - rho), number(eps)
    for i in range(value.size):
        g = grad[i]
        s[i] = keep * s[i] + new * g * g
        value[i] -= rate * g / (np.sqrt(s[i]) + tiny)
        grad[i] = 0


@jit
def _adam(
    value: Array,
    grad: Array,
    m: Array,
    v: Array,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    shrink: float,
    t: int,
) -> None:
    number = value.dtype.type
    keep1, new1 = number(beta1), number(1 - beta1)
    keep2, new2 = number(beta2), number(1 - beta2)
    rate, tiny, kept = number(learning_rate / (1 - beta1**t)), number(eps), number(shrink)
    root = number(1 / math.sqrt(1 - beta2**t))
    for i in range(value.size):
        g = grad[i]
        m[i] = keep1 * m[i] + new1 * g
        v[i] = keep2 * v[i] + new2 * g * g
        value[i] = kept * value[i] - rate * m[i] / (np.sqrt(v[i]) * root + tiny)
        grad[i] = 0


def _in_place(loop: Callable[..., None], arrays: tuple[Array, ...], *numbers: float) -> None:
    """Run the loop on flat views of the arrays; a layout that has none is copied and put back."""
    flat = _flat(*arrays)
    loop(*flat, *numbers)
    for view, a in zip(flat, arrays):
        if not np.may_share_memory(view, a):
            a[...] = view.reshape(a.shape)


def sgd(value: Array, grad: Array, learning_rate: float) -> None:
    _in_place(_sgd, (value, grad), learning_rate)


def momentum(value: Array, grad: Array, v: Array, learning_rate: float, mu: float) -> None:
    _in_place(_momentum, (value, grad, v), learning_rate, mu)


def nesterov(value: Array, grad: Array, v: Array, learning_rate: float, mu: float) -> None:
    _in_place(_nesterov, (value, grad, v), learning_rate, mu)


def rmsprop(
    value: Array, grad: Array, s: Array, learning_rate: float, rho: float, eps: float
) -> None:
    _in_place(_rmsprop, (value, grad, s), learning_rate, rho, eps)


def adam(
    value: Array,
    grad: Array,
    m: Array,
    v: Array,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    t: int,
) -> None:
    _in_place(_adam, (value, grad, m, v), learning_rate, beta1, beta2, eps, 1.0, t)


def adamw(
    value: Array,
    grad: Array,
    m: Array,
    v: Array,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    t: int,
) -> None:
    shrink = 1 - learning_rate * weight_decay
    _in_place(_adam, (value, grad, m, v), learning_rate, beta1, beta2, eps, shrink, t)
