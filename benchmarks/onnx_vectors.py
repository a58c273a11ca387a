"""ONNX's published test vectors, read by ``ta.from_onnx`` and run by tinyae's layers.

    python benchmarks/onnx_vectors.py [--list]

The package onnx has a test for each operator and each use of it: a model of one node, inputs and
outputs. Those of operators that tinyae reads, with floats as x, are counted here. A node's inputs
besides the first are made constants, as weights are in a model, and only its first output is compared.

    passes      a layer gives the numbers that are published, to 1e-3 relative, ONNX's own measure
    trick       so does a layer that is meant for something else: BatchNorm for Add and Mul with a
                constant
    refused     no layer does it; ``--list`` says why, in from_onnx's words
    wrong       other numbers: there must be none
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tinyae.interchange import from_onnx
from tinyae.interchange.onnx_layers import JOINS, OPERATORS

TRICKS = {"Mul", "Div", "Add", "Sub", "Neg"}
RELATIVE, ABSOLUTE = 1e-3, 1e-7  # of onnx.backend.test


class Outcome(NamedTuple):
    """What became of one vector, and from_onnx's reason if it was refused."""

    name: str
    operator: str
    outcome: str
    reason: str = ""


def vectors() -> Iterator[tuple[str, Any, Any, Any]]:
    """Name, model, inputs and outputs of every vector of one node whose operator tinyae reads."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():  # of the cases that overflow on purpose
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    for case in cases:
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in {*OPERATORS, *JOINS}:
            inputs, outputs = case.data_sets[0]
            if getattr(inputs[0], "dtype", np.dtype(int)).kind == "f":
                yield case.name, case.model, inputs, outputs


def run(name: str, model: Any, inputs: Any, outputs: Any, folder: Path) -> Outcome:
    """Read a vector's model, run it, and compare."""
    import onnx

    operator = model.graph.node[0].op_type
    x, path = np.asarray(inputs[0]), folder / "vector.onnx"
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value, a in list(zip(model.graph.input, inputs))[1:]:
        tensor = onnx.numpy_helper.from_array(np.asarray(a), value.name)
        fixed.graph.initializer.append(tensor)
    del fixed.graph.output[1:]
    onnx.save(fixed, path)
    try:
        net = from_onnx(path)
    except ValueError as error:
        return Outcome(name, operator, "refused", str(error).partition(".onnx: ")[2])
    wide = net.astype(np.float64) if net.params else net
    try:
        y = wide(x.astype(np.float64))
    except (ValueError, TypeError) as error:
        return Outcome(name, operator, "refused", str(error))
    want = np.asarray(outputs[0])
    right = y.shape == want.shape and np.allclose(y, want, RELATIVE, ABSOLUTE, equal_nan=True)
    outcome = "passes" if operator not in TRICKS else "trick"
    return Outcome(name, operator, outcome if right else "wrong")


def outcomes() -> list[Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        return [run(*vector, Path(folder)) for vector in vectors()]


def table(found: list[Outcome]) -> str:
    """A row for each operator, and the sums."""
    kinds = ("passes", "trick", "refused", "wrong")
    counts = Counter((o.operator, o.outcome) for o in found)
    counts.update(("all", o.outcome) for o in found)
    rows = [("operator", "vectors", *kinds)]
    for operator in [*sorted({o.operator for o in found}), "all"]:
        row = [counts[operator, kind] for kind in kinds]
        rows.append((operator, *map(str, (sum(row), *row))))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))])
        for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="say why vectors are refused")
    args = parser.parse_args()
    found = outcomes()
    if args.list:
        for o in found:
            if o.outcome in ("refused", "wrong"):
                print(f"{o.name}: {o.outcome}: {o.reason}")
    print(table(found))


if __name__ == "__main__":
    main()
