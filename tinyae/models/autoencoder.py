"""The autoencoder, the pattern for every model: forward through the layers to the loss, and back.

The other models are small files that show only how they differ from this one.

``@fused`` above a method says that a faster twin may run in its place (:mod:`tinyae.twin`). The twin
of ``step`` runs for batches of 16 samples or more, with MSE, L1 or BCEWithLogits: where all layers are
Dense, activations and reshapes, one compiled kernel does all lines of ``step``; networks with
convolutions take the batch in smaller pieces. Everything else runs line by line as it stands here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.layers import Layer
from tinyae.losses import Loss
from tinyae.models.base import ReconstructionModel, Terms
from tinyae.models.checks import check_parts, check_reach, output_range
from tinyae.param import Array
from tinyae.twin import fused


class Autoencoder(ReconstructionModel):
    """A code z = f(x), a reconstruction y = g(z), and the loss of y against x itself.

    Forward   z = f(x)      y = g(z)      total = reconstruction = L(y, x)
    Shapes    x (N, …)   z (N, latent_dim) or any   y as x
    Backward  dy = ∂L/∂y      dz = J_gᵀ dy, and from dz the gradients of f's parameters; ∂L/∂x is not
              needed, for nothing lies before x
    Units     the loss's, see :mod:`tinyae.losses`
    Source    Goodfellow, Bengio & Courville (2016), §14.1
    """

    def __init__(self, encoder: Layer, decoder: Layer, loss: Loss) -> None:
        check_parts(type(self).__name__, Layer, encoder=encoder, decoder=decoder)
        check_parts(type(self).__name__, Loss, loss=loss)
        self.encoder = encoder
        self.decoder = decoder
        self.loss = loss

    # --- training --------------------------------------------------------------------------

    def input_and_target(self, x: Any, rng: np.random.Generator | None) -> tuple[Array, Array]:
        """The encoder's input and the loss's target: here x and x."""
        return x, x

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        source, target = self.input_and_target(x, rng)
        z, _ = self.encoder.forward(source)
        y, _ = self.decoder.forward(z)
        L, _ = self.loss(y, target)
        return {"total": L, "reconstruction": L}

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        source, target = self.input_and_target(x, rng)
        L = self.step(source, target)
        return {"total": L, "reconstruction": L}

    @fused
    def step(self, x: Array, target: Array) -> float:
        """L of g(f(x)) against the target; adds its gradient to every Param.grad."""
        z, encoder_cache = self.encoder.forward(x)
        y, decoder_cache = self.decoder.forward(z)
        L, dy = self.loss(y, target)
        dz = self.decoder.backward(dy, decoder_cache)
        self.encoder.backward_params(dz, encoder_cache)
        return L

    @fused
    def decoder_step(self, z: Array, target: Array) -> tuple[float, Array]:
        """L of g(z) against the target, and ∂L/∂z; adds the gradients of g."""
        y, decoder_cache = self.decoder.forward(z)
        L, dy = self.loss(y, target)
        return L, self.decoder.backward(dy, decoder_cache)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        source, target = self.input_and_target(x, rng)
        L = self.loss.evaluate(self.decoder(self.encoder(source)), target)
        return {"total": L, "reconstruction": L}

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        source, _ = self.input_and_target(x, rng)
        z = source
        for name, z in self.encoder.trace(source, "encoder"):
            yield name, z
        yield from self.decoder.trace(z, "decoder")

    def check_data(self, x: Any) -> None:
        """Check x as every model does, and that the decoder can reach the data.

        Raises
            ValueError  data outside [0, 1] for a decoder that ends in Sigmoid or Softmax or for a
                        cross-entropy, or outside [−1, 1] for Tanh
        """
        super().check_data(x)
        if isinstance(x, tuple):
            raise TypeError(
                f"{type(self).__name__}: x is a tuple of {len(x)} arrays, expected one array: "
                "it is its own target; pass x alone"
            )
        bounds, last = output_range(self.decoder)
        decoder = (
            f"the decoder's last layer, {last}, reaches no further: scale the data "
            "(to [0, 1]: x = (x - x.min()) / (x.max() - x.min())), or end in another layer"
        )
        loss = f"the loss, {self.loss}, is for such data: scale x, or use MSE()"
        check_reach(self, x, (bounds, decoder), (self.loss.target_range, loss))

    def pair(self, x: Any, rng: np.random.Generator | None) -> tuple[Array, Array]:
        """The name of :meth:`input_and_target` in version 0.1."""
        return self.input_and_target(x, rng)

    # --- use -------------------------------------------------------------------------------

    def encode(self, x: Array) -> Array:
        """The codes z, in inference mode, 1,024 rows at a time. x is converted to the model's
        dtype.
        """
        return self._in_chunks(self.encoder, x)

    def decode(self, z: Array) -> Array:
        """The reconstruction from the codes, in the data's unit (σ(y) for a loss on logits)."""

        def decoded(part: Array) -> Array:
            return self.in_data_units(self.loss.prediction(self.decoder(part)))

        return self._in_chunks(decoded, z, "z")

    def _reconstruct(self, x: Array) -> Array:
        return self._same_shape(x, self.loss.prediction(self.decoder(self.encoder(x))))
