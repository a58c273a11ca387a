"""Correct backward passes under conditions that have raised false alarms elsewhere.

float32 outside and inside, whole numbers, a loss of exactly 0, ties, scales of 1e-6 and 1e6,
repeated indices, one row, one column, kinks, None for what has no gradient, masks and labels.
Sources: https://github.com/pytorch/pytorch/issues/5351 (float32), /issues/7002 (kinks),
https://github.com/Theano/Theano/issues/4568 (ties), https://github.com/HIPS/autograd/issues/39
(repeated indices), https://stats.stackexchange.com/questions/332089 (an exact fit).
"""

from __future__ import annotations

import numpy as np

import tinyae as ta

from .case import draw, onehot


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# --- functions of x alone: f, backward ----------------------------------------------------------


def leaky(x):
    return np.where(x > 0, x, 0.1 * x)


def leaky_back(dy, x):
    return dy * np.where(x > 0, 1.0, 0.1)


def centred(x):
    return x - x.mean(axis=0)


def centred_back(dy, x):
    return dy - dy.mean(axis=0)


def row_max(x):
    return x.max(axis=1)


def row_max_back(dy, x):
    dx = np.zeros_like(x)
    dx[np.arange(len(x)), x.argmax(axis=1)] = dy
    return dx


def shared_max_back(dy, x):
    top = x == x.max(axis=1, keepdims=True)
    return dy[:, None] * top / top.sum(axis=1, keepdims=True)


def pooled(x):
    return x.reshape(len(x), -1, 3).max(axis=2)


def pooled_back(dy, x):
    windows = x.reshape(len(x), -1, 3)
    d = np.zeros_like(windows)
    np.put_along_axis(d, windows.argmax(axis=2)[..., None], dy[..., None], axis=2)
    return d.reshape(x.shape)


def mean_square(x):
    return np.mean(x * x)


def mean_square_back(dy, x):
    return dy * 2 * x / x.size


def cumulative(x):
    return np.cumsum(x, axis=1)


def cumulative_back(dy, x):
    return np.cumsum(dy[:, ::-1], axis=1)[:, ::-1]


def tanh_back(dy, x):
    return dy * (1 - np.tanh(x) ** 2)


def softmax_back(dy, x):
    y = softmax(x)
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


def clip(x):
    return np.clip(x, -0.8, 0.8)


def clip_back(dy, x):
    return dy * (np.abs(x) < 0.8)


def sort(x):
    return np.sort(x, axis=1)


def sort_back(dy, x):
    dx = np.zeros_like(x)
    np.put_along_axis(dx, x.argsort(axis=1), dy, axis=1)
    return dx


def double(x):
    return 2 * x


def double_back(dy, x):
    return 2 * dy


ALONE = (
    (leaky, leaky_back),
    (centred, centred_back),
    (row_max, row_max_back),
    (row_max, shared_max_back),
    (pooled, pooled_back),
    (mean_square, mean_square_back),
    (cumulative, cumulative_back),
    (np.tanh, tanh_back),
    (softmax, softmax_back),
    (clip, clip_back),
    (sort, sort_back),
    (double, double_back),
)
SATURATES = (np.tanh, softmax, clip)  # at 1e6 their gradients are all 0


def ties():
    x = np.round(2 * draw(5, 6)) / 2
    x[:, 1], x[2] = x[:, 0], 0.5
    return x


CONDITIONS = {
    "plain": lambda: draw(5, 6),
    "float32": lambda: draw(5, 6).astype(np.float32),
    "ties": ties,
    "zeros": lambda: draw(5, 6) * (np.arange(6) % 3 > 0),
    "at 1e-6": lambda: 1e-6 * draw(5, 6),
    "at 1e6": lambda: 1e6 * draw(5, 6),
    "one row": lambda: draw(1, 6),
    "integers": lambda: np.arange(30).reshape(5, 6) % 7 - 3,
    "whole numbers": lambda: (np.arange(30.0).reshape(5, 6) % 7) - 3,
}


def alone(f, backward, x):
    return lambda: (f, x(), backward)


# --- functions of several inputs ------------------------------------------------------------------


def affine(x, W, b):
    return x @ W + b


def affine_back(dy, x, W, b):
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)


def affine_none(dy, x, W, b):
    return None, x.T @ dy, dy.sum(axis=0)


def affine_inputs(n=5, scale=1.0, dtype=np.float64):
    inputs = {"x": draw(n, 4), "W": draw(4, 3), "b": draw(3)}
    return {k: (scale * v).astype(dtype) for k, v in inputs.items()}


def net(W, V, x):
    return np.tanh(x @ W) @ V


def net_back(dy, W, V, x):
    h = np.tanh(x @ W)
    return x.T @ (dy @ V.T * (1 - h * h)), h.T @ dy


def lookup(W, i):
    return W[i]


def lookup_back(dy, W, i):
    dW = np.zeros_like(W)
    np.add.at(dW, i, dy)
    return dW


def lookup_none(dy, W, i):
    return lookup_back(dy, W, i), None


def cross_entropy(z, t):
    return -np.sum(t * np.log(softmax(z))) / len(z)


def cross_entropy_back(z, t):
    return (softmax(z) - t) / len(z)


def labelled(z, y):
    return -np.log(softmax(z)[np.arange(len(z)), y]).mean()


def labelled_back(z, y):
    d = softmax(z)
    d[np.arange(len(z)), y] -= 1
    return d / len(z)


def squares(y, t):
    return np.mean((y - t) ** 2)


def squares_back(y, t):
    return 2 * (y - t) / y.size


def absolute(y, t):
    return np.abs(y - t).sum()


def absolute_back(y, t):
    return np.sign(y - t)


def tied(W, x):
    return 0.5 * np.sum((x @ W @ W.T - x) ** 2)


def tied_back(W, x):
    e = x @ W @ W.T - x
    return e.T @ (x @ W) + x.T @ (e @ W)


def masked(x, mask):
    return x * mask / 0.6


def masked_back(dy, x, mask):
    return dy * mask / 0.6


def batch_norm(x, gamma, beta):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) * gamma + beta


def batch_norm_back(dy, x, gamma, beta):
    istd = 1 / np.sqrt(x.var(axis=0) + 1e-5)
    y = (x - x.mean(axis=0)) * istd
    d = dy * gamma
    dx = istd * (d - d.mean(axis=0) - y * (d * y).mean(axis=0))
    return dx, (dy * y).sum(axis=0), dy.sum(axis=0)


def single_inside(x):
    return np.tanh(x.astype(np.float32))


def single_matrix(x, W):
    return (x.astype(np.float32) @ W.astype(np.float32)).astype(np.float64)


def single_matrix_back(dy, x, W):
    return dy @ W.T, x.T @ dy


def single_backward(dy, x, W):
    d = dy.astype(np.float32)
    return (d @ W.T.astype(np.float32)), (x.T.astype(np.float32) @ d)


def rounded_loss(y, t):
    return np.float32(np.mean((y - t) ** 2))


def pair(n=5, **more):
    return {"y": draw(n, 7), "t": draw(n, 7, seed=1)} | more


def exact_fit(rows):
    """A linear autoencoder with W = I: the loss is exactly 0."""
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(*ta.dense_encoder_decoder((3,), [3], output=None, rng=rng), ta.MSE())
    for p in model.params.values():
        if p.value.ndim == 2:
            p.value[...] = np.eye(3)
    return model, draw(rows, 3)


def tensor_lookup():
    return {"W": draw(6, 4), "i": np.array([1, 0, 3, 0, 5, 1, 0])}


GRADIENT = {"upstream": False}
SEVERAL = {
    "affine": lambda: (affine, affine_inputs(), affine_back),
    "affine of one row": lambda: (affine, affine_inputs(1), affine_back),
    "affine in float32": lambda: (affine, affine_inputs(dtype=np.float32), affine_back),
    "affine at 1e-6": lambda: (affine, affine_inputs(scale=1e-6), affine_back),
    "affine at 1e6": lambda: (affine, affine_inputs(scale=1e6), affine_back),
    "affine of whole numbers": lambda: (
        affine,
        {"x": np.round(3 * draw(5, 4)), "W": np.eye(4)[:, :3], "b": np.zeros(3)},
        affine_back,
    ),
    "affine with zero weights": lambda: (
        affine,
        {"x": draw(5, 4), "W": np.zeros((4, 3)), "b": np.zeros(3)},
        affine_back,
    ),
    "affine with integer x": lambda: (
        affine,
        {**affine_inputs(), "x": np.arange(20).reshape(5, 4)},
        affine_back,
        {"wrt": ("x", "W", "b")},
    ),
    "affine with None for x": lambda: (affine, affine_inputs(), affine_none, {"wrt": ("W", "b")}),
    "net": lambda: (
        net,
        {"W": draw(3, 4), "V": draw(4, 2), "x": draw(7, 3)},
        net_back,
        {"wrt": ("W", "V")},
    ),
    "net in float32": lambda: (
        net,
        {
            k: v.astype(np.float32)
            for k, v in (("W", draw(3, 4)), ("V", draw(4, 2)), ("x", draw(7, 3)))
        },
        net_back,
        {"wrt": ("W", "V")},
    ),
    "repeated indices": lambda: (lookup, tensor_lookup(), lookup_back, {"wrt": "W"}),
    "repeated indices and None": lambda: (lookup, tensor_lookup(), lookup_none),
    "one row never read": lambda: (
        lookup,
        {"W": draw(6, 4), "i": np.array([1, 1, 1])},
        lookup_back,
        {"wrt": "W"},
    ),
    "one-hot targets": lambda: (
        cross_entropy,
        {"z": draw(5, 4), "t": onehot(4, 0, 2, 1, 3, 2)},
        cross_entropy_back,
        {"wrt": "z", **GRADIENT},
    ),
    "one-hot targets of one row": lambda: (
        cross_entropy,
        {"z": draw(1, 4), "t": onehot(4, 2)},
        cross_entropy_back,
        {"wrt": "z", **GRADIENT},
    ),
    "labels": lambda: (
        labelled,
        {"z": draw(5, 4), "y": np.array([0, 2, 1, 3, 2])},
        labelled_back,
        {"wrt": "z", **GRADIENT},
    ),
    "labels of steep logits": lambda: (
        labelled,
        {"z": 20 * draw(5, 4), "y": np.array([0, 2, 1, 3, 2])},
        labelled_back,
        {"wrt": "z", **GRADIENT},
    ),
    "squares": lambda: (squares, pair(), squares_back, {"wrt": "y", **GRADIENT}),
    "squares at an exact fit": lambda: (
        squares,
        pair(t=draw(5, 7)),
        squares_back,
        {"wrt": "y", **GRADIENT},
    ),
    "squares of one row": lambda: (squares, pair(1), squares_back, {"wrt": "y", **GRADIENT}),
    "squares far away": lambda: (
        squares,
        pair(t=1e6 + draw(5, 7)),
        squares_back,
        {"wrt": "y", **GRADIENT},
    ),
    "squares of tiny numbers": lambda: (
        squares,
        {k: 1e-6 * v for k, v in pair().items()},
        squares_back,
        {"wrt": "y", **GRADIENT},
    ),
    "squares rounded to float32": lambda: (
        rounded_loss,
        pair(),
        squares_back,
        {"wrt": "y", **GRADIENT},
    ),
    "absolute values with kinks": lambda: (
        absolute,
        pair(t=np.where(np.arange(7) % 3 == 0, draw(5, 7), draw(5, 7, seed=1))),
        absolute_back,
        {"wrt": "y", **GRADIENT},
    ),
    "tied weights": lambda: (
        tied,
        {"W": draw(4, 3), "x": draw(7, 4)},
        tied_back,
        {"wrt": "W", **GRADIENT},
    ),
    "tied weights at an exact fit": lambda: (
        tied,
        {"W": np.eye(4), "x": draw(7, 4)},
        tied_back,
        {"wrt": "W", **GRADIENT},
    ),
    "a given mask": lambda: (
        masked,
        {"x": draw(5, 7), "mask": draw(5, 7) > 0},
        masked_back,
        {"wrt": "x"},
    ),
    "a mask that drops a row": lambda: (
        masked,
        {"x": draw(5, 7), "mask": (np.arange(5) != 2)[:, None] * np.ones((5, 7))},
        masked_back,
        {"wrt": "x"},
    ),
    "batch norm": lambda: (
        batch_norm,
        {"x": draw(7, 4), "gamma": draw(4), "beta": draw(4)},
        batch_norm_back,
    ),
    "batch norm at 1e6": lambda: (
        batch_norm,
        {"x": 1e6 * draw(7, 4), "gamma": draw(4), "beta": draw(4)},
        batch_norm_back,
    ),
    "batch norm of a constant column": lambda: (
        batch_norm,
        {"x": draw(7, 4) * (np.arange(4) > 0), "gamma": draw(4), "beta": draw(4)},
        batch_norm_back,
    ),
    "float32 inside forward": lambda: (single_inside, draw(5, 7), tanh_back),
    "float32 inside a product": lambda: (
        single_matrix,
        {"x": draw(5, 4), "W": draw(4, 3)},
        single_matrix_back,
    ),
    "an exact fit": lambda: exact_fit(4),
    "an exact fit of one row": lambda: exact_fit(1),
    "dense layer": lambda: (ta.Dense(4, 3, rng=np.random.default_rng(0)), draw(5, 4)),
    "dense layer of zeros": lambda: (ta.Dense(4, 3, rng=np.random.default_rng(0)), 0 * draw(5, 4)),
    "dropout": lambda: (ta.Dropout(0.5, rng=np.random.default_rng(0)), draw(5, 4)),
    "max pool with ties": lambda: (ta.MaxPool2d(2), np.round(2 * draw(2, 3, 4, 6)) / 2),
    "max pool of equal numbers": lambda: (ta.MaxPool2d(2), np.ones((2, 3, 4, 6))),
    "batch norm layer": lambda: (ta.BatchNorm(4), draw(7, 4)),
    "relu at zero": lambda: (ta.ReLU(), draw(5, 4) * (np.arange(4) > 1)),
    "softmax layer of float32": lambda: (ta.Softmax(), draw(5, 4).astype(np.float32)),
}

RIGHT = [
    (f"{f.__name__} by {back.__name__}, {name}", alone(f, back, x))
    for f, back in ALONE
    for name, x in CONDITIONS.items()
    if not (f in SATURATES and name == "at 1e6") and not (f is centred and name == "one row")
] + list(SEVERAL.items())
