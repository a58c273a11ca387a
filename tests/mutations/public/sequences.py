"""Attention and recurrent cells."""

import numpy as np

from .case import draw, wrong

QKV = {"q": draw(5, 3), "k": draw(4, 3), "v": draw(4, 6)}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def attention(q, k, v):
    return softmax(q @ k.T / np.sqrt(q.shape[1])) @ v


@wrong("https://github.com/AlphaGPU/leetgpu-challenges/pull/302", "sqrt", "√", "1.732", "scale")
def attention_scale_forgotten():
    def backward(dy, q, k, v):
        a = softmax(q @ k.T / np.sqrt(q.shape[1]))
        da = dy @ v.T
        ds = a * (da - (da * a).sum(axis=1, keepdims=True))
        return ds @ k, ds.T @ q, a.T @ dy

    return attention, dict(QKV), backward


@wrong("https://github.com/AlphaGPU/leetgpu-challenges/pull/265", "sum", "Σ", "softmax")
def attention_softmax_diagonal():
    def backward(dy, q, k, v):
        a = softmax(q @ k.T / np.sqrt(q.shape[1]))
        ds = dy @ v.T * a * (1 - a) / np.sqrt(q.shape[1])
        return ds @ k, ds.T @ q, a.T @ dy

    return attention, dict(QKV), backward


@wrong(
    "https://github.com/cneuralnetwork/solving-ml-papers/issues/1", "q.shape", "√", "sqrt", "I/O"
)
def attention_scaled_by_the_wrong_length():
    def backward(dy, q, k, v):
        a = softmax(q @ k.T / np.sqrt(q.shape[1]))
        da = dy @ v.T
        ds = a * (da - (da * a).sum(axis=1, keepdims=True)) / np.sqrt(v.shape[1])
        return ds @ k, ds.T @ q, a.T @ dy

    return attention, dict(QKV), backward


@wrong("https://github.com/AlphaGPU/leetgpu-challenges/pull/265", "transpos", "a.T")
def attention_values_not_transposed():
    def backward(dy, q, k, v):
        a = softmax(q @ k.T / np.sqrt(q.shape[1]))
        da = dy @ v.T
        ds = a * (da - (da * a).sum(axis=1, keepdims=True)) / np.sqrt(q.shape[1])
        return ds @ k, ds.T @ q, a @ dy

    inputs = {"q": draw(5, 3), "k": draw(5, 3, seed=1), "v": draw(5, 6)}
    return attention, inputs, backward


@wrong("https://github.com/AlphaGPU/leetgpu-challenges/pull/302", "transpos", "ds.T")
def attention_keys_not_transposed():
    def backward(dy, q, k, v):
        a = softmax(q @ k.T / np.sqrt(q.shape[1]))
        da = dy @ v.T
        ds = a * (da - (da * a).sum(axis=1, keepdims=True)) / np.sqrt(q.shape[1])
        return ds @ k, ds @ q, a.T @ dy

    inputs = {"q": draw(5, 3), "k": draw(5, 3, seed=1), "v": draw(5, 6)}
    return attention, inputs, backward


def rnn(x, W, U):
    h = np.zeros((len(x[0]), U.shape[0]))
    out = []
    for t in range(len(x)):
        h = np.tanh(x[t] @ W + h @ U)
        out.append(h)
    return np.array(out)


def sequence():
    return {"x": draw(4, 3, 2), "W": draw(2, 5), "U": draw(5, 5)}


@wrong("https://github.com/qixianbiao/RNN/issues/2", "carried", "dh", "last step", "from step")
def rnn_error_not_carried():
    def backward(dy, x, W, U):
        hs = rnn(x, W, U)
        dW, dU = np.zeros_like(W), np.zeros_like(U)
        for t in range(len(x) - 1, -1, -1):
            dz = dy[t] * (1 - hs[t] ** 2)
            dW += x[t].T @ dz
            dU += (hs[t - 1] if t else np.zeros_like(hs[0])).T @ dz
        return dW, dU

    return rnn, sequence(), backward, {"wrt": ("W", "U")}


@wrong("https://github.com/mratsim/Arraymancer/pull/237", "+=", "added", "replaces")
def rnn_gradient_replaced():
    def backward(dy, x, W, U):
        hs = rnn(x, W, U)
        dW, dU, dh = np.zeros_like(W), np.zeros_like(U), 0
        for t in range(len(x) - 1, -1, -1):
            dz = (dy[t] + dh) * (1 - hs[t] ** 2)
            dW = x[t].T @ dz
            dU += (hs[t - 1] if t else np.zeros_like(hs[0])).T @ dz
            dh = dz @ U.T
        return dW, dU

    return rnn, sequence(), backward, {"wrt": ("W", "U")}


@wrong("https://github.com/rsokl/MyGrad/pull/4", "hs[t-1]", "h", "previous", "t - 1")
def rnn_uses_the_state_of_this_step():
    def backward(dy, x, W, U):
        hs = rnn(x, W, U)
        dW, dU, dh = np.zeros_like(W), np.zeros_like(U), 0
        for t in range(len(x) - 1, -1, -1):
            dz = (dy[t] + dh) * (1 - hs[t] ** 2)
            dW += x[t].T @ dz
            dU += hs[t].T @ dz
            dh = dz @ U.T
        return dW, dU

    return rnn, sequence(), backward, {"wrt": ("W", "U")}


@wrong("https://github.com/rsokl/MyGrad/pull/4", "transpos", "U.T")
def rnn_carries_without_the_transpose():
    def backward(dy, x, W, U):
        hs = rnn(x, W, U)
        dW, dU, dh = np.zeros_like(W), np.zeros_like(U), 0
        for t in range(len(x) - 1, -1, -1):
            dz = (dy[t] + dh) * (1 - hs[t] ** 2)
            dW += x[t].T @ dz
            dU += (hs[t - 1] if t else np.zeros_like(hs[0])).T @ dz
            dh = dz @ U
        return dW, dU

    return rnn, sequence(), backward, {"wrt": ("W", "U")}


@wrong("https://github.com/qixianbiao/RNN/issues/2", "1/4", "4", "len(x)", "N")
def rnn_averaged_over_time():
    def backward(dy, x, W, U):
        hs = rnn(x, W, U)
        dW, dU, dh = np.zeros_like(W), np.zeros_like(U), 0
        for t in range(len(x) - 1, -1, -1):
            dz = (dy[t] + dh) * (1 - hs[t] ** 2)
            dW += x[t].T @ dz
            dU += (hs[t - 1] if t else np.zeros_like(hs[0])).T @ dz
            dh = dz @ U.T
        return dW / len(x), dU / len(x)

    return rnn, sequence(), backward, {"wrt": ("W", "U")}


def lstm_step(z, c):
    i, f, o, g = np.split(z, 4, axis=1)
    c_next = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.concatenate([sigmoid(o) * np.tanh(c_next), c_next], axis=1)


def gates():
    return {"z": draw(5, 12), "c": draw(5, 3)}


def lstm_backward(dy, z, c):
    """What the wrong versions below start from, gates activated."""
    i, f, o, g = np.split(z, 4, axis=1)
    return sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)


@wrong("https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1", "f*(1-f)", "(1-f)", "σ′", "slope")
def lstm_forget_gate_without_slope():
    def backward(dy, z, c):
        i, f, o, g = lstm_backward(dy, z, c)
        c_next = f * c + i * g
        dh, dc = np.split(dy, 2, axis=1)
        dc = dc + dh * o * (1 - np.tanh(c_next) ** 2)
        di, df = dc * g * i * (1 - i), dc * c
        do, dg = dh * np.tanh(c_next) * o * (1 - o), dc * i * (1 - g * g)
        return np.concatenate([di, df, do, dg], axis=1), dc * f

    return lstm_step, gates(), backward


@wrong("https://github.com/cthorey/CS231/issues/1", "dc", "lacks", "+", "term")
def lstm_cell_gradient_replaced():
    def backward(dy, z, c):
        i, f, o, g = lstm_backward(dy, z, c)
        c_next = f * c + i * g
        dh, dc = np.split(dy, 2, axis=1)
        dc = dh * o * (1 - np.tanh(c_next) ** 2)
        di, df = dc * g * i * (1 - i), dc * c * f * (1 - f)
        do, dg = dh * np.tanh(c_next) * o * (1 - o), dc * i * (1 - g * g)
        return np.concatenate([di, df, do, dg], axis=1), dc * f

    return lstm_step, gates(), backward


@wrong(
    "https://github.com/nicklashansen/rnn_lstm_from_scratch/issues/1", "o", "σ", "twice", "slope"
)
def lstm_output_gate_activated_twice():
    def backward(dy, z, c):
        i, f, o, g = lstm_backward(dy, z, c)
        c_next = f * c + i * g
        dh, dc = np.split(dy, 2, axis=1)
        dc = dc + dh * o * (1 - np.tanh(c_next) ** 2)
        di, df = dc * g * i * (1 - i), dc * c * f * (1 - f)
        do = dh * np.tanh(c_next) * sigmoid(o) * (1 - sigmoid(o))
        return np.concatenate([di, df, do, dc * i * (1 - g * g)], axis=1), dc * f

    return lstm_step, gates(), backward


@wrong("https://github.com/nicklashansen/rnn_lstm_from_scratch/issues/1", "tanh(c_next)", "tanh")
def lstm_output_gate_times_the_raw_cell():
    def backward(dy, z, c):
        i, f, o, g = lstm_backward(dy, z, c)
        c_next = f * c + i * g
        dh, dc = np.split(dy, 2, axis=1)
        dc = dc + dh * o * (1 - np.tanh(c_next) ** 2)
        di, df = dc * g * i * (1 - i), dc * c * f * (1 - f)
        do, dg = dh * c_next * o * (1 - o), dc * i * (1 - g * g)
        return np.concatenate([di, df, do, dg], axis=1), dc * f

    return lstm_step, gates(), backward


@wrong("https://github.com/javaidnabi31/RNN-from-scratch/issues/2", "* f", "factor f", "f")
def lstm_previous_cell_without_the_gate():
    def backward(dy, z, c):
        i, f, o, g = lstm_backward(dy, z, c)
        c_next = f * c + i * g
        dh, dc = np.split(dy, 2, axis=1)
        dc = dc + dh * o * (1 - np.tanh(c_next) ** 2)
        di, df = dc * g * i * (1 - i), dc * c * f * (1 - f)
        do, dg = dh * np.tanh(c_next) * o * (1 - o), dc * i * (1 - g * g)
        return np.concatenate([di, df, do, dg], axis=1), dc

    return lstm_step, gates(), backward


def gru_step(h, x, Wr, Wz, Wn):
    r, z = sigmoid(x + h @ Wr), sigmoid(x + h @ Wz)
    n = np.tanh(x + (r * h) @ Wn)
    return (1 - z) * h + z * n


def cell():
    return {
        "h": draw(5, 3),
        "x": draw(5, 3, seed=1),
        **{k: draw(3, 3, seed=i) for i, k in enumerate(("Wr", "Wz", "Wn"))},
    }


@wrong(
    "https://github.com/open-lm-engine/accelerated-model-architectures/pull/249",
    "dr",
    "Wr",
    "reset",
)
def gru_path_through_the_reset_gate_forgotten():
    def backward(dy, h, x, Wr, Wz, Wn):
        r, z = sigmoid(x + h @ Wr), sigmoid(x + h @ Wz)
        n = np.tanh(x + (r * h) @ Wn)
        dn = dy * z * (1 - n * n)
        dz = dy * (n - h) * z * (1 - z)
        dm = dn @ Wn.T
        return dy * (1 - z) + dm * r + dz @ Wz.T

    return gru_step, cell(), backward, {"wrt": "h"}


@wrong("https://github.com/mindspore-ai/mindspore/issues/149", "sign", "n - h", "h", "lacks")
def gru_update_gate_without_the_state():
    def backward(dy, h, x, Wr, Wz, Wn):
        r, z = sigmoid(x + h @ Wr), sigmoid(x + h @ Wz)
        n = np.tanh(x + (r * h) @ Wn)
        dn = dy * z * (1 - n * n)
        dz = dy * n * z * (1 - z)
        dm = dn @ Wn.T
        dr = dm * h * r * (1 - r)
        return dy * (1 - z) + dm * r + dz @ Wz.T + dr @ Wr.T

    return gru_step, cell(), backward, {"wrt": "h"}
