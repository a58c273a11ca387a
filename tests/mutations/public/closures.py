"""Backward passes that call functions of their scope, methods, closures, lambdas, objects with state.

All of them were written and looked at while the doctor was mended.
"""

# ruff: noqa: E731

import functools

import numpy as np

import tinyae as ta

from .case import draw, wrong

RATE = 0.1


@wrong("https://github.com/microsoft/knossos-ksc/pull/505", "1 - y", "(1 - y)", "slope")
def slope_of_a_function_of_the_scope():
    def squash(a):
        return 1 / (1 + np.exp(-a))

    def f(x, W):
        return squash(x @ W)

    def backward(dy, x, W):
        y = squash(x @ W)
        d = dy * y
        return d @ W.T, x.T @ d

    return f, {"x": draw(6, 4), "W": draw(4, 3)}, backward


@wrong("https://github.com/pjreddie/darknet/issues/2151", "y * y", "y^2", "1 - y")
def helper_of_the_scope_is_wrong():
    def slope(y):
        return 1 - y

    def f(x, W):
        return np.tanh(x @ W)

    def backward(dy, x, W):
        y = np.tanh(x @ W)
        d = dy * slope(y)
        return d @ W.T, x.T @ d

    return f, {"x": draw(6, 4), "W": draw(4, 3)}, backward


@wrong("https://github.com/apache/mxnet/pull/3277", "leak", "0.2", "x ≤ 0", "x < 0")
def captured_leak_forgotten():
    leak = 0.2

    def f(x):
        return np.where(x > 0, x, leak * x)

    def backward(dy, x):
        return np.where(x > 0, dy, 0)

    return f, draw(6, 4), backward


@wrong("https://github.com/Atcold/SP19-DL-collaborative-notes/pull/6", "transpos", ".T", "V")
def captured_matrix_not_transposed():
    V = draw(4, 4)

    def f(x):
        return np.tanh(x) @ V

    def backward(dy, x):
        return dy @ V * (1 - np.tanh(x) ** 2)

    return f, draw(6, 4), backward


@wrong("https://github.com/filipecalasans/mlp/issues/1", "h * h", "1 - h", "slope", "tanh", "h^2")
def hidden_slope_forgotten_between_closures():
    def layer(x, W):
        return np.tanh(x @ W)

    def layer_backward(dy, x, W, h):
        return dy @ W.T, x.T @ dy

    def f(x, W1, W2):
        return layer(x, W1) @ W2

    def backward(dy, x, W1, W2):
        h = layer(x, W1)
        dh = dy @ W2.T
        dx, dW1 = layer_backward(dh, x, W1, h)
        return dx, dW1, h.T @ dy

    return f, {"x": draw(6, 4), "W1": draw(4, 3), "W2": draw(3, 2)}, backward


@wrong("https://github.com/cs231n/cs231n.github.io/pull/105", "sin", "-", "cos")
def lambda_with_the_function_itself():
    f = lambda x: np.cos(x)
    backward = lambda dy, x: dy * np.cos(x)
    return f, draw(5, 4), backward


@wrong("https://github.com/cs231n/cs231n.github.io/pull/105", "2", "x")
def lambda_power_rule_without_its_two():
    f = lambda x: x**2
    backward = lambda dy, x: dy * x
    return f, draw(5, 4), backward


@wrong("https://github.com/pytorch/pytorch/pull/132601", "rate", "0.3", "3.33", "0.1")
def partial_with_another_rate():
    def f(x, rate):
        return rate * np.tanh(x)

    def backward(dy, x, rate=0.1):
        return dy * rate * (1 - np.tanh(x) ** 2)

    return functools.partial(f, rate=0.3), draw(5, 4), backward


@wrong("https://github.com/udacity/deep-learning/pull/284", "1/N", "N", "len", "by")
def decorated_backward_sums():
    def logged(g):
        @functools.wraps(g)
        def call(*args):
            return g(*args)

        return call

    def f(x, W):
        return (x @ W).mean(axis=0)

    @logged
    def backward(dy, x, W):
        d = np.ones((len(x), 1)) * dy
        return d @ W.T, x.T @ d

    return f, {"x": draw(6, 4), "W": draw(4, 3)}, backward


@wrong(
    "https://github.com/jiexunsee/Neural-Network-with-Python/issues/1",
    "h * h",
    "1 - h",
    "slope",
    "h^2",
)
def network_in_one_function_with_a_helper():
    def tanh_slope(h):
        return 1 - h

    def network(W1, W2, x, t):
        h = np.tanh(x @ W1)
        d = h @ W2 - t
        L = 0.5 * (d * d).sum() / len(x)
        d = d / len(x)
        return L, {"W1": x.T @ (d @ W2.T * tanh_slope(h)), "W2": h.T @ d}

    inputs = {"W1": draw(4, 3), "W2": draw(3, 2), "x": draw(6, 4), "t": draw(6, 2)}
    return network, inputs, {"wrt": ("W1", "W2")}


@wrong(
    "https://github.com/wjbKimberly/cs231n_spring_2017_assignment/issues/7",
    "sum",
    "axis 0",
    "axis=0",
    "mean",
)
def cache_of_a_dict_and_a_mean():
    def forward(x, gamma, beta):
        s = x.std(axis=0)
        y = (x - x.mean(axis=0)) / s
        return gamma * y + beta, {"y": y, "gamma": gamma, "s": s}

    def backward(dy, cache):
        y, gamma, s = cache["y"], cache["gamma"], cache["s"]
        d = dy * gamma
        dx = (d - d.mean(axis=0) - y * (d * y).mean(axis=0)) / s
        return dx, (dy * y).mean(axis=0), dy.sum(axis=0)

    return forward, {"x": draw(6, 4), "gamma": draw(4), "beta": draw(4)}, backward


class Swish:
    """forward keeps what backward reads, as in many courses."""

    def forward(self, x):
        self.x = x
        self.s = 1 / (1 + np.exp(-x))
        return x * self.s

    def backward(self, dy):
        return dy * (self.s + self.s * (1 - self.s))


@wrong(
    "https://github.com/DrBigMau/LSTM-from-Scratch-in-Python/issues/1",
    "x *",
    "* x",
    "factor x",
    "x ",
)
def object_that_keeps_its_input():
    return Swish(), draw(5, 4)


@wrong(
    "https://github.com/DrBigMau/LSTM-from-Scratch-in-Python/issues/1",
    "x *",
    "* x",
    "factor x",
    "x ",
)
def methods_that_keep_their_input():
    layer = Swish()
    return layer.forward, draw(5, 4), layer.backward


class Linear:
    """With its gradients as attributes."""

    def __init__(self):
        self.W, self.b = draw(4, 3), draw(3)
        self.dW, self.db = np.zeros((4, 3)), np.zeros(3)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T * RATE


@wrong("https://github.com/shiffman/Neural-Network-p5/pull/12", "RATE", "0.1", "10")
def object_that_multiplies_by_the_learning_rate():
    return Linear(), draw(5, 4)


class Gated(ta.Layer):
    """y = x σ(x), with the slope in a method."""

    def forward(self, x):
        return x * self.gate(x), x

    def gate(self, x):
        return 1 / (1 + np.exp(-x))

    def slope(self, x):
        s = self.gate(x)
        return s + s * (1 - s)

    def backward(self, dy, x):
        return dy * self.slope(x)


@wrong("https://github.com/RubixML/ML/pull/437", "x *", "* x", "factor x", "lacks", "term")
def method_with_a_wrong_slope():
    return Gated(), draw(6, 4)


class Scaled(ta.Dense):
    """Dense of a scaled input; its backward calls that of Dense."""

    def forward(self, x):
        return super().forward(2.5 * x)

    def backward(self, dy, cache):
        return super().backward(dy, cache)


@wrong("https://github.com/zergtant/pytorch-handbook/issues/69", "2.5", "0.4")
def derived_layer_forgets_its_scale():
    return Scaled(4, 3, rng=np.random.default_rng(0)), draw(6, 4)


class Residual(ta.Dense):
    """x + Dense(x)."""

    def forward(self, x):
        y, cache = super().forward(x)
        return x + y, cache

    def backward(self, dy, cache):
        return super().backward(dy, cache)


@wrong("https://github.com/chelsea0x3b/dfdx/pull/118", "dy", "residual", "lacks")
def derived_layer_forgets_its_shortcut():
    return Residual(4, 4, rng=np.random.default_rng(0)), draw(6, 4)


@wrong("https://github.com/jax-ml/jax/issues/13048", "sign", "-1")
def forward_and_residuals_of_closures_with_a_minus():
    def primal(x, y):
        return np.sin(x) * y

    def forward(x, y):
        return primal(x, y), (np.cos(x), np.sin(x), y)

    def backward(g, residuals):
        cos_x, sin_x, y = residuals
        return -cos_x * g * y, sin_x * g

    return forward, {"x": draw(5, 3), "y": draw(5, 3, seed=1)}, backward


@wrong("https://github.com/latkins/trifast/pull/2", "heads", "order", "transpos", "axes")
def heads_joined_by_a_closure():
    def split(x):
        return x.reshape(len(x), 2, -1).swapaxes(0, 1)

    def join(h):
        return h.reshape(h.shape[1], -1)

    def f(x):
        return np.tanh(split(x))

    def backward(dy, x):
        h = np.tanh(split(x))
        return join(dy * (1 - h * h))

    return f, draw(5, 6), backward
