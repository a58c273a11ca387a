"""What the doctor reads beside one function: its scope, its base classes, the object it belongs to."""

import functools

import numpy as np
import pytest

import tinyae as ta
from tinyae.gradcheck import diagnose


def draw(*shape, seed=0):
    rng = np.random.default_rng([seed, *shape])
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.1, 1.6, shape)


def first(*subject, **more):
    diagnosis = diagnose(*subject, **more)
    assert not diagnosis.ok
    return diagnosis.findings[0]


# --- functions of the scope ---------------------------------------------------------------------


def test_a_function_of_the_scope_is_repaired():
    def slope(y):
        return 1 - y

    def f(x, W):
        return np.tanh(x @ W)

    def backward(dy, x, W):
        d = dy * slope(np.tanh(x @ W))
        return d @ W.T, x.T @ d

    found = first(f, {"x": draw(6, 4), "W": draw(4, 3)}, backward=backward)
    assert found.place.line == "return 1 - y"
    assert found.place.fix == "return 1 - y * y"


def test_what_a_closure_holds_stands_in_the_repair():
    V = draw(4, 4)

    def f(x):
        return np.tanh(x) @ V

    def backward(dy, x):
        return dy @ V * (1 - np.tanh(x) ** 2)

    found = first(f, draw(6, 4), backward=backward)
    assert found.place.fix == "return dy @ V.T * (1 - np.tanh(x) ** 2)"
    np.testing.assert_array_equal(V, draw(4, 4))  # it is as it was


def test_a_closure_that_forward_calls_is_left_alone():
    def squash(a):
        return 1 / (1 + np.exp(-a))

    def backward(dy, x):
        return dy * squash(x)

    found = first(lambda x: squash(x), draw(6, 4), backward=backward)
    assert "squash" not in found.place.line.partition("=")[0]
    assert "1 - " in found.message + found.place.fix or "1 − " in found.message


def test_a_closure_that_rebinds_a_name_is_not_edited():
    count = 0

    def backward(dy, x):
        nonlocal count
        count += 1
        return dy * x

    found = first(lambda x: x**2, draw(5, 4), backward=backward)
    assert found.kind == "factor"
    assert "0.5" in found.message


def test_a_lambda_is_read():
    power = lambda dy, x: dy * x  # noqa: E731
    found = first(lambda x: x**2, draw(5, 4), backward=power)
    assert found.place.fix == "return dy * x * 2"


def test_a_decorated_function_is_read_where_it_stands():
    def logged(g):
        @functools.wraps(g)
        def call(*args):
            return g(*args)

        return call

    @logged
    def backward(dy, x):
        return dy * x

    def f(x):
        return x**2

    assert first(f, draw(5, 4), backward=backward).place.line == "return dy * x"


def test_two_values_of_one_name_are_compared():
    def backward(dy, x, rate=0.1):
        return dy * rate * (1 - np.tanh(x) ** 2)

    def f(x, rate):
        return rate * np.tanh(x)

    said = first(functools.partial(f, rate=0.3), draw(5, 4), backward=backward).message
    assert "backward's rate / forward's rate" in said


# --- base classes --------------------------------------------------------------------------------


class Slip(ta.Layer):
    def __init__(self):
        self.W = ta.Param(draw(4, 4))

    def forward(self, x):
        return x @ self.W.value.T, x

    def backward(self, dy, x):
        self.W.grad += dy.T @ x
        return dy @ self.W.value.T


class Doubled(Slip):
    def forward(self, x):
        y, cache = super().forward(x)
        return 2 * y, cache

    def backward(self, dy, cache):
        return super().backward(2 * dy, cache)


def test_super_is_followed_to_the_method_that_is_wrong():
    found = first(Doubled(), draw(6, 4))
    assert found.place.line == "return dy @ self.W.value.T"
    assert found.place.fix == "return dy @ self.W.value"


def test_a_line_that_calls_super_is_shown_as_it_is_written():
    class Tripled(ta.Dense):
        def forward(self, x):
            return super().forward(3.0 * x)

        def backward(self, dy, cache):
            return super().backward(dy, cache)

    found = first(Tripled(4, 3, rng=np.random.default_rng(0)), draw(6, 4))
    assert "_super_of" not in str(found.place) + found.message


# --- objects that keep their input ---------------------------------------------------------------


class Linear:
    factor = 1.0

    def __init__(self):
        self.W, self.b = draw(4, 3).astype(np.float32), np.zeros(3)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.factor * self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T


class Averaged(Linear):
    def backward(self, dy):
        dx = Linear.backward(self, dy)
        self.db = dy.mean(axis=0)
        return dx


def test_an_object_that_keeps_its_input():
    layer = Linear()
    assert diagnose(layer, draw(5, 4)).right == ["dx", "dW", "db"]
    assert not hasattr(layer, "x")  # the object itself is not touched
    found = first(Averaged(), draw(5, 4))
    assert (found.tensor, found.name) == ("db", "1/N")
    assert found.place.line == "self.db = dy.mean(axis=0)"


def test_a_loss_with_a_target_is_a_loss():
    y, t = draw(5, 4), draw(5, 4, seed=1)
    assert diagnose(ta.Gaussian(), y, target=t).ok


def test_its_methods_by_themselves():
    layer = Averaged()
    found = first(layer.forward, draw(5, 4), backward=layer.backward)
    assert (found.tensor, found.name) == ("db", "1/N")


def test_parameters_and_gradients_in_dicts():
    class Net:
        def __init__(self):
            self.params, self.grads = {"W": draw(4, 3)}, {}

        def forward(self, x):
            self.x = x
            return np.tanh(x @ self.params["W"])

        def backward(self, dy):
            self.grads["W"] = self.x.T @ dy
            return dy @ self.params["W"].T

    assert diagnose(Net(), draw(5, 4)).wrong == ["dx", "dW"]


def test_functions_that_share_a_cache():
    kept = {}

    def f(x):
        kept["x"] = x
        return np.sin(x)

    def backward(dy):
        return dy * np.cos(kept["x"])

    assert diagnose(f, draw(5, 4), backward=backward).ok


# --- what is said -----------------------------------------------------------------------------------


def test_the_weights_of_a_linear_map():
    def spectrum(x):
        return np.fft.rfft(x, axis=1).real

    def backward(dy, x):
        return np.fft.irfft(dy, x.shape[1], axis=1) * x.shape[1]

    said = first(spectrum, draw(3, 7), backward=backward).message
    assert "along axis 1: 1, 2, 2, 2" in said


def test_an_equal_offset_is_named_if_it_has_a_name_and_not_blamed_otherwise():
    def f(x, s):
        z = x * np.exp(s)
        return 0.5 * (z * z).sum() - s.sum()

    def backward(dy, x, s):
        return dy * (x * np.exp(s)) ** 2

    found = first(f, {"x": draw(5, 4), "s": draw(5, 4, seed=1)}, backward=backward, wrt="s")
    assert found.message.startswith("ds lacks the term -1 at every entry")


@pytest.mark.parametrize("half", [1, 2])
def test_the_symmetric_part(half):
    def f(A, x):
        return np.tanh(x @ ((A + A.T) / half))

    def backward(dy, A, x):
        return x.T @ (dy * (1 - np.tanh(x @ ((A + A.T) / half)) ** 2))

    found = first(f, {"A": draw(4, 4), "x": draw(5, 4)}, backward=backward, wrt="A")
    assert "G.T" in found.message
