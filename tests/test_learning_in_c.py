"""Exported C learns as tinyae does: its step equals backprop and the optimizer's, in its memory."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess

import numpy as np
import pytest
from architectures import Architecture
from hypothesis import given, settings
from hypothesis import strategies as st
from test_to_c import C99, CANARY, CXX, SANITIZED, build, compiler

import tinyae as ta
from tinyae.cli import main
from tinyae.kernels.expressions import c_number
from tinyae.layers import activation
from tinyae.layers.base import check_dy
from tinyae.program import gradients
from tinyae.program import program as ops
from tinyae.program.backward import BACKWARD
from tinyae.program.training import learnt_params, training_program
from tinyae.twin import definitions_only

pytestmark = pytest.mark.skipif(
    compiler() is None, reason="needs a C compiler: install gcc or clang"
)

OPTIMIZERS = {"sgd": ta.SGD, "adam": ta.Adam}


@contextlib.contextmanager
def as_on_the_device():
    """BatchNorm with running statistics and no dropout, in training as well."""

    def forward(layer, x):
        return layer(x), x

    def backward(layer, dy, x):
        scale = layer.gamma.value / np.sqrt(layer.running_var + layer.eps)
        return check_dy(layer, dy, x.shape, x.dtype) * layer.wide(scale, x.ndim)

    with pytest.MonkeyPatch.context() as patch, definitions_only():
        for kind in (ta.BatchNorm, ta.Dropout):
            patch.setattr(kind, "forward", forward)
        patch.setattr(ta.BatchNorm, "backward", backward)
        patch.setattr(ta.BatchNorm, "backward_params", backward)
        patch.setattr(ta.Dropout, "backward", lambda layer, dy, x: dy)
        yield


def trained(model, x, train, rate, frozen=()):
    """A copy of the model after one step of its own on each sample."""
    model = model.astype(model.dtype)
    optimizer = OPTIMIZERS[train](rate)
    learnt = {
        name: p
        for name, p in model.params.items()
        if not any(name == f or name.startswith(f + ".") for f in frozen)
    }
    with as_on_the_device():
        for sample in x:
            source = model.as_input(sample[None])
            L = model.step(source, source)
            assert np.isfinite(L)
            optimizer.step(learnt)
            for p in model.params.values():
                p.grad.fill(0)
    return model


PROGRAM = """\
#include <stdio.h>
#include <stdlib.h>
#include "ae.h"

int main(void)
{
    float *in = malloc(AE_INPUT_LENGTH * sizeof(float));
    float *arena = malloc(AE_ARENA_BYTES + 3 * sizeof(float));
    float *weights = malloc(AE_WEIGHTS_BYTES + 3 * sizeof(float));
    const int end = AE_ARENA_BYTES / (int)sizeof(float) + 2;
    const int last = AE_WEIGHTS_BYTES / (int)sizeof(float) + 2;
    arena[0] = arena[1] = arena[end] = weights[0] = weights[1] = weights[last] = CANARYf;
    ae_init_weights(weights + 2);
    while (fread(in, sizeof(float), AE_INPUT_LENGTH, stdin) == AE_INPUT_LENGTH) {
        ae_train(in, arena + 2, weights + 2, RATEf);
        if (arena[0] < CANARYf || arena[1] < CANARYf || arena[end] < CANARYf) exit(3);
        if (weights[0] < CANARYf || weights[1] < CANARYf || weights[last] < CANARYf) exit(4);
    }
    fwrite(weights + 2, 1, AE_WEIGHTS_BYTES, stdout);
    free(in);
    free(arena);
    free(weights);
    return 0;
}
"""


def in_c(folder, header, x, rate, *options, cc=None):
    """The learnt weights after a step of the C on each sample."""
    text = PROGRAM.replace("CANARYf", f"{CANARY}f").replace("RATEf", f"{np.float32(rate)!s}f")
    options = options or ("-O0", *C99)
    program = build(folder, text.replace("= malloc", "= (float *)malloc"), *options, cc=cc)
    done = subprocess.run([program], input=x.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr.decode()[-3000:])
    weights = np.frombuffer(done.stdout, np.float32)
    assert weights.size * 4 == header.weights_bytes
    return weights[: header.initial_weights.size]


def check(folder, model, x, train="sgd", rate=0.01, frozen=(), options=(), cc=None, **arguments):
    """The C and tinyae in float32 and float64 from the same weights, on the same samples."""
    x = np.asarray(x, np.float32)
    model = model.astype(np.float32)

    def exported(m):
        path = folder / "ae.h"
        return m.export_c(path, train=train, frozen=frozen, input_shape=x.shape[1:], **arguments)

    with ta.kernels.use("numpy"):  # which other tests hold against Numba's
        after = trained(model, x, train, rate, frozen)
        after_exact = trained(model.astype(np.float64), x, train, rate, frozen)
    own, exact = (exported(m).initial_weights for m in (after, after_exact))
    header = exported(model)
    got = in_c(folder, header, x, rate, *options, cc=cc)
    scale = np.abs(own).max()
    rounding = np.abs(own - exact).max()
    error = np.abs(got - own).max()
    assert np.abs(own - header.initial_weights).max() > 1e-5 * scale, "nothing was learnt"
    # Where rounding alone drives tinyae's own float32 away from float64, it may drive C as far.
    assert error <= max(1e-6 * scale, 4 * rounding), (error / scale, rounding / scale)
    return error / scale, rounding / scale


def random_model(draw, rng, samples):
    """A chain of layers and one more that makes a reconstruction of it."""
    built = Architecture(draw, rng)
    size, code = int(np.prod(built.input_shape)), int(np.prod(built.shape))
    encoder = ta.Sequential(*built.layers)
    last = {
        ta.MSE: [],
        ta.L1: [],
        ta.Huber: [],
        ta.BCE: [ta.Sigmoid()],
        ta.BCEWithLogits: [],
    }
    kind = draw(st.sampled_from(list(last)))
    decoder = ta.Sequential(
        ta.Flatten(),
        ta.Dense(code, size, rng=rng, dtype=np.float64),
        *last[kind],
        ta.Reshape(*built.input_shape),
    )
    model = ta.Autoencoder(encoder, decoder, kind())
    draws = rng.random if kind in (ta.BCE, ta.BCEWithLogits) else rng.normal
    return model, draws(size=(samples, *built.input_shape))


def check_any_architecture(folder, draw, samples=100):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    model, x = random_model(draw, rng, samples)
    train = draw(st.sampled_from(["sgd", "adam"]))
    return check(folder, model, x, train, 0.01 if train == "sgd" else 0.001)


@settings(max_examples=6)
@given(data=st.data())
def test_any_architecture_learns_as_tinyae_does(tmp_path_factory, data):
    check_any_architecture(tmp_path_factory.mktemp("any"), data.draw, samples=10)


@pytest.mark.slow
@settings(max_examples=500, derandomize=False)
@given(data=st.data())
def test_five_hundred_architectures(tmp_path_factory, data):
    check_any_architecture(tmp_path_factory.mktemp("any"), data.draw)


# --- every layer, compiler and check of memory ----------------------------------------------------


def every_layer(rng):
    """A network that has a gradient of every kind in it, for samples (2, 8, 8)."""
    encoder = ta.Sequential(
        *(ta.Pad2d(1, mode="reflect"), ta.Conv2d(2, 9, 3, 1, rng=rng), ta.BatchNorm(9), ta.ReLU()),
        *(ta.MaxPool2d(3, 2, 1), ta.PReLU(9), ta.GroupNorm(3, 9), ta.Tanh()),
        *(ta.Skip(ta.Conv2d(9, 4, 3, 1, 1, rng=rng)), ta.LayerNorm((13, 4, 4)), ta.SiLU()),
        *(ta.Residual(ta.Conv2d(13, 13, 1, rng=rng)), ta.LayerNorm((4,)), ta.PixelNorm()),
        *(ta.AvgPool2d(2), ta.Flatten(), ta.TopK(20), ta.Dense(52, 8, rng=rng), ta.Softmax()),
    )
    decoder = ta.Sequential(
        *(ta.Dense(8, 36, rng=rng), ta.RMSNorm(36), ta.GELU(), ta.Reshape(4, 3, 3)),
        *(ta.ConvTranspose2d(4, 8, 3, 2, 1, rng=rng), ta.InstanceNorm(8), ta.ELU()),
        *(ta.Pad2d(1), ta.Upsample2d(2), ta.Conv2d(8, 8, 3, 1, 0, rng=rng), ta.PixelShuffle(2)),
        *(ta.Conv2d(2, 2, 3, 3, 1, rng=rng), ta.Parallel(ta.Mish(), ta.Softplus())),
        *(ta.Conv2d(4, 4, 3, 1, 2, dilation=2, groups=2, rng=rng), ta.GLU(), ta.Sigmoid()),
    )
    model = ta.Autoencoder(encoder, decoder, ta.BCE())
    for name, a in model.state.items():
        if "running" in name:
            a[...] = rng.uniform(0.5, 2, a.shape)
    return model


def sequences(rng):
    """Layers of one dimension, and every activation, for samples (2, 12)."""
    between = [(kind(), ta.Conv1d(3, 3, 1, rng=rng)) for kind in activation.activations()]
    encoder = ta.Sequential(
        *(ta.Conv1d(2, 3, 3, 2, 1, rng=rng), ta.MaxPool1d(2), *itertools.chain(*between)),
    )
    decoder = ta.Sequential(
        *(ta.Upsample1d(2, mode="linear"), ta.AvgPool1d(2, 1, "same", dilation=2)),
        *(
            ta.ConvTranspose1d(3, 6, 2, 2, dilation=2, groups=3, rng=rng),
            ta.MaxPool1d(2, 1, "same", dilation=2),
        ),
        ta.Conv1d(6, 2, 2, padding=0, rng=rng),
    )
    return ta.Autoencoder(encoder, decoder, ta.BCEWithLogits())


NETWORKS = {"images": (every_layer, (2, 8, 8)), "sequences": (sequences, (2, 12))}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "command",
    [
        ("sgd", "gcc", "-O1", *C99),
        ("adam", "gcc", "-O0", *C99, *SANITIZED),
        ("sgd", "g++", "-O0", *CXX),
        ("adam", "clang", "-O0", *C99),
    ],
    ids=" ".join,
)
def test_every_gradient(network, command, tmp_path):
    """In an arena and weights of exactly the stated size, without a warning."""
    train, cc, *options = command
    if shutil.which(cc) is None:
        pytest.skip(f"needs {cc}")
    make, shape = NETWORKS[network]
    rng = np.random.default_rng(0)
    model, x = make(rng), rng.random((30, *shape))
    rate = {"sgd": 0.02, "adam": 0.001}[train]
    check(tmp_path, model, x, train, rate, options=options, cc=cc)


def test_every_operation_has_a_gradient_or_is_never_differentiated():
    """And each of these is in one of the networks above."""
    rng = np.random.default_rng(0)
    used, kinds = set(), set()
    for make, shape in NETWORKS.values():
        model = make(rng)
        program = training_program(model, shape, learnt_params(model, ()))
        used |= {type(op) for op in program.ops}
    for name, kind in vars(gradients).items():
        leaf = isinstance(kind, type) and not kind.__subclasses__()
        if leaf and kind.__module__ == gradients.__name__:
            kinds.add(kind)
            assert kind in used, name
    assert len(kinds) == 17
    forward = {kind for kind in vars(ops).values() if isinstance(kind, type)}
    forward = {kind for kind in forward if issubclass(kind, ops.Op)}
    forward = {kind for kind in forward if not kind.__subclasses__()}
    # LayerNorm is two operations here
    assert forward - set(BACKWARD) == {ops.LayerNorm, ops.SquaredError}


# --- frozen layers, losses, models ----------------------------------------------------------------


@pytest.mark.parametrize(
    "frozen", ["encoder", ["decoder"], ["encoder.2", "decoder.0"], ["encoder.0", "decoder.2"]]
)
def test_frozen_layers_stay_in_flash(frozen, tmp_path):
    rng = np.random.default_rng(0)
    layers = ta.dense_encoder_decoder([20], [9, 3], code_activation=ta.ReLU, rng=rng)
    model, x = ta.Autoencoder(*layers, ta.MSE()), rng.random((30, 20))
    names = [frozen] if isinstance(frozen, str) else frozen
    check(tmp_path, model, x, frozen=names)
    header = model.export_c(tmp_path / "ae.h", train="sgd", frozen=frozen)
    learnt = [p for n, p in model.params.items() if not n.startswith(tuple(names))]
    assert header.weights_bytes == 4 * sum(p.size for p in learnt)
    total = 4 * sum(p.size for p in model.params.values())
    assert header.flash_bytes == total
    whole = model.export_c(tmp_path / "whole.h", train="adam")
    assert whole.weights_bytes == 3 * total + 8
    for name in names:
        part = model
        for child in name.split("."):
            part = part.children[child]
        part.freeze()
    assert (
        model.export_c(tmp_path / "same.h", "ae", train="sgd").weights_bytes == header.weights_bytes
    )
    if frozen == "encoder":  # then the backward pass ends at the code
        kinds = [type(op).__name__ for op in header.programs["train"].ops]
        assert kinds[4:] == ["LossGrad", *["ActivationGrad", "DenseGrad"] * 2]
        assert not header.programs["train"].ops[-1].y.size
        whole_text, text = (header.text() for header in (whole, header))
        assert "NOTHING" not in text
        assert whole_text.count("_backward") > text.count("_backward")


@pytest.mark.parametrize("loss", [ta.MSE(), ta.L1(), ta.Huber(0.3), ta.BCE(), ta.BCEWithLogits()])
def test_every_loss(loss, tmp_path):
    rng = np.random.default_rng(0)
    last = ta.Sigmoid() if isinstance(loss, ta.BCE) else ta.Dense(6, 6, rng=rng)
    decoder = ta.Sequential(ta.Dense(3, 6, rng=rng), last)
    model = ta.Autoencoder(ta.Dense(6, 3, rng=rng), decoder, loss)
    check(tmp_path, model, rng.random((100, 6)), rate=0.1)


def test_a_denoising_model_learns_without_noise_and_dropout(tmp_path):
    rng = np.random.default_rng(0)
    encoder = ta.Sequential(ta.Dense(6, 5, rng=rng), ta.Dropout(0.5, rng=rng), ta.TopK(2, 4))
    model = ta.DenoisingAutoencoder(
        encoder, ta.Dense(5, 6, rng=rng), ta.MSE(), corruption=ta.GaussianNoise(0.3)
    )
    check(tmp_path, model, rng.random((100, 6)))


def test_learning_is_seen_by_score_and_run(tmp_path):
    """The score of a sample that is learnt again and again falls as in tinyae."""
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(*ta.dense_encoder_decoder([20], [9, 3], rng=rng), ta.MSE())
    x = rng.random((1, 20)).astype(np.float32)
    header = model.export_c(tmp_path / "ae.h", train="sgd", threshold=0.1, selftest=True)
    text = f"""#include <stdio.h>
#include "ae.h"
static float arena[AE_ARENA_BYTES / sizeof(float)], weights[AE_WEIGHTS_BYTES / sizeof(float)];
static const float in[] = {{{", ".join(map(c_number, x[0]))}}};

int main(void)
{{
    float out[AE_OUTPUT_LENGTH];
    printf("%d\\n", (int)ae_selftest(out, arena, weights));
    for (int i = 0; i <= 200; i++) {{
        printf("%.9g\\n", (double)ae_score(in, arena, weights));
        ae_train(in, arena, weights, 0.1f);
    }}
    ae_run(in, out, arena, weights);
    for (int i = 0; i < AE_OUTPUT_LENGTH; i++) {{
        printf("%.9g\\n", (double)out[i]);
    }}
    printf("%d\\n", (int)(AE_RAM_BYTES - sizeof arena - sizeof weights));
    return 0;
}}
"""
    program = build(tmp_path, text)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    failed, *scores, missing = map(float, done.stdout.split())
    assert (failed, missing) == (0, 0)
    scores, y = scores[:201], scores[201:]
    assert scores[200] < 0.6 * scores[0]
    later = trained(model, np.repeat(x, 200, axis=0), "sgd", 0.1)
    np.testing.assert_allclose(
        [scores[0], scores[200]],
        [m.reconstruction_error(x)[0] for m in (model, later)],
        rtol=1e-4,
    )
    last = trained(later, x, "sgd", 0.1)
    np.testing.assert_allclose(y, last.reconstruct(x)[0], atol=1e-5)
    assert header.prototypes[-1] == "ae_train(in, arena, weights, rate)"


@pytest.mark.parametrize(
    ("train", "right", "wrong"),
    [
        ("sgd", "g0 = -rate * d0", "g0 = -0.999f * rate * d0"),  # of a few weights
        ("sgd", "t = ae_fma(w[1], d1, t)", "t = ae_fma(w[1], d0, t)"),  # of ∂L/∂x
        ("adam", "step->rate * *m", "0.999f * step->rate * *m"),
        ("adam", "dy[i] * ", "dy[i] + "),
    ],
)
def test_the_self_test_notices_a_wrong_step(train, right, wrong, tmp_path):
    rng = np.random.default_rng(0)
    encoder = ta.Sequential(ta.Dense(20, 9, rng=rng), ta.Tanh(), ta.Dense(9, 3, rng=rng))
    model = ta.Autoencoder(encoder, ta.Dense(3, 20, rng=rng), ta.MSE())
    model.export_c(tmp_path / "ae.h", train=train, selftest=True)
    text = """#include "ae.h"
static float arena[AE_ARENA_BYTES / sizeof(float)], weights[AE_WEIGHTS_BYTES / sizeof(float)];

int main(void)
{
    float out[AE_OUTPUT_LENGTH];
    const int failed = (int)ae_selftest(out, arena, weights);
    return failed == 0 ? 0 : failed > AE_OUTPUT_LENGTH + 1 ? 1 : 2;
}
"""
    assert subprocess.run([build(tmp_path, text)], check=False).returncode == 0
    header = (tmp_path / "ae.h").read_text()
    assert right in header
    (tmp_path / "ae.h").write_text(header.replace(right, wrong))
    assert subprocess.run([build(tmp_path, text)], check=False).returncode == int(right != wrong)


def test_a_step_with_a_norm_of_several_axes_has_a_self_test(tmp_path):
    rng = np.random.default_rng(0)
    encoder = ta.Sequential(ta.LayerNorm((2, 3)), ta.Flatten(), ta.Dense(6, 3, rng=rng))
    decoder = ta.Sequential(ta.Dense(3, 6, rng=rng), ta.Reshape(2, 3))
    model = ta.Autoencoder(encoder, decoder, ta.MSE())
    header = model.export_c(tmp_path / "ae.h", train="sgd", selftest=True)
    x = header.sample.x[None]
    moved = in_c(tmp_path, header, x, header.step.rate)[header.step.places]
    np.testing.assert_allclose(moved, header.step.values, atol=1e-6)


def test_a_model_learns_in_the_units_of_its_scaler(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 6)) * [1e3, 1, 1e-2, 5, 1, 1] + [1e4, 0, 3, -20, 1, 0]
    model = ta.Autoencoder(ta.Dense(6, 3, rng=rng), ta.Dense(3, 6, rng=rng), ta.MSE())
    model.scaler = ta.Scaler(x.mean(axis=0).astype(np.float32), x.std(axis=0))
    check(tmp_path, model, x, rate=0.1, selftest=True)


# --- mistakes -------------------------------------------------------------------------------------


def test_what_cannot_learn_is_named_and_nothing_is_written(tmp_path):
    rng = np.random.default_rng(0)
    dense = ta.Dense(4, 4, rng=rng)
    model = ta.Autoencoder(dense, ta.Dense(4, 4, rng=rng), ta.MSE())
    tied = ta.Autoencoder(dense, ta.TiedDense(dense), ta.MSE())
    twice = ta.Autoencoder(ta.Sequential(dense, dense), ta.Dense(4, 4, rng=rng), ta.MSE())
    wider = ta.Autoencoder(ta.ReLU(), ta.Dense(4, 5, rng=rng), ta.MSE())
    only_norm = ta.Autoencoder(ta.BatchNorm(4), ta.ReLU(), ta.MSE())
    heads = ta.Dense(4, 2, rng=rng), ta.Dense(4, 2, rng=rng)
    vae = ta.VariationalAutoencoder(ta.ReLU(), *heads, ta.Dense(2, 4, rng=rng))
    sparse = ta.SparseAutoencoder(dense, dense, ta.MSE(), penalty=ta.L1Sparsity(0.1))

    class Mine(ta.MSE):
        pass

    own = ta.Autoencoder(dense, ta.Dense(4, 4, rng=rng), Mine())
    x = rng.random((50, 4)).astype(np.float32)
    int8 = {"quantize": "int8", "calibration": x}
    cases = [
        (ValueError, "expected None, 'sgd' or 'adam'", model, {"train": "momentum"}),
        (ValueError, "without train", model, {"frozen": "encoder"}),
        (ValueError, "no loss", model, {"train": "sgd", "part": "encoder"}),
        (ValueError, "8 bits cannot", model, {"train": "sgd", **int8}),
        (ValueError, "expected some of encoder, decoder", model, {"train": "sgd", "frozen": "enc"}),
        (ValueError, "is all of the", model, {"train": "sgd", "frozen": ["encoder", "decoder"]}),
        (
            ValueError,
            r"a part of encoder, Dense\(4, 4\)",
            model,
            {"train": "sgd", "frozen": "encoder.b"},
        ),
        (TypeError, r"decoder, TiedDense\(.* shares", tied, {"train": "sgd"}),
        (ValueError, "a part of decoder, TiedDense", tied, {"train": "sgd", "frozen": "encoder"}),
        (TypeError, r"encoder.1, Dense\(4, 4\), shares", twice, {"train": "sgd"}),
        (ValueError, r"its reconstruction \(5,\)", wider, {"train": "sgd", "input_shape": (4,)}),
        (ValueError, "nothing would learn", only_norm, {"train": "sgd", "input_shape": (4,)}),
        (TypeError, "objective of a Variational", vae, {"train": "sgd", "input_shape": (4,)}),
        (TypeError, "objective of a Sparse", sparse, {"train": "adam"}),
        (TypeError, r"no gradient of Mine\(\)", own, {"train": "sgd"}),
    ]
    for error, message, wrong, arguments in cases:
        with pytest.raises(error, match=message):
            wrong.export_c(tmp_path / "a.h", **arguments)
    assert list(tmp_path.iterdir()) == []
    frozen = ["encoder", "decoder"]  # the tied pair alone: decoder.b is frozen with it
    with pytest.raises(ValueError, match="is all of the model"):
        tied.export_c(tmp_path / "a.h", train="sgd", frozen=frozen)


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(*ta.dense_encoder_decoder([20], [9, 3], rng=rng), ta.MSE())
    model.save("model.npz")
    command = ["export", "model.npz", "--train", "sgd", "--frozen", "encoder", "decoder.0"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "model_train(in, arena, weights, rate)" in out
    assert "800 bytes of RAM for the weights" in out
    header = model.export_c("model.h", train="sgd", frozen=["encoder", "decoder.0"])
    assert header.weights_bytes == 800
    wrong = ["--train", "adam", "--frozen", "encoder.9", "-o", "other.h"]
    assert main(["export", "model.npz", *wrong]) == 2
    assert "encoder.9" in capsys.readouterr().err
