"""Norms that are divided by: weight norm, cosine, unit length, shares of a sum, ranges."""

import numpy as np

from .case import draw, wrong


def weight_norm(v, g):
    return g * v / np.sqrt((v * v).sum(axis=1, keepdims=True))


def direction():
    return {"v": draw(4, 3), "g": draw(4, 1)}


@wrong("https://github.com/flagos-ai/FlagGems/pull/177", "norm", "1/n", "√", "‖")
def weight_norm_length_not_divided():
    def backward(dy, v, g):
        n = np.sqrt((v * v).sum(axis=1, keepdims=True))
        dg = (dy * v).sum(axis=1, keepdims=True)
        dv = g / n * (dy - v * (dy * v).sum(axis=1, keepdims=True) / n**2)
        return dv, dg

    return weight_norm, direction(), backward


@wrong("https://arxiv.org/abs/1602.07868", "g", "1/n", "norm", "g / n")
def weight_norm_direction_not_scaled():
    def backward(dy, v, g):
        n = np.sqrt((v * v).sum(axis=1, keepdims=True))
        dg = (dy * v).sum(axis=1, keepdims=True) / n
        dv = g * (dy - v * (dy * v).sum(axis=1, keepdims=True) / n**2)
        return dv, dg

    return weight_norm, direction(), backward


@wrong(
    "https://arxiv.org/abs/1602.07868",
    "n**2",
    "n^2",
    "n²",
    "project",
    "orthogonal",
    "square",
    "1/n",
)
def weight_norm_projected_with_one_division():
    def backward(dy, v, g):
        n = np.sqrt((v * v).sum(axis=1, keepdims=True))
        dg = (dy * v).sum(axis=1, keepdims=True) / n
        dv = g / n * (dy - v * (dy * v).sum(axis=1, keepdims=True) / n)
        return dv, dg

    return weight_norm, direction(), backward


def unit(x):
    return x / np.sqrt((x * x).sum(axis=1, keepdims=True))


@wrong("https://github.com/gnina/libmolgrid/pull/38", "sign", "- y", "minus", "project", "orthogon")
def unit_length_projection_added():
    def backward(dy, x):
        n = np.sqrt((x * x).sum(axis=1, keepdims=True))
        y = x / n
        return (dy + y * (dy * y).sum(axis=1, keepdims=True)) / n

    return unit, {"x": draw(5, 3)}, backward


@wrong("https://github.com/gnina/libmolgrid/pull/38", "axis")
def unit_length_projection_along_the_batch():
    def backward(dy, x):
        n = np.sqrt((x * x).sum(axis=1, keepdims=True))
        y = x / n
        return (dy - y * (dy * y).sum(axis=0, keepdims=True)) / n

    return unit, {"x": draw(5, 3)}, backward


@wrong("https://math.stackexchange.com/questions/1923613", "norm", "n", "1/n", "√")
def unit_length_divided_twice():
    def backward(dy, x):
        n = np.sqrt((x * x).sum(axis=1, keepdims=True))
        y = x / n
        return (dy - y * (dy * y).sum(axis=1, keepdims=True)) / n**2

    return unit, {"x": draw(5, 3)}, backward


def cosine(a, b):
    na, nb = np.sqrt((a * a).sum(axis=1)), np.sqrt((b * b).sum(axis=1))
    return (a * b).sum(axis=1) / (na * nb)


@wrong("https://math.stackexchange.com/questions/1923613", "nb", "na", "a / na", "norm")
def cosine_projection_divided_by_the_other_norm():
    def backward(dy, a, b):
        na = np.sqrt((a * a).sum(axis=1, keepdims=True))
        nb = np.sqrt((b * b).sum(axis=1, keepdims=True))
        c = (a * b).sum(axis=1, keepdims=True) / (na * nb)
        d = dy[:, None]
        return d * (b / (na * nb) - c * a / nb**2), d * (a / (na * nb) - c * b / nb**2)

    return cosine, {"a": draw(5, 3), "b": draw(5, 3, seed=1)}, backward


@wrong("https://github.com/gnina/libmolgrid/pull/38", "sign", "-1", "minus")
def cosine_distance_with_the_sign_of_the_similarity():
    def f(a, b):
        return 1 - cosine(a, b)

    def backward(dy, a, b):
        na = np.sqrt((a * a).sum(axis=1, keepdims=True))
        nb = np.sqrt((b * b).sum(axis=1, keepdims=True))
        c = (a * b).sum(axis=1, keepdims=True) / (na * nb)
        return dy[:, None] * (b / (na * nb) - c * a / na**2)

    return f, {"a": draw(5, 3), "b": draw(5, 3, seed=1)}, backward, {"wrt": "a"}


def fraction(x):
    return x / x.sum(axis=1, keepdims=True)


@wrong(
    "https://math.stackexchange.com/questions/1923613",
    "sum",
    "constant",
    "zero along",
    "- y",
    "lack",
)
def share_of_a_sum_held_constant():
    def backward(dy, x):
        return dy / x.sum(axis=1, keepdims=True)

    return fraction, {"x": np.abs(draw(5, 3))}, backward


@wrong("https://math.stackexchange.com/questions/1923613", "s", "1/s", "sum", "y for x", "power")
def share_of_a_sum_divided_once():
    def backward(dy, x):
        s = x.sum(axis=1, keepdims=True)
        return dy / s - (dy * x).sum(axis=1, keepdims=True) / s

    return fraction, {"x": np.abs(draw(5, 3))}, backward


@wrong("https://github.com/Theano/Theano/issues/4568", "max", "constant", "largest", "orthogonal")
def scaled_by_the_largest_held_constant():
    def f(x):
        return x / x.max(axis=1, keepdims=True)

    def backward(dy, x):
        return dy / x.max(axis=1, keepdims=True)

    return f, {"x": np.abs(draw(5, 4))}, backward


@wrong("https://github.com/Theano/Theano/issues/4568", "min", "zero along", "constant", "lack")
def shifted_by_the_smallest_held_constant():
    def f(x):
        return x - x.min(axis=1, keepdims=True)

    def backward(dy, x):
        return dy

    return f, {"x": draw(5, 4)}, backward


@wrong(
    "https://numpy.org/doc/stable/reference/generated/numpy.std.html",
    "N - 1",
    "len(x) - 1",
    "ddof",
    "n - 1",
)
def standardised_by_n_where_n_minus_1_was_used():
    def f(x):
        return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)

    def backward(dy, x):
        s = x.std(axis=0, ddof=1)
        y = (x - x.mean(axis=0)) / s
        return (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)) / s

    return f, {"x": draw(6, 3)}, backward
