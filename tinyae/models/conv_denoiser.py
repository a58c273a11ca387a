"""A denoiser of pictures that starts as the best linear filter.

    encoder, decoder = conv_denoiser((3, 64, 64), [32, 32, 32], rng=rng)
    model = DenoisingAutoencoder(encoder, decoder, MSE(), GaussianNoise(0.1))
    start_from_linear_filter(model, x, rng)
    fit(model, x, augment=RandomCrop(32), …)

Its code is no summary: a narrow code would have to hold every edge, and noise is better removed where
it is. A filter of 5 × 5 pixels does much of that, and has a solution in closed form; what is learnt
is only what a network can do beyond it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike

from tinyae.arguments import check_generator, sizes_of
from tinyae.data.augmentation import check_images
from tinyae.initializers import HeNormal
from tinyae.layers import Conv2d, Layer, ReLU, Sequential, Skip
from tinyae.models.base import Model
from tinyae.models.builders import Activation, _doubling, named
from tinyae.param import Array

FEATURES = 8  # channels of f(x̃)
SIZE = 5  # of the filter K, in pixels
_PIXELS = 60_000  # that the linear filter is found from


def conv_denoiser(
    shape: Sequence[int],
    channels: Sequence[int],
    *,
    activation: Activation = ReLU,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
) -> tuple[Sequential, Conv2d]:
    """An encoder that sets features beside the noisy picture, and a filter that reads both.

    Forward   u = [x̃, f(x̃)]      y = K ∗ u + b
              f: convolutions with ``channels`` at half the size of the picture, and back to its size
    Shapes    ``shape`` is one picture's, (C, H, W), of any size; u (N, C + 8, H, W)   y as x̃
              Pictures of other sizes may be passed, with H and W odd or even as in ``shape``
    Raises    ValueError unless all sizes are ints ≥ 1

    K, of 5 × 5 pixels, starts as the identity of x̃, with zeros for f(x̃): the gradient reaches K's
    zeros first, and f through them.

    Source    Zhang, Zuo, Chen, Meng & Zhang (2017), for learning what is to be changed; Zhang, Zuo &
              Zhang (2018), §3, for half the size
    """
    who = "conv_denoiser"
    shape, channels = sizes_of(who, "shape", shape), sizes_of(who, "channels", channels)
    make = named(who, "activation", activation)
    if len(shape) != 3:
        raise ValueError(
            f"{who}: shape is {tuple(shape)}, expected (C, H, W) of a picture; pass e.g. (3, 64, 64)"
        )
    drawn: dict[str, Any] = {"rng": rng, "init": HeNormal(), "dtype": dtype}
    layers: list[Layer] = [Conv2d(shape[0], channels[0], 3, 2, "same", **drawn), make()]
    for before, after in itertools.pairwise(channels):
        layers += [Conv2d(before, after, 3, 1, "same", **drawn), make()]
    half = (-(-shape[1] // 2), -(-shape[2] // 2))
    layers += [_doubling(channels[-1], FEATURES, 3, half, (shape[1], shape[2]), drawn), make()]
    K = Conv2d(shape[0] + FEATURES, shape[0], SIZE, 1, "same", rng=rng, dtype=dtype)
    K.W.value[...] = 0
    K.W.value[:, : shape[0], SIZE // 2, SIZE // 2] = np.eye(shape[0])
    return Sequential(Skip(Sequential(*layers))), K


def start_from_linear_filter(model: Model, x: Array, rng: np.random.Generator) -> None:
    """Let the filter of a model of :func:`conv_denoiser` start where a linear one is best.

    Forward   K, b = argmin Σ ‖K ∗ x̃ + b − x‖²,   x̃ ~ q(x̃ | x)
    Shapes    x (N, C, H, W), of which as many pictures are used as have some 60,000 pixels

    It is solved as a linear regression of a pixel of x on the 5 × 5 of x̃ around it.

    Raises
        TypeError   another model, one without corruption, or x no batch of pictures
    """
    head, corruption = getattr(model, "decoder", None), getattr(model, "corruption", None)
    if not isinstance(head, Conv2d) or corruption is None:
        raise TypeError(
            f"start_from_linear_filter: model is of class {type(model).__name__}, expected a "
            "DenoisingAutoencoder with a corruption and the layers of conv_denoiser"
        )
    check_images("start_from_linear_filter", x)
    check_generator("start_from_linear_filter", rng)
    x = np.asarray(model.as_input(x[: max(1, _PIXELS // (x.shape[2] * x.shape[3]))]))
    noisy = corruption(x, rng)
    C, border = x.shape[1], SIZE // 2
    padded = np.pad(noisy, ((0, 0), (0, 0), (border, border), (border, border)))
    windows = sliding_window_view(padded, (SIZE, SIZE), axis=(2, 3))  # (N, C, H, W, 5, 5)
    A = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, C * SIZE * SIZE)
    A = np.concatenate([A, np.ones((len(A), 1), A.dtype)], axis=1)
    B = x.transpose(0, 2, 3, 1).reshape(-1, C)
    solution = np.linalg.lstsq(_product(A, A), _product(A, B), rcond=None)[0]
    head.W.value[:, :C] = solution[:-1].T.reshape(C, C, SIZE, SIZE)
    head.b.value[...] = solution[-1]


def _product(A: Array, B: Array) -> Array:
    """AᵀB in float64, a part at a time."""
    total = np.zeros((A.shape[1], B.shape[1]))
    for i in range(0, len(A), 20_000):
        total += A[i : i + 20_000].astype(np.float64).T @ B[i : i + 20_000].astype(np.float64)
    return total
