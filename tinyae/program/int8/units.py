"""The scaler of a model at the edges of its program in int8: floats in the data's own units.

Features of a table have a scale each, where int8 has one for all of an array. So the scaler is
applied in float, as a number becomes an integer or is made from one again; to the bit like the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyae.param import Array
from tinyae.program.int8.arithmetic import Quantization

_STEP_BITS = 15  # times an integer of 9 bits, a product that float32 holds exactly


@dataclass(frozen=True, eq=False)
class Units:
    """x = scale · x′ + shift, where x′ is what the layers see; a number for each channel (C,)"""

    shift: Array
    scale: Array

    def scaled(self, x: Array) -> Array:
        """x (N, C, …) as the layers see it: the difference in float32, as in C."""
        rows = np.asarray(x, np.float32).reshape(len(x), self.shift.size, -1)
        shifted = rows - self.shift[:, None].astype(np.float32)
        scaled: Array = shifted / self.scale[:, None]
        return scaled.reshape(x.shape)

    def quantize(self, x: Array, to: Quantization) -> Array:
        """x (N, C, …) in the data's units as int8: (x − shift) · halves a unit, see Quantization."""
        shift, halves = self.of_input(to).T.reshape(2, -1, 1)
        rows = np.asarray(x, np.float32).reshape(len(x), self.shift.size, -1)
        with np.errstate(over="ignore", invalid="ignore"):
            return to.from_halves((rows - shift) * halves).reshape(x.shape)

    def dequantize(self, q: Array, of: Quantization) -> Array:
        """The numbers in the data's units that q (N, C, …) stands for: step · (q − zero) + shift.

        The product is exact, so it does not matter whether a compiler joins it with the sum.
        """
        step, shift = self.of_output(of).T.reshape(2, -1, 1)
        rows = q.reshape(len(q), self.shift.size, -1).astype(np.int32) - of.zero
        y: Array = step * rows.astype(np.float32) + shift
        return y.reshape(q.shape)

    def of_input(self, to: Quantization) -> Array:
        """shift and halves a unit of each channel (C, 2), float32"""
        return np.stack([self.shift, 2 / (to.scale * self.scale)], axis=1).astype(np.float32)

    def of_output(self, of: Quantization) -> Array:
        """step and shift of each channel (C, 2), float32"""
        mantissa, exponent = np.frexp(of.scale * self.scale)
        step = np.ldexp(np.rint(np.ldexp(mantissa, _STEP_BITS)), exponent - _STEP_BITS)
        return np.stack([step, self.shift], axis=1).astype(np.float32)
