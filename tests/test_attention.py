"""Embedding, attention and recurrent layers: closed forms, PyTorch's numbers, wrong arguments.

The laws of all layers are in ``test_laws.py``.
"""

from typing import Any

import numpy as np
import pytest

import tinyae as ta
from tinyae.layers.tokens import sinusoids


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def filled(layer: Any, seed: int = 1) -> Any:
    """The layer in float64 with random parameters, biases too."""
    layer, draws = layer.astype(np.float64), rng(seed)
    for p in layer.params.values():
        p.value[...] = draws.normal(0, 0.5, p.shape)
    return layer


# --- embedding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int32, np.float32, np.float64])
def test_an_embedding_is_a_dense_layer_of_one_hot_vectors(dtype: Any) -> None:
    layer = ta.Embedding(5, 3, rng=rng())
    x = np.array([[4, 0, 4], [2, 4, 1]], dtype)
    onehot = np.eye(5, dtype=np.float32)[x.astype(int)]
    y, cache = layer.forward(x)
    np.testing.assert_array_equal(y, layer.E.value[x.astype(int)])
    np.testing.assert_allclose(y, onehot @ layer.E.value, rtol=1e-6)
    dy = rng(1).normal(size=y.shape).astype(np.float32)
    dx = layer.backward(dy, cache)
    want = np.einsum("ntk,ntd->kd", onehot, dy)  # row 4 is there three times
    np.testing.assert_allclose(layer.E.grad, want, rtol=1e-5, atol=1e-6)
    assert not dx.any()
    assert not layer.E.grad[3].any()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([[0, 5]]), r"holds 5 at \(0, 1\), expected indices from 0 to 4; .*Embedding\(6"),
        (np.array([[-1, 0]]), "holds -1"),
        (np.array([[0.5, 1.0]]), "expected whole numbers"),
        (np.array([[np.nan, 1.0]]), "expected whole numbers"),
        (np.array(3), "one number"),
    ],
)
def test_an_index_that_is_none_is_named(x: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ta.Embedding(5, 3, rng=rng())(x)


def test_gradcheck_takes_indices() -> None:
    net = ta.Sequential(ta.Embedding(5, 3, rng=rng()), ta.Tokenwise(ta.Dense(3, 2, rng=rng())))
    report = ta.gradcheck.check(net, rng().integers(5, size=(3, 4)))
    assert report.ok, report
    assert {row.name for row in report.rows} >= {"0.dE", "1.layer.dW"}
    assert ta.gradcheck.check(net, np.array([[1.0, 2.0]])).ok


# --- tokens ---------------------------------------------------------------------------------------


def test_tokenwise_is_the_layer_at_each_token() -> None:
    dense, x = filled(ta.Dense(3, 2, rng=rng())), rng().normal(size=(4, 5, 3))
    y = ta.Tokenwise(dense)(x)
    for t in range(5):
        np.testing.assert_allclose(y[:, t], dense(x[:, t]))


def test_sinusoids_turn_with_the_place() -> None:
    """P(t + s) is P(t), each pair turned by s ωᵢ: relative places are linear maps."""
    P = sinusoids(np.arange(20), 8)
    np.testing.assert_allclose(P[0], [0, 1] * 4)
    np.testing.assert_allclose((P * P).sum(axis=1), 4)
    omega = 10_000.0 ** (-2 * np.arange(4) / 8)
    s, c = np.sin(3 * omega), np.cos(3 * omega)
    np.testing.assert_allclose(P[3:, 0::2], P[:-3, 0::2] * c + P[:-3, 1::2] * s, atol=1e-12)


def test_positions_are_added_and_too_many_tokens_refused() -> None:
    layer, x = ta.LearntPositions(4, 3, rng=rng()), np.zeros((2, 4, 3), np.float32)
    np.testing.assert_array_equal(layer(x)[1], layer.P.value)
    np.testing.assert_array_equal(layer(x[:, :2])[1], layer.P.value[:2])
    with pytest.raises(ValueError, match=r"x has 5 tokens, P has 4 places"):
        layer(np.zeros((2, 5, 3), np.float32))


def test_last_step_and_repeat() -> None:
    x = rng().normal(size=(2, 3, 4))
    np.testing.assert_array_equal(ta.LastStep()(x), x[:, 2])
    np.testing.assert_array_equal(ta.Repeat(3)(x[:, 0]), np.stack([x[:, 0]] * 3, axis=1))
    with pytest.raises(ValueError, match="T ≥ 1"):
        ta.LastStep()(x[:, :0])


# --- attention ------------------------------------------------------------------------------------


def test_attention_with_equal_keys_is_a_mean() -> None:
    layer, x = filled(ta.MultiHeadAttention(4, 2, rng=rng())), rng().normal(size=(2, 5, 4))
    layer.Wk.value[...] = 0
    v = x @ layer.Wv.value.T + layer.bv.value
    mean = v.mean(axis=1, keepdims=True)
    want = mean @ layer.Wo.value.T + layer.bo.value
    np.testing.assert_allclose(layer(x), np.broadcast_to(want, x.shape))
    layer.causal = True
    before = v.cumsum(axis=1) / np.arange(1, 6)[:, None]
    np.testing.assert_allclose(layer(x), before @ layer.Wo.value.T + layer.bo.value)


def test_attention_does_not_know_the_order() -> None:
    layer, x = filled(ta.MultiHeadAttention(6, 3, rng=rng())), rng().normal(size=(2, 5, 6))
    order = rng(2).permutation(5)
    np.testing.assert_allclose(layer(x[:, order]), layer(x)[:, order])


def test_a_causal_block_does_not_see_the_future() -> None:
    block, x = (
        filled(ta.TransformerBlock(4, 2, causal=True, rng=rng())),
        rng().normal(size=(1, 6, 4)),
    )
    other = x.copy()
    other[:, 4:] += 1
    np.testing.assert_array_equal(block(x)[:, :4], block(other)[:, :4])
    y, cache = block.forward(x)
    dy = np.zeros_like(y)
    dy[:, 2] = rng(3).normal(size=(1, 4))
    assert not block.backward(dy, cache)[:, 3:].any()


def test_tokens_that_come_later_get_what_the_whole_sequence_gives() -> None:
    for layer in (
        filled(ta.MultiHeadAttention(4, 2, causal=True, rng=rng())),
        filled(ta.TransformerBlock(4, 2, causal=True, rng=rng())),
    ):
        x, parts, past = rng().normal(size=(3, 7, 4)), [], None
        for first, last in ((0, 1), (1, 2), (2, 5), (5, 7)):  # one by one, or several at a time
            y, past = layer.extend(x[:, first:last], past)
            parts.append(y)
        np.testing.assert_allclose(np.concatenate(parts, axis=1), layer(x), rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="causal=True"):
        ta.MultiHeadAttention(4, 2, rng=rng()).extend(np.zeros((1, 1, 4), np.float32))


def test_heads_must_divide_the_dim() -> None:
    with pytest.raises(ValueError, match=r"dim is 10 and heads is 4.* dim=12"):
        ta.MultiHeadAttention(10, 4, rng=rng())


@pytest.mark.parametrize(
    "layer",
    [ta.MultiHeadAttention(4, 2, rng=rng()), ta.GRU(4, 2, rng=rng()), ta.Repeat(2)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_program_names_the_layer_that_it_does_not_have(layer: Any) -> None:
    model = ta.Autoencoder(ta.Sequential(layer), ta.Sequential(), ta.MSE())
    with pytest.raises(TypeError, match=f"the model has a {type(layer).__name__}"):
        model.compile("encoder", input_shape=(3, 4))


# --- recurrent layers -----------------------------------------------------------------------------


def test_a_gru_whose_gate_is_open_keeps_its_state() -> None:
    """z = 1 keeps h₀ = 0; z = 0 forgets: then y is tanh of what Wx and r let through."""
    layer, x = filled(ta.GRU(3, 2, rng=rng())), rng().normal(size=(4, 5, 3))
    layer.bx.value[2:4] = 1e3
    assert not layer(x).any()
    layer.bx.value[2:4] = -1e3
    layer.Wh.value[...] = layer.bh.value[...] = 0
    want = np.tanh(x @ layer.Wx.value[4:].T + layer.bx.value[4:])
    np.testing.assert_allclose(layer(x), want)


def test_an_lstm_that_forgets_nothing_sums() -> None:
    """i = f = o = 1: c is the sum of the g so far."""
    layer, x = filled(ta.LSTM(3, 2, rng=rng())), rng().normal(size=(4, 5, 3))
    layer.Wh.value[...] = layer.bh.value[...] = 0
    layer.bx.value[...] = 1e3
    layer.bx.value[4:6] = 0
    g = np.tanh(x @ layer.Wx.value[4:6].T)
    np.testing.assert_allclose(layer(x), np.tanh(g.cumsum(axis=1)))


def test_a_recurrent_layer_has_no_tangent_and_says_so() -> None:
    layer, x = ta.GRU(3, 2, rng=rng()), np.zeros((1, 2, 3), np.float32)
    with pytest.raises(NotImplementedError, match="GRU has no tangent"):
        layer.tangent(x, layer.forward(x)[1])


@pytest.mark.parametrize("cell", [ta.GRU, ta.LSTM])
def test_a_sequence_autoencoder_learns_sequences(cell: Any, tmp_path: Any) -> None:
    model = ta.Autoencoder(*ta.sequence_autoencoder(8, 1, 16, 2, cell=cell, rng=rng()), ta.MSE())
    start = rng(1).uniform(0, 6, (128, 1, 1))
    x = np.sin(start + np.arange(8)[:, None] / 2).astype(np.float32)  # two numbers tell all
    report = ta.gradcheck.check_model(model, x[:3], max_entries=40)
    assert report.ok, report
    before = model.evaluate(x)["total"]
    ta.fit(model, x, epochs=25, batch_size=32, optimizer=ta.Adam(1e-2), rng=0, progress=False)
    assert model.evaluate(x)["total"] < 0.2 * before
    assert model.encode(x).shape == (128, 2)
    model.save(tmp_path / "sequence.npz")
    np.testing.assert_array_equal(
        ta.load(tmp_path / "sequence.npz").reconstruct(x), model.reconstruct(x)
    )


# --- PyTorch --------------------------------------------------------------------------------------


def both(layer: Any, twin: Any, x: np.ndarray, run: Any = None) -> None:
    """Compare y and dx of a layer with those of its PyTorch twin, to 1e-6."""
    torch = pytest.importorskip("torch")
    y, cache = layer.forward(x)
    dy = rng(5).normal(size=y.shape)
    tx = torch.tensor(x, requires_grad=True)
    ty = (run or twin)(tx)
    ty.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(layer.backward(dy, cache), tx.grad.numpy(), rtol=1e-6, atol=1e-9)


def copied(twin: Any, values: dict[str, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    own = dict(twin.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            own.pop(name).copy_(torch.tensor(value))
    assert not own


def attention_values(layer: Any, prefix: str = "") -> dict[str, np.ndarray]:
    joined = {
        "in_proj_weight": np.concatenate([layer.Wq.value, layer.Wk.value, layer.Wv.value]),
        "in_proj_bias": np.concatenate([layer.bq.value, layer.bk.value, layer.bv.value]),
        "out_proj.weight": layer.Wo.value,
        "out_proj.bias": layer.bo.value,
    }
    return {prefix + name: value for name, value in joined.items()}


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_pytorchs(causal: bool) -> None:
    torch = pytest.importorskip("torch")
    layer = filled(ta.MultiHeadAttention(6, 3, causal, rng=rng()))
    twin = torch.nn.MultiheadAttention(6, 3, batch_first=True, dtype=torch.float64)
    copied(twin, attention_values(layer))
    mask = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if causal else None
    both(layer, twin, rng().normal(size=(2, 5, 6)), lambda x: twin(x, x, x, attn_mask=mask)[0])
    grad = np.concatenate([layer.Wq.grad, layer.Wk.grad, layer.Wv.grad])
    np.testing.assert_allclose(grad, twin.in_proj_weight.grad.numpy(), rtol=1e-6, atol=1e-9)
    bias = np.concatenate([layer.bq.grad, layer.bk.grad, layer.bv.grad])
    np.testing.assert_allclose(bias, twin.in_proj_bias.grad.numpy(), rtol=1e-6, atol=1e-9)


def test_a_transformer_block_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    block = filled(ta.TransformerBlock(6, 3, 10, rng=rng()))
    twin = torch.nn.TransformerEncoderLayer(
        6, 3, 10, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64
    )
    values = {name: p.value for name, p in block.params.items()}
    copied(
        twin,
        attention_values(block.attention, "self_attn.")
        | {
            "norm1.weight": values["attention_norm.gamma"],
            "norm1.bias": values["attention_norm.beta"],
        }
        | {"norm2.weight": values["mlp_norm.gamma"], "norm2.bias": values["mlp_norm.beta"]}
        | {"linear1.weight": values["mlp.layer.0.W"], "linear1.bias": values["mlp.layer.0.b"]}
        | {"linear2.weight": values["mlp.layer.2.W"], "linear2.bias": values["mlp.layer.2.b"]},
    )
    both(block, twin, rng().normal(size=(2, 5, 6)))


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
def test_a_recurrent_layer_is_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    layer = filled(getattr(ta, name)(3, 4, rng=rng()))
    twin = getattr(torch.nn, name)(3, 4, batch_first=True, dtype=torch.float64)
    names = {"weight_ih_l0": layer.Wx, "weight_hh_l0": layer.Wh}
    names |= {"bias_ih_l0": layer.bx, "bias_hh_l0": layer.bh}
    copied(twin, {name: p.value for name, p in names.items()})
    both(layer, twin, rng().normal(size=(2, 5, 3)), lambda x: twin(x)[0])
    for name, p in names.items():
        want = getattr(twin, name).grad.numpy()
        np.testing.assert_allclose(p.grad, want, rtol=1e-6, atol=1e-9)
