"""Normalisation: paths through the mean and the variance, sums for means, wrong axes."""

import numpy as np

from .case import draw, wrong

TINY = 1e-5


def batch_norm(x):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + TINY)


def layer_norm(x):
    m, v = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return (x - m) / np.sqrt(v + TINY)


def rms_norm(x, w):
    return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + TINY) * w


@wrong("https://github.com/mlpack/mlpack/issues/1923", "sum to zero", "mean(dy", "mean & axis 0")
def batch_norm_mean_path_forgotten():
    def backward(dy, x):
        c = x - x.mean(axis=0)
        istd = 1 / np.sqrt(x.var(axis=0) + TINY)
        dvar = np.sum(dy * c, axis=0) * -0.5 * istd**3
        return dy * istd + dvar * 2 * c / len(x)

    return batch_norm, draw(7, 5), backward


@wrong("https://github.com/pjreddie/darknet/issues/1634", "mean(dy*y", "y*mean", "dvar", "varianc")
def batch_norm_variance_path_forgotten():
    def backward(dy, x):
        istd = 1 / np.sqrt(x.var(axis=0) + TINY)
        return istd * (dy - dy.mean(axis=0))

    return batch_norm, draw(7, 5), backward


@wrong("https://github.com/mlpack/mlpack/issues/1923", "a mean belongs", "/ N", "mean")
def batch_norm_sum_for_mean():
    def backward(dy, x):
        N = len(x)
        c = x - x.mean(axis=0)
        istd = 1 / np.sqrt(x.var(axis=0) + TINY)
        dvar = np.sum(dy * c, axis=0) * -0.5 * istd**3
        dmu = np.sum(dy * -istd, axis=0)
        return dy * istd + dvar * 2 * c / N + dmu

    return batch_norm, draw(7, 5), backward


@wrong("https://github.com/BVLC/caffe/pull/1891", "N/(N-1)", "N - 1", "len(x) - 1", "N", "coeff")
def batch_norm_unbiased_in_backward():
    def backward(dy, x):
        N = len(x)
        c = x - x.mean(axis=0)
        istd = 1 / np.sqrt(x.var(axis=0) + TINY)
        dvar = np.sum(dy * c, axis=0) * -0.5 * istd**3
        dmu = np.sum(dy * -istd, axis=0)
        return dy * istd + dvar * 2 * c / (N - 1) + dmu / N

    return batch_norm, draw(7, 5), backward


@wrong("https://datascience.stackexchange.com/questions/10741", "0.5", "3", "istd")
def batch_norm_variance_power():
    def backward(dy, x):
        N = len(x)
        c = x - x.mean(axis=0)
        istd = 1 / np.sqrt(x.var(axis=0) + TINY)
        dvar = np.sum(dy * c, axis=0) * -0.5 * istd**2
        dmu = np.sum(dy * -istd, axis=0)
        return dy * istd + dvar * 2 * c / N + dmu / N

    return batch_norm, draw(7, 5), backward


@wrong("https://github.com/BVLC/caffe/issues/4110", "istd", "1/std", "standard", "sqrt")
def batch_norm_not_divided_by_the_deviation():
    def backward(dy, x):
        y = batch_norm(x)
        return dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)

    return batch_norm, draw(7, 5), backward


@wrong("https://github.com/pytorch/pytorch/issues/2330", "y", "xhat", "normalised", "1/std")
def gamma_gradient_from_the_raw_input():
    def f(x, gamma, beta):
        return batch_norm(x) * gamma + beta

    def backward(dy, x, gamma, beta):
        return (dy * x).sum(axis=0), dy.sum(axis=0)

    inputs = {"x": draw(7, 5), "gamma": draw(5), "beta": draw(5)}
    return f, inputs, backward, {"wrt": ("gamma", "beta")}


@wrong("https://github.com/mlpack/mlpack/pull/1930", "axis 1", "axis=1", "axis is 0")
def layer_norm_averaged_over_the_batch():
    def backward(dy, x):
        y = layer_norm(x)
        istd = 1 / np.sqrt(x.var(axis=1, keepdims=True) + TINY)
        return istd * (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0))

    return layer_norm, draw(7, 5), backward


@wrong("https://github.com/HomericIntelligence/Odyssey/pull/2240", "dy*y", "(dy * y)", "mean(dy*y")
def layer_norm_second_mean_without_y():
    def backward(dy, x):
        y = layer_norm(x)
        istd = 1 / np.sqrt(x.var(axis=1, keepdims=True) + TINY)
        m = dy.mean(axis=1, keepdims=True)
        return istd * (dy - m - y * m)

    return layer_norm, draw(7, 5), backward


@wrong("https://github.com/karpathy/llm.c/pull/763", "w", "weight")
def rms_norm_weight_forgotten():
    def backward(dy, x, w):
        r = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True) + TINY)
        dx = r * dy - x * r**3 * (dy * x).mean(axis=1, keepdims=True)
        return dx, (dy * x * r).sum(axis=0)

    return rms_norm, {"x": draw(7, 5), "w": draw(5)}, backward


@wrong("https://github.com/BobMcDear/attorch/issues/17", "keepdims", "axis", "[:, None]")
def rms_norm_correction_along_the_columns():
    def backward(dy, x, w):
        r = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True) + TINY)
        dx = r * (dy * w) - x * r**3 * (dy * w * x).mean(axis=1)
        return dx, (dy * x * r).sum(axis=0)

    return rms_norm, {"x": draw(5, 5), "w": draw(5)}, backward


@wrong("https://github.com/Dao-AILab/quack/pull/53", "lacks", "x*", "projection", "mean")
def rms_norm_held_constant():
    def backward(dy, x, w):
        r = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True) + TINY)
        return r * (dy * w), (dy * x * r).sum(axis=0)

    return rms_norm, {"x": draw(7, 5), "w": draw(5)}, backward


@wrong(
    "https://github.com/linkedin/Liger-Kernel/pull/1376", "1/H", "H", "x.shape[2]", "size", "mean"
)
def instance_norm_divided_by_the_width_alone():
    def f(x):
        m, v = x.mean(axis=(2, 3), keepdims=True), x.var(axis=(2, 3), keepdims=True)
        return (x - m) / np.sqrt(v + TINY)

    def backward(dy, x):
        over = (2, 3)
        m, v = x.mean(axis=over, keepdims=True), x.var(axis=over, keepdims=True)
        istd = 1 / np.sqrt(v + TINY)
        y = (x - m) * istd
        n = x.shape[3]
        first = dy.sum(axis=over, keepdims=True) / n
        second = (dy * y).sum(axis=over, keepdims=True) / n
        return istd * (dy - first - y * second)

    return f, draw(2, 3, 4, 5), backward


@wrong("https://github.com/tenstorrent/tt-metal/pull/56202", "group", "order", "repeat", "axis 1")
def group_norm_groups_interleaved():
    def f(x, gamma):
        g = x.reshape(len(x), 2, -1)
        y = (g - g.mean(axis=2, keepdims=True)) / np.sqrt(g.var(axis=2, keepdims=True) + TINY)
        return y.reshape(x.shape) * gamma

    def backward(dy, x, gamma):
        g = x.reshape(len(x), 2, -1)
        m, istd = g.mean(axis=2), 1 / np.sqrt(g.var(axis=2) + TINY)
        which = np.arange(6) % 2
        return (dy * (x - m[:, which]) * istd[:, which]).sum(axis=0)

    return f, {"x": draw(5, 6), "gamma": draw(6)}, backward, {"wrt": "gamma"}


@wrong("https://github.com/chainer/chainer/pull/4190", "projection", "lacks", "y*", "along", "Σ")
def l2_normalise_held_constant():
    def f(x):
        return x / np.sqrt((x * x).sum(axis=1, keepdims=True))

    def backward(dy, x):
        return dy / np.sqrt((x * x).sum(axis=1, keepdims=True))

    return f, draw(5, 7), backward


@wrong("https://github.com/wy1iu/sphereface/issues/24", "norm", "w/", "projection", "⟨")
def weight_normalisation_ignored():
    def f(w, x):
        return x @ (w / np.sqrt(np.sum(w * w)))

    def backward(dy, w, x):
        return x.T @ dy

    return f, {"w": draw(4), "x": draw(7, 4)}, backward, {"wrt": "w"}


@wrong("https://github.com/gnina/libmolgrid/pull/38", "projection", "lacks", "term", "⟨")
def cosine_without_the_projection():
    def f(a, b):
        na, nb = np.sqrt((a * a).sum(axis=1)), np.sqrt((b * b).sum(axis=1))
        return (a * b).sum(axis=1) / (na * nb)

    def backward(dy, a, b):
        na, nb = np.sqrt((a * a).sum(axis=1)), np.sqrt((b * b).sum(axis=1))
        return (dy / (na * nb))[:, None] * b

    return f, {"a": draw(5, 7), "b": draw(5, 7, seed=1)}, backward, {"wrt": "a"}


@wrong("https://github.com/chainer/chainer/pull/4190", "+ 0.1", "eps", "0.1", "sqrt")
def normalise_with_eps_in_the_other_place():
    def f(x):
        n = np.sqrt((x * x).sum(axis=1, keepdims=True))
        return x / (n + 0.1)

    def backward(dy, x):
        n = np.sqrt((x * x).sum(axis=1, keepdims=True))
        y = x / (n + 0.1)
        return (dy - y * (dy * y).sum(axis=1, keepdims=True)) / (n + 0.1)

    return f, draw(5, 7), backward
