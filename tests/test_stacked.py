"""Stacked autoencoders: one layer at a time, then all of them, in the same Params."""

import numpy as np
import pytest

import tinyae as ta
from tinyae import gradcheck
from tinyae.models import StackedAutoencoder, stack_of
from tinyae.param import unique


def images(n=400, seed=0):
    """Bars at random places: four numbers tell them."""
    rng = np.random.default_rng(seed)
    place, width = rng.uniform(0, 8, (n, 2, 1)), rng.uniform(0.7, 2, (n, 2, 1))
    down, across = np.exp(-(((np.arange(8) - place) / width) ** 2)).transpose(1, 0, 2)
    return (down[:, :, None] * across[:, None, :])[:, None].astype(np.float32)


def make(seed=0, **settings):
    settings.setdefault("code_activation", None)
    rng = np.random.default_rng(seed)
    return stack_of((1, 8, 8), [24, 12, 4], rng=rng, **settings)


def bits(module):
    return {name: p.value.copy() for name, p in module.params.items()}


def test_blocks_fit_on_each_other_and_unroll_to_the_mirror():
    stack, x = make(), images(5)
    assert [b.encode(z).shape[1] for b, z in zip(stack.blocks, (x, *codes(stack, x)))] == [
        24,
        12,
        4,
    ]
    model = stack.unroll()
    widths = [
        d.out_features for d in (*model.encoder.layers, *model.decoder.layers) if hasattr(d, "W")
    ]
    assert widths == [24, 12, 4, 12, 24, 64]
    z, y = stack.encode(x), stack.encode(x)
    for block in reversed(stack.blocks):
        y = block.decode(y)
    np.testing.assert_array_equal(model.encode(x), z)
    np.testing.assert_array_equal(model.reconstruct(x), y)


def codes(stack, x):
    for block in stack.blocks[:-1]:
        x = block.encode(x)
        yield x


@pytest.mark.parametrize("tied", [False, True])
def test_the_unrolled_model_and_the_classifier_share_the_params(tied):
    stack = make(tied=tied)
    own = {id(p) for p in stack.params.values()}
    unrolled = {id(p) for p in stack.unroll().params.values()}
    assert own <= unrolled
    assert len(unrolled) == 4 * 3  # W and b of encoder and decoder: no matrix is tied any more
    classifier = stack.classifier(10, rng=np.random.default_rng(0))
    shared = [p for p in unique(classifier.params).values() if id(p) in own]
    assert len(shared) == 2 * 3
    assert classifier.network.layers[-1].out_features == 10
    x = images(64)
    before = stack.encode(x)
    ta.fit(classifier, (x, np.arange(64) % 10), epochs=1, progress=False)
    assert not np.array_equal(stack.encode(x), before)


def test_tied_blocks_unroll_to_matrices_of_their_own():
    stack, x = make(tied=True), images(64)
    model, z = stack.unroll(), stack.encode(x)
    y = z
    for block in reversed(stack.blocks):
        y = block.decode(y)
    np.testing.assert_allclose(model.reconstruct(x), y, rtol=1e-6)
    matrices = [layer.W for layer in model.decoder.layers if isinstance(layer, ta.Dense)]
    for block, W in zip(reversed(stack.blocks), matrices):
        (tied,) = (layer for layer in block.decoder.layers if isinstance(layer, ta.TiedDense))
        np.testing.assert_array_equal(W.value, tied.dense.W.value.T)
        assert not np.shares_memory(W.value, tied.dense.W.value)
    report = gradcheck.check_model(model.astype(np.float64), x[:3].astype(np.float64))
    assert report.ok, report
    ta.fit(model, x, epochs=1, progress=False)
    assert not np.array_equal(matrices[-1].value, stack.blocks[0].encoder.layers[1].W.value.T)


def test_pretraining_trains_one_block_at_a_time_on_the_codes_below():
    stack, x = make(), images(64)
    seen = []

    def train(block, codes):
        others = [b for b in stack.blocks if b is not block]
        before = [bits(b) for b in others]
        start = bits(block)
        history = ta.fit(block, codes, epochs=1, progress=False)
        for b, old in zip(others, before):
            for name, p in b.params.items():
                np.testing.assert_array_equal(p.value, old[name])
        assert any((p.value != start[name]).any() for name, p in block.params.items())
        seen.append((block, codes))
        return history

    histories = stack.pretrain(x, train)
    assert [len(h) for h in histories] == [1, 1, 1]
    assert [b for b, _ in seen] == list(stack.blocks)
    assert seen[0][1] is x
    for (_, got), want in zip(seen[1:], codes(stack, x)):
        np.testing.assert_array_equal(got, want)


def test_pretraining_frees_a_deep_sigmoid_network():
    """From small random weights the signal of a deep sigmoid net fades; block by block it learns."""
    x, x_test = images(1500), images(300, seed=1)

    def error(pretrained):
        stack = make()
        if pretrained:
            stack.pretrain(
                x, lambda b, c: ta.fit(b, c, epochs=20, optimizer=ta.Adam(1e-2), progress=False)
            )
        model = stack.unroll(ta.MSE())
        ta.fit(model, x, epochs=10, optimizer=ta.Adam(1e-3), progress=False)
        return ta.metrics.mse(model.reconstruct(x_test), x_test)

    stuck, free = error(False), error(True)
    assert free < 0.4 * stuck
    assert stuck > 0.5 * x_test.var(axis=0).mean()


def test_denoising_blocks_corrupt_their_own_input():
    stack = make(corruption=ta.MaskingNoise(0.25))
    assert all(isinstance(b, ta.DenoisingAutoencoder) for b in stack.blocks)
    stack.pretrain(images(64), lambda b, c: ta.fit(b, c, epochs=1, progress=False))
    assert type(stack.unroll()) is ta.Autoencoder


def test_other_units_need_another_loss():
    stack = make(activation=ta.Tanh, output=None, loss=ta.MSE())
    ends = [type(b.decoder.layers[-1]).__name__ for b in stack.blocks]
    assert ends == ["Reshape", "Tanh", "Tanh"]
    stack.pretrain(images(64), lambda b, c: ta.fit(b, c, epochs=1, progress=False))


def test_save_and_load(tmp_path):
    stack, x = make(), images(5)
    ta.save(stack, tmp_path / "stack.npz")
    loaded = ta.load(tmp_path / "stack.npz")
    np.testing.assert_array_equal(loaded.encode(x), stack.encode(x))
    assert repr(loaded) == repr(stack)
    model = stack.unroll()
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(
        ta.load(tmp_path / "model.npz").reconstruct(x), model.reconstruct(x)
    )


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_of_the_stack_with_a_softmax(tied):
    rng = np.random.default_rng(1)
    model = make(tied=tied).classifier(3, rng=rng).astype(np.float64)
    batch = images(4).astype(np.float64), rng.integers(3, size=4)
    report = gradcheck.check_model(model, batch, max_entries=100)
    assert report.ok, report


def test_blocks_in_the_wrong_order_are_named():
    stack = make()
    wrong = StackedAutoencoder(*stack.blocks[::-1])
    with pytest.raises(ValueError, match="Dense"):
        wrong.pretrain(images(8), lambda b, c: ta.fit(b, c, epochs=1, progress=False))


@pytest.mark.parametrize(
    ("build", "kind", "words"),
    [
        (lambda: StackedAutoencoder(), ValueError, "no blocks"),
        (lambda: StackedAutoencoder(ta.ReLU()), TypeError, "block 0 is ReLU"),
        (lambda: stack_of((1, 8, 8), []), ValueError, "units is"),
        (lambda: stack_of((1, 8, 8), [4, 0]), ValueError, "units is 0"),
        (
            lambda: StackedAutoencoder(ta.Autoencoder(ta.ReLU(), ta.ReLU(), ta.MSE())).classifier(
                3
            ),
            ValueError,
            "no encoder has a Dense",
        ),
    ],
)
def test_misuse_is_named(build, kind, words):
    with pytest.raises(kind, match=words):
        build()
