"""Everything that the library can differentiate: one row for each layer class, loss and model.

A row knows how to draw a small random instance and an input for it. ``row.draw(integers, rng)``
takes every shape, stride and padding from ``integers(low, high)``, both ends included, and every
value from ``rng``. In the tests hypothesis supplies ``integers``, so that a failure shrinks to the
smallest shape that fails; in ``tinyae gradcheck`` the integers come from the rng.

A new layer is a class in ``layers/`` and one row here. Then :func:`check_all`,
``tests/test_laws.py`` and ``tests/test_fusion.py`` test it. An activation needs no row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyae import gradcheck, kernels
from tinyae.data.corruption import GaussianNoise, MaskingNoise, SaltAndPepper
from tinyae.gradcheck import Report
from tinyae.layers import (
    ELU,
    GLU,
    GRU,
    LSTM,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    ConditionedUNet,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Equalized,
    Fade,
    Flatten,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    GroupNorm,
    InstanceNorm,
    LastStep,
    Layer,
    LayerNorm,
    LearntPositions,
    MaxPool1d,
    MaxPool2d,
    MinibatchDeviation,
    MultiHeadAttention,
    Pad2d,
    Parallel,
    PixelAttention,
    PixelNoise,
    PixelNorm,
    PixelShuffle,
    PReLU,
    ReLU,
    Repeat,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    SinusoidalPositions,
    Skip,
    Softmax,
    Softplus,
    StyleBlock,
    Synthesis,
    Tanh,
    TiedDense,
    Tokenwise,
    TopK,
    TransformerBlock,
    Upsample1d,
    Upsample2d,
    activation,
)
from tinyae.likelihoods import Bernoulli, Gaussian, Laplace, LearntGaussian
from tinyae.losses import BCE, L1, MSE, BCEWithLogits, Huber, Loss, WeightedLoss
from tinyae.models import (
    GAN,
    R1GAN,
    VQGAN,
    VQVAE,
    AdversarialAutoencoder,
    Autoencoder,
    BatchTopKSAE,
    Classifier,
    CodePrior,
    ConditionalVariationalAutoencoder,
    ContractiveAutoencoder,
    CycleGAN,
    DenoisingAutoencoder,
    Diffusion,
    DiffusionAutoencoder,
    GatedSAE,
    GaussianKernel,
    ImportanceWeightedAutoencoder,
    InverseMultiquadratic,
    JumpReLUSAE,
    KLSparsity,
    L1Sparsity,
    MaskedAutoencoder,
    MatryoshkaSAE,
    Model,
    NonSaturating,
    PredictClean,
    PredictNoise,
    PredictVelocity,
    ProGAN,
    Saturating,
    SparseAutoencoder,
    StarGAN,
    StyleGAN,
    TopKSAE,
    UNet,
    VariationalAutoencoder,
    WassersteinAutoencoder,
    WassersteinGAN,
    conv_encoder_decoder,
    dense_encoder_decoder,
    dense_variational,
    progan,
)
from tinyae.param import Array

Integers = Callable[[int, int], int]
Shape = tuple[int, ...]


def integers_from(rng: np.random.Generator, least: int = 0) -> Integers:
    """What a row draws its sizes with: ``integers(low, high)``, both included, and at least ``least``
    where that lies between.
    """
    return lambda low, high: int(rng.integers(min(max(low, least), high), high, endpoint=True))


def _normal(layer: Layer, shape: Shape, rng: np.random.Generator) -> Array:
    return rng.normal(size=shape)


def _uniform(model: Model, shape: Shape, rng: np.random.Generator) -> Array:
    return rng.uniform(size=shape)


@dataclass(frozen=True)
class LayerRow:
    """How to draw a layer and the shape of its input.

    ``wrong`` turns a valid input into one that the layer must reject (None: it takes any shape).
    ``two_modes`` says that calling the layer differs from ``forward`` by design; calling it must
    then give ``inference(layer, x)``. ``values`` draws an input of a given shape.
    """

    name: str
    build: Callable[[Integers, np.random.Generator], tuple[Layer, Shape]]
    wrong: Callable[[Array], Array] | None = None
    two_modes: bool = False
    inference: Callable[[Any, Array], Array] | None = None
    tangent: bool = True
    values: Callable[[Any, Shape, np.random.Generator], Array] = _normal

    def draw(self, integers: Integers, rng: np.random.Generator) -> tuple[Layer, Array]:
        """A layer and an input, both float64; parameters and input are random normal.

        The input of a layer that takes indices is int64.
        """
        layer, shape = self.build(integers, rng)
        layer = layer.astype(np.float64)
        for p in layer.params.values():  # biases too, which start at zero
            p.value[...] = rng.normal(0, 0.7, p.shape)
        return layer, self.values(layer, shape, rng)


@dataclass(frozen=True)
class LossRow:
    """How to draw a loss and the range that y and target lie in."""

    name: str
    loss: Callable[[], Loss]
    probabilities: bool = False
    zero_at_target: bool = True

    def draw(self, integers: Integers, rng: np.random.Generator) -> tuple[Loss, Array, Array]:
        """A loss, y and a target, float64."""
        shape = tuple(integers(1, 4) for _ in range(integers(1, 3)))
        y, target = rng.normal(size=shape), rng.uniform(size=shape)
        if self.probabilities:
            y = rng.uniform(0.01, 0.99, shape)
        return self.loss(), y, target


@dataclass(frozen=True)
class ModelRow:
    """How to draw a whole model and a batch for it: with labels if it has ``classes``, or a pair."""

    name: str
    build: Callable[[Integers, np.random.Generator], tuple[Model, Shape]]
    classes: int = 0
    pair: bool = False
    values: Callable[[Any, Shape, np.random.Generator], Array] = _uniform

    def draw(self, integers: Integers, rng: np.random.Generator) -> tuple[Model, Any]:
        """A model and a batch in (0, 1), float64, or of ``values``; such a batch and its labels; or two
        batches."""
        model, shape = self.build(integers, rng)
        model = model.astype(np.float64)
        for p in model.params.values():
            p.value[...] += rng.normal(0, 0.1, p.shape)
        if self.pair:
            return model, (rng.uniform(size=shape), rng.uniform(size=shape))
        x = self.values(model, shape, rng)
        return model, (x, rng.integers(self.classes, size=len(x))) if self.classes else x


# --- shapes ---------------------------------------------------------------------------------


def _rows(integers: Integers, rng: np.random.Generator) -> Shape:
    return integers(1, 5), integers(1, 6)


def _any_shape(integers: Integers, rng: np.random.Generator) -> Shape:
    """(N, K), (N, C, L) or (N, C, H, W)"""
    return tuple(integers(1, 4) for _ in range(integers(2, 4)))


def _images(integers: Integers, smallest: int = 1) -> Shape:
    return integers(1, 3), integers(1, 3), integers(smallest, 6), integers(smallest, 6)


def _pair(integers: Integers, low: int, high: int) -> tuple[int, int]:
    return integers(low, high), integers(low, high)


def _softmax(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    return Softmax(), tuple(integers(2, 4) for _ in range(integers(2, 4)))  # of one entry it is 1


def _row_for_any_shape(cls: type[Layer]) -> LayerRow:
    return LayerRow(cls.__name__, lambda integers, rng: (cls(), _any_shape(integers, rng)))


def _wider(x: Array) -> Array:
    return np.concatenate([x, x[:, :1]], axis=1)


def _flat(x: Array) -> Array:
    return x.reshape(len(x), -1)


# --- layers ---------------------------------------------------------------------------------


def _dense(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, features = _rows(integers, rng)
    return Dense(features, integers(1, 6), rng=rng), (n, features)


def _tied_dense(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, code = _rows(integers, rng)
    return TiedDense(Dense(integers(1, 6), code, rng=rng)), (n, code)


def _tied_pair(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, features = _rows(integers, rng)
    dense = Dense(features, integers(1, 4), rng=rng)
    return Sequential(dense, Tanh(), TiedDense(dense)), (n, features)


def _prelu(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _any_shape(integers, rng)
    return PReLU(shape[1]), shape


def _conv(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _images(integers)
    kernel, stride, padding = _pair(integers, 1, 3), _pair(integers, 1, 3), _pair(integers, 0, 2)
    # The padded image must hold the kernel.
    kernel = min(kernel[0], shape[2] + 2 * padding[0]), min(kernel[1], shape[3] + 2 * padding[1])
    return Conv2d(shape[1], integers(1, 3), kernel, stride, padding, rng=rng), shape


def _channels_in_groups(integers: Integers) -> tuple[int, int, int]:
    """Channels, outputs, and a number of groups that divides both."""
    groups = integers(1, 3)
    return groups * integers(1, 2), groups * integers(1, 2), groups


def _conv_dilated(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    c, o, groups = _channels_in_groups(integers)
    size, kernel, stride = _pair(integers, 1, 6), _pair(integers, 1, 3), _pair(integers, 1, 3)
    dilation = _pair(integers, 1, 3)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    # The padded image must hold the kernel with its gaps.
    p, q = (max(integers(0, 2), (e - n + 1) // 2) for n, e in zip(size, reach))
    layer = Conv2d(*(c, o, kernel, stride, (p, q)), dilation=dilation, groups=groups, rng=rng)
    return layer, (integers(1, 3), c, *size)


def _conv_same_lower(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape, kernel, stride = _images(integers), _pair(integers, 1, 4), _pair(integers, 1, 3)
    dilation = _pair(integers, 1, 2)
    out = integers(1, 3)
    layer = Conv2d(shape[1], out, kernel, stride, "same_lower", dilation=dilation, rng=rng)
    return layer, shape


def _conv_transpose_dilated(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    c, o, groups = _channels_in_groups(integers)
    kernel, stride, dilation = _pair(integers, 1, 3), _pair(integers, 1, 4), _pair(integers, 1, 3)
    extra = integers(0, stride[0] - 1), integers(0, stride[1] - 1)
    layer = ConvTranspose2d(
        *(c, o, kernel, stride, 0, extra), dilation=dilation, groups=groups, rng=rng
    )
    return layer, (integers(1, 3), c, integers(1, 4), integers(1, 4))


def _conv1d_dilated(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    c, o, groups = _channels_in_groups(integers)
    padding, kernel, stride = ("same", "same_lower")[integers(0, 1)], integers(1, 4), integers(1, 3)
    dilation = integers(1, 3)
    layer = Conv1d(c, o, kernel, stride, padding, dilation=dilation, groups=groups, rng=rng)
    return layer, (integers(1, 3), c, integers(1, 9))


def _conv_transpose1d_dilated(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    c, o, groups = _channels_in_groups(integers)
    kernel, stride, dilation = integers(1, 4), integers(1, 3), integers(1, 3)
    layer = ConvTranspose1d(
        *(c, o, kernel, stride, "same"), dilation=dilation, groups=groups, rng=rng
    )
    return layer, (integers(1, 3), c, integers(1, 9))


def _conv_same(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _images(integers)
    kernel, stride = _pair(integers, 1, 4), _pair(integers, 1, 3)
    return Conv2d(shape[1], integers(1, 3), kernel, stride, "same", rng=rng), shape


def _conv_transpose(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _images(integers)
    kernel, stride = _pair(integers, 1, 3), _pair(integers, 1, 3)
    extra = integers(0, stride[0] - 1), integers(0, stride[1] - 1)
    # (in − 1) s + k + extra − 2p is the output's size: at least one pixel must remain.
    limits = [(n - 1) * s + k + e - 1 for n, s, k, e in zip(shape[2:], stride, kernel, extra)]
    p, q = (integers(0, min(2, limit // 2)) for limit in limits)
    return (
        ConvTranspose2d(shape[1], integers(1, 3), kernel, stride, (p, q), extra, rng=rng),
        shape,
    )


def _conv_transpose_same(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _images(integers)
    kernel, stride = _pair(integers, 1, 4), _pair(integers, 1, 3)
    return ConvTranspose2d(shape[1], integers(1, 3), kernel, stride, "same", rng=rng), shape


def _sequences(integers: Integers, smallest: int = 1) -> Shape:
    return integers(1, 3), integers(1, 3), integers(smallest, 9)


def _conv1d(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape, padding = _sequences(integers), integers(0, 2)
    kernel = integers(1, min(4, shape[2] + 2 * padding))  # the padded sequence must hold it
    return Conv1d(shape[1], integers(1, 3), kernel, integers(1, 3), padding, rng=rng), shape


def _conv1d_same(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape, kernel = _sequences(integers), integers(1, 4)
    return Conv1d(shape[1], integers(1, 3), kernel, integers(1, 3), "same", rng=rng), shape


def _conv_transpose1d(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape, kernel, stride = _sequences(integers), integers(1, 4), integers(1, 3)
    extra = integers(0, stride - 1)
    limit = (shape[2] - 1) * stride + kernel + extra - 1  # at least one entry must remain
    padding = integers(0, min(2, limit // 2))
    out = integers(1, 3)
    return ConvTranspose1d(shape[1], out, kernel, stride, padding, extra, rng=rng), shape


def _conv_transpose1d_same(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape, kernel = _sequences(integers), integers(1, 4)
    return ConvTranspose1d(shape[1], integers(1, 3), kernel, integers(1, 3), "same", rng=rng), shape


def _pool1d(cls: Callable[..., Layer]) -> Callable[..., tuple[Layer, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
        shape, kernel = _sequences(integers, smallest=2), integers(1, 4)
        padding = integers(max(kernel - shape[2] + 1, 0) // 2, kernel - 1)
        return cls(kernel, integers(1, 4), padding, bool(integers(0, 1))), shape

    return build


def _upsample1d(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    return Upsample1d(integers(1, 3)), _sequences(integers)


def _upsample1d_linear(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    return Upsample1d(integers(1, 4), "linear"), _sequences(integers)


def _pool(cls: Callable[..., Layer]) -> Callable[..., tuple[Layer, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
        shape = _images(integers, smallest=3)
        return cls(_pair(integers, 1, 3), _pair(integers, 1, 3)), shape

    return build


def _padded_pool(cls: Callable[..., Layer]) -> Callable[..., tuple[Layer, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
        shape, kernel = _images(integers, smallest=2), _pair(integers, 1, 4)
        # Less than the window, and enough that one fits.
        padding = tuple(integers(max(k - n + 1, 0) // 2, k - 1) for n, k in zip(shape[2:], kernel))
        return cls(kernel, _pair(integers, 1, 4), padding, bool(integers(0, 1))), shape

    return build


def _same_pool(cls: Callable[..., Layer]) -> Callable[..., tuple[Layer, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
        padding = ("same", "same_lower")[integers(0, 1)]
        return cls(_pair(integers, 1, 4), _pair(integers, 1, 3), padding), _images(integers)

    return build


def _dilated_pool(cls: Callable[..., Layer]) -> Callable[..., tuple[Layer, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
        kernel, dilation = _pair(integers, 1, 3), _pair(integers, 1, 2)
        n, c, *more = _images(integers)
        # An image as large as a window holds an entry of each.
        size = [m + (k - 1) * d for m, k, d in zip(more, kernel, dilation)]
        stride, ceil = _pair(integers, 1, 3), bool(integers(0, 1))
        return cls(kernel, stride, (kernel[0] // 2, 0), ceil, dilation=dilation), (n, c, *size)

    return build


def _pixel_shuffle(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    (n, channels, *size), factor = _images(integers), integers(1, 3)
    return PixelShuffle(factor), (n, channels * factor * factor, *size)


def _pad_zero(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    padding = integers(0, 3), integers(0, 3), integers(0, 3), integers(0, 3)
    return Pad2d(padding), _images(integers)


def _pad_reflect(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    padding = integers(0, 2), integers(0, 2), integers(0, 2), integers(0, 2)
    return Pad2d(padding, mode="reflect"), _images(integers, smallest=3)


def _reshape(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, a, b, c = (integers(1, 4) for _ in range(4))
    return Reshape(a, b, c), (n, a * b * c)


def _upsample(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    return Upsample2d(_pair(integers, 1, 3)), _images(integers)


def _upsample_bilinear(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    return Upsample2d(_pair(integers, 1, 4), "bilinear"), _images(integers)


def _glu(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, channels, *rest = _any_shape(integers, rng)
    return GLU(), (n, 2 * channels, *rest)


def _batch_norm(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = integers(3, 6), integers(1, 5)
    return _with_running_statistics(BatchNorm(shape[1], eps=0.01), shape, rng), shape


def _batch_norm_images(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = integers(2, 3), integers(1, 3), integers(2, 4), integers(1, 4)
    return _with_running_statistics(BatchNorm(shape[1], eps=0.01), shape, rng), shape


def _batch_norm_sequences(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = integers(2, 3), integers(1, 3), integers(2, 6)
    return _with_running_statistics(BatchNorm(shape[1], eps=0.01), shape, rng), shape


def _with_running_statistics(layer: BatchNorm, shape: Shape, rng: np.random.Generator) -> BatchNorm:
    """The layer with random running statistics."""
    layer.running_mean[...] = rng.normal(size=layer.running_mean.shape)
    layer.running_var[...] = rng.uniform(0.5, 2, layer.running_var.shape)
    return layer


def _batch_norm_inference(layer: BatchNorm, x: Array) -> Array:
    shape = (-1,) + (1,) * (x.ndim - 2)
    mean, var = layer.running_mean.reshape(shape), layer.running_var.reshape(shape)
    gamma, beta = layer.gamma.value.reshape(shape), layer.beta.value.reshape(shape)
    return gamma * (x - mean) / np.sqrt(var + layer.eps) + beta


def _layer_norm(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, features = integers(1, 5), integers(3, 6)
    return LayerNorm(features, eps=0.01), (n, features)


def _layer_norm_images(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = integers(1, 3), integers(1, 3), integers(2, 4), integers(2, 4)
    return LayerNorm(shape[-integers(1, 3) :], eps=0.01), shape


def _group_norm(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    groups, width = integers(1, 3), integers(2, 3)
    rest = [integers(1, 4) for _ in range(integers(0, 2))]
    channels = groups * width
    return GroupNorm(groups, channels, eps=0.01), (integers(1, 3), channels, *rest)


def _instance_norm(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, channels, length = integers(1, 3), integers(1, 4), integers(2, 4)
    rest = [integers(1, 4) for _ in range(integers(0, 1))]
    return InstanceNorm(channels, eps=0.01), (n, channels, length, *rest)


def _rms_norm(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, features = integers(1, 5), integers(1, 6)
    return RMSNorm(features, eps=0.01), (n, features)


def _rms_norm_images(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = integers(1, 3), integers(1, 3), integers(2, 4), integers(2, 4)
    return RMSNorm(shape[-integers(1, 3) :], eps=0.01), shape


def _pixel_norm(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    return PixelNorm(eps=0.01), _any_shape(integers, rng)


def _dropout(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    return Dropout(integers(0, 9) / 10, rng=rng), _any_shape(integers, rng)


def _top_k(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _any_shape(integers, rng)
    entries = math.prod(shape[1:])
    return TopK(integers(1, entries), integers(1, entries)), shape


def _top_k_inference(layer: TopK, x: Array) -> Array:
    rows = x.reshape(len(x), -1)
    places = np.argsort(-rows, axis=1)[:, : layer.inference_k]
    y = np.zeros_like(rows)
    np.put_along_axis(y, places, np.take_along_axis(rows, places, axis=1), axis=1)
    return y.reshape(x.shape)


def _sequential(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, features = _rows(integers, rng)
    width, out = integers(1, 5), integers(2, 5)
    first, last = Dense(features, width, rng=rng), Dense(width, out, rng=rng)
    return Sequential(first, Sigmoid(), last, Softmax()), (n, features)


def _sequential_images(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, c, channels = (integers(1, 3) for _ in range(3))
    down = Conv2d(c, channels, 3, 2, "same", rng=rng)
    up = ConvTranspose2d(channels, c, 3, 2, "same", rng=rng)
    return Sequential(down, Tanh(), up), (n, c, 2 * integers(1, 3), 2 * integers(1, 3))


def _residual(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, d = _rows(integers, rng)
    return Residual(Sequential(Dense(d, d, rng=rng), Tanh())), (n, d)


def _skip(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, d = _rows(integers, rng)
    return Skip(Sequential(Dense(d, integers(1, 5), rng=rng), Tanh())), (n, d)


def _skip_images(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _images(integers)
    conv = Conv2d(shape[1], integers(1, 3), 3, 1, "same", rng=rng)
    return Skip(Sequential(conv, Softplus())), shape


def _parallel(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, d = _rows(integers, rng)
    nonlinear = Sequential(Dense(d, integers(1, 4), rng=rng), Tanh())
    return Parallel(Dense(d, integers(1, 4), rng=rng), nonlinear, Sigmoid()), (n, d)


def _tokens(integers: Integers, dim: int) -> Shape:
    return integers(1, 3), integers(1, 5), dim


def _embedding(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    layer = Embedding(integers(1, 6), integers(1, 4), rng=rng)
    return layer, tuple(integers(1, 4) for _ in range(integers(2, 3)))


def _indices(layer: Embedding, shape: Shape, rng: np.random.Generator) -> Array:
    return rng.integers(layer.count, size=shape)


def _tokenwise(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _tokens(integers, integers(1, 5))
    dense = Dense(shape[2], integers(1, 5), rng=rng)
    return Tokenwise(Sequential(dense, Tanh())), shape


def _learnt_positions(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _tokens(integers, integers(1, 5))
    return LearntPositions(shape[1] + integers(0, 2), shape[2], rng=rng), shape


def _sinusoidal(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    return SinusoidalPositions(), _tokens(integers, integers(1, 5))


def _last_step(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    return LastStep(), _tokens(integers, integers(1, 4))


def _repeat(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    return Repeat(integers(1, 4)), _any_shape(integers, rng)


def _attention(causal: bool) -> Callable[..., tuple[Layer, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
        heads = integers(1, 3)
        dim = heads * integers(1, 3)
        return MultiHeadAttention(dim, heads, causal, rng=rng), _tokens(integers, dim)

    return build


def _transformer_block(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    heads = integers(1, 2)
    dim = heads * integers(3, 4)
    block = TransformerBlock(dim, heads, integers(1, 5), bool(integers(0, 1)), rng=rng)
    return block, _tokens(integers, dim)


def _recurrent(cls: Callable[..., Layer]) -> Callable[..., tuple[Layer, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
        shape = _tokens(integers, integers(1, 4))
        return cls(shape[2], integers(1, 4), rng=rng), shape

    return build


def _equalized(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, features = _rows(integers, rng)
    return Equalized(Dense(features, integers(1, 6), rng=rng)), (n, features)


def _equalized_images(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _images(integers)
    conv = Conv2d(shape[1], integers(1, 3), 3, integers(1, 2), "same", rng=rng)
    return Equalized(conv, gain=0.8), shape


def _minibatch_deviation(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    layer = MinibatchDeviation(eps=0.01)
    layer.running[...] = rng.uniform(0.5, 2)
    return layer, _any_shape(integers, rng)


def _minibatch_inference(layer: MinibatchDeviation, x: Array) -> Array:
    return np.concatenate([x, 0 * x[:, :1] + layer.running], axis=1)


def _fade(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, features = _rows(integers, rng)
    out = integers(1, 4)
    new = Sequential(Dense(features, out, rng=rng), Tanh())
    layer = Fade(Dense(features, out, rng=rng), new)
    layer.alpha[...] = rng.uniform()
    return layer, (n, features)


def _fade_images(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    n, c, *size = _images(integers)
    down = Conv2d(c, 2, 3, 2, "same", rng=rng)
    layer = Fade(Sequential(AvgPool2d(2), Conv2d(c, 2, 1, rng=rng)), Sequential(down, Softplus()))
    layer.alpha[...] = rng.uniform()
    return layer, (n, c, 2 * size[0], 2 * size[1])


def _pixel_noise(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    shape = _images(integers)
    return PixelNoise((shape[2], shape[3]), rng=rng), shape


def _pixel_noise_inference(layer: PixelNoise, x: Array) -> Array:
    return x + layer.a.value * layer.fixed


def _synthesis(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    a, b, dim = integers(1, 3), integers(1, 3), integers(2, 4)
    h, w = _pair(integers, 1, 2)
    blocks = [StyleBlock(a, b, dim, (h, w), rng=rng)]
    if integers(0, 1):
        blocks.append(StyleBlock(b, integers(1, 2), dim, (2 * h, 2 * w), True, rng=rng))
    return Synthesis(*blocks, rng=rng), (integers(1, 3), len(blocks), dim)


def _synthesis_inference(layer: Synthesis, x: Array) -> Array:
    """Each sample by ordinary convolutions with weights of its own: Karras et al. (2020), eq. 1–3."""
    images = []
    for styles in x:
        h = layer.constant.value[None]
        for block, w in zip(layer.blocks, styles):
            s, conv = block.affine(w[None])[0], block.conv.conv
            W = conv.W.value * s[:, None, None]
            W /= np.sqrt(np.square(W).sum(axis=(1, 2, 3), keepdims=True) + block.conv.eps)
            r = kernels.conv2d(block.up(h), W, (1, 1), (1, 1, 1, 1), conv.b.value)
            r = r + block.noise.a.value * block.noise.fixed
            h = np.sqrt(2) * np.where(r > 0, r, 0.2 * r)
        images.append(h)
    return np.concatenate(images)


def _pixel_attention(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    heads = integers(1, 2)
    layer = PixelAttention(2 * heads, heads, heads, rng=rng)
    return layer, (integers(1, 3), 2 * heads, *_pair(integers, 1, 3))


def _conditioned_unet(integers: Integers, rng: np.random.Generator) -> tuple[Layer, Shape]:
    told, patch = integers(1, 2), integers(1, 2)
    more: dict[str, Any] = {"embedding": 2, "heads": 1, "groups": 1, "rng": rng}
    layer = ConditionedUNet(1, told, [2], patch=patch, **more)  # one level: the checks are many
    return layer, (integers(1, 2), 1 + told, 2 * patch, 2 * patch)


LAYERS: tuple[LayerRow, ...] = (
    LayerRow("Dense", _dense, _wider),
    LayerRow("TiedDense", _tied_dense, _wider),
    *map(_row_for_any_shape, activation.activations()),
    LayerRow("PReLU", _prelu, _wider),
    LayerRow("Softmax", _softmax),
    LayerRow("Flatten", lambda integers, rng: (Flatten(), _any_shape(integers, rng))),
    LayerRow("Reshape", _reshape, _wider),
    LayerRow("Upsample2d", _upsample, _flat),
    LayerRow("Upsample2d bilinear", _upsample_bilinear, _flat),
    LayerRow("GLU", _glu, _wider),
    LayerRow("Conv2d", _conv, _wider),
    LayerRow("Conv2d same", _conv_same, _wider),
    LayerRow("Conv2d same_lower", _conv_same_lower, _wider),
    LayerRow("Conv2d dilated", _conv_dilated, _wider),
    LayerRow("ConvTranspose2d", _conv_transpose, _wider),
    LayerRow("ConvTranspose2d same", _conv_transpose_same, _wider),
    LayerRow("ConvTranspose2d dilated", _conv_transpose_dilated, _wider),
    LayerRow("Conv1d", _conv1d, _wider),
    LayerRow("Conv1d same", _conv1d_same, _wider),
    LayerRow("Conv1d dilated", _conv1d_dilated, _wider),
    LayerRow("ConvTranspose1d", _conv_transpose1d, _wider),
    LayerRow("ConvTranspose1d same", _conv_transpose1d_same, _wider),
    LayerRow("ConvTranspose1d dilated", _conv_transpose1d_dilated, _wider),
    LayerRow("MaxPool1d", _pool1d(MaxPool1d), _flat),
    LayerRow("AvgPool1d", _pool1d(AvgPool1d), _flat),
    LayerRow("Upsample1d", _upsample1d, _flat),
    LayerRow("Upsample1d linear", _upsample1d_linear, _flat),
    LayerRow("MaxPool2d", _pool(MaxPool2d), _flat),
    LayerRow("AvgPool2d", _pool(AvgPool2d), _flat),
    LayerRow("MaxPool2d padded", _padded_pool(MaxPool2d), _flat),
    LayerRow("AvgPool2d padded", _padded_pool(AvgPool2d), _flat),
    LayerRow("MaxPool2d same", _same_pool(MaxPool2d), _flat),
    LayerRow("AvgPool2d same", _same_pool(AvgPool2d), _flat),
    LayerRow("MaxPool2d dilated", _dilated_pool(MaxPool2d), _flat),
    LayerRow("AvgPool2d dilated", _dilated_pool(AvgPool2d), _flat),
    LayerRow(
        "GlobalAvgPool2d", lambda integers, rng: (GlobalAvgPool2d(), _images(integers)), _flat
    ),
    LayerRow(
        "GlobalMaxPool2d", lambda integers, rng: (GlobalMaxPool2d(), _images(integers)), _flat
    ),
    LayerRow("PixelShuffle", _pixel_shuffle, _flat),
    LayerRow("Pad2d", _pad_zero, _flat),
    LayerRow("Pad2d reflect", _pad_reflect, _flat),
    LayerRow("BatchNorm", _batch_norm, _wider, True, _batch_norm_inference),
    LayerRow("BatchNorm sequences", _batch_norm_sequences, _wider, True, _batch_norm_inference),
    LayerRow("BatchNorm images", _batch_norm_images, _wider, True, _batch_norm_inference),
    LayerRow("LayerNorm", _layer_norm, _wider),
    LayerRow("LayerNorm images", _layer_norm_images, lambda x: x[..., :-1]),
    LayerRow("GroupNorm", _group_norm, _wider),
    LayerRow("InstanceNorm", _instance_norm, _wider),
    LayerRow("RMSNorm", _rms_norm, _wider),
    LayerRow("RMSNorm images", _rms_norm_images, lambda x: x[..., :-1]),
    LayerRow("PixelNorm", _pixel_norm),
    LayerRow("Dropout", _dropout, None, True, lambda layer, x: x),
    LayerRow("Equalized", _equalized, _wider),
    LayerRow("Equalized images", _equalized_images, _wider),
    LayerRow("MinibatchDeviation", _minibatch_deviation, None, True, _minibatch_inference),
    LayerRow("Fade", _fade, _wider),
    LayerRow("Fade images", _fade_images, _wider),
    LayerRow("PixelNoise", _pixel_noise, lambda x: x[..., :-1], True, _pixel_noise_inference),
    LayerRow(
        "Synthesis", _synthesis, lambda x: x[..., :-1], True, _synthesis_inference, tangent=False
    ),
    LayerRow("PixelAttention", _pixel_attention, _wider, tangent=False),
    LayerRow("ConditionedUNet", _conditioned_unet, _wider, tangent=False),
    LayerRow("TopK", _top_k, None, True, _top_k_inference),
    LayerRow("Sequential", _sequential, _wider),
    LayerRow("Sequential tied", _tied_pair, _wider),
    LayerRow("Sequential images", _sequential_images, _wider),
    LayerRow("Residual", _residual, _wider),
    LayerRow("Skip", _skip, _wider),
    LayerRow("Skip images", _skip_images, _wider),
    LayerRow("Parallel", _parallel, _wider),
    LayerRow("Embedding", _embedding, lambda x: x + 100, tangent=False, values=_indices),
    LayerRow("Tokenwise", _tokenwise, lambda x: _wider(x.swapaxes(1, 2)).swapaxes(1, 2)),
    LayerRow("LearntPositions", _learnt_positions, lambda x: x[..., :-1]),
    LayerRow("SinusoidalPositions", _sinusoidal, _flat),
    LayerRow("LastStep", _last_step, _flat),
    LayerRow("Repeat", _repeat),
    LayerRow("MultiHeadAttention", _attention(False), lambda x: x[..., :-1]),
    LayerRow("MultiHeadAttention causal", _attention(True), lambda x: x[..., :-1]),
    LayerRow("TransformerBlock", _transformer_block, lambda x: x[..., :-1]),
    LayerRow("GRU", _recurrent(GRU), lambda x: x[..., :-1], tangent=False),
    LayerRow("LSTM", _recurrent(LSTM), lambda x: x[..., :-1], tangent=False),
)

LOSSES: tuple[LossRow, ...] = (
    LossRow("MSE", MSE),
    LossRow("L1", L1),
    LossRow("Huber", lambda: Huber(0.7)),
    LossRow("BCE", BCE, probabilities=True, zero_at_target=False),
    LossRow("BCEWithLogits", BCEWithLogits, zero_at_target=False),
    LossRow("WeightedLoss", lambda: WeightedLoss(Huber(0.7), 0.3)),
)


# --- models ---------------------------------------------------------------------------------


def _autoencoder(integers: Integers, rng: np.random.Generator) -> tuple[Autoencoder, Shape]:
    n, pixels, latent = integers(1, 5), integers(2, 8), integers(1, 3)
    encoder = Sequential(Flatten(), Dense(pixels, 5, rng=rng), ELU(), Dense(5, latent, rng=rng))
    decoder = Sequential(Dense(latent, pixels, rng=rng), Sigmoid(), Reshape(1, pixels, 1))
    return Autoencoder(encoder, decoder, MSE()), (n, 1, pixels, 1)


def _autoencoder_weighted(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    model: Any
    model, shape = _autoencoder(integers, rng)
    weights = rng.uniform(0, 2, shape[1:])
    return Autoencoder(model.encoder, model.decoder, WeightedLoss(MSE(), weights)), shape


def _autoencoder_conv(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, c, side = integers(1, 3), integers(1, 3), 2 * integers(1, 3)
    encoder = Sequential(Conv2d(c, 2, 3, 1, "same", rng=rng), ReLU(), MaxPool2d(2))
    decoder = Sequential(Upsample2d(2), ConvTranspose2d(2, c, 3, 1, 1, rng=rng))
    return Autoencoder(encoder, decoder, BCEWithLogits()), (n, c, side, side)


def _autoencoder_tied(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels = integers(2, 5), integers(2, 8)
    dense = Dense(pixels, integers(1, 4), rng=rng)
    encoder = Sequential(dense, BatchNorm(dense.out_features), Dropout(0.2, rng=rng), Tanh())
    return Autoencoder(encoder, Sequential(TiedDense(dense), Sigmoid()), BCE()), (n, pixels)


def _denoising(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels = integers(1, 5), integers(2, 8)
    noise = GaussianNoise(0.2), MaskingNoise(0.3), SaltAndPepper(0.2)
    parts = dense_encoder_decoder((1, pixels, 1), [5, integers(1, 3)], activation=Tanh, rng=rng)
    return DenoisingAutoencoder(*parts, MSE(), noise[integers(0, 2)]), (n, 1, pixels, 1)


def _unet(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, channels, dims = integers(1, 4), integers(1, 2), integers(1, 2)
    model = UNet(channels, channels, [2, 3], MSE(), GaussianNoise(0.2), dims=dims, rng=rng)
    model.decoder.params["W"].value[...] += rng.normal(size=model.decoder.params["W"].shape)
    return model, (n, channels, *(4, 6)[:dims])


def _sparse(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels = integers(1, 5), integers(2, 8)
    parts = dense_encoder_decoder([pixels], [integers(1, 4)], code_activation=Sigmoid, rng=rng)
    penalty = L1Sparsity(0.1), KLSparsity(0.2, 0.3)
    return SparseAutoencoder(*parts, MSE(), penalty[integers(0, 1)]), (n, pixels)


def _sparse_top(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels, code = integers(1, 5), integers(2, 8), integers(2, 5)
    encoder = Sequential(Dense(pixels, code, rng=rng), TopK(integers(1, 2)))
    decoder = Sequential(Dense(code, pixels, rng=rng), Sigmoid())
    return SparseAutoencoder(encoder, decoder, BCE(), L1Sparsity(0.1)), (n, pixels)


def _contractive(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels = integers(1, 4), integers(2, 6)
    smooth = (Sigmoid, Tanh, Softplus)[integers(0, 2)]
    units = [4, 2][integers(0, 1) :]
    parts = dense_encoder_decoder(
        [pixels], units, activation=smooth, code_activation=smooth, rng=rng
    )
    return ContractiveAutoencoder(*parts, MSE(), 0.1), (n, pixels)


def _contractive_conv(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, channels = integers(1, 3), integers(1, 2)
    parts = conv_encoder_decoder((channels, 4, 4), [2], latent_dim=2, activation=Tanh, rng=rng)
    return ContractiveAutoencoder(*parts, MSE(), 0.1, integers(1, 3)), (n, channels, 4, 4)


def _variational(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels = integers(1, 5), integers(2, 6)
    likelihood = (Bernoulli(), Gaussian(0.5), LearntGaussian(0.5), Laplace(0.5))[integers(0, 3)]
    parts = dense_variational((1, pixels, 1), [4, integers(1, 3)], activation=Tanh, rng=rng)
    model = VariationalAutoencoder(*parts, likelihood, 0.7, free_bits=0.05, warm_up=3)
    model.steps[...] = 2
    return model, (n, 1, pixels, 1)


def _conditional(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels, latent = integers(1, 5), integers(2, 6), integers(1, 3)
    encoder = Sequential(Flatten(), Dense(pixels, 3, rng=rng), Tanh())
    heads = Dense(3 + 3, latent, rng=rng), Dense(3 + 3, latent, rng=rng)
    decoder = Sequential(Dense(latent + 3, pixels, rng=rng), Reshape(1, pixels))
    return ConditionalVariationalAutoencoder(encoder, *heads, decoder, classes=3), (n, 1, pixels)


def _importance_weighted(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels, samples = integers(1, 5), integers(2, 6), integers(1, 4)
    likelihood = (Bernoulli(), Gaussian(0.5), LearntGaussian(0.5), Laplace(0.5))[integers(0, 3)]
    parts = dense_variational((1, pixels, 1), [4, integers(1, 3)], activation=Tanh, rng=rng)
    return ImportanceWeightedAutoencoder(*parts, likelihood, samples=samples), (n, 1, pixels, 1)


def _wasserstein(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels = integers(1, 5), integers(2, 8)
    parts = dense_encoder_decoder((1, pixels, 1), [4, integers(1, 3)], activation=Tanh, rng=rng)
    kernel = InverseMultiquadratic(), GaussianKernel(0.7)
    return WassersteinAutoencoder(*parts, MSE(), 0.5, kernel[integers(0, 1)]), (n, 1, pixels, 1)


def _adversarial(player: int) -> Callable[..., tuple[Model, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
        n, pixels, latent = integers(2, 5), integers(2, 6), integers(1, 3)
        parts = dense_encoder_decoder([pixels], [4, latent], activation=Tanh, rng=rng)
        hidden = Sequential(Dense(latent, 3, rng=rng), ELU(), Dropout(0.2, rng=rng))
        discriminator = Sequential(hidden, Dense(3, 1, rng=rng))
        loss = (NonSaturating(), Saturating())[integers(0, 1)]
        model = AdversarialAutoencoder(*parts, MSE(), discriminator, 0.5, loss)
        return model.players[player], (n, pixels)

    return build


def _wgan(player: int) -> Callable[..., tuple[Model, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
        n, pixels, latent, width = integers(2, 5), integers(2, 6), integers(1, 3), integers(1, 4)
        layers = Dense(latent, width, rng=rng), BatchNorm(width, eps=0.1), Tanh()
        generator = Sequential(*layers, Dense(width, pixels, rng=rng), Reshape(1, pixels, 1))
        smooth = (Tanh, Softplus, ELU)[integers(0, 2)]()
        critic = Sequential(Flatten(), Dense(pixels, width, rng=rng), smooth)
        critic = Sequential(critic, Dense(width, 2, rng=rng), Tanh(), Dense(2, 1, rng=rng))
        return WassersteinGAN(generator, critic, 2.0).players[player], (n, 1, pixels, 1)

    return build


def _classifier(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels = integers(1, 5), integers(2, 6)
    network = Sequential(Flatten(), Dense(pixels, 4, rng=rng), Tanh(), Dense(4, 3, rng=rng))
    return Classifier(network), (n, 1, pixels)


def _vqvae(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, pixels, dim = integers(1, 5), integers(2, 6), integers(1, 3)
    encoder = Sequential(Dense(pixels, 4, rng=rng), Tanh(), Dense(4, 2 * dim, rng=rng))
    decoder = Sequential(Flatten(), Dense(2 * dim, pixels, rng=rng))
    encoder = Sequential(encoder, Reshape(dim, 2))  # a code of two places
    model = VQVAE(encoder, decoder, MSE(), integers(2, 6), dim, decay=0.9)
    model.uses[...] = 1
    model.sums[...] = model.table[...] = rng.normal(size=model.table.shape)
    return model, (n, pixels)


def _vqgan(integers: Integers, rng: np.random.Generator) -> tuple[GAN, Shape]:
    n, c, dim, codes = integers(2, 4), integers(1, 2), integers(1, 3), integers(2, 6)
    shape = 2, 2 * integers(1, 2)
    encoder = Sequential(Conv2d(c, 3, 2, 2, rng=rng), Tanh(), Conv2d(3, dim, 1, rng=rng))
    up = ConvTranspose2d(dim, 3, 2, 2, rng=rng), Tanh(), Conv2d(3, c, 1, rng=rng), Sigmoid()
    discriminator = Sequential(Conv2d(c, 2, 2, 1, "same", rng=rng), ELU(), Conv2d(2, 1, 1, rng=rng))
    loss = (NonSaturating(), Saturating())[integers(0, 1)]
    decoder = Sequential(*up)
    model: Any = VQGAN(
        encoder, decoder, MSE(), discriminator, codes, dim, generator_loss=loss, decay=0.9
    )
    model.uses[...] = 1
    model.sums[...] = model.table[...] = rng.normal(size=model.table.shape)
    return model, (n, c, *shape)


def _code_prior(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    shape, heads = (integers(1, 2), integers(1, 3)), integers(1, 2)
    sizes: dict[str, Any] = {"dim": 4 * heads, "depth": integers(1, 2), "heads": heads}
    return CodePrior(integers(2, 5), shape, 3, **sizes, rng=rng), (integers(1, 4), *shape)


def _codes(model: CodePrior, shape: Shape, rng: np.random.Generator) -> Array:
    return rng.integers(model.codes, size=shape)


def _masked(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    shape = integers(1, 2), 2, 2 * integers(1, 2)
    dims: dict[str, Any] = {"dim": 4, "depth": 1, "heads": 1, "decoder_dim": 4}
    return MaskedAutoencoder(shape, 1, **dims, masked=0.5, rng=rng), (integers(1, 3), *shape)


def _diffusion(classes: int) -> Callable[..., tuple[Model, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
        n, d = integers(1, 5), integers(1, 4)
        network = Sequential(Dense(d + 4 + classes, 5, rng=rng), Tanh(), Dense(5, d, rng=rng))
        prediction = (PredictNoise, PredictClean, PredictVelocity)[integers(0, 2)]()
        more: dict[str, Any] = {"time_features": 4, "classes": classes, "prediction": prediction}
        return Diffusion(network, (d,), **more), (n, d)

    return build


def _diffusion_images(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    shape = integers(1, 2), 3, integers(2, 3)
    network = Sequential(Conv2d(shape[0] + 2, shape[0], 3, 1, "same", rng=rng))
    return Diffusion(network, shape, time_features=2), (integers(1, 3), *shape)


def _diffusion_autoencoder(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
    n, d, latent = integers(1, 5), integers(1, 4), integers(1, 3)
    encoder = Sequential(Dense(d, 3, rng=rng), Tanh(), Dense(3, latent, rng=rng))
    network = Sequential(Dense(d + 4 + latent, 5, rng=rng), Tanh(), Dense(5, d, rng=rng))
    prediction = (PredictNoise, PredictClean, PredictVelocity)[integers(0, 2)]()
    more: dict[str, Any] = {"time_features": 4, "prediction": prediction}
    return DiffusionAutoencoder(encoder, network, (d,), **more), (n, d)


def _diffusion_autoencoder_images(
    integers: Integers, rng: np.random.Generator
) -> tuple[Model, Shape]:
    c, h, w = integers(1, 2), 2, integers(1, 3)
    encoder = Sequential(Flatten(), Dense(c * h * w, 2, rng=rng))
    network = Sequential(Conv2d(c + 4, c, 3, 1, "same", rng=rng), Tanh())
    model = DiffusionAutoencoder(encoder, network, (c, h, w), time_features=2)
    return model, (integers(1, 3), c, h, w)


def _sae(cls: Callable[..., Any]) -> Callable[..., tuple[Model, Shape]]:
    def build(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
        n, d, features = integers(1, 5), integers(2, 5), integers(4, 8)
        model: Any
        if cls is MatryoshkaSAE:
            model = cls(d, (2, features), integers(1, 2), dead_k=2, rng=rng)
        elif cls is JumpReLUSAE:  # a wide kernel, within which many scores lie
            model = cls(d, features, 0.1, initial_theta=0.3, bandwidth=0.5, dead_k=2, rng=rng)
        elif cls is GatedSAE:
            model = cls(d, features, 0.1, rng=rng)
        else:
            model = cls(d, features, integers(1, 3), dead_k=2, rng=rng)
        model.idle[: features // 2] = model.dead_after  # half of the features are dead
        return model, (n, d)

    return build


def _gan(integers: Integers, rng: np.random.Generator) -> tuple[GAN, Shape]:
    n, pixels, latent, width = integers(2, 5), integers(2, 6), integers(1, 3), integers(1, 4)
    generator = Sequential(
        Dense(latent, width, rng=rng),
        BatchNorm(width, eps=0.1),
        ELU(),
        Dense(width, pixels, rng=rng),
        Sigmoid(),
        Reshape(1, pixels, 1),
    )
    hidden = Sequential(Dense(pixels, width, rng=rng), ELU(), Dropout(0.2, rng=rng))
    discriminator = Sequential(Flatten(), hidden, Dense(width, 1, rng=rng))
    loss = (NonSaturating(), Saturating())[integers(0, 1)]
    return GAN(generator, discriminator, loss, real_label=0.9), (n, 1, pixels, 1)


def _r1_gan(integers: Integers, rng: np.random.Generator) -> tuple[GAN, Shape]:
    n, pixels, latent, width = integers(2, 5), integers(2, 6), integers(1, 3), integers(1, 4)
    generator = Sequential(Dense(latent, pixels, rng=rng), Sigmoid(), Reshape(1, pixels, 1))
    hidden = Sequential(Dense(pixels, width, rng=rng), ELU(), MinibatchDeviation(eps=0.01))
    discriminator = Sequential(Flatten(), hidden, Dense(width + 1, 1, rng=rng))
    return R1GAN(generator, discriminator, r1=2.0), (n, 1, pixels, 1)


def _pro_gan(integers: Integers, rng: np.random.Generator) -> tuple[GAN, Shape]:
    model = ProGAN(*progan((1, integers(1, 2), 1), 1, integers(1, 2), rng=rng), r1=2.0)
    if integers(0, 1):
        model.grow(1, 3, rng)
        model.steps[...] = integers(0, 2)
        model.advance()
    return model, (integers(2, 3), *model.image_shape)


def _style_gan(integers: Integers, rng: np.random.Generator) -> tuple[GAN, Shape]:
    n, latent, dim, pixels = integers(2, 3), integers(1, 2), integers(2, 3), integers(1, 3)
    block = StyleBlock(2, 2, dim, (1, pixels), rng=rng)
    mapping = Tokenwise(Sequential(Dense(latent, dim, rng=rng), Tanh()))
    image = Sequential(Conv2d(2, 1, 1, rng=rng), Sigmoid())
    generator = Sequential(mapping, Synthesis(block, rng=rng), image)
    hidden = Sequential(Flatten(), Dense(pixels, 3, rng=rng), Tanh(), MinibatchDeviation(eps=0.01))
    model = StyleGAN(generator, Sequential(hidden, Dense(4, 1, rng=rng)), r1=2.0)
    return model, (n, 1, 1, pixels)


def _cycle_gan(integers: Integers, rng: np.random.Generator) -> tuple[CycleGAN, Shape]:
    n, pixels, width = integers(2, 5), integers(2, 6), integers(1, 4)

    def network(out: int, *last: Layer) -> Layer:
        first = Dense(pixels, width, rng=rng), BatchNorm(width, eps=0.1), Tanh()
        return Sequential(*first, Dense(width, out, rng=rng), *last)

    generators = network(pixels, Sigmoid()), network(pixels, Sigmoid())
    model = CycleGAN(*generators, network(2), network(1), cycle=2.0, identity=integers(0, 1))
    return model, (n, pixels)


def _star_gan(integers: Integers, rng: np.random.Generator) -> tuple[StarGAN, Shape]:
    n, depth, pixels, width = integers(2, 5), integers(1, 2), integers(2, 4), integers(1, 4)
    layers = Conv1d(depth + 3, 2, 1, rng=rng), InstanceNorm(2, eps=0.1), Tanh()
    generator = Sequential(*layers, Conv1d(2, depth, 1, rng=rng), Sigmoid())
    hidden = Sequential(Flatten(), Dense(depth * pixels, width, rng=rng), Tanh())
    discriminator = Sequential(hidden, Dense(width, 1 + 3, rng=rng))
    weights = {"classification": 0.5, "reconstruction": 2.0, "penalty": 3.0}
    return StarGAN(generator, discriminator, domains=3, **weights), (n, depth, pixels)


def _player(
    build: Callable[..., tuple[Any, Shape]], which: int
) -> Callable[..., tuple[Model, Shape]]:
    def player(integers: Integers, rng: np.random.Generator) -> tuple[Model, Shape]:
        gan, shape = build(integers, rng)
        return gan.players[which], shape

    return player


MODELS: tuple[ModelRow, ...] = (
    ModelRow("Autoencoder", _autoencoder),
    ModelRow("Autoencoder conv", _autoencoder_conv),
    ModelRow("Autoencoder tied", _autoencoder_tied),
    ModelRow("DenoisingAutoencoder", _denoising),
    ModelRow("SparseAutoencoder", _sparse),
    ModelRow("SparseAutoencoder top k", _sparse_top),
    ModelRow("ContractiveAutoencoder", _contractive),
    ModelRow("ContractiveAutoencoder conv", _contractive_conv),
    ModelRow("VariationalAutoencoder", _variational),
    ModelRow("ConditionalVariationalAutoencoder", _conditional, classes=3),
    ModelRow("ImportanceWeightedAutoencoder", _importance_weighted),
    ModelRow("WassersteinAutoencoder", _wasserstein),
    ModelRow("AdversarialAutoencoder discriminator", _adversarial(0)),
    ModelRow("AdversarialAutoencoder autoencoder", _adversarial(1)),
    ModelRow("Classifier", _classifier, classes=3),
    ModelRow("UNet", _unet),
    ModelRow("VQVAE", _vqvae),
    ModelRow("VQGAN discriminator", _player(_vqgan, 0)),
    ModelRow("VQGAN autoencoder", _player(_vqgan, 1)),
    ModelRow("CodePrior", _code_prior, classes=3, values=_codes),
    ModelRow("MaskedAutoencoder", _masked),
    ModelRow("Diffusion", _diffusion(0)),
    ModelRow("Diffusion classes", _diffusion(3), classes=3),
    ModelRow("Diffusion images", _diffusion_images),
    ModelRow("DiffusionAutoencoder", _diffusion_autoencoder),
    ModelRow("DiffusionAutoencoder images", _diffusion_autoencoder_images),
    ModelRow("TopKSAE", _sae(TopKSAE)),
    ModelRow("BatchTopKSAE", _sae(BatchTopKSAE)),
    ModelRow("MatryoshkaSAE", _sae(MatryoshkaSAE)),
    ModelRow("JumpReLUSAE", _sae(JumpReLUSAE)),
    ModelRow("GatedSAE", _sae(GatedSAE)),
    ModelRow("GAN discriminator", _player(_gan, 0)),
    ModelRow("GAN generator", _player(_gan, 1)),
    ModelRow("WassersteinGAN critic", _wgan(0)),
    ModelRow("WassersteinGAN generator", _wgan(1)),
    ModelRow("R1GAN discriminator", _player(_r1_gan, 0)),
    ModelRow("R1GAN generator", _player(_r1_gan, 1)),
    ModelRow("ProGAN discriminator", _player(_pro_gan, 0)),
    ModelRow("ProGAN generator", _player(_pro_gan, 1)),
    ModelRow("StyleGAN discriminator", _player(_style_gan, 0)),
    ModelRow("StyleGAN generator", _player(_style_gan, 1)),
    ModelRow("CycleGAN discriminators", _player(_cycle_gan, 0), pair=True),
    ModelRow("CycleGAN generators", _player(_cycle_gan, 1), pair=True),
    ModelRow("StarGAN discriminator", _player(_star_gan, 0), classes=3),
    ModelRow("StarGAN generator", _player(_star_gan, 1), classes=3),
)


# --- checking everything ----------------------------------------------------------------------


def check_all(
    rng: np.random.Generator, only: Collection[str] | None = None
) -> Iterator[tuple[str, Report]]:
    """The gradient check of every row, or of the rows named: layers and tangents, losses, models."""

    integers = integers_from(rng)

    def wanted(row: LayerRow | LossRow | ModelRow) -> bool:
        return only is None or row.name in only

    for row in filter(wanted, LAYERS):
        layer, x = row.draw(integers, rng)
        yield row.name, gradcheck.check(layer, x, rng)
        if row.tangent:
            yield f"{row.name}, tangent", gradcheck.check_tangent(layer, x, rng)
    for loss_row in filter(wanted, LOSSES):
        loss, y, target = loss_row.draw(integers, rng)
        yield loss_row.name, gradcheck.check_loss(loss, y, target, rng)
    for model_row in filter(wanted, MODELS):
        model, batch = model_row.draw(integers, rng)
        yield model_row.name, gradcheck.check_model(model, batch, rng)
