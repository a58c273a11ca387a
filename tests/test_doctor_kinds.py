"""Kinds of mistakes that the doctor names at first mention, each by small passes of its own."""

import numpy as np
import pytest

from tinyae.gradcheck import diagnose


def draw(*shape, seed=3):
    rng = np.random.default_rng([seed, *shape])
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.1, 1.6, shape)


def first(f, x, backward, **more):
    """The first finding, as one text."""
    found = diagnose(f, x, backward=backward, **more).findings[0]
    return f"{found.message}; {found.do}; {found.name}"


# --- the entries of dy in another place -----------------------------------------------------------

ORDER = np.array([2, 3, 1, 5, 0, 4])


def causal(x, w):
    """y[t] = Σ w[k] x[t − k]"""
    y = np.zeros_like(x)
    for k in range(len(w)):
        y[:, k:] += w[k] * x[:, : x.shape[1] - k]
    return y


def with_taps_to_the_right(dy, x, w):
    return causal(dy, w)


def padded(x, W):
    K = W.shape[2]
    p = np.pad(x, ((0, 0), (0, 0), (K - 1, 0)))
    return np.stack(
        [np.einsum("nck,ock->no", p[:, :, t : t + K], W) for t in range(x.shape[2])], axis=2
    )


def padding_left_on(dy, x, W):
    K, T = W.shape[2], x.shape[2]
    dp = np.zeros((len(x), x.shape[1], T + K - 1))
    for t in range(T):
        dp[:, :, t : t + K] += np.einsum("no,ock->nck", dy[:, :, t], W)
    return dp[:, :, :T]


@pytest.mark.parametrize(
    ("f", "x", "backward"),
    [
        (causal, {"x": draw(3, 9), "w": draw(3)}, with_taps_to_the_right),
        (padded, {"x": draw(2, 3, 8), "W": draw(4, 3, 3)}, padding_left_on),
    ],
)
def test_a_causal_convolution_that_reads_the_other_way(f, x, backward):
    said = first(f, x, backward, wrt="x")
    assert "causal along axis" in said
    assert "dx[t]" in said


ROTATION = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])


@pytest.mark.parametrize(
    ("f", "x", "backward", "word"),
    [
        (lambda x: x[:, ORDER], draw(4, 6), lambda dy, x: dy[:, ORDER], "inverse permutation"),
        (np.sort, draw(7), lambda dy, x: dy, "order"),
        (lambda x: np.sort(x, axis=1), draw(4, 6), lambda dy, x: dy, "argsort"),
        (
            lambda x: np.sort(x, axis=0) ** 2,
            draw(5, 6),
            lambda dy, x: np.take_along_axis(2 * dy * np.sort(x, 0), np.argsort(x, 0), 0),
            "argsort",
        ),
        (lambda x: x @ ROTATION.T, draw(5, 2), lambda dy, x: dy @ ROTATION.T, "rotate dy back"),
    ],
)
def test_what_forward_does_is_undone_by_the_transpose(f, x, backward, word):
    assert word in first(f, {"x": x}, backward)


def test_a_gather_is_undone_by_a_scatter():
    index = np.array([[2, 0, 5], [1, 1, 4], [3, 2, 0]])

    def backward(dy, x, index):
        dx = np.zeros_like(x)
        dx[:, :3] = np.take_along_axis(dy, index % 3, axis=1)
        return dx

    said = first(
        lambda x, index: np.take_along_axis(x, index, axis=1),
        {"x": draw(3, 6), "index": index},
        backward,
    )
    assert "scattered" in said
    assert "np.add.at" in said


def normalised(x, interleaved=False):
    n, c = x.shape
    g = x.reshape(n, 3, 2).swapaxes(1, 2) if interleaved else x.reshape(n, 2, 3)
    y = (g - g.mean(axis=2, keepdims=True)) / np.sqrt(g.var(axis=2, keepdims=True) + 1e-3)
    return (y.swapaxes(1, 2) if interleaved else y).reshape(n, c), g


def other_groups(dy, x, gamma):
    y, _ = normalised(x, interleaved=True)
    return (dy * y).sum(axis=0)


def group_softmax(x):
    e = np.exp(x.reshape(len(x), 2, 3))
    return (e / e.sum(axis=2, keepdims=True)).reshape(x.shape)


def interleaved_softmax(dy, x):
    y = group_softmax(x).reshape(len(x), 3, 2)
    d = dy.reshape(y.shape)
    return (y * (d - (d * y).sum(axis=1, keepdims=True))).reshape(x.shape)


@pytest.mark.parametrize(
    ("f", "x", "backward", "wrt"),
    [
        (
            lambda x, gamma: normalised(x)[0] * gamma,
            {"x": draw(5, 6), "gamma": draw(6)},
            other_groups,
            "gamma",
        ),
        (group_softmax, {"x": draw(5, 6)}, interleaved_softmax, "x"),
    ],
)
def test_groups_that_are_interleaved(f, x, backward, wrt):
    said = first(f, x, backward, wrt=wrt)
    assert "mixes other groups of axis 1" in said
    assert "{0, 1, 2} {3, 4, 5}" in said


# --- the slope of another function ----------------------------------------------------------------

C = np.sqrt(2 / np.pi)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(C * (x + 0.044715 * x**3)))


def gelu_slope(dy, x):
    t = np.tanh(C * (x + 0.044715 * x**3))
    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * C * (1 + 3 * 0.044715 * x * x))


def swish_slope(beta):
    def slope(dy, x):
        s = sigmoid(beta * x)
        return dy * (s + beta * x * s * (1 - s))

    return slope


@pytest.mark.parametrize(
    ("f", "backward", "given", "right"),
    [
        (gelu, swish_slope(1.702), "1.702", "tanh approximation"),
        (lambda x: x * sigmoid(1.702 * x), gelu_slope, "tanh approximation", "1.702"),
        (lambda x: x * sigmoid(x), swish_slope(1.702), "1.702", "SiLU"),
    ],
)
def test_the_slope_of_another_form_of_the_function(f, backward, given, right):
    of, y = first(f, {"x": draw(4, 5)}, backward).split(", and y is ")
    assert "slope of another function" in of
    assert given in of
    assert right in y


# --- what depends on x too, and is held constant --------------------------------------------------


def norm(x, axis=1):
    return np.sqrt((x * x).sum(axis=axis, keepdims=True))


def cosine(a, b):
    return (a * b).sum(axis=1) / (norm(a) * norm(b))[:, 0]


def cosine_backward(dy, a, b):
    d = dy[:, None] / (norm(a) * norm(b))
    return d * b, d * a


def weight_norm(x, v, g):
    return x @ (g[:, None] * v / norm(v)).T


def simplex(x):
    u = np.sort(x)[::-1]
    k = np.arange(1, len(x) + 1)
    taus = (np.cumsum(u) - 1) / k
    return np.maximum(x - taus[u > taus][-1], 0)


ON_AND_OFF = np.array([0.6, 0.2, -0.5, 0.45, -1.2, 0.1])


@pytest.mark.parametrize(
    ("f", "x", "backward", "word"),
    [
        (lambda x: x / norm(x), {"x": draw(5, 4)}, lambda dy, x: dy / norm(x), "⟨x, dx⟩/‖x‖²"),
        (cosine, {"a": draw(5, 4), "b": draw(5, 4, seed=4)}, cosine_backward, "⟨a, da⟩/‖a‖²"),
        (simplex, {"x": ON_AND_OFF}, lambda dy, x: dy * (simplex(x) > 0), "mean over the support"),
        (simplex, {"x": ON_AND_OFF}, lambda dy, x: dy - dy.mean(), "the mask, and the mean"),
    ],
)
def test_the_projection_that_is_missing(f, x, backward, word):
    assert word in first(f, x, backward)


def test_a_norm_that_is_not_divided_by():
    x = {"x": draw(5, 4), "v": draw(3, 4), "g": draw(3)}
    said = first(weight_norm, x, lambda dy, x, v, g: ((dy.T @ x) * v).sum(axis=1), wrt="g")
    assert "lacks the factor 1/‖v‖ (along axis 1)" in said
    penalty = first(
        lambda g: ((norm(g) - 1) ** 2).mean(),
        {"g": 2 * draw(5, 4)},
        lambda dy, g: dy * 2 * (norm(g) - 1) * g / len(g),
    )
    assert "1/‖g‖" in penalty


def contractive(x, W, b):
    h = sigmoid(x @ W.T + b)
    return ((h * (1 - h)) ** 2 @ (W * W).sum(axis=1)).sum()


def without_the_sigmoid(dy, x, W, b):
    h = sigmoid(x @ W.T + b)
    s, q = h * (1 - h), (W * W).sum(axis=1)
    dz = dy * 2 * s * s * (1 - 2 * h) * q
    return dz @ W, dy * 2 * W * (s * s).sum(axis=0)[:, None]


def without_the_weights(dy, x, W, b):
    h = sigmoid(x @ W.T + b)
    s, q = h * (1 - h), (W * W).sum(axis=1)
    dz = dy * 2 * s * s * (1 - 2 * h) * q
    return dz @ W, dz.T @ x


@pytest.mark.parametrize("backward", [without_the_sigmoid, without_the_weights])
def test_the_second_path_of_a_contractive_penalty(backward):
    x = {"x": draw(5, 4), "W": draw(3, 4), "b": draw(3)}
    assert "second path" in first(contractive, x, backward, wrt=("x", "W"))


# --- one step off in time -------------------------------------------------------------------------


def states(x, W, U):
    h = [np.zeros((x.shape[1], len(U)))]
    for x_t in x:
        h.append(np.tanh(x_t @ W + h[-1] @ U))
    return np.array(h)


def slope_of_the_step_before(dy, x, W, U):
    h, dx, dh = states(x, W, U), np.zeros_like(x), 0
    for t in reversed(range(len(x))):
        dz = (dy[t] + dh) * (1 - h[t] ** 2)
        dx[t], dh = dz @ W.T, dz @ U.T
    return dx


def product_with_the_step_after(dy, x, W, U):
    h, dU, dh = states(x, W, U), np.zeros_like(U), 0
    for t in reversed(range(len(x))):
        dz = (dy[t] + dh) * (1 - h[t + 1] ** 2)
        dU += h[t + 1].T @ dz
        dh = dz @ U.T
    return dU


@pytest.mark.parametrize(
    ("backward", "wrt", "right"),
    [
        (slope_of_the_step_before, "x", "h[t] stands where h[t + 1] belongs"),
        (product_with_the_step_after, "U", "h[t + 1] stands where h[t] belongs"),
    ],
)
def test_a_recurrent_slope_that_is_one_step_off(backward, wrt, right):
    x = {"x": draw(5, 2, 3), "W": draw(3, 4), "U": 0.5 * draw(4, 4)}
    said = first(lambda x, W, U: states(x, W, U)[1:], x, backward, wrt=wrt)
    assert right in said
    assert "one step off" in said


# --- the adjoint of an interpolation --------------------------------------------------------------

PLACES, SHARE = np.array([0, 1, 2, 3]), np.array([0.3, 0.6, 0.2, 0.9])


def sampled(x):
    return (1 - SHARE) * x[:, PLACES] + SHARE * x[:, PLACES + 1]


def scattered(dy, left, right):
    dx = np.zeros((len(dy), 5))
    np.add.at(dx, (slice(None), PLACES), left * dy)
    np.add.at(dx, (slice(None), PLACES + 1), right * dy)
    return dx


@pytest.mark.parametrize(
    ("left", "right", "how"),
    [
        (SHARE, 1 - SHARE, "the weights have changed places"),
        (1.0, 0.0, "all of dy goes to one place"),
        (0.5, 0.5, "the places are right and the weights are others"),
    ],
)
def test_the_weights_of_an_interpolation(left, right, how):
    said = first(sampled, {"x": draw(2, 5)}, lambda dy, x: scattered(dy, left, right))
    assert how in said
    assert "the transpose, Aᵀ dy" in said


def test_a_mask_that_a_softmax_forgets_in_backward():
    def softmax(x, length, masked=True):
        e = np.exp(x) * (np.arange(x.shape[1]) < length[:, None]) if masked else np.exp(x)
        return e / e.sum(axis=1, keepdims=True)

    def backward(dy, x, length):
        p = softmax(x, length, masked=False)
        return p * (dy - (dy * p).sum(axis=1, keepdims=True))

    said = first(softmax, {"x": draw(4, 5), "length": np.array([2, 3, 5, 4])}, backward)
    assert "the mask of forward is missing" in said


def test_the_norm_of_a_difference():
    def far(a, p):
        return np.sqrt(((a - p) ** 2).sum(axis=1))

    x = {"a": draw(4, 3), "p": draw(4, 3, seed=4)}
    said = first(far, x, lambda dy, a, p: dy[:, None] * (a - p), wrt="a")
    assert "1/‖a − p‖" in said


def test_a_function_that_refuses_other_inputs_is_examined_nevertheless():
    def f(x):
        if np.any(x == 0) or np.all(x == 1):
            raise ValueError("x must vary")
        return x @ np.array([[1.0, 2.0], [0.5, 1.0], [3.0, 0.1]])

    said = first(f, {"x": draw(4, 3)}, lambda dy, x: np.abs(x) * dy.sum())
    assert "mixes the indices of axis 0" in said
