"""The gradient check must catch what is wrong, and must not cry wolf."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae import catalog, gradcheck
from tinyae.layers import (
    BatchNorm,
    Dense,
    Dropout,
    Layer,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from tinyae.losses import BCE, L1, MSE, BCEWithLogits


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def dense(cls, rng, outputs=3, inputs=4):
    layer = cls(inputs, outputs, rng=rng)
    layer.b.value[...] = rng.normal(size=outputs)
    return layer, rng.normal(size=(5, inputs))


# --- what the numbers rest on -----------------------------------------------------------------


def test_central_difference_falls_by_100_when_h_falls_by_10():
    x = np.array([0.3, 0.7, 1.1])
    errors = [
        np.linalg.norm(gradcheck.numeric_gradient(lambda x: np.sin(x).sum(), x, h) - np.cos(x))
        for h in (1e-1, 1e-2, 1e-3)
    ]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.01)
    assert errors[1] / errors[2] == pytest.approx(100, rel=0.01)


def test_numeric_gradient_leaves_x_alone():
    x = np.arange(6.0).reshape(2, 3)
    g = gradcheck.numeric_gradient(lambda x: (x**3).sum(), x)
    np.testing.assert_allclose(g, 3 * x**2, atol=1e-8)
    np.testing.assert_array_equal(x, np.arange(6.0).reshape(2, 3))


# --- broken on purpose ------------------------------------------------------------------------


class Factor(Dense):
    def backward(self, dy, x):
        return 2 * super().backward(dy, x)


class Sign(Dense):
    def backward(self, dy, x):
        return -super().backward(dy, x)


class Transpose(Dense):
    def backward(self, dy, x):
        self.backward_params(dy, x)
        return dy @ self.W.value.T


class ParameterTranspose(Dense):
    def backward(self, dy, x):
        self.W.grad += x.T @ dy
        self.b.grad += dy.sum(axis=0)
        return self.backward_input(dy, x)


class MeanForSum(Dense):
    def backward(self, dy, x):
        self.W.grad += dy.T @ x
        self.b.grad += dy.mean(axis=0)
        return self.backward_input(dy, x)


class NoBias(Dense):
    def backward(self, dy, x):
        self.W.grad += dy.T @ x
        return self.backward_input(dy, x)


class Assigned(Dense):
    def backward(self, dy, x):
        self.W.grad[...] = dy.T @ x
        self.b.grad += dy.sum(axis=0)
        return self.backward_input(dy, x)


class ZeroInput(Dense):
    def backward(self, dy, x):
        self.backward_params(dy, x)
        return np.zeros_like(x)


class OneEntry(Dense):
    def backward(self, dy, x):
        dx = super().backward(dy, x)
        dx[1, 2] *= 1.001
        return dx


class SmallError(Dense):
    def backward(self, dy, x):
        return super().backward(dy, x) * (1 + 1e-5)


class NoInput(Dense):
    def backward(self, dy, x):
        self.backward_params(dy, x)


class WrongShape(Dense):
    def backward(self, dy, x):
        return super().backward(dy, x).T


class NotFinite(Dense):
    def backward(self, dy, x):
        dx = super().backward(dy, x)
        dx[0, 0] = np.nan
        return dx


class Single(Dense):
    def backward(self, dy, x):
        return super().backward(dy, x).astype(np.float32)


class WritesUpstream(Dense):
    def backward(self, dy, x):
        dx = super().backward(dy, x)
        dy *= 0
        return dx


BROKEN = [
    (Factor, "dx", "fail", "analytic = 2 × numeric"),
    (Sign, "dx", "fail", "sign"),
    (Transpose, "dx", "fail", "no simple relation"),
    (ParameterTranspose, "dW", "fail", "transpose"),
    (MeanForSum, "db", "fail", "analytic = 0.2 × numeric"),
    (NoBias, "db", "fail", "zero"),
    (Assigned, "dW", "fail", "+="),
    (ZeroInput, "dx", "fail", "zero"),
    (OneEntry, "dx", "fail", "1 of 20 entries"),
    (SmallError, "dx", "suspicious", "small difference"),
    (NoInput, "dx", "fail", "no gradient"),
    (WrongShape, "dx", "fail", "shape (4, 5), expected (5, 4)"),
    (NotFinite, "dx", "fail", "not finite"),
    (Single, "dx", "fail", "float32"),
    (WritesUpstream, "dy", "fail", "written into"),
]


@pytest.mark.parametrize(
    ("cls", "row", "verdict", "remark"), BROKEN, ids=lambda v: getattr(v, "__name__", v)
)
def test_a_broken_backward_is_found_and_named(cls, row, verdict, remark, rng):
    square = cls in (Transpose, ParameterTranspose)
    layer, x = dense(cls, rng, outputs=4 if square else 3)
    report = gradcheck.check(layer, x, rng=rng)
    assert not report.ok
    assert not report
    assert report[row].verdict == verdict
    assert remark in report[row].remark
    assert remark in str(report)
    others = {r.name for r in report.rows if r.verdict != "pass"}
    assert others == {row}, report


@pytest.mark.parametrize("size", [1.001, 1.5, 0.0, -1.0])
def test_an_error_in_a_tensor_too_large_for_every_entry_is_found(size, rng):
    class OneRow(Dense):
        def backward(self, dy, x):
            dW = dy.T @ x
            dW[3] *= size
            self.W.grad += dW
            self.b.grad += dy.sum(axis=0)
            return self.backward_input(dy, x)

    layer, x = OneRow(200, 40, rng=rng), rng.normal(size=(2, 200))
    row = gradcheck.check(layer, x, rng=rng, max_entries=4)["dW"]
    assert row.verdict == "fail"
    assert row.sampled
    assert "4 of 8000 + 1 direction" in row.entries


def test_a_large_tensor_that_is_right_passes(rng):
    layer, x = Dense(300, 40, rng=rng), rng.normal(size=(3, 300))
    report = gradcheck.check(layer, x, rng=rng, max_entries=20)
    assert report.ok, report
    assert report["dx"].sampled
    assert not report["db"].sampled or report["db"].size > 20


class NoCentre(BatchNorm):
    """Without the path through the mean."""

    def project(self, g, xhat, sigma):
        return (g - xhat * (xhat * g).mean(axis=0)) / sigma


class NoProjection(Softmax):
    def backward(self, dy, y):
        return y * dy


class WrongCurvature(Tanh):
    def curvature(self, y):
        return -y * (1 - y * y)


class NoCurvature(Tanh):
    def curvature(self, y):
        return None


class WrongTangent(Sigmoid):
    def tangent(self, xdot, y):
        return xdot * y, (xdot, y)


class TangentWithBias(Dense):
    def tangent(self, xdot, x):
        ydot, tcache = super().tangent(xdot, x)
        return ydot + self.b.value, tcache


class ForgetsTheSecondPath(Sequential):
    def tangent_backward(self, dydot, tcache):
        for layer, tc in zip(reversed(self.layers), reversed(tcache[0])):
            dydot, dx = layer.tangent_backward(dydot, tc)
        return dydot, dx


def test_a_missing_term_is_found(rng):
    x = rng.normal(size=(6, 3))
    assert gradcheck.check(NoCentre(3), x, rng=rng)["dx"].verdict == "fail"
    assert gradcheck.check(NoProjection(), x, rng=rng)["dx"].verdict == "fail"


def test_a_broken_tangent_is_found(rng):
    x = rng.normal(size=(5, 4))
    assert gradcheck.check_tangent(WrongCurvature(), x, rng=rng)["∂φ/∂x"].verdict == "fail"
    assert gradcheck.check_tangent(NoCurvature(), x, rng=rng)["∂φ/∂x"].verdict == "fail"
    assert gradcheck.check_tangent(WrongTangent(), x, rng=rng)["ẏ"].verdict == "fail"
    layer, x = dense(TangentWithBias, rng)
    assert gradcheck.check_tangent(layer, x, rng=rng)["ẏ"].verdict == "fail"
    net = Dense(4, 3, rng=rng), Tanh(), Dense(3, 2, rng=rng), Tanh()
    assert gradcheck.check_tangent(Sequential(*net), x, rng=rng).ok
    report = gradcheck.check_tangent(ForgetsTheSecondPath(*net), x, rng=rng)
    assert report["∂φ/∂0.W"].verdict == "fail"


def test_a_layer_without_tangent_says_so(rng):
    class Plain(Layer):
        def forward(self, x):
            return x, None

    with pytest.raises(NotImplementedError, match="Plain has no tangent"):
        gradcheck.check_tangent(Plain(), rng.normal(size=(2, 2)), rng=rng)


# --- kinks ------------------------------------------------------------------------------------


class Kink(Layer):
    """ReLU with a chosen slope at the kink itself."""

    def __init__(self, at_zero):
        self.at_zero = at_zero

    def forward(self, x):
        return np.maximum(x, 0), x

    def backward(self, dy, x):
        return dy * np.where(x == 0, self.at_zero, x > 0)


@pytest.mark.parametrize("at_zero", [0, 0.5, 1])
def test_a_kink_at_zero_is_no_error(at_zero, rng):
    x = rng.normal(size=(4, 5))
    x[:, 1:3] = 0
    row = gradcheck.check(Kink(at_zero), x, rng=rng)["dx"]
    assert row.verdict == "pass"
    # A slope of ½ is the central difference itself: nothing disagrees.
    assert row.kinks == (0 if at_zero == 0.5 else 8)
    assert row.checked == 20 - row.kinks


@pytest.mark.parametrize("at_zero", [-1, -0.1, 1.1, 2])
def test_a_wrong_slope_at_a_kink_is_an_error(at_zero, rng):
    x = rng.normal(size=(4, 5))
    x[0, 0] = 0
    report = gradcheck.check(Kink(at_zero), x, rng=rng)
    assert report["dx"].verdict == "fail"
    assert report["dx"].worst == (0, 0)


def test_a_wrong_gradient_is_not_excused_by_kinks_elsewhere(rng):
    class Wrong(Kink):
        def backward(self, dy, x):
            return super().backward(dy, x) * (1 + 1e-3)

    x = rng.normal(size=(4, 5))
    x[:2] = 0
    assert gradcheck.check(Wrong(0), x, rng=rng)["dx"].verdict == "fail"


@pytest.mark.parametrize("layer", [ReLU(), ta.LeakyReLU(0.1), MaxPool2d(2)], ids=repr)
def test_layers_pass_where_everything_is_a_kink(layer, rng):
    report = gradcheck.check(layer, np.zeros((2, 2, 4, 4)), rng=rng)
    assert report.ok, report
    assert report["dx"].kinks > 0


@pytest.mark.parametrize("distance", [1e-6, 3e-6, 7e-6, 2e-5, 1e-4, 1e-3])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_kink_close_by_is_no_error(distance, sign, rng):
    x = rng.normal(size=(4, 5))
    x[0] = sign * distance
    assert gradcheck.check(ReLU(), x, rng=rng).ok
    assert gradcheck.check(Sequential(Dense(5, 3, rng=rng), ReLU()), x, rng=rng).ok


def test_a_dead_network_passes(rng):
    layer = Sequential(Dense(4, 3, rng=rng), ReLU(), Dense(3, 2, rng=rng))
    layer.layers[0].b.value[...] = -100
    assert gradcheck.check(layer, rng.normal(size=(5, 4)), rng=rng).ok


def test_a_step_is_not_taken_for_a_kink(rng):
    class Step(Layer):
        def forward(self, x):
            return (x > 0).astype(x.dtype), x

        def backward(self, dy, x):
            return dy  # "straight through": useful, but not the gradient

    x = rng.normal(size=(3, 3))
    x[0, 0] = 0
    report = gradcheck.check(Step(), x, rng=rng)
    assert report["dx"].verdict == "fail"
    assert report["dx"].kinks == 0


# --- rounding and truncation ------------------------------------------------------------------


def test_a_gradient_that_is_truly_zero_passes(rng):
    x = rng.normal(size=(6, 4))
    report = gradcheck.check(Sequential(Dense(4, 3, rng=rng), BatchNorm(3)), x, rng=rng)
    assert report.ok, report
    assert abs(report["0.db"].analytic) < 1e-12


def test_a_zero_where_the_gradient_is_small_fails(rng):
    class Small(Layer):
        def forward(self, x):
            return x + 1e-6 * np.sin(x.sum(axis=1, keepdims=True)), x

        def backward(self, dy, x):  # without the small path
            return dy

    assert gradcheck.check(Small(), rng.normal(size=(4, 3)), rng=rng)["dx"].verdict != "pass"


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e4, 1e8])
def test_the_scale_of_the_outputs_does_not_matter(scale, rng):
    class Scaled(Sigmoid):
        def forward(self, x):
            y, cache = super().forward(x)
            return scale * y, cache

        def backward(self, dy, y):
            return scale * super().backward(dy, y)

    class Wrong(Scaled):
        def backward(self, dy, y):
            return 1.01 * super().backward(dy, y)

    x = rng.normal(size=(4, 3))
    assert gradcheck.check(Scaled(), x, rng=rng).ok
    assert gradcheck.check(Wrong(), x, rng=rng)["dx"].verdict == "fail"


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_steep_and_flat_layers_pass(scale, rng):
    class Stretched(Softplus):
        def forward(self, x):
            return super().forward(scale * x)

        def backward(self, dy, y):
            return scale * super().backward(dy, y)

    assert gradcheck.check(Stretched(), rng.normal(size=(4, 3)) / scale, rng=rng).ok


def test_bce_is_steep_near_its_ends(rng):
    y, target = rng.uniform(size=(20, 3)), rng.uniform(size=(20, 3))
    y[0], y[1] = [1e-3, 1e-4, 1e-5], [1 - 1e-3, 1 - 1e-4, 1 - 1e-5]
    report = gradcheck.check_loss(BCE(), y, target)
    assert report.ok, report
    y[2] = 0, 1, 0  # on the edge there is no two-sided slope
    report = gradcheck.check_loss(BCE(), y, target)
    assert report.ok, report
    assert report["dy"].kinks == 3


# --- no false alarms --------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), spot=st.sampled_from([None, 0.0, 1e-6]))
def test_no_false_alarm(seed, spot):
    rng = np.random.default_rng(seed)
    width, out = rng.integers(1, 6, 2)
    net = [Dense(4, width, rng=rng), ReLU(), Dense(width, out, rng=rng)]
    middle = [BatchNorm(width), Dropout(0.3, rng=rng), Tanh(), Softmax()]
    net.insert(1, middle[rng.integers(len(middle))])
    x = 10 ** rng.uniform(-1, 1) * rng.normal(size=(rng.integers(2, 6), 4))
    report = gradcheck.check(Sequential(*net), x, rng=rng)
    assert report.ok, report
    if spot is not None:
        x[0, 0] = spot
        report = gradcheck.check(Sequential(ReLU(), *net), x, rng=rng)
        assert report.ok, report


def test_everything_in_the_catalog_passes(kernel_set):
    rng = np.random.default_rng(["numpy", "numba"].index(kernel_set))
    for name, report in catalog.check_all(rng):
        assert report.ok, f"{name}\n{report}"


# --- what the check leaves alone, and what it replays -----------------------------------------


def test_the_layer_the_input_and_the_noise_are_left_alone():
    rng = np.random.default_rng(0)
    noise = np.random.default_rng(7)
    layer = Sequential(Dense(4, 3, rng=rng), BatchNorm(3), Dropout(0.5, rng=noise))
    layer.params["0.W"].grad[...] = 3
    before = {k: p.value.copy() for k, p in layer.params.items()}
    state = {k: a.copy() for k, a in layer.state.items()}
    x = rng.normal(size=(5, 4)).astype(np.float32)
    assert gradcheck.check(layer, x, rng=rng).ok
    for name, p in layer.params.items():
        np.testing.assert_array_equal(p.value, before[name])
        assert p.dtype == np.float32
    for name, a in layer.state.items():
        np.testing.assert_array_equal(a, state[name])
    assert (layer.params["0.W"].grad == 3).all()
    assert noise.random() == np.random.default_rng(7).random()


def test_a_duck_is_a_layer(rng):
    class Duck:
        """No base class, an array rebound as running state, a counter, noise in a list."""

        def __init__(self):
            self.w = ta.param.Param(np.ones(3))
            self.mean, self.calls = np.zeros(3), 0
            self.noise = [np.random.default_rng(3)]

        @property
        def params(self):
            return {"w": self.w}

        def forward(self, x):
            self.calls += 1
            self.mean = self.mean + x.mean(axis=0)
            m = self.noise[0].random(x.shape) * (1 + self.mean**2) * self.calls
            return x * m * self.w.value, (x, m)

        def backward(self, dy, cache):
            x, m = cache
            self.w.grad += (dy * x * m).sum(axis=0)
            return dy * m * self.w.value

    report = gradcheck.check(Duck(), rng.normal(size=(4, 3)), rng=rng)
    assert report["dw"].verdict == "pass"
    # Through the running mean the gradient is not followed: the duck has that wrong.
    assert report["dx"].verdict == "fail"


def test_no_params_at_all_is_fine(rng):
    class Square:
        def forward(self, x):
            return x * x, x

        def backward(self, dy, x):
            return 2 * x * dy

    assert gradcheck.check(Square(), rng.normal(size=(3, 2)), rng=rng).ok
    assert gradcheck.check(Square(), rng.normal(size=(3, 2))).ok  # rng has a default


def test_noise_from_nowhere_is_named(rng):
    class Wild(Layer):
        def forward(self, x):
            m = np.random.default_rng().random(x.shape)
            return x * m, m

        def backward(self, dy, m):
            return dy * m

    report = gradcheck.check(Wild(), rng.normal(size=(3, 2)), rng=rng)
    assert "differs from call to call" in report["y"].remark


def test_outputs_that_cannot_be_measured_are_named(rng):
    class Nan(Layer):
        def forward(self, x):
            return x * np.nan, None

    class Single(Layer):
        def forward(self, x):
            return x.astype(np.float32), None

    x = rng.normal(size=(3, 2))
    assert "not finite" in gradcheck.check(Nan(), x)["y"].remark
    assert "float32" in gradcheck.check(Single(), x)["y"].remark


@pytest.mark.parametrize("x", [np.array([[np.nan]]), np.zeros((0, 3))], ids=["nan", "empty"])
def test_an_input_that_cannot_be_checked_is_refused(x):
    with pytest.raises(ValueError, match="expected finite numbers"):
        gradcheck.check(ReLU(), x)


# --- losses and models ------------------------------------------------------------------------


class HalfMSE(MSE):
    def measure(self, y, target):
        L, dy = super().measure(y, target)
        return L, dy / 2


class SumForMean(BCEWithLogits):
    def measure(self, y, target):
        L, dy = super().measure(y, target)
        return L, dy * y.size


def test_a_broken_loss_is_found(rng):
    y, target = rng.normal(size=(5, 3)), rng.uniform(size=(5, 3))
    row = gradcheck.check_loss(HalfMSE(), y, target)["dy"]
    assert (row.verdict, row.remark) == ("fail", "analytic = 0.5 × numeric")
    row = gradcheck.check_loss(SumForMean(), y, target)["dy"]
    assert (row.verdict, row.remark) == ("fail", "analytic = 15 × numeric")


def test_l1_at_its_kink(rng):
    y = rng.normal(size=(3, 2))
    assert gradcheck.check_loss(L1(), y, y.copy()).ok  # the slope 0 is between −1 and 1


def autoencoder(cls, rng, dropout=0.3):
    encoder = Sequential(Dense(6, 3, rng=rng), Tanh(), Dropout(dropout, rng=rng))
    return cls(encoder, Sequential(Dense(3, 6, rng=rng), Sigmoid()), MSE())


class Noisy(ta.Autoencoder):
    """Adds noise from the rng that it is given, and a penalty on the code."""

    lost = 0.0

    def terms(self, x, rng, learn):
        z, encoded = self.encoder.forward(x + rng.normal(size=x.shape))
        y, decoded = self.decoder.forward(z)
        L, dy = self.loss(y, x)
        if learn:
            dz = self.decoder.backward(dy, decoded) + (1 - self.lost) * 2 * z / len(z)
            self.encoder.backward_params(dz, encoded)
        penalty = float((z * z).sum() / len(z))
        return {"total": L + penalty, "reconstruction": L, "penalty": penalty}

    def objective(self, x, rng=None):
        return self.terms(x, rng, learn=False)

    def backprop(self, x, rng=None):
        return self.terms(x, rng, learn=True)


class LosesATerm(Noisy):
    lost = 1e-3


class OtherNoise(Noisy):
    def objective(self, x, rng=None):
        rng.random()
        return super().objective(x, rng)


class Learns(Noisy):
    def objective(self, x, rng=None):
        return self.terms(x, rng, learn=True)


def test_models_pass(rng):
    x = rng.uniform(size=(5, 6))
    assert gradcheck.check_model(autoencoder(ta.Autoencoder, rng), x, rng).ok
    noise = np.random.default_rng(5)
    assert gradcheck.check_model(autoencoder(Noisy, rng), x, noise).ok


def test_broken_models_are_found(rng):
    x = rng.uniform(size=(5, 6))
    report = gradcheck.check_model(autoencoder(LosesATerm, rng), x, rng=rng)
    assert report["encoder.0.dW"].verdict == "fail"
    assert report["decoder.0.dW"].verdict == "pass"
    report = gradcheck.check_model(autoencoder(OtherNoise, rng), x, rng=rng)
    assert "disagree" in report["terms['total']"].remark
    report = gradcheck.check_model(autoencoder(Learns, rng), x, rng=rng)
    assert "changes a gradient" in report["objective"].remark


def test_one_lost_path_of_a_tied_weight_is_found(rng):
    class Forgets(ta.TiedDense):
        def backward(self, dy, x):
            self.b.grad += dy.sum(axis=0)
            return dy @ self.dense.W.value.T

    tied = Dense(6, 3, rng=rng)
    x = rng.uniform(size=(5, 6))
    for cls, verdict in ((ta.TiedDense, "pass"), (Forgets, "fail")):
        model = ta.Autoencoder(Sequential(tied, Tanh()), Sequential(cls(tied)), MSE())
        assert gradcheck.check_model(model, x, rng=rng)["encoder.0.dW"].verdict == verdict


# --- the report -------------------------------------------------------------------------------


def test_the_table_reads_well(rng):
    layer, x = dense(Factor, rng)
    lines = str(gradcheck.check(layer, x, rng=rng)).splitlines()
    assert lines[0] == "gradient check of Dense(4, 3): not every gradient passes"
    assert lines[1].split() == (
        ["gradient", "shape", "entries", "error", "verdict", "worst", "at", "analytic", "numeric"]
    )
    assert lines[2].split()[:2] == ["dx", "(5,"]
    assert lines[3].strip() == "↳ analytic = 2 × numeric"
    x[...] = 0
    assert "kinks" in str(gradcheck.check(ReLU(), x, rng=rng))


def test_the_same_seed_gives_the_same_report(rng):
    layer, x = dense(Dense, rng)
    assert str(gradcheck.check(layer, x, rng=3)) == str(gradcheck.check(layer, x, rng=3))
    with pytest.raises(KeyError, match="no row 'dV'"):
        gradcheck.check(layer, x)["dV"]


def test_a_seed_that_drew_x_too_hides_nothing():
    """With r = x, dW = rᵀx is symmetric, and its transpose passes."""

    class Transposed(ta.Dense):
        def backward(self, dy, x):
            self.W.grad += x.T @ dy
            self.b.grad += dy.sum(axis=0)
            return dy @ self.W.value

    layer = Transposed(4, 4, rng=np.random.default_rng(1))
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(3, 4))
        assert gradcheck.check(layer, x, rng=seed)["dW"].verdict != "pass"
