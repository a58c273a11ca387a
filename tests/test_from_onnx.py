"""ONNX files are read into layers: same numbers, same bits of weights, and no file does harm."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from architectures import COMPILED, Architecture
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tinyae as ta
from benchmarks import onnx_vectors
from tinyae.catalog import integers_from
from tinyae.interchange import onnx_file
from tinyae.program import export_onnx

onnx = pytest.importorskip("onnx")
helper, from_array = onnx.helper, onnx.numpy_helper.from_array


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "model.onnx")


def write(path, nodes, weights, shape, opset=17, batch="N"):
    """An ONNX file of these nodes, from x to y; weights are arrays by name."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("x", onnx.TensorProto.FLOAT, [batch, *shape])],
        [value("y", onnx.TensorProto.FLOAT, None)],
        [from_array(a, name) for name, a in weights.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path
    )


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), [output], **attributes)


def f32(*values):
    return np.array(values, np.float32)


# --- what was exported is read ------------------------------------------------------------------


def same(net, layer, x):
    np.testing.assert_allclose(net(x), layer(x), rtol=0, atol=2e-5 * max(abs(layer(x)).max(), 1e-9))


@pytest.mark.parametrize("row", COMPILED, ids=lambda row: row.name)
def test_every_layer_of_the_catalog_comes_back(row, rng, path):
    for _ in range(2):
        layer, x = row.draw(integers_from(rng), rng)
        layer, x = layer.astype(np.float32), x.astype(np.float32)
        export_onnx(layer, path, input_shape=x.shape[1:])
        if row.name == "GLU":  # it is written as a product of two halves of x
            with pytest.raises(ValueError, match="2 inputs that depend on x"):
                ta.from_onnx(path)
            continue
        same(ta.from_onnx(path), layer, x)


class WithoutGates(Architecture):
    gates = False  # see above


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_architecture_comes_back(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    built = WithoutGates(data.draw, rng)
    layer = ta.Sequential(*built.layers).astype(np.float32)
    path = str(tmp_path_factory.mktemp("onnx") / "any.onnx")
    export_onnx(layer, path, input_shape=built.input_shape)
    same(ta.from_onnx(path), layer, rng.normal(size=(3, *built.input_shape)).astype(np.float32))


def test_a_residual_of_what_is_joined_or_reshaped_comes_back(rng, path):
    for first in (
        ta.Skip(ta.Dense(4, 3, rng=rng)),
        ta.Parallel(ta.Tanh(), ta.Dense(4, 3, rng=rng)),
    ):
        layer = ta.Sequential(ta.Dense(5, 4, rng=rng), first, ta.Residual(ta.Dense(7, 7, rng=rng)))
        export_onnx(layer, path, input_shape=(5,))
        net = ta.from_onnx(path)
        assert [type(part) for part in net.layers] == [type(part) for part in layer.layers]
        same(net, layer, rng.normal(size=(3, 5)).astype(np.float32))


def test_weights_are_the_same_bits_and_the_layers_the_same(rng, path):
    layer = ta.Sequential(
        *(ta.Conv2d(1, 4, 3, 2, "same", rng=rng), ta.ReLU(), ta.MaxPool2d(2)),
        *(ta.Residual(ta.Conv2d(4, 4, 3, 1, 1, rng=rng)), ta.Skip(ta.Conv2d(4, 2, 1, rng=rng))),
        *(ta.Flatten(), ta.Dense(54, 5, rng=rng), ta.LayerNorm(5), ta.GELU()),
        *(ta.Parallel(ta.Dense(5, 2, rng=rng), ta.Sequential(ta.Dense(5, 3, rng=rng), ta.Tanh())),),
    )
    export_onnx(layer, path, input_shape=(1, 12, 12))
    net = ta.from_onnx(path)
    assert [type(part) for part in net.layers] == [type(part) for part in layer.layers]
    assert net.params.keys() == layer.params.keys()
    for name, p in layer.params.items():
        assert p.value.tobytes() == net.params[name].value.tobytes(), name


# --- what others write --------------------------------------------------------------------------


def erf_gelu(half_first):
    nodes = [node("Div", "x root2", "a"), node("Erf", "a", "b"), node("Add", "b one", "c")]
    if half_first:
        return [*nodes, node("Mul", "half x", "d"), node("Mul", "d c", "y")]
    return [*nodes, node("Mul", "x c", "d"), node("Mul", "d half", "y")]


TANH_GELU = [
    *(node("Pow", "x three", "a"), node("Mul", "a small", "b"), node("Add", "x b", "c")),
    *(node("Mul", "c rootpi", "d"), node("Tanh", "d", "e"), node("Add", "e one", "f")),
    *(node("Mul", "x f", "g"), node("Mul", "half g", "y")),
]
LAYER_NORM = [
    *(node("ReduceMean", "x", "m", axes=[-1]), node("Sub", "x m", "c")),
    *(node("Pow", "c two", "q"), node("ReduceMean", "q", "v", axes=[-1])),
    *(node("Add", "v eps", "w"), node("Sqrt", "w", "s"), node("Div", "c s", "h")),
    *(node("Mul", "h gamma", "i"), node("Add", "i beta", "y")),
]
VIEW = [
    *(node("Shape", "x", "a"), node("Gather", "a zero", "b"), node("Unsqueeze", "b first", "c")),
    *(node("Concat", "c rest", "d", axis=0), node("Reshape", "x d", "y")),
]
NUMBERS = {
    "root2": f32(math.sqrt(2)),
    "one": f32(1),
    "half": f32(0.5),
    "two": f32(2),
    "three": f32(3),
    "small": f32(0.044715),
    "rootpi": f32(math.sqrt(2 / math.pi)),
    "eps": f32(1e-5),
    "gamma": f32(1, 2, 3, 4, 5, 6),
    "beta": f32(6, 5, 4, 3, 2, 1),
    "zero": np.array(0),
    "first": np.array([0]),
    "rest": np.array([2, 3]),
    "W": np.arange(18, dtype=np.float32).reshape(6, 3) / 9,
    "bias": f32(1, 2, 3),
}
KINDS = {
    "GELU by Erf": (erf_gelu(False), [ta.GELU]),
    "GELU, ½ first": (erf_gelu(True), [ta.GELU]),
    "GELU by Tanh": (TANH_GELU, [ta.TanhGELU]),
    "SiLU": ([node("Sigmoid", "x", "a"), node("Mul", "x a", "y")], [ta.SiLU]),
    "Mish": (
        [node("Softplus", "x", "a"), node("Tanh", "a", "b"), node("Mul", "x b", "y")],
        [ta.Mish],
    ),
    "Hardswish": (
        [node("HardSigmoid", "x", "a", alpha=1 / 6), node("Mul", "a x", "y")],
        [ta.Hardswish],
    ),
    "LayerNorm": (LAYER_NORM, [ta.LayerNorm, ta.BatchNorm]),
    "a computed shape": (VIEW, [ta.Reshape]),
    "MatMul and Add": ([node("MatMul", "x W", "a"), node("Add", "bias a", "y")], [ta.Dense]),
    "MatMul": ([node("MatMul", "x W", "y")], [ta.Dense]),
    "Mul and Add": ([node("Mul", "x gamma", "a"), node("Add", "a beta", "y")], [ta.BatchNorm]),
    "Sub from": ([node("Sub", "beta x", "y")], [ta.BatchNorm]),
    "x + x": ([node("Add", "x x", "y")], [ta.Residual]),
    "a diamond": (
        [node("Relu", "x", "a"), node("Tanh", "a", "b"), node("Add", "b a", "y")],
        [ta.ReLU, ta.Residual],
    ),
    "Clip at 0": ([helper.make_node("Clip", ["x", "low"], ["y"])], [ta.ReLU]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_how_exporters_write_a_layer(kind, path, rng):
    reference = pytest.importorskip("onnx.reference")
    nodes, classes = KINDS[kind]
    used = {name for n in nodes for name in n.input}
    numbers = {**NUMBERS, "low": np.array(0, np.float32)}
    write(path, nodes, {k: a for k, a in numbers.items() if k in used}, (6,))
    net = ta.from_onnx(path)
    assert [type(layer) for layer in net.layers] == classes
    x = rng.normal(size=(4, 6)).astype(np.float32)
    (want,) = reference.ReferenceEvaluator(path).run(None, {"x": x})
    np.testing.assert_allclose(net(x), want, rtol=1e-5, atol=1e-6)


@pytest.mark.slow  # onnx draws all its vectors, of 190 operators, which takes 11 s
def test_published_vectors():
    found = onnx_vectors.outcomes()
    counts = {kind: sum(o.outcome == kind for o in found) for kind in ("passes", "trick")}
    assert [o.name for o in found if o.outcome == "wrong"] == []
    assert counts["passes"] >= 128
    assert "LayerNormalization" in onnx_vectors.table(found)


# --- what cannot be read is named ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Sin", "x", "y")], "node 0 (Sin): tinyae has no layer for the operator Sin; cut"),
        ([node("Conv", "x W3", "y", kernel_shape=[1, 1, 1])], "a window of 3 dimensions"),
        ([node("Gemm", "x W", "y", transA=1)], "transA is 1, expected 0"),
        ([node("Clip", "x one one", "y")], "it clips to 1 … 1"),
        (
            [node("Relu", "x", "a"), node("Tanh", "x", "b"), node("Add", "a b", "y")],
            "adds two paths",
        ),
        ([node("Relu", "x", "a"), node("Mul", "a x", "y")], "2 inputs that depend on x"),
        ([node("Softmax", "x", "y", axis=0)], "axis is 0"),
        ([node("Reshape", "x rest", "y")], "a sample must stay whole"),
        ([node("Relu", "a", "y")], "reads a, which is not there yet"),
        ([node("Relu", "x", "x")], "x is written twice"),
        ([node("Relu", "x", "a")], "its output y is written by no node"),
        ([node("Identity", "one", "y")], "its output does not depend on its input"),
        ([node("Gemm", "x", "y")], "input 1 is computed or missing"),
        ([helper.make_node("Relu", ["x"], ["y"], domain="my.own")], "of the domain my.own"),
    ],
)
def test_what_cannot_be_read_is_named(nodes, message, path):
    numbers = {**NUMBERS, "W3": np.ones((1, 1, 1, 1, 1), np.float32)}
    used = {name for n in nodes for name in n.input}
    write(path, nodes, {k: a for k, a in numbers.items() if k in used}, (6,))
    with pytest.raises(ValueError, match=f"from_onnx: .*model.onnx: .*{re.escape(message)}"):
        ta.from_onnx(path)


def test_an_open_shape_is_asked_for(path, rng):
    W = rng.normal(size=(2, 1, 3, 3)).astype(np.float32)
    write(path, [node("Conv", "x W", "y", pads=[1, 1, 1, 1])], {"W": W}, (1, "H", "W"))
    with pytest.raises(ValueError, match=r"\(1, \?, \?\), which it leaves open"):
        ta.from_onnx(path)
    net = ta.from_onnx(path, input_shape=(1, 5, 7))
    assert net(np.zeros((2, 1, 9, 4), np.float32)).shape == (2, 2, 9, 4)
    with pytest.raises(ValueError, match="input_shape is"):
        ta.from_onnx(path, input_shape=(3, 5, 7))


def test_old_and_new_opsets_are_named(path):
    for opset in (6, 99):
        write(path, [node("Relu", "x", "y")], {}, (6,), opset=opset)
        with pytest.raises(ValueError, match=f"opset {opset}, expected 7 to"):
            ta.from_onnx(path)


# --- files need not be trusted ------------------------------------------------------------------


def test_a_file_that_is_cut_or_altered_gives_layers_or_a_value_error(path, rng):
    layer = ta.Sequential(ta.Conv2d(1, 2, 3, rng=rng), ta.SiLU(), ta.Flatten(), ta.GroupNorm(1, 8))
    export_onnx(layer, path, input_shape=(1, 4, 4))
    whole = Path(path).read_bytes()
    refused = read = 0
    for _ in range(400):
        content = bytearray(whole)
        if rng.random() < 0.3:
            del content[int(rng.integers(len(content))) :]
        for _ in range(int(rng.integers(1, 4))):
            if content:
                content[int(rng.integers(len(content)))] = int(rng.integers(256))
        Path(path).write_bytes(content)
        try:
            ta.from_onnx(path)
        except ValueError as error:
            refused += path in str(error)
        else:
            read += 1
    assert refused + read == 400
    assert refused > 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.dims.__setitem__(0, 2**40), "claims shape"),
        (lambda t: t.dims.__setitem__(0, -6), "claims shape"),
        (lambda t: setattr(t, "data_location", 1), "lie in another file"),
        (lambda t: setattr(t, "data_type", 8), "numbers of type STRING"),
    ],
)
def test_a_tensor_that_claims_too_much(change, message, path):
    write(path, [node("MatMul", "x W", "y")], {"W": NUMBERS["W"]}, (6,))
    model = onnx.load(path)
    change(model.graph.initializer[0])
    Path(path).write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=message):
        ta.from_onnx(path)


def test_results_that_are_too_large_are_refused_before_they_are_made(path):
    shape = np.array([1, 1, 2**20, 2**20], np.float32)
    nodes = [helper.make_node("Resize", ["x", "", "s"], ["y"], mode="nearest")]
    write(path, nodes, {"s": shape}, (1, 2, 2))
    with pytest.raises(ValueError, match="expected at most 16,777,216 numbers"):
        ta.from_onnx(path)
    write(path, [node("Relu", "x", "y")], {}, (2**40, 2**40))
    with pytest.raises(ValueError, match="numbers"):
        ta.from_onnx(path)


def test_a_flood_of_empty_nodes_is_refused_before_it_is_parsed(path):
    empty = b"\x0a\x00" * (onnx_file._MOST_FIELDS + 1)
    size = len(empty)
    length = bytes((size >> 7 * k) & 127 | (128 if size >> 7 * (k + 1) else 0) for k in range(4))
    Path(path).write_bytes(b"\x3a" + length + empty)
    with pytest.raises(ValueError, match="more than 262,144 fields"):
        ta.from_onnx(path)


def test_too_much_text_is_refused_before_it_is_parsed(path):
    write(path, [node("Relu", "x", "y", remark="x" * onnx_file._LARGEST_STRUCTURE)], {}, (6,))
    with pytest.raises(ValueError, match="besides the numbers of its tensors"):
        ta.from_onnx(path)


def test_branches_that_double_are_refused(path):
    nodes, a, b = [], "x", "x"
    for k in range(60):
        nodes += [node("Concat", f"{a} {b}", f"a{k}", axis=1), node("Concat", f"{b} {a}", f"b{k}")]
        nodes[-1].attribute.append(helper.make_attribute("axis", 1))
        a, b = f"a{k}", f"b{k}"
    nodes.append(node("Concat", f"{a} {b}", "y", axis=1))
    write(path, nodes, {}, (1,))
    with pytest.raises(ValueError, match=r"nested more than|on its paths|numbers"):
        ta.from_onnx(path)


def test_no_file_and_no_package(path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="from_onnx: there is no file"):
        ta.from_onnx(path)
    Path(path).write_bytes(b"")
    with pytest.raises(ValueError, match="it has 0 bytes"):
        ta.from_onnx(path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match="pip install onnx"):
        ta.from_onnx(path)


def test_half_precision_weights_become_float32(path):
    W = NUMBERS["W"].astype(np.float16)
    write(path, [node("MatMul", "x W", "y")], {"W": W}, (6,))
    (layer,) = ta.from_onnx(path).layers
    assert layer.dtype == np.float32
    assert (layer.W.value == W.T).all()
