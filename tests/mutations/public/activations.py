"""Activations whose slope is another function's, is taken of the wrong array, or is cut short."""

# ruff: noqa: NPY002

import numpy as np

from .case import draw, wrong

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # of SELU


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@wrong("https://github.com/microsoft/knossos-ksc/pull/505", "1 - y^2", "tanh(x)")
def tanh_slope_of_the_input():
    def backward(dy, x):
        return dy * (1 - x**2)

    return np.tanh, draw(5, 7), backward


@wrong("https://github.com/apache/tvm/pull/7340", "not linear", "dy * (1", "(1 - y^2)")
def tanh_without_parentheses():
    def backward(dy, x):
        y = np.tanh(x)
        return dy * 1 - y * y

    return np.tanh, draw(5, 7), backward


@wrong("https://github.com/tenstorrent/tt-metal/issues/55349", "1 - y", "y^2", "cosh(x)")
def tanh_slope_with_one_cosh():
    def backward(dy, x):
        return dy / np.cosh(x)

    return np.tanh, draw(5, 7), backward


@wrong("https://github.com/nicklashansen/rnn_lstm_from_scratch/issues/1", "y*(1-y)", "s*(1-s)")
def sigmoid_slope_of_the_activation():
    def backward(dy, x):
        s = sigmoid(x)
        return dy * sigmoid(s) * (1 - sigmoid(s))

    return sigmoid, draw(5, 7), backward


@wrong("https://github.com/farzaa/SimpleMultilayerPerceptron/pull/2", "(1-y)", "(1-s)", "y*(1-y)")
def sigmoid_slope_without_one_minus():
    def backward(dy, x):
        s = sigmoid(x)
        return dy * s

    return sigmoid, draw(5, 7), backward


@wrong("https://github.com/f-dangel/backpack/pull/76", "exp(x)", "where x ≤ 0", "x < 0", "+ 1")
def elu_slope_from_the_output():
    def f(x):
        return np.where(x > 0, x, np.exp(x) - 1)

    def backward(dy, x):
        y = np.where(x > 0, x, np.exp(x) - 1)
        return dy * np.where(x > 0, 1, np.exp(y))

    return f, draw(5, 7), backward


@wrong("https://github.com/f-dangel/backpack/pull/76", "scale", "1.0507")
def selu_without_its_scale():
    def f(x):
        return SCALE * np.where(x > 0, x, ALPHA * (np.exp(x) - 1))

    def backward(dy, x):
        return dy * np.where(x > 0, 1, ALPHA * np.exp(x))

    return f, draw(5, 7), backward


@wrong("https://github.com/tenstorrent/tt-metal/issues/6006", "alpha", "1.673", "x ≤ 0", "x < 0")
def selu_without_its_alpha():
    def f(x):
        return SCALE * np.where(x > 0, x, ALPHA * (np.exp(x) - 1))

    def backward(dy, x):
        return dy * SCALE * np.where(x > 0, 1, np.exp(x))

    return f, draw(5, 7), backward


@wrong("https://github.com/tracel-ai/burn/pull/1208", "x > 0", "x ≤ 0", "x < 0")
def leaky_relu_mask_of_the_output():
    def f(x):
        return np.where(x > 0, x, -0.2 * x)

    def backward(dy, x):
        y = np.where(x > 0, x, -0.2 * x)
        return dy * np.where(y < 0, -0.2, 1)

    return f, draw(5, 7), backward


@wrong("https://github.com/uptake/numpynet/pull/35", "0.1", "x ≤ 0", "x < 0")
def leaky_relu_drops_the_leak():
    def f(x):
        return np.where(x > 0, x, 0.1 * x)

    def backward(dy, x):
        return dy * (x > 0)

    return f, draw(5, 7), backward


@wrong("https://github.com/iamtrask/Grokking-Deep-Learning/issues/9", "x > 0", "x ≤ 0", "mask")
def relu_mask_forgotten():
    def backward(dy, x):
        return dy

    return lambda x: np.maximum(x, 0), draw(5, 7), backward


@wrong(
    "https://github.com/exacity/deeplearningbook-chinese/issues/127",
    "x > 0",
    "x <= 0",
    "x ≤ 0",
    "the mask",
)
def relu_mask_of_the_gradient():
    def backward(dy, x):
        dx = dy.copy()
        dx[dy <= 0] = 0
        return dx

    return lambda x: np.maximum(x, 0), draw(5, 7), backward


@wrong("https://github.com/harvard-edge/cs249r_book/pull/1399", "another function", "1.702")
def gelu_slope_of_the_other_approximation():
    def f(x):
        return x * sigmoid(1.702 * x)

    def backward(dy, x):
        t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
        inner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner)

    return f, draw(5, 7), backward


@wrong("https://github.com/huggingface/candle/pull/1160", "3 *", "3*0.044715", "0.134145", "* 3")
def gelu_cubic_not_differentiated():
    def f(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def backward(dy, x):
        t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
        inner = np.sqrt(2 / np.pi) * (1 + 0.044715 * x**2)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner)

    return f, draw(5, 7), backward


@wrong("https://github.com/tenstorrent/tt-metal/issues/6006", "x*σ′(x)", "x*s*(1-s)", "lacks & x")
def silu_product_rule_forgotten():
    def f(x):
        return x * sigmoid(x)

    def backward(dy, x):
        return dy * sigmoid(x)

    return f, draw(5, 7), backward


@wrong("https://github.com/tenstorrent/tt-metal/issues/6006", "x*(1-s)", "1+x*(1-s)", "(1-s)")
def silu_slope_without_one_minus():
    def f(x):
        return x * sigmoid(x)

    def backward(dy, x):
        s = sigmoid(x)
        return dy * s * (1 + x * s)

    return f, draw(5, 7), backward


@wrong("https://github.com/apache/mxnet/pull/3277", "x ≤ 0", "x < 0", "mask", "minimum")
def prelu_slope_gradient_unmasked():
    def f(x, a):
        return np.where(x > 0, x, a * x)

    def backward(dy, x, a):
        return dy * np.where(x > 0, 1, a), (dy * x).sum(axis=0)

    return f, {"x": draw(5, 7), "a": np.abs(draw(7))}, backward


@wrong("https://github.com/pytorch/pytorch/issues/128120", "sum over axis 0", "sum(axis=0)")
def prelu_slope_gradient_not_summed():
    def f(x, a):
        return np.where(x > 0, x, a * x)

    def backward(dy, x, a):
        return dy * np.where(x > 0, 1, a), dy * x * (x < 0)

    return f, {"x": draw(5, 7), "a": np.abs(draw(7))}, backward


@wrong("https://github.com/pytorch/pytorch/issues/7002", "mask", "|x|", "outside", "x > 1", "x < ")
def clip_passes_everything():
    def backward(dy, x):
        return dy

    return lambda x: np.clip(x, -0.8, 0.8), draw(5, 7), backward


@wrong("https://github.com/karpathy/micrograd/pull/100", "1/x", "/ x")
def log_multiplies_by_the_output():
    def backward(dy, x):
        return dy * np.log(x)

    return np.log, np.abs(draw(5, 7)), backward


@wrong("https://github.com/karpathy/nn-zero-to-hero/issues/52", "exp(x)", "where y belongs", "* y")
def exp_multiplies_by_the_input():
    def backward(dy, x):
        return dy * x

    return np.exp, draw(5, 7), backward


@wrong("https://github.com/karpathy/micrograd/pull/100", "1/b", "/ b", "b^2")
def quotient_divides_once():
    def backward(dy, a, b):
        return dy / b, -dy * a / b

    return lambda a, b: a / b, {"a": draw(5, 7), "b": draw(5, 7, seed=1)}, backward


@wrong("https://github.com/karpathy/micrograd/issues/2", "1/x", "x^2", "** 2", "- 1", "/ x")
def power_keeps_its_exponent():
    def backward(dy, x):
        return dy * 3 * x**3

    return lambda x: x**3, draw(5, 7), backward


@wrong("https://github.com/karpathy/micrograd/issues/2", "0.5 times", "by 2", "2 *", "* 2")
def used_twice_counted_once():
    def backward(dy, x):
        return dy * x

    return lambda x: x * x, draw(5, 7), backward


@wrong("https://github.com/NVlabs/tiny-cuda-nn/pull/130", "σ(x)", "sigmoid(x)", "exp(-x)")
def softplus_of_the_other_side():
    def backward(dy, x):
        return dy * sigmoid(-x)

    return lambda x: np.log1p(np.exp(x)), draw(5, 7), backward


@wrong("https://github.com/tenstorrent/tt-metal/issues/48201", "zero", "mask", "|x|", "<")
def clip_mask_empty():
    def backward(dy, x):
        return dy * ((x <= -0.8) & (x >= 0.8))

    return lambda x: np.clip(x, -0.8, 0.8), draw(5, 7), backward


@wrong("https://github.com/ddbourgin/numpy-ml/issues/94", "the factor & mask", "* mask", "[mask")
def dropout_gradient_unmasked():
    def backward(dy, x, mask):
        return dy / 0.6

    inputs = {"x": draw(5, 7), "mask": np.random.default_rng(1).random((5, 7)) < 0.6}
    return lambda x, mask: x * mask / 0.6, inputs, backward, {"wrt": "x"}


@wrong("https://github.com/kaldi-asr/kaldi/issues/2814", "0.6", "1/0.6", "keep", "1.66667")
def dropout_scale_forgotten():
    def backward(dy, x, mask):
        return dy * mask

    inputs = {"x": draw(5, 7), "mask": np.random.default_rng(1).random((5, 7)) < 0.6}
    return lambda x, mask: x * mask / 0.6, inputs, backward, {"wrt": "x"}


@wrong("https://github.com/kakaobrain/trident/pull/89", "anew", "drawn", "noise", "random")
def dropout_mask_drawn_again():
    def backward(dy, x, mask):
        mask = np.random.rand(*x.shape) < 0.6
        return dy * mask / 0.6

    inputs = {"x": draw(5, 7), "mask": np.random.default_rng(1).random((5, 7)) < 0.6}
    return lambda x, mask: x * mask / 0.6, inputs, backward, {"wrt": "x"}
