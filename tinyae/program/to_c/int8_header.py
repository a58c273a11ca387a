"""The header of a model in int8.

    Int8Header("ae", "ae.h", "an Autoencoder", quantized, ("run",)).text()

``run`` and ``score`` take floats. Memory is saved at both ends: ``run`` keeps the sample's integers
at the beginning of ``out``, if they fit, and those of the result in its last quarter, from which
they spread out to floats.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import cast

from tinyae.arrays import check_real
from tinyae.kernels.expressions import c_number
from tinyae.param import Array
from tinyae.program.int8 import QuantizedProgram, Units
from tinyae.program.int8.operations import LinearMap, Table
from tinyae.program.int8.quantize import QuantizedOp
from tinyae.program.to_c import int8_templates as templates
from tinyae.program.to_c.header import Header, Sample
from tinyae.program.to_c.int8_operations import (
    DenseCalls,
    int8_statements,
    strip_bytes,
    table_call,
)
from tinyae.program.to_c.operations import comment
from tinyae.program.to_c.score import ends_in_pieces
from tinyae.program.to_c.templates import MIN


class Int8Header(Header):
    """One file of C99; ``functions`` are "run", "score" or both."""

    def __init__(
        self,
        name: str,
        file: str,
        what: str,
        quantized: QuantizedProgram,
        functions: tuple[str, ...],
        threshold: float | None = None,
        sample: Sample | None = None,
    ) -> None:
        self.quantized = quantized
        programs = dict.fromkeys(functions, quantized.program)
        super().__init__(name, file, f"{what} in int8", programs, threshold, sample)

    def simulate_int8(self, x: Array) -> Array:
        """What ``NAME_run`` computes of x (N, …), to the bit: float32.

        The score is that of these numbers: the mean of (y − x)² of a sample, in the units that
        the layers see.

        Raises
            TypeError, ValueError  x is not an array of samples of the model's shape
        """
        check_real("simulate_int8: x", x)
        shape = self.program.input_shape
        if not x.ndim or x.shape[1:] != shape:
            raise ValueError(
                f"simulate_int8: x has shape {x.shape}, expected {('N', *shape)}; for one sample "
                "pass x[None]"
            )
        return self.quantized.run(x)

    @property
    def arena_bytes(self) -> int:
        most = max(arena_bytes(self.quantized, key) for key in self.programs)
        return -(-most // 4) * 4  # so that an array of floats may be passed

    @property
    def prototypes(self) -> list[str]:
        int8 = [f"{self.name}_run_int8(in, out, arena)"] if "run" in self.programs else []
        return [*super().prototypes, *int8]

    def _arguments(self) -> list[str]:
        x, y = self.quantized.x, self.quantized.y
        macro = self.macro
        if "run" not in self.programs:
            return super()._arguments()
        scaled = []
        if self.quantized.x_units or self.quantized.y_units:
            scaled = ["Integers are in the units of the layers, floats in those of the data."]
        return [
            *super()._arguments(),
            "",
            *scaled,
            f"{self.name}_run_int8 has int8_t in and out: q in in stands for",
            f"{macro}_INPUT_SCALE * (q - {macro}_INPUT_ZERO), {x.range_text}, and in out for",
            f"{macro}_OUTPUT_SCALE * (q - {macro}_OUTPUT_ZERO), {y.range_text}.",
        ]

    def _macro_rows(self) -> list[tuple[str, str, str]]:
        ends = {"INPUT": self.quantized.x, "OUTPUT": self.quantized.y}
        if "run" not in self.programs:
            return super()._macro_rows()
        rows = super()._macro_rows()
        for end, (scale, zero) in ends.items():
            rows.append((f"{end}_SCALE", c_number(scale), "of an int8"))
            rows.append((f"{end}_ZERO", str(zero), "the int8 that stands for 0"))
        return rows

    def _statements(self, key: str) -> list[str]:
        if key == "score":
            return self._score()
        self._run_body = self._run()
        return self._calls(self.quantized.ops)

    def _calls(self, quantized: Sequence[QuantizedOp]) -> list[str]:
        return [
            line
            for k, op in enumerate(quantized)
            for line in int8_statements(self.operations, op, k)
        ]

    def _function(self, key: str) -> str:
        if key == "score":
            begin = f"static inline float {self.name}_score(const float *x, void *memory)"
            return _text(begin, self.bodies[key])
        name, arguments = self.name, "const int8_t *in, int8_t *out, void *memory"
        integers = _text(
            f"static inline void {name}_run_int8({arguments})",
            [*self._memory(), *self.bodies[key]],
        )
        floats = f"static inline void {name}_run(const float *in, float *out, void *arena)"
        return f"{integers}\n{_text(floats, self._run_body)}"

    def _memory(self) -> list[str]:
        """Pointers into the memory that is given."""
        core, arena = core_bytes(self.quantized), self.quantized.program.arena
        lines = ["int8_t *const arena = (int8_t *)memory;"] if core else ["(void)memory;"]
        return [*lines, f"int8_t *const strip = arena + {arena};"] if core > arena else lines

    def _run(self) -> list[str]:
        """From floats to floats."""
        core, _, outputs = _lengths(self.quantized)
        at = "(int8_t *)out" if _fits_in_out(self.quantized) else f"(int8_t *)arena + {core}"
        return [
            f"int8_t *const x = {at}, *const y = (int8_t *)out + {3 * outputs};",
            self._quantize("in", "x"),
            f"{self.name}_run_int8(x, y, arena);",
            self._dequantize("y", "out"),
        ]

    def _quantize(self, x: str, q: str) -> str:
        to, units, operations = self.quantized.x, self.quantized.x_units, self.operations
        operations.function("nearest", templates.NEAREST)
        if units is None:
            function = operations.function("quantize", templates.QUANTIZE)
            numbers = f"{self.input_length}, {c_number(to.halves_per_unit)}, {to.zero}"
            return f"{function}({x}, {q}, {numbers});"
        function = operations.function("quantize_units", templates.QUANTIZE_UNITS)
        sizes = _channels(units, self.input_length)
        return f"{function}({self._input_units(units)}, {x}, {q}, {sizes}, {to.zero});"

    def _dequantize(self, q: str, y: str) -> str:
        of, units, operations = self.quantized.y, self.quantized.y_units, self.operations
        if units is None:
            function = operations.function("dequantize", templates.DEQUANTIZE)
            return f"{function}({q}, {y}, {self.output_length}, {c_number(of.scale)}, {of.zero});"
        function = operations.function("dequantize_units", templates.DEQUANTIZE_UNITS)
        table = operations.tables.add("out_units", units.of_output(of))
        sizes = _channels(units, self.output_length)
        return f"{function}({table}, {q}, {y}, {sizes}, {of.zero});"

    def _input_units(self, units: Units) -> str:
        return self.operations.tables.add("in_units", units.of_input(self.quantized.x))

    def _squared_error(self, q: str, first: str, count: int) -> str:
        """The call for the sum of squared errors of ``count`` numbers of x from ``first`` on."""
        y, units, operations = self.quantized.y, self.quantized.x_units, self.operations
        to = f"{c_number(y.scale)}, {y.zero}"
        if units is None:
            function = operations.function("squared_error", templates.SQUARED_ERROR)
            return f"{function}({q}, {'x' if first == '0' else f'x + {first}'}, {count}, {to})"
        function = operations.function("squared_error_units", templates.SQUARED_ERROR_UNITS)
        end = count if first == "0" else f"{first} + {count}"
        length = self.input_length // units.shift.size
        half = c_number(self.quantized.x.scale / 2)
        table = self._input_units(units)
        return f"{function}({table}, {q}, x, {first}, {end}, {length}, {to}, {half})"

    def _score(self) -> list[str]:
        q, operations = self.quantized, self.operations
        core, inputs, outputs = _lengths(q)
        operations.function("min", MIN)
        lines = [*self._memory(), f"int8_t *const in = (int8_t *)memory + {core};"]
        lines.append(self._quantize("x", "in"))
        if not computed_in_pieces(q):
            lines.append(f"int8_t *const out = in + {inputs};")
            lines += self._calls(q.ops)
            return [*lines, f"return {self._squared_error('out', '0', outputs)} / {outputs}.0f;"]
        tables = 1 if isinstance(q.ops[-1], Table) else 0
        k = len(q.ops) - 1 - tables
        lines += self._calls(q.ops[:k])
        dense, first = DenseCalls(operations, cast(LinearMap, q.ops[k]), k), 0
        lines += [comment(k, q.ops[k].op), "float sum = 0.0f;"]
        for rows, count in dense.groups:
            lines += [
                f"for (int32_t o = {first}; o < {first + count}; o += {rows}) {{",
                f"    int8_t y[{rows}];",
                f"    {dense.call(rows, 'o', rows, 'y')};",
            ]
            if tables:
                last = cast(Table, q.ops[-1])
                lines.append(f"    {table_call(operations, last, k + 1, 'y', 'y', rows)};")
            lines += [f"    sum += {self._squared_error('y', 'o', rows)};", "}"]
            first += count
        return [*lines, f"return sum / {outputs}.0f;"]


def _channels(units: Units, length: int) -> str:
    """The number of channels, and how many numbers each has."""
    return f"{units.shift.size}, {length // units.shift.size}"


def arena_bytes(quantized: QuantizedProgram, key: str) -> int:
    """Bytes of scratch memory of ``run`` or ``score``."""
    core, inputs, outputs = _lengths(quantized)
    if key == "score":
        return core + inputs + (0 if computed_in_pieces(quantized) else outputs)
    return core + (0 if _fits_in_out(quantized) else inputs)


def computed_in_pieces(quantized: QuantizedProgram) -> bool:
    """Whether the score needs no memory for the reconstruction: see :mod:`.score`."""
    program = quantized.program
    if isinstance(quantized.ops[-1], Table):  # an activation, which may follow in place
        program = dataclasses.replace(program, ops=program.ops[:-1])
    return bool(program.ops) and ends_in_pieces(program)


def _lengths(quantized: QuantizedProgram) -> tuple[int, int, int]:
    """Numbers in the arena of the layers, in a sample, and in the result."""
    program = quantized.program
    return core_bytes(quantized), program.input_length, program.output_length


def core_bytes(quantized: QuantizedProgram) -> int:
    """Bytes of intermediate results, and after them of the strip of a convolution."""
    return quantized.program.arena + max(map(strip_bytes, quantized.ops))


def _fits_in_out(quantized: QuantizedProgram) -> bool:
    """Whether a sample's integers fit before those of the result."""
    _, inputs, outputs = _lengths(quantized)
    return inputs <= 3 * outputs


def _text(begin: str, body: list[str]) -> str:
    return begin + "\n{\n" + "".join(f"    {line}\n" for line in body) + "}\n"
