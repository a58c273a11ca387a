"""Units that a network learns well from: each feature shifted and scaled, and back again."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyae.arrays import real, row_weights
from tinyae.param import Array

HUGE = 1e30  # in scaled units
_NUMBERS_AT_ONCE = 1 << 16
_FEW = 16  # rows: fewer say little of a column
_ROWS = 4096  # by which the spread of columns is judged
_APART = 100.0  # standard deviations whose ratio is larger are orders of magnitude apart


@dataclass(frozen=True, eq=False)
class Scaler:
    """An affine change of units, one for each feature of a table or each channel of a picture.

    Forward   x′ = (x − shift) / scale      x = x′ scale + shift
    Shapes    x, x′ (N, …)   shift, scale (D,) for a table (N, D), (C, 1, 1) for images
              (N, C, H, W); any shape that broadcasts to one sample's. In float64 whatever x is
    Raises    ValueError unless shift and scale are finite, of one shape, and scale > 0

    ``Scaler.standard(x)`` gives mean 0 and standard deviation 1, ``Scaler.minmax(x)`` 0 to 1. Set as
    ``model.scaler``, it makes a model work in the data's own units.
    """

    shift: Array
    scale: Array

    def __post_init__(self) -> None:
        for name in ("shift", "scale"):
            value = real(f"Scaler: {name}", getattr(self, name)).astype(np.float64)
            object.__setattr__(self, name, value)
            if not np.isfinite(value).all():
                raise ValueError(f"Scaler: {name} is not finite, expected numbers; fill the gaps")
        if self.shift.shape != self.scale.shape:
            raise ValueError(
                f"Scaler: shift has shape {self.shift.shape}, scale {self.scale.shape}; "
                "they must be equal"
            )
        if not (self.scale > 0).all():
            raise ValueError(
                f"Scaler: scale has {self.scale.min():g}, expected numbers > 0; pass 1 where a "
                "feature is constant"
            )

    @classmethod
    def standard(cls, x: Any, sample_weight: Any = None) -> Scaler:
        """Mean 0 and standard deviation 1 of each feature or channel of x.

        ``sample_weight`` (N,) says how often a row counts.
        """
        x = _samples(x)
        if sample_weight is not None:
            return cls._weighted(x, row_weights("Scaler", sample_weight, len(x)))
        shift = sum(chunk.sum(axis=_others(x), keepdims=True)[0] for chunk in _chunks(x))
        shift = shift / _count(x)
        squares = sum(
            np.square(chunk - shift).sum(axis=_others(x), keepdims=True)[0] for chunk in _chunks(x)
        )
        return cls(shift, _not_constant(np.sqrt(squares / _count(x)), x))

    @classmethod
    def _weighted(cls, x: Array, w: Array) -> Scaler:
        x, w = x[w > 0].astype(np.float64), w[w > 0]

        def mean(a: Array) -> Array:
            of_rows = np.tensordot(w / w.sum(), a, 1)[None]  # (1, D, …)
            return np.asarray(of_rows.mean(axis=_others(a), keepdims=True)[0])

        shift = mean(x)
        return cls(shift, _not_constant(np.sqrt(mean(np.square(x - shift))), x))

    @classmethod
    def minmax(cls, x: Any) -> Scaler:
        """0 to 1 for each feature or channel of x."""
        x = _samples(x)
        low, high = _extremes(x)
        return cls(low, _not_constant(high - low, x))

    def apply(self, x: Array) -> Array:
        """x in the network's units, computed in float64; in x's dtype if x is of floats.

        So a feature such as a time in seconds since 1970, which float32 cannot resolve, keeps
        its differences if x itself has them. What lies beyond ±1e30 is moved there, so that its
        square is finite.

        Raises
            ValueError  x has samples of another shape
        """
        self.check_shape("Scaler", x.shape[1:])
        dtype = x.dtype if x.dtype.kind == "f" else np.float64
        with np.errstate(over="ignore"):
            scaled = (x - self.shift) / self.scale
        return np.clip(scaled, -HUGE, HUGE).astype(dtype)

    def undo(self, x: Array) -> Array:
        """x in the data's own units, in x's dtype."""
        self.check_shape("Scaler", x.shape[1:])
        return (x * self.scale + self.shift).astype(x.dtype)

    def check_shape(self, who: str, shape: tuple[int, ...]) -> None:
        """Raise unless samples have a shape that this scaler is for.

        Raises
            ValueError  otherwise
        """
        own = self.shift.shape
        ends = shape[len(shape) - len(own) :]
        if len(own) > len(shape) or any(a not in (1, b) for a, b in zip(own, ends)):
            raise ValueError(
                f"{who}: a sample has shape {shape}, its scaler is for {own}; pass samples like "
                "those that the scaler was made from"
            )

    def __repr__(self) -> str:
        return f"Scaler(for samples {self.shift.shape})"


def fit_scaler(
    scaling: str | None, x: Array, who: str = "fit_scaler", sample_weight: Array | None = None
) -> Scaler:
    """The change of units for a table, whose rows count as often as their weight says.

    ``who`` is for messages.

    "standard"   mean 0 and standard deviation 1 of each feature
    "minmax"     each feature from 0 to 1
    None         no change

    A feature that is constant in x, up to rounding, is only shifted.

    Raises
        ValueError  another name
    """
    if scaling is None:
        return Scaler(np.zeros(x.shape[1]), np.ones(x.shape[1]))
    if scaling == "standard":
        return Scaler.standard(x, sample_weight)
    if scaling == "minmax":
        return Scaler.minmax(x if sample_weight is None else x[sample_weight > 0])
    raise ValueError(
        f"{who}: scaling is {scaling!r}, expected 'standard', 'minmax' or None; "
        "pass scaling='standard'"
    )


def _samples(x: Any) -> Array:
    x = real("Scaler: x", x)
    if x.ndim < 2 or not x.size:
        raise ValueError(
            f"Scaler: x has shape {x.shape}, expected samples (N, …); pass x[:, None] for one feature"
        )
    return x


def _others(x: Array) -> tuple[int, ...]:
    """Every axis but that of the features or channels."""
    return (0, *range(2, x.ndim))


def _count(x: Array) -> int:
    return x.size // x.shape[1]


def _chunks(x: Array) -> Any:
    rows = max(1, _NUMBERS_AT_ONCE // max(x[0].size, 1))
    for start in range(0, len(x), rows):
        yield np.asarray(x[start : start + rows]).astype(np.float64)


def _extremes(x: Array) -> tuple[Array, Array]:
    """The least and the largest value of each feature or channel."""
    lows, highs = zip(
        *(
            (c.min(axis=_others(x), keepdims=True)[0], c.max(axis=_others(x), keepdims=True)[0])
            for c in _chunks(x)
        )
    )
    return np.minimum.reduce(lows), np.maximum.reduce(highs)


def _not_constant(scale: Array, x: Array) -> Array:
    """The scale, with 1 where a feature is constant up to rounding."""
    low, high = _extremes(x)
    rounding = 10 * np.finfo(np.float64).eps * np.maximum(np.abs(low), np.abs(high))
    return np.where(scale > rounding, scale, 1.0)


# --- warnings ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Units:
    """What the columns of a table are like before they are scaled.

    constant   the columns of one value, which is not the background of a picture
    std        of the other columns
    apart      whether these differ by orders of magnitude, in data beyond [0, 1]
    """

    constant: Array
    std: Array
    apart: bool


def units_of(x: Array) -> _Units | None:
    """Constant columns and the spread of the others; None if x is no table, or a short one.

    The spread is judged by some thousands of rows; constant are columns that no row changes.
    """
    if x.ndim != 2 or len(x) < _FEW or not x.shape[1] or x.dtype.kind not in "fiu":
        return None
    some = np.asarray(x[:: max(1, len(x) // _ROWS)]).astype(np.float64)
    low, high = some.min(axis=0), some.max(axis=0)
    pictures = low.min() >= 0 and high.max() <= 1 and low.min() < high.max()
    still = np.flatnonzero(low == high)
    std = np.delete(some.std(axis=0), still)
    if pictures:  # pixels: one that is always black or white tells nothing either way
        still = still[(low[still] != low.min()) & (low[still] != high.max())]
    constant = [k for k in still if (np.asarray(x[:, k]) == x[0, k]).all()]
    apart = bool(std.size and not pictures and std.max() > _APART * std.min())
    return _Units(np.array(constant, int), std, apart)


def warn_of_units(what: str, x: Array, stacklevel: int) -> None:
    """Warn where a table has columns of very different size, or constant ones.

    Warns
        UserWarning  standard deviations differ more than a hundredfold, or a column is constant
    """
    units = units_of(x)
    if units is None:
        return
    if units.apart:
        warnings.warn(
            f"{what} has columns whose standard deviations range from {units.std.min():.3g} to "
            f"{units.std.max():.3g}, orders of magnitude apart: the large ones decide what is "
            "learnt; set model.scaler = Scaler.standard(x), or scale the data",
            UserWarning,
            stacklevel=stacklevel,
        )
    if len(units.constant):
        first, n = units.constant[0], len(units.constant)
        which = f"column {first}" if n == 1 else f"{n} columns, the first of them {first},"
        warnings.warn(
            f"{what}: {which} (counted from 0) {'is' if n == 1 else 'are'} constant, x[0, {first}] = "
            f"{x[0, first]:.6g} in every row, and tell{'s' * (n == 1)} nothing; leave such columns out",
            UserWarning,
            stacklevel=stacklevel,
        )


def warn_of_scale(who: str, x: Array) -> None:
    """Warn where columns that nobody scales are too large, too small or too different to learn.

    Warns
        UserWarning  a column's standard deviation is below 0.01 or above 100
    """
    std = x.std(axis=0, dtype=np.float64)
    std = std[std > 0]
    if std.size and (std.min() < 0.01 or std.max() > 100):
        warnings.warn(
            f"{who}: scaling is None, and the columns' standard deviations range from "
            f"{std.min():.3g} to {std.max():.3g}; the large ones decide what is learnt, if "
            "anything is. Pass scaling='standard'",
            UserWarning,
            stacklevel=4,
        )
