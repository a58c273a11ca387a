"""Further mistakes, written after the doctor had been mended by ``threads`` and ``closures``."""

# ruff: noqa: RUF059

import numpy as np

from .case import draw, wrong

ALPHA = 0.25
GAMMA = 2.0
WEIGHT = 0.7
MARGIN = 0.4


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def positive(*shape):
    return np.abs(draw(*shape))


# --- slopes and losses ----------------------------------------------------------------------------


@wrong("https://github.com/pytorch/pytorch/issues/4355", "ALPHA", "0.25")
def elu_coefficient_forgotten():
    def elu(x):
        return np.where(x > 0, x, ALPHA * (np.exp(x) - 1))

    def backward(dy, x):
        return dy * np.where(x > 0, 1, np.exp(x))

    return elu, draw(5, 6), backward


@wrong("https://arxiv.org/abs/1706.02515", "scale", "1.05", "0.95")
def selu_scale_left_out_of_the_positive_side():
    scale, alpha = 1.0507, 1.6733

    def selu(x):
        return scale * np.where(x > 0, x, alpha * (np.exp(x) - 1))

    def backward(dy, x):
        return dy * np.where(x > 0, 1, scale * alpha * np.exp(x))

    return selu, draw(5, 6), backward


@wrong("https://github.com/benoitfragit/libBrain/issues/78", "tanh(x", "y^2", "1 - y")
def slope_written_for_the_output_given_the_sum():
    def f(x, W):
        return np.tanh(x @ W)

    def backward(dy, x, W):
        a = x @ W
        d = dy * (1 - a**2)
        return d @ W.T, x.T @ d

    return f, {"x": draw(6, 4), "W": draw(4, 3)}, backward


@wrong("https://github.com/kyle8998/Sudo-Productivity/issues/3", "σ", "y*(1-y)", "sigmoid", "slope")
def sigmoid_slope_of_its_argument():
    def f(x):
        return sigmoid(x)

    def backward(dy, x):
        return dy * x * (1 - x)

    return f, draw(5, 4), backward


@wrong(
    "https://github.com/mnielsen/neural-networks-and-deep-learning/issues/45",
    "y*(1-y)",
    "slope",
    "σ′",
)
def quadratic_cost_without_the_output_slope():
    def cost(x, t, W, b):
        return 0.5 * ((sigmoid(x @ W + b) - t) ** 2).sum() / len(x)

    def backward(dy, x, t, W, b):
        d = dy * (sigmoid(x @ W + b) - t) / len(x)
        return x.T @ d, d.sum(axis=0)

    inputs = {"x": draw(6, 4), "t": positive(6, 3), "W": draw(4, 3), "b": draw(3)}
    return cost, inputs, backward, {"wrt": ("W", "b")}


@wrong("https://arxiv.org/abs/1708.02002", "ALPHA", "0.25", "factor at")
def focal_balance_left_out():
    def loss(p, t):
        pt = np.where(t > 0, p, 1 - p)
        at = np.where(t > 0, ALPHA, 1 - ALPHA)
        return -(at * (1 - pt) ** GAMMA * np.log(pt)).mean()

    def backward(dy, p, t):
        pt = np.where(t > 0, p, 1 - p)
        d = GAMMA * (1 - pt) * np.log(pt) - (1 - pt) ** GAMMA / pt
        return dy * d * np.where(t > 0, 1, -1) / p.size

    inputs = {"p": 0.1 + 0.4 * positive(6, 2), "t": (draw(6, 2, seed=3) > 0).astype(float)}
    return loss, inputs, backward, {"wrt": "p"}


@wrong("https://github.com/luhaofang/tripletloss/issues/56", "mask", "MARGIN")
def margin_reached_and_still_pulled():
    def loss(s, t):
        return np.maximum(0, MARGIN - t * s).mean()

    def backward(dy, s, t):
        return -dy * t / s.size

    inputs = {"s": draw(8, 3), "t": np.sign(draw(8, 3, seed=1))}
    return loss, inputs, backward, {"wrt": "s"}


@wrong("https://github.com/lab-cosmo/sphericart/issues/59", "WEIGHT", "0.7", "0.3")
def mixture_of_two_losses_with_one_weight():
    def loss(y, t):
        e = y - t
        return WEIGHT * (e * e).mean() + (1 - WEIGHT) * np.abs(e).mean()

    def backward(dy, y, t):
        e = y - t
        return dy * (WEIGHT * 2 * e + np.sign(e)) / e.size

    return loss, {"y": draw(5, 4), "t": draw(5, 4, seed=1)}, backward, {"wrt": "y"}


@wrong("https://github.com/Yorko/mlcourse.ai/issues/640", "sign", "-1", "minus")
def logistic_margin_with_the_sign_of_the_score():
    def loss(w, X, y):
        return np.log1p(np.exp(-y * (X @ w))).mean()

    def backward(dy, w, X, y):
        m = y * (X @ w)
        return dy * -(X.T @ (y * sigmoid(m))) / len(X)

    inputs = {"w": draw(4), "X": draw(7, 4), "y": np.sign(draw(7, seed=2))}
    return loss, inputs, backward, {"wrt": "w"}


@wrong("https://arxiv.org/abs/1807.03748", "0.5", "temperature", "by 2")
def contrast_temperature_forgotten():
    temperature = 0.5

    def loss(a, b):
        p = softmax(a @ b.T / temperature)
        return -np.log(np.diag(p)).mean()

    def backward(dy, a, b):
        d = (softmax(a @ b.T / temperature) - np.eye(len(a))) / len(a)
        return dy * d @ b, dy * d.T @ a

    return loss, {"a": draw(5, 3), "b": draw(5, 3, seed=1)}, backward


@wrong("https://arxiv.org/abs/1701.04862", "1/len(fake)", "f / len", "sigmoid")
def discriminator_fake_side_like_the_real_one():
    def loss(real, fake):
        return -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean()

    def backward(dy, real, fake):
        r, f = sigmoid(real), sigmoid(fake)
        return dy * (r - 1) / len(r), dy * (f - 1) / len(f)

    return loss, {"real": draw(6), "fake": draw(5)}, backward


# --- norms, shapes --------------------------------------------------------------------------------


@wrong("https://github.com/chainer/chainer/pull/4190", "norm", "‖", "* n", "1/n")
def unit_vector_divided_by_the_square():
    def unit(x):
        return x / np.sqrt((x * x).sum(axis=1, keepdims=True))

    def backward(dy, x):
        n = np.sqrt((x * x).sum(axis=1, keepdims=True))
        y = x / n
        return (dy - y * (dy * y).sum(axis=1, keepdims=True)) / n**2

    return unit, draw(5, 4), backward


@wrong("https://github.com/tensorflow/tensorflow/issues/41959", "axis", "row", "sum")
def unit_vector_projected_over_the_whole_batch():
    def unit(x):
        return x / np.sqrt((x * x).sum(axis=1, keepdims=True))

    def backward(dy, x):
        n = np.sqrt((x * x).sum(axis=1, keepdims=True))
        y = x / n
        return (dy - y * (dy * y).sum()) / n

    return unit, draw(5, 4), backward


@wrong("https://github.com/mlpack/mlpack/pull/2474", "mean(dy", "constant")
def batch_norm_in_steps_without_the_mean_through_the_centre():
    def batch_norm(x):
        return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)

    def backward(dy, x):
        n = len(x)
        c = x - x.mean(axis=0)
        istd = 1 / np.sqrt(x.var(axis=0) + 1e-5)
        dvar = (dy * c * -0.5 * istd**3).sum(axis=0)
        return dy * istd + dvar * 2 * c / n

    return batch_norm, draw(6, 4), backward


@wrong(
    "https://github.com/pjreddie/darknet/issues/1723", "third power", "** 3", "istd^3", "istd ** 2"
)
def variance_power_of_one():
    def batch_norm(x):
        return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 0.1)

    def backward(dy, x):
        n = len(x)
        c = x - x.mean(axis=0)
        istd = 1 / np.sqrt(x.var(axis=0) + 0.1)
        dvar = (dy * c * -0.5 * istd).sum(axis=0)
        d = dy * istd + dvar * 2 * c / n
        return d - d.mean(axis=0)

    return batch_norm, draw(6, 4), backward


@wrong("https://github.com/rsokl/MyGrad/pull/131", "sum", "axis", "broadcast", "shape")
def broadcast_scale_summed_over_one_axis_alone():
    def scale(x, g):
        return x * g[None, :, None]

    def backward(dy, x, g):
        return dy * g[None, :, None], (dy * x).sum(axis=0).mean(axis=1)

    return scale, {"x": draw(3, 4, 5), "g": positive(4)}, backward


@wrong("https://github.com/HIPS/autograd/issues/376", "sum", "axis")
def column_bias_keeps_a_row():
    def f(x, b):
        return np.tanh(x + b)

    def backward(dy, x, b):
        d = dy * (1 - np.tanh(x + b) ** 2)
        return d, d.sum(axis=1, keepdims=True)

    return f, {"x": draw(4, 4), "b": draw(1, 4)}, backward


@wrong("https://github.com/explosion/thinc/pull/492", "index", "scatter", "place", "zero", "row")
def slice_gradient_put_at_the_front():
    def tail(x):
        return x[:, 2:] * 3

    def backward(dy, x):
        d = np.zeros_like(x)
        d[:, : dy.shape[1]] = 3 * dy
        return d

    return tail, draw(4, 7), backward


@wrong("https://github.com/explosion/thinc/pull/492", "order", "transpos", "axes", "swap")
def stacked_halves_the_other_way_round():
    def join(a, b):
        return np.concatenate([a, b], axis=1)

    def backward(dy, a, b):
        return dy[:, b.shape[1] :], dy[:, : b.shape[1]]

    return join, {"a": draw(4, 3), "b": draw(4, 3, seed=1)}, backward


# --- attention, recurrent, windows ----------------------------------------------------------------


def causal(q, k, v):
    s = q @ k.T / np.sqrt(q.shape[1])
    s = np.where(np.tril(np.ones_like(s)) > 0, s, -1e9)
    return softmax(s) @ v


@wrong("https://github.com/wkcn/mobula/issues/3", "sum", "sum to zero")
def attention_softmax_slope_elementwise():
    def backward(dy, q, k, v):
        s = q @ k.T / np.sqrt(q.shape[1])
        p = softmax(np.where(np.tril(np.ones_like(s)) > 0, s, -1e9))
        ds = dy @ v.T * p * (1 - p) / np.sqrt(q.shape[1])
        return ds @ k, ds.T @ q, p.T @ dy

    inputs = {"q": draw(5, 3), "k": draw(5, 3, seed=1), "v": draw(5, 2)}
    return causal, inputs, backward


@wrong("https://github.com/latkins/trifast/pull/2", "k stands where q")
def attention_keys_from_the_keys():
    def backward(dy, q, k, v):
        s = q @ k.T / np.sqrt(q.shape[1])
        p = softmax(np.where(np.tril(np.ones_like(s)) > 0, s, -1e9))
        dp = dy @ v.T
        ds = p * (dp - (dp * p).sum(axis=1, keepdims=True)) / np.sqrt(q.shape[1])
        return ds @ k, ds.T @ k, p.T @ dy

    inputs = {"q": draw(5, 3), "k": draw(5, 3, seed=1), "v": draw(5, 2)}
    return causal, inputs, backward


@wrong("https://github.com/deeplearning4j/deeplearning4j/issues/8838", "dc_next")
def last_cell_gradient_not_added():
    def step(x, h, c, W, U):
        i, f, o, g = np.split(x @ W + h @ U, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return np.concatenate([sigmoid(o) * np.tanh(c), c], axis=1)

    def backward(dy, x, h, c, W, U):
        i, f, o, g = np.split(x @ W + h @ U, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        t = np.tanh(f * c + i * g)
        dh, dc_next = np.split(dy, 2, axis=1)
        dc = dh * o * (1 - t * t)
        dz = [
            dc * g * i * (1 - i),
            dc * c * f * (1 - f),
            dh * t * o * (1 - o),
            dc * i * (1 - g * g),
        ]
        dz = np.concatenate(dz, axis=1)
        return x.T @ dz, h.T @ dz

    inputs = {
        "x": draw(4, 3),
        "h": draw(4, 2),
        "c": draw(4, 2, seed=1),
        "W": draw(3, 8),
        "U": draw(2, 8),
    }
    return step, inputs, backward, {"wrt": ("W", "U")}


@wrong("https://github.com/nicklashansen/rnn_lstm_from_scratch/issues/1", "1 - t", "t^2")
def cell_without_the_slope_of_tanh():
    def step(a, c):
        i, o, g = np.split(a, 3, axis=1)
        return sigmoid(o) * np.tanh(c + sigmoid(i) * np.tanh(g))

    def backward(dh, a, c):
        i, o, g = np.split(a, 3, axis=1)
        i, o, g = sigmoid(i), sigmoid(o), np.tanh(g)
        t = np.tanh(c + i * g)
        dc = dh * o
        parts = [dc * g * i * (1 - i), dh * t * o * (1 - o), dc * i * (1 - g * g)]
        return np.concatenate(parts, axis=1), dc

    return step, {"a": draw(4, 9), "c": draw(4, 3)}, backward


@wrong(
    "https://github.com/open-lm-engine/accelerated-model-architectures/pull/249", "0.8", "carried"
)
def leaky_state_keeps_the_wrong_share():
    def run(x, U):
        h, out = np.zeros_like(x[0]), []
        for xt in x:
            h = 0.8 * h + 0.2 * np.tanh(xt + h @ U)
            out.append(h)
        return np.array(out)

    def backward(dy, x, U):
        out = run(x, U)
        before = np.concatenate([np.zeros_like(out[:1]), out[:-1]])
        dx, carry = np.zeros_like(x), np.zeros_like(x[0])
        for t in reversed(range(len(x))):
            dh = dy[t] + carry
            da = dh * 0.2 * (1 - np.tanh(x[t] + before[t] @ U) ** 2)
            dx[t] = da
            carry = 0.2 * dh + da @ U.T
        return dx

    return run, {"x": draw(4, 3, 2), "U": 0.5 * draw(2, 2)}, backward, {"wrt": "x"}


@wrong("https://github.com/NervanaSystems/neon/issues/111", "flip", "revers", "[k]", "2 - k")
def transposed_kernel_in_a_single_channel():
    def conv(x, w):
        return sum(w[k] * x[:, k : k + x.shape[1] - 2] for k in range(3))

    def backward(dy, x, w):
        d = np.zeros_like(x)
        for k in range(3):
            d[:, k : k + dy.shape[1]] += w[2 - k] * dy
        return d

    return conv, {"x": draw(3, 8), "w": draw(3)}, backward, {"wrt": "x"}


@wrong("https://github.com/sebgao/cTensor/issues/4", "stride", "2", "apart", "moved")
def strided_windows_of_the_kernel_gradient():
    def conv(x, w):
        return np.array([[(w * row[2 * t : 2 * t + 3]).sum() for t in range(3)] for row in x])

    def backward(dy, x, w):
        dw = np.zeros_like(w)
        for row, d in zip(x, dy):
            for t in range(3):
                dw += d[t] * row[t : t + 3]
        return dw

    return conv, {"x": draw(4, 7), "w": draw(3)}, backward, {"wrt": "w"}


# --- matrices, nets -------------------------------------------------------------------------------


@wrong("https://github.com/HIPS/autograd/pull/56", "transpos", "G.T", ".T")
def symmetric_part_counts_once():
    def f(A, x):
        S = (A + A.T) / 2
        return np.tanh(x @ S)

    def backward(dy, A, x):
        S = (A + A.T) / 2
        d = dy * (1 - np.tanh(x @ S) ** 2)
        return x.T @ d

    return f, {"A": draw(4, 4), "x": draw(5, 4)}, backward, {"wrt": "A"}


@wrong("https://github.com/Theano/Theano/issues/2066", "sign", "-1", "minus")
def solve_without_its_minus():
    def solve(A, b):
        return np.linalg.solve(A, b)

    def backward(dy, A, b):
        g = np.linalg.solve(A.T, dy)
        return g @ np.linalg.solve(A, b).T, g

    return solve, {"A": draw(4, 4) + 4 * np.eye(4), "b": draw(4, 2)}, backward


@wrong("https://github.com/LinjianMa/AutoHOOT/issues/69", "2", "A +", "transpos", "twice", "x")
def trace_of_a_square_counted_once():
    def trace(A):
        return np.einsum("ij,ji->", A, A)

    def backward(dy, A):
        return dy * A.T

    return trace, draw(4, 4), backward


@wrong("https://github.com/jorgenkg/python-neural-network/issues/2", "dh")
def bias_of_the_hidden_layer_from_the_output_error():
    def net(x, W1, b1, W2):
        return np.tanh(x @ W1 + b1) @ W2

    def backward(dy, x, W1, b1, W2):
        h = np.tanh(x @ W1 + b1)
        dh = dy @ W2.T * (1 - h * h)
        return x.T @ dh, dy.sum(axis=0), h.T @ dy

    inputs = {"x": draw(6, 4), "W1": draw(4, 3), "b1": draw(3), "W2": draw(3, 3)}
    return net, inputs, backward, {"wrt": ("W1", "b1", "W2")}


@wrong("https://github.com/unda-ml/unda/issues/1", "> 0")
def slope_of_another_layer():
    def net(x, W1, W2):
        return np.maximum(x @ W1, 0) @ W2

    def backward(dy, x, W1, W2):
        h = np.maximum(x @ W1, 0)
        return x.T @ (dy @ W2.T * (1 - h * h)), h.T @ dy

    inputs = {"x": draw(6, 4), "W1": draw(4, 3), "W2": draw(3, 2)}
    return net, inputs, backward, {"wrt": ("W1", "W2")}


@wrong(
    "https://github.com/graphdeco-inria/gaussian-splatting/issues/551",
    "3",
    "third power",
    "1/s & x",
)
def deviation_with_its_square():
    def density(x, s):
        return np.exp(-0.5 * (x / s) ** 2) / s

    def backward(dy, x, s):
        y = np.exp(-0.5 * (x / s) ** 2) / s
        return -dy * y * x / s**2, dy * y * (x * x / s**2 - 1 / s)

    return density, {"x": draw(6), "s": 0.5 + positive(6)}, backward


@wrong("https://arxiv.org/abs/2010.02502", "√a", "sqrt(a)")
def noise_level_without_its_root():
    def noised(x, e, a):
        return np.sqrt(a) * x + np.sqrt(1 - a) * e

    def backward(dy, x, e, a):
        return dy * a, dy * (1 - a)

    inputs = {"x": draw(5, 3), "e": draw(5, 3, seed=1), "a": 0.3 + 0.2 * positive(5, 1)}
    return noised, inputs, backward, {"wrt": ("x", "e")}


@wrong("https://arxiv.org/abs/2010.02502", "0.5", "2", "lacks")
def noise_level_slope_without_its_half():
    def noised(x, a):
        return np.sqrt(a) * x

    def backward(dy, x, a):
        return dy * np.sqrt(a), (dy * x / np.sqrt(a)).sum(axis=1, keepdims=True)

    return noised, {"x": draw(5, 3), "a": 0.3 + 0.2 * positive(5, 1)}, backward
