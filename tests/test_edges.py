"""What reaches a layer or a kernel is what it can take: it is converted, or refused by name."""

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyae import catalog, kernels
from tinyae.kernels import reference
from tinyae.layers.base import Layer
from tinyae.param import unique

every_layer = pytest.mark.parametrize("row", catalog.LAYERS, ids=lambda row: row.name)


class Subclass(np.ndarray):
    """Whatever a subclass does to arithmetic is unknown here."""


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a: np.ndarray) -> np.ndarray:
    buffer = np.zeros(a.nbytes + 1, np.uint8)
    view = buffer[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


# The same numbers in another form: accepted, with the same result.
SAME = {
    "the other float dtype": lambda a: a.astype(np.float64 if a.itemsize == 4 else np.float32),
    "not contiguous": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "Fortran order": np.asfortranarray,
    "backwards in memory": lambda a: a[::-1].copy()[::-1],
    "read-only": read_only,
    "unaligned": unaligned,
}
# What is refused by name, before a gradient is added.
REFUSED = {
    "float16": lambda a: a.astype(np.float16),
    "long double": lambda a: a.astype(np.longdouble),
    "integers": lambda a: (10 * a).astype(np.int64),
    "booleans": lambda a: a > 0,
    "the other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "complex": lambda a: a.astype(np.complex64),
    "objects": lambda a: a.astype(object),
    "strings": lambda a: a.astype(str),
    "list": lambda a: a.tolist(),
    "number": lambda a: np.float32(1),
    "None": lambda a: None,
    "masked": lambda a: np.ma.masked_array(a, mask=a > 0),
    "subclass": lambda a: a.view(Subclass),
    "more rows": lambda a: np.concatenate([a, a]),
    "fewer rows": lambda a: a[1:],
    "no rows": lambda a: a[:0],
    "more columns": lambda a: np.concatenate([a, a], axis=1),
    "fewer columns": lambda a: a[:, 1:],
    "one axis more": lambda a: a[None],
    "one axis less": lambda a: a[0],
    "flat": lambda a: a.ravel(),
}


def drawn(row: Any, seed: int, dtype: Any, least: int = 2) -> tuple[Layer, np.ndarray]:
    """A layer of the catalog and a batch for it; ``least`` lets fused layers have their part."""
    rng = np.random.default_rng(seed)
    layer, x = row.draw(lambda low, high: int(rng.integers(low, high, endpoint=True)), rng)
    x = np.concatenate([x] * (-(-least // len(x))))
    return layer.astype(dtype), x.astype(dtype)


def gradients(layer: Layer) -> list[np.ndarray]:
    return [p.grad.copy() for p in unique(layer.params).values()]


@every_layer
@settings(max_examples=6)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
    least=st.sampled_from([2, 16, 64]),
    method=st.sampled_from(["backward", "backward_params", "backward_input"]),
)
def test_backward_takes_or_refuses_what_it_is_given(
    row: Any, seed: int, dtype: Any, least: int, method: str, kernel_set: str
) -> None:
    layer, x = drawn(row, seed, dtype, least)
    y, cache = layer.forward(x)
    dy = np.random.default_rng(seed).normal(size=y.shape).astype(dtype)
    backward = getattr(layer, method)
    dx, right = backward(dy, cache), gradients(layer)
    for p in layer.params.values():
        p.grad[...] = 0
    for name, change in SAME.items():
        got = backward(change(dy), cache)
        for a, b in zip([got, *gradients(layer)], [dx, *right]):
            if b is not None:
                scale = float(np.abs(b).max(initial=1))
                np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * scale, err_msg=name)
        for p in layer.params.values():
            p.grad[...] = 0
    for name, change in REFUSED.items():
        changed = change(dy)
        if type(changed) is np.ndarray and (changed.shape, changed.dtype) == (dy.shape, dy.dtype):
            continue  # a row or a column that is not there cannot be left out
        if method == "backward_params" and not layer.params:
            continue  # nothing to learn: dy is not looked at
        with pytest.raises((TypeError, ValueError), match="dy"):
            assert backward(changed, cache) is NotImplemented, f"{name}: accepted"
        assert not any(g.any() for g in gradients(layer)), name


@every_layer
@given(seed=st.integers(0, 2**32 - 1), least=st.sampled_from([2, 16, 64]))
@settings(max_examples=3)
def test_forward_refuses_other_dtypes_or_gives_the_definitions_result(
    row: Any, seed: int, least: int, kernel_set: str
) -> None:
    layer, x = drawn(row, seed, np.float32, least)
    for name in ("float16", "long double", "integers", "the other byte order", "complex"):
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


# --- kernels ------------------------------------------------------------------------------------


def kernel_arguments(rng: np.random.Generator) -> dict[str, tuple[Any, ...]]:
    """Right arguments for each kernel that takes arrays."""

    def a(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    x, dy, W = a(33, 3, 6, 7), a(33, 4, 4, 5), a(4, 3, 3, 3)
    geometry = (1, 1), (0, 0, 0, 0)
    one_argument = {name: (a(5, 7),) for name in ("relu", "sigmoid", "tanh", "erf")}
    backward = {f"{name}_backward": (a(5, 7), a(5, 7)) for name in ("relu", "sigmoid", "tanh")}
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
