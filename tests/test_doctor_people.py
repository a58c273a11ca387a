"""The forms in which people bring a backward pass, and the kinds of slips that they make in it."""

import numpy as np
import pytest

from tinyae import gradcheck
from tinyae.gradcheck import assert_gradients, diagnose

BETA, DELTA, STRIDE = 3.0, 0.5, 2


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# --- forms ------------------------------------------------------------------------------------


def affine_forward(x, w, b):
    return x @ w + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def affine_backward_with_a_mean(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.mean(axis=0)


def affine_inputs():
    return {"x": normal(5, 4), "w": normal(4, 3), "b": normal(3)}


def test_a_cache_between_forward_and_backward():
    assert diagnose(affine_forward, affine_inputs(), backward=affine_backward).ok
    told = diagnose(affine_forward, affine_inputs(), backward=affine_backward_with_a_mean)
    assert (told.kind, told.findings[0].name) == ("factor", "1/N")
    assert told.findings[0].fix == "return (dout @ w.T, x.T @ dout, dout.sum(axis=0))"


def softmax_loss(W, X, y):
    p = softmax(X @ W)
    L = -np.log(p[np.arange(len(X)), y]).mean()
    p[np.arange(len(X)), y] -= 1
    return L, X.T @ p / len(X)


def softmax_loss_not_averaged(W, X, y):
    p = softmax(X @ W)
    L = -np.log(p[np.arange(len(X)), y]).mean()
    p[np.arange(len(X)), y] -= 1
    return L, X.T @ p


def test_a_loss_with_its_gradient():
    inputs = {"W": normal(4, 3), "X": normal(5, 4), "y": np.array([0, 2, 1, 1, 0])}
    assert diagnose(softmax_loss, inputs).ok
    told = diagnose(softmax_loss_not_averaged, inputs)
    assert told.wrong == ["dW"]
    assert "len(X)" in told.findings[0].name
    with pytest.raises(TypeError, match="comes without a backward"):
        diagnose(np.tanh and sigmoid, normal(5, 4))


@pytest.mark.parametrize("keys", [("x", "w", "b"), ("dx", "dw", "db"), ("grad_x", "w_grad", "d_b")])
def test_gradients_by_name(keys):
    def backward(dy, x, w, b):
        return dict(zip(keys, (dy @ w.T, x.T @ dy, dy.sum(axis=0))))

    assert diagnose(lambda x, w, b: x @ w + b, affine_inputs(), backward=backward).right == [
        "dx",
        "dw",
        "db",
    ]


@pytest.mark.parametrize("pack", [tuple, list])
def test_inputs_and_gradients_in_a_row(pack):
    def backward(dy, x, w, b):
        return pack([dy @ w.T, x.T @ dy, dy.sum(axis=0)])

    inputs = pack(affine_inputs().values())
    told = diagnose(lambda x, w, b: x @ w + b, inputs, backward=backward)
    assert told.right == ["dx", "dw", "db"]


def test_none_is_no_gradient_where_none_was_asked_for():
    def backward(dy, W, i):
        dW = np.zeros_like(W)
        np.add.at(dW, i, dy)
        return dW, None

    inputs = {"W": normal(6, 4), "i": np.array([1, 0, 3, 0])}
    assert diagnose(lambda W, i: W[i], inputs, backward=backward).right == ["dW"]
    asked = diagnose(
        lambda x, w: x @ w,
        {"x": normal(5, 4), "w": normal(4, 3)},
        backward=lambda dy, x, w: (dy @ w.T, None),
        wrt=("x", "w"),
    )
    assert (asked.kind, asked.findings[0].name) == ("shape", "none")


def test_a_number_whose_backward_takes_no_dy():
    assert diagnose(lambda x: (x**2).sum(), normal(5, 4), backward=lambda x: 2 * x).ok
    assert not diagnose(lambda x: (x**2).sum(), normal(5, 4), backward=lambda x: x).ok


def test_a_mode_among_the_inputs():
    def f(x, mask, mode):
        return x * mask if mode == "train" else x

    def backward(dy, x, mask, mode):
        return dy * mask

    inputs = {"x": normal(5, 4), "mask": normal(5, 4, seed=2) > 0, "mode": "train"}
    assert diagnose(f, inputs, backward=backward, wrt="x").ok


def test_assert_gradients_fails_with_the_diagnosis():
    assert_gradients(np.tanh, normal(5, 4), backward=lambda dy, x: dy * (1 - np.tanh(x) ** 2))
    with pytest.raises(AssertionError, match="dx has the wrong sign"):
        gradcheck.assert_gradients(np.sin, normal(5, 4), backward=lambda dy, x: -dy * np.cos(x))
    with pytest.raises(AssertionError, match="nothing was compared"):
        assert_gradients(lambda x: 0 * x, normal(5, 4), backward=lambda dy, x: 0 * dy)


# --- repairs ------------------------------------------------------------------------------------


def exponential(x):
    return np.where(x > 0, x, np.exp(x) - 1)


def exponential_back(dy, x):
    return dy * np.where(x > 0, 1, np.exp(exponential(x)))


def test_no_repair_of_what_forward_runs_too():
    told = diagnose(exponential, normal(5, 7), backward=exponential_back)
    assert told.wrong == ["dx"]
    assert "def" not in told.findings[0].line
    assert told.findings[0].number == 0 or "dy" in told.findings[0].line


def test_a_repair_leaves_the_loss_as_it_is():
    def joint(W, x):
        y = x @ W
        return 0.5 * np.sum(y * y), x.T @ (2 * y)

    told = diagnose(joint, {"W": normal(4, 3), "x": normal(5, 4)}, wrt="W")
    assert (told.kind, told.findings[0].name) == ("factor", "2")
    assert "0.5 * np.sum(y * y)" in (told.findings[0].place.fix or "0.5 * np.sum(y * y)")


def batch_norm(x):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


def batch_norm_back(dy, x):
    c = x - x.mean(axis=0)
    istd = 1 / np.sqrt(x.var(axis=0) + 1e-5)
    dvar = np.sum(dy * c, axis=0) * -0.5 * istd**3
    dmu = np.sum(dy * -istd, axis=0)
    return dy * istd + dvar * 2 * c / len(x) + dmu


def test_the_factor_of_one_path_is_not_said_to_multiply_every_entry():
    told = diagnose(batch_norm, normal(7, 5), backward=batch_norm_back)
    assert "every entry" not in told.hint(1)
    assert "mean" in told.findings[0].message


def two_layers(W, V, x):
    return np.tanh(x @ W) @ V


def two_slips(dy, W, V, x):
    h = np.tanh(x @ W)
    return x.T @ (dy @ V.T * (1 - h)), h.T @ dy * 2


def test_two_slips_are_named_one_by_one():
    inputs = {"W": normal(3, 4), "V": normal(4, 2), "x": normal(7, 3)}
    told = diagnose(two_layers, inputs, backward=two_slips, wrt=("W", "V"))
    found = {f.tensor: f for f in told.findings}
    assert found["dV"].name == "2"
    assert found["dW"].kind != "unknown"


# --- relations ----------------------------------------------------------------------------------


def one_hot_loss(z, t):
    return -np.sum(t * np.log(softmax(z))) / len(z)


def diagonal(z, t):
    y = softmax(z)
    return -t / y / len(z) * y * (1 - y)


def test_a_one_hot_target_is_not_taken_for_a_factor():
    inputs = {"z": normal(5, 4), "t": np.eye(4)[[0, 2, 1, 3, 2]]}
    told = diagnose(one_hot_loss, inputs, backward=diagonal, wrt="z", upstream=False)
    assert told.findings[0].name == "1/N·(1 − t)·y"
    assert "sum to zero along axis 1" in told.findings[0].message


def test_a_factor_is_confirmed_at_other_lengths():
    """W − 1 where H = 3 and W = 5: at these lengths it might as well be H + 1."""

    def f(x):
        return x.sum(axis=2) / (x.shape[2] - 1)

    def backward(dy, x):
        return np.repeat(dy[:, :, None], x.shape[2], axis=2)

    told = diagnose(f, normal(2, 3, 5), backward=backward)
    assert told.kind == "factor"
    assert "4 times" not in told.findings[0].message


@pytest.mark.parametrize("shape", [(5, 3), (4, 6), (3, 5)])  # 2/3 is 2/D, N/D, 2/N
def test_a_factor_has_the_name_that_holds_at_other_lengths_or_none(shape):
    told = diagnose(lambda x: (x**3).sum(), normal(*shape), backward=lambda dy, x: dy * 2 * x**2)
    assert "dx is 0.666667 times" in told.findings[0].message


def falling(dy, x):
    dx, i = np.zeros_like(x), len(x)
    while i > 0:
        i -= 1
        j = 0
        while j != x.shape[1]:
            h = np.tanh(x[i, j])
            dx[i, j] = dy[i] * (1 - h)
            j = j + 1
    return dx


def test_an_edit_that_would_never_end():
    told = diagnose(lambda x: np.tanh(x).sum(axis=1), normal(5, 3), backward=falling)
    assert told.findings[0].place.line == "dx[i, j] = dy[i] * (1 - h)"
    assert told.findings[0].place.fix == "dx[i, j] = dy[i] * (1 - h * h)"


def lost(dy, W, i):
    dW = np.zeros_like(W)
    dW[i] += dy
    return dW


def huber(y, t):
    d = np.abs(y - t)
    return np.where(d <= DELTA, 0.5 * d * d, DELTA * (d - 0.5 * DELTA)).sum()


def huber_back(y, t):
    d = y - t
    return np.where(np.abs(d) <= DELTA, d, np.sign(d))


def test_wrong_entries_are_told_by_what_they_have_in_common():
    inputs = {"W": normal(6, 4), "i": np.array([1, 0, 3, 0, 5, 1, 0])}
    told = diagnose(lambda W, i: W[i], inputs, backward=lost, wrt="W")
    assert told.kind == "repeated"
    assert "np.add.at" in told.findings[0].do
    pair = {"y": normal(5, 7), "t": normal(5, 7, seed=2)}
    told = diagnose(huber, pair, backward=huber_back, wrt="y", upstream=False)
    assert told.kind == "entries"
    assert "> DELTA" in told.findings[0].message


def divergence(mu, s):
    return BETA * 0.5 * np.sum(mu * mu + np.exp(s) - s - 1)


def divergence_back(mu, s):
    return mu, 0.5 * BETA * (np.exp(s) - 1)


def test_constants_of_the_module_are_names_for_factors():
    inputs = {"mu": normal(5, 3), "s": normal(5, 3, seed=2)}
    told = diagnose(divergence, inputs, backward=divergence_back, upstream=False)
    assert told.wrong == ["dmu"]
    assert "BETA" in f"{told.findings[0].message} {told.findings[0].do} {told.findings[0].also}"


def windows(x, W):
    K = W.shape[1]
    n = (x.shape[1] - K) // STRIDE + 1
    return np.stack([x[:, STRIDE * i : STRIDE * i + K] @ W.T for i in range(n)], axis=2)


def windows_back(dy, x, W):
    K = W.shape[1]
    dx = np.zeros_like(x)
    for i in range(dy.shape[2]):
        dx[:, i : i + K] += dy[:, :, i] @ W
    return dx


def test_a_forgotten_stride():
    told = diagnose(
        windows, {"x": normal(3, 11), "W": normal(2, 3)}, backward=windows_back, wrt="x"
    )
    assert "stride" in told.findings[0].message
    assert "STRIDE" in told.findings[0].fix


def test_float32_inside_backward_is_called_so():
    def backward(dy, x):
        return (dy.astype(np.float32) * np.cos(x)).astype(np.float64)

    told = diagnose(np.sin, normal(5, 4), backward=backward)
    assert told.kind == "dtype"


# --- frameworks -----------------------------------------------------------------------------------


def test_a_custom_function_of_pytorch():
    torch = pytest.importorskip("torch")

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w.t()

        @staticmethod
        def backward(ctx, dy):
            x, w = ctx.saved_tensors
            return dy @ w, dy.t() @ x

    class Mean(Linear):
        @staticmethod
        def backward(ctx, dy):
            x, w = ctx.saved_tensors
            return dy @ w, dy.t() @ x / len(x)

    inputs = {"x": normal(5, 4), "w": normal(3, 4)}
    assert diagnose(Linear, inputs).right == ["dx", "dw"]
    told = diagnose(Mean, inputs)
    assert (told.kind, told.findings[0].name) == ("factor", "1/N")
    assert told.findings[0].line == "return dy @ w, dy.t() @ x / len(x)"
    assert diagnose(Linear, tuple(inputs.values())).ok


def test_a_custom_vjp_of_jax():
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def f(x, n):
        return jax.numpy.tanh(x) * n

    def fwd(x, n):
        return f(x, n), (x, n)

    def right(residuals, dy):
        x, n = residuals
        return dy * n * (1 - jax.numpy.tanh(x) ** 2), None

    def wrong(residuals, dy):
        x, n = residuals
        return -dy * n * (1 - jax.numpy.tanh(x) ** 2), None

    f.defvjp(fwd, right)
    assert diagnose(f, {"x": normal(5, 4), "n": 3}).ok
    f.defvjp(fwd, wrong)
    assert diagnose(f, {"x": normal(5, 4), "n": 3}).findings[0].name == "-1"


# --- loops, paths, budgets ------------------------------------------------------------------------


def states_of(x, U):
    h = [np.zeros((x.shape[1], len(U)))]
    for step in x:
        h.append(np.tanh(step + h[-1] @ U))
    return h


def slope_of_the_state_before(dy, x, U):
    h = [np.zeros((x.shape[1], len(U)))]
    for step in x:
        h.append(np.tanh(step + h[-1] @ U))
    dU, dx = np.zeros_like(U), np.zeros_like(x)
    for t in reversed(range(len(x))):
        dz = dy * (1 - h[t] ** 2)
        dU += h[t].T @ dz
        dx[t] = dz
        dy = dz @ U.T
    return dx, dU


def test_a_repair_that_runs_over_the_list_it_appends_to_ends():
    """ "for step in h: h.append(…)" is one of the repairs that are tried."""
    inputs = {"x": normal(4, 5, 3), "U": 0.4 * normal(3, 3)}
    diagnosis = diagnose(
        lambda x, U: states_of(x, U)[-1], inputs, backward=slope_of_the_state_before
    )
    assert diagnosis.wrong == ["dx", "dU"]


def gru(h, x, Wr, Wz, Wn):
    r, z = sigmoid(x + h @ Wr), sigmoid(x + h @ Wz)
    n = np.tanh(x + (r * h) @ Wn)
    return (1 - z) * h + z * n


def test_a_forgotten_path_through_a_gate_is_named_with_its_matrix():
    def without_the_reset_gate(dy, h, x, Wr, Wz, Wn):
        r, z = sigmoid(x + h @ Wr), sigmoid(x + h @ Wz)
        n = np.tanh(x + (r * h) @ Wn)
        dn = dy * z * (1 - n * n)
        dz = dy * (n - h) * z * (1 - z)
        dm = dn @ Wn.T
        return dy * (1 - z) + dm * r + dz @ Wz.T

    weights = {f"W{g}": normal(3, 3, seed=i) for i, g in enumerate("rzn")}
    inputs = {"h": normal(5, 3), "x": normal(5, 3, seed=7), **weights}
    found = diagnose(gru, inputs, backward=without_the_reset_gate, wrt="h").findings[0]
    assert (found.kind, found.name) == ("missing_term", "(dm·h·r·(1 − r)) Wrᵀ")


def test_what_backward_computes_in_passing_has_a_name():
    def without_slope(W, x, t):
        return x.T @ (sigmoid(x @ W) - t)

    inputs = {"W": normal(3, 4), "x": normal(7, 3), "t": sigmoid(normal(7, 4, seed=2))}
    found = diagnose(
        lambda W, x, t: 0.5 * np.sum((sigmoid(x @ W) - t) ** 2),
        inputs,
        backward=without_slope,
        wrt="W",
        upstream=False,
    ).findings[0]
    assert found.message.startswith("dW is xᵀ (sigmoid(x @ W) - t); it should be xᵀ")


EPS = 0.1


def test_a_missing_term_and_a_constant_are_fitted_together():
    def smoothed(z, t):
        return -np.sum((t * (1 - EPS) + EPS / z.shape[1]) * np.log(softmax(z))) / len(z)

    found = diagnose(
        smoothed,
        {"z": normal(5, 4), "t": np.eye(4)[[0, 2, 1, 3, 2]]},
        backward=lambda z, t: (softmax(z) - t) / len(z),
        wrt="z",
        upstream=False,
    ).findings[0]
    assert found.name == "EPS/N·t − EPS/(N*D)"


def test_a_search_that_runs_out_of_time_says_what_was_not_tried(monkeypatch):
    from tinyae.gradcheck.doctor.hypotheses import lines

    inputs = {"x": normal(4, 5, 3), "U": 0.4 * normal(3, 3)}
    more = {"backward": slope_of_the_state_before}
    monkeypatch.setattr(lines, "BUDGET", 0.0)
    diagnosis = diagnose(lambda x, U: states_of(x, U)[-1], inputs, **more)
    assert lines.STAGES[-1] in diagnosis.untried
    assert "  not tried  " in str(diagnosis)


# --- forms met in courses -------------------------------------------------------------------------


def test_a_dict_of_parameters_has_a_gradient_for_each():
    def net(params, x, t):
        h = np.tanh(x @ params["W1"])
        e = (h @ params["W2"] - t) / t.size
        dh = e @ params["W2"].T
        return 0.5 * t.size * np.sum(e * e), {"W1": x.T @ dh, "W2": h.T @ e}

    params = {"W1": normal(3, 4), "W2": normal(4, 2)}
    diagnosis = diagnose(net, (params, normal(5, 3), normal(5, 2)))
    assert diagnosis.right == ["dW2"]
    said = "dW1 is wrong because the slope (1 - h * h) is missing"
    assert diagnosis.findings[0].message == said
    assert diagnosis.findings[0].place.line == 'dh = e @ params["W2"].T'


def test_none_stands_for_an_option():
    def backward(dy, x, b, train):
        return 2 * dy, None

    given = {"x": normal(5, 3), "b": None, "train": True}
    diagnosis = diagnose(lambda x, b, train: x * 1.0, given, backward=backward)
    assert (diagnosis.kind, diagnosis.findings[0].name) == ("factor", "2")


def test_a_number_and_a_cache_need_no_dy():
    def loss(x):
        return np.sum(x**3), x

    assert diagnose(loss, normal(4, 3), backward=lambda x: 3 * x**2).ok
    assert diagnose(loss, normal(4, 3), backward=lambda x: x**2).findings[0].kind == "factor"


def hinge(W, x, t, reg):
    gap = 1 - t * (x @ W)
    return np.maximum(gap, 0).mean() + reg * np.sum(W * W), -x.T @ (
        t * (gap > 0)
    ) / t.size + reg * W


def test_a_number_among_the_inputs_is_no_matrix():
    """2 reg W is reg W + regᵀ W, which names the wrong thing."""
    t = np.where(normal(6, 3, seed=3) > 0, 1.0, -1.0)
    given = {"W": normal(4, 3), "x": normal(6, 4, seed=2), "t": t, "reg": 0.1}
    found = diagnose(hinge, given).findings[0]
    assert "2" in found.message
    assert ".T" not in found.message
    assert "reg" in found.fix
