"""Mistakes over time, in transforms, projections and windows, written last of all."""

import numpy as np

from .case import draw, wrong


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def positive(*shape):
    return np.abs(draw(*shape))


def states(x, W, U):
    h = np.zeros((len(x) + 1, x.shape[1], len(U)))
    for t in range(len(x)):
        h[t + 1] = np.tanh(x[t] @ W + h[t] @ U)
    return h


def rnn(x, W, U):
    return states(x, W, U)[1:]


def sequence():
    return {"x": draw(4, 3, 2), "W": draw(2, 3), "U": 0.5 * draw(3, 3)}


@wrong("https://github.com/rsokl/MyGrad/pull/4", "U.T", "U", "carried")
def carries_the_error_before_its_slope():
    def backward(dy, x, W, U):
        h = states(x, W, U)
        dW, dU, dh = np.zeros_like(W), np.zeros_like(U), 0
        for t in reversed(range(len(x))):
            d = dy[t] + dh
            dz = d * (1 - h[t + 1] ** 2)
            dW += x[t].T @ dz
            dU += h[t].T @ dz
            dh = d @ U.T
        return dW, dU

    return rnn, sequence(), backward, {"wrt": ("W", "U")}


@wrong("https://github.com/mratsim/Arraymancer/pull/237", "+=", "last", "first", "replaces")
def recurrent_weights_of_one_step_alone():
    def backward(dy, x, W, U):
        h = states(x, W, U)
        dW, dh = np.zeros_like(W), 0
        for t in reversed(range(len(x))):
            dz = (dy[t] + dh) * (1 - h[t + 1] ** 2)
            dW += x[t].T @ dz
            dU = h[t].T @ dz
            dh = dz @ U.T
        return dW, dU

    return rnn, sequence(), backward, {"wrt": ("W", "U")}


@wrong("https://github.com/nicklashansen/rnn_lstm_from_scratch/issues/1", "h[t]", "one step off")
def recurrent_weights_with_the_state_after():
    def backward(dy, x, W, U):
        h = states(x, W, U)
        dW, dU, dh = np.zeros_like(W), np.zeros_like(U), 0
        for t in reversed(range(len(x))):
            dz = (dy[t] + dh) * (1 - h[t + 1] ** 2)
            dW += x[t].T @ dz
            dU += h[t + 1].T @ dz
            dh = dz @ U.T
        return dW, dU

    return rnn, sequence(), backward, {"wrt": ("W", "U")}


@wrong("https://github.com/nntrainer/nntrainer/pull/1269", "V.T", "carried")
def gate_slope_of_the_state_forgotten():
    def run(x, V):
        h, out = np.zeros_like(x[0]), []
        for xt in x:
            z = sigmoid(h @ V)
            h = z * h + (1 - z) * xt
            out.append(h)
        return np.array(out)

    def backward(dy, x, V):
        out = run(x, V)
        before = np.concatenate([np.zeros_like(out[:1]), out[:-1]])
        dx, dV, dh = np.zeros_like(x), np.zeros_like(V), 0
        for t in reversed(range(len(x))):
            d, h = dy[t] + dh, before[t]
            z = sigmoid(h @ V)
            dz = d * (h - x[t]) * z * (1 - z)
            dx[t] = d * (1 - z)
            dV += h.T @ dz
            dh = d * z
        return dx, dV

    return run, {"x": draw(4, 3, 2), "V": draw(2, 2)}, backward


@wrong("https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1", "direction")
def bidirectional_sum_reads_one_direction():
    def both(x, U):
        a, b = np.zeros_like(x), np.zeros_like(x)
        h = k = np.zeros_like(x[0])
        for t in range(len(x)):
            h = np.tanh(x[t] + h @ U)
            k = np.tanh(x[len(x) - 1 - t] + k @ U)
            a[t], b[len(x) - 1 - t] = h, k
        return a, b

    def f(x, U):
        a, b = both(x, U)
        return a + b

    def backward(dy, x, U):
        a, _ = both(x, U)
        dx, dh = np.zeros_like(x), 0
        for t in reversed(range(len(x))):
            dz = (dy[t] + dh) * (1 - a[t] ** 2)
            dx[t] = dz
            dh = dz @ U.T
        return dx

    return f, {"x": draw(4, 3, 2), "U": 0.5 * draw(2, 2)}, backward, {"wrt": "x"}


# --- transforms -----------------------------------------------------------------------------------


@wrong("https://github.com/HIPS/autograd/issues/185", "conj", "revers", "flip", "[::-1]")
def correlation_with_the_spectra_exchanged():
    def correlate(x, k):
        X, K = np.fft.fft(x, axis=1), np.fft.fft(k)
        return np.fft.ifft(X * np.conj(K), axis=1).real

    def backward(dy, x, k):
        G, K = np.fft.fft(dy, axis=1), np.fft.fft(k)
        return np.fft.ifft(G * np.conj(K), axis=1).real

    return correlate, {"x": draw(3, 7), "k": draw(7)}, backward, {"wrt": "x"}


@wrong("https://github.com/tensorflow/tensorflow/issues/34171", "revers", "end", "causal", "[::-1]")
def running_mean_of_the_upstream():
    def running(x):
        return np.cumsum(x, axis=1) / np.arange(1, x.shape[1] + 1)

    def backward(dy, x):
        return np.cumsum(dy, axis=1) / np.arange(1, x.shape[1] + 1)

    return running, draw(3, 5), backward


@wrong("https://arxiv.org/abs/1703.05175", "sign")
def squared_distances_summed_for_one_side():
    def distances(a, b):
        return ((a[:, None] - b[None]) ** 2).sum(axis=2)

    def backward(dy, a, b):
        d = 2 * dy[:, :, None] * (a[:, None] - b[None])
        return d.sum(axis=1), d.sum(axis=0)

    return distances, {"a": draw(5, 3), "b": draw(4, 3, seed=1)}, backward


@wrong("https://github.com/pytorch/pytorch/issues/18825", "transpos", "G.T", "+", ".T")
def gram_of_columns_counts_once():
    def gram(x):
        return x.T @ x

    def backward(dy, x):
        return 2 * x @ dy

    return gram, draw(5, 3), backward


@wrong("https://en.wikipedia.org/wiki/Radial_basis_function_kernel", "dy.T")
def kernel_matrix_held_for_one_argument():
    def kernel(x):
        d = ((x[:, None] - x[None]) ** 2).sum(axis=2)
        return np.exp(-d)

    def backward(dy, x):
        k = kernel(x)
        d = -2 * (dy * k)[:, :, None] * (x[:, None] - x[None])
        return d.sum(axis=1)

    return kernel, draw(5, 3), backward


# --- projections ----------------------------------------------------------------------------------


@wrong("https://github.com/hosseinshn/GradNorm/pull/4", "sum to zero")
def range_held_constant():
    def scale(x):
        low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
        return (x - low) / (high - low)

    def backward(dy, x):
        low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
        return dy / (high - low)

    return scale, draw(4, 6), backward


@wrong("https://github.com/flagos-ai/FlagGems/pull/177", "axis", "0", "column")
def weight_norm_projected_along_the_other_axis():
    def weight(v, g):
        return g * v / np.sqrt((v * v).sum(axis=1, keepdims=True))

    def backward(dy, v, g):
        n = np.sqrt((v * v).sum(axis=1, keepdims=True))
        u = v / n
        return g / n * (dy - u * (dy * u).sum(axis=0, keepdims=True))

    return weight, {"v": draw(4, 3), "g": positive(4, 1)}, backward, {"wrt": "v"}


@wrong("https://github.com/tyandzx/caffe/issues/3", "norm", "constant")
def cosine_projection_on_the_other_vector():
    def cosine(a, b):
        na, nb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        return (a * b).sum(axis=1) / (na * nb)

    def backward(dy, a, b):
        na = np.linalg.norm(a, axis=1)[:, None]
        nb = np.linalg.norm(b, axis=1)[:, None]
        c = (a * b).sum(axis=1, keepdims=True) / (na * nb)
        return dy[:, None] * (b / (na * nb) - c * b / nb**2)

    return cosine, {"a": draw(5, 4), "b": draw(5, 4, seed=1)}, backward, {"wrt": "a"}


# --- windows --------------------------------------------------------------------------------------


@wrong(
    "https://github.com/linkedin/Liger-Kernel/pull/1376",
    "x.size // x.shape[1]",
    "count",
    "constant",
)
def batch_norm_of_images_divided_by_the_rows_everywhere():
    def batch_norm(x):
        axes = (0, 2, 3)
        return (x - x.mean(axis=axes, keepdims=True)) / x.std(axis=axes, keepdims=True)

    def backward(dy, x):
        axes, m = (0, 2, 3), len(x)
        s = x.std(axis=axes, keepdims=True)
        y = (x - x.mean(axis=axes, keepdims=True)) / s
        first = dy.sum(axis=axes, keepdims=True) / m
        second = y * (dy * y).sum(axis=axes, keepdims=True) / m
        return (dy - first - second) / s

    return batch_norm, draw(3, 2, 4, 5), backward


@wrong("https://github.com/basalt-org/basalt/pull/13", "stride", "2", "apart")
def strided_transposed_windows():
    def grow(x, w):
        y = np.zeros((len(x), 2 * x.shape[1] + 1))
        for t in range(x.shape[1]):
            y[:, 2 * t : 2 * t + 3] += x[:, t : t + 1] * w
        return y

    def backward(dy, x, w):
        return np.stack([(dy[:, t : t + 3] * w).sum(axis=1) for t in range(x.shape[1])], axis=1)

    return grow, {"x": draw(3, 5), "w": draw(3)}, backward, {"wrt": "x"}


@wrong("https://github.com/kulinseth/pytorch/pull/334", "sum", "axis", "mean")
def prelu_slope_averaged_over_the_pixels():
    def prelu(x, a):
        return np.where(x > 0, x, a[:, None] * x)

    def backward(dy, x, a):
        return (dy * x * (x <= 0)).mean(axis=2).sum(axis=0)

    return prelu, {"x": draw(3, 4, 5), "a": positive(4)}, backward, {"wrt": "a"}
