"""The pattern of every model: layers, an objective, and its mirror image.

``backprop`` runs forward through the layers to the loss and back again, and adds every gradient;
``objective`` gives the same numbers without gradients, which is what a gradient check
differentiates; ``evaluate`` gives them in inference mode, which is what validation reports. The
other models of this folder are this one with a line or two changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from tinyae.data.batches import batches, count
from tinyae.layers import (
    Flatten,
    Layer,
    Module,
    Reshape,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    Upsample2d,
)
from tinyae.layers.ways import Part, at_once, by_parts
from tinyae.losses import BCE, L1, MSE, BCEWithLogits, Loss, Range, check_range
from tinyae.param import Array

Terms = dict[str, float]
_CHUNK = 1024  # rows at a time when a whole set goes through
# Means over entries that take any y.
_LOSSES = {MSE: "mse", L1: "l1", BCEWithLogits: "bce_with_logits"}


class Model(Module):
    """Layers plus an objective.

    A subclass gives ``backprop``, ``objective`` and ``evaluate_batch``; each returns its terms by
    name, ``"total"`` among them. ``fit``, ``save`` and ``compile`` are attached from outside, from
    :mod:`tinyae.train`, :mod:`tinyae.io` and :mod:`tinyae.program`, so that a model knows of none.
    """

    fit: ClassVar[Callable[..., Any]]
    save: ClassVar[Callable[..., Any]]
    compile: ClassVar[Callable[..., Any]]

    @property
    def players(self) -> tuple[Model, ...]:
        """Those that learn, each with its own objective and parameters: the model itself.

        A game (:mod:`tinyae.models.gan`) has several, which move in turn.
        """
        return (self,)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        """The terms of the objective on a batch; adds its gradient to every Param.grad."""
        raise NotImplementedError

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        """The same terms for the same rng state, leaving gradients alone."""
        raise NotImplementedError

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        """The same terms in inference mode: no dropout, running statistics."""
        raise NotImplementedError

    def evaluate(
        self, x: Any, rng: np.random.Generator | None = None, batch_size: int = _CHUNK
    ) -> Terms:
        """The terms over a whole set in inference mode, averaged over its samples.

        ``rng`` is for models that sample; without one they draw the same noise at every call.

        Raises
            ValueError  the set is empty
        """
        rng = np.random.default_rng(0) if rng is None else rng
        sums: Terms = {}
        rows = 0
        for batch in batches(x, batch_size):
            batch = self.as_input(batch)
            n = count(batch)
            rows += n
            for name, value in self.evaluate_batch(batch, rng).items():
                sums[name] = sums.get(name, 0.0) + n * value
        if not rows:
            raise ValueError("evaluate: x has no rows; pass at least one sample")
        return {name: value / rows for name, value in sums.items()}

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        """The training output of every layer on the way to the loss, by dotted name."""
        raise NotImplementedError

    def as_input(self, batch: Any) -> Any:
        """The batch in the model's dtype; in a tuple only what is floating-point (not labels)."""
        return cast(batch, self.dtype)

    def check_data(self, x: Any) -> None:
        """Raise unless x (an array, a tuple of arrays) can be learnt from. Reads it in chunks.

        Raises
            TypeError   not numbers
            ValueError  a NaN or an infinity, named by its row
        """
        for which, a in enumerate(x if isinstance(x, tuple) else (x,)):
            name = f"x[{which}]" if isinstance(x, tuple) else "x"
            if not isinstance(a, np.ndarray) or a.dtype.kind not in "fiub":
                got = f"dtype {a.dtype}" if isinstance(a, np.ndarray) else type(a).__name__
                raise TypeError(
                    f"{type(self).__name__}: {name} is of {got}, expected an array of real "
                    "numbers; pass np.asarray(…, np.float32)"
                )
            if a.dtype.kind == "f":
                _check_finite(f"{type(self).__name__}: {name}", a)

    def _rows(self, f: Callable[[Array], Array], x: Array) -> Array:
        """f of x, a chunk of rows at a time, so that inner layers never hold the whole set."""
        if not isinstance(x, np.ndarray) or x.ndim < 2:
            got = f"shape {x.shape}" if isinstance(x, np.ndarray) else f"type {type(x).__name__}"
            raise ValueError(
                f"{type(self).__name__}: the input is of {got}, expected an array whose first axis "
                "counts the samples; for one sample pass x[None]"
            )
        first = f(self.as_input(x[:_CHUNK]))
        if len(x) <= _CHUNK:
            return first
        out = np.empty((len(x), *first.shape[1:]), first.dtype)
        out[:_CHUNK] = first
        for start in range(_CHUNK, len(x), _CHUNK):
            out[start : start + _CHUNK] = f(self.as_input(x[start : start + _CHUNK]))
        return out

    def __repr__(self) -> str:
        parts = "".join(f"    {name} = {part!r},\n" for name, part in vars(self).items())
        return f"{type(self).__name__}(\n{parts})"


class Autoencoder(Model):
    """A code z = f(x), a reconstruction y = g(z), and the loss of y against x itself.

    Forward   z = f(x)      y = g(z)      total = reconstruction = L(y, x)
    Shapes    x (N, …)   z (N, latent_dim) or any   y as x
    Backward  dy = ∂L/∂y      dz = J_gᵀ dy      (J_fᵀ dz is not needed: nothing lies before x)
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

    def pair(self, x: Any, rng: np.random.Generator | None) -> tuple[Array, Array]:
        """What goes in, and what must come out: here x and x."""
        return x, x

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        source, target = self.pair(x, rng)
        z, _ = self.encoder.forward(source)
        y, _ = self.decoder.forward(z)
        L, _ = self.loss(y, target)
        return {"total": L, "reconstruction": L}

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        source, target = self.pair(x, rng)
        done = self._at_once((self.encoder, self.decoder), source, target, False)
        if done is not None:
            return {"total": done[0], "reconstruction": done[0]}
        total, parts = 0.0, self._by_parts(source, target)
        for source, target, share in parts:  # L = Σ share · L of the part
            z, encoded = self.encoder.forward(source)
            y, decoded = self.decoder.forward(z)
            L, dy = self.loss(y, target)
            if share < 1:
                dy *= share
            dz = self.decoder.backward(dy, decoded)
            self.encoder.backward_params(dz, encoded)
            total += share * L
        return {"total": total, "reconstruction": total}

    def _by_parts(self, x: Array, target: Array) -> list[Part]:
        """The batch, in parts if that is faster: see :func:`tinyae.layers.ways.by_parts`."""
        parts = [Part(x, target, 1.0)]
        if self._known_loss() is not None:
            parts = by_parts(self, (self.encoder, self.decoder), x, target)
        if len(parts) > 1:
            self.loss.check_target(target)  # all of it, before any gradient is added
        return parts

    def _through_decoder(self, z: Array, target: Array) -> tuple[float, Array]:
        """L of g(z), and its slope at z; adds the gradient of g."""
        done = self._at_once((self.decoder,), z, target, True)
        if done is not None:
            return done
        y, decoded = self.decoder.forward(z)
        L, dy = self.loss(y, target)
        return L, self.decoder.backward(dy, decoded)

    def _at_once(
        self, parts: tuple[Layer, ...], x: Array, target: Array, input_grad: bool
    ) -> tuple[float, Any] | None:
        """L from x through these parts, and dx if wanted, with every gradient added, by one kernel:

        if that can be, else None.
        """
        loss = self._known_loss()
        perceptron = None if loss is None else at_once(self, parts, x, target)
        if loss is None or perceptron is None:
            return None
        self.loss.check_target(target)
        return perceptron.backprop(x, target, loss, input_grad=input_grad)

    def _known_loss(self) -> str | None:
        """The loss's name among the kernels, if it is a mean over entries as it was made."""
        return None if vars(self.loss) else _LOSSES.get(type(self.loss))

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        source, target = self.pair(x, rng)
        L, _ = self.loss(self.decoder(self.encoder(source)), target)
        return {"total": L, "reconstruction": L}

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        source, _ = self.pair(x, rng)
        z = source
        for name, z in self.encoder.trace(source, "encoder"):
            yield name, z
        yield from self.decoder.trace(z, "decoder")

    def check_data(self, x: Any) -> None:
        """As every model's; besides, the decoder must be able to reach the data.

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
        who = type(self).__name__
        bounds, last = output_range(self.decoder)
        decoder = (
            f"the decoder's last layer, {last}, reaches no further: scale the data "
            "(to [0, 1]: x = (x − x.min()) / (x.max() − x.min())), or end in another layer"
        )
        loss = f"the loss, {self.loss}, is for such data: scale x, or use MSE()"
        check_reach(f"{who}: x", x, (bounds, decoder), (self.loss.target_range, loss))

    # --- use -------------------------------------------------------------------------------

    def encode(self, x: Array) -> Array:
        """The codes z, in inference mode, 1,024 rows at a time. Takes any real dtype."""
        return self._rows(self.encoder, x)

    def decode(self, z: Array) -> Array:
        """What the codes stand for, in the data's unit (for a loss on logits that is σ(y))."""
        return self._rows(lambda part: self.loss.prediction(self.decoder(part)), z)

    def reconstruct(self, x: Array) -> Array:
        """``decode(encode(x))``, a chunk at a time."""
        return self._rows(self._reconstruct, x)

    def reconstruction_error(self, x: Array, per_feature: bool = False) -> Array:
        """The squared error of each sample, averaged over features: (N,).

        With ``per_feature`` the squared error of each entry, in x's shape: where it went wrong.
        """

        def error(part: Array) -> Array:
            squared = np.square(self._same_shape(part, self._reconstruct(part)) - part)
            return squared if per_feature else squared.mean(axis=tuple(range(1, part.ndim)))

        return self._rows(error, x)

    def _reconstruct(self, x: Array) -> Array:
        return self._same_shape(x, self.loss.prediction(self.decoder(self.encoder(x))))

    def _same_shape(self, x: Array, y: Array) -> Array:
        if y.shape != x.shape:
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape}, its reconstruction {y.shape}; "
                f"end the decoder with Reshape{x.shape[1:]}, or pass x of the other shape"
            )
        return y


def cast(batch: Any, dtype: np.dtype[Any]) -> Any:
    """An array in ``dtype``; of a tuple only what is floating-point. No copy where none is due."""
    if isinstance(batch, tuple):
        return tuple(cast(a, dtype) if a.dtype.kind == "f" else a for a in batch)
    return batch if batch.dtype == dtype else batch.astype(dtype)


def output_range(decoder: Layer) -> tuple[Range | None, Layer]:
    """Where a decoder's output lies, judged by its last layer that is not about shape."""
    last: Layer = decoder
    while isinstance(last, Sequential) and last.layers:
        shaped = (Flatten, Reshape, Upsample2d)
        last = next((p for p in reversed(last.layers) if not isinstance(p, shaped)), last.layers[0])
    if isinstance(last, (Sigmoid, Softmax)):
        return BCE.output_range, last
    return ((-1.0, 1.0) if isinstance(last, Tanh) else None), last


def check_reach(what: str, x: Array, *limits: tuple[Range | None, str]) -> None:
    """Raise unless x lies within each of the limits, given with what to do about it.

    Reads x once, in chunks.

    Raises
        ValueError  an entry lies outside
    """
    for start in range(0, len(x), _CHUNK):
        for bounds, do in limits:
            check_range(what, x[start : start + _CHUNK], bounds, do)


def check_parts(who: str, kind: type, **parts: object) -> None:
    """Raise unless each part is a ``kind``.

    Raises
        TypeError  otherwise; most often a class was passed where an object was meant
    """
    for name, part in parts.items():
        if not isinstance(part, kind):
            got = f"the class {part.__name__}" if isinstance(part, type) else repr(part)
            do = f"pass {part.__name__}(…)" if isinstance(part, type) else f"pass a {kind.__name__}"
            raise TypeError(f"{who}: {name} is {got}, expected a {kind.__name__}; {do}")


def _check_finite(what: str, a: Array) -> None:
    for start in range(0, len(a), _CHUNK):
        chunk = np.asarray(a[start : start + _CHUNK])
        # min and max carry a NaN or an infinity along: two passes and no temporary
        if chunk.size and not (np.isfinite(chunk.min()) and np.isfinite(chunk.max())):
            where = np.argwhere(~np.isfinite(chunk))
            index = (start + int(where[0][0]), *map(int, where[0][1:]))
            raise ValueError(
                f"{what} has {chunk[tuple(where[0])]} at {index}, expected finite numbers; "
                "leave such rows out, or fill them in"
            )
