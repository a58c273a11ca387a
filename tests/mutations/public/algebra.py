"""Matrices: quadratic forms, inverses, determinants, einsum letters, sums along an axis."""

import numpy as np

from .case import draw, wrong


def well_conditioned(n, seed=0):
    return draw(n, n, seed=seed) * 0.3 + 2 * np.eye(n)


@wrong("https://math.stackexchange.com/questions/189434", "A.T", "Aᵀ", "transpos")
def quadratic_form_of_a_symmetric_matrix():
    def backward(x, A):
        return 2 * A @ x

    return (
        lambda x, A: x @ A @ x,
        {"x": draw(4), "A": draw(4, 4)},
        backward,
        {
            "wrt": "x",
            "upstream": False,
        },
    )


@wrong("https://math.stackexchange.com/questions/189434", "A.T", "Aᵀ", "lacks", "transpos")
def quadratic_form_one_half():
    def f(x, A):
        return ((x @ A) * x).sum(axis=1)

    def backward(dy, x, A):
        return dy[:, None] * (x @ A)

    return f, {"x": draw(5, 4), "A": draw(4, 4)}, backward, {"wrt": "x"}


@wrong("https://math.stackexchange.com/questions/4291445", "transpos", "outer", "x.T")
def quadratic_form_of_the_matrix_transposed():
    def f(x, y, A):
        return x @ A @ y

    def backward(x, y, A):
        return np.outer(y, x)

    inputs = {"x": draw(4), "y": draw(4, seed=1), "A": draw(4, 4)}
    return f, inputs, backward, {"wrt": "A", "upstream": False}


@wrong("https://github.com/Theano/Theano/issues/2066", "transpos", ".T")
def inverse_without_transposes():
    def backward(dy, A):
        B = np.linalg.inv(A)
        return -B @ dy @ B

    return np.linalg.inv, well_conditioned(4), backward


@wrong("https://github.com/pytorch/pytorch/pull/197010", "sign", "-1")
def inverse_without_minus():
    def backward(dy, A):
        B = np.linalg.inv(A)
        return B.T @ dy @ B.T

    return np.linalg.inv, well_conditioned(4), backward


@wrong("https://github.com/HIPS/autograd/pull/56", "transpos", ".T")
def log_determinant_not_transposed():
    def f(A):
        return np.linalg.slogdet(A)[1]

    def backward(A):
        return np.linalg.inv(A)

    return f, well_conditioned(4), backward, {"upstream": False}


@wrong("https://github.com/jax-ml/jax/issues/1458", "sign", "-1")
def solve_matrix_gradient_without_minus():
    def f(A, b):
        return np.linalg.solve(A, b)

    def backward(dy, A, b):
        db = np.linalg.solve(A.T, dy)
        return np.outer(db, f(A, b)), db

    return f, {"A": well_conditioned(4), "b": draw(4)}, backward


@wrong("https://math.stackexchange.com/questions/4563568", "transpos", ".T")
def trace_gradient_not_transposed():
    def f(X, A):
        return np.trace(X @ A @ X)

    def backward(X, A):
        return A @ X + X @ A

    return f, {"X": draw(4, 4), "A": draw(4, 4, seed=1)}, backward, {"wrt": "X", "upstream": False}


@wrong(
    "https://github.com/HIPS/autograd/issues/242", "transpos", "letters", "order", "axes", "swap"
)
def einsum_letters_swapped():
    def f(x, W):
        return np.einsum("nij,jk->nik", x, W)

    def backward(dy, x, W):
        return np.einsum("nik,jk->nij", dy, W), np.einsum("nij,nik->kj", x, dy)

    return f, {"x": draw(3, 2, 4), "W": draw(4, 4)}, backward


@wrong("https://github.com/chainer/chainer/issues/4523", "reverse", "flip", "[::-1]")
def cumulative_sum_not_reversed():
    def backward(dy, x):
        return np.cumsum(dy, axis=1)

    return lambda x: np.cumsum(x, axis=1), draw(5, 6), backward


@wrong("https://github.com/rasbt/stat453-deep-learning-ss21/issues/5", "1/", "D", "mean", "divid")
def mean_along_an_axis_not_divided():
    def backward(dy, x):
        return np.repeat(dy[:, None], x.shape[1], axis=1)

    return lambda x: x.mean(axis=1), draw(5, 7), backward


@wrong("https://github.com/chainer/chainer/pull/4190", "norm", "1/y", "/ y", "divid")
def norm_gradient_not_normalised():
    def backward(dy, x):
        return dy[:, None] * x

    return lambda x: np.sqrt((x * x).sum(axis=1)), draw(5, 7), backward


@wrong("https://github.com/pytorch/pytorch/pull/29513", "2", "1/", "0.5")
def variance_without_its_two():
    def backward(dy, x):
        return dy * (x - x.mean(axis=0)) / len(x)

    return lambda x: x.var(axis=0), draw(5, 7), backward


@wrong(
    "https://github.com/PrincetonUniversity/PsyNeuLink/pull/2539",
    "order",
    "changed places",
    "operand",
    "transpos",
)
def outer_product_operands_swapped():
    def backward(dy, a, b):
        return dy.T @ b, dy @ a

    return np.outer, {"a": draw(4), "b": draw(4, seed=1)}, backward
