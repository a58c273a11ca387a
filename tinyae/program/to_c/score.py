"""The reconstruction error in C, without memory for the reconstruction where that can be.

If the last operation is a Dense layer, it computes a few numbers of the reconstruction at a time.
Each is compared with the sample at once, so the score needs no more memory than the layers before.
"""

from __future__ import annotations

from tinyae.program import program as ops
from tinyae.program.program import LINEAR, Program
from tinyae.program.to_c import templates
from tinyae.program.to_c.operations import (
    Operations,
    Writer,
    comment,
    dense_function,
    dense_table,
    pointer,
)
from tinyae.program.to_c.tables import split


def ends_in_pieces(reconstruction: Program) -> bool:
    """Whether the last operation can be computed in pieces, and nothing else uses the output."""
    *others, last = reconstruction.ops
    writes_output = any(slot.space == "output" for op in others for slot in op.slots.values())
    return isinstance(last, ops.Dense) and not writes_output


def score_statements(operations: Operations, program: Program) -> list[str]:
    """Statements that return the score.

    The program is that of the score, or that of a reconstruction that ``ends_in_pieces``.
    """
    k = len(program.ops) - 1
    last = program.ops[k]
    before = [line for i in range(k) for line in operations.statements(program, i)]
    operations.function("min", templates.MIN)
    squared_error = operations.function("squared_error", templates.SQUARED_ERROR)
    if isinstance(last, ops.SquaredError):
        arguments = f"{pointer(last.x)}, {pointer(last.target)}, {last.x.size}"
        score = f"{squared_error}({arguments}) / {last.x.size}.0f"
        return [*before, comment(k, last), f"return {score};"]
    assert isinstance(last, ops.Dense)
    writer = Writer(operations, program, k)
    W, columns = dense_table(writer, last), last.W.shape[1]
    lines = [comment(k, last), "float sum = 0.0f;"]
    first = 0
    for rows, outputs in split(last.y.size):
        weights = f"{W} + o * {1 + columns}"
        lines += [
            f"for (int32_t o = {first}; o < {first + outputs}; o += {rows}) {{",
            f"    float y[{rows}];",
            f"    {dense_function(writer, rows)}"
            f"({weights}, {pointer(last.x)}, y, {rows}, {columns});",
        ]
        if last.f != LINEAR:
            lines.append(f"    {operations.activation(last.f, 'y', rows)};")
        lines += [f"    sum += {squared_error}(y, in + o, {rows});", "}"]
        first += outputs
    return [*before, *lines, f"return sum / {last.y.size}.0f;"]
