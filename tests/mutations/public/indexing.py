"""Lookups, sorting, segments: an entry that is read twice collects two gradients."""

import numpy as np

from .case import draw, wrong

LOOKUP = {"W": draw(6, 4), "i": np.array([1, 0, 3, 0, 5, 1, 0])}


def lookup():
    return {k: v.copy() for k, v in LOOKUP.items()}


@wrong("https://github.com/pytorch/pytorch/issues/1528", "np.add.at", "repeated")
def embedding_plus_equals_loses_repeats():
    def backward(dy, W, i):
        dW = np.zeros_like(W)
        dW[i] += dy
        return dW

    return lambda W, i: W[i], lookup(), backward, {"wrt": "W"}


@wrong("https://github.com/HIPS/autograd/issues/39", "np.add.at", "repeated")
def embedding_assigned():
    def backward(dy, W, i):
        dW = np.zeros_like(W)
        dW[i] = dy
        return dW

    return lambda W, i: W[i], lookup(), backward, {"wrt": "W"}


@wrong("https://github.com/HIPS/autograd/issues/263", "np.add.at", "repeated")
def take_along_columns_loses_repeats():
    def backward(dy, x, i):
        dx = np.zeros_like(x)
        dx[:, i] += dy
        return dx

    inputs = {"x": draw(5, 6), "i": np.array([2, 0, 2, 5, 2])}
    return lambda x, i: x[:, i], inputs, backward, {"wrt": "x"}


@wrong(
    "https://github.com/ooples/AiDotNet.Tensors/pull/894", "np.add.at", "scatter", "index", "row"
)
def gather_gradient_gathered():
    def backward(dy, W, i):
        return dy[i[: len(W)]]

    return lambda W, i: W[i], lookup(), backward, {"wrt": "W"}


@wrong(
    "https://github.com/tenstorrent/tt-metal/issues/6232", "1/3", "1/", "count", "repeated", "mean"
)
def embedding_averages_repeats():
    def backward(dy, W, i):
        dW = np.zeros_like(W)
        np.add.at(dW, i, dy)
        return dW / np.maximum(np.bincount(i, minlength=len(W)), 1)[:, None]

    return lambda W, i: W[i], lookup(), backward, {"wrt": "W"}


@wrong("https://github.com/pytorch/pytorch/issues/71155", "row 0", "mask", "pad", "zero")
def padding_row_learns():
    def f(W, i):
        return W[i] * (i != 0)[:, None]

    def backward(dy, W, i):
        dW = np.zeros_like(W)
        np.add.at(dW, i, dy)
        return dW

    return f, lookup(), backward, {"wrt": "W"}


@wrong(
    "https://github.com/PrincetonUniversity/PsyNeuLink/pull/2539",
    "order",
    "sort",
    "permut",
    "argsort",
)
def sorted_gradient_not_put_back():
    def backward(dy, x):
        return np.sort(x, axis=1) * 0 + dy

    return lambda x: np.sort(x, axis=1), draw(3, 6), backward


@wrong(
    "https://github.com/PrincetonUniversity/PsyNeuLink/pull/2539",
    "order",
    "invers",
    "permut",
    "argsort",
)
def permutation_applied_again():
    def backward(dy, x):
        return dy[:, [2, 0, 3, 1]]

    return lambda x: x[:, [2, 0, 3, 1]], draw(5, 4), backward


@wrong("https://github.com/pytorch/pytorch/issues/71155", "count", "mean", "1/", "divid")
def segment_mean_not_divided():
    def f(x, s):
        y = np.zeros((3, x.shape[1]))
        np.add.at(y, s, x)
        return y / np.bincount(s, minlength=3)[:, None]

    def backward(dy, x, s):
        return dy[s]

    inputs = {"x": draw(6, 4), "s": np.array([0, 1, 0, 2, 1, 0])}
    return f, inputs, backward, {"wrt": "x"}


@wrong(
    "https://github.com/HIPS/autograd/issues/242", "first", "concat", "column", "order", "places"
)
def concatenation_split_in_the_wrong_order():
    def backward(dy, a, b):
        return dy[:, 3:], dy[:, :3]

    inputs = {"a": draw(5, 3), "b": draw(5, 3, seed=1)}
    return lambda a, b: np.concatenate([a, b], axis=1), inputs, backward
