"""Correct backward passes put together from pieces: any piece after any other, in turn as float32,
at 1e-6 and 1e6, of whole numbers, with ties, of one row or of other shapes.

A piece returns y and its pullback, the function dy → dx. Every ordered pair of pieces is a subject of
its own. A piece whose slope is 0 far away is not asked at 1e6: there nothing could be compared.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .case import draw

Pullback = Callable[[Any], Any]
Piece = Callable[[Any], tuple[Any, Pullback]]


def sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))


def weights(*shape, seed=3):
    return draw(*shape, seed=seed) / np.sqrt(shape[0])


# --- pieces: rows in, rows of the same or another width out ---------------------------------------


def affine(x):
    W, b = weights(x.shape[1], 4), draw(4, seed=4)
    return x @ W + b, lambda dy: dy @ W.T


def tanh(x):
    y = np.tanh(x)
    return y, lambda dy: dy * (1 - y * y)


def leaky(x):
    slope = np.where(x > 0, 1.0, 0.1)
    return x * slope, lambda dy: dy * slope


def silu(x):
    s = sigmoid(x)
    return x * s, lambda dy: dy * (s + x * s * (1 - s))


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    return y, lambda dy: y * (dy - (dy * y).sum(axis=1, keepdims=True))


def layer_norm(x):
    inverse = 1 / np.sqrt(x.var(axis=1, keepdims=True) + 0.1 * np.mean(x * x) + 1e-30)
    y = (x - x.mean(axis=1, keepdims=True)) * inverse

    def back(dy):
        D = x.shape[1]
        d = dy - dy.mean(axis=1, keepdims=True)
        through = (dy * y).sum(axis=1, keepdims=True) * inverse**2
        # The 0.1 mean(x²) under the root is one number for all of x.
        shared = (through / D * D).sum() * 0.1 / x.size
        return d * inverse - through / D * (x - x.mean(axis=1, keepdims=True)) - shared * x

    return y, back


def centred(x):
    return x - x.mean(axis=1, keepdims=True), lambda dy: dy - dy.mean(axis=1, keepdims=True)


def cumulative(x):
    return np.cumsum(x, axis=1), lambda dy: np.cumsum(dy[:, ::-1], axis=1)[:, ::-1]


def convolution(x):
    w, L = np.array([0.5, -1.0, 0.75]), x.shape[1] - 2

    def back(dy):
        dx = np.zeros_like(dy, shape=x.shape)
        for k in range(3):
            dx[:, k : k + L] += w[k] * dy
        return dx

    return sum(w[k] * x[:, k : k + L] for k in range(3)), back


def repeated_rows(x):
    i = np.array([0, len(x) - 1, 0, 0])

    def back(dy):
        dx = np.zeros_like(dy, shape=x.shape)
        np.add.at(dx, i, dy)
        return dx

    return x[i], back


def widest(x):
    """The maximum of each pair of columns, the first of equal ones."""
    pairs = x[:, : x.shape[1] // 2 * 2].reshape(len(x), -1, 2)
    at = pairs.argmax(axis=2)[..., None]

    def back(dy):
        d = np.zeros_like(dy, shape=pairs.shape)
        np.put_along_axis(d, at, dy[..., None], axis=2)
        dx = np.zeros_like(dy, shape=x.shape)
        dx[:, : pairs.shape[1] * 2] = d.reshape(len(x), -1)
        return dx

    return np.take_along_axis(pairs, at, axis=2)[..., 0], back


def attention(x):
    """Rows weigh their neighbours by a softmax of what they have in common, made free of scale."""
    Wk = weights(x.shape[1], x.shape[1])
    a, through = softmax(np.tanh(x @ Wk) @ weights(x.shape[1], len(x), seed=5))

    def back(dy):
        da = through(dy @ x.T) @ weights(x.shape[1], len(x), seed=5).T
        return a.T @ dy + (da * (1 - np.tanh(x @ Wk) ** 2)) @ Wk.T

    return a @ x, back


def gru_cell(x):
    D = x.shape[1]
    h, U, V = draw(*x.shape, seed=6), weights(D, D), weights(D, D, seed=7)
    z, n = sigmoid(x @ U), np.tanh(x @ V + h)

    def back(dy):
        dz, dn = dy * (n - h) * z * (1 - z), dy * z * (1 - n * n)
        return dz @ U.T + dn @ V.T

    return (1 - z) * h + z * n, back


def lstm_cell(x):
    D = x.shape[1]
    W, c = weights(D, 4 * D), draw(*x.shape, seed=8)
    i, f, o, g = np.split(x @ W, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    t = np.tanh(f * c + i * g)

    def back(dy):
        dc = dy * o * (1 - t * t)
        d = [dc * g * i * (1 - i), dc * c * f * (1 - f), dy * t * o * (1 - o), dc * i * (1 - g * g)]
        return np.concatenate(d, axis=1) @ W.T

    return o * t, back


def masked(x):
    keep = (np.arange(x.size).reshape(x.shape) % 3 > 0) / 0.7
    return x * keep, lambda dy: dy * keep


PIECES: tuple[Piece, ...] = (
    affine,
    tanh,
    leaky,
    silu,
    softmax,
    layer_norm,
    centred,
    cumulative,
    convolution,
    repeated_rows,
    widest,
    attention,
    gru_cell,
    lstm_cell,
    masked,
)
BOUNDED = (tanh, silu, softmax, attention, gru_cell, lstm_cell)  # flat far away
CONDITIONS: dict[str, Callable[[], Any]] = {
    "float32": lambda: draw(5, 6).astype(np.float32),
    "at 1e-6": lambda: 1e-6 * draw(4, 8),
    "at 1e6": lambda: 1e6 * draw(5, 6),
    "whole numbers": lambda: np.arange(30).reshape(5, 6) % 7 - 3,
    "ties": lambda: np.round(2 * draw(6, 6)) / 2,
    "one row": lambda: draw(1, 7),
    "a square": lambda: draw(6, 6),
    "columns of one sign": lambda: np.abs(draw(3, 9)) * np.where(np.arange(9) % 2, 1, -1),
}


def composed(*pieces: Piece) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
    """The composition of pieces, and its backward."""

    def f(x):
        for piece in pieces:
            x, _ = piece(x)
        return x

    def backward(dy, x):
        pullbacks = []
        for piece in pieces:
            x, pullback = piece(x)
            pullbacks.append(pullback)
        for pullback in reversed(pullbacks):
            dy = pullback(dy)
        return dy

    return f, backward


def _built(pieces: tuple[Piece, ...], x: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: (composed(*pieces)[0], x(), composed(*pieces)[1])


def _cases() -> list[tuple[str, Callable[[], Any]]]:
    """Each ordered pair of pieces under two of the conditions, in turn."""
    found = []
    for k, pair in enumerate(itertools.product(PIECES, repeat=2)):
        fitting = [
            (name, x)
            for name, x in CONDITIONS.items()
            if not (name == "at 1e6" and set(pair) & set(BOUNDED))
            and not (name == "one row" and pair == (centred, centred))
        ]
        for shift in (0, 3):
            name, x = fitting[(k + shift) % len(fitting)]
            label = f"{pair[0].__name__}, then {pair[1].__name__}: {name}"
            found.append((label, _built(pair, x)))
    return found


# --- custom functions of PyTorch and JAX, where they are installed --------------------------------


def _torch_function(piece: str) -> Any:
    import torch

    class Tanh(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = torch.tanh(x)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, dy):
            (y,) = ctx.saved_tensors
            return dy * (1 - y * y)

    class Leaky(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.where(x > 0, x, 0.1 * x)

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return torch.where(x > 0, dy, 0.1 * dy)

    class Softmax(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = torch.softmax(x, 1)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, dy):
            (y,) = ctx.saved_tensors
            return y * (dy - (dy * y).sum(1, keepdim=True))

    return {"tanh": Tanh, "leaky": Leaky, "softmax": Softmax}[piece]


def _jax_function(piece: str) -> Any:
    import jax
    import jax.numpy as jnp

    forward = {"tanh": jnp.tanh, "leaky": lambda x: jnp.where(x > 0, x, 0.1 * x)}[piece]
    f = jax.custom_vjp(forward)

    def fwd(x):
        return forward(x), x

    def bwd(x, dy):
        slope = 1 - jnp.tanh(x) ** 2 if piece == "tanh" else jnp.where(x > 0, 1.0, 0.1)
        return (dy * slope,)

    f.defvjp(fwd, bwd)
    return f


def _of_frameworks() -> list[tuple[str, Callable[[], Any]]]:
    kinds = (("torch", _torch_function, "softmax"), ("jax", _jax_function, "tanh"))
    return [
        (f"{framework}: {piece}, {name}", _framework_case(make, piece, CONDITIONS[name]))
        for framework, make, last in kinds
        if importlib.util.find_spec(framework)
        for piece in dict.fromkeys(("tanh", "leaky", last))
        for name in ("float32", "at 1e-6", "ties", "one row", "a square")
    ]


def _framework_case(make: Callable[[str], Any], piece: str, x: Any) -> Callable[[], Any]:
    return lambda: (make(piece), {"x": x()}, {})


COMPOSED = [*_cases(), *_of_frameworks()]
