"""Fourier transforms, quadratic and bilinear forms, Gram matrices, kernels, rotations."""

import numpy as np

from .case import draw, wrong


@wrong("https://github.com/HIPS/autograd/issues/185", "x.shape[1]", "D", "8", "n", "1/8")
def fourier_real_part_divided():
    def f(x):
        return np.fft.fft(x, axis=1).real

    def backward(dy, x):
        return np.fft.ifft(dy, axis=1).real

    return f, {"x": draw(3, 8)}, backward


@wrong(
    "https://github.com/HazyResearch/flash-fft-conv/issues/24", "conj", "flip", "revers", "order"
)
def circular_convolution_without_the_conjugate():
    def f(x, w):
        return np.fft.ifft(np.fft.fft(x) * np.fft.fft(w)).real

    def backward(dy, x, w):
        d = np.fft.fft(dy)
        return np.fft.ifft(d * np.fft.fft(w)).real, np.fft.ifft(d * np.fft.fft(x)).real

    return f, {"x": draw(7), "w": draw(7, seed=1)}, backward


@wrong("https://github.com/HazyResearch/flash-fft-conv/issues/24", "n", "7", "1/7", "len", "D")
def circular_convolution_scaled_twice():
    def f(x, w):
        return np.fft.ifft(np.fft.fft(x) * np.fft.fft(w)).real

    def backward(dy, x, w):
        d = np.fft.fft(dy) / len(x)
        return np.fft.ifft(d * np.conj(np.fft.fft(w))).real

    return f, {"x": draw(7), "w": draw(7, seed=1)}, backward, {"wrt": "x"}


@wrong("https://github.com/HIPS/autograd/issues/185", "2", "1/2", "0.5")
def power_spectrum_without_its_two():
    def f(x):
        return np.abs(np.fft.fft(x, axis=1)) ** 2

    def backward(dy, x):
        z = np.fft.fft(x, axis=1)
        return (np.fft.ifft(dy * z, axis=1) * x.shape[1]).real

    return f, {"x": draw(3, 8)}, backward


@wrong("https://github.com/HIPS/autograd/issues/185", "ifft", "conj", "flip", "revers", "order")
def imaginary_part_transformed_the_same_way():
    def f(x):
        return np.fft.fft(x, axis=1).imag

    def backward(dy, x):
        return (np.fft.ifft(dy, axis=1) * x.shape[1]).imag

    return f, {"x": draw(3, 8)}, backward


@wrong("https://math.stackexchange.com/questions/3400213", "A.T", "transpos", "A + A")
def quadratic_form_of_each_row():
    def f(x, A):
        return np.einsum("ni,ij,nj->n", x, A, x)

    def backward(dy, x, A):
        return 2 * dy[:, None] * (x @ A)

    return f, {"x": draw(5, 3), "A": draw(3, 3)}, backward, {"wrt": "x"}


@wrong(
    "https://math.stackexchange.com/questions/3400213", "A.T", "transpos", "A + A", "term", "lack"
)
def distance_form_counts_one_side():
    def f(x, m, A):
        e = x - m
        return ((e @ A) * e).sum()

    def backward(x, m, A):
        e = x - m
        return e @ A.T

    return f, {"x": draw(5, 3), "m": draw(3), "A": draw(3, 3)}, backward, {"wrt": "x"}


@wrong("https://math.stackexchange.com/questions/3400213", "dy.T", "transpos", "+", "lacks")
def gram_matrix_counts_one_side():
    def f(x):
        return x @ x.T

    def backward(dy, x):
        return dy @ x

    return f, {"x": draw(5, 3)}, backward


@wrong("https://www2.imm.dtu.dk/pubdb/pubs/3274-full.html", "A.T", "+", "lacks", "term")
def square_of_a_matrix_counts_one_side():
    def f(A):
        return A @ A

    def backward(dy, A):
        return dy @ A.T

    return f, {"A": draw(4, 4)}, backward


@wrong("https://www2.imm.dtu.dk/pubdb/pubs/3274-full.html", "dy.T", "transpos", "order", "chang")
def matrix_product_on_the_wrong_side():
    def f(A, B):
        return A @ B

    def backward(dy, A, B):
        return dy @ B.T, dy @ A.T

    return f, {"A": draw(4, 4), "B": draw(4, 4, seed=1)}, backward


@wrong(
    "https://github.com/HomericIntelligence/Odyssey/issues/2724",
    "nij",
    "nkj",
    "letter",
    "transpos",
    "axes",
)
def batched_product_with_letters_swapped():
    def f(A, B):
        return np.einsum("nij,njk->nik", A, B)

    def backward(dy, A, B):
        return np.einsum("nik,njk->nij", dy, B), np.einsum("nij,nik->nkj", A, dy)

    return f, {"A": draw(5, 4, 4), "B": draw(5, 4, 4, seed=1)}, backward


@wrong(
    "https://github.com/HomericIntelligence/Odyssey/issues/2724",
    "lacks",
    "term",
    "second",
    "missing",
    "+",
)
def bilinear_form_of_one_input_counted_once():
    def f(x, W):
        return np.einsum("ni,oij,nj->no", x, W, x)

    def backward(dy, x, W):
        return np.einsum("no,oij,nj->ni", dy, W, x)

    return f, {"x": draw(5, 3), "W": draw(2, 3, 3)}, backward, {"wrt": "x"}


@wrong("https://www2.imm.dtu.dk/pubdb/pubs/3274-full.html", "det", "factor", "y")
def determinant_forgotten():
    def f(A):
        return np.linalg.det(A)

    def backward(dy, A):
        return dy * np.linalg.inv(A).T

    return f, {"A": draw(4, 4)}, backward


def pairs(x):
    return ((x[:, None] - x[None]) ** 2).sum(axis=2)


@wrong("https://www.jmlr.org/papers/v9/vandermaaten08a.html", "dy.T", "transpos", "lacks", "+")
def distances_move_one_end():
    def backward(dy, x):
        e = x[:, None] - x[None]
        return 2 * (dy[:, :, None] * e).sum(axis=1)

    return pairs, {"x": draw(5, 3)}, backward


WIDTH = 1.7


@wrong("https://scikit-learn.org/stable/modules/metrics.html", "WIDTH", "1.7", "2.89", "0.346")
def kernel_width_forgotten():
    def f(x, y):
        return np.exp(-((x - y) ** 2) / (2 * WIDTH**2))

    def backward(dy, x, y):
        k = np.exp(-((x - y) ** 2) / (2 * WIDTH**2))
        return -dy * k * (x - y)

    return f, {"x": draw(5, 3), "y": draw(5, 3, seed=1)}, backward, {"wrt": "x"}


@wrong("https://scikit-learn.org/stable/modules/metrics.html", "sign", "-1")
def kernel_derivative_with_the_sign_of_the_other_end():
    def f(x, y):
        return np.exp(-((x - y) ** 2) / (2 * WIDTH**2))

    def backward(dy, x, y):
        k = np.exp(-((x - y) ** 2) / (2 * WIDTH**2))
        d = -dy * k * (x - y) / WIDTH**2
        return d, d

    return f, {"x": draw(5, 3), "y": draw(5, 3, seed=1)}, backward


def rotate(x, angle):
    a, b = np.split(x, 2, axis=1)
    return np.concatenate(
        [a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)], axis=1
    )


@wrong("https://arxiv.org/abs/2104.09864", "sin", "sign", "angle")
def rotation_turned_forward_again():
    def backward(dy, x, angle):
        a, b = np.split(dy, 2, axis=1)
        return np.concatenate(
            [a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)], axis=1
        )

    return rotate, {"x": draw(5, 6), "angle": draw(3)}, backward, {"wrt": "x"}


def cosine_basis():
    n, k = np.arange(5), np.arange(5)[:, None]
    return np.cos(np.pi * (n + 0.5) * k / 5)


BASIS = cosine_basis()


@wrong(
    "https://docs.scipy.org/doc/scipy/reference/generated/scipy.fft.dct.html",
    "transpos",
    "BASIS.T",
    "BASIS",
)
def cosine_transform_not_transposed():
    def f(x):
        return x @ BASIS.T

    def backward(dy, x):
        return dy @ BASIS.T

    return f, {"x": draw(4, 5)}, backward
