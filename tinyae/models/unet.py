"""The U-Net: a network from images to images that keeps its details by skip connections.

    encoder, decoder = unet(1, 1, [16, 32, 64], rng=rng)
    model = DenoisingAutoencoder(encoder, decoder, MSE(), GaussianNoise(0.2))     # denoising
    model = DenoisingAutoencoder(encoder, decoder, BCEWithLogits())               # pairs (image, mask)

Nothing here needs a gradient of its own: each level is a ``Skip`` around the next one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import positive_int
from tinyae.initializers import HeNormal
from tinyae.layers import (
    BatchNorm,
    Conv1d,
    Conv2d,
    Layer,
    MaxPool1d,
    MaxPool2d,
    ReLU,
    Sequential,
    Skip,
    Upsample1d,
    Upsample2d,
)
from tinyae.models.builders import sizes_of


def unet(
    in_channels: int,
    out_channels: int,
    widths: Sequence[int],
    *,
    dims: int = 2,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
) -> tuple[Sequential, Layer]:
    """A U-Net, as an encoder to features of every pixel and a decoder that reads them.

    Forward   u₁ = level₁(x)      y = W ∗ u₁ + b,   W a kernel of one pixel
              levelₗ(h) = blockₗ′([e, ↑ levelₗ₊₁(↓ e)]),   e = blockₗ(h);   the last level is block(h)
    Shapes    x (N, in_channels, H, W)   u₁ (N, widths[0], H, W)   y (N, out_channels, H, W), or with
              dims=1 (N, …, L); each size a multiple of 2^(levels − 1)
    Raises    ValueError unless the channels and widths are ints ≥ 1 and dims is 1 or 2
    Source    Ronneberger, Fischer & Brox (2015), fig. 1; here with padding, so that y has x's size,
              and BatchNorm after each convolution

    A block is two convolutions of three pixels with BatchNorm and ReLU, to widths[l] channels. ↓ is
    a max-pool of two pixels, ↑ repeats pixels, and [ , ] joins channels. A narrow code would have to
    hold every edge; here edges pass by it at full resolution, and deep levels add what a wide view
    shows.
    """
    channels = positive_int("unet", "in_channels", in_channels, 1)
    out = positive_int("unet", "out_channels", out_channels, 1)
    levels = sizes_of("unet", "widths", widths)
    if dims not in (1, 2) or isinstance(dims, bool):
        raise ValueError(
            f"unet: dims is {dims!r}, expected 1 for sequences or 2 for images; pass dims=2"
        )
    conv, pool, upsample = (
        (Conv1d, MaxPool1d, Upsample1d) if dims == 1 else (Conv2d, MaxPool2d, Upsample2d)
    )

    def block(inputs: int, width: int) -> list[Layer]:
        parts: list[Layer] = []
        for c in (inputs, width):
            layer = conv(c, width, 3, 1, 1, rng=rng, init=HeNormal(), dtype=dtype)
            parts += [layer, BatchNorm(width, dtype=dtype), ReLU()]
        return parts

    def level(inputs: int, depth: int) -> list[Layer]:
        width = levels[depth]
        if depth == len(levels) - 1:
            return block(inputs, width)
        deeper = Sequential(pool(2), *level(width, depth + 1), upsample(2))
        return [*block(inputs, width), Skip(deeper), *block(width + levels[depth + 1], width)]

    head = conv(levels[0], out, 1, rng=rng, dtype=dtype)
    return Sequential(*level(channels, 0)), head
