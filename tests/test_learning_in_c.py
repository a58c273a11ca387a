"""Exported C learns as tinyae does: its step equals backprop and the optimizer's, in its memory."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from architectures import Architecture
from hypothesis import given, settings
from hypothesis import strategies as st
from test_to_c import C99, CANARY, CXX, SANITIZED, build, compiler

import tinyae as ta
from tinyae.layers.base import check_dy
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
            source = sample[None].astype(model.dtype)
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

    own = exported(trained(model, x, train, rate, frozen)).initial_weights
    exact = exported(trained(model.astype(np.float64), x, train, rate, frozen)).initial_weights
    header = exported(model)
    got = in_c(folder, header, x, rate, *options, cc=cc)
    scale = np.abs(own).max()
    rounding = np.abs(own - exact).max()
    error = np.abs(got - own).max()
    assert np.abs(own - header.initial_weights).max() > 1e-5 * scale, "nothing was learnt"
    # Where rounding alone drives tinyae's own float32 away from float64, it may drive C as far.
    assert error <= max(1e-6 * scale, 4 * rounding), (error / scale, rounding / scale)
    return error / scale, rounding / scale


def random_model(draw, rng):
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
    return model, draws(size=(100, *built.input_shape))


def check_any_architecture(folder, draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    model, x = random_model(draw, rng)
    train = draw(st.sampled_from(["sgd", "adam"]))
    return check(folder, model, x, train, 0.01 if train == "sgd" else 0.001)


@settings(max_examples=25)
@given(data=st.data())
def test_any_architecture_learns_as_tinyae_does(tmp_path_factory, data):
    check_any_architecture(tmp_path_factory.mktemp("any"), data.draw)


@pytest.mark.slow
@settings(max_examples=500, derandomize=False)
@given(data=st.data())
def test_five_hundred_architectures(tmp_path_factory, data):
    check_any_architecture(tmp_path_factory.mktemp("any"), data.draw)
