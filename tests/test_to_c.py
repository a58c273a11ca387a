"""Exported C compiles without a warning, computes what the model does, and writes nowhere else."""

from __future__ import annotations

import functools
import itertools
import math
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
from tinyae.kernels.expressions import c_number
from tinyae.layers import activation
from tinyae.program.shapes import sample_shape
from tinyae.program.to_c import export_c

STRICT = ["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Werror"]
C99, CXX = ["-std=c99"], ["-x", "c++", "-std=c++11"]
SANITIZED = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
CANARY = 12345.0
ACTIVATIONS = [kind() for kind in activation.activations()]
PARTS = {
    "autoencoder": "reconstruct",
    "encoder": "encode",
    "decoder": "decode",
    "score": "reconstruction_error",
}


@functools.cache
def compiler() -> str | None:
    return next(filter(shutil.which, ("gcc", "clang", "cc")), None)


pytestmark = pytest.mark.skipif(
    compiler() is None, reason="needs a C compiler: install gcc or clang"
)


def build(folder: Path, main: str, *options: str, cc: str | None = None) -> Path:
    """The program with this main file, next to the headers in a folder."""
    source, program = folder / "main.c", folder / "main"
    source.write_text(main)
    command = [cc or compiler(), *(options or ("-O1", *C99)), *STRICT, source, "-o", program, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


class Job:
    """An exported part, the samples to run it on, and what it should make of them."""

    def __init__(self, header, function, x, want):
        self.header, self.function = header, function
        self.x = np.asarray(x, np.float32).reshape(len(x), -1)
        self.want = np.asarray(want, np.float64).reshape(len(x), -1)
        exact = not header.operations.needs_libm
        self.tolerance = 1e-6 if exact else 1e-5

    def code(self):
        name, macro, size = self.header.name, self.header.macro, self.want.shape[1]
        given = "in, arena + 2" if self.function == "score" else "in, out, arena + 2"
        call = f"{name}_{self.function}({given});"
        return f"""\
static void do_{name}(int samples)
{{
    float *in = malloc({macro}_INPUT_LENGTH * sizeof(float));
    float *out = malloc({size} * sizeof(float));
    float *arena = malloc({macro}_ARENA_BYTES + 3 * sizeof(float));
    const int end = {macro}_ARENA_BYTES / (int)sizeof(float) + 2;
    arena[0] = arena[1] = arena[end] = {CANARY}f;
    while (samples-- > 0) {{
        if (fread(in, sizeof(float), {macro}_INPUT_LENGTH, stdin) != {macro}_INPUT_LENGTH) exit(2);
        {"*out = " + call if self.function == "score" else call}
        if (arena[0] < {CANARY}f || arena[1] < {CANARY}f || arena[end] < {CANARY}f) exit(3);
        fwrite(out, sizeof(float), {size}, stdout);
    }}
    free(in);
    free(out);
    free(arena);
}}
"""


def check(folder: Path, jobs: list[Job], *options: str, cc: str | None = None) -> None:
    """Compile all jobs into one program, run it, and compare."""
    text = "#include <stdio.h>\n#include <stdlib.h>\n"
    text += "".join(f'#include "{job.header.name}.h"\n' for job in jobs)
    text += "".join(job.code() for job in jobs)
    text += "int main(void)\n{\n"
    text += "".join(f"    do_{job.header.name}({len(job.x)});\n" for job in jobs)
    # C++ has no implicit conversion from malloc's result
    text = text.replace("= malloc", "= (float *)malloc") + "    return 0;\n}\n"
    program = build(folder, text, *options, cc=cc)
    given = b"".join(job.x.tobytes() for job in jobs)
    done = subprocess.run([program], input=given, capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr.decode()[-3000:])
    results = np.frombuffer(done.stdout, np.float32)
    for job in jobs:
        y, results = results[: job.want.size], results[job.want.size :]
        compare(y.reshape(job.want.shape), job)
    assert results.size == 0


def compare(y, job):
    scale = np.abs(job.want[np.isfinite(job.want)]).max(initial=1e-30)
    np.testing.assert_allclose(y, job.want, rtol=0, atol=job.tolerance * scale)


def exact(module):
    """The module in float64, with weights that are float32 numbers."""
    return module.astype(np.float32).astype(np.float64)


def identity(layer):
    """A model whose encoder is this layer."""
    return ta.Autoencoder(layer, ta.Dense(1, 1, rng=np.random.default_rng(0)), ta.MSE())


def exported_layer(folder, name, layer, x):
    layer, x = exact(layer), np.asarray(x, np.float32).astype(np.float64)
    header = identity(layer).export_c(
        folder / f"{name}.h", part="encoder", input_shape=x.shape[1:], selftest=True
    )
    return Job(header, "run", x, layer(x))


def catalog_jobs(folder):
    """Every layer of the catalog that a program can express, twice, and every model's parts."""
    rng = np.random.default_rng(0)
    integers = integers_from(rng)
    jobs = []
    for row in [*COMPILED, *COMPILED]:
        jobs.append(exported_layer(folder, f"layer{len(jobs)}", *row.draw(integers, rng)))
    for row in MODELS:
        model, x = row.draw(integers, rng)
        if not isinstance(model, ta.Autoencoder | ta.VariationalAutoencoder) or row.classes:
            continue
        model, x = exact(model), x.astype(np.float32).astype(np.float64)
        for part, method in PARTS.items():
            given = x if part != "decoder" else model.encode(x).astype(np.float32).astype(float)
            name = f"model{len(jobs)}"
            shape = given.shape[1:]
            header = model.export_c(folder / f"{name}.h", part=part, input_shape=shape)
            function = "score" if part == "score" else "run"
            jobs.append(Job(header, function, given, getattr(model, method)(given)))
    return jobs


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalog")
    return folder, catalog_jobs(folder)


@pytest.mark.parametrize(
    "command",
    [
        ("gcc", "-O1", *C99),
        ("gcc", "-O0", *C99, *SANITIZED),
        ("g++", "-O0", *CXX),
        ("clang", "-O0", *C99),
    ],
    ids=" ".join,
)
def test_everything_in_the_catalog(command, catalog):
    cc, *options = command
    if shutil.which(cc) is None:
        pytest.skip(f"needs {cc}")
    check(*catalog, *options, cc=cc)


# --- any architecture --------------------------------------------------------------------------


class WithoutLibm(Architecture):
    """Layers that need no function of the C library."""

    def anywhere(self):
        size = math.prod(self.shape)
        return self.draw(
            st.sampled_from(
                [
                    *(ta.ReLU, lambda: ta.LeakyReLU(0.2), self.norm),
                    lambda: ta.TopK(min(3, size)),
                ]
            )
        )()


def check_any_architecture(folder, draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    built = draw(st.sampled_from([Architecture, WithoutLibm]))(draw, rng)
    layer = ta.Sequential(*built.layers)
    for p in layer.params.values():
        p.value += rng.normal(0, 0.1, p.shape)
    check(folder, [exported_layer(folder, "any", layer, rng.normal(size=(4, *built.input_shape)))])


@settings(max_examples=25)
@given(data=st.data())
def test_any_architecture(tmp_path_factory, data):
    check_any_architecture(tmp_path_factory.mktemp("any"), data.draw)


@pytest.mark.slow
@settings(max_examples=500, derandomize=False)
@given(data=st.data())
def test_five_hundred_architectures(tmp_path_factory, data):
    check_any_architecture(tmp_path_factory.mktemp("any"), data.draw)


# --- what the header promises ------------------------------------------------------------------


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def model(rng):
    return ta.Autoencoder(*ta.dense_encoder_decoder([20], [9, 3], rng=rng), ta.MSE())


def conv_model(rng):
    encoder = ta.Sequential(
        ta.Conv2d(1, 8, 3, 2, 1, rng=rng), ta.ReLU(), ta.Conv2d(8, 16, 3, 2, 1, rng=rng),
        ta.ReLU(), ta.Flatten(), ta.Dense(784, 16, rng=rng),
    )  # fmt: skip
    decoder = ta.Sequential(
        ta.Dense(16, 784, rng=rng), ta.ReLU(), ta.Reshape(16, 7, 7),
        ta.ConvTranspose2d(16, 8, 4, 2, 1, rng=rng), ta.ReLU(),
        ta.ConvTranspose2d(8, 1, 4, 2, 1, rng=rng), ta.Sigmoid(),
    )  # fmt: skip
    return ta.Autoencoder(encoder, decoder, ta.MSE())


def test_the_arena_is_small_and_the_work_counted(rng, tmp_path):
    header = conv_model(rng).export_c(tmp_path / "a.h")
    assert header.arena_bytes == 4 * (8 * 14 * 14 + 16 * 7 * 7) == 9408
    convolutions = 9 * 8 * 14 * 14 + 9 * 8 * 16 * 7 * 7 + 16 * 16 * 8 * 7 * 7 + 16 * 8 * 14 * 14
    assert header.macs == convolutions + 2 * 784 * 16
    layers = ta.dense_encoder_decoder([640], [128, 128, 128, 128, 8], rng=rng)
    header = ta.Autoencoder(*layers, ta.MSE()).export_c(tmp_path / "b.h")
    assert (header.arena_bytes, header.macs) == (2 * 128 * 4, 264_192)


def test_the_macros_say_what_the_object_holds(rng, tmp_path):
    """Nothing but code and constants: no variables, no library calls beyond mathematics."""
    header = conv_model(rng).export_c(tmp_path / "ae.h")
    (tmp_path / "use.c").write_text(
        '#include "ae.h"\nvoid use(const float *in, float *out, float *arena)\n'
        "{\n    ae_run(in, out, arena);\n}\n"
    )
    command = [compiler(), *C99, "-O0", "-c", "use.c"]  # at -O1 it leaves out small tables
    subprocess.run(command, cwd=tmp_path, check=True)
    nm = functools.partial(subprocess.run, capture_output=True, text=True, check=True, cwd=tmp_path)
    if shutil.which("nm") is None:
        pytest.skip("needs nm, from binutils")
    rows = [line.split() for line in nm(["nm", "-S", "use.o"]).stdout.splitlines()]
    undefined = {row[-1].lstrip("_") for row in rows if "U" in row}
    # A compiler may call memset or memcpy where the C has a loop.
    assert undefined <= {"expf", "memset", "memcpy", "GLOBAL_OFFSET_TABLE_"}
    kinds = {row[-2] for row in rows if len(row) == 4}
    assert kinds <= set("tTr"), "only code and constants"
    sizes = {row[-1]: int(row[1], 16) for row in rows if len(row) == 4}
    tables = sum(size for name, size in sizes.items() if name.startswith(("ae_W", "ae_win")))
    assert tables == header.flash_bytes
    text = (tmp_path / "ae.h").read_text()
    assert "double" not in text.replace("no double", "")
    assert "malloc" not in text


def test_only_what_is_needed_is_included(model, tmp_path, rng):
    model.export_c(tmp_path / "a.h", part="encoder")
    assert "<math.h>" not in (tmp_path / "a.h").read_text()
    identity(ta.Tanh()).export_c(tmp_path / "b.h", part="encoder", input_shape=(3,))
    assert "#include <math.h>" in (tmp_path / "b.h").read_text()


@pytest.mark.parametrize(
    "layer",
    [*ACTIVATIONS, ta.Softmax(), ta.LayerNorm(3), ta.PixelNorm(), ta.GroupNorm(1, 3)],
    ids=repr,
)
def test_each_header_includes_what_it_needs(layer, tmp_path):
    """Alone: next to others, a missing <math.h> would not be noticed."""
    identity(layer).export_c(tmp_path / "a.h", part="encoder", input_shape=(3,))
    (tmp_path / "a.c").write_text('#include "a.h"\n')
    command = [compiler(), *C99, *STRICT, "-fsyntax-only", "-Wno-unused-function", "a.c"]
    subprocess.run(command, cwd=tmp_path, check=True)


@settings(max_examples=200)
@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_numbers_read_back_as_the_same_float(value):
    text = c_number(value)
    assert text.endswith("f")
    back = np.float32(text[:-1])
    assert back == np.float32(value)
    assert np.signbit(back) == np.signbit(value)


def test_the_compiler_reads_the_same_floats(tmp_path, rng):
    info = np.finfo(np.float32)
    special = [0.0, -0.0, info.max, info.min, info.tiny, info.smallest_subnormal, 1 / 3, 16777217]
    drawn = rng.integers(0, 2**32, 2000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([np.float32(special), drawn[np.isfinite(drawn)]])
    body = ", ".join(map(c_number, values))
    text = f"#include <stdio.h>\nstatic const float a[] = {{{body}}};\n"
    text += "int main(void)\n{\n    fwrite(a, sizeof a, 1, stdout);\n    return 0;\n}\n"
    done = subprocess.run([build(tmp_path, text)], capture_output=True, check=True)
    assert done.stdout == values.tobytes()


SPECIAL = [
    *ACTIVATIONS,
    *(ta.Softmax(), ta.LayerNorm(40), ta.BatchNorm(40), ta.TopK(3), ta.TopK(39), ta.TopK(40)),
    *(ta.PReLU(40), ta.RMSNorm(40), ta.PixelNorm(), ta.GroupNorm(4, 40)),
    *(
        ta.Sequential(ta.Reshape(4, 2, 5), norm)
        for norm in (ta.GroupNorm(2, 4), ta.InstanceNorm(4), ta.PixelNorm(), ta.RMSNorm((2, 5)))
    ),
    ta.Sequential(ta.Reshape(1, 5, 8), ta.MaxPool2d(2)),
    ta.Sequential(ta.Reshape(1, 5, 8), ta.AvgPool2d(2)),
    *(
        ta.Sequential(ta.Reshape(1, 5, 8), pool)
        for pool in (
            *(
                ta.MaxPool2d(3, 2, 1),
                ta.AvgPool2d(3, 2, 1),
                ta.MaxPool2d((4, 3), 3, ceil_mode=True),
            ),
            *(ta.MaxPool2d(2, padding="same"), ta.AvgPool2d(3, 2, "same"), ta.GlobalMaxPool2d()),
            *(ta.GlobalAvgPool2d(), ta.Pad2d((0, 1, 2, 3)), ta.Pad2d((4, 0, 1, 3), "reflect")),
        )
    ),
    ta.Sequential(ta.Reshape(20, 1, 2), ta.PixelShuffle(2)),
    *(
        ta.Sequential(ta.Reshape(4, 10), layer)
        for layer in (
            *(ta.MaxPool1d(3, 2, 1), ta.AvgPool1d(3, 2, "same"), ta.Upsample1d(3)),
            *(ta.BatchNorm(4), ta.PReLU(4)),
        )
    ),
]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_and_infinity_pass_through(tmp_path, rng):
    x = rng.normal(size=(8, 40))
    for row, value in itertools.product(range(6), (np.nan, np.inf, -np.inf)):
        x[row, rng.integers(40, size=row)] = value
    x[6] = 0.0
    x[7] = np.nan
    check(
        tmp_path, [exported_layer(tmp_path, f"l{k}", layer, x) for k, layer in enumerate(SPECIAL)]
    )


def test_a_decoder_of_a_gan_and_the_mean_of_a_vae(tmp_path, rng):
    generator = ta.Sequential(ta.Dense(3, 8, rng=rng), ta.ReLU(), ta.Dense(8, 5, rng=rng))
    gan = exact(ta.GAN(generator, ta.Dense(5, 1, rng=rng)))
    vae = exact(
        ta.VariationalAutoencoder(*ta.dense_variational([6], [4, 2], rng=rng), ta.Bernoulli())
    )
    z, x = (rng.normal(size=(5, n)).astype(np.float32).astype(float) for n in (3, 6))
    jobs = [
        Job(gan.export_c(tmp_path / "gan.h", part="decoder"), "run", z, gan.decode(z)),
        Job(vae.export_c(tmp_path / "mean.h", part="encoder"), "run", x, vae.encode(x)),
        Job(vae.export_c(tmp_path / "vae.h"), "run", x, vae.reconstruct(x)),
    ]
    check(tmp_path, jobs)


# --- score, threshold, self-test ---------------------------------------------------------------


def ask(folder, expression, arrays=""):
    """What a C expression is, as text."""
    return subprocess.run(
        [
            build(
                folder,
                '#include "ae.h"\n#include "ae.h"\n#include <stdio.h>\n'
                "int main(void)\n{\n    static float arena[AE_ARENA_BYTES / sizeof(float) + 1];\n"
                f'    {arrays}\n    printf("%d", (int)({expression}));\n    return 0;\n}}\n',
            )
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_threshold_tells_anomalies(model, tmp_path, rng):
    x = rng.normal(size=(1, 20)).astype(np.float32)
    error = float(model.reconstruction_error(x)[0])
    sample = f"static const float in[] = {{{', '.join(map(c_number, x[0]))}}};"
    for part, threshold in itertools.product(("score", "autoencoder"), (0.999, 1.001)):
        header = model.export_c(tmp_path / "ae.h", part=part, threshold=threshold * error)
        got = ask(tmp_path, "ae_score(in, arena) > AE_THRESHOLD", sample)
        assert got == str(int(threshold < 1))
        assert ("run" in header.programs) == (part == "autoencoder")


def test_an_autoencoder_has_a_score_where_that_is_free_or_asked_for(model, rng, tmp_path):
    free = model.export_c(tmp_path / "ae.h")
    assert list(free.programs) == ["run", "score"]
    assert free.arena_bytes == 4 * (9 + 3)
    assert ask(tmp_path, "ae_score(in, arena) > 0.0f", "float in[AE_INPUT_LENGTH] = {1.0f};") == "1"
    softmax = ta.Sequential(ta.Dense(3, 20, rng=rng), ta.Softmax())  # needs the reconstruction
    model = ta.Autoencoder(model.encoder, softmax, ta.MSE())
    alone, both = (model.export_c(tmp_path / "b.h", threshold=t) for t in (None, 0.1))
    assert list(alone.programs) == ["run"]
    assert list(both.programs) == ["run", "score"]
    assert both.arena_bytes == alone.arena_bytes + 4 * (20 - 9)
    wider = ta.Autoencoder(model.encoder, ta.Dense(3, 21, rng=rng), ta.MSE())
    assert list(wider.export_c(tmp_path / "c.h", input_shape=(20,)).programs) == ["run"]
    with pytest.raises(ValueError, match="its reconstruction"):
        wider.export_c(tmp_path / "d.h", input_shape=(20,), threshold=0.1)


def test_a_score_holds_no_reconstruction_if_the_last_layer_is_dense(rng, tmp_path):
    """Whatever the number of outputs, and only where it can be computed in pieces."""
    jobs = []
    for size in (1, 3, 4, 8, 13, 40):
        encoder = ta.Sequential(ta.Dense(size, 6, rng=rng), ta.ReLU())
        for last in (None, ta.LeakyReLU, ta.Softmax):
            dense = [ta.Dense(6, size, rng=rng), *([last()] if last else [])]
            model = exact(ta.Autoencoder(encoder, ta.Sequential(*dense), ta.MSE()))
            x = rng.normal(size=(5, size)).astype(np.float32).astype(float)
            header = model.export_c(tmp_path / f"j{len(jobs)}.h", part="score", selftest=True)
            jobs.append(Job(header, "score", x, model.reconstruction_error(x)))
            assert header.arena_bytes == 4 * (6 + size if last is ta.Softmax else 6)
        skip = ta.Autoencoder(ta.Skip(ta.ReLU()), ta.Dense(2 * size, size, rng=rng), ta.MSE())
        skip = exact(skip)
        header = skip.export_c(tmp_path / f"j{len(jobs)}.h", part="score")
        jobs.append(Job(header, "score", x, skip.reconstruction_error(x)))
        both = ta.Autoencoder(  # the output is written in two pieces already
            ta.Dense(size, 2, rng=rng), ta.Parallel(ta.ReLU(), ta.Dense(2, size, rng=rng)), ta.MSE()
        )
        both, x = exact(both), rng.normal(size=(5, size + 2)).astype(np.float32).astype(float)
        both.encoder = exact(ta.Dense(size + 2, 2, rng=rng))
        header = both.export_c(tmp_path / f"j{len(jobs)}.h", part="score")
        jobs.append(Job(header, "score", x, both.reconstruction_error(x)))
    check(tmp_path, jobs)


@pytest.mark.parametrize("part", PARTS)
def test_the_self_test_notices_a_wrong_weight(model, part, tmp_path):
    threshold = 0.1 if part == "autoencoder" else None
    model.export_c(tmp_path / "ae.h", part=part, threshold=threshold, selftest=True)
    given = "arena" if part == "score" else "out, arena"
    out = "" if part == "score" else "float out[AE_OUTPUT_LENGTH];"
    assert ask(tmp_path, f"ae_selftest({given})", out) == "0"
    text = (tmp_path / "ae.h").read_text()
    begin = text.index("{", text.index("float ae_W1[")) + 1
    end = text.index(",", begin)
    (tmp_path / "ae.h").write_text(text[:begin] + "7.0f" + text[end:])
    assert int(ask(tmp_path, f"ae_selftest({given})", out)) > 0


def test_tables_can_be_placed(model, tmp_path):
    model.export_c(tmp_path / "ae.h", part="encoder")
    text = '#define AE_CONST static const __attribute__((section(".weights")))\n#include "ae.h"\n'
    text += "int main(void)\n{\n    return ae_W0[0] > 1.0f;\n}\n"
    program = build(tmp_path, text, "-O0", *C99)
    assert b".weights" in program.read_bytes()


def test_shared_weights_are_stored_once(rng, tmp_path):
    dense = ta.Dense(4, 4, rng=rng)
    shared = ta.Sequential(dense, ta.ReLU(), dense)
    header = identity(shared).export_c(tmp_path / "a.h", part="encoder", input_shape=(4,))
    assert header.flash_bytes == 20 * 4


def test_the_readme_compiles(model, tmp_path):
    readme = Path(__file__).parent.parent / "benchmarks" / "README.md"
    _, _, rest = readme.read_text(encoding="utf-8").partition("```c\n")
    program, _, _ = rest.partition("```")
    model.export_c(tmp_path / "ae.h", part="score", threshold=0.02)
    sample = "    const float x[AE_INPUT_LENGTH] = {0.0f};\n    return is_anomaly(x);\n"
    build(
        tmp_path, program.replace("int is_", "static int is_") + f"int main(void)\n{{\n{sample}}}\n"
    )


# --- the shape of a sample ---------------------------------------------------------------------


def test_the_shape_is_found_where_the_layers_determine_it(rng, model):
    dense, conv = ta.Dense(6, 4, rng=rng), ta.Conv2d(1, 1, 3, rng=rng)
    assert sample_shape(conv_model(rng), "autoencoder") == (1, 28, 28)
    assert sample_shape(conv_model(rng), "decoder") == (16,)
    assert sample_shape(model, "score") == (20,)
    assert sample_shape(identity(ta.Sequential(ta.Flatten(), ta.ReLU(), dense)), "decoder") == (1,)
    no_code = ta.Autoencoder(ta.Residual(dense), conv, ta.MSE())
    assert sample_shape(no_code, "encoder") == (6,)
    assert sample_shape(ta.Autoencoder(conv, conv, ta.MSE()), "encoder") is None


# --- mistakes -------------------------------------------------------------------------------------


class Unknown(ta.ReLU):
    pass


def test_mistakes_are_named_and_nothing_is_written(model, rng, tmp_path):
    conv = ta.Conv2d(1, 1, 3, rng=rng)
    only_conv = ta.Autoencoder(conv, ta.ConvTranspose2d(1, 1, 3, rng=rng), ta.MSE())
    with_nan = model.astype(np.float32)
    next(iter(with_nan.params.values())).value[0, 0] = np.nan
    path = tmp_path / "a.h"
    cases = [
        (ValueError, "digits and _", lambda: model.export_c(tmp_path / "9.h")),
        (ValueError, "digits and _", lambda: model.export_c(path, "a-b")),
        (ValueError, "expected one of autoencoder, ", lambda: model.export_c(path, part="codes")),
        (ValueError, "no score", lambda: model.export_c(path, part="encoder", threshold=1.0)),
        (ValueError, "finite number", lambda: model.export_c(path, threshold=np.nan)),
        (ValueError, r"e.g. input_shape=\(1, 28, 28\)", lambda: only_conv.export_c(path)),
        (ValueError, "Dense: ", lambda: model.export_c(path, input_shape=(21,))),
        (ValueError, "integers ≥ 1", lambda: model.export_c(path, input_shape=20)),
        (ValueError, "integers ≥ 1", lambda: model.export_c(path, input_shape=(0, 20))),
        (ValueError, "finite number", lambda: model.export_c(path, threshold=1e39)),
        (ValueError, "finite number", lambda: model.export_c(path, threshold="0.1")),
        (
            ValueError,
            "32-bit float; make it smaller",
            lambda: identity(ta.ELU(1e39)).export_c(path, part="encoder", input_shape=(3,)),
        ),
        (ValueError, "NaN, infinite", lambda: with_nan.export_c(path)),
        (ValueError, "is a folder", lambda: model.export_c(tmp_path, "a")),
        (FileNotFoundError, "does not exist", lambda: model.export_c(tmp_path / "no" / "a.h")),
        (TypeError, "has a Unknown", lambda: identity(Unknown()).export_c(path, input_shape=(3,))),
        (
            TypeError,
            "expected 'decoder'",
            lambda: ta.GAN(ta.Dense(2, 3, rng=rng), ta.Dense(3, 1, rng=rng)).export_c(path),
        ),
    ]
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()
    assert list(tmp_path.iterdir()) == []


# --- the command line ---------------------------------------------------------------------------


def test_the_command(model, rng, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save("model.npz")
    assert main(["export", "model.npz", "-o", "ae.h", "--threshold", "0.5", "--selftest"]) == 0
    out = capsys.readouterr().out
    written = Path("ae.h").read_text()
    header = model.export_c("ae.h", threshold=0.5, selftest=True)
    assert Path("ae.h").read_text() == written
    for expected in (
        "ae_run(in, out, arena), ae_score(in, arena)",
        f"{header.flash_bytes:,} bytes",
    ):
        assert expected in out
    part = ["--part", "encoder", "--name", "coder", "--shape", "20"]
    assert main(["export", "model.npz", *part]) == 0
    assert "coder_run(in, out, arena)" in capsys.readouterr().out
    written = Path("model.h").read_text()
    assert '#include "model.h"' in written
    assert "#define CODER_OUTPUT_LENGTH 3 " in written
    assert main(["export", "model.npz", "-o", "9.h"]) == 2
    assert "pass e.g. --name ae" in capsys.readouterr().err
    ta.GAN(
        ta.Dense(2, 3, rng=np.random.default_rng(0)), ta.Dense(3, 1, rng=np.random.default_rng(0))
    ).save("gan.npz")
    assert main(["export", "gan.npz", "-o", "gan.h"]) == 2
    assert "expected 'decoder'" in capsys.readouterr().err


def test_a_wrong_part_or_model_is_told_by_export_c(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(ta.Dense(3, 2, rng=rng), ta.Dense(2, 3, rng=rng), ta.MSE())
    for wrong, part, error in ((model, "whole", ValueError), (model.encoder, "encoder", TypeError)):
        with pytest.raises(error, match=r"^export_c: "):
            export_c(wrong, tmp_path / "m.h", part=part)
