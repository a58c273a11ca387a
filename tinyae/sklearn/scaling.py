"""Units that a network learns well from: each feature shifted and scaled, and back again."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from tinyae.param import Array


@dataclass(frozen=True)
class Scaler:
    """An affine change of units, one for each feature.

    Forward   x′ = (x − shift) / scale      x = x′ scale + shift
    Shapes    x, x′ (N, D)   shift, scale (D,), in float64 whatever x is
    """

    shift: Array
    scale: Array

    def apply(self, x: Array) -> Array:
        """x in the network's units and in x's dtype, computed in float64.

        So a feature such as a time in seconds since 1970, which float32 cannot resolve, keeps
        its differences if x itself has them.
        """
        return ((x - self.shift) / self.scale).astype(x.dtype)

    def undo(self, x: Array) -> Array:
        """x in the data's own units, in x's dtype."""
        return (x * self.scale + self.shift).astype(x.dtype)


def fit_scaler(scaling: str | None, x: Array) -> Scaler:
    """The change of units for a table.

    "standard"   mean 0 and standard deviation 1 of each feature
    "minmax"     each feature from 0 to 1
    None         no change

    A feature that is constant in x, up to rounding, is only shifted.

    Raises
        ValueError  another name
    """
    x = x.astype(np.float64)
    if scaling is None:
        return Scaler(np.zeros(x.shape[1]), np.ones(x.shape[1]))
    if scaling == "standard":
        shift, scale = x.mean(axis=0), x.std(axis=0)
    elif scaling == "minmax":
        shift = x.min(axis=0)
        scale = x.max(axis=0) - shift
    else:
        raise ValueError(
            f"fit_scaler: scaling is {scaling!r}, expected 'standard', 'minmax' or None; "
            "pass scaling='standard'"
        )
    rounding = 10 * np.finfo(np.float64).eps * np.abs(x).max(axis=0)
    return Scaler(shift, np.where(scale > rounding, scale, 1.0))


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
