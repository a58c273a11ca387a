"""Builders of symmetric encoders and decoders.

The same pair of parts can be used in every model::

    encoder, decoder = dense_encoder_decoder((1, 28, 28), [256, 16], rng=rng)
    model = Autoencoder(encoder, decoder, MSE())          # or Denoising…, Sparse…, Contractive…
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import flag, positive_int
from tinyae.initializers import Initializer
from tinyae.layers import (
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    Layer,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    TiedDense,
)

Activation = Callable[[], Layer]  # ReLU, or lambda: LeakyReLU(0.2)


def dense_encoder_decoder(
    shape: Sequence[int],
    units: Sequence[int],
    *,
    activation: Activation = ReLU,
    code_activation: Activation | None = None,
    output: Activation | None = Sigmoid,
    tied: bool = False,
    rng: np.random.Generator | None = None,
    init: Initializer | None = None,
    dtype: DTypeLike = np.float32,
) -> tuple[Sequential, Sequential]:
    """Dense layers that narrow to the code, and their mirror image.

    Forward   shape → units[0] → … → units[−1], the code → … → units[0] → shape
    Shapes    ``shape`` is that of one sample, such as (1, 28, 28); the code is (N, units[−1])
    Raises    ValueError unless shape and units hold ints ≥ 1

    ``activation`` makes the layer after each Dense, ``code_activation`` the one after the code and
    ``output`` the last one; None leaves it linear. With ``tied`` the decoder shares the encoder's
    matrices, transposed, so that they get both gradients (Vincent et al. 2010, §2.2). One hidden
    layer, ``units=[64]``, is the plain undercomplete autoencoder.

    Source    Hinton & Salakhutdinov (2006), fig. 1
    """
    who = "dense_encoder_decoder"
    check_makers(who, activation=activation, code_activation=code_activation, output=output)
    tied = flag(who, "tied", tied)
    shape, units = sizes_of(who, "shape", shape), sizes_of(who, "units", units)
    widths = [math.prod(shape), *units]
    denses = [
        Dense(wide, narrow, rng=rng, init=init, dtype=dtype)
        for wide, narrow in itertools.pairwise(widths)
    ]
    encoder: list[Layer] = [Flatten()] if len(shape) > 1 else []
    for dense in denses[:-1]:
        encoder += [dense, activation()]
    encoder += [denses[-1], *_optional(code_activation)]
    decoder: list[Layer] = []
    for dense in reversed(denses):
        if tied:
            decoder += [TiedDense(dense), activation()]
        else:
            mirror = Dense(dense.out_features, dense.in_features, rng=rng, init=init, dtype=dtype)
            decoder += [mirror, activation()]
    decoder[-1:] = _optional(output)
    decoder += [Reshape(*shape)] if len(shape) > 1 else []
    return Sequential(*encoder), Sequential(*decoder)


def dense_variational(
    shape: Sequence[int],
    units: Sequence[int],
    *,
    activation: Activation = ReLU,
    output: Activation | None = None,
    rng: np.random.Generator | None = None,
    init: Initializer | None = None,
    dtype: DTypeLike = np.float32,
) -> tuple[Sequential, Dense, Dense, Sequential]:
    """A variational autoencoder's encoder, mean, logvar and decoder.

    Forward   as :func:`dense_encoder_decoder`, but the encoder ends in units[−2], and two
              heads lead from there to units[−1] numbers each; ``output`` is None by default,
              because Bernoulli takes logits
    Shapes    mean and logvar (N, units[−1])
    Raises    ValueError unless shape and units hold ints ≥ 1, units at least two
    Source    Kingma & Welling (2014), appendix C
    """
    if len(sizes_of("dense_variational", "units", units)) < 2:
        raise ValueError(
            f"dense_variational: units is {units!r}, expected at least one hidden layer and the code; "
            "pass e.g. [500, 20]"
        )
    encoder, decoder = dense_encoder_decoder(
        shape, units, activation=activation, output=output, rng=rng, init=init, dtype=dtype
    )
    *hidden, mean = encoder.layers
    assert isinstance(mean, Dense)
    logvar = Dense(mean.in_features, mean.out_features, rng=rng, init=init, dtype=dtype)
    return Sequential(*hidden), mean, logvar, decoder


def conv_encoder_decoder(
    shape: Sequence[int],
    channels: Sequence[int],
    *,
    latent_dim: int | None = None,
    kernel_size: int = 3,
    activation: Activation = ReLU,
    output: Activation | None = Sigmoid,
    rng: np.random.Generator | None = None,
    init: Initializer | None = None,
    dtype: DTypeLike = np.float32,
) -> tuple[Sequential, Sequential]:
    """Strided convolutions that halve the image at each step, and transposed ones that double it.

    Forward   (C, H, W) → (channels[0], H/2, W/2) → (channels[1], H/4, W/4) → … and back; the
              last layer is a plain convolution to C channels. With ``latent_dim``, a Dense
              layer in the middle leads to a code of that size and another one from it
    Shapes    ``shape`` is one image's, (C, H, W); the code is (N, latent_dim), or without one
              (N, channels[−1], H/2ᵏ, W/2ᵏ)
    Raises    ValueError unless H and W can be halved that often and all sizes are ints ≥ 1

    On pictures that are mostly black, a Sigmoid output under MSE may saturate at black in the first
    steps and stay there; ``output=None`` with BCEWithLogits does not.

    Source    Masci, Meier, Cireşan & Schmidhuber (2011); strides in place of pooling as in
              Radford, Metz & Chintala (2016), §3
    """
    who = "conv_encoder_decoder"
    check_makers(who, activation=activation, output=output)
    if latent_dim is not None:
        latent_dim = positive_int(who, "latent_dim", latent_dim)
    shape, channels = sizes_of(who, "shape", shape), sizes_of(who, "channels", channels)
    factor = 2 ** len(channels)
    if len(shape) != 3 or shape[1] % factor or shape[2] % factor:
        raise ValueError(
            f"{who}: shape is {tuple(shape)}, expected (C, H, W) with H and W divisible by "
            f"{factor} for {len(channels)} channels; pad the images, or pass fewer channels"
        )
    encoder: list[Layer] = []
    for outer, inner in itertools.pairwise([shape[0], *channels]):
        conv = Conv2d(outer, inner, kernel_size, 2, "same", rng=rng, init=init, dtype=dtype)
        encoder += [conv, activation()]
    middle = (channels[-1], shape[1] // factor, shape[2] // factor)
    decoder: list[Layer] = []
    if latent_dim is not None:
        width = math.prod(middle)
        encoder += [Flatten(), Dense(width, latent_dim, rng=rng, init=init, dtype=dtype)]
        decoder += [Dense(latent_dim, width, rng=rng, init=init, dtype=dtype), activation()]
        decoder += [Reshape(*middle)]
    for outer, inner in itertools.pairwise([channels[-1], *reversed(channels)]):
        up = ConvTranspose2d(outer, inner, kernel_size, 2, "same", rng=rng, init=init, dtype=dtype)
        decoder += [up, activation()]
    last = Conv2d(channels[0], shape[0], kernel_size, 1, "same", rng=rng, init=init, dtype=dtype)
    return Sequential(*encoder), Sequential(*decoder, last, *_optional(output))


def check_makers(who: str, **makers: Activation | None) -> None:
    """Raise unless each of them, if given, makes a layer.

    Raises
        TypeError  a name, a layer that is made already, or a class that needs arguments
    """
    for name, make in makers.items():
        do = f"pass a class such as {name}=ReLU, or {name}=lambda: LeakyReLU(0.2)"
        if make is None and name != "activation":
            continue
        if not callable(make) or isinstance(make, Layer):
            raise TypeError(f"{who}: {name} is {make!r:.60}, expected what makes a layer; {do}")
        try:
            made: object = make()
        except TypeError as error:
            raise TypeError(f"{who}: {name}() cannot be called ({error}); {do}") from error
        if not isinstance(made, Layer):
            raise TypeError(f"{who}: {name}() gives {made!r:.60}, expected a layer; {do}")


def _optional(activation: Activation | None) -> list[Layer]:
    return [] if activation is None else [activation()]


def sizes_of(who: str, name: str, sizes: Sequence[int]) -> list[int]:
    if isinstance(sizes, (str, bytes)) or not isinstance(sizes, Sequence) or not len(sizes):
        raise ValueError(
            f"{who}: {name} is {sizes!r}, expected a sequence of ints ≥ 1; pass e.g. [256, 16]"
        )
    return [positive_int(who, name, size) for size in sizes]


# The names of version 0.1.
dense_pair = dense_encoder_decoder
conv_pair = conv_encoder_decoder
