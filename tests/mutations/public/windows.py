"""Batch norm of pictures, groups, strides, dilation, pools that overlap, maxima and means."""

# ruff: noqa: RUF059

import numpy as np

from .case import draw, wrong

SPACE = (0, 2, 3)
EPS = 1e-5


def batch_norm2d(x, gamma):
    mu, var = x.mean(SPACE, keepdims=True), x.var(SPACE, keepdims=True)
    return gamma[:, None, None] * (x - mu) / np.sqrt(var + EPS)


def pictures():
    return {"x": draw(3, 2, 4, 5), "gamma": draw(2)}


@wrong("https://github.com/mlpack/mlpack/pull/2474", "H", "W", "20", "size", "shape")
def batch_norm2d_counts_the_batch_alone():
    def backward(dy, x, gamma):
        m = len(x)
        mu, var = x.mean(SPACE, keepdims=True), x.var(SPACE, keepdims=True)
        s = np.sqrt(var + EPS)
        y = (x - mu) / s
        g = dy * gamma[:, None, None]
        return (m * g - g.sum(SPACE, keepdims=True) - y * (g * y).sum(SPACE, keepdims=True)) / (
            m * s
        )

    return batch_norm2d, pictures(), backward, {"wrt": "x"}


@wrong("https://github.com/HomericIntelligence/Odyssey/pull/2882", "axis", "axes", "SPACE", "(0, 2")
def batch_norm2d_means_over_the_batch_alone():
    def backward(dy, x, gamma):
        mu, var = x.mean(SPACE, keepdims=True), x.var(SPACE, keepdims=True)
        s = np.sqrt(var + EPS)
        y = (x - mu) / s
        g = dy * gamma[:, None, None]
        return (g - g.mean(0, keepdims=True) - y * (g * y).mean(0, keepdims=True)) / s

    return batch_norm2d, pictures(), backward, {"wrt": "x"}


@wrong("https://github.com/PABannier/nanograd/issues/2", "sum", "shape")
def batch_norm2d_scale_summed_over_the_batch_alone():
    def backward(dy, x, gamma):
        mu, var = x.mean(SPACE, keepdims=True), x.var(SPACE, keepdims=True)
        y = (x - mu) / np.sqrt(var + EPS)
        return (dy * y).sum(axis=0)

    return batch_norm2d, pictures(), backward, {"wrt": "gamma"}


@wrong("https://github.com/mlpack/mlpack/pull/3231", "gamma", "factor")
def batch_norm2d_scale_forgotten():
    def backward(dy, x, gamma):
        mu, var = x.mean(SPACE, keepdims=True), x.var(SPACE, keepdims=True)
        s = np.sqrt(var + EPS)
        y = (x - mu) / s
        return (dy - dy.mean(SPACE, keepdims=True) - y * (dy * y).mean(SPACE, keepdims=True)) / s

    return batch_norm2d, pictures(), backward, {"wrt": "x"}


def max_pool(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))


@wrong(
    "https://github.com/mashmawy/AlbiruniML/issues/2", "largest", "max", "mean", "average", "mask"
)
def max_pool_answered_by_an_average():
    def backward(dy, x):
        return np.repeat(np.repeat(dy, 2, axis=2), 2, axis=3) / 4

    return max_pool, {"x": draw(2, 3, 4, 6)}, backward


@wrong("https://github.com/mashmawy/AlbiruniML/issues/2", "mask", "zero", "largest", "max")
def max_pool_copies_to_the_whole_window():
    def backward(dy, x):
        return np.repeat(np.repeat(dy, 2, axis=2), 2, axis=3)

    return max_pool, {"x": draw(2, 3, 4, 6)}, backward


def average_pool(x):
    y = np.zeros((*x.shape[:2], x.shape[2] - 2))
    for k in range(3):
        y += x[:, :, k : k + y.shape[2]] / 3
    return y


@wrong(
    "https://github.com/deeplearning4j/deeplearning4j/pull/1951", "+=", "added", "overlap", "repl"
)
def average_pool_overlaps_replaced():
    def backward(dy, x):
        dx = np.zeros_like(x)
        for k in range(dy.shape[2]):
            dx[:, :, k : k + 3] = dy[:, :, k : k + 1] / 3
        return dx

    return average_pool, {"x": draw(2, 3, 9)}, backward


STRIDE, DILATION = 2, 2


def dilated(x, W):
    L = x.shape[2] - DILATION * (W.shape[2] - 1)
    return sum(
        np.einsum("ncl,oc->nol", x[:, :, DILATION * k : DILATION * k + L], W[:, :, k])
        for k in range(W.shape[2])
    )


@wrong("https://arxiv.org/abs/1511.07122", "dilat", "DILATION", "apart")
def conv_dilation_forgotten():
    def backward(dy, x, W):
        dx, L = np.zeros_like(x), dy.shape[2]
        for k in range(W.shape[2]):
            dx[:, :, k : k + L] += np.einsum("nol,oc->ncl", dy, W[:, :, k])
        return dx

    return dilated, {"x": draw(3, 2, 11), "W": draw(4, 2, 3)}, backward, {"wrt": "x"}


def depthwise(x, W):
    L = x.shape[2] - W.shape[1] + 1
    return sum(x[:, :, k : k + L] * W[:, k, None] for k in range(W.shape[1]))


@wrong("https://arxiv.org/abs/1704.04861", "+=", "added", "replac", "overlap")
def depthwise_overlaps_replaced():
    def backward(dy, x, W):
        dx, dW, L = np.zeros_like(x), np.zeros_like(W), dy.shape[2]
        for k in range(W.shape[1]):
            dx[:, :, k : k + L] = dy * W[:, k, None]
            dW[:, k] = (dy * x[:, :, k : k + L]).sum(axis=(0, 2))
        return dx, dW

    return depthwise, {"x": draw(3, 2, 9), "W": draw(2, 3)}, backward


@wrong("https://arxiv.org/abs/1704.04861", "flip", "revers", "order")
def depthwise_kernel_not_flipped():
    def backward(dy, x, W):
        dx, L = np.zeros_like(x), dy.shape[2]
        for k in range(W.shape[1]):
            dx[:, :, k : k + L] += dy * W[:, W.shape[1] - 1 - k, None]
        return dx

    return depthwise, {"x": draw(3, 2, 9), "W": draw(2, 3)}, backward, {"wrt": "x"}


def strided(x, W):
    K = W.shape[2]
    L = (x.shape[2] - K) // STRIDE + 1
    y = np.zeros((len(x), len(W), L))
    for i in range(L):
        y[:, :, i] = np.tensordot(x[:, :, i * STRIDE : i * STRIDE + K], W, ([1, 2], [1, 2]))
    return y


@wrong("https://github.com/rsokl/MyGrad/pull/74", "stride")
def conv1d_weights_read_without_the_stride():
    def backward(dy, x, W):
        dW, K = np.zeros_like(W), W.shape[2]
        for i in range(dy.shape[2]):
            dW += np.tensordot(dy[:, :, i], x[:, :, i : i + K], ([0], [0]))
        return dW

    return strided, {"x": draw(3, 2, 9), "W": draw(4, 2, 3)}, backward, {"wrt": "W"}


@wrong("https://github.com/rsokl/MyGrad/pull/74", "sum", "+=", "added", "replac", "last")
def conv1d_weights_of_the_last_window():
    def backward(dy, x, W):
        K = W.shape[2]
        for i in range(dy.shape[2]):
            at = slice(i * STRIDE, i * STRIDE + K)
            dW = np.tensordot(dy[:, :, i], x[:, :, at], ([0], [0]))
        return dW

    return strided, {"x": draw(3, 2, 9), "W": draw(4, 2, 3)}, backward, {"wrt": "W"}


def padded(x, W):
    return dilated_by_one(np.pad(x, ((0, 0), (0, 0), (1, 1))), W)


def dilated_by_one(x, W):
    L = x.shape[2] - W.shape[2] + 1
    return sum(np.einsum("ncl,oc->nol", x[:, :, k : k + L], W[:, :, k]) for k in range(W.shape[2]))


@wrong(
    "https://github.com/HomericIntelligence/Odyssey/issues/2955",
    "border",
    "first",
    "last",
    "pad",
    "crop",
)
def conv1d_padding_cut_from_the_end():
    def backward(dy, x, W):
        d, L = np.zeros((*x.shape[:2], x.shape[2] + 2)), dy.shape[2]
        for k in range(W.shape[2]):
            d[:, :, k : k + L] += np.einsum("nol,oc->ncl", dy, W[:, :, k])
        return d[:, :, :-2]

    return padded, {"x": draw(3, 2, 7), "W": draw(4, 2, 3)}, backward, {"wrt": "x"}


def doubled(x):
    """Linear interpolation to twice the length, without the end."""
    y = np.zeros((len(x), 2 * x.shape[1] - 1))
    y[:, ::2] = x
    y[:, 1::2] = (x[:, 1:] + x[:, :-1]) / 2
    return y


@wrong(
    "https://pytorch.org/docs/stable/generated/torch.nn.Upsample.html",
    "lack",
    "neighb",
    "missing",
    "[1:]",
    "first",
)
def interpolation_gradient_reaches_one_neighbour():
    def backward(dy, x):
        dx = dy[:, ::2].copy()
        dx[:, :-1] += dy[:, 1::2] / 2
        return dx

    return doubled, {"x": draw(3, 6)}, backward


def prelu(x, a):
    return np.where(x > 0, x, a[:, None] * x)


@wrong("https://github.com/PaddlePaddle/Paddle/pull/12538", "mask", "x >", "x ≤", "x <", "y >")
def prelu_mask_of_the_output():
    def backward(dy, x, a):
        y = np.where(x > 0, x, a[:, None] * x)
        return dy * np.where(y > 0, 1, a[:, None])

    return prelu, {"x": draw(4, 3, 5), "a": draw(3)}, backward, {"wrt": "x"}


@wrong("https://github.com/pytorch/pytorch/issues/128120", "mask", "x >", "x ≤", "x <", "[x")
def prelu_slope_counts_every_entry():
    def backward(dy, x, a):
        return dy * np.where(x > 0, 1, a[:, None]), (dy * x).sum(axis=(0, 2))

    return prelu, {"x": draw(4, 3, 5), "a": draw(3)}, backward


@wrong("https://github.com/apache/mxnet/pull/3277", "x", "factor", "lacks")
def prelu_slope_without_the_input():
    def backward(dy, x, a):
        return (dy * (x < 0)).sum(axis=(0, 2))

    return prelu, {"x": draw(4, 3, 5), "a": draw(3)}, backward, {"wrt": "a"}


@wrong("https://arxiv.org/abs/1312.4400", "1/", "H", "W", "20", "mean")
def global_average_not_divided():
    def f(x):
        return x.mean(axis=(2, 3))

    def backward(dy, x):
        return np.ones_like(x) * dy[:, :, None, None]

    return f, {"x": draw(2, 3, 4, 5)}, backward


def group_norm(x, gamma):
    n, c, length = x.shape
    g = x.reshape(n, 2, -1)
    y = (g - g.mean(2, keepdims=True)) / np.sqrt(g.var(2, keepdims=True) + EPS)
    return y.reshape(x.shape) * gamma[:, None]


@wrong("https://arxiv.org/abs/1803.08494", "axis", "group", "reshape", "2")
def group_norm_means_of_single_channels():
    def backward(dy, x, gamma):
        n, c, length = x.shape
        g = x.reshape(n, 2, -1)
        s = np.sqrt(g.var(2, keepdims=True) + EPS)
        y = (g - g.mean(2, keepdims=True)) / s
        d = (dy * gamma[:, None]).reshape(n, c, -1)
        y, s = y.reshape(x.shape), np.repeat(s, c // 2, axis=1)
        return (d - d.mean(2, keepdims=True) - y * (d * y).mean(2, keepdims=True)) / s

    return group_norm, {"x": draw(3, 4, 5), "gamma": draw(4)}, backward, {"wrt": "x"}
