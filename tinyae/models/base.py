"""A model is layers plus an objective.

    terms = model.backprop(x, rng)      # the terms of the objective; adds its gradient to each Param
    terms = model.objective(x, rng)     # the same terms, gradients left alone
    terms = model.evaluate(x, rng)      # the same terms in inference mode, over a whole set

``backprop`` runs forward through the layers to the loss and back again. A gradient check
differentiates ``objective``; validation reports ``evaluate``. Terms are floats by name,
``{"total": …, "reconstruction": …}``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from tinyae.arguments import flag, generator
from tinyae.arrays import check_real, lost_by_rounding
from tinyae.data.batches import batches, count
from tinyae.layers import Module
from tinyae.param import Array

Terms = dict[str, float]
CHUNK = 1024  # rows in one forward pass when a whole data set is processed


class Model(Module):
    """Layers plus an objective.

    A subclass defines ``backprop``, ``objective`` and ``evaluate_batch``. Each returns its terms by
    name, including ``"total"``. The training loop, ``io`` and ``program`` attach ``fit``, ``save``,
    ``compile``, ``export_c`` and ``export_onnx`` from outside, so that models need not import them.
    """

    fit: ClassVar[Callable[..., Any]]
    save: ClassVar[Callable[..., Any]]
    compile: ClassVar[Callable[..., Any]]
    export_c: ClassVar[Callable[..., Any]]
    export_onnx: ClassVar[Callable[..., Any]]

    @property
    def players(self) -> tuple[Model, ...]:
        """The models that are trained in turn, each with its own objective and parameters.

        Here this is only the model itself; a GAN (:mod:`tinyae.models.gan`) has two players.
        """
        return (self,)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        """The terms of the objective on a batch; adds its gradient to every Param.grad."""
        raise NotImplementedError

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        """The same terms for the same rng state; changes no gradient."""
        raise NotImplementedError

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        """The same terms in inference mode: no dropout, running statistics."""
        raise NotImplementedError

    def differentiable(self) -> Model:
        """The model whose objective has exactly the gradient that ``backprop`` adds: this one.

        Where a gradient is an estimate, as behind a choice, which has no slope, a subclass returns
        the model for which it is exact. A gradient check measures that one.
        """
        return self

    def evaluate(
        self, x: Any, rng: np.random.Generator | None = None, batch_size: int = CHUNK
    ) -> Terms:
        """The terms over a whole data set in inference mode, averaged over its samples.

        ``rng`` is for models that sample. Without it they draw the same noise at every call.

        Raises
            ValueError  the data set is empty
        """
        rng = generator(type(self).__name__, 0 if rng is None else rng)
        self._warn_of_merged("x", x)
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
        """Yield the dotted name and training output of every layer on the way to the loss."""
        raise NotImplementedError

    def as_input(self, batch: Any) -> Any:
        """The batch in the model's dtype; in a tuple only floating-point arrays, not labels.

        Raises
            TypeError  no array of real numbers, or a masked one
        """
        return cast(batch, self.dtype, type(self).__name__)

    def check_data(self, x: Any) -> None:
        """Raise unless x (an array or a tuple of arrays) is fit for training. Reads x in chunks.

        Warns where the model's dtype holds fewer of a feature's values apart than x does.

        Raises
            TypeError   not numbers
            ValueError  a NaN, an infinity or a number beyond the model's dtype, named by its row
        """
        for which, a in enumerate(x if isinstance(x, tuple) else (x,)):
            name = f"x[{which}]" if isinstance(x, tuple) else "x"
            check_real(f"{type(self).__name__}: {name}", a)
            if a.dtype.kind == "f":
                _check_finite(f"{type(self).__name__}: {name}", a, self.dtype)
            _warn_of_rounding(f"{type(self).__name__}: {name}", a, self.dtype)

    def _warn_of_merged(self, name: str, x: Any) -> None:
        """Once for all of x. Floats are looked at before a training only: it takes time."""
        if type(x) in (np.ndarray, np.memmap) and x.dtype.kind in "iu":
            _warn_of_rounding(f"{type(self).__name__}: {name}", x, self.dtype)

    def _in_chunks(self, f: Callable[[Array], Array], x: Array, name: str = "x") -> Array:
        """f(x), a chunk of rows at a time, so that no layer holds the whole data set."""
        who = type(self).__name__
        check_real(f"{who}: {name}", x)
        if x.ndim < 2:
            raise ValueError(
                f"{who}: {name} has shape {x.shape}, expected an array whose first axis counts the "
                f"samples; for one sample pass {name}[None]"
            )
        self._warn_of_merged(name, x)
        first = f(self.as_input(x[:CHUNK]))
        if len(x) <= CHUNK:
            return first
        out = np.empty((len(x), *first.shape[1:]), first.dtype)
        out[:CHUNK] = first
        for start in range(CHUNK, len(x), CHUNK):
            out[start : start + CHUNK] = f(self.as_input(x[start : start + CHUNK]))
        return out

    def __repr__(self) -> str:
        parts = "".join(f"    {name} = {part!r},\n" for name, part in vars(self).items())
        return f"{type(self).__name__}(\n{parts})"


class ReconstructionModel(Model):
    """A model that reconstructs its input. A subclass defines ``_reconstruct`` for one batch."""

    def reconstruct(self, x: Any) -> Array:
        """``decode(encode(x))``, in inference mode, a chunk at a time."""
        return self._in_chunks(self._reconstruct, x)

    def reconstruction_error(self, x: Any, per_feature: bool = False) -> Array:
        """The squared error of each sample, averaged over features: (N,).

        With ``per_feature``, the squared error of each entry, in x's shape.
        """

        per_feature = flag(type(self).__name__, "per_feature", per_feature)

        def error(batch: Any) -> Array:
            x = self._samples(batch)
            squared = np.square(self._same_shape(x, self._reconstruct(batch)) - x)
            return squared if per_feature else squared.mean(axis=tuple(range(1, x.ndim)))

        return self._in_chunks(error, x)

    def _reconstruct(self, batch: Any) -> Array:
        raise NotImplementedError

    def _samples(self, batch: Any) -> Array:
        """The samples of a batch, without their labels."""
        return batch

    def _same_shape(self, x: Array, y: Array) -> Array:
        if y.shape != x.shape:
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape}, its reconstruction {y.shape}; "
                f"end the decoder with Reshape{x.shape[1:]}, or pass x of the other shape"
            )
        return y


def cast(batch: Any, dtype: np.dtype[Any], who: str = "fit") -> Any:
    """An array, or the floating-point arrays of a tuple, in ``dtype``; copied only if needed.

    Raises
        TypeError  no array of real numbers, or a masked one
    """
    if isinstance(batch, tuple):
        for k, a in enumerate(batch):
            check_real(f"{who}: x[{k}]", a)
        return tuple(a.astype(dtype, copy=False) if a.dtype.kind == "f" else a for a in batch)
    if type(batch) is np.ndarray and batch.dtype == dtype:
        return batch
    check_real(f"{who}: x", batch)
    return batch.astype(dtype, copy=False)


def _warn_of_rounding(what: str, a: Array, dtype: np.dtype[Any]) -> None:
    lost = lost_by_rounding(a, dtype)
    if lost is not None:
        place = ", ".join(map(str, (":", *lost[0])))
        warnings.warn(
            f"{what}[{place}] {lost[1]}; subtract its least value or scale it before it is "
            "converted, or leave it out",
            stacklevel=5,
        )


def _check_finite(what: str, a: Array, dtype: np.dtype[Any]) -> None:
    for start in range(0, len(a), CHUNK):
        chunk = np.asarray(a[start : start + CHUNK])
        # min and max propagate a NaN or an infinity: two passes, no temporary array
        if chunk.size and not (np.isfinite(chunk.min()) and np.isfinite(chunk.max())):
            where = np.argwhere(~np.isfinite(chunk))
            index = (start + int(where[0][0]), *map(int, where[0][1:]))
            raise ValueError(
                f"{what} has {chunk[tuple(where[0])]} at {index}, expected finite numbers; "
                "leave such rows out, or fill them in"
            )
        largest = max(-float(chunk.min()), float(chunk.max())) if chunk.size else 0.0
        if largest > float(np.finfo(dtype).max):
            raise ValueError(
                f"{what} reaches {largest:.3g}, beyond {dtype}, the model's dtype; scale the data, "
                "or use model.astype(np.float64)"
            )
