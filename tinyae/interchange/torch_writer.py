"""``to_torch``: layers as a PyTorch network, with their weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae import layers
from tinyae.layers import Layer
from tinyae.layers.activation import activations


def to_torch(layer: Layer) -> Any:
    """A layer as a ``torch.nn.Sequential``, with copies of its weights.

    Its outputs and gradients are the layer's. Shared weights stay shared. What PyTorch has no module
    for (Residual, Skip, Parallel, TiedDense, TopK, PixelNorm, "same" with a stride) becomes a small
    module of tinyae's, which :func:`tinyae.from_torch` reads back.

    Raises
        TypeError             no layer, or one that has no counterpart
        ValueError            a layer has an argument that the module does not have
        ModuleNotFoundError   PyTorch is not installed
    """
    if not isinstance(layer, Layer):
        raise TypeError(
            f"to_torch: got a {type(layer).__name__}, expected a layer; of a model pass the parts, "
            "e.g. to_torch(model.encoder)"
        )
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "to_torch needs the package torch, which is not installed; run pip install torch"
        ) from error
    own = importlib.import_module("tinyae.interchange.torch_modules")
    made = _Writer(torch, own).write(layer)
    return made if type(made) is torch.nn.Sequential else torch.nn.Sequential(made)


class _Writer:
    """Layers to modules; a layer that occurs twice is one module."""

    def __init__(self, torch: Any, own: Any) -> None:
        self.torch, self.nn, self.own = torch, torch.nn, own
        self.made: dict[int, Any] = {}

    def write(self, layer: Layer) -> Any:
        if id(layer) not in self.made:
            make = MODULES.get(type(layer))
            if make is None:
                raise TypeError(
                    f"to_torch: {type(layer).__name__} has no counterpart in PyTorch; convert the "
                    "parts around it"
                )
            self.made[id(layer)] = make(self, layer)
        return self.made[id(layer)]

    def filled(self, module: Any, **arrays: Any) -> Any:
        """The module in the arrays' dtype, with their values."""
        tensors = {
            name: self.torch.from_numpy(np.array(a, a.dtype.newbyteorder("=")))
            for name, a in arrays.items()
        }
        module = module.to(next(iter(tensors.values())).dtype)
        with self.torch.no_grad():
            for name, tensor in tensors.items():
                getattr(module, name).copy_(tensor)
        return module


def _dense(w: _Writer, layer: layers.Dense) -> Any:
    module = w.nn.Linear(layer.in_features, layer.out_features)
    return w.filled(module, weight=layer.W.value, bias=layer.b.value)


def _tied_dense(w: _Writer, layer: layers.TiedDense) -> Any:
    return w.own.TiedLinear(w.write(layer.dense), w.torch.from_numpy(layer.b.value.copy()))


def _spread(layer: Any) -> dict[str, Any]:
    """The gaps and groups of a window, where the layer has them."""
    return {name: getattr(layer, name) for name in ("dilation", "groups") if hasattr(layer, name)}


def _is_spread(layer: Any) -> bool:
    return any(np.any(np.asarray(value) != 1) for value in _spread(layer).values())


def _conv(name: str) -> Callable[[_Writer, Any], Any]:
    def make(w: _Writer, layer: Any) -> Any:
        k, s, padding = layer.kernel_size, layer.stride, layer.padding
        even = (np.ravel(k) % 2 == 0).any()  # which PyTorch copies the image for, and warns
        pad = padding == "same" and (even or np.any(np.array(s) != 1))
        if isinstance(padding, str) and (padding != "same" or (pad and _is_spread(layer))):
            raise ValueError(
                f"to_torch: {layer!r} has a padding that PyTorch's convolution has not; give it an int"
            )
        if pad:
            sizes = [tuple(np.ravel(a).tolist()) for a in (k, s)]
            padding = 0
        sizes_of_w = layer.in_channels, layer.out_channels, k, s, padding
        module = getattr(w.nn, name)(*sizes_of_w, **_spread(layer))
        module = w.filled(module, weight=layer.W.value, bias=layer.b.value)
        return w.nn.Sequential(w.own.SamePad(*sizes), module) if pad else module

    return make


def _conv_transpose(name: str) -> Callable[[_Writer, Any], Any]:
    def make(w: _Writer, layer: Any) -> Any:
        k, s, padding, extra = layer.kernel_size, layer.stride, layer.padding, layer.output_padding
        crop = None
        if isinstance(padding, str) and (padding != "same" or _is_spread(layer)):
            raise ValueError(
                f"to_torch: {layer!r} has a padding that PyTorch's convolution has not; give it an int"
            )
        if padding == "same":  # y is H·s long: what is too much is cut off, an odd one at the end
            pairs = list(zip(np.ravel(k).tolist(), np.ravel(s).tolist()))
            padding = tuple(max(a - b, 0) // 2 for a, b in pairs)
            rest = [b - a + 2 * p for (a, b), p in zip(pairs, padding)]
            extra = tuple(max(r, 0) for r in rest)
            if min(rest) < 0:
                crop = [n for r in reversed(rest) for n in (0, min(r, 0))]
        arguments = layer.in_channels, layer.out_channels, k, s, padding, extra
        module = getattr(w.nn, name)(*arguments, **_spread(layer))
        module = w.filled(module, weight=layer.W.value, bias=layer.b.value)
        if crop is None:
            return module
        return w.nn.Sequential(module, getattr(w.nn, f"ConstantPad{name[-2:]}")(crop, 0.0))

    return make


def _pool(name: str) -> Callable[[_Writer, Any], Any]:
    def make(w: _Writer, layer: Any) -> Any:
        if isinstance(layer.padding, str) or ("Avg" in name and _is_spread(layer)):
            raise ValueError(
                f"to_torch: {layer!r} has padding or dilation that PyTorch's pool has not; give it "
                "an int or a pair, and dilation 1"
            )
        if (2 * np.ravel(layer.padding) > np.ravel(layer.kernel_size)).any():
            raise ValueError(
                f"to_torch: {layer!r}: PyTorch pads by half of the window at most; pad less"
            )
        more = _spread(layer) if "Max" in name else {"count_include_pad": False}
        module = getattr(w.nn, name)
        return module(
            layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode, **more
        )

    return make


def _pad(w: _Writer, layer: layers.Pad2d) -> Any:
    top, bottom, left, right = layer.padding
    module = w.nn.ReflectionPad2d if layer.mode == "reflect" else w.nn.ZeroPad2d
    return module((left, right, top, bottom))


def _batch_norm(w: _Writer, layer: layers.BatchNorm) -> Any:
    module = w.own.BatchNorm(layer.num_features, layer.eps, layer.momentum)
    arrays = {"running_mean": layer.running_mean, "running_var": layer.running_var}
    return w.filled(module, weight=layer.gamma.value, bias=layer.beta.value, **arrays)


def _affine(w: _Writer, module: Any, layer: Any) -> Any:
    return w.filled(module, weight=layer.gamma.value, bias=layer.beta.value)


def _activation(w: _Writer, layer: Layer) -> Any:
    name, nn = type(layer).__name__, w.nn
    if isinstance(layer, layers.LeakyReLU):
        return nn.LeakyReLU(layer.alpha)
    if isinstance(layer, layers.ELU):
        return nn.ELU(layer.alpha)
    if isinstance(layer, layers.TanhGELU):
        return nn.GELU("tanh")
    if isinstance(layer, layers.HardSigmoid):
        if abs(layer.alpha - 1 / 6) > 1e-7:
            raise ValueError(
                f"to_torch: {layer!r}: PyTorch's Hardsigmoid has alpha 1/6; use HardSigmoid()"
            )
        return nn.Hardsigmoid()
    if not hasattr(nn, name):
        raise TypeError(
            f"to_torch: {name} has no counterpart in PyTorch; convert what is around it"
        )
    return getattr(nn, name)()


MODULES: dict[type[Layer], Callable[[_Writer, Any], Any]] = {
    **dict.fromkeys(activations(), _activation),
    layers.Dense: _dense,
    layers.TiedDense: _tied_dense,
    layers.Conv1d: _conv("Conv1d"),
    layers.Conv2d: _conv("Conv2d"),
    layers.ConvTranspose1d: _conv_transpose("ConvTranspose1d"),
    layers.ConvTranspose2d: _conv_transpose("ConvTranspose2d"),
    layers.MaxPool1d: _pool("MaxPool1d"),
    layers.MaxPool2d: _pool("MaxPool2d"),
    layers.AvgPool1d: _pool("AvgPool1d"),
    layers.AvgPool2d: _pool("AvgPool2d"),
    layers.GlobalAvgPool2d: lambda w, m: w.nn.Sequential(w.nn.AdaptiveAvgPool2d(1), w.nn.Flatten()),
    layers.GlobalMaxPool2d: lambda w, m: w.nn.Sequential(w.nn.AdaptiveMaxPool2d(1), w.nn.Flatten()),
    layers.Upsample1d: lambda w, m: w.nn.Upsample(None, (float(m.factor),), m.mode),
    layers.Upsample2d: lambda w, m: w.nn.Upsample(None, tuple(map(float, m.factor)), m.mode),
    layers.PixelShuffle: lambda w, m: w.nn.PixelShuffle(m.factor),
    layers.Pad2d: _pad,
    layers.Flatten: lambda w, m: w.nn.Flatten(),
    layers.Reshape: lambda w, m: w.nn.Sequential(w.nn.Flatten(), w.nn.Unflatten(1, m.shape)),
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: lambda w, m: _affine(w, w.nn.LayerNorm(m.normalized_shape, m.eps), m),
    layers.GroupNorm: lambda w, m: _affine(
        w, w.nn.GroupNorm(m.num_groups, m.num_channels, m.eps), m
    ),
    layers.InstanceNorm: lambda w, m: _affine(
        w, w.nn.GroupNorm(m.num_channels, m.num_channels, m.eps), m
    ),
    layers.RMSNorm: lambda w, m: w.filled(
        w.nn.RMSNorm(m.normalized_shape, m.eps), weight=m.gamma.value
    ),
    layers.PixelNorm: lambda w, m: w.own.PixelNorm(m.eps),
    layers.PReLU: lambda w, m: w.filled(w.nn.PReLU(m.a.size), weight=m.a.value),
    layers.GLU: lambda w, m: w.nn.GLU(dim=1),
    layers.Softmax: lambda w, m: w.nn.Softmax(dim=1),
    layers.TopK: lambda w, m: w.own.TopK(m.k, m.inference_k),
    layers.Dropout: lambda w, m: w.nn.Dropout(m.p),
    layers.Sequential: lambda w, m: w.nn.Sequential(*map(w.write, m.layers)),
    layers.Residual: lambda w, m: w.own.Residual(w.write(m.layer)),
    layers.Skip: lambda w, m: w.own.Skip(w.write(m.layer)),
    layers.Parallel: lambda w, m: w.own.Parallel(*map(w.write, m.branches)),
}
