"""Recurrent networks over whole sequences: what is carried from step to step, and by which gate."""

# ruff: noqa: F841

import numpy as np

from .case import draw, wrong


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, W, U):
    h = c = np.zeros((x.shape[1], len(U)))
    out = []
    for t in range(len(x)):
        i, f, o, g = np.split(x[t] @ W + h @ U, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.array(out)


def lstm_states(x, W, U):
    """Every step's state and gates, as the wrong versions below keep them."""
    h = c = np.zeros((x.shape[1], len(U)))
    hs, cs, gates = [h], [c], []
    for t in range(len(x)):
        i, f, o, g = np.split(x[t] @ W + h @ U, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        c = f * c + i * g
        h = o * np.tanh(c)
        hs.append(h)
        cs.append(c)
        gates.append((i, f, o, g))
    return hs, cs, gates


def sequence():
    return {"x": draw(4, 3, 2), "W": draw(2, 20), "U": draw(5, 20) / 2}


WEIGHTS = {"wrt": ("W", "U")}


@wrong("https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1", "dc", "carried", "f", "lacks")
def lstm_cell_gradient_not_carried():
    def backward(dy, x, W, U):
        hs, cs, gates = lstm_states(x, W, U)
        dW, dU, dh = np.zeros_like(W), np.zeros_like(U), 0
        for t in range(len(x) - 1, -1, -1):
            i, f, o, g = gates[t]
            dh = dy[t] + dh
            dc = dh * o * (1 - np.tanh(cs[t + 1]) ** 2)
            di, df = dc * g * i * (1 - i), dc * cs[t] * f * (1 - f)
            do, dg = dh * np.tanh(cs[t + 1]) * o * (1 - o), dc * i * (1 - g * g)
            dz = np.concatenate([di, df, do, dg], axis=1)
            dW += x[t].T @ dz
            dU += hs[t].T @ dz
            dh = dz @ U.T
        return dW, dU

    return lstm, sequence(), backward, WEIGHTS


@wrong("https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1", "dh", "carried", "U.T")
def lstm_state_gradient_not_carried():
    def backward(dy, x, W, U):
        hs, cs, gates = lstm_states(x, W, U)
        dW, dU, dc = np.zeros_like(W), np.zeros_like(U), 0
        for t in range(len(x) - 1, -1, -1):
            i, f, o, g = gates[t]
            dh = dy[t]
            dc = dc + dh * o * (1 - np.tanh(cs[t + 1]) ** 2)
            di, df = dc * g * i * (1 - i), dc * cs[t] * f * (1 - f)
            do, dg = dh * np.tanh(cs[t + 1]) * o * (1 - o), dc * i * (1 - g * g)
            dz = np.concatenate([di, df, do, dg], axis=1)
            dW += x[t].T @ dz
            dU += hs[t].T @ dz
            dc = dc * f
        return dW, dU

    return lstm, sequence(), backward, WEIGHTS


@wrong("https://github.com/javaidnabi31/RNN-from-scratch/issues/2", "* f", "dc", "f")
def lstm_cell_gradient_carried_past_the_gate():
    def backward(dy, x, W, U):
        hs, cs, gates = lstm_states(x, W, U)
        dW, dU, dh, dc = np.zeros_like(W), np.zeros_like(U), 0, 0
        for t in range(len(x) - 1, -1, -1):
            i, f, o, g = gates[t]
            dh = dy[t] + dh
            dc = dc + dh * o * (1 - np.tanh(cs[t + 1]) ** 2)
            di, df = dc * g * i * (1 - i), dc * cs[t] * f * (1 - f)
            do, dg = dh * np.tanh(cs[t + 1]) * o * (1 - o), dc * i * (1 - g * g)
            dz = np.concatenate([di, df, do, dg], axis=1)
            dW += x[t].T @ dz
            dU += hs[t].T @ dz
            dh = dz @ U.T
        return dW, dU

    return lstm, sequence(), backward, WEIGHTS


@wrong("https://github.com/nicklashansen/rnn_lstm_from_scratch/issues/1", "sigmoid", "twice", "σ")
def lstm_gates_activated_twice_in_every_step():
    def backward(dy, x, W, U):
        hs, cs, gates = lstm_states(x, W, U)
        dW, dU, dh, dc = np.zeros_like(W), np.zeros_like(U), 0, 0
        for t in range(len(x) - 1, -1, -1):
            i, f, o, g = gates[t]
            dh = dy[t] + dh
            dc = dc + dh * o * (1 - np.tanh(cs[t + 1]) ** 2)
            di, df = dc * g * sigmoid(i) * (1 - sigmoid(i)), dc * cs[t] * f * (1 - f)
            do, dg = dh * np.tanh(cs[t + 1]) * o * (1 - o), dc * i * (1 - g * g)
            dz = np.concatenate([di, df, do, dg], axis=1)
            dW += x[t].T @ dz
            dU += hs[t].T @ dz
            dh = dz @ U.T
            dc = dc * f
        return dW, dU

    return lstm, sequence(), backward, WEIGHTS


@wrong("https://github.com/apache/mxnet/issues/4057", "cs[t]", "cs", "cell", "c")
def lstm_forget_gate_times_the_new_cell():
    def backward(dy, x, W, U):
        hs, cs, gates = lstm_states(x, W, U)
        dW, dU, dh, dc = np.zeros_like(W), np.zeros_like(U), 0, 0
        for t in range(len(x) - 1, -1, -1):
            i, f, o, g = gates[t]
            dh = dy[t] + dh
            dc = dc + dh * o * (1 - np.tanh(cs[t + 1]) ** 2)
            di, df = dc * g * i * (1 - i), dc * cs[t + 1] * f * (1 - f)
            do, dg = dh * np.tanh(cs[t + 1]) * o * (1 - o), dc * i * (1 - g * g)
            dz = np.concatenate([di, df, do, dg], axis=1)
            dW += x[t].T @ dz
            dU += hs[t].T @ dz
            dh, dc = dz @ U.T, dc * f
        return dW, dU

    return lstm, sequence(), backward, WEIGHTS


def lstm_with_bias(z, b, c):
    i, f, o, g = np.split(z + b, 4, axis=1)
    return sigmoid(o) * np.tanh(sigmoid(f) * c + sigmoid(i) * np.tanh(g))


@wrong("https://github.com/hanbt/learn_dl/issues/53", "do", "df stands", "columns", "block")
def lstm_bias_of_the_output_gate_from_the_forget_gate():
    def backward(dy, z, b, c):
        i, f, o, g = np.split(z + b, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        c_next = f * c + i * g
        dc = dy * o * (1 - np.tanh(c_next) ** 2)
        di, df = dc * g * i * (1 - i), dc * c * f * (1 - f)
        do, dg = dy * np.tanh(c_next) * o * (1 - o), dc * i * (1 - g * g)
        dz = np.concatenate([di, df, do, dg], axis=1)
        db = np.concatenate([di.sum(0), df.sum(0), df.sum(0), dg.sum(0)])
        return dz, db

    inputs = {"z": draw(5, 12), "b": draw(12), "c": draw(5, 3)}
    return lstm_with_bias, inputs, backward, {"wrt": ("z", "b")}


def rnn(x, W, U, b):
    h = np.zeros((x.shape[1], len(U)))
    out = []
    for t in range(len(x)):
        h = np.tanh(x[t] @ W + h @ U + b)
        out.append(h)
    return np.array(out)


def steps():
    return {"x": draw(4, 3, 2), "W": draw(2, 5), "U": draw(5, 5) / 2, "b": draw(5)}


@wrong("https://github.com/qixianbiao/RNN/issues/2", "1/T", "len(x)", "1/4", "mean", "N")
def rnn_bias_averaged_over_time():
    def backward(dy, x, W, U, b):
        hs = rnn(x, W, U, b)
        db, dh = np.zeros_like(b), 0
        for t in range(len(x) - 1, -1, -1):
            dz = (dy[t] + dh) * (1 - hs[t] ** 2)
            db += dz.sum(axis=0) / len(x)
            dh = dz @ U.T
        return db

    return rnn, steps(), backward, {"wrt": "b"}


@wrong("https://github.com/rsokl/MyGrad/pull/4", "tanh", "slope", "hs[t]")
def rnn_slope_of_the_state_activated_again():
    def backward(dy, x, W, U, b):
        hs = rnn(x, W, U, b)
        dW, dh = np.zeros_like(W), 0
        for t in range(len(x) - 1, -1, -1):
            dz = (dy[t] + dh) * (1 - np.tanh(hs[t]) ** 2)
            dW += x[t].T @ dz
            dh = dz @ U.T
        return dW

    return rnn, steps(), backward, {"wrt": "W"}


def last_state(x, W, U, b):
    return rnn(x, W, U, b)[-1]


@wrong("https://github.com/rsokl/MyGrad/pull/4", "last", "carried", "U.T", "dh")
def rnn_stops_after_one_step():
    def backward(dy, x, W, U, b):
        hs = rnn(x, W, U, b)
        dx = np.zeros_like(x)
        dz = dy * (1 - hs[-1] ** 2)
        dx[-1] = dz @ W.T
        return dx

    return last_state, steps(), backward, {"wrt": "x"}


@wrong("https://github.com/rsokl/MyGrad/pull/4", "+=", "added", "replaces", "carried", "last")
def rnn_inputs_of_early_steps_without_the_carry():
    def backward(dy, x, W, U, b):
        hs = rnn(x, W, U, b)
        dx, dh = np.zeros_like(x), 0
        for t in range(len(x) - 1, -1, -1):
            dz = dy[t] * (1 - hs[t] ** 2)
            dx[t] = dz @ W.T
            dh = dz @ U.T
        return dx

    return rnn, steps(), backward, {"wrt": "x"}


def gru(x, Wz, Wr, Wn, Uz, Ur, Un):
    h = np.zeros((x.shape[1], len(Uz)))
    out = []
    for t in range(len(x)):
        z, r = sigmoid(x[t] @ Wz + h @ Uz), sigmoid(x[t] @ Wr + h @ Ur)
        n = np.tanh(x[t] @ Wn + (r * h) @ Un)
        h = (1 - z) * h + z * n
        out.append(h)
    return np.array(out)


def gru_states(x, Wz, Wr, Wn, Uz, Ur, Un):
    h = np.zeros((x.shape[1], len(Uz)))
    kept = []
    for t in range(len(x)):
        z, r = sigmoid(x[t] @ Wz + h @ Uz), sigmoid(x[t] @ Wr + h @ Ur)
        n = np.tanh(x[t] @ Wn + (r * h) @ Un)
        kept.append((h, z, r, n))
        h = (1 - z) * h + z * n
    return kept


def gru_sequence():
    x = {"x": draw(3, 3, 2)}
    inputs = {f"W{k}": draw(2, 4, seed=i) for i, k in enumerate("zrn")}
    return {**x, **inputs, **{f"U{k}": draw(4, 4, seed=i) / 2 for i, k in enumerate("zrn")}}


@wrong("https://github.com/chainer/chainer/pull/419", "1 - z", "(1-z)", "dh *", "z")
def gru_state_carried_without_the_direct_path():
    def backward(dy, x, Wz, Wr, Wn, Uz, Ur, Un):
        kept = gru_states(x, Wz, Wr, Wn, Uz, Ur, Un)
        dWn, dh = np.zeros_like(Wn), 0
        for t in range(len(x) - 1, -1, -1):
            h, z, r, n = kept[t]
            dh = dy[t] + dh
            da = dh * z * (1 - n * n)
            db = dh * (n - h) * z * (1 - z)
            dm = da @ Un.T
            dc = dm * h * r * (1 - r)
            dWn += x[t].T @ da
            dh = dm * r + db @ Uz.T + dc @ Ur.T
        return dWn

    return gru, gru_sequence(), backward, {"wrt": "Wn"}


@wrong("https://github.com/mindspore-ai/mindspore/issues/149", "h - n", "n - h", "sign", "-1", "z")
def gru_update_gate_the_other_way_round():
    def backward(dy, x, Wz, Wr, Wn, Uz, Ur, Un):
        kept = gru_states(x, Wz, Wr, Wn, Uz, Ur, Un)
        dWz, dh = np.zeros_like(Wz), 0
        for t in range(len(x) - 1, -1, -1):
            h, z, r, n = kept[t]
            dh = dy[t] + dh
            da = dh * z * (1 - n * n)
            db = dh * (h - n) * z * (1 - z)
            dm = da @ Un.T
            dc = dm * h * r * (1 - r)
            dWz += x[t].T @ db
            dh = dh * (1 - z) + dm * r + db @ Uz.T + dc @ Ur.T
        return dWz

    return gru, gru_sequence(), backward, {"wrt": "Wz"}


@wrong("https://github.com/open-lm-engine/accelerated-model-architectures/pull/249", "r * h", "r")
def gru_candidate_weights_from_the_whole_state():
    def backward(dy, x, Wz, Wr, Wn, Uz, Ur, Un):
        kept = gru_states(x, Wz, Wr, Wn, Uz, Ur, Un)
        dUn, dh = np.zeros_like(Un), 0
        for t in range(len(x) - 1, -1, -1):
            h, z, r, n = kept[t]
            dh = dy[t] + dh
            da = dh * z * (1 - n * n)
            db = dh * (n - h) * z * (1 - z)
            dm = da @ Un.T
            dc = dm * h * r * (1 - r)
            dUn += h.T @ da
            dh = dh * (1 - z) + dm * r + db @ Uz.T + dc @ Ur.T
        return dUn

    return gru, gru_sequence(), backward, {"wrt": "Un"}


@wrong("https://github.com/chainer/chainer/pull/419", "r", "1 - r", "slope", "σ")
def gru_reset_gate_without_its_slope():
    def backward(dy, x, Wz, Wr, Wn, Uz, Ur, Un):
        kept = gru_states(x, Wz, Wr, Wn, Uz, Ur, Un)
        dWr, dh = np.zeros_like(Wr), 0
        for t in range(len(x) - 1, -1, -1):
            h, z, r, n = kept[t]
            dh = dy[t] + dh
            da = dh * z * (1 - n * n)
            db = dh * (n - h) * z * (1 - z)
            dm = da @ Un.T
            dc = dm * h
            dWr += x[t].T @ dc
            dh = dh * (1 - z) + dm * r + db @ Uz.T + dc @ Ur.T
        return dWr

    return gru, gru_sequence(), backward, {"wrt": "Wr"}


def both_ways(x, W):
    forth, back = np.cumsum(np.tanh(x @ W), axis=0), np.cumsum(np.tanh(x[::-1] @ W), axis=0)
    return forth + back[::-1]


@wrong("https://doi.org/10.1109/78.650093", "[::-1]", "revers", "order", "flip")
def backward_direction_not_turned_back():
    def backward(dy, x, W):
        forth, back = np.tanh(x @ W), np.tanh(x[::-1] @ W)
        da = np.cumsum(dy[::-1], axis=0)[::-1] * (1 - forth**2)
        db = np.cumsum(dy, axis=0)[::-1] * (1 - back**2)
        return da @ W.T + db @ W.T

    return both_ways, {"x": draw(5, 3), "W": draw(3, 4)}, backward, {"wrt": "x"}
