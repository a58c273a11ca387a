"""What a model carries besides its layers: the units of its data, and what is usual for its scores.

    model.scaler       units that the layers learn well from; the model itself works in the data's own
    model.threshold    scores above it are anomalies
    model.calibration  scores of rows that the model was not trained on, for p-values
    model.columns      names of a table's columns, in order
    model.fill         what stands in for a gap in each column: the means of the data it learnt from
    model.history      what the last training measured, by epoch (:mod:`tinyae.training.carried`)

All are saved with the model, and None unless they are set.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.arrays import real
from tinyae.param import Array
from tinyae.scaling import Scaler

CARRIED = ("scaler", "threshold", "calibration", "columns", "fill", "history")


class Carrier:
    """Attributes that are checked when they are set; ``scores`` has two more."""

    _carried: dict[str, Any] = {}  # never changed in place: copies of a model share it

    @property
    def scaler(self) -> Scaler | None:
        """The change from the data's units to those of the layers."""
        return self._carried.get("scaler")

    @scaler.setter
    def scaler(self, value: Scaler | None) -> None:
        if value is not None and not isinstance(value, Scaler):
            got = f"the class {value.__name__}" if isinstance(value, type) else f"{value!r:.60}"
            raise TypeError(
                f"{type(self).__name__}: scaler is {got}, expected a Scaler; "
                "pass Scaler.standard(x), or None"
            )
        self._carry("scaler", value)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of the columns of the table that the model was trained on."""
        return self._carried.get("columns")

    @columns.setter
    def columns(self, value: Any) -> None:
        if value is not None:
            if isinstance(value, str) or not all(isinstance(name, str) for name in value):
                raise TypeError(
                    f"{type(self).__name__}: columns is {value!r:.60}, expected names; "
                    "pass e.g. ['temperature', 'pressure']"
                )
            value = tuple(value)
        self._carry("columns", value)

    @property
    def fill(self) -> Array | None:
        """A number for each feature, in the data's units: ``np.where(np.isnan(x), model.fill, x)``.

        The command line fills gaps with it (``--missing mean``); no method of the model does.
        """
        return self._carried.get("fill")

    @fill.setter
    def fill(self, value: Any) -> None:
        if value is not None:
            value = real(f"{type(self).__name__}: fill", value).astype(np.float64)
            if not value.ndim or not np.isfinite(value).all():
                raise ValueError(
                    f"{type(self).__name__}: fill has shape {value.shape}, expected a finite number "
                    "for each feature; pass e.g. np.nanmean(x, axis=0)"
                )
            value.flags.writeable = False
        self._carry("fill", value)

    def _carry(self, name: str, value: Any) -> None:
        kept = {key: v for key, v in self._carried.items() if key != name}
        self._carried = kept if value is None else kept | {name: value}
