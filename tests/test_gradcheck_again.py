"""What one pass at one input cannot show, in the check and in the doctor."""

import numpy as np
import pytest

import tinyae as ta
from tinyae import gradcheck
from tinyae.gradcheck import check, diagnose
from tinyae.param import Param


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def rng():
    return np.random.default_rng(0)


# --- the next step ----------------------------------------------------------------------------


class Piles(ta.Dense):
    """A sum of its own, which is never cleared."""

    def __init__(self):
        super().__init__(4, 3, rng=rng())
        self.dW = np.zeros((3, 4))

    def backward(self, dy, x):
        self.dW += dy.T @ x
        self.W.grad += self.dW
        self.b.grad += dy.sum(axis=0)
        return dy @ self.W.value


class KeepsFirst(ta.Dense):
    """The x of the first pass serves all later ones."""

    def __init__(self):
        super().__init__(4, 3, rng=rng())
        self.x = None

    def forward(self, x):
        self.x = x if self.x is None else self.x
        return x @ self.W.value.T + self.b.value, None

    def backward(self, dy, cache):
        self.W.grad += dy.T @ self.x
        self.b.grad += dy.sum(axis=0)
        return dy @ self.W.value


class PilesModel(ta.Autoencoder):
    """A model that adds its encoder's gradient to that of all earlier steps."""

    total = 0.0

    def backprop(self, x, rng=None):
        terms = super().backprop(x, rng)
        W = self.encoder.params["0.W"]
        self.total = self.total + W.grad
        W.grad[...] = self.total
        return terms


@pytest.mark.parametrize("layer", [Piles, KeepsFirst])
def test_a_layer_that_is_wrong_from_the_second_step_on(layer):
    report = gradcheck.check(layer(), normal(6, 4))
    assert not report.ok
    assert report["dW"].verdict == "pass"
    assert report["dW after a step"].verdict == "fail"
    assert "kept from a pass to the next" in report["dW after a step"].remark


def test_the_doctor_says_what_is_kept():
    piles = diagnose(Piles(), normal(6, 4))
    assert piles.kind == "not_cleared"
    assert "never cleared" in piles.findings[0].message
    assert diagnose(KeepsFirst(), normal(6, 4)).kind == "stale_cache"


def test_a_model_that_piles_up():
    encoder, decoder = ta.dense_encoder_decoder((4,), [3], output=None, rng=rng())
    model, x = PilesModel(encoder, decoder, ta.MSE()), normal(6, 4)
    assert not gradcheck.check_model(model, x).ok
    told = diagnose(model, x)
    assert told.kind in ("not_cleared", "not_added")


class Turns(ta.Layer):
    """Its output depends on how often it was called, and its gradient follows: no mistake."""

    def __init__(self):
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls, self.calls

    def backward(self, dy, calls):
        return dy * calls


def test_state_that_belongs_to_the_function_is_no_mistake():
    assert gradcheck.check(Turns(), normal(6, 4)).ok
    assert diagnose(Turns(), normal(6, 4)).ok
    assert gradcheck.check(ta.BatchNorm(4), normal(6, 4)).ok
    assert diagnose(ta.BatchNorm(4), normal(6, 4)).ok


TOTAL = {"dW": 0.0}
FIRST: dict = {}


def product(x, W):
    return x @ W


def piles_in_a_global(dy, x, W):
    TOTAL["dW"] = TOTAL["dW"] + x.T @ dy
    return dy @ W.T, TOTAL["dW"]


def keeps_in_a_global(dy, x, W):
    return dy @ W.T, FIRST.setdefault("x", x).T @ dy


def test_functions_that_keep_something_between_calls():
    inputs = {"x": normal(6, 4), "W": normal(4, 3)}
    told = diagnose(product, inputs, backward=piles_in_a_global)
    assert told.kind == "not_cleared"
    assert "TOTAL" in told.findings[0].message
    assert told.right == ["dx", "dW"]  # the numbers of a first call are right
    told = diagnose(product, inputs, backward=keeps_in_a_global)
    assert told.kind == "stale_cache"
    assert "FIRST" in told.findings[0].message
    assert FIRST == {}  # left as it was found


MEMORY: dict = {}


def forward_keeps(x):
    MEMORY["y"] = np.tanh(x)
    return MEMORY["y"]


def backward_reads(dy, x):
    return dy * (1 - MEMORY["y"] ** 2)


def test_what_forward_keeps_for_backward_is_no_mistake():
    assert diagnose(forward_keeps, normal(5, 4), backward=backward_reads).ok


def test_noise_drawn_in_backward_is_called_noise():
    generator = rng()

    def backward(dy, x, mask):
        return dy * (generator.random(x.shape) < 0.6) / 0.6

    inputs = {"x": normal(5, 4), "mask": rng().random((5, 4)) < 0.6}
    told = diagnose(lambda x, mask: x * mask / 0.6, inputs, backward=backward, wrt="x")
    assert told.kind == "noise"
    assert "backward" in told.findings[0].message


# --- nothing compared -------------------------------------------------------------------------


def test_a_check_that_compared_only_zeros_is_not_ok():
    report = gradcheck.check(ta.Softmax(), normal(5, 1))
    assert not report.ok
    assert "nothing was compared" in report["nothing"].remark
    told = diagnose(ta.Softmax(), normal(5, 1))
    assert told.kind == "nothing"
    assert not told.ok


class EveryLarge(ta.TopK):
    """Wrong: dy reaches every entry."""

    def backward(self, dy, cache):
        return dy.copy()


@pytest.mark.parametrize("scale", [1e-3, 1e-6, 1e-9])
def test_a_step_larger_than_the_numbers_crosses_no_kink(scale):
    """Among numbers of 1e-6 a step of 1e-5 changes which are the largest: the step must shrink."""
    x = scale * rng().uniform(0.1, 1, size=(5, 7))
    diagnosis = diagnose(ta.TopK(3), x)
    assert diagnosis.ok
    assert not diagnosis.remarks
    assert check(ta.TopK(3), x).ok
    assert not check(EveryLarge(3), x).ok
    assert not diagnose(EveryLarge(3), x).ok


class Rough(ta.Layer):
    """y = x + s b, rounded like a long sum, by some 50 ε; backward says that b has no influence."""

    def __init__(self, s):
        self.s, self.b = s, Param(np.array([0.3, -0.7]))

    @property
    def params(self):
        return {"b": self.b}

    def forward(self, x):
        b = self.b.value
        rounding = 1e-14 * np.random.default_rng(b.view(np.uint64)).normal(size=2)
        return x * (1 + rounding) + self.s * b, None

    def backward(self, dy, cache):
        return dy.copy()


def test_a_gradient_of_0_is_compared_with_the_rounding_of_a_deep_forward():
    x = rng().normal(size=(5, 2))
    assert check(Rough(0.0), x).ok
    assert diagnose(Rough(0.0), x).ok
    for s in (1.0, 1e-3, 1e-6):  # b has an influence, and its gradient is missing
        assert check(Rough(s), x)["db"].verdict != "pass"
    assert diagnose(Rough(1e-3), x).findings[0].tensor == "db"


def test_zeros_at_the_given_input_are_compared_elsewhere():
    assert gradcheck.check(ta.ReLU(), -np.abs(normal(5, 4))).ok
    assert gradcheck.check(ta.ReLU(), np.zeros((5, 4))).ok
    assert gradcheck.check(ta.Dropout(0.9, rng=rng()), normal(1, 1)).ok
    assert diagnose(ta.ReLU(), -np.abs(normal(5, 4))).ok
    assert diagnose(ta.Dropout(0.9, rng=rng()), normal(1, 1)).ok


def exact_fit(cls=ta.Autoencoder):
    model = cls(*ta.dense_encoder_decoder((3,), [3], output=None, rng=rng()), ta.MSE())
    for p in model.params.values():
        if p.value.ndim == 2:
            p.value[...] = np.eye(3)
    return model


class Forgets(ta.Autoencoder):
    def backprop(self, x, rng=None):
        return self.objective(x, rng)


def test_a_loss_of_0_is_looked_at_elsewhere():
    assert gradcheck.check_model(exact_fit(), normal(4, 3)).ok
    assert diagnose(exact_fit(), normal(4, 3)).ok
    assert not gradcheck.check_model(exact_fit(Forgets), normal(4, 3)).ok
    assert not diagnose(exact_fit(Forgets), normal(4, 3)).ok


def test_whole_numbers_are_moved():
    def backward(dy, x):
        return 2 * dy

    def forgets(dy, x):
        return 0 * dy

    x = np.arange(12).reshape(3, 4)
    assert diagnose(lambda x: 2 * x, x, backward=backward).right == ["dx"]
    assert diagnose(lambda x: 2 * x, x, backward=forgets).kind == "zero"


# --- ties ---------------------------------------------------------------------------------------


class EveryMaximum(ta.Layer):
    def forward(self, x):
        return x.max(axis=1), x

    def backward(self, dy, x):
        return dy[:, None] * (x == x.max(axis=1, keepdims=True))


class OneMaximum(EveryMaximum):
    def backward(self, dy, x):
        dx = np.zeros_like(x)
        dx[np.arange(len(x)), x.argmax(axis=1)] = dy
        return dx


TIES = np.array([[1.0, 2.0, 2.0], [0.5, 0.5, 0.5], [3.0, 1.0, 3.0]])


def test_a_tie_shares_one_gradient():
    assert gradcheck.check(OneMaximum(), TIES).ok
    assert diagnose(OneMaximum(), TIES).ok
    report = gradcheck.check(EveryMaximum(), TIES)
    assert "equal" in report["dx"].remark
    assert report["dx"].verdict == "fail"
    assert diagnose(EveryMaximum(), TIES).kind == "ties"


def test_sorting_equal_numbers_is_right():
    def backward(dy, x):
        dx = np.zeros_like(x)
        np.put_along_axis(dx, x.argsort(axis=1), dy, axis=1)
        return dx

    assert diagnose(lambda x: np.sort(x, axis=1), TIES, backward=backward).ok


# --- another size, another branch -----------------------------------------------------------------


class SumOfRows(ta.Layer):
    """y = x / N: one row does not show that backward forgets 1/N."""

    def forward(self, x):
        return x / len(x), None

    def backward(self, dy, cache):
        return dy


class Leaks(ta.Layer):
    """The leak at negative x is forgotten, and positive x do not show it."""

    def forward(self, x):
        return np.where(x > 0, x, 0.1 * x), x

    def backward(self, dy, x):
        return dy


def test_one_row_does_not_hide_the_batch_size():
    report = gradcheck.check(SumOfRows(), normal(1, 4))
    assert [row.name for row in report.rows if row.verdict != "pass"] == ["dx at 3 other rows"]
    told = diagnose(SumOfRows(), normal(1, 4))
    assert told.kind == "factor"
    assert told.findings[0].name == "N"
    assert "at the given input dx would pass" in " ".join(told.remarks)


def test_positive_inputs_do_not_hide_the_other_branch():
    x = 1 + np.abs(normal(5, 4))
    assert not gradcheck.check(Leaks(), x).ok
    told = diagnose(Leaks(), x)
    assert told.wrong == ["dx"]


def test_probabilities_are_not_moved_out_of_their_range():
    def f(p):
        return -np.log(np.clip(p, 1e-7, 1 - 1e-7)).sum(axis=1)

    def backward(dy, p):
        return -dy[:, None] / p

    assert diagnose(f, 0.1 + 0.8 * rng().random((5, 4)), backward=backward).ok


def test_a_guard_beyond_the_given_range_is_no_mistake():
    def f(s):
        return np.log(np.maximum(s, 1e-3))

    def backward(dy, s):
        return dy / s

    assert diagnose(f, 1 + rng().random((5, 4)), backward=backward).ok


# --- float32 ----------------------------------------------------------------------------------------


def single(x):
    return np.tanh(x.astype("f4"))


def rounded(y, t):
    return np.float32(np.mean((y - t) ** 2))


def test_float32_inside_forward_does_not_blame_backward():
    assert diagnose(single, normal(5, 4), backward=lambda dy, x: dy * (1 - np.tanh(x) ** 2)).ok
    told = diagnose(single, normal(5, 4), backward=lambda dy, x: dy * (1 - np.tanh(x)))
    assert told.findings[0].name == "(1 + y)"
    pair = {"y": normal(5, 4), "t": normal(5, 4, seed=2)}
    more = {"wrt": "y", "upstream": False}
    assert diagnose(rounded, pair, backward=lambda y, t: 2 * (y - t) / y.size, **more).ok
