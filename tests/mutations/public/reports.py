"""Reported to repositories: terms flipped, weights used twice, gates mixed up, penalties left out."""

import numpy as np

from .case import draw, onehot, wrong

REG = 0.3


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("https://github.com/getkeops/keops/pull/155", "changed places", "swap", "order", "g * x / r")
def arctan2_gradients_flipped():
    def backward(g, y, x):
        r = x * x + y * y
        return -g * y / r, g * x / r

    return np.arctan2, {"y": draw(5, 4), "x": draw(5, 4, seed=1)}, backward


@wrong("https://github.com/elixir-nx/nx/pull/1779", "linear", "dy * dy", "dy^2", "twice")
def clip_with_the_upstream_gradient_twice():
    def backward(dy, x):
        inside = np.where(np.abs(x) < 1, dy, 0)
        return inside * dy

    return lambda x: np.clip(x, -1, 1), draw(5, 6), backward


@wrong(
    "https://github.com/manuhuth/NoLimits.jl/issues/337", "clip", "mask", "beyond", "> 1", ">= 1"
)
def sigmoid_of_a_clipped_input_without_its_mask():
    def f(x):
        return sigmoid(np.clip(x, -1, 1))

    def backward(dy, x):
        s = f(x)
        return dy * s * (1 - s)

    return f, draw(5, 6), backward


@wrong(
    "https://github.com/jingtinghuang/CS231n-Spring-2017/issues/3",
    "REG * W",
    "REG & 2",
    "lacks & W",
)
def hinge_penalty_without_its_two():
    def f(W, x, t):
        return np.maximum(0, 1 - t * (x @ W)).mean() + REG * np.sum(W * W)

    def backward(W, x, t):
        inside = t * (x @ W) < 1
        return -x.T @ (t * inside) / t.size + REG * W

    t = np.where(draw(7, 3, seed=2) > 0, 1.0, -1.0)
    inputs = {"W": 0.4 * draw(4, 3), "x": draw(7, 4, seed=1), "t": t}
    return f, inputs, backward, {"wrt": "W", "upstream": False}


@wrong("https://github.com/Burton2000/CS231n-2017/issues/9", "REG * b", "lacks & b", "b * REG")
def penalty_of_the_bias_forgotten():
    def f(W, b, x):
        return 0.5 * np.sum((x @ W + b) ** 2) / len(x) + REG * (np.sum(W * W) + np.sum(b * b))

    def backward(W, b, x):
        e = (x @ W + b) / len(x)
        return x.T @ e + 2 * REG * W, e.sum(axis=0)

    inputs = {"W": draw(4, 3), "b": draw(3), "x": draw(7, 4, seed=1)}
    return f, inputs, backward, {"wrt": ("W", "b"), "upstream": False}


@wrong("https://github.com/andersbll/nnet/issues/4", "REG", "sign", "lacks & W")
def weight_decay_subtracted():
    def f(W, x, t):
        return 0.5 * np.sum((x @ W - t) ** 2) / len(x) + 0.5 * REG * np.sum(W**2)

    def backward(W, x, t):
        return x.T @ (x @ W - t) / len(x) - REG * W

    inputs = {"W": draw(4, 3), "x": draw(7, 4, seed=1), "t": draw(7, 3, seed=2)}
    return f, inputs, backward, {"wrt": "W", "upstream": False}


@wrong(
    "https://github.com/JWarmenhoven/Coursera-Machine-Learning/issues/3",
    "column 0",
    "first column",
    "zeros",
    "theta[:, 1:]",
    "penalt",
)
def penalty_column_of_ones():
    def f(theta, x, t):
        penalty = REG / 2 * np.sum(theta[:, 1:] ** 2)
        return (0.5 * np.sum((x @ theta.T - t) ** 2) + penalty) / len(x)

    def backward(theta, x, t):
        m = len(x)
        kept = np.c_[np.ones((theta.shape[0], 1)), theta[:, 1:]]
        return (x @ theta.T - t).T @ x / m + kept * REG / m

    inputs = {"theta": draw(3, 4), "x": draw(7, 4, seed=1), "t": draw(7, 3, seed=2)}
    return f, inputs, backward, {"wrt": "theta", "upstream": False}


@wrong("https://github.com/andersbll/nnet/issues/4", "slope", "1 - ", "tanh")
def tanh_in_place_of_its_slope():
    def backward(dy, x):
        e = np.exp(2 * x)
        return dy * (e - 1) / (e + 1)

    return np.tanh, draw(5, 6), backward


@wrong("https://github.com/rasbt/stat453-deep-learning-ss21/issues/5", "axis", "summed over")
def bias_gradient_summed_over_all():
    def f(W, b, x):
        return x @ W.T + b

    def backward(dy, W, b, x):
        return dy.T @ x, np.zeros_like(b) + np.sum(dy)

    inputs = {"W": draw(3, 4), "b": draw(3), "x": draw(7, 4, seed=1)}
    return f, inputs, backward, {"wrt": ("W", "b")}


def rms(x):
    return np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5)


def rms_norm(x, w):
    return x / rms(x) * w


def rms_inputs():
    return {"x": draw(5, 6), "w": draw(6, seed=1)}


@wrong("https://github.com/karpathy/llm.c/pull/763", "w * dy", "dy * w", "* w")
def rms_norm_weight_left_out_of_the_sum():
    def backward(dy, x, w):
        r = 1 / rms(x)
        s = (dy * x).mean(axis=1, keepdims=True)
        return r * (dy * w) - r**3 * x * s, (dy * x * r).sum(axis=0)

    return rms_norm, rms_inputs(), backward


@wrong("https://github.com/NVIDIA/Megatron-LM/pull/6859", "w twice", "w^2", "* w", "w *")
def rms_norm_weight_twice():
    def backward(dy, x, w):
        r, d = 1 / rms(x), x.shape[1]
        s = (dy * x * w).sum(axis=1, keepdims=True)
        return dy * w * r - w * r**3 * x * s / d, (dy * x * r).sum(axis=0)

    return rms_norm, rms_inputs(), backward


@wrong("https://github.com/ooples/AiDotNet/pull/695", "lacks", "constant", "mean", "sum")
def rms_norm_as_if_the_rms_were_constant():
    def backward(dy, x, w):
        return dy * w / rms(x), (dy * x / rms(x)).sum(axis=0)

    return rms_norm, rms_inputs(), backward


@wrong("https://github.com/Dao-AILab/quack/pull/53", "residual", "lacks & dy", "skip")
def residual_added_before_the_norm():
    def f(x, res, W):
        return res + x + np.tanh(res + x) @ W

    def backward(dy, x, res, W):
        h = np.tanh(res + x)
        d = (dy + dy @ W.T) * (1 - h * h)
        return d, d, h.T @ dy

    inputs = {"x": draw(5, 4), "res": draw(5, 4, seed=1), "W": draw(4, 4, seed=2)}
    return f, inputs, backward


def attend(q, k, v):
    return softmax(q @ k.T / np.sqrt(q.shape[1])) @ v


def attention_inputs(rows=5):
    return {"q": draw(rows, 4), "k": draw(5, 4, seed=1), "v": draw(5, 3, seed=2)}


@wrong("https://github.com/ooples/AiDotNet.Tensors/issues/49", "transpos", ".T", "changed places")
def attention_scores_gradient_transposed_for_the_query():
    def backward(dy, q, k, v):
        a = softmax(q @ k.T / np.sqrt(q.shape[1]))
        da = dy @ v.T
        ds = a * (da - (da * a).sum(axis=1, keepdims=True)) / np.sqrt(q.shape[1])
        return ds.T @ k, ds.T @ q, a.T @ dy

    return attend, attention_inputs(), backward


@wrong("https://github.com/mlpack/mlpack/pull/2375", "sqrt", "scale", "factor & 2", "0.5", "1/2")
def attention_scale_left_out_of_the_key():
    def backward(dy, q, k, v):
        scale = 1 / np.sqrt(q.shape[1])
        a = softmax(q @ k.T * scale)
        da = dy @ v.T
        ds = a * (da - (da * a).sum(axis=1, keepdims=True))
        return ds @ k * scale, ds.T @ q, a.T @ dy

    return attend, attention_inputs(7), backward


def gates(x, h, W):
    z = np.concatenate([x, h], axis=1) @ W
    i, f, o, g = np.split(z, 4, axis=1)
    return sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)


def lstm_cell(x, h, c, W):
    i, f, o, g = gates(x, h, W)
    new = f * c + i * g
    return o * np.tanh(new)


def lstm_inputs():
    return {"x": draw(5, 3), "h": draw(5, 2, seed=1), "c": draw(5, 2, seed=2), "W": draw(5, 8)}


@wrong("https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1", "1 - f", "slope", "f * (1")
def lstm_forget_gate_by_its_value():
    def backward(dy, x, h, c, W):
        i, f, o, g = gates(x, h, W)
        t = np.tanh(f * c + i * g)
        dc = dy * o * (1 - t * t)
        di, df, do, dg = (
            dc * g * i * (1 - i),
            dc * c * f,
            dy * t * o * (1 - o),
            dc * i * (1 - g * g),
        )
        dz = np.concatenate([di, df, do, dg], axis=1)
        dxh = dz @ W.T
        n = x.shape[1]
        return dxh[:, :n], dxh[:, n:], dc * f, np.concatenate([x, h], axis=1).T @ dz

    return lstm_cell, lstm_inputs(), backward


@wrong(
    "https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1", "carr", "next", "last step", "before"
)
def state_gradient_not_handed_to_the_step_before():
    def f(x, U, V):
        h = np.zeros((x.shape[1], U.shape[0]))
        for step in x:
            h = np.tanh(step @ V + h @ U)
        return h

    def backward(dy, x, U, V):
        h, states = np.zeros((x.shape[1], U.shape[0])), []
        for step in x:
            states.append(h)
            h = np.tanh(step @ V + h @ U)
        states.append(h)
        dU, dV, dx = np.zeros_like(U), np.zeros_like(V), np.zeros_like(x)
        dh_next = dy
        for t in reversed(range(len(x))):
            dz = dh_next * (1 - states[t + 1] ** 2)
            dU += states[t].T @ dz
            dV += x[t].T @ dz
            dx[t] = dz @ V.T
            dh_prev = dz @ U.T  # noqa: F841
        return dx, dU, dV

    return f, {"x": draw(4, 5, 3), "U": 0.5 * draw(2, 2), "V": draw(3, 2, seed=1)}, backward


@wrong("https://github.com/apache/mxnet/issues/4057", "+=", "lacks", "dy[:, n:]", "path")
def cell_gradient_assigned_not_added():
    def f(a, c):
        new = sigmoid(a) * c
        return np.concatenate([np.tanh(new), new], axis=1)

    def backward(dy, a, c):
        s = sigmoid(a)
        n = a.shape[1]
        dh, dc = dy[:, :n], dy[:, n:]
        dc = dh * (1 - np.tanh(s * c) ** 2)
        return dc * c * s * (1 - s), dc * s

    return f, {"a": draw(5, 2), "c": draw(5, 2, seed=1)}, backward


@wrong(
    "https://github.com/hanbt/learn_dl/issues/53", "di.sum", "sum(di", "another", "dbf", "same as"
)
def input_gate_bias_takes_the_forget_gate_gradient():
    def f(bf, bi, x, c):
        return sigmoid(x + bf) * c + sigmoid(x + bi) * x

    def backward(dy, bf, bi, x, c):
        s, r = sigmoid(x + bf), sigmoid(x + bi)
        df = dy * c * s * (1 - s)
        di = dy * x * r * (1 - r)  # noqa: F841
        return df.sum(axis=0), df.sum(axis=0)

    inputs = {"bf": draw(3), "bi": draw(3, seed=1), "x": draw(5, 3), "c": draw(5, 3, seed=2)}
    return f, inputs, backward, {"wrt": ("bf", "bi")}


@wrong(
    "https://github.com/javaidnabi31/RNN-from-scratch/issues/2", "zero", "never", "dy[t]", "dy.sum"
)
def output_bias_adds_itself():
    def f(h, V, c):
        return np.einsum("tnh,ho->tno", h, V) + c

    def backward(dy, h, V, c):
        dh, dV, dc = np.zeros_like(h), np.zeros_like(V), np.zeros_like(c)
        for t in range(len(h)):
            dV += h[t].T @ dy[t]
            dc += dc
            dh[t] = dy[t] @ V.T
        return dh, dV, dc

    return f, {"h": draw(4, 5, 3), "V": draw(3, 2), "c": draw(2)}, backward


def correlate(x, w):
    n = x.shape[1] - len(w) + 1
    return sum(w[k] * x[:, k : k + n] for k in range(len(w)))


@wrong(
    "https://end-to-end-machine-learning.teachable.com/courses/322-convolutional-neural-networks-in-two-dimensions/lectures/24726662",
    "flip",
    "revers",
    "[::-1]",
)
def correlation_kernel_gradient_reversed():
    def backward(dy, x, w):
        dx, dw, n = np.zeros_like(x), np.zeros_like(w), dy.shape[1]
        for k in range(len(w)):
            dx[:, k : k + n] += w[k] * dy
            dw[len(w) - 1 - k] = (x[:, k : k + n] * dy).sum()
        return dx, dw

    return correlate, {"x": draw(5, 8), "w": draw(3)}, backward


def triplet(a, p, n):
    gap = ((a - p) ** 2).sum(axis=1) - ((a - n) ** 2).sum(axis=1) + 0.7
    return np.maximum(gap, 0).mean()


def triplet_inputs():
    return {"a": draw(6, 3), "p": draw(6, 3, seed=1), "n": draw(6, 3, seed=2)}


TRIPLET = "https://errorhandle.ai/what-s-the-triplet-loss-back-propagation-gradient-formula"


def active(a, p, n):
    gap = ((a - p) ** 2).sum(axis=1) - ((a - n) ** 2).sum(axis=1) + 0.7
    return (gap > 0)[:, None] / len(a)


@wrong(TRIPLET, "sign", "-1")
def triplet_negative_pulled():
    def backward(a, p, n):
        on = active(a, p, n)
        return on * 2 * (n - p), on * 2 * (p - a), on * 2 * (n - a)

    return triplet, triplet_inputs(), backward, {"upstream": False}


@wrong(TRIPLET, "lacks", "a - n", "n - a", "n - p")
def anchor_without_the_negative():
    def backward(a, p, n):
        on = active(a, p, n)
        return on * 2 * (a - p), on * 2 * (p - a), on * 2 * (a - n)

    return triplet, triplet_inputs(), backward, {"upstream": False}


@wrong(TRIPLET, "> 0", "mask", "inactive", "active", "where")
def triplet_inactive_rows_not_masked():
    def backward(a, p, n):
        m = len(a)
        return 2 * (n - p) / m, 2 * (p - a) / m, 2 * (a - n) / m

    return triplet, triplet_inputs(), backward, {"upstream": False}


@wrong("https://github.com/pjreddie/darknet/issues/2151", "sigmoid", "1 - y", "activation", "slope")
def logistic_gradient_given_its_input():
    def logistic_gradient(y):
        return y * (1 - y)

    def backward(dy, x):
        return dy * logistic_gradient(x)

    return sigmoid, draw(5, 6), backward


@wrong(
    "https://github.com/rust0258/Deeplearning.ai-Natural-Language-Processing-Specialization/issues/64",
    "sum(dy",
    "dy.sum",
    "axis",
)
def bias_gradient_summed_from_the_weights():
    def f(W, b, x):
        return W @ x + b

    def backward(dy, W, b, x):
        return dy @ x.T, np.sum(dy @ x.T, axis=1, keepdims=True)

    inputs = {"W": draw(3, 4), "b": draw(3, 1), "x": draw(4, 7, seed=1)}
    return f, inputs, backward, {"wrt": ("W", "b")}


@wrong("https://github.com/harvard-edge/cs249r_book/pull/1867", "1/", "divid", "mean", "too many")
def mean_over_two_axes_not_divided():
    def backward(dy, x):
        return np.ones_like(x) * dy[:, None, None]

    return lambda x: x.mean(axis=(1, 2)), draw(5, 3, 4), backward


@wrong("https://click4ai.perfionixai.com/problems/contrastive-loss", "1/d", "/ d", "divid", "norm")
def contrastive_push_not_divided_by_the_distance():
    def f(a, b, t):
        d = np.sqrt(((a - b) ** 2).sum(axis=1))
        return ((1 - t) * 0.5 * d**2 + t * 0.5 * np.maximum(0, 3 - d) ** 2).mean()

    def backward(a, b, t):
        d = np.sqrt(((a - b) ** 2).sum(axis=1))[:, None]
        s = t[:, None]
        g = ((1 - s) * (a - b) - s * np.maximum(0, 3 - d) * (a - b)) / len(a)
        return g, -g

    inputs = {"a": draw(6, 3), "b": draw(6, 3, seed=1), "t": np.array([1.0, 0, 1, 1, 0, 1])}
    return f, inputs, backward, {"wrt": ("a", "b"), "upstream": False}


@wrong("https://github.com/bighuang624/Andrew-Ng-Deep-Learning-notes/issues/10", "4", "0.25", "1/4")
def bias_gradient_four_times():
    def f(W, b, x, t):
        return ((sigmoid(W @ x + b) - t) ** 2).sum() / (2 * x.shape[1])

    def backward(W, b, x, t):
        m, s = x.shape[1], sigmoid(W @ x + b)
        dz = (s - t) * s * (1 - s)
        return 1.0 / m * (dz @ x.T), 4.0 / m * dz.sum(axis=1, keepdims=True)

    inputs = {
        "W": draw(3, 4),
        "b": draw(3, 1),
        "x": draw(4, 7, seed=1),
        "t": onehot(3, *[0, 2, 1, 1, 0, 2, 0]).T,
    }
    return f, inputs, backward, {"wrt": ("W", "b"), "upstream": False}
