"""Constant tables in C, and the order of weights in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyae.kernels.expressions import c_number
from tinyae.param import Array

_NUMBERS_PER_LINE = 8
_ROWS = (8, 4, 1)  # outputs that are computed at a time: as many as possible, then what remains


class Tables:
    """The tables of a header. Equal tables are stored once."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.definitions: list[str] = []
        self.bytes = 0
        self._names: dict[tuple[str, bytes], str] = {}

    def add(self, name: str, values: Array) -> str:
        """The C name of a table of floats, or of integers if values are int8 or int32."""
        values = values.ravel()
        if values.dtype.kind == "f":
            values = values.astype(np.float32)
        kind = c_type(values)
        body = number_lines(values)
        little_endian = values.astype(values.dtype.newbyteorder("<")).tobytes()
        return self._add(kind, name, f"[{values.size}]", body, little_endian)

    def add_struct(self, struct: str, name: str, values: Sequence[int]) -> str:
        """The C name of a struct of 32-bit integers."""
        body = f"    {', '.join(map(str, values))}\n"
        return self._add(struct, name, "", body, np.array(values, "<i4").tobytes())

    def _add(self, kind: str, name: str, size: str, body: str, content: bytes) -> str:
        key = kind, content
        if key not in self._names:
            name = f"{self.prefix}_{name}"
            while name in self._names.values():  # another program's
                name += "_"
            self._names[key] = name
            hook = f"{self.prefix.upper()}_CONST"
            self.definitions.append(f"{hook} {kind} {name}{size} = {{\n{body}}};\n")
            self.bytes += len(content)
        return self._names[key]


def c_type(values: Array) -> str:
    """float or e.g. int8_t"""
    return {"f": "float", "i": f"{values.dtype}_t"}[values.dtype.kind]


def number_lines(values: Array) -> str:
    """Indented lines of decimal numbers; each float reads back as the same one."""
    texts = [str(value) if values.dtype.kind == "i" else c_number(value) for value in values]
    rows = (texts[i : i + _NUMBERS_PER_LINE] for i in range(0, len(texts), _NUMBERS_PER_LINE))
    return "".join(f"    {', '.join(row)},\n" for row in rows)


def split(outputs: int, at_a_time: tuple[int, ...] = _ROWS) -> list[tuple[int, int]]:
    """Groups (rows, outputs) of outputs that are computed so many rows at a time.

    15 → (8, 8), (4, 4), (1, 3)
    """
    groups = []
    for rows in at_a_time:
        whole = outputs // rows * rows
        if whole:
            groups.append((rows, whole))
            outputs -= whole
    return groups


def interleave(W: Array, b: Array) -> Array:
    """W (outputs, …) and b (outputs,) flat, in the order in which the sums are computed.

    For a group of :func:`split`, (outputs / rows, 1 + inputs, rows): for each ``rows`` outputs their
    b, and then the weights that meet the same input side by side.
    """
    rows_of_both = np.concatenate([b[:, None], W.reshape(len(W), -1)], axis=1)
    parts, first = [], 0
    for rows, outputs in split(len(W)):
        block = rows_of_both[first : first + outputs].reshape(outputs // rows, rows, -1)
        parts.append(block.transpose(0, 2, 1).ravel())
        first += outputs
    return np.concatenate(parts)
