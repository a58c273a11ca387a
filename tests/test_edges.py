"""What reaches a layer or a kernel is what it can take: it is converted, or refused by name."""

import ctypes
import faulthandler
import inspect
import os
import random
import signal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.attacks import Outcome, arrays, concurrency, torch_twins
from benchmarks.attacks.arrays import BACKWARD, REFUSED, SAME
from tinyae import catalog, kernels
from tinyae.kernels import reference

every_layer = pytest.mark.parametrize("row", catalog.LAYERS, ids=lambda row: row.name)


@every_layer
@settings(max_examples=6)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
    least=st.sampled_from([2, 16, 64]),
    method=st.sampled_from(BACKWARD),
)
def test_backward_takes_or_refuses_what_it_is_given(
    row: Any, seed: int, dtype: Any, least: int, method: str, kernel_set: str
) -> None:
    layer, x = arrays.drawn(row, np.random.default_rng(seed), dtype, least)
    assert arrays.misused(layer, x, method, seed) is None


@every_layer
@given(seed=st.integers(0, 2**32 - 1), least=st.sampled_from([2, 16, 64]))
@settings(max_examples=3)
def test_forward_refuses_other_dtypes_or_gives_the_definitions_result(
    row: Any, seed: int, least: int, kernel_set: str
) -> None:
    layer, x = arrays.drawn(row, np.random.default_rng(seed), np.float32, least)
    dtypes = ("float16", "long double", "integers", "the other byte order", "complex")
    for name in (*dtypes, "list", "None", "masked", "subclass", "objects", "strings"):
        changed, results = REFUSED[name](x), []
        for which in ("numpy", kernel_set):
            with kernels.use(which):
                twin = layer.astype(np.float32)  # the same noise and running statistics
                try:
                    results.append(twin.forward(changed)[0])
                except (TypeError, ValueError) as error:
                    results.append(type(error))
        if isinstance(results[0], type):
            assert results[0] == results[1], name
        else:
            np.testing.assert_allclose(*map(np.asarray, results), rtol=1e-4, err_msg=name)


# --- attacks with small budgets -------------------------------------------------------------------


@pytest.mark.parametrize("attack", [arrays.twin, torch_twins.twin, concurrency.threads])
def test_an_attack_finds_nothing(attack: Any) -> None:
    pytest.importorskip("numba")
    if attack is torch_twins.twin:
        pytest.importorskip(torch_twins.NAME)
    for i in range(15):
        assert attack(random.Random(i), None) is None, f"try {i}"


def test_arrays_between_guard_pages() -> None:
    pytest.importorskip("numba")
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    assert arrays.guards(30, 0) == Outcome(30)


def test_a_crash_between_guard_pages_is_told_by_its_try(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    drawn = {random.Random(f"3/{i}").random(): i for i in range(12)}

    def case(chance: random.Random) -> bool:
        i = drawn[chance.random()]
        if i in (2, 7, 11):
            os.kill(os.getpid(), signal.SIGSEGV)
        if i == 5:
            raise ValueError("of two\nlines")
        return i == 9

    monkeypatch.setattr(arrays, "_guard", case)
    monkeypatch.setattr(arrays, "twin", lambda *_: None)
    monkeypatch.setattr(arrays, "TRIES_OF_A_CHILD", 4)
    outcome = arrays.guards(12, 3)
    assert outcome.tries == 12
    assert outcome.failures == [
        "try 2: signal 11",
        "try 5: ValueError: of two lines",
        "try 7: signal 11",
        "try 9: another result",
        "try 11: signal 11",
    ]


def test_a_guard_page_is_felt() -> None:
    """A guard that nobody can hit would be no guard."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    for offset, ended in ((-1, {0}), (0, {signal.SIGSEGV, signal.SIGBUS})):  # BUS: macOS
        child = os.fork()
        if not child:
            faulthandler.disable()
            a = arrays.guarded(np.arange(5.0))
            ctypes.string_at(a.ctypes.data + a.nbytes + offset, 1)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) in ended


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="only Linux tells so easily")
def test_a_training_keeps_to_its_memory() -> None:
    assert concurrency.long_run(random.Random(0), None) is None


# --- kernels ------------------------------------------------------------------------------------


def kernel_arguments(rng: np.random.Generator) -> dict[str, tuple[Any, ...]]:
    """Right arguments for each kernel that takes arrays."""

    def a(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    x, dy, W = a(33, 3, 6, 7), a(33, 4, 4, 5), a(4, 3, 3, 3)
    geometry = (1, 1), (0, 0, 0, 0)
    one_argument = {name: (a(5, 7),) for name in ("relu", "sigmoid", "silu", "tanh", "erfc")}
    backward = {
        f"{name}_backward": (a(5, 7), a(5, 7)) for name in ("relu", "sigmoid", "silu", "tanh")
    }
    losses = {name: (a(5, 7), a(5, 7)) for name in ("mse", "l1", "bce_with_logits")}
    index = rng.integers(0, 4, (2, 3, 3, 3))
    return {
        **one_argument,
        **backward,
        **losses,
        "elu": (a(5, 7), 1.0),
        "elu_backward": (a(5, 7), a(5, 7), 1.0),
        "affine": (a(33, 40), a(24, 40), a(24)),
        "affine_grad": (a(33, 24), a(33, 40), a(24, 40), a(24)),
        "matmul": (a(33, 40), a(40, 24)),
        "matmul_nt": (a(33, 40), a(24, 40)),
        "matmul_tn": (a(40, 33), a(40, 24)),
        "row_sq_norms": (a(24, 40), a(24), a(24, 40)),
        "conv2d": (x, W, *geometry, a(4)),
        "conv2d_relu": (x, W, *geometry, a(4), True, None),
        "conv2d_input_grad": (dy, W, *geometry, (6, 7), a(3)),
        "conv2d_input_grad_relu": (dy, W, *geometry, (6, 7), a(3), False, x),
        "conv2d_weight_grad": (x, dy, *geometry, (3, 3)),
        "bias_grad": (dy, a(4)),
        "batch_norm": (x, a(3), a(3), 0.1, True),
        "batch_norm_backward": (x, a(33, 3, 6, 7), 1 + a(3) ** 2, a(3), a(3), a(3), x),
        "group_norm": (dy, 2, a(4), a(4), 0.1),
        "group_norm_backward": (*(dy, a(33, 2, 2, 20), 1 + a(33, 2, 1, 1) ** 2, a(4), a(4), a(4)),),
        "max_pool2d": (x, (2, 2), (2, 2)),
        "max_pool2d_backward": (a(2, 3, 3, 3), index, (2, 2), (2, 2), (6, 7)),
        "warp": (a(2, 1, 8, 8), np.tile(np.eye(2, 3, dtype=np.float32), (2, 1, 1))),
    }


NOT_ARRAYS = {"mlp", "mlp_backward", "mlp_backprop", "bce"}  # planned once; and NumPy's own
STEPS = {"sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"}
KERNELS = sorted(kernel_arguments(np.random.default_rng(0)))


def test_every_kernel_is_tried() -> None:
    jitted = pytest.importorskip("tinyae.kernels.jitted")
    assert set(jitted.__all__) == {*KERNELS, *NOT_ARRAYS, *STEPS}
    for name in jitted.__all__:
        assert list(inspect.signature(getattr(jitted, name)).parameters) == list(
            inspect.signature(getattr(reference, name)).parameters
        )


CHANGES = {
    **{name: REFUSED[name] for name in ("float16", "integers", "complex", "the other byte order")},
    **{name: REFUSED[name] for name in ("more rows", "fewer rows", "flat")},
    **{name: SAME[name] for name in ("the other float dtype", "read-only", "unaligned")},
    "two rows": lambda a: a[:2],
    "more columns": lambda a: np.concatenate([a, a], axis=min(1, a.ndim - 1)),
    "fewer columns": lambda a: a[:, 1:] if a.ndim > 1 else a[1:],
    "a smaller image": lambda a: a[..., :-1, :-1] if a.ndim == 4 else a[..., :-1],
}


GEOMETRIES = ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"]
GEOMETRIES += ["max_pool2d", "max_pool2d_backward"]


@pytest.mark.parametrize("name", GEOMETRIES)
@given(data=st.data())
@settings(max_examples=150)
def test_numbers_that_are_no_geometry_are_left_to_the_definition(name: str, data: Any) -> None:
    """A stride of 0, a window of −1, a dilation of −1, a negative pad: no memory is touched."""
    jitted = pytest.importorskip("tinyae.kernels.jitted")

    def few(count: int, least: int) -> tuple[int, ...]:
        return tuple(data.draw(st.integers(least, 3)) for _ in range(count))

    rng, size = np.random.default_rng(0), few(2, 1)
    stride, dilation, kernel = few(2, -1), few(2, -1), few(2, -1)
    n = data.draw(st.sampled_from([1, 3, 20, 40]))
    x, W = rng.normal(size=(n, 2, *size)), rng.normal(size=(2, 2, *few(2, 1)))
    dy = rng.normal(size=(n, 2, *few(2, 1)))
    if data.draw(st.booleans()):
        x = np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    more = dilation, data.draw(st.integers(-1, 2))
    arguments = {
        "conv2d": (x, W, stride, few(4, -1), None, *more),
        "conv2d_input_grad": (dy, W, stride, few(4, -1), size, None, *more),
        "conv2d_weight_grad": (x, dy, stride, few(4, -1), kernel, *more),
        "max_pool2d": (x, kernel, stride, dilation),
        "max_pool2d_backward": (dy, rng.integers(-3, 9, dy.shape), kernel, stride, size, dilation),
    }[name]

    def outcome(kernel: Any) -> Any:
        try:
            with np.errstate(all="ignore"):
                return kernel(*arguments)
        except Exception as error:
            return type(error)

    want, got = (outcome(getattr(kernels, name)) for kernels in (reference, jitted))
    if isinstance(want, type) or isinstance(got, type):
        assert got == want
    else:
        tuples = (a if isinstance(a, tuple) else (a,) for a in (want, got))
        for a, b in zip(*tuples):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", KERNELS)
@given(data=st.data())
@settings(max_examples=40)
def test_a_compiled_kernel_does_with_wrong_arrays_what_its_definition_does(
    name: str, data: Any
) -> None:
    jitted = pytest.importorskip("tinyae.kernels.jitted")
    right = kernel_arguments(np.random.default_rng(1))[name]
    arrays = [k for k, a in enumerate(right) if isinstance(a, np.ndarray)]
    changed = list(right)
    for k in data.draw(st.lists(st.sampled_from(arrays), min_size=1, max_size=2, unique=True)):
        changed[k] = CHANGES[data.draw(st.sampled_from(sorted(CHANGES)))](changed[k])
    outcomes = []
    for module in (reference, jitted):
        arguments = [a.copy() if isinstance(a, np.ndarray) else a for a in changed]
        for mine, given_ in zip(arguments, changed):
            if isinstance(mine, np.ndarray):
                mine.flags.writeable = given_.flags.writeable
        try:
            result = getattr(module, name)(*arguments)
        except Exception as error:
            outcomes.append(type(error))
        else:
            result = result if isinstance(result, tuple) else (result,)
            written = arguments[-2:] if "grad" in name or name == "row_sq_norms" else []
            outcomes.append([np.asarray(r) for r in (*result, *written) if r is not None])
    want, got = outcomes
    if isinstance(want, type) or isinstance(got, type):
        assert want == got
        return
    for a, b in zip(want, got, strict=True):
        if a.dtype != object:
            tolerance = 1e-2 if a.dtype == np.float16 or b.dtype == np.float16 else 1e-4
            np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance * 10)
