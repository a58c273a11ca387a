"""Every twin against its definition: the same numbers, or it declines."""

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_models import images, make, noisy

from tinyae import catalog, fusion, gradcheck, kernels
from tinyae.fusion import microbatches, plan_cache, sequential, steps
from tinyae.fusion.sequential import fuse_layers
from tinyae.initializers import Zeros
from tinyae.layers import (
    ELU,
    GELU,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    LeakyReLU,
    MaxPool2d,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    TiedDense,
    TopK,
    Upsample2d,
)
from tinyae.losses import BCE, L1, MSE, BCEWithLogits, Loss
from tinyae.models import Autoencoder, DenoisingAutoencoder
from tinyae.optim import SGD
from tinyae.param import Param
from tinyae.training import fit
from tinyae.twin import DEFINITIONS, definitions_only, watching

ROWS = (1, 15, 16, 33, 37, 130)
layer_rows = pytest.mark.parametrize("row", catalog.LAYERS, ids=lambda row: row.name)
model_rows = pytest.mark.parametrize("row", catalog.MODELS, ids=lambda row: row.name)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache size for which the catalog's convolutions split 130 samples into micro-batches."""
    monkeypatch.setattr(microbatches, "CACHE_BYTES", 1)


# --- every definition against its twin ---------------------------------------------------------


def drawn(row: Any, n: int, dtype: Any, seed: int = 0) -> tuple[Any, Any]:
    """A layer or model of the catalog, and n rows of input for it."""
    rng = np.random.default_rng(seed)
    subject, x = row.draw(catalog.integers_from(rng), rng)
    subject = subject.astype(dtype)
    if isinstance(x, tuple):
        if row.pair:
            return subject, tuple(rng.uniform(size=(n, *a.shape[1:])).astype(dtype) for a in x)
        labels = rng.integers(row.classes, size=n)
        return subject, (row.values(subject, (n, *x[0].shape[1:]), rng).astype(dtype), labels)
    shape = (n, *x.shape[1:])
    return subject, row.values(subject, shape, rng).astype(dtype)


def through_layer(layer: Any, x: Any) -> dict[str, np.ndarray]:
    """All results of a layer: y, dx and gradients, also those of the two halves of backward."""
    y, cache = layer.forward(x)
    dy = np.random.default_rng(1).normal(size=y.shape).astype(y.dtype)
    found = {"y": y, "dx": layer.backward(dy, cache)}
    found |= {f"d{name}": p.grad.copy() for name, p in layer.params.items()}
    layer.backward_params(dy, cache)
    found |= {f"twice d{name}": p.grad.copy() for name, p in layer.params.items()}
    return found | {"backward_input": layer.backward_input(dy, cache)}


def through_model(model: Any, x: Any) -> dict[str, np.ndarray]:
    terms = model.backprop(x, np.random.default_rng(1))
    found = {name: np.asarray(value) for name, value in terms.items()}
    return found | {f"d{name}": p.grad for name, p in model.params.items()}


def compare(subject: Any, x: Any, run: Any) -> set[str]:
    """Compare results with and without twins; returns the names of the twins that ran."""
    twin = copy.deepcopy(subject)
    with definitions_only():
        want = run(twin, x)
    with watching() as used:
        got = run(subject, x)
    assert got.keys() == want.keys()
    eps = np.finfo(subject.dtype).eps
    largest = max(float(np.abs(a).max(initial=0)) for a in want.values())
    for name, a in want.items():
        atol = 300 * eps * max(largest, 1e-3)
        np.testing.assert_allclose(got[name], a, rtol=1e4 * eps, atol=atol, err_msg=name)
    return used


@layer_rows
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_layer_is_its_definition(row: Any, dtype: Any, kernel_set: str) -> None:
    for n in ROWS:
        if n > 1 or row.name.split()[0] != "BatchNorm":
            compare(*drawn(row, n, dtype), through_layer)


@model_rows
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_is_its_definition(
    row: Any, dtype: Any, kernel_set: str, small_cache: None
) -> None:
    for n in ROWS:
        if n > 1 or ("tied" not in row.name and "GAN" not in row.name):  # these have a BatchNorm
            compare(*drawn(row, n, dtype), through_model)


def test_every_twin_takes_part(small_cache: None) -> None:
    """A twin that no catalog row reaches would never be compared."""
    used: set[str] = set()
    for row in catalog.LAYERS:
        used |= compare(*drawn(row, 37, np.float32), through_layer)
    for row in catalog.MODELS:
        for seed in range(3):  # some draw a contractive encoder of one layer
            used |= compare(*drawn(row, 37, np.float32, seed), through_model)
    assert used == set(DEFINITIONS)
    assert {definition.__qualname__ for definition in fusion.TWINS} == set(DEFINITIONS)


# --- what trains is what is checked --------------------------------------------------------------


def readme_model() -> tuple[Autoencoder, np.ndarray]:
    """The README's example, with fewer and smaller pictures."""
    return make(), images(64)


def trained(model: Autoencoder, x: np.ndarray) -> dict[str, np.ndarray]:
    model = copy.deepcopy(model)
    fit(model, x, epochs=1, batch_size=32, optimizer=SGD(0.5), progress=False)
    return {name: p.value for name, p in model.params.items()}


def three_times(method: Any) -> Any:
    def wrong(self: Any, dy: Any, cache: Any) -> Any:
        before = self.W.grad.copy()
        result = method(self, dy, cache)
        self.W.grad += 2 * (self.W.grad - before)
        return result

    return wrong


@pytest.mark.parametrize("method", ["backward", "backward_params"])
@pytest.mark.parametrize("rows", [4, 15, 16, 32])
def test_a_definition_made_wrong_is_what_trains_and_what_is_found(
    method: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = readme_model()
    right = trained(model, x)
    monkeypatch.setattr(Dense, method, three_times(getattr(Dense, method)))
    wrong = trained(model, x)
    name = "encoder.1.W" if method == "backward_params" else "decoder.0.W"
    assert not np.allclose(right[name], wrong[name], atol=1e-5)
    report = gradcheck.check_model(model, x[:rows])
    head, _, tail = name.rpartition(".")
    assert report[f"{head}.d{tail}"].verdict == "fail"


KERNELS = {
    "mlp_backprop": {"Autoencoder", "DenoisingAutoencoder", "ContractiveAutoencoder"},
    "mlp_backward": {"Classifier", "Skip", "Residual"},
    "affine_grad": {"Dense", "TiedDense", "VariationalAutoencoder"},
    "row_sq_norms": {"ContractiveAutoencoder"},
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_fused_kernel_made_wrong_is_found(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``check`` and ``check_model``, and so ``tinyae gradcheck``, find it on a few rows."""
    right = getattr(kernels, kernel)

    def wrong(*arguments: Any) -> Any:
        grads = grads_of(kernel, arguments)
        before = [g.copy() for g in grads]
        result = right(*arguments)
        for g, b in zip(grads, before):
            g += 2 * (g - b)
        return result

    monkeypatch.setattr(kernels, kernel, wrong)
    failed: set[str] = set()
    for seed in range(5):  # not every seed draws a contractive encoder of one layer
        for name, report in catalog.check_all(np.random.default_rng(seed), only=KERNELS[kernel]):
            if not report.ok:
                assert report["as trained"].verdict == "fail"
                assert all(row.verdict == "pass" for row in report.rows[:-1])
                failed.add(name)
    assert KERNELS[kernel] <= failed
    model, x = readme_model()
    if kernel == "mlp_backprop":
        report = gradcheck.check_model(model, x[:4])
        assert not report.ok
        assert "Autoencoder.step" in report["as trained"].remark


@pytest.mark.parametrize("fault", ["raises", "nan"])
def test_a_twin_that_fails_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any) -> Any:
        if fault == "raises":
            raise ValueError("no such plan")
        return np.nan, None

    monkeypatch.setattr(kernels, "mlp_backprop", wrong)
    model, x = readme_model()
    report = gradcheck.check_model(model, x[:4])
    assert report["as trained"].verdict == "fail"
    assert ("no such plan" in report["as trained"].remark) == (fault == "raises")


def grads_of(kernel: str, arguments: tuple[Any, ...]) -> list[np.ndarray]:
    """The gradients to which a call of the kernel adds."""
    if kernel.startswith("mlp"):
        return [stage.dW for stage in arguments[0]]
    return [arguments[2]]


def test_a_twin_declines_for_what_it_does_not_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Dense):
        pass

    def used(model: Autoencoder) -> set[str]:
        with watching() as names:
            model.backprop(images(32))
        return names - {"Module.params"}

    assert used(make()) == {"Autoencoder.step"}
    derived, changed, tagged = make(), make(), make()
    derived.decoder.layers[0].__class__ = Mine
    assert used(derived) == {
        *("Sequential.forward", "Sequential.backward_params", "Activation.backward"),
    }
    changed.decoder.layers[1].forward = Tanh().forward
    assert "Autoencoder.step" not in used(changed)
    tagged.decoder.layers[1].note = "an attribute that hides no method changes nothing"
    assert used(tagged) == {"Autoencoder.step"}
    for cls, method in ((Sigmoid, "forward"), (Sequential, "backward"), (MSE, "measure")):
        model = make()
        assert "Autoencoder.step" in used(model)  # its plan is cached
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cls, method, lambda *arguments: pytest.fail("unused"))
            with pytest.raises(pytest.fail.Exception, match="unused"):
                used(model)
        assert "Autoencoder.step" in used(model)


def test_without_twins_only_here(rng: np.random.Generator) -> None:
    """``definitions_only`` affects only its own thread."""
    model, x = make(), images(32)

    def names() -> set[str]:
        with watching() as used:
            model.objective(x)
        return used - {"Module.params"}

    with definitions_only(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(names).result() == {"Sequential.forward"}
    with definitions_only():
        y, _ = model.encoder.forward(x)
    np.testing.assert_allclose(model.encoder.forward(x)[0], y, rtol=1e-6)


def test_who_watches_and_who_forbids_do_not_get_in_each_others_way() -> None:
    model, x = make(), images(32)
    with definitions_only(), watching() as used:
        model.backprop(x)
    assert used == set()
    with watching() as outer:
        with watching() as inner:
            model.backprop(x)
        with definitions_only():
            model.objective(x)
    assert inner == {"Autoencoder.step"}
    assert outer == inner


def test_a_copy_has_plans_of_its_own() -> None:
    model, x = make(), images(32)
    model.backprop(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        before = {name: p.grad.copy() for name, p in model.params.items()}
        other.backprop(x)
        for name, p in other.params.items():
            np.testing.assert_array_equal(model.params[name].grad, before[name])
            np.testing.assert_allclose(p.grad, 2 * before[name], rtol=1e-4, atol=1e-8)


def test_plans_go_with_the_model() -> None:
    entries = len(plan_cache._entries)
    for _ in range(5):
        make().backprop(images(32))
    gc.collect()
    assert len(plan_cache._entries) <= entries


# --- consecutive dense layers, run by one kernel ---------------------------------------------------


def in_a_row(rng) -> Sequential:
    parts = [Flatten(), Dense(12, 9, rng=rng), ReLU(), Dense(9, 5, rng=rng), Dense(5, 7, rng=rng)]
    parts += [Sigmoid(), ELU(0.5), Dense(7, 10, rng=rng), ELU(0.7), BatchNorm(10)]
    parts += [Dense(10, 4, rng=rng), Tanh(), Reshape(2, 2)]
    return Sequential(*parts).astype(np.float64)


def one_by_one(model: Sequential, x, dy):
    """y, caches and dx of the layers themselves."""
    caches, y = [], x
    for layer in model.layers:
        y, cache = layer.forward(y)
        caches.append(cache)
    for layer, cache in zip(reversed(model.layers), reversed(caches)):
        dy = layer.backward(dy, cache)
    return y, caches, dy


def take_grads(model: Sequential) -> dict[str, np.ndarray]:
    taken = {name: p.grad.copy() for name, p in model.params.items()}
    for p in model.params.values():
        p.grad[...] = 0
    return taken


@pytest.mark.parametrize("n", [2, 15, 16, 37])
def test_dense_layers_in_a_row_are_the_layers_one_by_one(n, rng):
    model = in_a_row(rng)
    x, dy = rng.normal(size=(n, 3, 4)), rng.normal(size=(n, 2, 2))
    y, caches, dx = one_by_one(model, x, dy)
    grads = take_grads(model)
    got, found = model.forward(x)
    np.testing.assert_allclose(got, y, atol=1e-12)
    np.testing.assert_allclose(model.backward(dy, found), dx, atol=1e-12)
    for name, grad in take_grads(model).items():
        np.testing.assert_allclose(grad, grads[name], atol=1e-12, err_msg=name)
    model.backward_params(dy, caches)  # the caches are interchangeable
    for name, grad in take_grads(model).items():
        np.testing.assert_allclose(grad, grads[name], atol=1e-12, err_msg=name)
    np.testing.assert_allclose(model.backward_input(dy, found), dx, atol=1e-12)


@pytest.mark.parametrize("last", [Dense, ELU])
def test_gradients_of_dense_layers_in_a_row(last, rng):
    parts = [Dense(6, 5, rng=rng), Sigmoid(), Dense(5, 9, rng=rng), ReLU(), Dense(9, 3, rng=rng)]
    model = Sequential(*parts, *([ELU()] if last is ELU else []))
    report = gradcheck.check(model, rng.normal(size=(20, 6)))
    assert report.ok, report


class TestParts:
    def kinds(self, *parts) -> list[str]:
        return [type(part).__name__ for part, _ in fuse_layers(parts)]

    def test_a_run_begins_with_a_dense_layer_and_ends_before_what_is_none(self, rng):
        a, b = Dense(4, 3, rng=rng), Dense(3, 2, rng=rng)
        assert self.kinds(a, ReLU(), b) == ["FusedMLP"]
        assert self.kinds(ReLU(), a, Tanh(), Tanh(), b) == [
            *("ReLU", "FusedMLP", "Tanh", "FusedMLP")
        ]
        assert self.kinds(a, GELU(), Flatten()) == ["FusedMLP", "Flatten"]
        assert self.kinds(a, Softmax(), Flatten()) == ["FusedMLP", "Softmax", "Flatten"]
        assert self.kinds() == []

    def test_a_run_of_convolutions(self, rng):
        a, b = Conv2d(1, 2, 3, rng=rng), ConvTranspose2d(2, 1, 3, rng=rng)
        assert self.kinds(a, ReLU(), b) == ["FusedConvolutions"]
        assert self.kinds(a, b, Sigmoid()) == ["FusedConvolutions", "Sigmoid"]
        assert self.kinds(a, Sigmoid(), b, ReLU(), ReLU()) == [
            *("Conv2d", "Sigmoid", "FusedConvolutions", "ReLU")
        ]
        assert self.kinds(ReLU(), a, Flatten(), Dense(4, 3, rng=rng)) == [
            *("ReLU", "Conv2d", "Flatten", "FusedMLP")
        ]

        class Mine(Conv2d):
            pass

        wrapped, odd = Conv2d(1, 2, 3, rng=rng), ReLU()
        wrapped.forward, odd.forward = a.forward, Tanh().forward
        assert self.kinds(Mine(1, 2, 3, rng=rng), ReLU()) == ["Mine", "ReLU"]
        assert self.kinds(wrapped, ReLU()) == ["Conv2d", "ReLU"]
        assert self.kinds(a, odd) == ["Conv2d", "ReLU"]

    @pytest.mark.parametrize("n", [17, 40])
    @pytest.mark.parametrize("last", [[], [ReLU()], [Tanh()]], ids=repr)
    def test_convolutions_as_one_are_the_layers_one_by_one(self, n, last, rng):
        layers = [
            *(Conv2d(1, 9, 3, 2, "same", rng=rng), ReLU(), Conv2d(9, 4, 3, rng=rng), ReLU()),
            *(ConvTranspose2d(4, 3, 3, 2, 1, 1, rng=rng), Conv2d(3, 2, 3, rng=rng), *last),
        ]
        as_one = Sequential(*layers)
        alone = copy.deepcopy(as_one)
        x = rng.normal(size=(n, 1, 12, 12)).astype(np.float32)
        y, caches = as_one.forward(x)
        dy = rng.normal(size=y.shape).astype(np.float32)
        dx = as_one.backward(dy, caches)
        as_one.backward_params(dy, caches)
        with definitions_only():
            want, want_caches = alone.forward(x)
        np.testing.assert_allclose(y, want, atol=1e-5)
        for got, cache in zip(caches, want_caches):
            np.testing.assert_allclose(got, cache, atol=1e-5)
        with definitions_only():
            want_dx = alone.backward(dy, want_caches)
            alone.backward_params(dy, want_caches)
        np.testing.assert_allclose(dx, want_dx, atol=1e-4)
        for name, p in alone.params.items():
            np.testing.assert_allclose(as_one.params[name].grad, p.grad, rtol=1e-3, atol=1e-2)

    @pytest.mark.parametrize("n", [17, 40])
    @pytest.mark.parametrize("last", [[], [BatchNorm(2)], [BatchNorm(2), ReLU()]], ids=repr)
    def test_convolutions_with_norms_are_the_layers_one_by_one(self, n, last, rng):
        layers = [
            *(Conv2d(1, 9, 3, 2, "same", rng=rng), BatchNorm(9), ReLU(), Conv2d(9, 4, 3, rng=rng)),
            *(BatchNorm(4), ConvTranspose2d(4, 2, 3, 2, 1, 1, rng=rng), *copy.deepcopy(last)),
        ]
        as_one = Sequential(*layers).astype(np.float64)
        for p in as_one.params.values():
            p.value += rng.normal(size=p.shape) / 2
        assert self.kinds(*layers) == ["FusedConvolutions"]
        alone = copy.deepcopy(as_one)
        x = rng.normal(size=(n, 1, 12, 12))
        y, caches = as_one.forward(x)
        dy = rng.normal(size=y.shape)
        dx = as_one.backward(dy, caches)
        as_one.backward_params(dy, caches)
        with definitions_only():
            want, want_caches = alone.forward(x)
            want_dx = alone.backward(dy, want_caches)
            alone.backward_params(dy, want_caches)
        close = {"rtol": 1e-9, "atol": 1e-9 * np.abs(want_dx).max()}
        np.testing.assert_allclose(y, want, **close)
        np.testing.assert_allclose(dx, want_dx, **close)
        for name, p in alone.params.items():
            got = as_one.params[name].grad
            np.testing.assert_allclose(got, p.grad, rtol=1e-9, atol=1e-8, err_msg=name)
        for a, b in zip(as_one.layers, alone.layers):
            if isinstance(a, BatchNorm):
                np.testing.assert_allclose(a.running_mean, b.running_mean, rtol=1e-9, atol=1e-12)
                np.testing.assert_allclose(a.running_var, b.running_var, rtol=1e-9)
        with definitions_only():  # the definition's way back from the twin's caches
            np.testing.assert_allclose(copy.deepcopy(alone).backward(dy, caches), want_dx, **close)

    def test_a_norm_of_other_channels_is_left_for_itself_to_refuse(self, rng):
        a = Conv2d(1, 2, 3, rng=rng)
        assert self.kinds(a, BatchNorm(3)) == ["Conv2d", "BatchNorm"]
        with pytest.raises(ValueError, match="BatchNorm: x has shape"):
            Sequential(a, BatchNorm(3)).forward(np.ones((20, 1, 6, 6), np.float32))
        assert self.kinds(a, BatchNorm(2, dtype=np.float64)) == ["Conv2d", "BatchNorm"]
        assert self.kinds(a, ReLU(), BatchNorm(2)) == ["FusedConvolutions", "BatchNorm"]

    def test_images_that_do_not_fit_are_for_the_convolution_to_name(self, rng):
        model = Sequential(Conv2d(1, 2, 3, rng=rng), ReLU(), Conv2d(3, 2, 3, rng=rng))
        with pytest.raises(ValueError, match=r"Conv2d: x has shape \(20, 2, 4, 4\), expected"):
            model.forward(np.ones((20, 1, 6, 6), np.float32))
        with pytest.raises(TypeError, match="Conv2d: x is float64"):
            model.forward(np.ones((20, 1, 6, 6)))

    def test_what_may_compute_something_else_is_left_alone(self, rng):
        class Mine(Dense):
            pass

        class MyReLU(ReLU):
            pass

        dense, wrapped_relu = Dense(4, 4, rng=rng), ReLU()
        odd, wide, wrapped = (Dense(4, 4, rng=rng) for _ in range(3))
        odd.W = Dense(3, 4, rng=rng).W
        wide.b = Param(np.zeros(4))  # float64 beside float32
        wrapped.forward = dense.forward
        wrapped_relu.forward = Tanh().forward
        assert self.kinds(Mine(4, 4, rng=rng), MyReLU()) == ["Mine", "MyReLU"]
        assert self.kinds(dense, MyReLU()) == ["FusedMLP", "MyReLU"]
        assert self.kinds(dense, wrapped_relu) == ["FusedMLP", "ReLU"]
        assert self.kinds(odd, wide, wrapped, TiedDense(dense)) == ["Dense"] * 3 + ["TiedDense"]

    def test_sizes_that_do_not_fit_are_for_the_layer_to_name(self, rng):
        model = Sequential(Dense(4, 3, rng=rng), Dense(2, 5, rng=rng))
        with pytest.raises(ValueError, match=r"Dense: x has shape \(20, 3\), expected \(N, 2\)"):
            model.forward(np.ones((20, 4), np.float32))
        for x in (np.ones((20, 5), np.float32), np.ones((20, 4)), [[1.0] * 4] * 20):
            with pytest.raises((ValueError, TypeError), match="Dense: x "):
                model.forward(x)

    def test_a_gradient_of_another_shape_or_dtype(self, rng):
        model, x = Sequential(Dense(4, 3, rng=rng), Tanh()), rng.random((20, 4), np.float32)
        y, caches = model.forward(x)
        for dy in (y[:19], y[:, :2], y[:, :, None]):
            with pytest.raises(ValueError, match=r"dy has shape .*expected \(20, 3\)"):
                model.backward(dy, caches)
        assert not model.params["0.W"].grad.any()
        for dy in (y.astype(np.float64), np.asfortranarray(y), y[::-1][::-1]):
            want = model.backward(y, caches)
            np.testing.assert_allclose(model.backward(dy, caches), want, atol=1e-6)

    def test_a_change_is_seen(self, rng):
        model, x = Sequential(Dense(4, 3, rng=rng), ELU(1.0)), -np.ones((20, 4), np.float32)
        model.layers[0].b.value[...] = -9
        before = model.forward(x)[0]
        model.layers[1].alpha = 3.0
        np.testing.assert_allclose(model.forward(x)[0], 3 * before, rtol=1e-6)
        model.layers = (model.layers[0],)
        assert (model.forward(x)[0] < -3).all()
        model.layers[0].W = Dense(4, 3, init=Zeros()).W
        np.testing.assert_array_equal(model.forward(x)[0], np.full((20, 3), -9, np.float32))

    def test_running_statistics_are_no_change(self, rng, monkeypatch):
        model = Sequential(Dense(4, 3, rng=rng), Tanh(), BatchNorm(3))
        x, looks = rng.random((20, 4), np.float32), []
        monkeypatch.setattr(
            sequential, "fuse_layers", lambda parts: looks.append(1) or fuse_layers(parts)
        )
        for _ in range(5):
            model.backward_params(*model.forward(x))
        assert len(looks) == 1

    def test_a_batch_of_another_size_each_time(self, rng):
        model = Sequential(Dense(4, 3, rng=rng), Tanh(), Dense(3, 4, rng=rng))
        for n in [*range(16, 40), 16]:
            x = rng.random((n, 4), np.float32)
            y, _, dx = one_by_one(model, x, x)
            got, found = model.forward(x)
            np.testing.assert_allclose(got, y, atol=1e-6)
            np.testing.assert_allclose(model.backward(x, found), dx, atol=1e-6)


class TestAtOnce:
    """A step of only dense layers runs in one kernel, with the same results as layer by layer."""

    @pytest.fixture
    def counted(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """The results of all calls of the kernel."""
        calls: list[Any] = []
        kernel = kernels.mlp_backprop

        def count(*arguments: Any) -> Any:
            calls.append(kernel(*arguments))
            return calls[-1]

        monkeypatch.setattr(kernels, "mlp_backprop", count)
        return calls

    def by_layers(self, model: Autoencoder, x: Any) -> tuple[Any, dict[str, np.ndarray]]:
        twin = copy.deepcopy(model)
        with definitions_only():
            terms = twin.backprop(x)
        return terms, {name: p.grad for name, p in twin.params.items()}

    @pytest.mark.parametrize("loss", [MSE(), L1(), BCEWithLogits()], ids=repr)
    @pytest.mark.parametrize("last", [Sigmoid(), ELU(0.5), Reshape(12)], ids=repr)
    def test_it_is_the_step_of_the_layers(self, loss: Loss, last: Layer, counted: list) -> None:
        model, x = make(loss, last=last), images(40)
        want, grads = self.by_layers(model, x)
        got = model.backprop(x)
        assert len(counted) == 1
        assert got == pytest.approx(want, rel=1e-6)
        for name, p in model.params.items():
            np.testing.assert_allclose(p.grad, grads[name], rtol=1e-4, atol=1e-7)

    def test_a_pair_of_other_shapes(self, counted: list) -> None:
        rng = np.random.default_rng(0)
        encoder, decoder = Dense(12, 3, rng=rng), Sequential(Dense(3, 5, rng=rng), Tanh())
        model = DenoisingAutoencoder(encoder, decoder, L1())
        pair = images(20).reshape(20, 12), rng.random((20, 5), dtype=np.float32)
        want, grads = self.by_layers(model, pair)
        assert model.backprop(pair) == pytest.approx(want, rel=1e-6)
        assert len(counted) == 1
        np.testing.assert_allclose(encoder.W.grad, grads["encoder.W"], rtol=1e-4, atol=1e-7)

    def test_a_batch_that_lies_otherwise_in_memory(self, counted: list) -> None:
        model, x = make(), images(40)
        want, _ = self.by_layers(model, x[::2])
        turned = np.ascontiguousarray(x[::2].transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
        assert model.backprop(x[::2]) == pytest.approx(want, rel=1e-6)
        assert model.backprop(turned) == pytest.approx(want, rel=1e-6)
        assert len(counted) == 2

    def test_what_may_compute_something_else_is_left_to_the_layers(self, counted: list) -> None:
        class HalfMSE(MSE):
            def measure(self, y, target):
                L, dy = super().measure(y, target)
                return L / 2, dy / 2

        class Mine(Sequential):
            pass

        changed, patched, tied, derived = make(), make(), make(), make()
        changed.loss.measure = HalfMSE().measure
        patched.encoder.forward = make().encoder.forward
        tied.decoder = Sequential(TiedDense(tied.encoder.layers[1]), Reshape(1, 3, 4))
        derived.encoder = Mine(*derived.encoder.layers)
        for model in (make(BCE()), make(HalfMSE()), noisy(), changed, patched, tied, derived):
            want, _ = self.by_layers(model, images(20))
            assert copy.deepcopy(model).backprop(images(20)) == want
        make().backprop(images(15))  # too few samples to fuse
        assert counted == []

    def test_what_does_not_fit_is_named_by_layer_or_loss(self, counted: list) -> None:
        model, x = make(BCEWithLogits()), images(20)
        for bad, kind, words in (
            (x.astype(np.float64), TypeError, "Dense: x is float64"),
            (x[:, :, :2], ValueError, r"Dense: x has shape \(20, 8\)"),
            (2 * x, ValueError, "BCEWithLogits: the target lies in"),
            (x.reshape(20, 12), ValueError, r"y has shape \(20, 1, 3, 4\), the target \(20, 12\)"),
        ):
            with pytest.raises(kind, match=words):
                model.backprop(bad)
            assert not any(p.grad.any() for p in model.params.values())
        assert counted == []

    def test_a_change_of_the_model_is_seen(self, counted: list) -> None:
        model, x = make(), images(20)
        model.backprop(x)
        model.loss = L1()
        assert model.backprop(x) == pytest.approx(self.by_layers(model, x)[0], rel=1e-6)
        model.decoder = make(seed=5).decoder
        assert model.backprop(x) == pytest.approx(self.by_layers(model, x)[0], rel=1e-6)
        model.decoder.layers[0].W.value[...] = 0
        assert model.backprop(x) == pytest.approx(self.by_layers(model, x)[0], rel=1e-6)
        assert len(counted) == 4


class TestMicrobatches:
    """Convolutions process a batch in micro-batches, with the same results."""

    def convolutional(
        self, loss: Loss | None = None, kind: type[Conv2d] = Conv2d, *more: Layer
    ) -> Autoencoder:
        rng = np.random.default_rng(3)
        encoder = Sequential(
            *(kind(1, 4, 3, 2, "same", rng=rng), ReLU(), MaxPool2d(2)),
            *(Flatten(), Dense(64, 5, rng=rng), *more),
        )
        decoder = Sequential(
            *(Dense(5, 64, rng=rng), LeakyReLU(), Reshape(4, 4, 4), Upsample2d(2)),
            *(ConvTranspose2d(4, 1, 3, 2, "same", rng=rng), Sigmoid()),
        )
        return Autoencoder(encoder, decoder, loss or MSE())

    def pictures(self, n: int) -> np.ndarray:
        return np.random.default_rng(n).random((n, 1, 16, 16), dtype=np.float32)

    @pytest.fixture
    def sizes(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The number of samples in each micro-batch, with a cache that fits 32."""
        monkeypatch.setattr(microbatches, "CACHE_BYTES", 1 << 15)
        sizes: list[int] = []

        def count(*arguments: Any) -> Any:
            batches = microbatches.microbatches(*arguments)
            sizes.extend(len(batch.x) for batch in batches)
            return batches

        monkeypatch.setattr(steps, "microbatches", count)
        return sizes

    def whole(self, model: Autoencoder, x: Any) -> tuple[Any, dict[str, np.ndarray]]:
        twin = copy.deepcopy(model)
        with definitions_only():
            terms = twin.backprop(x)
        return terms, {name: p.grad for name, p in twin.params.items()}

    @pytest.mark.parametrize("loss", [MSE(), L1(), BCEWithLogits()], ids=repr)
    @given(n=st.integers(1, 150))
    @settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_it_is_the_step_of_the_whole(self, loss: Loss, sizes: list[int], n: int) -> None:
        model, x = self.convolutional(loss), self.pictures(n)
        want, grads = self.whole(model, x)
        sizes.clear()
        assert model.backprop(x) == pytest.approx(want, rel=1e-6)
        if n < 64:
            assert sizes == []  # it would be one micro-batch
        else:
            assert sum(sizes) == n
            assert len(sizes) == n // 32
            assert min(sizes) >= 32
            assert max(sizes) < 64
        for name, p in model.params.items():
            np.testing.assert_allclose(p.grad, grads[name], rtol=1e-4, atol=1e-7)

    def test_as_many_as_the_cache_bears(self, sizes: list[int], monkeypatch) -> None:
        model, x = self.convolutional(), self.pictures(200)
        monkeypatch.setattr(microbatches, "CACHE_BYTES", 100 * x[0].nbytes)  # the largest output
        model.backprop(x)
        assert sizes == [96, 104]

    def test_layers_that_mix_samples_draw_or_are_changed_see_all(self, sizes: list[int]) -> None:
        class Mine(Conv2d):
            pass

        rng, x = np.random.default_rng(0), self.pictures(70)
        patched, changed = self.convolutional(), self.convolutional()
        patched.encoder.layers[0].forward = self.convolutional().encoder.layers[0].forward
        changed.loss.measure = L1().measure
        for model in (
            self.convolutional(None, Mine),
            self.convolutional(None, Conv2d, BatchNorm(5)),
            self.convolutional(None, Conv2d, Dropout(0.5, rng=rng)),
            self.convolutional(None, Conv2d, TopK(2)),
            self.convolutional(BCE()),
            patched,
            changed,
        ):
            sizes.clear()
            model.backprop(x)
            assert sizes == []

    def test_what_does_not_fit_is_named_before_any_gradient(self, sizes: list[int]) -> None:
        model, x = self.convolutional(BCEWithLogits()), self.pictures(70)
        late = x.copy()
        late[69] = 2
        for bad, kind, words in (
            (x.astype(np.float64), TypeError, "Conv2d: x is float64"),
            (x[:, :, :, :8], ValueError, r"Dense: x has shape \(70, 32\)"),
            (late, ValueError, "BCEWithLogits: the target lies in"),
        ):
            with pytest.raises(kind, match=words):
                model.backprop(bad)
            assert not any(p.grad.any() for p in model.params.values())

    def test_a_pair_of_other_shapes(self, sizes: list[int]) -> None:
        rng, x = np.random.default_rng(0), self.pictures(70)
        model = DenoisingAutoencoder(
            Conv2d(1, 4, 3, 2, "same", rng=rng), Conv2d(4, 2, 3, padding="same", rng=rng), L1()
        )
        pair = x, rng.random((70, 2, 8, 8), dtype=np.float32)
        want, grads = self.whole(model, pair)
        assert model.backprop(pair) == pytest.approx(want, rel=1e-6)
        assert sizes == [32, 38]
        with pytest.raises(
            ValueError, match=r"y has shape \(70, 2, 8, 8\), the target \(70, 2, 8\)"
        ):
            model.backprop((x, pair[1][..., 0]))
        np.testing.assert_allclose(model.encoder.W.grad, grads["encoder.W"], rtol=1e-4, atol=1e-7)
