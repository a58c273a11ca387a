"""Losses with weights, margins, smoothing and masks; gates, ties and lookups inside nets."""

# ruff: noqa: RUF059

import numpy as np

from .case import draw, onehot, wrong

SMOOTH, MARGIN, TAU, DELTA, POSITIVE = 0.1, 0.5, 0.2, 0.6, 3.0
NUMBER = {"upstream": False}


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def smoothed(z, t):
    q = (1 - SMOOTH) * t + SMOOTH / t.shape[1]
    return -(q * np.log(softmax(z))).sum() / len(z)


def classes():
    return {"z": draw(5, 4), "t": onehot(4, 0, 2, 1, 3, 2)}


@wrong("https://github.com/TimDettmers/ConvE/issues/55", "SMOOTH", "0.1", "0.025", "smooth")
def label_smoothing_adds_one_over_the_classes():
    def backward(z, t):
        return (softmax(z) - (1 - SMOOTH) * t - 1 / t.shape[1]) / len(z)

    return smoothed, classes(), backward, {"wrt": "z", **NUMBER}


@wrong(
    "https://github.com/ildoonet/pytorch-randaugment/issues/30", "SMOOTH", "0.1", "0.025", "t.shape"
)
def label_smoothing_takes_too_little_from_the_target():
    def backward(z, t):
        q = (1 - SMOOTH / t.shape[1]) * t + SMOOTH / t.shape[1]
        return (softmax(z) - q) / len(z)

    return smoothed, classes(), backward, {"wrt": "z", **NUMBER}


@wrong(
    "https://github.com/pytorch/pytorch/issues/148884", "SMOOTH", "0.1", "0.025", "lacks", "missing"
)
def label_smoothing_without_the_uniform_part():
    def backward(z, t):
        return (softmax(z) - (1 - SMOOTH) * t) / len(z)

    return smoothed, classes(), backward, {"wrt": "z", **NUMBER}


def weighted(z, t, w):
    return -(w[:, None] * t * np.log(softmax(z))).sum() / w.sum()


@wrong("https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html", "w", "weight")
def class_weights_forgotten():
    def backward(z, t, w):
        return (softmax(z) - t) / w.sum()

    inputs = {**classes(), "w": np.array([0.3, 1.1, 2.0, 0.7, 1.6])}
    return weighted, inputs, backward, {"wrt": "z", **NUMBER}


@wrong(
    "https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
    "w.sum",
    "sum",
    "Σ",
    "len(z)",
    "N",
)
def weighted_loss_divided_by_the_rows():
    def backward(z, t, w):
        return w[:, None] * (softmax(z) - t) / len(z)

    inputs = {**classes(), "w": np.array([0.3, 1.1, 2.0, 0.7, 1.6])}
    return weighted, inputs, backward, {"wrt": "z", **NUMBER}


def masked(z, t, keep):
    return -(keep[:, None] * t * np.log(softmax(z))).sum() / keep.sum()


@wrong("https://github.com/NVIDIA/apex/pull/1457", "keep", "mask")
def ignored_rows_still_learn():
    def backward(z, t, keep):
        return (softmax(z) - t) / keep.sum()

    inputs = {**classes(), "keep": np.array([1.0, 0.0, 1.0, 1.0, 0.0])}
    return masked, inputs, backward, {"wrt": "z", **NUMBER}


def divergence(p, q):
    return (p * np.log(p / q)).sum() / len(p)


@wrong("https://doi.org/10.1214/aoms/1177729694", "1", "+ 1", "term", "log")
def divergence_without_its_one():
    def backward(p, q):
        return np.log(p / q) / len(p)

    return (
        divergence,
        {"p": softmax(draw(5, 3)), "q": softmax(draw(5, 3, seed=1))},
        backward,
        {
            "wrt": "p",
            **NUMBER,
        },
    )


@wrong("https://doi.org/10.1214/aoms/1177729694", "p / q", "upside", "q/p", "p for q", "p")
def divergence_in_the_other_direction():
    def backward(p, q):
        return -q / p / len(p)

    return (
        divergence,
        {"p": softmax(draw(5, 3)), "q": softmax(draw(5, 3, seed=1))},
        backward,
        {
            "wrt": "q",
            **NUMBER,
        },
    )


def triplet(a, p, n):
    near, far = ((a - p) ** 2).sum(axis=1), ((a - n) ** 2).sum(axis=1)
    return np.maximum(near - far + MARGIN, 0).sum()


@wrong("https://arxiv.org/abs/1503.03832", "n - p", "sign", "p", "wrong way", "a - n")
def triplet_anchor_without_the_negative():
    def backward(a, p, n):
        near, far = ((a - p) ** 2).sum(axis=1), ((a - n) ** 2).sum(axis=1)
        on = (near - far + MARGIN > 0)[:, None]
        return on * 2 * (a - p), on * 2 * (p - a), on * 2 * (a - n)

    inputs = {"a": draw(5, 3), "p": draw(5, 3, seed=1), "n": draw(5, 3, seed=2)}
    return triplet, inputs, backward, NUMBER


@wrong("https://arxiv.org/abs/1503.03832", "mask", "on", "zero", "max")
def triplet_pairs_beyond_the_margin_still_learn():
    def backward(a, p, n):
        return 2 * (n - p), 2 * (p - a), 2 * (a - n)

    inputs = {"a": draw(9, 3), "p": draw(9, 3, seed=1), "n": draw(9, 3, seed=2)}
    return triplet, inputs, backward, NUMBER


def dice(p, t):
    return 1 - 2 * (p * t).sum() / (p.sum() + t.sum())


@wrong("https://arxiv.org/abs/1606.04797", "constant", "lacks", "term", "missing", "+")
def dice_denominator_held_constant():
    def backward(p, t):
        return -2 * t / (p.sum() + t.sum())

    inputs = {"p": sigmoid(draw(4, 5)), "t": (draw(4, 5, seed=1) > 0) * 1.0}
    return dice, inputs, backward, {"wrt": "p", **NUMBER}


def huber(x, t):
    e = np.abs(x - t)
    return np.where(e <= DELTA, e * e / 2, DELTA * (e - DELTA / 2)).mean()


@wrong("https://pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html", "DELTA", "0.6", "δ")
def huber_clipped_at_one():
    def backward(x, t):
        return np.clip(x - t, -1, 1) / x.size

    return huber, {"x": draw(6, 3), "t": draw(6, 3, seed=1)}, backward, {"wrt": "x", **NUMBER}


def quantile(x, t):
    e = t - x
    return np.maximum(TAU * e, (TAU - 1) * e).sum()


@wrong(
    "https://doi.org/10.2307/1913643",
    "TAU",
    "0.2",
    "0.8",
    "sign",
    "x - t",
    "t - x",
)
def quantile_sides_exchanged():
    def backward(x, t):
        return np.where(t > x, 1 - TAU, -TAU)

    return quantile, {"x": draw(6, 3), "t": draw(6, 3, seed=1)}, backward, {"wrt": "x", **NUMBER}


def poisson(z, t):
    return (np.exp(z) - t * z).mean()


@wrong("https://pytorch.org/docs/stable/generated/torch.nn.PoissonNLLLoss.html", "exp")
def poisson_rate_not_exponentiated():
    def backward(z, t):
        return (z - t) / z.size

    return (
        poisson,
        {"z": draw(5, 3), "t": np.abs(draw(5, 3, seed=1))},
        backward,
        {
            "wrt": "z",
            **NUMBER,
        },
    )


def positive_bce(z, t):
    y = sigmoid(z)
    return -(POSITIVE * t * np.log(y) + (1 - t) * np.log(1 - y)).mean()


@wrong(
    "https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html",
    "POSITIVE",
    "3",
    "t",
)
def positive_weight_forgotten():
    def backward(z, t):
        return (sigmoid(z) - t) / z.size

    inputs = {"z": draw(5, 3), "t": (draw(5, 3, seed=1) > 0) * 1.0}
    return positive_bce, inputs, backward, {"wrt": "z", **NUMBER}


def contrast(z, u):
    s = z @ u.T / TAU
    return -np.log(np.diag(softmax(s))).mean()


@wrong("https://arxiv.org/abs/2002.05709", "TAU", "0.2", "5")
def temperature_forgotten():
    def backward(z, u):
        s = softmax(z @ u.T / TAU)
        return (s - np.eye(len(z))) @ u / len(z)

    return (
        contrast,
        {"z": draw(5, 3) / 3, "u": draw(5, 3, seed=1) / 3},
        backward,
        {
            "wrt": "z",
            **NUMBER,
        },
    )


@wrong("https://arxiv.org/abs/2002.05709", "transpos", ".T")
def contrast_of_the_second_view_not_transposed():
    def backward(z, u):
        d = (softmax(z @ u.T / TAU) - np.eye(len(z))) / TAU / len(z)
        return d @ u, d @ z

    return contrast, {"z": draw(5, 3) / 3, "u": draw(5, 3, seed=1) / 3}, backward, NUMBER


RIDGE, LASSO = 0.3, 0.2


def elastic(w, X, t):
    return ((X @ w - t) ** 2).sum() / 2 + RIDGE / 2 * (w * w).sum() + LASSO * np.abs(w).sum()


@wrong("https://doi.org/10.1111/j.1467-9868.2005.00503.x", "sign", "np.sign(w)")
def lasso_part_without_the_sign():
    def backward(w, X, t):
        return X.T @ (X @ w - t) + RIDGE * w + LASSO

    inputs = {"w": draw(4), "X": draw(6, 4), "t": draw(6)}
    return elastic, inputs, backward, {"wrt": "w", **NUMBER}


def glu(x):
    a, b = np.split(x, 2, axis=1)
    return a * sigmoid(b)


@wrong("https://arxiv.org/abs/1612.08083", "a", "lacks", "factor")
def gate_without_what_it_gates():
    def backward(dy, x):
        a, b = np.split(x, 2, axis=1)
        s = sigmoid(b)
        return np.concatenate([dy * s, dy * s * (1 - s)], axis=1)

    return glu, {"x": draw(5, 6)}, backward


@wrong("https://arxiv.org/abs/1612.08083", "order", "swap", "places", "halves")
def gate_halves_joined_in_the_other_order():
    def backward(dy, x):
        a, b = np.split(x, 2, axis=1)
        s = sigmoid(b)
        return np.concatenate([dy * a * s * (1 - s), dy * s], axis=1)

    return glu, {"x": draw(5, 6)}, backward


def causal(q, k, v):
    s = q @ k.T + np.where(np.tri(len(q)) > 0, 0, -1e9)
    return softmax(s) @ v


@wrong("https://github.com/AlphaGPU/leetgpu-challenges/pull/265", "Σ", "sum", "softmax", "a *")
def causal_attention_softmax_held_apart():
    def backward(dy, q, k, v):
        a = softmax(q @ k.T + np.where(np.tri(len(q)) > 0, 0, -1e9))
        da = dy @ v.T
        ds = a * da
        return ds @ k, ds.T @ q, a.T @ dy

    inputs = {"q": draw(5, 3), "k": draw(5, 3, seed=1), "v": draw(5, 4)}
    return causal, inputs, backward


def heads(x, W):
    n = len(x)
    y = (x @ W).reshape(n, 2, 3).transpose(1, 0, 2)
    return np.tanh(y)


@wrong(
    "https://github.com/jadore801120/attention-is-all-you-need-pytorch/issues/159",
    "transpose",
    "axes",
    "order",
)
def heads_merged_without_the_transpose():
    def backward(dy, x, W):
        y = np.tanh((x @ W).reshape(len(x), 2, 3).transpose(1, 0, 2))
        d = dy * (1 - y * y)
        return x.T @ d.reshape(len(x), 6)

    return heads, {"x": draw(5, 4), "W": draw(4, 6)}, backward, {"wrt": "W"}


@wrong("https://github.com/karpathy/nn-zero-to-hero/issues/57", "np.add.at", "repeat")
def windows_of_words_added_row_by_row():
    def f(C, X):
        return C[X]

    def backward(dy, C, X):
        dC = np.zeros_like(C)
        for k in range(len(X)):
            dC[X[k]] += dy[k]
        return dC

    X = np.array([[0, 0, 1], [2, 1, 1], [3, 4, 4], [0, 2, 5]])
    return f, {"C": draw(6, 2), "X": X}, backward, {"wrt": "C"}


@wrong("https://github.com/apache/mxnet/issues/9172", "np.add.at", "repeat")
def pairs_of_indices_assigned():
    def f(x, i, j):
        return x[i, j]

    def backward(dy, x, i, j):
        dx = np.zeros_like(x)
        dx[i, j] += dy
        return dx

    inputs = {"x": draw(4, 5), "i": np.array([0, 1, 0, 3, 1]), "j": np.array([2, 4, 2, 0, 4])}
    return f, inputs, backward, {"wrt": "x"}


@wrong("https://github.com/nadavbh12/VQ-VAE/pull/4", "mean", "count", "repeat", "average")
def codes_averaged_over_their_members():
    def f(codes, i):
        return codes[i]

    def backward(dy, codes, i):
        d = np.zeros_like(codes)
        for k in range(len(codes)):
            if (i == k).any():
                d[k] = dy[i == k].mean(axis=0)
        return d

    return (
        f,
        {"codes": draw(5, 3), "i": np.array([0, 3, 3, 1, 0, 3, 4])},
        backward,
        {"wrt": "codes"},
    )


@wrong(
    "https://arxiv.org/abs/1706.03762",
    "sqrt",
    "√",
    "1.732",
    "D",
)
def embedding_scale_forgotten():
    def f(W, i):
        return W[i] * np.sqrt(W.shape[1])

    def backward(dy, W, i):
        dW = np.zeros_like(W)
        np.add.at(dW, i, dy)
        return dW

    return f, {"W": draw(6, 3), "i": np.array([1, 0, 3, 0, 5, 1, 0])}, backward, {"wrt": "W"}


def tied(W, x):
    return 0.5 * ((sigmoid(x @ W) @ W.T - x) ** 2).sum()


def tied_gradient(W, x):
    h = sigmoid(x @ W)
    e = h @ W.T - x
    return e.T @ h + x.T @ ((e @ W) * h * (1 - h))


def tied_inputs():
    return {"W": draw(5, 3), "x": draw(7, 5)}


TIED = {"wrt": "W", "upstream": False}


@wrong("https://stackoverflow.com/questions/6607141", "second", "use", "e.T @ h", "decoder", "term")
def tied_weights_decoder_use_forgotten():
    def backward(W, x):
        h = sigmoid(x @ W)
        e = h @ W.T - x
        return x.T @ ((e @ W) * h * (1 - h))

    return tied, tied_inputs(), backward, TIED


@wrong("https://stackoverflow.com/questions/6607141", "h * (1 - h)", "1 - h", "slope", "x.T @")
def tied_weights_encoder_slope_forgotten_beside_a_reference():
    def backward(W, x):
        h = sigmoid(x @ W)
        e = h @ W.T - x
        return e.T @ h + x.T @ (e @ W)

    return tied, tied_inputs(), backward, {**TIED, "reference": tied_gradient}


@wrong("https://stackoverflow.com/questions/6607141", "x.T @", "term", "use", "encoder", "missing")
def tied_weights_one_use_beside_a_reference():
    def backward(W, x):
        h = sigmoid(x @ W)
        return (h @ W.T - x).T @ h

    return tied, tied_inputs(), backward, {**TIED, "reference": tied_gradient}


@wrong("https://stackoverflow.com/questions/6607141", "transpos", ".T", "order")
def tied_weights_decoder_use_in_the_wrong_order():
    def backward(W, x):
        h = sigmoid(x @ W)
        e = h @ W.T - x
        return (h.T @ e).reshape(W.shape) + x.T @ ((e @ W) * h * (1 - h))

    return tied, tied_inputs(), backward, TIED


def residual(x, W, V):
    return np.tanh(x @ W) + x @ V


@wrong("https://github.com/Kulbear/deep-learning-coursera/pull/34", "V", "lacks", "term", "path")
def projected_shortcut_forgotten():
    def backward(dy, x, W, V):
        y = np.tanh(x @ W)
        return (dy * (1 - y * y)) @ W.T

    inputs = {"x": draw(5, 3), "W": draw(3, 4), "V": draw(3, 4, seed=1)}
    return residual, inputs, backward, {"wrt": "x"}


@wrong(
    "https://github.com/Kulbear/deep-learning-coursera/pull/34",
    "V",
    "dy",
    "slope",
    "factor",
    "1 - y",
)
def projected_shortcut_given_the_slope():
    def backward(dy, x, W, V):
        y = np.tanh(x @ W)
        d = dy * (1 - y * y)
        return d @ W.T + d @ V.T

    inputs = {"x": draw(5, 3), "W": draw(3, 4), "V": draw(3, 4, seed=1)}
    return residual, inputs, backward, {"wrt": "x"}
