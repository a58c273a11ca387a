"""The gradient doctor: silent about right gradients, exact about wrong ones, honest about the rest."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import catalog
from tinyae.gradcheck import diagnose, diagnose_arrays
from tinyae.layers.norm import _Norm

seeds = st.integers(0, 2**32 - 1)
every_layer = pytest.mark.parametrize("row", catalog.LAYERS, ids=lambda row: row.name)
every_loss = pytest.mark.parametrize("row", catalog.LOSSES, ids=lambda row: row.name)
every_model = pytest.mark.parametrize("row", catalog.MODELS, ids=lambda row: row.name)


def drawn(row, data):
    rng = np.random.default_rng(data.draw(seeds, label="seed"))
    return row.draw(lambda low, high: data.draw(st.integers(low, high)), rng)


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def dense():
    return ta.Dense(5, 3, rng=np.random.default_rng(0))


# --- no false alarm --------------------------------------------------------------------------


@every_layer
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_a_right_layer_is_right(row, data):
    layer, x = drawn(row, data)
    kinds = ["plain"] if layer.whole_input else ["plain", "kinks", "tiny", "float32"]
    kind = data.draw(st.sampled_from(kinds))
    if kind == "kinks":
        x = np.round(2 * x) / 2  # many entries at 0, and many that are equal
    if kind == "tiny":
        x = 1e-6 * x
    if kind == "float32":
        layer, x = layer.astype(np.float32), x.astype(np.float32)
    told = diagnose(layer, x)
    crossed = kind == "tiny" and [f.kind for f in told.findings] == [
        "nothing"
    ]  # every step, a kink
    assert told.ok or crossed, str(told)


@every_loss
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_a_right_loss_is_right(row, data):
    loss, y, target = drawn(row, data)
    told = diagnose(loss, y, target=target)
    assert told.ok, str(told)


@every_model
@settings(max_examples=2, deadline=None)
@given(data=st.data())
def test_a_right_model_is_right(row, data):
    told = diagnose(*drawn(row, data))
    assert told.ok, str(told)


def test_a_kink_is_a_remark():
    x = normal(4, 5)
    x[1, 2] = 0.0
    told = diagnose(ta.LeakyReLU(0.1), x)
    assert told.ok
    assert told.kind == ""
    assert "kink" in " ".join(told.remarks)


def test_a_gradient_that_is_truly_zero_is_right():
    """BatchNorm takes any bias before it out again."""
    layer = ta.Sequential(dense(), ta.BatchNorm(3))
    assert diagnose(layer, normal(7, 5)).ok


def test_x_and_dy_of_one_seed_do_not_hide_a_transpose():
    class Broken(ta.Dense):
        def backward(self, dy, x):
            self.W.grad += x.T @ dy
            self.b.grad += dy.sum(axis=0)
            return dy @ self.W.value

    layer = Broken(5, 5, rng=np.random.default_rng(0))
    told = diagnose(layer, np.random.default_rng(3).normal(size=(7, 5)), rng=3)
    assert told.kind == "transposed"
    assert told.findings[0].tensor == "dW"


class OneEntryOff(ta.Tanh):
    """dx is off at one place, by a share of its norm."""

    def __init__(self, place, share):
        self.place, self.share = place, share

    def backward(self, dy, cache):
        dx = super().backward(dy, cache)
        dx.ravel()[self.place] += self.share * np.linalg.norm(dx)
        return dx


@settings(max_examples=25, deadline=None)
@given(seed=seeds, place=st.integers(0, 20), share=st.sampled_from([1e-4, 1e-3, 0.1, 10.0]))
def test_one_wrong_entry_does_not_hide_among_right_ones(seed, place, share):
    told = diagnose(OneEntryOff(place, share), normal(3, 7, seed=seed))
    assert told.wrong == ["dx"]
    assert told.faults[0].worst == divmod(place, 7)


class Coupled(ta.Layer):
    """y = x Σ x, the sum over all rows: no row's output is its own alone."""

    def forward(self, x):
        return x * x.sum(axis=0), x

    def backward(self, dy, cache):
        return dy * cache.sum(axis=0) + (dy * cache).sum(axis=0)


class Uncoupled(Coupled):
    def backward(self, dy, cache):
        return dy * cache.sum(axis=0)


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_rows_that_depend_on_each_other_are_not_moved_together(seed):
    x = normal(3, 7, seed=seed)
    assert diagnose(Coupled(), x).ok
    assert diagnose(Uncoupled(), x).wrong == ["dx"]


def test_the_subject_is_left_alone():
    layer, x = dense(), normal(7, 5)
    before = layer.W.value.copy(), layer.W.grad.copy(), x.copy()
    diagnose(layer, x)
    after = layer.W.value, layer.W.grad, x
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


# --- from two arrays -------------------------------------------------------------------------

SIZES = {"N": 7, "D": 5, "O": 3}
n = normal(3, 5)
square = normal(5, 5)
images = normal(2, 3, 5, 7)
ARRAYS = {
    "none": (None, n, "shape", "none"),
    "a list": ([1.0], n, "shape", "type"),
    "a shape": (normal(2, 2), n, "shape", "(2, 2)"),
    "turned": (n.T, n, "transposed", "T"),
    "turned, square": (square.T, square, "transposed", "T"),
    "not summed": (np.stack([n, 2 * n]), 3 * n, "missing_sum", "axis 0"),
    "summed": (n.sum(axis=0), n, "shape", "sum over axis 0"),
    "nan": (np.where(n > 0, n, np.nan), n, "nan", None),
    "zero": (0 * n, n, "zero", "0"),
    "sign": (-n, n, "factor", "-1"),
    "twice": (2 * n, n, "factor", "2"),
    "a mean": (n / 7, n, "factor", "1/N"),
    "of all": (n * 35, n, "factor", "N*D"),
    "2/N": (n * 2 / 7, n, "factor", "2/N"),
    "some number": (n * 0.37, n, "factor", "0.37"),
    "order": (n.ravel("F").reshape(3, 5), n, "axes", None),
    "flipped": (n[::-1], n, "flipped", "axis 0"),
    "shifted": (np.roll(n, 1, 1), n, "shifted", "axis 1 by 1"),
    "offset": (n + 0.3, n, "offset", "0.3"),
    "row": (np.vstack([0 * n[:1], n[1:]]), n, "entries", "row 0"),
    "varying": (n * np.arange(1, 6), n, "axis_factor", "axis 1"),
    "riddle": (normal(3, 5, seed=9), n, "unknown", ""),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_two_arrays(case):
    a, right, kind, name = ARRAYS[case]
    told = diagnose_arrays(a, right, sizes=SIZES)
    assert told.kind == kind, str(told)
    assert name is None or told.findings[0].name == name
    assert told.wrong == ["dW"]
    assert told.right == []


def test_arrays_that_agree():
    assert diagnose_arrays(n + 1e-9, n).right == ["dW"]


def test_a_riddle_comes_with_a_map():
    a = n.copy()
    a[0, :2], a[1, 3], a[2, 0] = 1, 2, 0
    told = diagnose_arrays(a, n)
    assert "7" not in told.map
    assert told.kind == "entries"
    told = diagnose_arrays(normal(2, 3, seed=4), normal(2, 3, seed=5))
    assert told.kind == "unknown"
    assert told.map == "× × ×\n× × ×"


@settings(max_examples=50, deadline=None)
@given(seed=seeds, rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_random_pairs_have_no_simple_relation(seed, rows, columns):
    """It does not guess: of two unrelated arrays, nothing is claimed but that they differ."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows, columns))
    told = diagnose_arrays(a, b, sizes={"N": 7, "D": 5})
    few = rows * columns < 3  # one number is always a factor of another
    assert told.kind in ("unknown", "factor", "offset", "axis_factor") if few else True
    if rows > 1 and columns > 1:
        assert told.kind == "unknown"


# --- layers ----------------------------------------------------------------------------------


class NoMask(ta.ReLU):
    def backward(self, dy, y):
        return dy


class HalfSigmoid(ta.Sigmoid):
    def backward(self, dy, y):
        return dy * y


class OtherSlope(ta.Tanh):
    def backward(self, dy, y):
        return dy * (1 + y * y)


class NoUpstream(ta.Sigmoid):
    def backward(self, dy, y):
        return y * (1 - y)


class Writes(ta.ReLU):
    def backward(self, dy, y):
        dy *= y > 0
        return dy


class Stale(ta.Tanh):
    def forward(self, x):
        self.kept, cache = super().forward(x)
        return self.kept, cache

    def backward(self, dy, y):
        return dy * (1 - self.kept**2)


class Replaces(ta.Dense):
    def backward(self, dy, x):
        self.W.grad[...] = dy.T @ x
        self.b.grad += dy.sum(axis=0)
        return dy @ self.W.value


class Averages(ta.Dense):
    def backward(self, dy, x):
        self.W.grad += dy.T @ x / len(x)
        self.b.grad += dy.sum(axis=0)
        return dy @ self.W.value


class Noisy(ta.Tanh):
    def forward(self, x):
        y, cache = super().forward(x)
        return y + np.random.default_rng().normal(size=y.shape), cache


class Single(ta.Tanh):
    def backward(self, dy, y):
        return super().backward(dy, y).astype(np.float32)


class Raises(ta.Dense):
    def backward(self, dy, x):
        self.W.grad += dy @ x
        self.b.grad += dy.sum(axis=0)
        return dy @ self.W.value


class NoCentre(ta.BatchNorm):
    def project(self, g, xhat, sigma):
        axes = self.axes(g.ndim)
        return (g - xhat * (xhat * g).mean(axis=axes, keepdims=True)) / sigma


class Turned(ta.Conv2d):
    def adjoint(self, dy, x):
        flipped = ta.Conv2d(self.in_channels, self.out_channels, self.kernel_size, 1, 1, rng=_rng())
        flipped = flipped.astype(np.float64)
        flipped.W.value[...] = self.W.value[:, :, ::-1, ::-1]
        return ta.Conv2d.adjoint(flipped, dy, x)


def _rng():
    return np.random.default_rng(0)


LAYERS = {
    "mask": (NoMask(), (7, 5), "dx", "missing_factor", "[x > 0]"),
    "half a slope": (HalfSigmoid(), (7, 5), "dx", "missing_factor", "(1 − y)"),
    "another slope": (OtherSlope(), (7, 5), "dx", "wrong_factor", "(1 + y²) for (1 − y²)"),
    "upstream": (NoUpstream(), (7, 5), "dx", "upstream", "ignored"),
    "writes": (Writes(), (7, 5), "", "writes_input", "dy"),
    "stale": (Stale(), (7, 5), "dx", "stale_cache", "dx"),
    "replaces": (Replaces(5, 3, rng=_rng()), (7, 5), "dW", "not_added", "+="),
    "averages": (Averages(5, 3, rng=_rng()), (7, 5), "dW", "factor", "1/N"),
    "noise": (Noisy(), (7, 5), "", "noise", "y"),
    "float32": (Single(), (7, 5), "dx", "dtype", "float32"),
    "shapes": (Raises(5, 3, rng=_rng()), (7, 5), "", "transposed", None),
    "no centre": (NoCentre(5), (7, 5), "dx", "missing_term", None),
    "flipped": (Turned(2, 3, 3, 1, 1, rng=_rng()), (2, 2, 5, 4), "dx", "conv", "kernel flipped"),
}


@pytest.mark.parametrize("case", LAYERS)
def test_a_wrong_layer(case):
    layer, shape, tensor, kind, name = LAYERS[case]
    told = diagnose(layer, normal(*shape))
    first = told.findings[0]
    assert (first.tensor, first.kind) == (tensor, kind), str(told)
    assert name is None or first.name == name


def test_a_factor_is_told_apart_by_the_second_batch_size():
    """At five rows of five numbers 1/5 may be 1/N or 1/D: at three rows it is one of them."""

    class Divided(ta.Dense):
        def backward(self, dy, x):
            super().backward(dy, x)
            return dy @ self.W.value / dy.shape[1]

    layer = Divided(4, 5, rng=_rng())
    assert diagnose(layer, normal(5, 4)).findings[0].name == "1/O"
    assert diagnose(Averages(5, 4, rng=_rng()), normal(5, 5)).findings[0].name == "1/N"


def test_the_part_at_fault_is_named():
    model = ta.Sequential(dense(), HalfSigmoid(), ta.Dense(3, 2, rng=_rng()))
    first = diagnose(model, normal(7, 5)).findings[0]
    assert first.tensor == "1.dx"
    assert first.kind == "missing_factor"
    assert first.message.startswith("in 1: ")


def test_a_tangent_is_examined_too():
    class Broken(ta.Tanh):
        def tangent_backward(self, dydot, tcache):
            dxdot, dx = super().tangent_backward(dydot, tcache)
            return dxdot, 2 * dx

    first = diagnose(Broken(), normal(3, 5)).findings[0]
    assert (first.tensor, first.kind, first.name) == ("∂φ/∂x", "factor", "2")


# --- losses ----------------------------------------------------------------------------------


def mse(y, target):
    gap = y - target
    return float((gap * gap).mean()), 2 * gap / gap.size


def mse_by_rows(y, target):
    gap = y - target
    return float((gap * gap).mean()), 2 * gap / len(gap)


def mse_turned(y, target):
    gap = target - y
    return float((gap * gap).mean()), 2 * gap / gap.size


def mse_without_gradient(y, target):
    return float(((y - target) ** 2).mean()), None


@pytest.mark.parametrize(
    ("loss", "kind", "name"),
    [
        (mse, "", None),
        (mse_by_rows, "factor", "D"),
        (mse_turned, "factor", "-1"),
        (mse_without_gradient, "shape", "none"),
    ],
)
def test_a_loss_as_a_function(loss, kind, name):
    told = diagnose(loss, normal(7, 5), target=normal(7, 5, seed=2), sizes={"N": 7, "D": 5})
    assert told.kind == kind, str(told)
    assert name is None or told.findings[0].name == name


# --- models ----------------------------------------------------------------------------------


def vae(cls=ta.VariationalAutoencoder):
    rng = _rng()
    encoder = ta.Sequential(ta.Dense(7, 4, rng=rng), ta.Tanh())
    heads = ta.Dense(4, 2, rng=rng), ta.Dense(4, 2, rng=rng)
    decoder = ta.Sequential(ta.Dense(2, 7, rng=rng))
    return cls(encoder, *heads, decoder, beta=0.7)


class NoKL(ta.VariationalAutoencoder):
    def _terms(self, nll, mu, logvar, beta):
        terms, dkl = super()._terms(nll, mu, logvar, beta)
        return terms, 0 * dkl


class NotAveraged(ta.VariationalAutoencoder):
    def _terms(self, nll, mu, logvar, beta):
        terms, dkl = super()._terms(nll, mu, logvar, beta)
        return terms, dkl * len(mu)


@pytest.mark.parametrize(
    ("cls", "name", "says"), [(NoKL, "kl", "lacks"), (NotAveraged, "kl", " N,")]
)
def test_a_term_with_a_wrong_coefficient(cls, name, says):
    x = np.random.default_rng(2).uniform(size=(5, 7))
    first = diagnose(vae(cls), x).findings[0]
    assert (first.kind, first.name) == ("term", name)
    assert says in first.message


def test_both_players_of_a_game_are_examined():
    rng = _rng()
    generator = ta.Sequential(ta.Dense(2, 7, rng=rng), ta.Sigmoid())
    discriminator = ta.Sequential(ta.Dense(7, 3, rng=rng), HalfSigmoid(), ta.Dense(3, 1, rng=rng))
    told = diagnose(ta.GAN(generator, discriminator), np.full((5, 7), 0.5))
    assert told.kind == "missing_factor"
    assert "discriminator.1" in told.findings[0].tensor


# --- functions, as in exercises ----------------------------------------------------------------

INPUTS = {"x": normal(7, 5), "W": normal(3, 5, seed=2), "b": normal(3, seed=3)}


def affine(x, W, b):
    return x @ W.T + b


def right(dy, x, W, b):
    return dy @ W, dy.T @ x, dy.sum(axis=0)


def b_not_summed(dy, x, W, b):
    return dy @ W, dy.T @ x, dy


def b_along_the_wrong_axis(dy, x, W, b):
    return dy @ W, dy.T @ x, dy.sum(axis=1)


def out_of_order(dy, x, W, b):
    return dy @ W, dy.sum(axis=0), dy.T @ x


def wrong_operand(dy, x, W, b):
    return dy @ W, dy.T @ dy, dy.sum(axis=0)


def nothing(dy, x, W, b):
    return None


@pytest.mark.parametrize(
    ("backward", "kind", "tensor"),
    [
        (right, "", ""),
        (b_not_summed, "missing_sum", "db"),
        (b_along_the_wrong_axis, "wrong_axis", "db"),
        (out_of_order, "swapped", "dW"),
        (wrong_operand, "upstream", "dW"),
        (nothing, "shape", "dx"),
    ],
)
def test_a_function_with_its_backward(backward, kind, tensor):
    told = diagnose(affine, INPUTS, backward=backward)
    assert told.kind == kind, str(told)
    assert not kind or told.findings[0].tensor == tensor


def test_the_gradient_of_one_input_alone():
    told = diagnose(affine, INPUTS, backward=lambda dy, x, W, b: dy.T @ x / len(x), wrt="W")
    assert (told.kind, told.findings[0].name) == ("factor", "1/N")


def kl(mu, logvar):
    return float(0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum() / len(mu))


def test_a_number_needs_no_upstream():
    def backward(mu, logvar):
        return mu / len(mu), 0.5 * (np.exp(0.5 * logvar) - 1) / len(mu)

    inputs = {"mu": normal(7, 2), "logvar": normal(7, 2, seed=2)}
    told = diagnose(kl, inputs, backward=backward, upstream=False)
    assert told.right == ["dmu"]
    assert told.findings[0].tensor == "dlogvar"
    assert told.kind == "wrong_factor"
    assert "exp(logvar)" in told.findings[0].fix


def test_named_tensors_say_which_factor():
    mask = (np.random.default_rng(0).random((7, 5)) < 0.7) / 0.7
    inputs = {"x": normal(7, 5), "m": mask}
    told = diagnose(
        lambda x, m: np.tanh(x) * m,
        inputs,
        backward=lambda dy, x, m: dy * (1 - np.tanh(x) ** 2),
        wrt="x",
        tensors=lambda x, m: {"mask": m, "h": np.tanh(x)},
    )
    assert told.kind == "missing_factor"
    assert told.findings[0].name in ("m", "mask")


# --- lines -------------------------------------------------------------------------------------


def test_the_line_and_what_belongs_there():
    first = diagnose(Averages(5, 3, rng=_rng()), normal(7, 5)).findings[0]
    assert first.line == "self.W.grad += dy.T @ x / len(x)"
    assert first.fix == "self.W.grad += dy.T @ x"
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert source[first.number - 1].strip() == first.line


def test_the_source_of_a_right_twin_names_the_line_where_ours_has_none():
    space = {}
    exec("def f(dy, x, W, b):\n    return dy @ W, dy.T @ x, -dy.sum(axis=0)", space)
    first = diagnose(affine, INPUTS, backward=space["f"], reference=right).findings[0]
    assert (first.tensor, first.kind, first.name) == ("db", "factor", "-1")
    assert "return dy @ W" in first.fix or "multiply" in first.do or "sign" in first.do


# --- what is printed -----------------------------------------------------------------------------


def test_levels_go_from_the_class_to_the_line():
    told = diagnose(Averages(5, 3, rng=_rng()), normal(7, 5))
    one, two, three = (told.hint(level) for level in (1, 2, 3))
    assert "one number multiplies every entry" in one
    assert "1/N" not in one
    assert "1/N" in two
    assert "self.W" not in two
    assert "self.W.grad += dy.T @ x / len(x)" in three
    with pytest.raises(ValueError, match="expected 1, 2 or 3"):
        told.hint(4)


def test_a_page_is_readable():
    told = diagnose(HalfSigmoid(), np.linspace(-1, 1, 6).reshape(2, 3))
    lines = str(told).splitlines()
    assert lines[0] == "diagnosis of HalfSigmoid(): dx is wrong"
    assert lines[1].startswith("  wrong      dx (2, 3): 6 of 6 entries; worst at (")
    assert (
        lines[2] == "  found      dx lacks the factor (1 − y): times it, it is the numeric gradient"
    )
    assert lines[3].startswith("             exact to ")
    assert lines[3].endswith("at a second draw and at N = 2 and N = 5")
    assert lines[4] == "  do         multiply by (1 − y)"


def test_a_page_of_a_right_layer():
    assert str(diagnose(dense(), normal(7, 5))) == (
        "diagnosis of Dense(5, 3): every gradient is right\n  right      dx, dW, db"
    )


# --- wrong calls -----------------------------------------------------------------------------------


def test_wrong_calls_say_what_to_do():
    with pytest.raises(ValueError, match="is empty"):
        diagnose(dense(), np.zeros((0, 5)))
    with pytest.raises(ValueError, match="NaN"):
        diagnose(dense(), np.full((2, 5), np.nan))
    with pytest.raises(TypeError, match="expected a layer"):
        diagnose(3, normal(2, 2))
    with pytest.raises(TypeError, match="the class Dense"):
        diagnose(ta.Dense, normal(2, 2))


def test_the_private_base_that_is_read_exists():
    assert hasattr(_Norm, "project")  # NoCentre above overrides it
