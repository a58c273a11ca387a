"""The networks as ONNX graphs, written node by node, in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import tinyae as ta

OPSET, IR_VERSION = 17, 8  # supported by all recent runtimes


class Graph:
    """A chain of nodes that starts at "x"; ``last`` is the name of the last node's output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.last = "x"

    def add(self, op: str, *arrays: np.ndarray, **attributes: Any) -> None:
        """Append a node whose inputs are ``last`` and constants."""
        names = [f"w{len(self.weights) + k}" for k in range(len(arrays))]
        self.weights += [numpy_helper.from_array(a, n) for a, n in zip(arrays, names)]
        out = f"a{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.last, *names], [out], **attributes))
        self.last = out

    def add_layer(self, layer: ta.Layer) -> None:
        """Append the nodes of a tinyae layer.

        Raises
            TypeError  there is no translation for its type
        """
        if isinstance(layer, ta.Sequential):
            for part in layer.layers:
                self.add_layer(part)
        elif isinstance(layer, ta.Dense):
            self.add("Gemm", layer.W.value, layer.b.value, transB=1)
        elif isinstance(layer, ta.Conv2d):
            (p, q), s = layer.padding, layer.stride
            self.add("Conv", layer.W.value, layer.b.value, strides=s, pads=[p, q, p, q])
        elif isinstance(layer, ta.ConvTranspose2d):
            (p, q), s, output_padding = layer.padding, layer.stride, layer.output_padding
            settings = {"strides": s, "pads": [p, q, p, q], "output_padding": output_padding}
            self.add("ConvTranspose", layer.W.value, layer.b.value, **settings)
        elif isinstance(layer, ta.Flatten):
            self.add("Flatten")
        elif isinstance(layer, ta.Reshape):
            self.add("Reshape", np.array([-1, *layer.shape], np.int64))
        elif type(layer) in (ta.ReLU, ta.ELU, ta.Sigmoid, ta.Tanh):
            names = {ta.ReLU: "Relu", ta.ELU: "Elu", ta.Sigmoid: "Sigmoid", ta.Tanh: "Tanh"}
            self.add(names[type(layer)])
        else:
            raise TypeError(f"ONNX: no translation of {layer}; add one to benchmarks/peers")


def parts(model: ta.Model) -> Iterator[ta.Layer]:
    """The layers that ``reconstruct`` runs, in order."""
    yield model.encoder
    if isinstance(model, ta.VariationalAutoencoder):
        yield model.mean
    yield model.decoder
    if isinstance(model, ta.VariationalAutoencoder):
        yield ta.Sigmoid()  # the mean of Bernoulli's logits


def graph_of(model: ta.Model, shape: tuple[int, ...]) -> bytes:
    """The reconstruction as an ONNX file: x (N, *shape) → y."""
    graph = Graph()
    for part in parts(model):
        graph.add_layer(part)
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
        for name in ("x", graph.last)
    )
    onnx_graph = helper.make_graph(graph.nodes, "reconstruction", [x], [y], graph.weights)
    opsets = [helper.make_opsetid("", OPSET)]
    file = helper.make_model(onnx_graph, opset_imports=opsets, ir_version=IR_VERSION)
    data: bytes = file.SerializeToString()
    return data


def inference(model: ta.Model, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """Reconstruct a batch, from array to array, with all graph optimisations."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        graph_of(model, x.shape[1:]), settings, providers=["CPUExecutionProvider"]
    )

    def run() -> np.ndarray:
        return session.run(None, {"x": x})[0]

    return run
