"""Every kernel in plain NumPy: the definition of what the jitted set computes.

Matrix products   affine · affine_grad · matmul · matmul_nt · matmul_tn · row_sq_norms
MLPs              mlp · mlp_backward · mlp_backprop: consecutive dense layers with activations
Convolution       conv2d · conv2d_input_grad · conv2d_weight_grad · bias_grad
                  conv2d_relu · conv2d_input_grad_relu: fused with the adjacent ReLU
Pooling           max_pool2d · max_pool2d_backward
Normalisation     batch_norm · group_norm, each with its backward
Images            warp
Activations       relu · elu · sigmoid · tanh, each with its backward · erfc
Losses            mse · l1 · bce · bce_with_logits: (loss, gradient) in one pass
Optimizer steps   sgd · momentum · nesterov · rmsprop · adam · adamw: update all params of a
                  model in one call, in place, and clear their gradients

A convolution's ``stride`` is (down, right) and its ``pad`` (top, bottom, left, right). Its taps are
``dilation`` pixels apart, (down, right). In ``groups``, each with its share of the channels of both
images, channels are convolved with those of their own group only.

The products are NumPy's, most often OpenBLAS's; ``@fork_safe`` lets no other thread fork during one.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyae.kernels.expressions import numpy_function
from tinyae.kernels.fork_safe import fork_safe
from tinyae.kernels.functions import FUNCTIONS
from tinyae.kernels.special import erfc, sigmoid  # noqa: F401  they are also kernels
from tinyae.kernels.windows import extent, in_groups
from tinyae.param import Array

Pair = tuple[int, int]
Pad = tuple[int, int, int, int]

# --- matrix products ------------------------------------------------------------------------


@fork_safe
def affine(x: Array, W: Array, b: Array) -> Array:
    """y = x Wᵀ + b      x (N, I)   W (O, I)   b (O,)   y (N, O)"""
    return x @ W.T + b


def row_sq_norms(W: Array, scale: Array, dW: Array) -> Array:
    """wⱼ = Σᵢ W²ⱼᵢ, and the gradient of ½ Σⱼ scaleⱼ wⱼ: dWⱼᵢ += scaleⱼ Wⱼᵢ      W (O, I)"""
    dW += scale[:, None] * W
    return np.einsum("ji,ji->j", W, W)


@fork_safe
def affine_grad(dy: Array, x: Array, dW: Array, db: Array) -> None:
    """dW += dyᵀ x      db += Σₙ dyₙ"""
    dW += dy.T @ x
    db += dy.sum(axis=0)


@fork_safe
def matmul(a: Array, b: Array) -> Array:
    """A B      a (M, K)   b (K, N)   → (M, N)"""
    return a @ b


@fork_safe
def matmul_nt(a: Array, b: Array) -> Array:
    """A Bᵀ     a (M, K)   b (N, K)   → (M, N)"""
    return a @ b.T


@fork_safe
def matmul_tn(a: Array, b: Array) -> Array:
    """Aᵀ B     a (K, M)   b (K, N)   → (M, N)"""
    return a.T @ b


# --- convolution ----------------------------------------------------------------------------


def _windows(x: Array, kernel: Pair, stride: Pair, pad: Pad, dilation: Pair) -> Array:
    """Every patch under the kernel, as a view (N, C, H′, W′, kh, kw) of the padded image."""
    top, bottom, left, right = pad
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(x, extent(kernel, dilation), axis=(2, 3))
    return windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


@fork_safe
def conv2d(
    x: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    b: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """y[n,o,i,j] = b[o] + Σ_{c,u,v} W[o,c,u,v] · xᵖ[n,c, i·s+u·d, j·s+v·d]

    x (N, C, H, W)   W (O, C/groups, kh, kw)   y (N, O, H′, W′)   xᵖ is x with zeros around it
    """
    if groups > 1:
        y = in_groups(conv2d, x, W, groups, stride, pad, None, dilation)
    else:
        windows = _windows(x, (W.shape[2], W.shape[3]), stride, pad, dilation)
        y = np.tensordot(windows, W, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
    return y if b is None else y + b[:, None, None]


@fork_safe
def conv2d_input_grad(
    dy: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    size: Pair,
    b: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """dxᵖ[n,c, i·s+u·d, j·s+v·d] += Σ_o W[o,c,u,v] · dy[n,o,i,j]; dx = dxᵖ without padding, + b[c]

    This is the adjoint of :func:`conv2d` in x, and the forward map of a transposed convolution.
    dy (N, O, H′, W′)   W (O, C/groups, kh, kw)   dx (N, C, *size)
    """
    if groups > 1:
        dx = in_groups(conv2d_input_grad, dy, W, groups, stride, pad, size, None, dilation)
        return dx if b is None else dx + b[:, None, None]
    (top, bottom, left, right), (down, across) = pad, stride
    n, _, rows, columns = dy.shape
    _, channels, kh, kw = W.shape
    height, width = size
    dx = np.zeros((n, channels, top + height + bottom, left + width + right), dy.dtype)
    patches = np.tensordot(dy, W, axes=(1, 0))  # (N, H′, W′, C, kh, kw)
    for u in range(kh):
        for v in range(kw):
            i, j = u * dilation[0], v * dilation[1]
            dx[:, :, i : i + down * rows : down, j : j + across * columns : across] += patches[
                ..., u, v
            ].transpose(0, 3, 1, 2)
    dx = dx[:, :, top : top + height, left : left + width]
    return dx if b is None else dx + b[:, None, None]


def conv2d_relu(
    x: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    b: Array | None = None,
    relu: bool = False,
    relu_mask: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """:func:`conv2d` fused with a ReLU.

    With ``relu``, the result is relu(y): the forward pass of the next layer. With ``relu_mask``, a
    ReLU's output in y's shape, it is relu_backward(y, relu_mask): the backward pass of that ReLU.
    """
    return _after_relu(conv2d(x, W, stride, pad, b, dilation, groups), relu, relu_mask)


def conv2d_input_grad_relu(
    dy: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    size: Pair,
    b: Array | None = None,
    relu: bool = False,
    relu_mask: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """:func:`conv2d_input_grad` fused with a ReLU, as in :func:`conv2d_relu`."""
    dx = conv2d_input_grad(dy, W, stride, pad, size, b, dilation, groups)
    return _after_relu(dx, relu, relu_mask)


def _after_relu(y: Array, forward: bool, mask: Array | None) -> Array:
    y = relu(y) if forward else y
    return y if mask is None else relu_backward(y, mask)


@fork_safe
def conv2d_weight_grad(
    x: Array,
    dy: Array,
    stride: Pair,
    pad: Pad,
    kernel: Pair,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """dW[o,c,u,v] = Σ_{n,i,j} dy[n,o,i,j] · xᵖ[n,c, i·s+u·d, j·s+v·d]

    x (N, C, H, W)   dy (N, O, H′, W′)   dW (O, C/groups, *kernel)
    """
    if groups > 1:
        parts = zip(np.split(x, groups, axis=1), np.split(dy, groups, axis=1))
        more = stride, pad, kernel, dilation
        return np.concatenate([conv2d_weight_grad(u, v, *more) for u, v in parts])
    windows = _windows(x, kernel, stride, pad, dilation)
    return np.tensordot(dy, windows, axes=((0, 2, 3), (0, 2, 3)))


def bias_grad(dy: Array, db: Array) -> None:
    """db[o] += Σ_{n,i,j} dy[n,o,i,j]"""
    db += dy.sum(axis=(0, 2, 3))


# --- pooling --------------------------------------------------------------------------------


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)
) -> tuple[Array, Array]:
    """The largest value in each window, and its position in the window (0 … kh·kw − 1).

    x (N, C, H, W)   y and index (N, C, H′, W′). Of equal values, the first counts.
    """
    windows = _windows(x, kernel, stride, (0, 0, 0, 0), dilation)
    windows = windows.reshape(*windows.shape[:4], kernel[0] * kernel[1])
    index = windows.argmax(axis=-1)
    return np.take_along_axis(windows, index[..., None], axis=-1)[..., 0], index


def max_pool2d_backward(
    dy: Array, index: Array, kernel: Pair, stride: Pair, size: Pair, dilation: Pair = (1, 1)
) -> Array:
    """dx[argmax] += dy: each dy goes to its window's largest entry.      dx (N, C, *size)"""
    n, channels, rows, columns = dy.shape
    dx = np.zeros((n, channels, *size), dy.dtype)
    for position in range(kernel[0] * kernel[1]):
        u, v = divmod(position, kernel[1])
        i, j = u * dilation[0], v * dilation[1]
        dx[:, :, i : i + stride[0] * rows : stride[0], j : j + stride[1] * columns : stride[1]] += (
            np.where(index == position, dy, 0)
        )
    return dx


# --- normalisation --------------------------------------------------------------------------


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, relu: bool = False
) -> tuple[Array, Array, Array, Array]:
    """y = γ x̂ + β with x̂ = (x − μ) / √(v + ε), or the ReLU of it; returns y, x̂, μ and v.

    x, y, x̂ (N, C, …)   γ, β, μ, v (C,): mean and variance of a channel over the batch and positions
    """
    axes = 0, *range(2, x.ndim)
    mean = x.mean(axis=axes, keepdims=True)
    c = x - mean
    variance = (c * c).mean(axis=axes, keepdims=True)
    xhat = c / np.sqrt(variance + eps)
    y = xhat * gamma.reshape(mean.shape[1:]) + beta.reshape(mean.shape[1:])
    y = _after_relu(y, relu, None)
    return y, xhat, mean.ravel(), variance.ravel()


def batch_norm_backward(
    dy: Array,
    xhat: Array,
    sigma: Array,
    gamma: Array,
    dgamma: Array,
    dbeta: Array,
    relu_mask: Array | None = None,
) -> Array:
    """dx = γ (dy − mean dy − x̂ mean(dy x̂)) / σ;   dγ += Σ dy x̂,   dβ += Σ dy

    σ, γ, dγ, dβ (C,). With ``relu_mask``, the output of a ReLU after it, dy is that of the ReLU.
    """
    dy = dy if relu_mask is None else relu_backward(dy, relu_mask)
    axes = 0, *range(2, dy.ndim)
    wide = (-1, *[1] * (dy.ndim - 2))
    along = dy * xhat
    dbeta += dy.sum(axis=axes)
    dgamma += along.sum(axis=axes)
    centered = dy - dy.mean(axis=axes, keepdims=True)
    return (centered - xhat * along.mean(axis=axes, keepdims=True)) * (gamma / sigma).reshape(wide)


def group_norm(
    x: Array, groups: int, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array, Array]:
    """y = γ x̂ + β, x̂ = (x − μ)/σ, σ = √(v + ε), each group of C/G channels with its own μ and v.

    x, y (N, C, …)   γ, β (C,)   x̂ (N, G, C/G, L)   σ (N, G, 1, 1)
    """
    u = x.reshape(len(x), groups, x.shape[1] // groups, -1)
    c = u - u.mean(axis=(2, 3), keepdims=True)
    sigma = np.sqrt(np.square(c).mean(axis=(2, 3), keepdims=True) + eps)
    xhat = c / sigma
    y = xhat * gamma.reshape(groups, -1, 1) + beta.reshape(groups, -1, 1)
    return y.reshape(x.shape), xhat, sigma


def group_norm_backward(
    dy: Array, xhat: Array, sigma: Array, gamma: Array, dgamma: Array, dbeta: Array
) -> Array:
    """dx = (g − mean g − x̂ mean(g x̂))/σ, g = γ dy; adds Σ dy x̂ to dγ and Σ dy to dβ."""
    d = dy.reshape(xhat.shape)
    dbeta += d.sum(axis=(0, 3)).ravel()
    dgamma += (d * xhat).sum(axis=(0, 3)).ravel()
    g = d * gamma.reshape(xhat.shape[1], -1, 1)
    mean, slope = (a.mean(axis=(2, 3), keepdims=True) for a in (g, g * xhat))
    dx: Array = (g - mean - xhat * slope) / sigma
    return dx.reshape(dy.shape)


# --- images ---------------------------------------------------------------------------------


@fork_safe
def warp(x: Array, maps: Array) -> Array:
    """y[n, c, i, j] = x[n, c] at the position maps[n] (i, j, 1), by cubic convolution.

    x, y (N, C, H, W)   maps (N, 2, 3). x is zero outside; y is clipped to the range of its image.
    """
    n, _, rows, columns = x.shape
    i, j = np.mgrid[:rows, :columns].reshape(2, -1).astype(x.dtype)
    at = maps @ np.array([i, j, np.ones_like(i)])  # (N, 2, H·W)
    at = np.clip(at, -3, max(rows, columns) + 2)  # beyond that, x is zero
    first = np.floor(at)
    f = at - first
    weights = np.array(
        [
            f * (f * (2 - f) - 1) / 2,
            f * f * (3 * f - 5) / 2 + 1,
            f * (f * (4 - 3 * f) + 1) / 2,
            f * f * (f - 1) / 2,
        ]
    )
    y = np.zeros((*x.shape[:2], rows * columns), x.dtype)
    sample = np.arange(n)[:, None]
    for k in range(4):
        for l in range(4):
            a, b = (first[:, axis].astype(int) - 1 + step for axis, step in enumerate((k, l)))
            inside = (a >= 0) & (a < rows) & (b >= 0) & (b < columns)
            value = x[sample, :, np.clip(a, 0, rows - 1), np.clip(b, 0, columns - 1)]
            weight = weights[k, :, 0] * weights[l, :, 1] * inside
            y += weight[:, None] * value.transpose(0, 2, 1)
    low, high = (f(x, axis=(2, 3))[:, :, None] for f in (np.min, np.max))
    return np.clip(y, low, high).reshape(x.shape)


# --- activations ----------------------------------------------------------------------------


def relu(x: Array) -> Array:
    """max(x, 0)"""
    return np.maximum(x, 0)


def relu_backward(dy: Array, y: Array) -> Array:
    """dy · [y > 0], y = max(x, 0); NaN where y is NaN"""
    return dy * np.where(y > 0, 1, y)


def elu(x: Array, alpha: float) -> Array:
    """x if x > 0 else α (eˣ − 1)"""
    return np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)))


def elu_backward(dy: Array, x: Array, alpha: float) -> Array:
    """dy · (1 if x > 0 else α eˣ)"""
    return dy * np.where(x > 0, 1, x.dtype.type(alpha) * np.exp(np.minimum(x, 0)))


def silu(x: Array) -> Array:
    """x σ(x); below −800, where σ is 0 in every precision, x is bounded"""
    return np.maximum(x, -800.0) * sigmoid(x)


def silu_backward(dy: Array, x: Array) -> Array:
    """dx = dy σ(x) (1 + x (1 − σ(x)))"""
    s = sigmoid(x)
    return dy * (s * (1 + np.clip(x, -800.0, 800.0) * (1 - s)))


def sigmoid_backward(dy: Array, y: Array) -> Array:
    """dy · y (1 − y)"""
    return dy * y * (1 - y)


def tanh(x: Array) -> Array:
    """(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)"""
    return np.tanh(x)


def tanh_backward(dy: Array, y: Array) -> Array:
    """dy · (1 − y²)"""
    return dy * (1 - y * y)


# --- losses: the mean over all elements, and its gradient ------------------------------------


def mse(y: Array, target: Array) -> tuple[float, Array]:
    """L = mean (y − t)²      dy = 2 (y − t) / n"""
    d = y - target
    return float(np.square(d).mean(dtype=np.float64)), d * (2 / d.size)


def l1(y: Array, target: Array) -> tuple[float, Array]:
    """L = mean |y − t|      dy = sign(y − t) / n"""
    d = y - target
    return float(np.abs(d).mean(dtype=np.float64)), np.sign(d) / d.size


def bce(y: Array, target: Array, eps: float) -> tuple[float, Array]:
    """L = −mean [t ln y + (1 − t) ln(1 − y)]      dy = (y − t) / (y (1 − y)) / n

    with y clipped to [eps, 1 − eps] first.
    """
    y = np.clip(y, eps, 1 - eps)
    L = -(target * np.log(y) + (1 - target) * np.log1p(-y))
    return float(L.mean(dtype=np.float64)), (y - target) / (y * (1 - y)) / y.size


def bce_with_logits(y: Array, target: Array) -> tuple[float, Array]:
    """L = mean [max(y, 0) − y t + ln(1 + e^−|y|)]      dy = (σ(y) − t) / n"""
    L = np.maximum(y, 0) - y * target + np.log1p(np.exp(-np.abs(y)))
    return float(L.mean(dtype=np.float64)), (sigmoid(y) - target) / y.size


# --- multilayer perceptrons ------------------------------------------------------------------


LINEAR = "linear"  # no activation


class MLPLayer(NamedTuple):
    """A dense layer and its activation f: LINEAR or a name in ``functions.FUNCTIONS``.

    All arrays are C-contiguous and of one dtype.
    """

    W: Array  # (O, I)
    b: Array  # (O,)
    dW: Array
    db: Array
    f: str
    alpha: float = 1.0  # of the activation, if it has one


class MLPLayers(list[MLPLayer]):
    """Consecutive layers: the outputs of each are the inputs of the next."""

    plans: Any = None  # the jitted set's plan cache, which holds addresses

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)  # a copy lies elsewhere

    @functools.cached_property
    def cached_x(self) -> list[int]:
        """The layers whose activation has a slope in x, by index."""
        names = [layer.f for layer in self]
        return [k for k, f in enumerate(names) if f != LINEAR and FUNCTIONS[f].cache == "x"]


def mlp(layers: MLPLayers, x: Array) -> list[Array]:
    """y of each layer: y₁ = f₁(x W₁ᵀ + b₁), y₂ = f₂(y₁ W₂ᵀ + b₂), …      x (N, I₁)   yₗ (N, Oₗ)

    These are followed by zₗ = yₗ₋₁ Wₗᵀ + bₗ of each layer whose fₗ′ needs it (``layers.cached_x``).
    """
    ys, zs = [], []
    for W, b, _, _, f, alpha in layers:
        x = affine(x, W, b)
        if f != LINEAR:
            if FUNCTIONS[f].cache == "x":
                zs.append(x)
            x = numpy_function(FUNCTIONS[f].f)(x, alpha)
        ys.append(x)
    return ys + zs


def mlp_backward(
    layers: MLPLayers, x: Array, ys: list[Array], dy: Array, input_grad: bool
) -> Array | None:
    """From the last layer to the first, with y₀ = x and dx = dy₀:

    gₗ = dyₗ ∘ fₗ′      dWₗ += gₗᵀ yₗ₋₁      dbₗ += Σₙ gₗ      dyₗ₋₁ = gₗ Wₗ

    ``ys`` is the result of :func:`mlp`. dx is computed and returned only if ``input_grad`` is true.
    """
    caches = ys[: len(layers)]
    for k, z in zip(layers.cached_x, ys[len(layers) :]):
        caches[k] = z
    for k in reversed(range(len(layers))):
        W, _, dW, db, f, alpha = layers[k]
        if f != LINEAR:
            dy = dy * numpy_function(FUNCTIONS[f].slope)(caches[k], alpha)
        affine_grad(dy, ys[k - 1] if k else x, dW, db)
        if k or input_grad:
            dy = matmul(dy, W)
    return dy if input_grad else None


_LOSSES = {
    "mse": lambda y, target: mse(y, target),
    "l1": lambda y, target: l1(y, target),
    "bce_with_logits": lambda y, target: bce_with_logits(y, target),
}


def mlp_backprop(
    layers: MLPLayers, x: Array, target: Array, loss: str, per_sample: bool, input_grad: bool
) -> tuple[float, Array | None]:
    """Forward pass, loss and backward pass; adds to each dW and db, and returns L and dx.

    ``loss`` is "mse", "l1" or "bce_with_logits"; the target has the shape of the last y, and N ≥ 1.
    L is the mean over all elements or, with ``per_sample``, the mean over samples of the sum over
    features. dx is None unless ``input_grad`` is true.
    """
    ys = mlp(layers, x)
    L, dy = _LOSSES[loss](ys[len(layers) - 1], target)
    features = dy.shape[1] if per_sample else 1
    return L * features, mlp_backward(layers, x, ys, dy * dy.dtype.type(features), input_grad)


# --- optimizer steps: update θ in place, then clear the gradient -----------------------------


class ParamGroup(list[tuple[Array, ...]]):
    """One tuple for each Param: its value, its gradient, and the optimizer's moments of it."""

    table: Any = None  # the jitted set's table of these arrays' addresses
    decays: bool = True  # whether weight decay and L2 pull these values to zero

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)  # a copy lies elsewhere


def sgd(group: ParamGroup, learning_rate: float) -> None:
    """θ ← θ − η g"""
    for value, grad in group:
        value -= learning_rate * grad
        grad.fill(0)


def momentum(group: ParamGroup, learning_rate: float, mu: float) -> None:
    """v ← μ v + g      θ ← θ − η v"""
    for value, grad, v in group:
        v *= mu
        v += grad
        value -= learning_rate * v
        grad.fill(0)


def nesterov(group: ParamGroup, learning_rate: float, mu: float) -> None:
    """v ← μ v + g      θ ← θ − η (g + μ v)"""
    for value, grad, v in group:
        v *= mu
        v += grad
        value -= learning_rate * (grad + mu * v)
        grad.fill(0)


def rmsprop(group: ParamGroup, learning_rate: float, rho: float, eps: float) -> None:
    """s ← ρ s + (1 − ρ) g²      θ ← θ − η g / (√s + ε)"""
    for value, grad, s in group:
        s *= rho
        s += (1 - rho) * grad * grad
        value -= learning_rate * grad / (np.sqrt(s) + eps)
        grad.fill(0)


def adam(
    group: ParamGroup, learning_rate: float, beta1: float, beta2: float, eps: float, t: int
) -> None:
    """m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
    θ ← θ − η m̂ / (√v̂ + ε)       m̂ = m / (1 − β₁ᵗ)   v̂ = v / (1 − β₂ᵗ)
    """
    for value, grad, m, v in group:
        m *= beta1
        m += (1 - beta1) * grad
        v *= beta2
        v += (1 - beta2) * grad * grad
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        value -= learning_rate * m_hat / (np.sqrt(v_hat) + eps)
        grad.fill(0)


def adamw(
    group: ParamGroup,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    t: int,
) -> None:
    """θ ← θ − η λ θ, then an :func:`adam` step: the decay does not enter the moments."""
    for value, *_ in group:
        value *= 1 - learning_rate * weight_decay
    adam(group, learning_rate, beta1, beta2, eps, t)
