"""A compiled program agrees with the layers in both runtimes, and its arena is small."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from architectures import COMPILED, Architecture
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import kernels
from tinyae.catalog import MODELS, integers_from
from tinyae.layers.activation import activations
from tinyae.program import compile_model, plan, program
from tinyae.program.compile import MAX_SHAPES, program_of, runtime_of
from tinyae.program.run_numpy import NumpyRuntime

try:
    import numba  # noqa: F401

    SETS = ["numba", "numpy"]
except ImportError:
    SETS = ["numpy"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


POOLS = [  # of 40 numbers
    *(
        ta.Sequential(ta.Reshape(4, 10), layer)
        for layer in (
            *(ta.MaxPool1d(3, 2, 1), ta.AvgPool1d(3, 2, "same"), ta.Upsample1d(3)),
            *(ta.BatchNorm(4), ta.PReLU(4)),
        )
    ),
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
]
NORMS = [  # of 40 numbers
    ta.RMSNorm(40),
    ta.PixelNorm(),
    ta.GroupNorm(4, 40),
    *(
        ta.Sequential(ta.Reshape(4, 2, 5), norm)
        for norm in (ta.GroupNorm(2, 4), ta.InstanceNorm(4), ta.PixelNorm(), ta.RMSNorm((2, 5)))
    ),
]
both_sets = pytest.mark.parametrize("kernel_set", SETS)
BATCHES = [0, 1, 2, 5, 6, 7, 31, 33, 130]  # single samples, partial blocks, several blocks


def compiled_by(kernel_set, model, part="autoencoder", shape=None):
    with kernels.use(kernel_set):
        return compile_model(model, part, shape)


def identity(*layers, dtype=np.float32):
    """A model whose encoder is these layers; the decoder only sets the dtype."""
    unused = ta.Dense(1, 1, rng=np.random.default_rng(0), dtype=dtype)
    return ta.Autoencoder(ta.Sequential(*layers), unused, ta.MSE())


def repeat(x, n):
    """n different samples, derived from those of x."""
    scale = np.linspace(0.5, 1.5, n).reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)
    return x[np.arange(n) % len(x)] * scale


@both_sets
def test_a_few_sample_shapes_are_kept(kernel_set, rng):
    encoder = ta.Sequential(ta.Conv2d(1, 2, 3, padding=1, rng=rng), ta.ReLU())
    run = compiled_by(kernel_set, identity(*encoder.layers), "encoder")
    images = [rng.random((3, 1, 8, width), np.float32) for width in range(8, 28)]
    want = [encoder(x) for x in images]

    def try_all(_):
        return [run(x) for x in images]

    with ThreadPoolExecutor(4) as pool:
        for ys in pool.map(try_all, range(8)):
            for y, w in zip(ys, want):
                np.testing.assert_allclose(y, w, rtol=1e-5, atol=1e-6)
    assert len(run._runtimes) <= MAX_SHAPES + 3  # four threads may add a shape at once
    run(images[0])
    assert run.program(images[0].shape[1:]).input_shape == images[0].shape[1:]
    assert set(run._runtimes) == set(run._programs)
    assert len(run._runtimes) <= MAX_SHAPES
    assert len(pickle.loads(pickle.dumps(run))._runtimes) <= MAX_SHAPES


# --- the same numbers as the layers ---------------------------------------------------------


@both_sets
@pytest.mark.parametrize("row", COMPILED, ids=lambda row: row.name)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_layer(kernel_set, row, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    layer, x = row.draw(lambda low, high: data.draw(st.integers(low, high)), rng)
    x = repeat(x, data.draw(st.sampled_from(BATCHES)))
    f = compiled_by(kernel_set, identity(layer, dtype=np.float64), "encoder")
    before = x.copy()
    y = f(x)
    np.testing.assert_allclose(y, layer(x), rtol=1e-12, atol=1e-12)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(x, before)


def test_without_an_arena_numpy_computes_the_same():
    """Where each slot is read as it was written; elsewhere the arena is used."""
    without, within = set(), set()
    for row in COMPILED:
        rng = np.random.default_rng(3)
        layer, x = row.draw(integers_from(rng), rng)
        compiled = compiled_by("numpy", identity(layer, dtype=np.float64), "encoder")
        runtime = NumpyRuntime(compiled.program(x.shape[1:]))
        out = np.empty((len(x), *runtime.program.output_shape), x.dtype)
        for _ in runtime.steps(x, out):
            pass
        np.testing.assert_array_equal(runtime.run(x), out)
        assert not np.may_share_memory(runtime.run(x), x)
        runtime._rows = 1
        np.testing.assert_allclose(runtime.run(x), out, rtol=1e-12, atol=1e-12)
        (without if runtime._arrays else within).add(row.name)
    assert len(without) > 5 * len(within)
    assert any("Skip" in name for name in within)  # it writes an image in two parts


@both_sets
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_architecture(kernel_set, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    built = Architecture(data.draw, rng)
    model = identity(*built.layers, dtype=np.float64)
    for p in model.encoder.params.values():  # including biases, which are initially zero
        p.value += rng.normal(0, 0.1, p.shape)
    x = rng.normal(size=(data.draw(st.sampled_from(BATCHES)), *built.input_shape))
    f = compiled_by(kernel_set, model, "encoder")
    want = model.encoder(x)
    np.testing.assert_allclose(f(x), want, rtol=1e-9, atol=1e-10)
    assert f(x).shape == want.shape
    check_plan(f.program(built.input_shape))


@both_sets
@pytest.mark.parametrize("conv", [ta.Conv2d, ta.ConvTranspose2d])
def test_what_follows_a_flattened_image_becomes_part_of_the_convolution_before(kernel_set, conv):
    rng = np.random.default_rng(0)
    for last in (ta.ReLU(), ta.BatchNorm(18, dtype=np.float64)):
        images = conv(1, 2, 3, 1, "same", rng=rng, dtype=np.float64)
        layers = images, ta.Flatten(), last
        model = identity(*layers, dtype=np.float64)
        f, x = compiled_by(kernel_set, model, "encoder"), rng.normal(size=(2, 1, 3, 3))
        np.testing.assert_allclose(f(x), model.encoder(x), rtol=1e-9, atol=1e-10)
        assert f(x).shape == (2, 18)
        check_plan(f.program((1, 3, 3)))


PARTS = {
    "autoencoder": "reconstruct",
    "encoder": "encode",
    "decoder": "decode",
    "score": "reconstruction_error",
}


@both_sets
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "row", [row for row in MODELS if not row.classes], ids=lambda row: row.name
)
def test_every_model(kernel_set, dtype, part, row):
    rng = np.random.default_rng(3)
    model, x = row.draw(lambda low, high: int(rng.integers(low, high + 1)), rng)
    if not isinstance(model, (ta.Autoencoder, ta.VariationalAutoencoder)):
        with pytest.raises(TypeError, match="compile: "):
            compile_model(model, "encoder")
        return
    model, x = model.astype(dtype), x.astype(dtype)
    x = repeat(x, 9)
    if part == "decoder":
        x = model.encode(x)
    y = compiled_by(kernel_set, model, part)(x)
    tolerance = 2e-6 if dtype == np.float32 else 1e-12
    want = getattr(model, PARTS[part])(x)
    np.testing.assert_allclose(y, want, rtol=tolerance, atol=tolerance)
    assert y.dtype == dtype
    assert y.shape == want.shape


@both_sets
@pytest.mark.parametrize(
    "likelihood",
    [ta.Bernoulli(), ta.Gaussian(), ta.Laplace(), ta.LearntGaussian(), "halves"],
    ids=str,
)
def test_decoding_means_what_the_likelihood_says(kernel_set, likelihood, rng):
    out = 6
    if likelihood == "halves":
        likelihood, out = ta.HeteroscedasticGaussian(), 12
    model = ta.VariationalAutoencoder(
        ta.Sequential(ta.Dense(6, 5, rng=rng), ta.Tanh()),
        *(ta.Dense(5, 2, rng=rng), ta.Dense(5, 2, rng=rng), ta.Dense(2, out, rng=rng)),
        likelihood,
    )
    x = rng.normal(size=(7, 6)).astype(np.float32)
    for part, method in PARTS.items():
        given_x = model.encode(x) if part == "decoder" else x
        want = getattr(model, method)(given_x)
        y = compiled_by(kernel_set, model, part)(given_x)
        np.testing.assert_allclose(y, want, rtol=2e-6, atol=2e-6)


@both_sets
def test_generators_and_conditional_decoders(kernel_set, rng):
    gan = ta.GAN(
        ta.Sequential(ta.Dense(3, 8, rng=rng), ta.ReLU(), ta.Dense(8, 5, rng=rng)),
        ta.Dense(5, 1, rng=rng),
    )
    z = rng.normal(size=(4, gan.latent_dim)).astype(np.float32)
    np.testing.assert_allclose(
        compiled_by(kernel_set, gan, "decoder")(z), gan.decode(z), rtol=1e-6, atol=1e-6
    )
    with pytest.raises(TypeError, match="expected 'decoder'"):
        compile_model(gan, "score")


@both_sets
@pytest.mark.parametrize("width", [1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 65])
def test_dense_layers_of_every_width(kernel_set, width, rng):
    """For any width, nothing is written outside the result."""
    layers = (
        ta.Dense(5, width, rng=rng),
        ta.Dense(width, width, rng=rng),
        ta.Dense(width, 3, rng=rng),
    )
    model = identity(layers[0], ta.Tanh(), layers[1], ta.ReLU(), layers[2])
    x = rng.normal(size=(37, 5)).astype(np.float32)
    f = compiled_by(kernel_set, model, "encoder")
    np.testing.assert_allclose(f(x), model.encode(x), atol=1e-5)


@pytest.mark.parametrize("kernel_set", SETS[:1])
@pytest.mark.parametrize("n", [1, 5, 6, 32, 500])
def test_a_batch_equals_its_rows(kernel_set, n, rng):
    model = conv_model(rng)
    f = compiled_by(kernel_set, model)
    x = rng.random((n, 1, 14, 14), np.float32)
    np.testing.assert_allclose(f(x), np.concatenate([f(row[None]) for row in x]), atol=1e-6)
    np.testing.assert_allclose(f(x), model.reconstruct(x), atol=1e-6)


def conv_model(rng):
    encoder = ta.Sequential(
        ta.Conv2d(1, 6, 3, 2, 1, rng=rng), ta.BatchNorm(6), ta.ReLU(), ta.Flatten(),
        ta.Dense(6 * 49, 10, rng=rng),
    )  # fmt: skip
    decoder = ta.Sequential(
        ta.Dense(10, 6 * 49, rng=rng), ta.ReLU(), ta.Reshape(6, 7, 7),
        ta.ConvTranspose2d(6, 1, 3, 2, 1, 1, rng=rng), ta.Sigmoid(),
    )  # fmt: skip
    return ta.Autoencoder(encoder, decoder, ta.MSE())


# --- the operations that remain ---------------------------------------------------------------


def kinds(p):
    return [(type(op).__name__, getattr(op, "f", program.LINEAR).name) for op in p.ops]


def test_batch_norm_and_activations_leave_no_operation(rng):
    layers = [
        ta.Dense(4, 12, rng=rng), ta.BatchNorm(12), ta.ReLU(), ta.Dropout(0.5, rng=rng),
        ta.Reshape(3, 2, 2), ta.Conv2d(3, 5, 1, rng=rng), ta.BatchNorm(5), ta.Tanh(),
        ta.ConvTranspose2d(5, 2, 2, rng=rng), ta.BatchNorm(2), ta.Flatten(), ta.Sigmoid(),
    ]  # fmt: skip
    p = program_of(identity(*layers), "encoder", (4,))
    assert kinds(p) == [("Dense", "ReLU"), ("Conv", "Tanh"), ("ConvTranspose", "Sigmoid")]
    assert p.weights.size == sum(q.size for q in ta.Sequential(*layers).params.values()) - 2 * 19


def test_batch_norm_of_an_image_folds_into_the_dense_layer_that_made_it(rng):
    norm = ta.BatchNorm(3)
    norm.running_mean[...], norm.running_var[...] = [1, 2, 3], [0.5, 1, 2]
    model = identity(ta.Dense(2, 12, rng=rng), ta.Reshape(3, 2, 2), norm)
    model.encoder.layers[0].b.value[...] = rng.normal(size=12)
    assert kinds(program_of(model, "encoder", (2,))) == [("Dense", "")]
    x = rng.normal(size=(3, 2)).astype(np.float32)
    np.testing.assert_allclose(
        compile_model(model, "encoder")(x), model.encode(x), rtol=1e-6, atol=1e-6
    )


def test_what_has_a_second_reader_is_left_as_it_is(rng):
    skip = ta.Skip(ta.Sequential(ta.BatchNorm(3), ta.ReLU()))
    model = identity(ta.Dense(2, 3, rng=rng), ta.Residual(ta.ReLU()), skip)
    x = rng.normal(size=(3, 2)).astype(np.float32)
    for n in (1, 3):
        y = compile_model(model, "encoder")(x[:n])
        np.testing.assert_allclose(y, model.encode(x[:n]), rtol=1e-6, atol=1e-6)
    p = program_of(identity(ta.Dense(2, 3, rng=rng), skip), "encoder", (2,))
    assert kinds(p) == [("Dense", ""), ("Affine", "ReLU")]  # no Copy: both write in place
    assert p.arena == 0


def test_a_norm_with_nothing_before_it_is_one_operation(rng):
    p = program_of(identity(ta.BatchNorm(3), ta.ReLU()), "encoder", (3, 2, 2))
    assert kinds(p) == [("Affine", "ReLU")]


def test_nothing_to_do_is_a_copy():
    f = compile_model(
        identity(ta.Flatten(), ta.Dropout(0.1, rng=np.random.default_rng(0))), "encoder"
    )
    x = np.ones((2, 3, 4), np.float32)
    y = f(x)
    np.testing.assert_array_equal(y, x.reshape(2, 12))
    assert not np.may_share_memory(x, y)
    assert kinds(f.program((3, 4))) == [("Copy", "")]


def test_shared_weights_lie_in_the_buffer_once(rng):
    dense = ta.Dense(4, 4, rng=rng)
    assert program_of(identity(dense, ta.ReLU(), dense), "encoder", (4,)).weights.size == 20


def test_the_table_names_every_operation(rng):
    p = program_of(conv_model(rng), "score", (1, 14, 14))
    lines = str(p).splitlines()
    assert len(lines) == len(p.ops) + 2
    for line, op in zip(lines[1:], p.ops):
        assert type(op).__name__ in line
        assert f"{op.flops:,}" in line
    assert f"{p.flops:,} flops" in lines[-1]
    assert p.ops[0].flops == 2 * 9 * 6 * 49 + 6 * 49
    assert p.output_shape == ()
    assert "Program(" in repr(p)


# --- the arena ---------------------------------------------------------------------------------

blocks = st.lists(
    st.builds(
        lambda size, first, length: plan.Block(size, first, first + length),
        st.integers(1, 12),
        st.integers(0, 6),
        st.integers(0, 4),
    ),
    max_size=5,
)


def smallest(listed):
    """The smallest arena, by trying first fit in every order."""
    best = sum(b.size for b in listed)
    for order in itertools.permutations(range(len(listed))):
        put = {}
        for k in order:
            taken = [
                range(put[j], put[j] + listed[j].size) for j in put if listed[j].overlaps(listed[k])
            ]
            cells = set().union(*taken)
            put[k] = next(
                at for at in range(200) if not cells.intersection(range(at, at + listed[k].size))
            )
        best = min(best, max((put[k] + listed[k].size for k in put), default=0))
    return best


@settings(max_examples=150, deadline=None)
@given(blocks)
def test_arena_is_the_smallest(listed):
    offsets, size = plan.assign_offsets(listed)
    for (a, at), (b, bt) in itertools.combinations(zip(listed, offsets), 2):
        assert not a.overlaps(b) or at + a.size <= bt or bt + b.size <= at
    assert size == max((b.size + at for b, at in zip(listed, offsets)), default=0)
    assert plan.lower_bound(listed) <= size == smallest(listed)


def test_a_chain_wants_its_two_largest_neighbours():
    sizes = [9, 5, 2, 8]  # largest first gives only 16
    chain = [plan.Block(size, k, k + 1) for k, size in enumerate(sizes)]
    assert plan.assign_offsets(chain)[1] == plan.lower_bound(chain) == 14


def check_plan(p):
    """No operation overwrites what a later one reads, checked by running it on tags."""
    made = {("input", i): ("input", i) for i in range(math.prod(p.input_shape))}
    expected = dict(made)
    for k, op in enumerate(p.ops):
        for name, slot in op.slots.items():
            if name != "y" and slot.space != "weights":
                for i in range(slot.offset, slot.offset + slot.size):
                    assert (slot.space, i) in expected, f"{p}\n{k} reads what nobody wrote"
                    if slot.space == "arena":
                        assert i < p.arena
        for i in range(op.y.offset, op.y.offset + op.y.size):
            expected[op.y.space, i] = k
    assert sum(space == "output" for space, _ in expected) == math.prod(p.output_shape)


# --- as a function -------------------------------------------------------------------------------


@both_sets
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_layout_of_x_will_do(kernel_set, dtype, rng):
    model = conv_model(rng).astype(dtype)
    f = compiled_by(kernel_set, model)
    x = rng.random((9, 1, 14, 14)).astype(dtype)
    want = f(x)
    np.testing.assert_array_equal(f(np.asfortranarray(x)), want)
    np.testing.assert_array_equal(f(np.repeat(x, 2, axis=0)[::2]), want)
    frozen = x.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(f(frozen), want)


@both_sets
def test_the_weights_are_those_of_the_moment(kernel_set, rng):
    model = identity(ta.Dense(3, 2, rng=rng))
    x = np.ones((2, 3), np.float32)
    f, want = compiled_by(kernel_set, model, "encoder"), model.encode(x)
    model.encoder.layers[0].W.value[...] = 0
    np.testing.assert_allclose(f(x), want, rtol=1e-6)


@both_sets
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies_do_the_same(kernel_set, clone, rng):
    x = rng.random((3, 1, 14, 14), np.float32)
    f = compiled_by(kernel_set, conv_model(rng), shape=(1, 14, 14))
    with kernels.use(kernel_set):
        g = clone(f)
    np.testing.assert_array_equal(g(x), f(x))
    assert "(1, 14, 14)" in repr(g)


@pytest.mark.parametrize("kernel_set", SETS)
def test_eight_threads_at_once(kernel_set, rng):
    f = compiled_by(kernel_set, conv_model(rng))
    xs = [rng.random((n, 1, 14, 14), np.float32) for n in (1, 2, 7, 33, 64, 130, 1, 300)]
    want = [f(x) for x in xs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            for got, expected in zip(pool.map(f, xs), want):
                np.testing.assert_array_equal(got, expected)


@pytest.mark.skipif("numba" not in SETS, reason="needs numba")
def test_shared_work_is_the_same_work(rng, monkeypatch):
    from tinyae.program import run_numba

    model = conv_model(rng)
    x = rng.random((700, 1, 14, 14), np.float32)
    alone = compiled_by("numba", model)(x)
    monkeypatch.setattr(run_numba, "_MIN_PARALLEL_FLOPS", 1)
    monkeypatch.setattr("numba.get_num_threads", lambda: 2)
    monkeypatch.setattr("tinyae.program.thread_pool.free_cores", lambda: 2)
    np.testing.assert_allclose(compiled_by("numba", model)(x), alone, atol=1e-6)


@pytest.mark.skipif("numba" not in SETS, reason="needs numba")
@pytest.mark.parametrize("n", [1, 2, 8, 13, 32, 45])
@pytest.mark.parametrize("threads", [1, 2])
def test_shared_operations_are_the_same_operations(n, threads, rng, monkeypatch):
    """Each thread computes some columns of a layer, or some samples, with the activation."""
    chain = (
        *(ta.Dense(7, 300, rng=rng), ta.Tanh(), ta.LayerNorm(300), ta.Dense(300, 30, rng=rng)),
        *(ta.Skip(ta.Softmax()), ta.Dense(60, 32, rng=rng), ta.Reshape(2, 4, 4)),
        *(ta.Conv2d(2, 3, 3, padding=1, rng=rng), ta.Flatten(), ta.Dense(48, 200, rng=rng)),
        ta.Sigmoid(),
    )
    model = identity(*chain)
    x = rng.normal(size=(n, 7)).astype(np.float32)
    want = compiled_by("numba", model, "encoder")(x)
    np.testing.assert_allclose(want, model.encode(x), atol=1e-6)
    monkeypatch.setattr("numba.get_num_threads", lambda: threads)
    monkeypatch.setattr("tinyae.program.thread_pool.free_cores", lambda: threads)
    runtime = runtime_of(program_of(model, "encoder", (7,)), "numba")
    runtime.least_shared, runtime.most_shared = 1, 1000
    for _ in range(20):  # the helper may or may not take part
        np.testing.assert_array_equal(runtime.run(x), want)


@pytest.mark.skipif("numba" not in SETS, reason="needs numba")
def test_operations_are_shared_where_weights_outweigh_samples(rng):
    """784-64-784 has 400 kB of weights, a sample 6.5 kB; convolutions have few weights."""
    dense = ta.Autoencoder(*ta.dense_encoder_decoder((784,), [64], rng=rng), ta.MSE())
    runtime = runtime_of(program_of(dense, "autoencoder", (784,)), "numba")
    shared = [runtime.least_shared <= n <= runtime.most_shared for n in (1, 8, 32, 128, 1024)]
    assert shared == [False, True, True, False, False]
    conv = runtime_of(program_of(conv_model(rng), "autoencoder", (1, 14, 14)), "numba")
    assert conv.least_shared > conv.most_shared


@pytest.mark.skipif("numba" not in SETS, reason="needs numba")
@given(st.booleans(), st.integers(1, 2000), st.integers(1, 200), st.sampled_from([16, 32, 64]))
def test_the_parts_of_a_shared_operation_are_all_of_it_and_none_is_empty(dense, size, n, width):
    from tinyae.kernels.jitted.simd_tile import ROWS
    from tinyae.program.run_numba import DENSE, _divide

    panels, groups, run = _divide(DENSE if dense else DENSE + 1, size, n, width)
    assert (groups - 1) * run < n <= groups * run
    if dense:
        assert (panels - 1) * width < size <= panels * width
        assert run % ROWS == 0
    else:
        assert (panels, run) == (1, 1)


@both_sets
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize(
    "layer",
    [
        *(kind() for kind in activations()),
        *(ta.Softmax(), ta.LayerNorm(40), ta.BatchNorm(40), ta.TopK(3), ta.TopK(40)),
        ta.PReLU(40),
        *NORMS,
        *POOLS,
        ta.Sequential(ta.Reshape(1, 5, 8), ta.MaxPool2d(2)),
        ta.Sequential(ta.Reshape(1, 5, 8), ta.AvgPool2d(2)),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_and_infinity_pass_through(kernel_set, layer, n, bad, rng):
    x = rng.normal(size=(n, 40)).astype(np.float32)
    x[0, [0, 3, 17]] = bad
    x[n - 1, 20] = bad
    f = compiled_by(kernel_set, identity(layer), "encoder")
    want = layer(x)
    np.testing.assert_allclose(f(x), want, rtol=2e-6, atol=2e-6)
    assert not np.isfinite(want).all() or not isinstance(layer, ta.TopK)


@both_sets
@pytest.mark.parametrize("n", [1, 8])
def test_a_nan_is_seen_behind_a_product(kernel_set, n, rng):
    model = conv_model(rng)
    x = rng.random((n, 1, 14, 14), np.float32)
    x[0, 0, 5, 5] = np.nan
    y = compiled_by(kernel_set, model)(x)
    assert np.isnan(y[0]).all()
    assert np.isfinite(y[1:]).all()


@both_sets
def test_functions_are_exact_over_their_whole_range(kernel_set):
    for dtype, bound in ((np.float32, 2e-7), (np.float64, 1e-15)):
        x = np.concatenate([np.linspace(-120, 120, 4001), np.geomspace(1e-12, 800, 500)])
        x = np.concatenate([x, -x]).astype(dtype)[None]
        exact = x.astype(np.longdouble)
        for layer, want in (
            (ta.Sigmoid(), 1 / (1 + np.exp(-exact))),
            (ta.Tanh(), np.tanh(exact)),
            (ta.ELU(), np.where(x > 0, exact, np.expm1(np.minimum(exact, 0)))),
            (ta.Softplus(), np.logaddexp(0, exact)),
        ):
            y = compiled_by(kernel_set, identity(layer, dtype=dtype), "encoder")(x)
            error = np.abs(y - want) / np.maximum(np.abs(want), 1e-30)
            assert error[np.abs(want) > 1e-30].max() < 4 * bound, layer


# --- errors -------------------------------------------------------------------------------------


def test_mistakes_are_named(rng):
    model = ta.Autoencoder(ta.Dense(3, 2, rng=rng), ta.Sequential(), ta.MSE())
    f = compile_model(model, "encoder")
    with pytest.raises(TypeError, match=r"compiled encoder: x is a list, expected a NumPy array"):
        f([[1.0, 2.0, 3.0]])
    with pytest.raises(TypeError, match=r"x is float64, the model was compiled in float32; pass"):
        f(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"x has shape \(3,\), expected .* pass x\[None\]"):
        f(np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"Dense: x has shape \(1, 4\), expected \(N, 3\)"):
        f(np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"part is 'middle', expected one of autoencoder"):
        compile_model(model, "middle")
    with pytest.raises(ValueError, match=r"its reconstruction \(2,\)"):
        compile_model(model, "score", (3,))
    with pytest.raises(ValueError, match=r"Dense: x has shape"):
        compile_model(model, "encoder", (5,))
    with pytest.raises(TypeError, match=r"expected one with an encoder and a decoder"):
        compile_model(ta.Classifier(ta.Dense(3, 2, rng=rng)))


def test_the_former_name_still_works():
    import tinyae.export as former

    assert ta.export is former
    for name in former.__all__:
        assert getattr(former, name) is getattr(ta.program, name)


class Doubled(ta.Dense):
    """A custom layer."""

    def __call__(self, x):
        return 2 * super().__call__(x)


def test_a_layer_of_ones_own_is_refused_rather_than_mistaken(rng):
    with pytest.raises(
        TypeError, match="has a Doubled, which the compiled program has no operation"
    ):
        compile_model(identity(Doubled(3, 2, rng=rng)), "encoder", (3,))


def test_a_network_of_thousands_of_layers_is_planned():
    """More blocks than Python allows recursions."""
    offsets, size = plan.assign_offsets([plan.Block(4, k, k + 1) for k in range(1500)])
    assert size == 8
    assert offsets == [0, 4] * 750
    assert plan.assign_offsets([]) == ([], 0)


@pytest.mark.slow
def test_a_chain_of_1200_layers_compiles():
    rng = np.random.default_rng(0)
    layers = [f() for _ in range(400) for f in (ta.Softmax, ta.Sigmoid, ta.Softmax)]
    model = ta.Autoencoder(ta.Sequential(*layers), ta.Dense(3, 3, rng=rng), ta.MSE())
    x = rng.random((3, 3), dtype=np.float32)
    with kernels.use("numpy"):
        np.testing.assert_allclose(model.compile()(x), model.reconstruct(x), rtol=1e-4)


def test_a_pass_over_many_operations_searches_none_of_them_twice(monkeypatch):
    """The blocks are indexed: for four times as many layers, four times as many moves."""
    from tinyae.program import lower, passes

    def moves(layers: int) -> int:
        count = 0

        def move(*arguments):
            nonlocal count
            count += 1
            return passes_move(*arguments)

        rng, passes_move = np.random.default_rng(0), passes.move
        with monkeypatch.context() as patch:
            patch.setattr(passes, "move", move)
            patch.setattr(lower, "move", move)
            parts = [
                part for _ in range(layers) for part in (ta.Dense(2, 2, rng=rng), ta.Softmax())
            ]
            program_of(
                ta.Autoencoder(ta.Sequential(*parts), ta.ReLU(), ta.MSE()), "autoencoder", (2,)
            )
        return count

    assert moves(80) < 5 * moves(20)
