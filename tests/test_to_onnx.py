"""Exported ONNX files pass onnx's checker, and ONNX Runtime computes what the model does."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from architectures import COMPILED, Architecture
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae.catalog import MODELS, integers_from
from tinyae.cli import main
from tinyae.kernels import functions
from tinyae.layers import activation
from tinyae.program import Op, export_onnx, program
from tinyae.program.to_onnx import OPSET, operations
from tinyae.program.to_onnx import functions as onnx_functions

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

PARTS = {
    "autoencoder": "reconstruct",
    "encoder": "encode",
    "decoder": "decode",
    "score": "reconstruction_error",
}


def run(path, x):
    """What ONNX Runtime makes of x."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def compare(y, want):
    assert y.shape == want.shape
    scale = np.abs(want[np.isfinite(want)]).max(initial=1e-30)
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-5 * scale)


def check_layer(path, layer, x):
    """Export, run on any batch, compare with the layer in float64."""
    layer, x = layer.astype(np.float32), x.astype(np.float32)
    export_onnx(layer, path, input_shape=x.shape[1:])
    want = layer.astype(np.float64)(x.astype(np.float64))
    compare(run(path, x), want)
    compare(run(path, x[:1]), want[:1])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "model.onnx")


@pytest.fixture
def model(rng):
    parts = ta.dense_encoder_decoder((1, 4, 4), [8, 3], rng=rng)
    return ta.Autoencoder(*parts, ta.MSE())


@pytest.mark.parametrize("row", COMPILED, ids=lambda row: row.name)
def test_every_layer_of_the_catalog(row, rng, path):
    for _ in range(2):
        check_layer(path, *row.draw(integers_from(rng), rng))


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.name)
def test_every_part_of_every_model(row, rng, path):
    model, x = row.draw(integers_from(rng), rng)
    if not isinstance(model, ta.Autoencoder | ta.VariationalAutoencoder) or row.classes:
        with pytest.raises(TypeError, match=r"(?s)export_onnx: .* expected"):
            model.export_onnx(path)
        return
    model, x = model.astype(np.float32), x.astype(np.float32)
    wide = model.astype(np.float64)
    for part, method in PARTS.items():
        batch = x if part != "decoder" else model.encode(x)
        model.export_onnx(path, part=part, input_shape=batch.shape[1:])
        compare(run(path, batch), getattr(wide, method)(batch.astype(np.float64)))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_architecture(tmp_path_factory, data):
    check_any_architecture(tmp_path_factory, data)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_five_hundred_architectures(tmp_path_factory, data):
    check_any_architecture(tmp_path_factory, data)


def check_any_architecture(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    built = Architecture(data.draw, rng)
    layer = ta.Sequential(*built.layers)
    for p in layer.params.values():
        p.value += rng.normal(0, 0.1, p.shape)
    path = str(tmp_path_factory.mktemp("onnx") / "any.onnx")
    check_layer(path, layer, rng.normal(size=(3, *built.input_shape)))


def test_the_file_says_what_it_is(model, path, rng):
    for p in model.params.values():
        p.value += rng.normal(size=p.shape).astype(np.float32)  # no two alike
    program = model.export_onnx(path)
    message = onnx.load(path)
    assert message.producer_name == "tinyae"
    assert message.opset_import[0].version == OPSET
    (x,), (y,) = message.graph.input, message.graph.output
    for value, name in ((x, "x"), (y, "y")):
        axes = value.type.tensor_type.shape.dim
        assert value.name == name
        assert [a.dim_param or a.dim_value for a in axes] == ["N", 1, 4, 4]
    weights = sum(math.prod(t.dims) for t in message.graph.initializer if t.data_type == 1)
    assert weights == program.weights.size == sum(p.size for p in model.params.values())


def test_a_half_of_the_output_is_cut_out(rng, path):
    encoder = ta.Sequential(ta.Dense(6, 4, rng=rng), ta.Tanh())
    heads = ta.Dense(4, 2, rng=rng), ta.Dense(4, 2, rng=rng)
    decoder = ta.Dense(2, 12, rng=rng)
    model = ta.VariationalAutoencoder(encoder, *heads, decoder, ta.HeteroscedasticGaussian())
    x = rng.normal(size=(5, 6)).astype(np.float32)
    model.export_onnx(path)
    compare(run(path, x), model.reconstruct(x))


def test_the_scaling_of_a_model_is_included(model, rng, path):
    x = (100 + 7 * rng.normal(size=(40, 1, 4, 4))).astype(np.float32)
    model.scaler = ta.Scaler.minmax(x)
    for part, method in PARTS.items():
        batch = x if part != "decoder" else model.encode(x)
        model.export_onnx(path, part=part)
        want = getattr(model.astype(np.float64), method)(batch.astype(np.float64))
        np.testing.assert_allclose(run(path, batch), want, rtol=2e-5, atol=1e-5)


def test_a_generator_is_a_decoder(rng, path):
    generator = ta.Sequential(ta.Dense(3, 6, rng=rng), ta.Tanh())
    gan = ta.GAN(generator, ta.Sequential(ta.Dense(6, 1, rng=rng)))
    gan.export_onnx(path, part="decoder")
    z = rng.normal(size=(4, 3)).astype(np.float32)
    compare(run(path, z), gan.generator(z))


@pytest.mark.parametrize("kind", activation.activations(), ids=lambda kind: kind.__name__)
def test_an_activation_that_onnx_does_not_have_becomes_its_expression(kind, rng, path, monkeypatch):
    monkeypatch.delitem(onnx_functions.OPERATORS, kind.__name__, raising=False)
    row = functions.FUNCTIONS[kind.__name__]
    monkeypatch.setitem(functions.FUNCTIONS, "SiLU", row)  # SiLU too, by way of its name
    check_layer(path, kind(), 3 * rng.normal(size=(4, 6)))


def test_a_window_as_large_as_the_image_may_still_move(path):
    pool, x = ta.AvgPool2d(2, 1, "same"), np.random.default_rng(0).normal(size=(3, 4, 2, 2))
    check_layer(path, pool, x)


def test_every_operation_has_nodes():
    kinds = {k for k in vars(program).values() if isinstance(k, type) and issubclass(k, Op)}
    assert {k for k in kinds if not k.__subclasses__()} == set(operations.NODES)


def test_an_operation_without_nodes_is_named(model, path, monkeypatch):
    monkeypatch.setattr(operations, "NODES", {})
    with pytest.raises(TypeError, match=r"operation Dense, which has no form in ONNX"):
        model.export_onnx(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"part": "tail"}, "part is 'tail'"),
        ({"input_shape": (0, 4)}, "input_shape is"),
        ({"input_shape": (3, 7)}, "shape"),
    ],
)
def test_wrong_arguments(model, path, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        model.export_onnx(path, **arguments)


def test_a_layer_needs_a_shape_and_has_no_parts(path):
    with pytest.raises(ValueError, match="the shape of a sample is not given"):
        export_onnx(ta.ReLU(), path)
    with pytest.raises(ValueError, match="part is 'encoder' of a layer"):
        export_onnx(ta.ReLU(), path, part="encoder", input_shape=(3,))


def test_weights_that_are_not_finite(model, path):
    model.decoder.layers[0].W.value[0, 0] = np.nan
    with pytest.raises(ValueError, match="weights that are NaN"):
        model.export_onnx(path)


def test_without_onnx_the_command_is_named(model, path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match="pip install onnx"):
        model.export_onnx(path)


def test_the_command(model, tmp_path, capsys, rng):
    saved, out = str(tmp_path / "model.npz"), str(tmp_path / "out.onnx")
    model.save(saved)
    assert main(["export", saved, "-o", out, "--part", "encoder"]) == 0
    assert "out.onnx: N × 1 × 4 × 4 → N × 3" in capsys.readouterr().out
    x = rng.random((2, 1, 4, 4), np.float32)
    compare(run(out, x), model.encode(x))
    other = str(tmp_path / "other.onnx")
    assert main(["export", saved, "-o", other, "--quantize", "int8"]) == 2
    assert "--quantize is for C headers" in capsys.readouterr().err
