"""Mistakes of issue threads: losses, slopes, norms, attention, cells, windows, matrices.

All of them were written and looked at while the doctor was mended.
"""

# ruff: noqa: RUF059

import numpy as np

from .case import draw, onehot, wrong

EPS = 0.1  # of label smoothing
REG = 0.05
LAM = 0.3
BETA = 3.0
KEEP = 0.6
TEMPERATURE = 2.5
DILATION = 2
DELTA = 0.7


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def positive(*shape):
    return np.abs(draw(*shape))


# --- losses ---------------------------------------------------------------------------------------


@wrong("https://github.com/milesial/Pytorch-UNet/issues/35", "sign", "- I", "-I", "I & -1")
def dice_quotient_rule_with_a_plus():
    def dice(p, t):
        return 1 - 2 * (p * t).sum() / (p.sum() + t.sum())

    def backward(dy, p, t):
        I, U = (p * t).sum(), p.sum() + t.sum()
        return dy * -2 * (t * U + I) / U**2

    return dice, {"p": positive(5, 4), "t": onehot(4, 0, 2, 1, 3, 0)}, backward, {"wrt": "p"}


@wrong("https://github.com/faustomilletari/VNet/issues/18", "1/U", "U^2", "square", "divid", "/ U")
def dice_union_not_squared():
    def dice(p, t):
        return 1 - 2 * (p * t).sum() / (p.sum() + t.sum())

    def backward(dy, p, t):
        I, U = (p * t).sum(), p.sum() + t.sum()
        return dy * -2 * (t * U - I) / U

    return dice, {"p": positive(5, 4), "t": onehot(4, 0, 2, 1, 3, 0)}, backward, {"wrt": "p"}


@wrong("https://github.com/pytorch/pytorch/issues/4355", "upstream", "dy")
def isrlu_slope_alone():
    def isrlu(x):
        return x / np.sqrt(1 + 0.8 * np.minimum(x, 0) ** 2)

    def backward(dy, x):
        r = 1 / np.sqrt(1 + 0.8 * np.minimum(x, 0) ** 2)
        return r**3

    return isrlu, draw(5, 7), backward


@wrong("https://github.com/TimDettmers/ConvE/issues/55", "EPS", "0.1", "K", "offset", "10")
def smoothing_spreads_one_in_place_of_eps():
    def loss(z, t):
        q = (1 - EPS) * t + EPS / z.shape[1]
        return -(q * np.log(softmax(z))).sum() / len(z)

    def backward(dy, z, t):
        q = (1 - EPS) * t + 1 / z.shape[1]
        return dy * (softmax(z) - q) / len(z)

    inputs = {"z": draw(5, 4), "t": onehot(4, 0, 2, 1, 3, 0)}
    return loss, inputs, backward, {"wrt": "z"}


@wrong("https://github.com/linkedin/Liger-Kernel/pull/198", "EPS", "0.025", "0.1", "t ", "where t")
def smoothing_left_out_at_the_label():
    def loss(z, t):
        q = (1 - EPS) * t + EPS / z.shape[1]
        return -(q * np.log(softmax(z))).sum() / len(z)

    def backward(dy, z, t):
        d = softmax(z) - EPS / z.shape[1] * (1 - t) - (1 - EPS) * t
        return dy * d / len(z)

    inputs = {"z": draw(5, 4), "t": onehot(4, 0, 2, 1, 3, 0)}
    return loss, inputs, backward, {"wrt": "z"}


@wrong("https://github.com/pytorch/pytorch/issues/67461", "t / mu", "1/mu", "mu")
def poisson_count_not_divided_by_the_rate():
    def loss(mu, t):
        return (mu - t * np.log(mu)).mean()

    def backward(dy, mu, t):
        return dy * (1 - t) / mu.size

    inputs = {"mu": positive(5, 4), "t": np.arange(20.0).reshape(5, 4) % 4}
    return loss, inputs, backward, {"wrt": "mu"}


@wrong("https://github.com/xiaolonw/caffe-video_triplet/issues/2", "n", "lacks", "term", "a - n")
def triplet_anchor_pulled_and_not_pushed():
    def loss(a, p, n):
        gap = ((a - p) ** 2).sum(axis=1) - ((a - n) ** 2).sum(axis=1) + 1
        return np.maximum(gap, 0).mean()

    def backward(dy, a, p, n):
        gap = ((a - p) ** 2).sum(axis=1) - ((a - n) ** 2).sum(axis=1) + 1
        on = dy * (gap > 0)[:, None] / len(a)
        return 2 * on * (a - p), -2 * on * (a - p), 2 * on * (a - n)

    inputs = {"a": draw(6, 4), "p": draw(6, 4, seed=1), "n": draw(6, 4, seed=2)}
    return loss, inputs, backward


@wrong("https://github.com/tyandzx/caffe/issues/3", "constant", "norm", "project", "lacks", "zero")
def cosine_lengths_held_constant():
    def cosine(a, b):
        na, nb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        return (a * b).sum(axis=1) / (na * nb)

    def backward(dy, a, b):
        na, nb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        scale = (dy / (na * nb))[:, None]
        return scale * b, scale * a

    return cosine, {"a": draw(5, 4), "b": draw(5, 4, seed=1)}, backward


@wrong("https://github.com/graphdeco-inria/gaussian-splatting/issues/551", "2", "0.5")
def splat_correlation_with_a_half():
    def splat(a, b, c, u, v):
        return np.exp(-0.5 * (a * u * u + c * v * v) - b * u * v)

    def backward(dy, a, b, c, u, v):
        g = dy * np.exp(-0.5 * (a * u * u + c * v * v) - b * u * v)
        return -0.5 * g * u * u, -0.5 * g * u * v, -0.5 * g * v * v

    names = {k: draw(9, seed=i) for i, k in enumerate("abcuv")}
    return splat, names, backward, {"wrt": ("a", "b", "c")}


@wrong("https://github.com/rog93/GIouloss_CIouloss_caffe/issues/1", "exp(w)", "y")
def box_width_not_exponentiated():
    def width(w, anchor):
        return anchor * np.exp(w)

    def backward(dy, w, anchor):
        return dy * anchor

    return width, {"w": draw(5, 4), "anchor": positive(5, 4)}, backward, {"wrt": "w"}


@wrong(
    "https://stackoverflow.com/questions/49579990/calculating-gradient-update", "sign", "-1", "exp"
)
def divergence_of_the_log_variance_with_a_plus():
    def kl(mu, s):
        return -0.5 * (1 + s - mu**2 - np.exp(s)).sum() / len(mu)

    def backward(dy, mu, s):
        return dy * mu / len(mu), dy * -0.5 * (1 + np.exp(s)) / len(mu)

    return kl, {"mu": draw(5, 3), "s": draw(5, 3, seed=1)}, backward


@wrong("https://stackoverflow.com/questions/49579990/calculating-gradient-update", "2", "0.5")
def divergence_of_the_mean_with_a_half():
    def kl(mu, s):
        return -0.5 * (1 + s - mu**2 - np.exp(s)).sum() / len(mu)

    def backward(dy, mu, s):
        return dy * 0.5 * mu / len(mu), dy * 0.5 * (np.exp(s) - 1) / len(mu)

    return kl, {"mu": draw(5, 3), "s": draw(5, 3, seed=1)}, backward


@wrong("https://github.com/CompVis/taming-transformers/issues/46", "BETA", "3")
def beta_left_out_for_the_log_variance():
    def elbo(x, mu, s, e):
        z = mu + np.exp(0.5 * s) * e
        kl = 0.5 * (mu**2 + np.exp(s) - s - 1).sum()
        return 0.5 * ((z - x) ** 2).sum() + BETA * kl

    def backward(dy, x, mu, s, e):
        z = mu + np.exp(0.5 * s) * e
        dz = z - x
        dmu = dz + BETA * mu
        ds = dz * e * 0.5 * np.exp(0.5 * s) + 0.5 * (np.exp(s) - 1)
        return dy * dmu, dy * ds

    inputs = {k: draw(5, 3, seed=i) for i, k in enumerate(("x", "mu", "s", "e"))}
    return elbo, inputs, backward, {"wrt": ("mu", "s")}


@wrong("https://github.com/Burton2000/CS231n-2017/issues/9", "REG", "b", "0.1")
def penalty_of_the_biases_left_out():
    def loss(x, t, W, b):
        y = x @ W + b
        return ((y - t) ** 2).sum() / len(x) + REG * (np.sum(W * W) + np.sum(b * b))

    def backward(dy, x, t, W, b):
        d = 2 * (x @ W + b - t) / len(x)
        return dy * (x.T @ d + 2 * REG * W), dy * d.sum(axis=0)

    inputs = {"x": draw(6, 4), "t": draw(6, 3), "W": draw(4, 3), "b": draw(3)}
    return loss, inputs, backward, {"wrt": ("W", "b")}


@wrong(
    "https://github.com/stephencwelch/Neural-Networks-Demystified/issues/15", "N", "len", "1/6", "6"
)
def penalty_not_divided_by_the_rows():
    def cost(x, t, W):
        return 0.5 * ((x @ W - t) ** 2).sum() / len(x) + LAM / (2 * len(x)) * (W * W).sum()

    def backward(dy, x, t, W):
        return dy * (x.T @ (x @ W - t) / len(x) + LAM * W)

    inputs = {"x": draw(6, 4), "t": draw(6, 3), "W": draw(4, 3)}
    return cost, inputs, backward, {"wrt": "W"}


@wrong("https://github.com/ADGEfficiency/teaching-monolith/issues/1", "0.5", "2", "W")
def penalty_of_an_unnamed_weight_halved():
    def cost(x, t, W):
        return ((x @ W - t) ** 2).mean() + 0.25 * (W * W).sum()

    def backward(dy, x, t, W):
        return dy * (2 * x.T @ (x @ W - t) / t.size + 0.25 * W)

    inputs = {"x": draw(6, 4), "t": draw(6, 3), "W": draw(4, 3)}
    return cost, inputs, backward, {"wrt": "W"}


@wrong("https://arxiv.org/abs/1605.08803", "1", "offset", "lacks")
def log_determinant_forgotten():
    def loss(x, s):
        z = x * np.exp(s)
        return 0.5 * (z * z).sum() - s.sum()

    def backward(dy, x, s):
        z = x * np.exp(s)
        return dy * z * np.exp(s), dy * z * z

    return loss, {"x": draw(5, 4), "s": draw(5, 4, seed=1)}, backward


@wrong("https://arxiv.org/abs/2303.09556", "w", "weight")
def noise_level_weight_forgotten():
    def loss(e, target, w):
        return (w * ((e - target) ** 2).mean(axis=1)).mean()

    def backward(dy, e, target, w):
        return dy * 2 * (e - target) / e.size

    inputs = {"e": draw(6, 4), "target": draw(6, 4, seed=1), "w": positive(6)}
    return loss, inputs, backward, {"wrt": "e"}


@wrong("https://arxiv.org/abs/1701.03077", "√", "sqrt", "0.5", "root", "1/y", "/ y", "y for")
def charbonnier_root_forgotten():
    def charbonnier(r):
        return np.sqrt(r * r + DELTA**2)

    def backward(dy, r):
        return dy * r / (r * r + DELTA**2)

    return charbonnier, draw(5, 4), backward


# --- slopes ---------------------------------------------------------------------------------------


@wrong("https://github.com/RubixML/ML/pull/437", "s*(1-s)", "σ′", "slope", "x *")
def swish_beta_without_the_slope():
    def swish(x, beta):
        return x * sigmoid(beta * x)

    def backward(dy, x, beta):
        s = sigmoid(beta * x)
        dx = dy * (s + beta * x * s * (1 - s))
        return dx, (dy * x).sum(axis=0)

    return swish, {"x": draw(6, 4), "beta": positive(4)}, backward


@wrong("https://github.com/sony/nnabla/pull/690", "x *", "* x", "term", "lacks", "factor x")
def gelu_density_without_x():
    def erf(x):
        t = 1 / (1 + 0.3275911 * np.abs(x))
        a = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
        series = sum(c * t ** (i + 1) for i, c in enumerate(a))
        return np.sign(x) * (1 - series * np.exp(-x * x))

    def phi(x):
        return 0.5 * (1 + np.tanh(0.8 * (x + 0.0447 * x**3)))

    def gelu(x):
        return x * phi(x)

    def backward(dy, x):
        u = np.tanh(0.8 * (x + 0.0447 * x**3))
        density = 0.5 * (1 - u * u) * 0.8 * (1 + 3 * 0.0447 * x * x)
        return dy * (0.5 * (1 + u) + density)

    return gelu, draw(6, 4), backward


@wrong("https://arxiv.org/abs/1908.08681", "1 - t", "t * t", "t^2", "slope")
def mish_slope_of_tanh_forgotten():
    def mish(x):
        return x * np.tanh(np.log1p(np.exp(x)))

    def backward(dy, x):
        t = np.tanh(np.log1p(np.exp(x)))
        return dy * (t + x * sigmoid(x))

    return mish, draw(6, 4), backward


@wrong("https://github.com/apache/mxnet/issues/4057", "tanh", "t * t", "t^2", "1 - t", "exp")
def cell_slope_with_an_exponential():
    def output(c, o):
        return o * np.tanh(c)

    def backward(dy, c, o):
        t = np.tanh(c)
        return dy * o * (1 - np.exp(t)), dy * t

    return output, {"c": draw(5, 4), "o": positive(5, 4)}, backward


@wrong("https://github.com/ddbourgin/numpy-ml/issues/94", "mask")
def dropout_divides_without_its_mask():
    def dropout(x, mask):
        return x * mask / KEEP

    def backward(dy, x, mask):
        return dy / KEEP

    mask = (np.arange(30).reshape(5, 6) % 3 > 0).astype(float)
    return dropout, {"x": draw(5, 6), "mask": mask}, backward, {"wrt": "x"}


@wrong("https://github.com/HomericIntelligence/Odyssey/issues/2197", "KEEP", "0.6", "1.66")
def dropout_mask_without_its_division():
    def dropout(x, mask):
        return x * mask / KEEP

    def backward(dy, x, mask):
        return dy * mask

    mask = (np.arange(30).reshape(5, 6) % 3 > 0).astype(float)
    return dropout, {"x": draw(5, 6), "mask": mask}, backward, {"wrt": "x"}


@wrong("https://arxiv.org/abs/1503.02531", "TEMPERATURE", "2.5", "0.4")
def temperature_of_a_softmax_left_out():
    def soft(z):
        return softmax(z / TEMPERATURE)

    def backward(dy, z):
        y = softmax(z / TEMPERATURE)
        return y * (dy - (dy * y).sum(axis=1, keepdims=True))

    return soft, draw(5, 4), backward


@wrong("https://github.com/kcxain/dlsys/issues/4", "mean", "1/D", "D ", "1/5", "by 0.2", "shape[1]")
def log_mean_exp_not_divided():
    def logmeanexp(x):
        return np.log(np.exp(x).mean(axis=1))

    def backward(dy, x):
        y = np.log(np.exp(x).mean(axis=1))
        return dy[:, None] * np.exp(x - y[:, None])

    return logmeanexp, draw(6, 5), backward


@wrong("https://github.com/pjreddie/darknet/pull/96", "softmax", "y * (dy", "sum to zero", "y")
def softmax_passes_its_gradient_on():
    def soft(z):
        return softmax(z)

    def backward(dy, z):
        return dy.copy()

    return soft, draw(5, 4), backward


# --- norms ----------------------------------------------------------------------------------------


def group_norm(x, gamma, groups=2):
    n, c, t = x.shape
    g = x.reshape(n, groups, -1)
    m, s = g.mean(axis=2, keepdims=True), g.std(axis=2, keepdims=True)
    return ((g - m) / s).reshape(n, c, t) * gamma[:, None]


@wrong("https://github.com/tenstorrent/tt-metal/pull/56202", "group")
def group_statistics_of_another_group():
    def backward(dy, x, gamma):
        n, c, t = x.shape
        g = x.reshape(n, 2, -1)
        m, s = g.mean(axis=2), g.std(axis=2)
        of = np.arange(c) % 2
        return (dy * (x - m[:, of, None]) / s[:, of, None]).sum(axis=(0, 2))

    return group_norm, {"x": draw(3, 6, 5), "gamma": draw(6)}, backward, {"wrt": "gamma"}


@wrong("https://github.com/linkedin/Liger-Kernel/pull/1376", "5", "15", "size", "mean", "T", "3")
def group_size_without_its_channels():
    def backward(dy, x, gamma):
        n, c, t = x.shape
        g = x.reshape(n, 2, -1)
        s = g.std(axis=2, keepdims=True)
        y = (g - g.mean(axis=2, keepdims=True)) / s
        d = (dy * gamma[:, None]).reshape(n, 2, -1)
        first = d.sum(axis=2, keepdims=True) / t
        second = y * (d * y).sum(axis=2, keepdims=True) / t
        return ((d - first - second) / s).reshape(n, c, t)

    return group_norm, {"x": draw(3, 6, 5), "gamma": draw(6)}, backward, {"wrt": "x"}


@wrong("https://github.com/flagos-ai/FlagGems/issues/5392", "axis", "axes", "mix")
def layer_norm_over_all_but_the_batch():
    def layer_norm(x):
        m, s = x.mean(axis=2, keepdims=True), x.std(axis=2, keepdims=True)
        return (x - m) / s

    def backward(dy, x):
        s = x.std(axis=2, keepdims=True)
        y = (x - x.mean(axis=2, keepdims=True)) / s
        both = (1, 2)
        first = dy.mean(axis=both, keepdims=True)
        return (dy - first - y * (dy * y).mean(axis=both, keepdims=True)) / s

    return layer_norm, draw(3, 4, 5), backward


@wrong("https://github.com/mlpack/mlpack/issues/1923", "constant", "mean", "sum to zero", "varianc")
def batch_statistics_held_constant():
    def batch_norm(x, gamma):
        return gamma * (x - x.mean(axis=0)) / x.std(axis=0)

    def backward(dy, x, gamma):
        y = (x - x.mean(axis=0)) / x.std(axis=0)
        return dy * gamma / x.std(axis=0), (dy * y).sum(axis=0)

    return batch_norm, {"x": draw(6, 4), "gamma": draw(4)}, backward


@wrong("https://github.com/flagos-ai/FlagGems/issues/4992", "axis", "axes", "transpos", "order")
def prelu_slope_along_another_axis():
    def prelu(x, a):
        return np.where(x > 0, x, a[:, None] * x)

    def backward(dy, x, a):
        dx = dy * np.where(x > 0, 1, a[:, None])
        return dx, (dy * x * (x <= 0)).sum(axis=(0, 1))

    return prelu, {"x": draw(3, 4, 4), "a": positive(4)}, backward


@wrong("https://arxiv.org/abs/1802.05957", "constant", "sigma", "norm", "lacks", "⟨")
def spectral_norm_held_constant():
    def spectral(W, u, v):
        return W / (u @ W @ v)

    def backward(dy, W, u, v):
        return dy / (u @ W @ v)

    u, v = draw(4), draw(3)
    inputs = {"W": draw(4, 3) + np.outer(u, v), "u": u, "v": v}
    return spectral, inputs, backward, {"wrt": "W"}


@wrong("https://github.com/BVLC/caffe/issues/5105", "2")
def response_norm_without_its_two():
    def response(x):
        s = 1 + 0.3 * (x * x).sum(axis=1, keepdims=True)
        return x * s**-0.75

    def backward(dy, x):
        s = 1 + 0.3 * (x * x).sum(axis=1, keepdims=True)
        total = (dy * x * s**-1.75).sum(axis=1, keepdims=True)
        return dy * s**-0.75 - 0.3 * 0.75 * x * total

    return response, draw(5, 4), backward


@wrong("https://github.com/pytorch/pytorch/issues/22617", "D - 1", "ddof", "4", "-1", "1/(", "mean")
def sample_deviation_with_the_population_count():
    def standardise(x):
        return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, ddof=1, keepdims=True)

    def backward(dy, x):
        s = x.std(axis=1, ddof=1, keepdims=True)
        y = (x - x.mean(axis=1, keepdims=True)) / s
        first = dy.mean(axis=1, keepdims=True)
        return (dy - first - y * (dy * y).mean(axis=1, keepdims=True)) / s

    return standardise, draw(6, 5), backward


@wrong("https://github.com/happynear/caffe-windows/issues/205", "sign")
def sum_of_magnitudes_without_their_sign():
    def share(x):
        return x / np.abs(x).sum(axis=1, keepdims=True)

    def backward(dy, x):
        s = np.abs(x).sum(axis=1, keepdims=True)
        y = x / s
        return (dy - (dy * y).sum(axis=1, keepdims=True)) / s

    return share, draw(5, 4), backward


# --- attention and rotations ----------------------------------------------------------------------


def attend(q, k, v):
    return softmax(q @ k.T / np.sqrt(q.shape[1])) @ v


def tokens():
    return {"q": draw(5, 3), "k": draw(4, 3, seed=1), "v": draw(4, 2, seed=2)}


@wrong("https://github.com/huggingface/picotron/issues/37", "axis", "sum")
def attention_sums_over_the_queries():
    def backward(dy, q, k, v):
        scale = 1 / np.sqrt(q.shape[1])
        p = softmax(q @ k.T * scale)
        dp = dy @ v.T
        ds = p * (dp - (dp * p).sum(axis=0, keepdims=True)) * scale
        return ds @ k, ds.T @ q, p.T @ dy

    return attend, tokens(), backward


@wrong("https://github.com/paiml/entrenar/issues/312", "scale", "sqrt", "√", "1.73", "0.577", "3")
def attention_scales_the_query_alone():
    def backward(dy, q, k, v):
        scale = 1 / np.sqrt(q.shape[1])
        p = softmax(q @ k.T * scale)
        dp = dy @ v.T
        ds = p * (dp - (dp * p).sum(axis=1, keepdims=True))
        return ds @ k * scale, ds.T @ q, p.T @ dy

    return attend, tokens(), backward


def half_turned(x):
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([-b, a], axis=-1)


@wrong("https://github.com/huggingface/candle/issues/3568", "rotat", "sign", "transpos", "-θ")
def rotary_turned_forward_again():
    def rotary(x, cos, sin):
        return x * cos + half_turned(x) * sin

    def backward(dy, x, cos, sin):
        return dy * cos + half_turned(dy) * sin

    angle = np.outer(np.arange(5), [0.5, 0.2])
    angle = np.concatenate([angle, angle], axis=1)
    inputs = {"x": draw(5, 4), "cos": np.cos(angle), "sin": np.sin(angle)}
    return rotary, inputs, backward, {"wrt": "x"}


@wrong(
    "https://github.com/PaddlePaddle/Paddle/pull/74716",
    "dy * sin",
    "half_turned(",
    "transpos",
    "order",
)
def rotary_turned_before_the_sine():
    def rotary(x, cos, sin):
        return x * cos + half_turned(x) * sin

    def backward(dy, x, cos, sin):
        return dy * cos - half_turned(dy) * sin

    inputs = {"x": draw(5, 4), "cos": draw(5, 4, seed=1), "sin": draw(5, 4, seed=2)}
    return rotary, inputs, backward, {"wrt": "x"}


# --- recurrent cells ------------------------------------------------------------------------------


@wrong("https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1", "f*(1-f)", "1 - f", "slope", "σ")
def forget_gate_activated_in_place_of_its_slope():
    def cell(x, c, Wf, Wi):
        return sigmoid(x @ Wf) * c + np.tanh(x @ Wi)

    def backward(dc, x, c, Wf, Wi):
        f, g = sigmoid(x @ Wf), np.tanh(x @ Wi)
        df = sigmoid(f) * dc * c
        return dc * f, x.T @ df, x.T @ (dc * (1 - g * g))

    inputs = {"x": draw(5, 4), "c": draw(5, 3), "Wf": draw(4, 3), "Wi": draw(4, 3, seed=1)}
    return cell, inputs, backward, {"wrt": ("c", "Wf", "Wi")}


@wrong("https://github.com/tensorflow/tensorflow/issues/34171", "p", "lacks", "term", "peep")
def peephole_path_to_the_cell_forgotten():
    def cell(a, c, p):
        return sigmoid(a + p * c) * c

    def backward(dc, a, c, p):
        f = sigmoid(a + p * c)
        df = dc * c * f * (1 - f)
        return df, dc * f, (df * c).sum(axis=0)

    return cell, {"a": draw(5, 3), "c": draw(5, 3, seed=1), "p": draw(3)}, backward


@wrong("https://github.com/nntrainer/nntrainer/pull/1787", "r ", "r:", "r*", "*r", "reset", "r)")
def inner_bias_without_the_reset_gate():
    def state(x, h, r, U, b):
        return np.tanh(x + r * (h @ U + b))

    def backward(dy, x, h, r, U, b):
        n = np.tanh(x + r * (h @ U + b))
        dn = dy * (1 - n * n)
        return h.T @ (dn * r), dn.sum(axis=0)

    inputs = {
        "x": draw(5, 3),
        "h": draw(5, 3, seed=1),
        "r": positive(5, 3),
        "U": draw(3, 3),
        "b": draw(3),
    }
    return state, inputs, backward, {"wrt": ("U", "b")}


@wrong("https://github.com/rsokl/MyGrad/pull/4", "carr", "before", "+=", "dh", "step", "last")
def only_the_outputs_of_a_step_reach_its_state():
    def run(x, U):
        hs, h = [], np.zeros_like(x[0])
        for xt in x:
            h = np.tanh(xt + h @ U)
            hs.append(h)
        return np.array(hs)

    def backward(dy, x, U):
        hs = run(x, U)
        dx, dU = np.zeros_like(x), np.zeros_like(U)
        for t in range(len(x)):
            da = dy[t] * (1 - hs[t] ** 2)
            dx[t] = da
            if t:
                dU += hs[t - 1].T @ da
        return dx, dU

    return run, {"x": draw(4, 5, 3), "U": 0.5 * draw(3, 3)}, backward


# --- windows, indices -----------------------------------------------------------------------------


def dilated(x, w):
    reach = DILATION * (len(w) - 1)
    return sum(w[k] * x[:, DILATION * k : x.shape[1] - reach + DILATION * k] for k in range(len(w)))


@wrong(
    "https://github.com/pytorch/pytorch/pull/23889",
    "DILATION",
    "reads",
    "2 *",
    "offset",
    "moved",
    "k",
)
def dilation_forgotten_in_the_input_gradient():
    def backward(dy, x, w):
        dx = np.zeros_like(x)
        for k in range(len(w)):
            dx[:, k : k + dy.shape[1]] += w[k] * dy
        return dx

    return dilated, {"x": draw(3, 11), "w": draw(3)}, backward, {"wrt": "x"}


@wrong("https://github.com/sebgao/cTensor/issues/3", "1/", "averag", "mean", "times", "dy.size")
def kernel_gradient_averaged():
    def backward(dy, x, w):
        reach = dy.shape[1]
        dw = [(dy * x[:, DILATION * k : DILATION * k + reach]).sum() for k in range(len(w))]
        return np.array(dw) / dy.size

    return dilated, {"x": draw(3, 11), "w": draw(3)}, backward, {"wrt": "w"}


@wrong(
    "https://github.com/pytorch/pytorch/issues/15501", "moved", "shift", "place", "[:, 1:-1]", "pad"
)
def padding_cut_at_one_end():
    def padded(x, w):
        p = np.pad(x, ((0, 0), (1, 1)))
        return sum(w[k] * p[:, k : k + x.shape[1]] for k in range(3))

    def backward(dy, x, w):
        dp = np.zeros((len(x), x.shape[1] + 2))
        for k in range(3):
            dp[:, k : k + dy.shape[1]] += w[k] * dy
        return dp[:, :-2]

    return padded, {"x": draw(3, 8), "w": draw(3)}, backward, {"wrt": "x"}


@wrong("https://github.com/HIPS/autograd/issues/39", "np.add.at", "repeat", "more than once")
def columns_taken_twice_counted_once():
    def take(x, index):
        return x[:, index]

    def backward(dy, x, index):
        d = np.zeros_like(x)
        d[:, index] += dy
        return d

    return take, {"x": draw(4, 5), "index": np.array([0, 2, 2, 4])}, backward, {"wrt": "x"}


# --- matrices, letters, spectra -------------------------------------------------------------------


@wrong("https://github.com/Theano/Theano/issues/2066", "transpos", ".T", "Aᵀ")
def inverse_with_one_transpose():
    def inverse(A):
        return np.linalg.inv(A)

    def backward(dy, A):
        B = np.linalg.inv(A)
        return -B.T @ dy @ B

    return inverse, draw(4, 4) + 4 * np.eye(4), backward


@wrong("https://github.com/tensorflow/tensorflow/issues/367", "transpos", ".T")
def logarithm_of_the_determinant_not_transposed():
    def logdet(A):
        return np.linalg.slogdet(A)[1]

    def backward(dy, A):
        return dy * np.linalg.inv(A)

    return logdet, draw(4, 4) + 4 * np.eye(4), backward


@wrong("https://github.com/HIPS/autograd/issues/115", "diag", "mask", "zero", "depend")
def diagonal_gradient_fills_the_rows():
    def diagonal(X):
        return np.einsum("ii->i", X)

    def backward(dy, X):
        return np.ones_like(X) * dy[:, None]

    return diagonal, draw(4, 4), backward


@wrong("https://github.com/HIPS/autograd/pull/31", "transpos", "kij", "order", "axes")
def bilinear_weight_with_letters_swapped():
    def bilinear(a, W, b):
        return np.einsum("ni,kij,nj->nk", a, W, b)

    def backward(dy, a, W, b):
        return np.einsum("nk,ni,nj->kji", dy, a, b)

    inputs = {"a": draw(5, 3), "W": draw(2, 3, 3), "b": draw(5, 3, seed=1)}
    return bilinear, inputs, backward, {"wrt": "W"}


@wrong("https://github.com/HIPS/autograd/issues/185", "D", "7", "shape[1]", "len")
def power_spectrum_not_scaled_back():
    def power(x):
        return np.abs(np.fft.fft(x, axis=1)) ** 2

    def backward(dy, x):
        return 2 * np.fft.ifft(dy * np.fft.fft(x, axis=1), axis=1).real

    return power, draw(3, 7), backward


@wrong(
    "https://github.com/locuslab/pytorch_fft/issues/38",
    "half",
    "adjoint",
    "transpose",
    "irfft",
    "2",
)
def real_spectrum_counts_the_inner_bins_twice():
    def spectrum(x):
        return np.fft.rfft(x, axis=1).real

    def backward(dy, x):
        return np.fft.irfft(dy, x.shape[1], axis=1) * x.shape[1]

    return spectrum, draw(3, 7), backward


@wrong("https://arxiv.org/abs/1609.02907", "transpos", "A.T", "Aᵀ")
def directed_graph_not_turned_round():
    def graph(A, X, W):
        return A @ X @ W

    def backward(dy, A, X, W):
        return A @ dy @ W.T, (A @ X).T @ dy

    inputs = {"A": draw(5, 5), "X": draw(5, 4), "W": draw(4, 3)}
    return graph, inputs, backward, {"wrt": ("X", "W")}


@wrong("https://github.com/shader-slang/slang/pull/4006", "sign", "-1", "order", "operand")
def cross_product_the_other_way_round():
    def cross(a, b):
        return np.cross(a, b)

    def backward(dy, a, b):
        return np.cross(dy, b), np.cross(dy, a)

    return cross, {"a": draw(5, 3), "b": draw(5, 3, seed=1)}, backward


@wrong("https://en.wikipedia.org/wiki/Linear_interpolation", "sign", "-1", "b - a")
def interpolation_weight_with_its_sign_reversed():
    def between(a, b, t):
        return a * (1 - t) + b * t

    def backward(dy, a, b, t):
        return dy * (1 - t), dy * t, (dy * (a - b)).sum(axis=1, keepdims=True)

    return between, {"a": draw(5, 3), "b": draw(5, 3, seed=1), "t": positive(5, 1)}, backward


# --- nets -----------------------------------------------------------------------------------------


def two_layers(x, t, W1, W2):
    return 0.5 * ((np.tanh(x @ W1) @ W2 - t) ** 2).sum() / len(x)


def small_net():
    return {"x": draw(6, 4), "t": draw(6, 2), "W1": draw(4, 3), "W2": draw(3, 2)}


@wrong(
    "https://github.com/Bot-Academy/NeuralNetworkFromScratch/pull/3", "N", "len", "slope", "h * h"
)
def not_averaged_and_without_the_hidden_slope():
    def backward(dy, x, t, W1, W2):
        h = np.tanh(x @ W1)
        d = dy * (h @ W2 - t)
        return x.T @ (d @ W2.T) / len(x), h.T @ d

    return two_layers, small_net(), backward, {"wrt": ("W1", "W2")}


@wrong("https://github.com/filipecalasans/mlp/issues/1", "1 - h", "slope", "h * h", "h^2", "tanh")
def hidden_slope_of_the_sum():
    def backward(dy, x, t, W1, W2):
        a = x @ W1
        h = np.tanh(a)
        d = dy * (h @ W2 - t) / len(x)
        return x.T @ (d @ W2.T * (1 - a * a)), h.T @ d

    return two_layers, small_net(), backward, {"wrt": ("W1", "W2")}


@wrong("https://github.com/Atcold/SP19-DL-collaborative-notes/pull/6", "x.T", "h.T", "h", "operand")
def output_weights_with_the_input():
    def net(x, t, W1, W2):
        return 0.5 * ((np.tanh(x @ W1) @ W2 - t) ** 2).sum() / len(x)

    def backward(dy, x, t, W1, W2):
        h = np.tanh(x @ W1)
        d = dy * (h @ W2 - t) / len(x)
        return x.T @ (d @ W2.T * (1 - h * h)), x.T @ d

    inputs = {"x": draw(6, 3), "t": draw(6, 2), "W1": draw(3, 3), "W2": draw(3, 2)}
    return net, inputs, backward, {"wrt": ("W1", "W2")}


@wrong(
    "https://github.com/twitter-archive/torch-autograd/issues/165",
    "W",
    "lacks",
    "term",
    "use",
    "x.T",
)
def tied_decoder_path_halved():
    def rebuild(x, W):
        return np.tanh(x @ W) @ W.T

    def backward(dy, x, W):
        h = np.tanh(x @ W)
        dh = dy @ W
        da = dh * (1 - h * h)
        return 0.5 * (x.T @ da + dy.T @ h)

    return rebuild, {"x": draw(6, 4), "W": draw(4, 3)}, backward, {"wrt": "W"}


@wrong("https://github.com/denizyuret/Knet.jl/issues/288", "gamma", "g")
def batch_norm_without_its_scale():
    def batch_norm(x, gamma):
        return gamma * (x - x.mean(axis=0)) / x.std(axis=0)

    def backward(dy, x, gamma):
        s = x.std(axis=0)
        y = (x - x.mean(axis=0)) / s
        dx = (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)) / s
        return dx, (dy * y).sum(axis=0)

    return batch_norm, {"x": draw(6, 4), "gamma": positive(4)}, backward


@wrong("https://github.com/bashardudin/Epita-SCIA-OCVX/issues/1", "sign", "-1", "x < 0", "x ≤ 0")
def magnitude_always_grows():
    def penalty(x):
        return LAM * np.abs(x).sum()

    def backward(dy, x):
        return dy * LAM * np.ones_like(x)

    return penalty, draw(5, 4), backward


@wrong("https://github.com/Open-Deep-ML/DML-OpenProblem/issues/54", "2", "0.5")
def neuron_without_its_two():
    def cost(x, t, w, b):
        return ((sigmoid(x @ w + b) - t) ** 2).mean()

    def backward(dy, x, t, w, b):
        y = sigmoid(x @ w + b)
        d = dy * (y - t) * y * (1 - y) / len(x)
        return x.T @ d, d.sum(axis=0)

    inputs = {"x": draw(6, 4), "t": positive(6), "w": draw(4), "b": draw(1)}
    return cost, inputs, backward, {"wrt": ("w", "b")}


@wrong(
    "https://github.com/jatinshah/ufldl_tutorial/issues/9", "BETA", "lacks", "term", "rho", "mean"
)
def sparsity_left_out_of_the_hidden_error():
    def cost(x, W1, W2):
        h = sigmoid(x @ W1)
        rho = h.mean(axis=0)
        kl = (0.1 * np.log(0.1 / rho) + 0.9 * np.log(0.9 / (1 - rho))).sum()
        return 0.5 * ((h @ W2 - x) ** 2).sum() / len(x) + BETA * kl

    def backward(dy, x, W1, W2):
        h = sigmoid(x @ W1)
        d = dy * (h @ W2 - x) / len(x)
        return x.T @ (d @ W2.T * h * (1 - h)), h.T @ d

    inputs = {"x": draw(6, 4), "W1": draw(4, 3), "W2": draw(3, 4)}
    return cost, inputs, backward, {"wrt": ("W1", "W2")}
