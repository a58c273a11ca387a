"""Builders of (generator, discriminator): from Dense layers, and from convolutions (DCGAN)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tinyae.arguments import number, positive_int, sizes_of
from tinyae.initializers import Normal
from tinyae.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
)
from tinyae.models.builders import Activation, named


def dense_gan(
    shape: tuple[int, ...] = (1, 28, 28),
    units: Sequence[int] = (512, 256),
    latent_dim: int = 64,
    *,
    dropout: float = 0.3,
    output: Activation = Sigmoid,
    rng: np.random.Generator,
) -> tuple[Layer, Layer]:
    """(generator, discriminator) of Dense layers: fast, and enough for small images and curves.

    The discriminator narrows, shape → units → 1, with LeakyReLU(0.2) and Dropout, which keeps it
    from winning too early; the generator is its mirror, latent_dim → units reversed → shape, with
    BatchNorm and ReLU, and ends in ``make_output()``: Sigmoid for data in [0, 1], Tanh for [−1, 1].

    Source    Goodfellow et al. (2014), §5, for dropout in the discriminator alone
    """
    shape = tuple(sizes_of("dense_gan", "shape", shape))
    units = sizes_of("dense_gan", "units", units)
    latent_dim = positive_int("dense_gan", "latent_dim", latent_dim)
    dropout = number("dense_gan", "dropout", dropout, 0.3)
    make_output = named("dense_gan", "output", output)
    size = math.prod(shape)
    up: list[Layer] = []
    for a, b in pairwise([latent_dim, *reversed(units)]):
        up += [Dense(a, b, rng=rng), BatchNorm(b), ReLU()]
    up += [Dense(units[0], size, rng=rng), make_output(), Reshape(*shape)]

    down: list[Layer] = [Flatten()]
    for a, b in pairwise([size, *units]):
        down += [Dense(a, b, rng=rng), LeakyReLU(0.2), Dropout(dropout, rng=rng)]
    down.append(Dense(units[-1], 1, rng=rng))
    return Sequential(*up), Sequential(*down)


def dcgan(
    shape: tuple[int, int, int] = (1, 28, 28),
    channels: Sequence[int] = (32, 64),
    latent_dim: int = 64,
    *,
    kernel_size: int = 4,
    output: Activation = Sigmoid,
    rng: np.random.Generator,
) -> tuple[Layer, Layer]:
    """(generator, discriminator) of convolutions: the deep convolutional GAN.

    Each entry of ``channels`` is a stride-2 convolution in the discriminator, which halves the
    image, with LeakyReLU(0.2), and is mirrored by a transposed one in the generator, with ReLU.
    BatchNorm is everywhere but at the generator's output and the discriminator's input. One Dense
    layer leads from z to the smallest image, another from the smallest image to the logit. A kernel
    size that is a multiple of the stride covers every pixel equally often and avoids a checkerboard.

    Source    Radford, Metz & Chintala (2016), §3 and §4; weights begin as N(0, 0.02²)

    Raises
        ValueError  height or width cannot be halved that often
    """
    if len(sizes_of("dcgan", "shape", shape)) != 3:
        raise ValueError(f"dcgan: shape is {shape!r}, expected (C, H, W); pass e.g. (1, 28, 28)")
    channels = sizes_of("dcgan", "channels", channels)
    latent_dim = positive_int("dcgan", "latent_dim", latent_dim)
    make_output = named("dcgan", "output", output)
    depth, height, width = shape
    times = 2 ** len(channels)
    if height % times or width % times:
        raise ValueError(
            f"dcgan: images of {height} × {width} cannot be halved {len(channels)} times; "
            "pass fewer channels, or pad the images"
        )
    small = channels[-1], height // times, width // times
    size = math.prod(small)
    init = Normal(0.02)

    def halve(a: int, b: int) -> Layer:
        return Conv2d(a, b, kernel_size, 2, "same", rng=rng, init=init)

    def double(a: int, b: int) -> Layer:
        return ConvTranspose2d(a, b, kernel_size, 2, "same", rng=rng, init=init)

    steps = list(pairwise(channels))
    up: list[Layer] = [Dense(latent_dim, size, rng=rng, init=init), Reshape(*small)]
    up += [BatchNorm(channels[-1]), ReLU()]
    for a, b in reversed(steps):
        up += [double(b, a), BatchNorm(a), ReLU()]
    up += [double(channels[0], depth), make_output()]

    down: list[Layer] = [halve(depth, channels[0]), LeakyReLU(0.2)]
    for a, b in steps:
        down += [halve(a, b), BatchNorm(b), LeakyReLU(0.2)]
    down += [Flatten(), Dense(size, 1, rng=rng, init=init)]
    return Sequential(*up), Sequential(*down)


def conv_wgan(
    shape: tuple[int, int, int] = (1, 28, 28),
    channels: Sequence[int] = (32, 64),
    latent_dim: int = 64,
    *,
    kernel_size: int = 4,
    output: Activation = Sigmoid,
    rng: np.random.Generator,
) -> tuple[Layer, Layer]:
    """(generator, critic) of convolutions, for a :class:`~tinyae.WassersteinGAN`.

    The generator of :func:`dcgan`. The critic is its discriminator without BatchNorm, whose weights
    begin as wide as LeakyReLU's: nothing rescales what passes through, and slopes are to be near 1.

    Source    Gulrajani et al. (2017), §4: no batch normalisation in the critic

    Raises
        ValueError  height or width cannot be halved that often
    """
    generator, _ = dcgan(
        shape, channels, latent_dim, kernel_size=kernel_size, output=output, rng=rng
    )
    critic: list[Layer] = []
    for a, b in pairwise([shape[0], *channels]):
        critic += [Conv2d(a, b, kernel_size, 2, "same", rng=rng), LeakyReLU(0.2)]
    size = channels[-1] * math.prod(n // 2 ** len(channels) for n in shape[1:])
    critic += [Flatten(), Dense(size, 1, rng=rng)]
    return generator, Sequential(*critic)
