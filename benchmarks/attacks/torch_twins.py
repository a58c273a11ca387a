"""Layers beside PyTorch's: y, ∂L/∂x and every ∂L/∂θ of the same weights and inputs.

PyTorch's own functions are the oracle; what they do not have is written in their terms, so that at
least the derivative is theirs.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attacks.arrays import BATCHES, clear, differs, drawn, gradients
from tinyae import catalog, kernels, layers
from tinyae.param import unique

NAME = "torch"  # what must be installed
MODES = {"zero": "constant", "reflect": "reflect"}  # of padding


def twin(chance: random.Random, folder: Path) -> str | None:
    """A layer of the catalog with either set of kernels, against PyTorch."""
    rng = np.random.default_rng(chance.getrandbits(32))
    dtype = chance.choice([np.float32, np.float64])
    while True:
        layer, x = drawn(chance.choice(catalog.LAYERS), rng, dtype, chance.choice(BATCHES))
        if has_twin(layer):
            break
    for p in layer.params.values():
        p.value[...] += 0.1 * rng.normal(size=p.shape).astype(dtype)  # biases and norms, too
    with kernels.use(chance.choice(["numpy", "numba"])):
        clear(layer)
        y, cache = layer.forward(x)
        dy = rng.normal(size=y.shape).astype(dtype)
        got = [y, layer.backward(dy, cache), *gradients(layer)]
    want = _of_torch(layer, x, dy)
    names = ["y", "dx", *(f"d{name}" for name in unique(layer.params))]
    tolerance = 2e-3 if dtype == np.float32 else 1e-8
    for name, ours, theirs in zip(names, got, want, strict=True):
        if differs(ours, theirs, tolerance):
            return f"{layer} on {x.shape}, {x.dtype}: {name} is not PyTorch's"
    return None


def has_twin(layer: Any) -> bool:
    """Whether PyTorch has the layer with these arguments."""
    inner = [part for part in layer.children.values() if isinstance(part, layers.Layer)]
    if type(layer) not in _FORWARD or not all(map(has_twin, inner)):
        return False
    padding = getattr(layer, "padding", 0)
    if isinstance(layer, (*_POOLS_1D, *_POOLS_2D)):
        sizes = np.atleast_1d(layer.kernel_size)
        return padding != "same" and bool((2 * np.atleast_1d(padding) <= sizes).all())
    if isinstance(layer, layers.ConvTranspose2d | layers.ConvTranspose1d):
        return padding != "same"
    return padding != "same" or bool((np.atleast_1d(layer.stride) == 1).all())


def _of_torch(layer: Any, x: np.ndarray, dy: np.ndarray) -> list[np.ndarray]:
    import torch

    params = {
        id(p): torch.tensor(p.value, requires_grad=True) for p in unique(layer.params).values()
    }
    x_t = torch.tensor(x, requires_grad=True)
    y = _run(layer, x_t, params)
    y.backward(torch.tensor(dy))
    return [y.detach().numpy(), *(a.grad.numpy() for a in (x_t, *params.values()))]


def _run(layer: Any, x: Any, params: dict[int, Any]) -> Any:
    import torch
    import torch.nn.functional as F

    own = {name: params[id(p)] for name, p in vars(layer).items() if id(p) in params}
    inner = [lambda a, part=part: _run(part, a, params) for part in layer.children.values()]
    if isinstance(layer, layers.TiedDense):
        return F.linear(x, params[id(layer.dense.W)].T, own["b"])
    return _FORWARD[type(layer)](layer, x, own, inner, torch, F)


_POOLS_1D = (layers.MaxPool1d, layers.AvgPool1d)
_POOLS_2D = (layers.MaxPool2d, layers.AvgPool2d)


def _pool(function: str, **more: bool) -> Callable[..., Any]:
    def run(layer: Any, x: Any, own: Any, inner: Any, torch: Any, F: Any) -> Any:
        return getattr(F, function)(
            x,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            ceil_mode=layer.ceil_mode,
            **more,
        )

    return run


def _conv(function: str, *more: str) -> Callable[..., Any]:
    def run(layer: Any, x: Any, own: Any, inner: Any, torch: Any, F: Any) -> Any:
        arguments = (layer.stride, layer.padding, *(getattr(layer, name) for name in more))
        return getattr(F, function)(x, own["W"], own["b"], *arguments)

    return run


def _sequential(layer: Any, x: Any, own: Any, inner: Any, torch: Any, F: Any) -> Any:
    for run in inner:
        x = run(x)
    return x


def _batch_norm(layer: Any, x: Any, own: Any, inner: Any, torch: Any, F: Any) -> Any:
    return F.batch_norm(x, None, None, own["gamma"], own["beta"], True, 0.0, layer.eps)


def _top_k(layer: Any, x: Any, own: Any, inner: Any, torch: Any, F: Any) -> Any:
    rows = x.reshape(len(x), -1)
    kept = torch.zeros_like(rows).scatter(1, rows.topk(layer.k, 1).indices, 1.0)
    return (rows * kept).reshape(x.shape)


def _pad(layer: Any, x: Any, own: Any, inner: Any, torch: Any, F: Any) -> Any:
    top, bottom, left, right = layer.padding
    return F.pad(x, (left, right, top, bottom), MODES[layer.mode])


# Each: (layer, x, its own params by name, its inner layers, torch, torch.nn.functional) → y
_FORWARD: dict[type, Callable[..., Any]] = {
    layers.Dense: lambda l, x, own, inner, torch, F: F.linear(x, own["W"], own["b"]),
    layers.TiedDense: lambda *_: None,  # see _run: its matrix is another layer's
    layers.ReLU: lambda l, x, own, inner, torch, F: F.relu(x),
    layers.LeakyReLU: lambda l, x, own, inner, torch, F: F.leaky_relu(x, l.alpha),
    layers.ELU: lambda l, x, own, inner, torch, F: F.elu(x, l.alpha),
    layers.SELU: lambda l, x, own, inner, torch, F: F.selu(x),
    layers.Sigmoid: lambda l, x, own, inner, torch, F: torch.sigmoid(x),
    layers.Tanh: lambda l, x, own, inner, torch, F: torch.tanh(x),
    layers.Softplus: lambda l, x, own, inner, torch, F: F.softplus(x, threshold=100),
    layers.GELU: lambda l, x, own, inner, torch, F: F.gelu(x),
    layers.TanhGELU: lambda l, x, own, inner, torch, F: F.gelu(x, approximate="tanh"),
    layers.SiLU: lambda l, x, own, inner, torch, F: F.silu(x),
    layers.Mish: lambda l, x, own, inner, torch, F: F.mish(x),
    layers.Hardswish: lambda l, x, own, inner, torch, F: F.hardswish(x),
    layers.HardSigmoid: lambda l, x, own, inner, torch, F: (l.alpha * x + 0.5).clamp(0, 1),
    layers.PReLU: lambda l, x, own, inner, torch, F: F.prelu(x, own["a"]),
    layers.Softmax: lambda l, x, own, inner, torch, F: torch.softmax(x, 1),
    layers.Flatten: lambda l, x, own, inner, torch, F: x.flatten(1),
    layers.Reshape: lambda l, x, own, inner, torch, F: x.reshape(len(x), *l.shape),
    layers.Upsample1d: lambda l, x, own, inner, torch, F: x.repeat_interleave(l.factor, 2),
    layers.Upsample2d: lambda l, x, own, inner, torch, F: x.repeat_interleave(
        l.factor[0], 2
    ).repeat_interleave(l.factor[1], 3),
    layers.PixelShuffle: lambda l, x, own, inner, torch, F: F.pixel_shuffle(x, l.factor),
    layers.Pad2d: _pad,
    layers.Conv1d: _conv("conv1d"),
    layers.Conv2d: _conv("conv2d"),
    layers.ConvTranspose1d: _conv("conv_transpose1d", "output_padding"),
    layers.ConvTranspose2d: _conv("conv_transpose2d", "output_padding"),
    layers.MaxPool1d: _pool("max_pool1d"),
    layers.MaxPool2d: _pool("max_pool2d"),
    layers.AvgPool1d: _pool("avg_pool1d", count_include_pad=False),
    layers.AvgPool2d: _pool("avg_pool2d", count_include_pad=False),
    layers.GlobalAvgPool2d: lambda l, x, own, inner, torch, F: x.mean((2, 3)),
    layers.GlobalMaxPool2d: lambda l, x, own, inner, torch, F: x.amax((2, 3)),
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: lambda l, x, own, inner, torch, F: F.layer_norm(
        x, l.normalized_shape, own["gamma"], own["beta"], l.eps
    ),
    layers.GroupNorm: lambda l, x, own, inner, torch, F: F.group_norm(
        x, l.num_groups, own["gamma"], own["beta"], l.eps
    ),
    layers.InstanceNorm: lambda l, x, own, inner, torch, F: F.group_norm(
        x, l.num_groups, own["gamma"], own["beta"], l.eps
    ),
    layers.RMSNorm: lambda l, x, own, inner, torch, F: F.rms_norm(
        x, l.normalized_shape, own["gamma"], l.eps
    ),
    layers.PixelNorm: lambda l, x, own, inner, torch, F: (
        x * torch.rsqrt(x.square().mean(1, keepdim=True) + l.eps)
    ),
    layers.TopK: _top_k,
    layers.Sequential: _sequential,
    layers.Residual: lambda l, x, own, inner, torch, F: x + inner[0](x),
    layers.Skip: lambda l, x, own, inner, torch, F: torch.cat([x, inner[0](x)], 1),
    layers.Parallel: lambda l, x, own, inner, torch, F: torch.cat([run(x) for run in inner], 1),
}
