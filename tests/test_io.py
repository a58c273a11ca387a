"""Saving and loading: the same model comes back, and invalid files are rejected."""

from __future__ import annotations

import io as std_io
import json
import os
import tracemalloc
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae.io.classes import classes
from tinyae.io.describe import describe
from tinyae.param import Param


def small(dtype: Any = np.float32) -> ta.Autoencoder:
    """A model with a tied weight, a shared layer, a generator and running statistics."""
    rng = np.random.default_rng(3)
    dense = ta.Dense(12, 4, rng=rng, dtype=dtype)
    act = ta.LeakyReLU(0.2)
    encoder = ta.Sequential(
        ta.Flatten(), dense, act, ta.Dropout(0.3, rng=rng), ta.BatchNorm(4, dtype=dtype), act
    )
    decoder = ta.Sequential(ta.TiedDense(dense), ta.Sigmoid(), ta.Reshape(3, 2, 2))
    model = ta.Autoencoder(encoder, decoder, ta.MSE())
    x = np.random.default_rng(0).random((8, 3, 2, 2)).astype(dtype)
    model.backprop(x)  # changes the running statistics and the generator
    return model


def numbers(model: ta.Module) -> dict[str, np.ndarray]:
    return {k: p.value for k, p in model.params.items()} | model.state


def assert_same(a: ta.Module, b: ta.Module) -> None:
    one, two = numbers(a), numbers(b)
    assert repr(a) == repr(b)
    assert list(one) == list(two)
    for name, array in one.items():
        assert array.dtype == two[name].dtype
        assert array.tobytes() == two[name].tobytes(), name


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("io") / "good.npz"
    ta.save(small(), path)
    return path


@pytest.fixture(scope="module")
def header(good: Path) -> dict[str, Any]:
    with np.load(good) as file:
        return json.loads(file["__header__"].tobytes())


def write(path: Path, header: Any, arrays: dict[str, np.ndarray] | None = None) -> Path:
    """Write a well-formed archive with any header and arrays."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with open(path, "wb") as file:
        np.savez(file, __header__=np.frombuffer(text, np.uint8), **(arrays or {}))
    return path


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files if name != "__header__"}


def architecture(tree: Any, **more: Any) -> dict[str, Any]:
    return {"format": 1, "tinyae": "x", "architecture": tree, "aliases": {}} | more


# --- round trips -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip(tmp_path: Path, suffix: str, dtype: Any) -> None:
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    model, path = small(dtype), tmp_path / f"m.{suffix}"
    model.save(path)
    back = ta.load(path)
    assert type(back) is ta.Autoencoder
    assert_same(model, back)
    x = np.random.default_rng(1).random((5, 3, 2, 2)).astype(dtype)
    assert np.array_equal(model.reconstruct(x), back.reconstruct(x))
    assert all(np.all(p.grad == 0) and p.value.flags.writeable for p in back.params.values())


def test_it_trains_on_with_the_same_noise(tmp_path: Path) -> None:
    model = small()
    model.save(tmp_path / "m.npz")
    back = ta.load(tmp_path / "m.npz")
    for p in model.params.values():
        p.grad[...] = 0
    x = np.random.default_rng(1).random((5, 3, 2, 2)).astype(np.float32)
    assert model.backprop(x) == back.backprop(x)  # dropout continues from the saved state
    for name, p in model.params.items():
        assert np.array_equal(p.grad, back.params[name].grad)


def test_what_was_shared_is_shared_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = small()
    drop = model.encoder.layers[3]
    net = ta.Sequential(*model.encoder.layers, ta.TiedDense(model.encoder.layers[1]), drop)
    ta.save(ta.Sequential(net, net, ta.Dropout(0.1, rng=drop.rng)), tmp_path / "m.npz")
    back = ta.load(tmp_path / "m.npz")
    first, again, other = back.layers
    assert first is again
    assert first.layers[2] is first.layers[5]
    assert first.layers[6].dense is first.layers[1]
    assert first.layers[7] is first.layers[3]
    assert other.rng is first.layers[3].rng
    assert other.rng.random() == drop.rng.random()
    assert rng.random() != 0  # not the fixture's own generator


def test_params_tied_by_hand_stay_tied(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b, c = (ta.Dense(3, 3, rng=rng) for _ in range(3))
    b.W = a.W
    c.W = a.W.T
    ta.save(ta.Sequential(a, b, c), tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as file:
        assert sorted(file.files) == ["0.W", "0.b", "1.b", "2.b", "__header__"]
    a2, b2, c2 = ta.load(tmp_path / "m.npz").layers
    assert b2.W is a2.W
    assert np.shares_memory(c2.W.value, a2.W.value)
    assert np.shares_memory(c2.W.grad, a2.W.grad)
    assert np.array_equal(c2.W.value, a.W.value.T)


def test_a_mixture_of_dtypes_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    net = ta.Sequential(ta.Dense(3, 2, rng=rng), ta.Dense(2, 3, rng=rng, dtype=np.float64))
    ta.save(net, tmp_path / "m.npz")
    assert_same(net, ta.load(tmp_path / "m.npz"))


def test_one_layer_has_one_dtype(tmp_path: Path) -> None:
    """Compiled loops would read one array's bytes as another dtype's numbers."""
    dense = ta.Dense(3, 2, rng=np.random.default_rng(0), dtype=np.float64)
    tied = ta.TiedDense(dense)
    tied.b = Param(np.ones(3, np.float32))
    norm = ta.BatchNorm(3)
    norm.running_var = norm.running_var.astype(np.float64)
    for net, says in (
        (ta.Sequential(dense, tied), "TiedDense.* W float64, b float32"),
        (ta.Sequential(ta.ReLU(), norm), "BatchNorm.* running_var float64"),
    ):
        with pytest.raises(ValueError, match=f"{says}; convert the model before it is saved"):
            ta.save(net, tmp_path / "m.npz")
    header, arrays, _ = describe(ta.Sequential(dense, ta.TiedDense(dense)))
    arrays["1.b"] = arrays["1.b"].astype(np.float32)
    with pytest.raises(ValueError, match=r"load: .*m\.npz: TiedDense.* W float64, b float32"):
        ta.load(write(tmp_path / "m.npz", header, arrays))


def test_half_precision_becomes_single(tmp_path: Path, kernel_set: str) -> None:
    model = small()
    header, arrays, _ = describe(model)
    half = {name: a.astype(np.float16) for name, a in arrays.items()}
    back = ta.load(write(tmp_path / "m.npz", header, half))
    for name, a in numbers(back).items():
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, numbers(model)[name].astype(np.float16), name)
    x = np.random.default_rng(1).random((5, 3, 2, 2)).astype(np.float32)
    assert ta.fit(back, x, epochs=1, progress=False)["total"][0] > 0


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f4"])
def test_either_byte_order_becomes_the_machines(
    tmp_path: Path, suffix: str, dtype: str, kernel_set: str
) -> None:
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    model, path = small(), tmp_path / f"m.{suffix}"
    model.astype(dtype).save(path)
    back = ta.load(path)
    x = np.random.default_rng(1).random((5, 3, 2, 2)).astype(back.dtype)
    assert all(a.dtype.isnative for a in numbers(back).values())
    np.testing.assert_allclose(back.reconstruct(x), model.astype(x.dtype).reconstruct(x), rtol=1e-6)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is double here")
def test_long_double_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected float32 or float64"):
        small().astype(np.longdouble).save(tmp_path / "m.npz")
    header, arrays, _ = describe(small())
    wide = {name: a.astype(np.longdouble) for name, a in arrays.items()}
    with pytest.raises(ValueError, match=r"m\.npz: .*dtype <f\d+, expected plain numbers"):
        ta.load(write(tmp_path / "m.npz", header, wide))


def test_a_weight_that_is_its_own_transpose(tmp_path: Path) -> None:
    net = ta.Dense(1, 1, rng=np.random.default_rng(0))
    ta.save(net, tmp_path / "m.npz")
    assert_same(net, ta.load(tmp_path / "m.npz"))


def test_special_values_and_memory_orders_are_kept(tmp_path: Path) -> None:
    net = ta.Dense(2, 3, rng=np.random.default_rng(0))
    net.W = Param(np.asfortranarray([[np.nan, -0.0], [np.inf, 1e-45], [1, 2]], np.float32))
    ta.save(net, tmp_path / "m.npz")
    with pytest.warns(RuntimeWarning, match=r"m\.npz: NaN in W;"):
        back = ta.load(tmp_path / "m.npz")
    assert_same(net, back)
    assert back.W.value.flags.f_contiguous


def test_nan_is_named(tmp_path: Path) -> None:
    model = small()
    model.encoder.layers[1].W.value[2, 3] = np.nan
    model.encoder.layers[4].running_var[1] = np.nan
    model.save(tmp_path / "m.npz")
    with pytest.warns(
        RuntimeWarning, match=r"m\.npz: NaN in encoder\.1\.W, decoder\.0\.W, encoder\.4\.running_v"
    ) as caught:
        ta.load(tmp_path / "m.npz")
    assert caught[0].filename == __file__


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_bit_generator(tmp_path: Path, kind: str) -> None:
    rng = np.random.Generator(getattr(np.random, kind)(5))
    rng.random(7, dtype=np.float32)  # leaves half of a 64-bit word in the buffer
    ta.save(ta.Dropout(0.5, rng=rng), tmp_path / "m.npz")
    back = ta.load(tmp_path / "m.npz")
    assert np.array_equal(rng.random(700, np.float32), back.rng.random(700, np.float32))


class Scale(ta.Layer):
    """A custom layer with an array argument."""

    def __init__(self, by: np.ndarray, bounds: tuple[float, float], *, name: str | None = None):
        self.by, self.bounds, self.name = by, bounds, name


class Forgetful(ta.Layer):
    def __init__(self, secret: int):
        self.other = secret


def test_own_classes(tmp_path: Path) -> None:
    layer = Scale(np.arange(3), (float("-inf"), 1.5), name="Ü")
    ta.save(ta.Sequential(layer), tmp_path / "m.npz")
    with pytest.raises(ValueError, match=r"needs the class Scale.*custom=\[Scale\]"):
        ta.load(tmp_path / "m.npz")
    back = ta.load(tmp_path / "m.npz", custom=[Scale]).layers[0]
    assert back.by.tolist() == [0, 1, 2]
    assert (back.bounds, back.name) == (layer.bounds, "Ü")
    with pytest.raises(TypeError, match="custom holds"):
        ta.load(tmp_path / "m.npz", custom=[layer])  # type: ignore[list-item]


def own_prelu() -> type:
    class PReLU(ta.Layer):
        """A class of the user's, older than the library's of that name."""

        def __init__(self, num_channels: int = 1):
            self.num_channels = num_channels

    return PReLU


@pytest.mark.parametrize("path", ["m.npz", "m.safetensors"])
def test_an_own_class_may_be_called_like_one_of_the_library(path: str, tmp_path: Path) -> None:
    if path.endswith("s"):
        pytest.importorskip("safetensors")
    PReLU, rng = own_prelu(), np.random.default_rng(0)
    ta.save(ta.Sequential(PReLU(3), ta.Dense(2, 2, rng=rng)), tmp_path / path)
    with pytest.raises(ValueError, match=r"needs the class PReLU.*custom=\[PReLU\]"):
        ta.load(tmp_path / path)  # the library's would be another layer
    own_dense = type("Dense", (ta.Layer,), {})
    back = ta.load(tmp_path / path, custom=[PReLU, own_dense])
    assert [type(layer) for layer in back.layers] == [PReLU, ta.Dense]
    with pytest.raises(ValueError, match="two classes PReLU"):
        ta.load(tmp_path / path, custom=[PReLU, own_prelu()])
    for both in ([PReLU(), ta.PReLU(1)], [ta.PReLU(1), PReLU()], [PReLU(), own_prelu()()]):
        with pytest.raises(TypeError, match="two classes called PReLU"):
            ta.save(ta.Sequential(*both), tmp_path / path)


def test_in_a_file_from_before_names_were_marked_the_users_class_wins(tmp_path: Path) -> None:
    PReLU = own_prelu()
    header, arrays, _ = describe(ta.Sequential(PReLU(3)))
    del header["custom"]
    for content in (header, header | {"custom": ["PReLU"]}):
        back = ta.load(write(tmp_path / "m.npz", content, arrays), custom=[PReLU])
        assert type(back.layers[0]) is PReLU
    for wrong in ("PReLU", [["PReLU"]], 3):
        with pytest.raises(ValueError, match=r"has custom classes .*, expected a list of names"):
            ta.load(write(tmp_path / "m.npz", header | {"custom": wrong}, arrays), custom=[PReLU])


class Leak(ta.Layer):
    """y = x where x > 0, else α x: the argument ``alpha`` becomes a Param of that name."""

    def __init__(self, alpha: float = 0.25, *, dtype: Any = np.float32):
        self.alpha = Param(np.full(1, alpha, dtype))

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.where(x > 0, x, self.alpha.value * x), x

    def backward(self, dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        self.alpha.grad += (dy * np.minimum(x, 0)).sum()
        return np.where(x > 0, dy, self.alpha.value * dy)


class Gain(ta.Layer):
    """y = scale ∘ x: an array argument becomes a Param."""

    def __init__(self, scale: Any):
        self.scale = Param(np.array(scale))


LEARNT = {  # layers whose Params have the names of their arguments, and a value to set
    "Leak": (lambda dtype: Leak(dtype=dtype), [0.1]),
    "Leak of -inf": (lambda dtype: Leak(dtype=dtype), [-np.inf]),
    "Gain": (lambda dtype: Gain(np.ones(3, dtype)), [0.1, -0.0, np.nan]),
    "Gain of rows": (lambda dtype: Gain(np.ones((2, 2), dtype)), [[0.1, 2], [3, 1e-45]]),
    "Gain of shape ()": (lambda dtype: Gain(np.ones((), dtype)), 0.1),
    "Gain of shape (1, 1)": (lambda dtype: Gain(np.ones((1, 1), dtype)), [[0.1]]),
}


@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_argument_may_be_named_as_its_param(
    tmp_path: Path, name: str, suffix: str, dtype: Any
) -> None:
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    build, value = LEARNT[name]
    layer, path = build(dtype), tmp_path / f"m.{suffix}"
    (p,) = layer.params.values()
    p.value[...] = value
    alone = ta.Sequential(ta.Tanh(), layer)
    for module in (layer, alone, ta.Sequential(layer, alone, layer)):  # the last: shared
        ta.save(module, path)
        with pytest.warns(RuntimeWarning, match="NaN") if np.isnan(value).any() else nullcontext():
            back = ta.load(path, custom=[Leak, Gain])
        assert_same(module, back)
        assert len({id(q) for q in back.params.values()}) == 1
        assert all(q.value.flags.writeable and not q.grad.any() for q in back.params.values())


def test_such_a_layer_trains_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    encoder = ta.Sequential(ta.Dense(6, 3, rng=rng), Leak(0.1))
    model = ta.Autoencoder(encoder, ta.Dense(3, 6, rng=rng), ta.MSE())
    x = rng.normal(size=(8, 6)).astype(np.float32)
    optimizer = ta.Adam(1e-2)
    for _ in range(3):
        model.backprop(x)
        optimizer.step(model.params)
    model.save(tmp_path / "m.npz")
    back = ta.load(tmp_path / "m.npz", custom=[Leak])
    assert_same(model, back)
    assert model.backprop(x) == back.backprop(x)
    for key, p in model.params.items():
        assert np.array_equal(p.grad, back.params[key].grad)


def test_params_named_as_arguments_stay_tied_by_hand(tmp_path: Path) -> None:
    a, b, c = (Gain(np.arange(4.0).reshape(2, 2)) for _ in range(3))
    b.scale = a.scale
    c.scale = a.scale.T
    ta.save(ta.Sequential(a, b, c), tmp_path / "m.npz")
    a2, b2, c2 = ta.load(tmp_path / "m.npz", custom=[Gain]).layers
    assert b2.scale is a2.scale
    assert np.shares_memory(c2.scale.value, a2.scale.value)
    assert np.array_equal(c2.scale.value, a.scale.value.T)


def test_a_file_cannot_swell_a_param_by_its_argument(tmp_path: Path) -> None:
    def tree(scale: Any) -> Any:
        return architecture({"$class": "Gain", "$id": 0, "scale": scale})

    def refused(says: str, header: Any, **arrays: np.ndarray) -> None:
        with pytest.raises(ValueError, match=says):
            ta.load(write(tmp_path / "m.npz", header, arrays), custom=[Gain])

    refused(r"expected \(\)", tree(0.5), scale=np.zeros(3))
    refused(r"expected \(3,\)", tree([0.5, 1.0, 2.0]), scale=np.zeros(1))
    refused("is missing", tree(0.5))
    refused("is missing", tree({"$array": "a"}), a=np.zeros(3))
    refused("dtype int64", tree(0.5), scale=np.zeros(1, int))
    refused("expected float32 or float64", tree(1), scale=np.zeros(1))
    refused("does not know", tree({"$array": "b"}), scale=np.zeros(3))
    refused("larger than what the file holds", tree(10**12), scale=np.zeros(1))
    ta.load(write(tmp_path / "m.npz", tree(0.5), {"scale": np.zeros(1)}), custom=[Gain])


def test_every_public_class_can_be_named() -> None:
    table = classes()
    for name in ta.__all__:
        thing = getattr(ta, name)
        if isinstance(thing, type) and issubclass(thing, ta.Module):
            assert table[name] is thing
    assert table["MSE"] is ta.MSE
    assert not any(issubclass(cls, BaseException) for cls in table.values())


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    small().save(tmp_path / "a.npz")
    small().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


# --- what cannot be saved raises an error and leaves no file ---------------------------------


def _circle() -> ta.Module:
    net = ta.Residual(ta.ReLU())
    net.layer = net
    return net


def _deep() -> ta.Module:
    net: ta.Layer = ta.ReLU()
    for _ in range(70):
        outer = ta.Residual(ta.ReLU())
        outer.layer = net  # the constructor would refuse it
        net = outer
    return net


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: 5, TypeError, "expected a layer or a model"),
        (lambda: Forgetful(1), TypeError, "self.secret = secret"),
        (lambda: Scale(np.array([None]), (0, 1)), TypeError, "dtype object"),
        (lambda: Scale(lambda: 0, (0, 1)), TypeError, "function"),  # type: ignore[arg-type]
        (lambda: Scale(np.zeros(1), {1: 2}), TypeError, "expected numbers"),  # type: ignore[arg-type]
        (
            lambda: ta.Sequential(ta.ReLU(), type("ReLU", (ta.Layer,), {})()),
            TypeError,
            "rename your own",
        ),
        (_circle, ValueError, "holds itself"),
        (_deep, ValueError, "64 objects deep"),
    ],
)
def test_what_cannot_be_saved(tmp_path: Path, make: Any, error: type, says: str) -> None:
    (tmp_path / "m.npz").write_text("before")
    with pytest.raises(error, match=says):
        ta.save(make(), tmp_path / "m.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]
    assert (tmp_path / "m.npz").read_text() == "before"


def test_a_changed_layer_is_not_saved(tmp_path: Path) -> None:
    net = ta.Dense(2, 2, rng=np.random.default_rng(0))
    net.out_features = 3
    with pytest.raises(ValueError, match=r"would not load again.*W has shape \(2, 2\)"):
        ta.save(net, tmp_path / "m.npz")


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_crash_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "m.npz"
    small().save(path)
    before = path.read_bytes()

    def fail(*args: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="disk full"):
        ta.save(ta.ReLU(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def test_saving_to_nowhere(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist; make it"):
        small().save(tmp_path / "no" / "m.npz")
    with pytest.raises(ValueError, match="is a folder"):
        small().save(tmp_path)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "m.npz"
    link.symlink_to(tmp_path / "real" / "m.npz")
    small().save(link)
    assert link.is_symlink()
    assert_same(ta.load(link), small())


# --- what cannot be loaded raises an error ---------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello, world\n" * 9, "not an npz archive"),
        (b"PK\x03\x04 and no more", "damaged or cut short"),
        (b"\x80\x05\x95", "not an npz archive"),  # a pickle
    ],
)
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_foreign_bytes(tmp_path: Path, content: bytes, says: str, suffix: str) -> None:
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(content)
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
        says = "empty" if not content else "not a safetensors file"
    with pytest.raises(ValueError, match=says) as caught:
        ta.load(path)
    assert str(path) in str(caught.value)


def test_no_file_a_folder_and_a_foreign_archive(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        ta.load(tmp_path / "m.npz")
    with pytest.raises(ValueError, match="is a folder"):
        ta.load(tmp_path)
    np.savez(tmp_path / "m.npz", weights=np.zeros(3))
    with pytest.raises(ValueError, match="archive of weights, without tinyae's header"):
        ta.load(tmp_path / "m.npz")


def test_pickles_are_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    np.savez(tmp_path / "m.npz", w=np.array([Bomb()]))
    with pytest.raises(ValueError, match="pickles are refused"):
        ta.load(tmp_path / "m.npz")
    assert not (tmp_path / "exploded").exists()


def test_a_newer_format(tmp_path: Path, good: Path, header: Any) -> None:
    path = write(tmp_path / "m.npz", header | {"format": 2, "tinyae": "9.1"}, arrays_of(good))
    with pytest.raises(ValueError, match=r"written by tinyae 9\.1.*pip install --upgrade tinyae"):
        ta.load(path)


def test_names_and_shapes_are_held_against_the_architecture(
    tmp_path: Path, good: Path, header: Any
) -> None:
    arrays = arrays_of(good)
    arrays["encoder.1.W"] = arrays["encoder.1.W"].T
    arrays["stray"] = arrays.pop("encoder.4.gamma")
    arrays["encoder.1.b"] = np.zeros(4, int)
    with pytest.raises(ValueError, match="do not fit") as caught:
        ta.load(write(tmp_path / "m.npz", header, arrays))
    for says in (
        "encoder.1.W has shape (12, 4), expected (4, 12)",
        "encoder.4.gamma (4,) is missing",
        "stray belongs to no part",
        "encoder.1.b has dtype int64",
    ):
        assert says in str(caught.value)


BIG = 10**9
DENSE = {"$class": "Dense", "$id": 0, "in_features": 2, "out_features": 2}
STATE = np.random.default_rng(0).bit_generator.state
MT = np.random.MT19937(0).state


def _mt(pos: int) -> Any:
    return {
        "bit_generator": "MT19937",
        "state": {"key": MT["state"]["key"].tolist(), "pos": pos},
    }


def _nest(depth: int) -> Any:
    tree: Any = {"$class": "ReLU", "$id": 0}
    for k in range(depth):
        tree = {"$class": "Residual", "$id": k + 1, "layer": tree}
    return tree


def _doubling(levels: int) -> Any:
    """2^levels paths to one ReLU, in a few hundred bytes."""
    tree: Any = {"$class": "ReLU", "$id": 0}
    for k in range(levels):
        tree = {"$class": "Sequential", "$id": k + 1, "layers": [tree, {"$ref": k}]}
    return tree


def _chain(length: int) -> Any:
    """Parts, each of which refers to the one before."""
    parts: list[Any] = [{"$class": "ReLU", "$id": 0}]
    parts += [{"$class": "Residual", "$id": k + 1, "layer": {"$ref": k}} for k in range(length)]
    return {"$class": "Sequential", "$id": 10**6, "layers": parts}


def _inside(tree: Any, levels: int) -> Any:
    for k in range(levels):
        tree = {"$class": "Residual", "$id": 1000 + k, "layer": tree}
    return tree


def _dropout(generator: Any) -> Any:
    return {"$class": "Dropout", "$id": 0, "p": 0.5, "rng": {"$generator": generator, "$id": 1}}


HOSTILE = [
    (b"\xff\xfe", "not JSON"),
    (b"[" * 100_000, "not JSON|nested"),
    (b"7", "states no format"),
    ({"format": "1"}, "states no format"),
    ({"format": 0}, "format 0"),
    ({"format": 1}, "describes a NoneType"),
    (architecture({"$class": "ReLU", "$id": 0}, aliases=None), "aliases"),
    (architecture({"$class": "ReLU", "$id": 0}, aliases={"a": "b"}), "belongs to no part"),
    (architecture(3), "describes a int"),
    (architecture({"$class": "MSE", "$id": 0}), "describes a MSE"),
    (architecture({"$class": "os.system", "$id": 0}), "class os.system"),
    (architecture({"$class": "Dense"}), "cannot be built"),
    (architecture({"$class": "ReLU"}), "object number"),
    (architecture({"$class": ["ReLU"], "$id": 0}), "does not know"),
    (architecture({"class": "ReLU"}), "does not know"),
    (architecture({"$ref": 0}), "does not come before"),
    (architecture({"$class": "Residual", "$id": 0, "layer": {"$ref": 0}}), "does not come before"),
    (architecture({"$ref": []}), "reference|does not know"),
    (architecture({"$array": "none"}), "does not know"),
    (architecture(DENSE | {"extra": 1}), "no argument extra"),
    (architecture(DENSE | {"in_features": "many"}), "Dense cannot be built"),
    (architecture(DENSE | {"in_features": None}), "Dense cannot be built"),
    (architecture(DENSE | {"in_features": -3}), "Dense cannot be built"),
    (architecture(DENSE | {"in_features": 1.5}), "Dense cannot be built"),
    (architecture(DENSE | {"init": 3}), "Dense cannot be built"),
    (architecture(DENSE | {"dtype": "object"}), "cannot be built|TypeError"),
    (architecture(DENSE | {"in_features": BIG}), "larger than what the file holds"),
    (architecture(DENSE | {"in_features": 30_000, "out_features": 30_000}), "larger"),
    (architecture(DENSE | {"in_features": 10**400}), "larger"),
    (architecture({"$class": "BatchNorm", "$id": 0, "num_features": BIG}), "larger"),
    (architecture({"$class": "LayerNorm", "$id": 0, "normalized_shape": [9999] * 2}), "larger"),
    (
        architecture(
            {"$class": "Conv2d", "$id": 0, "in_channels": 9, "out_channels": 9, "kernel_size": 9999}
        ),
        "larger",
    ),
    (
        architecture(
            {
                "$class": "Sequential",
                "$id": 0,
                "layers": [
                    {"$class": "LayerNorm", "$id": k + 1, "normalized_shape": 2**20}
                    for k in range(99)
                ],
            }
        ),
        "more numbers than the file holds|larger",
    ),
    (architecture({"$class": "Sequential", "$id": 0, "layers": [1, "x"]}), "cannot be built"),
    (architecture({"$class": "Sequential", "$id": 0, "layers": 5}), "cannot be built"),
    (architecture({"$class": "Autoencoder", "$id": 0}), "cannot be built"),
    (architecture({"$class": "TiedDense", "$id": 0, "dense": None}), "cannot be built"),
    (architecture(DENSE), "W (2, 2) is missing"),
    (architecture(_nest(80)), "64 deep"),
    (b'{"format": 1, "architecture": ' + b'{"$tuple": [' * 3000, "deep|not JSON"),
    (b'{"format": 1, "architecture": ' + b"[" * 500 + b"]" * 500 + b"}", "describes a list|nested"),
    (architecture(_doubling(40)), "more than 100000 parts"),
    (architecture(_doubling(14) | {"$class": "Parallel"}), "no argument layers"),
    (architecture(_inside(_doubling(14), 40)), "shared by more than"),
    (architecture(_chain(300)), "64 deep"),
    (
        architecture(
            {"$class": "Autoencoder", "$id": 99, "encoder": _doubling(25), "loss": {"$ref": 25}}
        ),
        "more than 100000 parts",
    ),
    (
        architecture({"$class": "LayerNorm", "$id": 0, "normalized_shape": [2**63] * 60_000}),
        "larger than what the file holds",
    ),
    (architecture({"$class": "LayerNorm", "$id": 0, "normalized_shape": [1] * 200_000}), "parts"),
    (architecture(DENSE | {"dtype": "S100000"}), "Dense cannot be built: dtype is S100000"),
    (architecture(DENSE | {"dtype": "M8[s]"}), "Dense cannot be built: dtype is"),
    (b'{"format": 1, "aliases": {}, "aliases": {}}', "two fields of one name"),
    (b'{"format": 1, "architecture": NaN}', "NaN is not part of JSON"),
    (b'{"format": ' + b"1" * 5000 + b"}", "an integer of 5000 digits"),
    (b" " * 2**24 + b"7", "16,777,217 bytes"),
    (architecture(_dropout({"bit_generator": "PCG64"})), "other fields"),
    (architecture(_dropout({"bit_generator": "os"})), "generator of kind os"),
    (architecture(_dropout({"bit_generator": ["x"]})), "generator of kind"),
    (architecture(_dropout(STATE | {"uinteger": -1})), "uinteger is -1"),
    (architecture(_dropout(STATE | {"has_uint32": "no"})), "has_uint32 is no"),
    (architecture(_dropout(_mt(10**6))), "pos is 1000000"),
    (architecture(_dropout(_mt(-1))), "pos is -1"),
    (architecture(_dropout(7)), "does not know"),
]


@pytest.mark.parametrize(("header", "says"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_headers(tmp_path: Path, header: Any, says: str) -> None:
    path = write(tmp_path / "m.npz", header)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:
            ta.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"load: {path}: ")
    assert any(part in str(caught.value) for part in says.split("|")), caught.value
    assert len(str(caught.value)) < 1000
    assert peak < 300e6


def test_arrays_that_lie_about_their_size(tmp_path: Path) -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    text = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as file:
        file.writestr("w.npy", text)
    with pytest.raises(ValueError, match="claims shape"):
        ta.load(tmp_path / "m.npz")
    np.savez_compressed(tmp_path / "m.npz", w=np.zeros(10**6))
    with pytest.raises(ValueError, match="compressed"):
        ta.load(tmp_path / "m.npz")


def npy_with(header: bytes, data: bytes = b"") -> bytes:
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "shape", [b"-" * 8000 + b"1,", b"(" * 3000, b"1" * 25 + b",", b"1_0,", b"0x10,", b"1, " * 33]
)
@pytest.mark.parametrize("name", ["__header__", "W"])
def test_array_headers_are_not_evaluated(tmp_path: Path, shape: bytes, name: str) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }" % shape
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as file:
        file.writestr(f"{name}.npy", npy_with(header, bytes(4)))
    with pytest.raises(ValueError, match=r"load: .*m\.npz: an array (has dtype|claims shape)"):
        ta.load(tmp_path / "m.npz")


def test_an_array_is_an_argument_once(tmp_path: Path) -> None:
    shape = [{"$array": "argument:0"}] * 1000
    path = write(
        tmp_path / "m.npz",
        architecture({"$class": "Reshape", "$id": 0, "shape": shape}),
        {"argument:0": np.zeros(2**16, np.float32)},
    )
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"m\.npz: the array argument:0 is an argument twice"):
        ta.load(path)
    assert tracemalloc.get_traced_memory()[1] < 3e6
    tracemalloc.stop()


def test_a_message_cannot_write_to_the_terminal(tmp_path: Path, good: Path, header: Any) -> None:
    arrays = arrays_of(good) | {"\x1b[2J\u202e\n": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match="belongs to no part") as caught:
        ta.load(write(tmp_path / "m.npz", header, arrays))
    assert str(caught.value).isprintable()
    assert r"\x1b[2J\u202e\n belongs" in str(caught.value)


def test_two_members_of_one_name(tmp_path: Path) -> None:
    """np.load finds both ``W`` and ``W.npy`` under the name W."""
    layer = ta.Dense(2, 2, rng=np.random.default_rng(0))
    ta.save(layer, tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as file:
        for name, content in {**members, "W": members["W.npy"]}.items():
            file.writestr(name, content)
    with pytest.raises(ValueError, match="stored twice under one name"):
        ta.load(tmp_path / "m.npz")


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_arrays_under_each_others_name(tmp_path: Path, suffix: str) -> None:
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    from tinyae import archive

    rng, path = np.random.default_rng(0), tmp_path / f"m.{suffix}"
    net = ta.Sequential(ta.Dense(3, 3, rng=rng), ta.Dense(3, 3, rng=rng))
    header, arrays, _ = describe(net)
    text = archive._text(header, arrays)
    arrays |= {"0.W": arrays["1.W"], "1.W": arrays["0.W"]}
    if suffix == "npz":
        write(path, json.loads(text), arrays)
    else:
        meta = {"tinyae": text, "crc32": str(archive._checksum(text, arrays))}
        path.write_bytes(archive._safetensors()[0].save(arrays, meta))
    with pytest.raises(ValueError, match=r"0\.W, 1\.W: not what was saved under this name"):
        ta.load(path)
    less = {key: value for key, value in json.loads(text).items() if key != "digests"}
    assert isinstance(ta.load(write(tmp_path / "old.npz", less, arrays)), ta.Module)
    for wrong in ([], 5, {"0.W": 3}):
        write(tmp_path / "m.npz", less | {"digests": wrong}, arrays)
        with pytest.raises(ValueError, match=r"digests|not what was saved"):
            ta.load(tmp_path / "m.npz")


def test_another_byte_order(tmp_path: Path, good: Path, header: Any) -> None:
    swapped = {name: a.astype(a.dtype.newbyteorder()) for name, a in arrays_of(good).items()}
    assert_same(ta.load(write(tmp_path / "m.npz", header, swapped)), small())


def test_aliases_that_mix_kinds(tmp_path: Path, good: Path, header: Any) -> None:
    arrays = arrays_of(good)
    for name, other in (
        ("encoder.4.running_mean", "encoder.4.gamma"),
        ("encoder.4.running_var", "T:encoder.4.running_mean"),  # the same kind: allowed
        ("encoder.4.beta", "encoder.4.beta"),
        ("decoder.0.b", "decoder.0.missing"),
    ):
        less = {k: a for k, a in arrays.items() if k != name}
        altered = header | {"aliases": header["aliases"] | {name: other}}
        path = write(tmp_path / "m.npz", altered, less)
        if other.startswith("T:"):
            assert isinstance(ta.load(path), ta.Module)
            continue
        with pytest.raises(ValueError, match=f"{name} .*(another kind|is missing)"):
            ta.load(path)


def test_a_name_twice(tmp_path: Path, good: Path) -> None:
    with zipfile.ZipFile(good) as a, zipfile.ZipFile(tmp_path / "m.npz", "w") as b:
        for info in [*a.infolist(), a.infolist()[-1]]:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("warnings.warn", lambda *args, **kwargs: None)
                b.writestr(info.filename, a.read(info))
    with pytest.raises(ValueError, match="twice under one name"):
        ta.load(tmp_path / "m.npz")


# --- fuzzing: a damaged file is rejected, or loads a valid model -------------------------------


def _load(path: Path) -> ta.Module | str:
    """The model, or the message of the ValueError; any other exception fails the test."""
    try:
        return ta.load(path)
    except ValueError as error:
        return str(error)


def _survives(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    back = _load(path)
    if isinstance(back, str):
        assert back.startswith(f"load: {path}: ")
    else:
        assert_same(back, small())


@pytest.fixture(scope="module", params=["npz", "safetensors"])
def victim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path_factory.mktemp("fuzz") / f"m.{request.param}"
    small().save(path)
    return path, path.read_bytes()


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_flipped_bytes(victim: Any, data: st.DataObject) -> None:
    path, content = victim
    damaged = bytearray(content)
    place = st.one_of(
        st.integers(0, len(content) - 1),
        st.integers(0, 300),
        st.integers(len(content) - 900, len(content) - 1),  # the zip's central directory
    )
    for at in data.draw(st.lists(place, min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    _survives(path, bytes(damaged))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_truncated_and_spliced(victim: Any, data: st.DataObject) -> None:
    path, content = victim
    cut = data.draw(st.integers(0, len(content) - 1))
    rest = data.draw(st.one_of(st.just(b""), st.binary(max_size=50), st.just(content[cut // 2 :])))
    _survives(path, content[:cut] + rest)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$class", "$id", "$ref", "$tuple", "$float", "$generator", "layers"]),
            inner,
            max_size=3,
        )
        | st.builds(
            lambda name, key, value, number: {"$class": name, "$id": number, key: value},
            st.sampled_from(sorted(classes())),
            st.sampled_from(["layers", "layer", "p", "rng", "num_features", "dense", "shape"]),
            inner,
            st.integers(0, 3),
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(tree=JSONS)
def test_arbitrary_architectures(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    stream = std_io.BytesIO()
    text = json.dumps(architecture(tree)).encode()
    np.savez(stream, __header__=np.frombuffer(text, np.uint8))
    path = tmp_path_factory.getbasetemp() / "arbitrary.npz"
    path.write_bytes(stream.getvalue())
    back = _load(path)  # a lone ReLU, for example, is a model
    assert isinstance(back, ta.Module) or back.startswith(f"load: {path}: ")
