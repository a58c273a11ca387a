"""What both players of a growing GAN are built of: convolutions with equalised learning rate.

Every list is a stage of Karras, Aila, Laine & Lehtinen (2018), table 2, with fewer channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import positive_int, sizes_of
from tinyae.initializers import Normal
from tinyae.layers import (
    AvgPool2d,
    Conv2d,
    Dense,
    Equalized,
    Flatten,
    Layer,
    LeakyReLU,
    MinibatchDeviation,
    PixelNorm,
    Reshape,
    Sequential,
    Sigmoid,
    Upsample2d,
)
from tinyae.models.builders import Activation, named


def progan(
    shape: tuple[int, int, int] = (1, 7, 7),
    channels: int = 32,
    latent_dim: int = 64,
    *,
    output: Activation = Sigmoid,
    rng: np.random.Generator,
) -> tuple[Layer, Layer]:
    """(generator, discriminator) of the smallest images, ready to grow in a :class:`ProGAN`.

    The generator sets z on the sphere, maps it to the smallest feature maps, and has PixelNorm after
    every convolution; the discriminator ends in :func:`judge`.

    Source    Karras, Aila, Laine & Lehtinen (2018), table 2, first and last rows; §4
    """
    if len(sizes_of("progan", "shape", shape)) != 3:
        raise ValueError(f"progan: shape is {shape!r}, expected (C, H, W); pass e.g. (1, 7, 7)")
    depth, height, width = shape
    channels = positive_int("progan", "channels", channels, 32)
    latent_dim = positive_int("progan", "latent_dim", latent_dim)
    make_output = named("progan", "output", output)
    size = channels * height * width
    first = Equalized(Dense(latent_dim, size, rng=rng, init=Normal(1.0)))
    up = [PixelNorm(), first, Reshape(channels, height, width), LeakyReLU(0.2), PixelNorm()]
    up += [conv(channels, channels, rng=rng), LeakyReLU(0.2), PixelNorm()]
    generator = Sequential(*up, to_image(channels, depth, rng=rng), make_output())
    tail = judge(channels, height, width, rng=rng)
    return generator, Sequential(from_image(depth, channels, rng=rng), *tail)


def up_block(
    a: int, b: int, *, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> list[Layer]:
    """From a channels to b, the maps doubled."""
    first, second = conv(a, b, rng=rng, dtype=dtype), conv(b, b, rng=rng, dtype=dtype)
    activated = LeakyReLU(0.2), PixelNorm()
    return [Upsample2d(2), first, *activated, second, LeakyReLU(0.2), PixelNorm()]


def down_block(
    a: int, b: int, *, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> list[Layer]:
    """From a channels to b, the maps halved."""
    first, second = conv(a, a, rng=rng, dtype=dtype), conv(a, b, rng=rng, dtype=dtype)
    return [first, LeakyReLU(0.2), second, LeakyReLU(0.2), AvgPool2d(2)]


def judge(channels: int, height: int, width: int, *, rng: np.random.Generator) -> list[Layer]:
    """From the smallest maps to the logit, with a look at how much the batch varies."""
    size = channels * height * width
    return [
        MinibatchDeviation(),
        conv(channels + 1, channels, rng=rng),
        LeakyReLU(0.2),
        Flatten(),
        Equalized(Dense(size, channels, rng=rng, init=Normal(1.0))),
        LeakyReLU(0.2),
        Equalized(Dense(channels, 1, rng=rng, init=Normal(1.0)), gain=1.0),
    ]


def to_image(
    channels: int, depth: int, *, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> Layer:
    """A pixel of the image from the channels of that pixel."""
    return Equalized(Conv2d(channels, depth, 1, rng=rng, init=Normal(1.0), dtype=dtype), gain=1.0)


def from_image(
    depth: int, channels: int, *, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> Layer:
    """The channels of a pixel from the image."""
    return Sequential(conv(depth, channels, 1, rng=rng, dtype=dtype), LeakyReLU(0.2))


def conv(
    a: int, b: int, kernel: int = 3, *, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> Layer:
    """A convolution that keeps the maps' size."""
    return Equalized(Conv2d(a, b, kernel, 1, "same", rng=rng, init=Normal(1.0), dtype=dtype))
