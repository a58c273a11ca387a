"""The two kernel sets agree: every jitted kernel against its reference, on awkward inputs."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import itertools
import math
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyae import (
    MSE,
    Autoencoder,
    Conv2d,
    ConvTranspose2d,
    dense_encoder_decoder,
    fit,
    kernels,
)
from tinyae.kernels import machine_load, reference
from tinyae.kernels.functions import FUNCTIONS
from tinyae.kernels.reference import MLPLayer, MLPLayers, ParamGroup
from tinyae.program.compile import program_of_layer

jitted = pytest.importorskip("tinyae.kernels.jitted", reason="the jitted set needs numba")
convolution = pytest.importorskip("tinyae.kernels.jitted.convolution")
conv_loop = pytest.importorskip("tinyae.kernels.jitted.conv_loop")
elementwise = pytest.importorskip("tinyae.kernels.jitted.elementwise")
layout = pytest.importorskip("tinyae.kernels.jitted.layout")
memory = pytest.importorskip("tinyae.memory")
jitted_group_norm = pytest.importorskip("tinyae.kernels.jitted.group_norm")
jitted_mlp = pytest.importorskip("tinyae.kernels.jitted.mlp")
jitted_batch_norm = pytest.importorskip("tinyae.kernels.jitted.batch_norm")
jitted_matmul = pytest.importorskip("tinyae.kernels.jitted.matmul")
optimizer_steps = pytest.importorskip("tinyae.kernels.jitted.optimizer_steps")
threads = pytest.importorskip("tinyae.kernels.jitted.threads")
jitted_warp = pytest.importorskip("tinyae.kernels.jitted.warp")
run_numba = pytest.importorskip("tinyae.program.run_numba")
SHARING = (  # modules with parallel loops
    *(jitted_matmul, jitted_mlp, jitted_warp, jitted_batch_norm, jitted_group_norm, convolution),
    *(elementwise, layout, optimizer_steps),
)

HOMES = ("tinyae.kernels.reference", "tinyae.kernels.special")
KERNELS = {
    name: f
    for name, f in vars(reference).items()
    if inspect.isfunction(f) and f.__module__ in HOMES and name[0] != "_"
}
STEPS = {"sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"}
RETURNING = {"mlp_backward", "mlp_backprop", "row_sq_norms"} | {
    *("batch_norm_backward", "group_norm_backward")
}  # and in place
IN_PLACE = STEPS | RETURNING | {"affine_grad", "bias_grad"}
# around block sizes, primes, and beyond a panel of the matrix products
SIZES = [1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 29, 31, 37, 71]


class Draw:
    """Random arguments: sizes and numbers chosen by hypothesis, entries by a seeded generator."""

    def __init__(self, data: st.DataObject, dtype: str) -> None:
        self.data, self.dtype = data, dtype
        self.rng = np.random.default_rng(self.integer(0, 2**32 - 1))

    def integer(self, least: int, most: int) -> int:
        return self.data.draw(st.integers(least, most))

    def number(self, least: float, most: float) -> float:
        return self.data.draw(st.floats(least, most))

    def size(self) -> int:
        return self.data.draw(st.sampled_from(SIZES))

    def relu_arguments(self, *shape: int) -> tuple:
        """With ReLU or without, and a ReLU mask or None, for images of that shape."""
        mask = reference.relu(self.array(*shape)) if self.integer(0, 1) else None
        return bool(self.integer(0, 1)), mask

    def bias(self, size: int) -> np.ndarray | None:
        return self.array(size) if self.integer(0, 1) else None

    def batch(self) -> int:
        return self.data.draw(st.sampled_from([0, *SIZES]))

    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.draw(st.lists(st.sampled_from(SIZES[:9]), min_size=1, max_size=3)))

    def array(self, *shape: int) -> np.ndarray:
        return self.rng.normal(size=shape).astype(self.dtype)

    def positive(self, *shape: int) -> np.ndarray:
        return self.rng.uniform(0.01, 0.99, shape).astype(self.dtype)

    def pair(self, least: int, most: int) -> tuple[int, int]:
        return self.integer(least, most), self.integer(least, most)

    def image(self) -> tuple[tuple[int, int], tuple, tuple, tuple, tuple[int, int], tuple]:
        """(N, C), kernel, stride, an asymmetric pad, an image size at least the kernel's, and
        (dilation, groups), most often (1, 1) and 1; the groups divide C."""
        kernel, stride = self.pair(1, 4), self.pair(1, 3)
        pad = (*self.pair(0, 3), *self.pair(0, 3))
        dilation = self.pair(1, 3) if self.integer(0, 2) == 2 else (1, 1)
        groups = self.integer(1, 4) if self.integer(0, 2) == 2 else 1
        size = tuple(
            self.integer(max(1, (k - 1) * d + 1 - before - after), 10)
            for k, d, before, after in zip(kernel, dilation, pad[::2], pad[1::2])
        )
        n = self.data.draw(st.sampled_from([0, 1, 2, 3, 17, 32, 37, 48]))  # some fill a tile
        channels = groups * self.integer(1, 5)
        return (n, channels), kernel, stride, pad, size, (dilation, groups)


def windows(
    size: tuple, kernel: tuple, stride: tuple, pad: tuple, dilation: tuple = (1, 1)
) -> tuple[int, int]:
    """The number of windows: ⌊(H + top + bottom − e)/s⌋ + 1, e = (kh − 1) d + 1, likewise across."""
    height, width = ((k - 1) * d + 1 for k, d in zip(kernel, dilation))
    rows = (size[0] + pad[0] + pad[1] - height) // stride[0] + 1
    return rows, (size[1] + pad[2] + pad[3] - width) // stride[1] + 1


def affine(d: Draw) -> tuple:
    n, i, o = d.batch(), d.size(), d.size()
    return d.array(n, i), d.array(o, i), d.array(o)


def affine_grad(d: Draw) -> tuple:
    n, i, o = d.batch(), d.size(), d.size()
    return d.array(n, o), d.array(n, i), d.array(o, i), d.array(o)


def matmul(d: Draw) -> tuple:
    m, k, n = d.batch(), d.batch(), d.size()
    return d.array(m, k), d.array(k, n)


def matmul_nt(d: Draw) -> tuple:
    m, k, n = d.batch(), d.batch(), d.size()
    return d.array(m, k), d.array(n, k)


def matmul_tn(d: Draw) -> tuple:
    k, m, n = d.batch(), d.size(), d.size()
    return d.array(k, m), d.array(k, n)


def mlp(d: Draw) -> tuple:
    names = ["linear", *FUNCTIONS]
    n, sizes = d.batch(), [d.size() for _ in range(d.integer(2, 5))]
    layers = MLPLayers()
    for i, o in itertools.pairwise(sizes):
        W = d.array(o, i) / d.array(1).dtype.type(np.sqrt(i))
        f, alpha = d.data.draw(st.sampled_from(names)), d.number(0.5, 2)
        layers.append(MLPLayer(W, d.array(o), d.array(o, i), d.array(o), f, alpha))
    return layers, d.array(n, sizes[0])


def mlp_backward(d: Draw) -> tuple:
    layers, x = mlp(d)
    ys = reference.mlp(layers, x)
    return layers, x, ys, d.array(*ys[len(layers) - 1].shape), bool(d.integer(0, 1))


def mlp_backprop(d: Draw) -> tuple:
    layers, x = mlp(d)
    x = x if len(x) else d.array(1, x.shape[1])  # a mean needs a sample
    loss = d.data.draw(st.sampled_from(["mse", "l1", "bce_with_logits"]))
    target = d.array(len(x), len(layers[-1].W))
    return layers, x, target, loss, bool(d.integer(0, 1)), bool(d.integer(0, 1))


def row_sq_norms(d: Draw) -> tuple:
    o, i = d.size(), d.size()
    return d.array(o, i), d.array(o), d.array(o, i)


def conv2d(d: Draw) -> tuple:
    (n, c), kernel, stride, pad, size, (dilation, groups) = d.image()
    W = d.array(groups * d.integer(1, 10 // groups), c // groups, *kernel)
    return d.array(n, c, *size), W, stride, pad, d.bias(len(W)), dilation, groups


def conv2d_relu(d: Draw) -> tuple:
    x, W, stride, pad, b, dilation, groups = conv2d(d)
    shape = windows(x.shape[2:], W.shape[2:], stride, pad, dilation)
    relu = d.relu_arguments(len(x), len(W), *shape)
    return x, W, stride, pad, b, *relu, dilation, groups


def conv2d_input_grad(d: Draw) -> tuple:
    (n, o), kernel, stride, pad, size, (dilation, groups) = d.image()
    dy = d.array(n, o, *windows(size, kernel, stride, pad, dilation))
    W = d.array(o, d.integer(1, 10 // groups), *kernel)
    return dy, W, stride, pad, size, d.bias(groups * W.shape[1]), dilation, groups


def conv2d_input_grad_relu(d: Draw) -> tuple:
    dy, W, stride, pad, size, b, dilation, groups = conv2d_input_grad(d)
    relu = d.relu_arguments(len(dy), groups * W.shape[1], *size)
    return dy, W, stride, pad, size, b, *relu, dilation, groups


def conv2d_weight_grad(d: Draw) -> tuple:
    (n, c), kernel, stride, pad, size, (dilation, groups) = d.image()
    outputs = groups * d.data.draw(st.sampled_from([1, 2, 3, 5, 17, 40]))  # some fill a vector
    dy = d.array(n, outputs, *windows(size, kernel, stride, pad, dilation))
    return d.array(n, c, *size), dy, stride, pad, kernel, dilation, groups


def bias(d: Draw) -> tuple:
    y = d.array(d.batch(), d.integer(1, 5), d.integer(1, 9), d.integer(1, 9))
    return y, d.array(y.shape[1])


def images_and_thetas(d: Draw, channels: int, thetas: int) -> tuple:
    x = d.array(d.batch(), channels, *[d.integer(1, 5) for _ in range(d.integer(1, 2))])
    return x, *(d.array(channels) for _ in range(thetas))


def batch_norm(d: Draw) -> tuple:
    relu = bool(d.integer(0, 1))
    x, *thetas = images_and_thetas(d, d.integer(1, 5), 2)
    x = x if x.size else np.ones((1, *x.shape[1:]), x.dtype)  # a mean needs a number
    return x, *thetas, d.number(0.1, 1), relu


def batch_norm_backward(d: Draw) -> tuple:
    dy, gamma, dgamma, dbeta = images_and_thetas(d, d.integer(1, 5), 3)
    dy = dy if dy.size else np.ones((1, *dy.shape[1:]), dy.dtype)
    sigma = np.sqrt(d.positive(len(gamma)))
    _, mask = d.relu_arguments(*dy.shape)
    return dy, d.array(*dy.shape), sigma, gamma, dgamma, dbeta, mask


def max_pool2d(d: Draw) -> tuple:
    kernel, stride, dilation = d.pair(1, 4), d.pair(1, 4), d.pair(1, 2)
    least = ((k - 1) * s + 1 for k, s in zip(kernel, dilation))
    x = d.array(d.integer(0, 3), d.integer(1, 3), *(d.integer(e, 9) for e in least))
    if d.integer(0, 1):
        x = np.round(x)  # ties
    return x, kernel, stride, dilation


def max_pool2d_backward(d: Draw) -> tuple:
    kernel, stride, dilation = d.pair(1, 4), d.pair(1, 4), d.pair(1, 2)
    size = tuple(d.integer((k - 1) * s + 1, 9) for k, s in zip(kernel, dilation))
    rows, columns = windows(size, kernel, stride, (0, 0, 0, 0), dilation)
    shape = (d.integer(0, 3), d.integer(1, 3), rows, columns)
    index = d.rng.integers(0, kernel[0] * kernel[1], shape)
    return d.array(*shape), index, kernel, stride, size, dilation


def group_norm(d: Draw) -> tuple:
    groups, n = d.integer(1, 3), d.data.draw(st.sampled_from([1, 15, 16, 17, 33]))
    channels = groups * d.integer(1, 3)
    x = d.array(n, channels, *d.shape())
    return x, groups, d.array(channels), d.array(channels), 0.01


def group_norm_backward(d: Draw) -> tuple:
    x, groups, gamma, *_ = group_norm(d)
    _, xhat, sigma = reference.group_norm(x, groups, gamma, gamma, 0.01)
    return d.array(*x.shape), xhat, sigma, gamma, d.array(len(gamma)), d.array(len(gamma))


def warp(d: Draw) -> tuple:
    n, (rows, columns) = d.integer(0, 3), d.pair(1, 9)
    maps = np.eye(2, 3) + 0.3 * d.rng.normal(size=(n, 2, 3))
    maps[:, :, 2] *= d.integer(1, 30)  # some positions are far outside the image
    return d.array(n, d.integer(1, 3), rows, columns), maps.astype(d.dtype)


def one(d: Draw) -> tuple:
    return (3 * d.array(d.batch(), *d.shape()),)


def gradient_and_output(d: Draw) -> tuple:
    shape = (d.batch(), *d.shape())
    return d.array(*shape), d.array(*shape)


def gradient_and_relu(d: Draw) -> tuple:
    dy, x = gradient_and_output(d)
    return dy, np.maximum(x, 0)


def one_and_alpha(d: Draw) -> tuple:
    return *one(d), d.number(0.1, 2)


def gradient_output_and_alpha(d: Draw) -> tuple:
    return *gradient_and_output(d), d.number(0.1, 2)


def output_and_target(d: Draw) -> tuple:
    shape = d.shape()
    return 3 * d.array(*shape), d.positive(*shape)


def bce(d: Draw) -> tuple:
    shape = d.shape()
    y = d.positive(*shape)
    if d.integer(0, 1):
        y.flat[0] = d.integer(0, 1)
    return y, d.positive(*shape), float(np.finfo(d.dtype).eps)


def rows(d: Draw, moments: int) -> ParamGroup:
    """One to three params, each with its value, gradient, and moments; the last is positive."""
    drawn = ParamGroup()
    for _ in range(d.integer(1, 3)):
        shape = d.shape()
        arrays = [d.array(*shape) for _ in range(2 + moments)]
        if moments:
            arrays[-1] = d.positive(*shape)
        drawn.append(tuple(arrays))
    return drawn


def sgd(d: Draw) -> tuple:
    return rows(d, 0), d.number(1e-5, 1)


def momentum(d: Draw) -> tuple:
    return rows(d, 1), d.number(1e-5, 1), d.number(0, 0.99)


def rmsprop(d: Draw) -> tuple:
    return rows(d, 1), d.number(1e-5, 1), d.number(0, 0.99), 1e-8


def adam(d: Draw) -> tuple:
    betas = d.number(0, 0.99), d.number(0, 0.999)
    return rows(d, 2), d.number(1e-5, 1), *betas, 1e-8, d.integer(1, 1000)


def adamw(d: Draw) -> tuple:
    *rest, t = adam(d)
    return *rest, d.number(0, 0.1), t


ARGUMENTS: dict[str, Callable[[Draw], tuple]] = {
    "affine": affine,
    "affine_grad": affine_grad,
    "matmul": matmul,
    "matmul_nt": matmul_nt,
    "matmul_tn": matmul_tn,
    "mlp": mlp,
    "mlp_backward": mlp_backward,
    "mlp_backprop": mlp_backprop,
    "row_sq_norms": row_sq_norms,
    "conv2d": conv2d,
    "conv2d_input_grad": conv2d_input_grad,
    "conv2d_relu": conv2d_relu,
    "conv2d_input_grad_relu": conv2d_input_grad_relu,
    "conv2d_weight_grad": conv2d_weight_grad,
    "bias_grad": bias,
    "batch_norm": batch_norm,
    "batch_norm_backward": batch_norm_backward,
    "max_pool2d": max_pool2d,
    "max_pool2d_backward": max_pool2d_backward,
    "group_norm": group_norm,
    "group_norm_backward": group_norm_backward,
    "warp": warp,
    "relu": one,
    "relu_backward": gradient_and_relu,
    "elu": one_and_alpha,
    "elu_backward": gradient_output_and_alpha,
    "silu": one,
    "silu_backward": gradient_and_output,
    "sigmoid": one,
    "sigmoid_backward": gradient_and_output,
    "tanh": one,
    "tanh_backward": gradient_and_output,
    "erfc": one,
    "mse": output_and_target,
    "l1": output_and_target,
    "bce": bce,
    "bce_with_logits": output_and_target,
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": momentum,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}

LAYOUTS = ["C", "F", "batch innermost", "gaps", "reversed", "read-only"]


def laid_out(a: object, layout: str) -> object:
    """A copy of a in another memory layout; other arguments pass unchanged."""
    if isinstance(a, ParamGroup):
        return ParamGroup(tuple(laid_out(b, layout) for b in row) for row in a)
    if isinstance(a, MLPLayers):
        return MLPLayers(MLPLayer(*(laid_out(b, "C") for b in layer)) for layer in a)
    if isinstance(a, list):
        return [laid_out(b, layout) for b in a]
    if not isinstance(a, np.ndarray):
        return a
    if layout == "F":
        return a.copy(order="F")
    if layout == "batch innermost":
        return np.moveaxis(np.moveaxis(a, 0, -1).copy(order="C"), -1, 0)
    if layout == "gaps":
        wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), 77, a.dtype)
        wide[..., ::2] = a
        return wide[..., ::2]
    if layout == "reversed":
        return a[..., ::-1].copy(order="C")[..., ::-1]
    b = a.copy(order="C")
    b.flags.writeable = layout != "read-only"
    return b


def close(got: object, want: object, tolerance: float) -> None:
    if isinstance(want, (tuple, list)):
        assert isinstance(got, type(want))
        assert len(got) == len(want)
        for g, w in zip(got, want):
            close(g, w, tolerance)
        return
    assert type(got) is type(want)
    if want is None or isinstance(want, str):
        assert got == want
        return
    if isinstance(want, np.ndarray):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        tolerance *= 1 + np.abs(want).max(initial=0)  # the error of a sum scales with its terms
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def test_every_kernel_has_a_twin_of_the_same_signature_and_a_row_here():
    assert set(ARGUMENTS) == set(KERNELS)
    for name, kernel in KERNELS.items():
        twin = getattr(jitted, name)
        assert inspect.signature(twin) == inspect.signature(kernel), name
        assert kernel.__doc__, name
    extra = {
        name
        for name, f in vars(jitted).items()
        if inspect.isfunction(f) and f.__module__ == jitted.__name__ and name[0] != "_"
    }
    assert extra <= set(KERNELS)


def agree(name: str, dtype: str, data: st.DataObject) -> None:
    arguments = ARGUMENTS[name](Draw(data, dtype))
    layouts = LAYOUTS[:-1] if name in IN_PLACE else LAYOUTS
    chosen = [data.draw(st.sampled_from(layouts)) for _ in arguments]

    def run(kernel: Callable) -> tuple:
        mine = tuple(laid_out(a, layout) for a, layout in zip(arguments, chosen))
        result = kernel(*mine)
        if name in IN_PLACE:
            assert result is None or name in RETURNING
            return *mine, result
        for a, before in zip(mine, arguments):
            close(a, before, 0)  # inputs are unchanged
        return result if isinstance(result, tuple) else (result,)

    tolerance = {"float32": 1e-5, "float64": 1e-13}[dtype]
    close(run(getattr(jitted, name)), run(KERNELS[name]), tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(KERNELS))
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_jitted_twin_agrees(name: str, dtype: str, data: st.DataObject):
    agree(name, dtype, data)


SHARED = {
    *("affine", "affine_grad", "matmul", "matmul_nt", "matmul_tn", "adamw", "momentum"),
    *("conv2d", "conv2d_input_grad", "conv2d_weight_grad", "bias_grad"),
    *("conv2d_relu", "conv2d_input_grad_relu"),
    *("relu", "relu_backward", "elu", "elu_backward", "sigmoid", "sigmoid_backward"),
    *("tanh", "tanh_backward", "silu", "silu_backward"),
    *("batch_norm", "batch_norm_backward", "group_norm", "group_norm_backward"),
    *(
        "warp",
        "mlp",
        "mlp_backward",
        "mlp_backprop",
        "row_sq_norms",
        "mse",
        "l1",
        "bce_with_logits",
    ),
}


@pytest.fixture
def always_shared(monkeypatch):
    """Share all work among threads, however small, and however busy the machine."""
    monkeypatch.setattr(threads, "free_cores", lambda: 99)
    for module, name in [
        (jitted_matmul, "MIN_PARALLEL_WORK"),
        (jitted_matmul, "_MIN_PARALLEL_SIZE"),
        (jitted_mlp, "MIN_PARALLEL_WORK"),
        (convolution, "_MIN_PARALLEL_WORK"),
        (convolution, "_MIN_PARALLEL_COPY"),
        (jitted_batch_norm, "_MIN_PARALLEL_SIZE"),
        (jitted_warp, "_MIN_PARALLEL_SIZE"),
        (jitted_group_norm, "_MIN_PARALLEL_SIZE"),
        (elementwise, "_MIN_PARALLEL_SIZE"),
        (elementwise, "_MIN_PARALLEL_LOSS"),
        (layout, "_MIN_PARALLEL_SIZE"),
        (optimizer_steps, "_MIN_PARALLEL_SIZE"),
    ]:
        monkeypatch.setattr(module, name, 0)


@pytest.mark.parametrize("name", sorted(SHARED))
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_the_jitted_twin_agrees_when_threads_share_it(name: str, always_shared, data):
    agree(name, "float32", data)


def test_a_shared_kernel_gives_the_same_bits(always_shared, monkeypatch):
    arrays = TestReproducible().arrays()
    shared = TestReproducible().results(*arrays)
    for module in SHARING:
        monkeypatch.setattr(module, "claim_threads", lambda: 1)
    assert TestReproducible().results(*arrays) == shared


def test_eight_python_threads_at_once_are_right(always_shared):
    """One uses the worker threads, the others work alone; nobody waits and nothing aborts."""
    arrays = TestReproducible().arrays()
    first = TestReproducible().results(*arrays)
    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(lambda _: TestReproducible().results(*arrays), range(64)):
            assert result == first


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 20), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))
def test_the_batch_innermost(n, c, h, w):
    x = np.arange(n * c * h * w, dtype=np.float32).reshape(n, c, h, w)
    for given_x in (x, np.asfortranarray(x), x[::-1]):
        inside = layout.batch_last(given_x)
        assert inside.flags.c_contiguous
        np.testing.assert_array_equal(inside, given_x.transpose(1, 2, 3, 0))


@pytest.mark.parametrize("shape", [(3,), (64, 3, 28, 28), (40_000,), (0, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_result_begins_with_a_line_of_the_cache(shape, dtype):
    for like in (np.ones(shape, dtype), np.ones(shape[::-1], dtype).T):
        made = memory.empty_like(like)
        assert (made.shape, made.dtype, made.strides) == (like.shape, like.dtype, like.strides)
        made[...] = 1  # the result is writable
        if made.nbytes >= memory._LARGE and like.flags.c_contiguous:
            assert made.ctypes.data % 64 == 0
    inside = np.ones((3, 28, 28, 64), dtype).transpose(3, 0, 1, 2)
    made = memory.empty_like(inside)
    assert made.strides == inside.strides
    assert made.ctypes.data % 64 == 0


def test_dead_moments_do_not_linger_below_the_normal_numbers():
    value, grad, m, v = (np.full(3, a, np.float32) for a in (1, 0, 1e-36, 1e-36))
    rows = ParamGroup([(value, grad, m, v)])
    for t in range(1, 100):
        jitted.adam(rows, 0.1, 0.9, 0.9, 1e-8, t)
    assert not m.any()
    assert not v.any()


def test_the_workers_are_lent_to_one_python_thread_at_a_time(monkeypatch):
    monkeypatch.setattr(threads, "free_cores", lambda: 99)
    if threads.claim_threads() < 2:
        pytest.skip("one processor, or no threading layer that bears several Python threads")
    try:
        assert threads.claim_threads() == 1
    finally:
        threads.release_threads()
    assert threads.claim_threads() > 1
    threads.release_threads()
    monkeypatch.setattr(threads, "_forked", True)  # a forked child has no worker threads
    assert threads.claim_threads() == 1


def test_a_child_of_a_process_that_compiles_can_compile():
    """A thread that compiles holds Numba's lock; in a child, nobody would release it."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    from numba.core.compiler_lock import global_compiler_lock

    compiling = threading.Event()

    def compiles():
        with global_compiler_lock:
            compiling.set()
            time.sleep(0.2)

    thread = threading.Thread(target=compiles)
    thread.start()
    compiling.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with several threads
        child = os.fork()
    if not child:
        os._exit(0 if global_compiler_lock._lock.acquire(timeout=5) else 1)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_a_child_process_works_alone(always_shared):
    """OpenMP's workers do not survive a fork; a child that used them would hang or crash."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    arrays = TestReproducible().arrays()
    first = TestReproducible().results(*arrays)
    with warnings.catch_warnings():
        # forking with running threads is intended
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(TestReproducible().results(*arrays) != first)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("name", sorted(STEPS))
@pytest.mark.parametrize("kernel_set", [reference, jitted])
def test_a_step_clears_the_gradient_and_moves_the_value(name: str, kernel_set):
    # including Fortran order, for which the flat form is a copy
    for layout in LAYOUTS[:-1]:
        numbers = {"sgd": [0.1], "momentum": [0.1, 0.9], "nesterov": [0.1, 0.9]}
        numbers |= {"rmsprop": [0.1, 0.9, 1e-8], "adam": [0.1, 0.9, 0.999, 1e-8, 1]}
        numbers |= {"adamw": [0.1, 0.9, 0.999, 1e-8, 0.01, 1]}
        slots = {"sgd": 0, "adam": 2, "adamw": 2}.get(name, 1)
        value, grad = (laid_out(np.ones((3, 5)), layout) for _ in range(2))
        moments = [laid_out(np.zeros((3, 5)), layout) for _ in range(slots)]
        getattr(kernel_set, name)(ParamGroup([(value, grad, *moments)]), *numbers[name])
        assert not grad.any()
        assert (value < 0.95).all()


@pytest.mark.parametrize("kernel_set", [reference, jitted])
def test_a_step_of_no_params(kernel_set):
    none = ParamGroup()
    kernel_set.adam(none, 0.1, 0.9, 0.999, 1e-8, 1)
    assert none == []


@pytest.mark.parametrize("kernel_set", [reference, jitted])
def test_a_second_step_finds_the_same_arrays(kernel_set):
    value, grad = np.ones(5), np.ones(5)
    memory = ParamGroup([(value, grad)])
    kernel_set.sgd(memory, 0.5)
    grad += 2
    kernel_set.sgd(memory, 0.5)
    np.testing.assert_array_equal(value, np.full(5, -0.5))
    np.testing.assert_array_equal(grad, np.zeros(5))


@pytest.mark.parametrize("kernel_set", [reference, jitted])
def test_a_memory_map_is_an_array(kernel_set, tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(4, 3) - 5
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(kernel_set.relu(mapped), np.maximum(x, 0))
    np.testing.assert_array_equal(kernel_set.matmul_tn(mapped, mapped), x.T @ x)
    assert kernel_set.mse(x, mapped)[0] == 0


@settings(max_examples=10, deadline=None, derandomize=True)
@given(data=st.data(), wide=st.booleans())
def test_convolutions_of_long_runs_agree(data, wide):
    """Long rows, which the jitted set processes in pieces."""
    d = Draw(data, "float32")
    kernel, stride, pad = d.pair(1, 3), d.pair(1, 2), (*d.pair(0, 2), *d.pair(0, 2))
    # one sample less than a tile of this processor
    few = conv_loop.VECTORS * conv_loop.lanes(4) - 1
    across = 2200 // few  # wide enough that a stride of 2 still gives long rows
    n, columns = (d.integer(210, 300), 12) if wide else (few, d.integer(across, across + 10))
    x = d.array(n, d.integer(1, 3), 4, columns)
    W = d.array(d.integer(1, 5), x.shape[1], *kernel)
    y = reference.conv2d(x, W, stride, pad)
    assert (len(x) > few) == wide
    assert x.shape[0] * y.shape[3] > conv_loop._MAX_RUN
    dy = d.array(*y.shape)
    close(jitted.conv2d(x, W, stride, pad), y, 1e-5)
    for f, arguments in (
        ("conv2d_input_grad", (dy, W, stride, pad, x.shape[2:])),
        ("conv2d_weight_grad", (x, dy, stride, pad, kernel)),
    ):
        close(getattr(jitted, f)(*arguments), getattr(reference, f)(*arguments), 1e-5)


@pytest.mark.parametrize("outputs", [1, 3, 8, 11])
@pytest.mark.parametrize("size", [(14, 2), (2, 11), (3, 3), (7, 6)])
def test_narrow_images_agree(always_shared, size, outputs):
    """With few outputs, a tile covers pixels of a row or column; the last tiles overlap."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(33, 2, *size)).astype(np.float32)
    W = rng.normal(size=(outputs, 2, 3, 3)).astype(np.float32)
    b = rng.normal(size=outputs).astype(np.float32)
    for stride in ((1, 1), (2, 1)):
        y = reference.conv2d(x, W, stride, (1, 1, 1, 1), b)
        close(jitted.conv2d(x, W, stride, (1, 1, 1, 1), b), y, 1e-5)
        back = (y, W, stride, (1, 1, 1, 1), size)
        close(jitted.conv2d_input_grad(*back), reference.conv2d_input_grad(*back), 1e-5)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data(), dtype=st.sampled_from(["float32", "float64"]), transposed=st.booleans())
def test_a_convolution_sums_in_one_order_whatever_the_batch(data, dtype, transposed):
    """Pixel by pixel or in frames, alone or in a compiled program: the same bits."""
    d = Draw(data, dtype)
    kernel, stride, pad = d.pair(1, 4), d.pair(1, 3), d.pair(0, 1)
    channels, outputs = d.integer(1, 3), d.integer(1, 19)
    n = conv_loop.VECTORS * conv_loop.lanes(4)  # fills a tile
    kind = ConvTranspose2d if transposed else Conv2d
    layer = kind(channels, outputs, kernel, stride, pad, rng=np.random.default_rng(0), dtype=dtype)
    layer.b.value[...] = d.array(outputs)
    x = d.array(n, channels, d.integer(4, 9), d.integer(4, 40))
    y = layer(x)
    few = np.concatenate([layer(x[:1]), layer(x[1:4]), layer(x[4:])])
    np.testing.assert_array_equal(few, y)
    program = run_numba.NumbaRuntime(program_of_layer(layer, x.shape[1:]))
    np.testing.assert_array_equal(program.run(x), y)


def test_images_beyond_what_a_tap_can_reach_are_left_to_the_definition():
    """A tap keeps its offset in 32 bits."""
    more = (1, 1), (0, 0, 0, 0), (1, 1), 1
    assert convolution._geometry((16, 1, 1 << 13, 1 << 13), (1, 1, 1, 1), *more)
    assert not convolution._geometry((32, 1, 1 << 13, 1 << 13), (1, 1, 1, 1), *more)
    assert not convolution._geometry((16, 1, 1 << 13, 1 << 13), (2, 1, 1, 1), *more)


@pytest.mark.parametrize("n", [1, 3, 33])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("kernel_set", [reference, jitted])
@pytest.mark.parametrize("outputs", [5, 20])
def test_an_infinite_pixel_reaches_the_taps_that_read_it(kernel_set, n, stride, outputs):
    """And no other: rows that are joined in memory stay apart in the sums."""
    rng, pad = np.random.default_rng(0), (0, 0, 0, 0)
    x, W = rng.normal(size=(n, 2, 7, 9)), rng.normal(size=(outputs, 2, 3, 3))
    x[0, 1, 2, 0] = np.inf  # in the first column: only taps there read it
    y = kernel_set.conv2d(x, W, stride, pad)
    reached = np.zeros(y.shape, bool)
    reached[0, :, [i for i in range(y.shape[2]) if 0 <= 2 - i * stride[0] < 3], 0] = True
    np.testing.assert_array_equal(~np.isfinite(y), reached)
    dy = rng.normal(size=y.shape)
    dW = kernel_set.conv2d_weight_grad(x, dy, stride, pad, (3, 3))
    reached = np.zeros(W.shape, bool)
    reached[:, 1, [u for u in range(3) if (2 - u) % stride[0] == 0], 0] = True
    np.testing.assert_array_equal(~np.isfinite(dW), reached)


def test_the_bias_gradient_of_a_batch_that_lies_innermost(always_shared):
    dy = np.random.default_rng(0).normal(size=(5, 3, 4, 32)).transpose(3, 0, 1, 2)
    db, wanted = np.ones(5), np.ones(5)
    jitted.bias_grad(dy, db)
    reference.bias_grad(dy, wanted)
    np.testing.assert_allclose(db, wanted, rtol=1e-12)


class TestNotANumber:
    """A diverged training run must remain visible: no kernel swallows NaN."""

    @pytest.fixture(params=[reference, jitted], ids=["numpy", "numba"])
    def k(self, request):
        return request.param

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_activations(self, k, dtype):
        x = np.array([np.nan, -np.inf, -1, 0, 1, np.inf] * 5, dtype)
        for f in (k.relu, k.sigmoid, k.tanh, k.erfc):
            np.testing.assert_array_equal(np.isnan(f(x)), np.isnan(x))
        np.testing.assert_array_equal(k.relu(x[1:6]), [0, 0, 0, 1, np.inf])
        np.testing.assert_array_equal(
            k.elu(x, 2.0)[:6], [np.nan, -2, k.elu(x, 2.0)[2], 0, 1, np.inf]
        )
        np.testing.assert_allclose(k.elu(x, 2.0)[2], 2 * np.expm1(-1.0), rtol=1e-6)
        tiny = np.array([-1e-30, -1e-7, -1e-3], dtype)  # where eˣ − 1 would round to 0
        np.testing.assert_allclose(k.elu(tiny, 1.0), np.expm1(tiny), rtol=4 * np.finfo(dtype).eps)
        np.testing.assert_array_equal(k.sigmoid(x[[1, 3, 5]]), [0, 0.5, 1])
        for f in (k.relu_backward, k.sigmoid_backward, k.tanh_backward):
            assert np.isnan(f(x, np.full_like(x, 0.5))[::6]).all()

    def test_max_pool(self, k):
        for place in np.ndindex(3, 3):
            x = np.arange(9, dtype=np.float64).reshape(1, 1, 3, 3)
            x[0, 0][place] = np.nan
            y, index = k.max_pool2d(x, (3, 3), (1, 1))
            assert np.isnan(y).all()
            assert index.item() == 3 * place[0] + place[1]
        assert k.max_pool2d(np.full((1, 1, 2, 2), -np.inf), (2, 2), (1, 1))[0] == -np.inf

    def test_products(self, k):
        for where in range(7):
            a, b = np.ones((7, 5)), np.zeros((5, 6))
            a[where, where % 5] = np.nan
            want = np.zeros((7, 6), bool)
            want[where] = True  # even 0 · NaN is NaN
            np.testing.assert_array_equal(np.isnan(k.matmul(a, b)), want)
            np.testing.assert_array_equal(np.isnan(k.matmul_nt(a, b.T)), want)
            np.testing.assert_array_equal(np.isnan(k.matmul_tn(a.T, b)), want)
            np.testing.assert_array_equal(np.isnan(k.affine(a, b.T, np.zeros(6))), want)

    def test_convolution(self, k):
        x, W = np.zeros((1, 1, 5, 5)), np.zeros((1, 1, 3, 3))
        x[0, 0, 0, 0] = np.nan
        y = k.conv2d(x, W, (1, 1), (1, 1, 1, 1))
        want = np.zeros((5, 5), bool)
        want[:2, :2] = True
        np.testing.assert_array_equal(np.isnan(y[0, 0]), want)
        dx = k.conv2d_input_grad(x, W, (1, 1), (1, 1, 1, 1), (5, 5))
        np.testing.assert_array_equal(np.isnan(dx[0, 0]), want)
        assert np.isnan(k.conv2d_weight_grad(x, y, (1, 1), (1, 1, 1, 1), (3, 3))).any()

    def test_losses(self, k):
        for loss in (k.mse, k.l1, k.bce_with_logits, lambda y, t: k.bce(y, t, 1e-7)):
            y, target = np.full(9, 0.3), np.full(9, 0.6)
            y[4] = np.nan
            L, dy = loss(y, target)
            assert np.isnan(L)
            np.testing.assert_array_equal(np.isnan(dy), np.arange(9) == 4)

    def test_steps(self, k):
        value, grad, m, v = np.ones(5), np.ones(5), np.zeros(5), np.zeros(5)
        grad[2] = np.nan
        k.adam(ParamGroup([(value, grad, m, v)]), 0.1, 0.9, 0.999, 1e-8, 1)
        np.testing.assert_array_equal(np.isnan(value), np.arange(5) == 2)


# --- multilayer perceptrons ----------------------------------------------------------------------


def layers_of(sizes, functions) -> MLPLayers:
    rng = np.random.default_rng(7)
    layers = MLPLayers()
    for (i, o), f in zip(itertools.pairwise(sizes), itertools.cycle(functions)):
        W, b = ((rng.normal(size=s) / np.sqrt(i)).astype(np.float32) for s in ((o, i), (o,)))
        layers.append(MLPLayer(W, b, np.zeros_like(W), np.zeros_like(b), f))
    return layers


WIDTHS = st.lists(st.sampled_from([1, 3, 8, 9, 16, 32, 40, 64, 71, 300]), min_size=2, max_size=5)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    WIDTHS, st.sampled_from([1, 8, 17, 33, 64, 300]), st.integers(1, 5), st.booleans(), st.data()
)
def test_no_thread_reads_what_another_one_writes_in_the_same_phase(sizes, n, threads, dx, data):
    names = data.draw(st.lists(st.sampled_from(["linear", "ReLU", "GELU"]), min_size=1, max_size=4))
    layers = layers_of(sizes, names)
    for plan in (
        jitted_mlp._forward(layers, n, threads),
        jitted_mlp._backward(layers, n, threads, dx),
        jitted_mlp._backprop(layers, n, threads, "mse", False, dx),
    ):
        phase = np.cumsum([0, *plan.table[:-1, 0, jitted_mlp._ENDS_PHASE]])
        for number in range(phase[-1] + 1):
            touched = [Touched() for _ in range(threads)]
            for row in plan.table[phase == number]:
                for t in range(threads):
                    touched[t].add(row[t])
            for one, other in itertools.permutations(touched, 2):
                assert one.clashes(other) == []


def test_all_of_each_result_is_computed_once():
    for n, threads in itertools.product((8, 17, 64, 300), (1, 2, 3)):
        layers = layers_of([71, 64, 8, 40], ["ReLU", "linear", "GELU"])
        for plan in (
            jitted_mlp._forward(layers, n, threads),
            jitted_mlp._backward(layers, n, threads, True),
            jitted_mlp._backprop(layers, n, threads, "mse", True, True),
        ):
            for row in plan.table:
                op = jitted_mlp._Operation(*row[0, : jitted_mlp._PART])
                whole = np.zeros((op.c_rows, op.c_columns), int)
                for first, last, left, right in row[:, jitted_mlp._PART :]:
                    whole[first:last, left:right] += 1
                assert (whole == 1).all()


class Touched:
    """The entries that a thread reads and writes in a phase: a mask for each array's index."""

    def __init__(self) -> None:
        self.read: dict[int, np.ndarray] = {}
        self.written: dict[int, np.ndarray] = {}

    def add(self, row) -> None:
        op = jitted_mlp._Operation(*row[: jitted_mlp._PART])
        first, last, left, right = row[jitted_mlp._PART :]
        if first >= last or left >= right:
            return
        rows, columns, all_ = slice(first, last), slice(left, right), slice(None)
        self.mark(self.written, op.c, (op.c_rows, op.c_columns), (rows, columns))
        a = (all_, rows) if op.a_transposed else (rows, all_ if op.b >= 0 else columns)
        self.mark(self.read, op.a, (op.a_rows, op.a_columns), a)
        if op.b >= 0:
            b = (columns, all_) if op.b_transposed else (all_, columns)
            self.mark(self.read, op.b, (op.b_rows, op.b_columns), b)
        if op.f >= 0 and op.cache >= 0:
            by = self.read if op.slope else self.written
            self.mark(by, op.cache, (op.c_rows, op.c_columns), (rows, columns))
        if op.loss >= 0:
            self.mark(self.read, op.y, (op.c_rows, op.c_columns), (rows, columns))
            strips = -(-op.c_rows // jitted_mlp.ROWS)
            mine = slice(first // jitted_mlp.ROWS, -(-last // jitted_mlp.ROWS))
            self.mark(self.written, op.sums, (1, strips), (all_, mine))
        if op.bias >= 0 and left == 0:
            self.mark(self.written, op.bias, (1, op.c_rows), (all_, rows))

    @staticmethod
    def mark(masks, place, shape, where) -> None:
        mask = masks.setdefault(place, np.zeros(shape, bool))
        mask[where] = True

    def clashes(self, other: Touched) -> list[int]:
        """The arrays in which this thread writes what the other reads or writes."""
        return [
            place
            for place, mask in self.written.items()
            for others in (other.written, other.read)
            if place in others and (mask & others[place]).any()
        ]


@pytest.mark.parametrize("sizes", [(71, 8), (300, 5, 300), (64, 16, 8, 64), (33, 40, 1)])
def test_gradients_of_matrices_cut_by_columns_or_rows(sizes, always_shared):
    n = 40
    x = np.random.default_rng(0).normal(size=(n, sizes[0])).astype(np.float32)
    found = []
    for kernel_set in (reference, jitted):
        layers = layers_of(sizes, ["Tanh", "Sigmoid"])
        ys = kernel_set.mlp(layers, x)
        dx = kernel_set.mlp_backward(layers, x, ys, ys[-1], True)
        more = kernel_set.mlp_backprop(layers, x, np.zeros_like(ys[-1]), "mse", False, True)
        found.append([*ys, dx, *more, *(a for layer in layers for a in (layer.dW, layer.db))])
    for got, want in zip(*found):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("f", ["linear", *FUNCTIONS])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_seen_behind_an_mlp(f, bad):
    layers = layers_of([9, 20, 12], [f])
    x = np.random.default_rng(0).normal(size=(24, 9)).astype(np.float32)
    want = reference.mlp(layers, x)
    x[3, 2] = bad
    ys = jitted.mlp(layers, x)
    for y, before in zip(ys, want):
        rest = np.delete(np.arange(24), 3)
        np.testing.assert_allclose(y[rest], before[rest], rtol=1e-5, atol=1e-6)
    with np.errstate(invalid="ignore", over="ignore"):
        want_bad = reference.mlp(layers, x)
    for y, before in zip(ys, want_bad):
        np.testing.assert_array_equal(np.isnan(y), np.isnan(before))
        np.testing.assert_array_equal(np.isinf(y), np.isinf(before))
    assert np.isnan(ys[0][3]).all() == np.isnan(bad)
    dy = np.ones_like(ys[-1])
    dy[5, 1] = bad
    jitted.mlp_backward(layers, x, want, dy, False)
    assert not np.isfinite(layers[0].dW).all()
    assert not np.isfinite(layers[1].dW[1]).any()
    assert np.isfinite(layers[1].dW[2]).all()
    assert not np.isfinite(jitted.mlp_backprop(layers, x, dy, "mse", False, False)[0])


@pytest.mark.parametrize(("dtype", "edge"), [(np.float32, 87), (np.float64, 708)])
def test_exponentials_hold_their_digits_up_to_the_ends_of_the_range(dtype, edge):
    x = np.linspace(-edge, edge, 4001).astype(dtype)
    wide, rtol = x.astype(np.longdouble), 4 * np.finfo(dtype).eps
    t = np.exp(-np.abs(wide))
    np.testing.assert_allclose(jitted.sigmoid(x), np.where(x < 0, t, 1) / (1 + t), rtol=rtol)
    np.testing.assert_allclose(jitted.tanh(x), np.tanh(wide), rtol=rtol)
    np.testing.assert_allclose(
        jitted.elu(x, 1.0), np.where(x > 0, x, np.expm1(-np.abs(wide))), rtol=rtol
    )
    ends = np.linspace(edge, edge + 3, 4001).astype(dtype)  # where e^x becomes infinite
    for f in (jitted.sigmoid, jitted.tanh):
        np.testing.assert_allclose(f(ends), 1, rtol=rtol)
    np.testing.assert_allclose(jitted.sigmoid(-ends), 0, atol=np.finfo(dtype).tiny * 8)
    beyond = np.array([-2 * edge, 2 * edge, -np.inf, np.inf, np.nan] * 8, dtype)
    np.testing.assert_array_equal(jitted.sigmoid(beyond)[:5], [0, 1, 0, 1, np.nan])
    np.testing.assert_array_equal(jitted.tanh(beyond)[:5], [-1, 1, -1, 1, np.nan])
    np.testing.assert_array_equal(jitted.elu(beyond, 1.0)[:5], [-1, 2 * edge, -1, np.inf, np.nan])


@pytest.mark.parametrize("n", [5, 40])
@pytest.mark.parametrize("outputs", [1, 3, 16])
def test_what_is_not_finite_passes_through_a_convolution_with_relu(n, outputs):
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(n, 2, 9, 9)), rng.normal(size=(outputs, 2, 3, 3))
    mask = reference.relu(rng.normal(size=(n, outputs, 7, 7)))
    x[1, 0, 4, 4], x[2, 1, 3, 3] = np.nan, np.inf
    for relu, through in ((True, None), (False, mask)):
        given = W, (1, 1), (0, 0, 0, 0), None, relu
        rest = None if through is None else through[3:]
        got = jitted.conv2d_relu(x, *given, through)
        np.testing.assert_allclose(got[3:], reference.conv2d_relu(x[3:], *given, rest), atol=1e-12)
        assert np.isnan(got[1, :, 2:5, 2:5]).all()
        assert not np.isfinite(got[2, :, 1:4, 1:4]).all()


@pytest.mark.parametrize("name", ["mse", "l1", "bce_with_logits"])
def test_losses_of_several_blocks(name, always_shared, monkeypatch):
    rng = np.random.default_rng(0)
    for size in (elementwise._BLOCK, elementwise._BLOCK + 1, 3 * elementwise._BLOCK - 1):
        y, target = rng.normal(size=size), rng.random(size)
        L, dy = getattr(reference, name)(y, target)
        shared = getattr(jitted, name)(y, target)
        with monkeypatch.context() as alone:
            alone.setattr(elementwise, "claim_threads", lambda: 1)
            single = getattr(jitted, name)(y, target)
        assert shared[0] == single[0] == pytest.approx(L, rel=1e-12)
        for got in (shared[1], single[1]):
            np.testing.assert_allclose(got, dy, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("kernel_set", [reference, jitted])
def test_the_first_of_equal_entries_is_the_largest(kernel_set):
    y, index = kernel_set.max_pool2d(np.zeros((1, 1, 4, 4)), (2, 2), (2, 2))
    assert not y.any()
    assert not index.any()


@pytest.mark.parametrize("kernel_set", [reference, jitted])
def test_erfc(kernel_set):
    # Abramowitz & Stegun (1964), table 7.1
    x = np.array([0, 0.5, 1, 2, -1, 30])
    want = [0, 0.5204998778, 0.8427007929, 0.9953222650, -0.8427007929, 1]
    np.testing.assert_allclose(1 - kernel_set.erfc(x), want, atol=5e-11)


@pytest.mark.parametrize("kernel_set", [reference, jitted])
def test_losses_at_the_extremes(kernel_set):
    y, t = np.array([1e4, -1e4, 1e4, -1e4]), np.array([1.0, 0.0, 0.0, 1.0])
    L, dy = kernel_set.bce_with_logits(y, t)
    assert L == 5000
    np.testing.assert_array_equal(dy, [0, 0, 0.25, -0.25])
    for dtype in (np.float32, np.float64):
        eps = float(np.finfo(dtype).eps)
        y, t = np.array([0, 1, 0, 1], dtype), np.array([0, 1, 1, 0], dtype)
        L, dy = kernel_set.bce(y, t, eps)
        np.testing.assert_allclose(L, -np.log(eps) / 2, rtol=1e-6)
        assert np.isfinite(dy).all()


class TestReproducible:
    def arrays(self):
        rng = np.random.default_rng(5)
        many = rng.normal(size=(20, 3, 3, 3)).astype(np.float32)
        x, W = rng.normal(size=(33, 71)), rng.normal(size=(67, 71))
        images, K = rng.normal(size=(38, 3, 14, 13)), rng.normal(size=(5, 3, 3, 3))
        cast = (a.astype(np.float32) for a in (x, W, images, K))
        return *cast, many

    def results(self, x, W, images, K, many) -> list[bytes]:
        y = jitted.affine(x, W, W[:, 0])
        found = []
        for part in (images[:6], images[6:]):  # fewer samples than a tile, and at least as many
            z = jitted.conv2d(part, K, (2, 1), (1, 0, 1, 1))
            dW = jitted.conv2d_weight_grad(part, z, (2, 1), (1, 0, 1, 1), (3, 3))
            dx = jitted.conv2d_input_grad(z, K, (2, 1), (1, 0, 1, 1), (14, 13))
            found += [z, dW, dx]
            z = jitted.conv2d(part, many, (2, 1), (1, 0, 1, 1))
            found += [jitted.conv2d_weight_grad(part, z, (2, 1), (1, 0, 1, 1), (3, 3))]
            theta, grads = many[:, 0, 0, 0] + 2, np.zeros((2, 20), np.float32)
            normal, xhat, mean, variance = jitted.batch_norm(z, theta, theta, 1e-5)
            found += [normal, xhat, mean, variance]
            found += [jitted.batch_norm_backward(z, xhat, theta, theta, *grads, normal)]
            normal, xhat, sigma = jitted.group_norm(z, 4, theta, theta, 1e-5)
            found += [
                normal,
                sigma,
                jitted.group_norm_backward(z, xhat, sigma, theta, *grads),
                grads,
            ]
        small = jitted.matmul_tn(y[:3, :9], y[:3, 9:17])
        layers = layers_of([71, 67, 300, 9, 40], ["ReLU", "Sigmoid", "linear", "Tanh"])
        ys = jitted.mlp(layers, x)
        found += [*ys, jitted.mlp_backward(layers, x, ys, ys[-1], True)]
        L, dx = jitted.mlp_backprop(layers, x, ys[-1][::-1], "l1", True, True)
        found += [np.float64(L), dx]
        found += [a for layer in layers for a in (layer.dW, layer.db)]
        L, dL = jitted.mse(y, jitted.relu(y))
        arrays = (y, *found, small, np.float64(L), dL)
        return [a.tobytes() for a in arrays]

    def test_the_same_bits_each_time(self):
        arrays = self.arrays()
        first = self.results(*arrays)
        assert self.results(*arrays) == first
        assert self.results(*self.arrays()) == first  # at other addresses

    def test_the_same_bits_in_many_threads(self):
        arrays = self.arrays()
        first = self.results(*arrays)
        with ThreadPoolExecutor(4) as pool:
            for result in pool.map(lambda _: self.results(*arrays), range(16)):
                assert result == first


def runs(module, name):
    """Whether ``kernels.name`` runs that set's kernel."""
    dispatch = getattr(kernels, name)
    arguments = inspect.signature(dispatch).parameters
    with mock.patch.object(module, name) as kernel:
        dispatch(*arguments)
    return kernel.call_args == mock.call(*arguments)


class TestChoice:
    @pytest.fixture
    def fresh(self, monkeypatch):
        """The state before the first use of any kernel."""
        kernels._default.cache_clear()
        monkeypatch.delenv("TINYAE_KERNELS", raising=False)
        yield monkeypatch
        kernels._default.cache_clear()

    @staticmethod
    def without_numba(monkeypatch):
        monkeypatch.setitem(sys.modules, "numba", None)  # importing it fails
        for name in [n for n in sys.modules if n.startswith("tinyae.kernels.jitted")]:
            monkeypatch.delitem(sys.modules, name)

    def test_numba_by_default(self, fresh):
        assert kernels.active() == "numba"
        assert runs(jitted, "affine")

    def test_numpy_where_numba_is_missing(self, fresh):
        self.without_numba(fresh)
        assert kernels.active() == "numpy"
        assert runs(reference, "affine")

    @pytest.mark.parametrize(("name", "module"), [("numpy", reference), ("numba", jitted)])
    def test_the_environment_chooses(self, fresh, name, module):
        fresh.setenv("TINYAE_KERNELS", name)
        assert runs(module, "relu")
        assert kernels.active() == name

    def test_an_empty_variable_is_none(self, fresh):
        fresh.setenv("TINYAE_KERNELS", "")
        assert kernels.active() == "numba"

    def test_an_unknown_name_in_the_environment(self, fresh):
        fresh.setenv("TINYAE_KERNELS", "cuda")
        with pytest.raises(ValueError, match="'cuda', expected 'numba' or 'numpy'"):
            kernels.active()

    def test_use_nests_and_restores(self):
        before = kernels.active()
        with kernels.use("numpy"):
            assert runs(reference, "conv2d")
            with kernels.use("numba"):
                assert runs(jitted, "conv2d")
            assert kernels.active() == "numpy"
        assert kernels.active() == before

    def test_one_use_for_many_blocks(self):
        with kernels.use("numba"):
            chosen = kernels.use("numpy")
            with chosen:
                assert kernels.active() == "numpy"
            for before in ("numba", "numpy"):
                with kernels.use(before):
                    with chosen, kernels.use("numba"), chosen:
                        assert kernels.active() == "numpy"
                    assert kernels.active() == before
            assert kernels.active() == "numba"

    def test_use_restores_after_an_error(self):
        before = kernels.active()
        with pytest.raises(ZeroDivisionError), kernels.use("numpy"):
            1 / 0  # noqa: B018
        assert kernels.active() == before

    def test_use_without_a_block_holds_from_there_on(self):
        context = contextvars.copy_context()
        context.run(kernels.use, "numpy")
        assert context.run(kernels.active) == "numpy"
        context.run(kernels.use, "numba")
        assert context.run(kernels.active) == "numba"

    def test_each_thread_has_its_own_choice(self):
        """Eight threads change to and fro while others compute; nobody sees another's choice."""

        def changes(seed):
            rng, seen = np.random.default_rng(seed), []
            for _ in range(200):
                name = ["numpy", "numba"][rng.integers(2)]
                with kernels.use(name):
                    time.sleep(0)
                    seen.append(kernels.active() == name)
                seen.append(kernels.active() == before)
            return all(seen)

        before = kernels.active()
        with kernels.use("numpy"), ThreadPoolExecutor(8) as pool:
            assert all(pool.map(changes, range(8)))
            assert kernels.active() == "numpy"
        assert kernels.active() == before

    def test_equal_seeds_agree_while_another_thread_changes_the_set(self):
        def train(_):
            rng = np.random.default_rng(0)
            model = Autoencoder(*dense_encoder_decoder([8], [4], rng=rng), MSE())
            fit(model, x, epochs=3, batch_size=16, rng=0, progress=False)
            return model.reconstruct(x).tobytes()

        def change():
            while not done.is_set():
                with kernels.use("numpy"):
                    time.sleep(0)

        x = np.random.default_rng(1).random((64, 8)).astype(np.float32)
        done, other = threading.Event(), threading.Thread(target=change)
        other.start()
        try:
            assert len(set(map(train, range(20)))) == 1
        finally:
            done.set()
            other.join()

    def test_a_coroutine_keeps_its_choice(self):
        async def choose(name):
            with kernels.use(name):
                for _ in range(10):
                    await asyncio.sleep(0)
                    assert kernels.active() == name

        async def both():
            await asyncio.gather(*(choose(name) for name in ("numpy", "numba") * 3))

        asyncio.run(both())

    def test_use_of_an_unknown_set(self):
        before = kernels.active()
        with (
            pytest.raises(ValueError, match="'torch', expected 'numba' or 'numpy'"),
            kernels.use("torch"),
        ):
            pass
        assert kernels.active() == before

    def test_a_numba_that_cannot_be_used_is_mentioned(self, fresh):
        def load(name, load=kernels._load):
            if name == "numba":
                raise ImportError("Numba needs NumPy 2.1 or less")
            return load(name)

        fresh.setattr(kernels, "_load", load)
        with pytest.warns(RuntimeWarning, match="Numba needs NumPy 2.1 or less.*more slowly"):
            assert kernels.active() == "numpy"

    def test_use_of_numba_where_it_is_missing(self, monkeypatch):
        before = kernels.active()
        self.without_numba(monkeypatch)
        with (
            pytest.raises(ModuleNotFoundError, match="pip install numba"),
            kernels.use("numba"),
        ):
            pass
        assert kernels.active() == before

    def test_an_unknown_kernel(self):
        with pytest.raises(AttributeError, match="matmul_nn"):
            kernels.matmul_nn  # noqa: B018


def test_erf_is_still_found(kernel_set):
    x = np.linspace(-3, 3, 7)
    assert np.allclose(kernels.erf(x), [math.erf(v) for v in x], rtol=0, atol=1e-7)
    assert kernels.erf(x.astype(np.float32)).dtype == np.float32


def test_a_busy_core_takes_no_part(monkeypatch):
    monkeypatch.setattr(threads.numba.config, "NUMBA_NUM_THREADS", 4)
    monkeypatch.setattr(threads, "_threading_layer_is_safe", lambda: True)
    allowed = [4]
    monkeypatch.setattr(threads.numba, "get_num_threads", lambda: allowed[-1])
    monkeypatch.setattr(threads.numba, "set_num_threads", allowed.append)
    for free, within in ((9, [4]), (4, [4]), (3, [4, 3]), (2, [4, 2])):
        monkeypatch.setattr(threads, "free_cores", lambda free=free: free)
        assert threads.claim_threads() == 4  # the work is divided as ever
        assert allowed == within
        threads.release_threads()
        assert allowed[-1] == 4
        del allowed[1:]
    monkeypatch.setattr(threads, "free_cores", lambda: 1)
    assert threads.claim_threads() == 1
    assert allowed == [4]


class TestMachineLoad:
    @pytest.fixture
    def proc(self, tmp_path):
        """Five threads want a core; two of our three do."""
        (tmp_path / "loadavg").write_text("1.25 0.80 0.44 5/312 4711\n")
        for number, state in enumerate("RSR"):
            folder = tmp_path / "self" / "task" / str(number)
            folder.mkdir(parents=True)
            (folder / "stat").write_text(f"{number} (a name) R) {state} 1 1 1\n")
        return tmp_path

    def test_own_threads_do_not_count(self, proc):
        assert machine_load.others_running(proc) == 3

    def test_a_thread_may_have_ended(self, proc):
        (proc / "self" / "task" / "2" / "stat").unlink()
        assert machine_load.others_running(proc) == 4

    def test_it_is_asked_now_and_then(self, monkeypatch):
        asked, now = [], [100.0]
        monkeypatch.setattr(machine_load._Answer, "until", 0.0)
        monkeypatch.setattr(machine_load._Answer, "free", 0)
        monkeypatch.setattr(machine_load, "CORES", 4)
        monkeypatch.setattr(machine_load.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(machine_load, "others_running", lambda: asked.append(1) or len(asked))
        assert [machine_load.free_cores() for _ in range(100)] == [3] * 100
        now[0] += 1
        assert machine_load.free_cores() == 2
        now[0], asked[:] = now[0] + 1, [1] * 9
        assert machine_load.free_cores() == 1

    def test_without_an_answer_all_cores_are_free(self, monkeypatch):
        def absent():
            raise FileNotFoundError("/proc/loadavg")

        monkeypatch.setattr(machine_load._Answer, "until", 0.0)
        monkeypatch.setattr(machine_load._Answer, "free", 1)
        monkeypatch.setattr(machine_load, "others_running", absent)
        assert machine_load.free_cores() == machine_load.CORES
        assert machine_load._Answer.until == np.inf  # and is not asked again

    @pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="reads /proc")
    def test_a_process_that_runs_is_seen(self):
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
            seen = [machine_load.others_running() for _ in range(20) if not time.sleep(0.02)]
            child.kill()
        assert max(seen) >= 1
