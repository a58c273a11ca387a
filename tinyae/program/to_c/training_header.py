"""The header of a model that goes on learning: its weights are in RAM, and a function moves them.

``run`` and ``score`` take the weights as one more argument. ``train`` is a step on one sample,
``init_weights`` copies the weights that learning starts from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tinyae.kernels.expressions import c_number
from tinyae.param import Array
from tinyae.program.program import Program
from tinyae.program.to_c.backward_operations import training_statements
from tinyae.program.to_c.header import FLOAT_BYTES, Header, Sample, error_bound
from tinyae.program.to_c.operations import Operations
from tinyae.program.to_c.optimizers import OPTIMIZERS, Optimizer

if TYPE_CHECKING:
    from tinyae.program.to_c.training_sample import StepSample

_INIT_WEIGHTS = """\
/* The weights that learning starts from{and_moments}. */
static inline void {name}_init_weights(float *weights)
{{
    for (int32_t i = 0; i < {length}; i++) {{
        weights[i] = {table}[i];
    }}
{rest}}}
"""
_ZERO_MOMENTS = """\
    for (int32_t i = {length}; i < {end}; i++) {{
        weights[i] = 0.0f;
    }}
"""


class TrainingHeader(Header):
    """A header whose ``programs`` have a "train", with the optimizer "sgd" or "adam"."""

    def __init__(
        self,
        name: str,
        file: str,
        what: str,
        programs: dict[str, Program],
        optimizer: str,
        threshold: float | None = None,
        sample: Sample | None = None,
    ) -> None:
        self.optimizer_name, self.optimizer = optimizer, OPTIMIZERS[optimizer]
        self.step: StepSample | None = None
        super().__init__(name, file, what, programs, threshold, sample)
        self._table = self.operations.tables.add("initial_weights", self.initial_weights)

    def _statements(self, key: str) -> list[str]:
        if key != "train":
            return super()._statements(key)
        optimizer = self.optimizer(self.operations)
        statements = _written(self.operations, self.programs["train"], optimizer)
        length = self.operations.learnt.length
        self.state_length = length + optimizer.state(length)
        return [*optimizer.begin(length), *statements]

    @property
    def initial_weights(self) -> Array:
        """The weights that NAME_init_weights copies, in the order of the C code."""
        return self.operations.learnt.values

    def order(self, program: Program) -> dict[str, Array]:
        """The weights of the training program in each part of the RAM's, by its name.

        They are counted from 1; 0 stands for a gap of a dilated kernel.
        """
        numbered = replace(program, weights=1 + np.arange(program.weights.size))
        operations = Operations(self.name)
        _written(operations, numbered, self.optimizer(operations))
        return operations.learnt.parts

    def place(self, name: str) -> int:
        """Where a part of the weights begins in RAM."""
        return self.operations.learnt.offsets[name]

    @property
    def weights_bytes(self) -> int:
        """Of the weights that are learnt and, with Adam, of their moments, in RAM."""
        return FLOAT_BYTES * self.state_length

    @property
    def ram_bytes(self) -> int:
        return self.arena_bytes + self.weights_bytes

    @property
    def program(self) -> Program:
        return self.programs["run"] if "run" in self.programs else self.programs["score"]

    @property
    def macs(self) -> int:
        return max(p.macs for key, p in self.programs.items() if key != "train")

    def _given(self, key: str) -> str:
        if key == "train":
            return "in, arena, weights, rate"
        return super()._given(key) + ", weights"

    def _begin(self, key: str) -> str:
        if key == "train":
            arguments = "const float *in, float *arena, float *weights, float rate"
            return f"void {self.name}_train({arguments})"
        return super()._begin(key)[:-1] + ", const float *weights)"

    def _usage(self) -> list[str]:
        first, empty, *others = super()._usage()
        size = f"{self.macro}_WEIGHTS_BYTES / sizeof(float)"
        return [
            *(first, empty),
            f"static float weights[{size}];",
            *others[:1],
            f"{self.name}_init_weights(weights);",
            *others[1:],
            f"{self.name}_train(in, arena, weights, 0.01f);",
        ]

    def _arguments(self) -> list[str]:
        length = self.operations.learnt.length
        moments = (
            "" if self.state_length == length else ", then Adam's moments, to be kept with them"
        )
        return [
            *super()._arguments(),
            f"weights  {self.weights_bytes} bytes in RAM: {length} weights that learn{moments}",
            "train  one step against the gradient of the loss of in; rate is the learning rate",
        ]

    def _macro_rows(self) -> list[tuple[str, str, str]]:
        rows = super()._macro_rows()
        at = next(k for k, row in enumerate(rows) if row[0] == "FLASH_BYTES")
        return [
            *rows[:at],
            ("WEIGHTS_BYTES", str(self.weights_bytes), "what learning changes, in RAM"),
            ("RAM_BYTES", str(self.ram_bytes), "both together"),
            *rows[at:],
            ("TRAIN_MACS", str(self.programs["train"].macs), "multiply-accumulates of a step"),
        ]

    def _more_functions(self) -> list[str]:
        length = self.operations.learnt.length
        adam = self.state_length > length
        rest = _ZERO_MOMENTS.format(length=length, end=self.state_length) if adam else ""
        return [
            _INIT_WEIGHTS.format(
                name=self.name,
                and_moments=", and moments of zero" if adam else "",
                length=length,
                table=self._table,
                rest=rest,
            )
        ]

    def _selftest_begin(self) -> tuple[list[str], list[str]]:
        arguments, body = super()._selftest_begin()
        return [*arguments, "float *weights"], [f"{self.name}_init_weights(weights);", *body]

    def _selftest_end(self) -> tuple[dict[str, Array], list[str]]:
        if self.step is None:
            return super()._selftest_end()
        places, values = f"{self.name}_selftest_places", f"{self.name}_selftest_weights"
        bound, count = error_bound(self.initial_weights), len(self.step.places)
        first = f"{self.macro}_OUTPUT_LENGTH + 2" if "run" in self.programs else "2"
        return {places: self.step.places, values: self.step.values}, [
            f"{self.name}_train({self.name}_selftest_in, arena, weights, {c_number(self.step.rate)});",
            f"for (int32_t i = 0; i < {count}; i++) {{",
            f"    const float moved = weights[{places}[i]] - {values}[i];",
            f"    if (!(moved <= {bound} && -moved <= {bound})) {{",
            f"        return {first} + i;",
            "    }",
            "}",
            f"{self.name}_init_weights(weights);",
        ]


def _written(operations: Operations, program: Program, optimizer: Optimizer) -> list[str]:
    return [
        line
        for k in range(len(program.ops))
        for line in training_statements(operations, program, k, optimizer)
    ]
