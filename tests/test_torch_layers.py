"""Layers of images and sequences beside PyTorch's: forward, ∂L/∂x and ∂L/∂W. Skipped without it."""

from __future__ import annotations

import numpy as np
import pytest

import tinyae as ta

torch = pytest.importorskip("torch", reason="compares with PyTorch")
F = torch.nn.functional

SIZES = [(7, 9), (8, 5), (13, 13)]
CONVOLUTIONS = [
    {"stride": 1, "padding": 2, "dilation": 2, "groups": 1},
    {"stride": 2, "padding": 1, "dilation": 1, "groups": 4},
    {"stride": (2, 3), "padding": (3, 0), "dilation": (3, 2), "groups": 2},
]


def agree(layer, f, x):
    """Forward and gradients of a layer and of f(x, *params) in PyTorch, float64."""
    params = {name: p.value for name, p in layer.params.items()}
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, *params.values())]
    want = f(*tensors)
    y, cache = layer.forward(x)
    np.testing.assert_allclose(y, want.detach().numpy(), atol=1e-10)
    dy = np.random.default_rng(1).normal(size=y.shape)
    dx = layer.backward(dy, cache)
    want.backward(torch.tensor(dy))
    np.testing.assert_allclose(dx, tensors[0].grad.numpy(), atol=1e-10)
    for tensor, p in zip(tensors[1:], layer.params.values()):
        np.testing.assert_allclose(p.grad, tensor.grad.numpy(), atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("more", CONVOLUTIONS)
def test_convolution(more, size):
    rng = np.random.default_rng(0)
    layer = ta.Conv2d(4, 8, 3, **more, rng=rng, dtype=np.float64)
    agree(layer, lambda x, W, b: F.conv2d(x, W, b, **more), rng.normal(size=(2, 4, *size)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("more", CONVOLUTIONS)
def test_transposed_convolution(more, size):
    rng = np.random.default_rng(0)
    layer = ta.ConvTranspose2d(4, 8, 3, **more, rng=rng, dtype=np.float64)
    x = rng.normal(size=(2, 4, *size))
    agree(layer, lambda x, W, b: F.conv_transpose2d(x, W, b, **more), x)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolutions_of_sequences(groups):
    rng = np.random.default_rng(0)
    more = {"stride": 2, "padding": 3, "dilation": 3, "groups": groups}
    x = rng.normal(size=(3, 4, 11))
    layer = ta.Conv1d(4, 4, 3, **more, rng=rng, dtype=np.float64)
    agree(layer, lambda x, W, b: F.conv1d(x, W, b, **more), x)
    layer = ta.ConvTranspose1d(4, 4, 3, **more, rng=rng, dtype=np.float64)
    agree(layer, lambda x, W, b: F.conv_transpose1d(x, W, b, **more), x)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [2, (3, 4), (1, 2)])
def test_bilinear_upsampling(factor, size):
    layer, x = (
        ta.Upsample2d(factor, mode="bilinear"),
        np.random.default_rng(0).normal(size=(2, 3, *size)),
    )
    agree(layer, lambda x: F.interpolate(x, scale_factor=factor, mode="bilinear"), x)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_linear_upsampling(factor):
    layer, x = ta.Upsample1d(factor, "linear"), np.random.default_rng(0).normal(size=(2, 3, 7))
    agree(layer, lambda x: F.interpolate(x, scale_factor=factor, mode="linear"), x)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_dilated_max_pool(size, ceil_mode):
    more = {"stride": 2, "padding": 1, "dilation": 2, "ceil_mode": ceil_mode}
    x = np.random.default_rng(0).normal(size=(2, 3, *size))
    agree(ta.MaxPool2d(3, **more), lambda x: F.max_pool2d(x, 3, **more), x)


def test_gated_linear_unit():
    agree(ta.GLU(), lambda x: F.glu(x, dim=1), np.random.default_rng(0).normal(size=(2, 6, 5)))
