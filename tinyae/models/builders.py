"""Builders of symmetric encoders and decoders.

The same pair of parts can be used in every model::

    encoder, decoder = dense_encoder_decoder((1, 28, 28), [256, 16], rng=rng)
    model = Autoencoder(encoder, decoder, MSE())          # or Denoising…, Sparse…, Contractive…
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import flag, positive_int, sizes_of
from tinyae.initializers import Initializer
from tinyae.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose1d,
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
from tinyae.layers.activation import activations

Maker = Callable[[], Layer]
Activation = Maker | str  # ReLU, "relu", or lambda: LeakyReLU(0.2)


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
    ``output`` the last one: a class, a function, or a name such as "relu"; None leaves it linear.
    With ``tied`` the decoder shares the encoder's matrices, transposed, so that they get both
    gradients (Vincent et al. 2010, §2.2). One hidden
    layer, ``units=[64]``, is the plain undercomplete autoencoder.

    Source    Hinton & Salakhutdinov (2006), fig. 1
    """
    who = "dense_encoder_decoder"
    make, make_code, make_output = (
        named(who, name, given)
        for name, given in (
            ("activation", activation),
            ("code_activation", code_activation),
            ("output", output),
        )
    )
    tied = flag(who, "tied", tied)
    shape, units = sizes_of(who, "shape", shape), sizes_of(who, "units", units)
    widths = [math.prod(shape), *units]
    denses = [
        Dense(wide, narrow, rng=rng, init=init, dtype=dtype)
        for wide, narrow in itertools.pairwise(widths)
    ]
    encoder: list[Layer] = [Flatten()] if len(shape) > 1 else []
    for dense in denses[:-1]:
        encoder += [dense, make()]
    encoder += [denses[-1], *_optional(make_code)]
    decoder: list[Layer] = []
    for dense in reversed(denses):
        if tied:
            decoder += [TiedDense(dense), make()]
        else:
            mirror = Dense(dense.out_features, dense.in_features, rng=rng, init=init, dtype=dtype)
            decoder += [mirror, make()]
    decoder[-1:] = _optional(make_output)
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
    """Strided convolutions that halve an image or a signal at each step, and back again.

    Forward   (C, H, W) → (channels[0], ⌈H/2⌉, ⌈W/2⌉) → (channels[1], ⌈H/4⌉, ⌈W/4⌉) → … and back by
              transposed convolutions; the last layer is a plain convolution to C channels. With
              ``latent_dim``, a Dense layer in the middle leads to a code of that size and another
              one from it. A signal (C, L) goes the same way with convolutions in one dimension
    Shapes    ``shape`` is one sample's, (C, H, W) or (C, L), of any size; the code is
              (N, latent_dim), or without one (N, channels[−1], …)
    Raises    ValueError unless all sizes are ints ≥ 1

    ``activation`` and ``output`` are as for :func:`dense_encoder_decoder`. On pictures that are
    mostly black, a Sigmoid output under MSE may saturate at black in the first steps and stay there;
    ``output=None`` with BCEWithLogits does not.

    Source    Masci, Meier, Cireşan & Schmidhuber (2011); strides in place of pooling as in
              Radford, Metz & Chintala (2016), §3
    """
    who = "conv_encoder_decoder"
    make, make_output = named(who, "activation", activation), named(who, "output", output)
    if latent_dim is not None:
        latent_dim = positive_int(who, "latent_dim", latent_dim)
    shape, channels = sizes_of(who, "shape", shape), sizes_of(who, "channels", channels)
    kernel_size = positive_int(who, "kernel_size", kernel_size, 3)
    if len(shape) not in (2, 3):
        raise ValueError(
            f"{who}: shape is {tuple(shape)}, expected (C, H, W) of an image or (C, L) of a signal; "
            "pass e.g. (1, 28, 28)"
        )
    flat = len(shape) == 2
    down: Any = Conv1d if flat else Conv2d
    drawn: dict[str, Any] = {"rng": rng, "init": init, "dtype": dtype}
    encoder: list[Layer] = []
    sizes = [tuple(shape[1:])]
    for outer, inner in itertools.pairwise([shape[0], *channels]):
        encoder += [down(outer, inner, kernel_size, 2, "same", **drawn), make()]
        sizes.append(tuple(-(-n // 2) for n in sizes[-1]))
    middle = (channels[-1], *sizes[-1])
    decoder: list[Layer] = []
    if latent_dim is not None:
        width = math.prod(middle)
        encoder += [Flatten(), Dense(width, latent_dim, **drawn)]
        decoder += [Dense(latent_dim, width, **drawn), make(), Reshape(*middle)]
    widths = itertools.pairwise([channels[-1], *reversed(channels)])
    for (outer, inner), small, large in zip(widths, sizes[::-1], sizes[-2::-1]):
        decoder += [_doubling(outer, inner, kernel_size, small, large, drawn), make()]
    last = down(channels[0], shape[0], kernel_size, 1, "same", **drawn)
    return Sequential(*encoder), Sequential(*decoder, last, *_optional(make_output))


def _doubling(
    outer: int,
    inner: int,
    kernel_size: int,
    small: tuple[int, ...],
    large: tuple[int, ...],
    drawn: dict[str, Any],
) -> Layer:
    """A transposed convolution with stride 2 from pictures or signals of one size to another.

    (n − 1) · 2 − 2p + k + q is 2n or 2n − 1 for the right padding p and output padding q ≤ 1.
    """
    up: Any = ConvTranspose1d if len(small) == 1 else ConvTranspose2d
    short = [2 * n - wanted for n, wanted in zip(small, large)]  # 0, or 1 for an odd size
    if not any(short):
        return up(outer, inner, kernel_size, 2, "same", **drawn)
    padding = tuple(max(0, -(-(kernel_size - 2 + s) // 2)) for s in short)
    output_padding = tuple(2 + 2 * p - kernel_size - s for p, s in zip(padding, short))
    if len(small) == 1:
        return up(outer, inner, kernel_size, 2, padding[0], output_padding[0], **drawn)
    return up(outer, inner, kernel_size, 2, padding, output_padding, **drawn)


def named(who: str, name: str, make: Any) -> Any:
    """What makes a layer, which may be given by the name of an activation, "relu" or "leaky_relu".

    Raises
        TypeError  no such name, a layer that is made already, or a class that needs arguments
    """
    if not isinstance(make, str):
        check_makers(who, **{name: make})
        return make

    def plain(text: str) -> str:
        return text.lower().replace("_", "").replace("-", "")

    known = {plain(cls.__name__): cls for cls in activations()}
    if plain(make) in ("linear", "none", "identity") and name != "activation":
        return None
    if plain(make) not in known:
        raise TypeError(
            f"{who}: {name} is {make!r:.60}, expected what makes a layer; pass a class such as "
            f"{name}=ReLU, or a name: {', '.join(sorted(known))}"
        )
    return known[plain(make)]


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


def _optional(activation: Maker | None) -> list[Layer]:
    return [] if activation is None else [activation()]


# The names of version 0.1.
dense_pair = dense_encoder_decoder
conv_pair = conv_encoder_decoder
