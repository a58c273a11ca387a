"""The table of activations: every translation agrees with the layer, and one row is enough."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyae
from tinyae import kernels, layers
from tinyae.kernels.expressions import c_expression, numpy_function
from tinyae.kernels.functions import FUNCTIONS
from tinyae.kernels.reference import MLPLayer, MLPLayers
from tinyae.layers import activation

ROOT = Path(tinyae.__file__).parent
ALPHA = 0.7
rows = pytest.mark.parametrize("row", FUNCTIONS.values(), ids=lambda row: row.name)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def grid(dtype):
    """Numbers of every magnitude, kinks, and non-finite values."""
    x = np.concatenate([np.linspace(-30, 30, 2001), np.geomspace(1e-12, 1e3, 200)])
    return np.concatenate([x, -x, [0.0, -0.0, np.inf, -np.inf, np.nan]]).astype(dtype)


def layer_of(row):
    layer = getattr(layers, row.name)()
    if hasattr(layer, "alpha"):
        layer.alpha = ALPHA
    return layer


def test_every_activation_has_a_row():
    classes = {
        name
        for name, c in vars(layers).items()
        if isinstance(c, type) and issubclass(c, activation.Activation)
    }
    assert classes - {"Activation"} == set(FUNCTIONS), "add a row to tinyae/kernels/functions.py"
    assert {c.__name__ for c in activation.activations()} == set(FUNCTIONS)


@rows
@dtypes
@pytest.mark.filterwarnings("ignore:invalid value")
def test_numpy_computes_what_the_layer_does(row, dtype):
    layer, x = layer_of(row), grid(dtype)
    tolerance = 4 * np.finfo(dtype).eps
    y, cache = layer.forward(x)
    got = numpy_function(row.f)(x, ALPHA)
    np.testing.assert_allclose(got, y, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(cache, x if row.cache == "x" else y)
    slope = numpy_function(row.slope)(cache, ALPHA)
    np.testing.assert_allclose(slope, layer.slope(cache), rtol=tolerance, atol=tolerance)
    assert got.dtype == slope.dtype == dtype


@rows
@dtypes
@pytest.mark.filterwarnings("ignore:invalid value")
def test_numba_computes_what_numpy_does(row, dtype):
    elementwise = pytest.importorskip("tinyae.kernels.jitted.elementwise")
    activations = pytest.importorskip("tinyae.kernels.jitted.activations")
    x = grid(dtype)
    dy = np.random.default_rng(0).normal(size=x.size).astype(dtype)
    tolerance = 8 * np.finfo(dtype).eps
    y = numpy_function(row.f)(x, ALPHA)
    cache = x if row.cache == "x" else y
    dx = dy * numpy_function(row.slope)(cache, ALPHA)
    out_of_place, alpha = activations.out_of_place(row.name, x.itemsize).address, dtype(ALPHA)
    in_place = activations.in_place(row.name, x.itemsize).address
    for f, both in ((out_of_place, False), (in_place, True)):
        got_y, got_dx = (x.copy(), dy.copy()) if both else (np.empty_like(x), np.empty_like(x))
        if both:
            call_in_place(f, False, alpha, got_y, got_y)
            call_in_place(f, True, alpha, cache, got_dx)
        else:
            elementwise._forward(f, alpha, x, got_y)
            elementwise._backward(f, alpha, dy, cache, got_dx)
        np.testing.assert_allclose(got_y, y, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(got_dx, dx, rtol=tolerance, atol=tolerance)


def call_in_place(address, backward, alpha, y, g):
    import ctypes

    number = ctypes.c_float if y.itemsize == 4 else ctypes.c_double
    kind = ctypes.CFUNCTYPE(
        None, ctypes.c_ssize_t, number, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t
    )
    kind(address)(backward, alpha, y.ctypes.data, g.ctypes.data, y.size)


def test_a_tile_computes_what_numpy_does():
    """Of the expressions without a function, on vectors of four: with NaN, infinities and kinks."""
    numba = pytest.importorskip("numba")
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    from tinyae.kernels.jitted.vector_expression import emit

    def on_vectors(expression, variable):
        def code(context, builder, signature, args):
            at = context.make_array(signature.args[0])(context, builder, args[0]).data
            number = at.type.pointee
            vector = ir.VectorType(number, 4)
            at = builder.bitcast(builder.gep(at, [args[1]]), vector.as_pointer())
            alpha = ir.Constant(vector, [ALPHA] * 4)
            value = emit(builder, expression, {variable: builder.load(at, align=4), "alpha": alpha})
            builder.store(value, at, align=4)
            return context.get_dummy_value()

        @intrinsic
        def apply(typing, a, start):
            return types.void(a, types.intp), code

        @numba.njit
        def run(a):
            for start in range(0, a.size, 4):
                apply(a, start)

        return run

    x = np.resize(grid(np.float32), 4 * 1102)
    tried = set()
    for row in FUNCTIONS.values():
        for expression in (row.f, row.slope, "min(-x, 2) / (x - alpha)"):
            variable = "x" if "x" in expression else "y"
            if any(name in expression for name in ("exp", "erf", "sigmoid", "tanh")):
                with pytest.raises(ValueError, match="is not for a tile"):
                    on_vectors(expression, variable)(x.copy())
                continue
            got = x.copy()
            on_vectors(expression, variable)(got)
            with np.errstate(all="ignore"):
                want = numpy_function(expression)(x, ALPHA)
            np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=expression)
            tried.add(expression)
    assert {FUNCTIONS["ReLU"].f, FUNCTIONS["ReLU"].slope} <= tried


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_c_computes_what_numpy_does(tmp_path):
    x = grid(np.float32)
    sources, wanted = [], []
    for row in FUNCTIONS.values():
        y = numpy_function(row.f)(x, ALPHA)
        for expression, variable, a in (
            (row.f, "x", x),
            (row.slope, row.cache, x if row.cache == "x" else y),
        ):
            wanted.append((row.name, a, numpy_function(expression)(a, ALPHA)))
            sources.append((variable, c_expression(expression)))
    functions = "\n".join(
        f"static float f{k}(float {variable}, float alpha)"
        f" {{ (void){variable}; (void)alpha; return {text}; }}"
        for k, (variable, text) in enumerate(sources)
    )
    names = ", ".join(f"f{k}" for k in range(len(sources)))
    (tmp_path / "f.c").write_text(
        f"""#include <math.h>
#include <stdio.h>
#include <stdlib.h>
{functions}
int main(void) {{
    float (*f[])(float, float) = {{{names}}};
    float *a = malloc({x.size} * sizeof *a);
    for (int k = 0; k < {len(sources)}; k++) {{
        if (fread(a, sizeof *a, {x.size}, stdin) != {x.size}) return 1;
        for (int i = 0; i < {x.size}; i++) a[i] = f[k](a[i], {ALPHA}f);
        fwrite(a, sizeof *a, {x.size}, stdout);
    }}
    return 0;
}}
"""
    )
    program = tmp_path / "f"
    subprocess.run(
        ["gcc", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "f.c", "-o", "f", "-lm"],
        cwd=tmp_path,
        check=True,
    )
    given = b"".join(a.tobytes() for _, a, _ in wanted)
    done = subprocess.run([program], input=given, capture_output=True, check=True)
    results = np.frombuffer(done.stdout, np.float32).reshape(len(wanted), x.size)
    for result, (name, _, want) in zip(results, wanted):
        np.testing.assert_allclose(result, want, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "expression", ["x ** 2", "cos(x)", "x if not x else 0", "0 if x == 1 else x", "q * x", "min(x)"]
)
def test_what_has_no_translation_is_named(expression):
    with pytest.raises(ValueError, match="has no translation; write it with"):
        numpy_function(expression)
    with pytest.raises(ValueError, match="has no translation; write it with"):
        c_expression(expression)


README = Path(__file__).parent.parent / "tinyae" / "README.md"


def readme_block(begin: str) -> str:
    """The Python block in tinyae/README.md that starts with this text."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if block.startswith(begin))


USED = """
import sys
import numpy as np
import tinyae as ta
from tinyae import Softsign, gradcheck
from tinyae.fusion.mlp import is_fusible_activation
from tinyae.twin import definitions_only

rng, x = np.random.default_rng(0), np.random.default_rng(1).normal(size=(32, 9)).astype(np.float32)

def layers():
    rng = np.random.default_rng(0)
    return ta.Dense(9, 20, rng=rng), Softsign(), ta.Dense(20, 9, rng=rng), Softsign()

def trained(net):
    y, cache = net.forward(x)
    return [y, net.backward(y - 1, cache), *(p.grad for p in net.params.values())]

assert is_fusible_activation(Softsign())
assert gradcheck.check(Softsign(), x).ok and gradcheck.check_tangent(Softsign(), x).ok
for kernel_set in sys.argv[1:]:
    with ta.kernels.use(kernel_set):
        net = ta.Sequential(*layers())
        with definitions_only():
            wanted = trained(ta.Sequential(*layers()))
        for got, want in zip(trained(net), wanted):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
        model = ta.Autoencoder(net, ta.Dense(9, 9, rng=rng), ta.MSE())
        compiled = model.compile("encoder")
        np.testing.assert_allclose(compiled(x), net(x), rtol=1e-5, atol=1e-5)
        far = np.array([[-np.inf, np.inf, np.nan]], np.float32)
        np.testing.assert_array_equal(Softsign()(far), [[-1, 1, np.nan]])
        np.testing.assert_array_equal(Softsign().backward(np.ones_like(far), far), [[0, 0, np.nan]])
        np.testing.assert_array_equal(Softsign().slope(far), [[0, 0, np.nan]])
        names = [op.f.name for op in compiled.program((9,)).ops]
        assert names == ["Softsign", "Softsign"], names
print("done")
"""


def test_a_class_and_a_row_are_enough(tmp_path):
    """Follow tinyae/README.md in a copy: add Softsign, which then is fused, lowered and compiled."""
    softsign, row = readme_block("class Softsign"), readme_block("Function(")
    shutil.copytree(ROOT, tmp_path / "tinyae")  # including Numba's cache
    layers = tmp_path / "tinyae" / "layers" / "activation.py"
    text = layers.read_text(encoding="utf-8")
    before, function, after = text.partition("def activations(")
    before = before.replace('"Softplus",', '"Softplus", "Softsign",')
    layers.write_text(f"{before}{softsign}\n\n{function}{after}", encoding="utf-8")
    table = tmp_path / "tinyae" / "kernels" / "functions.py"
    text = table.read_text(encoding="utf-8")
    assert text.count("    for row in (\n") == 1
    table.write_text(
        text.replace("for row in (\n", f"for row in (\n{row.strip()},\n"), encoding="utf-8"
    )
    try:
        import numba  # noqa: F401

        sets = ["numpy", "numba"]
    except ImportError:
        sets = ["numpy"]
    environment = {k: v for k, v in os.environ.items() if k != "TINYAE_KERNELS"}
    done = subprocess.run(
        [sys.executable, "-c", USED, *sets],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "done", done.stderr


@rows
@dtypes
def test_a_nan_stays_and_infinity_has_its_limit(row, dtype):
    """Forward, backward, fused and in programs; no 0 · ∞, no choice that takes a NaN for a number."""
    layer, x = layer_of(row), np.array([[np.nan, -np.inf, np.inf, -1000, 1000]], dtype)
    y, cache = layer.forward(x)
    derivatives = [layer.slope(cache), layer.backward(np.ones_like(x), cache)]
    with kernels.use("numpy"):
        derivatives += [
            numpy_function(row.slope)(cache, ALPHA),
            layer.backward(np.ones_like(x), cache),
        ]
    if layer.curvature(cache) is not None:
        derivatives.append(layer.curvature(cache))
    for a in [y, layer(x), numpy_function(row.f)(x, ALPHA), *derivatives]:
        np.testing.assert_array_equal(np.isnan(a), np.isnan(x))
    for a in derivatives:
        np.testing.assert_allclose(a[0, 1:3], a[0, 3:], rtol=4 * np.finfo(dtype).eps)
    assert y[0, 1] == (-np.inf if row.name == "LeakyReLU" else y[0, 3])
    assert y[0, 2] == (1 if row.name in ("Sigmoid", "HardSigmoid", "Tanh") else np.inf)


@pytest.mark.parametrize("f", list(FUNCTIONS))
def test_a_nan_comes_out_of_a_fused_network_s_gradient(f, kernel_set):
    eye = np.eye(3, dtype=np.float32)
    layers = MLPLayers(
        [MLPLayer(eye, eye[0], np.zeros_like(eye), np.zeros(3, np.float32), f) for _ in range(2)]
    )
    x = np.ones((20, 3), np.float32)
    x[4, 1] = np.nan
    ys = kernels.mlp(layers, x)
    for k, y in enumerate(ys):  # as if nothing but this entry were NaN
        y[...] = 1
        y[4, 1] = np.nan if k != 1 else 1
    dx = kernels.mlp_backward(layers, x, ys, np.ones_like(x), True)
    assert np.isnan(dx[4, 1])
    assert np.isfinite(np.delete(dx, 4, axis=0)).all()


@pytest.mark.parametrize("n", [3, 40])
def test_a_nan_in_the_mask_of_a_convolution_s_relu(n, kernel_set):
    rng = np.random.default_rng(0)
    dy, W = rng.normal(size=(n, 2, 6, 6)), rng.normal(size=(2, 3, 3, 3))
    mask = kernels.relu(rng.normal(size=(n, 3, 6, 6)))
    mask[1, 2, 3, 4] = np.nan
    dx = kernels.conv2d_input_grad_relu(dy, W, (1, 1), (1, 1, 1, 1), (6, 6), None, False, mask)
    np.testing.assert_array_equal(np.isnan(dx), np.isnan(mask))


@pytest.mark.parametrize("kernel_set", ["numpy", "numba"], indirect=True)
def test_tails_hold_their_digits_in_float32(kernel_set):
    """e⁻¹² is 6.144e-6: y + α, of y that is rounded to −α, would be 6.139e-6."""
    x = np.linspace(-12, -3, 200, dtype=np.float32)[None]
    wide = x.astype(np.float64)
    elu = layers.ELU(0.7)
    slope = elu.backward(np.ones_like(x), elu.forward(x)[1])
    np.testing.assert_allclose(slope, 0.7 * np.exp(wide), rtol=2e-6)
    Phi = np.vectorize(math.erfc)(-wide / math.sqrt(2)) / 2
    np.testing.assert_allclose(layers.GELU()(x), wide * Phi, rtol=2e-5)
