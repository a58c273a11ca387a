"""Stacked autoencoders: learn a deep network one layer at a time, then all of it at once.

    stack = stack_of((1, 28, 28), [1000, 500, 250, 30], code_activation=None, rng=rng)
    stack.pretrain(x, lambda block, codes: ta.fit(block, codes, epochs=5))
    model = stack.unroll()                    # 784-1000-500-250-30-250-500-1000-784
    ta.fit(model, x, epochs=20)               # fine-tuning
    stack.classifier(10, rng=rng)             # or with a softmax on top, for labels

This once made deep networks trainable: saturating units pass hardly any gradient back, but each
block is shallow. It still helps if samples are many and labels few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from tinyae.arguments import check_callable, positive_int, sizes_of
from tinyae.data.corruption import Corruption
from tinyae.initializers import Initializer, Zeros
from tinyae.layers import Dense, Layer, Module, Sequential, Sigmoid, TiedDense
from tinyae.losses import BCE, Loss
from tinyae.models.autoencoder import Autoencoder
from tinyae.models.builders import Activation, dense_encoder_decoder, named
from tinyae.models.checks import check_parts
from tinyae.models.classifier import Classifier
from tinyae.models.denoising import DenoisingAutoencoder
from tinyae.param import Array

Result = TypeVar("Result")


class StackedAutoencoder(Module):
    """A stack of autoencoders: each reconstructs the code of the one below.

    Forward   h₀ = x      hₖ = fₖ(hₖ₋₁)      block k learns gₖ(fₖ(hₖ₋₁)) ≈ hₖ₋₁, the lower ones fixed
    Shapes    x (N, …)   hₖ (N, units[k])
    Raises    TypeError unless every block is an Autoencoder
    Source    Hinton & Salakhutdinov (2006), fig. 1; Bengio et al. (2007), §3.1; with
              DenoisingAutoencoder blocks, Vincent et al. (2010), §3.5

    The blocks may be of any kind: plain, denoising (each corrupts its own input), sparse, ….
    ``unroll`` and ``classifier`` share the blocks' Params, so training them also trains the stack.
    Only tied matrices are copied: the unrolled decoder gets its own.
    """

    def __init__(self, *blocks: Autoencoder) -> None:
        if not blocks:
            raise ValueError("StackedAutoencoder: got no blocks, expected at least 1; pass models")
        for i, block in enumerate(blocks):
            check_parts("StackedAutoencoder", Autoencoder, **{f"block {i}": block})
        self.blocks = blocks

    @property
    def children(self) -> dict[str, Module]:
        return {str(i): block for i, block in enumerate(self.blocks)}

    def pretrain(self, x: Array, train: Callable[[Autoencoder, Array], Result]) -> list[Result]:
        """Train block after block on the codes of those below, in inference mode.

        ``train(block, codes)`` is called once for each block, bottom up; its results are returned.
        """
        check_callable("StackedAutoencoder", "train", train, "lambda block, x: fit(block, x)")
        results, codes = [], x
        for k, block in enumerate(self.blocks):
            results.append(train(block, codes))
            if k + 1 < len(self.blocks):
                codes = block.encode(codes)
        return results

    def encode(self, x: Array) -> Array:
        """The code of the top block."""
        for block in self.blocks:
            x = block.encode(x)
        return x

    def unroll(self, loss: Loss | None = None) -> Autoencoder:
        """All encoders, then all decoders in reverse: one deep autoencoder, ready for fine-tuning.

        ``loss`` defaults to the first block's. The decoder of a tied block starts from a transposed
        copy of the encoder's matrix and may then differ from it, as in Hinton & Salakhutdinov: the
        two halves fit each other from the start, and the whole learns better.
        """
        if loss is not None:
            check_parts("StackedAutoencoder", Loss, loss=loss)
        decoder = [_untied(layer) for b in reversed(self.blocks) for layer in _layers(b.decoder)]
        return Autoencoder(
            Sequential(*self._encoder()),
            Sequential(*decoder),
            self.blocks[0].loss if loss is None else loss,
        )

    def classifier(
        self,
        classes: int,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
    ) -> Classifier:
        """The encoders with a softmax of ``classes`` outputs on top, for fine-tuning with labels.

        Raises
            ValueError  no encoder has a Dense layer, so the code's width is unknown
        """
        classes = positive_int("StackedAutoencoder", "classes", classes, 10)
        encoder = self._encoder()
        widths = [layer.out_features for layer in encoder if isinstance(layer, Dense)]
        if not widths:
            raise ValueError(
                "StackedAutoencoder: no encoder has a Dense layer, so the code's width is unknown; "
                "build Classifier(Sequential(encoder, Flatten(), Dense(width, classes)))"
            )
        head = Dense(widths[-1], classes, rng=rng, init=init, dtype=self.dtype)
        return Classifier(Sequential(*encoder, head))

    def _encoder(self) -> list[Layer]:
        return [layer for block in self.blocks for layer in _layers(block.encoder)]

    def __repr__(self) -> str:
        return f"StackedAutoencoder({', '.join(map(repr, self.blocks))})"


def stack_of(
    shape: Sequence[int],
    units: Sequence[int],
    *,
    activation: Activation = Sigmoid,
    code_activation: Activation | None = Sigmoid,
    output: Activation | None = Sigmoid,
    loss: Loss | None = None,
    corruption: Corruption | None = None,
    tied: bool = False,
    rng: np.random.Generator | None = None,
    init: Initializer | None = None,
) -> StackedAutoencoder:
    """Dense blocks shape → units[0] → units[1] → …, each a one-layer autoencoder.

    ``activation`` ends every hidden code, ``code_activation`` the last one and ``output`` the
    reconstruction of the data; the higher blocks reconstruct hidden codes, so their decoders end
    in ``activation``. The default loss, BCE, suits units in [0, 1]: for others pass MSE(). With
    ``corruption`` the blocks are denoising autoencoders. With ``tied`` each decoder
    shares its encoder's matrix, transposed, until the stack is unrolled.

    Raises
        ValueError  shape or units are not ints ≥ 1
    """
    loss = BCE() if loss is None else loss
    activation = named("stack_of", "activation", activation)
    code_activation = named("stack_of", "code_activation", code_activation)
    output = named("stack_of", "output", output)
    check_parts("stack_of", Loss, loss=loss)
    shape, units = sizes_of("stack_of", "shape", shape), sizes_of("stack_of", "units", units)
    inputs = [shape, *([width] for width in units)]
    blocks: list[Autoencoder] = []
    for k, width in enumerate(units):
        encoder, decoder = dense_encoder_decoder(
            inputs[k],
            [width],
            code_activation=code_activation if k == len(units) - 1 else activation,
            output=output if k == 0 else activation,
            tied=tied,
            rng=rng,
            init=init,
        )
        if corruption is None:
            blocks.append(Autoencoder(encoder, decoder, loss))
        else:
            blocks.append(DenoisingAutoencoder(encoder, decoder, loss, corruption))
    return StackedAutoencoder(*blocks)


def _layers(part: Layer) -> tuple[Layer, ...]:
    return part.layers if isinstance(part, Sequential) else (part,)


def _untied(layer: Layer) -> Layer:
    """The layer; for a TiedDense, a Dense that computes the same with a matrix of its own."""
    if not isinstance(layer, TiedDense):
        return layer
    W = layer.dense.W.T.value
    own = Dense(W.shape[1], W.shape[0], init=Zeros(), dtype=W.dtype)
    own.W.value[...] = W
    own.b = layer.b
    return own
