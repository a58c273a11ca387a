"""Dense layers and small networks: forgotten slopes, sums, transposes, terms of the weights."""

# ruff: noqa: F841

import numpy as np

from .case import draw, onehot, wrong

LAM = 0.3
WEIGHTS = {"wrt": ("W", "V")}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def two_layers(W, V, x):
    return sigmoid(x @ W) @ V


def weights():
    return {"W": draw(3, 4), "V": draw(4, 2), "x": draw(7, 3)}


@wrong(
    "https://github.com/MichalDanielDobrzanski/DeepLearningPython/issues/17",
    "h*(1-h)",
    "σ′",
    "slope",
)
def hidden_slope_forgotten():
    def backward(dy, W, V, x):
        h = sigmoid(x @ W)
        dh = dy @ V.T
        return x.T @ dh, h.T @ dy

    return two_layers, weights(), backward, WEIGHTS


@wrong("https://stackoverflow.com/questions/6552851", "h*(1-h)", "σ′", "slope", "σ(h)")
def hidden_slope_of_the_activation():
    def backward(dy, W, V, x):
        h = sigmoid(x @ W)
        dh = dy @ V.T * sigmoid(h) * (1 - sigmoid(h))
        return x.T @ dh, h.T @ dy

    return two_layers, weights(), backward, WEIGHTS


@wrong("https://community.deeplearning.ai/t/71024", "h^2", "h * h")
def hidden_tanh_slope_without_the_square():
    def f(W, V, x):
        return np.tanh(x @ W) @ V

    def backward(dy, W, V, x):
        h = np.tanh(x @ W)
        return x.T @ (dy @ V.T * (1 - h)), h.T @ dy

    return f, weights(), backward, WEIGHTS


@wrong("https://community.deeplearning.ai/t/290850", "1-h^2", "h * h", "slope", "a function of")
def hidden_slope_taken_of_x_times_w():
    def f(W, V, x):
        return np.tanh(x @ W) @ V

    def backward(dy, W, V, x):
        z = x @ W
        h = np.tanh(z)
        return x.T @ (dy @ V.T * (1 - z**2)), h.T @ dy

    return f, weights(), backward, WEIGHTS


@wrong("https://community.deeplearning.ai/t/63071", "N times", "1/N", "by N", "len(x)", "too many")
def averaged_at_every_layer():
    def f(W, V, x, t):
        return 0.5 * np.sum((sigmoid(x @ W) @ V - t) ** 2) / len(x)

    def backward(W, V, x, t):
        h = sigmoid(x @ W)
        dz = (h @ V - t) / len(x)
        dh = dz @ V.T * h * (1 - h) / len(x)
        return x.T @ dh, h.T @ dz

    return f, {**weights(), "t": draw(7, 2)}, backward, {**WEIGHTS, "upstream": False}


@wrong("https://github.com/Bot-Academy/NeuralNetworkFromScratch/pull/3", "y*(1-y)", "σ′", "slope")
def output_slope_forgotten():
    def f(W, x, t):
        return 0.5 * np.sum((sigmoid(x @ W) - t) ** 2)

    def backward(W, x, t):
        return x.T @ (sigmoid(x @ W) - t)

    inputs = {"W": draw(3, 4), "x": draw(7, 3), "t": sigmoid(draw(7, 4))}
    return f, inputs, backward, {"wrt": "W", "upstream": False}


@wrong("https://github.com/rasbt/stat453-deep-learning-ss21/issues/5", "axis 0", "axis=0")
def bias_gradient_summed_to_one_number():
    def f(x, W, b):
        return x @ W + b

    def backward(dy, x, W, b):
        return dy @ W.T, x.T @ dy, np.full_like(b, dy.sum())

    return f, {"x": draw(7, 3), "W": draw(3, 4), "b": draw(4)}, backward


@wrong("https://github.com/kvfrans/notes/issues/5", "1/N", "by N", "sum", "len(")
def bias_gradient_averaged():
    def f(x, W, b):
        return x @ W + b

    def backward(dy, x, W, b):
        return dy @ W.T, x.T @ dy, dy.mean(axis=0)

    return f, {"x": draw(7, 3), "W": draw(3, 4), "b": draw(4)}, backward


@wrong("https://github.com/jimfleming/differentiation/issues/1", "sum & axis 0", "sum(axis=0)")
def bias_gradient_not_summed():
    def f(x, W, b):
        return x @ W + b

    def backward(dy, x, W, b):
        return dy @ W.T, x.T @ dy, dy

    return f, {"x": draw(7, 3), "W": draw(3, 4), "b": draw(4)}, backward


@wrong("https://github.com/pytorch/pytorch/issues/2330", "upstream", "dy", "whatever")
def bias_gradient_from_the_input():
    def f(x, g, b):
        return x * g + b

    def backward(dy, x, g, b):
        return dy * g, (dy * x).sum(axis=0), x.sum(axis=0)

    return f, {"x": draw(7, 4), "g": draw(4), "b": draw(4)}, backward


@wrong("https://github.com/MarkusAI/rA9/issues/95", "transpos", ".T")
def weight_gradient_transposed():
    def f(x, W):
        return x @ W

    def backward(dy, x, W):
        return dy @ W.T, dy.T @ x

    return f, {"x": draw(7, 4), "W": draw(4, 4)}, backward


@wrong("https://github.com/MarkusAI/rA9/issues/95", "transpos", "W.T", "Wᵀ")
def input_gradient_without_the_transpose():
    def f(x, W):
        return x @ W

    def backward(dy, x, W):
        return dy @ W, x.T @ dy

    return f, {"x": draw(7, 4), "W": draw(4, 4)}, backward


@wrong("https://github.com/MarkusAI/rA9/issues/95", "shape", "transpos", ".T")
def weight_gradient_of_another_shape():
    def f(x, W):
        return x @ W

    def backward(dy, x, W):
        return dy @ W.T, dy.T @ x

    return f, {"x": draw(7, 3), "W": draw(3, 4)}, backward


@wrong("https://github.com/arthurdouillard/deepcourse/issues/6", "mask", "> 0", "slope", "dz")
def weight_gradient_from_the_wrong_delta():
    def f(W, V, x):
        return np.maximum(x @ W, 0) @ V

    def backward(dy, W, V, x):
        h = np.maximum(x @ W, 0)
        dh = dy @ V.T
        dz = dh * (h > 0)
        return x.T @ dh, h.T @ dy

    return f, weights(), backward, WEIGHTS


@wrong("https://github.com/jingtinghuang/CS231n-Spring-2017/issues/3", "2 *", "* 2", "2*", "LAM*W")
def weight_penalty_without_its_two():
    def f(W, x, t):
        return 0.5 * np.sum((x @ W - t) ** 2) / len(x) + LAM * np.sum(W * W)

    def backward(W, x, t):
        return x.T @ (x @ W - t) / len(x) + LAM * W

    inputs = {"W": draw(3, 4), "x": draw(7, 3), "t": draw(7, 4)}
    return f, inputs, backward, {"wrt": "W", "upstream": False}


@wrong("https://blog.csdn.net/weixin_40920228/article/details/81157771", "LAM", "term & W", "0.3")
def weight_penalty_forgotten():
    def f(W, x, t):
        return 0.5 * np.sum((x @ W - t) ** 2) / len(x) + 0.5 * LAM * np.sum(W * W)

    def backward(W, x, t):
        return x.T @ (x @ W - t) / len(x)

    inputs = {"W": draw(3, 4), "x": draw(7, 3), "t": draw(7, 4)}
    return f, inputs, backward, {"wrt": "W", "upstream": False}


@wrong("https://github.com/mbadry1/DeepLearning.ai-Summary/issues/2", "1/N", "len(x)", "N", "coef")
def weight_penalty_not_averaged():
    def f(W, x, t):
        return (0.5 * np.sum((x @ W - t) ** 2) + 0.5 * LAM * np.sum(W * W)) / len(x)

    def backward(W, x, t):
        return x.T @ (x @ W - t) / len(x) + LAM * W

    inputs = {"W": draw(3, 4), "x": draw(7, 3), "t": draw(7, 4)}
    return f, inputs, backward, {"wrt": "W", "upstream": False}


@wrong("https://huggingface.co/datasets/nvidia/Nemotron-CC-Math-v1", "len(X)", "1/N", "N")
def hinge_not_averaged_beside_its_penalty():
    def f(W, X, t):
        s = X @ W
        margins = np.maximum(0, s - (s * t).sum(axis=1, keepdims=True) + 1) * (1 - t)
        return margins.sum() / len(X) + LAM * np.sum(W * W)

    def backward(W, X, t):
        s = X @ W
        m = ((s - (s * t).sum(axis=1, keepdims=True) + 1) > 0) * (1 - t)
        m = m - t * m.sum(axis=1, keepdims=True)
        return X.T @ m + 2 * LAM * W

    inputs = {"W": draw(3, 4), "X": draw(5, 3), "t": onehot(4, 0, 2, 1, 3, 2)}
    return f, inputs, backward, {"wrt": "W", "upstream": False}


@wrong("https://huggingface.co/datasets/nvidia/Nemotron-CC-Math-v1", "m.sum", "count", "Σ", "sum")
def hinge_counts_the_right_class_once():
    def f(W, X, t):
        s = X @ W
        margins = np.maximum(0, s - (s * t).sum(axis=1, keepdims=True) + 1) * (1 - t)
        return margins.sum() / len(X)

    def backward(W, X, t):
        s = X @ W
        m = ((s - (s * t).sum(axis=1, keepdims=True) + 1) > 0) * (1 - t)
        m = m - t
        return X.T @ m / len(X)

    inputs = {"W": draw(3, 4), "X": draw(5, 3), "t": onehot(4, 0, 2, 1, 3, 2)}
    return f, inputs, backward, {"wrt": "W", "upstream": False}


@wrong("https://stats.stackexchange.com/questions/239943", "x.T", "xᵀ", "tied", "second", "lacks")
def tied_weights_one_use_forgotten():
    def f(W, x):
        return 0.5 * np.sum((sigmoid(x @ W) @ W.T - x) ** 2)

    def backward(W, x):
        h = sigmoid(x @ W)
        return (h @ W.T - x).T @ h

    inputs = {"W": draw(5, 3), "x": draw(7, 5)}
    return f, inputs, backward, {"wrt": "W", "upstream": False}


@wrong("https://github.com/Dao-AILab/quack/pull/53", "term dy", "+ dy", "lacks")
def residual_path_forgotten():
    def f(x, W):
        return x + np.tanh(x @ W)

    def backward(dy, x, W):
        h = np.tanh(x @ W)
        dz = dy * (1 - h * h)
        return dz @ W.T, x.T @ dz

    return f, {"x": draw(7, 4), "W": draw(4, 4)}, backward


@wrong("https://github.com/pytorch/pytorch/issues/1787", "sum & axis 1", "sum(axis=1")
def broadcast_column_not_summed():
    def backward(dy, a, b):
        return dy * b, (dy * a).sum(axis=0, keepdims=True)

    return lambda a, b: a * b, {"a": draw(5, 1), "b": draw(1, 4)}, backward


@wrong("https://github.com/tracel-ai/burn/issues/181", "sum & axis 0", "sum(axis=0")
def broadcast_row_not_summed():
    def backward(dy, x, W, b):
        return dy @ W.T, x.T @ dy, dy[:1]

    inputs = {"x": draw(2, 3), "W": draw(3, 4), "b": draw(1, 4)}
    return lambda x, W, b: x @ W + b, inputs, backward


@wrong("https://github.com/pytorch/pytorch/issues/107007", "mean(dy", "dy.mean", "sum to zero")
def centring_forgotten():
    def backward(dy, x):
        return dy

    return lambda x: x - x.mean(axis=0), draw(5, 4), backward


@wrong("https://github.com/explosion/thinc/pull/492", "not linear", "dy", "upstream")
def untouched_columns_return_the_input():
    def f(x):
        return np.concatenate([2 * x[:, :2], x[:, 2:]], axis=1)

    def backward(dy, x):
        return np.concatenate([2 * dy[:, :2], x[:, 2:]], axis=1)

    return f, draw(5, 4), backward


@wrong("https://github.com/Bot-Academy/NeuralNetworkFromScratch/pull/3", "writes into W", "copy")
def weights_updated_inside_backward():
    def backward(dy, W, V, x):
        h = sigmoid(x @ W)
        dV = h.T @ dy
        V -= 0.1 * dV
        return x.T @ (dy @ V.T * h * (1 - h)), dV

    return two_layers, weights(), backward, WEIGHTS


@wrong("https://github.com/zou-group/textgrad/pull/200", "2 times", "twice", "by 0.5", "2*")
def gradient_added_twice():
    def f(x, W):
        return x @ W

    def backward(dy, x, W):
        dW = np.zeros_like(W)
        dW += x.T @ dy
        dW += x.T @ dy
        return dy @ W.T, dW

    return f, {"x": draw(7, 3), "W": draw(3, 4)}, backward


@wrong("https://github.com/sebgao/cTensor/issues/5", "other order", "changed places")
def gradients_returned_in_the_wrong_order():
    def f(a, b):
        return a * b + a

    def backward(dy, a, b):
        return dy * a, dy * (b + 1)

    return f, {"a": draw(5, 4), "b": draw(5, 4, seed=1)}, backward


@wrong("https://github.com/bighuang624/Andrew-Ng-Deep-Learning-notes/issues/10", "2 & h", "h", "2")
def two_slips_in_two_gradients():
    def f(W, V, x):
        return np.tanh(x @ W) @ V

    def backward(dy, W, V, x):
        h = np.tanh(x @ W)
        return x.T @ (dy @ V.T * (1 - h)), h.T @ dy * 2

    return f, weights(), backward, WEIGHTS
