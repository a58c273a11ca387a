"""Programs written as JavaScript compute under Node what the model computes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from architectures import COMPILED, Architecture
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae.catalog import MODELS, integers_from
from tinyae.cli import main
from tinyae.layers import activation
from tinyae.program import Op, export_javascript, program, program_of
from tinyae.program.compile import program_of_layer
from tinyae.program.to_javascript import javascript, operations

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node: install nodejs")
PARTS = {
    "autoencoder": "reconstruct",
    "encoder": "encode",
    "decoder": "decode",
    "score": "reconstruction_error",
}


class Jobs:
    """Programs, the samples to run them on, and what they should make of them; one Node for all."""

    def __init__(self, folder):
        self.folder, self.texts, self.inputs, self.wanted = folder, [], [], []

    def add(self, program, x, want):
        self.texts.append(javascript(program, f"job{len(self.texts)}"))
        self.inputs.append(np.asarray(x, np.float32).reshape(len(x), -1))
        self.wanted.append(np.asarray(want, np.float64).reshape(len(x), -1))

    def add_layer(self, layer, x):
        layer, x = layer.astype(np.float32), x.astype(np.float32)
        wide = layer.astype(np.float64)
        self.add(program_of_layer(layer, x.shape[1:]), x, wide(x.astype(np.float64)))

    def check(self, tolerance=1e-5):
        script = self.folder / "jobs.js"
        given = json.dumps([x.tolist() for x in self.inputs])
        names = ", ".join(f"job{k}" for k in range(len(self.texts)))
        script.write_text(
            '"use strict";\n' + "".join(self.texts) + f"const inputs = {given};\n"
            f"const results = [{names}].map((f, k) => inputs[k].map((x) => [...f(x)]));\n"
            "console.log(JSON.stringify(results, (key, v) => "
            'typeof v === "number" && !Number.isFinite(v) ? String(v) : v));\n',
            encoding="utf-8",
        )
        for y, want in zip(json.loads(run(script)), self.wanted, strict=True):
            scale = np.abs(want[np.isfinite(want)]).max(initial=1e-30)
            y = np.array([[float(v) for v in row] for row in y])
            np.testing.assert_allclose(y, want, rtol=0, atol=tolerance * scale)


def run(script):
    done = subprocess.run([NODE, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path)


@pytest.fixture
def model(rng):
    return ta.Autoencoder(*ta.dense_encoder_decoder((1, 4, 4), [8, 3], rng=rng), ta.MSE())


@needs_node
def test_every_layer_of_the_catalog(jobs, rng):
    for row in COMPILED:
        for _ in range(2):
            jobs.add_layer(*row.draw(integers_from(rng), rng))
    jobs.check()


@needs_node
def test_every_part_of_every_model(jobs, rng):
    checked = 0
    for row in MODELS:
        model, x = row.draw(integers_from(rng), rng)
        if not isinstance(model, ta.Autoencoder | ta.VariationalAutoencoder) or row.classes:
            continue
        model, x = model.astype(np.float32), x.astype(np.float32)
        wide = model.astype(np.float64)
        for part, method in PARTS.items():
            batch = x if part != "decoder" else model.encode(x)
            want = getattr(wide, method)(batch.astype(np.float64))
            jobs.add(program_of(model, part, batch.shape[1:]), batch, want)
            checked += 1
    assert checked >= 4 * 5
    jobs.check()


@needs_node
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_any_architecture(tmp_path_factory, data):
    jobs = Jobs(tmp_path_factory.mktemp("javascript"))
    for _ in range(4):
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        built = Architecture(data.draw, rng)
        jobs.add_layer(ta.Sequential(*built.layers), rng.normal(size=(2, *built.input_shape)))
    jobs.check()


@needs_node
def test_activations_over_their_whole_range(jobs):
    """Far out, where exp overflows, in the tails, and NaN and infinity as they are."""
    far = [-np.inf, -1e30, -200, -41, -20, -3, -1e-3, 0, 1e-6, 0.5, 1.9, 2.1, 6, 60, 1e30, np.nan]
    x = np.array([far], np.float32)
    for kind in activation.activations():
        layer = kind()
        with np.errstate(all="ignore"):
            want = layer.astype(np.float64)(x.astype(np.float64))
        text = javascript(program_of_layer(layer, (len(far),)), "f")
        script = jobs.folder / "f.js"
        given = str([float(v) for v in x[0]]).replace("inf", "Infinity").replace("nan", "NaN")
        script.write_text(f"{text}console.log([...f({given})].join(' '));\n", encoding="utf-8")
        got = np.array([float(v.replace("Infinity", "inf")) for v in run(script).split()])
        np.testing.assert_allclose(got, want[0], rtol=1e-5, atol=1e-30, err_msg=kind.__name__)


@needs_node
def test_generators_scalers_and_conditional_decoders(jobs, rng):
    gan = ta.GAN(*ta.dense_gan((6,), (5,), 3, rng=rng))
    z = rng.normal(size=(4, 3)).astype(np.float32)
    jobs.add(program_of(gan, "decoder", (3,)), z, gan.decode(z))
    x = (100 + 7 * rng.normal(size=(40, 6))).astype(np.float32)
    model = ta.Autoencoder(*ta.dense_encoder_decoder((6,), [5, 3], rng=rng), ta.MSE())
    model.scaler = ta.Scaler.standard(x)
    jobs.add(program_of(model, "decoder", (3,)), z, model.decode(z))
    jobs.add(program_of(model, "autoencoder", (6,)), x, model.reconstruct(x))
    encoder, *_, decoder = ta.dense_variational((6,), [5, 3], rng=rng)
    heads = [ta.Dense(5 + 2, 3, rng=rng) for _ in range(2)]
    first = ta.Dense(3 + 2, 5, rng=rng)
    decoder = ta.Sequential(first, *decoder.layers[1:])
    conditional = ta.ConditionalVariationalAutoencoder(encoder, *heads, decoder, classes=2)
    labels = np.array([0, 1, 1, 0])
    given = np.concatenate([z, np.eye(2, dtype=np.float32)[labels]], axis=1)
    jobs.add(program_of(conditional, "decoder", (5,)), given, conditional.decode((z, labels)))
    jobs.check()


@needs_node
def test_models_of_every_kind_as_they_were_saved(jobs):
    paths = sorted((Path(__file__).parent / "data").glob("0.1.0-*-output.npz"))
    assert paths
    for path in paths:
        model = ta.load(str(path).replace("-output", ""))
        with np.load(path) as saved:
            x = saved["x"].astype(np.float32)
        jobs.add(program_of(model, "autoencoder", x.shape[1:]), x, model.reconstruct(x))
    jobs.check(1e-4)


@needs_node
def test_the_file_is_a_module(model, tmp_path, rng):
    path = tmp_path / "net.js"
    program = export_javascript(model, path, part="encoder")
    assert program.output_shape == (3,)
    x = rng.random((1, 1, 4, 4), np.float32)
    script = tmp_path / "main.js"
    script.write_text(
        'const net = require("./net.js");\n'
        f"const x = {x.ravel().tolist()};\n"
        "const first = net(x);\nnet(x.map((v) => -v));\nconsole.log([...first].join(' '));\n"
        "try { net([1, 2]); } catch (error) { console.log(error.message); }\n"
    )
    numbers, message = run(script).strip().split("\n")
    got = np.array(numbers.split(), np.float64)
    np.testing.assert_allclose(got, model.encode(x)[0], rtol=0, atol=1e-6)  # and not those of −x
    assert message == "net: x has 2 numbers, expected 16"


def test_every_operation_has_a_function():
    kinds = {k for k in vars(program).values() if isinstance(k, type) and issubclass(k, Op)}
    assert {k for k in kinds if not k.__subclasses__()} == set(operations.WRITE)
    text = (operations.Path(operations.__file__).parent / "functions.js").read_text()
    assert len(operations.library()) == len(re.findall(r"^function ", text, re.MULTILINE))


def test_only_what_is_called_is_written(model):
    text = javascript(program_of(model, "decoder", (3,)), "decode")
    assert re.findall(r"function (\w+)\(", text) == ["dense", "ReLU", "Sigmoid", "decode"]


def test_an_operation_without_a_function_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr(operations, "WRITE", {})
    with pytest.raises(TypeError, match=r"operation Dense, which has no form in JavaScript"):
        export_javascript(model, tmp_path / "net.js")


def test_a_layer_without_operations_is_named(rng, tmp_path):
    block = ta.TransformerBlock(4, 2, rng=rng)
    with pytest.raises(TypeError, match="TransformerBlock"):
        export_javascript(block, tmp_path / "net.js", input_shape=(3, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"part": "tail"}, "part is 'tail'"),
        ({"input_shape": (0, 4)}, "input_shape is"),
        ({"name": "a b"}, "name is 'a b'"),
        ({"name": "class"}, "name is 'class'"),
    ],
)
def test_wrong_arguments(model, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        export_javascript(model, tmp_path / "net.js", **arguments)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite(model, tmp_path):
    model.decoder.layers[0].W.value[0, 0] = np.nan
    with pytest.raises(ValueError, match="weights that are NaN"):
        export_javascript(model, tmp_path / "net.js")


def test_the_command(model, tmp_path, capsys):
    saved, out = str(tmp_path / "model.npz"), str(tmp_path / "decode.js")
    model.save(saved)
    assert main(["export", saved, "-o", out, "--part", "decoder"]) == 0
    assert "decode.js: 3 → 1 × 4 × 4" in capsys.readouterr().out
    assert main(["export", saved, "-o", out, "--selftest", "--force"]) == 2
    assert "--selftest is for C headers" in capsys.readouterr().err
