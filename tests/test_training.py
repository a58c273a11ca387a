"""The loop: it learns, repeats itself to the bit, and says what went wrong before harm is done."""

import copy
import json
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.attacks import survival
from tinyae import kernels
from tinyae.data.batches import batches
from tinyae.layers import (
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
    TiedDense,
)
from tinyae.losses import BCE, MSE
from tinyae.models import Autoencoder, Model
from tinyae.models.base import Terms
from tinyae.optim import SGD, Adam, AdamW, Momentum, everything
from tinyae.param import Param
from tinyae.schedules import Cosine, Exponential
from tinyae.training import (
    EarlyStopping,
    Epoch,
    History,
    ReduceLROnPlateau,
    TrainingDiverged,
    description,
    fit,
)
from tinyae.training.description import SECTIONS


def make(seed: int = 0, noise: bool = False, dtype: Any = np.float32) -> Autoencoder:
    rng = np.random.default_rng(seed)
    extra = (BatchNorm(5), Dropout(0.2, rng=rng)) if noise else ()
    encoder = Sequential(Flatten(), Dense(12, 5, rng=rng), ReLU(), *extra)
    decoder = Sequential(Dense(5, 12, rng=rng), Sigmoid(), Reshape(3, 4))
    return Autoencoder(encoder, decoder, MSE()).astype(dtype)


def images(n: int, seed: int = 0) -> np.ndarray:
    """Blobs: something to learn, in [0, 1]."""
    rng = np.random.default_rng(seed)
    centre = rng.random((n, 2, 1, 1)) * [[[2]], [[3]]]
    grid = np.mgrid[:3, :4]
    return np.exp(-((grid - centre) ** 2).sum(axis=1)).astype(np.float32)


def bits(model: Model) -> dict[str, np.ndarray]:
    arrays = {name: p.value.copy() for name, p in model.params.items()}
    return arrays | {name: a.copy() for name, a in model.state.items()}


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def assert_clear(model: Model) -> None:
    assert not any(p.grad.any() for p in model.params.values())


def quiet(model: Model, x: Any, **settings: Any) -> History:
    return fit(model, x, **{"progress": False, "epochs": 2, "batch_size": 16, **settings})


# --- it learns, and tells --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_it_learns_and_keeps_a_history(name: str) -> None:
    if name == "numba":
        pytest.importorskip("numba")
    model, x, held_out = make(), images(200), images(50, seed=1)
    seen: list[Epoch] = []
    with kernels.use(name):
        history = model.fit(
            x,
            epochs=20,
            batch_size=32,
            optimizer=Adam(Exponential(0.02, 0.99)),
            validation=held_out,
            progress=False,
            on_epoch=seen.append,
        )
    assert seen == history.epochs
    assert [epoch.epoch for epoch in history.epochs] == list(range(1, 21))
    assert history["validation.total"][-1] < 0.35 * held_out.var()
    assert history["total"][-1] < history["total"][0] / 2
    assert history["validation.total"][-1] == pytest.approx(model.evaluate(held_out)["total"])
    assert (history["seconds"] > 0).all()
    np.testing.assert_allclose(history["learning_rate"], 0.02 * 0.99 ** (7 * np.arange(1, 21) - 1))
    assert history.best_epoch == 1 + np.argmin(history["validation.total"])
    assert_clear(model)
    table = repr(history).splitlines()
    assert len(table) == 21
    assert table[0].split()[:3] == ["epoch", "total", "reconstruction"]
    assert sum("← best" in line for line in table) == 1
    with pytest.raises(KeyError, match=r"validation\.total"):
        history["kl"]


def test_terms_are_weighted_by_the_size_of_the_batch() -> None:
    x, model = images(20), make()
    history = quiet(model, x, epochs=1, batch_size=16, optimizer=SGD(0.0))
    assert history["total"][0] == pytest.approx(make().evaluate(x)["total"], rel=1e-6)
    assert "validation.total" not in history.names


def test_long_histories_are_shortened() -> None:
    epochs = [Epoch(i, {"total": abs(i - 40.0)}, {}, 0.1, 0.01) for i in range(1, 101)]
    text = repr(History(epochs))
    assert len(text.splitlines()) == 1 + 5 + 1 + 20
    assert "40" in next(line for line in text.splitlines() if "best" in line)
    assert "no epoch" in repr(History())
    assert History().best_epoch == 0


def test_a_step_is_backprop_then_step() -> None:
    x, model, twin = images(40), make(), make()
    quiet(model, x, epochs=2, batch_size=16, optimizer=Momentum(0.1), rng=3)
    rng, optimizer = np.random.default_rng(3), Momentum(0.1)
    for _ in range(2):
        order = rng.permutation(40)
        for start in (0, 16, 32):
            twin.backprop(x[order[start : start + 16]], rng)
            optimizer.step(twin.params)
    assert_same(bits(model), bits(twin))


def test_clipping_bounds_each_step() -> None:
    x, model = images(16), make()
    before = bits(model)
    quiet(model, x, epochs=1, optimizer=SGD(1.0), clip_norm=1e-3)
    moved = sum(float(((a - before[k]) ** 2).sum()) for k, a in bits(model).items())
    assert moved**0.5 == pytest.approx(1e-3, rel=1e-3)


# --- the same bits ---------------------------------------------------------------------------


def test_a_seed_gives_the_same_bits() -> None:
    x = images(60)
    runs = []
    for rng in (5, 5, np.random.default_rng(5), 6):
        model = make(noise=True)
        quiet(model, x, rng=rng, validation=x[:10])
        runs.append(bits(model))
    assert_same(runs[0], runs[1])
    assert_same(runs[0], runs[2])
    assert (runs[0]["encoder.1.W"] != runs[3]["encoder.1.W"]).any()


def test_neither_progress_nor_validation_nor_callbacks_change_the_bits(tmp_path: Path) -> None:
    x, plain, watched = images(60), make(noise=True), make(noise=True)
    quiet(plain, x)
    quiet(
        watched,
        x,
        progress=True,
        validation=x[:20],
        checkpoint=tmp_path / "c.npz",
        on_epoch=lambda epoch: np.random.default_rng(epoch.epoch).random(9),
    )
    assert_same(bits(plain), bits(watched))


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_four_epochs_are_two_and_two_resumed(tmp_path: Path, kind: Any) -> None:
    x, held_out, path = images(50), images(20, seed=1), tmp_path / "c.npz"
    settings: dict[str, Any] = {"validation": held_out, "batch_size": 16}

    def optimizer() -> Adam:
        return Adam(Cosine(0.01, 16))

    def rng() -> np.random.Generator:
        return np.random.Generator(kind(3))

    whole = make(noise=True)
    long = quiet(whole, x, epochs=4, optimizer=optimizer(), rng=rng(), **settings)

    half = make(noise=True)
    quiet(half, x, epochs=2, optimizer=optimizer(), rng=rng(), checkpoint=path, **settings)
    rest = make(seed=9, noise=True)  # other weights, and a generator elsewhere
    fresh = optimizer()
    other = np.random.Generator(kind(77))
    short = quiet(rest, x, epochs=4, optimizer=fresh, rng=other, resume=path, **settings)

    assert_same(bits(whole), bits(rest))
    for name in set(long.names) - {"seconds"}:
        np.testing.assert_array_equal(long[name], short[name])
    assert fresh.t == 16
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]  # no temporary file is left
    again = quiet(rest, x, epochs=4, optimizer=fresh, rng=other, resume=path, validation=held_out)
    assert len(again) == 4


def test_early_stopping_goes_on_where_it_was(tmp_path: Path) -> None:
    x, path = images(30), tmp_path / "c.npz"
    stopping = EarlyStopping(patience=3)
    whole = make()
    long = quiet(whole, x, epochs=9, optimizer=SGD(1e-9), early_stopping=stopping)
    model = make()
    quiet(model, x, epochs=2, optimizer=SGD(1e-9), checkpoint=path, early_stopping=stopping)
    model = make(seed=4)
    short = quiet(model, x, epochs=9, optimizer=SGD(1e-9), resume=path, early_stopping=stopping)
    assert len(long) == len(short)
    assert_same(bits(whole), bits(model))


def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    x, path = images(40), tmp_path / "c.npz"
    quiet(make(noise=True), x, checkpoint=path)
    content = path.read_bytes()
    cut = tmp_path / "cut.npz"
    cut.write_bytes(content[: len(content) // 2])
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, a=np.zeros(3))
    rng = np.random.default_rng(0)
    other = Autoencoder(
        Sequential(Flatten(), Dense(12, 4, rng=rng)),
        Sequential(Dense(4, 12, rng=rng), Reshape(3, 4)),
        MSE(),
    )
    cases: list[tuple[Model, Path, Any, str]] = [
        (make(noise=True), cut, Adam(), "cannot resume"),
        (make(noise=True), foreign, Adam(), "cannot resume"),
        (make(noise=True), path, SGD(0.1), "written with Adam"),
        (make(), path, Adam(), r"encoder\.3"),
        (other, path, Adam(), r"encoder\.1\.W"),
    ]
    for model, file, optimizer, words in cases:
        before = bits(model)
        with pytest.raises(ValueError, match=words):
            quiet(model, x, resume=file, optimizer=optimizer)
        assert_same(bits(model), before)
        assert optimizer.t == 0
        assert not optimizer.state_arrays(model.params)
    with pytest.raises(FileNotFoundError, match="leave out resume"):
        quiet(make(), x, resume=tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match="folder"):
        quiet(make(), x, checkpoint=tmp_path / "none" / "c.npz")


# --- data of every kind ----------------------------------------------------------------------


class Loader:
    """A re-iterable of batches, as a data loader is."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[Any]:
        return iter(self.parts)


def test_iterables_of_batches() -> None:
    x = images(48)
    parts = [x[:16], x[16:32], x[32:]]
    by_hand, optimizer = make(), SGD(0.5)
    for _ in range(2):
        for part in parts:
            by_hand.backprop(part)
            optimizer.step(by_hand.params)
    for data in (parts, Loader(parts)):
        model = make()
        history = quiet(model, data, optimizer=SGD(0.5), validation=data)
        assert_same(bits(model), bits(by_hand))
        assert history["validation.total"][-1] == pytest.approx(model.evaluate(x)["total"])
    once = make()
    quiet(once, iter(parts), epochs=1, optimizer=SGD(0.5))
    again = make()
    quiet(again, parts, epochs=1, optimizer=SGD(0.5))
    assert_same(bits(once), bits(again))


def test_one_shot_iterators_are_refused_before_anything_changes() -> None:
    model, parts = make(), [images(16)]
    before = bits(model)
    generator = (part for part in parts)
    with pytest.raises(ValueError, match="can run once only"):
        quiet(model, generator, epochs=2)
    assert next(generator) is parts[0]
    with pytest.raises(ValueError, match="validation is an iterator"):
        quiet(model, parts, epochs=1, validation=iter(parts))
    assert_same(bits(model), before)


@pytest.mark.parametrize("kind", [np.uint8, np.float64, np.float16])
def test_batches_are_brought_into_the_models_dtype(kind: Any) -> None:
    x = (images(32) > 0.5).astype(kind)
    model, same = make(), make()
    quiet(model, x, validation=x)
    quiet(same, x.astype(np.float32))
    assert_same(bits(model), bits(same))
    assert model.dtype == np.float32


def test_a_memory_map_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).random((60000, 48), dtype=np.float32))  # 11.5 MB
    rng = np.random.default_rng(0)
    encoder, decoder = Dense(48, 2, rng=rng), Sequential(Dense(2, 48, rng=rng), Sigmoid())
    model = Autoencoder(encoder, decoder, MSE())
    x = np.load(path, mmap_mode="r")
    quiet(model, x[:600], batch_size=500, validation=x[:100])  # compiles
    tracemalloc.start()
    quiet(model, x, epochs=1, batch_size=500, validation=x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


class Paired(Model):
    """Rows with labels: y = W x should be the label's row of a table."""

    def __init__(self) -> None:
        self.dense = Dense(4, 3, rng=np.random.default_rng(0))
        self.loss = MSE()

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        features, labels = x
        assert features.dtype == np.float32
        assert labels.dtype == np.int64
        y, cache = self.dense.forward(features)
        L, dy = self.loss(y, np.eye(3, dtype=np.float32)[labels])
        self.dense.backward_params(dy, cache)
        return {"total": L}

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        L, _ = self.loss(self.dense(x[0]), np.eye(3, dtype=np.float32)[x[1]])
        return {"total": L}


def test_tuples_stay_together() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    features = np.eye(4)[labels] + 0.01 * rng.normal(size=(90, 4))  # float64: is converted
    history = quiet(
        Paired(), (features, labels), epochs=60, optimizer=Adam(0.05), validation=(features, labels)
    )
    assert history["validation.total"][-1] < 1e-3
    with pytest.raises(ValueError, match="90 and 89 rows"):
        quiet(Paired(), (features, labels[1:]))
    features[5, 2] = np.nan
    with pytest.raises(ValueError, match=r"x\[0\] has nan at \(5, 2\)"):
        quiet(Paired(), (features, labels))


# --- a bad call leaves everything as it was --------------------------------------------------


def with_nan(n: int) -> np.ndarray:
    x = images(n)
    x[n - 1, 1, 2] = np.nan
    return x


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"x": with_nan(40)}, ValueError, r"nan at \(39, 1, 2\)"),
        ({"validation": with_nan(40)}, ValueError, r"nan at \(39, 1, 2\)"),
        ({"x": images(40) * 255}, ValueError, "Sigmoid"),
        ({"x": images(40)[:, :, :3]}, ValueError, "Dense"),
        ({"x": images(40).reshape(40, 12)}, ValueError, "Reshape"),
        ({"validation": images(40)[:, :2]}, ValueError, "Dense"),
        ({"x": images(0)}, ValueError, "no rows"),
        ({"x": []}, ValueError, "no batch"),
        ({"x": [1.0, 2.0]}, TypeError, "asarray"),
        ({"x": "images.npy"}, TypeError, "str"),
        ({"x": (images(40), images(40))}, TypeError, "tuple of 2"),
        ({"x": images(33), "batch_size": 16}, ValueError, "BatchNorm"),  # a last batch of one
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"epochs": 2.0}, ValueError, "epochs is 2.0"),
        ({"batch_size": -1}, ValueError, "batch_size is -1"),
        ({"optimizer": Adam}, TypeError, "Adam"),
        ({"optimizer": 0.1}, TypeError, r"Adam\(1e-3\)"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm"),
        ({"early_stopping": 5}, TypeError, r"EarlyStopping\(patience=5\)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_bad_call_changes_nothing(
    change: dict[str, Any], kind: type[Exception], words: str
) -> None:
    model = make(noise=True)
    before, rng = bits(model), np.random.default_rng(0)
    state = json.dumps(rng.bit_generator.state)
    settings = {"x": images(40), "validation": images(8), "rng": rng, **change}
    with pytest.raises(kind, match=words):
        quiet(model, **settings)
    assert_same(bits(model), before)
    assert_clear(model)
    assert json.dumps(rng.bit_generator.state) == state


def test_what_is_not_a_model() -> None:
    with pytest.raises(TypeError, match="expected a Model"):
        quiet(Dense(2, 2, rng=np.random.default_rng(0)), images(4))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nothing to learn"):
        quiet(Autoencoder(Flatten(), Reshape(3, 4), MSE()), images(4))


# --- when it goes wrong ----------------------------------------------------------------------


def test_a_huge_learning_rate_is_named_and_the_weights_come_back() -> None:
    rng = np.random.default_rng(0)
    x = images(64).reshape(64, 12)
    model = Autoencoder(Dense(12, 3, rng=rng), Dense(3, 12, rng=rng), MSE())
    before = bits(model)
    with pytest.raises(
        TrainingDiverged, match=r"epoch 1, batch \d.*learning rate.*1e\+20"
    ) as caught:
        quiet(model, x, optimizer=SGD(1e20))
    error = caught.value
    assert isinstance(error, FloatingPointError)
    assert error.epoch == 1
    assert 1 <= error.batch <= 4
    assert error.layer in ("encoder", "decoder", None)
    assert len(error.history) == 0
    assert_same(bits(model), before)
    assert_clear(model)


class PlantNaN(SGD):
    """SGD that spoils one weight at one step."""

    def __init__(self, at: int, param: Param) -> None:
        super().__init__(0.5)
        self.at = at
        self.param = param

    def step(self, params: dict[str, Param]) -> None:
        super().step(params)
        if self.t == self.at:
            self.param.value[0] = np.nan


@pytest.mark.parametrize(
    ("layer", "at", "batch"),
    [
        ("encoder.1", 10, 3),  # seen in the loss of the next batch
        ("decoder.0", 10, 3),
        ("decoder.0", 12, 4),  # the epoch's last step: seen in the weights
    ],
)
def test_a_planted_nan_is_found(layer: str, at: int, batch: int) -> None:
    x, model = images(64), make(noise=True)
    states: list[dict[str, np.ndarray]] = []
    optimizer = PlantNaN(at, model.params[f"{layer}.W"])
    with pytest.raises(TrainingDiverged) as caught:
        quiet(
            model,
            x,
            epochs=5,
            optimizer=optimizer,
            validation=x[:16],
            on_epoch=lambda _: states.append(bits(model)),
        )
    error = caught.value
    assert (error.epoch, error.batch, error.layer) == (3, batch, layer)
    assert f"epoch 3, batch {batch}" in str(error)
    assert f"{layer} (Dense(" in str(error)
    assert len(error.history) == 2
    assert_same(bits(model), states[error.history.best_epoch - 1])
    assert_clear(model)


def test_a_nan_from_a_loader_is_not_blamed_on_a_layer() -> None:
    model = make()
    before = bits(model)
    with pytest.raises(TrainingDiverged, match=r"epoch 1, batch 2.*look at the data") as caught:
        quiet(model, [images(16), with_nan(16)])
    assert caught.value.layer is None
    assert_same(bits(model), before)


class Stop(Exception):
    pass


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Stop])
def test_an_interrupted_training_leaves_a_usable_model(kind: type[BaseException]) -> None:
    x = images(64)

    class Broken(Loader):
        def __iter__(self) -> Iterator[Any]:
            yield self.parts[0]
            if self.parts[0] is None or len(calls) > 1:
                raise kind
            calls.append(1)
            yield self.parts[1]

    calls: list[int] = []
    model = make()
    before = bits(model)
    with pytest.raises(kind):
        quiet(model, Broken([x[:32], x[32:]]), epochs=5)
    assert_clear(model)
    assert np.isfinite(model.evaluate(x)["total"])
    assert (bits(model)["encoder.1.W"] != before["encoder.1.W"]).any()


# --- early stopping --------------------------------------------------------------------------


def test_early_stopping_counts_epochs_without_improvement() -> None:
    stopping = EarlyStopping(patience=2)
    assert not stopping.stops([])
    assert not stopping.stops([3, 2, 2.5])
    assert stopping.stops([3, 2, 2.5, 2])
    assert not stopping.stops([3, 2, 2.5, 1.9])
    assert EarlyStopping(2, min_improvement=0.5).stops([3, 2.9, 2.8])
    assert not EarlyStopping(2, min_improvement=0.5).stops([3, 2.7, 2.4])
    with pytest.raises(ValueError, match="patience"):
        EarlyStopping(0)


def test_early_stopping_restores_the_best() -> None:
    """The rate grows until the steps overshoot, so validation falls and then rises."""
    x, held_out, model = images(64), images(32, seed=1), make(noise=True)
    states: list[dict[str, np.ndarray]] = []
    history = quiet(
        model,
        x,
        epochs=100,
        optimizer=SGD(lambda t: 0.05 * 1.12**t),
        validation=held_out,
        early_stopping=EarlyStopping(patience=3),
        on_epoch=lambda _: states.append(bits(model)),
    )
    assert 4 < len(history) < 100
    assert history.best_epoch == len(history) - 3
    assert_same(bits(model), states[history.best_epoch - 1])
    assert model.evaluate(held_out)["total"] == history["validation.total"].min()


# --- progress --------------------------------------------------------------------------------


def test_the_bar_counts_every_batch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tqdm")
    quiet(make(), images(70), progress=True)
    assert capsys.readouterr().err == ""  # where nobody watches
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    quiet(make(), images(70), progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "epoch 2/2" in shown.err
    assert "10/10" in shown.err
    assert "loss" in shown.err
    quiet(make(), images(305), progress=True, epochs=1, batch_size=1)  # counted in threes
    assert "305/305" in capsys.readouterr().err
    quiet(make(), Loader([images(16)] * 3), progress=True)
    assert "6batch" in capsys.readouterr().err
    quiet(make(), images(70))
    assert capsys.readouterr().err == ""


def test_without_tqdm_there_are_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    quiet(make(), images(70), progress=True, validation=images(10))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "validation" in lines[0]


def test_tied_weights_train_as_one() -> None:
    dense = Dense(12, 4, rng=np.random.default_rng(0))
    model = Autoencoder(
        Sequential(Flatten(), dense),
        Sequential(TiedDense(dense), Sigmoid(), Reshape(3, 4)),
        BCE(),
    )
    twin = copy.deepcopy(model)
    history = quiet(model, images(64), epochs=5, optimizer=Adam(0.01))
    assert history["total"][-1] < history["total"][0]
    assert model.params["encoder.1.W"] is model.params["decoder.0.W"]
    assert twin.evaluate(images(64))["total"] > model.evaluate(images(64))["total"]


def test_the_former_name_of_the_package_still_works() -> None:
    from tinyae import train
    from tinyae.train import fit as former

    assert train.fit is former is fit
    assert train.EarlyStopping is EarlyStopping
    assert train.Epoch is Epoch
    assert train.History is History
    assert train.TrainingDiverged is TrainingDiverged


# --- known before the first step ---------------------------------------------------------------


def assert_refused(
    model: Model, x: Any, error: type[Exception], says: str, **settings: Any
) -> None:
    before = bits(model)
    with pytest.raises(error, match=says):
        quiet(model, x, on_epoch=settings.pop("on_epoch", no_epoch), **settings)
    assert_same(bits(model), before)
    assert_clear(model)


def no_epoch(epoch: Epoch) -> None:
    raise AssertionError("an epoch was trained")


@pytest.mark.parametrize("on_epoch", [3, "print", lambda: None, lambda a, b: None])
def test_on_epoch_is_a_function_of_an_epoch(on_epoch: Any) -> None:
    assert_refused(make(), images(40), TypeError, "on_epoch is", on_epoch=on_epoch)


def test_on_epoch_may_be_any_such_function() -> None:
    seen: list[Any] = []
    for f in (seen.append, lambda epoch, more=1: seen.append(epoch), print, lambda *all_: None):
        quiet(make(), images(20), on_epoch=f)
    assert len(seen) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of POSIX")
def test_a_checkpoint_that_cannot_be_written(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "locked").touch(mode=0o444)
    for path, error, says in (
        (tmp_path, ValueError, "checkpoint: .* is a folder"),
        (tmp_path / "pipe", ValueError, "is a pipe"),
        ("/dev/null", ValueError, "/dev/null is a device"),
        (tmp_path / "locked", PermissionError, "write-protected.*locked"),
        (tmp_path / "none" / "c", FileNotFoundError, "does not exist"),
        (3, TypeError, "3 is not a path"),
    ):
        assert_refused(make(), images(40), error, says, checkpoint=path)
    for path, error in ((tmp_path, "folder"), (tmp_path / "pipe", "pipe"), ("/dev/null", "device")):
        assert_refused(make(), images(40), ValueError, f"resume from .* a {error}", resume=path)


class Unknown(np.random.PCG64):
    """A source of random bits that no file describes."""


@pytest.mark.parametrize("where", ["fit", "layer"])
def test_a_generator_that_no_checkpoint_can_hold(tmp_path: Path, where: str) -> None:
    rng = np.random.Generator(Unknown(0))
    model, settings = make(noise=True), {"checkpoint": tmp_path / "c.npz"}
    if where == "layer":
        model.encoder.layers[4].rng = rng
    else:
        settings["rng"] = rng
    assert_refused(model, images(40), TypeError, "driven by Unknown", **settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        (lambda t: -1.0, "gives -1.0 at step 0"),
        (lambda t: 0.09 - 0.02 * t, "gives -0.0"),
        (lambda t: float("nan"), "gives nan at step 0"),
        (lambda t: 10.0 ** (100 * t), "fails at step|gives inf"),
        (lambda t: "x", "fails at step 0"),
        (lambda t: 1 / (3 - t), "fails at step 3"),
        (lambda: 0.1, "fails at step 0"),
    ],
)
def test_a_rate_that_cannot_be(schedule: Any, says: str) -> None:
    for optimizer in (SGD(schedule), Adam(schedule)):
        assert_refused(make(), images(40), ValueError, says, optimizer=optimizer)
        assert optimizer.t == 0


def test_a_rare_rate_is_found_at_its_step() -> None:
    """Of many steps only some are tried before the first one."""
    model = make()
    with pytest.raises(ValueError, match=r"gives -1\.0 at step 1301"):
        quiet(model, images(8), batch_size=1, epochs=700,
              optimizer=SGD(lambda t: -1.0 if t == 1301 else 1e-6))  # fmt: skip
    assert_clear(model)
    assert np.isfinite(model.evaluate(images(8))["total"])


def test_a_rare_label_beyond_the_classes() -> None:
    from tinyae.models import Classifier

    rng = np.random.default_rng(0)
    network = Sequential(Flatten(), Dense(12, 6, rng=rng), BatchNorm(6), Dense(6, 3, rng=rng))
    x, labels = images(400), np.arange(400) % 3
    rare = labels.copy()
    rare[377] = 3
    model, says = Classifier(network), r"the labels run to 3"
    assert_refused(model, (x, rare), ValueError, says)
    assert_refused(model, (x, labels), ValueError, says, validation=(x, rare))
    parts = [(x[i : i + 50], rare[i : i + 50]) for i in range(0, 400, 50)]
    assert_refused(model, parts, ValueError, says)
    assert_refused(model, (x, rare), ValueError, says, augment=lambda batch, rng: batch)
    quiet(model, (x, labels), validation=parts[:7])


def test_a_list_of_batches_is_tried_in_each_shape() -> None:
    x = images(48)
    for odd in (x[:8, :2], x[:7].reshape(7, 12)[:, :5], "x", None):
        parts: list[Any] = [x[:16], x[16:32], odd]
        assert_refused(make(), parts, (ValueError, TypeError), "shape|batches")  # type: ignore[arg-type]
        assert_refused(
            make(),
            x,
            (ValueError, TypeError),
            "shape|batches",
            validation=parts,  # type: ignore[arg-type]
        )
    quiet(make(), [x[:16], x[16:29], x[29:]], validation=[x[:3], x[3:20]])


# --- checkpoints that were crafted --------------------------------------------------------------


def crafted(tmp_path: Path, change: Any) -> Path:
    """A checkpoint of ``make(noise=True)`` in which ``change`` has altered header and arrays."""
    from tinyae import archive, files

    path = tmp_path / "c.npz"
    path.unlink(missing_ok=True)
    quiet(make(noise=True), images(40), checkpoint=path, validation=images(8))
    header, arrays = archive.from_npz(path)
    del header["digests"]
    arrays = {name: np.array(a) for name, a in arrays.items()}
    change(header, arrays)
    files.write("test", path, lambda file: archive.to_npz(file, header, arrays))
    return path


def setting(name: str, value: Any) -> Any:
    return lambda header, arrays: arrays.__setitem__(name, value)


def header_setting(name: str, value: Any) -> Any:
    return lambda header, arrays: header.__setitem__(name, value)


CRAFTED = [
    (header_setting("checkpoint", 2), "not a checkpoint of this version"),
    (header_setting("optimizers", 5), "no optimizers"),
    (header_setting("optimizers", []), "written with"),
    (header_setting("optimizers", ["Adam"]), "no optimizer and its steps"),
    (header_setting("optimizers", [["Adam", -1]]), "no optimizer and its steps"),
    (header_setting("optimizers", [["Adam", 1e3]]), "no optimizer and its steps"),
    (header_setting("optimizers", [["Adam", 10**30]]), "no optimizer and its steps"),
    (header_setting("optimizers", [[["Adam"], 1]]), "no optimizer and its steps"),
    (header_setting("optimizers", [["Adam", 1]]), "not a number of steps up to 1"),
    (header_setting("rng", None), "no rng"),
    (header_setting("rng", {"bit_generator": "PCG64"}), "the state of a PCG64"),
    (header_setting("layers", {}), "other layers draw"),
    (header_setting("layers", {"encoder.4.rng": 3}), "state of a generator is missing"),
    (setting("model/encoder.1.W", np.zeros((5, 12))), r"of its weights, encoder\.1\.W"),
    (setting("model/encoder.1.W", np.full((5, 12), np.nan, "f4")), "not finite"),
    (setting("best/encoder.1.W", np.zeros((4, 12), "f4")), r"best weights, encoder\.1\.W"),
    (setting("best/more", np.zeros(3)), "best weights, more"),
    (setting("other/thing", np.zeros(3)), "other is no part"),
    (setting("optimizer 1/encoder.1.W/m", np.zeros(3)), "optimizer 1 is no part"),
    (setting("optimizer 0/encoder.1.W/m", np.zeros(3)), r"shape \(3,\)"),
    (setting("optimizer 0/encoder.1.W/q", np.zeros(3)), "not expected"),
    (setting("optimizer 0/encoder.1.W/v", np.full((5, 12), np.inf, "f4")), "expected finite"),
    (setting("optimizer 0/encoder.1.W/steps", np.zeros(2, int)), "not a number of steps"),
    (setting("optimizer 0/encoder.1.W/steps", np.array(-1)), "not a number of steps"),
    (setting("optimizer 0/encoder.1.W/steps", np.array(2.5)), "not a number of steps"),
    (lambda header, arrays: arrays.pop("optimizer 0/encoder.1.W/m"), "missing"),
    (lambda header, arrays: arrays.pop("history/seconds"), "history is incomplete"),
    (setting("history/total", np.zeros(5)), "history is incomplete"),
    (setting("history/total", np.array([1.0, np.nan])), "not finite"),
    (setting("history/total", np.array([1, 2])), "not a number for each epoch"),
    (lambda header, arrays: arrays.pop("history/validation.total"), r"no validation\.total;"),
    (setting("history/kl", np.zeros(2)), "its history or this training has no kl;"),
]


@pytest.mark.parametrize(("change", "says"), CRAFTED, ids=range(len(CRAFTED)))
def test_a_crafted_checkpoint_changes_nothing(tmp_path: Path, change: Any, says: str) -> None:
    path = crafted(tmp_path, change)
    model, optimizer, rng = make(noise=True), Adam(), np.random.default_rng(3)
    states = [rng.bit_generator.state, model.encoder.layers[4].rng.bit_generator.state]
    assert_refused(
        model, images(40), ValueError, f"cannot resume from {path}: .*{says}",
        resume=path, optimizer=optimizer, rng=rng, validation=images(8), epochs=4,
    )  # fmt: skip
    assert optimizer.t == 0
    assert not optimizer.state_arrays(model.params)
    assert states == [rng.bit_generator.state, model.encoder.layers[4].rng.bit_generator.state]


def test_weights_under_each_others_name(tmp_path: Path) -> None:
    path = crafted(tmp_path, lambda header, arrays: None)
    from tinyae import archive, files

    header, arrays = archive.from_npz(path)  # with its digests
    names = ["model/encoder.3.gamma", "model/encoder.3.beta"]
    arrays |= dict(zip(names, [arrays[name] for name in reversed(names)]))
    text = json.dumps(header)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "_text", lambda header, arrays: text)
        files.write("test", path, lambda file: archive.to_npz(file, header, arrays))
    assert_refused(make(noise=True), images(40), ValueError, "not what was saved", resume=path)


def test_a_history_needs_the_same_validation(tmp_path: Path) -> None:
    path = crafted(tmp_path, lambda header, arrays: None)
    assert_refused(
        make(noise=True), images(40), ValueError, r"validation\.total.*with validation if it had",
        resume=path, epochs=3,
    )  # fmt: skip
    assert (
        len(quiet(make(noise=True), images(40), resume=path, validation=images(8), epochs=3)) == 3
    )


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_model_that_is_not_finite_is_told_before_the_first_step(number):
    rng = np.random.default_rng(0)
    model = Autoencoder(Dense(6, 3, rng=rng), Dense(3, 6, rng=rng), MSE())
    model.encoder.W.value[1, 2] = number
    with pytest.raises(ValueError, match=r"fit: encoder.W, .* has 1 entry of NaN or infinity"):
        fit(model, rng.random((8, 6), np.float32), epochs=1, rng=0, progress=False)


@pytest.mark.parametrize("kind", [memoryview, bytearray])
def test_memory_that_is_no_array_is_told_by_name(kind):
    x = np.zeros((8, 6), np.float32)
    with pytest.raises(TypeError, match=f"x is a {kind.__name__}, expected an array"):
        batches(kind(x), 4)


# --- what a training was begun with -------------------------------------------------------------


def steep(t: int) -> float:
    return 0.01 * 0.9**t


def shallow(t: int) -> float:
    return 0.01 * 0.95**t


def flipped(batch: Any, rng: np.random.Generator) -> Any:
    return batch[:, ::-1]


def other_activation() -> Autoencoder:
    model = make(noise=True)
    flatten, dense, _, *others = model.encoder.layers
    encoder = Sequential(flatten, dense, Tanh(), *others)
    return Autoencoder(encoder, model.decoder, model.loss)


def less_noise() -> Autoencoder:
    model = make(noise=True)
    model.encoder.layers[4].p = 0.1
    return model


def frozen_decoder() -> Autoencoder:
    model = make(noise=True)
    model.decoder.freeze()
    return model


def one_number_changed() -> np.ndarray:
    x = images(40)
    x[17, 1, 2] += 0.01
    return x


BEGUN: dict[str, Any] = {"epochs": 2, "rng": 5, "batch_size": 16}
CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("model", {"model": other_activation}, r"encoder\.layers\.2 was ReLU, is Tanh"),
    ("model", {"model": less_noise}, r"Dropout p=0\.2, is Dropout p=0\.1"),
    ("model", {"model": frozen_decoder}, "W is frozen b is frozen"),
    ("data", {"x": one_number_changed}, r"float32 of shape \(40, 3, 4\), digest"),
    ("data", {"x": lambda: images(41)[1:]}, "digest"),
    ("data", {"x": lambda: images(40).astype(np.float64)}, r"is float64"),
    ("data", {"x": lambda: [images(40)]}, "batch 0 was nothing"),
    ("validation", {"validation": images(7, 1)}, r"shape \(8, 3, 4\).*is .*shape \(7, 3, 4\)"),
    ("schedule", {"optimizer": lambda: Adam(0.01)}, "was 0.001 at every step, is 0.01"),
    ("optimizer", {"optimizer": lambda: Adam(1e-3, beta1=0.8)}, r"beta1=0\.9.*is .*beta1=0\.8"),
    ("optimizer", {"optimizer": lambda: Adam(1e-3, l2=0.1)}, r"l2=0\.1"),
    ("settings", {"batch_size": 8}, "batch_size was 16, is 8"),
    ("settings", {"clip_norm": 1.0}, "clip_norm was None, is 1.0"),
    ("settings", {"augment": flipped}, "augment was None, is .*flipped"),
    ("settings", {"early_stopping": EarlyStopping(3)}, r"is EarlyStopping\(patience=3"),
    ("settings", {"reduce_on_plateau": ReduceLROnPlateau()}, r"is ReduceLROnPlateau\("),
]


@pytest.mark.parametrize(("section", "change", "says"), CHANGES, ids=range(len(CHANGES)))
def test_a_changed_training_is_refused_or_told_to(
    tmp_path: Path, section: str, change: dict[str, Any], says: str
) -> None:
    path = tmp_path / "c.npz"
    quiet(make(noise=True), images(40), validation=images(8, 1), checkpoint=path, **BEGUN)
    made = {key: change[key]() for key in ("model", "x", "optimizer") if key in change}
    settings = {"validation": images(8, 1), "optimizer": Adam(), **BEGUN, **change, **made}
    settings |= {"epochs": 3, "resume": path}
    model, x = settings.pop("model", make(noise=True)), settings.pop("x", images(40))
    assert_refused(model, x, ValueError, f"{section}: .*{says}.*accept_changes=.'{section}'.",
                   **settings)  # fmt: skip
    assert settings["optimizer"].t == 0
    wrong = [name for name in SECTIONS if name != section]
    assert_refused(model, x, ValueError, section, accept_changes=wrong, **settings)
    assert len(quiet(model, x, accept_changes=[section], **settings)) == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [(Cosine(0.01, 6), Cosine(0.01, 12)), (steep, shallow), (Exponential(0.01, 0.9), 0.01)],
)
def test_a_schedule_does_not_start_again_unsaid(tmp_path: Path, before: Any, after: Any) -> None:
    path, x = tmp_path / "c.npz", images(40)
    quiet(make(), x, checkpoint=path, optimizer=Adam(before), **BEGUN)
    was, rate = before(6), after(6) if callable(after) else after
    says = f"schedule: .*next step's rate would be {rate:.3g}, and was {was:.3g}"
    resumed = {**BEGUN, "epochs": 4, "resume": path}
    assert_refused(make(), x, ValueError, says, optimizer=Adam(after), **resumed)
    history = quiet(make(), x, optimizer=Adam(after), accept_changes=("schedule",), **resumed)
    assert len(history) == 4
    assert len(quiet(make(), x, optimizer=Adam(before), **resumed)) == 4


def test_what_cannot_be_accepted() -> None:
    for kind, value in ((TypeError, "data"), (TypeError, 3), (ValueError, ["weights"])):
        assert_refused(make(), images(40), kind, "accept_changes", accept_changes=value)
    assert_refused(make(), images(40), ValueError, "every", every=0)
    assert_refused(make(), images(40), TypeError, "reduce_on_plateau", reduce_on_plateau=3)


def test_a_digest_reads_a_bounded_part_of_a_large_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "DIGESTED", 1 << 14)
    large = np.arange(10**6).reshape(-1, 5)
    read = list(description._blocks(large))
    assert sum(block.nbytes for block in read) <= 1 << 14
    assert read[0][0, 0] == 0
    assert read[-1][-1, -1] == 10**6 - 1
    assert description._digest(large) == description._digest(large.copy())
    assert description._digest(large) != description._digest(large + 1)
    small = large[:400]
    assert sum(block.nbytes for block in description._blocks(small)) == small.nbytes
    wide = np.ones((3, 10**4))
    assert np.concatenate(list(description._blocks(wide))).shape == wide.shape


def test_every_so_many_epochs_and_at_the_end(tmp_path: Path) -> None:
    from tinyae import archive

    path, seen = tmp_path / "c.npz", []

    def look(epoch: Epoch) -> None:
        seen.append(len(archive.from_npz(path)[1]["history/total"]) if path.exists() else 0)

    quiet(make(), images(40), epochs=8, checkpoint=path, every=3, on_epoch=look)
    assert seen == [0, 0, 3, 3, 3, 6, 6, 8]


@pytest.mark.parametrize("kernel_set", survival.KERNELS)
@pytest.mark.parametrize("name", survival.MODELS)
def test_every_model_goes_on_to_the_same_bits(tmp_path: Path, name: str, kernel_set: str) -> None:
    path = tmp_path / "c.npz"
    with kernels.use(kernel_set):
        survival.train(name, path, epochs=5)
        assert survival.train(name, path) == survival.train(name, None)


# --- a plateau, frozen layers -------------------------------------------------------------------


def test_the_rate_falls_on_a_plateau() -> None:
    plateau = ReduceLROnPlateau(0.5, patience=2, min_improvement=0.1, min_factor=0.2)
    for values, factor in (
        ([], 1),
        ([3, 2, 1], 1),
        ([3, 3], 1),
        ([3, 2.95, 2.9], 0.5),
        ([3, 3, 3, 3], 0.5),
        ([3, 3, 3, 2, 2], 0.5),
        ([3] * 5, 0.25),
        ([3] * 50, 0.2),
    ):
        assert plateau.rate_factor(values) == pytest.approx(factor), values
    for wrong in ({"factor": 1.5}, {"factor": 0}, {"patience": 0}, {"min_factor": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ReduceLROnPlateau(**wrong)  # type: ignore[arg-type]
    optimizer = SGD(Exponential(1e-9, 0.99))
    settings = {"epochs": 7, "optimizer": optimizer, "validation": images(8)}
    history = quiet(make(), images(16), reduce_on_plateau=plateau, **settings)
    expected = 1e-9 * 0.99 ** np.arange(7) * [1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    np.testing.assert_allclose(history["learning_rate"], expected)
    optimizer.t = 0
    history = quiet(make(), images(16), **settings)  # another training: the whole rate again
    np.testing.assert_allclose(history["learning_rate"], 1e-9 * 0.99 ** np.arange(7))


def _has_parts(name: str) -> bool:
    """Whether the model is no game, which has two optimizers, and has a part that can be frozen."""
    model = survival.MODELS[name](np.random.default_rng(0))[0]
    first = next(iter(model.children.values()), None)
    learns = len(model.children) > 1 or any(p.params for p in getattr(first, "layers", [])[:-1])
    return len(model.players) == 1 and first is not None and learns


# A key's bias has no gradient but rounding, of which AdamW makes whole steps.
WITH_PARTS = [
    n for n in survival.MODELS if _has_parts(n) and n not in ("CodePrior", "MaskedAutoencoder")
]


@pytest.mark.parametrize("kernel_set", survival.KERNELS)
@pytest.mark.parametrize("name", WITH_PARTS)
def test_frozen_layers_stay_whichever_twin_trains(name: str, kernel_set: str) -> None:
    from contextlib import nullcontext

    from tinyae.twin import definitions_only

    ran = []
    for mode in (nullcontext, definitions_only):
        model, x = survival.MODELS[name](np.random.default_rng(0))
        first, *others = model.children.values()
        if others:
            first.freeze()
        else:  # a classifier is one network
            next(layer for layer in first.layers if layer.params).freeze()
        frozen = {name for name, p in model.params.items() if not p.trainable}
        before = {name: p.value.copy() for name, p in model.params.items()}
        with kernels.use(kernel_set), mode():
            quiet(model, x, batch_size=48, optimizer=AdamW(0.01, decay=everything), epochs=1)
        moved = {name for name, p in model.params.items() if (p.value != before[name]).any()}
        assert frozen
        assert moved == before.keys() - frozen
        ran.append({name: p.value.copy() for name, p in model.params.items()})
    for key, a in ran[0].items():
        np.testing.assert_allclose(a, ran[1][key], atol=1e-5, err_msg=key)


def test_a_model_with_nothing_to_learn() -> None:
    assert_refused(make().freeze(), images(40), ValueError, "every parameter .* is frozen")
