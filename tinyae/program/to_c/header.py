"""The header as a whole: a comment on what it holds, macros, tables, functions.

    Header("ae", "ae.h", "an Autoencoder", {"run": program, "score": program}).text()

``run`` is a part of a model, ``score`` its reconstruction error; a header has either or both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import tinyae
from tinyae.kernels.expressions import c_number
from tinyae.param import Array
from tinyae.program.program import Program, Shape
from tinyae.program.to_c.operations import Operations, shape_text, shapes, title
from tinyae.program.to_c.score import score_statements
from tinyae.program.to_c.tables import c_type, number_lines

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Sample:
    """Input and results of the self-test: x, and each program's y by its name."""

    x: Array
    results: dict[str, Array]


class Header:
    """One file of C99: ``programs`` by the names of their C functions, "run" and "score".

    ``fill``, if it is set, becomes the macro NAME_FILL: what stands in for a gap in the input.
    """

    fill: Array | None = None

    def __init__(
        self,
        name: str,
        file: str,
        what: str,
        programs: dict[str, Program],
        threshold: float | None = None,
        sample: Sample | None = None,
    ) -> None:
        self.name, self.file, self.what, self.programs = name, file, what, programs
        self.threshold, self.sample = threshold, sample
        self.operations = Operations(name)
        self.bodies = {key: self._statements(key) for key in programs}

    def _statements(self, key: str) -> list[str]:
        program = self.programs[key]
        if key == "score":
            return score_statements(self.operations, program)
        lines = (self.operations.statements(program, k) for k in range(len(program.ops)))
        return [line for statements in lines for line in statements]

    @property
    def macro(self) -> str:
        return self.name.upper()

    @property
    def program(self) -> Program:
        """The program that the macros and the table of operations describe."""
        return next(iter(self.programs.values()))

    @property
    def input_length(self) -> int:
        return self.program.input_length

    @property
    def output_length(self) -> int:
        return self.program.output_length

    @property
    def arena_bytes(self) -> int:
        return FLOAT_BYTES * max(program.arena for program in self.programs.values())

    @property
    def flash_bytes(self) -> int:
        return self.operations.tables.bytes

    @property
    def macs(self) -> int:
        return max(program.macs for program in self.programs.values())

    @property
    def prototypes(self) -> list[str]:
        """The functions to call, e.g. ``ae_run(in, out, arena)``."""
        return [f"{self.name}_{key}({self._given(key)})" for key in self.programs]

    def _given(self, key: str) -> str:
        """The arguments of a function."""
        return {"run": "in, out, arena", "score": "in, arena"}[key]

    def _begin(self, key: str) -> str:
        """How a function begins in C."""
        if key == "score":
            return f"float {self.name}_score(const float *in, float *arena)"
        return f"void {self.name}_run(const float *in, float *out, float *arena)"

    def text(self) -> str:
        guard = f"{self.macro}_H"
        parts = [
            f"#ifndef {guard}\n#define {guard}\n",
            self._includes(),
            self._macros(),
            *self.operations.types.values(),
            *self.operations.tables.definitions,
            *self.operations.functions.values(),
            *(self._function(key) for key in self.programs),
            *self._more_functions(),
            *self._selftest(),
            f"#endif /* {guard} */\n",
        ]
        return self._comment() + "\n" + "\n".join(parts)

    # --- the parts, in their order ------------------------------------------------------------

    def _comment(self) -> str:
        uses = "<stdint.h> and <math.h>" if self.operations.needs_libm else "<stdint.h>"
        lines = [
            f"{self.file}: {self.what}. Written by tinyae {tinyae.__version__}.",
            "",
            *(f"    {line}".rstrip() for line in self._usage()),
            "",
            *self._arguments(),
            "",
            f"C99 or C++ with {uses}: no heap, no global variables, no double.",
            "Functions and tables are static: include this file where they are used.",
            "",
            *_columns(self._operation_rows()),
        ]
        return "/* " + "\n".join(f" * {line}".rstrip() for line in lines)[3:] + "\n */\n"

    def _usage(self) -> list[str]:
        arena = f"{self.macro}_ARENA_BYTES / sizeof(float)"
        usage = [f'#include "{self.file}"', ""]
        given = "arena" if self.arena_bytes else "0"
        if self.arena_bytes:
            usage.append(f"static float arena[{arena}];")
        if "run" in self.programs:
            usage.append(f"float out[{self.macro}_OUTPUT_LENGTH];")
            usage.append(f"{self.name}_run({self._given('run').replace('arena', given)});")
        if "score" in self.programs:
            score = f"{self.name}_score({self._given('score').replace('arena', given)})"
            anomaly = f"int anomaly = {score} > {self.macro}_THRESHOLD;"
            usage.append(anomaly if self.threshold is not None else f"float score = {score};")
        return usage

    def _arguments(self) -> list[str]:
        program = self.program
        lines = [f"in     {floats(program.input_shape)}"]
        if "run" in self.programs:
            lines.append(f"out    {floats(program.output_shape)}; not the same memory as in")
        if "score" in self.programs:
            lines.append("score  the mean squared error of the reconstruction of in")
        if self.arena_bytes:
            lines.append(
                f"arena  {self.arena_bytes} bytes of scratch memory; "
                "calls at the same time need one each"
            )
        else:
            lines.append("arena  not used")
        return lines

    def _operation_rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [
            ("", "operation", "x -> y", "weights", "multiply-accumulates")
        ]
        program = list(self.programs.values())[-1]
        for k, op in enumerate(program.ops):
            size = sum(slot.size for slot in op.slots.values() if slot.space == "weights")
            rows.append((str(k), title(op), shapes(op), str(size), str(op.macs)))
        return rows

    def _includes(self) -> str:
        libm = "#include <math.h>\n" if self.operations.needs_libm else ""
        return f"{libm}#include <stdint.h>\n"

    def _macro_rows(self) -> list[tuple[str, str, str]]:
        rows = [("INPUT_LENGTH", str(self.input_length), "floats")]
        if "run" in self.programs:
            rows.append(("OUTPUT_LENGTH", str(self.output_length), "floats"))
        rows += [
            ("ARENA_BYTES", str(self.arena_bytes), "scratch memory"),
            ("FLASH_BYTES", str(self.flash_bytes), "constant tables, without the code"),
            ("MACS", str(self.macs), "multiply-accumulates of a call"),
        ]
        if self.threshold is not None:
            rows.append(("THRESHOLD", c_number(self.threshold), "of the score"))
        return rows

    def _macros(self) -> str:
        rows = self._macro_rows()
        width = max(len(name) for name, _, _ in rows) + len(self.macro) + 2
        value_width = max(len(value) for _, value, _ in rows) + 2
        defines = [
            f"#define {f'{self.macro}_{name}'.ljust(width)}{value.ljust(value_width)}/* {note} */\n"
            for name, value, note in rows
        ]
        hook = f"{self.macro}_CONST"
        if self.fill is not None:
            numbers = ", ".join(map(c_number, self.fill.ravel().tolist()))
            defines.append(
                "\n/* For gaps in the input, the means of the data that the model learnt from:\n"
                f"   static const float fill[] = {self.macro}_FILL; */\n"
                f"#define {self.macro}_FILL {{{numbers}}}\n"
            )
        return "".join(defines) + (
            "\n/* Before each table. Define it to put them elsewhere, for instance in a section. */\n"
            f"#ifndef {hook}\n#define {hook} static const\n#endif\n"
        )

    def _function(self, key: str) -> str:
        body = list(self.bodies[key])
        if not self.programs[key].arena:
            body.insert(0, "(void)arena;")
        lines = "".join(f"    {line}\n" for line in body)
        return f"static inline {self._begin(key)}\n{{\n{lines}}}\n"

    def _more_functions(self) -> list[str]:
        return []

    def _selftest_begin(self) -> tuple[list[str], list[str]]:
        """The arguments and the first statements of the self-test."""
        return ["float *arena"], []

    def _selftest_end(self) -> tuple[dict[str, Array], list[str]]:
        """More tables and the last statements of the self-test."""
        return {}, []

    def _selftest(self) -> list[str]:
        if self.sample is None:
            return []
        name, macro = f"{self.name}_selftest", self.macro
        arguments, body = self._selftest_begin()
        tables = {f"{name}_in": self.sample.x}
        if "run" in self.programs:
            y = self.sample.results["run"]
            arguments.insert(0, "float *out")
            tables[f"{name}_out"] = y
            body += [
                f"{self.name}_run({self._given('run').replace('in,', f'{name}_in,', 1)});",
                f"for (int32_t i = 0; i < {macro}_OUTPUT_LENGTH; i++) {{",
                f"    const float error = out[i] - {name}_out[i];",
                f"    if (!(error <= {error_bound(y)} && -error <= {error_bound(y)})) {{",
                "        return i + 1;",
                "    }",
                "}",
            ]
        if "score" in self.programs:
            y = self.sample.results["score"]
            failed = f"{macro}_OUTPUT_LENGTH + 1" if "run" in self.programs else "1"
            body += [
                f"const float error = {self.name}_score("
                f"{self._given('score').replace('in,', f'{name}_in,', 1)}) - {c_number(float(y))};",
                f"if (!(error <= {error_bound(y)} && -error <= {error_bound(y)})) {{",
                f"    return {failed};",
                "}",
            ]
        more_tables, end = self._selftest_end()
        tables |= more_tables
        body += end
        definitions = [
            f"{macro}_CONST {c_type(values)} {table}[{values.size}] = "
            f"{{\n{number_lines(values.ravel())}}};\n"
            for table, values in tables.items()
        ]
        function = (
            "/* 0 if this machine computes what tinyae did, else 1 + the index of a wrong result. */\n"
            f"static inline int32_t {name}({', '.join(arguments)})\n{{\n"
            + "".join(f"    {line}\n" for line in [*body, "return 0;"])
            + "}\n"
        )
        return [*definitions, function]


def floats(shape: Shape) -> str:
    """784 floats, 1 x 28 x 28"""
    number = f"{math.prod(shape)} floats"
    return f"{number}, {shape_text(shape)}" if len(shape) > 1 else number


def error_bound(y: Array) -> str:
    """The largest error that the self-test allows: 1e-5 of the largest number."""
    return c_number(1e-5 * float(abs(y).max()))


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
