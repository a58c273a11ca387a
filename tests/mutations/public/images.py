"""Convolution, pooling and resampling: strides, overlaps, ties, windows at the border."""

import numpy as np

from .case import draw, wrong


def conv1d(x, W):
    K = W.shape[2]
    L = x.shape[2] - K + 1
    return sum(np.einsum("ncl,oc->nol", x[:, :, k : k + L], W[:, :, k]) for k in range(K))


def conv2d(x, W, stride):
    O, _, K, _ = W.shape
    H, V = ((n - K) // stride + 1 for n in x.shape[2:])
    y = np.zeros((len(x), O, H, V))
    for i in range(H):
        for j in range(V):
            window = x[:, :, i * stride : i * stride + K, j * stride : j * stride + K]
            y[:, :, i, j] = np.tensordot(window, W, ([1, 2, 3], [1, 2, 3]))
    return y


STRIDE = 2


def strided(x, W):
    return conv2d(x, W, STRIDE)


@wrong("https://github.com/Kulbear/deep-learning-coursera/pull/34", "stride")
def conv_stride_forgotten():
    def backward(dy, x, W):
        K = W.shape[2]
        dx, dW = np.zeros_like(x), np.zeros_like(W)
        for i in range(dy.shape[2]):
            for j in range(dy.shape[3]):
                at = (..., slice(i, i + K), slice(j, j + K))
                dx[at] += np.tensordot(dy[:, :, i, j], W, ([1], [0]))
                dW += np.tensordot(dy[:, :, i, j], x[at], ([0], [0]))
        return dx, dW

    return strided, {"x": draw(2, 3, 7, 9), "W": draw(4, 3, 3, 3)}, backward


@wrong("https://github.com/0809zheng/CS231n-assignment2019/issues/19", "+=", "added", "overlap")
def conv_overlaps_replaced():
    def backward(dy, x, W):
        K = W.shape[2]
        dx, dW = np.zeros_like(x), np.zeros_like(W)
        for i in range(dy.shape[2]):
            for j in range(dy.shape[3]):
                rows, columns = slice(2 * i, 2 * i + K), slice(2 * j, 2 * j + K)
                dx[:, :, rows, columns] = np.tensordot(dy[:, :, i, j], W, ([1], [0]))
                dW += np.tensordot(dy[:, :, i, j], x[:, :, rows, columns], ([0], [0]))
        return dx, dW

    return strided, {"x": draw(2, 3, 7, 9), "W": draw(4, 3, 3, 3)}, backward


@wrong("https://github.com/NervanaSystems/neon/issues/111", "channel", "axis", "+=", "overlap")
def conv_channels_swapped():
    def backward(dy, x, W):
        K = W.shape[2]
        dx = np.zeros_like(x)
        for i in range(dy.shape[2]):
            for j in range(dy.shape[3]):
                rows, columns = slice(2 * i, 2 * i + K), slice(2 * j, 2 * j + K)
                piece = np.tensordot(dy[:, :, i, j], W, ([1], [0]))
                dx[:, :, rows, columns] += piece[:, ::-1]
        return dx

    inputs = {"x": draw(2, 3, 7, 9), "W": draw(4, 3, 3, 3)}
    return strided, inputs, backward, {"wrt": "x"}


@wrong("https://github.com/ml-explore/mlx/issues/1826", "flip", "reverse", "K - 1")
def conv2d_kernel_not_flipped():
    def backward(dy, x, W):
        K = W.shape[2]
        dx = np.zeros_like(x)
        H, V = dy.shape[2:]
        for a in range(K):
            for b in range(K):
                tap = W[:, :, K - 1 - a, K - 1 - b]
                dx[:, :, a : a + H, b : b + V] += np.einsum("nohw,oc->nchw", dy, tap)
        return dx

    def f(x, W):
        return conv2d(x, W, 1)

    return f, {"x": draw(2, 3, 6, 7), "W": draw(4, 3, 3, 3)}, backward, {"wrt": "x"}


@wrong("https://github.com/HomericIntelligence/Odyssey/issues/2955", "flip", "reverse", "K - 1")
def conv1d_kernel_not_flipped():
    def backward(dy, x, W):
        K = W.shape[2]
        L = dy.shape[2]
        dx = np.zeros_like(x)
        for k in range(K):
            dx[:, :, k : k + L] += np.einsum("nol,oc->ncl", dy, W[:, :, K - 1 - k])
        return dx

    return conv1d, {"x": draw(3, 2, 11), "W": draw(4, 2, 5)}, backward, {"wrt": "x"}


@wrong("https://github.com/HomericIntelligence/Odyssey/issues/2955", "1/N", "N", "mean", "len(x)")
def conv_weight_gradient_averaged():
    def backward(dy, x, W):
        K = W.shape[2]
        L = dy.shape[2]
        dW = np.zeros_like(W)
        for k in range(K):
            dW[:, :, k] = np.einsum("nol,ncl->oc", dy, x[:, :, k : k + L]) / len(x)
        return dW

    return conv1d, {"x": draw(3, 2, 11), "W": draw(4, 2, 5)}, backward, {"wrt": "W"}


@wrong(
    "https://github.com/HomericIntelligence/Odyssey/issues/3869", "moved", "place", "k : k", "shift"
)
def conv_weight_gradient_shifted():
    def backward(dy, x, W):
        K = W.shape[2]
        L = dy.shape[2]
        dW = np.zeros_like(W)
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
        for k in range(K):
            dW[:, :, k] = np.einsum("nol,ncl->oc", dy, padded[:, :, k : k + L])
        return dW

    return conv1d, {"x": draw(3, 2, 11), "W": draw(4, 2, 5)}, backward, {"wrt": "W"}


@wrong(
    "https://github.com/HomericIntelligence/Odyssey/issues/2955",
    "sum & axes",
    "sum & axis 2",
    "(0, 2",
)
def conv_bias_gradient_of_one_axis():
    def f(x, W, b):
        return conv1d(x, W) + b[:, None]

    def backward(dy, x, W, b):
        return dy.sum(axis=0)

    inputs = {"x": draw(3, 2, 11), "W": draw(4, 2, 5), "b": draw(4)}
    return f, inputs, backward, {"wrt": "b"}


def pool(x, k, s, how):
    n = (x.shape[1] - k) // s + 1
    return np.stack([how(x[:, i * s : i * s + k], axis=1) for i in range(n)], axis=1)


def tied():
    x = np.round(2 * draw(5, 9)) / 2
    x[:, 1], x[2] = x[:, 0], 0.5
    return x


@wrong("https://github.com/mni-ml/framework/pull/22", "tie", "equal", "more than once")
def max_pool_every_tie_gets_all():
    def f(x):
        return pool(x, 3, 3, np.max)

    def backward(dy, x):
        y = np.repeat(pool(x, 3, 3, np.max), 3, axis=1)
        return (x == y) * np.repeat(dy, 3, axis=1)

    return f, tied(), backward


@wrong(
    "https://github.com/Theano/Theano/issues/5248", "tie", "equal", "more than once", hidden=True
)
def max_over_rows_every_tie_gets_all():
    def f(x):
        return x.max(axis=1)

    def backward(dy, x):
        return dy[:, None] * (x == x.max(axis=1, keepdims=True))

    return f, np.array([[1.0, 2.0, 2.0], [0.5, 0.5, 0.5], [3.0, 1.0, 3.0]]), backward


@wrong("https://github.com/0809zheng/CS231n-assignment2019/issues/19", "+=", "added", "overlap")
def max_pool_overlaps_replaced():
    def f(x):
        return pool(x, 3, 1, np.max)

    def backward(dy, x):
        dx = np.zeros_like(x)
        for i in range(dy.shape[1]):
            k = i + x[:, i : i + 3].argmax(axis=1)
            dx[np.arange(len(x)), k] = dy[:, i]
        return dx

    return f, draw(5, 9), backward


@wrong(
    "https://github.com/MatthieuHernandez/StraightforwardNeuralNetwork/issues/39", "max", "average"
)
def max_pool_spread_evenly():
    def f(x):
        return pool(x, 3, 3, np.max)

    def backward(dy, x):
        return np.repeat(dy, 3, axis=1) / 3

    return f, draw(5, 9), backward


@wrong(
    "https://github.com/marsggbo/deeplearning.ai_JupyterNotebooks/issues/10",
    "3 times",
    "by 1/3",
    "/ 3",
    "1/K",
    "0.333",
)
def average_pool_not_divided():
    def f(x):
        return pool(x, 3, 3, np.mean)

    def backward(dy, x):
        return np.repeat(dy, 3, axis=1)

    return f, draw(5, 9), backward


@wrong("https://github.com/tracel-ai/burn/issues/5604", "last", "border", "edge")
def average_pool_clipped_window():
    def f(x):
        return np.stack([x[:, i : i + 3].mean(axis=1) for i in range(0, x.shape[1], 3)], axis=1)

    def backward(dy, x):
        return np.repeat(dy, 3, axis=1)[:, : x.shape[1]] / 3

    return f, draw(5, 8), backward


@wrong("https://github.com/davisking/dlib/pull/336", "0.25", "by 4", "sum", "a mean is taken")
def upsample_gradient_averaged():
    def f(x):
        return x.repeat(2, axis=1).repeat(2, axis=2)

    def backward(dy, x):
        N, H, W = x.shape
        return dy.reshape(N, H, 2, W, 2).mean(axis=(2, 4))

    return f, draw(3, 4, 5), backward


@wrong("https://github.com/davisking/dlib/pull/336", "sum", "one of", "entries", "::2")
def upsample_gradient_of_one_copy():
    def f(x):
        return x.repeat(2, axis=1)

    def backward(dy, x):
        return dy[:, ::2]

    return f, draw(3, 4), backward


@wrong("https://github.com/Oneflow-Inc/oneflow/pull/4003", "order", "axes", "transpose", "reshape")
def pixel_shuffle_axes_in_another_order():
    def f(x):
        N, C, H, W = x.shape
        y = x.reshape(N, C // 4, 2, 2, H, W).transpose(0, 1, 4, 2, 5, 3)
        return y.reshape(N, C // 4, 2 * H, 2 * W)

    def backward(dy, x):
        N, C, H, W = x.shape
        d = dy.reshape(N, C // 4, H, 2, W, 2).transpose(0, 1, 5, 3, 2, 4)
        return d.reshape(x.shape)

    return f, draw(2, 8, 3, 5), backward


@wrong("https://github.com/intel/torch-xpu-ops/pull/4380", "order", "reshape", "axes", "transpos")
def flatten_gradient_reshaped_in_another_order():
    def f(x):
        return x.transpose(0, 2, 1).reshape(len(x), -1)

    def backward(dy, x):
        return dy.reshape(x.shape)

    return f, draw(3, 4, 5), backward


@wrong(
    "https://github.com/renmengye/np-conv2d/pull/2", "border", "column", "edge", "moved", "place"
)
def padding_cut_from_one_side():
    def f(x):
        p = np.pad(x, ((0, 0), (1, 1)))
        return p[:, :-2] + 2 * p[:, 1:-1] + 4 * p[:, 2:]

    def backward(dy, x):
        d = np.zeros((len(x), x.shape[1] + 2))
        d[:, :-2] += dy
        d[:, 1:-1] += 2 * dy
        d[:, 2:] += 4 * dy
        return d[:, 2:]

    return f, draw(3, 7), backward
