"""Networks that lead from image to image, and those that judge: for CycleGAN and StarGAN."""

from __future__ import annotations

import math

import numpy as np

from tinyae.arguments import integer, positive_int
from tinyae.layers import (
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    InstanceNorm,
    Layer,
    LeakyReLU,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
)
from tinyae.models.builders import Activation, named, sizes_of


def cyclegan(
    shape: tuple[int, int, int] = (1, 28, 28),
    channels: int = 16,
    blocks: int = 2,
    *,
    output: Activation = Sigmoid,
    rng: np.random.Generator,
) -> tuple[Layer, Layer, Layer, Layer]:
    """The generators of y and of x, and the discriminators of y and of x, for a :class:`CycleGAN`.

    A discriminator halves the image twice and gives a number for each patch of 18 × 18 pixels.

    Source    Zhu, Park, Isola & Efros (2017), §4, smaller; a patch's judge: Isola et al. (2017), §3.2.2

    Raises
        ValueError  height or width is no multiple of 4
    """
    depth, channels, blocks = _checked("cyclegan", shape, channels, blocks)
    make_output = named("cyclegan", "output", output)
    generators = [_translator(depth, depth, channels, blocks, make_output, rng) for _ in "yx"]
    judges = [
        Sequential(*_halving(depth, channels, rng), Conv2d(2 * channels, 1, 3, 1, "same", rng=rng))
        for _ in "yx"
    ]
    return generators[0], generators[1], judges[0], judges[1]


def stargan(
    shape: tuple[int, int, int] = (1, 28, 28),
    domains: int = 5,
    channels: int = 16,
    blocks: int = 2,
    *,
    output: Activation = Sigmoid,
    rng: np.random.Generator,
) -> tuple[Layer, Layer]:
    """(generator, discriminator) for a :class:`StarGAN` of so many domains.

    Source    Choi et al. (2018), appendix, tables 4 and 5, smaller

    Raises
        ValueError  height or width is no multiple of 4
    """
    depth, channels, blocks = _checked("stargan", shape, channels, blocks)
    domains = positive_int("stargan", "domains", domains, 3)
    make_output = named("stargan", "output", output)
    generator = _translator(depth + domains, depth, channels, blocks, make_output, rng)
    size = 2 * channels * math.prod(n // 4 for n in shape[1:])
    judge = *_halving(depth, channels, rng), Flatten(), Dense(size, 1 + domains, rng=rng)
    return generator, Sequential(*judge)


def _translator(
    depth_in: int,
    depth_out: int,
    channels: int,
    blocks: int,
    make_output: Activation,
    rng: np.random.Generator,
) -> Layer:
    """An image halved once, ``blocks`` residual blocks with InstanceNorm, and doubled again.

    There is no norm beside the blocks: it would take from G how bright the image is.

    Source    Johnson, Alahi & Fei-Fei (2016), with instance normalisation (Ulyanov et al. 2016)
    """
    layers: list[Layer] = [Conv2d(depth_in, channels, 4, 2, "same", rng=rng), ReLU()]
    for _ in range(blocks):
        first, second = (Conv2d(channels, channels, 3, 1, "same", rng=rng) for _ in range(2))
        branch = first, InstanceNorm(channels), ReLU(), second, InstanceNorm(channels)
        layers.append(Residual(Sequential(*branch)))
    layers.append(ConvTranspose2d(channels, depth_out, 4, 2, "same", rng=rng))
    return Sequential(*layers, make_output())  # type: ignore[operator]


def _halving(depth: int, channels: int, rng: np.random.Generator) -> list[Layer]:
    """Two convolutions that halve the image, without a norm: the judge sees brightness, too."""
    return [
        *(Conv2d(depth, channels, 4, 2, "same", rng=rng), LeakyReLU(0.2)),
        *(Conv2d(channels, 2 * channels, 4, 2, "same", rng=rng), LeakyReLU(0.2)),
    ]


def _checked(who: str, shape: tuple[int, int, int], channels: int, blocks: int) -> tuple[int, ...]:
    if len(sizes_of(who, "shape", shape)) != 3:
        raise ValueError(f"{who}: shape is {shape!r}, expected (C, H, W); pass e.g. (1, 28, 28)")
    if shape[1] % 4 or shape[2] % 4:
        raise ValueError(
            f"{who}: images of {shape[1]} × {shape[2]} cannot be halved twice; pad the images"
        )
    channels = positive_int(who, "channels", channels, 16)
    return shape[0], channels, integer(who, "blocks", blocks, 0, 2)
