"""Optimizers against the papers' formulas."""

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyae import kernels, optim
from tinyae.layers import Conv2d, Dense, Flatten, LayerNorm, PReLU, Sequential
from tinyae.optim import (
    SGD,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    Optimizer,
    RMSProp,
)
from tinyae.param import Param
from tinyae.schedules import Exponential

Gradient = Iterator[np.ndarray]

# --- the papers, number by number, in float64 ------------------------------------------------


def sgd(theta: Any, grads: Gradient, lr: float) -> Any:
    for g in grads:
        theta = theta - lr * g
    return theta


def polyak(theta: Any, grads: Gradient, lr: float, mu: float) -> Any:
    """Polyak (1964), eq. 9: heavy ball, with the last displacement instead of a velocity."""
    before = theta
    for g in grads:
        theta, before = theta - lr * g + mu * (theta - before), theta
    return theta


def nesterov(theta: Any, grads: Gradient, lr: float, mu: float) -> Any:
    """Sutskever et al. (2013), eq. 3-4. Gradients are taken at the point looked ahead to,
    θ + μ v, and that point is what the library keeps."""
    v = np.zeros_like(theta)
    at = theta
    for g in grads:
        v = mu * v - lr * g
        theta = theta + v
        at = theta + mu * v
    return at


def rmsprop(theta: Any, grads: Gradient, lr: float, rho: float, eps: float) -> Any:
    past: list[np.ndarray] = []
    for g in grads:
        past.append(g)
        n = len(past)
        mean_square = sum((1 - rho) * rho ** (n - 1 - i) * past[i] ** 2 for i in range(n))
        theta = theta - lr * g / (np.sqrt(mean_square) + eps)
    return theta


def adam(theta: Any, grads: Gradient, lr: float, b1: float, b2: float, eps: float) -> Any:
    """Kingma & Ba (2015), algorithm 1, with the moments as the sums of their eq. 1."""
    past: list[np.ndarray] = []
    for g in grads:
        past.append(g)
        t = len(past)
        m = (1 - b1) * sum(b1 ** (t - i) * past[i - 1] for i in range(1, t + 1))
        v = (1 - b2) * sum(b2 ** (t - i) * past[i - 1] ** 2 for i in range(1, t + 1))
        theta = theta - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return theta


def adamw(
    theta: Any, grads: Gradient, lr: float, b1: float, b2: float, eps: float, decay: float
) -> Any:
    """Loshchilov & Hutter (2019), algorithm 2, line 12: both terms from the old θ."""
    past: list[np.ndarray] = []
    for g in grads:
        past.append(g)
        plain = adam(np.zeros_like(theta), iter(past), lr, b1, b2, eps)
        earlier = adam(np.zeros_like(theta), iter(past[:-1]), lr, b1, b2, eps)
        theta = theta + (plain - earlier) - lr * decay * theta
    return theta


rates = st.floats(1e-4, 0.5)
below_one = st.floats(0, 0.99)
tiny = st.sampled_from([1e-8, 1e-3])
CASES: dict[type[Optimizer], tuple[Callable[..., Any], dict[str, Any]]] = {
    SGD: (sgd, {}),
    Momentum: (polyak, {"mu": below_one}),
    Nesterov: (nesterov, {"mu": below_one}),
    RMSProp: (rmsprop, {"rho": below_one, "eps": tiny}),
    Adam: (adam, {"beta1": below_one, "beta2": below_one, "eps": tiny}),
    AdamW: (
        adamw,
        {"beta1": below_one, "beta2": below_one, "eps": tiny, "weight_decay": st.floats(0, 1)},
    ),
}


def test_every_optimizer_is_tested_here() -> None:
    public = {
        c
        for c in vars(optim).values()
        if isinstance(c, type) and issubclass(c, Optimizer) and c is not Optimizer
    }
    assert public == set(CASES)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("cls", CASES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_step_is_the_papers(
    cls: type[Optimizer], name: str, dtype: type, data: st.DataObject
) -> None:
    if name == "numba":
        pytest.importorskip("numba")
    formula, settings_ = CASES[cls]
    drawn = {key: data.draw(strategy, label=key) for key, strategy in settings_.items()}
    lr, steps = data.draw(rates, label="lr"), data.draw(st.integers(1, 5), label="steps")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shape = data.draw(st.sampled_from([(3,), (2, 5), (1,), (2, 1, 3, 3)]))
    theta = rng.normal(size=shape).astype(dtype)
    if data.draw(st.booleans(), label="Fortran order"):
        theta = np.asfortranarray(theta)
    grads = [rng.normal(size=shape).astype(dtype) for _ in range(steps)]

    p = Param(theta.copy(order="K"))
    more = {"decay": optim.everything} if cls is AdamW else {}
    optimizer = cls(lr, **drawn, **more)
    with kernels.use(name):
        for g in grads:
            p.grad += g
            optimizer.step({"p": p})
            assert not p.grad.any()
    expected = formula(
        theta.astype(np.float64), iter(g.astype(np.float64) for g in grads), lr, *drawn.values()
    )
    assert p.dtype == dtype
    tolerance = 2e-4 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(p.value, expected, rtol=tolerance, atol=tolerance * (1 + 20 * lr))


@pytest.mark.parametrize("cls", CASES)
def test_a_shared_param_moves_once(cls: type[Optimizer]) -> None:
    start, g = np.array([1.0, -2.0]), np.array([0.3, 0.4])
    values = []
    for names in (["a"], ["a", "b", "c"]):
        p = Param(start.copy())
        optimizer = cls(0.1)
        for _ in range(3):
            p.grad += g
            optimizer.step(dict.fromkeys(names, p))
        values.append(p.value)
    np.testing.assert_array_equal(values[0], values[1])


def test_moments_follow_the_param_not_the_name() -> None:
    a, b = Param(np.zeros(2)), Param(np.zeros(2))
    optimizer = Momentum(1.0, mu=0.5)
    for params in ({"x": a}, {"x": b}, {"y": a}):
        a.grad += 1
        b.grad += 1
        optimizer.step(params)
        b.grad.fill(0)
        a.grad.fill(0)
    assert a.value[0] == -(1 + 1.5)
    assert b.value[0] == -1
    assert optimizer.t == 3


def test_adams_first_step_is_the_rate_whatever_the_scale() -> None:
    for scale in (1e-3, 1.0, 1e4):
        late = Param(np.zeros(3))
        optimizer = Adam(0.01)
        other = Param(np.zeros(1))
        for _ in range(50):  # a Param that joins later starts its own count
            optimizer.step({"other": other})
        late.grad += scale * np.array([1.0, -1.0, 2.0])
        optimizer.step({"other": other, "late": late})
        np.testing.assert_allclose(late.value, [-0.01, 0.01, -0.01], rtol=1e-4)


@pytest.mark.parametrize("cls", CASES)
def test_state_goes_out_and_comes_back(cls: type[Optimizer]) -> None:
    rng = np.random.default_rng(0)
    p = {"W": Param(rng.normal(size=(3, 2))), "b": Param(rng.normal(size=2))}
    first = cls(Exponential(0.1, 0.9))
    _steps(first, p, rng, 3)
    q = {name: Param(a.value.copy()) for name, a in p.items()}
    second = cls(Exponential(0.1, 0.9))
    arrays = {key: a.copy() for key, a in first.state_arrays(p).items()}
    second.load_state(q, arrays, first.t)
    _steps(first, p, np.random.default_rng(1), 3)
    _steps(second, q, np.random.default_rng(1), 3)
    for name in p:
        np.testing.assert_array_equal(p[name].value, q[name].value)
    third = cls(0.1)
    if third.slots:
        key = f"W/{third.slots[0]}"
        for wrong in ({k: a for k, a in arrays.items() if k != key}, {**arrays, key: np.zeros(7)}):
            with pytest.raises(ValueError, match=key):
                third.load_state(q, wrong, 3)
    with pytest.raises(ValueError, match="other/m"):
        third.load_state(q, {**arrays, "other/m": np.zeros(2)}, 3)
    assert third.t == 0
    assert not third.state_arrays(q)


def _steps(optimizer: Optimizer, params: dict[str, Param], rng: Any, n: int) -> None:
    for _ in range(n):
        for p in params.values():
            p.grad += rng.normal(size=p.shape)
        optimizer.step(params)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: SGD(-1.0), "learning_rate"),
        (lambda: SGD(math.nan), "learning_rate"),
        (lambda: SGD("0.1"), "learning_rate"),  # type: ignore[arg-type]
        (lambda: Momentum(0.1, mu=1.0), "mu"),
        (lambda: RMSProp(rho=1.5), "rho"),
        (lambda: Adam(beta1=-0.1), "beta1"),
        (lambda: Adam(beta2=1.0), "beta2"),
        (lambda: Adam(eps=-1e-8), "eps"),
        (lambda: AdamW(weight_decay=math.inf), "weight_decay"),
        (lambda: Adam(l2=-1e-4), "l2"),
    ],
)
def test_unfit_settings_are_named(make: Callable[[], Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make()


def test_an_optimizer_follows_its_schedule() -> None:
    p = Param(np.zeros(1))
    optimizer = SGD(Exponential(1.0, 0.5))
    for expected in (1.0, 0.5, 0.25):
        assert optimizer.rate == expected
        before = p.value.copy()
        p.grad += 1
        optimizer.step({"p": p})
        np.testing.assert_array_equal(before - p.value, [expected])
    assert repr(optimizer) == "SGD(learning_rate=Exponential(learning_rate=1.0, factor=0.5))"


# --- decay, L2 and frozen Params -------------------------------------------------------------


def network(seed: int = 0) -> Sequential:
    rng = np.random.default_rng(seed)
    layers = Conv2d(1, 2, 3, rng=rng), LayerNorm((2, 4, 4)), Flatten(), Dense(32, 3, rng=rng)
    net = Sequential(*layers, PReLU(3)).astype(np.float64)
    for p in net.params.values():
        p.value[...] = rng.normal(1, 0.1, p.shape)
    return net


def test_weights_alone_decay_by_default() -> None:
    net, optimizer = network(), AdamW(0.1, weight_decay=0.5)
    before = {name: p.value.copy() for name, p in net.params.items()}
    optimizer.step(net.params)  # no gradient: only the decay moves anything
    for name, p in net.params.items():
        kept = 0.95 if name in ("0.W", "3.W") else 1.0
        np.testing.assert_allclose(p.value, kept * before[name], rtol=1e-12, err_msg=name)
    assert repr(AdamW(0.1)) == repr(AdamW(0.1, decay=optim.weights))
    assert repr(AdamW(0.1, decay=optim.everything)).endswith("decay=everything)")


def test_decay_chooses_by_name_and_param() -> None:
    seen: dict[str, Param] = {}

    def only_the_first(name: str, param: Param) -> bool:
        seen[name] = param
        return name.startswith("0.")

    for optimizer, moved in (
        (AdamW(0.1, weight_decay=0.5, decay=only_the_first), {"0.W", "0.b"}),
        (SGD(0.1, l2=0.5, decay=optim.everything), set(network().params)),
    ):
        net = network()
        before = {name: p.value.copy() for name, p in net.params.items()}
        optimizer.step(net.params)
        for name, p in net.params.items():
            kept = 0.95 if name in moved else 1.0
            np.testing.assert_allclose(p.value, kept * before[name], rtol=1e-12, err_msg=name)
    assert seen.keys() == network().params.keys()
    with pytest.raises(TypeError, match="decay"):
        AdamW(decay=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("cls", [c for c in CASES if c is not AdamW])
@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_l2_is_the_gradient_of_the_penalty(cls: type[Optimizer], name: str) -> None:
    if name == "numba":
        pytest.importorskip("numba")
    plain, penalised = network(), network()
    with kernels.use(name):
        by_hand, optimizer = cls(0.1), cls(0.1, l2=0.3)  # type: ignore[call-arg]
        for step in range(3):
            rng = np.random.default_rng(step)
            for (key, p), q in zip(plain.params.items(), penalised.params.values()):
                g = rng.normal(size=p.shape)
                p.grad[...] = g + 0.3 * p.value * key.endswith(".W")
                q.grad[...] = g
            by_hand.step(plain.params)
            optimizer.step(penalised.params)
    for key, p in plain.params.items():
        np.testing.assert_allclose(penalised.params[key].value, p.value, rtol=1e-10, err_msg=key)


@pytest.mark.parametrize("cls", CASES)
def test_frozen_params_stay_and_come_back(cls: type[Optimizer]) -> None:
    net, optimizer = network(), cls(0.1)

    def step() -> set[str]:
        before = {name: p.value.copy() for name, p in net.params.items()}
        for p in net.params.values():
            p.grad += 1
        optimizer.step(net.params)
        assert not any(p.grad.any() for p in net.params.values())
        return {name for name, p in net.params.items() if (p.value != before[name]).any()}

    every = set(net.params)
    assert step() == every
    assert net.layers[0].freeze() is net.layers[0]
    net.layers[4].a.trainable = False
    frozen = {"0.W", "0.b", "4.a"}
    moments = {k: a.copy() for k, a in optimizer.state_arrays(net.params).items()}
    assert step() == every - frozen
    for key, a in optimizer.state_arrays(net.params).items():
        if key.rpartition("/")[0] in frozen:
            np.testing.assert_array_equal(a, moments[key])
    assert net.unfreeze() is net
    assert step() == every


def test_copies_keep_what_is_frozen() -> None:
    net = network()
    net.layers[3].freeze()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.astype(np.float32)):
        frozen = {name for name, p in other.params.items() if not p.trainable}
        assert frozen == {"3.W", "3.b"}
    assert "frozen" in repr(net.layers[3].W)
    assert not net.layers[3].W.T.trainable


def test_frozen_gradients_do_not_count_in_clipping() -> None:
    net = network()
    for p in net.params.values():
        p.grad += 100
    for layer in net.layers[1:]:
        layer.freeze()
    norm = optim.clip_by_global_norm(net.params, 1.0)
    assert norm == pytest.approx(100 * math.sqrt(20))
