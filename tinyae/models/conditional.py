"""The conditional variational autoencoder: the label is given, and the code describes the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import generator, positive_int
from tinyae.arrays import plain
from tinyae.data.batches import batches, count
from tinyae.models.base import CHUNK, Model, cast
from tinyae.models.variational import VariationalAutoencoder
from tinyae.param import Array


@dataclass(eq=False, repr=False)
class ConditionalVariationalAutoencoder(VariationalAutoencoder):
    """The variational autoencoder of p(x | c), where c is the class of x.

    Forward   h = [f(x), c]      y = g([z, c]),   c one-hot, concatenated on axis 1
    Shapes    a batch is a tuple: x (N, …) and labels (N,), integers from 0 to classes − 1
              f(x) (N, H) or (N, H, …)   h (N, H + classes, …), as the heads take it
              z (N, latent_dim)   the decoder takes (N, latent_dim + classes)
    Backward  of ∂L/∂[f(x), c] and ∂L/∂[z, c] only the first part is used: c is data
    Raises    ValueError, TypeError if the labels are not such integers
    Source    Sohn, Lee & Yan (2015), §4.1; Kingma et al. (2014), eq. 7, with y always observed

    This model takes ``(x, labels)`` where the unconditional one takes x, and ``(z, labels)`` where
    that takes z, as in ``decode``. ``sample(labels, rng)`` makes one sample for each label.
    """

    _: KW_ONLY
    classes: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.classes = positive_int(type(self).__name__, "classes", self.classes, 10)

    def _split(self, batch: Any) -> tuple[Array, Array]:
        who = type(self).__name__
        if not isinstance(batch, tuple) or len(batch) != 2:
            got = f"{len(batch)} arrays" if isinstance(batch, tuple) else "one array"
            raise TypeError(f"{who}: a batch is {got}, expected two; pass (x, labels)")
        x, labels = batch
        return x, one_hot(self._labels(labels), self.classes, x.dtype)

    def _labels(self, labels: Any) -> Array:
        """The labels as an array, after checking them."""
        return check_labels(type(self).__name__, labels, "classes", self.classes)

    def _join(self, a: Array, c: Array) -> Array:
        return join(a, c)

    def _cut(self, da: Array, c: Array) -> Array:
        return np.ascontiguousarray(da[:, : -self.classes])

    def _with_condition(self, z: Array, batch: Any) -> Any:
        return z, batch[1]

    def _in_chunks(self, f: Callable[[Any], Array], x: Any, name: str = "x") -> Array:
        prepare = self.as_input if name == "x" else lambda part: cast(part, self.dtype, "decode")
        results = []
        for k, part in enumerate(batches(x, CHUNK)):
            ready = prepare(part)
            if isinstance(part, tuple):
                self._check_usable(name, part[0], ready[0], k * CHUNK)
            results.append(f(ready))
        return np.concatenate(results)

    def check_data(self, x: Any) -> None:
        """Check x as the unconditional model does, and the labels."""
        Model.check_data(self, x)
        if isinstance(x, tuple) and len(x) == 2:
            count(x)
            self._labels(x[1])
            self._check_range(x[0])
        else:
            self._split(x)

    def sample(self, labels: Any, rng: np.random.Generator | int = 0) -> Array:
        """A new sample for each label: z ~ N(0, I), then the mean E[x | z, c]. (len(labels), …)"""
        return self.decode(self._prior_of(labels, generator(type(self).__name__, rng)))

    def draw(self, labels: Any, rng: np.random.Generator | int = 0) -> Array:
        """The same with the likelihood's own noise: x ~ p(x | z, c). (len(labels), …)"""
        rng = generator(type(self).__name__, rng)
        return self._draw(self._prior_of(labels, rng), rng)

    def _prior_of(self, labels: Any, rng: np.random.Generator) -> tuple[Array, Array]:
        labels = self._labels(labels)
        return self._prior(len(labels), rng), labels


def one_hot(labels: Array, classes: int, dtype: DTypeLike) -> Array:
    """c (N, classes): 1 in the column of each sample's class."""
    c = np.zeros((len(labels), classes), dtype)
    c[np.arange(len(labels)), labels] = 1
    return c


def join(a: Array, c: Array) -> Array:
    """[a, c] on axis 1. Beside a feature map, c is repeated at every place."""
    shape = (*c.shape, *a.shape[2:])
    return np.concatenate([a, np.broadcast_to(c.reshape(*c.shape, *[1] * (a.ndim - 2)), shape)], 1)


def check_labels(who: str, labels: Any, name: str, classes: int) -> Array:
    """The labels as an array of integers below ``classes``, an argument that is called ``name``.

    Raises
        TypeError   they are not integers
        ValueError  they are not (N,), or lie outside 0 … classes − 1
    """
    labels = plain(f"{who}: labels", labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"{who}: labels are {labels.dtype}, expected integers; pass labels.astype(int)"
        )
    if labels.ndim != 1:
        raise ValueError(f"{who}: labels have shape {labels.shape}, expected (N,)")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"{who}: labels run from {labels.min()} to {labels.max()}, expected 0 to "
            f"{classes - 1}; number the {name} from 0, or raise {name}"
        )
    return labels
