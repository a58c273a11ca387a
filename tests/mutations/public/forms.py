"""The forms in which people bring a backward pass, each with a mistake in it."""

# ruff: noqa: RUF059

import numpy as np

from .case import draw, onehot, wrong

REG = 0.1


def affine_forward(x, w, b):
    return x @ w + b, (x, w, b)


def layer():
    return {"x": draw(5, 4), "w": draw(4, 3), "b": draw(3)}


@wrong(
    "https://programmerteach.com/p/cs231n-assignment2-q2-batch-normalization", "1/N", "by N", "sum"
)
def cs231n_affine_with_a_mean():
    def affine_backward(dout, cache):
        x, w, b = cache
        return dout @ w.T, x.T @ dout, dout.mean(axis=0)

    return affine_forward, layer(), affine_backward


@wrong(
    "https://github.com/andersy005/deep-learning-specialization-coursera/pull/5", "x > 0", "x ≤ 0"
)
def cs231n_relu_without_its_mask():
    def relu_forward(x):
        return np.maximum(0, x), x

    def relu_backward(dout, cache):
        return dout

    return relu_forward, draw(5, 4), relu_backward


@wrong(
    "https://programmerteach.com/p/cs231n-assignment2-q2-batch-normalization", "mean", "sum to zero"
)
def cs231n_batch_norm_without_the_mean():
    def forward(x, gamma, beta):
        mu, var = x.mean(axis=0), x.var(axis=0)
        xhat = (x - mu) / np.sqrt(var + 1e-5)
        return gamma * xhat + beta, (xhat, gamma, 1 / np.sqrt(var + 1e-5))

    def backward(dout, cache):
        xhat, gamma, istd = cache
        dxhat = dout * gamma
        dx = istd * (dxhat - xhat * (dxhat * xhat).mean(axis=0))
        return dx, (dout * xhat).sum(axis=0), dout.sum(axis=0)

    return forward, {"x": draw(7, 4), "gamma": draw(4), "beta": draw(4)}, backward


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@wrong("https://github.com/jingtinghuang/CS231n-Spring-2017/issues/3", "2", "REG")
def loss_and_gradient_in_one():
    def softmax_loss(W, X, y):
        p = softmax(X @ W)
        L = -np.log(p[np.arange(len(X)), y]).mean() + REG * np.sum(W * W)
        p[np.arange(len(X)), y] -= 1
        return L, X.T @ p / len(X) + REG * W

    inputs = {"W": draw(4, 3), "X": draw(5, 4), "y": np.array([0, 2, 1, 1, 0])}
    return softmax_loss, inputs, {"wrt": "W"}


@wrong("https://github.com/jxgu1016/MNIST_center_loss_pytorch/issues/9", "1/N", "N times", "len(")
def loss_and_gradients_by_name():
    def loss(W, b, X, t):
        p = softmax(X @ W + b)
        L = -np.sum(t * np.log(p)) / len(X)
        d = p - t
        return L, {"W": X.T @ d, "b": d.sum(axis=0)}

    inputs = {"W": draw(4, 3), "b": draw(3), "X": draw(5, 4), "t": onehot(3, 0, 2, 1, 1, 0)}
    return loss, inputs


@wrong("https://github.com/kvfrans/notes/issues/5", "1/N", "by N", "sum")
def gradients_named_like_dx():
    def f(x, W, b):
        return x @ W + b

    def backward(dy, x, W, b):
        return {"dx": dy @ W.T, "dW": x.T @ dy, "db": dy.mean(axis=0)}

    return f, {"x": draw(5, 4), "W": draw(4, 3), "b": draw(3)}, backward


@wrong("https://github.com/jax-ml/jax/issues/17496", "W", "zero", "None")
def none_where_a_gradient_belongs():
    def f(x, W):
        return x @ W

    def backward(dy, x, W):
        return dy @ W.T, None

    return f, {"x": draw(5, 4), "W": draw(4, 3)}, backward, {"wrt": ("x", "W")}


@wrong("https://github.com/karpathy/micrograd/issues/2", "2", "* 2")
def scalar_loss_without_upstream():
    def f(x):
        return (x**2).sum()

    def backward(x):
        return x

    return f, draw(5, 4), backward


@wrong("https://github.com/karpathy/nn-zero-to-hero/issues/52", "y", "exp(x)")
def inputs_as_a_tuple():
    def f(x, a):
        return a * np.exp(x)

    def backward(dy, x, a):
        return dy * x, dy * np.exp(x)

    return f, (draw(5, 4), draw(5, 4, seed=1)), backward


@wrong("https://github.com/ddbourgin/numpy-ml/issues/94", "mask")
def mode_among_the_inputs():
    def f(x, mask, mode):
        return x * mask / 0.6 if mode == "train" else x

    def backward(dy, x, mask, mode):
        return dy / 0.6

    inputs = {
        "x": draw(5, 4),
        "mask": np.random.default_rng(1).random((5, 4)) < 0.6,
        "mode": "train",
    }
    return f, inputs, backward, {"wrt": "x"}
