"""Losses: forgotten means, factors of two, and slopes counted twice or not at all."""

# ruff: noqa: E731

import numpy as np

from .case import draw, onehot, wrong

DELTA, GAMMA, EPS, BETA, RHO = 0.5, 2.0, 0.1, 3.0, 0.05
ALONE = {"wrt": "y", "upstream": False}
LOGITS = {"wrt": "z", "upstream": False}


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(z, t):
    return -np.sum(t * np.log(softmax(z))) / len(z)


def classes():
    return {"z": draw(5, 4), "t": onehot(4, 0, 2, 1, 3, 2)}


@wrong("https://proxieslive.com/tag/checking/", "0.5 times", "by 2", "2 *", "* 2")
def mse_without_its_two():
    def backward(y, t):
        return (y - t) / y.size

    f = lambda y, t: np.mean((y - t) ** 2)
    return f, {"y": draw(5, 7), "t": draw(5, 7, seed=1)}, backward, ALONE


@wrong("http://stackoverflow.com/questions/6552851/x", "D times", "1/D", "y.size")
def mse_averaged_over_rows_alone():
    def backward(y, t):
        return 2 * (y - t) / len(y)

    f = lambda y, t: np.mean((y - t) ** 2)
    return f, {"y": draw(5, 7), "t": draw(5, 7, seed=1)}, backward, ALONE


@wrong("http://stackoverflow.com/questions/6552851/x", "sign", "-1", "the other way")
def mse_with_the_difference_reversed():
    def backward(y, t):
        return 2 * (t - y) / y.size

    f = lambda y, t: np.mean((y - t) ** 2)
    return f, {"y": draw(5, 7), "t": draw(5, 7, seed=1)}, backward, ALONE


@wrong("https://github.com/jxgu1016/MNIST_center_loss_pytorch/issues/9", "1/N", "N times", "len(")
def cross_entropy_not_averaged():
    def backward(z, t):
        return softmax(z) - t

    return cross_entropy, classes(), backward, LOGITS


@wrong("https://github.com/paiml/aprender/pull/2182", "1/N", "by N", "len(")
def cross_entropy_averaged_where_summed():
    def f(z, t):
        return -np.sum(t * np.log(softmax(z)))

    def backward(z, t):
        return (softmax(z) - t) / len(z)

    return f, classes(), backward, LOGITS


@wrong("https://github.com/paiml/aprender/pull/2182", "dy", "upstream")
def cross_entropy_reads_one_upstream_only():
    def f(z, t):
        return -(t * np.log(softmax(z))).sum(axis=1)

    def backward(dy, z, t):
        return (softmax(z) - t) * dy[0]

    return f, classes(), backward, {"wrt": "z"}


@wrong("https://z.id.vn/?p=348969", "1/N", "N times", "len(", "4 times")
def cross_entropy_divided_by_the_classes():
    def f(z, t):
        s = np.exp(z) / np.exp(z).sum()
        return -np.sum(t * np.log(s)) / len(t)

    def backward(z, t):
        return np.exp(z) / np.exp(z).sum() - t

    return (
        f,
        {"z": np.array([1.1, 2.2, 0.3, -1.7]), "t": np.array([0, 0, 1.0, 0])},
        backward,
        LOGITS,
    )


@wrong("https://datascience.stackexchange.com/questions/64746", "sum to zero", "y - t", "Σ", "sum(")
def softmax_diagonal_with_one_hot_targets():
    def backward(z, t):
        y = softmax(z)
        return -t / y / len(z) * y * (1 - y)

    return cross_entropy, classes(), backward, LOGITS


@wrong("https://github.com/LittletreeZou/Python-Projects/issues/1", "y*(1-y)", "too many")
def cross_entropy_with_a_slope_too_many():
    def backward(z, t):
        y = softmax(z)
        return (y - t) * y * (1 - y) / len(z)

    return cross_entropy, classes(), backward, LOGITS


@wrong("https://github.com/mantasu/cs231n/issues/10", "- t", "term & t", "t/N", "subtract")
def cross_entropy_without_the_target():
    def backward(z, t):
        return softmax(z) / len(z)

    return cross_entropy, classes(), backward, LOGITS


@wrong(
    "https://github.com/deeplearning4j/libnd4j/issues/440", "sum to zero", "Σ", "sum(", "mean(dy"
)
def softmax_diagonal_alone():
    def backward(dy, z):
        y = softmax(z)
        return dy * y * (1 - y)

    return softmax, draw(5, 4), backward


@wrong("https://github.com/HomericIntelligence/Odyssey/issues/2134", "dy*y", "y*dy", "Σ(dy*y")
def softmax_dot_product_without_y():
    def backward(dy, z):
        y = softmax(z)
        return y * (dy - dy.sum(axis=1, keepdims=True))

    return softmax, draw(5, 4), backward


@wrong("https://github.com/wkcn/mobula/issues/3", "axis=1", "axis 1", "axis is 0")
def softmax_summed_over_the_batch():
    def backward(dy, z):
        y = softmax(z)
        return y * (dy - (dy * y).sum(axis=0, keepdims=True))

    return softmax, draw(5, 4), backward


@wrong("https://github.com/uxlfoundation/oneDNN/issues/616", "exp(y)", "softmax(z)")
def log_softmax_times_the_output():
    def f(z):
        return np.log(softmax(z))

    def backward(dy, z):
        y = np.log(softmax(z))
        return dy - (dy * y).sum(axis=1, keepdims=True)

    return f, draw(5, 4), backward


@wrong("https://github.com/mlpack/mlpack/issues/2360", "Σ", "sum", "exp(y)")
def log_softmax_without_the_sum():
    def f(z):
        return np.log(softmax(z))

    def backward(dy, z):
        return dy - dy * softmax(z)

    return f, draw(5, 4), backward


@wrong("https://github.com/kcxain/dlsys/issues/4", "exp(y)", "exp(-y)", "/ np.exp(z).sum", "Σ")
def logsumexp_not_divided():
    def f(z):
        return np.log(np.exp(z).sum(axis=1))

    def backward(dy, z):
        return dy[:, None] * np.exp(z)

    return f, draw(5, 4), backward


@wrong("https://github.com/fetchai/ledger/pull/1580", "sign", "-1")
def cross_entropy_of_probabilities_without_minus():
    def f(y, t):
        return -np.sum(t * np.log(y)) / len(y)

    def backward(y, t):
        return t / y / len(y)

    return f, {"y": softmax(draw(5, 4)), "t": softmax(draw(5, 4, seed=1))}, backward, ALONE


@wrong(
    "https://github.com/rasbt/python-machine-learning-book-2nd-edition/issues/54",
    "y*(1-y)",
    "(1-y)",
    "1/y",
)
def bce_gradient_of_the_logits():
    def f(y, t):
        return -np.mean(t * np.log(y) + (1 - t) * np.log(1 - y))

    def backward(y, t):
        return (y - t) / y.size

    return f, {"y": sigmoid(draw(5, 7)), "t": sigmoid(draw(5, 7, seed=1))}, backward, ALONE


@wrong("https://github.com/LittletreeZou/Python-Projects/issues/1", "p*(1-p) & too many", "σ′(z)")
def bce_with_logits_and_a_slope():
    def f(z, t):
        p = sigmoid(z)
        return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))

    def backward(z, t):
        p = sigmoid(z)
        return (p - t) * p * (1 - p) / z.size

    return f, {"z": draw(5, 7), "t": sigmoid(draw(5, 7, seed=1))}, backward, LOGITS


@wrong("https://github.com/deeplearning4j/nd4j/pull/1320", "(1 - t)", "1-y", "lacks")
def bce_second_half_forgotten():
    def f(y, t):
        return -np.mean(t * np.log(y) + (1 - t) * np.log(1 - y))

    def backward(y, t):
        return -t / y / y.size

    return f, {"y": sigmoid(draw(5, 7)), "t": sigmoid(draw(5, 7, seed=1))}, backward, ALONE


@wrong("https://github.com/chainer/chainer/pull/1178", "upstream", "whatever dy", "multiply by dy")
def huber_ignores_the_upstream():
    def f(y, t):
        d = np.abs(y - t)
        return np.where(d <= DELTA, 0.5 * d * d, DELTA * (d - 0.5 * DELTA)).sum(axis=1)

    def backward(dy, y, t):
        return np.clip(y - t, -DELTA, DELTA)

    return f, {"y": draw(5, 7), "t": draw(5, 7, seed=1)}, backward, {"wrt": "y"}


@wrong("https://github.com/PaddlePaddle/Paddle/issues/44019", "delta", "0.5", "|y - t|")
def huber_without_delta():
    def f(y, t):
        d = np.abs(y - t)
        return np.where(d <= DELTA, 0.5 * d * d, DELTA * (d - 0.5 * DELTA)).sum()

    def backward(y, t):
        d = y - t
        return np.where(np.abs(d) <= DELTA, d, np.sign(d))

    return f, {"y": draw(5, 7), "t": draw(5, 7, seed=1)}, backward, ALONE


@wrong("https://github.com/BVLC/caffe/issues/2312", "sign", "-1")
def contrastive_second_input_not_negated():
    def f(a, b):
        return np.sum((a - b) ** 2) / len(a)

    def backward(a, b):
        d = 2 * (a - b) / len(a)
        return d, d

    return f, {"a": draw(5, 7), "b": draw(5, 7, seed=1)}, backward, {"upstream": False}


@wrong("https://github.com/elbamos/largeVis/issues/24", "by 2", "0.5 times", "2 *", "* 2")
def log_of_a_square_without_its_two():
    def f(a, b):
        return np.sum(np.log(1 + (a - b) ** 2))

    def backward(a, b):
        return (a - b) / (1 + (a - b) ** 2)

    return f, {"a": draw(5, 7), "b": draw(5, 7, seed=1)}, backward, {"wrt": "a", "upstream": False}


@wrong("https://maxhalford.github.io/blog/lightgbm-focal-loss/", "lacks", "missing", "term")
def focal_weight_held_constant():
    def f(p):
        return -np.sum((1 - p) ** GAMMA * np.log(p))

    def backward(p):
        return -((1 - p) ** GAMMA) / p

    return f, {"p": sigmoid(draw(5, 7))}, backward, {"upstream": False}


@wrong("https://github.com/linkedin/Liger-Kernel/pull/198", "smooth", "eps", "0.1", "(1 - EPS)")
def label_smoothing_forgotten():
    def f(z, t):
        smooth = t * (1 - EPS) + EPS / z.shape[1]
        return -np.sum(smooth * np.log(softmax(z))) / len(z)

    def backward(z, t):
        return (softmax(z) - t) / len(z)

    return f, classes(), backward, LOGITS


@wrong(
    "http://ufldl.stanford.edu/wiki/index.php/Autoencoders_and_Sparsity", "1/N", "N times", "len("
)
def sparsity_penalty_not_averaged():
    def f(h):
        r = h.mean(axis=0)
        return np.sum(RHO * np.log(RHO / r) + (1 - RHO) * np.log((1 - RHO) / (1 - r)))

    def backward(h):
        r = h.mean(axis=0)
        return np.ones_like(h) * (-RHO / r + (1 - RHO) / (1 - r))

    return f, {"h": sigmoid(draw(5, 7))}, backward, {"upstream": False}


@wrong("http://ufldl.stanford.edu/wiki/index.php/Autoencoders_and_Sparsity", "beta", "3")
def sparsity_weight_forgotten():
    def f(h):
        r = h.mean(axis=0)
        return BETA * np.sum(RHO * np.log(RHO / r) + (1 - RHO) * np.log((1 - RHO) / (1 - r)))

    def backward(h):
        r = h.mean(axis=0)
        return np.ones_like(h) * (-RHO / r + (1 - RHO) / (1 - r)) / len(h)

    return f, {"h": sigmoid(draw(5, 7))}, backward, {"upstream": False}


@wrong("https://github.com/y0ast/VAE-Torch/pull/5", "0.25", "0.5", "offset")
def gaussian_log_variance_with_a_quarter():
    def f(mu, s, x):
        return np.sum(0.5 * s + 0.5 * (x - mu) ** 2 / np.exp(s))

    def backward(mu, s, x):
        return (mu - x) / np.exp(s), 0.25 - 0.5 * (x - mu) ** 2 / np.exp(s)

    inputs = {"mu": draw(5, 3), "s": draw(5, 3, seed=1), "x": draw(5, 3, seed=2)}
    return f, inputs, backward, {"wrt": ("mu", "s"), "upstream": False}


@wrong("https://github.com/alecGraves/BVAE-tf/issues/7", "exp(0.5", "exp(s)", "0.5*s", "-0.5")
def gaussian_mean_divided_by_the_deviation():
    def f(mu, s, x):
        return np.sum(0.5 * s + 0.5 * (x - mu) ** 2 / np.exp(s))

    def backward(mu, s, x):
        return (mu - x) / np.exp(0.5 * s), 0.5 - 0.5 * (x - mu) ** 2 / np.exp(s)

    inputs = {"mu": draw(5, 3), "s": draw(5, 3, seed=1), "x": draw(5, 3, seed=2)}
    return f, inputs, backward, {"wrt": ("mu", "s"), "upstream": False}


@wrong("https://github.com/AntixK/PyTorch-VAE/issues/69", "lacks & mu", "beta & mu", "BETA * mu")
def kl_forgotten_for_the_mean():
    def f(mu, s, eps, t):
        z = mu + np.exp(0.5 * s) * eps
        kl = -0.5 * np.sum(1 + s - mu**2 - np.exp(s))
        return 0.5 * np.sum((z - t) ** 2) + BETA * kl

    def backward(mu, s, eps, t):
        dz = mu + np.exp(0.5 * s) * eps - t
        return dz, dz * eps * 0.5 * np.exp(0.5 * s) + BETA * 0.5 * (np.exp(s) - 1)

    inputs = {k: draw(5, 3, seed=i) for i, k in enumerate(("mu", "s", "eps", "t"))}
    return f, inputs, backward, {"wrt": ("mu", "s"), "upstream": False}


@wrong("https://github.com/AntixK/PyTorch-VAE/issues/69", "beta", "coefficient", "3", "2*")
def kl_weight_forgotten():
    def f(mu, s, eps, t):
        z = mu + np.exp(0.5 * s) * eps
        kl = -0.5 * np.sum(1 + s - mu**2 - np.exp(s))
        return 0.5 * np.sum((z - t) ** 2) + BETA * kl

    def backward(mu, s, eps, t):
        dz = mu + np.exp(0.5 * s) * eps - t
        return dz + mu, dz * eps * 0.5 * np.exp(0.5 * s) + 0.5 * (np.exp(s) - 1)

    inputs = {k: draw(5, 3, seed=i) for i, k in enumerate(("mu", "s", "eps", "t"))}
    return f, inputs, backward, {"wrt": ("mu", "s"), "upstream": False}


@wrong("https://github.com/keras-team/keras/issues/3283", "0.5", "2 times")
def reparameterisation_without_its_half():
    def f(mu, s, eps):
        return mu + np.exp(0.5 * s) * eps

    def backward(dz, mu, s, eps):
        return dz, dz * eps * np.exp(0.5 * s)

    inputs = {k: draw(5, 3, seed=i) for i, k in enumerate(("mu", "s", "eps"))}
    return f, inputs, backward, {"wrt": ("mu", "s")}


@wrong("https://github.com/alecGraves/BVAE-tf/issues/7", "exp(0.5", "0.5 * s", "exp(-0.5")
def reparameterisation_with_the_variance():
    def f(mu, s, eps):
        return mu + np.exp(0.5 * s) * eps

    def backward(dz, mu, s, eps):
        return dz, dz * eps * 0.5 * np.exp(s)

    inputs = {k: draw(5, 3, seed=i) for i, k in enumerate(("mu", "s", "eps"))}
    return f, inputs, backward, {"wrt": ("mu", "s")}


@wrong("https://github.com/keras-team/keras/issues/3283", "eps")
def reparameterisation_without_the_noise():
    def f(mu, s, eps):
        return mu + np.exp(0.5 * s) * eps

    def backward(dz, mu, s, eps):
        return dz, dz * 0.5 * np.exp(0.5 * s)

    inputs = {k: draw(5, 3, seed=i) for i, k in enumerate(("mu", "s", "eps"))}
    return f, inputs, backward, {"wrt": ("mu", "s")}
