"""``export_onnx``: a part of a trained model, or a layer, as an ONNX file.

export_onnx(model, "ae.onnx")                   # x (N, …) → y (N, …)
export_onnx(model, "score.onnx", part="score")  # x (N, …) → score (N,)
export_onnx(layer, "layer.onnx", input_shape=(1, 28, 28))
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import tinyae
from tinyae import files
from tinyae.layers import Layer
from tinyae.models import Model
from tinyae.program.compile import in_float32
from tinyae.program.parts import named_program
from tinyae.program.program import Program, Shape, Slot
from tinyae.program.to_onnx.graph import Graph, Memory, Value
from tinyae.program.to_onnx.operations import write

OPSET = 20  # the first with Gelu; ONNX Runtime has it since 1.17, of January 2024
IR_VERSION = 9  # the file format that came with it
_LARGEST = 2**31 - 2**20  # bytes; a protobuf message has fewer than 2³¹


def onnx_package(who: str) -> Any:
    """The package onnx.

    Raises
        ModuleNotFoundError  it is not installed
    """
    try:
        return importlib.import_module("onnx")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{who}: .onnx files need the package onnx, which is not installed; run pip install onnx"
        ) from error


def export_onnx(
    model: Model | Layer,
    path: str | os.PathLike[str],
    *,
    part: str = "autoencoder",
    input_shape: Shape | None = None,
) -> Program:
    """Write a part of a trained model, or a layer, as an ONNX file; returns the program written.

    The numbers are float32, the first axis is called N and takes any batch, the operators are those
    of opset 20. The file is checked by onnx's own checker before it is written. A BatchNorm after a
    linear map is folded into it, as in ``model.compile()``.

    part
        of a model: "autoencoder" (x → y), "encoder" (x → z; of a variational model, the mean),
        "decoder" (z → y), or "score" (x → score, the mean squared error of each sample)
    input_shape
        the shape of one sample; needed only where the layers leave it open, as convolutions do

    Raises
        TypeError             the model has no such part, or has a layer without an operation
        ValueError            an argument is wrong, or a weight is not finite
        FileNotFoundError     the folder does not exist
        ModuleNotFoundError   the package onnx is not installed
    """
    who = "export_onnx"
    files.check_target(who, path)
    program, names = named_program(who, model, part, input_shape)
    onnx = onnx_package(who)
    content = _message(onnx, in_float32(who, program), names).SerializeToString()
    files.write(who, path, lambda file: file.write(content))
    return program


def _message(onnx: Any, program: Program, names: tuple[str, str]) -> Any:
    """The program as an ONNX model, checked."""
    if program.weights.nbytes > _LARGEST:
        raise ValueError(
            f"export_onnx: the model has {program.weights.nbytes:,} bytes of weights, expected at "
            f"most {_LARGEST:,}, which fit in one file; export encoder and decoder apart"
        )
    graph = Graph(onnx)
    x, y = names
    _write_nodes(graph, program, x, y)
    float32 = onnx.TensorProto.FLOAT
    inputs = onnx.helper.make_tensor_value_info(x, float32, ["N", *program.input_shape])
    outputs = onnx.helper.make_tensor_value_info(y, float32, ["N", *program.output_shape])
    message = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes, "tinyae", [inputs], [outputs], list(graph.constants.values())
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tinyae",
        producer_version=tinyae.__version__,
    )
    onnx.checker.check_model(message, full_check=True)
    return message


def _write_nodes(graph: Graph, program: Program, x: str, y: str) -> None:
    memory = Memory(graph)
    memory.write(Slot("input", 0, program.input_shape), Value(x, program.input_shape))
    for op in program.ops:
        arguments: dict[str, Any] = {}
        for name, slot in op.slots.items():
            if slot.space == "weights":
                flat = program.weights[slot.offset : slot.offset + slot.size]
                arguments[name] = flat.reshape(slot.shape)
            elif name != "y":
                arguments[name] = memory.read(slot)
        memory.write(op.y, write(graph, op, **arguments))
    result = memory.read(Slot("output", 0, program.output_shape))
    if result == x:
        result = graph.node("Identity", x)
    graph.rename(result, y)
