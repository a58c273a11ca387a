"""On a cluster: the gradient of one machine, rows that are never together, workers that die."""

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("distributed", reason="needs Dask: pip install 'dask[array,distributed]'")

import dask.array as da
from dask.distributed import Client, LocalCluster

import tinyae as ta
from tinyae import distributed, kernels
from tinyae.distributed import worker

X = np.random.default_rng(1).random((50, 6)).astype(np.float32)


def make(*more: Any, seed: int = 0) -> ta.Autoencoder:
    rng = np.random.default_rng(seed)
    encoder = ta.Sequential(ta.Dense(6, 4, rng=rng), ta.Tanh(), *more)
    return ta.Autoencoder(encoder, ta.Dense(4, 6, rng=rng), ta.MSE())


def weights(model: Any) -> np.ndarray:
    return np.concatenate([p.value.ravel() for p in model.params.values()])


@pytest.fixture(scope="module")
def client() -> Any:
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        yield client


SETTINGS: dict[str, Any] = {"epochs": 2, "batch_size": 33, "progress": False, "rng": 4}


def test_the_gradient_of_many_is_that_of_one(client: Any) -> None:
    ours, one = make(), make()
    more = {"clip_norm": 0.05, "validation": X[:9]}
    history = distributed.fit(ours, X, client=client, optimizer=ta.Adam(1e-2), **SETTINGS, **more)
    alone = ta.fit(one, X, optimizer=ta.Adam(1e-2), **SETTINGS, **more)
    np.testing.assert_allclose(weights(ours), weights(one), atol=1e-6)
    for name in set(history.names) - {"seconds"}:
        np.testing.assert_allclose(history[name], alone[name], rtol=1e-5, err_msg=name)
    assert not any(p.grad.any() for p in ours.params.values())


def test_weighed_rows_are_drawn_as_on_one_machine(client: Any) -> None:
    ours, one = make(), make()
    w = np.arange(50) % 4 / 2  # rows of weight 0, and rows that come twice
    more = {**SETTINGS, "sample_weight": w}
    distributed.fit(ours, X, client=client, optimizer=ta.SGD(0.5), **more)
    ta.fit(one, X, optimizer=ta.SGD(0.5), **more)
    np.testing.assert_allclose(weights(ours), weights(one), atol=1e-6)
    assert (weights(ours) != weights(make())).any()
    for wrong in (w[1:], -w):
        with pytest.raises(ValueError, match="sample_weight"):
            distributed.fit(make(), X, client=client, **{**SETTINGS, "sample_weight": wrong})


def test_shares_of_any_size_add_up() -> None:
    model = make().astype(np.float64)
    values = [p.value for p in model.params.values()]
    cut = [X[:1], X[1:4], X[4:40], X[40:]]
    with kernels.use("numpy"):
        shares = [worker.gradient(model, values, [], x, np.arange(len(x)), [0]) for x in cut]
        total = worker.add(worker.add(shares[3], shares[0]), worker.add(shares[1], shares[2]))
        terms = model.backprop(X.astype(np.float64))
    assert total.n == len(X)
    assert total.terms["total"] / total.n == pytest.approx(terms["total"])
    for p, g in zip(model.params.values(), total.arrays):
        np.testing.assert_allclose(g / total.n, p.grad, atol=1e-12)


def test_an_average_of_single_steps_is_a_step(client: Any) -> None:
    """θ − η Σ nᵢ gᵢ / n either way, for an optimizer without memory."""
    ours, one = make(), make()
    distributed.fit(ours, X, client=client, optimizer=ta.SGD(0.5), average_every=1, **SETTINGS)
    ta.fit(one, X, optimizer=ta.SGD(0.5), **SETTINGS)
    np.testing.assert_allclose(weights(ours), weights(one), atol=1e-6)


def test_local_steps_are_averaged_with_their_moments(client: Any) -> None:
    """By hand: two workers with half of the rows each, three steps of Momentum, an average, again."""
    ours, settings = make(), {**SETTINGS, "batch_size": 17}
    distributed.fit(ours, X, client=client, optimizer=ta.Momentum(0.2), average_every=3, **settings)
    model, rng, moments = make(), np.random.default_rng(4), {}
    for epoch in range(2):
        order = rng.permutation(50)
        ends, n = [], []
        for half in (order[order < 25], order[order >= 25]):
            local, optimizer = make(), ta.Momentum(0.2)
            for p, q in zip(local.params.values(), model.params.values()):
                p.value[...] = q.value
            optimizer.load_state(local.params, moments, 3 * epoch)
            for piece in np.array_split(half, 3):
                local.backprop(X[piece])
                optimizer.step(local.params)
            ends.append((weights(local), optimizer.state_arrays(local.params)))
            n.append(len(half))
        moments = {k: (n[0] * a + n[1] * ends[1][1][k]) / 50 for k, a in ends[0][1].items()}
        moments = {k: np.rint(a) if "steps" in k else a for k, a in moments.items()}
        mean, start = (n[0] * ends[0][0] + n[1] * ends[1][0]) / 50, 0
        for p in model.params.values():
            p.value[...] = mean[start : start + p.size].reshape(p.shape)
            start += p.size
    np.testing.assert_allclose(weights(ours), weights(model), atol=1e-6)


@pytest.mark.parametrize("average_every", [None, 2])
def test_a_checkpoint_goes_on_to_the_same_bits(
    client: Any, tmp_path: Any, average_every: int | None
) -> None:
    def run(epochs: int, **more: Any) -> Any:
        rng = np.random.default_rng(3)
        model = make(ta.BatchNorm(4), ta.Dropout(0.2, rng=rng))
        distributed.fit(
            model, X, client=client, average_every=average_every, optimizer=ta.Adam(1e-2),
            **{**SETTINGS, "epochs": epochs}, **more,
        )  # fmt: skip
        return model

    whole, path = run(2), tmp_path / "c.npz"
    run(1, checkpoint=path)
    rest = run(2, resume=path)
    np.testing.assert_array_equal(weights(whole), weights(rest))
    for name, a in whole.state.items():
        np.testing.assert_array_equal(a, rest.state[name], err_msg=name)
    with pytest.raises(ValueError, match="begun with something else"):
        distributed.fit(
            make(ta.BatchNorm(4), ta.Dropout(0.2, rng=np.random.default_rng(3))), X[1:],
            client=client, resume=path, average_every=average_every, **SETTINGS,
        )  # fmt: skip


def test_what_cannot_be_trained_so(client: Any) -> None:
    before, model = weights(make()), make()
    game = ta.GAN(*ta.dense_gan((6,), [4], latent_dim=2, rng=np.random.default_rng(0)))
    bad = X.copy()
    bad[31, 2] = np.nan
    unknown = da.from_array(X)[da.from_array(X)[:, 0] > 0.5]
    for data, error, says in (
        (bad, ValueError, "nan"),
        (X[:, :3], ValueError, "Dense"),
        (unknown, ValueError, "compute_chunk_sizes"),
        ([X], TypeError, "expected a Dask array"),
        (X[0], TypeError, "expected a Dask array"),
    ):
        with pytest.raises(error, match=says):
            distributed.fit(model, data, client=client, **SETTINGS)
    with pytest.raises(TypeError, match="players of a GAN"):
        distributed.fit(game, X, client=client, **SETTINGS)
    with pytest.raises(TypeError, match="expected a Client"):
        distributed.fit(model, X, client=3, **SETTINGS)
    for average_every in (0, 2.5):
        with pytest.raises(ValueError, match="average_every"):
            distributed.fit(model, X, client=client, average_every=average_every, **SETTINGS)
    np.testing.assert_array_equal(weights(model), before)


def test_codes_and_scores_of_a_dask_array() -> None:
    model, x = make(), da.from_array(X, chunks=(17, 4))
    for lazy, now in (
        (distributed.encode(model, x), model.encode(X)),
        (distributed.score(model, x), model.reconstruction_error(X)),
    ):
        assert isinstance(lazy, da.Array)
        assert lazy.shape == now.shape
        assert lazy.dtype == now.dtype
        np.testing.assert_array_equal(lazy.compute(scheduler="sync"), now)
    none = x[x[:, 0] > 2]  # blocks of unknown length, all of them empty
    for lazy, shape in (
        (distributed.score(model, none), (0,)),
        (distributed.encode(model, none), (0, 4)),
    ):
        assert lazy.compute(scheduler="sync").shape == shape
    images = da.from_array(X.reshape(50, 1, 2, 3), chunks=20)
    conv = ta.Sequential(ta.Conv2d(1, 2, 3, padding=1, rng=np.random.default_rng(0)))
    picture = ta.Autoencoder(
        conv, ta.ConvTranspose2d(2, 1, 3, padding=1, init=ta.Zeros()), ta.MSE()
    )
    codes = distributed.encode(picture, images)
    np.testing.assert_allclose(
        codes.compute(scheduler="sync"), picture.encode(X.reshape(50, 1, 2, 3)), atol=1e-6
    )
    for wrong in (X, [X], x[:, 0]):
        with pytest.raises(TypeError, match=r"Dask array|rows of features"):
            distributed.score(model, wrong)
    with pytest.raises(TypeError, match="expected one that has encode"):
        distributed.encode(ta.Dense(6, 2, init=ta.Zeros()), x)


def test_codes_and_scores_of_a_dask_frame() -> None:
    pd = pytest.importorskip("pandas")
    dd = pytest.importorskip("dask.dataframe", exc_type=ImportError)
    model = make()
    frame = pd.DataFrame(X, index=np.arange(50) * 3, columns=list("abcdef"))
    lazy = dd.from_pandas(frame, npartitions=4)
    codes = distributed.encode(model, lazy).compute(scheduler="sync")
    scores = distributed.score(model, lazy).compute(scheduler="sync")
    assert list(codes.columns) == ["code0", "code1", "code2", "code3"]
    assert (codes.index == frame.index).all()
    assert (scores.index == frame.index).all()
    np.testing.assert_array_equal(codes, model.encode(X))
    np.testing.assert_array_equal(scores, model.reconstruction_error(X))
    none = distributed.score(model, lazy[lazy.a > 2]).compute(scheduler="sync")
    assert len(none) == 0


def test_rows_are_read_a_block_at_a_time() -> None:
    """Only one block of a source that is larger than memory is there at once."""
    held, most = 0, 0

    class Block:
        shape, dtype, ndim = (10**6, 6), np.dtype(np.float32), 2

        def __getitem__(self, key: Any) -> np.ndarray:
            nonlocal held, most
            rows = key[0].stop - key[0].start
            held, most = held + 1, max(most, rows)
            return np.zeros((rows, 6), np.float32)

    x = da.from_array(Block(), chunks=(20_000, 6), meta=np.empty((0, 6), np.float32), name=False)
    mean = distributed.score(make(), x).mean()
    assert held == 0
    assert mean.compute(scheduler="sync") == pytest.approx(
        float(make().reconstruction_error(np.zeros((1, 6)))[0])
    )
    assert held == 50
    assert most == 20_000


def test_a_search_through_joblib(client: Any) -> None:
    pytest.importorskip("sklearn")
    import joblib
    from sklearn.model_selection import GridSearchCV

    from tinyae.sklearn import AutoencoderTransformer

    estimator = AutoencoderTransformer(epochs=2, patience=None, random_state=0)
    search = GridSearchCV(estimator, {"latent_dim": [1, 3]}, cv=2)
    with joblib.parallel_config("dask"):
        search.fit(X)
    assert search.best_params_ == {"latent_dim": 3}


@pytest.mark.slow
@pytest.mark.parametrize("average_every", [None, 2])
def test_a_worker_that_dies_costs_its_batch(average_every: int | None) -> None:
    x = np.random.default_rng(2).random((400, 6)).astype(np.float32)
    settings = {**SETTINGS, "epochs": 30, "batch_size": 100, "optimizer": ta.SGD(0.1)}
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        pids = list(client.run(os.getpid).values())
        ours, killed = make(), []

        def kill(epoch: Any) -> None:
            if epoch.epoch == 3:  # soon, in the middle of a batch

                def later() -> None:
                    time.sleep(0.03)
                    os.kill(pids[0], signal.SIGKILL)
                    killed.append(epoch.epoch)

                threading.Thread(target=later).start()

        history = distributed.fit(
            ours, x, client=client, average_every=average_every, on_epoch=kill, **settings
        )
    assert killed
    assert len(history) == 30
    assert history["total"][-1] < history["total"][0]
    if average_every is None:
        one = make()
        ta.fit(one, x, **{**settings, "optimizer": ta.SGD(0.1)})
        np.testing.assert_allclose(weights(ours), weights(one), atol=1e-5)
