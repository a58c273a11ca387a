"""State that is kept by identity or by address survives a copy: deep copies, pickles, processes."""

import copy
import inspect
import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest
import used_objects

import tinyae as ta

OPTIMIZERS = [ta.SGD, ta.Momentum, ta.Nesterov, ta.RMSProp, ta.Adam, ta.AdamW]
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
X = np.random.default_rng(0).random((40, 12), np.float32)


def trained(kind: type[ta.optim.Optimizer] = ta.Adam, steps: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    model = ta.Autoencoder(*ta.dense_encoder_decoder([12], [5], rng=rng), ta.MSE())
    optimizer = kind(1e-2)
    go_on(model, optimizer, steps)
    return model, optimizer


def go_on(model: Any, optimizer: Any, steps: int = 1) -> dict[str, np.ndarray]:
    for _ in range(steps):
        model.backprop(X)
        optimizer.step(model.params)
    return values(model)


def values(model: Any) -> dict[str, np.ndarray]:
    return {name: p.value.copy() for name, p in model.params.items()}


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)


def pickled(protocol: int) -> Any:
    return lambda pair: pickle.loads(pickle.dumps(pair, protocol))


def optimizer_first(pair: Any) -> Any:
    optimizer, model = copy.deepcopy((pair[1], pair[0]))
    return model, optimizer


COPIES = [copy.deepcopy, optimizer_first, *map(pickled, PROTOCOLS)]
NAMES = ["deepcopy", "deepcopy, optimizer first", *(f"pickle {p}" for p in PROTOCOLS)]


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("clone", COPIES, ids=NAMES)
def test_a_model_and_its_optimizer_are_copied_together(
    clone: Any, kind: Any, kernel_set: str
) -> None:
    model, optimizer = trained(kind)
    before = values(model)
    copied = clone((model, optimizer))
    after = go_on(*copied)
    assert_same(values(model), before)  # the original has not moved
    assert_same(go_on(model, optimizer), after)  # and goes the same way
    again = clone(clone(copied))
    assert_same(go_on(*again), go_on(*copied))


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
def test_a_copy_of_an_optimizer_goes_on_with_the_same_model(kind: Any, kernel_set: str) -> None:
    model, optimizer = trained(kind)
    twin, twins_optimizer = copy.deepcopy((model, optimizer))
    alone = copy.deepcopy(optimizer)
    assert_same(go_on(model, alone), go_on(twin, twins_optimizer))
    model.backprop(X)
    kept = {name: a.copy() for name, a in optimizer.state_arrays(model.params).items()}
    alone.step(model.params)
    for name, a in optimizer.state_arrays(model.params).items():
        np.testing.assert_array_equal(a, kept[name])  # the original's moments are its own


def _one_step(pair: Any) -> dict[str, np.ndarray]:
    return go_on(*pair)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_model_goes_on_in_another_process(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    model, optimizer = trained()
    with multiprocessing.get_context(method).Pool(1) as pool:
        there = pool.map_async(_one_step, [(model, optimizer)]).get(timeout=120)[0]
    assert_same(there, go_on(model, optimizer))


def test_a_gradient_is_like_its_value() -> None:
    value = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match=r"grad has shape \(2, 2\), expected \(3, 2\)"):
        ta.Param(value, np.zeros((2, 2), np.float32))
    with pytest.raises(TypeError, match="grad is float64, expected float32"):
        ta.Param(value, np.zeros((3, 2)))


@pytest.mark.parametrize("frozen", ["value", "grad"])
def test_what_cannot_be_written_is_named_before_anything_moves(
    frozen: str, kernel_set: str
) -> None:
    model, optimizer = trained(steps=0)
    getattr(model.encoder.layers[0].W, frozen).flags.writeable = False
    before = values(model)
    with pytest.raises(ValueError, match=rf"encoder\.0\.W.*{frozen}.*read-only"):
        ta.fit(model, X, epochs=1, progress=False)
    for p in model.params.values():
        if p.grad.flags.writeable:
            p.grad[...] = 1
    with pytest.raises(ValueError, match=rf"encoder\.0\.W.*{frozen}.*read-only"):
        optimizer.step(model.params)
    assert_same(values(model), before)
    assert optimizer.t == 0


def test_a_model_on_a_memory_map_infers_and_says_that_it_cannot_learn(tmp_path: Any) -> None:
    model, _ = trained()
    dense, want = model.encoder.layers[0], model.reconstruct(X)
    np.save(tmp_path / "w.npy", dense.W.value)
    dense.W = ta.Param(np.load(tmp_path / "w.npy", mmap_mode="r"))
    np.testing.assert_array_equal(model.reconstruct(X), want)
    with pytest.raises(ValueError, match="read-only"):
        ta.fit(model, X, epochs=1, progress=False)


@pytest.mark.parametrize("frozen", ["value", "grad"])
def test_what_became_read_only_after_a_step_stays_as_it_is(frozen: str, kernel_set: str) -> None:
    model, optimizer = trained(steps=1)
    array = getattr(model.encoder.layers[0].W, frozen)
    model.backprop(X)
    array.flags.writeable = False
    before = (
        values(model),
        array.copy(),
        optimizer.state_arrays(model.params)["encoder.0.W/m"].copy(),
    )
    if frozen == "grad":
        with pytest.raises(ValueError, match="read-only"):
            model.backprop(X)
    with pytest.raises(ValueError, match=rf"encoder\.0\.W.*{frozen}.*read-only"):
        optimizer.step(model.params)
    assert_same(values(model), before[0])
    np.testing.assert_array_equal(array, before[1])
    np.testing.assert_array_equal(optimizer.state_arrays(model.params)["encoder.0.W/m"], before[2])


# --- every public object --------------------------------------------------------------------------

NAMES_OF_OBJECTS = sorted(used_objects.MAKERS)
ABSTRACT = {"Model", "Module", "Layer", "ParameterFree", "Activation", "TrainingDiverged"}


def test_every_public_class_is_tried() -> None:
    public = {name for name in ta.__all__ if inspect.isclass(getattr(ta, name))}
    assert public - ABSTRACT <= {name.split()[0] for name in NAMES_OF_OBJECTS}


@pytest.mark.parametrize("name", NAMES_OF_OBJECTS)
def test_a_copy_goes_on_as_the_object_does(name: str, kernel_set: str) -> None:
    thing = used_objects.MAKERS[name]()
    used_objects.use(name, thing)
    for clone in (copy.deepcopy, *map(pickled, PROTOCOLS)):
        copied = clone(thing)
        before = pickle.dumps(clone(thing))
        there = used_objects.use(name, copied), used_objects.use(name, copied)
        assert pickle.dumps(clone(thing)) == before, "using the copy changed the object"
        here = clone(thing)
        assert (used_objects.use(name, here), used_objects.use(name, here)) == there


def _use_all(things: dict[str, Any]) -> dict[str, bytes]:
    return {name: used_objects.use(name, thing) for name, thing in things.items()}


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_used_objects_go_on_in_another_process(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    things = {name: make() for name, make in used_objects.MAKERS.items()}
    _use_all(things)
    with multiprocessing.get_context(method).Pool(1) as pool:
        there = pool.map_async(_use_all, [things]).get(timeout=300)[0]
    for name, result in _use_all(things).items():
        assert there[name] == result, name
