"""A model is layers plus an objective.

    terms = model.backprop(x, rng)      # the terms of the objective; adds its gradient to each Param
    terms = model.objective(x, rng)     # the same terms, gradients left alone
    terms = model.evaluate(x, rng)      # the same terms in inference mode, over a whole set

``backprop`` runs forward through the layers to the loss and back again. A gradient check
differentiates ``objective``; validation reports ``evaluate``. Terms are floats by name,
``{"total": …, "reconstruction": …}``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

import numpy as np

from tinyae.arguments import flag, generator, positive_int
from tinyae.arrays import as_samples, check_finite, check_real, warn_of_rounding
from tinyae.data.batches import batches, count, is_rows
from tinyae.data.streams import Stream
from tinyae.layers import Module
from tinyae.models.carried import Carrier
from tinyae.models.scores import Scored
from tinyae.param import Array
from tinyae.progress import work
from tinyae.scaling import warn_of_units

Terms = dict[str, float]
Self = TypeVar("Self", bound="Model")
CHUNK = 1024  # rows in one forward pass when a whole data set is processed


class Model(Carrier, Module):
    """Layers plus an objective.

    A subclass defines ``backprop``, ``objective`` and ``evaluate_batch``. Each returns its terms by
    name, including ``"total"``. The training loop, ``io`` and ``program`` attach ``fit``, ``history``,
    ``save``, ``compile``, ``export_c`` and ``export_onnx`` from outside: models need not import them.

    A model with a ``scaler`` takes and gives data in their own units: ``encode``, ``decode``,
    ``reconstruct``, ``evaluate`` and ``fit`` scale and undo it. ``backprop``, ``objective`` and
    ``trace`` take what the layers see, ``model.as_input(x)``; terms and scores are in those units.
    """

    sums_over_features: ClassVar[bool] = True  # an error in which large units outweigh small ones
    fit: ClassVar[Callable[..., Any]]
    history: Any
    save: ClassVar[Callable[..., Any]]
    compile: ClassVar[Callable[..., Any]]
    export_c: ClassVar[Callable[..., Any]]
    export_onnx: ClassVar[Callable[..., Any]]

    @property
    def players(self) -> tuple[Model, ...]:
        """The models that are trained in turn: here this one; a GAN (``models/gan.py``) has two."""
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
        """The model whose exact gradient ``backprop`` adds: another where that is an estimate."""
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
        x = as_samples(f"{type(self).__name__}: x", x)
        self._warn_of_merged("x", x)
        batch_size = positive_int("evaluate", "batch_size", batch_size, CHUNK)
        sums: Terms = {}
        rows = 0
        total = -(-count(x) // batch_size) if is_rows(x) else None
        with work(type(self).__name__, total, "batch") as w:
            for batch in w.over(batches(x, batch_size)):
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
        """The batch as the layers see it: scaled, if the model has a scaler, and in its dtype.

        In a tuple only floating-point arrays are changed, not labels.

        Raises
            TypeError   no array of real numbers, or a masked one
            ValueError  samples that the scaler is not for
        """
        return cast(self._scaled(batch), self.dtype, type(self).__name__)

    def _scaled(self, batch: Any) -> Any:
        scaler, who = self.scaler, type(self).__name__
        if scaler is None:
            return batch
        if isinstance(batch, tuple):
            return tuple(
                self._scaled(a) if getattr(a, "dtype", np.dtype(object)).kind == "f" else a
                for a in batch
            )
        check_real(f"{who}: x", batch)
        scaler.check_shape(who, batch.shape[1:])
        return scaler.apply(batch)

    def in_data_units(self, y: Array) -> Array:
        """What the decoder gives, in the data's own units: undoes the scaler, if there is one."""
        return y if self.scaler is None else self.scaler.undo(y)

    def in_scaled_units(self: Self) -> Self:
        """The same model, with the same parameters, in the units of its layers: without a scaler."""
        bare = copy.copy(self)
        bare.scaler = None
        return bare

    def check_data(self, x: Any) -> None:
        """Raise unless x (an array or a tuple of arrays) is fit for training. Reads x in chunks.

        Without a scaler it warns where the model's dtype holds fewer of a feature's values apart
        than x does, and where columns of a table are constant or orders of magnitude apart.

        Raises
            as :meth:`check_numbers`
        """
        self.check_numbers(x)
        if self.scaler is None:
            for what, a in self._named(x):
                warn_of_rounding(what, a, self.dtype)
                if self.sums_over_features:
                    warn_of_units(what, a, stacklevel=4)

    def check_numbers(self, x: Any) -> None:
        """Raise unless x (an array or a tuple of arrays) holds finite numbers. Reads x in chunks.

        Raises
            TypeError   not numbers
            ValueError  a NaN, an infinity or a number beyond the model's dtype, named by its row
        """
        for what, a in self._named(x):
            check_real(what, a)
            if a.dtype.kind == "f":
                largest = np.finfo(self.dtype if self.scaler is None else np.float64).max
                check_finite(what, a, self.dtype, float(largest))

    def _named(self, x: Any) -> Iterator[tuple[str, Any]]:
        """Each array of x, and what a message calls it."""
        for which, a in enumerate(x if isinstance(x, tuple) else (x,)):
            yield f"{type(self).__name__}: x{f'[{which}]' * isinstance(x, tuple)}", a

    def _warn_of_merged(self, name: str, x: Any) -> None:
        """Once for all of x. Floats are looked at before a training only: it takes time."""
        if type(x) in (np.ndarray, np.memmap) and x.dtype.kind in "iu" and self.scaler is None:
            warn_of_rounding(f"{type(self).__name__}: {name}", x, self.dtype)

    def _in_chunks(self, f: Callable[[Array], Array], x: Array, name: str = "x") -> Array:
        """f(x), a chunk of rows at a time. Only "x" is scaled: codes and noise have no units."""
        who = type(self).__name__
        if isinstance(x, Stream):
            return np.concatenate([self._in_chunks(f, block, name) for block in x])
        x = as_samples(f"{who}: {name}", x)
        prepare = self.as_input if name == "x" else lambda part: cast(part, self.dtype, who)
        check_real(f"{who}: {name}", x)
        if x.ndim < 2:
            raise ValueError(
                f"{who}: {name} has shape {x.shape}, expected an array whose first axis counts the "
                f"samples; for one sample pass {name}[None]"
            )
        self._warn_of_merged(name, x)

        def result(start: int) -> Array:
            chunk = x[start : start + CHUNK]
            ready = prepare(chunk)
            self._check_usable(name, chunk, ready, start)
            return f(ready)

        first = result(0)
        if len(x) <= CHUNK:
            return first
        out = np.empty((len(x), *first.shape[1:]), first.dtype)
        out[:CHUNK] = first
        starts = range(CHUNK, len(x), CHUNK)
        with work(who, len(starts), f"× {CHUNK} rows") as w:
            for start in w.over(starts):
                out[start : start + CHUNK] = result(start)
        return out

    def _check_usable(self, name: str, chunk: Array, ready: Array, start: int) -> None:
        """Raise if a chunk of rows, made ready for the layers, has a NaN or an infinity.

        One sum, which either would spoil, says so in a hundredth of the time of the layers.

        Raises
            ValueError  the row and the column of the first one
        """
        with np.errstate(all="ignore"):
            if np.isfinite(ready.sum()) or np.isfinite(ready).all():
                return
        limit = float(np.finfo(self.dtype).max)
        who = f"{type(self).__name__}: {name}"
        check_finite(who, chunk, self.dtype, limit, start, self.columns)

    def __repr__(self) -> str:
        shown = {name: part for name, part in vars(self).items() if name != "_carried"}
        shown |= {name: v for name, v in self._carried.items() if name in ("scaler", "threshold")}
        parts = "".join(f"    {name} = {part!r},\n" for name, part in shown.items())
        return f"{type(self).__name__}(\n{parts})"


class ReconstructionModel(Scored, Model):
    """A model that reconstructs its input. A subclass defines ``_reconstruct`` for one batch."""

    def reconstruct(self, x: Any) -> Array:
        """``decode(encode(x))``, in inference mode, a chunk at a time."""
        return self._in_chunks(lambda part: self.in_data_units(self._reconstruct(part)), x)

    def reconstruction_error(self, x: Any, per_feature: bool = False) -> Array:
        """The squared error of each sample, averaged over features: (N,).

        With ``per_feature``, the squared error of each entry, in x's shape. A model with a scaler
        gives it in scaled units, in which all features count alike.
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
