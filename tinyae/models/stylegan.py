"""StyleGAN: z becomes a style by a network of its own, and every layer of the generator gets one.

generator, discriminator = stylegan((1, 28, 28), rng=rng)
model = StyleGAN(generator, discriminator)
fit(model, x, optimizer=(Adam(2e-3, beta1=0.0), Adam(2e-3, beta1=0.0)))
model.sample(100, rng, truncation=0.7)
model.mix(coarse, fine, crossover=2)      # the shape of one image, the strokes of another
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinyae.arguments import check_generator, integer, number, positive_int, sizes_of
from tinyae.arrays import check_real
from tinyae.initializers import Normal
from tinyae.layers import (
    Dense,
    Equalized,
    Layer,
    LeakyReLU,
    PixelNorm,
    Sequential,
    Sigmoid,
    StyleBlock,
    Synthesis,
    Tokenwise,
)
from tinyae.models.builders import Activation, named
from tinyae.models.gan_r1 import R1GAN
from tinyae.models.progan_blocks import down_block, from_image, judge, to_image
from tinyae.param import Array

_STYLES = 4096  # draws for the mean style


class StyleGAN(R1GAN):
    """A GAN whose generator maps z to styles w = f(z), one for each layer that draws.

    Forward   z (N, L, latent_dim): one row for each of the L blocks of the synthesis g
              w = f(z), row by row      x̃ = g(w)      losses as of :class:`R1GAN`
              mixing: with probability ``mixing`` the rows before a random place are one z ~ N(0, I),
              those from there on another; else all L are the same
    Truncated w ← w̄ + ψ (w − w̄),   w̄ = E f(z): ψ < 1 gives up variety for what is typical
    Shapes    z (N, latent_dim), the same for all blocks, or (N, L, latent_dim)   w (N, L, D)
    Raises    ValueError if the generator is not Tokenwise(f), Synthesis and what makes the image
    Source    Karras, Laine & Aila (2019), §2, §3.1 (mixing) and appendix B (truncation);
              weight demodulation and R1 of Karras et al. (2020)

    Mixing teaches the layers not to rely on each other's style, so that :meth:`mix` can cross two
    images. Their path-length regularisation and skip connections are left out.
    """

    def __init__(
        self,
        generator: Layer,
        discriminator: Layer,
        *,
        r1: float = 0.1,
        r1_samples: int = 8,
        mixing: float = 0.9,
        latent_dim: int | None = None,
    ) -> None:
        super().__init__(
            generator, discriminator, r1=r1, r1_samples=r1_samples, latent_dim=latent_dim
        )
        parts = generator.layers if isinstance(generator, Sequential) else ()
        if (
            len(parts) < 2
            or not isinstance(parts[0], Tokenwise)
            or not isinstance(parts[1], Synthesis)
        ):
            raise ValueError(
                f"StyleGAN: the generator is {generator!r:.80}, expected Sequential(Tokenwise(f), "
                "Synthesis(…), …); make it with stylegan()"
            )
        self.mixing = number("StyleGAN", "mixing", mixing, 0.9)
        if not 0 <= self.mixing <= 1:
            raise ValueError(
                f"StyleGAN: mixing is {mixing}, expected a probability, 0 to 1; pass e.g. 0.9"
            )

    @property
    def depth(self) -> int:
        """L, the number of blocks, each of which gets a style."""
        return len(self.generator.layers[1].blocks)  # type: ignore[attr-defined]

    def noise(self, n: int, rng: np.random.Generator | None) -> Array:
        """z (n, L, latent_dim), with mixing."""
        rng, L = check_generator("StyleGAN", rng), self.depth
        n = positive_int("StyleGAN", "n", n)
        z = rng.standard_normal((2, n, 1, self.latent_dim)).astype(self.dtype, copy=False)
        mixed = rng.random(n) < self.mixing
        place = rng.integers(1, max(L, 2), size=n)  # 1 to L − 1
        second = mixed[:, None] & (np.arange(L) >= place[:, None])
        return np.where(second[:, :, None], z[1], z[0])

    # --- use -------------------------------------------------------------------------------

    def sample(self, n: int, rng: np.random.Generator, truncation: float = 1.0) -> Array:
        """n new samples, unmixed, in inference mode. ``truncation`` is ψ."""
        return self.decode(super().noise(n, rng), truncation)

    def decode(self, z: Array, truncation: float = 1.0) -> Array:
        """The samples of z, (N, latent_dim) or (N, L, latent_dim). Takes any real dtype."""
        check_real("StyleGAN: z", z)
        if z.shape[1:] not in ((self.latent_dim,), (self.depth, self.latent_dim)):
            raise ValueError(
                f"StyleGAN: z has shape {z.shape}, expected (N, {self.latent_dim}) or "
                f"(N, {self.depth}, {self.latent_dim}); "
                f"pass rng.standard_normal((n, {self.latent_dim}))"
            )
        psi = number("StyleGAN", "truncation", truncation, 0.7)
        if not 0 <= psi <= 1:
            raise ValueError(
                f"StyleGAN: truncation is {truncation}, expected 0 to 1; pass e.g. truncation=0.7"
            )
        center = None if psi == 1 else self.mean_style()
        return self._in_chunks(lambda part: self._draw(part, center, psi), z, "z")

    def mix(self, coarse: Array, fine: Array, crossover: int, truncation: float = 1.0) -> Array:
        """Samples whose first ``crossover`` blocks have the style of ``coarse``, the others of ``fine``.

        Shapes    coarse, fine (N, latent_dim)
        """
        crossover = integer("StyleGAN.mix", "crossover", crossover, 0, 2)
        for name, z in (("coarse", coarse), ("fine", fine)):
            check_real(f"StyleGAN.mix: {name}", z)
            if z.shape != (len(coarse), self.latent_dim):
                raise ValueError(
                    f"StyleGAN.mix: {name} has shape {z.shape}, expected "
                    f"{(len(coarse), self.latent_dim)}; pass as many codes as of the other"
                )
        rows = [coarse if i < crossover else fine for i in range(self.depth)]
        return self.decode(np.stack(rows, axis=1), truncation)

    def mean_style(self) -> Array:
        """w̄ (D,), the mean over 4,096 draws of z, the same at every call."""
        z = np.random.default_rng(0).standard_normal((_STYLES, 1, self.latent_dim))
        return self._mapping(z.astype(self.dtype, copy=False)).mean(axis=(0, 1))

    def _draw(self, z: Array, center: Array | None, psi: float) -> Array:
        rows = z if z.ndim == 3 else z[:, None]
        w = self._mapping(rows)
        if center is not None:
            w = center + psi * (w - center)
        x = np.repeat(w, self.depth, axis=1) if z.ndim == 2 else w
        for layer in self.generator.layers[1:]:  # type: ignore[attr-defined]
            x = layer(x)
        return self.in_data_units(x)

    def _mapping(self, z: Array) -> Any:
        return self.generator.layers[0](z)  # type: ignore[attr-defined]


def stylegan(
    shape: tuple[int, int, int] = (1, 28, 28),
    channels: Sequence[int] = (16, 32, 32),
    latent_dim: int = 64,
    *,
    mapping_layers: int = 3,
    output: Activation = Sigmoid,
    rng: np.random.Generator,
) -> tuple[Layer, Layer]:
    """(generator, discriminator); ``channels`` from the largest images to the smallest.

    Each entry after the first halves the images. The mapping f has ``mapping_layers`` Dense layers of
    ``latent_dim`` units after PixelNorm; the synthesis has one block for the smallest images and two
    for each larger size. The discriminator is that of a grown :class:`ProGAN`.

    Source    Karras, Laine & Aila (2019), figure 1b; Karras et al. (2020), figure 2c

    Raises
        ValueError  height or width cannot be halved that often
    """
    if len(sizes_of("stylegan", "shape", shape)) != 3:
        raise ValueError(f"stylegan: shape is {shape!r}, expected (C, H, W); pass e.g. (1, 28, 28)")
    channels = sizes_of("stylegan", "channels", channels)
    latent_dim = positive_int("stylegan", "latent_dim", latent_dim)
    mapping_layers = positive_int("stylegan", "mapping_layers", mapping_layers, 3)
    make_output = named("stylegan", "output", output)
    check_generator("stylegan", rng)
    depth, height, width = shape
    times = 2 ** (len(channels) - 1)
    if height % times or width % times:
        raise ValueError(
            f"stylegan: images of {height} × {width} cannot be halved {len(channels) - 1} times; "
            "pass fewer channels, or pad the images"
        )
    h, w = height // times, width // times

    mapping: list[Layer] = [PixelNorm()]
    for _ in range(mapping_layers):
        dense = Dense(latent_dim, latent_dim, rng=rng, init=Normal(1.0))
        mapping += [Equalized(dense), LeakyReLU(0.2)]
    last = channels[-1]
    blocks = [StyleBlock(last, last, latent_dim, (h, w), rng=rng)]
    for k, (a, b) in enumerate(pairwise(reversed(channels)), 1):
        size = h * 2**k, w * 2**k
        blocks.append(StyleBlock(a, b, latent_dim, size, upsample=True, rng=rng))
        blocks.append(StyleBlock(b, b, latent_dim, size, rng=rng))
    image = to_image(channels[0], depth, rng=rng)
    synthesis = Synthesis(*blocks, rng=rng)
    generator = Sequential(Tokenwise(Sequential(*mapping)), synthesis, image, make_output())

    down: list[Layer] = [from_image(depth, channels[0], rng=rng)]
    for a, b in pairwise(channels):
        down += down_block(a, b, rng=rng)
    return generator, Sequential(*down, *judge(last, h, w, rng=rng))
