"""The masked autoencoder: three quarters of a picture are hidden, and must come from the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import check_generator, generator, number, positive_int, sizes_of
from tinyae.initializers import Initializer
from tinyae.layers import Dense, LayerNorm, LearntPositions, Sequential, Tokenwise, TransformerBlock
from tinyae.models.base import Model, Terms
from tinyae.param import Array, Param


class MaskedAutoencoder(Model):
    """A Transformer sees only the visible patches; a light one completes the picture.

    Forward   p = the T patches of x, of P numbers      V of them, drawn at random, are visible
              z = f(embed(p) + positions) of the visible ones      h = bridge(z) at their places, the
              mask token elsewhere      y = g(h + positions)
              total = reconstruction = mean (y − p)² over the hidden patches
    Shapes    x (N, C, H, W)   p, y (N, T, P)   z (N, V, dim)   h (N, T, decoder_dim)
    Backward  dy = 2 (y − p)/size where hidden, else 0      dmask = Σ dh where hidden
              dz from dh at the visible places; the tokens left out get 0
    Units     the data's, squared
    Raises    ValueError without a generator, or if patches do not fill the image
    Source    He, Chen, Xie, Li, Dollár & Girshick (2022), §3, with learnt positions

    The encoder works on a quarter of the tokens, so it may be large. ``encode`` shows it all of them.
    """

    def __init__(
        self,
        shape: Sequence[int],
        patch: int = 4,
        dim: int = 64,
        depth: int = 4,
        heads: int = 4,
        *,
        decoder_dim: int = 32,
        decoder_depth: int = 1,
        masked: float = 0.75,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        who = "MaskedAutoencoder"
        self.shape, self.patch = (
            tuple(sizes_of(who, "shape", shape)),
            positive_int(who, "patch", patch, 4),
        )
        if len(self.shape) != 3 or self.shape[1] % self.patch or self.shape[2] % self.patch:
            raise ValueError(
                f"{who}: shape is {tuple(shape)} and patch is {patch}, expected (C, H, W) with H and W "
                "divisible by patch; pass e.g. shape=(1, 28, 28), patch=4"
            )
        self.dim, self.heads = positive_int(who, "dim", dim), positive_int(who, "heads", heads, 4)
        self.depth = positive_int(who, "depth", depth, 4)
        self.decoder_dim = positive_int(who, "decoder_dim", decoder_dim, 32)
        self.decoder_depth = positive_int(who, "decoder_depth", decoder_depth, 1)
        channels, height, width = self.shape
        self.tokens = (height // self.patch) * (width // self.patch)
        self.masked = number(who, "masked", masked, 0.75)
        if not 0 < self.masked < 1 or not 1 <= self.visible < self.tokens:
            raise ValueError(
                f"{who}: masked is {masked}, expected a share between 0 and 1 that hides and leaves at "
                f"least one of {self.tokens} patches; pass e.g. masked=0.75"
            )
        numbers, more = channels * self.patch**2, {"rng": rng, "init": init, "dtype": dtype}

        def blocks(count: int, size: int) -> list[TransformerBlock]:
            return [TransformerBlock(size, self.heads, **more) for _ in range(count)]  # type: ignore[arg-type]

        def dense(i: int, o: int) -> Tokenwise:
            return Tokenwise(Dense(i, o, rng=rng, init=init, dtype=dtype))

        def places(size: int) -> LearntPositions:
            return LearntPositions(self.tokens, size, rng=rng, init=init, dtype=dtype)

        self.embed, self.positions = dense(numbers, self.dim), places(self.dim)
        self.encoder = Sequential(*blocks(self.depth, self.dim), LayerNorm(self.dim, dtype=dtype))
        self.bridge = dense(self.dim, self.decoder_dim)
        self.mask = Param(np.zeros(self.decoder_dim, dtype))
        self.decoder_positions = places(self.decoder_dim)
        last = LayerNorm(self.decoder_dim, dtype=dtype), dense(self.decoder_dim, numbers)
        self.decoder = Sequential(*blocks(self.decoder_depth, self.decoder_dim), *last)

    @property
    def visible(self) -> int:
        """V"""
        return round(self.tokens * (1 - self.masked))

    # --- training --------------------------------------------------------------------------

    def objective(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        p, keep = self.patches(x), self.draw(len(x), rng)
        return self._terms(self._forward(p, keep)[0], p, keep)[0]

    def backprop(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        p, keep = self.patches(x), self.draw(len(x), rng)
        y, (embed, positions, encoder, bridge, decoder_positions, decoder) = self._forward(p, keep)
        terms, dy = self._terms(y, p, keep)
        dh = self.decoder_positions.backward(self.decoder.backward(dy, decoder), decoder_positions)
        dv = np.take_along_axis(dh, keep, axis=1)  # h = [bridge(z) | mask]
        self.mask.grad += dh.sum(axis=(0, 1)) - dv.sum(axis=(0, 1))
        dz = self.encoder.backward(self.bridge.backward(dv, bridge), encoder)
        dtokens = np.zeros((*p.shape[:2], self.dim), dz.dtype)
        np.put_along_axis(dtokens, keep, dz, axis=1)
        self.embed.backward_params(self.positions.backward(dtokens, positions), embed)
        return terms

    def _forward(self, p: Array, keep: Array) -> tuple[Array, Any]:
        tokens, embed = self.embed.forward(p)
        tokens, positions = self.positions.forward(tokens)
        z, encoder = self.encoder.forward(np.take_along_axis(tokens, keep, axis=1))
        v, bridge = self.bridge.forward(z)
        h = np.tile(self.mask.value, (*p.shape[:2], 1))
        np.put_along_axis(h, keep, v, axis=1)
        h, decoder_positions = self.decoder_positions.forward(h)
        y, decoder = self.decoder.forward(h)
        return y, (embed, positions, encoder, bridge, decoder_positions, decoder)

    def evaluate_batch(self, x: Array, rng: np.random.Generator) -> Terms:
        return self.objective(x, rng)  # no layer of it differs in inference

    def _terms(self, y: Array, p: Array, keep: Array) -> tuple[Terms, Array]:
        gap = y - p
        np.put_along_axis(gap, keep, 0, axis=1)
        size = gap.size * (self.tokens - self.visible) / self.tokens
        L = float(np.square(gap).sum(dtype=np.float64) / size)
        return {"total": L, "reconstruction": L}, (2 / size) * gap

    def draw(self, n: int, rng: np.random.Generator | None) -> Array:
        """The places of the visible patches, drawn for each sample: (n, V, 1)"""
        if rng is None:
            raise ValueError(
                "MaskedAutoencoder: what is hidden is drawn at random, which needs a generator; "
                "pass rng=np.random.default_rng(0)"
            )
        check_generator("MaskedAutoencoder", rng)
        return rng.random((n, self.tokens)).argsort(axis=1)[:, : self.visible, None]

    def patches(self, x: Array) -> Array:
        """(N, C, H, W) as (N, T, P)"""
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"MaskedAutoencoder: x has shape {x.shape}, expected {('N', *self.shape)}; pass images "
                "of that shape, or build the model with another"
            )
        channels, height, width = self.shape
        k = self.patch
        grid = x.reshape(len(x), channels, height // k, k, width // k, k)
        return grid.transpose(0, 2, 4, 1, 3, 5).reshape(len(x), self.tokens, channels * k * k)

    def image(self, p: Array) -> Array:
        """(N, T, P) as (N, C, H, W)"""
        channels, height, width = self.shape
        k = self.patch
        grid = p.reshape(len(p), height // k, width // k, channels, k, k)
        return grid.transpose(0, 3, 1, 4, 2, 5).reshape(len(p), *self.shape)

    def trace(
        self, x: Array, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[str, Array]]:
        keep, tokens = self.draw(len(x), rng), self.patches(x)
        for part in ("embed", "positions"):
            for name, y in getattr(self, part).trace(tokens, part):
                yield name, y
            tokens = y
        z = np.take_along_axis(tokens, keep, axis=1)
        for part in ("encoder", "bridge"):
            for name, y in getattr(self, part).trace(z, part):
                yield name, y
            z = y
        h = np.tile(self.mask.value, (len(x), self.tokens, 1))
        np.put_along_axis(h, keep, z, axis=1)
        for part in ("decoder_positions", "decoder"):
            for name, y in getattr(self, part).trace(h, part):
                yield name, y
            h = y

    # --- use -------------------------------------------------------------------------------

    def encode(self, x: Array) -> Array:
        """The mean of the tokens that the encoder makes of the whole picture: (N, dim)"""

        def code(x: Array) -> Array:
            return self.encoder(self.positions(self.embed(self.patches(x)))).mean(axis=1)

        return self._in_chunks(code, x)

    def complete(self, x: Array, rng: np.random.Generator | int = 0) -> tuple[Array, Array]:
        """x with most patches hidden and completed, and which pixels were visible: both as x."""
        x, rng = self.as_input(x), generator("MaskedAutoencoder", rng)
        p, keep = self.patches(x), self.draw(len(x), rng)
        y, _ = self._forward(p, keep)
        np.put_along_axis(y, keep, np.take_along_axis(p, keep, axis=1), axis=1)
        seen = np.zeros_like(p)
        np.put_along_axis(seen, keep, 1, axis=1)
        return self.image(y), self.image(seen) == 1
