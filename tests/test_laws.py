"""One table, every layer × every law.

The rows are in :mod:`tinyae.catalog`; hypothesis draws shapes, strides, paddings and the seed of the
values. Each law below is one test. An exported layer class that is missing in the catalog fails the
suite, and so does a wrong backward.
"""

import copy
import inspect
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import catalog, gradcheck, layers, losses, models
from tinyae.param import unique

pytestmark = pytest.mark.usefixtures("kernel_set")

every_layer = pytest.mark.parametrize("row", catalog.LAYERS, ids=lambda row: row.name)
every_loss = pytest.mark.parametrize("row", catalog.LOSSES, ids=lambda row: row.name)
every_model = pytest.mark.parametrize("row", catalog.MODELS, ids=lambda row: row.name)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
measured = settings(max_examples=10)  # for laws that run a gradient check
quick = settings(max_examples=5)


def case(data, row):
    """(layer, x, rng) of a layer's row, float64."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    return (*row.draw(lambda low, high: data.draw(st.integers(low, high)), rng), rng)


def same_noise(layer):
    """A copy with its generators in the same state, so that it draws the same noise."""
    return copy.deepcopy(layer)


def gradients(layer):
    return {name: p.grad.copy() for name, p in unique(layer.params).items()}


def assert_same(a, b):
    """Assert that arrays, or trees of arrays, are equal."""
    assert pickle.dumps(a) == pickle.dumps(b)


def close(a, b, what=""):
    eps = np.finfo(np.result_type(a)).eps
    size = max(1.0, float(np.abs(b).max(initial=0)))
    np.testing.assert_allclose(a, b, rtol=1e3 * eps, atol=1e3 * eps * size, err_msg=what)


# --- the table --------------------------------------------------------------------------------


ABSTRACT = {"Layer", "Activation", "ParameterFree"}


def classes(module, base):
    found = {name: c for name, c in vars(module).items() if inspect.isclass(c)}
    return {name for name, c in found.items() if issubclass(c, base) and name[0] != "_"}


def test_every_layer_class_is_in_the_table():
    table = {row.name.split()[0] for row in catalog.LAYERS}
    exported = classes(layers, layers.Layer) | (classes(ta, layers.Layer))
    assert exported - ABSTRACT == table, "add a row to tinyae/catalog.py; an activation needs none"


def test_every_loss_and_model_is_in_the_table():
    table = {row.name.split()[0] for row in catalog.LOSSES}
    assert classes(losses, losses.Loss) - {"Loss"} == table
    table = {row.name.split()[0] for row in catalog.MODELS}
    assert classes(models, models.Model) - {"Model"} == table


@every_layer
@quick
@given(data=st.data())
def test_a_row_draws_what_its_name_says(row, data):
    layer, x, _ = case(data, row)
    assert type(layer).__name__ == row.name.split()[0]
    assert x.dtype == (np.int64 if layer.whole_input else np.float64)
    assert layer.params == {} or layer.dtype == np.float64


# --- laws of layers ---------------------------------------------------------------------------


@every_layer
@measured
@given(data=st.data())
def test_backward_is_the_gradient_of_forward(row, data):
    layer, x, rng = case(data, row)
    report = gradcheck.check(layer, x, rng=rng, max_entries=60)
    assert report.ok, report


@every_layer
@measured
@given(data=st.data())
def test_tangent_is_the_derivative_of_forward_and_has_its_own(row, data):
    layer, x, rng = case(data, row)
    if not row.tangent:
        cache = layer.forward(x)[1]
        with pytest.raises(NotImplementedError, match="has no tangent"):
            layer.tangent(x, cache)
        return
    report = gradcheck.check_tangent(layer, x, rng=rng, max_entries=30)
    assert report.ok, report


@every_layer
@quick
@given(data=st.data())
def test_calling_is_forward_without_the_cache(row, data):
    layer, x, _ = case(data, row)
    y = layer(x)
    if row.two_modes:
        close(y, row.inference(layer, x))
    else:
        np.testing.assert_array_equal(y, layer.forward(x)[0])


@every_layer
@quick
@given(data=st.data())
def test_a_batch_is_its_rows_one_by_one(row, data):
    layer, x, _ = case(data, row)
    close(layer(x), np.concatenate([layer(x[i : i + 1]) for i in range(len(x))]))


@every_layer
@quick
@given(data=st.data())
def test_calling_changes_nothing(row, data):
    layer, x, _ = case(data, row)
    before = pickle.dumps(layer)
    layer(x)
    assert pickle.dumps(layer) == before


@every_layer
@quick
@given(data=st.data())
def test_nothing_given_is_written_into(row, data):
    layer, x, rng = case(data, row)
    given_x = x.copy()
    y, cache = layer.forward(given_x)
    y_before, cache_before = y.copy(), copy.deepcopy(cache)
    dy = rng.normal(size=y.shape)
    given_dy = dy.copy()
    layer.backward(given_dy, cache)
    layer.backward_params(given_dy, cache)
    if row.tangent:
        xdot = rng.normal(size=x.shape)
        given_xdot = xdot.copy()
        _, tcache = layer.tangent(given_xdot, cache)
        layer.tangent_backward(given_dy, tcache)
        np.testing.assert_array_equal(given_xdot, xdot)
    layer(given_x)
    np.testing.assert_array_equal(given_x, x)
    np.testing.assert_array_equal(given_dy, dy)
    np.testing.assert_array_equal(y, y_before)
    assert_same(cache, cache_before)


@every_layer
@quick
@given(data=st.data())
def test_read_only_and_strided_arrays_are_as_good(row, data):
    layer, x, rng = case(data, row)
    other = same_noise(layer)
    y, cache = layer.forward(x)
    dy = rng.normal(size=y.shape)
    dx = layer.backward(dy, cache)
    # Batch innermost in memory, as the convolutions store it, and read-only.
    strided = [np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0) for a in (x, dy)]
    for a in strided:
        a.flags.writeable = False
    y2, cache = other.forward(strided[0])
    close(y2, y)
    close(other.backward(strided[1], cache), dx)
    for name, grad in gradients(other).items():
        close(grad, layer.params[name].grad, name)


@every_layer
@both_dtypes
@quick
@given(data=st.data())
def test_the_dtype_is_kept(row, dtype, data):
    layer, x, rng = case(data, row)
    layer, x = layer.astype(dtype), x.astype(dtype)
    y, cache = layer.forward(x)
    dy = rng.normal(size=y.shape).astype(dtype)
    assert y.dtype == layer(x).dtype == layer.backward(dy, cache).dtype == dtype
    assert all(p.value.dtype == p.grad.dtype == dtype for p in layer.params.values())
    assert all(a.dtype == dtype for a in layer.state.values())
    if row.tangent:
        ydot, tcache = layer.tangent(x, cache)
        dxdot, dx = layer.tangent_backward(dy, tcache)
        assert ydot.dtype == dxdot.dtype == dtype
        assert dx is None or dx.dtype == dtype


@every_layer
@quick
@given(data=st.data())
def test_float32_is_float64_rounded(row, data):
    layer, x, rng = case(data, row)
    single, x32 = layer.astype(np.float32), x.astype(np.float32)
    layer, x = single.astype(np.float64), x32.astype(np.float64)
    y, cache = layer.forward(x)
    y32, cache32 = single.forward(x32)
    dy = rng.normal(size=y.shape).astype(np.float32)
    close(y32, y)
    close(single.backward(dy, cache32), layer.backward(dy.astype(np.float64), cache))
    for name, grad in gradients(single).items():
        close(grad, layer.params[name].grad, name)


@every_layer
@quick
@given(data=st.data())
def test_gradients_add(row, data):
    layer, x, rng = case(data, row)
    y, cache = layer.forward(x)
    dy = rng.normal(size=y.shape)
    dx = layer.backward(dy, cache)
    once = gradients(layer)
    assert_same(layer.backward(dy, cache), dx)
    for name, grad in gradients(layer).items():
        close(grad, 2 * once[name], name)


@every_layer
@quick
@given(data=st.data())
def test_backward_is_linear_in_the_upstream_gradient(row, data):
    layer, x, rng = case(data, row)
    y, cache = layer.forward(x)
    a, b = rng.normal(size=y.shape), rng.normal(size=y.shape)
    dx = layer.backward(a, cache) + 3 * layer.backward(b, cache)
    close(layer.backward(a + 3 * b, cache), dx)


@every_layer
@quick
@given(data=st.data())
def test_two_forwards_then_two_backwards(row, data):
    layer, x, rng = case(data, row)
    apart = same_noise(layer)
    x2 = row.values(layer, x.shape, rng)
    y, cache = layer.forward(x)
    _, cache2 = layer.forward(x2)
    dy, dy2 = rng.normal(size=y.shape), rng.normal(size=y.shape)
    dx2, dx = layer.backward(dy2, cache2), layer.backward(dy, cache)
    np.testing.assert_array_equal(apart.backward(dy, apart.forward(x)[1]), dx)
    np.testing.assert_array_equal(apart.backward(dy2, apart.forward(x2)[1]), dx2)
    for name, grad in gradients(apart).items():
        close(layer.params[name].grad, grad, name)


@every_layer
@quick
@given(data=st.data())
def test_backward_params_is_backward_without_dx(row, data):
    layer, x, rng = case(data, row)
    other = same_noise(layer)
    y, cache = layer.forward(x)
    dy = rng.normal(size=y.shape)
    layer.backward(dy, cache)
    assert other.backward_params(dy, other.forward(x)[1]) is None
    for name, grad in gradients(other).items():
        close(grad, layer.params[name].grad, name)


@every_layer
@quick
@given(data=st.data())
def test_backward_input_is_backward_without_the_gradients(row, data):
    layer, x, rng = case(data, row)
    other = same_noise(layer)
    y, cache = layer.forward(x)
    dy = rng.normal(size=y.shape)
    for p in other.params.values():
        p.grad[...] = rng.normal(size=p.shape)
    before = gradients(other)
    dx = other.backward_input(dy, other.forward(x)[1])
    np.testing.assert_array_equal(dx, layer.backward(dy, cache))
    assert_same(gradients(other), before)


@every_layer
@quick
@given(data=st.data())
def test_the_trace_ends_in_the_output(row, data):
    layer, x, _ = case(data, row)
    other = same_noise(layer)
    steps = list(layer.trace(x, "net"))
    assert all(name.startswith("net") for name, _ in steps)
    np.testing.assert_array_equal(steps[-1][1], other.forward(x)[0])


@every_layer
@quick
@given(data=st.data())
def test_astype_is_a_copy(row, data):
    layer, x, rng = case(data, row)
    y, cache = layer.forward(x)
    layer.backward(rng.normal(size=y.shape), cache)
    same = layer.astype(np.float64)
    before = layer(x)
    assert type(same) is type(layer)
    assert list(same.params) == list(layer.params)
    for name, p in layer.params.items():
        q = same.params[name]
        np.testing.assert_array_equal(q.value, p.value)
        np.testing.assert_array_equal(q.grad, p.grad)
        assert not np.shares_memory(q.value, p.value)
        assert not np.shares_memory(q.grad, p.grad)
    assert len(unique(same.params)) == len(unique(layer.params))  # sharing is preserved
    for name, a in layer.state.items():
        assert not np.shares_memory(same.state[name], a)
    for a in (*(p.value for p in same.params.values()), *same.state.values()):
        a[...] = 2
    np.testing.assert_array_equal(layer(x), before)


@every_layer
@both_dtypes
@settings(max_examples=2)
@given(data=st.data())
def test_save_and_load(row, dtype, data, tmp_path):
    layer, x, rng = case(data, row)
    layer, x = layer.astype(dtype), x.astype(dtype)
    layer.forward(x)  # changes the state
    ta.save(layer, tmp_path / "layer.npz")
    loaded = ta.load(tmp_path / "layer.npz")
    assert repr(loaded) == repr(layer)
    np.testing.assert_array_equal(loaded(x), layer(x))
    assert list(loaded.params) == list(layer.params)
    assert len(unique(loaded.params)) == len(unique(layer.params))
    for name, a in layer.state.items():
        np.testing.assert_array_equal(loaded.state[name], a)
    (y, cache), (y2, cache2) = layer.forward(x), loaded.forward(x)  # its noise continues, too
    np.testing.assert_array_equal(y2, y)
    dy = rng.normal(size=y.shape).astype(dtype)
    np.testing.assert_array_equal(loaded.backward(dy, cache2), layer.backward(dy, cache))


@every_layer
@quick
@given(data=st.data())
def test_a_wrong_shape_is_refused_before_anything_changes(row, data):
    layer, x, _ = case(data, row)
    if row.wrong is None:
        return
    before, bad = pickle.dumps(layer), row.wrong(x)
    for run in (layer.forward, layer):
        with pytest.raises((ValueError, TypeError)) as error:
            run(bad)
        assert str(bad.shape[1]) in str(error.value) or str(bad.shape[-1]) in str(error.value)
    assert pickle.dumps(layer) == before


@every_layer
@settings(max_examples=2)
@given(data=st.data())
def test_a_wrong_dtype_is_refused_before_anything_changes(row, data):
    layer, x, _ = case(data, row)
    if not layer.params or layer.whole_input:  # an index may be of any dtype
        return
    before = pickle.dumps(layer)
    for run in (layer.forward, layer):
        with pytest.raises(TypeError, match="astype"):
            run(x.astype(np.float32))
    assert pickle.dumps(layer) == before


@every_layer
@quick
@given(data=st.data())
def test_both_kernel_sets_agree(row, data, kernel_set):
    layer, x, _ = case(data, row)
    results = []
    for name in ("numpy", kernel_set):
        copied = same_noise(layer)
        with ta.kernels.use(name):
            y, cache = copied.forward(x)
            dy = np.random.default_rng(0).normal(size=y.shape)
            results.append([y, copied(x), copied.backward(dy, cache), *gradients(copied).values()])
    for a, b in zip(*results):
        close(a, b)


# --- laws of losses ---------------------------------------------------------------------------


@every_loss
@given(data=st.data())
def test_a_loss_gives_its_gradient(row, data):
    loss, y, target, _ = case(data, row)
    report = gradcheck.check_loss(loss, y, target)
    assert report.ok, report


@every_loss
@both_dtypes
@quick
@given(data=st.data())
def test_a_loss_keeps_dtype_and_arrays(row, dtype, data):
    loss, y, target, _ = case(data, row)
    y, target = y.astype(dtype), target.astype(dtype)
    before = y.copy(), target.copy()
    L, dy = loss(y, target)
    assert type(L) is float
    assert L >= 0
    assert (dy.dtype, dy.shape) == (dtype, y.shape)
    np.testing.assert_array_equal(y, before[0])
    np.testing.assert_array_equal(target, before[1])


@every_loss
@quick
@given(data=st.data())
def test_a_loss_is_a_mean_over_all_elements(row, data):
    loss, y, target, _ = case(data, row)
    L, dy = loss(y, target)
    each = [loss(y[i].reshape(1), target[i].reshape(1)) for i in np.ndindex(y.shape)]
    assert pytest.approx(np.mean([one for one, _ in each])) == L
    close(dy.ravel() * dy.size, np.concatenate([one for _, one in each]))
    twice, halved = loss(np.concatenate([y, y]), np.concatenate([target, target]))
    assert twice == pytest.approx(L)
    close(halved, np.concatenate([dy, dy]) / 2)


@every_loss
@quick
@given(data=st.data())
def test_a_loss_is_least_at_its_target(row, data):
    loss, y, target, rng = case(data, row)
    if row.zero_at_target:
        L, dy = loss(y, y.copy())
        assert L == 0
        assert not dy.any()
    else:  # the cross-entropy of t with itself is t's entropy, not 0, but its dy is 0
        target = rng.uniform(0.01, 0.99, y.shape)
        best = target if row.probabilities else np.log(target / (1 - target))
        L, dy = loss(best, target)
        assert loss(y, target)[0] >= L
        np.testing.assert_allclose(dy, 0, atol=1e-13)


@every_loss
def test_a_loss_refuses_what_does_not_fit(row):
    loss, y = row.loss(), np.full((2, 3), 0.5)
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 2\)"):
        loss(y, y[:, :2])
    with pytest.raises(ValueError, match="empty"):
        loss(y[:0], y[:0])


@both_dtypes
def test_bce_is_safe_at_zero_and_one(dtype):
    y = np.array([0, 1, 0, 1, 0, 1], dtype)
    target = np.array([0, 1, 1, 0, 0.5, 0.5], dtype)
    L, dy = ta.BCE()(y, target)
    assert np.isfinite(L)
    assert np.isfinite(dy).all()
    assert dy.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    surprise = -np.log(eps)  # the largest loss of one element
    assert pytest.approx((2 * surprise + surprise) / 6, rel=1e-3) == L
    np.testing.assert_array_equal(np.sign(dy[2:]), [-1, 1, -1, 1])  # −dy points to the target
    right, _ = ta.BCE()(y[:2], target[:2])
    assert right == pytest.approx(0, abs=2 * eps)


def test_huber_is_half_the_squared_error_near_the_target_and_the_absolute_one_far_from_it():
    y, target = np.array([0.5, -0.25, 3.0, -7.0]), np.zeros(4)
    L, dy = ta.Huber()(y, target)  # ½ 0.25, ½ 0.0625, 3 − ½, 7 − ½
    assert pytest.approx((0.125 + 0.03125 + 2.5 + 6.5) / 4) == L
    np.testing.assert_allclose(dy * 4, [0.5, -0.25, 1, -1])
    (half, d_half), (mse, d_mse) = ta.Huber(10.0)(y, target), ta.MSE()(y, target)
    assert pytest.approx(mse / 2) == half
    np.testing.assert_allclose(d_half, d_mse / 2)
    (small, d_small), (l1, d_l1) = ta.Huber(1e-6)(y, target), ta.L1()(y, target)
    assert pytest.approx(l1, rel=1e-5) == small / 1e-6
    np.testing.assert_allclose(d_small / 1e-6, d_l1)
    assert np.isnan(ta.Huber()(np.array([np.nan, 1.0]), np.zeros(2))[0])


@pytest.mark.parametrize("delta", [0, -1, float("inf"), float("nan")])
def test_huber_refuses_what_is_no_distance(delta):
    with pytest.raises(ValueError, match="Huber: delta is"):
        ta.Huber(delta)


@pytest.mark.parametrize("bad", [-0.1, 1.1])
def test_bce_refuses_what_is_no_probability(bad):
    y = np.array([0.5, bad])
    with pytest.raises(ValueError, match="BCE"):
        ta.BCE()(y, np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="BCE"):
        ta.BCE()(np.array([0.5, 0.5]), y)


@both_dtypes
def test_bce_with_logits_is_stable(dtype):
    y = np.array([1e4, -1e4, 1e4, -1e4, 0], dtype)
    target = np.array([1, 0, 0, 1, 0.5], dtype)
    L, dy = ta.BCEWithLogits()(y, target)
    assert pytest.approx((2e4 + np.log(2)) / 5) == L
    np.testing.assert_allclose(dy * 5, [0, 0, 1, -1, 0], atol=1e-7)


@quick
@given(seed=st.integers(0, 2**32 - 1))
def test_bce_with_logits_is_bce_after_a_sigmoid(seed):
    rng = np.random.default_rng(seed)
    logits, target = 3 * rng.normal(size=(4, 3)), rng.uniform(size=(4, 3))
    sigmoid = ta.Sigmoid()
    y, cache = sigmoid.forward(logits)
    L, dy = ta.BCE()(y, target)
    L2, dlogits = ta.BCEWithLogits()(logits, target)
    assert pytest.approx(L) == L2
    close(sigmoid.backward(dy, cache), dlogits)


# --- laws of models ---------------------------------------------------------------------------


@every_model
@settings(max_examples=3)  # each is checked at three sizes of batch
@given(data=st.data())
def test_backprop_is_the_gradient_of_the_objective(row, data):
    model, x, rng = case(data, row)
    report = gradcheck.check_model(model, x, rng=rng, max_entries=60)
    assert report.ok, report


@every_model
@quick
@given(data=st.data())
def test_a_models_gradients_add_and_its_input_is_left_alone(row, data):
    model, x, _ = case(data, row)
    fresh, again, before = same_noise(model), same_noise(model), copy.deepcopy(x)
    terms = model.backprop(x, np.random.default_rng(0))
    assert again.backprop(x, np.random.default_rng(0)) == terms
    assert "total" in terms
    assert all(type(value) is float for value in terms.values())
    once = gradients(model)
    held = same_noise(fresh)
    for p in held.params.values():
        p.grad[...] = 1
    held.backprop(x, np.random.default_rng(0))
    for name, grad in gradients(held).items():
        close(grad - 1, once[name], name)
    assert_same(x, before)


@every_model
@both_dtypes
@settings(max_examples=2)
@given(data=st.data())
def test_a_model_saves_and_loads(row, dtype, data, tmp_path):
    model, x, _ = case(data, row)
    model = getattr(model, "game", model).astype(dtype)  # for a player, its game
    model.save(tmp_path / "model.npz")
    loaded = ta.load(tmp_path / "model.npz")
    assert repr(loaded) == repr(model)
    assert len(unique(loaded.params)) == len(unique(model.params))
    assert loaded.evaluate(x) == model.evaluate(x)
    if hasattr(model, "reconstruct"):
        y = model.reconstruct(x)
        assert y.dtype == dtype
        np.testing.assert_array_equal(loaded.reconstruct(x), y)
