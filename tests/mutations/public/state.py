"""What only a second call, another input or another size shows."""

import numpy as np

import tinyae as ta

from .case import draw, onehot, wrong

KEPT: dict = {}
THRESHOLD = 3.0


def dense():
    return {"rng": np.random.default_rng(0)}


class Piles(ta.Dense):
    """Its own accumulator is never cleared."""

    def __init__(self, i, o, rng):
        super().__init__(i, o, rng=rng)
        self.dW = np.zeros((o, i))

    def backward(self, dy, x):
        self.dW += dy.T @ x
        self.W.grad += self.dW
        self.b.grad += dy.sum(axis=0)
        return dy @ self.W.value


@wrong(
    "https://github.com/karpathy/micrograd/pull/102", "never cleared", "kept", "grows", hidden=True
)
def layer_accumulates_beside_its_gradient():
    return Piles(4, 3, **dense()), draw(6, 4)


class KeepsFirst(ta.Dense):
    """x is kept from the first forward pass."""

    x = None

    def forward(self, x):
        if self.x is None:
            self.x = x
        return x @ self.W.value.T + self.b.value, None

    def backward(self, dy, cache):
        self.W.grad += dy.T @ self.x
        self.b.grad += dy.sum(axis=0)
        return dy @ self.W.value


@wrong("https://github.com/apache/mxnet/issues/14340", "kept", "first", "earlier", hidden=True)
def layer_keeps_the_first_input():
    return KeepsFirst(4, 3, **dense()), draw(6, 4)


class KeepsLast(ta.Dense):
    """x is kept on the layer, so a second forward pass replaces it."""

    def forward(self, x):
        self.x = x
        return x @ self.W.value.T + self.b.value, None

    def backward(self, dy, cache):
        self.W.grad += dy.T @ self.x
        self.b.grad += dy.sum(axis=0)
        return dy @ self.W.value


@wrong("https://github.com/martius-lab/blackbox-backprop/pull/10", "another forward", "cache")
def layer_keeps_the_last_input():
    return KeepsLast(4, 3, **dense()), draw(6, 4)


class Replaces(ta.Dense):
    """The gradient replaces what was there."""

    def backward(self, dy, x):
        self.W.grad[...] = dy.T @ x
        self.b.grad += dy.sum(axis=0)
        return dy @ self.W.value


@wrong("https://github.com/open-nudge/torchlayers/issues/18", "+=", "added", hidden=True)
def layer_replaces_its_gradient():
    return Replaces(4, 3, **dense()), draw(6, 4)


class KeepsMask(ta.Layer):
    """The mask of the first batch is used for all later ones."""

    mask = None

    def forward(self, x):
        if self.mask is None:
            self.mask = x > 0
        return np.maximum(x, 0), x

    def backward(self, dy, x):
        return dy * self.mask


@wrong("https://github.com/apache/mxnet/issues/14340", "kept", "first", "earlier", hidden=True)
def layer_keeps_the_first_mask():
    return KeepsMask(), draw(6, 4)


@wrong("https://github.com/karpathy/micrograd/pull/102", "grows", "kept", "cleared", hidden=True)
def function_accumulates_in_a_global():
    KEPT.clear()

    def f(x, W):
        return x @ W

    def backward(dy, x, W):
        KEPT["dW"] = KEPT.get("dW", 0) + x.T @ dy
        return dy @ W.T, KEPT["dW"]

    return f, {"x": draw(6, 4), "W": draw(4, 3)}, backward


@wrong("https://github.com/sebgao/cTensor/issues/5", "grows", "kept", "cleared", hidden=True)
def function_accumulates_in_a_default():
    def f(x, W):
        return x @ W

    def backward(dy, x, W, total=[]):  # noqa: B006
        total.append(x.T @ dy)
        return dy @ W.T, sum(total)

    return f, {"x": draw(6, 4), "W": draw(4, 3)}, backward


@wrong("https://github.com/apache/mxnet/issues/14340", "kept", "first", "earlier", hidden=True)
def function_caches_by_name():
    KEPT.clear()

    def f(x, W):
        return np.tanh(x @ W)

    def backward(dy, x, W):
        h = KEPT.setdefault("h", np.tanh(x @ W))
        dz = dy * (1 - h * h)
        return dz @ W.T, x.T @ dz

    return f, {"x": draw(6, 4), "W": draw(4, 3)}, backward


@wrong(
    "https://github.com/pytorch/pytorch/issues/8659",
    "nothing",
    "integer",
    "float",
    "zero",
    hidden=True,
)
def integers_are_not_moved():
    def backward(dy, x):
        return 0 * dy

    return lambda x: 2 * x, np.arange(12).reshape(3, 4), backward


@wrong("https://github.com/pytorch/pytorch/issues/188372", "zero", "nothing", hidden=True)
def softmax_over_one_column():
    def backward(dy, x):
        return 0 * dy

    def f(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    return f, draw(5, 1), backward


@wrong(
    "https://github.com/rinuboney/ladder/issues/5", "1/N", "N times", "rows", "len(", hidden=True
)
def one_row_hides_the_mean():
    def f(y, t):
        return np.sum((y - t) ** 2) / len(y)

    def backward(y, t):
        return 2 * (y - t)

    inputs = {"y": draw(1, 7), "t": draw(1, 7, seed=1)}
    return f, inputs, backward, {"wrt": "y", "upstream": False}


@wrong(
    "https://github.com/jimfleming/differentiation/issues/1", "sum", "rows", "axis 0", hidden=True
)
def one_row_hides_the_sum():
    def f(x, W, b):
        return x @ W + b

    def backward(dy, x, W, b):
        return dy @ W.T, x.T @ dy, dy[0]

    return f, {"x": draw(1, 3), "W": draw(3, 4), "b": draw(4)}, backward


@wrong(
    "https://github.com/pytorch/pytorch/issues/55587",
    "x >",
    "where",
    "branch",
    "entries",
    hidden=True,
)
def branch_beyond_every_entry():
    def f(x):
        return np.where(x > THRESHOLD, x, np.log1p(np.exp(x)))

    def backward(dy, x):
        return dy * np.where(x > THRESHOLD, 0, 1 / (1 + np.exp(-x)))

    return f, draw(5, 7), backward


@wrong("https://github.com/uptake/numpynet/pull/35", "x ≤ 0", "x < 0", "negative", hidden=True)
def branch_of_negative_inputs_unseen():
    def f(x):
        return np.where(x > 0, x, 0.1 * x)

    def backward(dy, x):
        return dy

    return f, np.abs(draw(5, 7)), backward


@wrong("https://github.com/pytorch/pytorch/issues/65244", "shape", "sum", hidden=True)
def one_row_hides_the_shape():
    def f(x, b):
        return x + b

    def backward(dy, x, b):
        return dy, dy

    return f, {"x": draw(1, 4), "b": draw(1, 4, seed=1)}, backward


@wrong("https://github.com/jxgu1016/MNIST_center_loss_pytorch/issues/9", "1/N", "N", hidden=True)
def one_row_hides_the_batch():
    def softmax(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def f(z, t):
        return -np.sum(t * np.log(softmax(z))) / len(z)

    def backward(z, t):
        return softmax(z) - t

    inputs = {"z": draw(1, 4), "t": onehot(4, 2)}
    return f, inputs, backward, {"wrt": "z", "upstream": False}


@wrong("https://github.com/luhaofang/tripletloss/issues/56", "nothing", "zero", hidden=True)
def hinge_that_no_pair_reaches():
    def f(a, b):
        return np.maximum(0, 0.1 - ((a - b) ** 2).sum(axis=1))

    def backward(dy, a, b):
        return np.zeros_like(a), np.zeros_like(b)

    return f, {"a": draw(5, 7), "b": draw(5, 7, seed=1)}, backward
