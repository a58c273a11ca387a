"""The U-Net: a network from images to images that keeps its details by skip connections.

    model = UNet(1, 1, [16, 32, 64], MSE(), GaussianNoise(0.2), rng=rng)     # denoising
    model = UNet(1, 1, [16, 32, 64], BCEWithLogits(), rng=rng)               # pairs (image, mask)

Nothing here needs a gradient of its own: each level is a ``Skip`` around the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import positive_int, sizes_of
from tinyae.data.corruption import Corruption
from tinyae.initializers import HeNormal, Initializer
from tinyae.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Layer,
    MaxPool1d,
    MaxPool2d,
    ReLU,
    Sequential,
    Skip,
)
from tinyae.losses import Loss
from tinyae.models.denoising import DenoisingAutoencoder


class UNet(DenoisingAutoencoder):
    """Images to images by a U-Net: noisy to clean, or a picture to the mask of what is in it.

    Forward   x̃ ~ q(x̃ | x)      u = [x̃, level₁(x̃)]      y = W ∗ u + b      total = L(y, x)
    Shapes    x̃ (N, in_channels, H, W)   y, x (N, out_channels, H, W); with dims=1 (N, …, L)
    Backward  the plain autoencoder's, with u as the code
    Units     the loss's, see :mod:`tinyae.losses`
    Raises    as :class:`DenoisingAutoencoder` and :func:`unet`
    Source    Ronneberger, Fischer & Brox (2015)

    What the levels are, :func:`unet` says. A batch is x, which ``corruption`` spoils, or a pair
    (x̃, x). To segment, the pair is a picture and a mask of zeros and ones, the loss BCEWithLogits:
    then ``reconstruct`` gives the probability of each pixel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        loss: Loss,
        corruption: Corruption | None = None,
        *,
        dims: int = 2,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        parts = unet(in_channels, out_channels, widths, dims=dims, rng=rng, init=init, dtype=dtype)
        super().__init__(*parts, loss, corruption)
        self.in_channels, self.out_channels = int(in_channels), int(out_channels)
        self.widths, self.dims = tuple(map(int, widths)), int(dims)


def unet(
    in_channels: int,
    out_channels: int,
    widths: Sequence[int],
    *,
    dims: int = 2,
    rng: np.random.Generator | None = None,
    init: Initializer | None = None,
    dtype: DTypeLike = np.float32,
) -> tuple[Sequential, Layer]:
    """A U-Net, as an encoder to features of every pixel and a decoder that reads them.

    Forward   u = [x, level₁(x)]      y = W ∗ u + b,   W a kernel of one pixel
              levelₗ(h) = blockₗ′([e, ↑ levelₗ₊₁(↓ e)]),   e = blockₗ(h);   the last level is block(h)
    Shapes    x (N, in_channels, H, W)   u (N, in_channels + widths[0], H, W)
              y (N, out_channels, H, W), or with dims=1 (N, …, L); each size a multiple of
              2^(levels − 1)
    Raises    ValueError unless the channels and widths are ints ≥ 1 and dims is 1 or 2
    Source    Ronneberger, Fischer & Brox (2015), fig. 1; here with padding, so that y has x's size

    A block is two convolutions of three pixels with ReLU, to widths[l] channels. ↓ is a max-pool of
    two pixels, ↑ a transposed convolution of two pixels to widths[l] channels, and [ , ] joins
    channels. A narrow code would have to hold every edge; here edges pass by it at full resolution,
    and deep levels add what a wide view shows.

    W starts as the identity of x, and 0 elsewhere, so y = x at first where the channels are as many:
    what is learnt is the change (Zhang et al. 2017, §3.3).
    """
    channels = positive_int("unet", "in_channels", in_channels, 1)
    out = positive_int("unet", "out_channels", out_channels, 1)
    levels = sizes_of("unet", "widths", widths)
    if dims not in (1, 2) or isinstance(dims, bool):
        raise ValueError(
            f"unet: dims is {dims!r}, expected 1 for sequences or 2 for images; pass dims=2"
        )
    conv, pool, up = (
        (Conv1d, MaxPool1d, ConvTranspose1d) if dims == 1 else (Conv2d, MaxPool2d, ConvTranspose2d)
    )

    drawn: dict[str, Any] = {"rng": rng, "init": init or HeNormal(), "dtype": dtype}

    def block(inputs: int, width: int) -> list[Layer]:
        first, second = (conv(c, width, 3, 1, 1, **drawn) for c in (inputs, width))
        return [first, ReLU(), second, ReLU()]

    def level(inputs: int, depth: int) -> list[Layer]:
        width = levels[depth]
        if depth == len(levels) - 1:
            return block(inputs, width)
        rise = up(levels[depth + 1], width, 2, 2, **drawn)
        deeper = Sequential(pool(2), *level(width, depth + 1), rise)
        return [*block(inputs, width), Skip(deeper), *block(2 * width, width)]

    head = conv(channels + levels[0], out, 1, **drawn)
    head.W.value[...] = 0
    head.W.value[:, :channels].reshape(out, channels)[...] = np.eye(out, channels)
    return Sequential(Skip(Sequential(*level(channels, 0)))), head
